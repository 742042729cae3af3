"""Processes, callers, faults and crashes in every order a seed can make, against a gateway that counts.

Several processes share one backend that takes its time and sometimes fails. Callers come at random moments, use their
token at the gateway, replace it after a 401, and are sometimes cancelled. Grants are slow, get lost, are refused or
never leave. Tokens are revoked. Processes die without a word. In the end: nobody hangs, the gateway never saw more
grants in an hour than it allows, and no caller was handed a token that was over.
"""

import asyncio
import gc
import os
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from tests.unit.virtual_loop import LoopClock, LoopSleeper, Machine, run_virtual
from vextrus_payments.errors import (
    AnswerTimeoutError,
    AuthenticationRejectedError,
    NotSentError,
    PaymentsError,
    StorageError,
)
from vextrus_payments.secret import Secret
from vextrus_payments.token_budget import GrantAsk, GrantBudget, GrantDecision, GrantEnd, GrantReserved
from vextrus_payments.token_port import Grant, GrantOrder, Token, TokenBackend, TokenKey
from vextrus_payments.tokens import MemoryTokenBackend, TokenCache
from vextrus_payments.tokens.cache import _Entry

T = TypeVar("T")

KEY = TokenKey.of("https://gateway.example", "app-key", "user")
SEEDS = 10_000 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 300
HORIZON_S = 3 * 3600.0
WINDOW_S = 3600.0
LIMIT = 2
SKEW_S = 2.0


class SeededEntropy:
    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def token_bytes(self, count: int) -> bytes:
        return self._rng.randbytes(count)


@dataclass
class Gateway:
    """Grants and checks tokens on a timeline of its own: it goes on when its caller is dead."""

    rng: random.Random
    arrivals: list[float] = field(default_factory=list)
    lives: dict[str, float] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)
    busy: int = 0
    most_at_once: int = 0

    async def grant(self, order: GrantOrder, clock: LoopClock) -> Token:
        rng, loop = self.rng, asyncio.get_running_loop()
        started = clock.now()
        if rng.random() < 0.1:
            await asyncio.sleep(rng.uniform(0, 5))
            raise NotSentError("No connection.")
        await asyncio.sleep(rng.uniform(0, 3))
        if order.send_by.passed(clock):
            raise NotSentError("Too late.", code="send_by_passed")
        self.busy += 1
        self.most_at_once = max(self.most_at_once, self.busy)
        try:
            await asyncio.sleep(rng.uniform(0, 5))
            self.arrivals.append(loop.time())
            name = f"token-{len(self.arrivals)}"
            life_s = rng.choice([3600, 3600, 600])
            self.lives[name] = loop.time() + life_s
            fate = rng.random()
            await asyncio.sleep(rng.uniform(0, 20))
        finally:
            self.busy -= 1
        if fate < 0.1:
            raise AnswerTimeoutError("No answer.")
        if fate < 0.15:
            raise AuthenticationRejectedError("Refused.")
        return Token.granted(
            Secret(name), issued_at=started, life_s=life_s, refresh=rng.choice([None, Secret(name)])
        )

    def takes(self, token: Token, now: float) -> bool:
        name = token.access.reveal()
        if self.rng.random() < 0.002:
            self.revoked.add(name)
        return name not in self.revoked and now < self.lives[name]


class Slow:
    """One process's way to the shared backend: it takes time, may fail, and leads nowhere once the process is dead."""

    durable = True

    def __init__(
        self, shared: TokenBackend, rng: random.Random, failing: float, never: asyncio.Event
    ) -> None:
        self._shared = shared
        self._never = never
        self._rng = rng
        self._failing = failing
        self.dead = False

    async def _do(self, work: Callable[[], Awaitable[T]]) -> T:
        await self._pause()
        if self._rng.random() < self._failing:
            raise StorageError("The disk is full.")
        done = await work()
        await self._pause()
        return done

    async def _pause(self) -> None:
        if self.dead:
            await self._never.wait()
        await asyncio.sleep(self._rng.choice([0.0, 0.0, 0.001, 0.05]))

    async def get(self, key: TokenKey) -> Token | None:
        return await self._do(lambda: self._shared.get(key))

    async def put(self, key: TokenKey, token: Token) -> None:
        await self._do(lambda: self._shared.put(key, token))

    async def drop(self, key: TokenKey, version: str) -> bool:
        return await self._do(lambda: self._shared.drop(key, version))

    async def reserve_grant(self, key: TokenKey, ask: GrantAsk) -> GrantDecision:
        return await self._do(lambda: self._shared.reserve_grant(key, ask))

    async def finish_grant(self, key: TokenKey, end: GrantEnd, token: Token | None) -> None:
        await self._do(lambda: self._shared.finish_grant(key, end, token))


