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
from tests.browser.stage import Stage, set_up
from tests.services import do_without


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _browser() -> AsyncIterator[Any]:
    reason = chromium.why_missing()
    if reason is not None:
        do_without(reason)
    async with chromium.running() as browser:
        yield browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _tabs(_browser: Any) -> dict[Look, list[Tab]]:
    """The tabs that no test uses: a new one costs more than most tests. The pages keep nothing in a browser."""
    return {}


@pytest_asyncio.fixture(loop_scope="session")
async def open_tab(
    _browser: Any, _tabs: dict[Look, list[Tab]]
) -> AsyncIterator[Callable[..., Awaitable[Tab]]]:
    """`await open_tab(Look(...))`: a tab, or a skip that says why. A complaint of its browser fails the test."""
    used: list[Tab] = []

    async def open_one(look: Look | None = None) -> Tab:
        look = look or Look()
        free = _tabs.setdefault(look, [])
        if not free:
            context = await _browser.new_context(**look.options())
            free.append(Tab(await context.new_page(), look))
            free[0].listen()
        tab = free.pop()
        tab.begin()
        used.append(tab)
        return tab

    yield open_one
    for tab in used:
        assert await tab.page.context.cookies() == []
        if tab.page.url != "about:blank":
            # away from a page that goes on by itself, before the next test
            await tab.page.route("**/*", lambda route: route.abort())
            await tab.page.goto("about:blank")
            await tab.page.unroute("**/*")
        _tabs[tab.look].append(tab)
    complaints = [complaint for tab in used for complaint in tab.complaints]
    if complaints:
        pytest.fail("the browser complained:\n" + "\n".join(complaints), pytrace=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _theater() -> AsyncIterator[Stage]:
    async with set_up() as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="session")
async def stage(_theater: Stage) -> Stage:
    """The sandbox with nothing in it, at noon in Dhaka, and its merchants."""
    await _theater.start_over()
    return _theater
