"""The port of the sinks: what takes the outbox's rows, where that is more than a callback of the host's.

A callback takes the entry or the event. A `RowSink` takes the stored row itself (it posts the document as it was
written). A `TransactionalSink` writes into the caller's own database, inside the transaction that marks the row
delivered: exactly once.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeGuard, runtime_checkable

from vextrus_payments.errors import ConfigurationError
from vextrus_payments.events import PaymentEvent
from vextrus_payments.ledger import LedgerCallback, LedgerEntry
from vextrus_payments.records import OutboxRow

#: Takes news of payments. Called at least once per event, in order per payment; dedupe on `event.id`.
EventCallback = Callable[[PaymentEvent], Awaitable[None]]


@runtime_checkable
class RowSink(Protocol):
    """Takes rows of the outbox, entries and events alike, at least once each."""

    async def take_row(self, row: OutboxRow) -> None:
        """Take it; returning means that it is taken.

        Raises:
            DeliveryError: not taken; it is offered again, not before `retry_after_s` where that is given.
            UndeliverableError: never, as it is: it is set aside at once.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections. May be called again, and rows may come again after it."""
        ...


@runtime_checkable
class TransactionalSink(Protocol):
    """Writes entries inside the transaction that marks them delivered: both happen, or neither."""

    async def write_within(self, connection: Any, entry: LedgerEntry) -> None:
        """Write with the store's own open connection, and neither commit nor roll back."""
        ...


#: What `Payments(ledger=...)` takes.
Ledger = LedgerCallback | RowSink | TransactionalSink
#: What `Payments(on_event=...)` takes.
EventListener = EventCallback | RowSink


def is_row_sink(given: object) -> TypeGuard[RowSink]:
    """Whether it is a RowSink. Its class is asked: a mock has whatever attribute it is asked for."""
    return hasattr(type(given), "take_row")


def is_transactional_sink(given: object) -> TypeGuard[TransactionalSink]:
    """Whether it is a TransactionalSink."""
    return hasattr(type(given), "write_within")


def check_coroutine_function(name: str, given: object) -> Callable[..., Any]:
    """Give it back, unless it cannot be awaited: called on the event loop it would block every payment, and its end
    would not be known.

    A callable that merely wraps a coroutine function (a decorator's, a lambda) is let through.

    Raises:
        ConfigurationError: it is no callable, a class, or a plain function.
    """
    if callable(given) and not inspect.isclass(given) and not _is_plain(given):
        return given
    what = "a plain function" if callable(given) and not inspect.isclass(given) else "no coroutine function"
    raise ConfigurationError(
        f"{name} is {what}: it is awaited, so that it cannot hold up payments.",
        code="callback_not_async",
        next_step="Write it as `async def`; vextrus_payments.sync takes plain functions.",
    )


def _is_plain(given: Any) -> bool:
    if inspect.iscoroutinefunction(given) or inspect.iscoroutinefunction(type(given).__call__):
        return False
    if not (inspect.isfunction(given) or inspect.ismethod(given)):
        return inspect.isbuiltin(given)  # of other objects only the call itself can tell
    return not hasattr(given, "__wrapped__") and given.__name__ != "<lambda>"
