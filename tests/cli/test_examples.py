"""Every command has examples and `--json`, every example is understood, and those that can run do, in a shop."""

import asyncio
import re
import shlex
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import click
import pytest

from tests.cli.plans import Plans
from tests.cli.running import Done, Gateway, Here
from tests.cli.shop_app import ShopApp, told_otherwise
from tests.cli.test_webhooks_command import row as inbox_row
from tests.cli.test_webhooks_verify import SETTINGS
from tests.verifiers.amazon import delivery, envelope, leaf, pem
from vextrus_payments.cli.exit_codes import MEANINGS, Exit
from vextrus_payments.cli.helping import Command, Group
from vextrus_payments.cli.root import root
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.paying_out import plan_payout
from vextrus_payments.payouts import PayoutRequest, TransferDirection, TransferRequest
from vextrus_payments.records import OutboxKind
from vextrus_payments.stores import SqliteStore

_NUMBERS = count(1)
APP = "shop.payments:payments"
FORMAT = """\
name = "bKash's export"

[columns]
transaction_id = "Transaction ID"
kind = "Type"
amount = "Amount"
fee = "Charge"
settled_on = "Settled"

[kinds]
Payment = "payment"
"""

#: Words of an example -> why it is understood here, and run elsewhere.
ELSEWHERE = {
    "--live": "moves real money",
    "--by-hand": "waits for a person: test_uat_report.py has one",
    "postgresql://": "needs a PostgreSQL server: test_migrate.py has one",
    "reconcile --watch": "goes on until Ctrl+C: test_operating.py ends it",
    "worker --app shop.payments:payments": "goes on until it is told to stop: test_worker.py tells it",
    "body.json --at 2d": "fetches a certificate: test_webhooks_verify.py has one at hand",
    "sandbox reset": "would empty the sandbox of the other examples: test_sandbox_state.py has one of its own",
    "sandbox serve": "goes on until Ctrl+C: conftest.py has it for the whole session, on a port that is free",
}
RUNS_AFTER_ALL = ("worker --app shop.payments:payments --once",)
#: Examples that show something is open, or differs, or is not set up: that is no fault of theirs.
CODES = {
    "settle": {Exit.DONE, Exit.DECLINED},
    "agreement compare": {Exit.DONE, Exit.DECLINED},  # the sandbox has other shops too
    "doctor": {Exit.DONE, Exit.DECLINED},
    "sandbox manners": {Exit.DONE, Exit.DECLINED, Exit.OPEN},
    "webhooks verify": {Exit.DONE, Exit.DECLINED},
    "webhooks forward": {Exit.DONE, Exit.DECLINED},
    "resolve": {Exit.DONE, Exit.OPEN},
    "reconcile": {Exit.DONE, Exit.OPEN},
    "migrate": {Exit.DONE, Exit.OPEN},
}


def _walk(command: click.Command, path: str, ctx: click.Context) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            found = command.get_command(ctx, name)
            assert found is not None
            yield from _walk(found, f"{path} {name}", ctx)


COMMANDS = dict(_walk(root, "vextrus-pay", click.Context(root)))
LINES: list[str] = list(
    dict.fromkeys(line for command in COMMANDS.values() for line, _ in getattr(command, "examples", ()))
)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_explains_itself(path: str) -> None:
    command = COMMANDS[path]
    assert isinstance(command, Command | Group), "made with cls=Command or cls=Group of cli.helping"
    assert command.help, "what it does"
    assert command.examples, "examples="
    for line, what in command.examples:
        if path != "vextrus-pay":
            assert path in line, "an example of a command is about this command"
        assert what and what == what.strip(), "what the example does"
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name != "currency":
            assert parameter.help, f"{parameter.opts} has no help"
    if not isinstance(command, click.Group):
        assert any("--json" in parameter.opts for parameter in command.params), "--json everywhere"


@pytest.mark.parametrize("path", COMMANDS)
def test_the_help_page_shows_the_examples(here: Here, path: str) -> None:
    shown = here.run(*path.split()[1:], "--help")
    assert (shown.code, shown.err) == (0, "")
    page = shown.out
    assert page.startswith("Usage: vextrus-pay")
    command = COMMANDS[path]
    assert isinstance(command, Command | Group)
    for line, what in command.examples:
        assert f"  {line}\n" in page, "whole, so that it can be copied"
        assert f"  # {what}\n" in page


def test_the_exit_codes_of_the_help_page_are_those_of_the_docs(here: Here) -> None:
    docs = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    page = " ".join(here.run("--help").out.split())
    for code, meaning in MEANINGS.items():
        assert f"| {int(code)} | {meaning} |" in docs
        assert f"{int(code)} {meaning}" in page
    assert set(MEANINGS) == set(Exit)


