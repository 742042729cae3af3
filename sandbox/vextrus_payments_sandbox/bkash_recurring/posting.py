"""What the platform tells the merchant's server: JSON, signed with the API key over its very bytes (dossier §7).

Each merchant's news goes to one endpoint (``PUT /_sandbox/webhooks/bkash_recurring``). An answer of 200 or 202 ends a
delivery; anything else is met with a new message three times, 20 seconds apart: bKash publishes no policy of its own.
The time in a message is that of its sending. What goes wrong on purpose stands in ``fault_kinds.py``.
"""

import asyncio
import base64
import hashlib
import hmac
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import httpx

from vextrus_payments.clock import Sleeper
from vextrus_payments.gateways.bkash.recurring import models as m
from vextrus_payments_sandbox.bkash_recurring.records import GATEWAY, Collection, Merchant, Subscription
from vextrus_payments_sandbox.bkash_recurring.writing import (
    Taka,
    dumps,
    instant,
    news_of_payment,
    news_of_refund,
    news_of_subscription,
)
from vextrus_payments_sandbox.delivery import LOG_MAX, RETRIES, RETRY_DELAY_S, Courier
from vextrus_payments_sandbox.fault_kinds import WEBHOOK, Fault
from vextrus_payments_sandbox.faults import FaultPlans
from vextrus_payments_sandbox.kept import Kept
from vextrus_payments_sandbox.magic import Subject
from vextrus_payments_sandbox.redacting import endpoint_shown
from vextrus_payments_sandbox.subscriptions import Try, checked_endpoint
from vextrus_payments_sandbox.webhook_taping import WebhookTape
from vextrus_payments_sandbox.world import SandboxError, World, iso

_STRANGER: Final = b"somebody else's key, 24 b"
_TAKEN: Final = frozenset({200, 202})


@dataclass(slots=True)
class Message(Kept):
    """One message that has to be posted. `fields` is JSON; the time is put in when it is sent."""

    number: int
    kind: str
    merchant: Merchant
    reference: str
    transaction_id: str
    fields: str
    due_at: datetime
    fault: str = ""
    skew_s: float = 0.0


