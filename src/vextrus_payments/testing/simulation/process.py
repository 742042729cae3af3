"""One simulated process: a loop of its own, the real `Payments` in it, and the moment at which it is killed."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Protocol, TypeVar

from vextrus_payments.app import Payments
from vextrus_payments.clock import Clock, Sleeper
from vextrus_payments.config import CredentialSource, GatewayConfig
from vextrus_payments.engine import EngineLimits
from vextrus_payments.epoch import EpochMark
from vextrus_payments.events import PaymentEvent
from vextrus_payments.gateways.base import Adapter
from vextrus_payments.ids import Entropy
from vextrus_payments.ledger import LedgerEntry
from vextrus_payments.outbox import OutboxLimits
from vextrus_payments.reconcile import ReconcileLimits
from vextrus_payments.store import PaymentStore
from vextrus_payments.testing.simulation.awaits import relative
from vextrus_payments.testing.simulation.disk import DiskFaults, SimConnection
from vextrus_payments.testing.simulation.faults import Weather
from vextrus_payments.testing.simulation.loop import Scheduler, SimLoop, new_loop, where
from vextrus_payments.testing.simulation.network import Network, NetworkUser
from vextrus_payments.testing.simulation.ports import SimRunner
from vextrus_payments.testing.simulation.shop import Finance
from vextrus_payments.testing.simulation.world import Disbursement, World
from vextrus_payments.webhooks import InboxLimits

T = TypeVar("T")


class ProcessDiedError(Exception):
    """The process died before it answered: as a caller sees it, the connection broke."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePorts:
    """What a service under test is built with, in place of the machine's own."""

    store: PaymentStore
    clock: Clock
    sleeper: Sleeper
    entropy: Entropy
    ledger: Callable[[LedgerEntry], Awaitable[None]]
    on_event: Callable[[PaymentEvent], Awaitable[None]]
    public_url: str
    gateways: Mapping[str, GatewayConfig] | None
    credentials: CredentialSource | None
    adapters: Mapping[str, Adapter] | None
    workers: bool
    limits: EngineLimits
    outbox_limits: OutboxLimits
    reconcile_limits: ReconcileLimits
    inbox_limits: InboxLimits
    epoch: EpochMark | None = None

    def payments(self, **changes: Any) -> Payments:
        """`Payments` over these ports; `changes` are further arguments of `Payments`, or replace some."""
        names = ("store", "clock", "sleeper", "entropy", "ledger", "on_event", "public_url", "workers")
        limits = ("limits", "outbox_limits", "reconcile_limits", "inbox_limits")
        given: dict[str, Any] = {name: getattr(self, name) for name in (*names, *limits)}
        for name in ("gateways", "credentials", "adapters", "epoch"):
            if getattr(self, name) is not None:
                given[name] = getattr(self, name)
        return Payments(**{**given, **changes})


Service = Callable[[ServicePorts], Payments]


def plain_service(ports: ServicePorts) -> Payments:
    """The service that is simulated unless another one is given."""
    return ports.payments()


@dataclass(slots=True)
class Deaths:
    """Where processes were killed, and in the middle of which awaits."""

    awaits: dict[tuple[str, int], int] = field(default_factory=dict)
    kills: int = 0

    def count(self, places: Collection[tuple[str, int]]) -> None:
        """A process was killed while it stood there."""
        self.kills += 1
        for place in places:
            self.awaits[place] = self.awaits.get(place, 0) + 1


