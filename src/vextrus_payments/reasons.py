"""Why a gateway said no: one enum for all gateways, with sentences for payers in English and Bangla."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

Locale = Literal["en", "bn"]


class ReasonCode(StrEnum):
    """The normalized cause of a decline."""

    INSUFFICIENT_BALANCE = "insufficient_balance"
    INVALID_PAYMENT = "invalid_payment"
    PAYMENT_CANCELLED = "payment_cancelled"
    PAYMENT_EXPIRED = "payment_expired"
    PAYER_NOT_FINISHED = "payer_not_finished"
    """The payer has not confirmed yet (a forged or early return): no final no."""
    INVALID_CREDENTIALS = "invalid_credentials"
    DUPLICATE_PAYMENT = "duplicate_payment"
    WRONG_PIN = "wrong_pin"
    WRONG_OTP = "wrong_otp"
    TOO_MANY_TRIES = "too_many_tries"
    ACCOUNT_BLOCKED = "account_blocked"
    ACCOUNT_NOT_FOUND = "account_not_found"
    MERCHANT_NOT_PERMITTED = "merchant_not_permitted"
    INVALID_REQUEST = "invalid_request"
    INVALID_AMOUNT = "invalid_amount"
    INVALID_AGREEMENT = "invalid_agreement"
    REFUND_NOT_ALLOWED = "refund_not_allowed"
    REFUND_AMOUNT_INVALID = "refund_amount_invalid"
    REFUND_WINDOW_CLOSED = "refund_window_closed"
    GATEWAY_UNAVAILABLE = "gateway_unavailable"
    UNKNOWN_ERROR = "unknown_error"


_TEXTS: Final[Mapping[ReasonCode, tuple[str, str]]] = {
    ReasonCode.INSUFFICIENT_BALANCE: (
        "The account does not have enough balance.",
        "অ্যাকাউন্টে পর্যাপ্ত ব্যালেন্স নেই।",
    ),
    ReasonCode.INVALID_PAYMENT: (
        "This payment is no longer valid. Please start again.",
        "এই পেমেন্টটি আর বৈধ নয়। অনুগ্রহ করে আবার শুরু করুন।",
    ),
    ReasonCode.PAYMENT_CANCELLED: (
        "The payment was cancelled.",
        "পেমেন্টটি বাতিল করা হয়েছে।",
    ),
    ReasonCode.PAYMENT_EXPIRED: (
        "The time for this payment is over. Please start again.",
        "এই পেমেন্টের সময় শেষ। অনুগ্রহ করে আবার শুরু করুন।",
    ),
    ReasonCode.PAYER_NOT_FINISHED: (
        "The payment is not confirmed yet. Please finish it first.",
        "পেমেন্টটি এখনো নিশ্চিত করা হয়নি। অনুগ্রহ করে আগে এটি সম্পন্ন করুন।",
    ),
    ReasonCode.INVALID_CREDENTIALS: (
        "The shop's payment settings are wrong. Please tell the shop.",
        "দোকানের পেমেন্ট সেটিংসে ভুল আছে। অনুগ্রহ করে দোকানকে জানান।",
    ),
    ReasonCode.DUPLICATE_PAYMENT: (
        "A payment of the same amount was just made. Please check before you pay again.",
        "একই পরিমাণের একটি পেমেন্ট এইমাত্র হয়েছে। আবার পেমেন্ট করার আগে যাচাই করুন।",
    ),
    ReasonCode.WRONG_PIN: ("The PIN is wrong.", "পিন সঠিক নয়।"),
    ReasonCode.WRONG_OTP: (
        "The verification code is wrong.",
        "ভেরিফিকেশন কোড সঠিক নয়।",
    ),
    ReasonCode.TOO_MANY_TRIES: (
        "Too many tries. Please wait and try again later.",
        "অনেকবার চেষ্টা করা হয়েছে। কিছুক্ষণ পরে আবার চেষ্টা করুন।",
    ),
    ReasonCode.ACCOUNT_BLOCKED: (
        "This account cannot pay at the moment. Please contact the wallet's support.",
        "এই অ্যাকাউন্ট থেকে এখন পেমেন্ট করা যাচ্ছে না। ওয়ালেটের সহায়তা কেন্দ্রে যোগাযোগ করুন।",
    ),
    ReasonCode.ACCOUNT_NOT_FOUND: ("There is no such account.", "এমন কোনো অ্যাকাউন্ট নেই।"),
    ReasonCode.MERCHANT_NOT_PERMITTED: (
        "The shop cannot take this payment at the moment. Please tell the shop.",
        "দোকানটি এখন এই পেমেন্ট নিতে পারছে না। অনুগ্রহ করে দোকানকে জানান।",
    ),
    ReasonCode.INVALID_REQUEST: (
        "The payment could not be started. Please tell the shop.",
        "পেমেন্টটি শুরু করা যায়নি। অনুগ্রহ করে দোকানকে জানান।",
    ),
    ReasonCode.INVALID_AMOUNT: ("The amount is not allowed.", "পরিমাণটি গ্রহণযোগ্য নয়।"),
    ReasonCode.INVALID_AGREEMENT: (
        "The saved wallet can no longer be used. Please add it again.",
        "সংরক্ষিত ওয়ালেটটি আর ব্যবহার করা যাবে না। অনুগ্রহ করে আবার যুক্ত করুন।",
    ),
    ReasonCode.REFUND_NOT_ALLOWED: (
        "This payment cannot be refunded.",
        "এই পেমেন্টটি ফেরত দেওয়া যাবে না।",
    ),
    ReasonCode.REFUND_AMOUNT_INVALID: (
        "The refund is more than what is left of the payment.",
        "ফেরতের পরিমাণ পেমেন্টের অবশিষ্ট পরিমাণের চেয়ে বেশি।",
    ),
    ReasonCode.REFUND_WINDOW_CLOSED: (
        "The time for refunding this payment is over.",
        "এই পেমেন্ট ফেরত দেওয়ার সময় শেষ।",
    ),
    ReasonCode.GATEWAY_UNAVAILABLE: (
        "The payment service is under maintenance. Please try later.",
        "পেমেন্ট সেবাটি রক্ষণাবেক্ষণে আছে। পরে চেষ্টা করুন।",
    ),
    ReasonCode.UNKNOWN_ERROR: (
        "The payment was not accepted.",
        "পেমেন্টটি গৃহীত হয়নি।",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A decline: our code, the gateway's own code, and the gateway's own sentences where it gave any.

    `own_words` maps a locale to the gateway's sentence; the adapter fills it only where the gateway's rules
    ask that payers see it, and it then wins over ours.
    """

    code: ReasonCode
    gateway_code: str | None = None
    own_words: Mapping[str, str] = field(default_factory=dict)

    def text(self, locale: Locale = "en") -> str:
        """The sentence to show to the payer."""
        own = self.own_words.get(locale)
        if own:
            return own
        english, bangla = _TEXTS[self.code]
        return bangla if locale == "bn" else english
