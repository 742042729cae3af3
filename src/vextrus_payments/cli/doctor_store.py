"""What `doctor` looks at in a store: whether it lasts, what waits, what nobody knows, and who looks after it."""

import json
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vextrus_payments.cli.explaining import NEGLECTED, ago, moment
from vextrus_payments.cli.findings import Finding, fail, ok, skipped, warn
from vextrus_payments.clock import Clock
from vextrus_payments.inbox import InboxState
from vextrus_payments.printable import one_line
from vextrus_payments.reconcile import SEEN_MARK
from vextrus_payments.records import OperationKind, OperationState, OutboxKind, SubjectKind
from vextrus_payments.store import PaymentStore

if TYPE_CHECKING:
    from vextrus_payments.app import Payments

_LITTLE_DISK: Final = 500 * 1024 * 1024
_NO_DISK: Final = 50 * 1024 * 1024
_OLD_ENTRY: Final = timedelta(minutes=10)
_OLD_UNKNOWN: Final = timedelta(hours=1)
_VERY_OLD_UNKNOWN: Final = timedelta(hours=24)
#: A worker says that it is there every minute.
_WORKER_GONE: Final = timedelta(minutes=5)
_SKEW: Final = timedelta(seconds=2)
_MANY: Final = 1000
_UNKNOWN: Final = (OperationState.UNKNOWN, OperationState.PENDING)


async def store_findings(store: PaymentStore, payments: "Payments | None", clock: Clock) -> list[Finding]:
    """The store itself: does it last, is there room, is its clock ours."""
    findings = []
    if store.durable:
        findings.append(ok("store.durable", "The store survives this process."))
    else:
        findings.append(
            fail(
                "store.durable",
                "The store is kept in memory: a restart forgets every payment.",
                'Name a durable one: store="sqlite:///payments.db" or a postgresql:// URL.',
            )
        )
    await store.backlog(
        OutboxKind.LEDGER
    )  # read through the schema: a wrong one raises here, with what to do
    findings.append(ok("store.schema", "The store answers, and its schema is one that this release knows."))
    findings += _disk(store)
    skew = abs(store.now() - clock.now())
    if skew > _SKEW:
        findings.append(
            warn(
                "store.clock",
                f"The store's clock and this machine's differ by {skew.total_seconds():.0f} s.",
                "Keep both on NTP: claims and leases are measured on the store's.",
            )
        )
    else:
        findings.append(ok("store.clock", "The store's clock agrees with this machine's."))
    return findings


def _disk(store: PaymentStore) -> list[Finding]:
    path = getattr(store, "path", None)
    if path is None or not Path(str(path)).exists():
        return [skipped("store.disk", "The store is no file of this machine, so its disk was not looked at.")]
    try:
        space = os.statvfs(Path(str(path)).resolve().parent)
    except (OSError, AttributeError):
        return [skipped("store.disk", "This machine does not say how much room is left.")]
    free = space.f_bavail * space.f_frsize
    size = f"{free // (1024 * 1024):,} MiB are free"
    if free < _NO_DISK:
        return [
            fail(
                "store.disk",
                f"Only {size} beside the store: payments will be refused soon.",
                "Make room now.",
            )
        ]
    if free < _LITTLE_DISK:
        return [warn("store.disk", f"Only {size} beside the store.", "Make room, or move the store.")]
    return [ok("store.disk", f"{size} beside the store.")]


