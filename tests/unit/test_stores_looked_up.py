"""What a person asks a store about one payment: what became of its outbox rows, and when it is looked at next."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.records import OutboxKind, SubjectKind
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import open_store
from vextrus_payments.testing import FakeClock
from vextrus_payments.testing.store_records import full_plan


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[PaymentStore]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'a.db'}"
    opened = open_store(url, clock=FakeClock())
    await opened.open()
    yield opened
    await opened.close()


async def test_outbox_rows_are_found_by_their_ids(store: PaymentStore) -> None:
    plan = full_plan(store.now())
    await store.commit(plan)
    wanted = plan.outbox[0]
    (found,) = await store.outbox_rows(wanted.tenant, [wanted.row_id, wanted.row_id, "nobody's"])
    assert (found.row_id, found.document, found.delivered_at) == (wanted.row_id, wanted.document, None)
    assert await store.outbox_rows("other", [wanted.row_id]) == ()
    (leased,) = await store.lease(OutboxKind(found.kind), limit=1, lease_s=60)
    await store.ack(leased)
    (delivered,) = await store.outbox_rows(wanted.tenant, [leased.row_id])
    assert delivered.delivered_at == store.now()
    with pytest.raises(InvalidRequestError):
        await store.outbox_rows("acme", ["x"] * 1001)


async def test_when_a_payment_is_looked_at_next(store: PaymentStore) -> None:
    plan = full_plan(store.now())
    await store.commit(replace(plan, watch_at=store.now()))
    asked = (plan.payment.tenant, SubjectKind.PAYMENT, plan.payment.payment_id)
    assert await store.next_watch(*asked) == store.now()
    (watch,) = await store.lease_watches(limit=1, lease_s=60)
    await store.watch_again(watch, None)
    assert await store.next_watch(*asked) is None
    assert await store.next_watch("other", *asked[1:]) is None
    assert await store.next_watch(asked[0], SubjectKind.AGREEMENT, asked[2]) is None
    assert await store.next_watch(asked[0], SubjectKind.REFUND, asked[2]) is None
