"""SSLCommerz as a gateway of the sandbox: rules, refunds, wire, pages and IPNs put together."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from starlette.routing import BaseRoute

from vextrus_payments_sandbox.delivery import Courier
from vextrus_payments_sandbox.exchange import Exchange
from vextrus_payments_sandbox.fault_kinds import PAGE
from vextrus_payments_sandbox.sslcommerz.amounts import read_amount, write_amount
from vextrus_payments_sandbox.sslcommerz.api import OPERATIONS, SslcommerzApi
from vextrus_payments_sandbox.sslcommerz.invoices import Invoices
from vextrus_payments_sandbox.sslcommerz.ipn import IpnPost
from vextrus_payments_sandbox.sslcommerz.pages import SslcommerzPages
from vextrus_payments_sandbox.sslcommerz.records import (
    GATEWAY,
    STORE_ID,
    Attempt,
    Merchant,
    Refusal,
    Rules,
    Session,
)
from vextrus_payments_sandbox.sslcommerz.refunds import Refunds
from vextrus_payments_sandbox.sslcommerz.rules import SslcommerzRules
from vextrus_payments_sandbox.sslcommerz.writing import page_url
from vextrus_payments_sandbox.world import (
    BookRow,
    MerchantFacts,
    SandboxError,
    World,
    checked_merchant,
    merchant_account,
)

_STEM: Final = STORE_ID.rstrip("0")


class SslcommerzSandbox:
    """The SSLCommerz gateway of one sandbox."""

    name = GATEWAY
    operations: Sequence[str] = OPERATIONS
    is_one_of_its_kind = False

    def __init__(self, world: World, exchange: Exchange, rules: Rules, courier: Courier) -> None:
        first = Merchant()
        self.merchants: dict[str, Merchant] = {first.store_id: first}
        """The stores by their id: one to begin with."""
        self.rules = SslcommerzRules(world, rules, ordered=lambda: exchange.faults.take(GATEWAY, PAGE))
        self.refunds = Refunds(self.rules)
        self.invoices = Invoices(self.rules)
        self.ipn = IpnPost(world, exchange.faults, courier, exchange.sleeper, rules.default_ipn_url)
        self.api = SslcommerzApi(
            *(world, self.rules, self.refunds, self.invoices, exchange, self.merchants),
            panel_url=lambda: self.ipn.url,
        )
        self.pages = SslcommerzPages(self.rules, self.invoices, self.ipn)
        self.rules.on_ended = self._ended
        world.clock.when_moved += [self.rules.settle_due, self.refunds.settle_due]

    def _ended(self, session: Session, attempt: Attempt) -> None:
        if attempt.is_paid:
            self.api.manners.owe("unvalidated", session.key)
        self.ipn.announce(session, attempt)

    def routes(self) -> Sequence[BaseRoute]:
        """The API and the hosted page."""
        return [*self.api.routes(), *self.pages.routes()]

    def rows(self) -> Iterable[BookRow]:
        """Its sessions for the books."""
        self.refunds.settle_due()
        return self.rules.rows()

    def row(self, handle: str) -> BookRow | None:
        """The session of a session key, a tran_id, a val_id or a bank_tran_id."""
        self.refunds.settle_due()
        return self.rules.row(handle)

    def approve(self, reference: str, outcome: str, wallet: str | None) -> Mapping[str, Any]:
        """Do what a payer would do on the hosted page; the answer holds the form that his browser posts."""
        return self.pages.approve(self._session(reference), outcome, wallet)

    def portal(self, reference: str, action: str, amount: str | None) -> Mapping[str, Any]:
        """Refund in the merchant panel: under the same rules, past the API and its log."""
        session = self._session(reference)
        if action != "refund":
            raise SandboxError("action is refund: SSLCommerz holds nothing that could be captured or voided")
        if not session.paid:
            raise SandboxError("nothing of this session was paid", 409)
        left = {one.bank_tran_id: self.refunds.left(session, one) for one in session.paid}
        wanted = read_amount(amount) if amount else 1
        # Of one that was paid twice, the first transaction that has so much left.
        attempt = next(
            (one for one in session.paid if left[one.bank_tran_id] >= (wanted or 0)), session.paid[0]
        )
        amount_minor = read_amount(amount or write_amount(left[attempt.bank_tran_id])) or 0
        why = ""
        try:
            refund, _ = self.refunds.begin(session, attempt, amount_minor, trans_id="", remarks="portal")
        except Refusal as refusal:
            why = str(refusal)
        else:
            return {
                "refund_ref_id": refund.ref_id,
                "amount": write_amount(refund.amount_minor),
                "state": refund.status.value,
            }
        raise SandboxError(why, 409)

    def walk_in(
        self, amount: str, channel: str, wallet: str, reference: str, merchant: str = ""
    ) -> Mapping[str, Any]:
        """Nobody pays an SSLCommerz store past its API but by an invoice, which is made by the API, too."""
        raise SandboxError(
            "SSLCommerz knows no payment past its API; make an invoice and open its pay_url", 409
        )

    def page_url(self, reference: str, url: str) -> str | None:
        """Where the payer pays, as long as he can."""
        session = self.rules.sessions.get(reference)
        open_now = session is not None and self.rules.page_open(session)
        return page_url(url, reference) if open_now else None

    def describe(self, url: str) -> Mapping[str, str]:
        """What a client needs: the base URL (for ``SSLCOMMERZ_API_URL``) and the fixed, fake credentials."""
        return _facts(next(iter(self.merchants.values())), url)

    def admit(self, name: str) -> None:
        """One more store, with credentials and an account of its own."""
        checked_merchant(name, [one.name for one in self.merchants.values()])
        store_id = f"{_STEM}{len(self.merchants) + 1:03d}"
        self.merchants[store_id] = Merchant(store_id, f"{store_id}@ssl", name, name)

    def merchants_at(self, url: str) -> Sequence[MerchantFacts]:
        """Every store."""
        return [
            MerchantFacts(one.name, merchant_account(GATEWAY, one.till), _facts(one, url))
            for one in self.merchants.values()
        ]

    def notes(self) -> Mapping[str, Any]:
        """The manners missed; SSLCommerz grants no tokens."""
        return {"manners": list(self.api.manners), "owed": self.api.manners.waiting()}

    def reset(self) -> None:
        """Forget every session, refund, invoice and missed manner; the stores stay."""
        self.ipn.reset()
        self.rules.reset()
        self.refunds.reset()
        self.invoices.reset()
        self.api.reset()

    def _session(self, reference: str) -> Session:
        session = self.rules.named(reference)
        if session is None:
            raise SandboxError("there is no session with this key or tran_id", 404)
        return session


def _facts(merchant: Merchant, url: str) -> Mapping[str, str]:
    return {"base_url": url, "store_id": merchant.store_id, "store_password": merchant.password}
