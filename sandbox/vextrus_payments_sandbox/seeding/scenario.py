"""What a scenario may say, and everything that is wrong with one at once, each by its line and field."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from vextrus_payments_sandbox.fault_kinds import KINDS, WEBHOOK
from vextrus_payments_sandbox.gateways import DEFAULT, FACTS, PLAYED
from vextrus_payments_sandbox.notation import to_paisa
from vextrus_payments_sandbox.seeding.reading import Spot, plain
from vextrus_payments_sandbox.wallets import CUSTOMER
from vextrus_payments_sandbox.world import SandboxError

LIST_MAX: Final = 1_000
REFUNDS_MAX: Final = 10
MISTAKES_MAX: Final = 50


def _knowing(outcome: str) -> str:
    return ", ".join(facts.title for facts in FACTS.values() if outcome in facts.seeds)


OUTCOMES: Final[Mapping[str, str]] = {
    "open": "the payer has yet to pay; `step` says what he sees",
    "approved": f"the payer has confirmed, and the merchant has not executed yet ({_knowing('approved')})",
    "paid": "the money is the merchant's",
    "authorized": f"the money is held, and not captured yet ({_knowing('authorized')})",
    "voided": f"it was held and given back ({_knowing('voided')})",
    "cancelled": "the payer left at `step`",
    "failed": "the payer was wrong three times at `step`",
}
STEPS: Final = ("wallet", "otp", "pin")
QUIET: Final = "never"
AMOUNT: Final = r"[1-9][0-9]{0,7}(\.[0-9]{1,2})?"
REFUND: Final = r"([1-9][0-9]{0,7}(\.[0-9]{1,2})?|0\.([1-9][0-9]?|0[1-9]))"
BALANCE: Final = r"[0-9]{1,9}(\.[0-9]{1,2})?"
NUMBER: Final = r"01[0-9]{9}"
CODE: Final = r"[0-9]{4,8}"
NAME: Final = r"[A-Za-z][A-Za-z0-9]{1,31}"
REFERENCE: Final = r"[A-Za-z0-9._-]{1,64}"
NOTE: Final = r"[^\x00-\x1f\x7f-\x9f]{0,100}"
URL: Final = r"https?://[A-Za-z0-9.:\[\]-]{1,100}(/[A-Za-z0-9_\-.~/]{0,200})?"
_TRUE: Final = {"true": True, "false": False, "True": True, "False": False, "yes": True, "no": False}

Step = Literal["wallet", "otp", "pin"]


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something that is wrong with a scenario."""

    field: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        where = f"line {self.line}, " if self.line is not None else ""
        return f"{where}{self.field or 'the file'}: {self.message}"


class ScenarioError(SandboxError):
    """What is wrong with a scenario, all of it."""

    def __init__(self, mistakes: Sequence[Mistake], status: int = 400) -> None:
        shown = [str(one) for one in mistakes[:MISTAKES_MAX]]
        if len(mistakes) > MISTAKES_MAX:
            shown.append(f"and {len(mistakes) - MISTAKES_MAX} more")
        super().__init__("; ".join(shown), status)
        self.mistakes = tuple(mistakes)


@dataclass(frozen=True, slots=True)
class ScriptedMerchant:
    """One more merchant, at one gateway or (``""``) at each."""

    name: str
    gateway: str
    at: Mistake


@dataclass(frozen=True, slots=True)
class ScriptedWallet:
    """A wallet: a new one, or another one in place of a published one."""

    number: str
    balance_minor: int | None
    pin: str
    otp: str
    blocked: bool
    note: str
    at: Mistake


@dataclass(frozen=True, slots=True)
class ScriptedPayment:
    """A payment and how far it went."""

    gateway: str
    merchant: str
    """Empty: the first one."""
    amount: str
    reference: str
    """Empty: one is made."""
    wallet: str
    outcome: str
    step: Step
    refunds: tuple[str, ...]
    webhook: str
    """Empty: announced as any; ``never``; or the name of a fault that strikes the announcement."""
    callback_url: str
    at: Mistake


