"""The built wheel, whole and alone: every module imports from it, and what a user does first runs on it.

Here that is the README's example, payments and refunds through the engine, and the demo; `make test-wheel` runs
every quick suite on the wheel, as a release does.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.packaging.distribution import ROOT

pytestmark = pytest.mark.slow

ALL = os.environ.get("WHEEL_SUITES") == "all"
# What installs, is long whatever it runs on, or is about the repository's pages, is not repeated.
NEVER = {"packaging", "typing", "simulation", "browser", "docs", "__pycache__"}
ALWAYS = ("flows/test_readme.py", "flows/test_payment.py", "flows/test_refund.py")

_PROBE = """\
import importlib
import json
import pkgutil
import subprocess
import sys

import vextrus_payments
import vextrus_payments_sandbox


def test_every_module_comes_from_the_wheel() -> None:
    for package in (vextrus_payments, vextrus_payments_sandbox):
        names = [found.name for found in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
        assert len(names) > 10
        for name in names:
            if not name.endswith("__main__"):
                assert importlib.import_module(name).__file__.startswith({home!r})


def test_the_demo_balances() -> None:
    command = [sys.executable, "-m", "vextrus_payments.cli", "demo", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["entries"]
"""


def test_the_suites_pass_on_the_wheel(wheel: Path, tmp_path: Path) -> None:
    unpacked, work = tmp_path / "wheel", tmp_path / "work"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    shutil.copytree(ROOT / "tests", work / "tests", ignore=shutil.ignore_patterns(*NEVER))
    for name in ("docs", "scripts"):
        shutil.copytree(ROOT / name, work / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", ".env.example"):
        shutil.copy(ROOT / name, work)
    probe = work / "tests" / "test_probe.py"
    probe.write_text(_PROBE.format(home=str(unpacked)), encoding="utf-8")
    suites = ["tests"] if ALL else [str(probe), *(f"tests/{name}" for name in ALWAYS)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", *suites],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(unpacked), "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    print(done.stdout.splitlines()[-1])
