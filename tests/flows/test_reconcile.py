"""Reconciliation against the real sandbox: what is open gets its end from the gateway's word, and from nothing else."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.flows.shop import LONG_S, Shop, bkash_config, shop_open
from vextrus_payments import (
    Declined,
    Money,
    Paid,
    Pending,
    Refunded,
    RefundRequest,
    Unknown,
)
from vextrus_payments.config import GatewayConfig
from vextrus_payments.epoch import FileEpochMark
from vextrus_payments.errors import (
    CredentialsMissingError,
    InvalidRequestError,
    ReconciliationRequiredError,
)
from vextrus_payments.gateways.bkash import BkashGateway
from vextrus_payments.payment import ConsentRequest, ExecuteCall, RefundCall
from vextrus_payments.reconcile import Action, Reconciled, ReconcileLimits
from vextrus_payments.records import (
    Agreement,
    AgreementLife,
    OperationState,
    PaymentState,
    SubjectKind,
)
from vextrus_payments.testing import FakeClock
from vextrus_payments_sandbox.serve import SandboxServer

DAY_S = 86_400


async def unknown(shop: Shop, reference: str = "INV-1", amount: str = "100", *, made: bool = True) -> str:
    """A payment whose execute's answer got lost, and whose look-up failed too."""
    session = await shop.approved(reference, amount)
    shop.fault("execute", "drop_after" if made else "drop_before")
    shop.fault("query", "drop_before", times=4)
    assert isinstance(await shop.payments.execute(session.payment_id), Unknown)
    shop.server.app.state.faults.clear()
    return session.payment_id


async def state_of(shop: Shop, payment_id: str) -> PaymentState:
    facts = await shop.payments.get(payment_id)
    assert facts is not None
    return facts.payment.state


# --- unknown payments -----------------------------------------------------------------------------------------------


async def test_an_unknown_payment_is_looked_at_when_its_time_has_come_and_booked(shop: Shop) -> None:
    payment_id = await unknown(shop)
    before = shop.calls("query")
    first = await shop.payments.reconcile_due()
    assert first.looked_at == 0, "bKash's manners want it to be left alone for a while"
    assert shop.calls("query") == before
    shop.clock.advance(25)
    report = await shop.payments.reconcile_due()
    assert (report.looked_at, report.changed, report.still_unknown, report.complete) == (1, 1, 0, True)
    assert shop.calls("query") == before + 1
    assert await state_of(shop, payment_id) is PaymentState.PAID
    assert shop.moved()["execute"] == 1
    assert await shop.fired() == ["payment.unknown_opened", "payment.unknown_resolved", "payment.paid"]
    await shop.check_books()


async def test_one_that_was_never_made_is_carried_on_and_charged_once(shop: Shop) -> None:
    payment_id = await unknown(shop, made=False)
    for _ in range(6):
        shop.clock.advance(130)
        await shop.payments.reconcile_due()
    assert await state_of(shop, payment_id) is PaymentState.PAID
    assert shop.moved()["execute"] == 1
    await shop.check_books()


async def test_a_good_execute_is_never_queried(shop: Shop) -> None:
    session = await shop.approved()
    assert isinstance(await shop.payments.execute(session.payment_id), Paid)
    for _ in range(30):
        shop.clock.advance(DAY_S / 4)
        report = await shop.payments.reconcile_due()
        assert report.looked_at == 0
    assert shop.calls("query") == 0
    assert (await shop.payments.reconcile(session.payment_id)).changed is False
    assert shop.calls("query") == 0, "nor when somebody asks about it"


async def test_time_is_no_evidence(shop: Shop) -> None:
    payment_id = await unknown(shop)
    shop.fault("query", "drop_before", times=100_000)
    asked = shop.calls("query")
    for days in (0.01, 0.1, 1, 7, 60):
        shop.clock.advance(days * DAY_S)
        report = await shop.payments.reconcile_due()
        facts = await shop.payments.get(payment_id)
        assert facts is not None
        assert facts.operations[-1].state is OperationState.UNKNOWN
        assert facts.payment.state is PaymentState.AWAITING_PAYER, "nor is the session ended over it"
        assert (report.failed, report.complete) == (1, False)
        (failure,) = report.failures
        assert failure.subject_id == payment_id and failure.unknown and failure.next_at is not None
        (problem,) = failure.problems
        assert "tells nothing of how it stands" in problem.what
        assert "No money moved" not in problem.what, "a look that failed says nothing of the payment"
    assert shop.calls("query") > asked
    shop.server.app.state.faults.clear()
    shop.clock.advance(2 * 3600)
    await shop.payments.reconcile_due()
    assert await state_of(shop, payment_id) is PaymentState.PAID
    await shop.check_books()


