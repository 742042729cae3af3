"""Sliding windows: in the process by an injected clock, in a real Redis, and what happens without one."""

import asyncio
import logging
import random
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("limits", reason="limits is not installed")

from limits.aio.storage import memory as packages_memory
from limits.storage import base as packages_base

from scripts.private_servers import Held
from tests.services import require
from tests.unit.test_tokens_redis import certificate
from tests.webhooks_limits.visitors import Ear
from vextrus_payments.errors import ConfigurationError
from vextrus_payments.testing import FakeClock
from vextrus_payments.webhooks.counters import (
    CountersThatRest,
    LocalCounters,
    RedisCounters,
    Windows,
    counters_of,
)
from vextrus_payments.webhooks.limits import Rate, retry_after, wait_s

TEN = Rate(10, per_s=60)


async def taken(counters: LocalCounters | RedisCounters | CountersThatRest, rate: Rate, times: int) -> int:
    return [await counters.hit("a", rate) for _ in range(times)].count(None)


def as_user(url: str, who: str) -> str:
    """The same Redis, for somebody else."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{who}@{parts.hostname}:{parts.port}").geturl()


# --- in the process -----------------------------------------------------------------------------------------------


async def test_so_many_fit_and_no_more() -> None:
    counters = LocalCounters(FakeClock())
    assert await taken(counters, TEN, 50) == 10
    assert await counters.hit("b", TEN) is None


async def test_a_window_slides_instead_of_starting_anew() -> None:
    clock = FakeClock(monotonic=1_000 * 60.0)
    counters = LocalCounters(clock)
    clock.advance(59)
    assert await taken(counters, TEN, 10) == 10
    clock.advance(1)  # a fixed window would let in ten more now
    assert await taken(counters, TEN, 10) == 0
    clock.advance(30)
    assert await taken(counters, TEN, 10) == 5
    clock.advance(300)
    assert await taken(counters, TEN, 50) == 10


async def test_the_wall_clock_may_be_set_back() -> None:
    clock = FakeClock()
    counters = LocalCounters(clock)
    await taken(counters, TEN, 10)
    clock.step_wall(-86_400)
    clock.advance(120)
    assert await taken(counters, TEN, 10) == 10


async def test_other_rates_of_one_key_count_apart() -> None:
    counters = LocalCounters(FakeClock())
    assert await taken(counters, Rate(3, per_s=1), 10) == 3
    assert await taken(counters, TEN, 50) == 10
    assert await taken(counters, Rate(20, per_s=60), 50) == 20


async def test_keys_are_bounded_and_those_that_are_over_go_first() -> None:
    clock = FakeClock()
    counters = LocalCounters(clock, keys_max=100)
    windows = counters._storage
    for number in range(1_000):
        await counters.hit(f"flood/{number}", TEN)
    assert len(windows) <= 100
    clock.advance(180)
    for number in range(60):
        await counters.hit(f"later/{number}", TEN)
    assert len(windows) == 60


async def test_a_key_in_use_is_not_forgotten_for_one_that_is_over() -> None:
    clock = FakeClock(monotonic=6_000.0)
    counters = LocalCounters(clock)
    for number in range(50):
        await counters.hit(f"old/{number}", TEN)
    await taken(counters, TEN, 10)
    clock.advance(60)
    assert await taken(counters, TEN, 1) == 0
    clock.advance(60)
    await counters.hit("new", TEN)
    clock.advance(1)
    assert await taken(counters, TEN, 10) == 10


@pytest.mark.parametrize("seed", range(8))
async def test_it_counts_as_the_packages_own_storage_does(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance, clock = random.Random(seed), FakeClock()
    for module in (packages_memory, packages_base):
        if hasattr(module, "time"):
            monkeypatch.setattr(module, "time", SimpleNamespace(time=clock.monotonic))
    ours, theirs = Windows(clock), packages_memory.MemoryStorage()
    limit, expiry = chance.randint(1, 12), chance.choice([1, 7, 60])
    answers = set()
    for _ in range(300):
        key, amount = chance.choice("ab"), chance.choice([1, 1, 1, 2])
        took = await ours.acquire_sliding_window_entry(key, limit, expiry, amount)
        assert took == await theirs.acquire_sliding_window_entry(key, limit, expiry, amount)
        answers.add(took)
        clock.advance(chance.choice([0.0, 0.0, 0.01, 0.3, 1.0]) * expiry)
    assert answers == {True, False}
    await asyncio.gather(*(task for task in (theirs.timer,) if task))


async def test_the_storage_does_what_the_package_asks_of_every_storage() -> None:
    windows = Windows(FakeClock())
    assert await windows.check()
    assert await windows.incr("a", 60, 3) == 3
    assert await windows.get("a") == 3
    assert await windows.get_expiry("a") == pytest.approx(FakeClock().now().timestamp())
    await windows.clear("a")
    assert await windows.get("a") == 0
    await windows.incr("a", 60)
    await windows.clear_sliding_window("a", 60)
    assert await windows.get_sliding_window("a", 60) == (0, pytest.approx(20), 0, pytest.approx(80))
    assert await windows.reset() == 1
    assert len(windows) == 0
    assert windows.base_exceptions is ValueError


# --- how long to wait -----------------------------------------------------------------------------------------------


@given(
    count=st.integers(1, 50),
    per_s=st.sampled_from([1, 10, 60, 3_600]),
    previous=st.integers(0, 60),
    current=st.integers(0, 50),
    share=st.floats(0, 1),
)
async def test_who_waits_as_told_fits(
    count: int, per_s: int, previous: int, current: int, share: float
) -> None:
    rate = Rate(count, per_s=per_s)
    current = min(current, count)
    waits = wait_s(rate, previous=previous, current=current, left_s=share * per_s)
    assert 0 <= waits <= 2 * per_s
    then = int(retry_after(waits))
    assert then > waits
    left = share * per_s - then
    counted = previous * left / per_s + current if left > 0 else current * max(0.0, per_s + left) / per_s
    assert int(counted + 1e-9) + 1 <= count or counted - (count - 1) < 1e-6


async def test_a_refusal_says_when_the_next_one_fits() -> None:
    clock = FakeClock(monotonic=6_000.0)
    counters = LocalCounters(clock)
    await taken(counters, TEN, 10)
    waits = await counters.hit("a", TEN)
    assert waits == pytest.approx(60)
    clock.advance(int(retry_after(waits)))
    assert await counters.hit("a", TEN) is None
    waits = await counters.hit("a", TEN)
    assert waits == pytest.approx(5)
    clock.advance(int(retry_after(waits)))
    assert await counters.hit("a", TEN) is None


async def test_to_ask_how_long_counts_nothing() -> None:
    counters = LocalCounters(FakeClock(monotonic=6_000.0))
    assert [await counters.wait_s("a", TEN) for _ in range(50)] == [0.0] * 50
    assert await taken(counters, TEN, 50) == 10
    assert await counters.wait_s("a", TEN) == await counters.hit("a", TEN) == pytest.approx(60)


# --- in a Redis -----------------------------------------------------------------------------------------------------


async def test_two_processes_count_together(redis_url: str) -> None:
    one, two = RedisCounters(redis_url, timeout_s=5), RedisCounters(redis_url, timeout_s=5)
    answers = await asyncio.gather(*(counters.hit("a", TEN) for _ in range(20) for counters in (one, two)))
    assert answers.count(None) == 10
    assert all(0 < waits <= 120 for waits in answers if waits is not None)
    assert await one.hit("b", TEN) is None
    assert 0 < await two.wait_s("a", TEN) <= 120
    assert [await two.wait_s("b", TEN) for _ in range(12)] == [0.0] * 12
    for counters in (one, two):
        await counters.aclose()


async def test_keys_in_a_redis_are_ours_and_go_by_themselves(redis_url: str) -> None:
    from redis.asyncio import Redis

    counters = RedisCounters(redis_url, timeout_s=5)
    await taken(counters, TEN, 12)
    async with Redis.from_url(redis_url) as client:
        keys = await client.keys("*")
        assert keys
        assert all(key.startswith(b"vextrus_payments:doors:") for key in keys)
        assert all([0 < await client.ttl(key) <= 120 for key in keys])
        before = len(await client.client_list())
        await counters.aclose()
        assert len(await client.client_list()) < before


async def test_a_redis_that_dies_hands_over_to_each_process_and_back(
    private_servers: Callable[..., Held],
) -> None:
    held = private_servers("redis")
    clock, ear = FakeClock(), Ear()
    counters = counters_of(held.places["redis"], ca_file=None, timeout_s=2.0, clock=clock, observer=ear)
    assert await taken(counters, TEN, 12) == 10
    held.crash("redis")
    assert await taken(counters, TEN, 12) == 10, "within this process a flood is still one"
    assert await counters.wait_s("a", TEN) > 0
    assert ear.names() == ["doors.counters.down"]
    held.start("redis")
    assert await taken(counters, TEN, 12) == 0, "it rests"
    clock.advance(6)
    assert await taken(counters, TEN, 12) == 10, "it counts there again"
    assert ear.names() == ["doors.counters.down", "doors.counters.up"]
    await counters.aclose()


async def test_a_redis_that_hangs_is_not_waited_for(private_servers: Callable[..., Held]) -> None:
    held = private_servers("redis")
    clock, ear = FakeClock(), Ear()
    counters = counters_of(held.places["redis"], ca_file=None, timeout_s=0.2, clock=clock, observer=ear)
    held.pause("redis")
    async with asyncio.timeout(10):
        assert await taken(counters, TEN, 100) == 10
    assert ear.heard == [("doors.counters.down", {"error": "TimeoutError", "each_process_counts": True})]
    held.resume("redis")
    await counters.aclose()


async def test_a_wrong_password_is_in_no_log(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ear = Ear()
    url = as_user(redis_url, "shop:CANARY-not-a-password")
    counters = counters_of(url, ca_file=None, timeout_s=5, clock=FakeClock(), observer=ear)
    assert await taken(counters, TEN, 12) == 10
    assert "CANARY" not in f"{ear.heard}{caplog.text}{counters!r}"
    await counters.aclose()


async def test_the_rights_that_the_page_names_are_enough(redis_url: str) -> None:
    from redis.asyncio import Redis

    page = Path(__file__).resolve().parents[2] / "docs" / "webhooks-limits.md"
    named = re.search(r"`(~vextrus_payments:doors:[^`]+)`", page.read_text(encoding="utf-8"))
    assert named is not None
    async with Redis.from_url(redis_url) as admin:
        rules = named[1].split()
        await admin.execute_command("ACL", "SETUSER", "doors", "reset", "on", ">let-me-count", *rules)
        await admin.execute_command("SCRIPT", "FLUSH")
        try:
            counters = RedisCounters(as_user(redis_url, "doors:let-me-count"), timeout_s=5)
            assert await taken(counters, Rate(5, per_s=1), 7) == 5
            assert await taken(counters, TEN, 12) == 10
            await counters.aclose()
        finally:
            await admin.execute_command("ACL", "DELUSER", "doors")


async def test_tls_is_checked_to_the_name(private_servers: Callable[..., Held], tmp_path: Path) -> None:
    require("redis")
    served, other = certificate(tmp_path, "served"), certificate(tmp_path, "other")
    with tempfile.TemporaryDirectory() as folder:  # the server runs as another user, who reads it here
        readable = Path(folder)
        readable.chmod(0o755)
        for path in served:
            (readable / path.name).write_bytes(path.read_bytes())
            (readable / path.name).chmod(0o644)
        url = private_servers("redis", tls=tuple(readable / path.name for path in served)).places["redis"]
    assert url.startswith("rediss://")
    trusting = RedisCounters(url, timeout_s=5, ca_file=str(served[0]))
    assert await trusting.hit("a", TEN) is None
    await trusting.aclose()
    wrong_name = url.replace("127.0.0.1", "localhost")
    for place, authority in ((url, None), (url, other[0]), (wrong_name, served[0])):
        refused = RedisCounters(place, timeout_s=5, ca_file=None if authority is None else str(authority))
        with pytest.raises(Exception, match=r"(?i)certificate"):
            await refused.hit("a", TEN)
        await refused.aclose()


@pytest.mark.parametrize(
    "url",
    [
        "CANARY",
        "http://CANARY@example.com",
        "redis://",
        "redis://CANARY@host:port",
        "redis://host/0?ssl_cert_reqs=none",
        "rediss://host?ssl_check_hostname=false",
        "redis://host#CANARY",
        "unix://host/socket",
        "unix:///socket?db=x",
        "redis://[::1",
    ],
)
def test_a_url_that_names_no_redis_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RedisCounters(url, timeout_s=1)
    assert "CANARY" not in f"{caught.value}{caught.value!r}{caught.value.__context__}"


def test_each_event_loop_has_connections_of_its_own(redis_url: str) -> None:
    counters = RedisCounters(redis_url, timeout_s=5)

    async def crowd() -> int:
        answers = await asyncio.gather(*(counters.hit("a", TEN) for _ in range(100)))
        await counters.aclose()
        await counters.aclose()
        return answers.count(None)

    assert [asyncio.run(crowd()), asyncio.run(crowd())] == [10, 0]


async def test_a_unix_socket_may_be_named(tmp_path: Path) -> None:
    counters = RedisCounters(f"unix://{tmp_path}/redis.sock?db=1", timeout_s=1)
    with pytest.raises(Exception, match=r"redis\.sock"):
        await counters.hit("a", TEN)
    await counters.aclose()
