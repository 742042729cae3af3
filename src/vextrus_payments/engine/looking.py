"""Looking a payment up: the only source of evidence, safe to repeat, and never beside a submission that is out."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from vextrus_payments.capabilities import Absence, Completion
from vextrus_payments.engine.context import Context, first_look_s
from vextrus_payments.errors import GatewayError
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.outcomes import Outcome
from vextrus_payments.payment import StatusCall
from vextrus_payments.recording import Seen, plan_snapshot
from vextrus_payments.records import (
    Flag,
    Operation,
    OperationKind,
    OperationState,
    PaymentFacts,
    PaymentState,
    Submission,
    SubmissionState,
)
from vextrus_payments.snapshots import PaymentSnapshot, SnapshotState
from vextrus_payments.states import OPEN_STATES, answered_by_operator, claim_is_over, outcome_of
from vextrus_payments.wire import CallContext

#: Operations whose end a look-up of the payment shows.
_SHOWN = frozenset({OperationKind.EXECUTE, OperationKind.CAPTURE, OperationKind.VOID})
#: States that no look-up of ours changes any more. Late money still comes in by webhook and reconciliation.
_DONE = frozenset({PaymentState.PAID, PaymentState.CLOSED, PaymentState.LAPSED})
#: Pictures on which no session ends: the payer is done and the gateway is at it, or it does not know itself.
SETTLES_NOTHING: Final = frozenset({SnapshotState.APPROVED, SnapshotState.UNRECOGNIZED})


class Looking:
    """The look-up."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def status(self, tenant: str, payment_id: str, wait_s: float | None = None) -> Outcome:
        """See Payments.status. `wait_s`: how long at most; None: the engine's own limit."""
        context = self._context
        facts = await context.payment(tenant, payment_id)
        if is_done(facts):
            return outcome_of(facts)
        gateway = await context.gateway_of(facts)
        if self.in_flight(facts, gateway):
            return outcome_of(facts)
        flight = context.flights.start(
            ("status", tenant, payment_id), lambda: self.look_up(tenant, payment_id, gateway)
        )
        if await context.flights.join(flight, context.limits.wait_s if wait_s is None else wait_s):
            return outcome_of(flight.result())
        return outcome_of(await context.payment(tenant, payment_id))

    def in_flight(self, facts: PaymentFacts, gateway: PaymentGateway) -> bool:
        """True while a submission may still be on the wire: asking beside it is bad manners and proves nothing."""
        return any(
            self._on_the_wire(operation, gateway)
            for operation in facts.operations
            if operation.kind in _SHOWN and operation.state is OperationState.SUBMITTING
        )

    def _on_the_wire(self, operation: Operation, gateway: PaymentGateway) -> bool:
        if self._context.flights.flying((operation.kind.value, operation.tenant, operation.payment_id)):
            return True  # whatever the wall clock says, it is on the wire from here
        terms, now = self._context.terms(gateway.capabilities), self._context.store.now()
        if (
            operation.send_by is not None
            and (operation.send_by - now).total_seconds() > terms.send_window_s + terms.settle_s
        ):
            return False  # claimed under a clock that was ahead: asking is all that is left
        return not claim_is_over(operation, terms.settle_s, now)

    async def look_up(
        self, tenant: str, payment_id: str, gateway: PaymentGateway, *, closed: bool = False
    ) -> PaymentFacts:
        """Ask the gateway about every submission that is watched, the current one first; record what it shows.

        `closed`: about those that are over in our records, too.
        """
        facts = await self._context.payment(tenant, payment_id)
        for submission in watched(facts, closed=closed):
            facts = await self.look_at(facts, submission, gateway, restored=closed) or facts
        return facts

    async def look_at(
        self, facts: PaymentFacts, submission: Submission, gateway: PaymentGateway, *, restored: bool = False
    ) -> PaymentFacts | None:
        """Ask about one submission, and record what it shows. None: no answer came, which proves nothing."""
        seen = await self.ask(facts, submission, gateway)
        if seen is None:
            return None
        return await self.record_seen(
            facts.payment.tenant, facts.payment.payment_id, replace(seen, restored=restored)
        )

    async def is_under_way(self, facts: PaymentFacts, gateway: PaymentGateway) -> bool:
        """Ask about every page that the payer may have completed, and record what they show. True where an answer
        settles nothing: the gateway is at it, or does not know itself."""
        for submission in watched(facts):
            seen = await self.ask(facts, submission, gateway)
            if seen is None:
                continue
            facts = await self.record_seen(facts.payment.tenant, facts.payment.payment_id, seen)
            if seen.snapshot.state in SETTLES_NOTHING:
                return True
        return False

    async def ask(self, facts: PaymentFacts, submission: Submission, gateway: PaymentGateway) -> Seen | None:
        """Ask about one submission that has reached us. None: no answer came."""
        context, payment = self._context, facts.payment
        assert submission.gateway_reference is not None, "only such ones can be asked about"
        asked_at = context.store.now()
        try:
            snapshot = await gateway.get_payment_status(
                StatusCall(
                    gateway_reference=submission.gateway_reference,
                    gateway_order_id=submission.gateway_order_id,
                    amount=payment.amount,
                    intent=payment.intent,
                ),
                context=CallContext(payment_id=payment.payment_id),
            )
        except GatewayError as error:
            context.unanswered(error, payment_id=payment.payment_id, gateway=payment.gateway)
            return None
        return self.seen(submission, snapshot, gateway, asked_at=asked_at, fence=None)

    async def record_seen(self, tenant: str, payment_id: str, seen: Seen) -> PaymentFacts:
        """Write down what a picture shows."""
        context = self._context
        return await context.recorder.record(
            tenant,
            payment_id,
            lambda facts, siblings: plan_snapshot(
                facts, siblings, seen, context.store.now(), context.accounts
            ),
        )

    def seen(
        self,
        submission: Submission,
        snapshot: PaymentSnapshot,
        gateway: PaymentGateway,
        *,
        asked_at: datetime,
        fence: int | None,
    ) -> Seen:
        """The picture with what is needed to weigh it."""
        capabilities = gateway.capabilities
        return Seen(
            submission_no=submission.submission_no,
            snapshot=snapshot,
            asked_at=asked_at,
            settle_s=self._context.terms(capabilities).settle_s,
            absence_is_proof=capabilities.absence is Absence.AUTHORITATIVE_AFTER_LIMIT,
            again_s=first_look_s(capabilities)
            if capabilities.completion is Completion.PAYER_COMPLETES
            else None,
            pays_again=capabilities.pays_again,
            fence=fence,
        )


