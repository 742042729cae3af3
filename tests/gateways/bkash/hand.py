"""Drives a protocol generator by hand: no driver, no transport, no clock."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vextrus_payments.errors import (
    AnswerLostError,
    AnswerTimeoutError,
    Effect,
    NotSentError,
    PaymentsError,
    StorageError,
    UnreadableAnswerError,
)
from vextrus_payments.gateways.bkash.steps import Api
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import ExecuteCall, RefundCall, StatusCall
from vextrus_payments.wire import Checkpoint, Safety, Send, Sent, WireCall, WireResponse, effect_of

GOLDEN = Path(__file__).parent / "golden"
ROOT = "https://bkash.test/v1.2.0-beta"
API = Api(ROOT, Mode.SANDBOX)
PAYMENT_ID = "TR0011aB3dE5f1766000000123"
TRX_ID = "CLH30AB1CD"
NO_IDS = ("CLH\x1b[2J\nPAID", "\u202eCLH30", "CLH 30", "\u09e6\u09e7", "A" * 256)
"""Texts that no id of bKash can be."""
AMOUNT = Money("15", "BDT")
CALL = ExecuteCall(gateway_reference=PAYMENT_ID, gateway_order_id="INV-1", amount=AMOUNT)
STATUS = StatusCall(gateway_reference=PAYMENT_ID, gateway_order_id="INV-1", amount=AMOUNT)
REFUND = RefundCall(
    operation_id="r-1",
    gateway_reference=PAYMENT_ID,
    transaction_id=TRX_ID,
    amount=Money("5", "BDT"),
    reason="returned",
    sku="sku-1",
)

Answer = WireResponse | type[PaymentsError] | PaymentsError


def answer(body: Any, status: int = 200) -> WireResponse:
    return WireResponse(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())


def golden(name: str, **changes: Any) -> WireResponse:
    """A transcribed answer, with some fields changed; None removes a field."""
    document = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    body = {key: value for key, value in {**document["body"], **changes}.items() if value is not None}
    return answer(body, document["http_status"])


def code(number: str) -> WireResponse:
    return answer({"statusCode": number, "statusMessage": f"bKash says {number}"})


@dataclass
class Played:
    """What a generator did, and how it ended."""

    result: Any = None
    error: PaymentsError | None = None
    sends: list[Send] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    order: list[str] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return [send.request.url.removeprefix("https://bkash.test") for send in self.sends]

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(send.request.body) for send in self.sends]

    @property
    def raised(self) -> PaymentsError:
        assert self.error is not None, f"it returned {self.result!r}"
        assert self.error.__context__ is None and self.error.__cause__ is None
        return self.error


def play(call: WireCall[Any], *answers: Answer, at_checkpoint: PaymentsError | None = None) -> Played:
    """Run to the end; each Send takes the next answer, an error class being thrown as the driver would."""
    played, script = Played(), list(answers)
    back: WireResponse | None = None
    thrown: PaymentsError | None = None
    while True:
        try:
            step = call.send(back) if thrown is None else call.throw(thrown)
        except StopIteration as end:
            played.result = end.value
            assert not script, f"{len(script)} answers were not asked for"
            return played
        except PaymentsError as error:
            played.error = error
            assert not script, f"{len(script)} answers were not asked for"
            return played
        back = thrown = None
        if isinstance(step, Checkpoint):
            played.checkpoints.append(step)
            played.order.append("checkpoint")
            thrown = at_checkpoint
            continue
        played.sends.append(step)
        played.order.append(step.name)
        assert script, f"nobody foresaw {step.name} after {played.order[:-1]}"
        found = script.pop(0)
        if isinstance(found, WireResponse):
            back = found
        elif isinstance(found, PaymentsError):
            thrown = found
        else:
            thrown = failure(found, step.safety)


def failure(kind: type[PaymentsError], safety: Safety) -> PaymentsError:
    """A failure without an answer, as transport and driver make it."""
    if kind in (AnswerTimeoutError, AnswerLostError, UnreadableAnswerError):
        return kind("No answer.", effect=effect_of(Sent.MAYBE, safety, None))
    if kind is NotSentError:
        return NotSentError("Not sent.")
    if kind is StorageError:
        return StorageError("The token store is away.")
    return kind("x.", effect=Effect.NONE)
