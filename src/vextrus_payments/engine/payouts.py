"""Payouts and transfers: reserved, claimed, sent once. What may have left and was not answered is never sent again.

Nobody but its caller lets a payout out: what is reserved and was not sent waits until it is asked for again by the same
operation id, or is withdrawn. So a worker never makes money leave that somebody has long replaced by hand.
"""

import hmac
from dataclasses import replace

from vextrus_payments.capabilities import Feature
from vextrus_payments.engine.context import AttemptLog, Context, in_doubt
from vextrus_payments.engine.payout_desk import (
    MAX_ROUNDS,
    PayoutDesk,
    call_of,
    check_mode,
    outcome_of_either,
    waits_for_comparison,
)
from vextrus_payments.errors import (
    ConflictError,
    DeclinedError,
    Effect,
    GatewayError,
    OperationConflictError,
    OutcomeNotRecordedError,
    ReconciliationRequiredError,
    StorageError,
    ThrottledError,
    UnsupportedOperationError,
)
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.outcomes import PayoutOutcome, Pending, TransferOutcome
from vextrus_payments.paying_out import (
    PayoutClaim,
    on_operators_word,
    payout_outcome_of,
    plan_claim_payout,
    plan_payout,
    plan_payout_abandoned,
    plan_payout_checkpoint,
    plan_payout_declined,
    plan_payout_disputed,
    plan_payout_doubted,
    plan_payout_elsewhere,
    plan_payout_lost,
    plan_payout_seen,
    plan_payout_unsent,
    transfer_outcome_of,
)
from vextrus_payments.payment import Evidence
from vextrus_payments.payouts import (
    GatewayBalance,
    PayoutCall,
    PayoutKind,
    PayoutRequest,
    PayoutSnapshot,
    TransferRequest,
    look_up_of,
)
from vextrus_payments.plans import Committed, PayoutPlan
from vextrus_payments.records import OperationState, Payout
from vextrus_payments.states import OPEN_STATES
from vextrus_payments.wire import CallContext, SendBy


