"""The gateway class over a scripted transport: what is sent, what is refused unsent, what nobody may ask of it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from tests.gateways.sslcommerz.hand import (
    BANK,
    CALL,
    KEY,
    NOW,
    PASSWORD,
    REFUND_REF,
    STORE,
    accepted,
    listed,
    opened,
    refund_call,
    refund_is,
    row,
    unpaid,
    validated,
)
from vextrus_payments.capabilities import Absence, Completion, Feature, IdempotencyScope, RefundCorrelation
from vextrus_payments.errors import (
    ConfigurationError,
    DeclinedError,
    InvalidRequestError,
    OutcomeUnknownError,
    UnsupportedOperationError,
)
from vextrus_payments.events import HintVerdict
from vextrus_payments.gateways.nagad import NagadCheckout
from vextrus_payments.gateways.sslcommerz import (
    Address,
    AirlineTickets,
    CartLine,
    Channel,
    Emi,
    ProductProfile,
    Shipping,
    ShippingMethod,
    SslcommerzCheckout,
    SslcommerzConfig,
    SslcommerzGateway,
    TelecomVertical,
    TravelVertical,
    adapter,
)
from vextrus_payments.gateways.sslcommerz.errors import Code, Operation
from vextrus_payments.gateways.sslcommerz.forms import SessionForm
from vextrus_payments.money import Money
from vextrus_payments.payment import Customer, Evidence, ExecuteCall, Intent, PaymentRequest
from vextrus_payments.secret import Secret
from vextrus_payments.snapshots import RefundState, SnapshotState
from vextrus_payments.testing import FakeClock, FakeEntropy, FakeSleeper, ScriptedTransport
from vextrus_payments.testing.scripted import Line
from vextrus_payments.wire import Safety

REQUEST = PaymentRequest(
    operation_id="order-8812/pay",
    gateway="sslcommerz",
    amount=Money("1250.00"),
    merchant_reference="INV-8812",
)
DOOR = "https://shop.example/payments/sslcommerz/return"
ADDRESS = Address(line1="House 7, Road 3", city="Sylhet", postcode="3100")


def config(**changes: Any) -> SslcommerzConfig:
    known: dict[str, Any] = {
        "store_id": STORE,
        "store_password": Secret(PASSWORD),
        "api_url": "http://127.0.0.1:28700",
        "callback_url": "https://shop.example/back",
    }
    return SslcommerzConfig(**{**known, **changes})


class Bench:
    """A gateway over a script."""

    def __init__(self, *script: Any, **changes: Any) -> None:
        self.clock = FakeClock(NOW)
        self.transport = ScriptedTransport([Line(response=one) for one in script])
        self.gateway = SslcommerzGateway(
            config(**changes),
            transport=self.transport,
            clock=self.clock,
            sleeper=FakeSleeper(self.clock),
            entropy=FakeEntropy(5),
        )

    @property
    def sent(self) -> int:
        return len(self.transport.sends)

    def form(self, index: int = 0) -> dict[str, str]:
        body = self.transport.sends[index].request.body
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True))


async def open_with(
    request: PaymentRequest = REQUEST, door: str | None = DOOR, **changes: Any
) -> dict[str, str]:
    bench = Bench(opened(), **changes)
    await bench.gateway.initialize_payment(request, callback_url=door)
    return bench.form()


async def test_a_session_with_nothing_said_beside_the_payment() -> None:
    bench = Bench(opened())
    session = await bench.gateway.initialize_payment(REQUEST, callback_url=DOOR)
    assert session.gateway_order_id == "INV-8812" and session.checkout_url is not None
    assert session.expires_at == NOW + timedelta(hours=24)
    form, reference = bench.form(), session.gateway_reference
    assert form == {
        "store_id": STORE,
        "store_passwd": PASSWORD,
        "total_amount": "1250.00",
        "currency": "BDT",
        "tran_id": "INV-8812",
        "success_url": f"{DOOR}?vextrus_came=success&vextrus_ref={reference}",
        "fail_url": f"{DOOR}?vextrus_came=fail&vextrus_ref={reference}",
        "cancel_url": f"{DOOR}?vextrus_came=cancel&vextrus_ref={reference}",
        "ipn_url": "https://shop.example/payments/sslcommerz/webhook",
        "product_name": "INV-8812",
        "product_category": "General",
        "product_profile": "general",
        "cus_name": "Customer",
        "cus_email": "nobody@example.com",
        "cus_add1": "Not given",
        "cus_city": "Dhaka",
        "cus_postcode": "1000",
        "cus_country": "Bangladesh",
        "cus_phone": "00000000000",
        "shipping_method": "NO",
        "num_of_item": "1",
        "value_d": reference,
    }
    assert PASSWORD not in repr(session) + repr(bench.gateway) + repr(bench.transport.sends)


async def test_every_session_has_a_reference_of_its_own_that_the_return_names() -> None:
    bench = Bench(opened(), opened())
    first = await bench.gateway.initialize_payment(REQUEST)
    second = await bench.gateway.initialize_payment(REQUEST, submission_no=2)
    assert first.gateway_reference != second.gateway_reference
    assert second.gateway_order_id == "INV-8812-2"
    query = dict(parse_qsl(urlsplit(bench.form()["success_url"]).query))
    hint = bench.gateway.parse_return({**query, "status": "VALID", "store_id": STORE})
    assert (hint.gateway_reference, hint.verdict) == (first.gateway_reference, HintVerdict.SUCCESS)


async def test_everything_that_can_be_said_travels_under_sslcommerzs_names() -> None:
    params = SslcommerzCheckout(
        product_name="শাড়ি",
        product_category="Clothes",
        profile=ProductProfile.PHYSICAL_GOODS,
        number_of_items=2,
        name="Rahima Begum",
        email="rahima@example.com",
        phone="01711111111",
        fax="0212345",
        address=ADDRESS,
        shipping=Shipping(
            method=ShippingMethod.YES, name="Karim", address=ADDRESS, area="Zindabazar", sub_city="x"
        ),
        cart=(
            CartLine(
                product="Sari", amount=Money("1000.00"), unit_price=Money("500.00"), quantity=2, sku="S-1"
            ),
            CartLine(product="Box", amount=Money("250.00")),
        ),
        product_amount=Money("1200.00"),
        vat=Money("50.00"),
        discount_amount=Money("10.00"),
        convenience_fee=Money("10.00"),
        channels=(Channel.MASTER, Channel.VISA, Channel.ROCKET),
        allowed_bins=("371598", "37159812"),
        emi=Emi(max_instalments=9, selected_instalments=3, only=True),
        value_a="note 1",
        value_b="ঢাকা",
        value_c="c",
    )
    form = await open_with(replace(REQUEST, params=params))
    said = {
        "product_name": "শাড়ি",
        "product_category": "Clothes",
        "product_profile": "physical-goods",
        "num_of_item": "2",
        "cus_name": "Rahima Begum",
        "cus_email": "rahima@example.com",
        "cus_phone": "01711111111",
        "cus_fax": "0212345",
        "cus_add1": "House 7, Road 3",
        "cus_city": "Sylhet",
        "shipping_method": "YES",
        "ship_name": "Karim",
        "ship_add1": "House 7, Road 3",
        "ship_area": "Zindabazar",
        "ship_sub_city": "x",
        "ship_city": "Sylhet",
        "ship_postcode": "3100",
        "ship_country": "Bangladesh",
        "cart": '[{"sku":"S-1","product":"Sari","quantity":"2","amount":"1000.00","unit_price":"500.00"},'
        '{"product":"Box","quantity":"1","amount":"250.00"}]',
        "product_amount": "1200.00",
        "vat": "50.00",
        "discount_amount": "10.00",
        "convenience_fee": "10.00",
        "multi_card_name": "mastercard,visacard,dbblmobilebanking",
        "allowed_bin": "371598,37159812",
        "emi_option": "1",
        "emi_max_inst_option": "9",
        "emi_selected_inst": "3",
        "emi_allow_only": "1",
        "value_a": "note 1",
        "value_b": "ঢাকা",
        "value_c": "c",
    }
    assert {name: form.get(name) for name in said} == said
    assert form["value_d"] not in ("", "c")


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        (
            AirlineTickets(
                hours_till_departure="12 hrs", flight_type="Oneway", pnr="Q3", journey_from_to="DAC-CGP"
            ),
            {
                "product_profile": "airline-tickets",
                "hours_till_departure": "12 hrs",
                "flight_type": "Oneway",
                "pnr": "Q3",
                "journey_from_to": "DAC-CGP",
                "third_party_booking": "No",
            },
        ),
        (
            TravelVertical(
                hotel_name="Sarina", length_of_stay="2 days", check_in_time="24:00", hotel_city="Dhaka"
            ),
            {
                "product_profile": "travel-vertical",
                "hotel_name": "Sarina",
                "length_of_stay": "2 days",
                "check_in_time": "24:00",
                "hotel_city": "Dhaka",
            },
        ),
        (
            TelecomVertical(product_type="Prepaid", topup_number="01700000000,01800000000"),
            {
                "product_profile": "telecom-vertical",
                "product_type": "Prepaid",
                "topup_number": "01700000000,01800000000",
                "country_topup": "Bangladesh",
            },
        ),
    ],
)
async def test_profiles_bring_their_own_fields(profile: Any, said: dict[str, str]) -> None:
    form = await open_with(replace(REQUEST, params=SslcommerzCheckout(profile=profile)))
    assert {name: form.get(name) for name in said} == said


async def test_the_unified_customer_fills_in_what_nobody_said_and_is_cut_to_the_room() -> None:
    customer = Customer(name="ক" * 80, email="x" * 60 + "@example.com", msisdn="01711111111")
    form = await open_with(replace(REQUEST, customer=customer))
    assert form["cus_name"] == "ক" * 50 and form["cus_phone"] == "01711111111"
    assert form["cus_email"] == "nobody@example.com"
    odd = await open_with(replace(REQUEST, customer=Customer(name="a\nb", email="", msisdn="1" * 21)))
    assert (odd["cus_name"], odd["cus_phone"]) == ("Customer", "00000000000")


@pytest.mark.parametrize(
    ("door", "settings", "ipn"),
    [
        (DOOR, {}, "https://shop.example/payments/sslcommerz/webhook"),
        (
            "https://s.example/p/t/acme/sslcommerz/return/",
            {},
            "https://s.example/p/t/acme/sslcommerz/webhook",
        ),
        (DOOR, {"ipn_url": "https://shop.example/ipn"}, "https://shop.example/ipn"),
        ("https://shop.example/my/own", {}, None),
        ("https://shop.example/p/sslcommerz/return?x=1", {}, None),
        (None, {}, None),
        (None, {"callback_url": DOOR}, None),
        (None, {"ipn_url": "https://shop.example/ipn"}, "https://shop.example/ipn"),
    ],
)
async def test_the_ipn_goes_to_the_webhook_door_beside_our_return_door(
    door: str | None, settings: dict[str, Any], ipn: str | None
) -> None:
    assert (await open_with(door=door, **settings)).get("ipn_url") == ipn


async def test_a_door_with_a_query_of_its_own_keeps_it() -> None:
    form = await open_with(door="https://shop.example/back?lang=bn")
    assert parse_qs(urlsplit(form["fail_url"]).query)["lang"] == ["bn"]


@pytest.mark.parametrize(
    "changes",
    [
        {"gateway_order_id": "INV 8812"},
        {"gateway_order_id": "INV&8812"},
        {"gateway_order_id": "INV=8812"},
        {"gateway_order_id": "A" * 31},
        {"callback_url": "https://shop.example/return#x"},
        {"callback_url": "https://shop.example/" + "x" * 200},
        {"callback_url": "ftp://shop.example/"},
    ],
)
async def test_what_sslcommerz_would_refuse_is_refused_unsent(changes: dict[str, Any]) -> None:
    bench = Bench()
    with pytest.raises(InvalidRequestError) as caught:
        await bench.gateway.initialize_payment(REQUEST, **changes)
    assert caught.value.field and caught.value.rule and not bench.sent
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": Money("9.99")},
        {"amount": Money("500000.01")},
        {"amount": Money("10.00", "JPY")},
        {"intent": Intent.AUTHORIZATION},
        {"params": NagadCheckout()},
        {"params": SslcommerzCheckout(vat=Money("1.00", "USD"))},
        {"merchant_reference": "x" * 10, "gateway": "nagad"},
    ],
)
async def test_a_request_that_does_not_fit_is_refused_unsent(changes: dict[str, Any]) -> None:
    bench = Bench()
    with pytest.raises(InvalidRequestError):
        await bench.gateway.initialize_payment(replace(REQUEST, **changes))
    assert not bench.sent


async def test_limits_in_taka_say_nothing_of_dollars() -> None:
    assert (await open_with(replace(REQUEST, amount=Money("1.00", "USD"))))["currency"] == "USD"


async def test_without_a_callback_url_nothing_is_opened() -> None:
    bench = Bench(callback_url=None)
    with pytest.raises(ConfigurationError, match="SSLCOMMERZ_CALLBACK_URL"):
        await bench.gateway.initialize_payment(REQUEST)
    assert not bench.sent


async def test_in_live_mode_the_browser_comes_back_by_https_alone() -> None:
    bench = Bench(mode="live", api_url="https://securepay.sslcommerz.com", store_password=Secret("another"))
    with pytest.raises(InvalidRequestError):
        await bench.gateway.initialize_payment(REQUEST, callback_url="http://shop.example/back")


@pytest.mark.parametrize(
    "fields",
    [
        {"product_name": "x" * 256},
        {"product_name": ""},
        {"product_name": " "},
        {"product_category": "x" * 51},
        {"profile": "airline-tickets"},
        {"profile": "fruit"},
        {"number_of_items": 0},
        {"number_of_items": "2"},
        {"email": "nobody"},
        {"email": "a b@example.com"},
        {"phone": "0" * 21},
        {"vat": Money("0")},
        {"vat": "1.00"},
        {"channels": ("paypal",)},
        {"allowed_bins": ("12345",)},
        {"allowed_bins": tuple("371598" for _ in range(31))},
        {"value_a": "note&tran_id=ORDER-B"},
        {"value_b": "a=b"},
        {"value_c": "x" * 256},
        {"value_c": "a\nb"},
        {"value_d": "mine"},
        {"unknown": "x"},
    ],
)
def test_parameters_are_checked_when_they_are_made(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        SslcommerzCheckout(**fields)
    error = caught.value
    assert error.field and error.rule and error.__context__ is None
    assert "ORDER-B" not in str(error)


@pytest.mark.parametrize(
    ("part", "fields"),
    [
        (Address, {"line1": "x" * 51}),
        (Address, {"line1": "x", "postcode": ""}),
        (Shipping, {"method": ShippingMethod.YES, "name": "A"}),
        (Shipping, {"method": ShippingMethod.LOGISTIC, "name": "A", "address": ADDRESS}),
        (Emi, {"max_instalments": 4}),
        (Emi, {"max_instalments": 3, "selected_instalments": 6}),
        (Emi, {"max_instalments": 0}),
        (CartLine, {"product": "x", "amount": Money("0")}),
        (CartLine, {"product": "x", "amount": Money("1"), "quantity": 1.5}),
        (AirlineTickets, {"hours_till_departure": "1"}),
        (TelecomVertical, {"product_type": "x", "topup_number": "1" * 151}),
        (TravelVertical, {"hotel_name": "x"}),
    ],
)
def test_so_are_their_parts(part: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        part(**fields)
    assert caught.value.__context__ is None


def test_nobodys_name_is_in_a_repr() -> None:
    params = SslcommerzCheckout(
        name="Rahima", email="rahima@example.com", phone="01711111111", address=ADDRESS
    )
    shown = repr(params)
    assert not any(secret in shown for secret in ("Rahima", "rahima@", "0171", "House 7", "Sylhet"))


def test_every_field_of_the_form_can_be_said() -> None:
    """What `SessionForm` has and nothing here fills would be a field of the dossier's that nobody can use."""
    whole = SslcommerzCheckout(
        shipping=Shipping(
            method=ShippingMethod.LOGISTIC,
            name="A",
            address=ADDRESS,
            weight="1",
            pickup_id="p",
            delivery_type="d",
        ),
    )
    sayable = set(whole.fields()) | set(Emi().fields())
    for profile in (AirlineTickets, TravelVertical, TelecomVertical):
        sayable |= set(profile.model_fields)
    sayable |= {"product_amount", "vat", "discount_amount", "convenience_fee"}
    of_the_payment = {
        "store_id", "store_passwd", "total_amount", "currency", "tran_id", "success_url", "fail_url", "cancel_url",
        "ipn_url", "product_name", "value_d", "cus_name", "cus_email", "cus_phone", "cus_add1", "cus_add2", "cus_city",
        "cus_state", "cus_postcode", "cus_country",
    }  # fmt: skip
    assert set(SessionForm.model_fields) == sayable | of_the_payment


