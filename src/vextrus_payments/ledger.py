"""The ledger side: balanced entries made from receipts, and the callback that takes them.

An entry's id is a digest of the receipt's key and the entry's kind, so that the same fact, however often it is
learned, is the same entry. Entries balance per currency by construction and carry the mode: what books them must
keep sandbox and live apart.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.records import Flag, Payment, Payout, Receipt, ReceiptKey, ReceiptKind


class Side(StrEnum):
    """Debit or credit."""

    DEBIT = "debit"
    CREDIT = "credit"


class EntryKind(StrEnum):
    """What an entry books."""

    PAYMENT_RECEIVED = "payment.received"
    PAYMENT_REFUNDED = "payment.refunded"
    PAYMENT_REVERSED = "payment.reversed"
    """What was booked on an operator's word is taken back: the exact opposite."""
    PAYMENT_SETTLED = "payment.settled"
    PAYMENT_FEE = "payment.fee"
    PAYOUT_SENT = "payout.sent"
    PAYOUT_REVERSED = "payout.reversed"
    """As payment.reversed."""
    TRANSFER_MADE = "transfer.made"
    """Between the merchant's own accounts at the gateway, where the books tell them apart."""
    RECEIPT_UNMATCHED = "receipt.unmatched"


@dataclass(frozen=True, slots=True)
class Posting:
    """One line of an entry: an account, a side, an amount above zero."""

    account: str
    side: Side
    amount: Money

    def __post_init__(self) -> None:
        if not self.amount.is_positive:
            raise ValueError("a posting's amount is above zero; the side says the direction")


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """A balanced set of postings for one fact.

    Raises:
        ValueError: fewer than two postings, or debits and credits differ in a currency.
    """

    id: str
    kind: EntryKind
    tenant: str
    gateway: str
    mode: Mode
    payment_id: str | None
    merchant_reference: str | None
    transaction_id: str
    postings: tuple[Posting, ...]
    recorded_at: datetime
    occurred_at: datetime | None = None
    operation_id: str | None = None
    original_transaction_id: str | None = None
    flags: frozenset[Flag] = frozenset()
    correlation_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    schema_version: int = 1

    def __post_init__(self) -> None:
        balance: dict[str, int] = {}
        for posting in self.postings:
            sign = 1 if posting.side is Side.DEBIT else -1
            currency = posting.amount.currency
            balance[currency] = balance.get(currency, 0) + sign * posting.amount.amount_minor
        if len(self.postings) < 2 or any(balance.values()):
            raise ValueError("a ledger entry has at least two postings, and its debits equal its credits")


