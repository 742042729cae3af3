"""How a token and its grant budget stand, as a person is shown it: nobody is asked, and looking uses up no grant."""

import asyncio

from tests.unit.token_world import KEY, World, settle
from vextrus_payments.errors import DeclinedError
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.token_port import TokenKey


async def test_looking_costs_no_grant() -> None:
    world = World()
    for _ in range(5):
        fresh = await world.cache.health(KEY)
    assert (fresh.used, fresh.limit, fresh.window_s, fresh.ends_at) == (0, 2, 3600, None)
    token = await world.token()
    assert world.gateway.grants == 1
    after = await world.cache.health(KEY)
    assert (after.used, after.ends_at, after.retry_after_s) == (1, token.last_use, None)


async def test_a_budget_that_is_used_up_says_until_when_and_why() -> None:
    world = World()
    refusal = DeclinedError(
        "No.", code="2001", final=True, reason=Reason(code=ReasonCode.INVALID_CREDENTIALS)
    )
    world.gateway.fails(refusal, refusal)
    for _ in range(2):
        try:
            await world.token()
        except DeclinedError:
            pass
        world.clock.advance(120)
    health = await world.cache.health(KEY)
    assert (health.used, health.failure, health.ends_at) == (2, "2001", None)
    assert health.retry_after_s is not None and 3000 < health.retry_after_s < 3600


async def test_a_grant_under_way_is_no_news_about_the_budget() -> None:
    world = World()
    world.gateway.gate.clear()
    asking = asyncio.create_task(world.token())
    await settle()
    assert (await world.cache.health(KEY)).used is None
    world.gateway.gate.set()
    await asking


async def test_another_holders_token_is_not_shown() -> None:
    world = World()
    await world.token()
    stranger = TokenKey(KEY.digest, "0" * 64)
    health = await world.cache.health(stranger)
    assert (health.ends_at, health.used) == (None, 1)
