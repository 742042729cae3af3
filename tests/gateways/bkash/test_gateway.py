"""The gateway class over a scripted transport: tokens and their budget, replays, manners, what is refused unsent."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.gateways.bkash.hand import (
    AMOUNT,
    CALL,
    GOLDEN,
    PAYMENT_ID,
    REFUND,
    STATUS,
    TRX_ID,
    code,
    golden,
)
from vextrus_payments.capabilities import Absence, Completion, RefundCorrelation
from vextrus_payments.config import GatewayConfig
from vextrus_payments.errors import (
    AmountError,
    AnswerTimeoutError,
    AuthenticationRejectedError,
    ConfigurationError,
    CurrencyNotSupportedError,
    DeclinedError,
    Effect,
    GatewayError,
    InvalidRequestError,
    NotSentError,
    OutcomeUnknownError,
    PaymentsError,
    SignatureError,
    ThrottledError,
    UnreadableAnswerError,
)
from vextrus_payments.events import Delivery, HintVerdict
from vextrus_payments.gateways.bkash import BkashCheckout, BkashConfig, BkashGateway, adapter
from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.gateways.bkash import v2_models as v2
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import (
    AgreementRequest,
    Customer,
    Evidence,
    Intent,
    PaymentRequest,
    ProviderParams,
    RefundCall,
)
from vextrus_payments.reasons import ReasonCode
from vextrus_payments.records import Exchange
from vextrus_payments.snapshots import AgreementState, SnapshotState
from vextrus_payments.testing import FakeClock, FakeEntropy, FakeSleeper, ScriptedTransport, SecretCanary
from vextrus_payments.testing.scripted import Line, Script, answer, lost, not_sent, timed_out
from vextrus_payments.tokens.cache import TokenCache
from vextrus_payments.tokens.memory import MemoryTokenBackend
from vextrus_payments.wire import CallContext, Safety, SendBy, WireRequest, WireResponse

GOOD: dict[str, Any] = {
    "app_key": "the-app-key",
    "app_secret": "the-app-secret",
    "username": "the-username",
    "password": "p<*@^",
    "callback_url": "https://shop.example/bkash/return",
}
GRANT = m.PATH_GRANT


class World:
    """A gateway over a scripted transport. Grants answer by themselves; everything else takes the script."""

    def __init__(self, *script: Script | WireResponse, **config: Any) -> None:
        self.clock = FakeClock()
        self.script: list[Script | WireResponse] = list(script)
        self.grants: list[WireRequest] = []
        self.grant_answers: list[Script | WireResponse] = []
        self.transport = ScriptedTransport(then=self.play, clock=self.clock)
        self.gateway = self.another(**config)

    def another(self, tokens: TokenCache | None = None, **config: Any) -> BkashGateway:
        return BkashGateway(
            BkashConfig(**{**GOOD, **config}),
            transport=self.transport,
            tokens=tokens,
            clock=self.clock,
            sleeper=FakeSleeper(self.clock),
            entropy=FakeEntropy(),
        )

    def play(self, request: WireRequest) -> Line:
        if request.url.endswith((m.PATH_GRANT, m.PATH_REFRESH, v2.PATH_GRANT, v2.PATH_REFRESH)):
            self.grants.append(request)
            if self.grant_answers:
                return self._line(self.grant_answers.pop(0), request)
            return self._line(golden("grant", id_token=f"token-{len(self.grants)}"), request)
        assert self.script, f"nobody foresaw {request!r}"
        return self._line(self.script.pop(0), request)

    @staticmethod
    def _line(found: Script | WireResponse, request: WireRequest) -> Line:
        if isinstance(found, WireResponse):
            return answer(found.status, found.body)
        return found if isinstance(found, Line) else found(request)

    @property
    def sent(self) -> list[WireRequest]:
        """What was sent, the grants left out."""
        return [one.request for one in self.transport.sends if one.request not in self.grants]

    def headers(self, index: int = -1) -> dict[str, str]:
        return dict(self.sent[index].headers)

    def body(self, index: int = -1) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.sent[index].body)
        return found


def request(**changes: Any) -> PaymentRequest:
    given = {
        "operation_id": "order-1/pay",
        "gateway": "bkash",
        "amount": AMOUNT,
        "merchant_reference": "INV-1",
        **changes,
    }
    return PaymentRequest(**given)


PAID = golden("execute_sale")
UNAUTHORIZED = golden("gateway_unauthorized")
COMPLETED = golden("query_completed", paymentID=PAYMENT_ID, amount="15", merchantInvoice="INV-1")
INITIATED = golden("query_initiated", paymentID=PAYMENT_ID, amount="15", merchantInvoice="INV-1")


# -------------------------------------------------------------------------------------------------- initialize


async def test_a_session() -> None:
    world = World(golden("create_0011"))
    session = await world.gateway.initialize_payment(request(), payment_id="pay_1", submission_no=1)
    assert session.gateway_reference == PAYMENT_ID
    assert (session.payment_id, session.gateway_order_id, session.mode) == ("pay_1", "INV-1", Mode.SANDBOX)
    assert session.expires_at == world.clock.now() + timedelta(hours=24)
    assert session.checkout_url is not None and session.checkout_url.endswith("apiVersion=v1.2.0-beta/")
    assert world.headers() == {
        "Authorization": "token-1",
        "X-App-Key": "the-app-key",
        "Accept": "application/json",
        "Content-Type": "application/json",
    }
    assert world.body()["callbackURL"] == "https://shop.example/bkash/return"
    assert world.sent[0].url == "https://tokenized.sandbox.bka.sh/v1.2.0-beta/tokenized/checkout/create"


async def test_each_submission_has_an_order_id_of_its_own() -> None:
    world = World(golden("create_0011", merchantInvoiceNumber="INV-1-3"))
    session = await world.gateway.initialize_payment(request(), submission_no=3)
    assert (session.gateway_order_id, session.submission_no) == ("INV-1-3", 3)
    assert world.body()["merchantInvoiceNumber"] == "INV-1-3"
    assert session.payment_id.startswith("pay_")


@pytest.mark.parametrize(
    ("customer", "params", "expected"),
    [
        (None, None, "INV-1"),
        (Customer(msisdn="01770618575"), None, "01770618575"),
        (Customer(reference="c-9", msisdn="01770618575"), None, "c-9"),
        (Customer(reference="c-9"), BkashCheckout(payer_reference="p-1"), "p-1"),
    ],
)
async def test_the_payer_reference(customer: Any, params: Any, expected: str) -> None:
    world = World(golden("create_0011"))
    await world.gateway.initialize_payment(request(customer=customer, params=params))
    assert world.body()["payerReference"] == expected


async def test_bkashs_own_parameters_travel() -> None:
    world = World(golden("create_0001", amount="15", merchantInvoiceNumber="INV-1", bkashURL=None))
    params = BkashCheckout(agreement_id="A1", merchant_association_info="MI05MID54")
    session = await world.gateway.initialize_payment(request(params=params))
    assert session.checkout_url is None, "nothing to visit: execute now"
    assert (world.body()["mode"], world.body()["agreementID"]) == ("0001", "A1")


async def test_the_callback_is_the_argument_else_the_configurations() -> None:
    world = World(golden("create_0011"))
    await world.gateway.initialize_payment(request(), callback_url="https://shop.example/x?y=1")
    assert world.body()["callbackURL"] == "https://shop.example/x?y=1"
    world = World(callback_url=None)
    with pytest.raises(ConfigurationError, match="BKASH_CALLBACK_URL") as caught:
        await world.gateway.initialize_payment(request())
    assert caught.value.code == "callback_url_missing"
    assert not world.transport.sends


class OtherParams(ProviderParams, frozen=True):
    """Another gateway's parameters."""


