"""Settings of a gateway: checked models, read from the environment or from files, that never show a secret.

An adapter's `config.py` subclasses `GatewayConfig`, names its `env_prefix` and its hosts, and adds its credentials
as `Secret` fields; everything else (the environment, `*_FILE`, one error that lists all that is wrong) is here.
"""

import os
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final, NamedTuple, Self
from urllib.parse import SplitResult, quote, quote_plus, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from vextrus_payments.errors import ConfigurationError, CredentialsMissingError, InvalidRequestError
from vextrus_payments.mode import Mode
from vextrus_payments.payment import check_url
from vextrus_payments.secret import MASK, Secret

#: Larger than any credential, PEM keys included.
MAX_FILE_BYTES: Final = 65_536
_REQUIRED: Final = "required"
#: The code of the error where an environment says nothing about a gateway, rather than too little.
NOT_CONFIGURED: Final = "not_configured"
_PROXY_SCHEMES: Final = frozenset({"http", "https"})
_CONCEALED_MIN: Final = 6


class EnvRow(NamedTuple):
    """One line of `.env.example`: what an environment variable is for."""

    name: str
    description: str
    default: str | None
    """What holds when it is not set, as text; None: nothing."""
    secret: bool
    """True: `NAME_FILE` (a file that holds the value) is the better way to give it."""
    required: bool


