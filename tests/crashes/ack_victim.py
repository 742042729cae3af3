"""A shop's web process that takes webhooks until it is killed: real doors on a real socket, workers at their work.

`python -m tests.crashes.ack_victim '{"store": ..., "told": ...}'` writes one line with its port and serves; with
`"drain": true` it serves nobody and applies what is left, then ends.
"""

import asyncio
import faulthandler
import json
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn

from tests.unit.toy import ToyConfig, ToyServer
from tests.webhooks.world import ADAPTER
from vextrus_payments import PaymentEvent, Payments
from vextrus_payments.observe import NullObserver
from vextrus_payments.outbox import OutboxLimits
from vextrus_payments.records import OutboxKind
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import open_store
from vextrus_payments.webhooks.inbox_limits import InboxLimits

#: Short, so that what a dead process held is soon taken up.
LEASE_S = 1


#: So many kept rows are left waiting while the doors take more: a batch is leased only when there are more than these.
BEHIND = 400


class BehindStore:
    """A store whose inbox is always behind its doors, as under a load greater than the machine: whenever it dies, there
    are rows that wait and rows in hand, however fast the machine is."""

    def __init__(self, inner: PaymentStore) -> None:
        self._inner = inner
        self._waiting = 0
        self._enough = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def open(self) -> None:
        """Count what a dead process left, too."""
        await self._inner.open()
        self._waiting = (await self._inner.inbox_backlog()).waiting

    async def accept_events(self, events: Any) -> tuple[bool, ...]:
        """Keep them, and count what is new."""
        kept = await self._inner.accept_events(events)
        self._waiting += sum(kept)
        if self._waiting > BEHIND:
            self._enough.set()
        return kept

    async def lease_events(self, *, limit: int, lease_s: int) -> Any:
        """Once enough wait."""
        if self._waiting <= BEHIND:
            self._enough.clear()
            await self._enough.wait()
        leased: Any = await self._inner.lease_events(limit=min(limit, BEHIND), lease_s=lease_s)
        self._waiting -= len(leased)
        return leased


class EarlyStore:
    """A planted bug: it says that news is kept before it is."""

    def __init__(self, inner: PaymentStore) -> None:
        self._inner = inner
        self._late: set[asyncio.Task[Any]] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def accept_events(self, events: Any) -> tuple[bool, ...]:
        """Keep them later."""
        task = asyncio.create_task(self._later(list(events)))
        self._late.add(task)
        task.add_done_callback(self._late.discard)
        return tuple(True for _ in events)

    async def _later(self, events: Any) -> None:
        await asyncio.sleep(0.05)
        await self._inner.accept_events(events)


def made(job: dict[str, Any]) -> Payments:
    """The shop."""
    told = Path(job["told"]).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115 - it ends with the process

    async def listen(event: PaymentEvent) -> None:
        told.write(f"{event.id} {event.kind.value} {event.metadata.get('inbox_event_id')}\n")

    store: Any = open_store(job["store"])
    if job.get("behind"):
        store = BehindStore(store)
    return Payments(
        store=EarlyStore(store) if job.get("plant") == "early" else store,
        on_event=listen,
        gateways={"toy": ToyConfig(mode="sandbox")},
        adapters={"toy": ADAPTER},
        transport=ToyServer(),
        observer=NullObserver(),
        inbox_limits=InboxLimits(lease_s=LEASE_S, poll_s=0.05, longest_pause_s=1),
        outbox_limits=OutboxLimits(
            callback_timeout_s=0.3, grace_s=0.1, lease_s=LEASE_S, poll_s=0.05, at_once=200
        ),
    )


async def serve(payments: Payments) -> None:
    """Take webhooks until killed."""
    async with payments:
        listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        config = uvicorn.Config(
            payments.asgi(),
            http="httptools",
            loop="asyncio",
            log_config=None,
            access_log=False,
            lifespan="off",
        )
        server = uvicorn.Server(config)
        sys.stdout.write(json.dumps({"port": listening.getsockname()[1]}) + "\n")
        sys.stdout.flush()
        await server.serve(sockets=[listening])


async def drain(payments: Payments) -> None:
    """Apply everything that is left and hand it over."""
    async with payments, asyncio.timeout(100):
        store = payments.store
        while await store.next_event_at() is not None or (await store.backlog(OutboxKind.EVENT)).waiting:
            await asyncio.sleep(0.05)


def main() -> None:
    """Be it. Asked by SIGUSR1, it says where it stands."""
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    job = json.loads(sys.argv[1])
    payments = made(job)
    asyncio.run(drain(payments) if job.get("drain") else serve(payments))


if __name__ == "__main__":
    main()
