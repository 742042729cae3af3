"""The tables of docs/sandbox-faults.md, from the sandbox's own: kinds of faults, magic amounts, wallets."""

from typing import Final

from vextrus_payments_sandbox import building, magic
from vextrus_payments_sandbox.fault_kinds import KINDS, PAGE, WEBHOOK, Kind, operations_struck
from vextrus_payments_sandbox.gateways import FACTS
from vextrus_payments_sandbox.serve import played
from vextrus_payments_sandbox.wallets import WALLETS

GATEWAYS: Final = {name: (FACTS[name].title, gateway.operations) for name, gateway in played().items()}
_TITLES: Final = " | ".join(title for title, _ in GATEWAYS.values())
_RULES: Final = "---|" * len(GATEWAYS)


def kinds() -> str:
    """Every fault: its number, what it does, what it can strike."""
    lines = [f"| no. | fault | what happens | seconds | {_TITLES} |", f"|---:|---|---|---:|{_RULES}"]
    for kind in KINDS.values():
        struck = [_struck(kind, gateway) for gateway in GATEWAYS]
        seconds = f"{kind.seconds:g}" if kind.seconds else ""
        lines.append(
            f"| {kind.number:02d} | `{kind.name}` | {kind.about} | {seconds} | {' | '.join(struck)} |"
        )
    return "\n".join(lines) + "\n"


def _struck(kind: Kind, gateway: str) -> str:
    operations = GATEWAYS[gateway][1]
    struck = operations_struck(kind, gateway, operations)
    if not struck:
        return "no"
    if struck == tuple(operations):
        return "any call"
    apart: dict[tuple[str, ...], str] = {(WEBHOOK,): "announcements", (PAGE,): "payers"}
    return apart.get(struck) or ", ".join(f"`{name}`" for name in struck)


def stages() -> str:
    """Which taka strike which call."""
    lines = [f"| amount | wallet | strikes | {_TITLES} |", f"|---|---|---|{_RULES}"]
    for taka in sorted((*magic.STAGES, magic.OUTCOME)):
        wallet = "" if taka == magic.OPENING else f"`{magic.WALLET_PREFIX}{taka}NN`"
        if taka == magic.OUTCOME:
            below = " | ".join("see below" for _ in GATEWAYS)
            lines.append(f"| `{taka}.NN` | {wallet} | what it comes to | {below} |")
            continue
        stage = magic.STAGES[taka]
        struck = [
            ", ".join(f"`{name}`" for name in stage.operations.get(gateway, ())) for gateway in GATEWAYS
        ]
        lines.append(
            f"| `{taka}.NN` | {wallet} | {stage.about} | {' | '.join(one or 'no' for one in struck)} |"
        )
    return "\n".join(lines) + "\n"


def outcomes() -> str:
    """What a payment comes to."""
    lines = [f"| amount | wallet | outcome | {_TITLES} |", f"|---|---|---|{_RULES}"]
    for outcome in magic.OUTCOMES.values():
        told = [outcome.about.get(gateway, "as ever") for gateway in GATEWAYS]
        amount, wallet = (
            make(magic.OUTCOME, outcome.number) for make in (magic.example_amount, magic.example_wallet)
        )
        lines.append(f"| `{amount}` | `{wallet}` | `{outcome.name}` | {' | '.join(told)} |")
    return "\n".join(lines) + "\n"


def wallets() -> str:
    """The test wallets that stand there from the start."""
    lines = ["| wallet | PIN | what happens |", "|---|---|---|"]
    for wallet in (*WALLETS, *building.wallets()):
        pins = " or ".join(f"`{pin}`" for pin in sorted(wallet.pins)) or "none is right"
        lines.append(f"| `{wallet.number}` | {pins} | {wallet.note or 'works'} |")
    return "\n".join(lines) + "\n"
