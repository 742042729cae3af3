"""The driver: runs an adapter's generators over a transport, with credentials, safe retries, breaker and log.

Theory of operation. A protocol generator (wire.py) yields `Send` and `Checkpoint`. For a Send the driver asks the
breaker (READ passes always; so does a Send without our token, because look-ups need a token too), asks the adapter
for its authorization, sends under `send_with_retries`, and looks at the answer's front door: a rejected token is
dropped, fetched anew, and the request replayed once, whatever its Safety, for the front door stands before any
business logic. The answer goes into the generator; a failure without an answer is thrown into it, so that a
protocol can look up what became of a request; what the generator then raises is what the caller gets.

One thing a generator cannot take back: once a request that may move money has left, a later step that fails (say
the look-up was not sent) must not make the whole call look harmless. `Trail` (trail.py) remembers, and speaks up.
"""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Final, Protocol, TypeVar

from vextrus_payments.breaker import Breaker, Permit
from vextrus_payments.clock import Clock, Sleeper
from vextrus_payments.errors import (
    AnswerLostError,
    AnswerTimeoutError,
    AuthenticationRejectedError,
    ConfigurationError,
    DeclinedError,
    Effect,
    GatewayBlockedError,
    GatewayError,
    NotSentError,
    OutcomeUnknownError,
    PaymentsError,
    ThrottledError,
    UnreadableAnswerError,
)
from vextrus_payments.gateways.exchanges import exchange_of
from vextrus_payments.gateways.front_door import Authorization, FrontDoor, refused_at
from vextrus_payments.gateways.trail import Trail
from vextrus_payments.ids import Entropy
from vextrus_payments.observe import GuardedObserver, NullObserver, Observer
from vextrus_payments.retry import RetryPolicy, judge_status, send_with_retries
from vextrus_payments.transport import Transport
from vextrus_payments.wire import (
    CallContext,
    OnCheckpoint,
    Safety,
    Send,
    WireCall,
    WireRequest,
    WireResponse,
)

T = TypeVar("T")

#: Codes of NotSentError that say something about us, not about the gateway.
LOCAL_CODES: Final = frozenset(
    {
        "send_by_passed",
        "breaker_open",
        "connection_closed",
        "no_free_connection",
        "no_time_left",
        "transport_closed",
    }
)
AUTHORIZATION_FAILED: Final = "authorization_failed"
_NOT_WORKING: Final = (
    NotSentError,
    AnswerTimeoutError,
    AnswerLostError,
    UnreadableAnswerError,
    GatewayBlockedError,
)


class Hooks(Protocol):
    """What the driver asks the adapter."""

    async def authorize(self, context: CallContext) -> Authorization | None:
        """The token's headers; None where the gateway has none."""
        ...

    async def reject_authorization(self, authorization: Authorization) -> None:
        """The front door did not take this one: forget it, unless it has been replaced already."""
        ...

    def front_door(self, response: WireResponse) -> FrontDoor | None:
        """Which listed front-door body this is; None for everything else."""
        ...


