"""check_store(): judges a PaymentStore by what the engine relies on. For those who write a store of their own.

Each check starts from a fresh store, works through the port alone, and complains in one sentence. With `reopen` the
callers of every race come through two handles on the same rows, as two processes would.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from vextrus_payments.clock import SystemSleeper
from vextrus_payments.store import PaymentStore
from vextrus_payments.testing import (
    store_checks_agreements,
    store_checks_books,
    store_checks_commit,
    store_checks_flow,
    store_checks_inbox,
    store_checks_news,
    store_checks_outbox,
    store_checks_payouts,
    store_checks_queue,
    store_checks_races,
    store_checks_reading,
    store_checks_watches,
)
from vextrus_payments.testing.store_trial import StoreTrial

Check = Callable[[StoreTrial], Awaitable[None]]

_ALL: Final[dict[str, Check]] = {
    check.__name__: check
    for checks in (
        store_checks_flow.CHECKS,
        store_checks_commit.CHECKS,
        store_checks_reading.CHECKS,
        store_checks_queue.CHECKS,
        store_checks_races.CHECKS,
        store_checks_outbox.CHECKS,
        store_checks_watches.CHECKS,
        store_checks_agreements.CHECKS,
        store_checks_payouts.CHECKS,
        store_checks_books.CHECKS,
        store_checks_news.CHECKS,
        store_checks_inbox.CHECKS,
    )
    for check in checks
}

#: The names of all checks, for those who want a test of its own for each.
STORE_CHECKS: Final = tuple(_ALL)


async def check_store(
    make_store: Callable[[], PaymentStore | Awaitable[PaymentStore]],
    *,
    advance: Callable[[float], Awaitable[None] | None] | None = None,
    reopen: Callable[[PaymentStore], PaymentStore | Awaitable[PaymentStore]] | None = None,
    only: Iterable[str] = STORE_CHECKS,
) -> None:
    """Run the checks, each on a fresh store.

    Args:
        make_store: a store without rows, not opened yet. Called once per check.
        advance: lets that many seconds pass on the store's clock, such as FakeClock.advance; None = really waits
            (some twenty seconds in all).
        reopen: another, not yet opened handle on the rows of a store; None = all callers share the one handle.
        only: names from STORE_CHECKS.

    Raises:
        AssertionError: the store failed a check; the text starts with the check's name.
        KeyError: `only` names no check.
    """

    async def let_pass(seconds: float) -> None:
        passed = SystemSleeper().sleep(seconds) if advance is None else advance(seconds)
        if passed is not None:
            await passed

    for name in only:
        check = _ALL[name]
        store = await _made(make_store())
        await store.open()
        other = store if reopen is None else await _made(reopen(store))
        try:
            if other is not store:
                await other.open()
            await check(StoreTrial(store, other, let_pass))
        except AssertionError as failure:
            complaint = f"{name}: {failure}"
        else:
            continue
        finally:
            if other is not store:
                await other.close()
            await store.close()
        raise AssertionError(complaint)


async def _made(made: PaymentStore | Awaitable[PaymentStore]) -> PaymentStore:
    return await made if inspect.isawaitable(made) else made
