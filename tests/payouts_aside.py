"""Payouts as a release before schema 5 left them: those under review as settled as any other."""

from dataclasses import replace

from vextrus_payments.payment import Evidence
from vextrus_payments.plans import Committed
from vextrus_payments.records import PAYOUT_CONTRADICTED, OperationState
from vextrus_payments.store import PaymentStore
from vextrus_payments.testing.store_records_payouts import payout_plan, payout_receipt


async def put_payouts_aside(store: PaymentStore) -> None:
    """One that was made as asked, one at another amount, and one of which the gateway tells otherwise."""
    for name in ("good", "odd", "told"):
        plan = payout_plan(store.now(), f"pyo_{name}", state=OperationState.SUCCEEDED)
        receipt = replace(payout_receipt(store.now(), f"TRX-{name}"), mismatched=name == "odd")
        payout = replace(plan.payout, receipts=(receipt,))
        if name == "told":
            told = Evidence(PAYOUT_CONTRADICTED, {"transaction_id": "TRX-told", "amount_minor": 1})
            payout = replace(payout, operation=replace(payout.operation, evidence=(told,)))
        answer = await store.commit_payout(replace(plan, payout=payout, receipts=(receipt,)))
        assert isinstance(answer, Committed)
