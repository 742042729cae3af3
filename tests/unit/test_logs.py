"""StructlogObserver: by the host's structlog, else the standard library; redacted, filtered early, never raising."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from vextrus_payments.logs import StructlogObserver
from vextrus_payments.observe import GuardedObserver, NullObserver
from vextrus_payments.records import Exchange
from vextrus_payments.testing import SecretCanary
from vextrus_payments.wire import CallContext


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def exchange(**changes: Any) -> Exchange:
    facts: dict[str, Any] = {
        "at": datetime(2026, 1, 15, tzinfo=UTC),
        "operation": "execute",
        "step": "execute",
        "method": "POST",
        "url": "https://gateway.example/execute",
        "sent": "yes",
        "status": 200,
        "request": {"paymentID": "TR1"},
        "answer": {"statusCode": "0000"},
        "error": None,
        "elapsed_ms": 12,
    }
    return Exchange(**{**facts, **changes})


def tell(observer: StructlogObserver, what: Exchange | None = None, **context: Any) -> None:
    observer.exchange(
        tenant="acme", gateway="bkash", exchange=what or exchange(), context=CallContext(**context)
    )


def test_unconfigured_structlog_prints_nothing_and_stays_unconfigured() -> None:
    code = """
import structlog
from vextrus_payments.logs import StructlogObserver
observer = StructlogObserver()
observer.event("token.granted", seconds=3600)
assert not structlog.is_configured()
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("", "")


def test_unconfigured_structlog_means_the_standard_library(caplog: pytest.LogCaptureFixture) -> None:
    observer = StructlogObserver()
    with caplog.at_level(logging.INFO, "vextrus_payments"):
        tell(observer, payment_id="p1", operation_id="o1")
        tell(observer, exchange(error="answer_timeout", status=None, sent="maybe"))
    good, bad = caplog.records
    assert (good.name, good.levelno, bad.levelno) == ("vextrus_payments", logging.INFO, logging.WARNING)
    assert good.getMessage().startswith("gateway.exchange tenant='acme' gateway='bkash' payment_id='p1'")
    fields: Any = good
    assert fields.vextrus["answer"] == {"statusCode": "0000"}
    assert "error='answer_timeout'" in bad.getMessage()


def test_the_standard_logger_has_a_handler_that_swallows() -> None:
    assert any(
        isinstance(handler, logging.NullHandler) for handler in logging.getLogger("vextrus_payments").handlers
    )


def _host(level: int = logging.INFO, **more: Any) -> list[dict[str, Any]]:
    heard: list[dict[str, Any]] = []

    def hear(logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
        heard.append({"called": method, **event})
        raise structlog.DropEvent

    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, hear],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        **more,
    )
    return heard


def test_a_configured_structlog_is_used_with_its_context() -> None:
    heard = _host()
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        tell(StructlogObserver(), payment_id="p1")
    (line,) = heard
    assert line["event"] == "gateway.exchange"
    assert (line["called"], line["request_id"], line["payment_id"]) == ("info", "r1", "p1")
    assert line["request"] == {"paymentID": "TR1"}


def test_a_host_that_configures_later_is_followed(caplog: pytest.LogCaptureFixture) -> None:
    observer = StructlogObserver()
    with caplog.at_level(logging.INFO, "vextrus_payments"):
        observer.event("one")
        heard = _host()
        observer.event("two")
    assert [record.getMessage().strip() for record in caplog.records] == ["one"]
    assert [line["event"] for line in heard] == ["two"]


@pytest.mark.parametrize("configured", [False, True])
def test_what_the_level_filters_out_is_not_built(configured: bool) -> None:
    class Untouchable(Exchange):
        def __getattribute__(self, name: str) -> Any:
            if name in ("request", "answer", "url"):
                raise AssertionError(name)
            return object.__getattribute__(self, name)

    heard = _host(logging.WARNING) if configured else []
    logger = logging.getLogger("vextrus_payments")
    before, logger.level = logger.level, logging.WARNING
    logger.manager._clear_cache()  # type: ignore[attr-defined]
    try:
        observer = StructlogObserver()
        assert not observer.hears_exchange(failed=False)
        assert observer.hears_exchange(failed=True)
        plain = exchange()
        observer.exchange(
            tenant="acme",
            gateway="bkash",
            exchange=Untouchable(**{name: getattr(plain, name) for name in plain.__slots__}),
            context=CallContext(),
        )
        observer.event("token.granted", value=Unprintable())
        assert observer.failures == 0
        assert heard == []
    finally:
        logger.setLevel(before)


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_a_host_s_broken_logging_is_counted_and_goes_no_further() -> None:
    def broken(logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("disk full")

    structlog.configure(processors=[broken])
    observer = StructlogObserver()
    tell(observer)
    observer.event("x", value=1)
    _host()
    observer.event("x", value=Unprintable())
    assert observer.failures == 3


def test_a_field_by_structlog_s_own_name_is_kept_apart() -> None:
    heard = _host()
    StructlogObserver().event("webhook.parked", event="payment.paid")
    assert heard == [{"called": "info", "event": "webhook.parked", "event_": "payment.paid"}]


def test_one_event_is_one_line_and_shows_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    canary = SecretCanary()
    value = canary.plant("token")
    observer = StructlogObserver()
    with caplog.at_level(logging.INFO, "vextrus_payments"):
        observer.event(
            "odd\nname",
            why=f"token {value} was refused\r\nlevel=error",
            error=ValueError(f"Authorization: Bearer {value}"),
            nested={"app_secret": value},
            count=3,
            none=None,
        )
        tell(observer, exchange(step="a\nb"), operation_id="order\x1b[31m\u202e", payment_id="p\n1")
    for record in caplog.records:
        assert len(record.getMessage().splitlines()) == 1
    canary.assert_absent(caplog.records)


def test_lines_render_as_json_and_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.configure(processors=[structlog.processors.JSONRenderer()])
    tell(StructlogObserver())
    assert json.loads(capsys.readouterr().out)["answer"] == {"statusCode": "0000"}
    structlog.configure(processors=[structlog.dev.ConsoleRenderer(colors=False)])
    tell(StructlogObserver(), operation_id="a\nb")
    assert len(capsys.readouterr().out.splitlines()) == 1


# --- the port's own observers ---------------------------------------------------------------------------------


def test_nobody_listening() -> None:
    observer = NullObserver()
    assert not observer.hears_exchange(failed=True)
    observer.event("x")
    observer.exchange(tenant="t", gateway="g", exchange=exchange(), context=CallContext())


def test_a_guard_keeps_every_failure_to_itself() -> None:
    class Broken:
        def hears_exchange(self, failed: bool) -> bool:
            raise RuntimeError

        def exchange(self, **_: Any) -> None:
            raise RuntimeError

        def event(self, name: str, **_: Any) -> None:
            raise RuntimeError

    guard = GuardedObserver(Broken())
    assert guard.hears_exchange(failed=False)
    guard.event("x")
    guard.exchange(tenant="t", gateway="g", exchange=exchange(), context=CallContext())
    assert guard.failures == 3


def test_a_guard_passes_on_what_it_hears() -> None:
    heard: list[Any] = []

    class Plain:
        def exchange(self, **facts: Any) -> None:
            heard.append(facts["gateway"])

        def event(self, name: str, **fields: Any) -> None:
            heard.append((name, fields))

    guard = GuardedObserver(Plain())
    assert guard.hears_exchange(failed=False)
    guard.event("x", a=1)
    guard.exchange(tenant="t", gateway="g", exchange=exchange(), context=CallContext())
    assert heard == [("x", {"a": 1}), "g"]
    assert guard.failures == 0
