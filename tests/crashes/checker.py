"""The outside checker: what the gateway's books, its log of calls and the ledger's file say of what was sold.

It reads nothing of the SDK's own state and imports nothing of it.
"""

import json
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class World:
    """What can be seen from outside."""

    books: list[Mapping[str, Any]]
    calls: list[Mapping[str, Any]]
    own_problems: list[str]
    """Where the sandbox's books do not agree with themselves."""


def look(sandbox: str) -> World:
    """Ask the sandbox's own routes."""

    def get(name: str) -> Any:
        with urllib.request.urlopen(f"{sandbox}/_sandbox/{name}") as answer:
            return json.loads(answer.read())

    books = get("books")
    return World(books["payments"], get("wire")["calls"], books["problems"])


def paisa(text: str) -> int:
    """Minor units of the books' text."""
    minor = Decimal(text) * 100
    assert minor == int(minor), text
    return int(minor)


def problems_of(world: World, orders: Iterable[Mapping[str, str]], ledger: Path) -> list[str]:
    """Everything that is wrong with what became of these orders; empty where nothing is."""
    lines = [json.loads(line) for line in ledger.read_text(encoding="utf-8").splitlines()]
    problems = [*world.own_problems, *_contradictions(lines)]
    entries: dict[str, dict[str, Any]] = {}
    for line in lines:
        entries.setdefault(line["id"], line)
    by_reference: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in entries.values():
        by_reference[entry["reference"]].append(entry)
        sides = Counter[str]()
        for _, side, minor in entry["postings"]:
            sides[side] += minor
        if sides["debit"] != sides["credit"]:
            problems.append(f"{entry['id']}: debits and credits differ")
    wanted = {order["reference"]: order for order in orders}
    for reference, order in wanted.items():
        rows = [row for row in world.books if row["invoice"].split("-")[0] == reference]
        problems += _charges(reference, order, rows)
        problems += _ledger(reference, rows, by_reference.pop(reference, []))
        problems += _wire(reference, rows, world.calls)
    problems += [f"{reference}: the ledger has entries of no order" for reference in by_reference]
    return problems


def _contradictions(lines: list[dict[str, Any]]) -> list[str]:
    """The same id must always come with the same content."""
    contents: dict[str, set[str]] = defaultdict(set)
    for line in lines:
        contents[line["id"]].add(json.dumps(line, sort_keys=True))
    return [f"{name}: one entry with two contents" for name, found in contents.items() if len(found) > 1]


def _charges(reference: str, order: Mapping[str, str], rows: list[Mapping[str, Any]]) -> list[str]:
    charged = [row for row in rows if paisa(row["captured"])]
    if len(charged) > 1:
        return [f"{reference}: double charge, {len(charged)} payments captured"]
    if not charged:
        return [f"{reference}: never charged"]
    captured, refunded = paisa(charged[0]["captured"]), paisa(charged[0]["refunded"])
    found = []
    if captured != paisa(order["amount"]):
        found.append(f"{reference}: charged {captured} paisa instead of {order['amount']}")
    if refunded > paisa(order["refund"]):
        found.append(f"{reference}: refunded twice, {refunded} paisa")
    elif refunded < paisa(order["refund"]):
        found.append(f"{reference}: the refund is missing")
    return found


def _ledger(reference: str, rows: list[Mapping[str, Any]], entries: list[dict[str, Any]]) -> list[str]:
    """The ledger's clearing account holds what the gateway's books hold: nothing lost, nothing doubled."""
    moved = Counter[str]()
    moved["payment.received"] = sum(paisa(row["captured"]) for row in rows)
    moved["payment.refunded"] = sum(paisa(row["refunded"]) for row in rows)
    booked = Counter[str]()
    for entry in entries:
        booked[entry["kind"]] += sum(
            minor for account, _, minor in entry["postings"] if "clearing" in account
        )
    found = []
    for kind in {*moved, *booked}:
        if booked[kind] < moved[kind]:
            found.append(f"{reference}: lost, the ledger has {booked[kind]} of {moved[kind]} paisa {kind}")
        elif booked[kind] > moved[kind]:
            found.append(
                f"{reference}: doubled, the ledger has {booked[kind]} for {moved[kind]} paisa {kind}"
            )
    kinds = [entry["kind"] for entry in entries]
    if kinds != sorted(kinds, key=["payment.received", "payment.refunded"].index):
        found.append(f"{reference}: the ledger heard of it out of order: {kinds}")
    return found


def _wire(reference: str, rows: list[Mapping[str, Any]], calls: list[Mapping[str, Any]]) -> list[str]:
    """Money moves by one call of each kind."""
    ours = {row["reference"] for row in rows}
    moving = Counter(
        call["operation"] for call in calls if call["moved_money"] and call.get("reference") in ours
    )
    return [
        f"{reference}: {count} calls of {name} moved money" for name, count in moving.items() if count > 1
    ]
