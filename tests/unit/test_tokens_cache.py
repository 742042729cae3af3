"""One token per key, granted once, whoever asks, and what happens when something goes wrong on the way."""

import asyncio
import gc
import traceback
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.token_world import KEY, World, settle
from vextrus_payments.errors import (
    AnswerTimeoutError,
    AuthenticationRejectedError,
    ConfigurationError,
    DeclinedError,
    Effect,
    NotSentError,
    PaymentsError,
    StorageError,
    ThrottledError,
)
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.token_budget import GrantAsk, GrantBudget, GrantReserved
from vextrus_payments.token_port import Token, TokenKey
from vextrus_payments.tokens import TokenCache
from vextrus_payments.tokens import cache as cache_module
from vextrus_payments.tokens.granting import shortest_lease_s

HOUR_S = 3600.0


def timeout() -> AnswerTimeoutError:
    return AnswerTimeoutError("No answer came in 30 s.", gateway="bkash", tenant="acme", payment_id="pay_1")


# --- one grant for all ------------------------------------------------------------------------------------------


async def test_a_thousand_cold_callers_make_one_grant() -> None:
    world = World()
    tokens = await asyncio.gather(*(world.token() for _ in range(1000)))
    assert world.gateway.grants == 1
    assert len({token.version for token in tokens}) == 1


async def test_a_good_token_is_served_without_asking_anybody() -> None:
    world = World()
    token = await world.token()
    world.shaky.calls.clear()
    for _ in range(10):
        assert await world.token() is token
    assert world.shaky.calls == []


async def test_keys_do_not_wait_for_each_other() -> None:
    world = World()
    world.gateway.gate.clear()
    first = asyncio.create_task(world.token())
    await settle()
    other = World()
    other_key = TokenKey.of("https://gateway.example", "another", "canary-user")
    assert await world.cache.token(other_key, other.gateway.grant)
    assert not first.done()
    world.gateway.gate.set()
    await first


async def test_a_cancelled_leader_kills_neither_the_grant_nor_the_others() -> None:
    world = World()
    world.gateway.gate.clear()
    leader = asyncio.create_task(world.token())
    await settle()
    waiters = [asyncio.create_task(world.token()) for _ in range(50)]
    await settle()
    leader.cancel()
    for waiter in waiters[:25]:
        waiter.cancel()
    await settle()
    assert leader.cancelled()
    world.gateway.gate.set()
    tokens = await asyncio.gather(*waiters[25:])
    assert world.gateway.grants == 1
    assert len({token.version for token in tokens}) == 1


async def test_when_all_callers_are_cancelled_the_token_is_there_for_the_next() -> None:
    world = World()
    world.gateway.gate.clear()
    callers = [asyncio.create_task(world.token()) for _ in range(5)]
    await settle()
    for caller in callers:
        caller.cancel()
    await settle()
    world.gateway.gate.set()
    await settle()
    world.shaky.calls.clear()
    await world.token()
    assert world.gateway.grants == 1
    assert world.shaky.calls == []


async def test_a_failure_reaches_every_waiter_once_in_an_exception_of_its_own() -> None:
    world = World()
    world.gateway.gate.clear()
    world.gateway.fails(timeout())
    waiters = [asyncio.create_task(world.token()) for _ in range(100)]
    await settle()
    world.gateway.gate.set()
    errors = await asyncio.gather(*waiters, return_exceptions=True)
    assert world.gateway.grants == 1
    assert all(type(error) is AnswerTimeoutError for error in errors)
    assert len({id(error) for error in errors}) == 100
    one, other = errors[0], errors[1]
    assert isinstance(one, PaymentsError)
    assert isinstance(other, PaymentsError)
    # The leader was of another tenant and about another payment: neither is told, and no copy names another's.
    assert (one.tenant, one.payment_id, one.gateway) == (None, None, "bkash")
    one.about(tenant="one", payment_id="pay_2")
    one.context["seen"] = True
    assert (other.tenant, other.payment_id) == (None, None)
    assert "seen" not in other.context
    assert one.__cause__ is None
    assert one.__context__ is None


async def test_after_a_failure_the_next_caller_tries_again() -> None:
    world = World()
    world.gateway.fails(timeout())
    with pytest.raises(AnswerTimeoutError):
        await world.token()
    assert await world.token()
    assert world.gateway.grants == 2


