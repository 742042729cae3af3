"""check_gateway() on the bKash adapter against the sandbox, whose books are kept apart from the SDK's."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.in_process import AppTransport
from vextrus_payments.gateways.bkash import ApiVersion, models
from vextrus_payments.gateways.bkash import v2_models as v2
from vextrus_payments.gateways.bkash.config import BkashConfig
from vextrus_payments.gateways.bkash.gateway import BkashGateway
from vextrus_payments.gateways.bkash.steps import RefundApi
from vextrus_payments.money import Money
from vextrus_payments.payment import Intent, PaymentRequest
from vextrus_payments.secret import Secret
from vextrus_payments.testing.gateway_check import Fault, Verb, check_gateway
from vextrus_payments.testing.time import FakeClock, FakeEntropy, FakeSleeper
from vextrus_payments.transport import HttpxTransport, Transport
from vextrus_payments.wire import Safety, SendBy, WireRequest, WireResponse
from vextrus_payments_sandbox.app import create_app
from vextrus_payments_sandbox.serve import SandboxServer

_MONEY = frozenset({"debit", "hold", "capture", "release", "refund"})
_GRANTS = (models.PATH_GRANT, models.PATH_REFRESH, v2.PATH_GRANT, v2.PATH_REFRESH)


class Watched:
    """A transport that remembers the tokens it carried, so that they can be looked for."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.tokens: set[str] = set()

    async def send(
        self, request: WireRequest, *, safety: Safety, timeout_s: float, send_by: SendBy | None = None
    ) -> WireResponse:
        answer = await self._inner.send(request, safety=safety, timeout_s=timeout_s, send_by=send_by)
        if request.url.endswith(_GRANTS):
            found = json.loads(answer.body)
            self.tokens |= {found[name] for name in ("id_token", "refresh_token") if name in found}
        return answer

    async def aclose(self) -> None:
        await self._inner.aclose()


class SandboxWorld:
    """The bKash sandbox as the kit wants it."""

    def __init__(self, app: object, transport: Transport, base_url: str, clock: FakeClock) -> None:
        self._world = app.state.world  # type: ignore[attr-defined]
        self._faults = app.state.faults  # type: ignore[attr-defined]
        self._bkash = self._world.gateways["bkash"]
        self._watched = Watched(transport)
        self.base_url = base_url
        self.clock = clock

    @property
    def transport(self) -> Transport:
        return self._watched

    @property
    def secrets(self) -> Sequence[str]:
        merchant = self._bkash.merchant
        return (merchant.app_secret, merchant.password, *sorted(self._watched.tokens))

    def config(self, refund_api: RefundApi, version: ApiVersion) -> BkashConfig:
        merchant = self._bkash.merchant
        root = models.ROOT_PATH if version is ApiVersion.V1 else v2.ROOT_PATH
        return BkashConfig(
            api_url=self.base_url.removesuffix(models.ROOT_PATH) + root,
            callback_url="http://127.0.0.1:9/return",
            app_key=Secret(merchant.app_key),
            app_secret=Secret(merchant.app_secret),
            username=Secret(merchant.username),
            password=Secret(merchant.password),
            refund_api=refund_api,
            timeout_s=3.0,
        )

    def request(self, merchant_reference: str, *, intent: Intent = Intent.SALE) -> PaymentRequest:
        # Another amount per reference: bKash takes a second equal payment within minutes for a double (2029).
        amount = Money.from_minor(50_000 + 100 * (sum(merchant_reference.encode()) % 97), "BDT")
        return PaymentRequest(
            operation_id=f"{merchant_reference}/pay",
            gateway="bkash",
            amount=amount,
            merchant_reference=merchant_reference,
            intent=intent,
        )

    async def effects(self) -> int:
        return sum(entry.kind in _MONEY for entry in self._world.books.movements)

    async def approve(self, gateway_reference: str) -> None:
        self._bkash.approve(gateway_reference, "success", None)

    def token_rejected(self) -> WireResponse | None:
        return WireResponse(
            401, {"content-type": "application/json"}, b'{"message":"The incoming token has expired"}'
        )

    def is_token_request(self, request: WireRequest) -> bool:
        return request.url.endswith(_GRANTS)

    async def inject(self, verb: Verb, fault: Fault) -> bool:
        name, times = _NATIVE.get(fault, ("", 1))
        if not name:
            return False
        operation = _OPERATIONS[verb]
        wish = {"gateway": "bkash", "operation": operation, "fault": name, "times": times}
        self._faults.order(wish, {"bkash": self._bkash.operations})
        return True

    async def mend(self) -> None:
        self._faults.clear()


#: What the sandbox itself can do, over a real socket.
_NATIVE = {
    Fault.LOST_BEFORE: ("drop_before", 1),
    Fault.LOST_AFTER: ("drop_after", 1),
    Fault.ERROR_BEFORE: ("error_5xx_before", 1),
    Fault.ERROR_AFTER: ("error_5xx_after", 1),
    Fault.MALFORMED: ("malformed", 1),
    Fault.HTML: ("html", 1),
    Fault.TOKEN_ONCE: ("expired_token", 1),
    Fault.TOKEN_ALWAYS: ("expired_token", 1_000),
}
_OPERATIONS = {
    Verb.INITIALIZE: "create",
    Verb.EXECUTE: "execute",
    Verb.STATUS: "query",
    Verb.CAPTURE: "capture",
    Verb.VOID: "void",
    Verb.REFUND: "refund",
}


@asynccontextmanager
async def in_process() -> AsyncIterator[SandboxWorld]:
    clock = FakeClock()
    app = create_app(clock=clock, seed=7)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as client:
        yield SandboxWorld(app, AppTransport(client), "http://127.0.0.1:28600" + models.ROOT_PATH, clock)


def adapter(
    world: SandboxWorld,
    transport: Transport,
    refund_api: RefundApi = RefundApi.V2,
    version: ApiVersion = ApiVersion.V1,
) -> BkashGateway:
    clock = world.clock
    return BkashGateway(
        world.config(refund_api, version),
        transport=transport,
        clock=clock,
        sleeper=FakeSleeper(clock),
        entropy=FakeEntropy(5),
    )


@pytest.mark.parametrize(
    ("version", "refund_api"),
    [
        (ApiVersion.V1, RefundApi.V1),
        (ApiVersion.V1, RefundApi.V2),
        (ApiVersion.V2, RefundApi.V2),
    ],
)
async def test_bkash_keeps_the_rules_under_every_fault_of_the_line(
    version: ApiVersion, refund_api: RefundApi
) -> None:
    report = await check_gateway(
        lambda world, transport: adapter(world, transport, refund_api, version), in_process
    )
    assert len(report.scenarios) > (100 if version is ApiVersion.V1 else 70)


@pytest.mark.parametrize(("version", "verbs"), [(ApiVersion.V1, 6), (ApiVersion.V2, 4)])
async def test_bkash_keeps_the_rules_over_a_real_socket_under_the_sandboxs_own_faults(
    version: ApiVersion, verbs: int
) -> None:
    clock = FakeClock()
    transport = HttpxTransport(clock=clock)

    async with SandboxServer(seed=7, clock=clock) as server:

        @asynccontextmanager
        async def emptied() -> AsyncIterator[SandboxWorld]:
            server.world.reset()
            server.app.state.faults.clear()
            yield SandboxWorld(server.app, transport, server.base_url, clock)

        report = await check_gateway(
            lambda world, transport: adapter(world, transport, version=version), emptied, native=True
        )
        await transport.aclose()
    assert len(report.scenarios) == len(_NATIVE) * verbs
