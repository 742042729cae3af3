"""gateways/driver.py under a whole toy gateway: what is sent, replayed, thrown, logged; and what never is."""

import asyncio
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.toy import PASSWORD, ToyConfig, ToyGateway, ToyServer, a_call, a_request
from vextrus_payments.breaker import Breaker, BreakerPolicy, BreakerState
from vextrus_payments.errors import (
    AnswerLostError,
    AnswerTimeoutError,
    AuthenticationRejectedError,
    ConfigurationError,
    DeclinedError,
    Effect,
    GatewayError,
    NotSentError,
    OutcomeUnknownError,
    PaymentsError,
    StorageError,
    ThrottledError,
    UnreadableAnswerError,
)
from vextrus_payments.gateways.base import Authorization, FrontDoor
from vextrus_payments.payment import Evidence, PaymentSession, RefundCall, StatusCall
from vextrus_payments.records import Exchange
from vextrus_payments.secret import Secret
from vextrus_payments.snapshots import PaymentSnapshot, SnapshotState
from vextrus_payments.testing.time import FakeClock, FakeEntropy, FakeSleeper
from vextrus_payments.wire import (
    CallContext,
    Checkpoint,
    Safety,
    Send,
    SendBy,
    Sent,
    WireCall,
    WireRequest,
    WireResponse,
    effect_of,
)

Fault = Callable[["Wire", WireRequest], WireResponse | None]


class Wire(ToyServer):
    """The toy's server behind a line that breaks on demand: `plan[operation]` is a list of faults, taken in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.plan: dict[str, list[str]] = {}
        self.safety = Safety.ONCE

    async def send(
        self, request: WireRequest, *, safety: Safety, timeout_s: float, send_by: SendBy | None = None
    ) -> WireResponse:
        operation = request.url.rpartition("/")[2]
        faults = self.plan.get(operation, [])
        fault = faults.pop(0) if faults else ""
        if fault == "not_sent":
            raise NotSentError("No connection.")
        if fault == "lost_before":
            raise AnswerLostError("Broken.", effect=effect_of(Sent.MAYBE, safety, None))
        if fault.isdigit():
            self.requests.append((operation, safety))
            return WireResponse(int(fault), {}, b"{}")
        if fault == "expire":
            self.tokens.clear()
        response = await super().send(request, safety=safety, timeout_s=timeout_s, send_by=send_by)
        if fault == "lost_after":
            raise AnswerLostError("Broken.", effect=effect_of(Sent.MAYBE, safety, None))
        if fault == "slow":
            raise AnswerTimeoutError("Slow.", effect=effect_of(Sent.MAYBE, safety, None))
        if fault == "html":
            return WireResponse(200, {}, b"<html>maintenance</html>")
        if fault == "500_after":
            return WireResponse(500, {}, b"{}")
        if fault == "throttle":
            return WireResponse(429, {"retry-after": "42"}, b'{"message": "slow down"}')
        return response


class Ears:
    """An observer that keeps everything."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.events: list[tuple[str, dict[str, object]]] = []

    def exchange(self, *, tenant: str, gateway: str, exchange: Exchange, context: CallContext) -> None:
        self.exchanges.append(exchange)

    def event(self, name: str, **fields: object) -> None:
        self.events.append((name, fields))


class Bench:
    """A toy gateway on a breakable wire, with a fake clock."""

    def __init__(self, **parts: Any) -> None:
        self.clock = FakeClock()
        self.sleeper = FakeSleeper(self.clock)
        self.wire = Wire()
        self.breaker = Breaker(self.clock, BreakerPolicy(failures=3, open_s=20))
        self.gateway = ToyGateway(
            parts.pop("config", ToyConfig()),
            tenant="acme",
            transport=self.wire,
            clock=self.clock,
            sleeper=self.sleeper,
            entropy=FakeEntropy(3),
            breaker=self.breaker,
            **parts,
        )

    async def session(self, **more: Any) -> PaymentSession:
        """A session whose payer has approved."""
        session = await self.gateway.initialize_payment(a_request(**more))
        self.wire.approve(session.gateway_reference)
        self.wire.requests.clear()
        return session


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_the_plain_road(bench: Bench) -> None:
    session = await bench.session()
    snapshot = await bench.gateway.execute_payment(a_call(session))
    assert snapshot.state is SnapshotState.PAID
    assert bench.wire.requests == [("execute", Safety.ONCE)]
    assert bench.wire.moves == 1
    assert bench.sleeper.slept == []


