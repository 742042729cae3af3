"""The platform's wire: routes, headers, API key, and the order in which a call is checked (dossier §7).

It tolerates what real clients send: doubled slashes and one at the end, numbers as texts, both spellings of the
redirect address.
"""

import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vextrus_payments.gateways.bkash.recurring import models as m
from vextrus_payments_sandbox.bkash_recurring import writing
from vextrus_payments_sandbox.bkash_recurring.asking import asked, day_of, frequency_of
from vextrus_payments_sandbox.bkash_recurring.records import GATEWAY, Merchant, Refusal
from vextrus_payments_sandbox.bkash_recurring.rules import RecurringRules
from vextrus_payments_sandbox.bkash_recurring.schedule import due_days
from vextrus_payments_sandbox.exchange import BodyTooLargeError, Done, Exchange, read_body
from vextrus_payments_sandbox.faults import Fault, Subject
from vextrus_payments_sandbox.manners import Manners, Parting
from vextrus_payments_sandbox.notation import to_paisa

OPERATIONS: Final = (
    "create",
    "query",
    "list",
    "cancel",
    "schedule",
    "payments",
    "payment",
    "refund",
)
_ANY: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_ROUTES: Final = (
    ("POST", re.compile(r"/api/subscription"), "create"),
    ("GET", re.compile(r"/api/subscriptions/request-id/(?P<request_id>[^/]+)"), "query"),
    ("GET", re.compile(r"/api/subscriptions/(?P<page>[0-9]+)/(?P<size>[0-9]+)"), "list"),
    ("GET", re.compile(r"/api/subscriptions/(?P<id>[^/]+)"), "query"),
    ("DELETE", re.compile(r"/api/subscriptions/(?P<id>[^/]+)"), "cancel"),
    ("GET", re.compile(r"/api/subscription/payment/schedule"), "schedule"),
    ("POST", re.compile(r"/api/subscription/payment/refund"), "refund"),
    ("GET", re.compile(r"/api/subscription/payment/bySubscriptionId/(?P<id>[^/]+)"), "payments"),
    ("GET", re.compile(r"/api/subscription/payment/(?P<id>[^/]+)"), "payment"),
)
_HEADERS: Final = (m.HEADER_VERSION, m.HEADER_CHANNEL, m.HEADER_TIME)
_REFUND_ID: Final = re.compile(r"[A-Za-z0-9]{1,64}", re.ASCII)
_STALE: Final = timedelta(minutes=5)
_PAGE_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Ask:
    """One call as the handlers see it."""

    request: Request
    merchant: Merchant
    named: Mapping[str, str]
    """What the path names."""
    raw: bytes
    fault: Fault | None

    def body(self) -> Mapping[str, Any]:
        """The JSON object of the body; 1003 where it is none. Numbers are texts."""
        found: Any = None
        try:
            found = json.loads(self.raw, parse_float=str, parse_int=str)
        except (ValueError, RecursionError):
            pass
        if not isinstance(found, dict):
            raise Refusal("1003")
        return found

    def struck_by(self, name: str) -> Fault | None:
        """The fault of this name, if it strikes the call."""
        return self.fault if self.fault is not None and self.fault.name == name else None


