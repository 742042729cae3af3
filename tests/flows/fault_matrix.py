"""The fault matrix (R3): every step that the capabilities call for, under every fault, with what must come of it.

The cells are generated: `cells(gateway)` is steps x faults, and each step says in words what is expected under each
fault. A step or fault that nobody has thought about has no words, and fails. `scripts/fault_matrix.py` publishes the
table; tests/flows/test_fault_matrix.py plays every cell with the whole engine against the sandbox.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from vextrus_payments.capabilities import Capabilities, Completion, Feature
from vextrus_payments.gateways.bkash.dialect import ApiVersion
from vextrus_payments.gateways.bkash.manners import capabilities_of
from vextrus_payments.gateways.bkash.steps import RefundApi
from vextrus_payments.gateways.nagad.manners import CAPABILITIES as NAGAD
from vextrus_payments.gateways.sslcommerz.manners import CAPABILITIES as SSLCOMMERZ
from vextrus_payments.testing.faulty import Fault
from vextrus_payments.wire import Safety


class Now(StrEnum):
    """What the caller is told at once."""

    DONE = "done"
    RETRIED = "done: sent again, which a READ, an IDEMPOTENT step or a proof of not-sent allows"
    REPLACED = "done: a fresh session takes the place of the one whose answer got lost"
    UNKNOWN = "unknown: nothing is resent"
    NOT_SENT = "pending, not sent"
    NO_SESSION = "an error with effect NONE: there is no session"
    NO_ANSWER = "an error: nothing is known, and nothing moved by asking"
    AS_KNOWN = "what was known before; an unanswered question proves nothing"


class Later(StrEnum):
    """What comes of it once the line works again, and somebody looks."""

    DONE = "done, once"
    FOUND = "the look-up finds it done, once"
    AGAIN = "proven not done; the same call does it, once"
    STATEMENT = "unknown until the gateway shows it, or a person reads its statement and answers"
    PERSON = "unknown until a person reads the gateway's panel and answers; its amount stays reserved"


Cell = tuple[Now, Later]
_HARMLESS: Final = {
    Fault.NOT_SENT: (Now.NOT_SENT, Later.AGAIN),
    Fault.TOKEN_ONCE: (Now.RETRIED, Later.DONE),
    Fault.TOKEN_ALWAYS: (Now.NOT_SENT, Later.AGAIN),
}
_DONE_UNSEEN: Final = (
    Fault.LOST_AFTER,
    Fault.SLOW,
    Fault.ERROR_AFTER,
    Fault.MALFORMED,
    Fault.EMPTY,
    Fault.HTML,
)
_NOT_DONE_UNSEEN: Final = (Fault.LOST_BEFORE, Fault.ERROR_BEFORE, Fault.REDIRECT)
#: A step that may move money: looked up, never resent.
ONCE: Final[Mapping[Fault, Cell]] = {
    **_HARMLESS,
    **dict.fromkeys(_DONE_UNSEEN, (Now.UNKNOWN, Later.FOUND)),
    **dict.fromkeys(_NOT_DONE_UNSEEN, (Now.UNKNOWN, Later.AGAIN)),
}
#: A refund that is not seen is never proven absent where the gateway knows no id of ours: only a person, or its showing
#: up, ends that. What never left is told apart by the driver's own proof.
REFUND_UNPROVEN: Final = "unknown until the gateway shows it or a person answers; its amount stays reserved"
#: The same where no look-up ever finds a refund whose answer was lost.
NEVER_FOUND: Final[Mapping[Fault, Cell]] = {
    **_HARMLESS,
    **dict.fromkeys((*_DONE_UNSEEN, *_NOT_DONE_UNSEEN), (Now.UNKNOWN, Later.PERSON)),
}
#: A session: a lost answer means a fresh one. Here each of the three tries of one call is hit.
DISPOSABLE: Final[Mapping[Fault, Cell]] = {
    fault: ((Now.RETRIED, Later.DONE) if fault is Fault.TOKEN_ONCE else (Now.NO_SESSION, Later.AGAIN))
    for fault in Fault
}
#: A look-up, hit for as long as it is tried.
READ: Final[Mapping[Fault, Cell]] = {
    fault: ((Now.RETRIED, Later.DONE) if fault is Fault.TOKEN_ONCE else (Now.AS_KNOWN, Later.DONE))
    for fault in Fault
}
#: The list before a refund: without it the refund does not leave.
BASELINE: Final[Mapping[Fault, Cell]] = {
    fault: ((Now.RETRIED, Later.DONE) if fault is Fault.TOKEN_ONCE else (Now.NOT_SENT, Later.AGAIN))
    for fault in Fault
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One request of the engine's verbs."""

    name: str
    verb: str
    safety: Safety
    expected: Mapping[Fault, Cell]
    needs: Feature | None = None
    """The feature without which the gateway has no such step."""
    lacks: Feature | None = None
    """The feature that takes this step's place."""
    only_if_merchant_executes: bool = False
    call: int = 1
    """Which of the verb's requests of this safety is hit: a gateway may need several for one session."""
    unproven: bool = False
    """Not seeing it never proves that it was not done."""
    is_baseline: bool = False
    """It says what was there before a refund."""
    of_acceptance: bool = False
    """It asks how something ended that the gateway has only accepted."""


