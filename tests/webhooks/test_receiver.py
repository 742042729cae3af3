"""The reply table: 2xx only once it is kept, 4xx only for the delivery's own fault, 503 for everything of ours."""

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from tests.webhooks.world import NewsGateway, Town, town_open, toy_config
from vextrus_payments.config import NOT_CONFIGURED, GatewayConfig
from vextrus_payments.errors import (
    ConfigurationError,
    CredentialsMissingError,
    InvalidRequestError,
    MalformedWebhookError,
    NotSentError,
    PaymentsError,
    SignatureError,
    StorageError,
    TenantSuspendedError,
    ThrottledError,
    TimestampOutsideWindowError,
    UnsupportedOperationError,
)
from vextrus_payments.events import Delivery, Events, GatewayEvent
from vextrus_payments.gateways.bkash import adapter
from vextrus_payments.inbox import InboxState, NewInboxEvent
from vextrus_payments.webhooks.messages import Reply
from vextrus_payments.webhooks.replies import reply_to

NEWS = {"id": "e-1", "order": "INV-9", "amount": "10", "trx": "T1"}


async def rows(town: Town) -> int:
    """How many rows the inbox has."""
    return len((await town.payments.store.list_inbox(None, limit=1000)).rows)


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Verification ends like this."""

    async def handle(self: NewsGateway, delivery: Delivery) -> Events:
        raise error

    monkeypatch.setattr(NewsGateway, "handle_webhook", handle)


async def test_it_is_kept_before_it_is_answered(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    store, order = town.payments.store, []
    accept = store.accept_events

    async def slow(events: Sequence[NewInboxEvent]) -> tuple[bool, ...]:
        await asyncio.sleep(0.01)
        kept = await accept(events)
        order.append("kept")
        return kept

    monkeypatch.setattr(store, "accept_events", slow)
    reply = await town.deliver(NEWS)
    order.append("answered")
    assert (reply.status, order) == (200, ["kept", "answered"])
    row = await town.row()
    assert row.state is InboxState.WAITING and json.loads(row.body)["events"] == [NEWS]


async def test_a_repeat_is_answered_like_the_first_time_and_kept_once(town: Town) -> None:
    replies = [await town.deliver(NEWS) for _ in range(5)]
    assert len({reply.status for reply in replies} | {reply.body for reply in replies}) == 2
    assert await rows(town) == 1
    await town.deliver({**NEWS, "id": "e-2", "key": "payment/T1"})
    await town.deliver({**NEWS, "id": "e-3", "key": "payment/T1"})
    assert await rows(town) == 2, "the same news under another id is the same news"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"method": "GET"}, 405),
        ({"method": "PUT"}, 405),
        ({"body": b"\x00" * 300_000}, 413),
        ({"headers": {"content-encoding": "gzip"}}, 415),
        ({"headers": {"content-encoding": "identity"}}, 200),
        ({"headers": {f"x-{number}": "1" for number in range(100)}}, 431),
        ({"headers": {"x-toy": "signed for somebody else"}}, 401),
        ({"headers": {"x-toy": "late"}}, 401),
        ({"body": b"no json"}, 400),
        ({"body": b"[]"}, 400),
        ({"body": b'{"events": [{"id": "x", "state": "no such state"}]}'}, 400),
        ({"body": b'{"events": [{"id": "x", "amount": "1,5"}]}'}, 400),
        ({"gateway": "nosuch"}, 404),
        ({"gateway": "../../etc"}, 404),
        ({"gateway": "TOY"}, 404),
        ({"tenant": "acme", "headers": {"x-toy": "signed for default"}}, 404),
        ({"said": {"kind": "ignore"}}, 200),
        ({"said": {"kind": "undecided"}}, 503),
        ({"said": {"kind": "broken"}}, 503),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_every_answer_of_the_table(town: Town, changes: dict[str, Any], status: int) -> None:
    reply = await town.deliver(NEWS, **changes)
    assert reply.status == status
    assert await rows(town) == (1 if status == 200 and "said" not in changes else 0)
    assert (status == 503) == any(name == "retry-after" for name, _ in reply.headers)
    json.loads(reply.body)


async def test_an_empty_body_is_malformed(town: Town) -> None:
    from vextrus_payments.webhooks.messages import Incoming

    empty = Incoming(gateway="toy", tenant=None, method="POST", query="", headers={}, body=b"")
    assert (await town.payments.keeper.webhook(empty)).status == 400


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SignatureError("x"), 401),
        (TimestampOutsideWindowError("x"), 401),
        (MalformedWebhookError("x"), 400),
        (InvalidRequestError("x"), 400),
        (UnsupportedOperationError("x"), 503),
        (NotSentError("x"), 503),
        (ThrottledError("x"), 429),
        (StorageError("x"), 503),
        (ConfigurationError("x"), 503),
        (PaymentsError("x"), 503),
        (RuntimeError("x"), 503),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
async def test_whose_fault_it_is_decides(
    town: Town, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    assert reply_to(error).status == status
    raising(monkeypatch, error)
    assert (await town.deliver(NEWS)).status == status


async def test_a_store_that_is_down_is_a_503_and_nothing_is_lost(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(events: Sequence[NewInboxEvent]) -> tuple[bool, ...]:
        raise StorageError("The database is down.")

    with monkeypatch.context() as broken:
        broken.setattr(town.payments.store, "accept_events", refuse)
        assert (await town.deliver(NEWS)).status == 503
    assert (await town.deliver(NEWS)).status == 200
    assert await rows(town) == 1


async def test_before_opening_and_after_closing_it_cannot_decide() -> None:
    town = Town()
    assert (await town.deliver(NEWS)).status == 503
    async with town.payments:
        assert (await town.deliver(NEWS)).status == 200
    assert (await town.deliver(NEWS)).status == 503
    assert not town.payments.keeper.is_open
    async with town.payments:
        assert (await town.deliver({**NEWS, "id": "e-2"})).status == 200


async def test_a_sender_who_takes_too_long_to_be_proven_is_to_come_again(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(self: NewsGateway, delivery: Delivery) -> Events:
        await asyncio.Event().wait()
        raise AssertionError("never")

    monkeypatch.setattr(NewsGateway, "handle_webhook", hang)
    from vextrus_payments.webhooks.receiver import ReceiverLimits

    monkeypatch.setattr(town.payments._parts.receiver, "_limits", ReceiverLimits(decide_s=0.01))
    assert (await town.deliver(NEWS)).status == 503


async def test_a_confirmation_is_answered_once_it_was_given(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = NewsGateway.confirmed
    assert (await town.deliver(said={"kind": "confirm"})).status == 200
    assert NewsGateway.confirmed == before + 1

    async def fail(self: NewsGateway, confirm: Any) -> None:
        raise NotSentError("The sender could not be reached.")

    monkeypatch.setattr(NewsGateway, "confirm_webhook", fail)
    assert (await town.deliver(said={"kind": "confirm"})).status == 503


@pytest.mark.parametrize("event_id", ["", "x" * 257, "a b", "a\nb", "ä"])
async def test_an_id_that_cannot_be_a_key_is_malformed(town: Town, event_id: str) -> None:
    assert (await town.deliver({**NEWS, "id": event_id})).status == 400
    assert (await town.deliver({**NEWS, "key": event_id or "a b"})).status == 400


async def test_too_many_events_in_one_delivery_are_malformed(town: Town) -> None:
    assert (await town.deliver(*({**NEWS, "id": f"e-{n}"} for n in range(101)))).status == 400
    assert (await town.deliver(*({**NEWS, "id": f"e-{n}"} for n in range(100)))).status == 200
    assert await rows(town) == 100
    assert (await town.deliver()).status == 200, "a proven delivery without news asks for nothing"


async def test_no_credential_and_no_cookie_is_kept(town: Town) -> None:
    canaries = {
        "authorization": "canary-auth-1",
        "proxy-authorization": "canary-auth-2",
        "cookie": "canary-cookie",
        "x-api-key": "canary-key",
        "x-auth-token": "canary-token",
        "x-forwarded-access-token": "canary-access",
        "x-shop-secret": "canary-secret",
        # what a proxy in front of us lets its users in by
        "x-goog-iap-jwt-assertion": "canary-iap",
        "cf-access-jwt-assertion": "canary-access-jwt",
        "x-amzn-oidc-data": "canary-oidc",
        "x-ms-client-principal": "canary-principal",
        "x-forwarded-client-cert": "canary-cert",
        "x-bearer": "canary-bearer",
        "x-auth": "canary-x-auth",
        "x-session-id": "canary-session",
        "x-csrftoken": "canary-csrf",
    }
    await town.deliver(NEWS, headers={**canaries, "x-signature": "kept", "x-long": "y" * 9000})
    row = await town.row()
    assert "canary" not in json.dumps(dict(row.headers)) + row.document + repr(row)
    assert row.headers["x-signature"] == "kept" and "x-long" not in row.headers


async def test_nothing_of_a_delivery_is_logged(town: Town, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    hostile = "canary-\x1b[31m\r\nforged: line\u202e"
    replies: list[Reply] = [
        await town.deliver({**NEWS, "order": "canary-order", "trx": hostile}),
        await town.deliver(
            NEWS, headers={"x-toy": hostile, "x-other": "canary-header"}, query="canary-query"
        ),
        await town.deliver(NEWS, body=b"canary-body", headers={"x-toy": "signed for default"}),
    ]
    seen = caplog.text + "".join(repr(record.__dict__) for record in caplog.records)
    assert "canary" not in seen and "forged" not in seen
    assert "canary" not in "".join(f"{reply}" for reply in replies)
    assert "webhook" in seen


# --- tenants ------------------------------------------------------------------------------------------------------


async def credentials(tenant: str, gateway: str) -> GatewayConfig:
    """a and b have an account, c is suspended, d's vault is broken, and half of e's settings are missing."""
    match tenant:
        case "a" | "b":
            return toy_config()
        case "c":
            raise TenantSuspendedError("Switched off.")
        case "d":
            raise RuntimeError("the vault is sealed")
        case "e":
            return adapter.config_class.model_validate({"app_key": "half-a-configuration"})
    raise CredentialsMissingError("Nobody.")


async def test_an_unknown_tenant_looks_like_an_unknown_gateway() -> None:
    async with town_open(gateways=None, credentials=credentials) as town:
        nobody = await town.deliver(NEWS, tenant="nobody")
        no_gateway = await town.deliver(NEWS, tenant="a", gateway="nosuch")
        none_named = await town.deliver(NEWS)
        hostile = await town.deliver(NEWS, tenant="../a")
        assert nobody == no_gateway == none_named == hostile
        assert nobody.status == 404
        assert (await town.deliver(NEWS, tenant="a")).status == 200
        assert (await town.deliver(NEWS, tenant="c")).status == 503, "switched off is our own doing"
        assert (await town.deliver(NEWS, tenant="d")).status == 503
        assert (await town.deliver(NEWS, tenant="e")).status == 503, "after a 404 nobody would come again"


async def test_a_tenants_secret_never_proves_anything_to_another() -> None:
    async with town_open(gateways=None, credentials=credentials) as town:
        forged = {"x-toy": "signed for a"}
        assert (await town.deliver(NEWS, tenant="b", headers=forged)).status == 401
        assert await rows(town) == 0


async def test_settings_of_which_some_are_missing_are_our_own_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing set: there is no such door. Something missing: the sender is to come again once it is mended."""
    for name in ("BKASH_APP_KEY", "BKASH_APP_SECRET", "BKASH_USERNAME", "BKASH_PASSWORD", "BKASH_MODE"):
        monkeypatch.delenv(name, raising=False)
    async with town_open(gateways=None, adapters={"bkash": adapter}) as town:
        assert (await town.deliver(NEWS, gateway="bkash")).status == 404
        monkeypatch.setenv("BKASH_APP_KEY", "half-a-configuration")
        assert (await town.deliver(NEWS, gateway="bkash")).status == 503
    with pytest.raises(CredentialsMissingError) as caught:
        adapter.config_class.from_env({})
    assert caught.value.code == NOT_CONFIGURED


