"""Ways by which money could have moved a second time, or against what a person decided meanwhile: each stays shut."""

import asyncio
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.flows.shop import LONG_S, Shop, facts_of, refund, shop_open
from vextrus_payments import (
    Authorized,
    Declined,
    InvalidRequestError,
    Money,
    OperationConflictError,
    Paid,
    PaymentSession,
    ReconciliationRequiredError,
    Refunded,
    StorageError,
    Unknown,
)
from vextrus_payments.engine import EpochGuard
from vextrus_payments.engine.refunding import Refunding
from vextrus_payments.epoch import FileEpochMark
from vextrus_payments.errors import Effect, NotSentError
from vextrus_payments.gateways.bkash import BkashGateway
from vextrus_payments.ids import Ids
from vextrus_payments.observe import NullObserver
from vextrus_payments.payment import ConsentRequest, Intent
from vextrus_payments.records import AgreementLife, Flag, OperationState, PaymentFacts
from vextrus_payments.resolving import ResolveRequest
from vextrus_payments.states import refunded
from vextrus_payments.stores import open_store
from vextrus_payments.testing import FakeClock, FakeEntropy, FakeSleeper

WHO = {"actor": "rahim@shop.example", "reason": "Looked it up in the portal.", "evidence": ("ticket 7",)}


async def answer(shop: Shop, session: PaymentSession, verdict: str, **fields: Any) -> PaymentFacts:
    version = (await facts_of(shop, session)).payment.version
    given = {"reviewed_version": version, **WHO, **fields}
    return await shop.payments.resolve(
        ResolveRequest(payment_id=session.payment_id, verdict=verdict, **given)  # type: ignore[arg-type]
    )


