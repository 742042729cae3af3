"""`vextrus-pay demo`: one bKash payment and a refund over real HTTP, from the first call to the last posting.

Everything is real but the money: a sandbox that enforces bKash's rules behind a loopback socket, a listener that the
payer's browser comes back to, and `Payments` with an SQLite store, a ledger callback and an event callback. It all
lives in a temporary folder, so that a run never meets an earlier run's token, budget or payment.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx

from vextrus_payments.app import Payments
from vextrus_payments.cli.listener import Page, ReturnListener
from vextrus_payments.cli.target import sandbox_target
from vextrus_payments.errors import PaymentsError
from vextrus_payments.events import PaymentEvent
from vextrus_payments.ledger import LedgerEntry
from vextrus_payments.money import Money
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
from vextrus_payments.payment import PaymentRequest, PaymentSession, RefundRequest
from vextrus_payments.stores import SqliteStore
from vextrus_payments.tokens import FileTokenBackend
from vextrus_payments_sandbox.demo_faults import Order, Script
from vextrus_payments_sandbox.serve import SandboxServer
from vextrus_payments_sandbox.walk import CUSTOMER, come_back, walk

GATEWAY: Final = "bkash"
REFERENCE: Final = "INV-8812"
AMOUNT: Final = Money("1250.50", "BDT")
REFUND: Final = Money("450.25", "BDT")


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
    outcome: Outcome | None = None
    refund: RefundOutcome | None = None
    error: PaymentsError | None = None


async def run(script: Script) -> Record:
    """Run the demo. What goes wrong unplanned is in the record's `error`; what was seen until then is kept."""
    record = Record(script)
    try:
        async with AsyncExitStack() as stack:
            home = Path(
                stack.enter_context(TemporaryDirectory(prefix="vextrus-demo-", ignore_cleanup_errors=True))
            )
            server = await stack.enter_async_context(SandboxServer())
            client = httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=30)
            sandbox = Sandbox(await stack.enter_async_context(client))
            try:
                async with _shop(script, record, server.url, home) as shop:
                    await _Story(script, record, sandbox, shop).tell()
            finally:
                record.wire = await sandbox.get("wire")
                record.books = await sandbox.get("books")
    except PaymentsError as error:
        record.error = error
    return record


class Sandbox:
    """The sandbox's own routes, over HTTP like everything else."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def get(self, name: str) -> Mapping[str, Any]:
        """`GET /_sandbox/{name}`."""
        answer = await self._client.get(f"/_sandbox/{name}")
        answer.raise_for_status()
        document: Mapping[str, Any] = answer.json()
        return document

    async def order(self, orders: tuple[Order, ...]) -> None:
        """Order faults for the calls to come."""
        for order in orders:
            (
                await self._client.post("/_sandbox/faults", json={"gateway": GATEWAY, **order})
            ).raise_for_status()

    async def clear(self) -> None:
        """Forget the faults that have not struck."""
        (await self._client.delete("/_sandbox/faults")).raise_for_status()


class Shop:
    """A shop with one or more servers over one store; the payer's browser comes back to any of them."""

    def __init__(self) -> None:
        self.servers: list[Payments] = []
        self.url = ""
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
async def _shop(script: Script, record: Record, sandbox_url: str, home: Path) -> AsyncIterator[Shop]:
    shop = Shop()
    target = sandbox_target(GATEWAY, sandbox_url)

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
                gateways={GATEWAY: target.config},
                tokens=FileTokenBackend(home),
                workers=False,
            )
            shop.servers.append(await stack.enter_async_context(payments))
        yield shop


