"""The sandbox's bKash as a world of the crash simulator: the same rules and the same wire, on virtual time.

    from vextrus_payments_sandbox.simulated import bkash

    Setting(worlds=[bkash], story=...)

What differs from the sandbox that `vextrus-pay sandbox` starts: every tenant is a merchant of his own, and bKash's
refusal of a second payment of the same payer and amount within two minutes is off unless asked for
(`world_options={"duplicate_window_s": 120}`), because it would hide a double charge. `world_options={"api_version":
"v2"}` puts the merchants on Tokenized Checkout v2, and `{"api_version": {"acme": "v1", "zeta": "v2"}}` each on his own.
`world_options={"payouts": "checkout"}` lets them pay out below the root of the checkout product, `"tokenized"` below
that of the tokenized host; `"payout_fee_minor"` is what one to a customer costs. `world_options={"either_door": True}`
lets messages of the recurring platform in (`bkash_recurring/simulated.py`).
"""

import hmac
import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final

from starlette.applications import Starlette

from vextrus_payments.config import GatewayConfig
from vextrus_payments.gateways.base import Adapter
from vextrus_payments.gateways.bkash import BkashConfig, adapter
from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.gateways.bkash import payout_models as p
from vextrus_payments.gateways.bkash import v2_models as v2
from vextrus_payments.secret import Secret
from vextrus_payments.testing.simulation import (
    Consent,
    Disbursement,
    HttpAnswer,
    HttpAsk,
    Movement,
    Notice,
    WireFact,
    WorldPorts,
)
from vextrus_payments_sandbox.bkash.api import BkashApi
from vextrus_payments_sandbox.bkash.pages import BkashPages
from vextrus_payments_sandbox.bkash.records import GATEWAY, Payment, Refusal, Rules, State
from vextrus_payments_sandbox.bkash.rules import BkashRules
from vextrus_payments_sandbox.bkash.tokens import GRANTS_PER_WINDOW, GrantLog, Merchant
from vextrus_payments_sandbox.bkash_recurring.records import numbered
from vextrus_payments_sandbox.exchange import Exchange
from vextrus_payments_sandbox.faults import FaultPlans
from vextrus_payments_sandbox.simulated_facts import DIRECTIONS, PAYOUT_READERS, READERS
from vextrus_payments_sandbox.simulated_wire import GOOD, POOR, VirtualSleeper, carried, read_object
from vextrus_payments_sandbox.world import SandboxClock, World, to_text

_HARD_LIMIT_S: Final = 60.0
"""Thirty seconds of bKash's own and thirty of margin: what the adapter's capabilities say."""
_LIVE_HOST: Final = "tokenized.pay.bka.sh"
_PAYOUT_ROOTS: Final[Mapping[str, str]] = {
    "checkout": p.CHECKOUT_ROOT_PATH,
    "tokenized": p.TOKENIZED_ROOT_PATH,
}


