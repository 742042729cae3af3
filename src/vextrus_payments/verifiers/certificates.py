"""Signing certificates of Amazon SNS: fetched once, judged, kept, judged again at every use.

A certificate comes as a `.pem` file from the very host that the topic's region names, over TLS to that exact name; the
file holds the leaf alone, without the certificates that connect it to a root. What is checked here, without any other
fetch: that it is a server's certificate of Amazon's name, that it is not an authority's own, that its dates hold now,
that its key is RSA of a length that can be trusted. Where anchors are given, or the file brings more than the leaf, the
whole chain is verified too. docs/adr/0006-sns-trust.md says why that is enough.

Whoever guesses names makes nobody fetch for long: what is not there is remembered for a minute, and a budget bounds
how many fetches there can be at all. Certificates that are kept cost nothing of it, nor does asking for one anew when
its day is over: else guesses could use up the budget at that moment, and keep its sender out while they go on.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple, Never

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from vextrus_payments.clock import Clock
from vextrus_payments.errors import (
    Effect,
    GatewayError,
    OutcomeUnknownError,
    SignatureError,
    ThrottledError,
)
from vextrus_payments.transport import Transport
from vextrus_payments.wire import Safety, WireRequest, WireResponse

TIMEOUT_S: Final = 5.0
"""How long a fetch may take in all: senders wait 15 s for the whole answer."""
KEEP_S: Final = 86_400.0
"""A certificate is fetched anew after a day: who withdraws one at its address is heard."""
ABSENT_S: Final = 60.0
FAILED_S: Final = 2.0
"""How long a failed fetch is not repeated: many deliveries wait for the same one."""
KEPT_MAX: Final = 16
ABSENT_MAX: Final = 256
FETCHES_MAX: Final = 20
FETCHES_S: Final = 60.0
PEM_MAX_BYTES: Final = 65_536
CHAIN_MAX: Final = 6
KEY_BITS_MIN: Final = 2048
KEY_BITS_MAX: Final = 8192

_NO_SUCH: Final = (403, 404, 410)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificatePolicy:
    """What a signing certificate has to be."""

    names: frozenset[str]
    """The DNS names that it may be for; empty: any (a sandbox's own)."""
    anchors: tuple[x509.Certificate, ...] = ()
    """Where its chain has to end; empty: only what the file itself brings is verified, up to `roots`."""
    roots: Callable[[], tuple[x509.Certificate, ...]] = tuple
    """The roots for a file that brings its chain."""
    own: bool = False
    """It may be signed by itself: a sandbox's."""


@dataclass(frozen=True, slots=True)
class Signing:
    """A certificate that was found good, and what has to be asked again at every use."""

    key: RSAPublicKey = field(repr=False)
    not_before: datetime
    not_after: datetime

    def check_dates(self, now: datetime) -> None:
        """Refuse it before its first and after its last day.

        Raises:
            SignatureError: it does not hold now.
        """
        if not self.not_before <= now <= self.not_after:
            raise _bad("does not hold now: see its dates, and this machine's clock")


@dataclass(slots=True)
class _Kept:
    signing: Signing
    until: float


@dataclass(slots=True)
class _Absent:
    """A fetch that brought none."""

    refuse: Callable[[], Never]
    until: float


class CertificateCache:
    """Certificates by URL. Several tasks may ask at once: there is one fetch, and who is cancelled leaves it alone.

    Args:
        transport: gives what fetches; asked at the first fetch.
        clock: dates, and how long things are kept.

    The URL must have been judged before: everything that is asked for here is fetched.
    """

    def __init__(self, transport: Callable[[], Transport], clock: Clock) -> None:
        self._transport = transport
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._absent: OrderedDict[str, _Absent] = OrderedDict()
        self._flights: dict[str, asyncio.Task[Signing]] = {}
        self._fetched_at: deque[float] = deque()

    def __len__(self) -> int:
        """How many entries it holds, those of absent certificates included."""
        return len(self._kept) + len(self._absent)

    async def signing(self, url: str, policy: CertificatePolicy) -> Signing:
        """The good certificate at this URL.

        Raises:
            SignatureError: there is none, or it is not what the policy asks for, or it does not hold now.
            ThrottledError: too many different ones were asked for lately; nothing was sent.
            GatewayError: it cannot be had now.
        """
        signing = self._known(url) or await self._flown(url, policy)
        signing.check_dates(self._clock.now())
        return signing

    async def aclose(self) -> None:
        """End what is on its way. A second call does nothing."""
        flights, self._flights = tuple(self._flights.values()), {}
        here = [task for task in flights if task.get_loop() is asyncio.get_running_loop()]
        for task in here:
            task.cancel()
        await asyncio.gather(*here, return_exceptions=True)

    # --- what is kept -----------------------------------------------------------------------------------------------

    def _known(self, url: str) -> Signing | None:
        now = self._clock.monotonic()
        kept = self._kept.get(url)
        if kept is not None and now < kept.until:
            self._kept.move_to_end(url)
            return kept.signing
        absent = self._absent.get(url)
        if absent is not None and now < absent.until:
            absent.refuse()
        return None

    def _keep(self, url: str, signing: Signing) -> None:
        self._absent.pop(url, None)
        self._kept[url] = _Kept(signing, self._clock.monotonic() + KEEP_S)
        self._kept.move_to_end(url)
        while len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)

    def _miss(self, url: str, refuse: Callable[[], Never], for_s: float) -> None:
        if for_s == ABSENT_S:
            self._kept.pop(url, None)  # it is none any more: from now on it costs like any other name
        self._absent[url] = _Absent(refuse, self._clock.monotonic() + for_s)
        self._absent.move_to_end(url)
        while len(self._absent) > ABSENT_MAX:
            self._absent.popitem(last=False)

    # --- fetching ---------------------------------------------------------------------------------------------------

    async def _flown(self, url: str, policy: CertificatePolicy) -> Signing:
        task = self._flights.get(url)
        if task is None or task.get_loop() is not asyncio.get_running_loop():
            if url not in self._kept:
                self._spend()
            task = asyncio.create_task(self._fetch(url, policy), name="vextrus-payments-certificate")
            self._flights[url] = task
            task.add_done_callback(partial(self._landed, url))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if not task.cancelled() or (caller is not None and caller.cancelling()):
                raise
        # Not the caller was cancelled, but the fetch: the cache was closed under it.
        raise _undecided("The signing certificate was not fetched: the gateway is closing.", "closed")

    def _landed(self, url: str, task: asyncio.Task[Signing]) -> None:
        if self._flights.get(url) is task:
            del self._flights[url]
        if not task.cancelled():
            task.exception()  # seen, should every caller be gone

    def _spend(self) -> None:
        now, spent = self._clock.monotonic(), self._fetched_at
        while spent and now - spent[0] >= FETCHES_S:
            spent.popleft()
        if len(spent) >= FETCHES_MAX:
            raise ThrottledError(
                "Too many different signing certificates were asked for; this one was not fetched.",
                retry_after_s=max(1, round(FETCHES_S - (now - spent[0]))),
                step="certificate",
            )
        spent.append(now)

    async def _fetch(self, url: str, policy: CertificatePolicy) -> Signing:
        request = WireRequest("GET", url, (("Accept", "*/*"),))
        failed: GatewayError | None = None
        response: WireResponse | None = None
        try:
            response = await self._transport().send(request, safety=Safety.READ, timeout_s=TIMEOUT_S)
        except GatewayError as error:
            failed = error
        if response is None or failed is not None:
            code = "certificate_unreachable" if failed is None else failed.code
            self._miss(url, partial(_refuse_unreachable, code), FAILED_S)
            _refuse_unreachable(code)
        status = response.status
        if status in _NO_SUCH:
            self._miss(url, _refuse_absent, ABSENT_S)
            _refuse_absent()
        if status != 200:
            self._miss(url, partial(_refuse_answer, status), FAILED_S)
            _refuse_answer(status)
        try:
            signing = read_certificate(response.body, policy, self._clock.now())
        except SignatureError as error:
            what = error.what
        else:
            self._keep(url, signing)
            return signing
        self._miss(url, partial(_refuse_bad, what), ABSENT_S)
        _refuse_bad(what)


