"""How a `Payments` is put together: what it was given lasts, the parts are made anew for each opening."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from vextrus_payments.clock import Clock, Sleeper
from vextrus_payments.config import CredentialSource, GatewayConfig
from vextrus_payments.engine import (
    Context,
    Engine,
    EngineLimits,
    EpochGuard,
    Flights,
    LatePayment,
    Recorder,
    ReturnDoor,
)
from vextrus_payments.epoch import EpochMark
from vextrus_payments.errors import ConfigurationError
from vextrus_payments.gateways.base import Adapter, PaymentGateway
from vextrus_payments.gateways.registry import DEFAULT_TENANT, Registry
from vextrus_payments.ids import Entropy, Ids
from vextrus_payments.ledger import AccountMap
from vextrus_payments.observe import GuardedObserver
from vextrus_payments.outbox import AlarmCallback, Outbox, OutboxLimits
from vextrus_payments.reconcile import Ports, ReconcileLimits, Reconciler
from vextrus_payments.sink_port import EventListener, Ledger
from vextrus_payments.store import PaymentStore
from vextrus_payments.tokens import TokenCache
from vextrus_payments.transport import Transport
from vextrus_payments.webhooks.guard import Guard
from vextrus_payments.webhooks.inbox import InboxPorts, InboxWorker
from vextrus_payments.webhooks.inbox_limits import InboxLimits
from vextrus_payments.webhooks.receiver import Receiver, ReceiverLimits, ReceiverPorts
from vextrus_payments.webhooks.writer import InboxWriter
from vextrus_payments.workers import Job, Workers

#: (tenant, gateway name) -> a ready gateway. Raises UnknownGatewayError, ConfigurationError.
FindGateway = Callable[[str, str], Coroutine[Any, Any, PaymentGateway]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a `Payments` was given, with the gaps filled: it lasts over all openings. See `Payments` for each."""

    store: PaymentStore
    tokens: TokenCache
    guard: Guard
    ledger: Ledger | None
    on_event: EventListener | None
    on_alarm: AlarmCallback | None
    public_url: str | None
    gateways: Mapping[str, GatewayConfig] | None
    adapters: Mapping[str, Adapter] | None
    credentials: CredentialSource | None
    workers: bool
    accounts: AccountMap
    late_payment: LatePayment
    epoch: EpochMark | None
    epoch_interval_s: float
    limits: EngineLimits
    reconcile_limits: ReconcileLimits
    outbox_limits: OutboxLimits | None
    inbox_limits: InboxLimits
    transport: Transport | None
    observer: GuardedObserver
    clock: Clock
    sleeper: Sleeper
    entropy: Entropy

    def __post_init__(self) -> None:
        if self.gateways and self.has_tenants:
            raise ConfigurationError(
                "Give either gateways (one tenant) or credentials (many tenants), not both."
            )
        if self.late_payment not in ("keep", "refund"):
            raise ConfigurationError('late_payment is "keep" or "refund".', code="late_payment")
        if self.epoch_interval_s <= 0:
            raise ConfigurationError("epoch_interval_s is above zero.", code="epoch_interval")

    @property
    def has_tenants(self) -> bool:
        """Whether there are many, so that every call names one."""
        return self.credentials is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What one opening uses up. It belongs to one event loop."""

    registry: Registry
    outbox: Outbox
    epochs: EpochGuard
    engine: Engine
    reconciler: Reconciler
    inbox_writer: InboxWriter
    receiver: Receiver
    crew: Workers


def assemble(given: Given, gateway: FindGateway, return_door: ReturnDoor) -> Parts:
    """Make the parts for one opening; no I/O.

    Args:
        gateway: finds a tenant's ready gateway, by the registry of the parts made here.
        return_door: knows the address at which browsers come back.
    """
    outbox, epochs = _outbox(given), _epochs(given)
    engine = Engine(_context(given, gateway, return_door, outbox, epochs))
    reconciler = Reconciler(
        Ports(
            store=given.store,
            engine=engine,
            gateway=gateway,
            clock=given.clock,
            sleeper=given.sleeper,
            entropy=given.entropy,
            observer=given.observer,
        ),
        given.reconcile_limits,
    )
    inbox, inbox_writer = new_inbox(given, engine, outbox), InboxWriter(given.store)
    receiver = Receiver(
        ReceiverPorts(
            gateway=gateway,
            writer=inbox_writer,
            clock=given.clock,
            observer=given.observer,
            on_kept=inbox.wake,
            has_tenants=given.has_tenants,
            default_tenant=DEFAULT_TENANT,
        ),
        ReceiverLimits(body_max_bytes=given.guard.body_max_bytes),
    )
    jobs: list[Job] = [outbox, reconciler, inbox]
    if epochs.configured:
        jobs.append(epochs)
    return Parts(
        registry=_registry(given),
        outbox=outbox,
        epochs=epochs,
        engine=engine,
        reconciler=reconciler,
        inbox_writer=inbox_writer,
        receiver=receiver,
        crew=Workers(jobs, given.observer),
    )


def new_inbox(given: Given, engine: Engine, outbox: Outbox) -> InboxWorker:
    """One that applies what webhooks have brought; two of them beside each other share the work."""
    ports = InboxPorts(
        store=given.store,
        engine=engine,
        clock=given.clock,
        entropy=given.entropy,
        observer=given.observer,
        on_commit=outbox.wake,
    )
    return InboxWorker(ports, given.inbox_limits)


def _registry(given: Given) -> Registry:
    return Registry(
        credentials=given.credentials,
        configs=given.gateways,
        adapters=given.adapters,
        transport=given.transport,
        tokens=given.tokens,
        clock=given.clock,
        sleeper=given.sleeper,
        entropy=given.entropy,
        observer=given.observer,
    )


def _outbox(given: Given) -> Outbox:
    return Outbox(
        given.store,
        ledger=given.ledger,
        on_event=given.on_event,
        entropy=given.entropy,
        observer=given.observer,
        limits=given.outbox_limits,
        on_alarm=given.on_alarm,
    )


def _epochs(given: Given) -> EpochGuard:
    return EpochGuard(
        given.store,
        given.epoch,
        clock=given.clock,
        sleeper=given.sleeper,
        ids=Ids(given.clock, given.entropy),
        observer=given.observer,
        interval_s=given.epoch_interval_s,
    )


def _context(
    given: Given, gateway: FindGateway, return_door: ReturnDoor, outbox: Outbox, epochs: EpochGuard
) -> Context:
    return Context(
        store=given.store,
        gateway=gateway,
        return_door=return_door,
        recorder=Recorder(given.store, given.sleeper, outbox.wake),
        flights=Flights(),
        clock=given.clock,
        sleeper=given.sleeper,
        ids=Ids(given.clock, given.entropy),
        observer=given.observer,
        epochs=epochs,
        accounts=given.accounts,
        late_payment=given.late_payment,
        limits=given.limits,
    )
