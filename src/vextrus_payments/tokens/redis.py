"""Tokens in a Redis: shared by many processes on many machines.

Layout. Per key, under the prefix: `{<digest>}:token` (the token's document: a secret) and `{<digest>}:grants` (the
grant log). The braces keep both on one node of whatever shards by key. The grant rule stands in `GrantLog` and
nowhere else: both keys are watched and read, the pure plan decides, MULTI / EXEC writes; when somebody else wrote
meanwhile, it is decided again on what is there now. There is no script whose logic would be a second copy of the rule.

Time. Machines differ; whoever shares a Redis shares its clock, so slots and leases are stamped with its TIME.

What the Redis has to do. It must keep what it was told (`appendonly yes`) and throw nothing away (`maxmemory-policy
noeviction`). One that forgets endangers no money: it costs grants, and a gateway that is asked too often blocks the
merchant for an hour. A Redis that is down makes `StorageError`s, and nothing is sent: without it nobody knows who is
asking for a token already.

Commands used, for an ACL: GET, SET, DEL, WATCH, UNWATCH, MULTI, EXEC, TIME.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from weakref import WeakKeyDictionary

from vextrus_payments.clock import Sleeper, SystemSleeper
from vextrus_payments.errors import MissingExtraError, StorageError
from vextrus_payments.ids import Entropy, SystemEntropy
from vextrus_payments.secret import Secret
from vextrus_payments.token_budget import GrantAsk, GrantDecision, GrantEnd, GrantLog, from_millis
from vextrus_payments.token_port import Token, TokenKey
from vextrus_payments.tokens.document import token_document, token_from_document
from vextrus_payments.tokens.redis_place import place_of, tls_settings

T = TypeVar("T")

_DAY_MS: Final = 86_400_000
#: A refresh token outlives its access token by weeks, and a row that nobody asks for goes by itself in the end.
_KEEP_TOKEN_MS: Final = 60 * _DAY_MS
_KEEP_GRANTS_MS: Final = 60 * _DAY_MS
_TURNS: Final = 100
_TRIES: Final = 2
_LONGEST_WAIT_S: Final = 0.1


@dataclass(slots=True, eq=False)
class _Link:
    """The connections of one event loop."""

    client: Any
    pool: Any
    users: int = 0
    retired: bool = False


@dataclass(frozen=True, slots=True)
class _Write:
    """One key to set, or with `value=None` to remove."""

    key: str
    value: str | None
    keep_ms: int = 0


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Why it could not be done, without a word that might be a secret."""

    what: str
    code: str
    next_step: str
    again: bool = False
    """The connection was an old one, perhaps: a new one may do."""


