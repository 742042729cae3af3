"""The browser coming back from Nagad's page (dossier §6). Unsigned, anybody can send it: it proves nothing."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.events import HintVerdict, ReturnHint
from vextrus_payments.gateways.nagad import models as m
from vextrus_payments.gateways.nagad.manners import NAME

_VERDICTS: Final[Mapping[m.Status, HintVerdict]] = MappingProxyType(
    {
        m.Status.SUCCESS: HintVerdict.SUCCESS,
        m.Status.FAILED: HintVerdict.FAILURE,
        m.Status.INVALID_REQUEST: HintVerdict.FAILURE,
        m.Status.FRAUD: HintVerdict.FAILURE,
        m.Status.ABORTED: HintVerdict.CANCEL,
        m.Status.CANCELLED: HintVerdict.CANCEL,
    }
)


def parse_return(params: Mapping[str, str], *, merchant_id: str) -> ReturnHint:
    """Read `payment_ref_id` and `status`, in whatever order they came; other parameters are ignored.

    Values may also be lists of text, as frameworks hand over repeated parameters: repeated alike they are one. Nagad
    writes the reference's `=` as it is, and some parsers of queries drop it: what is lacking at the end is put back.
    `merchant` and `order_id` must fit what the reference says of itself; `issuer_payment_ref` varies, and is not read.

    Raises:
        InvalidRequestError: it names no payment, two different ones, or another merchant's.
    """
    reference = _padded(_one(params.get("payment_ref_id")))
    if not m.is_reference(reference) or len(reference) < m.REFERENCE_MIN:
        raise _refusal("payment_ref_id", "exactly one payment reference as Nagad gave it")
    merchant, order_id = _one(params.get("merchant")), _one(params.get("order_id"))
    parts = m.read_reference(reference)
    if (merchant and merchant != merchant_id) or (parts is not None and parts.merchant_id != merchant_id):
        raise _refusal("merchant", "the merchant that the payment was made for")
    if parts is not None and order_id and order_id != parts.order_id:
        raise _refusal("order_id", "the order that the payment reference names")
    status = m.read_status(_one(params.get("status")))
    verdict = _VERDICTS.get(status) if status is not None else None
    return ReturnHint(gateway=NAME, gateway_reference=reference, verdict=verdict or HintVerdict.UNRECOGNIZED)


def _padded(text: str) -> str:
    bare = text.rstrip("=")
    return bare + "=" * (-len(bare) % 4) if len(text) - len(bare) <= 2 else text


def _one(value: object) -> str:
    """A parameter's one value; empty where there is none, or several that differ."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        found = {item for item in value if isinstance(item, str)}
        return found.pop() if len(found) == 1 else ""
    return ""


def _refusal(field: str, rule: str) -> InvalidRequestError:
    return InvalidRequestError(
        "The return names no payment of this Nagad merchant.", field=field, rule=rule, gateway=NAME
    )
