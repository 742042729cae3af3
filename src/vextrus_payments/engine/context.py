"""What every flow of the engine shares: its ports, its limits, and the steps around a claim."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final, Literal

from vextrus_payments.capabilities import Capabilities, Completion, RefundCorrelation
from vextrus_payments.clock import Clock, Sleeper
from vextrus_payments.consenting import AgreementClaim
from vextrus_payments.engine.epochs import EpochGuard
from vextrus_payments.engine.flights import Flights
from vextrus_payments.engine.recorder import Recorder
from vextrus_payments.errors import (
    ConfigurationError,
    ConflictError,
    Effect,
    GatewayBlockedError,
    GatewayError,
    InvalidRequestError,
    OutcomeUnknownError,
    PaymentsError,
    StorageError,
)
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.ids import Ids
from vextrus_payments.ledger import DEFAULT_ACCOUNTS, AccountMap
from vextrus_payments.money import Money
from vextrus_payments.observe import Observer
from vextrus_payments.paying_out import PayoutClaim
from vextrus_payments.plans import Claim, ClaimTerms
from vextrus_payments.records import Attempt, Exchange, PaymentFacts
from vextrus_payments.store import PaymentStore
from vextrus_payments.wire import CallContext, SendBy, Sent

#: (tenant, gateway name) -> a ready gateway. Raises UnknownGatewayError, ConfigurationError.
GatewaySource = Callable[[str, str], Awaitable[PaymentGateway]]
#: (tenant, gateway name) -> the address of our return door, None where no public address is known.
ReturnDoor = Callable[[str, str], str | None]

#: What the shop does with money that comes after a payment was closed.
LatePayment = Literal["keep", "refund"]

#: Told of a question to a gateway that got no answer, and of what could not be sent.
OnFailure = Callable[[GatewayError], None]
_HEARING: Final[ContextVar[OnFailure | None]] = ContextVar("vextrus_payments_hearing", default=None)

#: How soon a process looks again whether another one has finished.
_POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """The engine's own limits, in seconds where they are times."""

    send_window_s: int = 20
    """From the claim to the last moment at which the first byte may leave."""
    wait_s: float = 60.0
    """How long a caller waits for work that somebody else does, before it gets Pending."""
    max_submissions_per_call: int = 3
    """How many sessions one initialize asks for when answers get lost."""
    return_pause_s: float = 3.0
    """Browsers' returns that name one unfinished payment make this process ask the gateway once in so many seconds, not
    once each: they are anybody's word. Below the 5 s that a door waits; 0: each of them asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The engine's ports."""

    store: PaymentStore
    gateway: GatewaySource
    return_door: ReturnDoor
    recorder: Recorder
    flights: Flights
    clock: Clock
    sleeper: Sleeper
    ids: Ids
    observer: Observer
    accounts: AccountMap = DEFAULT_ACCOUNTS
    late_payment: LatePayment = "keep"
    epochs: EpochGuard | None = None
    limits: EngineLimits = field(default_factory=EngineLimits)

    async def payment(self, tenant: str, payment_id: str) -> PaymentFacts:
        """The payment's facts.

        Raises:
            InvalidRequestError: there is no such payment.
        """
        facts = await self.store.get(tenant, payment_id)
        if facts is None:
            raise InvalidRequestError(
                "There is no payment of that id here.", field="payment_id", rule="an id that initialize gave"
            )
        return facts

    async def gateway_of(self, facts: PaymentFacts) -> PaymentGateway:
        """The gateway the payment runs through, in the payment's own mode.

        Raises:
            ConfigurationError: the gateway is configured for the other mode now.
        """
        payment = facts.payment
        gateway = await self.gateway(payment.tenant, payment.gateway)
        if gateway.mode is not payment.mode:
            raise ConfigurationError(
                f"The payment was made in {payment.mode} mode, and {payment.gateway} is configured for {gateway.mode}.",
                code="mode_changed",
                next_step=f"Use {payment.mode} credentials for it.",
            ).about(gateway=payment.gateway, tenant=payment.tenant, payment_id=payment.payment_id)
        return gateway

    async def guard(self, tenant: str | None) -> None:
        """Before anything that may move money is let out; None: what is no tenant's.

        Raises:
            ReconciliationRequiredError: the store was restored, and has not been reconciled since, or without the
                tenant.
        """
        if self.epochs is not None:
            await self.epochs.check(tenant)

    async def order_skip(self, tenant: str, capabilities: Capabilities) -> int:
        """How many gateway order ids an initialize has to skip.

        Raises:
            ReconciliationRequiredError: as `guard`, where the payer's own click moves the money.
        """
        if self.epochs is None:
            return 0
        return await self.epochs.order_skip(
            tenant, moves_money=capabilities.completion is Completion.PAYER_COMPLETES
        )

    def terms(self, capabilities: Capabilities) -> ClaimTerms:
        """A claim's terms at this gateway."""
        return ClaimTerms(
            send_window_s=self.limits.send_window_s,
            settle_s=capabilities.hard_limit_s + capabilities.absence_margin_s,
            one_refund_at_a_time=capabilities.refund_correlation is RefundCorrelation.NONE,
        )

    def deadline(self) -> SendBy:
        """The sending deadline of a claim that is about to be asked for: never later than the store's."""
        window = self.limits.send_window_s
        return SendBy(self.clock.now() + timedelta(seconds=window), self.clock.monotonic() + window)

    def unanswered(self, error: GatewayError, *, event: str = "look_up.failed", **about: str) -> None:
        """No answer came, or nothing could be sent. It proves nothing, so everything stays as it is known."""
        self.observer.event(event, code=error.code, **about)
        hearing = _HEARING.get()
        if hearing is not None:
            hearing(error)

    async def pause(self, busy_for_s: int, waited_s: float) -> float:
        """Wait a little for somebody else; returns how long that was. Zero when the waiting time is used up."""
        left = self.limits.wait_s - waited_s
        wait_s = min(_POLL_S if waited_s < 5 else 1.0, float(busy_for_s), left)
        if wait_s <= 0 or self.flights.closing:
            return 0.0
        await self.sleeper.sleep(wait_s)
        return wait_s


