"""The memory store's watches: what is due to be looked at, and who looks."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from vextrus_payments.records import SubjectKind, Watch
from vextrus_payments.stores.columns import from_micros, optional_micros, to_micros


@dataclass(slots=True, kw_only=True)
class Watched:
    """What rows of payments, agreements and payouts have in common: when to look, and who does."""

    number: int
    tenant: str
    version: int
    document: str
    watch_us: int | None = None
    tries: int = 0
    until_us: int | None = None

    def changed(self, version: int, document: str, watch_at: datetime | None) -> None:
        """Something was committed: it sets a time of its own, and leaves a lease alone."""
        self.version, self.document = version, document
        self.watch_us, self.tries = optional_micros(watch_at), 0

    def arm(self, now: datetime) -> int:
        """Look at it now, unless there is a time already; how many were armed."""
        if self.watch_us is not None:
            return 0
        self.watch_us, self.tries = to_micros(now), 0
        return 1


_ORDER = (SubjectKind.PAYMENT, SubjectKind.AGREEMENT, SubjectKind.PAYOUT)
#: A row with what it stands for.
Subject = tuple[SubjectKind, str, Watched]


def lease(subjects: Iterable[Subject], limit: int, lease_s: int, now: datetime) -> tuple[Watch, ...]:
    """See PaymentStore.lease_watches. `subjects`: all payments, then agreements, then payouts."""
    now_us, until = to_micros(now), now + timedelta(seconds=lease_s)
    due = [
        (row.watch_us, kind, subject_id, row)
        for kind, subject_id, row in subjects
        if row.watch_us is not None
        and row.watch_us <= now_us
        and (row.until_us is None or row.until_us <= now_us)
    ]
    due.sort(key=lambda each: (each[0], _ORDER.index(each[1]), each[3].number))
    watches = []
    for due_us, kind, subject_id, row in due[:limit]:
        row.until_us, row.tries = to_micros(until), row.tries + 1
        watches.append(
            Watch(
                tenant=row.tenant,
                subject_kind=kind,
                subject_id=subject_id,
                version=row.version,
                tries=row.tries,
                due_at=from_micros(due_us),
                leased_until=from_micros(row.until_us),
            )
        )
    return tuple(watches)


def again(row: Watched | None, watch: Watch, at: datetime | None) -> bool:
    """See PaymentStore.watch_again."""
    at_us = optional_micros(at)
    if row is None or row.until_us != to_micros(watch.leased_until):
        return False
    row.until_us = None
    if row.version != watch.version:
        return False
    row.watch_us = at_us
    return True
