"""The limits of an open shop, at its real door: floods and forgers outside, an honest gateway that still gets in."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.webhooks.world import Town, town_open
from tests.webhooks_limits.visitors import OTHER, STRANGER
from vextrus_payments import Paid
from vextrus_payments.webhooks import DoorLimits, Rate

pytest.importorskip("limits", reason="limits is not installed")

PROXY = "10.0.0.1"


async def knock(town: Town, source: str, body: bytes, *, signed: bool, **headers: str) -> httpx.Response:
    """One delivery to the shop's ASGI door, from that address."""
    transport = httpx.ASGITransport(app=town.payments.asgi(), client=(source, 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
        marks = {"x-toy": "signed for default"} if signed else {}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await client.post("/toy/webhook", content=body, headers={**marks, **named})


def news(*events: dict[str, Any]) -> bytes:
    return json.dumps({"events": events}).encode()


async def test_a_flood_and_a_forger_keep_no_honest_news_out(tmp_path: Path) -> None:
    limits = DoorLimits(per_source=Rate(10, per_s=60), per_gateway=Rate(30, per_s=60), block_after=3)
    async with town_open(f"sqlite:///{tmp_path / 'shop.db'}", door_limits=limits) as town:
        session = await town.approved()
        trx = town.paid_there(session)
        first = await town.approved("INV-0")
        town.paid_there(first, "TRX-FIRST")
        assert (await knock(town, OTHER, news(town.told(first, "e-0")), signed=True)).status_code == 200

        forged = [(await knock(town, STRANGER, news(), signed=False)).status_code for _ in range(8)]
        assert forged == [401] * 3 + [429] * 5
        for number in range(30):  # from many addresses
            for _ in range(2):
                await knock(town, f"192.0.2.{number}", news(), signed=False)
        refused = await knock(town, "192.0.2.99", news(), signed=False)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1

        told = await knock(town, OTHER, news(town.told(session)), signed=True)
        assert told.status_code == 200
        await town.payments.process_inbox()
        paid = await town.payments.status(session.payment_id)
        assert isinstance(paid, Paid) and paid.transaction_id == trx


async def test_behind_a_proxy_the_sender_is_counted_and_not_the_proxy() -> None:
    limits = DoorLimits(trusted_proxies=("10.0.0.0/8",), block_after=2)
    async with town_open(door_limits=limits) as town:
        for spoofed in ("1.1.1.1", "2.2.2.2", "3.3.3.3"):
            await knock(town, PROXY, news(), signed=False, x_forwarded_for=f"{spoofed}, {STRANGER}")
        blocked = await knock(town, PROXY, news(), signed=True, x_forwarded_for=STRANGER)
        assert blocked.status_code == 429
        for innocent in ("1.1.1.1", OTHER):
            answer = await knock(town, PROXY, news(), signed=True, x_forwarded_for=innocent)
            assert answer.status_code == 200


async def test_a_redis_that_is_not_there_keeps_nothing_out() -> None:
    limits = DoorLimits(shared="redis://127.0.0.1:1/0", per_source=Rate(5, per_s=60), block_after=50)
    async with town_open(door_limits=limits) as town:
        answers = [(await knock(town, OTHER, news(), signed=True)).status_code for _ in range(7)]
        assert answers == [200] * 5 + [429] * 2


async def test_health_tells_of_a_proxy_that_is_not_named_and_the_door_does_not_say_which() -> None:
    async with town_open(door_limits=DoorLimits(per_source=Rate(5, per_s=60))) as town:
        assert (await town.payments.health()).ok
        await knock(town, PROXY, news(), signed=True, x_forwarded_for=OTHER)
        health = await town.payments.health()
        (trouble,) = health.troubles
        assert trouble.code == "proxy_untrusted" and PROXY in trouble.what
        assert health.as_document()["forwarder"] == PROXY
        assert health.ready and not health.ok
        transport = httpx.ASGITransport(app=town.payments.asgi())
        async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as probe:
            told = await probe.get("/health")
        assert told.status_code == 200 and told.json()["troubles"] == ["proxy_untrusted"]
        assert PROXY not in told.text
