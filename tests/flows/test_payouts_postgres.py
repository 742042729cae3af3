"""Payouts of several real processes on one PostgreSQL: asked for, looked at and killed side by side; sent once."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from tests.flows.payouts import CHECKOUT, TOKENIZED, PayingShop, paying_config
from tests.flows.shop import LONG_S
from tests.flows.test_payouts import kept
from vextrus_payments import Sent, Unknown
from vextrus_payments.records import OperationState
from vextrus_payments.stores import PostgresStore
from vextrus_payments.testing import FakeClock
from vextrus_payments_sandbox.serve import SandboxServer

B2C, BALANCE = "/payment/b2cPayment", "/payment/organizationBalance"
_SEEDS = count(1)


@dataclass
class Firm:
    """A sandbox and a database, for as many processes as one likes."""

    server: SandboxServer
    store: str
    root: str = CHECKOUT

    @property
    def environ(self) -> dict[str, str]:
        config = paying_config(self.server, self.root)
        given = self.server.info["gateways"]["bkash"]
        names = ("app_key", "app_secret", "username", "password")
        return {
            "BKASH_MODE": "sandbox",
            "BKASH_API_URL": given["base_url"],
            "BKASH_PAYOUT_API_URL": str(config.payout_api_url),
            **{f"BKASH_{name.upper()}": given[name] for name in names},
            **{f"BKASH_PAYOUT_{name.upper()}": given[name] for name in names},
        }

    @property
    def paid_out(self) -> list[str]:
        """The numbers under which the gateway paid out, one for each time."""
        return [one.invoice for one in self.server.world.gateways["bkash"].rules.payouts.by_trx.values()]

    def calls(self, operation: str) -> int:
        return sum(c["operation"] == operation for c in self.server.world.wire.as_json())

    def fault(self, operation: str, fault: str, times: int = 1) -> None:
        self.server.app.state.faults.order(
            {"gateway": "bkash", "operation": operation, "fault": fault, "times": times},
            {"bkash": self.server.world.gateways["bkash"].operations},
        )

    def here(self, now: datetime | None = None) -> PayingShop:
        """This process as one more, at that time, else now."""
        gateways = {"bkash": paying_config(self.server, self.root)}
        return PayingShop(self.server, self.store, FakeClock(now or datetime.now(UTC)), gateways=gateways)

    async def process(self, *calls: tuple[str, ...], **job: Any) -> "asyncio.subprocess.Process":
        """One more process, which waits for its line."""
        wanted = {"store": self.store, "environ": self.environ, "calls": calls, **job}
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.flows.payout_process", json.dumps(wanted),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    async def together(self, *processes: "asyncio.subprocess.Process") -> list[dict[str, Any]]:
        """Let all of them begin once all are there."""
        for process in processes:
            assert process.stdout is not None
            if await process.stdout.readline() != b"ready\n":
                _, stderr = await process.communicate()
                raise AssertionError(stderr.decode())
        results = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
        assert [process.returncode for process in processes] == [0] * len(processes), results
        return [json.loads(stdout) for stdout, _ in results]

    async def killed(self, *calls: tuple[str, ...], dies_at: tuple[str, bool]) -> None:
        """A process that was killed there."""
        process = await self.process(*calls, dies_at=dies_at)
        _, stderr = await process.communicate(b"go\n")
        assert process.returncode == -signal.SIGKILL, stderr.decode()


@asynccontextmanager
async def firm_open(dsn: str, root: str = CHECKOUT) -> AsyncIterator[Firm]:
    await PostgresStore(dsn).migrate()
    async with SandboxServer(seed=next(_SEEDS)) as server:
        firm = Firm(server, dsn, root)
        yield firm
        assert server.world.audit() == []


@pytest.fixture
async def firm(postgres_dsn: str) -> AsyncIterator[Firm]:
    async with firm_open(postgres_dsn) as opened:
        yield opened


def later(by_s: int = LONG_S) -> datetime:
    """A time at which whatever was claimed is over."""
    return datetime.now(UTC) + timedelta(seconds=by_s)


def all_of(reports: list[dict[str, Any]], what: str) -> set[str]:
    return {one for report in reports for one in report[what]}


async def test_processes_that_ask_for_one_payout_make_one(firm: Firm) -> None:
    """And of two intents that share an operation id, one."""
    mine = [("payout", "salary-1", "10")] * 3
    reports = await firm.together(
        await firm.process(*mine, ("payout", "salary-2", "20"), ("payout", "two", "1")),
        await firm.process(*mine, ("payout", "salary-2", "20"), ("payout", "two", "2")),
        await firm.process(*mine, ("payout", "salary-3", "30"), ("payout", "two", "1")),
    )
    ends = [report["outcomes"] for report in reports]
    assert [end[:4] for end in ends] == [["Sent"] * 4] * 3
    assert [end[4] for end in ends] in (
        ["Sent", "OperationConflictError", "Sent"],
        ["OperationConflictError", "Sent", "OperationConflictError"],
    )
    assert len(firm.paid_out) == len(set(firm.paid_out)) == 4 and firm.calls("payout") == 4
    assert len(all_of(reports, "entries")) == 4
    assert len({event for event in all_of(reports, "events") if "payout.sent" in event}) == 4


async def test_workers_that_look_at_one_payout_book_it_once(postgres_dsn: str) -> None:
    async with firm_open(postgres_dsn, TOKENIZED) as firm:
        firm.fault("payout", "drop_after")
        firm.fault("payout_query", "error_5xx_before", times=20)
        shop = firm.here()
        async with shop.payments:
            assert isinstance(await shop.pay(), Unknown)
        firm.server.app.state.faults.reset()
        looks = (("reconcile",), ("payout_status", "salary-1"), ("payout", "salary-1", "250.50"))
        now = later().isoformat()
        reports = await firm.together(*[await firm.process(*looks, now=now) for _ in range(2)])
        for report in reports:
            assert report["outcomes"][1:] == ["Sent", "Sent"]
        assert len(all_of(reports, "entries")) == 1 and len(firm.paid_out) == 1
        assert len({event for event in all_of(reports, "events") if "payout.sent" in event}) == 1
        async with shop.payments:
            payout = await shop.payments.find_payout("salary-1")
            assert payout is not None and len(payout.receipts) == 1


#: Where a process is killed, what it leaves, how often the gateway has paid, and what is told in the end.
DEATHS = {
    "before-its-checkpoint": ((BALANCE, False), OperationState.RESERVED, 0, Sent),
    "between-checkpoint-and-send": ((B2C, False), OperationState.UNKNOWN, 0, Unknown),
    "after-the-answer": ((B2C, True), OperationState.UNKNOWN, 1, Unknown),
}


async def test_killed_at_any_of_three_moments_it_is_sent_once_at_most(firm: Firm) -> None:
    await asyncio.gather(
        *(firm.killed(("payout", name, "10"), dies_at=moment) for name, (moment, *_) in DEATHS.items())
    )
    paid = {name: how_often for name, (_, _, how_often, _) in DEATHS.items()}
    shop = firm.here(later())
    async with shop.payments:
        numbers = {name: (await kept(shop, name)).payout_id for name in DEATHS}
        for name in DEATHS:
            assert (await kept(shop, name)).state is OperationState.SUBMITTING
        await shop.payments.reconcile_due()
        for name, (_, left, _, _) in DEATHS.items():
            assert (await kept(shop, name)).state is left
        assert {name: firm.paid_out.count(number) for name, number in numbers.items()} == paid
    # Two that are asked for all of them anew, at once. A clock that goes on while it waits for the other one may give
    # up before that one is done; nobody sends a second time.
    asked = [("payout", name, "10") for name in DEATHS] * 2
    now = later(2 * LONG_S).isoformat()
    reports = await firm.together(*[await firm.process(*asked, now=now) for _ in range(2)])
    assert all_of(reports, "outcomes") <= {"Sent", "Unknown", "Pending"}
    shop = firm.here(later(4 * LONG_S))
    async with shop.payments:
        for name, (_, _, _, end) in DEATHS.items():
            assert isinstance(await shop.pay(name, "10"), end)
        await shop.payments.deliver()
    assert {name: firm.paid_out.count(number) for name, number in numbers.items()} == {
        **paid,
        "before-its-checkpoint": 1,
    }
    entries = all_of(reports, "entries") | {entry.id for entry in shop.entries}
    assert len(entries) == 1, "what nobody knows is not booked"
