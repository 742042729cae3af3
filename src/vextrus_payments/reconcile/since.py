"""After a restored backup: what has the gateways' word for it that our records have forgotten?

Everything that is open is asked about, and everything that was made or changed since a moment, what is over in the
records included: a payment that the backup has as closed may have been paid, and a paid one refunded, after the backup
was taken. Nothing is sent meanwhile. Only when every question has got an answer is the store accepted again.
"""

from collections.abc import AsyncIterator, Collection
from datetime import datetime
from typing import Final

from vextrus_payments.reconcile.looking import Ports
from vextrus_payments.reconcile.report import Tally
from vextrus_payments.records import (
    Agreement,
    Operation,
    OperationState,
    Payment,
    PaymentFacts,
    PaymentState,
    Payout,
    SubjectKind,
)

#: What is looked at because it has not come to its end, whenever it was made.
_UNFINISHED: Final = (
    OperationState.RESERVED,
    OperationState.SUBMITTING,
    OperationState.PENDING,
    OperationState.UNKNOWN,
)
_OPEN_PAYMENTS: Final = frozenset(
    {PaymentState.CREATED, PaymentState.AWAITING_PAYER, PaymentState.AUTHORIZED}
)
_PAGE: Final = 200


async def payments_since(
    ports: Ports, moment: datetime, tally: Tally, leave_out: Collection[str]
) -> AsyncIterator[PaymentFacts]:
    """Every payment that is open, or that was made or changed since then, each once. Reads pages, never all rows."""
    async for operation in _unfinished(ports):
        if operation.tenant in leave_out:
            continue
        facts = await ports.store.get(operation.tenant, operation.payment_id)
        # An agreement's operation finds no payment; what the second pass comes to is left to it.
        if facts is not None and not _in_second_pass(facts.payment, moment):
            yield facts
    cursor = None
    while True:
        page = await ports.store.list(None, cursor=cursor, limit=_PAGE)
        for payment in page.rows:
            tally.scanned += 1
            if payment.tenant in leave_out or not _in_second_pass(payment, moment):
                continue
            facts = await ports.store.get(payment.tenant, payment.payment_id)
            if facts is not None:
                yield facts
        if page.cursor is None:
            return
        cursor = page.cursor


async def _unfinished(ports: Ports) -> AsyncIterator[Operation]:
    cursor = None
    last: tuple[str, str] | None = None
    while True:
        page = await ports.store.list_operations(None, states=_UNFINISHED, cursor=cursor, limit=_PAGE)
        for operation in page.rows:
            key = (operation.tenant, operation.payment_id)
            if operation.subject_kind is not SubjectKind.AGREEMENT and key != last:
                last = key
                yield operation
        if page.cursor is None:
            return
        cursor = page.cursor


def _in_second_pass(payment: Payment, moment: datetime) -> bool:
    return payment.state in _OPEN_PAYMENTS or max(payment.created_at, payment.updated_at) >= moment


async def agreements_since(
    ports: Ports, moment: datetime, leave_out: Collection[str]
) -> AsyncIterator[Agreement]:
    """Every agreement with an operation that is not settled, or that was made or changed since then."""
    cursor = None
    while True:
        page = await ports.store.list_agreements(None, cursor=cursor, limit=_PAGE)
        for agreement in page.rows:
            is_open = any(o.state in _UNFINISHED for o in agreement.operations)
            recent = max(agreement.created_at, agreement.updated_at) >= moment
            if agreement.tenant not in leave_out and (is_open or recent):
                yield agreement
        if page.cursor is None:
            return
        cursor = page.cursor


async def payouts_left_out(ports: Ports, leave_out: Collection[str]) -> AsyncIterator[Payout]:
    """The payouts of tenants that are not looked at, and which the records call not sent: to send them again needs no
    more than their credentials' return."""
    for tenant in sorted(leave_out):
        cursor = None
        while True:
            page = await ports.store.list_payouts(tenant, unsettled=True, cursor=cursor, limit=_PAGE)
            for payout in page.rows:
                if payout.state in (OperationState.RESERVED, OperationState.SUBMITTING):
                    yield payout
            if page.cursor is None:
                break
            cursor = page.cursor


async def payouts_since(ports: Ports, moment: datetime, leave_out: Collection[str]) -> AsyncIterator[Payout]:
    """Every payout and transfer that is not settled, or that was made or changed since then."""
    cursor = None
    while True:
        page = await ports.store.list_payouts(None, cursor=cursor, limit=_PAGE)
        for payout in page.rows:
            is_open = payout.state in _UNFINISHED
            recent = max(payout.created_at, payout.updated_at) >= moment
            if payout.tenant not in leave_out and (is_open or recent):
                yield payout
        if page.cursor is None:
            return
        cursor = page.cursor
