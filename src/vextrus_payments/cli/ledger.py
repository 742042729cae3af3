"""`vextrus-pay ledger`: the ledger side of things."""

import asyncio
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from vextrus_payments.cli.application import APP_HELP
from vextrus_payments.cli.balance import Clearing, GatewayBooks, Held, as_document, clearing_accounts
from vextrus_payments.cli.exit_codes import Exit
from vextrus_payments.cli.extension import sandbox_extension
from vextrus_payments.cli.helping import Group
from vextrus_payments.cli.home import STORE_VARIABLE
from vextrus_payments.cli.look import cell, line, nothing, right, rows, whole_line
from vextrus_payments.cli.output import console, emit_json
from vextrus_payments.cli.params import GATEWAY
from vextrus_payments.cli.records import Place, places
from vextrus_payments.cli.target import sandbox_target
from vextrus_payments.cli.waiting import Waiting
from vextrus_payments.errors import PaymentsError
from vextrus_payments.gateways.registry import DEFAULT_TENANT, Registry
from vextrus_payments.ledger import DEFAULT_ACCOUNTS, AccountMap
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money, total
from vextrus_payments.records import OperationKind, OperationState
from vextrus_payments.states import captured, refunded

if TYPE_CHECKING:
    from vextrus_payments.gateways.base import PaymentGateway

#: At most so many payments are named where books differ.
_NAMED = 20
_UNEXPLAINED = (
    "No single payment explains it: hold the gateway's statement against the records (vextrus-pay settle)."
)


@click.group(
    cls=Group,
    examples=(
        (
            "vextrus-pay ledger balance --app shop.payments:payments",
            "every clearing account of the shop's ledger",
        ),
    ),
)
def command() -> None:
    """Hold the ledger against the gateway's books."""


@command.command(
    examples=(
        ("vextrus-pay ledger balance --app shop.payments:payments", "every clearing account"),
        (
            "vextrus-pay ledger balance --app shop.payments:payments --sandbox http://127.0.0.1:28600",
            "against the books of the sandbox that runs there",
        ),
        (
            "vextrus-pay ledger balance --app shop.payments:payments --gateway bkash --mode live --json",
            "one account, for a script",
        ),
    ),
)
@click.option("--gateway", type=GATEWAY, help="This gateway only.")
@click.option("--mode", type=click.Choice([mode.value for mode in Mode]), help="Test or real money only.")
@click.option(
    "--tenant", default=DEFAULT_TENANT, show_default=True, help="Whose gateway is asked for its books."
)
@click.option("--sandbox", metavar="URL", help="Compare with the books of the sandbox that runs there.")
@click.option("--app", metavar="MODULE:ATTRIBUTE", help=APP_HELP)
@click.option("--store", metavar="URL", help=f"A store to read; else {STORE_VARIABLE}, else the home folder.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def balance(
    gateway: str | None,
    mode: str | None,
    tenant: str,
    sandbox: str | None,
    app: str | None,
    store: str | None,
    as_json: bool,
) -> int:
    """What the clearing accounts hold, by the ledger, and by the gateway's own books where it has any.

    The ledger's side is summed over every entry of the store's outbox, delivered or not. Exits 1 where the two
    differ, and names what to look at. bKash tells merchants no balance; a local sandbox tells all of its books.
    """

    async def run() -> int:
        accounts: list[dict[str, Any]] = []
        asked = Asked(gateway, Mode(mode) if mode else None, tenant, sandbox)
        with Waiting("Summing the entries", quiet=as_json) as busy:
            async with aclosing(places(app, store)) as every:
                async for place in every:
                    accounts += await _of_place(place, asked, busy)
        return _show(accounts, as_json=as_json)

    return asyncio.run(run())


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for."""

    gateway: str | None
    mode: Mode | None
    tenant: str
    sandbox: str | None


async def _of_place(place: Place, asked: Asked, busy: Waiting) -> list[dict[str, Any]]:
    rows = []
    async with AsyncExitStack() as stack:
        found = await clearing_accounts(
            place.store,
            _accounts(place),
            gateway=asked.gateway,
            mode=asked.mode,
            on_page=lambda read: busy.tell(f"Summing the entries: {read:,}"),
        )
        for clearing in found:
            busy.tell(f"Reading the books of {clearing.gateway}")
            held, why_not = await _held(place, clearing, asked, stack)
            row = as_document(clearing, held, why_not) | {"place": place.name, "look_at": []}
            if held is not None and clearing.difference(held):
                row["look_at"] = await _look_at(place, clearing, held, asked.tenant)
            rows.append(row)
    return rows


async def _held(
    place: Place, clearing: Clearing, asked: Asked, stack: AsyncExitStack
) -> tuple[Held | None, str | None]:
    """What the gateway holds by its own books, or why nobody compared."""
    if asked.sandbox is not None:
        if clearing.mode is not Mode.SANDBOX:
            return None, "A sandbox has no books of real money."
        address = sandbox_target(clearing.gateway, asked.sandbox).config.api_url
        return await _held_by_sandbox(place, clearing, address, asked.tenant)
    problem = ""
    ready: PaymentGateway | None = None
    try:
        ready = await _gateway(place, clearing.gateway, asked.tenant, stack)
        if ready.mode is clearing.mode and isinstance(ready, GatewayBooks):
            return await ready.held(clearing.currency), None
    except PaymentsError as error:
        problem = error.what
    if ready is None or problem:
        return None, f"The gateway could not be asked: {problem}"
    if ready.mode is not clearing.mode:
        return None, f"{clearing.gateway} is configured for {ready.mode.value} now."
    if clearing.mode is Mode.SANDBOX:
        return await _held_by_sandbox(place, clearing, ready.address, asked.tenant)
    return None, f"{clearing.gateway} tells no balance."


async def _held_by_sandbox(
    place: Place, clearing: Clearing, address: str, tenant: str
) -> tuple[Held | None, str | None]:
    """The local sandbox's books, as far as they are about payments of this store."""
    by_reference = await _sandbox_books(clearing.gateway, address)
    if by_reference is None:
        return None, "There is no sandbox at that address whose books could be read."
    ours = {
        reference: amount
        for reference, amount in by_reference.items()
        if amount.currency == clearing.currency
        and (
            await place.store.find(tenant, gateway=clearing.gateway, gateway_reference=reference)
            or (_from_clearing(place, clearing) and await place.store.get_payout(tenant, reference))
        )
    }
    held = total(ours.values(), clearing.currency)
    return Held(amount=held, pays_out=False, by_reference=ours), None


