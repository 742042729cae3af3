"""What a fault looks like on the wire: the answer that comes instead of the work, or instead of its true answer."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vextrus_payments_sandbox.fault_kinds import DEFAULT_CODE, Fault

ABORT: Final = "vextrus.sandbox.abort"
"""ASGI extension under which the sandbox's own server hands over "close this connection now"."""
RESET: Final = "vextrus.sandbox.reset"
"""The same for "reset this connection now": the peer sees a TCP RST instead of an end."""

_BAD_GATEWAY: Final = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    "</body>\r\n</html>\r\n"
)
_BLOCKED: Final = (
    "<html><head><title>Request Rejected</title></head><body>The requested URL was rejected. Please consult with "
    "your administrator.<br><br>Your support ID is: {support_id}<br></body></html>"
)
_PROXY_WORDS: Final[Mapping[int, str]] = {
    503: "Service Unavailable",
    504: "Endpoint request timed out",
}
_INTERNAL: Final = "Internal server error"

Coded = Callable[[str], Response]
"""Words a refusal with a given code, as the operation would."""
Digits = Callable[[int], str]
"""So many random digits."""


class ConnectionDroppedError(httpx.ReadError):
    """In-process there is no connection to cut: a caller under ``httpx.ASGITransport`` gets this instead."""


def json_response(content: Any, status: int = 200) -> Response:
    """A JSON answer as the gateways write it: compact, UTF-8, exact."""
    raw = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    return Response(raw, status, media_type="application/json")


class Dropped(Response):
    """No answer: the connection is closed, after the first half of `half` when there is one; or it is reset."""

    def __init__(self, half: Response | None = None, *, reset: bool = False) -> None:
        super().__init__(status_code=200)
        self._half = half
        self._extension = RESET if reset else ABORT

    @property
    def seen(self) -> Response | None:
        """What the peer got to see; None where it was nothing."""
        if self._half is None:
            return None
        body = bytes(self._half.body)
        return Response(body[: len(body) // 2], self._half.status_code, media_type=self._half.media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        cut = scope.get("extensions", {}).get(self._extension)
        if self._half is not None:
            body = bytes(self._half.body)
            headers = self._half.raw_headers  # they promise the whole length
            await send({"type": "http.response.start", "status": self._half.status_code, "headers": headers})
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        if cut is None:
            raise ConnectionDroppedError("the sandbox dropped the connection on purpose")
        cut()
        while (await receive())["type"] != "http.disconnect":
            pass


def before(fault: Fault, coded: Coded, digits: Digits) -> Response | None:
    """The answer that replaces the work; ``None`` lets the work go ahead."""
    match fault.name:
        case "drop_before" | "timeout_before":
            return Dropped()
        case "reset_before":
            return Dropped(reset=True)
        case "error_5xx_before":
            return _proxy_error(fault)
        case "expired_token":
            return json_response({"message": "The incoming token has expired"}, 401)
        case "forbidden":
            return json_response({"message": "Forbidden"}, 403)
        case "throttled" | "grant_budget":
            return json_response({"message": "Too Many Requests"}, 429)
        case "malformed_before":
            return _cut(json_response({"statusCode": "0000", "statusMessage": "Successful"}))
        case "html_before":
            return _firewall(403, digits)
        case "html_200_before":
            return _firewall(200, digits)
        case "message_only_before":
            return json_response({"message": _INTERNAL})
        case "code_before":
            return coded(fault.code or DEFAULT_CODE)
        case _:
            return None


def after(fault: Fault, response: Response, coded: Coded) -> Response:
    """The answer that replaces the true one, which is lost."""
    match fault.name:
        case "drop_after" | "timeout_after":
            return Dropped()
        case "drop_mid_body":
            return Dropped(response)
        case "reset_after":
            return Dropped(reset=True)
        case "error_5xx_after":
            return _proxy_error(fault)
        case "malformed":
            return _cut(response)
        case "html":
            return Response(_BAD_GATEWAY, 502, media_type="text/html")
        case "message_only":
            return json_response({"message": _INTERNAL})
        case "code_after":
            return coded(fault.code or DEFAULT_CODE)
        case _:
            return response


def meanwhile(fault: Fault, coded: Coded) -> Response:
    """The answer of a call whose work is done only later."""
    return coded(fault.code) if fault.code else _proxy_error(fault)


def _proxy_error(fault: Fault) -> Response:
    return json_response({"message": _PROXY_WORDS.get(fault.status, _INTERNAL)}, fault.status)


def _firewall(status: int, digits: Digits) -> Response:
    return Response(_BLOCKED.format(support_id=digits(19)), status, media_type="text/html")


def _cut(response: Response) -> Response:
    return Response(bytes(response.body)[: len(response.body) // 2], 200, media_type="application/json")