@pytest.mark.parametrize("waits", [True, False])
async def test_no_task_leaves_an_exception_that_nobody_retrieved(waits: bool) -> None:
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    world = World()
    world.gateway.gate.clear()
    world.gateway.fails(ZeroDivisionError("a bug in the grant"))
    caller = asyncio.create_task(world.token())
    await settle()
    if not waits:
        caller.cancel()
    world.gateway.gate.set()
    await asyncio.wait({caller})
    await settle()
    if waits:
        assert isinstance(caller.exception(), ZeroDivisionError)
    del caller
    gc.collect()
    await settle()
    assert complaints == []


async def test_whoever_cancels_the_caches_own_task_leaves_no_waiter_hanging() -> None:
    world = World()
    world.gateway.gate.clear()
    callers = [asyncio.create_task(world.token()) for _ in range(5)]
    await settle()
    flights = [task for task in asyncio.all_tasks() if task.get_name().startswith("token ")]
    assert len(flights) == 1
    flights[0].cancel()
    world.gateway.gate.set()
    tokens = await asyncio.gather(*callers)
    assert len({token.version for token in tokens}) == 1
    # The cancelled grant may have reached the gateway: its slot stays taken, and its lease is over.
    assert world.gateway.grants == 2
    await world.cache.reject(KEY, tokens[0].version)
    with pytest.raises(ThrottledError):
        await world.token()


async def test_an_exception_that_cannot_be_copied_still_arrives() -> None:
    class Stubborn(Exception):
        def __init__(self, one: str, two: str) -> None:
            super().__init__(one + two)

    world = World()
    world.gateway.fails(Stubborn("one", "two"))
    with pytest.raises(Stubborn):
        await world.token()


# --- the budget ---------------------------------------------------------------------------------------------------


async def test_the_slot_is_reserved_before_the_grant_is_sent_and_closed_after() -> None:
    world = World()
    await world.token()
    assert world.shaky.calls == ["get", "reserve_grant", "get", "finish_grant"]


async def test_a_used_up_budget_is_an_error_in_words_and_nothing_is_sent() -> None:
    world = World()
    rejected = AuthenticationRejectedError("The gateway refused the app key.", code="2079")
    world.gateway.fails(timeout(), rejected)
    for _ in range(2):
        with pytest.raises(PaymentsError):
            await world.token()
        world.clock.advance(60)
    with pytest.raises(ThrottledError) as caught:
        await world.token()
    error = caught.value
    assert world.gateway.grants == 2
    assert (error.code, error.effect, error.retry_after_s) == ("grant_budget", Effect.NONE, 3600 - 120)
    assert str(error) == (
        "The grant budget is used up: the gateway allows 2 token grants in 3600 s, refreshes included, and blocks a"
        " merchant who asks more often. Nothing was sent. The last grant ended with '2079': mend that first."
        " No money moved. Try again in 3480 s."
    )
    world.clock.advance(3480)
    await world.token()


async def test_only_proof_that_nothing_was_sent_gives_a_slot_back() -> None:
    world = World()
    world.gateway.fails(*(NotSentError("No connection.") for _ in range(10)))
    for _ in range(10):
        with pytest.raises(NotSentError):
            await world.token()
    await world.token()
    assert world.gateway.grants == 11
    for failure in (timeout(), StorageError("x"), ConfigurationError("y"), ZeroDivisionError()):
        world = World(budget=GrantBudget(limit=1))
        world.gateway.fails(failure)
        with pytest.raises(type(failure)):
            await world.token()
        with pytest.raises(ThrottledError):
            await world.token()


async def test_without_a_durable_reservation_nothing_is_sent() -> None:
    world = World()
    world.shaky.failing.add("reserve_grant")
    with pytest.raises(StorageError):
        await world.token()
    assert world.gateway.grants == 0
    world.shaky.failing.clear()
    await world.token()


async def test_a_token_that_could_not_be_kept_is_used_all_the_same_and_still_counts() -> None:
    world = World(budget=GrantBudget(limit=1))
    world.shaky.failing.add("finish_grant")
    token = await world.token()
    assert await world.token() is token
    assert "token.not_recorded" in world.events.names
    world.shaky.failing.clear()
    with pytest.raises(ThrottledError):
        await world.another_process(budget=GrantBudget(limit=1)).token(KEY, world.gateway.grant)
    assert world.gateway.grants == 1


