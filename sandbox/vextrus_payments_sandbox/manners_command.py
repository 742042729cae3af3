"""`vextrus-pay sandbox manners`: what an acceptance test would object to in the calls of a running sandbox."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from vextrus_payments.cli.exit_codes import Exit
from vextrus_payments.cli.helping import Command
from vextrus_payments.cli.look import cell, facts, hint, line, nothing
from vextrus_payments.cli.output import console, emit_json
from vextrus_payments.errors import InvalidRequestError, NotSentError
from vextrus_payments_sandbox.environment import checked_url
from vextrus_payments_sandbox.manners import UNSEEN
from vextrus_payments_sandbox.serve import DEFAULT_PORT

_HERE: Final = f"http://127.0.0.1:{DEFAULT_PORT}"
_TIMEOUT_S: Final = 30.0
_FIELDS: Final = frozenset({"gateway", "rule", "reference", "why", "todo"})


@click.command(
    cls=Command,
    examples=(
        (
            "vextrus-pay sandbox manners --sandbox http://127.0.0.1:28600",
            "after your own tests: what was missed, and why",
        ),
        (
            "vextrus-pay sandbox manners --sandbox http://127.0.0.1:28600 --json",
            "for a build: exit code 1 when something was missed, 3 when something is still to be done",
        ),
    ),
)
@click.option(
    "--sandbox", metavar="URL", default=_HERE, show_default=True, help="The sandbox that runs there."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def manners(sandbox: str, as_json: bool) -> int:
    """Show what a gateway's acceptance test would object to in the calls that the sandbox has seen.

    Exit code 0: nothing. 1: something was missed. 3: nothing yet, but a look-up after a lost answer is still to be
    made; it is missed ten minutes after that answer, by the sandbox's clock, which POST /_sandbox/clock moves on.
    """
    notes = _asked(checked_url(sandbox))
    missed, owed = notes["manners"], notes["owed"]
    if as_json:
        unseen = [{"gateway": one.gateway, "rule": one.rule, "todo": one.todo} for one in UNSEEN]
        emit_json({"missed": missed, "owed": owed, "unseen": unseen})
    else:
        _show(missed, owed)
    return Exit.DECLINED if missed else Exit.OPEN if owed else Exit.DONE


def _asked(url: str) -> dict[str, list[dict[str, Any]]]:
    """The notes of the sandbox at `url`.

    Raises:
        NotSentError: nobody answers there.
        InvalidRequestError: who answers is no sandbox, or one of another release.
    """
    import httpx

    found: Any = None
    reached = False
    try:
        answer = httpx.get(f"{url}/_sandbox/grants", trust_env=False, timeout=_TIMEOUT_S)
        reached = True
        found = answer.raise_for_status().json()
    except (httpx.HTTPError, ValueError):
        pass
    if not reached:
        raise NotSentError(
            f"Nobody answers at {url}.",
            code="no_sandbox",
            next_step="Is that sandbox still running? Start one: vextrus-pay sandbox serve",
        )
    if not _is_right(found):
        rule = "the address of a sandbox of this release"
        raise InvalidRequestError(
            f"Whoever answers at {url} tells no manners: it is no sandbox, or one of another release.",
            field="--sandbox",
            rule=rule,
            code="no_sandbox",
        )
    return {name: found[name] for name in ("manners", "owed")}


def _is_right(found: Any) -> bool:
    if not isinstance(found, dict):
        return False
    for name, moment in (("manners", "at"), ("owed", "due_at")):
        told = found.get(name)
        if not isinstance(told, list):
            return False
        for one in told:
            if not isinstance(one, dict) or not one.keys() >= _FIELDS | {moment}:
                return False
    return True


def _show(missed: Sequence[Mapping[str, Any]], owed: Sequence[Mapping[str, Any]]) -> None:
    out = console()
    if not missed and not owed:
        nothing(out, "Nothing to object to, in the calls that this sandbox has seen.")
    if missed:
        line(out, (f"Missed: {len(missed)}", "bad"))
        _list("at", missed)
    if owed:
        line(out, (f"Still to be done: {len(owed)}", "open"))
        _list("due_at", owed)
    hint(out, "What no sandbox can see:")
    for one in UNSEEN:
        hint(out, f"  {one.gateway}: {one.rule}. {one.todo}")


def _list(moment: str, found: Sequence[Mapping[str, Any]]) -> None:
    from rich.padding import Padding

    out = console()
    for one in found:
        style = "bad" if moment == "at" else "open"
        when = str(one[moment])[:19].replace("T", " ")
        line(out, cell(one["gateway"]), ": ", cell(one["rule"], style))
        about = [
            ("when" if moment == "at" else "until", f"{when} UTC"),
            ("payment", one["reference"]),
            ("why", one["why"]),
            ("what to do", one["todo"]),
        ]
        out.print(Padding(facts([(name, value) for name, value in about if value]), (0, 0, 1, 2)))
