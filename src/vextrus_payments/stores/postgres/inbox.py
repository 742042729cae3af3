"""The inbox in PostgreSQL. Each function is one statement's work."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

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
from vextrus_payments.stores.columns import (
    Position,
    check_lease,
    check_limit,
    optional_micros,
    optional_moment,
    to_micros,
)
from vextrus_payments.stores.news import (
    COLUMN_COUNT,
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
from vextrus_payments.stores.postgres.database import Database
from vextrus_payments.stores.postgres.session import Session

_KEY: Final = "tenant = $1 AND gateway = $2 AND mode = $3 AND event_id = $4"
# In the order of the call, so that of two with the same news the first one is kept.
_ACCEPT: Final = """
INSERT INTO {schema}.inbox (tenant, gateway, mode, event_id, news_key, state, received_at, due_at, document, headers,
    body)
SELECT w.tenant, w.gateway, w.mode, w.event_id, w.news_key, 'waiting', w.received_at, 0, w.document, w.headers, w.body
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[],
    $9::bytea[]) WITH ORDINALITY
    AS w (tenant, gateway, mode, event_id, news_key, received_at, document, headers, body, place) ORDER BY place
ON CONFLICT DO NOTHING
RETURNING tenant, gateway, mode, event_id, news_key
"""
_LEASE: Final = f"""
WITH due AS MATERIALIZED (
    SELECT id, due_at AS was_due FROM {{schema}}.inbox WHERE due_at <= $1
    ORDER BY due_at, id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
), leased AS (
    UPDATE {{schema}}.inbox SET due_at = $3, leased_until = $3, fence = fence + 1, tries = tries + 1 FROM due
    WHERE inbox.id = due.id
    RETURNING inbox.*, due.was_due
)
SELECT {COLUMNS}, was_due, id FROM leased
"""
_END: Final = """
WITH wanted AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::text[], $7::bigint[],
        $8::bigint[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
        $16::text[], $17::text[]) WITH ORDINALITY
        AS w (tenant, gateway, mode, event_id, fence, state, due_at, finished_at, payment_id, note, row_id, subject,
            document, relief_of, relief_id, relief_subject, relief, place)
), ended AS (
    UPDATE {schema}.inbox SET state = wanted.state, due_at = wanted.due_at, leased_until = NULL,
        finished_at = wanted.finished_at, payment_id = coalesce(wanted.payment_id, inbox.payment_id),
        note = wanted.note
    FROM wanted
    WHERE inbox.tenant = wanted.tenant AND inbox.event_id = wanted.event_id AND inbox.gateway = wanted.gateway
        AND inbox.mode = wanted.mode AND inbox.fence = wanted.fence AND inbox.leased_until IS NOT NULL
    RETURNING wanted.place
), announced AS (
    INSERT INTO {schema}.outbox (tenant, row_id, kind, subject, seq, document, created_at, attempts, due_at, head)
    SELECT tenant, row_id, 'event', subject, 1, document, $18, 0, 0, true
    FROM wanted JOIN ended USING (place) WHERE row_id IS NOT NULL ORDER BY place
    ON CONFLICT (tenant, row_id) DO NOTHING
), relieved AS (
    INSERT INTO {schema}.outbox (tenant, row_id, kind, subject, seq, document, created_at, attempts, due_at, head)
    SELECT tenant, relief_id, 'event', relief_subject, 2, relief, $18, 0, 0, true
    FROM wanted JOIN ended USING (place) WHERE relief_id IS NOT NULL AND EXISTS (
        SELECT 1 FROM {schema}.outbox WHERE outbox.tenant = wanted.tenant AND outbox.row_id = wanted.relief_of
    ) ORDER BY place
    ON CONFLICT (tenant, row_id) DO NOTHING
)
SELECT place FROM ended
"""
_REPLAY: Final = (
    "UPDATE {schema}.inbox SET state = 'waiting', due_at = 0, leased_until = NULL, finished_at = NULL, tries = 0,"
    f" fence = fence + 1, note = NULL WHERE {_KEY} RETURNING id"
)
_GET: Final = f"SELECT {COLUMNS} FROM {{schema}}.inbox WHERE {_KEY}"
_LIST: Final = (
    f"SELECT {COLUMNS}, id FROM {{schema}}.inbox WHERE received_at >= $1 AND (received_at, id) < ($2, $3)"
)
_LIST_END: Final = " ORDER BY received_at DESC, id DESC LIMIT $4"
_BACKLOG: Final = (
    "SELECT count(*) FILTER (WHERE state <> 'parked'), count(*) FILTER (WHERE state = 'parked'),"
    " min(received_at) FILTER (WHERE state <> 'parked') FROM {schema}.inbox WHERE due_at IS NOT NULL"
)
_NEXT: Final = "SELECT due_at FROM {schema}.inbox WHERE due_at IS NOT NULL ORDER BY due_at, id LIMIT 1"
_PRUNE: Final = """
WITH gone AS (
    DELETE FROM {schema}.inbox WHERE id IN (
        SELECT id FROM {schema}.inbox WHERE finished_at < $1
        ORDER BY finished_at, id LIMIT $2 FOR UPDATE SKIP LOCKED
    ) RETURNING 1
)
SELECT count(*) FROM gone
"""
_FIRST, _LAST = -(2**63), 2**63 - 1


async def accept(session: Session, events: Sequence[NewInboxEvent]) -> tuple[bool, ...]:
    """See InboxRows.accept_events."""
    columns: list[list[Any]] = [[] for _ in range(9)]
    for event in events:
        values = (
            *key_of(event),
            event.news_key,
            received_us(event),
            event.document,
            header_text(event.headers),
            event.body,
        )
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    rows = await session.all(_ACCEPT, *columns)
    fresh = {tuple(row) for row in rows}
    answers = []
    for event in events:
        me = (*key_of(event), event.news_key)
        answers.append(me in fresh)
        fresh.discard(me)  # of several that are alike the first one was kept
    return tuple(answers)


async def lease(session: Session, limit: int, lease_s: int, now: datetime) -> tuple[InboxRow, ...]:
    """See InboxRows.lease_events."""
    until_us = to_micros(now + timedelta(seconds=lease_s))
    rows = await session.all(_LEASE, to_micros(now), limit, until_us)
    return leased(sorted(rows, key=lambda row: (row[-2], row[-1])))


async def end(session: Session, ends: Sequence[InboxEnd], now: datetime) -> tuple[bool, ...]:
    """See InboxRows.end_events."""
    now_us = to_micros(now)
    columns: list[list[Any]] = [[] for _ in range(17)]
    places: dict[tuple[Any, ...], int] = {}
    for number, each in enumerate(ends):
        held = (*key_of(each.row), each.row.fence)
        if held in places:  # a lease is ended once
            continue
        places[held] = number
        told, relief = announced(each, now_us), relieved(each, now_us)
        values = (
            *held,
            each.state.value,
            optional_micros(each.due_at),
            None if each.state in OPEN_INBOX_STATES else now_us,
            each.payment_id,
            shown(each.note),
            None if told is None else told.row_id,
            None if told is None else told.subject,
            None if told is None else told.document,
            None if each.relief is None else each.relief[0],
            None if relief is None else relief.row_id,
            None if relief is None else relief.subject,
            None if relief is None else relief.document,
        )
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    numbers = list(places.values())
    done = {numbers[row[0] - 1] for row in await session.all(_END, *columns, now_us)}
    return tuple(number in done for number in range(len(ends)))


async def listed(
    session: Session,
    tenant: str | None,
    gateway: str | None,
    state: InboxState | None,
    since: datetime | None,
    after: Position | None,
    limit: int,
) -> Page[InboxRow]:
    """See InboxRows.list_inbox. The state stands in the text: only so can it be seen which index serves."""
    since_us = optional_micros(since)
    values: list[Any] = [
        _FIRST if since_us is None else since_us,
        *((_LAST, 0) if after is None else after),
        limit + 1,
    ]
    statement = _LIST
    if state is not None:
        statement += f" AND state = '{state.value}'"
        if state in OPEN_INBOX_STATES:
            statement += " AND due_at IS NOT NULL"
    for column, value in (("tenant", tenant), ("gateway", gateway)):
        if value is not None:
            values.append(value)
            statement += f" AND {column} = ${len(values)}"
    rows = await session.all(statement + _LIST_END, *values)
    page = rows[:limit]
    cursor = Position(page[-1][8], page[-1][COLUMN_COUNT]).cursor() if len(rows) > limit else None
    return Page(tuple(record(row) for row in page), cursor)


class PostgresInbox:
    """The inbox of the port."""

    if TYPE_CHECKING:

        @property
        def _database(self) -> Database: ...

        def now(self) -> datetime: ...

    async def accept_events(self, events: Sequence[NewInboxEvent]) -> tuple[bool, ...]:
        """Keep news, durably; which of it is new."""
        check_events(events)
        if not events:
            return ()
        return await self._database.single(lambda session: accept(session, events), repeat=True)

    async def lease_events(self, *, limit: int, lease_s: int) -> tuple[InboxRow, ...]:
        """Lease due rows, oldest due first."""
        check_limit(limit)
        check_lease(lease_s)
        return await self._database.single(
            lambda session: lease(session, limit, lease_s, self.now()), repeat=True
        )

    async def end_events(self, ends: Sequence[InboxEnd]) -> tuple[bool, ...]:
        """Record what became of leased rows."""
        check_ends(ends)
        if not ends:
            return ()
        return await self._database.single(lambda session: end(session, ends, self.now()), repeat=False)

    async def replay_event(self, tenant: str, gateway: str, mode: Mode, event_id: str) -> bool:
        """Make a row due again at once."""
        row = await self._database.single(
            lambda session: session.one(_REPLAY, tenant, gateway, mode.value, event_id), repeat=True
        )
        return row is not None

    async def get_inbox(self, tenant: str, gateway: str, mode: Mode, event_id: str) -> InboxRow | None:
        """One row."""
        row = await self._database.read(
            lambda session: session.one(_GET, tenant, gateway, mode.value, event_id)
        )
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
        """Rows, newest received first."""
        after = Position.of(cursor)
        check_limit(limit)
        return await self._database.read(
            lambda session: listed(session, tenant, gateway, state, since, after, limit)
        )

    async def inbox_backlog(self) -> InboxBacklog:
        """How much is not over."""
        row = await self._database.read(lambda session: session.one(_BACKLOG))
        assert row is not None
        return InboxBacklog(row[0], row[1], optional_moment(row[2]))

    async def next_event_at(self) -> datetime | None:
        """When the next row falls due."""
        row = await self._database.read(lambda session: session.one(_NEXT))
        return None if row is None else optional_moment(row[0])

    async def prune_inbox(self, before: datetime, *, limit: int = 1000) -> int:
        """Delete rows that were finished before then; how many."""
        values = (to_micros(before), check_limit(limit))
        row = await self._database.single(lambda session: session.one(_PRUNE, *values), repeat=True)
        assert row is not None
        return int(row[0])
