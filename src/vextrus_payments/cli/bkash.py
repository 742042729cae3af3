"""`vextrus-pay bkash`: what bKash alone asks of a merchant."""

import asyncio
from contextlib import AsyncExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import click

from vextrus_payments.cli.exit_codes import Exit, of_error
from vextrus_payments.cli.extension import sandbox_tools
from vextrus_payments.cli.frame import interrupted
from vextrus_payments.cli.helping import Command, Group
from vextrus_payments.cli.home import Home
from vextrus_payments.cli.look import cell, facts, hint, line, rows, whole_line
from vextrus_payments.cli.output import console, emit_json, say
from vextrus_payments.cli.params import PORT, WholeNumber
from vextrus_payments.cli.target import Origin, Target, named_target, sandbox_target
from vextrus_payments.cli.uat_run import GATEWAY, UatOrder, UatRun
from vextrus_payments.cli.uat_scenarios import Act, Report, Scenario, scenarios
from vextrus_payments.cli.uat_wire import RecordingTransport
from vextrus_payments.cli.waiting import Waiting
from vextrus_payments.clock import SystemClock
from vextrus_payments.errors import ConfigurationError, InvalidRequestError, PaymentsError
from vextrus_payments.gateways.bkash import BkashConfig
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.printable import one_line
from vextrus_payments.transport import shared_transport

_STYLES: Final = {"passed": "good", "failed": "bad", "skipped": "open", "running": "open"}


