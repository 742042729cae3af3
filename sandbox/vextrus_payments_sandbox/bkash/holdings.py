"""What lies at the sandbox's bKash, how it is found, and how money moves there. No rule of a payment's life is here.

Payments and agreements are plain data on shelves (``kept.py``); every index can be made anew from them.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from vextrus_payments.gateways.bkash import models as m
from vextrus_payments_sandbox.bkash.records import (
    GATEWAY,
    Agreement,
    Payment,
    Refusal,
    Rules,
    State,
    wire_state,
)
from vextrus_payments_sandbox.bkash.tokens import Merchant
from vextrus_payments_sandbox.page_steps import ran_out
from vextrus_payments_sandbox.world import BookRow, Wallet, World, merchant_account

DIGITS: Final = "0123456789"
UPPER: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ALNUM: Final = DIGITS + UPPER + UPPER.lower()


class Holdings:
    """Every payment and agreement of one sandbox."""

    def __init__(self, world: World, rules: Rules) -> None:
        self.world = world
        self.rules = rules
        self.payments: dict[str, Payment] = {}
        self.agreements: dict[str, Agreement] = {}
        self.walk_ins: dict[str, Payment] = {}
        self.by_trx: dict[str, Payment] = {}
        self.invoices: set[tuple[str, str]] = set()
        self.debits: dict[tuple[str, str, int], datetime] = {}
        """(app key, wallet, amount) -> when that was last taken: whether it is a duplicate is one look (§1.8)."""
        self.consents: dict[tuple[str, str, str], str] = {}
        """(app key, wallet, payer reference) -> the agreement that was made last between them."""

    def reset(self) -> None:
        """Forget everything."""
        for kept in (self.payments, self.agreements, self.walk_ins, self.by_trx, self.debits, self.consents):
            kept.clear()
        self.invoices.clear()

    def reindex(self) -> None:
        """Make every index anew from payments that came back."""
        every = (*self.payments.values(), *self.walk_ins.values())
        self.by_trx = {one.trx_id: one for one in every if one.trx_id is not None}
        self.by_trx |= {refund.trx_id: one for one in every for refund in one.refunds}
        self.invoices = {(one.merchant.app_key, one.invoice) for one in every if one.invoice}
        self.debits = {}
        self.consents = {_consent_key(one): one.agreement_id for one in self.agreements.values()}
        for payment in self.payments.values():  # who walked in is compared with nobody
            self.note_debit(payment)

    # ---------------------------------------------------------------------------------------- finding

    def payment(self, merchant: Merchant, payment_id: str) -> Payment:
        """The payment, its age taken into account; 2002 for an unknown id, 2061 for another merchant's."""
        found = self.payments.get(payment_id)
        if found is None:
            raise Refusal("2002")
        if found.merchant != merchant:
            raise Refusal("2061")
        self.expire(found)
        return found

    def agreement(self, merchant: Merchant, agreement_id: str) -> Agreement:
        """The agreement; 2051 for an unknown id, 2061 for another merchant's."""
        found = self.agreements.get(agreement_id)
        if found is None:
            raise Refusal("2051")
        if found.merchant != merchant:
            raise Refusal("2061")
        return found

    def note_agreement(self, agreement: Agreement) -> None:
        """Put an agreement on its shelf."""
        self.agreements[agreement.agreement_id] = agreement
        self.consents[_consent_key(agreement)] = agreement.agreement_id

    def has_agreed(self, payment: Payment, wallet: Wallet) -> bool:
        """Whether this payer has an agreement with this merchant under this reference, and has not ended it."""
        known = self.consents.get((payment.merchant.app_key, wallet.number, payment.payer_reference))
        return known is not None and self.agreements[known].voided_at is None

    def note_debit(self, payment: Payment) -> None:
        """Remember when this payer paid this merchant this much; a payment that took nothing is left out."""
        if payment.executed_at is None or payment.wallet is None or payment.is_agreement:
            return
        key = _debit_key(payment, payment.wallet)
        self.debits[key] = max(payment.executed_at, self.debits.get(key, payment.executed_at))

    def is_duplicate(self, payment: Payment, wallet: Wallet) -> bool:
        """Same wallet, amount and merchant within the window (§1.8); the invoice does not matter (§16.17)."""
        last = self.debits.get(_debit_key(payment, wallet))
        window = timedelta(seconds=self.rules.duplicate_window_s)
        return last is not None and last > self.world.now() - window

    def expire(self, payment: Payment) -> None:
        """End a payment whose time is over, or whose payer let the time of a step run out."""
        if payment.state is not State.INITIATED:
            return
        now = self.world.now()
        if not payment.verified and payment.step_until is not None and now > payment.step_until:
            payment.state, payment.timed_out = State.FAILED, True
            self._ran_out(payment, payment.page_step, payment.step_until)
        elif now - payment.created_at > m.PAYMENT_LIFE:
            payment.state = State.EXPIRED
            self._ran_out(payment, "page", payment.created_at + m.PAYMENT_LIFE)

    def _ran_out(self, payment: Payment, step: str, until: datetime) -> None:
        ran_out(self.world, GATEWAY, payment.payment_id, step, until, payment.state.value)

    # ---------------------------------------------------------------------------------------- the books

    def rows(self) -> Iterator[BookRow]:
        """Every payment for the books; agreements move no money and are left out."""
        for payment in (*self.payments.values(), *self.walk_ins.values()):
            if not payment.is_agreement:
                yield self._row(payment)

    def row(self, handle: str) -> BookRow | None:
        """The payment that a paymentID names, or a trxID, be it a refund's."""
        payment = self.payments.get(handle) or self.by_trx.get(handle)
        return None if payment is None or payment.is_agreement else self._row(payment)

    def _row(self, payment: Payment) -> BookRow:
        self.expire(payment)
        return BookRow(
            GATEWAY,
            payment.payment_id,
            payment.trx_id,
            payment.invoice,
            wire_state(payment.state),
            payment.amount_minor,
            payment.captured_minor,
            payment.refunded_minor,
            payment.created_at,
            _ends_at(payment),
            payment,
        )

    def move(
        self, kind: str, source: str, target: str, amount_minor: int, reference: str, trx_id: str | None
    ) -> None:
        """Move money, or raise :class:`InsufficientFundsError` and move none."""
        self.world.books.move(
            self.world.now(),
            gateway=GATEWAY,
            kind=kind,
            source=source,
            target=target,
            amount_minor=amount_minor,
            reference=reference,
            transaction_id=trx_id or "",
        )

    # ---------------------------------------------------------------------------------------------- ids

    def new_payment_id(self, prefix: str) -> str:
        """As the gateway makes them: the prefix, seven characters, the milliseconds of now (§12.3)."""
        epoch_ms = int(self.world.now().timestamp() * 1000)
        payment_id = f"{prefix}{self.world.text(ALNUM, 7)}{epoch_ms}"
        while payment_id in self.payments:
            payment_id = f"{prefix}{self.world.text(ALNUM, 7)}{epoch_ms}"
        return payment_id

    def new_agreement_id(self, merchant: Merchant) -> str:
        """The merchant's name, seven characters, the milliseconds of now (§12.3)."""
        epoch_ms = int(self.world.now().timestamp() * 1000)
        agreement_id = f"{merchant.name}{self.world.text(DIGITS + UPPER, 7)}{epoch_ms}"
        while agreement_id in self.agreements or agreement_id in self.payments:
            agreement_id = f"{merchant.name}{self.world.text(DIGITS + UPPER, 7)}{epoch_ms}"
        return agreement_id

    def new_trx_id(self) -> str:
        """Ten characters, the first three of which are the day in Bangladesh (§12.3)."""
        prefix = m.trx_date_prefix(self.world.now().astimezone(m.DHAKA).date())
        trx_id = prefix + self.world.text(DIGITS + UPPER, 7)
        while trx_id in self.by_trx:
            trx_id = prefix + self.world.text(DIGITS + UPPER, 7)
        return trx_id


def _ends_at(payment: Payment) -> datetime | None:
    """When the payment ends by itself; None once it has ended, or holds money."""
    if payment.state is not State.INITIATED:
        return None
    ends = payment.created_at + m.PAYMENT_LIFE
    return ends if payment.verified or payment.step_until is None else min(ends, payment.step_until)


def till(merchant: Merchant) -> str:
    """The account in which the merchant collects."""
    return merchant_account(GATEWAY, merchant.till)


def _consent_key(agreement: Agreement) -> tuple[str, str, str]:
    return agreement.merchant.app_key, agreement.wallet.number, agreement.payer_reference


def _debit_key(payment: Payment, wallet: Wallet) -> tuple[str, str, int]:
    return payment.merchant.app_key, wallet.number, payment.amount_minor
