"""Any sequence of operations gives the same answers in memory and in SQLite.

The rules are shared code; what is compared here is what the stores do themselves: keys, orders, cursors, queues,
versions, and what a refused or failed operation leaves behind.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from vextrus_payments.errors import PaymentsError
from vextrus_payments.inbox import OPEN_INBOX_STATES, InboxEnd, InboxRow, InboxState, NewInboxEvent
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence, PaymentSession
from vextrus_payments.plans import Claim, Plan, ReserveOperation
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.recording import (
    plan_initialize_lost,
    plan_lost,
    plan_quarantine,
    plan_refused,
    plan_session_opened,
)
from vextrus_payments.records import (
    AgreementLife,
    Attempt,
    OperationKind,
    OperationState,
    OutboxKind,
    OutboxRow,
    PaymentFacts,
    PaymentState,
    SubjectKind,
    Watch,
)
from vextrus_payments.states import execute_operation_id
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import MemoryStore, SqliteStore
from vextrus_payments.testing import FakeClock
from vextrus_payments.testing.store_records import settlement_plan
from vextrus_payments.testing.store_records_agreements import agreement_plan
from vextrus_payments.testing.store_records_payouts import payout_plan, payout_receipt
from vextrus_payments.testing.store_trial import LONG, SHORT, Account, StoreTrial
from vextrus_payments.token_budget import GrantAsk, GrantEnd

T = TypeVar("T")

TENANTS: Final = ("acme", "other")
GATEWAYS: Final = ("bkash", "nagad")
REFERENCES: Final = ("INV-1", "INV-1-2", "INV")
AGREEMENTS: Final = ("agr_a", "agr_b")
PAYOUTS: Final = ("pyo_a", "pyo_b")
PAYMENTS: Final = ("pay_a", "pay_b", "pay_c", "pay_d", "pay_e")
OPERATIONS: Final = tuple(f"op-{number}" for number in range(8))
TRANSACTIONS: Final = ("TRX1", "TRX2", "TRX3")
DIGESTS: Final = ("d" * 64, "e" * 64)


class InlineRunner:
    async def run(self, work: Callable[[], T]) -> T:
        return work()

    async def aclose(self) -> None:
        pass


@dataclass
class Side:
    """One store, and what was got from it so far."""

    store: PaymentStore
    facts: list[PaymentFacts] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    rows: list[OutboxRow] = field(default_factory=list)
    watches: list[Watch] = field(default_factory=list)
    news: list[InboxRow] = field(default_factory=list)
    cursors: list[str | None] = field(default_factory=lambda: [None])

    @property
    def trial(self) -> StoreTrial:
        async def never(_: float) -> None:
            raise AssertionError

        return StoreTrial(self.store, self.store, never)


def pick(values: Any, number: int) -> Any:
    return values[number % len(values)]


async def reserve(side: Side, a: int, b: int) -> Any:
    account = Account(
        tenant=pick(TENANTS, a // 7),
        gateway=pick(GATEWAYS, b),
        mode=pick(tuple(Mode), b // 5),
        amount=Money(10 + b % 2),
        allow_repeat=a % 3 == 0,
    )
    return await side.trial.reserve(
        pick(REFERENCES, a),
        account,
        operation_id=pick(OPERATIONS, b),
        payment_id=pick(PAYMENTS, a),
        skip=b % 2,
    )


async def bring(side: Side, a: int, b: int) -> Any:
    """A payment a good part of its way at once, so that short sequences get far."""
    account = Account(
        tenant=pick(TENANTS, a // 11),
        gateway=pick(GATEWAYS, a // 3),
        amount=Money(10),
        allow_repeat=b % 2 == 0,
    )
    ids: dict[str, Any] = {"operation_id": pick(OPERATIONS, b), "payment_id": pick(PAYMENTS, a)}
    if b % 3 == 0:
        facts = await side.trial.awaiting(pick(REFERENCES, a), account, **ids)
    else:
        facts = await side.trial.paid(pick(REFERENCES, a), account, pick(TRANSACTIONS, b), **ids)
    side.facts.append(facts)
    return facts


async def reserve_operation(side: Side, a: int, b: int) -> Any:
    payment_id = pick(PAYMENTS, a)
    execute = b % 2 == 0
    return await side.store.reserve(
        ReserveOperation(
            tenant=pick(TENANTS, b // 7),
            operation_id=execute_operation_id(payment_id, 1) if execute else pick(OPERATIONS, b),
            kind=OperationKind.EXECUTE if execute else OperationKind.REFUND,
            payment_id=payment_id,
            digest=str(b % 3),
            amount=None if b % 5 == 0 else Money(1 + b % 4),
        )
    )


async def claim(side: Side, a: int, b: int) -> Any:
    ids = (*OPERATIONS, *(execute_operation_id(payment_id, 1) for payment_id in PAYMENTS))
    answer = await side.store.claim(pick(TENANTS, b), pick(ids, a), SHORT if b % 4 else LONG)
    if isinstance(answer, Claim):
        side.claims.append(answer)
    return answer


async def checkpoint(side: Side, a: int, b: int) -> Any:
    if side.claims:
        return await side.store.checkpoint(pick(side.claims, a), Evidence("step", {"n": b}))
    return None


async def release(side: Side, a: int, b: int) -> Any:
    return await side.store.release(pick(side.claims, a)) if side.claims else None


async def get(side: Side, a: int, b: int) -> Any:
    facts = await side.store.get(pick(TENANTS, b), pick(PAYMENTS, a))
    if facts is not None:
        side.facts.append(facts)
    return facts


def plan_of(side: Side, facts: PaymentFacts, b: int) -> Plan | None:
    now, payment = side.store.now(), facts.payment
    operation = pick(facts.operations, b)
    match (b // 3) % 8:
        case 0 | 1:
            session = PaymentSession(
                payment_id=payment.payment_id,
                gateway=payment.gateway,
                mode=payment.mode,
                merchant_reference=payment.merchant_reference,
                amount=payment.amount,
                gateway_order_id=facts.submission.gateway_order_id,
                gateway_reference=f"GR{b % 3}",
                checkout_url=None,
                expires_at=now,
                submission_no=payment.submission_no,
            )
            return plan_session_opened(facts, operation.operation_id, session, now)
        case 2 | 3:
            return side.trial.paid_plan(facts, pick(TRANSACTIONS, b))
        case 4:
            return plan_lost(facts, operation.operation_id, operation.fence, now)
        case 5:
            return plan_initialize_lost(
                facts, operation.operation_id, operation.fence, f"{pick(REFERENCES, b // 8)}-2", now
            )
        case 6:
            reason = Reason(code=ReasonCode.WRONG_PIN)
            return plan_refused(
                facts, operation.operation_id, operation.fence, reason, final=b % 3 == 0, now=now
            )
        case _:
            return plan_quarantine(facts, now, None) if b % 5 == 0 else None


async def commit(side: Side, a: int, b: int) -> Any:
    if not side.facts:
        return None
    facts = pick(side.facts, a)
    if b % 3:
        facts = await side.store.get(facts.payment.tenant, facts.payment.payment_id) or facts
    plan = plan_of(side, facts, b)
    if plan is None:
        return None
    guards = tuple((f.payment.payment_id, f.payment.version) for f in side.facts[-1:] if b % 3 == 0)
    if b % 11 == 0 and plan.outbox:
        plan = replace(plan, outbox=(*plan.outbox, replace(plan.outbox[0], row_id="bad", document="\ud800")))
    if b % 4 == 1:
        plan = replace(plan, watch_at=side.store.now() - timedelta(seconds=a % 3))
    return await side.store.commit(replace(plan, guards=guards))


async def note(side: Side, a: int, b: int) -> Any:
    now = side.store.now()
    attempt = Attempt(
        tenant=pick(TENANTS, b),
        operation_id=pick(OPERATIONS, a),
        payment_id=pick(PAYMENTS, a),
        fence=b % 3,
        started_at=now,
        send_by=now,
        result=str(b),
    )
    return await side.store.note_attempt(attempt)


async def lease(side: Side, a: int, b: int) -> Any:
    rows = await side.store.lease(pick(tuple(OutboxKind), a), limit=1 + b % 3, lease_s=1 + b % 2)
    side.rows.extend(rows)
    return rows


async def deliver(side: Side, a: int, b: int) -> Any:
    if not side.rows:
        return None
    row = pick(side.rows, a)
    if b % 3 == 0:
        return await side.store.ack(row)
    retry_at = None if b % 3 == 1 else side.store.now() + timedelta(seconds=b % 4)
    return await side.store.nack(row, retry_at=retry_at, why=f"because {b}")


async def find(side: Side, a: int, b: int) -> Any:
    keys: tuple[dict[str, Any], ...] = (
        {"merchant_reference": pick(REFERENCES, b)},
        {"gateway_order_id": f"{pick(REFERENCES, b)}{'-2' if b % 2 else ''}"},
        {"gateway_reference": f"GR{b % 3}"},
        {"transaction_id": pick(TRANSACTIONS, b)},
        {
            "merchant_reference": pick(REFERENCES, b),
            "gateway": pick(GATEWAYS, b),
            "mode": pick(tuple(Mode), a),
        },
        {},
    )
    return await side.store.find(pick(TENANTS, a), **pick(keys, a))


async def listing(side: Side, a: int, b: int) -> Any:
    cursor = pick(side.cursors, a)
    tenant = pick((None, *TENANTS), b)
    page: Any
    if a % 2:
        state = pick((None, *PaymentState), b)
        page = await side.store.list(tenant, state=state, cursor=cursor, limit=1 + b % 3)
    else:
        states = tuple(OperationState)[b % 4 :: 2]
        page = await side.store.list_operations(tenant, states=states, cursor=cursor, limit=1 + b % 3)
    side.cursors.append(page.cursor)
    return page


async def read(side: Side, a: int, b: int) -> Any:
    tenant, payment_id = pick(TENANTS, a), pick(PAYMENTS, b)
    store = side.store
    return (
        await store.events(tenant, payment_id),
        await store.attempts(tenant, payment_id),
        await store.siblings(tenant, pick(REFERENCES, b), without=payment_id),
        await store.get_operation(tenant, pick(OPERATIONS, a)),
        await store.next_order_number(tenant, pick(GATEWAYS, a), Mode.SANDBOX, pick(REFERENCES, b)),
        await store.backlog(pick(tuple(OutboxKind), b)),
    )


async def tokens(side: Side, a: int, b: int) -> Any:
    store, digest, version = side.store, pick(DIGESTS, a), f"v{b % 3}"
    match a % 5:
        case 0:
            await store.token_put(digest, version, f'{{"n": {b}}}')
        case 1:
            return await store.token_drop(digest, version)
        case 2 | 3:
            ask = GrantAsk(permit=f"p{b % 3}", now=store.now(), limit=2, window_s=3600, lease_s=2)
            return await store.grant_reserve(digest, ask)
        case _:
            end = GrantEnd(permit=f"p{b % 3}", now=store.now(), sent=b % 2 == 0)
            document = None if b % 5 == 0 else f'{{"grant": {b}}}'
            await store.grant_finish(digest, end, None if document is None else version, document)
    return await store.token_get(digest)


async def watch(side: Side, a: int, b: int) -> Any:
    store = side.store
    if b % 4 == 0:
        return await store.sweep_watches()
    if b % 4 == 1 and side.watches:
        at = None if a % 3 == 0 else store.now() + timedelta(seconds=a % 5 - 2)
        return await store.watch_again(pick(side.watches, a), at)
    if b % 4 == 2:
        kind = pick((SubjectKind.PAYMENT, SubjectKind.AGREEMENT), a)
        return await store.next_watch(pick(TENANTS, a), kind, pick((*PAYMENTS, *AGREEMENTS), b))
    watches = await store.lease_watches(limit=1 + a % 3, lease_s=1 + b % 2)
    side.watches.extend(watches)
    return watches


async def agree(side: Side, a: int, b: int) -> Any:
    tenant, key = pick(TENANTS, a // 5), pick(AGREEMENTS, a)
    known = await side.store.get_agreement(tenant, key)
    version = 1 if known is None else known.version + 1 + (b % 7 == 0)
    plan = agreement_plan(
        side.store.now(),
        key,
        tenant=tenant,
        version=version,
        state=pick(tuple(AgreementLife), b),
        operation_id=pick((*OPERATIONS, key), b // 2),
    )
    agreement = replace(
        plan.agreement,
        gateway_reference=pick((None, "GR0", "GR1"), b),
        agreement_id=pick((None, "AGR1"), b),
        operations=plan.agreement.operations[: b % 3],
    )
    row = OutboxRow(
        tenant=tenant,
        row_id=f"{key}/{version}",
        subject=f"event/{key}",
        seq=version,
        kind=OutboxKind.EVENT,
        document="\ud800" if b % 13 == 0 else "{}",
        created_at=side.store.now(),
    )
    watch_at = None if b % 4 == 0 else side.store.now() + timedelta(seconds=b % 3 - 1)
    return await side.store.commit_agreement(
        replace(plan, agreement=agreement, outbox=(row,), watch_at=watch_at)
    )


async def pay_out(side: Side, a: int, b: int) -> Any:
    store, tenant, key = side.store, pick(TENANTS, a // 5), pick(PAYOUTS, a)
    if b % 5 == 0:
        page = await store.list_payouts(
            pick((None, *TENANTS), a), unsettled=b % 2 == 0, cursor=pick(side.cursors, a), limit=1 + b % 3
        )
        side.cursors.append(page.cursor)
        return page, await store.find_payout(tenant, pick(OPERATIONS, b))
    known = await store.get_payout(tenant, key)
    version = 1 if known is None else known.version + 1 + (b % 7 == 0)
    operation_id = pick(OPERATIONS, a + 3) if known is None else known.operation_id
    plan = payout_plan(
        store.now(),
        key,
        tenant=tenant,
        version=version,
        state=pick(tuple(OperationState), b),
        operation_id=operation_id if b % 11 else "another",
    )
    receipts = (payout_receipt(store.now(), pick(TRANSACTIONS, b), tenant),) if b % 3 == 0 else ()
    row = OutboxRow(
        tenant=tenant,
        row_id=f"{key}/{version}",
        subject=f"ledger/{key}",
        seq=version,
        kind=OutboxKind.LEDGER,
        document="\ud800" if b % 13 == 0 else "{}",
        created_at=store.now(),
    )
    watch_at = None if b % 4 == 0 else store.now() + timedelta(seconds=b % 3 - 1)
    return await store.commit_payout(replace(plan, receipts=receipts, outbox=(row,), watch_at=watch_at))


async def settle(side: Side, a: int, b: int) -> Any:
    receipts = [receipt for facts in side.facts for receipt in facts.receipts]
    if not receipts:
        return None
    plans = [
        settlement_plan(pick(receipts, a + n), side.store.now(), version=1 + (b + n) % 3)
        for n in range(1 + b % 3)
    ]
    if b % 17 == 0:
        plans[-1] = replace(plans[-1], outbox=(replace(plans[-1].outbox[0], document="\ud800"),))
    count = await side.store.settle(plans)
    found = await side.store.settlements([receipt.key for receipt in receipts[:1000]])
    return count, sorted(found, key=lambda each: (each.tenant, each.transaction_id, each.gateway))


async def look_around(side: Side, a: int, b: int) -> Any:
    store, tenant, cursor = side.store, pick(TENANTS, a), pick(side.cursors, a)
    since = store.now() - timedelta(seconds=a % 4)
    account = (tenant, pick(GATEWAYS, b), pick(tuple(Mode), a))
    page: Any
    match b % 6:
        case 0:
            page = await store.list_agreements(pick((None, *TENANTS), a), cursor=cursor, limit=1 + b % 3)
        case 1:
            page = await store.list_receipts(
                *account, since=since, unsettled=a % 2 == 0, cursor=cursor, limit=1 + a % 2
            )
        case 2:
            page = await store.list_receipts(*account, until=since, cursor=cursor, limit=1 + a % 2)
        case 3:
            page = await store.list_outbox(
                pick(tuple(OutboxKind), a),
                tenant=pick((None, *TENANTS), b),
                parked=a % 3 == 0,
                cursor=cursor,
                limit=1 + b % 4,
            )
        case 4:
            found = await store.receipts(*account, [*TRANSACTIONS, "TRX1"])
            return sorted(found, key=lambda each: (each.transaction_id, each.kind))
        case _:
            keys: tuple[dict[str, Any], ...] = (
                {"operation_id": pick(OPERATIONS, a)},
                {"gateway_reference": f"GR{a % 2}"},
                {"agreement_id": "AGR1"},
                {},
            )
            return await store.find_agreements(tenant, **pick(keys, b))
    side.cursors.append(page.cursor)
    return page


async def tend(side: Side, a: int, b: int) -> Any:
    """What workers and operators do with rows, and marks."""
    store = side.store
    if a % 3 == 0:
        value, expected = pick(("x", "y"), b), pick((None, "x", "y"), a)
        return await store.put_mark(pick(("epoch", "sweep"), b), value, expected=expected)
    if a % 3 == 1 or not side.rows:
        return await store.get_mark(pick(("epoch", "sweep"), b)), await store.unpark("acme", f"{b}")
    row = pick(side.rows, b)
    if b % 3 == 0:
        return await store.unpark(row.tenant, row.row_id)
    if b % 3 == 1:
        await store.ack_many(side.rows[a % 5 : a % 5 + 3])
    found = await store.outbox_rows(row.tenant, [each.row_id for each in side.rows])
    return sorted(found, key=lambda each: each.row_id)


def news_of(side: Side, a: int, b: int) -> NewInboxEvent:
    return NewInboxEvent(
        tenant=pick(TENANTS, a // 3),
        gateway=pick(GATEWAYS, b // 5),
        mode=pick(tuple(Mode), b // 7),
        event_id=pick(("e1", "e2", "e3", "x" * 257), a),
        news_key=pick((None, "n1", "n2", "n3"), b),
        document="\ud800" if b % 19 == 0 else f'{{"n": {b}}}',
        headers={"x-a": "\ud800" if b % 23 == 0 else "\xff"},
        body=b"\0\xff",
        received_at=side.store.now() - timedelta(seconds=b % 4),
    )


async def hear(side: Side, a: int, b: int) -> Any:
    """What a webhook door and an operator do with the inbox."""
    store = side.store
    if a % 4:
        return await store.accept_events([news_of(side, a + n, b + n) for n in range(b % 4)])
    event = pick(side.news, a) if side.news and b % 3 else news_of(side, a, b)
    key = (event.tenant, event.gateway, event.mode, event.event_id)
    return await store.replay_event(*key), await store.get_inbox(*key)


async def bring_news(side: Side, a: int, b: int) -> Any:
    """Some that are leased, and perhaps ended, at once, so that short sequences get far."""
    plain = replace(news_of(side, 0, 1), tenant=pick(TENANTS, b), received_at=side.store.now())
    ids = [f"e{a % 7}", f"e{b % 7}"]
    kept = await side.store.accept_events([replace(plain, event_id=each, news_key=None) for each in ids])
    rows = await side.store.lease_events(limit=1 + a % 3, lease_s=1 + b % 4)
    side.news.extend(rows)
    state = pick((InboxState.DONE, InboxState.UNMATCHED, None), a)
    if state is None:
        return kept, rows
    return kept, rows, await side.store.end_events([InboxEnd(row=row, state=state) for row in rows[:2]])


async def act_on_news(side: Side, a: int, b: int) -> Any:
    """What the inbox's worker does."""
    store = side.store
    if a % 5 == 0:
        return await store.prune_inbox(store.now() - timedelta(seconds=b % 3), limit=1 + b % 2)
    if a % 5 < 3 or not side.news:
        rows = await store.lease_events(limit=1 + a % 3, lease_s=1 + b % 2)
        side.news.extend(rows)
        return rows
    ends = []
    for number in range(1 + b % 3):
        state = pick(tuple(InboxState), b + number)
        waits = state in OPEN_INBOX_STATES
        end = InboxEnd(
            row=pick(side.news, a + number),
            state=state,
            due_at=store.now() + timedelta(seconds=a % 4) if waits != (b % 29 == 0) else None,
            payment_id=pick((None, "pay_a"), a),
            note=pick((None, "why \ud800\0"), b),
            announcement=(f"evt-{a % 3}", "\ud800" if b % 31 == 0 else "{}") if b % 2 else None,
        )
        ends.append(end)
    return await store.end_events(ends)


