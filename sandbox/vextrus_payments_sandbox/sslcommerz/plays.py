"""What `vextrus-pay demo --gateway sslcommerz` plays, and makes go wrong."""

from typing import Final

from vextrus_payments_sandbox.demo_script import Cast, Script, good, restless

CAST: Final = Cast(
    name="sslcommerz",
    title="SSLCommerz",
    payer_completes=True,
    announces=False,
    forged_return="result=success&value_d={reference}&status=VALID",
    fault="lost-look-up",
)

PLAYS: Final = (
    good(CAST),
    Script(
        cast=CAST,
        name="lost-look-up",
        about="The payer has paid, but no answer to a look-up can be read.",
        at_return=(
            {"operation": "query", "fault": "malformed_before", "times": 100},
            {"operation": "validate", "fault": "malformed_before", "times": 100},
        ),
    ),
    *restless(CAST, done="paid"),
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
