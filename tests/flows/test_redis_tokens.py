"""Two machines on one Redis: one grant for both, and no connection left when they close."""

from pathlib import Path

import pytest

from tests.flows.shop import Shop, shop_open
from vextrus_payments import Paid
from vextrus_payments.testing import FakeClock
from vextrus_payments.tokens import RedisTokenCache

pytest.importorskip("redis", reason="redis-py is not installed")


async def test_two_machines_make_one_grant_and_let_go_of_their_redis(redis_url: str, tmp_path: Path) -> None:
    from redis.asyncio import Redis

    client = Redis.from_url(redis_url)
    await client.ping()
    before = {row["id"] for row in await client.client_list()}
    async with shop_open(tmp_path, tokens=RedisTokenCache(redis_url)) as here:
        there = Shop(
            here.server, f"sqlite:///{tmp_path / 'there.db'}", FakeClock(), tokens=RedisTokenCache(redis_url)
        )
        async with there.payments:
            for number, shop in enumerate((here, there)):
                session = await shop.approved(f"INV-{number}", f"10{number}")
                assert isinstance(await shop.payments.execute(session.payment_id), Paid)
        assert here.calls("grant") == 1
        assert {row["id"] for row in await client.client_list()} - before, "the other one is still connected"
    assert not {row["id"] for row in await client.client_list()} - before
    await client.connection_pool.disconnect()
