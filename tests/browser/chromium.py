"""One headless chromium of the machine's own, and tabs in it that note everything a payer should never meet."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

AXE = Path(__file__).parent / "axe" / "axe.min.js"
SHOTS = os.environ.get("VEXTRUS_TEST_SCREENSHOTS")
"""A folder for pictures of the pages, for a person to look at; without it none are taken."""

WIDE, PHONE, NARROWEST = (1280, 900), (390, 844), (320, 500)
"""The last is what a wide screen shows at 400 %."""
_PATIENCE_MS = 20_000
_ON_A_PHONE = {"is_mobile": True, "has_touch": True, "device_scale_factor": 2}
_QUIET = [
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]


def program() -> str | None:
    """The browser: the one that VEXTRUS_TEST_CHROMIUM names, else Debian's, else what stands on the PATH."""
    named = os.environ.get("VEXTRUS_TEST_CHROMIUM")
    if named:
        return shutil.which(named)
    return next(filter(None, map(shutil.which, ("/usr/bin/chromium", "chromium", "chromium-browser"))), None)


def why_missing() -> str | None:
    """Why pages cannot be looked at here; None when they can."""
    try:
        import playwright.async_api  # noqa: F401
    except ImportError:
        return "playwright is not installed (it is in the lock: make setup-dev)"
    if program() is None:
        if "VEXTRUS_TEST_CHROMIUM" in os.environ:
            return "VEXTRUS_TEST_CHROMIUM names no program"
        return "chromium is not installed (Debian: apt-get install chromium)"
    return None


@asynccontextmanager
async def running() -> AsyncIterator[Any]:
    """The browser, with no way to another machine."""
    from playwright.async_api import async_playwright

    async with async_playwright() as tool:
        browser = await tool.chromium.launch(executable_path=program(), args=_QUIET)
        try:
            yield browser
        finally:
            await browser.close()


@dataclass(frozen=True)
class Look:
    """How somebody looks at a page."""

    phone: bool = False
    narrow: bool = False
    dark: bool = False
    javascript: bool = True
    locale: str = "en-US"

    @property
    def name(self) -> str:
        """For the file of a picture."""
        parts = [
            "phone" if self.phone else "narrow" if self.narrow else "wide",
            "dark" if self.dark else "light",
        ]
        return "-".join(parts + ([] if self.javascript else ["noscript"]))

    def options(self) -> dict[str, Any]:
        """What Playwright's `new_context` takes."""
        width, height = PHONE if self.phone else NARROWEST if self.narrow else WIDE
        return {
            "viewport": {"width": width, "height": height},
            "color_scheme": "dark" if self.dark else "light",
            "java_script_enabled": self.javascript,
            "locale": self.locale,
            "reduced_motion": "reduce",
            **(_ON_A_PHONE if self.phone else {}),
        }


@dataclass
class Tab:
    """One tab. What the console said, what failed to load, and what left the machine are complaints."""

    page: Any
    look: Look
    expected: set[int] = field(default_factory=set)
    """HTTP statuses from 400 on that this test brings about."""
    complaints: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Forget the test before."""
        self.expected.clear()
        self.complaints.clear()

    def listen(self) -> None:
        """Note what goes wrong from now on."""
        self.page.set_default_timeout(_PATIENCE_MS)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        self.page.on("request", self._asked)
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._answered)

    def _said(self, message: Any) -> None:
        if message.type not in ("error", "warning"):
            return
        if any(f"the server responded with a status of {status}" in message.text for status in self.expected):
            return
        self.complaints.append(f"console: {message.type}: {message.text}")

    def _asked(self, request: Any) -> None:
        if urlsplit(request.url).hostname not in ("127.0.0.1", None):
            self.complaints.append(f"asked another machine: {request.url}")

    def _failed(self, request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # a page that was left while it loaded
            self.complaints.append(f"failed: {request.url}: {request.failure}")

    def _answered(self, response: Any) -> None:
        if response.status >= 400 and response.status not in self.expected:
            self.complaints.append(f"HTTP {response.status}: {response.url}")

    # --- what a person finds --------------------------------------------------------------------------------------

    async def barriers(self, **rules: bool) -> list[str]:
        """What axe-core has against this page, whatever its weight; `rules` switches single ones on or off."""
        await self.page.evaluate(AXE.read_text(encoding="utf-8"))
        chosen = {
            name.replace("_", "-"): {"enabled": on} for name, on in {"target_size": True, **rules}.items()
        }
        found = await self.page.evaluate(
            "rules => axe.run(document, {rules, preload: false, resultTypes: ['violations']})", chosen
        )
        return [
            f"{one['impact']}: {one['id']}: {one['help']}: {[node['html'] for node in one['nodes']][:3]}"
            for one in found["violations"]
        ]

    async def sideways_px(self) -> int:
        """How much of the page lies beyond its right edge, in pixels: zero where nobody has to scroll sideways."""
        width: int = await self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return width

    async def shot(self, name: str) -> None:
        """Keep a picture of the page, where somebody asked for pictures."""
        if SHOTS:
            await self.page.screenshot(path=f"{SHOTS}/{name}-{self.look.name}.png", full_page=True)

    async def check(self, name: str) -> None:
        """No barrier for anybody, nothing cut off; and a picture."""
        await self.shot(name)
        assert await self.barriers() == []
        assert await self.sideways_px() == 0
