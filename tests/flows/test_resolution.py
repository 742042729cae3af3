"""An operator's answer: about what he reviewed, once nothing is at work, audited, outranked by the gateway's word."""

from typing import Any

import pytest

from tests.flows.shop import LONG_S, Shop, facts_of
from vextrus_payments import (
    Authorized,
    ConflictError,
    Declined,
    InvalidRequestError,
    Money,
    Paid,
    PaymentSession,
    Refunded,
    RefundRequest,
    Review,
    StaleStateError,
    Unknown,
)
from vextrus_payments.ledger import Side
from vextrus_payments.payment import Intent
from vextrus_payments.recording import plan_quarantine
from vextrus_payments.records import Flag, OperationState, PaymentFacts, PaymentState, ReceiptKind
from vextrus_payments.resolving import ResolveRequest
from vextrus_payments.states import captured, refundable, refunded

WHO = {"actor": "rahim@shop.example", "reason": "Looked it up in the portal.", "evidence": ("ticket 7",)}


async def answer(shop: Shop, session: PaymentSession, verdict: str, **fields: Any) -> PaymentFacts:
    facts = await facts_of(shop, session)
    given = {"reviewed_version": facts.payment.version, **WHO, **fields}
    return await shop.payments.resolve(
        ResolveRequest(payment_id=session.payment_id, verdict=verdict, **given)  # type: ignore[arg-type]
    )


async def unknown(
    shop: Shop, verb: str = "execute", fault: str = "drop_before", **changes: Any
) -> PaymentSession:
    """A payment of which that verb was let out, and nobody knows what became of it."""
    if verb in ("capture", "void"):
        changes["intent"] = Intent.AUTHORIZATION
    session = await shop.approved("INV-1", **changes)
    if verb != "execute":
        await shop.payments.execute(session.payment_id)
    shop.fault(verb, fault)
    if verb == "refund":
        shop.fault("refund_status", "stale", times=2)  # the baseline, and the look after the answer got lost
    else:
        shop.fault("query", "drop_before", times=90)
    call = {
        "execute": lambda: shop.payments.execute(session.payment_id),
        "capture": lambda: shop.payments.capture(session.payment_id),
        "void": lambda: shop.payments.void(session.payment_id),
        "refund": lambda: shop.payments.refund(
            RefundRequest(operation_id="r-1", payment_id=session.payment_id, amount=Money("30"))
        ),
    }[verb]
    assert isinstance(await call(), Unknown)
    shop.server.app.state.faults.clear()
    shop.clock.advance(LONG_S)
    return session


def op(session: PaymentSession, verb: str = "execute") -> str:
    return "r-1" if verb == "refund" else f"{verb}/{session.payment_id}/1"


def balance(shop: Shop) -> dict[str, int]:
    sums: dict[str, int] = {}
    for entry in {e.id: e for e in shop.entries}.values():
        for posting in entry.postings:
            sign = 1 if posting.side is Side.DEBIT else -1
            sums[posting.account] = sums.get(posting.account, 0) + sign * posting.amount.amount_minor
    return {account: left for account, left in sums.items() if left}


async def look(shop: Shop, session: PaymentSession) -> PaymentFacts:
    return await shop.payments._open_engine().look("default", session.payment_id)


async def test_made_is_booked_and_kept(shop: Shop) -> None:
    session = await unknown(shop)
    facts = await answer(
        shop, session, "made", operation_id=op(session), transaction_id="TRX9", amount=Money("100")
    )
    assert facts.payment.state is PaymentState.PAID
    assert facts.receipts[0].flags == {Flag.BY_OPERATOR}
    (kept,) = facts.payment.resolutions
    assert (kept.actor, kept.evidence, kept.transaction_id) == (WHO["actor"], ("ticket 7",), "TRX9")
    assert isinstance(await shop.payments.status(session.payment_id), Paid)
    kinds = await shop.fired()
    assert kinds[-3:] == ["payment.unknown_resolved", "payment.paid", "operation.resolved"]
    told = shop.events[-1].resolution
    assert told == kept
    assert [e.kind for e in shop.entries] == ["payment.received"]


