"""The sandbox's SSLCommerz as a world of the crash simulator: the same rules and the same wire, on virtual time.

    from vextrus_payments_sandbox.sslcommerz.simulated import sslcommerz

    Setting(worlds=[sslcommerz], story=...)

What differs from the sandbox that `vextrus-pay sandbox` starts: every tenant is a store of his own; a page lives as
long as the adapter takes it to; every end of a try is announced, whether or not its session named an address (the panel
of a real store holds one); and now and then a payer fails once before he pays, is charged twice, is taken for risky, or
pays after his browser said that he had not. A refund takes a while (``world_options={"refund_takes_s": 20}``).

A payment goes by the reference that its session carries in ``value_d``: nothing else of it is ours alone.
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from starlette.applications import Starlette

from vextrus_payments.config import GatewayConfig
from vextrus_payments.gateways.base import Adapter
from vextrus_payments.gateways.sslcommerz import SslcommerzConfig, adapter
from vextrus_payments.gateways.sslcommerz import models as m
from vextrus_payments.gateways.sslcommerz.refunds import refund_number
from vextrus_payments.gateways.sslcommerz.signature import read_post
from vextrus_payments.gateways.sslcommerz.webhook import event_of
from vextrus_payments.payment import RefundCall
from vextrus_payments.secret import Secret
from vextrus_payments.testing.simulation import (
    Consent,
    HttpAnswer,
    HttpAsk,
    Movement,
    Notice,
    WireFact,
    WorldPorts,
)
from vextrus_payments_sandbox.exchange import Exchange
from vextrus_payments_sandbox.faults import FaultPlans
from vextrus_payments_sandbox.simulated_wire import GOOD, POOR, VirtualSleeper, carried, read_object
from vextrus_payments_sandbox.sslcommerz import wallets
from vextrus_payments_sandbox.sslcommerz.amounts import after_fee, read_amount, write_amount
from vextrus_payments_sandbox.sslcommerz.api import SslcommerzApi
from vextrus_payments_sandbox.sslcommerz.channels import CHANNELS
from vextrus_payments_sandbox.sslcommerz.invoices import Invoices
from vextrus_payments_sandbox.sslcommerz.records import GATEWAY, Attempt, Merchant, Rules, Session
from vextrus_payments_sandbox.sslcommerz.refunds import Refunds
from vextrus_payments_sandbox.sslcommerz.rules import SslcommerzRules
from vextrus_payments_sandbox.sslcommerz.signing import KEY, SIGN, SIGN_SHA2, signed
from vextrus_payments_sandbox.sslcommerz.writing import moment_id, posted
from vextrus_payments_sandbox.world import SandboxClock, World

_HARD_LIMIT_S: Final = 120.0
"""Sixty seconds of SSLCommerz's own and sixty of margin: what the adapter's capabilities say."""
_LIVE_HOST: Final = "securepay.sslcommerz.com"
_DAY_S: Final = 86_400.0
_REFUND_TAKES_S: Final = 20.0
_COURSES: Final = ("",) * 6 + (
    "risky",
    "charged_twice",
    "late_success",
    "unknown_then_paid",
    "never_returns",
)
_FAILS_FIRST: Final = 0.15
_FORM: Final = {"content-type": "application/x-www-form-urlencoded"}
_CAME: Final = {"success": "success", "cancel": "cancel"}
_SIGNED_BY: Final = frozenset({SIGN, SIGN_SHA2, KEY})


class SimulatedSslcommerz:
    """One SSLCommerz, with a store for each tenant."""

    gateway: str = GATEWAY
    adapter: Adapter | None = adapter
    effect_limit_s: float = _HARD_LIMIT_S
    grants_an_hour: int | None = None
    payer_completes: bool = True
    refunds_by_own_id: bool = True
    refunds_are_found: bool = False
    """A refund whose answer was lost can be asked for by nothing that we know (dossier §1.8): a person has to look."""

    def __init__(self, ports: WorldPorts, *, mode: str = "sandbox") -> None:
        self.mode = mode
        self.sites: Sequence[tuple[str, int]] = (
            [("127.0.0.1", 21_005)] if mode == "sandbox" else [(_LIVE_HOST, 443)]
        )
        self._ports = ports
        self._stores = {
            tenant: Merchant(f"{mode}store{number:03d}", f"{mode} fake password {number}", tenant, tenant)
            for number, tenant in enumerate(ports.tenants, start=1)
        }
        self._tenants = {store.store_id: tenant for tenant, store in self._stores.items()}
        self._chance = Random(f"{ports.seed}/sslcommerz/{mode}/payers")
        chance = Random(f"{ports.seed}/sslcommerz/{mode}")
        self._world = World(SandboxClock(ports.clock), chance, more_wallets=wallets.WALLETS)
        takes_s = float(ports.options.get("refund_takes_s", _REFUND_TAKES_S))
        self._rules = SslcommerzRules(self._world, Rules(page_life_s=_DAY_S, refund_takes_s=takes_s))
        self._refunds = Refunds(self._rules)
        self._rules.on_ended = self._ended
        api = SslcommerzApi(
            self._world,
            self._rules,
            self._refunds,
            Invoices(self._rules),
            Exchange(self._world, FaultPlans(), VirtualSleeper()),
            {store.store_id: store for store in self._stores.values()},
        )
        self._app = Starlette(routes=api.routes())
        self._is_read = False
        self._reference_of: dict[str, str] = {}
        """bank_tran_id -> value_d, as the wire has shown them together."""

    # --- for the service ------------------------------------------------------------------------------------------

    def config(self, tenant: str) -> GatewayConfig:
        """That store's id and password."""
        store = self._stores[tenant]
        host, port = self.sites[0]
        return SslcommerzConfig(
            mode=self.mode,  # type: ignore[arg-type] # pydantic reads the word
            api_url=f"http://{host}:{port}" if self.mode == "sandbox" else f"https://{host}",
            store_id=store.store_id,
            store_password=Secret(store.password),
        )

    # --- notifications --------------------------------------------------------------------------------------------

    def _ended(self, session: Session, attempt: Attempt) -> None:
        if not self._is_read:
            self._tell(session.merchant, posted(session, attempt), is_stray=False)

    def take_stray(self, tenant: str, amount_minor: int) -> None:
        """Somebody pays an invoice that was made in the panel: its tran_id is none of ours."""
        store, now = self._stores[tenant], self._ports.clock.now()
        tail = self._world.text("0123456789", 15)
        amount = write_amount(amount_minor)
        fields = {
            **dict.fromkeys(m.SIGNED_FIELDS[m.Status.VALID], ""),
            "tran_id": f"PANEL{tail}",
            "status": m.Status.VALID.value,
            "tran_date": m.time_text(now),
            "store_id": store.store_id,
            "bank_tran_id": moment_id(now, tail),
            "val_id": moment_id(now, tail[::-1]),
            "amount": amount,
            "store_amount": amount,
            "currency": m.CURRENCY,
            "currency_type": m.CURRENCY,
            "currency_amount": amount,
            "currency_rate": "1.0000",
            "base_fair": "0.00",
            "risk_level": "0",
            "risk_title": "Safe",
        }
        self._tell(store, signed(fields, fields, store.password), is_stray=True)

    def _tell(self, store: Merchant, fields: Mapping[str, str], *, is_stray: bool) -> None:
        body = urlencode(fields).encode("ascii")
        inside = {name: fields[name] for name in fields[KEY].split(",")}
        self._ports.tell(
            self,
            Notice(
                tenant=self._tenants[store.store_id],
                event_id=event_of(inside).event_id,
                headers=_FORM,
                body=body,
                transaction_id=fields.get("bank_tran_id") or fields["tran_id"],
                is_stray=is_stray,
            ),
        )

    def sign(self, body: bytes, key: bytes) -> Mapping[str, str]:
        """Both signatures stand in the body (see :meth:`forge`); a header says only what it is."""
        return _FORM

    def forge(self, notice: Notice, how: str, rng: Random) -> bytes:
        """The body after a stranger had it: one signed field altered, signed by himself, or not signed at all."""
        fields = read_post(notice.body)
        plain = {name: value for name, value in fields.items() if name not in _SIGNED_BY}
        if how == "unsigned":
            return urlencode(plain).encode("ascii")
        if how == "foreign_key":
            names = fields[KEY].split(",")
            return urlencode(signed(plain, names, "a stranger's own password")).encode("ascii")
        name = rng.choice(sorted(fields[KEY].split(",")))
        return urlencode({**fields, name: fields[name] + rng.choice("019X")}).encode("ascii")

    # --- the wire -------------------------------------------------------------------------------------------------

    async def answer(self, ask: HttpAsk) -> HttpAnswer:
        """Carry one request through the sandbox's own application."""
        answer = await carried(self._app, ask, self.sites[0])
        said = read_object(answer.body)
        if ask.path == m.PATH_VALIDATION and said.get("value_d"):
            self._reference_of[str(said.get("bank_tran_id"))] = str(said["value_d"])
        return answer

    def token_rejected(self) -> HttpAnswer | None:
        """SSLCommerz has no tokens."""
        return None

    def facts(self, ask: HttpAsk, answer: HttpAnswer) -> Sequence[WireFact]:
        """What the exchange shows."""
        said = read_object(answer.body)
        asked = dict(parse_qsl(ask.query or ask.body.decode("utf-8", "replace")))
        who: dict[str, Any] = {"tenant": self._tenants.get(asked.get(m.STORE_ID, ""), ""), "mode": self.mode}
        if ask.path == m.PATH_SESSION:
            return _created(asked, said, who)
        if ask.path == m.PATH_VALIDATION:
            return _executed(said, who)
        if ask.path == m.PATH_QUERY and m.REFUND_AMOUNT in asked:
            return self._refunded(asked, said, who)
        return ()

    def _refunded(
        self, asked: Mapping[str, str], said: Mapping[str, Any], who: Mapping[str, Any]
    ) -> Sequence[WireFact]:
        """What is accepted is refunded after a while: here nothing ends otherwise."""
        reference = self._reference_of.get(asked.get(m.BANK_TRAN_ID, ""), "")
        amount = read_amount(asked[m.REFUND_AMOUNT]) or 0
        facts = [WireFact(kind="refund_asked", reference=reference, amount_minor=amount, **who)]
        accepted = said.get("status") == m.RefundAnswerStatus.SUCCESS.value
        if accepted and said.get("refund_ref_id"):
            facts.append(
                WireFact(
                    kind="refunded",
                    reference=reference,
                    amount_minor=amount,
                    transaction_id=str(said["refund_ref_id"]),
                    **who,
                )
            )
        return facts

    # --- payers and books -----------------------------------------------------------------------------------------

    def approve(self, reference: str, how: str) -> bool:
        """Walk the hosted page, in one go."""
        session = self._rules.named(reference)
        if session is None or not self._rules.page_open(session):
            return False
        if how == "cancel":
            self._rules.end(session, m.Status.CANCELLED)
        elif how == "failure":
            self._rules.fail(session, wallets.BLOCKED)
        elif how == "poor":
            self._pay(session, POOR, "")
        else:
            if self._chance.random() < _FAILS_FIRST:
                self._rules.fail(session, wallets.WRONG_CODE)  # and he tries again, on the same page
            self._pay(session, self._chance.choice(GOOD), self._chance.choice(_COURSES))
        return True

    def _pay(self, session: Session, number: str, outcome: str) -> None:
        wallet = self._world.wallets[number]
        channel = next(code for code in session.channels if CHANNELS[code].takes_cards is False)
        self._rules.choose(session, channel, number)
        session.outcome = outcome
        self._rules.give_code(session, wallet.otp)

    def change_amount(self, reference: str, amount_minor: int) -> bool:
        """SSLCommerz takes another amount than was asked for."""
        session = self._rules.named(reference)
        if session is None or not self._rules.page_open(session) or session.attempts:
            return False
        session.amount_minor = session.currency_minor = amount_minor
        return True

    def give_back(self, reference: str, amount_minor: int) -> bool:
        """Not to be had: what went back in the panel, no look-up shows (dossier §1.7, §1.8)."""
        return False

    def consents(self) -> Sequence[Consent] | None:
        """Payers can give none."""
        return None

    def correlation_of(self, call: RefundCall) -> str:
        """How a refund of ours is called here."""
        return refund_number(call)

    def return_params(self, reference: str, verdict: str) -> Mapping[str, str]:
        """What the address of the return says (dossier §1.3), true or not."""
        return {"vextrus_came": _CAME.get(verdict, "fail"), "vextrus_ref": reference}

    def return_form(self, reference: str, verdict: str) -> Mapping[str, str]:
        """What the browser posts there: the last try's fields, where they say the same; else what anybody can type."""
        session = self._rules.named(reference)
        last = session.attempts[-1] if session is not None and session.attempts else None
        if session is None or last is None or (verdict == "success") is not last.is_paid:
            return {"status": {"success": "VALID", "cancel": "CANCELLED"}.get(verdict, "FAILED")}
        return posted(session, last)

    def movements(self) -> Sequence[Movement]:
        """The books' lines that are the stores': debits and refunds."""
        self._is_read = True  # what comes due by a look into the books is news to nobody
        self._rules.settle_due()
        self._refunds.settle_due()
        self._is_read = False
        found = []
        for line in self._world.books.movements:
            session = self._rules.sessions[line.reference]
            refund = self._refunds.refunds.get(line.transaction_id) if line.kind == "refund" else None
            found.append(
                Movement(
                    kind="refund" if refund is not None else "capture",
                    gateway=self.gateway,
                    mode=self.mode,
                    tenant=self._tenants[session.merchant.store_id],
                    reference=session.values.get("value_d", ""),
                    order_id=session.tran_id,
                    amount_minor=line.amount_minor,
                    transaction_id=line.transaction_id,
                    original_transaction_id=None if refund is None else refund.bank_tran_id,
                    correlation=None if refund is None else refund.trans_id,
                )
            )
        return found

    def fees_minor(self) -> int:
        """What SSLCommerz keeps when it pays a store out; told with each payment as its `store_amount` (§1.4)."""
        return sum(
            len(session.paid) * (session.amount_minor - after_fee(session.amount_minor))
            for session in self._rules.sessions.values()
        )

    def audit(self) -> Sequence[str]:
        """The sandbox's own audit."""
        return self._world.audit()