# --- look-ups and refunds ---------------------------------------------------------------------------------------------


async def test_a_look_up_an_execute_and_one_by_the_session() -> None:
    bench = Bench(listed(row()), validated(), listed(row()), validated(), listed(unpaid("FAILED")))
    assert (await bench.gateway.get_payment_status(CALL)).transaction_id == BANK
    call = ExecuteCall(
        gateway_reference=CALL.gateway_reference, gateway_order_id=CALL.gateway_order_id, amount=CALL.amount
    )
    assert (await bench.gateway.execute_payment(call)).state is SnapshotState.PAID
    with pytest.raises(DeclinedError) as caught:
        await bench.gateway.execute_payment(call)
    assert not caught.value.final and caught.value.gateway == "sslcommerz"
    assert {one.safety for one in bench.transport.sends} == {Safety.READ}


async def test_a_session_key_is_checked_and_not_shown() -> None:
    bench = Bench(validated(sessionkey=KEY), validated())
    assert (await bench.gateway.get_session_status(CALL, KEY)).state is SnapshotState.PAID
    with pytest.raises(InvalidRequestError) as caught:
        await bench.gateway.get_session_status(CALL, "../" + KEY)
    assert KEY not in str(caught.value) and bench.sent == 2


async def test_a_page_is_not_over_because_somebody_set_the_clock_forward() -> None:
    bench = Bench(listed(unpaid("FAILED")), listed(unpaid("FAILED")))
    bench.clock.step_wall(timedelta(days=3).total_seconds())
    assert (await bench.gateway.get_payment_status(CALL)).state is SnapshotState.INITIATED
    bench.clock.advance(timedelta(days=3).total_seconds())
    assert (await bench.gateway.get_payment_status(CALL)).state is SnapshotState.DECLINED


