"""What callers ask for and what adapters are asked: requests, calls, sessions. All frozen, all checked on creation."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, JsonValue

from vextrus_payments.errors import AmountError, InvalidRequestError
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.reasons import Locale

_ID: Final = re.compile(r"[!-~]{1,200}", re.ASCII)
_REFERENCE: Final = re.compile(r"[ -~]{1,200}", re.ASCII)
#: What nearly every URL looks like. It leaves out much that is allowed; what it takes is allowed.
_PLAIN_URL: Final = re.compile(
    r"https?://[A-Za-z0-9][A-Za-z0-9.-]{0,200}(?::[0-9]{1,4})?(?:[/?#][!-\[\]-~]*)?", re.ASCII
)
#: How the ids of operations begin that the engine names itself.
_OWN_IDS: Final = ("execute/", "capture/", "void/", "late/", "agreement/", "collected/")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)


class Intent(StrEnum):
    """Take the money at once, or hold it and capture later."""

    SALE = "sale"
    AUTHORIZATION = "authorization"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was learned at a named protocol step: small typed JSON, no secrets. Made durable by a checkpoint."""

    step: str
    data: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Who pays, as far as the shop knows. Personal data: kept out of repr."""

    reference: str | None = field(default=None, repr=False)
    """The shop's own id of the payer, or a wallet number to pre-fill."""
    msisdn: str | None = field(default=None, repr=False)
    name: str | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)


