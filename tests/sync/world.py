"""A shop that blocks: the sync facade against a sandbox that has a thread and a loop of its own."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.flows.held import PATIENCE_S
from tests.flows.shop import bkash_config
from vextrus_payments import Money, PaymentRequest, PaymentSession
from vextrus_payments.sync import Payments
from vextrus_payments_sandbox.serve import SandboxServer

T = TypeVar("T")


class Sandbox:
    """A sandbox beside the test."""

    def __init__(self, server: SandboxServer, loop: asyncio.AbstractEventLoop) -> None:
        self.server = server
        self._loop = loop

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns, run in the sandbox's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE_S)

    def ask(self, question: Callable[[], T]) -> T:
        """What the question returns, asked in the sandbox's loop."""

        async def asked() -> T:
            return question()

        return self.run(asked())

    def calls(self, operation: str) -> int:
        """How many calls of an operation reached the gateway."""
        wire = self.ask(self.server.world.wire.as_json)
        return sum(call["operation"] == operation for call in wire)

    def approve(self, session: PaymentSession) -> None:
        """Do what the payer does on the page."""
        self.ask(
            lambda: self.server.world.gateways["bkash"].approve(session.gateway_reference, "success", None)
        )

    def fault(self, operation: str, fault: str, **more: Any) -> None:
        """Order a fault."""
        wish = {"gateway": "bkash", "operation": operation, "fault": fault, **more}
        known = {"bkash": self.server.world.gateways["bkash"].operations}
        self.ask(lambda: self.server.app.state.faults.order(wish, known))

    def environ(self) -> dict[str, str]:
        """The variables that configure a process for it."""
        given = self.server.info["gateways"]["bkash"]
        names = ("app_key", "app_secret", "username", "password")
        return {"BKASH_MODE": "sandbox", "BKASH_API_URL": given["base_url"]} | {
            f"BKASH_{name.upper()}": given[name] for name in names
        }

    def payments(self, store: str | Path, **changes: Any) -> Payments:
        """The sync facade of a shop that sells through it."""
        return Payments(
            **{
                "store": store if isinstance(store, str) else f"sqlite:///{store}",
                "gateways": {"bkash": bkash_config(self.server)},
                "public_url": "https://shop.example/payments",
                "workers": False,
                **changes,
            }
        )


@contextmanager
def sandbox_running() -> Iterator[Sandbox]:
    """A sandbox in a thread and a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = SandboxServer(seed=1)
    sandbox = Sandbox(server, loop)
    try:
        sandbox.run(server.__aenter__())
        try:
            yield sandbox
        finally:
            sandbox.run(server.__aexit__())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def wanted(reference: str = "INV-1", amount: str = "100") -> PaymentRequest:
    """A payment of one invoice."""
    return PaymentRequest(
        operation_id=f"{reference}/pay",
        gateway="bkash",
        amount=Money(amount, "BDT"),
        merchant_reference=reference,
    )
