"""On which days a subscription collects, and when bKash tries again (dossier §7)."""

import calendar
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final

from vextrus_payments.gateways.bkash.recurring.models import Frequency

_DAYS: Final = {
    Frequency.DAILY: 1,
    Frequency.WEEKLY: 7,
    Frequency.FIFTEEN_DAYS: 15,
    Frequency.THIRTY_DAYS: 30,
    Frequency.NINETY_DAYS: 90,
    Frequency.ONE_EIGHTY_DAYS: 180,
}
_MONTHS: Final = {Frequency.CALENDAR_MONTH: 1, Frequency.CALENDAR_YEAR: 12}


def due_days(frequency: Frequency, start: date, expiry: date) -> Iterator[date]:
    """Every day on which it is collected, the first one and the last one included."""
    number, day = 0, start
    while day <= expiry:
        yield day
        number += 1
        if frequency in _DAYS:
            day = start + timedelta(days=_DAYS[frequency] * number)
        else:
            day = months_after(start, _MONTHS[frequency] * number)


def next_day(frequency: Frequency, start: date, expiry: date, after: date) -> date | None:
    """The first day behind `after` on which it is collected; None: there is none any more."""
    return next((day for day in due_days(frequency, start, expiry) if day > after), None)


def months_after(day: date, months: int) -> date:
    """The same day of a later month; its last day where that month is too short."""
    index = day.year * 12 + day.month - 1 + months
    year, month = divmod(index, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def retries(frequency: Frequency) -> tuple[timedelta, ...]:
    """How long after each failed try bKash tries again: none daily, once weekly, else twice."""
    if frequency is Frequency.DAILY:
        return ()
    if frequency is Frequency.WEEKLY:
        return (timedelta(days=2),)
    return (timedelta(days=3), timedelta(days=3))
