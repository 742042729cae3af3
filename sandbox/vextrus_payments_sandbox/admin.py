"""``/_sandbox/...``: what a test or a developer asks of the sandbox itself. JSON in, JSON out.

These routes take no credentials, so a web page that happens to be open in the developer's browser must not
reach them: a request whose ``Origin`` is not the address it was sent to, or not the sandbox's own, is refused.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from vextrus_payments_sandbox import magic
from vextrus_payments_sandbox.admin_taping import AdminTape
from vextrus_payments_sandbox.delivery import Courier
from vextrus_payments_sandbox.exchange import BODY_MAX, BodyTooLargeError, json_response, read_body
from vextrus_payments_sandbox.fault_kinds import kinds_as_json
from vextrus_payments_sandbox.faults import FaultPlans
from vextrus_payments_sandbox.gateways import DEFAULT
from vextrus_payments_sandbox.openapi import document
from vextrus_payments_sandbox.world import CUSTOMER, SandboxError, World, iso

ADMIN_PREFIX: Final = "/_sandbox"
LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "localhost", "::1"})
OWN_HOST: Final = "vextrus_payments_sandbox.own_host"
"""The ASGI extension by which the server says that it knows the request's ``Host`` for a name of its own."""

Endpoint = Callable[[Request], Awaitable[Response]]


def admin_error(message: str, status: int) -> Response:
    """How every ``/_sandbox`` route says no."""
    return json_response({"error": message}, status)


def no_route(request: Request, status: int) -> Response:
    """The answer where there is no route, or (405) none that takes this method."""
    if status != 405:
        return admin_error("there is no such route; GET /_sandbox/openapi.json lists them", status)
    taken: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            taken |= route.methods or set()
    refused = admin_error(f"this route takes {', '.join(sorted(taken))}; nothing was done", status)
    refused.headers["Allow"] = ", ".join(sorted(taken))
    return refused


def is_foreign(request: Request) -> bool:
    """Whether a browser sends this on behalf of a page that is not the sandbox's own."""
    if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return True
    origin = request.headers.get("origin")
    if origin is None:
        return False
    try:
        ours = urlsplit(origin).hostname in LOOPBACK_NAMES or OWN_HOST in request.scope.get("extensions", {})
    except ValueError:
        return True
    return not ours or origin != f"{request.url.scheme}://{request.headers.get('host', '')}"


def guarded(endpoint: Endpoint, *, body_max: int = BODY_MAX) -> Endpoint:
    """Refuse foreign pages, tell the record of what changes something, and turn a :class:`SandboxError` into its JSON
    answer."""

    async def guard(request: Request) -> Response:
        if is_foreign(request):
            return admin_error("this Origin is not the sandbox's own; nothing was done", 403)
        if request.method in ("GET", "HEAD"):
            return await answered(endpoint, request)
        try:
            await read_body(request, body_max)
        except BodyTooLargeError:
            return admin_error("the body is too long", 413)
        tape, answer = AdminTape(request.app.state.world, request), None
        try:
            answer = await answered(endpoint, request)
        finally:
            tape.finished(answer)
        return answer

    return guard


async def answered(endpoint: Endpoint, request: Request) -> Response:
    """The endpoint's answer, a :class:`SandboxError` turned into its JSON answer."""
    try:
        return await endpoint(request)
    except SandboxError as wrong:
        return admin_error(str(wrong), wrong.status)


