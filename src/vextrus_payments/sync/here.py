"""What one process has open of a facade."""

import asyncio
import os
from collections.abc import Awaitable, Callable

from vextrus_payments import app
from vextrus_payments.config import GatewayConfig
from vextrus_payments.events import PaymentEvent
from vextrus_payments.ledger import LedgerEntry
from vextrus_payments.sync.background import Background, background
from vextrus_payments.sync.callbacks import Threads, awaited, awaited_source

#: A callback or a source of credentials, plain or async.
LedgerFunction = Callable[[LedgerEntry], Awaitable[None] | None]
EventFunction = Callable[[PaymentEvent], Awaitable[None] | None]
CredentialFunction = Callable[[str, str], GatewayConfig | Awaitable[GatewayConfig]]


class Here:
    """The facade's part of one process. What it does happens on the background loop."""

    def __init__(
        self,
        make: Callable[..., app.Payments],
        *,
        ledger: LedgerFunction | None,
        on_event: EventFunction | None,
        credentials: CredentialFunction | None,
        callback_threads: int,
    ) -> None:
        self.process_id = os.getpid()
        self.is_open = False
        """True from before the first thing is opened to after the last is closed: a fork may come at any moment."""
        # Threads apart: a ledger that hangs holds up neither the news nor the credentials, which a payer waits for.
        self._threads = {
            name: Threads(callback_threads, f"vextrus-payments-{name}")
            for name in ("ledger", "event", "credentials")
        }
        self.payments = make(
            ledger=awaited(ledger, self._threads["ledger"]),
            on_event=awaited(on_event, self._threads["event"]),
            credentials=awaited_source(credentials, self._threads["credentials"]),
        )
        self._ready = False
        self._opening: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def open_on(self, loop: Background) -> None:
        """Open it, once, whoever asks. A caller that gives up waiting does not stop the opening."""
        if self._ready:
            return
        if self._opening is None:
            self._opening = asyncio.create_task(self._open(loop))
        await asyncio.shield(self._opening)

    async def close(self) -> None:
        """Close it, once, whoever asks. A caller that gives up waiting does not stop the closing."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _open(self, loop: Background) -> None:
        was_open, self.is_open = self.is_open, True
        try:
            await self.payments.open()
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
            for threads in self._threads.values():
                threads.stop()
