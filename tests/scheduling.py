"""How many processes `make test` has, which of them runs what, and when.

There is one more than there are processors: many tests wait, for a disk, a browser or a process that they killed. The
tests of a file stay in one process, for its fixtures' sake. Two things that pytest-xdist cannot know are said here:
which files take long, so that none of them is begun when everything else is done, and which are so long that their
tests are better spread, each a piece of its own.
"""

import os
from collections.abc import Mapping
from typing import Any, Final

import pytest

SPREAD: Final = frozenset({"tests/simulation/test_sweeps.py"})
"""Files whose tests share nothing that is dear to make: they need not stay in one process."""

LONG_S: Final[Mapping[str, int]] = {
    "tests/simulation/test_sweeps.py": 60,
    "tests/cli/test_worker.py": 50,
    "tests/sinks/test_sql_postgres.py": 45,
    "tests/browser/test_hosted_pages.py": 45,
    "tests/crashes/test_acks.py": 40,
    "tests/simulation/test_simulator.py": 35,
    "tests/crashes/test_crashes.py": 30,
    "tests/conformance/test_store_postgres.py": 30,
    "tests/conformance/test_postgres_plans.py": 25,
    "tests/webhooks/test_orders.py": 25,
    "tests/typing/test_typing.py": 25,
    "tests/packaging/test_against_wheel.py": 25,
    "tests/sync/test_processes.py": 22,
    "tests/cli/test_demo.py": 22,
    "tests/conformance/test_stores.py": 20,
    "tests/flows/test_canary.py": 20,
    "tests/browser/test_dashboard.py": 20,
    "tests/browser/test_return_pages.py": 20,
    "tests/browser/test_docs_site.py": 18,
    "tests/cli/test_wrong_arguments.py": 18,
    "tests/cli/test_pay.py": 18,
    "tests/sandbox/test_openapi.py": 18,
    "tests/verifiers/test_hostile.py": 17,
    "tests/conformance/test_postgres_agrees.py": 15,
    "tests/conformance/test_postgres_life.py": 15,
    "tests/doors/test_examples.py": 15,
    "tests/sandbox/test_pytest_plugin.py": 15,
    "tests/unit/test_tokens_processes.py": 14,
    "tests/conformance/test_transport.py": 12,
    "tests/conformance/test_stores_processes.py": 12,
    "tests/settlement/test_month.py": 12,
    "tests/unit/test_life_machine.py": 12,
    "tests/flows/test_outbox_interleavings.py": 12,
    "tests/sync/test_celery.py": 10,
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
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """`-n auto`: what the machine can run at once, and one more."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # somebody has said how many
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return here + 1


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
