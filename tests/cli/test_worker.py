"""`vextrus-pay worker` as real processes, with real signals: nothing lost, nothing twice."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.cli.running import PATIENCE_S, Running, User
from tests.flows.queue_world import fill
from vextrus_payments.stores import SqliteStore

ROOT = Path(__file__).resolve().parents[2]
APP = "tests.cli.background_app:payments"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")


class Site:
    """A shop on this machine, and its diary."""

    def __init__(self, folder: Path) -> None:
        self.store_path = folder / "shop.db"
        self.diary = folder / "diary.txt"
        self.user = User(
            folder / "home",
            {
                "SHOP_STORE": f"sqlite:///{self.store_path}",
                "SHOP_DIARY": str(self.diary),
                "PYTHONPATH": str(ROOT),
            },
        )

    def fill(self, subjects: list[int]) -> list[str]:
        """Rows to be delivered; their ids."""

        async def work() -> list[str]:
            store = SqliteStore(self.store_path)
            await store.open()
            rows = await fill(store, subjects)
            await store.close()
            return [row.row_id for row in rows]

        return asyncio.run(work())

    def noted(self, what: str) -> Counter[str]:
        """How often each id is noted so."""
        text = self.diary.read_text(encoding="utf-8") if self.diary.exists() else ""
        lines = [line.split(" ") for line in text.splitlines()]
        return Counter(entry_id for noted, entry_id in lines if noted == what)

    def wait_for(self, what: str, count: int) -> None:
        """Until so many are noted."""
        give_up = time.monotonic() + PATIENCE_S
        while sum(self.noted(what).values()) < count:
            assert time.monotonic() < give_up, f"{what} was not noted {count} times"
            time.sleep(0.02)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def ready(running: Running) -> None:
    line = json.loads(running.line_with("worker.ready"))
    assert line["pid"] == running.process.pid


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_in_the_middle_of_a_slow_callback_loses_and_doubles_nothing(
    site: Site, number: signal.Signals
) -> None:
    ids = site.fill([2, 2, 1])
    slow = {"SHOP_TAKES_S": "0.7"}
    with site.user.start("worker", "--app", APP, "--json", "--drain-s", "10", env=slow) as running:
        ready(running)
        site.wait_for("begin", 2)
        running.process.send_signal(number)
        stopping = json.loads(running.line())
        done = running.end()
    assert stopping["type"] == "worker.stopping"
    assert done.code == 0
    ended = json.loads(done.out)
    assert (ended["type"], ended["drained"], ended["exit_code"]) == ("worker.ended", True, 0)
    assert site.noted("begin") == site.noted("done")
    assert len(site.noted("done")) == 2, "it began nothing more after the signal"

    rest = site.user.run("worker", "--app", APP, "--once", "--json")
    assert rest.code == 0, rest.err
    assert json.loads(rest.out.splitlines()[-1])["taken"] == len(ids) - 2
    assert site.noted("done") == Counter(ids)
    assert site.noted("begin") == Counter(ids)


def test_what_takes_longer_than_the_limit_is_cut_off_and_taken_up_again(site: Site) -> None:
    (entry_id,) = site.fill([1])
    hang = {"SHOP_HOW": "hang"}
    with site.user.start("worker", "--app", APP, "--drain-s", "1", "--json", env=hang) as running:
        ready(running)
        site.wait_for("begin", 1)
        began = time.monotonic()
        running.process.terminate()
        done = running.end()
    assert done.code == 3
    assert time.monotonic() - began >= 1
    assert json.loads(done.out.splitlines()[-1])["drained"] is False
    # its lease is not over yet
    assert site.user.run("worker", "--app", APP, "--once").code == 0
    assert site.noted("done") == Counter()
    later = site.user.run("worker", "--app", APP, "--once", env={"SHOP_AHEAD_S": "100"})
    assert later.code == 0
    assert "Taken: 1" in later.err
    assert site.noted("done") == Counter([entry_id])


@pytest.mark.parametrize("more", [(), ("--once",)], ids=["until told", "once"])
def test_a_callback_that_swallows_its_cancellation_does_not_keep_the_process(
    site: Site, more: tuple[str, ...]
) -> None:
    site.fill([1])
    swallow = {"SHOP_HOW": "swallow"}
    with site.user.start("worker", "--app", APP, "--drain-s", "1", "--json", *more, env=swallow) as running:
        ready(running)
        site.wait_for("begin", 1)
        running.process.terminate()
        done = running.end()
    assert done.code == 3
    assert json.loads(done.out.splitlines()[-1])["drained"] is False
    assert site.noted("done") == Counter()


_STUBBORN = """
import asyncio
from vextrus_payments.cli.worker import _to_its_end

