"""`vextrus-pay`: test payments, refunds and a local sandbox from the command line.

This file imports nothing but the standard library, so that a bare install (without the extra that brings click
and rich) can say what is missing.
"""

import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec

__all__ = ["main"]

_NEEDS = ("click", "rich")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `vextrus-pay` with these arguments (default: the process's own) and return its exit code.

    The codes are those of `vextrus_payments.cli.exit_codes`. Never raises but for a bug of the interpreter's size.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    absent = [name for name in _NEEDS if not _is_installed(name)]
    if absent:
        return _say_what_is_missing(absent, as_json="--json" in arguments)
    try:
        from vextrus_payments.cli.frame import run

        return run(arguments)
    except KeyboardInterrupt:
        return 130  # so early that nothing had begun, or a second time, while the first was being answered


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _say_what_is_missing(absent: list[str], *, as_json: bool) -> int:
    what = f"vextrus-pay needs {' and '.join(absent)}, which the bare package does not bring."
    next_step = 'Install them: pip install "vextrus-payments[cli]"'
    if as_json:
        error = {"type": "MissingExtraError", "code": "missing_extra", "effect": "none"}
        error |= {"what": what, "next_step": next_step}
        sys.stdout.write(json.dumps({"type": "error", "error": {**error, "exit_code": 2}}) + "\n")
    sys.stderr.write(f"Error: {what} No money moved. {next_step}\n")
    return 2
