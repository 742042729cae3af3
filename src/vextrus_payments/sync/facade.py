"""The blocking facade: every verb of the async one, run on the process's background loop."""

import os
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, TypeVar, cast

from vextrus_payments import app
from vextrus_payments.clock import Clock, Sleeper
from vextrus_payments.config import GatewayConfig
from vextrus_payments.engine import EngineLimits, EpochState, LatePayment
from vextrus_payments.epoch import EpochMark, FileEpochMark
from vextrus_payments.errors import ConfigurationError, StorageError
from vextrus_payments.gateways.base import Adapter
from vextrus_payments.health import Health, Setup
from vextrus_payments.ids import Entropy
from vextrus_payments.ledger import DEFAULT_ACCOUNTS, AccountMap
from vextrus_payments.observe import Observer
from vextrus_payments.outbox import OutboxLimits
from vextrus_payments.reconcile import OnEach, ReconcileLimits, ReconcileReport
from vextrus_payments.store import PaymentStore
from vextrus_payments.sync.background import Background, background, refuse_inside_a_loop, shared_lock
from vextrus_payments.sync.callbacks import inside_a_callback
from vextrus_payments.sync.here import (
    AlarmFunction,
    Callbacks,
    CredentialFunction,
    EventFunction,
    Here,
    LedgerFunction,
)
from vextrus_payments.sync.verbs import TenantPayments, Verb, Verbs
from vextrus_payments.token_port import TokenBackend
from vextrus_payments.transport import Transport
from vextrus_payments.webhooks.blocking import Question
from vextrus_payments.webhooks.django import AsyncView, View, django_async_view, django_view
from vextrus_payments.webhooks.inbox_limits import InboxLimits
from vextrus_payments.webhooks.limits import DoorLimits
from vextrus_payments.webhooks.wsgi import WsgiDoors

T = TypeVar("T")

#: Stores that are nothing but a connection: one opened anew in a child of a fork knows nothing of the parent's.
_FRESH_AFTER_FORK: Final = ("postgresql://", "postgres://")


