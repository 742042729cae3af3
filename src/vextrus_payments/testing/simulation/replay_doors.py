"""The second checker's part about webhooks: what was sent and answered at the doors, against what the shop heard.

Apart from the first one's (audit_inbox.py): no inbox, no store.
"""

from collections import defaultdict

from vextrus_payments.testing.simulation.simulation import Run

_REFUSED = frozenset({400, 401, 403, 404, 413, 415, 429})


def replay_doors(run: Run) -> set[tuple[str, str]]:
    """Everything that is wrong at the doors. Subjects are transaction ids."""
    wrong: set[tuple[str, str]] = set()
    strays: set[str] = set()
    for knock in run.knocks:
        subject = knock.notice.transaction_id
        if not knock.genuine:
            if knock.status is not None and 200 <= knock.status < 300:
                wrong.add(("forgery_taken", subject))
            elif knock.status is not None and knock.status not in (*_REFUSED, 503):
                wrong.add(("strange_answer", subject))
            continue
        if knock.status in _REFUSED and not run.clock_stepped:
            wrong.add(("refused_sender", subject))
        if knock.status is not None and 200 <= knock.status < 300 and knock.notice.is_stray:
            strays.add(subject)
    if not run.struck and not run.kills:
        # Nothing was in anybody's way: who knocked at all was let in at one of his tries.
        wrong |= {("unserved", subject) for subject in _never_served(run)}
    heard: dict[str, set[str]] = defaultdict(set)
    for taken in run.events:
        if taken.entry.kind.value == "receipt.unmatched":
            heard[taken.entry.transaction_id].add(taken.entry.id)
    for subject in strays - heard.keys():
        wrong.add(("unannounced", subject))
    for subject, ids in heard.items():
        if len(ids) > 1:
            wrong.add(("announced_twice", subject))
        if subject not in {knock.notice.transaction_id for knock in run.knocks if knock.notice.is_stray}:
            wrong.add(("disowned", subject))
    return wrong


def _never_served(run: Run) -> set[str]:
    served: dict[str, bool] = {}
    for knock in run.knocks:
        if knock.genuine and not run.clock_stepped:
            subject = knock.notice.transaction_id
            done = knock.status is not None and 200 <= knock.status < 300
            served[subject] = served.get(subject, False) or done
    return {subject for subject, done in served.items() if not done}
