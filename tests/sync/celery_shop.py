"""The Celery application of docs/sync.md, with this test's broker: `celery -A tests.sync.celery_shop worker`."""

import os

from shop.tasks import app, complete  # written from the page

FOLDER = os.environ["SHOP_FOLDER"]

app.conf.update(
    broker_url=os.environ["SHOP_BROKER"],
    result_backend=f"file://{FOLDER}/results",
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
    broker_connection_retry_on_startup=True,
)

__all__ = ["app", "complete"]
