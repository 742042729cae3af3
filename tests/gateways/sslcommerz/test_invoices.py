"""Invoices: made once, looked up as any payment is, withdrawn as often as one likes (dossier §1.9)."""

from typing import Any

import pytest

from tests.gateways.sslcommerz.hand import KEY, PASSWORD, STORE, answer, listed, row, validated
from tests.gateways.sslcommerz.test_gateway import REQUEST, Bench
from vextrus_payments.errors import (
    AuthenticationRejectedError,
    DeclinedError,
    Effect,
    OutcomeUnknownError,
    PaymentsError,
)
from vextrus_payments.gateways.sslcommerz import Invoice, SslcommerzInvoice
from vextrus_payments.snapshots import SnapshotState
from vextrus_payments.wire import Safety


def made(**changes: Any) -> Any:
    known = {
        "status": "success",
        "error_reason": "",
        "invoice_refer": "INV-8812",
        "pay_url": f"https://sandbox.sslcommerz.com/gwprocess/v4/pay.php?refer={KEY}",
        "qr_image_url": "https://sandbox.sslcommerz.com/qr/1.png",
        "invoice_id": "TEST-INV5F4A76D33255D",
        "email_sending_status": "NO",
        "sms_sending_status": "YES",
    }
    return answer({**known, **changes})


def stands(payment_status: str | None, **changes: Any) -> Any:
    known = {
        "APIConnect": "DONE",
        "status": "success",
        "failedreason": "",
        "refer": "INV-8812",
        "invoice_id": "",
        "payment_status": payment_status,
        "transaction": "",
    }
    return answer({**known, **changes})


async def test_an_invoice_is_a_session_that_is_handed_over() -> None:
    bench = Bench(made())
    invoice = await bench.gateway.create_invoice(REQUEST, SslcommerzInvoice(send_sms=True, account_no="C-7"))
    form = bench.form()
    assert bench.transport.sends[0].request.url.endswith("/gwprocess/v4/invoice.php")
    assert bench.transport.sends[0].safety is Safety.ONCE
    assert (form["refer"], form["tran_id"], form["acct_no"]) == ("INV-8812", "INV-8812", "C-7")
    assert (form["is_sent_email"], form["is_sent_sms"], form["is_bangla_qr_enabled"]) == ("no", "yes", "no")
    assert form["value_d"] == invoice.gateway_reference and form["total_amount"] == "1250.00"
    assert invoice.pay_url is not None and KEY not in repr(invoice) and invoice.sms_status == "YES"


@pytest.mark.parametrize(
    ("reply", "kind", "effect"),
    [
        (answer({"status": "failed", "error_reason": "Invalid refer"}), DeclinedError, Effect.REFUSED),
        (made(invoice_id=""), OutcomeUnknownError, Effect.UNKNOWN),
        (made(invoice_refer="INV-1"), OutcomeUnknownError, Effect.UNKNOWN),
        (made(pay_url="https://evil.example/pay"), OutcomeUnknownError, Effect.UNKNOWN),
        (answer(b"<html>"), OutcomeUnknownError, Effect.UNKNOWN),
        (answer({"status": "new"}), OutcomeUnknownError, Effect.UNKNOWN),
        (made(status="failed"), OutcomeUnknownError, Effect.UNKNOWN),
    ],
)
async def test_a_lost_answer_may_have_sent_the_payer_a_link(
    reply: Any, kind: type[PaymentsError], effect: Effect
) -> None:
    bench = Bench(reply)
    with pytest.raises(kind) as caught:
        await bench.gateway.create_invoice(REQUEST)
    assert caught.value.effect is effect and bench.sent == 1
    assert PASSWORD not in str(caught.value)


def invoice(bench: Bench) -> Invoice:
    return Invoice(
        invoice_id="TEST-INV5F4A76D33255D",
        gateway_order_id="INV-8812",
        gateway_reference="MFRGGZDFMZTWQ2LKNNWG23TPOA",
        amount=REQUEST.amount,
    )


async def test_paid_is_what_the_validation_shows_and_not_what_the_invoice_says() -> None:
    bench = Bench(stands("VALID"), listed(row()), validated(), stands("VALID"), listed())
    assert (await bench.gateway.get_invoice_status(invoice(bench))).state is SnapshotState.PAID
    assert (await bench.gateway.get_invoice_status(invoice(bench))).state is SnapshotState.INITIATED
    form = bench.form()
    assert bench.transport.sends[0].request.url.endswith("/validator/api/v4/")
    assert form == {
        "store_id": STORE,
        "store_passwd": PASSWORD,
        "refer": "INV-8812",
        "invoice_id": "TEST-INV5F4A76D33255D",
        "action": "invoicePaymentStatus",
    }


async def test_open_and_withdrawn_ones() -> None:
    bench = Bench(stands("PENDING"), stands("CANCELLED"), listed(), stands("FAILED"), listed())
    found = [(await bench.gateway.get_invoice_status(invoice(bench))).state for _ in range(3)]
    assert found == [SnapshotState.INITIATED, SnapshotState.CANCELLED, SnapshotState.INITIATED]


async def test_what_was_paid_while_it_was_withdrawn_is_paid() -> None:
    bench = Bench(stands("CANCELLED"), listed(row()), validated(), stands("CANCELLED"), answer(b"<html>"))
    assert (await bench.gateway.get_invoice_status(invoice(bench))).state is SnapshotState.PAID
    with pytest.raises(PaymentsError):
        await bench.gateway.get_invoice_status(invoice(bench))


@pytest.mark.parametrize(
    "reply",
    [
        stands("VALID", invoice_id="another"),
        stands("VALID", refer="another"),
        stands(None),
        answer(b"<html>"),
    ],
)
async def test_an_unusable_answer_says_nothing_of_the_money(reply: Any) -> None:
    with pytest.raises(OutcomeUnknownError) as caught:
        await Bench(reply).gateway.get_invoice_status(invoice(Bench()))
    assert caught.value.effect is Effect.NONE


async def test_withdrawing_may_be_repeated_and_a_no_is_a_no() -> None:
    bench = Bench(stands(None), stands(None, status="failed", failedreason="The invoice is paid"))
    await bench.gateway.cancel_invoice(invoice(bench))
    assert bench.transport.sends[0].safety is Safety.IDEMPOTENT
    assert bench.form()["action"] == "invoiceCancellation"
    with pytest.raises(DeclinedError):
        await bench.gateway.cancel_invoice(invoice(bench))
    with pytest.raises(AuthenticationRejectedError):
        await Bench(answer({"APIConnect": "FAILED"})).gateway.cancel_invoice(invoice(bench))
    with pytest.raises(OutcomeUnknownError):
        await Bench(stands(None, refer="another")).gateway.cancel_invoice(invoice(bench))
