"""The schema of the store: whether it is one that this release runs on, and how it is made and changed.

Only a command changes it (`vextrus-pay migrate`), never open(): a service that starts must not lock the tables of those
that run. All that is missing is applied in one transaction, under a lock that a second command waits for.
"""

import hmac
from dataclasses import dataclass
from typing import Any, Final

from vextrus_payments.errors import StorageError
from vextrus_payments.stores.migrations import Migration, migrations
from vextrus_payments.stores.postgres.session import CLOCK
from vextrus_payments.stores.postgres.statements import Statements

_OLDEST: Final = 130000
"""The oldest PostgreSQL that the statements are written for, as server_version_num."""
_EXISTS: Final = "SELECT to_regclass($1) IS NOT NULL, EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $2)"
_IN_USE: Final = """
SELECT EXISTS (SELECT 1 FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = $1)
"""
_APPLIED: Final = "SELECT number, name, checksum, compatible FROM {schema}.migrations ORDER BY number"
_SERVER: Final = """
SELECT current_setting('server_version_num')::integer, current_setting('server_encoding'), pg_is_in_recovery(),
    current_setting('default_transaction_isolation'), current_setting('default_transaction_read_only'),
    current_setting('synchronous_commit'), current_setting('fsync')
"""
_MIGRATE: Final = (
    "Run `vextrus-pay migrate` with the store's URL (`--sql` shows what it would do) and start again."
)


@dataclass(frozen=True, slots=True)
class Server:
    """What matters of the server's settings."""

    plain: bool
    synchronous: bool
    durable: bool


async def check_server(connection: Any, store: str) -> Server:
    """What the server is like.

    Raises:
        StorageError: it is too old, of another encoding, or takes no writes.
    """
    version, encoding, standby, isolation, read_only, synchronous, fsync = await connection.fetchrow(_SERVER)
    if version < _OLDEST:
        raise _refused(
            f"The payment store's PostgreSQL is too old: {version // 10000}, and {_OLDEST // 10000} is needed.",
            "Upgrade the server; nothing was changed.",
            "storage_old_server",
            store,
        )
    if encoding != "UTF8":
        raise _refused(
            f"The payment store's database is encoded in {encoding}, which cannot hold every text.",
            "Make a database with ENCODING 'UTF8'.",
            "storage_encoding",
            store,
        )
    if standby:
        raise _refused(
            "The payment store's database is a standby, which takes no writes.",
            "Name the primary (target_session_attrs=read-write in the URL finds it among several hosts).",
            "storage_not_writable",
            store,
        )
    return Server(
        plain=isolation == "read committed" and read_only == "off",
        synchronous=synchronous != "off",
        durable=fsync != "off",
    )


async def check_schema(connection: Any, sql: Statements, store: str) -> None:
    """Refuse a schema that this release cannot run on, before anything is done in it.

    Raises:
        StorageError: it is not there, older, newer and not compatible, or another's; it says what to do.
    """
    version = await _version(connection, sql, store)
    known = migrations("postgres")
    if version < len(known):
        what = "has no tables yet" if version == 0 else f"is at schema {version} of {len(known)}"
        raise _refused(f"The payment store {what}.", _MIGRATE, "storage_not_migrated", store)
    denied = await connection.fetch(
        "SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
        " WHERE nspname = $1 AND relkind IN ('r', 'p') AND relname <> 'migrations' AND NOT"
        " (has_table_privilege(pg_class.oid, 'SELECT') AND has_table_privilege(pg_class.oid, 'INSERT')"
        " AND (relname IN ('receipts', 'events') OR has_table_privilege(pg_class.oid, 'UPDATE'))) ORDER BY relname",
        sql.schema,
    )
    if denied:
        names = ", ".join(row[0] for row in denied)
        raise _refused(
            f"The database user may not read and write these tables of the payment store: {names}.",
            "Grant it SELECT, INSERT and UPDATE on all tables of the schema (docs/stores.md).",
            "storage_denied",
            store,
        )


