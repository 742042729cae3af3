"""What a reconciliation says of itself: one record per payment, and a report that stays small however many."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from vextrus_payments.reconcile.steps import Action
from vextrus_payments.records import SubjectKind

#: How many failures, unknown and skipped payments a report names; the rest are counted.
NAMED_MAX: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a payment could not be looked at, or only in part."""

    code: str
    what: str
    """One or more sentences without any secret: what happened, and what to do next."""
    skipped: bool = False
    """True: nobody asked the gateway, because the tenant's settings are gone or do not fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """One payment, agreement or payout after a look."""

    tenant: str
    subject_kind: SubjectKind
    """PAYMENT, AGREEMENT or PAYOUT (a transfer too)."""
    subject_id: str
    gateway: str | None = None
    """None: it is no longer in the store."""
    merchant_reference: str | None = None
    actions: tuple[Action, ...] = ()
    """What was done; empty: it was not due, so nobody was asked."""
    before: str | None = None
    """Its state before: of a payout its operation's."""
    after: str | None = None
    changed: bool = False
    """Whether anything was recorded, a state that stayed the same included."""
    unknown: tuple[str, ...] = ()
    """The operations of which nobody can tell yet how they ended, or which are still on their way."""
    next_at: datetime | None = None
    """When it is looked at next; None: nothing about it is open."""
    why: tuple[str, ...] = ()
    """What is open, in sentences."""
    problems: tuple[Problem, ...] = ()

    @property
    def skipped(self) -> bool:
        """True when nobody could be asked because the settings are gone."""
        return any(problem.skipped for problem in self.problems)


#: Told of each payment as soon as it has been looked at: for progress.
OnEach = Callable[[Reconciled], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileReport:
    """What a reconciliation of many came to. The tuples name at most 100 each; the numbers count all."""

    looked_at: int = 0
    changed: int = 0
    still_unknown: int = 0
    """Payments with an operation of which nobody can tell yet how it ended."""
    failed: int = 0
    """Payments about which no answer came."""
    skipped: int = 0
    """Payments of tenants whose settings are gone."""
    put_off: int = 0
    """Payments left for later unasked, because their gateway throttles or does not answer."""
    scanned: int = 0
    """Rows read on the way, those that were none of its business included."""
    unknown: tuple[Reconciled, ...] = ()
    failures: tuple[Reconciled, ...] = ()
    left_out: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(tenant, gateway) -> why nobody could be asked there."""
    accepted_restored: bool = False
    """Whether the store was accepted as the one to go on with, after a restored backup."""

    @property
    def complete(self) -> bool:
        """True when every payment that was to be looked at got an answer."""
        return self.failed == 0 and self.skipped == 0 and self.put_off == 0


class Tally:
    """Counts while a reconciliation runs."""

    def __init__(self, on_each: OnEach | None = None) -> None:
        self._on_each = on_each
        self._counts = {"looked_at": 0, "changed": 0, "still_unknown": 0, "failed": 0, "skipped": 0}
        self._unknown: list[Reconciled] = []
        self._failures: list[Reconciled] = []
        self._left_out: dict[tuple[str, str], str] = {}
        self.scanned: int = 0
        self.put_off: int = 0

    def add(self, one: Reconciled) -> None:
        """Count one."""
        self._counts["looked_at"] += bool(one.actions)
        self._counts["changed"] += one.changed
        if one.unknown:
            self._counts["still_unknown"] += 1
            _keep(self._unknown, one)
        if one.skipped:
            self._counts["skipped"] += 1
            if len(self._left_out) < NAMED_MAX:
                self._left_out.setdefault((one.tenant, one.gateway or ""), one.problems[0].what)
        elif one.problems:
            self._counts["failed"] += 1
            _keep(self._failures, one)
        if self._on_each is not None:
            self._on_each(one)

    def report(self, *, accepted_restored: bool = False) -> ReconcileReport:
        """The report so far."""
        return ReconcileReport(
            **self._counts,
            scanned=self.scanned,
            put_off=self.put_off,
            unknown=tuple(self._unknown),
            failures=tuple(self._failures),
            left_out=dict(self._left_out),
            accepted_restored=accepted_restored,
        )


def _keep(named: list[Reconciled], one: Reconciled) -> None:
    if len(named) < NAMED_MAX:
        named.append(one)
