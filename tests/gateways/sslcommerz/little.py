"""A little SSLCommerz for the engine's tests: sessions, attempts, refunds; apart from the sandbox."""

import itertools
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from tests.gateways.sslcommerz.hand import NOW, PASSWORD, ROOT, STORE, notified, posted, row, sign, unpaid
from vextrus_payments import LedgerEntry, PaymentEvent, Payments
from vextrus_payments.gateways.sslcommerz import SslcommerzConfig
from vextrus_payments.secret import Secret
from vextrus_payments.testing import FakeClock, FakeEntropy, FakeSleeper, ScriptedTransport
from vextrus_payments.testing.scripted import Line, answer, lost
from vextrus_payments.wire import WireRequest


@dataclass
class Little:
    """Answers every request out of `attempts` and `refunds`; of the operations in `lose` the answers get lost."""

    forms: list[dict[str, str]] = field(default_factory=list)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    refunds: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    lose: set[str] = field(default_factory=set)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def __call__(self, request: WireRequest) -> Line:
        parts = urlsplit(request.url)
        said = dict(parse_qsl(parts.query or request.body.decode("ascii"), keep_blank_values=True))
        operation, body = self._answer(parts.path, said)
        self.asked.append(operation)
        return lost(effect=True) if operation in self.lose else answer(200, json.dumps(body))

    def calls(self, operation: str) -> int:
        return self.asked.count(operation)

    def pay(self, index: int = -1, status: str = "VALID", **changes: Any) -> dict[str, Any]:
        """The payer of a session tries once more; the attempt."""
        form, number = self.forms[index], next(self._numbers)
        own = {
            "tran_id": form["tran_id"],
            "amount": form["total_amount"],
            "currency_amount": form["total_amount"],
            "value_d": form["value_d"],
            "tran_date": f"2026-11-23 10:15:{number:02d}",
        }
        if status == "VALID":
            ids = {"val_id": f"val{number}", "bank_tran_id": f"bank{number}"}
            made = row(**{**own, **ids, "store_amount": form["total_amount"], **changes})
        else:
            made = unpaid(status, **{**own, **changes})
        self.attempts.append(made)
        return made

    def notification(self, attempt: dict[str, Any]) -> dict[str, str]:
        """What is posted of an attempt, signed."""
        told = {name: str(value) for name, value in attempt.items() if name != "status"}
        known = notified(str(attempt["status"]), **told)
        if attempt["status"] != "VALID":
            for name in ("val_id", "store_amount", "risk_level", "risk_title"):
                known.pop(name, None)
        return sign({**known, "store_id": STORE})

    def _answer(self, path: str, said: dict[str, str]) -> tuple[str, dict[str, Any]]:
        if path.endswith("/api.php"):
            self.forms.append(said)
            page = f"https://sandbox.sslcommerz.com/EasyCheckOut/testcde{len(self.forms)}"
            return "session", {"status": "SUCCESS", "sessionkey": "0" * 32, "GatewayPageURL": page}
        if path.endswith("/validationserverAPI.php"):
            found = [one for one in self.attempts if one["val_id"] == said["val_id"]]
            return "validate", {
                **(found[0] if found else {"status": "INVALID_TRANSACTION"}),
                "APIConnect": "DONE",
            }
        if "refund_amount" in said:
            number = f"ref{len(self.refunds) + 1}"
            self.refunds[number] = {"status": "processing", "bank_tran_id": said["bank_tran_id"]}
            done = {"APIConnect": "DONE", "status": "success", "bank_tran_id": said["bank_tran_id"]}
            return "refund", {**done, "refund_ref_id": number}
        if "refund_ref_id" in said:
            known = self.refunds.get(
                said["refund_ref_id"], {"status": "failed", "errorReason": "Unknown Refund Ref ID"}
            )
            times = {"refunded_on": "0000-00-00 00:00:00"}
            return "refund_query", {
                "APIConnect": "DONE",
                "refund_ref_id": said["refund_ref_id"],
                **times,
                **known,
            }
        found = [one for one in self.attempts if one["tran_id"] == said["tran_id"]]
        rows = found or [{"tran_id": said["tran_id"], "status": "INVALID"}]
        return "query", {"APIConnect": "DONE", "no_of_trans_found": len(found), "element": rows}


def little_config() -> SslcommerzConfig:
    """The store at a little SSLCommerz."""
    return SslcommerzConfig(store_id=STORE, store_password=Secret(PASSWORD), api_url=ROOT)


def payments_over(little: Little, clock: FakeClock, **changes: Any) -> Payments:
    """A whole `Payments` whose SSLCommerz is this little one; nothing of it is real but the code."""
    known: dict[str, Any] = {
        "store": "memory://",
        "public_url": "https://shop.example/payments",
        "workers": False,
        "transport": ScriptedTransport(then=little, clock=clock),
        "clock": clock,
        "sleeper": FakeSleeper(clock),
        "entropy": FakeEntropy(11),
    }
    if "credentials" not in changes:
        known["gateways"] = {"sslcommerz": little_config()}
    return Payments(**{**known, **changes})


class Stall:
    """One Payments over a little SSLCommerz: its doors, its ledger and its news."""

    def __init__(self, **changes: Any) -> None:
        self.little, self.clock = Little(), FakeClock(NOW)
        self.entries: list[LedgerEntry] = []
        self.events: list[PaymentEvent] = []
        self.payments = payments_over(
            self.little, self.clock, ledger=self._entry, on_event=self._event, **changes
        )

    async def _entry(self, entry: LedgerEntry) -> None:
        self.entries.append(entry)

    async def _event(self, event: PaymentEvent) -> None:
        self.events.append(event)

    async def knock(self, address: str, fields: dict[str, str]) -> httpx.Response:
        """A form posted at one of our doors, as SSLCommerz or a browser does it."""
        transport = httpx.ASGITransport(self.payments.asgi())
        async with httpx.AsyncClient(transport=transport, base_url="https://shop.example") as client:
            kind = {"content-type": "application/x-www-form-urlencoded"}
            return await client.post(address, content=posted(fields), headers=kind)