STEPS: Final = (
    Step(name="open a session", verb="initialize", safety=Safety.DISPOSABLE, expected=DISPOSABLE),
    Step(
        name="make the session's page payable",
        verb="initialize",
        safety=Safety.DISPOSABLE,
        expected=DISPOSABLE,
        call=2,
    ),
    Step(
        name="execute",
        verb="execute",
        safety=Safety.ONCE,
        expected=ONCE,
        only_if_merchant_executes=True,
    ),
    Step(name="look a payment up", verb="status", safety=Safety.READ, expected=READ),
    Step(name="capture", verb="capture", safety=Safety.ONCE, expected=ONCE, needs=Feature.CAPTURE),
    Step(name="void", verb="void", safety=Safety.ONCE, expected=ONCE, needs=Feature.VOID),
    Step(
        name="list the refunds before a refund",
        verb="refund",
        safety=Safety.READ,
        expected=BASELINE,
        needs=Feature.REFUND_STATUS,
        is_baseline=True,
    ),
    Step(
        name="look at the payment before a refund",
        verb="refund",
        safety=Safety.READ,
        expected=BASELINE,
        needs=Feature.REFUND,
        lacks=Feature.REFUND_STATUS,
        is_baseline=True,
    ),
    Step(
        name="refund",
        verb="refund",
        safety=Safety.ONCE,
        expected=ONCE,
        needs=Feature.REFUND,
        unproven=True,
    ),
    Step(
        name="look a refund up",
        verb="refund_status",
        safety=Safety.READ,
        expected=READ,
        needs=Feature.REFUND_STATUS,
    ),
    Step(
        name="ask how an accepted refund ended",
        verb="refund_status",
        safety=Safety.READ,
        expected=READ,
        needs=Feature.REFUND,
        of_acceptance=True,
    ),
    Step(
        name="open an agreement",
        verb="create_agreement",
        safety=Safety.DISPOSABLE,
        expected=DISPOSABLE,
        needs=Feature.AGREEMENTS,
    ),
    Step(
        name="execute an agreement",
        verb="execute_agreement",
        safety=Safety.ONCE,
        expected=ONCE,
        needs=Feature.AGREEMENTS,
    ),
    Step(
        name="look an agreement up",
        verb="agreement_status",
        safety=Safety.READ,
        expected=READ,
        needs=Feature.AGREEMENTS,
    ),
    Step(
        name="end an agreement",
        verb="cancel_agreement",
        safety=Safety.IDEMPOTENT,
        expected={
            **dict.fromkeys(Fault, (Now.UNKNOWN, Later.AGAIN)),
            Fault.TOKEN_ONCE: (Now.RETRIED, Later.DONE),
            Fault.NOT_SENT: (Now.NOT_SENT, Later.AGAIN),
            Fault.TOKEN_ALWAYS: (Now.NOT_SENT, Later.AGAIN),
            **dict.fromkeys(_DONE_UNSEEN, (Now.UNKNOWN, Later.FOUND)),
        },
        needs=Feature.AGREEMENTS,
    ),
)


@dataclass(frozen=True, slots=True)
class Played:
    """A gateway whose matrix is played."""

    name: str
    title: str
    capabilities: Capabilities
    opening_calls: int = 1
    """How many requests make one session."""
    accepts_refunds: bool = False
    """A refund is only accepted at first, and asked for by the id of its acceptance: there is nothing to look at
    before, and no way to find one whose acceptance was lost."""
    tokens: bool = False
    """Whether it has a front door that rejects tokens."""
    bench: str = ""
    """Its bench, where that is not called as the gateway is."""
    other_product_of: str = ""
    """The title of the product whose table says it all: published are only its steps."""


GATEWAYS: Final = (
    Played("bkash", "bKash", capabilities_of(RefundApi.V2), tokens=True),
    Played(
        "bkash",
        "bKash v2",
        capabilities_of(RefundApi.V2, ApiVersion.V2),
        tokens=True,
        bench="bkash-v2",
        other_product_of="bKash",
    ),
    Played("nagad", "Nagad", NAGAD, opening_calls=2),
    Played("sslcommerz", "SSLCommerz", SSLCOMMERZ, accepts_refunds=True),
)
ELSEWHERE: Final[Mapping[str, str]] = {
    "bkash_recurring": "it collects by itself; nothing of ours opens a payment there (leaving_matrix.py)",
}
"""Installed, and without a matrix of payments: why, and where it is proven."""
_TOKENS: Final = frozenset({Fault.TOKEN_ONCE, Fault.TOKEN_ALWAYS})


def steps_of(gateway: Played) -> tuple[Step, ...]:
    """The steps that a gateway of these capabilities has."""
    can = gateway.capabilities.can
    executes = gateway.capabilities.completion is Completion.MERCHANT_EXECUTES
    return tuple(
        replace(step, expected=NEVER_FOUND) if step.unproven and gateway.accepts_refunds else step
        for step in STEPS
        if (step.needs is None or can(step.needs))
        and not (step.lacks is not None and can(step.lacks))
        and (executes or not step.only_if_merchant_executes)
        and step.call <= gateway.opening_calls
        and not (step.is_baseline and gateway.accepts_refunds)
        and step.of_acceptance <= gateway.accepts_refunds
    )


def faults_of(gateway: Played) -> tuple[Fault, ...]:
    """The faults that can strike this gateway."""
    return tuple(fault for fault in Fault if gateway.tokens or fault not in _TOKENS)


def cells(gateway: Played) -> Iterator[tuple[Step, Fault]]:
    """Every cell of a gateway's matrix."""
    for step in steps_of(gateway):
        for fault in faults_of(gateway):
            yield step, fault


def words(step: Step, fault: Fault) -> tuple[str, str]:
    """What is expected in a cell, in words.

    Raises:
        KeyError: nobody has written it down.
    """
    now, later = step.expected[fault]
    if step.unproven and (now, later) == (Now.UNKNOWN, Later.AGAIN):
        return now.value, REFUND_UNPROVEN
    return now.value, later.value
