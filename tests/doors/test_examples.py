"""The shops of examples/, each started as its README says and driven over real HTTP: a browser buys, a payer pays,
the gateway announces it, the books agree."""

import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from tests.sync.world import Sandbox, sandbox_running
from vextrus_payments_sandbox.environment import all_variables

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PATIENCE_S = 60.0


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with sandbox_running() as running:
        yield running


class RunningShop:
    """A shop's processes, their folder, and a browser in front of them."""

    def __init__(self, folder: Path, url: str, environ: dict[str, str]) -> None:
        self.folder = folder
        self.url = url
        self.environ = environ
        self.browser = httpx.Client(base_url=url, timeout=30, trust_env=False)

    @contextmanager
    def process(self, *command: str, log: str) -> Iterator["subprocess.Popen[bytes]"]:
        """A process of the shop, told to stop at the end; it must leave in good order and without a traceback."""
        path = self.folder / log
        with path.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=self.folder,
                env=self.environ,
                stdout=output,
                stderr=output,
            )
        try:
            yield process
            process.terminate()
            process.wait(30)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        said = path.read_text(encoding="utf-8", errors="replace")
        assert "Traceback" not in said and "never awaited" not in said, said

    def until(self, true: Callable[[], bool], why: str) -> None:
        """Wait for it."""
        give_up = time.monotonic() + PATIENCE_S
        while not true():
            logs = "\n".join(p.read_text(errors="replace")[-3_000:] for p in self.folder.glob("*.log"))
            assert time.monotonic() < give_up, f"{why}\n{logs}"
            time.sleep(0.05)

    def answers(self) -> bool:
        """Whether the shop is there, its payments open."""
        try:
            return self.browser.get("/payments/health").status_code == 200
        except httpx.TransportError:
            return False

    def rows(self, statement: str) -> list[Any]:
        """What its database says."""
        with closing(sqlite3.connect(self.folder / "shop.db", timeout=20)) as db:
            return db.execute(statement).fetchall()

    def press(self, page: httpx.Response, button: str) -> httpx.Response:
        """Press a button on a page, as a browser does: its form's address, its hidden fields, its cookies."""
        form = re.search(r'<form method="post" action="([^"]+)">(.*?)</form>', page.text, re.DOTALL)
        assert form is not None and f"<button>{button}</button>" in form[2], page.text
        fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]+)">', form[2]))
        return self.browser.post(urljoin(str(page.url), form[1]), data=fields)


@contextmanager
def shop_of(name: str, sandbox: Sandbox, tmp_path: Path, **more: str) -> Iterator[RunningShop]:
    folder = tmp_path / name
    shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("__pycache__", "*.db"))
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    clean = {
        k: v for k, v in os.environ.items() if not k.startswith(("BKASH_", "VEXTRUS_", "SHOP_", "PAYMENTS_"))
    }
    environ = clean | all_variables(sandbox.server.url) | {"SHOP_URL": f"http://127.0.0.1:{port}"} | more
    shop = RunningShop(folder, f"http://127.0.0.1:{port}", environ)
    with shop.browser:
        yield shop


@contextmanager
def fastapi(sandbox: Sandbox, tmp_path: Path) -> Iterator[RunningShop]:
    pytest.importorskip("fastapi", reason="fastapi is not installed")
    with shop_of("fastapi", sandbox, tmp_path) as shop:
        port = shop.url.rpartition(":")[2]
        with shop.process("uvicorn", "shop:app", "--port", port, log="web.log") as process:
            shop.until(lambda: process.poll() is not None or shop.answers(), "it did not start")
            yield shop


@contextmanager
def flask(sandbox: Sandbox, tmp_path: Path) -> Iterator[RunningShop]:
    pytest.importorskip("flask", reason="Flask is not installed")
    with shop_of("flask", sandbox, tmp_path) as shop:
        port = shop.url.rpartition(":")[2]
        with shop.process("flask", "--app", "shop", "run", "--port", port, log="web.log") as process:
            shop.until(lambda: process.poll() is not None or shop.answers(), "it did not start")
            yield shop


