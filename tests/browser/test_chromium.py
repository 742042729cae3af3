"""Where there is no browser, its tests say so; a tab notices what a person would not."""

import shutil
import sys
from collections.abc import Awaitable, Callable

import pytest

from tests import services
from tests.browser import chromium
from tests.browser.chromium import Look, Tab

Open = Callable[..., Awaitable[Tab]]


@pytest.mark.parametrize(("required", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_a_missing_browser_is_named_and_fails_where_it_is_required(
    required: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VEXTRUS_TEST_CHROMIUM", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setenv("VEXTRUS_REQUIRE_SERVICES", required)
    reason = chromium.why_missing()
    assert reason == "chromium is not installed (Debian: apt-get install chromium)"
    with pytest.raises(outcome, match="apt-get install chromium"):
        services.do_without(reason)


def test_a_browser_that_is_named_wrongly_is_no_other_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VEXTRUS_TEST_CHROMIUM", "/nowhere/chromium")
    assert chromium.why_missing() == "VEXTRUS_TEST_CHROMIUM names no program"


def test_a_missing_playwright_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "playwright.async_api", None)
    assert "playwright is not installed" in str(chromium.why_missing())


BROKEN = """<!doctype html><html><head><title>x</title></head><body>
<main><h1>x</h1><img src="http://192.0.2.1/x.png"><p style="width: 3000px; color: #eee; background: #fff">pale</p>
<input><script>console.error("it says so"); nothing.at.all;</script></main></body></html>"""


@pytest.mark.asyncio(loop_scope="session")
async def test_a_tab_complains(open_tab: Open) -> None:
    tab = await open_tab(Look(phone=True))
    await tab.page.route(
        "**/*", lambda route: route.fulfill(body=BROKEN, content_type="text/html", status=500)
    )
    await tab.page.goto("http://127.0.0.1:9/")
    found = "\n".join(tab.complaints)
    for complaint in (
        "HTTP 500",
        "it says so",
        "nothing is not defined",
        "another machine: http://192.0.2.1/",
    ):
        assert complaint in found, found
    barriers = "\n".join(await tab.barriers())
    for rule in ("color-contrast", "html-has-lang", "image-alt", "label"):
        assert f" {rule}: " in barriers, barriers
    assert await tab.sideways_px() > 2000
    await tab.page.unroute("**/*")
    tab.complaints.clear()
