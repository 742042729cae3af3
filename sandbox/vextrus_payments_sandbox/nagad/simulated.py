"""The sandbox's Nagad as a world of the crash simulator: the same rules, pages and seals, on virtual time.

    from vextrus_payments_sandbox.nagad.simulated import nagad

    Setting(worlds=[nagad], story=...)

What differs from the sandbox that `vextrus-pay sandbox` starts: every tenant is a merchant of his own; a page lives as
long as the adapter takes it to; a caller's clock may be off by a day, for how wrong clocks are refused is no question
of money; and now and then the payer is one of those whose payment ends later than his return says.

Ciphertexts differ from run to run (their padding is random, and must be), their lengths and what is inside do not: a
seed plays the same all the same.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from random import Random
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.applications import Starlette

from vextrus_payments.config import GatewayConfig
from vextrus_payments.gateways.base import Adapter
from vextrus_payments.gateways.nagad import NagadConfig, adapter
from vextrus_payments.gateways.nagad import models as m
from vextrus_payments.secret import Secret
from vextrus_payments.testing.simulation import (
    Consent,
    HttpAnswer,
    HttpAsk,
    Movement,
    WireFact,
    WorldPorts,
)
from vextrus_payments_sandbox.exchange import Exchange
from vextrus_payments_sandbox.faults import FaultPlans
from vextrus_payments_sandbox.nagad import sealing, wallets
from vextrus_payments_sandbox.nagad.api import NagadApi
from vextrus_payments_sandbox.nagad.keys import Pair, new_pair
from vextrus_payments_sandbox.nagad.pages import NagadPages
from vextrus_payments_sandbox.nagad.records import GATEWAY, Merchant, Refusal, Rules
from vextrus_payments_sandbox.nagad.rules import NagadRules
from vextrus_payments_sandbox.nagad.writing import return_url
from vextrus_payments_sandbox.simulated_wire import GOOD, POOR, VirtualSleeper, carried, minor_of, read_object
from vextrus_payments_sandbox.world import SandboxClock, World, to_text

_HARD_LIMIT_S: Final = 120.0
"""Sixty seconds of Nagad's own and sixty of margin: what the adapter's capabilities say."""
_LIVE_HOST: Final = "api.mynagad.com"
_DAY_S: Final = 86_400.0
_LATE: Final = tuple(number for number, course in wallets.COURSES.items() if course.settles_after_s)
_LATE_SHARE: Final = 0.15
_VERDICTS: Final = {"success": "Success", "cancel": "Aborted", "failure": "Failed"}


@cache
def _pair(who: str) -> Pair:
    """A key pair for the life of this process: to make one takes longer than a whole run."""
    return new_pair()


@cache
def _texts(who: str) -> tuple[str, str]:
    return _pair(who).private_text(), _pair(GATEWAY).public_text()


class SimulatedNagad:
    """One Nagad, with a merchant for each tenant."""

    gateway: str = GATEWAY
    adapter: Adapter | None = adapter
    effect_limit_s: float = _HARD_LIMIT_S
    grants_an_hour: int | None = None
    payer_completes: bool = True
    refunds_by_own_id: bool = False

    def __init__(self, ports: WorldPorts, *, mode: str = "sandbox") -> None:
        self.mode = mode
        self.sites: Sequence[tuple[str, int]] = (
            [("127.0.0.1", 21_004)] if mode == "sandbox" else [(_LIVE_HOST, 443)]
        )
        self._names = {
            tenant: f"{self.mode}-{number}" for number, tenant in enumerate(ports.tenants, start=1)
        }
        self._merchants = {
            tenant: Merchant(
                _pair(who).public, f"6800000000{number:05d}", "01000000000", name=f"Merchant{number}"
            )
            for number, (tenant, who) in enumerate(self._names.items(), start=1)
        }
        self._tenants = {merchant.merchant_id: tenant for tenant, merchant in self._merchants.items()}
        chance = Random(f"{ports.seed}/nagad/{mode}")
        self._world = World(SandboxClock(ports.clock), chance, more_wallets=wallets.WALLETS)
        self._rules = NagadRules(self._world, Rules(window_s=_DAY_S, page_life_s=_DAY_S))
        self._late_share = float(ports.options.get("late_share", _LATE_SHARE))
        api = NagadApi(
            self._world,
            self._rules,
            Exchange(self._world, FaultPlans(), VirtualSleeper()),
            gateway=lambda: _pair(GATEWAY).private,
            merchants=lambda: {one.merchant_id: one for one in self._merchants.values()},
        )
        self._pages = NagadPages(self._rules)
        self._app = Starlette(routes=api.routes())

    # --- for the service ------------------------------------------------------------------------------------------

    def config(self, tenant: str) -> GatewayConfig:
        """That merchant's id and keys."""
        private, public = _texts(self._names[tenant])
        host, port = self.sites[0]
        return NagadConfig(
            mode=self.mode,  # type: ignore[arg-type] # pydantic reads the word
            api_url=f"http://{host}:{port}{m.CONTEXT_PATH}" if self.mode == "sandbox" else f"https://{host}",
            merchant_id=self._merchants[tenant].merchant_id,
            public_key=public,
            private_key=Secret(private),
        )

    # --- the wire -------------------------------------------------------------------------------------------------

    async def answer(self, ask: HttpAsk) -> HttpAnswer:
        """Carry one request through the sandbox's own application."""
        return await carried(self._app, ask, self.sites[0])

    def token_rejected(self) -> HttpAnswer | None:
        """Nagad has no tokens."""
        return None

    def facts(self, ask: HttpAsk, answer: HttpAnswer) -> Sequence[WireFact]:
        """What the exchange shows to somebody who holds the keys of both sides."""
        asked, said = read_object(ask.body), read_object(answer.body)
        tenant = self._tenants.get(ask.headers.get("x-km-mc-id", ""), "")
        who: dict[str, Any] = {"tenant": tenant, "mode": self.mode}
        reference = ask.path.rpartition("/")[2]
        if m.PATH_COMPLETE in ask.path:
            return self._completed(asked, said, reference, who)
        if m.PATH_VERIFY in ask.path:
            return _verified(said, reference, who)
        if m.PATH_CANCEL in ask.path:
            named = dict(parse_qsl(ask.query))
            return self._refunded(asked, said, named.get("paymentRefId", ""), who)
        return ()

    def _completed(
        self, asked: dict[str, Any], said: dict[str, Any], reference: str, who: dict[str, Any]
    ) -> Sequence[WireFact]:
        inside = _inside(asked.get("sensitiveData"), _pair(GATEWAY))
        if not said.get("callBackUrl"):
            return ()
        order_id, amount = str(inside.get("orderId", "")), minor_of(inside.get("amount"))
        return [WireFact(kind="created", reference=reference, order_id=order_id, amount_minor=amount, **who)]

    def _refunded(
        self, asked: dict[str, Any], said: dict[str, Any], reference: str, who: dict[str, Any]
    ) -> Sequence[WireFact]:
        inside = _inside(asked.get("sensitiveDataCancelRequest"), _pair(GATEWAY))
        amount = minor_of(inside.get("cancelAmount"))
        facts = [WireFact(kind="refund_asked", reference=reference, amount_minor=amount, **who)]
        own = self._names.get(who["tenant"])
        told = _inside(said.get("sensitiveData"), _pair(own)) if own is not None else {}
        if told.get("cancelTrxId"):
            given, transaction_id = minor_of(told.get("cancelAmount")), str(told["cancelTrxId"])
            facts.append(
                WireFact(
                    kind="refunded",
                    reference=reference,
                    amount_minor=given,
                    transaction_id=transaction_id,
                    **who,
                )
            )
        return facts

    # --- payers and books -----------------------------------------------------------------------------------------

    def approve(self, reference: str, how: str) -> bool:
        """Walk the hosted page: the right PIN pays, at once or, for some wallets, later; `poor` has no money."""
        payment = self._rules.payments.get(reference)
        if payment is None or not self._rules.page_open(payment):
            return False
        late = how == "success" and self._world.random.random() < self._late_share
        wallet = POOR if how == "poor" else self._world.random.choice(_LATE if late else GOOD)
        self._pages.approve(payment, "success" if how == "poor" else how, wallet)
        return True

    def change_amount(self, reference: str, amount_minor: int) -> bool:
        """Nagad takes another amount than was asked for."""
        payment = self._rules.payments.get(reference)
        if payment is None or payment.status is not m.Status.READY:
            return False
        payment.amount_minor, payment.amount_text = amount_minor, to_text(amount_minor)
        return True

    def give_back(self, reference: str, amount_minor: int) -> bool:
        """Not to be had: what went back in the portal, Nagad's verify shows without an amount (dossier §7)."""
        return False

    def take_stray(self, tenant: str, amount_minor: int) -> None:
        """Nagad tells nobody of money without an order."""

    def sign(self, body: bytes, key: bytes) -> Mapping[str, str]:
        """Nagad sends no webhooks; whoever says so has nothing to sign with."""
        return {"content-type": "application/json"}

    def consents(self) -> Sequence[Consent] | None:
        """Payers can give none."""
        return None

    def return_params(self, reference: str, verdict: str) -> Mapping[str, str]:
        """As Nagad appends them (dossier §6), true or not."""
        payment = self._rules.payments.get(reference)
        status = _VERDICTS.get(verdict, verdict)
        known = {"payment_ref_id": reference, "status": status, "status_code": "00_0000_000"}
        if payment is None:
            return known
        return {"merchant": payment.merchant.merchant_id, "order_id": payment.order_id, **known}

    def movements(self) -> Sequence[Movement]:
        """The books' lines that are the merchants': debits and refunds."""
        self._rules.settle_due()
        found = []
        for line in self._world.books.movements:
            payment = self._rules.payments[line.reference]
            found.append(
                Movement(
                    kind="refund" if line.kind == "refund" else "capture",
                    gateway=self.gateway,
                    mode=self.mode,
                    tenant=self._tenants[payment.merchant.merchant_id],
                    reference=line.reference,
                    order_id=payment.order_id,
                    amount_minor=line.amount_minor,
                    transaction_id=line.transaction_id,
                    original_transaction_id=payment.issuer_ref if line.kind == "refund" else None,
                )
            )
        return found

    def audit(self) -> Sequence[str]:
        """The sandbox's own audit, and returns that contradict the books."""
        problems = list(self._world.audit())
        for payment in self._rules.payments.values():
            lines = [line for line in self._world.books.movements if line.reference == payment.reference]
            taken = sum(line.amount_minor for line in lines if line.kind == "debit")
            given = sum(line.amount_minor for line in lines if line.kind == "refund")
            if (taken, given) != (payment.captured_minor, payment.refunded_minor):
                problems.append(f"{payment.reference}: the books and the rules part")
            told = return_url(payment, self._rules.rules) or ""
            if "&status=Success&" in told and not payment.is_paid:
                problems.append(f"{payment.reference}: the return says Success of what was not paid")
        return problems


def nagad(ports: WorldPorts) -> SimulatedNagad:
    """A Nagad sandbox."""
    return SimulatedNagad(ports)


def live_nagad(ports: WorldPorts) -> SimulatedNagad:
    """The same at Nagad's live host: nothing leaves the machine."""
    return SimulatedNagad(ports, mode="live")


def _verified(said: dict[str, Any], reference: str, who: dict[str, Any]) -> Sequence[WireFact]:
    if not said.get("issuerPaymentRefNo"):
        return ()
    return [
        WireFact(
            kind="executed",
            reference=reference,
            amount_minor=minor_of(said.get("amount")),
            transaction_id=str(said["issuerPaymentRefNo"]),
            **who,
        )
    ]


def _inside(text: Any, pair: Pair) -> dict[str, Any]:
    """What was sealed for this pair; {} where it was not, or is nothing to read."""
    try:
        return read_object(sealing.decrypted(sealing.unpack(text), pair.private))
    except (Refusal, ValueError):
        return {}
