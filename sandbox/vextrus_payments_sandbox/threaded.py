"""The sandbox's server beside code that has no event loop: in a thread of its own."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vextrus_payments_sandbox.serve import SandboxServer


@contextmanager
def serving(**more: Any) -> Iterator[SandboxServer]:
    """A :class:`SandboxServer` that runs until the block ends; `more` are its arguments.

    Look at its world only while nothing calls it: the world belongs to the server's thread.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="payment sandbox", daemon=True)
    thread.start()
    try:
        server = SandboxServer(**more)
        asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
        try:
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
