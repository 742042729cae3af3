"""The inbox's one writer: what comes in while a commit is under way goes into the next one.

A commit costs the same for one row as for hundreds, and it is what a delivery waits for. So nobody commits alone: the
first to come starts the writer, which commits it at once; whoever comes meanwhile is taken along by the next round.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from vextrus_payments.errors import StorageError
from vextrus_payments.inbox import NewInboxEvent
from vextrus_payments.inbox_port import InboxRows

#: The most rows of one commit, but for a delivery that brings more by itself.
MOST_AT_ONCE: Final = 512
_BAD_VALUE: Final = "storage_bad_value"


@dataclass(slots=True, eq=False)
class _Waiting:
    """One delivery's rows, and who waits for them."""

    events: Sequence[NewInboxEvent]
    done: "asyncio.Future[tuple[bool, ...]]" = field(repr=False)


class InboxWriter:
    """Keeps events, many deliveries to a commit. Belongs to one event loop."""

    def __init__(self, store: InboxRows, *, most_at_once: int = MOST_AT_ONCE) -> None:
        self._store = store
        self._most = most_at_once
        self._waiting: deque[_Waiting] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._closed = False

    async def accept(self, events: Sequence[NewInboxEvent]) -> tuple[bool, ...]:
        """Keep them durably. For each, in order: whether it was new.

        A cancelled caller stops waiting; its rows may be kept all the same, and a repeat is then not new.

        Raises:
            StorageError: they are not kept, as far as anybody can tell: the sender is to repeat them.
        """
        if self._closed:
            raise StorageError("The inbox is closing.", code="not_open", next_step="Send it again.")
        loop = asyncio.get_running_loop()
        mine = _Waiting(events, loop.create_future())
        self._waiting.append(mine)
        if self._writing is None:
            self._writing = loop.create_task(self._write(), name="vextrus-payments-inbox-writer")
        return await mine.done

    async def aclose(self) -> None:
        """Take nothing more, and wait until what was taken is kept."""
        self._closed = True
        if self._writing is not None:
            await asyncio.wait({self._writing})

    async def _write(self) -> None:
        try:
            while self._waiting:
                await self._round(self._next_batch())
        finally:
            self._writing = None
            for left in self._waiting:  # only where the task itself was ended
                _refuse(left, StorageError("The inbox was closed before this was kept."))
            self._waiting.clear()

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        rows = 0
        while self._waiting and (not batch or rows + len(self._waiting[0].events) <= self._most):
            one = self._waiting.popleft()
            if one.done.cancelled():
                continue  # nobody waits, so nothing was promised
            batch.append(one)
            rows += len(one.events)
        return batch

    async def _round(self, batch: list[_Waiting]) -> None:
        if not batch:
            return
        failure: StorageError
        try:
            kept = await self._store.accept_events([event for one in batch for event in one.events])
        except StorageError as error:
            failure = error
        except asyncio.CancelledError:
            for one in batch:
                _refuse(one, StorageError("The inbox was closed before this was kept."))
            raise
        except Exception as error:  # noqa: BLE001 - a store of the host's own may raise anything; nobody may hang
            failure = StorageError(f"The store failed ({type(error).__name__}).")
        else:
            _share(batch, kept)
            return
        if failure.code == _BAD_VALUE and len(batch) > 1:
            # One delivery holds what the store cannot take: the others are not to blame.
            for one in batch:
                await self._round([one])
            return
        for one in batch:
            _refuse(one, failure)


def _share(batch: list[_Waiting], kept: tuple[bool, ...]) -> None:
    start = 0
    for one in batch:
        end = start + len(one.events)
        if not one.done.done():
            one.done.set_result(kept[start:end])
        start = end


def _refuse(one: _Waiting, error: StorageError) -> None:
    if not one.done.done():
        # An exception of its own: each of those who wait adds its frames to what it catches.
        one.done.set_exception(StorageError(error.what, code=error.code, next_step=error.next_step))
