"""The files of docs/simulator.md, as a reader's own test: fewer seeds, otherwise as they stand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs" / "simulator.md"


def test_the_test_of_the_page_passes(tmp_path: Path) -> None:
    found = re.findall(r"```python\n# (\S+\.py)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert [name for name, _ in found] == ["conftest.py", "test_crashes.py"]
    for name, code in found:
        quick = code.replace("seeds=range(20), kills=50", "seeds=range(2), kills=3")
        assert quick != code or name == "conftest.py"
        (tmp_path / name).write_text(quick, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=tmp_path, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "1 passed" in done.stdout
