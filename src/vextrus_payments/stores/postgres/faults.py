"""What PostgreSQL's errors mean for whoever runs the store: what happened and what to do, never a value from a row."""

from typing import Final, NamedTuple

from vextrus_payments.errors import StorageError

_ANCHOR: Final = "What was reserved is the anchor: status() finds the outcome once the store works again."
UNDONE: Final = "nothing was written"


class _Fault(NamedTuple):
    code: str
    what: str
    next_step: str


_UNREACHABLE: Final = _Fault(
    "storage_unreachable",
    "The payment store's database cannot be reached or does not answer",
    f"Check that PostgreSQL runs, the address, and the network between. {_ANCHOR}",
)
_STARTING: Final = _Fault(
    "storage_unreachable",
    "The payment store's database is starting, stopping, or was taken away",
    f"It is tried again with the next call; look into the server's log if it stays. {_ANCHOR}",
)
_DENIED: Final = _Fault(
    "storage_denied",
    "The database user may not do what the payment store needs",
    "Grant it USAGE on the schema and SELECT, INSERT and UPDATE on its tables (docs/stores.md), or run"
    " `vextrus-pay migrate` as the schema's owner.",
)
_LOGIN: Final = _Fault(
    "storage_login",
    "The payment store's database refused the user or the password",
    "Check the store's URL and the server's pg_hba.conf.",
)
_LOCKED: Final = _Fault(
    "storage_locked",
    "Others kept the payment, or the table, locked for too long",
    f"Find the transaction that stays open (pg_stat_activity), or raise lock_timeout_s. {_ANCHOR}",
)
_FULL: Final = _Fault(
    "storage_full",
    "The payment store's database has no room left",
    f"Make room on the server's disk or raise the limit it names in its log. {_ANCHOR}",
)
_READ_ONLY: Final = _Fault(
    "storage_not_writable",
    "The payment store's database does not take writes: it is a standby, or set to read only",
    f"Name the primary in the store's URL (target_session_attrs=read-write finds it among several hosts). {_ANCHOR}",
)
_OTHER_SCHEMA: Final = _Fault(
    "storage_other_schema",
    "The payment store's tables are not those of this release",
    "Run `vextrus-pay migrate`, and see that no other release is running on the schema.",
)
_BAD_VALUE: Final = _Fault(
    "storage_bad_value",
    "A record holds a text or a number that PostgreSQL cannot store",
    "Look for broken characters in what the caller or the gateway sent.",
)
_CONSTRAINT: Final = _Fault(
    "storage_constraint",
    "The payment store refused rows that contradict each other",
    "Report this with the version of the SDK: it is a mistake in it.",
)
_CORRUPT: Final = _Fault(
    "storage_corrupt",
    "The payment store's database reports damaged data",
    "Stop writing to it, keep a copy, and restore a backup; then reconcile before money is moved again.",
)
_TIMEOUT: Final = _Fault(
    "storage_timeout",
    "The payment store's database took longer to answer than command_timeout_s",
    f"Look for what keeps the server busy. {_ANCHOR}",
)
_CONTENDED: Final = _Fault(
    "storage_contended",
    "Others got in between again and again",
    f"Try again. {_ANCHOR}",
)
_POOL: Final = _Fault(
    "storage_pool",
    "All connections to the payment store's database stayed in use",
    f"Raise pool_size (and the server's max_connections), or look for what keeps them busy. {_ANCHOR}",
)
_PREPARED: Final = _Fault(
    "storage_pooler",
    "A pooler between us and the database does not keep prepared statements",
    "Behind pgbouncer in transaction mode make the store with statement_cache_size=0.",
)
_NO_DATABASE: Final = _Fault(
    "storage_unreachable",
    "There is no database of the name in the payment store's URL",
    "Make it (CREATE DATABASE), or check the URL.",
)
_OTHER: Final = _Fault(
    "storage", "The payment store's database failed", f"See the SQLSTATE in `context`. {_ANCHOR}"
)

