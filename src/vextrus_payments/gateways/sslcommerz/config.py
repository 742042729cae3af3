"""SSLCommerz's settings: the store and where the API is (dossier §1.1, §1.2)."""

import hmac
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from vextrus_payments.config import GatewayConfig
from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.gateways.sslcommerz import models as m
from vextrus_payments.mode import Mode
from vextrus_payments.payment import check_url
from vextrus_payments.secret import Secret

SANDBOX_URL: Final = "https://sandbox.sslcommerz.com"
LIVE_URL: Final = "https://securepay.sslcommerz.com"
_SANDBOX_HOSTS: Final = frozenset({"sandbox.sslcommerz.com"})
_LIVE_HOSTS: Final = frozenset(
    {"securepay.sslcommerz.com", "seamless-epay.sslcommerz.com", "epay.sslcommerz.com"}
)

#: The vendor publishes both with their passwords (§1.1).
_PUBLISHED_STORES: Final = frozenset({"testbox", "test_testemi"})
_SANDBOX_PASSWORD_END: Final = "@ssl"
"""A sandbox store's password is its id with this behind it (§1.1)."""

_STORE_ID: Final = re.compile(r"[A-Za-z0-9_.-]{3,30}", re.ASCII)
_PASTED: Final = (m.PATH_SESSION, m.PATH_VALIDATION, m.PATH_QUERY, "/gwprocess/v4", "/validator/api")


class SslcommerzConfig(GatewayConfig):
    """One SSLCommerz store. From the environment: `SslcommerzConfig.from_env()`.

    Raises (on creation):
        CredentialsMissingError, ConfigurationError: as GatewayConfig; never with a value in the message.
    """

    env_prefix: ClassVar[str] = "SSLCOMMERZ"
    preset_urls: ClassVar[Mapping[Mode, str]] = MappingProxyType(
        {Mode.SANDBOX: SANDBOX_URL, Mode.LIVE: LIVE_URL}
    )

    store_id: str = Field(description="The store id that SSLCommerz gave")
    store_password: Secret = Field(
        description="The store's API password (not the one you log in to the panel with)"
    )
    ipn_url: str | None = Field(
        default=None,
        description="Where SSLCommerz posts its notifications, where it is not the webhook door beside the return door",
    )

    @classmethod
    def mode_of_host(cls, host: str) -> Mode | None:
        """SSLCommerz's own hosts say whose money they move; loopback is sandbox."""
        if host in _SANDBOX_HOSTS:
            return Mode.SANDBOX
        if host in _LIVE_HOSTS:
            return Mode.LIVE
        return super().mode_of_host(host)

    # --- rules ------------------------------------------------------------------------------------------------------

    @field_validator("api_url", mode="before")
    @classmethod
    def _without_the_api_s_own_path(cls, value: object) -> object:
        # People paste a whole address of the documents (§1.2, §1.6).
        if not isinstance(value, str):
            return value
        bare = value.rstrip("/")
        for path in _PASTED:
            bare = bare.removesuffix(path)
        return bare

    @field_validator("callback_url", "ipn_url")
    @classmethod
    def _fits(cls, value: str | None) -> str | None:
        if value is None:
            return None
        good = len(value) <= m.URL_MAX and "#" not in value
        try:
            check_url("url", value)
        except InvalidRequestError:
            good = False
        if not good:
            raise ValueError(f"must be an absolute URL of at most {m.URL_MAX} characters without a fragment")
        return value

    @field_validator("store_id")
    @classmethod
    def _is_store_id(cls, value: str) -> str:
        if not value:
            raise PydanticCustomError("missing", "required")
        if not _STORE_ID.fullmatch(value):
            raise ValueError("must be the store id: 3-30 letters, digits, dots, hyphens and underscores")
        return value

    @field_validator("store_password")
    @classmethod
    def _is_store_password(cls, value: Secret) -> Secret:
        text = value.reveal()
        if text and (len(text) > m.STORE_MAX or not text.isprintable()):
            raise ValueError(f"must be the API password: at most {m.STORE_MAX} printable characters")
        return value

    @model_validator(mode="after")
    def _nothing_of_the_sandbox_in_live(self) -> Self:
        if self.mode is not Mode.LIVE:
            return self
        if self.store_id in _PUBLISHED_STORES:
            raise PydanticCustomError("mode", "is live, but store_id is a published test store")
        sandbox_s = f"{self.store_id}{_SANDBOX_PASSWORD_END}"
        if hmac.compare_digest(self.store_password.reveal().encode("utf-8"), sandbox_s.encode("utf-8")):
            raise PydanticCustomError("mode", "is live, but store_password is one of a sandbox store")
        if self.ipn_url is not None and urlsplit(self.ipn_url).scheme != "https":
            raise PydanticCustomError("mode", "is live, so ipn_url must be https")
        return self