async def test_it_is_asked_ever_more_seldom_while_nothing_changes(shop: Shop) -> None:
    payment_id = await unknown(shop)
    shop.fault("query", "stale", times=100_000)  # it answers as if the execute had not arrived
    started = shop.clock.now()
    times = []
    for _ in range(7200):
        before = shop.calls("query")
        await shop.payments.reconcile_due()
        if shop.calls("query") > before:
            times.append((shop.clock.now() - started).total_seconds())
        if (shop.clock.now() - started).total_seconds() > 3 * 3600 or not await is_unknown(shop, payment_id):
            break
        shop.clock.advance(5)
    gaps = [later - earlier for earlier, later in zip([0.0, *times], times, strict=False)]
    assert len(gaps) >= 3 and gaps[0] >= 10
    assert all(gap >= least for gap, least in zip(gaps[1:], (10, 30, 120), strict=False)), gaps


async def is_unknown(shop: Shop, payment_id: str) -> bool:
    facts = await shop.payments.get(payment_id)
    assert facts is not None
    return any(o.state is OperationState.UNKNOWN for o in facts.operations)


async def test_a_gateway_that_throttles_is_left_alone(shop: Shop) -> None:
    ids = [await unknown(shop, f"INV-{n}", f"{100 + n}") for n in range(6)]
    shop.fault("query", "throttled", times=100_000)
    shop.clock.advance(25)
    asked = shop.calls("query")
    await shop.payments.reconcile_due()
    first = shop.calls("query") - asked
    assert first <= 4 * 6
    again = shop.calls("query")
    await shop.payments.reconcile_due()
    assert shop.calls("query") == again, "nobody asks again before the pause is over"
    for payment_id in ids:
        assert await is_unknown(shop, payment_id), "a throttle is no evidence"
    shop.server.app.state.faults.clear()
    for _ in range(20):
        shop.clock.advance(600)
        await shop.payments.reconcile_due()
    assert [await state_of(shop, payment_id) for payment_id in ids] == [PaymentState.PAID] * 6
    await shop.check_books()


# --- sessions -------------------------------------------------------------------------------------------------------


async def test_a_session_that_nobody_finished_is_closed_without_asking(shop: Shop) -> None:
    session = await shop.open()
    shop.clock.advance(DAY_S - 60)
    await shop.payments.reconcile_due()
    assert await state_of(shop, session.payment_id) is PaymentState.AWAITING_PAYER
    shop.clock.advance(60 + 61)
    report = await shop.payments.reconcile_due()
    assert report.changed == 1
    assert await state_of(shop, session.payment_id) is PaymentState.CLOSED
    outcome = await shop.payments.status(session.payment_id)
    assert isinstance(outcome, Declined) and outcome.reason.code.value == "payment_expired"
    assert shop.calls("query") == 0
    assert await shop.fired() == ["payment.closed"]
    assert (await shop.payments.reconcile_due()).looked_at == 0


async def test_success_after_the_close_is_booked_late(shop: Shop) -> None:
    session = await shop.approved()
    shop.clock.advance(DAY_S - 30)
    async with BkashGateway(bkash_config(shop.server), clock=shop.clock) as rogue:
        # Another release, say, which executes without our records.
        await rogue.execute_payment(
            ExecuteCall(
                gateway_reference=session.gateway_reference,
                gateway_order_id=session.gateway_order_id,
                amount=session.amount,
            )
        )
    shop.clock.advance(120)
    await shop.payments.reconcile_due()
    assert await state_of(shop, session.payment_id) is PaymentState.CLOSED, (
        "the right to execute is withdrawn"
    )
    report = await shop.payments.reconcile_since(shop.clock.now() - timedelta(days=3))
    assert (report.complete, report.changed) == (True, 1)
    outcome = await shop.payments.status(session.payment_id)
    assert isinstance(outcome, Paid) and outcome.late
    assert (await shop.fired())[-1] == "payment.late"
    await shop.check_books()


# --- refunds --------------------------------------------------------------------------------------------------------


