"""breaker.py: it spares payers a dead gateway, never blocks a look-up, and lets exactly one probe through."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vextrus_payments.breaker import Breaker, BreakerPolicy, Breakers, BreakerState, Permit
from vextrus_payments.errors import Effect, NotSentError
from vextrus_payments.testing.time import FakeClock
from vextrus_payments.wire import Safety

POLICY = BreakerPolicy(failures=3, open_s=20)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def breaker(clock: FakeClock) -> Breaker:
    return Breaker(clock, POLICY)


def fail(breaker: Breaker, times: int = 3) -> None:
    for _ in range(times):
        breaker.admit(Safety.ONCE).failed()


def test_a_run_of_failures_opens_it_and_it_says_for_how_long(breaker: Breaker, clock: FakeClock) -> None:
    fail(breaker, 2)
    assert breaker.state is BreakerState.CLOSED
    fail(breaker, 1)
    assert breaker.state is BreakerState.OPEN
    clock.advance(5.5)
    with pytest.raises(NotSentError) as caught:
        breaker.admit(Safety.ONCE)
    assert caught.value.code == "breaker_open"
    assert caught.value.effect is Effect.NONE
    assert caught.value.context["retry_after_s"] == 15
    assert "15 s" in str(caught.value)


def test_a_success_between_failures_begins_the_count_anew(breaker: Breaker) -> None:
    fail(breaker, 2)
    breaker.admit(Safety.ONCE).succeeded()
    fail(breaker, 2)
    assert breaker.state is BreakerState.CLOSED


def test_what_says_nothing_of_the_gateway_counts_as_nothing(breaker: Breaker) -> None:
    fail(breaker, 2)
    for _ in range(10):
        breaker.admit(Safety.ONCE).dropped()
    assert breaker.state is BreakerState.CLOSED
    fail(breaker, 1)
    assert breaker.state is BreakerState.OPEN


@pytest.mark.parametrize("safety", [Safety.ONCE, Safety.DISPOSABLE, Safety.IDEMPOTENT])
def test_only_reads_pass_while_open(breaker: Breaker, safety: Safety) -> None:
    fail(breaker)
    with pytest.raises(NotSentError):
        breaker.admit(safety)
    assert isinstance(breaker.admit(Safety.READ), Permit)


def test_a_read_that_succeeds_closes_it(breaker: Breaker) -> None:
    fail(breaker)
    breaker.admit(Safety.READ).succeeded()
    assert breaker.state is BreakerState.CLOSED
    breaker.admit(Safety.ONCE)


def test_a_read_that_fails_while_open_does_not_prolong_it(breaker: Breaker, clock: FakeClock) -> None:
    fail(breaker)
    clock.advance(19)
    breaker.admit(Safety.READ).failed()
    clock.advance(1)
    assert breaker.state is BreakerState.HALF_OPEN


async def test_of_twenty_at_once_one_passes_when_half_open(breaker: Breaker, clock: FakeClock) -> None:
    fail(breaker)
    clock.advance(20)
    passed: list[Permit] = []

    async def call() -> str:
        try:
            permit = breaker.admit(Safety.ONCE)
        except NotSentError:
            return "refused"
        passed.append(permit)
        await asyncio.sleep(0)
        return "passed"

    results = await asyncio.gather(*(call() for _ in range(20)))
    assert results.count("passed") == 1
    passed[0].succeeded()
    assert breaker.state is BreakerState.CLOSED


def test_a_probe_that_fails_opens_it_for_the_whole_time_again(breaker: Breaker, clock: FakeClock) -> None:
    fail(breaker)
    clock.advance(25)
    breaker.admit(Safety.ONCE).failed()
    assert breaker.state is BreakerState.OPEN
    clock.advance(19.9)
    with pytest.raises(NotSentError):
        breaker.admit(Safety.ONCE)
    clock.advance(0.1)
    breaker.admit(Safety.ONCE).succeeded()
    assert breaker.state is BreakerState.CLOSED


def test_a_probe_that_is_dropped_frees_the_slot(breaker: Breaker, clock: FakeClock) -> None:
    fail(breaker)
    clock.advance(20)
    probe = breaker.admit(Safety.ONCE)
    with pytest.raises(NotSentError):
        breaker.admit(Safety.ONCE)
    probe.dropped()
    breaker.admit(Safety.ONCE)


def test_a_permit_counts_once(breaker: Breaker) -> None:
    permit = breaker.admit(Safety.ONCE)
    for _ in range(5):
        permit.failed()
    assert breaker.state is BreakerState.CLOSED
    fail(breaker, 2)
    assert breaker.state is BreakerState.OPEN


def test_results_from_before_it_opened_are_too_old_to_count(breaker: Breaker, clock: FakeClock) -> None:
    slow_success = breaker.admit(Safety.ONCE)
    slow_failure = breaker.admit(Safety.ONCE)
    slow_read = breaker.admit(Safety.READ)
    fail(breaker)
    slow_success.succeeded()
    slow_read.succeeded()
    assert breaker.state is BreakerState.OPEN
    clock.advance(20)
    probe = breaker.admit(Safety.ONCE)
    slow_failure.failed()
    probe.succeeded()
    assert breaker.state is BreakerState.CLOSED


def test_a_probe_overtaken_by_a_good_read_cannot_open_it_again(breaker: Breaker, clock: FakeClock) -> None:
    fail(breaker)
    clock.advance(20)
    probe = breaker.admit(Safety.ONCE)
    breaker.admit(Safety.READ).succeeded()
    probe.failed()
    assert breaker.state is BreakerState.CLOSED


def test_failures_from_before_it_opened_do_not_open_it_again(breaker: Breaker) -> None:
    slow = [breaker.admit(Safety.ONCE) for _ in range(3)]
    fail(breaker)
    breaker.admit(Safety.READ).succeeded()
    for permit in slow:
        permit.failed()
    assert breaker.state is BreakerState.CLOSED


def test_tenants_and_gateways_have_breakers_of_their_own(clock: FakeClock) -> None:
    breakers = Breakers(clock, POLICY)
    fail(breakers.of("acme", "bkash"))
    assert breakers.of("acme", "bkash").state is BreakerState.OPEN
    assert breakers.of("acme", "nagad").state is BreakerState.CLOSED
    assert breakers.of("zenith", "bkash").state is BreakerState.CLOSED


@pytest.mark.parametrize("wrong", [{"failures": 0}, {"open_s": -1.0}])
def test_an_impossible_policy_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="breaker"):
        BreakerPolicy(**wrong)  # type: ignore[arg-type]


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(list(Safety)),
            st.sampled_from(["ok", "bad", "drop", "hold"]),
            st.sampled_from([0.0, 7.0, 20.0]),
        ),
        max_size=60,
    )
)
def test_reads_always_pass_and_never_two_probes_are_out(
    steps: list[tuple[Safety, str, float]],
) -> None:
    clock = FakeClock()
    breaker = Breaker(clock, POLICY)
    probes: list[Permit] = []  # handed out while half-open and not told a result yet
    for safety, result, wait_s in steps:
        clock.advance(wait_s)
        state = breaker.state
        try:
            permit = breaker.admit(safety)
        except NotSentError:
            assert safety is not Safety.READ
            assert state is not BreakerState.CLOSED
            continue
        if state is BreakerState.OPEN:
            assert safety is Safety.READ
        if state is BreakerState.HALF_OPEN and safety is not Safety.READ:
            assert not probes
            probes.append(permit)
        if result == "hold":
            continue
        {"ok": permit.succeeded, "bad": permit.failed, "drop": permit.dropped}[result]()
        if permit in probes:
            probes.remove(permit)
        if breaker.state is BreakerState.CLOSED:
            probes.clear()
