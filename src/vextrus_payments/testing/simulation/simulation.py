"""One run: a seed, a story, a weather, the moments of killing; then peace, recovery, and the books."""

import asyncio
import gc
import hashlib
import itertools
import shutil
import sys
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vextrus_payments.config import GatewayConfig
from vextrus_payments.engine import EngineLimits
from vextrus_payments.errors import PaymentsError
from vextrus_payments.outbox import OutboxLimits
from vextrus_payments.reconcile import ReconcileLimits
from vextrus_payments.stores.sqlite import SqliteStore
from vextrus_payments.testing.simulation.disk import DiskFaults, copy_as_left, scratch_folder, simulated_disk
from vextrus_payments.testing.simulation.faults import Faults, Weather
from vextrus_payments.testing.simulation.loop import Scheduler, SimLoop, new_loop
from vextrus_payments.testing.simulation.network import Exchange, Network
from vextrus_payments.testing.simulation.ports import (
    Machine,
    SimClock,
    SimEntropy,
    SimEpochMark,
    SimRunner,
    SimSleeper,
    stream,
)
from vextrus_payments.testing.simulation.post import Knock, Post
from vextrus_payments.testing.simulation.process import (
    Deaths,
    ProcessDiedError,
    Restores,
    Service,
    ServicePorts,
    SimProcess,
    plain_service,
)
from vextrus_payments.testing.simulation.recovery import is_sending, settle
from vextrus_payments.testing.simulation.shop import Desk, Finance, Taken, Told
from vextrus_payments.testing.simulation.town import Story, Town
from vextrus_payments.testing.simulation.world import Disbursement, Notice, World, WorldMaker, WorldPorts
from vextrus_payments.webhooks import InboxLimits

#: Looking around as often as a service does would be most of what a run costs; nothing else is changed.
_ENGINE: Final = EngineLimits(wait_s=8.0)
_OUTBOX: Final = OutboxLimits(poll_s=10.0, peek_s=10.0, gauge_s=120.0)
_RECONCILE: Final = ReconcileLimits(poll_s=10.0)
_INBOX: Final = InboxLimits(poll_s=10.0)
DEFAULT_TENANT: Final = "default"
_COLLECT_ALL_EVERY: Final = 25
_buried: Final = itertools.count(1)
_JOURNAL_MAX: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is the same in all runs of a test: who is simulated, and where.

    Attributes:
        worlds: the gateways' makers.
        story: what happens.
        service: builds the `Payments` under test from the ports it is given.
        tenants: more than one, or other than "default": every call then goes through `for_tenant`.
        processes: how many processes of the service share the store file.
        workers: whether `Payments` runs its own workers.
        doors: whether gateways send webhooks, and strangers forge some, to the service's own doors.
        epoch: whether the store's epoch is marked outside of it, so that a restored backup is noticed.
    """

    worlds: Sequence[WorldMaker]
    story: Story
    service: Service = plain_service
    tenants: tuple[str, ...] = (DEFAULT_TENANT,)
    processes: int = 1
    workers: bool = True
    epoch: bool = False
    doors: bool = False
    world_options: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Run:
    """What is left of one run for those who judge it: the outside, and the store's file."""

    seed: int
    kill_at: tuple[int, ...]
    points: int
    kills: int
    worlds: tuple[World, ...]
    wire: tuple[Exchange, ...]
    entries: tuple[Taken, ...]
    events: tuple[Taken, ...]
    told: tuple[Told, ...]
    store: Path
    journal: tuple[str, ...]
    fingerprint: str
    """A digest of everything that happened: two runs of the same seed have the same."""
    complaints: tuple[str, ...]
    dead_writes: int
    settled: bool
    """Whether everything came to rest in the time it was given."""
    steps: int
    virtual_s: float
    struck: int
    clock_stepped: bool
    restores: Restores = field(default_factory=Restores)
    knocks: tuple[Knock, ...] = ()
    by_hand: tuple[Disbursement, ...] = ()
    """What a person has entered in the books by hand, because a restored store had no record of it."""


