"""The words of both refund interfaces, v1's and v2's (dossier §4.10, §4.11); read through `models.py`."""

from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import BeforeValidator, Field

from vextrus_payments.gateways.bkash.fields import Answer, either, named
from vextrus_payments.gateways.bodies import Body, Lenient, Text, read_json

TEXT_MAX: Final = 255
"""Longest payerReference, merchantInvoiceNumber, merchantAssociationInfo, sku and reason, in characters."""


# ------------------------------------------------------------------------------------------------- what we send


class RefundV1Body(Body):
    """Refund on the v1 route. An empty amount would silently be a *status* call, so it is refused (§4.10)."""

    payment_id: str = Field(alias="paymentID", min_length=1)
    trx_id: str = Field(alias="trxID", min_length=1)
    amount: str = Field(min_length=1)
    sku: str = Field(min_length=1, max_length=TEXT_MAX)
    reason: str = Field(min_length=1, max_length=TEXT_MAX)


class RefundStatusV1Body(Body):
    """Refund status on the v1 route: the same URL without an amount (§4.10)."""

    payment_id: str = Field(alias="paymentID", min_length=1)
    trx_id: str = Field(alias="trxID", min_length=1)


class RefundV2Body(Body):
    """Refund on the v2 route; note the spelling ``paymentId``, ``trxId`` (§4.11)."""

    payment_id: str = Field(alias="paymentId", min_length=1)
    trx_id: str = Field(alias="trxId", min_length=1)
    refund_amount: str = Field(alias="refundAmount", min_length=1)
    sku: str = Field(min_length=1, max_length=TEXT_MAX)
    reason: str = Field(min_length=1, max_length=TEXT_MAX)


class RefundStatusV2Body(Body):
    """Refund status on the v2 route (§4.11)."""

    payment_id: str = Field(alias="paymentId", min_length=1)
    trx_id: str = Field(alias="trxId", min_length=1)


# ------------------------------------------------------------------------------------- what the gateway says


class RefundV1Answer(Answer):
    """Refund and refund status on the v1 route (§4.10). Status before any refund has no ``refund_trx_id``."""

    original_trx_id: Text = either("originalTrxID", "originalTrxId")
    refund_trx_id: Text = either("refundTrxID", "refundTrxId")
    transaction_status: Text = named("transactionStatus")
    amount: Text = None
    currency: Text = None
    charge: Text = None
    completed_time: Text = named("completedTime")


class RefundV2Answer(Answer):
    """Refund on the v2 route: success has no status code (§4.11)."""

    original_trx_id: Text = either("originalTrxId", "originalTrxID")
    refund_trx_id: Text = either("refundTrxId", "refundTrxID")
    refund_transaction_status: Text = named("refundTransactionStatus")
    original_trx_amount: Text = named("originalTrxAmount")
    refund_amount: Text = named("refundAmount")
    currency: Text = None
    completed_time: Text = named("completedTime")
    sku: Text = None
    reason: Text = None


class RefundTransaction(Lenient):
    """One entry of the v2 refund list. It carries no sku, no reason: only the amount correlates (§4.11)."""

    refund_trx_id: Text = either("refundTrxId", "refundTrxID")
    refund_transaction_status: Text = either("refundTransactionStatus", "transactionStatus")
    refund_amount: Text = named("refundAmount")
    completed_time: Text = either("completedTime", "refundTime")


def _as_list(value: object) -> list[Any] | None:
    """Absent stays ``None``. A list that holds anything but objects is not a list one can diff against."""
    if isinstance(value, list) and all(isinstance(entry, (dict, RefundTransaction)) for entry in value):
        return value
    return None


class RefundStatusV2Answer(Answer):
    """Refund status on the v2 route (§4.11).

    ``refund_transactions`` is ``None`` when the field is absent, which is normal when there is no refund yet.
    It is also ``None`` when the field was there but unreadable; ``refund_list_unreadable`` tells the two
    apart, because "no refund yet" read into a garbled list would license a second refund.
    """

    original_trx_id: Text = either("originalTrxId", "originalTrxID")
    original_trx_amount: Text = named("originalTrxAmount")
    original_trx_completed_time: Text = named("originalTrxCompletedTime")
    refund_transactions: Annotated[list[RefundTransaction] | None, BeforeValidator(_as_list)] = named(
        "refundTransactions"
    )
    refund_list_unreadable: bool = Field(default=False, exclude=True)

    _LIST: ClassVar[str] = "refundTransactions"

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """As :meth:`Answer.from_json`, and notes a refund list that is there but cannot be read."""
        found = read_json(raw)
        listed = found.get(cls._LIST)
        answer = cls.model_validate(
            {key: value for key, value in found.items() if key != "refund_list_unreadable"}
        )
        unreadable = listed is not None and _as_list(listed) is None
        return answer.model_copy(update={"refund_list_unreadable": unreadable})


class RefundStatusV1Answer(RefundStatusV2Answer):
    """Refund status on the v1 route: one refund's own fields (§4.10); a list, where one comes, is read as well."""

    refund_trx_id: Text = either("refundTrxID", "refundTrxId")
    transaction_status: Text = named("transactionStatus")
    amount: Text = None
    currency: Text = None
    charge: Text = None
    completed_time: Text = named("completedTime")
