"""Amazon SNS over HTTPS: bKash's payment notifications among others (dossier §8).

Theory of operation. Anybody can rent a topic and have Amazon sign what he likes, so a signature proves nothing unless
the topic is ours: the topics are pinned, and everything else follows from them and not from the message. The region
and the partition of the pinned ARN give the one host that may serve the certificate and the one host that may be
asked to confirm; an address in the message either is exactly there or is never opened. The version in the message
picks the hash among two, both of which are then demanded of the same key.

What is signed is a list of lines, `name`, `value`, ...: lines can be shifted between values that hold line breaks.
No value but `Message` may hold one here, and then there is one reading only (sns_envelope.py).

A repeat of a notification is the same message with the same `MessageId`, `Timestamp` and signature.
"""

import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote

from vextrus_payments.clock import Clock
from vextrus_payments.config import is_loopback
from vextrus_payments.errors import (
    ConfigurationError,
    Effect,
    GatewayError,
    MalformedWebhookError,
    OutcomeUnknownError,
    SignatureError,
)
from vextrus_payments.events import Confirm, Delivery
from vextrus_payments.signing import check_window, is_signed_rsa
from vextrus_payments.transport import Transport
from vextrus_payments.verifier_port import Verified, VerifiedKind
from vextrus_payments.verifiers.certificates import CertificateCache, CertificatePolicy
from vextrus_payments.verifiers.shape import FUTURE_S, PAST_S, time_of
from vextrus_payments.verifiers.sns_envelope import (
    KINDS,
    TOKEN,
    read_envelope,
    signature_bytes,
    string_to_sign,
)
from vextrus_payments.wire import Safety, WireRequest

if TYPE_CHECKING:
    from cryptography import x509

TYPE_HEADER: Final = "x-amz-sns-message-type"
CONFIRM_TIMEOUT_S: Final = 10.0

_ARN: Final = re.compile(
    r"arn:(aws|aws-cn|aws-us-gov):sns:([a-z]{2}(?:-[a-z]{2,12}){1,3}-[0-9]{1,2}):[0-9]{1,12}:[A-Za-z0-9_-]{1,256}"
    r"(?:\.fifo)?",
    re.ASCII,
)
_HOST: Final = re.compile(r"(?:[a-z0-9.-]{1,100}|\[[0-9a-f:]{2,39}\]):[0-9]{1,5}", re.ASCII)
_SUFFIX: Final = {"aws": "amazonaws.com", "aws-us-gov": "amazonaws.com", "aws-cn": "amazonaws.com.cn"}
_QUERY: Final = re.compile(r"[A-Za-z0-9=&%:._-]{1,4096}", re.ASCII)
_VERSIONS: Final = {"1": "sha1", "2": "sha256"}


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic of Amazon SNS that may send here: its ARN, read.

    Raises:
        ConfigurationError: it is no topic's ARN.
    """

    arn: str

    def __post_init__(self) -> None:
        if not _ARN.fullmatch(self.arn):
            raise ConfigurationError(
                "A topic is not named by an ARN of Amazon SNS.",
                code="sns_topic",
                next_step="Write it as arn:aws:sns:{region}:{account}:{name}.",
            )

    @property
    def region(self) -> str:
        """Where it lives: ap-southeast-1."""
        return self.arn.split(":")[3]

    @property
    def host(self) -> str:
        """The host that serves its certificates and takes confirmations."""
        return f"sns.{self.region}.{self._suffix}"

    @property
    def _suffix(self) -> str:
        return _SUFFIX[self.arn.split(":")[1]]

    @property
    def certificate_names(self) -> frozenset[str]:
        """The names that Amazon's signing certificates are for: one for all older regions, one each for others."""
        region, suffix = self.region, self._suffix
        return frozenset(
            (
                "sns.amazonaws.com",
                self.host,
                f"sns-{region}.{suffix}",
                f"sns-signing.{region}.{suffix}",
                # both GovCloud regions have signed under the name of the western one
                *(("sns-us-gov-west-1.amazonaws.com",) if region.startswith("us-gov-") else ()),
            )
        )


