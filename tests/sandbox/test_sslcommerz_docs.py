"""docs/sandbox-sslcommerz.md names every card, button, fault of SSLCommerz's own and every knob, with its default."""

from dataclasses import MISSING, fields
from pathlib import Path

from vextrus_payments_sandbox.faults import KINDS
from vextrus_payments_sandbox.sslcommerz.pages import ENDS
from vextrus_payments_sandbox.sslcommerz.records import STORE_ID, STORE_PASSWORD, Rules
from vextrus_payments_sandbox.sslcommerz.texts import TEXTS
from vextrus_payments_sandbox.sslcommerz.wallets import WALLETS

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox-sslcommerz.md").read_text("utf-8")


def test_the_store_and_every_card() -> None:
    assert f"`{STORE_ID}`, `{STORE_PASSWORD}`" in PAGE
    assert [wallet.number for wallet in WALLETS if f"| `{wallet.number}` |" not in PAGE] == []


def test_every_button() -> None:
    for end in ENDS:
        assert f"| {TEXTS['en'][f'end_{end}']} | `{end}` |" in PAGE


def test_both_languages_say_the_same_things() -> None:
    assert list(TEXTS["en"]) == list(TEXTS["bn"])


def test_every_fault_of_its_own() -> None:
    own = [kind.name for kind in KINDS.values() if kind.only == ("sslcommerz",)]
    assert own and [name for name in own if f"`{name}" not in PAGE] == []


def test_every_knob_with_its_default() -> None:
    for knob in fields(Rules):
        default = "see above" if knob.default is MISSING else knob.default
        shown = f"{default:g}" if isinstance(default, float) else (str(default) or "none")
        assert f"| `{knob.name}` | {shown} |" in PAGE, knob.name
