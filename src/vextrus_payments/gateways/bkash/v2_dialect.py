"""Tokenized Checkout v2 (non-beta): a route for each deed, and no `mode` (dossier §5)."""

import re
from typing import ClassVar, Final

from vextrus_payments.gateways.bkash import calls
from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.gateways.bkash import v2_models as v2
from vextrus_payments.gateways.bkash.dialect import ApiVersion, Dialect, Question
from vextrus_payments.gateways.bkash.orders import Order
from vextrus_payments.payment import ExecuteCall

_CHARGE_ID: Final = re.compile(rf"TR{m.MODE_WITH_AGREEMENT}[0-9A-Za-z]+", re.ASCII)
"""A paymentID carries its mode after TR (§12.3)."""


class _V2(Dialect):
    version: ClassVar[ApiVersion] = ApiVersion.V2
    root_path: ClassVar[str] = v2.ROOT_PATH
    grant_path: ClassVar[str] = v2.PATH_GRANT
    refresh_path: ClassVar[str] = v2.PATH_REFRESH
    holds_money: ClassVar[bool] = False

    def create(self, order: Order) -> Question[m.CreateAnswer]:
        body = v2.CreateBody(
            payerReference=order.payer_reference,
            callbackURL=order.callback_url,
            agreementId=order.agreement_id,
            amount=order.amount.amount,
            currency=order.amount.currency,
            intent=order.intent.value,
            merchantInvoiceNumber=order.invoice,
            subMerchantName=order.sub_merchant_name,
            merchantAssociationInfo=order.association_info,
        )
        path = v2.PATH_PAYMENT_CREATE if order.agreement_id is None else v2.PATH_CHARGE_CREATE
        return Question(calls.V2_CREATE, body, (path,), order.invoice)

    def execute(self, call: ExecuteCall) -> Question[m.ExecuteAnswer]:
        payment_id, agreement_id = call.gateway_reference, call.agreement_id
        # Who kept a session without its agreement (one of an older release) still has the id, which shows the mode.
        if agreement_id is None and not _CHARGE_ID.fullmatch(payment_id):
            plain = v2.PaymentIdBody(paymentId=payment_id)
            return Question(calls.V2_EXECUTE, plain, (v2.PATH_PAYMENT_EXECUTE,), payment_id)
        body = v2.ChargeExecuteBody(paymentId=payment_id, agreementId=agreement_id)
        return Question(calls.V2_EXECUTE, body, (v2.PATH_CHARGE_EXECUTE,), payment_id)

    def query(self, payment_id: str) -> Question[m.QueryAnswer]:
        return Question(calls.V2_QUERY, v2.PaymentIdBody(paymentId=payment_id), v2.QUERY_PATHS, payment_id)

    def search(self, transaction_id: str) -> Question[m.SearchAnswer]:
        return Question(calls.V2_SEARCH, v2.TrxIdBody(trxId=transaction_id), v2.SEARCH_PATHS, transaction_id)

    def agreement_create(self, payer_reference: str, callback_url: str) -> Question[m.CreateAnswer]:
        body = v2.AgreementCreateBody(payerReference=payer_reference, callbackURL=callback_url)
        return Question(calls.V2_AGREEMENT_CREATE, body, (v2.PATH_AGREEMENT_CREATE,))

    def agreement_execute(self, reference: str) -> Question[m.ExecuteAnswer]:
        body = v2.AgreementIdBody(agreementId=reference)
        return Question(calls.V2_AGREEMENT_EXECUTE, body, (v2.PATH_AGREEMENT_EXECUTE,))

    def agreement_look_up(self, reference: str) -> Question[m.QueryAnswer]:
        body = v2.AgreementIdBody(agreementId=reference)
        return Question(calls.V2_AGREEMENT_LOOK_UP, body, (v2.PATH_AGREEMENT_QUERY,))

    def agreement_status(self, agreement_id: str) -> Question[m.AgreementAnswer]:
        body = v2.AgreementIdBody(agreementId=agreement_id)
        return Question(calls.V2_AGREEMENT_STATUS, body, (v2.PATH_AGREEMENT_QUERY,))

    def agreement_cancel(self, agreement_id: str) -> Question[m.AgreementAnswer]:
        body = v2.AgreementIdBody(agreementId=agreement_id)
        return Question(calls.V2_AGREEMENT_CANCEL, body, (v2.PATH_AGREEMENT_CANCEL,))

    def agreement_reference(self, answer: m.CreateAnswer | m.PaymentAnswer) -> str | None:
        return answer.agreement_id


V2: Final[Dialect] = _V2()
