"""One operation of an agreement is sent: claimed by compare-and-set, sent once, and what came of it written down."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from vextrus_payments.consent_pages import cancel_id, execute_id
from vextrus_payments.consenting import (
    AgreementClaim,
    NoClaim,
    plan_agreed_lost,
    plan_agreed_refused,
    plan_agreed_unsent,
    plan_claim_agreed,
    plan_consent_opened,
)
from vextrus_payments.engine.agreement_desk import MAX_ROUNDS, AgreementDesk
from vextrus_payments.engine.context import AttemptLog, Context, in_doubt
from vextrus_payments.errors import DeclinedError, Effect, InvalidRequestError, StorageError
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.plans import Committed
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.records import Agreement, OperationState
from vextrus_payments.snapshots import AgreementSession, AgreementSnapshot
from vextrus_payments.wire import CallContext, SendBy

Sender = Callable[[Agreement, CallContext], Awaitable[AgreementSession | AgreementSnapshot]]


class AgreementSending:
    """Claims and sends the operations of agreements."""

    def __init__(self, context: Context, desk: AgreementDesk) -> None:
        self._context = context
        self._desk = desk

    async def claim(
        self, agreement: Agreement, operation_id: str, gateway: PaymentGateway
    ) -> tuple[AgreementClaim, SendBy] | NoClaim:
        """Take the right to submit by compare-and-set; wait a while for whoever has it."""
        context, waited_s = self._context, 0.0
        terms = context.terms(gateway.capabilities)
        for _ in range(MAX_ROUNDS):
            now = await self._desk.get(agreement.tenant, agreement.agreement_key)
            deadline = context.deadline()
            plan, answer = plan_claim_agreed(now, operation_id, terms, context.store.now())
            if isinstance(answer, NoClaim):
                asks = operation_id not in (
                    execute_id(now.agreement_key),
                    cancel_id(now.agreement_key),
                )
                if answer.busy_for_s is None and asks and answer.operation.state is OperationState.SUBMITTING:
                    # A process died over it. Nothing holds by it: it is asked for anew.
                    await self.unsent(now, operation_id, answer.operation.fence)
                    continue
                paused_s = await context.pause(answer.busy_for_s, waited_s) if answer.busy_for_s else 0.0
                if not paused_s:
                    return answer
                waited_s += paused_s
                continue
            assert plan is not None, "a claim comes with its plan"
            if isinstance(await context.store.commit_agreement(plan), Committed):
                return answer, deadline
        raise StorageError("The agreement is changed by others all the time.", tenant=agreement.tenant)

    async def submit(
        self, claim: AgreementClaim, deadline: SendBy, send: Sender, gateway: PaymentGateway
    ) -> Exception | None:
        """The one send. Every way out writes something down; what failed is handed back."""
        context, agreement = self._context, claim.agreement
        log = AttemptLog(context, claim)
        asked_at = context.store.now()
        try:
            shown = await send(agreement, replace(log.call(deadline), payment_id=None))
        except Exception as error:  # noqa: BLE001 - whatever an adapter raises, the claim must be settled
            failure = error
        else:
            if isinstance(shown, AgreementSession):
                session = shown
                await self._desk.record(
                    agreement,
                    lambda now: plan_consent_opened(
                        now, claim.operation_id, claim.fence, session, context.store.now()
                    ),
                )
            else:
                await self._desk.record_seen(agreement, shown, gateway, asked_at=asked_at)
                await self.lost(claim)  # if it settled nothing, nobody knows
            await log.close("ok")
            return None
        await self._settle_failure(claim, failure, log)
        await log.close(type(failure).__name__)
        return failure

    async def _settle_failure(self, claim: AgreementClaim, failure: Exception, log: AttemptLog) -> None:
        context = self._context
        if in_doubt(failure, log):
            await self.lost(claim)
        elif isinstance(failure, DeclinedError | InvalidRequestError):
            reason, final = Reason(code=ReasonCode.INVALID_REQUEST), True
            if isinstance(failure, DeclinedError):
                reason, final = failure.reason, failure.final and failure.effect is Effect.REFUSED
            await self._desk.record(
                claim.agreement,
                lambda now: plan_agreed_refused(
                    now, claim.operation_id, claim.fence, reason, final=final, now=context.store.now()
                ),
            )
        else:
            await self.unsent(claim.agreement, claim.operation_id, claim.fence)

    async def lost(self, claim: AgreementClaim) -> None:
        """Nobody can tell what became of what was sent."""
        await self._desk.record(
            claim.agreement,
            lambda now: plan_agreed_lost(now, claim.operation_id, claim.fence, self._context.store.now()),
        )

    async def unsent(self, agreement: Agreement, operation_id: str, fence: int) -> None:
        """Proven without effect: it may be asked for anew."""
        await self._desk.record(
            agreement,
            lambda now: plan_agreed_unsent(now, operation_id, fence, self._context.store.now()),
        )
