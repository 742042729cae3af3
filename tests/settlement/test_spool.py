"""Sorting on the disk gives what sorting in memory gives, and leaves nothing there."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from vextrus_payments.settlement.spool import CHUNK, Spool, chunks, parts_of

LINES = st.lists(st.text(st.characters(min_codepoint=31, max_codepoint=0x3000), max_size=6))


@given(LINES, st.integers(1, 7))
def test_lines_come_back_sorted_as_often_as_wanted(lines: list[str], run: int) -> None:
    with Spool(run=run) as spool:
        for line in lines:
            spool.add(line)
        assert spool.count == len(lines)
        assert list(spool) == sorted(lines)
        assert list(spool) == sorted(lines)


def test_more_lines_than_memory_holds(tmp_path: Path) -> None:
    lines = [f"{number * 7919 % 10_007:05d}" for number in range(10_007)]
    with Spool(tmp_path, run=1000) as spool:
        for line in lines:
            spool.add(line)
        found = list(chunks(spool))
        assert [len(chunk) for chunk in found] == [CHUNK] * 10 + [7]
        assert [line for chunk in found for line in chunk] == sorted(lines)
    assert list(tmp_path.iterdir()) == []


def test_parts_of_what_is_in_memory() -> None:
    assert [len(part) for part in parts_of(list(range(2500)))] == [1000, 1000, 500]
    assert list(parts_of([])) == []
