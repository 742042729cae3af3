"""Tokens in a real Redis: one budget for all machines, in one step each, and nothing shown when it fails."""

import asyncio
import contextlib
import datetime as dt
import importlib
import ipaddress
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from scripts.private_servers import Held
from tests.services import require
from vextrus_payments.errors import ConfigurationError, Effect, MissingExtraError, StorageError
from vextrus_payments.secret import Secret
from vextrus_payments.testing import FakeClock, FakeSleeper, check_token_backend
from vextrus_payments.token_budget import (
    GrantAsk,
    GrantBusy,
    GrantDecision,
    GrantEnd,
    GrantExhausted,
    GrantLog,
    GrantReserved,
)
from vextrus_payments.token_port import GrantOrder, Token, TokenBackend, TokenKey
from vextrus_payments.tokens import RedisTokenCache, TokenCache

pytest.importorskip("redis", reason="redis-py is not installed")

KEY = TokenKey.of("https://gateway.example", "canary-app-key", "canary-user")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
GRANTS = f"vextrus_payments:{{{KEY.digest}}}:grants"
TOKEN = f"vextrus_payments:{{{KEY.digest}}}:token"


def granted(name: str = "a", at: datetime = NOON) -> Token:
    return Token.granted(Secret(f"canary-access-{name}"), issued_at=at, life_s=3600)


def ask(permit: str, now: datetime = NOON, *, limit: int = 2) -> GrantAsk:
    return GrantAsk(permit=permit, now=now, limit=limit, window_s=3600, lease_s=90.0)


async def reserve(backend: RedisTokenCache, permit: str, now: datetime = NOON) -> GrantDecision:
    return await backend.reserve_grant(KEY, ask(permit, now))


@contextlib.asynccontextmanager
async def client_of(url: str) -> Any:
    from redis.asyncio import Redis

    client = Redis.from_url(url)
    try:
        yield client
    finally:
        await client.connection_pool.disconnect()


