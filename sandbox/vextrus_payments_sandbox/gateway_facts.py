"""What the sandbox's shared parts have to know of a gateway, as data: each gateway's folder fills in one of these.

The fault dial, the magic amounts, the manners, scenarios, the dashboard, the demo and the documents are made from these
facts; none of them spells a gateway's name. This module imports nothing of the sandbox, so that a folder's ``facts.py``
can be read before anything else is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

WEBHOOK: Final = "webhook"
"""The phase of faults that strike an announcement, and the operation they are ordered for."""
PAGE: Final = "page"
"""The phase of what a payer's page comes to although he did everything right, and the operation it is ordered for."""
PAGE_PREFIX: Final = "page_"
"""Before an outcome's name: the fault under which it can be ordered ahead."""

Phase = Literal["before", "after", "webhook", "page"]
Role = Literal["", "look_ups", "moves"]
Tone = Literal["good", "bad", "wait", "held", "off"]
"""The color of a payment's state."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: when it strikes, how long it waits if not told, what it does."""

    number: int
    """Its two digits in magic amounts and wallets (``magic.py``); it never changes."""
    name: str
    phase: Phase
    about: str
    seconds: float = 0.0
    only: tuple[str, ...] = ()
    """The gateways that it can strike; every one when empty."""
    operations: tuple[str, ...] = ()
    """The operations that it can strike; every one of a call when empty."""
    skews: bool = False
    """Its seconds are not waited: they are how far a clock is ahead, or behind where they are negative."""

    def meets(self, gateway: str) -> bool:
        """Whether it can strike this gateway at all."""
        return not self.only or gateway in self.only

    def can_strike(self, gateway: str, operation: str) -> bool:
        """Whether it means anything to this operation (``*``: any; ``webhook``: news; ``page``: the payer)."""
        if not self.meets(gateway):
            return False
        for apart in (WEBHOOK, PAGE):
            if apart in (self.phase, operation):
                return self.phase == apart and operation in (apart, "*")
        return operation == "*" or not self.operations or operation in self.operations


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that a gateway's acceptance test would object to."""

    code: str
    gateway: str
    rule: str
    """What was done, or left undone; ``{words}`` of the case may stand in it."""
    why: str
    todo: str
    source: str
    """Where that is known from: a section of the gateway's dossier."""
    strict: str = ""
    """What ``--strict-manners`` does about it, where the gateway itself would."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """Something an acceptance test looks at and the sandbox cannot."""

    gateway: str
    rule: str
    todo: str


@dataclass(frozen=True, slots=True)
class Ending:
    """How a payment can end that the payer himself did everything right for, in words that fit every gateway."""

    number: int
    """Its two digits behind 4003; 70 more is the number of the fault that orders it ahead."""
    name: str
    page: str
    fault: str = ""
    """The fault that plays it at the gateways whose merchants take the money by a call."""


ENDINGS: Final = (
    Ending(1, "over_limit", "it fails: over the limit"),
    Ending(4, "aborted_by_issuer", "it is aborted as soon as the number is typed"),
    Ending(5, "in_progress", "it stays in progress for good, and nobody comes back"),
    Ending(6, "unknown_then_paid", "nobody knows how it ended; an hour later it is paid"),
    Ending(7, "unknown_then_failed", "nobody knows how it ended; an hour later it failed"),
    Ending(8, "never_returns", "it is paid, but the browser never comes back"),
    Ending(9, "late_success", "it looks failed or lost at first, and is paid later", fault="late_success"),
    Ending(10, "returns_twice", "it is paid, and the browser comes back twice"),
    Ending(11, "insufficient_balance", "the wallet holds too little"),
    Ending(12, "account_blocked", "the account is blocked"),
    Ending(13, "duplicate", "it is taken for a payment made twice, and refused"),
    Ending(14, "system_error", "execute refuses with a system error; the money is not taken"),
)
"""The endings that gateways have in common; one of its own a gateway adds by :attr:`GatewayFacts.endings`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayFacts:
    """One gateway, for everybody who is not that gateway."""

    name: str
    title: str
    """As people write it."""
    variables: Mapping[str, str] = field(default_factory=lambda: {"base_url": "API_URL"})
    """What ``describe`` tells -> how the environment variable behind the prefix is called, where it differs; empty for
    what has none."""
    more_variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variable behind the prefix -> its value, made of what ``describe`` tells: for a product that has
    settings of its own."""
    calls: str = ""
    """Below its base URL lie its calls: for the code to copy (``pages/snippets/NAME_LANGUAGE.txt``), else empty."""
    states: Mapping[str, Tone]
    """Its own words for a payment's states -> their color."""
    topic: str = ""
    """On which topic of Amazon SNS it announces payments; the same at every start."""
    stages: Mapping[int, tuple[str, ...]]
    """Stage of the magic amounts (``magic.py``) -> its operations that walk it."""
    look_ups: tuple[str, ...] = ()
    """Its operations that only look."""
    moves: tuple[str, ...] = ()
    """Its operations that move money."""
    faults: frozenset[str] = frozenset()
    """Of the faults that not every gateway knows (``fault_kinds.py``), those that strike it."""
    kinds: tuple[Kind, ...] = ()
    """Faults of its own; their ``only`` is filled in."""
    outcomes: Mapping[str, str] = field(default_factory=dict)
    """Name of an ending -> what that looks like here."""
    endings: tuple[Ending, ...] = ()
    """Endings of its own."""
    rules: tuple[Rule, ...] = ()
    unseen: tuple[Unseen, ...] = ()
    seeds: frozenset[str] = frozenset({"open", "paid", "cancelled", "failed"})
    """What a scenario can make of its payments (``seeding/scenario.py``)."""
    approvals: tuple[str, ...] = ("success", "cancel", "failure")
    """What ``POST /_sandbox/approve`` takes as outcome."""
    takes_walk_ins: bool = False
    """Whether payers can pay its merchants past the API: by a QR code, by a short number."""
    order_id: tuple[str, str] = ("", "")
    """A pattern for our references in a scenario, and the rule in words; empty for no narrower one than all have."""

    @property
    def announces(self) -> bool:
        """Whether it tells the merchant's server of payments."""
        return any(name.startswith(f"{WEBHOOK}_") for name in self.faults)
