"""Reading an answer whole, within limits."""

import zlib
from collections.abc import AsyncGenerator, AsyncIterable
from typing import cast

import httpcore

from vextrus_payments.wire import WireResponse


class UnreadableError(Exception):
    """The answer is beyond our limits; the text says how."""


async def read_whole(answer: httpcore.Response, max_body_bytes: int) -> WireResponse:
    """The answer with its whole body, and the connection free again.

    Raises:
        UnreadableError: it is longer than the limit, or encoded in a way that cannot be undone.
    """
    headers: dict[str, str] = {}
    for raw_name, raw_value in answer.headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    parts = aiter(cast(AsyncIterable[bytes], answer.stream))
    chunks: list[bytes] = []
    size = 0
    async for chunk in parts:
        size += len(chunk)
        if size > max_body_bytes:
            break
        chunks.append(chunk)
    if size > max_body_bytes:
        if isinstance(parts, AsyncGenerator):
            await parts.aclose()
        raise UnreadableError(f"is longer than {max_body_bytes} bytes")
    await answer.aclose()
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        body = _decoded(body, encoding, max_body_bytes)
        del headers["content-encoding"]
    return WireResponse(answer.status, headers, body)


def _decoded(body: bytes, encoding: str, max_body_bytes: int) -> bytes:
    """A body that was encoded though nobody asked for it, within the same limit."""
    window = {"gzip": 31, "x-gzip": 31, "deflate": 15}.get(encoding)
    if window is None:
        raise UnreadableError("is encoded in a way that was not asked for")
    inflater = zlib.decompressobj(window)
    try:
        plain = inflater.decompress(body, max_body_bytes + 1)
    except zlib.error:
        plain = b""
    if len(plain) > max_body_bytes:
        raise UnreadableError(f"is longer than {max_body_bytes} bytes")
    if not inflater.eof:
        raise UnreadableError("is encoded, and its code is broken")
    return plain
