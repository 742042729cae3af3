"""bKash's settings: the four credentials, where its API is, the variants that sources leave open (dossier §2, §16)."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from vextrus_payments.config import GatewayConfig
from vextrus_payments.gateways.bkash import payout_config
from vextrus_payments.gateways.bkash import webhook_config as wanted
from vextrus_payments.gateways.bkash.dialect import ApiVersion
from vextrus_payments.gateways.bkash.dialects import DIALECTS
from vextrus_payments.gateways.bkash.models import PATH_VOID, PATH_VOID_ALTERNATIVE, ROOT_PATH
from vextrus_payments.gateways.bkash.steps import RefundApi
from vextrus_payments.mode import Mode
from vextrus_payments.secret import Secret

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from vextrus_payments.signing import Verifier
    from vextrus_payments.verifiers.sns import Topic

SANDBOX_URL: Final = "https://tokenized.sandbox.bka.sh/v1.2.0-beta"
LIVE_URL: Final = "https://tokenized.pay.bka.sh/v1.2.0-beta"

_SANDBOX_HOSTS: Final = (".sandbox.bka.sh", ".sandbox.bkash.com", ".sbrecurring.pay.bka.sh")
_LIVE_HOSTS: Final = (".pay.bka.sh", ".pay.bkash.com")
_TEST_VALUE: Final = re.compile(r"sandbox|changeme|your[_-]?(?:app|user|pass)", re.IGNORECASE)
"""In a credential this is a sandbox's or a sample's: long enough never to turn up in a random value."""
_PUBLISHED_USERNAME: Final = re.compile(r"sandboxTokenizedUser[0-9]*|01770618567", re.IGNORECASE)
_PUBLISHED_APP_KEYS: Final = (
    "aa396e01892fbf641b91b5de8668e00cb0067bc189993fc28e0266e3dbbf5bb6",
    "7ceaf565d0e26db9aa6b36316294e53d34071443170e12d75bfcf6a8ad132e32",
)
"""SHA-256 of the app keys of bKash's shared sandbox merchants, which stand in hundreds of public repositories."""
_PUBLISHED_RECURRING_KEYS: Final = ("9cdbdc8436641172dace9b2a579dae2723c51496ec46a5f498cbf72c17735069",)
"""SHA-256 of the API key of the sample in bKash's guide to recurring payments (dossier §18)."""
_CREDENTIALS: Final = ("app_key", "app_secret", "username", "password")
_CREDENTIAL_MAX: Final = 512


class AuthScheme(StrEnum):
    """How the token stands in the Authorization header: sources differ (§16.1)."""

    RAW = "raw"
    BEARER = "bearer"


class VoidPath(StrEnum):
    """Which spelling of the void route is tried first (§16.2); the other one follows where the first is unknown."""

    CONFIRM_VOID = "confirm/void"
    CONFIRM_CAPTURE_VOID = "confirm/capture/void"

    @property
    def paths(self) -> tuple[str, str]:
        """Both routes, in the order in which they are tried."""
        both = (PATH_VOID, PATH_VOID_ALTERNATIVE)
        return both if self is VoidPath.CONFIRM_VOID else (both[1], both[0])