async def outbox_findings(store: PaymentStore, payments: "Payments | None") -> list[Finding]:
    """What waits to be delivered, and what was set aside."""
    findings: list[Finding] = []
    now = store.now()
    for kind, name, taker in (
        (OutboxKind.LEDGER, "ledger entries", "the ledger"),
        (OutboxKind.EVENT, "events", "on_event"),
    ):
        backlog = await store.backlog(kind)
        check = f"outbox.{kind.value}"
        if backlog.parked:
            findings.append(
                fail(
                    f"{check}.parked",
                    f"{backlog.parked} {name} were set aside, and nothing after them of the same payment is delivered.",
                    f"See why: vextrus-pay outbox list --parked. Mend {taker}, then let them go on.",
                )
            )
        else:
            findings.append(ok(f"{check}.parked", f"No {name} are set aside."))
        oldest = backlog.oldest_created_at
        if backlog.waiting and not _is_taken(kind, payments):
            findings.append(
                warn(
                    f"{check}.age",
                    f"{backlog.waiting} {name} wait, and this application attaches nobody who takes them.",
                    f"Give it {'ledger=' if kind is OutboxKind.LEDGER else 'on_event='}..., if somebody should.",
                )
            )
        elif oldest is not None and now - oldest > _OLD_ENTRY:
            findings.append(
                fail(
                    f"{check}.age",
                    f"{backlog.waiting} {name} wait, the oldest for {ago(oldest, now)}.",
                    f"See that a worker runs (vextrus-pay worker) and that {taker} takes what it is given.",
                )
            )
        else:
            waits = f"{backlog.waiting} {name} wait" if backlog.waiting else f"No {name} wait"
            findings.append(ok(f"{check}.age", f"{waits}."))
    return findings


def _is_taken(kind: OutboxKind, payments: "Payments | None") -> bool:
    if payments is None:
        return True
    setup = payments.setup
    return setup.takes_entries if kind is OutboxKind.LEDGER else setup.takes_events


async def inbox_findings(store: PaymentStore, payments: "Payments | None") -> list[Finding]:
    """News from gateways that nobody has worked on."""
    backlog, now = await store.inbox_backlog(), store.now()
    oldest = backlog.oldest_received_at
    parked = f" {backlog.parked} came early and wait for what they name." if backlog.parked else ""
    if oldest is not None and now - oldest > _OLD_ENTRY:
        page = await store.list_inbox(None, state=InboxState.WAITING, limit=_MANY)
        first = min(page.rows, key=lambda row: row.received_at, default=None)
        why = ""
        if first is not None and first.note:
            of = "The oldest" if page.cursor is None else "An old one"
            why = f" {of}, {one_line(first.event_id)[:60]} of {first.gateway}: {one_line(first.note)}"
        return [
            fail(
                "inbox",
                f"{backlog.waiting} webhooks wait to be worked on, the oldest for {ago(oldest, now)}.{why}{parked}",
                "See that a worker runs (vextrus-pay worker), and why they wait: vextrus-pay webhooks list.",
            )
        ]
    waits = f"{backlog.waiting} webhooks wait" if backlog.waiting else "No webhook waits"
    return [ok("inbox", f"{waits} to be worked on.{parked}")]


async def open_findings(store: PaymentStore, payments: "Payments | None") -> list[Finding]:
    """What nobody knows the end of."""
    page = await store.list_operations(None, states=_UNKNOWN, limit=_MANY)
    rows = [o for o in page.rows if o.kind is not OperationKind.INITIALIZE]
    from vextrus_payments.app.standing import payouts_out

    paid_out = await payouts_out(store)
    rows += [one.operation for one in paid_out.rows if one.state in _UNKNOWN]
    if not rows:
        return [ok("unknown", "Of everything that was sent it is known how it ended, or nothing is out.")]
    oldest = min(rows, key=lambda o: o.updated_at)
    age = store.now() - oldest.updated_at
    more = page.cursor is not None or paid_out.cursor is not None
    count = f"more than {len(rows)}" if more else str(len(rows))
    what = (
        f"Of {count} operations nobody can tell yet how they ended; the oldest, {oldest.operation_id}, for "
        f"{ago(oldest.updated_at, store.now())}."
    )
    do = f"Look at it: vextrus-pay explain {oldest.payment_id}"
    if age > _VERY_OLD_UNKNOWN:
        return [
            fail(
                "unknown",
                what,
                f"{do}; if the gateway stays silent, resolve it by hand (vextrus-pay resolve).",
            )
        ]
    if age > _OLD_UNKNOWN:
        return [warn("unknown", what, do)]
    return [ok("unknown", f"{what} That is young: the reconciler is at it.")]


