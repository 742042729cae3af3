"""A wire between a store and its server that can be cut at a chosen moment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum, auto
from urllib.parse import urlsplit


class Cut(Enum):
    """When a connection is cut, as seen from a client's message."""

    BEFORE_SENDING = auto()
    """The server never gets the message."""
    BEFORE_ANSWER = auto()
    """The server gets it and answers; the answer is lost."""
    SILENCE = auto()
    """The server gets it; from then on nothing comes back, and the connection stays open."""


class Wire:
    """A proxy on 127.0.0.1; `dsn` leads through it."""

    def __init__(self, dsn: str) -> None:
        self._target = urlsplit(dsn)
        self._server: asyncio.Server | None = None
        self._cut: tuple[bytes, Cut] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.cuts = 0

    @property
    def dsn(self) -> str:
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        user = self._target.netloc.rpartition("@")[0]
        return self._target._replace(netloc=f"{user}@127.0.0.1:{port}").geturl()

    def cut_at(self, text: bytes, how: Cut) -> None:
        """Cut the connection once, at the next message of a client that holds this text."""
        self._cut = (text, how)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there_reader, there_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        mute = asyncio.Event()
        back = asyncio.create_task(self._answers(there_reader, writer, mute))
        self._tasks.add(back)
        try:
            while data := await reader.read(1 << 16):
                if self._cut is not None and self._cut[0] in data:
                    (_, how), self._cut = self._cut, None
                    self.cuts += 1
                    if how is Cut.BEFORE_SENDING:
                        break
                    mute.set()
                    there_writer.write(data)
                    await there_writer.drain()
                    await asyncio.sleep(0.2)  # the server does it meanwhile
                    if how is Cut.BEFORE_ANSWER:
                        break
                    continue
                there_writer.write(data)
                await there_writer.drain()
        except ConnectionError:
            pass
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            self._tasks.discard(back)
            for end in (writer, there_writer):
                end.close()

    async def _answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mute: asyncio.Event
    ) -> None:
        try:
            while data := await reader.read(1 << 16):
                if not mute.is_set():
                    writer.write(data)
                    await writer.drain()
        except ConnectionError:
            pass
        if not mute.is_set():
            writer.close()


@asynccontextmanager
async def wire_to(dsn: str) -> AsyncIterator[Wire]:
    wire = Wire(dsn)
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            await wire._serve(reader, writer)
        finally:
            serving.discard(task)

    wire._server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield wire
    finally:
        wire._server.close()
        for task in list(serving):
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await wire._server.wait_closed()