class GatewayConfig(BaseModel):
    """What every gateway needs to be reached. Frozen; unknown fields are refused.

    Raises (on creation):
        CredentialsMissingError: required fields are absent; it lists all of them.
        ConfigurationError: a field breaks its rule; it names the field and the rule, never the value.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
        validate_default=True,
    )

    env_prefix: ClassVar[str] = ""
    """What the gateway's environment variables begin with: "BKASH" for BKASH_API_URL."""
    preset_urls: ClassVar[Mapping[Mode, str]] = MappingProxyType({})
    """The gateway's own root per mode; stands in where `api_url` is not given."""
    not_in_env: ClassVar[frozenset[str]] = frozenset({"ssl_context"})
    plain_http_hosts: ClassVar[frozenset[str]] = frozenset()
    """Hosts of a gateway's sandbox that answer by plain HTTP alone: what travels there can be read and altered."""

    mode: Mode = Field(
        default=Mode.SANDBOX,
        description="sandbox (test money) or live (real money); must agree with the host",
    )
    api_url: str = Field(default="", description="The root of the gateway's API, without a slash at its end")
    callback_url: str | None = Field(
        default=None,
        description="Where the gateway sends the payer's browser back to, where no mount names it",
    )
    timeout_s: float = Field(
        default=30.0, gt=0, le=300, allow_inf_nan=False, description="Seconds to wait for one whole answer"
    )
    proxy: Secret | None = Field(default=None, description="URL of an outgoing HTTP proxy, if there is one")
    ssl_context: ssl.SSLContext | None = Field(default=None, exclude=True, repr=False)

    def __init__(self, **data: Any) -> None:
        problems: dict[str, str] = {}
        try:
            super().__init__(**data)
        except ValidationError as error:
            problems = _problems_of(error)
        # Raised out here: a ValidationError keeps the input, and must not hang on to ours as __context__.
        if problems:
            raise _configuration_error(type(self).__name__, problems)

    def concealer(self) -> Callable[[str], str]:
        """What masks every secret of this configuration in a text: a gateway may repeat what it was sent, and under
        any name. Where one is a list, each of its parts is one; escaped as in an address it is the same secret. Those
        of less than six characters are left alone, for they are part of innocent words."""
        found = (getattr(self, name) for name in type(self).model_fields)
        texts = {each for one in found if isinstance(one, Secret) for each in _secrets_in(one.reveal())}
        forms = {form for text in texts for form in _forms_of(text)}
        # The longest first: a shorter one may be its beginning, and must not leave the rest of it.
        hidden = sorted(forms, key=len, reverse=True)

        def conceal(text: str) -> str:
            for each in hidden:
                if each in text:
                    text = text.replace(each, MASK)
            return text

        return conceal

    # --- hooks for adapters ---------------------------------------------------------------------------------

    @classmethod
    def mode_of_host(cls, host: str) -> Mode | None:
        """Which money a host means, where that is known: an adapter adds its own hosts and calls this one too.

        `host` is lower case, without port and trailing dot. Loopback is sandbox: no real money lives there.
        """
        return Mode.SANDBOX if is_loopback(host) else None

    # --- rules ----------------------------------------------------------------------------------------------

    @model_validator(mode="before")
    @classmethod
    def _fill_in_the_preset(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("api_url") or not cls.preset_urls:
            return data
        try:
            mode = Mode(data.get("mode", cls.model_fields["mode"].default))
        except ValueError:
            mode = next(iter(cls.preset_urls))  # the field's own rule names it, and it alone is wrong
        return {**data, "api_url": cls.preset_urls[mode]} if mode in cls.preset_urls else data

    @field_validator("*")
    @classmethod
    def _no_empty_secret(cls, value: Any) -> Any:
        if isinstance(value, Secret) and not value:
            raise PydanticCustomError("missing", _REQUIRED)
        return value

    @field_validator("api_url")
    @classmethod
    def _good_api_url(cls, value: str) -> str:
        if not value:
            raise PydanticCustomError("missing", _REQUIRED)
        parts = _checked_url(value)
        if parts.query or parts.fragment or "?" in value or "#" in value:
            raise ValueError("must have neither a query nor a fragment")
        host = parts.hostname or ""
        if parts.scheme != "https" and not is_loopback(host) and host not in cls.plain_http_hosts:
            raise ValueError("must be https for every host but this machine's own loopback")
        return value.rstrip("/")  # check_url has seen to it that its host has one reading: the modes go by it

    @field_validator("callback_url")
    @classmethod
    def _good_callback_url(cls, value: str | None) -> str | None:
        if value is not None:
            _checked_url(value)
        return value

    @field_validator("proxy")
    @classmethod
    def _good_proxy(cls, value: Secret | None) -> Secret | None:
        if value is None:
            return None
        good = False
        try:
            parts = urlsplit(value.reveal())
            good = parts.scheme in _PROXY_SCHEMES and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            good = False
        if not good:
            raise ValueError("must be the URL of a proxy, such as http://proxy.internal:3128")
        return value

    @model_validator(mode="after")
    def _mode_agrees(self) -> Self:
        parts = urlsplit(self.api_url)
        host = (parts.hostname or "").rstrip(".")
        meant = self.mode_of_host(host)
        if meant is not None and meant is not self.mode:
            raise PydanticCustomError(
                "mode", f"is {self.mode.value}, but api_url names a {meant.value} host; the two must agree"
            )
        if self.mode is Mode.LIVE:
            if parts.scheme != "https":
                raise PydanticCustomError("api_url", "must be https in live mode")
            if self.callback_url is not None and urlsplit(self.callback_url).scheme != "https":
                raise PydanticCustomError("callback_url", "must be https in live mode")
        return self

    # --- the environment --------------------------------------------------------------------------------------

    @classmethod
    def env_rows(cls, *, prefix: str | None = None) -> Iterator[EnvRow]:
        """Every environment variable this configuration reads, in the order of the fields."""
        for name, field in cls.model_fields.items():
            if name in cls.not_in_env:
                continue
            default = None if field.is_required() else field.default
            text = None if default is None or default == "" else str(default)
            if name == "api_url" and Mode.SANDBOX in cls.preset_urls:
                text = cls.preset_urls[Mode.SANDBOX]
            yield EnvRow(
                name=cls._env_name(name, prefix),
                description=field.description or "",
                default=text,
                secret=_is_secret(field.annotation),
                required=field.is_required() or (name == "api_url" and text is None),
            )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, *, prefix: str | None = None) -> Self:
        """Read `{PREFIX}_{FIELD}` for every field, else the file that `{PREFIX}_{FIELD}_FILE` names.

        A file is read as UTF-8 and loses one newline at its end, nothing else: a password may hold blanks. An
        empty variable counts as not set. Reads the process's environment where `environ` is not given.

        Raises:
            CredentialsMissingError: what is required is not set; the message lists every such variable. Its code is
                "not_configured" where not one variable is set.
            ConfigurationError: a value breaks a rule, both forms of a variable are set, or a file cannot be read.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, str] = {}
        problems: dict[str, str] = {}
        for field in cls.model_fields:
            if field in cls.not_in_env:
                continue
            value, problem = _read_variable(environ, cls._env_name(field, prefix))
            if problem is not None:
                problems[field] = problem
            if value is not None:
                values[field] = value
        try:
            config = cls(**values)
        except ConfigurationError as error:
            # What was wrong with the variable itself wins over what its absence then breaks.
            problems = {**{name: str(rule) for name, rule in error.context.items()}, **problems}
            config = None
        if problems or config is None:
            named = {cls._env_name(name, prefix) if name else "": rule for name, rule in problems.items()}
            refusal = _configuration_error("The environment", named)
            if not values and set(problems.values()) == {_REQUIRED}:
                refusal.code = NOT_CONFIGURED
            raise refusal
        return config

    @classmethod
    def _env_name(cls, field: str, prefix: str | None = None) -> str:
        start = cls.env_prefix if prefix is None else prefix
        return f"{start}_{field}".upper() if start else field.upper()


#: (tenant, gateway name) -> that tenant's configuration: credentials from a vault or a database. It raises
#: CredentialsMissingError for a tenant without any, TenantSuspendedError for one that is switched off.
CredentialSource = Callable[[str, str], Awaitable[GatewayConfig]]


def is_loopback(host: str) -> bool:
    """True for this machine's own loopback: localhost, 127.0.0.0/8 and ::1.

    Not "shop.localhost": browsers keep such names on this machine, a resolver may ask the network for them.
    """
    name = host.lower().rstrip(".")
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _checked_url(value: str) -> SplitResult:
    problem = ""
    try:
        check_url("url", value)
    except InvalidRequestError as error:
        problem = error.rule or "an absolute URL"
    if problem:
        raise ValueError(f"must be {problem}")
    return urlsplit(value)


def _is_secret(annotation: Any) -> bool:
    return annotation is Secret or Secret in getattr(annotation, "__args__", ())


def _read_variable(environ: Mapping[str, str], name: str) -> tuple[str | None, str | None]:
    """The variable's value and what is wrong with it; both None when it is not set."""
    value, file_name = environ.get(name) or None, environ.get(f"{name}_FILE") or None
    if file_name is None:
        return value, None
    if value is not None:
        return None, f"is set twice, as {name} and as {name}_FILE; keep one of them"
    try:
        with Path(file_name).open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "not a usable path"
        return None, f"names a file in {name}_FILE that cannot be read: {why}"
    if len(raw) > MAX_FILE_BYTES:
        return None, f"names a file in {name}_FILE that is larger than {MAX_FILE_BYTES} bytes"
    if raw.startswith(b"\xef\xbb\xbf"):
        return None, f"names a file in {name}_FILE that begins with a byte order mark; save it without"
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None, f"names a file in {name}_FILE that is not UTF-8 text"
    text = text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
    return (text, None) if text else (None, f"names a file in {name}_FILE that is empty")


