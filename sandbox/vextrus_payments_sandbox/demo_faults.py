"""What `vextrus-pay demo --gateway GATEWAY --fault NAME` plays and makes go wrong, as data."""

from collections.abc import Mapping
from typing import Final

from vextrus_payments_sandbox.demo_script import Script
from vextrus_payments_sandbox.gateways import PLAYED, has_module, module_of

PLAYS: Final[Mapping[str, Mapping[str, Script]]] = {
    gateway: {script.name: script for script in module_of(gateway, "plays").PLAYS}
    for gateway in PLAYED
    if has_module(gateway, "plays")
}
"""Gateway -> the name of a fault -> its script; the one without a name goes well."""
