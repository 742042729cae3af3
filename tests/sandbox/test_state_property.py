"""Whatever happened: written, read, and the same again; and what was read goes on as what was never written."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from tests.sandbox.nagad_shop import NagadShop
from tests.sandbox.shop import FakeClock, NoSleep, Shop
from vextrus_payments_sandbox import create_app
from vextrus_payments_sandbox.state import Codec, NotPlainError

BASE = "http://127.0.0.1:28600"
CHECKOUT, PAYOUT = "/v1.2.0-beta/checkout", "/v1.2.0-beta/tokenized/payout"
WALLETS = ("01770618575", "01929918378", "01823074817", "01823074818", "01900000006", "01900000009")
ACTS = (
    *("create", "approve", "cancel", "execute", "query", "refund", "hold", "capture", "void", "agree"),
    *(
        "walk_in",
        "nagad",
        "nagad_pay",
        "nagad_refund",
        "clock",
        "balance",
        "fault",
        "magic",
        "grant",
        "reset",
    ),
    *("checkout", "v2", "v2_agree", "pay_out", "pay_out_by_id", "transfer"),
)
Act = tuple[str, int, int]
acts = st.lists(
    st.tuples(st.sampled_from(ACTS), st.integers(0, 5), st.integers(1, 400)), min_size=1, max_size=14
)


class Life:
    """One sandbox, and what a sequence of acts makes of it."""

    def __init__(self, path: Path | None, clock: FakeClock) -> None:
        self.path, self.clock = path, clock
        self.bkash: list[str] = []
        self.nagad: list[tuple[str, str, str]] = []
        self.token = ""
        self.count = 0
        self.app: Starlette
        self.begin()

    def begin(self) -> None:
        """Start, perhaps once more."""
        self.app = create_app(clock=self.clock, seed=3, sleeper=NoSleep(), state=self.path)

    def end(self) -> None:
        """Killed: nothing is written any more."""
        if self.path is not None:
            self.app.state.keeper.file.close()

    async def live(self, acts: Sequence[Act]) -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=BASE) as http:
            shop = Shop(http, self.token, self.count) if self.token else await Shop(http).open()
            nagad = await NagadShop.of(http, self.app.state.world.clock)
            nagad.orders = self.count
            for act in acts:
                await self._act(shop, nagad, *act)
                self.clock.step(seconds=1)
            self.token, self.count = shop.token, max(shop.invoices, nagad.orders)

    async def _act(self, shop: Shop, nagad: NagadShop, act: str, which: int, amount: int) -> None:
        reference = self.bkash[which % len(self.bkash)] if self.bkash else "none"
        order = self.nagad[which % len(self.nagad)] if self.nagad else ("none", "none", "Order0")
        ask = {"paymentID": reference}
        match act:
            case "create" | "hold" | "magic":
                taka = f"4002.0{which + 1}" if act == "magic" else f"{amount}.5"
                intent = "authorization" if act == "hold" else "sale"
                self.bkash.append((await shop.create(taka, intent=intent))["paymentID"])
            case "agree":
                changes = {"currency": None, "intent": None, "merchantInvoiceNumber": None}
                self.bkash.append((await shop.create(None, mode="0000", **changes))["paymentID"])
            case "approve":
                await shop.approve(reference, wallet=WALLETS[amount % 4])
            case "cancel":
                await shop.approve(reference, "cancel")
            case "execute" | "query" | "capture" | "void":
                path = {"query": "payment/status", "capture": "payment/confirm/capture"}
                await self._try(shop, {**path, "void": "payment/confirm/void"}.get(act, act), ask)
            case "refund":
                found = self.app.state.world.gateways["bkash"].row(reference)
                wish = {
                    "trxID": found.transaction_id if found else "x",
                    "amount": "3",
                    "sku": "s",
                    "reason": "r",
                }
                await self._try(shop, "payment/refund", {**ask, **wish})
            case "checkout":
                await self._checkout(shop, which, amount)
            case "v2" | "v2_agree":
                await self._create_v2(shop, act, amount)
            case "pay_out" | "pay_out_by_id" | "transfer":
                await self._pay_out(shop, act, which, amount)
            case "nagad":
                started = await nagad.started()
                await nagad.complete(*started, f"{amount}")
                self.nagad.append(started)
            case "nagad_pay":
                await nagad.approve(order[0], wallet=WALLETS[which])
            case "nagad_refund":
                if order[0] != "none":
                    await nagad.refund(order[0], "2")
            case "reset":
                if amount > 380:
                    await shop.http.post("/_sandbox/reset")
                    self.bkash.clear()
                    self.nagad.clear()
            case _:
                await self._control(shop, act, which, amount)

    async def _checkout(self, shop: Shop, which: int, amount: int) -> None:
        shop.invoices += 1
        wish = {"amount": f"{amount}", "currency": "BDT", "intent": "sale"}
        wish["merchantInvoiceNumber"] = f"INV-{shop.invoices}"
        made = await shop.ask(f"{CHECKOUT}/payment/create", wish)
        if which % 2 and "paymentID" in made:
            await self._try(shop, f"{CHECKOUT}/payment/execute/{made['paymentID']}", {})

    async def _create_v2(self, shop: Shop, act: str, amount: int) -> None:
        shop.invoices += 1
        wish = {"payerReference": f"payer-{amount % 3}", "callbackURL": "http://127.0.0.1:9/return"}
        if act == "v2":
            wish |= {"amount": f"{amount}", "currency": "BDT", "intent": "sale", "subMerchantName": "Corner"}
            wish["merchantInvoiceNumber"] = f"INV-{shop.invoices}"
        made = await shop.ask(
            f"/v2/tokenized-checkout/{'payment' if act == 'v2' else 'agreement'}/create", wish
        )
        self.bkash.append(made["paymentId" if act == "v2" else "agreementId"])

    async def _pay_out(self, shop: Shop, act: str, which: int, amount: int) -> None:
        body = {"amount": f"{amount}", "currency": "BDT", "receiverMSISDN": WALLETS[which]}
        body["merchantInvoiceNumber"] = f"OUT-{amount % 5}"
        if act == "pay_out":
            await self._try(shop, f"{CHECKOUT}/payment/b2cPayment", body)
        elif act == "transfer":
            body["transferType"] = "Collection2Disbursement" if which % 2 else "Disbursement2Collection"
            await self._try(shop, f"{CHECKOUT}/payment/intraAccountTransfer", body)
        else:
            asked = await shop.ask(f"{PAYOUT}/initiate", {"type": "B2C", "reference": "salary"})
            if which % 3:
                await self._try(shop, f"{PAYOUT}/b2c", body | {"payoutID": asked["payoutID"]})

    async def _try(self, shop: Shop, path: str, body: Any) -> None:
        try:
            await shop.post(path, body)
        except httpx.HTTPError:
            pass  # a fault that drops the line

    async def _control(self, shop: Shop, act: str, which: int, amount: int) -> None:
        method, path, body = {
            "walk_in": ("POST", "walk_in", {"amount": f"{amount}"}),
            "clock": ("POST", "clock", {"advance_s": amount * 20}),
            "balance": ("PUT", f"wallets/{WALLETS[which]}", {"balance": f"{amount}"}),
            "fault": (
                "POST",
                "faults",
                {"operation": "query", "fault": "delay", "times": 1 + which, "chance": 0.5},
            ),
            "grant": ("GET", "grants", None),
        }[act]
        if act == "grant":
            await shop.grant()
        await shop.http.request(method, f"/_sandbox/{path}", json=body)
        if act == "clock":
            await shop.open()  # the token may have expired

    def picture(self) -> Any:
        """All that can be seen of it, but its ids of entries told."""
        world = self.app.state.world
        books = world.as_books()
        assert books["problems"] == []
        assert (
            world.keep()
        )  # to look at it may have settled what was due, with no request that would be answered
        listed = [one.as_json() for one in world.payments(500).rows]
        rules, nagad = world.gateways["bkash"].rules, world.gateways["nagad"].rules
        lying = rules.holdings
        paid_out = rules.payouts
        kept = (
            paid_out.payouts,
            lying.payments,
            lying.agreements,
            lying.walk_ins,
            nagad.payments,
            world.wallets,
        )
        notes = {name: gateway.notes() for name, gateway in world.gateways.items()}
        plans = self.app.state.faults.as_json(), self.app.state.faults.magic
        record = [one.as_json() for one in world.record.entries()]
        indexes = (
            *(sorted(paid_out.by_trx), sorted(paid_out.invoices.items()), sorted(lying.consents.items())),
            *(sorted(lying.by_trx), sorted(lying.debits.items()), sorted(lying.invoices)),
            *(sorted(nagad._order_days), sorted(one.reference for one in nagad._under_way)),
        )
        return books, listed, [dict(one) for one in kept], notes, plans, record, world.now(), indexes


async def told(first: Sequence[Act], second: Sequence[Act], path: Path) -> None:
    """The same acts with a restart between them and without: the same picture before, after, and at the end."""
    stays, goes = Life(None, FakeClock()), Life(path, FakeClock())
    try:
        for life in (stays, goes):
            await life.live(first)
        before = goes.picture()
        goes.end()
        goes.begin()
        after = goes.picture()
        assert after == before
        assert before[:2] == stays.picture()[:2]
        for life in (stays, goes):  # ids may part from here on: chance goes on elsewhere after a restart
            await life.live(second)
        goes.picture()
        stays.picture()
        goes.end()
        goes.begin()
        goes.picture()
        states = [
            [
                (row["state"], row["captured"], row["refunded"])
                for row in life.app.state.world.as_books()["payments"]
            ]
            for life in (stays, goes)
        ]
        assert states[0] == states[1]
    finally:
        goes.end()


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)
@example(
    first=[("create", 0, 10), ("approve", 0, 4), ("execute", 0, 1), ("refund", 0, 1), ("nagad", 0, 9)],
    second=[("nagad_pay", 0, 1), ("nagad_refund", 0, 1), ("refund", 0, 1), ("query", 0, 1)],
)
@example(
    first=[("nagad", 0, 50), ("nagad_pay", 5, 1), ("clock", 0, 4), ("agree", 0, 1), ("approve", 0, 4)],
    second=[("clock", 0, 300), ("execute", 0, 1), ("walk_in", 0, 7)],
)
@example(
    first=[
        *(("v2", 0, 70), ("v2_agree", 0, 3), ("approve", 1, 4), ("execute", 1, 1), ("approve", 0, 4)),
        *(("checkout", 1, 60), ("checkout", 2, 61), ("transfer", 1, 30), ("pay_out", 0, 50)),
        *(("pay_out_by_id", 0, 1), ("pay_out_by_id", 1, 7)),
    ],
    second=[("execute", 0, 1), ("transfer", 0, 20), ("pay_out", 1, 50), ("v2_agree", 0, 3)],
)
@given(first=acts, second=acts)
def test_written_and_read_is_the_same(first: list[Act], second: list[Act]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(told(first, second, Path(folder) / "state.db"))


class Odd:
    """What no codec knows."""


def test_what_is_not_plain_is_refused() -> None:
    with pytest.raises(NotPlainError, match="Odd is no plain data"):
        Codec({}).text({"a": Odd()})
    for text in ("", "{", '{"a": 1', "nul"):
        with pytest.raises(NotPlainError, match="no JSON"):
            Codec({}).thing(int, text)
    with pytest.raises(NotPlainError):
        Codec({}).thing(int, "true")
