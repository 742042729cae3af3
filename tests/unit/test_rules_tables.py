"""The money rules as tables: every state times every piece of evidence, and what follows, in golden/rules/.

A row that is not in a table changes nothing. A change of a row is a change of what happens to somebody's money: read
it as such. `python -m tests.unit.test_rules_tables` writes the tables anew.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plan_world import AMOUNT
from tests.unit.rules_world import (
    AT_WORK,
    NOW,
    OVER,
    SETTLE_S,
    facts,
    operation,
    payment,
    receipt,
    short,
    submission,
    text,
)
from vextrus_payments.errors import PaymentsError
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence, Intent
from vextrus_payments.plans import Claim, ClaimTerms, Plan, Reserved, ReserveFacts, ReserveOperation
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.recording import (
    Seen,
    plan_initialize_abandoned,
    plan_initialize_lost,
    plan_lost,
    plan_quarantine,
    plan_refund_seen,
    plan_refunds_listed,
    plan_refused,
    plan_resolve,
    plan_session_over,
    plan_snapshot,
    plan_unsent,
    plan_withdraw,
)
from vextrus_payments.records import (
    Flag,
    OperationKind,
    OperationState,
    PaymentFacts,
    PaymentState,
    ReceiptKind,
    Resolution,
    ResolutionVerdict,
    SubmissionState,
)
from vextrus_payments.reserving import plan_claim, plan_release, plan_reserve
from vextrus_payments.resolving import ResolveRequest
from vextrus_payments.snapshots import Mismatch, PaymentSnapshot, RefundSnapshot, RefundState, SnapshotState
from vextrus_payments.states import (
    captured,
    has_money,
    hold_operation_id,
    may_have_money,
    outcome_of,
    refund_outcome_of,
    refundable,
    refunded,
    reserved_for_refunds,
)
from vextrus_payments.watching import watch_after

GOLDEN = Path(__file__).resolve().parent / "golden" / "rules"
K, Op, P, S = OperationKind, OperationState, PaymentState, SnapshotState
REASON = Reason(code=ReasonCode.INSUFFICIENT_BALANCE, gateway_code="2023")
TERMS = ClaimTerms(send_window_s=10, settle_s=SETTLE_S, one_refund_at_a_time=True)
QUARANTINED = frozenset({Flag.QUARANTINED})
BY_OPERATOR = frozenset({Flag.BY_OPERATOR})


def picture(
    state: SnapshotState, amount: Money | None = AMOUNT, transaction_id: str | None = "TRX1"
) -> PaymentSnapshot:
    return PaymentSnapshot(
        state=state,
        gateway_reference="GR1",
        raw_state=state.value,
        amount=amount,
        transaction_id=transaction_id,
    )


def seen(shown: PaymentSnapshot, *, proof: bool = True, number: int = 1) -> Seen:
    return Seen(submission_no=number, snapshot=shown, asked_at=NOW, settle_s=SETTLE_S, absence_is_proof=proof)


def said(verdict: ResolutionVerdict, name: str) -> Resolution:
    return Resolution(
        verdict=verdict, actor="a", reason="r", evidence=("e",), reviewed_version=1, at=NOW, operation_id=name
    )


def row(name: str, before: PaymentFacts, ask: Callable[[], Plan | None]) -> Iterator[str]:
    """The row of one question; none where nothing changes."""
    try:
        found = short(before, ask())
    except PaymentsError as error:
        found = f"{type(error).__name__} {error.code}"
    if found:
        yield f"{name} => {found}"


def pictures() -> Iterator[str]:
    """A sale: state of the payment, of its execute (over or still at work), and what the gateway shows."""
    shown = [(state.value, picture(state)) for state in S]
    shown += [
        ("paid another amount", picture(S.PAID, Money("99"))),
        ("paid without an amount", picture(S.PAID, None)),
        ("paid nothing", picture(S.PAID, Money("0"))),
        ("paid without an id", picture(S.PAID, AMOUNT, None)),
        ("paid again", picture(S.PAID, AMOUNT, "TRX2")),
        ("held at another amount", picture(S.AUTHORIZED, Money("99"))),
    ]
    executes = [None, *(operation(K.EXECUTE, state) for state in Op)]
    executes += [
        operation(K.EXECUTE, state, send_by=AT_WORK) for state in (Op.SUBMITTING, Op.UNKNOWN, Op.PENDING)
    ]
    for state, execute, (name, snapshot) in product(P, executes, shown):
        if state in (P.CREATED, P.LAPSED) and execute is not None and execute.state is not Op.RESERVED:
            continue
        before = facts(state, execute)
        at = "none" if execute is None else execute.state.value
        at += " at work" if execute is not None and execute.send_by == AT_WORK else ""
        yield from row(
            f"{state.value}, execute {at}: {name}",
            before,
            partial(plan_snapshot, before, (), seen(snapshot), NOW),
        )


def pictures_unproven() -> Iterator[str]:
    """The same where absence proves nothing, of another submission, and with words of operators."""
    executes = [operation(K.EXECUTE, state) for state in (Op.UNKNOWN, Op.SUCCEEDED)]
    states = (P.AWAITING_PAYER, P.AUTHORIZED, P.PAID)
    words = [None, ResolutionVerdict.MADE, ResolutionVerdict.NOT_MADE]
    for state, execute, word, shown, proof in product(states, executes, words, S, (True, False)):
        resolutions = () if word is None else (said(word, execute.operation_id),)
        receipts = (receipt(flags=BY_OPERATOR),) if state is P.PAID else ()
        before = facts(payment(state, resolutions=resolutions), execute, receipts=receipts)
        yield from row(
            f"{state.value}, execute {execute.state.value}, operator {text(word)}, {shown.value}, proof {proof}",
            before,
            partial(plan_snapshot, before, (), seen(picture(shown, AMOUNT, "TRX7"), proof=proof), NOW),
        )


def other_submissions() -> Iterator[str]:
    """A picture of a submission that was superseded."""
    for state, execute, shown, held in product(P, (None, Op.SUBMITTING, Op.RESERVED), S, (None, "TRX1")):
        before = facts(
            payment(state, submission_no=2),
            None if execute is None else operation(K.EXECUTE, execute),
            submissions=(
                submission(1, state=SubmissionState.SUPERSEDED, held_transaction_id=held),
                submission(2),
            ),
        )
        yield from row(
            f"{state.value}, execute {text(execute)}, held {held}: {shown.value}",
            before,
            partial(plan_snapshot, before, (), seen(picture(shown, AMOUNT, "TRX2")), NOW),
        )


def siblings() -> Iterator[str]:
    """Money that comes in beside other payments of the reference: late, duplicate, both or neither."""
    for state, theirs, mode, repeat, shown in product(
        (P.AWAITING_PAYER, P.CLOSED, P.PAID), (None, *P), Mode, (True, False), (S.PAID, S.AUTHORIZED)
    ):
        before = facts(payment(state, allow_repeat=repeat), operation(K.EXECUTE, Op.UNKNOWN))
        other = () if theirs is None else (facts(payment(theirs, payment_id="pay_2", mode=mode, version=3)),)
        plan = plan_snapshot(before, other, seen(picture(shown, AMOUNT, "TRX2")), NOW)
        if plan is not None:
            yield (
                f"{state.value}, sibling {text(theirs)} {mode.value}, repeat {repeat}: {shown.value} => "
                f"{text(plan.payment.flags)} {[e.kind.value for e in plan.events]}"
                f" {[text(r.flags) for r in plan.receipts]} guards {text(plan.guards)} {plan.whole_reference}"
            )


def holds() -> Iterator[str]:
    """A hold: its capture and void, what the gateway shows, what an operator said."""
    for kind, state, send_by, shown, word, proof in product(
        (K.CAPTURE, K.VOID),
        Op,
        (OVER, AT_WORK),
        (S.AUTHORIZED, S.PAID, S.VOIDED, S.CANCELLED, S.EXPIRED, S.DECLINED, S.APPROVED, S.REVIEW),
        (None, ResolutionVerdict.NOT_MADE),
        (True, False),
    ):
        if (send_by is AT_WORK and state not in (Op.SUBMITTING, Op.UNKNOWN)) or (
            word and state is not Op.DECLINED
        ):
            continue
        one = operation(kind, state, send_by=send_by)
        resolutions = () if word is None else (said(word, one.operation_id),)
        held = payment(P.AUTHORIZED, resolutions=resolutions, intent=Intent.AUTHORIZATION)
        before = facts(held, operation(K.EXECUTE, Op.SUCCEEDED), one)
        yield from row(
            f"{kind.value} {state.value} {'over' if send_by is OVER else 'at work'},"
            f" operator {text(word)}: {shown.value}, proof {proof}",
            before,
            partial(plan_snapshot, before, (), seen(picture(shown), proof=proof), NOW),
        )


def after_holds() -> Iterator[str]:
    """A hold that was captured, on an operator's word or not, or let go: what is shown then."""
    for state, kind, at, shown, word, asked_s, second in product(
        (P.PAID, P.CLOSED),
        (K.CAPTURE, K.VOID),
        (Op.SUCCEEDED, Op.DECLINED),
        (S.AUTHORIZED, S.VOIDED, S.EXPIRED, S.INITIATED, S.PAID),
        (True, False),
        (0, 1),
        (None, K.CAPTURE, K.VOID),
    ):
        updated = NOW - timedelta(seconds=asked_s)
        receipts = (receipt(flags=BY_OPERATOR if word else frozenset()),) if state is P.PAID else ()
        other = None if second is None else operation(second, Op.UNKNOWN, f"{second.value}/pay_1/2")
        before = facts(
            payment(state, updated_at=updated),
            operation(K.EXECUTE, Op.SUCCEEDED),
            operation(kind, at),
            other,
            receipts=receipts,
            submissions=(submission(held_transaction_id="TRX1"),),
        )
        yield from row(
            f"{state.value} {asked_s} s ago, {kind.value} {at.value}, second {text(second)},"
            f" operator {word}: {shown.value}",
            before,
            partial(
                plan_snapshot,
                before,
                (),
                seen(picture(shown, Money("90") if shown is S.PAID else AMOUNT)),
                NOW,
            ),
        )