async def test_a_refund_is_sent_once_and_asked_for_by_what_it_was_accepted_as() -> None:
    bench = Bench(accepted(), refund_is("refunded"))
    begun = await bench.gateway.refund_payment(refund_call())
    assert begun.state is RefundState.PENDING
    assert await bench.gateway.look_up_refund(refund_call(), resume=None) is None
    assert bench.sent == 1 and bench.transport.sends[0].safety is Safety.ONCE
    call = refund_call(accepted_as=begun.transaction_id)
    found = await bench.gateway.look_up_refund(call, resume=None)
    assert found is not None and (found.state, found.transaction_id) == (RefundState.COMPLETED, REFUND_REF)


async def test_resuming_sends_no_second_refund() -> None:
    bench = Bench(refund_is("processing"))
    with pytest.raises(OutcomeUnknownError):
        await bench.gateway.refund_payment(refund_call(), resume=Evidence("any"))
    assert not bench.sent
    call = refund_call(accepted_as=REFUND_REF)
    assert (await bench.gateway.refund_payment(call, resume=Evidence("any"))).state is RefundState.PENDING
    assert bench.transport.sends[0].safety is Safety.READ


@pytest.mark.parametrize(
    "changes",
    [
        {"reason": "x" * 256},
        {"reason": "a\nb"},
        {"reason": " "},
        {"amount": Money("1.00", "USD")},
        {"transaction_id": "two words"},
        {"transaction_id": "x" * 81},
        {"gateway_reference": "../x"},
    ],
)
async def test_a_refund_that_cannot_be_sent_is_refused_unsent(changes: dict[str, Any]) -> None:
    bench = Bench()
    with pytest.raises(InvalidRequestError):
        await bench.gateway.refund_payment(refund_call(**changes))
    assert not bench.sent


