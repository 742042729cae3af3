"""The doors' limits, as their operator sets them. What each of them answers is in docs/webhooks-limits.md.

They are the webhook door's, except where "returns" are named; of a browser's return nobody knows who it comes from, so
no list and no block holds for it.

The layers that need no counting work in every installation: bounds on one request, on the bodies in memory, and the
lists of who may send. Rates and the blocking of forgers count, by the `limits` package (extra `limits`).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from math import floor
from typing import Final, Protocol

from vextrus_payments.errors import ConfigurationError
from vextrus_payments.secret import Secret
from vextrus_payments.sink_port import check_coroutine_function
from vextrus_payments.webhooks.sources import ForwardedHeader, Source, networks_of

_DAY_S: Final = 86_400
#: More is no limit, and the fewer a window holds, the less a counter of a shared Redis is worth.
_COUNT_MAX: Final = 1_000_000
_MARGIN_S: Final = 0.001


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` requests in any `per_s` seconds (a sliding window: no double burst where two windows meet).

    Raises:
        ConfigurationError: it is no rate: 1 to 1,000,000 requests, 1 to 86,400 seconds.
    """

    count: int
    per_s: int

    def __post_init__(self) -> None:
        for value, most in ((self.count, _COUNT_MAX), (self.per_s, _DAY_S)):
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise ConfigurationError(
                    "A rate of the doors' limits is none.",
                    code="door_limits",
                    next_step="Write Rate(600, per_s=60): 1 to 1,000,000 requests in 1 to 86,400 whole seconds.",
                )


Rates = Rate | tuple[Rate, ...]
"""One rate, or several that all hold, such as a burst and a longer run."""

AllowHook = Callable[[Source], Awaitable[bool]]
"""Asked whether a source may send; False sends it away with 403."""


