"""The first checker's part about money that leaves: the gateway's books against the ledger, the store's table, the news
and what callers were told."""

import json
import sqlite3
from collections import Counter, defaultdict
from contextlib import closing
from typing import Any

from vextrus_payments.testing.simulation.shop import PAYING_OUT
from vextrus_payments.testing.simulation.simulation import Run
from vextrus_payments.testing.simulation.world import Disbursement, PaysOut

Finding = tuple[str, str]

_MADE = ("payout.sent", "transfer.made")


def audit_payouts(run: Run) -> frozenset[Finding]:
    """Everything that is wrong with payouts and transfers. Subjects are transaction ids, and our ids of payouts."""
    lines = [line for world in run.worlds if isinstance(world, PaysOut) for line in world.paid_out()]
    kept = _kept(run)
    found: set[Finding] = set()
    if lines or kept:
        _left_once(run, lines, found)
        _booked_once(run, lines, kept, found)
        _told(run, lines, kept, found)
        _ends(run, kept, found)
    return frozenset(found)


def _kept(run: Run) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(f"file:{run.store}?mode=ro", uri=True)) as connection:
        there = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'payouts'")
        if not there.fetchone()[0]:
            return []
        return [json.loads(row[0]) for row in connection.execute("SELECT document FROM payouts")]


def _left_once(run: Run, lines: list[Disbursement], found: set[Finding]) -> None:
    """Each payout left at most once; and no more of an amount left than was asked for. The second holds as well where
    a restored store has forgotten one, and knows it by another id when it is asked for again."""
    named = Counter((line.tenant, line.order_id) for line in lines if line.kind == "payout")
    found |= {("double_payout", order_id) for (_, order_id), times in named.items() if times > 1}
    asked: dict[tuple[str, str, int], set[str]] = defaultdict(set)
    for told in run.told:
        if told.verb in ("payout", "transfer"):
            request = told.arguments[0]
            kind = request.direction.value if told.verb == "transfer" else "payout"
            asked[told.tenant, kind, request.amount.amount_minor].add(request.operation_id)
    made = Counter((line.tenant, line.kind, line.amount_minor) for line in lines)
    for key, times in made.items():
        if times > len(asked[key]):
            found.add(("double_payout", f"{key[1]} {key[2]}"))


def _booked_once(
    run: Run, lines: list[Disbursement], kept: list[dict[str, Any]], found: set[Finding]
) -> None:
    """What left has one entry that stands, of its own operation, or one that a person made; what did not has none."""
    entered = Counter(line.transaction_id for line in run.by_hand)
    operation_of = {(row["tenant"], row["payout_id"]): row["operation"]["operation_id"] for row in kept}
    standing = _standing(run)
    parted = any(kind == "transfer.made" for kind, _ in standing)
    for line in lines:
        kind = "payout.sent" if line.kind == "payout" else "transfer.made"
        entries = standing.pop((kind, line.transaction_id), [])
        times = len(entries) + entered.pop(line.transaction_id, 0)
        if not times and (parted or kind == "payout.sent"):
            found.add(("lost", line.transaction_id))
        if times > 1:
            found.add(("doubled", line.transaction_id))
        own = operation_of.get((line.tenant, line.order_id))
        for entry in entries:
            if any(posting.amount.amount_minor != line.amount_minor for posting in entry.postings):
                found.add(("wrong_amount", line.transaction_id))
            where = (entry.tenant, entry.gateway, entry.mode.value)
            if where != (line.tenant, line.gateway, line.mode):
                found.add(("mixed", line.transaction_id))
            if own is not None and entry.operation_id != own:
                found.add(("mixed", line.transaction_id))
    found |= {("phantom", transaction_id) for _, transaction_id in standing}
    found |= {("phantom", transaction_id) for transaction_id in entered}


def _standing(run: Run) -> dict[tuple[str, str], list[Any]]:
    """By kind and transaction, the distinct entries that were not taken back."""
    entries = {taken.entry.id: taken.entry for taken in run.entries}
    back = {entry.transaction_id for entry in entries.values() if entry.kind.value == "payout.reversed"}
    found: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for entry in entries.values():
        if entry.kind.value in ("payout.sent", "transfer.made") and entry.transaction_id not in back:
            found[entry.kind.value, entry.transaction_id].append(entry)
    return dict(found)


def _told(run: Run, lines: list[Disbursement], kept: list[dict[str, Any]], found: set[Finding]) -> None:
    """Nobody was told the opposite of what the books show, and no two final words about one payout differ."""
    made = {line.transaction_id for line in lines}
    left = {(line.tenant, line.order_id) for line in lines if line.order_id}
    said: dict[tuple[str, str], set[str]] = defaultdict(set)
    for told in run.told:
        if told.verb not in PAYING_OUT:
            continue
        answer = told.answer
        match type(answer).__name__:
            case "Sent" | "Transferred":
                said[told.tenant, answer.payout_id].add(answer.transaction_id)
                if answer.transaction_id not in made:
                    found.add(("said_paid", answer.payout_id))
            case "Declined":
                said[told.tenant, answer.payment_id].add("declined")
                if (told.tenant, answer.payment_id) in left:
                    found.add(("called_failed", answer.payment_id))
            case _:
                continue
    found |= {("contradiction", payout_id) for (_, payout_id), words in said.items() if len(words) > 1}
    for row in kept:
        key = (row["tenant"], row["payout_id"])
        state = row["operation"]["state"]
        if key in left and state in ("declined", "cancelled", "reserved"):
            found.add(("said_unsent" if state == "reserved" else "called_failed", row["payout_id"]))


def _ends(run: Run, kept: list[dict[str, Any]], found: set[Finding]) -> None:
    """Nothing is under way for ever, and of what nobody knows somebody was told. What left was announced, once, and
    once more by a restored store that had forgotten it."""
    heard: dict[str, Counter[str]] = defaultdict(Counter)
    again: Counter[str] = Counter()
    restored_at_s = run.restores.restored_at_s
    for taken in {taken.entry.id: taken for taken in reversed(run.events)}.values():
        event = taken.entry
        if event.payout_id is not None:
            heard[event.payout_id][event.kind.value] += 1
            if restored_at_s is not None and taken.at_s >= restored_at_s:
                again[event.payout_id] += event.kind.value in _MADE
    for row in kept:
        payout_id, state = row["payout_id"], row["operation"]["state"]
        news = heard[payout_id]
        if state in ("submitting", "pending") or (state == "unknown" and not news["payout.unknown"]):
            found.add(("unfinished", payout_id))
        made = news["payout.sent"] + news["transfer.made"]
        if state == "succeeded" and made + news["payout.review"] == 0:
            found.add(("unannounced", payout_id))
        twice = max(again[payout_id], made - again[payout_id]) > 1
        if twice:
            found.add(("announced_twice", payout_id))
        elif made and state in ("declined", "cancelled", "reserved"):
            found.add(("said_unsent" if state == "reserved" else "contradiction", payout_id))
