"""The tests run once against the built wheel: a file left out, or found only in the source tree, shows here."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.packaging.distribution import ROOT

pytestmark = pytest.mark.slow

# Every quick suite. What installs, or is long whatever it runs on, is not repeated.
NOT_REPEATED = {"packaging", "typing", "simulation", "browser"}


def test_the_suites_pass_on_the_wheel(wheel: Path, tmp_path: Path) -> None:
    unpacked, work = tmp_path / "wheel", tmp_path / "work"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    shutil.copytree(
        ROOT / "tests", work / "tests", ignore=shutil.ignore_patterns("__pycache__", *NOT_REPEATED)
    )
    shutil.copy(ROOT / "pyproject.toml", work)
    for name in ("docs", "README.md", ".env.example"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, work / name)
        elif source.is_file():
            shutil.copy(source, work)
    (work / "tests" / "test_wheel_is_meant.py").write_text(
        "import vextrus_payments\nimport vextrus_payments_sandbox\n"
        "def test_the_packages_come_from_the_wheel() -> None:\n"
        f"    for package in (vextrus_payments, vextrus_payments_sandbox):\n"
        f"        assert package.__file__.startswith({str(unpacked)!r})\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not slow", "-p", "no:cacheprovider", "tests"],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(unpacked), "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
