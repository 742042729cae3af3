"""What a user downloads: the wheel built from the sdist, both packages whole, nothing else."""

import configparser
import re
import tarfile
import tomllib
import zipfile
from pathlib import Path

from packaging.requirements import Requirement

import vextrus_payments
from tests.packaging.distribution import ROOT, metadata_of

CUSTOMER_PACKAGES = {"httpx", "pydantic", "tenacity", "cryptography", "structlog", "sniffio"}


def _source_files() -> set[str]:
    """Every file of the two packages, as the wheel should name it."""
    homes = {"vextrus_payments": ROOT / "src", "vextrus_payments_sandbox": ROOT / "sandbox"}
    return {
        path.relative_to(home).as_posix()
        for package, home in homes.items()
        for path in (home / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name != ".DS_Store"
    }


def test_the_wheel_holds_both_packages_whole_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == _source_files()
    assert "vextrus_payments/py.typed" in held
    assert "vextrus_payments_sandbox/__init__.py" in held


def test_the_sdist_can_be_tested_and_holds_nothing_of_this_machine(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "Makefile", "tests/conftest.py"} <= held
    stray = [name for name in held if re.search(r"(^|/)(\.venv|__pycache__|\.git/|.*\.db$|\.env$)", name)]
    assert stray == []


def test_a_bare_install_asks_for_the_customers_packages_only(wheel: Path) -> None:
    required = [Requirement(line) for line in metadata_of(wheel).get_all("Requires-Dist") or []]
    assert {line.name for line in required if line.marker is None} == CUSTOMER_PACKAGES
    assert all("extra ==" in str(line.marker) for line in required if line.marker is not None)


def test_each_extra_is_declared(wheel: Path) -> None:
    metadata = metadata_of(wheel)
    extras = {"cli", "limits", "postgres", "redis", "sandbox", "xlsx"}
    assert set(metadata.get_all("Provides-Extra") or []) == extras
    required = [Requirement(line) for line in metadata.get_all("Requires-Dist") or []]
    single = (("limits", "limits"), ("postgres", "asyncpg"), ("redis", "redis"), ("xlsx", "openpyxl"))
    for extra, name in single:
        only = {line.name for line in required if line.marker and line.marker.evaluate({"extra": extra})}
        assert only == {name}
    sandbox = {line.name for line in required if line.marker and line.marker.evaluate({"extra": "sandbox"})}
    cli = {line.name for line in required if line.marker and line.marker.evaluate({"extra": "cli"})}
    assert cli == {"click", "rich", "segno"}
    assert cli < sandbox


def test_metadata_names_license_and_supported_pythons(wheel: Path) -> None:
    metadata = metadata_of(wheel)
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    pythons = re.findall(r"Python :: (3\.\d+)", "\n".join(metadata.get_all("Classifier") or []))
    assert pythons == ["3.11", "3.12", "3.13"]


def test_entry_points_lead_to_what_exists(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        told = configparser.ConfigParser()
        told.read_string(archive.read(name).decode("utf-8"))
        held = set(archive.namelist())
    groups = {"gateways", "simulated_gateways", "cli"}
    assert set(told.sections()) == {"console_scripts", *(f"vextrus_payments.{group}" for group in groups)}
    for section in told.sections():
        for target in told[section].values():
            path = target.partition(":")[0].replace(".", "/")
            assert {f"{path}.py", f"{path}/__init__.py"} & held, f"{section}: {target} is not in the wheel"


def test_the_version_stands_in_one_place(wheel: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "version" not in project
    assert metadata_of(wheel)["Version"] == vextrus_payments.__version__
