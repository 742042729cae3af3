"""What every verifier does before it looks at a signature: the shape of a delivery."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from vextrus_payments.errors import MalformedWebhookError, UnsupportedOperationError
from vextrus_payments.events import Confirm

#: The longest delivery that is looked at: the longest that Amazon SNS sends.
BODY_MAX_BYTES: Final = 262_144
#: How old a signed time inside of a body may be. A body keeps its time over every repeat, so this is longer than any
#: sender goes on trying, and shorter than the inbox keeps what it knows repeats by: no replay is ever new.
PAST_S: Final = 7 * 86_400
#: How far a signed time may lie ahead of our clock.
FUTURE_S: Final = 300

# RFC 3339 with a zone; a fraction of any length is cut to what a clock can tell.
_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,12})?(Z|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)


def one_header(headers: Mapping[str, str], name: str) -> str | None:
    """The header of this lower-case name, in whatever case it came; None where there is none.

    Raises:
        MalformedWebhookError: it came twice, in two cases.
    """
    found = headers.get(name)
    if found is not None:
        return found
    values = [value for key, value in headers.items() if key.lower() == name]
    if len(values) > 1:
        raise MalformedWebhookError(f"The header {name} came twice.")
    return values[0] if values else None


def check_size(body: bytes, sender: str) -> None:
    """Refuse a body that no sender sends.

    Raises:
        MalformedWebhookError: it is empty, which often means that something before us has read it, or too long.
    """
    if not body:
        raise MalformedWebhookError(
            f"The delivery is no message of {sender}: its body is empty.",
            code="empty_body",
            next_step="Nothing was recorded. Does the web application read the body before the door does?",
        )
    if len(body) > BODY_MAX_BYTES:
        raise MalformedWebhookError(
            f"The delivery is no message of {sender}: it is longer than {BODY_MAX_BYTES} bytes.",
            code="too_large",
        )


def time_of(text: str) -> datetime | None:
    """The moment that RFC 3339 text with a zone names, in UTC; None for any other text."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    day, clock, fraction, zone = match.groups()
    try:
        # Assembled anew: which fractions and zones fromisoformat reads differs between releases of Python.
        moment = datetime.fromisoformat(
            f"{day}T{clock}{(fraction or '.0')[:7]:0<7}{'+00:00' if zone == 'Z' else zone}"
        )
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def refuse_confirmation(confirm: Confirm, sender: str) -> None:
    """What `confirm` does for a sender that never asks.

    Raises:
        UnsupportedOperationError: always; nothing was fetched.
    """
    raise UnsupportedOperationError(f"{sender} asks for no confirmation.", field="confirm", rule="none")
