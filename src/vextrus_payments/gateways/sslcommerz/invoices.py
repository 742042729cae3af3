"""Invoices as sans-IO generators: a link that somebody may pay later (dossier §1.9; one third party's transcription).

An invoice is a session that is handed over by mail, text message or QR code. So its answer may get lost while the
payer gets his link: making one is ONCE, and what nobody can tell stays unknown. What its status calls paid is asked
for as any payment is: by its tran_id, and validated.
"""

from dataclasses import dataclass, field
from datetime import datetime

from vextrus_payments.gateways.endings import OVER
from vextrus_payments.gateways.readings import Unreadable
from vextrus_payments.gateways.sslcommerz import models as m
from vextrus_payments.gateways.sslcommerz import protocol
from vextrus_payments.gateways.sslcommerz.envelope import INVOICE, INVOICE_CANCEL, INVOICE_STATUS, error_of
from vextrus_payments.gateways.sslcommerz.forms import SessionForm
from vextrus_payments.gateways.sslcommerz.params import SslcommerzInvoice
from vextrus_payments.gateways.sslcommerz.steps import Api, Failed, ask, is_id, status_of
from vextrus_payments.money import Money
from vextrus_payments.payment import StatusCall
from vextrus_payments.snapshots import PaymentSnapshot, SnapshotState
from vextrus_payments.wire import WireCall, WireRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """An invoice of SSLCommerz's. Whoever has its link can pay it: not in repr."""

    invoice_id: str
    """SSLCommerz's."""
    gateway_order_id: str
    """Ours: its tran_id, and its `refer`."""
    gateway_reference: str
    """Ours, made at random: its `value_d`."""
    amount: Money
    pay_url: str | None = field(default=None, repr=False)
    qr_image_url: str | None = field(default=None, repr=False)
    bangla_qr_code: str | None = field(default=None, repr=False)
    email_status: str = ""
    sms_status: str = ""

    @property
    def call(self) -> StatusCall:
        """As a payment that can be looked up."""
        return StatusCall(
            gateway_reference=self.gateway_reference,
            gateway_order_id=self.gateway_order_id,
            amount=self.amount,
        )


def fields_of(form: SessionForm, how: SslcommerzInvoice) -> dict[str, str]:
    """The form of an invoice: a session's, and how it is handed over. Its `refer` is its tran_id."""
    more = {name: value for name, value in how.fields().items() if value is not None}
    return {**form.fields(), m.REFER: form.tran_id, **more}


def create(api: Api, fields: dict[str, str], amount: Money, reference: str) -> WireCall[Invoice]:
    """Make an invoice, once.

    Raises:
        DeclinedError, AuthenticationRejectedError: SSLCommerz refuses it.
        OutcomeUnknownError: nobody can tell.
    """
    order_id = fields[m.TRAN_ID]
    answer = yield from ask(
        api, INVOICE, api.post(m.PATH_INVOICE, fields), step="invoice", reference=order_id
    )
    if isinstance(answer, Failed):
        raise answer.error
    invoice_id = answer.invoice_id or ""
    why = ""
    if not is_id(invoice_id):
        why = "its id is none"
    elif answer.invoice_refer not in (None, "", order_id):
        why = "it is about another invoice"
    elif answer.pay_url and not protocol.is_page(answer.pay_url, api):
        why = "its link is no address of SSLCommerz's"
    if why:
        raise error_of(INVOICE, Unreadable(why, 200), step="invoice")
    return Invoice(
        invoice_id=invoice_id,
        gateway_order_id=order_id,
        gateway_reference=reference,
        amount=amount,
        pay_url=answer.pay_url or None,
        qr_image_url=_page_or_none(api, answer.qr_image_url) or _page_or_none(api, answer.qr_image_pay_url),
        bangla_qr_code=answer.bangla_qr_code or None,
        email_status=api.word(answer.email_sending_status),
        sms_status=api.word(answer.sms_sending_status),
    )


def look_up(api: Api, invoice: Invoice, now: datetime) -> WireCall[PaymentSnapshot]:
    """How it stands. Only reads.

    Raises:
        GatewayError: no usable answer; nothing is known more than before.
    """
    answer = yield from ask(
        api,
        INVOICE_STATUS,
        _action(api, invoice, m.ACTION_STATUS),
        step="invoice_status",
        reference=invoice.gateway_order_id,
    )
    if isinstance(answer, Failed):
        raise answer.error
    if not _is_about(answer, invoice):
        raise error_of(INVOICE_STATUS, Unreadable("it is about another invoice", 200), step="invoice_status")
    status = status_of(answer.payment_status)
    known = PaymentSnapshot(
        state=SnapshotState.CANCELLED if status is m.Status.CANCELLED else SnapshotState.INITIATED,
        gateway_reference=invoice.gateway_reference,
        raw_state=api.word(answer.payment_status),
        gateway_order_id=invoice.gateway_order_id,
    )
    if status is m.Status.PENDING:
        return known
    seen = yield from protocol.look_up(api, invoice.call, now)
    # Its payer may have been on the page when it was withdrawn: over is only what shows no money.
    nothing = seen.state is SnapshotState.INITIATED or seen.state in OVER
    return known if status is m.Status.CANCELLED and nothing else seen


def cancel(api: Api, invoice: Invoice) -> WireCall[None]:
    """Withdraw it.

    Raises:
        DeclinedError: SSLCommerz does not withdraw it.
        OutcomeUnknownError: nobody can tell; it may be withdrawn again.
    """
    answer = yield from ask(
        api,
        INVOICE_CANCEL,
        _action(api, invoice, m.ACTION_CANCEL),
        step="invoice_cancel",
        reference=invoice.gateway_order_id,
    )
    if isinstance(answer, Failed):
        raise answer.error
    if not _is_about(answer, invoice):
        raise error_of(INVOICE_CANCEL, Unreadable("it is about another invoice", 200), step="invoice_cancel")


def _action(api: Api, invoice: Invoice, action: str) -> WireRequest:
    fields = {
        **api.credentials(),
        m.REFER: invoice.gateway_order_id,
        m.INVOICE_ID: invoice.invoice_id,
        m.ACTION: action,
    }
    return api.post(m.PATH_INVOICE_ACTION, fields)


def _is_about(answer: m.InvoiceActionAnswer, invoice: Invoice) -> bool:
    """Whether nothing in it names another invoice; the documents' own example leaves its id blank."""
    return answer.refer in (None, "", invoice.gateway_order_id) and answer.invoice_id in (
        None,
        "",
        invoice.invoice_id,
    )


def _page_or_none(api: Api, url: str | None) -> str | None:
    return url if url and protocol.is_page(url, api) else None
