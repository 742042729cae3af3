"""What every test shares: hypothesis profiles, and a wall around the machine.

No test may reach beyond loopback: a payment SDK's tests that meet the internet prove nothing on the next machine
and may one day meet a real gateway. An attempt raises at once and, where the code under test swallows the error,
still fails the test that made it.
"""

import ipaddress
import os
import signal
import socket
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.services", "tests.scheduling"]

settings.register_profile("pr", deadline=None, max_examples=100)
settings.register_profile(
    "nightly", deadline=None, max_examples=5_000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "pr"))

for _name in ("COLUMNS", "LINES"):  # pytest-xdist names a width: output that is piped has none
    os.environ.pop(_name, None)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Begun in the background by a shell without job control: programs that tests start would never hear of Ctrl+C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


class BeyondLoopbackError(AssertionError):
    """A test tried to talk to another machine."""


_attempts: list[str] = []


def _is_local(host: object) -> bool:
    if host is None:
        return True
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    if name in {"", "localhost", "testserver"}:
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _refuse(host: object) -> BeyondLoopbackError:
    _attempts.append(str(host))
    return BeyondLoopbackError(f"a test tried to reach {host}; tests stay on loopback")


@pytest.fixture(scope="session", autouse=True)
def _home_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What would be kept for this user (tokens, the sandbox's keys) goes to a folder of the session's own."""
    before = os.environ.get("VEXTRUS_PAY_HOME")
    os.environ["VEXTRUS_PAY_HOME"] = str(tmp_path_factory.mktemp("home"))
    yield
    os.environ.pop("VEXTRUS_PAY_HOME")
    if before is not None:
        os.environ["VEXTRUS_PAY_HOME"] = before


@pytest.fixture(scope="session", autouse=True)
def _wall_around_the_machine() -> Iterator[None]:
    """Refuse look-ups and connections that leave loopback, for the whole session."""
    # typeshed gives no single type for a socket address
    real_connect: Any = socket.socket.connect
    real_connect_ex: Any = socket.socket.connect_ex
    real_sendto: Any = socket.socket.sendto
    real_getaddrinfo: Any = socket.getaddrinfo

    def check(sock: socket.socket, address: Any) -> None:
        if sock.family in {socket.AF_INET, socket.AF_INET6} and not _is_local(address[0]):
            raise _refuse(address[0])

    def connect(sock: socket.socket, address: Any) -> None:
        check(sock, address)
        real_connect(sock, address)

    def connect_ex(sock: socket.socket, address: Any) -> Any:
        check(sock, address)
        return real_connect_ex(sock, address)

    def sendto(sock: socket.socket, data: Any, *rest: Any) -> Any:
        check(sock, rest[-1])
        return real_sendto(sock, data, *rest)

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_local(host):
            raise _refuse(host)
        return real_getaddrinfo(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        patch.setattr(socket.socket, "connect_ex", connect_ex)
        patch.setattr(socket.socket, "sendto", sendto)
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


@pytest.fixture(autouse=True)
def _stays_on_loopback() -> Iterator[None]:
    """Fail the test whose attempt was swallowed by the code under test."""
    _attempts.clear()
    yield
    tried, _attempts[:] = list(_attempts), []
    if tried:
        pytest.fail(f"this test tried to reach {', '.join(sorted(set(tried)))}; tests stay on loopback")


LOG_KEPT = 3_000
"""How many characters of what a failed test printed or logged are shown: a flood of lines hides what failed."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the end of a long log; the rest is seen by running the test alone with `-o log_cli=true`."""
    report = yield
    report.sections = [
        (name, text if len(text) <= LOG_KEPT else f"[...]\n{text[-LOG_KEPT:]}")
        for name, text in report.sections
    ]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests recorded, whichever process they ran in."""
    figures = [
        value
        for reports in terminalreporter.stats.values()
        for one in reports
        if isinstance(one, pytest.TestReport) and one.when == "call"
        for name, value in one.user_properties
        if name == "figure"
    ]
    if figures:
        terminalreporter.section("figures")
    for figure in figures:
        terminalreporter.write_line(str(figure))
