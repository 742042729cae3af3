"""After the story: nothing fails any more, and what was left open comes to rest, as in a service that runs on.

Nothing is looked up from here: the service's own reconciler and outbox do it, called at moments that are hours apart.
"""

import asyncio
from functools import partial
from typing import Final

from vextrus_payments.app import Payments
from vextrus_payments.errors import PaymentsError
from vextrus_payments.records import Flag, OperationKind, OperationState, OutboxKind, PaymentState
from vextrus_payments.testing.simulation.process import ProcessDiedError, SimProcess, Stage

_ROUNDS_MAX: Final = 60
_PATIENT_ROUNDS: Final = 20
"""After so many, more than a day, what is still unknown stays unknown: a person has to look."""
_PAUSES_S: Final = (1.0, 60.0, 120.0, 300.0, 1200.0, 3600.0, 7200.0, 14400.0)
_PAGE: Final = 1000
_OPEN: Final = (OperationState.SUBMITTING, OperationState.PENDING, OperationState.UNKNOWN)
_WAITING: Final = (PaymentState.CREATED, PaymentState.AWAITING_PAYER)


async def settle(stage: Stage) -> bool:
    """Reconcile and deliver until nothing is open that time or a look-up can close. False: it never came to rest."""
    for number in range(_ROUNDS_MAX):
        await asyncio.sleep(_PAUSES_S[min(number, len(_PAUSES_S) - 1)])
        try:
            process = await stage.process()
            left = await process.call(partial(_round, process))
        except (ProcessDiedError, PaymentsError) as error:
            stage.note(f"round {number}: {type(error).__name__}")
            continue
        stage.note(f"round {number}: {left} left")
        if left == 0 and not stage.network.busy:
            return True
        if left < 0 and number >= _PATIENT_ROUNDS:
            return True
    return False


async def _round(process: SimProcess, payments: Payments) -> int:
    """Do what is due. How many things are still open; negative: all of them wait for a person (refunds whose end
    the gateway cannot tell, payments in quarantine)."""
    await payments.reconcile_due()
    await payments.deliver()
    store = process.store
    assert store is not None, "it has started"
    left = for_people = 0
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
    for kind in (OutboxKind.LEDGER, OutboxKind.EVENT):
        left += (await store.backlog(kind)).waiting
    return left or -for_people
