"""``/_sandbox/payments``, ``/record`` and ``/wallets``: what the dashboard shows, as JSON for any other program."""

from collections.abc import Collection
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vextrus_payments_sandbox.admin import ADMIN_PREFIX, Endpoint, guarded, wish
from vextrus_payments_sandbox.books import Movement
from vextrus_payments_sandbox.exchange import json_response
from vextrus_payments_sandbox.feed import Feed
from vextrus_payments_sandbox.record import KINDS
from vextrus_payments_sandbox.world import (
    CURRENCY,
    SandboxError,
    Wallet,
    World,
    hold_account,
    iso,
    to_paisa,
    to_text,
)

LIMIT: Final = 50
LIMIT_MAX: Final = 500
_TEXT_MAX: Final = 256
_NUMBER_MAX: Final = 10**15


class PaymentsAdmin:
    """Payments, their timelines, the record, and the wallets."""

    def __init__(self, world: World, feed: Feed) -> None:
        self._world = world
        self._feed = feed

    def routes(self) -> list[Route]:
        """Below ``/_sandbox``."""
        table: tuple[tuple[str, str, Endpoint], ...] = (
            ("GET", "payments", self.payments),
            ("GET", "payments/{gateway}/{reference:path}", self.payment),
            ("GET", "record", self.record),
            ("GET", "events", self._feed.listen),
            ("GET", "wallets", self.wallets),
            ("GET", "wallets/{number}", self.wallet),
            ("PUT", "wallets/{number}", self.set_balance),
        )
        return [
            Route(f"{ADMIN_PREFIX}/{name}", guarded(endpoint), methods=[method])
            for method, name, endpoint in table
        ]

    async def payments(self, request: Request) -> Response:
        """The newest payments first; ``before`` of an answer, given back, leads on to older ones."""
        asked = parameters(request, ("limit", "gateway", "state", "text", "before"))
        page = self._world.payments(
            whole(asked, "limit", LIMIT, LIMIT_MAX),
            gateway=self._gateway(asked),
            state=asked.get("state", ""),
            text=asked.get("text", ""),
            before=whole(asked, "before", 0, _NUMBER_MAX) or None,
        )
        return json_response(
            {
                "payments": [listed.as_json() for listed in page.rows],
                "before": page.before,
                "total": page.total,
                "captured": to_text(page.captured_minor),
                "refunded": to_text(page.refunded_minor),
                "currency": CURRENCY,
            }
        )

    async def payment(self, request: Request) -> Response:
        """One payment, by its reference or a transaction id: what it is, its money, and all that happened to it."""
        gateway, handle = request.path_params["gateway"], request.path_params["reference"]
        if gateway not in self._world.gateways:
            raise SandboxError(f"unknown gateway; the gateways are {', '.join(self._world.gateways)}", 404)
        row = self._world.gateways[gateway].row(handle)
        reference = handle if row is None else row.reference
        timeline = self._world.record.of(gateway, reference)
        if row is None and not timeline:
            raise SandboxError("there is no payment with this reference or transaction id", 404)
        books = self._world.books
        captured, refunded = books.money(gateway, reference)
        return json_response(
            {
                "payment": None if row is None else row.as_json(captured, refunded),
                "money": {
                    "captured": to_text(captured),
                    "refunded": to_text(refunded),
                    "held": to_text(books.balance(hold_account(gateway, reference))),
                    "currency": CURRENCY,
                    "movements": [movement_shown(one) for one in books.of(gateway, reference)],
                },
                "timeline": [entry.as_json() for entry in timeline],
                "whole": row is not None and self._world.record.is_whole(row.created_at),
            }
        )

    async def record(self, request: Request) -> Response:
        """What happened, the newest first, with requests and answers; ``before`` leads on to what came earlier."""
        names = ("limit", "gateway", "kind", "operation", "status", "text", "before")
        asked = parameters(request, names)
        if asked.get("kind", "") not in ("", *KINDS):
            raise SandboxError(f"kind is one of {', '.join(KINDS)}")
        limit, record = whole(asked, "limit", LIMIT, LIMIT_MAX), self._world.record
        found = record.newest(
            limit,
            gateway=self._gateway(asked),
            kind=asked.get("kind", ""),
            operation=asked.get("operation", ""),
            status=asked.get("status", ""),
            text=asked.get("text", ""),
            before=whole(asked, "before", 0, _NUMBER_MAX) or None,
        )
        return json_response(
            {
                "entries": [entry.as_json() for entry in found],
                "before": found[-1].seq if len(found) == limit else None,
                "told": record.told,
                "kept": len(record),
                "forgotten": record.forgotten,
            }
        )

    # ----------------------------------------------------------------------------------------- wallets

    async def wallets(self, request: Request) -> Response:
        """Every wallet and what is in it."""
        return json_response({"wallets": [self._shown(one) for one in self._world.wallets.values()]})

    async def wallet(self, request: Request) -> Response:
        """One wallet."""
        found = self._world.wallets.get(request.path_params["number"])
        if found is None:
            raise SandboxError("there is no test wallet with this number", 404)
        return json_response(self._shown(found))

    async def set_balance(self, request: Request) -> Response:
        """Let a wallet hold ``balance`` from now on; the difference comes from the account `bank`, or goes there."""
        asked = await wish(request)
        text = asked.get("balance")
        amount_minor = to_paisa(text) if isinstance(text, str) else None
        if amount_minor is None or set(asked) != {"balance"}:
            raise SandboxError('a wallet takes {"balance": "100.00"}: taka as a text, up to two decimals')
        return json_response(
            self._shown(self._world.set_balance(request.path_params["number"], amount_minor))
        )

    def _shown(self, wallet: Wallet) -> dict[str, Any]:
        return {
            "wallet": wallet.number,
            "balance": to_text(self._world.books.balance(wallet.account)),
            "opening": to_text(wallet.opening_minor),
            "currency": CURRENCY,
            "blocked": wallet.blocked,
            "note": wallet.note,
        }

    def _gateway(self, asked: dict[str, str]) -> str:
        gateway = asked.get("gateway", "")
        if gateway and gateway not in self._world.gateways:
            raise SandboxError(f"unknown gateway; the gateways are {', '.join(self._world.gateways)}")
        return gateway


def parameters(request: Request, known: Collection[str]) -> dict[str, str]:
    """The query's parameters; raises :class:`SandboxError` for an unknown or a repeated one, or an endless one."""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise SandboxError(f"unknown parameter {name[:40]!r}; there are {', '.join(known)}")
        if name in found:
            raise SandboxError(f"{name} was given twice")
        if len(value) > _TEXT_MAX:
            raise SandboxError(f"{name} has at most {_TEXT_MAX} characters")
        found[name] = value
    return found


def whole(asked: dict[str, str], name: str, otherwise: int, highest: int) -> int:
    """A parameter that is a whole number from 1 on; raises :class:`SandboxError` for any other text."""
    text = asked.get(name, "")
    if not text:
        return otherwise
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 16 else 0
    if not 1 <= number <= highest:
        raise SandboxError(f"{name} is a whole number from 1 to {highest}")
    return number


def movement_shown(one: Movement) -> dict[str, Any]:
    """A line of the books as JSON."""
    return {
        "seq": one.seq,
        "at": iso(one.at),
        "kind": one.kind,
        "source": one.source,
        "target": one.target,
        "amount": to_text(one.amount_minor),
        "transaction_id": one.transaction_id,
    }
