"""`vextrus-pay webhooks verify`: a delivery in two files, proven or refused, and nothing else happens."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import Here
from tests.verifiers.amazon import ARN, delivery, envelope, leaf, pem
from tests.verifiers.senders import RECURRING, RELAY, by_recurring, by_relay, relayed
from vextrus_payments.events import Delivery

THEN = "2026-03-01T12:00:00+00:00"
SETTINGS = {
    "BKASH_APP_KEY": "key-of-a-test",
    "BKASH_APP_SECRET": "secret-of-a-test",
    "BKASH_USERNAME": "user-of-a-test",
    "BKASH_PASSWORD": "word-of-a-test",
    "BKASH_SNS_TOPIC_ARN": ARN,
    "BKASH_WEBHOOK_SECRET": RELAY,
    "BKASH_RECURRING_API_KEY": RECURRING,
}


class Desk:
    """An operator with two files."""

    def __init__(self, folder: Path, here: Here) -> None:
        self._folder = folder
        self._here = here

    def file(self, name: str, raw: bytes) -> str:
        path = self._folder / name
        path.write_bytes(raw)
        return str(path)

    def verify(
        self, sent: Delivery, *more: str, headers: bytes | None = None, env: Mapping[str, str] = SETTINGS
    ) -> Any:
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.headers.items()).encode()
        return self._here.run(
            "webhooks",
            "verify",
            "--gateway",
            "bkash",
            "--headers",
            self.file("headers", lines if headers is None else headers),
            "--body",
            self.file("body", sent.body),
            *more,
            env=env,
        )


@pytest.fixture
def desk(tmp_path: Path, here: Here) -> Desk:
    return Desk(tmp_path, here)


@pytest.fixture
def cert(desk: Desk) -> str:
    return desk.file("signing.pem", pem(leaf()))


def test_a_notification_is_proven_by_the_certificate_at_hand(desk: Desk, cert: str) -> None:
    done = desk.verify(delivery(envelope()), "--cert", cert, "--at", THEN)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("Proven. payment paid 1250.50 BDT DC110AAAA1 INV-8812-1")
    assert "01700000004" not in done.out, "the payer's account is nobody's business here"


def test_as_json(desk: Desk, cert: str) -> None:
    done = desk.verify(delivery(envelope()), "--cert", cert, "--at", THEN, "--json")
    assert done.code == 0
    assert done.document["proven"] is True and done.document["exit_code"] == 0
    (event,) = done.document["events"]
    assert event == {
        "event_id": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "news_key": "payment/DC110AAAA1/paid/125050BDT/INV-8812-1",
        "kind": "payment",
        "state": "paid",
        "transaction_id": "DC110AAAA1",
        "gateway_order_id": "INV-8812-1",
        "amount": "1250.50 BDT",
    }


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (delivery({**envelope(), "MessageId": "other"}), "signature"),
        (delivery(envelope(TopicArn=ARN.replace("123", "321"))), "foreign_topic"),
        (delivery(b"{}"), "malformed"),
        (by_relay(relayed(), "a secret nobody has given"), "signature"),
        (by_recurring(b"{}", key=b"a key nobody has given you"), "signature"),
    ],
)
def test_a_refusal_exits_1(desk: Desk, cert: str, sent: Delivery, code: str) -> None:
    done = desk.verify(sent, "--cert", cert, "--at", THEN, "--json")
    assert done.code == 1
    assert (done.document["proven"], done.document["error"]["code"]) == (False, code)
    done = desk.verify(sent, "--cert", cert, "--at", THEN)
    assert done.code == 1 and done.out.startswith("Refused. ")


def test_the_time_is_judged_as_of_the_moment_that_is_named(desk: Desk) -> None:
    assert desk.verify(by_relay(relayed()), "--at", THEN).code == 0
    done = desk.verify(by_relay(relayed()))
    assert done.code == 1 and "too" in done.out


def test_headers_may_be_json_as_show_writes_them(desk: Desk) -> None:
    sent = by_relay(relayed())
    headers = json.dumps({name.title(): value for name, value in sent.headers.items()}).encode()
    assert desk.verify(sent, "--at", THEN, headers=headers).code == 0


def test_a_header_that_came_twice_proves_nothing(desk: Desk) -> None:
    sent = by_relay(relayed())
    line = f"X-Webhook-Signature: {sent.headers['x-webhook-signature']}\n".encode()
    assert desk.verify(sent, "--at", THEN, headers=line).code == 0
    assert desk.verify(sent, "--at", THEN, headers=line + line).code == 1
    twice = json.dumps(dict(sent.headers))[:-1] + ', "X-Webhook-Signature": "x"}'
    assert desk.verify(sent, "--at", THEN, headers=twice.encode()).code == 1


@pytest.mark.parametrize("headers", [b"no header", b"{", b'{"a": 1}', b"\xff", b" a: b", b'[["a", "b"]]'])
def test_what_are_no_headers(desk: Desk, headers: bytes) -> None:
    done = desk.verify(by_relay(relayed()), headers=headers)
    assert done.code == 2 and "--headers" in done.error


def test_a_file_that_is_too_long(desk: Desk) -> None:
    done = desk.verify(delivery(b"x" * 1_048_577))
    assert done.code == 2 and "--body" in done.error


def test_a_confirmation_is_proven_and_not_given(desk: Desk, cert: str) -> None:
    done = desk.verify(delivery(envelope("SubscriptionConfirmation")), "--cert", cert, "--at", THEN)
    assert done.code == 0 and "not answered" in done.out
    done = desk.verify(delivery(envelope("UnsubscribeConfirmation")), "--cert", cert, "--at", THEN, "--json")
    assert done.code == 0 and done.document["what"] == "ignored"


def test_without_settings_nothing_is_proven(desk: Desk) -> None:
    done = desk.verify(by_relay(relayed()), env={})
    assert done.code == 2
    bare = {name: value for name, value in SETTINGS.items() if "WEBHOOK" not in name and "SNS" not in name}
    done = desk.verify(by_relay(relayed()), env=bare)
    assert done.code == 1 and "BKASH_SNS_TOPIC_ARN" in done.out


def test_by_the_settings_of_an_application(
    desk: Desk, cert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own settings, a tenant's included; the environment's are not asked."""
    monkeypatch.syspath_prepend(tmp_path)
    desk.file("shop_that_takes_webhooks.py", _SHOP)
    named = ("--app", "shop_that_takes_webhooks:payments", "--at", THEN)
    assert desk.verify(by_relay(relayed()), *named, "--tenant", "acme", env={}).code == 0
    assert desk.verify(by_relay(relayed()), *named, "--tenant", "other", env={}).code == 1
    done = desk.verify(delivery(envelope()), *named, "--tenant", "acme", "--cert", cert, env={})
    assert done.code == 0, done.err


_SHOP = f"""
from vextrus_payments import Payments
from vextrus_payments.gateways.bkash import BkashConfig
from vextrus_payments.secret import Secret


async def credentials(tenant, gateway):
    return BkashConfig(
        app_key=Secret("key-of-a-test"), app_secret=Secret("secret-of-a-test"),
        username=Secret("user-of-a-test"), password=Secret("word-of-a-test"), sns_topic_arn={ARN!r},
        webhook_secret=Secret({RELAY!r} if tenant == "acme" else {RELAY[::-1]!r}),
    )


payments = Payments(store="memory://", credentials=credentials)
""".encode()
