"""The files that docs/sync.md shows, as files."""

import os
import re
from pathlib import Path

from tests.sync.world import Sandbox

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "sync.md"

#: What stands in for a reader's own finance code where the page shows none: one line per hand-over.
FINANCE = """
import os

def post_journal(entry_id, postings):
    with open(os.environ["LEDGER_FILE"], "a") as file:
        file.write(f"{entry_id} {os.getpid()}\\n")
"""


def written(folder: Path, *, django: bool = False) -> Path:
    """Every Python block of the page under the name in its first line; `django` keeps its finance module."""
    text = PAGE.read_text(encoding="utf-8")
    for name, code in re.findall(r"```python\n# (\S+\.py)\n(.*?)```", text, re.DOTALL):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code, encoding="utf-8")
    (folder / "shop" / "__init__.py").write_text("", encoding="utf-8")
    if not django:
        (folder / "shop" / "finance.py").write_text(FINANCE, encoding="utf-8")
    return folder


def environ(sandbox: Sandbox, folder: Path) -> dict[str, str]:
    """The environment in which they run."""
    return {
        **os.environ,
        **sandbox.environ(),
        "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]),
        "PAYMENTS_STORE": f"sqlite:///{folder / 'payments.db'}",
        "LEDGER_FILE": str(folder / "ledger.txt"),
    }
