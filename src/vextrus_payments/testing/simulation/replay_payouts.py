"""The second checker's part about money that leaves: what was asked and answered on the wire, against the ledger, the
news and the answers to callers.

Apart from the first one's (audit_payouts.py): no books, no store.
"""

from dataclasses import dataclass, field
from typing import Any

from vextrus_payments.testing.simulation.faults import WireFault
from vextrus_payments.testing.simulation.network import Exchange
from vextrus_payments.testing.simulation.shop import PAYING_OUT
from vextrus_payments.testing.simulation.simulation import Run
from vextrus_payments.testing.simulation.world import HttpAnswer, PaysOut, WireFact

Wrong = tuple[str, str]

#: An answer that shows nothing: what was asked is read all the same.
_NO_ANSWER = HttpAnswer(504)
_HARMLESS = (WireFault.TOKEN_REJECTED,)
_ASKED = {"payout_asked": "paid_out", "transfer_asked": "transferred"}


@dataclass
class Leaving:
    """One payout, or all transfers of one amount one way, as the wire shows them."""

    tenant: str
    gateway: str
    mode: str
    asked: list[tuple[float, bool]] = field(default_factory=list)
    """When it was asked for, and whether that may have moved money as far as the caller can know."""
    made: dict[str, int] = field(default_factory=dict)
    """Transaction id -> amount."""


def replay_payouts(run: Run) -> set[Wrong]:
    """Everything that is wrong with payouts and transfers. Subjects are transaction ids, and our ids of payouts."""
    wrong: set[Wrong] = set()
    if not any(told.verb in PAYING_OUT for told in run.told):
        return wrong
    payouts: dict[str, Leaving] = {}
    transfers: dict[str, Leaving] = {}
    for exchange in run.wire:
        if not isinstance(exchange.world, PaysOut):
            continue
        for fact in exchange.world.facts(exchange.ask, exchange.answer or _NO_ANSWER):
            kind = fact.kind
            if kind in ("payout_asked", "paid_out"):
                _note(payouts.setdefault(fact.order_id, _of(exchange, fact)), exchange, fact)
            elif kind in ("transfer_asked", "transferred"):
                name = f"{fact.reference} {fact.amount_minor}"
                _note(transfers.setdefault(f"{fact.tenant} {name}", _of(exchange, fact)), exchange, fact)
    _asked_once(run, payouts, transfers, wrong)
    _booked(run, payouts, transfers, wrong)
    _answers(run, payouts, transfers, wrong)
    return wrong


def _of(exchange: Exchange, fact: WireFact) -> Leaving:
    return Leaving(fact.tenant, exchange.world.gateway, fact.mode)


def _note(seen: Leaving, exchange: Exchange, fact: WireFact) -> None:
    if fact.kind not in _ASKED:
        seen.made[fact.transaction_id] = fact.amount_minor
        return
    if exchange.fault in _HARMLESS:
        return
    answer = exchange.answer
    done = {one.kind for one in exchange.world.facts(exchange.ask, answer or _NO_ANSWER)}
    refused = answer is not None and exchange.fault is None and _ASKED[fact.kind] not in done
    seen.asked.append((exchange.at_s, not refused))


def _asked_once(
    run: Run, payouts: dict[str, Leaving], transfers: dict[str, Leaving], wrong: set[Wrong]
) -> None:
    """Nothing is asked for again that may have been done by the first time; and each thing was done once."""
    for order_id, seen in payouts.items():
        if any(doubtful for _, doubtful in seen.asked[:-1]):
            wrong.add(("sent_again", order_id))
        if len(seen.made) > 1:
            wrong.add(("double_payout", order_id))
    wished: dict[str, set[str]] = {}
    for told in run.told:
        if told.verb in ("payout", "transfer"):
            request = told.arguments[0]
            kind = "payout" if told.verb == "payout" else request.direction.value
            key = f"{told.tenant} {kind} {request.amount.amount_minor}"
            wished.setdefault(key, set()).add(request.operation_id)
    compared_at_s = run.restores.compared_at_s
    for key, seen in transfers.items():
        doubtful = [at_s for at_s, is_doubtful in seen.asked if is_doubtful]
        # Once a person has read on the statement that it was not made, it may be asked for again.
        later = sum(compared_at_s is not None and at_s > compared_at_s for at_s in doubtful)
        if max(later, len(doubtful) - later) > len(wished.get(key, ())):
            wrong.add(("sent_again", key.partition(" ")[2]))
    made: dict[str, set[str]] = {key: set(seen.made) for key, seen in transfers.items()}
    for seen in payouts.values():
        for transaction_id, amount_minor in seen.made.items():
            made.setdefault(f"{seen.tenant} payout {amount_minor}", set()).add(transaction_id)
    for key, lines in made.items():
        if len(lines) > len(wished.get(key, ())):
            wrong.add(("double_payout", key.partition(" ")[2]))


