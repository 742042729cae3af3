"""Nagad as a gateway of the sandbox: keys, rules, wire and pages put together."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.routing import BaseRoute

from vextrus_payments.gateways.nagad import models as m
from vextrus_payments_sandbox.exchange import Exchange
from vextrus_payments_sandbox.fault_kinds import PAGE
from vextrus_payments_sandbox.nagad.api import OPERATIONS, NagadApi
from vextrus_payments_sandbox.nagad.keys import GATEWAY_PUBLIC, MERCHANT_PRIVATE, KeyFolder
from vextrus_payments_sandbox.nagad.pages import PAGE_PATH, NagadPages
from vextrus_payments_sandbox.nagad.records import GATEWAY, Merchant, Payment, Refusal, Rules
from vextrus_payments_sandbox.nagad.rules import NagadRules, state_of
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

FIRST: Final = "SandboxMerchant"
"""The name of the merchant that is there from the start."""


class NagadSandbox:
    """The Nagad gateway of one sandbox. Its keys are made, or read, when they are first needed."""

    name = GATEWAY
    operations: Sequence[str] = OPERATIONS
    is_one_of_its_kind = True

    def __init__(self, world: World, exchange: Exchange, rules: Rules, keys: KeyFolder) -> None:
        self.folder = keys
        self.rules = NagadRules(world, rules, ordered=lambda: exchange.faults.take(GATEWAY, PAGE))
        self._merchants: dict[str, Merchant] = {}
        self.names: list[str] = [FIRST]
        """The merchants' names; their keys are made when they are first needed."""
        self.api = NagadApi(
            world, self.rules, exchange, gateway=self._gateway_key, merchants=lambda: self.merchants
        )
        self.pages = NagadPages(self.rules)

    @property
    def merchants(self) -> dict[str, Merchant]:
        """The merchant accounts by id: one to begin with."""
        for index in range(len(self._merchants), len(self.names)):
            if index == 0:
                merchant = Merchant(self.folder.keys.merchant.public)
            else:
                name = self.names[index]
                merchant = Merchant(
                    self.folder.merchant(index + 1).public,
                    merchant_id=f"68{index:09d}{index + 1:04d}",
                    number=f"01{index:09d}",
                    name=name,
                    till=name,
                )
            self._merchants[merchant.merchant_id] = merchant
        return self._merchants

    def admit(self, name: str) -> None:
        """One more merchant, with a number, keys and an account of its own."""
        self.names.append(checked_merchant(name, self.names))

    def _gateway_key(self) -> rsa.RSAPrivateKey:
        return self.folder.keys.gateway.private

    def routes(self) -> Sequence[BaseRoute]:
        """The API under both its mounts, and the hosted page."""
        return [*self.api.routes(), *self.pages.routes()]

    def rows(self) -> Iterable[BookRow]:
        """Its payments for the books."""
        return self.rules.rows()

    def row(self, handle: str) -> BookRow | None:
        """The payment of a reference."""
        return self.rules.row(handle)

    def approve(self, reference: str, outcome: str, wallet: str | None) -> Mapping[str, Any]:
        """Do what a payer would do on the hosted page, or end what is under way."""
        return self.pages.approve(self._payment(reference), outcome, wallet)

    def portal(self, reference: str, action: str, amount: str | None) -> Mapping[str, Any]:
        """Refund as the merchant himself: under the same rules, past the API and its log."""
        payment = self._payment(reference)
        if action != "refund":
            raise SandboxError("action is refund: Nagad holds nothing that could be captured or voided")
        amount_minor = to_paisa(amount or to_text(payment.captured_minor - payment.refunded_minor))
        why = "amount is taka with up to two decimals"
        if amount_minor is not None:
            try:
                made = self.rules.give_back(payment, amount_minor, "portal")
            except Refusal as refusal:
                why = f"refused with code {refusal.code}: {refusal.detail}"
            else:
                return {
                    "refund_transaction_id": made.trx_id,
                    "amount": to_text(made.amount_minor),
                    "state": state_of(payment).value,
                }
        raise SandboxError(why, 409)

    def walk_in(
        self, amount: str, channel: str, wallet: str, reference: str, merchant: str = ""
    ) -> Mapping[str, Any]:
        """Nagad announces nothing, so a payment past the API would be seen by nobody."""
        raise SandboxError("Nagad has no webhook: what is paid past its API, the sandbox does not play", 409)

    def page_url(self, reference: str, url: str) -> str | None:
        """Where the payer pays, as long as he can."""
        payment = self.rules.payments.get(reference)
        open_now = payment is not None and self.rules.page_open(payment)
        return url + PAGE_PATH + reference if open_now else None

    def describe(self, url: str) -> Mapping[str, str]:
        """What a client needs: the base URL before ``/api/dfs`` (for ``NAGAD_API_URL``), and its keys' files."""
        return self._facts(next(iter(self.merchants.values())), url)

    def merchants_at(self, url: str) -> Sequence[MerchantFacts]:
        """Every merchant."""
        return [
            MerchantFacts(one.name, merchant_account(GATEWAY, one.till), self._facts(one, url))
            for one in self.merchants.values()
        ]

    def _facts(self, merchant: Merchant, url: str) -> Mapping[str, str]:
        number = list(self.merchants).index(merchant.merchant_id) + 1
        private = self.folder.path(MERCHANT_PRIVATE) if number == 1 else self.folder.merchant_path(number)
        return {
            "base_url": url + m.CONTEXT_PATH,
            "merchant_id": merchant.merchant_id,
            "merchant_private_key_file": private,
            "gateway_public_key_file": self.folder.path(GATEWAY_PUBLIC),
        }

    def notes(self) -> Mapping[str, Any]:
        """The manners missed; Nagad grants no tokens."""
        return {"manners": list(self.api.manners), "owed": self.api.manners.waiting()}

    def reset(self) -> None:
        """Forget every payment and missed manner; the keys stay."""
        self.rules.reset()
        self.api.reset()

    def _payment(self, reference: str) -> Payment:
        payment = self.rules.payments.get(reference)
        if payment is None:
            raise SandboxError("there is no payment with this reference", 404)
        return payment
