"""What a state file keeps: a sandbox that stopped, or was killed, goes on where it was, at every step of a payment."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from tests.sandbox.nagad_shop import NagadShop
from tests.sandbox.shop import FakeClock, NoSleep, Page, Shop, submit
from vextrus_payments_sandbox import SandboxServer, create_app
from vextrus_payments_sandbox.listening import PortTakenError
from vextrus_payments_sandbox.state import FORMAT, StateFileError

BASE = "http://127.0.0.1:28600"


@asynccontextmanager
async def started(
    path: Path, clock: FakeClock, *, token: str = "", **more: Any
) -> AsyncIterator[tuple[Starlette, Shop, NagadShop]]:
    """A sandbox on this file, and its two shops; killed at the end, as it were: nothing is written any more."""
    app = create_app(**{"clock": clock, "sleeper": NoSleep(), "state": path, **more})
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
        try:
            yield (
                app,
                Shop(http, token) if token else await Shop(http).open(),
                await NagadShop.of(http, clock),
            )
        finally:
            app.state.keeper.file.close()


async def books_of(app: Starlette) -> dict[str, Any]:
    books: dict[str, Any] = app.state.world.as_books()
    assert books["problems"] == []
    return books


async def test_everything_is_there_again(tmp_path: Path) -> None:
    clock, path = FakeClock(), tmp_path / "state.db"
    async with started(path, clock) as (app, shop, nagad):
        paid, trx = await shop.paid("100.50")
        await shop.refund(paid, trx, "0.50")
        open_one = (await shop.create("30"))["paymentID"]
        issued = await nagad.paid("75")
        await nagad.refund(issued, "25")
        await shop.http.put("/_sandbox/wallets/01929918378", json={"balance": "12.34"})
        await shop.http.post("/_sandbox/clock", json={"advance_s": 60})
        await shop.http.post("/_sandbox/faults", json={"operation": "query", "fault": "delay", "times": 3})
        before, told = await books_of(app), len(app.state.world.record)
        listed = (await shop.http.get("/_sandbox/payments")).json()
        told = len(app.state.world.record)
        now = app.state.world.now()
    async with started(path, clock) as (app, shop, nagad):
        assert await books_of(app) == before
        assert (await shop.http.get("/_sandbox/payments")).json() == listed
        assert app.state.world.now() == now
        assert len(app.state.world.record) >= told
        assert (await shop.http.get("/_sandbox/faults")).json()["faults"][0]["times"] == 3
        assert (await shop.query(open_one))["transactionStatus"] == "Initiated"
        assert (await shop.refund(paid, trx, "100"))["statusCode"] == "0000"
        assert (await nagad.refund(issued, "50")).status_code == 200
        assert (await nagad.verify(issued))["status"] == "Cancelled"
        assert (await shop.book(paid))["refunded"] == "100.50"


STEPS = ("create", "wallet", "otp", "pin", "execute", "refund")


@pytest.mark.parametrize("restart_after", STEPS)
async def test_a_bkash_payment_goes_on_after_a_restart_at_every_step(
    tmp_path: Path, restart_after: str
) -> None:
    clock, path, url, payment_id, trx = FakeClock(), tmp_path / "state.db", "", "", ""

    async def step(name: str, shop: Shop) -> None:
        nonlocal url, payment_id, trx
        if name == "create":
            created = await shop.create("40")
            url, payment_id = created["bkashURL"], created["paymentID"]
        elif name == "execute":
            done = await shop.execute(payment_id)
            assert done["statusCode"] == "0000", done
            trx = done["trxID"]
        elif name == "refund":
            assert (await shop.refund(payment_id, trx, "15"))["statusCode"] == "0000"
        else:
            page = Page((await shop.http.get(url)).text)
            assert page.inputs == [name]
            assert (await submit(shop.http, url, page)).status_code == 303

    async with started(path, clock) as (app, shop, _):
        for name in STEPS[: STEPS.index(restart_after) + 1]:
            await step(name, shop)
    async with started(path, clock) as (app, shop, _):
        for name in STEPS[STEPS.index(restart_after) + 1 :]:
            await step(name, shop)
        await books_of(app)
        book = await shop.book(payment_id)
        assert (book["captured"], book["refunded"]) == ("40.00", "15.00")
        assert (await shop.execute(payment_id))["statusCode"] in ("2117", "2062")


NAGAD_STEPS = ("initialize", "complete", "wallet", "otp", "pin", "refund")


@pytest.mark.parametrize("restart_after", NAGAD_STEPS)
async def test_a_nagad_payment_goes_on_after_a_restart_at_every_step(
    tmp_path: Path, restart_after: str
) -> None:
    clock, path, known = FakeClock(), tmp_path / "state.db", {}

    async def step(name: str, shop: NagadShop) -> None:
        if name == "initialize":
            known["started"] = await shop.started("Order77")
        elif name == "complete":
            answer = await shop.complete(*known["started"], "40")
            known["url"] = answer.json()["callBackUrl"]
        elif name == "refund":
            assert (await shop.refund(known["started"][0], "15")).status_code == 200
        else:
            page = Page((await shop.http.get(known["url"])).text)
            assert page.inputs == [name]
            assert (await submit(shop.http, known["url"], page)).status_code == 303

    async with started(path, clock) as (_, _, shop):
        for name in NAGAD_STEPS[: NAGAD_STEPS.index(restart_after) + 1]:
            await step(name, shop)
    async with started(path, clock) as (app, _, shop):
        for name in NAGAD_STEPS[NAGAD_STEPS.index(restart_after) + 1 :]:
            await step(name, shop)
        await books_of(app)
        book = await shop.book(known["started"][0])
        assert (book["captured"], book["refunded"]) == ("40.00", "15.00")
        assert (await shop.initialize("Order77")).json()["reason"].endswith("083")


async def test_what_was_under_way_settles_after_a_restart(tmp_path: Path) -> None:
    clock, path = FakeClock(), tmp_path / "state.db"
    async with started(path, clock) as (_, shop, nagad):
        await shop.paid("10")
        await nagad.paid("20")
        reference, _ = await nagad.ready("100")
        await nagad.approve(reference, wallet="01900000009")
        assert (await nagad.verify(reference))["status"] == "InProgress"
    clock.step(seconds=61)
    async with started(path, clock) as (app, _, nagad):
        assert (await nagad.verify(reference))["status"] == "Success"
        before = await books_of(app)
    async with started(path, clock) as (app, _, _):
        assert await books_of(app) == before


async def test_rules_that_look_back_know_what_was(tmp_path: Path) -> None:
    clock, path = FakeClock(), tmp_path / "state.db"
    async with started(path, clock, strict_manners=True) as (_, shop, _):
        await shop.paid("55")
        created = await shop.create("55", merchantInvoiceNumber="INV-X")
        await shop.approve(created["paymentID"])
        await shop.grant()
        assert (await shop.grant()).status_code == 429
        token = shop.token
    async with started(path, clock, token=token, strict_manners=True) as (_, shop, _):
        assert (await shop.grant()).status_code == 429
        assert (await shop.execute(created["paymentID"]))["statusCode"] == "2029"
        assert (await shop.create("55", merchantInvoiceNumber="INV-X"))["statusCode"] == "2031"


async def test_a_reset_is_kept_too(tmp_path: Path) -> None:
    clock, path = FakeClock(), tmp_path / "state.db"
    async with started(path, clock) as (_, shop, _):
        await shop.paid("55")
        await shop.http.post("/_sandbox/reset")
        kept, _ = await shop.paid("56")
    async with started(path, clock) as (app, shop, _):
        assert [row["reference"] for row in (await books_of(app))["payments"]] == [kept]


async def test_a_second_sandbox_on_the_same_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with started(path, FakeClock()):
        with pytest.raises(StateFileError, match="another sandbox is running on it"):
            create_app(state=path)
        script = (
            "from pathlib import Path\nfrom vextrus_payments_sandbox import create_app\n"
            f"create_app(state=Path({str(path)!r}))"
        )
        other = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", script], capture_output=True, text=True, check=False
        )
        assert other.returncode != 0 and "another sandbox is running on it" in other.stderr
    async with started(path, FakeClock()):
        pass


def a_newer_file(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")


def a_damaged_file(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE things SET data = '{}' WHERE shelf = 'bkash.payment'")


def a_file_without_its_money(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM things WHERE shelf = 'movement'")


def another_programs_file(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (a)")


def no_database(path: Path) -> None:
    path.write_text("a diary, not a database\n" * 100, encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (a_newer_file, "newer version"),
        (a_damaged_file, "is missing"),
        (a_file_without_its_money, "the books say"),
        (another_programs_file, "another program's database"),
        (no_database, "no sandbox's state file"),
    ],
)
async def test_a_file_that_cannot_be_taken_up_is_refused_and_left_alone(
    tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    path = tmp_path / "state.db"
    async with started(path, FakeClock()) as (_, shop, _):
        await shop.paid("10")
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(StateFileError, match=words):
        create_app(state=path)
    with pytest.raises(StateFileError, match=words):
        create_app(state=path)  # and nobody holds it
    if spoil not in (a_damaged_file, a_file_without_its_money):  # those were opened, and so turned to WAL
        assert path.read_bytes() == before


def test_a_place_without_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StateFileError, match="cannot be used: No such file or directory"):
        create_app(state=tmp_path / "nowhere" / "state.db")
    with pytest.raises(StateFileError, match="cannot be used"):
        create_app(state=tmp_path)


async def test_an_answer_is_held_back_when_it_cannot_be_written(tmp_path: Path, monkeypatch: Any) -> None:
    clock, path = FakeClock(), tmp_path / "state.db"
    async with started(path, clock) as (app, shop, _):
        payment_id = await shop.approved("10")
        full = StateFileError("the disk is full")

        def fail(*_: object, **__: object) -> None:
            raise full

        with monkeypatch.context() as patched:
            patched.setattr(app.state.keeper.file, "write", fail)
            answer = await shop.post("execute", {"paymentID": payment_id})
            assert answer.status_code == 503 and "could not write it down" in answer.json()["error"]
        assert (await shop.query(payment_id))["transactionStatus"] == "Completed"
    async with started(path, clock) as (_, shop, _):
        assert (await shop.query(payment_id))["transactionStatus"] == "Completed"


async def test_ids_go_on_with_a_seed(tmp_path: Path) -> None:
    async def run(path: Path) -> list[str]:
        clock, found = FakeClock(), []
        for amount in ("10", "11"):  # at the very same moment, so that nothing but chance tells them apart
            async with started(path, clock, seed=7) as (_, shop, _):
                found += [(await shop.paid(amount))[1], shop.token]
        return found

    first, second = await run(tmp_path / "one.db"), await run(tmp_path / "two.db")
    assert first == second and len(set(first)) == 4


class Stuck:
    """Waits until the test is over."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()


