"""Tokenized Checkout v2 on the wire (dossier §5): a path for each deed, no statusCode, refusals in HTTP 400.

An agreement goes by its own id from its making on. What is asked for without a field that the specification wants is
turned away before anybody looks at it: HTTP 400 with a lone message.
"""

from typing import Final

from starlette.responses import Response

from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.gateways.bkash import v2_models as v2
from vextrus_payments_sandbox.bkash.answers import V2, Answers, refusal_v1, refusal_v2
from vextrus_payments_sandbox.bkash.creating import agreement_wish_v2, charge_wish_v2, payment_wish_v2
from vextrus_payments_sandbox.bkash.deeds import Deeds
from vextrus_payments_sandbox.bkash.front_door import front_door
from vextrus_payments_sandbox.bkash.products import GRANT, REFRESH, Ask, Call, Calls, Handler
from vextrus_payments_sandbox.bkash.records import Payment, Refusal
from vextrus_payments_sandbox.exchange import Done, json_response

_INVALID: Final = "Invalid request body"
_CREATE: Final = ("payerReference", "callbackURL")
_PRICED: Final = (*_CREATE, "amount", "currency", "intent", "merchantInvoiceNumber")
_REFUND: Final = ("paymentId", "trxId", "refundAmount", "sku", "reason")


