"""A whole gateway small enough to read: its adapter, and its server as a Transport. For tests of the base only.

The wire: JSON posts to /create, /execute, /capture, /void, /query, /refund, /refunds, /grant. A refusal is HTTP 200
with a `code`. The front door answers 401 {"message": "expired"} and 404 {"message": "no route"}.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field

from vextrus_payments.capabilities import (
    Absence,
    Capabilities,
    Completion,
    Feature,
    IdempotencyScope,
    OrderIdRule,
    RefundCorrelation,
)
from vextrus_payments.config import GatewayConfig
from vextrus_payments.errors import (
    DeclinedError,
    Effect,
    GatewayError,
    InvalidRequestError,
    OutcomeUnknownError,
    SignatureError,
    UnreadableAnswerError,
)
from vextrus_payments.events import Delivery, HintVerdict, ReturnHint
from vextrus_payments.gateways.base import Adapter, Authorization, FrontDoor, PaymentGateway
from vextrus_payments.judging import judge_refund, judge_snapshot
from vextrus_payments.meanings import ErrorClass, ErrorMeaning, error_for
from vextrus_payments.money import Money
from vextrus_payments.payment import (
    Evidence,
    ExecuteCall,
    Intent,
    PaymentRequest,
    PaymentSession,
    RefundCall,
    StatusCall,
)
from vextrus_payments.reasons import ReasonCode
from vextrus_payments.secret import Secret
from vextrus_payments.snapshots import PaymentSnapshot, RefundSnapshot, RefundState, SnapshotState
from vextrus_payments.wire import (
    CallContext,
    Checkpoint,
    OnCheckpoint,
    Safety,
    Send,
    SendBy,
    WireCall,
    WireRequest,
    WireResponse,
)

ROOT = "https://toy.test"
PASSWORD = "canary-toy-password"  # a canary, not a credential

CAPABILITIES = Capabilities(
    gateway="toy",
    currencies=frozenset({"BDT"}),
    min_amount=Money("1", "BDT"),
    max_amount=Money("100000", "BDT"),
    completion=Completion.MERCHANT_EXECUTES,
    absence=Absence.AUTHORITATIVE_AFTER_LIMIT,
    hard_limit_s=30,
    absence_margin_s=30,
    refund_correlation=RefundCorrelation.NONE,
    idempotency=IdempotencyScope.NONE,
    order_id=OrderIdRule(characters="A-Za-z0-9-", min_length=1, max_length=30),
    session_life=timedelta(hours=1),
    features=frozenset(
        {Feature.REFUND, Feature.PARTIAL_REFUND, Feature.REFUND_STATUS, Feature.CAPTURE, Feature.VOID}
    ),
)

_STATES = {
    "open": SnapshotState.INITIATED,
    "approved": SnapshotState.APPROVED,
    "held": SnapshotState.AUTHORIZED,
    "paid": SnapshotState.PAID,
    "voided": SnapshotState.VOIDED,
}


class ToyConfig(GatewayConfig):
    """The toy's settings."""

    env_prefix: ClassVar[str] = "TOY"
    api_url: str = ROOT
    password: Secret = Field(default=Secret(PASSWORD), description="The password")


