"""A create's body, read as the platform reads it: what is asked for, or the code it is refused with (dossier §7)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from vextrus_payments.gateways.bkash.recurring import models as m
from vextrus_payments_sandbox.bkash_recurring.records import Merchant, Refusal, Rules
from vextrus_payments_sandbox.bkash_recurring.schedule import due_days, months_after
from vextrus_payments_sandbox.notation import to_paisa

_TEXT_MAX: Final = 200
_URL_MAX: Final = 2_048
_LAST_YEAR: Final = 9_990
"""No later day is one: what is counted on from it has to stay within the calendar."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A subscription that is asked for, checked."""

    request_id: str
    amount_minor: int
    frequency: m.Frequency
    start: date
    expiry: date
    redirect_url: str
    first_minor: int | None
    first_in_cycle: bool
    cap_minor: int | None
    reference: str
    payer: str


def asked(body: Mapping[str, Any], merchant: Merchant, rules: Rules, now: datetime) -> Asked:
    """What a create's body asks for. Raises :class:`Refusal`."""
    request_id = _text(body, "subscriptionRequestId")
    try:
        return _asked(request_id, body, merchant, rules, now)
    except Refusal as refusal:
        refusal.request_id = request_id
        raise


def _asked(
    request_id: str, body: Mapping[str, Any], merchant: Merchant, rules: Rules, now: datetime
) -> Asked:
    if str(body.get("serviceId")) != str(merchant.service_id):
        raise Refusal("2005", str(body.get("serviceId"))[:40])
    if body.get("paymentType") != "FIXED":
        raise Refusal("2000", "paymentType")
    kind = body.get("subscriptionType")
    if kind not in ("BASIC", "WITH_PAYMENT"):
        raise Refusal("2000", "subscriptionType")
    if body.get("currency") != m.CURRENCY or body.get("payerType") != "CUSTOMER":
        raise Refusal("2000", "currency" if body.get("currency") != m.CURRENCY else "payerType")
    first = _amount(body, "firstPaymentAmount", rules) if kind == "WITH_PAYMENT" else None
    capped = body.get("maxCapRequired") is True
    frequency, start, expiry = _days(body, now)
    # The guide spells it one way, the API's own description the other.
    redirect_url = str(body.get("redirectURL") or body.get("redirectUrl") or "")
    if not _is_address(redirect_url):
        raise Refusal("2000", "redirectURL")
    return Asked(
        request_id=request_id,
        amount_minor=_amount(body, "amount", rules),
        frequency=frequency,
        start=start,
        expiry=expiry,
        redirect_url=redirect_url,
        first_minor=first,
        first_in_cycle=body.get("firstPaymentIncludedInCycle") is not False,
        cap_minor=_amount(body, "maxCapAmount", rules) if capped else None,
        reference=_text(body, "subscriptionReference"),
        payer="".join(c for c in str(body.get("payer") or "")[:20] if c.isprintable()),
    )


def frequency_of(text: object) -> m.Frequency:
    """The frequency that a text names. Raises :class:`Refusal`."""
    try:
        return m.Frequency(str(text))
    except ValueError:
        pass
    raise Refusal("1002", "frequency")


def day_of(text: object) -> date:
    """The day that a text names. Raises :class:`Refusal`."""
    day = m.read_date(text)
    if day is None or day.year > _LAST_YEAR:
        raise Refusal("2021")
    return day


def _days(body: Mapping[str, Any], now: datetime) -> tuple[m.Frequency, date, date]:
    frequency = frequency_of(body.get("frequency"))
    start, expiry = day_of(body.get("startDate")), day_of(body.get("expiryDate"))
    here = now.astimezone(m.DHAKA)
    if start < here.date():
        raise Refusal("2002")
    if start == here.date() and (here.hour, here.minute) >= m.NO_START_TODAY_AFTER:
        raise Refusal("2001")
    if start > expiry:
        raise Refusal("2003")
    if start == expiry:
        raise Refusal("2022")
    if expiry > months_after(start, 12 * m.LONGEST_YEARS):
        raise Refusal("2021")
    if len([day for _, day in zip(range(2), due_days(frequency, start, expiry), strict=False)]) < 2:
        raise Refusal("2023")
    return frequency, start, expiry


def _amount(body: Mapping[str, Any], name: str, rules: Rules) -> int:
    minor = to_paisa(str(body.get(name)))
    if minor is None:
        raise Refusal("2000", name)
    if minor < rules.smallest_minor:
        raise Refusal("2018")
    return minor


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= _TEXT_MAX or not value.isprintable():
        raise Refusal("2000", name)
    return value


def _is_address(url: str) -> bool:
    """Whether a browser can be sent there."""
    if len(url) > _URL_MAX or not url.isprintable():
        return False
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket that nobody closed
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