# --- the token ------------------------------------------------------------------------------------------------


async def test_a_rejected_token_is_replaced_and_the_call_replayed_once(bench: Bench) -> None:
    session = await bench.session()
    bench.wire.plan["execute"] = ["expire"]
    snapshot = await bench.gateway.execute_payment(a_call(session))
    assert snapshot.state is SnapshotState.PAID
    assert [operation for operation, _ in bench.wire.requests] == ["execute", "grant", "execute"]
    assert bench.wire.moves == 1


async def test_a_token_that_is_rejected_twice_is_no_unknown_outcome(bench: Bench) -> None:
    session = await bench.session()
    bench.wire.plan["execute"] = ["expire", "expire", "expire"]
    with pytest.raises(AuthenticationRejectedError) as caught:
        await bench.gateway.execute_payment(a_call(session))
    assert caught.value.effect is Effect.NONE
    assert caught.value.code == FrontDoor.TOKEN_REJECTED
    assert bench.wire.sent("execute") == 2
    assert bench.wire.moves == 0


async def test_no_replay_with_the_very_token_that_was_rejected(bench: Bench) -> None:
    session = await bench.session()

    async def keep(authorization: Authorization) -> None:
        bench.wire.tokens.clear()

    bench.gateway.reject_authorization = keep  # type: ignore[method-assign]
    bench.wire.plan["execute"] = ["expire"]
    with pytest.raises(AuthenticationRejectedError):
        await bench.gateway.execute_payment(a_call(session))
    assert bench.wire.sent("execute") == 1


async def test_only_a_listed_body_is_a_front_door(bench: Bench) -> None:
    session = await bench.session()
    bench.wire.plan = {"execute": ["401"], "query": ["not_sent"] * 4}  # its body is {}: nobody listed that
    with pytest.raises(UnreadableAnswerError) as caught:
        await bench.gateway.execute_payment(a_call(session))
    assert caught.value.effect is Effect.UNKNOWN
    assert bench.wire.sent("execute") == 1


@pytest.mark.parametrize("fault", ["not_sent", "lost_before", "lost_after", "slow", "html", "500_after"])
async def test_without_a_token_nothing_was_sent_and_nothing_can_have_moved(bench: Bench, fault: str) -> None:
    session = await bench.session()
    bench.gateway._token = None
    bench.wire.plan["grant"] = [fault] * 9
    with pytest.raises(NotSentError) as caught:
        await bench.gateway.execute_payment(a_call(session))
    assert caught.value.effect is Effect.NONE
    assert caught.value.__context__ is None
    assert bench.wire.sent("execute") == 0
    assert bench.wire.sent("query") == 0


@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize("kind", [AuthenticationRejectedError, ThrottledError, NotSentError])
async def test_what_became_of_the_token_request_says_nothing_about_the_call(
    bench: Bench, kind: type[GatewayError], effect: Effect
) -> None:
    session = await bench.session()

    async def shut(context: CallContext) -> Authorization | None:
        raise kind("No token.", effect=effect)

    bench.gateway.authorize = shut  # type: ignore[method-assign]
    with pytest.raises(kind) as caught:
        await bench.gateway.execute_payment(a_call(session))
    assert caught.value.effect is Effect.NONE


async def test_wrong_credentials_are_told_as_what_they_are() -> None:
    bench = Bench(config=ToyConfig(password=Secret("canary-wrong-password")))
    with pytest.raises(NotSentError) as caught:
        await bench.gateway.initialize_payment(a_request())
    assert caught.value.context["cause"] == "who"


