"""Magic amounts and wallets: how a payment brings its own fault or outcome, with no header and no order.

One rule makes them all. The taka name the stage that is struck and the paisa name what strikes it:

    4002.06   stage 4002 (the call that takes the money), kind number 6 (``drop_after``)
    4003.11   stage 4003 (what the payer's page comes to), outcome number 11 (``insufficient_balance``)

The wallet ``01800`` + stage + number does the same to every payment that it pays: ``01800400206``. A wallet is known
only once the payer has named it, so none strikes stage 4001, the call that opens the payment.

A fault strikes one call of its stage for each payment, so that the next try goes through; where there is no payment
yet (stage 4001), it strikes the first such call and every other one after it. A header and an order ahead go first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from vextrus_payments_sandbox.fault_kinds import BY_NUMBER, Fault, Kind, parse_fault
from vextrus_payments_sandbox.gateway_facts import PAGE_PREFIX
from vextrus_payments_sandbox.gateways import ALL_ENDINGS, FACTS
from vextrus_payments_sandbox.world import MAGIC_WALLET

WALLET_PREFIX: Final = "01800"
STRUCK_MAX: Final = 100_000
"""Of how many payments it is remembered that they were struck; the oldest are forgotten."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The payment that a call is about."""

    reference: str
    """The gateway's reference; empty while there is none."""
    amount_minor: int
    wallet: str = ""
    """The payer's wallet; empty while nobody has named one."""
    outcome: str = ""
    """The name of the outcome that was ordered ahead for it."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of a payment's life that a fault can strike, and by which operations each gateway walks it."""

    taka: int
    about: str
    operations: Mapping[str, tuple[str, ...]]


OPENING: Final = 4001
OUTCOME: Final = 4003
PAYOUT: Final = 4009
"""No payment walks it: the amount, or the receiving wallet, of a payout does."""


def _walked(stage: int) -> dict[str, tuple[str, ...]]:
    return {name: facts.stages[stage] for name, facts in FACTS.items() if stage in facts.stages}


STAGES: Final[Mapping[int, Stage]] = {
    stage.taka: stage
    for stage in (
        Stage(OPENING, "the call that names the amount", _walked(OPENING)),
        Stage(4002, "the call that takes the money", _walked(4002)),
        Stage(4004, "the look-up", _walked(4004)),
        Stage(4005, "the refund", _walked(4005)),
        Stage(4006, "the look-up of refunds", _walked(4006)),
        Stage(4007, "capture and void", _walked(4007)),
        Stage(4008, "the webhook", _walked(4008)),
        Stage(PAYOUT, "the payout", _walked(PAYOUT)),
    )
}
"""Every stage that faults strike; between them, 4003 is what the payer's page comes to (:data:`OUTCOMES`)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a payment ends that the payer himself did everything right for."""

    number: int
    name: str
    about: Mapping[str, str]
    """Of each gateway that knows it, what happens there."""
    fault: str = ""
    """The fault that plays it at the gateways whose merchants take the money by a call."""


OUTCOMES: Final[Mapping[int, Outcome]] = {
    number: Outcome(number, ending.name, about, ending.fault)
    for number, ending in sorted(ALL_ENDINGS.items())
    if (
        about := {
            one.name: one.outcomes[ending.name] for one in FACTS.values() if ending.name in one.outcomes
        }
    )
}
"""What stage 4003 can come to."""


def outcome_of(gateway: str, amount_minor: int, wallet: str) -> Outcome | None:
    """What a payment of this amount from this wallet comes to; None for one that goes as it goes."""
    for stage, number in _marks(amount_minor, wallet):
        outcome = OUTCOMES.get(number) if stage == OUTCOME else None
        if outcome is not None and gateway in outcome.about:
            return outcome
    return None


def fault_of(gateway: str, operation: str, subject: Subject) -> Fault | None:
    """The fault that this payment brings to this operation; None for a call that it leaves alone."""
    ordered = next((one for one in OUTCOMES.values() if one.name == subject.outcome), None)
    outcome = ordered or outcome_of(gateway, subject.amount_minor, subject.wallet)
    if outcome is not None and outcome.fault and operation in STAGES[4002].operations.get(gateway, ()):
        return parse_fault(outcome.fault, gateway, operation)
    for taka, number in _marks(subject.amount_minor, subject.wallet):
        kind = BY_NUMBER.get(number)
        if kind is not None and strikes(taka, gateway, kind, operation):
            return parse_fault(kind.name, gateway)
    return None


