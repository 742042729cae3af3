"""The wheel alone, in an environment of its own: what it brings, what it imports, what it says without extras."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.pip_config import uv_environment, without_install_targets
from tests.packaging.distribution import ROOT

pytestmark = pytest.mark.slow

# httpx, pydantic, tenacity, cryptography, structlog, sniffio, and what these need in turn
CLOSURE = {
    "annotated-types",
    "anyio",
    "certifi",
    "cffi",
    "cryptography",
    "h11",
    "httpcore",
    "httpx",
    "idna",
    "pycparser",
    "pydantic",
    "pydantic-core",
    "sniffio",
    "structlog",
    "tenacity",
    "typing-extensions",
    "typing-inspection",
    "vextrus-payments",
}


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment with the wheel and nothing else, at the locked versions."""
    venv = tmp_path_factory.mktemp("bare") / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    folder = venv / ("Scripts" if os.name == "nt" else "bin")
    clean = without_install_targets(os.environ)
    wanted = ["--constraint", str(ROOT / "requirements" / "run.txt"), str(wheel)]
    environment = uv_environment(Path(sys.executable), clean)
    with_uv = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "install",
        "--quiet",
        "--python",
        str(folder / "python"),
        *wanted,
    ]
    # the set-up filled uv's cache with these very versions: no network is needed as long as it is there
    for command in ([*with_uv, "--offline"], with_uv) if environment is not None else ():
        if subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0:
            return folder
    subprocess.run([folder / "python", "-m", "pip", "install", "--quiet", *wanted], env=clean, check=True)
    return folder


def _run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment | {"PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )


def test_it_brings_the_customers_packages_and_what_they_need(bare: Path, tmp_path: Path) -> None:
    listing = _run(bare / "python", "-m", "pip", "list", "--format=json", cwd=tmp_path).stdout
    installed = {package["name"].lower().replace("_", "-") for package in json.loads(listing)}
    assert installed - {"pip", "setuptools", "wheel"} == CLOSURE


def test_it_imports_whole_without_an_extra(bare: Path, tmp_path: Path) -> None:
    program = "import vextrus_payments as v; [getattr(v, name) for name in v.__all__]; print(v.Money('1.50', 'BDT'))"
    done = _run(bare / "python", "-W", "error", "-c", program, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1.50" in done.stdout


def test_the_command_names_the_missing_extra_in_one_line(bare: Path, tmp_path: Path) -> None:
    for arguments in ([], ["demo"], ["--help"], ["sandbox", "serve"]):
        done = _run(bare / "vextrus-pay", *arguments, cwd=tmp_path)
        said = (done.stdout + done.stderr).strip()
        assert done.returncode == 2, (arguments, said)
        assert len(said.splitlines()) == 1, said
        assert "vextrus-payments[" in said
        assert "Traceback" not in said


def test_the_bare_command_names_the_cli_extra(bare: Path, tmp_path: Path) -> None:
    assert "vextrus-payments[cli]" in _run(bare / "vextrus-pay", cwd=tmp_path).stderr
