"""Checks of reading: what is found, in which order, page after page, and what may be asked."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from vextrus_payments.errors import StorageError
from vextrus_payments.inbox import InboxEnd, InboxRow, InboxState, NewInboxEvent
from vextrus_payments.mode import Mode
from vextrus_payments.paging import Page
from vextrus_payments.payment import Evidence
from vextrus_payments.plans import Claim, Plan
from vextrus_payments.recording import plan_lost
from vextrus_payments.records import (
    OperationKind,
    OperationState,
    PaymentFacts,
    PaymentState,
    SubjectKind,
    Watch,
)
from vextrus_payments.store import PaymentStore
from vextrus_payments.testing.store_records import full_attempt, full_plan, settlement_plan
from vextrus_payments.testing.store_records_agreements import agreement_plan
from vextrus_payments.testing.store_records_payouts import payout_plan
from vextrus_payments.testing.store_trial import (
    ACME,
    LONG,
    StoreTrial,
    expect,
    expect_raises,
    expect_type,
)
from vextrus_payments.token_budget import GrantAsk, GrantEnd


async def what_is_not_there(trial: StoreTrial) -> None:
    """A store without rows answers with nothing."""
    store = trial.store
    expect(await store.get("acme", "pay_none") is None, "get of no payment is None")
    expect(await store.get_operation("acme", "none") is None, "get_operation of no operation is None")
    expect(await store.siblings("acme", "none", without="") == (), "no siblings are an empty tuple")
    expect(await store.find("acme", transaction_id="none") == (), "find of nothing is an empty tuple")
    expect(await store.list() == Page((), None), "list of nothing is an empty page")
    page = await store.list_operations(states=tuple(OperationState))
    expect(page == Page((), None), "list_operations of nothing is an empty page")
    expect(await store.events("acme", "none") == (), "no events are an empty tuple")
    expect(await store.attempts("acme", "none") == (), "no attempts are an empty tuple")
    expect(store.now().utcoffset() == timedelta(0), "the store's time is aware, in UTC")


async def siblings_in_order(trial: StoreTrial) -> None:
    """Siblings are the reference's other payments of every gateway, oldest first, with all their facts."""
    made = []
    for number, gateway in enumerate(("bkash", "nagad", "bkash")):
        account = replace(ACME, gateway=gateway, allow_repeat=True)
        made.append(
            await trial.awaiting(
                "INV-1", account, operation_id=f"op-{number}", payment_id=f"pay_{9 - number}"
            )
        )
        await trial.advance(0.01)
    await trial.reserved("INV-2")
    found = await trial.store.siblings("acme", "INV-1", without=made[1].payment.payment_id)
    expect(found == (made[0], made[2]), "siblings are whole, oldest first, without the one named")
    everybody = await trial.store.siblings("acme", "INV-1", without="")
    expect(everybody == tuple(made), "without nobody, siblings are all of the reference")
    expect(await trial.store.siblings("other", "INV-1", without="") == (), "siblings are of one tenant")


async def find_by_each_key(trial: StoreTrial) -> None:
    """Payments are found by exactly one of four keys, narrowed by gateway and mode, oldest first."""
    repeat = replace(ACME, allow_repeat=True)
    first = await trial.paid("INV-1", repeat, transaction_id="TRX1")
    await trial.advance(0.01)
    live = replace(repeat, gateway="nagad", mode=Mode.LIVE)
    second = await trial.paid(
        "INV-1", live, operation_id="again", payment_id="pay_a_later_one", transaction_id="TRX1"
    )
    find = trial.store.find
    by_reference = {"merchant_reference": "INV-1"}
    for keys, wanted in (
        (by_reference, (first, second)),
        ({"gateway_order_id": "INV-1"}, (first, second)),
        ({"transaction_id": "TRX1"}, (first, second)),
        ({"gateway_reference": "GR/pay_INV-1"}, (first,)),
        ({**by_reference, "gateway": "nagad"}, (second,)),
        ({**by_reference, "mode": Mode.SANDBOX}, (first,)),
        ({"transaction_id": "TRX1", "gateway": "bkash", "mode": Mode.LIVE}, ()),
        ({"gateway_order_id": "INV-1", "gateway": "bkash"}, (first,)),
    ):
        arguments: dict[str, Any] = dict(keys)
        expect(await find("acme", **arguments) == wanted, f"find by {', '.join(keys)}")
    submission = replace(first.submission, held_transaction_id="HOLD1")
    version = first.payment.version
    plan = Plan(
        payment=replace(first.payment, version=version + 1),
        expected_version=version,
        submissions=(submission,),
    )
    held = await trial.recorded(plan)
    expect(await find("acme", transaction_id="HOLD1") == (held,), "find by the transaction id of a hold")
    await expect_raises(ValueError, find("acme"), "find without a key raises ValueError")
    await expect_raises(
        ValueError,
        find("acme", merchant_reference="INV-1", transaction_id="TRX1"),
        "find by two keys raises ValueError",
    )


