"""Payouts: durable before I/O, sent once from however many callers, unknown until the gateway or a person tells."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.flows.payouts import CHECKOUT, RECEIVER, TOKENIZED, PayingShop, paying_config, paying_shop
from tests.flows.shop import LONG_S, bkash_config
from vextrus_payments import (
    AccountMap,
    AmountError,
    ConfigurationError,
    ConflictError,
    Declined,
    EntryKind,
    InvalidRequestError,
    Money,
    OperationConflictError,
    PayoutKind,
    Pending,
    Reconciled,
    ResolutionVerdict,
    ResolveRequest,
    Review,
    Sent,
    StaleStateError,
    TenantPayments,
    TransferDirection,
    Transferred,
    TransferRequest,
    Unknown,
    UnsupportedOperationError,
)
from vextrus_payments.engine import Verdict
from vextrus_payments.events import GatewayEvent
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.gateways.bkash import BkashConfig, BkashGateway
from vextrus_payments.mode import Mode
from vextrus_payments.payouts import look_up_of
from vextrus_payments.records import Flag, OperationState, Payout
from vextrus_payments.snapshots import PaymentSnapshot, SnapshotState

#: Ends after which nobody knows whether money left.
OPEN_ENDS = (
    "drop_after",
    "drop_before",
    "reset_after",
    "error_5xx_after",
    "malformed",
    "message_only",
    "forbidden",
    "code_after",
)


@pytest.fixture(params=["sqlite", "memory"])
async def shop(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[PayingShop]:
    store = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'shop.db'}"
    async with paying_shop(tmp_path, store=store) as opened:
        await opened.funded()
        yield opened


async def kept(shop: PayingShop, operation_id: str = "salary-1") -> Payout:
    found = await shop.payments.find_payout(operation_id)
    assert found is not None
    return found


async def test_paid_once_and_booked(shop: PayingShop) -> None:
    made = await shop.pay()
    assert isinstance(made, Sent)
    assert made.amount == Money("250.50") and made.operation_id == "salary-1"
    again = await shop.pay()
    assert again == made and shop.sent == 1
    assert await shop.payments.payout_status("salary-1") == made
    payout = await kept(shop)
    assert payout == await shop.payments.get_payout(made.payout_id)
    assert RECEIVER not in repr(payout) and payout.state is OperationState.SUCCEEDED
    assert "payout.sent" in await shop.fired()
    (entry,) = [e for e in shop.entries if e.kind is EntryKind.PAYOUT_SENT]
    assert [(p.account, p.side.value) for p in entry.postings] == [
        ("accounts_payable", "debit"),
        ("gateway_clearing:bkash:sandbox", "credit"),
    ]
    assert (entry.transaction_id, entry.operation_id) == (made.transaction_id, "salary-1")
    assert entry.merchant_reference == "salary of March" and entry.payment_id is None
    await shop.check_accounts(AccountMap())


async def test_accounts_of_their_own(tmp_path: Path) -> None:
    accounts = AccountMap(disbursement="gateway_disbursement:{gateway}:{mode}")
    async with paying_shop(tmp_path, accounts=accounts) as shop:
        await shop.funded("500")
        assert isinstance(await shop.pay("a", "120"), Sent)
        back = TransferRequest(
            operation_id="back",
            gateway="bkash",
            amount=Money("80"),
            direction=TransferDirection.TO_COLLECTION,
        )
        assert isinstance(await shop.payments.transfer(back), Transferred)
        await shop.check_accounts(accounts)
        assert shop.account("gateway_disbursement:bkash:sandbox") == 30000
        assert "transfer.made" in await shop.fired()


async def test_a_fee_is_booked(tmp_path: Path) -> None:
    async with paying_shop(tmp_path) as shop:
        # Frozen: what a sandbox charges is said when it starts.
        object.__setattr__(shop.server.world.gateways["bkash"].rules.rules, "b2c_fee_minor", 500)
        await shop.funded("500")
        made = await shop.pay("a", "120")
        assert isinstance(made, Sent) and made.fee == Money("5")
        await shop.check_accounts(AccountMap())
        assert shop.account("gateway_fees:bkash") == 500


async def test_an_operation_id_is_one_intent(shop: PayingShop) -> None:
    assert isinstance(await shop.pay(), Sent)
    for other in ({"amount": "251"}, {"receiver": "01877722345"}, {"reference": "another"}):
        with pytest.raises(OperationConflictError):
            await shop.pay(**other)
        # Nor is an impatient caller told of another one's end as if it were his own.
        wanted = shop.wanted(**other)
        with pytest.raises(OperationConflictError):
            await shop.payments.payout(wanted, wait_s=0)
    with pytest.raises(OperationConflictError):
        await shop.open("INV-9", operation_id="salary-1")
    with pytest.raises(OperationConflictError):
        await shop.pay("INV-FUND/pay")
    transfer = TransferRequest(
        operation_id="salary-1",
        gateway="bkash",
        amount=Money("250.50"),
        direction=TransferDirection.TO_COLLECTION,
    )
    with pytest.raises(OperationConflictError):
        await shop.payments.transfer(transfer)
    assert shop.sent == 1


async def test_refused_before_anything_is_written(shop: PayingShop) -> None:
    for wrong in ({"receiver": "0177061857"}, {"receiver": "8801770618575"}, {"receiver": "a-name"}):
        with pytest.raises(InvalidRequestError):
            await shop.pay("wrong", **wrong)
    with pytest.raises(AmountError):
        await shop.pay("wrong", "0.50")
    assert await shop.payments.find_payout("wrong") is None


async def test_a_final_no(shop: PayingShop) -> None:
    declined = await shop.pay("too-much", "500000")
    assert isinstance(declined, Declined) and declined.reason.code.value == "insufficient_balance"
    assert await shop.pay("too-much", "500000") == declined
    assert shop.sent == 0 and "payout.declined" in await shop.fired()
    await shop.check_accounts(AccountMap())


@pytest.mark.parametrize("fault", OPEN_ENDS)
async def test_a_lost_answer_stays_unknown_and_is_never_sent_again(shop: PayingShop, fault: str) -> None:
    shop.fault("payout", fault)
    before = shop.calls("payout")
    lost = await shop.pay()
    assert isinstance(lost, Unknown)
    for _ in range(3):
        assert isinstance(await shop.pay(), Unknown)
        shop.clock.advance(LONG_S)
        await shop.payments.reconcile_due()
        assert isinstance(await shop.payments.payout_status("salary-1"), Unknown)
    assert shop.calls("payout") == before + 1
    payout = await kept(shop)
    # The balances before and after are kept, for whoever has to find out.
    assert [one.step for one in payout.operation.evidence] == ["payout.baseline", "payout.after"]
    assert await shop.payments.store.next_watch("default", "payout", payout.payout_id) is None
    assert (await shop.fired()).count("payout.unknown") == 1
    health = await shop.payments.health()
    assert health.unknown is not None and health.unknown.count == 1


@pytest.mark.parametrize("fault", ["throttled", "expired_token"])
async def test_what_is_proven_unsent_is_sent_once(shop: PayingShop, fault: str) -> None:
    shop.fault("payout", fault)
    first = await shop.pay()
    if fault == "throttled":
        assert isinstance(first, Pending) and not first.sent and first.operation_id == "salary-1"
        shop.clock.advance(LONG_S)
        await shop.payments.reconcile_due()
        assert shop.sent == 0, "nobody but the caller lets it out"
        first = await shop.pay()
    assert isinstance(first, Sent) and shop.sent == 1
    await shop.check_accounts(AccountMap())


async def test_what_was_never_let_out_is_withdrawn(shop: PayingShop) -> None:
    shop.fault("payout", "throttled")
    assert isinstance(await shop.pay(), Pending)
    gone = await shop.payments.withdraw_payout("salary-1")
    assert isinstance(gone, Declined)
    assert await shop.payments.withdraw_payout("salary-1") == gone
    assert await shop.pay() == gone and shop.sent == 0
    assert isinstance(await shop.pay("salary-2"), Sent)
    with pytest.raises(ConflictError):
        await shop.payments.withdraw_payout("salary-2")
    with pytest.raises(InvalidRequestError):
        await shop.payments.withdraw_payout("nothing")


async def test_many_callers_make_one_payout(shop: PayingShop) -> None:
    outcomes = await asyncio.gather(*(shop.pay() for _ in range(20)))
    assert shop.sent == 1 and {type(outcome) for outcome in outcomes} == {Sent}


class _OutOfTime:
    """A Sleeper that leaves the clock alone: who waits for another process must not use up that one's time to send."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0.001)


