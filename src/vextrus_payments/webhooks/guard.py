"""Stands at the doors: who may come in, how many at once, and how often.

It judges heads, before a body is read, in this order: the bounds of one request, the lists, the blocked, a place in
memory, the rates. Whatever it cannot find out (a Redis that is down, a hook that fails) it lets pass: behind it the
signature decides. Nothing here is needed for money to be safe; it keeps the door usable under attack.

Strangers and senders. A request proves nothing before its signature is checked, so strangers are counted together
with strangers, and never with those who have proven themselves: whose signatures were right within the last day, or
whose networks are `known_senders`. These have their own counts per tenant and gateway and the last quarter of the
places, and are not blocked for wrong signatures: an address may be shared by an honest sender and a forger, as those
of Amazon SNS are.

Browsers that come back are nobody: there is no signature to prove, no list to be on, and an address may be a whole
mobile network's. They are counted per source, apart from senders; a posted return takes a stranger's place in memory.
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from vextrus_payments.clock import Clock
from vextrus_payments.errors import MissingExtraError
from vextrus_payments.observe import Observer
from vextrus_payments.secret import Secret
from vextrus_payments.webhooks.limits import Counters, DoorLimits, Rate, as_rates, retry_after
from vextrus_payments.webhooks.messages import Incoming, Reply
from vextrus_payments.webhooks.replies import HEADERS_TOO_MANY, MALFORMED, TOO_LARGE, refusal
from vextrus_payments.webhooks.returning import FORM_MAX_BYTES
from vextrus_payments.webhooks.routes import Door
from vextrus_payments.webhooks.sources import Source, SourceFinder, is_near, networks_of

#: For so long a right signature sets its source apart from strangers.
_PROVEN_S: Final = 86_400.0
#: The most sources that are remembered as proven, and as blocked.
_REMEMBERED_MAX: Final = 10_000
#: A flood makes one event in so many seconds for each kind of refusal, not one for each request.
_TELL_EVERY_S: Final = 10.0
#: When to come again where memory is full: bodies come in within seconds.
_FULL_RETRY_S: Final = 1

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_LENGTH: Final = re.compile(r"[0-9]{1,18}", re.ASCII)

FORBIDDEN: Final = refusal(403, "source_not_allowed")
"""By the operator's own word: it may not send here, now or later."""


@dataclass(slots=True)
class _Places:
    """What is in memory, of all requests that were let in and have not left."""

    bodies: int = 0
    size: int = 0


@dataclass(slots=True)
class _Told:
    """When a kind of refusal was last told of, and how many there were since."""

    at: float
    since: int = 0