# --- carried on, and withdrawn at that moment ----------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["capture", "void"])
async def test_a_withdrawn_hold_operation_is_not_reserved_anew_by_who_carries_on(
    shop: Shop, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await shop.approved(intent=Intent.AUTHORIZATION)
    assert isinstance(await shop.payments.execute(session.payment_id), Authorized)
    engine = shop.payments._open_engine()
    store = engine.context.store
    real = type(store).claim

    async def died(*_: object) -> None:
        raise StorageError("The process died here.")

    with monkeypatch.context() as patched:
        patched.setattr(type(store), "claim", died)
        with pytest.raises(StorageError):
            await getattr(shop.payments, verb)(session.payment_id)
    assert type(store).claim is real
    operation_id = f"{verb}/{session.payment_id}/1"
    gateway_of = type(engine.context).gateway_of

    async def withdrawn_meanwhile(self: Any, facts: PaymentFacts) -> Any:
        monkeypatch.setattr(type(engine.context), "gateway_of", gateway_of)
        await shop.payments.withdraw(operation_id)
        return await gateway_of(self, facts)

    monkeypatch.setattr(type(engine.context), "gateway_of", withdrawn_meanwhile)
    await engine.carry_on("default", session.payment_id)
    facts = await facts_of(shop, session)
    assert [o.operation_id for o in facts.operations if o.kind.value == verb] == [operation_id]
    assert shop.calls(verb) == 0
    assert isinstance(await shop.payments.status(session.payment_id), Authorized)


# --- a refund that somebody called not made ------------------------------------------------------------------------


async def denied(shop: Shop) -> PaymentSession:
    """A refund of 30 that the gateway made, and of which an operator says that it was not made."""
    session = await shop.approved()
    assert isinstance(await shop.payments.execute(session.payment_id), Paid)
    shop.fault("refund", "drop_after")
    shop.fault("refund_status", "stale", times=2)
    assert isinstance(await shop.payments.refund(refund(session, "r-1", "30")), Unknown)
    shop.server.app.state.faults.clear()
    shop.clock.advance(LONG_S)
    await answer(shop, session, "not_made", operation_id="r-1")
    return session


@pytest.mark.parametrize("amount", ["30", "100"])
async def test_a_refund_in_place_of_one_that_was_made_after_all_is_not_sent(shop: Shop, amount: str) -> None:
    session = await denied(shop)
    outcome = await shop.payments.refund(refund(session, "r-2", amount))
    assert isinstance(outcome, Declined)
    assert shop.calls("refund") == 1, "the list before it showed that the first one was made"
    facts = await facts_of(shop, session)
    first = facts.operation("r-1")
    assert first is not None and first.state is OperationState.SUCCEEDED
    assert refunded(facts) == Money("30")
    assert Flag.QUARANTINED in facts.payment.flags
    await shop.check_books()
    await answer(shop, session, "cleared")
    assert isinstance(await shop.payments.refund(refund(session, "r-3", "70")), Refunded)
    await shop.check_books()


async def test_another_refund_on_the_wire_is_not_taken_for_the_denied_one(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The denied one was really not made; while its successor is out, the list shows that one."""
    session = await shop.approved()
    assert isinstance(await shop.payments.execute(session.payment_id), Paid)
    shop.fault("refund", "drop_before")
    shop.fault("refund_status", "stale", times=2)
    assert isinstance(await shop.payments.refund(refund(session, "r-1", "30")), Unknown)
    shop.server.app.state.faults.clear()
    shop.clock.advance(LONG_S)
    await answer(shop, session, "not_made", operation_id="r-1")
    real = BkashGateway.refund_payment

    async def slow(self: BkashGateway, *given: Any, **rest: Any) -> Any:
        snapshot = await real(self, *given, **rest)
        await shop.payments._open_engine().adopt_refunds("default", session.payment_id)
        return snapshot

    monkeypatch.setattr(BkashGateway, "refund_payment", slow)
    assert isinstance(await shop.payments.refund(refund(session, "r-2", "30")), Refunded)
    facts = await facts_of(shop, session)
    assert [facts.operation(name).state for name in ("r-1", "r-2")] == [  # type: ignore[union-attr]
        OperationState.DECLINED,
        OperationState.SUCCEEDED,
    ]
    await shop.check_books()


# --- a restored backup ----------------------------------------------------------------------------------------------


def backed_up(tmp_path: Path) -> None:
    for file in tmp_path.glob("shop.db*"):
        shutil.copy(file, tmp_path / f"backup-{file.name}")


def restored(tmp_path: Path) -> None:
    for file in tmp_path.glob("shop.db*"):
        file.unlink()
    for file in tmp_path.glob("backup-*"):
        shutil.copy(file, tmp_path / file.name.removeprefix("backup-"))


@pytest.mark.parametrize("claimed", [False, True])
async def test_a_refund_that_left_after_the_backup_is_not_sent_again(
    tmp_path: Path, claimed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backup has it reserved, or claimed and without a baseline: both look as if nothing had ever left."""
    clock = FakeClock()
    async with shop_open(tmp_path, clock, epoch=FileEpochMark(tmp_path / "epoch")) as shop:
        session = await shop.approved()
        assert isinstance(await shop.payments.execute(session.payment_id), Paid)

        async def not_now(self: Refunding, *_: Any) -> Any:
            raise NotSentError("The process died here.", code="died")

        with monkeypatch.context() as patched:
            if claimed:
                patched.setattr(Refunding, "_submit", not_now)
            else:
                patched.setattr(Refunding, "_refund", not_now)
            with pytest.raises(NotSentError):
                await shop.payments.refund(refund(session, "r-1", "30"))
        await shop.payments.aclose()
        backed_up(tmp_path)
        async with shop.payments:
            clock.advance(LONG_S)
            assert isinstance(await shop.payments.refund(refund(session, "r-1", "30")), Refunded)
            assert shop.calls("refund") == 1
        restored(tmp_path)
        async with shop.payments:
            if claimed:
                # A clock set back, or a quick hand: by these records it may be on its way at this moment.
                clock.step_wall(-LONG_S - 60)
                report = await shop.payments.reconcile_since(clock.now() - timedelta(days=1))
                assert (report.failed, report.accepted_restored) == (1, False)
                assert report.failures[0].problems[0].code == "still_at_work"
                clock.advance(LONG_S)
            clock.advance(LONG_S)
            report = await shop.payments.reconcile_since(clock.now() - timedelta(days=1))
            assert report.accepted_restored
            await shop.payments._open_engine().carry_on("default", session.payment_id)
            clock.advance(LONG_S)
            await shop.payments.reconcile_due()
            assert shop.calls("refund") == 1
            await shop.check_books()


class Mark:
    """A mark outside that can be made unreadable."""

    def __init__(self) -> None:
        self.text: str | None = None
        self.fails = False

    async def read(self) -> str | None:
        if self.fails:
            raise StorageError("The other volume is gone.")
        return self.text

    async def write(self, text: str) -> None:
        self.text = text


async def world() -> tuple[EpochGuard, Mark, FakeClock, Any]:
    clock, mark = FakeClock(), Mark()
    store = open_store("memory://", clock=clock)
    await store.open()
    ids = Ids(clock, FakeEntropy(1))
    guard = EpochGuard(store, mark, clock=clock, sleeper=FakeSleeper(clock), ids=ids, observer=NullObserver())
    await guard.roll()
    return guard, mark, clock, store


async def test_a_mark_that_cannot_be_read_lets_nothing_out_the_second_time_either() -> None:
    guard, mark, clock, _ = await world()
    clock.advance(61)
    mark.fails = True
    for _ in range(3):
        with pytest.raises(StorageError):
            await guard.check()
    mark.fails = False
    await guard.check()


async def test_many_calls_at_once_compare_once_and_none_goes_ahead_of_it() -> None:
    guard, mark, clock, _ = await world()
    clock.advance(61)
    mark.text = "epo_other 1"
    answers = await asyncio.gather(*(guard.check() for _ in range(50)), return_exceptions=True)
    assert {type(each) for each in answers} == {ReconciliationRequiredError}
    guard, mark, clock, _ = await world()
    clock.advance(61)
    await asyncio.gather(*(guard.check() for _ in range(50)))
    assert mark.text is not None and mark.text.endswith(" 2"), "rolled once, for all of them"


async def test_a_database_put_back_under_a_running_process_is_noticed_at_the_next_call() -> None:
    guard, _, clock, store = await world()
    before = await store.get_mark("epoch")
    clock.advance(61)
    await guard.check()
    now = await store.get_mark("epoch")
    assert await store.put_mark("epoch", before, expected=now), "the database is put back"
    clock.advance(1)
    with pytest.raises(ReconciliationRequiredError):
        await guard.check()


async def test_nothing_is_asked_before_what_left_in_the_last_moment_must_have_taken_effect() -> None:
    guard, mark, clock, _ = await world()
    assert await guard.unsettled_s(90) == 0
    mark.text = "epo_other 1"
    clock.advance(61)
    with pytest.raises(ReconciliationRequiredError):
        await guard.check()
    assert await guard.unsettled_s(90) == 90
    clock.step_wall(86_400)  # no clock that is set makes it shorter
    clock.advance(89)
    assert await guard.unsettled_s(90) == 1
    clock.advance(1)
    assert await guard.unsettled_s(90) == 0
    await guard.accept()
    await guard.check()


@pytest.mark.parametrize("lost", [True, False])
async def test_an_execute_that_left_just_before_the_loss_is_not_sent_again(
    tmp_path: Path, lost: bool
) -> None:
    """It takes effect half a minute after the restore. Asked at once, the gateway shows it as never made."""
    clock = FakeClock()
    async with shop_open(tmp_path, clock, epoch=FileEpochMark(tmp_path / "epoch")) as shop:
        session = await shop.approved()
        await shop.payments.aclose()
        backed_up(tmp_path)
        if lost:
            async with shop.payments:  # what it sends is under way for longer than this process lives
                clock.advance(61)
        restored(tmp_path)
        async with shop.payments:
            began = clock.monotonic()
            report = await shop.payments.reconcile_since(clock.now() - timedelta(days=1))
            assert report.accepted_restored
            limits = shop.payments._open_engine().context.limits
            waited_s = clock.monotonic() - began
            assert waited_s == (limits.send_window_s + 60 if lost else 0)
            assert isinstance(await shop.payments.execute(session.payment_id), Paid)
            assert shop.calls("execute") == 1


# --- the same call again --------------------------------------------------------------------------------------------


async def test_a_repeat_gets_its_session_although_the_agreement_has_ended(shop: Shop) -> None:
    """Told that it cannot be charged, a shop opens another payment, and the first one can still be executed."""
    asked = ConsentRequest(operation_id="u-1/consent", gateway="bkash", payer_reference="customer-1")
    agreement = await shop.payments.create_agreement(asked)
    assert agreement.gateway_reference is not None
    shop.server.world.gateways["bkash"].approve(agreement.gateway_reference, "success", None)
    await shop.payments.execute_agreement(agreement.agreement_key)
    session = await shop.open(agreement_key=agreement.agreement_key)
    ended = await shop.payments.cancel_agreement(agreement.agreement_key)
    assert ended.state is AgreementLife.ENDED
    assert await shop.open(agreement_key=agreement.agreement_key) == session
    with pytest.raises(InvalidRequestError):
        await shop.open("INV-2", agreement_key=agreement.agreement_key)
    with pytest.raises(OperationConflictError):
        await shop.open(amount="101", agreement_key=agreement.agreement_key)


async def test_what_was_paid_and_given_back_after_the_backup_is_learned_whole(tmp_path: Path) -> None:
    clock = FakeClock()
    async with shop_open(tmp_path, clock, epoch=FileEpochMark(tmp_path / "epoch")) as shop:
        session = await shop.approved()
        await shop.payments.aclose()
        backed_up(tmp_path)
        async with shop.payments:
            clock.advance(LONG_S)
            assert isinstance(await shop.payments.execute(session.payment_id), Paid)
            assert isinstance(await shop.payments.refund(refund(session, "r-1", "30")), Refunded)
            shop.portal(session, amount="20")
        restored(tmp_path)
        shop.entries.clear()
        async with shop.payments:
            clock.advance(LONG_S)
            report = await shop.payments.reconcile_since(clock.now() - timedelta(days=1))
            assert report.accepted_restored
            facts = await facts_of(shop, session)
            assert refunded(facts) == Money("50")
            await shop.check_books()


async def test_a_store_that_fails_before_a_refund_leaves_lets_it_be_called_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was refunded elsewhere cannot be written, so ours is held back: not sent, and not unknown for ever."""
    session = await shop.approved()
    assert isinstance(await shop.payments.execute(session.payment_id), Paid)
    shop.portal(session, amount="20")
    store = shop.payments._open_engine().context.store
    real = type(store).commit

    async def full(self: Any, plan: Any) -> Any:
        if any(Flag.ADOPTED in receipt.flags for receipt in plan.receipts):
            raise StorageError("The disk is full.")
        return await real(self, plan)

    with monkeypatch.context() as patched:
        patched.setattr(type(store), "commit", full)
        with pytest.raises(StorageError) as failed:
            await shop.payments.refund(refund(session, "r-1", "30"))
    assert failed.value.effect is Effect.NONE
    assert shop.calls("refund") == 0
    operation = (await facts_of(shop, session)).operation("r-1")
    assert operation is not None and operation.state is OperationState.RESERVED
    assert isinstance(await shop.payments.refund(refund(session, "r-1", "30")), Refunded)
    assert shop.calls("refund") == 1
    await shop.check_books()
