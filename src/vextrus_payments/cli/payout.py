"""`vextrus-pay payout`: send money away, move it between own accounts, and see what became of it."""

import asyncio
import sys
from typing import Any, Final

import click

from vextrus_payments.cli.application import APP_HELP, opened, required_app
from vextrus_payments.cli.exit_codes import Exit, of_outcome
from vextrus_payments.cli.helping import Group
from vextrus_payments.cli.home import STORE_VARIABLE
from vextrus_payments.cli.look import cell, commands, line, right, rows
from vextrus_payments.cli.output import console, emit_json, say
from vextrus_payments.cli.params import GATEWAY, WholeNumber
from vextrus_payments.cli.payouts import answer_of, payout_document, payouts_of, show_known, show_resolved
from vextrus_payments.cli.shapes import outcome_document
from vextrus_payments.cli.views import View, outcome_view
from vextrus_payments.cli.waiting import Waiting
from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.gateways.registry import DEFAULT_TENANT
from vextrus_payments.money import Money
from vextrus_payments.outcomes import Pending, Unknown
from vextrus_payments.payouts import PayoutKind, PayoutRequest, TransferDirection, TransferRequest
from vextrus_payments.records import OperationState, Payout

_STORE_HELP: Final = f"Where payouts are kept; else {STORE_VARIABLE}, else the home folder."
_OPERATION: Final = click.argument("operation_id")
_APP: Final = click.option("--app", metavar="MODULE:ATTRIBUTE", help=APP_HELP)
_TENANT: Final = click.option("--tenant", default=DEFAULT_TENANT, show_default=True, help="Whose it is.")
_SANDBOX: Final = click.option("--sandbox", metavar="URL", help="In the sandbox that runs there.")
_LIVE: Final = click.option("--live", is_flag=True, help="Move real money: needed with live credentials.")
_STORE: Final = click.option("--store", metavar="URL", help=_STORE_HELP)
_JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
_AT: Final = click.option(
    "--gateway",
    type=GATEWAY,
    default="bkash",
    show_default=True,
    help="The gateway, where no --app is given.",
)


@click.group(
    cls=Group,
    examples=(
        (
            (
                "vextrus-pay payout send 01770618575 --amount 250.50 --reference salary-march-7 "
                "--operation-id salary-march-7 --sandbox http://127.0.0.1:28600"
            ),
            "once, however often the same command is run",
        ),
        ("vextrus-pay payout list --unsettled --app shop.payments:payments", "what nobody knows the end of"),
    ),
)
def command() -> None:
    """Send money to wallets, and move it between your own accounts at the gateway.

    A gateway that gets a payout twice pays twice. So each has an operation id of yours and is sent once; where the
    answer is lost it stays unknown, and is never sent again, until the gateway or you tell how it ended.
    """


@command.command(
    "send",
    moves_money=True,
    examples=(
        (
            (
                "vextrus-pay payout send 01770618575 --amount 250.50 --reference salary-march-7 "
                "--operation-id salary-march-7 --app shop.payments:payments"
            ),
            "with the shop's own store, ledger and credentials",
        ),
    ),
)
@click.argument("receiver")
@click.option("--amount", required=True, help="How much, in major units.")
@click.option("--currency", default="BDT", show_default=True)
@click.option("--reference", required=True, help="What it is for, in your own words.")
@click.option(
    "--operation-id", required=True, help="Your idempotency key: the same id again is the same payout."
)
@click.option(
    "--kind",
    type=click.Choice([PayoutKind.B2C.value, PayoutKind.B2B.value]),
    default=PayoutKind.B2C.value,
    show_default=True,
    help="b2c to a customer's wallet, b2b to a merchant's.",
)
@_AT
@_TENANT
@_APP
@_SANDBOX
@_LIVE
@_STORE
@_JSON
def send(
    receiver: str,
    amount: str,
    currency: str,
    reference: str,
    operation_id: str,
    kind: str,
    gateway: str,
    tenant: str,
    app: str | None,
    sandbox: str | None,
    live: bool,
    store: str | None,
    as_json: bool,
) -> int:
    """Send money to the wallet RECEIVER (01XXXXXXXXX), once."""
    request = PayoutRequest(
        operation_id=operation_id,
        gateway=gateway,
        amount=Money(amount, currency),
        receiver=receiver,
        reference=reference,
        kind=PayoutKind(kind),
    )

    async def run() -> int:
        where = payouts_of(app, gateway=gateway, sandbox=sandbox, live=live, store=store, tenant=tenant)
        async with where as payments:
            before = await payments.find_payout(operation_id)
            with Waiting(f"Paying out at {gateway}", quiet=as_json):
                outcome = await payments.payout(request)
            made_before = before is not None and before.state is OperationState.SUCCEEDED
            payout = await payments.find_payout(operation_id)
        return _show(outcome, payout, made_before=made_before, as_json=as_json)

    return asyncio.run(run())