def with_password(url: str, password: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://:{password}@{parts.hostname}:{parts.port}{parts.path}"


def told(error: BaseException) -> str:
    """All that a failure can show, its chain included."""
    return "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))


# --- the rules of the port ----------------------------------------------------------------------------------------


async def test_it_keeps_the_rules_of_a_token_backend(redis_url: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        names = iter(range(1000))

        async def make(prefix: str | None = None) -> TokenBackend:
            # the check hands its own time in, years from the server's
            made = RedisTokenCache(redis_url, prefix=prefix or f"check-{next(names)}", shared_time=False)
            return await stack.enter_async_context(made)

        async def reopen(backend: TokenBackend) -> TokenBackend:
            assert isinstance(backend, RedisTokenCache)
            return await make(backend._prefix)

        await check_token_backend(make, reopen=reopen)


async def test_slots_are_stamped_by_the_one_clock_that_all_share(redis_url: str) -> None:
    async with RedisTokenCache(redis_url) as here, RedisTokenCache(redis_url) as there:
        assert await reserve(here, "p1", NOON) == GrantReserved("p1")
        a_day_ahead = await reserve(there, "p2", NOON + timedelta(days=1))
        assert isinstance(a_day_ahead, GrantBusy)
        assert 85 < a_day_ahead.retry_after_s <= 90
        await there.finish_grant(
            KEY, GrantEnd(permit="p1", now=NOON - timedelta(days=1), sent=True), granted()
        )
        assert await reserve(there, "p2", NOON + timedelta(days=2)) == GrantReserved("p2")
        await there.finish_grant(KEY, GrantEnd(permit="p2", now=NOON, sent=True), None)
        used_up = await reserve(here, "p3", NOON + timedelta(days=3))
        assert isinstance(used_up, GrantExhausted)
        assert 3590 < used_up.retry_after_s <= 3601


async def test_no_end_of_many_at_once_is_lost(redis_url: str) -> None:
    async with RedisTokenCache(redis_url) as here, RedisTokenCache(redis_url) as there:
        ends = [GrantEnd(permit=f"p{number}", now=NOON, sent=True) for number in range(60)]
        await asyncio.gather(
            *((here, there)[n % 2].finish_grant(KEY, end, None) for n, end in enumerate(ends))
        )
        async with client_of(redis_url) as client:
            log = GrantLog.from_json((await client.get(GRANTS)).decode())
    assert {slot.permit for slot in log.slots} == {end.permit for end in ends}


async def test_rows_go_by_themselves_in_the_end_and_not_before_they_may(redis_url: str) -> None:
    async with RedisTokenCache(redis_url) as backend, client_of(redis_url) as client:
        await reserve(backend, "p1")
        day_ms = 86_400_000
        assert 30 * day_ms < await client.pttl(GRANTS) < 400 * day_ms
        await backend.finish_grant(KEY, GrantEnd(permit="p1", now=NOON, sent=True), granted())
        assert 30 * day_ms < await client.pttl(GRANTS) < 400 * day_ms
        assert 30 * day_ms < await client.pttl(TOKEN) < 400 * day_ms
        await backend.put(KEY, granted("b"))
        assert 30 * day_ms < await client.pttl(TOKEN) < 400 * day_ms
        assert sorted(await client.keys()) == sorted([GRANTS.encode(), TOKEN.encode()])


@pytest.mark.parametrize("junk", [b"\xff\xfe", b"{", b"null", b'{"format": 9}', b""])
async def test_what_cannot_be_read_is_no_token_and_a_used_up_budget(junk: bytes, redis_url: str) -> None:
    async with RedisTokenCache(redis_url) as backend, client_of(redis_url) as client:
        await client.set(GRANTS, junk)
        await client.set(TOKEN, junk)
        assert await backend.get(KEY) is None
        assert not await backend.drop(KEY, "version")
        decision = await reserve(backend, "p1")
        assert isinstance(decision, GrantExhausted)
        assert decision.unreadable
        await backend.finish_grant(KEY, GrantEnd(permit="old", now=NOON, sent=True), granted())
        assert await backend.get(KEY) == granted(), "where there is no token to read, any is better than none"


async def test_something_else_under_our_keys_is_said_and_left_alone(redis_url: str) -> None:
    async with RedisTokenCache(redis_url) as backend, client_of(redis_url) as client:
        await client.rpush(GRANTS, "canary-value")
        await client.rpush(TOKEN, "canary-value")
        end = GrantEnd(permit="p1", now=NOON, sent=True)
        for deed in (
            lambda: backend.get(KEY),
            lambda: reserve(backend, "p1"),
            lambda: backend.finish_grant(KEY, end, granted()),
            lambda: backend.drop(KEY, "v"),
        ):
            with pytest.raises(StorageError, match="does not do what it is asked") as caught:
                await deed()
            assert "canary" not in told(caught.value)
        assert await client.lrange(GRANTS, 0, -1) == [b"canary-value"]


# --- when it fails ------------------------------------------------------------------------------------------------


class Wire:
    """Counts grants; each takes until it is let go."""

    def __init__(self) -> None:
        self.grants = 0
        self.begun = asyncio.Event()
        self.goes_on = asyncio.Event()

    async def grant(self, order: GrantOrder) -> Token:
        self.grants += 1
        self.begun.set()
        await self.goes_on.wait()
        return granted(str(self.grants), datetime.now(UTC))


async def test_a_redis_killed_in_the_middle_of_a_grant_costs_no_second_one(
    private_servers: Callable[..., Held],
) -> None:
    held = private_servers("redis", durable=True)
    url = held.places["redis"]
    wire = Wire()
    async with RedisTokenCache(url) as mine, RedisTokenCache(url) as others:
        cache = TokenCache(mine)
        callers = [asyncio.create_task(cache.token(KEY, wire.grant)) for _ in range(100)]
        await wire.begun.wait()
        held.crash("redis")
        # While it is down nobody else asks the gateway for anything.
        other = TokenCache(others)
        with pytest.raises(StorageError, match="cannot be reached") as caught:
            await other.token(KEY, wire.grant)
        assert caught.value.effect is Effect.NONE
        assert "Nothing was sent" in str(caught.value)
        # The grant under way ends; its token cannot be kept, and is used all the same.
        wire.goes_on.set()
        tokens = await asyncio.gather(*callers)
        assert len({token.version for token in tokens}) == 1
        held.start("redis")
        # Its slot is still there, and open: the others wait for its lease instead of asking.
        decision = await others.reserve_grant(KEY, ask("p2"))
        assert isinstance(decision, GrantBusy)
        assert wire.grants == 1
        await cache.aclose()
        await other.aclose()


async def test_a_redis_that_was_gone_for_a_moment_is_found_again(
    private_servers: Callable[..., Held],
) -> None:
    held = private_servers("redis", durable=True)
    async with RedisTokenCache(held.places["redis"]) as backend:
        await backend.put(KEY, granted())
        await asyncio.gather(
            *(backend.get(KEY) for _ in range(8))
        )  # several connections that are old afterwards
        held.crash("redis")
        held.start("redis")
        assert await asyncio.gather(*(backend.get(KEY) for _ in range(8))) == [granted()] * 8


async def test_a_redis_that_hangs_is_waited_for_no_longer_than_said(
    private_servers: Callable[..., Held],
) -> None:
    held = private_servers("redis")
    async with RedisTokenCache(held.places["redis"], timeout_s=0.15, max_connections=2) as backend:
        await backend.put(KEY, granted())
        held.pause("redis")
        results = await asyncio.gather(*(backend.get(KEY) for _ in range(6)), return_exceptions=True)
        assert all(isinstance(result, StorageError) for result in results)
        assert {result.code for result in results if isinstance(result, StorageError)} <= {
            "token_redis_timeout",
            "token_redis_down",
        }
        held.resume("redis")
        assert await backend.get(KEY) == granted()


async def test_a_connection_that_was_cut_is_made_anew(redis_url: str) -> None:
    async with RedisTokenCache(redis_url) as backend, client_of(redis_url) as client:
        await backend.put(KEY, granted())
        await client.client_kill_filter(_type="normal", skipme=True)
        assert await backend.get(KEY) == granted()


async def test_a_cancelled_caller_spoils_nothing_for_the_next(redis_url: str) -> None:
    async with RedisTokenCache(redis_url, max_connections=1) as backend:
        await backend.put(KEY, granted())
        for pause in range(12):
            task = asyncio.create_task(reserve(backend, "p1"))
            for _ in range(pause):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert await backend.get(KEY) == granted(), f"cancelled after {pause} steps"
        assert await reserve(backend, "p1") == GrantReserved("p1")


async def test_others_who_never_stop_writing_are_named_in_the_end(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from redis import Redis

    writes = 0
    genuine = GrantLog.from_json

    def just_before(text: str | None) -> GrantLog:
        """Somebody else writes between our look and our EXEC, each time."""
        nonlocal writes
        writes += 1
        with Redis.from_url(redis_url) as other:
            other.set(GRANTS, GrantLog().to_json())
        return genuine(text)

    monkeypatch.setattr(GrantLog, "from_json", just_before)
    monkeypatch.setattr("vextrus_payments.tokens.redis._TURNS", 3)
    sleeper = FakeSleeper(FakeClock())
    async with RedisTokenCache(redis_url, sleeper=sleeper) as backend:
        with pytest.raises(StorageError, match="all the time") as caught:
            await reserve(backend, "p1")
    assert writes == 3
    assert caught.value.code == "token_redis_contended"
    assert "Nothing was sent" in str(caught.value)


# --- what it shows ------------------------------------------------------------------------------------------------


async def test_no_password_and_no_token_is_ever_shown(redis_url: str) -> None:
    url = with_password(redis_url, "canary-password")
    async with RedisTokenCache(url) as backend:
        for deed in (
            lambda: backend.get(KEY),
            lambda: backend.put(KEY, granted()),
            lambda: backend.drop(KEY, "canary-version"),
            lambda: reserve(backend, "canary-permit"),
            lambda: backend.finish_grant(KEY, GrantEnd(permit="p", now=NOON, sent=True), granted()),
        ):
            with pytest.raises(StorageError, match="refuses us") as caught:
                await deed()
            assert caught.value.__context__ is None
            assert caught.value.__cause__ is None
            assert "canary" not in told(caught.value)
            assert "127.0.0.1" in str(caught.value), "where it is may be said"
        assert "canary" not in repr(backend) + str(backend)
        assert repr(backend).startswith("RedisTokenCache('redis://127.0.0.1:")


async def test_the_password_may_come_by_itself(redis_url: str) -> None:
    parts = urlsplit(redis_url)
    plain = f"redis://{parts.hostname}:{parts.port}/0"
    async with RedisTokenCache(plain, password=Secret(parts.password or "")) as backend:
        await backend.put(KEY, granted())
    async with RedisTokenCache(Secret(redis_url)) as backend:
        assert await backend.get(KEY) == granted()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis://",
        "http://canary.example",
        "canary.example:6379",
        "redis://canary.example:99999",
        "redis://[canary",
        "redis://canary.example/one",
        "redis://canary.example/0?ssl_cert_reqs=none",
        "rediss://canary.example/0?ssl_cert_reqs=none",
        "redis://:canary#word@host/0",
        "unix://canary/tmp/socket",
        "unix:///tmp/canary?db=x",
        "redis://canary.example/٣",
    ],
)
def test_a_url_that_names_no_redis_or_has_options_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ConfigurationError, match="names no Redis") as caught:
        RedisTokenCache(url)
    assert "canary" not in told(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host", "redis://host:6379/0"),
        ("redis://user:canary@host:7000/3", "redis://host:7000/3"),
        ("rediss://:can%23ary@[::1]/", "rediss://::1:6379/0"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("unix:///run/redis.sock?db=4", "unix:///run/redis.sock"),
    ],
)
def test_making_one_connects_to_nothing_and_shows_where_only(url: str, shown: str) -> None:
    assert repr(RedisTokenCache(url)) == f"RedisTokenCache({shown!r}, prefix='vextrus_payments')"