async def test_each_gateway_may_bring_its_own_budget() -> None:
    world = World()
    world.gateway.fails(*(timeout() for _ in range(5)))
    for _ in range(5):
        with pytest.raises(AnswerTimeoutError):
            await world.cache.token(KEY, world.gateway.grant, budget=GrantBudget(limit=5, window_s=60))
    with pytest.raises(ThrottledError) as caught:
        await world.cache.token(KEY, world.gateway.grant, budget=GrantBudget(limit=5, window_s=60))
    assert caught.value.retry_after_s == 60


@pytest.mark.parametrize(("answer_s", "lease_s"), [(30.0, 30.0), (30.0, 40.0), (60.0, 60.0)])
def test_a_lease_that_ends_before_the_grant_can_is_refused(answer_s: float, lease_s: float) -> None:
    with pytest.raises(ConfigurationError, match="does not outlast"):
        World(answer_s=answer_s, lease_s=lease_s)


async def test_no_byte_may_leave_so_late_that_the_answer_would_outlast_the_lease() -> None:
    world = World(answer_s=30.0, lease_s=90.0)
    await world.token()
    send_by = world.gateway.orders[0].send_by
    last_answer = send_by.wall + timedelta(seconds=30)
    assert last_answer < world.clock.now() + timedelta(seconds=90)
    assert send_by.monotonic + 30 < world.clock.monotonic() + 90
    assert shortest_lease_s(30.0) < 90


# --- a token's life ---------------------------------------------------------------------------------------------


async def test_an_aging_token_is_served_while_one_caller_renews_it() -> None:
    world = World()
    token = await world.token()
    world.clock.advance(3300 - 149)
    world.gateway.gate.clear()
    assert {(await world.token()).version for _ in range(100)} == {token.version}
    await settle()
    assert {(await world.token()).version for _ in range(100)} == {token.version}
    assert world.gateway.grants == 2
    world.gateway.gate.set()
    await settle()
    renewed = await world.token()
    assert renewed.version != token.version
    assert world.gateway.grants == 2


async def test_renewal_is_spread_by_jitter_between_half_and_all_of_early_s() -> None:
    early = []
    for seed in range(20):
        world = World(seed=seed)
        token = await world.token()
        world.clock.advance(3300 - 301)
        while world.gateway.grants == 1:
            await world.token()
            await settle(3)
            early.append((token.expires_at - world.clock.now()).total_seconds())
            world.clock.advance(1)
        early[seed:] = [early[-1]]
    assert all(149 <= seconds <= 300 for seconds in early)
    assert max(early) - min(early) > 60


async def test_a_short_life_is_not_all_early() -> None:
    world = World(life_s=60)
    token = await world.token()
    world.clock.advance(40)
    assert await world.token() is token
    await settle()
    assert world.gateway.grants == 1


async def test_a_failed_renewal_takes_no_token_away_and_is_not_repeated_at_once() -> None:
    world = World(budget=GrantBudget(limit=50))
    token = await world.token()
    world.clock.advance(3300 - 149)
    world.gateway.fails(timeout(), timeout())
    for _ in range(20):
        assert await world.token() is token
        await settle()
    assert world.gateway.grants == 2
    assert (
        "token.unavailable",
        {"key": KEY.short, "code": "answer_timeout", "renewing": True},
    ) in world.events.seen
    world.clock.advance(60)
    assert await world.token() is token
    await settle()
    assert world.gateway.grants == 3


async def test_with_the_budget_used_up_a_token_that_is_still_good_is_served() -> None:
    world = World(budget=GrantBudget(limit=1, window_s=7200))
    token = await world.token()
    world.clock.advance(3300 - 10)
    for _ in range(10):
        assert await world.token() is token
        await settle()
    assert world.gateway.grants == 1
    # Past our own margin the gateway still takes it: asked for a new one first, then served.
    world.clock.advance(100)
    for _ in range(10):
        assert await world.token() is token
    assert world.gateway.grants == 1
    # Past the gateway's own end it is over.
    world.clock.advance(211)
    assert world.clock.now() > token.last_use
    with pytest.raises(ThrottledError):
        await world.token()


