"""The private servers of tests and benchmarks: they run, they are ours alone, and nothing of them stays."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from scripts import private_servers as library
from scripts.private_servers import Held, holding
from tests import services
from tests.packaging.distribution import ROOT

TOOL = [sys.executable, str(ROOT / "scripts" / "services.py")]


def speaks(url: str) -> bool:
    """Whether a Redis answers there."""
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 0), 2) as peer:
            peer.sendall(f"AUTH {parts.password}\r\nPING\r\n".encode())
            return peer.recv(100).startswith(b"+OK")
    except OSError:
        return False


def gone(url: str, folder: Path) -> bool:
    give_up = time.monotonic() + 30
    while speaks(url) or folder.exists():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def redis() -> None:
    services.require("redis")


def folders_of(url: str) -> list[Path]:
    """The folders under the holder whose Redis this is, found by its port in its configuration's neighborhood."""
    place = urlsplit(url).password or ""
    found = []
    for base in {Path("/tmp"), Path("/var/tmp"), Path(os.environ.get("TMPDIR", "/tmp"))}:
        for file in base.glob("vextrus-services-*/redis-*/redis.conf"):
            if place in file.read_text(encoding="utf-8"):
                found.append(file.parent.parent)
    return found


@pytest.mark.usefixtures("redis")
def test_the_command_runs_beside_them_and_its_exit_code_comes_back(tmp_path: Path) -> None:
    told = tmp_path / "told"
    program = f"import os,sys; open({str(told)!r},'w').write(os.environ['VEXTRUS_TEST_REDIS']); sys.exit(7)"
    done = subprocess.run([*TOOL, "run", "--only", "redis", "--", sys.executable, "-c", program], check=False)
    assert done.returncode == 7
    url = told.read_text(encoding="utf-8")
    assert url.startswith("redis://:")
    assert not speaks(url)
    assert folders_of(url) == []


WAITS = "import os,sys,time; print(os.environ['VEXTRUS_TEST_REDIS'], flush=True); time.sleep(60)"


@pytest.mark.usefixtures("redis")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_they_end_with_whoever_started_them_however_it_ends(how: signal.Signals) -> None:
    runner = subprocess.Popen(
        [*TOOL, "run", "--only", "redis", "--", sys.executable, "-c", WAITS],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert runner.stdout is not None
    url = runner.stdout.readline().strip()
    assert speaks(url)
    [folder] = folders_of(url)
    runner.send_signal(how)
    try:
        assert gone(url, folder)
        assert runner.wait(20) in (128 + how, -how, 1)
    finally:
        os.killpg(runner.pid, signal.SIGKILL) if how is signal.SIGKILL else None  # the command outlives a -9
        runner.communicate()


@pytest.mark.usefixtures("redis")
@pytest.mark.skipif(sys.platform != "linux", reason="other kernels do not end a dead parent's children")
def test_a_killed_holder_takes_its_servers_along_and_the_next_one_clears_up() -> None:
    held = library.start_holder(["redis"])
    assert held.folder.exists()
    os.kill(held.pid, signal.SIGKILL)
    held.close()
    give_up = time.monotonic() + 20
    while speaks(held.places["redis"]):
        assert time.monotonic() < give_up
        time.sleep(0.02)
    assert held.folder.exists()
    with holding("redis") as other:
        assert not held.folder.exists()
        assert other.folder.exists()
    assert not other.folder.exists()


@pytest.mark.usefixtures("redis")
def test_started_ones_live_on_until_stopped(tmp_path: Path) -> None:
    env_file = tmp_path / "services.env"
    start = [*TOOL, "start", "--only", "redis", "--env-file", str(env_file)]
    subprocess.run(start, check=True, stdout=subprocess.DEVNULL)
    told = dict(line.split("=", 1) for line in env_file.read_text(encoding="utf-8").splitlines())
    url = told["VEXTRUS_TEST_REDIS"]
    folder = Path(told["VEXTRUS_TEST_SERVICES"].partition(":")[2])
    try:
        assert stat.S_IMODE(env_file.stat().st_mode) == 0o600
        assert speaks(url)
        again = subprocess.run(start, check=False, capture_output=True, text=True)
        assert again.returncode == 1
        assert "exists" in again.stderr
        assert "Traceback" not in again.stderr
        assert speaks(url)
    finally:
        subprocess.run([*TOOL, "stop", "--env-file", str(env_file)], check=True)
    assert not speaks(url)
    assert not folder.exists()
    assert not env_file.exists()


def test_servers_crash_and_come_back_with_what_reached_the_disk(
    private_servers: Callable[..., Held],
) -> None:
    from redis import Redis

    held = private_servers("redis", durable=True)
    url = held.places["redis"]
    with Redis.from_url(url) as client:
        client.set("kept", "1")
        held.crash("redis")
        assert not speaks(url)
        held.start("redis")
        assert client.get("kept") == b"1"
    if os.geteuid() == 0:
        assert held.folder.stat().st_uid != 0, "servers never run as root"


def test_each_test_has_a_database_of_its_own(
    new_postgres_database: Callable[[], str], postgres_dsn: str
) -> None:
    dsns = {postgres_dsn, new_postgres_database(), new_postgres_database()}
    assert len(dsns) == 3
    assert {urlsplit(dsn).hostname for dsn in dsns} == {"127.0.0.1"}


async def test_a_database_answers_and_is_empty(postgres_dsn: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(postgres_dsn)
    try:
        assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
        assert (await connection.fetchval("SHOW server_encoding")) == "UTF8"
    finally:
        await connection.close()


def test_a_redis_is_empty_for_each_test(redis_url: str) -> None:
    from redis import Redis

    with Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_a_redis_is_empty_for_the_next_one_too(redis_url: str) -> None:
    from redis import Redis

    with Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


@pytest.mark.parametrize(("required", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_what_is_not_installed_is_named_and_fails_where_it_is_required(
    required: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "redis_program", lambda: None)
    monkeypatch.setenv("VEXTRUS_REQUIRE_SERVICES", required)
    with pytest.raises(outcome, match=r"redis is not installed \(Debian: apt-get install redis-server\)"):
        services.require("redis")


def test_the_newest_debian_postgres_goes_before_the_path() -> None:
    services.require("postgres")
    found = library.postgres_programs()
    assert found is not None
    assert (found / "initdb").exists()
    if Path("/usr/lib/postgresql").is_dir():
        assert found.is_relative_to("/usr/lib/postgresql")
