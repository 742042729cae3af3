"""Signed deliveries for the webhook door, each new: a payment of its own under an id of its own."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

SECRET: Final = "example-relay-secret-for-the-bench"
PATH: Final = "/payments/bkash/webhook"
_PAD: Final = "p" * 700
"""Brings a body to about 1 KiB, which a notification in its envelope has."""


def message(
    number: int, *, invoice: str | None = None, amount: str = "1250.50", trx: str | None = None
) -> bytes:
    """The body of the n-th delivery. Its transaction id counts up, as bKash's do."""
    data = {
        "gateway_order_id": invoice or f"INV-{number}",
        "transaction_id": trx or f"B{number:09d}",
        "amount": amount,
        "currency": "BDT",
    }
    # Ids as senders make them: scattered over the index, not in order.
    event_id = hashlib.blake2b(str(number).encode("ascii"), digest_size=16).hexdigest()
    said = {
        "id": event_id,
        "type": "payment.success",
        "timestamp": datetime.now(UTC).isoformat(),
        "data": data,
        "note": _PAD,
    }
    return json.dumps(said, separators=(",", ":")).encode("ascii")


def signature(body: bytes) -> str:
    """What stands in X-Webhook-Signature."""
    return hmac.new(SECRET.encode("ascii"), body, hashlib.sha256).hexdigest()


def event_id_of(number: int) -> str:
    """Under which id the n-th delivery stands in the inbox."""
    return "relay/" + hashlib.blake2b(str(number).encode("ascii"), digest_size=16).hexdigest()


def write_requests(place: Path, count: int, path: str = PATH) -> None:
    """`count` whole HTTP requests, each behind a line with its length: what wrk's script reads."""
    with place.open("wb") as file:
        for number in range(count):
            body = message(number)
            head = (
                f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                f"X-Webhook-Signature: {signature(body)}\r\nContent-Length: {len(body)}\r\n\r\n"
            ).encode("ascii")
            file.write(b"%d\n" % (len(head) + len(body)) + head + body)
