"""A shop's month and the gateway's statement of it, with mistakes of every kind put in on purpose.

Made from a seed, one transaction at a time: a million of them take no more memory than ten. What is expected of a run
is worked out here from the mistakes put in, and from nothing that the SDK says.
"""

import asyncio
import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import Intent
from vextrus_payments.plans import Committed, Plan
from vextrus_payments.records import (
    Payment,
    PaymentState,
    Receipt,
    ReceiptKind,
    Submission,
    SubmissionState,
)
from vextrus_payments.settlement import BreakKind, Days, StatementFormat
from vextrus_payments.store import PaymentStore

TENANT, GATEWAY, MODE = "acme", "bkash", Mode.SANDBOX
DAYS = 31
MONTH = Days(date(2026, 1, 1), date(2026, 1, 31))

#: The twelve kinds of the reliability battery, in the order in which they are dealt out.
TWELVE = tuple(kind for kind in BreakKind if kind is not BreakKind.RESTATED)

FORM = StatementFormat.model_validate(
    {
        "name": "the world's statement",
        "columns": {
            "transaction_id": "Transaction ID",
            "kind": "Type",
            "amount": "Amount",
            "fee": "Charge",
            "net": "Payable",
            "currency": "Currency",
            "status": "Status",
            "reference": "Invoice",
            "occurred_on": "Completed",
            "settled_on": "Settled",
        },
        "kinds": {"Payment": "payment", "Refund": "refund"},
        "settled_words": ["Completed"],
        "unsettled_words": ["Failed"],
        "occurred_format": "%d/%m/%Y %H:%M",
        "settled_format": "%d/%m/%Y",
    }
)


@dataclass(frozen=True)
class Transaction:
    """One movement of money, as our records have it."""

    number: int
    kind: ReceiptKind
    transaction_id: str
    order_id: str
    amount: Money
    fee: Money
    fee_known: bool
    at: datetime
    mode: Mode = MODE
    mistake: BreakKind | None = None


@dataclass
class Month:
    """`count` transactions with `mistakes` mistakes, spread evenly over the twelve kinds."""

    count: int
    mistakes: int
    seed: int = 1
    expected: set[tuple[BreakKind, str]] = field(default_factory=set)
    dealt: Counter[BreakKind] = field(default_factory=Counter)
    bank_minor: int = 0
    """What the bank gets of the rows that agree, in paisa."""
    agreeing: int = 0

    def transactions(self) -> Iterator[Transaction]:
        """All of them, the same ones each time."""
        random = Random(self.seed)
        every = max(1, self.count // self.mistakes) if self.mistakes else 0
        dealt = 0
        for number in range(self.count):
            mistake = None
            if every and number % every == 0 and dealt < self.mistakes:
                mistake, dealt = TWELVE[dealt % len(TWELVE)], dealt + 1
            yield _transaction(number, random, mistake)

    async def record(self, store: PaymentStore, *, at_once: int = 64) -> None:
        """Write what our records have of the month."""
        waiting: set[asyncio.Task[None]] = set()
        for one in self.transactions():
            if one.mistake is BreakKind.MISSING_HERE:
                continue
            if len(waiting) >= at_once:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            waiting.add(asyncio.ensure_future(_commit(store, _plan(one))))
        await asyncio.gather(*waiting)

    def write(self, path: Path) -> None:
        """Write the gateway's statement, in an order of its own, and work out what is to be found in it."""
        self.expected.clear()
        self.dealt.clear()
        self.bank_minor = self.agreeing = 0
        later: list[list[str]] = []
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["Merchant statement", "01/01/2026 to 31/01/2026"])
            writer.writerow([])
            writer.writerow([next(iter(words)) for words in FORM.columns.values()])
            held: list[list[str]] = []
            random = Random(self.seed + 1)
            for one in self.transactions():
                rows = self._rows(one)
                held += rows[:1]
                later += rows[1:]
                if len(held) > 500:
                    writer.writerow(held.pop(random.randrange(len(held))))
            writer.writerows(held)
            writer.writerows(later)

    def _rows(self, one: Transaction) -> list[list[str]]:
        """The transaction's rows in the statement: none, one, or the second of a duplicate."""
        if one.mistake is not None:
            self.expected.add((one.mistake, one.transaction_id))
            self.dealt[one.mistake] += 1
        amount, kind, currency, status = one.amount, one.kind, "BDT", "Completed"
        fee, reference, at = one.fee, one.order_id, one.at
        slip = Money.from_minor(0)
        match one.mistake:
            case BreakKind.MISSING_THERE:
                return []
            case BreakKind.AMOUNT:
                amount = amount + Money("0.01")
            case BreakKind.CURRENCY:
                currency = "USD"
            case BreakKind.FEE:
                fee = fee + Money("1.00")
            case BreakKind.NET:
                slip = Money("0.10")
            case BreakKind.KIND:
                kind = ReceiptKind.REFUND if kind is ReceiptKind.PAYMENT else ReceiptKind.PAYMENT
            case BreakKind.STATUS:
                status = "Failed"
            case BreakKind.REFERENCE:
                reference = f"OTHER{one.number}"
            case BreakKind.TIMING:
                at = at - timedelta(days=5)
            case _:
                pass
        net = amount - fee if kind is ReceiptKind.PAYMENT else amount + fee
        row = [
            one.transaction_id,
            kind.value.title(),
            amount.amount,
            fee.amount,
            (net + slip).amount,
            currency,
            status,
            reference,
            (at + timedelta(hours=6)).strftime("%d/%m/%Y %H:%M"),
            (one.at + timedelta(hours=6, days=1)).strftime("%d/%m/%Y"),
        ]
        if one.mistake in (None, BreakKind.FEE, BreakKind.TIMING, BreakKind.DUPLICATE):
            self.agreeing += 1
            self.bank_minor += (net if kind is ReceiptKind.PAYMENT else -net).amount_minor
        return [row, row] if one.mistake is BreakKind.DUPLICATE else [row]


