"""The arguments and options that the commands of `vextrus-pay payout` share."""

from typing import Final

import click

from vextrus_payments.cli.application import APP_HELP
from vextrus_payments.cli.home import STORE_VARIABLE
from vextrus_payments.cli.params import GATEWAY
from vextrus_payments.gateways.registry import DEFAULT_TENANT

_STORE_HELP: Final = f"Where payouts are kept; else {STORE_VARIABLE}, else the home folder."
OPERATION: Final = click.argument("operation_id")
APP: Final = click.option("--app", metavar="MODULE:ATTRIBUTE", help=APP_HELP)
TENANT: Final = click.option("--tenant", default=DEFAULT_TENANT, show_default=True, help="Whose it is.")
SANDBOX: Final = click.option("--sandbox", metavar="URL", help="In the sandbox that runs there.")
LIVE: Final = click.option("--live", is_flag=True, help="Move real money: needed with live credentials.")
STORE: Final = click.option("--store", metavar="URL", help=_STORE_HELP)
JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
AT: Final = click.option(
    "--gateway",
    type=GATEWAY,
    default="bkash",
    show_default=True,
    help="The gateway, where no --app is given.",
)
