"""Rows in an outbox without a shop: payments that are nothing but a subject, and what runs in virtual time."""

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tests.sinks.entries import entry, event
from vextrus_payments import Mode, Money
from vextrus_payments.documents import to_json
from vextrus_payments.payment import Intent
from vextrus_payments.plans import Committed, Plan
from vextrus_payments.records import Exchange, OutboxKind, OutboxRow, Payment, PaymentState
from vextrus_payments.store import PaymentStore

T = TypeVar("T")


class InlineRunner:
    """Runs database work on the spot: no thread, so that virtual time drives it."""

    async def run(self, work: Callable[[], T]) -> T:
        return work()

    async def aclose(self) -> None:
        """Nothing to let go of."""


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []

    def exchange(self, *, tenant: str, gateway: str, exchange: Exchange, context: Any) -> None:
        """Not of interest here."""

    def event(self, name: str, **fields: Any) -> None:
        self.heard.append((name, fields))

    def of(self, name: str) -> list[dict[str, Any]]:
        """What was told under one name."""
        return [fields for heard, fields in self.heard if heard == name]


async def fill(
    store: PaymentStore,
    subjects: Sequence[int],
    *,
    kind: OutboxKind = OutboxKind.LEDGER,
    tenant: str = "acme",
    name: str = "pay",
) -> list[OutboxRow]:
    """A payment per subject, with so many rows each, numbered from 1; ids such as `ent_pay0-2`."""
    rows: list[OutboxRow] = []
    for number, count in enumerate(subjects):
        payment_id = f"{name}{number}"
        mine = [_row(store, tenant, payment_id, seq, kind) for seq in range(1, count + 1)]
        now = store.now()
        payment = Payment(
            tenant=tenant,
            payment_id=payment_id,
            gateway="bkash",
            mode=Mode.SANDBOX,
            merchant_reference=f"INV-{payment_id}",
            amount=Money("100"),
            intent=Intent.SALE,
            state=PaymentState.PAID,
            created_at=now,
            updated_at=now,
            version=1,
            submission_no=1,
            outbox_seq=count,
        )
        plan = Plan(payment=payment, expected_version=0, outbox=tuple(mine))
        assert isinstance(await store.commit(plan), Committed)
        rows += mine
    return rows


def _row(store: PaymentStore, tenant: str, payment_id: str, seq: int, kind: OutboxKind) -> OutboxRow:
    about: dict[str, Any] = {"tenant": tenant, "payment_id": payment_id, "metadata": {"seq": str(seq)}}
    of = entry(**about) if kind is OutboxKind.LEDGER else event(**about)
    row_id = f"{'ent' if kind is OutboxKind.LEDGER else 'evt'}_{payment_id}-{seq}"
    document = json.dumps({**json.loads(to_json(of)), "id": row_id}, separators=(",", ":"))
    return OutboxRow(
        tenant=tenant,
        row_id=row_id,
        subject=f"payment/{payment_id}",
        seq=seq,
        kind=kind,
        document=document,
        created_at=store.now(),
    )
