"""The inbox's rows: what a verified webhook said, kept before it is answered, and what became of it.

Two things make a delivery the same as one that is kept: the sender's id of it, and the news in it (`news_key`: which
movement, at which amount). Senders repeat both ways.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from vextrus_payments.mode import Mode

#: How long a finished row is kept to know its repeats by: longer than any sender goes on trying.
KEEP_DAYS: Final = 30
#: How long news of something we do not know may wait for us to learn of it.
PARK_HOURS: Final = 24


class InboxState(StrEnum):
    """What became of a piece of news."""

    WAITING = "waiting"
    """Kept; its effects are still to be made, or to be made again after a crash."""
    PARKED = "parked"
    """It came early: it names what we do not know yet."""
    DONE = "done"
    UNMATCHED = "unmatched"
    """It names nothing of ours: announced and listed, for a person."""


OPEN_INBOX_STATES: Final = frozenset({InboxState.WAITING, InboxState.PARKED})


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInboxEvent:
    """One piece of news to be kept. Its row is (tenant, gateway, mode, event id)."""

    tenant: str
    gateway: str
    mode: Mode
    event_id: str
    """The sender's id of this piece of news, at most 256 characters."""
    news_key: str | None
    """What it tells, as one text; a row with the same one is the same news. None: only the event id counts."""
    document: str
    """The GatewayEvent as JSON."""
    headers: Mapping[str, str] = field(repr=False)
    """Those of the delivery that are kept: no cookie, no authorization."""
    body: bytes = field(repr=False)
    """The delivery, raw."""
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxRow:
    """One piece of news as the store keeps it, leased to whoever got it from `lease_events`."""

    tenant: str
    gateway: str
    mode: Mode
    event_id: str
    news_key: str | None
    document: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    received_at: datetime
    state: InboxState
    fence: int = 0
    """Grows with every lease: only the holder of the latest one may finish the row or put it off."""
    tries: int = 0
    """How often it was leased since it was kept, or since it was replayed."""
    due_at: datetime | None = None
    """When it is to be looked at; None once it is over."""
    leased_until: datetime | None = None
    finished_at: datetime | None = None
    payment_id: str | None = None
    """Whose news it turned out to be."""
    note: str | None = None
    """What came of it, or why it waits: words for people, redacted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxEnd:
    """What became of a leased row, to be recorded."""

    row: InboxRow
    state: InboxState
    """DONE or UNMATCHED: it is over. WAITING or PARKED: it is due again at `due_at`."""
    due_at: datetime | None = None
    payment_id: str | None = None
    note: str | None = None
    announcement: tuple[str, str] | None = None
    """The id and the document of a PaymentEvent that goes into the outbox in the same transaction, once: an unmatched
    receipt, where the row is finished by it, or that it has WAITED for long. Nothing is told of what is parked. Its
    subject is `inbox/{gateway}/{mode}/{event_id}`, with `/waits` behind it where the row goes on waiting."""
    relief: tuple[str, str, str] | None = None
    """Of an end that finishes the row: the id of the announcement that it WAITED for long, and the id and the document
    of the one that takes it back. That one goes into the outbox too, once, behind the first and under its subject,
    where the first is there; else nothing does."""


@dataclass(frozen=True, slots=True)
class InboxBacklog:
    """What is not over yet, for health and metrics."""

    waiting: int
    parked: int
    oldest_received_at: datetime | None
    """Of those that wait; parked ones wait rightly."""