class Simulation:
    """One seed of one setting. `play` runs it once; a simulation is used once."""

    def __init__(
        self,
        setting: Setting,
        seed: int,
        *,
        kill_at: Collection[int] = (),
        weather: Weather | None = None,
        disorder: float | None = None,
        folder: Path | None = None,
        deaths: Deaths | None = None,
        prepare: Callable[["Simulation"], None] | None = None,
    ) -> None:
        rng = stream(seed, "world")
        self.setting = setting
        self.seed = seed
        self.tenants: tuple[str, ...] = setting.tenants
        self.kill_at: frozenset[int] = frozenset(kill_at)
        self.points: int = 0
        self.weather: Weather = Weather.drawn(stream(seed, "weather")) if weather is None else weather
        order = rng.choice((0.0, 0.3, 0.8)) if disorder is None else disorder
        self.scheduler: Scheduler = Scheduler(stream(seed, "order"), disorder=order)
        self.outside: SimLoop = new_loop(self.scheduler, "outside")
        self.machine: Machine = Machine()
        self.faults: Faults = Faults(stream(seed, "faults"), self.weather)
        ports = WorldPorts(
            clock=SimClock(self.scheduler, Machine()),
            seed=f"{seed}",
            tenants=setting.tenants,
            options=setting.world_options,
            tell=self._told_of,
        )
        self.has_doors: bool = setting.doors
        self.post: Post = Post(self, self.outside, stream(seed, "post"))
        self.worlds: tuple[World, ...] = tuple(make(ports) for make in setting.worlds)
        self.network: Network = Network(
            self.outside, self.worlds, self.faults, stream(seed, "network"), self.note
        )
        self.finance: Finance = Finance(stream(seed, "finance"), self.faults, self.note)
        self.desk: Desk = Desk(self.note)
        self.to_ask: set[tuple[str, str]] = set()
        self.restores: Restores = Restores()
        self._mark = SimEpochMark(stream(seed, "epoch"), lambda: 0.0 if self.peace else self.weather.disk)
        self._backup: Path | None = None
        self.deaths: Deaths = Deaths() if deaths is None else deaths
        self.workers: bool = setting.workers
        self.peace: bool = False
        """The story is over and nothing fails any more."""
        self.has_store: bool = False
        self.profile: list[frozenset[tuple[str, int]]] | None = None
        """Which awaits a kill at each point would hit; kept only when somebody sets a list."""
        self._prepare = prepare
        self._folder = folder
        self._slots: list[SimProcess | None] = [None] * setting.processes
        self._starting: list[asyncio.Task[None] | None] = [None] * setting.processes
        self._processes: list[SimProcess] = []
        self._hash = hashlib.sha256()
        self._journal: list[str] = []
        self._kills_before = self.deaths.kills

    # --- the journal --------------------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """One line of what happened, for people and for the fingerprint."""
        line = f"{self.scheduler.now_s:.6f} {text}"
        self._hash.update(line.encode("utf-8", "replace") + b"\n")
        if len(self._journal) < _JOURNAL_MAX:
            self._journal.append(line)

    @property
    def journal(self) -> tuple[str, ...]:
        """What happened so far."""
        return tuple(self._journal)

    # --- one run ------------------------------------------------------------------------------------------------

    def play(self) -> Run:
        """Run the story to its end and let everything come to rest. The caller removes the store's folder.

        Raises:
            DeadlockError, LivelockError: the service hangs, or turns in circles.
        """
        folder = scratch_folder() if self._folder is None else self._folder
        self.store: Path = folder / "store-0.db"
        self.has_store = True
        template = store_template()
        if self.seed % 16:
            shutil.copyfile(template, self.store)
            self.store.chmod(0o600)
        was_collecting = gc.isenabled()
        # A cycle that is collected at some moment or other would let its finalizers act at that moment.
        gc.disable()
        hook, sys.unraisablehook = sys.unraisablehook, _heard
        try:
            with simulated_disk():
                settled = self.scheduler.run(self.outside.create_task(self._main()))
            return self._report(settled)
        finally:
            self._bury()
            sys.unraisablehook = hook
            if was_collecting:
                gc.enable()

    def _bury(self) -> None:
        """Let go of every process here and now, so that nothing of this run is cleaned up within another one."""
        with simulated_disk(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for process in self._processes:
                process.bury()
            self.outside.drop()
            self.outside.bury()
            self.scheduler.clear()
            self._processes.clear()
            self._slots.clear()
            self._starting.clear()
            # All that this run has made is young: nothing was collected meanwhile. What is old by now comes in turn.
            gc.collect(2 if next(_buried) % _COLLECT_ALL_EVERY == 0 else 0)

    async def _main(self) -> bool:
        if self._prepare is not None:
            self._prepare(self)
        town = Town(self, stream(self.seed, "story"))
        steps = self.outside.create_task(self._clock_is_stepped())
        if self.has_doors:
            self.post.begin(self.worlds)
        await self.setting.story(town)
        steps.cancel()
        await asyncio.wait({steps})
        self.note("the story is over")
        self.peace = True
        self.faults.heal()
        for process in self._processes:
            process.disk.rate = 0.0
        # The service is closed in good order and started once more without workers: what is left to do is then
        # driven by hand, and hours of peace cost nothing.
        await self._stop_all()
        self.workers = False
        settled = await settle(self)
        await self._stop_all()
        return settled

    async def _stop_all(self) -> None:
        for starting in self._starting:
            if starting is not None:
                await asyncio.wait({starting})
        for slot, process in enumerate(self._slots):
            if process is not None and not process.dead:
                try:
                    await process.stop()
                except ProcessDiedError:
                    continue
                process.retired = True
                self._slots[slot] = None

    def _report(self, settled: bool) -> Run:
        return Run(
            seed=self.seed,
            kill_at=tuple(sorted(self.kill_at)),
            points=self.points,
            kills=self.deaths.kills - self._kills_before,
            worlds=self.worlds,
            wire=tuple(self.network.log),
            entries=tuple(self.finance.entries),
            events=tuple(self.finance.events),
            told=tuple(self.desk.told),
            store=self.store,
            journal=tuple(self._journal),
            fingerprint=self._hash.hexdigest(),
            complaints=tuple(self.scheduler.complaints),
            dead_writes=self.network.dead_bytes,
            settled=settled,
            steps=self.scheduler.steps,
            virtual_s=self.scheduler.now_s,
            clock_stepped=bool(self.weather.clock),
            restores=self.restores,
            knocks=tuple(self.post.knocks),
            by_hand=tuple(self.finance.by_hand),
            struck=sum(self.faults.struck.values()) + sum(p.disk.struck for p in self._processes),
        )

    # --- webhooks -----------------------------------------------------------------------------------------------

    @property
    def deliveries(self) -> int:
        """How many webhooks are still to come."""
        return self.post.busy

    def _told_of(self, world: World, notice: Notice) -> None:
        if self.has_doors:
            self.post.tell(world, notice)

    # --- processes ----------------------------------------------------------------------------------------------

    async def process(self, slot: int | None = None) -> SimProcess:
        """A living process of the service; a dead one's successor is started first."""
        if slot is None:
            slot = 0 if len(self._slots) == 1 else self.network.rng.randrange(len(self._slots))
        while True:
            process = self._slots[slot]
            if process is not None and not process.dead and process.payments is not None:
                return process
            starting = self._starting[slot]
            if starting is None or starting.done():
                starting = self._starting[slot] = self.outside.create_task(self._start(slot))
            await asyncio.wait({starting})
            starting.result()

    async def _start(self, slot: int) -> None:
        if self._slots[slot] is not None:
            await asyncio.sleep(self.network.rng.choice((0.1, 1.0, 5.0, 30.0)))
        number = len(self._processes)
        if number and all(process.dead or process.retired for process in self._processes):
            # What a kill leaves is the file and its log. The dead process's own handles stay on the old one.
            left, self.store = self.store, self.store.with_name(f"store-{number}.db")
            if self._backup is not None and self.restores.restored_at_s is not None:
                left, self._backup = self._backup, None
            copy_as_left(left, self.store)
        name = f"p{number}"
        self.note(f"{name} starts")
        process = SimProcess(
            name,
            scheduler=self.scheduler,
            network=self.network,
            disk=DiskFaults(stream(self.seed, "disk", number), 0.0 if self.peace else self.weather.disk),
            rng=stream(self.seed, "runner", number),
            slow_disk=self.weather.slow_disk,
            on_point=self._point,
            deaths=self.deaths,
            path=self.store,
            note=self.note,
        )
        self._processes.append(process)
        self._slots[slot] = process
        try:
            await process.start(self.setting.service, self._ports(process, number), self.desk.watch)
        except ProcessDiedError:
            return
        except PaymentsError as error:
            process.give_up(f"{type(error).__name__} {error.code}")

    def back_up(self) -> bool:
        """Copy the store's file and its log, as they are at this moment; once in a run."""
        if not self.store.exists():
            return False  # no process has made it yet
        copy = self.store.with_name("backup.db")
        copy_as_left(self.store, copy)
        if self.restores.taken_at_s is not None or is_sending(copy):
            return False
        self._backup, self.restores.taken_at_s = copy, self.scheduler.now_s
        self.note("a backup is taken")
        return True

    def restore(self) -> None:
        """Everything dies at once, and what the next process opens is the backup."""
        if self._backup is None:
            return
        self.restores.restored_at_s = self.scheduler.now_s
        self.note("the store is lost; the backup takes its place")
        for process in self._processes:
            if not process.dead and not process.retired:
                process.give_up("its machine is gone")

    def _point(self, process: SimProcess, what: str) -> None:
        self.points += 1
        if self.profile is not None:
            self.profile.append(process.places(what))
        if self.points in self.kill_at:
            process.kill(what)

    def _ports(self, process: SimProcess, number: int) -> ServicePorts:
        clock = SimClock(self.scheduler, self.machine)
        sleeper = SimSleeper()
        many = self.tenants != (DEFAULT_TENANT,)
        configs = {world.gateway: world.config(self.tenants[0]) for world in self.worlds}
        adapters = {world.gateway: world.adapter for world in self.worlds if world.adapter is not None}

        async def credentials(tenant: str, gateway: str) -> GatewayConfig:
            return next(world for world in self.worlds if world.gateway == gateway).config(tenant)

        return ServicePorts(
            store=SqliteStore(
                process.path, clock=clock, sleeper=sleeper, runner=process.runner, busy_timeout_s=0.0
            ),
            clock=clock,
            sleeper=sleeper,
            entropy=SimEntropy(stream(self.seed, "entropy", number)),
            ledger=self.finance.take_entry,
            on_event=self.finance.take_event,
            public_url="https://shop.test/payments",
            gateways=None if many else configs,
            credentials=credentials if many else None,
            adapters=adapters or None,
            workers=self.workers,
            limits=_ENGINE,
            outbox_limits=_OUTBOX,
            reconcile_limits=_RECONCILE,
            inbox_limits=_INBOX,
            epoch=self._mark if self.setting.epoch else None,
        )

    async def _clock_is_stepped(self) -> None:
        rng, rate = stream(self.seed, "clock"), self.weather.clock
        while rate:
            await asyncio.sleep(rng.uniform(0.0, 2.0 / rate))
            step_s = rng.choice((-3600.0, -90.0, -5.0, 5.0, 90.0, 3600.0))
            self.machine.wall_offset_s += step_s
            self.note(f"the wall clock is stepped by {step_s:+g} s")


def _heard(unraisable: Any) -> None:
    """What a dead process's clean-up raises where nobody can catch it."""


_templates: dict[str, Path] = {}


def store_template() -> Path:
    """An empty, migrated store file; made once per process, with the store's own code."""
    found = _templates.get("store")
    if found is None or not found.exists():
        folder = scratch_folder()
        path = folder / "template.db"
        scheduler = Scheduler(stream("template"))
        loop = new_loop(scheduler, "template")
        life = _Life()

        async def make() -> None:
            clock = SimClock(scheduler, Machine())
            store = SqliteStore(
                path, clock=clock, sleeper=SimSleeper(), runner=SimRunner(life, stream(0), slow=0.0)
            )
            await store.open()
            await store.close()

        scheduler.run(loop.create_task(make()))
        found = _templates["store"] = path
        _remove_at_exit(folder)
    return found


class _Life:
    dead = False

    def point(self, what: str) -> None:
        """Nobody is killed here."""


def _remove_at_exit(folder: Path) -> None:
    import atexit

    atexit.register(shutil.rmtree, folder, ignore_errors=True)
