"""bKash's wire: every path of every product, carried through the front door to whoever handles it (dossier §3-§6).

The front door (``front_door.py``) answers as Amazon's API gateway does; the products behind it (``tokenized_v1.py``,
``tokenized_v2.py``, ``checkout.py``, ``payouts.py``) word what the rules decide. Amounts may come as texts or numbers,
tokens with or without ``Bearer``, ids in either spelling.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vextrus_payments.gateways.bkash import models as m
from vextrus_payments_sandbox.bkash.checkout import LegacyCheckout
from vextrus_payments_sandbox.bkash.deeds import Deeds
from vextrus_payments_sandbox.bkash.front_door import FrontDoor, front_door, unknown_route
from vextrus_payments_sandbox.bkash.payouts import PayoutsAtCheckout, PayoutsAtTokenized
from vextrus_payments_sandbox.bkash.products import Ask, Call, Product
from vextrus_payments_sandbox.bkash.records import GATEWAY, Refusal
from vextrus_payments_sandbox.bkash.rules import BkashRules
from vextrus_payments_sandbox.bkash.tokenized_v1 import TokenizedV1
from vextrus_payments_sandbox.bkash.tokenized_v2 import TokenizedV2
from vextrus_payments_sandbox.bkash.tokens import GrantLog, Merchant
from vextrus_payments_sandbox.bkash.watching import BkashManners
from vextrus_payments_sandbox.exchange import BodyTooLargeError, Done, Exchange, read_body
from vextrus_payments_sandbox.faults import Fault, Subject
from vextrus_payments_sandbox.manners import Parting
from vextrus_payments_sandbox.world import World, iso, to_paisa

__all__ = ["OPERATIONS", "BkashApi", "unknown_route"]

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
    "balance",
    "transfer",
    "payout_initiate",
    "payout",
    "payout_query",
)
_SPELLINGS: Final = (("paymentId", "paymentID"), ("trxId", "trxID"), ("agreementId", "agreementID"))


def texts_of(raw: bytes) -> dict[str, str] | None:
    """The body as plain texts, numbers as they were written; ``None`` where it is not a flat JSON object."""
    try:
        found = m.read_json(raw)
    except m.UnreadableBodyError:
        return None
    if not all(value is None or isinstance(value, str) for value in found.values()):
        return None
    return _spelled({key: str(value) for key, value in found.items() if value is not None})


def _spelled(texts: dict[str, str]) -> dict[str, str] | None:
    """Under v1's spelling of the ids as well; ``None`` where a text could not be answered or shown again."""
    for lower, upper in _SPELLINGS:
        if lower in texts:
            texts.setdefault(upper, texts[lower])
    try:
        for text in texts.values():
            text.encode("utf-8")  # a lone surrogate
    except UnicodeEncodeError:
        return None
    return texts


def _reference(operation: str, fields: Mapping[str, str] | None) -> str | None:
    """What the call is about; a payout has no id before it is made, and goes by its invoice number."""
    names = ("merchantInvoiceNumber",) if operation == "payout" else ("paymentID", "agreementID", "trxID")
    for name in names:
        if fields and fields.get(name):
            return fields[name][: m.TEXT_MAX]
    return None


