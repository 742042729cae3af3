"""One subscription, two pages: an answer with a page got lost, and the payer came upon both. Whatever holds at bKash is
listed here, announced once, booked, and ended when the shop ends it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from random import Random

import asyncpg  # type: ignore[import-untyped]
import pytest

from tests.flows.shop import Shop
from tests.flows.test_restored import backed_up, restored
from tests.flows.test_subscription_doubts import order
from tests.flows.test_subscriptions import DAY_S, NAME, Club, club_open, recurring_config
from vextrus_payments import Money, Refunded, RefundRequest
from vextrus_payments.cli.doctor_agreements import agreement_findings
from vextrus_payments.cli.exit_codes import Exit, of_error
from vextrus_payments.engine import EngineLimits, Verdict
from vextrus_payments.epoch import FileEpochMark
from vextrus_payments.errors import AnswerLostError, ConflictError, InvalidRequestError, PaymentsError
from vextrus_payments.events import Delivery
from vextrus_payments.records import Agreement, AgreementLife
from vextrus_payments.stores import PostgresStore
from vextrus_payments_sandbox.world import SandboxError

LIFE_S = 17 * 60
"""As long as a page lives at bKash, and then some."""


@pytest.fixture(params=["memory", "sqlite"])
async def club(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Club]:
    store = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'club.db'}"
    async with club_open(tmp_path, store=store) as opened:
        opened.listen()
        yield opened


async def two_pages(club: Club) -> tuple[Agreement, str, str]:
    """An agreement, and the two pages on which its payer can consent, the lost one first."""
    order(club, "create", "drop_after")
    asked = await club.asked()
    own = asked.gateway_reference or ""
    assert own.endswith("-2")
    return asked, own[:-1] + "1", own


async def kept(club: Club) -> dict[str, Agreement]:
    """Every agreement by its key."""
    return {one.agreement_key: one for one in (await club.payments.store.list_agreements()).rows}


def holding(club: Club) -> set[str]:
    """What holds at bKash, by its request ids."""
    return {key for key, one in club.platform.rules.subscriptions.items() if one.holds}


@pytest.mark.parametrize("known_by", ["messages", "messages, the last first", "looks", "money alone"])
async def test_the_second_consent_is_found_announced_and_ended(club: Club, known_by: str) -> None:
    asked, lost, own = await two_pages(club)
    for page in (lost, own):
        club.platform.approve(page, "success", None)
    messages = club.deliveries()
    if known_by == "looks":
        club.shop.clock.advance(90)
        await club.payments.reconcile_due()
    else:
        told = messages[1::2] if known_by == "money alone" else messages
        for message in reversed(told) if "last" in known_by else told:
            assert await club.told(message) is Verdict.DONE
    for _ in range(3):  # once known, it is not told again
        club.shop.clock.advance(LIFE_S)
        await club.payments.reconcile_due()
        await club.payments.agreement_status(asked.agreement_key)
    known = await kept(club)
    assert [one.state for one in known.values()] == [AgreementLife.ACTIVE] * 2
    assert {one.gateway_reference for one in known.values()} == {lost, own}
    first = known.pop(asked.agreement_key)
    ((key, second),) = known.items()
    assert (second.beside, first.beside) == (asked.agreement_key, None)
    assert second.merchant_reference == first.merchant_reference and second.terms == first.terms
    fired = await club.shop.fired()
    assert (fired.count("agreement.active"), fired.count("agreement.duplicate")) == (1, 1)
    news = next(e for e in club.shop.events if e.kind.value == "agreement.duplicate")
    assert (news.agreement_key, news.merchant_reference) == (key, "PLAN-1")
    club.pass_days(1.1)
    club.deliveries()
    await club.payments.reconcile_due()
    assert len(await club.paid()) == 4  # both collect, and both are booked, once
    ended = await club.payments.cancel_agreement(asked.agreement_key)
    assert ended.state is AgreementLife.ENDED and not holding(club)
    assert {one.state for one in (await kept(club)).values()} == {AgreementLife.ENDED}
    assert (await club.shop.fired()).count("agreement.ended") == 2
    await club.shop.check_books()


async def test_only_the_second_is_ended(club: Club) -> None:
    asked, lost, own = await two_pages(club)
    club.approve(asked)
    club.platform.approve(lost, "success", None)
    await club.payments.agreement_status(asked.agreement_key)
    key = next(key for key in await kept(club) if key != asked.agreement_key)
    (told,) = await agreement_findings(club.payments.store, None)
    assert told.level.value == "warn" and f"agreement cancel {key}" in told.do
    assert (await club.payments.cancel_agreement(key)).state is AgreementLife.ENDED
    assert holding(club) == {own}
    (told,) = await agreement_findings(club.payments.store, None)
    assert told.level.value == "ok"
    assert (await club.payments.agreement_status(asked.agreement_key)).state is AgreementLife.ACTIVE


async def test_what_holds_beside_it_is_told_where_nobody_could_end_it(club: Club) -> None:
    asked, lost, own = await two_pages(club)
    club.approve(asked)
    club.platform.approve(lost, "success", None)
    await club.payments.agreement_status(asked.agreement_key)
    order(club, "cancel", "html_before", times=1)  # it hits the first, whose end nobody knows then
    assert (await club.payments.cancel_agreement(asked.agreement_key)).state is AgreementLife.ACTIVE
    assert holding(club) == {own}
    second = next(one for key, one in (await kept(club)).items() if key != asked.agreement_key)
    assert second.state is AgreementLife.ENDED
    club.shop.clock.advance(3600)
    assert (await club.payments.cancel_agreement(asked.agreement_key)).state is AgreementLife.ENDED
    assert not holding(club)


async def test_the_first_has_ended_and_the_second_still_holds(club: Club) -> None:
    asked, lost, _ = await two_pages(club)
    club.approve(asked)
    await club.payments.agreement_status(asked.agreement_key)
    assert (await club.payments.cancel_agreement(asked.agreement_key)).state is AgreementLife.ENDED
    club.platform.approve(lost, "success", None)  # its page is still open
    club.shop.clock.advance(LIFE_S)
    club.deliveries()
    await club.payments.reconcile_due()
    assert (await club.shop.fired()).count("agreement.duplicate") == 1
    order(club, "cancel", "html_before", times=1)
    with pytest.raises(ConflictError, match="still holds"):
        await club.payments.cancel_agreement(asked.agreement_key)
    club.shop.clock.advance(3600)
    assert (await club.payments.cancel_agreement(asked.agreement_key)).state is AgreementLife.ENDED
    assert not holding(club)


async def test_what_holds_on_both_pages_is_ended_at_once_by_whoever_heard_of_neither(club: Club) -> None:
    """The lost page is found first, and the agreement goes by it: the one it went by holds as well."""
    asked, lost, own = await two_pages(club)
    for page in (lost, own):
        club.platform.approve(page, "success", None)
    ended = await club.payments.cancel_agreement(asked.agreement_key)
    assert ended.state is AgreementLife.ENDED and not holding(club)
    assert {one.state for one in (await kept(club)).values()} == {AgreementLife.ENDED}


@pytest.mark.parametrize("first", ["holds", "ended"])
async def test_nothing_is_called_over_while_nobody_answers_about_another_page(club: Club, first: str) -> None:
    asked, lost, own = await two_pages(club)
    club.platform.approve(own, "success", None)
    await club.payments.execute_agreement(asked.agreement_key)
    if first == "ended":
        club.platform.portal(own, "void", None)
        await club.payments.agreement_status(asked.agreement_key)
    club.platform.approve(lost, "success", None)
    order(club, "query", "html_before", times=9)
    with pytest.raises(ConflictError, match="another page") as caught:
        await club.payments.cancel_agreement(asked.agreement_key)
    assert of_error(caught.value) is Exit.OPEN  # nobody takes it for "nothing was sent"
    club.shop.server.app.state.faults.reset()
    club.shop.clock.advance(3600)
    assert (await club.payments.cancel_agreement(asked.agreement_key)).state is AgreementLife.ENDED
    assert not holding(club)


async def test_it_is_not_called_over_while_the_second_is_still_being_ended(tmp_path: Path) -> None:
    """A caller's wait ends before the second has ended, of a first that another process has ended meanwhile."""
    store = f"sqlite:///{tmp_path / 'club.db'}"
    async with club_open(tmp_path, store=store) as club:
        asked, lost, _ = await two_pages(club)
        club.approve(asked)
        await club.payments.agreement_status(asked.agreement_key)
        assert (await club.payments.cancel_agreement(asked.agreement_key)).state is AgreementLife.ENDED
        club.platform.approve(lost, "success", None)
        impatient = Shop(
            club.shop.server,
            store,
            club.shop.clock,
            gateways={NAME: recurring_config(club.shop.server)},
            seed=8,
            limits=EngineLimits(wait_s=0),
        )
        async with impatient.payments:
            with pytest.raises(ConflictError, match="still being ended") as caught:
                await impatient.payments.cancel_agreement(asked.agreement_key)
            assert of_error(caught.value) is Exit.OPEN
        assert not holding(club)  # what was begun came to its end all the same


