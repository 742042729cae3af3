"""Webhooks as SNS delivers them: one endpoint for each gateway, asked first whether it wants to be told.

``PUT /_sandbox/webhooks/bkash {"url"}`` subscribes an endpoint. It is sent a SubscriptionConfirmation and nothing more
until it has visited the address in there. From then on every completed payment is announced to it. An answer of 2xx
ends a delivery; 429, 5xx and silence are met with the same bytes again, three times, 20 seconds apart; any other
answer is taken for a no (AWS's own manners, dossier §8.5). What goes wrong on purpose stands in ``faults.py``.

A gateway only tells what happened (:meth:`Courier.announce`, which awaits nothing); the envelope is made and sent when
the work is over (:meth:`Courier.leave`), in tasks of the courier's own.
"""

import asyncio
import contextlib
import hmac
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final, Protocol

import httpx

from vextrus_payments.clock import Sleeper
from vextrus_payments_sandbox import sns
from vextrus_payments_sandbox.enveloping import FORGERY, Envelopes
from vextrus_payments_sandbox.faults import WEBHOOK, Fault, FaultPlans
from vextrus_payments_sandbox.redacting import endpoint_shown
from vextrus_payments_sandbox.sending import Sender
from vextrus_payments_sandbox.subscriptions import (
    Notice,
    Parcel,
    Subscription,
    Try,
    checked_endpoint,
    checked_version,
)
from vextrus_payments_sandbox.webhook_taping import WebhookTape
from vextrus_payments_sandbox.world import SandboxError, World, iso

RETRIES: Final = 3
RETRY_DELAY_S: Final = 20.0
LAG_S: Final = 0.2
"""How long SNS takes until the first try."""
ASK_WAIT_S: Final = 2.0
"""How long a subscription waits for the endpoint's first answer."""
LOG_MAX: Final = 10_000


class Direct(Protocol):
    """Delivers a gateway's news that are no messages of SNS, to one endpoint of his own, without asking it first
    (``direct_posting.py``). He stops, waits and begins again with the courier."""

    def resume(self) -> None:
        """The server listens: send what an earlier start could not deliver."""
        ...

    def reset(self) -> None:
        """Forget what is on its way."""
        ...

    async def drain(self) -> None:
        """Wait until nothing is on its way."""
        ...

    async def close(self) -> None:
        """Stop every delivery."""
        ...

    async def subscribe(self, url: object) -> dict[str, Any]:
        """Tell this address from now on; raises :class:`SandboxError`."""
        ...

    async def unsubscribe(self) -> dict[str, Any]:
        """Tell nobody."""
        ...

    def subscription(self) -> dict[str, Any]:
        """Who is told, as :meth:`Courier.subscription`."""
        ...

    def as_json(self) -> dict[str, Any]:
        """Who is told, and every try to tell."""
        ...


