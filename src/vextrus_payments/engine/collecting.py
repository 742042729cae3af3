"""Subscriptions: what the gateway collects by itself becomes payments of ours, whichever way we learn of it.

Theory of operation. Money moves here without anybody asking for it. We learn of it by a signed webhook, at the door of
either gateway that takes them, or by the list of what was collected under a subscription, which is read when somebody
asks for the subscription and every few hours by the reconciler. Every way comes to the same: the payment is looked up
by the gateway's own handle, and what that shows is recorded by the rules of any picture of the gateway's. The payment's
id and its order id are made from that handle, so that the store lets only the first of two writers in; the other one
finds the payment and has nothing to add.

What the payer agreed to is the amount that the payment should have. At another one it is booked to suspense, and
quarantined. What a signed webhook says and the gateway's own look-up keeps denying is quarantined, without a posting.
"""

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Final

from vextrus_payments.capabilities import Absence
from vextrus_payments.consent_pages import agreement_key_of
from vextrus_payments.engine.agreement_desk import AgreementDesk
from vextrus_payments.engine.applied import Applied, Verdict
from vextrus_payments.engine.context import Context
from vextrus_payments.engine.looking import Looking
from vextrus_payments.engine.pages import Pages
from vextrus_payments.engine.tending import Tending
from vextrus_payments.errors import DeclinedError, GatewayError, StorageError
from vextrus_payments.events import Collected, GatewayEvent, collected_order_id
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import StatusCall
from vextrus_payments.plans import AgreementPlan, Committed, Plan, ReceiptElsewhere
from vextrus_payments.reasons import ReasonCode
from vextrus_payments.recording import (
    Seen,
    collected_facts,
    collected_payment_id,
    plan_collected,
    plan_collected_in_doubt,
)
from vextrus_payments.records import Agreement, AgreementLife, PaymentFacts, ReceiptKind
from vextrus_payments.snapshots import AgreementState, PaymentSnapshot, SnapshotState
from vextrus_payments.subscribing import plan_collection_failed
from vextrus_payments.wire import CallContext

_MONEY: Final = frozenset({SnapshotState.PAID, SnapshotState.REVIEW})
_OPEN: Final = frozenset({AgreementLife.CREATED, AgreementLife.AWAITING_PAYER})


