"""A few receipts by hand, and statements by hand against them."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.settlement.world import GATEWAY, TENANT
from vextrus_payments.documents import to_json
from vextrus_payments.ledger import entries_for
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import Intent
from vextrus_payments.plans import Committed, Plan
from vextrus_payments.records import (
    OutboxKind,
    OutboxRow,
    Payment,
    PaymentState,
    Receipt,
    ReceiptKind,
    Submission,
    SubmissionState,
)
from vextrus_payments.settlement import (
    Break,
    BreakKind,
    SettlementReport,
    SettlementRun,
    SettlementTerms,
    StatementFormat,
)
from vextrus_payments.settlement.formats import GENERIC
from vextrus_payments.store import PaymentStore
from vextrus_payments.testing import FakeClock

NOON = datetime(2026, 1, 20, 6, tzinfo=UTC)  # noon in Dhaka
DAY = date(2026, 1, 20)


def receipt(
    transaction_id: str = "AB12",
    amount: str = "100.00",
    *,
    kind: ReceiptKind = ReceiptKind.PAYMENT,
    fee: str | None = None,
    at: datetime | None = NOON,
    recorded_at: datetime = NOON,
    mode: Mode = Mode.SANDBOX,
    payment_id: str | None = "pay_1",
    currency: str = "BDT",
) -> Receipt:
    return Receipt(
        tenant=TENANT,
        gateway=GATEWAY,
        mode=mode,
        kind=kind,
        transaction_id=transaction_id,
        amount=Money(amount, currency),
        recorded_at=recorded_at,
        payment_id=payment_id,
        submission_no=1,
        merchant_reference="INV-1",
        occurred_at=at,
        fee=None if fee is None else Money(fee, currency),
    )


async def recorded(store: PaymentStore, *receipts: Receipt, order_ids: tuple[str, ...] = ()) -> None:
    """A paid payment with these receipts and their entries, as the engine would have left it."""
    first = receipts[0]
    assert first.payment_id is not None
    order_ids = order_ids or (f"ORDER-{first.payment_id}",)
    payment = Payment(
        tenant=TENANT,
        payment_id=first.payment_id,
        gateway=GATEWAY,
        mode=first.mode,
        merchant_reference="INV-1",
        amount=first.amount,
        intent=Intent.SALE,
        state=PaymentState.PAID,
        created_at=NOON,
        updated_at=NOON,
        version=1,
        submission_no=len(order_ids),
        allow_repeat=True,
    )
    submissions = tuple(
        Submission(
            tenant=TENANT,
            payment_id=first.payment_id,
            submission_no=number,
            gateway=GATEWAY,
            mode=first.mode,
            gateway_order_id=order_id,
            state=SubmissionState.CLOSED,
            created_at=NOON,
        )
        for number, order_id in enumerate(order_ids, 1)
    )
    entries = [entry for each in receipts for entry in entries_for(each, payment)]
    outbox = tuple(
        OutboxRow(
            tenant=TENANT,
            row_id=entry.id,
            subject=f"ledger/{first.payment_id}",
            seq=number,
            kind=OutboxKind.LEDGER,
            document=to_json(entry),
            created_at=NOON,
        )
        for number, entry in enumerate(entries, 1)
    )
    plan = Plan(
        payment=payment, expected_version=0, submissions=submissions, receipts=tuple(receipts), outbox=outbox
    )
    answer = await store.commit(plan)
    assert isinstance(answer, Committed), answer


@dataclass
class Desk:
    """Somebody who settles statements."""

    store: PaymentStore
    folder: Path
    form: StatementFormat = GENERIC
    found: list[Any] = field(default_factory=list)

    def statement(self, *rows: str, name: str = "statement.csv", heads: str = "") -> Path:
        path = self.folder / name
        heads = heads or "transaction_id,kind,amount,fee,settled_on"
        path.write_text("\n".join([heads, *rows]) + "\n", encoding="utf-8")
        return path

    async def settle(self, path: Path, **terms: Any) -> SettlementReport:
        self.found.clear()
        run = SettlementRun(
            self.store,
            tenant=TENANT,
            gateway=GATEWAY,
            mode=Mode.SANDBOX,
            form=self.form,
            terms=SettlementTerms(**{"apply": True, **terms}),
            clock=FakeClock(NOON + timedelta(days=3)),
            on_finding=self.found.append,
        )
        return await run.run(path)

    @property
    def breaks(self) -> list[tuple[BreakKind, str, str | None, str | None]]:
        return [(one.kind, one.field, one.ours, one.theirs) for one in self.found if isinstance(one, Break)]
