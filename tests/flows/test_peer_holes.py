"""Holes measured in released payment packages, probed in this one: real processes, real HTTP, real books.

| probe | there | here |
|---|---|---|
| two workers capture one authorized payment of 100 | two captures at the provider, 100 of them invisible | one |
| two concurrent refunds of 60 on a paid 100 | 120 refunded, no error | 60, and one refused |
| two stale instances refund 60 of 100 | 120 refunded, 40 stored as left | 60, and one refused |
| a refund of -5 | the provider is asked for -5, the payment grows to 105 | refused before anything is sent |
"""

import asyncio
import json
import sys
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.flows.shop import bkash_config
from vextrus_payments import (
    Authorized,
    Intent,
    InvalidRequestError,
    Money,
    Paid,
    PaymentRequest,
    Payments,
    RefundRequest,
)
from vextrus_payments_sandbox.serve import SandboxServer

#: Answers to one question that may differ in knowledge, never in what they claim.
SAYS_PAID = {"Paid", "Pending", "Unknown"}


class Peers:
    """A shop of several processes on one store."""

    def __init__(self, server: SandboxServer, store: str) -> None:
        self.server = server
        self.store = store

    async def pay(self, amount: str = "100", intent: Intent = Intent.SALE, *, execute: bool = True) -> str:
        """The id of a payment that its payer has approved, executed here or left to the others."""
        config = bkash_config(self.server)
        async with Payments(
            store=self.store, gateways={"bkash": config}, workers=False, public_url="https://shop.example/p"
        ) as payments:
            request = PaymentRequest(
                operation_id="INV-1/pay",
                gateway="bkash",
                amount=Money(amount, "BDT"),
                merchant_reference="INV-1",
                intent=intent,
            )
            session = await payments.initialize(request)
            self.server.world.gateways["bkash"].approve(session.gateway_reference, "success", None)
            if execute:
                assert isinstance(await payments.execute(session.payment_id), Paid | Authorized)
        return session.payment_id

    async def together(self, payment_id: str, *calls_of_each: list[list[str]]) -> list[dict[str, Any]]:
        """What each process reports, after all of them have read the same picture and then acted at once."""
        given = self.server.info["gateways"]["bkash"]
        environ = {"BKASH_MODE": "sandbox", "BKASH_API_URL": given["base_url"]}
        environ |= {f"BKASH_{k.upper()}": given[k] for k in ("app_key", "app_secret", "username", "password")}
        async with AsyncExitStack() as stack:
            processes = []
            for calls in calls_of_each:
                job = {"store": self.store, "environ": environ, "payment_id": payment_id, "calls": calls}
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "tests.flows.peer_process", json.dumps(job),
                    cwd=Path(__file__).parents[2], stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                )  # fmt: skip
                stack.push_async_callback(ended, process)
                processes.append(process)
            for process in processes:
                assert process.stdout is not None
                assert await process.stdout.readline() == b"ready\n", (await process.communicate())[1]
            answers = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
        assert [process.returncode for process in processes] == [0] * len(processes), answers
        return [json.loads(stdout) for stdout, _ in answers]

    def moved(self) -> Counter[str]:
        """How often money moved at the gateway, by operation."""
        return Counter(c["operation"] for c in self.server.world.wire.as_json() if c["moved_money"])

    def calls(self, operation: str) -> int:
        """How many calls of an operation reached the gateway."""
        return sum(call["operation"] == operation for call in self.server.world.wire.as_json())

    def books(self) -> dict[str, str]:
        """What the gateway's books hold of the one payment."""
        (row,) = self.server.world.as_books()["payments"]
        assert self.server.world.audit() == []
        return {name: row[name] for name in ("captured", "refunded")}


async def ended(process: asyncio.subprocess.Process) -> None:
    """Leave no process behind, whatever a test found."""
    if process.returncode is None:
        process.kill()
        await process.wait()


@pytest.fixture
def store(tmp_path: Path) -> str:
    """Where the processes meet."""
    return f"sqlite:///{tmp_path / 'shop.db'}"


async def test_three_completers_from_two_processes_execute_once_and_never_contradict(store: str) -> None:
    async with SandboxServer(seed=1) as server:
        peers = Peers(server, store)
        payment_id = await peers.pay(execute=False)
        (row,) = server.world.as_books()["payments"]
        # The browser's return and a poll in one process, a second click in the other.
        reports = await peers.together(
            payment_id,
            [["return", row["reference"]], ["execute", payment_id]],
            [["execute", payment_id]],
        )
        assert peers.calls("execute") == 1
        assert peers.moved() == {"execute": 1}
        assert peers.books() == {"captured": "100.00", "refunded": "0.00"}
    answers = {outcome for report in reports for outcome in report["outcomes"]}
    assert "Paid" in answers and answers <= SAYS_PAID
    entries = [entry for report in reports for entry in report["entries"]]
    assert len(entries) == 1


async def test_two_workers_capture_an_authorized_payment_once(store: str) -> None:
    async with SandboxServer(seed=1) as server:
        peers = Peers(server, store)
        payment_id = await peers.pay(intent=Intent.AUTHORIZATION)
        capture = [["capture", payment_id]] * 2
        reports = await peers.together(payment_id, capture, capture)
        assert peers.calls("capture") == 1
        assert peers.books() == {"captured": "100.00", "refunded": "0.00"}
    answers = Counter(outcome for report in reports for outcome in report["outcomes"])
    assert answers["Paid"] >= 1 and set(answers) <= SAYS_PAID
    assert len({entry for report in reports for entry in report["entries"]}) == 1


@pytest.mark.parametrize("processes", [1, 2], ids=["concurrent", "stale-instances"])
async def test_two_refunds_of_60_on_100_give_back_60(store: str, processes: int) -> None:
    async with SandboxServer(seed=1) as server:
        peers = Peers(server, store)
        payment_id = await peers.pay()
        calls = [["refund", f"refund-{n}", payment_id, "60"] for n in range(2)]
        reports = await peers.together(payment_id, *([calls] if processes == 1 else [[c] for c in calls]))
        assert peers.moved() == {"execute": 1, "refund": 1}
        assert peers.books() == {"captured": "100.00", "refunded": "60.00"}
    assert sorted(o for report in reports for o in report["outcomes"]) == ["AmountError", "Refunded"]
    assert len({entry for report in reports for entry in report["entries"]}) == 2


@pytest.mark.parametrize("amount", ["-5", "-0.01", "0"])
async def test_a_refund_of_less_than_nothing_is_refused_before_the_wire(store: str, amount: str) -> None:
    async with SandboxServer(seed=1) as server:
        peers = Peers(server, store)
        payment_id = await peers.pay()
        before = len(server.world.wire.as_json())
        async with Payments(store=store, gateways={"bkash": bkash_config(server)}, workers=False) as payments:
            with pytest.raises(InvalidRequestError):
                await payments.refund(
                    RefundRequest(operation_id="r", payment_id=payment_id, amount=Money(amount, "BDT"))
                )
            facts = await payments.get(payment_id)
        assert facts is not None and facts.operation("r") is None
        assert len(server.world.wire.as_json()) == before
        assert peers.books() == {"captured": "100.00", "refunded": "0.00"}
