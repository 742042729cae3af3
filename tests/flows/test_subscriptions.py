"""Subscriptions: what bKash collects by itself is booked once, whichever way we learn of it."""

import asyncio
import base64
import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from tests.flows.shop import Shop, bkash_config
from vextrus_payments import Money, Paid, Payments, Refunded, RefundRequest, Review, Unknown
from vextrus_payments.engine import Verdict
from vextrus_payments.errors import ConflictError, InvalidRequestError, OperationConflictError, PaymentsError
from vextrus_payments.events import Delivery, EventKind, Events
from vextrus_payments.gateways.bkash.recurring import BkashRecurringConfig, BkashSubscription, Frequency
from vextrus_payments.inbox import InboxState
from vextrus_payments.outcomes import Declined, Pending
from vextrus_payments.payment import ConsentRequest
from vextrus_payments.records import Agreement, AgreementLife, Flag, PaymentFacts, PaymentState
from vextrus_payments.secret import Secret
from vextrus_payments.states import OPEN_STATES
from vextrus_payments.stores import PostgresStore
from vextrus_payments.testing import FakeClock
from vextrus_payments_sandbox.bkash_recurring.gateway import BkashRecurringSandbox
from vextrus_payments_sandbox.serve import SandboxServer
from vextrus_payments_sandbox.world import SandboxError

NAME = "bkash_recurring"
START = datetime(2026, 3, 1, 4, 0, 0, tzinfo=UTC)
"""10:00 in Dhaka, two hours before bKash collects."""
DAY_S = 86_400


def recurring_config(server: SandboxServer, **changes: Any) -> BkashRecurringConfig:
    given: Mapping[str, str] = server.info["gateways"][NAME]
    fields = {
        "api_url": given["base_url"],
        "api_key": Secret(given["api_key"]),
        "service_id": int(given["service_id"]),
        "timeout_s": 30.0,
    }
    return BkashRecurringConfig(**{**fields, **changes})


class Club:
    """A shop with subscribers."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.payments: Payments = shop.payments

    @property
    def platform(self) -> BkashRecurringSandbox:
        found = self.shop.server.world.gateways[NAME]
        assert isinstance(found, BkashRecurringSandbox)
        return found

    def request(self, name: str = "member-1/plan", **changes: Any) -> ConsentRequest:
        terms = {
            "amount": Money("51.00"),
            "frequency": Frequency.DAILY,
            "start_date": date(2026, 3, 1),
            "expiry_date": date(2026, 3, 4),
            **changes.pop("terms", {}),
        }
        fields = {
            "operation_id": name,
            "gateway": NAME,
            "payer_reference": "01770618575",
            "merchant_reference": "PLAN-1",
            "return_url": "https://shop.example/plan",
            "params": BkashSubscription(**terms),
        }
        return ConsentRequest(**{**fields, **changes})

    async def asked(self, **changes: Any) -> Agreement:
        return await self.payments.create_agreement(self.request(**changes))

    def approve(self, agreement: Agreement, outcome: str = "success", wallet: str | None = None) -> None:
        assert agreement.gateway_reference is not None
        self.platform.approve(agreement.gateway_reference, outcome, wallet)

    async def subscribed(self, **changes: Any) -> Agreement:
        agreement = await self.asked(**changes)
        self.approve(agreement)
        agreement = await self.payments.execute_agreement(agreement.agreement_key)
        assert agreement.state is AgreementLife.ACTIVE
        return agreement

    def pass_days(self, days: float) -> None:
        """Let time go by, for the shop and for bKash."""
        self.shop.clock.advance(days * DAY_S)
        self.platform.rules.settle_due()

    def deliveries(self) -> list[Delivery]:
        """What bKash has announced so far, signed and dated now; taken from its hands before it posts it."""
        post, found = self.platform.post, []
        for message in list(post.waiting.values()):
            headers, body = post.signed(message)
            lower = {name.lower(): value for name, value in headers.items()}
            found.append(
                Delivery(method="POST", query="", headers=lower, body=body, received_at=self.shop.clock.now())
            )
        post.waiting.clear()
        return found

    def listen(self) -> None:
        """bKash has an address to post to; nobody is there, so that a test hands over what it wants."""
        self.platform.post.url = "http://127.0.0.1:9/nobody"

    async def told(self, delivery: Delivery, *, door: str = NAME, patient: bool = True) -> Verdict:
        """One message, through the gateway's own reader and the engine."""
        engine = self.payments._open_engine()
        gateway = await engine.context.gateway("default", door)
        read = await gateway.handle_webhook(delivery)
        assert isinstance(read, Events)
        verdict = Verdict.DONE
        for event in read.events:
            applied = await engine.apply_event("default", door, gateway.mode, event, patient=patient)
            verdict = applied.verdict
        return verdict

    async def paid(self) -> list[PaymentFacts]:
        found = await self.payments.find(merchant_reference="PLAN-1")
        return sorted(found, key=lambda facts: facts.payment.created_at)


