"""A shop that pays out, against the sandbox's two accounts per merchant; what is checked is the gateway's own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.flows.shop import Shop, bkash_config
from vextrus_payments import (
    AccountMap,
    Money,
    PayoutOutcome,
    PayoutRequest,
    Side,
    TransferDirection,
    Transferred,
    TransferRequest,
)
from vextrus_payments.capabilities import Feature
from vextrus_payments.gateways.bkash import BkashConfig
from vextrus_payments.testing import FakeClock
from vextrus_payments_sandbox.serve import SandboxServer

RECEIVER = "01770618575"
CHECKOUT = "/v1.2.0-beta/checkout"
TOKENIZED = "/v1.2.0-beta"


def paying_config(server: SandboxServer, root: str = CHECKOUT, **changes: Any) -> BkashConfig:
    """The sandbox's credentials once more, for payouts below `root`."""
    base = bkash_config(server)
    host = base.api_url.removesuffix("/v1.2.0-beta")
    fields = {
        "payout_api_url": host + root,
        "payout_app_key": base.app_key,
        "payout_app_secret": base.app_secret,
        "payout_username": base.username,
        "payout_password": base.password,
        "timeout_s": 30.0,
    }
    return bkash_config(server, **{**fields, **changes})


class PayingShop(Shop):
    """A shop with something to pay out."""

    opening: dict[str, int]
    """What was in the accounts before we came."""

    async def funded(self, amount: str = "1000") -> None:
        """Take a payment and move it to the disbursement account."""
        if (await self.payments.gateway_of("default", "bkash")).capabilities.can(Feature.BALANCE):
            self.opening = await self.held()
        session = await self.approved("INV-FUND", amount)
        await self.payments.execute(session.payment_id)
        made = await self.payments.transfer(
            TransferRequest(
                operation_id="fund",
                gateway="bkash",
                amount=Money(amount),
                direction=TransferDirection.TO_DISBURSEMENT,
            )
        )
        assert isinstance(made, Transferred)

    def wanted(self, operation_id: str = "salary-1", amount: str = "250.50", **changes: Any) -> PayoutRequest:
        """A payout to ask for."""
        fields: dict[str, Any] = {
            "operation_id": operation_id,
            "gateway": "bkash",
            "amount": Money(amount),
            "receiver": RECEIVER,
            "reference": "salary of March",
        }
        return PayoutRequest(**{**fields, **changes})

    async def pay(
        self, operation_id: str = "salary-1", amount: str = "250.50", **changes: Any
    ) -> PayoutOutcome:
        """Ask for it."""
        return await self.payments.payout(self.wanted(operation_id, amount, **changes))

    @property
    def sent(self) -> int:
        """How often the gateway paid out."""
        return self.moved()["payout"]

    def account(self, name: str) -> int:
        """What the ledger's account holds, in paisa; each entry counted once, by id."""
        balance = 0
        for entry in {entry.id: entry for entry in self.entries}.values():
            for posting in entry.postings:
                if posting.account == name:
                    balance += posting.amount.amount_minor * (1 if posting.side is Side.DEBIT else -1)
        return balance

    async def held(self) -> dict[str, int]:
        """What the gateway itself says that it holds, by role, in paisa."""
        told = await self.payments.balance("bkash")
        return {
            account.role.value: account.available.amount_minor
            for account in told.accounts
            if account.available is not None
        }

    async def check_accounts(self, accounts: AccountMap) -> None:
        """Each of the ledger's two accounts is what the gateway holds in it."""
        await self.payments.deliver()
        held = {role: now - self.opening[role] for role, now in (await self.held()).items()}
        clearing = accounts.clearing_of("bkash", self.payments_mode)
        paid_from = accounts.disbursement_of("bkash", self.payments_mode)
        if clearing == paid_from:
            assert self.account(clearing) == sum(held.values())
        else:
            assert (self.account(clearing), self.account(paid_from)) == (
                held["collection"],
                held["disbursement"],
            )
        assert self.server.world.audit() == []

    @property
    def payments_mode(self) -> Any:
        """The mode of all of it."""
        return bkash_config(self.server).mode


@asynccontextmanager
async def paying_shop(
    tmp_path: Path, clock: FakeClock | None = None, *, root: str = CHECKOUT, **changes: Any
) -> AsyncIterator[PayingShop]:
    """A sandbox on a real socket, and a shop that pays out."""
    clock = clock or FakeClock()
    async with SandboxServer(clock=clock, seed=1) as server:
        store = changes.pop("store", f"sqlite:///{tmp_path / 'shop.db'}")
        gateways = changes.pop("gateways", {"bkash": paying_config(server, root)})
        shop = PayingShop(server, store, clock, gateways=gateways, **changes)
        async with shop.payments:
            yield shop
