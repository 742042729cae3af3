"""Hostile deliveries: none is believed, none raises what is not foreseen, none makes us open a socket."""

import dataclasses
import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verifiers.amazon import ARN, CERT_URL, NOW, TOKEN, Amazon, delivery, envelope, verifier
from tests.verifiers.corpus import hostile_cert_urls, hostile_deliveries, hostile_subscribe_urls
from tests.verifiers.senders import (
    RECURRING,
    RELAY,
    STANDARD,
    by_recurring,
    by_relay,
    by_standard,
    gateway,
    raw,
    relayed,
)
from vextrus_payments.errors import (
    GatewayError,
    SignatureError,
    ThrottledError,
    TimestampOutsideWindowError,
    WebhookError,
)
from vextrus_payments.events import Confirm, Delivery, Events
from vextrus_payments.gateways.bkash import BkashGateway
from vextrus_payments.testing import FakeClock

KNOWN_SECRETS = (RELAY, STANDARD.decode(), RECURRING, TOKEN, "secret-of-a-test", "word-of-a-test")


async def judged(checker: BkashGateway, sent: Delivery) -> WebhookError | GatewayError:
    """The refusal. Anything else, an accepted forgery above all, fails the test."""
    try:
        found = await checker.handle_webhook(sent)
    except (WebhookError, GatewayError) as error:
        assert error.__context__ is None and error.__cause__ is None
        text = f"{error} {error!r} {error.context}"
        assert text.isprintable() and len(text) < 1000
        assert not any(secret in text for secret in KNOWN_SECRETS)
        return error
    raise AssertionError(f"believed: {found!r}")


async def test_more_than_two_thousand_hostile_deliveries() -> None:
    amazon, count = Amazon(), 0
    checker = gateway(amazon)
    for what, sent in hostile_deliveries():
        try:
            error = await judged(checker, sent)
        except Exception as problem:
            raise AssertionError(f"{what}: {problem!r}") from problem
        # A 5xx would make the sender, whoever it is, come again: nothing hostile here may be called undecided.
        assert isinstance(error, WebhookError), f"{what}: {error!r}"
        count += 1
    assert count >= 2_000, count
    assert not amazon.confirmed
    other = "https://sns.ap-southeast-1.amazonaws.com/SimpleNotificationService-ffff.pem"
    assert set(amazon.asked) == {CERT_URL, other}


# --- addresses --------------------------------------------------------------------------------------------------------


def test_there_are_more_than_two_hundred_hostile_addresses() -> None:
    assert len(hostile_cert_urls()) + len(hostile_subscribe_urls()) >= 200
    assert len(hostile_cert_urls()) >= 100 and len(hostile_subscribe_urls()) >= 100


@pytest.mark.parametrize("url", hostile_cert_urls())
async def test_no_hostile_certificate_address_is_opened(url: str) -> None:
    amazon = Amazon()
    with pytest.raises(WebhookError):
        await verifier(amazon).verify(delivery(envelope(SigningCertURL=url)))
    assert amazon.asked == []


@pytest.mark.parametrize("url", hostile_subscribe_urls())
async def test_no_hostile_address_to_confirm_at_is_opened(url: str) -> None:
    """Even when the whole message is signed, address and all."""
    amazon = Amazon()
    for kind in ("SubscriptionConfirmation", "UnsubscribeConfirmation"):
        with pytest.raises(WebhookError):
            await verifier(amazon).verify(delivery(envelope(kind, SubscribeURL=url)))
    with pytest.raises(SignatureError):
        await verifier(amazon).confirm(Confirm(url))
    assert amazon.asked == []


# --- bits -------------------------------------------------------------------------------------------------------------


def _kibibyte(wrap: Any) -> bytes:
    """A body of exactly 1 KiB."""
    bare = len(raw(wrap("")))
    return raw(wrap("x" * (1024 - bare)))


def _of_relay() -> Delivery:
    return by_relay(_kibibyte(lambda pad: {**relayed(), "pad": pad}))


def _of_standard() -> Delivery:
    return by_standard(_kibibyte(lambda pad: {**relayed(), "pad": pad}))


def _of_standard_v1a() -> Delivery:
    return by_standard(_kibibyte(lambda pad: {**relayed(), "pad": pad}), version="v1a")


def _of_recurring() -> Delivery:
    told = {
        "timeStamp": "2026-03-01T12:00:00Z",
        "paymentStatus": "SUCCEEDED_PAYMENT",
        "trxId": "X",
        "amount": 51,
    }
    return by_recurring(_kibibyte(lambda pad: {**told, "pad": pad}))


