"""bKash's wire: routes, the front door (tokens, headers) and the envelopes (dossier §3, §4, §9).

The front door answers as Amazon's API gateway does, with an HTTP status and a lone ``message``; the house
behind it answers HTTP 200 with a code (v1) or HTTP 400 with an external code (v2). It tolerates what real
clients send: amounts as text or numbers, with or without ``Bearer``, both spellings of ids and of the void
path, agreement look-ups by either id.
"""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vextrus_payments.gateways.bkash import models as m
from vextrus_payments_sandbox.bkash.answers import Answers, refusal_v1, refusal_v2
from vextrus_payments_sandbox.bkash.records import GATEWAY, Refusal
from vextrus_payments_sandbox.bkash.rules import BkashRules
from vextrus_payments_sandbox.bkash.tokens import (
    TOKEN_LIFE_S,
    GrantLog,
    Merchant,
    mint_id_token,
    mint_refresh_token,
    read_id_token,
    refresh_token_is_good,
)
from vextrus_payments_sandbox.bkash.watching import BkashManners
from vextrus_payments_sandbox.exchange import BodyTooLargeError, Done, Exchange, json_response, read_body
from vextrus_payments_sandbox.faults import Fault, Subject
from vextrus_payments_sandbox.world import World, iso, to_paisa

OPERATIONS: Final = (
    "grant",
    "refresh",
    "create",
    "execute",
    "query",
    "agreement_status",
    "agreement_cancel",
    "search",
    "capture",
    "void",
    "refund",
    "refund_status",
)
_PATHS: Final[Mapping[str, str]] = {
    m.ROOT_PATH + m.PATH_GRANT: "grant",
    m.ROOT_PATH + m.PATH_REFRESH: "refresh",
    m.ROOT_PATH + m.PATH_CREATE: "create",
    m.ROOT_PATH + m.PATH_EXECUTE: "execute",
    m.ROOT_PATH + m.PATH_QUERY: "query",
    m.ROOT_PATH + m.PATH_AGREEMENT_STATUS: "agreement_status",
    m.ROOT_PATH + m.PATH_AGREEMENT_CANCEL: "agreement_cancel",
    m.ROOT_PATH + m.PATH_SEARCH: "search",
    m.ROOT_PATH + m.PATH_CAPTURE: "capture",
    m.ROOT_PATH + m.PATH_VOID: "void",
    m.ROOT_PATH + m.PATH_VOID_ALTERNATIVE: "void",
    m.ROOT_PATH + m.PATH_REFUND_V1: "refund",
    m.HOST_PATH_REFUND_V2: "refund",
    m.HOST_PATH_REFUND_STATUS_V2: "refund_status",
}
_WRONG_ROUTE: Final = (
    "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. "
    "Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of either a "
    "'X-Amz-Date' or a 'Date' header."
)


def front_door(message: str, status: int) -> Response:
    """An answer of the API gateway in front of bKash: a lone message, and nothing was done (§9)."""
    return json_response({"message": message}, status)


def unknown_route(request: Request) -> Response:
    """What bKash's host answers on a path it does not have (§9)."""
    if "authorization" in request.headers:
        return front_door(_WRONG_ROUTE, 403)
    return front_door("Missing Authentication Token", 403)


def _fields(raw: bytes) -> dict[str, str] | None:
    """The body as plain texts, numbers as they were written; ``None`` where it is not a flat JSON object."""
    try:
        found = m.read_json(raw)
    except m.UnreadableBodyError:
        return None
    if not all(value is None or isinstance(value, str) for value in found.values()):
        return None
    texts = {key: str(value) for key, value in found.items() if value is not None}
    for lower, upper in (("paymentId", "paymentID"), ("trxId", "trxID"), ("agreementId", "agreementID")):
        if lower in texts:
            texts.setdefault(upper, texts[lower])
    try:
        for text in texts.values():
            text.encode("utf-8")  # a lone surrogate could not be answered or shown again
    except UnicodeEncodeError:
        return None
    return texts


