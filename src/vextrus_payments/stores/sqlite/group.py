"""Group commit: many pieces of work, one transaction, one flush of the disk.

BEGIN IMMEDIATE lets one writing transaction of all processes in at a time, which serializes every merchant reference
with room to spare. Its members run one after the other. Where one fails half-way, all of them begin again, now in a
SAVEPOINT each: what the one has done before it failed is undone, and nothing else. Each sees what those before it have
written, so nobody is answered before COMMIT has brought all of it to the disk; when that fails every member fails,
also one that has refused something on the ground of what another had written.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from vextrus_payments.errors import StorageError
from vextrus_payments.stores.runner import Outcome
from vextrus_payments.stores.sqlite import file
from vextrus_payments.stores.sqlite.faults import storage_error

T = TypeVar("T")


class Member(NamedTuple):
    """One operation's piece of work."""

    work: Callable[[sqlite3.Connection], Any]
    writes: bool


def translated(work: Callable[[], T], path: str) -> T:
    """What `work` returns; SQLite's errors as ours."""
    try:
        return work()
    except (sqlite3.Error, UnicodeEncodeError, OverflowError) as error:
        failure = _translation(error, path)
    # Raised out here so that SQLite's own error, which may name a row, is not chained to it.
    raise failure


def _translation(error: BaseException, path: str) -> BaseException:
    if isinstance(error, sqlite3.Error):
        return storage_error(error, path)
    if isinstance(error, UnicodeEncodeError | OverflowError):
        return StorageError(
            "A record holds a text or a number that SQLite cannot store; nothing was written.",
            code="storage_bad_value",
            next_step="Look for broken characters in what the caller or the gateway sent.",
        )
    return error


def run_alone(connection: sqlite3.Connection, member: Member, path: str) -> Any:
    """What one member answers in a transaction of its own."""

    def whole() -> Any:
        connection.execute("BEGIN IMMEDIATE" if member.writes else "BEGIN")
        try:
            answer = member.work(connection)
            connection.execute("COMMIT")
        except BaseException:
            file.roll_back(connection)
            raise
        return answer

    return translated(whole, path)


def run_together(connection: sqlite3.Connection, members: Sequence[Member], path: str) -> Sequence[Outcome]:
    """How each of the members ends. Those that only read come first: nobody reads what is not on the disk yet."""
    outcomes: dict[int, Outcome] = {}
    reads = [number for number, member in enumerate(members) if not member.writes]
    writes: Sequence[int] = [number for number, member in enumerate(members) if member.writes]
    if reads:
        _read(connection, members, reads, outcomes, path)
    while writes:
        writes = _write(connection, members, writes, outcomes, path)
    return [outcomes[number] for number in range(len(members))]


def _read(
    connection: sqlite3.Connection,
    members: Sequence[Member],
    reads: Sequence[int],
    outcomes: dict[int, Outcome],
    path: str,
) -> None:
    """All in one snapshot: each would be right to see it."""
    for number in reads:
        try:
            if not connection.in_transaction:
                connection.execute("BEGIN")
            outcomes[number] = Outcome(members[number].work(connection))
        except BaseException as error:  # noqa: BLE001 - whoever has asked for it is told
            outcomes[number] = Outcome(None, _translation(error, path))
    file.roll_back(connection)


def _write(
    connection: sqlite3.Connection,
    members: Sequence[Member],
    writes: Sequence[int],
    outcomes: dict[int, Outcome],
    path: str,
) -> Sequence[int]:
    """One transaction. Answers who is left for another one, because SQLite has undone this one under its hands."""
    if len(writes) == 1:
        (number,) = writes
        outcomes[number] = _alone(connection, members[number], path)
        return ()
    try:
        if _all_at_once(connection, members, writes, outcomes, path):
            return ()
        return _one_by_one(connection, members, writes, outcomes, path)
    except BaseException as error:  # noqa: BLE001 - also a machine without memory: whoever has asked for it is told
        file.roll_back(connection)
        _fail(writes, error, outcomes, path)
    return ()


def _all_at_once(
    connection: sqlite3.Connection,
    members: Sequence[Member],
    writes: Sequence[int],
    outcomes: dict[int, Outcome],
    path: str,
) -> bool:
    """True when no member has failed with half of its work written, as good as always; else all of it is undone.

    Without SAVEPOINTs: for each of them SQLite copies every page that it touches, which costs more than the work. What
    the members do depends on nothing but the rows and the clock, and none of them has been answered: they can begin
    again.
    """
    connection.execute("BEGIN IMMEDIATE")
    for number in writes:
        before = connection.total_changes
        try:
            outcomes[number] = Outcome(members[number].work(connection))
        except BaseException as error:  # noqa: BLE001 - whoever has asked for it is told
            if not connection.in_transaction or connection.total_changes != before:
                file.roll_back(connection)
                return False
            outcomes[number] = Outcome(None, _translation(error, path))
    connection.execute("COMMIT")
    return True


def _one_by_one(
    connection: sqlite3.Connection,
    members: Sequence[Member],
    writes: Sequence[int],
    outcomes: dict[int, Outcome],
    path: str,
) -> Sequence[int]:
    """With a SAVEPOINT each, so that whoever fails undoes nothing but its own work."""
    execute = connection.execute
    for number in writes:
        outcomes.pop(number, None)
    execute("BEGIN IMMEDIATE")
    for place, number in enumerate(writes, 1):
        execute("SAVEPOINT member")
        try:
            outcomes[number] = Outcome(members[number].work(connection))
        except BaseException as error:  # noqa: BLE001 - whoever has asked for it is told
            outcomes[number] = Outcome(None, _translation(error, path))
            if not connection.in_transaction:
                # A full or failing disk: what those before it had done is undone as well.
                _fail(writes[:place], error, outcomes, path)
                return writes[place:]
            execute("ROLLBACK TO member")
        execute("RELEASE member")
    execute("COMMIT")
    return ()


def _fail(numbers: Sequence[int], error: BaseException, outcomes: dict[int, Outcome], path: str) -> None:
    """Each gets an error of its own: one that many tasks raise would carry the traces of all of them."""
    for number in numbers:
        outcomes[number] = Outcome(None, _translation(error, path))


def _alone(connection: sqlite3.Connection, member: Member, path: str) -> Outcome:
    try:
        return Outcome(run_alone(connection, member, path))
    except BaseException as error:  # noqa: BLE001 - whoever has asked for it is told
        return Outcome(None, error)
