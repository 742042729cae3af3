"""process_payment_with_retry: the plain road, and that it never calls anything failed that nobody has proven."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_base_driver import Bench
from tests.unit.toy import a_request
from vextrus_payments.errors import (
    AnswerLostError,
    AuthenticationRejectedError,
    DeclinedError,
    Effect,
    GatewayError,
    NotSentError,
    OutcomeUnknownError,
    StorageError,
    ThrottledError,
)
from vextrus_payments.money import Money
from vextrus_payments.outcomes import Authorized, Declined, Outcome, Paid, Pending, Review, Unknown
from vextrus_payments.payment import Intent, PaymentSession
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.snapshots import PaymentSnapshot, SnapshotState


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def go(bench: Bench, *, max_retries: int = 3, approves: bool = True, **more: Any) -> Outcome:
    async def approve(session: PaymentSession) -> None:
        if approves:
            bench.wire.approve(session.gateway_reference)

    return await bench.gateway.process_payment_with_retry(
        a_request(**more), approve=approve, max_retries=max_retries
    )


async def test_a_payment_from_beginning_to_end(bench: Bench) -> None:
    outcome = await go(bench)
    assert isinstance(outcome, Paid)
    assert outcome.amount == Money("100", "BDT")
    assert outcome.transaction_id == "TRX1"
    assert [operation for operation, _ in bench.wire.requests] == ["grant", "create", "execute"]


async def test_an_authorization_is_held(bench: Bench) -> None:
    assert isinstance(await go(bench, intent=Intent.AUTHORIZATION), Authorized)


async def test_a_lost_session_is_left_alone_and_the_next_has_another_order_id(bench: Bench) -> None:
    bench.wire.plan["create"] = ["lost_after", "lost_before"]
    assert isinstance(await go(bench), Paid)
    orders = [payment["order"] for payment in bench.wire.payments.values()]
    assert orders == ["INV-1", "INV-1-3"]
    states = [payment["state"] for payment in bench.wire.payments.values()]
    assert states == ["open", "paid"]
    assert bench.wire.moves == 1


async def test_initialize_is_repeated_at_most_max_retries_times(bench: Bench) -> None:
    bench.wire.plan["create"] = ["lost_after"] * 9
    with pytest.raises(AnswerLostError) as caught:
        await go(bench, max_retries=2)
    assert caught.value.effect is Effect.NONE
    assert bench.wire.sent("create") == 3


@pytest.mark.parametrize("fault", ["expire", "throttle"])
async def test_a_front_door_that_stays_shut_is_no_reason_for_a_new_session(bench: Bench, fault: str) -> None:
    bench.wire.plan["create"] = [fault] * 9
    with pytest.raises((AuthenticationRejectedError, ThrottledError)):
        await go(bench)


async def test_what_approve_raises_passes_and_nothing_is_executed(bench: Bench) -> None:
    async def approve(session: PaymentSession) -> None:
        raise TimeoutError("the payer went home")

    with pytest.raises(TimeoutError):
        await bench.gateway.process_payment_with_retry(a_request(), approve=approve)
    assert bench.wire.sent("execute") == 0


async def test_a_payer_who_is_not_done_has_declined_nothing(bench: Bench) -> None:
    outcome = await go(bench, approves=False)
    assert isinstance(outcome, Pending)
    assert outcome.sent


async def test_a_decline_is_final_and_says_why(bench: Bench) -> None:
    bench.wire.poor = True
    outcome = await go(bench)
    assert isinstance(outcome, Declined)
    assert outcome.reason.code is ReasonCode.INSUFFICIENT_BALANCE
    assert bench.wire.sent("execute") == 1


@pytest.mark.parametrize("fault", ["lost_after", "slow", "html", "500_after"])
async def test_a_lost_answer_is_looked_up_until_it_is_found(bench: Bench, fault: str) -> None:
    bench.wire.plan = {"execute": [fault], "query": ["lost_before"] * 10}
    outcome = await go(bench)
    assert isinstance(outcome, Paid)
    assert bench.wire.moves == 1
    assert bench.wire.sent("execute") == 1
    assert bench.wire.sent("create") == 1


async def test_what_nobody_can_tell_is_unknown_and_nothing_is_sent_again(bench: Bench) -> None:
    bench.wire.plan = {"execute": ["lost_after"], "query": ["lost_before"] * 99}
    outcome = await go(bench)
    assert isinstance(outcome, Unknown)
    assert outcome.operation_id == f"execute/{outcome.payment_id}/1"
    assert bench.wire.sent("execute") == 1
    assert bench.wire.sent("create") == 1


async def test_not_seen_yet_is_unknown_too(bench: Bench) -> None:
    bench.wire.plan["execute"] = ["lost_before"]
    assert isinstance(await go(bench), Unknown)
    assert bench.wire.sent("query") >= 3


async def test_without_retries_there_is_still_one_look(bench: Bench) -> None:
    bench.wire.plan = {"execute": ["lost_after"], "query": ["not_sent"] * 4}
    assert isinstance(await go(bench, max_retries=0), Paid)


async def test_never_sent_is_pending_and_says_that_nothing_was_sent(bench: Bench) -> None:
    bench.wire.plan["execute"] = ["not_sent"] * 99
    outcome = await go(bench)
    assert outcome == Pending(payment_id=outcome.payment_id, sent=False)
    assert bench.wire.sent("create") == 1
    assert bench.wire.moves == 0


async def test_unsent_then_sent(bench: Bench) -> None:
    bench.wire.plan["execute"] = ["not_sent"] * 5
    assert isinstance(await go(bench), Paid)
    assert bench.wire.moves == 1


async def test_a_throttled_execute_is_not_pressed(bench: Bench) -> None:
    async def shut(call: Any, **more: Any) -> PaymentSnapshot:
        raise ThrottledError("Slow down.", retry_after_s=42)

    bench.gateway.execute_payment = shut  # type: ignore[method-assign]
    outcome = await go(bench)
    assert outcome == Pending(payment_id=outcome.payment_id, sent=False, retry_after_s=42)


def declined(*, final: bool, look_up_first: bool) -> DeclinedError:
    return DeclinedError(
        "No.", reason=Reason(code=ReasonCode.INVALID_PAYMENT), final=final, look_up_first=look_up_first
    )


@pytest.mark.parametrize(
    ("final", "state", "kind"),
    [
        (True, SnapshotState.PAID, Paid),
        (True, SnapshotState.INITIATED, Declined),
        (False, SnapshotState.INITIATED, Pending),
        (False, SnapshotState.APPROVED, Pending),
        (True, SnapshotState.UNRECOGNIZED, Unknown),
        (False, SnapshotState.EXPIRED, Declined),
        (False, SnapshotState.CANCELLED, Declined),
        (False, SnapshotState.VOIDED, Declined),
        (False, SnapshotState.DECLINED, Declined),
        (False, SnapshotState.REVIEW, Review),
        (False, SnapshotState.AUTHORIZED, Authorized),
    ],
)
async def test_a_no_that_leaves_something_open_is_looked_up_first(
    bench: Bench, final: bool, state: SnapshotState, kind: type[Outcome]
) -> None:
    async def refuse(call: Any, **more: Any) -> PaymentSnapshot:
        raise declined(final=final, look_up_first=True)

    async def look(call: Any, **more: Any) -> PaymentSnapshot:
        return PaymentSnapshot(state=state, gateway_reference="r", raw_state="x", transaction_id="TRX")

    bench.gateway.execute_payment = refuse  # type: ignore[method-assign]
    bench.gateway.get_payment_status = look  # type: ignore[method-assign]
    assert isinstance(await go(bench), kind)


async def test_look_ups_that_fail_for_whatever_reason_prove_nothing(bench: Bench) -> None:
    async def refuse(call: Any, **more: Any) -> PaymentSnapshot:
        raise declined(final=True, look_up_first=True)

    problems: list[Exception] = [StorageError("s"), NotSentError("n"), OutcomeUnknownError("o")]

    async def look(call: Any, **more: Any) -> PaymentSnapshot:
        raise problems.pop(0)

    bench.gateway.execute_payment = refuse  # type: ignore[method-assign]
    bench.gateway.get_payment_status = look  # type: ignore[method-assign]
    assert isinstance(await go(bench), Unknown)


async def test_paid_without_a_transaction_id_is_no_plain_success(bench: Bench) -> None:
    async def odd(call: Any, **more: Any) -> PaymentSnapshot:
        return PaymentSnapshot(state=SnapshotState.PAID, gateway_reference="r", raw_state="x")

    bench.gateway.execute_payment = odd  # type: ignore[method-assign]
    outcome = await go(bench)
    assert isinstance(outcome, Review)
    assert "transaction_id" in outcome.what


async def test_a_refusal_to_open_a_session_is_a_decline(bench: Bench) -> None:
    async def refuse(request: Any, **more: Any) -> PaymentSession:
        raise declined(final=True, look_up_first=False)

    bench.gateway.initialize_payment = refuse  # type: ignore[method-assign]
    assert isinstance(await go(bench), Declined)


async def test_a_passing_refusal_to_open_a_session_is_raised(bench: Bench) -> None:
    async def refuse(request: Any, **more: Any) -> PaymentSession:
        raise declined(final=False, look_up_first=False)

    bench.gateway.initialize_payment = refuse  # type: ignore[method-assign]
    with pytest.raises(DeclinedError):
        await go(bench)


async def test_a_session_that_may_have_moved_money_is_not_tried_again(bench: Bench) -> None:
    asked = 0

    async def odd(request: Any, **more: Any) -> PaymentSession:
        nonlocal asked
        asked += 1
        raise OutcomeUnknownError("Who knows.", effect=Effect.UNKNOWN)

    bench.gateway.initialize_payment = odd  # type: ignore[method-assign]
    with pytest.raises(OutcomeUnknownError):
        await go(bench)
    assert asked == 1


async def test_waits_between_look_ups_grow(bench: Bench) -> None:
    bench.wire.plan = {"execute": ["lost_before"]}
    await go(bench, max_retries=6)
    assert len(bench.sleeper.slept) == 5
    assert bench.sleeper.slept[-1] > bench.sleeper.slept[0]


@pytest.mark.parametrize("wrong", [-1, True, 1.5, "3"])
async def test_max_retries_is_a_whole_number(bench: Bench, wrong: Any) -> None:
    with pytest.raises(ValueError, match="max_retries"):
        await go(bench, max_retries=wrong)


_FAULTS = ["", "", "not_sent", "lost_before", "lost_after", "slow", "html", "500_after", "expire", "500"]


@given(
    create=st.lists(st.sampled_from(_FAULTS), max_size=4),
    execute=st.lists(st.sampled_from(_FAULTS), max_size=4),
    query=st.lists(st.sampled_from(_FAULTS), max_size=12),
    grant=st.lists(st.sampled_from(_FAULTS), max_size=4),
    approves=st.booleans(),
    poor=st.booleans(),
    max_retries=st.integers(0, 4),
)
def test_whatever_fails_money_moves_at_most_once_and_the_outcome_is_true(
    create: list[str],
    execute: list[str],
    query: list[str],
    grant: list[str],
    approves: bool,
    poor: bool,
    max_retries: int,
) -> None:
    async def run() -> tuple[Bench, Outcome | GatewayError]:
        bench = Bench()
        bench.wire.plan = {"create": create[:], "execute": execute[:], "query": query[:], "grant": grant[:]}
        bench.wire.poor = poor
        try:
            return bench, await go(bench, approves=approves, max_retries=max_retries)
        except GatewayError as error:
            return bench, error

    bench, outcome = asyncio.run(run())
    paid = [payment for payment in bench.wire.payments.values() if payment["state"] == "paid"]
    assert bench.wire.moves == len(paid) <= 1
    assert bench.wire.sent("create") <= max_retries + 1 + create.count("expire") * 2
    if isinstance(outcome, Paid):
        assert len(paid) == 1
    elif isinstance(outcome, GatewayError):
        assert outcome.effect is not Effect.UNKNOWN
        assert bench.wire.sent("execute") == 0
        assert not paid
    elif isinstance(outcome, Declined):
        assert not paid
    elif isinstance(outcome, Pending):
        assert not paid
    else:
        assert isinstance(outcome, Unknown)
