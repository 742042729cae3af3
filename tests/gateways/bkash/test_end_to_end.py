"""Every verb over real HTTP against the local sandbox, whose books are kept apart from the SDK's: on v1.2.0-beta and on
v2, which differ in nothing but holds."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from vextrus_payments.clock import SystemClock, SystemSleeper
from vextrus_payments.errors import (
    AnswerLostError,
    AuthenticationRejectedError,
    DeclinedError,
    Effect,
    GatewayBlockedError,
    OutcomeUnknownError,
    PaymentsError,
    ThrottledError,
    UnreadableAnswerError,
)
from vextrus_payments.events import HintVerdict
from vextrus_payments.gateways.bkash import BkashCheckout, BkashConfig, BkashGateway
from vextrus_payments.money import Money
from vextrus_payments.payment import (
    AgreementRequest,
    Evidence,
    ExecuteCall,
    Intent,
    PaymentRequest,
    PaymentSession,
    RefundCall,
    StatusCall,
)
from vextrus_payments.reasons import ReasonCode
from vextrus_payments.retry import RetryPolicy
from vextrus_payments.snapshots import AgreementState, RefundState, SnapshotState
from vextrus_payments.tokens.cache import TokenCache
from vextrus_payments.tokens.memory import MemoryTokenBackend
from vextrus_payments_sandbox import SandboxServer
from vextrus_payments_sandbox.walk import walk

RETURN = "http://127.0.0.1:9/return"
# One server and one event loop for the module; the sandbox starts over before each test.
pytestmark = pytest.mark.asyncio(loop_scope="module")

HOLDS = pytest.mark.parametrize("shop", ["v1"], indirect=True)
"""Nobody knows how money that is held on v2 is captured."""
REFUNDS = pytest.mark.parametrize(
    ("shop", "api"), [("v1", "v1"), ("v1", "v2"), ("v2", "v2")], indirect=["shop"]
)
BALANCE_LOW = "01823074817"
BLOCKED = "01823074818"


class Shop:
    """A merchant with a gateway, and the sandbox he sells in."""

    def __init__(self, sandbox: SandboxServer, http: httpx.AsyncClient, version: str) -> None:
        self.sandbox = sandbox
        self.version = version
        self.http = http
        self.gateway = self.another()
        self.count = 0

    def config(self, **changes: Any) -> BkashConfig:
        known = self.sandbox.info["gateways"]["bkash"]
        root = known["base_url"]
        given = {
            "api_url": root if self.version == "v1" else root.removesuffix("/v1.2.0-beta") + "/v2",
            **{name: known[name] for name in ("app_key", "app_secret", "username", "password")},
            "callback_url": RETURN,
            **changes,
        }
        return BkashConfig(**given)

    def another(self, **changes: Any) -> BkashGateway:
        return BkashGateway(self.config(**changes), retry=RetryPolicy.never())

    async def session(self, amount: str = "100", **changes: Any) -> PaymentSession:
        self.count += 1
        given = {
            "operation_id": f"order-{self.count}/pay",
            "gateway": "bkash",
            "amount": Money(amount),
            "merchant_reference": f"INV-{self.count}",
            **changes,
        }
        return await self.gateway.initialize_payment(PaymentRequest(**given))

    async def approved(
        self, amount: str = "100", *, wallet: str | None = None, **changes: Any
    ) -> ExecuteCall:
        session = await self.session(amount, **changes)
        wish = {"reference": session.gateway_reference, "outcome": "success", "wallet": wallet}
        (await self.http.post("/_sandbox/approve", json=wish)).raise_for_status()
        return call_of(session)

    async def paid(self, amount: str = "100", **changes: Any) -> tuple[ExecuteCall, str]:
        call = await self.approved(amount, **changes)
        snapshot = await self.gateway.execute_payment(call)
        assert snapshot.transaction_id is not None
        return call, snapshot.transaction_id

    async def fault(self, operation: str, fault: str, times: int = 1) -> None:
        wish = {"gateway": "bkash", "operation": operation, "fault": fault, "times": times}
        (await self.http.post("/_sandbox/faults", json=wish)).raise_for_status()

    async def wire(self) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = (await self.http.get("/_sandbox/wire")).json()["calls"]
        return calls

    async def operations(self) -> list[str]:
        return [call["operation"] for call in await self.wire()]

    async def moved(self) -> list[str]:
        return [call["operation"] for call in await self.wire() if call["moved_money"]]

    async def book(self, reference: str) -> dict[str, Any]:
        books = (await self.http.get("/_sandbox/books")).json()["payments"]
        (row,) = [row for row in books if row["reference"] == reference]
        found: dict[str, Any] = row
        return found


def call_of(session: PaymentSession) -> ExecuteCall:
    return ExecuteCall(
        gateway_reference=session.gateway_reference,
        gateway_order_id=session.gateway_order_id,
        amount=session.amount,
        agreement_id=session.agreement_id,
    )


def status_of(call: ExecuteCall) -> StatusCall:
    return StatusCall(
        gateway_reference=call.gateway_reference, gateway_order_id=call.gateway_order_id, amount=call.amount
    )


def refund_of(call: ExecuteCall, transaction_id: str, amount: str, number: int = 1) -> RefundCall:
    return RefundCall(
        operation_id=f"refund-{number}",
        gateway_reference=call.gateway_reference,
        transaction_id=transaction_id,
        amount=Money(amount),
        reason="returned",
        sku=call.gateway_order_id,
    )


class Keeper:
    """Takes checkpoints."""

    def __init__(self) -> None:
        self.kept: list[Evidence] = []

    async def __call__(self, evidence: Evidence) -> None:
        self.kept.append(evidence)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[SandboxServer]:
    async with SandboxServer(seed=7) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module", params=["v1", "v2"])
async def shop(sandbox: SandboxServer, request: pytest.FixtureRequest) -> AsyncIterator[Shop]:
    async with httpx.AsyncClient(base_url=sandbox.url, trust_env=False, verify=False) as http:
        (await http.post("/_sandbox/reset")).raise_for_status()
        found = Shop(sandbox, http, request.param)
        async with found.gateway:
            yield found
        assert sandbox.world.audit() == [], "the sandbox's own books are in order"


# -------------------------------------------------------------------------------------------------------- a sale


async def test_a_payment_from_the_page_to_the_books(shop: Shop) -> None:
    session = await shop.session("1250.50")
    assert session.checkout_url is not None
    back = (await walk(session.checkout_url)).url
    hint = shop.gateway.parse_return(httpx.URL(back).params)
    assert (hint.gateway_reference, hint.verdict) == (session.gateway_reference, HintVerdict.SUCCESS)
    call = call_of(session)
    assert (await shop.gateway.get_payment_status(status_of(call))).state is SnapshotState.APPROVED
    paid = await shop.gateway.execute_payment(call)
    assert (paid.state, paid.amount) == (SnapshotState.PAID, Money("1250.50"))
    assert paid.payer_account == "01770618575"
    assert await shop.operations() == ["grant", "create", "query", "execute"]
    row = await shop.book(session.gateway_reference)
    assert (row["transaction_id"], row["amount"], row["invoice"]) == (paid.transaction_id, "1250.50", "INV-1")
    assert paid.transaction_id is not None
    found = await shop.gateway.search_transaction(paid.transaction_id)
    assert found is not None and found.amount == Money("1250.50")
    assert await shop.gateway.search_transaction("CLH30NONE0") is None


async def test_a_double_click_moves_money_once(shop: Shop) -> None:
    call, transaction_id = await shop.paid()
    again = await shop.gateway.execute_payment(call)
    assert (again.state, again.transaction_id) == (SnapshotState.PAID, transaction_id)
    assert await shop.moved() == ["execute"]


async def test_a_payer_who_cancels(shop: Shop) -> None:
    session = await shop.session()
    assert session.checkout_url is not None
    hint = shop.gateway.parse_return(
        httpx.URL((await walk(session.checkout_url, action="Cancel")).url).params
    )
    assert hint.verdict is HintVerdict.CANCEL
    call = call_of(session)
    assert (await shop.gateway.get_payment_status(status_of(call))).state is SnapshotState.CANCELLED
    with pytest.raises(DeclinedError) as caught:
        await shop.gateway.execute_payment(call)
    assert (caught.value.final, caught.value.reason.code) == (True, ReasonCode.PAYMENT_CANCELLED)


async def test_a_forged_return_declines_nothing(shop: Shop) -> None:
    session = await shop.session()
    call = call_of(session)
    with pytest.raises(DeclinedError) as caught:
        await shop.gateway.execute_payment(call)
    assert (caught.value.final, caught.value.look_up_first) == (False, False)
    assert caught.value.reason.code is ReasonCode.PAYER_NOT_FINISHED
    assert session.checkout_url is not None
    await walk(session.checkout_url)
    assert (await shop.gateway.execute_payment(call)).state is SnapshotState.PAID


@pytest.mark.parametrize(
    ("wallet", "code", "reason"),
    [
        (BALANCE_LOW, "2023", ReasonCode.INSUFFICIENT_BALANCE),
        (BLOCKED, "2037", ReasonCode.ACCOUNT_BLOCKED),
    ],
)
async def test_the_failing_wallets(shop: Shop, wallet: str, code: str, reason: ReasonCode) -> None:
    call = await shop.approved(wallet=wallet)
    with pytest.raises(DeclinedError) as caught:
        await shop.gateway.execute_payment(call)
    error = caught.value
    assert (error.code, error.final, error.reason.code) == (code, True, reason)
    assert error.effect is Effect.REFUSED
    assert await shop.moved() == []


async def test_the_same_amount_twice_within_two_minutes(shop: Shop) -> None:
    await shop.paid("77")
    call = await shop.approved("77")
    with pytest.raises(DeclinedError) as caught:
        await shop.gateway.execute_payment(call)
    assert (caught.value.code, caught.value.reason.code) == ("2029", ReasonCode.DUPLICATE_PAYMENT)


async def test_an_id_of_nobody(shop: Shop) -> None:
    call = ExecuteCall(
        gateway_reference="TR0011none1766000000123", gateway_order_id="INV-9", amount=Money("5")
    )
    with pytest.raises(DeclinedError) as caught:
        await shop.gateway.execute_payment(call)
    assert (caught.value.code, caught.value.final) == ("2002", False)
    with pytest.raises(DeclinedError) as looked:
        await shop.gateway.get_payment_status(status_of(call))
    assert not looked.value.final


# -------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    "fault",
    ["drop_after", "drop_mid_body", "error_5xx_after", "malformed", "html", "message_only", "code_after",
     "code_after;code=2003", "code_after;code=1111", "code_after;code=2117", "code_after;code=503"],
)  # fmt: skip
async def test_money_that_moved_behind_a_lost_answer_is_found(shop: Shop, fault: str) -> None:
    call = await shop.approved()
    await shop.fault("execute", fault)
    paid = await shop.gateway.execute_payment(call)
    assert paid.state is SnapshotState.PAID
    assert await shop.moved() == ["execute"]
    assert (await shop.operations())[-2:] == ["execute", "query"]


@pytest.mark.parametrize(
    "fault", ["drop_after", "drop_before", "error_5xx_after", "code_after", "html_before", "forbidden"]
)
async def test_what_a_blind_look_up_leaves_open_is_never_called_failed(shop: Shop, fault: str) -> None:
    call = await shop.approved()
    await shop.fault("execute", fault)
    await shop.fault("query", "drop_before")
    with pytest.raises((OutcomeUnknownError, GatewayBlockedError)) as caught:
        await shop.gateway.execute_payment(call)
    assert caught.value.effect is Effect.UNKNOWN
    executes = [name for name in await shop.operations() if name == "execute"]
    assert executes == ["execute"], "nothing that may move money is sent twice"
    seen = await shop.gateway.get_payment_status(status_of(call))
    moved = await shop.moved()
    assert (seen.state is SnapshotState.PAID) is bool(moved)


@pytest.mark.parametrize(
    "fault", ["drop_before", "error_5xx_before", "malformed_before", "message_only_before", "code_before"]
)
async def test_an_early_look_up_proves_no_failure(shop: Shop, fault: str) -> None:
    call = await shop.approved()
    await shop.fault("execute", fault)
    with pytest.raises(OutcomeUnknownError) as caught:
        await shop.gateway.execute_payment(call)
    assert caught.value.effect is Effect.UNKNOWN
    assert await shop.moved() == []


async def test_an_expired_token_is_replaced_and_the_call_replayed(shop: Shop) -> None:
    call = await shop.approved()
    await shop.fault("execute", "expired_token")
    assert (await shop.gateway.execute_payment(call)).state is SnapshotState.PAID
    assert await shop.operations() == ["grant", "create", "execute", "grant", "execute"]
    assert await shop.moved() == ["execute"]


async def test_a_throttled_call_did_nothing(shop: Shop) -> None:
    call = await shop.approved()
    await shop.fault("execute", "throttled")
    with pytest.raises(ThrottledError) as caught:
        await shop.gateway.execute_payment(call)
    assert caught.value.effect is Effect.NONE
    assert (await shop.gateway.execute_payment(call)).state is SnapshotState.PAID


@pytest.mark.parametrize("fault", ["drop_after", "error_5xx_after", "malformed", "code_after"])
async def test_a_lost_create_is_simply_made_anew(shop: Shop, fault: str) -> None:
    await shop.fault("create", fault)
    with pytest.raises(PaymentsError) as caught:
        await shop.session()
    assert caught.value.effect is Effect.NONE
    assert (await shop.session()).checkout_url


async def test_wrong_credentials_are_named_and_not_tried_again(shop: Shop) -> None:
    known = shop.sandbox.info["gateways"]["bkash"]
    config = BkashConfig(
        api_url=known["base_url"],
        app_key=known["app_key"],
        app_secret="wrong",
        username=known["username"],
        password=known["password"],
        callback_url=RETURN,
    )
    async with BkashGateway(config) as gateway:
        call = ExecuteCall(gateway_reference="TR1", gateway_order_id="I", amount=Money("5"))
        with pytest.raises(AuthenticationRejectedError) as caught:
            await gateway.execute_payment(call)
    assert caught.value.effect is Effect.NONE
    assert await shop.operations() == ["grant"]


async def test_bearer_merchants_are_served_too(shop: Shop) -> None:
    async with shop.another(auth_scheme="bearer") as gateway:
        shop.gateway = gateway
        await shop.paid()


# --------------------------------------------------------------------------------------------- authorize and capture


@HOLDS
async def test_an_authorization_is_captured_once(shop: Shop) -> None:
    call = await shop.approved(intent=Intent.AUTHORIZATION)
    held = await shop.gateway.execute_payment(call)
    assert held.state is SnapshotState.AUTHORIZED
    captured = await shop.gateway.capture_payment(call)
    assert (captured.state, captured.amount) == (SnapshotState.PAID, Money("100"))
    again = await shop.gateway.capture_payment(call)
    assert (again.state, again.transaction_id) == (SnapshotState.PAID, captured.transaction_id)
    with pytest.raises(DeclinedError) as caught:
        await shop.gateway.void_payment(call)
    assert caught.value.final
    assert (await shop.book(call.gateway_reference))["amount"] == "100.00"


@HOLDS
async def test_an_authorization_is_voided_once(shop: Shop) -> None:
    call = await shop.approved(intent=Intent.AUTHORIZATION)
    await shop.gateway.execute_payment(call)
    assert (await shop.gateway.void_payment(call)).state is SnapshotState.VOIDED
    assert (await shop.gateway.void_payment(call)).state is SnapshotState.VOIDED
    with pytest.raises(DeclinedError) as caught:
        await shop.gateway.capture_payment(call)
    assert (caught.value.final, caught.value.reason.code) == (True, ReasonCode.PAYMENT_CANCELLED)


@HOLDS
async def test_both_spellings_of_the_void_route(shop: Shop) -> None:
    async with shop.another(void_path="confirm/capture/void") as gateway:
        shop.gateway = gateway
        call = await shop.approved(intent=Intent.AUTHORIZATION)
        await gateway.execute_payment(call)
        assert (await gateway.void_payment(call)).state is SnapshotState.VOIDED
    assert (await shop.wire())[-1]["path"].endswith("/confirm/capture/void")


@pytest.mark.parametrize("fault", ["drop_after", "error_5xx_after", "malformed", "code_after"])
@HOLDS
@pytest.mark.parametrize(("verb", "state"), [("capture", SnapshotState.PAID), ("void", SnapshotState.VOIDED)])
async def test_a_lost_capture_or_void_is_found(
    shop: Shop, fault: str, verb: str, state: SnapshotState
) -> None:
    call = await shop.approved(intent=Intent.AUTHORIZATION)
    await shop.gateway.execute_payment(call)
    await shop.fault(verb, fault)
    assert (await getattr(shop.gateway, f"{verb}_payment")(call)).state is state
    assert (await shop.operations()).count(verb) == 1


# ------------------------------------------------------------------------------------------------------- refunds


@REFUNDS
async def test_partial_refunds(shop: Shop, api: str) -> None:
    async with shop.another(refund_api=api) as gateway:
        shop.gateway = gateway
        call, transaction_id = await shop.paid("100")
        amounts = ["30", "30"] if api == "v2" else ["30"]
        for number, amount in enumerate(amounts):
            refund = await gateway.refund_payment(
                refund_of(call, transaction_id, amount, number), on_checkpoint=Keeper()
            )
            assert (refund.state, refund.amount) == (RefundState.COMPLETED, Money(amount))
        shown = await gateway.get_refund_status(refund_of(call, transaction_id, "1"))
        assert [one.amount for one in shown] == [Money(amount) for amount in amounts]
        with pytest.raises(DeclinedError) as caught:
            await gateway.refund_payment(refund_of(call, transaction_id, "71"), on_checkpoint=Keeper())
        assert (caught.value.final, caught.value.reason.code) == (True, ReasonCode.REFUND_AMOUNT_INVALID)
    row = await shop.book(call.gateway_reference)
    assert Money(row["refunded"]) == Money("30") + (Money("30") if api == "v2" else Money("0"))


@REFUNDS
@pytest.mark.parametrize(
    "fault", ["drop_after", "drop_mid_body", "error_5xx_after", "malformed", "html", "code_after"]
)
async def test_a_lost_refund_is_found_and_never_made_twice(shop: Shop, api: str, fault: str) -> None:
    async with shop.another(refund_api=api) as gateway:
        shop.gateway = gateway
        call, transaction_id = await shop.paid("100")
        await shop.fault("refund", fault)
        refund = await gateway.refund_payment(refund_of(call, transaction_id, "40"), on_checkpoint=Keeper())
        assert refund.state is RefundState.COMPLETED
    assert (await shop.book(call.gateway_reference))["refunded"] == "40.00"
    assert (await shop.moved()).count("refund") == 1


async def test_an_unknown_refund_is_recovered_from_its_baseline(shop: Shop) -> None:
    call, transaction_id = await shop.paid("100")
    await shop.gateway.refund_payment(refund_of(call, transaction_id, "40"), on_checkpoint=Keeper())
    keeper = Keeper()

    async def go_dark(evidence: Evidence) -> None:
        await keeper(evidence)
        await shop.fault("refund", "drop_after")
        await shop.fault("refund_status", "drop_before")

    wish = refund_of(call, transaction_id, "40", 2)
    with pytest.raises(AnswerLostError) as caught:
        await shop.gateway.refund_payment(wish, on_checkpoint=go_dark)
    assert caught.value.effect is Effect.UNKNOWN
    resumed = await shop.gateway.refund_payment(wish, resume=keeper.kept[0])
    looked = await shop.gateway.look_up_refund(wish, resume=keeper.kept[0])
    assert looked == resumed
    assert (await shop.moved()).count("refund") == 2
    assert (await shop.book(call.gateway_reference))["refunded"] == "80.00"


async def test_a_refund_without_a_baseline_is_not_sent(shop: Shop) -> None:
    call, transaction_id = await shop.paid("100")
    await shop.fault("refund_status", "malformed_before")
    with pytest.raises(PaymentsError) as caught:
        await shop.gateway.refund_payment(refund_of(call, transaction_id, "40"), on_checkpoint=Keeper())
    assert caught.value.effect is Effect.NONE
    assert "refund" not in await shop.operations()


# ----------------------------------------------------------------------------------------------------- agreements


async def test_an_agreement_is_made_charged_and_ended(shop: Shop) -> None:
    gateway = shop.gateway
    session = await gateway.create_agreement(AgreementRequest(payer_reference="01770618575"))
    assert session.checkout_url is not None
    with pytest.raises(DeclinedError) as early:
        await gateway.execute_agreement(session.gateway_reference)
    assert not early.value.final
    hint = gateway.parse_return(httpx.URL((await walk(session.checkout_url)).url).params)
    assert (hint.gateway_reference, hint.verdict) == (session.gateway_reference, HintVerdict.SUCCESS)
    agreement = await gateway.execute_agreement(session.gateway_reference)
    assert agreement.state is AgreementState.ACTIVE and agreement.agreement_id is not None
    again = await gateway.execute_agreement(session.gateway_reference)
    assert again.agreement_id == agreement.agreement_id
    assert (await gateway.get_agreement_status(agreement.agreement_id)).state is AgreementState.ACTIVE

    params = BkashCheckout(agreement_id=agreement.agreement_id)
    charge = await shop.session("55", params=params)
    assert charge.checkout_url is not None
    await walk(charge.checkout_url)
    assert (await gateway.execute_payment(call_of(charge))).state is SnapshotState.PAID

    for _ in range(2):
        ended = await gateway.cancel_agreement(agreement.agreement_id)
        assert ended.state is AgreementState.CANCELLED
    with pytest.raises(DeclinedError) as caught:
        await shop.session("56", params=params)
    assert caught.value.reason.code is ReasonCode.INVALID_AGREEMENT


async def test_a_lost_charge_of_an_agreement_is_found(shop: Shop) -> None:
    session = await shop.gateway.create_agreement(AgreementRequest(payer_reference="01770618575"))
    assert session.checkout_url is not None
    await walk(session.checkout_url)
    agreement = await shop.gateway.execute_agreement(session.gateway_reference)
    charge = await shop.session("55", params=BkashCheckout(agreement_id=agreement.agreement_id))
    assert charge.checkout_url is not None
    await walk(charge.checkout_url)
    await shop.fault("execute", "drop_after")
    assert (await shop.gateway.execute_payment(call_of(charge))).state is SnapshotState.PAID
    assert (await shop.moved()).count("execute") == 1


async def test_a_lost_agreement_execute_is_found(shop: Shop) -> None:
    session = await shop.gateway.create_agreement(AgreementRequest(payer_reference="01770618575"))
    assert session.checkout_url is not None
    await walk(session.checkout_url)
    await shop.fault("execute", "drop_after")
    agreement = await shop.gateway.execute_agreement(session.gateway_reference)
    assert agreement.state is AgreementState.ACTIVE


# ----------------------------------------------------------------------------------------------- two versions at once


@pytest.mark.parametrize("shop", ["v2"], indirect=True)
async def test_a_tenant_on_v1_and_one_on_v2_share_one_grant_and_one_set_of_payments(shop: Shop) -> None:
    clock = SystemClock()
    cache = TokenCache(MemoryTokenBackend(), clock=clock, sleeper=SystemSleeper())
    root = shop.gateway.config.api_url
    old_config = shop.config(api_url=root.removesuffix("/v2") + "/v1.2.0-beta")
    async with (
        BkashGateway(shop.config(), tokens=cache, tenant="new") as new,
        BkashGateway(old_config, tokens=cache, tenant="old") as old,
    ):
        shop.gateway = new
        call, transaction_id = await shop.paid("100")
        shop.gateway = old
        other, _ = await shop.paid("110")
        assert (await old.get_payment_status(status_of(call))).state is SnapshotState.PAID
        assert (await new.get_payment_status(status_of(other))).state is SnapshotState.PAID
        await old.refund_payment(refund_of(call, transaction_id, "10"), on_checkpoint=Keeper())
    assert (await shop.operations()).count("grant") == 1
    assert sorted({path.split("/")[1] for path in (one["path"] for one in await shop.wire())}) == [
        "v1.2.0-beta",
        "v2",
    ]


# -------------------------------------------------------------------------------------------------------- manners


async def test_the_sandbox_has_nothing_to_object_to(shop: Shop) -> None:
    call, transaction_id = await shop.paid("100")
    await shop.gateway.refund_payment(refund_of(call, transaction_id, "10"), on_checkpoint=Keeper())
    lost = await shop.approved("200")
    await shop.fault("execute", "drop_after")
    await shop.gateway.execute_payment(lost)
    notes = (await shop.http.get("/_sandbox/grants")).json()
    assert notes["manners"] == []
    assert len(notes["grants"]) == 1


async def test_a_page_in_place_of_an_answer_is_typed(shop: Shop) -> None:
    call = await shop.approved()
    await shop.fault("query", "html_before")
    with pytest.raises((GatewayBlockedError, UnreadableAnswerError)) as caught:
        await shop.gateway.get_payment_status(status_of(call))
    assert caught.value.effect is Effect.NONE


async def test_credentials_reach_the_wire_as_they_are() -> None:
    """A password with signs and letters beyond ASCII arrives byte for byte: nothing encoded, nothing trimmed."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head)
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        body = b'{"status":"fail","msg":"no"}'
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        config = BkashConfig(
            api_url=f"http://127.0.0.1:{port}/v1.2.0-beta",
            app_key="sandbox-key",
            app_secret="sandbox-secret",
            username="sandbox-user",
            password="a <*@^ b é বাংলা",
            callback_url=RETURN,
        )
        async with BkashGateway(config) as gateway:
            call = ExecuteCall(gateway_reference="TR1", gateway_order_id="I", amount=Money("5"))
            with pytest.raises(AuthenticationRejectedError):
                await gateway.execute_payment(call)
    assert len(seen) == 1
    assert "\r\npassword: a <*@^ b é বাংলা\r\n".encode() in seen[0]
