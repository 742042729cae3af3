"""The door keeper of a `Payments`: what every door asks, over whatever is open at that moment.

It outlives openings: a door is mounted once, before anything is open, and stays mounted after it was closed.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from vextrus_payments.engine import ReturnResult
from vextrus_payments.health import Health
from vextrus_payments.webhooks.guard import Guard
from vextrus_payments.webhooks.messages import Incoming, Reply
from vextrus_payments.webhooks.receiver import Receiver
from vextrus_payments.webhooks.replies import UNAVAILABLE


class Returned(Protocol):
    """Takes a browser's return: see DoorKeeper."""

    def __call__(
        self, tenant: str | None, gateway: str, params: Mapping[str, str], *, wait_s: float
    ) -> Awaitable[ReturnResult]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """What stands behind the doors."""

    is_open: Callable[[], bool]
    """Whether anything can be taken."""
    receiver: Callable[[], Receiver]
    """Of the present opening."""
    returned: Returned
    health: Callable[[], Awaitable[Health]]


class Keeper:
    """A DoorKeeper (messages.py)."""

    def __init__(self, behind: Behind, guard: Guard) -> None:
        self._behind = behind
        self._guard = guard

    @property
    def is_open(self) -> bool:
        """See DoorKeeper."""
        return self._behind.is_open()

    @property
    def body_max_bytes(self) -> int:
        """See DoorKeeper."""
        return self._guard.body_max_bytes

    @property
    def read_deadline_s(self) -> float:
        """See DoorKeeper."""
        return self._guard.read_deadline_s

    async def admit(self, incoming: Incoming) -> Reply | None:
        """See DoorKeeper."""
        return await self._guard.admit(incoming)

    def leave(self, incoming: Incoming) -> None:
        """See DoorKeeper."""
        self._guard.leave(incoming)

    async def webhook(self, incoming: Incoming) -> Reply:
        """See DoorKeeper."""
        if not self._behind.is_open():
            return UNAVAILABLE
        judged = await self._behind.receiver().judge(incoming)
        if judged.forged:
            await self._guard.bad_signature(incoming)
        elif judged.proven:
            self._guard.good_signature(incoming)
        return judged.reply

    async def returned(
        self, tenant: str | None, gateway: str, params: Mapping[str, str], *, wait_s: float
    ) -> ReturnResult:
        """See DoorKeeper."""
        return await self._behind.returned(tenant, gateway, params, wait_s=wait_s)

    async def health(self) -> Health:
        """See DoorKeeper."""
        return await self._behind.health()
