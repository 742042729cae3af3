"""What a caller may say to bKash beyond the unified fields, and the rules bKash's fields keep (dossier §4.1, §4.2)."""

import re
from typing import Any, Final, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.gateways.bkash.models import (
    FORBIDDEN_IN_REFERENCES,
    MODE_CHECKOUT,
    MODE_WITH_AGREEMENT,
    TEXT_MAX,
    parse_tlv,
)
from vextrus_payments.payment import ProviderParams

REFERENCE_RULE: Final = f"1-{TEXT_MAX} printable characters without < > &"
TEXT_RULE: Final = f"1-{TEXT_MAX} printable characters"
_FORBIDDEN: Final = frozenset(FORBIDDEN_IN_REFERENCES)
ID_RULE: Final = "1-255 visible ASCII characters, as bKash gave it"
_ID: Final = re.compile(r"[!-~]{1,255}", re.ASCII)


class BkashCheckout(ProviderParams, frozen=True, hide_input_in_errors=True):
    """bKash's own parameters of a payment, for `PaymentRequest(params=...)`.

    Raises (on creation):
        InvalidRequestError: a field breaks its rule; it names the field and the rule.
    """

    agreement_id: str | None = Field(default=None, repr=False)
    """Charge a payer's agreement (mode 0001): he then only enters his PIN."""
    mode: Literal["0011", "0001"] | None = None
    """Only to be explicit: without it an agreement means 0001, none means 0011."""
    merchant_association_info: str | None = None
    """For aggregators: tag-length-value such as MI05MID54RF09123456789."""
    payer_reference: str | None = Field(default=None, repr=False)
    """Wins over the request's customer; a wallet number is filled in on bKash's page."""
    sub_merchant_name: str | None = None
    """For aggregators on v2: whose sale it is, as the payer is shown it."""

    def __init__(self, **data: Any) -> None:
        field, rule = "", ""
        try:
            super().__init__(**data)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False, include_context=False)[0]
            field = ".".join(str(part) for part in found["loc"]) or "mode"
            rule = found["msg"].removeprefix("Value error, ")
        # Out here: a ValidationError keeps the input, and must not hang on to ours as __context__.
        if rule:
            raise InvalidRequestError(f"{field} does not fit: {rule}.", field=field, rule=rule)

    @property
    def wire_mode(self) -> str:
        """The mode bKash is told."""
        return self.mode or (MODE_WITH_AGREEMENT if self.agreement_id is not None else MODE_CHECKOUT)

    @field_validator("agreement_id")
    @classmethod
    def _is_agreement_id(cls, value: str | None) -> str | None:
        if value is not None and not _ID.fullmatch(value):
            raise ValueError(ID_RULE)
        return value

    @field_validator("payer_reference")
    @classmethod
    def _is_reference(cls, value: str | None) -> str | None:
        if value is not None and not is_reference(value):
            raise ValueError(REFERENCE_RULE)
        return value

    @field_validator("sub_merchant_name")
    @classmethod
    def _is_name(cls, value: str | None) -> str | None:
        if value is not None and not is_reference(value):
            raise ValueError(REFERENCE_RULE)
        return value

    @field_validator("merchant_association_info")
    @classmethod
    def _is_tlv(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not 1 <= len(value) <= TEXT_MAX or not value.isascii() or not value.isprintable():
            raise ValueError(f"1-{TEXT_MAX} printable ASCII characters of tag-length-value")
        parse_tlv(value)
        return value

    @model_validator(mode="after")
    def _mode_fits(self) -> Self:
        if (self.wire_mode == MODE_WITH_AGREEMENT) is not (self.agreement_id is not None):
            raise ValueError("0001 goes with an agreement_id, 0011 without one")
        return self


def is_reference(value: object) -> bool:
    """True for what bKash takes as payerReference."""
    return is_text(value) and _FORBIDDEN.isdisjoint(str(value))


def is_text(value: object) -> bool:
    """True for what bKash takes as sku or reason. Bangla's joiners (U+200C, U+200D) belong to its spelling."""
    if not isinstance(value, str) or not 1 <= len(value) <= TEXT_MAX:
        return False
    letters = value.replace("\u200c", "").replace("\u200d", "")
    return letters.isprintable() and bool(letters.strip())
