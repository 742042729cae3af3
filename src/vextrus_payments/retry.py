"""May this request be sent again? Decided by its Safety and by proof, never by hope. The only importer of tenacity.

Theory of operation. The first send goes out directly: on success nothing but one `await` was added to it. Only when
it failed is tenacity entered, with that first outcome as its first attempt. Two kinds of steps exist:

* READ and IDEMPOTENT steps are sent again after anything that may pass: not sent, no answer, a lost answer, 5xx, 429.
* DISPOSABLE and ONCE steps are sent again only after NotSentError, which the transport raises only with proof that
  no byte left; so a ONCE request leaves this machine at most once per call.

Waits grow exponentially with jitter; `Retry-After` is respected up to a cap, beyond which giving up is better
manners than asking too early. A total deadline and, for steps that must not be sent late, `send_by` end it all.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from tenacity import AsyncRetrying, RetryCallState

from vextrus_payments.clock import Clock, Sleeper
from vextrus_payments.errors import NotSentError, OutcomeUnknownError
from vextrus_payments.ids import Entropy
from vextrus_payments.wire import Safety, SendBy, WireResponse

#: Codes of NotSentError after which another try cannot succeed or must not be made.
_FINAL_CODES: Final = frozenset({"send_by_passed", "breaker_open"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tries:
    """How often and how patiently one kind of step is sent."""

    max_tries: int
    """The first send included; 1 = never again."""
    first_wait_s: float = 0.25
    max_wait_s: float = 4.0

    def __post_init__(self) -> None:
        if self.max_tries < 1 or self.first_wait_s < 0 or self.max_wait_s < self.first_wait_s:
            raise ValueError("tries: max_tries >= 1 and 0 <= first_wait_s <= max_wait_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """The tries per Safety. ONCE and DISPOSABLE tries count only sends that are proven not to have left."""

    read: Tries = field(default_factory=lambda: Tries(max_tries=4))
    idempotent: Tries = field(default_factory=lambda: Tries(max_tries=3))
    disposable: Tries = field(default_factory=lambda: Tries(max_tries=3))
    once: Tries = field(default_factory=lambda: Tries(max_tries=3))
    deadline_s: float = 90.0
    """No further try begins later than this after the first."""
    retry_after_cap_s: float = 10.0
    """A gateway that asks for a longer wait is not asked again."""

    def tries(self, safety: Safety) -> Tries:
        """The tries of this kind of step."""
        match safety:
            case Safety.READ:
                return self.read
            case Safety.IDEMPOTENT:
                return self.idempotent
            case Safety.DISPOSABLE:
                return self.disposable
            case Safety.ONCE:
                return self.once

    @classmethod
    def never(cls) -> "RetryPolicy":
        """One send of everything: for callers with a policy of their own."""
        one = Tries(max_tries=1)
        return cls(read=one, idempotent=one, disposable=one, once=one)


@dataclass(frozen=True, slots=True)
class Retry:
    """A judge's word on an answer: it says no more than "later". Only READ and IDEMPOTENT steps hear it."""

    why: str
    retry_after_s: float | None = None


Judge = Callable[[WireResponse], Retry | None]


async def send_with_retries(
    send: Callable[[], Awaitable[WireResponse]],
    *,
    safety: Safety,
    policy: RetryPolicy,
    sleeper: Sleeper,
    entropy: Entropy,
    clock: Clock,
    send_by: SendBy | None = None,
    judge: Judge | None = None,
) -> WireResponse:
    """Send, and send again where that is safe; the last answer, however bad, is returned for the caller to judge.

    Args:
        send: sends the request once; it raises NotSentError only with proof.
        safety: the step's. ONCE and DISPOSABLE are sent again only after NotSentError.
        send_by: no try is waited for that would begin after it; only ONCE and DISPOSABLE steps mind it.
        judge: says which answers only mean "later" (5xx, 429); None = none does.

    Raises:
        GatewayError: what the last send raised.
    """
    first: WireResponse | None = None
    failure: NotSentError | OutcomeUnknownError | None = None
    started = clock.monotonic()
    try:
        first = await send()
        if judge is None or safety is Safety.ONCE or safety is Safety.DISPOSABLE or judge(first) is None:
            return first
    except (NotSentError, OutcomeUnknownError) as error:
        failure = error
    # Out here, so that what the later tries raise does not drag the first failure along as its __context__.
    run = _Run(
        send=send,
        safety=safety,
        policy=policy,
        entropy=entropy,
        clock=clock,
        send_by=send_by,
        judge=judge,
        started=started,
        first=first,
        failure=failure,
    )
    first = failure = None  # a kept traceback would keep this frame
    return await run.go_on(sleeper)


