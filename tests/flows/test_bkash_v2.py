"""A shop whose merchant is on bKash's Tokenized Checkout v2, and a house with merchants on both versions."""

from pathlib import Path
from typing import Any

import pytest

from tests.flows.shop import LONG_S, Shop, bkash_config, shop_open
from vextrus_payments import (
    Declined,
    Money,
    Paid,
    PaymentRequest,
    Payments,
    Pending,
    Refunded,
    RefundRequest,
    Unknown,
    UnsupportedOperationError,
)
from vextrus_payments.payment import ConsentRequest, Intent
from vextrus_payments.records import AgreementLife
from vextrus_payments.testing import FakeClock, FakeEntropy, FakeSleeper
from vextrus_payments_sandbox.serve import SandboxServer

CONSENT = ConsentRequest(
    operation_id="u-1/consent",
    gateway="bkash",
    payer_reference="u-1",
    return_url="https://shop.example/wallet",
)


async def test_from_the_page_to_the_refund(tmp_path: Path) -> None:
    async with shop_open(tmp_path, api_version="v2") as shop:
        session = await shop.approved()
        returned = await shop.payments.handle_return(
            "bkash", {"paymentID": session.gateway_reference, "status": "success", "signature": "x"}
        )
        assert isinstance(returned.outcome, Paid)
        for number, amount in ((1, "30"), (2, "70")):
            refund = RefundRequest(
                operation_id=f"r-{number}", payment_id=session.payment_id, amount=Money(amount)
            )
            assert isinstance(await shop.payments.refund(refund), Refunded)
        assert shop.calls("query") == 0, "bKash fails merchants who query after a good execute"
        assert shop.calls("grant") == 1
        await shop.check_books()


@pytest.mark.parametrize("fault", ["drop_after", "error_5xx_after", "malformed", "html", "code_after"])
async def test_money_behind_a_lost_answer_is_found_and_moved_once(tmp_path: Path, fault: str) -> None:
    async with shop_open(tmp_path, api_version="v2") as shop:
        session = await shop.approved()
        shop.fault("execute", fault)
        assert isinstance(await shop.payments.execute(session.payment_id), Paid)
        assert shop.moved() == {"execute": 1}
        await shop.check_books()


async def test_nobody_knows_until_a_look_up_tells(tmp_path: Path) -> None:
    async with shop_open(tmp_path, api_version="v2") as shop:
        session = await shop.approved()
        shop.fault("execute", "drop_before")
        shop.fault("query", "drop_before", times=9)
        assert isinstance(await shop.payments.execute(session.payment_id), Unknown)
        shop.server.app.state.faults.clear()
        shop.clock.advance(LONG_S)
        assert isinstance(await shop.payments.status(session.payment_id), Pending)  # proven not done
        assert isinstance(await shop.payments.execute(session.payment_id), Paid)
        assert shop.moved() == {"execute": 1}
        await shop.check_books()


async def test_the_payer_hears_bkashs_own_sentence(tmp_path: Path) -> None:
    async with shop_open(tmp_path, api_version="v2") as shop:
        session = await shop.open()
        shop.approve(session, wallet="01823074817")
        outcome = await shop.payments.execute(session.payment_id)
        assert isinstance(outcome, Declined)
        assert outcome.reason.gateway_code == "2023"
        assert outcome.reason.text("en") == "Insufficient Balance"
        assert outcome.reason.text("bn") and "2023" not in outcome.reason.text("bn")


async def test_a_hold_is_refused_before_anything_is_kept_or_sent(tmp_path: Path) -> None:
    async with shop_open(tmp_path, api_version="v2") as shop:
        with pytest.raises(UnsupportedOperationError):
            await shop.open(intent=Intent.AUTHORIZATION)
        assert shop.calls() == 0


# ------------------------------------------------------------------------------------------------------ agreements


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("also", [False, True])
async def test_the_browser_that_comes_back_from_giving_an_agreement(
    tmp_path: Path, also: bool, version: str
) -> None:
    """Nobody knows whether v2's return names a payment beside the agreement, or v1's the agreement beside a payment."""
    own, other = ("paymentID", "agreementID") if version == "v1" else ("agreementID", "paymentID")
    async with shop_open(tmp_path, api_version=version) as shop:
        asked = await shop.payments.create_agreement(CONSENT)
        assert asked.gateway_reference is not None
        shop.server.world.gateways["bkash"].approve(asked.gateway_reference, "success", None)
        returned = await shop.payments.handle_return(
            "bkash",
            {**({other: "another-id"} if also else {}), own: asked.gateway_reference, "status": "success"},
        )
        assert returned.agreement is not None
        assert returned.agreement.state is AgreementLife.ACTIVE
        assert returned.redirect_to == "https://shop.example/wallet"
        assert shop.calls("execute") == 1


