"""Public names come and go on purpose, can be imported, and say in a traceback where they are public."""

import importlib
import inspect
import subprocess
import sys

import pytest

from scripts.public_api import SNAPSHOT, public_modules, snapshot

MODULES = public_modules()


def test_the_snapshot_is_current() -> None:
    assert snapshot() == SNAPSHOT.read_text(encoding="utf-8"), (
        "public names changed: if that is meant, run `make public-api`, and tell users in changelog.d/"
    )


@pytest.mark.parametrize("name", MODULES)
def test_all_is_sorted_unique_and_importable(name: str) -> None:
    module = importlib.import_module(name)
    names = list(module.__all__)
    assert names == sorted(set(names))
    for public in names:
        assert not public.startswith("_") or public == "__version__"
        assert getattr(module, public, None) is not None, f"{name}.{public} cannot be imported"


@pytest.mark.parametrize("name", MODULES)
def test_a_public_object_is_found_where_it_says_it_lives(name: str) -> None:
    """Else a traceback names a place that does not exist, and pickle fails."""
    module = importlib.import_module(name)
    for public in module.__all__:
        thing = getattr(module, public)
        if not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        home = importlib.import_module(thing.__module__)
        assert getattr(home, thing.__qualname__, None) is thing, (
            f"{public} says it lives in {thing.__module__}"
        )


@pytest.mark.parametrize("name", MODULES)
def test_star_import_and_dir_agree_with_all(name: str) -> None:
    module = importlib.import_module(name)
    scope: dict[str, object] = {}
    exec(f"from {name} import *", scope)
    assert set(module.__all__) <= scope.keys()
    assert set(module.__all__) <= set(dir(module))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        getattr(importlib.import_module("vextrus_payments"), "no_such" + "_name")


def test_importing_the_facade_loads_nothing_heavy() -> None:
    program = "import sys, vextrus_payments; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, encoding="utf-8", check=True
    )
    heavy = {
        "httpx",
        "httpcore",
        "pydantic",
        "cryptography",
        "tenacity",
        "structlog",
        "sqlite3",
        "click",
        "rich",
    }
    assert heavy & set(done.stdout.split()) == set()
