"""The admin API as an OpenAPI 3.1 document, made from the routes that are there: ``GET /_sandbox/openapi.json``.

Each route has its words and shapes in :data:`OPERATIONS`; one without is left out of the document, and a test fails.
The shapes are exact: what a schema lets through the route takes, what it does not let through the route refuses, and
every answer is as it says. Only what depends on the state of the sandbox (404, 409) is beyond a schema.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.routing import BaseRoute, Route

from vextrus_payments_sandbox import openapi_shapes as shapes
from vextrus_payments_sandbox.fault_kinds import KINDS
from vextrus_payments_sandbox.gateway_facts import WEBHOOK
from vextrus_payments_sandbox.gateways import PLAYED
from vextrus_payments_sandbox.openapi_answers import ANSWERS
from vextrus_payments_sandbox.openapi_orders import orders
from vextrus_payments_sandbox.openapi_shapes import Json
from vextrus_payments_sandbox.world import CUSTOMER

PREFIX: Final = "/_sandbox/"
ASSETS: Final = frozenset({"/_sandbox/style.css", "/_sandbox/live.js"})
"""What the pages load; no part of the API."""
_OWN: Final = ("GET", "PUT", "POST", "DELETE")


@dataclass(frozen=True, slots=True)
class Operation:
    """What the document says of one route."""

    summary: str
    answer: str
    """The name of the schema of a 200."""
    body: str = ""
    """The name of the schema of the request's body; empty where it takes none."""
    refusals: tuple[int, ...] = ()
    """With which statuses it may refuse, besides 403 for a foreign web page."""
    query: tuple[Json, ...] = ()
    path: Mapping[str, Json] = field(default_factory=dict)
    media_type: str = "application/json"
    body_needed: bool = True
    """Whether a request without its body is refused."""


#: Whose announcement can fail to come: those who announce at all.
_TELLERS: Final = [name for name in PLAYED if KINDS["webhook_never"].can_strike(name, WEBHOOK)]
_TELLING: Final = {"gateway": {"type": "string", "enum": _TELLERS}}
_PAYMENT: Final = {
    "gateway": {"type": "string", "minLength": 1},
    "reference": {"type": "string", "minLength": 1},
}

_NUMBER: Final = {"number": {"type": "string", "pattern": "^01[0-9]{9}$", "examples": [CUSTOMER["wallet"]]}}


def _query(name: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": schema}


_PAGE: Final = (
    _query("limit", shapes.LIMIT_OR_NONE, "how many at most; 50 unless told"),
    _query("gateway", shapes.GATEWAY_OR_NONE, "only those of this gateway"),
    _query("before", shapes.NUMBER_OR_NONE, "what an answer's before says, to go on"),
)

OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("GET", "health"): Operation("Up, and what time it is in here", "Health"),
    ("GET", "gateways"): Operation(
        "Of each gateway what a client needs: addresses and fake credentials", "Gateways"
    ),
    ("GET", "wire"): Operation("Every API call, in order of arrival", "Wire"),
    ("GET", "books"): Operation(
        "Payments with their money summed from the movements, and the wallets", "Books"
    ),
    ("GET", "grants"): Operation(
        "Token grants, and what a gateway would object to in the caller's manners", "Grants"
    ),
    ("GET", "faults"): Operation("The faults that wait for their calls", "Faults"),
    ("POST", "faults"): Operation(
        "Order a fault for calls to come: n of them, all, or by chance", "Faults", "FaultOrder", (400, 409)
    ),
    ("DELETE", "faults"): Operation("Forget the faults that wait", "Faults"),
    ("GET", "fault_kinds"): Operation(
        "Every kind of fault, what it can strike, and the magic amounts and wallets", "FaultKinds"
    ),
    ("DELETE", "faults/{id}"): Operation(
        "Forget one fault that waits",
        "Faults",
        refusals=(404,),
        path={"id": {"type": "integer", "minimum": 1}},
    ),
    ("GET", "payments"): Operation(
        "The newest payments first, with their money by the books",
        "Payments",
        refusals=(400,),
        query=(
            *_PAGE,
            _query("state", shapes.SHORT, "a state in the gateway's own words"),
            _query("text", shapes.SHORT, "part of a reference, an invoice or a transaction id"),
        ),
    ),
    ("GET", "payments/{gateway}/{reference}"): Operation(
        "One payment, by its reference or a transaction id: its money, and all that happened to it",
        "Payment",
        refusals=(404,),
        path=_PAYMENT,
    ),
    ("GET", "record"): Operation(
        "What happened, the newest first, with requests and answers",
        "Record",
        refusals=(400,),
        query=(
            *_PAGE,
            _query("kind", shapes.ENTRY_KIND_OR_NONE, "only entries of this kind"),
            _query("operation", shapes.SHORT, "a call's operation, or a webhook's type of message"),
            _query("status", shapes.SHORT, "200, 4xx, or none for what was never answered"),
            _query("text", shapes.SHORT, "part of a reference, a title, a path or a body"),
        ),
    ),
    ("GET", "events"): Operation(
        "What happens, as it happens: server-sent events, one for each change of an entry of the record",
        "Stream",
        refusals=(400, 503),
        query=(
            _query("after", shapes.NUMBER_OR_NONE, "the number of an event: those after it come first"),
            {
                **_query("Last-Event-ID", shapes.NUMBER_OR_NONE, "the same, as browsers say it"),
                "in": "header",
            },
        ),
        media_type="text/event-stream",
    ),
    ("GET", "wallets"): Operation("Every wallet and what is in it", "Wallets"),
    ("GET", "wallets/{number}"): Operation("One wallet", "Wallet", refusals=(404,), path=_NUMBER),
    ("PUT", "wallets/{number}"): Operation(
        "Let a wallet hold that much; the difference comes from the account bank, or goes there",
        "Wallet",
        "Balance",
        (400, 404, 409),
        path=_NUMBER,
    ),
    ("GET", "openapi.json"): Operation("This document", "OpenApi"),
    ("POST", "reset"): Operation(
        "Start over: no payments, full wallets, no faults, the real time. Tokens and the webhook's endpoint stay",
        "Health",
    ),
    ("POST", "seed"): Operation(
        "Play a scenario: merchants, wallets, payments and faults; it stops at what a gateway refuses",
        "Seeded",
        "Scenario",
        (400, 409),
        body_needed=False,
    ),
    ("GET", "merchants"): Operation(
        "Every merchant of every gateway, its balance, and what a client of its needs", "Merchants"
    ),
    ("POST", "clock"): Operation("Move time forward", "Clock", "ClockOrder", (400, 409)),
    ("POST", "approve"): Operation(
        "Do what the payer would do on the hosted page", "Approved", "Approval", (400, 404)
    ),
    ("POST", "portal"): Operation(
        "Do what a merchant would do in the gateway's portal", "Done", "PortalOrder", (400, 404, 409)
    ),
    ("POST", "walk_in"): Operation(
        "Let a payer pay without the merchant's API: a QR code, a short number",
        "Done",
        "WalkIn",
        (400, 404, 409),
    ),
    ("GET", "webhooks/{gateway}"): Operation(
        "Who is told of a gateway's payments, and every try to tell",
        "Webhooks",
        refusals=(404,),
        path=_TELLING,
    ),
    ("PUT", "webhooks/{gateway}"): Operation(
        "Tell this address from now on, if it confirms; answers once it was asked",
        "Webhooks",
        "Subscription",
        (400, 404),
        path=_TELLING,
    ),
    ("DELETE", "webhooks/{gateway}"): Operation(
        "Tell nobody any more; the endpoint is told that much", "Webhooks", refusals=(404,), path=_TELLING
    ),
}
"""(method, path below ``/_sandbox/``) -> what the document says."""

