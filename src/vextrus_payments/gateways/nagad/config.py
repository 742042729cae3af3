"""Nagad's settings: the merchant, his two keys, where the API is, and what sources leave open (dossier §2, §3, §11)."""

import hmac
import re
from collections.abc import Mapping
from ipaddress import IPv4Address
from types import MappingProxyType
from typing import ClassVar, Final, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from vextrus_payments.config import GatewayConfig
from vextrus_payments.gateways.nagad import keys
from vextrus_payments.gateways.nagad.crypto import Seal
from vextrus_payments.gateways.nagad.models import API_PATH, CALLBACK_URL_MAX, CALLBACK_URL_MIN, ClientType
from vextrus_payments.mode import Mode
from vextrus_payments.secret import Secret

SANDBOX_URL: Final = "https://sandbox-ssl.mynagad.com"
LIVE_URL: Final = "https://api.mynagad.com"

CLASSIC_SANDBOX_HOST: Final = "sandbox.mynagad.com"
"""Answers by plain HTTP alone (§2). Its money is no money, so it may."""
_SANDBOX_HOSTS: Final = frozenset({CLASSIC_SANDBOX_HOST, "sandbox-ssl.mynagad.com"})
_LIVE_HOSTS: Final = frozenset({"api.mynagad.com"})

_PUBLISHED_MERCHANT_KEYS: Final = ("ad1628d583b564b4ff4a7f0da578aeb62cfc7129d4f841615abd1bb62d7949bf",)
_PUBLISHED_GATEWAY_KEYS: Final = ("4d71d5b9711832f024f86344826a18e9deeaf3e6e2ab3c417a0ec522cbbb8b59",)
"""SHA-256 of the SubjectPublicKeyInfo of the sandbox's keys: the merchant's private one is printed in dozens of public
repositories (§12)."""
_PUBLISHED_MERCHANT_ID: Final = "683002007104225"

CALLBACK_RULE: Final = f"{CALLBACK_URL_MIN}-{CALLBACK_URL_MAX} characters, and neither a query nor a fragment"

_MERCHANT_ID: Final = re.compile(r"[A-Za-z0-9]{5,20}", re.ASCII)
_MERCHANT_NUMBER: Final = re.compile(r"01[0-9]{9}", re.ASCII)


def can_be_appended_to(url: str) -> bool:
    """Whether Nagad can append its own parameters to this address (§6: never to one that has a query)."""
    return CALLBACK_URL_MIN <= len(url) <= CALLBACK_URL_MAX and not {"?", "#"} & set(url)