#: In which state of the payment an operation of a kind is submitted; AWAITING_PAYER for the others.
_STATE_OF = {
    K.INITIALIZE: P.CREATED,
    K.CAPTURE: P.AUTHORIZED,
    K.VOID: P.AUTHORIZED,
    K.REFUND: P.PAID,
}


def answers() -> Iterator[str]:
    """No answer, a no, proof that nothing left, the claim given back: under the latest fence and others."""
    evidence = (Evidence("baseline"),)
    for kind, state, fence, baseline in product(K, Op, (2, 1), ((), evidence)):
        one = operation(kind, state, fence=2, send_by=OVER, evidence=baseline)
        of = _STATE_OF.get(kind, P.AWAITING_PAYER)
        before = facts(of, one)
        name = f"{kind.value} {state.value}, fence {fence}, checkpoint {bool(baseline)}"
        asked = {
            "lost": partial(plan_lost, before, one.operation_id, fence, NOW),
            "lost, holder": partial(plan_lost, before, one.operation_id, fence, NOW, by_holder=True),
            "no": partial(plan_refused, before, one.operation_id, fence, REASON, final=True, now=NOW),
            "not yet": partial(plan_refused, before, one.operation_id, fence, REASON, final=False, now=NOW),
            "unsent": partial(plan_unsent, before, one.operation_id, fence, NOW),
            "unsent, holder": partial(plan_unsent, before, one.operation_id, fence, NOW, by_holder=True),
            "released": partial(plan_release, before, one.operation_id, fence, NOW),
            "initialize lost": partial(plan_initialize_lost, before, one.operation_id, fence, "INV-1-2", NOW),
            "abandoned": partial(plan_initialize_abandoned, before, NOW),
            "withdrawn": partial(plan_withdraw, before, one.operation_id, NOW),
            "elsewhere": partial(plan_quarantine, before, NOW, "TRX9"),
        }
        for question, ask in asked.items():
            yield from row(f"{name}: {question}", before, ask)