@pytest.mark.parametrize(
    ("changes", "arguments", "kind", "field"),
    [
        ({"gateway": "nagad"}, {}, InvalidRequestError, "gateway"),
        ({"amount": Money("0.99")}, {}, AmountError, "amount"),
        ({"amount": Money("5", "USD")}, {}, CurrencyNotSupportedError, "amount"),
        ({}, {"gateway_order_id": "a<b"}, InvalidRequestError, "gateway_order_id"),
        ({}, {"gateway_order_id": "x" * 256}, InvalidRequestError, "gateway_order_id"),
        ({}, {"gateway_order_id": "চালান-১"}, InvalidRequestError, "gateway_order_id"),
        ({}, {"callback_url": "ftp://shop.example"}, InvalidRequestError, "callback_url"),
        ({}, {"callback_url": "https://shop.example/#here"}, InvalidRequestError, "callback_url"),
        ({}, {"callback_url": "https://a\r\nb"}, InvalidRequestError, "callback_url"),
        ({"customer": Customer(reference="a&b")}, {}, InvalidRequestError, "customer.reference"),
        ({"customer": Customer(msisdn="a<b")}, {}, InvalidRequestError, "customer.msisdn"),
        ({"params": OtherParams()}, {}, InvalidRequestError, "params"),
    ],
)
async def test_what_bkash_would_refuse_is_refused_unsent(
    changes: dict[str, Any], arguments: dict[str, Any], kind: type[InvalidRequestError], field: str
) -> None:
    world = World()
    with pytest.raises(kind) as caught:
        await world.gateway.initialize_payment(request(**changes), **arguments)
    assert (caught.value.field, caught.value.effect) == (field, Effect.NONE)
    assert caught.value.rule
    assert not world.transport.sends, "not even a token was asked for"


