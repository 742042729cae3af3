"""A recurring platform of the tests' own: answers from golden files or made by hand, and a gateway over them."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from vextrus_payments.gateways.bkash.recurring import (
    BkashRecurringConfig,
    BkashRecurringGateway,
    BkashSubscription,
    Frequency,
)
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence
from vextrus_payments.secret import Secret
from vextrus_payments.testing import FakeClock, FakeEntropy, FakeSleeper, ScriptedTransport
from vextrus_payments.testing.scripted import Line
from vextrus_payments.wire import WireResponse

GOLDEN = Path(__file__).parent / "golden"
ROOT = "http://127.0.0.1:28601/gateway"
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
"""18:00 in Dhaka."""
KEY = "YW4gQVBJIGtleSBvZiAyNCBieXRlcyAx"
REQUEST_ID = "agr-01kf0examp1e0000000000000f-1"
SUBSCRIPTION = "105"
PAYMENT = "1931"
TRX = "DC110AAAA1"


def golden(name: str) -> WireResponse:
    """An answer as the papers have it."""
    found = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    raw = found.get("raw") or json.dumps(found["body"])
    return WireResponse(found.get("status", 200), {}, raw.encode("utf-8"))


def answer(body: Any, status: int = 200) -> WireResponse:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode("utf-8")
    return WireResponse(status, {}, raw)


def payment(status: str = "SUCCEEDED_PAYMENT", **changes: Any) -> WireResponse:
    known = {
        "id": 1931,
        "subscriptionId": 105,
        "subscriptionRequestId": REQUEST_ID,
        "dueDate": "2026-03-01",
        "status": status,
        "trxId": TRX,
        "trxTime": "2026-03-01T11:59:50.1",
        "amount": 51,
        "reverseTrxAmount": None,
        "reverseTrxId": None,
        "reverseTrxTime": None,
    }
    return answer({**known, **changes})


def subscription(status: str = "SUCCEEDED", **changes: Any) -> WireResponse:
    known = json.loads(golden("subscription").body)
    return answer({**known, "status": status, **changes})


def refused(code: str, status: int = 400) -> WireResponse:
    return answer({"status": "BAD_REQUEST", "reason": "no", "errorCode": code}, status)


def terms(**changes: Any) -> BkashSubscription:
    known: dict[str, Any] = {
        "amount": Money("51.00"),
        "frequency": Frequency.DAILY,
        "start_date": date(2026, 3, 1),
        "expiry_date": date(2026, 3, 31),
    }
    return BkashSubscription(**{**known, **changes})


def config(**changes: Any) -> BkashRecurringConfig:
    known: dict[str, Any] = {
        "api_key": Secret(KEY),
        "service_id": 100001,
        "api_url": ROOT,
        "callback_url": "https://shop.example/payments/bkash_recurring/return",
    }
    return BkashRecurringConfig(**{**known, **changes})


class Bench:
    """A gateway over a script of answers and failures."""

    def __init__(self, *script: WireResponse | Line, **changes: Any) -> None:
        self.clock = FakeClock(NOW)
        lines = [one if isinstance(one, Line) else Line(response=one) for one in script]
        self.transport = ScriptedTransport(lines)
        self.gateway = BkashRecurringGateway(
            config(**changes),
            transport=self.transport,
            clock=self.clock,
            sleeper=FakeSleeper(self.clock),
            entropy=FakeEntropy(5),
        )
        self.evidence: list[Evidence] = []

    async def keep(self, evidence: Evidence) -> None:
        self.evidence.append(evidence)

    @property
    def sent(self) -> list[tuple[str, str]]:
        return [(s.request.method, s.request.url.removeprefix(ROOT)) for s in self.transport.sends]

    def headers(self, index: int) -> dict[str, str]:
        return dict(self.transport.sends[index].request.headers)

    def body(self, index: int) -> str:
        return self.transport.sends[index].request.body.decode("utf-8")
