"""What the sandbox's shared parts have to know of Nagad."""

from typing import Final

from vextrus_payments.gateways.nagad.models import API_PATH
from vextrus_payments_sandbox.gateway_facts import GatewayFacts, Kind
from vextrus_payments_sandbox.nagad.objections import RULES, UNSEEN

_SEALED: Final = ("initialize", "refund")
_KINDS: Final = (
    Kind(
        31, "wrong_key", "after", "works, then signs its sealed answer with another key", operations=_SEALED
    ),
    Kind(32, "tampered", "after", "works, then one bit of its sealed answer is wrong", operations=_SEALED),
    Kind(
        33, "replayed", "after", "works, then gives the sealed answer of an earlier call", operations=_SEALED
    ),
    Kind(
        34,
        "random_nonce",
        "before",
        "calls its challenge random, as old versions did",
        operations=("initialize",),
    ),
)

FACTS: Final = GatewayFacts(
    name="nagad",
    title="Nagad",
    variables={
        "base_url": "API_URL",
        "merchant_private_key_file": "PRIVATE_KEY_FILE",
        "gateway_public_key_file": "PUBLIC_KEY_FILE",
    },
    calls=API_PATH,
    states={
        "OrderInitiated": "wait",
        "Ready": "wait",
        "OtpSent": "wait",
        "OtpVerified": "wait",
        "PinGiven": "wait",
        "InProgress": "wait",
        "UnKnownFailed": "held",
        "Success": "good",
        "PartialCancelled": "good",
        "Aborted": "off",
        "InvalidRequest": "bad",
        "Fraud": "bad",
        "Cancelled": "off",
        "Failed": "bad",
    },
    stages={4001: ("complete",), 4004: ("verify",), 4005: ("refund",)},
    look_ups=("verify",),
    moves=("refund",),
    kinds=_KINDS,
    outcomes={
        "over_limit": "Failed: over the limit (50_0026_851)",
        "aborted_by_issuer": "Aborted as soon as the number is typed",
        "in_progress": "InProgress for good, and nobody comes back",
        "unknown_then_paid": "UnKnownFailed; an hour later it turns out paid",
        "unknown_then_failed": "UnKnownFailed; an hour later it turns out failed",
        "never_returns": "paid, but the browser never comes back",
        "late_success": "the return says Failed; a minute later it is paid",
        "returns_twice": "paid, and the browser comes back twice",
        "insufficient_balance": "Failed: insufficient balance",
        "account_blocked": "Failed: the account is blocked",
    },
    rules=RULES,
    unseen=UNSEEN,
    order_id=(r"[A-Za-z0-9]{5,20}", "an order id of Nagad has 5 to 20 letters and digits"),
)