class Simulation:
    """One seed."""

    def __init__(
        self, seed: int, shared: TokenBackend | None = None, cache_class: type[TokenCache] = TokenCache
    ) -> None:
        self.rng = random.Random(seed)
        self.shared = shared or MemoryTokenBackend()
        self.cache_class = cache_class
        self.gateway = Gateway(random.Random(seed + 1))
        self.machine = Machine()
        self.never = asyncio.Event()
        """Where the tasks of the dead wait; it holds on to them, as their process would."""
        self.wrongs: list[str] = []
        self.served = self.refused = 0

    async def run(self) -> None:
        rng = self.rng
        failing = rng.choice([0.0, 0.0, 0.02])
        processes = [asyncio.create_task(self._process(failing)) for _ in range(rng.randint(1, 4))]
        await asyncio.wait(processes)
        for process in processes:
            process.result()
        self._judge()

    async def _process(self, failing: float) -> None:
        rng = random.Random(self.rng.random())
        clock = LoopClock(self.machine, rng.choice([0.0, rng.uniform(-SKEW_S, SKEW_S)]))
        backend = Slow(self.shared, rng, failing, self.never)
        cache = self.cache_class(backend, clock=clock, sleeper=LoopSleeper(), entropy=SeededEntropy(rng))
        dies_at = rng.uniform(0, HORIZON_S) if rng.random() < 0.3 else None
        moments = sorted(rng.uniform(0, HORIZON_S) for _ in range(rng.randint(1, 25)))
        callers: list[asyncio.Task[None]] = []
        for moment in moments:
            if dies_at is not None and moment > dies_at:
                break
            await asyncio.sleep(max(0.0, moment - asyncio.get_running_loop().time()))
            for _ in range(rng.choice([1, 1, 2, 8])):
                callers.append(asyncio.create_task(self._caller(cache, clock, rng)))
            if rng.random() < 0.05:
                self.machine.back_s += rng.uniform(0, 200)
        if dies_at is not None:
            await asyncio.sleep(max(0.0, dies_at - asyncio.get_running_loop().time()))
            backend.dead = True  # its tasks stay where they are, as those of a killed process
            return
        done, hung = await asyncio.wait(callers, timeout=600) if callers else (set(), set())
        if hung:
            self.wrongs.append(f"{len(hung)} of {len(hung) + len(done)} callers hang")
        for caller in done:
            if not caller.cancelled():
                caller.result()
        try:
            await asyncio.wait_for(cache.aclose(), 600)
        except TimeoutError:
            self.wrongs.append("closing hangs")

    async def _caller(self, cache: TokenCache, clock: LoopClock, rng: random.Random) -> None:
        grant = self._granting(clock)
        if rng.random() < 0.1:
            asyncio.get_running_loop().call_later(rng.uniform(0, 5), asyncio.current_task().cancel)  # type: ignore[union-attr]
        refused_before: set[str] = set()
        for _ in range(2):
            try:
                token = await cache.token(KEY, grant)
            except PaymentsError as error:
                self.refused += 1
                if error.__context__ is not None or error.__cause__ is not None:
                    self.wrongs.append("a failure drags another one along")
                return
            self.served += 1
            if token.version in refused_before:
                self.wrongs.append("a caller got the very token again that the gateway had refused")
            now = asyncio.get_running_loop().time()
            if self.gateway.takes(token, now):
                return
            if now > self.gateway.lives[token.access.reveal()] + 2 * SKEW_S + self.machine.back_s:
                self.wrongs.append("a token that was over was served")
            refused_before.add(token.version)
            await cache.reject(KEY, token.version)

    def _granting(self, clock: LoopClock) -> Callable[[GrantOrder], Awaitable[Token]]:
        return lambda order: self.gateway.grant(order, clock)

    def _judge(self) -> None:
        arrivals = sorted(self.gateway.arrivals)
        for first in arrivals:
            within = sum(first <= arrival < first + WINDOW_S - 2 * SKEW_S for arrival in arrivals)
            if within > LIMIT:
                self.wrongs.append(f"{within} grants reached the gateway within an hour of {first:.0f}")
        if self.gateway.most_at_once > 1:
            self.wrongs.append(f"{self.gateway.most_at_once} grants were under way at once")


