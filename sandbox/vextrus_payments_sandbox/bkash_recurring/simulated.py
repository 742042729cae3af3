"""The sandbox's recurring platform as a world of the crash simulator: the same rules and wire, on virtual time.

    from vextrus_payments_sandbox.bkash_recurring.simulated import bkash_recurring

    Setting(worlds=[bkash_recurring], story=subscription_story)

What differs from the sandbox that `vextrus-pay sandbox` starts: every tenant is a merchant of his own, and a day of the
schedule takes a minute. After the fourth day nothing falls due any more: the rest lies far behind the end of a run.
`world_options={"either_door": True}` sends each message to one of two doors, its own or that of the `bkash` gateway,
which needs bKash's world beside it.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from random import Random
from typing import Any, Final

from starlette.applications import Starlette

from vextrus_payments.config import GatewayConfig
from vextrus_payments.events import collected_order_id
from vextrus_payments.gateways.base import Adapter
from vextrus_payments.gateways.bkash.recurring import (
    BkashRecurringConfig,
    BkashSubscription,
    Frequency,
    adapter,
)
from vextrus_payments.gateways.bkash.recurring import models as m
from vextrus_payments.money import Money
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
from vextrus_payments_sandbox.bkash_recurring.api import RecurringApi
from vextrus_payments_sandbox.bkash_recurring.pages import RecurringPages
from vextrus_payments_sandbox.bkash_recurring.records import (
    GATEWAY,
    Collection,
    Merchant,
    Refusal,
    Rules,
    Subscription,
    numbered,
)
from vextrus_payments_sandbox.bkash_recurring.rules import RecurringRules
from vextrus_payments_sandbox.bkash_recurring.writing import (
    dumps,
    instant,
    news_of_payment,
    news_of_refund,
    news_of_subscription,
)
from vextrus_payments_sandbox.exchange import Exchange
from vextrus_payments_sandbox.faults import FaultPlans
from vextrus_payments_sandbox.simulated_wire import GOOD, POOR, VirtualSleeper, carried, minor_of
from vextrus_payments_sandbox.world import SandboxClock, World

_DAY_TAKES: Final = timedelta(seconds=60)
_LAST_DAY: Final = 3
_NEVER: Final = timedelta(days=3650)
_PAID: Final = frozenset(
    {
        m.PaymentStatus.SUCCEEDED_PAYMENT,
        m.PaymentStatus.RE_SUCCEEDED_PAYMENT,
        m.PaymentStatus.PROCESSING_REFUND,
        m.PaymentStatus.SUCCEEDED_REFUND,
        m.PaymentStatus.FAILED_REFUND,
    }
)


class _ShortDays(RecurringRules):
    """The rules, with days that take a minute."""

    def moment(self, day: date) -> datetime:
        """When of a day it is collected."""
        number = (day - self._begun.astimezone(m.DHAKA).date()).days
        return self._begun + (_NEVER if number > _LAST_DAY else number * _DAY_TAKES)

    def __init__(self, world: World) -> None:
        self._begun = world.now()
        super().__init__(world, Rules(), ordered=lambda: None)


class SimulatedRecurring:
    """One recurring platform, with a merchant for each tenant."""

    gateway: str = GATEWAY
    mode: str = "sandbox"
    adapter: Adapter | None = adapter
    effect_limit_s: float = 120.0
    """What the adapter's capabilities say: sixty seconds, and sixty of margin."""
    grants_an_hour: int | None = None
    payer_completes: bool = True
    refunds_by_own_id: bool = False
    opens_payments: bool = False
    sites: Sequence[tuple[str, int]] = (("127.0.0.1", 21_004),)

    def __init__(self, ports: WorldPorts) -> None:
        self._ports = ports
        self._merchants = {
            tenant: numbered(number, tenant) for number, tenant in enumerate(ports.tenants, start=1)
        }
        self._tenants = {merchant.api_key: tenant for tenant, merchant in self._merchants.items()}
        self._chance = Random(f"{ports.seed}/bkash_recurring")
        self._doors = ("bkash", GATEWAY) if ports.options.get("either_door") else (GATEWAY,)
        self._world = World(SandboxClock(ports.clock), Random(f"{ports.seed}/bkash_recurring/world"))
        self._rules = _ShortDays(self._world)
        self._rules.tell = self._tell
        self._held: dict[str, datetime] = {}
        """When what was agreed to began to hold, by request id."""
        self._strays = 0
        exchange = Exchange(self._world, FaultPlans(), VirtualSleeper())
        self._pages = RecurringPages(self._rules)
        api = RecurringApi(self._rules, exchange, self._merchants)
        self._app = Starlette(routes=api.routes())

    # --- for the service ------------------------------------------------------------------------------------------

    def config(self, tenant: str) -> GatewayConfig:
        """That merchant's API key."""
        host, port = self.sites[0]
        merchant = self._merchants[tenant]
        return BkashRecurringConfig(
            api_url=f"http://{host}:{port}{m.ROOT_PATH}",
            api_key=Secret(merchant.api_key),
            service_id=merchant.service_id,
        )

    def terms(self, rng: Random) -> BkashSubscription:
        """What a payer is asked to agree to: every day of a month, from today or tomorrow on."""
        today = self._ports.clock.now().astimezone(m.DHAKA).date()
        start = today + timedelta(days=rng.choice((0, 0, 1)))
        return BkashSubscription(
            amount=Money("51", m.CURRENCY),
            frequency=Frequency.DAILY,
            start_date=start,
            expiry_date=start + timedelta(days=30),
            first_payment_amount=rng.choice((None, Money("51", m.CURRENCY), Money("10.50", m.CURRENCY))),
        )

    # --- messages -------------------------------------------------------------------------------------------------

    def _tell(self, kind: str, one: Subscription, due: Collection | None, why: str | None) -> None:
        if due is None and one.holds:
            self._held.setdefault(one.key, self._ports.clock.now())
        if due is None:
            fields, subject = news_of_subscription(one, why), one.key
        elif kind == "REFUND":
            fields, subject = news_of_refund(due, one), due.reverse_trx_id
        else:
            fields, subject = news_of_payment(due, one, why), due.trx_id or due.key
        self._post(self._tenants[one.merchant.api_key], fields, subject)

    def take_stray(self, tenant: str, amount_minor: int) -> None:
        """What was collected under a subscription that nobody here knows: another system's of the same merchant."""
        self._strays += 1
        merchant, now = self._merchants[tenant], self._world.now()
        one = Subscription(
            number=900 + self._strays,
            request_id=f"elsewhere-{self._strays}",
            merchant=merchant,
            created_at=now,
            amount_minor=amount_minor,
            frequency=Frequency.DAILY,
            start="",
            expiry="",
            redirect_url="",
            code="",
            page_until=now,
        )
        due = Collection(9_000_000 + self._strays, one.request_id, f"{now:%Y-%m-%d}", amount_minor)
        due.status, due.paid_at = m.PaymentStatus.SUCCEEDED_PAYMENT, now
        due.trx_id = f"STRAY{self._strays:05d}"
        self._post(tenant, news_of_payment(due, one, None), due.trx_id, is_stray=True)

    def _post(self, tenant: str, fields: Mapping[str, Any], subject: str, *, is_stray: bool = False) -> None:
        body = b"{" + b'"timeStamp":"",' + dumps(dict(fields)).encode()[1:]
        blank = Notice(
            tenant=tenant, event_id="", headers={}, body=body, transaction_id=subject, is_stray=is_stray
        )
        self._ports.tell(self, self.sent_now(blank))

    def sent_now(self, notice: Notice) -> Notice:
        """The same message with the time of now, signed; to whichever of the doors it goes this time."""
        rest = notice.body.partition(b",")[2]
        body = b'{"timeStamp":"' + instant(self._ports.clock.now()).encode() + b'",' + rest
        key = base64.urlsafe_b64decode(self._merchants[notice.tenant].api_key)
        return replace(
            notice,
            event_id=f"sha256/{hashlib.sha256(body).hexdigest()}",
            headers=self.sign(body, key),
            body=body,
            # What is nobody's here is announced by the door that took it, so that a sender has to keep to one.
            door=self._doors[0] if notice.is_stray else self._chance.choice(self._doors),
        )

    def sign(self, body: bytes, key: bytes) -> Mapping[str, str]:
        """As the platform does: url-safe base64 of the HMAC-SHA256 of the raw body."""
        digest = base64.urlsafe_b64encode(hmac.digest(key, body, "sha256")).decode("ascii")
        return {"content-type": "application/json", m.HEADER_SIGNATURE.lower(): digest}

    # --- the wire -------------------------------------------------------------------------------------------------

    async def answer(self, ask: HttpAsk) -> HttpAnswer:
        """Carry one request through the sandbox's own application."""
        return await carried(self._app, ask, self.sites[0])

    def token_rejected(self) -> HttpAnswer | None:
        """There are no tokens."""
        return None

    def facts(self, ask: HttpAsk, answer: HttpAnswer) -> Sequence[WireFact]:
        """What the exchange shows, read from its JSON."""
        path = ask.path.removeprefix(m.ROOT_PATH)
        tenant = self._tenants.get(ask.headers.get(m.HEADER_API_KEY, ""), "")
        who: dict[str, Any] = {"tenant": tenant, "mode": self.mode}
        if answer.status != 200:
            return ()
        if path == m.PATH_REFUND:
            asked = _json(ask.body)
            return [
                WireFact(
                    kind="refund_asked",
                    reference=str(asked.get("paymentId", "")),
                    amount_minor=minor_of(asked.get("amount")),
                    **who,
                )
            ]
        said = _json(answer.body)
        if path == m.PATH_CREATE:
            named = said.get("subscriptionRequestId", "")
            return [WireFact(kind="consent_created", reference=named, **who)] if named else ()
        if path.startswith(m.PATH_SUBSCRIPTIONS + "/"):
            return _standing(said, who)
        if path.startswith((m.PATH_PAYMENTS + "/", m.PATH_PAYMENT + "/")):
            rows = said if isinstance(said, list) else [said]
            return [fact for row in rows for fact in _collected(row, who)]
        return ()

    # --- payers and books -----------------------------------------------------------------------------------------

    def approve(self, reference: str, how: str) -> bool:
        """Walk the consent page; `poor` consents with an empty wallet."""
        one = self._rules.subscriptions.get(reference)
        if one is None or not self._rules.page_open(one):
            return False
        wallet = POOR if how == "poor" else self._chance.choice(GOOD)
        self._pages.approve(one, "success" if how == "poor" else how, wallet)
        return True

    def collect(self) -> None:
        """What has fallen due."""
        self._rules.settle_due()

    def leave(self, reference: str) -> bool:
        """The payer ends it in bKash's app."""
        one = self._rules.subscriptions.get(reference)
        if one is None or not one.holds:
            return False
        self._rules.cancel(one, by="PAYER")
        return True

    def change_amount(self, reference: str, amount_minor: int) -> bool:
        """bKash collects another amount than the payer agreed to."""
        one = self._rules.subscriptions.get(reference)
        if one is None or not self._rules.page_open(one):
            return False
        one.amount_minor = amount_minor
        return True

    def give_back(self, reference: str, amount_minor: int) -> bool:
        """A refund by bKash's own people."""
        due = self._rules.collections.get(reference)
        if due is None:
            return False
        try:
            self._rules.refund(due, amount_minor, f"portal{len(self._rules.refund_ids)}")
        except Refusal:
            return False
        return True

    def consents(self) -> Sequence[Consent]:
        """The subscriptions to which a payer has consented, ended ones included."""
        return [
            Consent(
                tenant=self._tenants[one.merchant.api_key],
                reference=one.key,
                agreement_id=str(one.number),
                ended=not one.holds,
                given_at=self._held[one.key],
                ended_at=None if one.holds else one.cancelled_at or one.modified_at,
            )
            for one in self._rules.subscriptions.values()
            if one.key in self._held
        ]

    def return_params(self, reference: str, verdict: str) -> Mapping[str, str]:
        """As the platform appends them, true or not."""
        return {"subscriptionRequestId": reference, "status": verdict}

    def movements(self) -> Sequence[Movement]:
        """The books' lines that are the merchants': what was collected, and given back."""
        found = []
        for line in self._world.books.movements:
            due = self._rules.collections.get(line.reference)
            if due is None or line.kind not in ("collect", "refund"):
                continue
            merchant: Merchant = self._rules.subscriptions[due.request_id].merchant
            found.append(
                Movement(
                    kind="refund" if line.kind == "refund" else "capture",
                    gateway=self.gateway,
                    mode=self.mode,
                    tenant=self._tenants[merchant.api_key],
                    reference=due.key,
                    order_id=collected_order_id(due.request_id, due.key),
                    amount_minor=line.amount_minor,
                    transaction_id=line.transaction_id,
                    original_transaction_id=due.trx_id if line.kind == "refund" else None,
                )
            )
        return found

    def audit(self) -> Sequence[str]:
        """The sandbox's own audit."""
        return self._world.audit()


