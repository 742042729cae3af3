"""Payouts under review: a person ends it, with what he found, and the books follow, once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.flows.payouts import PayingShop, paying_shop
from tests.flows.shop import LONG_S
from tests.flows.test_payouts import answer, kept, news, told
from tests.flows.test_payouts_doubted import said_made
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
    Transferred,
    TransferRequest,
    Unknown,
)
from vextrus_payments.engine import Verdict
from vextrus_payments.mode import Mode
from vextrus_payments.paying_out import plan_payout, plan_payout_declined, plan_payout_unsent
from vextrus_payments.plans import Committed
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.records import OperationState, Payout, ReceiptKind

MADE, NOT_MADE, CLEARED = ResolutionVerdict.MADE, ResolutionVerdict.NOT_MADE, ResolutionVerdict.CLEARED


@pytest.fixture(params=["sqlite", "memory"])
async def shop(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[PayingShop]:
    store = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'shop.db'}"
    async with paying_shop(tmp_path, store=store) as opened:
        await opened.funded()
        yield opened


def cleared(payout: Payout, **changes: object) -> ResolveRequest:
    return answer(payout, CLEARED, operation_id=None, **changes)


def found(payout: Payout, transaction_id: str, amount: str, **changes: object) -> ResolveRequest:
    return answer(payout, MADE, transaction_id=transaction_id, amount=Money(amount), **changes)


async def waiting(shop: PayingShop) -> list[str]:
    """The operation ids of the payouts that wait for somebody."""
    return [one.operation_id for one in (await shop.payments.list_payouts(unsettled=True)).rows]


async def booked(shop: PayingShop) -> dict[str, int]:
    """What the ledger's accounts hold; entries that came twice are counted once."""
    await shop.payments.deliver()
    return {name: shop.account(name) for name in ("accounts_payable", "suspense")}


async def contradicted(shop: PayingShop) -> Payout:
    """An operator said 25.50, and the gateway says 250.50, of one transaction."""
    await said_made(shop, "T1", "25.50")
    await shop.payments.resolve_payout(cleared(await kept(shop)))
    assert await told(shop, news(await kept(shop), "T1", "250.50")) is Verdict.DONE
    assert isinstance(await shop.pay(), Review)
    return await kept(shop)


async def test_what_the_gateway_shows_is_booked_in_its_place(shop: PayingShop) -> None:
    payout = await contradicted(shop)
    assert await waiting(shop) == ["salary-1"]
    assert await booked(shop) == {"accounts_payable": 0, "suspense": 2550}
    done = await shop.payments.resolve_payout(found(payout, "T1", "250.50"))
    made = await shop.pay()
    assert isinstance(made, Sent) and (made.amount, made.transaction_id) == (Money("250.50"), "T1")
    assert [r.kind for r in done.receipts] == [
        ReceiptKind.PAYOUT,
        ReceiptKind.REVERSAL,
        ReceiptKind.CORRECTION,
    ]
    assert await booked(shop) == {"accounts_payable": 25050, "suspense": 0}
    await shop.check_accounts(AccountMap())
    assert await waiting(shop) == []
    assert (await shop.fired())[-2:] == ["payout.sent", "operation.resolved"]
    # The gateway's word for it changes nothing any more, and nobody sends it again.
    assert await told(shop, news(done, "T1", "250.50")) is Verdict.DONE
    assert await kept(shop) == done and shop.calls("payout") == 1


async def test_the_books_have_it_right_as_they_stand(shop: PayingShop) -> None:
    payout = await contradicted(shop)
    done = await shop.payments.resolve_payout(cleared(payout))
    made = await shop.pay()
    assert isinstance(made, Sent) and made.amount == Money("25.50")
    assert done.receipts == payout.receipts and await waiting(shop) == []
    assert (await shop.fired())[-1] == "operation.resolved"
    for _ in range(2):  # what was answered is not asked again; anything new is
        await told(shop, news(done, "T1", "250.50"))
        assert await kept(shop) == done
    await told(shop, news(done, "T1", "260"))
    assert isinstance(await shop.pay(), Review) and await waiting(shop) == ["salary-1"]