def _booked(run: Run, payouts: dict[str, Leaving], transfers: dict[str, Leaving], wrong: set[Wrong]) -> None:
    """The ledger, entry by entry as it came: what stands in the end is what the gateway answered."""
    ids: dict[str, str] = {}
    stands: dict[str, dict[str, Any]] = {"payout.sent": {}, "transfer.made": {}}
    for taken in run.entries:
        entry, kind = taken.entry, taken.entry.kind.value
        if ids.setdefault(entry.id, entry.transaction_id) != entry.transaction_id:
            wrong.add(("doubled", entry.transaction_id))
        if kind == "payout.reversed":
            for open_ in stands.values():
                open_.pop(entry.transaction_id, None)
        elif kind in stands:
            known = stands[kind].setdefault(entry.transaction_id, entry)
            if known.id != entry.id:
                wrong.add(("doubled", entry.transaction_id))
    announced = {t.entry.transaction_id for t in run.events if t.entry.kind.value == "transfer.made"}
    announced |= {t.entry.transaction_id for t in run.events if t.entry.kind.value == "payout.review"}
    entered = {line.transaction_id: line.amount_minor for line in run.by_hand}
    for found, kind in ((payouts, "payout.sent"), (transfers, "transfer.made")):
        parted = kind == "payout.sent" or bool(stands[kind])
        for seen in found.values():
            for transaction_id, amount_minor in seen.made.items():
                entry = stands[kind].pop(transaction_id, None)
                if transaction_id in entered:
                    if entry is not None:
                        wrong.add(("doubled", transaction_id))
                    if entered.pop(transaction_id) != amount_minor:
                        wrong.add(("wrong_amount", transaction_id))
                elif entry is None and (parted or transaction_id not in announced):
                    wrong.add(("lost", transaction_id))
                if entry is None:
                    continue
                if {one.amount.amount_minor for one in entry.postings} != {amount_minor}:
                    wrong.add(("wrong_amount", transaction_id))
                where = (entry.tenant, entry.gateway, entry.mode.value)
                if where != (seen.tenant, seen.gateway, seen.mode):
                    wrong.add(("mixed", transaction_id))
    wrong |= {
        ("phantom", transaction_id) for open_ in (*stands.values(), entered) for transaction_id in open_
    }


def _answers(run: Run, payouts: dict[str, Leaving], transfers: dict[str, Leaving], wrong: set[Wrong]) -> None:
    words: dict[tuple[str, str], str] = {}
    made = {trx for seen in (*payouts.values(), *transfers.values()) for trx in seen.made}
    for told in run.told:
        if told.verb not in PAYING_OUT or told.error is not None:
            continue
        answer = told.answer
        match type(answer).__name__:
            case "Sent" | "Transferred":
                subject, word = answer.payout_id, answer.transaction_id
                if word not in made:
                    wrong.add(("said_paid", subject))
            case "Declined":
                subject, word = answer.payment_id, "declined"
                if subject in payouts and payouts[subject].made:
                    wrong.add(("called_failed", subject))
            case "Pending" if answer.sent is False and not run.restores.is_amnesiac(told.asked_at_s):
                _said_unsent(payouts.get(answer.payment_id), answer.payment_id, told.asked_at_s, wrong)
                continue
            case _:
                continue
        if words.setdefault((told.tenant, subject), word) != word:
            wrong.add(("contradiction", subject))


def _said_unsent(seen: Leaving | None, payout_id: str, asked_at_s: float, wrong: set[Wrong]) -> None:
    """Somebody was told that nothing is on its way, while the one request had arrived before he asked."""
    if seen is not None and any(at_s < asked_at_s and doubtful for at_s, doubtful in seen.asked):
        wrong.add(("said_unsent", payout_id))
