"""The first checker's part about agreements: the gateway's books against the store's table and what was told."""

import json
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import timedelta
from typing import Any

from vextrus_payments.testing.simulation.ports import START
from vextrus_payments.testing.simulation.simulation import Run
from vextrus_payments.testing.simulation.world import CollectsByItself

_UNDECIDED = {"created", "awaiting_payer"}
_OUT = {"submitting", "pending", "unknown"}


def audit_consents(run: Run) -> frozenset[tuple[str, str]]:
    """Everything that is wrong with agreements. Subjects are the gateway's handles of their sessions."""
    found: set[tuple[str, str]] = set()
    given = [one for world in run.worlds for one in world.consents() or ()]
    # Where the payer's own click makes it hold, he can have ended it before anybody asked: then it is over, both ways.
    by_payer = {
        one.reference for world in run.worlds if world.payer_completes for one in world.consents() or ()
    }
    kept = _kept(run)
    for reference, times in Counter(one.reference for one in given).items():
        if times > 1:
            found.add(("double_consent", reference))
    found |= _of_pages(run, kept)
    of_reference = {(one["tenant"], one["gateway_reference"]): one for one in kept}
    for one in given:
        ours = of_reference.get((one.tenant, one.reference))
        over = {"ended", "closed"} if one.reference in by_payer else {"ended"}
        if ours is not None and ours["state"] not in (over if one.ended else {"active"}):
            found.add(("consent_lost", one.reference))
    made = {(one.tenant, one.reference): one.ended for one in given}
    for row in kept:
        ended = made.get((row["tenant"], row["gateway_reference"]))
        if row["state"] in ("active", "ended") and ended is None:
            found.add(("consent_phantom", row["gateway_reference"]))
        if row["state"] == "ended" and ended is False:
            found.add(("consent_phantom", row["gateway_reference"]))
        if row["state"] in _UNDECIDED or any(each["state"] in _OUT for each in row["operations"]):
            found.add(("unfinished", row["agreement_key"]))
    for told in run.told:
        answer = getattr(told.answer, "agreement", None) or told.answer
        if type(answer).__name__ != "Agreement":
            continue
        ended = made.get((answer.tenant, answer.gateway_reference))
        if answer.state.value == "closed" and ended is not None:
            if ended and answer.gateway_reference in by_payer:
                continue
            found.add(("consent_denied", answer.gateway_reference))
        if answer.state.value == "active" and ended is None:
            found.add(("consent_phantom", answer.gateway_reference))
    return frozenset(found)


def _of_pages(run: Run, kept: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Where the payer's click on any of several pages makes it hold: each consent is known here, and in the end no two
    of one subscription hold, for a person who hears of a second one ends it. Who ends the first ends them all."""
    given = [
        one for world in run.worlds if isinstance(world, CollectsByItself) for one in world.consents() or ()
    ]
    known = {(row["tenant"], row["gateway_reference"]) for row in kept}
    holding = [one for one in given if not one.ended]
    found = {
        ("consent_unfound", one.reference) for one in holding if (one.tenant, one.reference) not in known
    }
    pages = Counter(_key_of(one.reference) for one in holding)
    found |= {("consent_left", key) for key, times in pages.items() if times > 1}
    begun_at_s: dict[str, float] = {}
    until_s: dict[str, float] = {}
    for told in run.told:
        if told.verb != "cancel_agreement":
            continue
        key = told.arguments[0]
        # Who asks meanwhile is told what the first one of them is: what he knows is as old as that one's question.
        if told.asked_at_s > until_s.get(key, -1.0):
            begun_at_s[key], until_s[key] = told.asked_at_s, told.asked_at_s
        if told.told_at_s is None:
            continue
        until_s[key] = max(until_s[key], told.told_at_s)
        if told.error is None and told.answer.state.value in ("ended", "closed"):
            asked_at, told_at = (START + timedelta(seconds=s) for s in (begun_at_s[key], told.told_at_s))
            found |= {
                ("consent_left", one.reference)
                for one in given
                if _key_of(one.reference) == key
                and (one.given_at or asked_at) < asked_at
                and (not one.ended or (one.ended_at or asked_at) > told_at)
            }
    return found


def _key_of(reference: str) -> str:
    """Whose page it is: our key of the agreement is in the id, before the page's number."""
    return reference.rpartition("-")[0].replace("-", "_")


def _kept(run: Run) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(f"file:{run.store}?mode=ro", uri=True)) as connection:
        there = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'agreements'")
        if not there.fetchone()[0]:
            return []
        rows = connection.execute("SELECT document FROM agreements").fetchall()
    return [json.loads(document) for (document,) in rows]