def sessions_over() -> Iterator[str]:
    """The end of a session's time, to the second."""
    for state, execute, flags, early, lapse in product(
        P, (None, *Op), (frozenset(), QUARANTINED), (True, False), (True, False)
    ):
        before = facts(
            payment(state, flags=flags), None if execute is None else operation(K.EXECUTE, execute)
        )
        over_at = NOW + timedelta(microseconds=1) if early else NOW
        yield from row(
            f"{state.value}, execute {text(execute)}, {text(flags)}, early {early}, lapse {lapse}",
            before,
            partial(plan_session_over, before, over_at, NOW, lapse=lapse),
        )


def _refund(state: RefundState, transaction_id: str, amount: Money | None, **more: Any) -> RefundSnapshot:
    return RefundSnapshot(
        state=state,
        transaction_id=transaction_id,
        original_transaction_id="TRX1",
        amount=amount,
        raw_state=state.value,
        **more,
    )


def refunds() -> Iterator[str]:
    """What the gateway shows of our refund, whatever was believed of it and whatever else went back."""
    ids = {
        "none": (),
        "ours": (receipt("RF1", ReceiptKind.REFUND, operation_id="refund/pay_1/1"),),
        "another's": (receipt("RF1", ReceiptKind.REFUND, operation_id="r-2"),),
        "nobody's": (receipt("RF1", ReceiptKind.REFUND),),
        "ours before": (receipt("RF0", ReceiptKind.REFUND, operation_id="refund/pay_1/1"),),
        "an operator's": (
            receipt("RF0", ReceiptKind.REFUND, operation_id="refund/pay_1/1", flags=BY_OPERATOR),
        ),
        "taken back": (
            receipt("RF1", ReceiptKind.REFUND, operation_id="refund/pay_1/1"),
            receipt("RF1", ReceiptKind.REVERSAL, reverses=ReceiptKind.REFUND),
        ),
        "sixty": (receipt("RF5", ReceiptKind.REFUND, amount=Money("60")),),
        "more than sixty": (receipt("RF5", ReceiptKind.REFUND, amount=Money("60.01")),),
    }
    amounts = (Money("40"), None, Money("41"), Money("0"))
    for state, (booked, receipts), shown, amount in product(Op, ids.items(), RefundState, amounts):
        if shown is not RefundState.COMPLETED and (booked not in ("none", "ours") or amount != Money("40")):
            continue
        before = facts(P.PAID, operation(K.REFUND, state), receipts=(receipt(), *receipts))
        yield from row(
            f"{state.value}, booked {booked}: {shown.value} {text(amount)}",
            before,
            partial(plan_refund_seen, before, "refund/pay_1/1", _refund(shown, "RF1", amount), NOW),
        )


