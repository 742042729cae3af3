"""The doors as a raw ASGI application, to be mounted in Starlette, FastAPI, Litestar or served alone.

It reads `scope` and `receive` itself: no framework's request stands between, and no body is read before its head was
judged. Lifespan events are answered and change nothing: whoever mounts it opens Payments, in his own lifespan.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from functools import lru_cache
from typing import Any, Final

from vextrus_payments.webhooks.doorway import TOO_SLOW, Doorway, Errand, Head, headers_of
from vextrus_payments.webhooks.messages import DoorKeeper, Reply
from vextrus_payments.webhooks.replies import TOO_LARGE
from vextrus_payments.webhooks.waiting import within

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class AsgiDoors:
    """`app.mount("/payments", AsgiDoors(keeper))`, which `Payments.asgi()` gives.

    Args:
        keeper: what answers; it may be opened before or after this is mounted. Until then every door answers 503.
    """

    def __init__(self, keeper: DoorKeeper) -> None:
        self._doorway = Doorway(keeper)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection.

        Raises:
            ValueError: a kind of connection that ASGI did not have when this was written.
        """
        kind = scope["type"]
        if kind == "http":
            await self._serve(scope, receive, send)
        elif kind == "lifespan":
            await _live(receive, send)
        elif kind == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            raise ValueError(f"an ASGI connection of another kind: {kind!r}")

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        errand = await self._doorway.begin(_head(scope))
        if isinstance(errand, Reply):
            await _answer(scope, send, errand, read=scope["method"] != "POST")
            return
        try:
            body: bytes | Reply | None = b""
            if errand.body_max_bytes:
                body = await _body(receive, errand)
            if body is None:
                return  # the sender is gone: there is nobody to answer
            read = isinstance(body, bytes)
            reply = await self._doorway.finish(errand, body) if isinstance(body, bytes) else body
        finally:
            self._doorway.leave(errand)
        await _answer(scope, send, reply, read=read)


def _head(scope: Scope) -> Head:
    raw: Iterable[tuple[bytes, bytes]] = scope["headers"]
    headers: dict[str, str] = {}
    count = size = 0
    for name, value in raw:
        count += 1
        size += len(name) + len(value)
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = text if key not in headers else f"{headers[key]}, {text}"
    client = scope.get("client")
    return Head(
        method=scope["method"],
        path=scope["path"],
        root_path=scope.get("root_path", ""),
        query=scope.get("query_string", b"").decode("latin-1"),
        headers=headers,
        header_count=count,
        header_bytes=size,
        peer=client[0] if client else None,
    )


async def _body(receive: Receive, errand: Errand) -> bytes | Reply | None:
    """The whole body; a refusal when it is too long or too slow; None when the sender left.

    Most bodies come with their heads, and are there before anybody asks: they need no clock.
    """
    try:
        return await within(errand.read_deadline_s, _read(receive, errand.body_max_bytes))
    except TimeoutError:
        return TOO_SLOW


async def _read(receive: Receive, most: int) -> bytes | Reply | None:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > most:
            return TOO_LARGE
        if not message.get("more_body", False):
            return part if not parts else b"".join((*parts, part))
        parts.append(part)


def _encoded(reply: Reply) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers_of(reply))


#: Most answers are one of a few, which come again and again; pages and other long ones are made anew.
_headers_of = lru_cache(maxsize=64)(_encoded)
_KEPT_BYTES: Final = 512


async def _answer(scope: Scope, send: Send, reply: Reply, *, read: bool) -> None:
    headers = list(_headers_of(reply) if len(reply.body) < _KEPT_BYTES else _encoded(reply))
    if not read and reply.status >= 400 and scope.get("http_version", "1.1").startswith("1"):
        headers.append((b"connection", b"close"))  # what is left of the body is not read
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    body = b"" if scope["method"] == "HEAD" else reply.body
    await send({"type": "http.response.body", "body": body})


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return
