"""Manners: what a gateway's acceptance test would object to in how a merchant uses its API.

:data:`RULES` is the one table: what is objected to, why, and what to do about it; the dashboard, `sandbox manners` and
the documentation are made from it, and :data:`UNSEEN` says what no sandbox can see. Nothing is refused for a missed
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
from vextrus_payments_sandbox.notation import iso

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


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that is objected to."""

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


_BKASH: Final = (
    Rule(
        "query_after_answer",
        "bkash",
        "query after execute had answered",
        "bKash fails merchants who query a payment whose execute had given an answer.",
        "Believe the answer of execute; query only where none came, or none that can be read.",
        "bkash §1.3, §11",
    ),
    Rule(
        "lost_execute",
        "bkash",
        "no query within 10 minutes of an execute whose answer was lost",
        "The money may have moved: only a query tells, and a merchant who does not ask loses the payment.",
        "After a time-out, a broken connection, a 5xx or an unreadable answer call Query Payment; never execute again.",
        "bkash §1.3, §11",
    ),
    Rule(
        "execute_repeated",
        "bkash",
        "execute repeated",
        "A payment is executed once. Whoever repeats it does not know what became of the first one.",
        "Execute once for each paymentID, whatever reloads the return page; query where no answer came.",
        "bkash §1.3, §4.4",
    ),
    Rule(
        "execute_after_end",
        "bkash",
        "execute after the payer's page ended in {state}",
        "bKash forbids to execute after status=failure or status=cancel.",
        "Execute only after status=success; show the payer that the payment failed, or was cancelled.",
        "bkash §4.3, §11",
    ),
    Rule(
        "execute_unapproved",
        "bkash",
        "execute before the payer had confirmed",
        "Execute is for payments that came back with status=success; before that it is refused.",
        "Wait for the payer's return; a return is a hint that anybody can send, so execute nothing ahead of it.",
        "bkash §4.3, §11",
    ),
    Rule(
        "grants",
        "bkash",
        "more than two tokens within an hour",
        "bKash allows two grants an hour, refreshes included, then blocks for an hour; who grants one for each payment "
        "does not go live.",
        "Keep the token for its hour and share it among all customers and processes.",
        "bkash §1.4, §11",
        strict="refuses the grant with HTTP 429, and for an hour every other",
    ),
    Rule(
        "invoice_reused",
        "bkash",
        "invoice used for an earlier payment",
        "merchantInvoiceNumber is unique for each attempt.",
        "Make a new invoice number for each create, also where the order is the same.",
        "bkash §11",
        strict="refuses the create with 2031",
    ),
    Rule(
        "amount_changed",
        "bkash",
        "invoice asked for again with another amount: {before}, now {now}",
        "An amount that changes for one invoice may come from the browser, where the payer can change it.",
        "Take the amount from your own order, never from what the browser sends.",
        "bkash §11",
    ),
    Rule(
        "forbidden_characters",
        "bkash",
        "<, > or & in {field}",
        "bKash does not take them in references and invoice numbers.",
        "Use letters, digits and dashes.",
        "bkash §11",
    ),
    Rule(
        "refund_unchecked",
        "bkash",
        "refunds, and never a look at a refund's status",
        "Who refunds must have Refund Status as well.",
        "Call Refund Status where a refund gave no answer; call it once in the acceptance test.",
        "bkash §11",
    ),
    Rule(
        "lost_refund",
        "bkash",
        "no refund status within 10 minutes of a refund whose answer was lost",
        "The refund may have gone through: who repeats it refunds twice, who forgets it has wrong books.",
        "Call Refund Status and compare with what was there before; never refund again without it.",
        "bkash §4.11",
    ),
    Rule(
        "hung_up",
        "bkash",
        "left {operation} after {seconds} s without an answer",
        "bKash asks for a time-out of 30 s on every call: an execute may take that long and succeed.",
        "Wait 30 s for an answer before you give up.",
        "bkash §11",
    ),
    Rule(
        "from_browser",
        "bkash",
        "{operation} was called from a web page ({page})",
        "Browsers must never see a token or call bKash: whoever has them can act as the merchant.",
        "Call bKash from your server alone.",
        "bkash §11",
    ),
)
_NAGAD: Final = (
    Rule(
        "unverified",
        "nagad",
        "no verify within 10 minutes of a payment",
        "The return is not signed: verify is the only truth, and a browser that never comes back is no reason to lose "
        "a payment.",
        "Call verify after each return, and for what was never returned from.",
        "nagad §0.1, §15",
    ),
    Rule(
        "order_reused",
        "nagad",
        "order id used for an earlier payment of the same day",
        "Nagad refuses it (083); the first one may have been paid.",
        "Make a new order id for each initialize.",
        "nagad §10, §15",
    ),
    Rule(
        "outer_datetime",
        "nagad",
        "the body's time is called dateTime, not datetime",
        "The sandbox takes both; Nagad's own names are dateTime around the sealed data and datetime inside it.",
        "Name the member of the body dateTime.",
        "nagad §0.4, §17",
    ),
    Rule(
        "address",
        "nagad",
        "{header} is no IPv4 address",
        "The header is for the payer's IPv4 address.",
        "Send an IPv4 address, also where the payer comes by IPv6 or from this machine.",
        "nagad §3",
    ),
    Rule(
        "weak_hash",
        "nagad",
        "signed with {hash_name}: Nagad refuses that",
        "The vendor's old guide names SHA-1; the gateway takes SHA-256 alone.",
        "Sign with SHA256withRSA over the very bytes that were encrypted.",
        "nagad §0.2",
    ),
    Rule(
        "callback_query",
        "nagad",
        "a callback URL with a query: how it is joined is not known",
        "Nagad puts a slash and a query of its own behind the address; what becomes of yours nobody has published.",
        "Put what tells your orders apart into the path.",
        "nagad §0.9, §18",
    ),
    Rule(
        "from_browser",
        "nagad",
        "{operation} was called from a web page ({page})",
        "Whoever has the private key can act as the merchant.",
        "Call Nagad from your server alone.",
        "nagad §15",
    ),
)
RULES: Final[Mapping[tuple[str, str], Rule]] = {
    (rule.gateway, rule.code): rule for rule in (*_BKASH, *_NAGAD)
}
"""(gateway, code) -> the rule."""
UNSEEN: Final = (
    Unseen(
        "bkash",
        "whether the payer is shown bKash's own error message, and a text for success, failure and cancel",
        "Look at your pages once for each; `vextrus-pay bkash uat-report` lists the cases.",
    ),
    Unseen(
        "bkash",
        "whether the amount of a first create comes from the browser",
        "Only a second create of the same invoice with another amount is seen here.",
    ),
    Unseen("bkash", "the logo (128 x 128, PNG, at most 10 KB, over https)", "Hand it in with the report."),
    Unseen(
        "bkash",
        "a time-out under 30 s on calls that answer at once",
        "Order the fault `delay;seconds=30` for execute: who leaves before its end is noted.",
    ),
    Unseen(
        "nagad",
        "whether amount, order and merchant of a verify answer are compared with the order",
        "Compare all three before you ship.",
    ),
)


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
