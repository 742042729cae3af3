"""What the sandbox's shared parts have to know of bKash's recurring platform."""

from typing import Final

from vextrus_payments_sandbox.bkash_recurring.objections import RULES, UNSEEN
from vextrus_payments_sandbox.gateway_facts import GatewayFacts, Kind

_LOOK_UPS: Final = ("query", "list", "schedule", "payments", "payment")
_KINDS: Final = (
    Kind(
        38,
        "recurring_refund_takes",
        "after",
        "accepts the refund, which stays PROCESSING_REFUND for that many seconds of the sandbox's clock",
        3_600.0,
        operations=("refund",),
        skews=True,
    ),
    Kind(
        39,
        "recurring_refund_fails",
        "after",
        "accepts the refund, which then fails: FAILED_REFUND, and no money goes back",
        operations=("refund",),
    ),
)

FACTS: Final = GatewayFacts(
    name="bkash_recurring",
    title="bKash recurring",
    states={
        "INITIALIZED": "wait",
        "VERIFIED": "wait",
        "SUCCEEDED": "good",
        "FAILED": "bad",
        "CANCELLED": "off",
        "EXPIRED": "off",
        "PROCESSING_PAYMENT": "wait",
        "SUCCEEDED_PAYMENT": "good",
        "RE_SUCCEEDED_PAYMENT": "good",
        "FAILED_PAYMENT": "bad",
        "RE_FAILED_PAYMENT": "bad",
        "PROCESSING_REFUND": "wait",
        "SUCCEEDED_REFUND": "good",
        "FAILED_REFUND": "bad",
    },
    stages={4001: ("create",), 4004: ("query", "payment"), 4005: ("refund",), 4008: ("webhook",)},
    look_ups=_LOOK_UPS,
    moves=("refund",),
    faults=frozenset(
        {
            "webhook_never",
            "webhook_delayed",
            "webhook_out_of_order",
            "webhook_duplicate",
            "webhook_other_amount",
            "webhook_bad_signature",
            "webhook_forged",
            "webhook_clock_skew",
        }
    ),
    kinds=_KINDS,
    outcomes={
        "never_returns": "consented and announced, but the browser never comes back",
        "insufficient_balance": "consented; the first payment fails, and bKash tries again by itself",
        "account_blocked": "FAILED: the account is blocked",
    },
    rules=RULES,
    unseen=UNSEEN,
    order_id=(r"[A-Za-z0-9-]{1,64}", "a subscriptionRequestId has 1 to 64 letters, digits and dashes"),
)