def test_without_redis_py_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(MissingExtraError, match="vextrus-payments\\[redis\\]") as caught:
        RedisTokenCache("redis://host")
    assert caught.value.__context__ is None


def test_naming_the_package_does_not_load_redis_py() -> None:
    import subprocess

    program = (
        "import sys, vextrus_payments.tokens as t; assert 'redis' not in sys.modules;"
        " assert 'RedisTokenCache' in dir(t); t.RedisTokenCache; assert 'redis' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = importlib.import_module("vextrus_payments.tokens").Nothing


# --- its life -----------------------------------------------------------------------------------------------------


async def connected(client: Any) -> set[str]:
    """Every connection the Redis has, by its id."""
    return {row["id"] for row in await client.client_list()}


async def test_closing_lets_go_of_every_connection_and_the_next_use_connects_again(redis_url: str) -> None:
    backend = RedisTokenCache(redis_url)
    async with client_of(redis_url) as client:
        await client.ping()
        before = await connected(client)
        await asyncio.gather(*(backend.put(KEY, granted()) for _ in range(5)))
        assert await connected(client) - before
        await backend.aclose()
        await backend.aclose()
        assert not await connected(client) - before
        assert await backend.get(KEY) == granted()
        await backend.aclose()
        assert not await connected(client) - before


async def test_closing_waits_for_nobody_and_cuts_nobody_off(redis_url: str) -> None:
    backend = RedisTokenCache(redis_url)
    async with client_of(redis_url) as client:
        await client.ping()
        before = await connected(client)
        under_way = [asyncio.create_task(reserve(backend, f"p{n}")) for n in range(20)]
        await asyncio.sleep(0)
        await backend.aclose()
        decisions = await asyncio.gather(*under_way)
        assert sum(isinstance(decision, GrantReserved) for decision in decisions) == 1
        await backend.aclose()
        assert not await connected(client) - before


def test_it_serves_one_event_loop_after_the_other(redis_url: str) -> None:
    backend = RedisTokenCache(redis_url)

    async def turn() -> Token | None:
        await backend.put(KEY, granted())
        found = await backend.get(KEY)
        await backend.aclose()
        return found

    assert asyncio.run(turn()) == asyncio.run(turn()) == granted()


async def test_the_cache_lets_go_of_a_backend_that_holds_connections(redis_url: str) -> None:
    wire = Wire()
    wire.goes_on.set()
    cache = TokenCache(RedisTokenCache(redis_url))
    async with client_of(redis_url) as client:
        await client.ping()
        before = await connected(client)
        await cache.token(KEY, wire.grant)
        await cache.let_go()
        assert not await connected(client) - before
        assert wire.grants == 1


# --- TLS ----------------------------------------------------------------------------------------------------------


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate of its own authority for 127.0.0.1, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


async def test_tls_is_checked_to_the_name(private_servers: Callable[..., Held], tmp_path: Path) -> None:
    require("redis")
    served, other = certificate(tmp_path, "served"), certificate(tmp_path, "other")
    readable = Path("/tmp") / f"vextrus-tls-{tmp_path.name}"
    readable.mkdir(mode=0o755)
    try:
        files = []
        for path in served:
            copy = readable / path.name
            copy.write_bytes(path.read_bytes())
            copy.chmod(0o644)
            files.append(copy)
        held = private_servers("redis", tls=(files[0], files[1]))
    finally:
        for file in readable.iterdir():
            file.unlink()
        readable.rmdir()
    url = held.places["redis"]
    assert url.startswith("rediss://")
    async with RedisTokenCache(url, ca_file=served[0]) as trusting:
        await trusting.put(KEY, granted())
        assert await trusting.get(KEY) == granted()
    wrong_name = url.replace("127.0.0.1", "localhost")
    for refused in (
        RedisTokenCache(url),
        RedisTokenCache(url, ca_file=other[0]),
        RedisTokenCache(wrong_name, ca_file=served[0]),
        RedisTokenCache(url.replace("rediss", "redis"), timeout_s=0.5),
    ):
        with pytest.raises(StorageError) as caught:
            await refused.get(KEY)
        assert caught.value.code in ("token_redis_down", "token_redis_timeout")
        await refused.aclose()
    with pytest.raises(ConfigurationError, match="without TLS"):
        RedisTokenCache("redis://127.0.0.1", ca_file=served[0])
