"""The first checker's part about webhooks: the inbox's own table against what was sent and what was answered."""

import sqlite3
from contextlib import closing

from vextrus_payments.testing.simulation.simulation import Run


def audit_inbox(run: Run) -> frozenset[tuple[str, str]]:
    """Everything that is wrong with the inbox. Subjects are transaction ids, or event ids of what was never sent."""
    found: set[tuple[str, str]] = set()
    rows = _rows(run)
    kept = {(tenant, gateway, event_id): (state, body) for tenant, gateway, event_id, _, state, body in rows}
    news = {(tenant, gateway, key) for tenant, gateway, _, key, _, _ in rows if key}
    genuine = {
        (knock.notice.tenant, knock.gateway, knock.notice.event_id): knock.notice
        for knock in run.knocks
        if knock.genuine
    }
    for key, (state, body) in kept.items():
        notice = genuine.get(key)
        if notice is None or notice.body != body:
            found.add(("forgery_kept", key[2]))
        elif state not in ("done", "unmatched"):
            found.add(("unfinished", notice.transaction_id))
        elif (state == "unmatched") is not notice.is_stray:
            found.add(("unannounced" if notice.is_stray else "disowned", notice.transaction_id))
    heard = {
        taken.entry.transaction_id for taken in run.events if taken.entry.kind.value == "receipt.unmatched"
    }
    for knock in run.knocks:
        if not knock.genuine or knock.status is None or knock.status // 100 != 2:
            continue
        notice = knock.notice
        told = any(
            (tenant, gateway) == (notice.tenant, knock.gateway) and notice.transaction_id in key
            for tenant, gateway, key in news
        )
        if (notice.tenant, knock.gateway, notice.event_id) not in kept and not told:
            found.add(("ack_lost", notice.transaction_id))
        if notice.is_stray and notice.transaction_id not in heard:
            found.add(("unannounced", notice.transaction_id))
    return frozenset(found)


def _rows(run: Run) -> list[tuple[str, str, str, str | None, str, bytes]]:
    with closing(sqlite3.connect(f"file:{run.store}?mode=ro", uri=True)) as connection:
        there = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'inbox_news'")
        if not there.fetchone()[0]:
            return []
        return connection.execute(
            "SELECT tenant, gateway, event_id, news_key, state, body FROM inbox"
        ).fetchall()
