"""The abstract payment gateway: the verbs every gateway answers to, and the hooks an adapter fills in.

The life of a payment, in plain words
-------------------------------------
1. `initialize_payment` tells the gateway what to collect and brings back a session with the page to send the payer
   to. No money moves; a session whose answer got lost is simply not used.
2. The payer approves on the gateway's page and the browser comes back: `parse_return` reads that return. It is a
   hint from an unauthenticated browser and proves nothing.
3. `execute_payment` makes the money move (where the payer's last click moves it, it looks the payment up). It is
   sent once. It succeeds, is declined, or nobody knows; for the last case there is
4. `get_payment_status`, which only looks. It may be repeated as often as the gateway's manners allow.
5. `capture_payment` or `void_payment` end an authorization; `refund_payment` gives money back, once per operation.

Every verb either returns what the gateway confirmed or raises; an error's `effect` says whether money may have
moved: NONE and REFUSED mean it did not, UNKNOWN means that only a look-up can tell, and that nothing may be resent.

An adapter brings generators (see wire.py) and runs them by `drive`, which adds credentials, safe retries, the
circuit breaker and the redacted log. The verbs here keep no state between calls: with `Payments` around
them a crash loses nothing; alone, what the caller does not keep is gone.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Final, Self, TypedDict, TypeVar

from vextrus_payments.breaker import Breaker
from vextrus_payments.capabilities import Capabilities
from vextrus_payments.clock import Clock, Sleeper, SystemClock, SystemSleeper
from vextrus_payments.config import GatewayConfig
from vextrus_payments.errors import SignatureError
from vextrus_payments.events import Confirm, Delivery, Events, Ignored, ReturnHint
from vextrus_payments.gateways.driver import Driver
from vextrus_payments.gateways.front_door import Authorization, FrontDoor
from vextrus_payments.gateways.lifecycle import Patience, process_payment
from vextrus_payments.gateways.optional_verbs import OptionalVerbs
from vextrus_payments.gateways.requests import check_amount_within, checked_order_id
from vextrus_payments.ids import Entropy, Ids, SystemEntropy
from vextrus_payments.meanings import ErrorMeaning
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.observe import Observer
from vextrus_payments.outcomes import Outcome
from vextrus_payments.payment import (
    Evidence,
    ExecuteCall,
    PaymentRequest,
    PaymentSession,
    RefundCall,
    StatusCall,
)
from vextrus_payments.retry import RetryPolicy
from vextrus_payments.snapshots import (
    PaymentSnapshot,
    RefundSnapshot,
)
from vextrus_payments.token_port import TokenHealth
from vextrus_payments.transport import Transport
from vextrus_payments.wire import CallContext, OnCheckpoint, Safety, WireCall, WireRequest, WireResponse

if TYPE_CHECKING:
    from vextrus_payments.tokens.cache import TokenCache

__all__ = ["Adapter", "Authorization", "FrontDoor", "GatewayParts", "PaymentGateway"]

T = TypeVar("T")

NO_CONTEXT: Final = CallContext()


class GatewayParts(TypedDict, total=False):
    """What a gateway is made with beside its configuration: an adapter's constructor hands it on as it came."""

    tenant: str
    transport: Transport | None
    tokens: "TokenCache | None"
    clock: Clock | None
    sleeper: Sleeper | None
    entropy: Entropy | None
    retry: RetryPolicy | None
    breaker: Breaker | None
    observer: Observer | None


