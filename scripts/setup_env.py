"""Makes an environment from a hashed lock: `python scripts/setup_env.py [--venv .venv] [--lock requirements/dev.txt]`.

Needs only a Python >= 3.11 with its venv module. uv is put into the environment by pip, from its own hashed lock;
where uv cannot install (a registry behind a login that only pip knows, a platform without a uv wheel) pip does it,
from the same hashes. Registries come from the user's own pip configuration: nothing here names one.
Nothing is done twice: a stamp in the environment remembers what it was made from.
"""

import argparse
import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from pip_config import uv_environment, without_install_targets

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    parser.add_argument("--lock", type=Path, default=ROOT / "requirements" / "dev.txt")
    options = parser.parse_args()
    problem = _what_is_missing()
    if problem:
        print(problem, file=sys.stderr)
        return 1
    venv, lock = options.venv.absolute(), options.lock.absolute()
    stamp = venv / f".made-from-{lock.stem}"
    wanted = _fingerprint(lock)
    python = _python_of(venv)
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted and _runs(python):
        return 0
    print(f"Setting up {_short(venv)} from {_short(lock)} ...", file=sys.stderr, flush=True)
    try:
        if not _runs(python):
            _create(venv)
        _install(python, lock)
    except subprocess.CalledProcessError as failure:
        print(
            f"Set-up stopped: {_short(venv)} could not be filled (exit {failure.returncode}).",
            file=sys.stderr,
        )
        return 1
    stamp.write_text(wanted, encoding="utf-8")
    return 0


def _what_is_missing() -> str:
    if sys.version_info < OLDEST:
        return f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}. Name one: make PYTHON=python3.12"
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        return (
            f"This Python has no {' and no '.join(missing)} module: install the package python3-venv "
            f"(on Debian and Ubuntu also named {package}) and run the same command again."
        )
    return ""


def _fingerprint(lock: Path) -> str:
    """What the environment is made from. The place is part of it: an editable install points there."""
    digest = hashlib.sha256()
    for path in (lock, ROOT / "requirements" / "uv.txt", ROOT / "pyproject.toml"):
        digest.update(path.read_bytes())
    digest.update(f"{ROOT}|{sys.version_info[:2]}".encode())
    return digest.hexdigest()


def _python_of(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _runs(python: Path) -> bool:
    """True if the environment's Python starts, is new enough and has pip (a copied or half-made one fails)."""
    if not python.exists():
        return False
    program = f"import sys, pip; sys.exit(sys.version_info < {OLDEST!r})"
    return subprocess.run([python, "-c", program], capture_output=True, check=False).returncode == 0


def _create(venv: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)


def _install(python: Path, lock: Path) -> None:
    clean = without_install_targets(os.environ)
    pip: list[str | Path] = [python, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    uv_lock = ROOT / "requirements" / "uv.txt"
    project = ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
    environment = uv_environment(python, clean)
    if environment is not None and _succeeds(
        [*pip, "install", "--no-user", "--require-hashes", "-r", uv_lock], clean
    ):
        uv: list[str | Path] = [python, "-m", "uv", "pip", "install", "--quiet", "--python", python]
        if _succeeds([*uv, "--require-hashes", "-r", lock], environment):
            subprocess.run([*uv, *project], env=environment, check=True)
            return
    print("uv cannot install here; pip takes the same hashes (slower).", file=sys.stderr, flush=True)
    subprocess.run([*pip, "install", "--no-user", "--require-hashes", "-r", lock], env=clean, check=True)
    subprocess.run([*pip, "install", "--no-user", *project], env=clean, check=True)


def _succeeds(command: list[str | Path], environment: dict[str, str]) -> bool:
    return subprocess.run(command, env=environment, check=False).returncode == 0


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


if __name__ == "__main__":
    sys.exit(main())
