"""What `vextrus-pay demo --gateway nagad` plays, and makes go wrong."""

from typing import Final

from vextrus_payments_sandbox.demo_script import Cast, Script, good, restless

CAST: Final = Cast(
    name="nagad",
    title="Nagad",
    payer_completes=True,
    announces=False,
    forged_return="payment_ref_id={reference}&status=Success&status_code=00_0000_000",
    fault="lost-complete",
)

PLAYS: Final = (
    good(CAST),
    Script(
        cast=CAST,
        name="lost-look-up",
        about="The payer has paid, but no answer to a look-up can be read.",
        at_return=({"operation": "verify", "fault": "malformed_before", "times": 100},),
    ),
    *restless(CAST, done="paid"),
    Script(
        cast=CAST,
        name="lost-complete",
        about="Nagad opens the page, but its answer to complete never arrives.",
        at_initialize=({"operation": "complete", "fault": "drop_after"},),
    ),
    Script(
        cast=CAST,
        name="lost-refund",
        about="Nagad gives the money back, but its answer to the refund never arrives.",
        at_refund=(
            {"operation": "refund", "fault": "drop_after"},
            # the payment is verified before the refund, as a baseline: that one is left alone
            {"operation": "verify", "fault": "delay;seconds=0"},
            {"operation": "verify", "fault": "malformed", "times": 100},
        ),
    ),
    Script(
        cast=CAST,
        name="wrong-key",
        about="An answer comes that somebody else has signed.",
        at_initialize=({"operation": "initialize", "fault": "wrong_key"},),
    ),
)
