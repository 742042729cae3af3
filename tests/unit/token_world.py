"""What the token tests share: a gateway that counts grants, a backend that can fail, an observer that remembers."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

from vextrus_payments.errors import StorageError
from vextrus_payments.records import Exchange
from vextrus_payments.secret import Secret
from vextrus_payments.testing import FakeClock, FakeEntropy, FakeSleeper
from vextrus_payments.token_budget import GrantAsk, GrantDecision, GrantEnd
from vextrus_payments.token_port import GrantOrder, Token, TokenBackend, TokenKey
from vextrus_payments.tokens import MemoryTokenBackend, TokenCache
from vextrus_payments.wire import CallContext

KEY = TokenKey.of("https://gateway.example", "canary-app-key", "canary-user")


class Events:
    """An Observer that remembers."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, object]]] = []

    def exchange(self, *, tenant: str, gateway: str, exchange: Exchange, context: CallContext) -> None:
        raise AssertionError("the cache makes no exchanges itself")

    def event(self, name: str, **fields: object) -> None:
        self.seen.append((name, fields))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.seen]


class Gateway:
    """Grants tokens and counts; answers at once unless `gate` is shut; does what `script` says first."""

    def __init__(self, clock: FakeClock, *, life_s: int = 3600) -> None:
        self.clock = clock
        self.life_s = life_s
        self.orders: list[GrantOrder] = []
        self.script: list[Callable[[GrantOrder], object]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    @property
    def grants(self) -> int:
        return len(self.orders)

    async def grant(self, order: GrantOrder) -> Token:
        self.orders.append(order)
        number = len(self.orders)
        step = self.script.pop(0) if self.script else None
        await self.gate.wait()
        if step is not None:
            step(order)
        return Token.granted(
            Secret(f"canary-access-{number}"),
            issued_at=self.clock.now(),
            life_s=self.life_s,
            refresh=Secret(f"canary-refresh-{number}"),
        )

    def fails(self, *errors: Exception) -> None:
        """The next grants end like this."""

        def raising(error: Exception) -> Callable[[GrantOrder], object]:
            def step(order: GrantOrder) -> object:
                raise error

            return step

        self.script.extend(raising(error) for error in errors)


class Shaky(MemoryTokenBackend):
    """A memory backend that counts its calls and fails where told."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.failing: set[str] = set()
        self.after_next_get: Callable[[], Awaitable[None]] | None = None

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self.failing:
            raise StorageError(f"the planted failure of {name}.")

    async def get(self, key: TokenKey) -> Token | None:
        self._called("get")
        found = await super().get(key)
        meanwhile, self.after_next_get = self.after_next_get, None
        if meanwhile is not None:
            await meanwhile()
        return found

    async def drop(self, key: TokenKey, version: str) -> bool:
        self._called("drop")
        return await super().drop(key, version)

    async def reserve_grant(self, key: TokenKey, ask: GrantAsk) -> GrantDecision:
        self._called("reserve_grant")
        return await super().reserve_grant(key, ask)

    async def finish_grant(self, key: TokenKey, end: GrantEnd, token: Token | None) -> None:
        self._called("finish_grant")
        await super().finish_grant(key, end, token)


class World:
    """One process: clock, gateway, backend, cache."""

    def __init__(
        self, *, backend: TokenBackend | None = None, life_s: int = 3600, seed: int = 0, **cache: Any
    ) -> None:
        self.seed = seed
        self._numbers = itertools.count()
        self.clock = FakeClock()
        self.gateway = Gateway(self.clock, life_s=life_s)
        self.shaky = Shaky()
        self.backend = backend or self.shaky
        self.events = Events()
        self.cache = self.another_process(**cache)

    def another_process(self, **cache: Any) -> TokenCache:
        """A cache with a memory of its own on the same backend."""
        return TokenCache(
            self.backend,
            clock=self.clock,
            sleeper=FakeSleeper(self.clock),
            entropy=FakeEntropy(f"{self.seed}/{next(self._numbers)}"),
            observer=self.events,
            **cache,
        )

    async def token(self) -> Token:
        return await self.cache.token(KEY, self.gateway.grant)


async def settle(turns: int = 30) -> None:
    """Let every task that can run do so."""
    for _ in range(turns):
        await asyncio.sleep(0)