async def test_several_processes_make_one_payout(tmp_path: Path) -> None:
    async with paying_shop(tmp_path, sleeper=_OutOfTime()) as shop:
        await shop.funded()
        others = [
            PayingShop(
                shop.server,
                f"sqlite:///{tmp_path / 'shop.db'}",
                shop.clock,
                gateways={"bkash": shop.payments._parts.registry._configs["bkash"]},
                seed=20 + number,
                sleeper=_OutOfTime(),
            )
            for number in range(3)
        ]
        for other in others:
            await other.payments.open()
        try:
            outcomes = await asyncio.gather(*(each.pay() for each in (shop, *others) for _ in range(3)))
        finally:
            for other in others:
                await other.payments.aclose()
        assert shop.sent == 1 and {type(outcome) for outcome in outcomes} == {Sent}


async def test_a_cancelled_caller_stops_nothing(shop: PayingShop) -> None:
    task = asyncio.create_task(shop.pay())
    while not shop.calls("payout"):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert isinstance(await shop.pay(), Sent) and shop.sent == 1


# --- payouts that can be asked about ------------------------------------------------------------------------------


@pytest.fixture(params=[PayoutKind.B2C, PayoutKind.B2B])
async def by_id(
    tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[PayingShop, PayoutKind]]:
    root = TOKENIZED if request.param is PayoutKind.B2C else CHECKOUT
    async with paying_shop(tmp_path, root=root) as opened:
        await opened.funded()
        yield opened, request.param


