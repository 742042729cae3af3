"""Faults on purpose: what a test asks the sandbox to do to one call.

A fault is named by the request header ``X-Sandbox-Fault: name[;seconds=1.5][;code=9999]`` or ordered ahead by
``POST /_sandbox/faults {"gateway", "operation", "fault", "times"}``. It strikes either *before* the gateway
does its work (nothing happened, and the caller cannot know that) or *after* it was committed (it happened,
and the caller does not learn it). The second kind is what proves that no money is lost and none moved twice.
A third kind (``webhook_...``) strikes how the payment is announced: named with the call that makes it, or ordered
ahead for the operation ``webhook``.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from vextrus_payments_sandbox.world import SandboxError

SECONDS_MAX: Final = 120.0
TIMES_MAX: Final = 1_000_000
PLANS_MAX: Final = 1_000
HEADER: Final = "x-sandbox-fault"
WEBHOOK: Final = "webhook"
"""The phase of faults that strike an announcement, and the operation they are ordered for."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: when it strikes, how long it waits if not told, what it does."""

    name: str
    phase: Literal["before", "after", "webhook"]
    about: str
    seconds: float = 0.0
    only: str = ""
    """The one gateway that it can strike; every one when empty."""


KINDS: Final[dict[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind("delay", "before", "waits, then works normally", 2.0),
        Kind("delay_after", "after", "works, waits, then answers", 2.0),
        Kind("drop_before", "before", "closes the connection; nothing happened"),
        Kind("drop_after", "after", "works, then closes the connection without a byte"),
        Kind("drop_mid_body", "after", "works, sends half the answer, closes the connection"),
        Kind("error_5xx_before", "before", "504 from the gateway's own proxy; nothing happened"),
        Kind("error_5xx_after", "after", "works, then 504 from the gateway's own proxy"),
        Kind("expired_token", "before", "401, as if the token had expired"),
        Kind("forbidden", "before", "403 Forbidden"),
        Kind("throttled", "before", "429 Too Many Requests"),
        Kind("grant_budget", "before", "429, as if the grant budget were used up"),
        Kind("malformed", "after", "works, then answers 200 with half a JSON document"),
        Kind("malformed_before", "before", "200 with half a JSON document; nothing happened"),
        Kind("html", "after", "works, then answers 502 with an HTML page"),
        Kind("html_before", "before", "403 with a firewall's HTML page; nothing happened"),
        Kind("html_200_before", "before", "200 with a firewall's HTML page; nothing happened"),
        Kind("message_only", "after", "works, then answers 200 with only a message"),
        Kind("message_only_before", "before", "200 with only a message; nothing happened"),
        Kind("code_before", "before", "refuses with code=NNNN (9999 unless told); nothing happened"),
        Kind("code_after", "after", "works, then claims the refusal code=NNNN (9999 unless told)"),
        Kind("stale", "before", "a look-up answers as if the latest change had not arrived yet"),
        Kind("wrong_key", "after", "works, then signs its sealed answer with another key", only="nagad"),
        Kind("tampered", "after", "works, then one bit of its sealed answer is wrong", only="nagad"),
        Kind("replayed", "after", "works, then gives the sealed answer of an earlier call", only="nagad"),
        Kind("random_nonce", "before", "calls its challenge random, as old versions did", only="nagad"),
        Kind(
            "clock_skew", "before", "takes the caller's time for a wrong one; nothing happened", only="nagad"
        ),
        Kind("webhook_never", "webhook", "the payment is never announced", only="bkash"),
        Kind("webhook_delayed", "webhook", "it is announced late", 30.0, only="bkash"),
        Kind(
            "webhook_early",
            "webhook",
            "it is announced before the call that made it is answered",
            only="bkash",
        ),
        Kind("webhook_out_of_order", "webhook", "it is announced after the next one", only="bkash"),
        Kind(
            "webhook_duplicate", "webhook", "the same message comes twice, at the same moment", only="bkash"
        ),
        Kind("webhook_repeated", "webhook", "it is announced again, in a message of its own", only="bkash"),
        Kind("webhook_other_amount", "webhook", "one taka more is announced than was paid", only="bkash"),
        Kind("webhook_bad_signature", "webhook", "one bit of its signature is wrong", only="bkash"),
        Kind("webhook_foreign_topic", "webhook", "it comes from somebody else's topic", only="bkash"),
        Kind(
            "webhook_foreign_cert_host", "webhook", "its certificate does not lie at Amazon's", only="bkash"
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, ready to strike."""

    kind: Kind
    seconds: float
    code: str = "9999"

    @property
    def name(self) -> str:
        """The name it goes by in the log of calls."""
        return self.kind.name

    @property
    def hides_the_answer(self) -> bool:
        """Whether the caller cannot be blamed for not having seen the true answer."""
        if self.kind.phase == "before":
            return self.name not in ("delay", "stale", "random_nonce")
        return self.kind.phase == "after"


_CODE: Final = re.compile(r"[0-9]{3,4}|[0-9]{2}_[0-9]{4}_[0-9]{3}", re.ASCII)


def parse_fault(text: str, gateway: str) -> Fault:
    """Read ``name[;seconds=..][;code=..]``; raises :class:`SandboxError` that says what is wrong with it."""
    name, *options = (part.strip() for part in text.split(";"))
    kind = KINDS.get(name)
    if kind is None:
        raise SandboxError(f"unknown fault {name[:40]!r}; the faults are {', '.join(KINDS)}")
    if kind.only not in ("", gateway):
        raise SandboxError(f"{name} can only strike {kind.only}")
    seconds, code = kind.seconds, "9999"
    for option in options:
        key, _, value = option.partition("=")
        if key == "seconds" and re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,6})?", value, re.ASCII):
            seconds = float(value)
        elif key == "code" and _CODE.fullmatch(value):
            code = value
        else:
            raise SandboxError(
                f"a fault takes ;seconds=1.5 and ;code=9999 or 16_0006_058, not {option[:40]!r}"
            )
    if seconds > SECONDS_MAX:
        raise SandboxError(f"a fault waits at most {SECONDS_MAX:.0f} seconds")
    return Fault(kind, seconds, code)


@dataclass(slots=True)
class Plan:
    """A fault ordered ahead: it strikes the next ``times`` calls of the operation (``*``: of any call; ``webhook``: it
    strikes announcements, not calls)."""

    gateway: str
    operation: str
    fault: str
    times: int


class FaultPlans:
    """The faults ordered ahead, first ordered first served."""

    def __init__(self) -> None:
        self._plans: list[Plan] = []

    def order(self, wish: Any, operations: dict[str, Sequence[str]]) -> Plan:
        """Take an order from JSON; raises :class:`SandboxError` for anything that could never strike."""
        if not isinstance(wish, dict) or not set(wish) <= {"gateway", "operation", "fault", "times"}:
            raise SandboxError('a fault is ordered by {"gateway", "operation", "fault", "times"}')
        gateway, operation = wish.get("gateway", "bkash"), wish.get("operation", "*")
        times, fault = wish.get("times", 1), wish.get("fault")
        if not isinstance(gateway, str) or gateway not in operations:
            raise SandboxError(f"unknown gateway; the gateways are {', '.join(operations)}")
        if operation not in ("*", WEBHOOK, *operations[gateway]):
            raise SandboxError(
                f"unknown operation; {gateway} has {', '.join(operations[gateway])}, and {WEBHOOK}"
            )
        if not isinstance(times, int) or isinstance(times, bool) or not 1 <= times <= TIMES_MAX:
            raise SandboxError(f"times is a whole number from 1 to {TIMES_MAX}")
        if not isinstance(fault, str):
            raise SandboxError(f"fault is one of {', '.join(KINDS)}")
        of_a_webhook = parse_fault(fault, gateway).kind.phase == WEBHOOK
        if of_a_webhook and operation == "*":
            operation = WEBHOOK
        if of_a_webhook != (operation == WEBHOOK):
            raise SandboxError(
                f"faults named webhook_... are ordered for the operation {WEBHOOK}, others never"
            )
        if len(self._plans) >= PLANS_MAX:
            raise SandboxError(f"{PLANS_MAX} faults are waiting already; DELETE /_sandbox/faults clears them")
        plan = Plan(gateway, operation, fault, times)
        self._plans.append(plan)
        return plan

    def take(self, gateway: str, operation: str) -> Fault | None:
        """The fault that strikes this call, counted off; ``None`` for a call that is left alone."""
        for plan in self._plans:
            meant = plan.operation == operation or (plan.operation == "*" and operation != WEBHOOK)
            if plan.gateway == gateway and meant:
                plan.times -= 1
                if plan.times == 0:
                    self._plans.remove(plan)
                return parse_fault(plan.fault, gateway)
        return None

    def clear(self) -> None:
        """Forget every order."""
        self._plans.clear()

    def as_json(self) -> list[dict[str, Any]]:
        """The orders still waiting."""
        return [asdict(plan) for plan in self._plans]
