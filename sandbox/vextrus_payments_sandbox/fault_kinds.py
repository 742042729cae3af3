"""The kinds of faults, and how one is named: the table that the dial, the documents and the admin API are made from.

A fault strikes either *before* the gateway does its work (nothing happened, and the caller cannot know that) or *after*
it was committed (it happened, and the caller does not learn it). The second kind is what proves that no money is lost
and none moved twice. A third (``webhook_...``) strikes how a payment is announced, a fourth (``page_...``) what the
payer's page comes to.

Some kinds not every gateway knows: a gateway names those in its facts (``gateway_facts.py``), and adds its own.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from vextrus_payments_sandbox.gateway_facts import PAGE, PAGE_PREFIX, WEBHOOK, Kind
from vextrus_payments_sandbox.gateways import ALL_ENDINGS, FACTS
from vextrus_payments_sandbox.world import SandboxError

__all__ = [
    "BY_NUMBER",
    "KINDS",
    "PAGE",
    "SECONDS_MAX",
    "SKEW_MAX_S",
    "WEBHOOK",
    "Fault",
    "Kind",
    "kinds_as_json",
    "operations_struck",
    "parse_fault",
]

SECONDS_MAX: Final = 120.0
SKEW_MAX_S: Final = 86_400.0
DEFAULT_CODE: Final = "9999"
DEFAULT_STATUS: Final = 504

_NOBODY: Final = ("",)
"""Of a kind that not every gateway knows: whom it strikes, is put in from the gateways' facts."""
_PAGE_NUMBERS: Final = 70
"""That much above the number of an ending lies the number of the fault that orders it ahead."""
_LOOK_UPS: Final = tuple(dict.fromkeys(name for facts in FACTS.values() for name in facts.look_ups))
_MOVES: Final = tuple(dict.fromkeys(name for facts in FACTS.values() for name in facts.moves))

