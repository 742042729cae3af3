"""The measuring process of RECONCILE: unknown payments in a SQLite store, and the sandbox that knows how they ended."""

import asyncio
import json
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

Found = dict[str, Any]


def sweep(told: dict[str, Any], groups: int, callers: int, base_calls: int) -> Found:
    """Reconcile every payment of the sandbox, in so many groups, with bare httpx queries in between."""
    return asyncio.run(_sweep(told, groups, callers, base_calls))


async def _sweep(told: dict[str, Any], groups: int, callers: int, base_calls: int) -> Found:
    from vextrus_payments import Payments
    from vextrus_payments.gateways.bkash import BkashConfig
    from vextrus_payments.observe import NullObserver
    from vextrus_payments.reconcile import ReconcileLimits
    from vextrus_payments.secret import Secret

    given = told["gateways"]["bkash"]
    config = BkashConfig(
        api_url=given["base_url"],
        **{name: Secret(given[name]) for name in ("app_key", "app_secret", "username", "password")},
    )
    lines = Path(told["payments"]).read_text(encoding="utf-8").splitlines()
    payments_there = [json.loads(line) for line in lines]
    size = len(payments_there) // groups
    found: Found = {"looked_at": 0, "paid": 0, "ours": [], "base": [], "wall_s": [], "rss_kib": []}
    with tempfile.TemporaryDirectory() as folder:
        payments = Payments(
            store=f"sqlite:///{folder}/payments.db",
            gateways={"bkash": config},
            workers=False,
            observer=NullObserver(),
            reconcile_limits=ReconcileLimits(
                at_once=callers, at_once_per_gateway=callers, held=4 * callers, batch=2 * callers
            ),
        )
        async with payments:
            gateway = await payments.gateway_of("default", "bkash")
            headers = await _headers(gateway)
            await _base(config.api_url, headers, payments_there[:base_calls], callers)  # warms the sandbox
            for number in range(groups):
                group = payments_there[number * size : (number + 1) * size]
                await seeded(payments.store, group)
                found["base"].append(await _base(config.api_url, headers, group[:base_calls], callers))
                at, cpu = time.perf_counter(), time.process_time_ns()
                report = await payments.reconcile_due()
                spent = time.process_time_ns() - cpu
                found["ours"].append(spent / max(1, report.looked_at) / 1000)
                found["wall_s"].append(time.perf_counter() - at)
                found["rss_kib"].append(_rss_kib())
                found["looked_at"] += report.looked_at
                found["paid"] += report.changed
            found["entries"] = await _entries(payments.store)
    return found


async def _headers(gateway: Any) -> dict[str, str]:
    from vextrus_payments.wire import CallContext

    return dict((await gateway.authorize(CallContext())).headers)


async def _base(api_url: str, headers: dict[str, str], group: list[Any], callers: int) -> float:
    """CPU µs per query of a bare httpx client that does not even parse the answer."""
    limits = httpx.Limits(max_connections=callers, max_keepalive_connections=callers)
    async with httpx.AsyncClient(trust_env=False, timeout=30, limits=limits) as client:
        url = f"{api_url}/tokenized/checkout/payment/status"
        todo = iter([row[0] for row in group])

        async def caller() -> None:
            for payment_id in todo:
                answer = await client.post(url, json={"paymentID": payment_id}, headers=headers)
                if answer.status_code != 200:
                    raise RuntimeError(f"the sandbox answered {answer.status_code}")

        cpu = time.process_time_ns()
        await asyncio.gather(*(caller() for _ in range(callers)))
        return (time.process_time_ns() - cpu) / len(group) / 1000


async def seeded(store: Any, group: list[Any], *, is_due: bool = True) -> None:
    """Payments as a crash in mid-execute leaves them: the money is there, and nobody here knows.

    `is_due`: the reconciler is to look at them now, and not in a day.
    """
    from vextrus_payments.mode import Mode
    from vextrus_payments.money import Money
    from vextrus_payments.payment import Intent
    from vextrus_payments.plans import Plan
    from vextrus_payments.records import (
        Operation,
        OperationKind,
        OperationState,
        Payment,
        PaymentState,
        SubjectKind,
        Submission,
        SubmissionState,
    )

    then = store.now() - timedelta(minutes=10)

    def plan(payment_ref: str, invoice: str, amount: str) -> Plan:
        payment_id = f"pay_{invoice}"
        mine: dict[str, Any] = {"tenant": "default", "payment_id": payment_id}
        place: dict[str, Any] = {"gateway": "bkash", "mode": Mode.SANDBOX}
        money = Money(amount, "BDT")
        return Plan(
            payment=Payment(
                **mine,
                **place,
                merchant_reference=invoice,
                amount=money,
                intent=Intent.SALE,
                state=PaymentState.AWAITING_PAYER,
                created_at=then,
                updated_at=then,
                version=1,
            ),
            expected_version=0,
            submissions=(
                Submission(
                    **mine,
                    **place,
                    submission_no=1,
                    gateway_order_id=invoice,
                    state=SubmissionState.OPEN,
                    created_at=then,
                    gateway_reference=payment_ref,
                    expires_at=then + timedelta(days=1),
                ),
            ),
            operations=(
                Operation(
                    **mine,
                    operation_id=f"execute/{payment_id}/1",
                    kind=OperationKind.EXECUTE,
                    subject_kind=SubjectKind.PAYMENT,
                    subject_id=payment_id,
                    submission_no=1,
                    digest="seeded",
                    state=OperationState.UNKNOWN,
                    created_at=then,
                    updated_at=then,
                    fence=1,
                    amount=money,
                    send_by=then + timedelta(seconds=20),
                ),
            ),
            watch_at=then + timedelta(seconds=20) if is_due else then + timedelta(days=1),
        )

    for start in range(0, len(group), 500):
        await asyncio.gather(*(store.commit(plan(*row[:3])) for row in group[start : start + 500]))


async def _entries(store: Any) -> int:
    from vextrus_payments.records import OutboxKind

    return int((await store.backlog(OutboxKind.LEDGER)).waiting)


def _rss_kib() -> int:
    """What the process holds now, in KiB."""
    import resource

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() // 1024


if __name__ == "__main__":
    import sys

    from bench import machine

    if len(machine.cpus()) > 1:
        machine.pin(0, machine.cpus()[:-1])
    print(json.dumps(sweep(**json.loads(sys.argv[1]))))