@asynccontextmanager
async def club_open(tmp_path: Path, **changes: Any) -> AsyncIterator[Club]:
    clock = FakeClock(START)
    async with SandboxServer(clock=clock, seed=1) as server:
        both = {
            "bkash": bkash_config(
                server, recurring_api_key=Secret(server.info["gateways"][NAME]["api_key"]), timeout_s=30.0
            ),
            NAME: recurring_config(server),
        }
        store = changes.pop("store", "memory://")
        shop = Shop(server, store, clock, **{"gateways": both, **changes})
        async with shop.payments:
            yield Club(shop)


@pytest.fixture(params=["memory", "sqlite"])
async def club(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Club]:
    store = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'club.db'}"
    async with club_open(tmp_path, store=store) as opened:
        yield opened


async def test_subscribed_collected_refunded_ended(club: Club) -> None:
    asked = await club.asked()
    assert asked.state is AgreementLife.AWAITING_PAYER and asked.terms is not None
    assert asked.checkout_url and "/intent/web/intent/" in asked.checkout_url
    assert asked == await club.asked()  # the same intent, the same page
    with pytest.raises(OperationConflictError):
        await club.asked(terms={"amount": Money("52")})
    club.approve(asked)
    held = await club.payments.execute_agreement(asked.agreement_key)
    assert held.state is AgreementLife.ACTIVE
    # The first payment was collected as the payer consented; asking for the subscription shows it.
    await club.payments.agreement_status(asked.agreement_key)
    (first,) = await club.paid()
    assert (first.payment.state, first.payment.amount) == (PaymentState.PAID, Money("51.00"))
    outcome = await club.payments.status(first.payment.payment_id)
    assert isinstance(outcome, Paid) and outcome.payer_account == "01770618575"
    refunded = await club.payments.refund(
        RefundRequest(operation_id="r-1", payment_id=first.payment.payment_id, amount=Money("20.50"))
    )
    assert isinstance(refunded, Pending)
    assert isinstance(await club.payments.refund_status("r-1"), Refunded)
    ended = await club.payments.cancel_agreement(asked.agreement_key)
    assert ended.state is AgreementLife.ENDED
    club.pass_days(3)
    assert (await club.payments.agreement_status(asked.agreement_key)).state is AgreementLife.ENDED
    assert len(await club.paid()) == 1
    assert await club.shop.fired() == [
        "agreement.active",
        "payment.paid",
        "refund.succeeded",
        "agreement.ended",
    ]
    assert club.shop.events[1].merchant_reference == "PLAN-1"
    assert club.shop.events[3].reason_code == "payment_cancelled"
    await club.shop.check_books()


