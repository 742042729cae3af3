"""Amazon SNS: what is proven, what is refused, and what is never fetched."""

import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.verifiers.amazon import (
    ARN,
    CERT_URL,
    HOST,
    MESSAGE,
    NOW,
    SUBSCRIBE_URL,
    TOKEN,
    Amazon,
    delivery,
    envelope,
    key,
    leaf,
    pem,
    verifier,
)
from vextrus_payments.errors import (
    ConfigurationError,
    GatewayError,
    MalformedWebhookError,
    SignatureError,
    TimestampOutsideWindowError,
    WebhookError,
)
from vextrus_payments.events import Confirm
from vextrus_payments.inbox import KEEP_DAYS
from vextrus_payments.testing import FakeClock
from vextrus_payments.verifier_port import VerifiedKind
from vextrus_payments.verifiers import Topic
from vextrus_payments.verifiers.shape import FUTURE_S, PAST_S
from vextrus_payments.verifiers.sns_envelope import string_to_sign


async def refused(body: Any, expected: type[WebhookError] = SignatureError, **more: Any) -> WebhookError:
    amazon = Amazon()
    with pytest.raises(WebhookError) as caught:
        await verifier(amazon, **more).verify(delivery(body))
    assert type(caught.value) is expected, repr(caught.value)
    assert caught.value.__context__ is None and caught.value.__cause__ is None
    assert not amazon.confirmed
    return caught.value


# --- what is proven ---------------------------------------------------------------------------------------------------


def test_the_text_that_is_signed_is_the_golden_one() -> None:
    """dossier §18."""
    golden = {
        "Message": '{"trxID":"X"}',
        "MessageId": "m1",
        "Timestamp": "2026-01-01T00:00:00.000Z",
        "TopicArn": "arn:aws:sns:ap-southeast-1:1:bpt_x",
        "Type": "Notification",
    }
    assert string_to_sign(golden) == (
        b'Message\n{"trxID":"X"}\nMessageId\nm1\nTimestamp\n2026-01-01T00:00:00.000Z\n'
        b"TopicArn\narn:aws:sns:ap-southeast-1:1:bpt_x\nType\nNotification\n"
    )
    reordered = dict(reversed([*golden.items(), ("Token", ""), ("SubscribeURL", "")]))
    assert string_to_sign(reordered) == string_to_sign(golden), "of a notification neither is signed"


@pytest.mark.parametrize("version", ["1", "2"])
async def test_a_notification_is_proven(version: str) -> None:
    amazon = Amazon()
    found = await verifier(amazon).verify(delivery(envelope(SignatureVersion=version)))
    assert (found.kind, found.scheme) == (VerifiedKind.MESSAGE, f"sns/{version}")
    assert found.message_id == "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324"
    assert json.loads(found.message) == MESSAGE
    assert (found.signed_at, found.confirm) == (NOW, None)
    assert amazon.asked == [CERT_URL]
    assert "1250.50" not in repr(found)


async def test_fields_may_stand_in_any_order_and_beside_others() -> None:
    one = envelope(Subject="bKash payment", UnsubscribeURL=f"https://{HOST}/?Action=Unsubscribe")
    checker = verifier()
    for turned in ([*one.items()][n:] + [*one.items()][:n] for n in range(len(one))):
        assert (await checker.verify(delivery(dict(turned)))).message_id == one["MessageId"]
    kept = (await checker.verify(delivery(one))).kept
    assert kept is not None and json.loads(kept) == {n: v for n, v in one.items() if n != "UnsubscribeURL"}
    again = replace(delivery(one), body=kept)
    assert (await checker.verify(again)).message_id == one["MessageId"], (
        "what is kept is proven like the whole"
    )
    shown_empty = {
        **envelope(),
        "Token": "",
        "SubscribeURL": "",
        "Subject": None,
    }  # as bKash's documents print it
    assert (await checker.verify(delivery(shown_empty))).kind is VerifiedKind.MESSAGE
    assert (await checker.verify(delivery({**envelope(), "extra": {"a": [1]}}))).kind is VerifiedKind.MESSAGE


async def test_the_message_is_what_was_signed_and_nothing_beside_it() -> None:
    text = 'ঢাকা "quotes" \\ \n lines \u0000 🙂'
    found = await verifier().verify(delivery(envelope(Message=text)))
    assert found.message == text.encode()


async def test_headers_prove_nothing_and_are_not_read() -> None:
    headers = {"x-amz-sns-message-type": "SubscriptionConfirmation", "x-amz-sns-topic-arn": "arn:x"}
    assert (await verifier().verify(delivery(envelope(), headers))).kind is VerifiedKind.MESSAGE


