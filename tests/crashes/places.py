"""The stores that the killed processes share with those who come after them."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from scripts.private_servers import holding, why_missing
from tests.conformance.postgres_database import emptied, migrated
from tests.services import Databases

#: Makes a place for one after the other: each call of what it gives is one more empty store there.
NewStores = Callable[[], Callable[[], str]]


@contextmanager
def stores_found(folder: Path) -> Iterator[dict[str, NewStores]]:
    """SQLite, and PostgreSQL where this machine has one: durable, so that what it answered is on the disk."""
    numbers = count()

    def files() -> Callable[[], str]:
        return lambda: f"sqlite:///{folder / f'{next(numbers)}.db'}"

    found: dict[str, NewStores] = {"sqlite": files}
    with ExitStack() as stack:
        if why_missing("postgres") is None:
            server = stack.enter_context(holding("postgres", durable=True))
            # Nobody needs what is in it afterwards: it may go without its last checkpoint.
            stack.callback(server.crash, "postgres")
            made = Databases(server.places["postgres"])

            def databases() -> Callable[[], str]:
                dsn = made.new()
                empty: list[str] = []

                def next_one() -> str:
                    if not empty:
                        empty.append(migrated(dsn))
                    asyncio.run(emptied(dsn))
                    return dsn

                return next_one

            found["postgres"] = databases
        yield found
