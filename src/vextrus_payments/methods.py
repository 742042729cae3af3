"""How a payer paid: a wallet, a card, a bank. Many roads end in one gateway, and some gateways say which was taken."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["MethodKind", "PaymentMethod"]

RAW_MAX: Final = 100
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_]{0,39}", re.ASCII)
#: As many digits as an account or a card has, however they are set apart.
_NUMBER: Final = re.compile(r"\d(?:[ .-]?\d){7,}")
#: More digits than the name of a means has.
_DIGITS: Final = re.compile(r"[0-9]{5}", re.ASCII)
_UNNAMED: Final = "unknown"


class MethodKind(StrEnum):
    """What kind of means a payment was made by."""

    WALLET = "wallet"
    CARD = "card"
    INTERNET_BANKING = "internet_banking"
    OTHER = "other"
    """The gateway names one that is none of these."""
    UNKNOWN = "unknown"
    """The gateway names one that nobody has documented."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentMethod:
    """By what a payer paid, as far as the gateway says.

    It is a note for people and reports, and never decides about money: what does not fit is mended, not refused.
    """

    kind: MethodKind
    name: str
    """A stable word: bkash, nagad, rocket, upay, cellfin, visa, mastercard, amex, nexus ...; "unknown" for none."""
    raw: str = ""
    """The gateway's own text, at most 100 characters, in which no account or card number is left."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or _DIGITS.search(self.name):
            object.__setattr__(self, "name", _UNNAMED)
        plain = "".join(character if character.isprintable() else " " for character in self.raw)
        object.__setattr__(self, "raw", _NUMBER.sub("...", plain).strip()[:RAW_MAX])

    def __str__(self) -> str:
        return self.name if self.name != _UNNAMED else self.raw or _UNNAMED
