"""Requests as a door sees them, and a guard with its clock and its ear."""

from vextrus_payments.testing import FakeClock
from vextrus_payments.webhooks.guard import Guard
from vextrus_payments.webhooks.limits import Counters, DoorLimits
from vextrus_payments.webhooks.messages import Incoming

STRANGER = "203.0.113.7"
OTHER = "198.51.100.9"


def request(
    peer: str | None = STRANGER,
    *,
    tenant: str | None = None,
    gateway: str = "bkash",
    length: int | None = 100,
    **headers: str,
) -> Incoming:
    """One POST's head; keyword headers with underscores for dashes."""
    written = {name.replace("_", "-"): value for name, value in headers.items()}
    if length is not None:
        written["content-length"] = str(length)
    return Incoming(
        gateway=gateway, tenant=tenant, method="POST", query="", headers=written, body=b"", peer=peer
    )


class Ear:
    """An observer that remembers events."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, object]]] = []

    def exchange(self, **_: object) -> None:
        raise AssertionError("a guard talks to no gateway")

    def event(self, name: str, **fields: object) -> None:
        self.heard.append((name, fields))

    def names(self) -> list[str]:
        return [name for name, _ in self.heard]


class Post:
    """A guard at work."""

    def __init__(self, limits: DoorLimits | None = None, *, counters: Counters | None = None) -> None:
        self.clock = FakeClock()
        self.ear = Ear()
        self.guard = Guard(limits, clock=self.clock, observer=self.ear, counters=counters)

    async def visit(self, incoming: Incoming, *, stay: bool = False) -> int:
        """What a request is answered at the head: 200 for being let in. It leaves at once unless it stays."""
        reply = await self.guard.admit(incoming)
        if reply is not None:
            return reply.status
        if not stay:
            self.guard.leave(incoming)
        return 200

    async def let_in(self, incoming: Incoming, times: int) -> int:
        """How many of so many visits are let in."""
        return [await self.visit(incoming) for _ in range(times)].count(200)

    async def retry_after_s(self, incoming: Incoming) -> int:
        """Of a refused request."""
        reply = await self.guard.admit(incoming)
        assert reply is not None, "it was let in"
        return int(dict(reply.headers)["retry-after"])