async def test_pages_are_asked_about_until_all_are_over_and_no_longer(club: Club) -> None:
    asked, _, _ = await two_pages(club)
    club.approve(asked)
    await club.payments.execute_agreement(asked.agreement_key)
    order(club, "query", "html_before", times=9)
    club.shop.clock.advance(LIFE_S)
    await club.payments.reconcile_due()  # nobody answers: it is asked again
    club.shop.server.app.state.faults.reset()
    club.shop.clock.advance(3600)
    await club.payments.reconcile_due()
    before = club.shop.calls("query")
    for _ in range(4):
        club.shop.clock.advance(7 * 3600)
        await club.payments.reconcile_due()
    assert club.shop.calls("query") - before == 4  # by its own id, as any subscription


@pytest.mark.parametrize("door", ["return", "execute"])
async def test_who_comes_back_from_a_page_that_never_reached_us_is_known(club: Club, door: str) -> None:
    asked, lost, _ = await two_pages(club)
    club.platform.approve(lost, "success", None)
    if door == "return":
        back = await club.payments.handle_return(NAME, {"reference": lost, "status": "success"})
        assert back.redirect_to == "https://shop.example/plan" and back.agreement is not None
        held = back.agreement
    else:
        held = await club.payments.execute_agreement(asked.agreement_key)
    assert (held.agreement_key, held.state) == (asked.agreement_key, AgreementLife.ACTIVE)
    assert held.gateway_reference == lost


