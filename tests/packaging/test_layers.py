"""The import contracts bite: a planted import breaks each of them, and the tree as it is breaks none."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.packaging.distribution import ROOT

pytestmark = pytest.mark.slow

# contract id -> {file: line to plant}
PLANTED = {
    "layers": {"src/vextrus_payments/mode.py": "if TYPE_CHECKING:\n    import vextrus_payments.engine"},
    "gateways": {"src/vextrus_payments/gateways/base.py": "import vextrus_payments.gateways.bkash.models"},
    "recording": {"src/vextrus_payments/recording/drafting.py": "import vextrus_payments.recording.holds"},
    "stores": {"src/vextrus_payments/stores/memory/store.py": "import vextrus_payments.stores.sqlite.store"},
    "verifiers": {"src/vextrus_payments/verifiers/sns.py": "import vextrus_payments.verifiers.relay"},
    "backends": {"src/vextrus_payments/tokens/memory.py": "import vextrus_payments.tokens.file"},
    "circles": {
        "src/vextrus_payments/gateways/bkash/errors.py": "import vextrus_payments.gateways.bkash.planted",
        "src/vextrus_payments/gateways/bkash/planted.py": "import vextrus_payments.gateways.bkash.errors",
    },
    "facade": {"src/vextrus_payments/reasons.py": "import vextrus_payments"},
    "sandbox": {"src/vextrus_payments/engine.py": "import vextrus_payments_sandbox"},
    "httpx": {"src/vextrus_payments/gateways/bkash/protocol.py": "import httpx"},
    "tenacity": {"src/vextrus_payments/transport.py": "import tenacity"},
    "structlog": {"src/vextrus_payments/breaker.py": "import structlog"},
    "terminal": {"src/vextrus_payments/app/payments.py": "import rich.table"},
    "redis": {"src/vextrus_payments/tokens/store.py": "import redis.asyncio"},
    "limits": {"src/vextrus_payments/webhooks/guard.py": "import limits"},
    "spreadsheets": {"src/vextrus_payments/settlement/reading.py": "import openpyxl"},
    "doors": {"src/vextrus_payments/webhooks/wsgi.py": "import vextrus_payments.webhooks.asgi"},
    "django": {"src/vextrus_payments/webhooks/wsgi.py": "import django.http"},
    "web": {"src/vextrus_payments/engine.py": "import starlette.routing"},
    "database": {"src/vextrus_payments/engine.py": "import sqlite3"},
}
CONTRACTS = {
    contract["id"]: contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "importlinter"
    ]["contracts"]
}


def _verdicts(tree: Path) -> tuple[dict[str, str], str]:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command as run; run()",
            "--no-cache",
        ],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tree / "src"), str(tree / "sandbox")])},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    said = done.stdout + done.stderr
    found = {
        contract: verdict
        for contract, name in CONTRACTS.items()
        for verdict in re.findall(rf"(?m)^{re.escape(name)} (KEPT|BROKEN)", said)
    }
    return found, said


def _copy(tree: Path) -> None:
    for folder in ("src", "sandbox"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tree)


def test_the_tree_keeps_every_contract() -> None:
    verdicts, said = _verdicts(ROOT)
    assert verdicts == dict.fromkeys(CONTRACTS, "KEPT"), said


def test_every_contract_has_a_planted_breach() -> None:
    assert PLANTED.keys() == CONTRACTS.keys()


def test_a_planted_import_breaks_each_contract(tmp_path: Path) -> None:
    _copy(tmp_path)
    for plants in PLANTED.values():
        for name, line in plants.items():
            path = tmp_path / name
            before = path.read_text(encoding="utf-8") if path.exists() else ""
            path.write_text(f"{before}\nfrom typing import TYPE_CHECKING\n{line}\n", encoding="utf-8")
    verdicts, said = _verdicts(tmp_path)
    assert verdicts == dict.fromkeys(CONTRACTS, "BROKEN"), said


def test_a_file_on_no_floor_breaks_the_layers(tmp_path: Path) -> None:
    _copy(tmp_path)
    (tmp_path / "src/vextrus_payments/helpers.py").write_text("", encoding="utf-8")
    verdicts, said = _verdicts(tmp_path)
    assert verdicts["layers"] == "BROKEN"
    assert "vextrus_payments.helpers" in said
