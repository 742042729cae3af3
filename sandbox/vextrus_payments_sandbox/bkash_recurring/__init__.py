"""bKash's Recurring Payment Platform: subscriptions, a schedule that the sandbox's clock drives, signed messages.

Nothing is imported here: ``facts.py`` is read before everything else (``gateways.py``).
"""
