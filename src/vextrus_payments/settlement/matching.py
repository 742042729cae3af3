"""Holding a statement's line against what we know: pure.

One rule decides what is booked: a line that agrees with a receipt in id, kind, currency, amount, mode and reference,
and with itself, settles it. A fee or a day that differs is reported and booked, because the statement is the authority
for both. Everything else is reported and left to a person.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum

from vextrus_payments.mode import Mode
from vextrus_payments.records import Receipt, ReceiptKind, Settlement
from vextrus_payments.settlement.booking import fee_booked
from vextrus_payments.settlement.lines import OUTGOING
from vextrus_payments.settlement.words import DHAKA, Break, BreakKind, Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerances:
    """How far days may be apart.

    Attributes:
        days_apart: between the day the statement gives a transaction and ours.
        settles_within_days: from the transaction to its settlement; and how old a receipt has to be, at the end of a
            statement, to be missed there.
        accept_restated: book what contradicts an earlier statement of the same day, as a correction of it.
    """

    days_apart: int = 1
    settles_within_days: int = 7
    accept_restated: bool = False


class Deed(StrEnum):
    """What is to be done with a line."""

    SETTLE = "settle"
    ADJUST = "adjust"
    ALREADY = "already"
    SUPERSEDED = "superseded"
    IGNORE = "ignore"
    """Failed there, and unknown here: nothing happened."""
    REPORT = "report"
    """Not to be booked."""


@dataclass(frozen=True, slots=True)
class Known:
    """What our records have of a transaction id.

    Attributes:
        receipts: of this mode, by kind.
        elsewhere: a receipt of the other mode, where this one has none.
        settlement: of the receipt of the line's kind.
        order_ids: our gateway order ids of the receipt's payment; None: not looked up, because nobody needs them.
    """

    receipts: dict[ReceiptKind, Receipt]
    elsewhere: Receipt | None = None
    settlement: Settlement | None = None
    order_ids: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a line, and what to say of it."""

    deed: Deed
    breaks: tuple[Break, ...] = ()
    receipt: Receipt | None = None


def receipt_day(receipt: Receipt) -> date:
    """The day in Dhaka on which the money moved: when the gateway says so, else when we learned of it."""
    return (receipt.occurred_at or receipt.recorded_at).astimezone(DHAKA).date()


def judge(
    line: Line, known: Known, mode: Mode, tolerances: Tolerances, *, reference_is_ours: bool
) -> Verdict:
    """What to do with a line.

    Args:
        reference_is_ours: the reference column repeats the merchant reference; else the gateway order id.
    """
    receipt = known.receipts.get(line.kind)
    if receipt is None:
        return _without_receipt(line, known, mode)
    if is_taken_back(receipt, known.receipts):
        return _taken_back(line, receipt)
    if line.unsettled_status is not None:
        return _reported(_say(line, BreakKind.STATUS, "status", "moved", line.unsettled_status, receipt))
    if known.settlement is not None and known.settlement.kind is not receipt.kind:
        return _settled_before(line, receipt, known.settlement)
    found = [
        *_money_breaks(line, receipt),
        *_reference_breaks(line, receipt, known, reference_is_ours=reference_is_ours),
    ]
    stops = bool(found)
    found += _fee_breaks(line, receipt)
    found += _day_breaks(line, receipt, known.settlement, tolerances)
    deed = Deed.REPORT if stops else deed_of(line, receipt, known.settlement, tolerances)
    if known.settlement is not None and not stops and _restates(line, receipt, known.settlement):
        found.append(_restated(line, receipt, known.settlement))
    books = deed is not Deed.REPORT
    return Verdict(deed, tuple(replace(one, booked=books) for one in found), receipt)


def deed_of(line: Line, receipt: Receipt, settlement: Settlement | None, tolerances: Tolerances) -> Deed:
    """What to do with a line that agrees with the receipt, given how the receipt was settled before."""
    if settlement is None:
        return Deed.SETTLE
    if line.fee is None or line.fee == fee_booked(receipt, settlement):
        return Deed.ALREADY
    if settlement.fee is None:
        return Deed.ADJUST  # the first statement that has a word of the fee
    if _restates(line, receipt, settlement):
        return Deed.ADJUST if tolerances.accept_restated else Deed.REPORT
    return Deed.ADJUST if line.settled_on > settlement.settled_on else Deed.SUPERSEDED


