"""The inbox port: what a store offers for webhooks. Part of PaymentStore; `testing.check_store` judges it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from vextrus_payments.inbox import InboxBacklog, InboxEnd, InboxRow, InboxState, NewInboxEvent
from vextrus_payments.mode import Mode
from vextrus_payments.paging import Page


class InboxRows(Protocol):
    """Rows keyed (tenant, gateway, mode, event id), and by (tenant, gateway, mode, news key) too.

    All methods raise StorageError when the database fails: nothing is half-written. What could not be kept or found
    again is refused whole, with InvalidRequestError (a ValueError): more than 1,000 at once; an event id or a news key
    that is empty, longer than 256 characters, or holds a NUL; an end whose state and due time do not go together; a
    time without a zone.
    """

    async def accept_events(self, events: Sequence[NewInboxEvent]) -> tuple[bool, ...]:
        """Keep these, in one commit; durable when it returns. For each, in order: True when it is new, False when a
        row with its event id or its news key is there already, or came before it in the same call. A new row is
        WAITING and due at once.
        """
        ...

    async def lease_events(self, *, limit: int, lease_s: int) -> tuple[InboxRow, ...]:
        """Take up to `limit` rows that are due and that nobody holds, oldest due first; each with a new fence. The
        lease ends by the store's clock. A row that cannot be read back waits its lease out, and holds no other up."""
        ...

    async def end_events(self, ends: Sequence[InboxEnd]) -> tuple[bool, ...]:
        """Record what became of leased rows, in one commit. False, and nothing is changed or announced, where the
        row's fence is not the latest one (another worker has taken it), or the row is over already. A lease that
        ran out without anybody taking the row still counts.
        """
        ...

    async def replay_event(self, tenant: str, gateway: str, mode: Mode, event_id: str) -> bool:
        """Make a row due again at once, whatever its state. False: there is none. A lease that runs is ended by it:
        its holder's fence is old. Its effects are made again by what they are: facts that only grow."""
        ...

    async def get_inbox(self, tenant: str, gateway: str, mode: Mode, event_id: str) -> InboxRow | None:
        """One row."""
        ...

    async def list_inbox(
        self,
        tenant: str | None,
        *,
        gateway: str | None = None,
        state: InboxState | None = None,
        since: datetime | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[InboxRow]:
        """Rows, newest received first; None: of every tenant."""
        ...

    async def inbox_backlog(self) -> InboxBacklog:
        """How much is not over."""
        ...

    async def next_event_at(self) -> datetime | None:
        """When the next row falls due (a lease that runs counts with its end); None: nothing waits."""
        ...

    async def prune_inbox(self, before: datetime, *, limit: int = 1000) -> int:
        """Delete up to `limit` rows that are over and were finished before then; how many. What waits is never
        deleted."""
        ...
