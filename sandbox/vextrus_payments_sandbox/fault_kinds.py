"""The kinds of faults, and how one is named: the table that the dial, the documents and the admin API are made from.

A fault strikes either *before* the gateway does its work (nothing happened, and the caller cannot know that) or *after*
it was committed (it happened, and the caller does not learn it). The second kind is what proves that no money is lost
and none moved twice. A third (``webhook_...``) strikes how a payment is announced.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from vextrus_payments_sandbox.world import SandboxError

SECONDS_MAX: Final = 120.0
SKEW_MAX_S: Final = 86_400.0
WEBHOOK: Final = "webhook"
"""The phase of faults that strike an announcement, and the operation they are ordered for."""
DEFAULT_CODE: Final = "9999"
DEFAULT_STATUS: Final = 504

PAGE: Final = "page"
"""The phase of what a payer's page comes to although he did everything right, and the operation it is ordered for."""

Phase = Literal["before", "after", "webhook", "page"]
_LOOK_UPS: Final = ("query", "refund_status", "search", "verify")
_MOVES: Final = ("execute", "capture", "void", "refund")
_SEALED: Final = ("initialize", "refund")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: when it strikes, how long it waits if not told, what it does."""

    number: int
    """Its two digits in magic amounts and wallets (``magic.py``); it never changes."""
    name: str
    phase: Phase
    about: str
    seconds: float = 0.0
    only: str = ""
    """The one gateway that it can strike; every one when empty."""
    operations: tuple[str, ...] = ()
    """The operations that it can strike; every one of a call when empty."""
    skews: bool = False
    """Its seconds are not waited: they are how far a clock is ahead, or behind where they are negative."""

    def can_strike(self, gateway: str, operation: str) -> bool:
        """Whether it means anything to this operation (``*``: any; ``webhook``: news; ``page``: the payer)."""
        if self.only not in ("", gateway):
            return False
        for apart in (WEBHOOK, PAGE):
            if apart in (self.phase, operation):
                return self.phase == apart and operation in (apart, "*")
        return operation == "*" or not self.operations or operation in self.operations


def _of_bkash(number: int, name: str, about: str, seconds: float = 0.0, *, skews: bool = False) -> Kind:
    return Kind(number, name, "webhook", about, seconds, only="bkash", skews=skews)


def _of_page(number: int, name: str, about: str, only: str = "") -> Kind:
    return Kind(number, name, "page", about, only=only)


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
    Kind(12, "expired_token", "before", "401, as if the token had expired", only="bkash"),
    Kind(13, "forbidden", "before", "403 Forbidden"),
    Kind(14, "throttled", "before", "429 Too Many Requests"),
    Kind(15, "grant_budget", "before", "429, as if the grant budget were used up", only="bkash"),
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
    Kind(
        31,
        "wrong_key",
        "after",
        "works, then signs its sealed answer with another key",
        0.0,
        "nagad",
        _SEALED,
    ),
    Kind(32, "tampered", "after", "works, then one bit of its sealed answer is wrong", 0.0, "nagad", _SEALED),
    Kind(
        33,
        "replayed",
        "after",
        "works, then gives the sealed answer of an earlier call",
        0.0,
        "nagad",
        _SEALED,
    ),
    Kind(
        34,
        "random_nonce",
        "before",
        "calls its challenge random, as old versions did",
        0.0,
        "nagad",
        ("initialize",),
    ),
    _of_bkash(51, "webhook_never", "the payment is never announced"),
    _of_bkash(52, "webhook_delayed", "it is announced late", 30.0),
    _of_bkash(53, "webhook_early", "it is announced before the call that made it is answered"),
    _of_bkash(54, "webhook_out_of_order", "it is announced after the next one"),
    _of_bkash(55, "webhook_duplicate", "the same message comes twice, at the same moment"),
    _of_bkash(56, "webhook_repeated", "it is announced again, in a message of its own"),
    _of_bkash(57, "webhook_other_amount", "one taka more is announced than was paid"),
    _of_bkash(58, "webhook_bad_signature", "one bit of its signature is wrong"),
    _of_bkash(
        59, "webhook_forged", "before it comes a forgery: twice the amount, signed with a stranger's key"
    ),
    _of_bkash(60, "webhook_foreign_topic", "it comes from somebody else's topic"),
    _of_bkash(61, "webhook_foreign_cert_host", "its certificate does not lie at Amazon's"),
    _of_bkash(
        62,
        "webhook_clock_skew",
        "its time stamp is ahead, or with seconds=-N behind, and well signed",
        7_200.0,
        skews=True,
    ),
    _of_page(71, "page_over_limit", "it fails: over the limit", "nagad"),
    _of_page(74, "page_aborted_by_issuer", "it is aborted as soon as the number is typed", "nagad"),
    _of_page(75, "page_in_progress", "it stays in progress for good, and nobody comes back", "nagad"),
    _of_page(76, "page_unknown_then_paid", "nobody knows how it ended; an hour later it is paid", "nagad"),
    _of_page(77, "page_unknown_then_failed", "nobody knows how it ended; an hour later it failed", "nagad"),
    _of_page(78, "page_never_returns", "it is paid, but the browser never comes back", "nagad"),
    _of_page(79, "page_late_success", "it looks failed or lost at first, and is paid later"),
    _of_page(80, "page_returns_twice", "it is paid, and the browser comes back twice", "nagad"),
    _of_page(81, "page_insufficient_balance", "the wallet holds too little"),
    _of_page(82, "page_account_blocked", "the account is blocked"),
    _of_page(83, "page_duplicate", "it is taken for a payment made twice, and refused", "bkash"),
    _of_page(84, "page_system_error", "execute refuses with a system error; the money is not taken", "bkash"),
)

KINDS: Final[Mapping[str, Kind]] = {kind.name: kind for kind in _TABLE}
"""Every kind by its name."""
BY_NUMBER: Final[Mapping[int, Kind]] = {kind.number: kind for kind in _TABLE}
"""Every kind by its two digits in magic amounts and wallets."""


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
        for kind in _TABLE
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
            return self.name not in ("delay", "stale", "random_nonce", "clock_skew")
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
    if kind.only not in ("", gateway):
        raise SandboxError(f"{name} can only strike {kind.only}")
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
