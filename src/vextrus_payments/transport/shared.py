"""One transport for all gateways of a process that go the same way."""

import asyncio
import ssl
from dataclasses import dataclass

from vextrus_payments.clock import Clock, SystemClock
from vextrus_payments.secret import Secret
from vextrus_payments.transport.httpx_transport import HttpxTransport
from vextrus_payments.transport.port import Transport
from vextrus_payments.transport.reach import Reach
from vextrus_payments.wire import Safety, SendBy, WireRequest, WireResponse


@dataclass(frozen=True, slots=True)
class _Way:
    """What may share connections: one loop, one proxy, one TLS policy, one clock, one number of places, one reach."""

    loop: asyncio.AbstractEventLoop
    proxy: Secret | None
    ssl_context: ssl.SSLContext | None
    clock_id: int
    max_connections: int
    reach: Reach


@dataclass(slots=True)
class _Shared:
    transport: HttpxTransport
    users: int = 0


#: The process's transports. Tenants share them: nothing of a tenant stays on a connection (no cookies, no state).
_shared: dict[_Way, _Shared] = {}


def shared_transport(
    *,
    clock: Clock | None = None,
    proxy: Secret | None = None,
    ssl_context: ssl.SSLContext | None = None,
    max_connections: int = 100,
    reach: Reach = Reach.ANYWHERE,
) -> Transport:
    """A transport whose connections are shared by everybody in this event loop who asks for the same way.

    Does no I/O and needs no running loop. `aclose` gives back only the caller's share; the last one closes.

    Raises:
        ConfigurationError: at the first send, where the proxy's URL is none that can be used, or a proxy stands beside
            a limited reach.
    """
    return _Share(clock, proxy, ssl_context, max_connections, reach)


class _Share:
    def __init__(
        self,
        clock: Clock | None,
        proxy: Secret | None,
        ssl_context: ssl.SSLContext | None,
        places: int,
        reach: Reach,
    ) -> None:
        self._clock = clock
        self._proxy = proxy
        self._ssl_context = ssl_context
        self._places = places
        self._reach = reach
        self._way: _Way | None = None
        self._transport: HttpxTransport | None = None

    async def send(
        self, request: WireRequest, *, safety: Safety, timeout_s: float, send_by: SendBy | None = None
    ) -> WireResponse:
        """See `Transport.send`."""
        transport = self._transport
        if transport is None or self._way is None or self._way.loop is not asyncio.get_running_loop():
            transport = self._join()
        return await transport.send(request, safety=safety, timeout_s=timeout_s, send_by=send_by)

    def _join(self) -> HttpxTransport:
        loop = asyncio.get_running_loop()
        for way in [way for way in _shared if way.loop.is_closed()]:
            del _shared[way]
        # A SystemClock has no state: two of them are the same clock.
        clock = None if isinstance(self._clock, SystemClock) else self._clock
        way = _Way(loop, self._proxy, self._ssl_context, id(clock), self._places, self._reach)
        shared = _shared.get(way)
        if shared is None:
            shared = _shared[way] = _Shared(
                HttpxTransport(
                    clock=clock,
                    proxy=self._proxy,
                    ssl_context=self._ssl_context,
                    max_connections=self._places,
                    reach=self._reach,
                )
            )
        shared.users += 1
        self._way, self._transport = way, shared.transport
        return shared.transport

    async def aclose(self) -> None:
        """Give the share back. A send after it takes a new one."""
        way, self._way, self._transport = self._way, None, None
        shared = None if way is None else _shared.get(way)
        if way is None or shared is None:
            return
        shared.users -= 1
        if shared.users == 0:
            del _shared[way]
            await shared.transport.aclose()
