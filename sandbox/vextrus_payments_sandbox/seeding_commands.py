"""`vextrus-pay sandbox seed` and `sandbox reset`: what a running sandbox holds."""

from pathlib import Path
from typing import Any, Final

import click

from vextrus_payments.cli.exit_codes import Exit
from vextrus_payments.cli.helping import Command
from vextrus_payments.cli.look import facts, hint, line
from vextrus_payments.cli.output import console, emit_json, say
from vextrus_payments.cli.params import FilePath
from vextrus_payments.errors import InvalidRequestError, NotSentError
from vextrus_payments_sandbox.environment import checked_url
from vextrus_payments_sandbox.seeding import Mistake, Scenario, ScenarioError, checked, read_yaml
from vextrus_payments_sandbox.seeding.reading import SIZE_MAX, Spot, UnreadableError, plain
from vextrus_payments_sandbox.serve import DEFAULT_PORT

_HERE: Final = f"http://127.0.0.1:{DEFAULT_PORT}"
_TIMEOUT_S: Final = 120.0


@click.command(
    cls=Command,
    examples=(
        (
            "vextrus-pay sandbox seed scenario.yaml --sandbox http://127.0.0.1:28600",
            "wallets, merchants and payments, in a sandbox that runs",
        ),
        (
            "vextrus-pay sandbox seed scenario.yaml --sandbox http://127.0.0.1:28600 --json",
            "for a script: of each payment its reference, its state, and the page to pay on",
        ),
    ),
)
@click.argument("file", type=FilePath(dir_okay=False, path_type=Path))
@click.option(
    "--sandbox", metavar="URL", default=_HERE, show_default=True, help="The sandbox that runs there."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def seed(file: Path, sandbox: str, as_json: bool) -> int:
    """Play a scenario in a running sandbox: its merchants, wallets, payments and faults.

    A file with mistakes is refused whole, each mistake named by its line and field. What a gateway refuses on the way
    (a blocked wallet, an order id used today) ends it there; what stands before it was done.
    """
    url = checked_url(sandbox)
    mistakes: tuple[Mistake, ...] = ()
    tree: Spot | None = None
    try:
        tree = tree_of(file)
        checked(tree)
    except ScenarioError as error:
        mistakes = error.mistakes
    if mistakes or tree is None:
        return tell_mistakes(file, mistakes, as_json=as_json)
    found = _asked(url, "seed", plain(tree))
    if as_json:
        emit_json(found)
        return Exit.DONE
    out = console()
    line(out, f"Seeded: {found['merchants']} merchants, {found['wallets']} wallets, {found['faults']} faults")
    for one in found["payments"]:
        rows = [("reference", one["reference"]), ("invoice", one["invoice"]), ("state", one["state"])]
        rows += [("pay at", one["page"])] if one["page"] else []
        out.print(facts([(name, str(value)) for name, value in (("gateway", one["gateway"]), *rows)]))
    return Exit.DONE


@click.command(
    cls=Command,
    examples=(
        ("vextrus-pay sandbox reset", "no payments, full wallets, no faults, the real time"),
        (
            "vextrus-pay sandbox reset --sandbox http://127.0.0.1:28600 --json",
            "for a script, between two tests",
        ),
    ),
)
@click.option(
    "--sandbox", metavar="URL", default=_HERE, show_default=True, help="The sandbox that runs there."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def reset(sandbox: str, as_json: bool) -> int:
    """Let a running sandbox start over; its state file, too.

    Tokens stay valid, merchants and the webhook's endpoint stay; nothing else does.
    """
    found = _asked(checked_url(sandbox), "reset", {})
    if as_json:
        emit_json(found)
    else:
        line(console(), ("The sandbox has started over.", "good"))
        hint(console(), f"Its time is {found['now']}.")
    return Exit.DONE


def tree_of(file: Path) -> Spot:
    """The tree of a scenario's file. Raises :class:`ScenarioError` for one that cannot be read."""
    problem, where = "", None
    try:
        with file.open("rb") as opened:
            raw = opened.read(4 * SIZE_MAX + 1)
        return read_yaml(raw.decode("utf-8"))
    except OSError as error:
        problem = error.strerror or type(error).__name__
    except UnicodeDecodeError:
        problem = "it is not in UTF-8"
    except UnreadableError as error:
        problem, where = str(error), error.line
    raise ScenarioError([Mistake("", problem, where)])


def scenario_of(file: Path) -> Scenario:
    """The scenario in a file. Raises :class:`ScenarioError`."""
    return checked(tree_of(file))


def tell_mistakes(file: Path, mistakes: tuple[Mistake, ...], *, as_json: bool) -> int:
    """Name every mistake of a scenario; nothing was done."""
    if as_json:
        told = [{"line": one.line, "field": one.field, "message": one.message} for one in mistakes]
        emit_json({"mistakes": told})
    if len(mistakes) == 1 and mistakes[0].line is None and not mistakes[0].field:
        say(f"Error: {file} is no scenario: {mistakes[0].message}. Nothing was done, and no money moved.")
        return Exit.USAGE
    for one in mistakes:
        say(f"Error: {file.name}, {one}")
    say("Nothing was done. Put it right and try again; docs/sandbox-state.md describes each field.")
    return Exit.USAGE


def _asked(url: str, name: str, body: Any) -> dict[str, Any]:
    """What the sandbox at `url` answers to an order.

    Raises:
        NotSentError: nobody answers there.
        InvalidRequestError: the sandbox refuses, or it is none, or one of another release.
    """
    import httpx

    answer: httpx.Response | None = None
    found: Any = None
    try:
        answer = httpx.post(f"{url}/_sandbox/{name}", json=body, trust_env=False, timeout=_TIMEOUT_S)
        found = answer.json()
    except (httpx.HTTPError, ValueError):
        pass
    if answer is None:
        raise NotSentError(
            f"Nobody answers at {url}.",
            code="no_sandbox",
            next_step="Is that sandbox still running? Start one: vextrus-pay sandbox serve",
        )
    if answer.status_code == 200 and isinstance(found, dict):
        return found
    told = found.get("error") if isinstance(found, dict) else None
    raise InvalidRequestError(
        f"The sandbox at {url} refused: {told}."
        if isinstance(told, str)
        else f"Whoever answers at {url} is no sandbox, or one of another release.",
        field="--sandbox",
        rule="what the sandbox takes",
        code="sandbox_refused",
    )
