"""The browser coming back: a POST with the fields of a notification (dossier §1.3). It proves nothing.

Each session names three addresses (success, fail, cancel). All of them are our one return door; what tells them apart,
and which session it was, stands in the address itself. So the payer who comes back without a body, or looks at the page
once more, still names his payment.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.events import HintVerdict, ReturnHint
from vextrus_payments.gateways.sslcommerz import models as m
from vextrus_payments.gateways.sslcommerz.manners import NAME
from vextrus_payments.gateways.sslcommerz.steps import is_reference, status_of

CAME: Final = "vextrus_came"
REFERENCE: Final = "vextrus_ref"
SUCCESS: Final = "success"
FAIL: Final = "fail"
CANCEL: Final = "cancel"

_BY_ADDRESS: Final[Mapping[str, HintVerdict]] = MappingProxyType(
    {SUCCESS: HintVerdict.SUCCESS, FAIL: HintVerdict.FAILURE, CANCEL: HintVerdict.CANCEL}
)
_BY_STATUS: Final[Mapping[m.Status, HintVerdict]] = MappingProxyType(
    {
        m.Status.VALID: HintVerdict.SUCCESS,
        m.Status.VALIDATED: HintVerdict.SUCCESS,
        m.Status.FAILED: HintVerdict.FAILURE,
        m.Status.EXPIRED: HintVerdict.FAILURE,
        m.Status.UNATTEMPTED: HintVerdict.CANCEL,
        m.Status.CANCELLED: HintVerdict.CANCEL,
    }
)


def return_url(door: str, reference: str, came: str) -> str:
    """One of the three addresses of a session: the return door, with the word and the reference in its query."""
    join = "" if door.endswith(("?", "&")) else "&" if "?" in door else "?"
    return f"{door}{join}{CAME}={came}&{REFERENCE}={reference}"


def parse_return(params: Mapping[str, str], *, store_id: str) -> ReturnHint:
    """Read what the address and the posted fields say together; other parameters are ignored.

    Values may also be lists of text, as frameworks hand over repeated parameters: repeated alike they are one.

    Raises:
        InvalidRequestError: it names no payment, two different ones, or another store's.
    """
    named = {_one(params.get(REFERENCE)), _one(params.get("value_d"))} - {""}
    if len(named) != 1 or not is_reference(reference := named.pop()):
        raise _refusal(REFERENCE, "exactly one reference, as the session named it")
    store = _one(params.get(m.STORE_ID))
    if store and store != store_id:
        raise _refusal(m.STORE_ID, "the store that the payment was made for")
    return ReturnHint(gateway=NAME, gateway_reference=reference, verdict=_verdict(params))


def _verdict(params: Mapping[str, str]) -> HintVerdict:
    """What it claims; nothing, where the posted status and the address that it was posted to differ."""
    by_address = _BY_ADDRESS.get(_one(params.get(CAME)))
    status = status_of(_one(params.get("status")))
    by_status = _BY_STATUS.get(status) if status is not None else None
    if by_address is None or by_status is None:
        return by_address or by_status or HintVerdict.UNRECOGNIZED
    if by_address is by_status:
        return by_status
    both = {by_address, by_status}
    # Of a payer who left, some say that he failed and some that he cancelled: neither claims money.
    return HintVerdict.UNRECOGNIZED if HintVerdict.SUCCESS in both else by_status


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
        "The return names no payment of this SSLCommerz store.", field=field, rule=rule, gateway=NAME
    )
