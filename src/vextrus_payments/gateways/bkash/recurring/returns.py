"""The browser coming back from bKash's consent page (dossier §7). Anybody can send it: it proves nothing.

The address is ours, so it names the subscription itself (`reference`); what bKash adds to it no official paper says.
Where it adds `subscriptionRequestId` and `status`, they are read too.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.events import HintVerdict, ReturnHint
from vextrus_payments.gateways.bkash.recurring.manners import NAME
from vextrus_payments.gateways.bkash.recurring.models import REQUEST_ID

PARAMETER: Final = "reference"
_THEIRS: Final = "subscriptionRequestId"
_VERDICTS: Final[Mapping[str, HintVerdict]] = MappingProxyType(
    {
        "success": HintVerdict.SUCCESS,
        "succeeded": HintVerdict.SUCCESS,
        "failure": HintVerdict.FAILURE,
        "failed": HintVerdict.FAILURE,
        "fail": HintVerdict.FAILURE,
        "cancel": HintVerdict.CANCEL,
        "cancelled": HintVerdict.CANCEL,
    }
)


def return_url(callback_url: str, request_id: str) -> str:
    """Where bKash sends the payer back to: our door, with the subscription's own name in the query."""
    parts = urlsplit(callback_url)
    query = [*parse_qsl(parts.query, keep_blank_values=True), (PARAMETER, request_id)]
    return urlunsplit(parts._replace(query=urlencode(query)))


def parse_return(params: Mapping[str, str]) -> ReturnHint:
    """Read which subscription it is, and what the address claims.

    Values may also be lists of text, as frameworks hand over repeated parameters: repeated alike they are one. Whoever
    appends to an address that has a query, and begins a second one with "?", is understood.

    A return without a word of how it ended is taken for a success: that executes nothing here, it only looks.

    Raises:
        InvalidRequestError: it names no subscription, or two different ones.
    """
    said = set(_values(params.get("status")))
    named = set()
    for value in (*_values(params.get(PARAMETER)), *_values(params.get(_THEIRS))):
        reference, _, more = value.partition("?")
        named.add(reference)
        for name, also in parse_qsl(more):
            if name == _THEIRS:
                named.add(also)
            elif name == "status":
                said.add(also)
    reference = named.pop() if len(named) == 1 else ""
    if not REQUEST_ID.fullmatch(reference):
        raise InvalidRequestError(
            "The return names no subscription, or more than one.",
            field=PARAMETER,
            rule="exactly one id of 1-64 letters, digits and -",
            gateway=NAME,
        )
    verdict = HintVerdict.SUCCESS
    if said:
        word = said.pop().lower() if len(said) == 1 else ""
        verdict = _VERDICTS.get(word, HintVerdict.UNRECOGNIZED)
    return ReturnHint(gateway=NAME, gateway_reference=reference, verdict=verdict)


def _values(value: object) -> tuple[str, ...]:
    """A parameter's values: a framework may hand over one text or, for repeated parameters, several."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list | tuple):
        return tuple(item for item in value if isinstance(item, str))
    return ()