async def test_live_sends_nobody_back_over_http() -> None:
    cache = durable_cache(World())
    gateway = World().another(tokens=cache, mode="live")
    with pytest.raises(InvalidRequestError, match="https in live mode"):
        await gateway.initialize_payment(request(), callback_url="http://shop.example/return")


@pytest.mark.parametrize("bad", ["", "a b", "x" * 256, "TR\n1", "TR১"])
async def test_an_id_that_is_none_is_refused_unsent(bad: str) -> None:
    from dataclasses import replace

    world = World()
    gateway = world.gateway

    async def keep(_: Evidence) -> None:
        """Never called."""

    calls: list[Callable[[], Any]] = [
        lambda: gateway.execute_payment(replace(CALL, gateway_reference=bad)),
        lambda: gateway.get_payment_status(replace(STATUS, gateway_reference=bad)),
        lambda: gateway.capture_payment(replace(CALL, gateway_reference=bad)),
        lambda: gateway.void_payment(replace(CALL, gateway_reference=bad)),
        lambda: gateway.refund_payment(replace(REFUND, gateway_reference=bad), on_checkpoint=keep),
        lambda: gateway.refund_payment(replace(REFUND, transaction_id=bad), on_checkpoint=keep),
        lambda: gateway.get_refund_status(replace(REFUND, transaction_id=bad)),
        lambda: gateway.search_transaction(bad),
        lambda: gateway.execute_agreement(bad),
        lambda: gateway.get_agreement_status(bad),
        lambda: gateway.cancel_agreement(bad),
    ]
    for call in calls:
        with pytest.raises(InvalidRequestError):
            await call()
    assert not world.transport.sends


# ------------------------------------------------------------------------------------------- tokens and manners


async def test_one_token_serves_all_calls_and_its_headers_are_made_once() -> None:
    world = World(PAID, COMPLETED, golden("search", trxID=TRX_ID))
    await world.gateway.execute_payment(CALL)
    await world.gateway.get_payment_status(STATUS)
    first = await world.gateway.authorize(CallContext())
    await world.gateway.search_transaction(TRX_ID)
    assert await world.gateway.authorize(CallContext()) is first
    assert len(world.grants) == 1
    assert "token-1" not in repr(first)


async def test_a_grant_shows_no_token_and_carries_the_password_as_it_is() -> None:
    world = World(PAID)
    await world.gateway.execute_payment(CALL)
    headers = dict(world.grants[0].headers)
    assert (headers["username"], headers["password"]) == ("the-username", "p<*@^")
    assert "Authorization" not in headers and "X-App-Key" not in headers
    assert (
        world.grants[0].url == "https://tokenized.sandbox.bka.sh/v1.2.0-beta/tokenized/checkout/token/grant"
    )


