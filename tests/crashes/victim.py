"""The process that is killed: a small shop on the real `Payments`, which after each start first finishes what was.

It sells its orders as a shop does that was told nothing but their numbers: every operation has the id it always had,
whatever became of it before. The last order is the one at which its mark kills it.
"""

import asyncio
import json
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from tests.crashes.points import ForgetfulStore, MarkedStore, MarkedTransport, Marks
from vextrus_payments import Money, Paid, PaymentRequest, Payments, Refunded, RefundRequest, Unknown
from vextrus_payments.app import payments as application
from vextrus_payments.capabilities import Capabilities, Polling
from vextrus_payments.engine import EngineLimits
from vextrus_payments.errors import PaymentsError
from vextrus_payments.gateways.base import Adapter
from vextrus_payments.gateways.bkash import BkashConfig, BkashGateway
from vextrus_payments.ledger import LedgerEntry
from vextrus_payments.outbox import OutboxLimits
from vextrus_payments.reconcile import ReconcileLimits
from vextrus_payments.records import OperationKind, OperationState, OutboxKind, ResolutionVerdict
from vextrus_payments.resolving import ResolveRequest
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import open_store
from vextrus_payments.tokens import TokenCache, granting
from vextrus_payments.transport import shared_transport

#: What recovery waits for: the lease of what a dead process held, then the gateway's own limit.
LEASE_S: Final = 1
LIMIT_S: Final = 1
#: How long an answer is waited for. The lease of a grant has to outlast it.
TIMEOUT_S: Final = 1.5
#: A victim that has not come to its end by then is stuck, and says so by its exit status.
_PATIENCE_S: Final = 45
_POLL_S: Final = 0.05


@dataclass(frozen=True)
class Job:
    """One life of the shop, as its supervisor orders it."""

    store: str
    environ: dict[str, str]
    sandbox: str
    ledger: str
    progress: str
    orders: list[dict[str, str]] = field(default_factory=list)
    moment: str | None = None
    """The last order dies there; None: nobody dies."""
    nobody_calls: bool = False
    """What is under way is left to the workers first; else whoever asked for it asks again at once."""
    not_made: list[str] = field(default_factory=list)
    """Orders of whose unknown refund an operator has found, in the gateway's books, that it was not made."""
    plant: str | None = None
    """A bug on purpose."""


class QuickBkash(BkashGateway):
    """bKash at a gateway that has finished within a second, as the sandbox has, and may be asked every second."""

    @property
    def capabilities(self) -> Capabilities:
        """bKash's own, with that second."""
        polling = Polling(open_s=(1,), end_margin_s=1)
        return replace(super().capabilities, hard_limit_s=LIMIT_S, absence_margin_s=0, polling=polling)


def shorten_what_is_no_setting() -> None:
    """The lease of a grant, which a shop cannot set: it has to outlast what is slow in earnest."""
    granting._SLACK_S = 0.1  # type: ignore[misc]
    application.TokenCache = partial(TokenCache, lease_s=2.0, answer_s=TIMEOUT_S)  # type: ignore[misc, assignment]


class FileLedger:
    """Takes entries by appending lines, each on the disk before it says so."""

    def __init__(self, path: str, marks: Marks, plant: str | None) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._marks = marks
        self._plant = plant

    async def __call__(self, entry: LedgerEntry) -> None:
        """Book one entry."""
        what = "refund" if entry.kind.value == "payment.refunded" else "payment"
        self._marks.passes(f"{what} offered", entry.merchant_reference)
        fresh = f"/{time.time_ns()}" if self._plant == "fresh_ids" else ""
        line = {
            "id": entry.id + fresh,
            "kind": entry.kind.value,
            "reference": entry.merchant_reference,
            "postings": [(p.account, p.side.value, p.amount.amount_minor) for p in entry.postings],
        }
        os.write(self._file, json.dumps(line).encode() + b"\n")
        os.fsync(self._file)
        self._marks.passes(f"{what} booked", entry.merchant_reference)