_TABLE: Final = (
    Kind(1, "delay", "before", "waits, then works normally", 2.0),
    Kind(2, "delay_after", "after", "works, waits, then answers", 2.0),
    Kind(
        3,
        "timeout_before",
        "before",
        "answers nothing until every client has given up; nothing happened",
        40.0,
    ),
    Kind(4, "timeout_after", "after", "works, then answers nothing until every client has given up", 40.0),
    Kind(5, "drop_before", "before", "closes the connection; nothing happened"),
    Kind(6, "drop_after", "after", "works, then closes the connection without a byte"),
    Kind(7, "drop_mid_body", "after", "works, sends half the answer, closes the connection"),
    Kind(8, "reset_before", "before", "resets the connection (a TCP RST); nothing happened"),
    Kind(9, "reset_after", "after", "works, then resets the connection (a TCP RST)"),
    Kind(
        10, "error_5xx_before", "before", "504, or status=NNN, from the gateway's own proxy; nothing happened"
    ),
    Kind(11, "error_5xx_after", "after", "works, then 504, or status=NNN, from the gateway's own proxy"),
    Kind(12, "expired_token", "before", "401, as if the token had expired", only=_NOBODY),
    Kind(13, "forbidden", "before", "403 Forbidden"),
    Kind(14, "throttled", "before", "429 Too Many Requests"),
    Kind(15, "grant_budget", "before", "429, as if the grant budget were used up", only=_NOBODY),
    Kind(16, "malformed_before", "before", "200 with half a JSON document; nothing happened"),
    Kind(17, "malformed", "after", "works, then answers 200 with half a JSON document"),
    Kind(18, "html_before", "before", "403 with a firewall's HTML page; nothing happened"),
    Kind(19, "html_200_before", "before", "200 with a firewall's HTML page; nothing happened"),
    Kind(20, "html", "after", "works, then answers 502 with an HTML page"),
    Kind(21, "message_only_before", "before", "200 with only a message; nothing happened"),
    Kind(22, "message_only", "after", "works, then answers 200 with only a message"),
    Kind(23, "code_before", "before", "refuses with code=NNNN (9999 unless told); nothing happened"),
    Kind(24, "code_after", "after", "works, then claims the refusal code=NNNN (9999 unless told)"),
    Kind(
        25,
        "stale",
        "before",
        "a look-up answers as if the latest change had not arrived yet",
        operations=_LOOK_UPS,
    ),
    Kind(
        26,
        "late_success",
        "after",
        "answers 504, or the refusal code=NNNN, at once and does the work only later; look-ups show nothing until then",
        20.0,
        operations=_MOVES,
    ),
    Kind(
        27,
        "clock_skew",
        "before",
        "works while the gateway's clock is ahead, or with seconds=-N behind: times, expiries and windows are off",
        1_800.0,
        skews=True,
    ),
    Kind(51, "webhook_never", "webhook", "the payment is never announced", only=_NOBODY),
    Kind(52, "webhook_delayed", "webhook", "it is announced late", 30.0, only=_NOBODY),
    Kind(
        53,
        "webhook_early",
        "webhook",
        "it is announced before the call that made it is answered",
        only=_NOBODY,
    ),
    Kind(54, "webhook_out_of_order", "webhook", "it is announced after the next one", only=_NOBODY),
    Kind(
        55, "webhook_duplicate", "webhook", "the same message comes twice, at the same moment", only=_NOBODY
    ),
    Kind(56, "webhook_repeated", "webhook", "it is announced again, in a message of its own", only=_NOBODY),
    Kind(57, "webhook_other_amount", "webhook", "one taka more is announced than was paid", only=_NOBODY),
    Kind(58, "webhook_bad_signature", "webhook", "one bit of its signature is wrong", only=_NOBODY),
    Kind(
        59,
        "webhook_forged",
        "webhook",
        "before it comes a forgery: twice the amount, signed with a stranger's key",
        only=_NOBODY,
    ),
    Kind(60, "webhook_foreign_topic", "webhook", "it comes from somebody else's topic", only=_NOBODY),
    Kind(
        61, "webhook_foreign_cert_host", "webhook", "its certificate does not lie at Amazon's", only=_NOBODY
    ),
    Kind(
        62,
        "webhook_clock_skew",
        "webhook",
        "its time stamp is ahead, or with seconds=-N behind, and well signed",
        7_200.0,
        only=_NOBODY,
        skews=True,
    ),
)


def _whole_table() -> Iterator[Kind]:
    """Every kind, and of each the gateways that it can strike."""
    for kind in _TABLE:
        named = tuple(facts.name for facts in FACTS.values() if kind.name in facts.faults)
        yield replace(kind, only=named or _NOBODY) if kind.only else kind
    for facts in FACTS.values():
        for kind in facts.kinds:
            yield replace(kind, only=(facts.name,))
    for number, ending in ALL_ENDINGS.items():
        knows = tuple(facts.name for facts in FACTS.values() if ending.name in facts.outcomes)
        if knows:
            only = () if len(knows) == len(FACTS) else knows
            yield Kind(_PAGE_NUMBERS + number, PAGE_PREFIX + ending.name, PAGE, ending.page, only=only)


def _by_number() -> dict[int, Kind]:
    found: dict[int, Kind] = {}
    for kind in _whole_table():
        if found.setdefault(kind.number, kind) is not kind:
            raise ValueError(
                f"two faults have the number {kind.number}: {found[kind.number].name}, {kind.name}"
            )
    return dict(sorted(found.items()))


BY_NUMBER: Final[Mapping[int, Kind]] = _by_number()
"""Every kind by its two digits in magic amounts and wallets."""
KINDS: Final[Mapping[str, Kind]] = {kind.name: kind for kind in BY_NUMBER.values()}
"""Every kind by its name."""