async def test_a_late_token_is_renewed_before_it_is_served() -> None:
    world = World(budget=GrantBudget(limit=3))
    token = await world.token()
    world.clock.advance(3300 + 1)
    world.gateway.fails(timeout())
    assert await world.token() is token
    assert await world.token() is token
    assert world.gateway.grants == 2
    world.clock.advance(46)
    assert (await world.token()).version != token.version


async def test_a_token_that_is_over_is_never_served() -> None:
    world = World(budget=GrantBudget(limit=3))
    await world.token()
    world.clock.advance(3600)
    world.gateway.fails(timeout())
    with pytest.raises(AnswerTimeoutError):
        await world.token()


async def test_a_clock_set_back_does_not_lengthen_a_life() -> None:
    world = World()
    token = await world.token()
    world.clock.step_wall(-2 * HOUR_S)
    assert await world.token() is token
    world.clock.advance(3301)
    world.clock.step_wall(-600)
    assert (await world.token()).version != token.version
    assert world.gateway.grants == 2


async def test_a_clock_set_forward_ends_a_life() -> None:
    world = World()
    token = await world.token()
    world.clock.step_wall(HOUR_S)
    assert (await world.token()).version != token.version


async def test_a_token_from_the_future_lives_no_longer_than_its_life() -> None:
    world = World()
    world.clock.step_wall(HOUR_S)
    await world.token()
    world.clock.step_wall(-HOUR_S)
    cold = world.another_process()
    token = await cold.token(KEY, world.gateway.grant)
    assert world.gateway.grants == 1
    world.clock.advance(3301)
    assert (await cold.token(KEY, world.gateway.grant)).version != token.version


# --- a token the gateway refused ----------------------------------------------------------------------------------


async def test_a_hundred_callers_with_one_refused_token_make_one_grant() -> None:
    world = World()
    token = await world.token()

    async def replay() -> Token:
        await world.cache.reject(KEY, token.version)
        return await world.token()

    tokens = await asyncio.gather(*(replay() for _ in range(100)))
    assert world.gateway.grants == 2
    assert len({each.version for each in tokens}) == 1
    assert token.version not in {each.version for each in tokens}
    assert world.shaky.calls.count("drop") == 1


async def test_who_rejects_an_older_token_gets_the_newer_one() -> None:
    world = World()
    old = await world.token()
    await world.cache.reject(KEY, old.version)
    new = await world.token()
    world.shaky.calls.clear()
    await world.cache.reject(KEY, old.version)
    await world.cache.reject(KEY, "some other version")
    assert await world.token() is new
    assert world.shaky.calls == [], "nobody is asked about a token that is in use no more"
    assert await world.backend.get(KEY) == new
    assert world.gateway.grants == 2


async def test_a_process_that_never_held_it_drops_it_for_all() -> None:
    world = World()
    token = await world.token()
    cold = world.another_process()
    await cold.reject(KEY, "another version")
    assert await world.backend.get(KEY) == token
    await cold.reject(KEY, token.version)
    assert await world.backend.get(KEY) is None


async def test_a_refused_token_is_not_taken_from_the_backend_again() -> None:
    world = World()
    token = await world.token()
    world.shaky.failing.add("drop")
    await world.cache.reject(KEY, token.version)
    assert "token.not_dropped" in world.events.names
    assert await world.backend.get(KEY) == token
    assert (await world.token()).version != token.version


async def test_a_token_refused_while_a_flight_looks_for_one_is_not_brought_back() -> None:
    world = World()
    token = await world.token()
    cold = world.another_process()
    bringing = asyncio.create_task(cold.token(KEY, world.gateway.grant))
    await cold.reject(KEY, token.version)
    assert (await bringing).version != token.version


async def test_another_process_learns_it_by_its_own_refusal_and_asks_nobody() -> None:
    world = World()
    token = await world.token()
    other = world.another_process()
    assert (await other.token(KEY, world.gateway.grant)).version == token.version
    await world.cache.reject(KEY, token.version)
    renewed = await world.token()
    await other.reject(KEY, token.version)
    assert (await other.token(KEY, world.gateway.grant)).version == renewed.version
    assert world.gateway.grants == 2