@contextmanager
def hearing(on_failure: OnFailure) -> Iterator[None]:
    """Hear of every question that gets no answer in here, flights that start in here included."""
    token = _HEARING.set(on_failure)
    try:
        yield
    finally:
        _HEARING.reset(token)


class AttemptLog:
    """Collects one attempt's exchanges, for the payment log."""

    def __init__(self, context: Context, claim: Claim | AgreementClaim | PayoutClaim) -> None:
        self._context = context
        self._exchanges: list[Exchange] = []
        self._attempt = Attempt(
            tenant=claim.tenant,
            operation_id=claim.operation_id,
            payment_id=claim.payment_id,
            fence=claim.fence,
            started_at=context.store.now(),
            send_by=claim.send_by,
            amount=_amount_of(claim),
        )

    def call(self, deadline: SendBy) -> CallContext:
        """The context to hand to the adapter."""
        return CallContext(
            send_by=deadline,
            payment_id=self._attempt.payment_id,
            operation_id=self._attempt.operation_id,
            on_exchange=self._exchanges.append,
        )

    @property
    def may_have_left(self) -> bool:
        """True when a request of this attempt had begun to leave."""
        return any(exchange.sent != Sent.NO for exchange in self._exchanges)

    async def close(self, result: str) -> None:
        """Keep the attempt. It is history: failing to write it changes nothing about the money."""
        done = replace(
            self._attempt,
            finished_at=self._context.store.now(),
            result=result,
            exchanges=tuple(self._exchanges),
        )
        try:
            await self._context.store.note_attempt(done)
        except StorageError as error:
            self._context.observer.event("attempt.not_kept", code=error.code)


def _amount_of(claim: Claim | AgreementClaim | PayoutClaim) -> Money | None:
    if isinstance(claim, AgreementClaim):
        return None  # no money moves
    if isinstance(claim, PayoutClaim):
        return claim.payout.amount
    operation = claim.facts.operation(claim.operation_id)
    return operation.amount if operation is not None else None


def first_look_s(capabilities: Capabilities) -> int | None:
    """How soon a page is looked at that its payer may be about to pay; None: not before its time is over."""
    waits = capabilities.polling.session_s
    return waits[0] if waits else None


def in_doubt(error: Exception, log: AttemptLog | None = None) -> bool:
    """True when money may have moved by the call that raised this: everything not proven otherwise."""
    if isinstance(error, GatewayError | StorageError | ConflictError | ConfigurationError):
        return error.effect is Effect.UNKNOWN
    if isinstance(error, PaymentsError):
        # A rule that an answer broke (Money("1,500")) says nothing of what had been sent before it was read.
        return error.effect is Effect.UNKNOWN or (log is not None and log.may_have_left)
    # Not one of ours: a fault in an adapter proves nothing about what it had sent.
    return True


def answer_is_lost(error: Exception) -> bool:
    """True when a disposable call's answer did not reach us: what it made is not used, a fresh one is made."""
    return in_doubt(error) or isinstance(error, OutcomeUnknownError | GatewayBlockedError)
