"""What `vextrus-pay demo --gateway sslcommerz` plays, and makes go wrong."""

from typing import Final

from vextrus_payments_sandbox.demo_script import Cast, Script

CAST: Final = Cast(
    name="sslcommerz",
    title="SSLCommerz",
    payer_completes=True,
    announces=False,
    forged_return="result=success&value_d={reference}&status=VALID",
    fault="lost-look-up",
)

PLAYS: Final = (
    Script(cast=CAST, name="", about="Everything goes well."),
    Script(
        cast=CAST,
        name="lost-look-up",
        about="The payer has paid, but no answer to a look-up can be read.",
        at_return=(
            {"operation": "query", "fault": "malformed_before", "times": 100},
            {"operation": "validate", "fault": "malformed_before", "times": 100},
        ),
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
        name="lost-session",
        about="SSLCommerz opens the session, but its answer never arrives.",
        at_initialize=({"operation": "session", "fault": "drop_after"},),
    ),
    Script(
        cast=CAST,
        name="sleeping-store",
        about="Once, SSLCommerz takes the store for de-activated.",
        at_return=({"operation": "query", "fault": "inactive_store"},),
    ),
)