async def test_a_webhook_a_look_and_another_door_book_it_once(club: Club) -> None:
    club.listen()
    agreement = await club.subscribed()
    club.pass_days(1.1)
    messages = club.deliveries()
    assert len(messages) == 3  # subscribed, collected, collected
    for door in (NAME, "bkash"):
        for message in messages:
            assert await club.told(message, door=door) is Verdict.DONE
    await asyncio.gather(
        *(club.payments.agreement_status(agreement.agreement_key) for _ in range(3)),
        *(club.told(message, door=door) for door in (NAME, "bkash") for message in messages),
    )
    assert [f.payment.amount for f in await club.paid()] == [Money("51.00")] * 2
    assert (await club.shop.fired()).count("payment.paid") == 2
    await club.shop.check_books()


async def test_many_tell_of_one_payment_at_once(club: Club) -> None:
    club.listen()
    agreement = await club.subscribed()
    _, collected = club.deliveries()
    await asyncio.gather(
        *(club.told(collected, door=door) for door in (NAME, "bkash") * 4),
        *(club.payments.agreement_status(agreement.agreement_key) for _ in range(4)),
    )
    assert len(await club.paid()) == 1
    await club.shop.check_books()


async def test_in_postgresql(tmp_path: Path, postgres_dsn: str) -> None:
    await PostgresStore(postgres_dsn).migrate()
    async with club_open(tmp_path, store=postgres_dsn) as club:
        club.listen()
        agreement = await club.subscribed()
        club.pass_days(1.1)
        messages = club.deliveries()
        await asyncio.gather(
            *(club.told(message, door=door) for door in (NAME, "bkash") for message in messages),
            *(club.payments.agreement_status(agreement.agreement_key) for _ in range(3)),
        )
        paid = await club.paid()
        assert len(paid) == 2
        await club.payments.refund(
            RefundRequest(operation_id="r-1", payment_id=paid[0].payment.payment_id, amount=Money("5"))
        )
        assert isinstance(await club.payments.refund_status("r-1"), Refunded)
        await club.shop.check_books()


async def test_news_of_nobody_s_subscription_is_for_a_person(club: Club) -> None:
    """Opened past this SDK: bKash tells of it all the same."""
    club.listen()
    platform = club.platform
    from vextrus_payments_sandbox.seeding.scenario import Mistake, ScriptedPayment

    stage = club.shop.server.app.state.stage
    stage.scripts[NAME](
        ScriptedPayment(
            gateway=NAME,
            merchant="",
            amount="10",
            reference="",
            wallet="01770618575",
            outcome="paid",
            step="pin",
            refunds=(),
            webhook="",
            callback_url="https://shop.example/back",
            at=Mistake("", "", 0),
        )
    )
    for message in club.deliveries():
        assert await club.told(message) is Verdict.FOREIGN
    assert platform.rules.collections and not await club.paid()


async def test_what_is_not_collected_is_told_and_not_booked(club: Club) -> None:
    club.listen()
    agreement = await club.asked(terms={"frequency": Frequency.WEEKLY, "expiry_date": date(2026, 3, 20)})
    club.approve(agreement, wallet="01823074817")  # it holds no money
    await club.payments.execute_agreement(agreement.agreement_key)
    _, failed = club.deliveries()
    for _ in range(2):  # told twice, it is one piece of news
        assert await club.told(failed) is Verdict.DONE
    assert (await club.shop.fired()).count("agreement.collection_failed") == 1
    news = next(e for e in club.shop.events if e.kind is EventKind.COLLECTION_FAILED)
    assert (news.after, news.amount, news.agreement_key) == (
        "FAILED_PAYMENT",
        Money("51.00"),
        agreement.agreement_key,
    )
    # bKash tries again by itself, two days later, and then there is money.
    club.shop.server.world.set_balance("01823074817", 100_000)
    club.pass_days(2.1)
    (again,) = club.deliveries()
    assert await club.told(again) is Verdict.DONE
    (paid,) = await club.paid()
    assert paid.payment.state is PaymentState.PAID and not paid.payment.flags
    assert await club.told(failed) is Verdict.DONE  # an old message changes nothing
    await club.shop.check_books()


