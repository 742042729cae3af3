"""The test wallets, and the one customer who works everywhere."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

CUSTOMER: Final[Mapping[str, str]] = {"wallet": "01770618575", "otp": "123456", "pin": "12121"}
"""The one test customer who works everywhere."""
_OPENING_MINOR: Final = 10_000_000_000  # 100,000,000.00 taka: no test runs a wallet dry by accident
MAGIC_WALLET: Final = re.compile(r"01800(400[2-9])([0-9]{2})", re.ASCII)
"""Wallets that bring their own fault or outcome: the stage of a payment, and the number of what strikes it there."""


@dataclass(frozen=True, slots=True)
class Wallet:
    """A test wallet. ``blocked``: the account may not be debited. The balance is in the books, not here."""

    number: str
    pins: frozenset[str]
    opening_minor: int = _OPENING_MINOR
    otp: str = CUSTOMER["otp"]
    blocked: bool = False
    note: str = ""

    @property
    def account(self) -> str:
        """The name of this wallet's account in the books."""
        return f"wallet:{self.number}"

    @property
    def right_pin(self) -> str:
        """A PIN that opens it; the customer's own where none does."""
        pin = CUSTOMER["pin"]
        return pin if pin in self.pins else min(self.pins, default=pin)


def _wallet(number: str, pin: str, note: str = "", **more: Any) -> Wallet:
    # Sources disagree whether 12121 opens every sandbox wallet (dossier §16.8): here both PINs do.
    return Wallet(number, frozenset({pin, CUSTOMER["pin"]}), note=note, **more)


WALLETS: Final[tuple[Wallet, ...]] = (
    _wallet("01770618575", "12121", "always works"),
    _wallet("01929918378", "12121"),
    _wallet("01770618576", "21212"),
    _wallet("01877722345", "13131"),
    _wallet("01619777282", "21212"),
    _wallet("01619777283", "13131"),
    _wallet("01823074817", "12121", "insufficient balance", opening_minor=0),
    _wallet("01823074818", "12121", "debit blocked", blocked=True),
)
"""The published test wallets (dossier §11)."""
