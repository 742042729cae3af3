"""Which process of `make test` runs what, and when.

The tests of a file stay in one process, for its fixtures' sake. Two things that pytest-xdist cannot know are said here:
which files take long, so that none of them is begun when everything else is done, and which are so long that their
tests are better spread, each a piece of its own.
"""

from collections.abc import Mapping
from typing import Any, Final

import pytest

SPREAD: Final = frozenset({"tests/simulation/test_sweeps.py"})
"""Files whose tests share nothing that is dear to make: they need not stay in one process."""

LONG_S: Final[Mapping[str, int]] = {
    "tests/simulation/test_sweeps.py": 60,
}
"""File -> about how many seconds one piece of it takes; those that take longest begin first. What is not named here is
short, and begins in the order of how many tests it has."""


def piece_of(nodeid: str) -> str:
    """What a test is a part of, and moves with."""
    file = nodeid.partition("::")[0]
    return nodeid if file in SPREAD else file


def long_s(piece: str) -> int:
    """About how long a piece takes; 0 for a short one."""
    return LONG_S.get(piece.partition("::")[0], 0)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Long pieces first, where tests are told to stay with their file."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class LongFirst(LoadFileScheduling):  # type: ignore[misc, unused-ignore]
        def _split_scope(self, nodeid: str) -> str:
            return piece_of(nodeid)

        def _assign_work_unit(self, node: Any) -> None:
            longest = max(self.workqueue, key=long_s)  # of equal ones the first, as xdist has put them
            self.workqueue.move_to_end(longest, last=False)
            super()._assign_work_unit(node)

    return LongFirst(config, log)
