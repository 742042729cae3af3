"""SSLCommerz v4: cards, wallets and internet banking through one page.

Loaded on first use: the sandbox and the tests read `models.py` without the gateway behind it.
"""
