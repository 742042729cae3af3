"""retry.py: what may be sent again, how patiently, and above all what never is."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vextrus_payments.errors import (
    AnswerLostError,
    AnswerTimeoutError,
    DeclinedError,
    Effect,
    GatewayError,
    NotSentError,
    UnreadableAnswerError,
)
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.retry import (
    Retry,
    RetryPolicy,
    Tries,
    fraction,
    judge_status,
    retry_after_of,
    send_with_retries,
)
from vextrus_payments.testing.scripted import Line, ScriptedTransport, answer, lost, not_sent, timed_out
from vextrus_payments.testing.time import FakeClock, FakeEntropy, FakeSleeper
from vextrus_payments.wire import Safety, SendBy, WireRequest, WireResponse

REQUEST = WireRequest("POST", "https://gateway.test/x")


class World:
    """A scripted transport with its clock and sleeper."""

    def __init__(self, *lines: Line, send_by: SendBy | None = None) -> None:
        self.clock = FakeClock()
        self.sleeper = FakeSleeper(self.clock)
        self.transport = ScriptedTransport(lines, clock=self.clock)
        self.send_by = send_by

    async def run(
        self,
        safety: Safety,
        policy: RetryPolicy | None = None,
        judge: Callable[[WireResponse], Retry | None] | None = judge_status,
    ) -> WireResponse:
        return await send_with_retries(
            lambda: self.transport.send(REQUEST, safety=safety, timeout_s=30, send_by=self.send_by),
            safety=safety,
            policy=policy or RetryPolicy(),
            sleeper=self.sleeper,
            entropy=FakeEntropy(1),
            clock=self.clock,
            send_by=self.send_by,
            judge=judge,
        )


def deadline(clock: FakeClock, seconds: float) -> SendBy:
    return SendBy(clock.now() + timedelta(seconds=seconds), clock.monotonic() + seconds)


async def test_a_success_is_sent_once_and_waits_for_nothing() -> None:
    world = World(answer(200))
    assert (await world.run(Safety.ONCE)).status == 200
    assert len(world.transport.sends) == 1
    assert world.sleeper.slept == []


@pytest.mark.parametrize("safety", [Safety.ONCE, Safety.DISPOSABLE])
@pytest.mark.parametrize("failure", [lost(), timed_out(), lost(effect=True)])
async def test_what_may_have_left_is_never_sent_again(safety: Safety, failure: Line) -> None:
    world = World(failure)
    with pytest.raises((AnswerLostError, AnswerTimeoutError)) as caught:
        await world.run(safety)
    assert len(world.transport.sends) == 1
    assert caught.value.effect is (Effect.UNKNOWN if safety is Safety.ONCE else Effect.NONE)


@pytest.mark.parametrize("safety", [Safety.ONCE, Safety.DISPOSABLE])
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_bad_status_is_no_reason_to_send_again_what_may_move_money(
    safety: Safety, status: int
) -> None:
    world = World(answer(status))
    assert (await world.run(safety)).status == status
    assert len(world.transport.sends) == 1


@pytest.mark.parametrize("safety", list(Safety))
async def test_what_never_left_is_sent_again(safety: Safety) -> None:
    world = World(not_sent(), not_sent(), answer(200))
    assert (await world.run(safety)).status == 200
    assert len(world.transport.sends) == 3
    assert len(world.sleeper.slept) == 2


@pytest.mark.parametrize("safety", [Safety.READ, Safety.IDEMPOTENT])
@pytest.mark.parametrize("failure", [lost(), timed_out(), answer(503), answer(429), answer(500)])
async def test_reads_are_repeated_after_anything_that_may_pass(safety: Safety, failure: Line) -> None:
    world = World(failure, answer(200))
    assert (await world.run(safety)).status == 200
    assert len(world.transport.sends) == 2


async def test_an_unreadable_answer_to_a_read_is_asked_for_again() -> None:
    world = World(answer(200))
    answers = [UnreadableAnswerError("No HTTP."), None]

    async def send() -> WireResponse:
        problem = answers.pop(0)
        if problem is not None:
            raise problem
        return WireResponse(200, {}, b"")

    response = await send_with_retries(
        send,
        safety=Safety.READ,
        policy=RetryPolicy(),
        sleeper=world.sleeper,
        entropy=FakeEntropy(),
        clock=world.clock,
    )
    assert response.status == 200


async def test_a_read_has_four_tries_and_then_its_last_answer_is_returned() -> None:
    world = World(answer(503), answer(503), answer(502), answer(504))
    assert (await world.run(Safety.READ)).status == 504
    assert len(world.transport.sends) == 4


async def test_when_tries_are_used_up_the_last_failure_is_raised_without_the_earlier_ones() -> None:
    world = World(not_sent("first"), not_sent("second"), not_sent("third"))
    with pytest.raises(NotSentError) as caught:
        await world.run(Safety.ONCE)
    assert caught.value.code == "third"
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


async def test_a_failure_that_is_not_worth_repeating_is_raised_as_it_was() -> None:
    world = World(lost())
    with pytest.raises(AnswerLostError) as caught:
        await world.run(Safety.ONCE)
    assert caught.value.__context__ is None


async def test_a_decline_is_nobodys_reason_to_repeat() -> None:
    sent = 0

    async def send() -> WireResponse:
        nonlocal sent
        sent += 1
        raise DeclinedError("No.", reason=Reason(code=ReasonCode.UNKNOWN_ERROR), final=True)

    world = World()
    with pytest.raises(DeclinedError):
        await send_with_retries(
            send,
            safety=Safety.READ,
            policy=RetryPolicy(),
            sleeper=world.sleeper,
            entropy=FakeEntropy(),
            clock=world.clock,
        )
    assert sent == 1


async def test_waits_grow_have_jitter_and_are_bounded() -> None:
    world = World(*[not_sent()] * 8)
    policy = RetryPolicy(once=Tries(max_tries=8, first_wait_s=1.0, max_wait_s=8.0))
    with pytest.raises(NotSentError):
        await world.run(Safety.ONCE, policy)
    grown = [1, 2, 4, 8, 8, 8, 8]
    assert len(world.sleeper.slept) == len(grown)
    for slept, most in zip(world.sleeper.slept, grown, strict=True):
        assert most / 2 <= slept <= most
    assert len(set(world.sleeper.slept)) == len(grown)


async def test_retry_after_is_waited_for() -> None:
    world = World(answer(429, headers={"Retry-After": "7"}), answer(200))
    assert (await world.run(Safety.READ)).status == 200
    assert world.sleeper.slept == [7.0]


async def test_a_retry_after_beyond_the_cap_ends_it() -> None:
    world = World(answer(429, headers={"Retry-After": "11"}), answer(200))
    assert (await world.run(Safety.READ)).status == 429
    assert len(world.transport.sends) == 1
    assert world.sleeper.slept == []


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        (" 3 ", 3.0),
        ("", None),
        ("-3", None),
        ("1.5", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("٣", None),
        ("9" * 400, None),
        ("9" * 9, 999_999_999.0),
        ("9" * 10, None),
    ],
)
def test_retry_after_is_whole_seconds_or_nothing(value: str, seconds: float | None) -> None:
    assert retry_after_of(WireResponse(429, {"retry-after": value}, b"")) == seconds


async def test_the_total_deadline_ends_it() -> None:
    world = World(timed_out(takes_s=30), timed_out(takes_s=30), timed_out(takes_s=30), answer(200))
    with pytest.raises(AnswerTimeoutError):
        await world.run(Safety.READ, RetryPolicy(deadline_s=45))
    assert len(world.transport.sends) == 2


@pytest.mark.parametrize("safety", [Safety.ONCE, Safety.DISPOSABLE])
async def test_no_try_is_waited_for_that_would_begin_after_send_by(safety: Safety) -> None:
    world = World(not_sent(takes_s=5), not_sent(takes_s=5), answer(200))
    world.send_by = deadline(world.clock, 5.1)
    with pytest.raises(NotSentError) as caught:
        await world.run(
            safety,
            RetryPolicy(
                once=Tries(max_tries=3, first_wait_s=1, max_wait_s=1),
                disposable=Tries(max_tries=3, first_wait_s=1, max_wait_s=1),
            ),
        )
    assert caught.value.code == "not_sent"
    assert len(world.transport.sends) == 1
    assert world.sleeper.slept == []


async def test_a_wall_clock_that_jumps_forward_ends_it_too() -> None:
    world = World(not_sent(), answer(200))
    world.send_by = deadline(world.clock, 60)
    world.clock.step_wall(3_600)
    with pytest.raises(NotSentError) as caught:
        await world.run(Safety.ONCE)
    assert caught.value.code == "send_by_passed"
    assert len(world.transport.sends) == 1


async def test_reads_do_not_mind_send_by() -> None:
    world = World(answer(503), answer(200))
    world.clock.advance(10)
    late = deadline(world.clock, -5)

    response = await send_with_retries(
        lambda: world.transport.send(REQUEST, safety=Safety.READ, timeout_s=30),
        safety=Safety.READ,
        policy=RetryPolicy(),
        sleeper=world.sleeper,
        entropy=FakeEntropy(),
        clock=world.clock,
        send_by=late,
        judge=judge_status,
    )
    assert response.status == 200


@pytest.mark.parametrize("code", ["send_by_passed", "breaker_open"])
async def test_refusals_of_our_own_are_final(code: str) -> None:
    world = World(not_sent(code), answer(200))
    with pytest.raises(NotSentError) as caught:
        await world.run(Safety.READ)
    assert caught.value.code == code
    assert len(world.transport.sends) == 1


async def test_a_cancelled_wait_sends_nothing_more() -> None:
    world = World(not_sent(), answer(200))
    stopped = asyncio.Event()

    class Forever:
        async def sleep(self, seconds: float) -> None:
            stopped.set()
            await asyncio.Event().wait()

    world.sleeper = Forever()  # type: ignore[assignment]
    task = asyncio.create_task(world.run(Safety.ONCE))
    await stopped.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(world.transport.sends) == 1


async def test_a_retry_after_at_the_cap_is_waited_for() -> None:
    world = World(answer(503, headers={"Retry-After": "10"}), answer(200))
    assert (await world.run(Safety.READ)).status == 200
    assert world.sleeper.slept == [10.0]


async def test_an_answer_that_asks_for_no_wait_gets_the_policys_own() -> None:
    world = World(answer(503), answer(200))
    policy = RetryPolicy(read=Tries(max_tries=2, first_wait_s=0.25, max_wait_s=0.25), retry_after_cap_s=0.5)
    assert (await world.run(Safety.READ, policy)).status == 200
    assert world.sleeper.slept[0] <= 0.25


async def test_half_of_a_wait_is_jitter() -> None:
    class Most:
        def token_bytes(self, count: int) -> bytes:
            return b"\xff" * count

    world = World(not_sent(), answer(200))
    await send_with_retries(
        lambda: world.transport.send(REQUEST, safety=Safety.ONCE, timeout_s=30),
        safety=Safety.ONCE,
        policy=RetryPolicy(once=Tries(max_tries=2, first_wait_s=1.0, max_wait_s=1.0)),
        sleeper=world.sleeper,
        entropy=Most(),
        clock=world.clock,
    )
    assert 0.99 < world.sleeper.slept[0] <= 1.0


@pytest.mark.parametrize(("deadline_s", "sends"), [(31.0, 2), (30.5, 1)])
async def test_a_wait_counts_towards_the_deadline(deadline_s: float, sends: int) -> None:
    world = World(timed_out(takes_s=30), answer(200))
    policy = RetryPolicy(read=Tries(max_tries=2, first_wait_s=2.0, max_wait_s=2.0), deadline_s=deadline_s)

    class Least:
        def token_bytes(self, count: int) -> bytes:
            return b"\0" * count

    try:
        await send_with_retries(
            lambda: world.transport.send(REQUEST, safety=Safety.READ, timeout_s=30),
            safety=Safety.READ,
            policy=policy,
            sleeper=world.sleeper,
            entropy=Least(),
            clock=world.clock,
        )
    except AnswerTimeoutError:
        pass
    assert len(world.transport.sends) == sends


@pytest.mark.parametrize("safety", [Safety.ONCE, Safety.DISPOSABLE])
async def test_a_monotonic_deadline_that_is_near_ends_it_whatever_the_wall_clock_says(safety: Safety) -> None:
    world = World(not_sent(), answer(200))
    world.send_by = SendBy(world.clock.now() + timedelta(hours=1), world.clock.monotonic() + 0.01)
    patient = Tries(max_tries=3, first_wait_s=1, max_wait_s=1)
    with pytest.raises(NotSentError):
        await world.run(safety, RetryPolicy(once=patient, disposable=patient))
    assert len(world.transport.sends) == 1


async def test_a_wait_that_ends_at_the_deadline_is_not_waited() -> None:
    world = World(not_sent(), answer(200))
    world.send_by = deadline(world.clock, 0.5)
    exact = Tries(max_tries=3, first_wait_s=1, max_wait_s=1)

    class Least:
        def token_bytes(self, count: int) -> bytes:
            return b"\0" * count

    with pytest.raises(NotSentError):
        await send_with_retries(
            lambda: world.transport.send(REQUEST, safety=Safety.ONCE, timeout_s=30, send_by=world.send_by),
            safety=Safety.ONCE,
            policy=RetryPolicy(once=exact),
            sleeper=world.sleeper,
            entropy=Least(),
            clock=world.clock,
            send_by=world.send_by,
        )
    assert world.sleeper.slept == []


@pytest.mark.parametrize("safety", list(Safety))
async def test_never_means_one_send(safety: Safety) -> None:
    policy = RetryPolicy.never()
    assert policy.tries(safety).max_tries == 1
    world = World(not_sent(), answer(200))
    with pytest.raises(NotSentError):
        await world.run(safety, policy)
    assert len(world.transport.sends) == 1


async def test_no_wait_at_all_is_a_wait_too() -> None:
    assert Tries(max_tries=1, first_wait_s=0, max_wait_s=0).first_wait_s == 0


def test_the_judge_says_why() -> None:
    later = judge_status(WireResponse(503, {}, b""))
    assert later is not None and later.why == "http 503"


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tries": 0},
        {"max_tries": 1, "first_wait_s": -1},
        {"max_tries": 1, "first_wait_s": 3, "max_wait_s": 2},
    ],
)
def test_impossible_tries_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="tries"):
        Tries(**wrong)  # type: ignore[arg-type]


def test_fraction_stays_below_one() -> None:
    class Most:
        def token_bytes(self, count: int) -> bytes:
            return b"\xff" * count

    assert 0.999 < fraction(Most()) < 1


_LINES = st.one_of(
    st.builds(not_sent, takes_s=st.sampled_from([0.0, 3.0])),
    st.builds(lost, effect=st.booleans()),
    st.builds(timed_out, effect=st.booleans()),
    st.builds(answer, st.sampled_from([200, 400, 401, 403, 429, 500, 503]), effect=st.booleans()),
)


@given(
    lines=st.lists(_LINES, max_size=8),
    safety=st.sampled_from([Safety.ONCE, Safety.DISPOSABLE]),
    seconds=st.one_of(st.none(), st.floats(0.01, 20)),
)
def test_whatever_fails_what_may_move_money_leaves_this_machine_at_most_once(
    lines: list[Line], safety: Safety, seconds: float | None
) -> None:
    world = World(*lines)
    world.transport.then = answer(200, effect=True)
    if seconds is not None:
        world.send_by = deadline(world.clock, seconds)

    async def go() -> WireResponse | GatewayError:
        try:
            return await world.run(
                safety, RetryPolicy(once=Tries(max_tries=6), disposable=Tries(max_tries=6))
            )
        except GatewayError as error:
            return error

    result = asyncio.run(go())
    assert world.transport.left <= 1
    assert world.transport.effects <= 1
    if isinstance(result, GatewayError) and safety is Safety.ONCE:
        assert (result.effect is Effect.NONE) == (world.transport.left == 0)


@given(lines=st.lists(_LINES, max_size=12), safety=st.sampled_from(list(Safety)))
def test_the_number_of_tries_is_bounded(lines: list[Line], safety: Safety) -> None:
    world = World(*lines)
    world.transport.then = not_sent()

    async def go() -> None:
        try:
            await world.run(safety)
        except GatewayError:
            pass

    asyncio.run(go())
    assert 1 <= len(world.transport.sends) <= RetryPolicy().tries(safety).max_tries