async def test_work_whose_answer_is_never_given_is_kept_as_well(tmp_path: Path) -> None:
    clock, path = FakeClock(), tmp_path / "state.db"
    async with started(path, clock, sleeper=Stuck()) as (app, shop, _):
        payment_id = await shop.approved("10")
        fault = {"X-Sandbox-Fault": "timeout_after"}
        asking = asyncio.create_task(shop.post("execute", {"paymentID": payment_id}, fault))
        while not app.state.world.books.movements:
            await asyncio.sleep(0)
        app.state.keeper.file.close()  # killed before there was any answer
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await app.state.exchange.close()
    async with started(path, clock) as (_, shop, _):
        assert (await shop.query(payment_id))["transactionStatus"] == "Completed"


async def test_time_never_runs_back(tmp_path: Path) -> None:
    path, clock = tmp_path / "state.db", FakeClock()
    async with started(path, clock) as (app, shop, _):
        await shop.paid("10")
        then = app.state.world.now()
    clock.moment -= timedelta(days=40)
    async with started(path, clock) as (app, shop, _):
        assert app.state.world.now() >= then


KILLED = """
import asyncio, sys
from pathlib import Path
from vextrus_payments_sandbox import SandboxServer

async def main():
    async with SandboxServer(state=Path(sys.argv[1])) as server:
        print(server.url, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
async def test_a_killed_server_loses_nothing_that_it_answered(tmp_path: Path) -> None:
    path, answered = tmp_path / "state.db", []

    async def pay(http: httpx.AsyncClient) -> None:
        shop = await Shop(http).open()
        while True:
            payment_id = await shop.approved(f"{len(answered) + 10}")
            answered.append((payment_id, (await shop.execute(payment_id))["trxID"]))

    def start() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    async def during(kill_at: int) -> None:
        process = start()
        assert process.stdout is not None
        try:
            url = (await asyncio.to_thread(process.stdout.readline)).strip()
            async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
                payers = [asyncio.create_task(pay(http)) for _ in range(4)]
                async with asyncio.timeout(20):
                    while len(answered) < kill_at:
                        await asyncio.sleep(0.005)
                os.kill(process.pid, signal.SIGKILL)
                await asyncio.gather(*payers, return_exceptions=True)
        finally:
            process.kill()
            await asyncio.to_thread(process.wait)
            process.stdout.close()

    await during(10)
    await during(25)
    async with started(path, FakeClock()) as (app, _, _):
        rows = {row["reference"]: row for row in (await books_of(app))["payments"]}
        for payment_id, trx_id in answered:
            assert rows[payment_id]["transaction_id"] == trx_id
            assert rows[payment_id]["captured"] == rows[payment_id]["amount"]


async def test_webhooks_that_nobody_took_are_sent_again(tmp_path: Path) -> None:
    path, sent, up = tmp_path / "state.db", [], [False]

    def take(request: httpx.Request) -> httpx.Response:
        sent.append(request.content)
        return httpx.Response(200 if up[0] else 503)

    def begin() -> SandboxServer:
        return SandboxServer(state=path, sleeper=NoSleep(), webhook_transport=httpx.MockTransport(take))

    async with begin() as server, httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
        await http.put("/_sandbox/webhooks/bkash", json={"url": "http://127.0.0.1:9/hook"})
        server.courier.subscriptions["bkash"].confirmed = True
        await http.post("/_sandbox/faults", json={"operation": "webhook", "fault": "webhook_out_of_order"})
        shop = await Shop(http).open()
        await shop.paid("61")  # held back until another one has passed: on its way for good
        assert not any(b"61.00" in body for body in sent)
    up[0] = True
    async with begin() as server:
        await server.courier.drain()
        told = [body for body in sent if b"61.00" in body]
        assert len(told) == 1 and server.url.encode() in told[0]  # its certificate lies at the new address
        assert server.courier.undelivered == {}
        assert server.courier.subscription("bkash")["confirmed"]
    sent.clear()
    async with begin() as server:
        await server.courier.drain()
        assert sent == []


async def test_a_server_that_cannot_listen_lets_its_file_go(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with SandboxServer() as other:
        port = int(other.url.rpartition(":")[2])
        with pytest.raises(PortTakenError):
            await SandboxServer(port=port, state=path).__aenter__()
    async with SandboxServer(state=path) as server:
        assert server.url
