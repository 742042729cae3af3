"""An agreement, as the engine gives it back."""

from datetime import UTC, datetime

from vextrus_payments.mode import Mode
from vextrus_payments.records import Agreement, AgreementLife

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def given_agreement(key: str, state: AgreementLife = AgreementLife.ACTIVE) -> Agreement:
    """One of this key."""
    return Agreement(
        tenant="default",
        agreement_key=key,
        gateway="bkash",
        mode=Mode.SANDBOX,
        payer_reference="payer-1",
        state=state,
        created_at=NOW,
        updated_at=NOW,
        version=1,
    )
