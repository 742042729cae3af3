"""The fault dial in words: what can be struck, what strikes it, and when."""

from collections.abc import Mapping
from typing import Any, Final

from vextrus_payments_sandbox import magic
from vextrus_payments_sandbox.faults import ALWAYS, KINDS, PAGE, WEBHOOK, Kind
from vextrus_payments_sandbox.world import SandboxGateway

UNTOUCHED: Final[Mapping[str, str]] = {
    "call": "bkash execute",
    "fault": "drop_after",
    "times": "1",
    "chance": "",
    "seed": "",
    "seconds": "",
    "code": "",
    "status": "",
}
"""What the form of the dial holds before anybody has typed."""
_PHASES: Final = (
    ("before", "Before the work: nothing happens, and the caller cannot know"),
    ("after", "After the work: it happened, and the caller does not learn it"),
    (WEBHOOK, "How the payment is announced"),
    (PAGE, "What the payer's page comes to"),
)


def phases() -> list[tuple[str, list[Kind]]]:
    """Every kind of fault, by when it strikes."""
    return [(text, [kind for kind in KINDS.values() if kind.phase == phase]) for phase, text in _PHASES]


def calls(gateway: SandboxGateway) -> list[tuple[str, str]]:
    """The calls of one gateway that a fault can be ordered for."""
    sends = any(kind.phase == WEBHOOK and kind.meets(gateway.name) for kind in KINDS.values())
    named = ["*", *gateway.operations, *([WEBHOOK] if sends else []), PAGE]
    return [(f"{gateway.name} {name}", f"{gateway.name}: {_call_name(name)}") for name in named]


def _call_name(operation: str) -> str:
    return {"*": "any call", WEBHOOK: "webhooks", PAGE: "what the payer's page comes to"}.get(
        operation, operation
    )


def strikes(plan: Mapping[str, Any]) -> str:
    """When a plan strikes, in words."""
    times = plan["times"]
    often = "every call" if times == ALWAYS else "the next call" if times == 1 else f"the next {times} calls"
    if plan["chance"] < 1:
        often = f"{often}, each with chance {plan['chance']:g} (seed {plan['seed']})"
    return often + (f"; struck {plan['struck']} so far" if plan["struck"] else "")


def magic_table() -> list[tuple[str, str]]:
    """The magic amounts in words: every outcome, and for faults the rule."""
    outcomes = [
        (
            ", wallet ".join(
                (
                    magic.example_amount(magic.OUTCOME, outcome.number),
                    magic.example_wallet(magic.OUTCOME, outcome.number),
                )
            ),
            "; ".join(f"{gateway}: {about}" for gateway, about in outcome.about.items()),
        )
        for outcome in magic.OUTCOMES.values()
    ]
    stages = [
        (f"{stage.taka}.NN", f"the fault with the number NN strikes {stage.about}")
        for stage in magic.STAGES.values()
    ]
    return [*outcomes, *stages]
