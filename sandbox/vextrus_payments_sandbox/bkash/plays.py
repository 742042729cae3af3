"""What `vextrus-pay demo --gateway bkash` plays, and makes go wrong."""

from typing import Final

from vextrus_payments_sandbox.demo_script import Cast, Script, good, restless

CAST: Final = Cast(
    name="bkash",
    title="bKash",
    payer_completes=False,
    announces=True,
    forged_return="paymentID={reference}&status=success",
    fault="lost-answer",
)

_GONE: Final = {"operation": "execute", "fault": "drop_after"}
_BLIND: Final = {"operation": "query", "fault": "malformed_before", "times": 100}

PLAYS: Final = (
    good(CAST),
    Script(
        cast=CAST,
        name="lost-answer",
        about="bKash takes the money, but its answer to execute never arrives.",
        at_return=(_GONE, _BLIND),
    ),
    Script(
        cast=CAST,
        name="webhook",
        about="bKash takes the money, its answer never arrives, and its webhook is the first word of it.",
        at_return=(_GONE, _BLIND),
        webhook_settles=True,
    ),
    *restless(CAST, done="confirmed"),
    Script(
        cast=CAST,
        name="lost-create",
        about="bKash opens the payment, but its answer to create never arrives.",
        at_initialize=({"operation": "create", "fault": "drop_after"},),
    ),
    Script(
        cast=CAST,
        name="lost-refund",
        about="bKash gives the money back, but its answer to refund never arrives.",
        at_refund=(
            {"operation": "refund", "fault": "drop_after"},
            # the list of refunds is read before the refund, as a baseline: that one is left alone
            {"operation": "refund_status", "fault": "delay;seconds=0"},
            {"operation": "refund_status", "fault": "malformed", "times": 100},
        ),
    ),
    Script(
        cast=CAST,
        name="expired-token",
        about="The gateway's front door refuses the token in the middle of the payment.",
        at_return=({"operation": "execute", "fault": "expired_token"},),
    ),
    Script(
        cast=CAST,
        name="declined",
        about="The payer's wallet has too little balance.",
        payer={"wallet": "01823074817"},
        ends="declined",
    ),
    Script(
        cast=CAST,
        name="cancelled",
        about="The payer presses Cancel on the payment page.",
        button="Cancel",
        ends="declined",
    ),
)