class Driver:
    """Runs generators for one gateway of one tenant."""

    def __init__(
        self,
        hooks: Hooks,
        *,
        gateway: str,
        tenant: str,
        transport: Callable[[], Transport],
        timeout_s: float,
        clock: Clock,
        sleeper: Sleeper,
        entropy: Entropy,
        retry: RetryPolicy,
        breaker: Breaker,
        observer: Observer,
        conceal: Callable[[str], str] = str,
    ) -> None:
        """Args (the others as PaymentGateway):

        conceal: masks our own secrets in a text, before anybody is told of it.
        """
        self._hooks = hooks
        self._gateway = gateway
        self._tenant = tenant
        self._transport = transport
        self._timeout_s = timeout_s
        self._clock = clock
        self._sleeper = sleeper
        self._entropy = entropy
        self._retry = retry
        self._breaker = breaker
        self._conceal = conceal
        self._observer: NullObserver | GuardedObserver
        if isinstance(observer, NullObserver | GuardedObserver):
            self._observer = observer
        else:
            self._observer = GuardedObserver(observer)
        self._observed = not isinstance(observer, NullObserver)

    async def run(
        self,
        call: WireCall[T],
        *,
        context: CallContext,
        on_checkpoint: OnCheckpoint | None = None,
        checkpoints: bool = False,
    ) -> T:
        """Run one generator to its end and return what it returns.

        Args:
            checkpoints: True when the protocol makes checkpoints: then `on_checkpoint` is required.

        Raises:
            ConfigurationError: checkpoints without `on_checkpoint`; nothing was sent.
            PaymentsError: what the generator raised, told what it was about.
        """
        if checkpoints and on_checkpoint is None:
            call.close()
            raise ConfigurationError(
                "This call must be able to save how far it got, and nobody takes its checkpoints.",
                code="checkpoints_not_taken",
                next_step="Pass on_checkpoint=, or use Payments, which keeps them in its store.",
                gateway=self._gateway,
                tenant=self._tenant,
            )
        trail = Trail()
        try:
            return await self._steps(call, trail, context, on_checkpoint)
        except PaymentsError as error:
            told = trail.honest(error)
            self._conceal_in(told)
            told.about(
                gateway=self._gateway,
                tenant=self._tenant,
                payment_id=context.payment_id,
                operation_id=context.operation_id,
            )
            if told is error:
                raise
        finally:
            call.close()
        raise told

    def _conceal_in(self, error: PaymentsError) -> None:
        """Mask our own secrets in what an error quotes of the gateway's words."""
        error.context = {
            name: self._conceal(value) if isinstance(value, str) else value
            for name, value in error.context.items()
        }
        if isinstance(error, DeclinedError) and error.reason.own_words:
            words = {locale: self._conceal(text) for locale, text in error.reason.own_words.items()}
            error.reason = replace(error.reason, own_words=words)

    async def _steps(
        self, call: WireCall[T], trail: Trail, context: CallContext, on_checkpoint: OnCheckpoint | None
    ) -> T:
        answer: WireResponse | None = None
        thrown: PaymentsError | None = None
        permit: Permit | None = None
        while True:
            try:
                step = call.send(answer) if thrown is None else call.throw(thrown)
            except StopIteration as end:
                _settle(permit, None)
                result: T = end.value
                return result
            except BaseException as error:
                _settle(permit, error)
                raise
            _settle(permit, None)
            answer = thrown = permit = None
            try:
                if isinstance(step, Send):
                    answer, permit = await self._send(step, context, trail)
                elif on_checkpoint is None:
                    raise ConfigurationError(
                        "A protocol made a checkpoint that was not announced, and nobody takes it.",
                        code="checkpoints_not_taken",
                    )
                else:
                    await on_checkpoint(step.evidence)
            except PaymentsError as error:
                thrown = trail.thrown = error
                if isinstance(error, GatewayError) and error.effect is Effect.UNKNOWN and trail.doubt is None:
                    trail.doubt = error

    async def _send(
        self, send: Send, context: CallContext, trail: Trail
    ) -> tuple[WireResponse, Permit | None]:
        """One step: the answer from behind the front door, and the permit that waits for its judgement."""
        permit = self._breaker.admit(send.safety) if send.authorized else None
        try:
            response = await self._authorized(send, context)
        except BaseException as error:
            _settle(permit, error)
            raise
        if send.safety is Safety.ONCE or send.safety is Safety.IDEMPOTENT:
            trail.left = True
        if permit is not None and response.status >= 500:
            permit.failed()
        return response, permit

    async def _authorized(self, send: Send, context: CallContext) -> WireResponse:
        """Send with the token. A try that was refused unheard does not excuse one before it that got no answer."""
        lost: list[str] = []
        error: GatewayError
        try:
            return await self._through_the_door(send, context, lost)
        except GatewayError as found:
            if not lost or found.effect is not Effect.NONE:
                raise
            error = found
        raise OutcomeUnknownError(
            f"One try of the {send.name} got no definite answer ({lost[0]}), and the next one was refused unheard: what"
            " the first one did is not known.",
            code=error.code,
            step=send.name,
            http_status=error.http_status,
            context={"cause_type": type(error).__name__},
        )

    async def _through_the_door(self, send: Send, context: CallContext, lost: list[str]) -> WireResponse:
        """Send; when the front door rejects the token, once more with a fresh one."""
        if not send.authorized:
            response = await self._sent(send, send.request, context, lost)
            door = self._hooks.front_door(response)
            if door is None:
                return response
            raise refused_at(door, response, send)
        authorization = await self._authorization(send, context)
        response = await self._sent(send, _with(send.request, authorization), context, lost)
        door = self._hooks.front_door(response)
        if door is FrontDoor.TOKEN_REJECTED and authorization is not None:
            await self._hooks.reject_authorization(authorization)
            fresh = await self._authorization(send, context)
            if fresh is not None and not _same_version(fresh, authorization):
                response = await self._sent(send, _with(send.request, fresh), context, lost)
                door = self._hooks.front_door(response)
        if door is None:
            return response
        raise refused_at(door, response, send)

    async def _authorization(self, send: Send, context: CallContext) -> Authorization | None:
        try:
            return await self._hooks.authorize(context)
        except GatewayError as error:
            problem = error
        # The step itself was not sent, whatever became of the request for a token.
        problem.effect = Effect.NONE
        if isinstance(problem, AuthenticationRejectedError | ThrottledError | NotSentError):
            raise problem
        raise NotSentError(
            "No token could be had from the gateway, so the call itself was not sent.",
            code=AUTHORIZATION_FAILED,
            step=send.name,
            context={"cause": problem.code, "cause_type": type(problem).__name__},
        )

    async def _sent(
        self, send: Send, request: WireRequest, context: CallContext, lost: list[str]
    ) -> WireResponse:
        """Send under the retry policy; every try is told to whoever listens.

        `lost` gathers why tries got no definite answer. Only IDEMPOTENT steps are tried again after such a one and can
        have had an effect by it: a READ or DISPOSABLE step moves nothing, a ONCE step is over with it.
        """
        safety = send.safety
        late = safety is Safety.ONCE or safety is Safety.DISPOSABLE
        send_by = context.send_by if late else None
        transport = self._transport()

        def once() -> Awaitable[WireResponse]:
            return transport.send(request, safety=safety, timeout_s=self._timeout_s, send_by=send_by)

        async def noted() -> WireResponse:
            try:
                response = await transport.send(
                    request, safety=safety, timeout_s=self._timeout_s, send_by=send_by
                )
            except OutcomeUnknownError as error:
                lost.append(error.code)
                raise
            if response.status >= 500:
                lost.append(f"http {response.status}")
            return response

        attempt = noted if safety is Safety.IDEMPOTENT else once
        listened = self._observed or context.on_exchange is not None
        return await send_with_retries(
            (lambda: self._told(attempt, send, context)) if listened else attempt,
            safety=safety,
            policy=self._retry,
            sleeper=self._sleeper,
            entropy=self._entropy,
            clock=self._clock,
            send_by=send_by,
            judge=judge_status,
        )

    async def _told(
        self, once: Callable[[], Awaitable[WireResponse]], send: Send, context: CallContext
    ) -> WireResponse:
        """One try, and its line in the payment log, whatever becomes of it."""
        at, started = self._clock.now(), self._clock.monotonic()
        response: WireResponse | None = None
        failure: BaseException | None = None
        try:
            response = await once()
            return response
        except BaseException as error:
            failure = error
            raise
        finally:
            heard = self._observer.hears_exchange(failure is not None)
            if heard or context.on_exchange is not None:
                elapsed_s = self._clock.monotonic() - started
                self._tell(send, context, heard, at, elapsed_s, response, failure)
            failure = None  # a kept traceback would keep this frame

    def _tell(
        self,
        send: Send,
        context: CallContext,
        heard: bool,
        at: datetime,
        elapsed_s: float,
        response: WireResponse | None,
        failure: BaseException | None,
    ) -> None:
        try:
            exchange = exchange_of(send, at, elapsed_s, response, failure, self._conceal)
            if heard:
                self._observer.exchange(
                    tenant=self._tenant, gateway=self._gateway, exchange=exchange, context=context
                )
            if context.on_exchange is not None:
                context.on_exchange(exchange)
        except Exception as broken:  # noqa: BLE001 - a broken listener must not decide about money
            self._observer.event("exchange.not_told", step=send.name, error=type(broken).__name__)


def _with(request: WireRequest, authorization: Authorization | None) -> WireRequest:
    return request if authorization is None else request.with_headers(authorization.headers)


def _same_version(one: Authorization, other: Authorization) -> bool:
    # A version is made from a token: compared in a time that does not tell where two differ.
    return hmac.compare_digest(one.version.encode("utf-8"), other.version.encode("utf-8"))


def _settle(permit: Permit | None, error: BaseException | None) -> None:
    """Tell the breaker what the call said about the gateway: it works, it does not, or nothing."""
    if permit is None:
        return
    if error is None or isinstance(error, DeclinedError):
        permit.succeeded()
    elif isinstance(error, NotSentError) and error.code in LOCAL_CODES:
        permit.dropped()
    elif isinstance(error, _NOT_WORKING):
        permit.failed()
    else:
        permit.dropped()
