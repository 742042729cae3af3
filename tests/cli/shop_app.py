"""A shop with an application of its own, for the operating commands: its module, its store, and payments made in it."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.cli.running import Gateway
from vextrus_payments import Money, PaymentRequest, Payments, PaymentSession
from vextrus_payments.events import GatewayEvent
from vextrus_payments.gateways.bkash import BkashConfig, BkashGateway
from vextrus_payments.snapshots import PaymentSnapshot, SnapshotState
from vextrus_payments.testing import FakeClock, FakeSleeper
from vextrus_payments_sandbox.walk import walk

_MODULE = '''
"""The shop's own module."""

from pathlib import Path

from vextrus_payments import Payments

BOOKED = Path(__file__).with_suffix(".booked")


async def post(entry):
    if Path(__file__).with_suffix(".down").exists():
        raise RuntimeError("the finance service is down")
    with BOOKED.open("a", encoding="utf-8") as file:
        file.write(entry.id + "\\n")


payments = Payments(
    store="sqlite:///" + str(Path(__file__).with_suffix(".db")),
    ledger=post,
    public_url="https://shop.example/payments",
)


def made():
    return payments


nothing = "no Payments"
'''


class ShopApp:
    """The shop's module in a folder of its own, and what its own process did an hour ago."""

    def __init__(self, folder: Path, sandbox: Gateway, name: str) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self.module = name
        self.app = f"{name}:payments"
        self.database = folder / f"{name}.db"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(_MODULE, encoding="utf-8")

    @property
    def env(self) -> dict[str, str]:
        """The shop's settings."""
        return self.sandbox.variables()

    def config(self) -> BkashConfig:
        """The same, as a configuration."""
        return BkashConfig.from_env(self.env)

    def did(self, work: Callable[[Payments], Coroutine[Any, Any, Any]], *, ago_s: float = 3600) -> Any:
        """What the shop's own process did, so long ago by the wall clock."""

        async def run() -> Any:
            clock = FakeClock(datetime.now(UTC) - timedelta(seconds=ago_s))
            payments = Payments(
                store=f"sqlite:///{self.database}",
                gateways={"bkash": self.config()},
                public_url="https://shop.example/payments",
                workers=False,
                clock=clock,
                sleeper=FakeSleeper(clock),
            )
            async with payments:
                return await work(payments)

        return asyncio.run(run())

    def paid(self, reference: str, amount: str) -> PaymentSession:
        """A payment that was paid."""

        async def work(payments: Payments) -> PaymentSession:
            session = await self._approved(payments, reference, amount)
            await payments.execute(session.payment_id)
            return session

        found: PaymentSession = self.did(work)
        return found

    def unknown(self, reference: str, amount: str, *, made: bool = True) -> PaymentSession:
        """A payment whose execute's answer got lost, and nobody looked since."""

        async def work(payments: Payments) -> PaymentSession:
            session = await self._approved(payments, reference, amount)
            self.sandbox.order("execute", "drop_after" if made else "drop_before")
            self.sandbox.order("query", "drop_before", times=4)
            await payments.execute(session.payment_id)
            self.sandbox.clear_faults()
            return session

        found: PaymentSession = self.did(work)
        return found

    async def _approved(self, payments: Payments, reference: str, amount: str) -> PaymentSession:
        session = await payments.initialize(
            PaymentRequest(
                operation_id=f"{reference}/pay",
                gateway="bkash",
                amount=Money(amount, "BDT"),
                merchant_reference=reference,
            )
        )
        assert session.checkout_url is not None
        await walk(session.checkout_url)
        return session

    def portal_refund(self, session: PaymentSession, transaction_id: str, amount: str) -> None:
        """A refund that somebody made in the gateway's portal."""

        async def run() -> None:
            from vextrus_payments.payment import RefundCall

            async def kept(evidence: object) -> None:
                return None

            async with BkashGateway(self.config()) as portal:
                await portal.refund_payment(
                    RefundCall(
                        operation_id="portal",
                        gateway_reference=session.gateway_reference,
                        transaction_id=transaction_id,
                        amount=Money(amount, "BDT"),
                        reason="by phone",
                        sku="one",
                    ),
                    on_checkpoint=kept,
                )

        asyncio.run(run())


async def told_otherwise(
    payments: Payments, operation_id: str, amount: str, transaction_id: str | None = None
) -> None:
    """The gateway's signed news of a payout: that amount left, under the transaction that is booked or this one."""
    payout = await payments.find_payout(operation_id)
    assert payout is not None
    snapshot = PaymentSnapshot(
        state=SnapshotState.PAID,
        gateway_reference="",
        raw_state="Completed",
        gateway_order_id=payout.payout_id,
        amount=Money(amount),
        transaction_id=transaction_id or payout.operation.transaction_id,
    )
    event = GatewayEvent(event_id=f"news/{operation_id}", snapshot=snapshot)
    await payments._open_engine().apply_event(payout.tenant, payout.gateway, payout.mode, event)
