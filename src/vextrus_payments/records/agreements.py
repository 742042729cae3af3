"""A payer's standing consent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from pydantic import JsonValue

from vextrus_payments.mode import Mode
from vextrus_payments.records.rows import Operation
from vextrus_payments.records.words import AgreementLife

#: The step under which the operation that asks for a subscription keeps its terms, before anything is sent.
AGREEMENT_TERMS: Final = "agreement.terms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """A payer's standing consent, and every operation on it. With its id one can charge: not in repr."""

    tenant: str
    agreement_key: str
    """Ours; exists before the gateway has named it."""
    gateway: str
    mode: Mode
    payer_reference: str = field(repr=False)
    state: AgreementLife
    created_at: datetime
    updated_at: datetime
    version: int
    operations: tuple[Operation, ...] = ()
    gateway_reference: str | None = field(default=None, repr=False)
    """Of the session in which the payer was to consent; with some gateways it is the id that one charges by."""
    checkout_url: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    agreement_id: str | None = field(default=None, repr=False)
    """The gateway's."""
    payer_account: str | None = field(default=None, repr=False)
    return_url: str | None = None
    correlation_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    outbox_seq: int = 0

    @property
    def terms(self) -> Mapping[str, JsonValue] | None:
        """Of a subscription: the terms by which the gateway collects by itself, as they were asked for."""
        found = self._asked_for().get("terms")
        return found if isinstance(found, dict) else None

    @property
    def merchant_reference(self) -> str:
        """Of a subscription: under which of our references its payments are booked."""
        found = self._asked_for().get("merchant_reference")
        return found if isinstance(found, str) else self.agreement_key

    @property
    def beside(self) -> str | None:
        """The key of the agreement whose payer consented a second time, on another page of it; None: it is none such.

        Both hold, and under both the gateway collects; each is ended by its own key, and both by the first one's.
        """
        found = self._asked_for().get("beside")
        return found if isinstance(found, str) else None

    def _asked_for(self) -> Mapping[str, JsonValue]:
        kept = (e.data for o in self.operations for e in o.evidence if e.step == AGREEMENT_TERMS)
        return next(kept, {})

    def operation(self, operation_id: str) -> Operation | None:
        """The operation of that id, if the agreement has it."""
        return next((o for o in self.operations if o.operation_id == operation_id), None)