class Collecting:
    """The flow of subscriptions and of what is collected under them."""

    def __init__(self, context: Context, looking: Looking, tending: Tending) -> None:
        self._context = context
        self._looking = looking
        self._tending = tending
        self._desk = AgreementDesk(context)
        self._pages = Pages(context, self._desk)
        self._places: dict[tuple[str, str], asyncio.Semaphore] = {}

    # --- whose it is ------------------------------------------------------------------------------------------------

    async def agreement_of(self, tenant: str, mode: Mode, collected: Collected) -> Agreement | None:
        """The subscription that news names: by its session, else by our id of an asking whose answer never came."""
        named = collected.agreement_reference
        if "\0" in named:
            return None
        store = self._context.store
        found = list(await store.find_agreements(tenant, gateway_reference=named))
        key = agreement_key_of(named)
        if not found and key is not None:
            known = await store.get_agreement(tenant, key)
            found = [] if known is None else [known]
        ours = (a for a in found if a.gateway == collected.gateway and a.mode is mode)
        return next((a for a in ours if a.terms is not None), None)

    async def payment(self, agreement: Agreement, collected: Collected) -> PaymentFacts | None:
        """The payment of ours that was made of this collection, if one was."""
        order_id = collected.gateway_order_id
        if order_id is None:
            return None
        return await self._context.store.get(agreement.tenant, collected_payment_id(agreement, order_id))

    # --- news -------------------------------------------------------------------------------------------------------

    async def news(self, agreement: Agreement, collected: Collected, *, patient: bool) -> Applied:
        """News of the subscription itself is reason to look, and the look decides."""
        gateway = await self._desk.gateway_of(agreement)
        if collected.agreement_reference != agreement.gateway_reference:
            return await self._news_elsewhere(agreement, collected, gateway, patient=patient)
        after, answered = await self._desk.ask(agreement, gateway)
        if not answered:
            return _again("The gateway gave no answer about the subscription.", unanswered=True)
        told = collected.agreement_state
        behind = (told is AgreementState.ACTIVE and after.state in _OPEN) or (
            told is AgreementState.CANCELLED and after.state in (*_OPEN, AgreementLife.ACTIVE)
        )
        if behind and patient:
            return _again("The gateway's look-up does not show it yet.")
        return Applied(verdict=Verdict.DONE, note="What it tells of the subscription was looked up.")

    async def _news_elsewhere(
        self, agreement: Agreement, collected: Collected, gateway: PaymentGateway, *, patient: bool
    ) -> Applied:
        """News of a page whose answer got lost, so that another one was asked for."""
        context = self._context
        try:
            shown = await gateway.look_up_agreement(collected.agreement_reference)
        except GatewayError as error:
            context.unanswered(error, gateway=agreement.gateway)
            return _again("The gateway gave no answer about the subscription.", unanswered=True)
        await self._pages.seen(agreement, shown)
        behind = (
            collected.agreement_state is AgreementState.ACTIVE and shown.state is AgreementState.INITIATED
        )
        if behind and patient:
            return _again("The gateway's look-up does not show it yet.")
        return Applied(verdict=Verdict.DONE, note="It tells of a page that never reached us.")

    async def collect(
        self, agreement: Agreement, collected: Collected, event: GatewayEvent, *, patient: bool
    ) -> Applied:
        """News of a payment that is not in the records: it is looked up, and what is shown is written."""
        told, reference, order_id = event.snapshot, collected.payment_reference, collected.gateway_order_id
        if told is None or reference is None or order_id is None:
            return Applied(verdict=Verdict.DONE, note="It names no payment.")
        if told.state is SnapshotState.DECLINED:
            return await self._failed(agreement, event, told)
        gateway = await self._desk.gateway_of(agreement)
        asked_at = self._context.store.now()
        shown = await self._ask(agreement, reference, order_id, told.amount, gateway)
        if isinstance(shown, GatewayError):
            if _says_there_is_none(shown):
                # Of all others it may answer well, so they need not wait for this one.
                return _again("The gateway knows no such payment, though its signed message names it.")
            return _again("The gateway gave no answer about the payment.", unanswered=True)
        if shown.state in _MONEY:
            shown = replace(shown, payer_account=shown.payer_account or told.payer_account)
            facts = await self._written(agreement, reference, order_id, shown, gateway, asked_at)
            if collected.agreement_reference != agreement.gateway_reference:
                # Its consent's own news may be lost: what collects has to be known, to be read and ended by.
                await self._news_elsewhere(agreement, collected, gateway, patient=patient)
            return Applied(
                verdict=Verdict.DONE,
                note="Collected under a subscription; a look-up shows it.",
                payment_id=facts.payment.payment_id,
            )
        if patient:
            return _again("The gateway's look-up does not show it yet.")
        if told.transaction_id is None:
            return Applied(verdict=Verdict.FOREIGN, note="It cannot be read, and the look-up shows no money.")
        facts = await self._doubted(agreement, reference, order_id, told, gateway)
        return Applied(
            verdict=Verdict.DONE,
            note="The gateway's look-up denies it: quarantined.",
            payment_id=facts.payment.payment_id,
        )

    async def _failed(self, agreement: Agreement, event: GatewayEvent, told: PaymentSnapshot) -> Applied:
        """No money came. The shop is told, once; the gateway may try again by itself."""
        store = self._context.store

        def planned(now: Agreement) -> AgreementPlan:
            return plan_collection_failed(now, event.event_id, told.amount, told.raw_state, store.now())

        # Its id is made from the sender's id of the news: told twice, it is one row.
        if not await store.outbox_rows(agreement.tenant, [row.row_id for row in planned(agreement).outbox]):
            await self._desk.record(agreement, planned)
        return Applied(verdict=Verdict.DONE, note="Nothing was collected; the shop is told.")

    # --- the list ---------------------------------------------------------------------------------------------------

    async def sweep(self, agreement: Agreement) -> Agreement:
        """Read what was collected under a subscription, and write what the records lack. Moves nothing."""
        if agreement.terms is None or agreement.agreement_id is None:
            return agreement
        flights = self._context.flights
        key = ("collected", agreement.tenant, agreement.agreement_key)
        flight = flights.start(key, lambda: self._sweep(agreement))
        await flights.join(flight, None)
        return flight.result()

    async def _sweep(self, agreement: Agreement) -> Agreement:
        await self.read(agreement)
        return agreement

    async def read(self, agreement: Agreement) -> bool:
        """Write what the gateway's list has and the records lack. False: no answer came."""
        context = self._context
        gateway = await self._desk.gateway_of(agreement)
        assert agreement.agreement_id is not None and agreement.gateway_reference is not None
        asked_at = context.store.now()
        try:
            rows = await gateway.list_collections(agreement.agreement_id)
        except GatewayError as error:
            context.unanswered(error, gateway=agreement.gateway)
            return False
        for row in rows:
            order_id = collected_order_id(agreement.gateway_reference, row.gateway_reference)
            if row.state not in _MONEY or row.gateway_order_id not in (None, order_id):
                continue
            facts = await context.store.get(agreement.tenant, collected_payment_id(agreement, order_id))
            if facts is None:
                facts = await self._written(
                    agreement, row.gateway_reference, order_id, row, gateway, asked_at
                )
            elif row.transaction_id and not _is_booked(facts, row.transaction_id, ReceiptKind.PAYMENT):
                # Known from a message that the look-up denied then; nothing else need ever bring it again.
                seen = self._looking.seen(facts.submission, row, gateway, asked_at=asked_at, fence=None)
                facts = await self._looking.record_seen(agreement.tenant, facts.payment.payment_id, seen)
            if row.last_refund and not _is_booked(facts, row.last_refund, ReceiptKind.REFUND):
                # Given back, by an operation of ours or in the portal, and its news got lost.
                payment_id = facts.payment.payment_id
                await self._tending.look(agreement.tenant, payment_id)
                await self._tending.adopt_refunds(agreement.tenant, payment_id)
        return True

    # --- asking and writing -----------------------------------------------------------------------------------------

    async def _ask(
        self,
        agreement: Agreement,
        reference: str,
        order_id: str,
        told: Money | None,
        gateway: PaymentGateway,
    ) -> PaymentSnapshot | GatewayError:
        """How the payment stands, or why no picture came. With as many questions at once as manners allow."""
        key = agreement.tenant, agreement.gateway
        places = self._places.get(key)
        if places is None:
            places = self._places[key] = asyncio.Semaphore(gateway.capabilities.polling.at_once)
        call = StatusCall(
            gateway_reference=reference,
            gateway_order_id=order_id,
            amount=_agreed(agreement, told, gateway),
        )
        async with places:
            try:
                return await gateway.get_payment_status(call, context=CallContext())
            except GatewayError as error:
                self._context.unanswered(error, gateway=agreement.gateway)
                return error

    async def _written(
        self,
        agreement: Agreement,
        reference: str,
        order_id: str,
        shown: PaymentSnapshot,
        gateway: PaymentGateway,
        asked_at: datetime,
    ) -> PaymentFacts:
        """Make the payment of what is shown, unless somebody has: then what is shown is recorded like any picture."""
        context = self._context
        if shown.payer_account is None:
            shown = replace(shown, payer_account=agreement.payer_account)
        agreed = _agreed(agreement, shown.amount, gateway)
        facts = collected_facts(agreement, reference, order_id, agreed, context.store.now())
        capabilities = gateway.capabilities
        seen = Seen(
            submission_no=1,
            snapshot=shown,
            asked_at=asked_at,
            settle_s=context.terms(capabilities).settle_s,
            absence_is_proof=capabilities.absence is Absence.AUTHORITATIVE_AFTER_LIMIT,
        )
        plan = plan_collected(facts, seen, context.store.now(), context.accounts)
        known = await self._committed(facts, plan, shown)
        if known is not None:
            return known
        return await self._looking.record_seen(agreement.tenant, facts.payment.payment_id, seen)

    async def _doubted(
        self,
        agreement: Agreement,
        reference: str,
        order_id: str,
        told: PaymentSnapshot,
        gateway: PaymentGateway,
    ) -> PaymentFacts:
        context = self._context
        agreed = _agreed(agreement, told.amount, gateway)
        facts = collected_facts(agreement, reference, order_id, agreed, context.store.now())
        plan = plan_collected_in_doubt(facts, told.amount, told.transaction_id, context.store.now())
        known = await self._committed(facts, plan, told)
        return (
            known if known is not None else await context.payment(agreement.tenant, facts.payment.payment_id)
        )

    async def _committed(
        self, facts: PaymentFacts, plan: Plan | None, shown: PaymentSnapshot
    ) -> PaymentFacts | None:
        """The facts after the plan was written; None: the payment is there already.

        Raises:
            StorageError: neither is it.
        """
        context, payment = self._context, facts.payment
        if plan is None:
            raise StorageError("There is no money to write.", tenant=payment.tenant)
        answer = await context.store.commit(plan)
        if isinstance(answer, ReceiptElsewhere):
            # Its transaction is booked to another payment: booked once, and a person has to look at this one.
            doubt = plan_collected_in_doubt(
                facts, shown.amount, answer.key.transaction_id, context.store.now()
            )
            answer = answer if doubt is None else await context.store.commit(doubt)
        if isinstance(answer, Committed):
            context.recorder.on_commit()
        written = await context.store.get(payment.tenant, payment.payment_id)
        if written is None:
            raise StorageError(
                "What was collected could not be written; it will be looked up again.",
                tenant=payment.tenant,
                payment_id=payment.payment_id,
            )
        return written if isinstance(answer, Committed) else None


def _agreed(agreement: Agreement, told: Money | None, gateway: PaymentGateway) -> Money:
    """What the payer agreed to for such a payment: the told amount if it is one of those, else the regular one."""
    amounts = gateway.agreed_amounts(agreement.terms or {})
    return told if told is not None and told in amounts else amounts[0]


def _says_there_is_none(error: GatewayError) -> bool:
    return isinstance(error, DeclinedError) and error.reason.code is ReasonCode.INVALID_PAYMENT


def _is_booked(facts: PaymentFacts, transaction_id: str, kind: ReceiptKind) -> bool:
    return any(r.kind is kind and r.transaction_id == transaction_id for r in facts.receipts)


def _again(note: str, *, unanswered: bool = False) -> Applied:
    return Applied(verdict=Verdict.AGAIN, note=note, unanswered=unanswered)
