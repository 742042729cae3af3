"""gateways/base.py: what every gateway checks, opens, closes and refuses, whatever the adapter."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.toy import PASSWORD, ToyConfig, ToyGateway, ToyServer, a_request
from vextrus_payments.capabilities import Capabilities
from vextrus_payments.errors import (
    AmountError,
    CurrencyNotSupportedError,
    InvalidRequestError,
    PaymentsError,
    SignatureError,
    UnsupportedOperationError,
)
from vextrus_payments.events import Delivery
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.observe import NullObserver
from vextrus_payments.payment import AgreementRequest, Evidence, Intent, RefundCall


class Bare(ToyGateway):
    """A toy that can do nothing optional."""

    @property
    def capabilities(self) -> Capabilities:
        from dataclasses import replace

        return replace(super().capabilities, features=frozenset())

    capture_payment = PaymentGateway.capture_payment
    void_payment = PaymentGateway.void_payment
    look_up_refund = PaymentGateway.look_up_refund


@pytest.fixture
def toy() -> ToyGateway:
    return ToyGateway(ToyConfig(), transport=ToyServer())


def test_the_base_itself_is_no_gateway() -> None:
    with pytest.raises(TypeError, match="abstract"):
        PaymentGateway(ToyConfig())  # type: ignore[abstract]


def test_it_says_who_it_is_and_nothing_secret(toy: ToyGateway) -> None:
    assert repr(toy) == "<ToyGateway toy, sandbox, tenant default>"
    assert toy.mode is Mode.SANDBOX


@pytest.mark.parametrize(
    ("amount", "error", "field"),
    [
        (Money("0.99", "BDT"), AmountError, "amount"),
        (Money("100000.01", "BDT"), AmountError, "amount"),
        (Money("10", "USD"), CurrencyNotSupportedError, "amount"),
    ],
)
def test_amounts_outside_the_gateways_limits_are_refused_before_anything_is_sent(
    toy: ToyGateway, amount: Money, error: type[InvalidRequestError], field: str
) -> None:
    from dataclasses import replace

    with pytest.raises(error) as caught:
        toy.check_payment_request(replace(a_request(), amount=amount))
    assert caught.value.field == field
    assert caught.value.rule


def test_the_limits_themselves_are_allowed(toy: ToyGateway) -> None:
    toy.check_amount(Money("1", "BDT"))
    toy.check_amount(Money("100000", "BDT"))
    with pytest.raises(AmountError):
        toy.check_amount(100)  # type: ignore[arg-type]


def test_a_request_for_another_gateway_is_refused(toy: ToyGateway) -> None:
    from dataclasses import replace

    with pytest.raises(InvalidRequestError) as caught:
        toy.check_payment_request(replace(a_request(), gateway="nagad"))
    assert caught.value.field == "gateway"


def test_an_order_id_is_made_or_checked(toy: ToyGateway) -> None:
    assert toy.check_payment_request(a_request("INV-8812")) == "INV-8812"
    assert toy.check_payment_request(a_request("INV-8812"), submission_no=2) == "INV-8812-2"
    assert toy.check_payment_request(a_request(), gateway_order_id="MINE-7") == "MINE-7"
    for bad in ("", "a b", "x" * 31, "a<b"):
        with pytest.raises(InvalidRequestError) as caught:
            toy.check_payment_request(a_request(), gateway_order_id=bad)
        assert caught.value.field == "gateway_order_id"


def test_a_hold_needs_a_gateway_that_can_capture(toy: ToyGateway) -> None:
    toy.check_payment_request(a_request(intent=Intent.AUTHORIZATION))
    with pytest.raises(UnsupportedOperationError):
        Bare(ToyConfig()).check_payment_request(a_request(intent=Intent.AUTHORIZATION))


REFUND = RefundCall(
    operation_id="r", gateway_reference="g", transaction_id="t", amount=Money("1"), reason="r", sku="s"
)


@pytest.mark.parametrize(
    ("verb", "args", "more"),
    [
        ("capture_payment", (None,), {}),
        ("void_payment", (None,), {}),
        ("search_transaction", ("TRX",), {}),
        ("get_refund_status", (REFUND,), {}),
        ("look_up_refund", (REFUND,), {"resume": Evidence("x")}),
        ("create_agreement", (AgreementRequest(payer_reference="x"),), {}),
        ("execute_agreement", ("x",), {}),
        ("get_agreement_status", ("x",), {}),
        ("cancel_agreement", ("x",), {}),
    ],
)
async def test_a_verb_the_gateway_has_not_is_refused_by_name(
    verb: str, args: tuple[Any, ...], more: dict[str, Any]
) -> None:
    gateway = Bare(ToyConfig(), transport=ToyServer())
    with pytest.raises(UnsupportedOperationError, match=verb) as caught:
        await getattr(gateway, verb)(*args, **more)
    assert caught.value.gateway == "toy"


@pytest.mark.parametrize("headers", [{}, {"x-toy": "signed"}])
async def test_webhooks_are_refused_until_an_adapter_reads_them(
    toy: ToyGateway, headers: dict[str, str]
) -> None:
    delivery = Delivery(
        method="POST", query="", headers=headers, body=b"{}", received_at=datetime(2026, 1, 1, tzinfo=UTC)
    )
    with pytest.raises(SignatureError):
        await toy.handle_webhook(delivery)


async def test_what_was_passed_in_stays_open() -> None:
    server = ToyServer()
    async with ToyGateway(ToyConfig(), transport=server) as gateway:
        await gateway.initialize_payment(a_request())
    assert not server.closed


async def test_what_it_opened_it_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    import vextrus_payments.transport as transports

    opened: list[ToyServer] = []

    def shared(**_: object) -> ToyServer:
        opened.append(ToyServer())
        return opened[-1]

    monkeypatch.setattr(transports, "shared_transport", shared, raising=False)
    gateway = ToyGateway(ToyConfig())
    assert opened == []
    async with gateway:
        await gateway.initialize_payment(a_request())
    await gateway.aclose()
    assert [server.closed for server in opened] == [True]


async def test_a_return_is_only_read(toy: ToyGateway) -> None:
    assert toy.parse_return({"ref": "R"}).gateway_reference == "R"
    with pytest.raises(PaymentsError):
        toy.parse_return({})


async def test_every_attempt_is_logged_redacted_unless_told_otherwise(
    toy: ToyGateway, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="vextrus_payments"):
        await toy.initialize_payment(a_request())
    assert [record.getMessage().split()[0] for record in caplog.records] == ["gateway.exchange"] * 2
    assert PASSWORD not in caplog.text
    assert "token-" not in caplog.text
    caplog.clear()
    with caplog.at_level("INFO", logger="vextrus_payments"):
        await ToyGateway(ToyConfig(), transport=ToyServer(), observer=NullObserver()).initialize_payment(
            a_request()
        )
    assert not caplog.records
