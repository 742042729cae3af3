"""The doors for code that blocks: how a thread of a WSGI server, or a Django view, walks through them.

The doors work on the event loop behind `vextrus_payments.sync`; a request that came in elsewhere asks there, once to
be let in and once for its answer, and reads its own body in between.
"""

import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, Protocol, TypeVar

from vextrus_payments.clock import Clock, SystemClock
from vextrus_payments.errors import PaymentsError
from vextrus_payments.webhooks.doorway import TOO_SLOW, Doorway, Errand, Head
from vextrus_payments.webhooks.messages import DoorKeeper, Reply
from vextrus_payments.webhooks.replies import MALFORMED, TOO_LARGE, UNAVAILABLE, refusal

T = TypeVar("T")
_log = logging.getLogger("vextrus_payments")

#: What is asked of the keeper, on the event loop that it lives on.
Question = Callable[[DoorKeeper], Coroutine[Any, Any, T]]

_NO_LENGTH: Final = refusal(411, "length_required")

#: So much is read at once, so that the deadline is looked at now and then.
PIECE_BYTES: Final = 16_384


class Ask(Protocol):
    """Asks the keeper of this process, opening what is not open, and waits for the answer."""

    def __call__(self, question: Question[T], /) -> T:
        """What the question returns or raises.

        Raises:
            PaymentsError: the keeper cannot be asked: it is closed, or cannot be opened.
        """
        ...


class AskAsync(Protocol):
    """The same for a coroutine in an event loop of the host's, which must not be held up."""

    async def __call__(self, question: Question[T], /) -> T:
        """See Ask."""
        ...


class Readable(Protocol):
    """A request's body: `wsgi.input`, a Django request."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; b"" at the end."""
        ...


class Steps:
    """The steps of a request, each a question to the keeper. One set of them serves a whole process."""

    def __init__(self) -> None:
        self._doorway: tuple[DoorKeeper, Doorway] | None = None

    def begin(self, head: Head) -> Question[Reply | Errand]:
        """See Doorway.begin."""

        async def asked(keeper: DoorKeeper) -> Reply | Errand:
            return await self._of(keeper).begin(head)

        return asked

    def finish(self, errand: Errand, body: bytes) -> Question[Reply]:
        """See Doorway.finish and Doorway.leave."""

        async def asked(keeper: DoorKeeper) -> Reply:
            doorway = self._of(keeper)
            try:
                return await doorway.finish(errand, body)
            finally:
                doorway.leave(errand)

        return asked

    def leave(self, errand: Errand) -> Question[None]:
        """See Doorway.leave; for who is let in and does not finish."""

        async def asked(keeper: DoorKeeper) -> None:
            self._of(keeper).leave(errand)

        return asked

    def _of(self, keeper: DoorKeeper) -> Doorway:
        """After a fork, or when Payments was opened anew, it is another keeper."""
        if self._doorway is None or self._doorway[0] is not keeper:
            self._doorway = (keeper, Doorway(keeper))
        return self._doorway[1]


def cannot_ask(error: Exception) -> Reply:
    """The answer when the keeper could not even be asked: our own fault, so that senders repeat."""
    what = error.code if isinstance(error, PaymentsError) else type(error).__name__
    _log.error("A door cannot reach its Payments (%s).", what)
    return UNAVAILABLE


class BlockingDoors:
    """Serves requests in the thread that calls.

    Args:
        ask: asks the keeper on the background loop.
        clock: for the read deadline.
    """

    def __init__(self, ask: Ask, *, clock: Clock | None = None) -> None:
        self._ask = ask
        self._clock: Clock = clock or SystemClock()
        self._steps = Steps()

    def answer(self, head: Head, stream: Readable, *, ends: bool) -> Reply:
        """The answer to one request, its body read from the stream. Never raises.

        Args:
            ends: whether the stream ends by itself where no length is told (chunked).
        """
        try:
            errand = self._ask(self._steps.begin(head))
        except Exception as error:  # noqa: BLE001 - our own fault is a 503, never a traceback to a sender
            return cannot_ask(error)
        if isinstance(errand, Reply):
            return errand
        body: bytes | Reply = b""
        left = False
        try:
            if errand.body_max_bytes:
                body = read_body(stream, errand, self._clock, ends=ends)
            if isinstance(body, Reply):
                return body
            left = True  # finishing leaves
            return self._ask(self._steps.finish(errand, body))
        except Exception as error:  # noqa: BLE001 - as above
            return cannot_ask(error)
        finally:
            if not left:
                self._leave(errand)

    def _leave(self, errand: Errand) -> None:
        try:
            self._ask(self._steps.leave(errand))
        except Exception as error:  # noqa: BLE001 - closing meanwhile: there is nothing left to leave
            cannot_ask(error)


def head_of(environ: Mapping[str, Any]) -> Head:
    """A request's head out of a WSGI environment (a Django request's META is one, too)."""
    headers: dict[str, str] = {}
    size = 0
    for key, value in environ.items():
        if key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            name = key
        elif key.startswith("HTTP_"):
            name = key[5:]
        else:
            continue
        if value == "" and name == key:
            continue  # servers set them to nothing where there are none
        headers[name.replace("_", "-").lower()] = value
        size += len(name) + len(value)
    return Head(
        method=environ["REQUEST_METHOD"],
        path=_decoded(environ.get("PATH_INFO", "")),
        query=environ.get("QUERY_STRING", ""),
        headers=headers,
        header_count=len(headers),
        header_bytes=size,
        peer=environ.get("REMOTE_ADDR") or None,
    )


def _decoded(path: str) -> str:
    """WSGI hands bytes over as Latin-1; what is no UTF-8 is no address of ours."""
    return path.encode("latin-1", "replace").decode("utf-8", "replace")


def ends_itself(environ: Mapping[str, Any]) -> bool:
    """Whether reading without a length comes to an end: a server that takes chunked bodies says so."""
    return bool(environ.get("wsgi.input_terminated"))


def read_body(stream: Readable, errand: Errand, clock: Clock, *, ends: bool) -> bytes | Reply:
    """The whole body, or why not."""
    length = errand.length
    if length is None and not ends:
        if "transfer-encoding" in errand.incoming.headers:
            return _NO_LENGTH  # to read on would wait for the sender to hang up
        return b""
    try:
        return _read(stream, errand, clock)
    except TimeoutError:  # the server's own limit on a single read
        return TOO_SLOW
    except (OSError, ValueError):  # the sender is gone, and what he sent is closed
        return MALFORMED  # a sender that left in the middle of it will not read this


def _read(stream: Readable, errand: Errand, clock: Clock) -> bytes | Reply:
    length, most = errand.length, errand.body_max_bytes
    give_up_at = clock.monotonic() + errand.read_deadline_s
    # As far as it goes: a piece that is there, not a piece that is full.
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    end = most + 1 if length is None else length  # one more than is taken shows that there is more
    parts: list[bytes] = []
    size = 0
    while size < end:
        part = read(min(PIECE_BYTES, end - size))
        if not part:
            break
        parts.append(part)
        size += len(part)
        if clock.monotonic() > give_up_at:
            return TOO_SLOW
    if size > most:
        return TOO_LARGE
    if length is not None and 0 < size < length:  # of one that is empty the doorway tells
        return MALFORMED
    return b"".join(parts)