async def test_a_return_from_nobody_s_page_names_nothing(club: Club) -> None:
    asked, lost, _ = await two_pages(club)
    for reference in ("agr-00000000000000000000000000-1", lost.replace("agr", "pay"), "x"):
        with pytest.raises(InvalidRequestError):
            await club.payments.handle_return(NAME, {"reference": reference})
    with pytest.raises(InvalidRequestError):
        await club.payments.handle_return("bkash", {"paymentID": lost, "status": "success"})
    assert (await kept(club)).keys() == {asked.agreement_key}


async def test_nothing_is_given_up_while_nobody_answers_about_a_page(club: Club) -> None:
    asked, lost, _ = await two_pages(club)
    club.platform.approve(lost, "success", None)
    club.shop.clock.advance(LIFE_S)
    order(club, "query", "html_before", times=9)
    with pytest.raises(ConflictError, match="another page"):
        await club.payments.cancel_agreement(asked.agreement_key)
    assert (await kept(club))[asked.agreement_key].state is AgreementLife.AWAITING_PAYER
    club.shop.server.app.state.faults.reset()
    club.shop.clock.advance(3600)
    assert (await club.payments.cancel_agreement(asked.agreement_key)).state is AgreementLife.ENDED
    assert not holding(club) and len(await club.paid()) == 0
    await club.payments.agreement_status(asked.agreement_key)
    assert len(await club.paid()) == 1


async def test_one_that_was_taken_back_and_given_again_elsewhere_has_collected_on_both(club: Club) -> None:
    asked, lost, own = await two_pages(club)
    club.approve(asked)
    club.platform.portal(own, "void", None)
    club.platform.approve(lost, "success", None)
    club.deliveries()
    for _ in range(4):
        club.shop.clock.advance(LIFE_S)
        await club.payments.reconcile_due()
    held = (await kept(club))[asked.agreement_key]
    assert (held.state, held.gateway_reference) == (AgreementLife.ACTIVE, lost)
    assert len(await club.paid()) == 2
    await club.shop.check_books()


async def test_every_page_got_lost_and_its_payer_found_one_late(club: Club) -> None:
    order(club, "create", "drop_after", times=3)
    with pytest.raises(AnswerLostError):
        await club.asked()
    (key,) = await kept(club)
    assert (await club.payments.cancel_agreement(key)).state is AgreementLife.CLOSED
    club.shop.clock.advance(500)
    pages = list(club.platform.rules.subscriptions)
    for page in pages[1:]:
        club.platform.approve(page, "success", None)
    club.deliveries()
    club.shop.clock.advance(LIFE_S)
    await club.payments.reconcile_due()
    assert {one.gateway_reference for one in (await kept(club)).values()} == set(pages[1:])
    assert (await club.payments.cancel_agreement(key)).state is AgreementLife.ENDED
    assert not holding(club)


