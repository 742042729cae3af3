"""`Payments`: the engine, a store, the gateways, the workers, put together. Building one does no I/O."""

import asyncio
import re
from collections.abc import Collection, Mapping
from datetime import datetime
from types import TracebackType
from typing import Final, Self

from vextrus_payments.app.opening import Opening
from vextrus_payments.app.single import SingleTenantVerbs
from vextrus_payments.app.standing import measured
from vextrus_payments.app.tenant import TenantPayments
from vextrus_payments.app.wiring import Given, Parts, assemble, new_inbox
from vextrus_payments.clock import Clock, Sleeper, SystemClock, SystemSleeper
from vextrus_payments.config import CredentialSource, GatewayConfig
from vextrus_payments.engine import Engine, EngineLimits, EpochState, LatePayment, ReturnResult
from vextrus_payments.epoch import EpochMark
from vextrus_payments.errors import ConfigurationError, InvalidRequestError
from vextrus_payments.gateways.base import Adapter, PaymentGateway
from vextrus_payments.gateways.registry import DEFAULT_TENANT
from vextrus_payments.health import Health, Setup
from vextrus_payments.ids import Entropy, SystemEntropy
from vextrus_payments.ledger import DEFAULT_ACCOUNTS, AccountMap
from vextrus_payments.logs import StructlogObserver
from vextrus_payments.mode import Mode
from vextrus_payments.observe import GuardedObserver, Observer
from vextrus_payments.outbox import AlarmCallback, OutboxLimits
from vextrus_payments.payment import check_text, checked_public_url
from vextrus_payments.reconcile import OnEach, ReconcileLimits, Reconciler, ReconcileReport
from vextrus_payments.records import OutboxKind
from vextrus_payments.sink_port import EventListener, Ledger
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import open_store
from vextrus_payments.token_port import TokenBackend, require_durable
from vextrus_payments.tokens import StoreTokenBackend, TokenCache
from vextrus_payments.transport import Transport
from vextrus_payments.webhooks.asgi import AsgiDoors
from vextrus_payments.webhooks.guard import Guard
from vextrus_payments.webhooks.inbox_limits import InboxLimits
from vextrus_payments.webhooks.keeper import Behind, Keeper
from vextrus_payments.webhooks.limits import DoorLimits
from vextrus_payments.webhooks.messages import DoorKeeper
from vextrus_payments.webhooks.routes import return_address

_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