def refunds_beside() -> Iterator[str]:
    """Of two refunds: fences, another amount, an operator's word, and what others were promised."""
    for state, other, amount, word, checkpoint in product(
        (Op.UNKNOWN, Op.DECLINED, Op.SUCCEEDED),
        (Op.RESERVED, Op.UNKNOWN, Op.DECLINED),
        (Money("40"), Money("60"), Money("60.01")),
        (None, ResolutionVerdict.MADE, ResolutionVerdict.NOT_MADE, ResolutionVerdict.CLEARED),
        (True, False),
    ):
        if (not checkpoint and word is None) or (
            word is ResolutionVerdict.CLEARED and state is not Op.DECLINED
        ):
            continue
        if amount != Money("40") and (word is not None or other is Op.DECLINED):
            continue
        one = operation(K.REFUND, state, evidence=(Evidence("baseline"),) if checkpoint else ())
        resolutions = () if word is None else (said(word, one.operation_id),)
        before = facts(
            payment(P.PAID, resolutions=resolutions),
            one,
            operation(K.REFUND, other, "r-2", amount=amount),
            receipts=(receipt(flags=frozenset({Flag.LATE, Flag.BY_OPERATOR})), *_theirs(word)),
        )
        name = f"{state.value} beside {other.value} {amount}, operator {text(word)}, checkpoint {checkpoint}"
        completed = _refund(RefundState.COMPLETED, "RF1", Money("40"))
        odd = _refund(
            RefundState.UNRECOGNIZED,
            "RF1",
            Money("39"),
            mismatches=frozenset({Mismatch.AMOUNT}),
            reported=RefundState.COMPLETED,
        )
        no = _refund(RefundState.DECLINED, "RF1", None)
        asked = {
            "completed": partial(plan_refund_seen, before, one.operation_id, completed, NOW),
            "at 39": partial(plan_refund_seen, before, one.operation_id, odd, NOW),
            "at nothing": partial(
                plan_refund_seen, before, one.operation_id, replace(odd, amount=Money("0")), NOW
            ),
            "at no amount": partial(
                plan_refund_seen, before, one.operation_id, replace(odd, amount=None), NOW
            ),
            "pending elsewhere": partial(
                plan_refund_seen, before, one.operation_id, replace(odd, reported=RefundState.PENDING), NOW
            ),
            "no, fence 2": partial(plan_refund_seen, before, one.operation_id, no, NOW, fence=2),
            "no, fence 1": partial(plan_refund_seen, before, one.operation_id, no, NOW, fence=1),
        }
        for question, ask in asked.items():
            yield from row(f"{name}: {question}", before, ask)


