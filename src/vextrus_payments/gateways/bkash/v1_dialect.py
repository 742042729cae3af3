"""Tokenized Checkout v1.2.0-beta: one route to create and one to execute, told apart by `mode` (dossier §4)."""

from typing import ClassVar, Final

from vextrus_payments.gateways.bkash import calls
from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.gateways.bkash.dialect import ApiVersion, Dialect, Question
from vextrus_payments.gateways.bkash.orders import Order
from vextrus_payments.payment import ExecuteCall


class _V1(Dialect):
    version: ClassVar[ApiVersion] = ApiVersion.V1
    root_path: ClassVar[str] = m.ROOT_PATH
    grant_path: ClassVar[str] = m.PATH_GRANT
    refresh_path: ClassVar[str] = m.PATH_REFRESH
    holds_money: ClassVar[bool] = True

    def create(self, order: Order) -> Question[m.CreateAnswer]:
        body = m.CreateBody(
            mode=order.mode,
            payerReference=order.payer_reference,
            callbackURL=order.callback_url,
            agreementID=order.agreement_id,
            amount=order.amount.amount,
            currency=order.amount.currency,
            intent=order.intent.value,
            merchantInvoiceNumber=order.invoice,
            merchantAssociationInfo=order.association_info,
        )
        return Question(calls.CREATE, body, (m.PATH_CREATE,), order.invoice)

    def execute(self, call: ExecuteCall) -> Question[m.ExecuteAnswer]:
        payment_id = call.gateway_reference
        return Question(calls.EXECUTE, m.PaymentIdBody(paymentID=payment_id), (m.PATH_EXECUTE,), payment_id)

    def query(self, payment_id: str) -> Question[m.QueryAnswer]:
        return Question(calls.QUERY, m.PaymentIdBody(paymentID=payment_id), (m.PATH_QUERY,), payment_id)

    def search(self, transaction_id: str) -> Question[m.SearchAnswer]:
        return Question(calls.SEARCH, m.TrxIdBody(trxID=transaction_id), (m.PATH_SEARCH,), transaction_id)

    def agreement_create(self, payer_reference: str, callback_url: str) -> Question[m.CreateAnswer]:
        body = m.CreateBody(mode=m.MODE_AGREEMENT, payerReference=payer_reference, callbackURL=callback_url)
        return Question(calls.AGREEMENT_CREATE, body, (m.PATH_CREATE,))

    def agreement_execute(self, reference: str) -> Question[m.ExecuteAnswer]:
        body = m.PaymentIdBody(paymentID=reference)
        return Question(calls.AGREEMENT_EXECUTE, body, (m.PATH_EXECUTE,), reference)

    def agreement_look_up(self, reference: str) -> Question[m.QueryAnswer]:
        # For a mode 0000 id the query of payments answers with the agreement's fields (§4.5).
        return self.query(reference)

    def agreement_status(self, agreement_id: str) -> Question[m.AgreementAnswer]:
        body = m.AgreementIdBody(agreementID=agreement_id)
        return Question(calls.AGREEMENT_STATUS, body, (m.PATH_AGREEMENT_STATUS,))

    def agreement_cancel(self, agreement_id: str) -> Question[m.AgreementAnswer]:
        body = m.AgreementIdBody(agreementID=agreement_id)
        return Question(calls.AGREEMENT_CANCEL, body, (m.PATH_AGREEMENT_CANCEL,))

    def agreement_reference(self, answer: m.CreateAnswer | m.PaymentAnswer) -> str | None:
        return answer.payment_id


V1: Final[Dialect] = _V1()
