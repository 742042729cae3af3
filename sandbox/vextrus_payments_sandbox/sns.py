"""Amazon SNS as the sandbox plays it: a key, a certificate, signed envelopes (dossier §8.2, §8.4). No I/O, no clock.

An envelope is a mapping of texts in the order in which SNS writes them. What is signed is ``Name\\nvalue\\n`` for each
field of :data:`SIGNED` that is there; version 1 signs it with RSA and SHA-1, version 2 with RSA and SHA-256. Nothing of
the SDK's verifier is used here, so that a mistake there cannot hide.
"""

import base64
import hashlib
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Literal, Self
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

SignatureVersion = Literal["1", "2"]

NOTIFICATION: Final = "Notification"
CONFIRMATION: Final = "SubscriptionConfirmation"
FAREWELL: Final = "UnsubscribeConfirmation"

SIGNED: Final[Mapping[str, tuple[str, ...]]] = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    CONFIRMATION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    FAREWELL: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
"""Which fields are signed, in which order (§8.4)."""

REGION: Final = "ap-southeast-1"
BKASH_TOPIC: Final = f"arn:aws:sns:{REGION}:000000000000:bpt_sandbox"
"""The topic on which the sandbox's bKash announces payments; the same at every start."""
FOREIGN_TOPIC: Final = f"arn:aws:sns:{REGION}:999999999999:bpt_somebody_else"
"""Somebody else's topic: a signature proves only that SNS sent a message, not for whom."""
FOREIGN_CERT_HOST: Final = f"sns.{REGION}.amazonaws.com.invalid"
"""A host that only begins like Amazon's; no name ends in ``.invalid``, so nobody is ever asked."""

_HASHES: Final[Mapping[str, hashes.HashAlgorithm]] = {
    "1": hashes.SHA1(),  # noqa: S303 - what version 1 is
    "2": hashes.SHA256(),
}
# So wide that every clock a test may inject lies in it; what ends is the process.
_FROM, _UNTIL = datetime(2000, 1, 1, tzinfo=UTC), datetime(2099, 12, 31, tzinfo=UTC)
_KEY_BITS: Final = 2048


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An RSA key and the self-signed certificate that shows its public half."""

    private: rsa.RSAPrivateKey = field(repr=False)
    pem: bytes = field(repr=False)
    """The certificate, as ``SigningCertURL`` serves it."""
    path: str
    """Where it is served: ``/SimpleNotificationService-<32 hex digits>.pem``, another one for each key."""

    @classmethod
    def make(cls) -> Self:
        """A new key; takes some tens of milliseconds."""
        private = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com"),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Payment sandbox: fake, trusted by nobody"),
            ]
        )
        names = x509.SubjectAlternativeName(
            [
                x509.DNSName("sns.amazonaws.com"),
                x509.DNSName("localhost"),
                x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
                x509.IPAddress(ipaddress.ip_address("::1")),
            ]
        )
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_FROM)
            .not_valid_after(_UNTIL)
            .add_extension(names, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(private, hashes.SHA256())
        )
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        return cls(private, pem, f"/SimpleNotificationService-{hashlib.sha256(pem).hexdigest()[:32]}.pem")

    def sign(self, text: str, version: SignatureVersion) -> str:
        """The signature of `text` in base64."""
        raw = self.private.sign(text.encode("utf-8"), padding.PKCS1v15(), _HASHES[version])
        return base64.b64encode(raw).decode("ascii")


@lru_cache(maxsize=1)
def signing_key() -> SigningKey:
    """This process's own key, made when it is first asked for. It is kept nowhere else, and trusted by nobody."""
    return SigningKey.make()


@lru_cache(maxsize=1)
def strangers_key() -> SigningKey:
    """A key whose certificate nobody serves: what a forger signs with."""
    return SigningKey.make()


