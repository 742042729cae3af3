"""The network between simulated processes and gateways, below httpcore: our own stream and httpcore run for real.

A process's event loop asks for connections here. What it writes arrives at the gateway's end after a while, whether
or not the process still lives: bytes that left are out. There a small HTTP server hands each request to the world,
on the gateway's own time line. What happens on the way is drawn from the seed.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any, Final, cast

from vextrus_payments.testing.simulation.faults import Faults, WireFault
from vextrus_payments.testing.simulation.loop import Connector, SimLoop
from vextrus_payments.testing.simulation.ports import Life
from vextrus_payments.testing.simulation.world import HttpAnswer, HttpAsk, World

_NEVER_S: Final = 10_000.0
_PAGE: Final = HttpAnswer(200, b"<!doctype html><html><body>Please wait.</body></html>", "text/html")
_GONE: Final = HttpAnswer(504, b'{"message":"Endpoint request timed out"}')
_BUSY: Final = HttpAnswer(503, b"<html><body>Service Unavailable</body></html>", "text/html")
_PROMPT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request that reached a gateway's front, with the gateway's own answer (None: it never got to answer)."""

    at_s: float
    process: str
    world: World
    ask: HttpAsk
    fault: WireFault | None
    done_at_s: float | None = None
    answer: HttpAnswer | None = None