def is_done(facts: PaymentFacts) -> bool:
    """True when no look-up is due: the payment is over (and nothing is out), or a person has to look."""
    if Flag.QUARANTINED in facts.payment.flags:
        return True
    if facts.payment.state is PaymentState.PAID:
        return True
    return facts.payment.state in _DONE and not open_operations(facts)


def open_operations(facts: PaymentFacts) -> tuple[Operation, ...]:
    """What was let out, has not come back, and would show in a look-up of the payment."""
    return tuple(o for o in facts.operations if o.kind in _SHOWN and o.state in OPEN_STATES)


def watched(facts: PaymentFacts, *, closed: bool = False) -> tuple[Submission, ...]:
    """The submissions to ask about, the current one first.

    Those that reached us and are not over; of those that are over, the ones of which something is still out, or of
    which only an operator has said how it ended: the gateway's word outranks his. `closed`: all that reached us.
    """
    number = facts.payment.submission_no
    doubtful = {o.submission_no for o in open_operations(facts)}
    doubtful |= {
        o.submission_no
        for o in facts.operations
        if o.kind in _SHOWN and answered_by_operator(facts, o.operation_id) is not None
    }
    asked = (
        s
        for s in facts.submissions
        if s.gateway_reference
        and (closed or s.state is not SubmissionState.CLOSED or s.submission_no in doubtful)
    )
    return tuple(sorted(asked, key=lambda s: (s.submission_no != number, -s.submission_no)))
