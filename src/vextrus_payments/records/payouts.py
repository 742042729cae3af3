"""Money that leaves, or moves between the merchant's own accounts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payouts import PayoutKind, TransferDirection
from vextrus_payments.records.rows import Operation, Receipt, Resolution
from vextrus_payments.records.words import OperationState, ReceiptKind

#: Evidence of a payout that the gateway tells otherwise of it than the books have it, and that a person has answered.
PAYOUT_CONTRADICTED: Final = "payout.contradicted"
PAYOUT_REVIEWED: Final = "payout.reviewed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payout:
    """Money that was to leave, or to move between the merchant's own accounts, once, with the operation that does it.

    Its life is its operation's state. There is no second submission beside the first: what may have moved money stays
    unknown until somebody can tell.
    """

    tenant: str
    payout_id: str
    """Ours, and what the gateway sees as our number of it."""
    gateway: str
    mode: Mode
    kind: PayoutKind
    amount: Money
    reference: str
    operation: Operation
    created_at: datetime
    updated_at: datetime
    version: int
    receiver: str | None = field(default=None, repr=False)
    direction: TransferDirection | None = None
    receipts: tuple[Receipt, ...] = ()
    """Everything that was booked of it, oldest first; a reversal takes back what an operator had said."""
    resolutions: tuple[Resolution, ...] = ()
    correlation_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    outbox_seq: int = 0

    @property
    def operation_id(self) -> str:
        """The caller's id of it."""
        return self.operation.operation_id

    @property
    def state(self) -> OperationState:
        """How far it has come."""
        return self.operation.state

    @property
    def standing(self) -> tuple[Receipt, ...]:
        """The receipts that were not taken back. More than one: money left more than once, for a person to look at."""
        back = [r for r in self.receipts if r.kind is ReceiptKind.REVERSAL]
        return tuple(
            r
            for r in self.receipts
            if r.kind is not ReceiptKind.REVERSAL and not any(one.takes_back(r) for one in back)
        )

    @property
    def contradicted(self) -> bool:
        """Whether the gateway told otherwise of it than it is booked, and no person has answered since."""
        told = [e.step for e in self.operation.evidence if e.step in (PAYOUT_CONTRADICTED, PAYOUT_REVIEWED)]
        return bool(told) and told[-1] == PAYOUT_CONTRADICTED

    @property
    def in_review(self) -> bool:
        """Whether a person has to look: it is contradicted, or money moved otherwise than asked and nobody has said a
        word of that."""
        return self.contradicted or any(r.mismatched and not self._is_reviewed(r) for r in self.standing)

    def _is_reviewed(self, receipt: Receipt) -> bool:
        answers = (e.data.get("transactions") for e in self.operation.evidence if e.step == PAYOUT_REVIEWED)
        return any(isinstance(ids, list) and receipt.transaction_id in ids for ids in answers)
