"""Bugs on purpose, to prove that the simulator bites: each changes the SDK from outside, for as long as a `with` lasts.

None of them is in the SDK. Each one is a mistake that a payment library has been shipped with, or could be.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from vextrus_payments import consenting, judging, paying_out, signing, states
from vextrus_payments.consent_pages import cancel_id
from vextrus_payments.engine import Engine, epochs, refund_looking
from vextrus_payments.engine.collecting import Collecting
from vextrus_payments.engine.tending import Tending
from vextrus_payments.errors import DeclinedError
from vextrus_payments.gateways.bkash import payouts as bkash_payouts
from vextrus_payments.gateways.bkash import refunds as bkash_refunds
from vextrus_payments.gateways.registry import Registry
from vextrus_payments.outcomes import Pending
from vextrus_payments.plans import Plan
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.recording import answers, drafting, pictures
from vextrus_payments.recording import refunds as refund_plans
from vextrus_payments.records import OperationKind, OperationState
from vextrus_payments.snapshots import AgreementSnapshot, AgreementState, SnapshotState
from vextrus_payments.stores.sqlite import SqliteStore
from vextrus_payments.token_budget import GrantReserved
from vextrus_payments.transport.failures import Trial
from vextrus_payments.webhooks.writer import InboxWriter

Patch = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class PlantedBug:
    """One of them.

    Attributes:
        about: what somebody got wrong.
        plant: makes the mistake while it is entered.
    """

    name: str
    about: str
    plant: Patch


@contextmanager
def _everywhere(original: Any, substitute: Any) -> Iterator[None]:
    """Put a function in the place of another in every module that holds it by any name."""
    _replace(original, substitute)
    try:
        yield
    finally:
        # Also in modules that were imported meanwhile, and took the substitute for it.
        _replace(substitute, original)


def _replace(old: Any, new: Any) -> None:
    for key, module in list(sys.modules.items()):
        if key.partition(".")[0] in ("vextrus_payments", "tests"):
            for name in [name for name, value in vars(module).items() if value is old]:
                setattr(module, name, new)


@contextmanager
def _member(owner: Any, name: str, substitute: Any) -> Iterator[None]:
    original = owner.__dict__[name]
    setattr(owner, name, substitute)
    try:
        yield
    finally:
        setattr(owner, name, original)


def _timeout_not_sent() -> AbstractContextManager[None]:
    original = Trial._in_doubt

    def in_doubt(self: Trial, error: Exception) -> Any:
        return self._not_sent(error) if self.expired else original(self, error)

    return _member(Trial, "_in_doubt", in_doubt)


def _early_look_up_trusted() -> AbstractContextManager[None]:
    return _everywhere(states.claim_is_over, lambda operation, settle_s, at: operation.send_by is not None)


def _executed_after_cancel() -> AbstractContextManager[None]:
    original = Engine.handle_return

    async def handle_return(self: Engine, tenant: str, name: str, params: Any, **options: Any) -> Any:
        result = await original(self, tenant, name, params, **options)
        if isinstance(result.outcome, Pending) and result.payment_id is not None:
            outcome = await self.execute(tenant, result.payment_id)
            return replace(result, outcome=outcome)
        return result

    return _member(Engine, "handle_return", handle_return)


def _late_answer_dropped() -> AbstractContextManager[None]:
    original = pictures.plan_snapshot

    def plan_snapshot(facts: Any, siblings: Any, seen: Any, *rest: Any, **options: Any) -> Plan | None:
        operation_id = states.execute_operation_id(facts.payment.payment_id, seen.submission_no)
        execute = facts.operation(operation_id)
        is_late = execute is not None and execute.state is OperationState.UNKNOWN
        if is_late and seen.snapshot.state is SnapshotState.PAID:
            return None
        return original(facts, siblings, seen, *rest, **options)

    return _everywhere(original, plan_snapshot)


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
        _everywhere(whole, lambda facts: whole(known(facts))),
        _everywhere(one, lambda facts, receipt: one(known(facts), receipt)),
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
        _everywhere(bkash_refunds._ours, ours),
        _everywhere(original, refund_made),
        _everywhere(call_of, lambda *given: replace(call_of(*given), known_refunds=frozenset())),
    ):
        yield


def _expiry_is_decline() -> AbstractContextManager[None]:
    def plan_lost(facts: Any, operation_id: str, fence: int, now: Any, **_: Any) -> Plan | None:
        reason = Reason(code=ReasonCode.PAYMENT_EXPIRED)
        return answers.plan_refused(facts, operation_id, fence, reason, final=True, now=now)

    return _everywhere(answers.plan_lost, plan_lost)


def _second_entry_first() -> AbstractContextManager[None]:
    original = drafting.Draft.plan

    def plan(self: drafting.Draft) -> Plan | None:
        made = original(self)
        if made is None:
            return None
        return replace(made, outbox=tuple(replace(row, seq=1_000_000 - row.seq) for row in made.outbox))

    return _member(drafting.Draft, "plan", plan)


def _amount_unchecked() -> AbstractContextManager[None]:
    original = judging.judge_snapshot

    def judge_snapshot(snapshot: Any, *, amount: Any, **given: Any) -> Any:
        return original(snapshot, amount=snapshot.amount or amount, **given)

    return _everywhere(original, judge_snapshot)


def _tenant_missing() -> AbstractContextManager[None]:
    original = Registry.gateway

    async def gateway(self: Registry, tenant: str, name: str) -> Any:
        first = self.__dict__.setdefault("_first_tenant", {}).setdefault(name, tenant)
        return await original(self, first, name)

    return _member(Registry, "gateway", gateway)


def _slot_unreserved() -> AbstractContextManager[None]:
    async def grant_reserve(self: SqliteStore, digest: str, ask: Any) -> Any:
        return GrantReserved(ask.permit)

    return _member(SqliteStore, "grant_reserve", grant_reserve)


def _dedupe_at_seen() -> AbstractContextManager[None]:
    original = InboxWriter.accept

    async def accept(self: InboxWriter, events: Any) -> tuple[bool, ...]:
        seen = self.__dict__.setdefault("_seen_before", set())
        ids = {(event.tenant, event.gateway, event.event_id) for event in events}
        if ids <= seen:
            return tuple(False for _ in events)
        seen |= ids
        return await original(self, events)

    return _member(InboxWriter, "accept", accept)


def _any_signature() -> AbstractContextManager[None]:
    return _everywhere(signing.is_signed, lambda *_, **__: True)


def _portal_ignored() -> AbstractContextManager[None]:
    async def adopt_refunds(self: Tending, tenant: str, payment_id: str, **_: Any) -> Any:
        return await self._context.payment(tenant, payment_id)

    return _member(Tending, "adopt_refunds", adopt_refunds)


def _restore_unnoticed() -> AbstractContextManager[None]:
    return _everywhere(epochs._why_restored, lambda known, outside: None)


def _accepted_at_once() -> AbstractContextManager[None]:
    async def unsettled_s(self: epochs.EpochGuard, needed_s: float) -> float:
        return 0.0

    return _member(epochs.EpochGuard, "unsettled_s", unsettled_s)


def _lost_consent_denied() -> AbstractContextManager[None]:
    def plan_agreed_lost(agreement: Any, operation_id: str, fence: int, now: Any) -> Any:
        reason = Reason(code=ReasonCode.INVALID_AGREEMENT)
        return consenting.plan_agreed_refused(agreement, operation_id, fence, reason, final=True, now=now)

    return _everywhere(consenting.plan_agreed_lost, plan_agreed_lost)


def _payout_freed_on_unknown() -> AbstractContextManager[None]:
    unsent = paying_out.plan_payout_unsent
    # Another function than the one that takes its place here: that one has places of its own to come back to.
    return _everywhere(paying_out.plan_payout_lost, lambda *given: unsent(*given))


def _payout_checkpoint_ignored() -> AbstractContextManager[None]:
    original = paying_out.plan_payout_abandoned

    def plan_payout_abandoned(payout: Any, settle_s: int, now: Any) -> Any:
        bare = replace(payout, operation=replace(payout.operation, evidence=()))
        return original(bare, settle_s, now)

    return _everywhere(original, plan_payout_abandoned)


def _payout_absence_trusted() -> AbstractContextManager[None]:
    original = bkash_payouts._after

    def after(api: Any, call: Any, payout_id: str) -> Any:
        seen = yield from original(api, call, payout_id)
        if seen is None:
            reason = Reason(code=ReasonCode.UNKNOWN_ERROR)
            raise DeclinedError("It does not show as made.", reason=reason, final=True)
        return seen

    return _everywhere(original, after)


def _list_unread() -> AbstractContextManager[None]:
    async def sweep(self: Collecting, agreement: Any) -> Any:
        return agreement

    return _member(Collecting, "sweep", sweep)


def _end_assumed() -> AbstractContextManager[None]:
    original = consenting.plan_agreed_lost

    def plan_agreed_lost(agreement: Any, operation_id: str, fence: int, now: Any) -> Any:
        if operation_id != cancel_id(agreement.agreement_key):
            return original(agreement, operation_id, fence, now)
        over = AgreementSnapshot(
            state=AgreementState.CANCELLED,
            raw_state="",
            agreement_id=agreement.agreement_id,
            gateway_reference=agreement.gateway_reference,
        )
        return consenting.plan_agreed_seen(agreement, over, now, 0, now, absence_is_proof=False)

    return _everywhere(original, plan_agreed_lost)


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
            PlantedBug(
                "payout_freed_on_unknown",
                "A payout whose answer got lost is sent again when it is asked for again",
                _payout_freed_on_unknown,
            ),
            PlantedBug(
                "payout_checkpoint_ignored",
                "A payout whose process left it counts as not sent, whatever it wrote down before",
                _payout_checkpoint_ignored,
            ),
            PlantedBug(
                "payout_absence_trusted",
                "A payout that the gateway does not show as made counts as declined",
                _payout_absence_trusted,
            ),
            PlantedBug(
                "list_unread", "What was collected is believed to be told, and never read", _list_unread
            ),
            PlantedBug("end_assumed", "A subscription whose end got no answer counts as ended", _end_assumed),
        )
    }
)
