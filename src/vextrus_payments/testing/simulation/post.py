"""The post: gateways' webhooks on their way to the service's real doors, and what strangers put among them.

Each notice is delivered as senders do it: three tries, twenty seconds apart, until one is answered 2xx. Some are never
delivered, some hours late, some several times at once, some before the answer to the call that made the news. Whoever
sees one may alter it, sign it with a key of his own, send it to another tenant's door, or leave the signature out.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final, Protocol
from urllib.parse import urlencode

from vextrus_payments.app import Payments
from vextrus_payments.testing.simulation.loop import SimLoop
from vextrus_payments.testing.simulation.process import ProcessDiedError, SimProcess
from vextrus_payments.testing.simulation.world import Notice, SignsBodies, SignsWhenSent, World

_TRIES: Final = 3
_BETWEEN_S: Final = 20.0
_MOUNT: Final = "/payments"
GENUINE_PEER: Final = "192.0.2.10"
STRANGER_PEER: Final = "203.0.113.66"


@dataclass(frozen=True, slots=True)
class Knock:
    """One delivery at a door: what was sent, and what was answered (None: the process died first)."""

    at_s: float
    gateway: str
    door_tenant: str
    notice: Notice
    genuine: bool
    status: int | None


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What a door answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Town(Protocol):
    """What the post asks of the run."""

    tenants: tuple[str, ...]
    peace: bool

    async def process(self, slot: int | None = None) -> SimProcess:
        """A living process of the service."""
        ...

    def note(self, text: str) -> None:
        """A line for the journal."""
        ...


class Post:
    """Delivers. Lives outside, and outlives processes.

    Attributes:
        knocks: every delivery, in order.
    """

    def __init__(self, town: Town, outside: SimLoop, rng: Random) -> None:
        self._town = town
        self._outside = outside
        self._rng = rng
        self._under_way: set[asyncio.Task[None]] = set()
        self.knocks: list[Knock] = []

    @property
    def busy(self) -> int:
        """How many deliveries are still to come, or under way."""
        return len(self._under_way)

    def begin(self, worlds: tuple[World, ...]) -> None:
        """Now and then money comes that names no order of ours: by a QR code on the counter."""
        for _ in range(self._rng.choice((0, 0, 1, 1, 2))):
            self._start(self._stray(self._rng.choice(worlds), self._rng.choice(self._town.tenants)))

    async def _stray(self, world: World, tenant: str) -> None:
        await asyncio.sleep(self._rng.uniform(0.5, 60.0))
        world.take_stray(tenant, self._rng.choice((4_950, 10_000)))

    def tell(self, world: World, notice: Notice) -> None:
        """A gateway has news."""
        rng = self._rng
        if self._town.peace:
            self._start(self._deliver(world, notice, 0.5))
            return
        fate = rng.choice(("prompt",) * 4 + ("at_once", "late", "never", "often"))
        if fate == "never" and not notice.is_stray:
            self._town.note(f"post: {notice.event_id} gets lost")
        elif fate == "often":
            for _ in range(rng.choice((2, 3, 6))):
                self._start(self._deliver(world, notice, rng.choice((0.0, 0.0, 1.0, 30.0, 400.0))))
        elif fate == "late":
            self._start(self._deliver(world, notice, rng.choice((60.0, 900.0, 7_200.0))))
        else:
            self._start(self._deliver(world, notice, 0.0 if fate == "at_once" else rng.uniform(0.1, 5.0)))
        if rng.random() < 0.25:
            self._start(self._strangers(world, notice))

    def _start(self, work: Any) -> None:
        task = self._outside.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    # --- deliveries ---------------------------------------------------------------------------------------------

    async def _deliver(self, world: World, notice: Notice, after_s: float) -> None:
        await asyncio.sleep(after_s)
        for number in range(_TRIES):
            await asyncio.sleep(_BETWEEN_S if number else 0.0)
            sent = world.sent_now(notice) if isinstance(world, SignsWhenSent) else notice
            if await self._knock(world, notice.tenant, sent, genuine=True) // 100 == 2:
                return

    async def _strangers(self, world: World, notice: Notice) -> None:
        rng = self._rng
        await asyncio.sleep(rng.choice((0.0, 0.5, 10.0)))
        others = [tenant for tenant in self._town.tenants if tenant != notice.tenant]
        for _ in range(rng.choice((1, 2, 8))):
            place = rng.randrange(len(notice.body))
            how = rng.choice(("altered", "foreign_key", "unsigned", *(("elsewhere",) if others else ())))
            forged, door = notice, notice.tenant
            if how != "elsewhere" and isinstance(world, SignsBodies):
                forged = replace(notice, body=world.forge(notice, how, rng))
            elif how == "altered":
                body = bytearray(notice.body)
                body[place] ^= 1 << rng.randrange(8)
                forged = replace(notice, body=bytes(body))
            elif how == "foreign_key":
                forged = replace(
                    notice, headers=world.sign(notice.body, b"a key of a stranger's own, to sign with")
                )
            elif how == "unsigned":
                forged = replace(notice, headers={})
            else:
                door = rng.choice(others)
            await self._knock(world, door, forged, genuine=False)

    async def _knock(self, world: World, tenant: str, notice: Notice, *, genuine: bool) -> int:
        at_s, town, gateway = self._outside.time(), self._town, notice.door or world.gateway
        middle = "" if town.tenants == ("default",) else f"/t/{tenant}"
        peer = GENUINE_PEER if genuine else STRANGER_PEER
        ask = partial_request(
            "POST",
            f"{_MOUNT}{middle}/{gateway}/webhook",
            headers=notice.headers,
            body=notice.body,
            peer=peer,
        )
        status: int | None = None
        try:
            process = await town.process()
            status = (await process.call(ask)).status
        except ProcessDiedError:
            status = None
        self.knocks.append(Knock(at_s, gateway, tenant, notice, genuine, status))
        town.note(f"post: {notice.event_id} {'' if genuine else 'forged '}answered {status}")
        return status or 0


def partial_request(
    method: str,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    peer: str,
) -> Callable[[Payments], Any]:
    """One HTTP request to the service's doors, to be run in a process of it."""

    async def ask(payments: Payments) -> HttpReply:
        return await request(
            payments, method, path, query=query or {}, headers=headers or {}, body=body, peer=peer
        )

    return ask


async def request(
    payments: Payments,
    method: str,
    path: str,
    *,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    body: bytes,
    peer: str,
) -> HttpReply:
    """Serve one request by the doors as they are mounted under `/payments`; an ASGI server in a few lines."""
    status, answered, told = 0, b"", {}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "root_path": _MOUNT,
        "query_string": urlencode(query).encode(),
        "headers": [
            (b"host", b"shop.test"),
            (b"content-length", str(len(body)).encode()),
            *((name.encode(), value.encode()) for name, value in headers.items()),
        ],
        "server": ("shop.test", 443),
        "client": (peer, 40_000),
    }
    sent = False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        await asyncio.sleep(0)
        if sent:
            await asyncio.Event().wait()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status, answered, told
        await asyncio.sleep(0)
        if message["type"] == "http.response.start":
            status = message["status"]
            told = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            answered += message.get("body", b"")

    await payments.asgi()(scope, receive, send)
    return HttpReply(status, told, answered)