async def test_headers_stay_out_of_sight() -> None:
    assert "canary" not in repr(Authorization((("authorization", "canary-token"),), "v1"))


# --- failures without an answer -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "moves"), [("lost_before", 0), ("lost_after", 1), ("slow", 1), ("html", 1), ("500_after", 1)]
)
async def test_a_lost_answer_is_thrown_into_the_protocol_which_looks(
    bench: Bench, fault: str, moves: int
) -> None:
    session = await bench.session()
    bench.wire.plan["execute"] = [fault]
    if moves:
        snapshot = await bench.gateway.execute_payment(a_call(session))
        assert snapshot.state is SnapshotState.PAID
    else:
        with pytest.raises(OutcomeUnknownError) as caught:
            await bench.gateway.execute_payment(a_call(session))
        assert caught.value.effect is Effect.UNKNOWN
    assert bench.wire.moves == moves
    assert bench.wire.sent("execute") <= 1
    assert bench.wire.sent("query") == 1


async def test_unsent_bytes_are_sent_again(bench: Bench) -> None:
    session = await bench.session()
    bench.wire.plan["execute"] = ["not_sent", "not_sent"]
    assert (await bench.gateway.execute_payment(a_call(session))).state is SnapshotState.PAID
    assert bench.wire.moves == 1
    assert len(bench.sleeper.slept) == 2


async def test_never_sent_is_told_as_never_sent(bench: Bench) -> None:
    session = await bench.session()
    bench.wire.plan["execute"] = ["not_sent"] * 9
    with pytest.raises(NotSentError) as caught:
        await bench.gateway.execute_payment(a_call(session))
    assert caught.value.effect is Effect.NONE
    assert bench.wire.sent("query") == 0


async def test_a_failed_look_up_does_not_make_a_lost_execute_look_harmless(bench: Bench) -> None:
    session = await bench.session()
    bench.wire.plan = {"execute": ["lost_after"], "query": ["not_sent"] * 9}
    with pytest.raises(AnswerLostError) as caught:
        await bench.gateway.execute_payment(a_call(session))
    assert caught.value.effect is Effect.UNKNOWN


class Careless(ToyGateway):
    """An adapter whose protocol does not think of failing look-ups."""

    def _money_step(self, operation: str, call: Any) -> WireCall[PaymentSnapshot]:
        try:
            yield self._send(operation, Safety.ONCE, {"ref": call.gateway_reference})
        except OutcomeUnknownError:
            pass
        snapshot = yield from self._query(
            StatusCall(
                gateway_reference=call.gateway_reference,
                gateway_order_id=call.gateway_order_id,
                amount=call.amount,
            )
        )
        return snapshot


@pytest.mark.parametrize("execute", ["", "lost_after", "lost_before"])
@pytest.mark.parametrize("query", ["not_sent", "lost_before", "storage"])
async def test_even_a_careless_protocol_cannot_hide_that_money_may_have_moved(
    execute: str, query: str
) -> None:
    bench = Bench()
    gateway = Careless(
        ToyConfig(),
        transport=bench.wire,
        clock=bench.clock,
        sleeper=bench.sleeper,
        entropy=FakeEntropy(),
    )
    session = await gateway.initialize_payment(a_request())
    bench.wire.approve(session.gateway_reference)
    bench.wire.plan = {"execute": [execute], "query": [query] * 9}
    if query == "storage":
        authorize = gateway.authorize
        asked = 0

        async def broken(context: CallContext) -> Authorization | None:
            nonlocal asked
            asked += 1
            if asked > 1:
                raise StorageError("The token store is gone.")
            return await authorize(context)

        gateway.authorize = broken  # type: ignore[method-assign]
    with pytest.raises(PaymentsError) as caught:
        await gateway.execute_payment(a_call(session))
    assert isinstance(caught.value, OutcomeUnknownError)
    assert caught.value.effect is Effect.UNKNOWN