class Guard:
    """The limits of the doors. Belongs to one event loop; building one does no I/O.

    Args:
        limits: what the operator has set; the default counts nothing.
        counters: in place of those that `limits` asks for.

    Raises:
        ConfigurationError: the Redis of `limits` cannot be used.
        MissingExtraError: something is to be counted, and the extra `limits` is not installed.
    """

    def __init__(
        self,
        limits: DoorLimits | None = None,
        *,
        clock: Clock,
        observer: Observer,
        counters: Counters | None = None,
    ) -> None:
        self._limits = limits or DoorLimits()
        self._clock = clock
        self._observer = observer
        self._finder = SourceFinder(
            networks_of("trusted_proxies", self._limits.trusted_proxies), self._limits.forwarded
        )
        self._allow_from = networks_of("allow_from", self._limits.allow_from)
        self._known = networks_of("known_senders", self._limits.known_senders)
        self._counters = counters
        if counters is None and self._limits.counts:
            self._counters = _counters(self._limits, clock, observer)
        self._all = _Places()
        self._places: dict[str, _Places] = {}
        self._proven: OrderedDict[str, float] = OrderedDict()
        self._blocked: OrderedDict[str, float] = OrderedDict()
        self._told: dict[str, _Told] = {}
        self._hinted = False
        self._forwarder: str | None = None

    @property
    def body_max_bytes(self) -> int:
        """See DoorLimits."""
        return self._limits.body_max_bytes

    @property
    def read_deadline_s(self) -> float:
        """See DoorLimits."""
        return self._limits.read_deadline_s

    @property
    def forwarder(self) -> str | None:
        """The address of a proxy that no setting names, while settings go by where requests come from: all of its
        requests then count as its own. Only of a network of our own, for any stranger can write such a header."""
        return self._forwarder if self._limits.by_source else None

    def source(self, incoming: Incoming) -> Source:
        """Where a request comes from, as far as our own proxies say. Never raises."""
        return self._finder.find(incoming.peer, incoming.headers)

    async def admit(self, incoming: Incoming) -> Reply | None:
        """Judge a request by its head: None lets it in, and then it has to `leave`; a reply sends it away.

        Raises nothing but a cancellation, after which there is nothing to leave.
        """
        announced = self._announced(incoming)
        if isinstance(announced, Reply):
            return announced
        source = self.source(incoming)
        self._hint(source, incoming)
        returned = incoming.door is Door.RETURN
        refused = None if returned else self._barred(source)
        refused = refused or self._take_place(
            source, announced, apart=not returned and self._is_apart(source)
        )
        if refused is not None or (self._counters is None and self._limits.allow is None):
            return refused  # or let in: there is nobody else to ask
        let_in = False
        try:
            if returned:
                refused = await self._counted_return(source)
            else:
                refused = await self._asked(source) or await self._counted(source, incoming)
            let_in = refused is None
        finally:
            if not let_in:
                self._give_back(source, announced)
        return refused

    def leave(self, incoming: Incoming) -> None:
        """A request that was let in is over: its place is free. Give what was given to `admit`."""
        announced = self._announced(incoming)
        if not isinstance(announced, Reply):
            self._give_back(self.source(incoming), announced)

    async def bad_signature(self, incoming: Incoming) -> None:
        """A request's signature was wrong. Only for what is forged: a message that its sender did sign, but for
        another topic or outside of its time, says nothing against the address it came from. Never raises.
        """
        after = self._limits.block_after
        if after is None or self._counters is None:
            return
        source = self.source(incoming)
        if self._is_apart(source):
            return
        # One more than fits is the one too many: `block_after` wrong ones are counted, so that many less one fit.
        fits = Rate(after - 1, self._limits.block_window_s) if after > 1 else None
        if fits is None or await self._hit(f"wrong/{source.key}", fits) is not None:
            _remember(self._blocked, source.key, self._clock.monotonic() + self._limits.block_s)
            self._tell("blocked", source, wrong_signatures=after, block_s=self._limits.block_s)

    def good_signature(self, incoming: Incoming) -> None:
        """A request's signature was right: its source is no stranger for a day."""
        source = self.source(incoming)
        self._blocked.pop(source.key, None)
        _remember(self._proven, source.key, self._clock.monotonic() + _PROVEN_S)

    async def aclose(self) -> None:
        """Let go of connections. It may be used again."""
        if self._counters is not None:
            await self._counters.aclose()

    # --- by the head alone ------------------------------------------------------------------------------------------

    def _announced(self, incoming: Incoming) -> int | Reply | None:
        """How many bytes its body may take, None for no body at all; a reply where that is too many, or the head is
        unfit. Browsers send more headers than servers, and those are the door's to bound."""
        most = self._limits.body_max_bytes
        if incoming.door is Door.RETURN:
            if incoming.method != "POST":
                return None
            most = min(most, FORM_MAX_BYTES)
        elif len(incoming.headers) > self._limits.headers_max:
            return HEADERS_TOO_MANY
        given = incoming.headers.get("content-length")
        if given is None:
            return most
        if not _LENGTH.fullmatch(given) or "transfer-encoding" in incoming.headers:
            return MALFORMED
        return int(given) if int(given) <= most else TOO_LARGE

    def _hint(self, source: Source, incoming: Incoming) -> None:
        """Somebody between us and the sender said where it comes from, and nobody is trusted to say so."""
        if (self._hinted and self._forwarder is not None) or not self._finder.is_unread(incoming.headers):
            return
        if not self._hinted:
            self._hinted = True
            self._observer.event("doors.proxy_untrusted", peer=source.address)
        if is_near(source):
            self._forwarder = source.address

    def _barred(self, source: Source) -> Reply | None:
        if self._allow_from and not self._allow_from.holds_source(source):
            self._tell("not_in_allow_from", source)
            return FORBIDDEN
        until = self._blocked.get(source.key)
        if until is None:
            return None
        left = until - self._clock.monotonic()
        if left <= 0:
            del self._blocked[source.key]
            return None
        self._tell("blocked_source", source)
        return refusal(429, "blocked", ("retry-after", retry_after(left)))

    # --- places in memory -------------------------------------------------------------------------------------------

    def _take_place(self, source: Source, size: int | None, *, apart: bool) -> Reply | None:
        if size is None:
            return None
        bodies, total = self._limits.bodies_max, self._limits.bodies_max_bytes
        if not apart:
            bodies, total = bodies - bodies // 4, total - total // 4
        if self._all.bodies >= bodies or self._all.size + size > total:
            self._tell("memory_full", source)
            return refusal(503, "busy", ("retry-after", str(_FULL_RETRY_S)))
        own = self._places.get(source.key)
        if own is not None and not (apart and self._known.holds_source(source)):
            own_bodies, own_bytes = self._limits.bodies_max // 4, self._limits.bodies_max_bytes // 4
            if not apart:
                # Never more than is left for all others: three addresses whose bodies drip would hold every place of
                # strangers, and no sender would ever come in to prove himself. So each further one halves the rest.
                own_bodies = min(own_bodies, bodies - self._all.bodies)
                own_bytes = min(own_bytes, total - self._all.size)
            if own.bodies >= own_bodies or own.size + size > own_bytes:
                self._tell("source_full", source)
                return refusal(429, "too_many_at_once", ("retry-after", str(_FULL_RETRY_S)))
        if own is None:
            own = self._places[source.key] = _Places()
        for places in (own, self._all):
            places.bodies += 1
            places.size += size
        return None

    def _give_back(self, source: Source, size: int | None) -> None:
        own = self._places.get(source.key)
        if own is None or size is None:
            return  # left twice, or without a body: it has no place to give
        for places in (own, self._all):
            places.bodies -= 1
            places.size -= size
        if own.bodies <= 0:
            self._all.size -= own.size  # nothing of it is left over, whatever was given back for what
            del self._places[source.key]

    # --- by asking and counting -------------------------------------------------------------------------------------

    async def _asked(self, source: Source) -> Reply | None:
        """The operator's hook. One that fails or does not answer lets everybody pass: it is our own fault."""
        hook = self._limits.allow
        if hook is None:
            return None
        try:
            async with asyncio.timeout(self._limits.allow_timeout_s):
                allowed = await hook(source)
        except Exception as error:  # noqa: BLE001 - see above
            self._tell("hook_failed", source, error=type(error).__name__)
            return None
        if allowed:
            return None
        self._tell("not_allowed", source)
        return FORBIDDEN

    async def _counted(self, source: Source, incoming: Incoming) -> Reply | None:
        """The rates, the source's own first: what one source may not send uses up nothing of the others'."""
        if self._counters is None:
            return None
        limits, apart = self._limits, "senders" if self._is_apart(source) else "strangers"
        if not self._known.holds_source(source):
            waits = await self._hit_all(f"source/{source.key}", as_rates(limits.per_source))
            if waits is not None:
                return self._too_many("source_rate", source, waits)
        tenant, gateway = _bucket(incoming.tenant or "-"), _bucket(incoming.gateway)
        waits = await self._hit_all(f"tenant/{tenant}/{apart}", limits.rates_of_tenant(tenant))
        if waits is not None:
            return self._too_many("tenant_rate", source, waits)
        waits = await self._hit_all(f"gateway/{gateway}/{apart}", limits.rates_of_gateway(gateway))
        if waits is not None:
            return self._too_many("gateway_rate", source, waits)
        return None

    async def _counted_return(self, source: Source) -> Reply | None:
        """The one rate of browsers. A tenant's or a gateway's would let anybody turn all its payers away."""
        if self._counters is None:
            return None
        waits = await self._hit_all(f"return/{source.key}", as_rates(self._limits.returns_per_source))
        return None if waits is None else self._too_many("return_rate", source, waits)

    async def _hit_all(self, key: str, rates: tuple[Rate, ...]) -> float | None:
        """Count one more if all of the rates have room. If not: how many seconds until all of them have."""
        for rate in rates:
            waits = await self._hit(key, rate)
            if waits is not None:
                others = [await self._wait_s(key, other) for other in rates if other is not rate]
                return max(waits, *others, 0.0)
        return None

    async def _hit(self, key: str, rate: Rate) -> float | None:
        assert self._counters is not None
        try:
            return await self._counters.hit(key, rate)
        except Exception as error:  # noqa: BLE001 - a counter that cannot count turns nobody away
            self._observer.event("doors.counters.failed", error=type(error).__name__)
            return None

    async def _wait_s(self, key: str, rate: Rate) -> float:
        assert self._counters is not None
        try:
            return await self._counters.wait_s(key, rate)
        except Exception as error:  # noqa: BLE001 - then the wait that is known has to do
            self._observer.event("doors.counters.failed", error=type(error).__name__)
            return 0.0

    def _too_many(self, kind: str, source: Source, waits_s: float) -> Reply:
        self._tell(kind, source)
        return refusal(429, "too_many_requests", ("retry-after", retry_after(waits_s)))

    # --- who is no stranger -----------------------------------------------------------------------------------------

    def _is_apart(self, source: Source) -> bool:
        until = self._proven.get(source.key)
        if until is not None:
            if until > self._clock.monotonic():
                return True
            del self._proven[source.key]
        return self._known.holds_source(source)

    def _tell(self, kind: str, source: Source, **fields: object) -> None:
        """One event in a while for each kind of refusal, with how many there were since the last one."""
        now = self._clock.monotonic()
        told = self._told.get(kind)
        if told is not None and now - told.at < _TELL_EVERY_S:
            told.since += 1
            return
        more = 0 if told is None else told.since
        self._told[kind] = _Told(now)
        self._observer.event(f"doors.{kind}", source=source.address, unmentioned=more, **fields)


def _bucket(name: str) -> str:
    """A name out of a path, fit for a counter's key; all that are no names share one."""
    return name if name == "-" or _NAME.fullmatch(name) else "?"


def _remember(kept: OrderedDict[str, float], key: str, until: float) -> None:
    """Keep it as the newest, and let the oldest go where there are too many."""
    kept[key] = until
    kept.move_to_end(key)
    if len(kept) > _REMEMBERED_MAX:
        kept.popitem(last=False)


def _counters(limits: DoorLimits, clock: Clock, observer: Observer) -> Counters:
    counters_of = _counters_of()
    if counters_of is None:
        raise MissingExtraError(
            "The doors' limits count requests with the limits package, which is not installed.",
            next_step='Install it: pip install "vextrus-payments[limits]"',
        )
    shared = limits.shared.reveal() if isinstance(limits.shared, Secret) else limits.shared
    return counters_of(
        shared,
        ca_file=limits.shared_ca_file,
        timeout_s=limits.shared_timeout_s,
        clock=clock,
        observer=observer,
    )


def _counters_of() -> Callable[..., Counters] | None:
    try:
        from vextrus_payments.webhooks.counters import counters_of
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "limits":
            raise
        return None
    return counters_of
