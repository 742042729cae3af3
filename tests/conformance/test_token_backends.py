"""Every token backend against the kit, and the kit against backends that are wrong."""

import asyncio
import dataclasses
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from vextrus_payments.stores import MemoryStore, SqliteStore
from vextrus_payments.testing.check_tokens import TokenBackendError, check_token_backend
from vextrus_payments.token_budget import GrantAsk, GrantDecision, GrantEnd, GrantLog, GrantReserved
from vextrus_payments.token_port import Token, TokenBackend, TokenKey, TokenRows
from vextrus_payments.tokens import FileTokenBackend, MemoryTokenBackend, StoreTokenBackend


class DictRows:
    """The five token methods of a payment store, as the port's docstrings spell them, over a dict."""

    durable = False

    def __init__(self) -> None:
        self.versions: dict[str, str] = {}
        self.documents: dict[str, str] = {}
        self.grants: dict[str, str] = {}

    async def token_get(self, digest: str) -> str | None:
        return self.documents.get(digest)

    async def token_put(self, digest: str, version: str, document: str) -> None:
        self.versions[digest], self.documents[digest] = version, document

    async def token_drop(self, digest: str, version: str) -> bool:
        if self.versions.get(digest) != version:
            return False
        del self.versions[digest], self.documents[digest]
        return True

    async def grant_reserve(self, digest: str, ask: GrantAsk) -> GrantDecision:
        log, decision = GrantLog.from_json(self.grants.get(digest)).reserve(ask)
        self.grants[digest] = log.to_json()
        return decision

    async def grant_finish(
        self, digest: str, end: GrantEnd, version: str | None, document: str | None
    ) -> None:
        log, latest = GrantLog.from_json(self.grants.get(digest)).finish(end)
        self.grants[digest] = log.to_json()
        if document is not None and version is not None and (latest or digest not in self.documents):
            await self.token_put(digest, version, document)


async def test_memory() -> None:
    async def make() -> TokenBackend:
        return MemoryTokenBackend()

    await check_token_backend(make)


async def test_file(tmp_path: Path) -> None:
    numbers = itertools.count()
    homes: dict[int, Path] = {}

    def at(home: Path) -> TokenBackend:
        backend = FileTokenBackend(home)
        homes[id(backend)] = home
        kept.append(backend)
        return backend

    kept: list[TokenBackend] = []

    async def make() -> TokenBackend:
        return at(tmp_path / str(next(numbers)))

    async def reopen(backend: TokenBackend) -> TokenBackend:
        return at(homes[id(backend)])

    await check_token_backend(make, reopen=reopen)


async def check_over(
    make_rows: Callable[[], Awaitable[TokenRows]], again: Callable[[TokenRows], Awaitable[TokenRows]]
) -> None:
    rows: dict[int, TokenRows] = {}
    kept: list[TokenBackend] = []

    def over(these: TokenRows) -> TokenBackend:
        backend = StoreTokenBackend(these)
        rows[id(backend)] = these
        kept.append(backend)
        return backend

    async def make() -> TokenBackend:
        return over(await make_rows())

    async def reopen(backend: TokenBackend) -> TokenBackend:
        return over(await again(rows[id(backend)]))

    await check_token_backend(make, reopen=reopen)


async def the_same(rows: TokenRows) -> TokenRows:
    return rows


async def test_store_over_the_rows_as_the_port_spells_them() -> None:
    async def make() -> TokenRows:
        return DictRows()

    await check_over(make, the_same)


async def test_store_over_the_memory_store() -> None:
    async def make() -> TokenRows:
        store = MemoryStore()
        await store.open()
        return store

    await check_over(make, the_same)


async def test_store_over_the_sqlite_store(tmp_path: Path) -> None:
    numbers = itertools.count()
    paths: dict[int, Path] = {}
    opened: list[SqliteStore] = []

    async def at(path: Path) -> TokenRows:
        store = SqliteStore(path)
        await store.open()
        opened.append(store)
        paths[id(store)] = path
        return store

    async def make() -> TokenRows:
        return await at(tmp_path / f"{next(numbers)}.db")

    async def another_connection(rows: TokenRows) -> TokenRows:
        return await at(paths[id(rows)])

    try:
        await check_over(make, another_connection)
    finally:
        for store in opened:
            await store.close()


# --- the kit bites ------------------------------------------------------------------------------------------------


class NoReservation(MemoryTokenBackend):
    """Planted: the slot is never taken."""

    async def reserve_grant(self, key: TokenKey, ask: GrantAsk) -> GrantDecision:
        return GrantReserved(ask.permit)


class BlindDrop(MemoryTokenBackend):
    """Planted: drops whatever is there."""

    async def drop(self, key: TokenKey, version: str) -> bool:
        return self._tokens.pop(key.digest, None) is not None


class ForgetfulDrop(MemoryTokenBackend):
    """Planted: a dropped token takes the grant log along."""

    async def drop(self, key: TokenKey, version: str) -> bool:
        self._logs.pop(key.digest, None)
        return await super().drop(key, version)


class Overwriting(MemoryTokenBackend):
    """Planted: a grant that was overtaken replaces the newer token."""

    async def finish_grant(self, key: TokenKey, end: GrantEnd, token: Token | None) -> None:
        await super().finish_grant(key, end, token)
        if token is not None:
            self._tokens[key.digest] = token


class GivesEverythingBack(MemoryTokenBackend):
    """Planted: every slot is given back at its end."""

    async def finish_grant(self, key: TokenKey, end: GrantEnd, token: Token | None) -> None:
        await super().finish_grant(key, dataclasses.replace(end, sent=False), token)


class TwoSteps(MemoryTokenBackend):
    """Planted: reads, waits, writes."""

    async def reserve_grant(self, key: TokenKey, ask: GrantAsk) -> GrantDecision:
        log, decision = self._logs.get(key.digest, GrantLog()).reserve(ask)
        await asyncio.sleep(0)
        self._logs[key.digest] = log
        return decision


class OneKey(MemoryTokenBackend):
    """Planted: keys are not told apart (one merchant reads another's token)."""

    async def get(self, key: TokenKey) -> Token | None:
        return next(iter(self._tokens.values()), None)


class ForgetsTheHolder(MemoryTokenBackend):
    """Planted: whose secrets bought the token is lost (then it is served to nobody)."""

    async def put(self, key: TokenKey, token: Token) -> None:
        await super().put(key, dataclasses.replace(token, holder=""))


class ABudgetPerHolder(MemoryTokenBackend):
    """Planted: every guess at a merchant's secrets brings a budget of its own."""

    async def reserve_grant(self, key: TokenKey, ask: GrantAsk) -> GrantDecision:
        return await super().reserve_grant(TokenKey(key.holder or key.digest), ask)


class ClaimsToLast(MemoryTokenBackend):
    """Planted: calls itself durable and offers nothing to open again."""

    durable = True


@pytest.mark.parametrize(
    "planted",
    [
        NoReservation,
        BlindDrop,
        ForgetfulDrop,
        Overwriting,
        GivesEverythingBack,
        TwoSteps,
        OneKey,
        ForgetsTheHolder,
        ABudgetPerHolder,
        ClaimsToLast,
    ],
)
async def test_the_kit_finds_what_is_planted(planted: type[MemoryTokenBackend]) -> None:
    async def make() -> TokenBackend:
        return planted()

    with pytest.raises(TokenBackendError):
        await check_token_backend(make)
