"""What a person does about money that left before a restore: he lays the gateways' statements beside the records.

What is unknown he answers; what is in no record he enters by hand, and tells whoever had asked for it. Then he says
that payouts may leave again.
"""

import asyncio
from typing import Final

from vextrus_payments.app import Payments
from vextrus_payments.mode import Mode
from vextrus_payments.payouts import PayoutRequest, TransferRequest
from vextrus_payments.records import OperationState, Payout
from vextrus_payments.testing.simulation.portal import answer_payout_by_books
from vextrus_payments.testing.simulation.process import Stage
from vextrus_payments.testing.simulation.world import Disbursement, PaysOut

_PAGE: Final = 1000
_TELLS_FOR_S: Final = 60.0
"""So long he waits until everybody has heard him: who asks at that moment is refused, for nothing is cleared yet."""


async def compare_payouts(stage: Stage, payments: Payments) -> bool:
    """Compare, then clear. False: the store has not been accepted yet.

    Raises:
        PaymentsError: an answer was refused or not written, or the store failed: he begins anew later.
    """
    if (await payments.epoch()).restored is not None:
        return False
    unsettled = (await payments.store.list_payouts(None, unsettled=True, limit=_PAGE)).rows
    banks = [world for world in stage.worlds if isinstance(world, PaysOut)]
    for payout in unsettled:
        place = (payout.gateway, payout.mode.value)
        bank = next(one for one in stage.worlds if (one.gateway, one.mode) == place)
        if payout.state is OperationState.UNKNOWN and isinstance(bank, PaysOut):
            await answer_payout_by_books(payments, payout, bank)
    for line in [line for bank in banks for line in bank.paid_out()]:
        if not await _is_recorded(payments, line, unsettled):
            _tell(stage, line)
    await asyncio.sleep(_TELLS_FOR_S)
    await payments.clear_payouts()
    stage.restores.compared_at_s = asyncio.get_running_loop().time()
    stage.note("payouts are compared, and may leave again")
    return True


async def _is_recorded(payments: Payments, line: Disbursement, unsettled: tuple[Payout, ...]) -> bool:
    """Whether the store knows of the line, or of what made it: that comes to its end by itself."""
    store, mode = payments.store, Mode(line.mode)
    if await store.receipts(line.tenant, line.gateway, mode, [line.transaction_id]):
        return True
    if line.order_id:
        return await store.get_payout(line.tenant, line.order_id) is not None
    alike = (line.tenant, line.kind, line.amount_minor)
    return any((one.tenant, one.direction, one.amount.amount_minor) == alike for one in unsettled)


def _tell(stage: Stage, line: Disbursement) -> None:
    if line not in stage.restores.unrecorded:
        stage.restores.unrecorded.append(line)
        stage.note(f"on the statement and in no record: {line.kind} {line.transaction_id}")
    stage.finance.enter(line)


def is_unrecorded(stage: Stage, request: PayoutRequest | TransferRequest, tenant: str) -> bool:
    """Whether a person has found it on a statement and in no record. He tells it by its amount: no two are alike."""
    kind = request.direction.value if isinstance(request, TransferRequest) else "payout"
    alike = (tenant, request.gateway, kind, request.amount.amount_minor)
    return any(
        (line.tenant, line.gateway, line.kind, line.amount_minor) == alike
        for line in stage.restores.unrecorded
    )
