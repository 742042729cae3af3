"""One shop per test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.flows.shop import Shop, shop_open


@pytest.fixture(params=["sqlite", "memory"])
async def shop(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Shop]:
    """A shop on each store."""
    store = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'shop.db'}"
    async with shop_open(tmp_path, store=store) as opened:
        yield opened