def bkash_recurring(ports: WorldPorts) -> SimulatedRecurring:
    """A recurring platform."""
    return SimulatedRecurring(ports)


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw, parse_float=str, parse_int=str)
    except ValueError:
        return {}


def _standing(said: Any, who: dict[str, Any]) -> list[WireFact]:
    status = said.get("status") or said.get("subscriptionStatus")
    number = str(said.get("id") or said.get("subscriptionId") or "")
    if status == m.SubscriptionStatus.SUCCEEDED:
        reference = str(said.get("subscriptionRequestId", ""))
        return [WireFact(kind="consented", reference=reference, agreement_id=number, **who)]
    if status in (m.SubscriptionStatus.CANCELLED, m.SubscriptionStatus.EXPIRED):
        return [WireFact(kind="consent_ended", agreement_id=number, **who)]
    return []


def _collected(row: Any, who: dict[str, Any]) -> list[WireFact]:
    if row.get("status") not in _PAID or not row.get("trxId"):
        return []
    reference, amount = str(row.get("id", "")), minor_of(row.get("amount"))
    order_id = collected_order_id(str(row.get("subscriptionRequestId", "")), reference)
    facts = [
        WireFact(kind="created", reference=reference, order_id=order_id, amount_minor=amount, **who),
        WireFact(
            kind="executed",
            reference=reference,
            amount_minor=amount,
            transaction_id=str(row["trxId"]),
            **who,
        ),
    ]
    if row.get("status") == m.PaymentStatus.SUCCEEDED_REFUND and row.get("reverseTrxId"):
        facts.append(
            WireFact(
                kind="refund_listed",
                reference=reference,
                amount_minor=minor_of(row.get("reverseTrxAmount")),
                transaction_id=str(row["reverseTrxId"]),
                **who,
            )
        )
    return facts
