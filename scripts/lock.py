"""Regenerates the hashed locks: `make lock` (newest versions: `make lock UPGRADE=1`).

One lock per use, all universal (every platform, Python >= 3.11), each built under the constraint of the one before,
so that one package has one version everywhere. Only the user's main index is asked, and the text is checked: a lock
holds names, versions and hashes, never a host or a path.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from pip_config import uv_environment

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "requirements"
_PIN = re.compile(r"[a-z0-9-]+==[\w.+]+( ; [^/@:]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?")

# name -> what `uv pip compile` reads
_SERVICES = "--extra sandbox --extra postgres --extra redis --extra limits"
LOCKS: dict[str, list[str]] = {
    "dev": f"{_SERVICES} --extra xlsx --group test --group check --group docs --group mutate --group build".split(),
    "run": "--extra sandbox --group build".split(),
    "bench": f"{_SERVICES} --group bench --group build".split(),
}


def main() -> int:
    upgrade = ["--upgrade"] if "--upgrade" in sys.argv[1:] else []
    environment = _main_index_only(uv_environment(Path(sys.executable)) or dict(os.environ))
    _compile("uv", ["-"], [], environment, upgrade, stdin="uv>=0.5\n")
    for name, choice in LOCKS.items():
        constraint = [] if name == "dev" else ["--constraint", str(FOLDER / "dev.txt")]
        _compile(name, ["pyproject.toml", *choice], constraint, environment, upgrade)
    return 0


def _main_index_only(environment: dict[str, str]) -> dict[str, str]:
    """A second index or a folder of wheels could put a build of this machine into everybody's lock."""
    dropped = {"UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_INDEX_STRATEGY", "UV_TORCH_BACKEND"}
    return {name: value for name, value in environment.items() if name not in dropped}


def _compile(
    name: str,
    source: list[str],
    constraint: list[str],
    environment: dict[str, str],
    upgrade: list[str],
    stdin: str | None = None,
) -> None:
    target = FOLDER / f"{name}.txt"
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / target.name
        if target.is_file():
            draft.write_text(target.read_text(encoding="utf-8"), encoding="utf-8")  # keeps the pins it finds
        command = [
            sys.executable,
            "-m",
            "uv",
            "--no-config",
            "pip",
            "compile",
            *source,
            *constraint,
            *upgrade,
        ]
        shape = "--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate"
        subprocess.run(
            [*command, *shape.split(), "--quiet", "--output-file", str(draft)],
            cwd=ROOT,
            env=environment,
            input=stdin,
            text=True,
            check=True,
        )
        text = draft.read_text(encoding="utf-8")
    bad = [line for line in text.splitlines() if not _PIN.fullmatch(line)]
    if bad:
        raise SystemExit(f"{target.name} would hold a place, not a package: {bad[0]}")
    target.write_text(text, encoding="utf-8", newline="\n")
    print(f"{target.relative_to(ROOT)}: {len(re.findall('(?m)^[a-z0-9]', text))} packages")


if __name__ == "__main__":
    main()