async def review_findings(store: PaymentStore, payments: "Payments | None") -> list[Finding]:
    """Payouts of which the gateway tells otherwise than the books: nobody but a person ends that."""
    from vextrus_payments.app.standing import payouts_out

    found = [one.operation_id for one in (await payouts_out(store)).rows if one.in_review]
    if not found:
        return [ok("payout_review", "No payout is under review.")]
    return [
        warn(
            "payout_review",
            f"Of {len(found)} payouts the gateway tells otherwise than was asked, booked or said: "
            f"{one_line(found[0])} first.",
            f"Compare with its statement, then say what you found: vextrus-pay payout resolve {one_line(found[0])}",
        )
    ]


async def worker_findings(store: PaymentStore, payments: "Payments | None") -> list[Finding]:
    """Whether anybody reconciles and delivers."""
    seen = await store.get_mark(SEEN_MARK)
    start = (
        "Start one: vextrus-pay worker --app ..., or leave workers=True where the shop opens its Payments."
    )
    if seen is None:
        return [fail("worker", "No worker has ever looked after this store.", start)]
    try:
        last: datetime = datetime.fromisoformat(seen)
    except ValueError:
        return [warn("worker", "What the last worker left behind cannot be read.", start)]
    if store.now() - last > _WORKER_GONE:
        return [fail("worker", f"The last worker was there {ago(last, store.now())} ago.", start)]
    return [ok("worker", f"A worker was there at {moment(last)}.")]


async def epoch_findings(store: PaymentStore, payments: "Payments | None") -> list[Finding]:
    """Whether the store is a restored backup that nobody has reconciled."""
    if payments is not None:
        state = await payments.epoch()
        restored, number, left_out = state.restored, state.number, state.left_out
    else:
        restored, number = _epoch_in(await store.get_mark("epoch"))
        left_out = _left_out_in(await store.get_mark("epoch.left_out"))
    if restored is not None:
        return [
            fail(
                "epoch",
                f"The store was restored from a backup: {restored}. Nothing that moves money is sent.",
                "Run vextrus-pay reconcile --since with a time before the backup.",
            )
        ]
    if left_out:
        others = f" and {len(left_out) - 1} more" if left_out[1:] else ""
        return [
            warn(
                "epoch",
                f"A restored backup was reconciled without {left_out[0]}{others}: nothing of theirs that moves money "
                "is sent.",
                "With their credentials back, run vextrus-pay reconcile --since without leaving them out.",
            )
        ]
    if payments is not None and not payments.setup.epoch_marked:
        return [
            warn(
                "epoch",
                "A restored backup would go unnoticed: no mark is kept outside the database.",
                'Give Payments(epoch=FileEpochMark("...")), on another volume than the database.',
            )
        ]
    return [
        ok(
            "epoch",
            "Nothing says that the store is a restored backup." + (f" Epoch {number}." if number else ""),
        )
    ]


def _epoch_in(mark: str | None) -> tuple[str | None, int | None]:
    """(why it counts as restored, its number) as the store alone tells."""
    try:
        found = json.loads(mark) if mark is not None else {}
        return found.get("restored"), found.get("number")
    except (ValueError, AttributeError):
        return "its epoch cannot be read", None


def _left_out_in(mark: str | None) -> tuple[str, ...]:
    """Whom a restored store was reconciled without, as the store alone tells."""
    try:
        found = json.loads(mark) if mark is not None else []
    except ValueError:
        return ("a tenant whose name cannot be read",)
    return tuple(str(name) for name in found) if isinstance(found, list) else ()


async def watch_findings(store: PaymentStore, payments: "Payments | None") -> list[Finding]:
    """Whether what is unknown is looked at when it is due."""
    page = await store.list_operations(None, states=(OperationState.UNKNOWN,), limit=20)
    late = []
    for operation in page.rows:
        of_agreement = operation.subject_kind is SubjectKind.AGREEMENT
        kind = SubjectKind.AGREEMENT if of_agreement else SubjectKind.PAYMENT
        at = await store.next_watch(operation.tenant, kind, operation.payment_id)
        if at is not None and store.now() - at > NEGLECTED:
            late.append(operation.payment_id)
    if late:
        return [
            fail(
                "watches",
                f"{late[0]}{' and others' if late[1:] else ''} should have been looked at more than "
                f"{NEGLECTED.seconds // 60} minutes ago.",
                "See that a worker runs, and that the gateway answers.",
            )
        ]
    return [ok("watches", "What is unknown is looked at when it is due.")]
