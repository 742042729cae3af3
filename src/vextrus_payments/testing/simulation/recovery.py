"""After the story: nothing fails any more, and what was left open comes to rest, as in a service that runs on."""

import asyncio
from typing import Any, Final

from vextrus_payments.app import Payments
from vextrus_payments.errors import PaymentsError
from vextrus_payments.records import OperationKind, OperationState, OutboxKind, PaymentState
from vextrus_payments.testing.simulation.process import ProcessDiedError, SimProcess, Stage

_ROUNDS_MAX: Final = 40
_PAUSES_S: Final = (5.0, 60.0, 300.0, 1200.0, 3600.0, 7200.0, 14400.0)
_PATIENT_ROUNDS: Final = 12
"""After so many, more than a day, what is still unknown stays unknown: a person has to look."""
_OPEN: Final = (OperationState.SUBMITTING, OperationState.PENDING, OperationState.UNKNOWN)
_WAITING: Final = (PaymentState.AWAITING_PAYER,)


async def settle(stage: Stage) -> bool:
    """Drive look-ups and the outbox until nothing is open that a look-up can close. False: it never came to rest."""
    longest_s = max(world.effect_limit_s for world in stage.worlds)
    await asyncio.sleep(1.0)
    for number in range(_ROUNDS_MAX):
        try:
            process = await stage.process()
            left = await process.call(lambda payments, found=process: _round(payments, found))
        except (ProcessDiedError, PaymentsError):
            left = 1
        stage.note(f"round {number}: {left} left")
        if left == 0 and not stage.network.busy:
            return True
        if left < 0 and number >= _PATIENT_ROUNDS:
            return True
        pause_s = _PAUSES_S[min(number, len(_PAUSES_S) - 1)]
        await asyncio.sleep(max(pause_s, longest_s + 30.0 if number == 2 else 0.0))
    return False


async def _round(payments: Payments, process: SimProcess) -> int:
    """Look at everything that is open once. How many things still are; negative: they are refunds whose end the
    gateway cannot tell, and nothing else."""
    store = process.store
    assert store is not None, "it has started"
    left = 0
    unknown = 0
    cursor: str | None = None
    for state in _WAITING:
        page = await store.list(None, state=state, cursor=cursor, limit=1000)
        for payment in page.rows:
            left += 1
            await _quietly(payments.for_tenant(payment.tenant).status(payment.payment_id))
    operations = await store.list_operations(None, states=_OPEN, limit=1000)
    for operation in operations.rows:
        if operation.kind is OperationKind.INITIALIZE:
            continue  # no money is behind a session that reached nobody
        handle = payments.for_tenant(operation.tenant)
        if operation.kind is not OperationKind.REFUND or operation.state is not OperationState.UNKNOWN:
            left += 1
        else:
            unknown += 1
        if operation.kind is OperationKind.REFUND:
            await _quietly(handle.refund_status(operation.operation_id))
        else:
            await _quietly(handle.status(operation.payment_id))
    await payments.deliver()
    for kind in (OutboxKind.LEDGER, OutboxKind.EVENT):
        backlog = await store.backlog(kind)
        left += backlog.waiting
    return left or -unknown


async def _quietly(asked: Any) -> None:
    try:
        await asked
    except PaymentsError:
        return