class SnsVerifier:
    """Proves messages of pinned topics.

    Args:
        topics: those that may send here.
        transport: gives what fetches certificates and confirms.
        v2_only: refuse signatures of version 1, which hash with SHA-1. Topics sign with it unless their owner has
            changed them.
        anchors: certificates that a signing certificate's chain has to end at; see certificates.py for what holds
            without.
        own_hosts: `host:port` of loopback whose certificates and confirmations are taken as well, over plain HTTP
            too: a sandbox's. They are believed as they are, so whoever configures them refuses them in live mode.

    Raises:
        ConfigurationError: there is no topic, or an own host is not of loopback.
    """

    def __init__(
        self,
        topics: Sequence[Topic],
        *,
        transport: Callable[[], Transport],
        clock: Clock,
        v2_only: bool = False,
        anchors: "tuple[x509.Certificate, ...]" = (),
        own_hosts: Sequence[str] = (),
        past_s: float = PAST_S,
        future_s: float = FUTURE_S,
    ) -> None:
        if not topics:
            raise ConfigurationError("There is no topic that may send here.", code="sns_topic")
        check_own_hosts(own_hosts)
        self._topics = {topic.arn: _Known.of(topic, anchors, own_hosts) for topic in topics}
        self._transport = transport
        self._clock = clock
        self._versions = {"2": "sha256"} if v2_only else _VERSIONS
        self._certificates = CertificateCache(transport, clock)
        self._past_s = past_s
        self._future_s = future_s

    async def verify(self, delivery: Delivery) -> Verified:
        """See WebhookVerifier. Whatever the headers say: only the body counts, for only the body is signed."""
        envelope = read_envelope(delivery.body)
        known = self._topics.get(envelope["TopicArn"])
        if known is None:
            raise SignatureError("The message is of a topic that is not ours.", code="foreign_topic")
        algorithm = self._versions.get(envelope["SignatureVersion"])
        if algorithm is None:
            raise SignatureError(
                "The message is signed by a version of Amazon SNS's signature that is not taken here.",
                code="signature_version",
                next_step="Nothing was recorded. Is only version 2 taken, and the topic signs with version 1?",
            )
        policy = known.policy_for(envelope["SigningCertURL"])
        signature = signature_bytes(envelope["Signature"])
        asking = envelope["Type"] != "Notification"
        confirm = known.confirmation(envelope) if asking else None
        signing = await self._certificates.signing(envelope["SigningCertURL"], policy)
        if not is_signed_rsa(signing.key, string_to_sign(envelope), signature, algorithm):
            raise SignatureError("The signature is not that of the message.")
        signed_at = time_of(envelope["Timestamp"])
        if signed_at is None:
            raise MalformedWebhookError("The message is signed, and its Timestamp is no time.")
        check_window(signed_at, self._clock.now(), past_s=self._past_s, future_s=self._future_s)
        kind = KINDS[envelope["Type"]]
        return Verified(
            kind=kind,
            message_id=envelope["MessageId"],
            message=envelope["Message"].encode("utf-8"),
            scheme=f"sns/{envelope['SignatureVersion']}",
            signed_at=signed_at,
            # Left out is the address by which anybody may end the subscription.
            kept=json.dumps(envelope, ensure_ascii=False).encode("utf-8"),
            confirm=confirm if kind is VerifiedKind.CONFIRMATION else None,
        )

    async def confirm(self, confirm: Confirm) -> None:
        """See WebhookVerifier.

        Raises:
            SignatureError: the address is not one that a pinned topic is confirmed at; nothing was fetched.
            GatewayError: it did not answer 200; the sender asks again.
        """
        if not any(known.may_confirm_at(confirm.url) for known in self._topics.values()):
            raise SignatureError("The address to confirm at is not Amazon SNS's; nothing was fetched.")
        request = WireRequest("GET", confirm.url, (("Accept", "*/*"),))
        code, status = "", None
        try:
            # Confirming what is confirmed changes nothing more.
            response = await self._transport().send(
                request, safety=Safety.IDEMPOTENT, timeout_s=CONFIRM_TIMEOUT_S
            )
        except GatewayError as error:
            code = error.code
        else:
            status = response.status
            code = "" if status == 200 else "confirmation_status"
        if code:
            raise OutcomeUnknownError(
                f"The subscription was not confirmed ({code if status is None else status}).",
                effect=Effect.NONE,
                code=code,
                http_status=status,
                step="confirm",
                next_step="Amazon SNS asks again; let this machine reach the host, if it may not.",
            )

    async def aclose(self) -> None:
        """End the fetches on their way."""
        await self._certificates.aclose()