async def test_a_charge_survives_the_process_that_opened_it(tmp_path: Path) -> None:
    """v2 executes a charge by its payment and its agreement: what the first process learned, the second one needs."""
    async with shop_open(tmp_path, api_version="v2") as shop:
        asked = await shop.payments.create_agreement(CONSENT)
        shop.server.world.gateways["bkash"].approve(asked.gateway_reference, "success", None)
        given = await shop.payments.execute_agreement(asked.agreement_key)
        session = await shop.approved("INV-2", agreement_key=given.agreement_key)
        assert session.agreement_id is None, "with it one can charge: it stays in the store"
        again = await shop.open("INV-2", agreement_key=given.agreement_key)
        assert again == session
        second = Shop(shop.server, f"sqlite:///{tmp_path / 'shop.db'}", shop.clock, seed=8, api_version="v2")
        async with second.payments:
            assert (
                await second.payments.get(session.payment_id)
            ).submission.agreement_id == given.agreement_id
            assert isinstance(await second.payments.execute(session.payment_id), Paid)
        wire = shop.server.world.wire.as_json()
        (charged,) = [c["path"] for c in wire if c["operation"] == "execute" and c["moved_money"]]
        assert charged == "/v2/tokenized-checkout/payment-with-agreement/execute"


@pytest.mark.parametrize(("born", "later"), [("v1", "v2"), ("v2", "v1")])
async def test_an_agreement_outlives_the_version_it_was_given_on(
    tmp_path: Path, born: str, later: str
) -> None:
    async with shop_open(tmp_path, api_version=born) as shop:
        asked = await shop.payments.create_agreement(CONSENT)
        shop.server.world.gateways["bkash"].approve(asked.gateway_reference, "success", None)
        given = await shop.payments.execute_agreement(asked.agreement_key)
        assert given.state is AgreementLife.ACTIVE
        moved = Shop(shop.server, f"sqlite:///{tmp_path / 'shop.db'}", shop.clock, seed=8, api_version=later)
        async with moved.payments:
            session = await moved.approved("INV-2", agreement_key=given.agreement_key)
            assert isinstance(await moved.payments.execute(session.payment_id), Paid)
            moved.fault("agreement_cancel", "drop_after", times=9)
            await moved.payments.cancel_agreement(given.agreement_key)
            moved.server.app.state.faults.clear()
            # Its answer got lost, so the gateway is asked, and what it shows is of ours, whatever else it names.
            seen = await moved.payments.agreement_status(given.agreement_key)
            assert seen.state is AgreementLife.ENDED


# ------------------------------------------------------------------------------------------- tenants on both versions


async def test_tenants_on_both_versions_share_a_grant_where_they_share_credentials(tmp_path: Path) -> None:
    clock = FakeClock()
    async with SandboxServer(clock=clock, seed=1) as server:

        async def credentials(tenant: str, gateway: str) -> Any:
            return bkash_config(server, api_version="v1" if tenant == "old" else "v2")

        payments = Payments(
            store=f"sqlite:///{tmp_path / 'house.db'}",
            credentials=credentials,
            public_url="https://shop.example/payments",
            workers=False,
            clock=clock,
            sleeper=FakeSleeper(clock),
            entropy=FakeEntropy(7),
        )
        async with payments:
            for number, tenant in enumerate(("old", "new", "old", "new")):
                mine = payments.for_tenant(tenant)
                session = await mine.initialize(
                    PaymentRequest(
                        operation_id=f"order-{number}/pay",
                        gateway="bkash",
                        amount=Money("100") + Money.from_minor(number * 100, "BDT"),
                        merchant_reference=f"INV-{number}",
                    )
                )
                server.world.gateways["bkash"].approve(session.gateway_reference, "success", None)
                assert isinstance(await mine.execute(session.payment_id), Paid)
        calls = server.world.wire.as_json()
        assert [c["operation"] for c in calls].count("grant") == 1
        assert [c["path"].split("/")[1] for c in calls if c["moved_money"]] == [
            "v1.2.0-beta", "v2", "v1.2.0-beta", "v2",
        ]  # fmt: skip
        assert server.world.audit() == []
