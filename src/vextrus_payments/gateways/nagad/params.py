"""What a caller may say to Nagad beyond the unified fields, and the rules Nagad's fields keep (dossier §4, §5)."""

from ipaddress import IPv4Address
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator

from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.gateways.nagad.models import ClientType
from vextrus_payments.money import Money
from vextrus_payments.payment import ProviderParams, check_url

LABEL_MAX: Final = 20
SERVICE_NAME_MAX: Final = 25
LOGO_URL_MAX: Final = 1024


class NagadCheckout(ProviderParams, frozen=True, hide_input_in_errors=True):
    """Nagad's own parameters of a payment, for `PaymentRequest(params=...)`. They are only shown on Nagad's page.

    Raises (on creation):
        InvalidRequestError: a field breaks its rule; it names the field and the rule.
    """

    client_type: ClientType | None = None
    """Where this payer is; else the configuration's."""
    service_name: str | None = Field(default=None, min_length=1, max_length=SERVICE_NAME_MAX)
    service_logo_url: str | None = Field(default=None, max_length=LOGO_URL_MAX)
    """An https address of a picture of 200 x 200 pixels."""
    field_name_en: str | None = Field(default=None, min_length=1, max_length=LABEL_MAX)
    field_name_bn: str | None = Field(default=None, min_length=1, max_length=LABEL_MAX)
    field_value: str | None = Field(default=None, min_length=1, max_length=LABEL_MAX)
    """One line of the shop's own, with its name in both languages."""
    service_fee: Money | None = None
    """What the payer pays on top; only with NAGAD_SENDER_FEE."""

    def __init__(self, **data: Any) -> None:
        field, rule = "", ""
        try:
            super().__init__(**data)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False, include_context=False)[0]
            field = ".".join(str(part) for part in found["loc"])
            rule = found["msg"].removeprefix("Value error, ")
        # Out here: a ValidationError keeps the input, and must not hang on to ours as __context__.
        if rule:
            raise InvalidRequestError(f"{field} does not fit: {rule}.", field=field, rule=rule)

    @field_validator("service_name", "field_name_en", "field_name_bn", "field_value")
    @classmethod
    def _is_shown(cls, value: str | None) -> str | None:
        if value is not None and not is_text(value):
            raise ValueError("printable characters")
        return value

    @field_validator("service_logo_url")
    @classmethod
    def _is_https(cls, value: str | None) -> str | None:
        good = value is None
        if value is not None:
            try:
                check_url("service_logo_url", value)
                good = urlsplit(value).scheme == "https"
            except InvalidRequestError:
                good = False
        if not good:
            raise ValueError("an https address")
        return value

    @field_validator("service_fee")
    @classmethod
    def _is_a_fee(cls, value: Money | None) -> Money | None:
        if value is not None and not value.is_positive:
            raise ValueError("an amount above zero")
        return value

    def shown(self) -> dict[str, str]:
        """additionalMerchantInfo under Nagad's names (§5); empty where nothing is to be shown."""
        named = {
            "serviceName": self.service_name,
            "serviceLogoURL": self.service_logo_url,
            "additionalFieldNameEN": self.field_name_en,
            "additionalFieldNameBN": self.field_name_bn,
            "additionalFieldValue": self.field_value,
        }
        return {name: value for name, value in named.items() if value is not None}


def is_text(value: str) -> bool:
    """True for one printable line that is not blank. Bangla's joiners (U+200C, U+200D) belong to its spelling."""
    letters = value.replace("\u200c", "").replace("\u200d", "")
    return letters.isprintable() and bool(letters.strip())


def ipv4_or_none(text: str | None) -> str | None:
    """An IPv4 address as it goes into a header; None for everything else, IPv6 included (§3)."""
    try:
        return str(IPv4Address(text)) if text else None
    except ValueError:
        return None
