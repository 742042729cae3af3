"""What the SQL stores share about the inbox: what may be kept, and its columns as records."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic_core import PydanticSerializationError, to_json

from vextrus_payments import documents
from vextrus_payments.errors import InvalidRequestError, StorageError
from vextrus_payments.inbox import OPEN_INBOX_STATES, InboxEnd, InboxRow, InboxState, NewInboxEvent
from vextrus_payments.mode import Mode
from vextrus_payments.records import OutboxKind, OutboxRow
from vextrus_payments.stores.columns import check_many, from_micros, optional_moment, to_micros

ID_LIMIT: Final = 256
"""How many characters an event id and a news key have at most: both are in an index."""

COLUMNS: Final = (
    "tenant, gateway, mode, event_id, news_key, document, headers, body, received_at, state, fence, tries, due_at,"
    " leased_until, finished_at, payment_id, note"
)
COLUMN_COUNT: Final = COLUMNS.count(",") + 1

#: `due_at` of a row that is due at once, whatever any clock says.
AT_ONCE_US: Final = 0


def check_events(events: Sequence[NewInboxEvent]) -> None:
    """Refuse what no store could keep and find again.

    Raises:
        InvalidRequestError: more than 1,000 at once, or an id that is empty, too long, or no text.
    """
    check_many(events)
    for event in events:
        _check_id("event_id", event.event_id)
        if event.news_key is not None:
            _check_id("news_key", event.news_key)


def _check_id(field: str, text: str) -> None:
    # isascii(): nearly all of them, and then there is nothing to encode
    if 1 <= len(text) <= ID_LIMIT and "\0" not in text and (text.isascii() or _is_text(text)):
        return
    raise InvalidRequestError(
        f"{field} does not fit: 1 to {ID_LIMIT} characters of text, without NUL; nothing was kept.",
        field=field,
        rule=f"1 to {ID_LIMIT} characters of text",
    )


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def check_ends(ends: Sequence[InboxEnd]) -> None:
    """Refuse what would leave a row that nobody ever looks at again, or one that is over and due.

    Raises:
        InvalidRequestError: more than 1,000 at once, or a state and a due time that do not go together.
        StorageError: an announcement is no text.
    """
    check_many(ends)
    for end in ends:
        if (end.state in OPEN_INBOX_STATES) != (end.due_at is not None):
            raise InvalidRequestError(
                "What waits or is parked needs a time to look at it again, and what is over has none; nothing was"
                " recorded.",
                field="due_at",
                rule="a time for waiting and parked, none for done and unmatched",
            )
        if end.announcement is not None:
            documents.to_json(end.announcement)
        if end.relief is not None:
            documents.to_json(end.relief)


def header_text(headers: Mapping[str, str]) -> str:
    """Headers as they are kept: one JSON object, in which a NUL is escaped.

    Raises:
        StorageError: a header is no text.
    """
    try:
        return to_json(headers).decode("utf-8")
    except PydanticSerializationError:
        pass  # its text quotes the value; raised below, outside, so that it is not chained
    raise StorageError(
        "A header of a delivery holds a value that cannot be stored; nothing was kept.",
        code="storage_bad_value",
        next_step="Look at what the door decoded the headers with.",
    )


def shown(note: str | None) -> str | None:
    """A note as every store can keep it: it may quote somebody's error text."""
    if note is None:
        return None
    return note.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")


def record(row: Sequence[Any]) -> InboxRow:
    """The record of a row of COLUMNS; what comes after them is left alone.

    Raises:
        StorageError: it holds what this release cannot read.
    """
    (
        tenant,
        gateway,
        mode,
        event_id,
        news_key,
        document,
        headers,
        body,
        received_us,
        state,
        fence,
        tries,
        due_us,
        leased_us,
        finished_us,
        payment_id,
        note,
    ) = row[:COLUMN_COUNT]
    try:
        return InboxRow(
            tenant=tenant,
            gateway=gateway,
            mode=Mode(mode),
            event_id=event_id,
            news_key=news_key,
            document=document,
            headers=json.loads(headers),
            body=bytes(body),
            received_at=from_micros(received_us),
            state=InboxState(state),
            fence=fence,
            tries=tries,
            # What is due at once has been so since it came.
            due_at=from_micros(received_us) if due_us == AT_ONCE_US else optional_moment(due_us),
            leased_until=optional_moment(leased_us),
            finished_at=optional_moment(finished_us),
            payment_id=payment_id,
            note=note,
        )
    except ValueError:
        pass  # its text may quote the row; raised below, so that it is not chained
    raise StorageError(
        "A stored row of the inbox cannot be read back.",
        code="storage_unreadable",
        next_step="Check which release wrote the store.",
    )


def leased(rows: Sequence[Sequence[Any]]) -> tuple[InboxRow, ...]:
    """The records of rows that were just leased, without those that this release cannot read.

    Such a row waits its lease out, is seen in the backlog, and holds nobody up: raised here, the oldest row due would
    keep every other one from being worked on.
    """
    found = []
    for row in rows:
        try:
            found.append(record(row))
        except StorageError:
            continue
    return tuple(found)


def announced(end: InboxEnd, now_us: int) -> OutboxRow | None:
    """The outbox row of what ends a row of the inbox, or of its long wait, if that is announced."""
    if end.announcement is None or end.state is InboxState.PARKED:
        return None
    waits = "/waits" if end.state in OPEN_INBOX_STATES else ""
    row_id, document = end.announcement
    row = end.row
    return OutboxRow(
        tenant=row.tenant,
        row_id=row_id,
        subject=f"inbox/{row.gateway}/{row.mode.value}/{row.event_id}{waits}",
        seq=1,
        kind=OutboxKind.EVENT,
        document=document,
        created_at=from_micros(now_us),
    )


def relieved(end: InboxEnd, now_us: int) -> OutboxRow | None:
    """The outbox row that takes back that a row had waited for long, to be written where `end.relief[0]` is there."""
    if end.relief is None or end.state in OPEN_INBOX_STATES:
        return None
    _, row_id, document = end.relief
    row = end.row
    return OutboxRow(
        tenant=row.tenant,
        row_id=row_id,
        subject=f"inbox/{row.gateway}/{row.mode.value}/{row.event_id}/waits",
        seq=2,
        kind=OutboxKind.EVENT,
        document=document,
        created_at=from_micros(now_us),
    )


def key_of(row: InboxRow | NewInboxEvent) -> tuple[str, str, str, str]:
    """Its row's key: tenant, gateway, mode, event id."""
    return row.tenant, row.gateway, row.mode.value, row.event_id


def received_us(event: NewInboxEvent) -> int:
    """When it came, in microseconds.

    Raises:
        InvalidRequestError: the time has no zone.
    """
    return to_micros(event.received_at)
