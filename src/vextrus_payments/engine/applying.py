"""What a verified webhook says is news, not proof: it tells which payment to look at, and the look decides.

Theory of operation. The payment is found by what the event names of ours: the gateway order id, else the gateway
reference, within tenant, gateway and mode. What is booked already needs nothing more. Else the submission that the
event names is looked up, and what the gateway shows is recorded by the same plan as any look-up's picture. Nothing is
ever executed here, and an event that tells of no money changes nothing by itself: a decline, an expiry, a cancellation
are what the look-up says they are, and what is paid stays paid.

Only where the look-up cannot show what a signed event tells is the event itself evidence, for its channel is
authenticated:

* other money is shown there (another transaction): the event's is booked beside it, marked as a duplicate;
* the same transaction is booked at another amount: two authenticated sources differ, so the payment is quarantined;
* the submission cannot be looked up (its session never reached us): booked as told, at another amount to suspense;
* no money is shown: the look is repeated until `patient` is over, then the payment is quarantined, without a posting.
"""

import asyncio
from dataclasses import dataclass, replace
from typing import Final

from vextrus_payments.engine.applied import Applied, Verdict
from vextrus_payments.engine.collecting import Collecting
from vextrus_payments.engine.context import Context
from vextrus_payments.engine.looking import Looking
from vextrus_payments.engine.payouts import Payouts
from vextrus_payments.engine.tending import Tending
from vextrus_payments.engine.told import (
    MONEY,
    agrees,
    booked_of,
    is_hold,
    is_over,
    is_recorded,
    is_refunded,
    lets_go,
    may_be_anothers,
    names_something,
    submission_named,
)
from vextrus_payments.events import Collected, GatewayEvent
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.mode import Mode
from vextrus_payments.payouts import PayoutSnapshot, PayoutState
from vextrus_payments.recording import Seen, plan_quarantine
from vextrus_payments.records import Flag, PaymentFacts, Submission
from vextrus_payments.snapshots import PaymentSnapshot, RefundSnapshot, RefundState, SnapshotState
from vextrus_payments.states import payment_receipts

#: So long after an unanswered question no other piece of a gateway's news asks it.
_SILENT_S: Final = 2.0


@dataclass(slots=True)
class _Line:
    """The way to one tenant's gateway."""

    places: asyncio.Semaphore
    silent_until: float = 0.0
    """Monotonic."""


