"""The recurring platform's adapter over a script: subscriptions, what is collected, what is refused unsent."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tests.gateways.bkash.recurring.hand import (
    KEY,
    NOW,
    PAYMENT,
    REQUEST_ID,
    SUBSCRIPTION,
    TRX,
    Bench,
    answer,
    config,
    golden,
    payment,
    refused,
    subscription,
    terms,
)
from vextrus_payments.errors import (
    AuthenticationRejectedError,
    ConfigurationError,
    DeclinedError,
    Effect,
    GatewayError,
    InvalidRequestError,
    OutcomeUnknownError,
    UnreadableAnswerError,
    UnsupportedOperationError,
)
from vextrus_payments.events import HintVerdict
from vextrus_payments.gateways.bkash.recurring import BkashSubscription, Frequency, adapter
from vextrus_payments.gateways.bkash.recurring.errors import CODES, SAFETY, Operation, meaning_of
from vextrus_payments.gateways.bkash.recurring.models import PaymentStatus, read_time
from vextrus_payments.gateways.bkash.recurring.steps import state_of
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import AgreementRequest, ConsentRequest, PaymentRequest, StatusCall
from vextrus_payments.reasons import ReasonCode
from vextrus_payments.secret import Secret
from vextrus_payments.snapshots import AgreementState, Mismatch, SnapshotState
from vextrus_payments.testing.scripted import lost, not_sent
from vextrus_payments.wire import Safety

CALL = StatusCall(
    gateway_reference=PAYMENT, gateway_order_id=f"{REQUEST_ID}/{PAYMENT}", amount=Money("51.00")
)


def asked(**changes: Any) -> AgreementRequest:
    known: dict[str, Any] = {
        "payer_reference": "01800000005",
        "terms": terms().to_terms(),
        "request_id": REQUEST_ID,
    }
    return AgreementRequest(**{**known, **changes})


# --- subscriptions ----------------------------------------------------------------------------------------------------


async def test_a_page_to_consent_on() -> None:
    bench = Bench(golden("create"))
    session = await bench.gateway.create_agreement(asked())
    assert session.gateway_reference == REQUEST_ID
    assert session.checkout_url == "https://intent.recurring.pay.bka.sh/intent/web/intent/BTCCXTJF"
    assert session.expires_at == datetime(2026, 3, 1, 12, 10, 0, 801417, tzinfo=UTC)
    assert bench.sent == [("POST", "/api/subscription")]
    headers = bench.headers(0)
    assert headers["version"] == "v1.0" and headers["channelId"] == "2"
    assert headers["timeStamp"] == "2026-03-01T12:00:00.000000Z" and headers["x-api-key"] == KEY
    told = json.loads(bench.body(0), parse_float=str)
    assert told["subscriptionRequestId"] == REQUEST_ID and told["serviceId"] == 100001
    assert told["amount"] == "51.00" and told["firstPaymentAmount"] is None  # a number, with both its places
    assert (told["paymentType"], told["subscriptionType"], told["currency"]) == ("FIXED", "BASIC", "BDT")
    assert (told["startDate"], told["expiryDate"], told["frequency"]) == ("2026-03-01", "2026-03-31", "DAILY")
    assert told["payer"] == "01800000005" and told["payerType"] == "CUSTOMER"
    door = f"https://shop.example/payments/bkash_recurring/return?reference={REQUEST_ID}"
    assert told["redirectURL"] == told["redirectUrl"] == door
    assert KEY not in repr(bench.gateway) + repr(session)


async def test_every_call_tells_its_own_time() -> None:
    bench = Bench(subscription(), subscription())
    await bench.gateway.look_up_agreement(REQUEST_ID)
    bench.clock.advance(61)
    await bench.gateway.look_up_agreement(REQUEST_ID)
    assert [bench.headers(i)["timeStamp"][14:19] for i in (0, 1)] == ["00:00", "01:01"]


async def test_a_first_payment() -> None:
    bench = Bench(golden("create"))
    wanted = terms(first_payment_amount=Money("2.5"), max_cap_amount=Money("60"), reference="news")
    await bench.gateway.create_agreement(asked(terms=wanted.to_terms(), payer_reference="customer-7"))
    told = json.loads(bench.body(0), parse_float=str)
    assert (told["subscriptionType"], told["firstPaymentAmount"]) == ("WITH_PAYMENT", "2.50")
    assert (told["maxCapRequired"], told["maxCapAmount"]) == (True, "60.00")
    assert told["payer"] is None  # the shop's own name of a payer is no wallet
    assert told["subscriptionReference"] == "news"
    assert bench.gateway.agreed_amounts(wanted.to_terms()) == (Money("51.00"), Money("2.50"))


@pytest.mark.parametrize(
    ("script", "error", "code"),
    [
        (golden("error_2001"), DeclinedError, "2001"),
        (refused("2005"), AuthenticationRejectedError, "2005"),
        (refused("2004"), OutcomeUnknownError, "2004"),
        (refused("9876"), UnreadableAnswerError, "9876"),
        (refused("2004", 200), UnreadableAnswerError, "2004"),
        (answer(b"<html>", 502), UnreadableAnswerError, None),
        (answer({"subscriptionRequestId": REQUEST_ID}), UnreadableAnswerError, None),
        (
            answer({"subscriptionRequestId": "x", "redirectURL": "https://a.example"}),
            UnreadableAnswerError,
            None,
        ),
        (
            answer({"subscriptionRequestId": REQUEST_ID, "redirectURL": "javascript:1"}),
            UnreadableAnswerError,
            None,
        ),
        (lost(), GatewayError, None),
    ],
)
async def test_no_page(script: Any, error: type[GatewayError], code: str | None) -> None:
    bench = Bench(script)
    with pytest.raises(error) as raised:
        await bench.gateway.create_agreement(asked())
    assert raised.value.effect in (
        Effect.NONE,
        Effect.REFUSED,
    )  # a page that nobody got cannot be consented on
    assert code is None or raised.value.code == code
    assert len(bench.sent) == 1


async def test_what_is_refused_unsent() -> None:
    bench = Bench()
    request = ConsentRequest(
        operation_id="u-1/sub", gateway="bkash_recurring", payer_reference="u-1", params=terms()
    )
    assert bench.gateway.terms_of(request) == terms().to_terms()
    for changes in ({"start_date": date(2026, 2, 28)}, {"expiry_date": date(2026, 2, 1)}):
        with pytest.raises(InvalidRequestError):
            fresh = terms(**changes)
            bench.gateway.terms_of(
                ConsentRequest(operation_id="o", gateway="bkash_recurring", payer_reference="p", params=fresh)
            )
    with pytest.raises(InvalidRequestError, match="BkashSubscription"):
        bench.gateway.terms_of(
            ConsentRequest(operation_id="o", gateway="bkash_recurring", payer_reference="p")
        )
    bench.clock.advance(5.5 * 3600)  # 23:30 in Dhaka
    with pytest.raises(InvalidRequestError, match="23:30"):
        bench.gateway.terms_of(request)
    with pytest.raises(ConfigurationError, match="service id"):
        await Bench(service_id=None).gateway.create_agreement(asked())
    with pytest.raises(ConfigurationError, match="nowhere"):
        await Bench(callback_url=None).gateway.create_agreement(asked())
    for bad in ("a b", "", "x" * 65, "a/b"):
        with pytest.raises(InvalidRequestError):
            await bench.gateway.look_up_agreement(bad)
        with pytest.raises(InvalidRequestError):
            await bench.gateway.get_agreement_status(bad)
    for terms_of_another in ({}, {"amount_minor": 5100.0}, {"amount_minor": True}):
        with pytest.raises(InvalidRequestError):
            await bench.gateway.create_agreement(asked(terms=terms_of_another))
    with pytest.raises(UnsupportedOperationError, match="create_agreement"):
        await bench.gateway.initialize_payment(
            PaymentRequest(
                operation_id="o", gateway="bkash_recurring", amount=Money("5"), merchant_reference="INV-1"
            )
        )
    assert not bench.sent


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": Money("0.99")},
        {"amount": Money("5", "USD")},
        {"expiry_date": date(2026, 3, 1)},
        {"expiry_date": date(2028, 3, 2)},
        {"reference": ""},
        {"reference": "a\nb"},
        {"frequency": "HOURLY"},
        {"surprise": 1},
    ],
)
def test_terms_that_bkash_refuses(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        terms(**changes)
    assert raised.value.__context__ is None


def test_a_leap_day_has_two_years() -> None:
    assert terms(start_date=date(2028, 2, 29), expiry_date=date(2030, 3, 1)).type == "BASIC"


@pytest.mark.parametrize(
    ("shown", "state"),
    [
        (subscription(), AgreementState.ACTIVE),
        (subscription("INITIALIZED"), AgreementState.INITIATED),
        (subscription("VERIFIED"), AgreementState.INITIATED),
        (subscription("CANCELLED"), AgreementState.CANCELLED),
        (subscription("FAILED"), AgreementState.CANCELLED),
        (subscription("EXPIRED"), AgreementState.CANCELLED),
        (subscription(expired=True), AgreementState.CANCELLED),
        (subscription("A_WORD_OF_TOMORROW"), AgreementState.UNRECOGNIZED),
    ],
)
async def test_how_a_subscription_stands(shown: Any, state: AgreementState) -> None:
    bench = Bench(shown, shown)
    found = await bench.gateway.look_up_agreement(REQUEST_ID)
    assert found.state is state and found.agreement_id == SUBSCRIPTION
    assert found.payer_account == "01800000005" and "01800000005" not in repr(found)
    assert await bench.gateway.get_agreement_status(SUBSCRIPTION) == found
    assert bench.sent == [
        ("GET", f"/api/subscriptions/request-id/{REQUEST_ID}"),
        ("GET", f"/api/subscriptions/{SUBSCRIPTION}"),
    ]


async def test_an_answer_about_another_subscription_proves_nothing() -> None:
    for shown in (subscription(subscriptionRequestId="other"), subscription(id=106)):
        bench = Bench(shown, shown)
        problems = 0
        for ask in (bench.gateway.look_up_agreement(REQUEST_ID), bench.gateway.get_agreement_status("105")):
            try:
                await ask
            except UnreadableAnswerError:
                problems += 1
        assert problems == 1


async def test_consent_is_a_look() -> None:
    bench = Bench(subscription("INITIALIZED"), subscription("EXPIRED"), subscription(), subscription("?"))
    with pytest.raises(DeclinedError) as early:
        await bench.gateway.execute_agreement(REQUEST_ID)
    assert early.value.reason.code is ReasonCode.PAYER_NOT_FINISHED and not early.value.final
    with pytest.raises(DeclinedError) as over:
        await bench.gateway.execute_agreement(REQUEST_ID)
    assert over.value.reason.code is ReasonCode.PAYMENT_EXPIRED and over.value.final
    assert (await bench.gateway.execute_agreement(REQUEST_ID)).state is AgreementState.ACTIVE
    with pytest.raises(UnreadableAnswerError):
        await bench.gateway.execute_agreement(REQUEST_ID)
    assert {method for method, _ in bench.sent} == {"GET"}


async def test_an_end() -> None:
    bench = Bench(golden("cancelled"))
    ended = await bench.gateway.cancel_agreement(SUBSCRIPTION)
    assert ended.state is AgreementState.CANCELLED and ended.ended_by is ReasonCode.PAYMENT_CANCELLED
    assert bench.sent == [("DELETE", "/api/subscriptions/105?reason=Cancelled+by+the+merchant")]


@pytest.mark.parametrize(
    "first",
    [
        refused("2010"),
        answer({}),
        answer(b"<p>no</p>"),
        answer({"subscriptionId": 105, "subscriptionStatus": "X"}),
    ],
)
async def test_an_end_that_is_not_shown_is_looked_up(first: Any) -> None:
    bench = Bench(first, subscription("CANCELLED"))
    assert (await bench.gateway.cancel_agreement(SUBSCRIPTION)).state is AgreementState.CANCELLED
    bench = Bench(first, subscription())
    with pytest.raises(GatewayError):
        await bench.gateway.cancel_agreement(SUBSCRIPTION)
    bench = Bench(first, answer(b"<p>no</p>"))
    with pytest.raises(GatewayError) as raised:
        await bench.gateway.cancel_agreement(SUBSCRIPTION)
    assert raised.value.__context__ is None


async def test_lists_and_days() -> None:
    page = {"size": 2, "totalElements": 162, "totalPages": 81, "currentPage": 1}
    row = {"id": 1032, "subscriptionRequestId": "a-1", "amount": 30, "status": "INITIALIZED", "payer": None}
    days = {"count": 2, "dates": ["2026-03-01", "2026-04-01"]}
    rest = ({**page, "content": [row]}, {**page, "content": []})
    bench = Bench(
        answer({**page, "content": [row]}), answer(days), answer({"dates": ["soon"]}), *map(answer, rest)
    )
    listed = await bench.gateway.list_subscriptions(1, 2)
    assert (listed.total, listed.total_pages, listed.rows[0].amount) == (162, 81, Money("30"))
    shown = await bench.gateway.get_schedule(Frequency.CALENDAR_MONTH, date(2026, 3, 1), date(2026, 4, 1))
    assert shown == (date(2026, 3, 1), date(2026, 4, 1))
    with pytest.raises(UnreadableAnswerError):
        await bench.gateway.get_schedule(Frequency.DAILY, date(2026, 3, 1), date(2026, 4, 1))
    assert bench.sent[:2] == [
        ("GET", "/api/subscriptions/1/2"),
        (
            "GET",
            "/api/subscription/payment/schedule?frequency=CALENDAR_MONTH&startDate=2026-03-01&expiryDate=2026-04-01",
        ),
    ]
    with pytest.raises(InvalidRequestError):
        await bench.gateway.list_subscriptions(-1)
    assert [one.agreement_id for one in await bench.gateway.list_agreements(1)] == ["1032"]
    assert await bench.gateway.list_agreements(2) == ()
    assert bench.sent[-2:] == [("GET", "/api/subscriptions/1/100"), ("GET", "/api/subscriptions/2/100")]


# --- payments ---------------------------------------------------------------------------------------------------------


async def test_what_was_collected() -> None:
    bench = Bench(golden("payments"), answer([]), answer({"errorCode": "3004"}, 404))
    paid, failed = await bench.gateway.list_collections(SUBSCRIPTION)
    assert (paid.state, paid.gateway_reference, paid.amount) == (SnapshotState.PAID, "1931", Money("51.00"))
    assert (paid.transaction_id, paid.gateway_order_id) == (TRX, None)
    assert paid.occurred_at == datetime(2026, 3, 1, 12, 48, 22, 802920, tzinfo=UTC)
    assert failed.state is SnapshotState.DECLINED and failed.transaction_id is None
    assert await bench.gateway.list_collections(SUBSCRIPTION) == ()
    with pytest.raises(DeclinedError):
        await bench.gateway.list_collections(SUBSCRIPTION)


async def test_a_payment_of_another_subscription_is_left_out() -> None:
    rows = json.loads(golden("payments").body)
    rows[0]["subscriptionId"] = 999
    (left,) = await Bench(answer(rows)).gateway.list_collections(SUBSCRIPTION)
    assert left.gateway_reference == "1932"


async def test_a_payment_is_judged() -> None:
    bench = Bench(payment(), payment(amount=52), payment(subscriptionRequestId="other"), payment(id=7))
    assert (await bench.gateway.get_payment_status(CALL)).state is SnapshotState.PAID
    for mismatch in (Mismatch.AMOUNT, Mismatch.GATEWAY_ORDER_ID):
        shown = await bench.gateway.get_payment_status(CALL)
        assert shown.state is SnapshotState.REVIEW and mismatch in shown.mismatches
    shown = await bench.gateway.get_payment_status(CALL)
    assert Mismatch.GATEWAY_REFERENCE in shown.mismatches
    bench = Bench(payment(subscriptionRequestId=None), payment(amount="51,00"), payment(trxId=None))
    assert (
        await bench.gateway.get_payment_status(CALL)
    ).state is SnapshotState.PAID  # an older form of the answer
    assert (await bench.gateway.get_payment_status(CALL)).state is SnapshotState.REVIEW
    assert (await bench.gateway.get_payment_status(CALL)).state is SnapshotState.REVIEW


def test_every_status_has_a_meaning() -> None:
    assert {status: state_of(status.value) for status in PaymentStatus}[
        PaymentStatus.RE_SUCCEEDED_PAYMENT
    ] == "paid"
    assert state_of("SUCCEEDED") is state_of(None) is SnapshotState.UNRECOGNIZED


def test_a_time_without_a_zone_is_read_by_the_message_s_own() -> None:
    """The guide's published webhook (dossier §18) writes Dhaka's time, the sandbox's newer traces UTC."""
    guide = datetime(2021, 4, 19, 10, 8, 22, tzinfo=UTC)
    assert read_time("2021-04-19T16:08:22", near=guide) == guide
    trace = datetime(2026, 5, 17, 10, 51, 23, tzinfo=UTC)
    assert read_time("2026-05-17T10:51:22", near=trace) == trace - timedelta(seconds=1)
    assert read_time("2026-05-17T10:51:22") == trace - timedelta(seconds=1)
    assert read_time("yesterday") is read_time(None) is None


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("code", sorted(CODES))
def test_what_every_code_means_to_every_call(operation: Operation, code: str) -> None:
    meaning = meaning_of(operation, code)
    assert meaning is not None and meaning.advice_en
    if SAFETY[operation] is Safety.READ:
        assert not meaning.final or operation is Operation.SCHEDULE
    if operation is Operation.REFUND and issubclass(meaning.error, DeclinedError):
        assert code in {"1001", "1002", "1003", "3001", "3003"}


