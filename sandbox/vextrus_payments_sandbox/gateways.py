"""The gateways that the sandbox plays: the one place where a gateway is named.

A gateway is a folder beside this file with

* ``facts.py``: ``FACTS``, what the shared parts have to know of it, as data (:class:`GatewayFacts`). It imports nothing
  of the sandbox but ``gateway_facts`` and its own folder's data, because it is read before everything else;
* ``parts.py``: ``build(setting) -> Built``, the gateway itself (``building.py``);
* ``plays.py``, where it has a demo: ``PLAYS``, its scripts, the one that goes well first (``demo_script.py``).

They are loaded by name, and not imported: the shared parts lie below the folders and are made from what is told here.
"""

from collections.abc import Mapping
from importlib import import_module, util
from types import ModuleType
from typing import Final

from vextrus_payments_sandbox.gateway_facts import ENDINGS, Ending, GatewayFacts

PLAYED: Final = ("bkash", "nagad", "sslcommerz", "bkash_recurring")
"""Every gateway, in the order in which they are shown. The first is meant where nobody names one."""
DEFAULT: Final = PLAYED[0]
_HERE: Final = __name__.rpartition(".")[0]


def module_of(gateway: str, name: str) -> ModuleType:
    """A module of a gateway's folder. Raises ImportError where it has none."""
    return import_module(f"{_HERE}.{gateway}.{name}")


def has_module(gateway: str, name: str) -> bool:
    """Whether a gateway's folder holds this module."""
    return util.find_spec(f"{_HERE}.{gateway}.{name}") is not None


def _facts_of(gateway: str) -> GatewayFacts:
    facts = module_of(gateway, "facts").FACTS
    if not isinstance(facts, GatewayFacts) or facts.name != gateway:
        raise TypeError(f"{gateway}/facts.py has to hold FACTS, a GatewayFacts of the name {gateway}")
    return facts


def _endings() -> dict[int, Ending]:
    found = {ending.number: ending for ending in ENDINGS}
    for facts in FACTS.values():
        for ending in facts.endings:
            if found.setdefault(ending.number, ending) != ending:
                raise ValueError(
                    f"{facts.name}: the ending {ending.number} is {found[ending.number].name}'s already"
                )
    return found


FACTS: Final[Mapping[str, GatewayFacts]] = {name: _facts_of(name) for name in PLAYED}
"""Name -> facts."""
TOPICS: Final[Mapping[str, str]] = {facts.name: facts.topic for facts in FACTS.values() if facts.topic}
"""On which topic of Amazon SNS a gateway announces payments."""
ALL_ENDINGS: Final[Mapping[int, Ending]] = _endings()
"""Number -> ending, of the common ones and of each gateway's own."""