async def test_an_unknown_refund_gets_its_end(shop: Shop) -> None:
    session = await shop.approved()
    await shop.payments.execute(session.payment_id)
    shop.fault("refund", "drop_after")
    shop.fault("refund_status", "delay;seconds=0")  # the baseline goes through
    shop.fault("refund_status", "drop_before", times=4)
    refund = RefundRequest(operation_id="back/1", payment_id=session.payment_id, amount=Money("40", "BDT"))
    assert isinstance(await shop.payments.refund(refund), Unknown)
    shop.server.app.state.faults.clear()
    shop.clock.advance(25)
    report = await shop.payments.reconcile_due()
    assert report.changed == 1
    assert isinstance(await shop.payments.refund_status("back/1"), Refunded)
    assert shop.moved()["refund"] == 1
    await shop.check_books()


async def test_refunds_made_in_the_portal_are_booked_when_somebody_asks(shop: Shop) -> None:
    session = await shop.approved()
    paid = await shop.payments.execute(session.payment_id)
    assert isinstance(paid, Paid)
    async with BkashGateway(bkash_config(shop.server), clock=shop.clock) as portal:
        await portal.refund_payment(
            RefundCall(
                operation_id="portal",
                gateway_reference=session.gateway_reference,
                transaction_id=paid.transaction_id,
                amount=Money("25", "BDT"),
                reason="by phone",
                sku="one",
            ),
            on_checkpoint=_nothing,
        )
    done = await shop.payments.reconcile(session.payment_id)
    assert done.actions == (Action.ADOPT_REFUNDS,) and done.changed
    assert (await shop.fired())[-1] == "refund.adopted"
    await shop.check_books()
    assert not (await shop.payments.reconcile(session.payment_id)).changed


async def _nothing(evidence: object) -> None:
    return None


# --- one payment, now -----------------------------------------------------------------------------------------------


async def test_one_payment_on_demand(shop: Shop) -> None:
    payment_id = await unknown(shop)
    done = await shop.payments.reconcile(payment_id)
    assert (done.before, done.after, done.changed) == ("awaiting_payer", "paid", True)
    assert done.actions[0] is Action.LOOK and done.next_at is None and done.unknown == ()
    with pytest.raises(InvalidRequestError):
        await shop.payments.reconcile("pay_nobodys")


async def test_on_demand_says_what_did_not_answer(shop: Shop) -> None:
    payment_id = await unknown(shop)
    shop.fault("query", "html_before", times=100)
    done = await shop.payments.reconcile(payment_id)
    assert not done.changed and done.unknown
    assert [problem.code for problem in done.problems] == ["blocked"]
    assert isinstance(await shop.payments.status(payment_id), Unknown)


# --- several at it --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def two_shops(tmp_path: Path, **changes: Any) -> AsyncIterator[tuple[Shop, Shop]]:
    """Two processes' worth of Payments over one store and one gateway. `changes`: to the first of them."""
    clock = FakeClock()
    async with SandboxServer(clock=clock, seed=1) as server:
        url = f"sqlite:///{tmp_path / 'shop.db'}"
        one, other = Shop(server, url, clock, **changes), Shop(server, url, clock, seed=8)
        async with one.payments, other.payments:
            yield one, other


async def test_two_reconcilers_never_ask_at_once(tmp_path: Path) -> None:
    async with two_shops(tmp_path) as (one, other):
        ids = [await unknown(one, f"INV-{n}", f"{100 + n}") for n in range(12)]
        one.clock.advance(25)
        asked = one.calls("query")
        reports = await asyncio.gather(*(s.payments.reconcile_due() for s in (one, other, one, other)))
        assert one.calls("query") - asked == 12, "one question each, whoever asked it"
        assert sum(report.looked_at for report in reports) == 12
        assert [await state_of(one, payment_id) for payment_id in ids] == [PaymentState.PAID] * 12
        await one.payments.deliver()
        other.entries = one.entries + other.entries
        await other.check_books()


async def test_who_dies_in_mid_look_leaves_it_to_another(tmp_path: Path) -> None:
    async with two_shops(tmp_path, timeout_s=3.0) as (one, other):
        payment_id = await unknown(one)
        one.clock.advance(25)
        one.fault("query", "delay;seconds=30")
        before = one.calls("query")
        dying = asyncio.create_task(one.payments.reconcile_due())
        async with asyncio.timeout(60):
            while one.calls("query") <= before:
                await asyncio.sleep(0.01)
        dying.cancel()  # as a killed process: it gives nothing back
        await asyncio.gather(dying, return_exceptions=True)
        assert (await other.payments.reconcile_due()).looked_at == 0, "it is leased to whoever died"
        one.clock.advance(ReconcileLimits().lease_s + 1)
        report = await other.payments.reconcile_due()
        assert (report.looked_at, report.changed) == (1, 1)
        assert await state_of(other, payment_id) is PaymentState.PAID


