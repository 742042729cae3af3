"""Refunds: once, repeated to nobody, believed only when sealed and ours; and counted in bytes."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.gateways.nagad.hand import (
    MERCHANT,
    ORDER_ID,
    REFERENCE,
    ROOT,
    TRX,
    Drive,
    answer,
    api,
    pair,
    refusal,
    sealed,
    verified,
)
from vextrus_payments.errors import (
    AnswerTimeoutError,
    AuthenticationRejectedError,
    DeclinedError,
    Effect,
    GatewayBlockedError,
    InvalidRequestError,
    NotSentError,
    OutcomeUnknownError,
    PaymentsError,
)
from vextrus_payments.gateways.nagad import refunds
from vextrus_payments.gateways.nagad.crypto import Seal
from vextrus_payments.gateways.nagad.refunds import look_up_refund, reference_no, refund_payment
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence, RefundCall
from vextrus_payments.snapshots import RefundSnapshot, RefundState
from vextrus_payments.wire import Safety, WireResponse

CALL = RefundCall(
    operation_id="order-8812/refund-1",
    gateway_reference=REFERENCE,
    transaction_id=TRX,
    amount=Money("40.00"),
    reason="refund",
    sku="INV-8812",
)
WHOLE = replace(CALL, amount=Money("100.00"))


def done(call: RefundCall = CALL, seal: Seal | None = None, **changes: Any) -> WireResponse:
    known = {
        "status": "PartialCancelled",
        "code": "000",
        "originalRequestDate": "20260304",
        "originalAmount": "100.00",
        "cancelAmount": call.amount.amount,
        "cancelTrxId": "000178AB",
        "referenceNo": reference_no(call.operation_id),
        "referenceMessage": call.reason,
    }
    text = {name: value for name, value in {**known, **changes}.items() if value is not ...}
    return sealed(text, seal)


def lost() -> AnswerTimeoutError:
    return AnswerTimeoutError("No answer came in time.", effect=Effect.UNKNOWN)


def gave_back(status: str = "PartialCancelled", refund: str | None = "000178AB", **more: Any) -> WireResponse:
    return verified(status, cancelIssuerRefNo=refund, cancelIssuerDateTime="2026-03-04 12:00:00.0", **more)


def test_a_refund_is_verified_checkpointed_and_sent_once() -> None:
    drive = Drive(verified(), done())
    made = drive.run(refund_payment(api(), CALL))
    assert made == RefundSnapshot(
        state=RefundState.COMPLETED,
        transaction_id="000178AB",
        original_transaction_id=TRX,
        amount=Money("40.00"),
        raw_state="PartialCancelled",
    )
    assert drive.steps == ["refund.baseline", "refund"]
    assert [send.safety for send in drive.sends] == [Safety.READ, Safety.ONCE]
    sent = drive.sends[1].request
    assert sent.url == (
        f"{ROOT}/api/dfs/purchase/cancel?paymentRefId={REFERENCE.replace('=', '%3D')}&orderId={ORDER_ID}"
    )
    assert json.loads(sent.body).keys() == {"sensitiveDataCancelRequest", "signature"}
    assert drive.text(1) == {
        "merchantId": MERCHANT,
        "originalRequestDate": "20260304",
        "originalAmount": "100.00",
        "cancelAmount": "40.00",
        "referenceNo": reference_no(CALL.operation_id),
        "referenceMessage": "refund",
    }


def test_the_day_of_the_request_is_dhakas() -> None:
    # 23:59:59 in Dhaka, and paid the next day.
    shown = verified(orderDateTime="2026-03-04 23:59:59.0", issuerPaymentDateTime="2026-03-05 00:01:00.0")
    drive = Drive(shown, done())
    drive.run(refund_payment(api(), CALL))
    assert drive.text(1)["originalRequestDate"] == "20260304"


def test_the_number_of_a_refund_is_its_own_and_stays() -> None:
    number = reference_no("order-8812/refund-1")
    assert number == reference_no("order-8812/refund-1") != reference_no("order-8812/refund-2")
    assert len(number) == 20 and number.isalnum() and number.isascii()


@pytest.mark.parametrize(
    "reply",
    [
        lost(),
        answer(b"<html>Request Rejected. Your support ID is: 1234567890</html>"),
        answer({}, 500),
        refusal("16_0006_056"),
        refusal("16_0006_061"),
        refusal("16_0006_075"),
        refusal("77_7777_777"),
        done(seal=Seal(pair("stranger"), pair("merchant").public_key())),
        done(referenceNo=reference_no("another")),
        done(referenceNo=...),
        done(cancelAmount="41.00"),
        done(originalAmount="99.00"),
        done(cancelTrxId=...),
        done(cancelTrxId="two words"),
        done(status="Success"),
        done(status="Failed"),
        sealed(b"[]"),
    ],
)
@pytest.mark.parametrize("seen", ["made", "not made", "no answer"])
def test_no_definite_answer_is_followed_by_a_look_and_never_by_a_second_refund(reply: Any, seen: str) -> None:
    look: Any = {"made": gave_back(), "not made": verified(), "no answer": lost()}[seen]
    drive = Drive(verified(), reply, look)
    if seen == "made":
        made = drive.run(refund_payment(api(), CALL))
        assert (made.state, made.transaction_id) == (RefundState.COMPLETED, "000178AB")
    else:
        error = drive.fails(refund_payment(api(), CALL))
        assert isinstance(error, OutcomeUnknownError | GatewayBlockedError)
        assert error.effect is Effect.UNKNOWN
    assert drive.steps == ["refund.baseline", "refund", "refund.look_up"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("16_0006_055", DeclinedError),
        ("16_0006_059", DeclinedError),
        ("16_0006_076", DeclinedError),
        ("16_0006_058", AuthenticationRejectedError),
    ],
)
def test_a_refused_refund_was_not_made(code: str, kind: type[PaymentsError]) -> None:
    drive = Drive(verified(), refusal(code))
    error = drive.fails(refund_payment(api(), CALL))
    assert isinstance(error, kind) and error.effect is Effect.REFUSED
    assert drive.steps == ["refund.baseline", "refund"]


def test_a_refusal_that_may_speak_of_our_own_refund_is_looked_up() -> None:
    for code in ("16_0006_017", "16_0006_083"):
        made = Drive(verified(), refusal(code), gave_back()).run(refund_payment(api(), CALL))
        assert made.transaction_id == "000178AB"
        error = Drive(verified(), refusal(code), verified()).fails(refund_payment(api(), CALL))
        assert isinstance(error, DeclinedError) and error.final


@pytest.mark.parametrize(
    ("call", "before", "after", "found"),
    [
        (CALL, verified(), gave_back(), True),
        (CALL, verified(), gave_back("Cancelled"), False),  # all of it is not our part
        (WHOLE, verified(), gave_back("Cancelled"), True),
        (WHOLE, verified(), gave_back("PartialCancelled"), False),
        (CALL, gave_back(refund="000178AA"), gave_back(), True),
        (CALL, gave_back(refund="000178AA"), gave_back("Cancelled"), True),
        (CALL, gave_back(refund="000178AB"), gave_back(), False),  # it was there before
        (CALL, verified(), gave_back(refund=None), False),
        (CALL, verified(), gave_back(refund="two words"), False),
        (replace(CALL, known_refunds=frozenset({"000178AB"})), verified(), gave_back(), False),
    ],
)
def test_which_picture_shows_our_refund(
    call: RefundCall, before: WireResponse, after: WireResponse, found: bool
) -> None:
    drive = Drive(before, lost(), after)
    if found:
        assert drive.run(refund_payment(api(), call)).amount == call.amount
    else:
        assert drive.fails(refund_payment(api(), call)).effect is Effect.UNKNOWN
    again = Drive(after).run(look_up_refund(api(), call, drive.evidence[0]))
    assert (again is not None) is found


def test_resuming_only_looks() -> None:
    first = Drive(verified(), lost(), lost())
    first.fails(refund_payment(api(), CALL))
    drive = Drive(gave_back())
    assert drive.run(refund_payment(api(), CALL, first.evidence[0])).transaction_id == "000178AB"
    assert drive.steps == ["refund.look_up"]
    error = Drive(verified()).fails(refund_payment(api(), CALL, first.evidence[0]))
    assert error.effect is Effect.UNKNOWN


@pytest.mark.parametrize(
    "evidence",
    [
        Evidence("other", {}),
        Evidence(refunds.BASELINE, {}),
        Evidence(
            refunds.BASELINE,
            {
                "transaction_id": TRX,
                "amount_minor": 4001,
                "order_id": ORDER_ID,
                "original_minor": 10000,
                "requested_on": "20260304",
                "in_part": False,
                "last_refund": None,
            },
        ),
    ],
)
def test_only_its_own_baseline_resumes_a_refund(evidence: Evidence) -> None:
    drive = Drive()
    assert isinstance(drive.fails(refund_payment(api(), CALL, evidence)), InvalidRequestError)
    assert not drive.sends


@pytest.mark.parametrize(
    "before",
    [
        lost(),
        answer({}, 500),
        verified(amount="1,00"),
        verified(amount=None),
        verified(orderDateTime=None, issuerPaymentDateTime="soon"),
        verified(orderId="INV-8812&x=1"),
        verified(orderId=None),
        verified(merchantId="680000000000002"),
        verified(paymentRefId="MDMw"),
        verified(issuerPaymentRefNo="000177YZ"),
    ],
)
def test_without_a_baseline_that_fits_nothing_is_sent(before: Any) -> None:
    drive = Drive(before)
    error = drive.fails(refund_payment(api(), CALL))
    assert isinstance(error, NotSentError) and error.effect is Effect.NONE
    assert drive.steps == ["refund.baseline"] and not drive.evidence


@pytest.mark.parametrize(("status", "final"), [("Cancelled", True), ("Ready", False), ("Failed", False)])
def test_what_has_nothing_to_give_back_is_not_asked_for_it(status: str, final: bool) -> None:
    drive = Drive(verified(status))
    error = drive.fails(refund_payment(api(), CALL))
    assert isinstance(error, DeclinedError) and error.effect is Effect.NONE and error.final is final
    assert drive.steps == ["refund.baseline"]


# ------------------------------------------------------------------------------------------------- room in bytes

BANGLA = "\u09ab"  # three bytes each


def text_size(call: RefundCall) -> int:
    return len(refunds.text_of(api(), call, Money("100.00"), "20260304").to_json())


def test_the_reason_may_fill_the_block_to_its_last_byte_and_not_one_more() -> None:
    room = 245 - text_size(replace(CALL, reason=""))
    fits = replace(CALL, reason="x" * room)
    drive = Drive(verified(), done(fits, referenceMessage=...))
    drive.run(refund_payment(api(), fits))
    assert drive.text(1)["referenceMessage"] == fits.reason
    drive = Drive(verified())
    error = drive.fails(refund_payment(api(), replace(CALL, reason="x" * (room + 1))))
    assert isinstance(error, InvalidRequestError) and error.field == "reason"
    assert error.rule == f"at most {room} bytes of UTF-8 for this refund"
    assert drive.steps == ["refund.baseline"] and not drive.evidence


def test_a_letter_of_bangla_counts_as_its_three_bytes() -> None:
    room = 245 - text_size(replace(CALL, reason=""))
    letters, rest = divmod(room, 3)
    fits = replace(CALL, reason=BANGLA * letters + "x" * rest)
    drive = Drive(verified(), done(fits, referenceMessage=...))
    drive.run(refund_payment(api(), fits))
    assert drive.text(1)["referenceMessage"] == fits.reason
    too_long = replace(CALL, reason=BANGLA * letters + "x" * (rest + 1))
    assert isinstance(Drive(verified()).fails(refund_payment(api(), too_long)), InvalidRequestError)
