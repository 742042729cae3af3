"""The observer that writes log events through structlog, redacted before they are handed over.

Where the host has configured structlog, its processors and its level decide. Where it has not, structlog would
print on the host's standard output; then events go to the standard library's logger `vextrus_payments`, which has a
NullHandler. This library never calls `structlog.configure()`.
"""

import logging
from typing import Any, Final

import structlog

from vextrus_payments.printable import one_line
from vextrus_payments.records import Exchange
from vextrus_payments.redaction import redact_text
from vextrus_payments.wire import CallContext

LOGGER_NAME: Final = "vextrus_payments"

logging.getLogger(LOGGER_NAME).addHandler(logging.NullHandler())

_PLAIN: Final = (bool, int, type(None))


class StructlogObserver:
    """Writes one event per exchange with a gateway, and one per thing worth a line.

    Exchanges are `info` when an answer came and `warning` when none did; everything else is `info`. What the level
    filters out is not built.

    Attributes:
        failures: how many lines the host's logging failed to take.
    """

    def __init__(self) -> None:
        self.failures: int = 0
        self._stdlib = logging.getLogger(LOGGER_NAME)
        self._kept: Any = None

    def hears_exchange(self, failed: bool) -> bool:
        """Whether the level lets such an exchange through."""
        return self._logger(logging.WARNING if failed else logging.INFO) is not None

    def exchange(self, *, tenant: str, gateway: str, exchange: Exchange, context: CallContext) -> None:
        """One try; `exchange` is redacted already by its maker. Never raises."""
        level = logging.INFO if exchange.error is None else logging.WARNING
        log = self._logger(level)
        if log is None:
            return
        self._write(
            log,
            "gateway.exchange",
            {
                "tenant": one_line(tenant),
                "gateway": gateway,
                "payment_id": _line(context.payment_id),
                "operation_id": _line(context.operation_id),
                "operation": one_line(exchange.operation),
                "step": one_line(exchange.step),
                "method": exchange.method,
                "url": one_line(exchange.url),
                "sent": exchange.sent,
                "status": exchange.status,
                "error": _line(exchange.error),
                "elapsed_ms": exchange.elapsed_ms,
                "request": dict(exchange.request),
                "answer": dict(exchange.answer),
            },
        )

    def event(self, name: str, **fields: object) -> None:
        """Something happened; every text among the fields is redacted as free text. Never raises."""
        log = self._logger(logging.INFO)
        if log is not None:
            self._write(log, one_line(name), fields, redact=True)

    def _write(self, log: Any, name: str, fields: dict[str, object], *, redact: bool = False) -> None:
        # a processor, a handler or a value's __str__ of the host's may fail; a payment does not fail with it
        try:
            if redact:
                fields = {key: _safe(value) for key, value in fields.items()}
            if "event" in fields:  # structlog's own name for the event's name
                fields["event_"] = fields.pop("event")
            log(name, **fields)
        except Exception:  # noqa: BLE001 - see above
            self.failures += 1

    def _logger(self, level: int) -> Any:
        """The bound method of that level, or None where it would be filtered out."""
        if structlog.is_configured():
            logger = self._bound() if self._kept is None else self._kept
            enabled = getattr(logger, "is_enabled_for", None)
            if enabled is not None and not _enabled(enabled, level):
                return None
            return logger.warning if level == logging.WARNING else logger.info
        if not self._stdlib.isEnabledFor(level):
            return None
        return _StdlibEvent(self._stdlib, level)

    def _bound(self) -> Any:
        """The host's logger: kept where the host has said that its configuration is final."""
        logger = structlog.get_logger(LOGGER_NAME).bind()
        if structlog.get_config()["cache_logger_on_first_use"]:
            self._kept = logger
        return logger


def _enabled(check: Any, level: int) -> bool:
    try:
        return bool(check(level))
    except Exception:  # noqa: BLE001 - a host's own wrapper class may answer anything; then it decides itself
        return True


class _StdlibEvent:
    """An event on the standard library's logger: the name as the message, the fields beside it and as `extra`."""

    def __init__(self, logger: logging.Logger, level: int) -> None:
        self._logger = logger
        self._level = level

    def __call__(self, event: str, **fields: object) -> None:
        text = " ".join(f"{key}={value!r}" for key, value in fields.items() if value is not None)
        self._logger.log(self._level, "%s %s", event, text, extra={"vextrus": fields})


def _line(text: str | None) -> str | None:
    return None if text is None else one_line(text)


def _safe(value: object) -> object:
    if isinstance(value, _PLAIN):
        return value
    return redact_text(str(value))