async def find_at_most_a_hundred(trial: StoreTrial) -> None:
    """A reference with very many payments does not flood its caller."""
    repeat = replace(ACME, allow_repeat=True)
    for number in range(103):
        await trial.reserved("DONATION", repeat, operation_id=f"op-{number}", payment_id=f"pay_{number}")
    found = await trial.store.find("acme", merchant_reference="DONATION")
    expect(len(found) == 100, "find answers at most 100 payments")
    expect(found[0].payment.payment_id == "pay_0", "the oldest ones")


async def list_page_by_page(trial: StoreTrial) -> None:
    """Every payment is listed once, oldest first, whatever the size of the pages; new ones come at the end."""
    store, made = trial.store, []
    for number in range(7):
        account = replace(ACME, tenant="other" if number == 3 else "acme")
        made.append((await trial.reserved(f"INV-{number}", account, payment_id=f"pay_{9 - number}")).facts)
        if number != 4:  # and two of the same moment
            await trial.advance(0.01)
    expected = [facts.payment.payment_id for facts in made]
    for limit in (1, 2, 3, 7, 100):
        listed = await all_pages(partial(store.list, limit=limit))
        expect([p.payment_id for p in listed] == expected, f"pages of {limit} tile the listing")
    expect((await store.list(limit=7)).cursor is None, "a page that holds the last row has no cursor")
    mine = await all_pages(partial(store.list, "acme", limit=2))
    expect([p.payment_id for p in mine] == [i for i in expected if i != "pay_6"], "pages of one tenant")
    since = made[2].payment.created_at
    late = await all_pages(partial(store.list, since=since, limit=2))
    expect([p.payment_id for p in late] == expected[2:], "`since` includes its own moment")
    first = await store.list(limit=4)
    await trial.paid("INV-new", payment_id="pay_new")
    rest = await store.list(cursor=first.cursor, limit=100)
    expect([p.payment_id for p in rest.rows] == [*expected[4:], "pay_new"], "what is new comes at the end")
    paid = await store.list(state=PaymentState.PAID)
    expect([p.payment_id for p in paid.rows] == ["pay_new"], "payments of one state")
    none = await store.list("other", state=PaymentState.PAID)
    expect(none == Page((), None), "payments of one state and tenant")


async def all_pages(page_at: Callable[..., Awaitable[Page[Any]]]) -> list[Any]:
    """Every row, page after page. Bounded, so that a cursor that goes in circles is found."""
    rows: list[Any] = []
    cursor = None
    for _ in range(200):
        page = await page_at(cursor=cursor)
        rows += page.rows
        cursor = page.cursor
        if cursor is None:
            return rows
        expect(page.rows, "a page before the last has rows")
    raise AssertionError("the listing never ends")


