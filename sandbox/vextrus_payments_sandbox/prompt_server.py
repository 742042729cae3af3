"""uvicorn on a socket of ours, for as long as a test or a demo lasts: it stops the moment it is told to."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Final

import uvicorn

_GRACE_S: Final = 1
"""How long a stop waits for what is under way."""
_TICK_S: Final = 0.1
_LOOK_S: Final = 0.005


class PromptServer(uvicorn.Server):
    """uvicorn without signal handlers of its own (whoever runs it decides what a signal means), and prompt.

    uvicorn's own loop looks ten times a second whether it should end, and its shutdown sleeps a tenth of a second
    before it looks whether anybody is still connected. A suite of tests that starts a server for each pays that each
    time.

    Args:
        leaving_s: how long answers under way have to leave; then their connections are cut.
    """

    def __init__(self, config: uvicorn.Config, *, leaving_s: float = _GRACE_S) -> None:
        super().__init__(config)
        self._leaving_s = leaving_s
        self._told = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        """End `serve()`."""
        self.should_exit = True
        self._told.set()

    async def main_loop(self) -> None:
        ticks = 0
        while not await self.on_tick(ticks):
            ticks += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_S):
                    await self._told.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nobody any more, let answers under way leave, then cut whoever still holds on."""
        for server in self.servers:
            server.close()
        for one in sockets or ():
            one.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._rest(self._leaving_s, connections_only=True)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await self._rest(_GRACE_S)
        for task in list(self.server_state.tasks):
            task.cancel()
        await self.lifespan.shutdown()

    async def _rest(self, within_s: float, *, connections_only: bool = False) -> None:
        """Wait until nobody is connected and nothing is being answered, or the time is up."""
        state = self.server_state
        for _ in range(round(within_s / _LOOK_S)):
            if not state.connections and (connections_only or not state.tasks):
                return
            await asyncio.sleep(_LOOK_S)
