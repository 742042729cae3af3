"""One payment from beginning to end over a gateway alone: initialize, approve, execute once, then only look.

This is the plain road for scripts and tests. It keeps nothing: what a crash, a cancelled task or a power cut leaves
behind, only the gateway's portal tells. `Payments` walks the same road over a durable store.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from vextrus_payments.capabilities import Capabilities
from vextrus_payments.clock import Clock, Sleeper
from vextrus_payments.errors import (
    DeclinedError,
    Effect,
    GatewayError,
    NotSentError,
    OutcomeUnknownError,
    PaymentsError,
    ThrottledError,
)
from vextrus_payments.ids import Entropy, Ids
from vextrus_payments.outcomes import Authorized, Declined, Outcome, Paid, Pending, Review, Unknown
from vextrus_payments.payment import Evidence, ExecuteCall, Intent, PaymentRequest, PaymentSession, StatusCall
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.retry import fraction
from vextrus_payments.snapshots import PaymentSnapshot, SnapshotState
from vextrus_payments.wire import OnCheckpoint

Approve = Callable[[PaymentSession], Awaitable[None]]

FIRST_WAIT_S: Final = 1.0
MAX_WAIT_S: Final = 15.0
_OPEN: Final = (SnapshotState.INITIATED, SnapshotState.APPROVED)


class Verbs(Protocol):
    """The verbs that the road needs."""

    @property
    def capabilities(self) -> Capabilities: ...

    async def initialize_payment(
        self,
        request: PaymentRequest,
        *,
        gateway_order_id: str | None = None,
        payment_id: str | None = None,
        submission_no: int = 1,
        on_checkpoint: OnCheckpoint | None = None,
    ) -> PaymentSession: ...

    async def execute_payment(self, call: ExecuteCall) -> PaymentSnapshot: ...

    async def get_payment_status(self, call: StatusCall) -> PaymentSnapshot: ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How to wait between tries."""

    clock: Clock
    sleeper: Sleeper
    entropy: Entropy

    async def wait(self, number: int) -> None:
        """Wait before the `number`-th repetition (1, 2 ...): longer each time, with jitter."""
        grown_s: float = min(FIRST_WAIT_S * 2.0 ** min(number - 1, 30), MAX_WAIT_S)
        await self.sleeper.sleep(grown_s * (0.5 + fraction(self.entropy) / 2))


async def process_payment(
    gateway: Verbs, request: PaymentRequest, *, approve: Approve, max_retries: int, patience: Patience
) -> Outcome:
    """See `PaymentGateway.process_payment_with_retry`."""
    if isinstance(max_retries, bool) or not isinstance(max_retries, int) or max_retries < 0:
        raise ValueError("max_retries is a whole number from 0")
    payment_id = Ids(patience.clock, patience.entropy).new("pay")
    try:
        session = await _initialize(gateway, request, payment_id, max_retries, patience)
    except DeclinedError as error:
        if not error.final:
            raise
        return Declined(payment_id=payment_id, reason=error.reason, operation_id=request.operation_id)
    await approve(session)
    road = _Road(
        gateway=gateway,
        session=session,
        intent=request.intent,
        max_retries=max_retries,
        patience=patience,
        since=patience.clock.now(),
    )
    return await road.execute()


async def _initialize(
    gateway: Verbs, request: PaymentRequest, payment_id: str, max_retries: int, patience: Patience
) -> PaymentSession:
    """A session; a submission that was not sent or whose answer got lost is left alone, under its own order id."""
    for submission_no in range(1, max_retries + 2):
        try:
            return await gateway.initialize_payment(
                request,
                gateway_order_id=gateway.capabilities.order_id.make(
                    request.merchant_reference, submission_no
                ),
                payment_id=payment_id,
                submission_no=submission_no,
                on_checkpoint=_keep_nothing,
            )
        except (NotSentError, OutcomeUnknownError) as error:
            # An answer that was lost on a step that moves nothing: its session can never be paid, a new one may.
            if error.effect is not Effect.NONE or submission_no > max_retries:
                raise
        await patience.wait(submission_no)
    raise AssertionError("the last try returns or raises")