def judge_status(response: WireResponse) -> Retry | None:
    """The usual judge: 429 and every 5xx mean "later", as long as `Retry-After` (in seconds) asks for."""
    if response.status < 500 and response.status != 429:
        return None
    return Retry(why=f"http {response.status}", retry_after_s=retry_after_of(response))


def retry_after_of(response: WireResponse) -> float | None:
    """The answer's `Retry-After` in whole seconds; None when absent or a date (clocks differ: not worth trusting)."""
    value = response.headers.get("retry-after", "").strip()
    return float(value) if value.isascii() and value.isdigit() and len(value) <= 9 else None


@dataclass(slots=True, kw_only=True)
class _Run:
    """One request's further tries, after its first send failed or was told "later"."""

    send: Callable[[], Awaitable[WireResponse]]
    safety: Safety
    policy: RetryPolicy
    entropy: Entropy
    clock: Clock
    send_by: SendBy | None
    judge: Judge | None
    started: float
    first: WireResponse | None
    failure: Exception | None

    async def go_on(self, sleeper: Sleeper) -> WireResponse:
        """Hand the first outcome to tenacity as its first attempt, and let it ask the methods below."""
        retrying = AsyncRetrying(
            sleep=sleeper.sleep,
            retry=self._worth_it,
            wait=self._wait_s,
            stop=self._over,
            retry_error_callback=_last_outcome,
        )
        response: WireResponse = await retrying(self._attempt)
        return response

    async def _attempt(self) -> WireResponse:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        if self.first is not None:
            first, self.first = self.first, None
            return first
        return await self.send()

    def _worth_it(self, state: RetryCallState) -> bool:
        error, response = _seen(state)
        if isinstance(error, NotSentError):
            return error.code not in _FINAL_CODES
        if self.safety in (Safety.ONCE, Safety.DISPOSABLE):
            return False
        if response is not None:
            return self.judge is not None and self.judge(response) is not None
        return isinstance(error, OutcomeUnknownError)

    def _wait_s(self, state: RetryCallState) -> float:
        tries = self.policy.tries(self.safety)
        grown: float = min(tries.first_wait_s * 2.0 ** min(state.attempt_number - 1, 30), tries.max_wait_s)
        waited = grown * (0.5 + fraction(self.entropy) / 2)
        return max(waited, self._asked_wait_s(state) or 0.0)

    def _asked_wait_s(self, state: RetryCallState) -> float | None:
        """What the gateway asked for by `Retry-After`, if it did."""
        _, response = _seen(state)
        asked = self.judge(response) if response is not None and self.judge is not None else None
        return asked.retry_after_s if asked is not None else None

    def _over(self, state: RetryCallState) -> bool:
        if state.attempt_number >= self.policy.tries(self.safety).max_tries:
            return True
        if (self._asked_wait_s(state) or 0.0) > self.policy.retry_after_cap_s:
            return True
        wait_s: float = state.upcoming_sleep
        if self.clock.monotonic() + wait_s - self.started > self.policy.deadline_s:
            return True
        return self._too_late_after(wait_s)

    def _too_late_after(self, wait_s: float) -> bool:
        """True when a step that must not be sent late would be, after this wait."""
        if self.send_by is None or self.safety not in (Safety.ONCE, Safety.DISPOSABLE):
            return False
        left_s = min(
            (self.send_by.wall - self.clock.now()).total_seconds(),
            self.send_by.monotonic - self.clock.monotonic(),
        )
        return wait_s >= left_s


def fraction(entropy: Entropy) -> float:
    """A random number from 0 up to, not including, 1: for jitter."""
    return int.from_bytes(entropy.token_bytes(4)) / 2**32


def _seen(state: RetryCallState) -> tuple[BaseException | None, WireResponse | None]:
    outcome = state.outcome
    if outcome is None:
        return None, None
    error = outcome.exception()
    return (error, None) if error is not None else (None, outcome.result())


def _last_outcome(state: RetryCallState) -> WireResponse:
    """The last answer, or raises the last failure; tenacity's own RetryError is nobody's business."""
    assert state.outcome is not None
    response: WireResponse = state.outcome.result()
    return response
