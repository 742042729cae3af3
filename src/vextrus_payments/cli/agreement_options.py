"""The options that the commands of `vextrus-pay agreement` share."""

from collections.abc import Callable
from typing import Final

import click

from vextrus_payments.cli.application import APP_HELP
from vextrus_payments.cli.home import STORE_VARIABLE
from vextrus_payments.gateways.registry import DEFAULT_TENANT

_STORE_HELP: Final = f"Where agreements are kept; else {STORE_VARIABLE}, else the home folder."
SANDBOX: Final = click.option("--sandbox", metavar="URL", help="At the sandbox that runs there.")


def where_options(function: Callable[..., int]) -> Callable[..., int]:
    """The options of a `Where`, and --json."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON document."),
        click.option("--store", metavar="URL", help=_STORE_HELP),
        click.option("--app", metavar="MODULE:ATTRIBUTE", help=APP_HELP),
        click.option("--tenant", default=DEFAULT_TENANT, show_default=True, help="Whose it is."),
    ):
        function = option(function)
    return function