async def look_at_news(side: Side, a: int, b: int) -> Any:
    store = side.store
    page = await store.list_inbox(
        pick((None, *TENANTS), a),
        gateway=pick((None, *GATEWAYS), b),
        state=pick((None, *InboxState), a // 3),
        since=pick((None, store.now() - timedelta(seconds=3)), b // 3),
        cursor=pick(side.cursors, a),
        limit=1 + b % 3,
    )
    side.cursors.append(page.cursor)
    return page, await store.inbox_backlog(), await store.next_event_at()


async def reopen(side: Side, a: int, b: int) -> Any:
    await side.store.close()
    if b % 4:
        await side.store.open()
    return None


async def make_sure_it_is_open(side: Side, a: int, b: int) -> Any:
    await side.store.open()


Action = Callable[[Side, int, int], Awaitable[Any]]
ACTIONS: Final[tuple[Action, ...]] = (
    *(
        bring_news,
        bring_news,
        hear,
        hear,
        hear,
        act_on_news,
        act_on_news,
        act_on_news,
        act_on_news,
        look_at_news,
    ),
    *(watch, watch, watch, agree, agree, pay_out, pay_out, settle, look_around, look_around, tend, tend),
    *(bring, bring, bring, reserve, reserve, reserve_operation, reserve_operation, claim, claim, get, get),
    *(commit, commit, commit, commit, checkpoint, release, note, lease, lease, deliver, deliver, find),
    *(listing, read, tokens, tokens, reopen, make_sure_it_is_open, make_sure_it_is_open),
)

#: What concerns the inbox alone: among all others too little of it happens in one life.
NEWS_ACTIONS: Final[tuple[Action, ...]] = (
    *(bring_news, bring_news, hear, hear, hear, act_on_news, act_on_news, act_on_news, look_at_news, lease),
)

steps = st.tuples(st.sampled_from(ACTIONS), st.integers(0, 999), st.integers(0, 999), st.integers(0, 3))
news_steps = st.tuples(
    st.sampled_from(NEWS_ACTIONS), st.integers(0, 999), st.integers(0, 999), st.integers(0, 3)
)


async def answer(action: Action, side: Side, a: int, b: int) -> Any:
    try:
        return await action(side, a, b)
    except (PaymentsError, ValueError, AssertionError) as error:
        return type(error), getattr(error, "code", str(error))


async def run(sequence: list[tuple[Action, int, int, int]], folder: Path) -> None:
    clock = FakeClock()
    sqlite = SqliteStore(folder / "payments.db", clock=clock, runner=InlineRunner())
    sides = (Side(MemoryStore(clock=clock)), Side(sqlite))
    for side in sides:
        await side.store.open()
    assert sqlite._connection is not None
    sqlite._connection.execute("PRAGMA synchronous = OFF")  # what is compared is not durability
    for action, a, b, seconds in sequence:
        clock.advance(seconds * 0.5)
        memory, file = [await answer(action, side, a, b) for side in sides]
        assert memory == file, f"{action.__name__}({a}, {b})"
    for side in sides:
        await side.store.open()
    for tenant in range(2):
        for action, count in (
            (get, 5),
            (read, 40),
            (find, 36),
            (tokens, 0),
            (look_around, 12),
            (watch, 4),
            (look_at_news, 36),
        ):
            for number in range(count):
                memory, file = [await answer(action, side, tenant + 2 * number, number) for side in sides]
                assert memory == file
    for side in sides:
        await side.store.close()


@settings(max_examples=max(40, settings().max_examples // 2))
@given(sequence=st.lists(steps, min_size=5, max_size=60))
def test_memory_and_sqlite_agree(sequence: list[tuple[Action, int, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(sequence, Path(folder)))


@settings(max_examples=max(60, settings().max_examples // 2))
@given(sequence=st.lists(news_steps, min_size=20, max_size=60))
def test_memory_and_sqlite_agree_on_news(sequence: list[tuple[Action, int, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(sequence, Path(folder)))
