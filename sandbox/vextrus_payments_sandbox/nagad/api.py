"""Nagad's wire: routes, headers, envelopes, and the order in which a call is checked (dossier §3-5, §7-8, §10, §14).

It tolerates what real clients send: doubled slashes and one at the end, ``%3D`` for the ``=`` of a reference, any
case of ``complete``, any Content-Type, spaces and any order of keys in the sealed JSON, amounts as texts or numbers.
It never answers a POST with a redirect.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vextrus_payments.gateways.nagad import models as m
from vextrus_payments_sandbox.exchange import BodyTooLargeError, Done, Exchange, json_response, read_body
from vextrus_payments_sandbox.faults import Fault, Subject
from vextrus_payments_sandbox.manners import Manners, Parting
from vextrus_payments_sandbox.nagad import sealing
from vextrus_payments_sandbox.nagad.keys import new_pair
from vextrus_payments_sandbox.nagad.records import GATEWAY, MESSAGES, PREFIX, Merchant, Refusal
from vextrus_payments_sandbox.nagad.rules import NagadRules
from vextrus_payments_sandbox.nagad.writing import accepted, amount_of, cancelled, verified
from vextrus_payments_sandbox.world import SandboxError, World

OPERATIONS: Final = ("initialize", "complete", "verify", "refund")
_ROUTES: Final = (
    m.CONTEXT_PATH,
    m.CONTEXT_PATH + "/{rest:path}",
    "/api/{rest:path}",
    # A base address that ended in a slash:
    "//api/{rest:path}",
    "/" + m.CONTEXT_PATH + "/{rest:path}",
)
_HEADERS: Final = (m.HEADER_API_VERSION, m.HEADER_CLIENT_ADDRESS, m.HEADER_CLIENT_TYPE)
_ANY: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@dataclass(frozen=True)
class Ask:
    """One call as the handlers see it."""

    request: Request
    names: tuple[str, ...]
    """What the path names: merchant and order, or a reference."""
    raw: bytes
    fault: Fault | None

    def struck_by(self, name: str) -> bool:
        """Whether this fault strikes the call."""
        return self.fault is not None and self.fault.name == name

    @cached_property
    def body(self) -> Mapping[str, Any]:
        """The JSON object of the body, or 999."""
        found: Any = None
        try:
            found = json.loads(self.raw, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            pass
        if not isinstance(found, dict) or not sealing.is_text(found):
            raise Refusal("999", "the body is no JSON object")
        return found


class NagadApi:
    """The API routes of the Nagad sandbox.

    Args:
        gateway: gives the gateway's private key; called at the first call that needs it.
        merchants: gives the merchants; called likewise.
    """

    def __init__(
        self,
        world: World,
        rules: NagadRules,
        exchange: Exchange,
        *,
        gateway: Callable[[], rsa.RSAPrivateKey],
        merchants: Callable[[], Mapping[str, Merchant]],
    ) -> None:
        self._world = world
        self._rules = rules
        self._exchange = exchange
        self._gateway = gateway
        self._merchants = merchants
        self._handlers: dict[str, Callable[[Ask], Done]] = {
            "initialize": self._initialize,
            "complete": self._complete,
            "verify": self._verify,
            "refund": self._refund,
        }
        self._last_sealed: dict[str, str] | None = None
        self.manners = Manners(GATEWAY, world.clock.unskewed)
        rules.on_paid = lambda payment: self.manners.owe("unverified", payment.reference)

    def routes(self) -> list[Route]:
        """Both mounts of the API (§2, §14)."""
        return [Route(path, self._endpoint, methods=_ANY) for path in _ROUTES]

    async def _endpoint(self, request: Request) -> Response:
        self._rules.settle_due()
        found = _read_path(request)
        if found is None:
            return self._answer_off_the_map(request)
        operation, names = found
        try:
            raw = await read_body(request)
        except BodyTooLargeError:
            refused = self._refused(Refusal("999", "the body is too long"), 413)
            return self._exchange.turned_away(request, GATEWAY, operation, refused)

        self.manners.called(operation, names[-1] if names else "", request.headers)

        def coded(code: str) -> Response:
            return self._refused(Refusal(_last_group(code), "a fault that was asked for"))

        def work(fault: Fault | None) -> Done:
            try:
                return self._handlers[operation](Ask(request, names, raw, fault))
            except Refusal as refusal:
                return Done(self._refused(refusal))
            except SandboxError as broken:
                return Done(json_response({"message": f"the sandbox itself: {broken}"}, broken.status))

        return await self._exchange.carry(
            request,
            gateway=GATEWAY,
            operation=operation,
            reference=self._reference(operation, names, request),
            work=work,
            coded=coded,
            subject=lambda: self._subject(operation, Ask(request, names, raw, None)),
            parted=lambda parting: self._parted(operation, names, parting),
        )

    def _parted(self, operation: str, names: tuple[str, ...], parting: Parting) -> None:
        """A call is over for its caller: one who verified and got no answer knows as little as before."""
        known = self._rules.payments.get(names[0]) if operation == "verify" else None
        if known is not None and known.is_paid and parting.is_open:
            self.manners.owe("unverified", known.reference)

    def _subject(self, operation: str, ask: Ask) -> Subject | None:
        """The payment that this call is about: its amount, or its wallet, may bring a fault (``magic.py``)."""
        if operation == "initialize" or not self._world.magic:
            return None  # nothing names an amount yet, or none means anything
        reference = self._reference(operation, ask.names, ask.request) or ""
        payment = self._rules.payments.get(reference)
        if payment is None:
            return None
        if operation == "complete":
            try:  # the amount is sealed, and what is wrong with the seal the work will tell
                amount = amount_of(
                    self._open(ask, payment.merchant, "sensitiveData", quiet=True).get("amount")
                )
            except (Refusal, SandboxError):
                amount = None
            return None if amount is None else Subject("", amount[0])
        wallet = payment.wallet.number if payment.wallet else ""
        return Subject(reference, payment.amount_minor, wallet)

    def _answer_off_the_map(self, request: Request) -> Response:
        refused = self._refused(Refusal("999", "there is no such route"), 404)
        return self._exchange.turned_away(request, GATEWAY, "unknown", refused)

    def _reference(self, operation: str, names: tuple[str, ...], request: Request) -> str | None:
        if operation in ("complete", "verify"):
            return names[0]
        return request.query_params.get("paymentRefId") if operation == "refund" else None

    def _refused(self, refusal: Refusal, status: int | None = None) -> Response:
        """The error envelope (§10)."""
        body = {
            "reason": PREFIX + refusal.code,
            "message": MESSAGES.get(refusal.code, "Please verify provided data and try again."),
            "devMessage": refusal.detail,
        }
        return json_response(body, status or self._rules.rules.refusal_status)

    # ------------------------------------------------------------------------------- initialize (§4, §14.1)

    def _initialize(self, ask: Ask) -> Done:
        merchant_id, order_id = ask.names
        self._check_headers(ask)
        merchant = self._merchant(merchant_id, ask.request)
        self._rules.check_order_id(order_id)
        inside = self._open(ask, merchant, "sensitiveData")
        outer_time = ask.body.get("dateTime")
        if outer_time is None and "datetime" in ask.body:
            outer_time = ask.body["datetime"]
            self.manners.miss("outer_datetime", order_id)
        locale = "bn" if ask.request.query_params.get("locale", "").upper() == "BN" else "en"
        try:
            payment = self._rules.initialize(merchant, order_id, outer_time, inside, locale)
        except Refusal as refusal:
            if refusal.code == "083":
                self.manners.miss("order_reused", order_id)
            raise
        name = "random" if ask.struck_by("random_nonce") else "challenge"
        answer = self._sealed(ask, accepted(payment, nonce_name=name), merchant)
        return Done(json_response(answer), payment.reference)

    # --------------------------------------------------------------------------------- complete (§5, §14.2)

    def _complete(self, ask: Ask) -> Done:
        self._check_headers(ask)
        self._check_owner(ask, ask.names[0])
        payment = self._rules.completable(ask.names[0])
        inside = self._open(ask, payment.merchant, "sensitiveData")
        version = ask.request.headers.get(m.HEADER_API_VERSION, "")
        self._rules.complete(payment, inside, ask.body, version)
        if "?" in payment.callback_url:
            self.manners.miss("callback_query", payment.reference)
        base_url = str(ask.request.base_url).rstrip("/")
        page = {"callBackUrl": f"{base_url}/check-out/{payment.reference}", "status": "Success"}
        return Done(json_response(page), payment.reference)

    # ----------------------------------------------------------------------------------- verify (§7, §14.5)

    def _verify(self, ask: Ask) -> Done:
        if self._rules.rules.headers_on_verify:
            self._check_headers(ask)
        self._check_owner(ask, ask.names[0])
        payment = self._rules.payment(ask.names[0])
        self.manners.done("unverified", payment.reference)
        return Done(json_response(verified(payment, stale=ask.struck_by("stale"))), payment.reference)

    # ----------------------------------------------------------------------------------- refund (§8, §14.6)

    def _refund(self, ask: Ask) -> Done:
        self._check_headers(ask)
        query = ask.request.query_params
        self._check_owner(ask, query.get("paymentRefId", ""))
        payment = self._rules.refundable(
            query.get("paymentRefId", ""), query.get("orderId", ""), self._named_merchant(ask)
        )
        inside = self._open(ask, payment.merchant, "sensitiveDataCancelRequest")
        refund = self._rules.refund(payment, inside)
        room = sealing.room(payment.merchant.public_key)
        answer = self._sealed(ask, cancelled(payment, refund, dict(inside), room), payment.merchant)
        return Done(json_response(answer), payment.reference)

    # --------------------------------------------------------------------------------------------- the door

    def _check_headers(self, ask: Ask) -> None:
        """064 for a mandatory header that is not there; what they say is not checked at the real one either (§3)."""
        missing = [name for name in _HEADERS if not ask.request.headers.get(name, "").strip()]
        if missing:
            raise Refusal("064", f"missing: {', '.join(missing)}")
        address = ask.request.headers[m.HEADER_CLIENT_ADDRESS].strip()
        if not _is_ipv4(address):
            self.manners.miss("address", ask.request.url.path, header=m.HEADER_CLIENT_ADDRESS)

    def _named_merchant(self, ask: Ask) -> str:
        """The merchant that the request says it is, as a client may (§3); empty where it says nothing."""
        return ask.request.headers.get(m.HEADER_MERCHANT, "").strip()

    def _check_owner(self, ask: Ask, reference: str) -> None:
        """055 for who says that he is another merchant than the payment's: he cannot see that it is there."""
        known, named = self._rules.payments.get(reference), self._named_merchant(ask)
        if known is not None and named and named != known.merchant.merchant_id:
            raise Refusal("055", "there is no payment with this reference")

    def _merchant(self, merchant_id: str, request: Request) -> Merchant:
        if not (merchant_id.isascii() and merchant_id.isdigit()):
            raise Refusal("004", "a merchant id has digits only")
        merchant = self._merchants().get(merchant_id)
        if merchant is None:
            raise Refusal("052", "there is no merchant with this id")
        if request.headers.get(m.HEADER_MERCHANT, merchant_id) != merchant_id:
            raise Refusal("050", f"{m.HEADER_MERCHANT} names another merchant than the path")
        if not merchant.active:
            raise Refusal("053", "this merchant is not active")
        return merchant

    def _open(self, ask: Ask, merchant: Merchant, name: str, *, quiet: bool = False) -> Mapping[str, Any]:
        if name not in ask.body or "signature" not in ask.body:
            raise Refusal("040", f"{name} and signature are needed")
        opened = sealing.open_request(
            sealing.unpack(ask.body[name]),
            sealing.unpack(ask.body["signature"]),
            gateway=self._gateway(),
            merchant=merchant.public_key,
            strict_hash=self._rules.rules.strict_hash,
        )
        if opened.hash_name != "SHA-256" and not quiet:
            self.manners.miss("weak_hash", ask.request.url.path, hash_name=opened.hash_name)
        return opened.fields

    def _sealed(self, ask: Ask, inside: bytes, merchant: Merchant) -> dict[str, str]:
        """The sealed answer, or what a fault makes of it."""
        gateway = new_pair().private if ask.struck_by("wrong_key") else self._gateway()
        answer = sealing.seal(inside, gateway=gateway, merchant=merchant.public_key)
        earlier, self._last_sealed = self._last_sealed, answer
        if ask.struck_by("tampered"):
            return sealing.tampered(answer)
        if ask.struck_by("replayed") and earlier is not None:
            return earlier
        return answer

    def reset(self) -> None:
        """Forget the manners missed and the answers given."""
        self.manners.clear()
        self._last_sealed = None


