"""What bKash says of a subscription in pieces, twice, or about something else: nothing is lost, and nothing is called
over that nobody knows."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.flows.test_restored import backed_up, restored
from tests.flows.test_subscriptions import NAME, Club, club_open
from vextrus_payments import Money, ReconciliationRequiredError, RefundRequest
from vextrus_payments.cli.doctor_store import inbox_findings
from vextrus_payments.engine import Verdict
from vextrus_payments.epoch import FileEpochMark
from vextrus_payments.errors import AnswerLostError
from vextrus_payments.events import Delivery
from vextrus_payments.gateways.bkash.recurring import models as m
from vextrus_payments.gateways.bkash.recurring.models import PaymentStatus
from vextrus_payments.outcomes import Declined, Paid, Pending, Unknown
from vextrus_payments.records import AgreementLife, PaymentState
from vextrus_payments.stores import PostgresStore
from vextrus_payments_sandbox.bkash_recurring.records import Collection


@pytest.fixture(params=["memory", "sqlite"])
async def club(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Club]:
    store = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'club.db'}"
    async with club_open(tmp_path, store=store) as opened:
        opened.listen()
        yield opened


def message(
    club: Club, due: Collection, amount: str = "51.00", named: bool = True, word: object = "SUCCEEDED_PAYMENT"
) -> Delivery:
    """bKash's word that a payment was collected, signed."""
    key = base64.urlsafe_b64decode(str(club.shop.server.info["gateways"][NAME]["api_key"]))
    fields = {
        "timeStamp": m.stamp(club.shop.clock.now()),
        "subscriptionRequestId": due.request_id if named else None,
        "paymentId": due.number,
        "paymentStatus": word,
        "trxId": due.trx_id,
        "amount": "AMOUNT",
    }
    body = json.dumps(fields).replace('"AMOUNT"', amount).encode()
    signature = base64.urlsafe_b64encode(hmac.new(key, body, hashlib.sha256).digest()).decode()
    return Delivery(
        method="POST",
        query="",
        headers={"x-signature": signature, "type": "PAYMENT"},
        body=body,
        received_at=club.shop.clock.now(),
    )


def order(club: Club, operation: str, fault: str, times: int = 1) -> None:
    club.shop.server.app.state.faults.order(
        {"gateway": NAME, "operation": operation, "fault": fault, "times": times},
        {NAME: club.platform.operations},
    )


def first(club: Club) -> Collection:
    return next(iter(club.platform.rules.collections.values()))


async def test_the_list_brings_what_a_look_up_once_denied(club: Club) -> None:
    """A message was denied, the payment closed as failed, and then bKash came to another view of it."""
    agreement = await club.subscribed()
    _, collected = club.deliveries()
    due = first(club)
    due.status = PaymentStatus.FAILED_PAYMENT
    assert await club.told(collected, patient=False) is Verdict.DONE
    for _ in range(8):
        club.shop.clock.advance(7 * 3600)
        await club.payments.reconcile_due()
    denied = (await club.paid())[0]
    assert denied.payment.state is PaymentState.CLOSED and not denied.receipts
    due.status = PaymentStatus.RE_SUCCEEDED_PAYMENT
    for _ in range(2):
        await club.payments.agreement_status(agreement.agreement_key)
    booked = (await club.paid())[0]
    assert [r.amount for r in booked.receipts] == [Money("51.00")]
    await club.shop.check_books()


async def test_a_message_that_cannot_be_read_changes_nothing_of_what_is_booked(club: Club) -> None:
    """Two doors get it: at the second one the first has booked already."""
    await club.subscribed()
    club.deliveries()
    told = message(club, first(club), amount="51.005")
    for door in (NAME, "bkash"):
        assert await club.told(told, door=door) is Verdict.DONE
    (paid,) = await club.paid()
    assert not paid.payment.flags
    assert isinstance(await club.payments.status(paid.payment.payment_id), Paid)
    order(club, "payment", "html_before")
    assert await club.told(told) is Verdict.AGAIN
    club.shop.clock.advance(10)
    first(club).trx_id = "DC19999999"  # and a look that shows something else is for a person
    assert await club.told(told) is Verdict.DONE
    (paid,) = await club.paid()
    assert paid.payment.flags and len(paid.receipts) == 1


