"""The inbox's worker: crashes are redone, stale leases end nothing, one gateway's silence hinders no other."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.toy import a_request
from tests.webhooks.world import Town, town_open, toy_config
from vextrus_payments import Paid, Pending
from vextrus_payments.clock import SystemClock
from vextrus_payments.config import GatewayConfig
from vextrus_payments.engine import Applied, Engine
from vextrus_payments.errors import ConfigurationError, StorageError
from vextrus_payments.inbox import KEEP_DAYS, InboxEnd, InboxState
from vextrus_payments.outbox import OutboxLimits
from vextrus_payments.webhooks.inbox import InboxPorts, InboxWorker
from vextrus_payments.webhooks.inbox_limits import InboxLimits


async def paid_and_told(town: Town, reference: str = "INV-1", event_id: str = "e-1") -> Any:
    """A payment that the gateway has taken, and its webhook in the inbox."""
    session = await town.approved(reference)
    town.paid_there(session)
    assert (await town.deliver(town.told(session, event_id))).status == 200
    return session


# --- crashes ------------------------------------------------------------------------------------------------------


async def test_a_crash_between_seen_and_done_is_redone(town: Town) -> None:
    session = await paid_and_told(town)
    (taken,) = await town.payments.store.lease_events(limit=10, lease_s=120)
    assert taken.event_id == "e-1"  # and then that process died
    assert await town.payments.process_inbox() == 0, "nobody takes what somebody may still be at"
    town.clock.advance(121)
    assert await town.payments.process_inbox() == 1
    assert isinstance(await town.payments.status(session.payment_id), Paid)
    assert await town.fired() == ["payment.paid"]


async def test_a_crash_after_the_effects_and_before_their_end_changes_nothing_more(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await paid_and_told(town)

    async def die(ends: Sequence[InboxEnd]) -> tuple[bool, ...]:
        raise StorageError("The process died here.")

    with monkeypatch.context() as dying:
        dying.setattr(town.payments.store, "end_events", die)
        assert await town.payments.process_inbox() == 1
    assert isinstance(await town.payments.status(session.payment_id), Paid)
    assert (await town.row()).state is InboxState.WAITING
    town.clock.advance(121)
    assert await town.payments.process_inbox() == 1
    assert (await town.row()).state is InboxState.DONE
    assert await town.fired() == ["payment.paid"]
    assert await town.booked() == {("payment.received", "TRX1"): 1}


async def test_a_stale_lease_ends_nothing(town: Town) -> None:
    await paid_and_told(town)
    store = town.payments.store
    (old,) = await store.lease_events(limit=1, lease_s=120)
    town.clock.advance(121)
    (new,) = await store.lease_events(limit=1, lease_s=120)
    assert new.fence > old.fence
    assert await store.end_events([InboxEnd(row=old, state=InboxState.UNMATCHED)]) == (False,)
    later = town.clock.now() + timedelta(seconds=1)
    put_off = InboxEnd(row=old, state=InboxState.WAITING, due_at=later)
    assert await store.end_events([put_off]) == (False,), "it can neither complete nor release"
    assert (await town.row()).state is InboxState.WAITING
    assert await store.end_events([InboxEnd(row=new, state=InboxState.DONE)]) == (True,)


async def test_an_announcement_is_made_with_its_row_or_not_at_all(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    await town.deliver({"id": "e-1", "amount": "40", "trx": "QR1"})
    end_events = town.payments.store.end_events

    async def die(ends: Sequence[InboxEnd]) -> tuple[bool, ...]:
        raise StorageError("The process died here.")

    monkeypatch.setattr(town.payments.store, "end_events", die)
    await town.payments.process_inbox()
    assert await town.fired() == []
    monkeypatch.setattr(town.payments.store, "end_events", end_events)
    town.clock.advance(121)
    await town.payments.process_inbox()
    assert await town.fired() == ["receipt.unmatched"]


async def test_replaying_anything_any_number_of_times_changes_nothing(town: Town) -> None:
    session = await paid_and_told(town)
    await town.deliver({"id": "e-2", "amount": "40", "trx": "QR1"})
    await town.payments.process_inbox()
    before = await town.payments.get(session.payment_id), await town.booked(), await town.fired()
    for _ in range(5):
        for event_id in ("e-1", "e-2"):
            row = await town.row(event_id)
            assert await town.payments.store.replay_event("default", "toy", row.mode, event_id)
        assert await town.payments.process_inbox() == 2
    after = await town.payments.get(session.payment_id), await town.booked(), await town.fired()
    assert after == before


async def test_a_replay_while_it_is_in_hand_ends_the_lease(town: Town) -> None:
    await paid_and_told(town)
    store = town.payments.store
    (held,) = await store.lease_events(limit=1, lease_s=120)
    assert await store.replay_event("default", "toy", held.mode, "e-1")
    assert await store.end_events([InboxEnd(row=held, state=InboxState.DONE)]) == (False,)
    assert await town.payments.process_inbox() == 1


# --- as a background job ------------------------------------------------------------------------------------------


async def until(condition: Any, seconds: float = 5.0) -> None:
    """Wait on the real clock until it holds."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.005)


