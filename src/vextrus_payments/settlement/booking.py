"""What a settled receipt books: pure, and exact to the paisa.

Money that came in stands on the gateway's clearing account. When the gateway settles, the bank gets the net and the
gateway keeps its fee, and both leave the clearing account:

    payment.settled   Dr bank           Cr gateway clearing    gross less fee
    payment.fee       Dr gateway fees   Cr gateway clearing    the fee, or what it differs from the one booked before

For money that went out (a refund, a reversal, a payout) the gateway takes it off what it pays out: the sides turn
round. So does a fee that is given back. Whatever a gateway changes its mind about, the clearing account is left with
nothing of a settled transaction: received, settled and fee add up to zero.

The fee may be known, and booked, since the money moved (`Receipt.fee`): then only the difference is. A settlement
that is corrected books differences only, under ids of their own; its version says which correction it is.
"""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, time
from typing import Final

from vextrus_payments.documents import to_json
from vextrus_payments.ledger import AccountMap, EntryKind, LedgerEntry, Posting, Side, entry_id
from vextrus_payments.money import Money
from vextrus_payments.plans import SettlementPlan
from vextrus_payments.records import OutboxKind, OutboxRow, Receipt, ReceiptKind, Settlement
from vextrus_payments.settlement.lines import OUTGOING
from vextrus_payments.settlement.words import DHAKA, Line

_FIRST: Final = 1


def fee_booked(receipt: Receipt, settlement: Settlement | None) -> Money:
    """The fee that the ledger has of this receipt so far; zero where it has none."""
    if settlement is not None and settlement.fee is not None:
        return settlement.fee
    return receipt.fee or Money.from_minor(0, receipt.amount.currency)


def plan_settlement(
    line: Line,
    receipt: Receipt,
    before: Settlement | None,
    *,
    statement: str,
    accounts: AccountMap,
    now: datetime,
) -> SettlementPlan:
    """Settle a receipt by a statement's line, or correct how it was settled `before`.

    The line agrees with the receipt in kind, currency and amount; both were compared.
    """
    booked = fee_booked(receipt, before)
    fee = booked if line.fee is None else line.fee
    gross = -receipt.amount if receipt.kind in OUTGOING else receipt.amount
    net_before = Money.from_minor(0, gross.currency) if before is None else gross - booked
    expected = 0 if before is None else before.version
    settlement = Settlement(
        tenant=receipt.tenant,
        gateway=receipt.gateway,
        mode=receipt.mode,
        kind=receipt.kind,
        transaction_id=receipt.transaction_id,
        payment_id=receipt.payment_id,
        amount=line.amount,
        fee=line.fee if line.fee is not None or before is None else before.fee,
        settled_on=line.settled_on,
        statement=statement,
        row=line.row,
        recorded_at=now,
        version=expected + 1,
        outbox_seq=0 if before is None else before.outbox_seq,
        no=receipt.no,
    )
    names = _Names(receipt, accounts)
    entries = [
        _entry(
            receipt,
            settlement,
            EntryKind.PAYMENT_SETTLED,
            names.bank,
            names.clearing,
            gross - fee - net_before,
        ),
        _entry(receipt, settlement, EntryKind.PAYMENT_FEE, names.fees, names.clearing, fee - booked),
    ]
    rows: list[OutboxRow] = []
    for entry in entries:
        if entry is not None:
            rows.append(_row(settlement, entry, settlement.outbox_seq + len(rows) + 1))
    settlement = replace(settlement, outbox_seq=settlement.outbox_seq + len(rows))
    return SettlementPlan(settlement=settlement, expected_version=expected, outbox=tuple(rows))


class _Names:
    def __init__(self, receipt: Receipt, accounts: AccountMap) -> None:
        # What a payout left, where that has a name of its own: the account that it was taken off.
        paid_out = receipt.moved_as is ReceiptKind.PAYOUT
        account_of = accounts.disbursement_of if paid_out else accounts.clearing_of
        self.clearing = account_of(receipt.gateway, receipt.mode)
        self.bank = accounts.bank.format(gateway=receipt.gateway, mode=receipt.mode.value)
        self.fees = accounts.fees.format(gateway=receipt.gateway, mode=receipt.mode.value)


def _entry(
    receipt: Receipt, settlement: Settlement, kind: EntryKind, debit: str, credit: str, amount: Money
) -> LedgerEntry | None:
    """`amount` from credit to debit; below zero, the other way round; at zero there is nothing to book."""
    if not amount:
        return None
    if not amount.is_positive:
        debit, credit, amount = credit, debit, -amount
    return LedgerEntry(
        id=_entry_id(receipt, settlement, kind),
        kind=kind,
        tenant=receipt.tenant,
        gateway=receipt.gateway,
        mode=receipt.mode,
        payment_id=receipt.payment_id,
        merchant_reference=receipt.merchant_reference,
        transaction_id=receipt.transaction_id,
        postings=(Posting(debit, Side.DEBIT, amount), Posting(credit, Side.CREDIT, amount)),
        recorded_at=settlement.recorded_at,
        occurred_at=datetime.combine(settlement.settled_on, time(), DHAKA).astimezone(UTC),
        operation_id=receipt.operation_id,
        original_transaction_id=receipt.original_transaction_id,
        flags=receipt.flags,
        metadata={
            "statement": settlement.statement,
            "statement_row": str(settlement.row),
            "settled_on": settlement.settled_on.isoformat(),
        },
    )


def _entry_id(receipt: Receipt, settlement: Settlement, kind: EntryKind) -> str:
    """The plain id for what is booked once; for a difference one that names which."""
    fee_known_before = kind is EntryKind.PAYMENT_FEE and receipt.fee is not None
    if settlement.version == _FIRST and not fee_known_before:
        return entry_id(receipt.key, kind)
    key = receipt.key
    whose = (key.tenant, key.gateway, key.mode, key.label, key.transaction_id)
    text = "\x1f".join((*whose, kind, "settlement", str(settlement.version)))
    return f"ent_{hashlib.sha256(text.encode('utf-8')).hexdigest()[:40]}"


def _row(settlement: Settlement, entry: LedgerEntry, seq: int) -> OutboxRow:
    key = settlement.key
    return OutboxRow(
        tenant=settlement.tenant,
        row_id=entry.id,
        # mode and kind too: two settlements that share a transaction id count their rows each for itself
        subject=f"settlement/{key.gateway}/{key.mode.value}/{key.label}/{key.transaction_id}",
        seq=seq,
        kind=OutboxKind.LEDGER,
        document=to_json(entry),
        created_at=settlement.recorded_at,
    )
