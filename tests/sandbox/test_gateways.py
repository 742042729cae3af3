"""A gateway of the sandbox is one folder and one name on one list: nothing that is shared spells a gateway's name."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import vextrus_payments_sandbox
from vextrus_payments_sandbox import create_app, fault_kinds, gateways
from vextrus_payments_sandbox.gateway_facts import Ending, GatewayFacts, Kind
from vextrus_payments_sandbox.gateways import FACTS, PLAYED

HOME = Path(vextrus_payments_sandbox.__file__).parent
#: The list itself, and the simulated bKash, which is older than the folders.
NAMES_THEM = {"gateways.py", "simulated.py"}
#: What a folder's facts may import: they are read before everything else.
OF_FACTS = ("typing", "datetime", "vextrus_payments.", "vextrus_payments_sandbox.gateway_facts")


def shared() -> list[Path]:
    folders = {HOME / name for name in PLAYED}
    return [path for path in sorted(HOME.rglob("*.py")) if not folders & set(path.parents)]


def texts(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (one.name for one in node.names)


def test_nothing_shared_spells_a_gateways_name() -> None:
    spelled = {path.relative_to(HOME).as_posix() for path in shared() if set(texts(path)) & set(PLAYED)}
    assert spelled == {"gateways.py"}


def test_nothing_shared_imports_a_gateways_folder() -> None:
    folders = tuple(f"vextrus_payments_sandbox.{name}" for name in PLAYED)
    known = {path.name for path in shared() if any(one.startswith(folders) for one in imports(path))}
    assert known <= NAMES_THEM


@pytest.mark.parametrize("name", PLAYED)
def test_facts_can_be_read_before_everything_else(name: str) -> None:
    mine = f"vextrus_payments_sandbox.{name}."
    for module in ("facts.py", "objections.py", "__init__.py"):
        path = HOME / name / module
        if path.exists():
            assert [one for one in imports(path) if not one.startswith((*OF_FACTS, mine))] == []


@pytest.mark.parametrize(
    "first",
    [
        *(f"{name}.{module}" for name in PLAYED for module in ("gateway", "facts", "parts")),
        *("fault_kinds", "magic", "manners", "seeding.scenario", "dashboard.reading", "demo_faults", "app"),
    ],
)
def test_whatever_is_imported_first(first: str) -> None:
    """The folders are loaded by name, so that no checker of imports would see a circle that closes at run time."""
    code = f"import vextrus_payments_sandbox.{first}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_gateway_is_played() -> None:
    assert list(create_app().state.world.gateways) == list(PLAYED)


def test_facts_of_another_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = gateways.module_of("nagad", "facts")
    for wrong in (replace(FACTS["nagad"], name="upay"), {"name": "nagad"}):
        monkeypatch.setattr(module, "FACTS", wrong)
        with pytest.raises(TypeError, match=r"nagad/facts\.py"):
            gateways._facts_of("nagad")


def with_facts(monkeypatch: pytest.MonkeyPatch, facts: GatewayFacts) -> None:
    for place in (gateways, fault_kinds):
        monkeypatch.setattr(place, "FACTS", {**FACTS, "nagad": facts})


def test_two_faults_of_one_number_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with_facts(monkeypatch, replace(FACTS["nagad"], kinds=(Kind(1, "mine", "after", "its own"),)))
    with pytest.raises(ValueError, match="number 1: delay, mine"):
        fault_kinds._by_number()


def test_two_endings_of_one_number_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with_facts(monkeypatch, replace(FACTS["nagad"], endings=(Ending(9, "mine", "its own"),)))
    with pytest.raises(ValueError, match="nagad: the ending 9 is late_success's already"):
        gateways._endings()


def test_an_argument_that_names_no_gateway_is_refused() -> None:
    with pytest.raises(TypeError, match="no argument upay"):
        create_app(upay=None)
