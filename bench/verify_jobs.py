"""P7: a webhook verified and read, by the SDK and by stripe's library, each with its own sender's message."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

from bench.blocks import Samples, interleaved

Call = Callable[[], Awaitable[Any]]

_KEY: Final = b"a key of the bench of 32 bytes.."
_RELAY_SECRET: Final = "example-relay-secret-for-the-bench"
#: A sandbox of this machine signs as Amazon SNS does, with a key of the same kind and length. Nobody listens there.
_SANDBOX: Final = "http://127.0.0.1:9"
#: What a payment's event of about 1 KiB holds at stripe: names as its documentation shows them, made-up values.
_INTENT: Final[dict[str, Any]] = {
    "id": "pi_0000000000000000000000",
    "object": "payment_intent",
    "amount": 125050,
    "amount_capturable": 0,
    "amount_details": {"tip": {}},
    "amount_received": 125050,
    "application": None,
    "automatic_payment_methods": {"enabled": True},
    "canceled_at": None,
    "capture_method": "automatic",
    "confirmation_method": "automatic",
    "created": 1680800504,
    "currency": "bdt",
    "customer": None,
    "description": None,
    "latest_charge": "ch_0000000000000000000000",
    "livemode": False,
    "metadata": {"order": "INV-8812-1"},
    "next_action": None,
    "payment_method": "pm_0000000000000000000000",
    "payment_method_options": {"card": {"network": None, "request_three_d_secure": "automatic"}},
    "payment_method_types": ["card"],
    "receipt_email": None,
    "shipping": None,
    "status": "succeeded",
    "transfer_group": None,
}
#: What a relay hands on beside its own fields: the gateway's answer. Names as bKash's dossier has them.
_ANSWER: Final = {
    "statusCode": "0000",
    "statusMessage": "Successful",
    "paymentID": "TR0011000000000000",
    "payerReference": "01700000004",
    "customerMsisdn": "01700000004",
    "trxID": "DC110AAAA1",
    "amount": "1250.50",
    "transactionStatus": "Completed",
    "paymentExecuteTime": "2026-03-01T18:00:00:000 GMT+0600",
    "currency": "BDT",
    "intent": "sale",
    "merchantInvoiceNumber": "INV-8812-1",
    "maxRefundableAmount": "1250.50",
    "payerType": "Customer",
    "creditShortCode": "01*******01",
}


def verifying(rounds: int) -> dict[str, Any]:
    """The contenders side by side, one task; microseconds, and how long each one's body is."""
    return asyncio.run(_verifying(rounds))


async def _verifying(rounds: int) -> dict[str, Any]:
    event = _stripe_event()
    relayed = _relayed()
    like_stripes = json.dumps({**json.loads(relayed), "intent": _INTENT}).encode("ascii")
    with_answer = _padded({**json.loads(relayed), "answer": _ANSWER}, len(event))
    envelope = _envelope()
    contenders: dict[str, Call] = {
        "stripe": _by_stripe(event),
        "Standard Webhooks": await _ours(with_answer, _standard(with_answer)),
        "relay": await _ours(with_answer, _relay(with_answer)),
        "Standard Webhooks, stripe's object inside": await _ours(like_stripes, _standard(like_stripes)),
        "Standard Webhooks, no field beside": await _ours(relayed, _standard(relayed)),
        "Amazon SNS (RSA)": await _ours(envelope, {"x-amz-sns-message-type": "Notification"}),
    }
    samples: dict[str, Samples] = await interleaved(contenders, rounds=rounds, calls=200)
    return {
        "cpu": {name: one.cpu for name, one in samples.items()},
        "bytes": {
            "stripe": len(event),
            "the SDK": len(with_answer),
            "the SDK, stripe's object inside": len(like_stripes),
            "the SDK, no field beside": len(relayed),
            "Amazon SNS": len(envelope),
        },
    }


def _relayed() -> bytes:
    said = {
        "type": "payment.success",
        "id": "evt_1",
        "timestamp": datetime.now(UTC).isoformat(),
        "data": {
            "gateway_order_id": "INV-8812-1",
            "gateway_reference": "TR0011000000000000",
            "transaction_id": "DC110AAAA1",
            "amount": "1250.50",
            "currency": "BDT",
        },
    }
    return json.dumps(said).encode("ascii")


