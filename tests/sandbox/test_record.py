"""The record itself: what it keeps, what it forgets, how it is read and listened to."""

import asyncio
from typing import Any

import pytest

from tests.sandbox.shop import FakeClock
from vextrus_payments_sandbox.record import ENTRIES_MAX, Entry, Record


def record(**limits: int) -> Record:
    return Record(FakeClock().now, **limits)


def titles(entries: list[Entry]) -> list[str]:
    return [entry.title for entry in entries]


def test_a_payment_has_its_own_list_oldest_first() -> None:
    kept = record()
    kept.add("call", "bkash", "A", "one")
    kept.add("call", "bkash", "B", "two")
    kept.add("call", "nagad", "A", "three")
    kept.add("money", "bkash", "A", "four", amount="1.00")
    kept.add("admin", "", "", "five")
    assert titles(kept.of("bkash", "A")) == ["one", "four"]
    assert titles(kept.of("nagad", "A")) == ["three"]
    assert kept.of("bkash", "nobody") == [] and kept.of("", "") == []
    assert [entry.seq for entry in kept.newest(10)] == [5, 4, 3, 2, 1]


def test_the_oldest_is_forgotten_and_a_payments_list_with_its_last() -> None:
    kept = record(entries_max=3)
    for index in range(5):
        kept.add("call", "bkash", f"P{index % 4}", f"{index}")
    assert titles(kept.newest(10)) == ["4", "3", "2"] and len(kept) == 3 and kept.forgotten == 2
    assert titles(kept.of("bkash", "P0")) == ["4"] and kept.of("bkash", "P1") == []
    assert set(kept._of) == {("bkash", "P0"), ("bkash", "P2"), ("bkash", "P3")}


def test_long_texts_are_forgotten_earlier_than_short_ones() -> None:
    kept = record(characters_max=100_000)
    for index in range(50):
        kept.add("call", "bkash", f"P{index}", "t", request={"headers": {}, "body": "x" * 9_000})
    assert 5 <= len(kept) <= 11
    kept.add("call", "bkash", "huge", "t", request={"headers": {}, "body": "x" * 200_000})
    assert titles(kept.of("bkash", "huge")) == ["t"] and len(kept) == 1  # the newest always stays


def test_what_is_kept_weighs_what_it_weighs_after_any_changes() -> None:
    kept = record(entries_max=5)
    entries = []
    for index in range(20):
        entries.append(kept.add("call", "bkash", f"P{index % 3}", "t"))
        kept.change(entries[index // 2], reference=f"Q{index % 2}", body="x" * index)
    alive = kept.newest(100)
    assert len(alive) == 5 and kept._weight == sum(kept._weights.values())
    assert set(kept._weights) == {entry.seq for entry in alive}
    assert sorted(kept._news) == sorted(entry.told for entry in alive)
    assert sorted(entry.seq for listed in kept._of.values() for entry in listed) == sorted(
        e.seq for e in alive
    )


def test_a_call_that_is_named_late_takes_its_place() -> None:
    kept = record()
    call = kept.add("call", "bkash", "", "create")
    kept.add("money", "bkash", "A", "moved")
    kept.change(call, reference="A", status=200)
    assert titles(kept.of("bkash", "A")) == ["create", "moved"]
    kept.change(call, reference="B")
    assert titles(kept.of("bkash", "A")) == ["moved"] and titles(kept.of("bkash", "B")) == ["create"]


def test_an_entry_that_was_forgotten_is_changed_without_a_trace() -> None:
    kept = record(entries_max=1)
    gone = kept.add("call", "bkash", "A", "old")
    kept.add("call", "bkash", "B", "new")
    told = kept.told
    kept.change(gone, reference="B", status=200)
    assert not kept.keeps(gone) and kept.told == told
    assert titles(kept.of("bkash", "B")) == ["new"] and kept.of("bkash", "A") == []


def test_a_payment_made_after_the_last_that_was_forgotten_is_told_whole() -> None:
    clock = FakeClock()
    kept = Record(clock.now, entries_max=1)
    assert kept.is_whole(clock.now())
    kept.add("call", "bkash", "A", "one")
    kept.add("call", "bkash", "B", "two")
    assert not kept.is_whole(clock.now())
    clock.step(seconds=1)
    assert kept.is_whole(clock.now())


def test_references_from_callers_are_cut() -> None:
    kept = record()
    kept.add("call", "bkash", "x" * 100_000, "t")
    assert len(kept.newest(1)[0].reference) == 256
    assert titles(kept.of("bkash", "x" * 100_000)) == ["t"]


def test_what_is_kept_in_all_is_what_is_written() -> None:
    assert ENTRIES_MAX == 20_000  # the documents say so


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ({}, ["webhook", "none", "refund", "pay", "grant"]),
        ({"limit": 2}, ["webhook", "none"]),
        ({"gateway": "nagad"}, ["refund"]),
        ({"kind": "webhook"}, ["webhook"]),
        ({"operation": "execute"}, ["none", "pay"]),
        ({"operation": "Notification"}, ["webhook"]),
        ({"status": "200"}, ["pay", "grant"]),
        ({"status": "5xx"}, ["webhook"]),
        ({"status": "4xx"}, ["refund"]),
        ({"status": "none"}, ["none"]),
        ({"text": "inv-7"}, ["pay"]),
        ({"text": "PAY-1"}, ["none", "pay"]),
        ({"text": "\"InvoiceX\""}, ["refund"]),
        ({"before": 3}, ["pay", "grant"]),
        ({"before": 1}, []),
        ({"gateway": "bkash", "status": "200", "operation": "execute"}, ["pay"]),
    ],
)  # fmt: skip
def test_filters(wish: dict[str, Any], expected: list[str]) -> None:
    kept = record()
    body = {"headers": {}, "body": '{"merchantInvoiceNumber":"INV-7"}'}
    kept.add("call", "bkash", "", "grant", operation="grant", path="/token", status=200)
    kept.add("call", "bkash", "pay-1", "pay", operation="execute", path="/x/inv-7", status=200, request=body)
    kept.add(
        "call", "nagad", "pay-2", "refund", operation="refund", status=400, answer={"body": '"InvoiceX"'}
    )
    kept.add("call", "bkash", "pay-1", "none", operation="execute", status=None, request=body, answer=None)
    kept.add("webhook", "bkash", "pay-3", "webhook", type="Notification", status=503)
    assert titles(kept.newest(**({"limit": 10} | wish))) == expected


