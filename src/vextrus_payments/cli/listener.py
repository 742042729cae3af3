"""A return door on loopback: the one page that the payer's browser comes back to while a command waits.

It serves GET and POST of `.../{gateway}/return`, with or without a slash at its end, and nothing else, on this
machine's loopback (a tunnel may lead here from outside). Some gateways redirect browsers, others have them post a form.
What arrives is a browser's hint, believed by nobody: it is handed to `on_return`, whose answer becomes the page.
"""

import asyncio
import base64
import hashlib
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from html import escape
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from vextrus_payments.errors import ConfigurationError
from vextrus_payments.webhooks.returning import FORM, FORM_MAX_BYTES, returned_fields

_MAX_HEAD_BYTES: Final = 16_384
_LENGTH: Final = re.compile(r"[0-9]{1,6}", re.ASCII)
_READ_TIMEOUT_S: Final = 10.0
_MAX_CONNECTIONS: Final = 32

_STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{margin:0;background:#f4f5f7;color:#1b2430;font:1.1rem/1.5 system-ui,sans-serif}"
    "main{max-width:34rem;margin:15vh auto 2rem;padding:0 1rem;overflow-wrap:anywhere}"
    "h1{font-size:1.5rem;line-height:1.3}"
    "@media (prefers-color-scheme:dark){body{background:#12161c;color:#e8edf3}}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode("utf-8")).digest()).decode("ascii")
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; "
    "base-uri 'none'; frame-ancestors 'none'"
)
#: The empty icon keeps the browser from asking for one.
_PAGE: Final = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
    "<style>{style}</style></head><body><main><h1>{title}</h1><p>{text}</p></main></body></html>"
)


@dataclass(frozen=True, slots=True)
class Page:
    """What the browser is shown."""

    title: str
    text: str
    status: int = 200


#: (gateway name, what query and form say) -> the page to show.
OnReturn = Callable[[str, Mapping[str, str]], Awaitable[Page]]

_REASONS: Final = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed"}
_NOT_HERE: Final = Page("Nothing here", "This address only takes payers back from a payment page.", 404)
_OTHER_WAY: Final = Page("Not like this", "A browser comes back with GET, or posts a form.", 405)
_UNREADABLE: Final = Page("Not understood", "This is no request of a browser.", 400)
_FAILED: Final = Page(
    "Your payment is being looked at", "You can close this window; the terminal shows what became of it.", 500
)


class ReturnListener:
    """`async with ReturnListener(on_return) as door:` listens until it is left; `door.url` is its public URL.

    Raises (on entering):
        ConfigurationError: the port is taken or not allowed.
    """

    def __init__(self, on_return: OnReturn, *, port: int = 0) -> None:
        self._on_return = on_return
        self._port = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.url: str = ""

    async def __aenter__(self) -> Self:
        problem: str | None = None
        try:
            self._server = await asyncio.start_server(
                self._accept, "127.0.0.1", self._port, limit=_MAX_HEAD_BYTES
            )
        except OSError as error:
            problem = os.strerror(error.errno) if error.errno else type(error).__name__
        if self._server is None:
            raise ConfigurationError(
                f"The return listener cannot use port {self._port} of 127.0.0.1: {problem}.",
                code="port",
                next_step="Name a free port, or leave it out to have one chosen.",
            )
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= _MAX_CONNECTIONS:
            writer.close()
            return
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_READ_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                form = await _form(head, reader)
            writer.write(_rendered(await self._answer(head, form)))
            await writer.drain()
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            pass  # a browser that went away, or no browser at all
        finally:
            writer.close()

    async def _answer(self, head: bytes, form: bytes | None) -> Page:
        words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/"):
            return _UNREADABLE
        try:
            target = urlsplit(words[1])
        except ValueError:
            return _UNREADABLE
        steps = target.path.removesuffix("/").split("/")  # some gateways put a slash before the question mark
        if len(steps) < 3 or steps[-1] != "return":
            return _NOT_HERE
        if words[0] not in ("GET", "POST"):
            return _OTHER_WAY
        if words[0] == "POST" and form is None:
            return _UNREADABLE
        params = returned_fields(target.query, form)
        if params is None:
            return _UNREADABLE
        try:
            return await self._on_return(steps[-2], params)
        except Exception:  # noqa: BLE001 - whoever waits for the outcome is told; the payer only needs a page
            return _FAILED


async def _form(head: bytes, reader: asyncio.StreamReader) -> bytes | None:
    """What was posted, as its head announces it; None where there is no form of a browser's."""
    lines = head.decode("latin-1").split("\r\n")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
    }
    length, kind = headers.get("content-length", ""), headers.get("content-type", "").partition(";")[0]
    if not lines[0].startswith("POST ") or kind.strip().lower() != FORM:
        return None
    if "transfer-encoding" in headers or not _LENGTH.fullmatch(length) or int(length) > FORM_MAX_BYTES:
        return None
    return await reader.readexactly(int(length))


def _rendered(page: Page) -> bytes:
    body = _PAGE.format(style=_STYLE, title=escape(page.title), text=escape(page.text)).encode("utf-8")
    head = [
        f"HTTP/1.1 {page.status} {_REASONS.get(page.status, 'Internal Server Error')}",
        "Content-Type: text/html; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Referrer-Policy: no-referrer",
        f"Content-Security-Policy: {_POLICY}",
        "Connection: close",
    ]
    return "\r\n".join([*head, "", ""]).encode("ascii") + body
