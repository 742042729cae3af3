"""docs/settlement.md: the example's files, findings and entries are what comes out."""

import re
from datetime import UTC, date, datetime
from pathlib import Path

from tests.packaging.distribution import ROOT
from tests.settlement.books import balances, entries_of
from tests.settlement.shop import receipt, recorded
from vextrus_payments.ledger import EntryKind, LedgerEntry, Side
from vextrus_payments.mode import Mode
from vextrus_payments.records import Receipt, ReceiptKind
from vextrus_payments.settlement import Break, Days, SettlementRun, SettlementTerms, StatementFormat
from vextrus_payments.stores import MemoryStore

PAGE = (ROOT / "docs" / "settlement.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"(?ms)^```{language}\n(.*?)^```$", PAGE)
    assert found is not None
    return found[1]


def table(heading: str) -> list[list[str]]:
    """The rows of the table whose first heading is this."""
    lines = PAGE[PAGE.index(f"| {heading} |") :].splitlines()
    rows = []
    for line in lines[2:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def live(name: str, amount: str, day: int, payment: int, **more: object) -> Receipt:
    at = datetime(2026, 1, day, 8, tzinfo=UTC)
    made = receipt(name, amount, at=at, recorded_at=at, mode=Mode.LIVE, payment_id=f"pay_{payment}", **more)  # type: ignore[arg-type]
    return made


async def test_the_example_comes_out_as_the_page_says(tmp_path: Path) -> None:
    (tmp_path / "january.csv").write_text(block("csv"), encoding="utf-8")
    (tmp_path / "portal.toml").write_text(block("toml"), encoding="utf-8")
    store = MemoryStore()
    await store.open()
    await recorded(
        store,
        live("DAJ4KWXYZ1", "1250.50", 5, 1),
        live("DAK1AAAAA7", "250.50", 7, 1, kind=ReceiptKind.REFUND),
        order_ids=("INV-8812",),
    )
    await recorded(store, live("DAJ4KWXYZ2", "500.00", 5, 2, fee="9.00"), order_ids=("INV-8813",))
    await recorded(store, live("DAJ7CCCCC5", "700.00", 6, 3), order_ids=("INV-8814",))
    for _ in range(2):
        found: list[Break] = []
        run = SettlementRun(
            store,
            tenant="acme",
            gateway="bkash",
            mode=Mode.LIVE,
            form=StatementFormat.from_file(tmp_path / "portal.toml"),
            terms=SettlementTerms(apply=True, covers=Days(date(2026, 1, 1), date(2026, 1, 31))),
            on_finding=found.append,  # type: ignore[arg-type]
        )
        report = await run.run(tmp_path / "january.csv")
        assert report.matched == 3
        assert [shown(one) for one in found] == table("differs")
        settling = {EntryKind.PAYMENT_SETTLED}
        entries = [
            entry
            async for entry in entries_of(store)
            if entry.kind in settling or (entry.kind is EntryKind.PAYMENT_FEE and entry.metadata)
        ]
        assert [booked(entry) for entry in entries] == table("entry")
    sums = await balances(store)
    assert (sums["bank"], sums["gateway_clearing:bkash:live"]) == (146762, 70000)
    assert "The bank has 1467.62 now" in PAGE


def shown(one: Break) -> list[str]:
    cells = [one.kind.value, one.transaction_id, one.row, one.field, one.ours, one.theirs]
    return [*("-" if cell is None else str(cell) for cell in cells), "yes" if one.booked else "no"]


def booked(entry: LedgerEntry) -> list[str]:
    by_side = {posting.side: posting for posting in entry.postings}
    amount = entry.postings[0].amount.amount
    return [
        entry.kind.value,
        entry.transaction_id,
        by_side[Side.DEBIT].account,
        by_side[Side.CREDIT].account,
        amount,
    ]


def test_the_page_names_every_kind_of_break_and_every_setting() -> None:
    from vextrus_payments.settlement import BreakKind, Column

    assert {row[0].strip("`") for row in table("kind")} == {kind.value for kind in BreakKind}
    named = " ".join(cell for row in table("setting") for cell in row)
    for setting in set(StatementFormat.model_fields) - {"name"}:
        assert f"`{setting}`" in named, setting
    for column in Column:
        assert f"`{column.value}`" in named, column
