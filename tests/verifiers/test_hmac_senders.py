"""Relays, Standard Webhooks and bKash's recurring payments: whose message it is, and when it was made."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.verifiers.amazon import NOW, delivery
from tests.verifiers.senders import (
    OLD_RELAY,
    PRIVATE,
    RELAY,
    STANDARD,
    by_recurring,
    by_relay,
    by_standard,
    raw,
    relayed,
)
from vextrus_payments.errors import (
    ConfigurationError,
    MalformedWebhookError,
    SignatureError,
    TimestampOutsideWindowError,
    UnsupportedOperationError,
    WebhookError,
)
from vextrus_payments.events import Confirm, Delivery
from vextrus_payments.secret import Secret
from vextrus_payments.signing import HmacKey
from vextrus_payments.testing import FakeClock
from vextrus_payments.verifiers import RecurringVerifier, RelayVerifier, StandardVerifier
from vextrus_payments.verifiers.recurring import recurring_key
from vextrus_payments.verifiers.shape import FUTURE_S, PAST_S, one_header, time_of

CLOCK = FakeClock(NOW)
Any_Verifier = RelayVerifier | StandardVerifier | RecurringVerifier


def relay(clock: FakeClock = CLOCK) -> RelayVerifier:
    return RelayVerifier([RELAY.encode(), OLD_RELAY.encode()], clock=clock)


def standard(clock: FakeClock = CLOCK) -> StandardVerifier:
    return StandardVerifier([HmacKey(b"an old key" * 4), HmacKey(STANDARD), PRIVATE.public], clock=clock)


def recurring(clock: FakeClock = CLOCK) -> RecurringVerifier:
    return RecurringVerifier([b"another key of bytes", b"an API key of 24 bytes 1"], clock=clock)


RECURRED = {"timeStamp": "2026-03-01T12:00:00.123456Z", "paymentStatus": "SUCCEEDED_PAYMENT", "trxId": "X"}
CASES = [
    (relay, by_relay, relayed()),
    (standard, by_standard, relayed()),
    (recurring, by_recurring, RECURRED),
]


async def refused(
    verifier: Any_Verifier, sent: Delivery, expected: type[WebhookError] = SignatureError
) -> WebhookError:
    with pytest.raises(WebhookError) as caught:
        await verifier.verify(sent)
    assert type(caught.value) is expected, repr(caught.value)
    assert caught.value.__context__ is None and caught.value.__cause__ is None
    return caught.value


@pytest.mark.parametrize(("make", "by", "body"), CASES)
async def test_a_signed_message_is_proven(make: Any, by: Any, body: Any) -> None:
    found = await make().verify(by(body))
    assert (found.message, found.confirm) == (raw(body), None)
    assert found.signed_at is not None and abs((found.signed_at - NOW).total_seconds()) < 1


@pytest.mark.parametrize(("make", "by", "body"), CASES)
async def test_another_writing_of_the_same_body_is_refused(make: Any, by: Any, body: Any) -> None:
    """The bytes are signed, not what they say."""
    sent = by(body)
    for other in (json.dumps(body, indent=1).encode(), raw(body) + b"\n", raw(body)[:-1], b" " + raw(body)):
        await refused(make(), delivery(other, sent.headers))


@pytest.mark.parametrize(("make", "by", "body"), CASES)
async def test_an_empty_body_says_so(make: Any, by: Any, body: Any) -> None:
    error = await refused(make(), delivery(b"", by(body).headers), MalformedWebhookError)
    assert error.code == "empty_body", "a body that was read before looks like a wrong secret otherwise"


@pytest.mark.parametrize(("make", "by", "body"), CASES)
async def test_a_header_in_any_case_but_once(make: Any, by: Any, body: Any) -> None:
    sent = by(body)
    shouted = {name.upper(): value for name, value in sent.headers.items()}
    await make().verify(delivery(raw(body), shouted))
    twice = {**{name.title(): value for name, value in sent.headers.items()}, **shouted}
    if len(twice) > len(shouted):
        await refused(make(), delivery(raw(body), twice), MalformedWebhookError)


@pytest.mark.parametrize(("make", "by", "body"), CASES)
@pytest.mark.parametrize(
    "junk", ["", " ", "x", "0" * 64, "v1,", "A" * 44, "é" * 64, "\x00", "a" * 70_000, "=" * 43]
)
async def test_a_signature_that_is_none(make: Any, by: Any, body: Any, junk: str) -> None:
    names = ("x-webhook-signature", "webhook-signature", "x-signature")
    sent = by(body)
    changed = {name: (junk if name in names else value) for name, value in sent.headers.items()}
    with pytest.raises(WebhookError):
        await make().verify(delivery(raw(body), changed))
    await refused(make(), delivery(raw(body)), MalformedWebhookError)


@pytest.mark.parametrize(("make", "by", "body"), CASES)
async def test_nobody_asks_for_a_confirmation(make: Any, by: Any, body: Any) -> None:
    with pytest.raises(UnsupportedOperationError):
        await make().confirm(Confirm("https://sns.ap-southeast-1.amazonaws.com/"))


@pytest.mark.parametrize("kind", [RelayVerifier, StandardVerifier, RecurringVerifier])
def test_without_a_key_there_is_no_verifier(kind: Any) -> None:
    for none in ([], [b""] if kind is not StandardVerifier else []):
        with pytest.raises(ConfigurationError):
            kind(none, clock=CLOCK)


@pytest.mark.parametrize("make", [relay, recurring])
def test_no_repr_shows_a_key(make: Any) -> None:
    assert "secret" not in repr(make()).replace("live secrets", "") and "API" not in repr(make())


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "by", "body"), [CASES[0], CASES[2]])
@pytest.mark.parametrize(
    ("later_s", "good"), [(PAST_S, True), (PAST_S + 1, False), (-FUTURE_S, True), (-FUTURE_S - 1, False)]
)
async def test_a_time_in_the_body(make: Any, by: Any, body: Any, later_s: int, good: bool) -> None:
    clock = FakeClock(NOW + timedelta(seconds=later_s))
    sent = by({**body, "timeStamp": "2026-03-01T12:00:00Z"})
    if good:
        await make(clock).verify(sent)
    else:
        await refused(make(clock), sent, TimestampOutsideWindowError)


@pytest.mark.parametrize(("later_s", "good"), [(300, True), (301, False), (-300, True), (-301, False)])
async def test_a_time_of_the_try(later_s: int, good: bool) -> None:
    clock = FakeClock(NOW + timedelta(seconds=later_s))
    if good:
        await standard(clock).verify(by_standard(relayed()))
    else:
        await refused(standard(clock), by_standard(relayed()), TimestampOutsideWindowError)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T12:00:00Z", NOW),
        ("2026-03-01 12:00:00Z", NOW),
        ("2026-03-01T18:00:00+06:00", NOW),
        ("2026-03-01T12:00:00.5Z", NOW + timedelta(microseconds=500_000)),
        ("2026-03-01T12:00:00.000001999Z", NOW + timedelta(microseconds=1)),
        ("2021-04-19T10:08:22.267540Z", datetime(2021, 4, 19, 10, 8, 22, 267540, UTC)),
        ("2026-03-01T12:00:00", None),
        ("2026-03-01", None),
        ("2026-13-01T12:00:00Z", None),
        ("2026-03-01T24:00:01Z", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("9999-12-31T23:59:59-23:59", None),
        ("2026-03-01T12:00:00+99:00", None),
        ("2026-03-01T12:00:00Z\n", None),
        ("٢٠٢٦-٠٣-٠١T12:00:00Z", None),
        ("", None),
    ],
)
def test_times_are_read_in_one_way(text: str, expected: datetime | None) -> None:
    assert time_of(text) == expected


# --- several keys -----------------------------------------------------------------------------------------------------


async def test_secrets_are_exchanged_without_a_gap() -> None:
    await relay().verify(by_relay(relayed(), RELAY))
    await relay().verify(by_relay(relayed(), OLD_RELAY))
    await refused(relay(), by_relay(relayed(), "a secret nobody has given"))
    await refused(relay(), by_relay(relayed(), ""))


async def test_hex_may_be_written_large() -> None:
    sent = by_relay(relayed())
    shouted = {"x-webhook-signature": sent.headers["x-webhook-signature"].upper()}
    await relay().verify(delivery(raw(relayed()), shouted))


async def test_ed25519_is_proven_too() -> None:
    assert (await standard().verify(by_standard(relayed(), version="v1a"))).message_id == "msg_1"


async def test_a_key_of_one_kind_is_none_of_the_other() -> None:
    """A public key is known to everybody: taken as a shared secret it would let anybody sign."""
    signed = b"msg_1.%d.%s" % (int(NOW.timestamp()), raw(relayed()))
    for known in (PRIVATE.public.key, str(PRIVATE.public).encode()):
        forged = base64.b64encode(hmac.new(known, signed, hashlib.sha256).digest()).decode()
        headers = {**by_standard(relayed()).headers, "webhook-signature": f"v1,{forged}"}
        await refused(standard(), delivery(raw(relayed()), headers))


@pytest.mark.parametrize("name", ["id", "timestamp"])
@pytest.mark.parametrize("junk", [None, True, "", " ", "a b", ["x"], {}, "x" * 201, "a\nb", "é"])
async def test_a_relay_signs_an_id_and_a_time(name: str, junk: Any) -> None:
    await refused(relay(), by_relay({**relayed(), name: junk}), MalformedWebhookError)
    await refused(relay(), by_relay({k: v for k, v in relayed().items() if k != name}), MalformedWebhookError)


async def test_a_time_without_a_zone_is_none() -> None:
    for time in ("2026-03-01T12:00:00", 1772366400):
        await refused(relay(), by_relay({**relayed(), "timestamp": time}), MalformedWebhookError)


@pytest.mark.parametrize(
    "body", [b"[]", b"x", b'{"id":"a","id":"b","timestamp":"2026-03-01T12:00:00Z"}', b"\xff"]
)
async def test_a_relays_body_is_read_in_one_way(body: bytes) -> None:
    await refused(relay(), by_relay(body), MalformedWebhookError)
    await refused(recurring(), by_recurring(body), MalformedWebhookError)


# --- bKash's recurring payments ---------------------------------------------------------------------------------------

# dossier §18, published in bKash's guide
GOLDEN_KEY = "3EbBE-L30-PEDU-KjkhxpEop8SYsanOa"
GOLDEN_BODY = (
    b'{"message":null,"timeStamp":"2021-04-19T10:08:22.267540Z",'
    b'"subscriptionRequestId":"573a44e6-5686-465a-868c-e7571b0233b1","paymentId":73,'
    b'"paymentStatus":"SUCCEEDED_PAYMENT","subscriptionId":40,"trxId":"8DJ9022ZD7","amount":51.00,'
    b'"dueDate":"2021-04-19","nextPaymentDate":"2021-04-26","trxDate":"2021-04-19T16:08:22","firstPayment":true}'
)
GOLDEN_SIGNATURE = "VL5Qow6bpQQnhHIYzf35rs5nssCGRc-Hih6I61ZC8jY="
THEN = FakeClock(datetime(2021, 4, 19, 10, 9, tzinfo=UTC))


def golden(
    body: bytes = GOLDEN_BODY, signature: str = GOLDEN_SIGNATURE, name: str = "x-signature"
) -> Delivery:
    return delivery(body, {name: signature})


@pytest.mark.parametrize("name", ["x-signature", "signature", "X-Signature", "Signature"])
async def test_the_published_vector(name: str) -> None:
    found = await RecurringVerifier([recurring_key(Secret(GOLDEN_KEY))], clock=THEN).verify(golden(name=name))
    assert found.message_id == "sha256/" + hashlib.sha256(GOLDEN_BODY).hexdigest()
    assert found.signed_at == datetime(2021, 4, 19, 10, 8, 22, 267540, UTC)


async def test_the_published_wrong_ways_fail() -> None:
    checker = RecurringVerifier([recurring_key(Secret(GOLDEN_KEY))], clock=THEN)
    await refused(checker, golden(GOLDEN_BODY.replace(b"51.00", b"51.0")))
    await refused(RecurringVerifier([GOLDEN_KEY.encode()], clock=THEN), golden())
    undecoded = hmac.new(GOLDEN_KEY.encode(), GOLDEN_BODY, hashlib.sha256).digest()
    await refused(checker, golden(signature=base64.urlsafe_b64encode(undecoded).decode()))
    in_standard_base64 = GOLDEN_SIGNATURE.replace("-", "+").replace("_", "/")
    await refused(checker, golden(signature=in_standard_base64), MalformedWebhookError)
    wrongly_decoded = base64.b64decode(
        GOLDEN_KEY.replace("-", "")[:28]
    )  # what lenient standard base64 makes of it
    await refused(RecurringVerifier([wrongly_decoded], clock=THEN), golden())
    await checker.verify(golden(signature=GOLDEN_SIGNATURE.rstrip("=")))


async def test_a_signature_is_written_in_one_way_only() -> None:
    """The last letter of 43 says two bits that nobody reads."""
    checker = RecurringVerifier([recurring_key(Secret(GOLDEN_KEY))], clock=THEN)
    for last in "Zab":
        await refused(
            checker, golden(signature=GOLDEN_SIGNATURE.replace("Y=", f"{last}=")), MalformedWebhookError
        )
    await refused(checker, golden(signature=GOLDEN_SIGNATURE.replace("Y=", "c=")))


async def test_the_published_vector_is_old_now() -> None:
    checker = RecurringVerifier([recurring_key(Secret(GOLDEN_KEY))], clock=CLOCK)
    await refused(checker, golden(), TimestampOutsideWindowError)


@pytest.mark.parametrize(
    "text", ["", "short", "a" * 300, "with+plus/and/slash+000000000", "spaces in the key 0000000", "é" * 30]
)
def test_what_is_no_api_key(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        recurring_key(Secret(text))
    assert not text or text not in str(caught.value)


def test_one_header() -> None:
    assert one_header({"a": "1", "B": "2"}, "b") == "2"
    assert one_header({"a": "1"}, "b") is None
    with pytest.raises(MalformedWebhookError):
        one_header({"Bb": "1", "bB": "2"}, "bb")
