"""The byte stream under a connection: httpcore's network backend on a plain asyncio protocol.

Against httpcore's default backend this one knows at once when the peer closes, keeps a request together (what is
written leaves when the answer is first waited for, in one piece), and starts no timer per read: one deadline around
the whole call bounds them all.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterable
from typing import Any, Final, cast

import httpcore

from vextrus_payments.transport.reach import Reach

_CORK_BYTES: Final = 64 * 1024
"""More than this does not wait to be sent in one piece."""
_UNREAD_BYTES: Final = 256 * 1024
"""A peer that sends more than this unasked is made to wait."""
_TLS_FAREWELL_S: Final = 1.0
_NEXT_ADDRESS_S: Final = 2.0
"""So long may an address keep silent while the host has another one."""


class ByteStream(httpcore.AsyncNetworkStream, asyncio.Protocol):
    """One connection to one peer. A single task reads and writes."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._unread = b""
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._ended = False
        self._closed = False
        self._end_was_read = False
        self._error: BaseException | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._writing_paused = False
        self._reading_paused = False
        self.sends: int = 0
        """How often something was handed to the socket."""
        self.reads: int = 0
        """How often something was taken from it."""
        self.lost: asyncio.Future[None] = self._loop.create_future()
        """Done once the socket is gone."""

    # --- what asyncio tells -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._unread = self._unread + data if self._unread else data
        if len(self._unread) > _UNREAD_BYTES and not self._reading_paused and self._transport is not None:
            self._transport.pause_reading()
            self._reading_paused = True
        _wake(self._reader)

    def eof_received(self) -> None:
        """The peer has said its last byte; asyncio then closes our side too."""
        self._ended = True
        _wake(self._reader)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._error = exc
        if not self.lost.done():
            self.lost.set_result(None)
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        _wake(self._writer)

    # --- what httpcore asks -------------------------------------------------------------------------------------

    @property
    def quiet(self) -> bool:
        """Open, with nothing unread: the only state in which another request may be put on it."""
        return not self._ended and not self._unread

    @property
    def end_was_read(self) -> bool:
        """The reader has come to the end: what it then failed on was missing, not wrong."""
        return self._end_was_read

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """The next bytes, b"" at the end. Sends first what was written.

        Raises:
            httpcore.ReadError: the connection broke.
            httpcore.ReadTimeout: nothing came within `timeout` seconds.
        """
        if timeout is None:
            return await self._read(max_bytes)
        try:
            async with asyncio.timeout(timeout):
                return await self._read(max_bytes)
        except TimeoutError:
            pass
        raise httpcore.ReadTimeout("nothing came in time")

    async def _read(self, max_bytes: int) -> bytes:
        if self._unsent:
            await self._flush()
        while not self._unread:
            self._end_was_read = self._ended
            if self._error is not None:
                raise httpcore.ReadError(type(self._error).__name__)
            if self._ended:
                return b""
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        self.reads += 1
        taken, self._unread = self._unread[:max_bytes], self._unread[max_bytes:]
        if self._reading_paused and len(self._unread) <= _UNREAD_BYTES // 2:
            self._reading_paused = False
            if self._transport is not None:
                self._transport.resume_reading()
        return taken

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Take bytes to be sent; they leave with the next read, or at once when they are many.

        Raises:
            httpcore.WriteError: the connection broke.
            httpcore.WriteTimeout: the peer did not take them within `timeout` seconds.
        """
        if self._ended:
            raise httpcore.WriteError("the peer has closed the connection")
        if not buffer:
            return
        self._unsent.append(buffer)
        self._unsent_bytes += len(buffer)
        if self._unsent_bytes <= _CORK_BYTES:
            return
        try:
            async with asyncio.timeout(timeout):
                await self._flush()
                return
        except TimeoutError:
            pass
        raise httpcore.WriteTimeout("the peer did not take the request in time")

    async def _flush(self) -> None:
        data = self._unsent[0] if len(self._unsent) == 1 else b"".join(self._unsent)
        self._unsent.clear()
        self._unsent_bytes = 0
        self.sends += 1
        if self._transport is not None and not self._ended:
            self._transport.write(data)
        while self._writing_paused and not self._ended:
            self._writer = self._loop.create_future()
            try:
                await self._writer
            finally:
                self._writer = None

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """The same stream, encrypted.

        Raises:
            httpcore.ConnectError: the handshake failed; the text is the reason's class.
            httpcore.ConnectTimeout: it was not done within `timeout` seconds.
        """
        if self._transport is None:  # pragma: no cover - httpcore connects first
            raise httpcore.ConnectError("not connected")
        problem: httpcore.NetworkError | httpcore.TimeoutException
        secured: asyncio.Transport | None = None
        try:
            async with asyncio.timeout(timeout):
                secured = await self._loop.start_tls(
                    self._transport,
                    self,
                    ssl_context,
                    server_hostname=server_hostname,
                    ssl_shutdown_timeout=_TLS_FAREWELL_S,
                )
        except TimeoutError:
            problem = httpcore.ConnectTimeout("TLS handshake")
        except OSError as error:
            problem = httpcore.ConnectError(type(error).__name__)
        else:
            problem = httpcore.ConnectError("ConnectionAbortedError")
        finally:
            if secured is None:
                # asyncio tells nobody of a connection that is lost within the handshake
                self._transport.abort()
                self._loop.call_soon(self.connection_lost, None)
        if secured is None:
            raise problem
        self._transport = secured
        return self

    async def aclose(self) -> None:
        """See `close`."""
        self.close()

    def close(self) -> None:
        """Close at once: what has not left by now never will. `lost` tells when the socket is gone. Never raises."""
        self._unsent.clear()
        self._unsent_bytes = 0
        transport = self._transport
        if transport is None or self._closed:
            return
        self._closed = True
        try:
            # asyncio's TLS transport cannot be asked anything once its peer has closed it (3.11).
            if transport.is_closing() or transport.get_write_buffer_size():
                transport.abort()
            else:
                transport.close()
        except Exception:  # noqa: BLE001 - closing must not decide what becomes of a call
            transport.abort()

    def get_extra_info(self, info: str) -> Any:
        """httpcore's questions about the socket; None where there is no answer."""
        if info == "is_readable":
            return not self.quiet
        if self._transport is None:
            return None
        name = {"client_addr": "sockname", "server_addr": "peername"}.get(info, info)
        return self._transport.get_extra_info(name)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