class BkashApi:
    """The API routes of the bKash sandbox."""

    def __init__(
        self, world: World, rules: BkashRules, grants: GrantLog, exchange: Exchange, merchants: list[Merchant]
    ) -> None:
        self._world = world
        self._rules = rules
        self._grants = grants
        self._exchange = exchange
        self.manners = BkashManners(world, rules)
        self._door = FrontDoor(world, grants, self.manners, merchants)
        deeds = Deeds(rules, self.manners)
        self._products: tuple[Product, ...] = (
            TokenizedV1(deeds),
            TokenizedV2(deeds),
            LegacyCheckout(deeds),
            PayoutsAtCheckout(deeds),
            PayoutsAtTokenized(deeds),
        )

    def admit(self, merchant: Merchant) -> None:
        """Know one more merchant."""
        self._door.admit(merchant)

    def routes(self) -> list[Route]:
        """Every route of §3-§6, with the one method that it has at the real gateway."""
        return [
            self._route(method, path, product, call)
            for product in self._products
            for (method, path), call in product.calls.items()
        ]

    def _route(self, method: str, path: str, product: Product, call: Call) -> Route:
        async def endpoint(request: Request) -> Response:
            return await self._carried(request, product, call)

        route = Route(path, endpoint, methods=[method])
        route.methods = {method}  # Starlette adds HEAD, which would be a GET that shows nothing
        return route

    async def _carried(self, request: Request, product: Product, call: Call) -> Response:
        try:
            raw = await read_body(request)
        except BodyTooLargeError:
            answer = front_door("Request Too Long", 413)
            return self._exchange.turned_away(request, GATEWAY, call.operation, answer)
        fields = texts_of(raw) if raw or (not request.path_params and request.method == "POST") else {}
        if fields is not None and request.path_params:
            fields = _spelled(fields | {name: str(value) for name, value in request.path_params.items()})
        meant = call.meant(fields)
        operation, reference = meant.operation, _reference(meant.operation, fields)
        self.manners.called(operation, reference or "", request.headers)

        known: list[Merchant | Response] = []

        def caller() -> Merchant | Response:
            """Who calls, by the token as it was when he was first asked."""
            if not known:
                known.append(self._door.who_is_it(request))
            return known[0]

        def work(fault: Fault | None) -> Done:
            try:
                return self._work(request, product, meant, fields, fault, caller)
            except Refusal as refusal:
                return Done(product.coded(refusal.code))

        def parted(parting: Parting) -> None:
            who, payment = caller(), self._rules.payments.get(reference or "")
            if isinstance(who, Merchant) and payment is not None and payment.merchant != who:
                return  # a stranger's call says nothing about the manners of the payment's own merchant
            self.manners.parted(operation, reference or "", parting)

        def door() -> Response | None:
            who = caller()
            return who if isinstance(who, Response) else None

        return await self._exchange.carry(
            request,
            gateway=GATEWAY,
            operation=operation,
            reference=reference,
            work=work,
            coded=product.coded,
            subject=lambda: self._subject(operation, fields or {}),
            parted=parted,
            door=door,
        )

    def _work(
        self,
        request: Request,
        product: Product,
        call: Call,
        fields: Mapping[str, str] | None,
        fault: Fault | None,
        caller: Callable[[], Merchant | Response],
    ) -> Done:
        if call.handler is None:
            return Done(self._door.token(request, call.operation, fields, product))
        merchant = caller()
        if isinstance(merchant, Response):
            return Done(merchant)
        if fields is None:
            return Done(product.unreadable())
        payment = self._rules.payments.get(fields.get("paymentID", ""))
        if payment is not None and (payment.api == "checkout") != product.is_checkout:
            raise Refusal("2002")  # another product's, with credentials of its own at the real gateway (§2)
        return call.handler(Ask(merchant, fields, str(request.base_url).rstrip("/"), fault))

    def _subject(self, operation: str, fields: Mapping[str, str]) -> Subject | None:
        """The payment that this call is about: its amount, or its wallet, may bring a fault (``magic.py``)."""
        magic = self._world.magic
        if operation == "create":
            amount_minor = to_paisa(fields.get("amount"))
            return None if amount_minor is None or not magic else Subject("", amount_minor)
        if operation == "payout":
            amount_minor = to_paisa(fields.get("amount"))
            if amount_minor is None or not magic:
                return None
            invoice = fields.get("merchantInvoiceNumber", "")
            return Subject(invoice, amount_minor, fields.get("receiverMSISDN", ""))
        payment = self._rules.payments.get(fields.get("paymentID", ""))
        if payment is None or not (magic or payment.outcome):
            return None
        wallet = payment.wallet.number if payment.wallet and magic else ""
        return Subject(payment.payment_id, payment.amount_minor if magic else 0, wallet, payment.outcome)

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