# --- a pinned topic and its addresses ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Known:
    """A pinned topic, with everything that follows from it worked out once."""

    topic: Topic
    certificate_url: re.Pattern[str]
    policy: CertificatePolicy
    own: re.Pattern[str] | None
    own_policy: CertificatePolicy

    @classmethod
    def of(cls, topic: Topic, anchors: "tuple[x509.Certificate, ...]", own_hosts: Sequence[str]) -> "_Known":
        host = re.escape(topic.host)
        own = "|".join(map(re.escape, own_hosts))
        return cls(
            topic,
            re.compile(rf"https://{host}/SimpleNotificationService-[0-9a-f]{{1,128}}\.pem", re.ASCII),
            CertificatePolicy(names=topic.certificate_names, anchors=anchors, roots=_tls_roots),
            re.compile(
                rf"https?://(?:{own})/[A-Za-z0-9._/-]{{0,200}}(?:\?[A-Za-z0-9%&=._:-]{{1,4000}})?", re.ASCII
            )
            if own
            else None,
            CertificatePolicy(names=frozenset(), own=True),
        )

    def policy_for(self, url: str) -> CertificatePolicy:
        """What the certificate at this address has to be.

        Raises:
            SignatureError: no certificate of this topic lives there.
        """
        if self.certificate_url.fullmatch(url):
            return self.policy
        if self.own is not None and self.own.fullmatch(url):
            return self.own_policy
        raise SignatureError(
            "The message names a signing certificate that is not at Amazon SNS's host of the topic's region.",
            code="foreign_certificate",
        )

    def confirmation(self, envelope: Mapping[str, str]) -> Confirm:
        """Where to confirm: made from what is signed and pinned; the address in the message has only to agree.

        Raises:
            SignatureError: it does not.
        """
        told, token = envelope["SubscribeURL"], envelope["Token"]
        if self.own is not None and self.own.fullmatch(told):
            return Confirm(told)
        made = f"{self._confirm_root}&TopicArn={quote(self.topic.arn, safe='')}&Token={token}"
        start, query = f"https://{self.topic.host}/?", []
        # No URL parser is asked what the host is: they differ in what they make of blanks and backslashes.
        if told.startswith(start) and _QUERY.fullmatch(told.removeprefix(start)):
            try:
                query = sorted(parse_qsl(told.removeprefix(start), strict_parsing=True, max_num_fields=8))
            except ValueError:
                query = []
        wanted = [("Action", "ConfirmSubscription"), ("Token", token), ("TopicArn", self.topic.arn)]
        if query != wanted:
            raise SignatureError(
                "The message names an address to confirm at that is not Amazon SNS's for this topic and token.",
                code="foreign_confirmation",
            )
        return Confirm(made)

    def may_confirm_at(self, url: str) -> bool:
        """Whether `confirmation` can have given this address."""
        if self.own is not None and self.own.fullmatch(url):
            return True
        start = f"{self._confirm_root}&TopicArn={quote(self.topic.arn, safe='')}&Token="
        return url.startswith(start) and TOKEN.fullmatch(url.removeprefix(start)) is not None

    @property
    def _confirm_root(self) -> str:
        return f"https://{self.topic.host}/?Action=ConfirmSubscription"


def check_own_hosts(hosts: Sequence[str]) -> None:
    """Refuse hosts that are not `host:port` of this machine's loopback.

    Raises:
        ConfigurationError: one is not.
    """
    for host in hosts:
        if not _HOST.fullmatch(host) or not is_loopback(host.rpartition(":")[0].strip("[]")):
            raise ConfigurationError(
                "A host whose signing certificates are taken as they are is not this machine's own.",
                code="sns_own_host",
                next_step="Write it as 127.0.0.1:{port}; real certificates need no such entry.",
            )


@cache
def _tls_roots() -> "tuple[x509.Certificate, ...]":
    """The roots of the SDK's own TLS policy. Read once, when a signing certificate first comes with its chain."""
    from cryptography import x509

    from vextrus_payments.transport.httpx_transport import default_ssl_context

    roots: list[x509.Certificate] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some old roots break today's rules, which is nobody's business here
        for der in default_ssl_context().get_ca_certs(binary_form=True):
            try:
                roots.append(x509.load_der_x509_certificate(der))
            except ValueError:
                continue
    return tuple(roots)
