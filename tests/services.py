"""Fixtures that bring a real PostgreSQL and a real Redis, private to this run.

- `postgres_dsn`: a fresh, empty database per test; `new_postgres_database()` for more of them, or for a module's own.
- `redis_url`: a Redis with nothing in it, per test.
- `private_servers(...)`: servers of a test's own, to crash, pause, restart, or speak TLS to.

A server is started when the first test asks, and ends with the session, also after a kill -9 of pytest. Where
`scripts/services.py run` (or CI) started one already, VEXTRUS_TEST_POSTGRES and VEXTRUS_TEST_REDIS name it: databases
are made and dropped there, and **that Redis is emptied**. Where there is none, such tests are skipped and say why;
with VEXTRUS_REQUIRE_SERVICES=1 they fail.
"""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

import pytest

from scripts.private_servers import VARIABLES, Held, holding, postgres_programs, why_missing


def do_without(reason: str) -> NoReturn:
    """Skip the test for this reason, or fail it where services are required."""
    if os.environ.get("VEXTRUS_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{reason}; VEXTRUS_REQUIRE_SERVICES=1 asks for it", pytrace=False)
    pytest.skip(reason)


def require(name: str) -> None:
    """Skip the test (or fail it, where services are required) unless the server of that name can run here."""
    reason = why_missing(name)
    if reason is not None:
        do_without(reason)


@pytest.fixture(scope="session")
def _session_servers() -> Iterator[Callable[[str], str]]:
    places = {name: os.environ[variable] for name, variable in VARIABLES.items() if variable in os.environ}
    with ExitStack() as stack:

        def place(name: str) -> str:
            if name not in places:
                require(name)
                places[name] = stack.enter_context(holding(name)).places[name]
            return places[name]

        yield place


class Databases:
    """Fresh databases on one PostgreSQL."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._made = 0

    def new(self) -> str:
        """The DSN of an empty database."""
        self._made += 1
        name = f"test_{os.getpid()}_{self._made}"
        self._do(f"CREATE DATABASE {name}")
        return urlsplit(self._dsn)._replace(path=f"/{name}").geturl()

    def drop(self, dsn: str) -> None:
        """Drop one that `new` made, whoever is still connected."""
        self._do(f"DROP DATABASE {urlsplit(dsn).path[1:]} WITH (FORCE)")

    def _do(self, statement: str) -> None:
        parts = urlsplit(self._dsn)
        programs = postgres_programs()
        psql = "psql" if programs is None else str(programs / "psql")
        done = subprocess.run(
            [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement],
            env={
                "PATH": os.environ["PATH"],
                "PGHOST": parts.hostname or "127.0.0.1",
                "PGPORT": str(parts.port or 5432),
                "PGUSER": unquote(parts.username or "postgres"),
                "PGPASSWORD": unquote(parts.password or ""),
                "PGDATABASE": parts.path[1:] or "postgres",
            },
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def postgres_databases(_session_servers: Callable[[str], str]) -> Databases:
    """For fixtures with a life of their own: `new()` and `drop()`."""
    return Databases(_session_servers("postgres"))


@pytest.fixture
def new_postgres_database(postgres_databases: Databases) -> Iterator[Callable[[], str]]:
    """The DSN of one more empty database at each call; all are dropped after the test."""
    with ExitStack() as stack:

        def make() -> str:
            dsn = postgres_databases.new()
            stack.callback(postgres_databases.drop, dsn)
            return dsn

        yield make


@pytest.fixture
def postgres_dsn(new_postgres_database: Callable[[], str]) -> str:
    """The DSN of an empty database of this test's own."""
    return new_postgres_database()


@pytest.fixture
def redis_url(_session_servers: Callable[[str], str]) -> str:
    """The URL of a Redis that has nothing in it."""
    from redis import Redis

    url = _session_servers("redis")
    with Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def private_servers() -> Iterator[Callable[..., Held]]:
    """`private_servers("redis", durable=True)`: servers of this test's own, gone after it."""
    with ExitStack() as stack:

        def start(*names: str, durable: bool = False, tls: tuple[Path, Path] | None = None) -> Held:
            for name in names:
                require(name)
            held: Any = stack.enter_context(holding(*names, durable=durable, tls=tls))
            return held

        yield start
