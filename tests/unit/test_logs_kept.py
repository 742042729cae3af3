"""A logger of the host's is asked for anew each time, unless the host said that its configuration is final."""

from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from vextrus_payments.logs import StructlogObserver


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def _configure(heard: list[str], level: int, *, final: bool) -> None:
    def hear(logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
        heard.append(event["event"])
        raise structlog.DropEvent

    structlog.configure(
        processors=[hear],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=final,
    )


def test_a_new_configuration_holds_from_the_next_line_on() -> None:
    observer, heard, later = StructlogObserver(), list[str](), list[str]()
    _configure(heard, 20, final=False)
    observer.event("one")
    _configure(later, 30, final=False)
    observer.event("two")
    assert not observer.hears_exchange(failed=False)
    assert observer.hears_exchange(failed=True)
    _configure(later, 20, final=False)
    observer.event("three")
    assert (heard, later) == (["one"], ["three"])


def test_a_final_configuration_is_kept() -> None:
    observer, heard, later = StructlogObserver(), list[str](), list[str]()
    _configure(heard, 20, final=True)
    observer.event("one")
    _configure(later, 20, final=False)
    observer.event("two")
    assert (heard, later) == (["one", "two"], [])
