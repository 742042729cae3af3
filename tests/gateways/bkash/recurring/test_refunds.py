"""Refunds of collected payments: sent once, told apart by what was there before, never called failed too early."""

from dataclasses import replace
from typing import Any

import pytest

from tests.gateways.bkash.recurring.hand import PAYMENT, TRX, Bench, answer, payment, refused
from vextrus_payments.errors import (
    ConfigurationError,
    DeclinedError,
    Effect,
    GatewayError,
    InvalidRequestError,
    NotSentError,
    OutcomeUnknownError,
)
from vextrus_payments.gateways.bkash.recurring.refunds import request_id
from vextrus_payments.listings import listed_in
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence, RefundCall
from vextrus_payments.snapshots import Mismatch, RefundState
from vextrus_payments.testing.scripted import lost

CALL = RefundCall(
    operation_id="order-1/refund-1",
    gateway_reference=PAYMENT,
    transaction_id=TRX,
    amount=Money("20.50"),
    reason="returned",
    sku="INV-1",
)
OK = answer(b"")
MADE = {"reverseTrxId": "DC3", "reverseTrxAmount": "20.5", "reverseTrxTime": "2026-03-01T12:05:00"}


def refund(status: str = "SUCCEEDED_REFUND", **changes: Any) -> Any:
    return payment(status, **{**MADE, **changes})


async def test_accepted_is_pending() -> None:
    bench = Bench(payment(), OK)
    snapshot = await bench.gateway.refund_payment(CALL, on_checkpoint=bench.keep)
    assert (snapshot.state, snapshot.transaction_id) == (RefundState.PENDING, "")
    assert bench.sent == [
        ("GET", f"/api/subscription/payment/{PAYMENT}"),
        ("POST", "/api/subscription/payment/refund"),
    ]
    assert bench.body(1) == '{"paymentId":1931,"amount":20.50}'  # a number with both its places
    assert bench.headers(1)["requestId"] == request_id(CALL.operation_id)
    assert request_id("x").isalnum() and request_id("x") != request_id("y")
    assert bench.evidence[0].data["last_refund"] is None


async def test_no_checkpoint_no_refund() -> None:
    bench = Bench(payment(), OK)
    with pytest.raises(ConfigurationError, match="checkpoints"):
        await bench.gateway.refund_payment(CALL)
    assert not bench.sent


@pytest.mark.parametrize(
    ("baseline", "error"),
    [
        (payment("PROCESSING_REFUND"), NotSentError),
        (payment("FAILED_PAYMENT"), DeclinedError),
        (payment("INITIALIZED"), DeclinedError),
        (payment(trxId="OTHER"), NotSentError),
        (payment(id=5), NotSentError),
        (answer(b"<html>"), NotSentError),
    ],
)
async def test_what_keeps_a_refund_from_leaving(baseline: Any, error: type[GatewayError]) -> None:
    bench = Bench(baseline)
    with pytest.raises(error):
        await bench.gateway.refund_payment(CALL, on_checkpoint=bench.keep)
    assert len(bench.sent) == 1 and not bench.evidence


@pytest.mark.parametrize(
    "second", [lost(effect=True), answer(b"", 502), refused("1004"), refused("2014"), refused("77")]
)
async def test_a_lost_answer_is_looked_up_and_never_sent_again(second: Any) -> None:
    for after, state in (
        (refund(), RefundState.COMPLETED),
        (payment("PROCESSING_REFUND"), RefundState.PENDING),
        (payment("FAILED_REFUND"), RefundState.PENDING),
        (payment("RE_FAILED_REFUND"), RefundState.DECLINED),
    ):
        bench = Bench(payment(), second, after)
        assert (await bench.gateway.refund_payment(CALL, on_checkpoint=bench.keep)).state is state
    for after in (payment(), answer(b"<p>no</p>"), payment("TOMORROW"), refund(trxId="OTHER")):
        bench = Bench(payment(), second, after)
        with pytest.raises(GatewayError) as raised:
            await bench.gateway.refund_payment(CALL, on_checkpoint=bench.keep)
        assert raised.value.effect is Effect.UNKNOWN
        assert [method for method, _ in bench.sent].count("POST") == 1