@contextmanager
def django(sandbox: Sandbox, tmp_path: Path) -> Iterator[RunningShop]:
    pytest.importorskip("django", reason="Django is not installed")
    pytest.importorskip("celery", reason="Celery is not installed")
    if os.name != "posix":
        pytest.skip("Celery's prefork pool needs fork")
    broker = {"SHOP_BROKER": "filesystem://", "SHOP_EVERY_S": "0.5", "C_FORCE_ROOT": "1"}
    with shop_of("django", sandbox, tmp_path, **broker) as shop, ExitStack() as running:
        for arguments in (
            ["makemigrations", "--check", "--dry-run"],
            ["migrate"],
            ["check", "--fail-level", "WARNING"],
        ):
            done = subprocess.run(
                [sys.executable, "manage.py", *arguments], cwd=shop.folder, env=shop.environ, capture_output=True,
                text=True, timeout=PATIENCE_S, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
        for folder in ("queue", "control"):
            (shop.folder / folder).mkdir()
        (shop.folder / "broker.py").write_text(BROKER, encoding="utf-8")
        port = shop.url.rpartition(":")[2]
        serve = ["manage", "runserver", port, "--noreload"]
        web = running.enter_context(shop.process(*serve, log="web.log"))
        celery = ["celery", "-A", "broker", "worker", "--beat", "--concurrency", "2", "--without-gossip"]
        running.enter_context(shop.process(*celery, "--without-mingle", log="celery.log"))
        shop.until(lambda: web.poll() is not None or shop.answers(), "it did not start")
        yield shop


BROKER = """
from shop.tasks import app
app.conf.broker_transport_options = {
    "data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control", "polling_interval": 0.05,
}
"""


@pytest.fixture(params=[fastapi, flask, django], ids=lambda shop: shop.__name__)
def shop(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> Iterator[RunningShop]:
    with request.param(sandbox, tmp_path) as running:
        yield running


def test_a_sale(shop: RunningShop, sandbox: Sandbox) -> None:
    told = httpx.put(
        f"{sandbox.server.url}/_sandbox/webhooks/bkash", json={"url": f"{shop.url}/payments/bkash/webhook"}
    )
    assert told.is_success, told.text
    webhooks = f"{sandbox.server.url}/_sandbox/webhooks/bkash"
    shop.until(lambda: httpx.get(webhooks).json()["confirmed"], "the subscription was not confirmed")
    executes, before = sandbox.calls("execute"), len(sandbox.ask(sandbox.server.world.as_books)["payments"])

    # the payer orders, clicks twice, pays, comes back three times
    order = shop.press(shop.browser.get("/"), "Order")
    assert order.status_code in (302, 303)
    page = shop.browser.get(order.headers["location"])
    to_gateway, again = shop.press(page, "Pay"), shop.press(page, "Pay")
    assert to_gateway.status_code in (302, 303), to_gateway.text
    assert to_gateway.headers["location"] == again.headers["location"]
    assert to_gateway.headers["location"].startswith(sandbox.server.url)
    rows = sandbox.ask(sandbox.server.world.as_books)["payments"]
    assert len(rows) == before + 1
    reference = rows[-1]["reference"]
    sandbox.ask(lambda: sandbox.server.world.gateways["bkash"].approve(reference, "success", None))
    hint = {"paymentID": reference, "status": "success"}
    for _ in range(3):
        back = shop.browser.get("/payments/bkash/return", params=hint)
        assert back.status_code == 303 and back.headers["location"].startswith(
            str(page.url) + "?payment_id=pay_"
        )
    assert "<h1>Paid</h1>" in shop.browser.get(back.headers["location"]).text
    assert sandbox.calls("execute") == executes + 1

    # the gateway announces it, and the answer is 200
    def announced() -> bool:
        sent = httpx.get(webhooks).json()["deliveries"]
        mine = [one for one in sent if one["reference"] == reference]
        return bool(mine) and mine[-1]["status"] == 200

    shop.until(announced, "the webhook was not answered 200")

    # the shop's own books: the order is paid, the journal balances, once
    paid, journal = (
        ("shop_order", "shop_journalline") if (shop.folder / "manage.py").exists() else ("orders", "journal")
    )
    shop.until(lambda: shop.rows(f"SELECT paid FROM {paid}") == [(1,)], "the order was not marked as paid")
    shop.until(lambda: len(shop.rows(f"SELECT * FROM {journal}")) > 0, "nothing was booked")
    if journal == "journal":
        ((_, postings),) = shop.rows("SELECT * FROM journal")
        assert postings.count("debit") == postings.count("credit") == 1 and postings.count("1250.50") == 2
    else:
        lines = shop.rows("SELECT side, CAST(amount AS TEXT) FROM shop_journalline ORDER BY side DESC")
        assert [(side, float(amount)) for side, amount in lines] == [("debit", 1250.5), ("credit", 1250.5)]

    # a second look changes nothing; a forged return of nobody's payment says so in words
    assert sandbox.calls("execute") == executes + 1
    nobody = shop.browser.get("/payments/bkash/return", params={"paymentID": "TRnone", "status": "success"})
    assert nobody.status_code == 404 and "not known" in nobody.text
