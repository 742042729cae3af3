"""The fixture `crash_simulator`. Put `pytest_plugins = ["vextrus_payments.testing.pytest_plugin"]` into your conftest.

`--crash-seed 17` plays one seed only, `--crash-kill 230` kills at that point only: a failure prints both.
"""

from typing import Any

import pytest

from vextrus_payments.testing.simulation.check import CrashSimulator


def pytest_addoption(parser: Any) -> None:
    """The two options of a replay."""
    group = parser.getgroup("vextrus-payments")
    group.addoption("--crash-seed", type=int, default=None, help="play this seed of the crash simulator only")
    group.addoption("--crash-kill", default=None, help="kill at these points only, such as 230 or 12,340")


@pytest.fixture
def crash_simulator(request: pytest.FixtureRequest) -> CrashSimulator:
    """Plays stories against your service and judges the books; see CrashSimulator.check."""
    kills = request.config.getoption("--crash-kill")
    points = None if kills is None else [int(point) for point in str(kills).split(",")]
    return CrashSimulator(seed=request.config.getoption("--crash-seed"), kill_at=points)
