"""What the hosted pages of every gateway share: their frame of words and time, how a form is read, and how a page
sends the browser on."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Final
from urllib.parse import parse_qsl, quote

from starlette.requests import Request
from starlette.responses import Response

from vextrus_payments_sandbox.exchange import BodyTooLargeError, read_body
from vextrus_payments_sandbox.world import CUSTOMER, Wallet

STEPS: Final = ("wallet", "otp", "pin")
_URL_SAFE: Final = "%/:=&?~#+!$,;'@()*[]"
_FORM_MAX: Final = 4_096
_FIELDS_MAX: Final = 20
_DHAKA: Final = timezone(timedelta(hours=6))
_BANGLA_DIGITS: Final = str.maketrans("0123456789", "০১২৩৪৫৬৭৮৯")
_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "error": "Error",
        "time_left": "Time left: {left}, until {until} in Dhaka.",
        "hours": "{number} hours",
        "minutes": "{number} minutes",
        "minute": "1 minute",
        "seconds": "less than a minute",
        "months": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
        "astray": "Wallets that go wrong on purpose",
    },
    "bn": {
        "error": "ভুল",
        "time_left": "সময় আছে {left}, ঢাকার সময় {until} পর্যন্ত।",
        "hours": "{number} ঘণ্টা",
        "minutes": "{number} মিনিট",
        "minute": "১ মিনিট",
        "seconds": "এক মিনিটের কম",
        "months": "জানুয়ারি ফেব্রুয়ারি মার্চ এপ্রিল মে জুন জুলাই আগস্ট সেপ্টেম্বর অক্টোবর নভেম্বর ডিসেম্বর",
        "astray": "যেসব ওয়ালেটে ইচ্ছা করে ভুল হয়",
    },
}


def numbered(sentence: str, lang: str, **numbers: int) -> str:
    """A sentence with its numbers in the digits of the language: 3, or ৩. What has to be typed is never written so."""
    shown = {name: _in_digits(str(number), lang) for name, number in numbers.items()}
    return sentence.format(wallet=CUSTOMER["wallet"], **shown)


def _in_digits(number: str, lang: str) -> str:
    return number.translate(_BANGLA_DIGITS) if lang == "bn" else number


def frame(
    lang: str, *, step: str, steps: Sequence[str], until: datetime, now: datetime, wallets: Iterable[Wallet]
) -> dict[str, Any]:
    """What every gateway's step shows beside the gateway's own words.

    Args:
        steps: all steps of this page, or none where there is only one.
        until: when the step that is shown ends by itself.
        wallets: those that the payer may try; only those that go wrong on purpose are named.
    """
    return {
        "words": _WORDS[lang],
        "bars": [steps.index(step) >= index for index in range(len(steps))] if step in steps else [],
        "time_left": time_left(lang, until, now),
        "until": until.isoformat(timespec="seconds"),
        "astray": [wallet for wallet in wallets if wallet.note and wallet.number != CUSTOMER["wallet"]],
    }


def time_left(lang: str, until: datetime, now: datetime) -> str:
    """Until when, as a sentence: by the clock, and as the time that is left now. It stays true without script."""
    words, seconds = _WORDS[lang], max(0, int((until - now).total_seconds()))
    there, here = until.astimezone(_DHAKA), now.astimezone(_DHAKA)
    clock = f"{there:%H:%M}"
    if there.date() != here.date():
        clock = f"{there.day} {words['months'].split()[there.month - 1]}, {clock}"
    name, number = "seconds", 0
    if seconds >= 7200:
        name, number = "hours", seconds // 3600
    elif seconds >= 60:
        number = seconds // 60
        name = "minute" if number == 1 else "minutes"
    left = words[name].format(number=_in_digits(str(number), lang))
    return words["time_left"].format(left=left, until=_in_digits(clock, lang))


def refresh_at(until: datetime, now: datetime, url: str) -> str:
    """A Refresh header that goes to `url` as soon as `until` has passed: what a page's own timer would do."""
    wait_s = max(0, -int((now - until).total_seconds() // 1)) + 1
    return f"{wait_s}; url={quote(url, safe=_URL_SAFE)}"


async def form_of(request: Request) -> Mapping[str, str] | None:
    """The fields of a urlencoded form, read within a limit; ``None`` when it is too long."""
    try:
        raw = await read_body(request, _FORM_MAX)
    except BodyTooLargeError:
        return None
    try:
        return dict(
            parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_FIELDS_MAX)
        )
    except ValueError:
        return {}


def see_other(url: str) -> Response:
    """Send the browser there with a GET."""
    # What a URL may not hold (quotes, angle brackets) is escaped; what is escaped already stays as it is.
    location = quote(url, safe=_URL_SAFE)
    return Response(status_code=303, headers={"Location": location, "Cache-Control": "no-store"})