def _theirs(word: ResolutionVerdict | None) -> tuple[Any, ...]:
    if word is not ResolutionVerdict.MADE:
        return ()
    return (receipt("RF9", ReceiptKind.REFUND, operation_id="refund/pay_1/1", flags=BY_OPERATOR),)


def lists() -> Iterator[str]:
    """The gateway's list of refunds, beside one refund of ours and another that is about to leave."""
    forty = _refund(RefundState.COMPLETED, "L1", Money("40"))
    found = {
        "40": (forty,),
        "40 40": (forty, replace(forty, transaction_id="L2")),
        "30": (replace(forty, amount=Money("30")),),
        "60": (replace(forty, amount=Money("60")),),
        "60.01": (replace(forty, amount=Money("60.01")),),
        "101": (replace(forty, amount=Money("101")),),
        "pending": (replace(forty, state=RefundState.PENDING),),
        "no id": (replace(forty, transaction_id=""),),
        "no amount": (replace(forty, amount=None),),
        "nothing": (replace(forty, amount=Money("0")),),
        "dollars": (replace(forty, amount=Money("40", "USD")),),
        "of another": (replace(forty, original_transaction_id="TRX8"),),
        "RF9": (replace(forty, transaction_id="RF9"),),
        "RF9 at 39": (replace(forty, transaction_id="RF9", amount=Money("39")),),
        "RF9 and 40": (replace(forty, transaction_id="RF9"), forty),
        "empty": (),
    }
    for state, word, (name, listed), leaving, restored in product(
        Op,
        (None, ResolutionVerdict.MADE, ResolutionVerdict.NOT_MADE),
        found.items(),
        (None, 2, 1),
        (False, True),
    ):
        if (restored and leaving is not None) or (
            word is not None and state not in (Op.DECLINED, Op.SUCCEEDED)
        ):
            continue
        one = operation(K.REFUND, state)
        going = operation(K.REFUND, Op.SUBMITTING, "r-2", amount=Money("60"), fence=2)
        resolutions = () if word is None else (said(word, one.operation_id),)
        before = facts(
            payment(P.PAID, resolutions=resolutions),
            one,
            None if leaving is None else going,
            receipts=(receipt(), *_theirs(word)),
        )
        yield from row(
            f"refund {state.value}, operator {text(word)}, leaving {leaving}, restored {restored}: {name}",
            before,
            partial(
                plan_refunds_listed,
                before,
                listed,
                NOW,
                leaving=None if leaving is None else ("r-2", leaving),
                restored=restored,
            ),
        )