class ProviderParams(BaseModel, frozen=True, extra="forbid"):
    """Base of the provider-typed parameters that stand beside the unified fields (BkashCheckout, ...)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRequest:
    """One intent to collect one amount for one merchant reference through one gateway.

    Raises:
        InvalidRequestError: a field breaks its rule (it names the field and the rule).
        AmountError: the amount is not Money above zero.
    """

    operation_id: str
    """The caller's idempotency key, 1-200 visible ASCII characters: the same id again is the same intent."""
    gateway: str
    amount: Money
    merchant_reference: str
    """Our invoice number, 1-200 printable ASCII characters."""
    return_url: str | None = None
    """Where the payer's browser ends up: the only redirect target of our return door."""
    intent: Intent = Intent.SALE
    customer: Customer | None = None
    client_ip: str | None = None
    locale: Locale = "en"
    metadata: Mapping[str, str] = field(default_factory=dict)
    correlation_id: str | None = None
    params: ProviderParams | None = None
    allow_repeat: bool = False
    """Charge this reference although it is paid, or may be."""
    agreement_key: str | None = None
    """Charge this agreement, which `create_agreement` named: the gateway's id of it never passes through here."""

    def __post_init__(self) -> None:
        check_operation_id(self.operation_id)
        check_text("gateway", self.gateway, _NAME, "a gateway's name such as bkash")
        check_text(
            "merchant_reference",
            self.merchant_reference,
            _REFERENCE,
            "1-200 printable ASCII characters",
        )
        check_amount(self.amount)
        if self.return_url is not None:
            check_url("return_url", self.return_url)
        if self.agreement_key is not None:
            check_text("agreement_key", self.agreement_key, _ID, "a key that create_agreement gave")
        check_metadata(self.metadata)
        object.__setattr__(self, "metadata", dict(self.metadata))

    def digest(self) -> str:
        """A digest of every parameter that makes the intent: the same operation id must repeat the same digest."""
        return digest_of(
            "initialize",
            self.gateway,
            self.amount.amount_minor,
            self.amount.currency,
            self.merchant_reference,
            self.return_url,
            self.intent,
            self.params.model_dump_json() if self.params else None,
            self.allow_repeat,
            # Only where there is one: what was digested before there were any must come out the same.
            *((self.agreement_key,) if self.agreement_key is not None else ()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequest:
    """Give money of one payment back. `amount=None` means all that is still refundable, fixed at reservation.

    Raises:
        InvalidRequestError, AmountError: as for PaymentRequest.
    """

    operation_id: str
    payment_id: str
    amount: Money | None = None
    reason: str = "refund"
    sku: str | None = None
    """What is given back; bKash refuses a refund without one, so the merchant reference stands in."""

    def __post_init__(self) -> None:
        check_operation_id(self.operation_id)
        check_text("payment_id", self.payment_id, _ID, "a payment id")
        if self.amount is not None:
            check_amount(self.amount)
        if not isinstance(self.reason, str) or not 1 <= len(self.reason) <= 255:
            raise InvalidRequestError(
                "The refund's reason is empty or too long.",
                field="reason",
                rule="1-255 characters",
            )

    def digest(self) -> str:
        """As PaymentRequest.digest; an omitted amount digests as omitted."""
        amount = (self.amount.amount_minor, self.amount.currency) if self.amount is not None else (None, None)
        return digest_of("refund", self.payment_id, *amount, self.reason, self.sku)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentSession:
    """What the caller gets to send the payer away with."""

    payment_id: str
    gateway: str
    mode: Mode
    merchant_reference: str
    amount: Money
    gateway_order_id: str
    gateway_reference: str
    checkout_url: str | None = field(repr=False)
    """Where to redirect the payer. Whoever has it can pay it: not logged. None: nothing to visit, execute now."""
    expires_at: datetime
    submission_no: int = 1
    agreement_id: str | None = field(default=None, repr=False)
    """The gateway's id of the agreement that it charges, where an adapter made the session: the execute call needs it
    again. `Payments` keeps it in its store, and hands none out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecuteCall:
    """What an adapter needs to execute; the answer is judged against the order id and the amount."""

    gateway_reference: str
    gateway_order_id: str
    amount: Money
    intent: Intent = Intent.SALE
    agreement_id: str | None = field(default=None, repr=False)
    """As the session said: some gateways execute the charge of an agreement in another way (bKash v2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusCall:
    """What an adapter needs to look a payment up; the answer is judged against the order id and the amount."""

    gateway_reference: str
    gateway_order_id: str
    amount: Money
    intent: Intent = Intent.SALE


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundCall:
    """What an adapter needs to refund."""

    operation_id: str
    gateway_reference: str
    transaction_id: str
    amount: Money
    reason: str
    sku: str
    known_refunds: frozenset[str] = frozenset()
    """Transaction ids of refunds that are booked already: what a look-up finds is never one of these."""
    accepted_as: str | None = None
    """The gateway's id of this very refund, where it accepted it (PENDING) and told one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementRequest:
    """Ask for a payer's standing consent."""

    payer_reference: str = field(repr=False)
    callback_url: str | None = None
    terms: Mapping[str, JsonValue] | None = None
    """What is agreed, as the gateway's `terms_of` gave it; None where an agreement has no terms."""
    request_id: str | None = None
    """Our id of this very asking, where the gateway takes one: never used twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentRequest:
    """Ask a payer for an agreement: his standing consent to be charged without confirming each payment on the page.

    Raises:
        InvalidRequestError: a field breaks its rule (it names the field and the rule).
    """

    operation_id: str
    """The caller's idempotency key: the same id again is the same agreement."""
    gateway: str
    payer_reference: str = field(repr=False)
    """The shop's own name of the payer, or a wallet number to pre-fill: 1-255 characters."""
    return_url: str | None = None
    correlation_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    merchant_reference: str | None = None
    """Of a subscription: under which of our references its payments are booked; None: the agreement's key."""
    params: ProviderParams | None = None
    """The terms, where the gateway's agreements have any (BkashSubscription)."""

    def __post_init__(self) -> None:
        check_operation_id(self.operation_id)
        check_text("gateway", self.gateway, _NAME, "a gateway's name such as bkash")
        if self.merchant_reference is not None:
            check_text(
                "merchant_reference", self.merchant_reference, _REFERENCE, "1-200 printable ASCII characters"
            )
        reference = self.payer_reference
        if not isinstance(reference, str) or not 1 <= len(reference) <= 255 or not reference.isprintable():
            rule = "1-255 printable characters"
            raise InvalidRequestError(
                f"payer_reference does not fit: {rule}.", field="payer_reference", rule=rule
            )
        if self.return_url is not None:
            check_url("return_url", self.return_url)
        check_metadata(self.metadata)
        object.__setattr__(self, "metadata", dict(self.metadata))

    def digest(self) -> str:
        """As PaymentRequest.digest."""
        # Only where there are any: what was digested before there were subscriptions must come out the same.
        terms = (self.merchant_reference, self.params.model_dump_json() if self.params else None)
        return digest_of(
            "agreement",
            self.gateway,
            self.payer_reference,
            self.return_url,
            *(terms if terms != (None, None) else ()),
        )


def check_operation_id(value: str) -> None:
    """Refuse what is no operation id."""
    if isinstance(value, str) and value.startswith(_OWN_IDS):
        rule = f"not beginning with {', '.join(_OWN_IDS)}, which name our own operations"
        raise InvalidRequestError(f"operation_id does not fit: {rule}.", field="operation_id", rule=rule)
    check_text("operation_id", value, _ID, "1-200 visible ASCII characters, no blanks")


def check_text(name: str, value: object, pattern: re.Pattern[str], rule: str) -> None:
    """Refuse a text field that does not fit its pattern; the value itself is not shown."""
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise InvalidRequestError(f"{name} does not fit: {rule}.", field=name, rule=rule)


def check_amount(amount: object, name: str = "amount") -> None:
    """Refuse what is not Money above zero."""
    if not isinstance(amount, Money):
        raise AmountError(
            f'{name} must be Money, not {type(amount).__name__}: Money("12.50", "BDT").',
            field=name,
            rule="Money",
        )
    if not amount.is_positive:
        raise AmountError(f"{name} must be above zero, not {amount}.", field=name, rule="above zero")


def check_url(name: str, value: object) -> None:
    """Refuse what is no absolute http(s) URL without credentials, or names its host beyond ASCII.

    Who resolves the name may read other letters as ASCII ones: U+3002, U+FF0E and U+FF61 as dots, so that a URL
    leads to a host that the text does not show. In ASCII there is one reading.
    """
    rule = (
        "an absolute http or https URL without user name or password, its host in ASCII (xn--... for others)"
    )
    if isinstance(value, str) and len(value) <= 2000 and _PLAIN_URL.fullmatch(value):
        return
    parts = None
    if isinstance(value, str) and len(value) <= 2000 and not re.search(r"[\x00-\x20\x7f\\]", value):
        try:
            parts = urlsplit(value)
            _ = parts.port
        except ValueError:
            parts = None
    if (
        parts is None
        or parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.username is not None
        or not parts.netloc.isascii()
    ):
        raise InvalidRequestError(f"{name} does not fit: {rule}.", field=name, rule=rule)


def check_metadata(metadata: object) -> None:
    """Refuse what is no small mapping of text to text."""
    rule = "at most 50 pairs of text, keys to 40 and values to 500 characters"
    good = isinstance(metadata, Mapping) and len(metadata) <= 50
    if good and isinstance(metadata, Mapping):
        good = all(
            isinstance(k, str) and isinstance(v, str) and 1 <= len(k) <= 40 and len(v) <= 500
            for k, v in metadata.items()
        )
    if not good:
        raise InvalidRequestError(f"metadata does not fit: {rule}.", field="metadata", rule=rule)


def digest_of(*parts: Any) -> str:
    """A stable digest of simple values."""
    text = json.dumps(parts, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def checked_public_url(value: str) -> str:
    """The address under which our doors are mounted, as seen from outside, without a slash at its end.

    Raises:
        InvalidRequestError: it is no URL, or has a query or a fragment.
    """
    check_url("public_url", value)
    if "?" in value or "#" in value:
        raise InvalidRequestError(
            "public_url does not fit: no query and no fragment.",
            field="public_url",
            rule="no query, no fragment",
        )
    return value.rstrip("/")