async def stubborn():
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

async def work():
    tasks.append(asyncio.create_task(stubborn()))
    await asyncio.sleep(0)
    raise OSError("the disk is gone")

tasks = []
asyncio.run(_to_its_end(work()))
"""


def test_nor_does_it_when_the_worker_itself_breaks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _STUBBORN], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 3
    assert "OSError" in done.stderr and "taken up again" in done.stderr


def test_a_second_signal_stops_at_once_whatever_a_callback_does(site: Site) -> None:
    site.fill([1])
    swallow = {"SHOP_HOW": "swallow"}
    with site.user.start("worker", "--app", APP, "--drain-s", "60", "--json", env=swallow) as running:
        ready(running)
        site.wait_for("begin", 1)
        running.process.terminate()
        running.line_with("worker.stopping")
        running.process.terminate()
        done = running.end()
    assert done.code == 130


def test_a_second_signal_stops_at_once(site: Site) -> None:
    site.fill([1])
    hang = {"SHOP_HOW": "hang"}
    with site.user.start("worker", "--app", APP, "--drain-s", "60", "--json", env=hang) as running:
        ready(running)
        site.wait_for("begin", 1)
        running.process.terminate()
        running.line_with("worker.stopping")
        began = time.monotonic()
        running.process.terminate()
        done = running.end()
    assert done.code == 130
    assert time.monotonic() - began < 60
    assert "Interrupted" in done.err and "Traceback" not in done.err


@pytest.mark.parametrize("how", ["once", "until told"])
def test_an_idle_worker_ends_at_once(site: Site, how: str) -> None:
    site.fill([])
    if how == "once":
        done = site.user.run("worker", "--app", APP, "--once", "--json")
    else:
        with site.user.start("worker", "--app", APP, "--json") as running:
            ready(running)
            running.process.terminate()
            running.line_with("worker.stopping")
            done = running.end()
    assert done.code == 0, done.err


def test_a_signal_in_the_middle_of_once_finishes_what_is_in_hand(site: Site) -> None:
    ids = site.fill([3, 3])
    slow = {"SHOP_TAKES_S": "0.5"}
    with site.user.start("worker", "--app", APP, "--once", "--json", env=slow) as running:
        site.wait_for("begin", 2)
        running.process.terminate()
        done = running.end()
    assert done.code == 0, done.err
    assert site.noted("begin") == site.noted("done")
    assert len(site.noted("done")) < len(ids)


def test_what_was_set_aside_is_told_on_stderr_and_let_go_by_a_command(site: Site) -> None:
    """A shop without logging of its own still hears of it."""
    first, behind = site.fill([2])
    done = site.user.run("worker", "--app", APP, "--once", env={"SHOP_HOW": "refuse"})
    assert done.code == 0
    assert "outbox.parked" in done.err and first in done.err
    assert site.user.run("outbox", "retry", first, "--app", APP).code == 0
    assert site.user.run("worker", "--app", APP, "--once").code == 0
    assert site.noted("done") == Counter([first, behind])


def test_the_blocking_facade_has_a_worker_too(site: Site) -> None:
    ids = site.fill([2])
    done = site.user.run("worker", "--app", "tests.cli.background_app:blocking", "--once")
    assert done.code == 0, done.err
    assert site.noted("done") == Counter(ids)


def test_without_an_app_it_says_what_is_missing(site: Site) -> None:
    done = site.user.run("worker", "--json")
    assert done.code == 2
    assert done.document["error"]["code"] == "app_missing"
    named = site.user.run("worker", "--once", env={"VEXTRUS_PAY_APP": APP})
    assert named.code == 0, named.err


def test_two_workers_on_one_file_take_each_row_once(site: Site) -> None:
    ids = site.fill([1] * 30)
    with (
        site.user.start("worker", "--app", APP, "--json") as one,
        site.user.start("worker", "--app", APP, "--json") as two,
    ):
        ready(one)
        ready(two)
        site.wait_for("done", len(ids))
        for running in (one, two):
            running.process.terminate()
            assert running.end().code == 0
    assert site.noted("done") == site.noted("begin") == Counter(ids)
