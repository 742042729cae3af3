"""Tokenized Checkout v1.2.0-beta on the wire (dossier §4): HTTP 200 with a statusCode, be it yes or no.

It tolerates what real clients send: both spellings of the void path, agreement look-ups by either id.
"""

from starlette.responses import Response

from vextrus_payments.gateways.bkash import models as m
from vextrus_payments_sandbox.bkash.answers import V1, Answers, refusal_v1
from vextrus_payments_sandbox.bkash.creating import wish_of
from vextrus_payments_sandbox.bkash.deeds import Deeds
from vextrus_payments_sandbox.bkash.products import GRANT, REFRESH, Ask, Call, Calls
from vextrus_payments_sandbox.exchange import Done, json_response


class TokenizedV1:
    """The product that most merchants have."""

    is_checkout = False
    is_coded = True

    def __init__(self, deeds: Deeds) -> None:
        self._deeds = deeds
        self._rules = deeds.rules
        self._answers = Answers(deeds.rules.rules, V1)
        status = Call("refund_status", self._refund_status)
        calls = {
            m.PATH_GRANT: GRANT,
            m.PATH_REFRESH: REFRESH,
            m.PATH_CREATE: Call("create", self._create),
            m.PATH_EXECUTE: Call("execute", self._execute),
            m.PATH_QUERY: Call("query", self._query),
            m.PATH_AGREEMENT_STATUS: Call("agreement_status", self._agreement_status),
            m.PATH_AGREEMENT_CANCEL: Call("agreement_cancel", self._agreement_cancel),
            m.PATH_SEARCH: Call("search", self._search),
            m.PATH_CAPTURE: Call("capture", self._capture),
            m.PATH_VOID: Call("void", self._void),
            m.PATH_VOID_ALTERNATIVE: Call("void", self._void),
            m.PATH_REFUND_V1: Call("refund", self._refund, without_amount=status),
        }
        self.calls: Calls = {("POST", m.ROOT_PATH + path): call for path, call in calls.items()}

    def coded(self, code: str) -> Response:
        """A refusal in HTTP 200 (§4.4)."""
        return json_response(refusal_v1(code))

    def unreadable(self) -> Response:
        """2025."""
        return self.coded("2025")

    def _create(self, ask: Ask) -> Done:
        payment = self._deeds.create(ask, wish_of)
        return Done(json_response(self._answers.created(payment, ask.base_url)), payment.payment_id)

    def _execute(self, ask: Ask) -> Done:
        payment = self._deeds.execute(ask, ask.needed("paymentID"))
        return Done(json_response(self._answers.executed(payment)))

    def _query(self, ask: Ask) -> Done:
        if not ask.fields.get("paymentID") and ask.fields.get("agreementID"):
            return self._agreement_status(ask)
        payment = self._deeds.query(ask, ask.needed("paymentID"))
        agreement = self._rules.agreements.get(payment.agreement_id or "") if payment.is_agreement else None
        answer = self._answers.queried(payment, stale=ask.stale)
        if agreement is not None and agreement.voided_at is not None:
            answer["agreementStatus"] = "Cancelled"
        return Done(json_response(answer))

    def _agreement_status(self, ask: Ask) -> Done:
        if not ask.fields.get("agreementID"):
            return self._query(ask)
        agreement = self._rules.agreement(ask.merchant, ask.fields["agreementID"])
        return Done(json_response(self._answers.agreement(agreement)))

    def _agreement_cancel(self, ask: Ask) -> Done:
        agreement = self._rules.cancel_agreement(ask.merchant, ask.needed("agreementID"))
        return Done(json_response(self._answers.agreement(agreement)))

    def _search(self, ask: Ask) -> Done:
        return Done(json_response(self._answers.found(*self._deeds.found(ask, ask.needed("trxID")))))

    def _capture(self, ask: Ask) -> Done:
        payment = self._rules.capture(ask.merchant, ask.needed("paymentID"))
        return Done(json_response(self._answers.captured_or_voided(payment)))

    def _void(self, ask: Ask) -> Done:
        payment = self._rules.void(ask.merchant, ask.needed("paymentID"))
        return Done(json_response(self._answers.captured_or_voided(payment)))

    def _refund(self, ask: Ask) -> Done:
        payment_id, trx_id = ask.needed("paymentID"), ask.needed("trxID")
        made = self._deeds.refund(ask, payment_id, trx_id, ask.fields.get("amount", ""))
        return Done(json_response(self._answers.refunded_v1(*made)))

    def _refund_status(self, ask: Ask) -> Done:
        payment, refunds = self._deeds.refunds(ask, ask.needed("paymentID"), ask.needed("trxID"))
        answer = self._answers.refunded_v1(payment, refunds[-1] if refunds else None)
        return Done(json_response(answer))