def duplicate_of(line: Line, first: Line, receipt: Receipt | None) -> Break:
    """The break of a line whose transaction stands in the statement before."""
    return _say(
        line,
        BreakKind.DUPLICATE,
        "transaction_id",
        f"row {first.row}: {first.amount}",
        f"row {line.row}: {line.amount}",
        receipt,
    )


def missing_there(receipt: Receipt) -> Break:
    """The break of a receipt that the statement should have."""
    return Break(
        kind=BreakKind.MISSING_THERE,
        field="transaction_id",
        ours=f"{receipt.amount} on {receipt_day(receipt)}",
        theirs=None,
        transaction_id=receipt.transaction_id,
        row=None,
        receipt_kind=receipt.kind,
        payment_id=receipt.payment_id,
        merchant_reference=receipt.merchant_reference,
    )


def is_taken_back(receipt: Receipt, same_id: Mapping[ReceiptKind, Receipt]) -> bool:
    """True for what was booked on an operator's word and taken back, and for the taking back itself; of each kind the
    latest is asked about.

    Of both together the clearing account has nothing: there is nothing to settle, and nothing to be missed.
    """
    reversal = same_id.get(ReceiptKind.REVERSAL)
    if reversal is None or reversal.reverses is None:
        return False
    return receipt.kind is ReceiptKind.REVERSAL or reversal.takes_back(receipt)


def corrections_last(receipts: Iterable[Receipt]) -> list[Receipt]:
    """The receipts in an order in which what was corrected comes before what stands in its place."""
    return sorted(receipts, key=lambda receipt: (receipt.corrects is not None, receipt.no))


def needs_order_ids(line: Line, receipt: Receipt | None, *, reference_is_ours: bool) -> bool:
    """Whether judging asks for the gateway order ids of the receipt's payment.

    The first submission's id is the merchant reference itself wherever the gateway takes its characters.
    """
    if reference_is_ours or receipt is None or line.reference is None or receipt.payment_id is None:
        return False
    return not (line.reference == receipt.merchant_reference and receipt.submission_no in (None, 1))


# --- own ----------------------------------------------------------------------------------------------------------


def _without_receipt(line: Line, known: Known, mode: Mode) -> Verdict:
    if line.unsettled_status is not None:
        return Verdict(Deed.IGNORE)
    theirs = f"{line.amount} on {line.occurred_on or line.settled_on}"
    other = next(iter(known.receipts.values()), None)
    if other is not None:
        return _reported(_say(line, BreakKind.KIND, "kind", other.kind.value, line.kind.value, other))
    if known.elsewhere is not None:
        there = known.elsewhere
        return _reported(_say(line, BreakKind.MODE, "mode", there.mode.value, mode.value, there))
    return _reported(_say(line, BreakKind.MISSING_HERE, "transaction_id", None, theirs, None))


def _taken_back(line: Line, receipt: Receipt) -> Verdict:
    """The gateway has what we took back because it seemed to be wrong: a person has to look."""
    if line.unsettled_status is not None:
        return Verdict(Deed.IGNORE)
    theirs = f"{line.amount} on {line.occurred_on or line.settled_on}"
    ours = f"{receipt.amount}, taken back"
    return _reported(_say(line, BreakKind.MISSING_HERE, "transaction_id", ours, theirs, receipt))


def _settled_before(line: Line, receipt: Receipt, settlement: Settlement) -> Verdict:
    """What stands is a correction, and what it stands in the place of was settled: the bank has it once, and once only.

    Where the statement tells the same as then, there is nothing to do; else a person has to look.
    """
    ours = f"{settlement.amount} (statement {settlement.statement}, row {settlement.row})"
    if line.amount != settlement.amount or line.amount != receipt.amount:
        return _reported(_say(line, BreakKind.AMOUNT, "amount", ours, str(line.amount), receipt))
    if line.fee is not None and line.fee != fee_booked(receipt, settlement):
        return _reported(_restated(line, receipt, settlement))
    return Verdict(Deed.ALREADY, (), receipt)