def _reference(fields: Mapping[str, str] | None) -> str | None:
    for name in ("paymentID", "agreementID", "trxID"):
        if fields and fields.get(name):
            return fields[name][: m.TEXT_MAX]
    return None


@dataclass(frozen=True, slots=True)
class Ask:
    """One call as the handlers see it."""

    merchant: Merchant
    fields: Mapping[str, str]
    base_url: str
    fault: Fault | None

    @property
    def stale(self) -> bool:
        """Whether to answer as if the latest change had not arrived yet."""
        return self.fault is not None and self.fault.name == "stale"


class BkashApi:
    """The API routes of the bKash sandbox."""

    def __init__(
        self, world: World, rules: BkashRules, grants: GrantLog, exchange: Exchange, merchants: list[Merchant]
    ) -> None:
        self._world = world
        self._rules = rules
        self._grants = grants
        self._exchange = exchange
        self._merchants = {merchant.app_key: merchant for merchant in merchants}
        self._answers = Answers(rules.rules)
        self.manners = BkashManners(world, rules)
        self._handlers: dict[str, Callable[[Ask], Done]] = {
            "create": self._create,
            "execute": self._execute,
            "query": self._query,
            "agreement_status": self._agreement_status,
            "agreement_cancel": self._agreement_cancel,
            "search": self._search,
            "capture": self._capture,
            "void": self._void,
            "refund": self._refund_v1,
            "refund_status": self._refund_status_v1,
            "refund_v2": self._refund_v2,
            "refund_status_v2": self._refund_status_v2,
        }

    def admit(self, merchant: Merchant) -> None:
        """Know one more merchant."""
        self._merchants[merchant.app_key] = merchant

    def routes(self) -> list[Route]:
        """Every route of §3-4; POST only, as at the real gateway."""
        return [Route(path, self._endpoint, methods=["POST"]) for path in _PATHS]

    async def _endpoint(self, request: Request) -> Response:
        path = request.url.path
        operation, version = _PATHS[path], "v2" if path.startswith("/v2/") else "v1"
        try:
            fields = _fields(await read_body(request))
        except BodyTooLargeError:
            return self._exchange.turned_away(
                request, GATEWAY, operation, front_door("Request Too Long", 413)
            )
        if path == m.ROOT_PATH + m.PATH_REFUND_V1 and fields is not None and not fields.get("amount"):
            operation = "refund_status"  # one URL for both: the amount decides (§4.10)

        self.manners.called(operation, _reference(fields) or "", request.headers)

        def coded(code: str) -> Response:
            return (
                json_response(refusal_v1(code)) if version == "v1" else json_response(refusal_v2(code), 400)
            )

        def work(fault: Fault | None) -> Done:
            try:
                return self._work(request, operation, version, fields, fault)
            except Refusal as refusal:
                return Done(coded(refusal.code))

        return await self._exchange.carry(
            request,
            gateway=GATEWAY,
            operation=operation,
            reference=_reference(fields),
            work=work,
            coded=coded,
            subject=lambda: self._subject(operation, fields or {}),
            parted=lambda parting: self.manners.parted(operation, _reference(fields) or "", parting),
        )

    def _subject(self, operation: str, fields: Mapping[str, str]) -> Subject | None:
        """The payment that this call is about: its amount, or its wallet, may bring a fault (``magic.py``)."""
        magic = self._world.magic
        if operation == "create":
            amount_minor = to_paisa(fields.get("amount"))
            return None if amount_minor is None or not magic else Subject("", amount_minor)
        payment = self._rules.payments.get(fields.get("paymentID", ""))
        if payment is None or not (magic or payment.outcome):
            return None
        wallet = payment.wallet.number if payment.wallet and magic else ""
        return Subject(payment.payment_id, payment.amount_minor if magic else 0, wallet, payment.outcome)

    def _work(
        self,
        request: Request,
        operation: str,
        version: str,
        fields: Mapping[str, str] | None,
        fault: Fault | None,
    ) -> Done:
        if operation in ("grant", "refresh"):
            return Done(self._token(request, operation, fields))
        merchant = self._authenticate(request)
        if isinstance(merchant, Response):
            return Done(merchant)
        if fields is None:
            if version == "v2":
                return Done(front_door("Invalid request body", 400))
            raise Refusal("2025")
        handler = self._handlers[operation if version == "v1" else f"{operation}_v2"]
        return handler(Ask(merchant, fields, str(request.base_url).rstrip("/"), fault))

    # ------------------------------------------------------------------------------ the front door (§3)

    def _authenticate(self, request: Request) -> Merchant | Response:
        token = request.headers.get("authorization", "")
        if token[:7].lower() == "bearer ":
            token = token[7:]
        read = read_id_token(token.strip(), self._world.now())
        merchant = self._merchants.get(read[0]) if read else None
        if read is None or merchant is None:
            return front_door("Unauthorized", 401)
        if read[1]:
            return front_door("The incoming token has expired", 401)
        if not _same(request.headers.get("x-app-key", ""), merchant.app_key):
            return front_door("Forbidden", 403)
        return merchant

    def _token(self, request: Request, kind: str, fields: Mapping[str, str] | None) -> Response:
        missing = [name for name in ("password", "username") if name not in request.headers]
        if missing:
            return front_door(f"Missing required request parameters: [{', '.join(missing)}]", 400)
        if fields is None:
            return front_door("Invalid request body", 400)
        merchant = self._merchants.get(fields.get("app_key", ""))
        if merchant is None or not _same(fields.get("app_secret", ""), merchant.app_secret):
            raise Refusal("2001")
        known = _same(request.headers["username"], merchant.username)
        if not _same(request.headers["password"], merchant.password) or not known:
            return json_response({"status": "fail", "msg": "Invalid username and password combination"})
        if kind == "refresh":
            token = fields.get("refresh_token", "")
            if not refresh_token_is_good(token, merchant, self._world.now()):
                raise Refusal("2079")
        admitted = self._grants.admit(kind, merchant)
        self.manners.granted(over_budget=self._grants.grants[-1].over_budget)
        if not admitted:
            return front_door("Too Many Requests", 429)
        answer = m.TokenAnswer(
            status_code=m.CODE_SUCCESS,
            status_message="Successful",
            id_token=mint_id_token(self._world, merchant),
            token_type="Bearer",  # noqa: S106 - the name of a scheme
            expires_in=TOKEN_LIFE_S,
            refresh_token=mint_refresh_token(self._world, merchant),
        )
        return json_response(answer.to_wire())

    # ---------------------------------------------------------------------------------- payments (§4.2-9)

    def _create(self, ask: Ask) -> Done:
        reused = self._rules.invoice_used(ask.merchant, ask.fields.get("merchantInvoiceNumber", ""))
        self.manners.creating(ask.fields)
        try:
            payment = self._rules.create(ask.merchant, ask.fields)
        except Refusal:
            if reused:
                self.manners.create_refused(ask.merchant, ask.fields)
            raise
        self.manners.created(ask.merchant, payment, reused=reused)
        return Done(json_response(self._answers.created(payment, ask.base_url)), payment.payment_id)

    def _execute(self, ask: Ask) -> Done:
        payment_id = _needed(ask, "paymentID")
        known = self._rules.payments.get(payment_id)
        if known is not None and known.merchant == ask.merchant:
            self.manners.executing(known)
        payment = self._rules.execute(ask.merchant, payment_id)
        seen = ask.fault is None or not ask.fault.hides_the_answer
        payment.execute_answered = seen and not payment.is_agreement
        return Done(json_response(self._answers.executed(payment)))

    def _query(self, ask: Ask) -> Done:
        if not ask.fields.get("paymentID") and ask.fields.get("agreementID"):
            return self._agreement_status(ask)
        payment = self._rules.query(ask.merchant, _needed(ask, "paymentID"))
        self.manners.queried(payment)
        agreement = self._rules.agreements.get(payment.agreement_id or "") if payment.is_agreement else None
        answer = self._answers.queried(payment, stale=ask.stale)
        if agreement is not None and agreement.voided_at is not None:
            answer["agreementStatus"] = "Cancelled"
        return Done(json_response(answer))

    def _agreement_status(self, ask: Ask) -> Done:
        if not ask.fields.get("agreementID"):
            return self._query(ask)
        agreement = self._rules.agreement(ask.merchant, ask.fields["agreementID"])
        return Done(json_response(self._answers.agreement(agreement)))

    def _agreement_cancel(self, ask: Ask) -> Done:
        agreement = self._rules.cancel_agreement(ask.merchant, _needed(ask, "agreementID"))
        return Done(json_response(self._answers.agreement(agreement)))

    def _search(self, ask: Ask) -> Done:
        trx_id = _needed(ask, "trxID")
        if ask.stale:
            raise Refusal("2033")
        payment, refund = self._rules.search(ask.merchant, trx_id)
        return Done(json_response(self._answers.found(payment, refund)))

    def _capture(self, ask: Ask) -> Done:
        payment = self._rules.capture(ask.merchant, _needed(ask, "paymentID"))
        return Done(json_response(self._answers.captured_or_voided(payment)))

    def _void(self, ask: Ask) -> Done:
        payment = self._rules.void(ask.merchant, _needed(ask, "paymentID"))
        return Done(json_response(self._answers.captured_or_voided(payment)))

    # ------------------------------------------------------------------------------- refunds (§4.10-4.11)

    def _refund_v1(self, ask: Ask) -> Done:
        payment_id, trx_id = _needed(ask, "paymentID"), _needed(ask, "trxID")
        refund = self._rules.refund(ask.merchant, payment_id, trx_id, ask.fields)
        payment = self._rules.payments[payment_id]
        self.manners.refunded(ask.merchant, payment)
        return Done(json_response(self._answers.refunded_v1(payment, refund)))

    def _refund_status_v1(self, ask: Ask) -> Done:
        payment = self._rules.refundable(ask.merchant, _needed(ask, "paymentID"), _needed(ask, "trxID"))
        self.manners.refund_looked_at(ask.merchant, payment)
        refunds = payment.refunds[:-1] if ask.stale else payment.refunds
        return Done(json_response(self._answers.refunded_v1(payment, refunds[-1] if refunds else None)))

    def _refund_v2(self, ask: Ask) -> Done:
        wanted = ("paymentId", "trxId", "refundAmount", "sku", "reason")
        if not all(ask.fields.get(name) for name in wanted):
            return Done(front_door("Invalid request body", 400))
        fields = {**ask.fields, "amount": ask.fields["refundAmount"]}
        refund = self._rules.refund(ask.merchant, fields["paymentId"], fields["trxId"], fields)
        payment = self._rules.payments[fields["paymentId"]]
        self.manners.refunded(ask.merchant, payment)
        return Done(json_response(self._answers.refunded_v2(payment, refund)))

    def _refund_status_v2(self, ask: Ask) -> Done:
        if not (ask.fields.get("paymentId") and ask.fields.get("trxId")):
            return Done(front_door("Invalid request body", 400))
        payment = self._rules.refundable(ask.merchant, ask.fields["paymentId"], ask.fields["trxId"])
        self.manners.refund_looked_at(ask.merchant, payment)
        refunds = payment.refunds[:-1] if ask.stale else payment.refunds
        return Done(json_response(self._answers.refund_list_v2(payment, list(refunds))))

    # ------------------------------------------------------------------------------------------- manners

    def notes(self) -> dict[str, Any]:
        """The grant log, the manners missed, and what is owed and can still be missed, as JSON."""
        grants = [
            {
                "at": iso(grant.at),
                "gateway": GATEWAY,
                "kind": grant.kind,
                "username": grant.username,
                "over_budget": grant.over_budget,
                "refused": grant.refused,
            }
            for grant in self._grants.grants
        ]
        return {"grants": grants, "manners": list(self.manners), "owed": self.manners.waiting()}


def _same(given: str, known: str) -> bool:
    """Whether two secrets are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), known.encode("utf-8", "surrogatepass"))


def _needed(ask: Ask, name: str) -> str:
    value = ask.fields.get(name, "")
    if not value:
        raise Refusal("2065")
    return value
