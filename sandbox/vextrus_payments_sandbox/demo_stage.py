"""What the demo stands on: the sandbox over HTTP, a shop with a ledger and doors, and the record of a run."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from vextrus_payments.app import Payments
from vextrus_payments.cli.listener import Page, ReturnListener
from vextrus_payments.cli.target import sandbox_target
from vextrus_payments.errors import PaymentsError
from vextrus_payments.events import PaymentEvent
from vextrus_payments.ledger import LedgerEntry
from vextrus_payments.outcomes import (
    Authorized,
    Declined,
    Outcome,
    Paid,
    Pending,
    Refunded,
    RefundOutcome,
    Review,
    Unknown,
)
from vextrus_payments.stores import SqliteStore
from vextrus_payments.tokens import FileTokenBackend
from vextrus_payments_sandbox.demo_script import Order, Script
from vextrus_payments_sandbox.doors import served

_WEBHOOK_WAIT_S: Final = 30.0
_LOOK_S: Final = 0.02


@dataclass(slots=True)
class Step:
    """One step of the demo, as it is shown."""

    name: str
    title: str
    text: str = ""
    outcome: str | None = None
    moved: str | None = None
    """The money that moved, signed as the merchant sees it: "+1250.50 BDT"."""
    calls: list[Mapping[str, Any]] = field(default_factory=list)
    """The gateway calls that the sandbox logged during this step."""
    elapsed_ms: int = 0


@dataclass(slots=True)
class Record:
    """Everything a run leaves behind, whole or not."""

    script: Script
    steps: list[Step] = field(default_factory=list)
    wire: Mapping[str, Any] = field(default_factory=lambda: {"calls": []})
    entries: dict[str, LedgerEntry] = field(default_factory=dict)
    """By entry id: the callback is idempotent, as every ledger's has to be."""
    events: dict[str, PaymentEvent] = field(default_factory=dict)
    books: Mapping[str, Any] = field(default_factory=dict)
    webhooks: Mapping[str, Any] = field(default_factory=lambda: {"deliveries": []})
    """Who was told of payments, and each try, as the sandbox logged them."""
    outcome: Outcome | None = None
    refund: RefundOutcome | None = None
    error: PaymentsError | None = None


class Sandbox:
    """The sandbox's own routes, over HTTP like everything else."""

    def __init__(self, client: httpx.AsyncClient, gateway: str) -> None:
        self._client = client
        self._gateway = gateway

    async def get(self, name: str) -> Mapping[str, Any]:
        """`GET /_sandbox/{name}`."""
        answer = await self._client.get(f"/_sandbox/{name}")
        answer.raise_for_status()
        document: Mapping[str, Any] = answer.json()
        return document

    async def order(self, orders: tuple[Order, ...]) -> None:
        """Order faults for the calls to come."""
        for order in orders:
            wish = {"gateway": self._gateway, **order}
            (await self._client.post("/_sandbox/faults", json=wish)).raise_for_status()

    async def announce_to(self, url: str) -> None:
        """Have payments announced to this address, which is asked first."""
        (await self._client.put(f"/_sandbox/webhooks/{self._gateway}", json={"url": url})).raise_for_status()

    async def announced(self) -> list[Mapping[str, Any]]:
        """Wait until payments were announced: every try so far that was answered."""
        for _ in range(int(_WEBHOOK_WAIT_S / _LOOK_S)):
            tries = (await self.get(f"webhooks/{self._gateway}"))["deliveries"]
            told = [one for one in tries if one["type"] == "Notification" and one["status"] is not None]
            if told:
                return told
            await asyncio.sleep(_LOOK_S)
        return []

    async def clear(self) -> None:
        """Forget the faults that have not struck."""
        (await self._client.delete("/_sandbox/faults")).raise_for_status()


class Shop:
    """A shop with one or more servers over one store; the payer's browser comes back to any of them."""

    def __init__(self) -> None:
        self.servers: list[Payments] = []
        self.url = ""
        self.webhook_url = ""
        self.returns: list[Outcome] = []
        self.failure: PaymentsError | None = None
        self._turn = 0

    @property
    def payments(self) -> Payments:
        """The shop's first server."""
        return self.servers[0]

    async def on_return(self, gateway: str, params: Mapping[str, str]) -> Page:
        """The return door: each visit lands on the next server."""
        server = self.servers[self._turn % len(self.servers)]
        self._turn += 1
        try:
            outcome = (await server.handle_return(gateway, params, wait_s=None)).outcome
        except PaymentsError as error:
            self.failure = error
            raise
        assert outcome is not None, "the demo asks for payments only"
        self.returns.append(outcome)
        return Page("Thank you", words_of(outcome))


@asynccontextmanager
async def open_shop(script: Script, record: Record, sandbox_url: str, home: Path) -> AsyncIterator[Shop]:
    shop = Shop()
    gateway = script.cast.name
    target = sandbox_target(gateway, sandbox_url)

    async def post_to_ledger(entry: LedgerEntry) -> None:
        record.entries[entry.id] = entry

    async def announce(event: PaymentEvent) -> None:
        record.events[event.id] = event

    async with AsyncExitStack() as stack:
        door = await stack.enter_async_context(ReturnListener(shop.on_return))
        shop.url = door.url
        for _ in range(script.tabs):
            payments = Payments(
                store=SqliteStore(home / "payments.db"),
                ledger=post_to_ledger,
                on_event=announce,
                public_url=door.url,
                gateways={gateway: target.config},
                tokens=FileTokenBackend(home),
                workers=False,
            )
            shop.servers.append(await stack.enter_async_context(payments))
        doors = await stack.enter_async_context(served(shop.payments.asgi()))
        shop.webhook_url = f"{doors}/{gateway}/webhook"
        yield shop


def word_of(outcome: Outcome | RefundOutcome) -> str:
    """The outcome's class in lower case."""
    return type(outcome).__name__.lower()


def words_of(outcome: Outcome | RefundOutcome) -> str:
    """The outcome in one sentence."""
    match outcome:
        case Paid():
            return f"Paid: {outcome.amount}, receipt {outcome.transaction_id}."
        case Authorized():
            return f"Authorized: {outcome.amount} is held."
        case Refunded():
            return f"Refunded: {outcome.amount}, receipt {outcome.transaction_id}."
        case Declined():
            return f"Declined: {outcome.reason.text('en')}"
        case Pending():
            return "Pending: under way." if outcome.sent else "Pending: nothing has moved."
        case Unknown():
            return "Unknown: the answer got lost, and nobody can tell. Nothing is sent again."
        case Review():
            return f"Review: {outcome.what}"
