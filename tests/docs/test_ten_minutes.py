"""docs/ten-minutes.md, as its reader does it: the shop is served, sells, loses an answer, and gives the money back.

Its addresses (port 8000, the sandbox's 28600) are replaced by free ones; nothing else of it is changed.
"""

import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.docs.blocks import ROOT, blocks
from tests.docs.stage import SHOWN_URL, Stage, needs, staged

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs" / "ten-minutes.md"
PATIENCE_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Reader:
    """Who follows the page."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.url = f"http://127.0.0.1:{free_port()}"
        found = re.findall(r"```python\n# (\S+\.py)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        self.files = {name: code.replace("http://127.0.0.1:8000", self.url) for name, code in found}
        (self.fault,) = (
            one.code for one in blocks(PAGE) if one.language == "sh" and "_sandbox/faults" in one.code
        )
        # The stage brings a package of this name for other pages; here the page's own file is the shop.
        for leftover in (stage.folder / "shop").iterdir():
            leftover.unlink()
        (stage.folder / "shop").rmdir()

    def write(self, name: str, **replaced: str) -> None:
        code = self.files[name]
        for before, after in replaced.items():
            assert before in code
            code = code.replace(before, after)
        (self.stage.folder / name).write_text(code, encoding="utf-8")

    def buy(self, order: int) -> tuple[str, str]:
        """Serve the shop, press its button, pay, come back: the order's page, and what the terminal shows."""
        command = [sys.executable, "-m", "uvicorn", "shop:app", "--port", self.url.rpartition(":")[2]]
        with (self.stage.folder / f"{order}.log").open("wb") as log:
            shop = subprocess.Popen(
                command, cwd=self.stage.folder, env=self.stage.environ, stdout=log, stderr=log
            )
        try:
            with httpx.Client(base_url=self.url, timeout=40, trust_env=False) as browser:
                self._until_up(browser)
                assert f"/orders/{order}" in browser.get("/").text
                checkout = browser.post(f"/orders/{order}").headers["location"]
                assert checkout.startswith(self.stage.sandbox.server.url)
                back = self.stage.walked(checkout)
                page = browser.get(back, follow_redirects=True)
                assert page.url.path == f"/orders/{order}"
        finally:
            shop.terminate()
            shop.wait(30)
        return page.text, (self.stage.folder / f"{order}.log").read_text(encoding="utf-8")

    def _until_up(self, browser: httpx.Client) -> None:
        give_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                if browser.get("/payments/health").status_code == 200:
                    return
            except httpx.TransportError:
                assert time.monotonic() < give_up, "the shop does not come up"
            time.sleep(0.05)


def test_the_page_from_top_to_bottom(tmp_path: Path) -> None:
    needs("bash", "curl")
    with staged(tmp_path) as stage:
        reader = Reader(stage)
        reader.write("shop.py")
        page, terminal = reader.buy(1)
        assert "Paid. bKash transaction" in page
        assert terminal.count("payment.received: ") == 2 and "ship INV-1" in terminal

        subprocess.run(
            ["bash", "-c", reader.fault.replace(SHOWN_URL, stage.sandbox.server.url)],
            check=True,
            capture_output=True,
        )
        reader.write("shop.py", **{"/orders/1": "/orders/2", '"1250.50"': '"980.00"'})
        page, terminal = reader.buy(2)
        assert "Paid" in page and "ship INV-2" in terminal
        assert stage.sandbox.calls("execute") == 2
        wire = stage.sandbox.ask(stage.sandbox.server.world.wire.as_json)
        assert [call["fault"] for call in wire if call["operation"] == "execute"][1] == "drop_after"

        reader.write("give_back.py")
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "give_back.py"], cwd=tmp_path, env=stage.environ, capture_output=True, text=True,
                timeout=60, check=False,
            )  # fmt: skip
            assert done.returncode == 0 and "Refunded" in done.stdout, done.stdout + done.stderr
        (row,) = (
            one
            for one in stage.sandbox.ask(stage.sandbox.server.world.as_books)["payments"]
            if one["invoice"] == "INV-1"
        )
        assert row["refunded"] == "250.50"
        explained = subprocess.run(
            ["vextrus-pay", "explain", "INV-2", "--store", "sqlite:///payments.db"], cwd=tmp_path,
            env={name: value for name, value in stage.environ.items() if name != "VEXTRUS_PAY_APP"},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert explained.returncode == 0 and "INV-2" in explained.stdout, explained.stdout + explained.stderr
