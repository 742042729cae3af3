"""A shop's Celery application: `Payments` is made in the parent, opened in each prefork child, used by its tasks."""

import os
from typing import Any

from celery import Celery
from celery.signals import worker_process_init, worker_process_shutdown

from vextrus_payments import LedgerEntry
from vextrus_payments.sync import Payments

FOLDER = os.environ["SHOP_FOLDER"]

app = Celery("shop", broker=os.environ["SHOP_BROKER"], backend=f"file://{FOLDER}/results")
app.conf.update(
    broker_transport_options=(
        {
            "data_folder_in": f"{FOLDER}/queue",
            "data_folder_out": f"{FOLDER}/queue",
            "control_folder": f"{FOLDER}/control",
            "polling_interval": 0.05,
        }
        if os.environ["SHOP_BROKER"].startswith("filesystem")
        else {}
    ),
    worker_prefetch_multiplier=1,
    task_acks_late=True,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)


def post_to_ledger(entry: LedgerEntry) -> None:
    """One line per hand-over, whole or not at all."""
    with open(f"{FOLDER}/ledger.txt", "a") as file:
        file.write(f"{entry.id} {os.getpid()}\n")


payments = Payments(
    store=os.environ["SHOP_STORE"], ledger=post_to_ledger, public_url="https://shop.example/payments"
)


@worker_process_init.connect
def open_payments(**_: Any) -> None:
    """After the fork, in the child: a loop, a store and an outbox worker of its own."""
    payments.open()


@worker_process_shutdown.connect
def close_payments(**_: Any) -> None:
    """Celery's children end without the interpreter's usual end."""
    payments.close()


@app.task  # type: ignore[untyped-decorator]
def complete(payment_id: str) -> dict[str, Any]:
    """What a return, a webhook and a cron job may all ask for at once."""
    outcome = payments.execute(payment_id)
    return {"outcome": type(outcome).__name__, "transaction_id": getattr(outcome, "transaction_id", None),
            "pid": os.getpid()}  # fmt: skip
