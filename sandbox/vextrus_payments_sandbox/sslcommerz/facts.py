"""What the sandbox's shared parts have to know of SSLCommerz."""

from typing import Final

from vextrus_payments.gateways.sslcommerz.models import Status
from vextrus_payments_sandbox.gateway_facts import Ending, GatewayFacts, Kind
from vextrus_payments_sandbox.sslcommerz.objections import RULES, UNSEEN

_LOOK_UPS: Final = ("validate", "query", "refund_status", "invoice_status")
_KINDS: Final = (
    Kind(
        41,
        "other_types",
        "before",
        "a look-up writes numbers as JSON numbers, its count as a text, and one transaction without a list around it",
        operations=_LOOK_UPS,
    ),
    Kind(
        42, "wrong_password", "before", "answers as if the store's credentials were wrong; nothing happened"
    ),
    Kind(43, "inactive_store", "before", "answers as if the store were de-activated; nothing happened"),
    Kind(
        44,
        "refund_processing",
        "after",
        "accepts the refund as processing, which it stays for that many seconds of the sandbox's clock",
        3_600.0,
        operations=("refund",),
        skews=True,
    ),
    Kind(
        45,
        "refund_cancelled",
        "after",
        "accepts the refund with success; that many seconds later it is cancelled, and no money was given back",
        60.0,
        operations=("refund",),
        skews=True,
    ),
)

ENDS: Final = (
    "success",
    "risky",
    "no_ipn",
    "ipn_twice",
    "ipn_late",
    "failure",
    "cancel",
    "unattempted",
    "expired",
)
"""What the buttons below "How shall it end?" say, and what ``POST /_sandbox/approve`` takes as outcome."""
FACTS: Final = GatewayFacts(
    name="sslcommerz",
    title="SSLCommerz",
    approvals=ENDS,
    calls="/",
    states={
        Status.PROCESSING.value: "wait",
        Status.PENDING.value: "wait",
        Status.VALID.value: "good",
        Status.VALIDATED.value: "good",
        Status.FAILED.value: "bad",
        Status.CANCELLED.value: "off",
        Status.EXPIRED.value: "off",
        Status.UNATTEMPTED.value: "off",
    },
    stages={
        4001: ("session",),
        4004: ("query", "validate"),
        4005: ("refund",),
        4006: ("refund_status",),
        4008: ("webhook",),
    },
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
        }
    ),
    kinds=_KINDS,
    outcomes={
        "over_limit": "a try fails: Exceeds withdrawal amount limit",
        "in_progress": "PROCESSING for good, and nobody comes back",
        "unknown_then_paid": "PROCESSING, and nobody comes back; an hour later it is VALID",
        "unknown_then_failed": "PROCESSING, and nobody comes back; an hour later it is FAILED",
        "never_returns": "VALID and announced, but the browser never comes back",
        "late_success": "the browser says FAILED and a query PROCESSING; a minute later it is VALID",
        "insufficient_balance": "a try fails: Insufficient balance",
        "account_blocked": "a try fails: Do not honor",
        "risky": "VALID with risk_level 1: paid, and to be held",
        "charged_twice": "two VALID transactions of one tran_id: the payer was charged twice",
        "unattempted": "UNATTEMPTED: no way to pay was chosen",
        "expired": "EXPIRED: the payer took too long",
    },
    endings=(
        Ending(15, "risky", "it is paid, and taken for risky"),
        Ending(16, "charged_twice", "the payer is charged twice"),
        Ending(17, "unattempted", "it ends as if no way to pay had been chosen"),
        Ending(18, "expired", "it ends as if the payer had taken too long"),
    ),
    rules=RULES,
    unseen=UNSEEN,
    order_id=(
        r"[A-Za-z0-9_.-]{1,30}",
        "a tran_id of SSLCommerz has 1 to 30 letters, digits, dots, dashes and underscores",
    ),
)
