"""R6: a web process is killed under load, again and again; everything it has answered 2xx is there, with its effect.

The driver knows what was answered, byte by byte on its own sockets. The checker reads the tables and the listener's
file, nothing of the SDK's.
"""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

from tests.crashes.supervisor import KILLED, ROOT, StuckError

CONNECTIONS: Final = 64
_PATIENCE_S: Final = 120


@dataclass
class AckReport:
    """What came of a campaign."""

    store: str
    kills: int = 0
    acked: int = 0
    kept: int = 0
    in_hand_at_death: int = 0
    """Rows that waited or were leased when a process died: their effects were made by the next one."""
    other_answers: Counter[int] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"acks             {self.store:10} {self.kills} kills, {self.acked} acked, {self.kept} kept,"
            f" {self.in_hand_at_death} still to be applied at a death, {len(self.problems)} problems"
        )


class Driver:
    """Sends numbered webhooks over its own sockets and remembers which were answered 200, whole."""

    def __init__(self, numbers: Iterator[int], wanted: int) -> None:
        self._numbers = numbers
        self._wanted = wanted
        self.acked: list[str] = []
        self.others: Counter[int] = Counter()
        self.enough: asyncio.Event = asyncio.Event()

    async def connection(self, port: int) -> None:
        """One connection's life: until the process behind it is gone."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return
        try:
            while True:
                event_id = f"n-{next(self._numbers)}"
                writer.write(_request(event_id))
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(_length(head))
                self._answered(event_id, int(head[9:12]))
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    def _answered(self, event_id: str, status: int) -> None:
        if status != 200:
            self.others[status] += 1
            return
        self.acked.append(event_id)
        if len(self.acked) >= self._wanted:
            self.enough.set()


def _request(event_id: str) -> bytes:
    # Each is news of a payment without our reference, whose effect is an announcement.
    body = json.dumps({"events": [{"id": event_id, "trx": event_id, "amount": "40", "key": f"k/{event_id}"}]})
    return (
        "POST /toy/webhook HTTP/1.1\r\nhost: shop\r\nx-toy: signed for default\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}"
    ).encode("ascii")


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    return 0


@contextmanager
def _victim(job: dict[str, Any], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "tests.crashes.ack_victim", json.dumps(job)]
    with (
        log.open("ab") as errors,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(10)


def campaign(store: str, folder: Path, *, kills: int, acks: int, plant: str | None = None) -> AckReport:
    """So many lives, each killed under load after so many answers, and the check after each death and at the end."""
    report = AckReport(store.partition(":")[0])
    folder.mkdir(parents=True, exist_ok=True)
    job = {"store": store, "told": str(folder / "told.txt"), "plant": plant}
    numbers, acked = count(), set[str]()
    for life in range(kills):
        # Every second life's inbox keeps up with its doors as well as the machine lets it; the others' are behind.
        with _victim({**job, "behind": life % 2 == 0}, folder / "log.txt") as process:
            driver = Driver(numbers, acks)
            asyncio.run(_load(process, driver))
            if process.wait(10) != KILLED:
                report.problems.append(f"the victim ended by itself; see {folder / 'log.txt'}")
                return report
        report.kills += 1
        report.acked += len(driver.acked)
        report.other_answers += driver.others
        acked.update(driver.acked)
        states = rows_of(store)
        report.in_hand_at_death += sum(state != "unmatched" for state in states.values())
        lost = acked - set(states)
        if lost:
            report.problems.append(f"{len(lost)} acked deliveries are lost")
    with _victim({**job, "plant": None, "drain": True}, folder / "log.txt") as process:
        if process.wait(_PATIENCE_S) != 0:
            report.problems.append(f"what was left was not applied; see {folder / 'log.txt'}")
    report.problems += _check_effects(store, folder / "told.txt", acked, report)
    return report


async def _load(process: "subprocess.Popen[bytes]", driver: Driver) -> None:
    assert process.stdout is not None
    line = await asyncio.to_thread(process.stdout.readline)
    port = json.loads(line)["port"]
    connections = [asyncio.create_task(driver.connection(port)) for _ in range(CONNECTIONS)]
    ended = asyncio.gather(*connections)
    enough = asyncio.create_task(driver.enough.wait())
    await asyncio.wait({ended, enough}, timeout=_PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
    stuck = not enough.done() and not ended.done()
    if stuck:
        os.kill(process.pid, signal.SIGUSR1)
        await asyncio.sleep(1)
    enough.cancel()
    os.kill(process.pid, signal.SIGKILL)
    await ended  # what was on its way is read to its end
    if stuck:
        acked, others = len(driver.acked), dict(driver.others)
        raise StuckError(
            f"after {acked} acks (and {others}) nothing came any more; its log says where it stood"
        )


def _check_effects(store: str, told: Path, acked: set[str], report: AckReport) -> list[str]:
    states = rows_of(store)
    report.kept = len(states)
    problems = [f"{len(acked - set(states))} acked deliveries are lost"] if acked - set(states) else []
    open_rows = [event_id for event_id, state in states.items() if state != "unmatched"]
    if open_rows:
        problems.append(f"{len(open_rows)} rows have no effect")
    lines = [line.split() for line in told.read_text(encoding="utf-8").splitlines()]
    announced = {(event_id, told_id) for told_id, _, event_id in lines}
    by_row = Counter(event_id for event_id, _ in announced)
    missing = set(states) - set(by_row)
    if missing:
        problems.append(f"{len(missing)} kept deliveries were never announced")
    doubled = [event_id for event_id, times in by_row.items() if times > 1]
    if doubled:
        problems.append(f"{len(doubled)} deliveries were announced under two ids")
    strangers = set(by_row) - set(states)
    if strangers:
        problems.append(f"{len(strangers)} announcements are of no row")
    return problems


def rows_of(store: str) -> dict[str, str]:
    """Event id -> state, of every row of the inbox, read past the SDK."""
    if store.startswith("sqlite:///"):
        with closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as database:
            return dict(database.execute("SELECT event_id, state FROM inbox"))
    return asyncio.run(_postgres_rows(store))


async def _postgres_rows(dsn: str) -> dict[str, str]:
    import asyncpg

    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch("SELECT event_id, state FROM vextrus_payments.inbox")
    finally:
        await connection.close()
    return {row["event_id"]: row["state"] for row in rows}