class Post:
    """Posts for one platform; a carrier of the sandbox's :class:`Courier`, with one endpoint of its own."""

    def __init__(self, world: World, faults: FaultPlans, courier: Courier, sleeper: Sleeper) -> None:
        self._world = world
        self._faults = faults
        self._courier = courier
        self._sleeper = sleeper
        self.url = ""
        """Who is told; empty: nobody."""
        self.waiting: dict[str, Message] = {}
        """What was announced and has neither been taken nor given up; a restart sends it again."""
        self.tries: deque[Try] = deque(maxlen=LOG_MAX)
        self.demanded: Fault | None = None
        """The fault that strikes the next message, because a call was told so."""
        self._held: list[Message] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._number = 0
        self._seq = 0
        self._quiet = False
        courier.carriers.append(self)
        courier.direct[GATEWAY] = self
        faults.when_back_in_order.append(self._release)

    # ------------------------------------------------------------------------------------- the endpoint

    async def subscribe(self, url: object) -> dict[str, Any]:
        """Tell this address from now on. Raises :class:`SandboxError` for one that is not on this machine."""
        self.url = checked_endpoint(url)
        self._world.keep()
        return self.as_json()

    async def unsubscribe(self) -> dict[str, Any]:
        """Tell nobody."""
        self.url = ""
        self._world.keep()
        return self.as_json()

    def subscription(self) -> dict[str, Any]:
        """Who is told."""
        return {
            "gateway": GATEWAY,
            "url": endpoint_shown(self.url) if self.url else None,
            "confirmed": bool(self.url),
            "subscription_arn": None,
            "signature_version": None,
            "topic_arn": None,
            "cert_url": None,
            "held": len(self._held),
        }

    def as_json(self) -> dict[str, Any]:
        """Who is told, and every try to tell."""
        return {**self.subscription(), "deliveries": [asdict(one) for one in self.tries]}

    # ------------------------------------------------------------------------------------- the news

    def tell(self, kind: str, one: Subscription, due: Collection | None, why: str | None) -> None:
        """Something happened. Awaits nothing; where no event loop runs, it is sent with the next message."""
        if not self.url or self._quiet:
            return
        if due is None:
            fields = news_of_subscription(one, why)
        elif kind == "REFUND":
            fields = news_of_refund(due, one)
        else:
            fields = news_of_payment(due, one, why)
        fault, self.demanded = self.demanded, None
        if fault is None:
            wallet = one.wallet.number if one.wallet is not None else ""
            subject = Subject(one.key, one.amount_minor, wallet) if self._world.magic else None
            fault = self._faults.take(GATEWAY, WEBHOOK, subject)
        name = fault.name if fault is not None else ""
        reference = one.key if due is None else due.key
        trx_id = "" if due is None else (due.reverse_trx_id if kind == "REFUND" else due.trx_id)
        if name == "webhook_forged":
            self._start(self._made(kind, one.merchant, reference, trx_id, _doubled(fields), name))
        told = _more(fields) if name == "webhook_other_amount" else fields
        message = self._made(
            kind, one.merchant, reference, trx_id, told, "" if name == "webhook_forged" else name
        )
        message.skew_s = fault.skew_s if fault is not None else 0.0
        if name == "webhook_never":
            WebhookTape(self._world, GATEWAY, self.url, self._row(message, 0))
            return
        self.waiting[str(message.number)] = message
        if name == "webhook_out_of_order" and not self._held:
            self._held.append(message)
        elif name == "webhook_delayed" and fault is not None:
            message.due_at += timedelta(seconds=fault.seconds)
            self._start(message, fault.seconds)
        else:
            self._start(message)
            if name == "webhook_duplicate":
                self._start(self._made(kind, one.merchant, reference, trx_id, told, name))

    def keep_quiet(self, *, quiet: bool) -> None:
        """Whether nobody is told of what happens from now on."""
        self._quiet = quiet

    def _made(
        self,
        kind: str,
        merchant: Merchant,
        reference: str,
        trx_id: str,
        fields: Mapping[str, Any],
        fault: str,
    ) -> Message:
        self._number = max([self._number, *map(int, self.waiting)]) + 1
        return Message(
            self._number, kind, merchant, reference, trx_id, dumps(dict(fields)), self._world.now(), fault
        )

    # ------------------------------------------------------------------------------------- the road

    def _start(self, message: Message, after_s: float = 0.0) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a test without a loop: `resume` sends it
            return
        task = loop.create_task(self._deliver(message, after_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, message: Message, after_s: float) -> None:
        if after_s:
            await self._sleeper.sleep(after_s)
        for number in range(1, RETRIES + 2):
            self._world.keep()  # before anybody hears of it
            taken = await self._try(message, number)
            self._release()
            if taken or number > RETRIES or not self.url:
                break
            await self._sleeper.sleep(RETRY_DELAY_S)
        self.waiting.pop(str(message.number), None)
        self._world.keep()

    async def _try(self, message: Message, number: int) -> bool:
        row, url = self._row(message, number), self.url
        tape = WebhookTape(self._world, GATEWAY, url, row)
        headers, body = self.signed(message)
        tape.sending(headers, body)
        answer: tuple[httpx.Response, bytes] | None = None
        try:
            answer = await self._courier.sent(checked_endpoint(url), headers, body)
            row.status = answer[0].status_code
        except SandboxError:
            row.error = "nobody is told"
        except (httpx.HTTPError, TimeoutError) as error:
            row.error = type(error).__name__
        finally:
            tape.finished(answer)
        return row.status in _TAKEN

    def signed(self, message: Message) -> tuple[dict[str, str], bytes]:
        """The headers and the very bytes of a message, its time and its signature put in now."""
        at = self._world.now() + timedelta(seconds=message.skew_s)
        body = f'{{"timeStamp":"{instant(at)}",{message.fields[1:]}'.encode()
        key = base64.urlsafe_b64decode(message.merchant.api_key)
        if message.fault == "webhook_forged":
            key = _STRANGER
        digest = hmac.new(key, body, hashlib.sha256).digest()
        if message.fault == "webhook_bad_signature":
            digest = digest[:-1] + bytes([digest[-1] ^ 1])
        signature = base64.urlsafe_b64encode(digest).decode("ascii")
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "bKash recurring sandbox",
            m.HEADER_SIGNATURE: signature,
            m.HEADER_TYPE: message.kind,
        }
        return headers, body

    def _row(self, message: Message, number: int) -> Try:
        self._seq += 1
        row = Try(
            self._seq,
            iso(self._world.now()),
            message.kind,
            str(message.number),
            "",
            message.reference,
            message.transaction_id or None,
            message.fault or None,
            number,
        )
        self.tries.append(row)
        return row

    def _release(self) -> None:
        """A message has gone past the one that was held back, or none will: now it follows."""
        held, self._held = self._held, []
        for message in held:
            self._start(message)

    # ------------------------------------------------------------------------- as part of the courier

    def resume(self) -> None:
        """Send what an earlier start announced and could not deliver."""
        for message in list(self.waiting.values()):
            self._start(message, max(0.0, (message.due_at - self._world.now()).total_seconds()))

    def reset(self) -> None:
        """Forget what is on its way and what was tried; the endpoint stays."""
        for task in list(self._tasks):
            task.cancel()
        self.waiting.clear()
        self._held.clear()
        self.tries.clear()
        self.demanded = None

    async def drain(self) -> None:
        """Wait until nothing is on its way; what is held back stays so."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        """Stop every delivery; what was not taken is kept."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _more(fields: Mapping[str, Any]) -> dict[str, Any]:
    """With one taka more."""
    return {
        name: Taka(value.minor + 100) if isinstance(value, Taka) else value for name, value in fields.items()
    }


def _doubled(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: Taka(2 * value.minor) if isinstance(value, Taka) else value for name, value in fields.items()
    }