@pytest.mark.parametrize("first", ["status", "execute"])
async def test_what_was_collected_before_the_payer_took_it_back_is_booked(club: Club, first: str) -> None:
    """Consented, collected and cancelled between two looks, and every message got lost."""
    asked = await club.asked()
    club.approve(asked)
    club.platform.portal(asked.gateway_reference or "", "void", None)
    club.deliveries()
    order(club, "payments", "html_before")
    ask = club.payments.agreement_status if first == "status" else club.payments.execute_agreement
    closed = await ask(asked.agreement_key)
    club.shop.server.app.state.faults.reset()
    assert closed.state is AgreementLife.CLOSED and not await club.paid()
    club.shop.clock.advance(7 * 3600)
    await club.payments.reconcile_due()
    assert len(await club.paid()) == 1
    await club.shop.check_books()


@pytest.mark.parametrize("at", ["reserved", "asked"])
async def test_a_page_that_a_backup_has_forgotten_is_found(tmp_path: Path, at: str) -> None:
    store, mark = f"sqlite:///{tmp_path / 'shop.db'}", FileEpochMark(tmp_path / "epoch")
    async with club_open(tmp_path, store=store, epoch=mark) as club:
        began = club.shop.clock.now()
        order(club, "create", "drop_before" if at == "reserved" else "drop_after", times=3)
        with pytest.raises(PaymentsError):
            await club.asked()
        await club.payments.aclose()
        backed_up(tmp_path)
        async with club.payments:
            club.shop.clock.advance(61)
            asked = await club.asked()
            club.approve(asked)
            page = asked.gateway_reference
        restored(tmp_path)
        async with club.payments:
            club.shop.clock.advance(3600)
            report = await club.payments.reconcile_since(began)
            assert report.accepted_restored
            found = await club.asked()
            assert (found.state, found.gateway_reference) == (AgreementLife.ACTIVE, page)
            assert holding(club) == {page} and len(await club.paid()) == 1
            await club.shop.check_books()


@pytest.mark.parametrize("seed", range(12))
async def test_whoever_consents_wherever_is_known_and_can_be_ended(tmp_path: Path, seed: int) -> None:
    """Pages lost, consents on any of them at any time, messages late, twice or never, looks and ends: what holds
    at bKash is listed as active under its own id, told once, and gone when the shop has ended it."""
    chance = Random(seed)
    async with club_open(tmp_path, store="memory://") as club:
        club.listen()
        rules = club.platform.rules
        order(club, "create", chance.choice(("drop_after", "drop_before")), times=chance.randrange(1, 4))
        try:
            key = (await club.asked()).agreement_key
        except PaymentsError:
            (key,) = await kept(club)
        messages: list[Delivery] = []
        for _ in range(14):
            messages = [*messages, *club.deliveries()][-20:]
            match chance.randrange(7):
                case 0 | 1:
                    page = chance.choice([*rules.subscriptions, ""])
                    if page in rules.subscriptions:
                        with suppress(SandboxError):  # its time is over, or it is consented on already
                            club.platform.approve(page, chance.choice(("success",) * 4 + ("cancel",)), None)
                case 2 if fresh := [m for m in messages if _age_s(club, m.received_at) < 240]:
                    await club.told(chance.choice(fresh))
                case 3:
                    club.shop.clock.advance(chance.choice((5, 90, 400)))
                case 4:
                    await club.payments.reconcile_due()
                case 5:
                    order(club, "query", chance.choice(("html_before", "drop_after", "error_5xx_before")))
                case _ if chance.random() < 0.5:
                    with suppress(ConflictError):
                        await club.payments.cancel_agreement(key)
                case _:
                    await club.payments.agreement_status(key)
        club.shop.server.app.state.faults.reset()
        club.deliveries()  # what has not come never will
        for _ in range(3):
            club.shop.clock.advance(LIFE_S)
            await club.payments.reconcile_due()
        club.shop.clock.advance(7 * 3600)
        await club.payments.reconcile_due()
        active = {o.gateway_reference for o in (await kept(club)).values() if o.state is AgreementLife.ACTIVE}
        assert active == holding(club)
        fired = await club.shop.fired()
        ever = [
            o for o in (await kept(club)).values() if o.state in (AgreementLife.ACTIVE, AgreementLife.ENDED)
        ]
        assert fired.count("agreement.duplicate") == max(0, len(ever) - 1)
        assert fired.count("agreement.active") == min(1, len(ever))
        assert len({o.gateway_reference for o in ever}) == len(ever)
        await club.payments.cancel_agreement(key)
        assert not holding(club)
        club.shop.clock.advance(DAY_S)
        await club.payments.reconcile_due()
        await club.shop.check_books()


