"""One gateway of the sandbox as check_gateway() wants it, in the process or behind a real socket."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, ClassVar, Final, TypedDict, TypeVar

import httpx

from tests.in_process import AppTransport
from vextrus_payments.clock import Clock, Sleeper
from vextrus_payments.ids import Entropy
from vextrus_payments.money import Money
from vextrus_payments.payment import Intent, PaymentRequest
from vextrus_payments.testing.gateway_check import Fault, Verb
from vextrus_payments.testing.time import FakeClock, FakeEntropy, FakeSleeper
from vextrus_payments.transport import HttpxTransport, Transport
from vextrus_payments.wire import WireRequest, WireResponse
from vextrus_payments_sandbox.app import create_app
from vextrus_payments_sandbox.serve import SandboxServer

#: What every gateway of the sandbox can do itself, over a real socket, and how often for one scenario.
NATIVE: Final = {
    Fault.LOST_BEFORE: ("drop_before", 1),
    Fault.LOST_AFTER: ("drop_after", 1),
    Fault.ERROR_BEFORE: ("error_5xx_before", 1),
    Fault.ERROR_AFTER: ("error_5xx_after", 1),
    Fault.MALFORMED: ("malformed", 1),
    Fault.HTML: ("html", 1),
}


class Parts(TypedDict):
    """What a gateway of a world is made with."""

    transport: Transport
    clock: Clock
    sleeper: Sleeper
    entropy: Entropy


class SandboxWorld(ABC):
    """The sandbox with one gateway in view; subclasses say what is that gateway's own."""

    gateway: ClassVar[str]
    operations: ClassVar[Mapping[Verb, str]]
    """The sandbox's name of what a verb asks for."""
    native: ClassVar[Mapping[Fault, tuple[str, int]]] = NATIVE
    money: ClassVar[frozenset[str]] = frozenset({"debit", "refund"})
    """The kinds of movements that this gateway makes."""

    def __init__(self, app: Any, transport: Transport, url: str, clock: FakeClock) -> None:
        self._world = app.state.world
        self._faults = app.state.faults
        self._gateway = self._world.gateways[self.gateway]
        self._transport = transport
        self.told: Mapping[str, Any] = self._gateway.describe(url)
        self.clock = clock

    @property
    def transport(self) -> Transport:
        return self._transport

    @property
    @abstractmethod
    def secrets(self) -> Sequence[str]: ...

    def parts(self, transport: Transport) -> Parts:
        return Parts(
            transport=transport,
            clock=self.clock,
            sleeper=FakeSleeper(self.clock),
            entropy=FakeEntropy(5),
        )

    def amount(self, merchant_reference: str) -> Money:
        return Money("500.00", "BDT")

    def request(self, merchant_reference: str, *, intent: Intent = Intent.SALE) -> PaymentRequest:
        return PaymentRequest(
            operation_id=f"{merchant_reference}/pay",
            gateway=self.gateway,
            amount=self.amount(merchant_reference),
            merchant_reference=merchant_reference,
            intent=intent,
        )

    async def effects(self) -> int:
        return sum(entry.kind in self.money for entry in self._world.books.movements)

    async def approve(self, gateway_reference: str) -> None:
        self._gateway.approve(gateway_reference, "success", None)

    def token_rejected(self) -> WireResponse | None:
        return None

    def is_token_request(self, request: WireRequest) -> bool:
        return False

    async def inject(self, verb: Verb, fault: Fault) -> bool:
        name, times = self.native.get(fault, ("", 1))
        operation = self.operations.get(verb)
        if not name or operation is None:
            return False
        wish = {"gateway": self.gateway, "operation": operation, "fault": name, "times": times}
        self._faults.order(wish, {self.gateway: self._gateway.operations})
        return True

    async def mend(self) -> None:
        self._faults.clear()


W = TypeVar("W", bound=SandboxWorld)
Opening = Callable[[], AbstractAsyncContextManager[W]]


def in_process(world: type[W]) -> Opening[W]:
    """A sandbox of its own for each scenario, without a socket."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[W]:
        clock = FakeClock()
        app = create_app(clock=clock, seed=7)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as client:
            yield world(app, AppTransport(client), "http://127.0.0.1:28600", clock)

    return opened


@asynccontextmanager
async def served(world: type[W]) -> AsyncIterator[Opening[W]]:
    """One sandbox behind a real socket, emptied for each scenario."""
    clock = FakeClock()
    transport = HttpxTransport(clock=clock)
    async with SandboxServer(seed=7, clock=clock) as server:

        @asynccontextmanager
        async def emptied() -> AsyncIterator[W]:
            server.world.reset()
            server.app.state.faults.clear()
            yield world(server.app, transport, server.url, clock)

        yield emptied
        await transport.aclose()
