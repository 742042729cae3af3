"""check_gateway() on the bKash adapter against the sandbox, whose books are kept apart from the SDK's."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.conformance.sandbox_world import NATIVE, SandboxWorld, in_process, served
from vextrus_payments.gateways.bkash import ApiVersion, models
from vextrus_payments.gateways.bkash import v2_models as v2
from vextrus_payments.gateways.bkash.config import BkashConfig
from vextrus_payments.gateways.bkash.gateway import BkashGateway
from vextrus_payments.gateways.bkash.steps import RefundApi
from vextrus_payments.money import Money
from vextrus_payments.secret import Secret
from vextrus_payments.testing.gateway_check import Fault, Verb, check_gateway
from vextrus_payments.testing.time import FakeClock
from vextrus_payments.transport import Transport
from vextrus_payments.wire import Safety, SendBy, WireRequest, WireResponse

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


class BkashWorld(SandboxWorld):
    gateway = "bkash"
    operations = {
        Verb.INITIALIZE: "create",
        Verb.EXECUTE: "execute",
        Verb.STATUS: "query",
        Verb.CAPTURE: "capture",
        Verb.VOID: "void",
        Verb.REFUND: "refund",
    }
    native = {
        **NATIVE,
        Fault.TOKEN_ONCE: ("expired_token", 1),
        Fault.TOKEN_ALWAYS: ("expired_token", 1_000),
    }
    money = frozenset({"debit", "hold", "capture", "release", "refund"})

    def __init__(self, app: Any, transport: Transport, url: str, clock: FakeClock) -> None:
        self._watched = Watched(transport)
        super().__init__(app, self._watched, url, clock)

    @property
    def secrets(self) -> Sequence[str]:
        merchant = self._gateway.merchant
        return (merchant.app_secret, merchant.password, *sorted(self._watched.tokens))

    def config(self, refund_api: RefundApi, version: ApiVersion) -> BkashConfig:
        merchant = self._gateway.merchant
        return BkashConfig(
            api_url=self.told["base_url" if version is ApiVersion.V1 else "v2_base_url"],
            callback_url="http://127.0.0.1:9/return",
            app_key=Secret(merchant.app_key),
            app_secret=Secret(merchant.app_secret),
            username=Secret(merchant.username),
            password=Secret(merchant.password),
            refund_api=refund_api,
            timeout_s=3.0,
        )

    def amount(self, merchant_reference: str) -> Money:
        # Another one per reference: bKash takes a second equal payment within minutes for a double (2029).
        return Money.from_minor(50_000 + 100 * (sum(merchant_reference.encode()) % 97), "BDT")

    def token_rejected(self) -> WireResponse | None:
        return WireResponse(
            401, {"content-type": "application/json"}, b'{"message":"The incoming token has expired"}'
        )

    def is_token_request(self, request: WireRequest) -> bool:
        return request.url.endswith(_GRANTS)


def adapter(
    world: BkashWorld,
    transport: Transport,
    refund_api: RefundApi = RefundApi.V2,
    version: ApiVersion = ApiVersion.V1,
) -> BkashGateway:
    return BkashGateway(world.config(refund_api, version), **world.parts(transport))


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
        lambda world, transport: adapter(world, transport, refund_api, version), in_process(BkashWorld)
    )
    assert len(report.scenarios) > (100 if version is ApiVersion.V1 else 70)


@pytest.mark.parametrize(("version", "verbs"), [(ApiVersion.V1, 6), (ApiVersion.V2, 4)])
async def test_bkash_keeps_the_rules_over_a_real_socket_under_the_sandboxs_own_faults(
    version: ApiVersion, verbs: int
) -> None:
    async with served(BkashWorld) as emptied:
        report = await check_gateway(
            lambda world, transport: adapter(world, transport, version=version), emptied, native=True
        )
    assert len(report.scenarios) == len(BkashWorld.native) * verbs