async def test_a_refund_by_webhook_and_one_in_the_portal(club: Club) -> None:
    club.listen()
    await club.subscribed()
    _, collected = club.deliveries()
    await club.told(collected)
    (paid,) = await club.paid()
    await club.payments.refund(
        RefundRequest(operation_id="r-1", payment_id=paid.payment.payment_id, amount=Money("1"))
    )
    (told,) = club.deliveries()
    assert await club.told(told) is Verdict.DONE
    assert isinstance(await club.payments.refund_status("r-1"), Refunded)
    club.platform.portal(paid.submission.gateway_reference or "", "refund", "2")
    (portal,) = club.deliveries()
    assert await club.told(portal, door="bkash") is Verdict.DONE
    assert "refund.adopted" in await club.shop.fired()
    await club.shop.check_books()


async def test_a_refund_s_answer_that_got_lost(club: Club) -> None:
    await club.subscribed()
    agreement = (await club.payments.agreement_status((await club.asked()).agreement_key)).agreement_key
    assert agreement
    (paid,) = await club.paid()
    club.shop.server.app.state.faults.order(
        {"gateway": NAME, "operation": "refund", "fault": "drop_after", "times": 1},
        {NAME: club.platform.operations},
    )
    done = await club.payments.refund(
        RefundRequest(operation_id="r-1", payment_id=paid.payment.payment_id, amount=Money("5"))
    )
    assert isinstance(done, Refunded | Pending | Unknown)
    assert isinstance(await club.payments.refund_status("r-1"), Refunded)
    assert club.shop.calls("refund") == 1
    await club.shop.check_books()


async def test_a_refund_that_fails_is_called_so_only_when_bkash_has_had_its_time(club: Club) -> None:
    await club.subscribed()
    await club.payments.agreement_status((await club.asked()).agreement_key)
    (paid,) = await club.paid()
    club.shop.server.app.state.faults.order(
        {"gateway": NAME, "operation": "refund", "fault": "recurring_refund_fails", "times": 1},
        {NAME: club.platform.operations},
    )
    await club.payments.refund(
        RefundRequest(operation_id="r-1", payment_id=paid.payment.payment_id, amount=Money("5"))
    )
    assert isinstance(await club.payments.refund_status("r-1"), Pending)
    club.pass_days(1)
    assert isinstance(await club.payments.refund_status("r-1"), Declined)
    await club.payments.agreement_status((await club.asked()).agreement_key)
    await club.shop.check_books()


@pytest.mark.parametrize(
    ("outcome", "reason"), [("cancel", "payment_cancelled"), ("failure", "invalid_agreement")]
)
async def test_never_given(club: Club, outcome: str, reason: str) -> None:
    club.listen()
    asked = await club.asked()
    with pytest.raises(ConflictError, match="may still consent"):
        await club.payments.cancel_agreement(asked.agreement_key)
    club.approve(asked, outcome)
    (ended,) = club.deliveries()
    assert await club.told(ended) is Verdict.DONE
    closed = await club.payments.execute_agreement(asked.agreement_key)
    assert closed.state is AgreementLife.CLOSED
    assert await club.shop.fired() == ["agreement.closed"]
    assert club.shop.events[0].reason_code == reason


async def test_a_page_that_nobody_finished_closes_after_a_last_look(club: Club) -> None:
    asked = await club.asked()
    club.shop.clock.advance(60 * 16)
    await club.payments.reconcile_due()
    closed = await club.payments.agreement_status(asked.agreement_key)
    assert closed.state is AgreementLife.CLOSED
    assert await club.shop.fired() == ["agreement.closed"]


