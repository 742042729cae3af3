"""A gateway that does not exist, and its whole adapter in one file, to read before writing one.

Acme Pay: POST /orders opens a page, the payer pays there, GET /orders/{ref} says how it stands. POST /refunds gives
money back under a number of ours, GET /refunds/{number} finds it again. Amounts are text in taka. A refusal is
{"code": ...}.
`tests/docs/test_example_gateway.py` holds it against the conformance kit, which breaks the line at every step.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import Field

from vextrus_payments.capabilities import (
    Absence,
    Capabilities,
    Completion,
    Feature,
    IdempotencyScope,
    OrderIdRule,
    Polling,
    RefundCorrelation,
)
from vextrus_payments.config import GatewayConfig
from vextrus_payments.errors import (
    AuthenticationRejectedError,
    DeclinedError,
    Effect,
    GatewayError,
    InvalidRequestError,
    OutcomeUnknownError,
    SignatureError,
    UnreadableAnswerError,
)
from vextrus_payments.events import Delivery, HintVerdict, ReturnHint
from vextrus_payments.gateways.base import Adapter, Authorization, PaymentGateway
from vextrus_payments.gateways.bodies import UnreadableBodyError, as_text, read_json
from vextrus_payments.judging import judge_refund, judge_snapshot
from vextrus_payments.meanings import ErrorClass, ErrorMeaning, error_for
from vextrus_payments.money import Money
from vextrus_payments.payment import (
    Evidence,
    ExecuteCall,
    PaymentRequest,
    PaymentSession,
    RefundCall,
    StatusCall,
)
from vextrus_payments.reasons import ReasonCode
from vextrus_payments.secret import Secret
from vextrus_payments.snapshots import PaymentSnapshot, RefundSnapshot, RefundState, SnapshotState
from vextrus_payments.wire import CallContext, OnCheckpoint, Safety, Send, WireCall, WireRequest, WireResponse

# --- config.py --------------------------------------------------------------------------------------------------------


class AcmeConfig(GatewayConfig):
    """Acme's settings: ACME_MODE, ACME_API_URL, ACME_KEY ..."""

    env_prefix: ClassVar[str] = "ACME"
    key: Secret = Field(description="The key Acme gave you")


# --- what it can do ---------------------------------------------------------------------------------------------------

CAPABILITIES = Capabilities(
    gateway="acme",
    currencies=frozenset({"BDT"}),
    min_amount=Money("1", "BDT"),
    max_amount=None,
    completion=Completion.PAYER_COMPLETES,
    absence=Absence.NEVER,
    hard_limit_s=60,
    absence_margin_s=60,
    refund_correlation=RefundCorrelation.OWN_ID,
    idempotency=IdempotencyScope.NONE,
    order_id=OrderIdRule(characters="A-Za-z0-9", min_length=4, max_length=20),
    session_life=timedelta(minutes=30),
    features=frozenset({Feature.REFUND, Feature.PARTIAL_REFUND}),
    polling=Polling(session_s=(15, 60, 300)),
)

# --- errors.py: what each code means; one that is not here proves nothing ---------------------------------------------

_UNDOCUMENTED = ErrorMeaning(kind=ErrorClass.UNK, error=UnreadableAnswerError)
_CODES: Mapping[str, ErrorMeaning] = {
    "bad_key": ErrorMeaning(kind=ErrorClass.CFG, error=AuthenticationRejectedError),
    "no_money_left": ErrorMeaning(
        kind=ErrorClass.VAL, error=DeclinedError, reason=ReasonCode.INVALID_PAYMENT, final=True
    ),
    "no_such_refund": ErrorMeaning(
        kind=ErrorClass.NF, error=DeclinedError, reason=ReasonCode.INVALID_PAYMENT
    ),
}
_STATES = {"open": SnapshotState.INITIATED, "paid": SnapshotState.PAID, "left": SnapshotState.CANCELLED}