async def test_a_listener_is_told_at_once_of_additions_and_of_changes() -> None:
    kept = record()
    first = kept.add("call", "bkash", "A", "one")
    assert titles(await kept.after(0, 0)) == ["one"]
    waiting = asyncio.create_task(kept.after(kept.told, 10))
    await asyncio.sleep(0)
    assert not waiting.done()
    kept.change(first, title="one: 200")
    assert titles(await waiting) == ["one: 200"]
    seen = kept.told
    second = kept.add("call", "bkash", "A", "two")
    kept.change(first, title="again")
    kept.change(second, title="two: 200")
    assert titles(await kept.after(seen, 0)) == [
        "again",
        "two: 200",
    ]  # each once, in the order of their last change
    assert await kept.after(kept.told, 0) == []


async def test_waiting_ends_with_the_time_and_with_the_server() -> None:
    kept = record()
    assert await kept.after(0, 0.01) == []
    waiting = [asyncio.create_task(kept.after(0, 60)) for _ in range(3)]
    await asyncio.sleep(0)
    kept.close()
    assert await asyncio.wait_for(asyncio.gather(*waiting), 5) == [[], [], []]
    assert kept.closings == 1 and not kept._waiting


async def test_a_cancelled_listener_leaves_nothing_behind() -> None:
    kept = record()
    waiting = asyncio.create_task(kept.after(0, 60))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not kept._waiting


async def test_numbers_go_on_after_a_reset_and_one_from_an_earlier_life_counts_as_none() -> None:
    kept = record()
    kept.add("call", "bkash", "A", "before")
    seen = kept.told
    kept.clear()
    assert len(kept) == 0 and kept.of("bkash", "A") == [] and not kept.missed(seen) and kept.missed(seen - 1)
    kept.add("admin", "", "", "The sandbox started over")
    assert titles(await kept.after(seen, 0)) == ["The sandbox started over"]
    assert kept.missed(99_999) and titles(await kept.after(99_999, 0)) == ["The sandbox started over"]


async def test_who_reads_too_slowly_is_known_to_have_missed_something() -> None:
    kept = record(entries_max=2)
    for index in range(3):
        kept.add("call", "bkash", "A", f"{index}")
    assert kept.missed(0) and not kept.missed(1)
    assert titles(await kept.after(0, 0)) == ["1", "2"]
