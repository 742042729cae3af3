"""A merchant on v2: what his gateway can do, what it refuses unsent, what he shares with a merchant on v1."""

from dataclasses import replace
from typing import Any

import pytest

from tests.gateways.bkash.hand import AMOUNT, CALL, PAYMENT_ID, REFUND, STATUS, golden
from tests.gateways.bkash.test_gateway import World, request
from tests.gateways.bkash.test_v2 import AGREEMENT_ID, CHARGE_ID, refused
from vextrus_payments.capabilities import Feature
from vextrus_payments.errors import (
    AuthenticationRejectedError,
    DeclinedError,
    Effect,
    InvalidRequestError,
    UnsupportedOperationError,
)
from vextrus_payments.events import HintVerdict
from vextrus_payments.gateways.bkash import ApiVersion, BkashCheckout
from vextrus_payments.payment import AgreementRequest, ExecuteCall, Intent
from vextrus_payments.snapshots import AgreementState, SnapshotState
from vextrus_payments.testing import FakeSleeper
from vextrus_payments.tokens.cache import TokenCache
from vextrus_payments.tokens.memory import MemoryTokenBackend

HOST = "https://tokenized.sandbox.bka.sh"


def on_v2(*script: Any, **config: Any) -> World:
    return World(*script, **{"api_version": "v2", **config})


async def test_a_payment_from_its_session_to_its_refund() -> None:
    world = on_v2(
        golden("v2_create"), golden("v2_execute"), golden("v2_query_completed"), golden("v2_search")
    )
    session = await world.gateway.initialize_payment(request())
    assert session.checkout_url is not None and session.checkout_url.endswith("apiVersion=v2/")
    assert (session.gateway_reference, session.agreement_id) == (PAYMENT_ID, None)
    assert (await world.gateway.execute_payment(CALL)).state is SnapshotState.PAID
    assert (await world.gateway.get_payment_status(STATUS)).state is SnapshotState.PAID
    assert await world.gateway.search_transaction("CLH30AB1CD") is not None
    assert {one.url.removeprefix(HOST).split("/")[1] for one in world.sent} == {"v2"}
    assert [one.url for one in world.grants] == [f"{HOST}/v2/tokenized-checkout/auth/grant-token"]


async def test_charging_an_agreement_takes_its_id_from_session_to_execute() -> None:
    world = on_v2(golden("v2_create_with_agreement"), golden("v2_execute_with_agreement"))
    asked = world.gateway.charging(
        request(params=BkashCheckout(sub_merchant_name="Corner Shop")), AGREEMENT_ID
    )
    session = await world.gateway.initialize_payment(asked)
    assert world.body()["subMerchantName"] == "Corner Shop"
    assert session.agreement_id == AGREEMENT_ID
    assert AGREEMENT_ID not in repr(session)
    call = ExecuteCall(
        gateway_reference=session.gateway_reference,
        gateway_order_id=session.gateway_order_id,
        amount=AMOUNT,
        agreement_id=session.agreement_id,
    )
    assert (await world.gateway.execute_payment(call)).state is SnapshotState.PAID
    assert world.body() == {"paymentId": CHARGE_ID, "agreementId": AGREEMENT_ID}


async def test_the_life_of_an_agreement() -> None:
    world = on_v2(
        golden("v2_agreement_create"),
        golden("v2_agreement_execute"),
        golden("v2_agreement_query"),
        golden("v2_agreement_query"),
        golden("v2_agreement_cancel"),
        refused("2053"),
    )
    gateway = world.gateway
    session = await gateway.create_agreement(AgreementRequest(payer_reference="01770618575"))
    assert session.gateway_reference == AGREEMENT_ID
    assert AGREEMENT_ID not in repr(session)
    active = await gateway.execute_agreement(session.gateway_reference)
    assert active.agreement_id == AGREEMENT_ID
    assert (await gateway.look_up_agreement(session.gateway_reference)).state is AgreementState.ACTIVE
    assert (await gateway.get_agreement_status(AGREEMENT_ID)).state is AgreementState.ACTIVE
    for _ in range(2):
        assert (await gateway.cancel_agreement(AGREEMENT_ID)).state is AgreementState.CANCELLED


# ----------------------------------------------------------------------------------------- what is refused unsent


async def test_money_is_not_held_where_nobody_knows_how_it_is_let_go() -> None:
    world = on_v2()
    can = world.gateway.capabilities
    assert not can.can(Feature.CAPTURE) and not can.can(Feature.VOID)
    assert can.can(Feature.AGREEMENTS) and can.can(Feature.PARTIAL_REFUND) and can.can(Feature.SEARCH)
    with pytest.raises(UnsupportedOperationError):
        await world.gateway.initialize_payment(request(intent=Intent.AUTHORIZATION))
    for verb in (world.gateway.capture_payment, world.gateway.void_payment):
        with pytest.raises(UnsupportedOperationError):
            await verb(CALL)
    assert not world.transport.sends