class ToyGateway(PaymentGateway):
    """The adapter."""

    name: ClassVar[str] = "toy"
    _token: Authorization | None = None
    grants = 0

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    # --- hooks

    async def authorize(self, context: CallContext) -> Authorization | None:
        if self._token is None:
            self.grants += 1
            self._token = await self.drive(self._grant(), context=context)
        return self._token

    async def reject_authorization(self, authorization: Authorization) -> None:
        if self._token is not None and self._token.version == authorization.version:
            self._token = None

    def front_door(self, response: WireResponse) -> FrontDoor | None:
        if response.status == 401 and b'"expired"' in response.body:
            return FrontDoor.TOKEN_REJECTED
        if response.status == 404 and b'"no route"' in response.body:
            return FrontDoor.ROUTE
        if response.status == 429 and b'"slow down"' in response.body:
            return FrontDoor.THROTTLED
        return None

    def map_error_code(self, operation: str, code: str) -> ErrorMeaning:
        if code == "poor":
            return ErrorMeaning(
                kind=ErrorClass.CUST,
                error=DeclinedError,
                reason=ReasonCode.INSUFFICIENT_BALANCE,
                final=True,
            )
        if code == "not_ready":
            return ErrorMeaning(kind=ErrorClass.STATE, error=DeclinedError, reason=ReasonCode.INVALID_PAYMENT)
        if code == "already":
            return ErrorMeaning(
                kind=ErrorClass.DONE,
                error=DeclinedError,
                reason=ReasonCode.DUPLICATE_PAYMENT,
                look_up_first=True,
            )
        return ErrorMeaning(kind=ErrorClass.UNK, error=UnreadableAnswerError)

    def validate_webhook_signature(self, delivery: Delivery) -> None:
        if delivery.headers.get("x-toy") != "signed":
            raise SignatureError("Not signed.")

    def parse_return(self, params: Mapping[str, str]) -> ReturnHint:
        if "ref" not in params:
            raise InvalidRequestError("The return names no payment.", field="ref", rule="required")
        return ReturnHint(gateway="toy", gateway_reference=params["ref"], verdict=HintVerdict.SUCCESS)

    # --- verbs

    async def initialize_payment(
        self,
        request: PaymentRequest,
        *,
        gateway_order_id: str | None = None,
        callback_url: str | None = None,
        payment_id: str | None = None,
        submission_no: int = 1,
        context: CallContext | None = None,
        resume: Evidence | None = None,
        on_checkpoint: OnCheckpoint | None = None,
    ) -> PaymentSession:
        order = self.check_payment_request(
            request, gateway_order_id=gateway_order_id, submission_no=submission_no
        )
        found = await self.drive(self._create(request, order), context=context)
        return PaymentSession(
            payment_id=payment_id or "pay_toy",
            gateway="toy",
            mode=self.mode,
            merchant_reference=request.merchant_reference,
            amount=request.amount,
            gateway_order_id=order,
            gateway_reference=found["ref"],
            checkout_url=f"{ROOT}/page/{found['ref']}",
            expires_at=self._clock.now() + CAPABILITIES.session_life,
            submission_no=submission_no,
        )

    async def execute_payment(
        self, call: ExecuteCall, *, context: CallContext | None = None, resume: Evidence | None = None
    ) -> PaymentSnapshot:
        if resume is not None:
            return await self.get_payment_status(StatusCall(**_fields(call)), context=context)
        return await self.drive(self._money_step("execute", call), context=context)

    async def capture_payment(
        self, call: ExecuteCall, *, context: CallContext | None = None, resume: Evidence | None = None
    ) -> PaymentSnapshot:
        return await self.drive(self._money_step("capture", call), context=context)

    async def void_payment(
        self, call: ExecuteCall, *, context: CallContext | None = None, resume: Evidence | None = None
    ) -> PaymentSnapshot:
        return await self.drive(self._money_step("void", call), context=context)

    async def get_payment_status(
        self, call: StatusCall, *, context: CallContext | None = None
    ) -> PaymentSnapshot:
        return await self.drive(self._query(call), context=context)

    async def refund_payment(
        self,
        call: RefundCall,
        *,
        context: CallContext | None = None,
        resume: Evidence | None = None,
        on_checkpoint: OnCheckpoint | None = None,
    ) -> RefundSnapshot:
        return await self.drive(
            self._refund(call, resume),
            context=context,
            on_checkpoint=on_checkpoint,
            checkpoints=resume is None,
        )

    async def look_up_refund(
        self, call: RefundCall, *, resume: Evidence | None, context: CallContext | None = None
    ) -> RefundSnapshot | None:
        assert resume is not None, "this gateway tells refunds apart by a baseline"
        return await self.drive(self._new_refund(call, resume), context=context)

    # --- protocols

    def _send(self, operation: str, safety: Safety, body: Mapping[str, Any], **more: Any) -> Send:
        request = WireRequest("POST", f"{self._config.api_url}/{operation}", (), json.dumps(body).encode())
        return Send(request=request, operation=operation, safety=safety, **more)

    def _read(self, operation: str, safety: Safety, response: WireResponse | None) -> dict[str, Any]:
        assert response is not None
        found: Any = None
        try:
            found = json.loads(response.body)
        except ValueError:
            found = None
        if response.status != 200 or not isinstance(found, dict) or not ("code" in found or "ref" in found):
            raise UnreadableAnswerError(
                "The toy answered gibberish.",
                http_status=response.status,
                effect=Effect.UNKNOWN if safety is Safety.ONCE else Effect.NONE,
            )
        if "code" in found:
            meaning = self.map_error_code(operation, found["code"])
            raise error_for(meaning, what="The toy says no.", code=found["code"], safety=safety)
        return found

    def _grant(self) -> WireCall[Authorization]:
        assert isinstance(self._config, ToyConfig)
        body = {"password": self._config.password.reveal()}
        response = yield self._send("grant", Safety.DISPOSABLE, body, authorized=False)
        found = self._read("grant", Safety.DISPOSABLE, response)
        return Authorization((("authorization", found["token"]),), found["ref"])

    def _create(self, request: PaymentRequest, order: str) -> WireCall[dict[str, Any]]:
        body = {"order": order, "amount": request.amount.amount, "intent": request.intent.value}
        response = yield self._send("create", Safety.DISPOSABLE, body, reference=order)
        return self._read("create", Safety.DISPOSABLE, response)

    def _money_step(self, operation: str, call: ExecuteCall) -> WireCall[PaymentSnapshot]:
        try:
            response = yield self._send(operation, Safety.ONCE, {"ref": call.gateway_reference})
            return self._picture(self._read(operation, Safety.ONCE, response), call)
        except OutcomeUnknownError as lost:
            unknown = lost
        try:
            snapshot = yield from self._query(StatusCall(**_fields(call)))
        except GatewayError:
            raise unknown from None
        if snapshot.state in (SnapshotState.INITIATED, SnapshotState.APPROVED):
            raise unknown
        if operation != "execute" and snapshot.state is SnapshotState.AUTHORIZED:
            raise unknown
        return snapshot

    def _query(self, call: StatusCall) -> WireCall[PaymentSnapshot]:
        response = yield self._send("query", Safety.READ, {"ref": call.gateway_reference})
        return self._picture(self._read("query", Safety.READ, response), call)

    def _refund(self, call: RefundCall, resume: Evidence | None) -> WireCall[RefundSnapshot]:
        evidence = resume
        if evidence is None:
            before = yield from self._refunds(call)
            evidence = Evidence("refund.baseline", {"known": [one["trx"] for one in before]})
            yield Checkpoint(evidence)
            body = {"ref": call.gateway_reference, "amount": call.amount.amount}
            try:
                response = yield self._send("refund", Safety.ONCE, body)
                return self._refund_picture(self._read("refund", Safety.ONCE, response), call)
            except OutcomeUnknownError as lost:
                unknown = lost
        else:
            unknown = OutcomeUnknownError("An earlier attempt's end is unknown.")
        try:
            found = yield from self._new_refund(call, evidence)
        except GatewayError:
            raise unknown from None
        if found is None:
            raise unknown
        return found

    def _new_refund(self, call: RefundCall, resume: Evidence) -> WireCall[RefundSnapshot | None]:
        known = resume.data["known"]
        assert isinstance(known, list)
        for one in (yield from self._refunds(call)):
            if one["trx"] not in known and one["amount"] == call.amount.amount:
                return self._refund_picture(one, call)
        return None

    def _refunds(self, call: RefundCall) -> WireCall[list[dict[str, str]]]:
        body = {"ref": call.gateway_reference}
        response = yield self._send("refunds", Safety.READ, body, step="refund.baseline")
        found: list[dict[str, str]] = self._read("refunds", Safety.READ, response)["list"]
        return found

    def _picture(self, found: dict[str, Any], call: ExecuteCall | StatusCall) -> PaymentSnapshot:
        snapshot = PaymentSnapshot(
            state=_STATES.get(found["state"], SnapshotState.UNRECOGNIZED),
            gateway_reference=found["ref"],
            raw_state=found["state"],
            gateway_order_id=found["order"],
            amount=Money(found["amount"], "BDT"),
            transaction_id=found.get("trx"),
        )
        return judge_snapshot(
            snapshot,
            gateway_reference=call.gateway_reference,
            gateway_order_id=call.gateway_order_id,
            amount=call.amount,
            mode=self.mode,
        )

    def _refund_picture(self, found: dict[str, Any], call: RefundCall) -> RefundSnapshot:
        snapshot = RefundSnapshot(
            state=RefundState.COMPLETED,
            transaction_id=found["trx"],
            original_transaction_id=found["original"],
            amount=Money(found["amount"], "BDT"),
            raw_state="done",
        )
        return judge_refund(snapshot, original_transaction_id=call.transaction_id, amount=call.amount)


