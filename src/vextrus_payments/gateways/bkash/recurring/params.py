"""What a payer agrees to who subscribes: how much, how often, from when to when (dossier §7)."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final, Self

from pydantic import Field, JsonValue, ValidationError, field_validator, model_validator

from vextrus_payments.errors import AmountError, InvalidRequestError
from vextrus_payments.gateways.bkash.recurring.models import (
    CURRENCY,
    LONGEST_YEARS,
    REFERENCE_MAX,
    Frequency,
    SubscriptionType,
)
from vextrus_payments.money import Money
from vextrus_payments.payment import ProviderParams

_SMALLEST: Final = Money("1.00", CURRENCY)


class BkashSubscription(ProviderParams, frozen=True, hide_input_in_errors=True):
    """The terms of a subscription, for `ConsentRequest(params=...)`.

    Raises (on creation):
        InvalidRequestError: a field breaks its rule; it names the field and the rule.
    """

    amount: Money
    """What is collected each time, in BDT."""
    frequency: Frequency
    start_date: date
    """The first day on which bKash collects, in Dhaka."""
    expiry_date: date
    """After this day nothing is collected: later than the start, and at most two years behind it."""
    first_payment_amount: Money | None = None
    """With it the payer pays this at once, when he consents (WITH_PAYMENT); without, nothing moves then (BASIC)."""
    first_payment_in_cycle: bool = True
    """Whether that first payment stands for the cycle in which it is made."""
    max_cap_amount: Money | None = None
    """The most that one payment may ever come to, as the payer's page shows it."""
    reference: str | None = Field(default=None, min_length=1, max_length=REFERENCE_MAX)
    """What the subscription is for, in the shop's words; else the merchant reference stands in."""

    def __init__(self, **data: Any) -> None:
        field, rule = "", ""
        try:
            super().__init__(**data)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False, include_context=False)[0]
            field = ".".join(str(part) for part in found["loc"]) or "expiry_date"
            rule = found["msg"].removeprefix("Value error, ")
        # Out here: a ValidationError keeps the input, and must not hang on to ours as __context__.
        if rule:
            raise InvalidRequestError(f"{field} does not fit: {rule}.", field=field, rule=rule)

    @field_validator("amount", "first_payment_amount", "max_cap_amount")
    @classmethod
    def _is_taka(cls, value: Money | None) -> Money | None:
        if value is not None and (value.currency != CURRENCY or value < _SMALLEST):
            raise ValueError(f"at least 1.00 {CURRENCY}")
        return value

    @field_validator("reference")
    @classmethod
    def _is_shown(cls, value: str | None) -> str | None:
        if value is not None and not value.isprintable():
            raise ValueError("printable characters")
        return value

    @model_validator(mode="after")
    def _has_an_end(self) -> Self:
        if self.expiry_date <= self.start_date:
            raise ValueError("later than start_date")
        if self.expiry_date > _years_after(self.start_date, LONGEST_YEARS):
            raise ValueError(f"at most {LONGEST_YEARS} years after start_date")
        return self

    @property
    def type(self) -> SubscriptionType:
        """Whether something is paid at once."""
        if self.first_payment_amount is None:
            return SubscriptionType.BASIC
        return SubscriptionType.WITH_PAYMENT

    def to_terms(self) -> dict[str, JsonValue]:
        """As small typed JSON: amounts in minor units, days as text."""

        def minor(amount: Money | None) -> int | None:
            return None if amount is None else amount.amount_minor

        return {
            "amount_minor": self.amount.amount_minor,
            "first_payment_minor": minor(self.first_payment_amount),
            "max_cap_minor": minor(self.max_cap_amount),
            "first_payment_in_cycle": self.first_payment_in_cycle,
            "frequency": self.frequency.value,
            "start_date": self.start_date.isoformat(),
            "expiry_date": self.expiry_date.isoformat(),
            "reference": self.reference,
        }

    @classmethod
    def from_terms(cls, terms: Mapping[str, JsonValue]) -> Self:
        """Back from `to_terms`.

        Raises:
            InvalidRequestError: these are no terms of a subscription.
        """
        try:
            return cls(
                amount=_money(terms.get("amount_minor")),
                first_payment_amount=_money(terms.get("first_payment_minor")),
                max_cap_amount=_money(terms.get("max_cap_minor")),
                first_payment_in_cycle=terms.get("first_payment_in_cycle") is not False,
                frequency=Frequency(str(terms.get("frequency"))),
                start_date=date.fromisoformat(str(terms.get("start_date"))),
                expiry_date=date.fromisoformat(str(terms.get("expiry_date"))),
                reference=terms.get("reference"),
            )
        except (ValueError, AmountError):
            pass
        raise InvalidRequestError(
            "These are no terms of a subscription.", field="terms", rule="as to_terms gives"
        )

    def amounts(self) -> tuple[Money, ...]:
        """What one payment under it may come to: each time, and the first time."""
        first = self.first_payment_amount
        return (self.amount,) if first is None or first == self.amount else (self.amount, first)


def _money(minor: JsonValue | None) -> Money | None:
    if minor is None:
        return None
    if isinstance(minor, bool) or not isinstance(minor, int):
        raise ValueError("an amount is a whole number of paisa")
    return Money.from_minor(minor, CURRENCY)


def _years_after(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year + years)
    except ValueError:  # the 29th of February
        return date(day.year + years, 3, 1)
