"""The gateway class over a scripted transport: what is refused unsent, what is required, what nobody may ask of it."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.gateways.nagad.hand import (
    MERCHANT,
    ORDER_ID,
    REFERENCE,
    TRX,
    completed,
    initialized,
    pair,
    private_text,
    public_text,
    their_seal,
    verified,
)
from vextrus_payments.capabilities import Completion, Feature, RefundCorrelation
from vextrus_payments.errors import (
    ConfigurationError,
    InvalidRequestError,
    OutcomeUnknownError,
    SignatureError,
    UnsupportedOperationError,
)
from vextrus_payments.events import Delivery, HintVerdict
from vextrus_payments.gateways.nagad import NagadCheckout, NagadConfig, NagadGateway, adapter
from vextrus_payments.gateways.nagad.errors import CODES, Operation
from vextrus_payments.gateways.nagad.models import ClientType
from vextrus_payments.gateways.registry import installed_gateways, load_adapter
from vextrus_payments.halfway import halfway
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence, Intent, PaymentRequest, RefundCall, StatusCall
from vextrus_payments.secret import Secret
from vextrus_payments.testing import FakeClock, FakeEntropy, FakeSleeper, ScriptedTransport
from vextrus_payments.testing.scripted import Line

REQUEST = PaymentRequest(
    operation_id="order-8812/pay", gateway="nagad", amount=Money("100.00"), merchant_reference="INV-8812"
)


def config(**changes: Any) -> NagadConfig:
    known: dict[str, Any] = {
        "merchant_id": MERCHANT,
        "public_key": public_text(pair("gateway").public_key()),
        "private_key": Secret(private_text(pair("merchant"))),
        "api_url": "http://127.0.0.1:28600",
        "callback_url": "https://shop.example/nagad/return",
    }
    return NagadConfig(**{**known, **changes})


class Bench:
    """A gateway over a script."""

    def __init__(self, *script: Any, **changes: Any) -> None:
        clock = FakeClock(datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC))
        self.transport = ScriptedTransport([Line(response=one) for one in script])
        self.gateway = NagadGateway(
            config(**changes),
            transport=self.transport,
            clock=clock,
            sleeper=FakeSleeper(clock),
            entropy=FakeEntropy(5),
        )
        self.evidence: list[Evidence] = []

    async def keep(self, evidence: Evidence) -> None:
        self.evidence.append(evidence)

    @property
    def sent(self) -> int:
        return len(self.transport.sends)

    def text(self, index: int) -> Any:
        body = json.loads(self.transport.sends[index].request.body)
        return json.loads(their_seal().open(body["sensitiveData"], body["signature"]))


async def test_a_session() -> None:
    bench = Bench(initialized(), completed())
    session = await bench.gateway.initialize_payment(REQUEST, on_checkpoint=bench.keep)
    assert (session.gateway_order_id, session.gateway_reference) == (ORDER_ID, REFERENCE)
    assert session.checkout_url is not None
    assert bench.evidence == [halfway(ORDER_ID, REFERENCE)]
    challenge = bench.text(0)["challenge"]
    assert len(challenge) == 40 and set(challenge) <= set("0123456789abcdef")


async def test_every_opening_has_a_challenge_of_its_own() -> None:
    bench = Bench(initialized(), completed(), initialized(), completed())
    for _ in range(2):
        await bench.gateway.initialize_payment(REQUEST, on_checkpoint=bench.keep)
    assert bench.text(0)["challenge"] != bench.text(2)["challenge"]


async def test_who_takes_no_checkpoint_opens_no_page() -> None:
    bench = Bench()
    with pytest.raises(ConfigurationError):
        await bench.gateway.initialize_payment(REQUEST)
    assert not bench.sent


async def test_resuming_looks_at_what_was_begun_and_opens_nothing() -> None:
    bench = Bench(verified("Ready", issuerPaymentRefNo=None), verified())
    resume = halfway(ORDER_ID, REFERENCE)
    with pytest.raises(OutcomeUnknownError):
        await bench.gateway.initialize_payment(REQUEST, resume=resume)
    session = await bench.gateway.initialize_payment(REQUEST, resume=resume)
    assert session.checkout_url is None  # paid already: nothing to visit
    assert [sent.request.method for sent in bench.transport.sends] == ["GET", "GET"]
    for other in (halfway("OTHER1", REFERENCE), Evidence("other"), halfway(ORDER_ID, "no/reference")):
        with pytest.raises(InvalidRequestError):
            await bench.gateway.initialize_payment(REQUEST, resume=other)


@pytest.mark.parametrize(
    "changes",
    [
        {"gateway_order_id": "INV-8812"},
        {"gateway_order_id": "INV1"},
        {"gateway_order_id": "A" * 21},
        {"callback_url": "https://shop.example/return?tenant=acme"},
        {"callback_url": "https://shop.example/return#x"},
        {"callback_url": "http://a"},
        {"callback_url": "https://shop.example/" + "x" * 250},
    ],
)
async def test_what_nagad_would_refuse_is_refused_unsent(changes: dict[str, Any]) -> None:
    bench = Bench()
    with pytest.raises(InvalidRequestError) as caught:
        await bench.gateway.initialize_payment(REQUEST, on_checkpoint=bench.keep, **changes)
    assert caught.value.field and caught.value.rule and not bench.sent


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": Money("1000000000000.00")},
        {"amount": Money("10.00", "USD")},
        {"intent": Intent.AUTHORIZATION},
        {"params": NagadCheckout(service_fee=Money("2.56"))},
    ],
)
async def test_a_request_that_does_not_fit_is_refused_unsent(changes: dict[str, Any]) -> None:
    bench = Bench()
    with pytest.raises(InvalidRequestError):
        await bench.gateway.initialize_payment(replace(REQUEST, **changes), on_checkpoint=bench.keep)
    assert not bench.sent


async def test_without_a_callback_url_nothing_is_opened() -> None:
    bench = Bench(callback_url=None)
    with pytest.raises(ConfigurationError, match="NAGAD_CALLBACK_URL"):
        await bench.gateway.initialize_payment(REQUEST, on_checkpoint=bench.keep)


async def test_the_payers_own_address_goes_along_where_it_is_ipv4() -> None:
    for given, told in (
        ("198.51.100.9", "198.51.100.9"),
        ("2001:db8::1", "203.0.113.5"),
        (None, "203.0.113.5"),
    ):
        bench = Bench(initialized(), completed(), client_address="203.0.113.5")
        await bench.gateway.initialize_payment(replace(REQUEST, client_ip=given), on_checkpoint=bench.keep)
        assert dict(bench.transport.sends[0].request.headers)["X-KM-IP-V4"] == told


async def test_the_fee_of_the_guide_alone_is_a_setting() -> None:
    bench = Bench(initialized(), completed(), sender_fee=True)
    params = NagadCheckout(service_fee=Money("2.56"), client_type=ClientType.BILL_KEY)
    await bench.gateway.initialize_payment(replace(REQUEST, params=params), on_checkpoint=bench.keep)
    headers = dict(bench.transport.sends[1].request.headers)
    assert (headers["X-KM-Api-Version"], headers["X-KM-Client-Type"]) == ("v-3.0.1", "BILL_KEY")
    assert bench.text(1)["otherAmount"] == {"serviceFee": "2.56"}


@pytest.mark.parametrize(
    "fields",
    [
        {"service_name": "x" * 26},
        {"service_name": "\x07"},
        {"field_value": ""},
        {"service_logo_url": "http://shop.example/logo.png"},
        {"service_logo_url": "javascript:alert(1)"},
        {"service_fee": Money("0")},
        {"unknown": "x"},
    ],
)
def test_parameters_are_checked_when_they_are_made(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        NagadCheckout(**fields)
    assert caught.value.__context__ is None


async def test_a_look_up_and_a_return() -> None:
    bench = Bench(verified())
    call = StatusCall(gateway_reference=REFERENCE, gateway_order_id=ORDER_ID, amount=Money("100.00"))
    assert (await bench.gateway.get_payment_status(call)).transaction_id == TRX
    hint = bench.gateway.parse_return({"payment_ref_id": REFERENCE, "status": "Success"})
    assert hint.verdict is HintVerdict.SUCCESS


@pytest.mark.parametrize(
    "changes",
    [
        {"reason": "x" * 200},
        {"reason": "\u09ab" * 40},
        {"reason": "a\nb"},
        {"reason": " "},
        {"amount": Money("1.00", "USD")},
        {"transaction_id": "two words"},
        {"gateway_reference": "../verify"},
    ],
)
async def test_a_refund_that_cannot_be_sealed_is_refused_unsent(changes: dict[str, Any]) -> None:
    known: dict[str, Any] = {
        "operation_id": "r1",
        "gateway_reference": REFERENCE,
        "transaction_id": TRX,
        "amount": Money("40.00"),
        "reason": "refund",
        "sku": "INV-8812",
    }
    bench = Bench()
    with pytest.raises(InvalidRequestError):
        await bench.gateway.refund_payment(RefundCall(**{**known, **changes}), on_checkpoint=bench.keep)
    assert not bench.sent


async def test_nagad_sends_no_webhooks_so_none_is_believed() -> None:
    bench = Bench()
    delivery = Delivery(
        method="POST", query="", headers={}, body=b'{"status":"Success"}', received_at=datetime.now(UTC)
    )
    with pytest.raises(SignatureError) as caught:
        await bench.gateway.handle_webhook(delivery)
    assert caught.value.code == "no_webhooks" and not bench.sent


async def test_what_it_cannot_do() -> None:
    can = Bench().gateway.capabilities
    assert can.completion is Completion.PAYER_COMPLETES
    assert can.refund_correlation is RefundCorrelation.NONE
    assert not can.can(Feature.REFUND_STATUS) and can.can(Feature.PARTIAL_REFUND)
    call = RefundCall(
        operation_id="r1",
        gateway_reference=REFERENCE,
        transaction_id=TRX,
        amount=Money("1.00"),
        reason="x",
        sku="x",
    )
    with pytest.raises(UnsupportedOperationError):
        await Bench().gateway.get_refund_status(call)


def test_every_code_has_a_meaning_on_every_call_and_no_other_has() -> None:
    gateway = Bench().gateway
    for operation in Operation:
        for code in CODES:
            meaning = gateway.map_error_code(operation, code)
            assert meaning.advice_en
            if operation is Operation.VERIFY:
                assert not meaning.final
        assert gateway.map_error_code(operation, "16_0006_777").error.__name__ == "UnreadableAnswerError"


def test_it_is_found_by_its_name() -> None:
    assert "nagad" in installed_gateways()
    assert load_adapter("nagad") is adapter