class SimulatedBkash:
    """One bKash, with a merchant for each tenant."""

    gateway: str = GATEWAY
    adapter: Adapter | None = adapter
    effect_limit_s: float = _HARD_LIMIT_S
    grants_an_hour: int | None = GRANTS_PER_WINDOW
    payer_completes: bool = False
    refunds_by_own_id: bool = False

    def __init__(self, ports: WorldPorts, *, mode: str = "sandbox") -> None:
        self.mode = mode
        self.sites: Sequence[tuple[str, int]] = (
            [("127.0.0.1", 21_001)] if mode == "sandbox" else [(_LIVE_HOST, 443)]
        )
        self._ports = ports
        asked = ports.options.get("api_version", "v1")
        self._versions = {
            tenant: asked.get(tenant, "v1") if isinstance(asked, Mapping) else asked
            for tenant in ports.tenants
        }
        self.holds_money = "v2" not in self._versions.values()
        self._merchants = {tenant: _merchant(tenant, mode) for tenant in ports.tenants}
        self._tenants = {merchant.app_key: tenant for tenant, merchant in self._merchants.items()}
        chance = Random(f"{ports.seed}/bkash/{mode}")
        self._world = World(SandboxClock(ports.clock), chance)
        rules = Rules(
            duplicate_window_s=float(ports.options.get("duplicate_window_s", 0)),
            b2c_fee_minor=int(ports.options.get("payout_fee_minor", 0)),
        )
        self._payout_root = _PAYOUT_ROOTS.get(str(ports.options.get("payouts", "")))
        self._rules = BkashRules(self._world, rules, on_completed=self._completed)
        self._relayed = 0
        self._grants = GrantLog(self._world, strict=bool(ports.options.get("strict_grants", False)))
        exchange = Exchange(self._world, FaultPlans(), VirtualSleeper())
        api = BkashApi(self._world, self._rules, self._grants, exchange, list(self._merchants.values()))
        self._pages = BkashPages(self._rules)
        self._app = Starlette(routes=api.routes())

    # --- for the service ------------------------------------------------------------------------------------------

    def config(self, tenant: str) -> GatewayConfig:
        """That merchant's credentials."""
        merchant = self._merchants[tenant]
        host, port = self.sites[0]
        root = f"http://{host}:{port}" if self.mode == "sandbox" else f"https://{host}"
        paying: dict[str, Any] = {}
        if self._payout_root is not None:
            paying = {
                "payout_api_url": root + self._payout_root,
                "payout_app_key": Secret(merchant.app_key),
                "payout_app_secret": Secret(merchant.app_secret),
                "payout_username": Secret(merchant.username),
                "payout_password": Secret(merchant.password),
            }
        if self._ports.options.get("either_door"):
            number = self._ports.tenants.index(tenant) + 1
            paying["recurring_api_key"] = Secret(numbered(number, tenant).api_key)
        return BkashConfig(
            **paying,
            mode=self.mode,  # type: ignore[arg-type] # pydantic reads the word
            api_url=root + (v2.ROOT_PATH if self._versions[tenant] == "v2" else m.ROOT_PATH),
            app_key=Secret(merchant.app_key),
            app_secret=Secret(merchant.app_secret),
            username=Secret(merchant.username),
            password=Secret(merchant.password),
            webhook_secret=Secret(_relay_secret(tenant, self.mode).decode()),
        )

    # --- webhooks: relayed by a service of the merchant's own -----------------------------------------------------

    def _completed(self, payment: Payment) -> None:
        self._relay(
            self._tenants[payment.merchant.app_key],
            payment.trx_id or "",
            payment.amount_minor,
            {"gateway_order_id": payment.invoice, "gateway_reference": payment.payment_id},
        )

    def take_stray(self, tenant: str, amount_minor: int) -> None:
        """A QR payment at the counter."""
        self._relay(tenant, f"QR{self._relayed + 1:08d}", amount_minor, {})

    def sign(self, body: bytes, key: bytes) -> Mapping[str, str]:
        """As the relay does: hex HMAC-SHA256 of the raw body."""
        return {
            "content-type": "application/json",
            "x-webhook-signature": hmac.digest(key, body, "sha256").hex(),
        }

    def _relay(self, tenant: str, transaction_id: str, amount_minor: int, ours: Mapping[str, str]) -> None:
        self._relayed += 1
        told = {
            "id": f"relay-{self._relayed}",
            "type": "payment.success",
            "timestamp": self._ports.clock.now().isoformat(),
            "data": {
                **ours,
                "transaction_id": transaction_id,
                "amount": to_text(amount_minor),
                "currency": m.CURRENCY,
            },
        }
        body = json.dumps(told).encode()
        self._ports.tell(
            self,
            Notice(
                tenant=tenant,
                event_id=f"relay/relay-{self._relayed}",
                headers=self.sign(body, _relay_secret(tenant, self.mode)),
                body=body,
                transaction_id=transaction_id,
                is_stray=not ours,
            ),
        )

    # --- the wire -------------------------------------------------------------------------------------------------

    async def answer(self, ask: HttpAsk) -> HttpAnswer:
        """Carry one request through the sandbox's own application."""
        return await carried(self._app, ask, self.sites[0])

    def token_rejected(self) -> HttpAnswer | None:
        """The front door's answer to an expired token (dossier §3)."""
        return HttpAnswer(401, b'{"message":"The incoming token has expired"}')

    def facts(self, ask: HttpAsk, answer: HttpAnswer) -> Sequence[WireFact]:
        """What the exchange shows, read from its two JSON documents."""
        asked, said = read_object(ask.body), read_object(answer.body)
        tenant = self._tenants.get(ask.headers.get("x-app-key", "") or asked.get("app_key", ""), "")
        reader = READERS.get(ask.path)
        if reader is None and self._payout_root is not None:
            reader = PAYOUT_READERS.get(ask.path)
        return () if reader is None else tuple(reader(asked, said, {"tenant": tenant, "mode": self.mode}))

    # --- payers and books -----------------------------------------------------------------------------------------

    def approve(self, reference: str, how: str) -> bool:
        """Walk the hosted page; `poor` approves with an empty wallet."""
        payment = self._rules.payments.get(reference)
        if payment is None or not self._rules.page_open(payment):
            return False
        wallet = POOR if how == "poor" else self._world.random.choice(GOOD)
        self._pages.approve(payment, "success" if how == "poor" else how, wallet)
        return True

    def change_amount(self, reference: str, amount_minor: int) -> bool:
        """bKash debits another amount than was asked for."""
        payment = self._rules.payments.get(reference)
        if payment is None or payment.state is not State.INITIATED:
            return False
        payment.amount_minor, payment.amount_text = (
            amount_minor,
            f"{amount_minor // 100}.{amount_minor % 100:02d}",
        )
        return True

    def give_back(self, reference: str, amount_minor: int) -> bool:
        """A refund in the merchant portal."""
        payment = self._rules.payments.get(reference)
        if payment is None or payment.trx_id is None:
            return False
        wish = {"amount": to_text(amount_minor), "sku": "portal", "reason": "in the portal"}
        try:
            self._rules.refund(payment.merchant, reference, payment.trx_id, wish)
        except Refusal:
            return False
        return True

    def consents(self) -> Sequence[Consent]:
        """The agreements, ended ones included."""
        return [
            Consent(
                tenant=self._tenants[agreement.merchant.app_key],
                reference=agreement.payment_id,
                agreement_id=agreement.agreement_id,
                ended=agreement.voided_at is not None,
            )
            for agreement in self._rules.agreements.values()
        ]

    def return_params(self, reference: str, verdict: str) -> Mapping[str, str]:
        """As bKash appends them (dossier §4.3, §5)."""
        payment = self._rules.payments.get(reference)
        if payment is not None and payment.api == "v2":
            name = v2.CALLBACK_AGREEMENT if payment.is_agreement else v2.CALLBACK_PAYMENT
            return {name: reference, "status": verdict, "signature": "sig"}
        return {"paymentID": reference, "status": verdict, "signature": "sig", "apiVersion": m.API_VERSION}

    def movements(self) -> Sequence[Movement]:
        """The books' lines that are the merchants': debits, captures, refunds."""
        found = []
        for line in self._world.books.movements:
            kind = {"debit": "capture", "capture": "capture", "refund": "refund"}.get(line.kind)
            if kind is None:
                continue
            payment: Payment = self._rules.payments[line.reference]
            found.append(
                Movement(
                    kind=kind,
                    gateway=self.gateway,
                    mode=self.mode,
                    tenant=self._tenants[payment.merchant.app_key],
                    reference=line.reference,
                    order_id=payment.invoice,
                    amount_minor=line.amount_minor,
                    transaction_id=line.transaction_id,
                    original_transaction_id=payment.trx_id if kind == "refund" else None,
                )
            )
        return found

    def paid_out(self) -> Sequence[Disbursement]:
        """The payouts, and the transfers between the two accounts of a merchant."""
        return [
            Disbursement(
                kind=DIRECTIONS.get(one.transfer_type, "payout"),
                gateway=self.gateway,
                mode=self.mode,
                tenant=self._tenants[one.merchant.app_key],
                order_id=one.invoice,
                amount_minor=one.amount_minor,
                transaction_id=trx_id,
                fee_minor=one.fee_minor,
            )
            for trx_id, one in self._rules.payouts.by_trx.items()
        ]

    def audit(self) -> Sequence[str]:
        """The sandbox's own audit."""
        problems = []
        for payment in self._rules.payments.values():
            lines = [line for line in self._world.books.movements if line.reference == payment.payment_id]
            taken = sum(line.amount_minor for line in lines if line.kind in ("debit", "capture"))
            given = sum(line.amount_minor for line in lines if line.kind == "refund")
            if (taken, given) != (payment.captured_minor, payment.refunded_minor):
                problems.append(f"{payment.payment_id}: the books and the rules part")
        return problems


def bkash(ports: WorldPorts) -> SimulatedBkash:
    """A bKash sandbox."""
    return SimulatedBkash(ports)


def live_bkash(ports: WorldPorts) -> SimulatedBkash:
    """The same at bKash's live host: nothing leaves the machine."""
    return SimulatedBkash(ports, mode="live")


def _merchant(tenant: str, mode: str) -> Merchant:
    return Merchant(
        app_key=f"simulatedAppKey-{mode}-{tenant}",
        app_secret=f"simulatedAppSecret-{mode}-{tenant}",
        username=f"simulatedUser-{mode}-{tenant}",
        password=f"simulated@Password<{mode}>{tenant}",
        name=f"Merchant{tenant}",
    )


def _relay_secret(tenant: str, mode: str) -> bytes:
    return f"simulated-relay-secret-of-{tenant}-in-{mode}".encode()
