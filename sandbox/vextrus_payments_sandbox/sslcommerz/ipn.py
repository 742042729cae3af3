"""IPNs: what SSLCommerz posts to a merchant's server when a try has ended (dossier §1.4).

A form with both signatures, once, to the ``ipn_url`` of its session, else to the one in the merchant's panel
(``PUT /_sandbox/webhooks/sslcommerz``); nothing is known of SSLCommerz trying again. It goes out before the payer's
browser is led back. The sandbox posts to this machine alone. What goes wrong on purpose stands in ``fault_kinds.py``.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import httpx

from vextrus_payments.clock import Sleeper
from vextrus_payments_sandbox.delivery import LOG_MAX, Courier
from vextrus_payments_sandbox.fault_kinds import WEBHOOK, Fault
from vextrus_payments_sandbox.faults import FaultPlans
from vextrus_payments_sandbox.kept import Kept
from vextrus_payments_sandbox.magic import Subject
from vextrus_payments_sandbox.redacting import endpoint_shown
from vextrus_payments_sandbox.sslcommerz.records import GATEWAY, Attempt, Session
from vextrus_payments_sandbox.sslcommerz.signing import SIGN, SIGN_SHA2
from vextrus_payments_sandbox.sslcommerz.writing import posted
from vextrus_payments_sandbox.subscriptions import Try, checked_endpoint
from vextrus_payments_sandbox.webhook_taping import WebhookTape
from vextrus_payments_sandbox.world import SandboxError, World, iso

TYPE: Final = "IPN"
WAIT_S: Final = 3.0
"""How long a payer's page waits for the merchant's server before it leads him back."""
_TAKA: Final = 100
_STRANGER: Final = "somebody else's password"
_HEADERS: Final = {
    "Content-Type": "application/x-www-form-urlencoded",
    "User-Agent": "SSLCommerz sandbox IPN",
}


@dataclass(slots=True)
class Ipn(Kept):
    """One announcement that has to be posted."""

    number: int
    reference: str
    url: str
    fields: Mapping[str, str]
    due_at: datetime
    fault: str = ""

    @property
    def title(self) -> str:
        """How the record calls it."""
        return f"{TYPE} {self.fields['status']}"


class IpnPost:
    """Posts for one SSLCommerz; a carrier of the sandbox's :class:`Courier`."""

    def __init__(
        self, world: World, faults: FaultPlans, courier: Courier, sleeper: Sleeper, panel_url: str
    ) -> None:
        self.url = panel_url
        """What the merchant's panel holds; empty: nothing."""
        self.tries: deque[Try] = deque(maxlen=LOG_MAX)
        self._world = world
        self._faults = faults
        self._courier = courier
        self._sleeper = sleeper
        self.waiting: dict[str, Ipn] = {}
        """What was announced and has not been sent; a restart sends it again."""
        self.demanded: Fault | None = None
        """The fault that strikes the next announcement, because the payer's page was told so."""
        self._held: list[Ipn] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._prompt: set[asyncio.Task[None]] = set()
        self._number = 0
        self._quiet = False
        courier.carriers.append(self)
        courier.direct[GATEWAY] = self
        faults.when_back_in_order.append(self._release)

    # ------------------------------------------------------------------------------------- the panel's endpoint

    async def subscribe(self, url: object) -> dict[str, Any]:
        """Send IPNs there where a session names no address. Raises :class:`SandboxError` for another machine's."""
        self.url = checked_endpoint(url)
        self._world.keep()
        return self.as_json()

    async def unsubscribe(self) -> dict[str, Any]:
        """Let the panel hold none."""
        self.url = ""
        self._world.keep()
        return self.as_json()

    def subscription(self) -> dict[str, Any]:
        """What the panel holds."""
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
        """What the panel holds, and every try to tell."""
        return {**self.subscription(), "deliveries": [asdict(one) for one in self.tries]}

    # ------------------------------------------------------------------------------------------ the news

    def announce(self, session: Session, attempt: Attempt) -> None:
        """A try has ended. Awaits nothing; where no event loop runs, it is sent with the next announcement."""
        if not (session.ipn_url or self.url) or self._quiet:
            return
        fault, self.demanded = self.demanded, None
        if fault is None:
            wallet = attempt.wallet.number if attempt.wallet is not None else ""
            subject = Subject(session.key, session.amount_minor, wallet) if self._world.magic else None
            fault = self._faults.take(GATEWAY, WEBHOOK, subject)
        name = fault.name if fault is not None else ""
        fields = posted(session, attempt, more_minor=_TAKA if name == "webhook_other_amount" else 0)
        if name == "webhook_bad_signature":
            fields = {**fields, SIGN: _other(fields[SIGN]), SIGN_SHA2: _other(fields[SIGN_SHA2])}
        if name == "webhook_forged":
            forged = posted(session, attempt, password=_STRANGER, more_minor=session.amount_minor)
            self._put(session, forged, name)
        if name == "webhook_out_of_order" and self._held:
            name = ""  # this one comes after another: it is that one's turn to follow
        later_s = fault.seconds if fault is not None and name == "webhook_delayed" else 0.0
        ipn = self._put(
            session, fields, name, later_s=later_s, held=name in ("webhook_never", "webhook_out_of_order")
        )
        if name == "webhook_never":
            del self.waiting[str(ipn.number)]
            WebhookTape(self._world, GATEWAY, ipn.url, self._row(ipn, 0))
        elif name == "webhook_out_of_order":
            self._held.append(ipn)
        elif name == "webhook_duplicate":
            self._put(session, fields, name)

    def keep_quiet(self, *, quiet: bool) -> None:
        """Whether nobody is told of what happens from now on."""
        self._quiet = quiet

    def _put(
        self,
        session: Session,
        fields: Mapping[str, str],
        fault: str,
        *,
        later_s: float = 0.0,
        held: bool = False,
    ) -> Ipn:
        if not self._number:  # the first of this start: numbers go on behind what an earlier one left
            self._number = max(map(int, self.waiting), default=0)
        self._number += 1
        due_at = self._world.now() + timedelta(seconds=later_s)
        ipn = Ipn(self._number, session.key, session.ipn_url or self.url, fields, due_at, fault)
        self.waiting[str(ipn.number)] = ipn
        if not held:
            self._start(ipn, later_s)
        return ipn

    # ------------------------------------------------------------------------------------------ the road

    def _start(self, ipn: Ipn, after_s: float = 0.0) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a test without a loop: `resume` sends it
            return
        task = loop.create_task(self._deliver(ipn, after_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if not after_s:
            self._prompt.add(task)
            task.add_done_callback(self._prompt.discard)

    async def _deliver(self, ipn: Ipn, after_s: float) -> None:
        if after_s:
            await self._sleeper.sleep(after_s)
        self._world.keep()  # before anybody hears of it
        row = self._row(ipn, 1)
        tape = WebhookTape(self._world, GATEWAY, ipn.url, row)
        body = urlencode(ipn.fields, errors="replace").encode("ascii")
        tape.sending(_HEADERS, body)
        answer: tuple[httpx.Response, bytes] | None = None
        try:
            answer = await self._courier.sent(checked_endpoint(ipn.url), _HEADERS, body)
            row.status = answer[0].status_code
        except SandboxError:
            row.error = "not on this machine"
        except (httpx.HTTPError, TimeoutError) as error:
            row.error = type(error).__name__
        finally:
            tape.finished(answer)
        self.waiting.pop(str(ipn.number), None)
        self._release()
        self._world.keep()

    def _release(self) -> None:
        """One has gone past those that were held back: now they follow."""
        held, self._held = self._held, []
        for ipn in held:
            self._start(ipn)

    async def told(self) -> None:
        """Wait until what goes out at once was answered, or as long as a payer would wait."""
        if self._prompt:
            await asyncio.wait(set(self._prompt), timeout=WAIT_S)

    # --------------------------------------------------------------------------------- as part of the courier

    def resume(self) -> None:
        """Send what an earlier start announced and could not send."""
        for ipn in list(self.waiting.values()):
            self._start(ipn, max(0.0, (ipn.due_at - self._world.now()).total_seconds()))

    def reset(self) -> None:
        """Forget what is on its way."""
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
        """Stop every delivery; what was not sent is kept."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _row(self, ipn: Ipn, number: int) -> Try:
        val_id = ipn.fields.get("val_id", "")
        row = Try(
            ipn.number,
            iso(self._world.now()),
            ipn.title,
            val_id or ipn.fields.get("bank_tran_id", ""),
            "",
            ipn.reference,
            ipn.fields.get("bank_tran_id") or None,
            ipn.fault or None,
            number,
        )
        self.tries.append(row)
        return row


def _other(digest: str) -> str:
    """A digest with one bit wrong."""
    return digest[:-1] + f"{int(digest[-1], 16) ^ 1:x}"
