"""The places in front of the gateways: how many calls may be out at once, and which connection each one takes."""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

import httpcore

from vextrus_payments.clock import Clock
from vextrus_payments.transport.reach import Reach
from vextrus_payments.transport.stream import Backend, ByteStream

_FAREWELL_S: Final = 2.0


class Origin(NamedTuple):
    """Where a connection goes."""

    scheme: bytes
    host: bytes
    port: int

    def __str__(self) -> str:
        return f"{self.scheme.decode()}://{self.host.decode()}:{self.port}"


class _FreeLock:
    """In the place of httpcore's own locks, which nobody ever waits for here: a line carries one call at a time.

    Taking a real one yields to the event loop, three times a call: a seventh of the transport's time.
    """

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *error: object) -> None:
        return None


_FREE: Final = _FreeLock()


def _unlock(owner: object, name: str) -> None:
    """Exchange a lock of httpcore's, if it is where it always was; where it is not, only time is lost."""
    if type(getattr(owner, name, None)).__name__ == "AsyncLock":
        setattr(owner, name, _FREE)


class Line:
    """One connection to one origin, alone in its engine; carries one call at a time."""

    __slots__ = ("_unlocked", "backend", "engine", "idle_since", "origin")

    def __init__(
        self,
        origin: Origin,
        *,
        ssl_context: ssl.SSLContext | None,
        proxy: httpcore.Proxy | None,
        reach: Reach = Reach.ANYWHERE,
    ) -> None:
        self.origin: Origin = origin
        self.idle_since: float = 0.0
        self.backend: Backend = Backend(reach)
        self._unlocked: bool = False
        self.engine: httpcore.AsyncHTTPConnection | httpcore.AsyncConnectionPool
        if proxy is None:
            self.engine = httpcore.AsyncHTTPConnection(
                httpcore.Origin(*origin), ssl_context=ssl_context, retries=0, network_backend=self.backend
            )
            _unlock(self.engine, "_request_lock")
        else:
            self.engine = httpcore.AsyncConnectionPool(
                ssl_context=ssl_context,
                proxy=proxy,
                max_connections=1,
                retries=0,
                network_backend=self.backend,
            )

    @property
    def ready(self) -> bool:
        """Whether another request may go out on it: idle on our side, open and silent on the peer's."""
        stream = self.backend.stream
        if stream is None or not stream.quiet:
            return False
        if isinstance(self.engine, httpcore.AsyncHTTPConnection):
            return self.engine.is_idle()
        return all(connection.is_idle() for connection in self.engine.connections)

    def unlock(self) -> None:
        """Once there is a connection behind the engine: exchange that one's lock too."""
        if not self._unlocked:
            self._unlocked = True
            _unlock(getattr(self.engine, "_connection", None), "_state_lock")

    def close(self) -> ByteStream | None:
        """Close the socket now, whatever state the engine is in; answers the stream if there was one."""
        stream = self.backend.stream
        if stream is not None:
            stream.close()
        return stream


class Lines:
    """A fixed number of places; a stack of idle lines per origin, the last used on top.

    A caller first takes a place (first come, first served), then a line. So there are never more connections than
    places, and none is thrown away because others are in use.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        places: int,
        idle_s: float,
        ssl_context: Callable[[], ssl.SSLContext],
        proxy: httpcore.Proxy | None,
        reach: Reach = Reach.ANYWHERE,
    ) -> None:
        self._clock = clock
        self._places = places
        self._idle_s = idle_s
        self._ssl_context = ssl_context
        self._proxy = proxy
        self._reach = reach
        self._taken = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._idle: dict[Origin, deque[Line]] = {}
        self._open = 0
        self._closing: set[ByteStream] = set()
        self._drained: asyncio.Future[None] | None = None

    @property
    def connections(self) -> int:
        """How many lines are open, idle ones included."""
        return self._open

    @property
    def full(self) -> bool:
        """Whether the next caller has to wait for a place."""
        return self._taken >= self._places or bool(self._queue)

    def take(self, origin: Origin, max_idle_s: float) -> Line:
        """A place and a line. Only when not `full`."""
        line = self._pick(origin, max_idle_s)
        self._taken += 1
        return line

    async def wait_and_take(self, origin: Origin, max_idle_s: float) -> Line:
        """Wait in line for a place, then the same. Cancelled, it leaves the line and takes nothing."""
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._leave()
            else:
                turn.cancel()
            raise
        try:
            return self._pick(origin, max_idle_s)
        except BaseException:
            self._leave()
            raise

    def _pick(self, origin: Origin, max_idle_s: float) -> Line:
        # the hottest line that is young enough, else a new one
        stack = self._idle.get(origin)
        while stack:
            line = stack[-1]
            if not line.ready:
                stack.pop()
                self._drop(line)
            elif self._clock.monotonic() - line.idle_since < max_idle_s:
                return stack.pop()
            else:
                break
        if self._open >= self._places:
            self._drop_oldest()
        line = Line(
            origin,
            ssl_context=self._ssl_context() if origin.scheme == b"https" else None,
            proxy=self._proxy,
            reach=self._reach,
        )
        self._open += 1
        return line

    def give_back(self, line: Line, *, sound: bool) -> None:
        """Return the line and the place. Only a `sound` line, whose answer was read whole, is used again."""
        if sound and self._drained is None and line.ready:
            line.unlock()
            line.idle_since = now = self._clock.monotonic()
            stack = self._idle.get(line.origin)
            if stack is None:
                stack = self._idle[line.origin] = deque()
            stack.append(line)
            while now - stack[0].idle_since >= self._idle_s:
                self._drop(stack.popleft())
        else:
            self._drop(line)
        self._leave()

    def _leave(self) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._taken -= 1
        if self._drained is not None and self._taken == 0 and not self._drained.done():
            self._drained.set_result(None)

    def _drop(self, line: Line) -> None:
        self._open -= 1
        stream = line.close()
        if stream is not None and not stream.lost.done():
            self._closing.add(stream)
            stream.lost.add_done_callback(lambda _: self._closing.discard(stream))

    def _drop_oldest(self) -> None:
        stack = min((stack for stack in self._idle.values() if stack), key=lambda stack: stack[0].idle_since)
        self._drop(stack.popleft())

    async def close(self) -> None:
        """Let the callers inside end, then close every line and wait until the sockets are gone."""
        if self._drained is None:
            self._drained = asyncio.get_running_loop().create_future()
            if self._taken == 0:
                self._drained.set_result(None)
        await asyncio.shield(self._drained)
        for stack in self._idle.values():
            while stack:
                self._drop(stack.pop())
        self._idle.clear()
        if self._closing:
            await asyncio.wait({stream.lost for stream in self._closing}, timeout=_FAREWELL_S)