def _from_clearing(place: Place, clearing: Clearing) -> bool:
    """Whether payouts are booked against the clearing account: they are, unless the shop gave them one of their own."""
    accounts, gateway, mode = _accounts(place), clearing.gateway, clearing.mode
    return accounts.disbursement_of(gateway, mode) == accounts.clearing_of(gateway, mode)


def _accounts(place: Place) -> AccountMap:
    return place.payments.setup.accounts if place.payments is not None else DEFAULT_ACCOUNTS


async def _gateway(place: Place, name: str, tenant: str, stack: AsyncExitStack) -> "PaymentGateway":
    if place.payments is not None:
        return await place.payments.gateway_of(tenant, name)
    registry = Registry()
    stack.push_async_callback(registry.aclose)
    return await registry.gateway(tenant, name)


async def _sandbox_books(gateway: str, address: str) -> "dict[str, Money] | None":
    extension = sandbox_extension()
    if extension is None or extension.missing():
        return None
    found = await extension.sandbox().held(gateway, address)
    return None if found is None else dict(found)


async def _look_at(place: Place, clearing: Clearing, held: Held, tenant: str) -> list[str]:
    """What can explain a difference: payments of which both sides say something else, and what nobody knows yet."""
    found: list[str] = []
    for reference, theirs in (held.by_reference or {}).items():
        payout = await place.store.get_payout(tenant, reference)
        if payout is not None and payout.state is not OperationState.SUCCEEDED and len(found) < _NAMED:
            found.append(
                f"{payout.payout_id}: {payout.state.value} here, and the gateway sent {-theirs}; "
                f"vextrus-pay payout status {payout.operation_id}"
            )
        for facts in await place.store.find(tenant, gateway=clearing.gateway, gateway_reference=reference):
            ours = captured(facts) - refunded(facts)
            if ours != theirs and len(found) < _NAMED:
                found.append(
                    f"{facts.payment.payment_id}: the ledger has {ours}, the gateway {theirs}; "
                    f"vextrus-pay reconcile {facts.payment.payment_id}"
                )
    page = await place.store.list_operations(
        None, states=(OperationState.UNKNOWN, OperationState.PENDING), limit=_NAMED
    )
    found += [
        f"{o.payment_id}: nobody knows yet how {o.operation_id} ended; vextrus-pay explain {o.payment_id}"
        for o in page.rows
        if o.kind is not OperationKind.INITIALIZE
    ]
    return found or [_UNEXPLAINED]


def _show(accounts: list[dict[str, Any]], *, as_json: bool) -> int:
    differ = [row for row in accounts if row["difference"] is not None and not _is_zero(row)]
    exit_code = Exit.DECLINED if differ else Exit.DONE
    if as_json:
        emit_json({"accounts": accounts, "equal": not differ, "exit_code": int(exit_code)})
        return exit_code
    out = console()
    if not accounts:
        nothing(
            out,
            "There are no ledger entries yet.",
            [("What is recorded of a payment", "vextrus-pay explain NAME")],
        )
        return exit_code
    cells = []
    for row in accounts:
        told = row["difference"] is not None
        style = "open" if not told else "good" if _is_zero(row) else "bad"
        waiting = f" ({row['undelivered']} waiting)" if row["undelivered"] else ""
        cells.append(
            (
                cell(row["gateway"]),
                cell(row["mode"]),
                cell(f"{row['ledger']} {row['currency']}"),
                cell(
                    "not told"
                    if row["gateway_holds"] is None
                    else f"{row['gateway_holds']} {row['currency']}"
                ),
                cell(f"{row['difference']} {row['currency']}" if told else None, style),
                cell(f"{row['entries']}{waiting}"),
            )
        )
    amounts = (right("Ledger"), right("Gateway holds"), right("Difference"), right("Entries"))
    rows(out, ("Gateway", "Mode", *amounts), cells)
    for row in accounts:
        if row["not_compared"]:
            line(out, (f"{row['gateway']}, {row['mode']}: {row['not_compared']}", "hint"))
        for each in row["look_at"]:
            whole_line(out, each if each == _UNEXPLAINED else f"Look at {each}")
    return exit_code


def _is_zero(row: dict[str, Any]) -> bool:
    return not Money(row["difference"], row["currency"])
