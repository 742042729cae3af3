"""Checks of receipts as a whole, of settlements, and of marks: what closes the books, once and under versions."""

import asyncio
from dataclasses import replace
from functools import partial

from vextrus_payments.errors import StorageError
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.paging import Page
from vextrus_payments.records import OutboxKind, Receipt, ReceiptKind
from vextrus_payments.testing.store_checks_commit import with_rows
from vextrus_payments.testing.store_checks_reading import all_pages
from vextrus_payments.testing.store_records import settlement_plan
from vextrus_payments.testing.store_trial import ACME, StoreTrial, expect, expect_raises

_HERE = ("acme", "bkash", Mode.SANDBOX)


async def _receipts(trial: StoreTrial, count: int) -> list[Receipt]:
    """Receipts of so many payments, a moment apart."""
    made: list[Receipt] = []
    for number in range(count):
        facts = await trial.paid(f"INV-{number}", transaction_id=f"TRX{9 - number}")
        made += facts.receipts
        await trial.advance(0.01)
    return made


async def receipts_by_transaction_id(trial: StoreTrial) -> None:
    """Every receipt with one of the ids, of one tenant, gateway and mode; each once."""
    store = trial.store
    expect(await store.receipts(*_HERE, ["TRX1"]) == (), "receipts of nothing are an empty tuple")
    first, second = await _receipts(trial, 2)
    facts = await trial.facts("acme", "pay_INV-0")
    refund = replace(first, kind=ReceiptKind.REFUND)
    await trial.recorded(with_rows(facts, receipts=(refund,)))
    for name, account in (("tenant", replace(ACME, tenant="other")), ("mode", replace(ACME, mode=Mode.LIVE))):
        await trial.paid(f"INV-{name}", account, transaction_id="TRX9")
    found = await store.receipts(*_HERE, ["TRX9", "TRX8", "none", "TRX9"])
    expect(len(found) == 3 and set(found) == {first, second, refund}, "all kinds of these ids, and no others")
    expect(await store.receipts(*_HERE, []) == (), "no ids, no receipts")
    await expect_raises(ValueError, store.receipts(*_HERE, ["x"] * 1001), "more than 1,000 ids at once")


async def receipts_page_by_page(trial: StoreTrial) -> None:
    """Receipts are listed by the time they were recorded, page after page; `since` is in, `until` is not."""
    store = trial.store
    expect(await store.list_receipts(*_HERE) == Page((), None), "list_receipts of nothing is an empty page")
    made = await _receipts(trial, 6)
    await trial.paid("INV-live", replace(ACME, mode=Mode.LIVE))
    for limit in (1, 4, 6, 100):
        rows = await all_pages(partial(store.list_receipts, *_HERE, limit=limit))
        expect(rows == made, f"pages of {limit} tile the receipts")
    expect((await store.list_receipts(*_HERE, limit=6)).cursor is None, "the last page has no cursor")
    since = await all_pages(partial(store.list_receipts, *_HERE, since=made[2].recorded_at, limit=2))
    expect(since == made[2:], "`since` includes its own moment")
    until = await all_pages(partial(store.list_receipts, *_HERE, until=made[4].recorded_at, limit=3))
    expect(until == made[:4], "`until` excludes its own moment")
    one = await store.list_receipts(*_HERE, since=made[3].recorded_at, until=made[4].recorded_at)
    expect(list(one.rows) == [made[3]], "both together")
    for number in (0, 1, 3, 5):
        await store.settle([settlement_plan(made[number], store.now())])
    for limit in (1, 2, 100):
        rows = await all_pages(partial(store.list_receipts, *_HERE, unsettled=True, limit=limit))
        expect(rows == [made[2], made[4]], "`unsettled` leaves out what has a settlement")
    for limit in (0, -1, 10**9):
        await expect_raises(ValueError, store.list_receipts(*_HERE, limit=limit), f"a page of {limit}")
    await expect_raises(ValueError, store.list_receipts(*_HERE, cursor="x"), "a cursor that no page gave")


async def settlements_are_written_once(trial: StoreTrial) -> None:
    """A statement read twice changes nothing; a correction replaces; each posts its own entries and no other."""
    store = trial.store
    first, second, third = await _receipts(trial, 3)
    keys = [receipt.key for receipt in (first, second, third)]
    expect(await store.settlements(keys) == (), "no settlements are an empty tuple")
    before = await store.backlog(OutboxKind.LEDGER)
    plans = [settlement_plan(receipt, store.now()) for receipt in (first, second)]
    expect(await store.settle(plans) == 2, "two receipts are settled")
    found = {each.transaction_id: each for each in await store.settlements([*keys, keys[0]])}
    expect(
        found == {plan.settlement.transaction_id: plan.settlement for plan in plans},
        "settlements come back as they were written, each once",
    )
    expect(await store.settle(plans) == 0, "the same statement again settles nothing")
    after = await store.backlog(OutboxKind.LEDGER)
    expect(after.waiting == before.waiting + 2, "and posts nothing twice")
    fixed = settlement_plan(first, store.now(), version=2)
    fixed = replace(fixed, settlement=replace(fixed.settlement, fee=Money("2.00"), row=8))
    stale = settlement_plan(second, store.now(), version=3)
    unknown = settlement_plan(replace(third, transaction_id="none"), store.now())
    kind = settlement_plan(replace(third, kind=ReceiptKind.REFUND), store.now())
    tenant = settlement_plan(replace(third, tenant="other"), store.now())
    new = settlement_plan(third, store.now())
    count = await store.settle([stale, fixed, unknown, kind, tenant, new])
    expect(count == 2, "of six, the correction and the new one are written")
    found = {each.transaction_id: each for each in await store.settlements(keys)}
    expect(found[first.transaction_id] == fixed.settlement, "a correction replaces what was there")
    expect(found[second.transaction_id] == plans[1].settlement, "a stale one changes nothing")
    expect(found[third.transaction_id] == new.settlement, "what stands beside it is written")
    posted = await store.backlog(OutboxKind.LEDGER)
    expect(posted.waiting == after.waiting + 2, "what is left out posts nothing")
    in_order = [settlement_plan(second, store.now(), version=version) for version in (2, 3)]
    expect(await store.settle(in_order) == 2, "two words on one receipt are taken in order")
    expect(await store.settle([]) == 0, "nothing settles nothing")
    await expect_raises(ValueError, store.settle([new] * 1001), "more than 1,000 at once")
    await expect_raises(ValueError, store.settlements([keys[0]] * 1001), "more than 1,000 keys at once")


