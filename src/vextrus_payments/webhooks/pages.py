"""The pages of the return door: what a payer's browser sees where no shop's page follows.

Plain pages without scripts, pictures or fonts, in the language that the browser asks for, with the other one below.
They name no amount, no shop and no person: who opens such an address need not be the payer. None of them says that a
payment failed unless that is proven; whoever cannot be told yet is told not to pay twice.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from html import escape
from types import MappingProxyType
from typing import Final

from vextrus_payments.reasons import Locale, Reason
from vextrus_payments.webhooks.messages import HTML, Reply


class Sight(StrEnum):
    """What a page tells."""

    PAID = "paid"
    AUTHORIZED = "authorized"
    AGREED = "agreed"
    DECLINED = "declined"
    PROCESSING = "processing"
    """Nobody can tell yet, or not any more without a person."""
    UNFINISHED = "unfinished"
    """Nothing that could move money is on its way from us; the payer may not have finished."""
    PAID_BEFORE = "paid_before"
    UNKNOWN = "unknown"
    """No payment of ours."""
    UNREADABLE = "unreadable"
    CLOSED = "closed"
    """This process cannot look now."""
    CROWDED = "crowded"
    """Too many come from there at once."""


@dataclass(frozen=True, slots=True)
class _Words:
    title: str
    text: str


_ENGLISH: Final[Mapping[Sight, _Words]] = MappingProxyType(
    {
        Sight.PAID: _Words(
            "Payment received", "Thank you. Your payment has arrived. You can close this page."
        ),
        Sight.AUTHORIZED: _Words(
            "Payment approved", "Thank you. The amount is reserved for the shop. You can close this page."
        ),
        Sight.AGREED: _Words(
            "Agreement active", "Thank you. Your agreement is active. You can close this page."
        ),
        Sight.DECLINED: _Words("Payment not made", "Nothing was taken. Please go back to the shop."),
        Sight.PROCESSING: _Words(
            "Your payment is being looked at",
            "Please do not pay again. The shop learns how it ended, even if you close this page.",
        ),
        Sight.UNFINISHED: _Words(
            "Your payment is not finished",
            "If you have confirmed it, please do not pay again: the shop learns how it ended. If not, please go back"
            " to the shop.",
        ),
        Sight.PAID_BEFORE: _Words(
            "This order has been paid for before",
            "Please do not pay again. The shop has another payment of this order.",
        ),
        Sight.UNKNOWN: _Words(
            "This payment is not known", "The address is incomplete or old. Please go back to the shop."
        ),
        Sight.UNREADABLE: _Words(
            "This address cannot be read", "It is not as a payment page sends it. Please go back to the shop."
        ),
        Sight.CLOSED: _Words(
            "Just a moment",
            "Your payment cannot be looked at right now. Please do not pay again; load this page again in a moment.",
        ),
        Sight.CROWDED: _Words(
            "Just a moment",
            "Many people come from your network right now. Please do not pay again; load this page again in a while.",
        ),
    }
)
_BANGLA: Final[Mapping[Sight, _Words]] = MappingProxyType(
    {
        Sight.PAID: _Words("পেমেন্ট পাওয়া গেছে", "ধন্যবাদ। আপনার পেমেন্ট পৌঁছেছে। আপনি এই পেজটি বন্ধ করতে পারেন।"),
        Sight.AUTHORIZED: _Words(
            "পেমেন্ট অনুমোদিত হয়েছে",
            "ধন্যবাদ। টাকাটি দোকানের জন্য সংরক্ষিত আছে। আপনি এই পেজটি বন্ধ করতে পারেন।",
        ),
        Sight.AGREED: _Words("সম্মতি চালু হয়েছে", "ধন্যবাদ। আপনার সম্মতি চালু আছে। আপনি এই পেজটি বন্ধ করতে পারেন।"),
        Sight.DECLINED: _Words("পেমেন্ট হয়নি", "কোনো টাকা কাটা হয়নি। অনুগ্রহ করে দোকানে ফিরে যান।"),
        Sight.PROCESSING: _Words(
            "আপনার পেমেন্টটি দেখা হচ্ছে",
            "অনুগ্রহ করে আবার পেমেন্ট করবেন না। আপনি এই পেজ বন্ধ করলেও দোকান ফলাফল জানতে পারবে।",
        ),
        Sight.UNFINISHED: _Words(
            "আপনার পেমেন্টটি সম্পন্ন হয়নি",
            "আপনি নিশ্চিত করে থাকলে আবার পেমেন্ট করবেন না: দোকান ফলাফল জানতে পারবে। না করে থাকলে দোকানে ফিরে যান।",
        ),
        Sight.PAID_BEFORE: _Words(
            "এই অর্ডারের পেমেন্ট আগেই হয়েছে",
            "অনুগ্রহ করে আবার পেমেন্ট করবেন না। দোকানের কাছে এই অর্ডারের অন্য একটি পেমেন্ট আছে।",
        ),
        Sight.UNKNOWN: _Words("এই পেমেন্টটি পাওয়া যায়নি", "লিংকটি অসম্পূর্ণ বা পুরোনো। অনুগ্রহ করে দোকানে ফিরে যান।"),
        Sight.UNREADABLE: _Words("এই লিংকটি পড়া যাচ্ছে না", "পেমেন্ট পেজ এভাবে পাঠায় না। অনুগ্রহ করে দোকানে ফিরে যান।"),
        Sight.CLOSED: _Words(
            "একটু অপেক্ষা করুন",
            "এই মুহূর্তে আপনার পেমেন্টটি দেখা যাচ্ছে না। আবার পেমেন্ট করবেন না; একটু পরে এই পেজটি আবার খুলুন।",
        ),
        Sight.CROWDED: _Words(
            "একটু অপেক্ষা করুন",
            "আপনার নেটওয়ার্ক থেকে এখন অনেকে একসাথে আসছেন। আবার পেমেন্ট করবেন না; কিছুক্ষণ পরে এই পেজটি আবার খুলুন।",
        ),
    }
)
_TEXTS: Final[Mapping[Locale, Mapping[Sight, _Words]]] = MappingProxyType({"en": _ENGLISH, "bn": _BANGLA})
_LOOK_AGAIN: Final[Mapping[Locale, str]] = MappingProxyType({"en": "Look again", "bn": "আবার দেখুন"})

_STATUS: Final[Mapping[Sight, int]] = MappingProxyType(
    {
        Sight.UNKNOWN: 404,
        Sight.UNREADABLE: 400,
        Sight.CLOSED: 503,
        Sight.CROWDED: 429,
    }
)

_STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{margin:0;background:#f4f5f7;color:#1b2430;"
    'font:1.05rem/1.6 system-ui,"Noto Sans","Noto Sans Bengali",sans-serif}'
    "main{box-sizing:border-box;max-width:34rem;margin:12vh auto 2rem;padding:1.5rem;background:#fff;"
    "border:1px solid #d8dde4;border-radius:.75rem}"
    "h1{font-size:1.35rem;line-height:1.35;margin:0 0 .5rem}p{margin:0}"
    "aside{margin-top:1.25rem;padding-top:1rem;border-top:1px solid #d8dde4;color:#4a5563}"
    "h2{font-size:1rem;margin:0 0 .25rem}a{color:#0b5c51}nav{margin-top:1rem}"
    "@media (prefers-color-scheme:dark){body{background:#12161c;color:#e8edf3}"
    "main{background:#1b212a;border-color:#323b48}aside{border-color:#323b48;color:#aab6c4}a{color:#5fd0bd}}"
    "@media (max-width:36rem){main{margin:0;min-height:100vh;border:0;border-radius:0}}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode("utf-8")).digest()).decode("ascii")

#: What every answer of the return door carries, its redirects too: the address it was asked by names a payment.
GUARDS: Final = (
    ("referrer-policy", "no-referrer"),
    (
        "content-security-policy",
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-robots-tag", "noindex"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page, to be shown."""

    sight: Sight
    locale: Locale = "en"
    reason: Reason | None = None
    """Why a payment was declined, where that is known."""
    look_again: str | None = None
    """The query of the address that looks again, already encoded; None: there is none."""
    refresh_s: int | None = None
    """After how many seconds the browser looks again by itself."""
    headers: tuple[tuple[str, str], ...] = field(default=())

    def as_reply(self) -> Reply:
        """The page with its status and headers."""
        headers = [*GUARDS, ("vary", "accept-language"), ("content-language", self.locale), *self.headers]
        if self.refresh_s is not None and self.look_again is not None:
            headers.append(("refresh", f"{self.refresh_s}; url=?{self.look_again}"))
        return Reply(
            status=_STATUS.get(self.sight, 200),
            body=self._rendered().encode("utf-8"),
            media_type=HTML,
            headers=tuple(headers),
        )

    def _rendered(self) -> str:
        own, other = self.locale, _other(self.locale)
        again = ""
        if self.look_again is not None:
            again = f'<nav><a href="?{escape(self.look_again)}">{_LOOK_AGAIN[own]}</a></nav>'
        title, text = self._words(own)
        other_title, other_text = self._words(other)
        return (
            f'<!doctype html><html lang="{own}"><head><meta charset="utf-8"><title>{title}</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<meta name="robots" content="noindex"><style>{_STYLE}</style></head>'
            f"<body><main><h1>{title}</h1><p>{text}</p>{again}"
            f'<aside lang="{other}"><h2>{other_title}</h2><p>{other_text}</p></aside></main></body></html>'
        )

    def _words(self, locale: Locale) -> tuple[str, str]:
        words = _TEXTS[locale][self.sight]
        told = "" if self.reason is None else _sentence(self.reason.text(locale), locale)
        return escape(words.title), escape(told + words.text)


