"""Agreements as operations: durable before I/O, executed once from however many processes, charged by our own key."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.flows.shop import LONG_S, Shop, shop_open
from vextrus_payments import (
    AnswerLostError,
    ConflictError,
    InvalidRequestError,
    Money,
    OperationConflictError,
    Paid,
    PaymentRequest,
)
from vextrus_payments.engine.agreement_sending import AgreementSending
from vextrus_payments.gateways.bkash import BkashCheckout
from vextrus_payments.payment import ConsentRequest
from vextrus_payments.records import Agreement, AgreementLife, OperationState
from vextrus_payments.testing import FakeClock


@pytest.fixture(params=["sqlite", "memory", "v2"])
async def shop(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Shop]:
    """A shop on each store, and one on bKash's v2, where an agreement goes by its own id from the start."""
    store = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'shop.db'}"
    version = "v2" if request.param == "v2" else "v1"
    async with shop_open(tmp_path, store=store, api_version=version) as opened:
        yield opened


def consent(name: str = "u-1/consent", **changes: object) -> ConsentRequest:
    fields = {"operation_id": name, "gateway": "bkash", "payer_reference": "customer-1"}
    return ConsentRequest(**{**fields, **changes})  # type: ignore[arg-type]


def approve(shop: Shop, agreement: Agreement, outcome: str = "success") -> None:
    assert agreement.gateway_reference is not None
    shop.server.world.gateways["bkash"].approve(agreement.gateway_reference, outcome, None)


async def active(shop: Shop) -> Agreement:
    agreement = await shop.payments.create_agreement(consent())
    approve(shop, agreement)
    agreement = await shop.payments.execute_agreement(agreement.agreement_key)
    assert agreement.state is AgreementLife.ACTIVE
    return agreement


def execute_of(agreement: Agreement) -> OperationState:
    operation = agreement.operation(f"agreement/{agreement.agreement_key}/execute")
    assert operation is not None
    return operation.state