#: SQLSTATE, or its class, -> what it means (https://www.postgresql.org/docs/current/errcodes-appendix.html)
_FAULTS: Final = {
    "08": _UNREACHABLE,
    "22": _BAD_VALUE,
    "23": _CONSTRAINT,
    "25006": _READ_ONLY,
    "25P02": _Fault(
        "storage_rolled_back",
        "A statement in the transaction had failed, and whoever ran it went on",
        "Whoever runs SQL in the store's transaction must let its errors through.",
    ),
    "25P03": _TIMEOUT,
    "26000": _PREPARED,
    "28": _LOGIN,
    "3D000": _NO_DATABASE,
    "3F000": _OTHER_SCHEMA,
    "40": _CONTENDED,
    "42501": _DENIED,
    "42703": _OTHER_SCHEMA,
    "42704": _OTHER_SCHEMA,
    "42883": _OTHER_SCHEMA,
    "42P01": _OTHER_SCHEMA,
    "42P05": _PREPARED,
    "42P10": _OTHER_SCHEMA,
    "53": _FULL,
    "53300": _Fault(
        "storage_unreachable",
        "The payment store's database takes no more connections",
        f"Raise its max_connections, or give each process a smaller pool_size. {_ANCHOR}",
    ),
    "54": _BAD_VALUE,
    "55P03": _LOCKED,
    "57": _STARTING,
    "57014": _TIMEOUT,
    "58": _Fault(
        "storage_io",
        "The payment store's database failed to read or write its disk",
        f"Check the server's disk and its log. {_ANCHOR}",
    ),
    "XX001": _CORRUPT,
    "XX002": _CORRUPT,
}

_RETRIED: Final = frozenset({"40001", "40P01", "23505"})


def sqlstate(error: BaseException) -> str:
    """The server's code of an error; "" where it did not say one."""
    state = getattr(error, "sqlstate", None)
    return state if isinstance(state, str) else ""


def is_passing(error: BaseException) -> bool:
    """Whether the same transaction, begun again, will see what it ran into, or not run into it at all."""
    return sqlstate(error) in _RETRIED


def is_connection_lost(error: BaseException) -> bool:
    """Whether the connection is gone: the server has undone what was not committed."""
    state = sqlstate(error)
    if state:
        return state[:2] == "08" or state in ("57P01", "57P02", "57P03", "57P05", "25P03")
    return isinstance(error, ConnectionError) or "connection" in type(error).__name__.lower()


def storage_error(error: BaseException, store: str, *, outcome: str = UNDONE) -> StorageError:
    """The error to raise in place of the driver's own, outside its except block: that one's text may quote a row."""
    state = sqlstate(error)
    fault = _FAULTS.get(state) or _FAULTS.get(state[:2])
    if fault is None:
        if isinstance(error, TimeoutError):
            fault = _TIMEOUT
        elif type(error).__name__ == "TargetServerAttributeNotMatched":
            fault = _READ_ONLY
        elif isinstance(error, OSError) or is_connection_lost(error):
            fault = _UNREACHABLE
        elif isinstance(error, ValueError):
            fault = _BAD_VALUE  # asyncpg could not encode it
        else:
            fault = _OTHER
    return _made(fault, store, outcome, state or type(error).__name__)


def pool_error(store: str) -> StorageError:
    """Nobody gave a connection back in time."""
    return _made(_POOL, store, UNDONE, "pool")


def locked_error(store: str) -> StorageError:
    """Others of this process kept the lock for too long."""
    return _made(_LOCKED, store, UNDONE, "turn")


def contended_error(store: str) -> StorageError:
    """The rounds are used up."""
    return _made(_CONTENDED, store, UNDONE, "rounds")


def unknown_commit_error(error: BaseException, store: str) -> StorageError:
    """The answer to a COMMIT got lost. Whoever gets this must look before anything else is done."""
    return StorageError(
        "The answer to a commit got lost: it may have been written, or not.",
        code="storage_commit_unknown",
        next_step=f"Read again before anything is decided. {_ANCHOR}",
        context={"store": store, "sqlstate": sqlstate(error) or type(error).__name__},
    )


def _made(fault: _Fault, store: str, outcome: str, state: str) -> StorageError:
    return StorageError(
        f"{fault.what}; {outcome}.",
        code=fault.code,
        next_step=fault.next_step,
        context={"store": store, "sqlstate": state},
    )