@pytest.mark.parametrize("word", ["succeeded_payment", "SETTLED_PAYMENT", None, 7])
async def test_a_word_that_no_source_has_is_looked_up_and_never_dropped(club: Club, word: object) -> None:
    await club.subscribed()
    club.deliveries()  # lost
    assert await club.told(message(club, first(club), word=word)) is Verdict.DONE
    (paid,) = await club.paid()
    assert [r.amount for r in paid.receipts] == [Money("51.00")]
    nobodys = message(club, first(club), named=False, word=word)
    assert await club.told(nobodys) is Verdict.FOREIGN  # for a person


async def test_a_message_without_a_name_keeps_no_other_out(club: Club) -> None:
    await club.subscribed()
    club.deliveries()
    door = httpx.ASGITransport(app=club.payments.asgi())
    async with httpx.AsyncClient(transport=door, base_url="http://shop.example") as client:
        for named in (False, True):
            told = message(club, first(club), named=named)
            answer = await client.post(f"/{NAME}/webhook", content=told.body, headers=dict(told.headers))
            assert answer.status_code == 200
            await club.payments.process_inbox()
    assert len(await club.paid()) == 1
    await club.shop.check_books()


async def at_both_doors(club: Club, word: object) -> list[str]:
    """News of two payments that names nothing of ours, each at both doors, twice; what is announced of it."""
    await club.subscribed()
    club.pass_days(1.1)
    club.deliveries()
    door = httpx.ASGITransport(app=club.payments.asgi())
    async with httpx.AsyncClient(transport=door, base_url="http://shop.example") as client:
        for _ in range(2):  # bKash repeats it under another date
            for due in list(club.platform.rules.collections.values())[:2]:
                told = message(club, due, named=False, word=word)
                for name in ("bkash", NAME):
                    answer = await client.post(
                        f"/{name}/webhook", content=told.body, headers=dict(told.headers)
                    )
                    assert answer.status_code == 200
            await club.payments.process_inbox()
            club.shop.clock.advance(60)
    await club.shop.fired()
    return [
        event.transaction_id or "" for event in club.shop.events if event.kind.value == "receipt.unmatched"
    ]


async def test_a_stray_message_at_both_doors_is_announced_once(club: Club) -> None:
    told = await at_both_doors(club, "SUCCEEDED_PAYMENT")
    assert len(told) == len(set(told)) == 2
    rows = (await club.payments.store.list_inbox("default")).rows
    assert {(row.gateway, row.state.value) for row in rows} == {("bkash", "unmatched"), (NAME, "unmatched")}


async def test_one_that_nobody_can_read_is_announced_once_per_message(club: Club) -> None:
    """It tells nothing by which a repeat could be known; the same bytes at another door are the same message."""
    assert len(await at_both_doors(club, "SETTLED_PAYMENT")) == 4


async def test_a_stray_message_at_both_doors_in_postgresql(tmp_path: Path, postgres_dsn: str) -> None:
    await PostgresStore(postgres_dsn).migrate()
    async with club_open(tmp_path, store=postgres_dsn) as opened:
        opened.listen()
        assert len(await at_both_doors(opened, "SUCCEEDED_PAYMENT")) == 2


async def test_the_second_word_about_an_earlier_refund_ends_no_later_one(club: Club) -> None:
    """Called declined, its amount would be free again while it may still be on its way: it would go back twice."""
    agreement = await club.subscribed()
    await club.payments.agreement_status(agreement.agreement_key)
    (paid,) = await club.paid()
    payment_id = paid.payment.payment_id
    order(club, "refund", "recurring_refund_fails")
    await club.payments.refund(RefundRequest(operation_id="r-1", payment_id=payment_id, amount=Money("51")))
    club.shop.clock.advance(25 * 3600)
    assert isinstance(await club.payments.refund_status("r-1"), Declined)
    order(club, "refund", "drop_before")
    lost = await club.payments.refund(
        RefundRequest(operation_id="r-2", payment_id=payment_id, amount=Money("51"))
    )
    assert isinstance(lost, Unknown)
    due = first(club)
    for shows_its_id in (True, False):
        due.reverse_trx_id = due.reverse_trx_id if shows_its_id else ""
        due.status = PaymentStatus.RE_FAILED_REFUND
        club.shop.clock.advance(2 * 86_400)
        assert isinstance(await club.payments.refund_status("r-2"), Unknown | Pending)


