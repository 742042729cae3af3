"""asyncpg, and as much of it as the store uses. The only file that imports it, and only when a store is made."""

from collections.abc import Sequence
from typing import Any, Final, Protocol

from vextrus_payments.errors import MissingExtraError

Row = Sequence[Any]


class Connection(Protocol):
    """A connection of asyncpg, or a pool's proxy of one."""

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
        """Run it; without values it may be several statements."""
        ...

    async def fetch(self, query: str, *args: Any, timeout: float | None = None) -> Sequence[Row]:
        """All its rows."""
        ...

    async def fetchrow(self, query: str, *args: Any, timeout: float | None = None) -> Row | None:
        """Its first row."""
        ...

    def is_closed(self) -> bool:
        """Whether it is of no more use."""
        ...

    def is_in_transaction(self) -> bool:
        """Whether a transaction is open on it, a failed one included."""
        ...

    def terminate(self) -> None:
        """Cut it."""
        ...

    def transaction(self, *, isolation: str | None = None) -> Any:
        """A transaction, or a savepoint within one, not begun yet."""
        ...

    async def reset(self, *, timeout: float | None = None) -> None:
        """Take back what was set on its session."""
        ...


class Pool(Protocol):
    """asyncpg's pool."""

    async def acquire(self, *, timeout: float | None = None) -> Connection:
        """A connection of it, made where needed."""
        ...

    async def release(self, connection: Any, *, timeout: float | None = None) -> None:
        """Hand one back."""
        ...

    async def close(self) -> None:
        """Wait until all are back, and close them."""
        ...

    def terminate(self) -> None:
        """Cut them all."""
        ...

    def get_size(self) -> int:
        """How many connections there are."""
        ...

    def get_max_size(self) -> int:
        """How many there may be."""
        ...


_CONNECT_S: Final = 10.0
_NAME: Final = "vextrus_payments"


def driver() -> Any:
    """The module asyncpg.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import asyncpg  # type: ignore[import-untyped]
    except ImportError:
        asyncpg = None
    if asyncpg is None:  # raised out here: the import's own error is nothing that anybody needs to read
        raise MissingExtraError(
            "The PostgreSQL store needs asyncpg, which is not installed.",
            next_step='Install it: pip install "vextrus-payments[postgres]"',
        )
    return asyncpg


def driver_errors() -> tuple[type[Exception], ...]:
    """What the driver raises when the database fails, the network does, or a value cannot be encoded."""
    asyncpg = driver()
    return (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


async def make_pool(dsn: str, *, size: int, statement_cache_size: int, command_timeout_s: float) -> Pool:
    """A pool with one connection in it."""
    pool: Pool = await driver().create_pool(
        dsn,
        min_size=1,
        max_size=size,
        timeout=_CONNECT_S,
        command_timeout=command_timeout_s,
        statement_cache_size=statement_cache_size,
        server_settings=_settings(dsn),
        reset=_nothing,
    )
    return pool


async def connect(dsn: str) -> Any:
    """One connection, for an administrator's work: a migration may take its time."""
    return await driver().connect(
        dsn,
        timeout=_CONNECT_S,
        statement_cache_size=0,
        server_settings=_settings(dsn),
    )


def _settings(dsn: str) -> dict[str, str]:
    """What pg_stat_activity calls us, unless the URL says it; a pooler refuses most other settings."""
    return {} if "application_name=" in dsn else {"application_name": _NAME}


async def _nothing(_: Any) -> None:
    """What asyncpg does to a connection that comes back to the pool, beside rolling back: nothing. Ours change no
    setting but for the transaction, and take no lock beyond it; asyncpg's own reset is a round trip per operation."""
