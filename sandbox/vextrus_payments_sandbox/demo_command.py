"""`vextrus-pay demo`."""

import asyncio

import click

from vextrus_payments.cli.frame import error_document, error_line
from vextrus_payments.cli.output import emit_json, say
from vextrus_payments_sandbox.demo import run
from vextrus_payments_sandbox.demo_faults import PLAIN, SCRIPTS, Script
from vextrus_payments_sandbox.demo_report import document, exit_of, failed_document, judge, show


def _script(ctx: click.Context, parameter: click.Parameter, name: str | None) -> Script:
    if name is None:
        return PLAIN
    script = SCRIPTS.get(name.strip().lower().replace("_", "-"))
    if script is None:
        raise click.BadParameter(f"{name!r} is no fault; the faults are {', '.join(SCRIPTS)}.")
    return script


_FAULTS = "\n".join(f"  {name:<17} {script.about}" for name, script in SCRIPTS.items())


@click.command(
    epilog=f"\b\nFaults:\n{_FAULTS}",
    help="One bKash payment and a refund through a local sandbox, shown step by step.\n\n"
    "Starts the sandbox, opens a payment, walks the hosted page as a payer would, executes, refunds a part, hands "
    "every balanced entry to a ledger, and compares that ledger with the sandbox's own books. No real money, nothing "
    "left behind. Exit 0 only when both agree.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
@click.option(
    "--fault",
    "script",
    metavar="NAME",
    callback=_script,
    help="Let something go wrong on the way; the names are below.",
)
def command(as_json: bool, script: Script) -> int:
    """See `help` above."""
    record = asyncio.run(run(script))
    verdict = judge(record)
    if record.error is not None:
        say(f"Error: {error_line(record.error)}")
    if not as_json:
        show(record, verdict)
    elif record.error is not None:
        error = {**error_document(record.error), "exit_code": exit_of(record, verdict)}
        emit_json(failed_document(record, verdict, error))
    else:
        emit_json(document(record, verdict))
    return exit_of(record, verdict)