class Network:
    """Carries bytes; keeps the log of exchanges.

    Args:
        outside: the loop on which gateways live.
        worlds: the gateways.
        faults: what strikes.
        rng: latencies.
        note: takes a line for the journal.
    """

    def __init__(
        self,
        outside: SimLoop,
        worlds: tuple[World, ...],
        faults: Faults,
        rng: Random,
        note: Callable[[str], None],
    ) -> None:
        self.outside = outside
        self.faults = faults
        self.rng = rng
        self.note = note
        self.log: list[Exchange] = []
        self.dead_bytes = 0
        """Writes of dead processes that were stopped: their `finally` blocks tried."""
        self._sites = {site: world for world in worlds for site in world.sites}
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> int:
        """How many requests gateways are still at work on."""
        return len(self._serving)

    def world_at(self, host: str, port: int) -> World | None:
        """Who answers there."""
        return self._sites.get((host, port))

    def latency_s(self) -> float:
        """How long the next piece of news is on its way."""
        return self.rng.random() * self.faults.weather.latency_s

    def serve(self, line: "Line", ask: HttpAsk) -> None:
        """A whole request has arrived."""
        task = self.outside.create_task(self._serve(line, ask))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, line: "Line", ask: HttpAsk) -> None:
        world, at_s = line.world, self.outside.time()
        fault = WireFault.LOST if self.faults.is_dark(at_s) else self.faults.of_request(ask.path)
        place = len(self.log)
        exchange = Exchange(at_s, line.process_name, world, ask, fault)
        self.log.append(exchange)
        self.note(f"arrives {ask.host}{ask.path} from {line.process_name} fault={fault}")
        before = self._before(fault, world)
        if before is not None:
            await before(line)
            return
        await asyncio.sleep(self._think_s(fault, world))
        answer = await world.answer(ask)
        now_s = self.outside.time()
        self.log[place] = Exchange(at_s, line.process_name, world, ask, fault, now_s, answer)
        self.note(f"answers {ask.path} {answer.status} {len(answer.body)}")
        if self.faults.is_dark(now_s):
            return
        await self._after(fault, line, answer)

    def _think_s(self, fault: WireFault | None, world: World) -> float:
        if fault is WireFault.ZOMBIE:
            return self.rng.uniform(1.0, world.effect_limit_s - 6.0)
        return self.rng.random() ** 3 * _PROMPT_S

    def _before(self, fault: WireFault | None, world: World) -> "Ending | None":
        """How it ends without the gateway's doing anything; None: it goes on."""
        if fault is WireFault.LOST:
            return _silence
        if fault is WireFault.RESET_BEFORE:
            return _reset
        if fault is WireFault.ERROR_BEFORE:
            return lambda line: line.send(_BUSY)
        if fault is WireFault.REDIRECT:
            return lambda line: line.send(HttpAnswer(302, b"", "text/plain"))
        rejected = world.token_rejected() if fault is WireFault.TOKEN_REJECTED else None
        return None if rejected is None else (lambda line: line.send(rejected))

    async def _after(self, fault: WireFault | None, line: "Line", answer: HttpAnswer) -> None:
        match fault:
            case WireFault.RESET_AFTER:
                line.reset()
            case WireFault.SILENT_AFTER:
                return
            case WireFault.ERROR_AFTER:
                await line.send(_GONE)
            case WireFault.MALFORMED:
                await line.send(HttpAnswer(200, answer.body[: len(answer.body) // 2]))
            case WireFault.EMPTY:
                await line.send(HttpAnswer(200, b""))
            case WireFault.HTML:
                await line.send(_PAGE)
            case WireFault.MID_BODY:
                await line.send(answer, keep=0.5)
            case WireFault.DRIP:
                await line.send(answer, drip_s=7.0)
            case _:
                await line.send(answer)


Ending = Callable[["Line"], Coroutine[Any, Any, None]]


async def _silence(line: "Line") -> None:
    """Nothing ever comes."""


async def _reset(line: "Line") -> None:
    line.reset()


class Line:
    """One connection: the process's end is a Transport, the gateway's end reads HTTP."""

    def __init__(
        self, network: Network, process: "NetworkUser", protocol: asyncio.Protocol, world: World, port: int
    ) -> None:
        self._network = network
        self._process = process
        self._protocol = protocol
        self._port = port
        self._received = b""
        self._over = False
        self._arrives_s = 0.0
        """Bytes do not overtake each other: nothing arrives before what was sent before it."""
        self._returns_s = 0.0
        self.world = world
        self.process_name: str = process.name
        self.transport: SimTransport = SimTransport(self)

    # --- from the process -------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Bytes leave the process."""
        network = self._network
        if self._process.dead:
            network.dead_bytes += 1
            return
        if self._over:
            return
        self._arrives_s = max(self._arrives_s, network.outside.time() + network.latency_s())
        network.outside.call_at(self._arrives_s, self._arrived, data)

    def hang_up(self) -> None:
        """The process closes its end."""
        if not self._over and not self._process.dead:
            self._over = True
            self._process.loop.call_soon(self._protocol.connection_lost, None)

    # --- at the gateway ---------------------------------------------------------------------------------------

    def _arrived(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return
        self._received = rest[length:]
        method, target, _ = first.split(" ", 2)
        host, (path, _, query) = headers.get("host", ""), target.partition("?")
        self._network.serve(self, HttpAsk(method, host, path, headers, rest[:length], query))

    async def send(self, answer: HttpAnswer, *, keep: float = 1.0, drip_s: float = 0.0) -> None:
        """Send an answer back; `keep` less than 1 breaks off within the body, `drip_s` pauses between drops."""
        head = (
            f"HTTP/1.1 {answer.status} Answer\r\nContent-Type: {answer.content_type}\r\n"
            f"Content-Length: {len(answer.body)}\r\n"
        )
        if answer.status == 302:
            head += "Location: https://elsewhere.test/\r\n"
        whole = head.encode() + b"\r\n" + answer.body
        if keep < 1.0:
            self._back(whole[: len(head) + 2 + int(len(answer.body) * keep)])
            self.reset(clean=True)
        elif drip_s:
            drop = max(1, len(whole) // 10)
            for place in range(0, len(whole), drop):
                await asyncio.sleep(drip_s)
                self._back(whole[place : place + drop])
        else:
            self._back(whole)

    def reset(self, *, clean: bool = False) -> None:
        """The gateway's end is gone."""
        self._at_process(self._lost, None if clean else ConnectionResetError(104, "Connection reset by peer"))

    def _back(self, data: bytes) -> None:
        self._at_process(self._received_back, data)

    def _at_process(self, what: Callable[..., None], *args: object) -> None:
        network = self._network
        self._returns_s = max(self._returns_s, network.outside.time() + network.latency_s())
        self._process.loop.call_at(self._returns_s, what, *args)

    def _received_back(self, data: bytes) -> None:
        if not self._over:
            self._protocol.data_received(data)

    def _lost(self, error: Exception | None) -> None:
        if self._over:
            return
        self._over = True
        if error is None:
            self._protocol.eof_received()
        self._protocol.connection_lost(error)

    def describe(self, name: str) -> Any:
        """What asyncio transports tell of their socket."""
        return {"peername": ("192.0.2.1", self._port), "sockname": ("192.0.2.2", 50000)}.get(name)

    @property
    def over(self) -> bool:
        """Whether the process's end is closed."""
        return self._over


class SimTransport(asyncio.Transport):
    """The process's end of a line."""

    def __init__(self, line: Line) -> None:
        super().__init__()
        self._line = line

    def write(self, data: Any) -> None:
        self._line.write(bytes(data))

    def close(self) -> None:
        self._line.hang_up()

    def abort(self) -> None:
        self._line.hang_up()

    def is_closing(self) -> bool:
        return self._line.over

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        found = self._line.describe(name)
        return default if found is None else found

    def pause_reading(self) -> None:
        """No answer here is long enough."""

    def resume_reading(self) -> None:
        """See pause_reading."""


class NetworkUser(Life, Connector):
    """A process on the network: what a loop asks, answered by the network."""

    name: str
    loop: SimLoop
    network: Network
    dead = False

    async def look_up(self, host: str) -> str:
        """The host itself is its address; now and then the name is not found."""
        await asyncio.sleep(self.network.latency_s() / 4)
        if self.network.faults.of_connection(WireFault.NO_NAME):
            raise OSError(-2, "Name or service not known")
        return host

    async def connect(self, factory: Any, host: str, port: int) -> Any:
        """A new line to whoever answers there."""
        network = self.network
        world = network.world_at(host, port)
        fault = network.faults.of_connection(WireFault.NO_ROUTE, WireFault.REFUSED)
        await asyncio.sleep(_NEVER_S if fault is WireFault.NO_ROUTE else network.latency_s())
        if world is None or fault is WireFault.REFUSED:
            raise ConnectionRefusedError(111, "Connection refused")
        protocol = cast(asyncio.Protocol, factory())
        line = Line(network, self, protocol, world, port)
        protocol.connection_made(line.transport)
        return line.transport, protocol

    async def secure(self, transport: Any) -> Any:
        """A handshake in name only."""
        await asyncio.sleep(self.network.latency_s())
        if self.network.faults.of_connection(WireFault.TLS_FAILS):
            raise ConnectionResetError(104, "Connection reset by peer")
        return transport
