"""`vextrus-pay balance`: what a gateway says that it holds for the merchant."""

import asyncio

import click

from vextrus_payments.cli.application import APP_HELP
from vextrus_payments.cli.exit_codes import Exit
from vextrus_payments.cli.helping import Command
from vextrus_payments.cli.home import STORE_VARIABLE
from vextrus_payments.cli.look import cell, line, right, rows
from vextrus_payments.cli.output import console, emit_json
from vextrus_payments.cli.params import GATEWAY
from vextrus_payments.cli.payout_places import Wish, named_place
from vextrus_payments.cli.payouts import payouts_of
from vextrus_payments.cli.waiting import Waiting
from vextrus_payments.gateways.registry import DEFAULT_TENANT


@click.command(
    cls=Command,
    examples=(
        ("vextrus-pay balance bkash --app shop.payments:payments", "with the shop's own credentials"),
        ("vextrus-pay balance bkash --sandbox http://127.0.0.1:28600", "in a sandbox that runs there"),
    ),
)
@click.argument("gateway", type=GATEWAY)
@click.option("--tenant", default=DEFAULT_TENANT, show_default=True, help="Whose accounts.")
@click.option("--app", metavar="MODULE:ATTRIBUTE", help=APP_HELP)
@click.option("--sandbox", metavar="URL", help="Ask the sandbox that runs there.")
@click.option(
    "--store", metavar="URL", help=f"Where payments are kept; else {STORE_VARIABLE}, else the home folder."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    gateway: str, tenant: str, app: str | None, sandbox: str | None, store: str | None, as_json: bool
) -> int:
    """Say what GATEWAY holds for the merchant, account by account. Only asks."""

    async def run() -> int:
        wish = Wish(gateway=gateway, tenant=tenant, app=app, sandbox=sandbox, store=store)
        async with payouts_of(wish, named_place(wish)) as payments:
            with Waiting(f"Asking {gateway}", quiet=as_json):
                told = await payments.balance(gateway)
        if as_json:
            emit_json(
                {
                    "gateway": told.gateway,
                    "mode": told.mode.value,
                    "asked_at": told.asked_at.isoformat(),
                    "accounts": [
                        {
                            "role": one.role.value,
                            "name": one.name,
                            "available": None if one.available is None else one.available.amount,
                            "current": None if one.current is None else one.current.amount,
                            "currency": None if one.available is None else one.available.currency,
                            "status": one.status,
                            "as_of": None if one.as_of is None else one.as_of.isoformat(),
                        }
                        for one in told.accounts
                    ],
                    "exit_code": 0,
                }
            )
            return Exit.DONE
        out = console()
        cells = [
            [
                cell(one.name or one.role.value),
                cell("?" if one.available is None else str(one.available)),
                cell("?" if one.current is None else str(one.current)),
                cell(one.status or ""),
            ]
            for one in told.accounts
        ]
        rows(out, ["Account", right("Available"), right("Current"), "Status"], cells)
        line(out, f"{told.gateway}, {told.mode.value}, {told.asked_at:%Y-%m-%d %H:%M:%S} UTC")
        return Exit.DONE

    return asyncio.run(run())
