"""The SDK as a user has it: BkashGateway through driver, breaker, retries, token cache and the real transport.

Nothing is stubbed. What is measured as "ours" builds the request's models, checks it against the gateway's rules,
takes the token from the cache, sends over a real socket, reads the answer into its model, judges it, and tells the
observer.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench.wire import API_ROOT, APP_KEY, BEARER, CALLBACK, CREATE_PATH, INVOICE, PAYER, QUESTION
from vextrus_payments.gateways.bkash import BkashConfig, BkashGateway, models
from vextrus_payments.money import Money
from vextrus_payments.observe import Observer
from vextrus_payments.payment import Customer, PaymentRequest, PaymentSession
from vextrus_payments.stores import open_store
from vextrus_payments.token_port import TokenBackend
from vextrus_payments.tokens import (
    FileTokenBackend,
    MemoryTokenBackend,
    RedisTokenCache,
    StoreTokenBackend,
    TokenCache,
)
from vextrus_payments.transport import HttpxTransport, Transport
from vextrus_payments.wire import CallContext, Safety, WireRequest, WireResponse

Call = Callable[[], Awaitable[Any]]


def config(url: str, **more: Any) -> BkashConfig:
    """A sandbox merchant at the bench's server. Credentials are visibly fake."""
    values: dict[str, Any] = {
        "api_url": url + API_ROOT,
        "app_key": APP_KEY,
        "app_secret": "example-app-secret",
        "username": "example-user",
        "password": "example-password",
        "callback_url": CALLBACK,
    }
    return BkashConfig(**(values | more))


def gateway(
    url: str,
    *,
    transport: Transport | None = None,
    observer: Observer | None = None,
    tokens: TokenCache | None = None,
    **more: Any,
) -> BkashGateway:
    """A ready gateway."""
    return BkashGateway(config(url, **more), transport=transport, observer=observer, tokens=tokens)


class FullCall:
    """initialize_payment as a shop calls it: a request made anew for each call, with its operation id.

    Args:
        tell: an observer that is told of each session, as a shop logs its own line; the gateway's own line per
            exchange comes from the observer that the gateway was given.
    """

    def __init__(self, bkash: BkashGateway, tell: Observer | None = None) -> None:
        self._bkash = bkash
        self._tell = tell
        self.calls = 0

    async def __call__(self) -> PaymentSession:
        self.calls = number = self.calls + 1
        session = await self._bkash.initialize_payment(
            PaymentRequest(
                operation_id=f"order-{number}/pay",
                gateway="bkash",
                amount=Money("1250.50", "BDT"),
                merchant_reference=INVOICE,
                return_url="https://shop.example/orders/8812",
                customer=Customer(reference=PAYER),
            ),
            context=CallContext(payment_id=f"pay-{number}", operation_id=f"order-{number}/pay"),
        )
        if self._tell is not None:
            self._tell.event(
                "payment.session",
                payment_id=session.payment_id,
                merchant_reference=session.merchant_reference,
                gateway_reference=session.gateway_reference,
            )
        return session


class TransportCall:
    """The SDK's transport alone: the same bytes on the wire as a full call, without anything around it."""

    def __init__(self, transport: HttpxTransport, url: str) -> None:
        self._transport = transport
        self.request = WireRequest(
            "POST",
            url + CREATE_PATH,
            (
                ("Authorization", BEARER),
                ("X-App-Key", APP_KEY),
                ("Accept", "application/json"),
                ("Content-Type", "application/json"),
            ),
            json.dumps(QUESTION, separators=(",", ":")).encode("ascii"),
        )

    async def __call__(self) -> WireResponse:
        return await self._transport.send(self.request, safety=Safety.DISPOSABLE, timeout_s=30.0)


class ModelsCall:
    """The floor of any SDK with models: the request's model in, the answer's model out, and nothing else around the
    SDK's transport; no checks, no token, no retry, no breaker, no log."""

    def __init__(self, transport: HttpxTransport, url: str) -> None:
        self._transport = transport
        self._plain = TransportCall(transport, url).request

    async def __call__(self) -> models.CreateAnswer:
        body = models.CreateBody(**QUESTION).to_json()
        request = WireRequest("POST", self._plain.url, self._plain.headers, body)
        response = await self._transport.send(request, safety=Safety.DISPOSABLE, timeout_s=30.0)
        return models.CreateAnswer.from_json(response.body)


@asynccontextmanager
async def token_backend(kind: str, place: str) -> AsyncIterator[TokenBackend]:
    """One of the SDK's token backends; `place` is the folder or file that several processes share."""
    if kind == "memory":
        yield MemoryTokenBackend()
    elif kind == "file":
        yield FileTokenBackend(Path(place))
    elif kind == "sqlite store":
        store = open_store(f"sqlite:///{place}")
        await store.open()
        try:
            yield StoreTokenBackend(store)
        finally:
            await store.close()
    elif kind == "redis":
        async with RedisTokenCache(place) as backend:
            yield backend
    else:
        raise ValueError(kind)


def token_cache(backend: TokenBackend) -> TokenCache:
    """The SDK's token cache over a backend."""
    return TokenCache(backend)