async def test_a_bearer_merchant() -> None:
    world = World(PAID, auth_scheme="bearer")
    await world.gateway.execute_payment(CALL)
    assert world.headers()["Authorization"] == "Bearer token-1"


async def test_a_good_execute_is_followed_by_nothing() -> None:
    world = World(PAID)
    snapshot = await world.gateway.execute_payment(CALL)
    assert snapshot.state is SnapshotState.PAID
    assert [one.url.rpartition("/")[2] for one in world.sent] == ["execute"]


async def test_never_more_than_two_grants_in_an_hour() -> None:
    world = World(*[UNAUTHORIZED] * 20)
    seen: list[PaymentsError] = []
    for _ in range(5):
        with pytest.raises(GatewayError) as caught:
            await world.gateway.execute_payment(CALL)
        seen.append(caught.value)
    assert len(world.grants) == 2
    assert all(error.effect is Effect.NONE for error in seen), "a 401 stands before any business logic"
    last = seen[-1]
    assert isinstance(last, ThrottledError)
    assert last.retry_after_s is not None and 3500 < last.retry_after_s <= 3600


async def test_the_budget_is_per_hour() -> None:
    world = World(PAID, PAID, PAID)
    await world.gateway.execute_payment(CALL)
    for _ in range(2):
        world.clock.advance(3601)
        await world.gateway.execute_payment(CALL)
    assert len(world.grants) == 3
    assert [dict(one.headers)["Authorization"] for one in world.sent] == ["token-1", "token-2", "token-3"]


async def test_a_rejected_token_is_replaced_and_the_call_replayed_once() -> None:
    world = World(UNAUTHORIZED, answer(200, PAID.body, effect=True))
    snapshot = await world.gateway.execute_payment(CALL)
    assert snapshot.state is SnapshotState.PAID
    assert [dict(one.headers)["Authorization"] for one in world.sent] == ["token-1", "token-2"]
    assert world.transport.effects == 1


async def test_a_token_rejected_twice_moved_nothing() -> None:
    world = World(UNAUTHORIZED, golden("gateway_token_expired"))
    with pytest.raises(AuthenticationRejectedError) as caught:
        await world.gateway.execute_payment(CALL)
    assert caught.value.effect is Effect.NONE
    assert len(world.sent) == 2


async def test_a_401_that_is_not_listed_is_not_replayed() -> None:
    world = World(answer(401, {"message": "Unauthorized", "trxID": "X"}), INITIATED)
    with pytest.raises(UnreadableAnswerError) as caught:
        await world.gateway.execute_payment(CALL)
    assert caught.value.effect is Effect.UNKNOWN
    assert [one.url.rpartition("/")[2] for one in world.sent] == ["execute", "status"]


async def test_an_invalid_app_token_is_dropped_without_a_replay() -> None:
    world = World(code("2079"), PAID)
    with pytest.raises(AuthenticationRejectedError) as caught:
        await world.gateway.execute_payment(CALL)
    assert (caught.value.code, caught.value.effect) == ("2079", Effect.REFUSED)
    assert len(world.sent) == 1
    await world.gateway.execute_payment(CALL)
    assert world.headers()["Authorization"] == "token-2"


async def test_other_refusals_keep_the_token() -> None:
    world = World(code("2001"), PAID)
    with pytest.raises(AuthenticationRejectedError):
        await world.gateway.execute_payment(CALL)
    await world.gateway.execute_payment(CALL)
    assert len(world.grants) == 1


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (golden("grant_failed_msg"), AuthenticationRejectedError),
        (UNAUTHORIZED, AuthenticationRejectedError),
        (golden("grant_9999"), NotSentError),
        (timed_out(), NotSentError),
        (lost(), NotSentError),
        (not_sent("dns"), NotSentError),
    ],
)
async def test_without_a_token_nothing_moves(refusal: Any, kind: type[GatewayError]) -> None:
    world = World()
    world.grant_answers = [refusal] * 5
    with pytest.raises(kind) as caught:
        await world.gateway.execute_payment(CALL)
    assert caught.value.effect is Effect.NONE
    assert not world.sent


