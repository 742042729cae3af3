"""`vextrus-pay payout`: send money away, move it between own accounts, and see what became of it."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from vextrus_payments.cli.declines import Mover
from vextrus_payments.cli.exit_codes import Exit, of_outcome
from vextrus_payments.cli.helping import Group
from vextrus_payments.cli.look import cell, commands, line, right, rows
from vextrus_payments.cli.output import console, emit_json, say
from vextrus_payments.cli.params import WholeNumber
from vextrus_payments.cli.payout_answers import clear_restored, resolve
from vextrus_payments.cli.payout_in_short import mover_of
from vextrus_payments.cli.payout_options import OPERATION, Place, at_a_place
from vextrus_payments.cli.payout_places import check_first_here, named_place, place_of, sandbox_of
from vextrus_payments.cli.payouts import payout_document, said_of
from vextrus_payments.cli.shapes import outcome_document
from vextrus_payments.cli.target import Target
from vextrus_payments.cli.views import View, outcome_view
from vextrus_payments.cli.waiting import Waiting
from vextrus_payments.money import Money
from vextrus_payments.outcomes import Pending, Review, Unknown
from vextrus_payments.payouts import PayoutKind, PayoutRequest, TransferDirection, TransferRequest
from vextrus_payments.records import OperationState, Payout

if TYPE_CHECKING:
    from vextrus_payments.app import Payments, TenantPayments


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
        (
            "vextrus-pay payout list --unsettled --app shop.payments:payments",
            "what waits for the gateway, or for you",
        ),
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
@at_a_place(moves_money=True)
def send(
    receiver: str,
    amount: str,
    currency: str,
    reference: str,
    operation_id: str,
    kind: str,
    place: Place,
) -> int:
    """Send money to the wallet RECEIVER (01XXXXXXXXX), once."""
    request = PayoutRequest(
        operation_id=operation_id,
        gateway=place.gateway,
        amount=Money(amount, currency),
        receiver=receiver,
        reference=reference,
        kind=PayoutKind(kind),
    )

    async def run() -> int:
        target = await place_of(place.wish, operation_id)
        async with place.verbs(target) as payments:
            await _check(place, target, payments, operation_id)
            before = await payments.find_payout(operation_id)
            with Waiting(f"Paying out at {place.gateway}", quiet=place.as_json):
                outcome = await payments.payout(replace(request, metadata=_remembered(target)))
            made_before = before is not None and before.state is OperationState.SUCCEEDED
            payout = await payments.find_payout(operation_id)
        return _show(outcome, payout, made_before=made_before, place=place)

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
@at_a_place(moves_money=True)
def transfer(
    amount: str,
    currency: str,
    towards: str,
    operation_id: str,
    place: Place,
) -> int:
    """Move money between the account that payments come into and the one that payouts are made from, once."""
    request = TransferRequest(
        operation_id=operation_id,
        gateway=place.gateway,
        amount=Money(amount, currency),
        direction=TransferDirection(f"to_{towards}"),
    )

    async def run() -> int:
        target = await place_of(place.wish, operation_id)
        async with place.verbs(target) as payments:
            await _check(place, target, payments, operation_id)
            with Waiting(f"Transferring at {place.gateway}", quiet=place.as_json):
                outcome = await payments.transfer(replace(request, metadata=_remembered(target)))
            payout = await payments.find_payout(operation_id)
        return _show(outcome, payout, place=place)

    return asyncio.run(run())


@command.command(
    "status",
    examples=(("vextrus-pay payout status salary-march-7 --app shop.payments:payments", "how it stands"),),
)
@OPERATION
@at_a_place()
def status(
    operation_id: str,
    place: Place,
) -> int:
    """Say what became of a payout or transfer; the gateway is asked where it can be."""

    async def run() -> int:
        async with place.verbs(await place_of(place.wish, operation_id)) as payments:
            with Waiting(f"Asking {place.gateway}", quiet=place.as_json):
                outcome = await payments.payout_status(operation_id)
            payout = await payments.find_payout(operation_id)
        return _show(outcome, payout, place=place, looked=True)

    return asyncio.run(run())


@command.command(
    "list",
    examples=(
        ("vextrus-pay payout list --unsettled --app shop.payments:payments", "those that wait for somebody"),
    ),
)
@click.option("--unsettled", is_flag=True, help="Only those whose end is open, or that are under review.")
@click.option("--limit", type=WholeNumber(1, 1000), default=100, show_default=True, help="At most so many.")
@click.option("--cursor", help="Go on where a page ended.")
@at_a_place()
def list_payouts(
    unsettled: bool,
    limit: int,
    cursor: str | None,
    place: Place,
) -> int:
    """Payouts and transfers, oldest first."""

    async def run() -> int:
        async with place.verbs(named_place(place.wish)) as payments:
            page = await payments.list_payouts(unsettled=unsettled, cursor=cursor, limit=limit)
        if place.as_json:
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
                cell(said_of(one)),
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
@OPERATION
@at_a_place()
def withdraw(
    operation_id: str,
    place: Place,
) -> int:
    """Cancel a payout or transfer that was never let out."""

    async def run() -> int:
        target = await place_of(place.wish, operation_id, writes=True)
        async with place.verbs(target) as payments:
            await payments.withdraw_payout(operation_id)
            payout = await payments.find_payout(operation_id)
        assert payout is not None, "it was there a moment ago"
        if place.as_json:
            emit_json({"payout": payout_document(payout), "withdrawn": True, "exit_code": 0})
        else:
            say("Withdrawn: it will not be sent.")
        return Exit.DONE

    return asyncio.run(run())


command.add_command(resolve)
command.add_command(clear_restored)


async def _check(
    place: Place, target: Target | None, payments: "Payments | TenantPayments", operation_id: str
) -> None:
    if target is None:
        await check_first_here(place.wish, payments, operation_id)


def _remembered(target: Target | None) -> Mapping[str, str]:
    """What it keeps of where it was asked for; an application's keeps nothing: its name says where."""
    return {} if target is None else target.metadata


def _show(
    outcome: Any, payout: Payout | None, *, place: Place, looked: bool = False, made_before: bool = False
) -> int:
    code = of_outcome(outcome, looked=looked)
    mover = Mover.PAYOUT if payout is None else mover_of(payout)
    if place.as_json:
        document: dict[str, Any] = {**outcome_document(outcome, looked=looked, of=mover)}
        if payout is not None:
            document["payout"] = payout_document(payout)
        if made_before:
            document["made_before"] = True
        emit_json(document)
        return code
    out = console()
    view: View = outcome_view(outcome, of=mover)
    sandbox = None if payout is None else sandbox_of(payout)
    if isinstance(outcome, Unknown):
        view.title = "Unknown: nobody can tell yet whether money left"
        view.text = "It is not sent again. Look at the gateway's portal, then say how it ended."
    elif isinstance(outcome, Pending) and not outcome.sent:
        view.title, view.text = "Not sent", "Nothing left. Run the same command again, or withdraw it."
        if sandbox is not None:
            view.text += " Is that sandbox still running? Start one: vextrus-pay sandbox serve"
    if payout is not None:
        view.facts = [*view.facts, ("Operation", payout.operation_id), ("At the gateway", payout.payout_id)]
    if sandbox is not None:
        view.facts = [*view.facts, ("Where", f"the sandbox at {sandbox}")]
    if made_before:
        view.text = "It was made before, under the same operation id: nothing was sent now."
    view.show(out)
    if isinstance(outcome, Unknown | Review) and payout is not None:
        commands(
            out, [("Say how it ended", f"vextrus-pay payout resolve {payout.operation_id}{place.again}")]
        )
    return code
