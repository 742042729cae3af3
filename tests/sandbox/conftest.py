"""An in-process sandbox on a clock that stands still, and a shop with a token."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from starlette.applications import Starlette

from tests.sandbox.shop import FakeClock, NoSleep, Shop
from vextrus_payments_sandbox import create_app


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def sleeper() -> NoSleep:
    return NoSleep()


@pytest.fixture
def app(clock: FakeClock, sleeper: NoSleep) -> Iterator[Starlette]:
    yield create_app(clock=clock, seed=1, sleeper=sleeper)


@pytest.fixture
async def shop(app: Starlette) -> AsyncIterator[Shop]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:28600") as http:
        yield await Shop(http).open()