async def test_an_answer_is_written_once_and_another_is_refused(shop: PayingShop) -> None:
    payout = await contradicted(shop)
    wanted = found(payout, "T1", "250.50")
    first, again = await asyncio.gather(
        shop.payments.resolve_payout(wanted), shop.payments.resolve_payout(wanted)
    )
    assert first == again == await shop.payments.resolve_payout(found(payout, "T1", "250.50"))
    fired = await shop.fired()
    for other in (cleared(payout), found(payout, "T1", "200"), found(payout, "T1", "250.50", actor="karim")):
        with pytest.raises(StaleStateError):
            await shop.payments.resolve_payout(other)
    for other in (cleared(first), found(first, "T1", "200"), answer(first, NOT_MADE)):
        with pytest.raises(ConflictError):
            await shop.payments.resolve_payout(other)
    assert await kept(shop) == first and await shop.fired() == fired


async def test_that_nothing_left_is_no_answer_to_a_gateway_that_says_so(shop: PayingShop) -> None:
    payout = await contradicted(shop)
    with pytest.raises(ConflictError, match="outranks"):
        await shop.payments.resolve_payout(answer(payout, NOT_MADE))
    with pytest.raises(InvalidRequestError, match="T1"):
        await shop.payments.resolve_payout(found(payout, "T9", "250.50"))
    with pytest.raises(InvalidRequestError):
        await shop.payments.resolve_payout(
            answer(payout, MADE, transaction_id="T1", amount=Money("1", "USD"))
        )
    assert await kept(shop) == payout


async def test_what_left_beside_what_was_corrected_is_a_second_one(shop: PayingShop) -> None:
    payout = await contradicted(shop)
    await shop.payments.resolve_payout(found(payout, "T1", "250.50"))
    # What the gateway tells after it under another transaction is a second one: the corrected one is its word too.
    assert await told(shop, news(await kept(shop), "T5")) is Verdict.DONE
    assert isinstance(await shop.pay(), Review)
    assert {r.transaction_id for r in (await kept(shop)).standing} == {"T1", "T5"}


async def test_what_was_taken_back_and_left_all_the_same(shop: PayingShop) -> None:
    await said_made(shop, "T1")
    await told(shop, news(await kept(shop), "T2"))
    await told(shop, news(await kept(shop), "T1"))
    assert isinstance(await shop.pay(), Review)
    assert await booked(shop) == {"accounts_payable": 25050, "suspense": 0}
    await shop.payments.resolve_payout(found(await kept(shop), "T1", "250.50"))
    made = await shop.pay()
    assert isinstance(made, Sent) and made.transaction_id == "T2"
    assert await booked(shop) == {"accounts_payable": 25050, "suspense": 25050}
    assert await waiting(shop) == [] and (await kept(shop)).operation.transaction_id == "T2"


async def test_another_amount_that_left_is_accepted_or_set_right(shop: PayingShop) -> None:
    await told(shop, news(await shop_payout(shop), "T1", "200"))
    assert isinstance(await shop.pay(), Review) and await waiting(shop) == ["salary-1"]
    assert await booked(shop) == {"accounts_payable": 0, "suspense": 20000}
    await shop.payments.resolve_payout(cleared(await kept(shop)))
    made = await shop.pay()
    assert isinstance(made, Sent) and made.amount == Money("200")
    assert (await shop.fired())[-2:] == ["payout.sent", "operation.resolved"]


async def test_the_statement_has_the_amount_that_was_asked(shop: PayingShop) -> None:
    await told(shop, news(await shop_payout(shop), "T1", "200"))
    await shop.payments.resolve_payout(found(await kept(shop), "T1", "250.50"))
    made = await shop.pay()
    assert isinstance(made, Sent) and made.amount == Money("250.50")
    assert await booked(shop) == {"accounts_payable": 25050, "suspense": 0}


async def shop_payout(shop: PayingShop) -> Payout:
    shop.fault("payout", "drop_before")
    assert isinstance(await shop.pay(), Unknown)
    return await kept(shop)


async def test_health_tells_what_waits_for_a_person(shop: PayingShop) -> None:
    await contradicted(shop)
    health = await shop.payments.health()
    assert health.payouts_in_review == 1 and not health.ok
    (trouble,) = [one for one in health.troubles if one.code == "payout_review"]
    assert "payout list --unsettled" in trouble.next_step
    assert health.as_document()["payouts_in_review"] == 1
    await shop.payments.resolve_payout(cleared(await kept(shop)))
    assert (await shop.payments.health()).payouts_in_review == 0


