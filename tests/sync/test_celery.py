"""A real Celery prefork worker: tasks in several children complete the same payments, and each is executed once.

The application is the one that docs/sync.md shows."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts.private_servers import why_missing
from tests.sync.pages import ROOT, environ, written
from tests.sync.world import Sandbox, wanted

pytest.importorskip("celery", reason="celery is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="Celery's prefork pool needs fork"),
]

START_S, TASKS_S = 60, 60


@contextmanager
def worker(told: dict[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A prefork worker with three children, ready for tasks; it is told to stop, and must."""
    command = [sys.executable, "-m", "celery", "-A", "tests.sync.celery_shop", "worker", "--pool", "prefork",
               "--concurrency", "3", "--loglevel", "INFO", "--without-gossip", "--without-mingle",
               "--without-heartbeat"]  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=told, stdout=output, stderr=output)
    try:
        give_up = time.monotonic() + START_S
        while b"ready." not in log.read_bytes():
            assert process.poll() is None and time.monotonic() < give_up, log.read_text()
            time.sleep(0.1)
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> str:
    """A Redis where this machine has one, else the file system."""
    if "VEXTRUS_TEST_REDIS" not in os.environ and why_missing("redis") is not None:
        return "filesystem://"
    url: str = request.getfixturevalue("redis_url")
    return url


def test_prefork_children_execute_each_payment_once(sandbox: Sandbox, tmp_path: Path, broker: str) -> None:
    for name in ("queue", "control", "results"):
        (tmp_path / name).mkdir()
    told = environ(sandbox, written(tmp_path)) | {
        "SHOP_FOLDER": str(tmp_path),
        "SHOP_BROKER": broker,
        "C_FORCE_ROOT": "1",
    }
    with sandbox.payments(told["PAYMENTS_STORE"]) as payments:
        sessions = [payments.initialize(wanted(f"INV-{n}", f"{n + 1}00")) for n in range(3)]
    for session in sessions:
        sandbox.approve(session)
    with worker(told, tmp_path / "worker.log"):
        # Sent by a process of its own: this one must not configure Celery for the whole test session.
        sending = subprocess.run(
            [sys.executable, "-c", SEND, *(session.payment_id for session in sessions)],
            cwd=ROOT, env=told, capture_output=True, text=True, timeout=TASKS_S, check=False,
        )  # fmt: skip
        assert sending.returncode == 0, sending.stderr + (tmp_path / "worker.log").read_text()
    answers = [eval(line) for line in sending.stdout.splitlines()]
    assert len(answers) == 18
    assert {answer["outcome"] for answer in answers} == {"Paid"}
    assert len({answer["process"] for answer in answers}) > 1
    assert sandbox.calls("execute") == 3
    assert sandbox.calls("grant") == 1
    entries = [line.split()[0] for line in (tmp_path / "ledger.txt").read_text().splitlines()]
    assert len(entries) == len(set(entries)) == 3
    log = (tmp_path / "worker.log").read_text()
    assert "Traceback" not in log and "never awaited" not in log, log


SEND = """
import sys
from tests.sync.celery_shop import complete
results = [complete.delay(payment_id) for _ in range(6) for payment_id in sys.argv[1:]]
for result in results:
    print(result.get(timeout=50, interval=0.05))
"""
