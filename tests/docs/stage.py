"""Where the blocks of a page run: a sandbox beside them, its credentials in the environment, a shop of their own."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.sync.world import Sandbox, sandbox_running
from vextrus_payments import PaymentRequest, Payments, PaymentSession
from vextrus_payments_sandbox.environment import all_variables
from vextrus_payments_sandbox.walk import walk

SHOP = '''
"""The shop of the pages that show commands."""

from vextrus_payments import LedgerEntry, PaymentEvent, Payments


async def post(entry: LedgerEntry) -> None:
    pass


async def hear(event: PaymentEvent) -> None:
    pass


payments = Payments(
    store="sqlite:///payments.db", ledger=post, on_event=hear, public_url="https://shop.example/payments")
'''
SHOWN_URL = "http://127.0.0.1:28600"


class Stage:
    """A sandbox, a folder, and the variables that lead there."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.environ = {
            **{
                name: value for name, value in os.environ.items() if not name.startswith(("BKASH_", "NAGAD_"))
            },
            **all_variables(sandbox.server.url),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "VEXTRUS_PAY_HOME": str(folder / "home"),
            "VEXTRUS_PAY_APP": "shop.payments:payments",
            "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]),
        }
        (folder / "shop").mkdir()
        (folder / "shop" / "__init__.py").write_text("", encoding="utf-8")
        (folder / "shop" / "payments.py").write_text(SHOP, encoding="utf-8")

    def put(self, name: str, value: str) -> None:
        """Set a variable, for this process and for those it starts."""
        self.environ[name] = os.environ[name] = value

    def walked(self, checkout_url: str) -> str:
        """What the payer does on the page, whichever gateway's it is: wallet, code, PIN. His way back, unvisited."""
        return self.sandbox.run(walk(checkout_url)).url

    def payments(self, **more: Any) -> Payments:
        """An application whose payers pay at once."""

        class PaidAtOnce(Payments):
            async def initialize(self, request: PaymentRequest) -> PaymentSession:
                session = await super().initialize(request)
                assert session.checkout_url is not None
                await walk(session.checkout_url)
                return session

        chosen: dict[str, Any] = {"store": "memory://", "public_url": "https://shop.example/payments", **more}
        return PaidAtOnce(**chosen)


def needs(*programs: str) -> None:
    """Skip the test where a program that a page's commands need is missing, and say so; in CI that is a failure."""
    missing = [name for name in programs if shutil.which(name) is None]
    if missing and os.environ.get("VEXTRUS_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{', '.join(missing)} must be there and is not")
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed")


@contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """The stage, for as long as the block lasts; the process works in its folder."""
    with sandbox_running() as sandbox:
        stage = Stage(sandbox, folder)
        before, was = dict(os.environ), Path.cwd()
        os.environ.clear()
        os.environ.update(stage.environ)
        os.chdir(folder)
        try:
            yield stage
        finally:
            os.chdir(was)
            os.environ.clear()
            os.environ.update(before)
