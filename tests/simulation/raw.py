"""A gateway without mercy, as a world: it forgives nothing that a real one may forgive.

An execute that comes twice charges twice. A refund that comes twice goes back twice, and nobody counts whether that
much came in. Refunds carry our own id, so that several may be under way at once. What bKash's rules would hide from
the checkers, this one shows. `page` is its other kind: the payer completes on the page, whenever he likes, as often
as he has tabs open.
"""

import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from pydantic import Field

from tests.unit.toy import CAPABILITIES, ToyGateway
from vextrus_payments.capabilities import Capabilities, Completion, RefundCorrelation
from vextrus_payments.config import GatewayConfig
from vextrus_payments.errors import GatewayError, OutcomeUnknownError, SignatureError
from vextrus_payments.events import (
    Delivery,
    Events,
    GatewayEvent,
    HintVerdict,
    ReturnHint,
    payment_news_key,
)
from vextrus_payments.gateways.base import Adapter, Authorization
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence, PaymentRequest, RefundCall
from vextrus_payments.secret import Secret
from vextrus_payments.snapshots import PaymentSnapshot, RefundSnapshot, RefundState, SnapshotState
from vextrus_payments.testing.simulation import (
    Consent,
    HttpAnswer,
    HttpAsk,
    Movement,
    Notice,
    WireFact,
    WorldPorts,
)
from vextrus_payments.wire import CallContext, OnCheckpoint, Safety, WireCall

_VERDICTS = {"success": HintVerdict.SUCCESS, "cancel": HintVerdict.CANCEL, "failure": HintVerdict.FAILURE}


class RawConfig(GatewayConfig):
    """Its settings."""

    env_prefix: ClassVar[str] = "RAW"
    api_url: str = "http://127.0.0.1:21002"
    password: Secret = Field(description="The password")


class RawGateway(ToyGateway):
    """The adapter: the toy's, with refunds that carry our own id."""

    name: ClassVar[str] = "raw"
    completion: ClassVar[Completion] = Completion.MERCHANT_EXECUTES

    @property
    def capabilities(self) -> Capabilities:
        return replace(
            CAPABILITIES,
            gateway=self.name,
            completion=self.completion,
            refund_correlation=RefundCorrelation.OWN_ID,
        )

    def parse_return(self, params: Mapping[str, str]) -> ReturnHint:
        hint = super().parse_return(params)
        verdict = _VERDICTS.get(params.get("status", ""), HintVerdict.UNRECOGNIZED)
        return replace(hint, gateway=self.name, verdict=verdict)

    async def initialize_payment(self, request: PaymentRequest, **more: Any) -> Any:
        return replace(await super().initialize_payment(request, **more), gateway=self.name)

    async def handle_webhook(self, delivery: Delivery) -> Events:
        told = delivery.headers.get("x-raw-signature", "")
        assert isinstance(self._config, RawConfig)
        key = self._config.password.reveal().encode()
        if not hmac.compare_digest(told.encode(), _signature(key, delivery.body)):
            raise SignatureError("It is not signed by this merchant's gateway.", gateway=self.name)
        found = json.loads(delivery.body)
        snapshot = PaymentSnapshot(
            state=SnapshotState.PAID,
            gateway_reference=found["ref"],
            raw_state="paid",
            gateway_order_id=found["order"] or None,
            amount=Money(found["amount"], "BDT"),
            transaction_id=found["trx"],
        )
        event = GatewayEvent(event_id=found["id"], snapshot=snapshot, news_key=payment_news_key(snapshot))
        return Events((event,))

    def _grant(self) -> WireCall[Authorization]:
        assert isinstance(self._config, RawConfig)
        body = {"password": self._config.password.reveal()}
        response = yield self._send("grant", Safety.DISPOSABLE, body, authorized=False)
        found = self._read("grant", Safety.DISPOSABLE, response)
        return Authorization((("authorization", found["token"]),), found["ref"])

    async def refund_payment(
        self,
        call: RefundCall,
        *,
        context: CallContext | None = None,
        resume: Evidence | None = None,
        on_checkpoint: OnCheckpoint | None = None,
    ) -> RefundSnapshot:
        return await self.drive(self._once(call), context=context)

    async def look_up_refund(
        self, call: RefundCall, *, resume: Evidence | None, context: CallContext | None = None
    ) -> RefundSnapshot | None:
        return await self.drive(self._of_id(call), context=context)

    async def get_refund_status(
        self, call: RefundCall, *, context: CallContext | None = None
    ) -> tuple[RefundSnapshot, ...]:
        return await self.drive(self._listed(call), context=context)

    def _listed(self, call: RefundCall) -> WireCall[tuple[RefundSnapshot, ...]]:
        return tuple(
            RefundSnapshot(
                state=RefundState.COMPLETED,
                transaction_id=one["trx"],
                original_transaction_id=one["original"],
                amount=Money(one["amount"], "BDT"),
                raw_state="done",
            )
            for one in (yield from self._refunds(call))
        )

    def _once(self, call: RefundCall) -> WireCall[RefundSnapshot]:
        body = {"ref": call.gateway_reference, "amount": call.amount.amount, "id": call.operation_id}
        try:
            response = yield self._send("refund", Safety.ONCE, body)
            return self._refund_picture(self._read("refund", Safety.ONCE, response), call)
        except OutcomeUnknownError as lost:
            unknown = lost
        try:
            found = yield from self._of_id(call)
        except GatewayError:
            raise unknown from None
        if found is None:
            raise unknown
        return found

    def _of_id(self, call: RefundCall) -> WireCall[RefundSnapshot | None]:
        for one in (yield from self._refunds(call)):
            if one.get("id") == call.operation_id:
                return self._refund_picture(one, call)
        return None


