"""Every Python block of the pages runs as it stands: those of a page one after the other, against a sandbox.

A block of a page is what a reader types after the blocks above it; what he has of his own (a pager, a database) is in
`GIVEN`. What only defines something is called afterwards, in `AFTER`.
"""

import ast
import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from inspect import iscoroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import vextrus_payments
from tests.docs.blocks import ALL, ROOT, Block
from tests.docs.stage import SHOWN_URL, Stage, staged
from vextrus_payments import (
    Authorized,
    Declined,
    Mode,
    Money,
    Paid,
    PaymentRequest,
    Reason,
    ReasonCode,
    Unknown,
)
from vextrus_payments.testing import FakeClock

PYTHON = [block for block in ALL if block.language == "python"]
#: Pages whose blocks are files: other tests write and run them as such.
ELSEWHERE = {
    "README.md": "tests/flows/test_readme.py",
    "docs/sync.md": "tests/sync/test_page.py",
    "docs/webhooks-mounting.md": "tests/doors/test_page.py",
    "docs/ten-minutes.md": "tests/docs/test_ten_minutes.py",
    "docs/simulator.md": "tests/docs/test_simulator_page.py",
    "docs/sandbox-tests.md": "tests/sandbox/test_pytest_plugin.py",
}
Space = dict[str, Any]
Hook = Callable[[Stage, Space], Awaitable[None]]


