"""After the story: nothing fails any more, and what was left open comes to rest, as in a service that runs on.

Nothing is looked up from here: the service's own reconciler and outbox do it, called at moments that are hours apart.
"""

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

from vextrus_payments.app import Payments
from vextrus_payments.errors import PaymentsError
from vextrus_payments.events import EventKind
from vextrus_payments.records import (
    AgreementLife,
    Flag,
    OperationKind,
    OperationState,
    OutboxKind,
    PaymentState,
)
from vextrus_payments.testing.simulation.comparing import compare_payouts
from vextrus_payments.testing.simulation.portal import answer_by_books, answer_payout_by_books
from vextrus_payments.testing.simulation.process import ProcessDiedError, SimProcess, Stage
from vextrus_payments.testing.simulation.world import PaysOut, finds_refunds

_ROUNDS_MAX: Final = 60
_PATIENT_ROUNDS: Final = 20
"""After so many, more than a day, what is still unknown stays unknown: a person has to look."""
_READS_THE_PANEL: Final = 8
"""From this round on, hours after the story, a person answers what no question to the gateway can."""
_READS_LISTS: Final = 9
"""Until this round, eleven hours after the story, something is left to read where a gateway collects by itself."""
_PAUSES_S: Final = (1.0, 60.0, 120.0, 300.0, 1200.0, 3600.0, 7200.0, 14400.0)
_PAGE: Final = 1000
_OPEN: Final = (OperationState.SUBMITTING, OperationState.PENDING, OperationState.UNKNOWN)
_WAITING: Final = (PaymentState.CREATED, PaymentState.AWAITING_PAYER)
_UNDECIDED: Final = (AgreementLife.CREATED, AgreementLife.AWAITING_PAYER)
#: How long before a backup a person who restored one lets the questions begin: clocks may have been wrong.
_BEFORE_BACKUP: Final = timedelta(hours=12)


async def settle(stage: Stage) -> bool:
    """Reconcile and deliver until nothing is open that time or a look-up can close. False: it never came to rest."""
    for number in range(_ROUNDS_MAX):
        await asyncio.sleep(_PAUSES_S[min(number, len(_PAUSES_S) - 1)])
        try:
            process = await stage.process()
            left = await process.call(partial(_round, stage, process, number))
        except (ProcessDiedError, PaymentsError) as error:
            stage.note(f"round {number}: {type(error).__name__}")
            continue
        stage.note(f"round {number}: {left} left")
        if left == 0 and not stage.network.busy:
            return True
        if left < 0 and number >= _PATIENT_ROUNDS:
            return True
    return False


async def _round(stage: Stage, process: SimProcess, number: int, payments: Payments) -> int:
    """Do what is due. How many things are still open; negative: all of them wait for a person (refunds whose end
    the gateway cannot tell, payments in quarantine)."""
    left = for_people = 0
    if not await accept_restored(stage, payments) or not await _are_compared(stage, payments):
        left += 1
    await payments.process_inbox()
    await payments.reconcile_due()
    await _ask_what_people_know(stage, payments)
    if number >= _READS_THE_PANEL:
        await _read_the_panel(stage, payments)
    await payments.deliver()
    left += await _end_what_was_given_twice(stage, payments)
    store = process.store
    assert store is not None, "it has started"
    left += len(stage.to_ask) + stage.deliveries
    inbox = await store.inbox_backlog()
    left += inbox.waiting + inbox.parked
    for agreement in (await store.list_agreements(None, limit=_PAGE)).rows:
        left += agreement.state in _UNDECIDED
        # What was collected and never told is read every few hours: that has to come round once.
        left += agreement.terms is not None and number < _READS_LISTS
        left += sum(operation.state in _OPEN for operation in agreement.operations)
    quarantined: set[tuple[str, str]] = set()
    for state in _WAITING:
        for payment in (await store.list(None, state=state, limit=_PAGE)).rows:
            if Flag.QUARANTINED in payment.flags:
                quarantined.add((payment.tenant, payment.payment_id))
                for_people += 1
            else:
                left += 1
    for operation in (await store.list_operations(None, states=_OPEN, limit=_PAGE)).rows:
        is_unknown = operation.state is OperationState.UNKNOWN
        if is_unknown and operation.kind is OperationKind.REFUND:
            for_people += 1
        elif is_unknown and (operation.tenant, operation.payment_id) in quarantined:
            for_people += 1
        else:
            left += 1
    for payout in (await store.list_payouts(None, unsettled=True, limit=_PAGE)).rows:
        # What is reserved waits for its caller, and what is unknown for a person, who reads the statement in the end.
        left += payout.state in (OperationState.SUBMITTING, OperationState.PENDING)
        for_people += payout.state is OperationState.UNKNOWN
    for kind in (OutboxKind.LEDGER, OutboxKind.EVENT):
        left += (await store.backlog(kind)).waiting
    return left or -for_people


