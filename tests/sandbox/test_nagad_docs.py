"""docs/sandbox-nagad.md names every wallet, every fault of Nagad's own and every knob, with its default."""

from dataclasses import fields
from pathlib import Path

from vextrus_payments_sandbox.faults import KINDS
from vextrus_payments_sandbox.nagad.records import Rules
from vextrus_payments_sandbox.nagad.wallets import WALLETS

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox-nagad.md").read_text("utf-8")


def test_every_wallet() -> None:
    assert [wallet.number for wallet in WALLETS if f"| `{wallet.number}` |" not in PAGE] == []


def test_every_fault_of_its_own() -> None:
    assert [
        kind.name for kind in KINDS.values() if kind.only == ("nagad",) and f"`{kind.name}`" not in PAGE
    ] == []


def test_every_knob_with_its_default() -> None:
    for knob in fields(Rules):
        default = f"{knob.default:g}" if isinstance(knob.default, float) else (str(knob.default) or "none")
        assert f"| `{knob.name}` | {default} |" in PAGE, knob.name
