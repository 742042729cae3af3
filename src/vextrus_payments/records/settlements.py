"""What a gateway's statement says of a receipt."""

from dataclasses import dataclass
from datetime import date, datetime

from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.records.rows import ReceiptKey
from vextrus_payments.records.words import ReceiptKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What a statement of the gateway says of one receipt. At most one per receipt; it changes only by a correction."""

    tenant: str
    gateway: str
    mode: Mode
    kind: ReceiptKind
    transaction_id: str
    payment_id: str | None
    amount: Money
    """Gross, as the statement has it."""
    fee: Money | None
    settled_on: date
    """A day in Asia/Dhaka."""
    statement: str
    """The statement's name."""
    row: int
    recorded_at: datetime
    version: int
    outbox_seq: int = 0
    """The last sequence number given to an outbox row of this settlement."""
    no: int = 1
    """The receipt's."""

    @property
    def key(self) -> ReceiptKey:
        """The receipt it settles."""
        return ReceiptKey(self.tenant, self.gateway, self.mode, self.kind, self.transaction_id, self.no)
