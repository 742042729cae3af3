"""The second checker: it replays what gateways answered on the wire, and what the ledger took, as two event streams.

Written apart from the first one (`audit_books.py`): it never looks into the gateway's books or into the store. Its
gateway is made of the answers that the gateway itself gave, before any fault could spoil them.
"""

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from vextrus_payments.testing.simulation.network import Exchange
from vextrus_payments.testing.simulation.shop import PAYING_OUT, Told
from vextrus_payments.testing.simulation.simulation import Run
from vextrus_payments.testing.simulation.world import WireFact

Wrong: TypeAlias = tuple[str, str]

_HOUR_S = 3600.0


@dataclass
class Seen:
    """One payment as the wire shows it."""

    tenant: str
    gateway: str
    mode: str
    order_id: str
    reference: str
    asked_minor: int
    charges: dict[str, int] = field(default_factory=dict)
    refunds: dict[str, int] = field(default_factory=dict)
    listed: dict[str, int] = field(default_factory=dict)
    """Refunds that the gateway showed and that were not made over this wire: somebody made them elsewhere."""
    payment_id: str | None = None


@dataclass
class Booked:
    """One entry id as the ledger saw it, over all its deliveries."""

    entry: Any
    times: int = 1


def replay(run: Run) -> frozenset[Wrong]:
    """Everything that is wrong; empty when every promise was kept."""
    wrong: set[Wrong] = set()
    pictures = _pictures(run, wrong)
    ledger = _ledger(run, wrong)
    _link(pictures, run)
    _compare(pictures, ledger, wrong)
    _one_charge(pictures, run, wrong)
    _words(pictures, ledger, run, wrong)
    _sequence(run, wrong)
    _budget(run, wrong)
    return frozenset(wrong)


# --- the wire as a stream ---------------------------------------------------------------------------------------------


def _stream(run: Run) -> list[tuple[float, Exchange, WireFact]]:
    """Every fact, at the moment at which the gateway had done it."""
    found = []
    for exchange in run.wire:
        if exchange.answer is None or exchange.done_at_s is None:
            continue
        for fact in exchange.world.facts(exchange.ask, exchange.answer):
            found.append((exchange.done_at_s, exchange, fact))
    return sorted(found, key=lambda one: one[0])


def _pictures(run: Run, wrong: set[Wrong]) -> dict[str, Seen]:
    pictures: dict[str, Seen] = {}
    for _, exchange, fact in _stream(run):
        picture = pictures.get(fact.reference)
        if fact.kind == "created":
            if picture is not None:
                continue  # shown again: where the gateway collects by itself, by every look
            pictures[fact.reference] = Seen(
                tenant=fact.tenant,
                gateway=exchange.world.gateway,
                mode=fact.mode,
                order_id=fact.order_id,
                reference=fact.reference,
                asked_minor=fact.amount_minor,
            )
        elif picture is None:
            continue
        elif fact.kind in ("executed", "captured"):
            picture.charges[fact.transaction_id] = fact.amount_minor
        elif fact.kind == "refund_asked":
            left = sum(picture.charges.values()) - sum(picture.refunds.values())
            if fact.amount_minor > left:
                wrong.add(("over_asked", picture.reference))
        elif fact.kind == "refunded":
            picture.refunds[fact.transaction_id] = fact.amount_minor
            if sum(picture.refunds.values()) > sum(picture.charges.values()):
                wrong.add(("over_refunded", picture.reference))
        elif fact.kind == "refund_listed":
            picture.listed[fact.transaction_id] = fact.amount_minor
    for picture in pictures.values():
        for transaction_id in picture.refunds:
            picture.listed.pop(transaction_id, None)
    return pictures


# --- the ledger as a stream -------------------------------------------------------------------------------------------


def _ledger(run: Run, wrong: set[Wrong]) -> dict[str, Booked]:
    books: dict[str, Booked] = {}
    for taken in run.entries:
        entry = taken.entry
        known = books.get(entry.id)
        if known is None:
            books[entry.id] = Booked(entry)
            continue
        known.times += 1
        if repr(known.entry.postings) != repr(entry.postings):
            wrong.add(("doubled", entry.transaction_id))
    return books


def _link(pictures: dict[str, Seen], run: Run) -> None:
    """Which payment of ours a picture is: by what the shop was told, and by what the ledger was."""
    for told in run.told:
        session = told.answer
        if told.verb == "initialize" and session is not None:
            picture = pictures.get(session.gateway_reference)
            if picture is not None:
                picture.payment_id = session.payment_id
    by_transaction = {taken.entry.transaction_id: taken.entry for taken in run.entries}
    for picture in pictures.values():
        for transaction_id in picture.charges:
            entry = by_transaction.get(transaction_id)
            if entry is not None and picture.payment_id is None:
                picture.payment_id = entry.payment_id