def announced(gateway: str, amount_minor: int) -> str:
    """What a payment of this amount brings by itself, as a sentence for people; empty for an amount like any other."""
    taka, number = divmod(amount_minor, 100)
    if taka == OUTCOME:
        outcome = OUTCOMES.get(number)
        about = "" if outcome is None else outcome.about.get(gateway, "")
        return f"{outcome.name}: {about}" if outcome is not None and about else ""
    stage, kind = STAGES.get(taka), BY_NUMBER.get(number)
    if stage is None or kind is None or taka == PAYOUT:
        return ""
    struck = [one for one in stage.operations.get(gateway, ()) if strikes(taka, gateway, kind, one)]
    return f"{kind.name} strikes {' and '.join(struck)}" if struck else ""


def ordered_outcome(fault: Fault | None) -> str:
    """The name of the outcome that an order for a payer's page asks for; empty for no order."""
    return "" if fault is None else fault.name.removeprefix(PAGE_PREFIX)


def strikes(taka: int, gateway: str, kind: Kind, operation: str) -> bool:
    """Whether the amount ``taka.NN`` with this kind's number strikes this operation."""
    stage = STAGES.get(taka)
    return (
        stage is not None
        and operation in stage.operations.get(gateway, ())
        and kind.can_strike(gateway, operation)
    )


def as_json() -> dict[str, Any]:
    """The rule, its stages and the outcomes."""
    return {
        "amount": "STAGE.NN taka",
        "wallet": f"{WALLET_PREFIX}STAGENN",
        "stages": [
            {
                "stage": stage.taka,
                "about": stage.about,
                "operations": {name: list(operations) for name, operations in stage.operations.items()},
            }
            for stage in STAGES.values()
        ],
        "outcomes": [
            {
                "amount": example_amount(OUTCOME, outcome.number),
                "wallet": example_wallet(OUTCOME, outcome.number),
                "name": outcome.name,
                "about": dict(outcome.about),
            }
            for outcome in OUTCOMES.values()
        ],
    }


def facts() -> dict[str, str]:
    """The same for people: amount and wallet -> what happens; NN is the number of a kind of fault."""
    found: dict[str, str] = {}
    for taka in sorted((*STAGES, OUTCOME)):
        if taka == OUTCOME:
            for outcome in OUTCOMES.values():
                marks = f"{example_amount(taka, outcome.number)} or {example_wallet(taka, outcome.number)}"
                found[marks] = "; ".join(f"{name}: {about}" for name, about in outcome.about.items())
            continue
        stage = STAGES[taka]
        struck = "; ".join(f"{name}: {' and '.join(calls)}" for name, calls in stage.operations.items())
        marks = f"{taka}.NN" + ("" if taka == OPENING else f" or {WALLET_PREFIX}{taka}NN")
        found[marks] = f"fault number NN strikes {stage.about} ({struck})"
    return found


def example_amount(taka: int, number: int) -> str:
    """The magic amount as a client writes it: ``4002.06``."""
    return f"{taka}.{number:02d}"


def example_wallet(taka: int, number: int) -> str:
    """The magic wallet of the same meaning: ``01800400206``."""
    return f"{WALLET_PREFIX}{taka}{number:02d}"


def _marks(amount_minor: int, wallet: str) -> list[tuple[int, int]]:
    """What the amount says, then what the wallet says: (stage, number)."""
    marks = [divmod(amount_minor, 100)]
    named = MAGIC_WALLET.fullmatch(wallet)
    return marks if named is None else [*marks, (int(named[1]), int(named[2]))]


@dataclass(slots=True)
class Memory:
    """Which payments were struck already. Plain data."""

    struck: dict[str, None] = field(default_factory=dict)
    opened: dict[str, int] = field(default_factory=dict)

    def take(self, gateway: str, operation: str, subject: Subject) -> Fault | None:
        """The fault that strikes this very call, remembered; None for a call that is left alone."""
        fault = fault_of(gateway, operation, subject)
        if fault is None:
            return None
        if operation in STAGES[OPENING].operations.get(gateway, ()):
            key = f"{gateway} {operation} {subject.amount_minor}"
            self.opened[key] = self.opened.get(key, 0) + 1
            return fault if self.opened[key] % 2 else None
        key = f"{gateway} {operation} {subject.reference}"
        if key in self.struck:
            return None
        self.struck[key] = None
        if len(self.struck) > STRUCK_MAX:
            del self.struck[next(iter(self.struck))]
        return fault

    def forget(self) -> None:
        """As if no payment had been struck."""
        self.struck.clear()
        self.opened.clear()