def an_end_of(reference: str) -> WireCall[None]:
    """A step that may be repeated, and changes something: to end an agreement."""
    request = WireRequest("POST", "https://toy.test/query", (), f'{{"ref": "{reference}"}}'.encode())
    yield Send(request=request, operation="cancel", safety=Safety.IDEMPOTENT, authorized=True)


@pytest.mark.parametrize("then", ["refused at the door", "not sent", "no token"])
@pytest.mark.parametrize("lost", ["lost_after", "slow", "500_after"])
async def test_a_try_that_was_refused_unheard_does_not_excuse_the_one_before_it(lost: str, then: str) -> None:
    bench = Bench()
    session = await bench.session()
    bench.wire.plan = {"query": [lost]}
    if then == "not sent":
        bench.wire.plan["query"] += ["not_sent"] * 9
    else:
        bench.wire.plan["query"] += ["expire", "expire"]
        if then == "no token":
            bench.wire.plan["grant"] = ["not_sent"] * 9
    with pytest.raises(OutcomeUnknownError) as caught:
        await bench.gateway.drive(an_end_of(session.gateway_reference))
    assert caught.value.effect is Effect.UNKNOWN
    assert caught.value.__context__ is None and caught.value.__cause__ is None


async def test_a_repeat_that_is_answered_is_an_answer(bench: Bench) -> None:
    session = await bench.session()
    bench.wire.plan = {"query": ["lost_after", "expire"]}
    await bench.gateway.drive(an_end_of(session.gateway_reference))
    bench.wire.plan = {"query": ["not_sent"] * 9}
    with pytest.raises(NotSentError) as caught:
        await bench.gateway.drive(an_end_of(session.gateway_reference))
    assert caught.value.effect is Effect.NONE


async def test_a_refusal_is_a_refusal(bench: Bench) -> None:
    session = await bench.session()
    bench.wire.poor = True
    with pytest.raises(DeclinedError) as caught:
        await bench.gateway.execute_payment(a_call(session))
    error = caught.value
    assert (error.effect, error.final, error.code) == (Effect.REFUSED, True, "poor")
    assert (error.gateway, error.tenant) == ("toy", "acme")


async def test_errors_say_what_they_were_about(bench: Bench) -> None:
    session = await bench.session()
    bench.wire.plan["execute"] = ["not_sent"] * 9
    with pytest.raises(NotSentError) as caught:
        await bench.gateway.execute_payment(
            a_call(session), context=CallContext(payment_id="pay_1", operation_id="execute/pay_1/1")
        )
    error = caught.value
    assert (error.gateway, error.tenant, error.payment_id) == ("toy", "acme", "pay_1")
    assert error.operation_id == "execute/pay_1/1"


# --- the front door -------------------------------------------------------------------------------------------


async def test_a_throttled_call_says_how_long_to_wait_and_that_nothing_moved(bench: Bench) -> None:
    session = await bench.session()
    bench.wire.payments[session.gateway_reference]["state"] = "open"
    bench.wire.plan["execute"] = ["throttle"]
    with pytest.raises(ThrottledError) as caught:
        await bench.gateway.execute_payment(a_call(session))
    assert caught.value.retry_after_s == 42
    assert caught.value.effect is Effect.NONE
    assert bench.wire.sent("execute") == 1


async def test_a_wrong_route_is_a_typed_error_that_a_protocol_can_catch(bench: Bench) -> None:
    def two_spellings() -> WireCall[str]:
        try:
            yield Send(
                request=WireRequest("POST", "https://toy.test/nowhere", (), b"{}"), operation="nowhere"
            )
        except GatewayError as error:
            assert error.effect is Effect.NONE
            return error.code
        raise AssertionError("unreachable")

    assert await bench.gateway.drive(two_spellings()) == FrontDoor.ROUTE


