"""`vextrus-pay sandbox`: run the sandbox, or print the environment variables that lead a client to it."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from vextrus_payments.cli.exit_codes import Exit
from vextrus_payments.cli.helping import Group
from vextrus_payments.cli.look import commands, facts, panel
from vextrus_payments.cli.output import console, emit_json, say
from vextrus_payments.cli.params import PORT, FilePath, WholeNumber
from vextrus_payments_sandbox.environment import SHELLS, all_variables, checked_url, keys_refusal, script
from vextrus_payments_sandbox.listening import (
    LOOPBACK,
    NoSuchHostError,
    NotLoopbackError,
    Place,
    PortTakenError,
)
from vextrus_payments_sandbox.manners_command import manners
from vextrus_payments_sandbox.seeding import Mistake, ScenarioError
from vextrus_payments_sandbox.seeding_commands import reset, scenario_of, tell_mistakes
from vextrus_payments_sandbox.seeding_commands import seed as seed_command
from vextrus_payments_sandbox.serve import DEFAULT_PORT, run
from vextrus_payments_sandbox.standing import StandingClock, read_moment
from vextrus_payments_sandbox.state import StateFileError
from vextrus_payments_sandbox.world import MERCHANTS_MAX, KeysError, SandboxError

_DEFAULT_SHELL = "powershell" if sys.platform == "win32" else "sh"


@click.group(
    cls=Group,
    invoke_without_command=True,
    examples=(
        (
            "vextrus-pay sandbox serve",
            "until Ctrl+C: it shows its address, the test customer, and what to do next",
        ),
        ("vextrus-pay sandbox env --url http://127.0.0.1:28600", "what your own code needs to reach it"),
    ),
)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Run a local sandbox, or say how to reach one.

    The sandbox behaves like the gateways, their rules and faults included, moves no real money, and answers to this
    machine only, unless it is told to let others in.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@command.command(
    examples=(
        ("vextrus-pay sandbox serve", "on http://127.0.0.1:28600, until Ctrl+C"),
        ("vextrus-pay sandbox serve --port 0 --json", "for a script: one line once connections are accepted"),
        (
            "vextrus-pay sandbox serve --webhook-url http://127.0.0.1:8000/payments/bkash/webhook --strict-manners",
            "announce payments to your shop, and be as strict as the gateways are",
        ),
        (
            "vextrus-pay sandbox serve --state sandbox.db",
            "keep payments, wallets and books for the next start",
        ),
        (
            "vextrus-pay sandbox serve --seed-file scenario.yaml --seed 1 --clock 2026-01-31T12:00:00+06:00",
            "the same payments, ids and answers each time",
        ),
        (
            "vextrus-pay sandbox serve --host 0.0.0.0 --allow-remote",
            "for a phone or a colleague: everybody on the network can do everything with it",
        ),
    ),
)
@click.option(
    "--port",
    type=PORT,
    default=DEFAULT_PORT,
    show_default=True,
    metavar="PORT",
    help="At which port to listen; 0 takes any free port.",
)
@click.option(
    "--host",
    default=LOOPBACK,
    show_default=True,
    metavar="ADDRESS",
    help="At which address of this machine to listen; other machines reach some, so those need --allow-remote.",
)
@click.option(
    "--allow-remote",
    is_flag=True,
    help="Let --host be an address that others reach: whoever does can do everything, without a password.",
)
@click.option(
    "--state",
    type=FilePath(path_type=Path),
    metavar="FILE",
    help="Keep everything in this file (SQLite), and go on from it at the next start.",
)
@click.option(
    "--seed-file",
    type=FilePath(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Begin with this scenario (YAML); not again where --state has something already.",
)
@click.option(
    "--seed",
    type=WholeNumber(0, 999_999_999),
    metavar="N",
    help="Make every id repeat from run to run; with --clock every answer does.",
)
@click.option(
    "--clock",
    metavar="TIME",
    help="Let time stand still at this moment (2026-01-31T12:00:00+06:00) until POST /_sandbox/clock moves it.",
)
@click.option(
    "--merchants",
    type=WholeNumber(1, MERCHANTS_MAX),
    default=1,
    show_default=True,
    metavar="N",
    help="How many merchants each gateway has, each with credentials and an account of its own.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line once connections are accepted.")
@click.option(
    "--strict-manners",
    is_flag=True,
    help="Enforce what gateways demand of callers: two token grants an hour, each invoice number once.",
)
@click.option(
    "--no-magic",
    is_flag=True,
    help="Let amounts such as 4002.06 and wallets such as 01800400206 be like any other: they bring no fault.",
)
@click.option(
    "--webhook-url",
    metavar="URL",
    help="Announce payments to this webhook address on this machine, once it has confirmed that it wants them.",
)
def serve(
    port: int,
    host: str,
    allow_remote: bool,
    as_json: bool,
    strict_manners: bool,
    no_magic: bool,
    webhook_url: str | None,
    state: Path | None,
    seed_file: Path | None,
    seed: int | None,
    clock: str | None,
    merchants: int,
) -> int:
    """Run the sandbox until Ctrl+C (or SIGTERM)."""
    standing = None if clock is None else _standing(clock)
    mistakes: tuple[Mistake, ...] = ()
    problem: tuple[str, str] | None = None
    unkept: KeysError | None = None
    try:
        run(
            port,
            _announce(emit_json if as_json else _welcome, host, allow_remote=allow_remote),
            host=host,
            allow_remote=allow_remote,
            clock=standing,
            seed=seed,
            strict_manners=strict_manners,
            magic=not no_magic,
            webhook_url=webhook_url,
            merchants=merchants,
            state=state,
            scenario=None if seed_file is None else scenario_of(seed_file),
        )
    except NotLoopbackError:
        problem = (_let_in(host), "--host")
    except NoSuchHostError as error:
        problem = (f"{str(error)[:1].upper()}{str(error)[1:]}. Nothing listens now.", "--host")
    except PortTakenError as error:
        problem = (f"{error}. Stop what listens there, or take --port 0.", "--port")
    except KeysError as error:
        unkept = error
    except StateFileError as error:
        problem = (f"{error}.", "--state")
    except ScenarioError as error:
        mistakes = error.mistakes
    except SandboxError as error:
        problem = (str(error), "--webhook-url")
    if mistakes and seed_file is not None:
        return tell_mistakes(seed_file, mistakes, as_json=False)
    if problem is not None:
        words, option = problem
        raise click.BadParameter(words, param_hint=option)
    if unkept is not None:
        raise keys_refusal(unkept)
    return Exit.DONE


def _let_in(host: str) -> str:
    return (
        f"{host!r} is no loopback address, so others may reach it. The sandbox asks nobody for a password: anybody on"
        " the network could read its payments, move its play money, and have it send webhooks to any address on this"
        " machine. Add --allow-remote if they may; else leave --host out. Nothing listens now."
    )


def _announce(
    tell: Callable[[Mapping[str, Any]], None], host: str, *, allow_remote: bool
) -> Callable[[Mapping[str, Any]], None]:
    """`tell`, after a warning where others can reach the sandbox."""

    def announce(info: Mapping[str, Any]) -> None:
        if Place.of(host, allow_remote=allow_remote).is_remote:
            say(
                f"warning: others on the network can reach this sandbox at {host}: whoever does can read it, move its"
                " play money, and have it send webhooks to this machine's own addresses. Stop it when you are done."
            )
        tell(info)

    return announce


def _standing(text: str) -> StandingClock:
    problem = ""
    try:
        return StandingClock(read_moment(text))
    except ValueError as error:
        problem = str(error)
    raise click.BadParameter(f"{problem}.", param_hint="--clock")


@command.command(
    examples=(
        ('eval "$(vextrus-pay sandbox env --url http://127.0.0.1:28600 --shell sh)"', "in a POSIX shell"),
        (
            "vextrus-pay sandbox env --url http://127.0.0.1:28600 --shell powershell | Invoke-Expression",
            "in PowerShell",
        ),
        ("vextrus-pay sandbox env --url http://127.0.0.1:28600 --shell dotenv > .env", "for a .env file"),
    ),
)
@click.option(
    "--url", "--sandbox", "url", required=True, help="The sandbox's address, as `sandbox serve` shows it."
)
@click.option(
    "--shell",
    type=click.Choice(SHELLS),
    default=_DEFAULT_SHELL,
    show_default=True,
    help="For which shell; dotenv is for a .env file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead: variable -> value.")
def env(url: str, shell: str, as_json: bool) -> int:
    """Print the environment variables that lead a client to a sandbox."""
    named = all_variables(checked_url(url, field="--url"))
    if as_json:
        emit_json(named)
        return Exit.DONE
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if shell != "powershell" and reconfigure is not None:
        reconfigure(newline="\n")  # a carriage return would become part of each value in a POSIX shell
    sys.stdout.write(script(named, shell))
    return Exit.DONE


command.add_command(manners)
command.add_command(reset)
command.add_command(seed_command)


def _welcome(info: Mapping[str, Any]) -> None:
    url = info["url"]
    customer = "   ".join(f"{name} {info['customer'][name.lower()]}" for name in ("wallet", "OTP", "PIN"))
    rows = [
        ("Open it", url),
        ("Test customer", customer),
        *((f"{name} API", gateway["base_url"]) for name, gateway in info["gateways"].items()),
    ]
    out = console()
    out.print(panel(facts(rows), "Payment sandbox: no real money"))
    pay = f"vextrus-pay pay bkash --amount 100 --reference INV-1 --sandbox {url}"
    commands(out, [("Pay once", pay), ("Your own code", _env_hint(url)), ("Stop it", "Ctrl+C")])
    out.file.flush()


def _env_hint(url: str) -> str:
    ask = f"vextrus-pay sandbox env --url {url}"
    return f"{ask} | Invoke-Expression" if sys.platform == "win32" else f'eval "$({ask})"'
