"""What one process has open of a facade."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from vextrus_payments import app
from vextrus_payments.config import GatewayConfig
from vextrus_payments.errors import ConfigurationError
from vextrus_payments.events import PaymentEvent
from vextrus_payments.ledger import LedgerEntry
from vextrus_payments.outbox import OutboxAlarm
from vextrus_payments.sink_port import RowSink, TransactionalSink
from vextrus_payments.sync.background import Background, background
from vextrus_payments.sync.callbacks import Threads, awaited, awaited_rows

#: What the facade takes where the async one takes a coroutine function: that, or a plain function.
LedgerFunction = Callable[[LedgerEntry], Awaitable[None] | None] | RowSink | TransactionalSink
EventFunction = Callable[[PaymentEvent], Awaitable[None] | None] | RowSink
AlarmFunction = Callable[[OutboxAlarm], Awaitable[None] | None]
CredentialFunction = Callable[[str, str], GatewayConfig | Awaitable[GatewayConfig]]

_MOST_THREADS = 64


@dataclass(frozen=True, kw_only=True)
class Callbacks:
    """The host's functions, and how many threads each may have.

    Raises:
        ConfigurationError: no such number of threads.
    """

    ledger: LedgerFunction | None
    on_event: EventFunction | None
    on_alarm: AlarmFunction | None
    credentials: CredentialFunction | None
    threads: int

    def __post_init__(self) -> None:
        if not isinstance(self.threads, int) or not 1 <= self.threads <= _MOST_THREADS:
            raise ConfigurationError(
                f"callback_threads is a number from 1 to {_MOST_THREADS}.", code="callback_threads"
            )

    @property
    def hold_connections(self) -> bool:
        """True when one of them is a sink, which keeps connections of the event loop that it was opened on."""
        return any(isinstance(given, RowSink | TransactionalSink) for given in (self.ledger, self.on_event))


class Here:
    """The facade's part of one process. What it does happens on the background loop."""

    def __init__(self, make: Callable[..., app.Payments], callbacks: Callbacks) -> None:
        self.process_id: int = os.getpid()
        self.is_open: bool = False
        """True from before the first thing is opened to after the last is closed: a fork may come at any moment."""
        self._threads: list[Threads] = []

        # Threads of its own for each: a ledger that hangs holds up neither the news nor the credentials, which a
        # payer waits for.
        def threads(name: str) -> Threads:
            self._threads.append(Threads(callbacks.threads, f"vextrus-payments-{name}"))
            return self._threads[-1]

        ledger, on_event = callbacks.ledger, callbacks.on_event
        on_alarm, credentials = callbacks.on_alarm, callbacks.credentials
        self.payments: app.Payments = make(
            ledger=None if ledger is None else awaited_rows(ledger, threads("ledger")),
            on_event=None if on_event is None else awaited_rows(on_event, threads("event")),
            on_alarm=None if on_alarm is None else awaited(on_alarm, threads("alarm")),
            credentials=None if credentials is None else awaited(credentials, threads("credentials")),
        )
        self._ready = False
        self._opening: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def open_on(self, loop: Background, workers: bool | None = None) -> None:
        """Open it, once, whoever asks. A caller that gives up waiting does not stop the opening."""
        if self._ready:
            return
        if self._opening is None:
            self._opening = asyncio.create_task(self._open(loop, workers))
        await asyncio.shield(self._opening)

    async def close(self) -> None:
        """Close it, once, whoever asks. A caller that gives up waiting does not stop the closing."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _open(self, loop: Background, workers: bool | None) -> None:
        was_open, self.is_open = self.is_open, True
        try:
            await self.payments.open(workers=workers)
        except BaseException:
            self.is_open = was_open  # True while it is still closing
            raise
        else:
            self._ready = True
            loop.remember(self, self.close)
        finally:
            self._opening = None

    async def _close(self) -> None:
        self._ready = False
        try:
            if self._opening is not None:
                await asyncio.wait({self._opening})
                self._ready = False
            await self.payments.aclose()
        finally:
            self.is_open, self._closing = False, None
            background().forget(self)
            for threads in self._threads:
                threads.stop()