class BkashConfig(GatewayConfig):
    """One merchant's bKash Tokenized Checkout, v1.2.0-beta or v2. From the environment: `BkashConfig.from_env()`.

    The four credentials come as one set per product and mode (§2). They are sent as they are: the password may
    hold `<`, `*`, `@`, `^` and letters beyond ASCII.

    Raises (on creation):
        CredentialsMissingError, ConfigurationError: as GatewayConfig; never with a value in the message.
    """

    env_prefix: ClassVar[str] = "BKASH"
    preset_urls: ClassVar[Mapping[Mode, str]] = MappingProxyType(
        {Mode.SANDBOX: SANDBOX_URL, Mode.LIVE: LIVE_URL}
    )

    app_key: Secret = Field(description="The app key bKash gave you for Tokenized Checkout")
    app_secret: Secret = Field(description="The app secret that belongs to the app key")
    username: Secret = Field(
        description="The merchant's user name (newer ones are the merchant's wallet number)"
    )
    password: Secret = Field(description="The merchant's password, exactly as bKash gave it")
    auth_scheme: AuthScheme = Field(
        default=AuthScheme.RAW, description="raw (the token alone) or bearer (the word Bearer before it)"
    )
    api_version: ApiVersion | None = Field(
        default=None,
        description="v1 (v1.2.0-beta) or v2, as bKash gave it to this merchant; not set: what the path of the API's "
        "root says",
    )
    refund_api: RefundApi = Field(
        default=RefundApi.V2,
        description="v2 (several partial refunds, a list of them) or v1 (the older route)",
    )
    void_path: VoidPath = Field(
        default=VoidPath.CONFIRM_VOID, description="Which route of a void is tried first"
    )
    refund_window_days: int | None = Field(
        default=None,
        ge=1,
        le=3650,
        description="Refuse refunds of older payments before asking bKash; not set: bKash decides",
    )
    use_refresh: bool = Field(
        default=False,
        description="Renew tokens by refresh in place of a new grant; both count in bKash's two an hour",
    )
    sns_topic_arn: str | None = Field(
        default=None,
        description="The Amazon SNS topic of bKash's notifications, as bKash told you; several by commas. Without it "
        "they are refused: anybody can have messages of a topic of his own signed",
    )
    sns_v2_only: bool = Field(
        default=False,
        description="Refuse notifications signed by version 1, which hashes with SHA-1; bKash's topics sign by it",
    )
    sns_anchors_pem: str | None = Field(
        default=None,
        repr=False,
        description="PEM certificates that the chain of a notification's signing certificate has to end at",
    )
    sns_cert_hosts: str | None = Field(
        default=None,
        description="Sandbox only: 127.0.0.1:port of a test server that signs notifications itself; by commas. The "
        "local sandbox of BKASH_API_URL is one by itself",
    )
    webhook_secret: Secret | None = Field(
        default=None,
        description="Secrets of a service of yours that relays payment news, by commas: whsec_..., whsk_... and "
        "whpk_... sign by Standard Webhooks, any other text of 24 characters or more by hex HMAC-SHA256",
    )
    recurring_api_key: Secret | None = Field(
        default=None,
        description="The API key of bKash's recurring payments, which signs their webhooks; several by commas",
    )

    payout_api_url: str | None = Field(
        default=None,
        description="The root of the API of payouts; not set: that of the checkout product, if there are credentials "
        "for it",
    )
    payout_app_key: Secret | None = Field(
        default=None, description="The app key for payouts: a product with credentials of its own"
    )
    payout_app_secret: Secret | None = Field(
        default=None, description="The app secret that belongs to the app key for payouts"
    )
    payout_username: Secret | None = Field(default=None, description="The user name for payouts")
    payout_password: Secret | None = Field(
        default=None, description="The password for payouts, exactly as bKash gave it"
    )

    @classmethod
    def mode_of_host(cls, host: str) -> Mode | None:
        """bKash's own hosts say whose money they move; loopback is sandbox."""
        if f".{host}".endswith(_SANDBOX_HOSTS):
            return Mode.SANDBOX
        if f".{host}".endswith(_LIVE_HOSTS):
            return Mode.LIVE
        return super().mode_of_host(host)

    @field_validator("api_url")
    @classmethod
    def _of_this_product(cls, value: str) -> str:
        if _version_of(value) is None:
            roots = " or ".join(dialect.root_path for dialect in DIALECTS.values())
            raise ValueError(f"must end in {roots}, the root of Tokenized Checkout (such as {SANDBOX_URL})")
        if "//checkout." in value:
            raise ValueError(
                "is the host of the old iframe Checkout; Tokenized Checkout has the host tokenized"
            )
        return value

    @model_validator(mode="before")
    @classmethod
    def _preset_of_the_version(cls, data: Any) -> Any:
        # Before the preset of the mode stands in, which is v1's.
        if not isinstance(data, dict) or data.get("api_url") or data.get("api_version") != ApiVersion.V2:
            return data
        preset = cls.preset_urls.get(data.get("mode", Mode.SANDBOX))
        if preset is None:
            return data  # a mode that is none: its own rule says so
        return {**data, "api_url": preset.removesuffix(ROOT_PATH) + DIALECTS[ApiVersion.V2].root_path}

    @field_validator("api_version")
    @classmethod
    def _version_agrees(cls, value: ApiVersion | None, info: ValidationInfo) -> ApiVersion | None:
        root = info.data.get("api_url")
        if root is None:
            return value  # the root is wrong itself, and is named
        meant = _version_of(root)
        if value is not None and value is not meant:
            raise ValueError(
                f"is {value.value}, but api_url ends in {DIALECTS[meant].root_path if meant else 'another path'}; the "
                f"two must agree"
            )
        return meant

    @field_validator("refund_api")
    @classmethod
    def _refunds_of_the_version(cls, value: RefundApi, info: ValidationInfo) -> RefundApi:
        if value is RefundApi.V1 and info.data.get("api_version") is ApiVersion.V2:
            raise ValueError("is v1, an interface that a merchant on v2 does not have; leave it out")
        return value

    @field_validator(*_CREDENTIALS, *payout_config.CREDENTIALS)
    @classmethod
    def _can_be_sent(cls, value: Secret | None) -> Secret | None:
        if value is None:
            return None
        text = value.reveal()
        if len(text) > _CREDENTIAL_MAX:
            raise ValueError(f"must be at most {_CREDENTIAL_MAX} characters")
        # Three of the four travel as header values, where a line break would begin a header of its own, and
        # blanks at the ends would be lost on the way.
        if not text.isprintable():
            raise ValueError("must have no line break or other control character")
        if text != text.strip():
            raise ValueError("must not begin or end with a blank")
        return value

    # --- payouts: see payout_config.py ---------------------------------------------------------------------------

    @property
    def pays_out(self) -> bool:
        """Whether there are credentials for payouts."""
        return self.payout_app_key is not None

    def for_payouts(self) -> "BkashConfig":
        """These settings with the root and the credentials of payouts in place of those of payments.

        Only where `pays_out`.
        """
        return self.model_copy(
            update={
                "api_url": self.payout_api_url or payout_config.PRESET_URLS[self.mode],
                "app_key": self.payout_app_key,
                "app_secret": self.payout_app_secret,
                "username": self.payout_username,
                "password": self.payout_password,
            }
        )

    @field_validator("payout_api_url")
    @classmethod
    def _good_payout_root(cls, value: str | None) -> str | None:
        return None if value is None else payout_config.checked_root(value)

    @model_validator(mode="after")
    def _payouts_whole(self) -> Self:
        missing = [name for name in payout_config.CREDENTIALS if getattr(self, name) is None]
        if len(missing) == len(payout_config.CREDENTIALS):
            if self.payout_api_url is not None:
                raise PydanticCustomError(
                    "payout", "payout_api_url is set, but no credentials for payouts are"
                )
            return self
        if missing:
            raise PydanticCustomError(
                "payout",
                "payouts have credentials of their own: {missing} is missing",
                {"missing": ", ".join(missing)},
            )
        root = self.payout_api_url
        meant = None if root is None else self.mode_of_host(payout_config.host_of(root))
        if meant is not None and meant is not self.mode:
            raise PydanticCustomError(
                "mode",
                f"is {self.mode.value}, but payout_api_url names a {meant.value} host; the two must agree",
            )
        if root is not None and self.mode is Mode.LIVE and not root.startswith("https:"):
            raise PydanticCustomError("payout", "payout_api_url must be https in live mode")
        return self

    # --- who may send webhooks: see senders.py ---------------------------------------------------------------------

    def sns_topics(self) -> "tuple[Topic, ...]":
        """The topics whose notifications are taken."""
        return wanted.topics(self.sns_topic_arn)

    def sns_anchors(self) -> "tuple[Certificate, ...]":
        """Where chains of signing certificates have to end; empty: nowhere in particular."""
        return wanted.anchors(self.sns_anchors_pem)

    def sns_own_hosts(self) -> tuple[str, ...]:
        """The hosts of this machine whose signing certificates are taken as they are; none in live mode."""
        if self.mode is Mode.LIVE:
            return ()
        return wanted.own_hosts(self.sns_cert_hosts, self.api_url)

    def relay_keys(self) -> "tuple[tuple[Verifier, ...], tuple[bytes, ...]]":
        """(the keys of Standard Webhooks, the secrets of the relay format)."""
        return wanted.relay_keys(self.webhook_secret)

    def recurring_keys(self) -> tuple[bytes, ...]:
        """The keys of recurring payments."""
        return wanted.recurring_keys(self.recurring_api_key)

    @field_validator(
        "sns_topic_arn", "sns_anchors_pem", "sns_cert_hosts", "webhook_secret", "recurring_api_key"
    )
    @classmethod
    def _senders_can_be_proven(cls, value: str | Secret | None, info: ValidationInfo) -> str | Secret | None:
        wanted.check(info.field_name or "", value)
        return value

    @model_validator(mode="after")
    def _no_own_hosts_in_live(self) -> Self:
        if self.mode is Mode.LIVE and self.sns_cert_hosts is not None:
            raise PydanticCustomError("mode", "is live, where no host of this machine signs notifications")
        return self

    @model_validator(mode="after")
    def _no_test_credentials_in_live(self) -> Self:
        if self.mode is not Mode.LIVE:
            return self
        suspects = [name for name in _CREDENTIALS if _is_test_value(name, getattr(self, name).reveal())]
        suspects += [
            name
            for name, secret in (
                ("webhook_secret", self.webhook_secret),
                ("recurring_api_key", self.recurring_api_key),
            )
            if secret is not None and any(_is_test_value(name, one) for one in wanted.listed(secret.reveal()))
        ]
        suspects += [
            name
            for name in payout_config.CREDENTIALS
            if (secret := getattr(self, name)) is not None
            and _is_test_value(name.removeprefix("payout_"), secret.reveal())
        ]
        if suspects:
            raise PydanticCustomError(
                "mode",
                "is live, but {suspects} is of a sandbox or of a published sample",
                {"suspects": ", ".join(suspects)},
            )
        return self


def _version_of(root: str) -> ApiVersion | None:
    """Which version an API's root is of, by its path."""
    return next((v for v, dialect in DIALECTS.items() if root.endswith(dialect.root_path)), None)


def _is_test_value(name: str, value: str) -> bool:
    if _TEST_VALUE.search(value):
        return True
    if name == "username":
        return _PUBLISHED_USERNAME.fullmatch(value) is not None
    digest = hashlib.sha256(value.encode("utf-8")).hexdigest()
    published = {"app_key": _PUBLISHED_APP_KEYS, "recurring_api_key": _PUBLISHED_RECURRING_KEYS}.get(name, ())
    return any(hmac.compare_digest(digest, known) for known in published)