async def test_not_made_closes_and_stays_closed(shop: Shop) -> None:
    session = await unknown(shop)
    facts = await answer(shop, session, "not_made", operation_id=op(session))
    assert facts.payment.state is PaymentState.CLOSED
    assert isinstance(await shop.payments.execute(session.payment_id), Declined)
    assert shop.calls("execute") == 1, "nothing is sent on one person's word"
    again = await shop.approved("INV-1", operation_id="again", amount="101")
    assert isinstance(await shop.payments.execute(again.payment_id), Paid), "the payer can, by a new payment"


async def test_the_gateway_outranks_not_made(shop: Shop) -> None:
    session = await unknown(shop, fault="drop_after")
    await answer(shop, session, "not_made", operation_id=op(session))
    facts = await look(shop, session)
    assert facts.payment.state is PaymentState.PAID
    assert Flag.LATE in facts.payment.flags
    operation = facts.operation(op(session))
    assert operation is not None and operation.state is OperationState.SUCCEEDED
    assert "payment.late" in await shop.fired()
    await shop.check_books()


async def test_the_same_transaction_confirms(shop: Shop) -> None:
    session = await unknown(shop, fault="drop_after")
    trx = shop.server.world.rows()[0].transaction_id
    await answer(shop, session, "made", operation_id=op(session), transaction_id=trx, amount=Money("100"))
    before = await facts_of(shop, session)
    after = await look(shop, session)
    assert after.receipts == before.receipts
    assert Flag.QUARANTINED not in after.payment.flags
    await shop.check_books()


async def test_another_transaction_takes_the_operators_word_back(shop: Shop) -> None:
    session = await unknown(shop, fault="drop_after")
    await answer(shop, session, "made", operation_id=op(session), transaction_id="WRONG", amount=Money("100"))
    facts = await look(shop, session)
    assert {(r.kind, r.transaction_id == "WRONG") for r in facts.receipts} == {
        (ReceiptKind.PAYMENT, True),
        (ReceiptKind.REVERSAL, True),
        (ReceiptKind.PAYMENT, False),
    }
    assert captured(facts) == Money("100")
    assert not any(Flag.DUPLICATE in r.flags for r in facts.receipts)
    assert isinstance(await shop.payments.status(session.payment_id), Review)
    assert "payment.quarantined" in await shop.fired()
    await shop.check_books()
    assert balance(shop)["accounts_receivable"] == -10_000
    facts = await answer(shop, session, "cleared")
    assert isinstance(await shop.payments.status(session.payment_id), Paid)
    back = await shop.payments.refund(RefundRequest(operation_id="r-9", payment_id=session.payment_id))
    assert isinstance(back, Refunded)
    await shop.check_books()


@pytest.mark.parametrize("verb", ["execute", "capture"])
async def test_an_absence_takes_the_operators_word_back(shop: Shop, verb: str) -> None:
    session = await unknown(shop, verb)
    await answer(
        shop, session, "made", operation_id=op(session, verb), transaction_id="WRONG", amount=Money("100")
    )
    facts = await look(shop, session)
    assert captured(facts) == Money("0") == refundable(facts)
    assert Flag.QUARANTINED in facts.payment.flags
    await shop.check_books()
    assert balance(shop) == {}, "the reversal is the exact opposite"
    assert await look(shop, session) == facts, "once"
    await answer(shop, session, "cleared")
    assert isinstance(await shop.payments.status(session.payment_id), Review), "paid never becomes failed"


@pytest.mark.parametrize(("verb", "state"), [("capture", Paid), ("void", Declined)])
async def test_holds(shop: Shop, verb: str, state: type) -> None:
    session = await unknown(shop, verb, fault="drop_after")
    money = {"transaction_id": shop.server.world.rows()[0].transaction_id, "amount": Money("100")}
    await answer(
        shop, session, "made", operation_id=op(session, verb), **(money if verb == "capture" else {})
    )
    assert isinstance(await shop.payments.status(session.payment_id), state)
    assert isinstance(await look(shop, session), PaymentFacts)
    assert isinstance(await shop.payments.status(session.payment_id), state)
    await shop.check_books()


@pytest.mark.parametrize("verb", ["capture", "void"])
async def test_a_hold_that_was_not_ended_may_be_ended_anew(shop: Shop, verb: str) -> None:
    session = await unknown(shop, verb)
    await answer(shop, session, "not_made", operation_id=op(session, verb))
    assert isinstance(await shop.payments.status(session.payment_id), Authorized)
    assert isinstance(
        await getattr(shop.payments, verb)(session.payment_id), Paid if verb == "capture" else Declined
    )
    assert shop.moved()[verb] == 1
    await shop.check_books()


