"""The reconciler's own mechanics, over a memory store and an engine that only notes what it is asked."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.unit.test_reconcile_steps import BKASH, facts, operation, submission
from vextrus_payments.capabilities import Capabilities, Polling
from vextrus_payments.engine.context import _HEARING
from vextrus_payments.errors import (
    AnswerTimeoutError,
    ConfigurationError,
    CredentialsMissingError,
    GatewayError,
    StorageError,
    ThrottledError,
)
from vextrus_payments.ids import Entropy
from vextrus_payments.mode import Mode
from vextrus_payments.observe import NullObserver
from vextrus_payments.plans import Plan
from vextrus_payments.reconcile import Ports, Reconciled, ReconcileLimits, Reconciler
from vextrus_payments.records import Agreement, OperationState, PaymentFacts, PaymentState
from vextrus_payments.stores import MemoryStore
from vextrus_payments.testing import FakeClock, FakeEntropy, FakeSleeper


@dataclass
class Gateway:
    """As much of a gateway as the reconciler looks at."""

    capabilities: Capabilities
    mode: Mode = Mode.SANDBOX


@dataclass
class Engine:
    """Notes who asked about what, how many at once, and answers as it is told."""

    store: MemoryStore
    clock: FakeClock
    asked: list[tuple[str, str]] = field(default_factory=list)
    now_asking: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    answer: Callable[[str, str], Awaitable[None]] | None = None
    settles: bool = True
    accepted: int = 0

    async def look(self, tenant: str, payment_id: str, *, closed: bool = False) -> PaymentFacts:
        self.asked.append((tenant, payment_id))
        self.now_asking[tenant] += 1
        self.now_asking["all"] += 1
        for who in (tenant, "all"):
            self.most[who] = max(self.most[who], self.now_asking[who])
        try:
            await asyncio.sleep(0)
            if self.answer is not None:
                await self.answer(tenant, payment_id)
            known = await self.store.get(tenant, payment_id)
            assert known is not None
            if self.settles:
                await self.store.commit(
                    Plan(
                        payment=replace(
                            known.payment, state=PaymentState.PAID, version=known.payment.version + 1
                        ),
                        expected_version=known.payment.version,
                        operations=tuple(
                            replace(o, state=OperationState.SUCCEEDED) for o in known.operations
                        ),
                    )
                )
            return known
        finally:
            self.now_asking[tenant] -= 1
            self.now_asking["all"] -= 1

    async def carry_on(self, tenant: str, payment_id: str) -> PaymentFacts:
        return await self.look(tenant, payment_id)

    end_session = late_policy = adopt_refunds = carry_on

    async def look_agreement(self, tenant: str, agreement_key: str) -> Agreement:
        raise AssertionError("there are none here")

    async def restored_wait_s(self, capabilities: Capabilities) -> float:
        return 0.0

    async def accept_restored(self, leave_out: Collection[str] = ()) -> None:
        self.accepted += 1


@dataclass
class World:
    """A store with open payments, and who looks at them."""

    clock: FakeClock
    store: MemoryStore
    engine: Engine
    gateways: dict[str, Gateway | ConfigurationError] = field(default_factory=dict)
    polling: Polling = field(default_factory=lambda: Polling(open_s=(10, 30), at_once=4))
    asked_for_settings: int = 0

    async def gateway(self, tenant: str, name: str) -> Any:
        self.asked_for_settings += 1
        found = self.gateways.get(tenant, Gateway(replace(BKASH, polling=self.polling)))
        if isinstance(found, ConfigurationError):
            raise found
        return found

    def reconciler(self, entropy: Entropy | None = None, **limits: Any) -> Reconciler:
        """A reconciler of its own, as another process has."""
        return Reconciler(
            Ports(
                store=self.store,
                engine=self.engine,
                gateway=self.gateway,
                clock=self.clock,
                sleeper=FakeSleeper(self.clock),
                entropy=entropy or FakeEntropy(3),
                observer=NullObserver(),
            ),
            ReconcileLimits(**{"poll_s": 0.005, "drain_s": 1.0, **limits}),
        )

    async def open_payments(self, tenant: str, count: int, *, at: datetime | None = None) -> list[str]:
        """So many unknown payments of a tenant, due since `at`."""
        due = at or self.clock.now()
        ids = []
        for number in range(count):
            payment_id = f"pay_{tenant}_{number:05}"
            ids.append(payment_id)
            known = facts(operation(operation_id=f"execute/{payment_id}/1"), submissions=(submission(),))
            mine = {"tenant": tenant, "payment_id": payment_id}
            await self.store.commit(
                Plan(
                    payment=replace(
                        known.payment, **mine, merchant_reference=payment_id, version=1, created_at=due
                    ),
                    expected_version=0,
                    submissions=(
                        replace(
                            known.submission,
                            **mine,
                            gateway_order_id=payment_id,
                            gateway_reference=f"TR{payment_id}",
                        ),
                    ),
                    operations=tuple(
                        replace(o, **mine, subject_id=payment_id, updated_at=due - timedelta(hours=1))
                        for o in known.operations
                    ),
                    watch_at=due,
                )
            )
        return ids

    async def states(self, tenant: str, ids: list[str]) -> Counter[str]:
        found = [await self.store.get(tenant, payment_id) for payment_id in ids]
        return Counter(f.payment.state.value for f in found if f is not None)


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    clock = FakeClock()
    clock.advance(7200)
    store = MemoryStore(clock=clock)
    await store.open()
    yield World(clock, store, Engine(store, clock))
    await store.close()


async def ran(reconciler: Reconciler, until: Callable[[], Awaitable[bool]], clock: FakeClock) -> None:
    """Run it as a worker until something holds; time passes meanwhile, in small steps."""
    task = asyncio.create_task(reconciler.run())
    try:
        for _ in range(3000):
            if await until():
                return
            await asyncio.sleep(0.001)
            clock.advance(0.1)
        raise AssertionError("it never came to that")
    finally:
        reconciler.stop()
        await task


# --- limits and manners ---------------------------------------------------------------------------------------------


async def test_so_many_at_once_per_gateway_and_so_many_in_all() -> None:
    async with world() as it:
        for tenant in "abcdef":
            await it.open_payments(tenant, 20)
        it.engine.answer = _a_while
        report = await it.reconciler(at_once=10).due()
        assert (report.looked_at, report.changed) == (120, 120)
        assert it.engine.most["all"] == 10
        assert max(it.engine.most[tenant] for tenant in "abcdef") <= 4
        assert max(Counter(it.engine.asked).values()) == 1


async def _a_while(tenant: str, payment_id: str) -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_busy_tenant_does_not_hold_up_the_others() -> None:
    async with world() as it:
        now = it.clock.now()
        busy = await it.open_payments("busy", 400, at=now - timedelta(minutes=30))
        small = await it.open_payments("small", 3, at=now)
        hanging = asyncio.Event()

        async def slow(tenant: str, payment_id: str) -> None:
            if tenant == "busy":
                await hanging.wait()

        it.engine.answer = slow
        reconciler = it.reconciler(at_once=8, held=64, batch=32)

        async def small_are_done() -> bool:
            return (await it.states("small", small))["paid"] == 3

        task = asyncio.create_task(reconciler.run())
        try:
            for _ in range(4000):
                if await small_are_done():
                    break
                await asyncio.sleep(0.001)
                it.clock.advance(0.02)
            assert await small_are_done(), "400 payments of another tenant were due before them"
            assert it.engine.most["busy"] == 4
        finally:
            hanging.set()
            reconciler.stop()
            await task
        assert (await it.states("busy", busy))["paid"] >= 1


async def test_memory_stays_flat_however_much_is_due() -> None:
    async with world() as it:
        await it.open_payments("a", 400)
        it.polling = Polling(open_s=(10,), at_once=50)
        held: list[int] = []
        reconciler = it.reconciler(at_once=50, held=60, batch=20)

        def count(one: Reconciled) -> None:
            held.append(len(asyncio.all_tasks()))

        report = await reconciler.due(count)
        assert report.changed == 400
        assert max(held) <= 60 + 5
        assert len(report.unknown) == 0


async def test_two_workers_share_what_is_due_and_never_ask_twice() -> None:
    async with world() as it:
        await it.open_payments("a", 300)
        one, other = it.reconciler(), it.reconciler()

        async def done() -> bool:
            return len(it.engine.asked) == 300

        running = asyncio.create_task(ran(other, done, it.clock))
        await ran(one, done, it.clock)
        await running
        assert max(Counter(it.engine.asked).values()) == 1


async def test_what_a_dead_worker_had_in_hand_is_taken_over_when_its_lease_is_over() -> None:
    async with world() as it:
        (payment_id,) = await it.open_payments("a", 1)
        await it.store.lease_watches(limit=10, lease_s=300)  # and then it died
        assert (await it.reconciler().due()).looked_at == 0
        it.clock.advance(301)
        assert (await it.reconciler().due()).changed == 1
        assert it.engine.asked == [("a", payment_id)]


async def test_who_comes_to_his_turn_too_late_lets_go() -> None:
    async with world() as it:
        await it.open_payments("a", 2)
        it.polling = Polling(open_s=(10,), at_once=1)

        async def long(tenant: str, payment_id: str) -> None:
            it.clock.advance(200)

        it.engine.answer = long
        report = await it.reconciler(lease_s=300, needs_s=180).due()
        assert (report.looked_at, report.put_off) == (1, 1)
        assert len(it.engine.asked) == 1, "its lease could have run out while it asked"
        assert (await it.reconciler().due()).looked_at == 1, "it was given back at once"


# --- failures -------------------------------------------------------------------------------------------------------


async def test_one_payments_failure_never_stops_the_others() -> None:
    async with world() as it:
        ids = await it.open_payments("a", 6)
        faults: dict[str, Exception] = {
            ids[0]: RuntimeError("a text that may quote a secret"),
            ids[1]: StorageError("The disk is full."),
            ids[2]: AnswerTimeoutError("No answer came."),
        }

        async def failing(tenant: str, payment_id: str) -> None:
            if payment_id in faults:
                raise faults[payment_id]

        it.engine.answer = failing
        report = await it.reconciler().due()
        assert (report.looked_at, report.changed, report.failed) == (6, 3, 3)
        told = {one.subject_id: one.problems[0] for one in report.failures}
        assert told[ids[0]].code == "bug" and "secret" not in told[ids[0]].what
        assert told[ids[1]].what.startswith("The disk is full.")
        for payment_id in ids[:3]:
            one = next(one for one in report.failures if one.subject_id == payment_id)
            assert one.next_at is not None and one.next_at > it.clock.now(), "it is tried again"


async def test_a_throttle_closes_the_lane_for_as_long_as_it_says() -> None:
    async with world() as it:
        await it.open_payments("a", 40)
        others = await it.open_payments("b", 5)

        async def throttled(tenant: str, payment_id: str) -> None:
            if tenant == "a":
                raise ThrottledError("Too many requests.", retry_after_s=900)

        it.engine.answer = throttled
        reconciler = it.reconciler()
        report = await reconciler.due()
        asked = Counter(tenant for tenant, _ in it.engine.asked)
        assert asked["a"] <= 4, "those that were out already, and nobody after them"
        assert report.put_off == 40 - asked["a"]
        assert (await it.states("b", others))["paid"] == 5, "one tenant's throttle is no other's"
        it.clock.advance(890)
        assert (await reconciler.due()).looked_at == 0
        it.engine.answer = None
        it.clock.advance(900)
        await reconciler.due()
        assert len({payment_id for tenant, payment_id in it.engine.asked if tenant == "a"}) == 40


async def test_a_gateway_that_is_down_is_asked_less_and_less() -> None:
    async with world() as it:
        await it.open_payments("a", 60)
        it.engine.settles = False

        async def down(tenant: str, payment_id: str) -> None:
            hearing = _HEARING.get()
            assert hearing is not None
            hearing(AnswerTimeoutError("No answer came."))

        it.engine.answer = down
        reconciler = it.reconciler()
        first = await reconciler.due()
        assert first.looked_at <= 7 and first.failed == first.looked_at
        before = len(it.engine.asked)
        for _ in range(60):
            it.clock.advance(10)
            await reconciler.due()
        assert len(it.engine.asked) - before < 60, "not all of them, again and again"


async def test_a_store_that_fails_is_asked_again_later() -> None:
    async with world() as it:
        ids = await it.open_payments("a", 3)
        lease, failures = it.store.lease_watches, [1, 1, 1]

        async def shaky(**asked: Any) -> Any:
            if failures:
                failures.pop()
                raise StorageError("The database is locked.")
            return await lease(**asked)

        it.store.lease_watches = shaky  # type: ignore[method-assign]

        async def done() -> bool:
            return (await it.states("a", ids))["paid"] == 3

        await ran(it.reconciler(), done, it.clock)
        assert not failures


# --- settings that are gone -----------------------------------------------------------------------------------------


async def test_missing_credentials_are_not_asked_for_again_and_again() -> None:
    async with world() as it:
        await it.open_payments("gone", 50)
        await it.open_payments("here", 2)
        it.gateways["gone"] = CredentialsMissingError("This tenant has left.", tenant="gone")
        report = await it.reconciler().due()
        assert (report.skipped, report.changed, report.failed) == (50, 2, 0)
        assert list(report.left_out) == [("gone", "bkash")]
        assert it.asked_for_settings <= 5 + 2
        assert not report.complete


async def test_a_gateway_of_the_other_mode_is_not_asked() -> None:
    async with world() as it:
        await it.open_payments("a", 1)
        it.gateways["a"] = Gateway(BKASH, Mode.LIVE)
        report = await it.reconciler().due()
        assert report.skipped == 1 and it.engine.asked == []
        assert "sandbox" in report.left_out["a", "bkash"]


# --- stopping -------------------------------------------------------------------------------------------------------


async def test_stopping_gives_back_what_waits() -> None:
    async with world() as it:
        await it.open_payments("a", 30)
        reconciler = it.reconciler(drain_s=0.05)
        hanging = asyncio.Event()

        async def hang(tenant: str, payment_id: str) -> None:
            await hanging.wait()

        it.engine.answer = hang
        task = asyncio.create_task(reconciler.run())
        while it.engine.now_asking["all"] < 4:
            await asyncio.sleep(0.001)
        reconciler.stop()
        await task
        it.engine.answer = None
        it.clock.advance(5)
        report = await it.reconciler().due()
        assert report.looked_at == 30 - 4, "only those that were being asked about stay leased"


async def test_no_clock_makes_a_worker_spin() -> None:
    async with world() as it:
        await it.open_payments("a", 5)
        it.engine.settles = False
        reconciler = it.reconciler()
        for _ in range(50):
            await reconciler.due()
        assert len(it.engine.asked) == 5, "what was looked at is not due again in the same moment"


def test_limits_that_cannot_be_kept_are_refused() -> None:
    for wrong in ({"at_once": 0}, {"batch": 10, "held": 5}, {"lease_s": 60, "needs_s": 61}):
        with pytest.raises(ValueError, match=r"limits|look"):
            ReconcileLimits(**wrong)  # type: ignore[arg-type]


async def test_errors_heard_are_the_engines_own() -> None:
    """Whoever is asked inside `hearing` tells of it; nothing is heard outside."""
    assert _HEARING.get() is None
    heard: list[GatewayError] = []
    from vextrus_payments.engine import hearing

    with hearing(heard.append):
        _HEARING.get()(AnswerTimeoutError("x"))  # type: ignore[misc]
    assert len(heard) == 1 and _HEARING.get() is None
