"""The witness: whether a request's bytes may have left, told by httpcore's `trace` extension.

httpcore announces every step of a request before it takes it. `send_request_headers.started` comes immediately
before the first byte is handed to the socket, on a new connection and on a kept one alike; a proxy's CONNECT is
announced in the same way, but is not the request. What httpcore announced nothing about (a mocked engine) is not
proven unsent: silence is no proof.
"""

from typing import Any, Final

from vextrus_payments.clock import Clock
from vextrus_payments.transport.stream import Backend
from vextrus_payments.wire import SendBy, Sent

_SENDING: Final = ".send_request_headers.started"
_PHASES: Final = {
    "connection.connect_tcp.started": "connect",
    "connection.start_tls.started": "tls",
    "proxy.start_tls.started": "tls",
}


class WithdrawnError(Exception):
    """Raised inside the announcement: httpcore then sends nothing and closes the connection."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


class Witness:
    """Hears one request's announcements. `sent` is what is proven; `phase` says how far it came."""

    __slots__ = (
        "_backend",
        "_before",
        "_clock",
        "_heard",
        "_send_by",
        "_sending",
        "extensions",
        "phase",
    )

    def __init__(
        self, clock: Clock, send_by: SendBy | None, backend: Backend, timeouts: dict[str, float]
    ) -> None:
        self._clock = clock
        self._send_by = send_by
        self._backend = backend
        self._heard = False
        self._sending = False
        self._before = (-1, -1)
        self.phase: str = "start"
        self.extensions: dict[str, Any] = {"trace": self, "timeout": timeouts}
        """For the httpcore request."""

    async def __call__(self, name: str, info: dict[str, Any]) -> None:
        self._heard = True
        if not name.endswith(_SENDING):
            self.phase = _PHASES.get(name, self.phase)
            return
        if info["request"].method == b"CONNECT":
            self.phase = "proxy"
            return
        # The last moment: nothing is awaited between here and the socket.
        if self._send_by is not None and self._send_by.passed(self._clock):
            raise WithdrawnError("send_by_passed")
        stream = self._backend.stream
        if stream is not None and not stream.quiet:
            raise WithdrawnError("connection_closed")
        if stream is not None:
            self._before = (stream.reads, stream.sends)
        self._sending = True
        self.phase = "answer"
        # All is heard that matters; httpcore looks the witness up anew before each further announcement.
        self.extensions.pop("trace", None)

    def stale(self) -> bool:
        """Whether the answer was there before the request.

        The engine keeps what came behind the previous answer in one piece with it, and takes a whole second answer
        in there for the answer to the next request, without having read anything. As our stream sends a short
        request only when it is read from, that request is then still in our hands, and is withdrawn.
        """
        stream = self._backend.stream
        if stream is None or stream.reads != self._before[0]:
            return False
        self._sending = stream.sends != self._before[1]
        return True

    @property
    def sent(self) -> Sent:
        """What is proven about the request's bytes."""
        return Sent.NO if self._heard and not self._sending else Sent.MAYBE
