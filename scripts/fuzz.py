"""Fuzzes every parser of what the network brings, guided by coverage: `python scripts/fuzz.py [--runs N] [TARGET ...]`.

Needs atheris, which has wheels for Linux alone and is therefore not in the lock: `pip install atheris` into an
environment that has the SDK. Each target runs in a process of its own from a corpus of good messages; what it finds is
an input on which something else than a foreseen refusal came out, or a forgery that was believed. Exits 1 on the first
finding, and says where the input is.
"""

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
NOW: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RUNS: Final = 10_000_000
_SECRET: Final = "example-relay-secret-for-fuzzing"
_KEY: Final = b"an example key of 32 bytes......"
_MESSAGE_MAX: Final = 4096

Target = Callable[[bytes], None]

_RELAYED: Final = {
    "id": "evt_1",
    "type": "payment.success",
    "timestamp": "2026-03-01T12:00:00Z",
    "data": {"gateway_order_id": "INV-1", "transaction_id": "DC1", "amount": "1250.50", "currency": "BDT"},
}
_NOTIFIED: Final = {
    "dateTime": "20260301180000",
    "debitMSISDN": "8801700000004",
    "trxID": "DC110AAAA1",
    "transactionStatus": "Completed",
    "transactionType": "10002294",
    "amount": "1250.50",
    "currency": "BDT",
    "merchantInvoiceNumber": "INV-1",
}
_RECURRED: Final = {
    "timeStamp": "2026-03-01T12:00:00.1Z",
    "paymentStatus": "SUCCEEDED_PAYMENT",
    "trxId": "DC1",
    "amount": 51.00,
    "trxDate": "2026-03-01T18:00:00",
}


def _doors() -> dict[str, tuple[Target, list[bytes]]]:
    """name -> (what must raise nothing unforeseen, good inputs to begin with)."""
    from vextrus_payments.errors import GatewayError, MalformedWebhookError, WebhookError
    from vextrus_payments.events import Delivery
    from vextrus_payments.gateways.bkash import BkashConfig, BkashGateway
    from vextrus_payments.gateways.bkash.webhook import parse_notification
    from vextrus_payments.secret import Secret
    from vextrus_payments.strict_json import UnreadableJsonError, read_object
    from vextrus_payments.testing import FakeClock, ScriptedTransport
    from vextrus_payments.testing.scripted import answer
    from vextrus_payments.verifiers.certificates import CertificatePolicy, read_certificate
    from vextrus_payments_sandbox import sns

    base = "http://127.0.0.1:9"
    key = sns.signing_key()
    topic = sns.Topic(sns.BKASH_TOPIC, base + key.path, key)
    config = BkashConfig(
        api_url=f"{base}/v1.2.0-beta",
        app_key=Secret("fuzzing"),
        app_secret=Secret("fuzzing"),
        username=Secret("fuzzing"),
        password=Secret("fuzzing"),
        sns_topic_arn=sns.BKASH_TOPIC,
        webhook_secret=Secret(f"{_SECRET},whsec_{base64.b64encode(_KEY).decode('ascii')}"),
        recurring_api_key=Secret(base64.urlsafe_b64encode(_KEY).decode("ascii")),
    )
    gateway = BkashGateway(
        config, clock=FakeClock(NOW), transport=ScriptedTransport(then=answer(200, key.pem))
    )
    loop = asyncio.new_event_loop()

    def handled(body: bytes, headers: Mapping[str, str]) -> Any:
        delivery = Delivery(method="POST", query="", headers=headers, body=body, received_at=NOW)
        try:
            return loop.run_until_complete(gateway.handle_webhook(delivery))
        except (WebhookError, GatewayError):
            return None

    envelope = sns.to_wire(
        topic.notification(
            json.dumps(_NOTIFIED), message_id="m1", at="2026-03-01T12:00:00.000Z", unsubscribe_url=base
        )
    )
    asking = sns.to_wire(
        topic.confirmation(
            message_id="m2", at="2026-03-01T12:00:00.000Z", token="ab12", subscribe_url=f"{base}/?a=b"
        )
    )
    good = {hashlib.sha256(_meaning(one)).digest() for one in (envelope, asking)}

    def sns_envelope(raw: bytes) -> None:
        if handled(raw, {}) is not None and hashlib.sha256(_meaning(raw)).digest() not in good:
            raise AssertionError("a forged envelope was believed")

    def forged(raw: bytes) -> None:
        """Headers and a body of the attacker's choice: the first line is headers as JSON."""
        head, _, body = raw.partition(b"\n")
        try:
            headers = json.loads(head)
        except (ValueError, RecursionError):
            return
        if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
            return
        if handled(body, headers) is not None and hashlib.sha256(_meaning(body)).digest() not in good:
            raise AssertionError("a forged delivery was believed")

    def signed_relay(raw: bytes) -> None:
        handled(raw, {"x-webhook-signature": hmac.new(_SECRET.encode(), raw, hashlib.sha256).hexdigest()})

    def signed_standard(raw: bytes) -> None:
        seconds = str(int(NOW.timestamp()))
        digest = hmac.new(_KEY, b"m.%s.%s" % (seconds.encode(), raw), hashlib.sha256).digest()
        signature = f"v1,{base64.b64encode(digest).decode('ascii')}"
        handled(raw, {"webhook-id": "m", "webhook-timestamp": seconds, "webhook-signature": signature})

    def signed_recurring(raw: bytes) -> None:
        digest = hmac.new(_KEY, raw, hashlib.sha256).digest()
        handled(raw, {"x-signature": base64.urlsafe_b64encode(digest).decode("ascii")})

    def notification(raw: bytes) -> None:
        try:
            parse_notification(raw)
        except MalformedWebhookError:
            pass

    def strict_json(raw: bytes) -> None:
        try:
            found = read_object(raw)
        except UnreadableJsonError:
            return
        if json.loads(raw.decode("utf-8-sig"), parse_float=str, parse_int=str) != found:
            raise AssertionError("read in another way than by the standard library")

    policy = CertificatePolicy(names=frozenset({"sns.amazonaws.com"}), own=True)

    def certificate(raw: bytes) -> None:
        try:
            read_certificate(raw, policy, NOW)
        except WebhookError:
            pass

    headers = json.dumps(
        {"x-webhook-signature": "0" * 64, "webhook-id": "m", "webhook-signature": "v1,AAAA"}
    ).encode()
    relayed, notified = (json.dumps(one).encode() for one in (_RELAYED, _NOTIFIED))
    return {
        "sns_envelope": (sns_envelope, [envelope, asking]),
        "forged": (forged, [headers + b"\n" + relayed]),
        "signed_relay": (signed_relay, [relayed]),
        "signed_standard": (signed_standard, [relayed]),
        "signed_recurring": (signed_recurring, [json.dumps(_RECURRED).encode()]),
        "notification": (notification, [notified]),
        "strict_json": (strict_json, [relayed, b'{"a":1e5,"b":[{"c":null}]}']),
        "certificate": (certificate, [key.pem]),
    }