# --- deadlines ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("safety", "given"),
    [(Safety.ONCE, True), (Safety.DISPOSABLE, True), (Safety.IDEMPOTENT, False), (Safety.READ, False)],
)
async def test_send_by_holds_for_what_must_not_be_sent_late(
    bench: Bench, safety: Safety, given: bool
) -> None:
    seen: list[SendBy | None] = []
    real = bench.wire.send

    async def spy(request: WireRequest, **more: Any) -> WireResponse:
        if request.url.endswith("/query"):
            seen.append(more["send_by"])
        return await real(request, **more)

    bench.wire.send = spy  # type: ignore[method-assign]
    await bench.session()
    send_by = SendBy(bench.clock.now() + timedelta(seconds=9), bench.clock.monotonic() + 9)

    def call() -> WireCall[None]:
        yield Send(
            request=WireRequest("POST", "https://toy.test/query", (), b'{"ref": "REF1"}'),
            operation="query",
            safety=safety,
        )

    await bench.gateway.drive(call(), context=CallContext(send_by=send_by))
    assert seen == [send_by if given else None]


# --- checkpoints ----------------------------------------------------------------------------------------------


async def paid(bench: Bench) -> RefundCall:
    session = await bench.session()
    snapshot = await bench.gateway.execute_payment(a_call(session))
    bench.wire.requests.clear()
    assert snapshot.transaction_id is not None
    return RefundCall(
        operation_id="r1",
        gateway_reference=session.gateway_reference,
        transaction_id=snapshot.transaction_id,
        amount=session.amount,
        reason="r",
        sku="s",
    )


async def test_a_checkpoint_is_durable_before_the_next_step(bench: Bench) -> None:
    call = await paid(bench)
    seen: list[tuple[Evidence, int]] = []

    async def save(evidence: Evidence) -> None:
        await asyncio.sleep(0)
        seen.append((evidence, bench.wire.sent("refund")))

    await bench.gateway.refund_payment(call, on_checkpoint=save)
    assert seen == [(Evidence("refund.baseline", {"known": []}), 0)]
    assert bench.wire.moves == 2


async def test_nobody_to_take_a_checkpoint_is_refused_before_anything_is_sent(bench: Bench) -> None:
    call = await paid(bench)
    with pytest.raises(ConfigurationError) as caught:
        await bench.gateway.refund_payment(call)
    assert caught.value.code == "checkpoints_not_taken"
    assert bench.wire.requests == []


@pytest.mark.parametrize("problem", [StorageError("Disk full."), RuntimeError("bug")])
async def test_a_checkpoint_that_is_not_saved_stops_the_call(bench: Bench, problem: Exception) -> None:
    call = await paid(bench)

    async def save(evidence: Evidence) -> None:
        raise problem

    with pytest.raises(type(problem)) as caught:
        await bench.gateway.refund_payment(call, on_checkpoint=save)
    assert caught.value is problem
    assert bench.wire.sent("refund") == 0


async def test_resuming_only_looks(bench: Bench) -> None:
    call = await paid(bench)
    saved: list[Evidence] = []

    async def save(evidence: Evidence) -> None:
        saved.append(evidence)

    bench.wire.plan = {
        "refund": ["lost_after"],
        "refunds": ["", "not_sent", "not_sent", "not_sent", "not_sent"],
    }
    with pytest.raises(OutcomeUnknownError):
        await bench.gateway.refund_payment(call, on_checkpoint=save)
    found = await bench.gateway.refund_payment(call, resume=saved[0])
    assert found.transaction_id == "RFD2"
    assert bench.wire.sent("refund") == 1


async def test_a_checkpoint_nobody_announced_is_an_error_and_never_skipped(bench: Bench) -> None:
    def call() -> WireCall[None]:
        yield Checkpoint(Evidence("x"))

    with pytest.raises(ConfigurationError):
        await bench.gateway.drive(call())


# --- the breaker ----------------------------------------------------------------------------------------------


