"""Receipts that a statement should have and does not: two sorted lists, walked side by side."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from vextrus_payments.mode import Mode
from vextrus_payments.records import Receipt, ReceiptKind
from vextrus_payments.settlement.lines import PART, UNREADABLE
from vextrus_payments.settlement.matching import corrections_last, is_taken_back, missing_there, receipt_day
from vextrus_payments.settlement.spool import CHUNK, Spool, chunks, parts_of
from vextrus_payments.settlement.words import DHAKA, Break, Days
from vextrus_payments.store import PaymentStore


class Account(NamedTuple):
    """Whose receipts."""

    tenant: str
    gateway: str
    mode: Mode


class MissingSearch:
    """Looks through the receipts of some days that are not settled.

    Args:
        kinds: which of them such a statement lists.
        awaited_days: receipts of the last so many days are awaited, not missing; None: none are.
    """

    def __init__(
        self,
        store: PaymentStore,
        *,
        account: Account,
        kinds: frozenset[ReceiptKind],
        covers: Days,
        awaited_days: int | None,
        folder: Path | None,
    ) -> None:
        self._store = store
        self._account = account
        self._kinds = kinds
        self._covers = covers
        self._youngest = covers.last - timedelta(days=awaited_days or 0)
        self._folder = folder

    async def run(self, lines: Spool) -> AsyncGenerator[tuple[int, Sequence[Break | Receipt]], None]:
        """(receipts looked at so far, what is missing among the latest of them); an awaited one as its receipt."""
        with Spool(self._folder) as unsettled:
            cursor: str | None = None
            while True:
                cursor = await self._list(unsettled, cursor)
                yield unsettled.count, ()
                if cursor is None:
                    break
            mentioned = _Mentioned(iter(lines))
            for chunk in chunks(unsettled):
                wanted = [(name, kind) for name, kind in (text.split(PART) for text in chunk)]
                absent = [(name, kind) for name, kind in wanted if not mentioned.has(name, kind)]
                yield unsettled.count, await self._judged(absent, mentioned)

    async def _list(self, unsettled: Spool, cursor: str | None) -> str | None:
        page = await self._store.list_receipts(
            *self._account,
            # a receipt is never recorded before the money moved, but for clocks that differ: hence the day before
            since=datetime.combine(self._covers.first - timedelta(days=1), time(), DHAKA),
            unsettled=True,
            cursor=cursor,
            limit=CHUNK,
        )
        for receipt in page.rows:
            # what was corrected is listed, and stands for its correction
            if receipt.kind in self._kinds and receipt_day(receipt) in self._covers:
                unsettled.add(f"{receipt.transaction_id}{PART}{receipt.kind.value}")
        return page.cursor

    async def _judged(
        self, absent: Sequence[tuple[str, str]], mentioned: "_Mentioned"
    ) -> Sequence[Break | Receipt]:
        receipts: dict[tuple[str, str], Receipt] = {}
        same_id: dict[str, dict[ReceiptKind, Receipt]] = {}
        for part in parts_of(list(dict.fromkeys(name for name, _ in absent))):
            for receipt in corrections_last(await self._store.receipts(*self._account, part)):
                stands_for = receipt.moved_as
                receipts[receipt.transaction_id, stands_for.value] = receipt
                same_id.setdefault(receipt.transaction_id, {})[stands_for] = receipt
        found: list[Break | Receipt] = []
        for name, kind in absent:
            if any((name, other) not in receipts for other in mentioned.kinds_of(name)):
                continue  # a line of the same id and of a kind that we have not: that is a KIND break, said before
            receipt = receipts[name, kind]
            if is_taken_back(receipt, same_id[name]):
                continue
            awaited = receipt_day(receipt) > self._youngest
            found.append(receipt if awaited else missing_there(receipt))
        return found


#: How many ids of the statement are remembered behind the one that is looked at.
_REMEMBERED: Final = 2 * CHUNK


class _Mentioned:
    """The statement's ids and kinds, walked beside another sorted list of ids."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._next = next(lines, None)
        self._kinds: dict[str, frozenset[str]] = {}

    def has(self, name: str, kind: str) -> bool:
        """Whether the statement has a line of this id and kind, or one of this id that cannot be read.

        Names are asked for in their order.
        """
        if name not in self._kinds:
            if len(self._kinds) > _REMEMBERED:
                self._kinds = dict(list(self._kinds.items())[-CHUNK:])
            self._kinds[name] = frozenset(self._up_to(name))
        return kind in self._kinds[name] or UNREADABLE in self._kinds[name]

    def kinds_of(self, name: str) -> frozenset[str]:
        """The kinds of its lines."""
        return self._kinds.get(name, frozenset())

    def _up_to(self, name: str) -> Iterator[str]:
        """The kinds of the lines of this id; all lines before it are passed."""
        while self._next is not None:
            here, _, kind, *_ = self._next.split(PART, 3)
            if here > name:
                return
            if here == name:
                yield kind
            self._next = next(self._lines, None)
