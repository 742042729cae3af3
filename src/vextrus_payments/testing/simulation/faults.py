"""What can happen to one request on its way to a gateway and back, and how often."""

from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Final


class WireFault(StrEnum):
    """The faults of the simulated network and of what stands in front of a gateway."""

    NO_NAME = "no_name"
    """The host's name is not found."""
    REFUSED = "refused"
    """The connection is refused."""
    NO_ROUTE = "no_route"
    """The connection is never answered."""
    TLS_FAILS = "tls_fails"
    """The handshake fails (where there is TLS)."""
    LOST = "lost"
    """The request vanishes on its way; nobody says so."""
    RESET_BEFORE = "reset_before"
    """The connection is reset; the gateway does nothing."""
    ERROR_BEFORE = "error_before"
    """A proxy answers 503; the gateway does nothing."""
    TOKEN_REJECTED = "token_rejected"
    """The front door takes the token for one that is over."""
    ZOMBIE = "zombie"
    """The gateway does it long after the caller has given up."""
    RESET_AFTER = "reset_after"
    """The gateway does it; the connection is reset."""
    SILENT_AFTER = "silent_after"
    """The gateway does it; no answer ever comes."""
    ERROR_AFTER = "error_after"
    """The gateway does it; a proxy answers 504."""
    MALFORMED = "malformed"
    """The gateway does it; half of its JSON arrives as a whole answer."""
    EMPTY = "empty"
    """The gateway does it and answers 200 with nothing."""
    HTML = "html"
    """The gateway does it; a page arrives in place of its answer."""
    MID_BODY = "mid_body"
    """The gateway does it; the connection ends in the middle of its answer."""
    DRIP = "drip"
    """The gateway does it; its answer comes in drops, too slowly."""
    REDIRECT = "redirect"
    """A proxy answers 302; the gateway does nothing."""


#: Faults that strike while the connection is made.
CONNECTING: Final = (WireFault.NO_NAME, WireFault.REFUSED, WireFault.NO_ROUTE, WireFault.TLS_FAILS)
#: Faults that strike a request that has left.
CARRIED: Final = tuple(fault for fault in WireFault if fault not in CONNECTING)
#: Faults under which the gateway does what was asked.
DONE: Final = frozenset(
    {
        WireFault.ZOMBIE,
        WireFault.RESET_AFTER,
        WireFault.SILENT_AFTER,
        WireFault.ERROR_AFTER,
        WireFault.MALFORMED,
        WireFault.EMPTY,
        WireFault.HTML,
        WireFault.MID_BODY,
        WireFault.DRIP,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How bad things are in one run. Rates go from 0 to 1.

    Attributes:
        wire: faults per request.
        connect: faults per connection that is made.
        disk: faults per begin and per commit.
        ledger: calls of the ledger callback that raise, hang or are slow.
        outages: how many times in a story the network goes dark, for half a minute to four.
        clock: how often the wall clock is stepped within the story; 0 is never.
        latency_s: how long a request or an answer is on its way, at most.
        slow_disk: pieces of database work that take more than no time.
        only: the carried faults to choose from.
    """

    wire: float = 0.0
    connect: float = 0.0
    disk: float = 0.0
    ledger: float = 0.0
    outages: int = 0
    clock: float = 0.0
    latency_s: float = 0.3
    slow_disk: float = 0.1
    only: tuple[WireFault, ...] = CARRIED

    @classmethod
    def fair(cls) -> "Weather":
        """Nothing goes wrong by itself."""
        return cls()

    @classmethod
    def drawn(cls, rng: Random) -> "Weather":
        """A weather for a seed: often fair, sometimes foul, seldom everything at once."""
        wire = rng.choice((0.0, 0.05, 0.15, 0.3, 0.5))
        return cls(
            wire=wire,
            connect=rng.choice((0.0, 0.0, 0.1, 0.3)),
            disk=rng.choice((0.0, 0.0, 0.02, 0.08)),
            ledger=rng.choice((0.0, 0.2, 0.6)),
            outages=rng.choice((0, 0, 1, 2)),
            clock=rng.choice((0.0, 0.0, 0.0, 0.1)),
            latency_s=rng.choice((0.05, 0.3, 2.0)),
            slow_disk=rng.choice((0.0, 0.1, 0.5)),
            only=CARRIED if rng.random() < 0.6 else tuple(rng.sample(CARRIED, 4)),
        )


@dataclass(slots=True)
class Faults:
    """Draws the faults of one run, and lets a test order some.

    Attributes:
        weather: how often they strike by themselves.
        ordered: (path ending, fault): strike the next request whose path ends so, each once, first ordered first.
        struck: how often each one struck.
    """

    rng: Random
    weather: Weather
    ordered: list[tuple[str, WireFault]] = field(default_factory=list)
    struck: dict[WireFault, int] = field(default_factory=dict)
    dark: list[tuple[float, float]] = field(default_factory=list)
    """From when to when (virtual seconds) nothing gets through."""

    def __post_init__(self) -> None:
        for _ in range(self.weather.outages):
            begins_s = self.rng.uniform(2.0, 40.0)
            self.dark.append((begins_s, begins_s + self.rng.choice((30.0, 90.0, 240.0))))

    def is_dark(self, now_s: float) -> bool:
        """Whether nothing gets through at this moment."""
        return any(begins_s <= now_s < ends_s for begins_s, ends_s in self.dark)

    def order(self, path_ends: str, fault: WireFault) -> None:
        """Strike the next request whose path ends so."""
        self.ordered.append((path_ends, fault))

    def heal(self) -> None:
        """From now on nothing strikes any more."""
        self.weather = Weather(latency_s=self.weather.latency_s, slow_disk=self.weather.slow_disk)
        self.ordered.clear()
        self.dark.clear()

    def of_connection(self, *kinds: WireFault) -> WireFault | None:
        """Which of these faults, if any, strikes a connection that is being made."""
        if not self.weather.connect or self.rng.random() >= self.weather.connect:
            return None
        drawn = self.rng.choice(CONNECTING)
        return self._counted(drawn) if drawn in kinds else None

    def of_request(self, path: str) -> WireFault | None:
        """What strikes a request that has left."""
        for order in self.ordered:
            if path.endswith(order[0]):
                self.ordered.remove(order)
                return self._counted(order[1])
        if not self.weather.wire or self.rng.random() >= self.weather.wire:
            return None
        return self._counted(self.rng.choice(self.weather.only))

    def _counted(self, fault: WireFault) -> WireFault:
        self.struck[fault] = self.struck.get(fault, 0) + 1
        return fault
