"""The ledger as its entries add up: read from the outbox, summed by account."""

from collections import Counter
from collections.abc import AsyncIterator

from vextrus_payments.documents import from_json
from vextrus_payments.ledger import LedgerEntry, Side
from vextrus_payments.records import OutboxKind
from vextrus_payments.store import PaymentStore


async def entries_of(store: PaymentStore) -> AsyncIterator[LedgerEntry]:
    """Every entry that waits for the ledger."""
    cursor: str | None = None
    while True:
        page = await store.list_outbox(OutboxKind.LEDGER, cursor=cursor, limit=500)
        for row in page.rows:
            yield from_json(LedgerEntry, row.document)
        cursor = page.cursor
        if cursor is None:
            return


async def balances(store: PaymentStore) -> Counter[str]:
    """Debit less credit per account, in paisa."""
    sums: Counter[str] = Counter()
    async for entry in entries_of(store):
        for posting in entry.postings:
            sums[posting.account] += posting.amount.amount_minor * (1 if posting.side is Side.DEBIT else -1)
    return sums


async def entry_ids(store: PaymentStore) -> list[str]:
    """The ids, sorted; one that stands there twice is there twice."""
    return sorted([entry.id async for entry in entries_of(store)])