async def test_consent_whose_browser_never_came_back_is_found(club: Club) -> None:
    asked = await club.asked()
    club.approve(asked)
    club.shop.clock.advance(90)
    await club.payments.reconcile_due()
    assert [f.payment.state for f in await club.paid()] == [PaymentState.PAID]
    assert await club.shop.fired() == ["agreement.active", "payment.paid"]
    club.pass_days(1.2)
    await club.payments.reconcile_due()  # without any webhook, every few hours
    assert len(await club.paid()) == 2
    await club.shop.check_books()


async def test_the_browser_s_return(club: Club) -> None:
    asked = await club.asked()
    early = await club.payments.handle_return(NAME, {"reference": asked.gateway_reference or ""})
    assert early.agreement is not None and early.agreement.state is AgreementLife.AWAITING_PAYER
    club.approve(asked)
    club.shop.clock.advance(10)
    back = await club.payments.handle_return(
        NAME, {"reference": asked.gateway_reference or "", "status": "success"}
    )
    assert back.redirect_to == "https://shop.example/plan"
    assert back.agreement is not None and back.agreement.state is AgreementLife.ACTIVE


async def test_another_amount_than_was_agreed_to_is_booked_to_suspense(club: Club) -> None:
    club.listen()
    await club.subscribed()
    _, collected = club.deliveries()
    due = next(iter(club.platform.rules.collections.values()))
    due.amount_minor = 9_900  # bKash's own word, and nobody agreed to it
    assert await club.told(collected) is Verdict.DONE
    (paid,) = await club.paid()
    assert isinstance(await club.payments.status(paid.payment.payment_id), Review)
    await club.payments.deliver()
    accounts = {p.account for entry in club.shop.entries for p in entry.postings}
    assert "suspense" in accounts and "accounts_receivable" not in accounts


@pytest.mark.parametrize("by", ["list", "message"])
async def test_an_amount_that_bkash_shows_everywhere_alike_is_still_not_agreed_to(
    club: Club, by: str
) -> None:
    agreement = await club.subscribed()
    due = next(iter(club.platform.rules.collections.values()))
    due.amount_minor = 9_900
    if by == "list":
        await club.payments.agreement_status(agreement.agreement_key)
    else:
        club.listen()
        club.platform.rules.tell("PAYMENT", club.platform.rules.subscriptions[due.request_id], due, None)
        (message,) = club.deliveries()
        assert await club.told(message) is Verdict.DONE
    (paid,) = await club.paid()
    assert isinstance(await club.payments.status(paid.payment.payment_id), Review)
    assert (paid.payment.amount, paid.receipts[0].amount) == (Money("51.00"), Money("99.00"))
    await club.payments.deliver()
    accounts = {p.account for entry in club.shop.entries for p in entry.postings}
    assert "suspense" in accounts and "accounts_receivable" not in accounts


async def test_a_page_is_closed_only_by_a_look_that_was_answered(club: Club) -> None:
    asked = await club.asked()
    club.approve(asked)
    club.shop.server.app.state.faults.order(
        {"gateway": NAME, "operation": "query", "fault": "html_before", "times": 99},
        {NAME: club.platform.operations},
    )
    club.shop.clock.advance(60 * 30)
    await club.payments.reconcile_due()
    assert await club.shop.fired() == []
    club.shop.server.app.state.faults.reset()
    club.shop.clock.advance(3600)
    await club.payments.reconcile_due()
    assert await club.shop.fired() == ["agreement.active", "payment.paid"]


async def test_a_signed_message_that_the_look_up_denies_is_quarantined_without_a_posting(club: Club) -> None:
    club.listen()
    await club.subscribed()
    _, collected = club.deliveries()
    due = next(iter(club.platform.rules.collections.values()))
    due.status = type(due.status).PROCESSING_PAYMENT
    assert await club.told(collected) is Verdict.AGAIN
    assert not await club.paid()
    assert await club.told(collected, patient=False) is Verdict.DONE
    (doubted,) = await club.paid()
    assert isinstance(await club.payments.status(doubted.payment.payment_id), Review)
    await club.payments.deliver()
    assert not club.shop.entries