class Applying:
    """The flow of an event."""

    def __init__(
        self,
        context: Context,
        looking: Looking,
        tending: Tending,
        collecting: Collecting,
        payouts: Payouts,
    ) -> None:
        self._context = context
        self._looking = looking
        self._tending = tending
        self._collecting = collecting
        self._payouts = payouts
        self._lines: dict[tuple[str, str], _Line] = {}

    async def apply(
        self, tenant: str, gateway_name: str, mode: Mode, event: GatewayEvent, *, patient: bool
    ) -> Applied:
        """See Engine.apply_event."""
        if event.collected is not None:
            return await self._collected(tenant, mode, event, event.collected, patient)
        if event.refund is not None:
            return await self._refund(tenant, gateway_name, mode, event.refund)
        snapshot = event.snapshot
        if snapshot is None:
            return Applied(verdict=Verdict.DONE, note="It says nothing of a payment.")
        facts = await self._find(tenant, gateway_name, mode, snapshot)
        if facts is None:
            paid_out = await self._paid_out(tenant, gateway_name, mode, snapshot)
            return paid_out or await self._not_found(tenant, gateway_name, snapshot)
        return await self._told(facts, snapshot, patient)

    async def _told(self, facts: PaymentFacts, snapshot: PaymentSnapshot, patient: bool) -> Applied:
        """News of a payment that is in the records."""
        if is_recorded(facts, snapshot) and not lets_go(facts, snapshot):
            return _done(facts, "Recorded already.")
        if snapshot.state not in MONEY and is_over(facts):
            return _done(facts, "The payment is over, and this tells of no money.")
        gateway = await self._context.gateway_of(facts)
        submission = submission_named(facts, snapshot)
        if submission.gateway_reference is None:
            return await self._without_a_look(facts, submission, snapshot, gateway, patient)
        if self._looking.in_flight(facts, gateway):
            return _again(facts, "What was sent to the gateway for it has not come back yet.")
        return await self._looked_at(facts, submission, snapshot, gateway, patient)

    async def _collected(
        self, tenant: str, mode: Mode, event: GatewayEvent, collected: Collected, patient: bool
    ) -> Applied:
        """News of a subscription, or of what was collected under it: see collecting.py."""
        agreement = await self._collecting.agreement_of(tenant, mode, collected)
        if agreement is None:
            return Applied(verdict=Verdict.FOREIGN, note="It names no subscription of ours.")
        facts = await self._collecting.payment(agreement, collected)
        if event.refund is not None:
            if facts is None:
                # Its payment's own news may be on its way, or lost.
                await self._collecting.sweep(agreement)
                facts = await self._collecting.payment(agreement, collected)
            if facts is None:
                return Applied(verdict=Verdict.EARLY, note="It names a payment that is not known here yet.")
            return await self._refund_of(facts, event.refund)
        if event.snapshot is None:
            return await self._collecting.news(agreement, collected, patient=patient)
        if facts is None:
            return await self._collecting.collect(agreement, collected, event, patient=patient)
        if event.snapshot.state is SnapshotState.DECLINED:
            return _done(facts, "It was collected all the same, in another try.")
        if event.snapshot.transaction_id is None and payment_receipts(facts):
            return await self._unreadable(facts)
        told = replace(
            event.snapshot,
            gateway_reference=collected.payment_reference or "",
            gateway_order_id=collected.gateway_order_id,
        )
        return await self._told(facts, told, patient)

    async def _unreadable(self, facts: PaymentFacts) -> Applied:
        """It names what is booked, and cannot be read: reason to look, as where nothing is booked yet."""
        gateway = await self._context.gateway_of(facts)
        seen = await self._ask(facts, facts.submission, gateway)
        if seen is None:
            return replace(_again(facts, "The gateway gave no answer about it."), unanswered=True)
        payment = facts.payment
        facts = await self._looking.record_seen(payment.tenant, payment.payment_id, seen)
        return _done(facts, "It cannot be read; what it names was looked up.")

    # --- whose it is --------------------------------------------------------------------------------------------

    async def _find(
        self, tenant: str, gateway: str, mode: Mode, snapshot: PaymentSnapshot
    ) -> PaymentFacts | None:
        find = self._context.store.find
        found: tuple[PaymentFacts, ...] = ()
        told = (snapshot.gateway_order_id, snapshot.gateway_reference, snapshot.transaction_id)
        if any("\0" in (each or "") for each in told):
            return None  # no id of anybody's; a database may refuse to be asked for it, each time anew
        if snapshot.gateway_order_id:
            found = await find(tenant, gateway=gateway, mode=mode, gateway_order_id=snapshot.gateway_order_id)
        if not found and snapshot.gateway_reference:
            found = await find(
                tenant, gateway=gateway, mode=mode, gateway_reference=snapshot.gateway_reference
            )
        if not found and snapshot.transaction_id and not names_something(snapshot):
            # Without any reference of ours it can still be a receipt that the books have.
            found = await find(tenant, gateway=gateway, mode=mode, transaction_id=snapshot.transaction_id)
        return found[0] if found else None

    async def _paid_out(
        self, tenant: str, gateway: str, mode: Mode, snapshot: PaymentSnapshot
    ) -> Applied | None:
        """News of a payout of ours, which nobody can be asked about: the signed word itself is the evidence.

        None: it names no payout of ours, or does not say that money left.
        """
        order_id = snapshot.gateway_order_id
        if not order_id or "\0" in order_id or snapshot.state is not SnapshotState.PAID:
            return None
        payout = await self._context.store.get_payout(tenant, order_id)
        amount, transaction_id = snapshot.amount, snapshot.transaction_id
        if payout is None or (payout.gateway, payout.mode) != (gateway, mode) or not transaction_id:
            return None
        if amount is None or amount.currency != payout.amount.currency:
            return None
        if payout.receiver is not None and snapshot.payer_account == payout.receiver:
            return None  # money that its receiver paid: it came in, under a number of ours that he knows
        told = PayoutSnapshot(
            state=PayoutState.COMPLETED,
            raw_state=snapshot.raw_state,
            transaction_id=transaction_id,
            amount=amount,
            fee=snapshot.fee,
            occurred_at=snapshot.occurred_at,
        )
        await self._payouts.seen(tenant, payout.payout_id, told)
        return Applied(verdict=Verdict.DONE, note="It tells of a payout, which is recorded.")

    async def _not_found(self, tenant: str, gateway_name: str, snapshot: PaymentSnapshot) -> Applied:
        order_id = snapshot.gateway_order_id
        if order_id:
            rule = (await self._context.gateway(tenant, gateway_name)).capabilities.order_id
            early = rule.fits(order_id)
        else:
            early = bool(snapshot.gateway_reference)
        if early:
            return Applied(verdict=Verdict.EARLY, note="It names a payment that is not known here yet.")
        return Applied(verdict=Verdict.FOREIGN, note="It names no payment of ours.")

    # --- what it changes ----------------------------------------------------------------------------------------

    async def _looked_at(
        self,
        facts: PaymentFacts,
        submission: Submission,
        snapshot: PaymentSnapshot,
        gateway: PaymentGateway,
        patient: bool,
    ) -> Applied:
        flights, payment = self._context.flights, facts.payment
        tenant, payment_id = payment.tenant, payment.payment_id
        # Somebody may be asking just now: his answer is recorded like ours, and is often all there is to know.
        await flights.landed(("status", tenant, payment_id), ("look", tenant, payment_id))
        facts = await self._context.payment(tenant, payment_id)
        if is_recorded(facts, snapshot) and not lets_go(facts, snapshot):
            return _done(facts, "A look-up shows it.")
        flight = flights.start(
            ("event", tenant, payment_id, submission.submission_no),
            lambda: self._ask(facts, submission, gateway),
        )
        await flights.join(flight, None)
        seen = flight.result()
        if seen is None:
            return replace(_again(facts, "The gateway gave no answer about it."), unanswered=True)
        facts = await self._looking.record_seen(tenant, payment_id, seen)
        if snapshot.state not in MONEY:
            return _done(facts, "What it tells of was looked up.")
        if patient and lets_go(facts, snapshot):
            return _again(facts, "The gateway's look-up still calls it risky.")
        if is_recorded(facts, snapshot) or booked_of(facts, snapshot) is not None:
            return await self._as_told(facts, submission, snapshot, gateway)
        if seen.snapshot.state in (SnapshotState.PAID, SnapshotState.REVIEW):
            return await self._as_told(facts, submission, snapshot, gateway)
        if patient:
            return _again(facts, "The gateway's look-up does not show it yet.")
        return await self._quarantined(facts, snapshot, "The gateway's look-up denies it: quarantined.")

    async def _ask(self, facts: PaymentFacts, submission: Submission, gateway: PaymentGateway) -> Seen | None:
        """Ask, with as many at once as the gateway's manners allow. None: no answer, or none a moment ago."""
        key = facts.payment.tenant, gateway.name
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(asyncio.Semaphore(gateway.capabilities.polling.at_once))
        async with line.places:
            if self._context.clock.monotonic() < line.silent_until:
                return None  # those who stood behind whoever got no answer need not find out one by one
            seen = await self._looking.ask(facts, submission, gateway)
            if seen is None:
                line.silent_until = self._context.clock.monotonic() + _SILENT_S
            return seen

    async def _without_a_look(
        self,
        facts: PaymentFacts,
        submission: Submission,
        snapshot: PaymentSnapshot,
        gateway: PaymentGateway,
        patient: bool,
    ) -> Applied:
        """Its session's answer got lost, so there is nothing to ask by: money is booked as told.

        Not where there are tenants: another one on the same merchant may have sent the same number, and its news may
        come to this door. Until somebody has looked that money is nobody's.
        """
        if snapshot.state not in MONEY:
            return _done(facts, "It tells of no money, of a session that never reached us.")
        if may_be_anothers(facts, snapshot):
            if patient:
                return _again(facts, "It names a session that never reached us by a number alone.")
            return await self._quarantined(facts, snapshot, "It may be another tenant's money: quarantined.")
        return await self._as_told(facts, submission, snapshot, gateway)

    async def _as_told(
        self,
        facts: PaymentFacts,
        submission: Submission,
        snapshot: PaymentSnapshot,
        gateway: PaymentGateway,
    ) -> Applied:
        """The event is the evidence: what it tells is recorded by the rules of any picture of the gateway's."""
        payment, booked = facts.payment, booked_of(facts, snapshot)
        if is_recorded(facts, snapshot) or (booked is not None and agrees(facts, booked, snapshot)):
            return _done(facts, "A look-up shows it.")
        if booked is not None:
            return await self._quarantined(facts, snapshot, "Booked otherwise than it tells: quarantined.")
        if is_hold(facts, snapshot):
            # The capture is booked by a transaction of its own: by the hold's it would be the same money once more.
            if any(snapshot.amount in (None, r.amount) for r in payment_receipts(facts)):
                return _done(facts, "It names the hold whose capture is recorded.")
            return await self._quarantined(facts, snapshot, "Captured otherwise than it tells: quarantined.")
        if may_be_anothers(facts, snapshot) and payment_receipts(facts):
            # This payment has its own money, which a look has shown: the news is of other money, for a person.
            return Applied(
                verdict=Verdict.FOREIGN, note="It may be another tenant's money of the same number."
            )
        seen: Seen = self._looking.seen(
            submission, snapshot, gateway, asked_at=self._context.store.now(), fence=None
        )
        after = await self._looking.record_seen(payment.tenant, payment.payment_id, seen)
        if is_recorded(after, snapshot):
            return _done(after, "Recorded on the word of the signed notification.")
        if Flag.QUARANTINED in after.payment.flags:
            return _done(after, "It contradicts the records: quarantined.")
        return await self._quarantined(after, snapshot, "It cannot be booked as told: quarantined.")

    async def _quarantined(self, facts: PaymentFacts, snapshot: PaymentSnapshot, note: str) -> Applied:
        context, payment = self._context, facts.payment
        after = await context.recorder.record(
            payment.tenant,
            payment.payment_id,
            lambda now, _: plan_quarantine(now, context.store.now(), snapshot.transaction_id),
        )
        return _done(after, note)

    # --- refunds ------------------------------------------------------------------------------------------------

    async def _refund(self, tenant: str, gateway: str, mode: Mode, refund: RefundSnapshot) -> Applied:
        """News of a refund: what is open is looked up, and what was made elsewhere is adopted from the gateway's list.

        Never booked on the event's word: which operation it belongs to, only the gateway's list can tell.
        """
        found = await self._context.store.find(
            tenant, gateway=gateway, mode=mode, transaction_id=refund.original_transaction_id
        )
        if not found:
            return Applied(verdict=Verdict.EARLY, note="It names a receipt that is not known here yet.")
        return await self._refund_of(found[0], refund)

    async def _refund_of(self, facts: PaymentFacts, refund: RefundSnapshot) -> Applied:
        tenant, payment_id = facts.payment.tenant, facts.payment.payment_id
        if is_refunded(facts, refund):
            return _done(facts, "Recorded already.")
        facts = await self._tending.look(tenant, payment_id)
        if refund.state is RefundState.COMPLETED and not is_refunded(facts, refund):
            facts = await self._tending.adopt_refunds(tenant, payment_id)
        if refund.state is not RefundState.COMPLETED:
            return _done(facts, "What it tells of was looked up.")
        if is_refunded(facts, refund):
            return _done(facts, "The gateway's list shows it.")
        return Applied(
            verdict=Verdict.EARLY,
            note="The gateway's list does not show that refund yet.",
            payment_id=payment_id,
        )


def _done(facts: PaymentFacts, note: str) -> Applied:
    return Applied(verdict=Verdict.DONE, note=note, payment_id=facts.payment.payment_id)


def _again(facts: PaymentFacts, note: str) -> Applied:
    return Applied(verdict=Verdict.AGAIN, note=note, payment_id=facts.payment.payment_id)