async def test_two_topics_may_be_pinned() -> None:
    other = "arn:aws:sns:eu-west-1:210987654321:bpt_other.fifo"
    url = CERT_URL.replace("ap-southeast-1", "eu-west-1")
    amazon = Amazon(served={CERT_URL: pem(leaf()), url: pem(leaf())})
    checker = verifier(amazon, arns=(ARN, other))
    await checker.verify(delivery(envelope()))
    await checker.verify(delivery(envelope(TopicArn=other, SigningCertURL=url)))
    with pytest.raises(SignatureError, match="region"):
        await checker.verify(delivery(envelope(TopicArn=other)))


@pytest.mark.parametrize(
    ("arn", "host"),
    [
        ("arn:aws-cn:sns:cn-north-1:1:t", "sns.cn-north-1.amazonaws.com.cn"),
        ("arn:aws-us-gov:sns:us-gov-west-1:1:t", "sns.us-gov-west-1.amazonaws.com"),
        (ARN, HOST),
    ],
)
def test_the_host_follows_from_the_topic(arn: str, host: str) -> None:
    assert Topic(arn).host == host


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "arn:aws:sqs:ap-southeast-1:1:t",
        "arn:aws:sns::1:t",
        "arn:aws:sns:evil.example/:1:t",
        "arn:aws:sns:ap-southeast-1:1:t\n",
        "arn:aws:sns:ap-southeast-1:1:a/b",
        "arn:aws:sns:AP-SOUTHEAST-1:1:t",
        "arn:aws:sns:ap-southeast-1.evil.example-1:1:t",
        "arn:evil:sns:ap-southeast-1:1:t",
    ],
)
def test_what_is_no_topic_is_not_pinned(arn: str) -> None:
    with pytest.raises(ConfigurationError):
        Topic(arn)


def test_without_a_topic_there_is_no_verifier() -> None:
    with pytest.raises(ConfigurationError):
        verifier(arns=())


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize(
    "name", ["Message", "MessageId", "Timestamp", "TopicArn", "Type", "Subject", "Token"]
)
async def test_a_changed_field_is_refused(name: str, version: str) -> None:
    kind = "SubscriptionConfirmation" if name == "Token" else "Notification"
    one = envelope(kind, Subject="s" if kind == "Notification" else None, SignatureVersion=version)
    changed = {**one, name: one[name].replace("0", "1") + ("" if "0" in one[name] else "x")}
    with pytest.raises(WebhookError):
        await verifier(arns=(ARN, changed["TopicArn"])).verify(delivery(changed))


async def test_a_subject_that_came_or_went_is_refused() -> None:
    with_it = envelope(Subject="s")
    await refused({name: value for name, value in with_it.items() if name != "Subject"})
    await refused({**envelope(), "Subject": "s"})
    await refused({**envelope(), "Subject": ""})


async def test_a_notification_is_no_confirmation() -> None:
    """The kind is signed: what one kind signs is no signature of another."""
    one = envelope()
    await refused({**one, "Type": "SubscriptionConfirmation", "Token": TOKEN, "SubscribeURL": SUBSCRIBE_URL})
    asking = envelope("UnsubscribeConfirmation")
    await refused({**asking, "Type": "SubscriptionConfirmation"})


@pytest.mark.parametrize("name", ["MessageId", "Timestamp", "TopicArn", "Type", "Subject", "SigningCertURL"])
async def test_no_value_but_the_message_holds_a_line_break(name: str) -> None:
    """What is signed is a list of lines; a value with lines in it could be read as several fields."""
    for brk in ("\n", "\r"):
        one = envelope(Subject="s")
        await refused({**one, name: f"{one[name]}{brk}x"}, MalformedWebhookError)


async def test_lines_cannot_be_shifted_between_fields() -> None:
    """The same signed text cut in another way: a message that holds lines, read as one without."""
    inner = "harmless\nMessageId\nforged"
    one = envelope(Message=inner)
    shifted = {**one, "Message": "harmless", "MessageId": f"forged\nMessageId\n{one['MessageId']}"}
    await refused(shifted, MalformedWebhookError)
    with_subject = envelope(Subject="s")
    text = f"{with_subject['MessageId']}\nSubject\ns"
    shifted = {k: v for k, v in with_subject.items() if k != "Subject"} | {"MessageId": text}
    await refused(shifted, MalformedWebhookError)


async def test_fields_in_another_case_are_other_fields() -> None:
    one = envelope()
    for name in one:
        for other in (name.lower(), name.upper(), name.swapcase(), f" {name}"):
            if other != name:
                turned = {(other if key_ == name else key_): value for key_, value in one.items()}
                await refused(turned, MalformedWebhookError)


