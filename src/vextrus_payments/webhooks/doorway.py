"""What every door does, whichever way requests come in: read the head, let in or send away, hand over, answer.

A request is judged in two steps. `begin` sees its head alone: an address that is none, a wrong method, a body that is
too long or compressed, a source that is blocked are answered before a byte of the body is read. Who is let in has his
body read by the door, under the bounds of the `Errand`, and is answered by `finish`. Then, whatever happened, `leave`.
"""

import asyncio
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from vextrus_payments.health import Health
from vextrus_payments.webhooks import returning
from vextrus_payments.webhooks.messages import HTML, DoorKeeper, Incoming, Reply
from vextrus_payments.webhooks.pages import Sight
from vextrus_payments.webhooks.replies import (
    COMPRESSED,
    HEADERS_TOO_MANY,
    MALFORMED,
    NOT_FOUND,
    RETRY_AFTER_S,
    TOO_LARGE,
    UNAVAILABLE,
    is_compressed,
    refusal,
)
from vextrus_payments.webhooks.returning import Back
from vextrus_payments.webhooks.routes import Door, Route, route_of

HEADERS_MAX: Final = 100
HEADER_BYTES_MAX: Final = 65_536
#: For so long one look at our health serves everybody who asks: the address is public, and each look asks the store.
_HEALTH_KEPT_S: Final = 1.0

_METHODS: Final[Mapping[Door, tuple[str, ...]]] = {
    Door.WEBHOOK: ("POST",),
    Door.RETURN: ("GET", "HEAD", "POST"),
    Door.HEALTH: ("GET", "HEAD"),
}
_LENGTH: Final = re.compile(r"[0-9]{1,18}", re.ASCII)

_log = logging.getLogger("vextrus_payments")


@dataclass(slots=True, kw_only=True)
class Head:
    """A request's head, as every door can tell it."""

    method: str
    path: str
    """Percent-decoded."""
    root_path: str = ""
    query: str = field(default="", repr=False)
    """Raw, without the question mark."""
    headers: Mapping[str, str] = field(repr=False)
    """By names in lower case; several of one name joined by ", "."""
    header_count: int
    """How many there were before the joining."""
    header_bytes: int = 0
    peer: str | None = None


@dataclass(slots=True, kw_only=True)
class Errand:
    """A request that was let in, and the bounds within which its body is read."""

    door: Door
    incoming: Incoming
    body_max_bytes: int
    """0: it has none to be read."""
    read_deadline_s: float
    length: int | None
    """How long its body says it is; None: it does not say (chunked), or there is none."""


class Doorway:
    """The doors of one keeper. Belongs to one event loop at a time, and to the keeper's."""

    def __init__(self, keeper: DoorKeeper) -> None:
        self._keeper = keeper
        self._health: tuple[float, bool, Reply] | None = None
        self._looking: asyncio.Task[Reply] | None = None
        self._told = False

    async def begin(self, head: Head) -> Reply | Errand:
        """Judge a request by its head. An answer ends it; an errand has to be finished or not, and then left."""
        route = route_of(head.path, head.root_path)
        if route is None:
            return NOT_FOUND
        door = route.door
        if head.method not in _METHODS[door]:
            return _wrong_method(door, head.method)
        if head.header_count > HEADERS_MAX or head.header_bytes > HEADER_BYTES_MAX:
            return HEADERS_TOO_MANY
        if door is Door.HEALTH:
            return await self._healthy()
        if head.method == "HEAD":
            return _LOOKED_IN  # a link checker's or a preview's: nothing is looked up, nothing is done
        if not self._keeper.is_open:
            return UNAVAILABLE if door is Door.WEBHOOK else _page(Sight.CLOSED, head)
        errand = self._errand(route, head)
        return errand if isinstance(errand, Reply) else await self._admitted(errand, head)

    async def finish(self, errand: Errand, body: bytes) -> Reply:
        """The answer, with the body read. Never raises, but passes a cancellation on."""
        came = errand.incoming
        if errand.door is Door.RETURN:
            posted = came.method == "POST"
            return await returning.receive(self._keeper, _back(came, body if posted else None))
        if errand.length and not body:
            if not self._told:  # once: a sender that hangs up half-way under WSGI looks the same
                self._told = True
                _log.error(
                    "A webhook's body was empty, against its head: does a middleware read it before the door?"
                )
            return BODY_TAKEN
        try:
            came.body = body
            return await self._keeper.webhook(came)
        except Exception as error:  # noqa: BLE001 - our own mistake is our own fault: 503, and the sender repeats
            _log.error("The webhook door failed with %s.", type(error).__name__)
            return UNAVAILABLE

    def leave(self, errand: Errand) -> None:
        """The request is over, however it ended."""
        self._keeper.leave(errand.incoming)

    def _errand(self, route: Route, head: Head) -> Reply | Errand:
        most, length = 0, None
        if head.method == "POST":
            most = self._keeper.body_max_bytes
            if route.door is Door.RETURN:
                most = min(most, returning.FORM_MAX_BYTES)
            refused = _bad_body(head.headers, most, form=route.door is Door.RETURN)
            if refused is not None:
                return refused if route.door is Door.WEBHOOK else _page(Sight.UNREADABLE, head)
            given = head.headers.get("content-length")
            length = None if given is None else int(given)
        return Errand(
            door=route.door,
            incoming=Incoming(
                gateway=route.gateway,
                tenant=route.tenant,
                method=head.method,
                query=head.query,
                headers=head.headers,
                body=b"",
                peer=head.peer,
                door=route.door,
            ),
            body_max_bytes=most,
            read_deadline_s=self._keeper.read_deadline_s,
            length=length,
        )

    async def _admitted(self, errand: Errand, head: Head) -> Reply | Errand:
        try:
            sent_away = await self._keeper.admit(errand.incoming)
        except Exception as error:  # noqa: BLE001 - as in finish
            _log.error("The %s door's keeper failed with %s.", errand.door.value, type(error).__name__)
            sent_away = UNAVAILABLE
        if sent_away is None:
            return errand
        return sent_away if errand.door is Door.WEBHOOK else _sent_away(sent_away, head)

    async def _healthy(self) -> Reply:
        """How things stand, at most a second ago. Everybody who asks meanwhile waits for the same look."""
        loop = asyncio.get_running_loop()
        if self._health is not None:
            looked_at, was_open, reply = self._health
            if loop.time() - looked_at < _HEALTH_KEPT_S and was_open is self._keeper.is_open:
                return reply
        looking = self._looking
        if looking is None or looking.done() or looking.get_loop() is not loop:
            looking = self._looking = loop.create_task(self._look())
        return await asyncio.shield(looking)

    async def _look(self) -> Reply:
        was_open = self._keeper.is_open
        try:
            reply = health_reply(await self._keeper.health())
        except Exception as error:  # noqa: BLE001 - a probe is told that it is not well, never a traceback
            _log.error("The health door failed with %s.", type(error).__name__)
            reply = UNAVAILABLE
        self._health = (asyncio.get_running_loop().time(), was_open, reply)
        return reply


