"""The token cache: one token per key, granted once, whoever asks.

Theory of operation. A caller whose token is good gets it at once, without waiting or I/O. Everybody else of this
process joins one *flight* per key: a task that belongs to the cache and to none of its callers. Callers wait beside
it (`asyncio.wait`), so a cancelled caller cancels only its own wait, and a flight that fails tells every waiter by
an exception of its own. Flights of other processes meet in the backend's grant log (tokens/granting.py).

A key names a merchant (its digest) and who asks (its holder). Holders share the merchant's grant budget and nothing
else: each has an entry and flights of its own here, and a token found in the backend is used only if it was granted
to the holder who asks. Otherwise whoever knows a merchant's name would spend its token without its secrets.

A token's life, by both clocks (the wall clock may be set back, the monotonic one stands still while a machine
sleeps; what either of them calls over is over):

    good    until `early_s` before its end: served
    aging   until `expires_at`: served, while one caller per process renews it in the background
    late    until `ends_at`, the gateway's own end: renewed first; served if that fails
    over    renewed first; else the failure is raised

A renewal that failed is not tried again for a while as long as the token can still be served.
"""

import asyncio
import copy
import hmac
import math
from dataclasses import dataclass
from typing import Final

from vextrus_payments.clock import Clock, Sleeper, SystemClock, SystemSleeper
from vextrus_payments.errors import ConfigurationError, NotSentError, PaymentsError, ThrottledError
from vextrus_payments.ids import Entropy, SystemEntropy
from vextrus_payments.observe import GuardedObserver, NullObserver, Observer
from vextrus_payments.token_budget import GrantAsk, GrantBudget, GrantEnd, GrantExhausted, GrantReserved
from vextrus_payments.token_port import (
    ConnectedTokenBackend,
    Grant,
    Token,
    TokenBackend,
    TokenHealth,
    TokenKey,
)
from vextrus_payments.tokens.granting import (
    Granting,
    Wish,
    error_code,
    random_share,
    shortest_lease_s,
)

_REST_S: Final = 30.0
_LONGEST_REST_S: Final = 60.0
_MOST_KEYS: Final = 10_000
#: Whoever looks holds a slot for a moment; should it die in that moment, for no longer than this.
_LOOK_LEASE_S: Final = 5.0


@dataclass(slots=True)
class _Held:
    """A token and how far it reaches."""

    token: Token
    until_s: float
    """By the monotonic clock: its `expires_at`."""
    early_s: float
    """So long before its end it is renewed."""

    def left_s(self, clock: Clock) -> float:
        """Seconds to `expires_at`, by the clock that is further on."""
        by_wall = (self.token.expires_at - clock.now()).total_seconds()
        return min(by_wall, self.until_s - clock.monotonic())

    @property
    def late_s(self) -> float:
        """Seconds between `expires_at` and the gateway's own end."""
        return (self.token.last_use - self.token.expires_at).total_seconds()


@dataclass(frozen=True, slots=True)
class _Landing:
    """How a flight ended: a task that never raises leaves no exception that nobody retrieved."""

    token: Token | None = None
    error: Exception | None = None


@dataclass(slots=True)
class _Entry:
    """What the process knows of one key, for one holder."""

    held: _Held | None = None
    rejected: str | None = None
    """The version last refused by the gateway: never taken from the backend again."""
    rest_until_s: float = -math.inf
    flight: asyncio.Task[_Landing] | None = None