async def wish(request: Request, *, body_max: int = BODY_MAX) -> dict[str, Any]:
    """The JSON object of a request, ``{}`` for an empty body; raises :class:`SandboxError`."""
    try:
        raw = await read_body(request, body_max)
    except BodyTooLargeError:
        raise SandboxError("the body is too long", 413) from None
    try:
        found = json.loads(raw) if raw.strip() else {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise SandboxError("the body must be one JSON object")
    if not _can_be_shown(found):
        raise SandboxError("a text in the body holds half a surrogate pair, which nobody could show again")
    return found


def _can_be_shown(found: dict[str, Any]) -> bool:
    """Whether every text in there can be written again: JSON's escapes can spell what UTF-8 cannot."""
    try:
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (UnicodeEncodeError, RecursionError):
        return False
    return True


class Admin:
    """The sandbox's own routes."""

    def __init__(self, world: World, faults: FaultPlans, courier: Courier) -> None:
        self._world = world
        self._faults = faults
        self._courier = courier

    def routes(self) -> list[Route]:
        """Every route below ``/_sandbox``."""
        table: tuple[tuple[str, str, Endpoint], ...] = (
            ("GET", "health", self.health),
            ("GET", "gateways", self.gateways),
            ("GET", "wire", self.wire),
            ("GET", "books", self.books),
            ("GET", "grants", self.grants),
            ("GET", "faults", self.list_faults),
            ("POST", "faults", self.order_fault),
            ("DELETE", "faults", self.clear_faults),
            ("GET", "fault_kinds", self.fault_kinds),
            ("DELETE", "faults/{id}", self.cancel_fault),
            ("GET", "openapi.json", self.openapi),
            ("POST", "reset", self.reset),
            ("POST", "clock", self.clock),
            ("POST", "approve", self.approve),
            ("POST", "portal", self.portal),
            ("POST", "walk_in", self.walk_in),
            ("GET", "webhooks/{gateway}", self.webhooks),
            ("PUT", "webhooks/{gateway}", self.subscribe),
            ("DELETE", "webhooks/{gateway}", self.unsubscribe),
        )
        return [
            Route(f"{ADMIN_PREFIX}/{name}", guarded(endpoint), methods=[method])
            for method, name, endpoint in table
        ]

    async def health(self, request: Request) -> Response:
        """Up, and what time it is in here."""
        return json_response(
            {"status": "ok", "now": iso(self._world.now()), "gateways": list(self._world.gateways)}
        )

    async def gateways(self, request: Request) -> Response:
        """Of each gateway what a client of this sandbox needs."""
        url = str(request.base_url).rstrip("/")
        known = {name: dict(gateway.describe(url)) for name, gateway in self._world.gateways.items()}
        return json_response({"gateways": known})

    async def wire(self, request: Request) -> Response:
        """Every API call, in order of arrival."""
        return json_response({"calls": self._world.wire.as_json()})

    async def books(self, request: Request) -> Response:
        """Payments with their money summed from the movements, and the wallets."""
        return json_response(self._world.as_books())

    async def grants(self, request: Request) -> Response:
        """Token grants, what a gateway would object to in the caller's manners, and what he still owes."""
        notes: dict[str, list[Any]] = {"grants": [], "manners": [], "owed": []}
        for gateway in self._world.gateways.values():
            for name, entries in gateway.notes().items():
                notes.setdefault(name, []).extend(entries)
        return json_response(notes)

    async def list_faults(self, request: Request) -> Response:
        """The faults that wait for their calls."""
        return json_response({"faults": self._faults.as_json()})

    async def order_fault(self, request: Request) -> Response:
        """Order a fault for the next calls of an operation."""
        operations = {name: gateway.operations for name, gateway in self._world.gateways.items()}
        self._faults.order(await wish(request), operations)
        return await self.list_faults(request)

    async def clear_faults(self, request: Request) -> Response:
        """Forget the faults that wait."""
        self._faults.clear()
        return await self.list_faults(request)

    async def cancel_fault(self, request: Request) -> Response:
        """Forget one fault that waits."""
        found = str(request.path_params["id"])
        self._faults.cancel(int(found) if found.isascii() and found.isdigit() and len(found) < 10 else 0)
        return await self.list_faults(request)

    async def fault_kinds(self, request: Request) -> Response:
        """Every kind of fault, what it can strike, and the magic amounts and wallets."""
        operations = {name: gateway.operations for name, gateway in self._world.gateways.items()}
        return json_response({"kinds": kinds_as_json(operations), "magic": magic.as_json()})

    async def openapi(self, request: Request) -> Response:
        """This API as an OpenAPI document."""
        operations = {name: gateway.operations for name, gateway in self._world.gateways.items()}
        return json_response(document(request.app.routes, operations, str(request.base_url).rstrip("/")))

    async def reset(self, request: Request) -> Response:
        """Start over: no payments, full wallets, no faults, the real time. Tokens and the webhook's endpoint stay."""
        self._world.reset()
        self._faults.reset()
        self._courier.reset()
        return await self.health(request)

    async def clock(self, request: Request) -> Response:
        """Move time forward by ``advance_s`` seconds."""
        asked = await wish(request)
        seconds = asked.get("advance_s")
        if set(asked) != {"advance_s"} or isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise SandboxError("advance_s must be a number of seconds")
        self._world.clock.advance(seconds)
        return json_response({"now": iso(self._world.now()), "ahead_s": self._world.clock.offset_s})

    async def approve(self, request: Request) -> Response:
        """Do what the payer would do on the hosted page of payment ``reference``."""
        asked = await wish(request)
        name, reference = asked.get("gateway", DEFAULT), asked.get("reference")
        outcome, wallet = asked.get("outcome", "success"), asked.get("wallet")
        if not set(asked) <= {"reference", "gateway", "outcome", "wallet"}:
            raise SandboxError(
                'approve takes {"reference", "gateway", "outcome", "wallet"}, and nothing else'
            )
        if not isinstance(name, str) or name not in self._world.gateways or not isinstance(reference, str):
            raise SandboxError('approve takes {"reference", "gateway", "outcome", "wallet"}')
        if not isinstance(outcome, str) or not (wallet is None or isinstance(wallet, str)):
            raise SandboxError("outcome and wallet are texts")
        return json_response(self._world.gateways[name].approve(reference, outcome, wallet))

    async def portal(self, request: Request) -> Response:
        """Do what a merchant would do in the gateway's portal: ``action`` refund (with ``amount``), capture or void."""
        asked = await wish(request)
        name, reference = asked.get("gateway", DEFAULT), asked.get("reference")
        action, amount = asked.get("action"), asked.get("amount")
        if not set(asked) <= {"reference", "gateway", "action", "amount"}:
            raise SandboxError('portal takes {"reference", "gateway", "action", "amount"}, and nothing else')
        if not isinstance(name, str) or name not in self._world.gateways or not isinstance(reference, str):
            raise SandboxError('portal takes {"reference", "gateway", "action", "amount"}')
        if not isinstance(action, str) or not (amount is None or isinstance(amount, str)):
            raise SandboxError("action and amount are texts")
        done = self._world.gateways[name].portal(reference, action, amount)
        await self._courier.leave()
        return json_response(done)

    async def walk_in(self, request: Request) -> Response:
        """Do what a payer does without the API: scan the QR code (``channel`` qr), or dial (ussd)."""
        known = {
            "gateway": DEFAULT,
            "channel": "qr",
            "wallet": CUSTOMER["wallet"],
            "reference": "",
            "merchant": "",
        }
        asked = known | await wish(request)
        texts = all(isinstance(value, str) for value in asked.values())
        if set(asked) != {*known, "amount"} or not texts:
            raise SandboxError(
                'walk_in takes {"amount", "channel", "wallet", "reference", "gateway", "merchant"}, all texts'
            )
        gateway = self._world.gateways.get(asked["gateway"])
        if gateway is None:
            raise SandboxError(f"unknown gateway; the gateways are {', '.join(self._world.gateways)}")
        payer = (asked["channel"], asked["wallet"], asked["reference"])
        done = gateway.walk_in(asked["amount"], *payer, asked["merchant"])
        await self._courier.leave()
        return json_response(done)

    # ---------------------------------------------------------------------------------------- webhooks

    async def webhooks(self, request: Request) -> Response:
        """Who is told of a gateway's payments, and every try to tell."""
        return json_response(self._courier.as_json(request.path_params["gateway"]))

    async def subscribe(self, request: Request) -> Response:
        """Tell ``url`` of this gateway's payments from now on, if it confirms. Answers once it was asked."""
        asked = await wish(request)
        if not {"url"} <= set(asked) <= {"url", "signature_version"}:
            raise SandboxError('webhooks takes {"url", "signature_version"}')
        told = await self._courier.subscribe(
            request.path_params["gateway"],
            asked["url"],
            version=asked.get("signature_version", "1"),
            asked_at=str(request.base_url).rstrip("/"),
        )
        return json_response(told)

    async def unsubscribe(self, request: Request) -> Response:
        """Tell nobody any more; the endpoint is told that much."""
        return json_response(await self._courier.unsubscribe(request.path_params["gateway"]))