@command.command(
    "transfer",
    moves_money=True,
    examples=(
        (
            (
                "vextrus-pay payout transfer --amount 10000 --to disbursement --operation-id fund-march "
                "--app shop.payments:payments"
            ),
            "before the salaries are paid",
        ),
    ),
)
@click.option("--amount", required=True, help="How much, in major units.")
@click.option("--currency", default="BDT", show_default=True)
@click.option(
    "--to",
    "towards",
    type=click.Choice(["disbursement", "collection"]),
    required=True,
    help="The account it moves to; it comes from the other one.",
)
@click.option("--operation-id", required=True, help="Your idempotency key: the same id again moves nothing.")
@_AT
@_TENANT
@_APP
@_SANDBOX
@_LIVE
@_STORE
@_JSON
def transfer(
    amount: str,
    currency: str,
    towards: str,
    operation_id: str,
    gateway: str,
    tenant: str,
    app: str | None,
    sandbox: str | None,
    live: bool,
    store: str | None,
    as_json: bool,
) -> int:
    """Move money between the account that payments come into and the one that payouts are made from, once."""
    request = TransferRequest(
        operation_id=operation_id,
        gateway=gateway,
        amount=Money(amount, currency),
        direction=TransferDirection(f"to_{towards}"),
    )

    async def run() -> int:
        where = payouts_of(app, gateway=gateway, sandbox=sandbox, live=live, store=store, tenant=tenant)
        async with where as payments:
            with Waiting(f"Transferring at {gateway}", quiet=as_json):
                outcome = await payments.transfer(request)
            payout = await payments.find_payout(operation_id)
        return _show(outcome, payout, as_json=as_json)

    return asyncio.run(run())


@command.command(
    "status",
    examples=(("vextrus-pay payout status salary-march-7 --app shop.payments:payments", "how it stands"),),
)
@_OPERATION
@_AT
@_TENANT
@_APP
@_SANDBOX
@_STORE
@_JSON
def status(
    operation_id: str,
    gateway: str,
    tenant: str,
    app: str | None,
    sandbox: str | None,
    store: str | None,
    as_json: bool,
) -> int:
    """Say what became of a payout or transfer; the gateway is asked where it can be."""

    async def run() -> int:
        where = payouts_of(app, gateway=gateway, sandbox=sandbox, store=store, tenant=tenant)
        async with where as payments:
            with Waiting(f"Asking {gateway}", quiet=as_json):
                outcome = await payments.payout_status(operation_id)
            payout = await payments.find_payout(operation_id)
        return _show(outcome, payout, as_json=as_json, looked=True)

    return asyncio.run(run())


