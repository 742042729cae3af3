"""A user with a home, and a sandbox that was started by the command itself."""

import json
import os
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.cli.running import Gateway, Here, User
from tests.cli.shop_app import ShopApp

_NUMBERS = count(1)


@pytest.fixture
def user(tmp_path: Path) -> User:
    """A user with an empty home."""
    return User(tmp_path / "home")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Here:
    """The same, inside this process."""
    return Here(tmp_path / "home", monkeypatch, capfd)


@pytest.fixture(scope="session")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """`vextrus-pay sandbox serve --port 0 --json`, for the whole session."""
    owner = User(tmp_path_factory.mktemp("sandbox") / "home")
    with owner.start("sandbox", "serve", "--port", "0", "--json") as running:
        gateway = Gateway(json.loads(running.line()))
        yield gateway
        gateway.close()


@pytest.fixture
def sandbox(sandbox_process: Gateway) -> Iterator[Gateway]:
    """The running sandbox, without faults that an earlier test left."""
    sandbox_process.clear_faults()
    yield sandbox_process
    sandbox_process.clear_faults()


@pytest.fixture
def shop(tmp_path: Path, sandbox: Gateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[ShopApp]:
    """A shop with an application, in the folder where its commands are run."""
    made = ShopApp(tmp_path / "shop", sandbox, f"shop_{os.getpid()}_{next(_NUMBERS)}")
    monkeypatch.chdir(made.folder)
    path = list(sys.path)
    yield made
    sys.path[:] = path
    sys.modules.pop(made.module, None)


@pytest.fixture
def reference() -> str:
    """An invoice number that no other test uses."""
    return f"INV-{next(_NUMBERS)}"


@pytest.fixture
def amount() -> str:
    """An amount of its own: the same wallet paying the same amount twice within minutes is a duplicate at bKash."""
    return f"{100 + next(_NUMBERS)}.25"