class RecurringApi:
    """The API routes of the platform."""

    def __init__(self, rules: RecurringRules, exchange: Exchange, merchants: Mapping[str, Merchant]) -> None:
        self._rules = rules
        self._exchange = exchange
        self._merchants = merchants
        self._handlers: dict[str, Callable[[Ask], Done]] = {
            "create": self._create,
            "query": self._query,
            "list": self._list,
            "cancel": self._cancel,
            "schedule": self._schedule,
            "payments": self._payments,
            "payment": self._payment,
            "refund": self._refund,
        }
        self.manners = Manners(GATEWAY, rules.world.clock.unskewed)

    def routes(self) -> list[Route]:
        """Everything below the root."""
        return [
            Route(path, self._endpoint, methods=_ANY)
            for path in (m.ROOT_PATH + "/{rest:path}", "/" + m.ROOT_PATH + "/{rest:path}")
        ]

    async def _endpoint(self, request: Request) -> Response:
        self._rules.settle_due()
        operation, named = _read(request)
        now = self._rules.world.now()
        if not operation:
            lost = writing.answer({"status": "NOT_FOUND", "error": "Not Found"}, 404)
            return self._exchange.turned_away(request, GATEWAY, "unknown", lost)
        try:
            raw = await read_body(request)
        except BodyTooLargeError:
            refused = writing.refused(Refusal("1003"), now)
            return self._exchange.turned_away(request, GATEWAY, operation, refused)

        def coded(code: str) -> Response:
            return writing.refused(Refusal(code if code.isdigit() else "1001"), self._rules.world.now())

        def work(fault: Fault | None) -> Done:
            try:
                merchant = self._let_in(request, operation)
                return self._handlers[operation](Ask(request, merchant, named, raw, fault))
            except Refusal as refusal:
                return Done(writing.refused(refusal, self._rules.world.now()))

        return await self._exchange.carry(
            request,
            gateway=GATEWAY,
            operation=operation,
            reference=named.get("request_id") or named.get("id"),
            work=work,
            coded=coded,
            subject=lambda: self._subject(operation, named),
            parted=lambda parting: self._parted(operation, raw, parting),
        )

    def _subject(self, operation: str, named: Mapping[str, str]) -> Subject | None:
        """The payment that this call is about: its amount, or its wallet, may bring a fault (``magic.py``)."""
        due = self._rules.collections.get(named.get("id", "")) if operation == "payment" else None
        one = self._rules.by_number.get(named.get("id", "")) if operation != "payment" else None
        if not self._rules.world.magic or (due is None and one is None):
            return None
        amount = due.amount_minor if due is not None else one.amount_minor if one is not None else 0
        owner = (
            one if one is not None else self._rules.subscriptions[due.request_id] if due is not None else None
        )
        wallet = owner.wallet.number if owner is not None and owner.wallet is not None else ""
        return Subject(named["id"], amount, wallet)

    def _parted(self, operation: str, raw: bytes, parting: Parting) -> None:
        """A refund whose end its caller does not know has to be looked up."""
        if operation == "refund" and parting.is_open:
            found = re.search(rb'"paymentId"\s*:\s*"?([0-9]+)', raw)
            if found is not None:
                self.manners.owe("refund_unheard", found[1].decode("ascii"))

    def _let_in(self, request: Request, operation: str) -> Merchant:
        given = request.headers.get(m.HEADER_API_KEY, "").encode("utf-8", "surrogatepass")
        merchant = next(
            (one for one in self._merchants.values() if hmac.compare_digest(given, one.api_key.encode())),
            None,
        )
        if merchant is None:
            raise Refusal("2013")
        missing = [name for name in _HEADERS if not request.headers.get(name, "").strip()]
        if missing:
            # The API's own description wants them for subscriptions alone, the guide on every call.
            if operation not in ("payments", "payment", "refund"):
                raise Refusal("1001")
            self.manners.once("headers", operation, names=", ".join(missing))
            return merchant
        told = m.read_time(request.headers[m.HEADER_TIME])
        if told is None:
            raise Refusal("1002", m.HEADER_TIME)
        if abs(told - self._rules.world.now()) > _STALE:
            self.manners.once("stale_time", operation)
        return merchant

    # ------------------------------------------------------------------------------------- the calls

    def _create(self, ask: Ask) -> Done:
        world = self._rules.world
        wanted = asked(ask.body(), ask.merchant, self._rules.rules, world.now())
        one = self._rules.create(ask.merchant, wanted)
        base_url = str(ask.request.base_url).rstrip("/")
        body = {
            "subscriptionRequestId": one.request_id,
            "redirectURL": f"{base_url}{PAGE_PATH}{one.code}",
            "expirationTime": writing.instant(one.page_until),
            "timeStamp": writing.instant(world.now()),
        }
        return Done(writing.answer(body), one.key)

    def _query(self, ask: Ask) -> Done:
        if "request_id" in ask.named:
            one = self._rules.by_request(ask.merchant, ask.named["request_id"])
        else:
            one = self._rules.subscription(ask.merchant, ask.named["id"])
        shown = writing.subscription(one)
        if ask.struck_by("stale"):
            shown |= {"status": "INITIALIZED", "enabled": False, "active": False}
        return Done(writing.answer(shown), one.key)

    def _list(self, ask: Ask) -> Done:
        page, size = int(ask.named["page"][:9]), int(ask.named["size"][:9])
        if not 1 <= size <= _PAGE_MAX:
            raise Refusal("1002", "size")
        mine = [one for one in self._rules.subscriptions.values() if one.merchant == ask.merchant][::-1]
        rows = mine[page * size : (page + 1) * size]
        body = {
            "size": size,
            "totalElements": len(mine),
            "totalPages": -(-len(mine) // size),
            "content": [writing.subscription(one, short=True) for one in rows],
            "currentPage": page,
        }
        return Done(writing.answer(body))

    def _cancel(self, ask: Ask) -> Done:
        one = self._rules.subscription(ask.merchant, ask.named["id"])
        if not ask.request.query_params.get("reason"):
            self.manners.once("no_reason", one.key)
        self._rules.cancel(one, why=ask.request.query_params.get("reason"))
        body = {
            "subscriptionId": one.number,
            "subscriptionRequestId": one.request_id,
            "subscriptionStatus": one.status.value,
            "message": None,
            "timeStamp": writing.instant(self._rules.world.now()),
        }
        return Done(writing.answer(body), one.key)

    def _schedule(self, ask: Ask) -> Done:
        query = ask.request.query_params
        frequency = frequency_of(query.get("frequency"))
        start, expiry = day_of(query.get("startDate")), day_of(query.get("expiryDate"))
        if start > expiry:
            raise Refusal("2003")
        days = [
            day.isoformat()
            for _, day in zip(range(_PAGE_MAX), due_days(frequency, start, expiry), strict=False)
        ]
        return Done(writing.answer({"count": len(days), "dates": days}))

    def _payments(self, ask: Ask) -> Done:
        one = self._rules.by_number.get(ask.named["id"])
        if one is None or one.merchant != ask.merchant:
            raise Refusal("3004", ask.named["id"][:40])
        rows = [writing.payment(due, one) for due in self._rules.of(one)]
        return Done(writing.answer([] if ask.struck_by("stale") else rows), one.key)

    def _payment(self, ask: Ask) -> Done:
        due, one = self._rules.payment(ask.merchant, ask.named["id"])
        self.manners.done("refund_unheard", due.key)
        shown = writing.payment(due, one)
        if ask.struck_by("stale"):
            before = "SUCCEEDED_PAYMENT" if due.reverse_trx_id or due.settles_at else "PROCESSING_PAYMENT"
            shown |= {
                "status": before,
                "reverseTrxAmount": None,
                "reverseTrxId": None,
                "reverseTrxTime": None,
            }
        return Done(writing.answer(shown), due.key)

    def _refund(self, ask: Ask) -> Done:
        body = ask.body()
        request_id = ask.request.headers.get(m.HEADER_REQUEST_ID, "")
        if not _REFUND_ID.fullmatch(request_id):
            raise Refusal("1001")
        amount_minor = to_paisa(str(body.get("amount")))
        if amount_minor is None:
            raise Refusal("3001", "amount")
        due, _ = self._rules.payment(ask.merchant, str(body.get("paymentId")))
        takes = ask.struck_by("recurring_refund_takes")
        fails = ask.struck_by("recurring_refund_fails")
        self._rules.refund(
            due, amount_minor, request_id, takes_s=takes.seconds if takes else 0.0, fails=fails is not None
        )
        return Done(Response(status_code=200), due.key)


PAGE_PATH: Final = "/intent/web/intent/"


def _read(request: Request) -> tuple[str, dict[str, str]]:
    """What the path asks for, and what it names; "" for what is not there."""
    path = "/" + re.sub(r"/{2,}", "/", str(request.path_params["rest"]).strip("/"))
    for method, pattern, operation in _ROUTES:
        found = pattern.fullmatch(path)
        if found is not None and method == request.method:
            return operation, found.groupdict()
    return "", {}
