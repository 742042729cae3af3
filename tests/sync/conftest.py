"""One sandbox per test."""

from collections.abc import Iterator

import pytest

from tests.sync.world import Sandbox, sandbox_running


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox beside the test, over real HTTP."""
    with sandbox_running() as running:
        yield running
