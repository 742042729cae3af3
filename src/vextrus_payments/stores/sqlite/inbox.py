"""The inbox in SQLite. Each function is the inside of one transaction."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any, Final, NamedTuple

from vextrus_payments.inbox import (
    OPEN_INBOX_STATES,
    InboxBacklog,
    InboxEnd,
    InboxRow,
    InboxState,
    NewInboxEvent,
)
from vextrus_payments.mode import Mode
from vextrus_payments.paging import Page
from vextrus_payments.records import OutboxRow
from vextrus_payments.stores.columns import (
    Position,
    check_lease,
    check_limit,
    from_micros,
    optional_micros,
    optional_moment,
    to_micros,
)
from vextrus_payments.stores.news import (
    COLUMNS,
    announced,
    check_ends,
    check_events,
    header_text,
    key_of,
    leased,
    received_us,
    record,
    relieved,
    shown,
)
from vextrus_payments.stores.sqlite.handle import SqliteHandle

#: How many rows are counted or looked through in one piece of work: a few milliseconds.
_STRETCH: Final = 2_000

_KEY: Final = "tenant = ? AND gateway = ? AND mode = ? AND event_id = ?"
_ROW: Final = "(?, ?, ?, ?, ?, 'waiting', ?, 0, ?, ?, ?)"
_MOST_ROWS: Final = 64
# Statements of 1, 2, 4 ... 64 rows, which any number of rows is made of: SQLite is entered once for each, and not once
# for each row. On every way out of it a busy event loop may keep the interpreter for milliseconds.
_ACCEPT: Final = {
    count: "INSERT INTO inbox (tenant, gateway, mode, event_id, news_key, state, received_at, due_at,"  # noqa: S608
    f" document, headers, body) VALUES {', '.join([_ROW] * count)} ON CONFLICT DO NOTHING"
    for count in (1 << power for power in range(_MOST_ROWS.bit_length()))
}
_LAST: Final = "SELECT max(id) FROM inbox"
_SINCE: Final = "SELECT tenant, gateway, mode, event_id, news_key FROM inbox WHERE id > ? ORDER BY id LIMIT ?"
_ANY_DUE: Final = "SELECT 1 FROM inbox WHERE due_at <= ? LIMIT 1"
_DUE: Final = f"SELECT {COLUMNS}, id FROM inbox WHERE due_at <= ? ORDER BY due_at, id LIMIT ?"  # noqa: S608 - constants
_LEASE: Final = (
    "UPDATE inbox SET due_at = ?, leased_until = ?, fence = fence + 1, tries = tries + 1 WHERE id = ?"
)
_END: Final = (
    "UPDATE inbox SET state = ?, due_at = ?, leased_until = NULL, finished_at = ?,"  # noqa: S608 - from constants
    f" payment_id = coalesce(?, payment_id), note = ? WHERE {_KEY} AND fence = ? AND leased_until IS NOT NULL"
)
_REPLAY: Final = (
    "UPDATE inbox SET state = 'waiting', due_at = 0, leased_until = NULL, finished_at = NULL, tries = 0,"  # noqa: S608
    f" fence = fence + 1, note = NULL WHERE {_KEY}"
)
_WAS_TOLD: Final = "SELECT 1 FROM outbox WHERE tenant = ? AND row_id = ?"
_GET: Final = f"SELECT {COLUMNS} FROM inbox WHERE {_KEY}"  # noqa: S608 - from constants
_OF_NUMBER: Final = f"SELECT {COLUMNS} FROM inbox WHERE id = ?"  # noqa: S608 - from constants
_NEXT: Final = "SELECT due_at FROM inbox WHERE due_at IS NOT NULL ORDER BY due_at, id LIMIT 1"
_PRUNE: Final = (
    "DELETE FROM inbox WHERE id IN (SELECT id FROM inbox WHERE finished_at < ? ORDER BY finished_at LIMIT ?)"
)
# In two pieces: of (due_at, id) > (?, ?) SQLite would walk all rows of the same time, and most are due "at once".
_SAME_TIME: Final = (
    "SELECT due_at, id, state, received_at FROM inbox WHERE due_at = ? AND id > ? ORDER BY id LIMIT ?"
)
_LATER: Final = (
    "SELECT due_at, id, state, received_at FROM inbox WHERE due_at > ? ORDER BY due_at, id LIMIT ?"
)
_START: Final = (-1, 0)


class Wanted(NamedTuple):
    """What a listing is to show."""

    tenant: str | None
    gateway: str | None
    state: InboxState | None
    since: datetime | None


class Stretch(NamedTuple):
    """A piece of a listing: where in it the wanted rows are, and where it ended (None: there is nothing after it)."""

    places: tuple[Position, ...]
    end: Position | None


#: How an outbox row is inserted where it is not there yet.
Add = Callable[[OutboxRow], None]


def values_of(events: Sequence[NewInboxEvent]) -> list[tuple[Any, ...]]:
    """The rows of these, as they are written."""
    return [
        (
            event.tenant,
            event.gateway,
            event.mode.value,
            event.event_id,
            event.news_key,
            received_us(event),
            event.document,
            header_text(event.headers),
            event.body,
        )
        for event in events
    ]


def accept(connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> tuple[bool, ...]:
    """See InboxRows.accept_events."""
    execute = connection.execute
    (last,) = execute(_LAST).fetchone()
    written = at = 0
    while at < len(rows):
        count = min(_MOST_ROWS, 1 << (len(rows) - at).bit_length() - 1)
        written += execute(_ACCEPT[count], list(chain.from_iterable(rows[at : at + count]))).rowcount
        at += count
    if written == len(rows):
        return (True,) * written
    # A new row has a number above all that were there before. Of several alike the first was written.
    fresh = set(execute(_SINCE, (last or 0, written)).fetchall())
    answers = []
    for row in rows:
        answers.append(row[:5] in fresh)
        fresh.discard(row[:5])
    return tuple(answers)


def any_due(connection: sqlite3.Connection, now: datetime) -> bool:
    """Whether there is something to lease. A look without the write lock, which most polls need not take."""
    return connection.execute(_ANY_DUE, (to_micros(now),)).fetchone() is not None


def lease(connection: sqlite3.Connection, limit: int, lease_s: int, now: datetime) -> tuple[InboxRow, ...]:
    """See InboxRows.lease_events."""
    until = now + timedelta(seconds=lease_s)
    until_us = to_micros(until)
    due = connection.execute(_DUE, (to_micros(now), limit)).fetchall()
    connection.executemany(_LEASE, [(until_us, until_us, kept[-1]) for kept in due])
    rows = [
        replace(row, fence=row.fence + 1, tries=row.tries + 1, due_at=until, leased_until=until)
        for row in leased(due)
    ]
    return tuple(rows)


def end(
    connection: sqlite3.Connection, ends: Sequence[InboxEnd], add: Add, now: datetime
) -> tuple[bool, ...]:
    """See InboxRows.end_events. `add` inserts an outbox row where it is not there yet."""
    now_us = to_micros(now)
    answers = []
    for each in ends:
        finished_us = None if each.state in OPEN_INBOX_STATES else now_us
        changed = (
            each.state.value,
            optional_micros(each.due_at),
            finished_us,
            each.payment_id,
            shown(each.note),
        )
        held = connection.execute(_END, (*changed, *key_of(each.row), each.row.fence)).rowcount > 0
        announcement = announced(each, now_us) if held else None
        if announcement is not None:
            add(announcement)
        relief = relieved(each, now_us) if held else None
        if relief is not None and _was_told(connection, each):
            add(relief)
        answers.append(held)
    return tuple(answers)


def _was_told(connection: sqlite3.Connection, end: InboxEnd) -> bool:
    """Whether what its relief takes back was announced."""
    known = "" if end.relief is None else end.relief[0]
    return connection.execute(_WAS_TOLD, (end.row.tenant, known)).fetchone() is not None


def listed(connection: sqlite3.Connection, wanted: Wanted, after: Position | None, length: int) -> Stretch:
    """The next `length` rows of a listing, and which of them are wanted.

    A stretch and not a page: where nearly all are of another gateway, or done, the page with the next one that is not
    may be a month long. Of what is open there is little, and an index that has no other rows.
    """
    state = wanted.state
    conditions: list[str] = ["1"]
    values: list[Any] = []
    for condition, value in (
        ("tenant = ?", wanted.tenant),
        ("received_at >= ?", optional_micros(wanted.since)),
        ("state = ?", state.value if state in OPEN_INBOX_STATES else None),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    along = ""
    if state is InboxState.UNMATCHED:
        conditions.append("state = 'unmatched'")
        along = "INDEXED BY inbox_unmatched"
    elif state in OPEN_INBOX_STATES:
        conditions.append("due_at IS NOT NULL")
        along = "INDEXED BY inbox_due"
    if after is not None:
        conditions.append("(received_at, id) < (?, ?)")
        values += after
    rows: list[tuple[Any, ...]] = connection.execute(
        f"SELECT received_at, id, state, gateway FROM inbox {along} WHERE {' AND '.join(conditions)}"  # noqa: S608
        " ORDER BY received_at DESC, id DESC LIMIT ?",
        (*values, length),
    ).fetchall()
    places = tuple(
        Position(at, number)
        for at, number, its_state, gateway in rows
        if wanted.gateway in (None, gateway) and (state is None or its_state == state.value)
    )
    return Stretch(places, Position(rows[-1][0], rows[-1][1]) if len(rows) == length else None)


def of_places(connection: sqlite3.Connection, places: Sequence[Position]) -> tuple[InboxRow, ...]:
    """The rows of these places; one that was pruned meanwhile is left out."""
    found = (connection.execute(_OF_NUMBER, (place.number,)).fetchone() for place in places)
    return tuple(record(row) for row in found if row is not None)


def backlog(
    connection: sqlite3.Connection, after: tuple[int, int], length: int
) -> tuple[InboxBacklog, tuple[int, int] | None]:
    """What is open in the next `length` rows, and where they end (None: there is nothing after them).

    A stretch and not the whole: after an outage there may be a million, and whoever counts them must not hold up the
    payers.
    """
    due_us, number = after
    rows = connection.execute(_SAME_TIME, (due_us, number, length)).fetchall()
    if len(rows) < length:
        rows += connection.execute(_LATER, (due_us, length - len(rows))).fetchall()
    waiting = [received for _, _, state, received in rows if state != InboxState.PARKED.value]
    oldest = optional_moment(min(waiting, default=None))
    stop = rows[-1][:2] if len(rows) == length else None
    return InboxBacklog(len(waiting), len(rows) - len(waiting), oldest), stop


def next_at(connection: sqlite3.Connection) -> datetime | None:
    """See InboxRows.next_event_at."""
    row = connection.execute(_NEXT).fetchone()
    return None if row is None else from_micros(row[0])


class SqliteInbox(SqliteHandle):
    """The inbox of the port."""

    async def accept_events(self, events: Sequence[NewInboxEvent]) -> tuple[bool, ...]:
        """Keep news, durably; which of it is new."""
        check_events(events)
        if not events:
            return ()
        rows = values_of(events)
        return await self._write(lambda c: accept(c, rows))

    async def lease_events(self, *, limit: int, lease_s: int) -> tuple[InboxRow, ...]:
        """Lease due rows, oldest due first."""
        check_limit(limit)
        check_lease(lease_s)
        if not await self._read(lambda c: any_due(c, self.now())):
            return ()
        return await self._write(lambda c: lease(c, limit, lease_s, self.now()))

    async def end_events(self, ends: Sequence[InboxEnd]) -> tuple[bool, ...]:
        """Record what became of leased rows."""
        check_ends(ends)
        if not ends:
            return ()
        return await self._write(lambda c: end(c, ends, self._rows(c).add_outbox, self.now()))

    async def replay_event(self, tenant: str, gateway: str, mode: Mode, event_id: str) -> bool:
        """Make a row due again at once."""
        key = (tenant, gateway, mode.value, event_id)
        return await self._write(lambda c: c.execute(_REPLAY, key).rowcount > 0)

    async def get_inbox(self, tenant: str, gateway: str, mode: Mode, event_id: str) -> InboxRow | None:
        """One row."""
        key = (tenant, gateway, mode.value, event_id)
        row = await self._read(lambda c: c.execute(_GET, key).fetchone())
        return None if row is None else record(row)

    async def list_inbox(
        self,
        tenant: str | None,
        *,
        gateway: str | None = None,
        state: InboxState | None = None,
        since: datetime | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[InboxRow]:
        """Rows, newest received first, looked through a bounded number at a time."""
        check_limit(limit)
        wanted = Wanted(tenant, gateway, state, since)
        after: Position | None = Position.of(cursor)
        places: list[Position] = []
        while len(places) <= limit:
            stretch = await self._read(partial(listed, wanted=wanted, after=after, length=_STRETCH))
            places += stretch.places
            after = stretch.end
            if after is None:
                break
        page = places[:limit]
        rows = await self._read(lambda c: of_places(c, page))
        return Page(rows, page[-1].cursor() if len(places) > limit else None)

    async def inbox_backlog(self) -> InboxBacklog:
        """How much is not over, counted a bounded number at a time."""
        total = InboxBacklog(0, 0, None)
        place: tuple[int, int] | None = _START
        while place is not None:
            part, place = await self._read(partial(backlog, after=place, length=_STRETCH))
            oldest = [at for at in (total.oldest_received_at, part.oldest_received_at) if at is not None]
            total = InboxBacklog(
                total.waiting + part.waiting, total.parked + part.parked, min(oldest, default=None)
            )
        return total

    async def next_event_at(self) -> datetime | None:
        """When the next row falls due."""
        return await self._read(next_at)

    async def prune_inbox(self, before: datetime, *, limit: int = 1000) -> int:
        """Delete rows that were finished before then; how many."""
        values = (to_micros(before), check_limit(limit))
        return await self._write(lambda c: c.execute(_PRUNE, values).rowcount)
