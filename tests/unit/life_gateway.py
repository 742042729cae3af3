"""A gateway that tells the truth, slowly: it works on what was sent until its limit, and shows what it has done."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from vextrus_payments.money import Money
from vextrus_payments.payment import Intent
from vextrus_payments.records import OperationKind
from vextrus_payments.snapshots import PaymentSnapshot, RefundSnapshot, RefundState, SnapshotState

#: Finished by then, whatever it is; the rest of the settle time is margin.
LIMIT_S = 30


@dataclass
class Sent:
    """A request that is at the gateway."""

    payment_id: str
    operation_id: str
    kind: OperationKind
    fence: int
    amount: Money
    over_at: datetime
    done: bool = False
    refused: bool = False
    """Its sender has its answer: he will not say that it got lost."""
    made: str | None = None
    effect: bool = False


@dataclass
class Account:
    """What the gateway knows of one payment."""

    amount: Money
    intent: Intent
    order_id: str
    state: SnapshotState = SnapshotState.INITIATED
    transaction_id: str | None = None
    refunds: list[RefundSnapshot] = field(default_factory=list)
    refunded_by: dict[str, int] = field(default_factory=dict)
    """Operation id -> how often the gateway refunded for it."""

    @property
    def captured(self) -> int:
        """In paisa."""
        return self.amount.amount_minor if self.state is SnapshotState.PAID else 0

    @property
    def refunded(self) -> int:
        """In paisa."""
        return sum(r.amount.amount_minor for r in self.refunds if r.amount is not None)


class LifeGateway:
    """Every payment's truth, and what is on its way there."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.sent: list[Sent] = []
        self._counter = 0

    def _id(self, kind: str) -> str:
        self._counter += 1
        return f"{kind}{self._counter}"

    def receive(
        self,
        payment_id: str,
        operation_id: str,
        kind: OperationKind,
        fence: int,
        amount: Money,
        send_by: datetime,
        now: datetime,
    ) -> Sent:
        """A request has left within its deadline; the gateway works on it when it likes, up to its limit."""
        over_at = send_by + timedelta(seconds=LIMIT_S)
        for other in self.sent:
            same = (other.payment_id, other.kind) == (payment_id, kind)
            if same and (kind is not OperationKind.REFUND or other.operation_id == operation_id):
                assert not other.effect, "submitted again, and the gateway had done it"
                assert other.done or now > other.over_at, "submitted again while the gateway may be at it"
        request = Sent(payment_id, operation_id, kind, fence, amount, over_at)
        self.sent.append(request)
        return request

    def work(self, request: Sent, now: datetime) -> bool:
        """Do it, once; False: it is too late, done already, or refused."""
        account = self.accounts[request.payment_id]
        if request.done or now > request.over_at:
            return False
        request.done = True
        request.effect = self._do(account, request)
        return request.effect

    def _do(self, account: Account, request: Sent) -> bool:
        if request.kind is OperationKind.REFUND:
            return self._refund(account, request)
        if request.kind is OperationKind.EXECUTE:
            if account.state is not SnapshotState.INITIATED:
                return False
            held = account.intent is Intent.AUTHORIZATION
            account.state = SnapshotState.AUTHORIZED if held else SnapshotState.PAID
            account.transaction_id = self._id("TRX")
            return True
        if account.state is not SnapshotState.AUTHORIZED:
            return False
        capture = request.kind is OperationKind.CAPTURE
        account.state = SnapshotState.PAID if capture else SnapshotState.VOIDED
        return True

    def _refund(self, account: Account, request: Sent) -> bool:
        times = account.refunded_by.get(request.operation_id, 0)
        assert times == 0, "one refund operation was sent to effect twice"
        made = self.portal_refund(account, request.amount)
        if made is not None:
            account.refunded_by[request.operation_id] = 1
            request.made = made
        return made is not None

    def portal_refund(self, account: Account, amount: Money) -> str | None:
        """Give back, as the merchant himself; never more than was taken."""
        if account.refunded + amount.amount_minor > account.captured:
            return None
        refund_id = self._id("RF")
        account.refunds.append(
            RefundSnapshot(
                state=RefundState.COMPLETED,
                transaction_id=refund_id,
                original_transaction_id=account.transaction_id or "",
                amount=amount,
                raw_state="Completed",
            )
        )
        return refund_id

    def show(self, payment_id: str) -> PaymentSnapshot:
        """The payment as it is now."""
        account = self.accounts[payment_id]
        return PaymentSnapshot(
            state=account.state,
            gateway_reference=f"GR/{payment_id}",
            gateway_order_id=account.order_id,
            raw_state=account.state.value,
            amount=account.amount,
            transaction_id=account.transaction_id,
        )