async def list_operations_that_are_open(trial: StoreTrial) -> None:
    """Operations are listed by state, oldest update first: nothing that is open stays invisible."""
    store = trial.store
    moved = []
    for number in range(5):
        facts = await trial.awaiting(
            f"INV-{number}", replace(ACME, tenant="other" if number == 2 else "acme")
        )
        claim = expect_type(await trial.claim_execute(facts), Claim, "a claim")
        moved.append(claim)
        await trial.advance(0.01)
    first = moved[0]
    plan = plan_lost(first.facts, first.operation_id, first.fence, store.now())
    await trial.recorded(plan)
    open_states = (OperationState.SUBMITTING, OperationState.UNKNOWN)
    expected = [claim.operation_id for claim in (*moved[1:], first)]
    for limit in (1, 2, 100):
        listed = await all_pages(partial(store.list_operations, states=open_states, limit=limit))
        expect([o.operation_id for o in listed] == expected, f"open operations in pages of {limit}")
    whole = await store.list_operations(states=open_states, limit=5)
    expect(whole.cursor is None, "a page that holds the last operation has no cursor")
    mine = await all_pages(partial(store.list_operations, "acme", states=open_states, limit=1))
    expect(len(mine) == 4, "operations of one tenant")
    last = await store.get_operation("acme", first.operation_id)
    assert last is not None
    before = await all_pages(
        partial(store.list_operations, states=open_states, updated_before=last[1].updated_at, limit=2)
    )
    expect([o.operation_id for o in before] == expected[:-1], "`updated_before` excludes its own moment")
    expect(await store.list_operations(states=()) == Page((), None), "no states, no operations")
    done = await all_pages(partial(store.list_operations, states=[OperationState.SUCCEEDED], limit=2))
    expect({o.kind for o in done} == {OperationKind.INITIALIZE}, "settled operations can be listed too")


async def what_may_not_be_asked(trial: StoreTrial) -> None:
    """Cursors that no page gave, and limits that are none, raise ValueError."""
    store = trial.store
    for cursor in ("", "x", "1", "1.2.3", "'; DROP TABLE payments; --", "9" * 40):
        await expect_raises(ValueError, store.list(cursor=cursor), f"list with the cursor {cursor!r}")
        await expect_raises(
            ValueError,
            store.list_operations(states=[OperationState.UNKNOWN], cursor=cursor),
            f"list_operations with the cursor {cursor!r}",
        )
    for limit in (0, -1, 10**9):
        await expect_raises(ValueError, store.list(limit=limit), f"list with limit {limit}")
        await expect_raises(
            ValueError,
            store.list_operations(states=[OperationState.UNKNOWN], limit=limit),
            f"list_operations with limit {limit}",
        )


def _every_call(trial: StoreTrial, facts: PaymentFacts) -> dict[str, Awaitable[Any]]:
    """One call of every operation of the port."""
    store, now = trial.store, trial.store.now()
    me, receipt = ("acme", "pay_INV-1"), facts.receipts[0]
    account = (receipt.tenant, receipt.gateway, receipt.mode)
    claim = Claim(*me, "pay_INV-1", 1, now, facts)
    row = full_plan(now).outbox[0]
    watch = Watch(
        tenant="acme",
        subject_kind=SubjectKind.PAYMENT,
        subject_id="pay_INV-1",
        version=1,
        tries=1,
        due_at=now,
        leased_until=now,
    )
    ask = GrantAsk(permit="p", now=now, limit=2, window_s=3600, lease_s=60)
    return {
        "reserve": store.reserve(trial.wish("INV-2")),
        "claim": store.claim(*me, LONG),
        "checkpoint": store.checkpoint(claim, Evidence("step")),
        "release": store.release(claim),
        "commit": store.commit(full_plan(now)),
        "note_attempt": store.note_attempt(full_attempt(now)),
        "get": store.get(*me),
        "get_operation": store.get_operation(*me),
        "siblings": store.siblings("acme", "INV-1", without=""),
        "find": store.find("acme", merchant_reference="INV-1"),
        "next_order_number": store.next_order_number(*account, "INV-1"),
        "list": store.list(),
        "list_operations": store.list_operations(states=[OperationState.UNKNOWN]),
        "events": store.events(*me),
        "attempts": store.attempts(*me),
        "lease": store.lease(row.kind, limit=1, lease_s=1),
        "ack": store.ack(row),
        "ack_many": store.ack_many([row]),
        "nack": store.nack(row, retry_at=None, why="closed"),
        "backlog": store.backlog(row.kind),
        "list_outbox": store.list_outbox(row.kind),
        "outbox_rows": store.outbox_rows("acme", [row.row_id]),
        "unpark": store.unpark("acme", row.row_id),
        "change_mark": store.change_mark(),
        "lease_watches": store.lease_watches(limit=1, lease_s=1),
        "watch_again": store.watch_again(watch, None),
        "next_watch": store.next_watch("acme", SubjectKind.PAYMENT, "pay_INV-1"),
        "sweep_watches": store.sweep_watches(),
        "get_agreement": store.get_agreement("acme", "agr_1"),
        "find_agreements": store.find_agreements("acme", operation_id="op"),
        "list_agreements": store.list_agreements(),
        "commit_agreement": store.commit_agreement(agreement_plan(now, "agr_1")),
        "get_payout": store.get_payout("acme", "pyo_1"),
        "find_payout": store.find_payout("acme", "op"),
        "list_payouts": store.list_payouts(),
        "commit_payout": store.commit_payout(payout_plan(now, "pyo_1")),
        "receipts": store.receipts(*account, ["TRX"]),
        "list_receipts": store.list_receipts(*account),
        "settlements": store.settlements([receipt.key]),
        "settle": store.settle([settlement_plan(receipt, now)]),
        "get_mark": store.get_mark("epoch"),
        "put_mark": store.put_mark("epoch", "a", expected=None),
        "token_get": store.token_get("d" * 64),
        "token_put": store.token_put("d" * 64, "v1", "{}"),
        "token_drop": store.token_drop("d" * 64, "v1"),
        "grant_reserve": store.grant_reserve("d" * 64, ask),
        "grant_finish": store.grant_finish("d" * 64, GrantEnd(permit="p", now=now, sent=True), None, None),
        **_every_inbox_call(store, now),
    }