async def test_a_void_that_was_called_made_and_was_not(shop: Shop) -> None:
    session = await unknown(shop, "void")
    await answer(shop, session, "made", operation_id=op(session, "void"))
    assert (await facts_of(shop, session)).payment.state is PaymentState.CLOSED
    shop.clock.advance(1)
    facts = await look(shop, session)
    assert Flag.QUARANTINED in facts.payment.flags, "it is still held"
    assert isinstance(await shop.payments.capture(session.payment_id), Review)


async def test_refund_not_made_frees_and_the_gateway_outranks_it(shop: Shop) -> None:
    session = await unknown(shop, "refund", fault="drop_after")
    await answer(shop, session, "not_made", operation_id="r-1")
    assert refundable(await facts_of(shop, session)) == Money("100")
    facts = await shop.payments._open_engine().adopt_refunds("default", session.payment_id)
    operation = facts.operation("r-1")
    assert operation is not None and operation.state is OperationState.SUCCEEDED
    assert refunded(facts) == Money("30")
    assert not any(Flag.ADOPTED in r.flags for r in facts.receipts)
    await shop.check_books()


async def test_refund_made_under_a_wrong_id_is_taken_back(shop: Shop) -> None:
    session = await unknown(shop, "refund", fault="drop_after")
    await answer(shop, session, "made", operation_id="r-1", transaction_id="WRONG", amount=Money("30"))
    assert isinstance(await shop.payments.refund_status("r-1"), Refunded)
    engine = shop.payments._open_engine()
    facts = await engine.adopt_refunds("default", session.payment_id)
    assert refunded(facts) == Money("30"), "the operator's is taken back, the true one is booked"
    assert Flag.QUARANTINED in facts.payment.flags
    await shop.check_books()
    assert (await engine.adopt_refunds("default", session.payment_id)).receipts == facts.receipts


async def test_quarantine_is_cleared(shop: Shop) -> None:
    session = await shop.approved("INV-1")
    await shop.payments.execute(session.payment_id)
    engine = shop.payments._open_engine()
    await engine.context.recorder.record(
        "default", session.payment_id, lambda facts, _: plan_quarantine(facts, shop.clock.now(), "T")
    )
    facts = await answer(shop, session, "cleared")
    assert Flag.QUARANTINED not in facts.payment.flags
    assert shop.payments is not None and (await shop.fired())[-1] == "operation.resolved"
    with pytest.raises(ConflictError):
        await answer(shop, session, "cleared")


async def test_another_version_is_another_question(shop: Shop) -> None:
    session = await unknown(shop)
    facts = await facts_of(shop, session)
    for version in (facts.payment.version - 1, facts.payment.version + 1):
        with pytest.raises(StaleStateError):
            await answer(shop, session, "not_made", operation_id=op(session), reviewed_version=version)
    assert await facts_of(shop, session) == facts


async def test_not_while_the_gateway_may_be_at_work(shop: Shop) -> None:
    session = await shop.approved("INV-1")
    shop.fault("execute", "drop_after")
    shop.fault("query", "drop_before", times=90)
    assert isinstance(await shop.payments.execute(session.payment_id), Unknown)
    before = await facts_of(shop, session)
    with pytest.raises(ConflictError) as refused:
        await answer(shop, session, "not_made", operation_id=op(session))
    assert refused.value.code == "still_at_work"
    assert await facts_of(shop, session) == before


async def test_what_is_known_is_not_answered(shop: Shop) -> None:
    session = await shop.approved("INV-1")
    await shop.payments.execute(session.payment_id)
    for field in ({"operation_id": op(session)}, {"operation_id": "INV-1/pay"}, {"operation_id": "nothing"}):
        with pytest.raises((ConflictError, InvalidRequestError)):
            await answer(shop, session, "not_made", **field)


