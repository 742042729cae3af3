"""bKash's answers, worded from what happened (dossier §4): the union of the fields that real clients read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.gateways.bkash import v2_models as v2
from vextrus_payments_sandbox.bkash.records import (
    MESSAGES,
    Agreement,
    Payment,
    Refund,
    Refusal,
    Rules,
    State,
    wire_state,
)
from vextrus_payments_sandbox.world import to_text

_OK: Final[Mapping[str, Any]] = {"status_code": m.CODE_SUCCESS, "status_message": "Successful"}
_TRANSACTION_TYPE: Final = "bKash Tokenized Checkout via API"
_REFUND_TYPE: Final = "bKash Tokenized Checkout Refund via API"

#: internalCode of the v2 errors (§5, first five as reported; the rest in their manner).
_INTERNAL: Final = {
    "2006": "invalid_amount",
    "2029": "ETC70052",
    "2056": "invalid_payment_state",
    "2062": "payment_already_completed",
    "2072": "refund_amount_exceed_payment_amount",
    "2002": "invalid_payment_id",
    "2026": "refund_amount_exceed_payment_amount",
    "2034": "payment_already_refunded",
    "2071": "refund_period_over",
    "2074": "refund_count_exceeded",
    "2077": "invalid_trx_id",
    "2127": "transaction_not_completed",
    "2007": "invalid_currency",
    "2008": "invalid_intent",
    "2023": "insufficient_balance",
    "2031": "invalid_merchant_invoice_number",
    "2033": "transaction_not_found",
    "2037": "debit_party_state_prohibits",
    "2048": "invalid_payer_reference",
    "2049": "invalid_callback_url",
    "2050": "agreement_already_exists",
    "2051": "invalid_agreement_id",
    "2052": "agreement_incomplete",
    "2053": "agreement_already_cancelled",
    "2054": "agreement_prerequisite_not_met",
    "2061": "not_the_initiator",
    "2063": "invalid_mode",
    "2116": "agreement_already_executed",
    "2117": "payment_already_executed",
    "9999": "system_error",
}
#: What a payer is to be shown (§5): sentences of our own, in bKash's place. The others have none, as at the gateway.
_BANGLA: Final = {
    "2023": "আপনার অ্যাকাউন্টে যথেষ্ট টাকা নেই।",
    "2029": "একই পরিমাণের একটি লেনদেন এইমাত্র হয়েছে। কয়েক মিনিট পরে আবার চেষ্টা করুন।",
    "2037": "এই অ্যাকাউন্ট থেকে এখন লেনদেন করা যাবে না।",
    "2053": "এই সম্মতি আগেই বাতিল করা হয়েছে।",
    "2056": "এই পেমেন্টটি আর সম্পন্ন করা যাবে না।",
    "9999": "সাময়িক সমস্যা হয়েছে। একটু পরে আবার চেষ্টা করুন।",
}


def refusal_v1(code: str) -> dict[str, Any]:
    """A refusal in HTTP 200 (§4.4)."""
    return {"statusCode": code, "statusMessage": MESSAGES.get(code, "System Error.")}


def refusal_v2(code: str) -> dict[str, Any]:
    """A refusal in HTTP 400 (§4.11). The limit on refunds has one code there: 2072."""
    external = "2072" if code in ("2026", "2034") else code
    return {
        "internalCode": _INTERNAL.get(code, f"error_{code}"),
        "externalCode": external,
        "errorMessageEn": MESSAGES.get(external, "System Error."),
        "errorMessageBn": _BANGLA.get(external),
    }


@dataclass(frozen=True, slots=True)
class Words:
    """How one product spells its answers. Both sets have fields of the same names, for the same things."""

    ok: Mapping[str, Any]
    """What says that a call went well: v2 says nothing, and answers 200 (§5)."""
    create: type[m.CreateAnswer]
    execute: type[m.ExecuteAnswer]
    query: type[m.QueryAnswer]
    agreement: type[m.AgreementAnswer]
    search: type[m.SearchAnswer]


V1: Final = Words(_OK, m.CreateAnswer, m.ExecuteAnswer, m.QueryAnswer, m.AgreementAnswer, m.SearchAnswer)
V2: Final = Words({}, v2.CreateAnswer, v2.ExecuteAnswer, v2.QueryAnswer, v2.AgreementAnswer, v2.SearchAnswer)


def redirect_url(payment: Payment, status: str, *, with_version: bool = True) -> str:
    """The merchant's callback URL with bKash's parameters appended by ``?`` or ``&`` (§4.3).

    An agreement that is made through v2 is named by its own id: nothing else is known to its merchant (§17).
    """
    parts = urlsplit(payment.callback_url)
    is_v2 = payment.api == "v2"
    name = v2.CALLBACK_AGREEMENT if is_v2 and payment.is_agreement else v2.CALLBACK_PAYMENT
    added = f"{name}={payment.payment_id}&status={status}&signature={payment.signature}"
    if with_version and not is_v2:
        added += "&apiVersion=1.2.0-beta"
    query = f"{parts.query}&{added}" if parts.query else added
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, parts.fragment))


def page_url(base_url: str, payment: Payment) -> str:
    """The hosted page of a payment on this server; to the caller it is opaque (§4.2)."""
    version = v2.API_VERSION if payment.api == "v2" else m.API_VERSION
    return (
        f"{base_url}/?paymentId={payment.payment_id}&hash={payment.page_hash}&mode={payment.mode}"
        f"&apiVersion={version}/"
    )


class Answers:
    """Words what happened in one product's `words`; `rules` decides how amounts are echoed."""

    def __init__(self, rules: Rules, words: Words) -> None:
        self._rules = rules
        self._words = words
        self._is_v2 = words is V2

    def _amount(self, sent: str, amount_minor: int) -> str:
        return sent if self._rules.amounts == "as_sent" else to_text(amount_minor)

    def created(self, payment: Payment, base_url: str) -> dict[str, Any]:
        """Create, in its three modes (§4.2)."""
        moment = m.format_time(payment.created_at)
        by_agreement = self._is_v2 and payment.is_agreement
        common = self._words.create(
            **self._words.ok,
            payment_id=None if by_agreement else payment.payment_id,
            bkash_url=None if payment.verified else page_url(base_url, payment),
            callback_url=payment.callback_url,
            success_callback_url=redirect_url(payment, "success", with_version=False),
            failure_callback_url=redirect_url(payment, "failure", with_version=False),
            cancelled_callback_url=redirect_url(payment, "cancel", with_version=False),
            signature=payment.signature,
        )
        if payment.is_agreement:
            own: dict[str, Any] = {
                "agreement_id": payment.payment_id if by_agreement else None,
                "payer_reference": payment.payer_reference,
                "agreement_status": wire_state(payment.state),
                "agreement_create_time": moment,
            }
        else:
            own = {
                "agreement_id": payment.agreement_id,
                "amount": self._amount(payment.amount_text, payment.amount_minor),
                "intent": payment.intent,
                "currency": m.CURRENCY,
                "payment_create_time": moment,
                "transaction_status": wire_state(payment.state),
                "merchant_invoice_number": payment.invoice,
            }
            own |= {"sub_merchant_name": payment.sub_merchant} if self._is_v2 and payment.sub_merchant else {}
        return common.model_copy(update=own).to_wire()

    def executed(self, payment: Payment) -> dict[str, Any]:
        """Execute, of a payment or an agreement (§4.4)."""
        return self._words.execute(**self._words.ok, **self._state_of(payment)).to_wire()

    def queried(self, payment: Payment, *, stale: bool = False) -> dict[str, Any]:
        """Query, of a payment or an agreement (§4.5); `stale` shows it as it was before it was executed."""
        fields = self._state_of(payment, stale=stale)
        verification = "Complete" if payment.verified else "Incomplete"
        fields["verification_status"] = verification
        if not self._is_v2:
            fields |= {"mode": payment.mode, "user_verification_status": verification}
        created = m.format_time(payment.created_at)
        if payment.is_agreement:
            fields["agreement_create_time"] = created
        else:
            fields["payment_create_time"] = created
            if not self._is_v2:
                fields["merchant_invoice"] = payment.invoice
        return self._words.query(**self._words.ok, **fields).to_wire()

    def _state_of(self, payment: Payment, *, stale: bool = False) -> dict[str, Any]:
        executed = payment.executed_at is not None and not stale
        state = payment.state if executed or payment.executed_at is None else State.INITIATED
        moment = m.format_time(payment.executed_at) if payment.executed_at and executed else None
        fields: dict[str, Any] = {
            "payment_id": payment.payment_id,
            "payer_reference": payment.payer_reference,
            "agreement_id": payment.agreement_id if executed or not payment.is_agreement else None,
        }
        if payment.wallet is not None and (executed or payment.verified):
            fields |= {"payer_account": payment.wallet.number, "payer_type": "Customer"}
            if executed and not self._is_v2:
                fields["customer_msisdn"] = payment.wallet.number
        if payment.is_agreement:
            return fields | {"agreement_status": wire_state(state), "agreement_execute_time": moment}
        if self._is_v2 and payment.sub_merchant:
            fields["sub_merchant_name"] = payment.sub_merchant
        left = payment.captured_minor - payment.refunded_minor
        return fields | {
            "trx_id": payment.trx_id if executed else None,
            "amount": self._amount(payment.amount_text, payment.amount_minor),
            "transaction_status": wire_state(state),
            "payment_execute_time": moment,
            "currency": m.CURRENCY,
            "intent": payment.intent,
            "merchant_invoice_number": payment.invoice,
            "max_refundable_amount": self._amount(payment.amount_text, left)
            if executed and left == payment.amount_minor
            else (to_text(left) if executed and payment.captured_minor else None),
        }

    def agreement(self, agreement: Agreement) -> dict[str, Any]:
        """Agreement status and cancel (§4.6, §4.7)."""
        return self._words.agreement(
            **self._words.ok,
            payment_id=None if self._is_v2 else agreement.payment_id,
            agreement_id=agreement.agreement_id,
            payer_reference=agreement.payer_reference,
            customer_msisdn=agreement.wallet.number,
            payer_account=agreement.wallet.number,
            payer_type="Customer",
            mode=None if self._is_v2 else m.MODE_AGREEMENT,
            verification_status="Complete",
            agreement_status="Cancelled" if agreement.voided_at else "Completed",
            agreement_create_time=m.format_time(agreement.created_at),
            agreement_execute_time=m.format_time(agreement.executed_at),
            agreement_void_time=m.format_time(agreement.voided_at) if agreement.voided_at else None,
        ).to_wire()

    def agreement_in_the_making(self, payment: Payment) -> dict[str, Any]:
        """Look-up of an agreement that v2 has given an id and its payer has not made yet (§5)."""
        return self._words.agreement(
            **self._words.ok,
            agreement_id=payment.payment_id,
            payer_reference=payment.payer_reference,
            payer_account=payment.wallet.number if payment.wallet is not None and payment.verified else None,
            verification_status="Complete" if payment.verified else "Incomplete",
            agreement_status=wire_state(payment.state),
            agreement_create_time=m.format_time(payment.created_at),
        ).to_wire()

    def captured_or_voided(self, payment: Payment) -> dict[str, Any]:
        """Capture and void (§4.9)."""
        return m.CaptureVoidAnswer(
            **_OK,
            payment_id=payment.payment_id,
            trx_id=payment.trx_id,
            transaction_status=wire_state(payment.state),
            create_time=m.format_time(payment.created_at),
            update_time=m.format_time(payment.updated_at or payment.created_at),
            amount=self._amount(payment.amount_text, payment.amount_minor),
            currency=m.CURRENCY,
        ).to_wire()

    def found(self, payment: Payment, refund: Refund | None) -> dict[str, Any]:
        """Search, of a payment's or a refund's trxID (§4.8)."""
        if payment.wallet is None or payment.executed_at is None:
            raise Refusal("2033")
        common: dict[str, Any] = {
            **self._words.ok,
            "customer_msisdn": payment.wallet.number,
            "payer_account": payment.wallet.number,
            "currency": m.CURRENCY,
            "organization_short_code": payment.merchant.short_code,
            "transaction_reference": payment.payer_reference,
        }
        if refund is not None:
            moment = m.format_time(refund.completed_at)
            return self._words.search(
                **common,
                trx_id=refund.trx_id,
                initiation_time=moment,
                completed_time=moment,
                transaction_type=_REFUND_TYPE,
                transaction_status="Completed",
                amount=self._amount(refund.amount_text, refund.amount_minor),
                original_trx_amount=self._amount(payment.amount_text, payment.amount_minor),
            ).to_wire()
        moment = m.format_time(payment.executed_at)
        return self._words.search(
            **common,
            trx_id=payment.trx_id,
            initiation_time=moment,
            completed_time=moment,
            transaction_type=_TRANSACTION_TYPE,
            transaction_status=wire_state(payment.state),
            payer_type="Customer",
            amount=self._amount(payment.amount_text, payment.amount_minor),
            service_fee="0.00",
            max_refundable_amount=to_text(payment.captured_minor - payment.refunded_minor),
        ).to_wire()

    def refunded_v1(self, payment: Payment, refund: Refund | None) -> dict[str, Any]:
        """Refund and refund status on the v1 route: the latest refund, or no refundTrxID at all (§4.10)."""
        if refund is None:
            return m.RefundV1Answer(**_OK, original_trx_id=payment.trx_id, currency=m.CURRENCY).to_wire()
        return m.RefundV1Answer(
            **_OK,
            original_trx_id=payment.trx_id,
            refund_trx_id=refund.trx_id,
            transaction_status="Completed",
            amount=self._amount(refund.amount_text, refund.amount_minor),
            currency=m.CURRENCY,
            charge="0.00",
            completed_time=m.format_time(refund.completed_at),
        ).to_wire()

    def refunded_v2(self, payment: Payment, refund: Refund) -> dict[str, Any]:
        """Refund on the v2 route: no statusCode (§4.11)."""
        return m.RefundV2Answer(
            original_trx_id=payment.trx_id,
            refund_trx_id=refund.trx_id,
            refund_transaction_status="Completed",
            original_trx_amount=self._amount(payment.amount_text, payment.amount_minor),
            refund_amount=self._amount(refund.amount_text, refund.amount_minor),
            currency=m.CURRENCY,
            completed_time=m.format_time(refund.completed_at),
            sku=refund.sku,
            reason=refund.reason,
        ).to_wire()

    def refund_list_v2(self, payment: Payment, refunds: list[Refund]) -> dict[str, Any]:
        """Refund status on the v2 route; the times in the list carry no zone, and no list means none (§4.11)."""
        listed = [
            m.RefundTransaction(
                refund_trx_id=refund.trx_id,
                refund_transaction_status="Completed",
                refund_amount=self._amount(refund.amount_text, refund.amount_minor),
                completed_time=m.format_time(refund.completed_at).removesuffix(" GMT+0600"),
            )
            for refund in refunds
        ]
        executed = payment.executed_at or payment.created_at
        return m.RefundStatusV2Answer(
            original_trx_id=payment.trx_id,
            original_trx_amount=self._amount(payment.amount_text, payment.amount_minor),
            original_trx_completed_time=m.format_time(executed),
            refund_transactions=listed or None,
        ).to_wire()