@command.command(
    "list",
    examples=(
        ("vextrus-pay payout list --unsettled --app shop.payments:payments", "those whose end is open"),
    ),
)
@click.option("--unsettled", is_flag=True, help="Only those whose end is open.")
@click.option("--limit", type=WholeNumber(1, 1000), default=100, show_default=True, help="At most so many.")
@click.option("--cursor", help="Go on where a page ended.")
@_AT
@_TENANT
@_APP
@_SANDBOX
@_STORE
@_JSON
def list_payouts(
    unsettled: bool,
    limit: int,
    cursor: str | None,
    gateway: str,
    tenant: str,
    app: str | None,
    sandbox: str | None,
    store: str | None,
    as_json: bool,
) -> int:
    """Payouts and transfers, oldest first."""

    async def run() -> int:
        where = payouts_of(app, gateway=gateway, sandbox=sandbox, store=store, tenant=tenant)
        async with where as payments:
            page = await payments.list_payouts(unsettled=unsettled, cursor=cursor, limit=limit)
        if as_json:
            emit_json(
                {
                    "payouts": [payout_document(one) for one in page.rows],
                    "cursor": page.cursor,
                    "exit_code": 0,
                }
            )
            return Exit.DONE
        out = console()
        if not page.rows:
            line(out, "There is none." if not unsettled else "Nothing is open.")
            return Exit.DONE
        cells = [
            [
                cell(one.operation_id),
                cell(one.kind.value),
                cell(str(one.amount)),
                cell(one.state.value),
                cell(one.operation.transaction_id or ""),
            ]
            for one in page.rows
        ]
        rows(out, ["Operation", "Kind", right("Amount"), "State", "Transaction"], cells)
        if page.cursor is not None:
            line(out, f"There are more: --cursor {page.cursor}")
        return Exit.DONE

    return asyncio.run(run())


@command.command(
    "withdraw",
    examples=(
        ("vextrus-pay payout withdraw salary-march-7 --app shop.payments:payments", "it was never sent"),
    ),
)
@_OPERATION
@_AT
@_TENANT
@_APP
@_SANDBOX
@_STORE
@_JSON
def withdraw(
    operation_id: str,
    gateway: str,
    tenant: str,
    app: str | None,
    sandbox: str | None,
    store: str | None,
    as_json: bool,
) -> int:
    """Cancel a payout or transfer that was never let out."""

    async def run() -> int:
        where = payouts_of(app, gateway=gateway, sandbox=sandbox, store=store, tenant=tenant)
        async with where as payments:
            await payments.withdraw_payout(operation_id)
            payout = await payments.find_payout(operation_id)
        assert payout is not None, "it was there a moment ago"
        if as_json:
            emit_json({"payout": payout_document(payout), "withdrawn": True, "exit_code": 0})
        else:
            say("Withdrawn: it will not be sent.")
        return Exit.DONE

    return asyncio.run(run())


