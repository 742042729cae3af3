"""Opening a page in two calls, and looking a payment up: what is sent, what is believed, what is never sent again."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from tests.gateways.nagad.hand import (
    CHALLENGE,
    MERCHANT,
    NOW,
    ORDER_ID,
    REFERENCE,
    ROOT,
    TRX,
    Drive,
    answer,
    api,
    completed,
    initialized,
    order,
    our_seal,
    pair,
    refusal,
    sealed,
    verified,
)
from vextrus_payments import halfway
from vextrus_payments.errors import (
    AnswerLostError,
    AnswerTimeoutError,
    AuthenticationRejectedError,
    DeclinedError,
    Effect,
    GatewayBlockedError,
    NotSentError,
    OutcomeUnknownError,
    PaymentsError,
    UnreadableAnswerError,
)
from vextrus_payments.gateways.nagad import models as m
from vextrus_payments.gateways.nagad import protocol
from vextrus_payments.gateways.nagad.crypto import Seal
from vextrus_payments.gateways.nagad.envelope import COMPLETE, INITIALIZE, REFUND, VERIFY, Call, read
from vextrus_payments.gateways.nagad.protocol import Opened
from vextrus_payments.gateways.nagad.steps import Api
from vextrus_payments.gateways.readings import Accepted
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import ExecuteCall, StatusCall
from vextrus_payments.reasons import ReasonCode
from vextrus_payments.snapshots import Mismatch, PaymentSnapshot, SnapshotState
from vextrus_payments.wire import Safety, WireResponse

GOLDEN = json.loads((Path(__file__).parent / "golden" / "verify.json").read_text(encoding="utf-8"))
STATUS = StatusCall(gateway_reference=REFERENCE, gateway_order_id=ORDER_ID, amount=Money("100.00"))
EXECUTE = ExecuteCall(gateway_reference=REFERENCE, gateway_order_id=ORDER_ID, amount=Money("100.00"))
PAGE = b"""<html><head><title>Request Rejected</title></head><body>The requested URL was rejected. Please consult
with your administrator.<br><br>Your support ID is: 8046284116612345678<br></body></html>"""


def lost() -> AnswerTimeoutError:
    return AnswerTimeoutError("No answer came in time.", effect=Effect.NONE)


# ----------------------------------------------------------------------------------------------------- opening


def test_a_page_is_opened_in_two_sealed_calls_with_a_checkpoint_between_them() -> None:
    drive = Drive(initialized(), completed())
    opened = drive.run(protocol.open_payment(api(), order(locale="bn", merchant_number="01000000000")))
    assert opened == Opened(REFERENCE, f"http://127.0.0.1:28600/check-out/{REFERENCE}")
    assert drive.evidence == [halfway.halfway(ORDER_ID, REFERENCE)]
    first, second = drive.sends
    assert [first.safety, second.safety] == [Safety.DISPOSABLE, Safety.DISPOSABLE]
    assert first.request.url == f"{ROOT}/api/dfs/check-out/initialize/{MERCHANT}/{ORDER_ID}?locale=BN"
    assert second.request.url == f"{ROOT}/api/dfs/check-out/complete/{REFERENCE}"
    outer = json.loads(first.request.body)
    assert (outer["accountNumber"], outer["dateTime"]) == ("01000000000", "20260304110607")
    assert drive.text(0) == {
        "merchantId": MERCHANT,
        "datetime": "20260304110607",
        "orderId": ORDER_ID,
        "challenge": "ab" * 20,
    }
    assert drive.text(1) == {
        "merchantId": MERCHANT,
        "orderId": ORDER_ID,
        "currencyCode": "050",
        "amount": "100.00",
        "challenge": CHALLENGE,
    }
    outer = json.loads(second.request.body)
    assert outer["merchantCallbackURL"] == "https://shop.example/payments/nagad/return"
    assert "additionalMerchantInfo" not in outer
    for send in drive.sends:
        headers = dict(send.request.headers)
        assert headers["X-KM-Api-Version"] == "v-0.2.0"
        assert headers["X-KM-IP-V4"] == "192.0.2.7"
        assert headers["X-KM-Client-Type"] == "PC_WEB"
        assert headers["X-KM-MC-Id"] == MERCHANT


def test_what_is_shown_on_the_page_and_who_visits_it_go_along() -> None:
    drive = Drive(initialized(), completed())
    asked = order(
        shown={"serviceName": "\u09ac\u0987"},
        client_address="198.51.100.9",
        client_type=m.ClientType.MOBILE_APP,
        service_fee=Money("2.56"),
    )
    drive.run(protocol.open_payment(api(), asked))
    assert json.loads(drive.sends[1].request.body)["additionalMerchantInfo"] == {
        "serviceName": "\u09ac\u0987"
    }
    assert drive.text(1)["otherAmount"] == {"serviceFee": "2.56"}
    assert dict(drive.sends[0].request.headers)["X-KM-IP-V4"] == "198.51.100.9"
    assert dict(drive.sends[1].request.headers)["X-KM-Client-Type"] == "MOBILE_APP"


@pytest.mark.parametrize("challenge", ["", "c" * 65, "c" * 100, "\u099a" * 8, '"' * 64, "a\nb", "\ud800"])
def test_a_challenge_that_could_not_be_repeated_opens_nothing(challenge: str) -> None:
    drive = Drive(initialized("QUJDREVGR0g=", challenge))
    error = drive.fails(protocol.open_payment(api(), order()))
    assert isinstance(error, UnreadableAnswerError) and drive.steps == ["initialize"]


def test_the_longest_challenge_fits_beside_the_longest_of_all() -> None:
    text = m.CompleteText(
        merchantId="9" * 20,
        orderId="A" * m.ORDER_ID_MAX,
        currencyCode=m.CURRENCY_CODE,
        amount="9" * m.AMOUNT_MAX_CHARACTERS,
        challenge="c" * 64,
        otherAmount=m.OtherAmount(serviceFee="9" * m.AMOUNT_MAX_CHARACTERS),
    )
    assert len(text.to_json()) <= our_seal().room_bytes


def test_the_older_guides_word_for_the_challenge_is_read_too() -> None:
    text = {"paymentReferenceId": REFERENCE, "random": CHALLENGE, "acceptDateTime": "20260304110607"}
    drive = Drive(sealed(text), completed())
    drive.run(protocol.open_payment(api(), order()))
    assert drive.text(1)["challenge"] == CHALLENGE


def _reference(**changes: str) -> str:
    known = m.ReferenceParts("0304110607000", MERCHANT, ORDER_ID, CHALLENGE)
    return known._replace(**changes).encode()


@pytest.mark.parametrize(
    "reply",
    [
        initialized(_reference(merchant_id="680000000000002")),
        initialized(_reference(order_id="INV8813")),
        initialized(_reference(challenge="f" * 20)),
        initialized(challenge="f" * 20),
        initialized("not/a+reference"),
        initialized(""),
        initialized(challenge=""),
        sealed(b"[]"),
        sealed(b"paid"),
        sealed(b'{"paymentReferenceId":"a","paymentReferenceId":"b","challenge":"c"}'),
        sealed(b""),
    ],
)
def test_an_answer_that_is_not_the_answer_to_this_request_opens_nothing(reply: WireResponse) -> None:
    drive = Drive(reply)
    error = drive.fails(protocol.open_payment(api(), order()))
    assert isinstance(error, UnreadableAnswerError) and error.effect is Effect.NONE
    assert drive.steps == ["initialize"] and not drive.evidence


def test_the_seal_is_checked_before_the_text_is_read() -> None:
    stranger = Seal(pair("stranger"), pair("merchant").public_key())
    text = {"paymentReferenceId": REFERENCE, "challenge": CHALLENGE}
    errors = [
        Drive(sealed(text, stranger)).fails(protocol.open_payment(api(), order())),
        Drive(sealed(b"no JSON", stranger)).fails(protocol.open_payment(api(), order())),
        Drive(answer({"sensitiveData": "AAAA", "signature": "AAAA"})).fails(
            protocol.open_payment(api(), order())
        ),
    ]
    assert len({str(error) for error in errors}) == 1
    assert all(isinstance(error, UnreadableAnswerError) for error in errors)


@pytest.mark.parametrize(
    "url",
    [
        f"http://evil.example/check-out/{REFERENCE}",
        f"https://evil.example/check-out/{REFERENCE}",
        f"https://mynagad.com.evil.example/check-out/{REFERENCE}",
        f"https://evilmynagad.com/check-out/{REFERENCE}",
        f"https://api.mynagad.com@evil.example/check-out/{REFERENCE}",
        f"javascript://sandbox-ssl.mynagad.com/{REFERENCE}",
        f"http://sandbox-ssl.mynagad.com/check-out/{REFERENCE}",
        "https://sandbox-ssl.mynagad.com/check-out/" + _reference(order_id="INV8813"),
        f"https://sandbox-ssl.mynagad.com/check-out/?ref={REFERENCE}",
        f"/check-out/{REFERENCE}",
    ],
)
def test_a_payer_is_sent_to_nagads_page_of_this_payment_and_nowhere_else(url: str) -> None:
    drive = Drive(initialized(), completed(url), verified("Ready", issuerPaymentRefNo=None))
    error = drive.fails(protocol.open_payment(api(), order()))
    assert isinstance(error, OutcomeUnknownError) and error.effect is Effect.NONE
    assert drive.steps == ["initialize", "complete", "complete.look_up"]


@pytest.mark.parametrize(
    ("url", "mode", "good"),
    [
        (f"https://sandbox-ssl.mynagad.com:10061/check-out/{REFERENCE}", Mode.SANDBOX, True),
        (
            f"https://sandbox-ssl.mynagad.com:10061/check-out/{REFERENCE.replace('=', '%3D')}/",
            Mode.SANDBOX,
            True,
        ),
        (f"http://sandbox.mynagad.com:10060/check-out/{REFERENCE}", Mode.SANDBOX, True),
        (f"http://sandbox.mynagad.com:10060/check-out/{REFERENCE}", Mode.LIVE, False),
        (f"http://127.0.0.1:28600/check-out/{REFERENCE}", Mode.LIVE, False),
        (f"https://anything.mynagad.com/check-out/{REFERENCE}", Mode.LIVE, True),
        # Real money is not asked for a test payment, nor test money for a real one.
        (f"https://api.mynagad.com/check-out/{REFERENCE}", Mode.SANDBOX, False),
        (f"https://sandbox-ssl.mynagad.com:10061/check-out/{REFERENCE}", Mode.LIVE, False),
        *[
            (f"https://evil.example{between}.mynagad.com/check-out/{REFERENCE}", Mode.LIVE, False)
            for between in ("%2f", "%5c", "%00", "%09", ";", "&", "|", "'", "`", "{", "$", "!", "_", ",", ".")
        ],
        (f"https://.mynagad.com/check-out/{REFERENCE}", Mode.LIVE, False),
    ],
)
def test_which_pages_are_nagads(url: str, mode: Mode, good: bool) -> None:
    assert protocol.is_page_of(url, REFERENCE, api(mode)) is good


@pytest.mark.parametrize(
    "after",
    [
        lost(),
        NotSentError("Nothing left."),
        answer({"message": "?"}, 502),
        answer(PAGE),
        answer({"callBackUrl": f"http://127.0.0.1:28600/check-out/{REFERENCE}", "status": "Failed"}),
        refusal("16_0006_017"),
        refusal("16_0006_055"),
        refusal("16_0006_075"),
        refusal("77_7777_777"),
    ],
)
@pytest.mark.parametrize("seen", ["Ready", "OrderInitiated", "no answer"])
def test_a_lost_complete_is_looked_up_and_never_sent_again(after: Any, seen: str) -> None:
    look = lost() if seen == "no answer" else verified(seen, issuerPaymentRefNo=None)
    drive = Drive(initialized(), after, look)
    error = drive.fails(protocol.open_payment(api(), order()))
    assert isinstance(error, OutcomeUnknownError | GatewayBlockedError)  # the engine takes a new submission
    assert error.effect is Effect.NONE
    assert drive.steps == ["initialize", "complete", "complete.look_up"]
    assert drive.evidence == [halfway.halfway(ORDER_ID, REFERENCE)]


def test_a_lost_complete_that_turns_out_paid_is_a_session_without_a_page() -> None:
    drive = Drive(initialized(), lost(), verified())
    assert drive.run(protocol.open_payment(api(), order())) == Opened(REFERENCE, None)


def test_a_refused_complete_is_a_refusal_and_is_not_looked_up() -> None:
    drive = Drive(initialized(), refusal("16_0006_080"))
    error = drive.fails(protocol.open_payment(api(), order()))
    assert isinstance(error, DeclinedError) and error.final
    assert drive.steps == ["initialize", "complete"]


def test_resuming_only_looks() -> None:
    for reply in (verified("Ready", issuerPaymentRefNo=None), lost(), verified("Failed")):
        drive = Drive(reply)
        error = drive.fails(protocol.resume_opening(api(), order(), REFERENCE))
        assert isinstance(error, AnswerLostError) and error.effect is Effect.NONE
        assert drive.steps == ["resume.look_up"]
    assert Drive(verified()).run(protocol.resume_opening(api(), order(), REFERENCE)) == Opened(
        REFERENCE, None
    )


@pytest.mark.parametrize(
    ("code", "kind", "final"),
    [
        ("16_0006_058", AuthenticationRejectedError, None),
        ("16_0006_053", AuthenticationRejectedError, None),
        ("16_0006_068", DeclinedError, True),
        ("16_0006_076", DeclinedError, False),
        ("16_0006_083", OutcomeUnknownError, None),
        ("16_0006_060", OutcomeUnknownError, None),
        ("16_0006_999", OutcomeUnknownError, None),
        ("99_9999_999", UnreadableAnswerError, None),
    ],
)
@pytest.mark.parametrize("status", [200, 400, 401, 422])
def test_what_a_refused_initialize_means(
    code: str, kind: type[PaymentsError], final: bool | None, status: int
) -> None:
    error = Drive(refusal(code, status, devMessage="Key mismatch")).fails(
        protocol.open_payment(api(), order())
    )
    assert isinstance(error, kind) and error.code == code
    assert error.context["dev_message"] == "Key mismatch"
    if isinstance(error, DeclinedError):
        assert error.final is final


def test_a_clock_that_is_off_is_told_by_how_much() -> None:
    theirs = NOW - timedelta(minutes=20)
    reply = WireResponse(400, {"date": format_datetime(theirs, usegmt=True)}, refusal("16_0006_076").body)
    error = Drive(reply).fails(protocol.open_payment(api(), order()))
    assert error.context["clock_ahead_s"] == 1200
    for header in ("", "yesterday", "Wed, 99 Mar 2026"):
        reply = WireResponse(400, {"date": header}, refusal("16_0006_076").body)
        assert "clock_ahead_s" not in Drive(reply).fails(protocol.open_payment(api(), order())).context


@pytest.mark.parametrize("status", [200, 403, 501])
def test_the_firewalls_page_is_told_with_its_support_id(status: int) -> None:
    error = Drive(answer(PAGE, status)).fails(protocol.open_payment(api(), order()))
    assert isinstance(error, GatewayBlockedError)
    assert error.support_id == "8046284116612345678"
    assert error.effect is Effect.NONE


# ------------------------------------------------------------------------------------------------------ verify


def look(reply: WireResponse, now: datetime = NOW, amount: str = "100.00") -> PaymentSnapshot:
    call = StatusCall(gateway_reference=REFERENCE, gateway_order_id=ORDER_ID, amount=Money(amount))
    seen: PaymentSnapshot = Drive(reply).run(protocol.look_up(api(), call, now))
    return seen


def test_a_real_answer_is_read_whole() -> None:
    real = GOLDEN["success"]
    call = StatusCall(
        gateway_reference=real["paymentRefId"], gateway_order_id=real["orderId"], amount=Money("20.00")
    )
    merchants = api()
    own = Api(
        root=merchants.root,
        mode=Mode.SANDBOX,
        merchant_id=real["merchantId"],
        seal=merchants.seal,
        client_address="192.0.2.7",
        client_type=m.ClientType.PC_WEB,
    )
    drive = Drive(answer(real))
    seen = drive.run(protocol.look_up(own, call, datetime(2022, 12, 5, 13, tzinfo=UTC)))
    assert (seen.state, seen.transaction_id, seen.amount) == (SnapshotState.PAID, "00010DHW", Money("20.00"))
    assert seen.occurred_at == datetime(2022, 12, 5, 12, 9, 24, tzinfo=UTC)
    assert seen.payer_account == "015****2467"
    assert seen.method is not None and (seen.method.kind, seen.method.name) == ("wallet", "nagad")
    assert drive.sends[0].request.url == f"{ROOT}/api/dfs/verify/payment/{real['paymentRefId']}"
    assert drive.sends[0].safety is Safety.READ


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("Success", SnapshotState.PAID),
        ("success", SnapshotState.PAID),
        ("OrderInitiated", SnapshotState.INITIATED),
        ("Ready", SnapshotState.INITIATED),
        ("OtpSent", SnapshotState.INITIATED),
        ("OtpVerified", SnapshotState.INITIATED),
        ("PinGiven", SnapshotState.APPROVED),
        ("InProgress", SnapshotState.APPROVED),
        ("TransactionInProgress", SnapshotState.APPROVED),
        ("Aborted", SnapshotState.INITIATED),
        ("Failed", SnapshotState.DECLINED),
        ("InvalidRequest", SnapshotState.DECLINED),
        ("Fraud", SnapshotState.DECLINED),
        ("UnKnownFailed", SnapshotState.UNRECOGNIZED),
        ("UnknownFailed", SnapshotState.UNRECOGNIZED),
        ("Cancelled", SnapshotState.PAID),
        ("PartialCancelled", SnapshotState.PAID),
        ("Refunded", SnapshotState.PAID),
        ("PartialRefunded", SnapshotState.PAID),
        ("Settled", SnapshotState.UNRECOGNIZED),
    ],
)
def test_every_status_of_the_table(status: str, state: SnapshotState) -> None:
    assert look(verified(status)).state is state


def test_who_left_the_page_may_come_back_to_it_while_it_lives() -> None:
    for status in ("Aborted", "Cancelled"):
        reply = verified(status, issuerPaymentRefNo=None)
        assert look(reply).state is SnapshotState.INITIATED
        assert look(reply, NOW + timedelta(hours=24)).state is SnapshotState.INITIATED
        assert look(reply, NOW + timedelta(hours=24, minutes=1)).state is SnapshotState.CANCELLED
        assert look(reply, NOW + timedelta(days=300)).state is SnapshotState.CANCELLED


def test_a_page_made_on_new_years_eve_is_of_last_year() -> None:
    reference = _reference(made_at="1231235900000")
    assert not protocol.is_over(reference, datetime(2026, 12, 31, 18, 30, tzinfo=UTC))
    assert protocol.is_over(reference, datetime(2027, 1, 2, tzinfo=UTC))
    assert not protocol.is_over(_reference(made_at="0229120000000"), datetime(2028, 2, 29, 7, tzinfo=UTC))
    for other in ("MDMw", _reference(made_at="soon")):
        assert not protocol.is_over(other, NOW)


@pytest.mark.parametrize(
    ("changes", "mismatch"),
    [
        ({"amount": "100.01"}, Mismatch.AMOUNT),
        ({"amount": None}, Mismatch.AMOUNT),
        ({"orderId": "INV8813"}, Mismatch.GATEWAY_ORDER_ID),
        ({"orderId": None}, Mismatch.GATEWAY_ORDER_ID),
        ({"paymentRefId": _reference(order_id="INV8813")}, Mismatch.GATEWAY_REFERENCE),
        ({"merchantId": "680000000000002"}, Mismatch.GATEWAY_REFERENCE),
        ({"merchantId": None}, Mismatch.GATEWAY_REFERENCE),
        ({"issuerPaymentRefNo": None}, Mismatch.TRANSACTION_ID),
        ({"issuerPaymentRefNo": "two words"}, Mismatch.TRANSACTION_ID),
    ],
)
def test_all_ids_and_the_exact_amount_must_be_ours(changes: dict[str, Any], mismatch: Mismatch) -> None:
    seen = look(verified(**changes))
    assert seen.state is SnapshotState.REVIEW and mismatch in seen.mismatches


@pytest.mark.parametrize("text", ["100", "100.0", "100.00"])
def test_an_amount_is_compared_as_an_amount(text: str) -> None:
    assert look(verified(amount=text)).state is SnapshotState.PAID
    raw = verified().body.replace(b'"100.00"', text.encode())
    assert look(WireResponse(200, {}, raw)).state is SnapshotState.PAID


@pytest.mark.parametrize("text", ["1,00", "100.001", "1e2", "NaN", "\u09e7\u09e6\u09e6"])
def test_an_amount_that_cannot_be_read_exactly_is_no_success_and_no_silence(text: str) -> None:
    seen = look(verified(amount=text))
    assert (seen.state, seen.amount) == (SnapshotState.REVIEW, None) and Mismatch.AMOUNT in seen.mismatches
    assert look(verified("Ready", amount=text)).state is SnapshotState.INITIATED


@pytest.mark.parametrize("code", ["16_0006_055", "16_0006_058", "16_0006_017", "16_0006_999", "50_0026_851"])
def test_a_refused_look_up_ends_no_payment(code: str) -> None:
    error = Drive(refusal(code)).fails(protocol.look_up(api(), STATUS, NOW))
    assert not isinstance(error, DeclinedError) or not error.final


# ----------------------------------------------------------------------------------------------------- execute


@pytest.mark.parametrize(
    "reply",
    [refusal("16_0006_055"), refusal("77_7777_777"), answer({"message": "?"}, 502), answer(PAGE)],
)
def test_nobody_takes_the_error_of_a_look_up_for_word_of_the_payment(reply: WireResponse) -> None:
    error = Drive(reply).fails(protocol.look_up(api(), STATUS, NOW))
    assert "says nothing of the payment" in str(error) and "Do not send it again" not in str(error)


def test_a_status_that_nobody_documented_may_be_anything_and_is_shown_as_one_harmless_word() -> None:
    hostile = "Failed\x1b[2J\nERROR \u202e01712345678 PIN=12121"
    error = Drive(verified(hostile)).fails(protocol.execute(api(), EXECUTE, NOW))
    snapshot = Drive(verified(hostile)).run(protocol.look_up(api(), STATUS, NOW))
    for text in (str(error), repr(error), snapshot.raw_state):
        assert text.isprintable() or "\ufffd" in text
        assert not {"\x1b", "\n", "\u202e"} & set(text)
        assert "1712345678" not in text and "12121" not in text
    assert len(Drive(verified("x" * 9000)).run(protocol.look_up(api(), STATUS, NOW)).raw_state) <= 64


def test_execute_is_a_look_up() -> None:
    drive = Drive(verified())
    seen = drive.run(protocol.execute(api(), EXECUTE, NOW))
    assert (seen.state, seen.transaction_id) == (SnapshotState.PAID, TRX)
    assert [send.safety for send in drive.sends] == [Safety.READ]


def test_a_payer_who_is_not_done_declines_nothing() -> None:
    for status in ("Ready", "OtpSent", "PinGiven", "Aborted"):
        error = Drive(verified(status)).fails(protocol.execute(api(), EXECUTE, NOW))
        assert isinstance(error, DeclinedError) and not error.final
        assert error.reason.code is ReasonCode.PAYER_NOT_FINISHED


def test_what_nagad_does_not_know_nobody_calls_failed() -> None:
    for status in ("UnKnownFailed", "Settled"):
        error = Drive(verified(status)).fails(protocol.execute(api(), EXECUTE, NOW))
        assert isinstance(error, OutcomeUnknownError) and error.effect is Effect.UNKNOWN


def test_a_failed_payment_is_declined_for_good() -> None:
    error = Drive(verified("Failed")).fails(protocol.execute(api(), EXECUTE, NOW))
    assert isinstance(error, DeclinedError) and error.final and error.effect is Effect.REFUSED


# ---------------------------------------------------------------------------------------------------- envelopes


@pytest.mark.parametrize(
    "reply",
    [
        answer({"reason": "16_0006_058", "sensitiveData": "AAAA", "signature": "AAAA"}),
        answer({"reason": "16_0006_058"}, 500),
        answer({"reason": "16_0006_058"}, 302),
        answer({}),
        answer({"sensitiveData": "AAAA"}),
        answer(b"null"),
        answer(b""),
        answer(b"\xff\xfe"),
        answer(b'{"reason":"a","reason":"b"}'),
        answer({"sensitiveData": ["AAAA"], "signature": {"a": 1}}),
        answer({"sensitiveData": "AAAA", "signature": "AAAA"}, 404),
    ],
)
def test_what_can_be_read_in_two_ways_or_none_proves_nothing(reply: WireResponse) -> None:
    assert not isinstance(read(INITIALIZE, reply), Accepted)
    error = Drive(reply).fails(protocol.open_payment(api(), order()))
    assert isinstance(error, OutcomeUnknownError) and error.effect is Effect.NONE


def test_reading_never_raises() -> None:
    calls: tuple[Call[Any], ...] = (INITIALIZE, COMPLETE, VERIFY, REFUND)
    for call in calls:
        for body in (b"", b"[", b"{}", PAGE, b"\x00" * 100, b"[" * 100_000, b'{"status":{"a":[]}}'):
            for status in (100, 200, 204, 302, 404, 503):
                assert not isinstance(read(call, WireResponse(status, {}, body)), Accepted)
