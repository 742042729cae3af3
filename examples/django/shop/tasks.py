"""The Celery side: one periodic task does what Payments' own workers would do in each process.

    celery -A shop.tasks worker --beat

Any number of workers may run it, at the same time: each row and each payment is taken by one of them.
"""

import os

import django
from celery import Celery
from celery.signals import worker_process_init, worker_process_shutdown

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
django.setup()

from shop.payments import payments  # noqa: E402 - needs the settings

app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True
app.conf.beat_schedule = {
    "look-after-payments": {
        "task": "shop.tasks.look_after_payments",
        "schedule": float(os.environ.get("SHOP_EVERY_S", "5")),
        "options": {"expires": 60},  # a queue of them is of no use
    }
}


@worker_process_init.connect
def open_payments(**_: object) -> None:
    payments.open()  # in each child, after the fork


@worker_process_shutdown.connect
def close_payments(**_: object) -> None:
    payments.close()  # Celery ends its children without the interpreter's own end


@app.task(acks_late=True)
def look_after_payments() -> None:
    """Apply what webhooks have brought, ask about what is open, hand over entries and news. Safe to run twice."""
    payments.process_inbox()
    payments.reconcile_due()
    payments.deliver()
