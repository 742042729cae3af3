"""`vextrus-pay completion`: the script with which a shell completes commands, options and their values."""

import os
import sys
from pathlib import Path
from typing import Final

import click
from click.shell_completion import ShellComplete, get_completion_class

from vextrus_payments.cli.exit_codes import Exit
from vextrus_payments.cli.helping import COMPLETION_VARIABLE, PROGRAM, Command
from vextrus_payments.cli.output import emit_json

SHELLS: Final = ("bash", "zsh", "fish")


@click.command(
    cls=Command,
    examples=(
        ('eval "$(vextrus-pay completion bash)"', "in ~/.bashrc (bash 4.4 or newer)"),
        ('eval "$(vextrus-pay completion zsh)"', "in ~/.zshrc, after compinit"),
        (
            "vextrus-pay completion fish > ~/.config/fish/completions/vextrus-pay.fish",
            "fish reads it when it is needed",
        ),
    ),
)
@click.argument("shell", type=click.Choice(SHELLS), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document: the shell and its script.")
def command(shell: str | None, as_json: bool) -> int:
    """Print the script that lets SHELL (bash, zsh, fish) complete commands, options, gateways and files.

    Without SHELL it is the one that SHELL in the environment names. Nothing is installed: your shell reads the script
    where you tell it to.
    """
    found = shell or _own_shell()
    if found is None:
        raise click.BadParameter(
            f"is missing, and the environment names none of them: give {', '.join(SHELLS)}.",
            param_hint="SHELL",
        )
    text = script(found)
    if as_json:
        emit_json({"shell": found, "script": text})
    else:
        sys.stdout.write(text)
    return Exit.DONE


def script(shell: str) -> str:
    """The shell's script. It calls `vextrus-pay` for each completion."""
    completes = get_completion_class(shell)
    assert completes is not None, "one of SHELLS"
    # click's own for bash would start one to ask for its version, and say on stderr what it thinks of it
    return ShellComplete.source(completes(click.Group(), {}, PROGRAM, COMPLETION_VARIABLE)).strip() + "\n"


def _own_shell() -> str | None:
    name = Path(os.environ.get("SHELL", "")).name
    return name if name in SHELLS else None
