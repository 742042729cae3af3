"""What of docs/ is written by the code: tables between two comments of a page, and the pictures.

    <!-- generated: capabilities of bkash -->
    ...
    <!-- end of generated -->

`make docs` rewrites them; a test fails while a page tells something else than the code.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from vextrus_payments.capabilities import Absence, Capabilities, Completion, Feature, RefundCorrelation
from vextrus_payments.gateways.bkash import manners as bkash
from vextrus_payments.gateways.bkash.dialect import ApiVersion
from vextrus_payments.gateways.bkash.recurring import manners as recurring
from vextrus_payments.gateways.bkash.steps import RefundApi
from vextrus_payments.gateways.nagad import manners as nagad
from vextrus_payments.gateways.sslcommerz import manners as sslcommerz
from vextrus_payments.money import Money
from vextrus_payments.states import OPERATION_EDGES, PAYMENT_EDGES

from . import controls, dial, manners, pictures

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PICTURES = DOCS / "pictures"
_SECTION: Final = re.compile(
    r"(?ms)^<!-- generated: (?P<name>[^\n]+) -->\n(?P<text>.*?)^<!-- end of generated -->$"
)

#: Every gateway, and how its name is written. bKash has two refund interfaces; the default one stands in the tables.
GATEWAYS: Final[Mapping[str, tuple[str, Capabilities]]] = {
    "bkash": ("bKash", bkash.capabilities_of(RefundApi.V2)),
    "nagad": ("Nagad", nagad.CAPABILITIES),
    "sslcommerz": ("SSLCommerz", sslcommerz.CAPABILITIES),
    "bkash_recurring": ("bKash recurring", recurring.CAPABILITIES),
}

#: Other products of a gateway: the same adapter, by a setting, with capabilities of their own.
PRODUCTS: Final[Mapping[str, tuple[tuple[str, Capabilities], ...]]] = {
    "bkash": (("bKash v2", bkash.capabilities_of(RefundApi.V2, ApiVersion.V2)),),
}


def write() -> list[Path]:
    """Rewrite what is not as the code says; returns the files that changed."""
    changed = []
    for path, text in wanted().items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
            changed.append(path)
    return changed


def wanted() -> dict[Path, str]:
    """Every page with a generated section, and every picture, as it should read."""
    found = {PICTURES / name: svg for name, svg in pictures.pictures().items()}
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        if _SECTION.search(text):
            found[page] = _SECTION.sub(_section, text)
    return found


def _section(match: re.Match[str]) -> str:
    name = match["name"]
    if name not in SECTIONS:
        raise SystemExit(f"generated.py: nobody writes the section {name!r}")
    return f"<!-- generated: {name} -->\n{SECTIONS[name]()}<!-- end of generated -->"


# --- capabilities ---------------------------------------------------------------------------------------------------

FEATURES: Final[Mapping[Feature, str]] = {
    Feature.CAPTURE: "hold money, capture it later",
    Feature.VOID: "let a hold go",
    Feature.REFUND: "refund the whole",
    Feature.PARTIAL_REFUND: "refund in part",
    Feature.REFUND_STATUS: "list a payment's refunds at the gateway",
    Feature.SEARCH: "search by transaction id",
    Feature.AGREEMENTS: "agreements (a payer's standing consent)",
    Feature.SUBSCRIPTIONS: "subscriptions (it collects by itself)",
    Feature.PAYOUTS: "payouts, and transfers between own accounts",
    Feature.BALANCE: "the balance of the merchant's accounts",
}
#: What is only there where its own settings are.
_CONFIGURED: Final = {(bkash.NAME, Feature.PAYOUTS), (bkash.NAME, Feature.BALANCE)}
_COMPLETION: Final[Mapping[Completion, str]] = {
    Completion.MERCHANT_EXECUTES: "your server, by `execute`, once the payer has approved",
    Completion.PAYER_COMPLETES: "the payer's last click; `execute` looks it up",
}
_CORRELATION: Final[Mapping[RefundCorrelation, str]] = {
    RefundCorrelation.OWN_ID: "by an id of ours; they may run side by side",
    RefundCorrelation.NONE: "by comparing the gateway's list before and after; one of a payment is out at a time",
}


def _facts(one: Capabilities) -> dict[str, str]:
    """Every fact of a gateway in words: what, and how it is there."""
    facts = {
        "currencies": ", ".join(sorted(one.currencies)),
        "smallest, largest amount": f"{_amount(one.min_amount)}, {_amount(one.max_amount)}",
        "who makes the money move": _COMPLETION[one.completion],
        "how long a page can be paid": _span(one.session_life),
        "a look-up that shows nothing": _absence(one),
        "the gateway knows a repeated call": "no" if one.idempotency.value == "none" else "per reference",
        "how our refunds are told apart": _CORRELATION[one.refund_correlation],
        "refunds of one payment": f"{one.max_refunds} at most"
        if one.max_refunds
        else "as many as the amount allows",
        "order ids": _order_ids(one),
        "pauses between looks at an open operation": _pauses(one.polling.open_s) + ", and so on",
        "a page that was paid": "may be paid once more, and is looked at again at its end"
        if one.pays_again
        else "is over",
        "pauses between looks at an open page": _pauses(one.polling.session_s)
        or "no look before its end: that is bad manners here",
    }
    return facts | {words: _can(one, feature) for feature, words in FEATURES.items()}


def _can(one: Capabilities, feature: Feature) -> str:
    if one.can(feature):
        return "yes"
    return "yes, with credentials of their own" if (one.gateway, feature) in _CONFIGURED else "no"


def _amount(amount: Money | None) -> str:
    return "none" if amount is None else f"{amount.amount} {amount.currency}"


def _absence(one: Capabilities) -> str:
    if one.absence is Absence.NEVER:
        return "proves nothing, however late it is asked"
    limit, margin = one.hard_limit_s, one.absence_margin_s
    return f"proves that nothing happened, once asked {limit} s + {margin} s after the last moment of sending"


#: The inside of an order-id rule's character class -> what a person calls it.
_ALPHABETS: Final[Mapping[str, str]] = {
    bkash.ORDER_ID.characters: "visible ASCII without `<`, `>`, `&`",
    nagad.ORDER_ID.characters: "letters and digits",
    sslcommerz.ORDER_ID.characters: "letters, digits, `_`, `.`, `-`",
    recurring.ORDER_ID.characters: "bKash's own, under ours of the subscription",
}


def _order_ids(one: Capabilities) -> str:
    rule = one.order_id
    return f"{_ALPHABETS[rule.characters]}, {rule.min_length} to {rule.max_length}"


def _pauses(seconds: Iterable[int]) -> str:
    return ", ".join(_span(timedelta(seconds=one)) for one in seconds)


def _span(life: timedelta) -> str:
    seconds = int(life.total_seconds())
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _capabilities_of(gateway: str) -> str:
    _, one = GATEWAYS[gateway]
    if gateway in PRODUCTS:
        return _compared(gateway)
    return "| | |\n|---|---|\n" + "".join(f"| {what} | {how} |\n" for what, how in _facts(one).items())


def _compared(*gateways: str) -> str:
    chosen = [each for name in gateways or GATEWAYS for each in (GATEWAYS[name], *PRODUCTS.get(name, ()))]
    names = [words for words, _ in chosen]
    facts = [_facts(one) for _, one in chosen]
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| {what} | {' | '.join(each[what] for each in facts)} |" for what in facts[0]]
    return "\n".join(lines) + "\n"


# --- states ---------------------------------------------------------------------------------------------------------


def _edges(table: Mapping[tuple[StrEnum, StrEnum], str]) -> str:
    lines = ["| | from | to | on the evidence of |", "|---|---|---|---|"]
    rows = enumerate(table.items(), start=1)
    lines += [f"| {number} | `{before}` | `{after}` | {why} |" for number, ((before, after), why) in rows]
    return "\n".join(lines) + "\n"


SECTIONS: Final[Mapping[str, Callable[[], str]]] = {
    **{f"capabilities of {name}": lambda name=name: _capabilities_of(name) for name in GATEWAYS},  # type: ignore[misc]
    "capabilities compared": _compared,
    "payment states": lambda: _edges(PAYMENT_EDGES),  # type: ignore[arg-type]
    "operation states": lambda: _edges(OPERATION_EDGES),  # type: ignore[arg-type]
    "sandbox controls": controls.controls,
    "sandbox pages of nagad": lambda: controls.pages_of("nagad"),
    "sandbox pages of sslcommerz": lambda: controls.pages_of("sslcommerz"),
    "sandbox faults": dial.kinds,
    "sandbox magic stages": dial.stages,
    "sandbox magic outcomes": dial.outcomes,
    "sandbox wallets": dial.wallets,
    "sandbox manners": manners.rules,
    "sandbox manners unseen": manners.unseen,
}
