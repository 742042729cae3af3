"""A bKash merchant who takes webhooks from everybody it can, and what each of them sends."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from tests.verifiers.amazon import ARN, NOW, Amazon, delivery
from vextrus_payments.events import Delivery
from vextrus_payments.gateways.bkash import BkashConfig, BkashGateway
from vextrus_payments.mode import Mode
from vextrus_payments.secret import Secret
from vextrus_payments.signing import Ed25519Key
from vextrus_payments.testing import FakeClock

RELAY = "a relay's own secret 0001"
OLD_RELAY = "the secret before that 01"
STANDARD = b"a key of Standard Webhooks 32 by"
RECURRING = base64.urlsafe_b64encode(b"an API key of 24 bytes 1").decode()
PRIVATE = Ed25519Key(hashlib.sha256(b"a test's own ed25519 seed").digest())

DATA = {
    "gateway_order_id": "INV-8812-1",
    "gateway_reference": "TR0011abc",
    "transaction_id": "DC110AAAA1",
    "amount": "1250.50",
    "currency": "BDT",
}


def relayed(
    kind: str = "payment.success", *, timestamp: str = "2026-03-01T12:00:00Z", **data: Any
) -> dict[str, Any]:
    """A relay's message; a datum of None is left out."""
    told = {name: value for name, value in {**DATA, **data}.items() if value is not None}
    return {"id": "evt_1", "type": kind, "timestamp": timestamp, "data": told}


def raw(body: bytes | Mapping[str, Any]) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def by_relay(body: bytes | Mapping[str, Any], secret: str = RELAY) -> Delivery:
    signature = hmac.new(secret.encode(), raw(body), hashlib.sha256).hexdigest()
    return delivery(raw(body), {"x-webhook-signature": signature})


def by_standard(body: bytes | Mapping[str, Any], *, at: int | None = None, version: str = "v1") -> Delivery:
    seconds = int(NOW.timestamp()) if at is None else at
    signed = b"msg_1.%d.%s" % (seconds, raw(body))
    if version == "v1a":
        signature = PRIVATE.sign(signed)
    else:
        signature = "v1," + base64.b64encode(hmac.new(STANDARD, signed, hashlib.sha256).digest()).decode()
    return delivery(
        raw(body),
        {"webhook-id": "msg_1", "webhook-timestamp": str(seconds), "webhook-signature": signature},
    )


def by_recurring(body: bytes | Mapping[str, Any], *, key: bytes = b"an API key of 24 bytes 1") -> Delivery:
    digest = hmac.new(key, raw(body), hashlib.sha256).digest()
    return delivery(
        raw(body), {"x-signature": base64.urlsafe_b64encode(digest).decode(), "x-type": "PAYMENT"}
    )


def config(**more: Any) -> BkashConfig:
    """Everything configured; None takes a setting out."""
    settings: dict[str, Any] = {
        "app_key": Secret("key-of-a-test"),
        "app_secret": Secret("secret-of-a-test"),
        "username": Secret("user-of-a-test"),
        "password": Secret("word-of-a-test"),
        "mode": Mode.SANDBOX,
        "sns_topic_arn": ARN,
        "webhook_secret": Secret(
            f"{RELAY}, {OLD_RELAY},whsec_{base64.b64encode(STANDARD).decode()},{PRIVATE.public}"
        ),
        "recurring_api_key": Secret(RECURRING),
    }
    return BkashConfig(**{name: value for name, value in {**settings, **more}.items() if value is not None})


def gateway(amazon: Amazon | None = None, clock: FakeClock | None = None, **more: Any) -> BkashGateway:
    return BkashGateway(
        config(**more), tenant="shop", transport=amazon or Amazon(), clock=clock or FakeClock(NOW)
    )
