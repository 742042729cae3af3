"""What every product's handlers do, told to the manners: the rules are asked, and whoever watches hears of it."""

from collections.abc import Callable, Mapping, Sequence

from vextrus_payments.gateways.bkash import models as m
from vextrus_payments_sandbox.bkash.creating import Wish
from vextrus_payments_sandbox.bkash.products import Ask
from vextrus_payments_sandbox.bkash.records import Payment, Refund, Refusal
from vextrus_payments_sandbox.bkash.rules import BkashRules
from vextrus_payments_sandbox.bkash.watching import BkashManners


class Deeds:
    """The rules of one sandbox, watched."""

    def __init__(self, rules: BkashRules, manners: BkashManners) -> None:
        self.rules = rules
        self.manners = manners

    def create(self, ask: Ask, wish_of: Callable[[Mapping[str, str]], Wish]) -> Payment:
        """A new paymentID; `wish_of` reads what is asked for, or refuses."""
        reused = self.rules.invoice_used(ask.merchant, ask.fields.get("merchantInvoiceNumber", ""))
        self.manners.creating(ask.fields)
        try:
            payment = self.rules.made(ask.merchant, wish_of(ask.fields))
        except Refusal:
            if reused:
                self.manners.create_refused(ask.merchant, ask.fields)
            raise
        self.manners.created(ask.merchant, payment, reused=reused)
        if payment.mode == m.MODE_WITH_AGREEMENT and not self.rules.rules.charge_page:
            self.rules.page.confirm(payment, "")
        return payment

    def execute(self, ask: Ask, reference: str) -> Payment:
        """Take the money, or make the agreement."""
        known = self.rules.payments.get(reference)
        if known is not None and known.merchant == ask.merchant:
            self.manners.executing(known)
        payment = self.rules.execute(ask.merchant, reference)
        payment.execute_answered = ask.is_heard and not payment.is_agreement
        return payment

    def query(self, ask: Ask, reference: str) -> Payment:
        """A payment as it is."""
        payment = self.rules.query(ask.merchant, reference)
        self.manners.queried(payment)
        return payment

    def found(self, ask: Ask, trx_id: str) -> tuple[Payment, Refund | None]:
        """The payment of a trxID, and the refund where it is a refund's."""
        if ask.stale:
            raise Refusal("2033")
        return self.rules.search(ask.merchant, trx_id)

    def refund(self, ask: Ask, payment_id: str, trx_id: str, amount: str) -> tuple[Payment, Refund]:
        """Give back part or all."""
        fields = {**ask.fields, "amount": amount}
        refund = self.rules.refund(ask.merchant, payment_id, trx_id, fields)
        payment = self.rules.payments[payment_id]
        self.manners.refunded(ask.merchant, payment)
        return payment, refund

    def refunds(self, ask: Ask, payment_id: str, trx_id: str) -> tuple[Payment, Sequence[Refund]]:
        """What was given back so far."""
        payment = self.rules.refundable(ask.merchant, payment_id, trx_id)
        self.manners.refund_looked_at(ask.merchant, payment)
        return payment, payment.refunds[:-1] if ask.stale else payment.refunds
