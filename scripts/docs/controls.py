"""The table of the sandbox's own routes in docs/sandbox.md, from its OpenAPI document."""

from vextrus_payments_sandbox.openapi import OPERATIONS


def controls() -> str:
    """Every route below /_sandbox, and what it does."""
    lines = ["| call | does |", "|---|---|"]
    lines += [
        f"| `{method} /_sandbox/{path}` | {told.summary} |" for (method, path), told in OPERATIONS.items()
    ]
    return "\n".join(lines) + "\n"
