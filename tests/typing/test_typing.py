"""The `*_cases.py` beside this file, judged by mypy --strict and by pyright.

A line that must be refused carries an ignore for each checker; an ignore that is not needed is itself an error. So
the run passes only if every such line is an error and no other line is.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parent
CASES = sorted(HERE.glob("*_cases.py"))


def _run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    # pyright asks the `python` on the PATH where packages lie
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=cwd,
        env={**os.environ, "PATH": path, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def _mypy(folder: Path, *files: str, cache: Path) -> subprocess.CompletedProcess[str]:
    settings = ["--config-file=", "--strict", "--python-version=3.11", "--enable-error-code=exhaustive-match"]
    return _run("mypy", *settings, f"--cache-dir={cache}", *files, cwd=folder)


def _pyright(folder: Path) -> subprocess.CompletedProcess[str]:
    return _run("pyright", "--outputjson", "-p", ".", cwd=folder)


def test_mypy_accepts_what_is_right_and_refuses_what_is_not(tmp_path_factory: pytest.TempPathFactory) -> None:
    cache = tmp_path_factory.getbasetemp() / "mypy"
    done = _mypy(HERE, *(path.name for path in CASES), cache=cache)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pyright_accepts_what_is_right_and_refuses_what_is_not() -> None:
    report = json.loads(_pyright(HERE).stdout)
    found = [note for note in report["generalDiagnostics"] if note["severity"] == "error"]
    assert report["summary"]["filesAnalyzed"] >= len(CASES)
    assert [
        f"{Path(note['file']).name}:{note['range']['start']['line'] + 1}: {note['message']}" for note in found
    ] == []


def test_a_line_that_wrongly_passes_would_be_seen(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("planted")
    line = "Money('1.50', 'BDT')  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]\n"
    (folder / "planted_cases.py").write_text(f"from vextrus_payments import Money\n{line}", encoding="utf-8")
    (folder / "pyrightconfig.json").write_text(
        (HERE / "pyrightconfig.json").read_text(encoding="utf-8"), encoding="utf-8"
    )
    cache = tmp_path_factory.getbasetemp() / "mypy"
    assert "unused-ignore" in _mypy(folder, "planted_cases.py", cache=cache).stdout
    assert "Unnecessary" in _pyright(folder).stdout
