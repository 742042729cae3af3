"""A sandbox in a process of its own with payments that were executed: `python -m bench.sandbox_of_many COUNT`.

Prints one JSON line, `{"url", "pid", "gateways", "payments": PATH}`; PATH holds one line per payment,
`[paymentID, invoice, amount, trxID]`. It serves until its stdin is closed.
"""

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

from vextrus_payments_sandbox.bkash.records import Rules
from vextrus_payments_sandbox.serve import SandboxServer


def _filled(server: SandboxServer, count: int, place: Path) -> None:
    """Create and execute them by the sandbox's own rules, without HTTP: what came before is not what is measured."""
    gateway = server.world.gateways["bkash"]
    with place.open("w", encoding="utf-8") as file:
        for number in range(count):
            amount, invoice = f"{1 + number % 400}.{number % 100:02}", f"MANY-{number}"
            payment = gateway.rules.create(
                gateway.merchant,
                {
                    "mode": "0011",
                    "payerReference": "many",
                    "callbackURL": "https://shop.example/back",
                    "amount": amount,
                    "currency": "BDT",
                    "intent": "sale",
                    "merchantInvoiceNumber": invoice,
                },
            )
            wallet = ("01770618575", "01929918378", "01770618576", "01877722345")[number % 4]
            gateway.approve(payment.payment_id, "success", wallet)
            made = gateway.rules.execute(gateway.merchant, payment.payment_id)
            file.write(json.dumps([payment.payment_id, invoice, amount, made.trx_id]) + "\n")


async def _serve(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with SandboxServer(seed=1, bkash=Rules(duplicate_window_s=0)) as server:
            place = Path(folder) / "payments.jsonl"
            _filled(server, count, place)
            server.world.catch_up(count)  # as it would have done with each call over HTTP
            told = {**server.info, "pid": os.getpid(), "payments": str(place)}
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