class SimProcess(NetworkUser):
    """A process with its own event loop, store connection and `Payments`.

    Attributes:
        payments: its `Payments`, once it has started.
        store: its store.
    """

    def __init__(
        self,
        name: str,
        *,
        scheduler: Scheduler,
        network: Network,
        disk: DiskFaults,
        rng: Random,
        slow_disk: float,
        on_point: "Callable[[SimProcess, str], None]",
        deaths: Deaths,
        path: Path,
        note: Callable[[str], None],
    ) -> None:
        self.name = name
        self.network = network
        self.disk = disk
        self.path = path
        self.runner: SimRunner = SimRunner(self, rng, slow=slow_disk)
        self.loop: SimLoop = new_loop(scheduler, name)
        self.loop.connector = self
        self.loop.process = self  # type: ignore[attr-defined]
        self.loop.on_step = self._stepped
        self.dead: bool = False
        self.retired = False
        """Closed in good order."""
        self.payments: Payments | None = None
        self.died: asyncio.Future[None] = network.outside.create_future()
        self.store: PaymentStore | None = None
        self._on_point = on_point
        self._deaths = deaths
        self._note = note
        self._connections: list[SimConnection] = []
        self._last: asyncio.Task[Any] | None = None

    # --- being killed -----------------------------------------------------------------------------------------

    def _stepped(self, task: "asyncio.Task[Any]") -> None:
        if not self.dead:
            self._last = task
            self.point("await")

    def point(self, what: str) -> None:
        """A moment at which the process can be killed: an await was reached, or the database has done something."""
        if not self.dead:
            self._on_point(self, what)

    def kill(self, what: str = "") -> None:
        """Dead, with all its tasks, wherever they stand. What left before is out; nothing more will."""
        if self.dead:
            return
        self.dead = True
        self._deaths.count(self.places(what))
        self._note(f"{self.name} killed ({what})")
        self._end()

    def give_up(self, why: str) -> None:
        """It could not start, and ends by itself."""
        self.dead = True
        self._note(f"{self.name} gave up: {why}")
        self._end()

    def _end(self) -> None:
        self.loop.drop()
        self.network.outside.call_soon(self._gone)

    def places(self, what: str) -> frozenset[tuple[str, int]]:
        """(file of the SDK, line) of the awaits that a kill at this very moment would hit."""
        tasks = self.loop.tasks if what == "database" else () if self._last is None else (self._last,)
        # A task that waits for the database stands between its commit and the answer, or before it.
        found = set()
        for task in tasks:
            for filename, line in where(task):
                name = relative(filename)
                if name is not None:
                    found.add((name, line))
        return frozenset(found)

    def _gone(self) -> None:
        if not self.died.done():
            self.died.set_result(None)

    def opened(self, connection: SimConnection) -> None:
        """It has opened a database connection."""
        self._connections.append(connection)

    def bury(self) -> None:
        """Let go of everything; nothing that runs now has an effect."""
        self.dead = True
        self.loop.drop()
        self.loop.bury()
        for connection in self._connections:
            connection.user = None
            connection.close()
        self._connections.clear()

    # --- being called -----------------------------------------------------------------------------------------

    def call(self, work: Callable[[Payments], Awaitable[T]]) -> "asyncio.Future[T]":
        """Run `work` in the process. Awaited outside of it.

        Raises (when awaited):
            ProcessDiedError: it died first.
            Exception: whatever `work` raised.
        """
        outside = self.network.outside
        answer: asyncio.Future[T] = outside.create_future()
        if self.dead:
            answer.set_exception(ProcessDiedError(self.name))
            return answer

        async def serve() -> None:
            assert self.payments is not None, "it is called only once it has started"
            try:
                result = await work(self.payments)
            except Exception as error:  # noqa: BLE001 - handed to whoever asked
                outside.call_soon(_fail, answer, error)
            else:
                outside.call_soon(_answer, answer, result)

        self.loop.call_soon(lambda: self.loop.create_task(serve()))
        self.died.add_done_callback(lambda _: _fail(answer, ProcessDiedError(self.name)))
        return answer

    def start(self, service: Service, ports: ServicePorts, watch: Callable[[Payments], None]) -> Any:
        """Build the service in the process and open it. Awaited outside."""

        async def opening() -> None:
            self.store = ports.store
            payments = service(ports)
            watch(payments)
            await payments.open()
            self.payments = payments

        return self._run(opening())

    def stop(self) -> Any:
        """Close it in good order. Awaited outside."""

        async def closing() -> None:
            if self.payments is not None:
                await self.payments.aclose()

        return self._run(closing())

    def _run(self, work: Any) -> "asyncio.Future[None]":
        outside = self.network.outside
        done: asyncio.Future[None] = outside.create_future()

        async def serve() -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001 - handed to whoever asked
                outside.call_soon(_fail, done, error)
            else:
                outside.call_soon(_answer, done, None)

        self.loop.call_soon(lambda: self.loop.create_task(serve()))
        self.died.add_done_callback(lambda _: _fail(done, ProcessDiedError(self.name)))
        return done


class Stage(Protocol):
    """The run, as the story and the recovery see it."""

    tenants: tuple[str, ...]
    worlds: tuple[World, ...]
    network: Network
    to_ask: set[tuple[str, str]]
    """(tenant, payment id) of payments of which a person knows that something was done behind the SDK's back."""
    restores: "Restores"
    finance: Finance
    weather: Weather
    has_doors: bool
    """Whether gateways send webhooks and browsers come back, through the service's own doors."""

    def note(self, text: str) -> None:
        """A line for the journal."""
        ...

    async def process(self, slot: int | None = None) -> SimProcess:
        """A living process of the service."""
        ...

    @property
    def deliveries(self) -> int:
        """How many webhooks are still to come."""
        ...

    def back_up(self) -> bool:
        """Copy the store as it is. False: something is on its way to a gateway, and a backup now would be one that no
        mark outside can tell from the real thing."""
        ...

    def restore(self) -> None:
        """The machine with the store is lost with every process; the next one opens the copy."""
        ...


@dataclass(slots=True)
class Restores:
    """What became of backups, in virtual seconds."""

    taken_at_s: float | None = None
    restored_at_s: float | None = None
    accepted_at_s: float | None = None
    """When the service said that the restored store has been reconciled."""
    compared_at_s: float | None = None
    """When a person said that what left meanwhile was compared with the gateways' statements."""
    unrecorded: list[Disbursement] = field(default_factory=list)
    """What a person found on a statement and in no record: whoever had asked for it was told."""

    def is_amnesiac(self, at_s: float) -> bool:
        """Whether somebody who asked then may have been answered out of restored records."""
        if self.restored_at_s is None:
            return False
        return self.restored_at_s <= at_s and (self.accepted_at_s is None or at_s <= self.accepted_at_s)


def _answer(waiting: "asyncio.Future[T]", result: T) -> None:
    if not waiting.done():
        waiting.set_result(result)


def _fail(waiting: "asyncio.Future[Any]", error: Exception) -> None:
    if not waiting.done():
        waiting.set_exception(error)
        waiting.exception()  # seen: a caller that left must not make asyncio complain