class Payments(Verbs):
    """Takes, refunds and accounts for payments; every verb blocks until there is an answer.

    Make one where your settings are, and use it from any number of threads. It opens itself at its first use in each
    process, on an event loop in a background thread that all `Payments` of the process share. To choose the moment
    (a process that only delivers has no first use), call open() or use it as `with`; after close() it stays closed
    until open(). Nothing is opened by making one, so it may be made before a fork, and must be used after it: a child
    whose parent had it open opens its own where the store is a "postgresql://" URL, and is refused otherwise.

    Args:
        ledger, on_event, on_alarm, credentials: as vextrus_payments.Payments takes them, or plain functions; those
            run in threads of their own, so that one that blocks holds up nobody's payment.
        callback_threads: how many threads each plain function gets at most (1 to 64). Each may hold one of your
            database connections. One row of a payment is never handed over beside another of the same payment.

    The other arguments are those of vextrus_payments.Payments.

    Every method raises ConfigurationError where it is called inside a running event loop (code "inside_event_loop")
    or after a fork that the store does not survive ("forked"), and whatever the async method of its name raises.
    """

    def __init__(
        self,
        *,
        store: str | PaymentStore,
        ledger: LedgerFunction | None = None,
        on_event: EventFunction | None = None,
        on_alarm: AlarmFunction | None = None,
        public_url: str | None = None,
        gateways: Mapping[str, GatewayConfig] | None = None,
        adapters: Mapping[str, Adapter] | None = None,
        credentials: CredentialFunction | None = None,
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
        callback_threads: int = 4,
    ) -> None:
        callbacks = Callbacks(
            ledger=ledger,
            on_event=on_event,
            on_alarm=on_alarm,
            credentials=credentials,
            threads=callback_threads,
        )
        self._make = partial(
            Here,
            partial(
                app.Payments,
                store=store,
                public_url=public_url,
                gateways=gateways,
                adapters=adapters,
                tokens=tokens,
                workers=workers,
                accounts=accounts,
                late_payment=late_payment,
                epoch=epoch,
                epoch_interval_s=epoch_interval_s,
                limits=limits,
                reconcile_limits=reconcile_limits,
                outbox_limits=outbox_limits,
                inbox_limits=inbox_limits,
                door_limits=door_limits,
                transport=transport,
                observer=observer,
                clock=clock,
                sleeper=sleeper,
                entropy=entropy,
            ),
            callbacks,
        )
        self._fresh_after_fork = (
            isinstance(store, str)
            and store.startswith(_FRESH_AFTER_FORK)
            and tokens is None
            and transport is None
            and isinstance(epoch, FileEpochMark | None)
            and not callbacks.hold_connections
        )
        self._opens_itself = True
        self._here = self._make()

    # --- opening and closing --------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def open(self, *, workers: bool | None = None) -> None:
        """Open the store and start the workers, in this process. A second call does nothing.

        Args:
            workers: whether to start them this time; None: as the constructor was told.

        Raises:
            ConfigurationError: it is still closing; see the class for the others.
            StorageError: the store cannot be opened.
        """
        refuse_inside_a_loop()
        here, loop = self._mine(), background()
        self._opens_itself = True
        loop.wait_for(here.open_on(loop, workers))

    def close(self) -> None:
        """Let what was claimed be recorded, stop the worker, close what was opened here.

        Interrupting it interrupts only the wait: the closing goes on. In a child of a fork it leaves alone what the
        parent has open. The end of the process does it too, for at most ten seconds.

        Raises:
            ConfigurationError: called by one of its own callbacks, for whose end it would wait.
        """
        refuse_inside_a_loop()
        if inside_a_callback():
            raise ConfigurationError(
                "close() was called inside a callback, and waits for the callback's end.",
                code="inside_callback",
                next_step="Close from the thread that opened.",
            )
        self._opens_itself = False
        here = self._here
        if here.process_id == os.getpid() and here.is_open:
            background().wait_for(here.close())

    # --- the verbs ------------------------------------------------------------------------------------------

    def for_tenant(self, tenant: str) -> TenantPayments:
        """The verbs on behalf of one tenant (1-64 letters, digits, `.`, `_` or `-`)."""

        async def checked(payments: app.Payments) -> None:
            payments.for_tenant(tenant)

        self._run(checked)
        return TenantPayments(self._run, tenant)

    def reconcile_due(self, *, on_each: OnEach | None = None) -> ReconcileReport:
        """Look once at everything that is due now, of every tenant. See vextrus_payments.Payments.reconcile_due.

        Args:
            on_each: called on the background loop, which must not be held up: print, count, put in a queue.
        """
        return self._run(lambda payments: payments.reconcile_due(on_each=on_each))

    def reconcile_since(
        self, since: datetime, *, leave_out: Collection[str] = (), on_each: OnEach | None = None
    ) -> ReconcileReport:
        """After a restored backup: ask about everything. See vextrus_payments.Payments.reconcile_since.

        Args:
            on_each: as for `reconcile_due`.
        """
        return self._run(
            lambda payments: payments.reconcile_since(since, leave_out=leave_out, on_each=on_each)
        )

    def health(self) -> Health:
        """How this process and its store stand. Never raises for a store that is down, or that cannot be opened."""
        refuse_inside_a_loop()
        here, loop = self._mine(), background()

        async def looked_at() -> Health:
            problem = None
            try:
                if self._opens_itself:
                    await here.open_on(loop)
            except StorageError as error:
                problem = error.what
            found = await here.payments.health()
            return found if problem is None else replace(found, store_problem=problem)

        return loop.wait_for(looked_at())

    def epoch(self) -> EpochState:
        """Whether the store was restored from a backup and waits to be reconciled."""
        return self._run(lambda payments: payments.epoch())

    def deliver(self) -> int:
        """Hand over everything that is due in the outbox now; how many rows were taken."""
        return self._run(lambda payments: payments.deliver())

    def clear_payouts(self) -> None:
        """After a restored backup: payouts may leave again. See vextrus_payments.Payments.clear_payouts."""
        self._run(lambda payments: payments.clear_payouts())

    def process_inbox(self) -> int:
        """Apply now what webhooks have brought and is due; how many were taken."""
        return self._run(lambda payments: payments.process_inbox())

    @property
    def setup(self) -> Setup:
        """What this was made with, as far as it can be shown."""
        return self._here.payments.setup

    def return_door(self, tenant: str, gateway: str) -> str | None:
        """The address of our return door for one gateway; None when no public address is known."""
        return self._here.payments.return_door(tenant, gateway)

    # --- the doors --------------------------------------------------------------------------------------------

    def wsgi(self) -> WsgiDoors:
        """The doors as a WSGI application, to be mounted at `public_url`: webhooks, returns, health.

        Like every verb it opens what is not open, at its first request; after close() it answers 503.
        See docs/webhooks-mounting.md.
        """
        return WsgiDoors(self._ask)

    def django_view(self) -> View:
        """The doors as a Django view, csrf-exempt: `path("payments/<path:route>", payments.django_view())`."""
        return django_view(self._ask)

    def django_async_view(self) -> AsyncView:
        """The same as an async view, for Django under ASGI: no thread waits."""
        return django_async_view(self._ask_async)

    def _ask(self, question: Question[T], /) -> T:
        return self._run(lambda payments: question(payments.keeper))

    async def _ask_async(self, question: Question[T], /) -> T:
        here, loop = self._mine(), background()
        return await loop.awaited(self._opened(loop, here, lambda payments: question(payments.keeper)))

    # --- own ------------------------------------------------------------------------------------------------

    def _call(self, verb: Callable[[app.TenantPayments], Coroutine[Any, Any, T]]) -> T:
        # The async Payments has the same verbs, and refuses them where tenants are configured.
        return self._run(lambda payments: verb(cast(app.TenantPayments, payments)))

    def _run(self, verb: Verb[T]) -> T:
        refuse_inside_a_loop()
        here, loop = self._mine(), background()
        return loop.wait_for(self._opened(loop, here, verb))

    async def _opened(self, loop: Background, here: Here, verb: Verb[T]) -> T:
        if self._opens_itself:
            await here.open_on(loop)
        return await verb(here.payments)

    def _mine(self) -> Here:
        """What this process has open, or will."""
        with shared_lock():
            here = self._here
            if here.process_id == os.getpid():
                return here
            if here.is_open and not self._fresh_after_fork:
                raise ConfigurationError(
                    "Payments was open when this process was forked. An SQLite file, like an object that was handed in"
                    " as store, tokens or transport, cannot be used on both sides of a fork.",
                    code="forked",
                    next_step="Open it in each process after the fork, or close it before forking; see docs/sync.md.",
                )
            # The inherited one stays untouched: what it is made of may be the parent's.
            self._here = self._make()
            return self._here


def behind(facade: Payments) -> app.Payments:
    """The async Payments of this process: for a command that brings an event loop of its own, and has the facade to
    itself.

    Raises:
        ConfigurationError: as the facade's own verbs after a fork.
    """
    return facade._mine().payments
