"""What bKash announces of a payment that was made: the message inside an SNS notification (dossier §8.3).

There is no paymentID in it. What came through the API names its invoice; what a payer scanned or dialed names none.
"""

from collections.abc import Mapping
from typing import Final

from vextrus_payments.gateways.bkash import models as m
from vextrus_payments_sandbox.bkash.records import GATEWAY, Payment
from vextrus_payments_sandbox.magic import Subject
from vextrus_payments_sandbox.subscriptions import Notice
from vextrus_payments_sandbox.world import CURRENCY, SandboxError, to_text

API: Final = "api"
TYPES: Final[Mapping[str, str]] = {API: "10002294", "qr": "10003126", "ussd": "10002175"}
"""By which way the payer paid -> transactionType."""


def notice_of(payment: Payment) -> Notice:
    """The announcement of a completed payment."""
    if payment.trx_id is None or payment.executed_at is None or payment.wallet is None:
        raise ValueError("only a payment that was made is announced")
    made_at = (payment.updated_at or payment.executed_at).astimezone(m.DHAKA)
    named = {
        "transactionReference": payment.payer_reference,
        "merchantInvoiceNumber": payment.invoice,
    }
    return Notice(
        GATEWAY,
        payment.payment_id,
        payment.trx_id,
        {
            "dateTime": f"{made_at:%Y%m%d%H%M%S}",
            "debitMSISDN": f"88{payment.wallet.number}",  # 13 digits here, 11 elsewhere
            "creditOrganizationName": payment.merchant.name,
            "creditShortCode": payment.merchant.short_code,
            "trxID": payment.trx_id,
            "transactionStatus": "Completed",
            "transactionType": TYPES[payment.channel],
            "amount": to_text(payment.amount_minor),
            "currency": CURRENCY,
            **{name: value for name, value in named.items() if value},
        },
        Subject(payment.payment_id, payment.amount_minor, payment.wallet.number),
    )


def channel_of(name: str) -> str:
    """A way to pay without the API; raises :class:`SandboxError` for another."""
    if name not in TYPES or name == API:
        raise SandboxError("channel is qr or ussd")
    return name
