"""Real processes on one folder, or on one Redis: exactly one grant, and the dead hold nobody up."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.token_process import KEY
from vextrus_payments.errors import StorageError
from vextrus_payments.token_budget import GrantLog
from vextrus_payments.tokens import FileTokenBackend

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def start(processes: list[subprocess.Popen[str]], *arguments: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    processes.append(process)
    return process


@pytest.mark.parametrize("kind", ["file", "sqlite", "redis"])
def test_a_thousand_callers_in_four_processes_make_one_grant(
    kind: str,
    tmp_path: Path,
    started: list[subprocess.Popen[str]],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if kind == "redis":
        monkeypatch.setenv("VEXTRUS_TEST_REDIS", request.getfixturevalue("redis_url"))
    for number in range(4):
        start(started, "-m", "tests.unit.token_process", kind, str(tmp_path), str(number), "250")
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [json.loads(process.communicate(timeout=60)[0]) for process in started]
    assert [process.returncode for process in started] == [0] * 4
    assert [answer["callers"] for answer in answers] == [250] * 4
    assert len({version for answer in answers for version in answer["versions"]}) == 1
    wire = (tmp_path / "wire").read_text(encoding="utf-8").splitlines()
    assert len(wire) == 1, f"grants on the wire: {wire}"
    if kind == "file":
        grants = tmp_path / "tokens" / f"{KEY.digest}.grants"
        log = GrantLog.from_json(grants.read_text(encoding="utf-8"))
        assert [(slot.open, slot.failure) for slot in log.slots] == [(False, None)]

    # A fifth process, later, finds the token and asks nobody.
    later = start(started, "-m", "tests.unit.token_process", kind, str(tmp_path), "4", "10")
    answer = json.loads(later.communicate("go\n", timeout=60)[0].splitlines()[-1])
    assert answer["versions"] == answers[0]["versions"]
    assert (tmp_path / "wire").read_text(encoding="utf-8").splitlines() == wire


HOLD = """
import sys
from pathlib import Path
from vextrus_payments.tokens import file
def work():
    print("held", flush=True)
    sys.stdin.readline()
file._under_lock(Path(sys.argv[1]), work)
"""


async def test_the_lock_of_a_killed_process_is_free_at_once(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    backend = FileTokenBackend(tmp_path, lock_timeout_s=0.05)
    holder = start(started, "-c", HOLD, str(tmp_path / "tokens" / f"{KEY.digest}.lock"))
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(StorageError, match="kept the lock"):
        await backend.drop(KEY, "version")
    holder.kill()
    holder.wait()
    assert not await backend.drop(KEY, "version")


def test_a_process_killed_in_its_grant_leaves_its_slot_taken(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    victim = start(started, "-m", "tests.unit.token_process", "file", str(tmp_path), "0", "1")
    assert victim.stdin is not None
    victim.stdin.write("go\n")
    victim.stdin.flush()
    give_up = time.monotonic() + 30
    while not (tmp_path / "wire").exists():
        assert time.monotonic() < give_up
        time.sleep(0.005)
    victim.kill()
    victim.wait()
    grants = tmp_path / "tokens" / f"{KEY.digest}.grants"
    log = GrantLog.from_json(grants.read_text(encoding="utf-8"))
    assert [slot.open for slot in log.slots] == [True], "nobody ended it: it counts from its lease's end"
    assert not (tmp_path / "tokens" / f"{KEY.digest}.token").exists()