async def test_a_transaction_of_another_payment_is_refused(shop: Shop) -> None:
    other = await shop.approved("INV-2", amount="70")
    done = await shop.payments.execute(other.payment_id)
    assert isinstance(done, Paid)
    session = await unknown(shop)
    before = await facts_of(shop, session)
    with pytest.raises(ConflictError) as refused:
        await answer(
            shop,
            session,
            "made",
            operation_id=op(session),
            transaction_id=done.transaction_id,
            amount=Money("100"),
        )
    assert refused.value.code == "receipt_elsewhere"
    assert await facts_of(shop, session) == before, "not even quarantined: a slip of the pen"


async def test_another_amount_is_booked_to_suspense(shop: Shop) -> None:
    session = await unknown(shop)
    facts = await answer(
        shop, session, "made", operation_id=op(session), transaction_id="TRX9", amount=Money("90")
    )
    assert Flag.QUARANTINED in facts.payment.flags
    await shop.fired()
    assert balance(shop)["suspense"] == -9_000


GOOD: dict[str, Any] = {
    "payment_id": "pay_1",
    "verdict": "made",
    "operation_id": "x",
    "transaction_id": "T",
    "amount": Money("1"),
    "reviewed_version": 1,
    **WHO,
}


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("actor", ""),
        ("actor", "  "),
        ("actor", "a" * 201),
        ("actor", "a\nb"),
        ("actor", None),
        ("reason", "too short"),
        ("reason", "x" * 501),
        ("evidence", ()),
        ("evidence", "ticket"),
        ("evidence", ("",)),
        ("evidence", ("x",) * 21),
        ("reviewed_version", 0),
        ("reviewed_version", True),
        ("reviewed_version", "1"),
        ("verdict", "maybe"),
        ("verdict", "cleared"),
        ("verdict", "not_made"),
        ("operation_id", None),
        ("operation_id", "a b"),
        ("transaction_id", "a b"),
        ("amount", 1),
        ("amount", Money("0")),
        ("payment_id", ""),
    ],
)
def test_an_answer_is_checked(field: str, bad: object) -> None:
    ResolveRequest(**GOOD)
    with pytest.raises(InvalidRequestError):
        ResolveRequest(**{**GOOD, field: bad})


# --- withdrawing --------------------------------------------------------------------------------------------------


async def test_what_was_never_let_out_is_withdrawn(shop: Shop) -> None:
    session = await shop.approved("INV-1")
    await shop.payments.execute(session.payment_id)
    engine = shop.payments._open_engine()
    request = RefundRequest(operation_id="r-1", payment_id=session.payment_id, amount=Money("40"))
    await engine._refunding._reserve(await facts_of(shop, session), request)
    assert refundable(await facts_of(shop, session)) == Money("60")
    for _ in range(2):
        outcome = await shop.payments.withdraw("r-1")
        assert isinstance(outcome, Declined)
    assert refundable(await facts_of(shop, session)) == Money("100")
    assert isinstance(await shop.payments.refund(request), Declined), "the same intent stays withdrawn"
    assert shop.calls("refund") == 0
    with pytest.raises(InvalidRequestError):
        await shop.payments.withdraw("nothing")


async def test_what_was_let_out_is_not_withdrawn(shop: Shop) -> None:
    session = await unknown(shop, "refund", fault="drop_after")
    with pytest.raises(ConflictError) as refused:
        await shop.payments.withdraw("r-1")
    assert refused.value.code == "let_out"
    facts = await facts_of(shop, session)
    operation = facts.operation("r-1")
    assert operation is not None and operation.state is OperationState.UNKNOWN


async def test_history_has_everything(shop: Shop) -> None:
    session = await shop.approved("INV-1")
    await shop.payments.execute(session.payment_id)
    await shop.payments.refund(
        RefundRequest(operation_id="r-1", payment_id=session.payment_id, amount=Money("40"))
    )
    history = await shop.payments.history(session.payment_id)
    assert [event.kind.value for event in history.events] == ["payment.paid", "refund.succeeded"]
    attempts = {a.operation_id: a for a in history.attempts}
    assert set(attempts) == {"INV-1/pay", op(session), "r-1"}
    assert [attempts[name].amount for name in ("INV-1/pay", "r-1")] == [Money("100"), Money("40")]
    assert [e.step for e in attempts["r-1"].exchanges][-2:] == ["refund.baseline", "refund"]
    for attempt in history.attempts:
        for exchange in attempt.exchanges:
            assert exchange.status == 200 and exchange.at and exchange.answer
