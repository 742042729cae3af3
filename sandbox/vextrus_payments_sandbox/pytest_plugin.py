"""Fixtures for tests of your own: ``pytest_plugins = ["vextrus_payments_sandbox.pytest_plugin"]`` in ``conftest.py``.

``payment_sandbox``
    The sandbox's gateways in the test's own process: no port, no waiting, gone at the end. When the test is over, its
    books have to add up.
``payment_sandbox_url``
    The address of a sandbox on a free port, for what cannot be handed a transport: another process, another language.
    Its books have to add up, too.

It is not loaded by itself: whoever does not name it pays nothing for it, and nothing here is imported before a test
asks for a fixture.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from vextrus_payments_sandbox.in_process import PaymentSandbox

__all__ = ["payment_sandbox", "payment_sandbox_keys", "payment_sandbox_url"]


@pytest.fixture(scope="session")
def payment_sandbox_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the gateways' own keys, made once in a session: to make keys takes a tenth of a second each."""
    return tmp_path_factory.mktemp("payment_sandbox") / "keys"


@pytest.fixture
def payment_sandbox(payment_sandbox_keys: Path) -> "Iterator[PaymentSandbox]":
    """A sandbox of this test alone, whose ids are the same in every run."""
    from vextrus_payments_sandbox.in_process import PaymentSandbox

    sandbox = PaymentSandbox(seed=1, keys=payment_sandbox_keys)
    yield sandbox
    sandbox.close()
    problems = sandbox.world.audit()
    assert not problems, f"the sandbox's books do not add up: {problems}"


@pytest.fixture
def payment_sandbox_url(payment_sandbox_keys: Path) -> Iterator[str]:
    """The address of a sandbox of this test alone, in a thread of its own."""
    from vextrus_payments_sandbox.threaded import serving

    with serving(seed=1, keys=payment_sandbox_keys) as server:
        yield server.url
        problems = server.world.audit()
    assert not problems, f"the sandbox's books do not add up: {problems}"