# --- judging ----------------------------------------------------------------------------------------------------------


def read_certificate(pem: bytes, policy: CertificatePolicy, now: datetime) -> Signing:
    """The signing certificate that a `.pem` file holds: its first one; the others, if any, lead up to a root.

    Raises:
        SignatureError: it is none, or not what the policy asks for. Its dates are the caller's to ask.
    """
    chain = _parsed(pem)
    leaf = _read(chain[0])
    if not isinstance(leaf.key, RSAPublicKey) or not KEY_BITS_MIN <= leaf.key.key_size <= KEY_BITS_MAX:
        raise _bad(f"has no RSA key of {KEY_BITS_MIN} to {KEY_BITS_MAX} bits")
    if leaf.usages is not None and ExtendedKeyUsageOID.SERVER_AUTH not in leaf.usages:
        raise _bad("is not made for a server")
    name = _allowed_name(leaf.names, policy)
    if leaf.signs_itself and not policy.own:
        raise _bad("is signed by itself")
    if leaf.is_authority and not policy.own:
        raise _bad("is an authority's own, which signs no messages")
    trusted = policy.anchors or (policy.roots() if len(chain) > 1 else ())
    if trusted:
        _check_chain(chain, trusted, name, now)
    return Signing(leaf.key, leaf.not_before, leaf.not_after)


