"""A shop for tests: Payments over a real store and real HTTP against the sandbox, with one fake clock for all.

The checks at the bottom read only the gateway's books, the gateway's wire log and what the ledger callback took:
never the SDK's own state.
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from vextrus_payments import (
    LedgerEntry,
    Money,
    Paid,
    PaymentEvent,
    PaymentFacts,
    PaymentRequest,
    Payments,
    PaymentSession,
    RefundRequest,
    Side,
)
from vextrus_payments.engine import EngineLimits
from vextrus_payments.gateways.bkash import BkashConfig
from vextrus_payments.secret import Secret
from vextrus_payments.store import PaymentStore
from vextrus_payments.testing import FakeClock, FakeEntropy, FakeSleeper
from vextrus_payments_sandbox.serve import SandboxServer

#: Longer than send_by + bKash's 30 seconds + the margin of 30: whatever was sent is over.
LONG_S = 300


def bkash_config(server: SandboxServer, **changes: Any) -> BkashConfig:
    """The sandbox's credentials, for v1.2.0-beta; `api_version="v2"` for v2."""
    given: dict[str, Any] = dict(server.info["gateways"]["bkash"])
    on_v2 = changes.get("api_version") == "v2"
    fields = {
        "mode": "sandbox",
        "api_url": given["base_url"].removesuffix("/v1.2.0-beta") + "/v2" if on_v2 else given["base_url"],
        "app_key": Secret(given["app_key"]),
        "app_secret": Secret(given["app_secret"]),
        "username": Secret(given["username"]),
        "password": Secret(given["password"]),
    }
    return BkashConfig(**{**fields, **changes})


class Shop:
    """One process's Payments, its ledger and its news."""

    def __init__(
        self, server: SandboxServer, store: str | PaymentStore, clock: FakeClock, **changes: Any
    ) -> None:
        self.server = server
        self.clock = clock
        self.entries: list[LedgerEntry] = []
        self.events: list[PaymentEvent] = []
        self.ledger_down = False
        timeout_s = changes.pop("timeout_s", 30.0)
        version = changes.pop("api_version", "v1")
        self.payments = Payments(
            **{
                "store": store,
                "ledger": self._take_entry,
                "on_event": self._take_event,
                "public_url": "https://shop.example/payments",
                "gateways": {"bkash": bkash_config(server, timeout_s=timeout_s, api_version=version)},
                "workers": False,
                "clock": clock,
                "sleeper": FakeSleeper(clock),
                "entropy": FakeEntropy(changes.pop("seed", 7)),
                "limits": EngineLimits(),
                **changes,
            }
        )

    async def _take_entry(self, entry: LedgerEntry) -> None:
        if self.ledger_down:
            raise RuntimeError("the finance service is down")
        self.entries.append(entry)

    async def _take_event(self, event: PaymentEvent) -> None:
        self.events.append(event)

    async def open(self, reference: str = "INV-1", amount: str = "100", **changes: Any) -> PaymentSession:
        """Initialize a payment."""
        fields: dict[str, Any] = {
            "operation_id": f"{reference}/pay",
            "gateway": "bkash",
            "amount": Money(amount, "BDT"),
            "merchant_reference": reference,
            "return_url": f"https://shop.example/orders/{reference}",
        }
        return await self.payments.initialize(PaymentRequest(**{**fields, **changes}))

    async def approved(self, reference: str = "INV-1", amount: str = "100", **changes: Any) -> PaymentSession:
        """Initialize a payment and approve it as the payer."""
        session = await self.open(reference, amount, **changes)
        self.approve(session)
        return session

    def approve(self, session: PaymentSession, outcome: str = "success", wallet: str | None = None) -> None:
        """Do what the payer does on the page."""
        self.server.world.gateways["bkash"].approve(session.gateway_reference, outcome, wallet)

    def portal(self, session: PaymentSession, action: str = "refund", amount: str | None = None) -> str:
        """Do what the merchant does in the gateway's portal; a refund's transaction id, else the state."""
        done = self.server.world.gateways["bkash"].portal(session.gateway_reference, action, amount)
        return str(done.get("refund_transaction_id") or done["state"])

    def fault(self, operation: str, fault: str, times: int = 1) -> None:
        """Order a fault."""
        self.server.app.state.faults.order(
            {"gateway": "bkash", "operation": operation, "fault": fault, "times": times},
            {"bkash": self.server.world.gateways["bkash"].operations},
        )

    async def fired(self) -> list[str]:
        """Deliver, and say which kinds of events came, in order."""
        await self.payments.deliver()
        return [event.kind.value for event in self.events]

    # --- what can be checked from outside -----------------------------------------------------------------------

    def calls(self, operation: str | None = None) -> int:
        """How many calls of an operation reached the gateway."""
        return sum(c["operation"] == operation or operation is None for c in self.server.world.wire.as_json())

    def moved(self) -> Counter[str]:
        """How often money moved, by operation."""
        return Counter(c["operation"] for c in self.server.world.wire.as_json() if c["moved_money"])

    def gateway_holds(self) -> int:
        """What the gateway's own books hold for us, in paisa."""
        rows = self.server.world.as_books()["payments"]
        return sum(_minor(row["captured"]) - _minor(row["refunded"]) for row in rows)

    def clearing(self) -> int:
        """What the ledger's clearing account holds, in paisa; each entry counted once, by id."""
        balance = 0
        for entry in {entry.id: entry for entry in self.entries}.values():
            for posting in entry.postings:
                if "clearing" in posting.account:
                    balance += posting.amount.amount_minor * (1 if posting.side is Side.DEBIT else -1)
        return balance

    async def check_books(self) -> None:
        """The ledger's clearing equals the gateway's books, and the gateway's books are sound."""
        await self.payments.deliver()
        assert self.clearing() == self.gateway_holds()
        assert self.server.world.audit() == []


async def paid(shop: Shop, reference: str = "INV-1", amount: str = "100") -> PaymentSession:
    """A payment that was approved, and executed with success."""
    session = await shop.approved(reference, amount)
    assert isinstance(await shop.payments.execute(session.payment_id), Paid)
    return session


def refund(session: PaymentSession, name: str = "r-1", amount: str | None = None) -> RefundRequest:
    """The wish to give that much of it back, or all that is left."""
    return RefundRequest(
        operation_id=name,
        payment_id=session.payment_id,
        amount=Money(amount, "BDT") if amount is not None else None,
    )


async def facts_of(shop: Shop, session: PaymentSession) -> PaymentFacts:
    """Everything recorded of it."""
    facts = await shop.payments.get(session.payment_id)
    assert facts is not None
    return facts


def _minor(text: str) -> int:
    return Money(text, "BDT").amount_minor


@asynccontextmanager
async def shop_open(tmp_path: Path, clock: FakeClock | None = None, **changes: Any) -> AsyncIterator[Shop]:
    """A sandbox on a real socket and a shop with a SQLite file."""
    clock = clock or FakeClock()
    async with SandboxServer(clock=clock, seed=1) as server:
        shop = Shop(server, changes.pop("store", f"sqlite:///{tmp_path / 'shop.db'}"), clock, **changes)
        async with shop.payments:
            yield shop
