"""Every shell block of the pages is run, or says above it why not; and what it says is true of the commands there are.

A block that is run sees the sandbox at the address the pages show, a shop (`shop.payments:payments`) that has taken
one payment, INV-8812, and its id where a page writes one down.
"""

import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest

from tests.docs.blocks import ALL, ROOT, Block
from tests.docs.stage import SHOWN_URL, Stage, needs, staged
from vextrus_payments import Money, Paid, PaymentRequest
from vextrus_payments.cli.root import root

SHELL = [block for block in ALL if block.language == "sh"]
#: A page that is followed from top to bottom by a test of its own.
FOLLOWED = ROOT / "docs" / "ten-minutes.md"
RUN = [block for block in SHELL if block.why_not is None and block.page != FOLLOWED]
_PAYMENT_ID = re.compile(r"\bpay_01\w*\.\.\.")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("shop")
    with staged(folder) as made:
        yield made


@pytest.fixture(scope="module")
def payment_id(stage: Stage) -> str:
    """A payment of the shop."""
    import asyncio

    async def sell() -> str:
        async with stage.payments(store="sqlite:///payments.db", workers=False) as payments:
            session = await payments.initialize(
                PaymentRequest(
                    operation_id="order-8812/pay",
                    gateway="bkash",
                    amount=Money("1250.50", "BDT"),
                    merchant_reference="INV-8812",
                )
            )
            assert isinstance(await payments.execute(session.payment_id), Paid)
            return session.payment_id

    return asyncio.run(sell())


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sh is not everywhere")
@pytest.mark.parametrize("block", RUN, ids=lambda block: block.name)
def test_a_block_runs(block: Block, stage: Stage, payment_id: str) -> None:
    needs("bash", *(["curl"] if "curl" in block.code else []))
    code = block.code.replace(SHOWN_URL, stage.sandbox.server.url)
    code = _PAYMENT_ID.sub(payment_id, code)
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", code], cwd=stage.folder, env=stage.environ, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    with process:
        try:
            said, complaints = process.communicate(timeout=60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # a page's block must leave nothing running
    assert process.returncode == 0, f"{block.name}\n{said}\n{complaints}"
    assert "Traceback" not in complaints
    assert not re.search(r'(?m)^\{"error"', said), said


# --- what is shown of commands is so, also where it is not run --------------------------------------------------------


def commands(code: str) -> Iterator[list[str]]:
    """Every command of a block as its words: lines joined, comments and assignments in front dropped."""
    inner = re.findall(r"\$\(([^()]*)\)", code)
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"\$\([^()]*\)", "X", code))
    for line in [*joined.splitlines(), *inner]:
        reader = shlex.shlex(re.sub(r"\[(--[^]]*)\]", r"\1", line), posix=True, punctuation_chars="|&;")
        reader.whitespace_split = True
        words: list[str] = []
        for word in [*reader, ";"]:
            if set(word) <= set("|&;"):
                while words and re.match(r"[A-Z_]+=", words[0]):
                    words = words[1:]
                if words:
                    yield words
                words = []
            else:
                words.append(word)


def objection(words: list[str]) -> str | None:
    """What is wrong with a command that a page shows; None: nothing that can be seen without running it."""
    match words:
        case ["vextrus-pay", *rest]:
            return _cli_objection(rest[: rest.index(">")] if ">" in rest else rest)
        case ["make", target, *_]:
            known = re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"))
            return None if target in known else f"make has no target {target}"
        case ["python" | "python3", script, *_] if script.startswith("scripts/"):
            return None if (ROOT / script).is_file() else f"there is no {script}"
        case ["pip", "install", *names]:
            wanted = {extra for name in names for extra in re.findall(r"^vextrus-payments\[(\w+)\]$", name)}
            project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
            missing = [extra for extra in wanted if not re.search(rf"(?m)^{extra} = \[", project)]
            return f"there is no extra {missing}" if missing else None
    return None