def resolutions() -> Iterator[str]:
    """An operator's answers."""
    for kind, state, send_by, of, intent, verdict in product(
        K,
        (Op.RESERVED, Op.SUBMITTING, Op.PENDING, Op.UNKNOWN, Op.SUCCEEDED, Op.DECLINED),
        (OVER, AT_WORK),
        P,
        Intent,
        ResolutionVerdict,
    ):
        if kind in (K.AGREEMENT, K.PAYOUT, K.INITIALIZE) and (
            of is not P.AWAITING_PAYER or send_by is AT_WORK
        ):
            continue
        if send_by is AT_WORK and state is not Op.SUBMITTING:
            continue
        if intent is not Intent.SALE and kind is not K.EXECUTE:
            continue
        if of in (P.CREATED, P.LAPSED) and (kind is not K.EXECUTE or state is not Op.UNKNOWN):
            continue
        if state not in (Op.SUBMITTING, Op.UNKNOWN) and of is not P.AWAITING_PAYER:
            continue
        cleared = verdict is ResolutionVerdict.CLEARED
        if cleared and (kind is not K.EXECUTE or intent is not Intent.SALE or of is P.CREATED):
            continue
        one = operation(kind, state, send_by=send_by)
        booked = (receipt("TRX0"),) if of is P.PAID else ()
        before = facts(
            payment(of, intent=intent, flags=QUARANTINED if cleared else frozenset()), one, receipts=booked
        )
        made = verdict is ResolutionVerdict.MADE
        for transaction_id, amount in (("TRX5", AMOUNT), ("TRX5", Money("40")), (None, None)):
            if not made and transaction_id:
                continue
            wanted = ResolveRequest(
                payment_id="pay_1",
                verdict=verdict,
                actor="op",
                reason="seen at the desk",
                evidence=("ticket 1",),
                reviewed_version=7,
                operation_id=None if cleared else one.operation_id,
                transaction_id=transaction_id,
                amount=amount,
            )
            yield from row(
                f"{of.value} {intent.value}, {kind.value} {state.value} {'over' if send_by is OVER else 'at work'}:"
                f" {verdict.value} {transaction_id} {text(amount)}",
                before,
                partial(plan_resolve, before, (), wanted, SETTLE_S, NOW),
            )


def claims() -> Iterator[str]:
    """Claims: of every kind in every state, beside others."""
    for kind, state, send_by, of, flags in product(
        (K.INITIALIZE, K.EXECUTE, K.CAPTURE, K.VOID, K.REFUND),
        Op,
        (OVER, AT_WORK, None),
        P,
        (frozenset(), QUARANTINED),
    ):
        if send_by is not OVER and (state not in (Op.SUBMITTING, Op.UNKNOWN) or of is not P.AUTHORIZED):
            continue
        before = facts(payment(of, flags=flags), operation(kind, state, send_by=send_by))
        plan, answer = plan_claim(before, (), f"{kind.value}/pay_1/1", TERMS, NOW)
        if of in (P.CREATED, P.LAPSED) and kind not in (K.EXECUTE, K.INITIALIZE):
            continue
        name = f"{of.value} {text(flags)}, {kind.value} {state.value} {text(send_by)}"
        yield f"{name} => {_answer(answer)} {short(before, plan)}"