async def test_a_gateway_that_refuses_every_token_is_asked_twice_an_hour() -> None:
    world = World()
    for _ in range(2):
        await world.cache.reject(KEY, (await world.token()).version)
    with pytest.raises(ThrottledError):
        await world.token()
    assert world.gateway.grants == 2


# --- refreshing ---------------------------------------------------------------------------------------------------


async def test_a_grant_is_handed_the_old_token_and_may_refresh_it() -> None:
    world = World()
    token = await world.token()
    assert world.gateway.orders[0].previous is None
    world.clock.advance(3600)
    await world.token()
    assert world.gateway.orders[1].previous == token


@pytest.mark.parametrize(
    "refusal",
    [
        AuthenticationRejectedError("The refresh token is refused."),
        DeclinedError("No.", reason=Reason(code=ReasonCode.UNKNOWN_ERROR), final=True),
    ],
)
async def test_a_refused_refresh_is_followed_by_one_full_grant_under_its_own_slot(refusal: Exception) -> None:
    world = World()
    await world.token()
    world.clock.advance(3600)
    world.gateway.fails(refusal)
    await world.token()
    assert [order.previous is None for order in world.gateway.orders] == [True, False, True]
    world.clock.advance(1)
    cold = world.another_process()
    await cold.reject(KEY, (await cold.token(KEY, world.gateway.grant)).version)
    with pytest.raises(ThrottledError):
        await cold.token(KEY, world.gateway.grant)


async def test_a_refresh_whose_answer_is_lost_is_not_followed_by_anything() -> None:
    world = World()
    await world.token()
    world.clock.advance(3600)
    world.gateway.fails(timeout())
    with pytest.raises(AnswerTimeoutError):
        await world.token()
    assert world.gateway.grants == 2


async def test_after_a_refusal_of_the_token_itself_the_grant_is_a_full_one() -> None:
    world = World()
    await world.cache.reject(KEY, (await world.token()).version)
    await world.token()
    assert world.gateway.orders[1].previous is None


# --- several processes ----------------------------------------------------------------------------------------------


async def test_processes_wait_for_the_one_that_grants() -> None:
    world = World()
    world.gateway.gate.clear()
    caches = [world.cache, *(world.another_process() for _ in range(3))]
    callers = [asyncio.create_task(c.token(KEY, world.gateway.grant)) for c in caches for _ in range(250)]
    await settle(5)
    world.gateway.gate.set()
    tokens = await asyncio.gather(*callers)
    assert world.gateway.grants == 1
    assert len({token.version for token in tokens}) == 1


async def test_a_dead_process_is_waited_for_until_its_lease_ends() -> None:
    world = World()
    ask = GrantAsk(permit="dead", now=world.clock.now(), limit=2, window_s=3600, lease_s=90.0)
    assert await world.backend.reserve_grant(KEY, ask) == GrantReserved("dead")
    before = world.clock.monotonic()
    await world.token()
    assert 90 <= world.clock.monotonic() - before < 91
    assert world.gateway.grants == 1


async def test_a_lease_that_never_ends_is_an_error_not_a_hang() -> None:
    world = World()
    ask = GrantAsk(permit="long", now=world.clock.now(), limit=2, window_s=3600, lease_s=100_000.0)
    await world.backend.reserve_grant(KEY, ask)
    with pytest.raises(ThrottledError) as caught:
        await world.token()
    assert (caught.value.code, caught.value.effect) == ("grant_busy", Effect.NONE)
    assert world.gateway.grants == 0


@pytest.mark.parametrize("limit", [1, 2])
async def test_a_token_kept_between_our_look_and_our_reservation_is_used(limit: int) -> None:
    world = World(budget=GrantBudget(limit=limit))
    other = world.another_process(budget=GrantBudget(limit=limit))

    async def meanwhile() -> None:
        await other.token(KEY, world.gateway.grant)

    world.shaky.after_next_get = meanwhile
    token = await world.token()
    assert world.gateway.grants == 1
    assert token == await world.backend.get(KEY)


# --- closing, loops, bounds ---------------------------------------------------------------------------------------