async def test_a_look_up_without_a_token_does_not_close_an_open_outcome() -> None:
    world = World(timed_out(effect=True, takes_s=4000))  # the token is over when the look-up needs one
    world.grant_answers = [golden("grant"), golden("grant_failed_msg")]
    with pytest.raises(AnswerTimeoutError) as caught:
        await world.gateway.execute_payment(CALL)
    assert caught.value.effect is Effect.UNKNOWN
    assert len(world.grants) == 2


async def test_two_tenants_on_one_merchant_share_one_budget() -> None:
    world = World(PAID, PAID)
    cache = TokenCache(
        MemoryTokenBackend(), clock=world.clock, sleeper=FakeSleeper(world.clock), entropy=FakeEntropy()
    )
    for _ in range(2):
        await world.another(tokens=cache).execute_payment(CALL)
    assert len(world.grants) == 1, "the same secrets: one token"
    world.script = [PAID]
    await world.another(tokens=cache, app_secret="another").execute_payment(CALL)
    assert len(world.grants) == 2, "other secrets: a token of their own"
    with pytest.raises(ThrottledError):
        await world.another(tokens=cache, password="another").execute_payment(CALL)
    assert len(world.grants) == 2, "but one budget for all who name the merchant"
    world.script = [PAID]
    await world.another(tokens=cache, username="another-merchant").execute_payment(CALL)
    assert len(world.grants) == 3


async def test_refreshing_is_a_choice() -> None:
    world = World(PAID, PAID, use_refresh=True)
    await world.gateway.execute_payment(CALL)
    world.clock.advance(3601)
    await world.gateway.execute_payment(CALL)
    assert [one.url.rpartition("/")[2] for one in world.grants] == ["grant", "refresh"]
    assert json.loads(world.grants[1].body)["refresh_token"] == "eyJjdHki..."
    world = World(PAID, PAID)
    await world.gateway.execute_payment(CALL)
    world.clock.advance(3601)
    await world.gateway.execute_payment(CALL)
    assert [one.url.rpartition("/")[2] for one in world.grants] == ["grant", "grant"]


class DurableBackend(MemoryTokenBackend):
    """A memory that says it is durable: the live rule is about that word."""

    @property
    def durable(self) -> bool:
        return True


def durable_cache(world: World, **changes: Any) -> TokenCache:
    return TokenCache(DurableBackend(), clock=world.clock, sleeper=FakeSleeper(world.clock), **changes)


def test_live_mode_wants_tokens_that_survive_a_restart() -> None:
    world = World()
    with pytest.raises(ConfigurationError, match="memory"):
        world.another(mode="live")
    memory = TokenCache(MemoryTokenBackend(), clock=world.clock)
    with pytest.raises(ConfigurationError, match="memory"):
        world.another(mode="live", tokens=memory)
    assert world.another(mode="live", tokens=durable_cache(world)).mode is Mode.LIVE


def test_a_cache_that_waits_shorter_than_a_grant_may_take_is_refused() -> None:
    world = World()
    with pytest.raises(ConfigurationError, match="answer_s"):
        world.another(tokens=durable_cache(world, answer_s=10.0), timeout_s=30)


def test_a_configuration_of_something_else_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="BkashConfig"):
        BkashGateway(GatewayConfig(api_url="https://x.example"))  # type: ignore[arg-type]


async def test_closing_closes_what_is_ours_only() -> None:
    world = World()
    cache = durable_cache(world)
    async with world.another(tokens=cache):
        pass
    assert not world.transport.closed
    assert not cache._closed
    await world.gateway.aclose()
    await world.gateway.aclose()


# ------------------------------------------------------------------------------------------------ sending late


async def test_no_execute_leaves_after_its_deadline() -> None:
    world = World(INITIATED)
    late = SendBy(world.clock.now(), world.clock.monotonic())
    with pytest.raises(NotSentError) as caught:
        await world.gateway.execute_payment(CALL, context=CallContext(send_by=late, payment_id="pay_1"))
    assert (caught.value.code, caught.value.payment_id) == ("send_by_passed", "pay_1")
    assert world.transport.effects == 0
    snapshot = await world.gateway.get_payment_status(STATUS, context=CallContext(send_by=late))
    assert snapshot.state is SnapshotState.INITIATED, "a look-up may always leave"