def _problems_of(error: ValidationError) -> dict[str, str]:
    """Field -> rule. The rules are our sentences or pydantic's own wording, which quotes no input here."""
    problems: dict[str, str] = {}
    for found in error.errors(include_url=False, include_input=False, include_context=False):
        field = ".".join(str(part) for part in found["loc"])
        kind, rule = found["type"], found["msg"].removeprefix("Value error, ")
        if not field and kind in {"mode", "api_url", "callback_url"}:
            field = kind
        if kind == "missing":
            rule = _REQUIRED
        elif kind == "enum":
            rule = rule.replace("Input should be", "must be")
        elif kind == "extra_forbidden":
            rule = "is no field of this configuration"
        problems.setdefault(field, rule)
    return problems


def _forms_of(text: str) -> tuple[str, ...]:
    """A text as it is, and as it stands in an address or a form."""
    escaped = (quote(text, errors="replace"), quote(text, safe="", errors="replace"))
    return (text, *escaped, quote_plus(text, errors="replace"))


def _secrets_in(text: str) -> Iterator[str]:
    """The secret, and the parts of one that is a list by commas, as far as they are long enough to be told apart."""
    yield from (
        each for each in (text, *(part.strip() for part in text.split(","))) if len(each) >= _CONCEALED_MIN
    )


def _configuration_error(subject: str, problems: dict[str, str]) -> ConfigurationError:
    missing = [name for name, rule in problems.items() if rule == _REQUIRED]
    wrong = [f"{name}: {rule}".removeprefix(": ") for name, rule in problems.items() if rule != _REQUIRED]
    sentences = []
    if missing:
        sentences.append(f"{subject} lacks {', '.join(missing)}.")
    if wrong:
        sentences.append(f"{subject} is wrong: {'; '.join(wrong)}.")
    kind = CredentialsMissingError if missing else ConfigurationError
    next_step = "Set what is missing (or its _FILE form)." if missing and not wrong else None
    context: dict[str, str | int | bool | None] = {**problems}
    return kind(" ".join(sentences), next_step=next_step, context=context)
