"""The PostgreSQL store behind a real pgbouncer in transaction mode, which hands its servers from client to client."""

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.conformance.postgres_database import emptied, migrated, trial_of
from tests.services import Databases
from vextrus_payments.errors import StorageError
from vextrus_payments.stores import PostgresStore
from vextrus_payments.testing import FakeClock, check_store

CHECKS = (
    "reserve_once",
    "fifty_claims",
    "guards_race",
    "receipts_race",
    "leases_race",
    "deliverers_race",
    "watchers_race",
    "settlers_race",
    "grants_are_counted",
    "find_by_each_key",
    "list_page_by_page",
)


@pytest.fixture(scope="module")
def direct(postgres_databases: Databases) -> Iterator[str]:
    made = postgres_databases.new()
    yield migrated(made)
    postgres_databases.drop(made)


@pytest.fixture(scope="module")
def pooled(direct: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The DSN through a pgbouncer of our own, with fewer servers than clients."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed")
    target = urlsplit(direct)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("pgbouncer")
    (folder / "users.txt").write_text(f'"{target.username}" ""\n', encoding="utf-8")
    (folder / "pgbouncer.ini").write_text(
        f"""[databases]
* = host={target.hostname} port={target.port} user={target.username} password={target.password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
auth_type = trust
auth_file = {folder / "users.txt"}
pool_mode = transaction
default_pool_size = 4
unix_socket_dir =
""",
        encoding="utf-8",
    )
    command = [program, str(folder / "pgbouncer.ini")]
    if os.geteuid() == 0:  # which it refuses to run as
        for place in (folder, *folder.parents[:2], *folder.iterdir()):
            place.chmod(0o755)
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield target._replace(netloc=f"{target.username}@127.0.0.1:{port}").geturl()
    finally:
        process.terminate()
        process.wait(10)


def wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("pgbouncer does not listen")


@pytest.mark.parametrize("check", CHECKS)
async def test_behind_a_pooler(check: str, direct: str, pooled: str) -> None:
    await emptied(direct)
    clock = FakeClock()

    def make(*_: object) -> PostgresStore:
        return PostgresStore(pooled, clock=clock, statement_cache_size=0)

    await check_store(make, advance=clock.advance, reopen=make, only=[check])


async def test_whoever_forgets_to_say_so_is_told(direct: str, pooled: str) -> None:
    await emptied(direct)
    stores = [PostgresStore(pooled) for _ in range(3)]
    with pytest.raises(StorageError) as caught:
        for store in stores:
            await store.open()
        for number in range(100):
            await asyncio.gather(
                *(trial_of(store).paid(f"INV-{number}-{n}") for n, store in enumerate(stores))
            )
    assert caught.value.code == "storage_pooler"
    assert "statement_cache_size=0" in caught.value.next_step
    for store in stores:
        await store.close()
