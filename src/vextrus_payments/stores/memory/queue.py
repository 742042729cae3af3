"""The memory store's outbox: rows in order per subject, of which only the first undelivered one can be leased."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from vextrus_payments.documents import to_json
from vextrus_payments.paging import Page
from vextrus_payments.records import OutboxKind, OutboxRow
from vextrus_payments.store import OutboxBacklog
from vextrus_payments.stores.columns import (
    Position,
    from_micros,
    optional_micros,
    optional_moment,
    to_micros,
)


@dataclass(slots=True)
class QueuedRow:
    """An outbox row with its columns. A delivered one is kept, but no longer listed under its subject."""

    number: int
    tenant: str
    row_id: str
    subject: str
    seq: int
    kind: OutboxKind
    document: str
    created_us: int
    attempts: int
    next_us: int | None
    parked: str | None
    due_us: int
    """Before this it is not leased: its creation, the end of its lease, or when to try again."""
    until_us: int | None = None
    """The end of the lease under which it was given out."""
    delivered_us: int | None = None

    @property
    def place(self) -> tuple[int, int]:
        """Its place within its subject."""
        return self.seq, self.number

    def record(self) -> OutboxRow:
        """The row as the port gives it."""
        return OutboxRow(
            tenant=self.tenant,
            row_id=self.row_id,
            subject=self.subject,
            seq=self.seq,
            kind=self.kind,
            document=self.document,
            created_at=from_micros(self.created_us),
            attempts=self.attempts,
            next_at=optional_moment(self.next_us),
            parked=self.parked,
            leased_until=optional_moment(self.until_us),
            delivered_at=optional_moment(self.delivered_us),
        )


@dataclass(slots=True)
class MemoryQueue:
    """All outbox rows."""

    _rows: dict[tuple[str, str], QueuedRow] = field(default_factory=dict)
    _waiting: dict[tuple[OutboxKind, str, str], list[QueuedRow]] = field(default_factory=dict)
    """(kind, tenant, subject) -> undelivered rows in order."""

    def prepared(self, rows: tuple[OutboxRow, ...]) -> tuple[QueuedRow, ...]:
        """The rows as they will be kept; nothing is changed yet.

        Raises:
            StorageError: a text that no database could store.
        """
        fresh = []
        for row in rows:
            to_json(row)
            created_us, next_us = to_micros(row.created_at), optional_micros(row.next_at)
            due_us = 0 if next_us is None else next_us
            fresh.append(
                QueuedRow(
                    0,
                    row.tenant,
                    row.row_id,
                    row.subject,
                    row.seq,
                    row.kind,
                    row.document,
                    created_us,
                    row.attempts,
                    next_us,
                    row.parked,
                    due_us,
                )
            )
        return tuple(fresh)

    def add(self, rows: tuple[QueuedRow, ...]) -> None:
        """Insert those that are not there yet."""
        for row in rows:
            me = (row.tenant, row.row_id)
            if me in self._rows:
                continue
            row.number = len(self._rows) + 1
            self._rows[me] = row
            waiting = self._waiting.setdefault((row.kind, row.tenant, row.subject), [])
            waiting.append(row)
            waiting.sort(key=lambda each: each.place)

    def has(self, tenant: str, row_id: str) -> bool:
        """Whether there is such a row, delivered or not."""
        return (tenant, row_id) in self._rows

    def lease(self, kind: OutboxKind, limit: int, lease_s: int, now: datetime) -> tuple[OutboxRow, ...]:
        """See PaymentStore.lease."""
        now_us = to_micros(now)
        heads = (rows[0] for (of_kind, _, _), rows in self._waiting.items() if of_kind is kind)
        due = sorted(
            (row for row in heads if row.parked is None and row.due_us <= now_us),
            key=lambda row: (row.due_us, row.number),
        )[:limit]
        until_us = to_micros(now + timedelta(seconds=lease_s))
        for row in due:
            row.due_us = row.until_us = until_us
        return tuple(row.record() for row in due)

    def ack(self, row: OutboxRow, now: datetime) -> None:
        """See PaymentStore.ack."""
        kept = self._rows.get((row.tenant, row.row_id))
        if kept is None or kept.delivered_us is not None:
            return
        kept.delivered_us = to_micros(now)
        subject = (kept.kind, kept.tenant, kept.subject)
        self._waiting[subject].remove(kept)
        if not self._waiting[subject]:
            del self._waiting[subject]

    def nack(self, row: OutboxRow, retry_at: datetime | None, why: str) -> None:
        """See PaymentStore.nack."""
        kept = self._rows.get((row.tenant, row.row_id))
        retry_us = optional_micros(retry_at)
        if kept is None or kept.delivered_us is not None:
            return
        if kept.until_us != optional_micros(row.leased_until):
            return
        kept.attempts += 1
        kept.until_us = None
        if retry_us is None:
            kept.parked = why
        else:
            kept.next_us = kept.due_us = retry_us

    def unpark(self, tenant: str, row_id: str) -> bool:
        """See PaymentStore.unpark."""
        kept = self._rows.get((tenant, row_id))
        if kept is None or kept.parked is None or kept.delivered_us is not None:
            return False
        kept.attempts, kept.next_us, kept.parked, kept.due_us, kept.until_us = 0, None, None, 0, None
        return True

    def of_ids(self, tenant: str, row_ids: Sequence[str]) -> tuple[OutboxRow, ...]:
        """See PaymentStore.outbox_rows."""
        found = (self._rows.get((tenant, row_id)) for row_id in dict.fromkeys(row_ids))
        return tuple(row.record() for row in found if row is not None)

    def listed(
        self, kind: OutboxKind, tenant: str | None, parked: bool, after: Position | None, limit: int
    ) -> Page[OutboxRow]:
        """See PaymentStore.list_outbox."""
        rows = [
            row
            for row in self._rows.values()
            if row.kind is kind
            and tenant in (None, row.tenant)
            and (not parked or (row.parked is not None and row.delivered_us is None))
            and (after is None or row.number > after.number)
        ]
        page = rows[:limit]
        cursor = Position(0, page[-1].number).cursor() if len(rows) > limit else None
        return Page(tuple(row.record() for row in page), cursor)

    def backlog(self, kind: OutboxKind) -> OutboxBacklog:
        """See PaymentStore.backlog."""
        rows = [row for (of_kind, _, _), each in self._waiting.items() if of_kind is kind for row in each]
        waiting = [row for row in rows if row.parked is None]
        oldest_us = min((row.created_us for row in waiting), default=None)
        return OutboxBacklog(len(waiting), len(rows) - len(waiting), optional_moment(oldest_us))