class NagadConfig(GatewayConfig):
    """One merchant's Nagad online payment. From the environment: `NagadConfig.from_env()`.

    The keys are read in every packaging people paste (keys.py) and checked when the configuration is made.

    Raises (on creation):
        CredentialsMissingError, ConfigurationError: as GatewayConfig; never with a value in the message.
    """

    env_prefix: ClassVar[str] = "NAGAD"
    preset_urls: ClassVar[Mapping[Mode, str]] = MappingProxyType(
        {Mode.SANDBOX: SANDBOX_URL, Mode.LIVE: LIVE_URL}
    )
    plain_http_hosts: ClassVar[frozenset[str]] = frozenset({CLASSIC_SANDBOX_HOST})

    merchant_id: str = Field(description="The merchant id of Nagad's portal (15 digits)")
    merchant_number: str | None = Field(
        default=None, repr=False, description="The merchant's own mobile number (01XXXXXXXXX); optional"
    )
    public_key: str = Field(
        repr=False, description="Nagad's public key as the portal gives it: Base64 or PEM, in any packaging"
    )
    private_key: Secret = Field(
        description="Your private key, whose public half is in Nagad's portal: Base64 or PEM, in any packaging"
    )
    client_address: str = Field(
        default="127.0.0.1",
        description="The IPv4 address that Nagad is told where the payer's own is not known: this server's public one",
    )
    client_type: ClientType = Field(
        default=ClientType.PC_WEB, description="Where payers are, unless a payment says otherwise"
    )
    sender_fee: bool = Field(
        default=False,
        description="Speak API v-3.0.1, in which a payment may carry a fee for the payer; the vendor's guide alone "
        "describes it",
    )

    @classmethod
    def mode_of_host(cls, host: str) -> Mode | None:
        """Nagad's own hosts say whose money they move; loopback is sandbox."""
        if host in _SANDBOX_HOSTS:
            return Mode.SANDBOX
        if host in _LIVE_HOSTS:
            return Mode.LIVE
        return super().mode_of_host(host)

    def seal(self) -> Seal:
        """What seals our texts and opens Nagad's. The keys were loaded when the configuration was made."""
        return Seal(keys.private_key(self.private_key.reveal()), keys.public_key(self.public_key))

    # --- rules ------------------------------------------------------------------------------------------------------

    @field_validator("api_url", mode="before")
    @classmethod
    def _without_the_api_s_own_path(cls, value: object) -> object:
        # People paste it with the path that every call adds (§2).
        return value.rstrip("/").removesuffix(API_PATH) if isinstance(value, str) else value

    @field_validator("callback_url")
    @classmethod
    def _nagad_can_append_to_it(cls, value: str | None) -> str | None:
        if value is not None and not can_be_appended_to(value):
            raise ValueError(f"must have {CALLBACK_RULE}")
        return value

    @field_validator("merchant_id")
    @classmethod
    def _is_merchant_id(cls, value: str) -> str:
        if not value:
            raise PydanticCustomError("missing", "required")
        if not _MERCHANT_ID.fullmatch(value):
            raise ValueError("must be the portal's merchant id: 5-20 letters and digits")
        return value

    @field_validator("merchant_number")
    @classmethod
    def _is_merchant_number(cls, value: str | None) -> str | None:
        if value is not None and not _MERCHANT_NUMBER.fullmatch(value):
            raise ValueError("must be a mobile number of 11 digits that begins with 01")
        return value

    @field_validator("client_address")
    @classmethod
    def _is_ipv4(cls, value: str) -> str:
        try:
            return str(IPv4Address(value))
        except ValueError:
            pass
        raise ValueError("must be an IPv4 address")

    @field_validator("public_key")
    @classmethod
    def _is_public_key(cls, value: str) -> str:
        if not value.strip():
            raise PydanticCustomError("missing", "required")
        keys.public_key(value)
        return value

    @field_validator("private_key")
    @classmethod
    def _is_private_key(cls, value: Secret) -> Secret:
        if value:  # an empty one is missing, which the base says
            keys.private_key(value.reveal())
        return value

    @model_validator(mode="after")
    def _two_pairs(self) -> Self:
        if hmac.compare_digest(self._own_fingerprint(), keys.fingerprint(keys.public_key(self.public_key))):
            raise PydanticCustomError(
                "public_key",
                "public_key is the public half of private_key: paste the gateway's public key, not your own",
            )
        return self

    @model_validator(mode="after")
    def _no_published_keys_in_live(self) -> Self:
        if self.mode is not Mode.LIVE:
            return self
        suspects = []
        if any(hmac.compare_digest(self._own_fingerprint(), known) for known in _PUBLISHED_MERCHANT_KEYS):
            suspects.append("private_key")
        gateway = keys.fingerprint(keys.public_key(self.public_key))
        if any(hmac.compare_digest(gateway, known) for known in _PUBLISHED_GATEWAY_KEYS):
            suspects.append("public_key")
        if hmac.compare_digest(self.merchant_id, _PUBLISHED_MERCHANT_ID):
            suspects.append("merchant_id")
        if suspects:
            raise PydanticCustomError(
                "mode",
                "is live, but {suspects} is of Nagad's published sandbox",
                {"suspects": ", ".join(suspects)},
            )
        return self

    def _own_fingerprint(self) -> str:
        return keys.fingerprint(keys.private_key(self.private_key.reveal()).public_key())