async def test_the_worker_is_woken_by_the_door(tmp_path: Path) -> None:
    """Polling is far off: only the sign of the receiver can be quick."""
    limits = InboxLimits(poll_s=3600)
    async with town_open(f"sqlite:///{tmp_path / 'shop.db'}", workers=True, inbox_limits=limits) as town:
        session = await town.approved()
        town.paid_there(session)
        await asyncio.sleep(0.05)
        await town.deliver(town.told(session))

        async def done() -> bool:
            return (await town.row()).state is InboxState.DONE

        await until(done)
        health = await town.payments.health()
        assert {worker.name for worker in health.workers} == {"outbox", "reconcile", "inbox"}
    assert "payment.paid" in [event.kind.value for event in town.events]


async def test_what_another_process_kept_is_found_by_looking(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    async with town_open(url) as door:
        session = await door.approved()
        door.paid_there(session)
        await door.deliver(door.told(session))
        limits = InboxLimits(poll_s=0.02)
        async with town_open(
            url, workers=True, inbox_limits=limits, server=door.server, clock=door.clock
        ) as worker:

            async def done() -> bool:
                return (await door.row()).state is InboxState.DONE

            await until(done)
        assert isinstance(await door.payments.status(session.payment_id), Paid)
        assert worker.events


async def test_it_stops_at_once_where_nothing_is_in_hand_and_finishes_what_is(town: Town) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    class Slow:
        async def apply_event(self, *args: Any, **named: Any) -> Applied:
            begun.set()
            await go_on.wait()
            return await Engine.apply_event(town.payments._open_engine(), *args, **named)

    await paid_and_told(town)
    worker = InboxWorker(ports(town, Slow()), InboxLimits(poll_s=0.01))
    running = asyncio.create_task(worker.run())
    await begun.wait()
    worker.stop()
    await asyncio.sleep(0.01)
    assert not running.done()
    go_on.set()
    async with asyncio.timeout(60):
        await running
    assert (await town.row()).state is InboxState.DONE


async def test_cut_off_it_leaves_its_rows_to_others(town: Town) -> None:
    class Hangs:
        async def apply_event(self, *args: Any, **named: Any) -> Applied:
            await asyncio.Event().wait()
            raise AssertionError("never")

    await paid_and_told(town)
    worker = InboxWorker(ports(town, Hangs()), InboxLimits(poll_s=0.01))
    running = asyncio.create_task(worker.run())
    await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (await town.row()).state is InboxState.WAITING
    town.clock.advance(121)
    assert await town.payments.process_inbox() == 1
    assert (await town.row()).state is InboxState.DONE


async def test_a_store_that_fails_for_a_while_ends_nothing(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    await paid_and_told(town)
    store, calls = town.payments.store, []
    next_event_at = store.next_event_at

    async def flaky() -> Any:
        calls.append(1)
        if len(calls) < 3:
            raise StorageError("Locked.") if len(calls) == 1 else RuntimeError("a driver's own")
        return await next_event_at()

    monkeypatch.setattr(store, "next_event_at", flaky)
    worker = InboxWorker(ports(town), InboxLimits(poll_s=0.01))
    running = asyncio.create_task(worker.run())

    async def done() -> bool:
        return (await town.row()).state is InboxState.DONE

    await until(done)
    worker.stop()
    await running


def ports(town: Town, engine: Any = None) -> InboxPorts:
    """The town's own, with an engine that may be another."""
    payments = town.payments
    return InboxPorts(
        store=payments.store,
        engine=engine or payments._open_engine(),
        clock=payments._given.clock,
        entropy=payments._given.entropy,
        observer=payments._given.observer,
        on_commit=lambda: None,
    )


# --- pauses, lanes, pruning ---------------------------------------------------------------------------------------


async def test_one_row_that_breaks_the_engine_stops_no_other_and_stays_visible(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await paid_and_told(town, "INV-1", "e-good")
    await town.deliver({"id": "e-bad", "order": "INV-1", "amount": "100", "trx": "BREAKS"})
    real = Engine.apply_event

    async def fragile(self: Engine, *args: Any, **named: Any) -> Applied:
        if args[3].event_id == "e-bad":
            raise RuntimeError("canary-secret-of-the-host")
        return await real(self, *args, **named)

    monkeypatch.setattr(Engine, "apply_event", fragile)
    pauses = []
    for _ in range(12):
        await town.payments.process_inbox()
        row = await town.row("e-bad")
        assert row.state is InboxState.WAITING and row.due_at is not None
        assert "RuntimeError" in (row.note or "") and "canary" not in (row.note or "")
        pauses.append((row.due_at - town.clock.now()).total_seconds())
        town.clock.advance(pauses[-1] + 1)
    assert isinstance(await town.payments.status(session.payment_id), Paid)
    assert pauses[0] <= 1 and 150 <= pauses[-1] <= 300, "the pauses double, up to a bound"
    health = await town.payments.health()
    assert health.inbox is not None and health.inbox.waiting == 1
    town.clock.advance(900)
    assert "inbox_overdue" in [trouble.code for trouble in (await town.payments.health()).troubles]


async def test_a_silent_gateway_is_left_alone_and_hinders_no_other() -> None:
    from tests.webhooks.world import NewsServer

    servers = {"a": NewsServer(), "b": NewsServer()}

    async def credentials(tenant: str, gateway: str) -> GatewayConfig:
        return toy_config()

    async with town_open(gateways=None, credentials=credentials, server=servers["b"]) as town:
        for tenant, server in servers.items():
            gateway = await town.payments.gateway_of(tenant, "toy")
            gateway._transport = server
        ours = await town.payments.for_tenant("b").initialize(a_request("INV-b"))
        theirs = [await town.payments.for_tenant("a").initialize(a_request(f"INV-{n}")) for n in range(40)]
        for number, session in enumerate(theirs):
            event = {"id": f"a-{number}", "order": session.gateway_order_id, "amount": "100", "trx": "X"}
            await town.deliver(event, tenant="a")
        servers["a"].down = True
        town.paid_there(ours)
        await town.deliver(town.told(ours, "b-1"), tenant="b")
        assert await town.payments.process_inbox() >= 41
        assert isinstance(await town.payments.for_tenant("b").status(ours.payment_id), Paid)
        assert servers["a"].unanswered <= 40, "of forty pieces of news few ask, each three times"
        servers["a"].down = False
        asked = servers["a"].sent("query")
        for _ in range(10):
            town.clock.advance(120)
            await town.payments.process_inbox()
        assert servers["a"].sent("query") >= asked + 40, "then each is asked about"


async def test_news_of_one_gateway_never_takes_every_place() -> None:
    limits = InboxLimits(at_once=8, at_once_per_gateway=4, poll_s=0.01)

    async def credentials(tenant: str, gateway: str) -> GatewayConfig:
        return toy_config()

    async with town_open(gateways=None, credentials=credentials) as town:
        for number in range(30):
            await town.deliver({"id": f"a-{number}", "amount": "1", "trx": f"A{number}"}, tenant="a")
        await town.deliver({"id": "b-1", "amount": "1", "trx": "B"}, tenant="b")
        begun: list[str] = []
        go_on = asyncio.Event()

        class Slow:
            async def apply_event(self, tenant: str, *args: Any, **named: Any) -> Applied:
                begun.append(tenant)
                if tenant == "a":
                    await go_on.wait()
                return await Engine.apply_event(town.payments._open_engine(), tenant, *args, **named)

        worker = InboxWorker(ports(town, Slow()), limits)
        running = asyncio.create_task(worker.run())
        await asyncio.sleep(0.1)
        assert begun.count("a") <= 8
        go_on.set()

        async def b_is_done() -> bool:
            return (await town.row("b-1", "b")).state is InboxState.UNMATCHED

        await until(b_is_done)
        worker.stop()
        await running


async def test_old_rows_go_and_what_waits_stays(town: Town) -> None:
    await paid_and_told(town)
    await town.payments.process_inbox()
    await town.deliver({"id": "e-parked", "order": "INV-77", "amount": "1", "trx": "P"})
    await town.payments.process_inbox()
    worker = InboxWorker(ports(town), InboxLimits(poll_s=0.01))
    for days, left in ((KEEP_DAYS - 1, 2), (2, 1)):
        town.clock.advance(days * 86_400)
        running = asyncio.create_task(worker.run())
        await asyncio.sleep(0.05)
        rows = (await town.payments.store.list_inbox(None)).rows
        assert len(rows) == left
        worker.stop()
        await running
        worker = InboxWorker(ports(town), InboxLimits(poll_s=0.01))
    assert [row.event_id for row in (await town.payments.store.list_inbox(None)).rows] == ["e-parked"]


async def test_a_document_that_cannot_be_read_stays_visible(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await town.approved()
    accept = town.payments.store.accept_events

    async def spoil(events: Any) -> Any:
        return await accept([replace(event, document='{"of": "another release"}') for event in events])

    monkeypatch.setattr(town.payments.store, "accept_events", spoil)
    await town.deliver(town.told(session))
    await town.payments.process_inbox()
    row = await town.row()
    assert row.state is InboxState.WAITING and "StorageError" in (row.note or "")
    assert isinstance(await town.payments.status(session.payment_id), Pending)


async def test_no_more_look_ups_at_once_than_the_gateways_manners_allow(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = [await town.approved(f"INV-{number}") for number in range(20)]
    for number, session in enumerate(sessions):
        town.paid_there(session)
        await town.deliver(town.told(session, f"e-{number}"))
    send, asking, most = town.server.send, 0, 0

    async def slow(request: Any, **named: Any) -> Any:
        nonlocal asking, most
        asking += 1
        most = max(most, asking)
        await asyncio.sleep(0.002)
        asking -= 1
        return await send(request, **named)

    monkeypatch.setattr(town.server, "send", slow)
    assert await town.payments.process_inbox() == 20
    assert 1 < most <= 8
    assert len(await town.booked()) == 20


async def test_a_gateway_whose_work_hangs_leaves_places_to_the_others() -> None:
    limits = InboxLimits(at_once=8, at_once_per_gateway=4, batch=10, poll_s=0.02)

    async def credentials(tenant: str, gateway: str) -> GatewayConfig:
        return toy_config()

    async with town_open(gateways=None, credentials=credentials) as town:
        for number in range(60):
            await town.deliver({"id": f"a-{number}", "amount": "1", "trx": f"A{number}"}, tenant="a")
        await town.deliver({"id": "b-1", "amount": "1", "trx": "B"}, tenant="b")
        begun: Counter[str] = Counter()
        leases: list[int] = []
        lease_events = town.payments.store.lease_events

        async def counted(*, limit: int, lease_s: int) -> Any:
            rows = await lease_events(limit=limit, lease_s=lease_s)
            leases.append(len(rows))
            return rows

        class Hangs:
            async def apply_event(self, tenant: str, *args: Any, **named: Any) -> Applied:
                begun[tenant] += 1
                if tenant == "a":
                    await asyncio.Event().wait()
                return await Engine.apply_event(town.payments._open_engine(), tenant, *args, **named)

        town.payments.store.lease_events = counted  # type: ignore[method-assign]
        worker = InboxWorker(replace(ports(town, Hangs()), clock=SystemClock()), limits)
        running = asyncio.create_task(worker.run())

        async def b_is_done() -> bool:
            town.clock.advance(0.01)
            return (await town.row("b-1", "b")).state is InboxState.UNMATCHED

        await until(b_is_done)
        assert begun["a"] == 4, "its share, and no more"
        assert max(leases) <= 10
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_full_lane_is_refilled_as_its_rows_end_and_not_looked_through_each_time(town: Town) -> None:
    limits = InboxLimits(at_once=8, at_once_per_gateway=4, batch=10, poll_s=60)
    for number in range(100):
        await town.deliver({"id": f"a-{number}", "amount": "1", "trx": f"A{number}"})
    leased = 0
    lease_events = town.payments.store.lease_events

    async def counted(*, limit: int, lease_s: int) -> Any:
        nonlocal leased
        rows = await lease_events(limit=limit, lease_s=lease_s)
        leased += len(rows)
        return rows

    class Slow:
        async def apply_event(self, *args: Any, **named: Any) -> Applied:
            await asyncio.sleep(0.002)
            return await Engine.apply_event(town.payments._open_engine(), *args, **named)

    town.payments.store.lease_events = counted  # type: ignore[method-assign]
    worker = InboxWorker(ports(town, Slow()), limits)
    running = asyncio.create_task(worker.run())

    async def most_are_done() -> bool:
        rows = (await town.payments.store.list_inbox(None, limit=1000)).rows
        return sum(row.state is InboxState.UNMATCHED for row in rows) >= 80  # some were put off

    await until(most_are_done)
    worker.stop()
    await running
    assert leased <= 120, "a row is leased about once"


async def test_what_waits_for_its_turn_is_taken_as_soon_as_there_is_a_place(town: Town) -> None:
    """A shop with one gateway, and more news than places: the look past the full lane leaves the lane its work."""
    limits = InboxLimits(at_once=4, at_once_per_gateway=2, batch=100, poll_s=1)
    for number in range(60):
        await town.deliver({"id": f"a-{number}", "amount": "1", "trx": f"A{number}"})
    began = town.clock.now()
    worker = InboxWorker(ports(town), limits)
    running = asyncio.create_task(worker.run())

    async def all_are_done() -> bool:
        rows = (await town.payments.store.list_inbox(None, limit=1000)).rows
        return all(row.state is InboxState.UNMATCHED for row in rows)

    await until(all_are_done)
    assert town.clock.now() == began, "nobody had to wait until a pause was over"
    worker.stop()
    await running


async def test_what_was_parked_gets_its_patience_when_it_is_found(town: Town) -> None:
    """Two hours early: by its age alone the first look-up's denial would count."""
    await town.deliver({"id": "e-1", "order": "INV-1", "amount": "100", "trx": "TRX1"})
    await town.payments.process_inbox()
    town.clock.advance(2 * 3600)
    session = await town.approved("INV-1")
    await town.payments.process_inbox()
    row = await town.row()
    assert (row.state, row.payment_id) == (InboxState.WAITING, session.payment_id)
    assert isinstance(await town.payments.status(session.payment_id), Pending)


async def test_what_is_parked_stays_so_while_it_is_put_off_untried(town: Town) -> None:
    """Called waiting because its gateway was silent about other news, it would have no patience left when found."""
    await town.deliver({"id": "e-1", "order": "INV-1", "amount": "100", "trx": "TRX1"})
    await town.payments.process_inbox()
    other = await town.approved("INV-2")
    town.server.down = True
    await town.deliver(town.told(other, "e-2", trx="TRX2"))
    worker = InboxWorker(ports(town))
    await worker.process()
    town.clock.advance(1.5)
    await worker.process()
    row = await town.row()
    assert "did not answer a moment ago" in (row.note or "")
    assert row.state is InboxState.PARKED
    town.server.down = False
    town.clock.advance(2 * 3600)
    session = await town.approved("INV-1")
    await town.payments.process_inbox()
    assert (await town.row()).state is InboxState.WAITING
    assert isinstance(await town.payments.status(session.payment_id), Pending), (
        "not quarantined at first sight"
    )


async def test_an_announcement_wakes_the_outbox(tmp_path: Path) -> None:
    limits = OutboxLimits(poll_s=3600, peek_s=None)
    async with town_open("memory://", workers=True, outbox_limits=limits) as town:
        await asyncio.sleep(0.05)
        await town.deliver({"id": "e-1", "amount": "40", "trx": "QR1"})

        async def told() -> bool:
            return [event.kind.value for event in town.events] == ["receipt.unmatched"]

        await until(told)


async def test_closing_waits_for_what_is_being_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    town = Town(f"sqlite:///{tmp_path / 'shop.db'}")
    async with town.payments:
        accept = town.payments.store.accept_events

        async def slow(events: Any) -> tuple[bool, ...]:
            await asyncio.sleep(0.05)
            return await accept(events)

        monkeypatch.setattr(town.payments.store, "accept_events", slow)
        delivering = asyncio.create_task(town.deliver({"id": "e-1", "amount": "40", "trx": "QR1"}))
        await asyncio.sleep(0.01)
    assert (await delivering).status == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"at_once": 0},
        {"at_once": 1_001},
        {"at_once": 4},
        {"batch": 1_001},
        {"lease_s": 0},
        {"poll_s": float("inf")},
        {"poll_s": -1},
        {"poll_s": True},
        {"keep_s": 60},
    ],
    ids=str,
)
def test_limits_that_do_not_fit_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        InboxLimits(**wrong)
    assert caught.value.code == "inbox_limits"


# --- what cannot be worked off -----------------------------------------------------------------------------------


async def test_what_cannot_be_worked_off_for_an_hour_is_told_once_and_still_tried(town: Town) -> None:
    """A gateway that never answers about it: somebody has to know, and when it answers in the end it is booked."""
    session = await paid_and_told(town)
    town.server.down = True
    for _ in range(12):
        town.clock.advance(240)
        await town.payments.process_inbox()
    assert "webhook.stuck" not in await town.fired()
    for _ in range(8):
        town.clock.advance(310)
        await town.payments.process_inbox()
    assert (await town.fired()).count("webhook.stuck") == 1
    told = next(event for event in town.events if event.kind.value == "webhook.stuck")
    assert told.metadata["inbox_event_id"] == "e-1" and "no answer" in told.metadata["note"]
    assert (told.after, told.amount, told.transaction_id) == ("waiting", None, None)
    assert told.payment_id == session.payment_id
    town.server.down = False
    health = await town.payments.health()
    assert "inbox_overdue" in [one.code for one in health.troubles]
    town.clock.advance(310)
    await town.payments.process_inbox()
    assert (await town.row()).state is InboxState.DONE
    assert isinstance(await town.payments.status(session.payment_id), Paid)
    fired = await town.fired()
    assert fired.count("webhook.stuck") == fired.count("webhook.unstuck") == 1
    assert fired.index("webhook.stuck") < fired.index("webhook.unstuck")
    back = next(event for event in town.events if event.kind.value == "webhook.unstuck")
    assert (back.before, back.after, back.payment_id) == ("waiting", "done", session.payment_id)
    assert back.metadata == {"inbox_event_id": "e-1"}
    # Worked on again, it is neither stuck nor unstuck once more.
    row = await town.row()
    assert await town.payments.store.replay_event("default", row.gateway, row.mode, "e-1")
    town.clock.advance(310)
    await town.payments.process_inbox()
    assert await town.fired() == fired


async def test_what_only_waits_for_its_turn_after_hours_without_a_worker_is_not_stuck(town: Town) -> None:
    names = [f"e-{number}" for number in range(12)]
    for name in names:
        await paid_and_told(town, f"INV-{name}", name)
    town.clock.advance(2 * 3600)
    limits = InboxLimits(at_once=8, at_once_per_gateway=2, poll_s=0.01)
    worker = InboxWorker(ports(town), limits)
    running = asyncio.create_task(worker.run())

    async def done() -> bool:
        return all([(await town.row(name)).state is InboxState.DONE for name in names])

    await until(done, 60)
    worker.stop()
    await running
    assert set(await town.fired()) == {"payment.paid"}, "and nobody is told that it is stuck no more"


async def test_an_error_s_broken_characters_keep_no_alarm_in(town: Town) -> None:
    class Refuses:
        async def apply_event(self, *args: Any, **named: Any) -> Applied:
            raise ConfigurationError("It said \ud800 and \0.")

    await paid_and_told(town)
    town.clock.advance(2 * 3600)
    await InboxWorker(ports(town, Refuses())).process()
    row = await town.row()
    assert (row.state, row.leased_until) == (InboxState.WAITING, None)
    assert await town.fired() == ["webhook.stuck"]