@pytest.mark.parametrize("code", ["1001", "3003"])
async def test_refused_before_it_began(code: str) -> None:
    bench = Bench(payment(), refused(code))
    with pytest.raises(DeclinedError) as raised:
        await bench.gateway.refund_payment(CALL, on_checkpoint=bench.keep)
    assert raised.value.final and raised.value.effect is Effect.REFUSED


async def baseline(first: Any = None) -> tuple[Evidence, Bench]:
    bench = Bench(first or payment(), OK)
    await bench.gateway.refund_payment(CALL, on_checkpoint=bench.keep)
    return bench.evidence[0], bench


async def test_failed_is_believed_when_bkash_has_looked_again_or_a_day_is_over() -> None:
    evidence, _ = await baseline()
    bench = Bench(refund("FAILED_REFUND"), refund("FAILED_REFUND"), refund("RE_SUCCEEDED_REFUND"))
    found = await bench.gateway.look_up_refund(CALL, resume=evidence)
    assert found is not None and found.state is RefundState.PENDING
    bench.clock.advance(24 * 3600)
    found = await bench.gateway.look_up_refund(CALL, resume=evidence)
    assert found is not None and found.state is RefundState.DECLINED
    found = await bench.gateway.look_up_refund(CALL, resume=evidence)
    assert found is not None and (found.state, found.transaction_id) == (RefundState.COMPLETED, "DC3")


async def test_an_earlier_refund_is_not_taken_for_ours() -> None:
    evidence, first = await baseline(refund())
    assert [r.transaction_id for r in listed_in(first.evidence[0])] == ["DC3"]
    bench = Bench(refund(), refund(reverseTrxId="DC4"), refund(reverseTrxId="DC5"))
    assert await bench.gateway.look_up_refund(CALL, resume=evidence) is None
    known = replace(CALL, known_refunds=frozenset({"DC4"}))
    assert await bench.gateway.look_up_refund(known, resume=evidence) is None
    found = await bench.gateway.look_up_refund(CALL, resume=evidence)
    assert found is not None and found.transaction_id == "DC5"
    failed, _ = await baseline(refund("FAILED_REFUND"))
    bench = Bench(refund("FAILED_REFUND"))
    assert await bench.gateway.look_up_refund(CALL, resume=failed) is None


async def test_another_amount_is_ours_and_wrong() -> None:
    evidence, _ = await baseline()
    bench = Bench(refund(reverseTrxAmount=51))
    found = await bench.gateway.look_up_refund(CALL, resume=evidence)
    assert found is not None and found.mismatches == {Mismatch.AMOUNT}
    assert found.reported is RefundState.COMPLETED


async def test_resuming_only_looks() -> None:
    evidence, _ = await baseline()
    bench = Bench(payment(), refund())
    with pytest.raises(OutcomeUnknownError):
        await bench.gateway.refund_payment(CALL, resume=evidence)
    assert (await bench.gateway.refund_payment(CALL, resume=evidence)).state is RefundState.COMPLETED
    assert {method for method, _ in bench.sent} == {"GET"}
    for other in (
        Evidence("other"),
        replace(evidence, data={**evidence.data, "amount_minor": 1}),
        replace(evidence, data={**evidence.data, "at": "2026-03-01"}),
        replace(evidence, data={**evidence.data, "last_refund": 5}),
    ):
        with pytest.raises(InvalidRequestError):
            await bench.gateway.look_up_refund(CALL, resume=other)
    with pytest.raises(InvalidRequestError):
        await bench.gateway.look_up_refund(CALL, resume=None)


async def test_what_is_listed() -> None:
    bench = Bench(payment(), refund(), refund("PROCESSING_REFUND"), refund(id=9))
    assert await bench.gateway.get_refund_status(CALL) == ()
    (made,) = await bench.gateway.get_refund_status(CALL)
    assert (made.transaction_id, made.amount) == ("DC3", Money("20.50"))
    assert await bench.gateway.get_refund_status(CALL) == ()
    with pytest.raises(GatewayError):
        await bench.gateway.get_refund_status(CALL)
