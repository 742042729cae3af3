"""The guard at the door: each layer by the attack it answers, and none of them at the cost of an honest sender."""

import asyncio
from typing import Any

import pytest

from tests.webhooks_limits.visitors import OTHER, STRANGER, Post, request
from vextrus_payments.errors import ConfigurationError, MissingExtraError
from vextrus_payments.webhooks import guard as guard_module
from vextrus_payments.webhooks.limits import DoorLimits, Rate
from vextrus_payments.webhooks.sources import Source

pytest.importorskip("limits", reason="limits is not installed")

TEN = Rate(10, per_s=60)
SMALL = DoorLimits(bodies_max=8, bodies_max_bytes=4_000, body_max_bytes=1_000)


# --- one request ----------------------------------------------------------------------------------------------------


async def test_a_head_is_held_to_its_bounds_before_anything_is_looked_up() -> None:
    post = Post(DoorLimits(body_max_bytes=1_000, headers_max=5))
    assert await post.visit(request(length=1_000)) == 200
    assert await post.visit(request(length=1_001)) == 413
    assert await post.visit(request(length=None, content_length="-1")) == 400
    assert await post.visit(request(length=None, content_length="1_0")) == 400
    assert await post.visit(request(length=None, content_length="9" * 5_000)) == 400
    assert await post.visit(request(a="", b="", c="", d="", e="")) == 431
    assert post.guard.body_max_bytes == 1_000
    assert post.guard.read_deadline_s == 10.0


# --- memory ---------------------------------------------------------------------------------------------------------


async def test_one_source_gets_a_quarter_of_the_places() -> None:
    post = Post(SMALL)
    assert [await post.visit(request(), stay=True) for _ in range(3)] == [200, 200, 429]
    assert await post.visit(request(OTHER)) == 200
    assert await post.retry_after_s(request()) >= 1


async def test_one_source_gets_a_quarter_of_the_bytes() -> None:
    post = Post(SMALL)
    assert await post.visit(request(length=None), stay=True) == 200, "of unknown length: a whole body's worth"
    assert await post.visit(request(length=1)) == 429
    assert await post.visit(request(OTHER, length=1)) == 200


async def test_a_few_addresses_that_drip_leave_places_to_senders_who_are_new_here() -> None:
    """By bodies, and by bytes where no length is told."""
    for length in (1, None):
        post = Post()
        for number in range(5):
            one = request(f"192.0.2.{number}", length=length)
            while await post.visit(one, stay=True) == 200:
                pass
        sender = request(OTHER, length=1_000)
        assert await post.visit(sender, stay=True) == 200
        assert await post.visit(sender, stay=True) == 200


async def test_strangers_leave_the_last_quarter_to_senders() -> None:
    post = Post(SMALL)
    post.guard.good_signature(request(OTHER))
    strangers = [request(f"192.0.2.{number}") for number in range(9)]
    assert [await post.visit(one, stay=True) for one in strangers] == [200] * 6 + [503] * 3
    assert [await post.visit(request(OTHER), stay=True) for _ in range(3)] == [200, 200, 503]


async def test_who_leaves_makes_room_and_nobody_makes_more() -> None:
    post = Post(SMALL)
    for _ in range(50):
        inside = [request(f"192.0.2.{number}", length=700) for number in range(4)]
        assert [await post.visit(one, stay=True) for one in inside] == [200] * 4
        assert await post.visit(request(OTHER, length=700)) == 503
        for one in inside:
            post.guard.leave(one)
    post.guard.leave(inside[0])
    assert (post.guard._all.bodies, post.guard._all.size, post.guard._places) == (0, 0, {})