class TokenCache:
    """Hands out gateway tokens: single flight, early renewal, the grant budget.

    Share one cache between all gateways of a process. It may be used from several event loops, each of which then
    has flights of its own.

    Args:
        backend: where tokens and the grant log are kept.
        clock, sleeper, entropy: time, waiting between looks for another process's token, jitter and permits.
        observer: told "token.granted", "token.grant_failed", "token.rejected", "token.unavailable",
            "token.budget_used_up", "token.not_recorded", "token.not_dropped", each with the key's first digits.
        early_s: how long before a token's end it is renewed, with jitter (half of it to all of it; never more than
            a fifth of the token's life).
        budget: how often the gateway may be asked, unless the caller of `token` says otherwise.
        answer_s: the longest a grant waits for its answer, in seconds: no less than the transport's timeout.
        lease_s: how long other processes wait for a grant before they take it for dead.

    Raises:
        ConfigurationError: the lease would not outlast the grant's own timeout, or `early_s` is negative.
    """

    def __init__(
        self,
        backend: TokenBackend,
        *,
        clock: Clock | None = None,
        sleeper: Sleeper | None = None,
        entropy: Entropy | None = None,
        observer: Observer | None = None,
        early_s: float = 300.0,
        budget: GrantBudget | None = None,
        answer_s: float = 30.0,
        lease_s: float = 90.0,
    ) -> None:
        if early_s < 0:
            raise ConfigurationError(
                f"early_s={early_s} would serve a token after its end.", code="early_negative"
            )
        if not lease_s > shortest_lease_s(answer_s):
            raise ConfigurationError(
                f"lease_s={lease_s} does not outlast a grant that waits answer_s={answer_s} for its answer: a second"
                f" process would ask for a token while the first still may get one.",
                code="lease_too_short",
                next_step=f"Set lease_s above {shortest_lease_s(answer_s)}.",
            )
        self._backend = backend
        self._clock = clock or SystemClock()
        self._entropy = entropy or SystemEntropy()
        self._observer = GuardedObserver(observer or NullObserver())
        self._early_s = early_s
        self._budget = budget or GrantBudget()
        self._answer_s = answer_s
        self._granting = Granting(
            backend,
            clock=self._clock,
            sleeper=sleeper or SystemSleeper(),
            entropy=self._entropy,
            observer=self._observer,
            lease_s=lease_s,
            answer_s=answer_s,
        )
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._closed = False
        self._draining = 0

    @property
    def durable(self) -> bool:
        """Whether the backend survives the process: what `require_durable(cache, mode)` asks."""
        return self._backend.durable

    @property
    def answer_s(self) -> float:
        """The longest a grant may wait for its answer."""
        return self._answer_s

    async def token(self, key: TokenKey, grant: Grant, *, budget: GrantBudget | None = None) -> Token:
        """The key's token; granted by one of all who ask, when there is none.

        Cancelling a caller cancels neither the grant nor any other caller.

        Args:
            key: whose token.
            grant: the wire call that brings one; used if this caller is the one.
            budget: the gateway's own, where it differs from the cache's.

        Raises:
            ThrottledError: the grant budget is used up (code "grant_budget", with `retry_after_s`), or another
                process kept its lease too long ("grant_busy"). Nothing was sent.
            NotSentError: the cache is closed; or the grant could not be sent.
            StorageError: the backend failed, so the slot could not be reserved. Nothing was sent.
            AuthenticationRejectedError: the gateway refused this holder's credentials in a full grant: raised by
                that grant, and without asking again until the budget's window after it is over.
            PaymentsError: whatever the grant raised; each waiter gets a copy of its own.
        """
        entry = self._entry(key)
        while True:
            held = entry.held
            if held is not None:
                left_s = held.left_s(self._clock)
                if left_s > held.early_s:
                    return held.token
                resting = self._closed or self._clock.monotonic() < entry.rest_until_s
                if left_s > 0 and not resting:
                    _ = self._flight(key, entry, grant, budget)  # in the background: nobody waits for it
                if left_s > 0 or (resting and left_s > -held.late_s):
                    return held.token
            flight = self._flight(key, entry, grant, budget)
            await asyncio.wait((flight,))
            if flight.cancelled():
                continue  # somebody cancelled the cache's own task; this caller is not cancelled and goes on
            landing = flight.result()
            if landing.token is not None:
                return landing.token
            held = entry.held
            if held is not None and held.left_s(self._clock) > -held.late_s:
                return held.token
            assert landing.error is not None
            raise _own_copy(landing.error)

    async def reject(self, key: TokenKey, version: str) -> None:
        """The gateway refused the token of this version: drop it, and only it.

        A caller who used an older one changes nothing, and gets the newer one at its next `token`. A backend that
        fails is reported to the observer: this process does not use the token again in any case.
        """
        entry = self._entry(key)
        if entry.rejected is not None and _same(entry.rejected, version):
            return
        held = entry.held
        if held is not None and not held.token.is_version(version):
            return
        entry.held, entry.rejected = None, version
        self._observer.event("token.rejected", key=key.short)
        try:
            await self._backend.drop(key, version)
        except Exception as error:  # noqa: BLE001 - the payment goes on; others learn it by a 401 of their own
            self._observer.event("token.not_dropped", key=key.short, code=error_code(error))

    async def health(self, key: TokenKey, *, budget: GrantBudget | None = None) -> TokenHealth:
        """How the key's token and budget stand. Asks no gateway: a slot is taken and given back as proven unsent.

        Raises:
            StorageError: the backend failed.
        """
        budget, now = budget or self._budget, self._clock.now()
        token = await self._backend.get(key)
        usable = token is not None and token.is_held_by(key) and token.last_use > now
        used: int | None = None
        exhausted: GrantExhausted | None = None
        for limit in range(1, budget.limit + 1):
            permit = self._entropy.token_bytes(16).hex()
            ask = GrantAsk(
                permit=permit, now=now, limit=limit, window_s=budget.window_s, lease_s=_LOOK_LEASE_S
            )
            decision = await self._backend.reserve_grant(key, ask)
            if isinstance(decision, GrantReserved):
                await self._backend.finish_grant(key, GrantEnd(permit=permit, now=now, sent=False), None)
                used = limit - 1
            if not isinstance(decision, GrantExhausted):
                exhausted = None
                break
            used, exhausted = limit, decision
        return TokenHealth(
            ends_at=token.last_use if token is not None and usable else None,
            used=used,
            limit=budget.limit,
            window_s=budget.window_s,
            retry_after_s=None if exhausted is None else exhausted.retry_after_s,
            failure=None if exhausted is None else exhausted.failure,
        )

    async def drain(self) -> None:
        """Let grants in flight finish, so that what they bring is kept; stop waiting for other processes' grants.

        Call it before what the grants run on (gateways, the store) is closed. The cache may be used again after it.
        """
        loop = asyncio.get_running_loop()
        flights = [entry.flight for entry in self._entries.values() if entry.flight is not None]
        mine = [flight for flight in flights if flight.get_loop() is loop]
        if not mine:
            return
        self._draining += 1
        try:
            await asyncio.wait(mine)
        finally:
            self._draining -= 1

    async def aclose(self) -> None:
        """Begin no more grants, and let those in flight finish. Closes no backend; a good token is still served."""
        self._closed = True
        await self.drain()

    async def let_go(self) -> None:
        """Close the connections that the backend holds, if it holds any. It connects again when it is used again."""
        if isinstance(self._backend, ConnectedTokenBackend):
            await self._backend.aclose()

    def _entry(self, key: TokenKey) -> _Entry:
        entry = self._entries.get((key.digest, key.holder))
        if entry is None:
            if len(self._entries) >= _MOST_KEYS:
                self._forget_oldest()
            entry = self._entries[key.digest, key.holder] = _Entry()
        return entry

    def _forget_oldest(self) -> None:
        # What is forgotten here is still in the backend.
        idle = (k for k, entry in self._entries.items() if entry.flight is None or entry.flight.done())
        oldest = next(idle, None)
        if oldest is not None:
            del self._entries[oldest]

    def _flight(
        self, key: TokenKey, entry: _Entry, grant: Grant, budget: GrantBudget | None
    ) -> asyncio.Task[_Landing]:
        loop = asyncio.get_running_loop()
        flight = entry.flight
        if flight is not None and not flight.done() and flight.get_loop() is loop:
            return flight
        if self._closed:
            raise NotSentError(
                "The token cache is closed.", code="closed", next_step="Open the gateway again."
            )
        flight = loop.create_task(
            self._fly(key, entry, grant, budget or self._budget), name=f"token {key.short}"
        )
        entry.flight = flight
        return flight

    async def _fly(self, key: TokenKey, entry: _Entry, grant: Grant, budget: GrantBudget) -> _Landing:
        me = asyncio.current_task()
        old = None if entry.held is None else entry.held.token

        def wanted(token: Token) -> bool:
            if not token.is_held_by(key):
                return False  # another holder's: whoever names the merchant has not proven that it is the merchant
            if entry.rejected is not None and token.is_version(entry.rejected):
                return False
            if old is not None and token.is_version(old.version):
                return False
            return self._clock.now() < token.expires_at

        def stopped() -> bool:
            return self._closed or self._draining > 0

        wish = Wish(key=key, grant=grant, budget=budget, wanted=wanted, stopped=stopped)
        try:
            token = await self._granting.obtain(wish)
            self._adopt(entry, token)
            return _Landing(token)
        except Exception as error:  # noqa: BLE001 - told to every waiter, whatever it is
            entry.rest_until_s = self._clock.monotonic() + self._rest_s(error)
            self._observer.event(
                "token.unavailable", key=key.short, code=error_code(error), renewing=old is not None
            )
            return _Landing(error=error)
        finally:
            if entry.flight is me:
                entry.flight = None

    def _adopt(self, entry: _Entry, token: Token) -> None:
        life_s = max(0.0, (token.expires_at - token.issued_at).total_seconds())
        by_wall_s = (token.expires_at - self._clock.now()).total_seconds()
        early_s = min(self._early_s, life_s / 5) * (0.5 + random_share(self._entropy) / 2)
        # Never longer than its whole life from now, even if the wall clock was set back since it was issued.
        entry.held = _Held(token, self._clock.monotonic() + min(by_wall_s, life_s), early_s)
        entry.rest_until_s = -math.inf
        if entry.rejected is not None and token.is_version(entry.rejected):
            entry.rejected = None

    def _rest_s(self, error: Exception) -> float:
        if isinstance(error, ThrottledError) and error.retry_after_s is not None:
            return min(error.retry_after_s, _LONGEST_REST_S)
        return _REST_S * (0.5 + random_share(self._entropy))


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _own_copy(error: Exception) -> Exception:
    """The same failure for one waiter, without the leader's name on it.

    Waiters may be of other tenants and about other payments, and each fills in its own (`about`). A copy has no
    cause and no context: nothing of the leader's request hangs on it.
    """
    try:
        twin = copy.copy(error)
    except Exception:  # noqa: BLE001 - an exception that cannot be copied is shared
        return error
    if isinstance(twin, PaymentsError):
        twin.tenant = twin.payment_id = twin.operation_id = None
        twin.context = dict(twin.context)
    return twin.with_traceback(error.__traceback__)
