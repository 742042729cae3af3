"""check_gateway() on a gateway that keeps the rules, and on ones that break them: the kit must tell them apart."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.unit.toy import PASSWORD, ToyConfig, ToyGateway, ToyServer, a_request
from vextrus_payments.errors import (
    DeclinedError,
    Effect,
    GatewayError,
    OutcomeUnknownError,
    PaymentsError,
    SignatureError,
)
from vextrus_payments.events import Delivery, Ignored
from vextrus_payments.meanings import ErrorClass, ErrorMeaning
from vextrus_payments.payment import Evidence, ExecuteCall, Intent, PaymentRequest, RefundCall, StatusCall
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.snapshots import PaymentSnapshot, RefundSnapshot, SnapshotState
from vextrus_payments.testing.gateway_check import (
    CheckReport,
    Fault,
    GatewayCheckError,
    Verb,
    check_gateway,
)
from vextrus_payments.testing.time import FakeClock, FakeEntropy, FakeSleeper
from vextrus_payments.transport import Transport
from vextrus_payments.wire import Checkpoint, Safety, WireCall, WireRequest, WireResponse


class ToyWorld:
    """The toy's server as the kit wants it."""

    def __init__(self) -> None:
        self.server = ToyServer()

    @property
    def transport(self) -> Transport:
        return self.server

    @property
    def secrets(self) -> Sequence[str]:
        return (PASSWORD,)

    def request(self, merchant_reference: str, *, intent: Intent = Intent.SALE) -> PaymentRequest:
        return a_request(merchant_reference, intent=intent)

    async def effects(self) -> int:
        return self.server.moves

    async def approve(self, gateway_reference: str) -> None:
        self.server.approve(gateway_reference)

    def token_rejected(self) -> WireResponse | None:
        return WireResponse(401, {}, b'{"message": "expired"}')

    def is_token_request(self, request: WireRequest) -> bool:
        return request.url.endswith("/grant")

    async def inject(self, verb: Verb, fault: Fault) -> bool:
        return False

    async def mend(self) -> None:
        """It never breaks."""


@asynccontextmanager
async def a_world() -> AsyncIterator[ToyWorld]:
    yield ToyWorld()


def made_of(kind: type[ToyGateway]) -> Any:
    def make(world: ToyWorld, transport: Transport) -> ToyGateway:
        clock = FakeClock()
        return kind(
            ToyConfig(), transport=transport, clock=clock, sleeper=FakeSleeper(clock), entropy=FakeEntropy()
        )

    return make


async def check(kind: type[ToyGateway]) -> CheckReport:
    return await check_gateway(made_of(kind), a_world)


async def test_a_gateway_that_keeps_the_rules_passes() -> None:
    report = await check(ToyGateway)
    assert len(report.scenarios) > 100
    assert "execute under lost_after, look-ups fail" in report.scenarios
    assert "refund under token_once" in report.scenarios


async def refused(kind: type[ToyGateway]) -> str:
    with pytest.raises(GatewayCheckError) as caught:
        await check(kind)
    return "\n".join(str(finding) for finding in caught.value.findings)


# --- planted bugs ---------------------------------------------------------------------------------------------


class SendsAgain(ToyGateway):
    """Repeats an execute whose answer was lost."""

    def _money_step(self, operation: str, call: ExecuteCall) -> WireCall[PaymentSnapshot]:
        for _ in range(2):
            try:
                response = yield self._send(operation, Safety.ONCE, {"ref": call.gateway_reference})
                return self._picture(self._read(operation, Safety.ONCE, response), call)
            except OutcomeUnknownError:
                pass
        raise OutcomeUnknownError("Twice.")


class CallsItDeclined(ToyGateway):
    """Takes no answer for a no."""

    def _money_step(self, operation: str, call: ExecuteCall) -> WireCall[PaymentSnapshot]:
        try:
            response = yield self._send(operation, Safety.ONCE, {"ref": call.gateway_reference})
            return self._picture(self._read(operation, Safety.ONCE, response), call)
        except OutcomeUnknownError:
            pass
        raise DeclinedError("No.", reason=Reason(code=ReasonCode.UNKNOWN_ERROR), final=True)


class MarksItRead(ToyGateway):
    """Marks what moves money as a READ."""

    def _send(self, operation: str, safety: Safety, body: Any, **more: Any) -> Any:
        wrong = Safety.READ if operation == "execute" else safety
        return super()._send(operation, wrong, body, **more)


class MarksCreateIdempotent(ToyGateway):
    """Repeats a create whose answer was lost."""

    def _create(self, request: PaymentRequest, order: str) -> WireCall[dict[str, Any]]:
        for _ in range(2):
            try:
                body = {"order": order, "amount": request.amount.amount, "intent": request.intent.value}
                response = yield self._send("create", Safety.DISPOSABLE, body)
                return self._read("create", Safety.DISPOSABLE, response)
            except OutcomeUnknownError:
                pass
        raise OutcomeUnknownError("Twice.", effect=Effect.NONE)


class CallsItHarmless(ToyGateway):
    """Says that nothing moved whenever anything fails."""

    async def execute_payment(self, call: ExecuteCall, **more: Any) -> PaymentSnapshot:
        try:
            return await super().execute_payment(call, **more)
        except GatewayError as error:
            error.effect = Effect.NONE
            raise


class CallsItUnknown(ToyGateway):
    """Says that nobody can tell whenever anything fails."""

    async def execute_payment(self, call: ExecuteCall, **more: Any) -> PaymentSnapshot:
        try:
            return await super().execute_payment(call, **more)
        except GatewayError as error:
            error.effect = Effect.UNKNOWN
            raise


