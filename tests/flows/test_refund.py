"""Refunds: reserved against receipts, sent once, unknown until the gateway shows them."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.flows.shop import LONG_S, Shop, bkash_config, paid, refund, shop_open
from vextrus_payments import (
    AmountError,
    ConflictError,
    CurrencyNotSupportedError,
    Declined,
    InvalidRequestError,
    Money,
    OperationConflictError,
    Pending,
    ReasonCode,
    Refunded,
    RefundRequest,
    Unknown,
)
from vextrus_payments.capabilities import RefundCorrelation
from vextrus_payments.errors import AnswerLostError
from vextrus_payments.gateways.bkash import BkashGateway
from vextrus_payments.payment import Evidence, RefundCall
from vextrus_payments.snapshots import RefundSnapshot
from vextrus_payments.testing import FakeClock
from vextrus_payments.token_port import Token, TokenKey
from vextrus_payments.tokens import MemoryTokenBackend
from vextrus_payments_sandbox.serve import SandboxServer


async def test_parts_then_the_rest_then_nothing(shop: Shop) -> None:
    session = await paid(shop)
    first = await shop.payments.refund(refund(session, "r-1", "30.50"))
    assert isinstance(first, Refunded)
    assert first.amount == Money("30.50", "BDT")
    rest = await shop.payments.refund(refund(session, "r-2"))
    assert isinstance(rest, Refunded)
    assert rest.amount == Money("69.50", "BDT")
    with pytest.raises(AmountError):
        await shop.payments.refund(refund(session, "r-3", "0.01"))
    with pytest.raises(AmountError):
        await shop.payments.refund(refund(session, "r-4"))
    await shop.check_books()
    assert [e.kind for e in shop.entries] == ["payment.received", "payment.refunded", "payment.refunded"]
    assert shop.clearing() == 0
    assert shop.calls("refund") == 2


async def test_the_same_refund_again_is_the_same_refund(shop: Shop) -> None:
    session = await paid(shop)
    outcomes = await asyncio.gather(*(shop.payments.refund(refund(session, "r-1", "40")) for _ in range(10)))
    assert len({getattr(o, "transaction_id", None) for o in outcomes}) == 1
    assert all(isinstance(o, Refunded) for o in outcomes)
    assert shop.calls("refund") == 1
    with pytest.raises(OperationConflictError):
        await shop.payments.refund(refund(session, "r-1", "41"))
    await shop.check_books()


async def test_refunds_at_once_never_exceed_what_came_in(shop: Shop) -> None:
    session = await paid(shop)
    results: list[Any] = await asyncio.gather(
        *(shop.payments.refund(refund(session, f"r-{n}", "60")) for n in range(5)), return_exceptions=True
    )
    assert sum(isinstance(r, Refunded) for r in results) == 1
    assert sum(isinstance(r, AmountError) for r in results) == 4
    assert shop.moved()["refund"] == 1
    await shop.check_books()


async def test_refunds_that_fit_run_one_after_the_other(shop: Shop) -> None:
    session = await paid(shop)
    results = await asyncio.gather(*(shop.payments.refund(refund(session, f"r-{n}", "20")) for n in range(5)))
    # Without an id of ours at the gateway they may not overlap; whoever had to wait too long is told so.
    assert all(isinstance(r, Refunded | Pending) for r in results)
    for n in range(5):
        assert isinstance(await shop.payments.refund(refund(session, f"r-{n}", "20")), Refunded)
    assert shop.moved()["refund"] == 5
    await shop.check_books()
    assert shop.clearing() == 0


@pytest.mark.parametrize("fault", ["drop_after", "error_5xx_after", "malformed", "html"])
async def test_a_lost_refund_answer_is_found_in_the_list(shop: Shop, fault: str) -> None:
    session = await paid(shop)
    shop.fault("refund", fault)
    outcome = await shop.payments.refund(refund(session, "r-1", "40"))
    assert isinstance(outcome, Refunded)
    assert shop.moved()["refund"] == 1
    await shop.check_books()


async def test_a_refund_the_list_does_not_show_stays_reserved_and_is_never_sent_again(shop: Shop) -> None:
    session = await paid(shop)
    shop.fault("refund", "drop_before")
    outcome = await shop.payments.refund(refund(session, "r-1", "40"))
    assert isinstance(outcome, Unknown)
    shop.clock.advance(LONG_S * 100)
    assert isinstance(await shop.payments.refund(refund(session, "r-1", "40")), Unknown)
    assert isinstance(await shop.payments.refund_status("r-1"), Unknown)
    assert shop.calls("refund") == 1
    with pytest.raises(AmountError):
        await shop.payments.refund(refund(session, "r-2", "61"))
    # One at a time: while one is unknown, the next waits.
    assert isinstance(await shop.payments.refund(refund(session, "r-3", "10")), Pending)
    assert shop.calls("refund") == 1


async def test_a_refund_that_shows_up_later_is_recovered(shop: Shop) -> None:
    session = await paid(shop)
    shop.fault("refund", "drop_after")
    shop.fault("refund_status", "delay;seconds=0")  # the baseline goes through
    shop.fault("refund_status", "drop_before", times=8)
    outcome = await shop.payments.refund(refund(session, "r-1", "40"))
    assert isinstance(outcome, Unknown)
    shop.server.app.state.faults.clear()
    found = await shop.payments.refund_status("r-1")
    assert isinstance(found, Refunded)
    assert shop.moved()["refund"] == 1
    await shop.check_books()


async def test_a_booked_refund_is_never_taken_for_another_one(shop: Shop) -> None:
    session = await paid(shop)
    # The list lags: the second refund's baseline does not show the first one, of the same amount.
    assert isinstance(await shop.payments.refund(refund(session, "r-1", "40")), Refunded)
    shop.fault("refund_status", "stale")
    shop.fault("refund", "drop_before")
    second = await shop.payments.refund(refund(session, "r-2", "40"))
    assert isinstance(second, Unknown)
    assert isinstance(await shop.payments.refund_status("r-2"), Unknown)
    assert shop.moved()["refund"] == 1
    await shop.check_books()


async def test_of_two_equal_refunds_the_one_not_booked_yet_is_found(shop: Shop) -> None:
    session = await paid(shop)
    assert isinstance(await shop.payments.refund(refund(session, "r-1", "40")), Refunded)
    shop.fault("refund_status", "stale")  # the baseline of the second lacks the first
    shop.fault("refund", "drop_after")
    second = await shop.payments.refund(refund(session, "r-2", "40"))
    assert isinstance(second, Refunded)
    assert shop.moved()["refund"] == 2
    await shop.check_books()
    assert len({entry.transaction_id for entry in shop.entries}) == 3


async def test_a_baseline_that_cannot_be_read_sends_no_refund(shop: Shop) -> None:
    session = await paid(shop)
    shop.fault("refund_status", "drop_before", times=8)
    outcome = await shop.payments.refund(refund(session, "r-1", "40"))
    assert isinstance(outcome, Pending)
    assert not outcome.sent
    assert shop.calls("refund") == 0
    shop.server.app.state.faults.clear()
    assert isinstance(await shop.payments.refund(refund(session, "r-1", "40")), Refunded)
    await shop.check_books()


async def test_a_refund_that_bkash_refuses_frees_its_amount(shop: Shop) -> None:
    session = await paid(shop)
    shop.fault("refund", "code_before;code=2071")
    outcome = await shop.payments.refund(refund(session, "r-1"))
    assert isinstance(outcome, Declined)
    assert "refund.declined" in await shop.fired()
    assert isinstance(await shop.payments.refund(refund(session, "r-2")), Refunded)
    await shop.check_books()


async def test_what_cannot_be_refunded_is_refused_before_anything_is_sent(shop: Shop) -> None:
    unpaid = await shop.open("INV-9")
    with pytest.raises(ConflictError):
        await shop.payments.refund(refund(unpaid, "r-1", "1"))
    session = await paid(shop)
    with pytest.raises(AmountError):
        await shop.payments.refund(refund(session, "r-2", "100.01"))
    with pytest.raises(CurrencyNotSupportedError):
        await shop.payments.refund(
            RefundRequest(operation_id="r-3", payment_id=session.payment_id, amount=Money("1", "USD"))
        )
    with pytest.raises(InvalidRequestError):
        await shop.payments.refund(RefundRequest(operation_id="r-4", payment_id="pay_none"))
    with pytest.raises(InvalidRequestError):
        await shop.payments.refund_status("r-nothing")
    # An operation id of another kind is no refund's.
    with pytest.raises(OperationConflictError):
        await shop.payments.refund(refund(session, "INV-1/pay", "1"))
    assert shop.calls("refund") == 0
    assert shop.calls("refund_status") == 0


# --- what must not hold an amount for good ------------------------------------------------------------------------


class TokensElsewhere(MemoryTokenBackend):
    """Tokens in a service that can be down."""

    down = False

    async def get(self, key: TokenKey) -> Token | None:
        if self.down:
            raise ConnectionError("the service is down")
        return await super().get(key)


async def test_a_refund_that_broke_before_its_baseline_was_never_sent_and_goes_out_later(
    tmp_path: Path,
) -> None:
    tokens = TokensElsewhere()
    async with shop_open(tmp_path, tokens=tokens) as shop:
        session = await paid(shop)
        shop.clock.advance(3 * 3600)  # bKash's token is over
        tokens.down = True
        with pytest.raises(ConnectionError):
            await shop.payments.refund(refund(session, "r-1", "40"))
        assert shop.calls("refund_status") == shop.calls("refund") == 0
        tokens.down = False
        shop.clock.advance(LONG_S)
        # Neither stuck itself nor in the way of another one.
        assert isinstance(await shop.payments.refund(refund(session, "r-2", "10")), Refunded)
        assert isinstance(await shop.payments.refund(refund(session, "r-1", "40")), Refunded)
        assert shop.moved()["refund"] == 2
        await shop.check_books()


async def test_asking_about_a_refund_that_broke_before_its_baseline_says_that_it_was_not_sent(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await paid(shop)

    async def down(*_: Any) -> None:
        raise ConnectionError("the service is down")

    with monkeypatch.context() as patch:
        patch.setattr(BkashGateway, "authorize", down)
        with pytest.raises(ConnectionError):
            await shop.payments.refund(refund(session, "r-1", "40"))
    shop.clock.advance(LONG_S)
    outcome = await shop.payments.refund_status("r-1")
    assert isinstance(outcome, Pending)
    assert not outcome.sent
    assert await shop.fired() == ["payment.paid", "payment.unknown_opened", "payment.unknown_resolved"]
    assert isinstance(await shop.payments.refund(refund(session, "r-1", "40")), Refunded)
    await shop.check_books()


@pytest.mark.parametrize("reason", ["broken\nin transit", "   "])
async def test_a_refund_that_the_adapter_refuses_is_declined_and_frees_its_amount(
    shop: Shop, reason: str
) -> None:
    session = await paid(shop)
    wrong = RefundRequest(operation_id="r-1", payment_id=session.payment_id, reason=reason)
    with pytest.raises(InvalidRequestError) as caught:
        await shop.payments.refund(wrong)
    assert caught.value.field == "reason"
    outcome = await shop.payments.refund(wrong)
    assert isinstance(outcome, Declined)
    assert outcome.reason.code is ReasonCode.INVALID_REQUEST
    assert await shop.payments.refund_status("r-1") == outcome
    assert await shop.fired() == ["payment.paid", "refund.declined"]
    assert shop.calls("refund") == 0
    assert isinstance(await shop.payments.refund(refund(session, "r-2")), Refunded)
    await shop.check_books()


async def test_a_refund_outside_the_window_is_declined_and_frees_its_amount(tmp_path: Path) -> None:
    clock = FakeClock()
    async with SandboxServer(clock=clock, seed=1) as server:
        config = bkash_config(server, timeout_s=30.0, refund_window_days=1)
        shop = Shop(server, f"sqlite:///{tmp_path / 'shop.db'}", clock, gateways={"bkash": config})
        async with shop.payments:
            session = await paid(shop)
            clock.advance(4 * 86400)
            for name in ("r-1", "r-1", "r-2"):
                outcome = await shop.payments.refund(refund(session, name))
                assert isinstance(outcome, Declined)
                assert outcome.reason.code is ReasonCode.REFUND_WINDOW_CLOSED
            assert shop.calls("refund") == 0
            await shop.check_books()


async def test_a_refund_looks_up_the_one_that_stands_in_its_way(shop: Shop) -> None:
    session = await paid(shop)
    shop.fault("refund", "drop_after")
    shop.fault("refund_status", "delay;seconds=0")  # the baseline goes through
    shop.fault("refund_status", "drop_before", times=8)
    assert isinstance(await shop.payments.refund(refund(session, "r-1", "40")), Unknown)
    shop.server.app.state.faults.clear()
    assert isinstance(await shop.payments.refund(refund(session, "r-2", "20")), Refunded)
    assert shop.moved()["refund"] == 2
    await shop.check_books()
    assert isinstance(await shop.payments.refund_status("r-1"), Refunded)


# --- a gateway that knows refunds by an id of ours ----------------------------------------------------------------


def known_by_our_id(monkeypatch: pytest.MonkeyPatch) -> dict[str, RefundSnapshot]:
    """Make bKash such a gateway: it keeps no baseline, its answers get lost, and a look-up finds what was made."""
    made: dict[str, RefundSnapshot] = {}
    real_capabilities, real_refund = BkashGateway.capabilities, BkashGateway.refund_payment

    async def forget(_: Evidence) -> None:
        return

    async def refund_payment(self: BkashGateway, call: RefundCall, **kwargs: Any) -> RefundSnapshot:
        made[call.operation_id] = await real_refund(self, call, **{**kwargs, "on_checkpoint": forget})
        raise AnswerLostError("The answer was lost.")

    async def look_up_refund(
        self: BkashGateway, call: RefundCall, *, resume: Evidence | None, **_: Any
    ) -> RefundSnapshot | None:
        assert resume is None
        return made.get(call.operation_id)

    def capabilities(self: BkashGateway) -> Any:
        known = real_capabilities.__get__(self)
        return replace(known, refund_correlation=RefundCorrelation.OWN_ID)

    monkeypatch.setattr(BkashGateway, "capabilities", property(capabilities))
    monkeypatch.setattr(BkashGateway, "refund_payment", refund_payment)
    monkeypatch.setattr(BkashGateway, "look_up_refund", look_up_refund)
    return made


async def test_a_lost_refund_is_found_by_our_id_without_any_checkpoint(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await paid(shop)
    known_by_our_id(monkeypatch)
    for name, amount in (("r-1", "40"), ("r-2", "40")):
        assert isinstance(await shop.payments.refund(refund(session, name, amount)), Unknown)
    assert isinstance(await shop.payments.refund_status("r-1"), Refunded)
    assert isinstance(await shop.payments.refund(refund(session, "r-2", "40")), Refunded)
    assert shop.moved()["refund"] == 2
    await shop.check_books()


async def test_a_refund_not_found_by_our_id_stays_unknown_and_is_never_sent_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await paid(shop)
    made = known_by_our_id(monkeypatch)
    assert isinstance(await shop.payments.refund(refund(session, "r-1", "40")), Unknown)
    hidden = made.copy()
    made.clear()
    shop.clock.advance(LONG_S * 100)
    assert isinstance(await shop.payments.refund_status("r-1"), Unknown)
    assert isinstance(await shop.payments.refund(refund(session, "r-1", "40")), Unknown)
    with pytest.raises(AmountError):
        await shop.payments.refund(refund(session, "r-2", "61"))
    made.update(hidden)
    assert isinstance(await shop.payments.refund_status("r-1"), Refunded)
    assert shop.calls("refund") == 1
    await shop.check_books()
