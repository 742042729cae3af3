"""Bugs on purpose, to prove that the simulator bites: each changes the SDK from outside, for as long as a `with` lasts.

None of them is in the SDK. Each one is a mistake that a payment library has been shipped with, or could be.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from vextrus_payments import consenting, judging, signing, states
from vextrus_payments.engine import Engine, epochs, refund_looking
from vextrus_payments.engine.tending import Tending
from vextrus_payments.gateways.bkash import refunds as bkash_refunds
from vextrus_payments.gateways.registry import Registry
from vextrus_payments.outcomes import Pending
from vextrus_payments.plans import Plan
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.recording import answers, drafting, pictures
from vextrus_payments.recording import refunds as refund_plans
from vextrus_payments.records import OperationKind, OperationState
from vextrus_payments.snapshots import SnapshotState
from vextrus_payments.stores.sqlite import SqliteStore
from vextrus_payments.testing.simulation.planted_leaving import LEAVING
from vextrus_payments.testing.simulation.planting import PlantedBug, everywhere, member
from vextrus_payments.token_budget import GrantReserved
from vextrus_payments.transport.failures import Trial
from vextrus_payments.webhooks.writer import InboxWriter


def _timeout_not_sent() -> AbstractContextManager[None]:
    original = Trial._in_doubt

    def in_doubt(self: Trial, error: Exception) -> Any:
        return self._not_sent(error) if self.expired else original(self, error)

    return member(Trial, "_in_doubt", in_doubt)


def _early_look_up_trusted() -> AbstractContextManager[None]:
    return everywhere(states.claim_is_over, lambda operation, settle_s, at: operation.send_by is not None)


def _executed_after_cancel() -> AbstractContextManager[None]:
    original = Engine.handle_return

    async def handle_return(self: Engine, tenant: str, name: str, params: Any, **options: Any) -> Any:
        result = await original(self, tenant, name, params, **options)
        if isinstance(result.outcome, Pending) and result.payment_id is not None:
            outcome = await self.execute(tenant, result.payment_id)
            return replace(result, outcome=outcome)
        return result

    return member(Engine, "handle_return", handle_return)


def _late_answer_dropped() -> AbstractContextManager[None]:
    original = pictures.plan_snapshot

    def plan_snapshot(facts: Any, siblings: Any, seen: Any, *rest: Any, **options: Any) -> Plan | None:
        operation_id = states.execute_operation_id(facts.payment.payment_id, seen.submission_no)
        execute = facts.operation(operation_id)
        is_late = execute is not None and execute.state is OperationState.UNKNOWN
        if is_late and seen.snapshot.state is SnapshotState.PAID:
            return None
        return original(facts, siblings, seen, *rest, **options)

    return everywhere(original, plan_snapshot)


@contextmanager
def _freed_on_unknown() -> Iterator[None]:
    def known(facts: Any) -> Any:
        kept = tuple(
            one
            for one in facts.operations
            if one.kind is not OperationKind.REFUND or one.state is not OperationState.UNKNOWN
        )
        return replace(facts, operations=kept)

    whole, one = states.reserved_for_refunds, states.refundable_of
    with (
        everywhere(whole, lambda facts: whole(known(facts))),
        everywhere(one, lambda facts, receipt: one(known(facts), receipt)),
    ):
        yield


@contextmanager
def _adopted_twice() -> Iterator[None]:
    def ours(listed: Any, call: Any, baseline: Any) -> Any:
        return next((one for one in listed if one.amount == call.amount), None)

    original = refund_plans.refund_made

    def refund_made(draft: Any, operation: Any, snapshot: Any, *rest: Any) -> None:
        booked = refund_plans._booked(draft.facts, snapshot.transaction_id)
        if booked is None:
            original(draft, operation, snapshot, *rest)
        else:
            draft.succeed(operation, snapshot.transaction_id)

    call_of = refund_looking.refund_call
    with (
        everywhere(bkash_refunds._ours, ours),
        everywhere(original, refund_made),
        everywhere(call_of, lambda *given: replace(call_of(*given), known_refunds=frozenset())),
    ):
        yield


def _expiry_is_decline() -> AbstractContextManager[None]:
    def plan_lost(facts: Any, operation_id: str, fence: int, now: Any, **_: Any) -> Plan | None:
        reason = Reason(code=ReasonCode.PAYMENT_EXPIRED)
        return answers.plan_refused(facts, operation_id, fence, reason, final=True, now=now)

    return everywhere(answers.plan_lost, plan_lost)


def _second_entry_first() -> AbstractContextManager[None]:
    original = drafting.Draft.plan

    def plan(self: drafting.Draft) -> Plan | None:
        made = original(self)
        if made is None:
            return None
        return replace(made, outbox=tuple(replace(row, seq=1_000_000 - row.seq) for row in made.outbox))

    return member(drafting.Draft, "plan", plan)


def _amount_unchecked() -> AbstractContextManager[None]:
    original = judging.judge_snapshot

    def judge_snapshot(snapshot: Any, *, amount: Any, **given: Any) -> Any:
        return original(snapshot, amount=snapshot.amount or amount, **given)

    return everywhere(original, judge_snapshot)


def _tenant_missing() -> AbstractContextManager[None]:
    original = Registry.gateway

    async def gateway(self: Registry, tenant: str, name: str) -> Any:
        first = self.__dict__.setdefault("_first_tenant", {}).setdefault(name, tenant)
        return await original(self, first, name)

    return member(Registry, "gateway", gateway)


def _slot_unreserved() -> AbstractContextManager[None]:
    async def grant_reserve(self: SqliteStore, digest: str, ask: Any) -> Any:
        return GrantReserved(ask.permit)

    return member(SqliteStore, "grant_reserve", grant_reserve)


def _dedupe_at_seen() -> AbstractContextManager[None]:
    original = InboxWriter.accept

    async def accept(self: InboxWriter, events: Any) -> tuple[bool, ...]:
        seen = self.__dict__.setdefault("_seen_before", set())
        ids = {(event.tenant, event.gateway, event.event_id) for event in events}
        if ids <= seen:
            return tuple(False for _ in events)
        seen |= ids
        return await original(self, events)

    return member(InboxWriter, "accept", accept)


def _any_signature() -> AbstractContextManager[None]:
    return everywhere(signing.is_signed, lambda *_, **__: True)


def _portal_ignored() -> AbstractContextManager[None]:
    async def adopt_refunds(self: Tending, tenant: str, payment_id: str, **_: Any) -> Any:
        return await self._context.payment(tenant, payment_id)

    return member(Tending, "adopt_refunds", adopt_refunds)


def _restore_unnoticed() -> AbstractContextManager[None]:
    return everywhere(epochs._why_restored, lambda known, outside: None)


def _accepted_at_once() -> AbstractContextManager[None]:
    async def unsettled_s(self: epochs.EpochGuard, needed_s: float) -> float:
        return 0.0

    return member(epochs.EpochGuard, "unsettled_s", unsettled_s)


def _lost_consent_denied() -> AbstractContextManager[None]:
    def plan_agreed_lost(agreement: Any, operation_id: str, fence: int, now: Any) -> Any:
        reason = Reason(code=ReasonCode.INVALID_AGREEMENT)
        return consenting.plan_agreed_refused(agreement, operation_id, fence, reason, final=True, now=now)

    return everywhere(consenting.plan_agreed_lost, plan_agreed_lost)


#: By name.
PLANTED: Final[Mapping[str, PlantedBug]] = MappingProxyType(
    {
        bug.name: bug
        for bug in (
            PlantedBug(
                "timeout_not_sent", "A time-out is taken for proof that nothing was sent", _timeout_not_sent
            ),
            PlantedBug(
                "early_look_up_trusted",
                "A look-up that shows nothing is believed before the last moment of the gateway",
                _early_look_up_trusted,
            ),
            PlantedBug("executed_after_cancel", "A return that says cancel executes", _executed_after_cancel),
            PlantedBug(
                "late_answer_dropped",
                "A success that is seen after the outcome was called unknown is dropped",
                _late_answer_dropped,
            ),
            PlantedBug(
                "freed_on_unknown",
                "A refund whose end is unknown gives its reservation back",
                _freed_on_unknown,
            ),
            PlantedBug("adopted_twice", "Two operations take the same refund for theirs", _adopted_twice),
            PlantedBug(
                "expiry_is_decline", "An answer that did not come in time is a decline", _expiry_is_decline
            ),
            PlantedBug("second_entry_first", "The newest entry is delivered first", _second_entry_first),
            PlantedBug("amount_unchecked", "Nobody compares the amount", _amount_unchecked),
            PlantedBug(
                "tenant_missing", "The tenant is missing in the key of a ready gateway", _tenant_missing
            ),
            PlantedBug(
                "slot_unreserved",
                "A token is asked for without taking a slot of the budget",
                _slot_unreserved,
            ),
            PlantedBug(
                "dedupe_at_seen",
                "A webhook counts as known from when it was first seen, kept or not",
                _dedupe_at_seen,
            ),
            PlantedBug("any_signature", "Nobody compares a webhook's signature", _any_signature),
            PlantedBug(
                "portal_ignored", "Refunds made in the gateway's portal are not looked for", _portal_ignored
            ),
            PlantedBug(
                "restore_unnoticed", "A restored backup is taken for the real thing", _restore_unnoticed
            ),
            PlantedBug(
                "accepted_at_once",
                "A restored store is accepted while what left before the loss may take effect yet",
                _accepted_at_once,
            ),
            PlantedBug(
                "lost_consent_denied",
                "A consent whose execute got no answer counts as never given",
                _lost_consent_denied,
            ),
            *LEAVING,
        )
    }
)
