"""A shop's subscriptions, for commands that work on them."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from tests.cli.running import Gateway
from vextrus_payments import ConsentRequest, Money, Payments
from vextrus_payments.gateways.bkash.recurring import BkashRecurringConfig, BkashSubscription, Frequency
from vextrus_payments.records import Agreement

NAME = "bkash_recurring"
PAYER = "01770618575"


class Plans:
    """A shop's subscriptions, in a store of its own."""

    def __init__(self, database: Path, sandbox: Gateway) -> None:
        self.database = database
        self.store = f"sqlite:///{self.database}"
        self._sandbox = sandbox

    def did(self, work: Callable[[Payments], Coroutine[Any, Any, Any]]) -> Any:
        async def run() -> Any:
            config = BkashRecurringConfig.from_env(self._sandbox.all_variables())
            url = "https://shop.example/payments"
            async with Payments(
                store=self.store, gateways={NAME: config}, public_url=url, workers=False
            ) as payments:
                return await work(payments)

        return asyncio.run(run())

    def asked(self, name: str = "plan") -> Agreement:
        start = datetime.now(UTC).date() + timedelta(days=2)
        wish = ConsentRequest(
            operation_id=f"{name}/consent",
            gateway=NAME,
            payer_reference=PAYER,
            merchant_reference=name,
            return_url="https://shop.example/plan",
            params=BkashSubscription(
                amount=Money("51.00"),
                frequency=Frequency.WEEKLY,
                start_date=start,
                expiry_date=start + timedelta(days=90),
                first_payment_amount=Money("7.00"),
            ),
        )
        found: Agreement = self.did(lambda payments: payments.create_agreement(wish))
        return found

    def stopped(self, agreement: Agreement) -> None:
        """bKash's own people ended it, and its message got lost."""
        asked = {"gateway": NAME, "reference": agreement.gateway_reference, "action": "void", "amount": None}
        url = f"{self._sandbox.url}/_sandbox/portal"
        httpx.post(url, json=asked, timeout=30, trust_env=False).raise_for_status()

    def consented(self, agreement: Agreement) -> None:
        asked = {"gateway": NAME, "reference": agreement.gateway_reference}
        answer = httpx.post(f"{self._sandbox.url}/_sandbox/approve", json=asked, timeout=30, trust_env=False)
        answer.raise_for_status()