class RedisTokenCache:
    """A TokenBackend in a Redis: what `Payments(tokens=...)` takes where several machines share their tokens.

    It connects at the first use and lets go with `aclose()` (which `Payments` calls when it closes); used again, it
    connects again. `async with` works too. It may be used from several event loops.

    Args:
        url: `redis://[user:password@]host[:port][/db]`, `rediss://...` for TLS, `unix:///path/to/socket[?db=1]`.
            The server's certificate and its name are checked; there is no option that turns it off.
        password: instead of writing it in the URL.
        ca_file: whom to trust for TLS, instead of the system's authorities (PEM).
        cert_file, key_file: our own certificate for TLS, where the Redis asks for one (PEM).
        prefix: put before every key. Whoever shares a prefix shares tokens and grant budgets.
        max_connections: at most so many; who comes later waits, up to `timeout_s`.
        timeout_s: how long to wait for a connection, and for each answer, in seconds.
        shared_time: stamp slots with the Redis's clock (the default); False: with what each process hands in.
        sleeper, entropy: for waiting, with jitter, when others write the same key at the same moment.

    Raises:
        MissingExtraError: redis-py is not installed.
        ConfigurationError: the URL names no Redis, or carries an option.
        StorageError: from every method: the Redis cannot be reached, refuses us or does not answer. Nothing was sent
            to a gateway because of it.
    """

    #: It outlives the process; whether it outlives the machine is for the Redis's own settings to say.
    durable = True

    def __init__(
        self,
        url: str | Secret,
        *,
        password: str | Secret | None = None,
        ca_file: str | Path | None = None,
        cert_file: str | Path | None = None,
        key_file: str | Path | None = None,
        prefix: str = "vextrus_payments",
        max_connections: int = 10,
        timeout_s: float = 3.0,
        shared_time: bool = True,
        sleeper: Sleeper | None = None,
        entropy: Entropy | None = None,
    ) -> None:
        self._redis = _redis_py()
        place = place_of(url.reveal() if isinstance(url, Secret) else url)
        settings = {**place.settings, **tls_settings(place.tls, ca_file, cert_file, key_file)}
        if password is not None:
            settings["password"] = password.reveal() if isinstance(password, Secret) else password
        settings |= {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
        self._settings = settings
        self._pool_settings: dict[str, Any] = {"max_connections": max_connections, "timeout": timeout_s}
        self._shown = place.shown
        self._prefix = prefix
        self._shared_time = shared_time
        self._sleeper = sleeper or SystemSleeper()
        self._entropy = entropy or SystemEntropy()
        self._links: WeakKeyDictionary[asyncio.AbstractEventLoop, _Link] = WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"RedisTokenCache({self._shown!r}, prefix={self._prefix!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close this event loop's connections; what is under way finishes first. The next use connects again."""
        link = self._links.pop(asyncio.get_running_loop(), None)
        if link is None:
            return
        link.retired = True
        if not link.users:
            await link.pool.disconnect()

    # --- the backend's methods --------------------------------------------------------------------------------

    async def get(self, key: TokenKey) -> Token | None:
        """The token as last put, be it expired; None when there is none or it cannot be read."""
        name = self._name(key, "token")

        async def work(client: Any) -> str | None:
            return _text(await client.get(name))

        return token_from_document(await self._do(work))

    async def put(self, key: TokenKey, token: Token) -> None:
        """Keep this one."""
        name, document, keep_ms = self._name(key, "token"), token_document(token), _keep_ms(token)

        async def work(client: Any) -> None:
            await client.set(name, document, px=keep_ms)

        await self._do(work)

    async def drop(self, key: TokenKey, version: str) -> bool:
        """Remove the token if it is of that version, in one step."""
        name = self._name(key, "token")

        def decide(values: Sequence[str | None], _now: datetime | None) -> tuple[list[_Write], bool]:
            token = token_from_document(values[0])
            if token is None or not token.is_version(version):
                return [], False
            return [_Write(name, None)], True

        return await self._change([name], decide)

    async def reserve_grant(self, key: TokenKey, ask: GrantAsk) -> GrantDecision:
        """Take a slot in one step, written before this returns, or say who has it."""
        name = self._name(key, "grants")
        keep_ms = round((ask.window_s + ask.lease_s) * 1000) + _KEEP_GRANTS_MS

        def decide(values: Sequence[str | None], now: datetime | None) -> tuple[list[_Write], GrantDecision]:
            before = GrantLog.from_json(values[0])
            after, decision = before.reserve(ask if now is None else replace(ask, now=now))
            return ([_Write(name, after.to_json(), keep_ms)] if after != before else []), decision

        return await self._change([name], decide)

    async def finish_grant(self, key: TokenKey, end: GrantEnd, token: Token | None) -> None:
        """Close the slot and keep the token, in one step."""
        grants, kept = self._name(key, "grants"), self._name(key, "token")

        def decide(values: Sequence[str | None], now: datetime | None) -> tuple[list[_Write], None]:
            log, latest = GrantLog.from_json(values[0]).finish(end if now is None else replace(end, now=now))
            writes = [_Write(grants, log.to_json(), _KEEP_GRANTS_MS)]
            if token is not None and (latest or token_from_document(values[1]) is None):
                writes.append(_Write(kept, token_document(token), _keep_ms(token)))
            return writes, None

        await self._change([grants, kept], decide)

    # --- own --------------------------------------------------------------------------------------------------

    def _name(self, key: TokenKey, what: str) -> str:
        return f"{self._prefix}:{{{key.digest}}}:{what}"

    async def _change(
        self,
        names: list[str],
        decide: Callable[[Sequence[str | None], datetime | None], tuple[list[_Write], T]],
    ) -> T:
        """Read, decide, write, in one step as far as anybody can see."""

        async def work(client: Any) -> tuple[T] | None:
            async with client.pipeline(transaction=True) as pipe:
                await pipe.watch(*names)
                # one by one: MGET calls a key of another type absent, and it would be written over
                values = [_text(await pipe.get(name)) for name in names]
                now = _moment(await pipe.time()) if self._shared_time else None
                writes, answer = decide(values, now)
                if not writes:
                    return (answer,)
                pipe.multi()
                for write in writes:
                    if write.value is None:
                        pipe.delete(write.key)
                    else:
                        pipe.set(write.key, write.value, px=write.keep_ms)
                try:
                    await pipe.execute()
                except self._redis.WatchError:
                    return None
                return (answer,)

        for turn in range(_TURNS):
            done = await self._do(work)
            if done is not None:
                return done[0]
            share = int.from_bytes(self._entropy.token_bytes(2)) / 65536
            await self._sleeper.sleep(min(0.001 * 2**turn, _LONGEST_WAIT_S) * (0.5 + share))
        raise StorageError(
            f"Others wrote the same token all the time at {self._shown}. Nothing was sent.",
            code="token_redis_contended",
            next_step="Try again; if it stays so, see who else writes keys with this prefix.",
        )

    async def _do(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """What `work` returns. Everything that is done here may be done twice: a permit that asks again gets the same
        answer, and a token that is written again is the same token."""
        trouble: _Trouble | None = None
        for _ in range(_TRIES):
            link = self._link()
            link.users += 1
            try:
                return await work(link.client)
            except (self._redis.RedisError, OSError) as error:
                trouble = _trouble(self._redis, error)
            finally:
                link.users -= 1
                if link.retired and not link.users:
                    await link.pool.disconnect()
            if not trouble.again:
                break
        assert trouble is not None
        raise StorageError(
            f"The Redis that keeps gateway tokens ({self._shown}) {trouble.what}. Nothing was sent.",
            code=trouble.code,
            next_step=trouble.next_step,
        )

    def _link(self) -> _Link:
        loop = asyncio.get_running_loop()
        link = self._links.get(loop)
        if link is None:
            from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection
            from redis.asyncio.connection import UnixDomainSocketConnection
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff

            settings = dict(self._settings)
            kind: Any = UnixDomainSocketConnection if "path" in settings else Connection
            if "ssl_check_hostname" in settings:
                kind = SSLConnection
            pool: Any = BlockingConnectionPool(
                connection_class=kind, retry=Retry(NoBackoff(), 0), **settings, **self._pool_settings
            )
            link = self._links[loop] = _Link(Redis(connection_pool=pool), pool)
        return link


def _redis_py() -> Any:
    """redis-py's exceptions."""
    try:
        from redis import exceptions
    except ImportError:
        exceptions = None  # type: ignore[assignment]
    if exceptions is None:
        raise MissingExtraError(
            "Tokens in a Redis need redis-py, which is not installed.",
            next_step='Install it: pip install "vextrus-payments[redis]"',
        )
    return exceptions


def _text(value: bytes | None) -> str | None:
    """What is stored; for what is no text, one that reads as neither token nor grant log."""
    if value is None:
        return None
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return json.dumps("not text")


def _moment(told: tuple[int, int]) -> datetime:
    seconds, microseconds = told
    return from_millis(seconds * 1000) + timedelta(microseconds=microseconds)


def _keep_ms(token: Token) -> int:
    life = max(token.last_use - token.issued_at, timedelta(0))
    return life // timedelta(milliseconds=1) + _KEEP_TOKEN_MS


def _trouble(redis: Any, error: Exception) -> _Trouble:
    """What to say of a failure. Nothing of its text: a server may repeat in it what it was sent."""
    if isinstance(error, redis.AuthenticationError | redis.NoPermissionError):
        return _Trouble(
            "refuses us",
            "token_redis_refused",
            "Check user and password, and that the user may use the commands that tokens/redis.py lists.",
        )
    if isinstance(error, redis.ReadOnlyError):
        return _Trouble(
            "is a replica and takes no writes",
            "token_redis_read_only",
            "Name the primary in the URL.",
            again=True,
        )
    if isinstance(error, redis.BusyLoadingError):
        return _Trouble("is still loading its data", "token_redis_down", "Try again in a moment.")
    if isinstance(error, redis.TimeoutError | TimeoutError):
        return _Trouble(
            "does not answer in time",
            "token_redis_timeout",
            "See whether it is overloaded or hangs.",
            again=True,
        )
    if isinstance(error, redis.ConnectionError | OSError):
        return _Trouble(
            "cannot be reached",
            "token_redis_down",
            "See that it runs and that host, port and certificates are right, then try again.",
            again=True,
        )
    return _Trouble(
        f"does not do what it is asked ({type(error).__name__})",
        "token_redis",
        "See its log: it may be full, loading its data, part of a cluster, or keep something else under our keys.",
    )
