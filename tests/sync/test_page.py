"""The files that docs/sync.md shows sell, each under its own framework. (Celery: test_celery.py.)"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.sync.pages import PAGE, environ, written
from tests.sync.world import Sandbox

pytestmark = pytest.mark.slow

DJANGO = """
import json, os, sys
import django
from django.conf import settings
from django.urls import path

settings.configure(
    SECRET_KEY="none", ROOT_URLCONF=sys.modules[__name__], ALLOWED_HOSTS=["testserver"], INSTALLED_APPS=["shop"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["LEDGER_FILE"]}},
)
django.setup()
from django.db import connection
from django.test import Client
from shop import views
from shop.models import JournalLine
from shop.payments import payments

urlpatterns = [
    path("pay/<str:invoice>", views.pay), path("payments/bkash/return", views.bkash_return),
    path("orders/<str:invoice>", views.order),
]
with connection.schema_editor() as editor:
    editor.create_model(JournalLine)
client = Client()
to_page = client.get("/pay/INV-1").url
assert client.get("/pay/INV-1").url == to_page
print(to_page, flush=True)
reference = sys.stdin.readline().strip()
back = client.get("/payments/bkash/return", {"paymentID": reference, "status": "success"}).url
order = client.get("/orders/INV-1").content.decode()
payments.close()
lines = [(line.account, line.side, str(line.amount)) for line in JournalLine.objects.all()]
print(json.dumps([back, order, lines]), flush=True)
"""

FLASK = """
import json, sys
from flask_shop import app, payments
client = app.test_client()
print(client.post("/pay/INV-1").location, flush=True)
reference = sys.stdin.readline().strip()
back = client.get("/payments/bkash/return", query_string={"paymentID": reference, "status": "success"}).location
payments.close()
print(json.dumps([back]), flush=True)
"""


def run(sandbox: Sandbox, folder: Path, program: str) -> Any:
    """The program's answer. It prints the checkout page, is told the reference once the payer approved, answers."""
    process = subprocess.Popen(
        [sys.executable, "-c", program], env=environ(sandbox, folder), text=True, encoding="utf-8",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    with process:
        try:
            assert process.stdout.readline().startswith("http"), process.communicate()[1]
            world = sandbox.server.world.gateways["bkash"]
            (reference,) = [
                row["reference"] for row in sandbox.ask(sandbox.server.world.as_books)["payments"]
            ]
            sandbox.ask(lambda: world.approve(reference, "success", None))
            answer, complaints = process.communicate(reference + "\n", timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, complaints
    assert "Traceback" not in complaints, complaints
    return json.loads(answer)


def test_the_script(sandbox: Sandbox, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "sell.py"], cwd=written(tmp_path), env=environ(sandbox, tmp_path), capture_output=True,
        text=True, encoding="utf-8", timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    payment_id, url = done.stdout.split()
    assert payment_id.startswith("pay_") and url.startswith(sandbox.server.url)


def test_django(sandbox: Sandbox, tmp_path: Path) -> None:
    pytest.importorskip("django", reason="Django is not installed")
    back, order, lines = run(sandbox, written(tmp_path, django=True), DJANGO)
    assert back == "https://shop.example/orders/INV-1"
    assert order.startswith("Paid: ")
    assert [(side, amount) for _, side, amount in lines] == [("debit", "1250.50"), ("credit", "1250.50")]
    assert sandbox.calls("execute") == 1


def test_flask(sandbox: Sandbox, tmp_path: Path) -> None:
    pytest.importorskip("flask", reason="Flask is not installed")
    (back,) = run(sandbox, written(tmp_path), FLASK)
    assert back == "https://shop.example/orders/INV-1"
    assert sandbox.calls("execute") == 1
    assert len((tmp_path / "ledger.txt").read_text().splitlines()) == 1


def test_every_file_of_the_page_compiles(tmp_path: Path) -> None:
    names = sorted(file.relative_to(tmp_path).as_posix() for file in written(tmp_path).rglob("*.py"))
    assert "gunicorn.conf.py" in names and "shop/tasks.py" in names
    for name in names:
        compile((tmp_path / name).read_text(encoding="utf-8"), name, "exec")
    assert PAGE.read_text(encoding="utf-8").count("```python") == len(names) - 1  # and shop/__init__.py
