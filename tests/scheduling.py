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
    "tests/crashes/test_acks.py": 70,
    "tests/browser/test_hosted_pages.py": 61,
    "tests/simulation/test_sslcommerz.py": 58,
    "tests/simulation/test_sweeps.py": 55,
    "tests/docs/test_shell_blocks.py": 55,
    "tests/simulation/test_simulator.py": 52,
    "tests/cli/test_pay.py": 51,
    "tests/sandbox/test_pytest_plugin.py": 47,
    "tests/cli/test_demo.py": 44,
    "tests/cli/test_terminal.py": 38,
    "tests/sandbox/test_openapi.py": 35,
    "tests/sandbox/test_gateways.py": 35,
    "tests/conformance/test_postgres_schema.py": 33,
    "tests/cli/test_sandbox_state.py": 33,
    "tests/conformance/test_store_postgres.py": 32,
    "tests/conformance/test_postgres_agrees.py": 31,
    "tests/unit/test_life_machine.py": 31,
    "tests/flows/test_outbox_interleavings.py": 31,
    "tests/cli/test_operating.py": 30,
    "tests/browser/test_sslcommerz_page.py": 27,
    "tests/simulation/test_fixture.py": 26,
    "tests/packaging/test_against_wheel.py": 25,
    "tests/sync/test_processes.py": 25,
    "tests/browser/test_docs_site.py": 25,
    "tests/browser/test_dashboard.py": 24,
    "tests/cli/test_pay_sslcommerz.py": 24,
    "tests/cli/test_worker.py": 23,
    "tests/crashes/test_crashes.py": 23,
    "tests/doors/test_examples.py": 22,
    "tests/flows/test_subscriptions.py": 22,
    "tests/flows/test_reconcile_many.py": 22,
    "tests/cli/test_wrong_arguments.py": 21,
    "tests/cli/test_frame.py": 21,
    "tests/cli/test_sandbox_command.py": 21,
    "tests/webhooks/test_orders.py": 20,
    "tests/verifiers/test_hostile.py": 20,
    "tests/settlement/test_month.py": 20,
    "tests/settlement/test_hostile_files.py": 18,
    "tests/flows/test_payment.py": 17,
    "tests/sandbox/test_state.py": 17,
    "tests/browser/test_return_pages.py": 16,
    "tests/conformance/test_stores_processes.py": 16,
    "tests/flows/test_payouts.py": 16,
    "tests/sandbox/test_snippets.py": 16,
    "tests/flows/test_dial.py": 16,
    "tests/sandbox/test_dashboard_forms.py": 15,
    "tests/cli/test_uat_report.py": 15,
    "tests/sandbox/test_nagad_keys.py": 15,
    "tests/flows/test_agreements.py": 14,
    "tests/cli/test_refund_status.py": 14,
    "tests/bench/test_sandbox_load.py": 14,
    "tests/flows/test_peer_holes.py": 14,
    "tests/flows/test_payout_crashes.py": 14,
    "tests/unit/test_stores_agree.py": 14,
    "tests/conformance/test_postgres_plans.py": 13,
    "tests/flows/test_holds.py": 13,
    "tests/cli/test_sandbox_manners.py": 13,
    "tests/simulation/test_nagad.py": 13,
    "tests/typing/test_typing.py": 12,
    "tests/flows/test_canary.py": 12,
    "tests/conformance/test_postgres_life.py": 12,
    "tests/unit/test_tokens_processes.py": 12,
    "tests/cli/test_examples.py": 12,
    "tests/settlement/test_run.py": 12,
    "tests/docs/test_site.py": 12,
    "tests/conformance/test_gateway_nagad.py": 12,
    "tests/sandbox/test_state_property.py": 12,
    "tests/conformance/test_stores.py": 11,
    "tests/conformance/test_transport.py": 11,
    "tests/flows/test_fault_matrix.py": 11,
    "tests/cli/test_completion.py": 11,
    "tests/packaging/test_distribution.py": 11,
    "tests/docs/test_ten_minutes.py": 11,
    "tests/cli/test_pay_nagad.py": 10,
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
