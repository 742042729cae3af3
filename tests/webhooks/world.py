"""A shop over a small gateway that sends webhooks: real engine, real stores, real doors' keeper, no socket.

The gateway's own books are in `server`; what the shop's ledger and listener took is in `entries` and `events`. The
checks look at these alone.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tests.unit.toy import ToyConfig, ToyGateway, ToyServer, a_request
from vextrus_payments import LedgerEntry, Money, PaymentEvent, Payments, PaymentSession, Side
from vextrus_payments.errors import (
    AnswerTimeoutError,
    MalformedWebhookError,
    PaymentsError,
    SignatureError,
    TimestampOutsideWindowError,
)
from vextrus_payments.events import Confirm, Delivery, Events, GatewayEvent, Ignored
from vextrus_payments.gateways.base import Adapter
from vextrus_payments.inbox import InboxRow
from vextrus_payments.payment import RefundCall
from vextrus_payments.snapshots import PaymentSnapshot, RefundSnapshot, RefundState, SnapshotState
from vextrus_payments.store import PaymentStore
from vextrus_payments.testing import FakeClock, FakeEntropy, FakeSleeper
from vextrus_payments.webhooks.messages import Incoming, Reply
from vextrus_payments.wire import CallContext, Safety, SendBy, WireRequest, WireResponse

CONFIRM_AT = "https://toy.test/confirm"


class NewsGateway(ToyGateway):
    """The toy, with webhooks: signed where the header says so for its tenant."""

    confirmed: int = 0

    async def handle_webhook(self, delivery: Delivery) -> Events | Confirm | Ignored:
        signed = delivery.headers.get("x-toy")
        if signed == "late":
            raise TimestampOutsideWindowError("Signed an hour ago.")
        if signed == "guessed":
            raise SignatureError("Its certificate is not there.", code="certificate_absent")
        if signed != f"signed for {self.tenant}":
            raise SignatureError("Not signed.")
        try:
            said = json.loads(delivery.body)
            events = tuple(_event(one) for one in said["events"])
        except (ValueError, KeyError, TypeError, PaymentsError):
            said, events = None, ()
        if said is None:
            raise MalformedWebhookError("No message of the toy's.")
        match said.get("kind"):
            case "confirm":
                return Confirm(CONFIRM_AT)
            case "ignore":
                return Ignored("It is about the weather.")
            case "undecided":
                raise AnswerTimeoutError("The certificate did not come.")
            case "broken":
                raise RuntimeError("a mistake of ours")
        return Events(events)

    async def get_refund_status(
        self, call: RefundCall, *, context: CallContext | None = None
    ) -> tuple[RefundSnapshot, ...]:
        listed = await self.drive(self._refunds(call), context=context)
        return tuple(
            RefundSnapshot(
                state=RefundState.COMPLETED,
                transaction_id=one["trx"],
                original_transaction_id=one["original"],
                amount=Money(one["amount"], "BDT"),
                raw_state="done",
            )
            for one in listed
        )

    async def confirm_webhook(self, confirm: Confirm) -> None:
        assert confirm.url == CONFIRM_AT
        type(self).confirmed += 1


def _event(one: Mapping[str, Any]) -> GatewayEvent:
    amount = Money(one["amount"], one.get("currency", "BDT")) if "amount" in one else None
    if "refund_of" in one:
        refund = RefundSnapshot(
            state=RefundState(one.get("state", "completed")),
            transaction_id=one["trx"],
            original_transaction_id=one["refund_of"],
            amount=amount,
            raw_state="told",
        )
        return GatewayEvent(event_id=one["id"], snapshot=None, refund=refund, news_key=one.get("key"))
    snapshot = PaymentSnapshot(
        state=SnapshotState(one.get("state", "paid")),
        gateway_reference=one.get("ref", ""),
        raw_state="told",
        gateway_order_id=one.get("order"),
        amount=amount,
        transaction_id=one.get("trx"),
    )
    return GatewayEvent(event_id=one["id"], snapshot=snapshot, news_key=one.get("key"))


class NewsServer(ToyServer):
    """The toy's server, which can be away, or lose a request."""

    down: bool = False
    unanswered: int = 0
    _losing: str | None = None

    def lose(self, operation: str) -> None:
        """The next request of this operation comes to nothing, and nobody hears."""
        self._losing = operation

    async def send(
        self, request: WireRequest, *, safety: Safety, timeout_s: float, send_by: SendBy | None = None
    ) -> WireResponse:
        if self.down:
            self.unanswered += 1
            raise AnswerTimeoutError("No answer came.", effect=None)
        if self._losing is not None and request.url.endswith(f"/{self._losing}"):
            self._losing = None
            raise AnswerTimeoutError("No answer came.")
        return await super().send(request, safety=safety, timeout_s=timeout_s, send_by=send_by)


