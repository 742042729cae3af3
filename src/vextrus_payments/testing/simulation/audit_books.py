"""The first checker: the gateway's books against the ledger and the store's own tables, line by line.

It knows nothing of the SDK's memory, and shares no line of code with the second checker (`audit_wire.py`), which
reads other sources. A finding is a pair (rule, what it is about).
"""

import json
import sqlite3
from collections import Counter, defaultdict
from contextlib import closing
from typing import Any

from vextrus_payments.testing.simulation.shop import PAYING_OUT
from vextrus_payments.testing.simulation.simulation import Run
from vextrus_payments.testing.simulation.world import Disbursement, KeepsFees, Movement, PaysOut

Finding = tuple[str, str]

_TERMINAL = {"paid", "closed", "lapsed"}
_HOLDING = {"reserved", "submitting", "pending", "unknown"}


class BooksAudit:
    """One run's books. `findings()` is empty when every promise was kept."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._found: set[Finding] = set()
        self._moves: list[Movement] = [move for world in run.worlds for move in world.movements()]
        self._completes = {world.gateway for world in run.worlds if world.payer_completes}
        self._payments: dict[str, dict[str, Any]] = {}
        self._operations: list[dict[str, Any]] = []
        self._payment_of_order: dict[tuple[str, str, str, str], str] = {}
        self._read_store()
        self._entries = self._distinct_entries()

    def findings(self) -> frozenset[Finding]:
        """Everything that is wrong."""
        self._world_itself()
        self._charges()
        self._entries_against_moves()
        self._sums()
        self._refunds()
        self._answers()
        self._amounts_agreed()
        self._ends()
        self._order()
        return frozenset(self._found)

    # --- reading ------------------------------------------------------------------------------------------------

    def _read_store(self) -> None:
        with closing(sqlite3.connect(f"file:{self._run.store}?mode=ro", uri=True)) as connection:
            if not connection.execute(
                "SELECT count(*) FROM sqlite_master WHERE name = 'payments'"
            ).fetchone()[0]:
                return
            for payment_id, document in connection.execute("SELECT payment_id, document FROM payments"):
                self._payments[payment_id] = json.loads(document)
            rows = connection.execute(
                "SELECT tenant, gateway, mode, gateway_order_id, payment_id FROM submissions"
            )
            for tenant, gateway, mode, order_id, payment_id in rows:
                self._payment_of_order[tenant, gateway, mode, order_id] = payment_id
            for (document,) in connection.execute("SELECT document FROM operations"):
                self._operations.append(json.loads(document))

    def _distinct_entries(self) -> dict[str, Any]:
        """What a ledger that is idempotent on the entry's id holds."""
        held: dict[str, Any] = {}
        for taken in self._run.entries:
            entry = taken.entry
            before = held.setdefault(entry.id, entry)
            if before.postings != entry.postings or before.transaction_id != entry.transaction_id:
                self._found.add(("doubled", entry.transaction_id))
        return held

    def _payment_of(self, move: Movement) -> dict[str, Any] | None:
        payment_id = self._payment_of_order.get((move.tenant, move.gateway, move.mode, move.order_id))
        return None if payment_id is None else self._payments[payment_id]

    # --- rules --------------------------------------------------------------------------------------------------

    def _world_itself(self) -> None:
        for world in self._run.worlds:
            for problem in world.audit():
                self._found.add(("world", problem))

    def _charges(self) -> None:
        charges: dict[tuple[str, str, str], list[tuple[Movement, dict[str, Any]]]] = defaultdict(list)
        for move in self._moves:
            payment = self._payment_of(move) if move.kind == "capture" else None
            if payment is not None:
                charges[move.tenant, move.mode, payment["merchant_reference"]].append((move, payment))
        for (_, _, reference), lines in charges.items():
            if any(payment.get("allow_repeat") for _, payment in lines):
                continue
            # Where the payer himself completes, nobody can keep him from paying again: then it has to be told.
            ours = [line for line in lines if line[0].gateway not in self._completes]
            told = (
                [line for line in lines if "duplicate" in line[1]["flags"]] if len(ours) < len(lines) else []
            )
            if len(ours) > 1 or len(lines) - len(told) > 1:
                self._found.add(("double_charge", reference))

    def _entries_against_moves(self) -> None:
        of_transaction: dict[tuple[str, str], list[Any]] = defaultdict(list)
        for entry in self._entries.values():
            kind = {"payment.received": "capture", "payment.refunded": "refund"}.get(entry.kind.value)
            if kind is not None:
                of_transaction[kind, entry.transaction_id].append(entry)
        for move in self._moves:
            entries = of_transaction.pop((move.kind, move.transaction_id), [])
            if not entries:
                self._found.add(("lost", move.transaction_id))
            if len(entries) > 1:
                self._found.add(("doubled", move.transaction_id))
            for entry in entries:
                if any(posting.amount.amount_minor != move.amount_minor for posting in entry.postings):
                    self._found.add(("wrong_amount", move.transaction_id))
                booked = (entry.tenant, entry.gateway, entry.mode.value)
                if booked != (move.tenant, move.gateway, move.mode):
                    self._found.add(("mixed", move.transaction_id))
        for _, transaction_id in of_transaction:
            self._found.add(("phantom", transaction_id))

    def _sums(self) -> None:
        """The clearing accounts of the ledger hold what the gateways hold for us."""
        held: Counter[tuple[str, str]] = Counter()
        for move in self._moves:
            held[move.gateway, move.mode] += move.amount_minor * (1 if move.kind == "capture" else -1)
        for world in self._run.worlds:
            if isinstance(world, KeepsFees):
                held[world.gateway, world.mode] -= world.fees_minor()
            if isinstance(world, PaysOut):
                for line in world.paid_out():
                    if line.kind == "payout":
                        held[world.gateway, world.mode] -= line.amount_minor + self._fee_told(line)
        booked: Counter[tuple[str, str]] = Counter()
        for entry in self._entries.values():
            for posting in entry.postings:
                name, _, rest = posting.account.partition(":")
                if name in ("gateway_clearing", "gateway_disbursement"):
                    gateway, _, mode = rest.partition(":")
                    sign = 1 if posting.side.value == "debit" else -1
                    booked[gateway, mode] += sign * posting.amount.amount_minor
        for entered in self._run.by_hand:
            if entered.kind == "payout":
                booked[entered.gateway, entered.mode] -= entered.amount_minor
        for place in held.keys() | booked.keys():
            if held[place] != booked[place]:
                self._found.add(("sums", "/".join(place)))

    def _fee_told(self, line: Disbursement) -> int:
        """Of what the gateway took, what it has told: an operator's answer says nothing of a fee; a statement will."""
        key = (line.tenant, line.gateway, line.transaction_id)
        told = any(
            entry.kind.value == "payment.fee" and (entry.tenant, entry.gateway, entry.transaction_id) == key
            for entry in self._entries.values()
        )
        return line.fee_minor if told else 0

    def _refunds(self) -> None:
        taken: Counter[str] = Counter()
        given: Counter[str] = Counter()
        for move in self._moves:
            (taken if move.kind == "capture" else given)[move.reference] += move.amount_minor
        for reference, amount in given.items():
            if amount > taken[reference]:
                self._found.add(("over_refunded", reference))
        self._promises()

    def _promises(self) -> None:
        """The store's own tables: what refunds have spoken for is never more than what came in."""
        spoken: Counter[str] = Counter()
        came: Counter[str] = Counter()
        for operation in self._operations:
            if operation["kind"] == "refund" and operation["state"] in _HOLDING | {"succeeded"}:
                spoken[operation["payment_id"]] += _minor(operation["amount"])
        for move in self._moves:
            payment = self._payment_of(move)
            if payment is not None and move.kind == "capture":
                came[payment["payment_id"]] += move.amount_minor
        for payment_id, amount in spoken.items():
            if amount > came[payment_id] and "quarantined" not in self._payments[payment_id]["flags"]:
                self._found.add(("over_promised", payment_id))

    def _answers(self) -> None:
        """Nothing was called declined that moved money, and no two answers contradict each other."""
        captured: dict[str, list[Movement]] = defaultdict(list)
        for move in self._moves:
            payment = self._payment_of(move)
            if payment is not None and move.kind == "capture":
                captured[payment["payment_id"]].append(move)
        by_operation = {
            (entry.tenant, entry.operation_id): entry
            for entry in self._entries.values()
            if entry.kind.value == "payment.refunded"
        }
        said: dict[str, set[str]] = defaultdict(set)
        # What only a person called not made, the gateway may show all the same: later, or made in its portal.
        on_word = {
            (told.tenant, told.arguments[0].operation_id)
            for told in self._run.told
            if told.verb == "resolve" and told.arguments[0].verdict == "not_made" and told.error is None
        }
        for told in self._run.told:
            if told.verb in PAYING_OUT:
                continue
            answer = getattr(told.answer, "outcome", told.answer)
            word = type(answer).__name__
            if word == "Declined" and (told.tenant, answer.operation_id) in on_word:
                continue
            if word == "Declined" and told.verb in ("refund", "refund_status", "withdraw"):
                said[f"refund {told.tenant} {answer.operation_id}"].add(word)
                if (told.tenant, answer.operation_id) in by_operation:
                    self._found.add(("called_failed", answer.operation_id))
            elif word == "Declined" and told.verb == "void":
                continue  # it was not let go: that says nothing about the money
            elif word == "Declined":
                if told.verb != "capture":
                    said[answer.payment_id].add(word)
                gateway = self._payments[answer.payment_id]["gateway"]
                if captured[answer.payment_id] and gateway not in self._completes:
                    self._found.add(("called_failed", answer.payment_id))
            elif word == "Paid":
                said[answer.payment_id].add(f"Paid {answer.transaction_id}")
                if answer.transaction_id not in {move.transaction_id for move in captured[answer.payment_id]}:
                    self._found.add(("said_paid", answer.payment_id))
                if answer.late:
                    said[answer.payment_id].discard("Declined")
            elif word == "Refunded":
                said[f"refund {told.tenant} {answer.operation_id}"].add(f"Refunded {answer.transaction_id}")
                said[f"receipt {told.tenant} {answer.transaction_id}"].add(answer.operation_id)
        for subject, words in said.items():
            if len(words) > 1:
                self._found.add(("contradiction", subject))

    def _amounts_agreed(self) -> None:
        """Money at another amount than was asked for is in suspense, and nobody was told that it was paid, unless a
        person had cleared it before."""
        cleared: dict[str, int] = {}
        for told in self._run.told:
            if told.verb == "resolve" and told.arguments[0].verdict == "cleared" and told.error is None:
                cleared.setdefault(told.arguments[0].payment_id, told.number)
        for move in self._moves:
            payment = self._payment_of(move)
            if payment is None or move.kind != "capture" or move.amount_minor == _minor(payment["amount"]):
                continue
            payment_id = payment["payment_id"]
            for entry in self._entries.values():
                is_its = (entry.kind.value, entry.transaction_id) == ("payment.received", move.transaction_id)
                if is_its and "suspense" not in {posting.account for posting in entry.postings}:
                    self._found.add(("unchecked_amount", payment_id))
            for told in self._run.told:
                answer = getattr(told.answer, "outcome", told.answer)
                if type(answer).__name__ != "Paid" or answer.payment_id != payment_id:
                    continue
                if told.number < cleared.get(payment_id, told.number + 1):
                    self._found.add(("unchecked_amount", payment_id))

    def _ends(self) -> None:
        """Every payment is over, or a person was told that nobody knows."""
        if not self._run.settled:
            self._found.add(("unfinished", "the run"))
        told = {
            taken.entry.operation_id
            for taken in self._run.events
            if taken.entry.kind.value == "payment.unknown_opened"
        }
        waits = {
            taken.entry.payment_id
            for taken in self._run.events
            if taken.entry.kind.value == "payment.quarantined"
        }
        for operation in self._operations:
            if operation["state"] == "unknown":
                if operation["operation_id"] not in told and operation["payment_id"] not in waits:
                    self._found.add(("unfinished", operation["operation_id"]))
            elif operation["state"] in ("submitting", "pending"):
                self._found.add(("unfinished", operation["operation_id"]))
        for payment_id, payment in self._payments.items():
            if payment["state"] in _TERMINAL or "quarantined" in payment["flags"]:
                continue
            if payment["state"] != "authorized":
                self._found.add(("unfinished", payment_id))

    def _order(self) -> None:
        """A payment is booked before its refund is."""
        first: dict[tuple[str, str], int] = {}
        for number, taken in enumerate(self._run.entries):
            first.setdefault((taken.entry.payment_id, taken.entry.kind.value), number)
        for (payment_id, kind), number in first.items():
            if kind == "payment.refunded" and number < first.get(
                (payment_id, "payment.received"), number + 1
            ):
                self._found.add(("out_of_order", payment_id))


def _minor(amount: dict[str, str]) -> int:
    """Paisa, out of a stored amount: digits only, whatever the SDK's own money does."""
    whole, _, part = amount["amount"].partition(".")
    return int(whole) * 100 + int((part + "00")[:2])