async def test_a_refused_and_a_cancelled_visitor_hold_no_place() -> None:
    asked = asyncio.Event()

    async def never(_: Source) -> bool:
        asked.set()
        await asyncio.Event().wait()
        return True

    post = Post(DoorLimits(allow=never, allow_timeout_s=60))
    task = asyncio.create_task(post.guard.admit(request()))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert post.guard._all.bodies == 0
    counted = Post(DoorLimits(per_source=Rate(1, per_s=60)))
    assert await counted.let_in(request(), 3) == 1
    assert counted.guard._all.bodies == 0


# --- lists ----------------------------------------------------------------------------------------------------------


async def test_only_who_is_on_the_list_may_send() -> None:
    post = Post(DoorLimits(allow_from=("198.51.100.0/24", "2001:db8::/32")))
    assert await post.visit(request(OTHER)) == 200
    assert await post.visit(request("2001:db8::1")) == 200
    assert await post.visit(request("::ffff:198.51.100.1")) == 200
    assert await post.visit(request(STRANGER)) == 403
    assert await post.visit(request(None)) == 403
    assert await post.visit(request("nonsense")) == 403


async def test_the_list_goes_by_the_source_and_not_by_the_proxy() -> None:
    post = Post(DoorLimits(allow_from=(OTHER,), trusted_proxies=("10.0.0.0/8",)))
    assert await post.visit(request("10.0.0.1", x_forwarded_for=OTHER)) == 200
    assert await post.visit(request("10.0.0.1", x_forwarded_for=f"{OTHER}, {STRANGER}")) == 403
    assert await post.visit(request(STRANGER, x_forwarded_for=OTHER)) == 403


async def test_the_hook_decides() -> None:
    asked: list[Source] = []

    async def allow(source: Source) -> bool:
        asked.append(source)
        return source.address == OTHER

    post = Post(DoorLimits(allow=allow))
    assert [await post.visit(request(peer)) for peer in (OTHER, STRANGER, "2001:db8::5")] == [200, 403, 403]
    assert asked[2] == Source("2001:db8::5", "2001:db8::/64")


@pytest.mark.parametrize("fails", ["raises", "hangs"])
async def test_a_hook_that_fails_turns_nobody_away(fails: str) -> None:
    async def allow(_: Source) -> bool:
        if fails == "raises":
            raise RuntimeError("CANARY")
        await asyncio.Event().wait()
        return False

    post = Post(DoorLimits(allow=allow, allow_timeout_s=0.01))
    assert await post.visit(request()) == 200
    assert post.ear.names() == ["doors.hook_failed"]
    assert "CANARY" not in str(post.ear.heard)


# --- rates ----------------------------------------------------------------------------------------------------------


async def test_a_flood_from_one_source_hinders_no_other() -> None:
    limits = DoorLimits(per_source=TEN, per_tenant=Rate(20, per_s=60), per_gateway=Rate(20, per_s=60))
    post = Post(limits)
    assert await post.let_in(request(), 1_000) == 10
    assert await post.let_in(request(OTHER), 1_000) == 10


async def test_a_flood_of_strangers_hinders_no_sender_who_has_proven_himself() -> None:
    post = Post(DoorLimits(per_source=TEN, per_tenant=Rate(20, per_s=60), per_gateway=Rate(20, per_s=60)))
    post.guard.good_signature(request(OTHER))
    for number in range(100):
        await post.let_in(request(f"192.0.2.{number}"), 20)
    assert await post.visit(request("192.0.2.200")) == 429, "strangers have used up what is theirs"
    assert await post.let_in(request(OTHER), 20) == 10


async def test_a_proof_holds_for_a_day() -> None:
    post = Post(DoorLimits(per_gateway=Rate(2, per_s=1)))
    post.guard.good_signature(request(OTHER))
    post.clock.advance(86_399)
    assert await post.let_in(request(), 5) == 2
    assert await post.visit(request(OTHER)) == 200
    post.clock.advance(1)
    await post.let_in(request(), 5)
    assert await post.visit(request(OTHER)) == 429