class Courier:
    """Delivers for every gateway of one sandbox. Give it a `transport` to reach an endpoint without a socket."""

    def __init__(
        self,
        world: World,
        faults: FaultPlans,
        sleeper: Sleeper,
        topics: Mapping[str, str],
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.base_url = ""
        """The sandbox's own address; empty: the address under which it was asked."""
        self.undelivered: dict[str, Notice] = {}
        """What was announced and has neither been taken nor given up; what a restart sends again."""
        self.tries: deque[Try] = deque(maxlen=LOG_MAX)
        self.sender = Sender(transport)
        self._world = world
        self._faults = faults
        self._sleeper = sleeper
        self._topics = topics
        self._envelopes = Envelopes(world)
        self.subscriptions: dict[str, Subscription] = {}
        """Who is told, by gateway."""
        self.direct: dict[str, Direct] = {}
        """By gateway, those who deliver what is no message of SNS."""
        self._fresh: list[Notice] = []
        self._held: list[Parcel] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._seq = 0
        faults.when_back_in_order.append(self._release)

    # ------------------------------------------------------------------------------------- subscriptions

    async def subscribe(
        self, gateway: str, url: object, *, version: object = "1", asked_at: str = ""
    ) -> dict[str, Any]:
        """Ask `url` whether it wants to be told of `gateway`'s payments, in place of whoever was told before.

        Returns, as :meth:`as_json`, once the endpoint has answered for the first time, or after a moment. Raises
        :class:`SandboxError` for an address that is not on this machine.
        """
        if gateway in self.direct:
            return await self.direct[gateway].subscribe(url)
        self._known(gateway)
        base_url = self.base_url or asked_at
        key = sns.signing_key()
        topic = sns.Topic(self._topics[gateway], base_url + key.path, key, checked_version(version))
        arn = f"{topic.arn}:{self._envelopes.new_id()}"
        subscription = Subscription(
            gateway, checked_endpoint(url), topic, base_url, arn, self._envelopes.new_token()
        )
        self.subscriptions[gateway] = subscription
        parcel = Parcel(subscription, self._envelopes.confirmation(subscription))
        self._start(parcel)
        await self._a_moment(parcel)
        return self.as_json(gateway)

    async def unsubscribe(self, gateway: str) -> dict[str, Any]:
        """Stop telling, and say so. The farewell holds an address that would take the subscription up again."""
        if gateway in self.direct:
            return await self.direct[gateway].unsubscribe()
        self._known(gateway)
        subscription = self.subscriptions.get(gateway)
        if subscription is not None and subscription.confirmed:
            subscription.confirmed = False
            subscription.token = self._envelopes.new_token()
            parcel = Parcel(subscription, self._envelopes.farewell(subscription))
            self._start(parcel)
            await self._a_moment(parcel)
        return self.as_json(gateway)

    def confirm(self, topic_arn: str, token: str) -> str | None:
        """Somebody visited a SubscribeURL: the subscription's ARN, or None where it is none of ours."""
        for found in self.subscriptions.values():
            ours = hmac.compare_digest(found.token.encode(), token.encode("utf-8", "replace"))
            if ours and found.topic.arn == topic_arn:
                found.confirmed = True
                return found.arn
        return None

    async def cancel(self, subscription_arn: str) -> bool:
        """Somebody visited an UnsubscribeURL: whether there was such a subscription."""
        for found in list(self.subscriptions.values()):
            if found.arn == subscription_arn:
                await self.unsubscribe(found.gateway)
                return True
        return False

    @property
    def gateways(self) -> tuple[str, ...]:
        """Those that send webhooks to an endpoint that is set here."""
        return (*self._topics, *self.direct)

    def subscription(self, gateway: str) -> dict[str, Any]:
        """Who is told."""
        if gateway in self.direct:
            return self.direct[gateway].subscription()
        self._known(gateway)
        found = self.subscriptions.get(gateway)
        return {
            "gateway": gateway,
            "url": endpoint_shown(found.url) if found else None,
            "confirmed": found.confirmed if found else False,
            "subscription_arn": found.arn if found else None,
            "signature_version": found.topic.version if found else None,
            "topic_arn": self._topics[gateway],
            "cert_url": found.topic.cert_url if found else None,
            "held": sum(parcel.subscription.gateway == gateway for parcel in self._held),
        }

    def as_json(self, gateway: str) -> dict[str, Any]:
        """Who is told, and every try to tell."""
        if gateway in self.direct:
            return self.direct[gateway].as_json()
        return {**self.subscription(gateway), "deliveries": [asdict(one) for one in self.tries]}

    # ------------------------------------------------------------------------------------------ the news

    def announce(self, notice: Notice) -> None:
        """A payment was completed. Awaits nothing and sends nothing: see :meth:`leave`."""
        self._fresh.append(notice)

    def keep_quiet(self) -> None:
        """Forget what was announced since the last :meth:`leave`: nobody is told."""
        self._fresh.clear()

    async def leave(self, fault: Fault | None = None) -> None:
        """Send what was announced since the last call, under `fault` if it is one of a webhook, else under one that
        was ordered ahead. Returns at once, but for what has to arrive before the call is answered.
        """
        fresh, self._fresh = self._fresh, []
        for notice in fresh:
            subscription = self.subscriptions.get(notice.gateway)
            if subscription is None or not subscription.confirmed:
                continue
            meant = fault if fault is not None and fault.kind.phase == WEBHOOK else None
            about = notice.subject if self._world.magic else None
            parcel = self._dispatch(
                subscription, notice, meant or self._faults.take(notice.gateway, WEBHOOK, about)
            )
            if parcel is not None:
                await parcel.tried.wait()

    def take_up(
        self, gateway: str, url: str, *, version: str, base_url: str, arn: str, token: str, confirmed: bool
    ) -> None:
        """Tell an endpoint again that an earlier start of this sandbox told; its topic is signed by today's key."""
        key = sns.signing_key()
        base_url = self.base_url or base_url
        topic = sns.Topic(self._topics[gateway], base_url + key.path, key, checked_version(version))
        self.subscriptions[gateway] = Subscription(gateway, url, topic, base_url, arn, token, confirmed)

    def resume(self) -> None:
        """Send what an earlier start of this sandbox announced and could not deliver: in new messages."""
        for kept in list(self.subscriptions.values()):
            self.take_up(
                kept.gateway,
                kept.url,
                version=kept.topic.version,
                base_url=kept.base_url,
                arn=kept.arn,
                token=kept.token,
                confirmed=kept.confirmed,
            )
        for name, notice in list(self.undelivered.items()):
            subscription = self.subscriptions.get(notice.gateway)
            if subscription is None or not subscription.confirmed:
                del self.undelivered[name]
                continue
            self._start(
                Parcel(subscription, self._envelopes.notification(subscription, notice, None), notice)
            )
        for carrier in self.direct.values():
            carrier.resume()

    def _dispatch(self, subscription: Subscription, notice: Notice, fault: Fault | None) -> Parcel | None:
        """Send one announcement on its way; returned is one whose first try has to be waited for."""
        name = fault.name if fault else None
        skew_s = fault.skew_s if fault else 0.0
        if name != "webhook_never":
            self.undelivered[_name_of(notice)] = notice
        parcel = Parcel(
            subscription, self._envelopes.notification(subscription, notice, name, skew_s), notice, name
        )
        match name:
            case "webhook_never":
                WebhookTape(self._world, subscription.gateway, subscription.url, self._log(parcel, 0))
            case "webhook_out_of_order" if not self._holds_for(notice.gateway):
                self._held.append(parcel)
            case "webhook_delayed":
                self._start(parcel, after_s=fault.seconds if fault else 0)
            case "webhook_early":
                self._start(parcel)
                return parcel
            case "webhook_duplicate":
                self._start(parcel, after_s=LAG_S)
                self._start(Parcel(subscription, parcel.envelope, notice, name), after_s=LAG_S)
            case "webhook_repeated":
                self._start(parcel, after_s=LAG_S)
                again = self._envelopes.notification(subscription, notice, None)
                self._start(Parcel(subscription, again, notice, name), behind=parcel.tried)
            case "webhook_forged":
                forgery = self._envelopes.notification(subscription, notice, FORGERY)
                forged = Parcel(subscription, forgery, notice, name)
                self._start(forged)
                self._start(parcel, behind=forged.tried)
            case _:
                self._start(parcel, after_s=LAG_S)
        return None

    # ------------------------------------------------------------------------------------------ the road

    def _start(self, parcel: Parcel, *, after_s: float = 0, behind: asyncio.Event | None = None) -> None:
        task = asyncio.create_task(self._deliver(parcel, after_s, behind))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, parcel: Parcel, after_s: float, behind: asyncio.Event | None) -> None:
        try:
            if behind is not None:
                await behind.wait()
            if after_s:
                await self._sleeper.sleep(after_s)
            for number in range(1, RETRIES + 2):
                again = await self._try(parcel, number)
                parcel.tried.set()
                if parcel.notice is not None:
                    self._release()
                if not again or number > RETRIES:
                    if parcel.notice is not None and _name_of(parcel.notice) in self.undelivered:
                        del self.undelivered[_name_of(parcel.notice)]
                    self._world.keep()
                    return
                await self._sleeper.sleep(RETRY_DELAY_S)
        finally:
            parcel.tried.set()  # who waits for it must not wait for a task that was stopped

    async def _a_moment(self, parcel: Parcel) -> None:
        """Wait for an answer as long as a person would; who asked may be the one who has to answer next."""
        with contextlib.suppress(
            TimeoutError
        ):  # on the loop's clock: it bounds the wait for somebody's socket
            async with asyncio.timeout(ASK_WAIT_S):
                await parcel.tried.wait()

    def _holds_for(self, gateway: str) -> bool:
        """Whether an announcement of this gateway is held back: the next one goes past it, whatever was ordered."""
        return any(parcel.subscription.gateway == gateway for parcel in self._held)

    def _release(self) -> None:
        """A notification has gone past those that were held back, or none will: now they follow."""
        held, self._held = self._held, []
        for parcel in held:
            self._start(parcel)

    async def _try(self, parcel: Parcel, number: int) -> bool:
        """One request; whether SNS would try again."""
        row = self._log(parcel, number)
        tape = WebhookTape(self._world, parcel.subscription.gateway, parcel.subscription.url, row)
        headers, body = sns.headers_of(parcel.envelope, parcel.subscription.arn), sns.to_wire(parcel.envelope)
        tape.sending(headers, body)
        answer: tuple[httpx.Response, bytes] | None = None
        try:
            answer = await self.sender.post(parcel.subscription.url, headers, body)
            row.status = answer[0].status_code
        except (httpx.HTTPError, TimeoutError) as error:
            row.error = type(error).__name__
            return True
        finally:
            tape.finished(answer)
            self._world.keep()
        return row.status == 429 or row.status >= 500

    def _log(self, parcel: Parcel, number: int) -> Try:
        self._seq += 1
        row = Try(
            self._seq,
            iso(self._world.now()),
            parcel.envelope["Type"],
            parcel.envelope["MessageId"],
            parcel.envelope["TopicArn"],
            parcel.notice.reference if parcel.notice else None,
            parcel.notice.transaction_id if parcel.notice else None,
            parcel.fault,
            number,
        )
        self.tries.append(row)
        return row

    async def drain(self) -> None:
        """Wait until nothing is on its way; what is held back stays so. For tests."""
        while self._tasks:
            await asyncio.gather(*self._tasks)
        for carrier in self.direct.values():
            await carrier.drain()

    def reset(self) -> None:
        """Forget what is on its way and what was tried; the endpoint stays subscribed."""
        self._stop()
        self.undelivered.clear()
        for carrier in self.direct.values():
            carrier.reset()

    def _stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        self._fresh.clear()
        self._held.clear()
        self.tries.clear()

    async def close(self) -> None:
        """Stop every delivery; called when the server stops."""
        tasks = list(self._tasks)
        self._stop()
        await asyncio.gather(*tasks, return_exceptions=True)
        for carrier in self.direct.values():
            await carrier.close()
        await self.sender.close()

    # ------------------------------------------------------------------------------------------- helpers

    def _known(self, gateway: str) -> None:
        if gateway not in self._topics:
            tellers = ", ".join([*self._topics, *self.direct])
            raise SandboxError(f"unknown gateway; those that send webhooks are {tellers}", 404)


def _name_of(notice: Notice) -> str:
    return f"{notice.gateway} {notice.transaction_id}"