def _transaction(number: int, random: Random, mistake: BreakKind | None) -> Transaction:
    kind = ReceiptKind.REFUND if random.random() < 0.1 else ReceiptKind.PAYMENT
    amount = Money.from_minor(random.randrange(1_000, 5_000_000))
    at = (
        datetime(2026, 1, 1, tzinfo=UTC)
        - timedelta(hours=6)
        + timedelta(minutes=random.randrange(DAYS * 1440))
    )
    return Transaction(
        number=number,
        kind=kind,
        transaction_id=f"{random.choice('ABCDEFGH')}{number:09d}",
        # some were paid through a second submission
        order_id=f"INV{number}" if random.random() < 0.9 else f"INV{number}-2",
        amount=amount,
        fee=Money.from_minor(amount.amount_minor * 185 // 10_000),
        fee_known=mistake is BreakKind.FEE or random.random() < 0.3,
        at=at,
        mode=Mode.LIVE if mistake is BreakKind.MODE else MODE,
        mistake=mistake,
    )


def _plan(one: Transaction) -> Plan:
    payment_id, reference = f"pay_{one.number}", f"INV{one.number}"
    recorded = one.at + timedelta(seconds=3)
    payment = Payment(
        tenant=TENANT,
        payment_id=payment_id,
        gateway=GATEWAY,
        mode=one.mode,
        merchant_reference=reference,
        amount=one.amount,
        intent=Intent.SALE,
        state=PaymentState.PAID,
        created_at=one.at,
        updated_at=recorded,
        version=1,
        submission_no=2 if one.order_id.endswith("-2") else 1,
    )
    submission = Submission(
        tenant=TENANT,
        payment_id=payment_id,
        submission_no=1,
        gateway=GATEWAY,
        mode=one.mode,
        gateway_order_id=reference,
        state=SubmissionState.CLOSED,
        created_at=one.at,
    )
    submissions = [submission]
    if payment.submission_no == 2:
        submissions.append(replace(submission, submission_no=2, gateway_order_id=one.order_id))
    receipt = Receipt(
        tenant=TENANT,
        gateway=GATEWAY,
        mode=one.mode,
        kind=one.kind,
        transaction_id=one.transaction_id,
        amount=one.amount,
        recorded_at=recorded,
        payment_id=payment_id,
        submission_no=payment.submission_no,
        merchant_reference=reference,
        occurred_at=one.at,
        fee=one.fee if one.fee_known else None,
    )
    return Plan(payment=payment, expected_version=0, submissions=tuple(submissions), receipts=(receipt,))


async def _commit(store: PaymentStore, plan: Plan) -> None:
    answer = await store.commit(plan)
    assert isinstance(answer, Committed), answer