async def test_a_lost_execute_is_looked_up_and_never_sent_again() -> None:
    for line in (timed_out(effect=True), lost(effect=True), answer(502, "<html>", effect=True)):
        world = World(line, COMPLETED)
        snapshot = await world.gateway.execute_payment(CALL)
        assert snapshot.state is SnapshotState.PAID
        assert world.transport.effects == 1
        assert [one.safety for one in world.transport.sends if one.request in world.sent] == [
            Safety.ONCE,
            Safety.READ,
        ]


async def test_a_look_up_is_repeated_within_reason_and_an_execute_is_not() -> None:
    world = World(timed_out(), *[answer(503, {"message": "x"})] * 4)
    with pytest.raises(AnswerTimeoutError):
        await world.gateway.execute_payment(CALL)
    names = [one.url.rpartition("/")[2] for one in world.sent]
    assert names == ["execute", "status", "status", "status", "status"]


# ------------------------------------------------------------------------------------------------------ resuming


@pytest.mark.parametrize("shown", [COMPLETED, INITIATED, timed_out()], ids=["made", "open", "no answer"])
async def test_a_resumed_verb_only_looks(shown: Any) -> None:
    resume = Evidence("execute", {})
    for verb in ("execute_payment", "capture_payment", "void_payment"):
        world = World(*[shown] * 4)
        call = getattr(world.gateway, verb)
        if shown is COMPLETED and verb != "void_payment":
            assert (await call(CALL, resume=resume)).state is SnapshotState.PAID
        else:
            with pytest.raises(OutcomeUnknownError) as caught:
                await call(CALL, resume=resume)
            assert caught.value.effect is Effect.UNKNOWN
        assert {one.url.rpartition("/")[2] for one in world.sent} == {"status"}


# ------------------------------------------------------------------------------------------------------- refunds

NONE_YET = golden("refund_status_v2_none", originalTrxId=TRX_ID)
REFUNDED = golden("refund_v2", originalTrxId=TRX_ID, refundAmount="5.00")


async def test_a_refund_saves_its_baseline_before_it_is_sent() -> None:
    world = World(NONE_YET, REFUNDED)
    saved: list[tuple[int, Evidence]] = []

    async def keep(evidence: Evidence) -> None:
        saved.append((len(world.sent), evidence))

    refund = await world.gateway.refund_payment(REFUND, on_checkpoint=keep)
    assert refund.amount == REFUND.amount
    assert [(count, evidence.step) for count, evidence in saved] == [(1, "refund.baseline")]
    assert json.dumps(dict(saved[0][1].data))


async def test_a_refund_whose_baseline_nobody_takes_is_not_begun() -> None:
    world = World()
    with pytest.raises(ConfigurationError) as caught:
        await world.gateway.refund_payment(REFUND)
    assert caught.value.code == "checkpoints_not_taken"
    assert not world.transport.sends


async def test_a_resumed_refund_needs_no_checkpoint_and_is_not_sent() -> None:
    data = {"transaction_id": TRX_ID, "amount_minor": 500, "api": "v2", "listed": []}
    world = World(golden("refund_status_v2", originalTrxId=TRX_ID))
    refund = await world.gateway.refund_payment(REFUND, resume=Evidence("refund.baseline", data))
    assert refund.amount == Money("5")
    assert [one.url.rpartition("/")[2] for one in world.sent] == ["status"]
    world = World(NONE_YET)
    assert await world.gateway.look_up_refund(REFUND, resume=Evidence("refund.baseline", data)) is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"sku": ""}, "sku"),
        ({"sku": "x" * 256}, "sku"),
        ({"reason": ""}, "reason"),
        ({"reason": "  "}, "reason"),
        ({"reason": "a\nb"}, "reason"),
        ({"amount": Money("0")}, "amount"),
        ({"amount": Money("-5")}, "amount"),
        ({"amount": Money("5", "USD")}, "amount"),
        ({"amount": None}, "amount"),
        ({"amount": ""}, "amount"),
        ({"amount": "5"}, "amount"),
    ],
)
async def test_a_refund_that_bkash_would_misread_is_refused_unsent(
    changes: dict[str, Any], field: str
) -> None:
    given = {
        "operation_id": "r",
        "gateway_reference": PAYMENT_ID,
        "transaction_id": TRX_ID,
        "amount": Money("5"),
        "reason": "r",
        "sku": "s",
        **changes,
    }
    world = World()

    async def keep(_: Evidence) -> None:
        """Never called."""

    with pytest.raises(InvalidRequestError) as caught:
        await world.gateway.refund_payment(RefundCall(**given), on_checkpoint=keep)
    assert caught.value.field == field
    assert not world.transport.sends