def operations_struck(kind: Kind, gateway: str, operations: Sequence[str]) -> tuple[str, ...]:
    """Those of a gateway's `operations`, and of its announcements, that this kind can strike."""
    return tuple(name for name in (*operations, WEBHOOK, PAGE) if kind.can_strike(gateway, name))


def kinds_as_json(gateways: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Every kind, with the operations it can strike at each of the `gateways` (name -> operations)."""
    return [
        {
            "number": kind.number,
            "name": kind.name,
            "phase": kind.phase,
            "about": kind.about,
            "seconds": kind.seconds,
            "skews": kind.skews,
            "strikes": {
                name: list(struck)
                for name, operations in gateways.items()
                if (struck := operations_struck(kind, name, operations))
            },
        }
        for kind in KINDS.values()
    ]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, ready to strike."""

    kind: Kind
    seconds: float
    code: str = ""
    """The refusal's code, where one was asked for."""
    status: int = DEFAULT_STATUS
    """The HTTP status of the ``error_5xx_...`` faults."""
    is_magic: bool = False
    """Whether nobody asked for it but the payment's own amount or wallet (``magic.py``)."""

    @property
    def name(self) -> str:
        """The name it goes by in the log of calls."""
        return self.kind.name

    @property
    def wait_s(self) -> float:
        """How long it makes a call wait."""
        return 0.0 if self.kind.skews else self.seconds

    @property
    def skew_s(self) -> float:
        """How far it puts the gateway's clock ahead."""
        return self.seconds if self.kind.skews else 0.0

    @property
    def hides_the_answer(self) -> bool:
        """Whether the caller cannot be blamed for not having seen the true answer."""
        if self.kind.phase == "before":
            return self.name not in ("delay", "stale", "random_nonce", "unconfirmed", "clock_skew")
        return self.kind.phase == "after"


_SECONDS: Final = re.compile(r"-?[0-9]{1,5}(\.[0-9]{1,6})?", re.ASCII)
_CODE: Final = re.compile(r"[0-9]{3,4}|[0-9]{2}_[0-9]{4}_[0-9]{3}", re.ASCII)
_STATUS: Final = re.compile(r"5[0-9]{2}", re.ASCII)


def parse_fault(text: str, gateway: str, operation: str = "*") -> Fault:
    """Read ``name[;seconds=1.5][;code=9999][;status=503]``.

    Raises :class:`SandboxError` that says what is wrong with it, also where it could never strike `operation` (``*``:
    any call; one of a webhook is named with the call that makes the payment, so it passes for each).
    """
    name, *options = (part.strip() for part in text.split(";"))
    kind = KINDS.get(name)
    if kind is None:
        raise SandboxError(f"unknown fault {name[:40]!r}; the faults are {', '.join(KINDS)}")
    if not kind.meets(gateway):
        raise SandboxError(f"{name} can only strike {' and '.join(kind.only)}")
    if kind.phase != WEBHOOK and not kind.can_strike(gateway, operation):
        struck = ", ".join(kind.operations) or "the payer's page, and is ordered ahead for the operation page"
        raise SandboxError(f"{name} can only strike {struck}, not {operation}")
    given = {"seconds": f"{kind.seconds:f}", "code": "", "status": str(DEFAULT_STATUS)}
    patterns = {"seconds": _SECONDS, "code": _CODE, "status": _STATUS}
    for option in options:
        key, _, value = option.partition("=")
        if key not in patterns or not patterns[key].fullmatch(value):
            raise SandboxError(
                f"a fault takes ;seconds=1.5, ;code=9999 or 16_0006_058 and ;status=503, not {option[:40]!r}"
            )
        given[key] = value
    seconds = float(given["seconds"])
    least, most = (-SKEW_MAX_S, SKEW_MAX_S) if kind.skews else (0.0, SECONDS_MAX)
    if not least <= seconds <= most:
        raise SandboxError(f"the seconds of {name} lie between {least:.0f} and {most:.0f}")
    return Fault(kind, seconds, given["code"], int(given["status"]))
