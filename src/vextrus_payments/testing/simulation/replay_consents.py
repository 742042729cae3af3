"""The second checker's part about agreements: the gateway's answers as a stream, against news and answers to callers.

Apart from the first one's (audit_consents.py): no books, no store.
"""

from dataclasses import dataclass
from typing import Any

from vextrus_payments.testing.simulation.simulation import Run
from vextrus_payments.testing.simulation.world import CollectsByItself


@dataclass
class Given:
    """One session in which a payer was to consent."""

    agreement_ids: set[str]
    at_s: float | None = None
    ended_at_s: float | None = None
    by_payer: bool = False
    """His own click makes it hold: he can have ended it before anybody asked, and then it is over, both ways."""

    @property
    def is_over(self) -> bool:
        """Whether calling it closed says nothing wrong."""
        return self.by_payer and self.ended_at_s is not None


def replay_consents(run: Run) -> set[tuple[str, str]]:
    """Everything that is wrong with agreements. Subjects are the gateway's handles of their sessions."""
    wrong: set[tuple[str, str]] = set()
    sessions = _sessions(run, wrong)
    reference_of: dict[str, str] = {}
    for told in run.told:
        answer = _agreement(told.answer)
        if answer is None or answer.gateway_reference is None or told.told_at_s is None:
            continue
        reference = answer.gateway_reference
        reference_of[answer.agreement_key] = reference
        session = sessions.get(reference, Given(set()))
        match answer.state.value:
            case "active" if session.at_s is None or session.at_s > told.told_at_s:
                wrong.add(("consent_phantom", reference))
            case "ended" if session.ended_at_s is None or session.ended_at_s > told.told_at_s:
                wrong.add(("consent_phantom", reference))
            case "closed" if session.at_s is not None and not session.is_over:
                wrong.add(("consent_denied", reference))
    heard = {
        # What was found on another page of a subscription has its page's id for a key, whether or not anybody asked.
        (
            taken.entry.kind.value,
            reference_of.get(key := taken.entry.agreement_key or "", key.replace("_", "-")),
        )
        for taken in run.events
        if taken.entry.kind.value.startswith("agreement.")
    }
    for reference in set(reference_of.values()):
        session = sessions.get(reference, Given(set()))
        if session.is_over and ("agreement.closed", reference) in heard:
            continue
        is_heard = {("agreement.active", reference), ("agreement.duplicate", reference)} & heard
        if session.at_s is not None and not is_heard:
            wrong.add(("consent_lost", reference))
        if session.ended_at_s is not None and ("agreement.ended", reference) not in heard:
            wrong.add(("consent_lost", reference))
    return wrong | _unannounced(run, sessions)


def _unannounced(run: Run, sessions: dict[str, Given]) -> set[tuple[str, str]]:
    """Where each page of a subscription can be consented on: as many consents as the wire showed were announced, one
    as the subscription's own, and each other one by itself."""
    seen: dict[str, set[str]] = {}
    for exchange in run.wire:
        if exchange.answer is None or not isinstance(exchange.world, CollectsByItself):
            continue
        for fact in exchange.world.facts(exchange.ask, exchange.answer):
            if fact.kind == "consented" and not sessions[fact.reference].is_over:
                asking, _, page = fact.reference.rpartition("-")
                seen.setdefault(asking, set()).add(page)
    heard: dict[str, set[str]] = {}
    for taken in run.events:
        name = (taken.entry.agreement_key or "").replace("_", "-")
        if taken.entry.kind.value == "agreement.active":
            heard.setdefault(name, set()).add("own")
        elif taken.entry.kind.value == "agreement.duplicate":
            asking, _, page = name.rpartition("-")
            heard.setdefault(asking, set()).add(page)
    return {
        ("consent_unannounced", asking)
        for asking, pages in seen.items()
        if len(pages) > len(heard.get(asking, ()))
    }


def _agreement(answer: Any) -> Any:
    found = getattr(answer, "agreement", None) or answer
    return found if type(found).__name__ == "Agreement" else None


def _sessions(run: Run, wrong: set[tuple[str, str]]) -> dict[str, Given]:
    sessions: dict[str, Given] = {}
    of_id: dict[str, str] = {}
    facts = [
        (exchange.done_at_s, fact, exchange.world.payer_completes)
        for exchange in run.wire
        if exchange.answer is not None and exchange.done_at_s is not None
        for fact in exchange.world.facts(exchange.ask, exchange.answer)
    ]
    for at_s, fact, by_payer in sorted(facts, key=lambda one: one[0]):
        if fact.kind == "consented":
            session = sessions.setdefault(fact.reference, Given(set(), by_payer=by_payer))
            session.agreement_ids.add(fact.agreement_id)
            session.at_s = at_s if session.at_s is None else session.at_s
            of_id[fact.agreement_id] = fact.reference
            if len(session.agreement_ids) > 1:
                wrong.add(("double_consent", fact.reference))
        elif fact.kind == "consent_ended" and fact.agreement_id in of_id:
            ended = sessions[of_id[fact.agreement_id]]
            ended.ended_at_s = at_s if ended.ended_at_s is None else ended.ended_at_s
    return sessions
