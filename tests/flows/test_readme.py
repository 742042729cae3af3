"""The README's Python runs as it stands, against the sandbox."""

import re
from pathlib import Path
from typing import Any

import pytest

from vextrus_payments import Money, PaymentRequest
from vextrus_payments_sandbox.serve import SandboxServer
from vextrus_payments_sandbox.walk import walk

README = Path(__file__).parents[2] / "README.md"


def python_blocks() -> list[str]:
    """The README's Python blocks, in order."""
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


class Finance:
    def __init__(self) -> None:
        self.posted: dict[str, Any] = {}

    async def post_journal(self, entry_id: str, postings: Any) -> None:
        self.posted[entry_id] = postings


async def test_the_readme_sells_and_refunds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seen: dict[str, Any] = {"shipped": []}

    async def ship(reference: str) -> None:
        seen["shipped"].append(reference)

    async with SandboxServer(seed=1) as server:
        given = server.info["gateways"]["bkash"]
        monkeypatch.setenv("BKASH_MODE", "sandbox")
        monkeypatch.setenv("BKASH_API_URL", given["base_url"])
        monkeypatch.setenv("BKASH_CALLBACK_URL", "https://shop.example/payments/bkash/return")
        for name in ("app_key", "app_secret", "username", "password"):
            monkeypatch.setenv(f"BKASH_{name.upper()}", given[name])

        async def redirect_to(url: str) -> None:
            seen["url"] = url
            await walk(url)

        finance = Finance()
        space: dict[str, Any] = {
            "finance": finance,
            "ship": ship,
            "redirect_to": redirect_to,
            "show_receipt": lambda trx: seen.update(receipt=trx),
            "show": lambda text: seen.update(declined=text),
            "show_processing": lambda: seen.update(processing=True),
        }
        for block in python_blocks():
            exec(compile(block, "README.md", "exec"), space)
        await space["sell"]()
        await space["one_call"](
            PaymentRequest(
                operation_id="order-1/pay", gateway="bkash", amount=Money("15"), merchant_reference="INV-9"
            )
        )
        books = server.world.as_books()["payments"]
    assert "receipt" in seen
    assert seen["shipped"] == ["INV-8812"]
    assert len(finance.posted) == 2
    assert {row["invoice"]: row["refunded"] for row in books}["INV-8812"] == "1250.50"
