"""Opening and closing: from the first use of the parts to the last record of what was claimed."""

import asyncio
from collections.abc import Callable
from typing import Final

from vextrus_payments.app.wiring import Given, Parts
from vextrus_payments.errors import ConfigurationError
from vextrus_payments.sink_port import is_row_sink

_CUT_OFF_S: Final = 5.0


class Opening:
    """Whether a `Payments` is open, and the parts it works with: those of the present opening, else of the next."""

    def __init__(self, given: Given, new_parts: Callable[[], Parts]) -> None:
        self._given = given
        self._new_parts = new_parts
        self._sinks = tuple({sink for sink in (given.ledger, given.on_event) if is_row_sink(sink)})
        self._opened = False
        self._closing: asyncio.Task[None] | None = None
        self.parts: Parts = new_parts()

    @property
    def is_open(self) -> bool:
        """Whether anything can be taken."""
        return self._opened

    def open_parts(self) -> Parts:
        """The parts, where they may be used.

        Raises:
            ConfigurationError: it is not open.
        """
        if not self._opened:
            raise ConfigurationError(
                "Payments is not open.",
                code="not_open",
                next_step="Use `async with payments:` (or open() first).",
            )
        return self.parts

    async def open(self, workers: bool) -> None:
        """See Payments.open."""
        if self._opened:
            return
        if self._closing is not None:
            if not self._closing.done():
                raise ConfigurationError(
                    "Payments is still closing.", code="closing", next_step="Await aclose() first."
                )
            self._closing = None
            self.parts = self._new_parts()
        await self._given.store.open()
        if self._opened:
            return  # somebody else opened it while this call waited for the store
        try:
            await self.parts.epochs.roll()
        except BaseException:
            if not self._opened:
                await self._given.store.close()
            raise
        if self._opened:
            return
        self._opened = True
        if workers:
            self.parts.crew.start()

    async def aclose(self) -> None:
        """See Payments.aclose."""
        closing = self._begin_to_close()
        if closing is not None and not closing.done():
            await asyncio.shield(closing)

    def _begin_to_close(self) -> "asyncio.Task[None] | None":
        if self._closing is None and self._opened:
            self._opened = False
            self._closing = asyncio.create_task(self._close(), name="vextrus-payments-closing")
        return self._closing

    async def _close(self) -> None:
        given, parts = self._given, self.parts
        try:
            parts.reconciler.stop()  # first: it would begin anew what is being drained
            await parts.crew.stop("reconcile", "inbox")
            await parts.inbox_writer.aclose()
            await parts.engine.drain()
            await parts.epochs.roll_quietly()
            await given.tokens.drain()
            await parts.outbox.drain()
            await parts.crew.stop()
            await parts.registry.aclose()
            await given.tokens.let_go()
            await given.guard.aclose()
        finally:
            for sink in self._sinks:
                await sink.aclose()
            await given.store.close()

    async def run_workers(self, until: asyncio.Event, drain_s: float) -> bool:
        """See Payments.run_workers."""
        await self.open(workers=True)
        self.parts.crew.start()
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
                cut_off = await self.parts.crew.cut_off()
                self._given.observer.event("workers.cut_off", jobs=", ".join(cut_off))
                closing.cancel()
                await asyncio.wait({closing}, timeout=_CUT_OFF_S)
        if drained:
            closing.result()
        return drained
