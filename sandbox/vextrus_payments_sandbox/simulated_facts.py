"""What an exchange with the simulated bKash shows: for each path a reader of its two JSON documents.

The auditors know of the wire only what stands here, so nothing is taken from the sandbox's own books.
"""

from collections.abc import Mapping
from typing import Any, Final

from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.gateways.bkash import payout_models as p
from vextrus_payments.gateways.bkash import v2_models as v2
from vextrus_payments.testing.simulation import WireFact
from vextrus_payments_sandbox.simulated_wire import minor_of

DIRECTIONS: Final[Mapping[str, str]] = {
    p.COLLECTION_TO_DISBURSEMENT: "to_disbursement",
    p.DISBURSEMENT_TO_COLLECTION: "to_collection",
}
"""What a transfer between a merchant's two accounts is called in the auditors' books."""


def _granted(asked: dict[str, Any], said: dict[str, Any], who: dict[str, Any]) -> list[WireFact]:
    return [WireFact(kind="granted", **who)] if said.get("id_token") else []


def _created(asked: dict[str, Any], said: dict[str, Any], who: dict[str, Any]) -> list[WireFact]:
    reference = said.get("paymentID") or said.get("paymentId")
    if not reference:
        return []
    if asked.get("mode") == m.MODE_AGREEMENT:
        return [WireFact(kind="consent_created", reference=reference, **who)]
    order_id, amount = str(asked.get("merchantInvoiceNumber", "")), minor_of(asked.get("amount"))
    return [WireFact(kind="created", reference=reference, order_id=order_id, amount_minor=amount, **who)]


def _consent_created(asked: dict[str, Any], said: dict[str, Any], who: dict[str, Any]) -> list[WireFact]:
    reference = said.get("agreementId")
    return [WireFact(kind="consent_created", reference=reference, **who)] if reference else []


def _consented(asked: dict[str, Any], said: dict[str, Any], who: dict[str, Any]) -> list[WireFact]:
    """v2 names an agreement by its own id, before and after."""
    reference = str(asked.get("agreementId", ""))
    facts = [WireFact(kind="execute_asked", reference=reference, **who)]
    if said.get("agreementStatus") == "Completed" and said.get("agreementId"):
        facts.append(WireFact(kind="consented", reference=reference, agreement_id=said["agreementId"], **who))
    return facts


def _moved(kind: str, asks: str) -> Any:
    def read(asked: dict[str, Any], said: dict[str, Any], who: dict[str, Any]) -> list[WireFact]:
        reference = str(asked.get("paymentID") or asked.get("paymentId", ""))
        facts = [WireFact(kind=asks, reference=reference, **who)]
        transaction_id = said.get("trxID") or said.get("trxId")
        if said.get("transactionStatus") == "Completed" and transaction_id:
            amount = minor_of(said.get("amount"))
            facts.append(
                WireFact(
                    kind=kind, reference=reference, amount_minor=amount, transaction_id=transaction_id, **who
                )
            )
        if said.get("agreementStatus") == "Completed" and said.get("agreementID") and not said.get("trxID"):
            facts.append(
                WireFact(kind="consented", reference=reference, agreement_id=said["agreementID"], **who)
            )
        return facts

    return read


def _consent_ended(asked: dict[str, Any], said: dict[str, Any], who: dict[str, Any]) -> list[WireFact]:
    if said.get("agreementStatus") != "Cancelled":
        return []
    agreement_id = str(said.get("agreementID") or said.get("agreementId", ""))
    return [WireFact(kind="consent_ended", agreement_id=agreement_id, **who)]


def _refunds_listed(asked: dict[str, Any], said: dict[str, Any], who: dict[str, Any]) -> list[WireFact]:
    reference = str(asked.get("paymentId", ""))
    return [
        WireFact(
            kind="refund_listed",
            reference=reference,
            amount_minor=minor_of(one.get("refundAmount")),
            transaction_id=str(one.get("refundTrxId", "")),
            **who,
        )
        for one in said.get("refundTransactions") or ()
    ]