def test_the_names_are_not_tokenized_checkout_s() -> None:
    assert sorted(CODES)[0] == "1001" and sorted(CODES)[-1] == "3015"
    assert CODES["2004"].name == "SUBSCRIPTION_REQUEST_ID_USED"
    assert meaning_of(Operation.CREATE, "2062") is None


async def test_a_front_door_that_does_not_answer() -> None:
    bench = Bench(not_sent(), not_sent(), not_sent(), not_sent(), not_sent(), not_sent())
    with pytest.raises(GatewayError) as raised:
        await bench.gateway.get_payment_status(CALL)
    assert raised.value.effect is Effect.NONE


# --- coming back and settings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "verdict"),
    [
        ({"reference": REQUEST_ID}, HintVerdict.SUCCESS),
        ({"reference": REQUEST_ID, "status": "success"}, HintVerdict.SUCCESS),
        (
            {"reference": REQUEST_ID, "subscriptionRequestId": REQUEST_ID, "status": "FAILED"},
            HintVerdict.FAILURE,
        ),
        ({"reference": f"{REQUEST_ID}?status=cancelled"}, HintVerdict.CANCEL),
        ({"reference": REQUEST_ID, "status": "perhaps"}, HintVerdict.UNRECOGNIZED),
        ({"reference": [REQUEST_ID, REQUEST_ID]}, HintVerdict.SUCCESS),
    ],
)
def test_a_return_is_a_hint(params: Any, verdict: HintVerdict) -> None:
    hint = Bench().gateway.parse_return(params)
    assert (hint.gateway, hint.gateway_reference, hint.verdict) == ("bkash_recurring", REQUEST_ID, verdict)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"reference": "a b"},
        {"reference": REQUEST_ID, "subscriptionRequestId": "other"},
        {"reference": f"{REQUEST_ID}?subscriptionRequestId=other"},
        {"reference": 5},
    ],
)
def test_a_return_that_names_no_subscription(params: Any) -> None:
    with pytest.raises(InvalidRequestError):
        Bench().gateway.parse_return(params)