async def pending(connection: Any, sql: Statements, store: str) -> tuple[Migration, ...]:
    """The migrations that have not run yet, in order.

    Raises:
        StorageError: the schema is another's, or a newer release's.
    """
    return migrations("postgres")[await _version(connection, sql, store) :]


async def migrate(
    connection: Any, sql: Statements, store: str, lock_timeout_s: float
) -> tuple[Migration, ...]:
    """Apply what is missing; what that was. The caller has begun the transaction and ends it."""
    await connection.execute(f"SET LOCAL lock_timeout = {int(lock_timeout_s * 1000)}")
    await connection.execute(f"SELECT pg_advisory_xact_lock({sql.lock('migrate')})")
    missing = await pending(connection, sql, store)
    if missing:
        _, has_schema = await connection.fetchrow(_EXISTS, f'"{sql.schema}".migrations', sql.schema)
        await connection.execute(_script(missing, sql, make_schema=not has_schema))
    return missing


def script(missing: tuple[Migration, ...], sql: Statements) -> str:
    """What `migrate` would run, for an administrator to read and to run: one transaction."""
    if not missing:
        return "-- Nothing to do: the payment store is up to date.\n"
    names = ", ".join(migration.name for migration in missing)
    begin = f"-- The payment store's migrations {names}.\nBEGIN;\n"
    lock = f"SELECT pg_advisory_xact_lock({sql.lock('migrate')});\n"
    return begin + lock + _script(missing, sql, make_schema=missing[0].number == 1) + "COMMIT;\n"


def _script(missing: tuple[Migration, ...], sql: Statements, *, make_schema: bool) -> str:
    parts = [f'CREATE SCHEMA IF NOT EXISTS "{sql.schema}";\n'] if make_schema else []
    parts.append(f'SET LOCAL search_path TO "{sql.schema}", pg_catalog;\n')
    for migration in missing:
        parts.append(
            f"\n{migration.text.strip()}\n\n"
            "INSERT INTO migrations (number, name, checksum, compatible, applied_at) VALUES"
            f" ({migration.number}, '{migration.name}', '{migration.checksum}', {migration.compatible}, {CLOCK});\n"
        )
    return "".join(parts)


async def _version(connection: Any, sql: Statements, store: str) -> int:
    """How many migrations have run, each proven to be the one that this release knows."""
    known = migrations("postgres")
    has_migrations, has_schema = await connection.fetchrow(_EXISTS, f'"{sql.schema}".migrations', sql.schema)
    if not has_migrations:
        (in_use,) = await connection.fetchrow(_IN_USE, sql.schema)
        if has_schema and in_use:
            raise _refused(
                f"The schema {sql.schema} holds something else than a payment store.",
                "Give the payments a schema of their own (schema=...); this one was left as it is.",
                "storage_not_ours",
                store,
            )
        return 0
    applied = await connection.fetch(sql[_APPLIED])
    for (number, name, checksum, _), migration in zip(applied, known, strict=False):
        same = hmac.compare_digest(checksum, migration.checksum)
        if (number, name) != (migration.number, migration.name) or not same:
            raise _refused(
                f"The payment store was made by another migration {migration.number} than this release has.",
                "Run the release that made it; nothing was changed.",
                "storage_other_schema",
                store,
            )
    newer = [row for row in applied if row[0] > len(known)]
    if any(compatible > len(known) for _, _, _, compatible in newer):
        raise _refused(
            f"The payment store was migrated by a newer release: its schema is {len(applied)}, this one knows"
            f" {len(known)}, and the difference is more than an addition.",
            "Run the release that migrated it, or a newer one; nothing was changed.",
            "storage_newer_schema",
            store,
        )
    return len(applied)


def _refused(what: str, next_step: str, code: str, store: str) -> StorageError:
    return StorageError(what, code=code, next_step=next_step, context={"store": store})