class PaymentGateway(OptionalVerbs, ABC):
    """One gateway of one tenant, ready to be called. Use it as `async with`; several tasks may share it.

    The constructor does no I/O. What is not passed in is made here: the system's clock and randomness, the shared
    transport (opened on first use), a circuit breaker of its own, the redacted log (logs.py).

    Every verb takes `context` (for errors, the log and the sending deadline). The ones that need several requests
    also take `resume`, the evidence an earlier attempt saved, and `on_checkpoint`, which must make evidence durable
    before it returns.
    """

    name: ClassVar[str]
    """The gateway's short name: "bkash"."""

    def __init__(
        self,
        config: GatewayConfig,
        *,
        tenant: str = "default",
        transport: Transport | None = None,
        tokens: "TokenCache | None" = None,
        clock: Clock | None = None,
        sleeper: Sleeper | None = None,
        entropy: Entropy | None = None,
        retry: RetryPolicy | None = None,
        breaker: Breaker | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._config = config
        self._tenant = tenant
        self._clock: Clock = clock or SystemClock()
        self._sleeper: Sleeper = sleeper or SystemSleeper()
        self._entropy: Entropy = entropy or SystemEntropy()
        self._ids = Ids(self._clock, self._entropy)
        self._began = self._clock.now(), self._clock.monotonic()
        self._tokens = tokens
        self._transport = transport
        self._owns_transport = False
        self._observer: Observer = observer or _the_log()
        self._driver = Driver(
            self,
            gateway=self.name,
            tenant=tenant,
            transport=self._open_transport,
            timeout_s=config.timeout_s,
            clock=self._clock,
            sleeper=self._sleeper,
            entropy=self._entropy,
            retry=retry or RetryPolicy(),
            breaker=breaker or Breaker(self._clock),
            observer=self._observer,
            conceal=config.concealer(),
        )

    # --- what it is -----------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this gateway, as configured, can do."""

    @property
    def config(self) -> GatewayConfig:
        """What it was made from."""
        return self._config

    @property
    def mode(self) -> Mode:
        """Whose money it moves."""
        return self._config.mode

    @property
    def tenant(self) -> str:
        """On whose behalf it works."""
        return self._tenant

    @property
    def address(self) -> str:
        """The root of the API it asks."""
        return self._config.api_url

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}, {self.mode.value}, tenant {self._tenant}>"

    # --- opening and closing --------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._open_transport()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close what this gateway opened itself; what was passed in stays open. A second call does nothing."""
        if self._owns_transport and self._transport is not None:
            transport, self._transport = self._transport, None
            self._owns_transport = False
            await transport.aclose()

    def _open_transport(self) -> Transport:
        """The transport; the first call opens the shared one of this event loop, proxy and TLS policy."""
        transport = self._transport
        if transport is None:
            from vextrus_payments.transport import shared_transport

            config = self._config
            transport = self._transport = shared_transport(
                clock=self._clock, proxy=config.proxy, ssl_context=config.ssl_context
            )
            self._owns_transport = True
        return transport

    # --- for whoever looks after it -------------------------------------------------------------------------

    async def knock(self) -> WireResponse:
        """Ask for the root of the API, without credentials: any answer at all says that the gateway can be reached.

        Moves nothing, takes no token and costs no grant.

        Raises:
            GatewayError: no answer came.
        """
        request = WireRequest("GET", self._config.api_url, (("Accept", "application/json"),))
        return await self._open_transport().send(
            request, safety=Safety.READ, timeout_s=self._config.timeout_s
        )

    async def token_health(self) -> TokenHealth | None:
        """How its token and its budget of grants stand; None: it needs none. Asks nobody.

        Raises:
            StorageError: they are kept where nothing can be read now.
        """
        return None

    # --- the verbs ------------------------------------------------------------------------------------------

    @abstractmethod
    async def initialize_payment(
        self,
        request: PaymentRequest,
        *,
        gateway_order_id: str | None = None,
        callback_url: str | None = None,
        payment_id: str | None = None,
        submission_no: int = 1,
        context: CallContext | None = None,
        resume: Evidence | None = None,
        on_checkpoint: OnCheckpoint | None = None,
    ) -> PaymentSession:
        """Open one submission of a payment at the gateway. No money moves.

        Args:
            gateway_order_id: ours, what the gateway sees; unique per submission. Made from the merchant reference
                and the submission's number where it is not given.
            callback_url: where the gateway sends the browser back to; else the configuration's.
            payment_id: our id of the payment; a fresh one where it is not given.

        Raises:
            InvalidRequestError: the gateway would refuse the request; nothing was sent.
            DeclinedError: the gateway refused it.
            GatewayError: no session came; effect NONE, for a session nobody got cannot be paid. Try again with
                another gateway order id.
        """

    @abstractmethod
    async def execute_payment(
        self, call: ExecuteCall, *, context: CallContext | None = None, resume: Evidence | None = None
    ) -> PaymentSnapshot:
        """Make the approved payment happen: sent once (where the payer completes, looked up).

        Returns only a success: PAID or AUTHORIZED, or REVIEW when money moved but not as asked (see `mismatches`).

        Args:
            resume: evidence of an earlier attempt whose end is unknown: then only look-ups are made.

        Raises:
            DeclinedError: the gateway refused; `final` and `look_up_first` say what that leaves open.
            NotSentError, AuthenticationRejectedError, ThrottledError: nothing moved by this call.
            OutcomeUnknownError, GatewayBlockedError: nobody can tell; look it up, never execute again.
        """

    @abstractmethod
    async def get_payment_status(
        self, call: StatusCall, *, context: CallContext | None = None
    ) -> PaymentSnapshot:
        """Look the payment up. Changes nothing.

        Raises:
            GatewayError: no picture came; it says nothing about the payment.
        """

    @abstractmethod
    async def refund_payment(
        self,
        call: RefundCall,
        *,
        context: CallContext | None = None,
        resume: Evidence | None = None,
        on_checkpoint: OnCheckpoint | None = None,
    ) -> RefundSnapshot:
        """Give money back, once.

        Args:
            resume: what an earlier attempt saved before its end became unknown: then only look-ups are made, never
                a second refund.
            on_checkpoint: required where the protocol must remember something first (bKash: the refunds that were
                there before this one).

        Raises:
            ConfigurationError: `on_checkpoint` is required and missing; nothing was sent.
            DeclinedError: the gateway refused.
            OutcomeUnknownError: nobody can tell; `look_up_refund`, never refund again.
        """

    # --- what comes from outside ----------------------------------------------------------------------------

    @abstractmethod
    def parse_return(self, params: Mapping[str, str]) -> ReturnHint:
        """Read the browser's return. It is a hint: anybody can forge it, so it only says which payment to look at.

        Raises:
            InvalidRequestError: it names no payment.
        """

    async def handle_webhook(self, delivery: Delivery) -> Events | Confirm | Ignored:
        """Verify a delivery and read it; nothing is recorded here. This default refuses every delivery.

        Raises:
            SignatureError: the delivery does not prove its sender, or this gateway cannot check it.
            WebhookError: it is too old, or no webhook of this gateway at all.
            GatewayError: it cannot be decided now; the sender is to try again.
        """
        self.validate_webhook_signature(delivery)
        raise SignatureError(
            f"{self.name} has no webhook reader configured, so the delivery was refused unread.",
            code="no_verifier",
            gateway=self.name,
            tenant=self._tenant,
        )

    async def confirm_webhook(self, confirm: Confirm) -> None:
        """Answer a sender who asked, by a delivery that `handle_webhook` has proven, whether it may send here. Doing
        it twice is the same as once. This default refuses.

        Raises:
            UnsupportedOperationError: no sender of this gateway asks.
            SignatureError: the address is not one of the sender's; nothing was fetched.
            GatewayError: the sender did not take the answer; it asks again.
        """
        raise self.unsupported("confirm_webhook")

    # --- the whole road ---------------------------------------------------------------------------------------

    async def process_payment_with_retry(
        self,
        request: PaymentRequest,
        *,
        approve: Callable[[PaymentSession], Awaitable[None]],
        max_retries: int = 3,
    ) -> Outcome:
        """Take one payment from beginning to end: initialize, `approve`, execute once, then only look-ups.

        * Initialize is repeated, at most `max_retries` times and each time with a new gateway order id, only when it
          was not sent or its answer got lost: a session that nobody got cannot be paid.
        * `approve(session)` sends the payer to `session.checkout_url` and returns when he is back. What it raises
          passes through; nothing is executed then.
        * Execute is claimed once. It is sent again only while it is proven that no byte of it left. When nobody can
          tell what became of it, the payment is looked up, at most `max_retries` times (at least once), with growing
          waits. After the claim nothing is ever initialized again.

        It survives no crash: it keeps nothing, so a process that dies between execute and answer leaves a payment
        behind that only the gateway knows. So does a cancelled task. Where that matters use `Payments`, which does
        the same over a durable store; gateway order ids, too, are unique only within this one call.

        Returns:
            Paid, Authorized, Declined (final only), Pending (the payer is not done, or nothing was sent), Review, or
            Unknown: never a failure that nobody has proven.

        Raises:
            GatewayError: there is no session, and nothing moved (`effect` NONE or REFUSED).
            InvalidRequestError, ConfigurationError: before anything was sent.
        """
        patience = Patience(self._clock, self._sleeper, self._entropy)
        return await process_payment(
            self, request, approve=approve, max_retries=max_retries, patience=patience
        )

    # --- hooks for adapters -----------------------------------------------------------------------------------

    async def authorize(self, context: CallContext) -> Authorization | None:
        """The headers that let a request in; make them once per token. None: this gateway has none."""
        return None

    async def reject_authorization(self, authorization: Authorization) -> None:
        """The front door rejected this one: forget its token, unless a newer one took its place already."""
        return None

    def front_door(self, response: WireResponse) -> FrontDoor | None:
        """Which listed front-door body this answer is. Only bodies known to stand before business logic count.

        Called for every answer: look at the status first.
        """
        return None

    @abstractmethod
    def map_error_code(self, operation: str, code: str) -> ErrorMeaning:
        """What a code of this gateway means on this operation; a code nobody documented has an unknown outcome."""

    @abstractmethod
    def validate_webhook_signature(self, delivery: Delivery) -> None:
        """Check who sent a delivery.

        Raises:
            SignatureError: it does not prove the sender.
            TimestampOutsideWindowError: the signed time is too far from now.
        """

    async def drive(
        self,
        call: WireCall[T],
        *,
        context: CallContext | None = None,
        on_checkpoint: OnCheckpoint | None = None,
        checkpoints: bool = False,
    ) -> T:
        """Run a protocol generator: see driver.py.

        Args:
            checkpoints: True when the protocol yields Checkpoint; then `on_checkpoint` is required, and its absence
                is a ConfigurationError before anything is sent. A run that resumes and only looks passes False.

        Raises:
            PaymentsError: what the generator raised.
        """
        return await self._driver.run(
            call, context=context or NO_CONTEXT, on_checkpoint=on_checkpoint, checkpoints=checkpoints
        )

    # --- help for adapters --------------------------------------------------------------------------------------

    def surely_now(self) -> datetime:
        """The time, or what it would be had nobody set the clock forward since we began: a page that its payer can
        still use must not be called over for that."""
        began, then = self._began
        return min(self._clock.now(), began + timedelta(seconds=self._clock.monotonic() - then))

    def check_payment_request(
        self, request: PaymentRequest, *, gateway_order_id: str | None = None, submission_no: int = 1
    ) -> str:
        """Refuse what the capabilities forbid, before anything is sent; returns the gateway order id to use.

        Raises:
            InvalidRequestError: the request is for another gateway, or the order id does not fit.
            AmountError, CurrencyNotSupportedError, UnsupportedOperationError: the amount, its currency, the intent.
        """
        return checked_order_id(self.capabilities, request, gateway_order_id, submission_no)

    def check_amount(self, amount: Money, *, field: str = "amount") -> None:
        """Refuse an amount that is not Money above zero, of another currency, or outside the gateway's limits."""
        check_amount_within(self.capabilities, amount, field)


def _the_log() -> Observer:
    # Loaded here: who passes an observer of his own does not pay for structlog.
    from vextrus_payments.logs import StructlogObserver

    return StructlogObserver()


@dataclass(frozen=True, slots=True, kw_only=True)
class Registering:
    """What a person does at the gateway with the addresses of our doors: a sentence or two each."""

    webhook: str
    returns: str


@dataclass(frozen=True, slots=True)
class Adapter:
    """What an entry point of the group `vextrus_payments.gateways` must name: how to make one gateway."""

    name: str
    gateway_class: type[PaymentGateway]
    config_class: type[GatewayConfig]
    registering: Registering | None = None
    """None: nobody has written it down; the gateway's own papers tell."""

    def __post_init__(self) -> None:
        if self.gateway_class.name != self.name:
            raise ValueError("an adapter and its gateway class have the same name")
