"""check_gateway() on the SSLCommerz adapter against the sandbox, which signs by code of its own."""

from collections.abc import Sequence

from tests.conformance.sandbox_world import SandboxWorld, in_process, served
from vextrus_payments.gateways.sslcommerz import SslcommerzConfig, SslcommerzGateway
from vextrus_payments.secret import Secret
from vextrus_payments.testing.gateway_check import Verb, check_gateway
from vextrus_payments.transport import Transport


class SslcommerzWorld(SandboxWorld):
    gateway = "sslcommerz"
    operations = {
        Verb.INITIALIZE: "session",
        Verb.EXECUTE: "query",
        Verb.STATUS: "query",
        Verb.REFUND: "refund",
    }

    @property
    def secrets(self) -> Sequence[str]:
        return (self.told["store_password"],)

    def config(self) -> SslcommerzConfig:
        return SslcommerzConfig(
            api_url=self.told["base_url"],
            callback_url="http://127.0.0.1:9/return",
            store_id=self.told["store_id"],
            store_password=Secret(self.told["store_password"]),
            timeout_s=3.0,
        )


def adapter(world: SslcommerzWorld, transport: Transport) -> SslcommerzGateway:
    return SslcommerzGateway(world.config(), **world.parts(transport))


async def test_sslcommerz_keeps_the_rules_under_every_fault_of_the_line() -> None:
    report = await check_gateway(adapter, in_process(SslcommerzWorld))
    assert len(report.scenarios) > 50


async def test_sslcommerz_keeps_the_rules_over_a_real_socket_under_the_sandboxs_own_faults() -> None:
    async with served(SslcommerzWorld) as emptied:
        report = await check_gateway(adapter, emptied, native=True)
    assert len(report.scenarios) == len(SslcommerzWorld.native) * len(SslcommerzWorld.operations)
