"""open_store(): which URL names which store, and a clear refusal of every other one."""

import subprocess
import sys
from pathlib import Path

import pytest

from vextrus_payments.errors import ConfigurationError
from vextrus_payments.stores import MemoryStore, SqliteStore, open_store
from vextrus_payments.testing import FakeClock


def test_memory() -> None:
    clock = FakeClock()
    store = open_store("memory://", clock=clock)
    assert isinstance(store, MemoryStore)
    assert not store.durable
    assert store.now() == clock.now()


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///payments.db", "payments.db"),
        ("sqlite:///data/payments.db", "data/payments.db"),
        ("sqlite:///my%20shop%3F.db", "my shop?.db"),
    ],
)
def test_relative_sqlite(url: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    clock = FakeClock()
    store = open_store(url, clock=clock)
    assert isinstance(store, SqliteStore)
    assert store.durable
    assert store.path == str(tmp_path / path)
    assert store.now() == clock.now()
    assert not list(tmp_path.iterdir()), "making a store does no I/O"


def test_absolute_sqlite(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'payments.db'}")
    assert isinstance(store, SqliteStore)
    assert store.path == str(tmp_path / "payments.db")


def test_a_store_is_given_back() -> None:
    store = MemoryStore()
    assert open_store(store) is store


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite://", "file"),
        ("sqlite:///", "file"),
        ("sqlite://:memory:", "file"),
        ("sqlite:///:memory:", "file"),
        ("sqlite://payments.db", "three"),
        ("sqlite:///payments.db?mode=ro", "options"),
        ("sqlite:///payments.db#x", "options"),
        ("memory://name", "memory://"),
        ("payments.db", "scheme"),
        ("", "scheme"),
        ("mysql://user:hunter2@db/shop", "kind of store"),
        (Path("payments.db"), "URL or a PaymentStore"),
        (None, "URL or a PaymentStore"),
    ],
)
def test_what_names_no_store(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_store(url)
    assert says in str(caught.value)
    assert "hunter2" not in f"{caught.value} {caught.value!r} {caught.value.context}"
    assert caught.value.__context__ is None


def test_memory_loads_no_database() -> None:
    """Who keeps payments in memory does not pay for SQLite."""
    program = (
        "import sys; from vextrus_payments.stores import open_store; open_store('memory://');"
        " assert 'sqlite3' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
