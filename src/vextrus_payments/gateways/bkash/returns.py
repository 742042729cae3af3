"""The browser coming back from bKash's page (dossier §4.3). Anybody can send it: it proves nothing."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.events import HintVerdict, ReturnHint
from vextrus_payments.gateways.bkash.manners import NAME

_RETURNED_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,128}", re.ASCII)
_VERDICTS: Final[Mapping[str, HintVerdict]] = MappingProxyType(
    {
        "success": HintVerdict.SUCCESS,
        "failure": HintVerdict.FAILURE,
        "cancel": HintVerdict.CANCEL,
    }
)


def parse_return(params: Mapping[str, str]) -> ReturnHint:
    """Read `paymentID` (or `paymentId`) and `status`. Other parameters are ignored.

    Values may also be lists of text, as frameworks hand over repeated parameters: repeated alike they are one. The
    `signature` parameter has no published scheme (dossier §1.6), so nothing is made of it.

    Raises:
        InvalidRequestError: it names no payment, or two different ones.
    """
    named = {value for name in ("paymentID", "paymentId") for value in _values(params.get(name))}
    reference = named.pop() if len(named) == 1 else ""
    if not _RETURNED_ID.fullmatch(reference):
        raise InvalidRequestError(
            "The return names no bKash payment, or more than one.",
            field="paymentID",
            rule="exactly one id of 1-128 letters, digits, - and _",
            gateway=NAME,
        )
    statuses = set(_values(params.get("status")))
    verdict = _VERDICTS.get(statuses.pop(), None) if len(statuses) == 1 else None
    return ReturnHint(gateway=NAME, gateway_reference=reference, verdict=verdict or HintVerdict.UNRECOGNIZED)


def _values(value: object) -> tuple[str, ...]:
    """A parameter's values: a framework may hand over one text or, for repeated parameters, several."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list | tuple):
        return tuple(item for item in value if isinstance(item, str))
    return ()
