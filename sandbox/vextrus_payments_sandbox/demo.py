"""`vextrus-pay demo`: one payment and a refund over real HTTP, from the first call to the last posting.

Everything is real but the money: a sandbox that enforces the gateway's rules behind a loopback socket and, where the
gateway does, announces the payment in a signed message, a listener that the payer's browser comes back to, a door that
takes the message in, and `Payments` with an SQLite store, a ledger callback and an event callback. It all lives in a
temporary folder, so that a run never meets an earlier run's token, budget, key or payment.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import httpx

from vextrus_payments.errors import PaymentsError
from vextrus_payments.money import Money
from vextrus_payments.outcomes import Outcome, Paid, Pending, Refunded, RefundOutcome, Unknown
from vextrus_payments.payment import PaymentRequest, PaymentSession, RefundRequest
from vextrus_payments_sandbox.demo_script import Script
from vextrus_payments_sandbox.demo_stage import (
    Record,
    Sandbox,
    Shop,
    Step,
    open_shop,
    word_of,
    words_of,
)
from vextrus_payments_sandbox.serve import SandboxServer
from vextrus_payments_sandbox.walk import CUSTOMER, WayBack, come_back, walk

REFERENCE: Final = "INV-8812"
REFUND_OPERATION: Final = f"{REFERENCE}/refund-1"
AMOUNT: Final = Money("1250.50", "BDT")
REFUND: Final = Money("450.25", "BDT")


async def run(script: Script, *, on_step: Callable[[str], None] | None = None) -> Record:
    """Run the demo. What goes wrong unplanned is in the record's `error`; what was seen until then is kept.

    Args:
        on_step: is told the title of each step as it begins.
    """
    record = Record(script)
    try:
        async with AsyncExitStack() as stack:
            home = Path(
                stack.enter_context(TemporaryDirectory(prefix="vextrus-demo-", ignore_cleanup_errors=True))
            )
            server = await stack.enter_async_context(SandboxServer(keys=home / "keys"))
            client = httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=30)
            sandbox = Sandbox(await stack.enter_async_context(client), script.cast.name)
            try:
                async with open_shop(script, record, server.url, home) as shop:
                    if script.cast.announces:
                        await sandbox.announce_to(shop.webhook_url)
                    await _Story(script, record, sandbox, shop, on_step).tell()
            finally:
                record.wire = await sandbox.get("wire")
                record.books = await sandbox.get("books")
                if script.cast.announces:
                    record.webhooks = await sandbox.get(f"webhooks/{script.cast.name}")
    except PaymentsError as error:
        record.error = error
    return record


class _Story:
    """The steps, in their order."""

    def __init__(
        self,
        script: Script,
        record: Record,
        sandbox: Sandbox,
        shop: Shop,
        on_step: Callable[[str], None] | None,
    ) -> None:
        self._on_step = on_step
        self._script = script
        self._cast = script.cast
        self._record = record
        self._sandbox = sandbox
        self._shop = shop

    async def tell(self) -> None:
        """Run every step that this script has."""
        session = await self._initialize()
        if self._script.early_return:
            await self._early_return(session)
        way = await self._page(session)
        outcome = await self._return(way)
        settled_by_webhook = isinstance(outcome, Unknown) and self._script.webhook_settles
        if isinstance(outcome, Unknown | Pending):
            settle = self._hear if settled_by_webhook else self._look_up
            outcome = await settle(outcome.payment_id)
        if self._script.reloads:
            await self._reload(way)
        self._record.outcome = outcome
        if isinstance(outcome, Paid):
            if self._cast.announces and not settled_by_webhook:
                await self._webhook()
            refund = await self._refund(session)
            if isinstance(refund, Unknown | Pending):
                refund = await self._look_refund_up(refund)
            self._record.refund = refund
        await self._deliver()

    async def _initialize(self) -> PaymentSession:
        await self._sandbox.order(self._script.at_initialize)
        async with self._step("initialize", "Open the payment") as step:
            session = await self._shop.payments.initialize(
                PaymentRequest(
                    operation_id=f"{REFERENCE}/pay",
                    gateway=self._cast.name,
                    amount=AMOUNT,
                    merchant_reference=REFERENCE,
                )
            )
            step.text = (
                f"A session for {session.amount}, as {session.gateway_order_id} at {self._cast.title}."
            )
            if session.submission_no > 1:
                step.text += (
                    " The first answer got lost. An opened payment moves nothing, so a fresh one was asked for "
                    "under an order id of its own; the lost one is nobody's to pay."
                )
        return session

    async def _early_return(self, session: PaymentSession) -> None:
        async with self._step("early-return", "A forged return") as step:
            forged = self._cast.forged_return.format(reference=session.gateway_reference)
            await come_back(f"{self._shop.url}/{self._cast.name}/return?{forged}")
            outcome = self._last_return()
            step.outcome = word_of(outcome)
            step.text = (
                f"Believed by nobody: {self._cast.title} said that the payer is not done, and the payment stays open. "
                f"{words_of(outcome)}"
            )

    async def _page(self, session: PaymentSession) -> WayBack:
        assert session.checkout_url is not None, "a payment without agreement has a page"
        async with self._step("page", "The payer on the hosted page") as step:
            payer = {**CUSTOMER, **self._script.payer}
            way = await walk(session.checkout_url, customer=payer, action=self._script.button)
            step.text = f"Wallet {payer['wallet']}, then code and PIN. " + (
                "With it he has paid." if self._cast.payer_completes else "Approved; nothing has moved yet."
            )
            if self._script.button == "Cancel":
                step.text = "Pressed Cancel. Nothing has moved."
        return way

    async def _return(self, way: WayBack) -> Outcome:
        await self._sandbox.order(self._script.at_return)
        tabs = self._script.tabs
        title = "Back in the shop, " + ("look" if self._cast.payer_completes else "execute")
        async with self._step("return", title) as step:
            await asyncio.gather(*(come_back(way) for _ in range(tabs)))
            outcome = self._last_return()
            step.outcome = word_of(outcome)
            step.text = words_of(outcome)
            if isinstance(outcome, Pending):
                step.text = "Pending: no look-up could be read, so it is not known whether he has paid."
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

    async def _reload(self, way: WayBack) -> None:
        async with self._step("reload", "The return page, loaded again") as step:
            for _ in range(self._script.reloads):
                await come_back(way)
            outcome = self._last_return()
            step.outcome = word_of(outcome)
            step.text = f"{self._script.reloads} more visits, nothing sent: {words_of(outcome)}"

    async def _webhook(self) -> None:
        """The payment's announcement, when it tells what the shop knows already."""
        async with self._step("webhook", f"{self._cast.title}'s webhook") as step:
            step.text = await self._apply_webhooks()

    async def _hear(self, payment_id: str) -> Outcome:
        """The payment's announcement, when it is the first that the shop hears of it."""
        async with self._step("webhook", f"{self._cast.title}'s webhook") as step:
            told = await self._apply_webhooks()
            outcome = await self._shop.payments.status(payment_id)
            step.outcome = word_of(outcome)
            step.text = f"{told} {words_of(outcome)}"
            if isinstance(outcome, Paid):
                step.moved = f"+{outcome.amount}"
        return outcome

    async def _apply_webhooks(self) -> str:
        told = await self._sandbox.announced()
        if not told:
            return "It never came. Nothing depends on it: the reconciler finds such a payment, too."
        await self._shop.payments.process_inbox()
        rows = (await self._shop.payments.store.list_inbox(None)).rows
        notes = " ".join(row.note for row in rows if row.note)
        return f"Signed by Amazon SNS, verified, and kept before it was answered {told[-1]['status']}. {notes}".rstrip()

    async def _refund(self, session: PaymentSession) -> RefundOutcome:
        await self._sandbox.order(self._script.at_refund)
        async with self._step("refund", "Give a part back") as step:
            outcome = await self._shop.payments.refund(
                RefundRequest(
                    operation_id=REFUND_OPERATION,
                    payment_id=session.payment_id,
                    amount=REFUND,
                    reason="one item returned",
                )
            )
            _fill_in_refund(step, outcome)
        await self._sandbox.clear()
        return outcome

    async def _look_refund_up(self, refund: Unknown | Pending) -> RefundOutcome:
        """A refund whose answer got lost, or that was only accepted so far."""
        unknown = isinstance(refund, Unknown)
        title = "Look the unknown refund up" if unknown else "Ask whether the refund is made"
        async with self._step("refund-status", title) as step:
            outcome = await self._shop.payments.refund_status(refund.operation_id or REFUND_OPERATION)
            _fill_in_refund(step, outcome)
            if unknown:
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
        if self._on_step is not None:
            self._on_step(title)
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
