"""bKash's own forms of values: times, the date in a transaction id, tag-length-value (dossier §12.3, §4.2, §18)."""

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Final

# ----------------------------------------------------------------------------------------- times (§12.3, §18)

DHAKA: Final = timezone(timedelta(hours=6), "+06:00")
"""Bangladesh time; fixed, the country has no summer time."""

_TIME: Final = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:[:.](\d{1,3}))?(?: ?GMT([+-])(\d{2}):?(\d{2}))?",
    re.ASCII,
)
_COMPACT_TIME: Final = re.compile(r"(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})", re.ASCII)


def parse_time(text: str) -> datetime:
    """Read a bKash time: ``2019-08-07T11:12:34:978 GMT+0600`` (no zone: +06:00) or ``yyyyMMddHHmmss``.

    The colon before the milliseconds is bKash's own (§12.3). Returns an aware datetime in the zone that was
    written; raises ``ValueError`` for anything else.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        compact = _COMPACT_TIME.fullmatch(text)
        if compact is None:
            raise ValueError("not a bKash time (expected yyyy-MM-ddTHH:mm:ss:SSS GMT+0600)")
        year, month, day, hour, minute, second = (int(part) for part in compact.groups())
        return datetime(year, month, day, hour, minute, second, tzinfo=DHAKA)
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    milliseconds = int((match[7] or "0").ljust(3, "0"))
    zone: timezone = DHAKA
    if match[8]:
        offset = timedelta(hours=int(match[9]), minutes=int(match[10]))
        zone = timezone(-offset if match[8] == "-" else offset)
    return datetime(year, month, day, hour, minute, second, milliseconds * 1000, tzinfo=zone)


def format_time(moment: datetime, zone: timezone = DHAKA) -> str:
    """Write a bKash time in ``zone``: ``2019-08-07T11:12:34:978 GMT+0600``. ``moment`` must be aware."""
    if moment.tzinfo is None:
        raise ValueError("a bKash time needs an aware datetime; this one has no zone")
    local = moment.astimezone(zone)
    return f"{local:%Y-%m-%dT%H:%M:%S}:{local.microsecond // 1000:03d} GMT{local:%z}"


# ----------------------------------------------------------------------------------- transaction ids (§12.3)

_BASE36: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_FIRST_YEAR: Final = 2013
_MONTHS: Final = "ABCDEFGHIJKL"
_DAYS: Final = "123456789ABCDEFGHIJKLMNOPQRSTUV"


def trx_date_prefix(day: date) -> str:
    """The first three characters of a trxID made on this Bangladesh day: ``date(2025, 7, 15)`` -> ``CGF``.

    Raises ``ValueError`` outside 2013-2048, where the one-character year ends.
    """
    index = day.year - _FIRST_YEAR
    if not 0 <= index < len(_BASE36):
        raise ValueError(f"a trxID cannot carry the year {day.year}")
    return _BASE36[index] + _MONTHS[day.month - 1] + _DAYS[day.day - 1]


def trx_date(trx_id: str) -> date | None:
    """The Bangladesh date that a trxID encodes, or ``None`` where the id does not follow the scheme."""
    if len(trx_id) < 3:
        return None
    year, month, day = (_BASE36.find(trx_id[0]), _MONTHS.find(trx_id[1]), _DAYS.find(trx_id[2]))
    if min(year, month, day) < 0:
        return None
    try:
        return date(_FIRST_YEAR + year, month + 1, day + 1)
    except ValueError:  # 31 February
        return None


# --------------------------------------------------------------------- merchantAssociationInfo (§4.2, §18)


def parse_tlv(text: str) -> Mapping[str, str]:
    """Read ``MI05MID54RF03123`` as ``{"MI": "MID54", "RF": "123"}``: 2-letter tag, 2 digits of length, value.

    Raises ``ValueError`` (bKash: 2047) for a cut, repeated or malformed field.
    """
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        tag, length = text[at : at + 2], text[at + 2 : at + 4]
        if not re.fullmatch(r"[A-Z]{2}", tag) or not re.fullmatch(r"[0-9]{2}", length):
            raise ValueError(f"merchantAssociationInfo is not tag-length-value at character {at}")
        value = text[at + 4 : at + 4 + int(length)]
        if len(value) != int(length) or tag in found:
            raise ValueError(f"merchantAssociationInfo has a cut or repeated field {tag} at character {at}")
        found[tag] = value
        at += 4 + int(length)
    return found
