"""bKash Tokenized Checkout v1.2.0-beta in the sandbox: ``rules`` (what happens), ``api`` (the wire), ``pages``.

Nothing is imported here: the shared parts read ``facts`` before the rest of this folder can be (``gateways.py``).
"""
