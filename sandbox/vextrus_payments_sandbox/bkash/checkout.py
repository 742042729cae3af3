"""The legacy checkout on the wire (dossier §6): half of it GET, ids in the path, errors as errorCode in HTTP 200.

Its real page is a script inside the merchant's own, with bKash's frame for code and PIN. Here the common test customer
counts as having confirmed there at create, unless the fault ``unconfirmed`` says otherwise; what an order for the
payer's page asks for (``page_insufficient_balance`` ...) is what he comes to.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from starlette.responses import Response

from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.gateways.bkash import payout_models as p
from vextrus_payments_sandbox.bkash.creating import checkout_wish
from vextrus_payments_sandbox.bkash.deeds import Deeds
from vextrus_payments_sandbox.bkash.products import GRANT, REFRESH, Ask, Call, Calls
from vextrus_payments_sandbox.bkash.records import (
    MESSAGES,
    Payment,
    Refund,
    Refusal,
    Rules,
    State,
    wire_state,
)
from vextrus_payments_sandbox.exchange import Done, json_response
from vextrus_payments_sandbox.world import CUSTOMER, to_text

ROOT: Final = p.CHECKOUT_ROOT_PATH
UNCONFIRMED: Final = "unconfirmed"
"""The fault under which create leaves it to the payer to confirm."""
_PAYMENT_TYPE: Final = "bKash Checkout via API"
_REFUND_TYPE: Final = "bKash Checkout Refund via API"


def refusal(code: str) -> dict[str, Any]:
    """A refusal in HTTP 200: errorCode and errorMessage."""
    return {"errorCode": code, "errorMessage": MESSAGES.get(code, "System Error.")}


class LegacyCheckout:
    """The product from before tokenized checkout, whose payer never leaves the merchant's page."""

    is_checkout = True
    is_coded = False

    def __init__(self, deeds: Deeds) -> None:
        self._deeds = deeds
        self._rules = deeds.rules
        self._answers = CheckoutAnswers(deeds.rules.rules)
        status = Call("refund_status", self._refund_status)
        self.calls: Calls = {
            ("POST", ROOT + p.PATH_GRANT): GRANT,
            ("POST", ROOT + p.PATH_REFRESH): REFRESH,
            ("POST", f"{ROOT}/payment/create"): Call("create", self._create),
            ("POST", ROOT + "/payment/execute/{paymentID}"): Call("execute", self._execute),
            ("GET", ROOT + "/payment/query/{paymentID}"): Call("query", self._query),
            ("POST", ROOT + "/payment/capture/{paymentID}"): self._moving("capture", self._rules.capture),
            ("POST", ROOT + "/payment/void/{paymentID}"): self._moving("void", self._rules.void),
            ("GET", ROOT + "/payment/search/{trxID}"): Call("search", self._search),
            ("POST", f"{ROOT}/payment/refund"): Call("refund", self._refund, without_amount=status),
        }

    def coded(self, code: str) -> Response:
        """A refusal in HTTP 200."""
        return json_response(refusal(code))

    def unreadable(self) -> Response:
        """2025."""
        return self.coded("2025")

    def _create(self, ask: Ask) -> Done:
        payment = self._deeds.create(ask, checkout_wish)
        if ask.fault is None or ask.fault.name != UNCONFIRMED:
            self._rules.page.confirm(payment, CUSTOMER["wallet"])
        return Done(json_response(self._answers.created(payment)), payment.payment_id)

    def _execute(self, ask: Ask) -> Done:
        payment = self._deeds.execute(ask, ask.needed("paymentID"))
        return Done(json_response(self._answers.moved(payment)))

    def _query(self, ask: Ask) -> Done:
        payment = self._deeds.query(ask, ask.needed("paymentID"))
        return Done(json_response(self._answers.queried(payment, stale=ask.stale)))

    def _moving(self, operation: str, move: Callable[..., Payment]) -> Call:
        def handler(ask: Ask) -> Done:
            return Done(json_response(self._answers.moved(move(ask.merchant, ask.needed("paymentID")))))

        return Call(operation, handler)

    def _search(self, ask: Ask) -> Done:
        return Done(json_response(self._answers.found(*self._deeds.found(ask, ask.needed("trxID")))))

    def _refund(self, ask: Ask) -> Done:
        payment_id, trx_id = ask.needed("paymentID"), ask.needed("trxID")
        made = self._deeds.refund(ask, payment_id, trx_id, ask.fields.get("amount", ""))
        return Done(json_response(self._answers.refunded(*made)))

    def _refund_status(self, ask: Ask) -> Done:
        payment, refunds = self._deeds.refunds(ask, ask.needed("paymentID"), ask.needed("trxID"))
        return Done(json_response(self._answers.refunded(payment, refunds[-1] if refunds else None)))


