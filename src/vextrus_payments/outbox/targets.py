"""Where rows of one kind go: a callback, a sink, or a write inside the store's own transaction."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, Protocol

from vextrus_payments.documents import from_json
from vextrus_payments.errors import ConfigurationError, DeliveryError
from vextrus_payments.events import PaymentEvent
from vextrus_payments.ledger import LedgerEntry
from vextrus_payments.records import OutboxKind, OutboxRow
from vextrus_payments.sink_port import (
    EventListener,
    Ledger,
    RowSink,
    TransactionalSink,
    check_coroutine_function,
    is_row_sink,
    is_transactional_sink,
)
from vextrus_payments.store import PaymentStore, TransactionalOutbox

#: Entries written within the store's own transactions at a time.
_MOST_WITHIN: Final = 4


class Handed(Enum):
    """What became of a row that was handed over."""

    TAKEN = 1
    """It is taken, and is to be marked delivered."""
    MARKED = 2
    """It is taken and marked, in one transaction."""
    GONE = 3
    """It had been delivered, or was another worker's by then: nothing was done with it."""


class Target(Protocol):
    """Takes one row. Whatever it raises means "not taken"."""

    @property
    def most_at_once(self) -> int | None:
        """How many rows at once it can stand; None: as many as the limits say."""
        ...

    async def hand_over(self, row: OutboxRow) -> Handed:
        """Hand the row over."""
        ...


class _CallbackTarget:
    most_at_once = None

    def __init__(
        self, callback: Callable[[Any], Any], record: type[LedgerEntry] | type[PaymentEvent]
    ) -> None:
        self._callback = callback
        self._record = record

    async def hand_over(self, row: OutboxRow) -> Handed:
        answer = self._callback(from_json(self._record, row.document))
        if not hasattr(answer, "__await__"):
            raise DeliveryError(
                "The callback answered with nothing to await; whether it did its work is not known.",
                code="callback_not_async",
                next_step="Write it as `async def`.",
            )
        await answer
        return Handed.TAKEN


class _SinkTarget:
    most_at_once = None

    def __init__(self, sink: RowSink) -> None:
        self._sink = sink

    async def hand_over(self, row: OutboxRow) -> Handed:
        await self._sink.take_row(row)
        return Handed.TAKEN


class _TransactionalTarget:
    def __init__(self, sink: TransactionalSink, store: TransactionalOutbox) -> None:
        self._sink = sink
        self._store = store

    @property
    def most_at_once(self) -> int:
        # Each holds a connection of the store's pool, which payments need as well: the store says how many it has.
        return min(int(getattr(self._store, "deliveries_at_once", _MOST_WITHIN)), _MOST_WITHIN)

    async def hand_over(self, row: OutboxRow) -> Handed:
        entry = from_json(LedgerEntry, row.document)
        done = await self._store.deliver_within(
            row, lambda connection: self._sink.write_within(connection, entry)
        )
        return Handed.MARKED if done else Handed.GONE


def targets_of(
    store: PaymentStore, ledger: Ledger | None, on_event: EventListener | None
) -> Mapping[OutboxKind, Target]:
    """The targets that are there. Without one, rows of its kind stay: what is attached later gets every one of them.

    Raises:
        ConfigurationError: a callback that cannot be awaited, or a sink that this store cannot serve.
    """
    targets: dict[OutboxKind, Target] = {}
    if is_transactional_sink(ledger):
        targets[OutboxKind.LEDGER] = _TransactionalTarget(ledger, _transactional(store))
    elif is_row_sink(ledger):
        targets[OutboxKind.LEDGER] = _SinkTarget(ledger)
    elif ledger is not None:
        callback = check_coroutine_function("ledger", ledger)
        targets[OutboxKind.LEDGER] = _CallbackTarget(callback, LedgerEntry)
    if is_row_sink(on_event):
        targets[OutboxKind.EVENT] = _SinkTarget(on_event)
    elif on_event is not None:
        callback = check_coroutine_function("on_event", on_event)
        targets[OutboxKind.EVENT] = _CallbackTarget(callback, PaymentEvent)
    return targets


def _transactional(store: PaymentStore) -> TransactionalOutbox:
    if isinstance(store, TransactionalOutbox):
        return store
    raise ConfigurationError(
        "This ledger sink writes into the store's own PostgreSQL database, and the store is another one.",
        code="sink_needs_postgres",
        next_step='Use store="postgresql://...", or a callback that is idempotent on entry.id.',
    )
