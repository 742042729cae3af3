"""The clearing account held against the gateway's own books: summed from the ledger's outbox, compared, explained.

The ledger side is summed from the entries themselves, one page after the other; the gateway's side comes from whoever
can tell: an adapter that knows the merchant's balance (`GatewayBooks`), or the local sandbox's books. Neither has seen
the other.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol, runtime_checkable

from vextrus_payments.documents import from_json
from vextrus_payments.ledger import AccountMap, LedgerEntry, Side
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.records import OutboxKind
from vextrus_payments.store import PaymentStore

_PAGE: Final = 1000
_SETTLEMENT: Final = "settlement/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a gateway holds for us, by its own books."""

    amount: Money
    at: datetime | None = None
    pays_out: bool = True
    """Whether what was settled has left it. A sandbox never pays out, so settlements do not count against it."""
    by_reference: Mapping[str, Money] | None = None
    """Gateway reference -> what it holds of that payment, where its books say so much; then a difference is named."""


@runtime_checkable
class GatewayBooks(Protocol):
    """A gateway that tells what it holds for the merchant: an organization balance, a sandbox's books."""

    async def held(self, currency: str) -> Held:
        """What it holds in this currency.

        Raises:
            GatewayError: no answer came.
        """
        ...


@dataclass(slots=True)
class Clearing:
    """One clearing account: a gateway, a mode, a currency."""

    gateway: str
    mode: Mode
    currency: str
    minor: int = 0
    settled_minor: int = 0
    """What settlements took off it (or put on it: negative), in minor units; part of `minor`."""
    entries: int = 0
    undelivered: int = 0

    @property
    def amount(self) -> Money:
        """What the account holds."""
        return Money.from_minor(self.minor, self.currency)

    def difference(self, held: Held) -> Money:
        """The ledger less the gateway's books."""
        expected = self.minor if held.pays_out else self.minor - self.settled_minor
        return Money.from_minor(expected - held.amount.amount_minor, self.currency)


async def clearing_accounts(
    store: PaymentStore,
    accounts: AccountMap,
    *,
    gateway: str | None,
    mode: Mode | None,
    on_page: Callable[[int], None] | None = None,
) -> list[Clearing]:
    """The clearing accounts, summed over every ledger entry there is. Reads pages, never all rows.

    Args:
        on_page: is told after each page how many entries were read.

    Raises:
        StorageError: the store cannot be read, or holds an entry that is none.
    """
    found: dict[tuple[str, Mode, str], Clearing] = {}
    cursor: str | None = None
    read = 0
    while True:
        page = await store.list_outbox(OutboxKind.LEDGER, cursor=cursor, limit=_PAGE)
        read += len(page.rows)
        if on_page is not None:
            on_page(read)
        for row in page.rows:
            entry = from_json(LedgerEntry, row.document)
            if (gateway is not None and entry.gateway != gateway) or (
                mode is not None and entry.mode is not mode
            ):
                continue
            for currency, minor in _cleared(entry, accounts).items():
                key = (entry.gateway, entry.mode, currency)
                one = found.setdefault(key, Clearing(entry.gateway, entry.mode, currency))
                one.minor += minor
                one.entries += 1
                one.undelivered += row.delivered_at is None
                if row.subject.startswith(_SETTLEMENT):
                    one.settled_minor += minor
        if page.cursor is None:
            return sorted(found.values(), key=lambda one: (one.gateway, one.mode, one.currency))
        cursor = page.cursor


def _cleared(entry: LedgerEntry, accounts: AccountMap) -> dict[str, int]:
    """Currency -> what the entry does to the clearing account, in minor units; nothing where it does not touch it."""
    clearing = accounts.clearing_of(entry.gateway, entry.mode)
    sums: dict[str, int] = defaultdict(int)
    for posting in entry.postings:
        if posting.account == clearing:
            sign = 1 if posting.side is Side.DEBIT else -1
            sums[posting.amount.currency] += sign * posting.amount.amount_minor
    return sums


def as_document(clearing: Clearing, held: Held | None, why_not: str | None) -> dict[str, Any]:
    """One account for JSON."""
    difference = None if held is None else clearing.difference(held)
    return {
        "gateway": clearing.gateway,
        "mode": clearing.mode.value,
        "currency": clearing.currency,
        "ledger": clearing.amount.amount,
        "entries": clearing.entries,
        "undelivered": clearing.undelivered,
        "gateway_holds": None if held is None else held.amount.amount,
        "difference": None if difference is None else difference.amount,
        "not_compared": why_not,
    }