class _Story:
    """The steps, in their order."""

    def __init__(self, script: Script, record: Record, sandbox: Sandbox, shop: Shop) -> None:
        self._script = script
        self._record = record
        self._sandbox = sandbox
        self._shop = shop

    async def tell(self) -> None:
        """Run every step that this script has."""
        session = await self._initialize()
        if self._script.early_return:
            await self._early_return(session)
        return_url = await self._page(session)
        outcome = await self._return(return_url)
        if isinstance(outcome, Unknown):
            outcome = await self._look_up(outcome.payment_id)
        if self._script.reloads:
            await self._reload(return_url)
        self._record.outcome = outcome
        if isinstance(outcome, Paid):
            refund = await self._refund(session)
            if isinstance(refund, Unknown):
                refund = await self._look_refund_up(refund)
            self._record.refund = refund
        await self._deliver()

    async def _initialize(self) -> PaymentSession:
        await self._sandbox.order(self._script.at_initialize)
        async with self._step("initialize", "Open the payment") as step:
            session = await self._shop.payments.initialize(
                PaymentRequest(
                    operation_id=f"{REFERENCE}/pay",
                    gateway=GATEWAY,
                    amount=AMOUNT,
                    merchant_reference=REFERENCE,
                )
            )
            step.text = f"A session for {session.amount}, as {session.gateway_order_id} at bKash."
            if session.submission_no > 1:
                step.text += (
                    " The first answer got lost. An opened payment moves nothing, so a fresh one was asked for "
                    "under an order id of its own; the lost one is nobody's to pay."
                )
        return session

    async def _early_return(self, session: PaymentSession) -> None:
        async with self._step("early-return", "A forged return") as step:
            forged = f"{self._shop.url}/{GATEWAY}/return?paymentID={session.gateway_reference}&status=success"
            await come_back(forged)
            outcome = self._last_return()
            step.outcome = word_of(outcome)
            step.text = (
                "Believed by nobody: bKash said that the payer is not done, and the payment stays open. "
                f"{words_of(outcome)}"
            )

    async def _page(self, session: PaymentSession) -> str:
        assert session.checkout_url is not None, "a bKash payment without agreement has a page"
        async with self._step("page", "The payer on the hosted page") as step:
            payer = {**CUSTOMER, **self._script.payer}
            return_url = await walk(session.checkout_url, customer=payer, action=self._script.button)
            step.text = f"Wallet {payer['wallet']}, then code and PIN. Approved; nothing has moved yet."
            if self._script.button == "Cancel":
                step.text = "Pressed Cancel. Nothing has moved."
        return return_url

    async def _return(self, return_url: str) -> Outcome:
        await self._sandbox.order(self._script.at_return)
        tabs = self._script.tabs
        async with self._step("return", "Back in the shop, execute") as step:
            await asyncio.gather(*(come_back(return_url) for _ in range(tabs)))
            outcome = self._last_return()
            step.outcome = word_of(outcome)
            step.text = words_of(outcome)
            if tabs > 1:
                said = {words_of(one) for one in self._shop.returns}
                step.text += (
                    f" {tabs} tabs on {tabs} servers, {'one answer' if len(said) == 1 else 'answers'}."
                )
            if isinstance(outcome, Paid):
                step.moved = f"+{outcome.amount}"
        await self._sandbox.clear()
        return outcome

    async def _look_up(self, payment_id: str) -> Outcome:
        async with self._step("status", "Look the unknown up") as step:
            outcome = await self._shop.payments.status(payment_id)
            step.outcome = word_of(outcome)
            step.text = f"{words_of(outcome)} Found by asking, not by sending again."
            if isinstance(outcome, Paid):
                step.moved = f"+{outcome.amount}"
        return outcome

    async def _reload(self, return_url: str) -> None:
        async with self._step("reload", "The return page, loaded again") as step:
            for _ in range(self._script.reloads):
                await come_back(return_url)
            outcome = self._last_return()
            step.outcome = word_of(outcome)
            step.text = f"{self._script.reloads} more visits, nothing sent: {words_of(outcome)}"

    async def _refund(self, session: PaymentSession) -> RefundOutcome:
        await self._sandbox.order(self._script.at_refund)
        async with self._step("refund", "Give a part back") as step:
            outcome = await self._shop.payments.refund(
                RefundRequest(
                    operation_id=f"{REFERENCE}/refund-1",
                    payment_id=session.payment_id,
                    amount=REFUND,
                    reason="one item returned",
                )
            )
            _fill_in_refund(step, outcome)
        await self._sandbox.clear()
        return outcome

    async def _look_refund_up(self, unknown: Unknown) -> RefundOutcome:
        async with self._step("refund-status", "Look the unknown refund up") as step:
            outcome = await self._shop.payments.refund_status(unknown.operation_id)
            _fill_in_refund(step, outcome)
            step.text += " Found by asking, not by sending again."
        return outcome

    async def _deliver(self) -> None:
        async with self._step("ledger", "Hand over to the ledger") as step:
            await self._shop.payments.deliver()
            step.text = (
                f"{_count(len(self._record.entries), 'balanced entry', 'balanced entries')} to the ledger callback, "
                f"{_count(len(self._record.events), 'event', 'events')} to the shop."
            )

    def _last_return(self) -> Outcome:
        if self._shop.failure is not None:
            raise self._shop.failure
        return self._shop.returns[-1]

    @asynccontextmanager
    async def _step(self, name: str, title: str) -> AsyncIterator[Step]:
        """Time a step and note the gateway calls that were made during it."""
        step = Step(name, title)
        self._record.steps.append(step)
        before = len((await self._sandbox.get("wire"))["calls"])
        with _timed(step):
            yield step
        step.calls = (await self._sandbox.get("wire"))["calls"][before:]


@contextmanager
def _timed(step: Step) -> Iterator[None]:
    begun = time.perf_counter()
    try:
        yield
    finally:
        step.elapsed_ms = round((time.perf_counter() - begun) * 1000)


def _fill_in_refund(step: Step, outcome: RefundOutcome) -> None:
    step.outcome = word_of(outcome)
    step.text = words_of(outcome)
    if isinstance(outcome, Refunded):
        step.moved = f"-{outcome.amount}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


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
