"""What the browser walks through: the sandbox on a socket, a shop's page to come back to, and a shop with the SDK."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.sandbox.nagad_shop import NagadShop
from tests.sandbox.shop import FakeClock, Shop
from vextrus_payments_sandbox.doors import served
from vextrus_payments_sandbox.serve import SandboxServer

NOON = datetime(2026, 1, 31, 6, 0, tzinfo=UTC)
"""In Dhaka."""


@dataclass
class Till:
    """A shop's page on a socket of its own: where the payer's browser comes back to, and with what."""

    url: str = ""
    visits: list[dict[str, str]] = field(default_factory=list)

    async def back(self, request: Request) -> Response:
        self.visits.append(dict(request.query_params))
        shown = escape(request.query_params.get("status", "nothing"))
        return HTMLResponse(
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Shop</title></head>'
            f"<body><main><h1>Back in the shop</h1><p>{shown}</p></main></body></html>"
        )

    async def no_icon(self, request: Request) -> Response:
        return Response(status_code=204)

    def app(self) -> Starlette:
        """Its one page."""
        return Starlette(routes=[Route("/favicon.ico", self.no_icon), Route("/{path:path}", self.back)])


@dataclass
class Stage:
    """A sandbox whose clock stands still until it is moved, and merchants who speak the wire by hand."""

    sandbox: SandboxServer
    clock: FakeClock
    till: Till
    bkash: Shop
    nagad: NagadShop

    async def start_over(self) -> None:
        """As at the beginning: no payments, no faults, noon."""
        self.clock.moment = NOON
        self.till.visits.clear()
        for answer in (
            await self.bkash.http.post("/_sandbox/reset"),
            await self.bkash.http.delete("/_sandbox/faults"),
        ):
            assert answer.status_code < 300, answer.text

    async def bkash_page(self, amount: Any = "1250.50", **changes: Any) -> tuple[str, str]:
        """A new bKash payment: its id and its page."""
        made = await self.bkash.create(amount, callbackURL=f"{self.till.url}/back", **changes)
        return made["paymentID"], made["bkashURL"]

    async def nagad_page(self, amount: Any = "1250.50", **more: Any) -> tuple[str, str]:
        """A new Nagad payment: its reference and its page."""
        return await self.nagad.ready(amount, outer={"merchantCallbackURL": f"{self.till.url}/back"}, **more)

    async def page(self, gateway: str, amount: Any = "1250.50") -> tuple[str, str]:
        """A new payment at that gateway: its reference and its page."""
        return await (self.bkash_page(amount) if gateway == "bkash" else self.nagad_page(amount))

    async def state(self, gateway: str, reference: str) -> str:
        """What the gateway's own look-up calls the payment; bKash is executed first where the payer has confirmed."""
        if gateway == "nagad":
            return str((await self.nagad.verify(reference))["status"])
        found = await self.bkash.query(reference)
        if found["verificationStatus"] == "Complete" and found["transactionStatus"] == "Initiated":
            found = await self.bkash.execute(reference)
        return str(found["transactionStatus"])


@asynccontextmanager
async def set_up() -> AsyncIterator[Stage]:
    """Everything of it, on loopback."""
    clock, till = FakeClock(NOON), Till()
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(SandboxServer(clock=clock, seed=1))
        till.url = await stack.enter_async_context(served(till.app()))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=sandbox.url, trust_env=False))
        yield Stage(sandbox, clock, till, await Shop(http).open(), await NagadShop.of(http, clock))