async def test_values_exchanged_are_refused() -> None:
    one = envelope()
    names = [name for name in one if name not in ("SigningCertURL", "Signature", "SignatureVersion")]
    for first in names:
        for second in names:
            if first < second:
                with pytest.raises(WebhookError):
                    await verifier().verify(delivery({**one, first: one[second], second: one[first]}))


@pytest.mark.parametrize("name", [*envelope(sign=False), "Signature"])
async def test_a_field_that_is_missing_or_no_text(name: str) -> None:
    one = envelope()
    await refused({k: v for k, v in one.items() if k != name}, MalformedWebhookError)
    for value in (None, True, ["x"], {"a": "b"}):
        await refused({**one, name: value}, MalformedWebhookError)


async def test_a_message_that_came_as_an_object_is_refused() -> None:
    """Some relays send it so; what was signed cannot be known then."""
    await refused({**envelope(), "Message": MESSAGE}, MalformedWebhookError)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'"x"',
        b"<xml/>",
        b"\xff\xfe",
        b'{"Type":NaN}',
        b'{"Type":Infinity}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        json.dumps(envelope()).encode()[:-1],
        json.dumps(envelope()).encode() + b"x",
        json.dumps(envelope()).encode("utf-16"),
        json.dumps(envelope()).replace('"Type"', '"Type": "Notification", "Type"').encode(),
        json.dumps(envelope()).replace('"Message"', '"Message": "other", "Message"').encode(),
        json.dumps({**envelope(), "Message": "\ud800"}).encode(),
        json.dumps({**envelope(), "Message": "x" * 300_000}).encode(),
    ],
)
async def test_what_is_no_message(body: bytes) -> None:
    error = await refused(body, MalformedWebhookError)
    assert len(str(error)) < 400 and str(error).isprintable()


async def test_a_foreign_topic_is_refused_though_amazon_signed_it() -> None:
    amazon = Amazon()
    with pytest.raises(SignatureError) as caught:
        await verifier(amazon).verify(delivery(envelope(TopicArn=ARN.replace("123", "321"))))
    assert caught.value.code == "foreign_topic"
    assert amazon.asked == [], "nobody was asked for the certificate of a topic that is not ours"


async def test_another_key_is_refused() -> None:
    await refused(envelope(by=key(7)))


@pytest.mark.parametrize("version", ["0", "3", "", "1 ", "01", "sha256", "none"])
async def test_an_unknown_version_is_refused(version: str) -> None:
    assert (await refused({**envelope(), "SignatureVersion": version})).code == "signature_version"


async def test_the_version_cannot_be_picked() -> None:
    """A signature by one hash is none by the other."""
    await refused({**envelope(SignatureVersion="1"), "SignatureVersion": "2"})
    await refused({**envelope(SignatureVersion="2"), "SignatureVersion": "1"})


async def test_version_1_can_be_refused() -> None:
    assert (await refused(envelope(), v2_only=True)).code == "signature_version"
    assert (await verifier(v2_only=True).verify(delivery(envelope(SignatureVersion="2")))).scheme == "sns/2"


async def test_a_signature_is_written_in_one_way_only() -> None:
    one = envelope()
    good = base64.b64decode(one["Signature"])
    for text in (
        one["Signature"].rstrip("="),
        one["Signature"] + "=",
        one["Signature"] + "\n",
        " " + one["Signature"],
        one["Signature"].replace("+", "-").replace("/", "_") + "_",
        "",
        "=",
        "ä",
        "A" * 4000,
    ):
        await refused({**one, "Signature": text}, MalformedWebhookError)
    for raw in (good[:-1], good + b"\0", b"\0" + good, bytes(len(good)), good[::-1]):
        await refused({**one, "Signature": base64.b64encode(raw).decode()})


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("past_s", "good"), [(PAST_S, True), (PAST_S + 1, False), (-FUTURE_S, True), (-FUTURE_S - 1, False)]
)
async def test_both_sides_of_the_clock_are_bounded(past_s: int, good: bool) -> None:
    clock = FakeClock(NOW + timedelta(seconds=past_s))
    amazon = Amazon(served={CERT_URL: pem(leaf())})
    if good:
        await verifier(amazon, clock).verify(delivery(envelope()))
        return
    with pytest.raises(TimestampOutsideWindowError):
        await verifier(amazon, clock).verify(delivery(envelope()))


async def test_an_unproven_time_is_no_matter() -> None:
    """Who cannot sign learns nothing about our clock."""
    clock = FakeClock(NOW + timedelta(days=20))
    await refused({**envelope(), "MessageId": "other"}, SignatureError, clock=clock)


def test_a_replay_is_known_for_as_long_as_it_is_taken() -> None:
    assert (PAST_S + FUTURE_S) / 86_400 < KEEP_DAYS