async def test_terms_belong_to_gateways_that_collect(club: Club) -> None:
    with pytest.raises(InvalidRequestError):
        await club.payments.create_agreement(club.request(gateway="bkash"))
    with pytest.raises(InvalidRequestError):
        await club.payments.create_agreement(club.request(params=None, merchant_reference=None))
    agreement = await club.subscribed()
    with pytest.raises(InvalidRequestError):
        await club.shop.open("INV-2", gateway=NAME, agreement_key=agreement.agreement_key)


async def test_a_lost_page_is_asked_for_under_another_id(club: Club) -> None:
    club.shop.server.app.state.faults.order(
        {"gateway": NAME, "operation": "create", "fault": "drop_after", "times": 1},
        {NAME: club.platform.operations},
    )
    asked = await club.asked()
    assert asked.gateway_reference is not None and asked.gateway_reference.endswith("-2")
    assert len(club.platform.rules.subscriptions) == 2
    # Whoever got hold of the first page all the same pays under the same agreement.
    club.listen()
    first = asked.gateway_reference[:-1] + "1"
    club.platform.approve(first, "success", None)
    given, collected = club.deliveries()
    assert await club.told(collected) is Verdict.DONE
    assert len(await club.paid()) == 1
    assert await club.told(given) is Verdict.DONE
    held = await club.payments.agreement_status(asked.agreement_key)
    assert (held.state, held.gateway_reference) == (AgreementLife.ACTIVE, first)
    club.pass_days(1.1)
    await club.payments.agreement_status(asked.agreement_key)
    assert len(await club.paid()) == 2
    ended = await club.payments.cancel_agreement(asked.agreement_key)
    assert ended.state is AgreementLife.ENDED
    await club.shop.check_books()


async def test_a_cancel_that_nobody_answers_gives_nothing_up(club: Club) -> None:
    asked = await club.asked()
    club.approve(asked)
    club.shop.clock.advance(3600)
    club.shop.server.app.state.faults.order(
        {"gateway": NAME, "operation": "query", "fault": "html_before", "times": 9},
        {NAME: club.platform.operations},
    )
    with pytest.raises(ConflictError, match="or has"):
        await club.payments.cancel_agreement(asked.agreement_key)
    club.shop.server.app.state.faults.reset()
    assert (await club.payments.cancel_agreement(asked.agreement_key)).state is AgreementLife.ENDED


async def test_a_refund_whose_news_got_lost_is_found_with_the_list(club: Club) -> None:
    agreement = await club.subscribed()
    number = next(iter(club.platform.rules.collections))
    club.platform.portal(number, "refund", "7")  # before anybody here knew of the payment
    await club.payments.agreement_status(agreement.agreement_key)
    club.platform.portal(number, "refund", "3")
    await club.payments.agreement_status(agreement.agreement_key)
    (paid,) = await club.paid()
    assert sorted(str(r.amount.amount) for r in paid.receipts) == ["3.00", "51.00", "7.00"]
    await club.shop.check_books()


async def test_one_transaction_is_booked_once_whatever_payment_names_it(club: Club) -> None:
    club.listen()
    agreement = await club.subscribed()
    club.pass_days(1.1)
    first, second = club.platform.rules.collections.values()
    second.trx_id = first.trx_id
    for message in club.deliveries():
        await club.told(message)
    await club.payments.agreement_status(agreement.agreement_key)
    states = {type(await club.payments.status(f.payment.payment_id)) for f in await club.paid()}
    assert states == {Paid, Review}
    await club.payments.deliver()
    assert club.shop.clearing() == 5_100


