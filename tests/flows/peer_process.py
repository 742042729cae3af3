"""One of several processes of one shop: `python -m tests.flows.peer_process JSON`.

Opens the store, reads what there is (and so holds a picture that the others make stale), says "ready", waits for a
line, makes all its calls at once, delivers, and prints what came of them.
"""

import asyncio
import json
import sys
from typing import Any

from vextrus_payments import LedgerEntry, Money, Payments, PaymentsError, RefundRequest
from vextrus_payments.gateways.bkash import BkashConfig


async def call(payments: Payments, name: str, *arguments: str) -> str:
    """The class of the outcome or of the error of one call."""
    try:
        match name:
            case "execute" | "status" | "capture" | "void":
                outcome: object = await getattr(payments, name)(*arguments)
            case "return":
                params = {"paymentID": arguments[0], "status": "success"}
                outcome = (await payments.handle_return("bkash", params, wait_s=30)).outcome
            case "refund":
                operation_id, payment_id, amount = arguments
                outcome = await payments.refund(
                    RefundRequest(
                        operation_id=operation_id, payment_id=payment_id, amount=Money(amount, "BDT")
                    )
                )
            case _:
                raise ValueError(name)
    except PaymentsError as error:
        return type(error).__name__
    return type(outcome).__name__


async def main(job: dict[str, Any]) -> None:
    """Be one process."""
    entries: list[str] = []

    async def ledger(entry: LedgerEntry) -> None:
        entries.append(entry.id)

    config = BkashConfig.from_env(job["environ"])
    async with Payments(
        store=job["store"], gateways={"bkash": config}, ledger=ledger, workers=False
    ) as payments:
        await payments.get(job["payment_id"])
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        outcomes = await asyncio.gather(*(call(payments, *wanted) for wanted in job["calls"]))
        while await payments.deliver():
            pass
        print(json.dumps({"outcomes": outcomes, "entries": entries}))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