async def test_a_configured_refund_window() -> None:
    old = RefundCall(
        operation_id="r",
        gateway_reference=PAYMENT_ID,
        transaction_id="CGF0000000",  # 2025-07-15
        amount=Money("5"),
        reason="r",
        sku="s",
    )

    async def keep(_: Evidence) -> None:
        """Takes it."""

    world = World(refund_window_days=60)
    with pytest.raises(DeclinedError) as caught:
        await world.gateway.refund_payment(old, on_checkpoint=keep)
    assert (caught.value.effect, caught.value.reason.code) == (Effect.NONE, ReasonCode.REFUND_WINDOW_CLOSED)
    assert not world.transport.sends
    shown = golden("refund_status_v2_none", originalTrxId="CGF0000000")
    done = golden("refund_v2", originalTrxId="CGF0000000", refundAmount="5")
    for days in (None, 365):
        world = World(shown, done, refund_window_days=days)
        assert await world.gateway.refund_payment(old, on_checkpoint=keep)


# ------------------------------------------------------------------------------------------------- holds, agreements


async def test_the_void_route_that_exists_is_remembered() -> None:
    voided = golden("void", paymentId=PAYMENT_ID, trxID=TRX_ID)
    world = World(golden("gateway_wrong_route"), voided, voided)
    for _ in range(2):
        assert (await world.gateway.void_payment(CALL)).state is SnapshotState.VOIDED
    assert [one.url.partition("/payment/")[2] for one in world.sent] == [
        "confirm/void",
        "confirm/capture/void",
        "confirm/capture/void",
    ]


async def test_an_unknown_route_of_anything_else_is_an_error_that_names_the_cause() -> None:
    world = World(golden("gateway_wrong_route"))
    with pytest.raises(GatewayError) as caught:
        await world.gateway.execute_payment(CALL)
    assert (caught.value.code, caught.value.effect) == ("wrong_route", Effect.NONE)


async def test_an_authorization_is_captured() -> None:
    world = World(
        golden("create_0011", intent="authorization"), golden("execute_authorized"), golden("capture")
    )
    await world.gateway.initialize_payment(request(intent=Intent.AUTHORIZATION))
    assert world.body()["intent"] == "authorization"
    assert (await world.gateway.execute_payment(CALL)).state is SnapshotState.AUTHORIZED
    assert (await world.gateway.capture_payment(CALL)).state is SnapshotState.PAID


async def test_the_life_of_an_agreement() -> None:
    world = World(
        golden("create_0000"),
        golden("execute_agreement"),
        golden("agreement_status"),
        golden("agreement_cancel"),
        code("2053"),
    )
    session = await world.gateway.create_agreement(AgreementRequest(payer_reference="01770618575"))
    assert session.checkout_url and session.expires_at == world.clock.now() + timedelta(hours=24)
    active = await world.gateway.execute_agreement(session.gateway_reference)
    assert active.agreement_id is not None
    assert (await world.gateway.get_agreement_status(active.agreement_id)).state is AgreementState.ACTIVE
    for _ in range(2):
        assert (await world.gateway.cancel_agreement(active.agreement_id)).state is AgreementState.CANCELLED
    with pytest.raises(InvalidRequestError):
        await world.gateway.create_agreement(AgreementRequest(payer_reference="a<b"))


# ----------------------------------------------------------------------------------------------- what it is and hears


