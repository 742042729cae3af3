"""Settings of bKash's recurring payments: one API key, which both calls and proves webhooks (dossier §7)."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar, Final, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from vextrus_payments.config import GatewayConfig
from vextrus_payments.errors import ConfigurationError
from vextrus_payments.gateways.bkash.recurring.models import ROOT_PATH
from vextrus_payments.gateways.bkash.webhook_config import KEYS_MAX, listed
from vextrus_payments.mode import Mode
from vextrus_payments.secret import Secret

SANDBOX_URL: Final = "https://gateway.sbrecurring.pay.bka.sh/gateway"
_SANDBOX_HOSTS: Final = (".sbrecurring.pay.bka.sh", ".uatrecurring.pay.bka.sh", ".sandbox.bka.sh")
_LIVE_HOSTS: Final = (".pay.bka.sh", ".pay.bkash.com")
_SHORT_CODE: Final = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)
_PUBLISHED_KEYS: Final = ("9cdbdc8436641172dace9b2a579dae2723c51496ec46a5f498cbf72c17735069",)
"""SHA-256 of the API key of the sample in bKash's guide (dossier §18)."""


class Channel(StrEnum):
    """Where payers subscribe, as the header channelId says it: the guide's numbers."""

    CUSTOMER_APP = "1"
    MERCHANT_WEB = "2"


class BkashRecurringConfig(GatewayConfig):
    """One merchant's bKash recurring payments. From the environment: `BkashRecurringConfig.from_env()`.

    Raises (on creation):
        CredentialsMissingError, ConfigurationError: as GatewayConfig; never with a value in the message.
    """

    env_prefix: ClassVar[str] = "BKASH_RECURRING"
    # bKash tells the address of its live platform when a merchant begins there: it has to be given.
    preset_urls: ClassVar[Mapping[Mode, str]] = MappingProxyType({Mode.SANDBOX: SANDBOX_URL})

    api_key: Secret = Field(
        description="The API key of bKash's recurring payments; several by commas: the first one calls, all of them "
        "prove webhooks"
    )
    service_id: int | None = Field(
        default=None,
        ge=1,
        description="The service id bKash gave you; without it no subscription can be opened",
    )
    merchant_short_code: str | None = Field(
        default=None, description="The merchant's short code, where bKash gave one"
    )
    channel: Channel = Field(
        default=Channel.MERCHANT_WEB, description="Where payers subscribe: 1 (an app) or 2 (a web site)"
    )

    @classmethod
    def mode_of_host(cls, host: str) -> Mode | None:
        """bKash's own hosts say whose money they move; loopback is sandbox."""
        if f".{host}".endswith(_SANDBOX_HOSTS):
            return Mode.SANDBOX
        if f".{host}".endswith(_LIVE_HOSTS):
            return Mode.LIVE
        return super().mode_of_host(host)

    @field_validator("api_url", mode="before")
    @classmethod
    def _without_the_api_s_own_path(cls, value: object) -> object:
        # bKash's papers name it with the path that every call adds.
        return value.rstrip("/").removesuffix("/api") if isinstance(value, str) else value

    @field_validator("api_url")
    @classmethod
    def _of_this_product(cls, value: str) -> str:
        if not value.endswith(ROOT_PATH):
            raise ValueError(
                f"must end in {ROOT_PATH}, the root of recurring payments (such as {SANDBOX_URL})"
            )
        return value

    @field_validator("merchant_short_code")
    @classmethod
    def _is_short_code(cls, value: str | None) -> str | None:
        if value is not None and not _SHORT_CODE.fullmatch(value):
            raise ValueError("must be 1-40 letters, digits, - and _")
        return value

    @field_validator("api_key")
    @classmethod
    def _are_keys(cls, value: Secret) -> Secret:
        if not value:
            return value  # an empty one is missing, which the base says
        keys, problem = listed(value.reveal()), ""
        if not 1 <= len(keys) <= KEYS_MAX:
            raise ValueError(f"must be a list of 1 to {KEYS_MAX}, by commas")
        try:
            _keys_of(keys)
        except ConfigurationError as error:
            problem = f"{error.what} {error.next_step}".rstrip(".")
        if problem:
            raise ValueError(problem)
        return value

    @model_validator(mode="after")
    def _no_published_key_in_live(self) -> Self:
        if self.mode is Mode.LIVE:
            for key in listed(self.api_key.reveal()):
                digest = hashlib.sha256(key.encode("utf-8")).hexdigest()
                if any(hmac.compare_digest(digest, known) for known in _PUBLISHED_KEYS):
                    raise PydanticCustomError(
                        "mode", "is live, but api_key is the one of bKash's published sample"
                    )
        return self

    def calling_key(self) -> str:
        """What calls carry."""
        return listed(self.api_key.reveal())[0]

    def verifying_keys(self) -> tuple[bytes, ...]:
        """What webhooks are proven by."""
        return _keys_of(listed(self.api_key.reveal()))


def _keys_of(keys: list[str]) -> tuple[bytes, ...]:
    # Loaded here: who only reads the settings does not pay for verifiers.
    from vextrus_payments.verifiers.recurring import recurring_key

    return tuple(recurring_key(Secret(key)) for key in keys)