async def test_what_waits_for_its_caller_hides_no_unknown_one(shop: PayingShop) -> None:
    store = shop.payments.store
    for number in range(250):
        left = plan_payout(
            "default", f"pyo_left_{number}", Mode.SANDBOX, shop.wanted(f"left-{number}"), store.now()
        )
        assert isinstance(await store.commit_payout(left), Committed)
    await shop_payout(shop)
    unknown = (await shop.payments.health()).unknown
    assert unknown is not None and (unknown.count, unknown.more) == (1, False)


# --- a transaction that is booked to another payout ---------------------------------------------------------------


async def swapped(shop: PayingShop) -> tuple[Payout, Payout]:
    """A person gave one payout the transaction of another, of which the gateway tells after that."""
    await said_made(shop, "T2")
    shop.fault("payout", "drop_after")
    assert isinstance(await shop.pay("salary-2"), Unknown)
    shop.clock.advance(LONG_S)
    assert await told(shop, news(await kept(shop, "salary-2"), "T2")) is Verdict.DONE
    return await kept(shop), await kept(shop, "salary-2")


async def test_a_transaction_of_two_payouts_calls_a_person_to_both(shop: PayingShop) -> None:
    first, second = await swapped(shop)
    assert isinstance(await shop.pay(), Review)
    assert isinstance(await shop.pay("salary-2"), Review)
    assert sorted(await waiting(shop)) == ["salary-1", "salary-2"]
    reviews = (await shop.fired()).count("payout.review")
    for _ in range(2):
        await told(shop, news(await kept(shop, "salary-2"), "T2"))
    assert (await shop.fired()).count("payout.review") == reviews == 2
    # The gateway said that the second one was made, so nobody calls it declined, and it is not booked twice.
    with pytest.raises(ConflictError, match="was made"):
        await shop.payments.resolve_payout(answer(second, NOT_MADE))
    with pytest.raises(ConflictError, match="salary-1"):
        await shop.payments.resolve_payout(found(second, "T2", "250.50"))
    assert (await kept(shop), await kept(shop, "salary-2")) == (first, second)


@pytest.mark.parametrize("under", ["T1", None])
async def test_the_wrong_answer_is_answered_anew(shop: PayingShop, under: str | None) -> None:
    first, second = await swapped(shop)
    anew = answer(first, NOT_MADE) if under is None else found(first, under, "250.50")
    await shop.payments.resolve_payout(anew)
    assert isinstance(await shop.pay(), Declined if under is None else Sent)
    await shop.payments.resolve_payout(found(second, "T2", "250.50"))
    made = await shop.pay("salary-2")
    assert isinstance(made, Sent) and made.transaction_id == "T2"
    assert await waiting(shop) == []
    assert await booked(shop) == {"accounts_payable": 25050 * (1 if under is None else 2), "suspense": 0}
    sent = {e.id: e for e in shop.entries if e.kind is EntryKind.PAYOUT_SENT}.values()
    back = {e.id: e for e in shop.entries if e.kind is EntryKind.PAYOUT_REVERSED}.values()
    assert sorted(e.operation_id or "" for e in back) == ["salary-1"]
    assert [e.operation_id for e in sent if e.transaction_id == "T2"] == ["salary-1", "salary-2"]
    await told(shop, news(await kept(shop, "salary-2"), "T2"))
    assert await shop.pay("salary-2") == made


async def test_a_transaction_that_was_taken_back_elsewhere_can_be_booked_where_it_belongs(
    shop: PayingShop,
) -> None:
    """A person mixed two up; the gateway set one of them right, and tells nothing of the other."""
    for name in ("first", "second"):
        shop.fault("payout", "drop_after")
        assert isinstance(await shop.pay(name), Unknown)
    shop.clock.advance(LONG_S)
    await shop.payments.resolve_payout(found(await kept(shop, "first"), "T2", "250.50"))
    with pytest.raises(ConflictError, match="booked to something else"):
        await shop.payments.resolve_payout(found(await kept(shop, "second"), "T2", "250.50"))
    assert await told(shop, news(await kept(shop, "first"), "T1")) is Verdict.DONE
    done = await shop.payments.resolve_payout(found(await kept(shop, "second"), "T2", "250.50"))
    assert [r.kind for r in done.receipts] == [ReceiptKind.CORRECTION] and await waiting(shop) == []
    for name, under in (("first", "T1"), ("second", "T2")):
        made = await shop.pay(name)
        assert isinstance(made, Sent) and made.transaction_id == under
    assert await booked(shop) == {"accounts_payable": 50100, "suspense": 0}
    # The gateway's word for it, when it comes, books nothing.
    assert await told(shop, news(done, "T2")) is Verdict.DONE
    assert (await kept(shop, "second")).receipts == done.receipts and shop.calls("payout") == 2


