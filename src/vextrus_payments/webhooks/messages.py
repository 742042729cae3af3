"""What goes in at a door and what comes out, whichever web framework stands around it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from vextrus_payments.engine import ReturnResult
from vextrus_payments.health import Health
from vextrus_payments.webhooks.routes import Door

JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"
HTML: Final = "text/html; charset=utf-8"


# Not frozen: a door puts the body in once it is read, and the judging of a head and of a body speak of one request.
# Making a second one, both frozen, was 1.6 of the doorway's 8 µs.
@dataclass(slots=True, kw_only=True)
class Incoming:
    """One request to a door, its body read whole. Header names are lower case; of several headers of one name the
    door keeps the values joined by ", "."""

    gateway: str
    tenant: str | None
    """As the path names it (`/t/{tenant}/...`); None without one."""
    method: str
    query: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    peer: str | None = None
    """The address of the socket's other end; None for a Unix socket."""
    door: Door = Door.WEBHOOK
    """Which door it came to: a sender's webhook, or a browser's return."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer of a door. Nothing of a hostile request is ever in it."""

    status: int
    body: bytes = b""
    media_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    """Beside content-type and content-length: names in lower case."""


class DoorKeeper(Protocol):
    """What doors ask; `Payments` has one. Every method may be called before opening and after closing."""

    @property
    def is_open(self) -> bool:
        """Whether it can take anything; a door answers 503 while it cannot."""
        ...

    @property
    def body_max_bytes(self) -> int:
        """The longest body that a door reads; a longer one is answered 413, unread."""
        ...

    @property
    def read_deadline_s(self) -> float:
        """How long a whole body may take to come in."""
        ...

    async def admit(self, incoming: Incoming) -> Reply | None:
        """Judge a request to the webhook or the return door by its head, before its body is read (`body` is empty):
        None lets it in, a reply sends it away (limits, allow-lists, blocked sources). Who is let in must be `leave`d.
        """
        ...

    def leave(self, incoming: Incoming) -> None:
        """The request is over: its place among the bodies in memory is free."""
        ...

    async def webhook(self, incoming: Incoming) -> Reply:
        """Verify, keep, answer. Never raises."""
        ...

    async def returned(
        self, tenant: str | None, gateway: str, params: Mapping[str, str], *, wait_s: float
    ) -> ReturnResult:
        """A browser's return: see Payments.handle_return.

        Raises:
            PaymentsError: see there.
        """
        ...

    async def health(self) -> Health:
        """See Payments.health."""
        ...