async def test_tenants_and_gateways_have_rates_of_their_own() -> None:
    limits = DoorLimits(
        per_tenant=Rate(2, per_s=60),
        tenants={"big": Rate(4, per_s=60)},
        per_gateway=Rate(5, per_s=60),
        gateways={"nagad": Rate(1, per_s=60)},
    )
    post = Post(limits)
    assert await post.let_in(request(tenant="small"), 9) == 2
    assert await post.let_in(request(tenant="big"), 9) == 3, "the gateway has room for five in all"
    assert await post.let_in(request(tenant="other", gateway="nagad"), 9) == 1


async def test_a_burst_and_a_longer_run_both_hold() -> None:
    post = Post(DoorLimits(per_source=(Rate(5, per_s=1), Rate(8, per_s=100))))
    assert await post.let_in(request(), 9) == 5
    post.clock.advance(2)
    assert await post.let_in(request(), 3) == 3
    assert await post.retry_after_s(request()) > 2


async def test_who_is_told_to_wait_is_told_the_longest_wait() -> None:
    """Told the shorter one, he would come back in vain."""
    rates = (Rate(5, per_s=1), Rate(5, per_s=100), Rate(7, per_s=1_000))
    for order in (rates, rates[::-1], (rates[1], rates[2], rates[0])):
        post = Post(DoorLimits(per_source=order, per_tenant=Rate(100, per_s=1)))
        assert await post.let_in(request(), 9) == 5
        post.clock.advance(await post.retry_after_s(request()))
        assert await post.visit(request()) == 200
        post.clock.advance(100)
        assert await post.let_in(request(), 9) == 1
        assert await post.retry_after_s(request()) > 100, "the longest run is full by now"
        post.clock.advance(await post.retry_after_s(request()))
        assert await post.visit(request()) == 200


async def test_to_be_told_how_long_costs_nothing() -> None:
    post = Post(DoorLimits(per_source=(Rate(2, per_s=1), Rate(4, per_s=100))))
    for _ in range(2):
        assert await post.let_in(request(), 100) == 2, "98 refusals of the first second are none of the run's"
        post.clock.advance(2)
    assert await post.visit(request()) == 429


async def test_names_that_are_none_share_one_count() -> None:
    post = Post(DoorLimits(per_tenant=Rate(3, per_s=60)))
    odd = ["../x", "a/b", "x" * 65, "\x00", "ü"]
    assert [await post.visit(request(tenant=name)) for name in odd] == [200] * 3 + [429] * 2
    assert await post.visit(request()) == 200


async def test_who_waits_as_long_as_told_is_let_in() -> None:
    post = Post(DoorLimits(per_source=TEN))
    await post.let_in(request(), 10)
    post.clock.advance(await post.retry_after_s(request()))
    assert await post.visit(request()) == 200


async def test_a_whole_64_of_ipv6_is_one_source() -> None:
    post = Post(DoorLimits(per_source=TEN))
    assert sum([await post.let_in(request(f"2001:db8::{number:x}"), 1) for number in range(30)]) == 10
    assert await post.visit(request("2001:db8:0:1::1")) == 200


async def test_known_senders_are_not_counted_per_source() -> None:
    post = Post(DoorLimits(per_source=TEN, known_senders=("198.51.100.0/24",)))
    assert await post.let_in(request(OTHER), 100) == 100
    assert await post.let_in(request(), 100) == 10


# --- forgers --------------------------------------------------------------------------------------------------------


async def forge(post: Post, peer: str, times: int) -> None:
    for _ in range(times):
        await post.guard.bad_signature(request(peer))


async def test_a_forger_is_blocked_for_a_while() -> None:
    post = Post(DoorLimits(block_after=5, block_s=600))
    await forge(post, STRANGER, 4)
    assert await post.visit(request()) == 200
    await forge(post, STRANGER, 1)
    assert await post.visit(request()) == 429
    assert 599 <= await post.retry_after_s(request()) <= 601
    assert await post.visit(request(OTHER)) == 200
    post.clock.advance(600)
    assert await post.visit(request()) == 200
    assert post.guard._blocked == {}


