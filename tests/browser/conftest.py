"""One browser per process of the tests, and tabs in it, all on one event loop.

A test file here starts with `pytestmark = pytest.mark.asyncio(loop_scope="session")`: Playwright's objects belong to
the loop they were made on.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from tests.browser import chromium
from tests.browser.chromium import Look, Tab
from tests.services import do_without


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Any]:
    """The browser, or a skip that says why."""
    reason = chromium.why_missing()
    if reason is not None:
        do_without(reason)
    async with chromium.running() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def open_tab(browser: Any) -> AsyncIterator[Callable[..., Awaitable[Tab]]]:
    """`await open_tab(Look(...))`: a tab of a browser that has never been anywhere. A complaint fails the test."""
    tabs: list[Tab] = []

    async def open_one(look: Look | None = None) -> Tab:
        look = look or Look()
        context = await browser.new_context(**look.options())
        tab = Tab(await context.new_page(), look)
        tab.listen()
        tabs.append(tab)
        return tab

    yield open_one
    for tab in tabs:
        await tab.page.context.close()
    complaints = [complaint for tab in tabs for complaint in tab.complaints]
    if complaints:
        pytest.fail("the browser complained:\n" + "\n".join(complaints), pytrace=False)
