"""`vextrus-pay reconcile`: ask the gateways about what is open."""

import asyncio
import signal
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

from vextrus_payments.cli.application import APP_HELP, opened, required_app
from vextrus_payments.cli.exit_codes import Exit
from vextrus_payments.cli.explaining import moment
from vextrus_payments.cli.helping import Command
from vextrus_payments.cli.look import cell, commands, line, prose, rows
from vextrus_payments.cli.output import console, emit_json, say
from vextrus_payments.cli.params import WHEN
from vextrus_payments.cli.shapes import moment as iso
from vextrus_payments.cli.waiting import Waiting
from vextrus_payments.gateways.registry import DEFAULT_TENANT
from vextrus_payments.printable import one_line
from vextrus_payments.reconcile import OnEach, Reconciled, ReconcileReport

if TYPE_CHECKING:
    from rich.console import Console

    from vextrus_payments.app import Payments

_EVERY_S: Final = 5.0
#: At most so many unknown payments are shown.
_SHOWN: Final = 20


@click.command(
    cls=Command,
    moves_money=True,  # it submits what was reserved and left behind
    examples=(
        ("vextrus-pay reconcile --app shop.payments:payments", "everything that is due, once"),
        (
            "vextrus-pay reconcile pay_01jd... --app shop.payments:payments",
            "one payment, now, with its refunds",
        ),
        (
            "vextrus-pay reconcile --since 7d --app shop.payments:payments",
            "after a restored backup: see docs/operations.md",
        ),
        ("vextrus-pay reconcile --watch --app shop.payments:payments", "until Ctrl+C"),
    ),
)
@click.argument("payment_id", required=False)
@click.option("--once", is_flag=True, help="Everything that is due, once. This is the default.")
@click.option("--watch", is_flag=True, help="Go on until Ctrl+C, as a worker does.")
@click.option(
    "--since",
    type=WHEN,
    metavar="WHEN",
    help="After a restored backup: everything that is open, and all that was made or changed since then, with refunds.",
)
@click.option(
    "--leave-out",
    multiple=True,
    metavar="TENANT",
    help="With --since: a tenant about whom nobody can ask any more.",
)
@click.option("--tenant", default=DEFAULT_TENANT, show_default=True, help="Of PAYMENT_ID.")
@click.option("--app", metavar="MODULE:ATTRIBUTE", help=APP_HELP)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document; with --watch one line per payment."
)
def command(
    payment_id: str | None,
    once: bool,
    watch: bool,
    since: datetime | None,
    leave_out: tuple[str, ...],
    tenant: str,
    app: str | None,
    as_json: bool,
) -> int:
    """Ask the gateways about payments and refunds whose end is open, and record what they answer.

    Also ends sessions whose life is over, and submits what was reserved and left behind. Nothing is ever sent twice;
    a gateway that does not answer settles nothing. Exits 3 while anything is still unknown or got no answer.
    """
    ways = [
        name
        for name, given in (
            ("PAYMENT_ID", payment_id),
            ("--once", once),
            ("--watch", watch),
            ("--since", since),
        )
        if given
    ]
    if len(ways) > 1:
        raise click.UsageError(f"{' and '.join(ways)} do not go together: give one of them.")
    if leave_out and since is None:
        raise click.BadOptionUsage("leave_out", "--leave-out goes with --since.")
    payments = required_app(app, "reconcile")

    async def run() -> int:
        async with opened(payments):
            if payment_id is not None:
                with Waiting("Asking about the payment", quiet=as_json):
                    found = await _one(payments, tenant, payment_id)
                return _show_one(found, as_json=as_json)
            if watch:
                return await _watch(payments, as_json=as_json)
            with Waiting("Asking about what is open", quiet=as_json) as busy:
                progress = _Progress(busy, quiet=as_json)
                if since is not None:
                    report = await payments.reconcile_since(since, leave_out=leave_out, on_each=progress)
                else:
                    report = await payments.reconcile_due(on_each=progress)
            return _show(report, since, as_json=as_json)

    return asyncio.run(run())


async def _one(payments: "Payments", tenant: str, payment_id: str) -> Reconciled:
    if tenant == DEFAULT_TENANT and not payments.setup.has_tenants:
        return await payments.reconcile(payment_id)
    return await payments.for_tenant(tenant).reconcile(payment_id)


