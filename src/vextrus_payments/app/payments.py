"""`Payments`: the engine, a store, the gateways, the workers, put together. Building one does no I/O."""

import asyncio
import re
from collections.abc import Collection, Mapping
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from vextrus_payments.app.single import SingleTenantVerbs
from vextrus_payments.app.tenant import TenantPayments
from vextrus_payments.clock import Clock, Sleeper, SystemClock, SystemSleeper
from vextrus_payments.config import CredentialSource, GatewayConfig
from vextrus_payments.engine import (
    Context,
    Engine,
    EngineLimits,
    EpochGuard,
    EpochState,
    Flights,
    LatePayment,
    Recorder,
    ReturnResult,
)
from vextrus_payments.epoch import EpochMark
from vextrus_payments.errors import ConfigurationError, InvalidRequestError, PaymentsError
from vextrus_payments.gateways.base import Adapter, PaymentGateway
from vextrus_payments.gateways.registry import DEFAULT_TENANT, Registry
from vextrus_payments.health import Health, InboxHealth, OpenHealth, QueueHealth, Setup
from vextrus_payments.ids import Entropy, Ids, SystemEntropy
from vextrus_payments.ledger import DEFAULT_ACCOUNTS, AccountMap
from vextrus_payments.logs import StructlogObserver
from vextrus_payments.mode import Mode
from vextrus_payments.observe import GuardedObserver, Observer
from vextrus_payments.outbox import AlarmCallback, Outbox, OutboxLimits
from vextrus_payments.payment import (
    check_text,
    checked_public_url,
)
from vextrus_payments.reconcile import (
    OnEach,
    Ports,
    ReconcileLimits,
    Reconciler,
    ReconcileReport,
)
from vextrus_payments.records import OperationKind, OperationState, OutboxKind
from vextrus_payments.sink_port import EventListener, Ledger, is_row_sink
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import open_store
from vextrus_payments.token_port import TokenBackend, require_durable
from vextrus_payments.tokens import StoreTokenBackend, TokenCache
from vextrus_payments.transport import Transport
from vextrus_payments.webhooks.asgi import AsgiDoors
from vextrus_payments.webhooks.guard import Guard
from vextrus_payments.webhooks.inbox import InboxPorts, InboxWorker
from vextrus_payments.webhooks.inbox_limits import InboxLimits
from vextrus_payments.webhooks.keeper import Behind, Keeper
from vextrus_payments.webhooks.limits import DoorLimits
from vextrus_payments.webhooks.messages import DoorKeeper
from vextrus_payments.webhooks.receiver import Receiver, ReceiverLimits, ReceiverPorts
from vextrus_payments.webhooks.routes import return_address
from vextrus_payments.webhooks.writer import InboxWriter
from vextrus_payments.workers import Job, Workers

if TYPE_CHECKING:
    pass

_HEALTH_S: Final = 3.0
_CUT_OFF_S: Final = 5.0
_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