@command.command(
    "resolve",
    examples=(
        (
            "vextrus-pay payout resolve salary-march-7 --app shop.payments:payments",
            "shows what is known, and the version to pass; records nothing",
        ),
        (
            (
                "vextrus-pay payout resolve salary-march-7 --app shop.payments:payments --made DKN5ABCDEF "
                '--amount 250.50 --actor rahim --reason "The portal lists it as completed" '
                '--evidence "ticket 4711" --reviewed 4'
            ),
            "the gateway's portal shows it as made",
        ),
    ),
)
@_OPERATION
@click.option("--made", metavar="TRX", help="It was made: the gateway's transaction id.")
@click.option("--amount", help="With --made: how much left, as the gateway has it.")
@click.option("--currency", default="BDT", show_default=True)
@click.option("--not-made", is_flag=True, help="It was not made, and cannot be made any more.")
@click.option("--actor", help="Who says so: your name.")
@click.option("--reason", help="Why: a sentence.")
@click.option("--evidence", multiple=True, help="What it rests on: a ticket, a statement's line.")
@click.option("--reviewed", type=int, metavar="VERSION", help="The version you have looked at.")
@click.option("--yes", is_flag=True, help="Do not ask whether you mean it.")
@_AT
@_TENANT
@_APP
@_SANDBOX
@_STORE
@_JSON
def resolve(
    operation_id: str,
    made: str | None,
    amount: str | None,
    currency: str,
    not_made: bool,
    actor: str | None,
    reason: str | None,
    evidence: tuple[str, ...],
    reviewed: int | None,
    yes: bool,
    gateway: str,
    tenant: str,
    app: str | None,
    sandbox: str | None,
    store: str | None,
    as_json: bool,
) -> int:
    """Say how a payout or transfer ended that no gateway tells.

    Without --made or --not-made it only shows what is known, and the version to pass. Look at the gateway's portal or
    statement first; what the balances say is a hint, for others pay out too. Your answer is kept for ever with your
    name, and announced; the gateway's own word, should it come later, outranks it.
    """
    if made is not None and not_made:
        raise click.UsageError("Give one of --made and --not-made.")
    if (amount is None) is not (made is None):
        raise click.BadParameter("--made and --amount go together.", param_hint="--amount")

    async def run() -> int:
        where = payouts_of(app, gateway=gateway, sandbox=sandbox, store=store, tenant=tenant)
        async with where as payments:
            payout = await payments.find_payout(operation_id)
            if payout is None:
                raise InvalidRequestError(
                    "There is no payout or transfer with that operation.",
                    field="operation_id",
                    rule="of a payout or transfer",
                )
            if made is None and not not_made:
                return show_known(payout, as_json=as_json)
            request = answer_of(
                payout,
                made=made,
                amount=None if amount is None else Money(amount, currency),
                said=(actor, reason, evidence, reviewed),
            )
            if not yes and not as_json and sys.stdin.isatty():
                show_known(payout, as_json=False)
                if not click.confirm(f"Record {request.verdict.value}, for version {reviewed}?", err=True):
                    say("Nothing was recorded.")
                    return Exit.NOT_SENT
            done = await payments.resolve_payout(request)
        return show_resolved(done, as_json=as_json)

    return asyncio.run(run())


@command.command(
    "clear-restored",
    examples=(
        (
            "vextrus-pay payout clear-restored --app shop.payments:payments",
            "after the statement was compared",
        ),
    ),
)
@_APP
@_JSON
def clear_restored(app: str | None, as_json: bool) -> int:
    """After a restored backup: say that the payouts made meanwhile are accounted for.

    No gateway can be asked which payouts it made since the backup, and a repeated call would pay twice. Compare with
    the gateway's statement first: whatever is in it and not in our records must not be asked for again.
    """
    payments = required_app(app, "payout clear-restored")

    async def run() -> int:
        async with opened(payments):
            await payments.clear_payouts()
        if as_json:
            emit_json({"cleared": True, "exit_code": 0})
        else:
            say("Payouts may leave again.")
        return Exit.DONE

    return asyncio.run(run())


def _show(
    outcome: Any, payout: Payout | None, *, as_json: bool, looked: bool = False, made_before: bool = False
) -> int:
    code = of_outcome(outcome, looked=looked)
    if as_json:
        document: dict[str, Any] = {**outcome_document(outcome, looked=looked)}
        if payout is not None:
            document["payout"] = payout_document(payout)
        if made_before:
            document["made_before"] = True
        emit_json(document)
        return code
    out = console()
    view: View = outcome_view(outcome)
    if isinstance(outcome, Unknown):
        view.title = "Unknown: nobody can tell yet whether money left"
        view.text = "It is not sent again. Look at the gateway's portal, then say how it ended."
    elif isinstance(outcome, Pending) and not outcome.sent:
        view.title, view.text = "Not sent", "Nothing left. Run the same command again, or withdraw it."
    if payout is not None:
        view.facts = [*view.facts, ("Operation", payout.operation_id), ("At the gateway", payout.payout_id)]
    if made_before:
        view.text = "It was made before, under the same operation id: nothing was sent now."
    view.show(out)
    if isinstance(outcome, Unknown) and payout is not None:
        commands(out, [("Say how it ended", f"vextrus-pay payout resolve {payout.operation_id}")])
    return code
