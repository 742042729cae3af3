"""The locks: every pin hashed, no host, no path, one version of a package everywhere, floors kept."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packaging.distribution import ROOT

LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _pins(path: Path) -> dict[str, str]:
    text = path.read_text(encoding="utf-8")
    return dict(re.findall(r"(?m)^([a-z0-9-]+)==([^\s;\\]+)", text))


def _wanted(*, extras: tuple[str, ...] = (), groups: tuple[str, ...] = ()) -> list[Requirement]:
    project = PROJECT["project"]
    lines = list(project["dependencies"])
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    for group in groups:
        lines += PROJECT["dependency-groups"][group]
    return [Requirement(line) for line in lines if not line.startswith("vextrus-payments")]


def test_every_use_has_its_lock() -> None:
    assert [path.stem for path in LOCKS] == ["bench", "dev", "run", "uv"]


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_a_lock_names_packages_and_hashes_and_no_place(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines
    pin = re.compile(r"[a-z0-9-]+==[\w.]+(\+[\w.]+)?( ; (?P<marker>[^\\]+?))? \\")
    hashed = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?P<more> \\)?")
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        named = pin.fullmatch(line)
        if named:
            assert hashed.fullmatch(following), f"no hash after {line}"
            assert "+" not in line, "a local build is nobody else's"
            if named["marker"]:
                Marker(named["marker"])
        else:
            assert hashed.fullmatch(line), f"neither a pin nor a hash: {line}"
    assert "torch" not in _pins(path)


def test_a_package_has_one_version_in_all_locks() -> None:
    known = _pins(ROOT / "requirements" / "dev.txt")
    for name in ("run", "bench"):
        shared = {
            key: value for key, value in _pins(ROOT / "requirements" / f"{name}.txt").items() if key in known
        }
        assert shared.items() <= known.items()
    assert _pins(ROOT / "requirements" / "run.txt").keys() <= known.keys()


@pytest.mark.parametrize(
    ("lock", "extras", "groups"),
    [
        ("run", ("cli", "sandbox"), ("build",)),
        ("dev", ("cli", "sandbox"), ("test", "check", "build")),
        ("bench", ("cli", "sandbox"), ("bench", "build")),
    ],
)
def test_a_lock_holds_what_pyproject_asks_for(
    lock: str, extras: tuple[str, ...], groups: tuple[str, ...]
) -> None:
    pins = _pins(ROOT / "requirements" / f"{lock}.txt")
    for wanted in _wanted(extras=extras, groups=groups):
        version = pins.get(canonicalize_name(wanted.name))
        assert version is not None, f"{wanted.name} is not in {lock}.txt: make lock"
        assert wanted.specifier.contains(version), f"{wanted} is not met by {version}: make lock"


def test_the_runtime_lock_brings_no_tool() -> None:
    tools = {"pytest", "mypy", "ruff", "pyright", "hypothesis", "import-linter"}
    assert not tools & _pins(ROOT / "requirements" / "run.txt").keys()
