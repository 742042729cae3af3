"""How a bug is planted: something of the SDK is replaced for as long as a `with` lasts."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

Patch = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class PlantedBug:
    """One of them.

    Attributes:
        about: what somebody got wrong.
        plant: makes the mistake while it is entered.
    """

    name: str
    about: str
    plant: Patch


@contextmanager
def everywhere(original: Any, substitute: Any) -> Iterator[None]:
    """Put a function in the place of another in every module that holds it by any name."""
    _replace(original, substitute)
    try:
        yield
    finally:
        # Also in modules that were imported meanwhile, and took the substitute for it.
        _replace(substitute, original)


def _replace(old: Any, new: Any) -> None:
    for key, module in list(sys.modules.items()):
        if key.partition(".")[0] in ("vextrus_payments", "tests"):
            for name in [name for name, value in vars(module).items() if value is old]:
                setattr(module, name, new)


@contextmanager
def member(owner: Any, name: str, substitute: Any) -> Iterator[None]:
    original = owner.__dict__[name]
    setattr(owner, name, substitute)
    try:
        yield
    finally:
        setattr(owner, name, original)
