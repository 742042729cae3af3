"""`python -m bench.settlement [--rows 1000000] [--mistakes 10000] [--store sqlite|postgres] [--xlsx]`: R12, whole.

A month of so many transactions is recorded in a store, and a statement of it is written with so many mistakes of
twelve kinds. Three runs follow, each in a fresh process: one that only compares, one that books, and a second one that
books. Every mistake has to be found by each, nothing else may be, and the last one may change nothing. Exit 1
otherwise. Each run's time and memory are printed, and an independent sum of the bank's postings is compared.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.private_servers import holding
from tests.settlement.books import balances
from tests.settlement.world import FORM, GATEWAY, MODE, MONTH, TENANT, Month
from vextrus_payments.settlement import Break, Finding, SettlementRun, SettlementTerms
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import open_store


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--mistakes", type=int, default=10_000)
    parser.add_argument("--store", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--xlsx", action="store_true", help="hand the statement over as a spreadsheet")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run is not None:
        print(json.dumps(asyncio.run(_run(**json.loads(options.run)))))
        return 0
    with tempfile.TemporaryDirectory() as folder, _store(options.store, Path(folder)) as url:
        return _measure(options, Path(folder), url)


@contextmanager
def _store(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'payments.db'}"
        return
    with holding("postgres", durable=True) as held:
        yield held.places["postgres"]


def _measure(options: argparse.Namespace, folder: Path, url: str) -> int:
    month = Month(options.rows, options.mistakes)
    statement = folder / "january.csv"
    month.write(statement)
    if options.xlsx:
        statement = _as_spreadsheet(statement)
    print(
        f"{options.rows:,} transactions, {len(month.expected):,} mistakes of {len(month.dealt)} kinds;",
        end=" ",
    )
    print(f"statement {statement.stat().st_size / 2**20:.0f} MiB", flush=True)
    at = time.monotonic()
    asyncio.run(_record(month, url))
    print(f"recorded in {time.monotonic() - at:.0f} s", flush=True)
    good = True
    entries: list[int] = []
    for name, apply in (("compare", False), ("book", True), ("book again", True)):
        told = _in_fresh_process(url=url, statement=str(statement), apply=apply, found=str(folder / "found"))
        found = {
            tuple(line.split(" ")) for line in (folder / "found").read_text(encoding="utf-8").splitlines()
        }
        expected = {(kind.value, transaction_id) for kind, transaction_id in month.expected}
        entries.append(told["entries"])
        print(
            f"{name}: {told['seconds']:.0f} s, {told['cpu_s'] / options.rows * 1e6:.0f} us CPU a row, memory"
            f" {told['before_mib']:.0f} -> {told['peak_mib']:.0f} MiB; found {len(found & expected):,} of"
            f" {len(expected):,}, {len(found - expected)} false; booked {told['booked']:,},"
            f" already {told['already']:,}",
            flush=True,
        )
        good &= found == expected and told["findings"] == len(found)
    good &= entries[1] == entries[2] and told["booked"] == 0 and told["already"] == month.agreeing
    bank = asyncio.run(_bank(url))
    good &= bank == month.bank_minor
    print(f"bank by the ledger's entries {bank / 100:,.2f}, by the statement {month.bank_minor / 100:,.2f}")
    print("as it should be" if good else "NOT as it should be")
    return 0 if good else 1


def _in_fresh_process(**parameters: Any) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.settlement", "--run", json.dumps(parameters)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


async def _run(url: str, statement: str, apply: bool, found: str) -> dict[str, Any]:
    store = open_store(url)
    await store.open()
    findings = 0
    with Path(found).open("w", encoding="utf-8") as file:

        def note(finding: Finding) -> None:
            nonlocal findings
            findings += 1
            kind = finding.kind.value if isinstance(finding, Break) else "bad_row"
            file.write(f"{kind} {finding.transaction_id}\n")

        run = SettlementRun(
            store,
            tenant=TENANT,
            gateway=GATEWAY,
            mode=MODE,
            form=FORM,
            terms=SettlementTerms(apply=apply, covers=MONTH),
            on_finding=note,
        )
        before, at, cpu = _peak_mib(), time.monotonic(), time.process_time()
        report = await run.run(statement)
        took, cpu = time.monotonic() - at, time.process_time() - cpu
    peak = _peak_mib()
    entries = await _count(store)
    await store.close()
    return {
        "seconds": took,
        "cpu_s": cpu,
        "before_mib": before,
        "peak_mib": peak,
        "booked": report.booked + report.adjusted,
        "already": report.already,
        "findings": findings,
        "entries": entries,
    }


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def _count(store: PaymentStore) -> int:
    from vextrus_payments.records import OutboxKind

    return (await store.backlog(OutboxKind.LEDGER)).waiting


async def _record(month: Month, url: str) -> None:
    store = open_store(url)
    await store.open()
    await month.record(store, at_once=256)
    await store.close()


async def _bank(url: str) -> int:
    store = open_store(url)
    await store.open()
    sums = await balances(store)
    await store.close()
    return sums["bank"]


def _as_spreadsheet(statement: Path) -> Path:
    import csv

    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("January")
    with statement.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.reader(file)):
            # amounts as numbers, as a spreadsheet has them
            sheet.append(
                [float(cell) if number > 2 and 2 <= place <= 4 else cell for place, cell in enumerate(row)]
            )
    path = statement.with_suffix(".xlsx")
    book.save(path)
    return path


if __name__ == "__main__":
    sys.exit(main())
