"""The books: money is an integer count of paisa and moves from one account to another, so that it can be neither made
nor lost. They know nothing of payments and their states: what was captured and what was refunded is summed from the
movements alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

BANK: Final = "bank"
"""The account that fills and empties wallets when somebody sets a balance by hand."""
BANK_MINOR: Final = 10**17
"""What lies there to begin with: more than any test can ask for."""
TRANSFER: Final = "transfer"
"""The kind of a movement between a merchant's own accounts: nobody paid, and nobody was given anything back."""


class InsufficientFundsError(Exception):
    """The account that should give does not hold that much."""


@dataclass(frozen=True, slots=True)
class Movement:
    """One line of the books: so much went from one account to another, and why."""

    seq: int
    at: datetime
    gateway: str
    kind: str  # debit | hold | capture | release | refund | balance | transfer | payout | payout_fee
    source: str
    target: str
    amount_minor: int
    reference: str
    transaction_id: str


class Books:
    """Double entry in its plainest form. The balance of an account is what flowed in minus what flowed out.

    `on_move` is told of every movement. Memory: some 350 bytes for a movement; none is forgotten before a reset.
    """

    def __init__(
        self, openings: Mapping[str, int], on_move: Callable[[Movement], object] | None = None
    ) -> None:
        self._openings = dict(openings)
        self._balances = dict(openings)
        self._on_move = on_move
        self._of: dict[str, dict[str, list[Movement]]] = {}
        self._totals: dict[str, tuple[int, int]] = {}
        self.movements: list[Movement] = []

    def open(self, account: str, amount_minor: int) -> None:
        """Begin an account with that much; one that has begun stays as it is."""
        if account not in self._openings:
            self._openings[account] = amount_minor
            self._balances[account] = self.balance(account) + amount_minor

    def balance(self, account: str) -> int:
        """The balance in paisa; zero for an account nobody used yet."""
        return self._balances.get(account, 0)

    def knows(self, account: str) -> bool:
        """Whether the account was begun, or something was ever moved into or out of it."""
        return account in self._balances

    def move(
        self,
        at: datetime,
        *,
        gateway: str,
        kind: str,
        source: str,
        target: str,
        amount_minor: int,
        reference: str,
        transaction_id: str,
    ) -> Movement:
        """Move money, or raise :class:`InsufficientFundsError` and move nothing."""
        if amount_minor <= 0:
            raise ValueError("money moves in positive amounts")
        if self.balance(source) < amount_minor:
            raise InsufficientFundsError(source)
        entry = Movement(
            len(self.movements) + 1,
            at,
            gateway,
            kind,
            source,
            target,
            amount_minor,
            reference,
            transaction_id,
        )
        self._book(entry)
        if self._on_move is not None:
            self._on_move(entry)
        return entry

    def restore(self, entry: Movement) -> None:
        """Book a movement once more, as it was written down; nobody is told.

        Raises :class:`InsufficientFundsError` and ValueError for one that cannot have been.
        """
        if entry.seq != len(self.movements) + 1 or entry.amount_minor <= 0:
            raise ValueError("a movement is missing, or moves nothing")
        if self.balance(entry.source) < entry.amount_minor:
            raise InsufficientFundsError(entry.source)
        self._book(entry)

    def _book(self, entry: Movement) -> None:
        gateway, reference, source, target = entry.gateway, entry.reference, entry.source, entry.target
        self._balances[source] = self.balance(source) - entry.amount_minor
        self._balances[target] = self.balance(target) + entry.amount_minor
        self.movements.append(entry)
        self._of.setdefault(gateway, {}).setdefault(reference, []).append(entry)
        self._totals[gateway] = _added(self.totals(gateway), entry)

    def of(self, gateway: str, reference: str) -> list[Movement]:
        """The movements of one payment, oldest first."""
        return list(self._of.get(gateway, {}).get(reference, ()))

    def money(self, gateway: str, reference: str) -> tuple[int, int]:
        """(captured, refunded) of one payment in paisa, summed from its movements; (0, 0) where nothing moved."""
        summed = (0, 0)
        for entry in self._of.get(gateway, {}).get(reference, ()):
            summed = _added(summed, entry)
        return summed

    def totals(self, gateway: str) -> tuple[int, int]:
        """(captured, refunded) of all payments of a gateway in paisa, kept up with every movement."""
        return self._totals.get(gateway, (0, 0))

    def summed(self) -> tuple[dict[tuple[str, str], tuple[int, int]], dict[str, int]]:
        """Sum every movement afresh: (gateway, reference) -> (captured, refunded), and account -> balance."""
        money: dict[tuple[str, str], tuple[int, int]] = {}
        balances = dict(self._openings)
        for entry in self.movements:
            balances[entry.source] = balances.get(entry.source, 0) - entry.amount_minor
            balances[entry.target] = balances.get(entry.target, 0) + entry.amount_minor
            key = (entry.gateway, entry.reference)
            money[key] = _added(money.get(key, (0, 0)), entry)
        return money, balances


def _added(summed: tuple[int, int], entry: Movement) -> tuple[int, int]:
    """(captured, refunded) with one more movement counted in."""
    if entry.kind == TRANSFER:
        return summed
    merchant = merchant_account(entry.gateway)
    captured, refunded = summed
    captured += entry.amount_minor if _is_of(entry.target, merchant) else 0
    refunded += entry.amount_minor if _is_of(entry.source, merchant) else 0
    return captured, refunded


def _is_of(account: str, merchant: str) -> bool:
    """Whether it is this account, or one of those below it."""
    return account.startswith(merchant) and account[len(merchant) : len(merchant) + 1] in ("", ":")


def merchant_account(gateway: str, till: str = "") -> str:
    """The account in which a gateway collects for a merchant; `till` tells those after the first from it."""
    return f"merchant:{gateway}:{till}" if till else f"merchant:{gateway}"


def hold_account(gateway: str, reference: str) -> str:
    """The account that holds an authorized amount until it is captured or released."""
    return f"hold:{gateway}:{reference}"