@pytest.mark.parametrize("fault", ["drop_after", "malformed", "error_5xx_after"])
async def test_a_lost_answer_is_looked_up_by_the_payout_id(
    by_id: tuple[PayingShop, PayoutKind], fault: str
) -> None:
    shop, kind = by_id
    shop.fault("payout", fault)
    made = await shop.pay(kind=kind)
    assert isinstance(made, Sent) and shop.sent == 1
    evidence = (await kept(shop)).operation.evidence
    assert look_up_of(evidence) is not None


async def test_a_look_up_that_fails_too_comes_again(by_id: tuple[PayingShop, PayoutKind]) -> None:
    shop, kind = by_id
    shop.fault("payout", "drop_after")
    shop.fault("payout_query", "error_5xx_before", times=20)
    assert isinstance(await shop.pay(kind=kind), Unknown)
    shop.server.app.state.faults.reset()
    shop.clock.advance(LONG_S)
    looked: list[Reconciled] = []
    await shop.payments.reconcile_due(on_each=looked.append)
    assert [one.subject_kind for one in looked if one.changed] == ["payout"]
    assert isinstance(await shop.pay(kind=kind), Sent) and shop.sent == 1
    assert (await shop.fired()).count("payout.sent") == 1


async def test_what_was_never_made_stays_unknown(by_id: tuple[PayingShop, PayoutKind]) -> None:
    """That it is not shown as made proves nothing: it could be made in a moment."""
    shop, kind = by_id
    shop.fault("payout", "drop_before")
    assert isinstance(await shop.pay(kind=kind), Unknown)
    shop.clock.advance(LONG_S)
    await shop.payments.reconcile_due()
    assert isinstance(await shop.pay(kind=kind), Unknown)
    assert shop.calls("payout") == 1 and shop.sent == 0


# --- operators ----------------------------------------------------------------------------------------------------


def answer(payout: Payout, verdict: ResolutionVerdict, **changes: object) -> ResolveRequest:
    fields: dict[str, object] = {
        "payment_id": payout.payout_id,
        "verdict": verdict,
        "actor": "rahim",
        "reason": "The portal lists it so",
        "evidence": ("ticket 4711",),
        "reviewed_version": payout.version,
        "operation_id": payout.operation_id,
    }
    return ResolveRequest(**{**fields, **changes})  # type: ignore[arg-type]


async def test_an_operator_answers_made(shop: PayingShop) -> None:
    shop.fault("payout", "drop_after")
    assert isinstance(await shop.pay(), Unknown)
    payout = await kept(shop)
    made = answer(payout, ResolutionVerdict.MADE, transaction_id="ABC1234567", amount=Money("250.50"))
    with pytest.raises(ConflictError):
        await shop.payments.resolve_payout(made)  # the gateway may still be at work
    shop.clock.advance(LONG_S)
    with pytest.raises(StaleStateError):
        await shop.payments.resolve_payout(
            answer(payout, ResolutionVerdict.NOT_MADE, reviewed_version=payout.version + 5)
        )
    done = await shop.payments.resolve_payout(made)
    assert done.standing[0].flags == {Flag.BY_OPERATOR} and done.resolutions[0].actor == "rahim"
    assert isinstance(await shop.pay(), Sent)
    assert (await shop.fired())[-2:] == ["payout.sent", "operation.resolved"]
    await shop.check_accounts(AccountMap())
    with pytest.raises(ConflictError):
        await shop.payments.resolve_payout(answer(done, ResolutionVerdict.NOT_MADE))