class TokenizedV2:
    """The product that new merchants are given."""

    is_checkout = False
    is_coded = True

    def __init__(self, deeds: Deeds) -> None:
        self._deeds = deeds
        self._rules = deeds.rules
        self._answers = Answers(deeds.rules.rules, V2)
        query = _asking("query", self._query, "paymentId")
        search = _asking("search", self._search, "trxId")
        calls = {
            v2.PATH_GRANT: GRANT,
            v2.PATH_REFRESH: REFRESH,
            v2.PATH_PAYMENT_CREATE: _asking("create", self._create_payment, *_PRICED),
            v2.PATH_PAYMENT_EXECUTE: _asking("execute", self._execute_payment, "paymentId"),
            v2.PATH_CHARGE_CREATE: _asking("create", self._create_charge, "agreementId", *_PRICED),
            v2.PATH_CHARGE_EXECUTE: _asking("execute", self._execute_charge, "paymentId"),
            v2.PATH_AGREEMENT_CREATE: _asking("create", self._create_agreement, *_CREATE),
            v2.PATH_AGREEMENT_EXECUTE: _asking("execute", self._execute_agreement, "agreementId"),
            v2.PATH_AGREEMENT_QUERY: _asking("agreement_status", self._query_agreement, "agreementId"),
            v2.PATH_AGREEMENT_CANCEL: _asking("agreement_cancel", self._cancel_agreement, "agreementId"),
            v2.PATH_REFUND: _asking("refund", self._refund, *_REFUND),
            v2.PATH_REFUND_STATUS: _asking("refund_status", self._refund_status, "paymentId", "trxId"),
            **dict.fromkeys(v2.QUERY_PATHS, query),
            **dict.fromkeys(v2.SEARCH_PATHS, search),
        }
        self.calls: Calls = {("POST", v2.ROOT_PATH + path): call for path, call in calls.items()}

    def coded(self, code: str) -> Response:
        """A refusal in HTTP 400 (§4.11, §5), or in v1's words."""
        if self._rules.rules.v2_refusals == "v1":
            return json_response(refusal_v1(code))
        return json_response(refusal_v2(code), 400)

    def unreadable(self) -> Response:
        """The front door's, for it checks bodies (§9)."""
        return front_door(_INVALID, 400)

    # ---------------------------------------------------------------------------------------- payments

    def _create_payment(self, ask: Ask) -> Done:
        return self._created(self._deeds.create(ask, payment_wish_v2), ask)

    def _create_charge(self, ask: Ask) -> Done:
        return self._created(self._deeds.create(ask, charge_wish_v2), ask)

    def _created(self, payment: Payment, ask: Ask) -> Done:
        answer = self._answers.created(payment, ask.base_url)
        return Done(json_response(answer), payment.payment_id)

    def _execute_payment(self, ask: Ask) -> Done:
        return self._executed(ask, m.MODE_CHECKOUT)

    def _execute_charge(self, ask: Ask) -> Done:
        payment = self._rules.payments.get(ask.fields["paymentId"])
        named = ask.fields.get("agreementId")  # one client names it once more (§5)
        if payment is not None and named and named != payment.agreement_id:
            raise Refusal("2051")
        return self._executed(ask, m.MODE_WITH_AGREEMENT)

    def _executed(self, ask: Ask, mode: str) -> Done:
        payment = self._payment(ask)
        if payment is not None and payment.mode != mode:
            raise Refusal("2063")
        done = self._deeds.execute(ask, ask.fields["paymentId"])
        return Done(json_response(self._answers.executed(done)))

    def _query(self, ask: Ask) -> Done:
        self._payment(ask)
        payment = self._deeds.query(ask, ask.fields["paymentId"])
        return Done(json_response(self._answers.queried(payment, stale=ask.stale)))

    def _payment(self, ask: Ask) -> Payment | None:
        """The payment that is named, of whomever; an agreement goes by its own id and is no payment (§5)."""
        payment = self._rules.payments.get(ask.fields["paymentId"])
        if payment is not None and payment.is_agreement:
            raise Refusal("2002")
        return payment

    def _search(self, ask: Ask) -> Done:
        return Done(json_response(self._answers.found(*self._deeds.found(ask, ask.fields["trxId"]))))

    # -------------------------------------------------------------------------------------- agreements

    def _create_agreement(self, ask: Ask) -> Done:
        return self._created(self._deeds.create(ask, agreement_wish_v2), ask)

    def _execute_agreement(self, ask: Ask) -> Done:
        agreement_id = ask.fields["agreementId"]
        if self._making(agreement_id) is None:
            self._rules.agreement(ask.merchant, agreement_id)
            raise Refusal("2116")  # made through v1, and done
        payment = self._deeds.execute(ask, agreement_id)
        return Done(json_response(self._answers.agreement(self._rules.agreements[payment.payment_id])))

    def _query_agreement(self, ask: Ask) -> Done:
        agreement_id = ask.fields["agreementId"]
        if agreement_id in self._rules.agreements:
            found = self._rules.agreement(ask.merchant, agreement_id)
            return Done(json_response(self._answers.agreement(found)))
        making = self._in_the_making(ask)
        return Done(json_response(self._answers.agreement_in_the_making(making)))

    def _cancel_agreement(self, ask: Ask) -> Done:
        if ask.fields["agreementId"] not in self._rules.agreements:
            self._in_the_making(ask)
            raise Refusal("2052")
        ended = self._rules.cancel_agreement(ask.merchant, ask.fields["agreementId"])
        return Done(json_response(self._answers.agreement(ended)))

    def _in_the_making(self, ask: Ask) -> Payment:
        agreement_id = ask.fields["agreementId"]
        if self._making(agreement_id) is None:
            raise Refusal("2051")
        return self._rules.payment(ask.merchant, agreement_id)

    def _making(self, agreement_id: str) -> Payment | None:
        """What makes this agreement here; None for a payment's id, and for what v1 names by a paymentID."""
        known = self._rules.payments.get(agreement_id)
        return known if known is not None and known.is_agreement and known.api == "v2" else None

    # --------------------------------------------------------------------------------- refunds (§4.11)

    def _refund(self, ask: Ask) -> Done:
        payment_id, trx_id = ask.fields["paymentId"], ask.fields["trxId"]
        made = self._deeds.refund(ask, payment_id, trx_id, ask.fields["refundAmount"])
        return Done(json_response(self._answers.refunded_v2(*made)))

    def _refund_status(self, ask: Ask) -> Done:
        payment, refunds = self._deeds.refunds(ask, ask.fields["paymentId"], ask.fields["trxId"])
        return Done(json_response(self._answers.refund_list_v2(payment, list(refunds))))


def _asking(operation: str, handler: Handler, *needed: str) -> Call:
    """A call that is turned away by the front door where one of these fields is missing."""

    def checked(ask: Ask) -> Done:
        if not all(ask.fields.get(name) for name in needed):
            return Done(front_door(_INVALID, 400))
        return handler(ask)

    return Call(operation, checked)