class Payments(SingleTenantVerbs):
    """Takes, refunds and accounts for payments.

    Use it as `async with`: entering opens the store and starts the workers, leaving lets everything that was
    claimed be recorded, and closes what was opened here.

    Args:
        store: where payments live: "sqlite:///payments.db", "postgresql://user@host/database", "memory://" (sandbox
            only), or a PaymentStore.
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
        limits: the engine's own, such as for how long a claim may send, and how long a caller waits for another.
        reconcile_limits: how many payments are looked at at once, and the like.
        outbox_limits: how many entries and events are handed over at once, and when one is set aside.
        inbox_limits: how many pieces of news from gateways are worked on at once, and how long one may wait.
        door_limits: what the doors take, how often and from whom; by default nothing is counted.
        transport: what carries requests, in place of a shared one over httpx.
        observer: told of every exchange and event, redacted; by default structlog's loggers are.
        clock, sleeper, entropy: time, waiting and randomness, in place of this machine's: for tests.

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
        clock, sleeper = clock or SystemClock(), sleeper or SystemSleeper()
        entropy = entropy or SystemEntropy()
        guarded = GuardedObserver(observer or StructlogObserver())
        kept = open_store(store, clock=clock)
        self._given = Given(
            store=kept,
            tokens=TokenCache(
                tokens or StoreTokenBackend(kept),
                clock=clock,
                sleeper=sleeper,
                entropy=entropy,
                observer=guarded,
            ),
            guard=Guard(door_limits, clock=clock, observer=guarded),
            ledger=ledger,
            on_event=on_event,
            on_alarm=on_alarm,
            public_url=None if public_url is None else checked_public_url(public_url),
            gateways=gateways,
            adapters=adapters,
            credentials=credentials,
            workers=workers,
            accounts=accounts,
            late_payment=late_payment,
            epoch=epoch,
            epoch_interval_s=epoch_interval_s,
            limits=limits or EngineLimits(),
            reconcile_limits=reconcile_limits or ReconcileLimits(),
            outbox_limits=outbox_limits,
            inbox_limits=inbox_limits or InboxLimits(),
            transport=transport,
            observer=guarded,
            clock=clock,
            sleeper=sleeper,
            entropy=entropy,
        )
        self._opening = Opening(self._given, lambda: assemble(self._given, self.gateway_of, self.return_door))
        self._keeper = Keeper(
            Behind(
                is_open=lambda: self._opening.is_open,
                receiver=lambda: self._parts.receiver,
                returned=self._returned,
                health=self.health,
            ),
            self._given.guard,
        )

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
        await self._opening.open(self._given.workers if workers is None else workers)

    async def aclose(self) -> None:
        """Let what was claimed be recorded, stop the workers, close what was opened here.

        Cancelling it cancels only the wait: the closing goes on, and calling it again waits for the same one.
        """
        await self._opening.aclose()

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
        return await self._opening.run_workers(until, drain_s)

    # --- the verbs ------------------------------------------------------------------------------------------

    def for_tenant(self, tenant: str) -> TenantPayments:
        """The verbs on behalf of one tenant (1-64 letters, digits, `.`, `_` or `-`)."""
        check_text("tenant", tenant, _TENANT, "1-64 letters, digits, dots, dashes or underscores")
        self._opening.open_parts()
        books = (self._given.accounts, self._given.clock, self._given.sleeper)
        return TenantPayments(self._open_engine, self._given.store, tenant, self._open_reconciler, books)

    async def epoch(self) -> EpochState:
        """Whether the store was restored from a backup and waits to be reconciled, as far as anybody can tell.

        Raises:
            StorageError: see its message.
        """
        return await self._opening.open_parts().epochs.state()

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
            leave_out: tenants about whom nobody can ask any more, and whose payments are left as they are. What moves
                money of theirs stays refused, until a later run, with their credentials back, takes them in.
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
        parts = self._opening.open_parts()
        return await new_inbox(self._given, parts.engine, parts.outbox).process()

    async def deliver(self) -> int:
        """Hand over everything that is due in the outbox now; how many rows were taken."""
        return await self._opening.open_parts().outbox.deliver()

    async def health(self) -> Health:
        """How this process and its store stand: what waits, what was set aside, which workers run. Never raises; a
        store that is down, or does not answer within three seconds, is told as its `store_problem`.
        """
        return await measured(self._given, self._parts, opened=self._opening.is_open)

    # --- what the engine asks, and commands -----------------------------------------------------------------

    @property
    def store(self) -> PaymentStore:
        """Where payments live."""
        return self._given.store

    @property
    def setup(self) -> Setup:
        """What it was made with, as far as it can be shown."""
        given, parts = self._given, self._parts
        return Setup(
            public_url=given.public_url,
            has_tenants=given.has_tenants,
            takes_entries=OutboxKind.LEDGER in parts.outbox.kinds,
            takes_events=OutboxKind.EVENT in parts.outbox.kinds,
            tokens_durable=given.tokens.durable,
            accounts=given.accounts,
            workers=given.workers,
            gateways=parts.registry.names,
            epoch_marked=parts.epochs.configured,
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
        gateway = await self._parts.registry.gateway(tenant, name)
        if gateway.mode is Mode.LIVE:
            self._check_durable()
        return gateway

    def return_door(self, tenant: str, gateway: str) -> str | None:
        """The address of our return door for one gateway; None when no public address is known."""
        if self._given.public_url is None:
            return None
        return return_address(self._given.public_url, gateway, tenant if self._given.has_tenants else None)

    # --- own ------------------------------------------------------------------------------------------------

    def _single(self) -> TenantPayments:
        if self._given.has_tenants:
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
        if (tenant is not None) is not self._given.has_tenants:
            raise InvalidRequestError(
                "The return names a payment that is not ours.",
                field="tenant",
                rule="as the return door's address",
            )
        verbs = self.for_tenant(DEFAULT_TENANT if tenant is None else tenant)
        return await verbs.handle_return(gateway, params, wait_s=wait_s)

    @property
    def _parts(self) -> Parts:
        """Of the present opening, else of the next one."""
        return self._opening.parts

    def _open_engine(self) -> Engine:
        return self._opening.open_parts().engine

    def _open_reconciler(self) -> Reconciler:
        return self._opening.open_parts().reconciler

    def _check_durable(self) -> None:
        if not self._given.store.durable:
            raise ConfigurationError(
                "Live mode with a store that forgets everything with its process.",
                code="store_not_durable",
                next_step='Name a durable store, such as store="sqlite:///payments.db".',
            )
        require_durable(self._given.tokens, Mode.LIVE)
