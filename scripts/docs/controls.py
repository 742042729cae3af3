"""Tables of the sandbox's pages that come from its own: its routes, and what a payer's page can come to."""

from vextrus_payments_sandbox.fault_kinds import KINDS, PAGE, operations_struck
from vextrus_payments_sandbox.openapi import OPERATIONS


def controls() -> str:
    """Every route below /_sandbox, and what it does."""
    lines = ["| call | does |", "|---|---|"]
    lines += [
        f"| `{method} /_sandbox/{path}` | {told.summary} |" for (method, path), told in OPERATIONS.items()
    ]
    return "\n".join(lines) + "\n"


def pages_of(gateway: str) -> str:
    """What can be ordered for the next payer's page at a gateway, without a wallet of its own."""
    lines = ["| fault | what the page comes to |", "|---|---|"]
    for kind in KINDS.values():
        if PAGE in operations_struck(kind, gateway, ()):
            lines.append(f"| `{kind.name}` | {kind.about} |")
    return "\n".join(lines) + "\n"