def _padded(said: dict[str, Any], length: int) -> bytes:
    """The message brought to this length by a note at its end."""
    short = len(json.dumps({**said, "note": ""}))
    return json.dumps({**said, "note": "n" * (length - short)}).encode("ascii")


def _standard(body: bytes) -> dict[str, str]:
    seconds = str(int(time.time()))
    signed = b"msg_1.%s.%s" % (seconds.encode("ascii"), body)
    text = base64.b64encode(hmac.new(_KEY, signed, hashlib.sha256).digest()).decode("ascii")
    return {"webhook-id": "msg_1", "webhook-timestamp": seconds, "webhook-signature": f"v1,{text}"}


def _relay(body: bytes) -> dict[str, str]:
    return {"x-webhook-signature": hmac.new(_RELAY_SECRET.encode("ascii"), body, hashlib.sha256).hexdigest()}


def _envelope() -> bytes:
    """A notification of bKash as Amazon SNS sends it, version 1."""
    from vextrus_payments_sandbox import sns

    key = sns.signing_key()
    message = {
        "dateTime": "20260301180000",
        "debitMSISDN": "8801700000004",
        "creditOrganizationName": "Bench",
        "creditShortCode": "01*******01",
        "trxID": "DC110AAAA1",
        "transactionStatus": "Completed",
        "transactionType": "10002294",
        "amount": "1250.50",
        "currency": "BDT",
        "merchantInvoiceNumber": "INV-8812-1",
    }
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    topic = sns.Topic(sns.BKASH_TOPIC, _SANDBOX + key.path, key)
    return sns.to_wire(
        topic.notification(json.dumps(message), message_id="m1", at=at, unsubscribe_url=_SANDBOX)
    )


def _stripe_event() -> bytes:
    event = {
        "id": "evt_0000000000000000000000",
        "object": "event",
        "api_version": "2024-06-20",
        "created": 1680800504,
        "type": "payment_intent.succeeded",
        "data": {"object": _INTENT},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
    }
    return json.dumps(event).encode("ascii")


def _by_stripe(body: bytes) -> Call:
    import stripe

    seconds, secret = int(time.time()), "whsec_of_the_bench"
    digest = hmac.new(secret.encode("ascii"), b"%d.%s" % (seconds, body), hashlib.sha256).hexdigest()
    header = f"t={seconds},v1={digest}"

    async def call() -> Any:
        return stripe.Webhook.construct_event(body, header, secret)

    return call


async def _ours(body: bytes, headers: dict[str, str]) -> Call:
    """The adapter's whole `handle_webhook`: choosing the verifier, proving, reading strictly, the exact amount."""
    from vextrus_payments.events import Delivery, Events
    from vextrus_payments.gateways.bkash import BkashConfig, BkashGateway
    from vextrus_payments.secret import Secret
    from vextrus_payments.testing import ScriptedTransport
    from vextrus_payments.testing.scripted import answer
    from vextrus_payments_sandbox import sns

    config = BkashConfig(
        api_url=f"{_SANDBOX}/v1.2.0-beta",
        app_key=Secret("bench"),
        app_secret=Secret("bench"),
        username=Secret("bench"),
        password=Secret("bench"),
        sns_topic_arn=sns.BKASH_TOPIC,
        webhook_secret=Secret(f"whsec_{base64.b64encode(_KEY).decode('ascii')},{_RELAY_SECRET}"),
    )
    gateway = BkashGateway(config, transport=ScriptedTransport(then=answer(200, sns.signing_key().pem)))
    delivery = Delivery(
        method="POST",
        query="",
        headers={
            "host": "shop.example",
            "content-type": "application/json",
            "user-agent": "bench",
            **headers,
        },
        body=body,
        received_at=datetime.now(UTC),
    )

    async def call() -> Any:
        return await gateway.handle_webhook(delivery)

    if not isinstance(await call(), Events):
        raise RuntimeError("the message was not taken")
    return call