def _age_s(club: Club, at: datetime) -> float:
    return (club.shop.clock.now() - at).total_seconds()


async def test_two_processes_on_postgresql_find_it_at_once(tmp_path: Path, postgres_dsn: str) -> None:
    await PostgresStore(postgres_dsn).migrate()
    async with club_open(tmp_path, store=postgres_dsn) as club:
        club.listen()
        asked, lost, own = await two_pages(club)
        other = Shop(
            club.shop.server,
            postgres_dsn,
            club.shop.clock,
            gateways={NAME: recurring_config(club.shop.server)},
            seed=8,
        )
        async with other.payments:
            for page in (lost, own):
                club.platform.approve(page, "success", None)
            messages = club.deliveries()
            await asyncio.gather(
                *(one.told(message) for one in (club, Club(other)) for message in messages),
                *(one.payments.agreement_status(asked.agreement_key) for one in (club, Club(other))),
            )
            await asyncio.gather(
                *(one.payments.agreement_status(asked.agreement_key) for one in (club, Club(other)))
            )
            known = await kept(club)
            assert {one.gateway_reference for one in known.values()} == {lost, own}
            fired = [*await club.shop.fired(), *await other.fired()]
            assert (fired.count("agreement.active"), fired.count("agreement.duplicate")) == (1, 1)
            await asyncio.gather(
                *(one.payments.cancel_agreement(asked.agreement_key) for one in (club, Club(other)))
            )
            assert not holding(club)
            assert len(await club.paid()) == 2


async def test_an_older_backup_on_postgresql_learns_again_what_was_collected(
    tmp_path: Path, postgres_dsn: str
) -> None:
    """Rule 16: collections, a second consent and the end came after the backup; the same money is booked, once."""
    await PostgresStore(postgres_dsn).migrate()
    mark = FileEpochMark(tmp_path / "epoch")
    async with club_open(tmp_path, store=postgres_dsn, epoch=mark) as club:
        club.listen()
        began = club.shop.clock.now()
        asked, lost, _own = await two_pages(club)
        club.approve(asked)
        await club.payments.agreement_status(asked.agreement_key)
        await club.payments.aclose()
        older = await copied(postgres_dsn)
        async with club.payments:
            club.shop.clock.advance(61)
            club.platform.approve(lost, "success", None)
            club.pass_days(1.1)
            for message in club.deliveries():
                assert await club.told(message) is Verdict.DONE
            back = (await club.paid())[0].payment.payment_id
            await club.payments.refund(RefundRequest(operation_id="r-1", payment_id=back, amount=Money("5")))
            assert isinstance(await club.payments.refund_status("r-1"), Refunded)
            before = await club.paid()
            assert len(before) == 4
            await club.payments.cancel_agreement(asked.agreement_key)
            await club.payments.deliver()
            entries = {entry.id for entry in club.shop.entries}
        gateways = {NAME: recurring_config(club.shop.server)}
        again = Club(Shop(club.shop.server, older, club.shop.clock, epoch=mark, gateways=gateways, seed=9))
        async with again.payments:
            assert (await again.payments.epoch()).restored and len(await again.paid()) == 1
            club.shop.clock.advance(3600)
            report = await again.payments.reconcile_since(began)
            assert report.accepted_restored
            for _ in range(2):
                club.shop.clock.advance(7 * 3600)
                await again.payments.reconcile_due()
            known = await kept(again)
            assert known[asked.agreement_key].state is AgreementLife.ENDED
            # What was collected under the other page is booked too, though its consent had ended before it was known.
            after = await again.paid()
            assert {f.payment.payment_id for f in after} == {f.payment.payment_id for f in before}
            assert {r.key for f in after for r in f.receipts} == {r.key for f in before for r in f.receipts}
            assert "refund.adopted" in await again.shop.fired()  # its operation's id is forgotten
            await again.payments.deliver()
            assert {entry.id for entry in again.shop.entries} <= entries


async def copied(dsn: str) -> str:
    """A backup: another database with the same rows."""
    name = f"{dsn.rpartition('/')[2]}_copy"
    base = dsn.rpartition("/")[0]
    connection = await asyncpg.connect(f"{base}/postgres")
    try:
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{dsn.rpartition("/")[2]}"')
    finally:
        await connection.close()
    return f"{base}/{name}"