def simulate(simulation: Simulation) -> list[str]:
    complaints: list[dict[str, Any]] = []
    run_virtual(simulation.run(), complaints)
    return simulation.wrongs + [str(complaint["message"]) for complaint in complaints]


def test_no_order_of_events_breaks_a_promise() -> None:
    served = refused = grants = 0
    for seed in range(SEEDS):
        simulation = Simulation(seed)
        assert simulate(simulation) == [], f"seed {seed}"
        served += simulation.served
        refused += simulation.refused
        grants += len(simulation.gateway.arrivals)
    gc.collect()
    # The worlds were neither idle nor hopeless.
    assert served > 20 * SEEDS
    assert refused > SEEDS
    assert grants > 2 * SEEDS


# --- the simulation bites -----------------------------------------------------------------------------------------


class NoReservation(MemoryTokenBackend):
    """Planted: the token slot is never taken."""

    async def reserve_grant(self, key: TokenKey, ask: GrantAsk) -> GrantDecision:
        return GrantReserved(ask.permit)


class EverythingGivenBack(MemoryTokenBackend):
    """Planted: a failed grant gives its slot back, sent or not."""

    async def finish_grant(self, key: TokenKey, end: GrantEnd, token: Token | None) -> None:
        if token is None:
            end = GrantEnd(permit=end.permit, now=end.now, sent=False)
        await super().finish_grant(key, end, token)


class NeverOver(TokenCache):
    """Planted: a token is served for ever."""

    def _adopt(self, entry: _Entry, token: Token) -> None:
        super()._adopt(entry, replace(token, expires_at=token.expires_at + timedelta(days=1), ends_at=None))
        assert entry.held is not None
        entry.held.until_s += 86400


class KeepsWhatWasRefused(TokenCache):
    """Planted: a rejected token stays."""

    async def reject(self, key: TokenKey, version: str) -> None:
        await asyncio.sleep(0)


class DiesWithItsLeader(TokenCache):
    """Planted: the grant runs in its caller's own task, and the others wait for it."""

    async def token(self, key: TokenKey, grant: Grant, *, budget: GrantBudget | None = None) -> Token:
        entry = self._entry(key)
        if entry.held is not None and entry.held.left_s(self._clock) > 0:
            return entry.held.token
        if entry.flight is None:
            entry.flight = asyncio.get_running_loop().create_future()  # type: ignore[assignment]
            landing = await self._fly(key, entry, grant, budget or self._budget)
            if not entry.flight.done():  # type: ignore[union-attr]
                entry.flight.set_result(landing)  # type: ignore[union-attr]
            entry.flight = None
        else:
            landing = await asyncio.shield(entry.flight)
        if landing.token is None:
            assert landing.error is not None
            raise landing.error
        return landing.token


@pytest.mark.parametrize(
    ("backend", "cache"),
    [
        (NoReservation, TokenCache),
        (EverythingGivenBack, TokenCache),
        (MemoryTokenBackend, NeverOver),
        (MemoryTokenBackend, KeepsWhatWasRefused),
        (MemoryTokenBackend, DiesWithItsLeader),
    ],
)
def test_the_simulation_finds_what_is_planted(
    backend: type[MemoryTokenBackend], cache: type[TokenCache]
) -> None:
    assert any(simulate(Simulation(seed, backend(), cache)) for seed in range(40))
