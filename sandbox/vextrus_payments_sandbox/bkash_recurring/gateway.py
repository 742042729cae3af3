"""The recurring platform as a gateway of the sandbox: rules, wire, page and messages put together."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.routing import BaseRoute

from vextrus_payments.gateways.bkash.recurring import models as m
from vextrus_payments_sandbox.bkash_recurring import lists
from vextrus_payments_sandbox.bkash_recurring.api import OPERATIONS, RecurringApi
from vextrus_payments_sandbox.bkash_recurring.pages import RecurringPages, page_url
from vextrus_payments_sandbox.bkash_recurring.posting import Post
from vextrus_payments_sandbox.bkash_recurring.records import GATEWAY, Merchant, Refusal, Rules, numbered
from vextrus_payments_sandbox.bkash_recurring.rules import RecurringRules
from vextrus_payments_sandbox.delivery import Courier
from vextrus_payments_sandbox.exchange import Exchange
from vextrus_payments_sandbox.fault_kinds import PAGE
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


class BkashRecurringSandbox:
    """The recurring platform of one sandbox."""

    name = GATEWAY
    operations: Sequence[str] = OPERATIONS
    is_one_of_its_kind = False

    def __init__(self, world: World, exchange: Exchange, rules: Rules, courier: Courier) -> None:
        first = Merchant()
        self.merchants: dict[str, Merchant] = {first.name: first}
        self.rules = RecurringRules(world, rules, ordered=lambda: exchange.faults.take(GATEWAY, PAGE))
        self.post = Post(world, exchange.faults, courier, exchange.sleeper)
        self.rules.tell = self.post.tell
        self.api = RecurringApi(self.rules, exchange, self.merchants)
        self.pages = RecurringPages(self.rules)

    def routes(self) -> Sequence[BaseRoute]:
        """The API and the consent page."""
        return [*self.api.routes(), *self.pages.routes()]

    def rows(self) -> Iterable[BookRow]:
        """Its subscriptions and payments for the books."""
        return lists.rows(self.rules)

    def row(self, handle: str) -> BookRow | None:
        """The subscription of a request id, the payment of a payment id or a trxID."""
        return lists.row(self.rules, handle)

    def approve(self, reference: str, outcome: str, wallet: str | None) -> Mapping[str, Any]:
        """Do what a payer would do on the consent page."""
        one = self.rules.subscriptions.get(reference)
        if one is None:
            raise SandboxError("there is no subscription with this subscriptionRequestId", 404)
        return self.pages.approve(one, outcome, wallet)

    def portal(self, reference: str, action: str, amount: str | None) -> Mapping[str, Any]:
        """Refund a payment, or cancel a subscription, as bKash's own people would; past the API and its log."""
        why = ""
        try:
            if action == "void" and reference in self.rules.subscriptions:
                one = self.rules.subscriptions[reference]
                self.rules.cancel(one, by="ADMIN")
                return {"state": one.status.value}
            due = self.rules.collections.get(reference)
            if due is None:
                raise SandboxError("there is no payment with this id", 404)
            if action != "refund":
                raise SandboxError("action is refund for a payment, or void for a subscription")
            wanted = to_paisa(amount or to_text(due.amount_minor - due.refunded_minor)) or 0
            self.rules.refund(due, wanted, f"portal{len(self.rules.refund_ids)}")
            return {"refund_transaction_id": due.reverse_trx_id, "amount": to_text(wanted)}
        except Refusal as refusal:
            why = f"refused with code {refusal.code}: {refusal.message}"
        raise SandboxError(why, 409)

    def walk_in(
        self, amount: str, channel: str, wallet: str, reference: str, merchant: str = ""
    ) -> Mapping[str, Any]:
        """Nobody subscribes past the merchant's API."""
        raise SandboxError("bKash's recurring platform knows no payment without a subscription", 409)

    def page_url(self, reference: str, url: str) -> str | None:
        """Where the payer consents, as long as he can."""
        one = self.rules.subscriptions.get(reference)
        return page_url(url, one) if one is not None and self.rules.page_open(one) else None

    def describe(self, url: str) -> Mapping[str, str]:
        """What a client needs: the base URL (for ``BKASH_RECURRING_API_URL``), the API key, the service id."""
        return _facts(next(iter(self.merchants.values())), url)

    def admit(self, name: str) -> None:
        """One more merchant, with an API key and an account of its own."""
        checked_merchant(name, self.merchants)
        self.merchants[name] = numbered(len(self.merchants) + 1, name)

    def merchants_at(self, url: str) -> Sequence[MerchantFacts]:
        """Every merchant."""
        return [
            MerchantFacts(one.name, merchant_account(GATEWAY, one.till), _facts(one, url))
            for one in self.merchants.values()
        ]

    def notes(self) -> Mapping[str, Any]:
        """The manners missed; the platform grants no tokens."""
        return {"manners": list(self.api.manners), "owed": self.api.manners.waiting()}

    def reset(self) -> None:
        """Forget every subscription, payment and missed manner; merchants and the endpoint stay."""
        self.post.reset()
        self.rules.reset()
        self.api.manners.clear()


def _facts(merchant: Merchant, url: str) -> Mapping[str, str]:
    return {
        "base_url": url + m.ROOT_PATH,
        "api_key": merchant.api_key,
        "service_id": str(merchant.service_id),
        "merchant_short_code": merchant.short_code,
    }
