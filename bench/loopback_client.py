"""A client that costs little beside the server it drives: HTTP/1.1 over asyncio's own streams, connections kept."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_HEAD_MAX: Final = 64 * 1024
_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class WireError(Exception):
    """No whole answer came."""


class Client:
    """Connections to one server on loopback. A call takes one that is free, or opens another; none is sent twice."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._named = parts.hostname or "", parts.port or 80, parts.netloc
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.connections = 0
        self.requests = 0

    async def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request and its answer; raises :class:`WireError`."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._named}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        sent = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
        self.requests += 1
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                return await self._exchange(sent)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            raise WireError(f"{method} {path.partition('?')[0]}: {type(error).__name__} {error}") from error

    async def _exchange(self, sent: bytes) -> Answer:
        reader, writer = self._free.pop() if self._free else await self._opened()
        kept = False
        try:
            writer.write(sent)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *rest = head.rstrip("\r\n").split("\r\n")
            headers = {}
            for line in rest:
                name, _, value = line.partition(":")
                headers[name.strip().lower()] = value.strip()
            status = int(first.split(" ", 2)[1])
            if "content-length" not in headers and status != 204:
                raise ValueError("an answer without a length")
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            kept = headers.get("connection", "").lower() != "close"
        finally:
            if kept:
                self._free.append((reader, writer))
            else:
                writer.close()
        return Answer(status, headers, body)

    async def _opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.connections += 1
        return await asyncio.open_connection(self._host, self._port, limit=_HEAD_MAX)

    def close(self) -> None:
        """Hang up."""
        for _, writer in self._free:
            writer.close()
        self._free.clear()