def _read_path(request: Request) -> tuple[str, tuple[str, ...]] | None:
    """The operation and what its path names; None for a path or a method that Nagad does not have."""
    parts = [part for part in request.url.path.split("/") if part]
    if parts and "/" + parts[0] == m.CONTEXT_PATH:
        parts = parts[1:]
    if parts[:2] != m.API_PATH.strip("/").split("/"):
        return None
    match [request.method, *parts[2:]]:
        case ["POST", "check-out", "initialize", merchant_id, order_id]:
            return "initialize", (merchant_id, order_id)
        case ["POST", "check-out", verb, reference] if verb.lower() == "complete":
            return "complete", (_unquoted(reference),)
        case ["GET", "verify", "payment", reference]:
            return "verify", (_unquoted(reference),)
        case ["POST", "purchase", "cancel"]:
            return "refund", ()
        case _:
            return None


def _unquoted(reference: str) -> str:
    return reference.replace("%3D", "=").replace("%3d", "=")


def _last_group(code: str) -> str:
    """The last group of a code that a fault names; 9999, other gateways' word for it, is 999 here."""
    found = code.rpartition("_")[2]
    return found[-3:]


def _is_ipv4(text: str) -> bool:
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True


def _no_constant(name: str) -> Any:
    raise ValueError(name)