def _compare(pictures: dict[str, Seen], ledger: dict[str, Booked], wrong: set[Wrong]) -> None:
    open_entries = {(book.entry.kind.value, book.entry.transaction_id): [] for book in ledger.values()}  # type: dict[tuple[str, str], list[Any]]
    for book in ledger.values():
        open_entries[book.entry.kind.value, book.entry.transaction_id].append(book.entry)
    for picture in pictures.values():
        lines_of = {"payment.received": picture.charges, "payment.refunded": picture.refunds | picture.listed}
        for kind, lines in lines_of.items():
            for transaction_id, amount_minor in lines.items():
                entries = open_entries.pop((kind, transaction_id), [])
                if len(entries) != 1:
                    wrong.add(("doubled" if entries else "lost", transaction_id))
                for entry in entries:
                    if {one.amount.amount_minor for one in entry.postings} != {amount_minor}:
                        wrong.add(("wrong_amount", transaction_id))
                    where = f"{entry.tenant} {entry.gateway} {entry.mode.value}"
                    if where != f"{picture.tenant} {picture.gateway} {picture.mode}":
                        wrong.add(("mixed", transaction_id))
    for kind, transaction_id in open_entries:
        if kind in ("payment.received", "payment.refunded"):
            wrong.add(("phantom", transaction_id))


# --- promises ---------------------------------------------------------------------------------------------------------


def _one_charge(pictures: dict[str, Seen], run: Run, wrong: set[Wrong]) -> None:
    asked: dict[tuple[str, str], bool] = {}
    for told in run.told:
        if told.verb == "initialize":
            request = told.arguments[0]
            key = (told.tenant, request.merchant_reference)
            asked[key] = asked.get(key, False) or request.allow_repeat
    news = {one.entry.transaction_id for one in run.events if one.entry.kind.value == "payment.duplicate"}
    completes = {world.gateway for world in run.worlds if world.payer_completes}
    charges: dict[tuple[str, str, str], set[str]] = {}
    by_payer: set[str] = set()
    for picture in pictures.values():
        owners = [
            ref for tenant, ref in asked if tenant == picture.tenant and picture.order_id.startswith(ref)
        ]
        if not owners:
            continue
        reference = max(owners, key=len)
        if asked[picture.tenant, reference]:
            continue
        charges.setdefault((picture.tenant, picture.mode, reference), set()).update(picture.charges)
        if picture.gateway in completes:
            by_payer |= picture.charges.keys()
    for (_, _, reference), transactions in charges.items():
        announced = news if transactions & by_payer else frozenset()
        if len(transactions - by_payer) > 1 or len(transactions - announced) > 1:
            wrong.add(("double_charge", reference))


def _words(pictures: dict[str, Seen], ledger: dict[str, Booked], run: Run, wrong: set[Wrong]) -> None:
    of_payment: dict[str, list[Seen]] = {}
    for picture in pictures.values():
        if picture.payment_id is not None:
            of_payment.setdefault(picture.payment_id, []).append(picture)
    completes = {world.gateway for world in run.worlds if world.payer_completes}
    refund_of = {
        (book.entry.tenant, book.entry.operation_id): book.entry.transaction_id
        for book in ledger.values()
        if book.entry.kind.value == "payment.refunded"
    }
    claims: dict[str, str] = {}
    denied = _denied_by_people(run)
    for told in run.told:
        if told.verb in PAYING_OUT:
            continue
        outcome = getattr(told.answer, "outcome", told.answer)
        match type(outcome).__name__:
            case "Declined" if (told.tenant, outcome.operation_id) in denied:
                continue  # the gateway's own word outranks it whenever it comes
            case "Declined" if told.verb in ("refund", "refund_status", "withdraw"):
                if (told.tenant, outcome.operation_id) in refund_of:
                    wrong.add(("called_failed", outcome.operation_id))
                _claim(claims, f"refund {told.tenant} {outcome.operation_id}", "declined", wrong)
            case "Declined" if told.verb == "void":
                continue
            case "Declined":
                for picture in of_payment.get(outcome.payment_id, ()):
                    if picture.charges and picture.gateway not in completes:
                        wrong.add(("called_failed", outcome.payment_id))
                if told.verb != "capture":
                    _claim(claims, outcome.payment_id, "declined", wrong)
            case "Paid":
                charges = {
                    trx for picture in of_payment.get(outcome.payment_id, ()) for trx in picture.charges
                }
                if outcome.transaction_id not in charges:
                    wrong.add(("said_paid", outcome.payment_id))
                if outcome.late and claims.get(outcome.payment_id) == "declined":
                    del claims[outcome.payment_id]
                _claim(claims, outcome.payment_id, outcome.transaction_id, wrong)
                if not _was_cleared(run, outcome.payment_id, told.told_at_s):
                    _paid_as_asked(of_payment.get(outcome.payment_id, ()), outcome, wrong)
            case "Refunded":
                _claim(claims, f"refund {told.tenant} {outcome.operation_id}", outcome.transaction_id, wrong)
                _claim(claims, f"receipt {told.tenant} {outcome.transaction_id}", outcome.operation_id, wrong)
            case "Pending" if outcome.sent is False and not run.restores.is_amnesiac(told.asked_at_s):
                _said_unsent(told, outcome, run, of_payment, wrong)


