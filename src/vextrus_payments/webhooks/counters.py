"""Counters by the `limits` package (extra `limits`); this file alone imports it.

Windows slide: the strategy is the package's sliding-window counter, which costs two numbers for each source however
high the rate is. In a Redis its own scripts count. Within a process it counts in `Windows`, a storage of ours for it:
the package's own one looks through all its keys after every hit, on a thread, keeps as many keys as strangers care to
make, and goes by the wall clock, which is set back sometimes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from limits import RateLimitItemPerSecond
from limits.aio.storage import RedisStorage, SlidingWindowCounterSupport, Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from vextrus_payments.clock import Clock
from vextrus_payments.errors import ConfigurationError
from vextrus_payments.observe import Observer
from vextrus_payments.webhooks.limits import Counters, Rate, wait_s

T = TypeVar("T")

#: The most sources (or tenants) that are counted for one length of window; the longest unseen one is forgotten first.
KEYS_MAX: Final = 50_000
#: A Redis that failed is left alone for so long.
_REST_S: Final = 5.0
#: At most so many questions at once; who comes later waits, within the same time.
_AT_ONCE: Final = 32
_PREFIX: Final = "vextrus_payments:doors"


class _Window:
    __slots__ = ("current", "number", "previous")

    def __init__(self, number: int) -> None:
        self.number = number
        self.current = 0
        self.previous = 0


class Windows(Storage, SlidingWindowCounterSupport):
    """A storage for the package's sliding-window counter: in memory, bounded, by the injected clock.

    Args:
        clock: its monotonic time counts.
        keys_max: see KEYS_MAX.
    """

    STORAGE_SCHEME: list[str] | None = None  # made here, not by a URL

    def __init__(self, clock: Clock, *, keys_max: int = KEYS_MAX) -> None:
        super().__init__()
        self._clock = clock
        self._keys_max = keys_max
        # For each length of window: the keys, those that began a window last at the end.
        self._windows: dict[int, dict[str, _Window]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._windows.values()))

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count `amount` more if they fit."""
        window, left = self._window(key, expiry)
        if int(window.previous * left / expiry) + window.current + amount > limit:
            return False
        window.current += amount
        return True

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """The two counts, each with how long it still matters, in seconds."""
        window, left = self._window(key, expiry)
        return window.previous, left, window.current, left + expiry

    async def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Forget a key."""
        self._windows.get(expiry, {}).pop(key, None)

    def _window(self, key: str, expiry: int) -> tuple[_Window, float]:
        now = self._clock.monotonic()
        number = int(now // expiry)
        windows = self._windows.setdefault(expiry, {})
        window = windows.get(key)
        if window is None or window.number != number:
            before, window = windows.pop(key, None), _Window(number)
            if before is not None and before.number == number - 1:
                window.previous = before.current
            windows[key] = window
            self._forget(windows, number)
        return window, (number + 1) * expiry - now

    def _forget(self, windows: dict[str, _Window], number: int) -> None:
        """Let go of two keys that are over for each that comes, and of the oldest one where there are too many."""
        for _ in range(2):
            oldest = next(iter(windows))
            if windows[oldest].number >= number - 1 and len(windows) <= self._keys_max:
                return
            del windows[oldest]

    # --- what the package asks of every storage, for strategies that are not used here ------------------------------

    @property
    def base_exceptions(self) -> type[Exception]:
        """Nothing can fail here."""
        return ValueError

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count without a limit, in the window under way."""
        window, _ = self._window(key, expiry)
        window.current += amount
        return window.current

    async def get(self, key: str) -> int:
        """What the key's windows under way hold, of whatever length."""
        return sum(windows[key].current for windows in self._windows.values() if key in windows)

    async def get_expiry(self, key: str) -> float:
        """Now: windows slide."""
        return self._clock.now().timestamp()

    async def check(self) -> bool:
        """Always well."""
        return True

    async def reset(self) -> int:
        """Forget everything; how many keys."""
        forgotten = len(self)
        self._windows.clear()
        return forgotten

    async def clear(self, key: str) -> None:
        """Forget a key of every length."""
        for windows in self._windows.values():
            windows.pop(key, None)


class LocalCounters:
    """Counts within this process."""

    def __init__(self, clock: Clock, *, keys_max: int = KEYS_MAX) -> None:
        self._storage = Windows(clock, keys_max=keys_max)
        self._limiter = SlidingWindowCounterRateLimiter(self._storage)

    async def hit(self, key: str, rate: Rate) -> float | None:
        """See Counters."""
        return await _hit(self._limiter, self._storage, key, rate)

    async def wait_s(self, key: str, rate: Rate) -> float:
        """See Counters."""
        return await _wait_s(self._storage, key, rate)

    async def aclose(self) -> None:
        """Nothing to let go of."""


@dataclass(frozen=True, slots=True)
class _Link:
    """What one event loop uses of a Redis."""

    loop: asyncio.AbstractEventLoop
    storage: RedisStorage
    limiter: SlidingWindowCounterRateLimiter
    places: asyncio.Semaphore