async def settlements_whole_or_not_at_all(trial: StoreTrial) -> None:
    """One member that cannot be stored, and none of them is."""
    store = trial.store
    first, second = await _receipts(trial, 2)
    good = [settlement_plan(receipt, store.now()) for receipt in (first, second)]
    entry = good[1].outbox[0]
    before = await store.backlog(OutboxKind.LEDGER)
    for why, outbox in (
        ("a text no database can store", (replace(entry, document="\ud800"),)),
        ("a row of another tenant", (replace(entry, tenant="other"),)),
    ):
        bad = [good[0], replace(good[1], outbox=outbox)]
        await expect_raises(StorageError, store.settle(bad), f"a member with {why} raises StorageError")
        expect(await store.settlements([first.key, second.key]) == (), f"{why}: no settlement is written")
        now = await store.backlog(OutboxKind.LEDGER)
        expect(now.waiting == before.waiting, f"{why}: nothing is posted")
    expect(await store.settle(good) == 2, "the good ones, after that")


async def settlers_race(trial: StoreTrial) -> None:
    """The same statement read by many at once is written once."""
    receipts = await _receipts(trial, 4)
    before = await trial.store.backlog(OutboxKind.LEDGER)
    plans = [settlement_plan(receipt, trial.store.now()) for receipt in receipts]
    counts = await asyncio.gather(*(trial.both(n).settle(plans) for n in range(6)))
    expect(sorted(counts) == [0, 0, 0, 0, 0, 4], "exactly one of six readers writes the four settlements")
    after = await trial.store.backlog(OutboxKind.LEDGER)
    expect(after.waiting == before.waiting + 4, "with four entries")
    found = await trial.store.settlements([receipt.key for receipt in receipts])
    expect({each.version for each in found} == {1}, "in their first version")


async def marks(trial: StoreTrial) -> None:
    """A mark is set from what it is known to be; of many who set it at once, one does."""
    store = trial.store
    for name in ("epoch", "schema_version", "application_id", "ইপক"):
        expect(await store.get_mark(name) is None, "no mark is there before it was put")
    expect(not await store.put_mark("epoch", "a", expected="x"), "a mark that is not there is not 'x'")
    expect(await store.put_mark("epoch", "a", expected=None), "a first mark is put")
    expect(not await store.put_mark("epoch", "b", expected=None), "a first mark is put once")
    expect(await store.get_mark("epoch") == "a", "a mark comes back as it was put")
    expect(await store.put_mark("epoch", "b", expected="a"), "a mark is moved on from what it is")
    expect(not await store.put_mark("epoch", "c", expected="a"), "not from what it was")
    expect(await store.put_mark("epoch", "b", expected="b"), "a mark may stay what it is")
    tries = await asyncio.gather(*(trial.both(n).put_mark("epoch", f"c{n}", expected="b") for n in range(8)))
    expect(sum(tries) == 1, "exactly one of eight moves the mark on")
    expect(await store.get_mark("epoch") == f"c{tries.index(True)}", "and it is that one's")
    firsts = await asyncio.gather(*(trial.both(n).put_mark("other", str(n), expected=None) for n in range(8)))
    expect(sum(firsts) == 1, "exactly one of eight puts a first mark")
    expect(await store.put_mark("schema_version", "mine", expected=None), "a mark of any name can be put")
    expect(await store.get_mark("epoch") != "mine", "marks are kept by name")


async def others_are_noticed(trial: StoreTrial) -> None:
    """Where a store can tell that others have committed, it does so for every commit of theirs and for nothing else."""
    store = trial.store
    mark = await store.change_mark()
    if mark is None:
        expect(await store.change_mark() is None, "a store that cannot tell never says that it can")
        return
    await store.get("acme", "pay_none")
    await trial.other.get("acme", "pay_none")
    expect(await store.change_mark() == mark, "nobody has committed anything")
    if trial.other is store:
        return
    await trial.other.reserve(trial.wish("INV-1"))
    second = await store.change_mark()
    expect(second != mark, "another's reservation is noticed")
    await trial.other.put_mark("epoch", "a", expected=None)
    expect(await store.change_mark() not in (mark, second), "and so is the next commit of theirs")


CHECKS = (
    receipts_by_transaction_id,
    receipts_page_by_page,
    settlements_are_written_once,
    settlements_whole_or_not_at_all,
    settlers_race,
    marks,
    others_are_noticed,
)
