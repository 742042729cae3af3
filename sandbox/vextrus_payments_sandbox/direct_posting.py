"""News that a gateway posts to a merchant's server by itself, without SNS: one queue for all of them.

A gateway says what happened, and how a message of it looks on the wire; here stands what befalls the messages between:
the endpoint that is told (``PUT /_sandbox/webhooks/{gateway}``), the fault that strikes one, waiting, holding back,
trying again, going on after a restart. The sandbox posts to this machine alone. Each message is on ``waiting`` from
the moment it was announced until it was taken or given up, and a state file keeps it there.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

import httpx

from vextrus_payments.clock import Sleeper
from vextrus_payments_sandbox.delivery import LOG_MAX, Courier
from vextrus_payments_sandbox.fault_kinds import WEBHOOK, Fault
from vextrus_payments_sandbox.faults import FaultPlans
from vextrus_payments_sandbox.magic import Subject
from vextrus_payments_sandbox.redacting import endpoint_shown
from vextrus_payments_sandbox.subscriptions import Try, checked_endpoint
from vextrus_payments_sandbox.webhook_taping import WebhookTape
from vextrus_payments_sandbox.world import SandboxError, World

FORGED: Final = "webhook_forged"


class Posted(Protocol):
    """What the queue has to know of a message; the rest is its gateway's."""

    @property
    def number(self) -> int:
        """1 for a sandbox's first; never given twice."""
        ...

    @property
    def due_at(self) -> datetime:
        """Before when it is not sent."""
        ...

    @property
    def fault(self) -> str:
        """What goes wrong with it on purpose; empty: nothing."""
        ...


MessageT = TypeVar("MessageT", bound=Posted)


class DirectPost(ABC, Generic[MessageT]):
    """Posts for one gateway; a carrier of the sandbox's :class:`Courier`."""

    gateway: ClassVar[str]
    tries_max: ClassVar[int] = 1
    """How often one message is sent before it is given up."""
    retry_delay_s: ClassVar[float] = 0.0

    def __init__(
        self, world: World, faults: FaultPlans, courier: Courier, sleeper: Sleeper, url: str = ""
    ) -> None:
        self.url = url
        """Who is told; empty: nobody."""
        self.waiting: dict[str, MessageT] = {}
        """What was announced and has neither been taken nor given up; a restart sends it again."""
        self.tries: deque[Try] = deque(maxlen=LOG_MAX)
        self.demanded: Fault | None = None
        """The fault that strikes the next announcement, because a call or the payer's page was told so."""
        self._world = world
        self._faults = faults
        self._courier = courier
        self._sleeper = sleeper
        self._held: list[MessageT] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._number = 0
        self._quiet = False
        courier.direct[self.gateway] = self
        faults.when_back_in_order.append(self._release)

    # ------------------------------------------------------------------------------- what a gateway says

    @abstractmethod
    def signed(self, message: MessageT) -> tuple[Mapping[str, str], bytes]:
        """The headers and the very bytes of a message that is sent now, its signature among them."""

    @abstractmethod
    def _row(self, message: MessageT, number: int) -> Try:
        """How the record shows the try of this number (0: it is never sent)."""

    def _goes_to(self, message: MessageT) -> str:
        """Where a message is sent; empty: nowhere any more."""
        return self.url

    def _is_taken(self, status: int | None) -> bool:
        """Whether that answer (None: none came) ends the delivery; any does where a message is sent once."""
        return self.tries_max == 1

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
            "gateway": self.gateway,
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

    # ------------------------------------------------------------------------------------------ the news

    def keep_quiet(self, *, quiet: bool) -> None:
        """Whether nobody is told of what happens from now on."""
        self._quiet = quiet

    def _next_fault(self, reference: str, amount_minor: int, wallet: str) -> Fault | None:
        """What goes wrong with the announcement that is about to be made."""
        fault, self.demanded = self.demanded, None
        if fault is None:
            subject = Subject(reference, amount_minor, wallet) if self._world.magic else None
            fault = self._faults.take(self.gateway, WEBHOOK, subject)
        return fault

    def _next_number(self) -> int:
        """Numbers go on behind what an earlier start left."""
        self._number = max([self._number, *map(int, self.waiting)]) + 1
        return self._number

    def _due_at(self, fault: Fault | None) -> datetime:
        late_s = fault.seconds if fault is not None and fault.name == "webhook_delayed" else 0.0
        return self._world.now() + timedelta(seconds=late_s)

    def _announce(self, message: MessageT, fault: Fault | None) -> None:
        """Put it on its way, as the fault has it. Awaits nothing; without an event loop, `resume` sends it."""
        name = fault.name if fault is not None else ""
        if name == "webhook_never":
            self._record(message, 0)
            return
        self.waiting[str(message.number)] = message
        if name == "webhook_out_of_order" and not self._held:
            self._held.append(message)
        else:
            self._start(message, self._wait_s(message))

    def _wait_s(self, message: MessageT) -> float:
        return max(0.0, (message.due_at - self._world.now()).total_seconds())

    # ------------------------------------------------------------------------------------------ the road

    def _start(self, message: MessageT, after_s: float = 0.0) -> asyncio.Task[None] | None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a test without a loop: `resume` sends it
            return None
        task = loop.create_task(self._deliver(message, after_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _deliver(self, message: MessageT, after_s: float) -> None:
        if after_s:
            await self._sleeper.sleep(after_s)
        for number in range(1, self.tries_max + 1):
            self._world.keep()  # before anybody hears of it
            taken = await self._try(message, number)
            self._release()
            if taken or number == self.tries_max or not self._goes_to(message):
                break
            await self._sleeper.sleep(self.retry_delay_s)
        self.waiting.pop(str(message.number), None)
        self._world.keep()

    async def _try(self, message: MessageT, number: int) -> bool:
        row, tape = self._record(message, number)
        url = self._goes_to(message)
        headers, body = self.signed(message)
        tape.sending(headers, body)
        answer: tuple[httpx.Response, bytes] | None = None
        try:
            answer = await self._courier.sender.post(checked_endpoint(url), headers, body)
            row.status = answer[0].status_code
        except SandboxError:
            row.error = "not on this machine" if url else "nobody is told"
        except (httpx.HTTPError, TimeoutError) as error:
            row.error = type(error).__name__
        finally:
            tape.finished(answer)
        return self._is_taken(row.status)

    def _record(self, message: MessageT, number: int) -> tuple[Try, WebhookTape]:
        row = self._row(message, number)
        self.tries.append(row)
        return row, WebhookTape(self._world, self.gateway, self._goes_to(message), row)

    def _release(self) -> None:
        """One has gone past those that were held back, or none will: now they follow."""
        held, self._held = self._held, []
        for message in held:
            self._start(message)

    # --------------------------------------------------------------------------- as part of the courier

    def resume(self) -> None:
        """Send what an earlier start announced and could not deliver."""
        for message in list(self.waiting.values()):
            self._start(message, self._wait_s(message))

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