@dataclass(frozen=True, slots=True)
class Scenario:
    """All that a file asks for, checked as far as it can be without a sandbox."""

    merchants: tuple[ScriptedMerchant, ...] = ()
    wallets: tuple[ScriptedWallet, ...] = ()
    payments: tuple[ScriptedPayment, ...] = ()
    faults: tuple[tuple[Any, Mistake], ...] = ()


@dataclass(slots=True)
class _Check:
    """Reads fields and notes what is wrong with them."""

    mistakes: list[Mistake] = field(default_factory=list)
    clashes: list[Mistake] = field(default_factory=list)
    """What is right by itself and does not go together."""

    def wrong(self, spot: Spot, message: str) -> None:
        self.mistakes.append(Mistake(spot.path, message, spot.line))

    def clash(self, spot: Spot, message: str) -> None:
        self.clashes.append(Mistake(spot.path, message, spot.line))

    def members(self, spot: Spot, known: Iterable[str], needed: Iterable[str] = ()) -> dict[str, Spot] | None:
        known = tuple(known)
        if not isinstance(spot.value, dict):
            self.wrong(spot, f"it has the fields {', '.join(known)}")
            return None
        for name, one in spot.value.items():
            if name not in known:
                self.wrong(one, f"there is no such field; there are {', '.join(known)}")
        for name in needed:
            if name not in spot.value:
                self.wrong(spot, f"{name} is missing")
        return spot.value

    def listed(self, members: Mapping[str, Spot], name: str, most: int = LIST_MAX) -> list[Spot]:
        spot = members.get(name)
        if spot is None:
            return []
        if not isinstance(spot.value, list) or len(spot.value) > most:
            self.wrong(spot, f"it is a list of at most {most}")
            return []
        return spot.value

    def text(
        self, members: Mapping[str, Spot], name: str, pattern: str, rule: str, otherwise: str = ""
    ) -> str:
        spot = members.get(name)
        if spot is None:
            return otherwise
        return self.matching(spot, pattern, rule) or otherwise

    def matching(self, spot: Spot, pattern: str, rule: str) -> str:
        if not isinstance(spot.value, str) or not re.fullmatch(pattern, spot.value, re.ASCII):
            self.wrong(spot, rule)
            return ""
        return spot.value

    def one_of(self, members: Mapping[str, Spot], name: str, known: Sequence[str], otherwise: str) -> str:
        spot = members.get(name)
        if spot is None:
            return otherwise
        if not isinstance(spot.value, str) or spot.value not in known:
            self.wrong(spot, f"it is one of {', '.join(known)}")
            return otherwise
        return spot.value

    def yes(self, members: Mapping[str, Spot], name: str) -> bool:
        spot = members.get(name)
        if spot is None:
            return False
        found = spot.value if isinstance(spot.value, bool) else _TRUE.get(str(spot.value))
        if found is None:
            self.wrong(spot, "it is true or false")
        return bool(found)


def checked(spot: Spot) -> Scenario:
    """The scenario that a tree describes. Raises :class:`ScenarioError` with everything that is wrong with it."""
    check = _Check()
    parts = check.members(spot, ("merchants", "wallets", "payments", "faults")) or {}

    def each(name: str, read: Callable[[_Check, Spot], Any]) -> tuple[Any, ...]:
        return tuple(
            one for one in (read(check, part) for part in check.listed(parts, name)) if one is not None
        )

    scenario = Scenario(
        each("merchants", _merchant),
        each("wallets", _wallet),
        each("payments", _payment),
        each("faults", _fault),
    )
    if check.mistakes:
        raise ScenarioError(check.mistakes)
    if check.clashes:
        raise ScenarioError(check.clashes, 409)
    return scenario


def _merchant(check: _Check, spot: Spot) -> ScriptedMerchant | None:
    members = check.members(spot, ("name", "gateway"), ("name",))
    if members is None:
        return None
    return ScriptedMerchant(
        check.text(members, "name", NAME, "a merchant's name is 2 to 32 letters and digits, a letter first"),
        check.one_of(members, "gateway", PLAYED, ""),
        Mistake(spot.path, "", spot.line),
    )