async def open_it(bench: Bench) -> PaymentSession:
    session = await bench.session()
    for _ in range(3):
        bench.wire.plan["execute"] = ["lost_before"]
        bench.wire.plan["query"] = ["not_sent"] * 4
        with pytest.raises(OutcomeUnknownError):
            await bench.gateway.execute_payment(a_call(session))
        if bench.breaker.state is BreakerState.OPEN:
            break
    assert bench.breaker.state is BreakerState.OPEN
    bench.wire.plan.clear()
    bench.wire.requests.clear()
    return session


async def test_while_the_gateway_is_down_nothing_but_look_ups_is_sent(bench: Bench) -> None:
    session = await open_it(bench)
    with pytest.raises(NotSentError) as caught:
        await bench.gateway.execute_payment(a_call(session))
    assert caught.value.code == "breaker_open"
    assert bench.wire.requests == []
    status = StatusCall(
        gateway_reference=session.gateway_reference,
        gateway_order_id=session.gateway_order_id,
        amount=session.amount,
    )
    assert (await bench.gateway.get_payment_status(status)).state is SnapshotState.APPROVED
    assert bench.breaker.state is BreakerState.CLOSED


async def test_a_look_up_gets_its_token_even_while_the_breaker_is_open(bench: Bench) -> None:
    session = await open_it(bench)
    bench.gateway._token = None
    status = StatusCall(
        gateway_reference=session.gateway_reference,
        gateway_order_id=session.gateway_order_id,
        amount=session.amount,
    )
    assert (await bench.gateway.get_payment_status(status)).state is SnapshotState.APPROVED


async def test_half_open_lets_one_of_twenty_through(bench: Bench) -> None:
    await open_it(bench)
    bench.clock.advance(20)
    bench.wire.requests.clear()
    results = await asyncio.gather(
        *(bench.gateway.initialize_payment(a_request(f"INV-{n}")) for n in range(20)), return_exceptions=True
    )
    # The probe's success closes it within the same turn of the loop; whoever asked before was refused.
    assert bench.wire.sent("create") >= 1
    assert any(isinstance(result, PaymentSession) for result in results)
    assert bench.breaker.state is BreakerState.CLOSED


async def test_a_cancelled_probe_frees_the_slot(bench: Bench) -> None:
    session = await open_it(bench)
    bench.clock.advance(20)
    started = asyncio.Event()
    real = bench.wire.send

    async def hang(request: WireRequest, **more: Any) -> WireResponse:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    bench.wire.send = hang  # type: ignore[method-assign]
    probe = asyncio.create_task(bench.gateway.execute_payment(a_call(session)))
    await started.wait()
    with pytest.raises(NotSentError):
        await bench.gateway.execute_payment(a_call(session))
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    bench.wire.send = real  # type: ignore[method-assign]
    assert (await bench.gateway.execute_payment(a_call(session))).state is SnapshotState.PAID


async def test_declines_front_doors_and_our_own_troubles_do_not_open_it(bench: Bench) -> None:
    session = await bench.session()
    bench.wire.poor = True
    for _ in range(5):
        with pytest.raises(DeclinedError):
            await bench.gateway.execute_payment(a_call(session))
    bench.wire.plan["execute"] = ["expire"] * 20
    for _ in range(5):
        with pytest.raises(AuthenticationRejectedError):
            await bench.gateway.execute_payment(a_call(session))
    assert bench.breaker.state is BreakerState.CLOSED


@pytest.mark.parametrize("fault", ["not_sent", "lost_before", "500", "html"])
async def test_a_gateway_that_does_not_work_opens_it(bench: Bench, fault: str) -> None:
    await bench.session()
    for _ in range(3):
        bench.wire.plan["create"] = [fault] * 3
        with pytest.raises(GatewayError):
            await bench.gateway.initialize_payment(a_request())
    assert bench.breaker.state is BreakerState.OPEN


