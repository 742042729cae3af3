"""News of a session whose own answer got lost: it is never followed by another page that the payer could pay on."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.toy import a_request
from tests.webhooks.world import Town
from vextrus_payments import Paid
from vextrus_payments.errors import AlreadyPaidError, AnswerTimeoutError, ConflictError, NotSentError
from vextrus_payments.records import SubjectKind


def lose_the_first_session(town: Town, monkeypatch: pytest.MonkeyPatch, *amounts: str) -> None:
    """The first session is made and paid there; its answer never comes, and its webhooks overtake the time-out."""
    send, server = town.server.send, town.server
    made: list[Any] = []

    async def sending(request: Any, **how: Any) -> Any:
        answer = await send(request, **how)
        if not request.url.endswith("/create") or made:
            return answer
        made.append(json.loads(answer.body))
        for number, amount in enumerate(amounts):
            server.payments[made[0]["ref"]].update(state="paid", trx="TRX1")
            told = {"id": f"e-{number}", "order": made[0]["order"], "amount": amount, "trx": "TRX1"}
            await town.deliver(told)
            await town.payments.process_inbox()
        raise AnswerTimeoutError("No answer came.")

    monkeypatch.setattr(server, "send", sending)


async def test_no_other_session_is_opened_for_a_payment_that_its_webhook_settled(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_the_first_session(town, monkeypatch, "100")
    payment_id = ""
    for _ in range(2):
        with pytest.raises(AlreadyPaidError) as caught:
            await town.payments.initialize(a_request("INV-1", "100"))
        payment_id = caught.value.other_payment_id or ""
        assert town.server.sent("create") == 1, "a second page could be paid, too"
    assert isinstance(await town.payments.status(payment_id), Paid)
    assert await town.booked() == {("payment.received", "TRX1"): 1}
    town.clock.advance(3_600)
    await town.payments.reconcile_due()
    store = town.payments.store
    assert await store.next_watch("default", SubjectKind.PAYMENT, payment_id) is None, "nothing is left open"


async def test_without_such_news_a_lost_session_is_replaced(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_the_first_session(town, monkeypatch)
    session = await town.payments.initialize(a_request("INV-1", "100"))
    assert session.submission_no == 2


async def test_no_session_is_opened_beside_a_sibling_that_was_paid_since(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first try never reached the gateway; a second payment of the reference was paid; the first is tried again."""
    first = replace(a_request("INV-1", "100"), operation_id="first")
    with monkeypatch.context() as away:
        away.setattr(town.server, "down", True)
        with pytest.raises(NotSentError):
            await town.payments.initialize(first)
    session = await town.approved("INV-1")
    assert isinstance(await town.payments.execute(session.payment_id), Paid)
    opened = town.server.sent("create")
    with pytest.raises(AlreadyPaidError) as caught:
        await town.payments.initialize(first)
    assert caught.value.other_payment_id == session.payment_id
    assert town.server.sent("create") == opened


async def test_a_payment_quarantined_before_its_session_came_is_given_up_and_not_asked_for_ever(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_the_first_session(town, monkeypatch, "100", "90")
    for _ in range(2):
        async with asyncio.timeout(60):
            with pytest.raises(ConflictError):
                await town.payments.initialize(a_request("INV-1", "100"))
        assert town.server.sent("create") == 1
    assert await town.fired() == ["payment.paid", "payment.quarantined"]
