"""The first checker's part about agreements: the gateway's books against the store's table and what was told."""

import json
import sqlite3
from collections import Counter
from contextlib import closing
from typing import Any

from vextrus_payments.testing.simulation.simulation import Run

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


def _kept(run: Run) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(f"file:{run.store}?mode=ro", uri=True)) as connection:
        there = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'agreements'")
        if not there.fetchone()[0]:
            return []
        rows = connection.execute("SELECT document FROM agreements").fetchall()
    return [json.loads(document) for (document,) in rows]