async def test_wrong_signatures_far_apart_block_nobody() -> None:
    post = Post(DoorLimits(block_after=5, block_window_s=60))
    for _ in range(50):
        await forge(post, STRANGER, 1)
        post.clock.advance(60)
    assert await post.visit(request()) == 200


async def test_one_wrong_signature_may_be_enough() -> None:
    post = Post(DoorLimits(block_after=1))
    await forge(post, STRANGER, 1)
    assert await post.visit(request()) == 429


async def test_who_has_proven_himself_is_not_blocked_for_a_forger_at_his_address() -> None:
    post = Post(DoorLimits(block_after=5, known_senders=("192.0.2.0/24",)))
    post.guard.good_signature(request(OTHER))
    for peer in (OTHER, "192.0.2.1"):
        await forge(post, peer, 100)
        assert await post.visit(request(peer)) == 200


async def test_a_right_signature_lifts_a_block() -> None:
    post = Post(DoorLimits(block_after=1))
    await forge(post, STRANGER, 1)
    post.guard.good_signature(request())  # of one that was let in before the block
    assert await post.visit(request()) == 200


async def test_without_a_setting_wrong_signatures_are_not_counted() -> None:
    post = Post()
    await forge(post, STRANGER, 1_000)
    assert await post.visit(request()) == 200


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_module, "_REMEMBERED_MAX", 10)
    post = Post(DoorLimits(block_after=1))
    for number in range(50):
        await forge(post, f"192.0.2.{number}", 1)
        post.guard.good_signature(request(f"198.51.100.{number}"))
    assert len(post.guard._blocked) == len(post.guard._proven) == 10
    assert await post.visit(request("192.0.2.49")) == 429


# --- what breaks ----------------------------------------------------------------------------------------------------


class Broken:
    """Counters that never can."""

    async def hit(self, key: str, rate: Rate) -> float | None:
        raise ConnectionError("redis://CANARY")

    async def wait_s(self, key: str, rate: Rate) -> float:
        raise ConnectionError("redis://CANARY")

    async def aclose(self) -> None:
        raise ConnectionError("redis://CANARY")


async def test_counters_that_break_turn_nobody_away_and_tell_no_secret() -> None:
    post = Post(DoorLimits(per_source=TEN, block_after=2), counters=Broken())
    assert await post.let_in(request(), 30) == 30
    await forge(post, STRANGER, 30)
    assert await post.visit(request()) == 200
    assert "CANARY" not in str(post.ear.heard)


class HalfBroken(Broken):
    """It can still refuse."""

    async def hit(self, key: str, rate: Rate) -> float | None:
        return 7.5


async def test_a_wait_that_cannot_be_asked_leaves_the_one_that_is_known() -> None:
    post = Post(DoorLimits(per_source=(TEN, Rate(20, per_s=600))), counters=HalfBroken())
    assert await post.retry_after_s(request()) == 8
    assert "CANARY" not in str(post.ear.heard)


async def test_a_flood_makes_few_events() -> None:
    post = Post(DoorLimits(per_source=TEN))
    await post.let_in(request(), 1_000)
    assert post.ear.names() == ["doors.source_rate"]
    post.clock.advance(10)
    assert await post.visit(request()) == 429
    assert post.ear.heard[-1] == ("doors.source_rate", {"source": STRANGER, "unmentioned": 989})


async def test_a_forwarded_header_without_a_trusted_proxy_is_told_once() -> None:
    post = Post()
    for _ in range(3):
        await post.visit(request("10.0.0.1", x_forwarded_for=STRANGER))
    assert post.ear.heard == [("doors.proxy_untrusted", {"peer": "10.0.0.1"})]