@dataclass(slots=True, kw_only=True)
class _Road:
    """One session's way from approval to outcome. From here on nothing is initialized again."""

    gateway: Verbs
    session: PaymentSession
    intent: Intent
    max_retries: int
    patience: Patience
    since: datetime

    async def execute(self) -> Outcome:
        """The one execute: sent again only while it is proven that it never left."""
        session = self.session
        call = ExecuteCall(
            gateway_reference=session.gateway_reference,
            gateway_order_id=session.gateway_order_id,
            amount=session.amount,
            intent=self.intent,
        )
        number = 0
        while True:
            number += 1
            try:
                snapshot = await self.gateway.execute_payment(call)
            except GatewayError as error:
                failure = error
            else:
                return self._settled(snapshot) or await self._look(None)
            unsent = isinstance(failure, NotSentError) and failure.effect is Effect.NONE
            if not unsent or number > self.max_retries:
                return await self._judge(failure)
            await self.patience.wait(number)

    async def _judge(self, failure: GatewayError) -> Outcome:
        """What a failed execute means: only what is proven is called by its name."""
        if failure.effect is Effect.UNKNOWN:
            return await self._look(None)
        if isinstance(failure, DeclinedError):
            return await self._look(failure) if failure.look_up_first else self._refused(failure)
        if failure.effect is Effect.NONE:
            wait_s = failure.retry_after_s if isinstance(failure, ThrottledError) else None
            return Pending(payment_id=self.session.payment_id, sent=False, retry_after_s=wait_s)
        return self._pending()

    async def _look(self, refusal: DeclinedError | None) -> Outcome:
        """Only look-ups, until one settles it; when they are used up, what is known by then."""
        session = self.session
        call = StatusCall(
            gateway_reference=session.gateway_reference,
            gateway_order_id=session.gateway_order_id,
            amount=session.amount,
            intent=self.intent,
        )
        last = max(1, self.max_retries)
        for number in range(1, last + 1):
            try:
                snapshot = await self.gateway.get_payment_status(call)
            except PaymentsError:
                snapshot = None  # a look-up that fails proves nothing; the next one may not
            if snapshot is not None:
                found = self._settled(snapshot)
                if found is not None:
                    return found
                if refusal is not None and snapshot.state in _OPEN:
                    return self._refused(refusal)
            if number < last:
                await self.patience.wait(number)
        return Unknown(payment_id=session.payment_id, operation_id=self._operation, since=self.since)

    def _settled(self, snapshot: PaymentSnapshot) -> Outcome | None:
        """The outcome that a picture proves; None when it proves none."""
        payment_id, amount = self.session.payment_id, snapshot.amount or self.session.amount
        match snapshot.state:
            case SnapshotState.PAID if snapshot.transaction_id:
                return Paid(
                    payment_id=payment_id,
                    amount=amount,
                    transaction_id=snapshot.transaction_id,
                    payer_account=snapshot.payer_account,
                    paid_at=snapshot.occurred_at,
                    fee=snapshot.fee,
                    on_hold=snapshot.on_hold,
                    method=snapshot.method,
                )
            case SnapshotState.AUTHORIZED:
                return Authorized(
                    payment_id=payment_id, amount=amount, transaction_id=snapshot.transaction_id
                )
            case SnapshotState.REVIEW | SnapshotState.PAID:
                differs = ", ".join(sorted(snapshot.mismatches)) or "transaction_id"
                return Review(
                    payment_id=payment_id,
                    what=f"The gateway's answer differs from what was asked in: {differs}.",
                    amount=snapshot.amount,
                    transaction_id=snapshot.transaction_id,
                )
            case SnapshotState.CANCELLED | SnapshotState.VOIDED:
                return self._closed(ReasonCode.PAYMENT_CANCELLED)
            case SnapshotState.EXPIRED:
                return self._closed(ReasonCode.PAYMENT_EXPIRED)
            case SnapshotState.DECLINED:
                return self._closed(ReasonCode.UNKNOWN_ERROR)
            case SnapshotState.INITIATED | SnapshotState.APPROVED | SnapshotState.UNRECOGNIZED:
                return None

    def _closed(self, code: ReasonCode) -> Declined:
        return Declined(
            payment_id=self.session.payment_id, reason=Reason(code=code), operation_id=self._operation
        )

    def _refused(self, refusal: DeclinedError) -> Outcome:
        """The gateway's no, as final as it is: "the payer is not done yet" declines nothing."""
        if not refusal.final:
            return self._pending()
        return Declined(
            payment_id=self.session.payment_id, reason=refusal.reason, operation_id=self._operation
        )

    def _pending(self) -> Pending:
        return Pending(payment_id=self.session.payment_id, sent=True, operation_id=self._operation)

    @property
    def _operation(self) -> str:
        return f"execute/{self.session.payment_id}/{self.session.submission_no}"


async def _keep_nothing(evidence: Evidence) -> None:
    """This road survives no crash, so nothing has to."""
