"""The host's log set-up, the same for the SDK and for the plain wrapper: JSON lines through structlog, to nowhere."""

import io
import json
from typing import Any

import structlog

from vextrus_payments.logs import StructlogObserver


class Sink(io.RawIOBase):
    """Where log lines go: counted, and gone."""

    def __init__(self) -> None:
        self.lines = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.lines += 1
        return len(data)


def _rendered(value: Any, **options: Any) -> bytes:
    return json.dumps(value, default=repr).encode("utf-8")


def configured(level: int = 20) -> Sink:
    """Configure structlog as a host does, at this level (20 = info, 30 = warning)."""
    sink = Sink()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(serializer=_rendered),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(sink),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    return sink


def observer() -> StructlogObserver:
    """The SDK's own observer, over whatever was configured."""
    return StructlogObserver()
