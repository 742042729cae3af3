"""Two tenants, one merchant's name: who lacks the merchant's secrets moves none of its money."""

from pathlib import Path

import pytest

from tests.flows.shop import bkash_config
from vextrus_payments import Money, PaymentRequest, Payments
from vextrus_payments.errors import AuthenticationRejectedError
from vextrus_payments.gateways.bkash import BkashConfig
from vextrus_payments.payment import RefundCall
from vextrus_payments.secret import Secret
from vextrus_payments_sandbox.serve import SandboxServer


def request(reference: str) -> PaymentRequest:
    return PaymentRequest(
        operation_id=f"{reference}/pay",
        gateway="bkash",
        amount=Money("100", "BDT"),
        merchant_reference=reference,
        return_url=f"https://shop.example/orders/{reference}",
    )


@pytest.mark.parametrize("unknown", ["app_secret", "password"])
async def test_a_tenant_without_the_secrets_spends_no_other_tenants_token(
    tmp_path: Path, unknown: str
) -> None:
    async with SandboxServer(seed=1) as server:
        right = bkash_config(server)
        wrong = bkash_config(server, **{unknown: Secret("a guess")})

        async def credentials(tenant: str, gateway: str) -> BkashConfig:
            return right if tenant == "owner" else wrong

        async with Payments(
            store=f"sqlite:///{tmp_path}/payments.db",
            credentials=credentials,
            workers=False,
            public_url="https://shop.example/payments",
        ) as payments:
            owner, other = payments.for_tenant("owner"), payments.for_tenant("other")
            session = await owner.initialize(request("INV-1"))
            server.world.gateways["bkash"].approve(session.gateway_reference, "success", None)
            outcome = await owner.execute(session.payment_id)
            assert outcome.transaction_id is not None

            for turn in range(3):
                with pytest.raises(AuthenticationRejectedError):
                    await other.initialize(request(f"INV-2{turn}"))

            async def noted(_: object) -> None:
                raise AssertionError("there is nothing to note: nothing was sent")

            gateway = await payments.gateway_of("other", "bkash")
            call = RefundCall(
                operation_id="theirs",
                gateway_reference=session.gateway_reference,
                transaction_id=outcome.transaction_id,
                amount=Money("100", "BDT"),
                reason="r",
                sku="s",
            )
            with pytest.raises(AuthenticationRejectedError):
                await gateway.refund_payment(call, on_checkpoint=noted)

            # The owner is not held up, and the gateway was asked for a token twice: one good, one refused.
            await owner.initialize(request("INV-3"))
            operations = [call["operation"] for call in server.world.wire.as_json()]
            assert operations.count("grant") == 2
            assert "refund" not in operations