#: The pluggable link to the finance domain. Called at least once per entry, in order per payment; idempotent on
#: `entry.id`. Raising means "not booked": the entry is offered again.
LedgerCallback = Callable[[LedgerEntry], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountMap:
    """The names of the accounts. `{gateway}` and `{mode}` are filled in: one clearing account per gateway and mode."""

    clearing: str = "gateway_clearing:{gateway}:{mode}"
    receivable: str = "accounts_receivable"
    refunds: str = "accounts_receivable"
    suspense: str = "suspense"
    unapplied: str = "unapplied_receipts"
    fees: str = "gateway_fees:{gateway}"
    payable: str = "accounts_payable"
    bank: str = "bank"
    disbursement: str = "gateway_clearing:{gateway}:{mode}"
    """What payouts are made from. By default the clearing account itself, which then stands for all that the gateway
    holds, so that transfers book nothing; under a name of its own (`gateway_disbursement:{gateway}:{mode}`) they move
    between the two."""

    def disbursement_of(self, gateway: str, mode: Mode) -> str:
        """The account that payouts of one gateway and mode are made from."""
        return self.disbursement.format(gateway=gateway, mode=mode.value)

    def clearing_of(self, gateway: str, mode: Mode) -> str:
        """The clearing account of one gateway and mode."""
        return self.clearing.format(gateway=gateway, mode=mode.value)


DEFAULT_ACCOUNTS = AccountMap()


def entry_id(key: ReceiptKey, kind: EntryKind) -> str:
    """The entry's id: a digest of the receipt's identity and the entry's kind."""
    text = "\x1f".join((key.tenant, key.gateway, key.mode, key.label, key.transaction_id, kind))
    return f"ent_{hashlib.sha256(text.encode('utf-8')).hexdigest()[:40]}"


def entries_for(
    receipt: Receipt, payment: Payment | None, accounts: AccountMap = DEFAULT_ACCOUNTS
) -> tuple[LedgerEntry, ...]:
    """The balanced entries that book one receipt.

    `payment` is None for a receipt without our reference. A receipt at another amount than asked goes to suspense;
    a late or duplicate one to unapplied receipts; a known fee becomes an entry of its own. A refund is booked against
    the account that the receipt it gives back from was booked to, so that giving late money back leaves no receivable
    behind; a reversal of an operator's booking is that booking's exact opposite.
    """
    clearing = accounts.clearing_of(receipt.gateway, receipt.mode)
    amount = receipt.amount
    if receipt.kind is ReceiptKind.PAYMENT:
        kind = EntryKind.PAYMENT_RECEIVED if payment is not None else EntryKind.RECEIPT_UNMATCHED
        whose = _owed_to(receipt, payment, accounts)
        entries = [_entry(receipt, payment, kind, clearing, whose, amount)]
    elif receipt.kind is ReceiptKind.REFUND:
        whose = _refunded_from(receipt, accounts)
        entries = [_entry(receipt, payment, EntryKind.PAYMENT_REFUNDED, whose, clearing, amount)]
    elif receipt.reverses is ReceiptKind.PAYMENT:
        whose = _owed_to(receipt, payment, accounts)
        entries = [_entry(receipt, payment, EntryKind.PAYMENT_REVERSED, whose, clearing, amount)]
    elif receipt.reverses is ReceiptKind.REFUND:
        whose = _refunded_from(receipt, accounts)
        entries = [_entry(receipt, payment, EntryKind.PAYMENT_REVERSED, clearing, whose, amount)]
    elif receipt.kind is ReceiptKind.REVERSAL and receipt.reverses is None:
        entries = [_entry(receipt, payment, EntryKind.PAYMENT_REFUNDED, accounts.suspense, clearing, amount)]
    else:
        return payout_entries(receipt, payment, accounts)
    if receipt.fee is not None and receipt.fee.is_positive:
        fees = accounts.fees.format(gateway=receipt.gateway, mode=receipt.mode.value)
        entries.append(_entry(receipt, payment, EntryKind.PAYMENT_FEE, fees, clearing, receipt.fee))
    return tuple(entries)


def payout_entries(
    receipt: Receipt, whose: Payout | Payment | None, accounts: AccountMap = DEFAULT_ACCOUNTS
) -> tuple[LedgerEntry, ...]:
    """The balanced entries of what a payout or a transfer moved, or that take back what an operator had booked of one.

    Money that left at another amount than asked stands against suspense, until a person has decided. A correction is
    booked as what it stands in the place of. A transfer books
    nothing where both of the gateway's accounts have one name in the books, as they have by default: its event tells of
    it.
    """
    gateway, mode, amount = receipt.gateway, receipt.mode, receipt.amount
    collection, disbursement = accounts.clearing_of(gateway, mode), accounts.disbursement_of(gateway, mode)
    booked = receipt.reverses or receipt.moved_as
    if booked is ReceiptKind.TRANSFER:
        kind, debit, credit, paid_from = EntryKind.TRANSFER_MADE, disbursement, collection, collection
    elif booked is ReceiptKind.TRANSFER_BACK:
        kind, debit, credit, paid_from = EntryKind.TRANSFER_MADE, collection, disbursement, disbursement
    else:
        owed = accounts.suspense if receipt.mismatched else accounts.payable
        kind, debit, credit, paid_from = EntryKind.PAYOUT_SENT, owed, disbursement, disbursement
    if receipt.reverses is not None:
        kind, debit, credit = EntryKind.PAYOUT_REVERSED, credit, debit
    # Within one account nothing moved: a journal would only show turnover that there was not.
    entries = [] if debit == credit else [_entry(receipt, whose, kind, debit, credit, amount)]
    if receipt.fee is not None and receipt.fee.is_positive:
        fees = accounts.fees.format(gateway=gateway, mode=mode.value)
        debit, credit = (fees, paid_from) if receipt.reverses is None else (paid_from, fees)
        entries.append(_entry(receipt, whose, EntryKind.PAYMENT_FEE, debit, credit, receipt.fee))
    return tuple(entries)


def _owed_to(receipt: Receipt, payment: Payment | None, accounts: AccountMap) -> str:
    """The account that stands against the clearing account for money that came in."""
    if receipt.mismatched and payment is not None:
        return accounts.suspense
    if payment is None or receipt.flags & {Flag.LATE, Flag.DUPLICATE}:
        return accounts.unapplied
    return accounts.receivable


def _refunded_from(receipt: Receipt, accounts: AccountMap) -> str:
    """The same for money that went back: a refund carries the flags of the receipt it gives back from."""
    if receipt.mismatched:
        return accounts.suspense
    if receipt.flags & {Flag.LATE, Flag.DUPLICATE}:
        return accounts.unapplied
    return accounts.refunds


def _entry(
    receipt: Receipt, whose: Payment | Payout | None, kind: EntryKind, debit: str, credit: str, amount: Money
) -> LedgerEntry:
    return LedgerEntry(
        id=entry_id(receipt.key, kind),
        kind=kind,
        tenant=receipt.tenant,
        gateway=receipt.gateway,
        mode=receipt.mode,
        payment_id=receipt.payment_id,
        merchant_reference=receipt.merchant_reference,
        transaction_id=receipt.transaction_id,
        postings=(Posting(debit, Side.DEBIT, amount), Posting(credit, Side.CREDIT, amount)),
        recorded_at=receipt.recorded_at,
        occurred_at=receipt.occurred_at,
        operation_id=receipt.operation_id,
        original_transaction_id=receipt.original_transaction_id,
        flags=receipt.flags,
        correlation_id=whose.correlation_id if whose else None,
        metadata=whose.metadata if whose else {},
    )
