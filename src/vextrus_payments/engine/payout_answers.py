"""What people decide about payouts: an operator's answer, a withdrawal, a restored store that was compared."""

import json
from collections.abc import Sequence
from typing import Final

from vextrus_payments.engine.context import Context
from vextrus_payments.engine.payout_desk import (
    CLEARED_MARK,
    CLEARED_WITHOUT_MARK,
    MAX_ROUNDS,
    PayoutDesk,
    check_mode,
    outcome_of_either,
    restored_lineage,
)
from vextrus_payments.errors import ConflictError, StaleStateError, StorageError
from vextrus_payments.outcomes import PayoutOutcome, TransferOutcome
from vextrus_payments.paying_out import plan_resolve_payout, plan_withdraw_payout
from vextrus_payments.paying_out.change import receipt_of
from vextrus_payments.plans import Committed, ReceiptElsewhere
from vextrus_payments.records import Payout, Receipt, ReceiptKind
from vextrus_payments.resolving import ResolveRequest

#: They follow another receipt of the same transaction.
_FOLLOWING: Final = (ReceiptKind.REVERSAL, ReceiptKind.CORRECTION)


class PayoutAnswers:
    """The flows of `resolve_payout`, `withdraw_payout` and `clear_payouts`. None of them asks a gateway."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._desk = PayoutDesk(context)

    async def resolve(self, tenant: str, request: ResolveRequest) -> Payout:
        """See Payments.resolve_payout. Asks no gateway: it only writes, and once."""
        context = self._context
        flight = context.flights.start(
            ("payout.resolve", tenant, request), lambda: self._resolve(tenant, request)
        )
        await context.flights.join(flight, None)
        return flight.result()

    async def withdraw(self, tenant: str, operation_id: str) -> PayoutOutcome | TransferOutcome:
        """See Payments.withdraw_payout."""
        context = self._context
        await context.guard(tenant)  # what a restored store calls not sent may have been sent since
        payout_id = (await self._desk.of_operation(tenant, operation_id)).payout_id
        flight = context.flights.start(
            ("payout.withdraw", tenant, payout_id),
            lambda: self._desk.record(
                tenant, payout_id, lambda now: plan_withdraw_payout(now, context.store.now())
            ),
        )
        await context.flights.join(flight, None)
        return outcome_of_either(flight.result())

    async def clear_restored(self) -> None:
        """See Payments.clear_payouts."""
        context = self._context
        await context.guard(None)
        lineage = await restored_lineage(context)
        if lineage is None or context.epochs is None:
            return
        # Theirs nobody could compare: it is said of them once they are no longer left out.
        left_out = (await context.epochs.state()).left_out
        await self._mark(CLEARED_WITHOUT_MARK, json.dumps(left_out))
        await self._mark(CLEARED_MARK, lineage)

    async def _mark(self, name: str, value: str) -> None:
        store = self._context.store
        for _ in range(MAX_ROUNDS):
            known = await store.get_mark(name)
            if known == value or await store.put_mark(name, value, expected=known):
                return
        raise StorageError("The mark of cleared payouts is changed by others all the time.")

    # --- own ---------------------------------------------------------------------------------------------------

    async def _resolve(self, tenant: str, request: ResolveRequest) -> Payout:
        context = self._context
        payout = await self._desk.get(tenant, request.payment_id)
        gateway = await context.gateway(tenant, payout.gateway)
        check_mode(payout, gateway)
        settle_s = context.terms(gateway.capabilities).settle_s
        about = {"tenant": tenant, "gateway": payout.gateway, "operation_id": payout.operation_id}
        taken_back = await self._taken_back(payout, request.transaction_id)
        plan = plan_resolve_payout(
            payout, request, settle_s, context.store.now(), context.accounts, taken_back=taken_back
        )
        if plan is None:
            return payout  # said before, in the same words
        await self._check_kind(payout, request.transaction_id)
        await self._check_free(payout, plan.receipts)
        # Committed once and never planned again: another version is another question.
        answer = await context.store.commit_payout(plan)
        if isinstance(answer, ReceiptElsewhere):
            raise ConflictError(
                "That transaction is booked to something else.",
                code="receipt_elsewhere",
                next_step="Check the transaction id; nothing was written.",
            ).about(**about)
        if not isinstance(answer, Committed):
            raise StaleStateError(
                "The payout changed while the answer was being written; nothing was."
            ).about(**about)
        context.recorder.on_commit()
        return plan.payout

    async def _taken_back(self, payout: Payout, transaction_id: str | None) -> int:
        """How often the transaction was taken back, at whichever payout: its keys stay taken."""
        if transaction_id is None:
            return 0
        kind = receipt_of(payout, transaction_id, payout.amount, self._context.store.now()).kind
        found = await self._receipts_of(payout, transaction_id)
        return max((receipt.no for receipt in found if receipt.reverses is kind), default=0)

    async def _receipts_of(self, payout: Payout, transaction_id: str) -> tuple[Receipt, ...]:
        store = self._context.store
        return await store.receipts(payout.tenant, payout.gateway, payout.mode, [transaction_id])

    async def _check_kind(self, payout: Payout, transaction_id: str | None) -> None:
        """Refuse a transaction that is in the books as something else: a payment, a refund, a move the other way.

        Raises:
            ConflictError: it is. One transaction moved money once, whatever a person has read.
        """
        if transaction_id is None:
            return
        now = self._context.store.now()
        own = receipt_of(payout, transaction_id, payout.amount, now).kind
        found = await self._receipts_of(payout, transaction_id)
        back = {receipt.reverses for receipt in found}
        # News of this very payout may have been booked as money that nobody could match.
        matched = (r.kind for r in found if r.kind is not ReceiptKind.PAYMENT or r.payment_id is not None)
        other = next((kind for kind in matched if kind not in (own, *_FOLLOWING, *back)), None)
        if other is not None:
            raise ConflictError(
                f"That transaction is in the books as a {other.value.replace('_', ' ')}.",
                code="receipt_elsewhere",
                next_step="Check the transaction id; nothing was written.",
            ).about(tenant=payout.tenant, gateway=payout.gateway, operation_id=payout.operation_id)

    async def _check_free(self, payout: Payout, receipts: Sequence[Receipt]) -> None:
        """Refuse to book a transaction for one payout that stands in the books for another.

        Raises:
            ConflictError: it does. What was booked there is taken back first, and stays taken back.
        """
        for receipt in receipts:
            if receipt.kind is ReceiptKind.REVERSAL:
                continue
            same = await self._receipts_of(payout, receipt.transaction_id)
            if receipt.corrects is None:
                same = tuple(r for r in same if r.key != receipt.key)  # that one the store refuses
            for other in {r.operation_id: r for r in same if r.operation_id != receipt.operation_id}.values():
                theirs = await self._desk.booked_to(other.key)
                if theirs is None or all(r.transaction_id != receipt.transaction_id for r in theirs.standing):
                    continue
                raise ConflictError(
                    f"That transaction stands in the books for {theirs.operation_id}.",
                    code="receipt_elsewhere",
                    next_step=f"Answer that one first: vextrus-pay payout resolve {theirs.operation_id}. Nothing was "
                    "written.",
                )