class RedisCounters:
    """Counts in a Redis, for all processes that name it.

    Raises:
        ConfigurationError: the URL names no Redis, or redis-py is missing or too old.
    """

    def __init__(self, url: str, *, timeout_s: float, ca_file: str | None = None) -> None:
        self._uri, self._options = _place_of(url, ca_file)
        self._timeout_s = timeout_s
        self._new_storage()  # what it cannot do is said now, and not at the first request
        self._link: _Link | None = None

    async def hit(self, key: str, rate: Rate) -> float | None:
        """See Counters.

        Raises:
            TimeoutError: no answer within `timeout_s`.
            Exception: redis-py's own errors.
        """
        link = self._linked()
        async with asyncio.timeout(self._timeout_s), link.places:
            return await _hit(link.limiter, link.storage, key, rate)

    async def wait_s(self, key: str, rate: Rate) -> float:
        """See Counters.

        Raises:
            TimeoutError, Exception: as `hit`.
        """
        link = self._linked()
        async with asyncio.timeout(self._timeout_s), link.places:
            return await _wait_s(link.storage, key, rate)

    async def aclose(self) -> None:
        """Close the connections; the next use connects again."""
        link, self._link = self._link, None
        if link is not None and link.loop is asyncio.get_running_loop():
            bridge: Any = link.storage.bridge
            await bridge.get_connection().aclose()

    def _linked(self) -> _Link:
        """Connections belong to an event loop: another one (a second opening, a fork) makes its own."""
        loop = asyncio.get_running_loop()
        if self._link is None or self._link.loop is not loop:
            storage = self._new_storage()
            limiter = SlidingWindowCounterRateLimiter(storage)
            self._link = _Link(loop, storage, limiter, asyncio.Semaphore(_AT_ONCE))
        return self._link

    def _new_storage(self) -> RedisStorage:
        failed: str | None = None
        try:
            return RedisStorage(self._uri, implementation="redispy", key_prefix=_PREFIX, **self._options)
        except Exception as error:  # noqa: BLE001 - the package's and redis-py's own; the URL may be in their text
            failed = type(error).__name__
        raise ConfigurationError(
            f"The Redis of the doors' limits cannot be used ({failed}).",
            code="door_limits_redis",
            next_step='Check the URL, and that redis-py 5.2 or newer is there: pip install "vextrus-payments[redis]".',
        )


class CountersThatRest:
    """Shared counters while they answer, this process's own while they do not. Never raises, never waits long.

    A Redis that is down must neither turn news away nor open the door to a flood: each process goes on counting by
    itself, so that a source has at most as many times its rate as there are processes.
    """

    def __init__(self, shared: Counters, own: Counters, *, clock: Clock, observer: Observer) -> None:
        self._shared = shared
        self._own = own
        self._clock = clock
        self._observer = observer
        self._rests_until: float | None = None

    async def hit(self, key: str, rate: Rate) -> float | None:
        """See Counters."""
        return await self._of_either(lambda counters: counters.hit(key, rate))

    async def wait_s(self, key: str, rate: Rate) -> float:
        """See Counters."""
        return await self._of_either(lambda counters: counters.wait_s(key, rate))

    async def aclose(self) -> None:
        """Close both."""
        try:
            await self._shared.aclose()
        except Exception as error:  # noqa: BLE001 - closing what is broken
            self._observer.event("doors.counters.unclosed", error=type(error).__name__)
        await self._own.aclose()

    async def _of_either(self, ask: Callable[[Counters], Awaitable[T]]) -> T:
        if self._rests_until is None or self._clock.monotonic() >= self._rests_until:
            try:
                answer = await ask(self._shared)
            except Exception as error:  # noqa: BLE001 - whatever a counter does, it decides about no money
                self._fell_silent(type(error).__name__)
            else:
                self._answers()
                return answer
        return await ask(self._own)

    def _fell_silent(self, error: str) -> None:
        if self._rests_until is None:
            self._observer.event("doors.counters.down", error=error, each_process_counts=True)
        self._rests_until = self._clock.monotonic() + _REST_S

    def _answers(self) -> None:
        if self._rests_until is not None:
            self._rests_until = None
            self._observer.event("doors.counters.up")


def counters_of(
    url: str | None, *, ca_file: str | None, timeout_s: float, clock: Clock, observer: Observer
) -> LocalCounters | CountersThatRest:
    """The counters for a configuration.

    Raises:
        ConfigurationError: see RedisCounters.
    """
    own = LocalCounters(clock)
    if url is None:
        return own
    shared = RedisCounters(url, timeout_s=timeout_s, ca_file=ca_file)
    return CountersThatRest(shared, own, clock=clock, observer=observer)


async def _hit(
    limiter: SlidingWindowCounterRateLimiter, storage: SlidingWindowCounterSupport, key: str, rate: Rate
) -> float | None:
    item = RateLimitItemPerSecond(rate.count, rate.per_s)
    return None if await limiter.hit(item, key) else await _wait_s(storage, key, rate)


async def _wait_s(storage: SlidingWindowCounterSupport, key: str, rate: Rate) -> float:
    item = RateLimitItemPerSecond(rate.count, rate.per_s)
    previous, _, current, ends_s = await storage.get_sliding_window(item.key_for(key), rate.per_s)
    # `ends_s` counts the whole next window too, in which the current one fades.
    return wait_s(rate, previous=previous, current=current, left_s=ends_s - rate.per_s)


def _place_of(url: str, ca_file: str | None) -> tuple[str, dict[str, Any]]:
    """The package's URI for a URL, and the client's options. Never shows what the URL was."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = None
    if parts is not None and not parts.fragment:
        if parts.scheme == "unix" and parts.path and not parts.hostname:
            asked = parts.query.removeprefix("db=")
            if not parts.query or (asked.isdecimal() and asked.isascii()):
                return f"async+redis+{url}", {}
        elif parts.scheme in ("redis", "rediss") and parts.hostname and not parts.query:
            tls: dict[str, Any] = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
            if ca_file is not None:
                tls["ssl_ca_certs"] = ca_file
            return f"async+{url}", tls if parts.scheme == "rediss" else {}
    raise ConfigurationError(
        "The URL of the doors' limits names no Redis.",
        code="door_limits_redis",
        next_step="Write redis://[user:password@]host[:port][/db], rediss://... for TLS, or "
        "unix:///path/to/socket[?db=1].",
    )
