"""docs/sandbox-faults.md: its tables are what the code says, and its orders are taken."""

import json
import re

import pytest

from scripts.docs import dial, generated
from tests.sandbox.shop import Shop
from vextrus_payments_sandbox import magic
from vextrus_payments_sandbox.fault_kinds import KINDS
from vextrus_payments_sandbox.faults import HEADER
from vextrus_payments_sandbox.nagad.wallets import WALLETS as NAGAD_WALLETS
from vextrus_payments_sandbox.wallets import WALLETS

PAGE = generated.DOCS / "sandbox-faults.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_tables_are_current() -> None:
    assert generated.wanted()[PAGE] == TEXT, "python -m scripts.docs --write-only rewrites them"


@pytest.mark.parametrize(
    "table", ["sandbox faults", "sandbox magic stages", "sandbox magic outcomes", "sandbox wallets"]
)
def test_the_page_holds_each_table(table: str) -> None:
    assert f"<!-- generated: {table} -->" in TEXT


def test_a_table_leaves_nothing_out() -> None:
    assert all(f"| {kind.number:02d} | `{kind.name}` |" in dial.kinds() for kind in KINDS.values())
    assert all(f"| `{stage}.NN` |" in dial.stages() for stage in magic.STAGES)
    assert all(f"| `{outcome.name}` |" in dial.outcomes() for outcome in magic.OUTCOMES.values())
    assert all(f"| `{wallet.number}` |" in dial.wallets() for wallet in (*WALLETS, *NAGAD_WALLETS))


async def test_the_orders_of_the_page_are_taken(shop: Shop) -> None:
    orders = [json.loads(found) for found in re.findall(r"-d '(\{\"gateway\".*?\})'", TEXT)]
    assert len(orders) == 2
    for order in orders:
        assert (await shop.http.post("/_sandbox/faults", json=order)).status_code == 200


def test_the_header_is_spelled_as_it_is_read() -> None:
    assert "X-Sandbox-Fault".lower() == HEADER and "X-Sandbox-Fault: drop_after" in TEXT
