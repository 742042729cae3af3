"""Writes .env.example from the configuration models: `make env-example` (`--print` shows it instead).

Each gateway's `config.py` says what its variables are for; a test keeps the file as current as the models.
"""

import importlib
import pkgutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import vextrus_payments.gateways
from vextrus_payments.config import EnvRow, GatewayConfig

TARGET = Path(__file__).resolve().parent.parent / ".env.example"
_HEAD = """\
# Settings of vextrus_payments, as the environment variables that `from_env()` and the command line read.
# Written by `make env-example` from the configuration models; a copy named .env is never committed.
#
# Every variable has a second form, NAME_FILE: the path of a UTF-8 file that holds the value, so that a secret need
# not stand in the environment. One form or the other, never both. An empty variable counts as not set.
# No default is a credential: the sandbox prints its own, fake ones (`vextrus-pay sandbox env`).
"""
_COMMAND_LINE = (
    EnvRow(
        name="VEXTRUS_PAY_HOME",
        description="Folder of the command line's own state (payments, tokens); readable by its owner only",
        default=None,
        secret=False,
        required=False,
    ),
)


def config_models() -> list[type[GatewayConfig]]:
    """The configuration model of each gateway, in the order of their names."""
    root = vextrus_payments.gateways.__name__
    packages = sorted(
        found.name
        for found in pkgutil.walk_packages(vextrus_payments.gateways.__path__, f"{root}.")
        if found.ispkg
    )
    models: list[type[GatewayConfig]] = []
    for name in packages:
        module = importlib.import_module(f"{name}.config")
        models += [
            thing
            for thing in vars(module).values()
            if isinstance(thing, type)
            and issubclass(thing, GatewayConfig)
            and thing.__module__ == module.__name__
        ]
    return models


def example() -> str:
    """The whole file."""
    parts, named = [_HEAD], set()
    for model in config_models():
        title = " ".join(model.__module__.split(".")[2:-1])
        # Two products of one gateway may read the same variable: it is told where it comes first.
        rows = [row for row in model.env_rows() if row.name not in named]
        named |= {row.name for row in rows}
        parts.append(_section(title, iter(rows)))
    parts.append(_section("vextrus-pay", iter(_COMMAND_LINE)))
    return "\n".join(parts)


def _section(title: str, rows: Iterator[EnvRow]) -> str:
    lines = [f"# --- {title} " + "-" * (110 - len(title))]
    for row in rows:
        need = "Required." if row.required else ""
        told = " ".join(filter(None, [f"{row.description}.".replace("..", "."), need]))
        lines += ["", *textwrap.wrap(told, 110, initial_indent="# ", subsequent_indent="# ")]
        lines.append(f"{'' if row.required else '#'}{row.name}={row.default or ''}")
        if row.secret:
            lines.append(f"#{row.name}_FILE=")
    return "\n".join(lines) + "\n"


def main() -> int:
    if "--print" in sys.argv[1:]:
        print(example(), end="")
    else:
        TARGET.write_text(example(), encoding="utf-8", newline="\n")
        print(f"{TARGET.name}: {example().count('=')} lines with a variable")
    return 0


if __name__ == "__main__":
    sys.exit(main())
