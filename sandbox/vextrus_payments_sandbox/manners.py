"""Manners: what a gateway's acceptance test would object to in how a merchant uses its API.

:data:`RULES` is the one table: what is objected to, why, and what to do about it; the dashboard, `sandbox manners` and
the documentation are made from it, and it is put together from the gateways' own (``objections.py`` in their
folders). :data:`UNSEEN` says what no sandbox can see. Nothing is refused for a missed
manner but what a rule's ``strict`` names, with ``--strict-manners``.

Some manners are things to be done: a look-up after an answer that got lost. They are *owed* until they are done, and
missed once :data:`OWED_FOR` has gone by on the sandbox's clock. That is looked at when somebody reads, or something
else happens; no timer runs. All of it is plain data.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from vextrus_payments_sandbox.fault_kinds import Fault
from vextrus_payments_sandbox.gateway_facts import Rule, Unseen
from vextrus_payments_sandbox.gateways import FACTS
from vextrus_payments_sandbox.notation import iso

__all__ = [
    "OWED_FOR",
    "PATIENCE_S",
    "RULES",
    "UNSEEN",
    "Manners",
    "Miss",
    "Owed",
    "Parting",
    "Rule",
    "Unseen",
]

MISSES_MAX: Final = 1_000
OWED_MAX: Final = 10_000
OWED_FOR: Final = timedelta(minutes=10)
"""How long a merchant has for what he owes. First look-ups come after seconds; by then nobody waits any more."""
PATIENCE_S: Final = 29.0
"""A caller who leaves earlier has a time-out under the 30 s that bKash asks for (§11); its own plugin has 29."""
_TOLD: Final = frozenset(
    {"expired_token", "forbidden", "throttled", "grant_budget", "code_before", "code_after", "late_success"}
)
"""Faults that hide the true answer and still leave a definite one: there is nothing to look up by these rules."""


RULES: Final[Mapping[tuple[str, str], Rule]] = {
    (rule.gateway, rule.code): rule for facts in FACTS.values() for rule in facts.rules
}
"""(gateway, code) -> the rule."""
UNSEEN: Final[tuple[Unseen, ...]] = tuple(one for facts in FACTS.values() for one in facts.unseen)


@dataclass(frozen=True, slots=True)
class Miss:
    """A missed manner."""

    at: str
    code: str
    reference: str
    rule: str


@dataclass(frozen=True, slots=True)
class Owed:
    """Something to be done in time."""

    code: str
    reference: str
    since: datetime

    @property
    def due_at(self) -> datetime:
        """From when on it is missed."""
        return self.since + OWED_FOR


@dataclass(frozen=True, slots=True)
class Parting:
    """How a call ended for its caller."""

    fault: Fault | None
    waited_s: float
    hung_up: bool
    """Whether he left before there was an answer."""

    @property
    def is_open(self) -> bool:
        """Whether the caller has no answer that says what became of his call."""
        fault = self.fault
        return self.hung_up or (fault is not None and fault.hides_the_answer and fault.name not in _TOLD)


@dataclass(slots=True)
class Manners:
    """What one gateway would object to, oldest first.

    `now` is the sandbox's time for those who watch. As an iterable it gives what `GET /_sandbox/grants` shows.
    """

    gateway: str
    now: Callable[[], datetime]
    missed: list[Miss] = field(default_factory=list)
    owed: dict[tuple[str, str], Owed] = field(default_factory=dict)

    def miss(self, code: str, reference: str, **words: object) -> None:
        """Something was done that is objected to; it refuses nothing."""
        self.look()
        self._add(iso(self.now()), code, reference, **words)

    def once(self, code: str, reference: str, **words: object) -> None:
        """As :meth:`miss`, but only the first time: for what a program does with every call."""
        if not any(one.code == code for one in self.missed):
            self.miss(code, reference, **words)

    def owe(self, code: str, reference: str) -> None:
        """Something is to be done from now on; owed already, it stays due when it was."""
        self.look()
        if len(self.owed) < OWED_MAX:
            self.owed.setdefault((code, reference), Owed(code, reference, self.now()))

    def done(self, code: str, reference: str) -> None:
        """It was done; too late is missed all the same."""
        self.look()
        self.owed.pop((code, reference), None)

    def called(self, operation: str, reference: str, headers: Mapping[str, str]) -> None:
        """A call arrived: whether a web page sent it, which no merchant's page should."""
        page = headers.get("origin", "")
        if (
            page or "sec-fetch-site" in headers
        ):  # Node's own fetch sends sec-fetch-mode, so that proves nothing
            self.once("from_browser", reference, operation=operation, page=page[:100] or "no origin given")

    def look(self) -> None:
        """Miss what is due by now."""
        now = self.now()
        for key, one in list(self.owed.items()):
            if one.due_at > now:
                break  # they became owed in the order in which they are due
            del self.owed[key]
            self._add(iso(one.due_at), one.code, one.reference)

    def clear(self) -> None:
        """Forget all of it."""
        self.missed.clear()
        self.owed.clear()

    def waiting(self) -> list[dict[str, Any]]:
        """What is owed and not missed yet, as JSON."""
        self.look()
        return [
            {
                "since": iso(one.since),
                "due_at": iso(one.due_at),
                **self._told(one.code, RULES[self.gateway, one.code].rule, one.reference),
            }
            for one in self.owed.values()
        ]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self.look()
        return iter([{"at": one.at, **self._told(one.code, one.rule, one.reference)} for one in self.missed])

    def _told(self, code: str, rule: str, reference: str) -> dict[str, Any]:
        about = RULES[self.gateway, code]
        return {
            "gateway": self.gateway,
            "code": code,
            "rule": rule,
            "reference": reference,
            "why": about.why,
            "todo": about.todo,
        }

    def _add(self, at: str, code: str, reference: str, **words: object) -> None:
        if len(self.missed) < MISSES_MAX:
            rule = RULES[self.gateway, code].rule.format(**words)
            self.missed.append(Miss(at, code, reference, rule))