def test_every_command_stands_in_the_docs() -> None:
    docs = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    table = " ".join(line for line in docs.splitlines() if line.startswith("| `vextrus-pay "))
    for path, command in COMMANDS.items():
        if not isinstance(command, click.Group):
            _, *names = path.split()
            assert all(name in table for name in names), path


def _words(line: str) -> list[str]:
    """The words of the `vextrus-pay` in a line that a shell takes: without what surrounds it."""
    found = re.search(r"vextrus-pay (.*)", line)
    assert found is not None, line
    inner = found[1]
    if f'"$({found[0][:11]}' in line:
        inner = inner.removesuffix(')"')
    return shlex.split(re.split(r" [|>] ", inner)[0])


@pytest.mark.parametrize("line", LINES)
def test_every_example_is_understood(line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Parsed as a command line is, up to the point where the command would begin."""
    monkeypatch.chdir(tmp_path)
    for name in ("headers.json", "body.json", "headers.txt", "signing.pem"):  # those that have to exist
        (tmp_path / name).write_bytes(b"{}")
    words, command, context = _words(line), root, click.Context(root, info_name="vextrus-pay")
    while isinstance(command, click.Group):
        name, *words = words
        found = command.get_command(context, name)
        assert found is not None, f"there is no command {name}"
        command = found
        if not isinstance(command, click.Group):
            context = command.make_context(name, words, parent=context)
            assert not context.args


class Shop:
    """A shop in the folder where the examples are typed, with as much of everything as they name."""

    def __init__(self, folder: Path, sandbox: Gateway, here: Here) -> None:
        self.folder = folder
        self.app = ShopApp(folder / "shop", sandbox, "payments")
        self._sandbox = sandbox
        self._here = here
        (folder / "bkash.toml").write_text(FORMAT, encoding="utf-8")
        statement = "Transaction ID,Type,Amount,Charge,Settled\nDAJ4KWXYZ1,Payment,100.00,1.85,2026-01-21\n"
        (folder / "january.csv").write_text(statement, encoding="utf-8")
        (folder / "scenario.yaml").write_text("payments: [{amount: 9.75, outcome: open}]", encoding="utf-8")
        sent = delivery(envelope())
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.headers.items())
        (folder / "headers.txt").write_bytes(lines.encode())
        (folder / "signing.pem").write_bytes(pem(leaf()))
        self._body = sent.body

    def run(self, line: str) -> Done:
        """Type the example, with the names of this shop for those that stand for any."""
        words = " ".join(_words(line)[:2])
        filled = self._filled(line, words)
        if words.startswith("webhooks verify"):
            (self.folder / "headers.json").write_text("{}", encoding="utf-8")
            (self.folder / "body.json").write_bytes(self._body)
        env = {"VEXTRUS_PAY_STORE": f"sqlite:///{self.app.database}", **self.app.env, **SETTINGS_OF_SENDERS}
        if words.startswith("agreement"):
            env |= self._sandbox.all_variables()
        if words.startswith(("pay ", "demo", "completion", "urls")):
            env = {}  # a sandbox of its own, as for somebody who begins
        return self._here.run(*_words(filled), env=env)

    def _filled(self, line: str, words: str) -> str:
        for address in ("http://127.0.0.1:28600", "http://127.0.0.1:8000"):
            line = line.replace(address, self._sandbox.url)
        if "EVENT_ID" in line or words.startswith("webhooks"):
            line = line.replace("EVENT_ID", self._news())
        if "ent_5f0c..." in line or "outbox" in words:
            line = line.replace("ent_5f0c...", self._set_aside())
        if words.startswith("payout"):
            return self._payout(line, words)
        if "agr_01jd..." in line:
            return line.replace("agr_01jd...", self._subscribed())
        if "resolve" in words:
            return self._unknown(line)
        if any(name in line for name in ("pay_01jd...", "TR0011...", "DKN5ABCDEF", "INV-8812")):
            line = self._paid(line)
        if line.startswith("vextrus-pay pay ") and "--approve" not in line:
            line += " --approve"  # nobody is there to open the page
        return line

    def _paid(self, line: str) -> str:
        reference = f"INV-88120{next(_NUMBERS)}"
        session = self.app.paid(reference, f"{100 + next(_NUMBERS)}.00")
        booked = self._sandbox.payment(session.gateway_reference)
        line = line.replace("--amount 100", f"--amount {booked['amount']}")
        for name, value in (
            ("pay_01jd...", session.payment_id),
            ("TR0011...", session.gateway_reference),
            ("DKN5ABCDEF", booked["transaction_id"]),
            ("INV-8812", reference),
        ):
            line = line.replace(name, value)
        return line

    def _unknown(self, line: str) -> str:
        session = self.app.unknown(f"INV-8{next(_NUMBERS)}", f"{300 + next(_NUMBERS)}.00")
        shown = self._here.run("resolve", session.payment_id, "--app", APP, "--json", env=self.app.env)
        version = str(shown.document["version"])
        amount = self._sandbox.payment(session.gateway_reference)["amount"]
        line = line.replace("pay_01jd...", session.payment_id).replace("1250.50", amount)
        return line.replace("--reviewed 7", f"--reviewed {version} --yes")

    def _payout(self, line: str, words: str) -> str:
        """The payout that the example names, as the example says it is; or what a transfer is to be taken from."""
        request = PayoutRequest(
            operation_id=f"salary-{next(_NUMBERS)}",
            gateway="bkash",
            amount=Money("250.50"),
            receiver="01770618575",
            reference="salary",
        )
        line = line.replace("salary-march-7", request.operation_id).replace(
            "fund-march", f"fund-{next(_NUMBERS)}"
        )
        if words.endswith("transfer"):
            there = TransferRequest(
                operation_id=f"fund-{next(_NUMBERS)}",
                gateway="bkash",
                amount=Money("10000"),
                direction=TransferDirection.TO_COLLECTION,
            )
            self.app.did(lambda payments: payments.transfer(there))
        elif words.endswith("status"):
            self.app.did(lambda payments: payments.payout(request))
        elif words.endswith("withdraw"):
            plan = plan_payout("default", f"pyo_{next(_NUMBERS)}", Mode.SANDBOX, request, datetime.now(UTC))
            self._do(lambda store: store.commit_payout(plan))
        elif "--cleared" in line:
            self.app.did(lambda payments: payments.payout(request))
            self.app.did(lambda payments: told_otherwise(payments, request.operation_id, "200"))
            line = line.replace("--reviewed 6", "--reviewed 5 --yes")
        elif words.endswith("resolve"):
            self._sandbox.order("payout", "drop_after")
            self.app.did(lambda payments: payments.payout(request))
            shown = self._here.run(
                "payout", "resolve", request.operation_id, "--app", APP, "--json", env=self.app.env
            )
            line = line.replace("--reviewed 4", f"--reviewed {shown.document['version']} --yes")
        return line

    def _subscribed(self) -> str:
        """A subscription that holds, among the shop's own records."""
        plans = Plans(self.app.database, self._sandbox)
        agreement = plans.asked(f"plan-{next(_NUMBERS)}")
        plans.consented(agreement)
        plans.did(lambda payments: payments.execute_agreement(agreement.agreement_key))
        plans.did(lambda payments: payments.agreement_status(agreement.agreement_key))
        return agreement.agreement_key

    def _news(self) -> str:
        event_id = f"event-{next(_NUMBERS)}"
        self._do(lambda store: store.accept_events([inbox_row(event_id, received_at=store.now())]))
        return event_id

    def _set_aside(self) -> str:
        self.app.paid(f"INV-88{next(_NUMBERS)}", f"{500 + next(_NUMBERS)}.00")

        async def work(store: SqliteStore) -> str:
            (row, *_) = await store.lease(OutboxKind.LEDGER, limit=1, lease_s=60)
            await store.nack(row, retry_at=None, why="There is no account.")
            return row.row_id

        row_id: str = self._do(work)
        return row_id

    def _do(self, work: Any) -> Any:
        async def opened() -> Any:
            store = SqliteStore(self.app.database)
            await store.open()
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(opened())


#: What judges the two files of `webhooks verify`.
SETTINGS_OF_SENDERS = {"BKASH_SNS_TOPIC_ARN": SETTINGS["BKASH_SNS_TOPIC_ARN"]}


@pytest.fixture
def shop(tmp_path: Path, sandbox: Gateway, here: Here, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """The shop, in the folder where commands are typed."""
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield Shop(tmp_path, sandbox, here)
    sys.path[:] = path
    for name in ("shop", "shop.payments"):
        sys.modules.pop(name, None)


def _why_not(line: str) -> str | None:
    if any(words in line for words in RUNS_AFTER_ALL):
        return None
    return next((why for words, why in ELSEWHERE.items() if words in line), None)


@pytest.mark.parametrize("line", [line for line in LINES if _why_not(line) is None])
def test_what_can_run_runs(shop: Shop, line: str) -> None:
    done = shop.run(line)
    words = " ".join(_words(line))
    allowed = next((codes for name, codes in CODES.items() if words.startswith(name)), {Exit.DONE})
    assert done.code in allowed, (done.out, done.err)
    assert "Traceback" not in done.err and "Something unforeseen" not in done.err
    if "--json" in words:
        assert done.lines


def test_what_is_not_run_is_known_by_name() -> None:
    """A new example either runs or says here why it does not."""
    for words in ELSEWHERE:
        assert any(words in line for line in LINES), f"no example has {words!r} any more"
