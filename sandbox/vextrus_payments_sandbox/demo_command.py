"""`vextrus-pay demo`."""

import asyncio

import click

from vextrus_payments.cli.frame import error_document, error_line
from vextrus_payments.cli.helping import Command
from vextrus_payments.cli.output import emit_json, say
from vextrus_payments.cli.waiting import Waiting
from vextrus_payments_sandbox.demo import run
from vextrus_payments_sandbox.demo_faults import PLAYS
from vextrus_payments_sandbox.demo_report import document, exit_of, failed_document, judge, show
from vextrus_payments_sandbox.demo_script import Script
from vextrus_payments_sandbox.gateways import DEFAULT


def _script(ctx: click.Context, parameter: click.Parameter, name: str | None) -> Script:
    scripts = PLAYS[ctx.params["gateway"]]  # eager, so it has been read by now
    script = scripts.get((name or "").strip().lower().replace("_", "-"))
    if script is None or (name is not None and not script.name):
        known = ", ".join(one for one in scripts if one)
        raise click.BadParameter(f"{name!r} is no fault; the faults are {known}.")
    return script


def _fault_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    return [
        name for name in PLAYS[ctx.params.get("gateway", DEFAULT)] if name and name.startswith(incomplete)
    ]


def _faults(gateway: str) -> str:
    title = "Faults" if gateway == DEFAULT else f"Faults with --gateway {gateway}"
    lines = [f"  {name:<17} {script.about}" for name, script in PLAYS[gateway].items() if name]
    return "\n".join([f"\b\n{title}:", *lines])


@click.command(
    cls=Command,
    examples=(
        ("vextrus-pay demo", "one bKash payment and a refund, with the books compared at the end"),
        ("vextrus-pay demo --fault lost-answer", "the same while the answer to the execute gets lost"),
        ("vextrus-pay demo --gateway nagad --json", "through Nagad; one document for a script"),
    ),
    epilog="\n\n".join(_faults(gateway) for gateway in PLAYS),
    help="One payment and a refund through a local sandbox, shown step by step.\n\n"
    "Starts the sandbox, opens a payment, walks the hosted page as a payer would, executes, refunds a part, hands "
    "every balanced entry to a ledger, and compares that ledger with the sandbox's own books. No real money, nothing "
    "left behind. Exit 0 only when both agree.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
@click.option(
    "--gateway",
    type=click.Choice(list(PLAYS)),
    default=DEFAULT,
    show_default=True,
    is_eager=True,
    help="Through which gateway.",
)
@click.option(
    "--fault",
    "script",
    metavar="NAME",
    callback=_script,
    shell_complete=_fault_names,
    help="Let something go wrong on the way; the names are below.",
)
def command(as_json: bool, gateway: str, script: Script) -> int:
    """See `help` above."""
    with Waiting("Starting a sandbox and a shop", quiet=as_json) as busy:
        record = asyncio.run(run(script, on_step=busy.step))
    verdict = judge(record)
    if record.error is not None:
        say(f"Error: {error_line(record.error)}")
    if as_json and record.error is not None:
        error = {**error_document(record.error), "exit_code": exit_of(record, verdict)}
        emit_json(failed_document(record, verdict, error))
    elif as_json:
        emit_json(document(record, verdict))
    elif record.error is None or record.steps:  # where nothing had begun there is nothing to show
        show(record, verdict)
    return exit_of(record, verdict)