# --- the writer ---------------------------------------------------------------------------------------------------


def news(number: int) -> dict[str, Any]:
    """One event of many."""
    return {**NEWS, "id": f"e-{number}"}


async def test_what_comes_during_a_commit_goes_into_the_next_one(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, sizes = town.payments.store, []
    accept = store.accept_events

    async def counted(events: Sequence[NewInboxEvent]) -> tuple[bool, ...]:
        sizes.append(len(events))
        await asyncio.sleep(0.01)
        return await accept(events)

    monkeypatch.setattr(store, "accept_events", counted)
    replies = await asyncio.gather(*(town.deliver(news(number % 200)) for number in range(1_000)))
    assert {reply.status for reply in replies} == {200}
    assert await rows(town) == 200
    assert sum(sizes) == 1_000 and len(sizes) <= 4 and max(sizes) <= 512


async def test_a_failed_commit_fails_everybody_in_it_and_nobody_else(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, calls = town.payments.store, []
    accept = store.accept_events

    go_on = asyncio.Event()

    async def fails_once(events: Sequence[NewInboxEvent]) -> tuple[bool, ...]:
        calls.append(len(events))
        if len(calls) == 2:
            raise StorageError("The disk is full.")
        await go_on.wait()
        return await accept(events)

    async def turns() -> None:
        for _ in range(500):  # more than a delivery needs to stand in line
            await asyncio.sleep(0)

    monkeypatch.setattr(store, "accept_events", fails_once)
    first = asyncio.create_task(town.deliver(news(0)))
    await turns()
    second = [asyncio.create_task(town.deliver(news(number))) for number in range(1, 20)]
    await turns()
    go_on.set()
    assert (await first).status == 200
    assert {(await task).status for task in second} == {503}
    again = await asyncio.gather(*(town.deliver(news(number)) for number in range(20)))
    assert {reply.status for reply in again} == {200}
    assert await rows(town) == 20


async def test_one_row_that_cannot_be_stored_does_not_refuse_the_others(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = town.payments.store
    accept = store.accept_events

    async def picky(events: Sequence[NewInboxEvent]) -> tuple[bool, ...]:
        await asyncio.sleep(0.01)
        if any(event.event_id == "e-3" for event in events):
            raise StorageError("It holds what cannot be stored.", code="storage_bad_value")
        return await accept(events)

    monkeypatch.setattr(store, "accept_events", picky)
    replies = await asyncio.gather(*(town.deliver(news(number)) for number in range(6)))
    assert [reply.status for reply in replies] == [200, 200, 200, 503, 200, 200]


async def test_a_store_of_the_hosts_own_that_raises_anything_hangs_nobody(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(events: Sequence[NewInboxEvent]) -> tuple[bool, ...]:
        raise RuntimeError("a driver's own")

    with monkeypatch.context() as patched:
        patched.setattr(town.payments.store, "accept_events", broken)
        assert (await town.deliver(NEWS)).status == 503
    assert (await town.deliver(NEWS)).status == 200


async def test_a_sender_who_hangs_up_spoils_nothing(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    store, accept = town.payments.store, town.payments.store.accept_events

    async def slow(events: Sequence[NewInboxEvent]) -> tuple[bool, ...]:
        await asyncio.sleep(0.02)
        return await accept(events)

    monkeypatch.setattr(store, "accept_events", slow)
    gone = [asyncio.create_task(town.deliver(news(number))) for number in range(5)]
    await asyncio.sleep(0.005)
    for task in gone[1:]:
        task.cancel()
    assert (await gone[0]).status == 200
    assert (await town.deliver(news(9))).status == 200
    assert {(await town.deliver(news(number))).status for number in range(5)} == {200}
    assert await rows(town) == 6


async def test_closing_keeps_what_was_taken() -> None:
    town = Town(store="memory://")
    async with town.payments:
        tasks = [asyncio.create_task(town.deliver(news(number))) for number in range(50)]
        await asyncio.sleep(0)
    statuses = [(await task).status for task in tasks]
    assert set(statuses) <= {200, 503}


async def test_an_event_survives_its_way_through_the_store(town: Town) -> None:
    from vextrus_payments.documents import from_json

    await town.deliver(NEWS)
    event = from_json(GatewayEvent, (await town.row()).document)
    assert event.snapshot is not None
    assert (event.snapshot.gateway_order_id, str(event.snapshot.amount)) == ("INV-9", "10.00 BDT")