class Payouts:
    """The flows of payouts and transfers."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._desk = PayoutDesk(context)

    # --- the verbs ----------------------------------------------------------------------------------------------

    async def payout(self, tenant: str, request: PayoutRequest, wait_s: float | None = None) -> PayoutOutcome:
        """See Payments.payout."""
        payout, pending = await self._asked(tenant, request, wait_s)
        return pending or payout_outcome_of(payout)

    async def transfer(
        self, tenant: str, request: TransferRequest, wait_s: float | None = None
    ) -> TransferOutcome:
        """See Payments.transfer."""
        payout, pending = await self._asked(tenant, request, wait_s)
        return pending or transfer_outcome_of(payout)

    async def status(self, tenant: str, operation_id: str) -> PayoutOutcome | TransferOutcome:
        """See Payments.payout_status."""
        payout = await self._desk.of_operation(tenant, operation_id)
        return outcome_of_either(await self.look(tenant, payout.payout_id))

    async def balance(self, tenant: str, gateway_name: str) -> GatewayBalance:
        """See Payments.balance."""
        gateway = await self._context.gateway(tenant, gateway_name)
        if not gateway.capabilities.can(Feature.BALANCE):
            raise UnsupportedOperationError(
                f"{gateway_name} does not tell what it holds: it cannot, or no credentials for it are configured."
            ).about(gateway=gateway_name, tenant=tenant)
        return await gateway.get_balance()

    async def look(self, tenant: str, payout_id: str) -> Payout:
        """See Engine.look_payout."""
        context = self._context
        flight = context.flights.start(
            ("payout.look", tenant, payout_id), lambda: self._look(tenant, payout_id)
        )
        await context.flights.join(flight, None)
        return flight.result()

    async def restored(self, tenant: str, payout_id: str) -> Payout:
        """See Engine.look_payout, of a store that was restored from a backup."""
        await self.doubt(tenant, payout_id)
        return await self.look(tenant, payout_id)

    async def doubt(self, tenant: str, payout_id: str) -> Payout:
        """See Engine.doubt_payout. Does nothing over a store that is known to be no restored one."""
        context = self._context
        epochs = context.epochs
        # Where nothing outside the store can tell, whoever asks this way says so.
        if epochs is not None and not await epochs.may_be_restored(tenant):
            return await self._desk.get(tenant, payout_id)
        return await self._desk.record(
            tenant, payout_id, lambda payout: plan_payout_doubted(payout, context.store.now())
        )

    async def seen(
        self, tenant: str, payout_id: str, snapshot: PayoutSnapshot, *, told_once: bool = False
    ) -> Payout:
        """Record what a gateway shows of a payout, whoever asked; see Engine.apply_event."""
        context, other_ids = self._context, set[str]()

        def elsewhere(payout: Payout, other: Payout) -> PayoutPlan | None:
            other_ids.add(other.payout_id)
            return plan_payout_elsewhere(payout, snapshot, other, context.store.now())

        seen = await self._desk.record(
            tenant,
            payout_id,
            lambda payout: plan_payout_seen(payout, snapshot, context.store.now(), context.accounts),
            elsewhere=elsewhere,
            told_once=told_once,
        )
        # The gateway says whose its transaction is: what a person had booked under it on another payout is in doubt.
        for other_id in other_ids:
            await self._desk.record(
                tenant,
                other_id,
                lambda other: plan_payout_disputed(
                    other, snapshot.transaction_id or "", seen, context.store.now()
                ),
            )
        return seen

    # --- asked for ----------------------------------------------------------------------------------------------

    async def _asked(
        self, tenant: str, request: PayoutRequest | TransferRequest, wait_s: float | None
    ) -> tuple[Payout, Pending | None]:
        context = self._context
        gateway = await self._desk.gateway(tenant, request.gateway)
        # Refused before anything is written: what the gateway would never take.
        gateway.check_payout(_call_of_request(request))
        flight = context.flights.start(
            ("payout", tenant, request.operation_id, request.digest()),
            lambda: self._run(tenant, request, gateway),
        )
        limit_s = context.limits.wait_s if wait_s is None else wait_s
        if await context.flights.join(flight, limit_s):
            return flight.result()
        known = await self._known(tenant, request)
        if known is not None and known.state is OperationState.RESERVED:
            # Not sent yet, and about to be: that is no "nothing left, call again".
            return known, Pending(payment_id=known.payout_id, sent=True, operation_id=known.operation_id)
        if known is not None:
            return known, None
        raise ConflictError(
            "This payout is being reserved and is not done yet.",
            code="in_progress",
            next_step="Call again with the same operation id.",
        ).about(tenant=tenant, operation_id=request.operation_id)

    async def _run(
        self, tenant: str, request: PayoutRequest | TransferRequest, gateway: PaymentGateway
    ) -> tuple[Payout, Pending | None]:
        """Reserve, claim and send; where somebody else has, wait for it or look it up."""
        context, waited_s = self._context, 0.0
        await self._guard(tenant)  # before the intent is written
        payout = await self._reserved(tenant, request, gateway)
        check_mode(payout, gateway)
        terms = context.terms(gateway.capabilities)
        for _ in range(MAX_ROUNDS):
            if payout.state is OperationState.RESERVED:
                await self._guard(tenant)
            deadline = context.deadline()
            plan, answer = plan_claim_payout(payout, terms, context.store.now())
            if isinstance(answer, PayoutClaim):
                assert plan is not None, "a claim comes with its plan"
                if isinstance(await context.store.commit_payout(plan), Committed):
                    return await self._submit(answer, gateway, deadline)
            elif answer.busy_for_s is None:
                payout = await self._look(tenant, payout.payout_id)
                if payout.state is not OperationState.RESERVED:
                    return payout, None
                continue  # its process died before anything left
            else:
                paused_s = await context.pause(answer.busy_for_s, waited_s)
                if not paused_s:
                    return payout, None
                waited_s += paused_s
            payout = await self._desk.get(tenant, payout.payout_id)
        raise StorageError("The payout is changed by others all the time.", tenant=tenant)

    async def _reserved(
        self, tenant: str, request: PayoutRequest | TransferRequest, gateway: PaymentGateway
    ) -> Payout:
        """The durable intent of this operation id, made now or before.

        Raises:
            OperationConflictError: the id belongs to another intent.
        """
        context = self._context
        for _ in range(MAX_ROUNDS):
            known = await self._known(tenant, request)
            if known is not None:
                return known
            payout_id = context.ids.new("pyo")
            plan = plan_payout(tenant, payout_id, gateway.mode, request, context.store.now())
            if isinstance(await context.store.commit_payout(plan), Committed):
                return plan.payout
            if await context.store.find_payout(tenant, request.operation_id) is None:
                break  # a payment or an agreement has the id
        raise _conflict(tenant, request)

    async def _known(self, tenant: str, request: PayoutRequest | TransferRequest) -> Payout | None:
        """The payout that this very intent has already.

        Raises:
            OperationConflictError: its operation id belongs to another payout.
        """
        known = await self._context.store.find_payout(tenant, request.operation_id)
        if known is not None and not hmac.compare_digest(known.operation.digest, request.digest()):
            raise _conflict(tenant, request)
        return known

    async def _guard(self, tenant: str) -> None:
        """Before money leaves.

        Raises:
            ReconciliationRequiredError: the store was restored, and was not reconciled since; or it was, and nobody has
                said that the payouts made meanwhile are accounted for, which no gateway can be asked about.
        """
        context = self._context
        await context.guard(tenant)
        if await waits_for_comparison(context, tenant):
            raise ReconciliationRequiredError(
                "The store was restored from a backup, and payouts made since the backup are in no record here: the "
                "gateway cannot be asked for them, so a repeated call could pay twice. Nothing was sent.",
                next_step="Compare with the gateway's statement, enter or replace what is missing, then run "
                "`vextrus-pay payout clear-restored`.",
            )

    # --- the one send -------------------------------------------------------------------------------------------

    async def _submit(
        self, claim: PayoutClaim, gateway: PaymentGateway, deadline: SendBy
    ) -> tuple[Payout, Pending | None]:
        """Every way out writes something down."""
        context, tenant, payout_id = self._context, claim.tenant, claim.payment_id
        log, held_back, let_go = AttemptLog(context, claim), False, False

        async def checkpoint(evidence: Evidence) -> None:
            nonlocal held_back, let_go
            held_back = not let_go  # what fails at the first one keeps the money from leaving
            # Fenced: whoever lost the claim is stopped here, before the request that moves money.
            await self._checkpoint(claim, evidence)
            held_back, let_go = False, True

        try:
            snapshot = await gateway.payout(
                call_of(claim.payout),
                context=replace(log.call(deadline), payment_id=None),
                on_checkpoint=checkpoint,
            )
        except Exception as error:  # noqa: BLE001 - whatever an adapter raises, the claim must be settled
            failure = error
        else:
            await self._answered(claim, snapshot)
            await self._lost(claim)  # if it settled nothing, nobody knows
            await log.close(snapshot.state)
            return await self._desk.get(tenant, payout_id), None
        if held_back:
            await self._unsent(claim)
        elif in_doubt(failure, log):
            await self._lost(claim)
        elif isinstance(failure, DeclinedError) and failure.final:
            reason = failure.reason
            await self._desk.record(
                tenant,
                payout_id,
                lambda now: plan_payout_declined(now, claim.fence, reason, context.store.now()),
            )
        else:
            await self._unsent(claim)
        await log.close(type(failure).__name__)
        if held_back and isinstance(failure, StorageError):
            raise _not_sent_for(failure)
        if not isinstance(failure, GatewayError):
            raise failure
        payout = await self._desk.get(tenant, payout_id)
        if payout.state is not OperationState.RESERVED:
            return payout, None
        context.unanswered(failure, event="submission.not_sent", operation_id=claim.operation_id)
        wait_s = failure.retry_after_s if isinstance(failure, ThrottledError) else None
        pending = Pending(
            payment_id=payout_id, sent=False, retry_after_s=wait_s, operation_id=claim.operation_id
        )
        return payout, pending

    async def _answered(self, claim: PayoutClaim, snapshot: PayoutSnapshot) -> None:
        """Write down the gateway's answer to the money call: of a direct payout the only one that there will be.

        Raises:
            OutcomeNotRecordedError: the store would not take it. It says what a person has to enter.
        """
        failure = None
        try:
            await self.seen(claim.tenant, claim.payment_id, snapshot, told_once=True)
        except OutcomeNotRecordedError as error:
            failure = error
        if failure is not None:
            amount = snapshot.amount or claim.payout.amount
            raise OutcomeNotRecordedError(
                f"The gateway answered {snapshot.raw_state}, under {snapshot.transaction_id}, with {amount}. "
                f"{failure.what}.",
                next_step=f"Never pay it again. Once the store is back, see vextrus-pay payout status "
                f"{claim.operation_id}; where it stays unknown, say made with that transaction and amount "
                "(vextrus-pay payout resolve).",
                gateway=claim.payout.gateway,
                tenant=claim.tenant,
                payment_id=claim.payment_id,
                operation_id=claim.operation_id,
            )

    async def _checkpoint(self, claim: PayoutClaim, evidence: Evidence) -> None:
        store = self._context.store
        for _ in range(MAX_ROUNDS):
            now = await self._desk.get(claim.tenant, claim.payment_id)
            plan = plan_payout_checkpoint(now, claim.fence, evidence, store.now())
            if isinstance(await store.commit_payout(plan), Committed):
                return
        raise StorageError("The payout is changed by others all the time.", tenant=claim.tenant)

    async def _lost(self, claim: PayoutClaim) -> None:
        now = self._context.store.now
        await self._desk.record(
            claim.tenant, claim.payment_id, lambda payout: plan_payout_lost(payout, claim.fence, now())
        )

    async def _unsent(self, claim: PayoutClaim) -> None:
        now = self._context.store.now
        await self._desk.record(
            claim.tenant, claim.payment_id, lambda payout: plan_payout_unsent(payout, claim.fence, now())
        )

    # --- look-up ------------------------------------------------------------------------------------------------

    async def _look(self, tenant: str, payout_id: str) -> Payout:
        """Judge what a dead process left behind, and ask the gateway where it can be asked. Moves nothing."""
        context = self._context
        payout = await self._desk.get(tenant, payout_id)
        doubtful = on_operators_word(payout)
        if payout.state not in OPEN_STATES and not doubtful:
            return payout
        gateway = await context.gateway(tenant, payout.gateway)
        check_mode(payout, gateway)
        settle_s = context.terms(gateway.capabilities).settle_s
        payout = await self._desk.record(
            tenant, payout_id, lambda now: plan_payout_abandoned(now, settle_s, context.store.now())
        )
        known = look_up_of(payout.operation.evidence)
        open_there = doubtful or payout.state in (OperationState.UNKNOWN, OperationState.PENDING)
        if known is None or not open_there or not gateway.capabilities.can(Feature.PAYOUTS):
            return payout  # nothing to ask by, nothing to ask about, or nobody: its credentials are gone
        call = CallContext(operation_id=payout.operation_id)
        try:
            snapshot = await gateway.look_up_payout(call_of(payout), resume=known, context=call)
        except GatewayError as error:
            context.unanswered(error, gateway=payout.gateway)
            return payout
        return payout if snapshot is None else await self.seen(tenant, payout_id, snapshot)


def _conflict(tenant: str, request: PayoutRequest | TransferRequest) -> OperationConflictError:
    return OperationConflictError("This operation id was used before with other parameters.").about(
        tenant=tenant, gateway=request.gateway, operation_id=request.operation_id
    )


def _call_of_request(request: PayoutRequest | TransferRequest) -> PayoutCall:
    if isinstance(request, TransferRequest):
        return PayoutCall(
            kind=PayoutKind.TRANSFER,
            gateway_order_id="pyo_",
            amount=request.amount,
            direction=request.direction,
        )
    return PayoutCall(
        kind=request.kind, gateway_order_id="pyo_", amount=request.amount, receiver=request.receiver
    )


def _not_sent_for(failure: StorageError) -> StorageError:
    """The store failed before the payout left, so nothing did."""
    return StorageError(
        "The store failed before the payout was sent, so it was not.",
        code=failure.code,
        effect=Effect.NONE,
        next_step="Check the store, then call again with the same operation id.",
    )
