"""Invoices: a link that the merchant hands to somebody, who may pay it (dossier §1.9)."""

from collections.abc import Mapping
from typing import Any, Final

from vextrus_payments.gateways.sslcommerz import models as m
from vextrus_payments_sandbox.sslcommerz.asking import Asked
from vextrus_payments_sandbox.sslcommerz.records import Invoice, Merchant, Refusal, Session
from vextrus_payments_sandbox.sslcommerz.rules import SslcommerzRules
from vextrus_payments_sandbox.sslcommerz.telling import state_of
from vextrus_payments_sandbox.sslcommerz.writing import transaction

PATH_PAY: Final = "/gwprocess/v4/pay.php"
"""``?refer=INVOICE_ID`` leads to the page."""
_HEX: Final = "0123456789ABCDEF"
_ID_LENGTH: Final = 14
_STATUSES: Final = {
    m.Status.PROCESSING: m.Status.PENDING,
    m.Status.UNATTEMPTED: m.Status.CANCELLED,
    m.Status.EXPIRED: m.Status.CANCELLED,
}
"""An invoice knows fewer words than a session."""


class Invoices:
    """Every invoice of the sandbox's SSLCommerz."""

    def __init__(self, rules: SslcommerzRules) -> None:
        self._rules = rules
        self.invoices: dict[str, Invoice] = {}

    def reset(self) -> None:
        """Forget everything."""
        self.invoices.clear()

    def make(self, merchant: Merchant, wanted: Asked, refer: str) -> Invoice:
        """A new invoice and the session that pays it. Raises :class:`Refusal`."""
        if not refer:
            raise Refusal("refer is missing")
        session = self._rules.open_session(merchant, wanted)
        invoice = Invoice(f"INV{self._rules.world.text(_HEX, _ID_LENGTH)}", refer, session.key)
        session.invoice = invoice.invoice_id
        self.invoices[invoice.invoice_id] = invoice
        return invoice

    def find(self, merchant: Merchant, refer: str, invoice_id: str) -> Invoice | None:
        """A store's own invoice; both names have to be right."""
        invoice = self.invoices.get(invoice_id)
        if invoice is None or invoice.refer != refer or self.session_of(invoice).merchant != merchant:
            return None
        return invoice

    def session_of(self, invoice: Invoice) -> Session:
        """The session that pays it."""
        return self._rules.sessions[invoice.session]

    def cancel(self, invoice: Invoice) -> bool:
        """Withdraw it; false where it was paid, or is over already."""
        session = self.session_of(invoice)
        if not self._rules.page_open(session):
            return False
        invoice.cancelled = True
        self._rules.end(session, m.Status.CANCELLED)
        return True


def made(invoice: Invoice, base_url: str, asked: Mapping[str, str]) -> dict[str, Any]:
    """The answer to an invoice that was made. No mail and no message goes out."""
    pay_url = f"{base_url}{PATH_PAY}?refer={invoice.invoice_id}"
    wants_qr = asked.get("is_bangla_qr_enabled", "0") == "1"
    return {
        "status": "success",
        "error_reason": "",
        "invoice_refer": invoice.refer,
        "pay_url": pay_url,
        "qr_image_url": "",
        "qr_image_pay_url": pay_url if wants_qr else "",
        "invoice_id": invoice.invoice_id,
        "email_sending_status": "NO",
        "sms_sending_status": "NO",
        "bangla_qr_code": "",
    }


def refused(reason: str) -> dict[str, Any]:
    """The answer to an invoice that was not made."""
    return {
        "status": "failed",
        "error_reason": reason,
        "invoice_refer": "",
        "pay_url": "",
        "qr_image_url": "",
        "qr_image_pay_url": "",
        "invoice_id": "",
        "email_sending_status": "NO",
        "sms_sending_status": "NO",
        "bangla_qr_code": "",
    }


def shown(invoice: Invoice, session: Session, *, stale: bool = False) -> dict[str, Any]:
    """The answer to a look at an invoice; a `stale` one has not heard of its payment yet."""
    state = m.Status.PROCESSING if stale else state_of(session)
    rows = [] if stale else [transaction(session, one) for one in session.attempts if one.bank_tran_id]
    return {
        "APIConnect": m.ApiConnect.DONE,
        "status": "success",
        "failedreason": "",
        "refer": invoice.refer,
        "invoice_id": invoice.invoice_id,
        "payment_status": _STATUSES.get(state, state),
        "transaction": rows,
    }


def not_done(refer: str, invoice_id: str, reason: str) -> dict[str, Any]:
    """The answer about an invoice that is not there, or cannot be withdrawn."""
    return {
        "APIConnect": m.ApiConnect.DONE,
        "status": "failed",
        "failedreason": reason,
        "refer": refer,
        "invoice_id": invoice_id,
        "payment_status": "",
        "transaction": [],
    }