@click.group(
    cls=Group,
    invoke_without_command=True,
    examples=(
        ("vextrus-pay bkash uat-report --out bkash-report.html", "the report, in a sandbox of its own"),
    ),
)
@click.pass_context
def command(ctx: click.Context) -> None:
    """What bKash alone asks of a merchant before he goes live."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@command.command(
    name="uat-report",
    cls=Command,
    moves_money=True,
    examples=(
        (
            "vextrus-pay bkash uat-report --out uat-local.html --sandbox http://127.0.0.1:28600",
            "unattended, in the sandbox that runs there: does your set-up pass?",
        ),
        (
            "vextrus-pay bkash uat-report --out uat-json.html --sandbox http://127.0.0.1:28600 --json",
            "the same for a build: exit code 1 when a scenario failed",
        ),
        (
            "vextrus-pay bkash uat-report --out uat-bkash.html --by-hand",
            "in bKash's test environment, named by BKASH_...: pay as each scenario says",
        ),
    ),
)
@click.option(
    "--out",
    required=True,
    metavar="FILE",
    help="The HTML file to write; print it to PDF from a browser.",
)
@click.option("--overwrite", is_flag=True, help="Replace that file if it is there.")
@click.option("--sandbox", metavar="URL", help="Run in the sandbox that runs there.")
@click.option(
    "--by-hand", is_flag=True, help="Let a person pay, also in a sandbox on this machine: for screenshots."
)
@click.option("--live", is_flag=True, help="Move real money: needed where the environment says live.")
@click.option(
    "--amount",
    help="The first payment's amount in taka; else one of its own for each run, because bKash refuses the same amount "
    "twice within minutes.",
)
@click.option(
    "--wait-s",
    type=WholeNumber(1, 86_400),
    default=600,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the payer in each scenario.",
)
@click.option("--port", type=PORT, default=0, metavar="PORT", help="Where to listen for payers' returns.")
@click.option("--public-url", metavar="URL", help="The https address of a tunnel that leads to --port.")
@click.option("--store", metavar="URL", help="Where payments are kept; else the home folder.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON Lines: what payers are to do, then the result."
)
def uat_report(
    out: str,
    overwrite: bool,
    sandbox: str | None,
    by_hand: bool,
    live: bool,
    amount: str | None,
    wait_s: int,
    port: int,
    public_url: str | None,
    store: str | None,
    as_json: bool,
) -> int:
    """Run bKash's test scenarios and write the document that it asks for.

    Six payments are made: one that succeeds (with query and search), the same amount again, a closed page, three wrong
    codes, too little money, and a refund. In a sandbox on this machine the payer is played; elsewhere the page's
    address is shown and a person pays. Test money only, unless --live is given. Without a sandbox and without BKASH_...
    a sandbox is started for it.
    """
    path = _checked_out(out, overwrite=overwrite)
    price = _amount_of_its_own() if amount is None else Money(amount, "BDT")
    target = named_target(GATEWAY, sandbox=sandbox, live=live)
    if live and public_url is None:
        raise ConfigurationError(
            "In live mode bKash sends payers back to an https address only, and this command listens on http.",
            code="public_url_missing",
            next_step="Lead an https address here (a tunnel to --port) and name it with --public-url.",
        )
    session = _Session(
        out=path, by_hand=by_hand, live=live, amount=price, wait_s=wait_s, port=port, public_url=public_url
    )
    session.home, session.as_json = Home.find(store), as_json
    try:
        hopeless = asyncio.run(session.run(target))
    except KeyboardInterrupt:
        return session.interrupted()
    return session.show(hopeless)


def _amount_of_its_own() -> Money:
    """20 to 56 taka, another one every tenth of a second: the same comes after six minutes, bKash looks back five."""
    now = SystemClock().now()
    tenths = now.minute % 6 * 600 + now.second * 10 + now.microsecond // 100_000
    return Money.from_minor(2_000 + tenths, "BDT")


def _checked_out(out: str, *, overwrite: bool) -> Path:
    """The file to write, if it can be one.

    Raises:
        InvalidRequestError: it cannot, or it is there.
    """
    path, rule = Path(out), ""
    try:
        if not out.isprintable():
            rule = "a file without control characters in its name"
        elif not path.name or path.is_dir():
            rule = "a file, not a folder"
        elif path.exists() and not overwrite:
            rule = "a file that is not there yet, or --overwrite"
        elif not path.absolute().parent.is_dir():
            rule = "a file in a folder that is there"
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        rule = f"another file ({error.strerror or type(error).__name__})"
    if rule:
        what = f"{one_line(out, 200)} cannot be written: give {rule}."
        raise InvalidRequestError(what, field="--out", rule=rule)
    return path


class _Session:
    """One call of the command: what was asked for, and how far it has got."""

    home: Home
    as_json: bool = False

    def __init__(
        self,
        *,
        out: Path,
        by_hand: bool,
        live: bool,
        amount: Money,
        wait_s: int,
        port: int,
        public_url: str | None,
    ) -> None:
        self._out = out
        self._by_hand = by_hand
        self._live = live
        self._amount = amount
        self._wait_s = wait_s
        self._port = port
        self._public_url = public_url
        self._report: Report | None = None
        self._run: UatRun | None = None
        self._busy: Waiting | None = None

    async def run(self, target: Target | None) -> PaymentsError | None:
        """All of it; gives the error that broke it off."""
        async with AsyncExitStack() as stack:
            if target is None:
                url = await stack.enter_async_context(sandbox_tools("A report without credentials").started())
                target = sandbox_target(GATEWAY, url, Origin.OWN_SANDBOX)
            config = target.config
            assert isinstance(config, BkashConfig)
            clock = SystemClock()
            wire = RecordingTransport(
                shared_transport(clock=clock, proxy=config.proxy, ssl_context=config.ssl_context), clock
            )
            walked = target.is_walkable and not self._by_hand
            self._report = Report(
                environment=_environment(target),
                api_url=config.api_url,
                money="REAL MONEY" if config.mode is Mode.LIVE else "test money",
                payer="played by the client" if walked else "a person",
                client=f"vextrus-payments {_version()}",
                began_at=clock.now(),
                scenarios=scenarios(),
                secrets=lambda: {*wire.secrets, *_secrets_of(config)},
            )
            order = UatOrder(
                target=target,
                home=self.home,
                out=self._out,
                amount=self._amount,
                payer=self._walk if walked else self._person,
                wait_s=self._wait_s,
                port=self._port,
                public_url=self._public_url,
                walked=walked,
                own_tokens=target.is_walkable,
                on_scenario=self._tell,
            )
            self._run = UatRun(order, self._report, wire, clock)
            self._run.save()  # now, so that nothing is paid for a report that cannot be written
            try:
                with Waiting("Running the scenarios", quiet=self.as_json) as self._busy:
                    return await self._run.all()
            except PaymentsError as error:  # what no scenario could begin without: a port, a store
                self._report.broken_off = f"Broken off: {one_line(str(error), 600)}"
                self._run.save()
                raise

    # -------------------------------------------------------------------------------------------- payers

    @staticmethod
    async def _walk(scenario: Scenario, act: Act, checkout_url: str) -> None:
        typed = {name: value for name, value in (("wallet", act.wallet), ("otp", act.otp)) if value}
        await sandbox_tools("A played payer").play(checkout_url, typed=typed, cancels=act.cancels)

    async def _person(self, scenario: Scenario, act: Act, checkout_url: str) -> None:
        if self.as_json:
            document = {"scenario": scenario.code, "ask": act.ask, "checkout_url": checkout_url}
            emit_json({"type": "payer", **document, "payment_id": scenario.our_payment_id})
            return
        from vextrus_payments.cli import qr

        out = console()
        line(out, (scenario.title, "title"))
        line(out, act.ask)
        whole_line(out, "  ", (checkout_url, "underline"))
        problem = qr.show(out, checkout_url, wanted=None)
        if problem is not None:
            say(f"The QR code is not shown. {problem}")
        hint(out, f"Waiting up to {self._wait_s} s; Ctrl+C ends the run and writes the report as it stands.")
        out.file.flush()

    # -------------------------------------------------------------------------------------------- the end

    def _tell(self, scenario: Scenario) -> None:
        if self._busy is not None and scenario.result == "running":
            self._busy.tell(scenario.title)

    def interrupted(self) -> int:
        """Write what there is, and say so."""
        if self._report is None or self._run is None:
            return interrupted(moves_money=False, as_json=self.as_json)
        self._report.broken_off = "Somebody interrupted the run."
        self._run.save()
        moves_money = self._live and self._run.began_to_pay
        ran = self._report.count("passed", "failed")
        return interrupted(
            f"Interrupted after {ran} of {len(self._report.scenarios)} scenarios.",
            moves_money=moves_money,
            next_step=f"The report as it stands is in {self._out}. What was sent is recorded: vextrus-pay status.",
            as_json=self.as_json,
        )

    def show(self, hopeless: PaymentsError | None) -> int:
        """The result; gives the exit code."""
        report = self._report
        assert report is not None, "run() made it"
        code = Exit.DONE if report.is_complete else Exit.DECLINED
        if hopeless is not None:
            code = of_error(hopeless)
        if self.as_json:
            emit_json({"type": "report", **self._document(report), "exit_code": int(code)})
        else:
            self._show(report)
        return code

    def _document(self, report: Report) -> dict[str, Any]:
        return {
            "out": str(self._out),
            "complete": report.is_complete,
            "broken_off": report.broken_off or None,
            "passed": report.count("passed"),
            "failed": report.count("failed"),
            "skipped": report.count("skipped", "running"),
            "scenarios": [
                {
                    "code": one.code,
                    "title": one.title,
                    "result": one.result,
                    "what": one.what or None,
                    "payment_id": one.our_payment_id or None,
                    "gateway_reference": one.payment_id or None,
                    "transaction_id": one.trx_id or None,
                    "gateway_order_id": one.invoice or None,
                    "calls": [entry.title for entry in one.calls],
                }
                for one in report.scenarios
            ],
        }

    def _show(self, report: Report) -> None:
        out = console()
        rows(
            out,
            ("scenario", "result", "paymentID", "trxID"),
            [
                (
                    cell(one.title),
                    cell(one.result, _STYLES[one.result]),
                    cell(one.payment_id),
                    cell(one.trx_id),
                )
                for one in report.scenarios
            ],
        )
        for one in report.scenarios:
            if one.what:
                line(out, (f"{one.title}: ", "label"), one.what)
        if report.broken_off:
            line(out, (report.broken_off, "bad"))
        out.print(facts([("report", str(self._out))]))
        if not report.is_complete:
            hint(out, "It is not complete, and says so at its top.")
        hint(out, "Add the screenshots where it has room for them; print it to PDF from a browser.")


def _environment(target: Target) -> str:
    if target.config.mode is Mode.LIVE:
        return "production"
    return "local sandbox" if target.is_walkable else "bKash's test environment"


def _secrets_of(config: BkashConfig) -> list[str]:
    values = (config.app_key, config.app_secret, config.username, config.password)
    return [secret.reveal() for secret in values]


def _version() -> str:
    try:
        return version("vextrus-payments")
    except PackageNotFoundError:
        return "from its source"
