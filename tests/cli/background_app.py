"""A shop whose ledger is slow and keeps a diary of what it is asked. Loaded by `--app` in processes of its own."""

import asyncio
import os
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from vextrus_payments import LedgerEntry, Payments, UndeliverableError, sync
from vextrus_payments.clock import SystemClock
from vextrus_payments.outbox import OutboxLimits

DIARY = Path(os.environ["SHOP_DIARY"])


class Ahead(SystemClock):
    """A clock that is some seconds ahead: leases of an earlier process are over."""

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=float(os.environ.get("SHOP_AHEAD_S", "0")))


def note(what: str, entry_id: str) -> None:
    """Write it down, for good."""
    with DIARY.open("a", encoding="utf-8") as diary:
        diary.write(f"{what} {entry_id}\n")
        diary.flush()
        os.fsync(diary.fileno())


async def book(entry: LedgerEntry) -> None:
    """Takes its time, or for ever, or refuses."""
    note("begin", entry.id)
    how = os.environ.get("SHOP_HOW", "")
    if how == "hang":
        await asyncio.Event().wait()
    while how == "swallow":  # what it is told to do, it does not
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
    if how == "refuse":
        raise UndeliverableError("There is no account for this gateway.")
    await asyncio.sleep(float(os.environ.get("SHOP_TAKES_S", "0")))
    note("done", entry.id)


def book_plainly(entry: LedgerEntry) -> None:
    """The same for the blocking facade."""
    note("done", entry.id)


LIMITS = OutboxLimits(at_once=2, callback_timeout_s=20, lease_s=60)
payments = Payments(
    store=os.environ["SHOP_STORE"], ledger=book, workers=False, clock=Ahead(), outbox_limits=LIMITS
)
blocking = sync.Payments(store=os.environ["SHOP_STORE"], ledger=book_plainly)
