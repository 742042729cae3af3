"""Session, query and validation by hand: what is paid, what is open, what proves nothing (dossier §1.2, §1.6, §1.7)."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest

from tests.gateways.nagad.hand import Drive
from tests.gateways.sslcommerz.hand import (
    BANK,
    CALL,
    KEY,
    NOW,
    PASSWORD,
    REFERENCE,
    STORE,
    TRAN_ID,
    VAL_ID,
    answer,
    api,
    listed,
    opened,
    query_of,
    row,
    unknown_tran_id,
    unpaid,
    validated,
)
from vextrus_payments.errors import (
    AnswerLostError,
    AuthenticationRejectedError,
    DeclinedError,
    Effect,
    OutcomeUnknownError,
    UnreadableAnswerError,
)
from vextrus_payments.gateways.sslcommerz import protocol
from vextrus_payments.gateways.sslcommerz.forms import SessionForm
from vextrus_payments.gateways.sslcommerz.manners import SESSION_LIFE
from vextrus_payments.methods import MethodKind
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import ExecuteCall
from vextrus_payments.reasons import ReasonCode
from vextrus_payments.snapshots import Mismatch, PaymentSnapshot, SnapshotState
from vextrus_payments.wire import Safety

FORM = SessionForm(
    store_id=STORE,
    store_passwd=PASSWORD,
    total_amount="1250.00",
    currency="BDT",
    tran_id=TRAN_ID,
    success_url="https://shop.example/r?a=success",
    fail_url="https://shop.example/r?a=fail",
    cancel_url="https://shop.example/r?a=cancel",
    product_name="ঢাকা & more",
    product_category="General",
    product_profile="general",
    cus_name="A",
    cus_email="a@example.com",
    cus_add1="x",
    cus_city="Dhaka",
    cus_postcode="1000",
    cus_country="Bangladesh",
    cus_phone="01700000000",
    shipping_method="NO",
    num_of_item="1",
    value_d=REFERENCE,
)
EXECUTE = ExecuteCall(
    gateway_reference=CALL.gateway_reference, gateway_order_id=CALL.gateway_order_id, amount=CALL.amount
)


def look(*script: Any, call: Any = CALL, now: Any = NOW) -> PaymentSnapshot:
    found: PaymentSnapshot = Drive(*script).run(protocol.look_up(api(), call, now))
    return found


# --- opening --------------------------------------------------------------------------------------------------------


def test_a_session_is_one_urlencoded_form_and_disposable() -> None:
    drive = Drive(opened())
    page = drive.run(protocol.open_session(api(), FORM))
    assert page.checkout_url.endswith(KEY.lower()) and page.session_key == KEY
    send = drive.sends[0]
    assert send.safety is Safety.DISPOSABLE
    assert (send.request.method, send.request.url) == ("POST", "http://127.0.0.1:28700/gwprocess/v4/api.php")
    assert dict(send.request.headers)["Content-Type"] == "application/x-www-form-urlencoded"
    sent = dict(parse_qsl(send.request.body.decode("ascii"), keep_blank_values=True))
    assert sent == FORM.fields() and sent["store_passwd"] == PASSWORD and sent["product_name"] == "ঢাকা & more"
    assert PASSWORD not in repr(send) + repr(FORM) + repr(api())


@pytest.mark.parametrize(
    "body",
    [
        {"status": "FAILED", "failedreason": "Store Credential Error Or Store is De-active"},
        {
            "status": "FAILED",
            "failedreason": "Store Credential Error Or Store is De-active",
            "GatewayPageURL": "",
        },
    ],
)
def test_wrong_credentials_and_an_inactive_store_are_our_settings(body: dict[str, str]) -> None:
    error = Drive(answer(body)).fails(protocol.open_session(api(), FORM))
    assert isinstance(error, AuthenticationRejectedError) and error.effect is Effect.REFUSED
    assert "goes inactive" in str(error)


def test_what_it_refuses_is_refused_for_good_in_its_own_words_without_a_secret() -> None:
    words = f"Invalid Information store_passwd={PASSWORD}"
    error = Drive(answer({"status": "FAILED", "failedreason": words})).fails(
        protocol.open_session(api(), FORM)
    )
    assert (
        isinstance(error, DeclinedError) and error.final and error.reason.code is ReasonCode.INVALID_REQUEST
    )
    assert "Invalid Information" in str(error.context["own_words"]) and PASSWORD not in str(error.context)


@pytest.mark.parametrize(
    "reply",
    [
        answer(b"<html>maintenance</html>"),
        answer(b"<html>bad gateway</html>", 502),
        answer({"status": "SUCCESS", "sessionkey": KEY}),
        answer({"status": "MAYBE", "GatewayPageURL": "https://sandbox.sslcommerz.com/x"}),
        answer({"status": "SUCCESS", "GatewayPageURL": ["https://sandbox.sslcommerz.com/x"]}),
        answer(b""),
        answer(b'{"status": "SUCCESS", "status": "FAILED"}'),
        opened(GatewayPageURL="https://sslcommerz.com.evil.example/x"),
        opened(GatewayPageURL="https://evil.example/sslcommerz.com"),
        opened(GatewayPageURL="http://sandbox.sslcommerz.com/x"),
        opened(GatewayPageURL="javascript:alert(1)"),
        opened(GatewayPageURL="https://securepay.sslcommerz.com/gwprocess/v4/gw.php"),
        opened(GatewayPageURL='https://sandbox.sslcommerz.com/"><script>'),
        opened(GatewayPageURL="https://user@sandbox.sslcommerz.com/x"),
    ],
)
def test_without_a_page_of_its_own_a_session_is_lost_and_harmless(reply: Any) -> None:
    error = Drive(reply).fails(protocol.open_session(api(), FORM))
    assert isinstance(error, OutcomeUnknownError) and error.effect is Effect.NONE


@pytest.mark.parametrize(
    ("url", "mode"),
    [
        ("https://sandbox.sslcommerz.com/EasyCheckOut/testcdef650", Mode.SANDBOX),
        ("https://sandbox.sslcommerz.com/gwprocess/v4/gw.php?Q=PAY&SESSIONKEY=F650", Mode.SANDBOX),
        ("https://epay-gw.sslcommerz.com/F650", Mode.LIVE),
        ("https://securepay.sslcommerz.com/gwprocess/v4/gw.php?Q=PAY&SESSIONKEY=F650", Mode.LIVE),
    ],
)
def test_every_form_of_page_that_was_seen_is_taken(url: str, mode: Mode) -> None:
    root = "https://sandbox.sslcommerz.com" if mode is Mode.SANDBOX else "https://securepay.sslcommerz.com"
    assert protocol.is_page(url, api(mode, root))
    assert not protocol.is_page("http://127.0.0.1:28700/x", api(Mode.LIVE, root))


# --- paid -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["VALID", "VALIDATED"])
def test_paid_is_what_the_validation_calls_valid_the_first_and_every_later_time(status: str) -> None:
    drive = Drive(listed(row(status)), validated(status))
    seen = drive.run(protocol.look_up(api(), CALL, NOW))
    assert seen.state is SnapshotState.PAID and seen.raw_state == status
    assert (seen.gateway_reference, seen.gateway_order_id) == (REFERENCE, TRAN_ID)
    assert seen.transaction_id == BANK and seen.amount == Money("1250.00") and seen.fee == Money("31.25")
    assert seen.occurred_at.isoformat() == "2026-11-23T04:15:00+00:00"
    assert seen.method is not None and (seen.method.kind, seen.method.name) == (MethodKind.WALLET, "bkash")
    assert not seen.on_hold and seen.also_paid == ()
    assert drive.steps == ["query", "validate"]
    assert {send.safety for send in drive.sends} == {Safety.READ}
    common = {"store_id": STORE, "store_passwd": PASSWORD, "v": "1", "format": "json"}
    assert query_of(drive.sends[0]) == {"tran_id": TRAN_ID, **common}
    assert query_of(drive.sends[1]) == {"val_id": VAL_ID, **common}
    assert drive.sends[1].request.url.startswith(
        "http://127.0.0.1:28700/validator/api/validationserverAPI.php?"
    )


def test_the_query_alone_pays_nothing() -> None:
    """What the list calls VALID and the validation does not is open (§1.6)."""
    for status in ("INVALID_TRANSACTION", "FAILED", "PENDING", "SOMETHING"):
        seen = look(listed(row()), validated(status))
        assert seen.state is SnapshotState.UNRECOGNIZED and seen.transaction_id is None
    error = Drive(listed(row(val_id=""))).fails(protocol.look_up(api(), CALL, NOW))
    assert isinstance(error, UnreadableAnswerError) and error.effect is Effect.NONE
    lost = AnswerLostError("gone")
    assert Drive(listed(row()), lost).fails(protocol.look_up(api(), CALL, NOW)) is lost


@pytest.mark.parametrize(
    ("changes", "mismatch"),
    [
        ({"amount": "1249.99", "currency_amount": "1249.99"}, Mismatch.AMOUNT),
        ({"amount": "1249.01"}, Mismatch.AMOUNT),
        ({"amount": "1,250.00"}, Mismatch.AMOUNT),
        ({"amount": None}, Mismatch.AMOUNT),
        ({"amount": "1250.001"}, Mismatch.AMOUNT),
        ({"currency": "USD"}, Mismatch.CURRENCY),
        ({"currency_type": "USD", "currency_amount": "10.00"}, Mismatch.CURRENCY),
        ({"tran_id": "INV-8813"}, Mismatch.GATEWAY_ORDER_ID),
        ({"value_d": "MFRGGZDFMZTWQ2LKNNWG23TPOB"}, Mismatch.GATEWAY_REFERENCE),
        ({"value_d": ""}, Mismatch.GATEWAY_REFERENCE),
        ({"value_d": None}, Mismatch.GATEWAY_REFERENCE),
        ({"bank_tran_id": ""}, Mismatch.TRANSACTION_ID),
        ({"bank_tran_id": "a b"}, Mismatch.TRANSACTION_ID),
        ({"store_id": "another"}, Mismatch.GATEWAY_REFERENCE),
    ],
)
def test_money_that_is_not_as_asked_is_no_plain_success(changes: dict[str, Any], mismatch: Mismatch) -> None:
    seen = look(listed(row()), validated(**changes))
    assert seen.state is SnapshotState.REVIEW and mismatch in seen.mismatches
    assert seen.reported is SnapshotState.PAID


@pytest.mark.parametrize(
    "changes", [{"amount": "1250"}, {"amount": "1250.0"}, {"amount": 1250}, {"amount": "1250.0000"}]
)
def test_amounts_are_compared_as_numbers(changes: dict[str, Any]) -> None:
    assert look(listed(row(**changes)), validated(**changes)).state is SnapshotState.PAID


def test_a_json_number_is_read_as_the_text_it_is_written_as() -> None:
    raw = validated().body.replace(b'"1250.00"', b"1250.00").replace(b'"1218.75"', b"1218.75")
    seen = look(listed(row()), answer(raw))
    assert seen.state is SnapshotState.PAID and seen.fee == Money("31.25")


@pytest.mark.parametrize(
    ("store_amount", "fee"),
    [("1218.75", "31.25"), ("97.5", "1152.50"), ("1250", "0.00"), ("", None), ("1250.01", None), ("x", None)],
)
def test_the_fee_is_what_the_store_does_not_get(store_amount: str, fee: str | None) -> None:
    seen = look(listed(row()), validated(store_amount=store_amount))
    assert seen.state is SnapshotState.PAID and seen.fee == (None if fee is None else Money(fee))


@pytest.mark.parametrize(
    ("risk", "held"), [("0", False), ("1", True), (1, True), ("", False), (None, False), ("2", True)]
)
def test_risky_money_is_paid_and_on_hold(risk: Any, held: bool) -> None:
    seen = look(listed(row()), validated(risk_level=risk))
    assert seen.state is SnapshotState.PAID and seen.on_hold is held


def test_another_currency_is_judged_by_what_was_asked_and_booked_as_that() -> None:
    call = replace(CALL, amount=Money("10.50", "USD"))
    converted = {
        "amount": "1279.95", "currency": "BDT", "currency_type": "USD", "currency_amount": "10.50",
        "currency_rate": "121.9000", "store_amount": "1247.95",
    }  # fmt: skip
    seen = look(listed(row(**converted)), validated(**converted), call=call)
    assert seen.state is SnapshotState.PAID and seen.amount == Money("10.50", "USD") and seen.fee is None
    for wrong in ({"currency_amount": "10.49"}, {"currency_type": "BDT"}, {"currency_type": ""}):
        body = {**converted, **wrong}
        assert look(listed(row(**body)), validated(**body), call=call).state is SnapshotState.REVIEW


@pytest.mark.parametrize(
    ("shown", "kept"),
    [
        ("418117XXXXXX6675", "418117XXXXXX6675"),
        ("450850******4050", "450850******4050"),
        ("4181170000006675", None),
        ("41811700000X6675", None),
        ("", None),
        ("XX", None),
    ],
)
def test_a_card_is_kept_with_its_middle_hidden_or_not_at_all(shown: str, kept: str | None) -> None:
    seen = look(listed(row()), validated(card_no=shown))
    assert seen.payer_account == kept and "6675" not in repr(seen)


def test_the_element_of_a_list_may_be_an_object_and_its_number_a_text() -> None:
    assert look(listed(no_of_trans_found="1", element=row()), validated()).state is SnapshotState.PAID


# --- several attempts -------------------------------------------------------------------------------------------------


def test_a_failed_try_beside_a_paid_one_undoes_nothing() -> None:
    for rows in ((unpaid("FAILED"), row()), (row(), unpaid("FAILED")), (unpaid("CANCELLED"), row())):
        drive = Drive(listed(*rows), validated())
        assert drive.run(protocol.look_up(api(), CALL, NOW)).state is SnapshotState.PAID
        assert drive.steps == ["query", "validate"]


def test_two_paid_attempts_are_money_that_came_twice() -> None:
    second = {
        "val_id": "261123101600second",
        "bank_tran_id": "261123101600bank",
        "tran_date": "2026-11-23 10:16:00",
    }
    for rows in ((row(), row(**second)), (row(**second), row())):
        answers = [validated(**({} if one["val_id"] == VAL_ID else second)) for one in rows]
        seen = look(listed(*rows), *answers)
        assert seen.state is SnapshotState.PAID and seen.transaction_id == BANK
        assert [one.transaction_id for one in seen.also_paid] == ["261123101600bank"]
        assert {one.state for one in seen.also_paid} == {SnapshotState.PAID}


def test_one_payment_that_is_listed_twice_is_one() -> None:
    drive = Drive(listed(row(), row("VALIDATED")), validated())
    assert drive.run(protocol.look_up(api(), CALL, NOW)).also_paid == ()
    assert drive.steps == ["query", "validate"]


def test_one_as_asked_is_the_payment_though_a_stray_one_came_before_it() -> None:
    stray = {
        "val_id": "stray",
        "bank_tran_id": "straybank",
        "amount": "1.00",
        "tran_date": "2026-11-23 09:00:00",
    }
    seen = look(listed(row(**stray), row()), validated(**stray), validated())
    assert seen.state is SnapshotState.PAID and seen.transaction_id == BANK
    assert [one.state for one in seen.also_paid] == [SnapshotState.REVIEW]


def test_another_sessions_money_under_the_same_tran_id_is_not_ours() -> None:
    """A second shop on the same store, or the same one before its records were lost."""
    for value_d in ("note", "MFRGGZDFMZTWQ2LKNNWG23TPOB"):
        seen = look(listed(row(value_d=value_d)))
        assert seen.state is SnapshotState.INITIATED and seen.transaction_id is None


def test_a_row_that_does_not_say_whose_it_is_is_asked_about() -> None:
    bare = {key: value for key, value in row().items() if key != "value_d"}
    for silent in (bare, row(value_d=""), row(value_d=None)):
        assert look(listed(silent), validated()).state is SnapshotState.PAID
        assert look(listed(silent), validated(value_d="note")).state is SnapshotState.INITIATED
        # It may be ours, not repeated: never lost, never called paid, and a person looks.
        assert look(listed(silent), validated(value_d="")).state is SnapshotState.REVIEW


def test_a_payment_of_ours_stays_one_beside_anothers_under_the_same_tran_id() -> None:
    silent = row(value_d="", val_id="theirs", bank_tran_id="their-bank", tran_date="2026-11-23 09:00:00")
    theirs = validated(value_d="note", val_id="theirs", bank_tran_id="their-bank")
    for rows, answers in (((silent, row()), (theirs, validated())), ((row(), silent), (validated(), theirs))):
        seen = look(listed(*rows), *answers)
        assert seen.state is SnapshotState.PAID and seen.transaction_id == BANK and seen.also_paid == ()


def test_a_row_and_its_validation_that_contradict_each_other_are_for_a_person() -> None:
    assert look(listed(row()), validated(value_d="note")).state is SnapshotState.REVIEW


def test_a_validation_of_another_payment_proves_nothing() -> None:
    error = Drive(listed(row()), validated(val_id="another")).fails(protocol.look_up(api(), CALL, NOW))
    assert isinstance(error, UnreadableAnswerError) and error.effect is Effect.NONE


def test_more_paid_attempts_than_anybody_makes_are_not_asked_for_one_by_one() -> None:
    rows = [row(val_id=f"v{number}") for number in range(11)]
    assert isinstance(Drive(listed(*rows)).fails(protocol.look_up(api(), CALL, NOW)), UnreadableAnswerError)


# --- not paid ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("PENDING", SnapshotState.INITIATED),
        ("PROCESSING", SnapshotState.INITIATED),
        ("FAILED", SnapshotState.INITIATED),
        ("CANCELLED", SnapshotState.CANCELLED),
        ("EXPIRED", SnapshotState.EXPIRED),
        ("UNATTEMPTED", SnapshotState.EXPIRED),
        ("INVALID_TRANSACTION", SnapshotState.UNRECOGNIZED),
        ("valid", SnapshotState.UNRECOGNIZED),
        ("PAID", SnapshotState.UNRECOGNIZED),
        ("", SnapshotState.UNRECOGNIZED),
        (None, SnapshotState.UNRECOGNIZED),
    ],
)
def test_every_status_without_money(status: Any, state: SnapshotState) -> None:
    seen = look(listed(unpaid(status)))
    assert seen.state is state and seen.transaction_id is None and seen.amount is None


def test_nobody_has_tried_yet_and_a_tran_id_that_it_does_not_know_are_open() -> None:
    assert look(unknown_tran_id()).state is SnapshotState.INITIATED
    assert look(listed()).state is SnapshotState.INITIATED


def test_a_failed_try_is_final_only_once_its_page_is_over() -> None:
    failed = unpaid("FAILED", tran_date="2026-11-23 10:15:00")
    tried_at = NOW - timedelta(minutes=5)
    assert look(listed(failed), now=tried_at + SESSION_LIFE).state is SnapshotState.INITIATED
    after = tried_at + SESSION_LIFE + timedelta(seconds=1)
    assert look(listed(failed), now=after).state is SnapshotState.DECLINED
    for unclear in ("0000-00-00 00:00:00", "", None, "soon"):
        old = unpaid("FAILED", tran_date=unclear)
        assert look(listed(old), now=after).state is SnapshotState.INITIATED


def test_of_several_tries_the_one_that_may_still_be_paid_says_how_it_stands() -> None:
    failed, left, gone, going = (unpaid(s) for s in ("FAILED", "CANCELLED", "EXPIRED", "PROCESSING"))
    assert look(listed(failed, left, going)).state is SnapshotState.INITIATED
    assert look(listed(failed, left)).raw_state == "CANCELLED"
    assert look(listed(gone, failed)).state is SnapshotState.EXPIRED
    assert look(listed(failed, unpaid("NEW"))).state is SnapshotState.UNRECOGNIZED


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (answer({"APIConnect": "FAILED"}), AuthenticationRejectedError),
        (answer({"APIConnect": "INACTIVE"}), AuthenticationRejectedError),
        (answer({"APIConnect": "INVALID_REQUEST"}), DeclinedError),
        (answer({"APIConnect": "BUSY", "no_of_trans_found": 0, "element": []}), UnreadableAnswerError),
        (answer({"no_of_trans_found": 1, "element": [row()]}), UnreadableAnswerError),
        (answer({"APIConnect": "DONE"}), UnreadableAnswerError),
        (answer(b"<html>"), UnreadableAnswerError),
        (answer(listed(row()).body, 502), UnreadableAnswerError),
        (answer(b"[]"), UnreadableAnswerError),
    ],
)
def test_a_look_up_that_brings_nothing_says_nothing_of_the_payment(reply: Any, kind: type[Exception]) -> None:
    error = Drive(reply).fails(protocol.look_up(api(), CALL, NOW))
    assert isinstance(error, kind) and error.effect is not Effect.UNKNOWN
    assert not getattr(error, "final", False) and PASSWORD not in str(error)


# --- execute, and the query by session ------------------------------------------------------------------------------


def test_execute_only_looks_and_raises_what_is_not_money() -> None:
    drive = Drive(listed(row()), validated())
    assert drive.run(protocol.execute(api(), EXECUTE, NOW)).state is SnapshotState.PAID
    assert {send.safety for send in drive.sends} == {Safety.READ}
    for status, final, code in (
        ("PROCESSING", False, ReasonCode.PAYER_NOT_FINISHED),
        ("FAILED", False, ReasonCode.PAYER_NOT_FINISHED),
        ("CANCELLED", True, ReasonCode.PAYMENT_CANCELLED),
        ("EXPIRED", True, ReasonCode.PAYMENT_EXPIRED),
    ):
        error = Drive(listed(unpaid(status))).fails(protocol.execute(api(), EXECUTE, NOW))
        assert isinstance(error, DeclinedError)
        assert (error.final, error.reason.code, error.code) == (final, code, status)
    unclear = Drive(listed(unpaid("NEW"))).fails(protocol.execute(api(), EXECUTE, NOW))
    assert isinstance(unclear, OutcomeUnknownError) and unclear.effect is Effect.UNKNOWN
    again = Drive(listed(unpaid("CANCELLED"))).fails(protocol.execute(api(), EXECUTE, NOW, resuming=True))
    assert isinstance(again, OutcomeUnknownError)
    none = Drive(listed()).fails(protocol.execute(api(), EXECUTE, NOW))
    assert none.code == "no_attempt"


def test_a_session_can_be_looked_up_by_sslcommerzs_own_key() -> None:
    flat = answer({**row("VALIDATED"), "APIConnect": "DONE", "sessionkey": KEY})
    drive = Drive(flat, validated())
    assert drive.run(protocol.look_up_session(api(), CALL, KEY)).state is SnapshotState.PAID
    assert query_of(drive.sends[0])["sessionkey"] == KEY
    pending = answer({**unpaid("PENDING"), "APIConnect": "DONE", "sessionkey": KEY})
    assert Drive(pending).run(protocol.look_up_session(api(), CALL, KEY)).state is SnapshotState.INITIATED
    others = answer({**unpaid("CANCELLED", tran_id="INV-1"), "APIConnect": "DONE", "sessionkey": KEY})
    assert Drive(others).run(protocol.look_up_session(api(), CALL, KEY)).state is SnapshotState.UNRECOGNIZED
    refused = Drive(answer({"APIConnect": "INVALID_REQUEST"})).fails(
        protocol.look_up_session(api(), CALL, KEY)
    )
    assert isinstance(refused, DeclinedError) and not refused.final