def test_settings() -> None:
    assert config(api_url=f"{config().api_url}/api/").api_url == config().api_url
    assert config(api_key=Secret(f"{KEY}, {KEY[::-1]}")).calling_key() == KEY
    assert len(config(api_key=Secret(f"{KEY},{KEY[::-1]}")).verifying_keys()) == 2
    live = "https://gateway.recurring.pay.bka.sh/gateway"
    assert config(api_url=live, mode=Mode.LIVE).mode is Mode.LIVE
    for changes in (
        {"api_url": live},
        {"api_url": "https://gateway.sbrecurring.pay.bka.sh/gateway", "mode": Mode.LIVE},
        {"api_url": "https://tokenized.sandbox.bka.sh/v1.2.0-beta"},
        {"api_key": Secret("brief!")},
        {"api_key": Secret("")},
        {"merchant_short_code": "a b"},
        {"service_id": 0},
        {"mode": Mode.LIVE, "api_url": live, "api_key": Secret("3EbBE-L30-PEDU-KjkhxpEop8SYsanOa")},
    ):
        with pytest.raises(ConfigurationError) as raised:
            config(**changes)
        assert "brief!" not in str(raised.value) and "3EbBE" not in str(raised.value)
    with pytest.raises(ConfigurationError):
        type(Bench().gateway)(object())  # type: ignore[arg-type]
    assert adapter.name == "bkash_recurring" and isinstance(terms(), BkashSubscription)
    assert NOW.tzinfo is UTC