def _bad_body(headers: Mapping[str, str], most: int, *, form: bool) -> Reply | None:
    """Why a body is not even read."""
    if is_compressed(headers):
        return COMPRESSED
    if form and headers.get("content-type", "").partition(";")[0].strip().lower() != returning.FORM:
        return refusal(415, "not_a_form")
    given = headers.get("content-length")
    if given is not None and ("transfer-encoding" in headers or not _LENGTH.fullmatch(given)):
        # Chunked and with a length: some servers let it pass and go by the chunks, and a body that says it is one
        # byte long is then as long as its sender likes. What bodies take in memory is counted by what they say.
        return MALFORMED
    return TOO_LARGE if given is not None and int(given) > most else None


def _page(sight: Sight, head: Head, *, wait_s: int = RETRY_AFTER_S) -> Reply:
    return returning.refused(
        sight, head.headers.get("accept-language"), wait_s=wait_s, posted=head.method == "POST"
    )


def _sent_away(reply: Reply, head: Head) -> Reply:
    """What a browser is shown where a sender would read a number."""
    told = dict(reply.headers).get("retry-after", "")
    wait_s = int(told) if _LENGTH.fullmatch(told) else RETRY_AFTER_S
    return _page(Sight.CROWDED if reply.status == 429 else Sight.CLOSED, head, wait_s=wait_s)


def _back(came: Incoming, form: bytes | None) -> Back:
    return Back(
        tenant=came.tenant,
        gateway=came.gateway,
        query=came.query,
        form=form,
        accept_language=came.headers.get("accept-language"),
    )


# --- answers of the doors themselves ------------------------------------------------------------------------------


_LOOKED_IN: Final = Reply(status=200, media_type=HTML)


TOO_SLOW: Final = refusal(503, "body_too_slow", ("retry-after", str(RETRY_AFTER_S)))
"""For a body that did not come in time. Not a 4xx, although the sender was slow: nobody can tell a slow network from
a slow sender or a busy machine of ours, and senders give a message up after a 4xx."""

BODY_TAKEN: Final = refusal(503, "body_taken", ("retry-after", str(RETRY_AFTER_S)))
"""For a body that has a length and nothing in it: a middleware of the host's has read it, which is our own fault. A
sender whose connection broke is not there to be answered."""


@lru_cache(maxsize=8)
def _allow(door: Door) -> str:
    return ", ".join((*_METHODS[door], "OPTIONS"))


def _wrong_method(door: Door, method: str) -> Reply:
    if method == "OPTIONS":
        return Reply(status=204, headers=(("allow", _allow(door)),))
    return refusal(405, "method_not_allowed", ("allow", _allow(door)))


def health_reply(health: Health) -> Reply:
    """What a probe is told: words and counts. The sentences of `Payments.health()` may name hosts and files, and stay
    inside."""
    full = health.as_document()
    told: dict[str, Any] = {
        "ok": health.ok,
        "ready": health.ready,
        "at": full["at"],
        "store": "closed" if not health.opened else "ok" if health.store_problem is None else "down",
        "restored": health.restored is not None,
        "queues": {
            name: {"waiting": queue["waiting"], "parked": queue["parked"], "oldest_s": queue["oldest_s"]}
            for name, queue in full["queues"].items()
        },
        "unknown": full["unknown"],
        "workers": full["workers"],
        "troubles": sorted({trouble["code"] for trouble in full["troubles"]}),
    }
    headers = () if health.ready else (("retry-after", str(RETRY_AFTER_S)),)
    return Reply(status=200 if health.ready else 503, body=json.dumps(told).encode("ascii"), headers=headers)


_COMMON: Final = (("cache-control", "no-store"), ("x-content-type-options", "nosniff"))
_NO_BODY: Final = frozenset({204, 304})


def headers_of(reply: Reply) -> list[tuple[str, str]]:
    """All headers of an answer, names in lower case."""
    headers = [*_COMMON, *reply.headers]
    if reply.status not in _NO_BODY:
        headers.append(("content-type", reply.media_type))
        headers.append(("content-length", str(len(reply.body))))
    return headers