class Counters(Protocol):
    """Counts requests. The small port behind which a counting library stands."""

    async def hit(self, key: str, rate: Rate) -> float | None:
        """Count one more if it fits: None. Else nothing is counted, and it is how many seconds to wait.

        Raises:
            Exception: whatever the counters' own place raises when it cannot be asked.
        """
        ...

    async def wait_s(self, key: str, rate: Rate) -> float:
        """How many seconds until one more fits, 0 if it does now. Nothing is counted.

        Raises:
            Exception: as `hit`.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections; the next use connects again."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorLimits:
    """What the doors take, and from whom.

    Raises:
        ConfigurationError: limits that do not fit, or networks that are none.
    """

    # --- one request ---
    body_max_bytes: int = 262_144
    """A longer body is answered 413, unread. Amazon SNS sends 256 KiB at most, others far less."""
    headers_max: int = 100
    read_deadline_s: float = 10.0
    """How long a whole body may take to come in."""

    # --- bodies in memory, of all requests at once ---
    bodies_max: int = 1_024
    bodies_max_bytes: int = 67_108_864
    """By what their heads announce; a body of unknown length counts as `body_max_bytes`. The last quarter of both is
    kept for senders that are known or have proven themselves, and one source gets no more than a quarter; of the
    others, none gets more than is left for all the rest."""

    # --- who ---
    trusted_proxies: tuple[str, ...] = ()
    """Our own proxies' networks, such as ("10.0.0.0/8",); "unix" for one behind a Unix socket. Without it the socket's
    other end is the source, and no header is looked at."""
    forwarded: ForwardedHeader = "x-forwarded-for"
    """The header our proxies write hops into: "x-forwarded-for" or "forwarded". Only this one is read."""
    allow_from: tuple[str, ...] = ()
    """Only these networks may send; others are answered 403. Empty: everybody may."""
    known_senders: tuple[str, ...] = ()
    """Networks our senders send from: not counted per source, never blocked, and served apart from strangers."""
    allow: AllowHook | None = field(default=None, repr=False)
    """Asked for every request. When it fails or takes longer than `allow_timeout_s`, the request goes on: a signature
    still has to be right."""
    allow_timeout_s: float = 1.0

    # --- how many (extra `limits`) ---
    per_source: Rates | None = None
    per_tenant: Rates | None = None
    """Of each tenant's doors together, from strangers; senders that are known or proven have as much of their own."""
    per_gateway: Rates | None = None
    """Of one gateway's doors, of all tenants together; strangers and proven senders apart, as above."""
    tenants: Mapping[str, Rates] = field(default_factory=dict)
    """Other rates for single tenants."""
    gateways: Mapping[str, Rates] = field(default_factory=dict)
    """Other rates for single gateways."""
    returns_per_source: Rates | None = None
    """Of browsers that come back, from one source. A mobile network brings thousands of payers from a few addresses,
    and a page that waits looks again by itself about ten times, so set it for a crowd and not for one payer."""
    block_after: int | None = None
    """A source that has sent so many wrong signatures within `block_window_s` is answered 429 for `block_s`."""
    block_window_s: int = 60
    block_s: int = 600
    shared: str | Secret | None = field(default=None, repr=False)
    """The URL of a Redis in which all processes count together; without it each process counts for itself."""
    shared_ca_file: str | None = None
    """Whom to trust for that Redis's TLS (`rediss://`), instead of the system's authorities (PEM)."""
    shared_timeout_s: float = 0.25
    """How long that Redis may take to answer. Then, and while it is down, each process counts for itself."""

    def __post_init__(self) -> None:
        counts = [
            "body_max_bytes",
            "headers_max",
            "bodies_max",
            "bodies_max_bytes",
            "block_window_s",
            "block_s",
        ]
        wrong = [name for name in counts if not _is_count(getattr(self, name))]
        times = ("read_deadline_s", "allow_timeout_s", "shared_timeout_s")
        wrong += [name for name in times if not 0 < getattr(self, name) < float("inf")]
        if self.block_after is not None and not _is_count(self.block_after):
            wrong.append("block_after")
        if not wrong and self.bodies_max < 4:
            wrong.append("bodies_max")
        if not wrong and self.bodies_max_bytes < 4 * self.body_max_bytes:
            wrong.append("bodies_max_bytes")
        if self.forwarded not in ("x-forwarded-for", "forwarded"):
            wrong.append("forwarded")
        wrong += [name for name in _RATES if not _are_rates(getattr(self, name))]
        wrong += [name for name in _NAMED if not all(map(_are_rates, getattr(self, name).values()))]
        if wrong:
            raise ConfigurationError(
                f"Limits of the doors do not fit: {', '.join(wrong)}.",
                code="door_limits",
                next_step="Times and counts are above zero, rates are Rate(count, per_s=...) or a tuple of them, at "
                "least 4 bodies fit into memory, and their bytes into bodies_max_bytes; forwarded is "
                '"x-forwarded-for" or "forwarded".',
            )
        if self.allow is not None:
            check_coroutine_function("allow", self.allow)
        networks_of("trusted_proxies", self.trusted_proxies, everyone=False)
        networks_of("allow_from", self.allow_from)
        networks_of("known_senders", self.known_senders, everyone=False)
        self._check_shares()

    @property
    def counts(self) -> bool:
        """Whether anything is to be counted, for which the extra `limits` is needed."""
        return bool(
            self.per_source
            or self.per_tenant
            or self.per_gateway
            or self.tenants
            or self.gateways
            or self.block_after
            or self.returns_per_source
        )

    @property
    def by_source(self) -> bool:
        """Whether anything that is set goes by where a request comes from."""
        return bool(
            self.per_source
            or self.returns_per_source
            or self.block_after
            or self.allow_from
            or self.known_senders
            or self.allow
        )

    def rates_of_tenant(self, tenant: str) -> tuple[Rate, ...]:
        """What holds for a tenant's doors."""
        return as_rates(self.tenants.get(tenant, self.per_tenant))

    def rates_of_gateway(self, gateway: str) -> tuple[Rate, ...]:
        """What holds for a gateway's doors."""
        return as_rates(self.gateways.get(gateway, self.per_gateway))

    def _check_shares(self) -> None:
        """One source must not be able to use up what a tenant's or a gateway's strangers have together."""
        if self.per_source is None:
            return
        one = min(rate.count / rate.per_s for rate in as_rates(self.per_source))
        for rates in (self.per_tenant, self.per_gateway, *self.tenants.values(), *self.gateways.values()):
            if any(2 * one > rate.count / rate.per_s for rate in as_rates(rates)):
                raise ConfigurationError(
                    "One source may send more than half of what a whole tenant or gateway may.",
                    code="door_limits",
                    next_step="Lower per_source, or raise the others to twice as much or more.",
                )


_RATES: Final = ("per_source", "per_tenant", "per_gateway", "returns_per_source")
_NAMED: Final = ("tenants", "gateways")


def as_rates(rates: Rates | None) -> tuple[Rate, ...]:
    """Always several, the shortest window first: they are asked in turn, and what one of them refuses was counted by
    those before it. A window that is over soon forgets that soon."""
    if rates is None:
        return ()
    return (rates,) if isinstance(rates, Rate) else tuple(sorted(rates, key=lambda rate: rate.per_s))


def wait_s(rate: Rate, *, previous: int, current: int, left_s: float) -> float:
    """How long until one more fits a sliding window, if nothing else comes: never more than two windows.

    The window is counted from two fixed ones: what the previous one held fades as the current one goes on.

    Args:
        previous, current: how many each of the two holds.
        left_s: what is left of the current one.
    """
    length = float(rate.per_s)
    left = min(max(left_s, 0.0), length)
    if current < rate.count:
        if previous * left / length + current < rate.count:
            return 0.0
        return left - (rate.count - current) * length / previous
    return left + length * (1 - rate.count / current)


def retry_after(seconds: float) -> str:
    """Whole seconds for the header, never none: at the very instant the last one may not have faded yet, nor by the
    last digit of a fraction."""
    return str(floor(max(seconds, 0.0) + _MARGIN_S) + 1)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _are_rates(value: object) -> bool:
    if value is None or isinstance(value, Rate):
        return True
    return isinstance(value, tuple) and bool(value) and all(isinstance(rate, Rate) for rate in value)