async def test_closing_lets_the_grant_in_flight_finish_and_begins_no_more() -> None:
    world = World()
    world.gateway.gate.clear()
    caller = asyncio.create_task(world.token())
    await settle()
    closing = asyncio.create_task(world.cache.aclose())
    await settle()
    assert not closing.done()
    world.gateway.gate.set()
    await closing
    token = await caller
    assert await world.backend.get(KEY) == token
    assert await world.token() is token
    world.clock.advance(3600)
    with pytest.raises(NotSentError) as caught:
        await world.token()
    assert caught.value.code == "closed"
    await world.cache.aclose()


async def test_closing_ends_the_wait_for_another_process() -> None:
    world = World()
    ask = GrantAsk(permit="other", now=world.clock.now(), limit=2, window_s=3600, lease_s=90.0)
    await world.backend.reserve_grant(KEY, ask)
    caller = asyncio.create_task(world.token())
    await asyncio.sleep(0)
    await world.cache.aclose()
    with pytest.raises(ThrottledError):
        await caller


async def test_draining_waits_for_grants_only_and_leaves_the_cache_usable() -> None:
    world = World()
    await world.cache.drain()
    ask = GrantAsk(permit="other", now=world.clock.now(), limit=2, window_s=3600, lease_s=90.0)
    await world.backend.reserve_grant(KEY, ask)
    waiting = asyncio.create_task(world.token())
    await asyncio.sleep(0)
    await world.cache.drain()
    with pytest.raises(ThrottledError):
        await waiting
    world.clock.advance(90)
    world.gateway.gate.clear()
    granting = asyncio.create_task(world.token())
    await settle()
    draining = asyncio.create_task(world.cache.drain())
    await settle()
    assert not draining.done()
    world.gateway.gate.set()
    await draining
    assert await world.backend.get(KEY) == await granting
    await world.cache.reject(KEY, (await granting).version)
    with pytest.raises(ThrottledError) as caught:
        await world.token()
    assert caught.value.code == "grant_budget", "not closed: the dead lease and the grant are the budget"


def test_a_flight_left_behind_in_a_dead_loop_holds_nobody_up() -> None:
    worlds: list[World] = []

    async def leave_a_flight() -> None:
        world = World()
        worlds.append(world)
        world.gateway.gate.clear()
        _ = asyncio.create_task(world.token())  # noqa: RUF006
        await settle()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave_a_flight())
    world = worlds[0]
    left = list(asyncio.all_tasks(loop))
    assert len(left) == 2

    async def ask_again() -> Token:
        world.gateway.gate = asyncio.Event()
        world.gateway.gate.set()
        return await world.token()

    assert asyncio.run(ask_again())
    assert world.gateway.grants == 2  # after the lease of the first had ended
    for task in left:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.close()


async def test_the_memory_of_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "_MOST_KEYS", 3)
    world = World()
    keys = [TokenKey.of("https://gateway.example", "app", f"user {n}") for n in range(10)]
    for key in keys:
        await world.cache.token(key, world.gateway.grant)
    assert len(world.cache._entries) == 3
    # What was forgotten is still in the backend.
    await world.cache.token(keys[0], world.gateway.grant)
    assert world.gateway.grants == 10


# --- what shows -----------------------------------------------------------------------------------------------------


async def test_events_tell_the_story_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    await world.cache.reject(KEY, (await world.token()).version)
    world.gateway.fails(timeout())
    with pytest.raises(AnswerTimeoutError) as caught:
        await world.token()
    with pytest.raises(ThrottledError):
        await world.token()
    assert world.events.names == [
        "token.granted",
        "token.rejected",
        "token.grant_failed",
        "token.unavailable",
        "token.budget_used_up",
        "token.unavailable",
    ]
    shown = [
        repr(world.events.seen),
        caplog.text,
        repr(world.cache),
        *traceback.format_exception(caught.value),
    ]
    shown += [repr(entry) for entry in world.cache._entries.values()]
    shown += [repr(order) for order in world.gateway.orders]
    assert not [text for text in shown if "canary" in text]


async def test_an_observer_that_raises_decides_nothing() -> None:
    class Broken:
        def exchange(self, **_: object) -> None:
            raise RuntimeError

        def event(self, name: str, **_: object) -> None:
            raise RuntimeError

    world = World()
    cache = TokenCache(world.backend, clock=world.clock, observer=Broken())
    token = await cache.token(KEY, world.gateway.grant)
    assert await cache.token(KEY, world.gateway.grant) is token