@pytest.mark.parametrize("changes", [{"gateway_reference": ""}, {"gateway_order_id": "a&b"}])
async def test_a_look_up_of_nothing_of_ours_is_refused_unsent(changes: dict[str, Any]) -> None:
    bench = Bench()
    with pytest.raises(InvalidRequestError):
        await bench.gateway.get_payment_status(replace(CALL, **changes))
    assert not bench.sent


async def test_what_it_can_and_cannot_do() -> None:
    can = Bench().gateway.capabilities
    assert can.completion is Completion.PAYER_COMPLETES and can.absence is Absence.NEVER
    assert can.refund_correlation is RefundCorrelation.OWN_ID and can.idempotency is IdempotencyScope.NONE
    assert can.features == {Feature.REFUND, Feature.PARTIAL_REFUND}
    assert can.order_id.make("INV/8812&x=1", 3) == "INV8812x1-3"
    with pytest.raises(UnsupportedOperationError):
        await Bench().gateway.get_refund_status(refund_call())


def test_every_word_has_a_meaning_on_every_call_and_no_other_has() -> None:
    gateway = Bench().gateway
    for operation in Operation:
        for code in Code:
            meaning = gateway.map_error_code(operation, code)
            assert meaning.advice_en
            if operation.startswith(("query", "validate", "refund_query", "invoice_status")):
                assert not meaning.final
        assert gateway.map_error_code(operation, "OTHER").error.__name__ == "UnreadableAnswerError"
    assert gateway.map_error_code("execute", Code.FAILED).error.__name__ == "UnreadableAnswerError"


def test_another_gateways_settings_are_refused() -> None:
    from tests.gateways.nagad.test_gateway import config as nagad_config

    with pytest.raises(ConfigurationError):
        SslcommerzGateway(nagad_config())  # type: ignore[arg-type]
    assert adapter.name == "sslcommerz" and adapter.registering is not None
