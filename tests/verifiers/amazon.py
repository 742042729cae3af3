"""Amazon SNS as a test's own: an authority, a signing certificate, envelopes signed by hand, and a host that serves.

Nothing of the code under test is used here.
"""

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vextrus_payments.events import Delivery
from vextrus_payments.testing import FakeClock
from vextrus_payments.transport import Transport
from vextrus_payments.verifiers import SnsVerifier, Topic
from vextrus_payments.wire import Safety, SendBy, WireRequest, WireResponse

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ARN = "arn:aws:sns:ap-southeast-1:123456789012:bpt_shop"
HOST = "sns.ap-southeast-1.amazonaws.com"
CERT_URL = f"https://{HOST}/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
TOKEN = "2336412f37fb687f5d51e6e241d09c805a5a57b30d712f794cc5f6a988666d92768dd60a747ba6f3beb71854e285d6ad"
SUBSCRIBE_URL = f"https://{HOST}/?Action=ConfirmSubscription&TopicArn={ARN}&Token={TOKEN}"
MESSAGE = {
    "dateTime": "20260301180000",
    "debitMSISDN": "8801700000004",
    "trxID": "DC110AAAA1",
    "transactionStatus": "Completed",
    "transactionType": "10002294",
    "amount": "1250.50",
    "currency": "BDT",
    "merchantInvoiceNumber": "INV-8812-1",
}

SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
    ),
    "UnsubscribeConfirmation": (
        "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
    ),
}  # fmt: skip


@cache
def key(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key; made once per test run."""
    del number
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def named(name: str, organization: str = "Amazon") -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
        ]
    )


def certificate(
    public: Any,
    *,
    subject: str = "sns.amazonaws.com",
    issuer: str = "A test's intermediate",
    signer: Any = None,
    names: tuple[str, ...] | None = ("sns.amazonaws.com",),
    ca: bool = False,
    usages: tuple[Any, ...] | None = (ExtendedKeyUsageOID.SERVER_AUTH,),
    from_: datetime = NOW - timedelta(days=100),
    until: datetime = NOW + timedelta(days=100),
) -> x509.Certificate:
    """One certificate, by default the leaf of a chain root, intermediate, leaf."""
    signer = signer or key(2)
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named(issuer))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(from_)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not ca, content_commitment=False, key_encipherment=False, data_encipherment=False,
                key_agreement=False, key_cert_sign=ca, crl_sign=ca, encipher_only=False, decipher_only=False,
            ),
            critical=True,
        )
    )  # fmt: skip
    if names is not None:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
    if usages is not None and not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.sign(signer, hashes.SHA256())


@cache
def root() -> x509.Certificate:
    return certificate(
        key(1).public_key(),
        subject="A test's root",
        issuer="A test's root",
        signer=key(1),
        names=None,
        ca=True,
    )


@cache
def intermediate() -> x509.Certificate:
    return certificate(
        key(2).public_key(),
        subject="A test's intermediate",
        issuer="A test's root",
        signer=key(1),
        names=None,
        ca=True,
    )


@cache
def leaf() -> x509.Certificate:
    return certificate(key().public_key())


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def text_to_sign(envelope: Mapping[str, Any]) -> bytes:
    names = SIGNED[envelope["Type"]]
    return "".join(f"{name}\n{envelope[name]}\n" for name in names if name in envelope).encode()


def signature(envelope: Mapping[str, Any], *, by: rsa.RSAPrivateKey | None = None) -> str:
    digest: hashes.HashAlgorithm = hashes.SHA1() if envelope["SignatureVersion"] == "1" else hashes.SHA256()
    raw = (by or key()).sign(text_to_sign(envelope), padding.PKCS1v15(), digest)
    return base64.b64encode(raw).decode()


def envelope(
    kind: str = "Notification", *, by: rsa.RSAPrivateKey | None = None, sign: bool = True, **changes: Any
) -> dict[str, Any]:
    """A signed envelope; `changes` are made before signing, None takes a field out."""
    found: dict[str, Any] = {
        "Type": kind,
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": ARN,
        "Message": json.dumps(MESSAGE) if kind == "Notification" else "You have chosen to subscribe.",
        "Timestamp": "2026-03-01T12:00:00.000Z",
        "SignatureVersion": "1",
        "SigningCertURL": CERT_URL,
    }
    if kind != "Notification":
        found |= {"Token": TOKEN, "SubscribeURL": SUBSCRIBE_URL}
    found = {name: value for name, value in {**found, **changes}.items() if value is not None}
    if sign:
        found["Signature"] = signature(found, by=by)
    return found


def delivery(body: bytes | Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Delivery:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Delivery(
        method="POST",
        query="",
        headers={"content-type": "text/plain; charset=UTF-8", **(headers or {})},
        body=raw,
        received_at=NOW,
    )


@dataclass
class Amazon:
    """The hosts of Amazon SNS as a Transport: it keeps every request, and answers by address."""

    served: dict[str, bytes | int | BaseException] = field(default_factory=lambda: {CERT_URL: pem(leaf())})
    asked: list[str] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)
    confirms_with: int = 200
    gate: asyncio.Event | None = None
    """Set: answers wait for it."""

    async def send(
        self, request: WireRequest, *, safety: Safety, timeout_s: float, send_by: SendBy | None = None
    ) -> WireResponse:
        assert request.method == "GET"
        assert not request.body
        self.asked.append(request.url)
        if self.gate is not None:
            await self.gate.wait()
        if "Action=ConfirmSubscription" in request.url:
            assert safety is Safety.IDEMPOTENT
            self.confirmed.append(request.url)
            return WireResponse(self.confirms_with, {}, b"<ConfirmSubscriptionResponse/>")
        assert safety is Safety.READ
        found = self.served.get(request.url, 404)
        if isinstance(found, BaseException):
            raise found
        if isinstance(found, int):
            return WireResponse(found, {"location": "https://evil.example/x.pem"}, b"")
        return WireResponse(200, {"content-type": "text/plain"}, found)

    async def aclose(self) -> None:
        return None


def verifier(
    amazon: Amazon | None = None, clock: FakeClock | None = None, arns: tuple[str, ...] = (ARN,), **more: Any
) -> SnsVerifier:
    transport: Transport = amazon or Amazon()
    make: Callable[[], Transport] = lambda: transport  # noqa: E731
    return SnsVerifier([Topic(arn) for arn in arns], transport=make, clock=clock or FakeClock(NOW), **more)