class PageGateway(RawGateway):
    """The payer completes."""

    name: ClassVar[str] = "page"
    completion: ClassVar[Completion] = Completion.PAYER_COMPLETES


class PageConfig(RawConfig):
    """Its settings."""

    env_prefix: ClassVar[str] = "PAGE"
    api_url: str = "http://127.0.0.1:21003"


@dataclass
class RawWorld:
    """Its server and its books."""

    ports: WorldPorts
    gateway: str = "raw"
    port: int = 21_002
    adapter: Adapter | None = None
    payer_completes: bool = False
    mode: str = "sandbox"
    effect_limit_s: float = 60.0
    grants_an_hour: int | None = None
    refunds_by_own_id: bool = True

    def __post_init__(self) -> None:
        self.payments: dict[str, dict[str, Any]] = {}
        self.lines: list[Movement] = []
        self.refunds: dict[str, list[dict[str, str]]] = {}
        self.tokens: dict[str, str] = {}
        self._made: dict[str, float] = {}
        self._holds = 0
        self._told = 0

    @property
    def sites(self) -> Sequence[tuple[str, int]]:
        return [("127.0.0.1", self.port)]

    def config(self, tenant: str) -> GatewayConfig:
        kind = PageConfig if self.payer_completes else RawConfig
        return kind(mode="sandbox", password=Secret(f"raw-password-{tenant}"))  # type: ignore[arg-type]

    # --- the wire -------------------------------------------------------------------------------------------------

    async def answer(self, ask: HttpAsk) -> HttpAnswer:
        body = json.loads(ask.body)
        operation = ask.path.rpartition("/")[2]
        if operation == "grant":
            tenant = body["password"].removeprefix("raw-password-")
            if tenant not in self.ports.tenants:
                return _say({"code": "who"})
            token = f"token-{len(self.tokens)}"
            self.tokens[token] = tenant
            return _say({"ref": token, "token": token})
        found = self.tokens.get(ask.headers.get("authorization", ""))
        if found is None:
            return _say({"message": "expired"}, 401)
        if operation == "create":
            return _say(self._create(body, found))
        payment = self.payments.get(body["ref"])
        if payment is not None and payment["state"] in ("open", "approved") and self._is_old(payment):
            payment["state"] = "voided"
        if payment is None or payment["tenant"] != found:
            return _say({"code": "not_ready"})
        return _say(getattr(self, f"_{operation}")(payment, body))

    def _create(self, body: dict[str, str], tenant: str) -> dict[str, Any]:
        reference = f"{self.gateway.upper()}{len(self.payments) + 1}"
        self.payments[reference] = {"ref": reference, "state": "open", "tenant": tenant, "how": "", **body}
        self._made[reference] = self.ports.clock.monotonic()
        return self.payments[reference]

    def _is_old(self, payment: dict[str, Any]) -> bool:
        return self.ports.clock.monotonic() - self._made[payment["ref"]] > 3600.0

    def _execute(self, payment: dict[str, Any], body: dict[str, str]) -> dict[str, Any]:
        if payment["state"] not in ("approved", "paid"):
            return {"code": "not_ready"}
        if payment["how"] == "poor":
            return {"code": "poor"}
        if payment["intent"] == "authorization":
            if payment["state"] == "approved":
                self._holds += 1
                payment.update(state="held", trx=f"{self.gateway.upper()}H{self._holds}")
            return payment
        self._charge(payment)
        return payment

    def _capture(self, payment: dict[str, Any], body: dict[str, str]) -> dict[str, Any]:
        if payment["state"] not in ("held", "paid") or payment["intent"] != "authorization":
            return {"code": "already"}
        self._charge(payment)  # as often as it is asked to
        return payment

    def _void(self, payment: dict[str, Any], body: dict[str, str]) -> dict[str, Any]:
        if payment["state"] != "held":
            return {"code": "already"}
        payment["state"] = "voided"
        return payment

    def _charge(self, payment: dict[str, Any]) -> None:
        transaction_id = self._move("capture", payment, payment["amount"])
        payment.update(state="paid", trx=transaction_id)

    def _query(self, payment: dict[str, Any], body: dict[str, str]) -> dict[str, Any]:
        return payment

    def _refund(self, payment: dict[str, Any], body: dict[str, str]) -> dict[str, Any]:
        if payment["state"] != "paid":
            return {"code": "not_ready"}
        transaction_id = self._move("refund", payment, body["amount"], body["id"])
        found = {
            "ref": body["ref"],
            "trx": transaction_id,
            "original": payment["trx"],
            "amount": body["amount"],
            "id": body["id"],
        }
        self.refunds.setdefault(body["ref"], []).append(found)
        return found

    def _refunds(self, payment: dict[str, Any], body: dict[str, str]) -> dict[str, Any]:
        return {"ref": body["ref"], "list": list(self.refunds.get(body["ref"], []))}

    def _move(self, kind: str, payment: dict[str, Any], amount: str, our_id: str | None = None) -> str:
        transaction_id = f"{self.gateway.upper()}{kind[0].upper()}{len(self.lines) + 1}"
        if kind == "capture":
            self._tell(payment["tenant"], payment["ref"], payment["order"], amount, transaction_id)
        self.lines.append(
            Movement(
                kind=kind,
                gateway=self.gateway,
                mode=self.mode,
                tenant=payment["tenant"],
                reference=payment["ref"],
                order_id=payment["order"],
                amount_minor=_minor(amount),
                transaction_id=transaction_id,
                original_transaction_id=payment["trx"] if kind == "refund" else None,
                correlation=our_id,
            )
        )
        return transaction_id

    def _tell(self, tenant: str, reference: str, order: str, amount: str, transaction_id: str) -> None:
        self._told += 1
        event_id = f"{self.gateway}-{self._told}"
        body = json.dumps(
            {"id": event_id, "ref": reference, "order": order, "amount": amount, "trx": transaction_id}
        ).encode()
        notice = Notice(
            tenant=tenant,
            event_id=event_id,
            headers=self.sign(body, f"raw-password-{tenant}".encode()),
            body=body,
            transaction_id=transaction_id,
            is_stray=not order,
        )
        self.ports.tell(self, notice)

    def take_stray(self, tenant: str, amount_minor: int) -> None:
        amount = f"{amount_minor // 100}.{amount_minor % 100:02d}"
        self._tell(tenant, "", "", amount, f"{self.gateway.upper()}Q{self._told + 1}")

    def sign(self, body: bytes, key: bytes) -> Mapping[str, str]:
        return {"content-type": "application/json", "x-raw-signature": _signature(key, body).decode()}

    def token_rejected(self) -> HttpAnswer | None:
        return _say({"message": "expired"}, 401)

    def facts(self, ask: HttpAsk, answer: HttpAnswer) -> Sequence[WireFact]:
        asked, said = json.loads(ask.body), json.loads(answer.body)
        operation = ask.path.rpartition("/")[2]
        token = ask.headers.get("authorization", "")
        who: dict[str, Any] = {"tenant": self.tokens.get(token, ""), "mode": self.mode}
        if operation == "create" and "ref" in said:
            return [
                WireFact(
                    kind="created",
                    reference=said["ref"],
                    order_id=asked["order"],
                    amount_minor=_minor(asked["amount"]),
                    **who,
                )
            ]
        if operation == "execute":
            facts = [WireFact(kind="execute_asked", reference=asked["ref"], **who)]
            if said.get("state") == "paid":
                facts.append(_moved("executed", said, said["trx"], who))
            return facts
        if operation == "capture":
            return [_moved("captured", said, said["trx"], who)] if said.get("state") == "paid" else []
        if operation == "query" and self.payer_completes and said.get("state") == "paid":
            return [_moved("executed", said, said["trx"], who)]
        if operation == "refund":
            amount = _minor(asked["amount"])
            facts = [WireFact(kind="refund_asked", reference=asked["ref"], amount_minor=amount, **who)]
            if "trx" in said:
                facts.append(_moved("refunded", said, said["trx"], who))
            return facts
        return []

    # --- payers and books -----------------------------------------------------------------------------------------

    def approve(self, reference: str, how: str) -> bool:
        payment = self.payments.get(reference)
        if payment is None or payment["state"] != "open" or self._is_old(payment):
            return False
        if how in ("cancel", "failure"):
            payment["state"] = "voided"
            return True
        payment["how"] = how
        if self.payer_completes and how != "poor":
            self._charge(payment)
        elif not self.payer_completes:
            payment["state"] = "approved"
        return True

    def change_amount(self, reference: str, amount_minor: int) -> bool:
        payment = self.payments.get(reference)
        if payment is None or payment["state"] != "open":
            return False
        payment["amount"] = f"{amount_minor // 100}.{amount_minor % 100:02d}"
        return True

    def give_back(self, reference: str, amount_minor: int) -> bool:
        return False  # it has no portal: whoever refunds here twice gives back twice

    def consents(self) -> Sequence[Consent] | None:
        return None

    def return_params(self, reference: str, verdict: str) -> Mapping[str, str]:
        return {"ref": reference, "status": verdict}

    def movements(self) -> Sequence[Movement]:
        return self.lines

    def audit(self) -> Sequence[str]:
        return ()


def _moved(kind: str, said: dict[str, Any], transaction_id: str, who: dict[str, Any]) -> WireFact:
    amount_minor = _minor(said["amount"])
    return WireFact(
        kind=kind,
        reference=said["ref"],
        amount_minor=amount_minor,
        transaction_id=transaction_id,
        **who,
    )


def _signature(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, body, "sha256").hex().encode()


def _minor(text: str) -> int:
    whole, _, part = text.partition(".")
    return int(whole) * 100 + int((part + "00")[:2])


def _say(found: dict[str, Any], status: int = 200) -> HttpAnswer:
    return HttpAnswer(status, json.dumps(found).encode())


def raw(ports: WorldPorts) -> RawWorld:
    """The merchant executes."""
    return RawWorld(ports, adapter=Adapter("raw", RawGateway, RawConfig))


def page(ports: WorldPorts) -> RawWorld:
    """The payer completes."""
    return RawWorld(
        ports,
        gateway="page",
        port=21_003,
        payer_completes=True,
        adapter=Adapter("page", PageGateway, PageConfig),
    )