class BelievesAnything(ToyGateway):
    """Takes the session for the payment."""

    async def execute_payment(self, call: ExecuteCall, **more: Any) -> PaymentSnapshot:
        try:
            return await super().execute_payment(call, **more)
        except OutcomeUnknownError:
            return PaymentSnapshot(
                state=SnapshotState.PAID,
                gateway_reference=call.gateway_reference,
                raw_state="hoped",
                transaction_id="TRX",
            )


class ExecutesOnResume(ToyGateway):
    """Sends again what an earlier attempt may have sent."""

    async def execute_payment(self, call: ExecuteCall, **more: Any) -> PaymentSnapshot:
        more.pop("resume", None)
        return await super().execute_payment(call, **more)


class RefundsOnResume(ToyGateway):
    """Refunds again what an earlier attempt may have refunded."""

    async def refund_payment(self, call: RefundCall, **more: Any) -> RefundSnapshot:
        async def take(evidence: Evidence) -> None:
            return None

        more.pop("resume", None)
        return await super().refund_payment(call, **{"on_checkpoint": take, **more})


class RefundsFirst(ToyGateway):
    """Saves its checkpoint when it is too late."""

    def _refund(self, call: RefundCall, resume: Evidence | None) -> WireCall[RefundSnapshot]:
        body = {"ref": call.gateway_reference, "amount": call.amount.amount}
        response = yield self._send("refund", Safety.ONCE, body)
        yield Checkpoint(Evidence("refund.baseline", {"known": []}))
        return self._refund_picture(self._read("refund", Safety.ONCE, response), call)


class TakesAnyRefund(ToyGateway):
    """Does not compare with the baseline."""

    def _new_refund(self, call: RefundCall, resume: Evidence) -> WireCall[RefundSnapshot | None]:
        found = yield from self._refunds(call)
        return self._refund_picture(found[0], call) if found else None


class TellsThePassword(ToyGateway):
    """Hangs a credential on an error: what it says itself is masked on its way out, what caused it is not."""

    def _read(self, operation: str, safety: Safety, response: WireResponse | None) -> dict[str, Any]:
        try:
            return super()._read(operation, safety, response)
        except OutcomeUnknownError as error:
            raise error from ValueError(json.dumps({"password": PASSWORD}))


class RaisesAnything(ToyGateway):
    """Trusts that an answer is JSON."""

    def _read(self, operation: str, safety: Safety, response: WireResponse | None) -> dict[str, Any]:
        assert response is not None
        found: dict[str, Any] = json.loads(response.body)
        return super()._read(operation, safety, response) if "code" in found else found


class GuessesCodes(ToyGateway):
    """Takes every code it does not know for a decline."""

    def map_error_code(self, operation: str, code: str) -> ErrorMeaning:
        return ErrorMeaning(
            kind=ErrorClass.CUST, error=DeclinedError, reason=ReasonCode.UNKNOWN_ERROR, final=True
        )


class BelievesWebhooks(ToyGateway):
    """Reads what nobody signed."""

    async def handle_webhook(self, delivery: Delivery) -> Ignored:
        return Ignored("none of our business")


class TakesBadInput(ToyGateway):
    """Leaves the checks to the gateway."""

    def check_payment_request(self, request: PaymentRequest, **more: Any) -> str:
        return more.get("gateway_order_id") or "X"


class BlindWhenAsked(ToyGateway):
    """Ends a payment when a look-up fails."""

    async def get_payment_status(self, call: StatusCall, **more: Any) -> PaymentSnapshot:
        try:
            return await super().get_payment_status(call, **more)
        except PaymentsError:
            pass
        raise DeclinedError("No.", reason=Reason(code=ReasonCode.PAYMENT_EXPIRED), final=True)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (SendsAgain, "requests that may move money reached the gateway"),
        (CallsItDeclined, "money moved, and it raised DeclinedError"),
        (MarksItRead, "not marked ONCE"),
        (MarksCreateIdempotent, "asked for again under the same order id"),
        (CallsItHarmless, "says that"),
        (CallsItUnknown, "says that nobody can tell"),
        (BelievesAnything, "nothing was done"),
        (ExecutesOnResume, "an execute that resumes sent"),
        (RefundsOnResume, "a refund that resumes sent"),
        (RefundsFirst, "checkpoint could not be saved"),
        (TakesAnyRefund, "equal refunds"),
        (TellsThePassword, "a secret is to be seen"),
        (RaisesAnything, "is no PaymentsError"),
        (GuessesCodes, "a code nobody documented"),
        (BelievesWebhooks, "unsigned webhook"),
        (TakesBadInput, "was not refused as InvalidRequestError"),
        (BlindWhenAsked, "ended the payment"),
    ],
)
async def test_a_gateway_that_breaks_a_rule_is_found_out(kind: type[ToyGateway], says: str) -> None:
    assert says in await refused(kind)


async def test_native_mode_leaves_out_what_the_world_cannot_do() -> None:
    report = await check_gateway(made_of(ToyGateway), a_world, native=True)
    assert report.scenarios == ()


async def test_the_signature_check_of_the_toy_is_asked() -> None:
    with pytest.raises(SignatureError):
        await ToyGateway(ToyConfig()).handle_webhook(
            Delivery(method="POST", query="", headers={}, body=b"", received_at=FakeClock().now())
        )
