"""Where payments are kept: `memory` for tests and trials, `sqlite` for one machine, `postgres` for many.

`open_store("sqlite:///payments.db")` makes a store from its URL; the stores' own classes are there for those who want
to set more than a URL can say.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from vextrus_payments.clock import Clock
from vextrus_payments.errors import ConfigurationError
from vextrus_payments.store import PaymentStore

if TYPE_CHECKING:
    from vextrus_payments.stores.memory import MemoryStore
    from vextrus_payments.stores.postgres import PostgresStore
    from vextrus_payments.stores.runner import DatabaseRunner, ThreadRunner
    from vextrus_payments.stores.sqlite import SqliteStore

__all__ = ["DatabaseRunner", "MemoryStore", "PostgresStore", "SqliteStore", "ThreadRunner", "open_store"]

#: Loaded on first use: who keeps payments in memory never imports sqlite3.
_HOME: Final = {
    "DatabaseRunner": "runner",
    "MemoryStore": "memory",
    "PostgresStore": "postgres",
    "SqliteStore": "sqlite",
    "ThreadRunner": "runner",
}
_KNOWN: Final = (
    'Use "sqlite:///payments.db" (a file of this machine), "postgresql://user:password@host/database" or "memory://"'
    " (tests and trials only)."
)


def open_store(store: str | PaymentStore, *, clock: Clock | None = None) -> PaymentStore:
    """The store that a URL names; a store that is one already is given back as it is.

    - `memory://`: forgets with the process; refused in live mode.
    - `sqlite:///relative.db`, `sqlite:////absolute.db`, `sqlite:///C:/folder/file.db`: one file, made when missing.
      The path may be percent-encoded.
    - `postgresql://user:password@host:5432/database`: one schema of a database, made by `vextrus-pay migrate`. The
      options after `?` are asyncpg's.

    No I/O is done here: `await store.open()` connects, and an SQLite file is migrated where needed.

    Raises:
        MissingExtraError: the store needs an extra that is not installed.
        ConfigurationError: the URL names no store that this release has.
    """
    if not isinstance(store, str):
        if not hasattr(store, "reserve"):
            raise ConfigurationError(
                f"A store is a URL or a PaymentStore, not {type(store).__name__}.",
                code="store_url",
                next_step=_KNOWN,
            )
        return store
    scheme, separator, rest = store.partition("://")
    if not separator:
        raise ConfigurationError("The store's URL has no scheme.", code="store_url", next_step=_KNOWN)
    if scheme == "memory":
        return _memory(rest, clock)
    if scheme == "sqlite":
        return _sqlite(rest, clock)
    if scheme in ("postgres", "postgresql"):
        from vextrus_payments.stores.postgres import PostgresStore

        return PostgresStore(store, clock=clock)
    raise ConfigurationError(
        "The store's URL names a kind of store that there is not.",
        code="store_not_supported",
        next_step=_KNOWN,
    )


def _memory(rest: str, clock: Clock | None) -> PaymentStore:
    if rest:
        raise ConfigurationError(
            'The memory store has no name or path: its URL is "memory://".', code="store_url"
        )
    from vextrus_payments.stores.memory import MemoryStore

    return MemoryStore(clock=clock)


def _sqlite(rest: str, clock: Clock | None) -> PaymentStore:
    if rest in (":memory:", "/:memory:", "", "/"):
        raise ConfigurationError(
            "An SQLite store is a file: one in memory would be empty again after every start.",
            code="store_url",
            next_step=_KNOWN,
        )
    if not rest.startswith("/"):
        raise ConfigurationError(
            "The SQLite URL has two slashes where three belong: sqlite:///relative.db, or four before an absolute"
            " path: sqlite:////var/lib/shop/payments.db.",
            code="store_url",
        )
    if "?" in rest or "#" in rest:
        raise ConfigurationError(
            "An SQLite URL takes no options after ? or #.",
            code="store_url",
            next_step="Make a SqliteStore yourself to set more; a path that has such a character writes %3F or %23.",
        )
    from vextrus_payments.stores.sqlite import SqliteStore

    return SqliteStore(unquote(rest[1:]), clock=clock)


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
