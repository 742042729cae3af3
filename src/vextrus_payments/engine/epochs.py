"""The guard of rule 16: nothing that moves money leaves over a store that was restored and not reconciled since.

Theory of operation. The store's mark `epoch` holds lineage, number and whether a restore was found; every process on
the store reads it before each call that moves money, whether or not it has a mark outside itself. Whoever has one
rolls: reads the outside, then the store, compares, writes the store by compare-and-set, then the outside. Read in this
order the outside can only be older than the store, however many processes roll at once.

What is refused: execute, capture, void, refund, agreement execute; and initialize where the payer's own click moves the
money. Initialize where we execute moves nothing, and is let through; its gateway order ids skip ahead, because the
restored counter does not know which ones the gateway has seen.

A tenant that was left out when a restored store was reconciled stays as the whole store was: refused, until a run takes
it in. Its name is in a mark of its own, written before the store is accepted.
"""

import asyncio
import json
from collections.abc import Collection, Coroutine
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from vextrus_payments.clock import Clock, Sleeper
from vextrus_payments.epoch import EpochMark
from vextrus_payments.errors import ReconciliationRequiredError, StorageError
from vextrus_payments.ids import Ids
from vextrus_payments.observe import Observer
from vextrus_payments.store import PaymentStore

MARK: Final = "epoch"
LEFT_OUT_MARK: Final = "epoch.left_out"
"""The tenants about whom nobody has asked since the store was restored: a JSON list of names."""
_SKIP: Final = 100
"""By how much gateway order ids skip ahead per restore: more than any reference has had submissions."""
_ROUNDS: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochState:
    """What is known of the store's epoch, for health and doctor."""

    configured: bool
    """Whether this process has a mark outside: without one a restored backup is not noticed by it."""
    number: int | None = None
    restored: str | None = None
    """Why calls that move money are refused; None while they are not."""
    left_out: tuple[str, ...] = ()
    """The tenants whose calls that move money are refused, because a restored store was reconciled without them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Epoch:
    lineage: str
    number: int
    restored: str | None = None
    skip: int = 0
    fresh: bool = True
    """No process has seen the outside say this lineage yet: it may still say `before`."""
    before: str | None = None

    @classmethod
    def read(cls, text: str | None) -> "_Epoch | None":
        return None if text is None else cls(**json.loads(text))

    def stored(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    def outside(self) -> str:
        return f"{self.lineage} {self.number}"


class EpochGuard:
    """Rolls the epoch, and stops what may move money where it does not fit."""

    def __init__(
        self,
        store: PaymentStore,
        mark: EpochMark | None,
        *,
        clock: Clock,
        sleeper: Sleeper,
        ids: Ids,
        observer: Observer,
        interval_s: float = 60.0,
    ) -> None:
        self._store = store
        self._mark = mark
        self._clock = clock
        self._sleeper = sleeper
        self._ids = ids
        self._observer = observer
        self._interval_s = interval_s
        self._rolled_at: float | None = None
        self._rolled: _Epoch | None = None
        self._noticed_at: float | None = None
        self._left_out_noticed_at: float | None = None
        self._moved = asyncio.Event()
        self._stopping = asyncio.Event()
        self._rolling = asyncio.Lock()

    @property
    def configured(self) -> bool:
        """Whether there is a mark outside to compare with."""
        return self._mark is not None

    async def check(self, tenant: str | None = None) -> None:
        """Before a call that may move money; `tenant`: whose.

        Raises:
            ReconciliationRequiredError: the store was restored, and has not been reconciled since, or without the
                tenant.
            StorageError: nobody can tell.
        """
        if self._mark is not None:
            if self._is_due():
                async with self._rolling:
                    if self._is_due():  # nobody else has, while this call waited
                        await self._roll(self._mark)
            self._moved.set()
        epoch = await self._now()
        if epoch is not None and epoch.restored is not None:
            raise ReconciliationRequiredError(
                f"The store was restored from a backup: {epoch.restored}. What happened since is not in it, so nothing "
                "was sent.",
                next_step="Run `vextrus-pay reconcile --since` with a time before the backup; then call again.",
            )
        if tenant is not None and tenant in await self._left_out(epoch):
            raise ReconciliationRequiredError(
                "The store was restored from a backup, and this tenant was left out when it was reconciled: what "
                "happened since the backup is not in it, so nothing was sent.",
                next_step="With its credentials back, run `vextrus-pay reconcile --since` with a time before the "
                "backup, and without leaving it out; then call again.",
            ).about(tenant=tenant)

    async def is_restored(self, tenant: str) -> bool:
        """Whether the store was restored and has not been reconciled since, or without this tenant: what it has as
        reserved may have been sent.

        Raises:
            StorageError: nobody can tell.
        """
        epoch = await self._now()
        if epoch is not None and epoch.restored is not None:
            return True
        return tenant in await self._left_out(epoch)

    async def may_be_restored(self, tenant: str) -> bool:
        """As `is_restored`; also true where nothing outside the store can tell: there, whoever asks says so.

        Raises:
            StorageError: nobody can tell.
        """
        return not self.configured or await self.is_restored(tenant)

    async def _left_out(self, epoch: "_Epoch | None") -> tuple[str, ...]:
        if self.configured and epoch is not None and epoch.restored is None and not epoch.skip:
            return ()  # never restored, as the marks know: there was nothing to leave anybody out of
        return names_in(await self._store.get_mark(LEFT_OUT_MARK))

    async def _now(self) -> "_Epoch | None":
        epoch = _Epoch.read(await self._store.get_mark(MARK))
        if self._mark is not None and _is_put_back(epoch, self._rolled):
            # Under this very process, since it rolled: the outside tells.
            await self.roll()
            epoch = _Epoch.read(await self._store.get_mark(MARK))
        self._notice(epoch)
        return epoch

    async def order_skip(self, tenant: str, *, moves_money: bool) -> int:
        """How many gateway order ids to skip; before an initialize of this tenant.

        Raises:
            ReconciliationRequiredError: as `check`, where opening a session lets the payer move money.
        """
        if moves_money:
            await self.check(tenant)
        epoch = _Epoch.read(await self._store.get_mark(MARK))
        if epoch is None:
            return 0
        return epoch.skip + (_SKIP if epoch.restored is not None else 0)

    async def roll(self) -> None:
        """Compare the store with the outside, and write both anew.

        Raises:
            StorageError: one of them cannot be read or written.
        """
        if self._mark is None:
            return
        async with self._rolling:
            await self._roll(self._mark)

    def _is_due(self) -> bool:
        now = self._clock.monotonic()
        return self._rolled_at is None or now - self._rolled_at >= self._interval_s

    async def _roll(self, mark: EpochMark) -> None:
        self._moved.clear()
        # Only what was compared counts: while it cannot be, every call tries anew, and is refused.
        self._rolled_at, began = None, self._clock.monotonic()
        for _ in range(_ROUNDS):
            outside = await mark.read()  # before the store: it may only be older
            stored = await self._store.get_mark(MARK)
            known = _Epoch.read(stored)
            self._notice(known)
            if known is not None and known.restored is not None:
                self._rolled_at = began
                return
            after = self._next(known, outside)
            if not await self._store.put_mark(MARK, after.stored(), expected=stored):
                continue  # another process was quicker
            self._notice(after)
            if after.restored is not None:
                self._observer.event("epoch.restored", why=after.restored)
            else:
                await mark.write(after.outside())
            self._rolled_at, self._rolled = began, after
            return
        raise StorageError("The epoch is rolled by others all the time.", code="epoch_mark")

    def _next(self, known: _Epoch | None, outside: str | None) -> _Epoch:
        if known is None and outside is None:
            return _Epoch(lineage=self._ids.new("epo"), number=1)
        if known is None:
            why = "it knows no epoch, and the mark outside does"
            return _Epoch(lineage=self._ids.new("epo"), number=1, restored=why, before=outside)
        why_not = _why_restored(known, outside)
        if why_not is not None:
            return replace(known, restored=why_not)
        ours = outside is not None and outside.split(" ")[0] == known.lineage
        return replace(known, number=known.number + 1, fresh=known.fresh and not ours)

    async def accept(self, left_out: Collection[str] = ()) -> None:
        """The store has been reconciled: a new lineage begins, and what moves money may leave again, except of the
        tenants that were left out now. Those that an earlier run left out, and this one did not, may go on.

        Raises:
            StorageError: it could not be written; nothing is accepted.
        """
        await self._leave_out(left_out)
        for _ in range(_ROUNDS):
            outside = await self._mark.read() if self._mark is not None else None
            stored = await self._store.get_mark(MARK)
            known = _Epoch.read(stored)
            if known is None or known.restored is None:
                return
            number = max(known.number, _number_of(outside)) + 1
            after = _Epoch(
                lineage=self._ids.new("epo"), number=number, skip=known.skip + _SKIP, before=outside
            )
            if await self._store.put_mark(MARK, after.stored(), expected=stored):
                if self._mark is not None:
                    await self._mark.write(after.outside())
                self._observer.event("epoch.accepted", number=number)
                self._notice(after)
                return
        raise StorageError("The epoch is changed by others all the time.", code="epoch_mark")

    async def _leave_out(self, names: Collection[str]) -> None:
        """Before the store is accepted, so that no call comes between."""
        for _ in range(_ROUNDS):
            epoch = _Epoch.read(await self._store.get_mark(MARK))
            stored = await self._store.get_mark(LEFT_OUT_MARK)
            after = set(names)
            if self.configured and (epoch is None or epoch.restored is None):
                after &= set(
                    names_in(stored)
                )  # nothing has been lost: nobody needs to be left out of it anew
            if after == set(names_in(stored)):
                return
            if await self._store.put_mark(LEFT_OUT_MARK, json.dumps(sorted(after)), expected=stored):
                self._left_out_noticed_at = None
                return
        raise StorageError(
            "The mark of the tenants left out is changed by others all the time.", code="epoch_mark"
        )

    async def unsettled_s(self, needed_s: float) -> float:
        """How long to wait until `needed_s` seconds have passed since this process noticed that the store was restored,
        or that tenants were left out of its reconciliation, in seconds; 0 where nothing has been restored.

        What was sent in the last moments before the loss may take effect at its gateway yet, and no record tells of it.
        Counted by this process's own monotonic clock: no clock that was set can shorten it.
        """
        epoch = _Epoch.read(await self._store.get_mark(MARK))
        self._notice(epoch)
        noticed_at = self._noticed_at
        if noticed_at is None and await self._left_out(epoch):
            if self._left_out_noticed_at is None:
                self._left_out_noticed_at = self._clock.monotonic()
            noticed_at = self._left_out_noticed_at
        if noticed_at is None:
            return 0.0
        return max(0.0, noticed_at + needed_s - self._clock.monotonic())

    def _notice(self, epoch: _Epoch | None) -> None:
        if epoch is None or epoch.restored is None:
            self._noticed_at = None
        elif self._noticed_at is None:
            self._noticed_at = self._clock.monotonic()

    async def restored_lineage(self) -> str | None:
        """The lineage that began when a restored store was last accepted; None where none ever was.

        Raises:
            StorageError: nobody can tell.
        """
        epoch = _Epoch.read(await self._store.get_mark(MARK))
        return None if epoch is None or not epoch.skip else epoch.lineage

    async def state(self) -> EpochState:
        """What is known now."""
        epoch = _Epoch.read(await self._store.get_mark(MARK))
        left_out = await self._left_out(epoch)
        if epoch is None:
            return EpochState(configured=self.configured, left_out=left_out)
        return EpochState(
            configured=self.configured, number=epoch.number, restored=epoch.restored, left_out=left_out
        )

    # --- as a job of the workers --------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The job's name."""
        return "epoch"

    async def run(self) -> None:
        """Roll again and again while money moves, and once more at the end."""
        self._stopping.clear()
        while not self._stopping.is_set():
            await _either(self._moved.wait(), self._stopping.wait())
            await _either(self._sleeper.sleep(self._interval_s), self._stopping.wait())
            await self.roll_quietly()

    def stop(self) -> None:
        """End the run."""
        self._stopping.set()

    async def roll_quietly(self) -> None:
        """Roll if anything has moved since the last time; what fails is told, and tried again later."""
        if self._mark is None or not self._moved.is_set():
            return
        try:
            await self.roll()
        except StorageError as error:
            self._observer.event("epoch.not_rolled", code=error.code)
            self._moved.set()


async def _either(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait until one of them is done; the others are given up."""
    tasks = {asyncio.ensure_future(wait) for wait in waits}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _why_restored(known: _Epoch, outside: str | None) -> str | None:
    if outside == known.before and known.fresh:
        return None  # a crash came between the two writes that began this lineage
    if outside is None:
        return "the mark outside is gone, and only it could tell"
    if outside.split(" ")[0] != known.lineage:
        return "the mark outside is of another lineage"
    if _number_of(outside) > known.number:
        return f"it is at epoch {known.number}, and the mark outside at {_number_of(outside)}"
    return None


def _is_put_back(epoch: _Epoch | None, rolled: _Epoch | None) -> bool:
    """True when the store does not go on from what this process itself has written there."""
    if rolled is None or rolled.restored is not None:
        return False
    return epoch is None or epoch.lineage != rolled.lineage or epoch.number < rolled.number


def names_in(stored: str | None) -> tuple[str, ...]:
    """The tenants that a mark names."""
    return () if stored is None else tuple(json.loads(stored))


def _number_of(outside: str | None) -> int:
    tail = (outside or "").rpartition(" ")[2]
    return int(tail) if tail.isascii() and tail.isdigit() and len(tail) < 19 else 0