def test_capabilities() -> None:
    can = World().gateway.capabilities
    assert (can.completion, can.absence) == (
        Completion.MERCHANT_EXECUTES,
        Absence.AUTHORITATIVE_AFTER_LIMIT,
    )
    assert (can.hard_limit_s, can.absence_margin_s, can.session_life) == (30, 30, timedelta(hours=24))
    assert can.refund_correlation is RefundCorrelation.NONE
    assert (can.currencies, can.min_amount, can.max_refunds) == ({"BDT"}, Money("1"), 10)
    assert World(refund_api="v1").gateway.capabilities.max_refunds is None


def test_the_adapter_is_what_the_entry_point_names() -> None:
    from importlib.metadata import entry_points

    (point,) = entry_points(group="vextrus_payments.gateways", name="bkash")
    assert point.load() is adapter
    assert (adapter.name, adapter.gateway_class, adapter.config_class) == ("bkash", BkashGateway, BkashConfig)


def test_importing_the_package_is_cheap() -> None:
    import subprocess
    import sys

    package = "vextrus_payments.gateways.bkash"
    program = f"import sys; import {package}; print('httpx' in sys.modules, 'pydantic' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["False", "False"]


def test_error_codes_are_mapped_for_everybody() -> None:
    gateway = World().gateway
    assert gateway.map_error_code("execute", "2023").reason is ReasonCode.INSUFFICIENT_BALANCE
    unknown = gateway.map_error_code("execute", "1111")
    assert issubclass(unknown.error, OutcomeUnknownError) and not unknown.final
    with pytest.raises(InvalidRequestError):
        gateway.map_error_code("pay", "2023")


async def test_every_webhook_is_refused_until_a_verifier_is_configured() -> None:
    world = World()
    body = (GOLDEN / "notification.json").read_bytes()
    delivery = Delivery(method="POST", query="", headers={}, body=body, received_at=world.clock.now())
    with pytest.raises(SignatureError):
        await world.gateway.handle_webhook(delivery)


def test_a_return_is_a_hint() -> None:
    hint = World().gateway.parse_return({"paymentID": PAYMENT_ID, "status": "success"})
    assert (hint.gateway_reference, hint.verdict) == (PAYMENT_ID, HintVerdict.SUCCESS)


# ------------------------------------------------------------------------------------------------------ the canary


async def test_no_secret_is_ever_shown() -> None:
    canary = SecretCanary()
    secrets = {name: canary.plant(name) for name in ("app_key", "app_secret", "username", "password")}
    token, refresh = canary.plant("token"), canary.plant("refresh")
    url = golden("create_0011").body.decode()
    granted = golden("grant", id_token=token, refresh_token=refresh)
    told: list[Exchange] = []
    kept: list[Any] = []
    context = CallContext(on_exchange=told.append)

    async def keep(evidence: Evidence) -> None:
        kept.append(evidence)

    faults: list[Any] = [
        golden("create_0011"),
        timed_out(),
        lost(),
        not_sent(),
        code("2023"),
        code("9999"),
        code("1111"),
        golden("gateway_internal"),
        golden("gateway_forbidden"),
        answer(
            403,
            {"message": f"Authorization header requires 'Credential' 'Signature' 'SignedHeaders' {token}"},
        ),
        answer(200, f"<html>{token}"),
        UNAUTHORIZED,
    ]
    for fault in faults:
        world = World(*[fault] * 6, **secrets)
        world.grant_answers = [granted, granted]
        gateway = world.gateway
        calls: list[Callable[[], Any]] = [
            lambda g=gateway: g.initialize_payment(request(), context=context),
            lambda g=gateway: g.execute_payment(CALL, context=context),
            lambda g=gateway: g.refund_payment(REFUND, context=context, on_checkpoint=keep),
        ]
        for call in calls:
            world.script = [fault] * 6
            try:
                kept.append(await call())
            except PaymentsError as error:
                kept.append(error)
                assert error.__context__ is None and error.__cause__ is None, repr(error)
        kept.append(repr(gateway))
    assert told and "hash" in url
    canary.assert_absent(*told, *kept)