async def _connect(host: str, port: int, local_address: str | None, reach: Reach) -> ByteStream:
    # One address after the other. asyncio could race them, but loses a socket when the race is cancelled (3.11).
    loop = asyncio.get_running_loop()
    local = None if local_address is None else (local_address, 0)
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    allowed = [one for one in dict.fromkeys(str(info[4][0]) for info in found) if reach.allows(one)]
    if not allowed:
        raise AddressNotAllowedError
    *others, last = allowed
    for address in others:
        try:
            async with asyncio.timeout(_NEXT_ADDRESS_S):
                _, stream = await loop.create_connection(ByteStream, address, port, local_addr=local)
                return stream
        except OSError:  # TimeoutError is one
            continue
    _, stream = await loop.create_connection(ByteStream, last, port, local_addr=local)
    return stream


class AddressNotAllowedError(OSError):
    """The host has no address that this transport may connect to."""


class Backend(httpcore.AsyncNetworkBackend):
    """Opens the stream of one line and remembers it."""

    def __init__(self, reach: Reach = Reach.ANYWHERE) -> None:
        self.stream: ByteStream | None = None
        self._reach = reach

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to one of the host's addresses.

        Raises:
            httpcore.ConnectError: nobody answers there, or the name is unknown; the text is the reason's class.
            httpcore.ConnectTimeout: it took too long.
        """
        problem: httpcore.NetworkError | httpcore.TimeoutException
        try:
            async with asyncio.timeout(timeout):
                self.stream = await _connect(host, port, local_address, self._reach)
        except TimeoutError:
            problem = httpcore.ConnectTimeout("TCP connection")
        except (
            OSError,
            UnicodeError,
        ) as error:  # UnicodeError: a label that no name server could be asked for
            problem = httpcore.ConnectError(type(error).__name__)
        else:
            for option in socket_options or ():
                self.stream.get_extra_info("socket").setsockopt(*option)
            return self.stream
        raise problem
