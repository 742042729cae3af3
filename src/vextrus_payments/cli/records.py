"""Where a command reads records: the application's store, else the named one, else those of the home folder."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vextrus_payments.cli.application import app_name, load_app, opened
from vextrus_payments.cli.home import Home
from vextrus_payments.store import PaymentStore

if TYPE_CHECKING:
    from vextrus_payments.app import Payments


@dataclass(frozen=True, slots=True)
class Place:
    """A store that is open for reading."""

    store: PaymentStore
    payments: "Payments | None"
    """The application it belongs to; None: only the store is known."""
    name: str
    """As text for a person."""


async def places(app: str | None, store: str | None) -> AsyncGenerator[Place, None]:
    """Every store there may be records in, one after the other, each open while it is this one's turn.

    Raises:
        ConfigurationError: the application cannot be loaded, or the store's URL is wrong.
        StorageError: a store cannot be read.
    """
    name = app_name(app)
    if name is not None and store is None:
        async with opened(load_app(name)) as payments:
            yield Place(payments.store, payments, f"the store of {name}")
        return
    home = Home.find(store)
    for each in home.stores():
        async with _open(each):
            yield Place(each, None, home.place)


@asynccontextmanager
async def _open(store: PaymentStore) -> AsyncIterator[None]:
    await store.open()
    try:
        yield
    finally:
        await store.close()
