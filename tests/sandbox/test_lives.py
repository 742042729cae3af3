"""Two merchants of one sandbox live at random: calls get lost, the process is stopped or killed and takes its state
file up again, strangers try what is not theirs. Nobody is charged twice, nothing that was answered is lost, the books
add up, and lists by state show what is there."""

from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from tests.sandbox.shop import FakeClock, NoSleep, Shop
from tests.sandbox.test_merchants import OtherShop
from vextrus_payments_sandbox import create_app
from vextrus_payments_sandbox.exchange import ConnectionDroppedError
from vextrus_payments_sandbox.world import World

ACTS = (
    "create",
    "create",
    "approve",
    "approve",
    "execute",
    "execute",
    "refund",
    "restart",
    "time",
    "walk_in",
    "list",
)
FAULTS = ("drop_after", "drop_before", "malformed", "error_5xx_before", "error_5xx_after")


class Life:
    """One sandbox with its state file, and its two merchants."""

    def __init__(self, seed: int, path: Path) -> None:
        self.chance, self.path, self.seed = Random(seed), path, seed
        self.clock = FakeClock()
        self.mine: list[tuple[int, str]] = []
        self.answered: dict[str, str] = {}
        """paymentID -> trxID, of each execute whose answer came."""
        self.app: Starlette
        self.shops: list[Shop] = []

    @property
    def world(self) -> World:
        found: World = self.app.state.world
        return found

    async def begin(self) -> None:
        """Start, perhaps once more."""
        self.app = create_app(clock=self.clock, seed=5, sleeper=NoSleep(), merchants=2, state=self.path)
        http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://127.0.0.1:28600")
        told = (await http.get("/_sandbox/merchants")).json()["merchants"]
        (client,) = [
            one["client"] for one in told if (one["gateway"], one["name"]) == ("bkash", "SandboxMerchant2")
        ]
        other = OtherShop(http, client=client, headers={"X-APP-Key": client["app_key"]})
        self.shops = [await Shop(http).open(), await other.open()]

    async def end(self, *, killed: bool) -> None:
        """Stop; killed: nothing is written any more."""
        await self.shops[0].http.aclose()
        await self.app.state.exchange.close()
        await self.app.state.courier.close()
        if killed:
            self.world.keeping = None
            self.app.state.keeper.file.close()
        else:
            self.app.state.keeper.close()

    async def act(self, number: int) -> None:
        """One step of somebody."""
        what, chance = self.chance.choice(ACTS), self.chance
        if what == "create":
            who = chance.randrange(2)
            invoice = f"I{self.seed}-{number}"
            made = await self.shops[who].create(str(chance.randint(10, 14)), merchantInvoiceNumber=invoice)
            self.mine.append((who, made["paymentID"]))
        elif what == "restart":
            await self.end(killed=chance.random() < 0.5)
            await self.begin()
        elif what == "time":
            self.clock.step(seconds=chance.choice((5, 130, 130, 130, 4_000, 90_000)))
            for shop in self.shops:
                await shop.open()
        elif what == "walk_in":
            wish = {"amount": "7", "merchant": chance.choice(("", "SandboxMerchant2"))}
            await self.shops[0].http.post("/_sandbox/walk_in", json=wish)
        elif what == "list":
            self.check_lists()
        elif self.mine:
            await self.touch(what, *chance.choice(self.mine[-3:]))

    async def touch(self, what: str, owner: int, payment_id: str) -> None:
        """Somebody, now and then the wrong one, does something to a payment."""
        who = self.chance.choice((owner, owner, owner, 1 - owner))
        shop = self.shops[who]
        headers = {"X-Sandbox-Fault": self.chance.choice(FAULTS)} if self.chance.random() < 0.3 else {}
        told: dict[str, Any] = {}
        try:
            if what == "approve":
                await shop.approve(payment_id)
            elif what == "execute":
                if self.chance.random() < 0.7:
                    await self.shops[owner].approve(payment_id)
                told = await shop.execute(payment_id, **headers)
            elif payment_id in self.answered:
                told = await shop.refund(payment_id, self.answered[payment_id], "1")
        except (ConnectionDroppedError, ValueError):  # no answer, or none that can be read
            return
        if told.get("statusCode") == "0000":
            assert who == owner, "it was a stranger's"
            if what == "execute":
                assert payment_id not in self.answered, "it was executed before"
                self.answered[payment_id] = told["trxID"]

    def check_lists(self) -> None:
        """What lists by state show is what each payment says of itself."""
        for state in ("Completed", "Initiated", "Expired", "Declined"):
            shown = [one.row.reference for one in self.world.payments(500, state=state).rows]
            names = reversed(self.world.register.names)
            rows = [self.world.gateways[name].row(reference) for name, reference in names]
            assert shown == [row.reference for row in rows if row is not None and row.state == state]

    def check(self) -> None:
        """What must hold after every step."""
        assert self.world.audit() == []
        debits = [line.reference for line in self.world.books.movements if line.kind == "debit"]
        assert len(debits) == len(set(debits)), "somebody paid twice"
        for payment_id, trx_id in self.answered.items():
            row = self.world.gateways["bkash"].row(payment_id)
            assert row is not None and row.transaction_id == trx_id and row.captured_minor > 0


@pytest.mark.parametrize("seed", range(6))
async def test_nothing_is_doubled_lost_or_mixed_up(seed: int, tmp_path: Path) -> None:
    life = Life(seed, tmp_path / "state.db")
    await life.begin()
    for number in range(80):
        await life.act(number)
        life.check()
    life.check_lists()
    await life.end(killed=False)
    assert life.answered, "nobody paid in this life"