def _refund_number(operation_id: str) -> str:
    """Ours, and the same for every attempt at the same operation: by it a refund is found again."""
    return hashlib.sha256(operation_id.encode()).hexdigest()[:20]


def _money(text: object) -> Money | None:
    found = as_text(text)
    return None if found is None else Money(found, "BDT")


# --- gateway.py, with the generators that protocol.py would hold ------------------------------------------------------


class AcmeGateway(PaymentGateway):
    """The adapter."""

    name: ClassVar[str] = "acme"

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    async def authorize(self, context: CallContext) -> Authorization | None:
        assert isinstance(self._config, AcmeConfig)
        return Authorization((("authorization", f"Key {self._config.key.reveal()}"),), "key")

    def map_error_code(self, operation: str, code: str) -> ErrorMeaning:
        return _CODES.get(code, _UNDOCUMENTED)

    def validate_webhook_signature(self, delivery: Delivery) -> None:
        raise SignatureError("Acme sends no webhooks.")

    def parse_return(self, params: Mapping[str, str]) -> ReturnHint:
        if not params.get("ref"):
            raise InvalidRequestError("The return names no payment.", field="ref", rule="required")
        verdict = HintVerdict.SUCCESS if params.get("done") == "yes" else HintVerdict.UNRECOGNIZED
        return ReturnHint(gateway=self.name, gateway_reference=params["ref"], verdict=verdict)

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
        found = await self.drive(self._open(order, request.amount, callback_url), context=context)
        return PaymentSession(
            payment_id=payment_id or f"pay_{order}",
            gateway=self.name,
            mode=self.mode,
            merchant_reference=request.merchant_reference,
            amount=request.amount,
            gateway_order_id=order,
            gateway_reference=found["ref"],
            checkout_url=found["page"],
            expires_at=self._clock.now() + CAPABILITIES.session_life,
            submission_no=submission_no,
        )

    async def execute_payment(
        self, call: ExecuteCall, *, context: CallContext | None = None, resume: Evidence | None = None
    ) -> PaymentSnapshot:
        """The payer's click has moved the money, or not yet: only looked up."""
        found = await self.drive(self._look(call), context=context)
        if found.state in (SnapshotState.PAID, SnapshotState.REVIEW):
            return found
        open_ = ErrorMeaning(
            kind=ErrorClass.STATE, error=DeclinedError, reason=ReasonCode.INVALID_PAYMENT, look_up_first=True
        )
        raise error_for(open_, what="Acme shows no payment yet.", code=found.raw_state, safety=Safety.READ)

    async def get_payment_status(
        self, call: StatusCall, *, context: CallContext | None = None
    ) -> PaymentSnapshot:
        return await self.drive(self._look(call), context=context)

    async def refund_payment(
        self,
        call: RefundCall,
        *,
        context: CallContext | None = None,
        resume: Evidence | None = None,
        on_checkpoint: OnCheckpoint | None = None,
    ) -> RefundSnapshot:
        if resume is None:
            return await self.drive(self._refund(call), context=context)
        found = await self.look_up_refund(call, resume=resume, context=context)
        if found is None:
            raise OutcomeUnknownError("An earlier attempt's end is unknown.", code="refund_not_seen")
        return found

    async def look_up_refund(
        self, call: RefundCall, *, resume: Evidence | None, context: CallContext | None = None
    ) -> RefundSnapshot | None:
        return await self.drive(self._find_refund(call), context=context)

    # --- protocol

    def _open(self, order: str, amount: Money, back: str | None) -> WireCall[dict[str, Any]]:
        body = {"order": order, "amount": amount.amount, "back": back or self._config.callback_url or ""}
        # A page that nobody heard of is paid by nobody: its lost answer costs a new order id, and no money.
        answer = yield self._send("POST", "orders", "open", Safety.DISPOSABLE, body)
        found = self._read("open", Safety.DISPOSABLE, answer)
        if found.get("order") != order or not isinstance(found.get("ref"), str):
            raise UnreadableAnswerError("Acme opened another order.", code="other_order", effect=Effect.NONE)
        return found

    def _look(self, call: ExecuteCall | StatusCall) -> WireCall[PaymentSnapshot]:
        answer = yield self._send("GET", f"orders/{call.gateway_reference}", "look_up", Safety.READ)
        found = self._read("look_up", Safety.READ, answer)
        state = as_text(found.get("state")) or ""
        snapshot = PaymentSnapshot(
            state=_STATES.get(state, SnapshotState.UNRECOGNIZED),
            gateway_reference=as_text(found.get("ref")) or "",
            raw_state=state,
            gateway_order_id=as_text(found.get("order")),
            amount=_money(found.get("amount")),
            transaction_id=as_text(found.get("receipt")),
        )
        return judge_snapshot(  # another order, amount or reference: REVIEW, never PAID
            snapshot,
            gateway_reference=call.gateway_reference,
            gateway_order_id=call.gateway_order_id,
            amount=call.amount,
            mode=self.mode,
        )

    def _refund(self, call: RefundCall) -> WireCall[RefundSnapshot]:
        body = {
            "ref": call.gateway_reference,
            "number": _refund_number(call.operation_id),
            "amount": call.amount.amount,
        }
        try:
            answer = yield self._send("POST", "refunds", "refund", Safety.ONCE, body)
            return self._refund_picture(self._read("refund", Safety.ONCE, answer), call)
        except OutcomeUnknownError as lost:
            unknown = lost
        try:
            found = yield from self._find_refund(call)
        except GatewayError:
            found = None
        if found is None:
            raise unknown  # not seen yet is no proof: it stays unknown, and is looked for again
        return found

    def _find_refund(self, call: RefundCall) -> WireCall[RefundSnapshot | None]:
        number = _refund_number(call.operation_id)
        answer = yield self._send("GET", f"refunds/{number}", "find_refund", Safety.READ)
        try:
            return self._refund_picture(self._read("find_refund", Safety.READ, answer), call)
        except DeclinedError as refused:
            if refused.code != "no_such_refund":
                raise
        return None

    def _refund_picture(self, found: Mapping[str, Any], call: RefundCall) -> RefundSnapshot:
        ours = found.get("number") == _refund_number(call.operation_id)
        snapshot = RefundSnapshot(
            state=RefundState.COMPLETED if ours else RefundState.UNRECOGNIZED,
            transaction_id=as_text(found.get("refund_receipt")) or "",
            original_transaction_id=as_text(found.get("receipt")) or "",
            amount=_money(found.get("amount")),
            raw_state="done",
        )
        return judge_refund(snapshot, original_transaction_id=call.transaction_id, amount=call.amount)

    def _send(
        self, method: str, path: str, operation: str, safety: Safety, body: Mapping[str, str] | None = None
    ) -> Send:
        raw = b"" if body is None else json.dumps(body).encode()
        headers = () if body is None else (("content-type", "application/json"),)
        request = WireRequest(method, f"{self._config.api_url}/{path}", headers, raw)
        return Send(request=request, operation=operation, safety=safety)

    def _read(self, operation: str, safety: Safety, answer: WireResponse | None) -> dict[str, Any]:
        """One JSON object of Acme's; a page, half a document or a 5xx proves nothing."""
        assert answer is not None
        found: dict[str, Any] = {}
        try:
            found = read_json(answer.body)
        except UnreadableBodyError:
            found = {}
        if answer.status != 200 or not ("code" in found or "ref" in found):
            effect = Effect.UNKNOWN if safety is Safety.ONCE else Effect.NONE
            raise UnreadableAnswerError(
                "Acme's answer cannot be read.", http_status=answer.status, effect=effect
            )
        if "code" in found:
            code = as_text(found["code"]) or "none"
            raise error_for(
                self.map_error_code(operation, code), what="Acme refused.", code=code, safety=safety
            )
        return found


adapter = Adapter("acme", AcmeGateway, AcmeConfig)
