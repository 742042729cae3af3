"""One payment's life, and the ways its answers get lost."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.flows.shop import LONG_S, Shop
from vextrus_payments import (
    AlreadyPaidError,
    AmountError,
    CurrencyNotSupportedError,
    Declined,
    DeclinedError,
    Effect,
    GatewayError,
    InvalidRequestError,
    Money,
    OperationConflictError,
    Paid,
    PaymentRequest,
    Pending,
    ReasonCode,
    Unknown,
)


async def test_a_payment_from_request_to_ledger(shop: Shop) -> None:
    session = await shop.approved(amount="1250.50")
    assert session.gateway_order_id == "INV-1"
    outcome = await shop.payments.execute(session.payment_id)
    assert isinstance(outcome, Paid)
    assert outcome.amount == Money("1250.50", "BDT")
    assert outcome.payer_account_masked is not None
    assert "*" in outcome.payer_account_masked
    assert await shop.fired() == ["payment.paid"]
    assert [e.kind for e in shop.entries] == ["payment.received"]
    assert shop.entries[0].mode == "sandbox"
    await shop.check_books()
    # Manners: a good execute is never followed by a query, and one token served everything.
    assert shop.calls("query") == 0
    assert shop.calls("grant") == 1
    assert shop.calls("execute") == 1


async def test_the_same_operation_gives_the_same_session_and_another_one_is_a_conflict(shop: Shop) -> None:
    first = await shop.open()
    assert await shop.open() == first
    assert shop.calls("create") == 1
    with pytest.raises(OperationConflictError):
        await shop.open(amount="101")
    assert shop.calls("create") == 1


async def test_many_callers_of_one_initialize_share_one_session(shop: Shop) -> None:
    sessions = await asyncio.gather(*(shop.open() for _ in range(20)))
    assert len({s.gateway_reference for s in sessions}) == 1
    assert shop.calls("create") == 1


@pytest.mark.parametrize("callers", [2, 25])
async def test_two_tabs_and_a_worker_execute_once(shop: Shop, callers: int) -> None:
    session = await shop.approved()
    outcomes = await asyncio.gather(*(shop.payments.execute(session.payment_id) for _ in range(callers)))
    assert {type(o) for o in outcomes} == {Paid}
    assert shop.calls("execute") == 1
    await shop.payments.deliver()
    assert len(shop.entries) == 1
    await shop.check_books()


async def test_a_cancelled_caller_cancels_only_its_wait(shop: Shop) -> None:
    session = await shop.approved()
    shop.fault("execute", "delay;seconds=0.3")
    caller = asyncio.create_task(shop.payments.execute(session.payment_id))
    while not shop.calls("execute"):
        await asyncio.sleep(0.01)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert isinstance(await shop.payments.execute(session.payment_id), Paid)
    assert shop.calls("execute") == 1
    await shop.check_books()


@pytest.mark.parametrize(
    "fault", ["drop_after", "error_5xx_after", "malformed", "html", "message_only", "code_after"]
)
async def test_a_lost_execute_answer_is_recovered_by_a_look_up_and_never_sent_twice(
    shop: Shop, fault: str
) -> None:
    session = await shop.approved()
    shop.fault("execute", fault)
    outcome = await shop.payments.execute(session.payment_id)
    # bKash's own rule: no definite answer, so it is queried once, and the query shows it.
    assert isinstance(outcome, Paid)
    assert shop.moved()["execute"] == 1
    assert shop.calls("execute") == 1
    await shop.check_books()


@pytest.mark.parametrize("fault", ["drop_after", "error_5xx_after", "malformed", "html", "message_only"])
async def test_when_the_query_fails_too_it_is_unknown_until_the_gateway_says(shop: Shop, fault: str) -> None:
    session = await shop.approved()
    shop.fault("execute", fault)
    shop.fault("query", "drop_before", times=8)
    outcome = await shop.payments.execute(session.payment_id)
    assert isinstance(outcome, Unknown)
    assert (await shop.fired()) == ["payment.unknown_opened"]
    # Asking to execute again looks; it never sends.
    again = await shop.payments.execute(session.payment_id)
    assert isinstance(again, Unknown | Paid)
    shop.server.app.state.faults.clear()
    assert isinstance(await shop.payments.status(session.payment_id), Paid)
    assert shop.calls("execute") == 1
    assert (await shop.fired())[-2:] == ["payment.unknown_resolved", "payment.paid"]
    await shop.check_books()


@pytest.mark.parametrize("fault", ["drop_before", "error_5xx_before", "html_before"])
async def test_an_execute_that_never_happened_is_unknown_until_absence_is_proof(
    shop: Shop, fault: str
) -> None:
    session = await shop.approved()
    shop.fault("execute", fault)
    outcome = await shop.payments.execute(session.payment_id)
    assert isinstance(outcome, Unknown)
    # Right after, the gateway shows "Initiated": it may still be at work, so that proves nothing.
    assert isinstance(await shop.payments.status(session.payment_id), Unknown)
    assert isinstance(await shop.payments.execute(session.payment_id), Unknown)
    assert shop.calls("execute") == 1
    shop.clock.advance(LONG_S)
    assert isinstance(await shop.payments.status(session.payment_id), Pending)
    assert isinstance(await shop.payments.execute(session.payment_id), Paid)
    assert shop.moved()["execute"] == 1
    await shop.check_books()


async def test_a_lost_create_is_replaced_by_a_fresh_submission(shop: Shop) -> None:
    shop.fault("create", "drop_after")
    session = await shop.approved()
    assert session.gateway_order_id == "INV-1-2"
    assert session.submission_no == 2
    assert isinstance(await shop.payments.execute(session.payment_id), Paid)
    await shop.check_books()


async def test_creates_that_keep_getting_lost_leave_the_intent_standing(shop: Shop) -> None:
    shop.fault("create", "drop_after", times=3)
    with pytest.raises(GatewayError) as caught:
        await shop.open()
    assert caught.value.effect is Effect.NONE
    session = await shop.approved()
    assert session.gateway_order_id == "INV-1-4"
    assert isinstance(await shop.payments.execute(session.payment_id), Paid)
    await shop.check_books()


async def test_an_expired_token_is_replaced_and_the_call_replayed_once(shop: Shop) -> None:
    session = await shop.approved()
    shop.fault("execute", "expired_token")
    assert isinstance(await shop.payments.execute(session.payment_id), Paid)
    assert shop.calls("grant") == 2
    assert shop.moved()["execute"] == 1
    await shop.check_books()


async def test_a_used_up_grant_budget_sends_nothing(shop: Shop) -> None:
    session = await shop.approved()
    shop.fault("execute", "expired_token", times=5)
    outcome = await shop.payments.execute(session.payment_id)
    assert isinstance(outcome, Pending)
    assert not outcome.sent
    outcome = await shop.payments.execute(session.payment_id)
    assert isinstance(outcome, Pending)
    assert shop.calls("grant") <= 2
    shop.server.app.state.faults.clear()
    shop.clock.advance(4000)
    assert isinstance(await shop.payments.execute(session.payment_id), Paid)
    await shop.check_books()


async def test_insufficient_balance_is_a_final_no_in_both_languages(shop: Shop) -> None:
    session = await shop.open()
    shop.approve(session, wallet="01823074817")
    outcome = await shop.payments.execute(session.payment_id)
    assert isinstance(outcome, Declined)
    assert outcome.reason.code is ReasonCode.INSUFFICIENT_BALANCE
    assert outcome.reason.text("en")
    assert outcome.reason.text("bn")
    assert await shop.fired() == ["payment.declined"]
    assert isinstance(await shop.payments.execute(session.payment_id), Declined)
    assert shop.calls("execute") == 1
    # A new attempt is a new payment of the same reference, under an order id of its own.
    second = await shop.approved(operation_id="INV-1/pay-2")
    assert second.gateway_order_id == "INV-1-2"
    assert isinstance(await shop.payments.execute(second.payment_id), Paid)
    await shop.check_books()


async def test_a_forged_or_early_success_return_declines_nothing(shop: Shop) -> None:
    session = await shop.open()
    params = {"paymentID": session.gateway_reference, "status": "success"}
    result = await shop.payments.handle_return("bkash", params)
    assert isinstance(result.outcome, Pending)
    assert result.redirect_to == "https://shop.example/orders/INV-1"
    shop.approve(session)
    result = await shop.payments.handle_return("bkash", params)
    assert isinstance(result.outcome, Paid)
    again = await shop.payments.handle_return("bkash", params)
    assert again.outcome == result.outcome
    assert shop.moved()["execute"] == 1
    await shop.check_books()


@pytest.mark.parametrize("status", ["cancel", "failure", "nonsense"])
async def test_no_other_hint_executes(shop: Shop, status: str) -> None:
    session = await shop.approved()
    result = await shop.payments.handle_return(
        "bkash", {"paymentID": session.gateway_reference, "status": status}
    )
    assert isinstance(result.outcome, Pending)
    assert shop.calls("execute") == 0
    # The cancel was forged: the payer did approve, and the true return still pays.
    assert isinstance(await shop.payments.execute(session.payment_id), Paid)
    await shop.check_books()


async def test_a_real_cancel_closes_the_payment(shop: Shop) -> None:
    session = await shop.open()
    shop.approve(session, outcome="cancel")
    result = await shop.payments.handle_return(
        "bkash", {"paymentID": session.gateway_reference, "status": "cancel"}
    )
    assert isinstance(result.outcome, Declined | Pending)
    assert shop.calls("execute") == 0
    assert shop.moved() == {}


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"paymentID": ""},
        {"paymentID": "TR0011unknown1766000000123", "status": "success"},
        {"status": "success"},
    ],
)
async def test_a_return_that_names_nothing_of_ours_is_refused(shop: Shop, params: dict[str, str]) -> None:
    with pytest.raises(InvalidRequestError):
        await shop.payments.handle_return("bkash", params)
    assert shop.calls() == 0


async def test_one_reference_is_charged_once(shop: Shop) -> None:
    first = await shop.approved()
    second = await shop.approved(operation_id="INV-1/other-tab")
    assert isinstance(await shop.payments.execute(first.payment_id), Paid)
    with pytest.raises(AlreadyPaidError) as caught:
        await shop.payments.execute(second.payment_id)
    assert caught.value.other_payment_id == first.payment_id
    with pytest.raises(AlreadyPaidError):
        await shop.open(operation_id="INV-1/third")
    assert shop.moved()["execute"] == 1
    repeated = await shop.approved(operation_id="INV-1/again", allow_repeat=True, amount="50")
    assert isinstance(await shop.payments.execute(repeated.payment_id), Paid)
    await shop.check_books()


async def test_two_payments_of_one_reference_executed_at_once_charge_once(shop: Shop) -> None:
    sessions = [await shop.approved(operation_id=f"INV-1/{n}", amount=f"10{n}") for n in range(4)]
    results: list[Any] = await asyncio.gather(
        *(shop.payments.execute(s.payment_id) for s in sessions), return_exceptions=True
    )
    assert sum(isinstance(r, Paid) for r in results) == 1
    assert all(isinstance(r, Paid | Pending | AlreadyPaidError) for r in results)
    assert shop.moved()["execute"] == 1
    await shop.check_books()


async def test_an_unknown_payment_blocks_its_reference(shop: Shop) -> None:
    first = await shop.approved()
    second = await shop.approved(operation_id="INV-1/other-tab", amount="101")
    shop.fault("execute", "drop_after")
    shop.fault("query", "drop_before", times=8)
    assert isinstance(await shop.payments.execute(first.payment_id), Unknown)
    withheld = await shop.payments.execute(second.payment_id)
    assert isinstance(withheld, Pending)
    assert not withheld.sent
    with pytest.raises(AlreadyPaidError):
        await shop.open(operation_id="INV-1/third")
    assert shop.calls("execute") == 1


async def test_wrong_requests_are_refused_before_anything_is_sent(shop: Shop) -> None:
    with pytest.raises(CurrencyNotSupportedError):
        await shop.payments.initialize(
            PaymentRequest(
                operation_id="a", gateway="bkash", amount=Money("5", "USD"), merchant_reference="INV-1"
            )
        )
    with pytest.raises(AmountError):
        await shop.open(amount="0.50")
    with pytest.raises(InvalidRequestError):
        await shop.payments.execute("pay_nothing")
    assert shop.calls() == 0


async def test_a_create_that_bkash_refuses_is_declined_for_good(shop: Shop) -> None:
    shop.fault("create", "code_before;code=2006")
    with pytest.raises(DeclinedError) as caught:
        await shop.open()
    assert caught.value.effect is Effect.REFUSED
    assert caught.value.code == "2006"
    with pytest.raises(DeclinedError):
        await shop.open()
    assert shop.calls("create") == 1


async def test_a_ledger_that_is_down_gets_its_entries_later(shop: Shop) -> None:
    session = await shop.approved()
    shop.ledger_down = True
    assert isinstance(await shop.payments.execute(session.payment_id), Paid)
    await shop.payments.deliver()
    assert shop.entries == []
    assert await shop.fired() == ["payment.paid"]
    shop.ledger_down = False
    shop.clock.advance(timedelta(minutes=10).total_seconds())
    await shop.check_books()
    assert len(shop.entries) == 1