def _sentence(told: str, locale: Locale) -> str:
    """With its full stop, which a gateway's own words often lack: another sentence follows."""
    told = told.strip()
    if told and told[-1] not in ".!?।":
        told += "।" if locale == "bn" else "."
    return f"{told} " if told else ""


def _other(locale: Locale) -> Locale:
    return "bn" if locale == "en" else "en"


_WANTED: Final = re.compile(
    r"\s*([A-Za-z*]{1,8})(?:-[A-Za-z0-9-]{1,32})?\s*(?:;\s*q=([01](?:\.[0-9]{0,3})?))?\s*", re.ASCII
)
_LANGUAGES_MAX: Final = 16


def locale_of(accept_language: str | None) -> Locale:
    """English or Bangla, whichever the browser would rather have; English where it does not say."""
    best: tuple[int, Locale] = (0, "en")
    for one in (accept_language or "")[:512].split(",")[:_LANGUAGES_MAX]:
        wanted = _WANTED.fullmatch(one)
        if wanted is None or wanted[1].lower() not in ("en", "bn"):
            continue
        weight = int(((wanted[2] or "1").replace(".", "") + "000")[:4])  # in thousandths
        if weight > best[0]:
            best = (weight, "bn" if wanted[1].lower() == "bn" else "en")
    return best[1]