class CheckoutAnswers:
    """Worded by real traces (§6): times in GMT+0000; amounts as they were sent, but with two places in a query."""

    def __init__(self, rules: Rules) -> None:
        self._as_sent = rules.amounts == "as_sent"

    def created(self, payment: Payment) -> dict[str, Any]:
        """Create."""
        return {
            "paymentID": payment.payment_id,
            "createTime": _time(payment.created_at),
            "orgLogo": "",
            "orgName": payment.merchant.name,
            "transactionStatus": State.INITIATED.value,
            **self._price(payment),
        }

    def moved(self, payment: Payment) -> dict[str, Any]:
        """Execute, capture and void."""
        return {
            "paymentID": payment.payment_id,
            "createTime": _time(payment.created_at),
            "updateTime": _time(payment.updated_at or payment.created_at),
            "trxID": payment.trx_id,
            "transactionStatus": wire_state(payment.state),
            **self._price(payment),
        }

    def queried(self, payment: Payment, *, stale: bool) -> dict[str, Any]:
        """Query; `stale` shows it as it was before it was executed."""
        price = self._price(payment) | {"amount": to_text(payment.amount_minor)}
        if payment.trx_id is None or stale:
            state = State.INITIATED if stale and payment.trx_id else payment.state
            known = self.moved(payment) | price | {"updateTime": _time(payment.created_at)}
            del known["trxID"]
            return known | {"transactionStatus": wire_state(state), "refundAmount": "0.00"}
        return self.moved(payment) | price | {"refundAmount": to_text(payment.refunded_minor)}

    def found(self, payment: Payment, refund: Refund | None) -> dict[str, Any]:
        """Search, of a payment's or a refund's trxID."""
        if payment.wallet is None or payment.executed_at is None:
            raise Refusal("2033")
        moment = _time(payment.executed_at if refund is None else refund.completed_at)
        return {
            "trxID": payment.trx_id if refund is None else refund.trx_id,
            "transactionStatus": wire_state(payment.state) if refund is None else "Completed",
            "transactionType": _PAYMENT_TYPE if refund is None else _REFUND_TYPE,
            "amount": to_text(payment.amount_minor if refund is None else refund.amount_minor),
            "currency": m.CURRENCY,
            "customerMsisdn": payment.wallet.number,
            "organizationShortCode": payment.merchant.short_code,
            "initiationTime": moment,
            "completedTime": moment,
        }

    def refunded(self, payment: Payment, refund: Refund | None) -> dict[str, Any]:
        """Refund and its status: the latest one, or no refundTrxID at all."""
        known = {"originalTrxID": payment.trx_id, "currency": m.CURRENCY}
        if refund is None:
            return known
        return {
            "completedTime": _time(refund.completed_at),
            "transactionStatus": "Completed",
            "refundTrxID": refund.trx_id,
            "amount": refund.amount_text if self._as_sent else to_text(refund.amount_minor),
            "charge": "0.00",
            **known,
        }

    def _price(self, payment: Payment) -> dict[str, Any]:
        return {
            "amount": payment.amount_text if self._as_sent else to_text(payment.amount_minor),
            "currency": m.CURRENCY,
            "intent": payment.intent,
            "merchantInvoiceNumber": payment.invoice,
        }


def _time(moment: datetime) -> str:
    return m.format_time(moment, UTC)
