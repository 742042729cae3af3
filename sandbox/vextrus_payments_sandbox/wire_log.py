"""The log of API calls that tests rely on: every call from its arrival on, also one whose answer is dropped."""

from collections import deque
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from vextrus_payments_sandbox.notation import iso

WIRE_LOG_MAX: Final = 50_000
PATH_MAX: Final = 512


@dataclass(slots=True)
class Call:
    """One API call, as `GET /_sandbox/wire` shows it. ``status`` is ``None`` while open or when nothing was sent."""

    seq: int
    at: str
    gateway: str
    operation: str
    method: str
    path: str
    status: int | None = None
    reference: str | None = None
    moved_money: bool = False
    fault: str | None = None


class WireLog:
    """The last :data:`WIRE_LOG_MAX` calls, in order of arrival."""

    def __init__(self) -> None:
        self.calls: deque[Call] = deque(maxlen=WIRE_LOG_MAX)
        self._seq = 0

    def open(self, at: datetime, gateway: str, operation: str, method: str, path: str) -> Call:
        """Log a call that just arrived; the caller fills in the rest as it becomes known."""
        self._seq += 1
        call = Call(self._seq, iso(at), gateway, operation, method, path[:PATH_MAX])
        self.calls.append(call)
        return call

    def as_json(self) -> list[dict[str, Any]]:
        """Every call as a plain mapping."""
        return [asdict(call) for call in self.calls]
