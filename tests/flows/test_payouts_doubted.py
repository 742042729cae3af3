"""Payouts of which the books, an operator and the gateway tell different stories: a person is called, always."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.flows.payouts import RECEIVER, TOKENIZED, PayingShop, paying_shop
from tests.flows.shop import LONG_S
from tests.flows.test_payouts import answer, kept, news, told
from vextrus_payments import AccountMap, Declined, Money, ResolutionVerdict, Review, Sent, Unknown
from vextrus_payments.engine import Verdict


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[PayingShop]:
    async with paying_shop(tmp_path) as opened:
        await opened.funded()
        yield opened


async def said_made(shop: PayingShop, transaction_id: str, amount: str = "250.50") -> None:
    shop.fault("payout", "drop_after")
    assert isinstance(await shop.pay(), Unknown)
    shop.clock.advance(LONG_S)
    wanted = answer(
        await kept(shop), ResolutionVerdict.MADE, transaction_id=transaction_id, amount=Money(amount)
    )
    await shop.payments.resolve_payout(wanted)


@pytest.mark.parametrize(("said", "shown"), [("25.50", "250.50"), ("250.50", "200")])
async def test_another_amount_than_an_operator_said_is_for_a_person(
    shop: PayingShop, said: str, shown: str
) -> None:
    await said_made(shop, "T1", said)
    reviews = (await shop.fired()).count("payout.review")
    for _ in range(2):
        assert await told(shop, news(await kept(shop), "T1", shown)) is Verdict.DONE
    outcome = await shop.pay()
    assert isinstance(outcome, Review) and "statement" in outcome.what
    assert (await shop.fired()).count("payout.review") == reviews + 1


async def test_what_was_taken_back_and_moved_money_all_the_same_is_for_a_person(shop: PayingShop) -> None:
    await said_made(shop, "T1")
    assert await told(shop, news(await kept(shop), "T2")) is Verdict.DONE
    assert isinstance(await shop.pay(), Sent)
    reviews = (await shop.fired()).count("payout.review")
    for _ in range(2):
        assert await told(shop, news(await kept(shop), "T1")) is Verdict.DONE
    assert isinstance(await shop.pay(), Review)
    assert (await shop.fired()).count("payout.review") == reviews + 1


async def test_the_gateways_word_for_what_an_operator_said_is_kept(shop: PayingShop) -> None:
    """It books nothing; but from then on both of them say so, and another transaction is a second one."""
    await said_made(shop, "T1")
    before, fired = await kept(shop), await shop.fired()
    for _ in range(2):
        assert await told(shop, news(await kept(shop), "T1")) is Verdict.DONE
    after = await kept(shop)
    assert (after.version, after.receipts) == (before.version + 1, before.receipts)
    assert isinstance(await shop.pay(), Sent) and await shop.fired() == fired
    await shop.check_accounts(AccountMap())
    await told(shop, news(await kept(shop), "T2"))
    assert isinstance(await shop.pay(), Review)
    assert [r.transaction_id for r in (await kept(shop)).standing] == ["T1", "T2"]
    assert shop.account("accounts_payable") == 25050


async def test_money_that_a_receiver_pays_back_is_no_payout(shop: PayingShop) -> None:
    """Notifications tell of money that came in: one under a payout's number must not be booked as money that left."""
    made = await shop.pay()
    assert isinstance(made, Sent)
    payout = await kept(shop)
    assert await told(shop, news(payout, "BACK1", payer_account=RECEIVER)) is not Verdict.DONE
    assert await shop.pay() == made and await kept(shop) == payout
    await shop.check_accounts(AccountMap())


@pytest.mark.parametrize(
    ("verdict", "end", "account"),
    [(ResolutionVerdict.NOT_MADE, Review, "suspense"), (ResolutionVerdict.MADE, Sent, "accounts_payable")],
)
async def test_an_operator_is_checked_where_the_gateway_can_be_asked(
    tmp_path: Path, verdict: ResolutionVerdict, end: type[Sent | Review], account: str
) -> None:
    async with paying_shop(tmp_path, root=TOKENIZED) as shop:
        await shop.funded()
        shop.fault("payout", "drop_after")
        shop.fault("payout_query", "error_5xx_before", times=50)
        assert isinstance(await shop.pay(), Unknown)
        shop.clock.advance(LONG_S)
        said = (
            {"transaction_id": "WRONG", "amount": Money("250.50")}
            if verdict is ResolutionVerdict.MADE
            else {}
        )
        await shop.payments.resolve_payout(answer(await kept(shop), verdict, **said))
        assert isinstance(await shop.payments.payout_status("salary-1"), Sent | Declined)
        shop.server.app.state.faults.reset()
        made = await shop.payments.payout_status("salary-1")
        assert isinstance(made, end) and made.transaction_id != "WRONG"
        assert await shop.pay() == made and shop.sent == 1
        await shop.payments.deliver()
        assert shop.account(account) == 25050