def shown(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


HERE = sorted({shown(block.page) for block in PYTHON} - set(ELSEWHERE))


# --- what a reader has of his own -------------------------------------------------------------------------------------


async def _nothing(stage: Stage, space: Space) -> None:
    pass


async def _for_money(stage: Stage, space: Space) -> None:
    payments = space["payments"] = stage.payments()
    await payments.open()
    space["redirect_to"] = stage.walked
    held = PaymentRequest(
        operation_id="other",
        gateway="bkash",
        amount=Money("5", "BDT"),
        merchant_reference="INV-other",
        intent=vextrus_payments.Intent.AUTHORIZATION,
    )
    space["other"] = await payments.initialize(held)
    await payments.execute(space["other"].payment_id)


async def _for_nagad(stage: Stage, space: Space) -> None:
    space["redirect_to"] = stage.walked


async def _for_settlement(stage: Stage, space: Space) -> None:
    page = [block for block in ALL if shown(block.page) == "docs/settlement.md"]
    for language, name in (("csv", "january.csv"), ("toml", "portal.toml")):
        (block,) = [block for block in page if block.language == language]
        (stage.folder / name).write_text(block.code, encoding="utf-8")
    space["payments"] = stage.payments()


async def _for_ledger(stage: Stage, space: Space) -> None:
    import asyncpg  # type: ignore[import-untyped]

    async def post_to_ledger(entry: Any) -> None:
        pass

    from vextrus_payments.sinks import HttpEndpoint

    space |= {"post_to_ledger": post_to_ledger, "asyncpg": asyncpg, "HttpEndpoint": HttpEndpoint}
    stage.put("FINANCE_SECRET", "whsec_" + "A" * 43 + "=")


async def _for_senders(stage: Stage, space: Space) -> None:
    arn = "arn:aws:sns:ap-southeast-1:123456789012:bpt_yourshop"
    space |= {"arn": arn, "clock": FakeClock(), "transport": None}


async def _for_tokens(stage: Stage, space: Space) -> None:
    stage.put("REDIS_PASSWORD", "canary-of-the-page")  # a canary, not a credential


async def _for_payouts(stage: Stage, space: Space) -> None:
    payments = space["payments"] = stage.payments()
    await payments.open()
    noted: list[str] = []
    space.update(noted=noted, note_paid=noted.append)


GIVEN: dict[str, Hook] = {
    "docs/payouts.md": _for_payouts,
    "docs/tokens.md": _for_tokens,
    "docs/money.md": _for_money,
    "docs/nagad.md": _for_nagad,
    "docs/sslcommerz.md": _for_nagad,
    "docs/settlement.md": _for_settlement,
    "docs/ledger.md": _for_ledger,
    "docs/webhooks-senders.md": _for_senders,
}


# --- what is done with it afterwards ----------------------------------------------------------------------------------


async def _after_money(stage: Stage, space: Space) -> None:
    payments = space["payments"]
    assert isinstance(await payments.status(space["session"].payment_id), Paid)
    assert isinstance(await payments.status(space["other"].payment_id), Declined)
    await payments.aclose()


async def _after_bkash(stage: Stage, space: Space) -> None:
    async def approve(session: Any) -> None:
        pass  # a payer of this stage does so at once

    space["approve"] = approve
    async with stage.payments() as payments:
        await space["hold_and_take"](payments)
        (payment,) = await payments.find(merchant_reference="INV-7")
        assert isinstance(await payments.status(payment.payment.payment_id), Paid)
    assert (await space["open_a_page"]()).startswith(stage.sandbox.server.url)


async def _after_recurring(stage: Stage, space: Space) -> None:
    """The page is opened and nobody has consented yet."""
    assert space["plan"].state == "awaiting_payer" and "/intent/web/intent/" in space["plan"].checkout_url
    await space["payments"].aclose()


async def _after_nagad(stage: Stage, space: Space) -> None:
    assert isinstance(space["outcome"], Paid)
    await space["payments"].aclose()


async def _after_safety(stage: Stage, space: Space) -> None:
    tell = space["what_to_show"]
    amount = Money("1", "BDT")
    declined = Declined(payment_id="p", reason=Reason(code=ReasonCode.INSUFFICIENT_BALANCE))
    assert tell(declined) == declined.reason.text("bn")
    assert tell(Paid(payment_id="p", amount=amount, transaction_id="t")) == "Thank you."
    assert tell(Authorized(payment_id="p", amount=amount, transaction_id=None)).startswith("Thank you, we")
    unknown = Unknown(payment_id="p", operation_id="o", since=FakeClock().now())
    assert tell(unknown) == "We are looking into it."


async def _after_settlement(stage: Stage, space: Space) -> None:
    async with space["payments"]:
        await space["settle_january"]()


async def _after_ledger(stage: Stage, space: Space) -> None:
    told: list[str] = []

    async def send(words: str) -> None:
        told.append(words)

    space["pager"] = SimpleNamespace(send=send)
    named = SimpleNamespace(value="parked")
    await space["page_somebody"](SimpleNamespace(kind=named, reason="why", row_id="ent_1", queue=named))
    assert told == ["parked: why (ent_1)"]


async def _after_payouts(stage: Stage, space: Space) -> None:
    assert len(space["noted"]) == 1
    assert [account.role for account in space["told"].accounts] == ["collection", "disbursement"]
    assert space["accounts"].disbursement_of("bkash", Mode.LIVE) == "gateway_disbursement:bkash:live"
    await space["payments"].aclose()


AFTER: dict[str, Hook] = {
    "docs/payouts.md": _after_payouts,
    "docs/money.md": _after_money,
    "docs/bkash.md": _after_bkash,
    "docs/nagad.md": _after_nagad,
    "docs/bkash_recurring.md": _after_recurring,
    "docs/sslcommerz.md": _after_nagad,
    "docs/money-safety.md": _after_safety,
    "docs/settlement.md": _after_settlement,
    "docs/ledger.md": _after_ledger,
}


# --- the tests ----------------------------------------------------------------------------------------------------


def executed(block: Block, space: Space, runner: asyncio.Runner) -> None:
    """Run one block; where it awaits at its top level, in the runner's loop."""
    code = compile(block.code, block.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    made = eval(code, space)
    if iscoroutine(made):
        runner.run(made)


@pytest.mark.parametrize("page", HERE)
def test_the_blocks_of_a_page_run(page: str, tmp_path: Path) -> None:
    mine = [block for block in PYTHON if shown(block.page) == page and block.why_not is None]
    space: Space = {name: getattr(vextrus_payments, name) for name in vextrus_payments.__all__}
    space["__name__"] = "shop_of_the_page"
    with staged(tmp_path) as stage, asyncio.Runner() as runner:
        runner.run(GIVEN.get(page, _nothing)(stage, space))
        for block in mine:
            here = replace(block, code=block.code.replace(SHOWN_URL, stage.sandbox.server.url))
            executed(here, space, runner)
        runner.run(AFTER.get(page, _nothing)(stage, space))


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.name)
def test_every_block_is_python(block: Block) -> None:
    compile(block.code, block.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


def test_what_runs_elsewhere_is_there() -> None:
    for page, test in ELSEWHERE.items():
        told = (ROOT / test).read_text(encoding="utf-8")
        helper = (ROOT / test).with_name("pages.py")
        told += helper.read_text(encoding="utf-8") if helper.is_file() else ""
        assert Path(page).name in told, f"{test} does not run {page}"


def test_a_block_that_breaks_is_noticed() -> None:
    with asyncio.Runner() as runner, pytest.raises(ZeroDivisionError):
        executed(
            Block(ROOT / "docs" / "x.md", 1, "python", "await later()\n", None), {"later": _broken}, runner
        )


async def _broken() -> None:
    raise ZeroDivisionError


def test_quick_start_as_a_program(tmp_path: Path) -> None:
    """What is shown as a whole program also runs as one."""
    (block,) = [block for block in PYTHON if shown(block.page) == "docs/quick-start.md"]
    program = tmp_path / "first.py"
    program.write_text(block.code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1250.50 BDT")