class Payments(SingleTenantVerbs):
    """Takes, refunds and accounts for payments.

    Use it as `async with`: entering opens the store and starts the outbox worker, leaving lets everything that was
    claimed be recorded, and closes what was opened here.

    Args:
        store: where payments live: "sqlite:///payments.db", "memory://" (sandbox only), or a PaymentStore.
        ledger: takes each balanced LedgerEntry, at least once, in order per payment: a coroutine function, or a sink
            (`vextrus_payments.sinks`). Without one, entries wait.
        on_event: takes each PaymentEvent, whoever settled the payment: a coroutine function, or an HttpSink.
        on_alarm: told of entries and events that were set aside or that nobody has taken for too long.
        public_url: where this service is reached from outside; gateways send browsers to
            "{public_url}/{gateway}/return" (with tenants: "{public_url}/t/{tenant}/{gateway}/return").
        gateways: configurations by gateway name; what is not named is read from the environment on first use.
        adapters: gateway adapters by name, in place of the installed ones.
        credentials: where the configurations of many tenants come from; then every call goes through `for_tenant`.
        tokens: where gateway tokens are kept; by default in the store.
        accounts: the names of the ledger's accounts.
        late_payment: what becomes of money that comes after a payment was closed. "keep": it is booked to unapplied
            receipts and announced, for a person's decision; "refund": the reconciler gives it back, once (at a
            gateway that shows no refunds, no longer by itself once the store was restored from a backup).
        epoch: a mark outside the database, such as FileEpochMark("/other/volume/payments.epoch"), that tells a restored
            backup from the real thing. Without one a restored backup is not noticed.
        epoch_interval_s: how often the mark is renewed while money moves: what was lost since is what it cannot see.
        workers: whether entering starts the workers, which deliver entries and news and reconcile what is open;
            without them call `deliver()` and `reconcile_due()`, or run `vextrus-pay worker` elsewhere.
        reconcile_limits: how many payments are looked at at once, and the like.
        outbox_limits: how many entries and events are handed over at once, and when one is set aside.
        inbox_limits: how many pieces of news from gateways are worked on at once, and how long one may wait.
        door_limits: what the doors take, how often and from whom; by default nothing is counted.

    Raises:
        ConfigurationError: the arguments do not go together.
    """

    def __init__(
        self,
        *,
        store: str | PaymentStore,
        ledger: Ledger | None = None,
        on_event: EventListener | None = None,
        on_alarm: AlarmCallback | None = None,
        public_url: str | None = None,
        gateways: Mapping[str, GatewayConfig] | None = None,
        adapters: Mapping[str, Adapter] | None = None,
        credentials: CredentialSource | None = None,
        tokens: TokenBackend | None = None,
        workers: bool = True,
        accounts: AccountMap = DEFAULT_ACCOUNTS,
        late_payment: LatePayment = "keep",
        epoch: EpochMark | None = None,
        epoch_interval_s: float = 60.0,
        limits: EngineLimits | None = None,
        reconcile_limits: ReconcileLimits | None = None,
        outbox_limits: OutboxLimits | None = None,
        inbox_limits: InboxLimits | None = None,
        door_limits: DoorLimits | None = None,
        transport: Transport | None = None,
        observer: Observer | None = None,
        clock: Clock | None = None,
        sleeper: Sleeper | None = None,
        entropy: Entropy | None = None,
    ) -> None:
        if gateways and credentials is not None:
            raise ConfigurationError(
                "Give either gateways (one tenant) or credentials (many tenants), not both."
            )
        self._clock = clock or SystemClock()
        self._sleeper = sleeper or SystemSleeper()
        self._entropy = entropy or SystemEntropy()
        self._observer = GuardedObserver(observer or StructlogObserver())
        self._public_url = None if public_url is None else checked_public_url(public_url)
        self._has_tenants = credentials is not None
        self._workers = workers
        self._store = open_store(store, clock=self._clock)
        self._tokens = TokenCache(
            tokens or StoreTokenBackend(self._store),
            clock=self._clock,
            sleeper=self._sleeper,
            entropy=self._entropy,
            observer=self._observer,
        )
        self._new_registry = partial(
            Registry,
            credentials=credentials,
            configs=gateways,
            adapters=adapters,
            transport=transport,
            tokens=self._tokens,
            clock=self._clock,
            sleeper=self._sleeper,
            entropy=self._entropy,
            observer=self._observer,
        )
        self._new_outbox = partial(
            Outbox,
            self._store,
            ledger=ledger,
            on_event=on_event,
            entropy=self._entropy,
            observer=self._observer,
            limits=outbox_limits,
            on_alarm=on_alarm,
        )
        self._sinks = tuple({sink for sink in (ledger, on_event) if is_row_sink(sink)})
        if late_payment not in ("keep", "refund"):
            raise ConfigurationError('late_payment is "keep" or "refund".', code="late_payment")
        self._late_payment: LatePayment = late_payment
        if epoch_interval_s <= 0:
            raise ConfigurationError("epoch_interval_s is above zero.", code="epoch_interval")
        self._epoch, self._epoch_interval_s = epoch, epoch_interval_s
        self._accounts = accounts
        self._limits = limits or EngineLimits()
        self._reconcile_limits = reconcile_limits or ReconcileLimits()
        self._inbox_limits = inbox_limits or InboxLimits()
        self._guard = Guard(door_limits, clock=self._clock, observer=self._observer)
        self._keeper = Keeper(
            Behind(
                is_open=lambda: self._opened,
                receiver=lambda: self._receiver,
                returned=self._returned,
                health=self.health,
            ),
            self._guard,
        )
        self._opened = False
        self._closing: asyncio.Task[None] | None = None
        self._assemble()

    def _assemble(self) -> None:
        """Make what one opening uses up: it belongs to one event loop, and is made anew for the next one."""
        self._registry = self._new_registry()
        self._outbox = self._new_outbox()
        ids = Ids(self._clock, self._entropy)
        self._epochs = EpochGuard(
            self._store,
            self._epoch,
            clock=self._clock,
            sleeper=self._sleeper,
            ids=ids,
            observer=self._observer,
            interval_s=self._epoch_interval_s,
        )
        self._engine = Engine(
            Context(
                store=self._store,
                gateway=self.gateway_of,
                return_door=self.return_door,
                recorder=Recorder(self._store, self._sleeper, self._outbox.wake),
                flights=Flights(),
                clock=self._clock,
                sleeper=self._sleeper,
                ids=ids,
                observer=self._observer,
                epochs=self._epochs,
                accounts=self._accounts,
                late_payment=self._late_payment,
                limits=self._limits,
            )
        )
        self._reconciler = Reconciler(
            Ports(
                store=self._store,
                engine=self._engine,
                gateway=self.gateway_of,
                clock=self._clock,
                sleeper=self._sleeper,
                entropy=self._entropy,
                observer=self._observer,
            ),
            self._reconcile_limits,
        )
        self._inbox = self._new_inbox()
        self._inbox_writer = InboxWriter(self._store)
        self._receiver = Receiver(
            ReceiverPorts(
                gateway=self.gateway_of,
                writer=self._inbox_writer,
                clock=self._clock,
                observer=self._observer,
                on_kept=self._inbox.wake,
                has_tenants=self._has_tenants,
                default_tenant=DEFAULT_TENANT,
            ),
            ReceiverLimits(body_max_bytes=self._guard.body_max_bytes),
        )
        jobs: list[Job] = [self._outbox, self._reconciler, self._inbox, *self._epoch_jobs()]
        self._crew = Workers(jobs, self._observer)

    def _new_inbox(self) -> InboxWorker:
        ports = InboxPorts(
            store=self._store,
            engine=self._engine,
            clock=self._clock,
            entropy=self._entropy,
            observer=self._observer,
            on_commit=self._outbox.wake,
        )
        return InboxWorker(ports, self._inbox_limits)

    def _epoch_jobs(self) -> list[EpochGuard]:
        return [self._epochs] if self._epochs.configured else []

    # --- opening and closing --------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def open(self, *, workers: bool | None = None) -> None:
        """Open the store and start the workers. A second call does nothing; after aclose() it opens afresh.

        Args:
            workers: whether to start them this time; None: as the constructor was told.

        Raises:
            ConfigurationError: it is still closing.
            StorageError: the store cannot be opened.
        """
        if self._opened:
            return
        if self._closing is not None:
            if not self._closing.done():
                raise ConfigurationError(
                    "Payments is still closing.", code="closing", next_step="Await aclose() first."
                )
            self._closing = None
            self._assemble()
        await self._store.open()
        if self._opened:
            return  # somebody else opened it while this call waited for the store
        try:
            await self._epochs.roll()
        except BaseException:
            if not self._opened:
                await self._store.close()
            raise
        if self._opened:
            return
        self._opened = True
        if self._workers if workers is None else workers:
            self._crew.start()

    async def aclose(self) -> None:
        """Let what was claimed be recorded, stop the workers, close what was opened here.

        Cancelling it cancels only the wait: the closing goes on, and calling it again waits for the same one.
        """
        closing = self._begin_to_close()
        if closing is not None and not closing.done():
            await asyncio.shield(closing)

    def _begin_to_close(self) -> "asyncio.Task[None] | None":
        if self._closing is None and self._opened:
            self._opened = False
            self._closing = asyncio.create_task(self._close(), name="vextrus-payments-closing")
        return self._closing

    async def _close(self) -> None:
        try:
            self._reconciler.stop()  # first: it would begin anew what is being drained
            await self._crew.stop("reconcile", "inbox")
            await self._inbox_writer.aclose()
            await self._engine.drain()
            await self._epochs.roll_quietly()
            await self._tokens.drain()
            await self._outbox.drain()
            await self._crew.stop()
            await self._registry.aclose()
            await self._tokens.let_go()
            await self._guard.aclose()
        finally:
            for sink in self._sinks:
                await sink.aclose()
            await self._store.close()

    async def run_workers(self, until: asyncio.Event, *, drain_s: float = 30.0) -> bool:
        """Deliver entries and news and reconcile what is open until `until` is set, then finish what is in hand and
        close. Opens what is not open, with or without `workers=False`: `vextrus-pay worker` is this and two signals.

        Args:
            drain_s: how long finishing may take, in seconds. What takes longer is cut off, as by a crash: an entry
                or event that was in hand is offered again once its lease is over, and what was sent to a gateway is
                looked up. Cancelling this cuts off at once.

        Returns:
            True: everything in hand was finished. False: something was cut off.

        Raises:
            ConfigurationError, StorageError: as open().
        """
        await self.open(workers=True)
        self._crew.start()
        try:
            await until.wait()
        except asyncio.CancelledError:
            await self._close_within(0.0)
            raise
        return await self._close_within(drain_s)

    async def _close_within(self, wait_s: float) -> bool:
        closing = self._begin_to_close()
        if closing is None:
            return True
        try:
            await asyncio.wait({closing}, timeout=wait_s)
        finally:
            drained = closing.done()
            if not drained:
                cut_off = await self._crew.cut_off()
                self._observer.event("workers.cut_off", jobs=", ".join(cut_off))
                closing.cancel()
                await asyncio.wait({closing}, timeout=_CUT_OFF_S)
        if drained:
            closing.result()
        return drained

    # --- the verbs ------------------------------------------------------------------------------------------

    def for_tenant(self, tenant: str) -> TenantPayments:
        """The verbs on behalf of one tenant (1-64 letters, digits, `.`, `_` or `-`)."""
        check_text("tenant", tenant, _TENANT, "1-64 letters, digits, dots, dashes or underscores")
        self._check_open()
        books = (self._accounts, self._clock, self._sleeper)
        return TenantPayments(self._open_engine, self._store, tenant, self._open_reconciler, books)

    async def epoch(self) -> EpochState:
        """Whether the store was restored from a backup and waits to be reconciled, as far as anybody can tell.

        Raises:
            StorageError: see its message.
        """
        self._check_open()
        return await self._epochs.state()

    async def reconcile_due(self, *, on_each: OnEach | None = None) -> ReconcileReport:
        """Look once at everything that is due now, of every tenant; what a worker does all the time.

        Args:
            on_each: told of each payment as soon as it has been looked at.

        Raises:
            StorageError: the store failed; what was looked at until then is recorded.
        """
        return await self._open_reconciler().due(on_each)

    async def reconcile_since(
        self, since: datetime, *, leave_out: Collection[str] = (), on_each: OnEach | None = None
    ) -> ReconcileReport:
        """After a restored backup: ask about everything that is open, and about everything that was made or changed
        since then, what is over in the records and refunds included. Nothing is sent meanwhile.

        Once every question got an answer, the store is accepted as the one to go on with
        (`accepted_restored`); until then what may move money is refused. Look at the report, and call it again.

        Args:
            since: a time before the backup was taken; earlier by as much as refunds may come late.
            leave_out: tenants about whom nobody can ask any more, and whose payments are left as they are.
            on_each: told of each payment as soon as it has been looked at.

        Raises:
            InvalidRequestError: `since` has no zone.
            StorageError: the store failed; nothing was accepted.
        """
        return await self._open_reconciler().since(since, leave_out=leave_out, on_each=on_each)

    async def clear_payouts(self) -> None:
        """After a restored backup and its reconciliation: say that payouts may leave again, and refunds at a gateway
        that shows none (SSLCommerz).

        No gateway can be asked which of these it made since the backup, and a repeated call would pay twice. So they
        are refused until a person has compared with the gateways' statements, and says so by this. Else it does
        nothing.

        Raises:
            ReconciliationRequiredError: `reconcile_since` has not been completed yet.
            StorageError: see its message; nothing is cleared.
        """
        await self._open_engine().clear_payouts()

    async def process_inbox(self) -> int:
        """Apply now what webhooks have brought and is due; what a worker does all the time. How many were taken.

        What cannot be applied yet (the gateway gives no answer) is due again later.

        Raises:
            StorageError: the store failed; what was applied is recorded.
        """
        self._check_open()
        return await self._new_inbox().process()

    async def deliver(self) -> int:
        """Hand over everything that is due in the outbox now; how many rows were taken."""
        self._check_open()
        return await self._outbox.deliver()

    async def health(self) -> Health:
        """How this process and its store stand: what waits, what was set aside, which workers run. Never raises; a
        store that is down, or does not answer within three seconds, is told as its `store_problem`.
        """
        problem: str | None = None
        queues: tuple[QueueHealth, ...] = ()
        unknown: OpenHealth | None = None
        inbox: InboxHealth | None = None
        restored: str | None = None
        if self._opened:
            try:
                async with asyncio.timeout(_HEALTH_S):
                    queues = await self._outbox.health()
                    unknown = await self._unknown()
                    inbox = await self._inbox_health()
                    restored = (await self._epochs.state()).restored
            except TimeoutError:
                problem = f"The store did not answer within {_HEALTH_S:g} s."
            except PaymentsError as error:
                problem = error.what
            except Exception as error:  # noqa: BLE001 - a store of the host's own may raise anything
                problem = f"The store failed ({type(error).__name__})."
        return Health(
            at=self._clock.now(),
            opened=self._opened,
            store_problem=problem,
            queues=queues,
            workers=self._crew.health() if self._crew.started else (),
            observer_failures=self._observer.failures,
            overdue_s=self._outbox.overdue_s,
            unknown=unknown,
            inbox=inbox,
            restored=restored,
            forwarder=self._guard.forwarder,
        )

    async def _inbox_health(self) -> InboxHealth:
        backlog, now = await self._store.inbox_backlog(), self._store.now()
        oldest = backlog.oldest_received_at
        age_s = None if oldest is None else max(0.0, (now - oldest).total_seconds())
        return InboxHealth(waiting=backlog.waiting, parked=backlog.parked, oldest_s=age_s)

    async def _unknown(self) -> OpenHealth:
        """What nobody knows the end of. What only opened a session is left out: nothing moves by it."""
        states = (OperationState.UNKNOWN, OperationState.PENDING)
        page = await self._store.list_operations(None, states=states, limit=100)
        rows = [o for o in page.rows if o.kind is not OperationKind.INITIALIZE]
        paid_out = await self._store.list_payouts(None, unsettled=True, limit=100)
        rows += [payout.operation for payout in paid_out.rows if payout.state in states]
        oldest = min((o.updated_at for o in rows), default=None)
        age_s = None if oldest is None else max(0.0, (self._store.now() - oldest).total_seconds())
        more = page.cursor is not None or paid_out.cursor is not None
        return OpenHealth(count=len(rows), more=more, oldest_s=age_s)

    # --- what the engine asks, and commands -----------------------------------------------------------------

    @property
    def store(self) -> PaymentStore:
        """Where payments live."""
        return self._store

    @property
    def setup(self) -> Setup:
        """What it was made with, as far as it can be shown."""
        return Setup(
            public_url=self._public_url,
            has_tenants=self._has_tenants,
            takes_entries=OutboxKind.LEDGER in self._outbox.kinds,
            takes_events=OutboxKind.EVENT in self._outbox.kinds,
            tokens_durable=self._tokens.durable,
            accounts=self._accounts,
            workers=self._workers,
            gateways=self._registry.names,
            epoch_marked=self._epochs.configured,
        )

    def asgi(self) -> AsgiDoors:
        """The doors as an ASGI application, to be mounted at `public_url`: webhooks, returns, health.

        Mount it before or after opening; until then, and after closing, it answers 503. It opens nothing: enter
        `async with payments` in the lifespan of what it is mounted in. See docs/webhooks-mounting.md.
        """
        return AsgiDoors(self._keeper)

    @property
    def keeper(self) -> DoorKeeper:
        """What the doors ask (webhooks/), whichever web application they are mounted in. One for all openings."""
        return self._keeper

    async def gateway_of(self, tenant: str, name: str) -> PaymentGateway:
        """The tenant's ready gateway of that name.

        Raises:
            UnknownGatewayError, CredentialsMissingError, ConfigurationError: see their messages.
        """
        gateway = await self._registry.gateway(tenant, name)
        if gateway.mode is Mode.LIVE:
            self._check_durable()
        return gateway

    def return_door(self, tenant: str, gateway: str) -> str | None:
        """The address of our return door for one gateway; None when no public address is known."""
        if self._public_url is None:
            return None
        return return_address(self._public_url, gateway, tenant if self._has_tenants else None)

    # --- own ------------------------------------------------------------------------------------------------

    def _single(self) -> TenantPayments:
        if self._has_tenants:
            raise ConfigurationError(
                "Credentials of many tenants are configured, and the call names no tenant.",
                code="tenant_missing",
                next_step="Call for_tenant(...) first.",
            )
        return self.for_tenant(DEFAULT_TENANT)

    async def _returned(
        self, tenant: str | None, gateway: str, params: Mapping[str, str], *, wait_s: float
    ) -> ReturnResult:
        """A return that came in at a door: whose path names a tenant where there are many, and none where not."""
        if (tenant is not None) is not self._has_tenants:
            raise InvalidRequestError(
                "The return names a payment that is not ours.",
                field="tenant",
                rule="as the return door's address",
            )
        verbs = self.for_tenant(DEFAULT_TENANT if tenant is None else tenant)
        return await verbs.handle_return(gateway, params, wait_s=wait_s)

    def _open_engine(self) -> Engine:
        self._check_open()
        return self._engine

    def _open_reconciler(self) -> Reconciler:
        self._check_open()
        return self._reconciler

    def _check_open(self) -> None:
        if not self._opened:
            raise ConfigurationError(
                "Payments is not open.",
                code="not_open",
                next_step="Use `async with payments:` (or open() first).",
            )

    def _check_durable(self) -> None:
        if not self._store.durable:
            raise ConfigurationError(
                "Live mode with a store that forgets everything with its process.",
                code="store_not_durable",
                next_step='Name a durable store, such as store="sqlite:///payments.db".',
            )
        require_durable(self._tokens, Mode.LIVE)
