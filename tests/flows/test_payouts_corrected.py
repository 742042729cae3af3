"""What a person had wrong about a payout, or the gateway tells too late: found, taken back, and booked as it is."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.flows.payouts import PayingShop, paying_config, paying_shop
from tests.flows.shop import LONG_S
from tests.flows.test_payouts import answer, kept, news, told
from tests.flows.test_payouts_doubted import said_made
from tests.flows.test_payouts_reviewed import booked, cleared, contradicted, found, waiting
from vextrus_payments import (
    AccountMap,
    ConflictError,
    Declined,
    EntryKind,
    InvalidRequestError,
    Money,
    ResolutionVerdict,
    ResolveRequest,
    Review,
    Sent,
    StaleStateError,
    TransferDirection,
    TransferRequest,
    Unknown,
)
from vextrus_payments.engine import Verdict
from vextrus_payments.records import Flag, OperationState, Payout, ReceiptKind
from vextrus_payments.stores import PostgresStore

NOT_MADE, TAKEN_BACK = ResolutionVerdict.NOT_MADE, ResolutionVerdict.TAKEN_BACK
STORES = ("memory", "sqlite", "postgres")


@pytest.fixture(params=STORES)
async def shop(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[PayingShop]:
    store = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'shop.db'}"
    if request.param == "postgres":
        store = request.getfixturevalue("postgres_dsn")
        await PostgresStore(store).migrate()
    async with paying_shop(tmp_path, store=store) as opened:
        await opened.funded()
        yield opened


def mistaken(payout: Payout, **changes: object) -> ResolveRequest:
    return answer(payout, TAKEN_BACK, reason="It was another payout's line", **changes)


async def late(shop: PayingShop, by: str) -> Payout:
    """One that was called not made, by an operator or by the gateway, and that the gateway shows as made."""
    if by == "the gateway":
        assert isinstance(await shop.pay(amount="500000"), Declined)
        amount = "500000"
    else:
        shop.fault("payout", "drop_after")
        assert isinstance(await shop.pay(), Unknown)
        shop.clock.advance(LONG_S)
        await shop.payments.resolve_payout(answer(await kept(shop), NOT_MADE))
        amount = "250.50"
    assert (await kept(shop)).state is OperationState.DECLINED
    for _ in range(2):
        assert await told(shop, news(await kept(shop), "T1", amount)) is Verdict.DONE
    return await kept(shop)


# --- called not made, and made ------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["an operator", "the gateway"])
async def test_what_was_called_not_made_and_left_is_for_a_person(shop: PayingShop, by: str) -> None:
    payout = await late(shop, by)
    (receipt,) = payout.receipts
    assert receipt.flags == {Flag.LATE} and receipt.mismatched
    assert await waiting(shop) == ["salary-1"]
    health = await shop.payments.health()
    assert health.payouts_in_review == 1 and not health.ok
    fired = await shop.fired()
    assert fired.count("payout.review") == 1 and fired[-1] == "payout.review"
    assert "payout.sent" not in fired
    event = next(one for one in shop.events if one.kind.value == "payout.review")
    assert (event.before, event.transaction_id, event.amount) == ("declined", "T1", payout.amount)
    assert await booked(shop) == {"accounts_payable": 0, "suspense": payout.amount.amount_minor}
    with pytest.raises(ConflictError, match="outranks"):
        await shop.payments.resolve_payout(answer(payout, NOT_MADE))


async def test_nobody_paid_again_so_it_is_what_was_owed(shop: PayingShop) -> None:
    payout = await late(shop, "an operator")
    done = await shop.payments.resolve_payout(found(payout, "T1", "250.50"))
    assert isinstance(await shop.pay(), Sent) and await waiting(shop) == []
    assert await booked(shop) == {"accounts_payable": 25050, "suspense": 0}
    assert [r.kind for r in done.receipts] == [
        ReceiptKind.PAYOUT,
        ReceiptKind.REVERSAL,
        ReceiptKind.CORRECTION,
    ]
    assert (await shop.fired())[-2:] == ["payout.sent", "operation.resolved"]
    assert await told(shop, news(done, "T1")) is Verdict.DONE
    assert await kept(shop) == done
    await shop.check_accounts(AccountMap())


async def test_somebody_paid_again_so_one_of_the_two_is_to_be_got_back(shop: PayingShop) -> None:
    shop.fault("payout", "drop_after")
    assert isinstance(await shop.pay(), Unknown)
    shop.clock.advance(LONG_S)
    await shop.payments.resolve_payout(answer(await kept(shop), NOT_MADE))
    assert isinstance(await shop.pay("salary-1b"), Sent)
    assert await told(shop, news(await kept(shop), "T1")) is Verdict.DONE
    await shop.payments.resolve_payout(cleared(await kept(shop)))
    made = await shop.pay()
    assert isinstance(made, Sent) and made.transaction_id == "T1" and await waiting(shop) == []
    assert await booked(shop) == {"accounts_payable": 25050, "suspense": 25050}
    await shop.check_accounts(AccountMap())


async def test_what_was_withdrawn_and_left_is_for_a_person(shop: PayingShop) -> None:
    shop.fault("payout", "throttled")
    await shop.pay()
    await shop.payments.withdraw_payout("salary-1")
    assert await told(shop, news(await kept(shop), "T1")) is Verdict.DONE
    assert isinstance(await shop.pay(), Review) and await waiting(shop) == ["salary-1"]


# --- corrected again ----------------------------------------------------------------------------------------------


async def test_a_correction_is_corrected_again_and_again(shop: PayingShop) -> None:
    payout = await contradicted(shop)
    done = await shop.payments.resolve_payout(found(payout, "T1", "250.50"))
    for number, amount in enumerate(("300", "310", "250.50"), start=2):
        shown = "320" if amount == "250.50" else amount
        assert await told(shop, news(done, "T1", shown)) is Verdict.DONE
        assert isinstance(await shop.pay(), Review)
        wanted = found(await kept(shop), "T1", amount)
        first, again = await asyncio.gather(
            shop.payments.resolve_payout(wanted), shop.payments.resolve_payout(wanted)
        )
        done = await kept(shop)
        assert first == again == done == await shop.payments.resolve_payout(wanted)
        assert [(r.kind, r.no) for r in done.receipts[-2:]] == [
            (ReceiptKind.REVERSAL, number),
            (ReceiptKind.CORRECTION, number),
        ]
        assert done.receipts[-2].amount == done.receipts[-3].amount, "what stood is taken back, exactly"
        assert [r.amount for r in done.standing] == [Money(amount)]
        made = await shop.pay()
        assert isinstance(made, Sent) and made.amount == Money(amount)
        as_asked = amount == "250.50"
        minor = Money(amount).amount_minor
        assert await booked(shop) == {
            "accounts_payable": minor if as_asked else 0,
            "suspense": 0 if as_asked else minor,
        }
    entries = {e.id: e for e in shop.entries if e.operation_id == "salary-1"}.values()
    assert [e.kind for e in entries].count(EntryKind.PAYOUT_SENT) == 5
    assert [e.kind for e in entries].count(EntryKind.PAYOUT_REVERSED) == 4
    assert len({r.key for r in done.receipts}) == len(done.receipts) == 9
    await shop.check_accounts(AccountMap())
    assert shop.calls("payout") == 1
    # Every receipt of it is found under the gateway's one transaction id.
    store = shop.payments.store
    same = await store.receipts("default", "bkash", done.mode, ["T1"])
    assert {r.key for r in same} == {r.key for r in done.receipts}


async def test_a_transaction_that_goes_from_payout_to_payout(shop: PayingShop) -> None:
    """It stands for one of them at most, however often people are mistaken."""
    for name in ("a", "b", "c"):
        shop.fault("payout", "drop_after")
        assert isinstance(await shop.pay(name), Unknown)
    shop.clock.advance(LONG_S)
    numbers = []
    for name in ("a", "b", "c", "a"):
        done = await shop.payments.resolve_payout(found(await kept(shop, name), "T9", "250.50"))
        numbers.append((done.receipts[-1].kind, done.receipts[-1].no))
        for other in {"a", "b", "c"} - {name}:
            with pytest.raises(ConflictError):
                await shop.payments.resolve_payout(found(await kept(shop, other), "T9", "250.50"))
        assert await booked(shop) == {"accounts_payable": 25050, "suspense": 0}
        if len(numbers) < 4:
            await shop.payments.resolve_payout(mistaken(done))
            assert await booked(shop) == {"accounts_payable": 0, "suspense": 0}
    assert numbers == [
        (ReceiptKind.PAYOUT, 1),
        *((ReceiptKind.CORRECTION, number) for number in (1, 2, 3)),
    ]
    assert isinstance(await shop.pay("a"), Sent)
    assert await told(shop, news(await kept(shop, "a"), "T9")) is Verdict.DONE
    assert isinstance(await shop.pay("a"), Sent) and shop.calls("payout") == 3


# --- a mistake ----------------------------------------------------------------------------------------------------


async def test_a_mistaken_made_is_taken_back_and_answered_anew(shop: PayingShop) -> None:
    await said_made(shop, "T8")
    wanted = mistaken(await kept(shop))
    first, again = await asyncio.gather(
        shop.payments.resolve_payout(wanted), shop.payments.resolve_payout(wanted)
    )
    assert first == again == await shop.payments.resolve_payout(wanted)
    assert isinstance(await shop.pay(), Unknown) and await waiting(shop) == ["salary-1"]
    assert await booked(shop) == {"accounts_payable": 0, "suspense": 0}
    assert (await shop.fired())[-2:] == ["payout.unknown", "operation.resolved"]
    # The same transaction at another amount, which was wrong as well; then as it was.
    for number, amount in enumerate(("25.50", "250.50"), start=1):
        done = await shop.payments.resolve_payout(found(await kept(shop), "T8", amount))
        assert (done.receipts[-1].kind, done.receipts[-1].no) == (ReceiptKind.CORRECTION, number)
        if number == 1:
            await shop.payments.resolve_payout(mistaken(done))
    made = await shop.pay()
    assert isinstance(made, Sent) and made.amount == Money("250.50")
    assert await booked(shop) == {"accounts_payable": 25050, "suspense": 0}
    # Nobody but he has said so: the gateway's word for another transaction takes its place.
    assert await told(shop, news(await kept(shop), "T1")) is Verdict.DONE
    made = await shop.pay()
    assert isinstance(made, Sent) and made.transaction_id == "T1"
    assert await booked(shop) == {"accounts_payable": 25050, "suspense": 0}
    await shop.check_accounts(AccountMap())
    assert shop.calls("payout") == 1, "nothing is sent again"


async def test_what_was_taken_back_and_was_made_all_the_same_is_not_cleared_away(shop: PayingShop) -> None:
    """He was right at first: the gateway tells of the transaction that he took back."""
    await said_made(shop, "T8")
    await shop.payments.resolve_payout(mistaken(await kept(shop)))
    assert await told(shop, news(await kept(shop), "T8")) is Verdict.DONE
    assert isinstance(await shop.pay(), Review) and await waiting(shop) == ["salary-1"]
    payout = await kept(shop)
    for no in (answer(payout, NOT_MADE), cleared(payout), mistaken(payout)):
        with pytest.raises(ConflictError):
            await shop.payments.resolve_payout(no)
    assert await kept(shop) == payout and payout.state is OperationState.UNKNOWN
    await shop.payments.resolve_payout(found(payout, "T8", "250.50"))
    assert isinstance(await shop.pay(), Sent) and await waiting(shop) == []
    assert await booked(shop) == {"accounts_payable": 25050, "suspense": 0}


async def test_a_mistaken_not_made_is_taken_back(shop: PayingShop) -> None:
    shop.fault("payout", "drop_after")
    assert isinstance(await shop.pay(), Unknown)
    shop.clock.advance(LONG_S)
    await shop.payments.resolve_payout(answer(await kept(shop), NOT_MADE))
    assert isinstance(await shop.pay(), Declined)
    await shop.payments.resolve_payout(mistaken(await kept(shop)))
    assert isinstance(await shop.pay(), Unknown) and shop.calls("payout") == 1
    # As if nobody had said a word: what the gateway shows now is what was asked.
    assert await told(shop, news(await kept(shop), "T1")) is Verdict.DONE
    assert isinstance(await shop.pay(), Sent)
    assert await booked(shop) == {"accounts_payable": 25050, "suspense": 0}


async def test_a_mistaken_correction_puts_it_under_review_again(shop: PayingShop) -> None:
    payout = await contradicted(shop)
    wrong = await shop.payments.resolve_payout(found(payout, "T1", "2505"))
    await shop.payments.resolve_payout(mistaken(wrong))
    assert isinstance(await shop.pay(), Review) and await waiting(shop) == ["salary-1"]
    open_again = await kept(shop)
    assert open_again.standing == wrong.standing, "the gateway says that money left"
    assert open_again.operation.evidence[-1].data["amount_minor"] == 25050, "and how much, as it did"
    await shop.payments.resolve_payout(found(await kept(shop), "T1", "250.50"))
    made = await shop.pay()
    assert isinstance(made, Sent) and made.amount == Money("250.50")
    assert await booked(shop) == {"accounts_payable": 25050, "suspense": 0}


async def test_a_mistaken_clearing_of_what_was_late(shop: PayingShop) -> None:
    payout = await late(shop, "an operator")
    done = await shop.payments.resolve_payout(cleared(payout))
    assert await booked(shop) == {"accounts_payable": 0, "suspense": 25050}
    await shop.payments.resolve_payout(mistaken(done))
    assert isinstance(await shop.pay(), Review)
    await shop.payments.resolve_payout(found(await kept(shop), "T1", "250.50"))
    assert isinstance(await shop.pay(), Sent)
    assert await booked(shop) == {"accounts_payable": 25050, "suspense": 0}


async def test_the_gateways_word_is_not_taken_back(shop: PayingShop) -> None:
    assert isinstance(await shop.pay("sent"), Sent)
    assert isinstance(await shop.pay("declined", "500000"), Declined)
    shop.fault("payout", "drop_after")
    assert isinstance(await shop.pay("unknown"), Unknown)
    shop.fault("payout", "drop_after")
    assert isinstance(await shop.pay("confirmed"), Unknown)
    shop.clock.advance(LONG_S)
    await shop.payments.resolve_payout(found(await kept(shop, "confirmed"), "T7", "250.50"))
    await told(shop, news(await kept(shop, "confirmed"), "T7"))
    for name in ("sent", "declined", "unknown", "confirmed"):
        payout = await kept(shop, name)
        with pytest.raises(ConflictError, match="taken back"):
            await shop.payments.resolve_payout(mistaken(payout))
        assert await kept(shop, name) == payout
    session, payout = await shop.open("INV-9"), await kept(shop, "sent")
    with pytest.raises(InvalidRequestError, match="payout"):
        await shop.payments.resolve(mistaken(payout, payment_id=session.payment_id))


# --- two people at once -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_of_two_people_who_correct_at_once_one_is_heard(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    """Two processes, each with its own connections: of two answers about one version, and of two payouts that want one
    transaction, one is written."""
    store = f"sqlite:///{tmp_path / 'shop.db'}"
    if kind == "postgres":
        store = request.getfixturevalue("postgres_dsn")
        await PostgresStore(store).migrate()
    async with paying_shop(tmp_path, store=store) as shop:
        await shop.funded()
        other = PayingShop(
            shop.server, store, shop.clock, gateways={"bkash": paying_config(shop.server)}, seed=9
        )
        async with other.payments:
            payout = await contradicted(shop)
            done = await shop.payments.resolve_payout(found(payout, "T1", "250.50"))
            for amount in ("300", "310", "320"):
                assert await told(shop, news(done, "T1", amount)) is Verdict.DONE
                now = await kept(shop)
                answers = await asyncio.gather(
                    shop.payments.resolve_payout(found(now, "T1", amount)),
                    other.payments.resolve_payout(found(now, "T1", "199", actor="karim")),
                    return_exceptions=True,
                )
                assert [type(one) for one in answers].count(StaleStateError) == 1, answers
                done = await kept(shop)
                assert len(done.standing) == 1 and len(done.resolutions) == len(
                    {said.reviewed_version for said in done.resolutions}
                )
            for name in ("b", "c"):
                shop.fault("payout", "drop_after")
                assert isinstance(await shop.pay(name), Unknown)
            shop.clock.advance(LONG_S)
            for _ in range(3):
                b, c = await kept(shop, "b"), await kept(shop, "c")
                answers = await asyncio.gather(
                    shop.payments.resolve_payout(found(b, "T9", "250.50")),
                    other.payments.resolve_payout(found(c, "T9", "250.50")),
                    return_exceptions=True,
                )
                (made,) = [one for one in answers if isinstance(one, Payout)]
                assert [type(one) for one in answers].count(ConflictError) == 1, answers
                await shop.payments.resolve_payout(mistaken(made))
            await other.payments.deliver()
        shop.entries.extend(other.entries)  # whoever delivered them; each is counted once
        assert [r.amount for r in done.standing] in ([Money("320")], [Money("199")])
        suspense = done.standing[0].amount.amount_minor
        assert await booked(shop) == {"accounts_payable": 0, "suspense": suspense}


# --- what the gateway told counts, whatever a person took back ----------------------------------------------------


async def test_what_the_gateway_told_is_not_forgotten_with_the_answer_that_is_taken_back(
    shop: PayingShop,
) -> None:
    payout = await contradicted(shop)
    payout = await shop.payments.resolve_payout(cleared(payout))
    payout = await shop.payments.resolve_payout(mistaken(payout))
    assert payout.state is OperationState.SUCCEEDED and await waiting(shop) == ["salary-1"]
    assert [r.transaction_id for r in payout.standing] == ["T1"], "it left, says the gateway"
    with pytest.raises(ConflictError):
        await shop.payments.resolve_payout(answer(payout, NOT_MADE))
    assert "payout.declined" not in await shop.fired()


async def test_a_review_is_ended_by_a_transaction_that_the_gateway_told(shop: PayingShop) -> None:
    await said_made(shop, "T1")
    payout = await shop.payments.resolve_payout(mistaken(await kept(shop)))
    assert await told(shop, news(payout, "T1", "250.50")) is Verdict.DONE
    payout = await kept(shop)
    assert payout.state is OperationState.UNKNOWN and await waiting(shop) == ["salary-1"]
    with pytest.raises(InvalidRequestError, match="tells of T1"):
        await shop.payments.resolve_payout(found(payout, "T2", "250.50"))
    done = await shop.payments.resolve_payout(found(payout, "T1", "250.50"))
    assert done.state is OperationState.SUCCEEDED and await waiting(shop) == []
    assert await booked(shop) == {"accounts_payable": 25050, "suspense": 0}


async def unknown_transfer(shop: PayingShop) -> Payout:
    shop.fault("transfer", "drop_after")
    wanted = TransferRequest(
        operation_id="move-1",
        gateway="bkash",
        amount=Money("250.50"),
        direction=TransferDirection.TO_DISBURSEMENT,
    )
    assert isinstance(await shop.payments.transfer(wanted), Unknown)
    shop.clock.advance(LONG_S)
    return await kept(shop, "move-1")


async def test_a_corrected_transaction_is_no_transfers(shop: PayingShop) -> None:
    payout = await contradicted(shop)
    await shop.payments.resolve_payout(found(payout, "T1", "250.50"))
    transfer = await unknown_transfer(shop)
    with pytest.raises(ConflictError):
        await shop.payments.resolve_payout(found(transfer, "T1", "250.50"))
    assert await kept(shop, "move-1") == transfer


async def test_a_transaction_taken_back_and_booked_elsewhere_is_no_transfers(shop: PayingShop) -> None:
    for name in ("a", "b"):
        shop.fault("payout", "drop_after")
        assert isinstance(await shop.pay(name), Unknown)
    shop.clock.advance(LONG_S)
    transfer = await unknown_transfer(shop)
    first = await shop.payments.resolve_payout(found(await kept(shop, "a"), "T1", "250.50"))
    await shop.payments.resolve_payout(mistaken(first))
    await shop.payments.resolve_payout(found(await kept(shop, "b"), "T1", "250.50"))
    with pytest.raises(ConflictError):
        await shop.payments.resolve_payout(found(transfer, "T1", "250.50"))
    assert await kept(shop, "move-1") == transfer
