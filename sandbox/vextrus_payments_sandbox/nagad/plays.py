"""What `vextrus-pay demo --gateway nagad` plays, and makes go wrong."""

from typing import Final

from vextrus_payments_sandbox.demo_script import Cast, Script

CAST: Final = Cast(
    name="nagad",
    title="Nagad",
    payer_completes=True,
    announces=False,
    forged_return="payment_ref_id={reference}&status=Success&status_code=00_0000_000",
    fault="lost-complete",
)

PLAYS: Final = (
    Script(cast=CAST, name="", about="Everything goes well."),
    Script(
        cast=CAST,
        name="lost-look-up",
        about="The payer has paid, but no answer to a look-up can be read.",
        at_return=({"operation": "verify", "fault": "malformed_before", "times": 100},),
    ),
    Script(
        cast=CAST,
        name="double-click",
        about="Two tabs come back at the same moment, each to a server of its own.",
        tabs=2,
    ),
    Script(
        cast=CAST,
        name="duplicate-return",
        about="The payer reloads the return page, twice.",
        reloads=2,
    ),
    Script(
        cast=CAST,
        name="early-return",
        about="Somebody forges the return before the payer has paid anything.",
        early_return=True,
    ),
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
