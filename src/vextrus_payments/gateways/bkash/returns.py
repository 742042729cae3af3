"""The browser coming back from bKash's page (dossier §4.3). Anybody can send it: it proves nothing."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.events import HintVerdict, ReturnHint
from vextrus_payments.gateways.bkash.manners import NAME

_RETURNED_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,128}", re.ASCII)
_RETURNED_AGREEMENT: Final = re.compile(r"[!-~]{1,255}", re.ASCII)
"""An agreement's id begins with the merchant's name (§12.3)."""
_VERDICTS: Final[Mapping[str, HintVerdict]] = MappingProxyType(
    {
        "success": HintVerdict.SUCCESS,
        "failure": HintVerdict.FAILURE,
        "cancel": HintVerdict.CANCEL,
    }
)


def parse_return(params: Mapping[str, str]) -> ReturnHint:
    """Read `paymentID` (or `paymentId`), `agreementID` (or `agreementId`) and `status`. The others are ignored.

    A payment is named by its paymentID on v1 and v2; a v1 agreement too, a v2 agreement by its own id (§5, §17).
    Where both come it is either a charge of an agreement or an agreement itself: whoever has the records knows.

    Values may also be lists of text, as frameworks hand over repeated parameters: repeated alike they are one. The
    `signature` parameter has no published scheme (dossier §1.6), so nothing is made of it.

    Raises:
        InvalidRequestError: it names no payment, or two different ones.
    """
    payment = _named(params, "paymentID", "paymentId")
    agreement = _named(params, "agreementID", "agreementId")
    if agreement is not None and not _RETURNED_AGREEMENT.fullmatch(agreement):
        agreement = None if payment is not None else ""
    reference = (agreement or "") if payment is None else payment
    if payment is not None and not _RETURNED_ID.fullmatch(payment):
        reference = ""
    if not reference:
        raise InvalidRequestError(
            "The return names no bKash payment, or more than one.",
            field="paymentID",
            rule="exactly one id of 1-128 letters, digits, - and _",
            gateway=NAME,
        )
    statuses = set(_values(params.get("status")))
    verdict = _VERDICTS.get(statuses.pop(), None) if len(statuses) == 1 else None
    return ReturnHint(
        gateway=NAME,
        gateway_reference=reference,
        verdict=verdict or HintVerdict.UNRECOGNIZED,
        agreement_reference=agreement,
    )


def _named(params: Mapping[str, str], *spellings: str) -> str | None:
    """The id under any of these names; "" where there are several, None where there is none."""
    found = {value for name in spellings for value in _values(params.get(name))}
    return None if not found else found.pop() if len(found) == 1 else ""


def _values(value: object) -> tuple[str, ...]:
    """A parameter's values: a framework may hand over one text or, for repeated parameters, several."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list | tuple):
        return tuple(item for item in value if isinstance(item, str))
    return ()
