"""Hundreds of unknown payments at once: every one is resolved rightly, and the ledger equals the gateway's books."""

import asyncio
from collections import Counter
from pathlib import Path

from tests.flows.shop import Shop, shop_open
from vextrus_payments import Unknown
from vextrus_payments.reconcile import Reconciled, ReconcileLimits
from vextrus_payments.records import OperationState, PaymentState

COUNT = 300
AT_ONCE = 20
"""How many are opened side by side: all of them at once would wait longer for an answer than a call may."""
LIMITS = ReconcileLimits(at_once=100, at_once_per_gateway=100, held=200, batch=100)


async def _opened(shop: Shop, number: int) -> str:
    session = await shop.open(f"INV-{number}", f"{5 + number / 100:.2f}")
    shop.approve(session)
    return session.payment_id


async def _unknown(shop: Shop, ids: list[str], fault: str) -> None:
    """Execute them all while no answer comes back."""
    shop.fault("execute", fault, times=len(ids))
    shop.fault("query", "drop_before", times=100_000)
    for payment_id in ids:
        assert isinstance(await shop.payments.execute(payment_id), Unknown)
        shop.clock.advance(21)  # the breaker lets one through again
    shop.server.app.state.faults.clear()


async def test_hundreds_of_unknown_payments_are_all_resolved_rightly(tmp_path: Path) -> None:
    async with shop_open(tmp_path, reconcile_limits=LIMITS) as shop:
        ids: list[str] = []
        for begun in range(0, COUNT, AT_ONCE):
            ids += await asyncio.gather(*(_opened(shop, begun + number) for number in range(AT_ONCE)))
        made, unmade = ids[: COUNT * 2 // 3], ids[COUNT * 2 // 3 :]
        await _unknown(shop, made, "drop_after")
        await _unknown(shop, unmade, "drop_before")
        assert shop.moved()["execute"] == len(made)
        asked_before = Counter(_queries(shop))

        shop.clock.advance(40)
        seen: list[Reconciled] = []
        report = await shop.payments.reconcile_due(on_each=seen.append)
        assert report.looked_at == COUNT and report.failed == 0
        assert report.changed >= COUNT - 1, "the last one's absence may be no proof yet"
        asked = Counter(_queries(shop)) - asked_before
        assert set(asked.values()) == {1} and len(asked) == COUNT, "one question each"

        for _ in range(12):
            if not await _open_operations(shop):
                break
            shop.clock.advance(130)
            await shop.payments.reconcile_due()
        states = Counter([(await _state(shop, payment_id)).value for payment_id in ids])
        assert states == {"paid": COUNT}
        assert shop.moved() == {"execute": COUNT}, "each was executed once, whoever had lost which answer"
        executed = Counter(
            call["reference"]
            for call in shop.server.world.wire.as_json()
            if call["operation"] == "execute" and call["moved_money"]
        )
        assert set(executed.values()) == {1}
        await shop.check_books()
        while await shop.payments.deliver():
            pass
        assert len({entry.id for entry in shop.entries}) == COUNT == len(shop.entries)


def _queries(shop: Shop) -> list[str]:
    return [call["reference"] for call in shop.server.world.wire.as_json() if call["operation"] == "query"]


async def _open_operations(shop: Shop) -> bool:
    states = (
        OperationState.RESERVED,
        OperationState.SUBMITTING,
        OperationState.PENDING,
        OperationState.UNKNOWN,
    )
    return bool((await shop.payments.store.list_operations(states=states, limit=1)).rows)


async def _state(shop: Shop, payment_id: str) -> PaymentState:
    facts = await shop.payments.get(payment_id)
    assert facts is not None
    return facts.payment.state
