"""One of several processes that pay out: `python -m tests.flows.payout_process JSON`.

Opens the store, says "ready", waits for a line, does all of its job at once, delivers, and prints what came of it. With
`"dies_at"` it ends by kill -9 at the first request to that path, before a byte of it left, or once its answer is here.
"""

import asyncio
import json
import os
import signal
import sys
from datetime import datetime
from typing import Any

from vextrus_payments import LedgerEntry, Money, PaymentEvent, Payments, PaymentsError, PayoutRequest
from vextrus_payments.gateways.bkash import BkashConfig
from vextrus_payments.testing import FakeClock, FakeSleeper
from vextrus_payments.transport import HttpxTransport, Transport
from vextrus_payments.wire import Safety, SendBy, WireRequest, WireResponse

RECEIVER = "01770618575"


class DyingTransport(Transport):
    """A transport whose process is killed at a request: before it leaves, or after its answer."""

    def __init__(self, real: Transport, path: str, *, answered: bool) -> None:
        self._real, self._path, self._answered = real, path, answered

    async def send(
        self, request: WireRequest, *, safety: Safety, timeout_s: float, send_by: SendBy | None = None
    ) -> WireResponse:
        here = request.url.endswith(self._path)
        if here and not self._answered:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = await self._real.send(request, safety=safety, timeout_s=timeout_s, send_by=send_by)
        if here:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    async def aclose(self) -> None:
        await self._real.aclose()


async def call(payments: Payments, name: str, *arguments: str) -> str:
    """The class of the outcome or of the error of one call."""
    try:
        match name:
            case "payout":
                operation_id, amount = arguments
                outcome: object = await payments.payout(
                    PayoutRequest(
                        operation_id=operation_id,
                        gateway="bkash",
                        amount=Money(amount),
                        receiver=RECEIVER,
                        reference="salary of March",
                    )
                )
            case "payout_status":
                outcome = await payments.payout_status(*arguments)
            case "reconcile":
                outcome = await payments.reconcile_due()
            case _:
                raise ValueError(name)
    except PaymentsError as error:
        return type(error).__name__
    return type(outcome).__name__


async def main(job: dict[str, Any]) -> None:
    """Be one process."""
    entries: list[str] = []
    events: list[str] = []

    async def ledger(entry: LedgerEntry) -> None:
        entries.append(entry.id)

    async def announce(event: PaymentEvent) -> None:
        events.append(f"{event.kind.value} {event.id}")

    more: dict[str, Any] = {}
    if "now" in job:
        clock = FakeClock(datetime.fromisoformat(job["now"]))
        more = {"clock": clock, "sleeper": FakeSleeper(clock)}
    if "dies_at" in job:
        path, answered = job["dies_at"]
        more["transport"] = DyingTransport(HttpxTransport(), path, answered=answered)
    config = BkashConfig.from_env(job["environ"])
    async with Payments(
        store=job["store"],
        gateways={"bkash": config},
        ledger=ledger,
        on_event=announce,
        workers=False,
        **more,
    ) as payments:
        await payments.list_payouts()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        outcomes = await asyncio.gather(*(call(payments, *wanted) for wanted in job["calls"]))
        while await payments.deliver():
            pass
        print(json.dumps({"outcomes": outcomes, "entries": entries, "events": events}))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
