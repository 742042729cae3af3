"""check_gateway() on the SSLCommerz adapter against the sandbox, which signs by code of its own."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.in_process import AppTransport
from vextrus_payments.gateways.sslcommerz import SslcommerzConfig, SslcommerzGateway
from vextrus_payments.money import Money
from vextrus_payments.payment import Intent, PaymentRequest
from vextrus_payments.secret import Secret
from vextrus_payments.testing.gateway_check import Fault, Verb, check_gateway
from vextrus_payments.testing.time import FakeClock, FakeEntropy, FakeSleeper
from vextrus_payments.transport import HttpxTransport, Transport
from vextrus_payments.wire import WireRequest, WireResponse
from vextrus_payments_sandbox.app import create_app
from vextrus_payments_sandbox.serve import SandboxServer

_MONEY = frozenset({"debit", "refund"})
_NATIVE = {
    Fault.LOST_BEFORE: "drop_before",
    Fault.LOST_AFTER: "drop_after",
    Fault.ERROR_BEFORE: "error_5xx_before",
    Fault.ERROR_AFTER: "error_5xx_after",
    Fault.MALFORMED: "malformed",
    Fault.HTML: "html",
}
_OPERATIONS = {
    Verb.INITIALIZE: "session",
    Verb.EXECUTE: "query",
    Verb.STATUS: "query",
    Verb.REFUND: "refund",
}


class SandboxWorld:
    """The SSLCommerz sandbox as the kit wants it."""

    def __init__(self, app: Any, transport: Transport, url: str, clock: FakeClock) -> None:
        self._world = app.state.world
        self._faults = app.state.faults
        self._gateway = self._world.gateways["sslcommerz"]
        self._told = self._gateway.describe(url)
        self.transport = transport
        self.clock = clock

    @property
    def secrets(self) -> Sequence[str]:
        return (self._told["store_password"],)

    def config(self) -> SslcommerzConfig:
        return SslcommerzConfig(
            api_url=self._told["base_url"],
            callback_url="http://127.0.0.1:9/return",
            store_id=self._told["store_id"],
            store_password=Secret(self._told["store_password"]),
            timeout_s=3.0,
        )

    def request(self, merchant_reference: str, *, intent: Intent = Intent.SALE) -> PaymentRequest:
        return PaymentRequest(
            operation_id=f"{merchant_reference}/pay",
            gateway="sslcommerz",
            amount=Money("500.00", "BDT"),
            merchant_reference=merchant_reference,
            intent=intent,
        )

    async def effects(self) -> int:
        return sum(entry.kind in _MONEY for entry in self._world.books.movements)

    async def approve(self, gateway_reference: str) -> None:
        self._gateway.approve(gateway_reference, "success", None)

    def token_rejected(self) -> WireResponse | None:
        return None

    def is_token_request(self, request: WireRequest) -> bool:
        return False

    async def inject(self, verb: Verb, fault: Fault) -> bool:
        name, operation = _NATIVE.get(fault), _OPERATIONS.get(verb)
        if name is None or operation is None:
            return False
        wish = {"gateway": "sslcommerz", "operation": operation, "fault": name, "times": 1}
        self._faults.order(wish, {"sslcommerz": self._gateway.operations})
        return True

    async def mend(self) -> None:
        self._faults.clear()


@asynccontextmanager
async def in_process() -> AsyncIterator[SandboxWorld]:
    clock = FakeClock()
    app = create_app(clock=clock, seed=7)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as client:
        yield SandboxWorld(app, AppTransport(client), "http://127.0.0.1:28600", clock)


def adapter(world: SandboxWorld, transport: Transport) -> SslcommerzGateway:
    clock = world.clock
    return SslcommerzGateway(
        world.config(), transport=transport, clock=clock, sleeper=FakeSleeper(clock), entropy=FakeEntropy(5)
    )


async def test_sslcommerz_keeps_the_rules_under_every_fault_of_the_line() -> None:
    report = await check_gateway(adapter, in_process)
    assert len(report.scenarios) > 50


async def test_sslcommerz_keeps_the_rules_over_a_real_socket_under_the_sandboxs_own_faults() -> None:
    clock = FakeClock()
    transport = HttpxTransport(clock=clock)

    async with SandboxServer(seed=7, clock=clock) as server:

        @asynccontextmanager
        async def emptied() -> AsyncIterator[SandboxWorld]:
            server.world.reset()
            server.app.state.faults.clear()
            yield SandboxWorld(server.app, transport, server.url, clock)

        report = await check_gateway(adapter, emptied, native=True)
        await transport.aclose()
    assert len(report.scenarios) == len(_NATIVE) * len(_OPERATIONS)