async def test_a_sub_merchant_is_refused_on_v1_and_checked_on_v2() -> None:
    world = World()
    with pytest.raises(InvalidRequestError, match=r"sub_merchant_name.*BKASH_API_VERSION=v2"):
        await world.gateway.initialize_payment(request(params=BkashCheckout(sub_merchant_name="Corner Shop")))
    assert not world.transport.sends
    for bad in ("", "a<b", "x" * 256, "a\nb"):
        with pytest.raises(InvalidRequestError, match="sub_merchant_name"):
            BkashCheckout(sub_merchant_name=bad)


# ------------------------------------------------------------------------------------------- tokens and their budget


def shared(world: World) -> TokenCache:
    return TokenCache(MemoryTokenBackend(), clock=world.clock, sleeper=FakeSleeper(world.clock))


@pytest.mark.parametrize("first", ["v1", "v2"])
async def test_a_merchant_on_both_versions_has_one_token_and_one_grant(first: str) -> None:
    world = World()
    tokens = shared(world)
    old, new = (world.another(tokens, api_version=version) for version in ("v1", "v2"))
    calls = [(old, golden("create_0011")), (new, golden("v2_create"))]
    for gateway, said in calls if first == "v1" else reversed(calls):
        world.script.append(said)
        await gateway.initialize_payment(request())
    assert len(world.grants) == 1
    assert {dict(one.headers)["Authorization"] for one in world.sent} == {"token-1"}


async def test_a_token_that_v2s_front_door_rejects_is_dropped_for_v1_too() -> None:
    world = World(golden("create_0011"))
    tokens = shared(world)
    old, new = (world.another(tokens, api_version=version) for version in ("v1", "v2"))
    await old.initialize_payment(request())
    world.script += [golden("gateway_unauthorized"), golden("v2_execute"), golden("execute_sale")]
    assert (await new.execute_payment(CALL)).state is SnapshotState.PAID
    assert (await old.execute_payment(CALL)).state is SnapshotState.PAID
    assert [dict(one.headers)["Authorization"] for one in world.sent] == [
        "token-1",
        "token-1",
        "token-2",
        "token-2",
    ]


async def test_a_token_that_v2s_business_logic_calls_invalid_is_dropped_and_nothing_is_replayed() -> None:
    world = on_v2(refused("2079", "invalid_app_token"), golden("v2_query_completed"))
    with pytest.raises(AuthenticationRejectedError):
        await world.gateway.execute_payment(CALL)
    await world.gateway.get_payment_status(STATUS)
    assert len(world.grants) == 2


# ---------------------------------------------------------------------------------------------------- money is money


async def test_a_decline_says_bkashs_sentence_and_that_nothing_moved() -> None:
    world = on_v2(refused("2023", "insufficient_balance", errorMessageBn="টাকা নেই"))
    with pytest.raises(DeclinedError) as caught:
        await world.gateway.execute_payment(CALL)
    assert (caught.value.final, caught.value.effect) == (True, Effect.REFUSED)
    assert caught.value.reason.text("bn") == "টাকা নেই"


async def test_refunds_go_by_the_pair_that_both_versions_have() -> None:
    world = on_v2(golden("refund_status_v2_none"), golden("refund_v2", refundAmount="5"))

    async def keep(_: object) -> None:
        return None

    found = await world.gateway.refund_payment(replace(REFUND), on_checkpoint=keep)
    assert found.amount == REFUND.amount
    assert [one.url.removeprefix(HOST) for one in world.sent] == [
        "/v2/tokenized-checkout/refund/payment/status",
        "/v2/tokenized-checkout/refund/payment/transaction",
    ]
    assert world.gateway.capabilities.max_refunds == 10


# ---------------------------------------------------------------------------------------------------------- returns


def hint(**params: Any) -> Any:
    return on_v2().gateway.parse_return(params)


def test_a_return_names_a_payment_an_agreement_or_both() -> None:
    payment = hint(paymentID=PAYMENT_ID, status="success", signature="x")
    assert (payment.gateway_reference, payment.agreement_reference) == (PAYMENT_ID, None)
    for name in ("agreementID", "agreementId"):
        agreement = hint(**{name: AGREEMENT_ID}, status="success")
        assert (agreement.gateway_reference, agreement.verdict) == (AGREEMENT_ID, HintVerdict.SUCCESS)
        assert AGREEMENT_ID not in repr(agreement)
    both = hint(paymentID=CHARGE_ID, agreementId=AGREEMENT_ID, status="cancel")
    assert (both.gateway_reference, both.agreement_reference) == (CHARGE_ID, AGREEMENT_ID)
    assert AGREEMENT_ID not in repr(both)
    odd = hint(paymentID=PAYMENT_ID, agreementID="a b", status="success")
    assert (odd.gateway_reference, odd.agreement_reference) == (PAYMENT_ID, None)


@pytest.mark.parametrize(
    "params",
    [
        {"agreementID": "a b"},
        {"agreementID": ["A", "B"]},
        {"agreementID": "A", "agreementId": "B"},
        {"paymentID": ["TR1", "TR2"], "agreementID": "A"},
        {"paymentID": "<script>", "agreementID": "A"},
        {"agreementID": ""},
        {"agreementID": "x" * 256},
    ],
)
def test_a_return_that_names_nothing_or_too_much(params: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        hint(**params, status="success")


def test_the_version_is_public() -> None:
    assert [version.value for version in ApiVersion] == ["v1", "v2"]
