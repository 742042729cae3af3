"""``GET /_sandbox/events``: what happens, as it happens, as server-sent events.

Each change of an entry of the record is one event: ``id`` is the number under which it was told, ``event`` is
``entry``, ``data`` one JSON object without requests and answers (those are a GET away). A browser that lost the line
comes back with ``Last-Event-ID`` and misses nothing that is still kept; where something is not, or the sandbox began
anew in the meantime, it is sent the event ``missed`` and had better read the page again.

Nothing is queued for a listener: each reads the record at its own pace. At most :data:`LISTENERS_MAX` listen at once,
each gives a sign of life every :data:`HEARTBEAT_S` seconds, and all end when the server stops.
"""

import asyncio
import json
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vextrus_payments_sandbox.record import Entry, Record
from vextrus_payments_sandbox.strikes import json_response

LISTENERS_MAX: Final = 32
HEARTBEAT_S: Final = 15.0
RETRY_MS: Final = 2_000
"""How long a browser waits until it comes back."""
RETRY_AFTER_S: Final = 5
BATCH_MAX: Final = 256
"""How many events are written at once to somebody who has much to catch up on."""
_NUMBER_MAX: Final = 18
_MESSAGES: Final = frozenset({"request", "answer", "lost_answer"})


class Feed:
    """Who listens to one record."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self.listeners = 0

    async def listen(self, request: Request) -> Response:
        """The stream, from ``Last-Event-ID`` on, or ``?after=``; without either, from now on."""
        given = request.headers.get("last-event-id") or request.query_params.get("after", "")
        if given and not (given.isascii() and given.isdigit() and len(given) <= _NUMBER_MAX):
            return json_response({"error": "Last-Event-ID and after are the number of an event"}, 400)
        if request.method == "HEAD":
            return Response(media_type=_Stream.media_type)
        if self.listeners >= LISTENERS_MAX:
            refused = json_response({"error": f"{LISTENERS_MAX} listeners are here already"}, 503)
            refused.headers["Retry-After"] = str(RETRY_AFTER_S)
            return refused
        return _Stream(self, self._record, int(given) if given else self._record.told)


class _Stream(Response):
    """One listener's stream. It watches for the listener's going, which no write would tell."""

    media_type = "text/event-stream"

    def __init__(self, feed: Feed, record: Record, seq: int) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})
        del self.headers["content-length"]  # there is no end that could be told
        self._feed = feed
        self._record = record
        self._seq = seq
        self._life = record.closings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        self._feed.listeners += 1
        telling = asyncio.create_task(self._tell(send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({telling, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._feed.listeners -= 1
            for task in (telling, leaving):
                task.cancel()
            await asyncio.gather(telling, leaving, return_exceptions=True)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _tell(self, send: Send) -> None:
        """Until the server stops."""
        await _write(send, f"retry: {RETRY_MS}\nid: {self._seq}\n\n")
        warned_of = -1
        while self._record.closings == self._life:
            if self._record.missed(self._seq) and warned_of != self._record.lost:
                self._seq, warned_of = min(self._seq, self._record.told), self._record.lost
                await _write(send, "event: missed\ndata: {}\n\n")
            news = await self._record.after(self._seq, HEARTBEAT_S)
            if self._record.closings != self._life:
                return
            del news[BATCH_MAX:]  # the rest at the next turn, once this is on its way
            if news:
                self._seq = news[-1].told
            await _write(send, "".join(map(event, news)) or ": still here\n\n")


def event(entry: Entry) -> str:
    """One entry as an event; whatever it holds, it cannot break out of its line."""
    data = json.dumps(summary(entry), separators=(",", ":"))
    return f"id: {entry.told}\nevent: entry\ndata: {data}\n\n"


def summary(entry: Entry) -> dict[str, Any]:
    """An entry without its request and its answer."""
    short = {name: value for name, value in entry.detail.items() if name not in _MESSAGES}
    return {**entry.brief(), "told": entry.told, "detail": short}


async def _write(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode("utf-8"), "more_body": True})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
