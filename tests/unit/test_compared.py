"""Secrets and what is made from them are compared by hmac.compare_digest: `==` tells by its time where two differ."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECRET_NAMES = frozenset(
    "app_secret password id_token refresh_token access_token signature checksum digest".split()
)
#: A version names a token in these; elsewhere it is a number.
VERSIONED = frozenset({"driver.py", "front_door.py", "keeper.py", "access.py"})


def compared(source: str, names: frozenset[str]) -> list[int]:
    """The lines where an attribute of such a name, or a tuple that holds one, meets == or !=, but for a constant."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Eq | ast.NotEq):
            continue
        sides = [node.left, *node.comparators]
        if any(isinstance(side, ast.Constant) for side in sides):
            continue
        parts = [part for side in sides for part in (side.elts if isinstance(side, ast.Tuple) else [side])]
        if any(isinstance(part, ast.Attribute) and part.attr in names for part in parts):
            found.append(node.lineno)
    return found


@pytest.mark.parametrize("folder", ["src/vextrus_payments", "sandbox/vextrus_payments_sandbox"])
def test_no_secret_meets_an_equals_sign(folder: str) -> None:
    found = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        names = SECRET_NAMES | {"version"} if path.name in VERSIONED else SECRET_NAMES
        lines = compared(path.read_text(encoding="utf-8"), names)
        if lines:
            found[str(path.relative_to(ROOT))] = lines
    assert found == {}


def test_the_rule_sees_what_it_forbids() -> None:
    assert compared("a != merchant.password", SECRET_NAMES) == [1]
    assert compared("given == (m.username, m.password)", SECRET_NAMES) == [1]
    assert compared("a.name == 'password'", SECRET_NAMES) == []
