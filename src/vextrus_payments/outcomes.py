"""What a verb of the engine answers: frozen, exhaustively matchable."""

from dataclasses import dataclass, field
from datetime import datetime

from vextrus_payments.methods import PaymentMethod
from vextrus_payments.money import Money
from vextrus_payments.reasons import Reason
from vextrus_payments.secret import mask_account


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """Money moved to us, and it is in the ledger's queue."""

    payment_id: str
    amount: Money
    transaction_id: str
    payer_account: str | None = field(default=None, repr=False)
    paid_at: datetime | None = None
    fee: Money | None = None
    on_hold: bool = False
    """The gateway takes it for risky: the money is ours, and the goods are to be kept back until that is settled."""
    late: bool = False
    method: PaymentMethod | None = None
    """By what the payer paid (a wallet, a card ...), where the gateway says so."""

    @property
    def payer_account_masked(self) -> str | None:
        """The payer's account with its middle hidden, fit to be shown."""
        return mask_account(self.payer_account)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorized:
    """Money is held for us; capture or void it."""

    payment_id: str
    amount: Money
    transaction_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Not settled yet. `sent=False` means: we have sent nothing that could move money. It does not mean "not paid":
    where the payer pays on the gateway's page, he may have done so."""

    payment_id: str
    sent: bool
    retry_after_s: int | None = None
    operation_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """A final no. Nothing moved."""

    payment_id: str
    reason: Reason
    operation_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Nobody can tell yet whether money moved. Nothing is resent; status() or the reconciler resolves it."""

    payment_id: str
    operation_id: str
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """The gateway's facts contradict our records; a person has to look. What is ours is booked to suspense."""

    payment_id: str
    what: str
    amount: Money | None = None
    transaction_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunded:
    """Money went back to the payer."""

    payment_id: str
    operation_id: str
    amount: Money
    transaction_id: str
    refunded_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """Money left for its receiver, and it is in the ledger's queue."""

    payout_id: str
    operation_id: str
    amount: Money
    transaction_id: str
    fee: Money | None = None
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transferred:
    """Money moved between the merchant's own accounts at the gateway."""

    payout_id: str
    operation_id: str
    amount: Money
    transaction_id: str
    made_at: datetime | None = None


Outcome = Paid | Authorized | Pending | Declined | Unknown | Review
RefundOutcome = Refunded | Pending | Declined | Unknown
#: Of a payout or transfer, `payment_id` is its payout id.
PayoutOutcome = Sent | Pending | Declined | Unknown | Review
TransferOutcome = Transferred | Pending | Declined | Unknown | Review
