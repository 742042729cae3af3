"""bKash as a gateway of the sandbox: rules, wire and pages put together."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from starlette.routing import BaseRoute

from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.gateways.bkash import v2_models as v2
from vextrus_payments.gateways.bkash.recurring import models as recurring
from vextrus_payments_sandbox.bkash.answers import page_url
from vextrus_payments_sandbox.bkash.api import OPERATIONS, BkashApi
from vextrus_payments_sandbox.bkash.notices import channel_of, notice_of
from vextrus_payments_sandbox.bkash.pages import BkashPages
from vextrus_payments_sandbox.bkash.records import GATEWAY, Refusal, Rules
from vextrus_payments_sandbox.bkash.rules import BkashRules
from vextrus_payments_sandbox.bkash.tokens import GrantLog, Merchant, numbered
from vextrus_payments_sandbox.exchange import Exchange
from vextrus_payments_sandbox.fault_kinds import PAGE
from vextrus_payments_sandbox.listing import PaidOut
from vextrus_payments_sandbox.subscriptions import Notice
from vextrus_payments_sandbox.world import (
    BookRow,
    MerchantFacts,
    SandboxError,
    World,
    checked_merchant,
    merchant_account,
    to_paisa,
    to_text,
)


class BkashSandbox:
    """The bKash gateway of one sandbox."""

    name = GATEWAY
    operations: Sequence[str] = OPERATIONS
    is_one_of_its_kind = False

    def __init__(
        self,
        world: World,
        exchange: Exchange,
        rules: Rules,
        *,
        strict_manners: bool,
        announce: Callable[[Notice], None],
    ) -> None:
        self.merchant = Merchant()
        self.merchants = {self.merchant.name: self.merchant}
        self.rules = BkashRules(
            world,
            rules,
            on_completed=lambda payment: announce(notice_of(payment)),
            ordered=lambda: exchange.faults.take(GATEWAY, PAGE),
        )
        self.grants = GrantLog(world, strict=strict_manners)
        self.api = BkashApi(world, self.rules, self.grants, exchange, [self.merchant])
        self.pages = BkashPages(self.rules)

    def routes(self) -> Sequence[BaseRoute]:
        """The API; the hosted page lives at ``/`` and is routed by the application."""
        return self.api.routes()

    def rows(self) -> Iterable[BookRow]:
        """Its payments for the books."""
        return self.rules.rows()

    def paid_out(self) -> Iterable[PaidOut]:
        """What merchants sent away."""
        return self.rules.payouts.paid_out()

    def row(self, handle: str) -> BookRow | None:
        """The payment that a paymentID or a trxID names."""
        return self.rules.row(handle)

    def approve(self, reference: str, outcome: str, wallet: str | None) -> Mapping[str, Any]:
        """Do what a payer would do on the hosted page."""
        payment = self.rules.payments.get(reference)
        if payment is None:
            raise SandboxError("there is no payment with this reference", 404)
        return self.pages.approve(payment, outcome, wallet)

    def portal(self, reference: str, action: str, amount: str | None) -> Mapping[str, Any]:
        """Refund, capture or void as the merchant himself: under the same rules, past the API and its log."""
        payment = self.rules.payments.get(reference)
        if payment is None:
            raise SandboxError("there is no payment with this reference", 404)
        if action not in ("refund", "capture", "void"):
            raise SandboxError("action is refund, capture or void")
        try:
            if action == "capture":
                self.rules.capture(payment.merchant, reference)
            elif action == "void":
                self.rules.void(payment.merchant, reference)
            else:
                wanted = amount or to_text(payment.amount_minor - payment.refunded_minor)
                fields = {"amount": wanted, "sku": "portal", "reason": "portal"}
                made = self.rules.refund(payment.merchant, reference, payment.trx_id or "", fields)
                return {"refund_transaction_id": made.trx_id, "amount": to_text(made.amount_minor)}
        except Refusal as refusal:
            why = f"refused with code {refusal.code}: {refusal.message}"
        else:
            return {"state": payment.state.value}
        raise SandboxError(why, 409)

    def walk_in(
        self, amount: str, channel: str, wallet: str, reference: str, merchant: str = ""
    ) -> Mapping[str, Any]:
        """A payer scans the merchant's QR code or dials *247#; the merchant learns it from the webhook alone."""
        amount_minor, payer = to_paisa(amount), self.rules.world.wallet(wallet)
        if not amount_minor:
            raise SandboxError('amount is taka as a text, such as "250.50"')
        if payer is None:
            raise SandboxError("there is no test wallet with this number")
        paid_to = self.merchants.get(merchant or self.merchant.name)
        if paid_to is None:
            raise SandboxError(
                f"there is no merchant of this name; there are {', '.join(self.merchants)}", 404
            )
        try:
            payment = self.rules.walk_in(
                paid_to, amount_minor, payer, channel_of(channel), reference[: m.TEXT_MAX]
            )
        except Refusal as refusal:
            why = f"refused with code {refusal.code}: {refusal.message}"
        else:
            return {"transaction_id": payment.trx_id, "amount": to_text(amount_minor), "channel": channel}
        raise SandboxError(why, 409)

    def page_url(self, reference: str, url: str) -> str | None:
        """Where the payer pays, as long as he can."""
        payment = self.rules.payments.get(reference)
        open_now = payment is not None and self.rules.page_open(payment)
        return page_url(url, payment) if payment is not None and open_now else None

    def describe(self, url: str) -> Mapping[str, str]:
        """What a client needs: the base URL (for ``BKASH_API_URL``) and the fixed, fake credentials."""
        return _facts(self.merchant, url)

    def admit(self, name: str) -> None:
        """One more merchant, with credentials, tokens and an account of its own."""
        merchant = numbered(len(self.merchants) + 1, checked_merchant(name, self.merchants))
        self.merchants[name] = merchant
        self.api.admit(merchant)

    def merchants_at(self, url: str) -> Sequence[MerchantFacts]:
        """Every merchant."""
        return [
            MerchantFacts(
                one.name,
                merchant_account(GATEWAY, one.till),
                _facts(one, url),
                self.rules.payouts.more_of(one),
            )
            for one in self.merchants.values()
        ]

    def notes(self) -> Mapping[str, Any]:
        """The grant log and the manners missed."""
        return self.api.notes()

    def reset(self) -> None:
        """Forget every payment, agreement, grant and missed manner."""
        self.rules.reset()
        self.grants.reset()
        self.api.manners.clear()


def _facts(merchant: Merchant, url: str) -> Mapping[str, str]:
    return {
        "base_url": url + m.ROOT_PATH,
        "v2_base_url": url + v2.ROOT_PATH,
        "recurring_base_url": url + recurring.ROOT_PATH,
        "app_key": merchant.app_key,
        "app_secret": merchant.app_secret,
        "username": merchant.username,
        "password": merchant.password,
    }