async def test_what_is_booked_as_something_else_is_no_payouts(shop: PayingShop) -> None:
    """One transaction moved money once: the id of a payment, or of a transfer, was read from the wrong line."""
    await shop.payments.deliver()
    received = next(entry for entry in shop.entries if entry.kind is EntryKind.PAYMENT_RECEIVED)
    transfer = (await kept(shop, "fund")).operation.transaction_id
    assert transfer is not None
    shop.fault("payout", "drop_after")
    assert isinstance(await shop.pay(), Unknown)
    shop.clock.advance(LONG_S)
    payout = await kept(shop)
    for wrong in (transfer, received.transaction_id):
        with pytest.raises(ConflictError, match="in the books as a"):
            await shop.payments.resolve_payout(found(payout, wrong, "250.50"))
    assert await kept(shop) == payout
    # What came in and could not be matched may be news of this very payout.
    unmatched = news(payout, "T1", gateway_order_id=None)
    await told(shop, unmatched)
    done = await shop.payments.resolve_payout(found(payout, "T1", "250.50"))
    assert done.state is OperationState.SUCCEEDED


async def test_the_transaction_is_the_first_ones_indeed(shop: PayingShop) -> None:
    first, second = await swapped(shop)
    await shop.payments.resolve_payout(cleared(first))
    assert isinstance(await shop.pay(), Sent)
    await shop.payments.resolve_payout(cleared(second))
    assert isinstance(await shop.pay("salary-2"), Unknown)
    await shop.payments.resolve_payout(answer(await kept(shop, "salary-2"), NOT_MADE))
    assert isinstance(await shop.pay("salary-2"), Declined)
    assert await waiting(shop) == []


async def test_nobodys_word_lets_it_out_while_the_gateway_says_that_it_was_made(shop: PayingShop) -> None:
    """Whoever had it in hand may say that nothing left: then a person decides, and it is not sent again."""
    _, second = await swapped(shop)
    fence, now = second.operation.fence, shop.payments.store.now()
    assert plan_payout_unsent(second, fence, now) is None
    assert plan_payout_declined(second, fence, Reason(code=ReasonCode.UNKNOWN_ERROR), now) is None


async def test_a_transfer_is_corrected_in_its_own_accounts(tmp_path: Path) -> None:
    accounts = AccountMap(disbursement="PAID_FROM")
    async with paying_shop(tmp_path, store="memory://", accounts=accounts) as shop:
        wanted = TransferRequest(
            operation_id="fund",
            gateway="bkash",
            amount=Money("80"),
            direction=TransferDirection.TO_COLLECTION,
        )
        made = await shop.payments.transfer(wanted)
        assert isinstance(made, Transferred)
        await told(shop, news(await kept(shop, "fund"), made.transaction_id, "70"))
        assert isinstance(await shop.payments.payout_status("fund"), Review)
        await shop.payments.resolve_payout(found(await kept(shop, "fund"), made.transaction_id, "70"))
        done = await shop.payments.payout_status("fund")
        assert isinstance(done, Transferred) and done.amount == Money("70")
        await shop.payments.deliver()
        assert shop.account("gateway_clearing:bkash:sandbox") == 7000 == -shop.account("PAID_FROM")


async def test_while_it_is_in_doubt_nobody_sends_it(shop: PayingShop) -> None:
    """The gateway told of it before it was ever sent from here: it is not let out beside that."""
    await said_made(shop, "T2")
    shop.fault("payout", "throttled")
    await shop.pay("salary-2")
    assert (await kept(shop, "salary-2")).state is OperationState.RESERVED
    await told(shop, news(await kept(shop, "salary-2"), "T2"))
    sent = shop.sent
    assert isinstance(await shop.pay("salary-2"), Review) and shop.sent == sent
    with pytest.raises(ConflictError):
        await shop.payments.withdraw_payout("salary-2")