async def test_two_processes_learn_of_it_at_once(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'club.db'}"
    async with club_open(tmp_path, store=store) as club:
        club.listen()
        agreement = await club.subscribed()
        club.pass_days(2.1)
        other = Shop(
            club.shop.server,
            store,
            club.shop.clock,
            gateways={
                "bkash": bkash_config(club.shop.server, timeout_s=30.0),
                NAME: recurring_config(club.shop.server),
            },
            seed=8,
        )
        async with other.payments:
            twin = Club(other)
            messages = club.deliveries()
            await asyncio.gather(
                *(one.told(message) for one in (club, twin) for message in messages),
                *(one.payments.agreement_status(agreement.agreement_key) for one in (club, twin)),
            )
            await other.payments.deliver()
            assert len(await club.paid()) == 3
            assert not any(f.payment.flags for f in await club.paid())
            club.shop.entries += other.entries
            await club.shop.check_books()
            kinds = [e.kind.value for e in (*club.shop.events, *other.events)]
            assert kinds.count("payment.paid") == 3


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_order_things_come_in(tmp_path: Path, seed: int) -> None:
    """Messages early, late, twice, at either door, never; looks, refunds here and in the portal, lost answers: in the
    end the ledger is what bKash holds, to the paisa, and every transaction stands in it once."""
    chance = Random(seed)
    store = "memory://" if seed % 2 else f"sqlite:///{tmp_path / 'club.db'}"
    async with club_open(tmp_path, store=store) as club:
        club.listen()
        plans = []
        for number in range(3):
            first = {"first_payment_amount": Money("7")} if number == 1 else {}
            plans.append(
                await club.subscribed(
                    name=f"member-{number}/plan", terms={"expiry_date": date(2026, 3, 9), **first}
                )
            )
        messages = club.deliveries()
        faults = club.shop.server.app.state.faults
        elsewhere: set[str] = set()
        for turn in range(25):
            messages += club.deliveries()
            match chance.randrange(8):
                case 0:
                    club.pass_days(chance.random() * 1.5)
                    messages += club.deliveries()
                case 1 | 2 if messages:
                    fresh = [message for message in messages if _age_s(club, message) < 240]
                    chosen = chance.choices(fresh, k=2) if fresh else []
                    doors = [chance.choice((NAME, "bkash")) for _ in chosen]
                    await asyncio.gather(
                        *(club.told(one, door=door) for one, door in zip(chosen, doors, strict=True))
                    )
                case 3:
                    await club.payments.agreement_status(chance.choice(plans).agreement_key)
                case 4:
                    await club.payments.reconcile_due()
                case 5 if paid := await club.paid():
                    wish = RefundRequest(
                        operation_id=f"r-{turn}",
                        payment_id=chance.choice(paid).payment.payment_id,
                        amount=Money(str(chance.randrange(1, 9))),
                    )
                    with contextlib.suppress(PaymentsError):
                        await club.payments.refund(wish)
                case 6 if club.platform.rules.collections:
                    with contextlib.suppress(SandboxError):
                        due = chance.choice(list(club.platform.rules.collections))
                        elsewhere.add(str(club.platform.portal(due, "refund", "1")["refund_transaction_id"]))
                case _:
                    fault = chance.choice(("drop_before", "drop_after", "html", "stale", "error_5xx_after"))
                    where = chance.choice(("payment", "payments", "query", "refund"))
                    with contextlib.suppress(SandboxError):
                        faults.order(
                            {"gateway": NAME, "operation": where, "fault": fault, "times": 1},
                            {NAME: club.platform.operations},
                        )
        faults.reset()
        for _ in range(4):
            club.pass_days(1)
            await club.payments.reconcile_due()
            for plan in plans:
                await club.payments.agreement_status(plan.agreement_key)
        open_refunds = [
            o.operation_id
            for facts in await club.paid()
            for o in facts.operations
            if o.operation_id.startswith("r-") and o.state in OPEN_STATES
        ]
        assert club.shop.moved()["refund"] <= 25
        keys = [r.key for facts in await club.paid() for r in facts.receipts]
        assert len(keys) == len(set(keys))
        held = [f for f in await club.paid() if Flag.QUARANTINED in f.payment.flags]
        await club.payments.deliver()
        # Of two refunds in the portal between two looks bKash shows the last one only: the first one's message is all
        # there is of it, and a message whose refund is not shown is announced for a person.
        booked = {key.transaction_id for key in keys}
        unseen = 100 * len(elsewhere - booked)
        if not held and not open_refunds:
            assert club.shop.clearing() - club.shop.gateway_holds() == unseen
            assert club.shop.server.world.audit() == []
        else:  # a person looks; nothing is booked that bKash has not moved
            assert club.shop.clearing() >= club.shop.gateway_holds()


