"""Nagad, put into a sandbox."""

from functools import partial

from vextrus_payments_sandbox.building import Built, Setting
from vextrus_payments_sandbox.nagad.gateway import NagadSandbox
from vextrus_payments_sandbox.nagad.keys import KeyFolder
from vextrus_payments_sandbox.nagad.lasting import NagadLasting
from vextrus_payments_sandbox.nagad.records import Rules
from vextrus_payments_sandbox.nagad.scripted import NagadScript
from vextrus_payments_sandbox.nagad.wallets import WALLETS

__all__ = ["WALLETS", "build", "prepare"]


def prepare() -> None:
    """Its keys, where every sandbox of this user finds them. Raises :class:`KeysError`."""
    KeyFolder().ensure()


def build(setting: Setting) -> Built:
    """The gateway of one sandbox."""
    gateway = NagadSandbox(setting.world, setting.exchange, setting.rules or Rules(), KeyFolder(setting.keys))
    return Built(gateway=gateway, lasting=partial(NagadLasting, gateway), script=NagadScript(gateway))
