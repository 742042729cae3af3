"""The docs site is read by everybody: with a keyboard, on a phone, in the dark. Its pages are the theme's and ours."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from tests.browser.chromium import Look, Tab
from vextrus_payments_sandbox.doors import served

pytest.importorskip("zensical", reason="Zensical is not installed: the site cannot be built here")
pytest.importorskip("griffe", reason="griffe is not installed: the API reference cannot be made here")

from scripts.docs import site

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

#: Tables and code that scroll, tables without a heading, pictures, the API reference.
PAGES = ("index", "simulator", "webhooks", "ledger", "money-safety", "api/errors")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def built(tmp_path_factory: pytest.TempPathFactory) -> object:
    """The address of the site."""
    folder: Path = tmp_path_factory.mktemp("site")
    site.build(folder)
    files = StaticFiles(directory=folder / "site")
    async with served(Starlette(routes=[Mount("/", files)])) as url:
        yield url


@pytest.mark.parametrize("look", [Look(), Look(phone=True, dark=True)], ids=lambda look: look.name)
async def test_no_page_is_a_barrier(open_tab: Callable[..., Awaitable[Tab]], built: str, look: Look) -> None:
    tab = await open_tab(look)
    for page in PAGES:
        await tab.page.goto(f"{built}/{page}.html")
        await tab.shot(f"docs-{page.replace('/', '-')}")
        assert await tab.barriers() == [], page
        assert await tab.sideways_px() <= 0, page