async def accept_restored(stage: Stage, payments: Payments) -> bool:
    """After a restored backup: ask about everything since, as a person would. False: not everything was answered."""
    if (await payments.epoch()).restored is None:
        return True
    loop, taken_at_s = asyncio.get_running_loop(), stage.restores.taken_at_s or 0.0
    since = payments.store.now() - timedelta(seconds=loop.time() - taken_at_s) - _BEFORE_BACKUP
    report = await payments.reconcile_since(since)
    if report.accepted_restored:
        stage.restores.accepted_at_s = loop.time()  # it has waited, and asked a good deal
        stage.note("the restored store is accepted")
    return report.accepted_restored


async def _are_compared(stage: Stage, payments: Payments) -> bool:
    """Where payouts have left, and a backup has taken the store's place: whether somebody has compared them."""
    restores = stage.restores
    has_lost = restores.restored_at_s is not None and restores.compared_at_s is None
    if has_lost and any(world.paid_out() for world in stage.worlds if isinstance(world, PaysOut)):
        return await compare_payouts(stage, payments)
    return True


async def _ask_what_people_know(stage: Stage, payments: Payments) -> None:
    for tenant, payment_id in sorted(stage.to_ask):
        handle = payments.for_tenant(tenant)
        if not (await handle.reconcile(payment_id)).problems:
            stage.to_ask.discard((tenant, payment_id))


async def _end_what_was_given_twice(stage: Stage, payments: Payments) -> int:
    """Somebody heard that a payer has consented a second time, and ends that. How many of those still hold."""
    heard = {
        (taken.entry.tenant, taken.entry.agreement_key)
        for taken in stage.finance.events
        if taken.entry.kind is EventKind.AGREEMENT_DUPLICATE
    }
    holding = 0
    for tenant, key in sorted(heard):
        known = await payments.store.get_agreement(tenant, key)
        if known is not None and known.state is AgreementLife.ACTIVE:
            ended = await payments.for_tenant(tenant).cancel_agreement(key)
            holding += ended.state is AgreementLife.ACTIVE
    return holding


async def _read_the_panel(stage: Stage, payments: Payments) -> None:
    """Refunds and payouts of which a gateway cannot be asked: somebody reads how they ended, and says so."""
    rows = (await payments.store.list_operations(None, states=(OperationState.UNKNOWN,), limit=_PAGE)).rows
    for operation in rows:
        facts = await payments.store.get(operation.tenant, operation.payment_id)
        current = facts.operation(operation.operation_id) if facts is not None else None
        if facts is None or current is None or operation.kind is not OperationKind.REFUND:
            continue
        where = (facts.payment.gateway, facts.payment.mode.value)
        world = next(one for one in stage.worlds if (one.gateway, one.mode) == where)
        if not finds_refunds(world):
            await answer_by_books(payments, facts, current, world)
    for payout in (await payments.store.list_payouts(None, unsettled=True, limit=_PAGE)).rows:
        place = (payout.gateway, payout.mode.value)
        bank = next(one for one in stage.worlds if (one.gateway, one.mode) == place)
        if payout.state is OperationState.UNKNOWN and isinstance(bank, PaysOut):
            await answer_payout_by_books(payments, payout, bank)


def is_sending(store: Path) -> bool:
    """Whether anything that moves money is about to be sent, or is out, in this copy of a store. One that is still
    being made counts as sending: it is nothing to go back to."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'payouts'").fetchone():
            return True
        found = connection.execute(
            "SELECT count(*) FROM operations WHERE state IN ('reserved', 'submitting') AND"
            " json_extract(document, '$.kind') <> 'initialize'"
        ).fetchone()[0]
        leaving = connection.execute(
            "SELECT count(*) FROM payouts WHERE json_extract(document, '$.operation.state') = 'submitting'"
        ).fetchone()[0]
        return bool(found or leaving)
