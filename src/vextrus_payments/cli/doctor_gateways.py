"""What `doctor` looks at in a gateway: its settings, whether it can be reached, its clock, its token and its budget.

Nothing here moves anything, and nothing takes a grant: the door is knocked at without credentials.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

from vextrus_payments.cli.explaining import moment
from vextrus_payments.cli.findings import Finding, fail, ok, skipped, warn
from vextrus_payments.clock import Clock
from vextrus_payments.config import NOT_CONFIGURED
from vextrus_payments.errors import (
    ConfigurationError,
    CredentialsMissingError,
    GatewayError,
    UnknownGatewayError,
)
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.wire import CallContext, WireResponse

#: (gateway name) -> a ready gateway.
Source = Callable[[str], Awaitable[PaymentGateway]]

#: A gateway writes whole seconds, and the answer travels.
_SKEW_WARN: Final = timedelta(seconds=5)
_SKEW_FAIL: Final = timedelta(seconds=30)


async def gateway_findings(name: str, source: Source, clock: Clock, *, wanted: bool = False) -> list[Finding]:
    """Everything about one gateway. One that is not configured is passed over, unless somebody asked for it by name.

    Half a configuration is none and yet meant: it is always told as a fault.
    """
    gateway: PaymentGateway | None = None
    missing: ConfigurationError | None = None
    try:
        gateway = await source(name)
    except (UnknownGatewayError, CredentialsMissingError) as error:
        missing = error
    except ConfigurationError as error:
        return [fail(f"{name}.settings", error.what, error.next_step)]
    if gateway is None:
        assert missing is not None
        half = isinstance(missing, CredentialsMissingError) and missing.code != NOT_CONFIGURED
        if half or wanted:
            return [fail(f"{name}.settings", missing.what, missing.next_step)]
        return [skipped(f"{name}.settings", f"It is not configured: {missing.what}")]
    findings = [
        ok(
            f"{name}.settings",
            f"{gateway.mode.value.capitalize()} mode at {_host(gateway.address)}; mode and host agree.",
        )
    ]
    findings += await reach_findings(gateway, clock)
    findings += await token_findings(gateway)
    return findings


async def reach_findings(gateway: PaymentGateway, clock: Clock) -> list[Finding]:
    """One request without credentials: does anybody answer, and what time is it there."""
    name, host = gateway.name, _host(gateway.address)
    before = clock.now()
    failure: GatewayError | None = None
    answer: WireResponse | None = None
    try:
        answer = await gateway.knock()
    except GatewayError as error:
        failure = error
    after = clock.now()
    if answer is None:
        assert failure is not None
        return [
            fail(
                f"{name}.reach",
                f"{host} does not answer: {failure.what}",
                "See that this machine may call out to it (DNS, firewall, proxy), then try again.",
            )
        ]
    took_ms = round((after - before).total_seconds() * 1000)
    reach = ok(f"{name}.reach", f"{host} answers (HTTP {answer.status}, {took_ms} ms, no credentials sent).")
    if answer.status in (403, 503) and "html" in answer.headers.get("content-type", ""):
        reach = warn(
            f"{name}.reach",
            f"{host} answers with a page (HTTP {answer.status}), which is what a firewall sends.",
            "Ask the gateway whether this machine's address is allowed.",
        )
    return [reach, _skew(gateway, answer, before + (after - before) / 2)]


def _skew(gateway: PaymentGateway, answer: WireResponse, asked_at: datetime) -> Finding:
    check = f"{gateway.name}.clock"
    try:
        theirs = parsedate_to_datetime(answer.headers.get("date", "")).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return skipped(check, "Its answer has no date, so nobody compared the clocks.")
    skew = abs(theirs + timedelta(seconds=0.5) - asked_at)
    seconds = f"{skew.total_seconds():.0f} s"
    do = "Set this machine's clock by NTP: tokens, deadlines and signatures depend on it."
    if skew > _SKEW_FAIL:
        return fail(check, f"This machine's clock and the gateway's differ by {seconds}.", do)
    if skew > _SKEW_WARN:
        return warn(check, f"This machine's clock and the gateway's differ by {seconds}.", do)
    return ok(check, "This machine's clock agrees with the gateway's.")


async def token_findings(gateway: PaymentGateway) -> list[Finding]:
    """The token and how many grants are left."""
    check = f"{gateway.name}.tokens"
    health = await gateway.token_health()
    if health is None:
        return [skipped(check, "This gateway needs no token.")]
    per = "hour" if health.window_s == 3600 else f"{health.window_s} s"
    has = f"There is a token until {moment(health.ends_at)}" if health.ends_at else "There is no token yet"
    if health.used is None:
        return [ok(check, f"{has}; one is being granted at this moment.")]
    if health.used < health.limit:
        return [ok(check, f"{has}; {health.used} of {health.limit} grants an {per} are used.")]
    why = f" The last one failed with {health.failure}." if health.failure else ""
    what = f"{has}, and all {health.limit} grants an {per} are used for {health.retry_after_s} s more.{why}"
    do = "See who else asks with these credentials: every process has to share one token store."
    return [warn(check, what, do) if health.ends_at else fail(check, what, do)]


async def grant_findings(gateway: PaymentGateway) -> list[Finding]:
    """Get a token, as the first payment would. May cost one grant: only where somebody asked for it."""
    check = f"{gateway.name}.credentials"
    try:
        access = await gateway.authorize(CallContext())
    except GatewayError as error:
        return [fail(check, error.what, error.next_step)]
    if not access:
        return [skipped(check, "This gateway needs no token.")]
    return [
        ok(check, "The gateway gave a token for these credentials, or gave one before that is still good.")
    ]


def _host(address: str) -> str:
    return urlsplit(address).netloc.rpartition("@")[2]