async def test_asked_given_charged_ended(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    asked = await shop.payments.create_agreement(consent())
    assert asked.state is AgreementLife.AWAITING_PAYER
    assert asked.checkout_url and asked.checkout_url not in repr(asked)
    assert asked == await shop.payments.create_agreement(consent())
    with pytest.raises(OperationConflictError):
        await shop.payments.create_agreement(consent(payer_reference="somebody else"))
    approve(shop, asked)
    given = await shop.payments.execute_agreement(asked.agreement_key)
    assert given.state is AgreementLife.ACTIVE and given.agreement_id
    assert await shop.fired() == ["agreement.active"]
    assert shop.events[0].agreement_key == given.agreement_key and shop.events[0].payment_id is None
    session = await shop.open("INV-1", agreement_key=given.agreement_key)
    shop.approve(session)
    assert isinstance(await shop.payments.execute(session.payment_id), Paid)
    ended = await shop.payments.cancel_agreement(given.agreement_key)
    assert ended.state is AgreementLife.ENDED
    assert ended == await shop.payments.cancel_agreement(given.agreement_key)
    with pytest.raises(InvalidRequestError):
        await shop.open("INV-2", agreement_key=given.agreement_key)
    assert (await shop.fired())[-1] == "agreement.ended"
    await shop.check_books()
    seen = "\n".join(
        [caplog.text, repr(given), repr(shop.events), *(str(r.__dict__) for r in caplog.records)]
    )
    assert given.agreement_id not in seen


async def test_the_payer_is_not_done(shop: Shop) -> None:
    asked = await shop.payments.create_agreement(consent())
    waiting = await shop.payments.execute_agreement(asked.agreement_key)
    assert waiting.state is AgreementLife.AWAITING_PAYER
    assert execute_of(waiting) is OperationState.RESERVED
    approve(shop, asked)
    given = await shop.payments.execute_agreement(asked.agreement_key)
    assert given.state is AgreementLife.ACTIVE


async def test_many_callers_and_two_processes_execute_once(tmp_path: Path) -> None:
    async with shop_open(tmp_path) as shop:
        other = Shop(shop.server, f"sqlite:///{tmp_path / 'shop.db'}", shop.clock, seed=8)
        asked = await shop.payments.create_agreement(consent())
        approve(shop, asked)
        async with other.payments:
            found = await asyncio.gather(
                *(
                    each.payments.execute_agreement(asked.agreement_key)
                    for each in (shop, other)
                    for _ in range(5)
                )
            )
        assert {agreement.state for agreement in found} <= {
            AgreementLife.ACTIVE,
            AgreementLife.AWAITING_PAYER,
        }
        given = await shop.payments.agreement_status(asked.agreement_key)
        assert given.state is AgreementLife.ACTIVE
        executes = [c for c in shop.server.world.wire.as_json() if c["operation"] == "execute"]
        assert len(executes) == 1


@pytest.mark.parametrize(
    "fault", ["drop_after", "error_5xx_after", "malformed", "drop_before", "error_5xx_before"]
)
async def test_a_lost_execute_is_only_looked_up(shop: Shop, fault: str) -> None:
    asked = await shop.payments.create_agreement(consent())
    approve(shop, asked)
    shop.fault("execute", fault)
    for look in ("query", "agreement_status"):  # by the paymentID of its session on v1, by its own id on v2
        shop.fault(look, "drop_before", times=90)
    unknown = await shop.payments.execute_agreement(asked.agreement_key)
    assert execute_of(unknown) is OperationState.UNKNOWN
    assert unknown.state is AgreementLife.AWAITING_PAYER
    again = await shop.payments.execute_agreement(asked.agreement_key)
    assert execute_of(again) is OperationState.UNKNOWN
    with pytest.raises(ConflictError):
        await shop.payments.cancel_agreement(asked.agreement_key)
    assert shop.calls("execute") == 1
    shop.server.app.state.faults.clear()
    if "before" in fault:
        early = await shop.payments.agreement_status(asked.agreement_key)
        assert execute_of(early) is OperationState.UNKNOWN, "the gateway may still be at it"
    shop.clock.advance(LONG_S)
    known = await shop.payments.agreement_status(asked.agreement_key)
    if "after" in fault or fault == "malformed":
        assert known.state is AgreementLife.ACTIVE
    else:
        assert execute_of(known) is OperationState.RESERVED
        known = await shop.payments.execute_agreement(asked.agreement_key)
        assert known.state is AgreementLife.ACTIVE
    assert await shop.fired() == ["agreement.active"]


async def test_a_lost_create_is_asked_anew(shop: Shop) -> None:
    shop.fault("create", "drop_after")
    asked = await shop.payments.create_agreement(consent())
    assert asked.state is AgreementLife.AWAITING_PAYER
    assert shop.calls("create") == 2
    shop.fault("create", "drop_after", times=90)
    with pytest.raises(AnswerLostError):
        await shop.payments.create_agreement(consent("u-2/consent", payer_reference="customer-2"))
    shop.server.app.state.faults.clear()
    again = await shop.payments.create_agreement(consent("u-2/consent", payer_reference="customer-2"))
    assert again.state is AgreementLife.AWAITING_PAYER


async def test_a_lost_cancel_is_ended_all_the_same(shop: Shop) -> None:
    given = await active(shop)
    shop.fault("agreement_cancel", "drop_before", times=90)
    ended = await shop.payments.cancel_agreement(given.agreement_key)
    assert ended.state is AgreementLife.ACTIVE, "nobody knows"
    shop.server.app.state.faults.clear()
    shop.clock.advance(LONG_S)
    ended = await shop.payments.cancel_agreement(given.agreement_key)
    assert ended.state is AgreementLife.ENDED


async def test_ended_at_the_gateway(shop: Shop) -> None:
    given = await active(shop)
    rules = shop.server.world.gateways["bkash"].rules  # type: ignore[attr-defined]
    rules.cancel_agreement(shop.server.world.gateways["bkash"].merchant, given.agreement_id)  # type: ignore[attr-defined]
    seen = await shop.payments.agreement_status(given.agreement_key)
    assert seen.state is AgreementLife.ENDED
    assert (await shop.fired())[-1] == "agreement.ended"


async def test_one_that_was_never_given_is_closed_in_time(shop: Shop) -> None:
    asked = await shop.payments.create_agreement(consent())
    engine = shop.payments._open_engine()
    shop.clock.advance(86_000)
    assert (await engine.look_agreement("default", asked.agreement_key)).state is AgreementLife.AWAITING_PAYER
    shop.clock.advance(600)
    assert (await engine.look_agreement("default", asked.agreement_key)).state is AgreementLife.CLOSED
    approve_late = await shop.payments.execute_agreement(asked.agreement_key)
    assert approve_late.state is AgreementLife.CLOSED
    assert shop.calls("execute") == 0


async def test_one_whose_process_died_while_it_asked_is_closed_in_time(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*_: object) -> None:
        raise RuntimeError("the process died here")

    with monkeypatch.context() as patched:
        patched.setattr(AgreementSending, "submit", dies)
        with pytest.raises(RuntimeError):
            await shop.payments.create_agreement(consent())
    asked = (await shop.payments.store.list_agreements(None)).rows[0]
    assert [one.state for one in asked.operations] == [OperationState.SUBMITTING]
    engine = shop.payments._open_engine()
    shop.clock.advance(86_000)
    assert (await engine.look_agreement("default", asked.agreement_key)).state is AgreementLife.CREATED
    shop.clock.advance(2_000)
    assert (await engine.look_agreement("default", asked.agreement_key)).state is AgreementLife.CLOSED


async def test_a_page_that_ended_in_failure_gives_nothing(shop: Shop) -> None:
    """bKash shows the session as Failed, which is no agreement's own word."""
    asked = await shop.payments.create_agreement(consent())
    approve(shop, asked, "failure")
    seen = await shop.payments.execute_agreement(asked.agreement_key)
    assert seen.state is AgreementLife.CLOSED
    assert execute_of(seen) is OperationState.DECLINED
    assert shop.calls("execute") == 1


async def test_an_id_of_an_agreement_is_no_id_of_a_payment(shop: Shop) -> None:
    await shop.payments.create_agreement(consent("one-id"))
    with pytest.raises(OperationConflictError):
        await shop.open("INV-1", operation_id="one-id")
    await shop.open("INV-1", operation_id="other-id")
    with pytest.raises(OperationConflictError):
        await shop.payments.create_agreement(consent("other-id"))


async def test_tenants_never_meet(tmp_path: Path) -> None:
    clock = FakeClock()
    async with shop_open(tmp_path, clock) as first:
        given = await active(first)
        from tests.flows.shop import bkash_config

        async def credentials(tenant: str, gateway: str) -> object:
            return bkash_config(first.server)

        many = Shop(
            first.server, f"sqlite:///{tmp_path / 'shop.db'}", clock, gateways=None, credentials=credentials
        )
        async with many.payments:
            other = many.payments.for_tenant("other")
            for call in (other.execute_agreement, other.agreement_status, other.cancel_agreement):
                with pytest.raises(InvalidRequestError):
                    await call(given.agreement_key)
            with pytest.raises(InvalidRequestError):
                await other.initialize(
                    PaymentRequest(
                        operation_id="x",
                        gateway="bkash",
                        amount=Money("10"),
                        merchant_reference="INV-9",
                        agreement_key=given.agreement_key,
                    )
                )


@pytest.mark.parametrize(
    ("field", "value"),
    [("merchant_reference", "PLAN-7"), ("params", BkashCheckout(agreement_id="Tokenized01"))],
)
async def test_what_belongs_to_a_subscription_is_refused_by_its_name(
    shop: Shop, field: str, value: object
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await shop.payments.create_agreement(consent(**{field: value}))
    assert caught.value.field == field and field in caught.value.what
    assert shop.calls() == 0


async def test_an_agreement_key_beside_an_agreement_id_is_refused(shop: Shop) -> None:
    given = await active(shop)
    with pytest.raises(InvalidRequestError):
        await shop.open(
            "INV-1", agreement_key=given.agreement_key, params=BkashCheckout(agreement_id="Tokenized01")
        )


async def test_cancelling_the_caller_at_every_await(shop: Shop) -> None:
    asked = await shop.payments.create_agreement(consent())
    approve(shop, asked)
    for turns in range(25):
        task = asyncio.create_task(shop.payments.execute_agreement(asked.agreement_key))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    given = await shop.payments.execute_agreement(asked.agreement_key)
    assert given.state is AgreementLife.ACTIVE
    assert shop.calls("execute") == 1


# --- the browser comes back ---------------------------------------------------------------------------------------


async def test_a_return_gives_the_agreement(shop: Shop) -> None:
    asked = await shop.payments.create_agreement(consent(return_url="https://shop.example/cards"))
    assert asked.gateway_reference is not None
    params = {"paymentID": asked.gateway_reference, "status": "success"}
    early = await shop.payments.handle_return("bkash", params)
    assert (early.payment_id, early.outcome, early.agreement_key) == (None, None, asked.agreement_key)
    assert early.agreement is not None and early.agreement.state is AgreementLife.AWAITING_PAYER
    approve(shop, asked)
    for _ in range(3):
        back = await shop.payments.handle_return("bkash", params)
        assert back.agreement is not None and back.agreement.state is AgreementLife.ACTIVE
        assert back.redirect_to == "https://shop.example/cards"
    assert await shop.fired() == ["agreement.active"]


@pytest.mark.parametrize("status", ["cancel", "failure", "whatever"])
async def test_no_other_return_gives_it(shop: Shop, status: str) -> None:
    asked = await shop.payments.create_agreement(consent())
    assert asked.gateway_reference is not None
    approve(shop, asked)
    back = await shop.payments.handle_return(
        "bkash", {"paymentID": asked.gateway_reference, "status": status}
    )
    assert back.agreement is not None and back.agreement.state is AgreementLife.AWAITING_PAYER
    assert back.agreement.operation(f"agreement/{asked.agreement_key}/execute") is None