def claims_beside() -> Iterator[str]:
    """Claims beside another operation of the payment, and beside other payments of the reference."""
    for kind, other, state, one_at_a_time in product(
        (K.EXECUTE, K.CAPTURE, K.REFUND), (K.VOID, K.REFUND, K.EXECUTE), Op, (True, False)
    ):
        of = P.AWAITING_PAYER if kind is K.EXECUTE else P.AUTHORIZED if kind is K.CAPTURE else P.PAID
        second = operation(other, state, f"{other.value}/pay_1/2", send_by=AT_WORK)
        before = facts(of, operation(kind, Op.RESERVED), second)
        terms = replace(TERMS, one_refund_at_a_time=one_at_a_time)
        _, answer = plan_claim(before, (), f"{kind.value}/pay_1/1", terms, NOW)
        yield f"{kind.value} beside {other.value} {state.value}, one {one_at_a_time} => {_answer(answer)}"
    for kind, theirs, execute, flags, mode, repeat in product(
        (K.EXECUTE, K.CAPTURE, K.VOID, K.INITIALIZE),
        P,
        (Op.RESERVED, Op.UNKNOWN),
        (frozenset(), QUARANTINED),
        Mode,
        (True, False),
    ):
        if (repeat or mode is not Mode.LIVE) and theirs is not P.PAID:
            continue
        sibling = facts(
            payment(theirs, payment_id="pay_2", mode=mode, flags=flags),
            operation(K.EXECUTE, execute, "execute/pay_2/1"),
        )
        of = _STATE_OF.get(kind, P.AWAITING_PAYER)
        before = facts(payment(of, allow_repeat=repeat), operation(kind, Op.RESERVED))
        _, answer = plan_claim(before, (sibling,), f"{kind.value}/pay_1/1", TERMS, NOW)
        yield (
            f"{kind.value} beside {theirs.value}, execute {execute.value}, {text(flags)}, {mode.value},"
            f" repeat {repeat} => {_answer(answer)}"
        )


def _answer(answer: Any) -> str:
    name = type(answer).__name__
    if isinstance(answer, Claim):
        return f"{name} {answer.operation_id} {answer.payment_id} {answer.fence} {text(answer.send_by)}"
    left = ("why", "field", "paid", "payment_id", "retry_after_s")
    return " ".join(
        [name, *(f"{each}={getattr(answer, each)}" for each in left[1:] if hasattr(answer, each))]
    )


def reservations() -> Iterator[str]:
    """Reservations of an operation: in every state, and beside other captures, voids and refunds."""
    for kind, of, flags, other, at in product(
        (K.EXECUTE, K.CAPTURE, K.VOID, K.REFUND), P, (frozenset(), QUARANTINED), (K.CAPTURE, K.REFUND), Op
    ):
        if (flags or of not in (P.PAID, P.AUTHORIZED)) and at is not Op.RESERVED:
            continue
        if of is P.AUTHORIZED and kind is K.REFUND and at is not Op.RESERVED:
            continue
        before = facts(payment(of, flags=flags), operation(other, at, f"{other.value}/pay_1/9"))
        for amount in (
            None,
            Money("60"),
            Money("60.01"),
            Money("0"),
            Money("100"),
            Money("100.01"),
            Money("1", "USD"),
        ):
            if amount is not None and (kind is not K.REFUND or of is not P.PAID or flags):
                continue
            for original in (None, "TRX1", "TRX8"):
                if original is not None and (kind is not K.REFUND or amount is not None):
                    continue
                wanted = ReserveOperation(
                    tenant="acme",
                    operation_id="new",
                    kind=kind,
                    payment_id="pay_1",
                    digest="d",
                    amount=amount,
                    original_transaction_id=original,
                )
                _, answer = plan_reserve(ReserveFacts(None, before, (), 1), wanted, NOW)
                found = text(answer.operation) if isinstance(answer, Reserved) else _answer(answer)
                yield (
                    f"{of.value} {text(flags)}, beside {other.value} {at.value}:"
                    f" {kind.value} {text(amount)} of {original} => {found}"
                )


