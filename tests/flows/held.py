"""Work of a gateway or a callback that waits under way until the test lets it go on."""

import asyncio
from typing import Self

#: Nothing that is waited for takes a real second; whoever hangs fails by this instead of for ever.
PATIENCE_S = 60


class Held:
    """A point in somebody's work that is passed when the test says so.

    The end of its `with` block lets the work go on in any case: a test that fails must not hang on what it held.
    """

    def __init__(self) -> None:
        self._begun = asyncio.Event()
        self._go = asyncio.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._go.set()

    async def wait(self) -> None:
        """Say that the point is reached, and wait there."""
        self._begun.set()
        await self._go.wait()

    async def reached(self) -> None:
        """Wait until the point is reached."""
        async with asyncio.timeout(PATIENCE_S):
            await self._begun.wait()

    def let_go(self) -> None:
        """Let the work go on."""
        self._go.set()
