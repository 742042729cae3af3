"""What docs/webhooks-mounting.md shows, runs; what it says of health is what health says."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.doors.keeper import health
from vextrus_payments.health import OpenHealth, QueueHealth, WorkerHealth
from vextrus_payments.records import OutboxKind
from vextrus_payments.webhooks import returning
from vextrus_payments.webhooks.doorway import HEADER_BYTES_MAX, HEADERS_MAX, health_reply

PAGE = Path(__file__).parents[2] / "docs" / "webhooks-mounting.md"
TEXT = PAGE.read_text(encoding="utf-8")

PROGRAMS = {
    "shop/app.py": """
from starlette.testclient import TestClient
from shop.app import app, payments
early = TestClient(app)
assert early.get("/payments/health").status_code == 503
with TestClient(app) as client:
    assert client.get("/payments/health").json()["ready"] is True
    assert client.post("/payments/nothing/webhook", content=b"{}").status_code == 404
""",
    "shop/litestar_app.py": """
from litestar.testing import TestClient
from shop.litestar_app import app
with TestClient(app) as client:
    assert client.get("/payments/health").json()["ready"] is True
    assert client.post("/payments/nothing/webhook", content=b"{}").status_code == 404
""",
    "shop/flask_app.py": """
from shop.flask_app import app, payments
client = app.test_client()
assert client.get("/payments/health").json["ready"] is True
assert client.post("/payments/nothing/webhook", data=b"{}").status_code == 404
payments.close()
assert client.get("/payments/health").status_code == 503
""",
    "shop/urls.py": """
import django
from django.conf import settings
settings.configure(SECRET_KEY="none", ROOT_URLCONF="shop.urls", ALLOWED_HOSTS=["testserver"])
django.setup()
from django.test import Client
from shop.flask_app import payments
client = Client(enforce_csrf_checks=True)
assert client.get("/payments/health").json()["ready"] is True
assert client.post("/payments/nothing/webhook", data=b"{}", content_type="application/json").status_code == 404
payments.close()
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_each_file_runs(name: str, tmp_path: Path) -> None:
    needs = {"shop/litestar_app.py": "litestar", "shop/urls.py": "django", "shop/app.py": "fastapi"}
    pytest.importorskip(needs.get(name, "flask"), reason="the framework is not installed")
    written = re.findall(r"```python\n# (\S+\.py)\n(.*?)```", TEXT, re.DOTALL)
    assert {file for file, _ in written} == set(PROGRAMS)
    (tmp_path / "shop").mkdir()
    for file, code in written:
        (tmp_path / file).write_text(code, encoding="utf-8")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("BKASH_", "VEXTRUS_"))}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAMS[name]], cwd=tmp_path, env=clean | {"PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_document_of_health() -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    full = health(
        queues=(QueueHealth(queue=OutboxKind.LEDGER, attended=True, waiting=0, parked=0, oldest_s=None),),
        workers=(WorkerHealth(name="outbox", alive=True, deaths=0),),
        unknown=OpenHealth(count=0, more=False, oldest_s=None),
    )
    assert json.loads(shown) == json.loads(health_reply(full).body)


def test_the_numbers_of_the_page() -> None:
    assert HEADERS_MAX == 100 and "more than 100 headers" in TEXT
    assert HEADER_BYTES_MAX == 64 * 1024 and "64 KiB of them" in TEXT
    assert returning.FORM_MAX_BYTES == 64 * 1024 and "a posted return 64 KiB" in TEXT
    assert returning.WAIT_S == 5 and "five seconds" in TEXT
