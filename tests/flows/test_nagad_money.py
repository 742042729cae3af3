"""Money at Nagad at the worst moment: beside an open page, after a page is over, gone before it is seen, restored."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.backups import Backups, backups_on
from tests.flows.test_nagad import DAY_S, IN_PROGRESS, SILENT, UNKNOWN_THEN_PAID, NagadShop, opened
from vextrus_payments import Declined, Money, Paid, Pending, Refunded, RefundRequest, Review, Unknown
from vextrus_payments.epoch import FileEpochMark
from vextrus_payments.errors import AlreadyPaidError, ConflictError
from vextrus_payments.records import PaymentState, ResolutionVerdict
from vextrus_payments.resolving import ResolveRequest
from vextrus_payments_sandbox.nagad.records import Refusal


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[NagadShop]:
    async with opened(tmp_path) as found:
        yield found


@pytest.fixture(params=["sqlite", "postgres"])
async def backups(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backups]:
    async with backups_on(request, tmp_path) as found:
        yield found


def back(
    shop: NagadShop, session: Any, outcome: str = "success", wallet: str | None = None
) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(shop.go(session, outcome, wallet)["redirect"]).query))


@pytest.mark.parametrize("wallet", [IN_PROGRESS, UNKNOWN_THEN_PAID])
@pytest.mark.parametrize("looked", [True, False])
async def test_no_second_page_opens_beside_one_at_which_nagad_is_at_work(
    shop: NagadShop, wallet: str, looked: bool
) -> None:
    session = await shop.open()
    payment = shop.nagad.rules.payments[session.gateway_reference]
    shop.go(session, wallet=wallet)
    payment.settles_at = None
    if looked:
        await shop.payments.status(session.payment_id)
    with pytest.raises(AlreadyPaidError):
        await shop.open("INV-1", operation_id="INV-1/again")
    assert shop.calls("initialize") == 1
    shop.nagad.rules.settle(payment, paid=False)
    again = await shop.open("INV-1", operation_id="INV-1/again")
    assert again.payment_id != session.payment_id


async def test_no_second_page_opens_beside_one_that_was_just_paid(shop: NagadShop) -> None:
    session = await shop.open()
    shop.go(session, wallet=SILENT)
    with pytest.raises(AlreadyPaidError):
        await shop.open("INV-1", operation_id="INV-1/again")
    await shop.check_books()


async def test_a_return_that_says_success_after_the_day_is_looked_at(shop: NagadShop) -> None:
    shop.nagad.rules.rules = replace(shop.nagad.rules.rules, page_life_s=3 * DAY_S)
    session = await shop.open()
    await shop.after(DAY_S + 900)
    await shop.after(DAY_S / 10)
    assert (await shop.facts(session)).payment.state is PaymentState.LAPSED
    params = back(shop, session)
    assert params["status"] == "Success"
    returned = await shop.payments.handle_return("nagad", params)
    assert isinstance(returned.outcome, Paid) and returned.outcome.late
    await shop.check_books()


async def test_a_return_that_says_success_after_a_failure_is_looked_at(shop: NagadShop) -> None:
    session = await shop.open()
    payment = shop.nagad.rules.payments[session.gateway_reference]
    shop.go(session, "failure")
    assert isinstance(await shop.payments.status(session.payment_id), Declined)
    payment.ending = None
    payment.status = type(payment.status)("Ready")
    returned = await shop.payments.handle_return("nagad", back(shop, session))
    assert isinstance(returned.outcome, Paid) and returned.outcome.late
    await shop.check_books()


@pytest.mark.parametrize("amount", [100, 60])
async def test_what_was_given_back_before_we_first_looked_is_not_simply_paid(
    shop: NagadShop, amount: int
) -> None:
    session = await shop.open()
    shop.go(session, wallet=SILENT)
    payment = shop.nagad.rules.payments[session.gateway_reference]
    shop.nagad.rules.give_back(payment, amount * 100, "PORTAL")
    assert isinstance(await shop.payments.status(session.payment_id), Review)
    assert await shop.fired() == ["payment.quarantined"]
    assert [entry.kind for entry in shop.entries] == ["payment.received"]


@pytest.mark.parametrize("code", ["017", "083"])
async def test_a_refund_is_not_declined_while_nobody_could_look(
    shop: NagadShop, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await shop.open()
    shop.go(session)
    await shop.payments.status(session.payment_id)
    rules = shop.nagad.rules
    give = rules.refund

    def deed_then_no(*a: Any, **k: Any) -> Any:
        give(*a, **k)
        shop.fault("verify", "error_5xx_before", times=10)
        raise Refusal(code, "the purchase is in another state")

    monkeypatch.setattr(rules, "refund", deed_then_no)
    request = RefundRequest(operation_id="r1", payment_id=session.payment_id, amount=Money("40"))
    assert isinstance(await shop.payments.refund(request), Unknown)
    monkeypatch.undo()
    shop.server.app.state.faults.clear()
    await shop.after(3600)
    assert isinstance(await shop.payments.refund_status("r1"), Refunded)
    await shop.check_books()


async def test_one_page_gives_one_receipt(shop: NagadShop) -> None:
    shop.fault("complete", "drop_after")
    session = await shop.open()
    shop.go(session)
    assert isinstance(await shop.payments.status(session.payment_id), Paid)
    shop.nagad.rules.payments[session.gateway_reference].issuer_ref = "ZZZZZZZZ"
    await shop.after(60)
    await shop.after(600)
    assert len((await shop.facts(session)).receipts) == 1
    assert isinstance(await shop.payments.status(session.payment_id), Review)
    assert await shop.fired() == ["payment.paid", "payment.quarantined"]
    await shop.check_books()


@pytest.mark.parametrize("reserved", [True, False])
async def test_what_was_refunded_after_the_backup_is_not_refunded_again(
    tmp_path: Path, backups: Backups, reserved: bool
) -> None:
    async with opened(tmp_path, backups.url, epoch=FileEpochMark(tmp_path / "epoch")) as shop:
        session = await shop.open()
        shop.go(session)
        await shop.payments.status(session.payment_id)
        request = RefundRequest(operation_id="r1", payment_id=session.payment_id, amount=Money("40"))
        if reserved:
            shop.fault("verify", "error_5xx_before", times=8)
            assert isinstance(await shop.payments.refund(request), Pending)
            shop.server.app.state.faults.clear()
        await shop.payments.aclose()
        await backups.back_up()
        async with shop.payments:
            shop.clock.advance(61)
            assert isinstance(await shop.payments.refund(request), Refunded)
        await backups.restore()
        async with shop.payments:
            shop.clock.advance(300)
            report = await shop.payments.reconcile_since(shop.clock.now() - timedelta(days=2))
            assert report.accepted_restored
            await shop.after(120)
            await shop.after(4000)
            if not reserved:
                with pytest.raises(ConflictError):
                    await shop.payments.refund(request)
            assert shop.moved()["refund"] == 1
            assert isinstance(await shop.payments.status(session.payment_id), Review)
            assert "payment.quarantined" in await shop.fired()


async def test_refunds_in_the_backup_are_no_reason_for_doubt(tmp_path: Path, backups: Backups) -> None:
    async with opened(tmp_path, backups.url, epoch=FileEpochMark(tmp_path / "epoch")) as shop:
        session = await shop.open()
        shop.go(session)
        await shop.payments.status(session.payment_id)
        one = RefundRequest(operation_id="r1", payment_id=session.payment_id, amount=Money("40"))
        await shop.payments.refund(one)
        await shop.payments.aclose()
        await backups.back_up()
        async with shop.payments:
            shop.clock.advance(61)
            await shop.payments.reconcile_due()
            await shop.open("INV-2")
        await backups.restore()
        async with shop.payments:
            shop.clock.advance(300)
            await shop.payments.reconcile_since(shop.clock.now() - timedelta(days=2))
            assert isinstance(await shop.payments.status(session.payment_id), Paid)
            two = RefundRequest(operation_id="r2", payment_id=session.payment_id, amount=Money("60"))
            assert isinstance(await shop.payments.refund(two), Refunded)
            await shop.check_books()


@pytest.mark.parametrize("code", ["053", "057", "058", "076"])
@pytest.mark.parametrize("amount", ["40", "100"])
async def test_a_refund_that_was_made_and_refused_is_not_made_again(
    shop: NagadShop, code: str, amount: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await shop.open()
    shop.go(session)
    await shop.payments.status(session.payment_id)
    rules = shop.nagad.rules
    give = rules.refund

    def deed_then_no(*a: Any, **k: Any) -> Any:
        give(*a, **k)
        raise Refusal(code, "the settings are wrong")

    monkeypatch.setattr(rules, "refund", deed_then_no)
    request = RefundRequest(operation_id="r1", payment_id=session.payment_id, amount=Money(amount))
    assert isinstance(await shop.payments.refund(request), Pending)
    monkeypatch.undo()
    for _ in range(3):
        await shop.after(7200)
    assert isinstance(await shop.payments.refund_status("r1"), Unknown)
    assert isinstance(await shop.payments.status(session.payment_id), Review)
    assert shop.calls("refund") == 1
    # Whoever looks finds it, and says so.
    (made,) = rules.payments[session.gateway_reference].refunds
    about = {
        "payment_id": session.payment_id,
        "actor": "amina@shop.example",
        "reason": "Nagad's statement shows it",
        "evidence": ("statement, line 7",),
    }
    facts = await shop.payments.resolve(
        ResolveRequest(
            verdict=ResolutionVerdict.MADE,
            operation_id="r1",
            transaction_id=made.trx_id,
            amount=Money(amount),
            reviewed_version=(await shop.facts(session)).payment.version,
            **about,  # type: ignore[arg-type]
        )
    )
    await shop.payments.resolve(
        ResolveRequest(
            verdict=ResolutionVerdict.CLEARED,
            reviewed_version=facts.payment.version,
            **about,  # type: ignore[arg-type]
        )
    )
    assert isinstance(await shop.payments.status(session.payment_id), Paid)
    await shop.check_books()


async def test_a_refund_beside_one_of_the_portal_s_waits_for_whoever_has_looked(shop: NagadShop) -> None:
    session = await shop.open()
    shop.go(session)
    await shop.payments.status(session.payment_id)
    shop.nagad.rules.give_back(shop.nagad.rules.payments[session.gateway_reference], 4000, "PORTAL")
    request = RefundRequest(operation_id="r1", payment_id=session.payment_id, amount=Money("40"))
    assert isinstance(await shop.payments.refund(request), Unknown)
    assert shop.calls("refund") == 0
    shop.clock.advance(600)
    about = {
        "payment_id": session.payment_id,
        "actor": "amina@shop.example",
        "reason": "it was made in the portal, by us",
        "evidence": ("portal, today",),
    }
    facts = await shop.payments.resolve(
        ResolveRequest(
            verdict=ResolutionVerdict.NOT_MADE,
            operation_id="r1",
            reviewed_version=(await shop.facts(session)).payment.version,
            **about,  # type: ignore[arg-type]
        )
    )
    await shop.payments.resolve(
        ResolveRequest(
            verdict=ResolutionVerdict.CLEARED,
            reviewed_version=facts.payment.version,
            **about,  # type: ignore[arg-type]
        )
    )
    again = RefundRequest(operation_id="r2", payment_id=session.payment_id, amount=Money("40"))
    assert isinstance(await shop.payments.refund(again), Refunded)
    assert shop.calls("refund") == 1


@pytest.mark.parametrize("verdict", list(ResolutionVerdict)[:2])
async def test_a_page_that_nagad_never_settles_is_answered_by_a_person(
    shop: NagadShop, verdict: ResolutionVerdict
) -> None:
    session = await shop.open()
    payment = shop.nagad.rules.payments[session.gateway_reference]
    shop.go(session, wallet=UNKNOWN_THEN_PAID)
    payment.settles_at = None
    await shop.after(DAY_S / 2)

    async def answered() -> None:
        made = verdict is ResolutionVerdict.MADE
        await shop.payments.resolve(
            ResolveRequest(
                payment_id=session.payment_id,
                actor="amina@shop.example",
                reason="Nagad's support has looked",
                evidence=("mail of today",),
                verdict=verdict,
                operation_id=f"execute/{session.payment_id}/1",
                transaction_id="000177YT" if made else None,
                amount=Money("100") if made else None,
                reviewed_version=(await shop.facts(session)).payment.version,
            )
        )

    with pytest.raises(ConflictError):
        await answered()  # its payer may be at it
    await shop.after(DAY_S)
    await answered()
    outcome = await shop.payments.status(session.payment_id)
    assert isinstance(outcome, Paid if verdict is ResolutionVerdict.MADE else Declined)
    # What Nagad says later outranks it.
    shop.nagad.rules.settle(payment, paid=True)
    returned = await shop.payments.handle_return(
        "nagad", {"payment_ref_id": session.gateway_reference, "status": "Success"}
    )
    assert isinstance(returned.outcome, Paid)
    await shop.check_books()


@pytest.mark.parametrize("jump_s", [-2 * DAY_S, 2 * DAY_S, 400 * DAY_S])
async def test_a_clock_that_was_set_ends_no_page_that_its_payer_left(shop: NagadShop, jump_s: int) -> None:
    session = await shop.open()
    shop.go(session, "cancel")
    shop.clock.step_wall(jump_s)
    await shop.payments.reconcile_due()
    assert isinstance(await shop.payments.status(session.payment_id), Pending)
    shop.clock.step_wall(-jump_s)
    payment = shop.nagad.rules.payments[session.gateway_reference]
    payment.ending = None
    payment.status = type(payment.status)("Ready")
    shop.go(session, wallet=SILENT)
    await shop.after(3600)
    await shop.after(7200)
    assert isinstance(await shop.payments.status(session.payment_id), Paid)
    assert await shop.fired() == ["payment.paid"]
