"""What SQLite's errors mean for whoever runs the store: what happened and what to do, never a value from a row."""

import sqlite3
from typing import Final, NamedTuple

from vextrus_payments.errors import StorageError

_ANCHOR: Final = "What was reserved is the anchor: status() finds the outcome once the store works again."


class _Fault(NamedTuple):
    code: str
    what: str
    next_step: str


#: primary result code -> what it means (https://sqlite.org/rescode.html)
_FAULTS: Final = {
    sqlite3.SQLITE_BUSY: _Fault(
        "storage_locked",
        "Another process kept the payment store locked for too long; nothing was written.",
        f"Find the process that holds a transaction open on the file, or raise busy_timeout_s. {_ANCHOR}",
    ),
    sqlite3.SQLITE_FULL: _Fault(
        "storage_full",
        "The disk of the payment store is full; nothing was written.",
        f"Make room on its disk. {_ANCHOR}",
    ),
    sqlite3.SQLITE_READONLY: _Fault(
        "storage_not_writable",
        "The payment store cannot be written.",
        "Give this user the right to write the file and its folder (SQLite keeps two more files beside it).",
    ),
    sqlite3.SQLITE_CANTOPEN: _Fault(
        "storage_not_writable",
        "The payment store's file cannot be opened or made.",
        "Check that the path is a file in a folder that exists and that this user may write.",
    ),
    sqlite3.SQLITE_NOTADB: _Fault(
        "storage_not_a_database",
        "The payment store's file is no SQLite database.",
        "Name another file; this one was left as it is.",
    ),
    sqlite3.SQLITE_CORRUPT: _Fault(
        "storage_corrupt",
        "The payment store's file is damaged.",
        "Stop writing to it, keep a copy, and restore a backup; then reconcile before money is moved again.",
    ),
    sqlite3.SQLITE_IOERR: _Fault(
        "storage_io",
        "The disk of the payment store failed to read or write.",
        f"Check the disk and its file system. {_ANCHOR}",
    ),
    sqlite3.SQLITE_CONSTRAINT: _Fault(
        "storage_constraint",
        "The payment store refused rows that contradict each other; nothing was written.",
        "Report this with the version of the SDK: it is a mistake in it.",
    ),
}
_FAULTS[sqlite3.SQLITE_LOCKED] = _FAULTS[sqlite3.SQLITE_PROTOCOL] = _FAULTS[sqlite3.SQLITE_BUSY]
_FAULTS[sqlite3.SQLITE_PERM] = _FAULTS[sqlite3.SQLITE_AUTH] = _FAULTS[sqlite3.SQLITE_READONLY]
_FAULTS[sqlite3.SQLITE_NOLFS] = _FAULTS[sqlite3.SQLITE_TOOBIG] = _FAULTS[sqlite3.SQLITE_FULL]

_OTHER: Final = _Fault(
    "storage",
    "The payment store failed.",
    f"See the error's SQLite name in `context`. {_ANCHOR}",
)


def storage_error(error: sqlite3.Error, path: str) -> StorageError:
    """The error to raise in place of SQLite's own, outside its except block: SQLite's text may name a table."""
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    # The low byte is the primary code; the rest says more of the same.
    fault = _FAULTS.get((getattr(error, "sqlite_errorcode", None) or 0) & 0xFF, _OTHER)
    return StorageError(
        fault.what, code=fault.code, next_step=fault.next_step, context={"store": path, "sqlite": name}
    )


def file_error(what: str, next_step: str, path: str, *, code: str = "storage_not_writable") -> StorageError:
    """A StorageError about the file itself."""
    return StorageError(what, code=code, next_step=next_step, context={"store": path})