class Shop:
    """The orders of one life."""

    def __init__(self, job: Job, payments: Payments, store: PaymentStore) -> None:
        self._job = job
        self._payments = payments
        self._store = store

    async def settle(self, order: dict[str, str], *, again: bool = False) -> None:
        """Sell one order and give part of it back, from wherever it stands; `again`: a process died over it."""
        reference, plant = order["reference"], self._job.plant if again else None
        payment_id = await self._pay(order, f"{reference}/pay")
        if plant == "charge_again":
            # A gateway refuses the same sum again within minutes; a real shop's second try comes later.
            dearer = str((Money(order["amount"], "BDT") + Money("1", "BDT")).amount)
            await self._pay({**order, "amount": dearer}, f"{reference}/pay-again")
        operation_id = f"{reference}/refund{'-again' if plant == 'refund_again' else ''}"
        if not await self._refund(order, payment_id, operation_id):
            await self._resolve(payment_id, operation_id)
            assert await self._refund(order, payment_id, f"{operation_id}-after-all")

    async def _refund(self, order: dict[str, str], payment_id: str, operation_id: str) -> bool:
        """Give money back; False where nobody can tell whether that happened, and an operator can."""
        request = RefundRequest(
            operation_id=operation_id, payment_id=payment_id, amount=Money(order["refund"], "BDT")
        )
        while True:
            try:
                outcome = await self._payments.refund(request)
            except PaymentsError as error:
                self._report("error", code=error.code)
            else:
                if isinstance(outcome, Refunded):
                    return True
                if isinstance(outcome, Unknown):
                    # Said only once the gateway's limit is over: from here on it is an operator's.
                    self._report("unknown", reference=order["reference"])
                    return order["reference"] not in self._job.not_made
            await asyncio.sleep(_POLL_S)

    async def _resolve(self, payment_id: str, operation_id: str) -> None:
        """Be the operator."""
        facts = await self._payments.get(payment_id)
        assert facts is not None
        await self._payments.resolve(
            ResolveRequest(
                payment_id=payment_id,
                operation_id=operation_id,
                verdict=ResolutionVerdict.NOT_MADE,
                actor="the operator",
                reason="The gateway's books show no refund of this payment.",
                evidence=("the gateway's books",),
                reviewed_version=facts.payment.version,
            )
        )

    async def _pay(self, order: dict[str, str], operation_id: str) -> str:
        request = PaymentRequest(
            operation_id=operation_id,
            gateway="bkash",
            amount=Money(order["amount"], "BDT"),
            merchant_reference=order["reference"],
            allow_repeat=operation_id.endswith("again"),
        )
        while True:
            try:
                session = await self._payments.initialize(request)
                await asyncio.to_thread(self._approve, session.gateway_reference)
                if isinstance(await self._payments.execute(session.payment_id), Paid):
                    return session.payment_id
            except PaymentsError as error:
                self._report("error", code=error.code)
            await asyncio.sleep(_POLL_S)

    def _approve(self, gateway_reference: str) -> None:
        """Do what the payer does, unless it is done."""
        body = json.dumps({"reference": gateway_reference, "outcome": "success"}).encode()
        request = urllib.request.Request(f"{self._job.sandbox}/_sandbox/approve", body)
        try:
            urllib.request.urlopen(request).close()
        except urllib.error.HTTPError as refused:
            refused.close()

    async def left_to_workers(self, order: dict[str, str]) -> None:
        """Wait until no money of the order is on its way any more, without asking for anything."""
        on_its_way = {OperationState.SUBMITTING, OperationState.PENDING}
        while any(
            operation.state in on_its_way and operation.kind is not OperationKind.INITIALIZE
            for facts in await self._payments.find(merchant_reference=order["reference"])
            for operation in facts.operations
        ):
            await asyncio.sleep(_POLL_S)

    async def delivered(self) -> None:
        """Wait until the ledger has every entry."""
        while (await self._store.backlog(OutboxKind.LEDGER)).waiting:
            await asyncio.sleep(_POLL_S)

    def _report(self, what: str, **more: str) -> None:
        report(self._job, what, **more)


def report(job: Job, what: str, **more: str) -> None:
    """Tell the supervisor, with the time."""
    told = {"what": what, "at": time.time(), "pid": os.getpid(), "idle_s": without_processor_s(), **more}
    with open(job.progress, "a", encoding="utf-8") as file:
        file.write(json.dumps(told) + "\n")


def without_processor_s(pid: int | str = "self") -> float:
    """How long a process's main thread could have run and the machine had no processor for it, in seconds.

    What it measures is the machine and who else uses it. Zero where the system does not say.
    """
    try:
        text = Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return int(text.split()[1]) / 1e9


async def live(job: Job) -> None:
    """One life, up to its end or its mark."""
    marks = Marks(job.moment)
    wrapper = ForgetfulStore if job.plant == "ack_first" else MarkedStore
    store = cast(PaymentStore, wrapper(open_store(job.store), marks))
    transport = MarkedTransport(shared_transport(), marks)
    payments = Payments(
        store=store,
        ledger=FileLedger(job.ledger, marks, job.plant),
        gateways={"bkash": BkashConfig.from_env(job.environ)},
        public_url="https://shop.example/payments",
        adapters={"bkash": Adapter("bkash", QuickBkash, BkashConfig)},
        limits=EngineLimits(send_window_s=LEASE_S),
        outbox_limits=OutboxLimits(callback_timeout_s=0.3, grace_s=0.1, lease_s=LEASE_S, poll_s=0.1),
        reconcile_limits=ReconcileLimits(lease_s=2 * LEASE_S, needs_s=LEASE_S, poll_s=0.1, sweep_s=1),
        transport=transport,
    )
    *before, newest = job.orders
    if job.moment is None:
        before = job.orders
    elif not before:
        marks.arm(newest["reference"])  # the grant is asked for at the very start
    async with asyncio.timeout(_PATIENCE_S), payments:
        shop = Shop(job, payments, store)
        if job.nobody_calls:
            await asyncio.gather(*(shop.left_to_workers(order) for order in before))
            await shop.delivered()
            report(job, "recovered")
        await asyncio.gather(*(shop.settle(order, again=True) for order in before))
        await shop.delivered()
        if not job.nobody_calls:
            report(job, "recovered")
        if job.moment is not None:
            marks.arm(newest["reference"])
            await shop.settle(newest)
            await shop.delivered()
    await transport.aclose()


def main(fields: dict[str, Any]) -> None:
    """Live one life."""
    shorten_what_is_no_setting()
    asyncio.run(live(Job(**fields)))