async def test_an_operator_answers_not_made(shop: PayingShop) -> None:
    shop.fault("payout", "drop_before")
    assert isinstance(await shop.pay(), Unknown)
    shop.clock.advance(LONG_S)
    await shop.payments.resolve_payout(answer(await kept(shop), ResolutionVerdict.NOT_MADE))
    assert isinstance(await shop.pay(), Declined) and shop.sent == 0
    assert isinstance(await shop.pay("salary-1b"), Sent)
    await shop.check_accounts(AccountMap())


# --- who pays out, and who does not -------------------------------------------------------------------------------


async def test_without_credentials_nothing_is_paid_out(tmp_path: Path) -> None:
    async with paying_shop(tmp_path) as shop:
        plain = PayingShop(
            shop.server, "memory://", shop.clock, gateways={"bkash": bkash_config(shop.server)}
        )
        async with plain.payments:
            with pytest.raises(UnsupportedOperationError):
                await plain.pay()
            with pytest.raises(UnsupportedOperationError):
                await plain.payments.balance("bkash")
            assert await plain.payments.find_payout("salary-1") is None


async def test_a_gateway_without_payouts_refuses_the_verbs() -> None:
    verbs = ("check_payout", "payout", "look_up_payout", "get_balance")
    assert all(getattr(PaymentGateway, verb) is not getattr(BkashGateway, verb) for verb in verbs)


# --- signed news --------------------------------------------------------------------------------------------------


def news(payout: Payout, transaction_id: str, amount: str = "250.50", **changes: object) -> GatewayEvent:
    fields: dict[str, object] = {
        "state": SnapshotState.PAID,
        "gateway_reference": "",
        "raw_state": "Completed",
        "gateway_order_id": payout.payout_id,
        "amount": Money(amount),
        "transaction_id": transaction_id,
    }
    snapshot = PaymentSnapshot(**{**fields, **changes})  # type: ignore[arg-type]
    return GatewayEvent(event_id=f"news/{transaction_id}", snapshot=snapshot)


async def told(shop: PayingShop, event: GatewayEvent, mode: Mode = Mode.SANDBOX) -> Verdict:
    applied = await shop.payments._open_engine().apply_event("default", "bkash", mode, event)
    return applied.verdict


async def test_signed_news_settles_what_nobody_could_tell(shop: PayingShop) -> None:
    shop.fault("payout", "drop_after")
    assert isinstance(await shop.pay(), Unknown)
    payout = await kept(shop)
    for wrong in (
        news(payout, "T1", state=SnapshotState.DECLINED),
        news(payout, ""),
        news(payout, "T1", state=SnapshotState.AUTHORIZED),
        news(payout, "T1", gateway_order_id="pyo_other"),
    ):
        assert await told(shop, wrong) is not Verdict.DONE
    assert await told(shop, news(payout, "T1"), Mode.LIVE) is not Verdict.DONE
    assert isinstance(await shop.pay(), Unknown)
    for _ in range(2):
        assert await told(shop, news(payout, "T1")) is Verdict.DONE
    made = await shop.pay()
    assert isinstance(made, Sent) and made.transaction_id == "T1"
    assert (await shop.fired()).count("payout.sent") == 1
    await shop.check_accounts(AccountMap())


async def test_signed_news_outranks_an_operator(shop: PayingShop) -> None:
    shop.fault("payout", "drop_after")
    assert isinstance(await shop.pay(), Unknown)
    shop.clock.advance(LONG_S)
    said = answer(await kept(shop), ResolutionVerdict.MADE, transaction_id="WRONG", amount=Money("250.50"))
    await shop.payments.resolve_payout(said)
    assert await told(shop, news(await kept(shop), "T1")) is Verdict.DONE
    made = await shop.pay()
    assert isinstance(made, Sent) and made.transaction_id == "T1"
    assert (await shop.fired())[-1] == "payout.review"
    kinds = [entry.kind for entry in shop.entries if entry.operation_id == "salary-1"]
    assert kinds == [EntryKind.PAYOUT_SENT, EntryKind.PAYOUT_REVERSED, EntryKind.PAYOUT_SENT]
    await shop.check_accounts(AccountMap())