_REFUSALS: Final[Mapping[int, str]] = {
    400: "It cannot be carried out as asked; nothing was done",
    403: "A web page of another origin asked; nothing was done",
    404: "There is no such thing",
    409: "The state of the sandbox does not allow it; nothing was done",
    413: "The body is too long; nothing was done",
    503: "Too many listen already; come back later",
}


def routes_of(routes: Iterable[BaseRoute]) -> list[tuple[str, str]]:
    """(method, path below ``/_sandbox/``) of every route of the admin API among `routes`."""
    return [
        (method, route.path_format.removeprefix(PREFIX))
        for route in routes
        if isinstance(route, Route) and route.path_format.startswith(PREFIX)
        if route.path_format not in ASSETS
        for method in sorted(route.methods or ())
        if method in _OWN
    ]


def document(routes: Iterable[BaseRoute], gateways: Mapping[str, Sequence[str]], url: str) -> dict[str, Any]:
    """The document for an application with these `routes` and `gateways` (name -> operations), served at `url`."""
    paths: dict[str, dict[str, Any]] = {}
    for method, path in routes_of(routes):
        operation = OPERATIONS.get((method, path))
        if operation is not None:
            paths.setdefault(PREFIX + path, {})[method.lower()] = _operation(method, path, operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "vextrus_payments sandbox: admin API",
            "version": "1",
            "description": (
                "What a test or a developer asks of the sandbox itself. It takes no credentials and moves no real "
                "money; it answers to this machine only, and to no web page but its own."
            ),
        },
        "servers": [{"url": url}],
        "paths": paths,
        "components": {"schemas": {**ANSWERS, **orders(gateways)}},
    }


def _operation(method: str, path: str, operation: Operation) -> Json:
    found: Json = {
        "operationId": _operation_id(method, path),
        "summary": operation.summary,
        "responses": {
            "200": _content("As asked", operation.answer, operation.media_type),
            **{
                str(status): _content(_REFUSALS[status], "Refusal")
                for status in sorted({*operation.refusals, 403, *((413,) if method != "GET" else ())})
            },
        },
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name, schema in operation.path.items()
    ]
    if parameters or operation.query:
        found["parameters"] = [*parameters, *operation.query]
    if operation.body:
        found["requestBody"] = {
            "required": operation.body_needed,
            "content": {"application/json": {"schema": shapes.ref(operation.body)}},
        }
    return found


def _content(description: str, schema: str, media_type: str = "application/json") -> Json:
    return {"description": description, "content": {media_type: {"schema": shapes.ref(schema)}}}


def _operation_id(method: str, path: str) -> str:
    words = path.replace("{", "").replace("}", "").replace(".", "_").replace("/", "_")
    return f"{method.lower()}_{words}"
