"""One town per test, on each embedded store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.webhooks.world import Town, town_open


@pytest.fixture(params=["sqlite", "memory"])
async def town(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Town]:
    """A shop, and a gateway that sends it webhooks."""
    store = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'shop.db'}"
    async with town_open(store) as opened:
        yield opened
