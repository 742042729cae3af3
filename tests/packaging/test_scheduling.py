"""`make test` begins with what takes long, spreads what may be spread, and keeps every other file in one process."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import scheduling
from tests.packaging.distribution import ROOT
from tests.scheduling import LONG_S, SPREAD, long_s, piece_of, pytest_xdist_make_scheduler

SWEEPS = "tests/simulation/test_sweeps.py"


def test_what_is_named_is_there() -> None:
    for file in {*LONG_S, *SPREAD}:
        assert (ROOT / file).is_file(), f"{file} is gone: name what came in its place"
    assert set(LONG_S) >= SPREAD and all(seconds > 0 for seconds in LONG_S.values())


def test_what_is_spread_has_no_fixture_of_the_whole_file() -> None:
    for file in SPREAD:
        text = Path(ROOT / file).read_text(encoding="utf-8")
        assert 'scope="module"' not in text and 'scope="package"' not in text


class Node:
    """A process of pytest-xdist, as its scheduler sees one."""

    shutting_down = False

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.sent: list[list[int]] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        self.sent.append(indices)

    def shutdown(self) -> None:
        self.shutting_down = True


def order_of(collected: list[str], monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The pieces, in the order in which two processes are given them."""
    wanted: dict[str, Any] = {"dist": "loadfile", "tx": ["popen", "popen"]}
    config: Any = SimpleNamespace(
        getoption=wanted.get,
        getvalue=wanted.get,
        option=SimpleNamespace(loadscopereorder=True),
        hook=None,
    )
    scheduler = pytest_xdist_make_scheduler(config, None)
    given: list[list[str]] = []
    for node in (Node("gw0"), Node("gw1")):
        monkeypatch.setattr(
            node,
            "send_runtest_some",
            lambda indices: given.append([collected[index] for index in indices]),
        )
        scheduler.add_node(node)
        scheduler.add_node_collection(node, collected)
    scheduler.schedule()
    while scheduler.has_pending:
        for node in scheduler.nodes:
            todo = [name for piece in scheduler.assigned_work[node].values() for name in piece]
            for name in todo:
                scheduler.mark_test_complete(node, collected.index(name))
        if not scheduler.workqueue:
            break
    return given


def test_long_pieces_go_first_and_files_stay_together(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("xdist")
    monkeypatch.setattr(scheduling, "LONG_S", {SWEEPS: 60, "tests/long.py": 90})
    collected = [
        *(f"tests/short.py::test_{number}" for number in range(9)),
        *(f"tests/shorter.py::test_{number}" for number in range(3)),
        "tests/long.py::test_a",
        "tests/long.py::test_b",
        *(f"{SWEEPS}::test_kills[{part}]" for part in range(3)),
    ]
    given = order_of(collected, monkeypatch)
    assert sorted(name for piece in given for name in piece) == sorted(collected)
    assert given[0] == ["tests/long.py::test_a", "tests/long.py::test_b"]
    assert [len(piece) for piece in given[1:4]] == [1, 1, 1]
    assert all(SWEEPS in piece[0] for piece in given[1:4])
    assert [piece[0].partition("::")[0] for piece in given[4:]] == ["tests/short.py", "tests/shorter.py"]


def test_another_way_to_spread_is_left_alone() -> None:
    config: Any = SimpleNamespace(getoption=lambda name: "worksteal")
    assert pytest_xdist_make_scheduler(config, None) is None


def test_there_is_one_process_more_than_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    config: Any = None
    monkeypatch.delenv("PYTEST_XDIST_AUTO_NUM_WORKERS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1}, raising=False)
    assert scheduling.pytest_xdist_auto_num_workers(config) == 3
    monkeypatch.setenv("PYTEST_XDIST_AUTO_NUM_WORKERS", "1")
    assert scheduling.pytest_xdist_auto_num_workers(config) is None


def test_pieces() -> None:
    assert piece_of(f"{SWEEPS}::test_x[1]") == f"{SWEEPS}::test_x[1]"
    assert piece_of("tests/unit/test_money.py::test_x[1]") == "tests/unit/test_money.py"
    assert long_s("tests/unit/test_money.py") == 0 < long_s(f"{SWEEPS}::test_x[1]")
