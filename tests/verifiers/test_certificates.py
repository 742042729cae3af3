"""Signing certificates: fetched once whoever asks, judged, forgotten in time, and never a burden on anybody."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.verifiers.amazon import (
    CERT_URL,
    HOST,
    NOW,
    Amazon,
    certificate,
    delivery,
    envelope,
    intermediate,
    key,
    leaf,
    pem,
    root,
    verifier,
)
from vextrus_payments.errors import (
    AnswerTimeoutError,
    Effect,
    GatewayError,
    NotSentError,
    OutcomeUnknownError,
    SignatureError,
    ThrottledError,
    UnreadableAnswerError,
)
from vextrus_payments.testing import FakeClock
from vextrus_payments.verifiers.certificates import (
    ABSENT_MAX,
    ABSENT_S,
    FAILED_S,
    FETCHES_MAX,
    FETCHES_S,
    KEEP_S,
    KEPT_MAX,
    CertificateCache,
    CertificatePolicy,
    read_certificate,
)

POLICY = CertificatePolicy(names=frozenset({"sns.amazonaws.com", HOST}))


def cache(amazon: Amazon, clock: FakeClock | None = None) -> CertificateCache:
    return CertificateCache(lambda: amazon, clock or FakeClock(NOW))


def url(number: int) -> str:
    return f"https://{HOST}/SimpleNotificationService-{number:032x}.pem"


def refused(raw: bytes, policy: CertificatePolicy = POLICY, now: datetime = NOW) -> str:
    with pytest.raises(SignatureError) as caught:
        read_certificate(raw, policy, now).check_dates(now)
    assert caught.value.code == "certificate"
    assert caught.value.__context__ is None and caught.value.__cause__ is None
    return caught.value.what


# --- judging ----------------------------------------------------------------------------------------------------------


def test_a_good_one() -> None:
    found = read_certificate(pem(leaf()), POLICY, NOW)
    assert found.key.public_numbers() == key().public_key().public_numbers()
    found.check_dates(NOW)


@pytest.mark.parametrize(
    ("at", "good"),
    [
        (NOW - timedelta(days=100), True),
        (NOW - timedelta(days=100, seconds=1), False),
        (NOW + timedelta(days=100), True),
        (NOW + timedelta(days=100, seconds=1), False),
    ],
)
def test_its_dates(at: datetime, good: bool) -> None:
    found = read_certificate(pem(leaf()), POLICY, at)
    if good:
        found.check_dates(at)
    else:
        with pytest.raises(SignatureError, match="does not hold now"):
            found.check_dates(at)


@pytest.mark.parametrize(
    "names",
    [
        ("evil.example",),
        ("sns.amazonaws.com.evil.example",),
        ("xsns.amazonaws.com",),
        ("*.amazonaws.com",),
        ("sns.us-east-1.amazonaws.com",),
        (),
    ],
)
def test_its_name(names: tuple[str, ...]) -> None:
    if names:
        assert "another name" in refused(pem(certificate(key().public_key(), names=names)))
    assert "another name" in refused(pem(certificate(key().public_key(), subject="evil.example", names=None)))


def test_a_subject_counts_only_where_there_are_no_alternative_names() -> None:
    raw = pem(certificate(key().public_key(), subject="sns.amazonaws.com", names=("evil.example",)))
    assert "another name" in refused(raw)
    read_certificate(pem(certificate(key().public_key(), names=None)), POLICY, NOW)
    raw = pem(certificate(key().public_key(), subject="evil.example", names=("evil.example", HOST)))
    read_certificate(raw, POLICY, NOW)


def test_an_authority_signs_no_messages() -> None:
    raw = pem(certificate(key().public_key(), ca=True))
    assert "authority" in refused(raw)


def test_a_certificate_that_signs_itself() -> None:
    raw = pem(certificate(key().public_key(), issuer="sns.amazonaws.com", signer=key()))
    assert "by itself" in refused(raw)
    read_certificate(raw, CertificatePolicy(names=frozenset(), own=True), NOW)


def test_a_certificate_for_something_else_than_a_server() -> None:
    raw = pem(certificate(key().public_key(), usages=(ExtendedKeyUsageOID.CODE_SIGNING,)))
    assert "not made for a server" in refused(raw)
    read_certificate(pem(certificate(key().public_key(), usages=None)), POLICY, NOW)


@pytest.mark.parametrize(
    "public",
    [
        lambda: key(8, 1024).public_key(),
        lambda: ec.generate_private_key(ec.SECP256R1()).public_key(),
        lambda: ed25519.Ed25519PrivateKey.generate().public_key(),
    ],
)
def test_a_key_that_is_too_short_or_of_another_kind(public: Any) -> None:
    assert "no RSA key" in refused(pem(certificate(public())))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>",
        b"-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\n" + b"A" * 65_536,
        pem(leaf())[:-100],
        pem(leaf()) * 7,
        b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
    ],
)
def test_what_is_no_certificate(raw: bytes) -> None:
    assert "cannot be read" in refused(raw)


def test_every_cut_and_every_changed_byte_is_refused_or_read() -> None:
    """Nothing but SignatureError comes out of a hostile file."""
    raw = pem(leaf())
    for place in range(0, len(raw), 7):
        for changed in (raw[:place], raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]):
            try:
                read_certificate(changed, POLICY, NOW)
            except SignatureError:
                pass


# --- chains -----------------------------------------------------------------------------------------------------------


def anchored(*anchors: x509.Certificate) -> CertificatePolicy:
    return CertificatePolicy(names=POLICY.names, anchors=anchors)


def test_a_chain_ends_at_an_anchor() -> None:
    read_certificate(pem(leaf()), anchored(intermediate()), NOW)
    read_certificate(pem(leaf(), intermediate()), anchored(root()), NOW)
    assert "lead up" in refused(pem(leaf()), anchored(root())), "the link between is not there"
    other = certificate(key(5).public_key(), issuer="B", subject="B", signer=key(5), names=None, ca=True)
    assert "lead up" in refused(pem(leaf()), anchored(other))
    forged = certificate(key().public_key(), signer=key(6))
    assert "lead up" in refused(pem(forged), anchored(intermediate())), "the issuer's name is no signature"


def test_an_expired_link_breaks_a_chain() -> None:
    old = certificate(
        key(2).public_key(),
        subject="A test's intermediate",
        issuer="A test's root",
        signer=key(1),
        names=None,
        ca=True,
        until=NOW - timedelta(days=1),
    )
    assert "lead up" in refused(pem(leaf(), old), anchored(root()))


def test_a_file_with_its_chain_ends_at_the_roots() -> None:
    """Without anchors a leaf alone is carried by the connection it came over; a chain that is there has to be good."""
    roots = CertificatePolicy(names=POLICY.names, roots=lambda: (root(),))
    read_certificate(pem(leaf(), intermediate()), roots, NOW)
    read_certificate(pem(leaf()), roots, NOW)
    other = certificate(key(5).public_key(), issuer="B", subject="B", signer=key(5), names=None, ca=True)
    strange = CertificatePolicy(names=POLICY.names, roots=lambda: (other,))
    assert "lead up" in refused(pem(leaf(), intermediate()), strange)


async def test_the_roots_are_those_of_tls() -> None:
    amazon = Amazon(served={CERT_URL: pem(leaf(), intermediate())})
    with pytest.raises(SignatureError, match="lead up"):
        await verifier(amazon).verify(delivery(envelope()))


async def test_anchors_are_asked_by_the_verifier() -> None:
    good = verifier(Amazon(), anchors=(intermediate(),))
    await good.verify(delivery(envelope()))
    other = certificate(key(5).public_key(), issuer="B", subject="B", signer=key(5), names=None, ca=True)
    with pytest.raises(SignatureError, match="lead up"):
        await verifier(Amazon(), anchors=(other,)).verify(delivery(envelope()))


# --- the cache --------------------------------------------------------------------------------------------------------


async def test_many_at_once_make_one_fetch() -> None:
    amazon = Amazon(gate=asyncio.Event())
    checker = verifier(amazon)
    assert amazon.gate is not None
    many = [asyncio.create_task(checker.verify(delivery(envelope()))) for _ in range(200)]
    for _ in range(5):
        await asyncio.sleep(0)
    amazon.gate.set()
    assert len({found.message_id for found in await asyncio.gather(*many)}) == 1
    assert amazon.asked == [CERT_URL]
    await checker.verify(delivery(envelope(MessageId="other")))
    assert amazon.asked == [CERT_URL], "kept"


async def test_who_is_cancelled_leaves_the_others_their_fetch() -> None:
    amazon = Amazon(gate=asyncio.Event())
    assert amazon.gate is not None
    kept = cache(amazon)
    first, second = (asyncio.create_task(kept.signing(CERT_URL, POLICY)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    amazon.gate.set()
    assert (await second).key.key_size == 2048
    assert amazon.asked == [CERT_URL]


async def test_a_failed_fetch_fails_all_who_wait_and_is_not_repeated_at_once() -> None:
    clock, amazon = FakeClock(NOW), Amazon(served={CERT_URL: NotSentError("x")}, gate=asyncio.Event())
    assert amazon.gate is not None
    kept = cache(amazon, clock)
    many = [asyncio.create_task(kept.signing(CERT_URL, POLICY)) for _ in range(20)]
    await asyncio.sleep(0)
    amazon.gate.set()
    for error in await asyncio.gather(*many, return_exceptions=True):
        assert isinstance(error, GatewayError) and error.effect is Effect.NONE
        assert error.__context__ is None and error.__cause__ is None
    with pytest.raises(GatewayError):
        await kept.signing(CERT_URL, POLICY)
    assert len(amazon.asked) == 1
    amazon.served[CERT_URL] = pem(leaf())
    clock.advance(FAILED_S)
    await kept.signing(CERT_URL, POLICY)
    assert len(amazon.asked) == 2


@pytest.mark.parametrize("failure", [NotSentError("x"), AnswerTimeoutError("x"), UnreadableAnswerError("x")])
async def test_what_cannot_be_had_is_undecided(failure: GatewayError) -> None:
    with pytest.raises(GatewayError) as caught:
        await verifier(Amazon(served={CERT_URL: failure})).verify(delivery(envelope()))
    assert caught.value.effect is Effect.NONE


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 429, 500, 502, 503])
async def test_an_odd_answer_is_undecided_and_no_redirect_is_followed(status: int) -> None:
    amazon = Amazon(served={CERT_URL: status})
    with pytest.raises(GatewayError) as caught:
        await verifier(amazon).verify(delivery(envelope()))
    assert caught.value.http_status == status
    assert amazon.asked == [CERT_URL]


@pytest.mark.parametrize("served", [403, 404, 410, b"<html>", pem(root())])
async def test_what_is_not_there_is_refused_and_remembered(served: int | bytes) -> None:
    clock, amazon = FakeClock(NOW), Amazon(served={CERT_URL: served})
    checker = verifier(amazon, clock)
    for _ in range(3):
        with pytest.raises(SignatureError) as caught:
            await checker.verify(delivery(envelope()))
        assert caught.value.code == ("certificate_absent" if isinstance(served, int) else "certificate")
    assert len(amazon.asked) == 1
    amazon.served[CERT_URL] = pem(leaf())
    clock.advance(ABSENT_S - 0.001)
    with pytest.raises(SignatureError):
        await checker.verify(delivery(envelope()))
    clock.advance(0.001)
    await checker.verify(delivery(envelope()))
    assert len(amazon.asked) == 2


async def test_a_certificate_is_asked_for_anew_after_a_day() -> None:
    clock, amazon = FakeClock(NOW), Amazon()
    kept = cache(amazon, clock)
    await kept.signing(CERT_URL, POLICY)
    clock.advance(KEEP_S - 1)
    await kept.signing(CERT_URL, POLICY)
    assert len(amazon.asked) == 1
    clock.advance(1)
    await kept.signing(CERT_URL, POLICY)
    assert len(amazon.asked) == 2


async def test_a_kept_certificate_runs_out() -> None:
    clock, amazon = FakeClock(NOW), Amazon()
    short = certificate(key().public_key(), until=NOW + timedelta(hours=1))
    amazon.served[CERT_URL] = pem(short)
    kept = cache(amazon, clock)
    await kept.signing(CERT_URL, POLICY)
    clock.advance(3601)
    with pytest.raises(SignatureError, match="does not hold now"):
        await kept.signing(CERT_URL, POLICY)


async def test_guessed_names_cost_a_bounded_number_of_fetches_and_no_kept_certificate() -> None:
    clock, amazon = FakeClock(NOW), Amazon()
    kept = cache(amazon, clock)
    await kept.signing(CERT_URL, POLICY)
    for number in range(FETCHES_MAX - 1):
        with pytest.raises(SignatureError):
            await kept.signing(url(number), POLICY)
    for number in range(1000, 1100):
        with pytest.raises(ThrottledError) as caught:
            await kept.signing(url(number), POLICY)
        assert 0 < (caught.value.retry_after_s or 0) <= FETCHES_S
    assert len(amazon.asked) == FETCHES_MAX
    await kept.signing(CERT_URL, POLICY)
    clock.advance(FETCHES_S)
    with pytest.raises(SignatureError):
        await kept.signing(url(5000), POLICY)
    assert len(amazon.asked) == FETCHES_MAX + 1


async def test_guesses_keep_no_certificate_out_whose_day_is_over() -> None:
    clock, amazon = FakeClock(NOW), Amazon()
    kept = cache(amazon, clock)
    await kept.signing(CERT_URL, POLICY)
    clock.advance(KEEP_S)
    for number in range(FETCHES_MAX):
        with pytest.raises(SignatureError):
            await kept.signing(url(number), POLICY)
    with pytest.raises(ThrottledError):
        await kept.signing(url(1000), POLICY)
    await kept.signing(CERT_URL, POLICY)
    assert amazon.asked.count(CERT_URL) == 2
    clock.advance(KEEP_S)
    amazon.served[CERT_URL] = 503
    for _ in range(2 * FETCHES_MAX):  # its host fails for longer than a budget lasts
        with pytest.raises(OutcomeUnknownError):
            await kept.signing(CERT_URL, POLICY)
        clock.advance(FAILED_S)
    amazon.served[CERT_URL] = 404
    with pytest.raises(SignatureError):
        await kept.signing(CERT_URL, POLICY)
    clock.advance(ABSENT_S)
    for number in range(2000, 2000 + FETCHES_MAX):
        with pytest.raises(SignatureError):
            await kept.signing(url(number), POLICY)
    with pytest.raises(ThrottledError):
        await kept.signing(CERT_URL, POLICY)


async def test_what_is_kept_is_bounded() -> None:
    clock, amazon = FakeClock(NOW), Amazon()
    kept = cache(amazon, clock)
    for number in range(3 * KEPT_MAX):
        amazon.served[url(number)] = pem(leaf())
        await kept.signing(url(number), POLICY)
        clock.advance(FETCHES_S)
    assert len(kept) == KEPT_MAX
    await kept.signing(url(3 * KEPT_MAX - 1), POLICY)
    assert len(amazon.asked) == 3 * KEPT_MAX, "the newest are those that are kept"
    for number in range(10_000, 10_000 + ABSENT_MAX + 10):
        with pytest.raises(SignatureError):
            await kept.signing(url(number), POLICY)
        clock.advance(FETCHES_S / FETCHES_MAX)
    assert len(kept) <= KEPT_MAX + ABSENT_MAX


async def test_closing_ends_the_fetches_on_their_way() -> None:
    amazon = Amazon(gate=asyncio.Event())
    kept = cache(amazon)
    waiting = asyncio.create_task(kept.signing(CERT_URL, POLICY))
    await asyncio.sleep(0)
    await kept.aclose()
    with pytest.raises(GatewayError):
        await waiting
    await kept.aclose()