@pytest.mark.parametrize(
    "time",
    ["", "now", "2026-03-01", "2026-03-01T12:00:00", "1772366400", "2026-02-30T12:00:00.000Z", "٢٠٢٦-03-01T12:00:00Z"],
)  # fmt: skip
async def test_a_time_that_is_none(time: str) -> None:
    await refused(envelope(Timestamp=time), MalformedWebhookError)


# --- subscriptions ----------------------------------------------------------------------------------------------------


async def test_a_confirmation_is_proven_first_and_fetched_where_the_topic_lives() -> None:
    amazon = Amazon()
    checker = verifier(amazon)
    found = await checker.verify(delivery(envelope("SubscriptionConfirmation")))
    assert found.kind is VerifiedKind.CONFIRMATION
    assert found.confirm is not None and TOKEN not in repr(found)
    assert amazon.confirmed == [], "verifying confirms nothing"
    await checker.confirm(found.confirm)
    escaped = ARN.replace(":", "%3A")
    expected = f"https://{HOST}/?Action=ConfirmSubscription&TopicArn={escaped}&Token={TOKEN}"
    assert amazon.confirmed == [expected], "the address is made of what is pinned and signed"


@pytest.mark.parametrize("status", [100, 201, 301, 302, 307, 400, 403, 404, 500, 503])
async def test_a_confirmation_that_is_not_taken_is_asked_again(status: int) -> None:
    amazon = Amazon(confirms_with=status)
    checker = verifier(amazon)
    found = await checker.verify(delivery(envelope("SubscriptionConfirmation")))
    assert found.confirm is not None
    with pytest.raises(GatewayError) as caught:
        await checker.confirm(found.confirm)
    assert caught.value.http_status == status and TOKEN not in str(caught.value)
    assert len(amazon.confirmed) == 1, "no redirect is followed, nothing is repeated here"


async def test_an_end_of_subscription_is_never_answered() -> None:
    amazon = Amazon()
    found = await verifier(amazon).verify(delivery(envelope("UnsubscribeConfirmation")))
    assert (found.kind, found.confirm) == (VerifiedKind.FAREWELL, None)
    assert amazon.asked == [CERT_URL]


@pytest.mark.parametrize(
    "url",
    [
        f"https://{HOST}/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:ap-southeast-1:1:other&Token={TOKEN}",
        f"https://{HOST}/?Action=Unsubscribe&TopicArn={ARN}&Token={TOKEN}",
        f"https://evil.example/?Action=ConfirmSubscription&TopicArn={ARN}&Token={TOKEN}",
        "http://169.254.169.254/latest/meta-data/",
        "",
    ],
)
async def test_only_what_was_proven_is_confirmed(url: str) -> None:
    amazon = Amazon()
    with pytest.raises(SignatureError):
        await verifier(amazon).confirm(Confirm(url))
    assert amazon.asked == []


async def test_a_forged_confirmation_fetches_nothing_but_the_certificate() -> None:
    amazon = Amazon()
    with pytest.raises(SignatureError):
        await verifier(amazon).verify(delivery(envelope("SubscriptionConfirmation", by=key(7))))
    assert amazon.asked == [CERT_URL]


# --- a sandbox's own --------------------------------------------------------------------------------------------------

OWN = "http://127.0.0.1:28600/SimpleNotificationService-aa.pem"


async def test_a_host_of_this_machine_is_trusted_where_it_is_named() -> None:
    amazon = Amazon(served={OWN: pem(leaf())})
    own_url = f"http://127.0.0.1:28600/?Action=ConfirmSubscription&TopicArn={ARN}&Token={TOKEN}"
    asking = envelope("SubscriptionConfirmation", SigningCertURL=OWN, SubscribeURL=own_url)
    checker = verifier(amazon, own_hosts=("127.0.0.1:28600",))
    found = await checker.verify(delivery(asking))
    assert found.confirm is not None
    await checker.confirm(found.confirm)
    assert amazon.confirmed == [own_url]
    for other in (OWN.replace("28600", "28601"), OWN.replace("127.0.0.1", "127.0.0.2")):
        with pytest.raises(SignatureError):
            await checker.verify(delivery(envelope(SigningCertURL=other)))
    with pytest.raises(SignatureError):
        await verifier(amazon).verify(delivery(asking))


@pytest.mark.parametrize(
    "host",
    ["evil.example:80", "127.0.0.1", "localhost", "10.0.0.1:80", "127.0.0.1:80/x", "a@127.0.0.1:80", ""],
)
def test_only_this_machine_can_be_named(host: str) -> None:
    with pytest.raises(ConfigurationError):
        verifier(own_hosts=(host,))