ADAPTER = Adapter("toy", NewsGateway, ToyConfig)


def toy_config() -> ToyConfig:
    """The toy's settings."""
    return ToyConfig(mode="sandbox")


class Town:
    """A shop, its gateway, and what came of it all."""

    def __init__(self, store: str | PaymentStore = "memory://", **changes: Any) -> None:
        self.clock: FakeClock = changes.pop("clock", None) or FakeClock()
        self.server: NewsServer = changes.pop("server", None) or NewsServer()
        self.entries: list[LedgerEntry] = []
        self.events: list[PaymentEvent] = []
        settings: dict[str, Any] = {
            "store": store,
            "ledger": self._take_entry,
            "on_event": self._take_event,
            "public_url": "https://shop.example/payments",
            "gateways": {"toy": toy_config()},
            "adapters": {"toy": ADAPTER},
            "transport": self.server,
            "workers": False,
            "clock": self.clock,
            "sleeper": FakeSleeper(self.clock),
            "entropy": FakeEntropy(changes.pop("seed", 3)),
        }
        self.payments = Payments(**{**settings, **changes})

    async def _take_entry(self, entry: LedgerEntry) -> None:
        self.entries.append(entry)

    async def _take_event(self, event: PaymentEvent) -> None:
        self.events.append(event)

    # --- what people do -----------------------------------------------------------------------------------------

    async def approved(self, reference: str = "INV-1", amount: str = "100", **more: Any) -> PaymentSession:
        """A payment whose payer has said yes."""
        session = await self.payments.initialize(a_request(reference, amount, **more))
        self.server.approve(session.gateway_reference)
        return session

    def paid_there(self, session: PaymentSession, trx: str | None = None, amount: str | None = None) -> str:
        """The gateway has taken the money, and nobody here has heard of it; the transaction id."""
        payment = self.server.payments[session.gateway_reference]
        self.server.moves += 1
        payment.update(state="paid", trx=trx or f"TRX{self.server.moves}")
        if amount is not None:
            payment["amount"] = amount
        return str(payment["trx"])

    # --- what the gateway sends ---------------------------------------------------------------------------------

    def told(self, session: PaymentSession, event_id: str = "e-1", **changes: Any) -> dict[str, Any]:
        """What the gateway's webhook says of a payment, by its own books."""
        payment = self.server.payments[session.gateway_reference]
        event = {
            "id": event_id,
            "order": session.gateway_order_id,
            "amount": payment["amount"],
            "trx": payment.get("trx"),
        }
        return {**event, **changes}

    async def deliver(self, *events: Mapping[str, Any], **changes: Any) -> Reply:
        """One delivery, at the door."""
        tenant = changes.pop("tenant", None)
        body = changes.pop("body", None) or json.dumps({"events": events, **changes.pop("said", {})}).encode()
        headers = {"x-toy": f"signed for {tenant or 'default'}", "content-type": "application/json"}
        fields: dict[str, Any] = {
            "gateway": "toy",
            "tenant": tenant,
            "method": "POST",
            "query": "",
            "headers": {**headers, **changes.pop("headers", {})},
            "body": body,
        }
        return await self.payments.keeper.webhook(Incoming(**{**fields, **changes}))

    # --- what came of it ----------------------------------------------------------------------------------------

    async def row(self, event_id: str = "e-1", tenant: str = "default") -> InboxRow:
        """The row of an event."""
        rows = (await self.payments.store.list_inbox(tenant)).rows
        (found,) = (row for row in rows if row.event_id == event_id)
        return found

    async def fired(self) -> list[str]:
        """Hand everything over, and say which kinds of events came, in order."""
        while await self.payments.deliver():
            pass
        return [event.kind.value for event in self.events]

    async def booked(self) -> Counter[tuple[str, str]]:
        """The ledger's entries as (kind, transaction id), each counted as often as it came with an id of its own."""
        await self.fired()
        return Counter((e.kind.value, e.transaction_id) for e in {e.id: e for e in self.entries}.values())

    def account(self, name: str) -> int:
        """What an account holds, in paisa; each entry once."""
        balance = 0
        for entry in {entry.id: entry for entry in self.entries}.values():
            for posting in entry.postings:
                if posting.account.startswith(name):
                    balance += posting.amount.amount_minor * (1 if posting.side is Side.DEBIT else -1)
        return balance


@asynccontextmanager
async def town_open(store: str | PaymentStore = "memory://", **changes: Any) -> AsyncIterator[Town]:
    """A town whose shop is open."""
    town = Town(store, **changes)
    async with town.payments:
        yield town
