"""Several real processes on one SQLite file: one execute on the wire, one entry, one token."""

import asyncio
import json
import sys
from pathlib import Path

from tests.flows.shop import bkash_config
from vextrus_payments import Money, Paid, PaymentRequest, Payments
from vextrus_payments_sandbox.serve import SandboxServer

WORKER = """
import asyncio, json, sys
from vextrus_payments import Payments, RefundRequest, Money
from vextrus_payments.gateways.bkash import BkashConfig

async def main():
    store, environ, payment_id, name = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3], sys.argv[4]
    entries = []
    async def ledger(entry):
        entries.append(entry.id)
    config = BkashConfig.from_env(environ)
    async with Payments(store=store, gateways={"bkash": config}, ledger=ledger, workers=False) as payments:
        sys.stdin.readline()
        outcomes = await asyncio.gather(*(payments.execute(payment_id) for _ in range(5)))
        refunds = await asyncio.gather(*(
            payments.refund(RefundRequest(operation_id=f"{name}/{n}", payment_id=payment_id, amount=Money("30")))
            for n in range(2)), return_exceptions=True)
        for _ in range(3):
            await payments.deliver()
        print(json.dumps({
            "outcomes": [type(o).__name__ for o in outcomes],
            "refunds": [type(r).__name__ for r in refunds],
            "entries": entries,
        }))

asyncio.run(main())
"""


async def test_four_processes_execute_once_and_refund_no_more_than_came_in(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'shop.db'}"
    async with SandboxServer(seed=1) as server:
        config = bkash_config(server)
        given = server.info["gateways"]["bkash"]
        environ = {"BKASH_MODE": "sandbox", "BKASH_API_URL": given["base_url"]}
        environ |= {f"BKASH_{k.upper()}": given[k] for k in ("app_key", "app_secret", "username", "password")}
        async with Payments(
            store=store, gateways={"bkash": config}, workers=False, public_url="https://shop.example/p"
        ) as payments:
            session = await payments.initialize(
                PaymentRequest(
                    operation_id="INV-1/pay", gateway="bkash", amount=Money("100"), merchant_reference="INV-1"
                )
            )
        server.world.gateways["bkash"].approve(session.gateway_reference, "success", None)
        workers = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", WORKER, store, json.dumps(environ), session.payment_id, f"w{n}",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )
            for n in range(4)
        ]  # fmt: skip
        results = await asyncio.gather(*(worker.communicate(b"go\n") for worker in workers))
        errors = b"".join(stderr for _, stderr in results).decode()
        assert [worker.returncode for worker in workers] == [0, 0, 0, 0], errors
        reports = [json.loads(stdout) for stdout, _ in results]
        calls = [c["operation"] for c in server.world.wire.as_json()]
        moved = [c["operation"] for c in server.world.wire.as_json() if c["moved_money"]]
    assert [o for r in reports for o in r["outcomes"]] == [Paid.__name__] * 20
    assert calls.count("execute") == 1
    assert calls.count("grant") == 1
    assert moved.count("refund") <= 3
    refunds = [kind for r in reports for kind in r["refunds"]]
    assert refunds.count("Refunded") == moved.count("refund") >= 1
    assert set(refunds) <= {"Refunded", "Pending", "AmountError"}
    # Each fact's entry was handed over, and whoever took it twice would know it by its id.
    assert len({entry for r in reports for entry in r["entries"]}) == 1 + moved.count("refund")
