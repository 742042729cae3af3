"""How things stand: what `await payments.health()` answers, for a health route, a pager and `vextrus-pay doctor`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from vextrus_payments.ledger import AccountMap
from vextrus_payments.records import OutboxKind

#: From so many seconds on, something unknown is a trouble: until then the reconciler is at it.
_OLD_UNKNOWN_S: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueHealth:
    """What waits to be handed over, of one kind."""

    queue: OutboxKind
    attended: bool
    """Whether this process has a callback or a sink for it. Without one, rows wait, and that is no fault."""
    waiting: int
    parked: int
    """Set aside; each holds up what comes after it of the same payment until an operator acts."""
    oldest_s: float | None
    """The age of the oldest that waits, in seconds; None when nothing does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerHealth:
    """One background job of this process."""

    name: str
    alive: bool
    deaths: int
    """How often it died and was begun again: each is a mistake to be reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenHealth:
    """Operations whose end nobody knows, or which the gateway has not finished."""

    count: int
    more: bool
    """Whether there are more than were counted."""
    oldest_s: float | None
    """For how long the one that has not changed for longest has been like that; None when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxHealth:
    """News from gateways that was kept and is not over."""

    waiting: int
    """Still to be applied."""
    parked: int
    """It came early, or names what nobody here knows: it waits for a day, rightly."""
    oldest_s: float | None
    """The age of the oldest that waits (not of what is parked), in seconds; None when none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One thing that somebody should look at."""

    code: str
    what: str
    next_step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a `Payments` was made with, as far as it can be shown: what `vextrus-pay doctor` goes through."""

    public_url: str | None
    has_tenants: bool
    takes_entries: bool
    """Whether a ledger is attached."""
    takes_events: bool
    tokens_durable: bool
    accounts: AccountMap
    workers: bool
    """Whether opening it starts the workers."""
    gateways: tuple[str, ...] = ()
    """The names it knows: those configured, or those installed where the environment or a source of credentials
    decides at the first use."""
    epoch_marked: bool = False
    """Whether a restored backup is noticed: a mark is kept outside the database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How one process and its store stand, at one moment. Holds no amounts and nothing secret."""

    at: datetime
    opened: bool
    store_problem: str | None
    """Why the store does not answer; None when it does. What it would tell is then missing below."""
    queues: tuple[QueueHealth, ...]
    workers: tuple[WorkerHealth, ...]
    """Empty where this process runs none."""
    observer_failures: int
    """How often the host's observer or logging has raised."""
    overdue_s: float
    """From which age on a waiting row is a trouble."""
    unknown: OpenHealth | None = None
    """None where the store did not answer."""
    inbox: InboxHealth | None = None
    """None where the store did not answer."""
    payouts_in_review: int = 0
    """Payouts and transfers of which the gateway tells otherwise than the books: each waits for a person."""
    restored: str | None = None
    """Why the store counts as a restored backup, over which nothing that moves money is sent."""
    forwarder: str | None = None
    """A proxy by which requests reach the doors and which their limits do not name, while limits go by where requests
    come from; None: none was seen since this was made."""

    @property
    def ok(self) -> bool:
        """Whether there is nothing to look at."""
        return not self.troubles

    @property
    def ready(self) -> bool:
        """Whether payments can be taken: it is open, and its store answers. For a readiness probe."""
        return self.opened and self.store_problem is None

    @property
    def troubles(self) -> tuple[Trouble, ...]:
        """Everything that somebody should look at, the worst first."""
        return tuple(self._troubles())

    def _troubles(self) -> "list[Trouble]":
        found = []
        if not self.opened:
            found.append(
                Trouble(
                    code="not_open",
                    what="Payments is not open in this process.",
                    next_step="Use `async with payments:` (or open() first).",
                )
            )
        elif self.store_problem is not None:
            found.append(Trouble(code="store", what=self.store_problem, next_step="Check the store."))
        if self.restored is not None:
            found.append(
                Trouble(
                    code="restored",
                    what=f"The store was restored from a backup: {self.restored}. Nothing that moves money is sent.",
                    next_step="Run vextrus-pay reconcile --since with a time before the backup.",
                )
            )
        for worker in self.workers:
            if not worker.alive:
                what = f"The {worker.name} worker does not run."
                found.append(Trouble(code="worker", what=what, next_step="Restart the process."))
            elif worker.deaths:
                what = f"The {worker.name} worker has died {worker.deaths} times, and was begun again."
                found.append(
                    Trouble(code="worker", what=what, next_step="Report it, with the log's worker.died.")
                )
        if self.unknown is not None and (self.unknown.oldest_s or 0) >= _OLD_UNKNOWN_S:
            count = f"{'more than ' if self.unknown.more else ''}{self.unknown.count}"
            found.append(
                Trouble(
                    code="unknown",
                    what=f"Of {count} operations nobody can tell how they ended, of one for "
                    f"{round(self.unknown.oldest_s or 0)} s.",
                    next_step="Does a worker run, and does the gateway answer? vextrus-pay doctor names the oldest.",
                )
            )
        if self.payouts_in_review:
            found.append(
                Trouble(
                    code="payout_review",
                    what=f"Of {self.payouts_in_review} payouts the gateway tells otherwise than was asked, booked or "
                    "said.",
                    next_step="Compare with its statement (vextrus-pay payout list --unsettled), then say what you "
                    "found (vextrus-pay payout resolve).",
                )
            )
        if self.inbox is not None and (self.inbox.oldest_s or 0) >= self.overdue_s:
            found.append(
                Trouble(
                    code="inbox_overdue",
                    what=f"{self.inbox.waiting} webhooks wait to be worked on, the oldest for "
                    f"{round(self.inbox.oldest_s or 0)} s.",
                    next_step="Is a worker running, and does the gateway answer? See vextrus-pay webhooks list.",
                )
            )
        for queue in self.queues:
            found += self._of_queue(queue)
        if self.forwarder is not None:
            what = f"Requests reach the doors through {self.forwarder}, and count as its own for the doors' limits."
            found.append(
                Trouble(
                    code="proxy_untrusted",
                    what=what,
                    next_step="If it is your proxy, name it in DoorLimits(trusted_proxies=...).",
                )
            )
        return found

    def _of_queue(self, queue: QueueHealth) -> "list[Trouble]":
        found, rows = [], "entries" if queue.queue is OutboxKind.LEDGER else "events"
        if queue.parked:
            found.append(
                Trouble(
                    code="parked",
                    what=f"{queue.parked} {rows} are set aside.",
                    next_step="See why: vextrus-pay outbox list; mend it; then: vextrus-pay outbox retry.",
                )
            )
        if queue.attended and queue.oldest_s is not None and queue.oldest_s >= self.overdue_s:
            found.append(
                Trouble(
                    code="overdue",
                    what=f"{queue.waiting} {rows} wait, the oldest for {round(queue.oldest_s)} s.",
                    next_step="Is a worker running (vextrus-pay worker), and does what takes them answer?",
                )
            )
        return found

    def as_document(self) -> dict[str, Any]:
        """The same as plain JSON values, for a health route."""
        return {
            "ok": self.ok,
            "ready": self.ready,
            "at": self.at.isoformat(),
            "store": "ok" if self.store_problem is None and self.opened else self.store_problem or "closed",
            "queues": {
                queue.queue.value: {
                    "attended": queue.attended,
                    "waiting": queue.waiting,
                    "parked": queue.parked,
                    "oldest_s": None if queue.oldest_s is None else round(queue.oldest_s, 3),
                }
                for queue in self.queues
            },
            "unknown": None
            if self.unknown is None
            else {
                "count": self.unknown.count,
                "more": self.unknown.more,
                "oldest_s": None if self.unknown.oldest_s is None else round(self.unknown.oldest_s, 3),
            },
            "inbox": None
            if self.inbox is None
            else {
                "waiting": self.inbox.waiting,
                "parked": self.inbox.parked,
                "oldest_s": None if self.inbox.oldest_s is None else round(self.inbox.oldest_s, 3),
            },
            "payouts_in_review": self.payouts_in_review,
            "restored": self.restored,
            "workers": {
                worker.name: {"alive": worker.alive, "deaths": worker.deaths} for worker in self.workers
            },
            "forwarder": self.forwarder,
            "observer_failures": self.observer_failures,
            "troubles": [
                {"code": one.code, "what": one.what, "next_step": one.next_step} for one in self.troubles
            ],
        }