@pytest.mark.parametrize("make", [_of_relay, _of_standard, _of_standard_v1a, _of_recurring])
async def test_every_flipped_bit_of_a_kibibyte_is_noticed(make: Any) -> None:
    checker, good = gateway(), make()
    assert len(good.body) == 1024
    assert isinstance(await checker.handle_webhook(good), Events)
    body = bytearray(good.body)
    for bit in range(8_192):
        body[bit // 8] ^= 1 << bit % 8
        with pytest.raises(WebhookError):
            await checker.handle_webhook(dataclasses.replace(good, body=bytes(body)))
        body[bit // 8] ^= 1 << bit % 8
    assert bytes(body) == good.body


@pytest.mark.parametrize("version", ["1", "2"])
async def test_every_flipped_bit_of_an_sns_message_of_a_kibibyte_is_noticed(version: str) -> None:
    """Every bit of what is signed, 1 KiB of it, and every bit of the signature; then every bit of the envelope as it
    travels: there a changed bit may leave what is said as it was (one of a field that nobody reads), never alter it."""
    checker = gateway()
    text = "x" * 1024
    good = envelope(Message=text, SignatureVersion=version)
    assert isinstance(await checker.handle_webhook(delivery(good)), Events)
    for bit in range(8_192):
        place, flipped = bit // 8, chr(ord("x") ^ (1 << bit % 8))
        changed = {**good, "Message": text[:place] + flipped + text[place + 1 :]}
        with pytest.raises(WebhookError):
            await checker.handle_webhook(delivery(changed))
    sent = raw(good)
    body = bytearray(sent)
    for bit in range(len(sent) * 8):
        body[bit // 8] ^= 1 << bit % 8
        # ThrottledError: the bit was one of the certificate's name, and too many names had been tried before.
        with pytest.raises((WebhookError, ThrottledError)):
            await checker.handle_webhook(delivery(bytes(body)))
        body[bit // 8] ^= 1 << bit % 8


# --- found by chance --------------------------------------------------------------------------------------------------

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature",
            "x-webhook-signature",
            "x-signature",
            "Signature",
        ]
    )
    | st.text(max_size=12),
    st.text(max_size=100) | st.from_regex(re.compile(r"v1a?,[A-Za-z0-9+/]{43}=", re.ASCII), fullmatch=True),
    max_size=6,
)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=300) | _VALUES.map(lambda value: raw({"Type": "Notification", "Message": value})),
    _HEADERS,
)
async def test_no_bytes_and_headers_raise_anything_else(body: bytes, headers: dict[str, str]) -> None:
    await judged(gateway(), Delivery(method="POST", query="", headers=headers, body=body, received_at=NOW))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([*envelope()]), _VALUES)
async def test_no_value_of_a_field_is_believed(name: str, value: Any) -> None:
    good = envelope()
    if value != good[name]:
        await judged(gateway(), delivery({**good, name: value}))


@settings(max_examples=200, deadline=None)
@given(_VALUES, st.sampled_from(["payment.success", "payment.failed", "refund.success", "other", ""]))
async def test_a_signed_message_is_read_or_malformed(data: Any, kind: str) -> None:
    """A relay may be wrong; it must not break anything."""
    for by in (by_relay, by_standard):
        try:
            await gateway().handle_webhook(by({**relayed(kind), "data": data}))
        except WebhookError:
            pass


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200) | _VALUES.map(str))
async def test_whatever_bkash_signs_is_kept(text: str) -> None:
    """Money may be behind it: what cannot be read is news for a person, and neither refused nor dropped."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    found = await gateway().handle_webhook(delivery(envelope(Message=text)))
    assert isinstance(found, Events) and len(found.events) == 1
    assert found.events[0].snapshot is not None


async def test_a_tenants_secret_is_nothing_to_another() -> None:
    other = gateway(
        sns_topic_arn=ARN.replace("bpt_shop", "bpt_other"), webhook_secret=None, recurring_api_key=None
    )
    for sent in (delivery(envelope()), by_relay(relayed()), by_standard(relayed()), _of_recurring()):
        assert isinstance(await gateway().handle_webhook(sent), Events)
        await judged(other, sent)


@pytest.mark.parametrize("days", [-1, 1])
async def test_the_clock_may_be_wrong_by_a_day(days: int) -> None:
    """What signs every try is refused then, on either side; a time in the body has to be of the last week."""
    checker = gateway(clock=FakeClock(NOW + timedelta(days=days)))
    assert isinstance(await judged(checker, by_standard(relayed())), TimestampOutsideWindowError)
    if days > 0:
        assert isinstance(await checker.handle_webhook(by_relay(relayed())), Events)
        assert isinstance(await checker.handle_webhook(delivery(envelope())), Events)
    else:
        for sent in (by_relay(relayed()), delivery(envelope()), _of_recurring()):
            assert isinstance(await judged(checker, sent), TimestampOutsideWindowError)
