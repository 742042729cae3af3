"""An endpoint as a shop may have it, without a line of the SDK: it records, confirms, checks signatures by hand."""

import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

#: The fields that are signed, in their order, as AWS documents them.
SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        "Message",
        "MessageId",
        "SubscribeURL",
        "Timestamp",
        "Token",
        "TopicArn",
        "Type",
    ),
}
SIGNED["UnsubscribeConfirmation"] = SIGNED["SubscriptionConfirmation"]


@dataclass
class Received:
    """One request as it came."""

    headers: Mapping[str, str]
    raw: bytes
    url: str = ""

    @property
    def envelope(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.raw)
        return found

    @property
    def message(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.envelope["Message"])
        return found


@dataclass
class Endpoint(httpx.AsyncBaseTransport):
    """Answers the sandbox's webhooks; `answers` says how, then 200 for ever (0: no answer at all)."""

    http: Callable[[], httpx.AsyncClient]
    """A client of the sandbox."""
    received: list[Received] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    confirms: bool = True
    on_request: Callable[[Received], Awaitable[None]] | None = None

    @property
    def notifications(self) -> list[Received]:
        return [one for one in self.received if one.envelope["Type"] == "Notification"]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        got = Received(dict(request.headers), await request.aread(), str(request.url))
        self.received.append(got)
        if self.on_request is not None:
            await self.on_request(got)
        status = self.answers.pop(0) if self.answers else 200
        if status == 0:
            raise httpx.ConnectError("nobody listens")
        if status == 200 and self.confirms and got.envelope["Type"] == "SubscriptionConfirmation":
            assert await self.is_signed(got)
            answer = await self.visit(got.envelope["SubscribeURL"])
            assert answer.status_code == 200
        return httpx.Response(status)

    async def visit(self, url: str) -> httpx.Response:
        """Open an address of the sandbox's SNS."""
        parts = urlsplit(url)
        return await self.http().get(f"{parts.path}?{parts.query}" if parts.query else parts.path)

    async def is_signed(self, got: Received) -> bool:
        """Whether the signature is that of the certificate the envelope names."""
        envelope = got.envelope
        pem = (await self.visit(envelope["SigningCertURL"])).content
        public = x509.load_pem_x509_certificate(pem).public_key()
        assert isinstance(public, rsa.RSAPublicKey)
        names = [name for name in SIGNED[envelope["Type"]] if name in envelope]
        text = "".join(f"{name}\n{envelope[name]}\n" for name in names)
        algorithm = hashes.SHA1() if envelope["SignatureVersion"] == "1" else hashes.SHA256()
        try:
            public.verify(
                base64.b64decode(envelope["Signature"]), text.encode(), padding.PKCS1v15(), algorithm
            )
        except InvalidSignature:
            return False
        return True
