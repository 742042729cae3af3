"""LedgerEntry as JSON is a public contract: golden files hold every shape, and docs/ledger.md tells the same numbers.

A change here that is meant needs a new `schema_version`, unless it only adds a field, and a fragment in changelog.d/.
"""

import json
import re
from pathlib import Path

import pytest

from tests.unit.ledger_cases import CASES
from vextrus_payments.documents import from_json, to_json
from vextrus_payments.ledger import EntryKind, LedgerEntry, Side

HERE = Path(__file__).resolve().parent
GOLDEN = HERE / "golden" / "ledger"
PAGE = HERE.parents[1] / "docs" / "ledger.md"


def golden(name: str) -> list[str]:
    """The entries of one case, a line of JSON each."""
    return (GOLDEN / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", CASES)
def test_an_entry_is_written_as_it_always_was(name: str) -> None:
    assert [to_json(entry) for entry in CASES[name]()] == golden(name)


@pytest.mark.parametrize("name", CASES)
def test_what_was_written_is_read_back_exactly(name: str) -> None:
    for line, entry in zip(golden(name), CASES[name](), strict=True):
        assert from_json(LedgerEntry, line) == entry
        assert json.loads(line)["schema_version"] == 1


def test_every_golden_file_has_its_case_and_every_kind_of_entry_its_file() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)
    seen = {json.loads(line)["kind"] for name in CASES for line in golden(name)}
    assert seen == {kind.value for kind in EntryKind}


def test_no_two_facts_have_the_same_entry() -> None:
    """A late or flagged receipt is the same receipt; it is never booked in two ways."""
    same_receipt = {
        "payment",
        "payment_with_fee",
        "late",
        "mismatch",
        "by_operator",
        "settled",
        "fee_known_before",
    }
    ids = [
        json.loads(line)["id"]
        for name in CASES
        if name not in same_receipt - {"payment"}
        for line in golden(name)
    ]
    assert len(set(ids)) == len(ids)


# --- the page ---------------------------------------------------------------------------------------------------


def examples() -> list[list[str]]:
    """The rows of the worked examples: case, entry, debit, credit, amount, flags."""
    text = PAGE.read_text(encoding="utf-8")
    table = text.split("<!-- worked examples -->")[1].split("<!-- end -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()]
    return rows[2:]


def test_the_page_tells_every_case_with_its_numbers() -> None:
    told: dict[str, list[tuple[str, ...]]] = {}
    name = ""
    for cells in examples():
        found = re.search(r"`(\w+)`", cells[0])
        name = found[1] if found else name
        told.setdefault(name, []).append(tuple(cell.replace("`", "") for cell in cells[1:]))
    assert told == {name: [_row(entry) for entry in make()] for name, make in CASES.items()}


def _row(entry: LedgerEntry) -> tuple[str, ...]:
    account = {posting.side: posting.account for posting in entry.postings}
    amounts = {str(posting.amount.amount) for posting in entry.postings}
    (amount,) = amounts
    flags = ", ".join(sorted(flag.value for flag in entry.flags))
    return (entry.kind.value, account[Side.DEBIT], account[Side.CREDIT], amount, flags)


def test_the_json_on_the_page_is_that_of_the_golden_file() -> None:
    text = PAGE.read_text(encoding="utf-8")
    (block,) = re.findall(r"```json\n(\{.*?\n\})\n```", text, flags=re.DOTALL)
    assert json.loads(block) == json.loads(golden("payment")[0])
