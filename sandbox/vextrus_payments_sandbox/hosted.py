"""What the hosted pages of every gateway share: how a form is read, and how a page sends the browser on."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, quote

from starlette.requests import Request
from starlette.responses import Response

from vextrus_payments_sandbox.exchange import BodyTooLargeError, read_body

STEPS: Final = ("wallet", "otp", "pin")
_FORM_MAX: Final = 4_096
_FIELDS_MAX: Final = 20


async def form_of(request: Request) -> Mapping[str, str] | None:
    """The fields of a urlencoded form, read within a limit; ``None`` when it is too long."""
    try:
        raw = await read_body(request, _FORM_MAX)
    except BodyTooLargeError:
        return None
    try:
        return dict(
            parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_FIELDS_MAX)
        )
    except ValueError:
        return {}


def see_other(url: str) -> Response:
    """Send the browser there with a GET."""
    # What a URL may not hold (quotes, angle brackets) is escaped; what is escaped already stays as it is.
    location = quote(url, safe="%/:=&?~#+!$,;'@()*[]")
    return Response(status_code=303, headers={"Location": location, "Cache-Control": "no-store"})