async def test_a_proxy_of_ours_that_is_not_named_is_known() -> None:
    post = Post(DoorLimits(per_source=TEN))
    assert post.guard.forwarder is None
    await post.visit(request("8.8.8.8", x_forwarded_for="9.9.9.9"))
    assert post.guard.forwarder is None, "anybody can write that"
    await post.visit(request("10.0.0.1", x_forwarded_for=STRANGER))
    await post.visit(request("10.0.0.2", forwarded=f"for={STRANGER}"))
    assert post.guard.forwarder == "10.0.0.1"
    assert post.ear.names() == ["doors.proxy_untrusted"]
    for near in ("fd00::1", "127.0.0.1", None):
        other = Post(DoorLimits(block_after=3))
        await other.visit(request(near, x_forwarded_for=STRANGER))
        assert other.guard.forwarder == (near or "unix")


async def test_a_proxy_that_changes_nothing_is_no_trouble() -> None:
    named = Post(DoorLimits(per_source=TEN, trusted_proxies=("10.0.0.0/8",)))
    uncounted = Post(DoorLimits(per_gateway=TEN))
    unread = Post(DoorLimits(per_source=TEN))
    for post in (named, uncounted, unread):
        await post.visit(request("nonsense" if post is unread else "10.0.0.1", x_forwarded_for=STRANGER))
        assert post.guard.forwarder is None


# --- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting",
    [
        {"body_max_bytes": 0},
        {"body_max_bytes": True},
        {"headers_max": 1.5},
        {"read_deadline_s": 0},
        {"read_deadline_s": float("nan")},
        {"allow_timeout_s": float("inf")},
        {"bodies_max": 3},
        {"bodies_max_bytes": 262_144},
        {"forwarded": "x-real-ip"},
        {"trusted_proxies": ("10.0.0.1/8",)},
        {"trusted_proxies": "10.0.0.0/8"},
        {"trusted_proxies": ("0.0.0.0/0",)},
        {"known_senders": ("0.0.0.0/0",)},
        {"allow_from": ("bkash.com",)},
        {"per_source": 10},
        {"per_source": ()},
        {"per_tenant": (Rate(1, per_s=1), 5)},
        {"tenants": {"big": 7}},
        {"block_after": 0},
        {"block_s": -1},
        {"per_source": Rate(11, per_s=60), "per_tenant": Rate(20, per_s=60)},
        {"per_source": Rate(11, per_s=60), "gateways": {"bkash": Rate(20, per_s=60)}},
    ],
    ids=str,
)
def test_limits_that_do_not_fit_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        DoorLimits(**setting)
    assert caught.value.code == "door_limits"


@pytest.mark.parametrize(
    ("count", "per_s"), [(0, 1), (1, 0), (1.5, 1), (1, 1.5), (True, 1), (10**7, 1), (1, 10**6)]
)
def test_a_rate_that_is_none_is_refused(count: Any, per_s: Any) -> None:
    with pytest.raises(ConfigurationError):
        Rate(count, per_s=per_s)


@pytest.mark.parametrize(
    "setting",
    [{"per_source": TEN}, {"tenants": {"a": TEN}}, {"block_after": 3}, {"returns_per_source": TEN}],
    ids=str,
)
def test_counting_without_the_extra_names_the_extra(
    setting: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "vextrus_payments.webhooks.counters", raising=False)
    monkeypatch.setitem(sys.modules, "limits", None)
    with pytest.raises(MissingExtraError, match=r"vextrus-payments\[limits\]"):
        Post(DoorLimits(**setting))
    Post(DoorLimits(allow_from=(OTHER,), trusted_proxies=("unix",)))


def test_the_url_of_the_redis_is_not_shown() -> None:
    limits = DoorLimits(shared="redis://:CANARY@127.0.0.1", per_source=TEN)
    assert "CANARY" not in repr(limits)


async def test_closing_lets_go_of_the_counters() -> None:
    post = Post(DoorLimits(per_source=TEN))
    await post.guard.aclose()
    assert await post.visit(request()) == 200
    await Post().guard.aclose()
