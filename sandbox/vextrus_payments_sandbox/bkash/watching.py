"""What bKash's acceptance test would object to in the calls of this sandbox (dossier §11): seen from its wire."""

from collections.abc import Mapping
from typing import Final

from vextrus_payments.gateways.bkash import models as m
from vextrus_payments_sandbox.bkash.records import GATEWAY, Payment, State
from vextrus_payments_sandbox.bkash.rules import BkashRules
from vextrus_payments_sandbox.bkash.tokens import Merchant
from vextrus_payments_sandbox.manners import PATIENCE_S, Manners, Parting
from vextrus_payments_sandbox.world import World, to_paisa, to_text

_REFERENCES: Final = ("merchantInvoiceNumber", "payerReference")


class BkashManners(Manners):
    """A merchant's manners, call by call. Whatever it is told, it refuses nothing."""

    __slots__ = ("_rules", "asked_status", "unheard")

    def __init__(self, world: World, rules: BkashRules) -> None:
        super().__init__(GATEWAY, world.clock.unskewed)
        self._rules = rules
        self.unheard: set[str] = set()
        """Payments whose last execute gave its caller no answer."""
        self.asked_status: set[str] = set()
        """App keys of merchants that have called refund status."""

    def clear(self) -> None:
        """Forget all of it."""
        super().clear()
        self.unheard.clear()
        self.asked_status.clear()

    def creating(self, fields: Mapping[str, str]) -> None:
        """A create, before its rules are asked: they refuse some of this."""
        invoice = fields.get("merchantInvoiceNumber", "")
        for name in _REFERENCES:
            if any(mark in fields.get(name, "") for mark in m.FORBIDDEN_IN_REFERENCES):
                self.miss("forbidden_characters", invoice, field=name)

    def created(self, merchant: Merchant, payment: Payment, *, reused: bool) -> None:
        """A create that went through, with an invoice number that was `reused`."""
        if not reused:
            return
        self.miss("invoice_reused", payment.payment_id)
        earlier = next(
            other
            for other in self._rules.payments.values()
            if other.merchant == merchant and other.invoice == payment.invoice
        )
        if earlier is not payment and earlier.amount_minor != payment.amount_minor:
            before, now = to_text(earlier.amount_minor), to_text(payment.amount_minor)
            self.miss("amount_changed", payment.payment_id, before=before, now=now)

    def create_refused(self, merchant: Merchant, fields: Mapping[str, str]) -> None:
        """A create that was refused because its invoice number had been used."""
        invoice = fields.get("merchantInvoiceNumber", "")
        self.miss("invoice_reused", invoice)
        amount_minor = to_paisa(fields.get("amount"))
        for other in self._rules.payments.values():
            if other.merchant == merchant and other.invoice == invoice:
                if amount_minor is not None and other.amount_minor != amount_minor:
                    before, now = to_text(other.amount_minor), to_text(amount_minor)
                    self.miss("amount_changed", invoice, before=before, now=now)
                return

    def executing(self, payment: Payment) -> None:
        """An execute, before it changes the payment."""
        reference = payment.payment_id
        self._rules.page_open(payment)  # a page whose time is over has failed
        if payment.state in (State.CANCELLED, State.FAILED, State.EXPIRED):
            self.miss("execute_after_end", reference, state=payment.state.value)
        elif payment.state is State.INITIATED and not payment.verified:
            self.miss("execute_unapproved", reference)
        if payment.executed_at is not None:
            self.miss("execute_repeated", reference)

    def queried(self, payment: Payment) -> None:
        """A query that was answered."""
        reference = payment.payment_id
        if payment.execute_answered and reference not in self.unheard:
            self.miss("query_after_answer", reference)
        self.done("lost_execute", reference)

    def granted(self, *, over_budget: bool) -> None:
        """A grant or refresh, made or refused."""
        if over_budget:
            self.miss("grants", "")

    def refunded(self, merchant: Merchant, payment: Payment) -> None:
        """A refund that went through."""
        if merchant.app_key not in self.asked_status:
            self.owe("refund_unchecked", payment.payment_id)

    def refund_looked_at(self, merchant: Merchant, payment: Payment) -> None:
        """A refund status that was answered."""
        self.done("lost_refund", payment.payment_id)
        self.asked_status.add(merchant.app_key)
        for code, reference in list(self.owed):
            known = self._rules.payments.get(reference)
            if code == "refund_unchecked" and known is not None and known.merchant == merchant:
                self.done(code, reference)

    def paid_out_again(self, invoice: str) -> None:
        """A payout that went through under the invoice number of an earlier one."""
        self.miss("payout_repeated", invoice)

    def looked_for_payouts(self, merchant: Merchant) -> None:
        """A look at a balance or at a payout that was answered: it settles what this merchant does not know."""
        payouts = self._rules.payouts
        for code, invoice in list(self.owed):
            if code == "lost_payout" and not payouts.is_anothers(merchant, invoice):
                self.done(code, invoice)

    def parted(self, operation: str, reference: str, parting: Parting) -> None:
        """A call is over for its caller, with an answer or without. A payout goes by its invoice number."""
        if operation == "payout" and parting.is_open:
            self.owe("lost_payout", reference)
        known = self._rules.payments.get(reference)
        if parting.hung_up and parting.waited_s < PATIENCE_S:
            self.miss("hung_up", reference, operation=operation, seconds=f"{parting.waited_s:.1f}")
        if known is None or known.is_agreement:
            return
        if operation == "execute":
            if parting.is_open:
                self.unheard.add(reference)
                self.owe("lost_execute", reference)
            else:
                self.unheard.discard(reference)
        if operation == "query" and parting.is_open and reference in self.unheard:
            self.owe("lost_execute", reference)  # he asked, and knows as little as before
        if operation == "refund" and parting.is_open:
            self.owe("lost_refund", reference)
