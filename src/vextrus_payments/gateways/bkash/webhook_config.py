"""The settings of who may send webhooks, read: lists by commas, keys by their form. No message shows a value."""

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from vextrus_payments.config import is_loopback
from vextrus_payments.errors import ConfigurationError
from vextrus_payments.secret import Secret

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from vextrus_payments.signing import Verifier
    from vextrus_payments.verifiers.sns import Topic

#: Several keys live side by side only while they are exchanged.
KEYS_MAX: Final = 8
#: Shorter secrets can be found by trying, by anybody who has one signed message.
SECRET_MIN: Final = 24
_STANDARD: Final = ("whsec_", "whsk_")
_STANDARD_PUBLIC: Final = "whpk_"


def listed(text: str) -> list[str]:
    """The parts of a list by commas, without blanks around them and without empty ones."""
    return [part.strip() for part in text.split(",") if part.strip()]


def check(field: str, value: str | Secret | None) -> None:
    """Refuse a setting that no verifier could be made of.

    Raises:
        ValueError: what it has to be.
    """
    if value is None:
        return
    text = value.reveal() if isinstance(value, Secret) else value
    problem = ""
    try:
        match field:
            case "sns_topic_arn":
                topics(text)
            case "sns_anchors_pem":
                anchors(text)
            case "sns_cert_hosts":
                own_hosts(text, "")
            case "webhook_secret":
                relay_keys(Secret(text))
            case _:
                recurring_keys(Secret(text))
    except ConfigurationError as error:
        problem = f"{error.what} {error.next_step}".rstrip(".")
    if not problem and field != "sns_anchors_pem" and not 1 <= len(listed(text)) <= KEYS_MAX:
        problem = f"must be a list of 1 to {KEYS_MAX}, by commas"
    if problem:
        raise ValueError(problem)


def topics(text: str | None) -> "tuple[Topic, ...]":
    """The topics of a list of ARNs."""
    if not text:
        return ()
    from vextrus_payments.verifiers.sns import Topic

    return tuple(Topic(arn) for arn in listed(text))


def anchors(pem: str | None) -> "tuple[Certificate, ...]":
    """The certificates of a PEM text."""
    if not pem:
        return ()
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return tuple(load_pem_x509_certificates(pem.encode("utf-8")))
    except ValueError:
        pass
    raise ConfigurationError(
        "It holds no certificates in PEM.", next_step="Begin with -----BEGIN CERTIFICATE-----."
    )


def own_hosts(text: str | None, api_url: str) -> tuple[str, ...]:
    """`host:port` of this machine whose signing certificates are taken as they are: those listed, and the API's own
    where that is on this machine, for it could tell us any lie itself."""
    hosts = listed(text or "")
    parts = urlsplit(api_url)
    if parts.hostname and is_loopback(parts.hostname):
        default = {"http": 80, "https": 443}.get(parts.scheme, 0)
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        hosts.append(f"{host}:{parts.port or default}")
    if hosts:
        from vextrus_payments.verifiers.sns import check_own_hosts

        check_own_hosts(hosts)
    return tuple(dict.fromkeys(hosts))


def relay_keys(secrets: Secret | None) -> "tuple[tuple[Verifier, ...], tuple[bytes, ...]]":
    """(keys of Standard Webhooks, secrets of the relay format): a secret's form says which it is, and it is only that.

    Raises:
        ConfigurationError: one is malformed, or too short.
    """
    if secrets is None:
        return (), ()
    from vextrus_payments.signing import verifying_key

    keys: list[Verifier] = []
    plain: list[bytes] = []
    for part in listed(secrets.reveal()):
        if part.startswith(_STANDARD):
            keys.append(verifying_key(Secret(part)))
        elif part.startswith(_STANDARD_PUBLIC):
            keys.append(verifying_key(part))
        elif len(part) < SECRET_MIN:
            raise ConfigurationError(
                f"A secret is shorter than {SECRET_MIN} characters.",
                next_step="Make a longer one, at random.",
            )
        else:
            plain.append(part.encode("utf-8"))
    return tuple(keys), tuple(plain)


def recurring_keys(api_keys: Secret | None) -> tuple[bytes, ...]:
    """The keys of bKash's recurring payments.

    Raises:
        ConfigurationError: one is not of its form.
    """
    if api_keys is None:
        return ()
    from vextrus_payments.verifiers.recurring import recurring_key

    return tuple(recurring_key(Secret(part)) for part in listed(api_keys.reveal()))
