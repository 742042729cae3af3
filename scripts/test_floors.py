"""The tests at the oldest versions that pyproject.toml allows: `make test-floors`.

A floor that nobody installs is a guess. This resolves every runtime dependency, of every extra, to its floor, fills
an environment of its own with that and with the test tools of today, and runs the tests in it.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pip_config import uv_environment

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv-floors"
UV = [sys.executable, "-m", "uv"]
_LEFT_OUT = "not slow"  # what installs or reads the locks is about today's versions


def main() -> int:
    environment = uv_environment(Path(sys.executable)) or dict(os.environ)
    python = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    with tempfile.TemporaryDirectory() as folder:
        floors = Path(folder) / "floors.txt"
        extras = [
            word for name in ("sandbox", "postgres", "redis", "limits", "xlsx") for word in ("--extra", name)
        ]
        shape = ["--resolution", "lowest-direct", "--no-header", "--quiet", "--output-file", str(floors)]
        _run([*UV, "pip", "compile", "pyproject.toml", *extras, *shape], environment)
        _run([*UV, "venv", "--quiet", "--clear", "--python", sys.executable, str(VENV)], environment)
        install = [*UV, "pip", "install", "--quiet", "--python", str(python)]
        _run([*install, "-r", str(floors)], environment)
        _run([*install, "-c", str(floors), "--group", "test", "hatchling", "packaging"], environment)
        _run([*install, "--no-deps", "--no-build-isolation", "--editable", "."], environment)
    suites = [path for path in sorted((ROOT / "tests").iterdir()) if path.name not in {"packaging", "typing"}]
    folders = [str(path) for path in suites if path.is_dir()]
    # a floor may warn of what its successors changed; what matters is that it works
    command = [str(python), "-m", "pytest", "-W", "default", "-m", _LEFT_OUT, *folders]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def _run(command: list[str], environment: dict[str, str]) -> None:
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


if __name__ == "__main__":
    sys.exit(main())
