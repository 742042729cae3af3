"""The observer port: where the SDK tells what it does. Layer 3; logs.py and telemetry/ implement it.

Both methods are synchronous and are called on the payment path, so an observer must be quick and must not raise.
An observer that was not written here is wrapped in `GuardedObserver`, which keeps the second promise for it.

An observer may also have `hears_exchange(failed: bool) -> bool`: False says that it would drop such an exchange, and
then the exchange is not even made. One without this method hears everything.
"""

from collections.abc import Callable
from typing import Protocol

from vextrus_payments.records import Exchange
from vextrus_payments.wire import CallContext


class Observer(Protocol):
    """Told of every exchange with a gateway and of everything else worth a line."""

    def exchange(self, *, tenant: str, gateway: str, exchange: Exchange, context: CallContext) -> None:
        """One request and what came of it; `exchange` is already redacted by its maker."""
        ...

    def event(self, name: str, **fields: object) -> None:
        """Something happened: a dotted name ("token.granted", "breaker.opened") and a few small facts."""
        ...


class NullObserver:
    """Hears nothing: the default where nobody listens."""

    __slots__ = ()

    def exchange(self, *, tenant: str, gateway: str, exchange: Exchange, context: CallContext) -> None:
        """Nothing."""

    def event(self, name: str, **fields: object) -> None:
        """Nothing."""

    def hears_exchange(self, failed: bool) -> bool:
        """Never."""
        return False


class GuardedObserver:
    """Keeps what an observer raises away from the payment path, and counts it.

    Attributes:
        failures: how many calls the wrapped observer has failed; health checks show it.
    """

    __slots__ = ("_hears", "_observer", "failures")

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._hears: Callable[[bool], bool] | None = getattr(observer, "hears_exchange", None)
        self.failures: int = 0

    def hears_exchange(self, failed: bool) -> bool:
        """Whether the wrapped observer would do anything with an exchange; True where it does not say."""
        if self._hears is None:
            return True
        try:
            return self._hears(failed)
        except Exception:  # noqa: BLE001 - see below
            self.failures += 1
            return True

    def exchange(self, *, tenant: str, gateway: str, exchange: Exchange, context: CallContext) -> None:
        """Passes it on; never raises."""
        try:
            self._observer.exchange(tenant=tenant, gateway=gateway, exchange=exchange, context=context)
        except Exception:  # noqa: BLE001 - a broken listener must not decide about money
            self.failures += 1

    def event(self, name: str, **fields: object) -> None:
        """Passes it on; never raises."""
        try:
            self._observer.event(name, **fields)
        except Exception:  # noqa: BLE001 - see above
            self.failures += 1