def outcomes() -> Iterator[str]:
    """What callers are told, and the sums."""
    resolved = (said(ResolutionVerdict.NOT_MADE, "capture/pay_1/1"),)
    for of, flags, kind, state, reason in product(
        P,
        (frozenset(), QUARANTINED, frozenset({Flag.LATE}), frozenset({Flag.ON_HOLD})),
        (None, K.EXECUTE, K.CAPTURE, K.VOID, K.REFUND),
        Op,
        (None, REASON),
    ):
        if (kind is None and state is not Op.RESERVED) or (reason and of not in (P.CLOSED, P.LAPSED)):
            continue
        if (reason and state is not Op.RESERVED) or (
            of is P.CREATED and state not in (Op.RESERVED, Op.UNKNOWN)
        ):
            continue
        if flags and state not in (Op.RESERVED, Op.UNKNOWN):
            continue
        one = None if kind is None else operation(kind, state, transaction_id="RF1")
        first = receipt(payer_account="01700000000", occurred_at=NOW, fee=Money("1"), flags=frozenset())
        found = facts(
            payment(of, flags=flags, closed_reason=reason, resolutions=resolved),
            one,
            receipts=(first,) if of is P.PAID else (),
        )
        told = text(outcome_of(found))
        sums = [captured(found), refunded(found), reserved_for_refunds(found), refundable(found)]
        more = [
            has_money(found),
            may_have_money(found),
            hold_operation_id(found, K.CAPTURE),
            hold_operation_id(found, K.VOID),
        ]
        refund = text(refund_outcome_of(found, one)) if one is not None and kind is K.REFUND else ""
        name = f"{of.value} {text(flags)} {text(reason and reason.code)}, {text(kind)} {state.value}"
        yield f"{name} => {told} {refund} {text(sums)} {text(more)}"


def watches() -> Iterator[str]:
    """When a worker looks next."""
    ahead, behind = NOW + timedelta(minutes=5), NOW - timedelta(minutes=5)
    for of, flags, state, send_by in product(
        P, (frozenset(), frozenset({Flag.LATE})), (None, *Op), (None, ahead, behind)
    ):
        if send_by is not None and state is None:
            continue
        one = None if state is None else operation(K.REFUND, state, send_by=send_by)
        due = watch_after(facts(payment(of, flags=flags), one), NOW)
        yield f"{of.value} {text(flags)}, refund {text(state)} {text(send_by)} => {text(due)}"
    for of, state, expires_at, reference in product(
        (P.CREATED, P.PAID), SubmissionState, (None, ahead, behind, NOW), (None, "GR1")
    ):
        old = submission(
            1,
            state=state,
            expires_at=expires_at,
            gateway_reference=reference,
            created_at=NOW - timedelta(hours=23),
        )
        found = facts(payment(of, submission_no=2), submissions=(old, submission(2, expires_at=expires_at)))
        yield f"{of.value}, old one {state.value} {text(expires_at)} {reference} => {text(watch_after(found, NOW))}"


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    table.__name__: table
    for table in (
        pictures,
        pictures_unproven,
        other_submissions,
        siblings,
        holds,
        after_holds,
        answers,
        sessions_over,
        refunds,
        refunds_beside,
        lists,
        resolutions,
        claims,
        claims_beside,
        reservations,
        outcomes,
        watches,
    )
}


@pytest.mark.parametrize("name", TABLES)
def test_every_row_is_as_it_is_written_down(name: str) -> None:
    wanted = (GOLDEN / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    made = list(TABLES[name]())
    gone, new = (
        [each for each in wanted if each not in set(made)],
        [each for each in made if each not in set(wanted)],
    )
    assert (gone[:5], new[:5]) == ([], [])
    assert made == wanted


if __name__ == "__main__":
    for title, table in TABLES.items():
        (GOLDEN / f"{title}.txt").write_text("\n".join(table()) + "\n", encoding="utf-8")
