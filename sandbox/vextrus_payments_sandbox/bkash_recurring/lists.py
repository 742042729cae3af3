"""Subscriptions, and what was collected under them, as lists of payments show them."""

from collections.abc import Iterator
from datetime import date

from vextrus_payments_sandbox.bkash_recurring.records import GATEWAY, Collection, Subscription
from vextrus_payments_sandbox.bkash_recurring.rules import RecurringRules
from vextrus_payments_sandbox.world import BookRow


def rows(rules: RecurringRules) -> Iterator[BookRow]:
    """All of them, as they stand now."""
    rules.settle_due()
    for one in rules.subscriptions.values():
        yield _of(rules, one)
    for due in rules.collections.values():
        yield _due(rules, due)


def row(rules: RecurringRules, handle: str) -> BookRow | None:
    """By our request id, bKash's payment id or a trxID."""
    rules.settle_due()
    if handle in rules.subscriptions:
        return _of(rules, rules.subscriptions[handle])
    due = rules.collections.get(handle) or rules.takings.by_trx.get(handle)
    return None if due is None else _due(rules, due)


def _of(rules: RecurringRules, one: Subscription) -> BookRow:
    over = one.next_due or one.expiry if one.holds else ""
    return BookRow(
        GATEWAY,
        one.key,
        None,
        one.reference,
        one.status.value,
        one.amount_minor,
        0,
        0,
        one.created_at,
        until=rules.moment(date.fromisoformat(over)) if over else None,
        thing=one,
    )


def _due(rules: RecurringRules, due: Collection) -> BookRow:
    return BookRow(
        GATEWAY,
        due.key,
        due.trx_id or None,
        due.request_id,
        due.status.value,
        due.amount_minor,
        due.amount_minor if due.is_paid else 0,
        due.refunded_minor,
        due.created_at or rules.world.now(),
        until=due.next_try_at or due.settles_at,
        thing=due,
    )
