"""`vextrus-pay settle`: hold a gateway's settlement statement against our receipts."""

import asyncio
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from vextrus_payments.cli.application import APP_HELP, app_name, load_app, opened
from vextrus_payments.cli.exit_codes import Exit
from vextrus_payments.cli.helping import Command
from vextrus_payments.cli.home import STORE_VARIABLE, Home
from vextrus_payments.cli.output import emit_json
from vextrus_payments.cli.params import DAY, DAYS, GATEWAY, FilePath, WholeNumber
from vextrus_payments.cli.settling import FindingsFile, SettleProgress, report_document, show_report
from vextrus_payments.errors import ConfigurationError, StatementError
from vextrus_payments.gateways.registry import DEFAULT_TENANT
from vextrus_payments.mode import Mode
from vextrus_payments.settlement import (
    Days,
    SettlementReport,
    SettlementRun,
    SettlementTerms,
    StatementFormat,
    Tolerances,
)

if TYPE_CHECKING:
    from vextrus_payments.settlement.run import OnFinding, OnProgress

_MODES: Final = [mode.value for mode in Mode]
_GENERIC: Final = "generic"


@click.command(
    cls=Command,
    examples=(
        (
            (
                "vextrus-pay settle january.csv --gateway bkash --mode live --format bkash.toml "
                "--app shop.payments:payments"
            ),
            "compare; nothing is written",
        ),
        (
            (
                "vextrus-pay settle january.csv --gateway bkash --mode live --format bkash.toml "
                "--app shop.payments:payments --apply"
            ),
            "and book what agrees",
        ),
        (
            (
                "vextrus-pay settle january.csv --gateway bkash --mode live --format bkash.toml --covers 2026-01 "
                "--findings differences.csv --app shop.payments:payments"
            ),
            "what is missing in January, too; every difference into a file",
        ),
    ),
)
@click.argument("statement", type=FilePath(path_type=Path))
@click.option("--gateway", type=GATEWAY, required=True, help="Whose statement it is (bkash).")
@click.option("--mode", required=True, type=click.Choice(_MODES), help="Of the account: test or real money.")
@click.option(
    "--format",
    "form",
    default=_GENERIC,
    show_default=True,
    metavar="FILE",
    help="How the statement is laid out: a TOML or JSON file (docs/settlement.md), or the layout of our own words.",
)
@click.option("--apply", is_flag=True, help="Book what agrees. Without it nothing is written. Needs --app.")
@click.option(
    "--on-bad-row",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="A row that cannot be read: book nothing at all, or leave it out and report it.",
)
@click.option(
    "--covers",
    type=DAYS,
    metavar="DAYS",
    help="The days (in Dhaka) of which it has every transaction: 2026-01, 2026-01-31 or 2026-01-01..2026-01-15.",
)
@click.option("--settled-on", type=DAY, metavar="DAY", help="The day of settlement, where no column has it.")
@click.option(
    "--settles-within",
    type=WholeNumber(0, 366),
    default=Tolerances().settles_within_days,
    show_default=True,
    metavar="DAYS",
    help="From a payment to its settlement; what is younger is awaited, not missing.",
)
@click.option(
    "--accept-restated",
    is_flag=True,
    help="Book a fee that contradicts an earlier statement of the same day, as its correction.",
)
@click.option(
    "--findings",
    type=FilePath(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write every difference and every bad row there, as CSV.",
)
@click.option("--tenant", default=DEFAULT_TENANT, show_default=True, help="Whose account it is.")
@click.option("--app", metavar="MODULE:ATTRIBUTE", help=APP_HELP)
@click.option(
    "--store", metavar="URL", help=f"A store to compare with; else {STORE_VARIABLE}, else the home folder."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    statement: Path,
    gateway: str,
    mode: str,
    form: str,
    apply: bool,
    on_bad_row: str,
    covers: Days | None,
    settled_on: date | None,
    settles_within: int,
    accept_restated: bool,
    findings: Path | None,
    tenant: str,
    app: str | None,
    store: str | None,
    as_json: bool,
) -> int:
    """Hold a gateway's STATEMENT (CSV, XLSX) against our receipts: what is missing, and what differs, in which field.

    With --apply what agrees is booked, once per receipt: payment.settled and payment.fee. A second run, or a statement
    that overlaps another, changes nothing. Exits 1 where anything differs, 2 where the statement cannot be read.
    """
    layout = StatementFormat.generic() if form == _GENERIC else StatementFormat.from_file(form)
    terms = SettlementTerms(
        apply=apply,
        on_bad_row="skip" if on_bad_row == "skip" else "stop",
        covers=covers,
        settled_on=settled_on,
        tolerances=Tolerances(settles_within_days=settles_within, accept_restated=accept_restated),
    )
    if findings is not None and findings.resolve() == statement.resolve():
        raise click.BadParameter("is the statement itself; name another file.", param_hint="--findings")

    async def run() -> SettlementReport:
        with FindingsFile(findings) as file, SettleProgress(quiet=as_json) as progress:
            asked = _Asked(statement, gateway, Mode(mode), layout, terms, tenant, file.write, progress.show)
            name = app_name(app)
            if name is not None and store is None:
                return await asked.of_app(name)
            return await asked.of_store(Home.find(store))

    try:
        report = asyncio.run(run())
    except StatementError as error:
        if findings is not None and error.bad_rows:
            error.next_step = f"{error.next_step} All of them are in {findings}."
        raise
    exit_code = Exit.DONE if report.agrees else Exit.DECLINED
    if as_json:
        emit_json({**report_document(report), "exit_code": int(exit_code)})
    else:
        show_report(report, findings)
    return exit_code


class _Asked:
    """One statement, and where to look."""

    def __init__(
        self,
        statement: Path,
        gateway: str,
        mode: Mode,
        form: StatementFormat,
        terms: SettlementTerms,
        tenant: str,
        on_finding: "OnFinding",
        on_progress: "OnProgress",
    ) -> None:
        self._statement, self._gateway, self._mode = statement, gateway, mode
        self._form, self._terms, self._tenant = form, terms, tenant
        self._on_finding, self._on_progress = on_finding, on_progress

    async def of_app(self, name: str) -> SettlementReport:
        """Against the shop's own Payments: its store, its tenant, its accounts."""
        async with opened(load_app(name)) as payments:
            single = self._tenant == DEFAULT_TENANT and not payments.setup.has_tenants
            return await (payments if single else payments.for_tenant(self._tenant)).settle_statement(
                self._gateway,
                self._statement,
                mode=self._mode,
                form=self._form,
                terms=self._terms,
                on_finding=self._on_finding,
                on_progress=self._on_progress,
            )

    async def of_store(self, home: Home) -> SettlementReport:
        """Against a store alone: compared, never booked.

        Raises:
            ConfigurationError: it was asked to book, or there is no store.
        """
        if self._terms.apply:
            raise ConfigurationError(
                "--apply needs the shop's own settings: the names of its accounts are in them.",
                code="app_missing",
                next_step="Give --app shop.payments:payments, or set VEXTRUS_PAY_APP.",
            )
        if not any(True for _ in home.stores()):
            raise ConfigurationError(
                f"There are no payments in {home.place} to compare with.",
                code="store_missing",
                next_step=f"Give --app shop.payments:payments, or a store: --store URL, or {STORE_VARIABLE}.",
            )
        store = home.store(self._mode)
        await store.open()
        try:
            run = SettlementRun(
                store,
                tenant=self._tenant,
                gateway=self._gateway,
                mode=self._mode,
                form=self._form,
                terms=self._terms,
                on_finding=self._on_finding,
                on_progress=self._on_progress,
            )
            return await run.run(self._statement)
        finally:
            await store.close()