# --- many tenants ---------------------------------------------------------------------------------------------------


async def test_a_tenant_whose_credentials_are_gone_is_skipped_and_named(tmp_path: Path) -> None:
    clock, gone = FakeClock(), set[str]()
    async with SandboxServer(clock=clock, seed=1) as server:

        async def credentials(tenant: str, gateway: str) -> GatewayConfig:
            if tenant in gone:
                raise CredentialsMissingError("This tenant has left.", gateway=gateway, tenant=tenant)
            return bkash_config(server, timeout_s=30.0)

        shop = Shop(
            server, f"sqlite:///{tmp_path / 'shop.db'}", clock, gateways=None, credentials=credentials
        )
        async with shop.payments as payments:
            ids = {}
            for number, tenant in enumerate(("acme", "left")):
                mine = payments.for_tenant(tenant)
                ids[tenant] = await _unknown_of(shop, mine, f"INV-{tenant}", f"{100 + number}")
            gone.add("left")
            clock.advance(70)  # the registry asks the source again after a minute
            seen: list[Reconciled] = []
            report = await payments.reconcile_due(on_each=seen.append)
            assert (report.changed, report.skipped, report.complete) == (1, 1, False)
            assert list(report.left_out) == [("left", "bkash")]
            assert "left" in report.left_out["left", "bkash"] or report.left_out["left", "bkash"]
            assert {one.tenant for one in seen if one.changed} == {"acme"}
            facts = await payments.for_tenant("left").get(ids["left"])
            assert facts is not None
            assert facts.operations[-1].state is OperationState.UNKNOWN, "skipped is not settled"
            gone.clear()
            clock.advance(600)
            assert (await payments.reconcile_due()).changed == 1


async def _unknown_of(shop: Shop, mine: Any, reference: str, amount: str) -> str:
    from vextrus_payments import PaymentRequest

    session = await mine.initialize(
        PaymentRequest(
            operation_id=f"{reference}/pay",
            gateway="bkash",
            amount=Money(amount, "BDT"),
            merchant_reference=reference,
        )
    )
    shop.approve(session)
    shop.fault("execute", "drop_after")
    shop.fault("query", "drop_before", times=4)
    assert isinstance(await mine.execute(session.payment_id), Unknown)
    shop.server.app.state.faults.clear()
    return str(session.payment_id)


# --- after a restored backup ----------------------------------------------------------------------------------------


async def test_a_restored_backup_learns_what_it_has_forgotten(tmp_path: Path) -> None:
    clock = FakeClock()
    async with SandboxServer(clock=clock, seed=1) as server:
        place, mark = tmp_path / "shop.db", FileEpochMark(tmp_path / "elsewhere")
        shop = Shop(server, f"sqlite:///{place}", clock, epoch=mark, epoch_interval_s=1)
        async with shop.payments:
            waiting = await shop.approved("INV-1", "100")
            paid = await shop.approved("INV-2", "200")
            await shop.payments.execute(paid.payment_id)
            await shop.payments.deliver()
        backup = tmp_path / "backup.db"
        shutil.copy(place, backup)
        taken_at = clock.now()
        clock.advance(3600)
        async with shop.payments:
            assert isinstance(await shop.payments.execute(waiting.payment_id), Paid)
            refund = RefundRequest(
                operation_id="back/2", payment_id=paid.payment_id, amount=Money("50", "BDT")
            )
            assert isinstance(await shop.payments.refund(refund), Refunded)
        restored = Shop(server, f"sqlite:///{backup}", clock, seed=9, epoch=mark, epoch_interval_s=1)
        async with restored.payments:
            assert (await restored.payments.epoch()).restored is not None
            clock.advance(2 * DAY_S)
            with pytest.raises(ReconciliationRequiredError):
                await restored.payments.refund(refund)
            before = await restored.payments.reconcile_due()
            assert before.failures[0].problems[0].code == "reconciliation_required"
            assert await state_of(restored, waiting.payment_id) is PaymentState.AWAITING_PAYER, (
                "what was paid after the backup must not be closed on the word of old records"
            )
            report = await restored.payments.reconcile_since(taken_at - timedelta(days=1))
            assert (report.changed, report.complete, report.accepted_restored) == (2, True, True)
            assert await state_of(restored, waiting.payment_id) is PaymentState.PAID
            again = await restored.payments.refund(refund)
            assert not isinstance(again, Pending | Unknown)
            assert (await restored.payments.epoch()).restored is None
            outcome = await restored.payments.status(waiting.payment_id)
            assert isinstance(outcome, Paid) and not outcome.late
        assert server.world.audit() == []


