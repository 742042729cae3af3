"""The rules of payouts, transfers and balance (dossier §6). No HTTP, no ``await``.

A merchant has two accounts at bKash: what payers pay comes into *collection*, payouts are paid from *disbursement*, and
he moves money between the two himself. Nothing here knows a repeated call: the same call twice pays twice, as at the
real gateway. Only a payoutID that was asked for before is good for one payout, and can be asked about.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.gateways.bkash import payout_models as p
from vextrus_payments_sandbox.bkash.creating import AMOUNT_MIN_MINOR, check_reference
from vextrus_payments_sandbox.bkash.holdings import ALNUM, Holdings, till
from vextrus_payments_sandbox.bkash.records import GATEWAY, Payout, Refusal
from vextrus_payments_sandbox.bkash.tokens import Merchant
from vextrus_payments_sandbox.books import BANK, TRANSFER
from vextrus_payments_sandbox.listing import PaidOut
from vextrus_payments_sandbox.world import Wallet, to_paisa

FEES: Final = f"fees:{GATEWAY}"
"""The account in which bKash collects what payouts cost."""


@dataclass(frozen=True, slots=True)
class Account:
    """One of a merchant's two accounts."""

    name: str
    balance_minor: int
    updated_at: datetime


class PayoutRules:
    """Every payout and transfer of one sandbox."""

    def __init__(self, holdings: Holdings) -> None:
        self.world = holdings.world
        self._holdings = holdings
        self.payouts: dict[str, Payout] = {}
        self.by_trx: dict[str, Payout] = {}
        self.invoices: dict[str, set[str]] = {}
        """Invoice number -> app keys of those who paid out under it."""

    def reset(self) -> None:
        """Forget everything."""
        self.payouts.clear()
        self.by_trx.clear()
        self.invoices.clear()

    def reindex(self) -> None:
        """Make every index anew from payouts that came back."""
        self.by_trx = {one.trx_id: one for one in self.payouts.values() if one.trx_id is not None}
        self.invoices = {}
        for payout in self.by_trx.values():
            self._note_invoice(payout)

    # ------------------------------------------------------------------------------------- payouts

    def initiate(self, merchant: Merchant, fields: Mapping[str, str]) -> Payout:
        """A payoutID, good for one payout of its type. Nothing moves by it."""
        if not fields.get("type") or not fields.get("reference"):
            raise Refusal("2065")
        if fields["type"] not in (p.TYPE_B2C, p.TYPE_B2B):
            raise Refusal("2063")
        check_reference(fields["reference"], "2048")
        payout_id = f"PO{self.world.text(ALNUM, 12)}{int(self.world.now().timestamp() * 1000)}"
        kind: Literal["B2C", "B2B"] = "B2C" if fields["type"] == p.TYPE_B2C else "B2B"
        payout = Payout(payout_id, kind, merchant, self.world.now(), fields["reference"])
        self.payouts[payout_id] = payout
        return payout

    def pay(self, merchant: Merchant, fields: Mapping[str, str]) -> Payout:
        """Pay a customer's wallet at once: nobody can ask about it afterwards."""
        wallet, amount_minor = self._checked(fields)
        payout = Payout("", "B2C", merchant, self.world.now())
        self._pay(payout, wallet, amount_minor, fields)
        return payout

    def pay_by_id(self, merchant: Merchant, kind: str, fields: Mapping[str, str]) -> Payout:
        """Pay by a payoutID: 2033 for an unknown one, 2061 for another merchant's, 2068 once it is paid."""
        if not fields.get("payoutID"):
            raise Refusal("2065")
        payout = self.payout(merchant, fields["payoutID"])
        if payout.trx_id is not None:
            raise Refusal("2068")
        if payout.kind != kind:
            raise Refusal("2063")
        wallet, amount_minor = self._checked(fields)
        self._pay(payout, wallet, amount_minor, fields)
        return payout

    def payout(self, merchant: Merchant, payout_id: str) -> Payout:
        """What was asked for by this payoutID."""
        found = self.payouts.get(payout_id)
        if found is None or not found.reference:  # what was paid without one cannot be asked about
            raise Refusal("2033")
        if found.merchant != merchant:
            raise Refusal("2061")
        return found

    def of_trx(self, merchant: Merchant, trx_id: str) -> Payout | None:
        """What a trxID belongs to; None for another's."""
        found = self.by_trx.get(trx_id)
        return found if found is not None and found.merchant == merchant else None

    def paid_out(self) -> Iterator[PaidOut]:
        """Every payout that was made, oldest first."""
        for one in self.by_trx.values():
            if one.trx_id is not None and one.kind != TRANSFER:
                yield PaidOut(GATEWAY, one.trx_id, one.invoice, one.amount_minor, one.fee_minor)

    def was_paid(self, merchant: Merchant, invoice: str) -> bool:
        """Whether something was paid out under this invoice number before."""
        return merchant.app_key in self.invoices.get(invoice, ())

    def is_anothers(self, merchant: Merchant, invoice: str) -> bool:
        """Whether others paid out under this invoice number, and this merchant did not."""
        payers = self.invoices.get(invoice)
        return payers is not None and merchant.app_key not in payers

    def _checked(self, fields: Mapping[str, str]) -> tuple[Wallet, int]:
        wanted = ("amount", "currency", "merchantInvoiceNumber", "receiverMSISDN")
        if not all(fields.get(name) for name in wanted):
            raise Refusal("2065")
        amount_minor = _amount(fields)
        check_reference(fields["merchantInvoiceNumber"], "2031")
        number = fields["receiverMSISDN"]
        wallet = self.world.wallet(number[2:] if number.startswith("88") else number)
        if wallet is None:
            raise Refusal(p.CODE_INVALID_RECEIVER)
        if wallet.blocked:
            raise Refusal("2039")
        return wallet, amount_minor

    def _pay(self, payout: Payout, wallet: Wallet, amount_minor: int, fields: Mapping[str, str]) -> None:
        merchant, fee_minor = payout.merchant, 0
        if payout.kind == "B2C":
            fee_minor = self._holdings.rules.b2c_fee_minor
        source = self._disbursement(merchant)
        if self.world.books.balance(source) < amount_minor + fee_minor:
            raise Refusal("2023")
        trx_id = self._new_trx_id()
        reference = payout.payout_id or trx_id
        self._holdings.move("payout", source, wallet.account, amount_minor, reference, trx_id)
        if fee_minor:
            self._holdings.move("payout_fee", source, FEES, fee_minor, reference, trx_id)
        payout.payout_id = reference
        payout.amount_minor, payout.amount_text, payout.fee_minor = amount_minor, fields["amount"], fee_minor
        payout.receiver, payout.invoice = fields["receiverMSISDN"], fields["merchantInvoiceNumber"]
        self._made(payout, trx_id)
        self._note_invoice(payout)

    def _note_invoice(self, payout: Payout) -> None:
        if payout.invoice:
            self.invoices.setdefault(payout.invoice, set()).add(payout.merchant.app_key)

    def _made(self, payout: Payout, trx_id: str) -> None:
        payout.trx_id, payout.completed_at = trx_id, self.world.now()
        self.payouts[payout.payout_id] = self.by_trx[trx_id] = payout

    # ---------------------------------------------------------------------------- accounts of one's own

    def transfer(self, merchant: Merchant, fields: Mapping[str, str]) -> Payout:
        """Move money from collection to disbursement, or back."""
        if not all(fields.get(name) for name in ("amount", "currency", "transferType")):
            raise Refusal("2065")
        amount_minor = _amount(fields)
        ways = {
            p.COLLECTION_TO_DISBURSEMENT: (till(merchant), self._disbursement(merchant)),
            p.DISBURSEMENT_TO_COLLECTION: (self._disbursement(merchant), till(merchant)),
        }
        if fields["transferType"] not in ways:
            raise Refusal(p.CODE_INVALID_TRANSFER_TYPE)
        source, target = ways[fields["transferType"]]
        if self.world.books.balance(source) < amount_minor:
            raise Refusal("2023")
        trx_id = self._new_trx_id()
        self._holdings.move(TRANSFER, source, target, amount_minor, trx_id, trx_id)
        made = Payout(trx_id, "transfer", merchant, self.world.now())
        made.amount_minor, made.amount_text = amount_minor, fields["amount"]
        made.transfer_type = fields["transferType"]
        self._made(made, trx_id)
        return made

    def accounts(self, merchant: Merchant, *, stale: bool = False) -> Sequence[Account]:
        """Collection and disbursement; `stale` shows them as they were before the latest movement of either."""
        collection, disbursement = till(merchant), self._disbursement(merchant)
        books, now = self.world.books, self.world.now()
        balances = {name: books.balance(name) for name in (collection, disbursement)}
        last = next(
            (one for one in reversed(books.movements) if stale and {one.source, one.target} & set(balances)),
            None,
        )
        if last is not None:
            for name, back in ((last.source, last.amount_minor), (last.target, -last.amount_minor)):
                if name in balances:
                    balances[name] += back
        names = {collection: p.ACCOUNT_COLLECTION, disbursement: p.ACCOUNT_DISBURSEMENT}
        return [Account(names[account], balance, now) for account, balance in balances.items()]

    def more_of(self, merchant: Merchant) -> Mapping[str, str]:
        """The disbursement account, once it is in use."""
        account = disbursement_account(merchant)
        return {"disbursement": account} if self.world.books.knows(account) else {}

    def _disbursement(self, merchant: Merchant) -> str:
        """The account that payouts are paid from; the bank fills it when it is first asked for."""
        account = disbursement_account(merchant)
        opening = self._holdings.rules.disbursement_minor
        if opening and not self.world.books.knows(account):
            self.world.books.move(
                self.world.now(),
                gateway="",
                kind="balance",
                source=BANK,
                target=account,
                amount_minor=opening,
                reference="",
                transaction_id="",
            )
        return account

    def _new_trx_id(self) -> str:
        trx_id = self._holdings.new_trx_id()
        while trx_id in self.by_trx:
            trx_id = self._holdings.new_trx_id()
        return trx_id


def disbursement_account(merchant: Merchant) -> str:
    """The account that a merchant's payouts are paid from."""
    return f"disbursement:{GATEWAY}:{merchant.till}" if merchant.till else f"disbursement:{GATEWAY}"


def _amount(fields: Mapping[str, str]) -> int:
    amount_minor = to_paisa(fields["amount"])
    if amount_minor is None or amount_minor < AMOUNT_MIN_MINOR:
        raise Refusal("2006")
    if fields["currency"] != m.CURRENCY:
        raise Refusal("2007")
    return amount_minor
