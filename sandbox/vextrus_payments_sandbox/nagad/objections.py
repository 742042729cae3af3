"""What Nagad's acceptance test would object to (``manners.py``), and what of it no sandbox can see."""

from typing import Final

from vextrus_payments_sandbox.gateway_facts import Rule, Unseen

RULES: Final = (
    Rule(
        "unverified",
        "nagad",
        "no verify within 10 minutes of a payment",
        "The return is not signed: verify is the only truth, and a browser that never comes back is no reason to lose "
        "a payment.",
        "Call verify after each return, and for what was never returned from.",
        "nagad §0.1, §15",
    ),
    Rule(
        "order_reused",
        "nagad",
        "order id used for an earlier payment of the same day",
        "Nagad refuses it (083); the first one may have been paid.",
        "Make a new order id for each initialize.",
        "nagad §10, §15",
    ),
    Rule(
        "outer_datetime",
        "nagad",
        "the body's time is called dateTime, not datetime",
        "The sandbox takes both; Nagad's own names are dateTime around the sealed data and datetime inside it.",
        "Name the member of the body dateTime.",
        "nagad §0.4, §17",
    ),
    Rule(
        "address",
        "nagad",
        "{header} is no IPv4 address",
        "The header is for the payer's IPv4 address.",
        "Send an IPv4 address, also where the payer comes by IPv6 or from this machine.",
        "nagad §3",
    ),
    Rule(
        "weak_hash",
        "nagad",
        "signed with {hash_name}: Nagad refuses that",
        "The vendor's old guide names SHA-1; the gateway takes SHA-256 alone.",
        "Sign with SHA256withRSA over the very bytes that were encrypted.",
        "nagad §0.2",
    ),
    Rule(
        "callback_query",
        "nagad",
        "a callback URL with a query: how it is joined is not known",
        "Nagad puts a slash and a query of its own behind the address; what becomes of yours nobody has published.",
        "Put what tells your orders apart into the path.",
        "nagad §0.9, §18",
    ),
    Rule(
        "from_browser",
        "nagad",
        "{operation} was called from a web page ({page})",
        "Whoever has the private key can act as the merchant.",
        "Call Nagad from your server alone.",
        "nagad §15",
    ),
)
UNSEEN: Final = (
    Unseen(
        "nagad",
        "whether amount, order and merchant of a verify answer are compared with the order",
        "Compare all three before you ship.",
    ),
)
