"""check_gateway() on the Nagad adapter against the sandbox, which seals and opens by code of its own."""

import functools
from collections.abc import Sequence
from pathlib import Path

from tests.conformance.sandbox_world import SandboxWorld, in_process, served
from vextrus_payments.gateways.nagad import models
from vextrus_payments.gateways.nagad.config import NagadConfig
from vextrus_payments.gateways.nagad.gateway import NagadGateway
from vextrus_payments.secret import Secret
from vextrus_payments.testing.gateway_check import Verb, check_gateway
from vextrus_payments.transport import Transport


class NagadWorld(SandboxWorld):
    gateway = "nagad"
    operations = {
        Verb.INITIALIZE: "initialize",
        Verb.EXECUTE: "verify",
        Verb.STATUS: "verify",
        Verb.REFUND: "refund",
    }

    @functools.cached_property
    def _private_key(self) -> str:
        return Path(self.told["merchant_private_key_file"]).read_text(encoding="ascii").strip()

    @property
    def secrets(self) -> Sequence[str]:
        # Whole, and a piece of its middle: a part of a key gives it away, too.
        return (self._private_key, self._private_key[400:440])

    def config(self) -> NagadConfig:
        return NagadConfig(
            api_url=self.told["base_url"],
            callback_url="http://127.0.0.1:9/return",
            merchant_id=self.told["merchant_id"],
            private_key=Secret(self._private_key),
            public_key=Path(self.told["gateway_public_key_file"]).read_text(encoding="ascii"),
            timeout_s=3.0,
        )


def adapter(world: NagadWorld, transport: Transport) -> NagadGateway:
    return NagadGateway(world.config(), **world.parts(transport))


async def test_nagad_keeps_the_rules_under_every_fault_of_the_line() -> None:
    report = await check_gateway(adapter, in_process(NagadWorld))
    assert len(report.scenarios) > 50


async def test_nagad_keeps_the_rules_over_a_real_socket_under_the_sandboxs_own_faults() -> None:
    async with served(NagadWorld) as emptied:
        async with emptied() as world:
            assert world.told["base_url"].endswith(models.CONTEXT_PATH)
        report = await check_gateway(adapter, emptied, native=True)
    assert len(report.scenarios) == len(NagadWorld.native) * len(NagadWorld.operations)