def _age_s(club: Club, message: Delivery) -> float:
    return (club.shop.clock.now() - message.received_at).total_seconds()


async def test_what_a_restored_backup_has_forgotten_is_the_same_money(tmp_path: Path) -> None:
    """Rule 16: the list brings it back, under the same payment and the same entries."""
    path, kept = tmp_path / "club.db", tmp_path / "kept.db"
    async with club_open(tmp_path, store=f"sqlite:///{path}") as club:
        agreement = await club.subscribed()
        with (
            contextlib.closing(sqlite3.connect(path)) as now,
            contextlib.closing(sqlite3.connect(kept)) as copy,
        ):
            now.backup(copy)
        await club.payments.agreement_status(agreement.agreement_key)
        before = await club.paid()
        await club.payments.deliver()
        old = Shop(
            club.shop.server,
            f"sqlite:///{kept}",
            club.shop.clock,
            gateways={NAME: recurring_config(club.shop.server)},
            seed=9,
        )
        async with old.payments:
            assert not await Club(old).paid()
            await old.payments.agreement_status(agreement.agreement_key)
            await old.payments.deliver()
            after = await Club(old).paid()
            assert [f.payment.payment_id for f in after] == [f.payment.payment_id for f in before]
            assert [entry.id for entry in old.entries] == [entry.id for entry in club.shop.entries]


async def test_the_key_shows_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "club.db"
    async with club_open(tmp_path, store=f"sqlite:///{path}") as club:
        key = str(club.shop.server.info["gateways"][NAME]["api_key"])
        club.listen()
        agreement = await club.subscribed()
        for message in club.deliveries():
            await club.told(message)
        (paid,) = await club.paid()
        await club.payments.refund(RefundRequest(operation_id="r", payment_id=paid.payment.payment_id))
        history = await club.payments.history(paid.payment.payment_id)
        club.shop.server.app.state.faults.order(
            {"gateway": NAME, "operation": "query", "fault": "html_before", "times": 9},
            {NAME: club.platform.operations},
        )
        await club.payments.agreement_status(agreement.agreement_key)
        shown = [caplog.text, repr(history), repr(club.shop.events), repr(club.shop.entries)]
        shown += [str(record.__dict__) for record in caplog.records]
    stored = b"".join(one.read_bytes() for one in tmp_path.iterdir())
    assert key not in "\n".join(shown) and key.encode() not in stored
    assert base64.urlsafe_b64decode(key) not in stored
    assert "01770618575" not in "\n".join(shown)


async def test_over_the_whole_road_by_http(tmp_path: Path) -> None:
    """The sandbox posts to the shop's own door; the inbox's worker books it."""
    async with club_open(tmp_path, store=f"sqlite:///{tmp_path / 'door.db'}") as club:
        door = club.payments.asgi()
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=door), base_url="http://shop.example"
        ) as client:
            club.listen()
            await club.subscribed()
            for message in club.deliveries():
                answer = await client.post(
                    "/bkash_recurring/webhook", content=message.body, headers=dict(message.headers)
                )
                assert answer.status_code == 200
        await club.payments.process_inbox()
        assert [f.payment.state for f in await club.paid()] == [PaymentState.PAID]
        rows = (await club.payments.store.list_inbox("default")).rows
        assert {row.state for row in rows} == {InboxState.DONE}
        await club.shop.check_books()