def _cli_objection(arguments: list[str]) -> str | None:
    command: click.Command = root
    context = click.Context(root, info_name="vextrus-pay")
    while isinstance(command, click.Group):
        name, *arguments = arguments or [""]
        if name.startswith("-"):
            return None if name in ("--help", "--version") else f"vextrus-pay has no {name} there"
        found = command.get_command(context, name)
        if found is None:
            return f"vextrus-pay has no command {name!r}"
        command, context = found, click.Context(found, parent=context, info_name=name)
    try:
        given, left_over, _ = command.make_parser(context).parse_args(list(arguments))
    except click.UsageError as error:
        return f"{context.command_path}: {error.format_message()}"
    if left_over:
        return f"{context.command_path} takes no {left_over[0]!r}"
    needed = [one for one in command.params if isinstance(one, click.Option) and one.required]
    missing = [one.opts[0] for one in needed if one.name not in given]
    return f"{context.command_path} needs {', '.join(missing)}" if missing else None


@pytest.mark.parametrize("block", SHELL, ids=lambda block: block.name)
def test_what_a_block_says_is_so(block: Block) -> None:
    found = [problem for words in commands(block.code) if (problem := objection(words))]
    assert found == [], block.name


def test_wrong_commands_are_noticed() -> None:
    wrong = {
        "vextrus-pay pay bkash --amuont 1": "No such option",
        "vextrus-pay outbox lost": "no command 'lost'",
        "vextrus-pay pay bkash --amount 1 --reference A 50": "takes no '50'",
        "vextrus-pay pay bkash --amount 1": "needs --reference",
        "make coffee": "no target",
        "python scripts/none.py": "there is no",
        'pip install "vextrus-payments[tea]"': "there is no extra",
        'eval "$(vextrus-pay sandbox env --nowhere x)"': "No such option",
    }
    for code, problem in wrong.items():
        found = [said for words in commands(code) if (said := objection(words))]
        assert len(found) == 1 and problem in found[0], (code, found)


def test_every_command_of_the_table_is_there() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for shown in re.findall(r"(?m)^\| `(vextrus-pay [^`]+)`", text):
        plain = re.sub(r"[\[\]]|\\\||\.\.\.", " ", shown.split(",")[0])
        assert objection(shlex.split(plain)) is None, shown


def test_nothing_that_is_run_installs_anything() -> None:
    wrong = [block.name for block in RUN if re.search(r"\b(pip|apt|apt-get|npm|uv) ", block.code)]
    assert wrong == [], "say above it: <!-- not run: installs packages -->"


def test_a_reason_is_a_reason() -> None:
    for block in ALL:
        assert block.why_not is None or len(block.why_not) > 10, block.name


@pytest.mark.parametrize(
    "block", [block for block in ALL if block.language in ("json", "toml")], ids=lambda block: block.name
)
def test_documents_can_be_read(block: Block) -> None:
    import tomllib

    if block.language == "toml":
        tomllib.loads(block.code)
        return
    assert json.loads(block.code)


def test_curls_meet_routes_that_exist(stage: Stage) -> None:
    """Every control of the sandbox that a page names is one it has."""
    from starlette.routing import Match, Route

    routes = [route for route in stage.sandbox.server.app.routes if isinstance(route, Route)]
    for page in sorted({block.page for block in ALL} | {ROOT / "docs" / "sandbox.md"}):
        for method, path in re.findall(
            r"\b(GET|POST|PUT|DELETE|PATCH) (?:http://127\.0\.0\.1:28600)?(/_sandbox/[\w/.{}-]*[\w}])",
            page.read_text("utf-8"),
        ):
            scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
            assert any(route.matches(scope)[0] is Match.FULL for route in routes), (
                f"{page.name}: {method} {path}"
            )


def test_blocks_name_their_page() -> None:
    assert Path(SHELL[0].page).is_file() and len(ALL) > 60