async def _watch(payments: "Payments", *, as_json: bool) -> int:
    """Again and again, until somebody stops it."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in ("SIGINT", "SIGTERM"):
        with suppress(NotImplementedError, AttributeError):  # Windows: Ctrl+C arrives as KeyboardInterrupt
            loop.add_signal_handler(getattr(signal, name), stopping.set)
    say("Watching; Ctrl+C ends it.")
    on_each: OnEach = _json_line if as_json else _line
    while not stopping.is_set():
        await payments.reconcile_due(on_each=on_each)
        with suppress(TimeoutError):
            async with asyncio.timeout(_EVERY_S):
                await stopping.wait()
    return Exit.DONE


def _told(one: Reconciled) -> bool:
    return one.changed or bool(one.problems) or bool(one.actions)


def _line(one: Reconciled) -> None:
    if _told(one):
        click.echo(one_line(_sentence(one), 600))


def _json_line(one: Reconciled) -> None:
    if _told(one):
        emit_json({"type": "payment", **_document(one)})


def _sentence(one: Reconciled) -> str:
    name = f"{one.subject_id}{f' ({one.merchant_reference})' if one.merchant_reference else ''}"
    if one.problems:
        return f"{name}: {one.problems[0].what}"
    if one.changed and one.before != one.after:
        return f"{name}: it was {one.before} and is {one.after} now."
    if one.changed:
        return f"{name}: something was learned, and it is {one.after} still."
    then = f", next at {moment(one.next_at)}" if one.next_at is not None else ""
    return f"{name}: nothing new, it is {one.after}{then}."


class _Progress:
    """Tells of progress: the counts while it goes on, and a line for each payment of which there is news."""

    def __init__(self, busy: Waiting, *, quiet: bool) -> None:
        self._busy = busy
        self._quiet = quiet
        self._count = 0
        self._changed = 0

    def __call__(self, one: Reconciled) -> None:
        self._count += 1
        self._changed += one.changed
        self._busy.tell(f"Asking: {self._count} looked at, {self._changed} changed")
        if (one.changed or one.problems) and not self._quiet:
            self._busy.line(_sentence(one))


def _show_one(one: Reconciled, *, as_json: bool) -> int:
    exit_code = Exit.OPEN if one.unknown or one.problems else Exit.DONE
    if as_json:
        emit_json({**_document(one), "exit_code": int(exit_code)})
        return exit_code
    out = console()
    style = "open" if exit_code is Exit.OPEN else "good"
    line(out, (one_line(_sentence(one), 600), style))
    for problem in one.problems[1:]:
        line(out, one_line(problem.what, 600))
    for why in one.why:
        line(out, f"Open: {one_line(why, 300)}.")
    if one.next_at is not None:
        line(out, f"Looked at next at {moment(one.next_at)}.")
    commands(out, [("The whole story", f"vextrus-pay explain {one.subject_id}")])
    return exit_code


def _show(report: ReconcileReport, since: datetime | None, *, as_json: bool) -> int:
    exit_code = Exit.DONE if report.complete and not report.still_unknown else Exit.OPEN
    if as_json:
        emit_json({**_report_document(report), "exit_code": int(exit_code)})
        return exit_code
    out = console()
    line(
        out,
        f"{report.looked_at} looked at, {report.changed} changed, ",
        (f"{report.still_unknown} still unknown", "open" if report.still_unknown else ""),
        ", ",
        (f"{report.failed} without an answer", "open" if report.failed else ""),
        f", {report.skipped} skipped, {report.put_off} put off.",
    )
    if report.unknown:
        unknown = [(cell(one.subject_id), cell("; ".join(one.why))) for one in report.unknown[:_SHOWN]]
        rows(out, ("Still unknown", prose("Why")), unknown)
        commands(out, [("The whole story", "vextrus-pay explain PAYMENT_ID")])
    for (tenant, gateway), why in report.left_out.items():
        line(out, f"Skipped: {tenant}, {gateway}: {one_line(why, 300)}")
    if since is not None:
        _show_since(out, report, since)
    return exit_code


def _show_since(out: "Console", report: ReconcileReport, since: datetime) -> None:
    line(
        out,
        f"{report.scanned} payments were read; asked about what was made or changed since {moment(since)}.",
    )
    if report.accepted_restored:
        line(out, ("Every question got an answer: this store is the one to go on with.", "good"))
    else:
        say(
            "Not every question got an answer, so nothing that moves money is sent from this store yet. Run it again; "
            "a tenant about whom nobody can ask any more is left out with --leave-out."
        )


def _document(one: Reconciled) -> dict[str, Any]:
    return {
        "tenant": one.tenant,
        "kind": one.subject_kind.value,
        "id": one.subject_id,
        "gateway": one.gateway,
        "merchant_reference": one.merchant_reference,
        "actions": [action.value for action in one.actions],
        "before": one.before,
        "after": one.after,
        "changed": one.changed,
        "unknown": list(one.unknown),
        "next_at": iso(one.next_at),
        "open": list(one.why),
        "problems": [{"code": p.code, "what": p.what, "skipped": p.skipped} for p in one.problems],
    }


def _report_document(report: ReconcileReport) -> dict[str, Any]:
    return {
        "looked_at": report.looked_at,
        "changed": report.changed,
        "still_unknown": report.still_unknown,
        "failed": report.failed,
        "skipped": report.skipped,
        "put_off": report.put_off,
        "scanned": report.scanned,
        "complete": report.complete,
        "accepted_restored": report.accepted_restored,
        "unknown": [_document(one) for one in report.unknown],
        "failures": [_document(one) for one in report.failures],
        "left_out": [
            {"tenant": tenant, "gateway": gateway, "what": what}
            for (tenant, gateway), what in report.left_out.items()
        ],
    }
