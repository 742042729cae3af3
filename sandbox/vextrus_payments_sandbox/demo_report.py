"""What `vextrus-pay demo` shows: the books compared, one JSON document, or tables for a person."""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vextrus_payments.cli.exit_codes import Exit, of_error
from vextrus_payments.cli.look import Column, cell, commands, line, mark, panel, right, table, whole
from vextrus_payments.cli.output import console
from vextrus_payments.ledger import DEFAULT_ACCOUNTS, LedgerEntry, Side
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments_sandbox.demo import AMOUNT
from vextrus_payments_sandbox.demo_faults import PLAYS
from vextrus_payments_sandbox.demo_stage import Record, Step, word_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_CLEARING: Final = "clearing"
CURRENCY: Final = AMOUNT.currency
#: The sandbox's faults in a person's words; a fault that changes nothing has none.
_FAULT_WORDS: Final = {
    "delay": "",
    "drop_after": "answer lost",
    "malformed": "unreadable",
    "malformed_before": "unreadable",
    "expired_token": "token refused",
    "wrong_key": "wrong seal",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One clearing account against the sandbox's own books."""

    gateway: str
    mode: str
    account: str
    ledger: Money
    sandbox: Money

    @property
    def equal(self) -> bool:
        """Whether both say the same to the last paisa."""
        return self.ledger == self.sandbox


@dataclass(frozen=True, slots=True)
class Check:
    """Something that has to hold at the end of a run."""

    what: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run proved."""

    rows: tuple[Row, ...]
    checks: tuple[Check, ...]

    @property
    def good(self) -> bool:
        """Whether the books agree and every check holds."""
        return all(row.equal for row in self.rows) and all(check.holds for check in self.checks)


def judge(record: Record) -> Verdict:
    """Compare the ledger with the sandbox's books, each summed by itself, and count what went over the wire.

    The ledger's side is summed from the postings that the callback was handed; the other side from the sandbox's
    movements of money, by way of `GET /_sandbox/books`. Neither has seen the other.
    """
    rows = [
        Row(
            gateway=gateway,
            mode=mode.value,
            account=DEFAULT_ACCOUNTS.clearing_of(gateway, mode),
            ledger=_in_ledger(record, gateway, mode),
            sandbox=_in_sandbox(record, gateway, mode),
        )
        for gateway, mode in sorted(_pairs(record))
    ]
    cast = record.script.cast
    what, moved = _moved(record)
    wanted = 1 if record.script.ends == "paid" else 0
    refunds = sum(bool(c["moved_money"]) for c in record.wire["calls"] if c["operation"] == "refund")
    kept = sum(one["status"] == 200 for one in _announced(record))
    problems = list(record.books.get("problems", ()))
    heard = (
        (Check(f"webhooks that were verified and kept: {kept}", kept == wanted),) if cast.announces else ()
    )
    checks = (
        Check(f"{what} that moved money: {moved}", moved == wanted),
        Check(f"refunds that moved money: {refunds}", refunds == wanted),
        Check(f"outcome: {_ended(record)}", _ended(record) == record.script.ends),
        *heard,
        Check("every entry balances", all(_balances(entry) for entry in record.entries.values())),
        Check("the sandbox's own audit finds nothing", not problems),
    )
    return Verdict(tuple(rows), checks)


def _moved(record: Record) -> tuple[str, int]:
    """What moves money in, at this gateway, and how often it did."""
    if record.script.cast.payer_completes:
        payments = record.books.get("payments", ())
        return "payments", sum(Decimal(payment["captured"]) > 0 for payment in payments)
    executes = [call for call in record.wire["calls"] if call["operation"] == "execute"]
    return "executes", sum(bool(call["moved_money"]) for call in executes)


def exit_of(record: Record, verdict: Verdict) -> int:
    """0 when the books are equal, 1 when they differ; the error's own code when the run broke off."""
    if record.error is not None:
        return of_error(record.error)
    return Exit.DONE if verdict.good else Exit.DECLINED


def document(record: Record, verdict: Verdict) -> dict[str, Any]:
    """The run as one JSON document."""
    return {
        "gateway": record.script.cast.name,
        "fault": record.script.name or None,
        "outcome": _ended(record),
        "steps": [
            {
                "step": step.name,
                "title": step.title,
                "text": step.text,
                "outcome": step.outcome,
                "moved": step.moved,
                "calls": [call["seq"] for call in step.calls],
                "elapsed_ms": step.elapsed_ms,
            }
            for step in record.steps
        ],
        "wire": dict(record.wire),
        "webhooks": dict(record.webhooks),
        "entries": [_entry(entry) for entry in record.entries.values()],
        "events": [{"id": event.id, "kind": event.kind.value} for event in record.events.values()],
        "books": {
            **record.books,
            "clearing": [
                {
                    "gateway": row.gateway,
                    "mode": row.mode,
                    "account": row.account,
                    "ledger": row.ledger.amount,
                    "sandbox": row.sandbox.amount,
                    "currency": row.ledger.currency,
                    "equal": row.equal,
                }
                for row in verdict.rows
            ],
            "checks": [{"what": check.what, "holds": check.holds} for check in verdict.checks],
            "equal": verdict.good,
        },
    }


def _entry(entry: LedgerEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "kind": entry.kind.value,
        "gateway": entry.gateway,
        "mode": entry.mode.value,
        "payment_id": entry.payment_id,
        "merchant_reference": entry.merchant_reference,
        "transaction_id": entry.transaction_id,
        "postings": [
            {
                "account": posting.account,
                "side": posting.side.value,
                "amount": posting.amount.amount,
                "currency": posting.amount.currency,
            }
            for posting in entry.postings
        ],
    }


def _pairs(record: Record) -> set[tuple[str, Mode]]:
    """Every (gateway, mode) that either side knows; the sandbox's money is never anything but sandbox money."""
    ours = {(entry.gateway, entry.mode) for entry in record.entries.values()}
    theirs = {(payment["gateway"], Mode.SANDBOX) for payment in record.books.get("payments", ())}
    return ours | theirs or {(record.script.cast.name, Mode.SANDBOX)}


def _in_ledger(record: Record, gateway: str, mode: Mode) -> Money:
    minor = 0
    for entry in record.entries.values():
        for posting in entry.postings if (entry.gateway, entry.mode) == (gateway, mode) else ():
            if _CLEARING in posting.account:
                sign = 1 if posting.side is Side.DEBIT else -1
                minor += sign * posting.amount.amount_minor
    return Money.from_minor(minor)


def _in_sandbox(record: Record, gateway: str, mode: Mode) -> Money:
    payments = record.books.get("payments", ()) if mode is Mode.SANDBOX else ()
    rows = [p for p in payments if p["gateway"] == gateway]
    gone = ("refunded", "fee")
    return Money(
        sum((Decimal(p["captured"]) - sum(Decimal(p[name]) for name in gone) for p in rows), Decimal(0))
    )


def _balances(entry: LedgerEntry) -> bool:
    debit = sum(p.amount.amount_minor for p in entry.postings if p.side is Side.DEBIT)
    return debit == sum(p.amount.amount_minor for p in entry.postings if p.side is Side.CREDIT)


def _announced(record: Record) -> list[Mapping[str, Any]]:
    return [one for one in record.webhooks["deliveries"] if one["type"] == "Notification"]


def _ended(record: Record) -> str:
    return word_of(record.outcome) if record.outcome is not None else "none"


# ------------------------------------------------------------------------------------------------- for a person


def _own_name() -> str:
    """What a person has to type: the bare name only where it is on the PATH (after `make demo` it is not)."""
    if shutil.which("vextrus-pay"):
        return "vextrus-pay"
    started_as = Path(sys.argv[0])
    if not started_as.stem.startswith("vextrus-pay"):
        return "python -m vextrus_payments.cli"
    try:
        return str(started_as.relative_to(Path.cwd()))
    except ValueError:
        return str(started_as)


def show(record: Record, verdict: Verdict) -> None:
    """Print the run."""
    out = console()
    _show_title(out, record)
    _show_steps(out, record)
    _show_ledger(out, record)
    _show_books(out, verdict)
    out.print()
    if record.error is not None:
        line(out, ("The demo broke off; above is what had happened until then.", "bad"))
    elif verdict.good:
        line(out, ("The ledger and the sandbox's own books agree to the last paisa.", "good"))
    else:
        line(out, ("The ledger and the sandbox's books DIFFER.", "bad"))
    name = _own_name()
    cast = record.script.cast
    shown, fault = cast.name, cast.fault
    other = next(name for name in PLAYS if name != shown)
    rows = [
        ("See the payment pages in a browser", f"{name} sandbox serve"),
        ("Watch things go wrong", f"{name} demo --gateway {shown} --fault {fault}"),
        ("The same with another gateway", f"{name} demo --gateway {other}"),
    ]
    commands(out, rows)
    out.file.flush()


def _show_title(out: "Console", record: Record) -> None:
    text = cell(
        f"One {record.script.cast.title} payment through every layer, over real HTTP, with no real money."
    )
    if record.script.name:
        text.append(f"\nThis time: {record.script.about}", style="open")
    out.print(panel(text, "vextrus-pay demo"))


def _show_steps(out: "Console", record: Record) -> None:
    calls, money = f"Calls to {record.script.cast.title}", f"Money ({CURRENCY})"
    shown = table(
        Column(name="Step", widest=14),
        "What happened",
        whole(calls),
        right("ms"),
        right(money),
        title="Steps",
        lines=True,
    )
    for step in record.steps:
        moved = (step.moved or "").removesuffix(f" {CURRENCY}")
        style = "good" if moved.startswith("+") else "open"
        ms = str(step.elapsed_ms)
        shown.add_row(
            cell(step.title, "title"), cell(step.text, limit=1000), _calls(step), ms, cell(moved, style)
        )
    out.print(shown)


def _calls(step: Step) -> "Text":
    from rich.text import Text

    lines = Text()
    for call in step.calls:
        went_wrong = _FAULT_WORDS.get(call["fault"] or "", call["fault"])
        said = f"{call['operation']} {went_wrong or call['status']}"
        lines.append(("\n" if lines else "") + said, style="bad" if went_wrong else "")
    return lines or Text("none", style="hint")


def _show_ledger(out: "Console", record: Record) -> None:
    if not record.entries:
        line(out, ("Ledger: no entry, for no money moved.", "title"))
        return
    debit, credit = f"Debit {CURRENCY}", f"Credit {CURRENCY}"
    shown = table(whole("Entry"), "Account", right(debit), right(credit), title="Ledger entries")
    for entry in record.entries.values():
        lead = entry.kind.value
        for posting in entry.postings:
            amount = posting.amount.amount
            sides = (amount, "") if posting.side is Side.DEBIT else ("", amount)
            shown.add_row(lead, posting.account, *sides)
            lead = ""
        shown.add_section()
    out.print(shown)


def _show_books(out: "Console", verdict: Verdict) -> None:
    title = "Books, each summed by itself"
    shown = table("Clearing account", right("Our ledger"), right("The sandbox"), "Equal", title=title)
    for row in verdict.rows:
        shown.add_row(row.account, str(row.ledger), str(row.sandbox), mark(row.equal))
    out.print(shown)
    for check in verdict.checks:
        line(out, " ", mark(check.holds), f" {check.what}")


def failed_document(record: Record, verdict: Verdict, error: Mapping[str, Any]) -> dict[str, Any]:
    """The document of a run that broke off: what was seen until then, and why."""
    return {**document(record, verdict), "error": dict(error)}