def sslcommerz(ports: WorldPorts) -> SimulatedSslcommerz:
    """An SSLCommerz sandbox."""
    return SimulatedSslcommerz(ports)


def live_sslcommerz(ports: WorldPorts) -> SimulatedSslcommerz:
    """The same at SSLCommerz's live host: nothing leaves the machine."""
    return SimulatedSslcommerz(ports, mode="live")


def _created(asked: Mapping[str, str], said: Mapping[str, Any], who: Mapping[str, Any]) -> Sequence[WireFact]:
    if said.get("status") != m.SessionStatus.SUCCESS.value:
        return ()
    return [
        WireFact(
            kind="created",
            reference=asked.get("value_d", ""),
            order_id=asked.get(m.TRAN_ID, ""),
            amount_minor=read_amount(asked.get("total_amount", "")) or 0,
            **who,
        )
    ]


def _executed(said: Mapping[str, Any], who: Mapping[str, Any]) -> Sequence[WireFact]:
    if said.get("status") not in {status.value for status in m.PAID}:
        return ()
    return [
        WireFact(
            kind="executed",
            reference=str(said.get("value_d", "")),
            amount_minor=read_amount(str(said.get("amount", ""))) or 0,
            transaction_id=str(said.get("bank_tran_id", "")),
            **who,
        )
    ]