def _refunded(asked: dict[str, Any], said: dict[str, Any], who: dict[str, Any]) -> list[WireFact]:
    reference, amount = str(asked.get("paymentId", "")), minor_of(asked.get("refundAmount"))
    facts = [WireFact(kind="refund_asked", reference=reference, amount_minor=amount, **who)]
    if said.get("refundTrxId"):
        given, transaction_id = minor_of(said.get("refundAmount")), said["refundTrxId"]
        facts.append(
            WireFact(
                kind="refunded", reference=reference, amount_minor=given, transaction_id=transaction_id, **who
            )
        )
    return facts


def _paid_out(asked: dict[str, Any], said: dict[str, Any], who: dict[str, Any]) -> list[WireFact]:
    order_id = str(asked.get("merchantInvoiceNumber", ""))
    facts = [WireFact(kind="payout_asked", order_id=order_id, **who)] if order_id else []
    if said.get("trxID") and said.get("transactionStatus") == p.STATUS_COMPLETED:
        amount, transaction_id = minor_of(said.get("amount")), str(said["trxID"])
        facts.append(
            WireFact(
                kind="paid_out",
                order_id=order_id,
                amount_minor=amount,
                transaction_id=transaction_id,
                **who,
            )
        )
    return facts


def _transferred(asked: dict[str, Any], said: dict[str, Any], who: dict[str, Any]) -> list[WireFact]:
    way, amount = DIRECTIONS.get(str(asked.get("transferType")), ""), minor_of(asked.get("amount"))
    facts = [WireFact(kind="transfer_asked", reference=way, amount_minor=amount, **who)]
    if said.get("trxID") and said.get("transactionStatus") == p.STATUS_COMPLETED:
        given, transaction_id = minor_of(said.get("amount")), str(said["trxID"])
        facts.append(
            WireFact(
                kind="transferred", reference=way, amount_minor=given, transaction_id=transaction_id, **who
            )
        )
    return facts


PAYOUT_READERS: Final[Mapping[str, Any]] = {
    p.CHECKOUT_ROOT_PATH + p.PATH_GRANT: _granted,
    p.CHECKOUT_ROOT_PATH + p.PATH_REFRESH: _granted,
    p.CHECKOUT_ROOT_PATH + p.PATH_B2C: _paid_out,
    p.CHECKOUT_ROOT_PATH + p.PATH_B2B_BY_ID: _paid_out,
    p.CHECKOUT_ROOT_PATH + p.PATH_TRANSFER: _transferred,
    p.TOKENIZED_ROOT_PATH + p.TOKENIZED_PATH_B2C_BY_ID: _paid_out,
    p.TOKENIZED_ROOT_PATH + p.TOKENIZED_PATH_B2B_BY_ID: _paid_out,
    p.TOKENIZED_ROOT_PATH + p.TOKENIZED_PATH_TRANSFER: _transferred,
}
READERS: Final[Mapping[str, Any]] = {
    m.ROOT_PATH + m.PATH_GRANT: _granted,
    m.ROOT_PATH + m.PATH_REFRESH: _granted,
    m.ROOT_PATH + m.PATH_CREATE: _created,
    m.ROOT_PATH + m.PATH_EXECUTE: _moved("executed", "execute_asked"),
    m.ROOT_PATH + m.PATH_CAPTURE: _moved("captured", "capture_asked"),
    m.ROOT_PATH + m.PATH_AGREEMENT_CANCEL: _consent_ended,
    m.HOST_PATH_REFUND_V2: _refunded,
    m.HOST_PATH_REFUND_STATUS_V2: _refunds_listed,
    v2.ROOT_PATH + v2.PATH_GRANT: _granted,
    v2.ROOT_PATH + v2.PATH_REFRESH: _granted,
    v2.ROOT_PATH + v2.PATH_PAYMENT_CREATE: _created,
    v2.ROOT_PATH + v2.PATH_CHARGE_CREATE: _created,
    v2.ROOT_PATH + v2.PATH_PAYMENT_EXECUTE: _moved("executed", "execute_asked"),
    v2.ROOT_PATH + v2.PATH_CHARGE_EXECUTE: _moved("executed", "execute_asked"),
    v2.ROOT_PATH + v2.PATH_AGREEMENT_CREATE: _consent_created,
    v2.ROOT_PATH + v2.PATH_AGREEMENT_EXECUTE: _consented,
    v2.ROOT_PATH + v2.PATH_AGREEMENT_CANCEL: _consent_ended,
}