def _money_breaks(line: Line, receipt: Receipt) -> list[Break]:
    if line.amount.currency != receipt.amount.currency:
        ours, theirs = receipt.amount.currency, line.amount.currency
        return [_say(line, BreakKind.CURRENCY, "currency", ours, theirs, receipt)]
    found = []
    if line.amount != receipt.amount:
        found.append(_say(line, BreakKind.AMOUNT, "amount", str(receipt.amount), str(line.amount), receipt))
    if line.net is not None:
        gross = -line.amount if line.kind in OUTGOING else line.amount
        net = gross if line.fee is None else gross - line.fee
        if line.fee is None and receipt.fee is not None and line.net == gross - receipt.fee:
            net = line.net  # the statement has no word of the fee, and took off the one that we know
        if net != line.net:
            found.append(_say(line, BreakKind.NET, "net", str(net), str(line.net), receipt))
    return found


def _reference_breaks(line: Line, receipt: Receipt, known: Known, *, reference_is_ours: bool) -> list[Break]:
    if line.reference is None:
        return []
    if reference_is_ours:
        if receipt.merchant_reference is None or line.reference == receipt.merchant_reference:
            return []
        ours: str | None = receipt.merchant_reference
    else:
        if known.order_ids is None or line.reference in known.order_ids:
            return []
        ours = " or ".join(sorted(known.order_ids)) or None
    return [_say(line, BreakKind.REFERENCE, "reference", ours, line.reference, receipt)]


def _fee_breaks(line: Line, receipt: Receipt) -> list[Break]:
    """Against what the gateway said when the money moved, whatever was settled since: a second run says the same."""
    if line.fee is None or receipt.fee is None or line.fee == receipt.fee:
        return []
    if line.amount.currency != receipt.amount.currency:
        return []  # said already
    return [_say(line, BreakKind.FEE, "fee", str(receipt.fee), str(line.fee), receipt)]


def _day_breaks(
    line: Line, receipt: Receipt, settlement: Settlement | None, tolerances: Tolerances
) -> list[Break]:
    day = receipt_day(receipt)
    apart = timedelta(days=tolerances.days_apart)
    if receipt.occurred_at is not None:
        if line.occurred_on is not None and abs(line.occurred_on - day) > apart:
            return [_timing(line, "occurred_on", day, line.occurred_on, receipt)]
        if line.settled_on < day - apart:
            return [_timing(line, "settled_on", day, line.settled_on, receipt)]
    # what an earlier statement has settled is not late because a later one repeats it
    settled = line.settled_on if settlement is None else min(line.settled_on, settlement.settled_on)
    if settled > day + timedelta(days=tolerances.settles_within_days):
        return [_timing(line, "settled_on", day, settled, receipt)]
    return []


def _restates(line: Line, receipt: Receipt, settlement: Settlement) -> bool:
    """Whether a statement of the same day said another fee: nobody can tell which of the two is the later word."""
    return (
        line.fee is not None
        and settlement.fee is not None
        and line.fee != fee_booked(receipt, settlement)
        and line.settled_on == settlement.settled_on
    )


def _restated(line: Line, receipt: Receipt, settlement: Settlement) -> Break:
    before = f"{fee_booked(receipt, settlement)} (statement {settlement.statement}, row {settlement.row})"
    return _say(line, BreakKind.RESTATED, "fee", before, str(line.fee), receipt)


def _timing(line: Line, field: str, ours: date, theirs: date, receipt: Receipt) -> Break:
    return _say(line, BreakKind.TIMING, field, ours.isoformat(), theirs.isoformat(), receipt)


def _say(
    line: Line, kind: BreakKind, field: str, ours: str | None, theirs: str | None, receipt: Receipt | None
) -> Break:
    return Break(
        kind=kind,
        field=field,
        ours=ours,
        theirs=theirs,
        transaction_id=line.transaction_id,
        row=line.row,
        receipt_kind=line.kind,
        payment_id=None if receipt is None else receipt.payment_id,
        merchant_reference=None if receipt is None else receipt.merchant_reference,
    )


def _reported(one: Break) -> Verdict:
    return Verdict(Deed.REPORT, (one,))