async def test_signed_news_outranks_an_operators_no(shop: PayingShop) -> None:
    shop.fault("payout", "drop_after")
    assert isinstance(await shop.pay(), Unknown)
    shop.clock.advance(LONG_S)
    await shop.payments.resolve_payout(answer(await kept(shop), ResolutionVerdict.NOT_MADE))
    assert isinstance(await shop.pay(), Declined)
    assert await told(shop, news(await kept(shop), "T1")) is Verdict.DONE
    # It was called not made, so somebody may have paid again: a person has to see it.
    late = await shop.pay()
    assert isinstance(late, Review) and "paid again" in late.what
    assert (await shop.fired())[-1] == "payout.review" and "payout.sent" not in await shop.fired()
    await shop.check_accounts(AccountMap())


async def test_a_second_movement_or_another_amount_is_for_a_person(shop: PayingShop) -> None:
    made = await shop.pay()
    assert isinstance(made, Sent)
    assert await told(shop, news(await kept(shop), "T2")) is Verdict.DONE
    twice = await shop.pay()
    assert isinstance(twice, Review) and twice.transaction_id == "T2"
    shop.fault("payout", "drop_after")
    assert isinstance(await shop.pay("other"), Unknown)
    assert await told(shop, news(await kept(shop, "other"), "T3", "200")) is Verdict.DONE
    less = await shop.pay("other")
    assert isinstance(less, Review) and less.amount == Money("200")
    await shop.payments.deliver()
    assert shop.account("suspense") == 45050


# --- tenants ------------------------------------------------------------------------------------------------------


async def test_tenants_never_meet(tmp_path: Path) -> None:
    async with paying_shop(tmp_path) as shop:
        config = paying_config(shop.server)

        async def credentials(tenant: str, gateway: str) -> BkashConfig:
            return config

        shared = PayingShop(
            shop.server, "memory://", shop.clock, gateways=None, credentials=credentials, seed=3
        )
        async with shared.payments:
            acme, other = shared.payments.for_tenant("acme"), shared.payments.for_tenant("other")
            first = await acme.payout(shop.wanted("salary-1", "10"))
            second = await other.payout(shop.wanted("salary-1", "20"))
            assert isinstance(first, Sent) and isinstance(second, Sent)
            assert (first.amount, second.amount) == (Money("10"), Money("20"))
            assert first.payout_id != second.payout_id and shop.sent == 2
            assert await other.get_payout(first.payout_id) is None
            assert [one.payout_id for one in (await acme.list_payouts()).rows] == [first.payout_id]
            with pytest.raises(InvalidRequestError):
                await other.resolve_payout(
                    answer(await kept_of(acme), ResolutionVerdict.NOT_MADE, payment_id=first.payout_id)
                )
            with pytest.raises(ConfigurationError):
                await shared.payments.payout(shop.wanted())
            await shared.payments.deliver()
            assert {entry.tenant for entry in shared.entries} == {"acme", "other"}
            # One merchant behind both: one token, and one budget.
            assert shop.calls("grant") == 1


async def kept_of(tenant: TenantPayments, operation_id: str = "salary-1") -> Payout:
    found = await tenant.find_payout(operation_id)
    assert found is not None
    return found


async def test_credentials_that_are_gone_ask_nobody(tmp_path: Path) -> None:
    async with paying_shop(tmp_path, root=TOKENIZED) as shop:
        shop.fault("payout", "drop_after")
        shop.fault("payout_query", "error_5xx_before", times=20)
        assert isinstance(await shop.pay(), Unknown)
        plain = PayingShop(
            shop.server,
            f"sqlite:///{tmp_path / 'shop.db'}",
            shop.clock,
            gateways={"bkash": bkash_config(shop.server)},
            seed=8,
        )
        async with plain.payments:
            shop.clock.advance(LONG_S)
            asked = shop.calls("payout_query")
            await plain.payments.reconcile_due()
            assert isinstance(await plain.payments.payout_status("salary-1"), Unknown)
            assert shop.calls("payout_query") == asked
