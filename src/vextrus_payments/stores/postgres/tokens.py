"""The SQL of the token rows. Each function is the inside of one transaction that holds the lock of the digest."""

from typing import Final

from vextrus_payments.stores.postgres.session import Session
from vextrus_payments.token_budget import GrantAsk, GrantDecision, GrantEnd, GrantLog

_GET: Final = "SELECT document FROM {schema}.tokens WHERE digest = $1"
_GRANTS: Final = "SELECT grants FROM {schema}.tokens WHERE digest = $1"
_PUT: Final = (
    "INSERT INTO {schema}.tokens (digest, version, document) VALUES ($1, $2, $3)"
    " ON CONFLICT (digest) DO UPDATE SET version = excluded.version, document = excluded.document"
)
_DROP: Final = """
UPDATE {schema}.tokens SET version = NULL, document = NULL WHERE digest = $1 AND version = $2 RETURNING digest
"""
_PUT_GRANTS: Final = (
    "INSERT INTO {schema}.tokens (digest, grants) VALUES ($1, $2)"
    " ON CONFLICT (digest) DO UPDATE SET grants = excluded.grants"
)


async def get(session: Session, digest: str) -> str | None:
    """See TokenRows.token_get."""
    row = await session.one(_GET, digest)
    return None if row is None else row[0]


async def put(session: Session, digest: str, version: str | None, document: str | None) -> None:
    """See TokenRows.token_put."""
    await session.all(_PUT, digest, version, document)


async def drop(session: Session, digest: str, version: str) -> bool:
    """See TokenRows.token_drop."""
    return await session.one(_DROP, digest, version) is not None


async def grant_reserve(session: Session, digest: str, ask: GrantAsk) -> GrantDecision:
    """See TokenRows.grant_reserve."""
    before = await _grants(session, digest)
    log, decision = before.reserve(ask)
    if log != before:  # those who only wait for another's grant write nothing, and flush nothing
        await session.all(_PUT_GRANTS, digest, log.to_json())
    return decision


async def grant_finish(
    session: Session, digest: str, end: GrantEnd, version: str | None, document: str | None
) -> None:
    """See TokenRows.grant_finish."""
    log, latest = (await _grants(session, digest)).finish(end)
    await session.all(_PUT_GRANTS, digest, log.to_json())
    if document is not None and (latest or await get(session, digest) is None):
        await put(session, digest, version, document)


async def _grants(session: Session, digest: str) -> GrantLog:
    row = await session.one(_GRANTS, digest)
    return GrantLog.from_json(None if row is None else row[0])
