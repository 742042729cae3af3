"""A keeper that does as the test says and writes down what it was asked."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from vextrus_payments.engine import ReturnResult
from vextrus_payments.health import Health
from vextrus_payments.outcomes import Pending
from vextrus_payments.webhooks.messages import DoorKeeper, Incoming, Reply

SHOP = "https://shop.example/orders/1"


class ScriptedKeeper:
    """Takes everything, unless told otherwise."""

    def __init__(self) -> None:
        self.is_open = True
        self.body_max_bytes = 1_000
        self.read_deadline_s = 5.0
        self.asked: list[Incoming] = []
        self.left: list[Incoming] = []
        self.took: list[Incoming] = []
        self.returns: list[tuple[str | None, str, dict[str, str], float]] = []
        self.send_away: Reply | None = None
        self.reply: Reply | Exception = Reply(status=200, body=b'{"status":"accepted"}')
        self.result: ReturnResult | Exception = result(SHOP)
        self.before_return: Callable[[], Awaitable[Any]] | None = None
        self.health_looks = 0
        self.health_now: Health | Exception = health()

    @property
    def inside(self) -> int:
        """How many were let in and have not left."""
        let_in = len(self.asked) if self.send_away is None else 0
        return let_in - len(self.left)

    async def admit(self, incoming: Incoming) -> Reply | None:
        self.asked.append(incoming)
        return self.send_away

    def leave(self, incoming: Incoming) -> None:
        assert any(incoming is one for one in self.asked), "it left as somebody else than it came"
        self.left.append(incoming)

    async def webhook(self, incoming: Incoming) -> Reply:
        self.took.append(incoming)
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply

    async def returned(
        self, tenant: str | None, gateway: str, params: Mapping[str, str], *, wait_s: float
    ) -> ReturnResult:
        self.returns.append((tenant, gateway, dict(params), wait_s))
        if self.before_return is not None:
            await self.before_return()
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    async def health(self) -> Health:
        self.health_looks += 1
        if isinstance(self.health_now, Exception):
            raise self.health_now
        return self.health_now


def result(redirect_to: str | None, outcome: Any = None, **changes: Any) -> ReturnResult:
    """What came of a return."""
    fields = {
        "payment_id": "pay_1",
        "outcome": outcome or Pending(payment_id="pay_1", sent=False),
        "redirect_to": redirect_to,
    }
    return ReturnResult(**{**fields, **changes})


def health(**changes: Any) -> Health:
    """A healthy process."""
    fields: dict[str, Any] = {
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        "opened": True,
        "store_problem": None,
        "queues": (),
        "workers": (),
        "observer_failures": 0,
        "overdue_s": 60.0,
    }
    return Health(**{**fields, **changes})


def keeper() -> ScriptedKeeper:
    """One; checked to be what doors take."""
    made = ScriptedKeeper()
    doors_take: DoorKeeper = made
    assert doors_take is made
    return made
