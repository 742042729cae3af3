"""Scenarios: wallets, merchants, payments and faults that a sandbox begins with, written in a file."""

from vextrus_payments_sandbox.seeding.play import Played, Script, Stage, play
from vextrus_payments_sandbox.seeding.reading import read_json, read_yaml
from vextrus_payments_sandbox.seeding.scenario import (
    Mistake,
    Scenario,
    ScenarioError,
    ScriptedPayment,
    ScriptedWallet,
    checked,
)

__all__ = [
    "Mistake",
    "Played",
    "Scenario",
    "ScenarioError",
    "Script",
    "ScriptedPayment",
    "ScriptedWallet",
    "Stage",
    "checked",
    "play",
    "read_json",
    "read_yaml",
]