def _meaning(raw: bytes) -> bytes:
    """What an envelope says in the fields that are signed: an input that only spells it otherwise is no forgery."""
    try:
        found = json.loads(raw.decode("utf-8-sig"))
        names = ("Type", "MessageId", "TopicArn", "Message", "Timestamp", "Subject", "Token", "SubscribeURL")
        asking = found["Type"] != "Notification"
        return repr([found.get(name) for name in names[: 8 if asking else 6]]).encode()
    except (ValueError, TypeError, KeyError, RecursionError):
        return raw


def _fuzz(name: str, corpus: str, runs: int) -> None:
    """One target in this process; atheris ends the process itself."""
    atheris = import_module("atheris")
    with atheris.instrument_imports(include=["vextrus_payments", "json"]):
        target, _ = _doors()[name]
    atheris.Setup(
        [sys.argv[0], corpus, f"-runs={runs}", f"-max_len={_MESSAGE_MAX}", "-print_final_stats=1"], target
    )
    atheris.Fuzz()


def main() -> int:
    """Run the targets, one after the other."""
    parser = argparse.ArgumentParser(description="Fuzz what reads the network.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="these only")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"inputs per target ({RUNS:,})")
    parser.add_argument("--within", metavar="CORPUS", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.within:
        _fuzz(given.targets[0], given.within, given.runs)
        return 0
    doors = _doors()
    unknown = [name for name in given.targets if name not in doors]
    if unknown:
        print(f"no such target: {', '.join(unknown)}; there are {', '.join(doors)}", file=sys.stderr)
        return 2
    if find_spec("atheris") is None:
        print("atheris is not installed here: pip install atheris", file=sys.stderr)
        return 2
    for name in given.targets or doors:
        with tempfile.TemporaryDirectory() as corpus:
            for number, seed in enumerate(doors[name][1]):
                (Path(corpus) / f"seed{number}").write_bytes(seed)
            command = [sys.executable, __file__, name, "--within", corpus, "--runs", str(given.runs)]
            done = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False
            )
        if done.returncode:
            print(done.stderr[-4000:], file=sys.stderr)
            print(f"{name}: a finding; see above, and the file crash-* here.", file=sys.stderr)
            return 1
        print(f"{name}: {given.runs:,} inputs, nothing found", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
