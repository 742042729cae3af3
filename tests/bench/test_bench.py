"""The bench's own sums, files and counts. Nothing here measures a time."""

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from bench import __main__ as command
from bench import results, table, wire
from bench.goals import GOALS
from bench.results import Result, merged, result
from bench.serving import Server
from bench.stats import Estimate, estimate, ratios

ROOT = Path(__file__).resolve().parent.parent.parent
RUN = {
    "at": "2026-01-15 12:00 UTC",
    "python": "3.11",
    "system": "Linux x86_64",
    "cpus": 2,
    "versions": {},
    "load": [0.1, 0.2],
}


def _goal(high: float, *, must: float | None = 1.0, stretch: float | None = 0.5, goal: str = "P1") -> Result:
    return result(
        goal,
        "A title",
        Estimate(high - 0.2, high - 0.4, high),
        unit="x",
        must=must,
        stretch=stretch,
        peers={"somebody": 1.23456},
        detail={"CPU": {"one": 10, "two": 20}, "range": [1, 2]},
        note="How.",
    )


# --- statistics ------------------------------------------------------------------------------------------


def test_an_estimate_is_the_median_and_holds_it() -> None:
    found = estimate([1.0, 2.0, 3.0, 4.0, 100.0])
    assert found.value == 3.0
    assert 1.0 <= found.low <= 3.0 <= found.high <= 100.0


def test_the_interval_narrows_with_more_values_and_repeats_itself() -> None:
    few, many = [1.0, 1.2, 0.8, 1.1, 0.9], [1.0, 1.2, 0.8, 1.1, 0.9] * 40
    assert estimate(many).high - estimate(many).low < estimate(few).high - estimate(few).low
    assert estimate(few) == estimate(few)


def test_equal_values_leave_no_doubt() -> None:
    assert estimate([2.0] * 9) == Estimate(2.0, 2.0, 2.0)


def test_nothing_measured_is_no_estimate() -> None:
    with pytest.raises(ValueError, match="nothing"):
        estimate([])


def test_a_slow_spell_falls_on_both_sides_of_a_ratio() -> None:
    assert ratios([1.0, 10.0, 1.0], [2.0, 20.0, 2.0]) == [0.5, 0.5, 0.5]
    with pytest.raises(ValueError, match="same rounds"):
        ratios([1.0], [1.0, 2.0])


# --- verdicts and files ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("high", "must", "stretch", "verdict"),
    [
        (0.5, 1.0, 0.5, "stretch"),
        (0.51, 1.0, 0.5, "must"),
        (1.0, 1.0, 0.5, "must"),
        (1.01, 1.0, 0.5, "missed"),
        (150.0, 150.0, None, "must"),
        (9.0, None, None, "must"),
    ],
)
def test_the_worse_end_of_the_interval_decides(
    high: float, must: float | None, stretch: float | None, verdict: str
) -> None:
    assert _goal(high, must=must, stretch=stretch).verdict == verdict


def test_a_run_of_some_goals_leaves_the_others_alone(tmp_path: Path) -> None:
    path = tmp_path / "results" / "latest.json"
    merged(path, [_goal(0.4, goal="P12"), _goal(0.4, goal="P2")], RUN, ("P2", "P12"))
    merged(path, [_goal(2.0, goal="P2")], {**RUN, "at": "later"}, ("P2", "P12"))
    found = json.loads(path.read_text(encoding="utf-8"))
    assert list(found) == ["P2", "P12"]
    assert (found["P2"]["verdict"], found["P2"]["run"]["at"]) == ("missed", "later")
    assert (found["P12"]["verdict"], found["P12"]["run"]["at"]) == ("stretch", RUN["at"])
    assert {"value", "low", "high", "unit", "must", "stretch", "peers", "note"} <= found["P2"].keys()


def test_the_table_goes_between_its_markers_and_nowhere_else(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(f"# Before\n\n{table.BEGIN}\nold\n{table.END}\n\nAfter.\n", encoding="utf-8")
    goals = merged(tmp_path / "latest.json", [_goal(2.0)], RUN, (_goal(2.0).goal,))
    table.written(page, goals)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Before\n") and text.endswith("\nAfter.\n")
    assert "old" not in text
    assert "**must missed**" in text and "| somebody | 1.235 |" in text and "one 10, two 20" in text
    table.written(page, goals)
    assert page.read_text(encoding="utf-8") == text


def test_a_page_without_markers_is_not_written_over(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text("# Mine\n", encoding="utf-8")
    with pytest.raises(ValueError, match="markers"):
        table.written(page, {})
    assert page.read_text(encoding="utf-8") == "# Mine\n"


# --- what is kept in the repository --------------------------------------------------------------------------


def _kept() -> dict[str, Any]:
    if not results.LATEST.is_file():
        pytest.skip("no run has been kept")
    found: dict[str, Any] = json.loads(results.LATEST.read_text(encoding="utf-8"))
    return found


def test_the_kept_results_are_complete_and_in_order() -> None:
    kept = _kept()
    assert list(kept) == list(GOALS)
    for goal in kept.values():
        assert goal["low"] <= goal["value"] <= goal["high"]
        assert all(isinstance(value, int | float) for value in goal["peers"].values())
        again = Result(
            "P",
            *(goal[name] for name in ("title", "value", "low", "high", "unit", "must", "stretch", "peers")),
        )
        assert again.verdict == goal["verdict"]


def test_the_page_shows_the_kept_results() -> None:
    assert table.rendered(_kept()) in table.DOCUMENT.read_text(encoding="utf-8")


def test_nothing_kept_names_a_place() -> None:
    text = results.LATEST.read_text(encoding="utf-8") if results.LATEST.is_file() else ""
    assert not re.search(r"/home/|/root|/tmp|/usr/|127\.0\.0\.1:[0-9]|https?://", text)


# --- the other end of the wire -------------------------------------------------------------------------------


def test_the_answer_is_a_create_of_901_bytes() -> None:
    assert len(wire.ANSWER) == wire.ANSWER_BYTES == 901
    answer = json.loads(wire.ANSWER)
    assert (answer["amount"], answer["merchantInvoiceNumber"]) == (wire.AMOUNT, wire.INVOICE)
    assert len(wire.BEARER) == 900
    assert len(wire.QUESTION) == 7


def test_the_server_counts_what_arrives_and_ends_with_its_owner() -> None:
    with Server() as server:
        for path in (wire.CREATE_PATH, wire.CREATE_PATH, f"{wire.API_ROOT}/tokenized/checkout/token/grant"):
            asked = urllib.request.Request(server.url + path, data=b"{}", method="POST")
            with urllib.request.urlopen(asked, timeout=10) as answer:
                assert answer.status == 200
                body = answer.read()
            assert body == (wire.TOKEN_ANSWER if path.endswith("grant") else wire.ANSWER)
        counts = server.counts()
        process = server._process
    assert counts["requests"] == 3 and counts["connections"] == 3 and counts["grants"] == 1
    assert process.returncode == 0


def test_a_goal_that_is_not_there_is_a_wrong_argument(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "--only", "P1,P99"])
    assert command.main() == 2
    assert "P99" in capsys.readouterr().err