class _Leaf(NamedTuple):
    """What is asked of a leaf."""

    key: object
    names: tuple[str, ...]
    """Its subject alternative names, or where it has none the name of its subject."""
    usages: tuple[x509.ObjectIdentifier, ...] | None
    is_authority: bool
    signs_itself: bool
    not_before: datetime
    not_after: datetime


def _parsed(pem: bytes) -> list[x509.Certificate]:
    chain: list[x509.Certificate] = []
    if len(pem) <= PEM_MAX_BYTES and pem.count(b"-----BEGIN") <= CHAIN_MAX:
        try:
            chain = x509.load_pem_x509_certificates(pem)
        except ValueError:
            chain = []
    if not chain:
        raise _bad("cannot be read: it is no PEM file with a certificate")
    return chain


def _read(certificate: x509.Certificate) -> _Leaf:
    try:
        found = _leaf_of(certificate)
    except Exception:  # noqa: BLE001 - parsed only when asked for, and a hostile one breaks its parser in many ways
        found = None
    if found is None:
        raise _bad("cannot be read: a part of it is broken")
    return found


def _leaf_of(certificate: x509.Certificate) -> _Leaf:
    extensions = certificate.extensions
    names: list[str] = []
    try:
        alternatives = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = alternatives.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        names = [str(part.value) for part in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    usages: tuple[x509.ObjectIdentifier, ...] | None = None
    try:
        usages = tuple(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        usages = None
    try:
        is_authority = extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_authority = False
    return _Leaf(
        certificate.public_key(),
        tuple(name.lower() for name in names),
        usages,
        is_authority,
        certificate.issuer == certificate.subject,
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )


def _allowed_name(names: tuple[str, ...], policy: CertificatePolicy) -> str:
    if not policy.names:
        return names[0] if names else ""
    allowed = sorted(policy.names.intersection(names))
    if not allowed:
        raise _bad("is for another name than the sender's")
    return allowed[0]


def _check_chain(
    chain: list[x509.Certificate], trusted: tuple[x509.Certificate, ...], name: str, now: datetime
) -> None:
    why = ""
    try:
        verifier = (
            PolicyBuilder()
            .store(Store(list(trusted)))
            .time(now)
            .max_chain_depth(CHAIN_MAX)
            .build_server_verifier(x509.DNSName(name))
        )
        verifier.verify(chain[0], chain[1:])
    except Exception:  # noqa: BLE001 - VerificationError, and whatever a hostile file makes the verifier raise
        why = "does not lead up to an authority that is trusted"
    if why:
        raise _bad(why)


# --- errors -----------------------------------------------------------------------------------------------------------


def _bad(what: str) -> SignatureError:
    return SignatureError(f"The signing certificate {what}.", code="certificate")


def _refuse_bad(what: str) -> Never:
    raise SignatureError(what, code="certificate")


def _refuse_absent() -> Never:
    # With a code of its own: no sender names what is not there, so it tells of a forger as a wrong signature does.
    raise SignatureError(
        "The signing certificate is not at the address that the message names.", code="certificate_absent"
    )


def _refuse_answer(status: int) -> Never:
    raise _undecided(
        f"The signing certificate cannot be had: its host answered {status}.", "certificate_status", status
    )


def _refuse_unreachable(code: str) -> Never:
    raise _undecided(f"The signing certificate cannot be had: its host gave no answer ({code}).", code)


def _undecided(what: str, code: str, status: int | None = None) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        what,
        effect=Effect.NONE,
        code=code,
        http_status=status,
        step="certificate",
        next_step="Nothing was recorded; the sender tries again. Let this machine reach the host, if it may not.",
    )