def _every_inbox_call(store: PaymentStore, now: datetime) -> dict[str, Awaitable[Any]]:
    key: dict[str, Any] = {"tenant": "acme", "gateway": "bkash", "mode": Mode.SANDBOX, "event_id": "e1"}
    said: dict[str, Any] = {
        "news_key": None,
        "document": "{}",
        "headers": {},
        "body": b"",
        "received_at": now,
    }
    row = InboxRow(**key, **said, state=InboxState.WAITING)
    return {
        "accept_events": store.accept_events([NewInboxEvent(**key, **said)]),
        "lease_events": store.lease_events(limit=1, lease_s=1),
        "end_events": store.end_events([InboxEnd(row=row, state=InboxState.DONE)]),
        "replay_event": store.replay_event(**key),
        "get_inbox": store.get_inbox(**key),
        "list_inbox": store.list_inbox("acme"),
        "inbox_backlog": store.inbox_backlog(),
        "next_event_at": store.next_event_at(),
        "prune_inbox": store.prune_inbox(now),
    }


async def open_and_close(trial: StoreTrial) -> None:
    """Both are idempotent; a closed store answers nothing; a durable one has kept everything."""
    store = trial.store
    facts = await trial.paid("INV-1")
    await store.open()
    expect(await store.get("acme", "pay_INV-1") == facts, "open() of an open store changes nothing")
    await store.close()
    await store.close()
    calls = _every_call(trial, facts)
    answers = await asyncio.gather(*calls.values(), return_exceptions=True)
    for name, answer in zip(calls, answers, strict=True):
        expect(isinstance(answer, StorageError), f"a closed store raises StorageError when asked for {name}")
    await store.open()
    if store.durable:
        expect(await store.get("acme", "pay_INV-1") == facts, "a durable store has everything when reopened")
        expect(await store.get("acme", "pay_INV-2") is None, "and nothing that was refused")
        expect(await store.get("acme", "pay_full") is None, "nor half of it")
        expect(await store.get_mark("epoch") is None, "nor a mark")
        expect(await store.get_agreement("acme", "agr_1") is None, "nor an agreement")
        expect(await store.next_event_at() is None, "nor a piece of news")
        expect(await store.settlements([facts.receipts[0].key]) == (), "nor a settlement")


CHECKS = (
    what_is_not_there,
    siblings_in_order,
    find_by_each_key,
    find_at_most_a_hundred,
    list_page_by_page,
    list_operations_that_are_open,
    what_may_not_be_asked,
    open_and_close,
)
