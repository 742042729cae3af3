"""How a `Payments` stands, measured: what its store and its workers tell (health.py says what it means)."""

import asyncio
from typing import Final

from vextrus_payments.app.wiring import Given, Parts
from vextrus_payments.errors import PaymentsError
from vextrus_payments.health import Health, InboxHealth, OpenHealth, QueueHealth
from vextrus_payments.paging import Page
from vextrus_payments.records import OperationKind, OperationState, Payout
from vextrus_payments.store import PaymentStore

_HEALTH_S: Final = 3.0
#: How many payouts are read, page by page: a measure is asked for often, and does not read a whole table.
_PAGE: Final = 200
_PAGES: Final = 10


async def measured(given: Given, parts: Parts, *, opened: bool) -> Health:
    """See Payments.health. Asks the store only where it is open."""
    problem: str | None = None
    queues: tuple[QueueHealth, ...] = ()
    unknown: OpenHealth | None = None
    inbox: InboxHealth | None = None
    in_review = 0
    restored: str | None = None
    if opened:
        try:
            async with asyncio.timeout(_HEALTH_S):
                queues = await parts.outbox.health()
                payouts = await payouts_out(given.store)
                unknown = await _unknown(given.store, payouts)
                in_review = sum(payout.in_review for payout in payouts.rows)
                inbox = await _inbox(given.store)
                restored = (await parts.epochs.state()).restored
        except TimeoutError:
            problem = f"The store did not answer within {_HEALTH_S:g} s."
        except PaymentsError as error:
            problem = error.what
        except Exception as error:  # noqa: BLE001 - a store of the host's own may raise anything
            problem = f"The store failed ({type(error).__name__})."
    return Health(
        at=given.clock.now(),
        opened=opened,
        store_problem=problem,
        queues=queues,
        workers=parts.crew.health() if parts.crew.started else (),
        observer_failures=given.observer.failures,
        overdue_s=parts.outbox.overdue_s,
        unknown=unknown,
        inbox=inbox,
        payouts_in_review=in_review,
        restored=restored,
        forwarder=given.guard.forwarder,
    )


async def _inbox(store: PaymentStore) -> InboxHealth:
    backlog, now = await store.inbox_backlog(), store.now()
    oldest = backlog.oldest_received_at
    age_s = None if oldest is None else max(0.0, (now - oldest).total_seconds())
    return InboxHealth(waiting=backlog.waiting, parked=backlog.parked, oldest_s=age_s)


async def payouts_out(store: PaymentStore) -> Page[Payout]:
    """The payouts that wait for the gateway or for a person; those that wait for their caller may be many, and must not
    hide one of them. A cursor: there are more than were read."""
    found: list[Payout] = []
    cursor = None
    for _ in range(_PAGES):
        page = await store.list_payouts(None, unsettled=True, cursor=cursor, limit=_PAGE)
        found += [one for one in page.rows if one.state is not OperationState.RESERVED]
        cursor = page.cursor
        if cursor is None:
            break
    return Page(tuple(found), cursor)


async def _unknown(store: PaymentStore, paid_out: Page[Payout]) -> OpenHealth:
    """What nobody knows the end of. What only opened a session is left out: nothing moves by it."""
    states = (OperationState.UNKNOWN, OperationState.PENDING)
    page = await store.list_operations(None, states=states, limit=100)
    rows = [o for o in page.rows if o.kind is not OperationKind.INITIALIZE]
    rows += [payout.operation for payout in paid_out.rows if payout.state in states]
    oldest = min((o.updated_at for o in rows), default=None)
    age_s = None if oldest is None else max(0.0, (store.now() - oldest).total_seconds())
    more = page.cursor is not None or paid_out.cursor is not None
    return OpenHealth(count=len(rows), more=more, oldest_s=age_s)
