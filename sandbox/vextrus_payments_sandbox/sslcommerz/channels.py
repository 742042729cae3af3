"""The ways to pay that a page can offer, and what SSLCommerz says of each (dossier §1.2, §1.4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Group = Literal["cards", "mobile", "banking"]
GROUPS: Final[Sequence[Group]] = ("mobile", "cards", "banking")


@dataclass(frozen=True, slots=True)
class Channel:
    """One way to pay."""

    code: str
    """Its word in ``multi_card_name``."""
    name: str
    kind: str
    """Under which key of a session's ``gw`` it stands: visa, master, amex, othercards, mobilebanking ..."""
    card_type: str
    brand: str
    issuer: str
    card: str = ""
    """The masked number of the card that pays where the payer names a wallet; a wallet has none."""

    @property
    def group(self) -> Group:
        """Where it stands on the page."""
        if self.kind == "mobilebanking":
            return "mobile"
        return "banking" if self.kind == "internetbanking" else "cards"

    @property
    def takes_cards(self) -> bool:
        """Whether a card's number may be typed."""
        return self.group == "cards"


def _visa(code: str, bank: str, issuer: str) -> Channel:
    return Channel(code, f"VISA ({bank})", "visa", f"VISA-{bank}", "VISA", issuer, "411111XXXXXX1111")


def _master(code: str, bank: str, issuer: str) -> Channel:
    return Channel(
        code, f"Mastercard ({bank})", "master", f"MASTER-{bank}", "MASTERCARD", issuer, "511111XXXXXX1111"
    )


_ALL: Final = (
    Channel("bkash", "bKash", "mobilebanking", "BKASH-BKash", "MOBILEBANKING", "BKash Mobile Banking"),
    Channel(
        "dbblmobilebanking",
        "Rocket",
        "mobilebanking",
        "DBBLMOBILEB-Dbbl Mobile Banking",
        "MOBILEBANKING",
        "DBBL Mobile Banking",
    ),
    Channel("upay", "Upay", "mobilebanking", "UPAY-Upay", "MOBILEBANKING", "Upay"),
    Channel("tapnpay", "tap", "mobilebanking", "TAPNPAY-Tap", "MOBILEBANKING", "Tap"),
    _visa("dbbl_visa", "Dutch Bangla", "STANDARD CHARTERED BANK"),
    _visa("brac_visa", "Brac bank", "BRAC BANK, LTD."),
    _visa("city_visa", "City Bank", "CITY BANK, LTD."),
    _visa("ebl_visa", "EBL", "EASTERN BANK, LTD."),
    _visa("sbl_visa", "SBL", "SOUTHEAST BANK, LTD."),
    _master("dbbl_master", "Dutch Bangla", "TRUST BANK, LTD."),
    _master("brac_master", "Brac bank", "BRAC BANK, LTD."),
    _master("city_master", "City Bank", "CITY BANK, LTD."),
    _master("ebl_master", "EBL", "EASTERN BANK, LTD."),
    _master("sbl_master", "SBL", "SOUTHEAST BANK, LTD."),
    Channel(
        "city_amex",
        "American Express",
        "amex",
        "AMEX-City Bank",
        "AMEX",
        "CITY BANK, LTD.",
        "371111XXXXX1111",
    ),
    Channel(
        "dbbl_nexus",
        "DBBL Nexus",
        "othercards",
        "DBBLNEXUS-Dbbl Nexus",
        "NEXUS",
        "DUTCH BANGLA BANK",
        "990001XXXXXX0001",
    ),
    Channel("qcash", "Q-Cash", "othercards", "QCASH-QCash", "QCASH", "QCash", "990002XXXXXX0002"),
    Channel(
        "ibbl",
        "Islami Bank",
        "internetbanking",
        "IBBL-Islami Bank",
        "IB",
        "Islami Bank Bangladesh Limited",
    ),
    Channel("bankasia", "Bank Asia", "internetbanking", "BANKASIA-Bank Asia", "IB", "Bank Asia Limited"),
    Channel(
        "mtbl", "Mutual Trust Bank", "internetbanking", "MTBL-Mutual Trust Bank", "IB", "Mutual Trust Bank"
    ),
    Channel("abbank", "AB Bank", "internetbanking", "ABBANKIB-AB Bank", "IB", "AB Bank Limited"),
    Channel("city", "City Touch", "internetbanking", "CITYBANKIB-City Touch", "IB", "City Bank Limited"),
)
CHANNELS: Final[Mapping[str, Channel]] = {channel.code: channel for channel in _ALL}
"""Every channel by its word, in the order of the page."""
KINDS: Final[Mapping[str, str]] = {
    "visa": "visacard",
    "master": "mastercard",
    "amex": "amexcard",
    "othercards": "othercard",
    "internetbanking": "internetbank",
    "mobilebanking": "mobilebank",
}
"""Kind of a channel, as in a session's ``gw`` -> the word that names all of them in ``multi_card_name``."""
_OF_GROUP: Final[Mapping[str, str]] = {word: kind for kind, word in KINDS.items()}


def named_by(text: str) -> tuple[str, ...]:
    """The channels that a ``multi_card_name`` leaves, in the order of the page; all of them for an empty one.

    An unknown word stands for nothing; where no word is known, nothing is left.
    """
    words = [word.strip().lower() for word in text.split(",") if word.strip()]
    if not words:
        return tuple(CHANNELS)
    kinds = {_OF_GROUP[word] for word in words if word in _OF_GROUP}
    return tuple(code for code, channel in CHANNELS.items() if code in words or channel.kind in kinds)


def unknown_words(text: str) -> list[str]:
    """What stands in a ``multi_card_name`` and names no channel."""
    words = [word.strip().lower() for word in text.split(",") if word.strip()]
    return [word for word in words if word not in CHANNELS and word not in _OF_GROUP]


def masked(number: str) -> str:
    """A card's number as SSLCommerz shows it: its first six digits and its last four."""
    return f"{number[:6]}{'X' * (len(number) - 10)}{number[-4:]}"
