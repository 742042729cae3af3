"""Verifiers: who proves that a webhook was sent by whom it says. One per kind of sender, each a `WebhookVerifier`.

    SnsVerifier          Amazon SNS (bKash's payment notifications): RSA, the key fetched as a certificate
    StandardVerifier     Standard Webhooks 1.0.0: HMAC (`v1`) or ed25519 (`v1a`)
    RelayVerifier        our own relay format: hex HMAC-SHA256 over the raw body
    RecurringVerifier    bKash's recurring payments: HMAC-SHA256 under the API key

Loaded on first use: who takes only HMACs does not pay for certificates.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from vextrus_payments.verifiers.certificates import CertificateCache, CertificatePolicy
    from vextrus_payments.verifiers.recurring import RecurringVerifier
    from vextrus_payments.verifiers.relay import RelayVerifier
    from vextrus_payments.verifiers.sns import SnsVerifier, Topic
    from vextrus_payments.verifiers.standard import StandardVerifier

_HOME: Final = {
    "CertificateCache": "certificates",
    "CertificatePolicy": "certificates",
    "RecurringVerifier": "recurring",
    "RelayVerifier": "relay",
    "SnsVerifier": "sns",
    "StandardVerifier": "standard",
    "Topic": "sns",
}

__all__ = [
    "CertificateCache",
    "CertificatePolicy",
    "RecurringVerifier",
    "RelayVerifier",
    "SnsVerifier",
    "StandardVerifier",
    "Topic",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