async def test_a_server_error_counts_whatever_the_protocol_makes_of_it(bench: Bench) -> None:
    await bench.session()

    def easygoing() -> WireCall[None]:
        yield Send(
            request=WireRequest("POST", "https://toy.test/create", (), b"{}"),
            operation="create",
            safety=Safety.DISPOSABLE,
        )

    for _ in range(3):
        bench.wire.plan["create"] = ["500"]
        await bench.gateway.drive(easygoing())
    assert bench.breaker.state is BreakerState.OPEN


# --- the log --------------------------------------------------------------------------------------------------


async def test_every_try_is_told_redacted(bench: Bench) -> None:
    ears = Ears()
    heard: list[Exchange] = []
    loud = Bench(observer=ears)
    session = await loud.session()
    ears.exchanges.clear()
    loud.wire.plan["execute"] = ["not_sent", "expire", "lost_after"]
    await loud.gateway.execute_payment(a_call(session), context=CallContext(on_exchange=heard.append))
    told = [(line.operation, line.sent, line.status, line.error) for line in ears.exchanges]
    assert told == [
        ("execute", "no", None, "not_sent"),
        ("execute", "yes", 401, None),
        ("grant", "yes", 200, None),
        ("execute", "maybe", None, "answer_lost"),
        ("query", "yes", 200, None),
    ]
    assert [line.operation for line in heard] == [line.operation for line in ears.exchanges]
    everything = repr(ears.exchanges) + repr(ears.events)
    assert PASSWORD not in everything
    assert "token-" not in everything


async def test_a_broken_listener_decides_nothing(bench: Bench) -> None:
    def broken(exchange: Exchange) -> None:
        raise RuntimeError("listener")

    class Broken(Ears):
        def exchange(self, **fields: Any) -> None:
            raise RuntimeError("observer")

    loud = Bench(observer=Broken())
    session = await loud.session()
    snapshot = await loud.gateway.execute_payment(a_call(session), context=CallContext(on_exchange=broken))
    assert snapshot.state is SnapshotState.PAID


async def test_a_cancelled_try_is_told_too(bench: Bench) -> None:
    heard: list[Exchange] = []
    session = await bench.session()
    started = asyncio.Event()

    async def hang(request: WireRequest, **more: Any) -> WireResponse:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    bench.wire.send = hang  # type: ignore[method-assign]
    task = asyncio.create_task(
        bench.gateway.execute_payment(a_call(session), context=CallContext(on_exchange=heard.append))
    )
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [(line.sent, line.error) for line in heard] == [("maybe", "CancelledError")]


async def test_no_error_shows_a_secret_and_none_has_a_chain_of_its_own(bench: Bench) -> None:
    session = await bench.session()
    faults = ["not_sent", "lost_before", "lost_after", "html", "500_after", "throttle", "expire"]
    for fault in faults:
        bench.wire.plan = {"execute": [fault] * 9, "query": ["not_sent"] * 9, "grant": ["", *["html"] * 9]}
        try:
            await bench.gateway.execute_payment(a_call(session))
        except PaymentsError as error:
            text = "".join(traceback.format_exception(error)) + repr(error)
            assert PASSWORD not in text
            assert "token-" not in text


# --- generators -----------------------------------------------------------------------------------------------


async def test_a_generator_is_closed_when_its_run_is_cancelled(bench: Bench) -> None:
    await bench.session()
    closed = False
    started = asyncio.Event()

    async def hang(request: WireRequest, **more: Any) -> WireResponse:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    def call() -> WireCall[None]:
        nonlocal closed
        try:
            yield Send(request=WireRequest("POST", "https://toy.test/query", (), b"{}"), operation="query")
        finally:
            closed = True

    bench.wire.send = hang  # type: ignore[method-assign]
    task = asyncio.create_task(bench.gateway.drive(call()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed


async def test_a_protocol_without_steps_just_returns(bench: Bench) -> None:
    def call() -> WireCall[int]:
        yield from ()
        return 7

    assert await bench.gateway.drive(call()) == 7