def _wallet(check: _Check, spot: Spot) -> ScriptedWallet | None:
    known = ("number", "balance", "pin", "otp", "blocked", "note")
    members = check.members(spot, known, ("number",))
    if members is None:
        return None
    balance = check.text(members, "balance", BALANCE, 'a balance is taka, such as "500.00"')
    return ScriptedWallet(
        check.text(members, "number", NUMBER, "a wallet's number has 11 digits and begins with 01"),
        to_paisa(balance) if balance else None,
        check.text(members, "pin", CODE, "a PIN has 4 to 8 digits", CUSTOMER["pin"]),
        check.text(members, "otp", CODE, "a code has 4 to 8 digits", CUSTOMER["otp"]),
        check.yes(members, "blocked"),
        check.text(members, "note", NOTE, "a note is a line of at most 100 characters"),
        Mistake(spot.path, "", spot.line),
    )


def _fault(check: _Check, spot: Spot) -> tuple[Any, Mistake]:
    """An order of the fault dial, as JSON; what a file can only write as a text becomes a number."""
    wish = plain(spot)
    if isinstance(wish, dict):
        for name in ("times", "seed"):
            if isinstance(wish.get(name), str) and re.fullmatch(r"[0-9]{1,16}", wish[name], re.ASCII):
                wish[name] = int(wish[name])
        chance = wish.get("chance")
        if isinstance(chance, str) and re.fullmatch(r"[01](\.[0-9]{1,9})?", chance, re.ASCII):
            wish["chance"] = float(chance)
    return wish, Mistake(spot.path, "", spot.line)


def _payment(check: _Check, spot: Spot) -> ScriptedPayment | None:
    known = (
        *("gateway", "merchant", "amount", "reference", "wallet", "outcome", "step", "refunds", "webhook"),
        "callback_url",
    )
    members = check.members(spot, known, ("amount",))
    if members is None:
        return None
    amount_rule = 'an amount is taka from 1 on, such as "100.50"'
    webhooks = (QUIET, *(kind.name for kind in KINDS.values() if kind.phase == WEBHOOK))
    gateway = check.one_of(members, "gateway", PLAYED, DEFAULT)
    payment = ScriptedPayment(
        gateway,
        check.text(members, "merchant", NAME, "a merchant's name is 2 to 32 letters and digits"),
        check.text(members, "amount", AMOUNT, amount_rule),
        check.text(
            members, "reference", REFERENCE, "a reference has 1 to 64 letters, digits, dots and dashes"
        ),
        check.text(members, "wallet", NUMBER, "a wallet's number has 11 digits", CUSTOMER["wallet"]),
        check.one_of(members, "outcome", tuple(OUTCOMES), "paid"),
        cast("Step", check.one_of(members, "step", STEPS, "wallet")),
        tuple(
            check.matching(one, REFUND, amount_rule) for one in check.listed(members, "refunds", REFUNDS_MAX)
        ),
        check.one_of(members, "webhook", webhooks, ""),
        check.text(
            *(members, "callback_url", URL, "an http address without a query"),
            f"http://127.0.0.1:8000/{gateway}/return",
        ),
        Mistake(spot.path, "", spot.line),
    )
    _check_together(check, members, payment)
    return payment


def _check_together(check: _Check, members: Mapping[str, Spot], payment: ScriptedPayment) -> None:
    facts = FACTS[payment.gateway]
    pattern, rule = facts.order_id
    if payment.outcome not in facts.seeds:
        check.clash(members["outcome"], f"{payment.gateway} does not know {payment.outcome}")
    if payment.webhook and not facts.announces:
        check.clash(members["webhook"], f"{payment.gateway} sends no webhooks")
    if payment.reference and pattern and not re.fullmatch(pattern, payment.reference, re.ASCII):
        check.clash(members["reference"], rule)
    if "step" in members and payment.outcome not in ("open", "cancelled", "failed"):
        check.clash(members["step"], "only what is open, cancelled or failed stands at a step")
    if payment.outcome == "failed" and payment.step == "wallet":
        check.clash(
            members.get("step", members["outcome"]), "a payment fails at the step otp or pin: name one"
        )
    if payment.refunds and payment.outcome != "paid":
        check.clash(members["refunds"], "only what is paid can be refunded")
    asked, given = to_paisa(payment.amount), [to_paisa(one) or 0 for one in payment.refunds]
    if asked is not None and sum(given) > asked:
        check.clash(members["refunds"], f"more is given back than the {payment.amount} that were paid")