def _claim(claims: dict[str, str], subject: str, word: str, wrong: set[Wrong]) -> None:
    if claims.setdefault(subject, word) != word:
        wrong.add(("contradiction", subject))


def _denied_by_people(run: Run) -> frozenset[tuple[str, str | None]]:
    """The operations that an operator called not made."""
    answers = [told for told in run.told if told.verb == "resolve" and told.error is None]
    return frozenset(
        (told.tenant, told.arguments[0].operation_id)
        for told in answers
        if told.arguments[0].verdict.value == "not_made"
    )


def _was_cleared(run: Run, payment_id: str, at_s: float | None) -> bool:
    """A person had looked by then, and let the payment go on as it is."""
    return any(
        told.verb == "resolve"
        and told.error is None
        and (told.arguments[0].payment_id, told.arguments[0].verdict.value) == (payment_id, "cleared")
        and at_s is not None
        and told.asked_at_s <= at_s
        for told in run.told
    )


def _paid_as_asked(pictures: Any, outcome: Any, wrong: set[Wrong]) -> None:
    for picture in pictures:
        amount = picture.charges.get(outcome.transaction_id)
        if amount is not None and amount != picture.asked_minor:
            wrong.add(("unchecked_amount", outcome.payment_id))


def _said_unsent(
    told: Told, outcome: Any, run: Run, of_payment: dict[str, list[Seen]], wrong: set[Wrong]
) -> None:
    """Somebody was told that nothing is on its way, while an execute that moved money had arrived before he asked."""
    if told.verb in ("refund", "refund_status", "withdraw"):
        return
    references = {picture.reference for picture in of_payment.get(outcome.payment_id, ())}
    for exchange in run.wire:
        if exchange.answer is None or exchange.world.payer_completes or exchange.at_s >= told.asked_at_s:
            continue
        for fact in exchange.world.facts(exchange.ask, exchange.answer):
            if fact.kind == "executed" and fact.reference in references:
                wrong.add(("said_unsent", outcome.payment_id))


def _sequence(run: Run, wrong: set[Wrong]) -> None:
    """Entries of one payment come in their order; and nobody executes what nobody asked for."""
    received: set[str] = set()
    for taken in run.entries:
        if taken.entry.kind.value == "payment.received":
            received.add(taken.entry.payment_id)
        elif taken.entry.kind.value == "payment.refunded" and taken.entry.payment_id not in received:
            wrong.add(("out_of_order", taken.entry.payment_id))
    reference_of: dict[str, str] = {}
    wished: dict[str, float] = {}
    for told in run.told:
        if told.verb == "initialize" and told.answer is not None:
            reference_of[told.answer.payment_id] = told.answer.gateway_reference
        elif told.verb == "create_agreement" and told.answer is not None:
            reference_of[told.answer.agreement_key] = told.answer.gateway_reference
        elif told.verb in ("execute", "execute_agreement"):
            wished.setdefault(reference_of.get(told.arguments[0], ""), told.asked_at_s)
        elif told.verb == "handle_return":
            for reference in _returned(told):
                wished.setdefault(reference, told.asked_at_s)
    for exchange in run.wire:
        if exchange.answer is None:
            continue
        for fact in exchange.world.facts(exchange.ask, exchange.answer):
            if fact.kind == "execute_asked" and exchange.at_s < wished.get(fact.reference, float("inf")):
                wrong.add(("unasked_execute", fact.reference))


def _returned(told: Told) -> list[str]:
    """The references of a return that says success."""
    params = dict(told.arguments[1])
    values = [value for value in params.values() if isinstance(value, str)]
    return values if "success" in values else []


def _budget(run: Run, wrong: set[Wrong]) -> None:
    limits = {(world.gateway, world.mode): world.grants_an_hour for world in run.worlds}
    granted: dict[tuple[str, str, str], list[float]] = {}
    for at_s, exchange, fact in _stream(run):
        if fact.kind == "granted":
            granted.setdefault((exchange.world.gateway, fact.mode, fact.tenant), []).append(at_s)
    for (gateway, mode, tenant), moments in granted.items():
        limit = limits[gateway, mode]
        if limit is None or run.clock_stepped or run.restores.restored_at_s is not None:
            continue  # what was granted since a backup was taken is not in it
        for number in range(len(moments) - limit):
            if moments[number + limit] - moments[number] < _HOUR_S - 120.0:
                wrong.add(("grant_budget", tenant))