def signed_text(envelope: Mapping[str, str]) -> str:
    """What the signature of this envelope is over."""
    names = SIGNED[envelope["Type"]]
    return "".join(f"{name}\n{envelope[name]}\n" for name in names if name in envelope)


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic and how its envelopes are signed."""

    arn: str
    cert_url: str
    key: SigningKey
    version: SignatureVersion = "1"
    """1 is what SNS takes unless a topic's owner chose otherwise."""

    def notification(
        self, message: str, *, message_id: str, at: str, unsubscribe_url: str, subject: str | None = None
    ) -> dict[str, str]:
        """One announcement. `at`: ISO 8601 in UTC with milliseconds, as SNS writes it."""
        named = {"Subject": subject} if subject is not None else {}
        return self._signed(
            {
                "Type": NOTIFICATION,
                "MessageId": message_id,
                "TopicArn": self.arn,
                **named,
                "Message": message,
                "Timestamp": at,
            },
            {"UnsubscribeURL": unsubscribe_url},
        )

    def confirmation(self, *, message_id: str, at: str, token: str, subscribe_url: str) -> dict[str, str]:
        """The question whether the endpoint wants to be told; who visits `subscribe_url` says yes."""
        text = (
            f"You have chosen to subscribe to the topic {self.arn}.\n"
            "To confirm the subscription, visit the SubscribeURL included in this message."
        )
        return self._asking(CONFIRMATION, text, message_id, at, token, subscribe_url)

    def farewell(
        self, *, message_id: str, at: str, token: str, subscribe_url: str, subscription_arn: str
    ) -> dict[str, str]:
        """The word that the subscription has ended. Who visits `subscribe_url` takes it up again."""
        text = (
            f"You have chosen to deactivate subscription {subscription_arn}.\n"
            "To cancel this operation and restore the subscription, visit the SubscribeURL included in this message."
        )
        return self._asking(FAREWELL, text, message_id, at, token, subscribe_url)

    def _asking(
        self, kind: str, text: str, message_id: str, at: str, token: str, subscribe_url: str
    ) -> dict[str, str]:
        return self._signed(
            {
                "Type": kind,
                "MessageId": message_id,
                "Token": token,
                "TopicArn": self.arn,
                "Message": text,
                "SubscribeURL": subscribe_url,
                "Timestamp": at,
            },
            {},
        )

    def _signed(self, envelope: dict[str, str], after: Mapping[str, str]) -> dict[str, str]:
        return {
            **envelope,
            "SignatureVersion": self.version,
            "Signature": self.key.sign(signed_text(envelope), self.version),
            "SigningCertURL": self.cert_url,
            **after,
        }


def with_bad_signature(envelope: Mapping[str, str]) -> dict[str, str]:
    """The same envelope, one bit of its signature flipped."""
    raw = bytearray(base64.b64decode(envelope["Signature"]))
    raw[0] ^= 1
    return {**envelope, "Signature": base64.b64encode(bytes(raw)).decode("ascii")}


def to_wire(envelope: Mapping[str, str]) -> bytes:
    """The body as SNS writes it: JSON with a line for each field, and a blank on both sides of a colon."""
    return json.dumps(envelope, ensure_ascii=False, indent=2, separators=(",", " : ")).encode("utf-8")


def headers_of(envelope: Mapping[str, str], subscription_arn: str) -> dict[str, str]:
    """The request headers of an envelope. The content type is what stock SNS sends, though the body is JSON."""
    own = {
        "x-amz-sns-message-type": envelope["Type"],
        "x-amz-sns-message-id": envelope["MessageId"],
        "x-amz-sns-topic-arn": envelope["TopicArn"],
    }
    if envelope["Type"] != CONFIRMATION:
        own["x-amz-sns-subscription-arn"] = subscription_arn
    return {
        **own,
        "Content-Type": "text/plain; charset=UTF-8",
        "User-Agent": "Amazon Simple Notification Service Agent",
    }


def action_url(base_url: str, action: str, **parameters: str) -> str:
    """An address of SNS's API, of the form of ``SubscribeURL`` and ``UnsubscribeURL``."""
    return f"{base_url}/?{urlencode({'Action': action, **parameters}, safe=':')}"


def confirmed_xml(subscription_arn: str, request_id: str) -> str:
    """What SNS answers to who visits a ``SubscribeURL``."""
    return (
        '<ConfirmSubscriptionResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">\n'
        f"  <ConfirmSubscriptionResult>\n    <SubscriptionArn>{subscription_arn}</SubscriptionArn>\n"
        "  </ConfirmSubscriptionResult>\n"
        f"  <ResponseMetadata>\n    <RequestId>{request_id}</RequestId>\n  </ResponseMetadata>\n"
        "</ConfirmSubscriptionResponse>\n"
    )


def refused_xml(code: str, message: str, request_id: str) -> str:
    """What SNS answers to what it does not take."""
    return (
        '<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">\n'
        f"  <Error>\n    <Type>Sender</Type>\n    <Code>{code}</Code>\n    <Message>{message}</Message>\n  </Error>\n"
        f"  <RequestId>{request_id}</RequestId>\n</ErrorResponse>\n"
    )