def _fields(call: ExecuteCall) -> dict[str, Any]:
    return {
        name: getattr(call, name) for name in ("gateway_reference", "gateway_order_id", "amount", "intent")
    }


ADAPTER = Adapter("toy", ToyGateway, ToyConfig)


# --- the server -----------------------------------------------------------------------------------------------


@dataclass
class ToyServer:
    """The toy's own server, as a Transport: it keeps books and counts what moved money."""

    payments: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    requests: list[tuple[str, Safety]] = field(default_factory=list)
    moves: int = 0
    poor: bool = False
    tokens: set[str] = field(default_factory=set)
    grants: int = 0
    closed: bool = False

    async def send(
        self, request: WireRequest, *, safety: Safety, timeout_s: float, send_by: SendBy | None = None
    ) -> WireResponse:
        operation = request.url.rpartition("/")[2]
        self.requests.append((operation, safety))
        body = json.loads(request.body)
        if operation == "grant":
            if body["password"] != PASSWORD:
                return _json({"code": "who"})
            self.grants += 1
            token = f"token-{self.grants}"
            self.tokens.add(token)
            return _json({"ref": token, "token": token})
        if dict(request.headers).get("authorization") not in self.tokens:
            return _json({"message": "expired"}, 401)
        handler = getattr(self, f"_{operation}", None)
        return _json({"message": "no route"}, 404) if handler is None else _json(handler(body))

    async def aclose(self) -> None:
        self.closed = True

    def approve(self, reference: str) -> None:
        self.payments[reference]["state"] = "approved"

    def sent(self, operation: str) -> int:
        """How many requests of this operation arrived."""
        return sum(found == operation for found, _ in self.requests)

    def _create(self, body: dict[str, str]) -> dict[str, Any]:
        reference = f"REF{len(self.payments) + 1}"
        self.payments[reference] = {"ref": reference, "state": "open", **body}
        return self.payments[reference]

    def _execute(self, body: dict[str, str]) -> dict[str, Any]:
        payment = self.payments[body["ref"]]
        if payment["state"] in ("paid", "held"):
            return {"code": "already"}
        if payment["state"] != "approved":
            return {"code": "not_ready"}
        if self.poor:
            return {"code": "poor"}
        held = payment["intent"] == Intent.AUTHORIZATION.value
        self.moves += 1
        payment.update(state="held" if held else "paid", trx=f"TRX{self.moves}")
        return payment

    def _capture(self, body: dict[str, str]) -> dict[str, Any]:
        return self._finish(body, "paid")

    def _void(self, body: dict[str, str]) -> dict[str, Any]:
        return self._finish(body, "voided")

    def _finish(self, body: dict[str, str], state: str) -> dict[str, Any]:
        payment = self.payments[body["ref"]]
        if payment["state"] != "held":
            return {"code": "already"}
        self.moves += 1
        payment.update(state=state, trx=f"TRX{self.moves}")
        return payment

    def _query(self, body: dict[str, str]) -> dict[str, Any]:
        return self.payments[body["ref"]]

    def _refund(self, body: dict[str, str]) -> dict[str, Any]:
        payment = self.payments[body["ref"]]
        if payment["state"] != "paid":
            return {"code": "not_ready"}
        self.moves += 1
        found = {
            "ref": body["ref"],
            "trx": f"RFD{self.moves}",
            "original": payment["trx"],
            "amount": body["amount"],
        }
        self.refunds.setdefault(body["ref"], []).append(found)
        return found

    def _refunds(self, body: dict[str, str]) -> dict[str, Any]:
        return {"ref": body["ref"], "list": list(self.refunds.get(body["ref"], []))}


def _json(found: dict[str, Any], status: int = 200) -> WireResponse:
    return WireResponse(status, {"content-type": "application/json"}, json.dumps(found).encode())


def a_request(reference: str = "INV-1", amount: str = "100", **more: Any) -> PaymentRequest:
    """A request to the toy."""
    return PaymentRequest(
        operation_id=f"{reference}/pay",
        gateway="toy",
        amount=Money(amount, "BDT"),
        merchant_reference=reference,
        **more,
    )


def a_call(session: PaymentSession, intent: Intent = Intent.SALE) -> ExecuteCall:
    """The execute call of a session."""
    return ExecuteCall(
        gateway_reference=session.gateway_reference,
        gateway_order_id=session.gateway_order_id,
        amount=session.amount,
        intent=intent,
    )


NOW = datetime(2026, 1, 15, 6, 0, tzinfo=UTC)