async def test_what_is_restored_is_not_accepted_before_every_answer_is_there(shop: Shop) -> None:
    await unknown(shop, "INV-1", "100")
    shop.fault("query", "drop_before", times=100)
    report = await shop.payments.reconcile_since(shop.clock.now() - timedelta(days=1))
    assert (report.failed, report.accepted_restored) == (1, False)
    shop.server.app.state.faults.clear()
    shop.clock.advance(LONG_S)
    report = await shop.payments.reconcile_since(shop.clock.now() - timedelta(days=1))
    assert (report.failed, report.changed, report.accepted_restored) == (0, 1, True)
    with pytest.raises(InvalidRequestError):
        await shop.payments.reconcile_since(shop.clock.now().replace(tzinfo=None))


# --- agreements -----------------------------------------------------------------------------------------------------


async def _asked_agreement(shop: Shop) -> Agreement:
    return await shop.payments.create_agreement(
        ConsentRequest(operation_id="u-1/consent", gateway="bkash", payer_reference="customer-1")
    )


async def test_an_agreement_whose_answer_got_lost_gets_its_end(shop: Shop) -> None:
    asked = await _asked_agreement(shop)
    assert asked.gateway_reference is not None
    shop.server.world.gateways["bkash"].approve(asked.gateway_reference, "success", None)
    shop.fault("execute", "drop_after")
    shop.fault("query", "drop_before", times=8)
    lost = await shop.payments.execute_agreement(asked.agreement_key)
    assert lost.operations[-1].state is OperationState.UNKNOWN
    shop.clock.advance(LONG_S)
    failed = await shop.payments.reconcile_due()
    assert (failed.failed, failed.changed) == (1, 0)
    assert failed.failures[0].subject_kind is SubjectKind.AGREEMENT
    shop.server.app.state.faults.clear()
    shop.clock.advance(LONG_S)
    report = await shop.payments.reconcile_due()
    assert (report.changed, report.complete) == (1, True)
    found = await shop.payments.store.get_agreement("default", asked.agreement_key)
    assert found is not None and found.state is AgreementLife.ACTIVE
    shop.clock.advance(30 * DAY_S)
    assert (await shop.payments.reconcile_due()).looked_at == 0


async def test_an_agreement_that_nobody_gave_is_closed(shop: Shop) -> None:
    asked = await _asked_agreement(shop)
    shop.clock.advance(DAY_S + 120)
    assert (await shop.payments.reconcile_due()).changed == 1
    found = await shop.payments.store.get_agreement("default", asked.agreement_key)
    assert found is not None and found.state is AgreementLife.CLOSED


# --- as a worker ----------------------------------------------------------------------------------------------------


async def test_the_worker_settles_what_is_open_by_itself(tmp_path: Path) -> None:
    limits = ReconcileLimits(poll_s=0.01)
    async with shop_open(tmp_path, reconcile_limits=limits) as shop:
        payment_id = await unknown(shop)
        await shop.payments.aclose()
        await shop.payments.open(workers=True)
        shop.clock.advance(25)
        for _ in range(500):
            await asyncio.sleep(0.01)
            shop.clock.advance(0.02)
            if await state_of(shop, payment_id) is PaymentState.PAID:
                break
        assert await state_of(shop, payment_id) is PaymentState.PAID
        seen = await shop.payments.store.get_mark("reconcile/seen")
        assert seen is not None
        assert await shop.payments.store.next_watch("default", SubjectKind.PAYMENT, payment_id) is None
        assert shop.moved()["execute"] == 1


async def test_health_tells_of_what_is_unknown_for_too_long(shop: Shop) -> None:
    assert (await shop.payments.health()).unknown is not None
    await unknown(shop)
    young = await shop.payments.health()
    assert young.unknown is not None and young.unknown.count == 1
    assert "unknown" not in {trouble.code for trouble in young.troubles}
    shop.clock.advance(3700)
    old = await shop.payments.health()
    assert "unknown" in {trouble.code for trouble in old.troubles}
    assert old.as_document()["unknown"]["count"] == 1
