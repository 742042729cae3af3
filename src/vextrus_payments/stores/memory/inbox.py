"""The memory store's inbox: rows by the sender's id and by their news."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from vextrus_payments.documents import to_json
from vextrus_payments.inbox import (
    OPEN_INBOX_STATES,
    InboxBacklog,
    InboxEnd,
    InboxRow,
    InboxState,
    NewInboxEvent,
)
from vextrus_payments.paging import Page
from vextrus_payments.records import OutboxRow
from vextrus_payments.stores.columns import Position, from_micros, to_micros
from vextrus_payments.stores.memory.queue import MemoryQueue
from vextrus_payments.stores.news import (
    AT_ONCE_US,
    announced,
    header_text,
    key_of,
    received_us,
    relieved,
    shown,
)

_Key = tuple[str, str, str, str]


@dataclass(slots=True)
class KeptRow:
    """A row with its columns; its record has no due time."""

    number: int
    received_us: int
    record: InboxRow
    due_us: int | None = AT_ONCE_US

    @property
    def position(self) -> Position:
        """Its place in a listing."""
        return Position(self.received_us, self.number)

    def shown(self) -> InboxRow:
        """The row as the port gives it."""
        if self.due_us is None:
            return self.record
        due_at = self.record.received_at if self.due_us == AT_ONCE_US else from_micros(self.due_us)
        return replace(self.record, due_at=due_at)


@dataclass(slots=True)
class MemoryInbox:
    """All rows of the inbox."""

    _rows: dict[_Key, KeptRow] = field(default_factory=dict)
    _news: dict[_Key, _Key] = field(default_factory=dict)
    """(tenant, gateway, mode, news key) -> the key of its row."""
    _open: dict[_Key, KeptRow] = field(default_factory=dict)

    def accept(self, events: Sequence[NewInboxEvent]) -> tuple[bool, ...]:
        """See InboxRows.accept_events."""
        ready = [(event, received_us(event)) for event in events]
        for event in events:
            to_json(event.document)
            header_text(event.headers)
        # From here on nothing can fail.
        return tuple([self._add(event, at_us) for event, at_us in ready])

    def _add(self, event: NewInboxEvent, at_us: int) -> bool:
        me = key_of(event)
        news = None if event.news_key is None else (*me[:3], event.news_key)
        if me in self._rows or news in self._news:
            return False
        number = 1 + (next(reversed(self._rows.values())).number if self._rows else 0)
        record = InboxRow(
            tenant=event.tenant,
            gateway=event.gateway,
            mode=event.mode,
            event_id=event.event_id,
            news_key=event.news_key,
            document=event.document,
            headers=dict(event.headers),
            body=bytes(event.body),
            received_at=from_micros(at_us),
            state=InboxState.WAITING,
        )
        self._rows[me] = self._open[me] = KeptRow(number, at_us, record)
        if news is not None:
            self._news[news] = me
        return True

    def lease(self, limit: int, lease_s: int, now: datetime) -> tuple[InboxRow, ...]:
        """See InboxRows.lease_events."""
        now_us, until = to_micros(now), now + timedelta(seconds=lease_s)
        due = [(row.due_us, row.number, row) for row in self._open.values() if (row.due_us or 0) <= now_us]
        taken = [row for _, _, row in sorted(due, key=lambda each: each[:2])[:limit]]
        for row in taken:
            row.due_us = to_micros(until)
            held = row.record
            row.record = replace(held, fence=held.fence + 1, tries=held.tries + 1, leased_until=until)
        return tuple(row.shown() for row in taken)

    def end(self, ends: Sequence[InboxEnd], queue: MemoryQueue, now: datetime) -> tuple[bool, ...]:
        """See InboxRows.end_events."""
        now_us = to_micros(now)
        ready: list[tuple[InboxEnd, Callable[[], None] | None]] = []
        for each in ends:
            told, relief = announced(each, now_us), relieved(each, now_us)
            if each.relief is not None and not queue.has(each.row.tenant, each.relief[0]):
                relief = None
            rows = tuple(row for row in (told, relief) if row is not None)
            ready.append((each, _adder(queue, rows) if rows else None))
        return tuple([self._end(each, tell, now) for each, tell in ready])

    def _end(self, end: InboxEnd, tell: Callable[[], None] | None, now: datetime) -> bool:
        me = key_of(end.row)
        row = self._open.get(me)
        if row is None or row.record.fence != end.row.fence or row.record.leased_until is None:
            return False
        over = end.state not in OPEN_INBOX_STATES
        row.due_us = None if end.due_at is None else to_micros(end.due_at)
        row.record = replace(
            row.record,
            state=end.state,
            leased_until=None,
            finished_at=now if over else None,
            payment_id=row.record.payment_id if end.payment_id is None else end.payment_id,
            note=shown(end.note),
        )
        if over:
            del self._open[me]
        if tell is not None:
            tell()
        return True

    def replay(self, key: _Key) -> bool:
        """See InboxRows.replay_event."""
        row = self._rows.get(key)
        if row is None:
            return False
        row.due_us = AT_ONCE_US
        row.record = replace(
            row.record,
            state=InboxState.WAITING,
            fence=row.record.fence + 1,
            tries=0,
            leased_until=None,
            finished_at=None,
            note=None,
        )
        self._open[key] = row
        return True

    def get(self, key: _Key) -> InboxRow | None:
        """See InboxRows.get_inbox."""
        row = self._rows.get(key)
        return None if row is None else row.shown()

    def listed(
        self,
        tenant: str | None,
        gateway: str | None,
        state: InboxState | None,
        since_us: int | None,
        after: Position | None,
        limit: int,
    ) -> Page[InboxRow]:
        """See InboxRows.list_inbox."""
        rows = [
            row
            for row in self._rows.values()
            if tenant in (None, row.record.tenant)
            and gateway in (None, row.record.gateway)
            and state in (None, row.record.state)
            and (since_us is None or row.received_us >= since_us)
            and (after is None or row.position < after)
        ]
        rows.sort(key=lambda row: row.position, reverse=True)
        page = rows[:limit]
        cursor = page[-1].position.cursor() if len(rows) > limit else None
        return Page(tuple(row.shown() for row in page), cursor)

    def backlog(self) -> InboxBacklog:
        """See InboxRows.inbox_backlog."""
        waiting = [row for row in self._open.values() if row.record.state is InboxState.WAITING]
        oldest = min((row.record.received_at for row in waiting), default=None)
        return InboxBacklog(len(waiting), len(self._open) - len(waiting), oldest)

    def next_at(self) -> datetime | None:
        """See InboxRows.next_event_at."""
        due = (row.due_us for row in self._open.values() if row.due_us is not None)
        first = min(due, default=None)
        return None if first is None else from_micros(first)

    def prune(self, before: datetime, limit: int) -> int:
        """See InboxRows.prune_inbox."""
        before_us = to_micros(before)
        over = [
            (to_micros(row.record.finished_at), row.number, me)
            for me, row in self._rows.items()
            if row.record.finished_at is not None and to_micros(row.record.finished_at) < before_us
        ]
        gone = [me for _, _, me in sorted(over)[:limit]]
        for me in gone:
            news_key = self._rows.pop(me).record.news_key
            if news_key is not None:
                del self._news[(*me[:3], news_key)]
        return len(gone)


def _adder(queue: MemoryQueue, rows: tuple[OutboxRow, ...]) -> Callable[[], None]:
    """Inserts the rows where they are not there yet; made before anything is changed, as it may fail."""
    ready = queue.prepared(rows)
    return lambda: queue.add(ready)