@pytest.mark.parametrize("told", ["both", "payment"])
async def test_what_collects_under_a_page_that_never_reached_us_can_be_ended(club: Club, told: str) -> None:
    """Every answer with a page got lost, and the payer came upon one of them all the same."""
    order(club, "create", "drop_after", times=3)
    with pytest.raises(AnswerLostError):
        await club.asked()
    reference = next(iter(club.platform.rules.subscriptions))
    club.platform.approve(reference, "success", None)
    messages = club.deliveries()
    for one in messages if told == "both" else messages[1:]:
        assert await club.told(one) is Verdict.DONE
    agreement = await club.asked()  # the same intent: no other page is asked for
    assert (agreement.state, agreement.gateway_reference) == (AgreementLife.ACTIVE, reference)
    assert len(club.platform.rules.subscriptions) == 3
    club.pass_days(1.1)
    club.deliveries()
    await club.payments.agreement_status(agreement.agreement_key)
    assert len(await club.paid()) == 2
    ended = await club.payments.cancel_agreement(agreement.agreement_key)
    assert ended.state is AgreementLife.ENDED
    assert not any(one.holds for one in club.platform.rules.subscriptions.values())
    await club.shop.check_books()


async def test_what_is_collected_days_after_the_end_is_read(club: Club) -> None:
    """bKash tries again for days, and looks again itself; its message got lost."""
    agreement = await club.subscribed()
    await club.payments.agreement_status(agreement.agreement_key)
    club.pass_days(1.1)
    due = list(club.platform.rules.collections.values())[1]
    due.status = PaymentStatus.PROCESSING_PAYMENT
    await club.payments.cancel_agreement(agreement.agreement_key)
    for day in range(9):
        if day == 6:
            due.status = PaymentStatus.RE_SUCCEEDED_PAYMENT
        club.pass_days(1)
        await club.payments.reconcile_due()
    assert len(await club.paid()) == 2
    await club.shop.check_books()


async def test_a_restored_store_asks_for_no_other_page(tmp_path: Path) -> None:
    """The payer may have consented since the backup; on another page he would be charged twice each time."""
    store, mark = f"sqlite:///{tmp_path / 'shop.db'}", FileEpochMark(tmp_path / "epoch")
    async with club_open(tmp_path, store=store, epoch=mark) as club:
        await club.payments.aclose()
        backed_up(tmp_path)
        async with club.payments:
            club.shop.clock.advance(61)
            await club.subscribed()
        restored(tmp_path)
        async with club.payments:
            with pytest.raises(ReconciliationRequiredError):
                await club.asked()
            assert len(club.platform.rules.subscriptions) == 1


async def test_a_message_whose_payment_bkash_never_knows_is_told_to_a_person(club: Club) -> None:
    """3003, again and again: nothing is booked, nobody else's news waits for it, and it is tried for ever."""
    await club.subscribed()
    club.deliveries()
    due = first(club)
    door = httpx.ASGITransport(app=club.payments.asgi())
    async with httpx.AsyncClient(transport=door, base_url="http://shop.example") as client:
        told = message(club, due)
        await client.post(f"/{NAME}/webhook", content=told.body, headers=dict(told.headers))
    del club.platform.rules.collections[due.key]
    for _ in range(30):
        await club.payments.process_inbox()
        club.shop.clock.advance(300)
    assert (await club.shop.fired()).count("webhook.stuck") == 1
    (row,) = (await club.payments.store.list_inbox("default")).rows
    assert row.state.value == "waiting" and "knows no such payment" in (row.note or "")
    assert not await club.paid()
    findings = await inbox_findings(club.payments.store, None)
    assert findings[0].level.value == "fail" and "knows no such payment" in findings[0].what
    club.platform.rules.collections[due.key] = due
    await club.payments.process_inbox()
    assert len(await club.paid()) == 1
    assert (await club.shop.fired()).count("webhook.unstuck") == 1
    await club.shop.check_books()
