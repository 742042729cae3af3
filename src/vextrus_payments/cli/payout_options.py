"""Where a command of `vextrus-pay payout` works and how it answers: the options that all of them take, in one place."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import click

from vextrus_payments.cli.application import APP_HELP
from vextrus_payments.cli.home import STORE_VARIABLE
from vextrus_payments.cli.params import GATEWAY
from vextrus_payments.cli.payouts import payouts_of
from vextrus_payments.gateways.registry import DEFAULT_TENANT

if TYPE_CHECKING:
    from vextrus_payments.app import Payments, TenantPayments

_STORE_HELP: Final = f"Where payouts are kept; else {STORE_VARIABLE}, else the home folder."
OPERATION: Final = click.argument("operation_id")
APP: Final = click.option("--app", metavar="MODULE:ATTRIBUTE", help=APP_HELP)
JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
_LIVE: Final = click.option("--live", is_flag=True, help="Move real money: needed with live credentials.")
_AT: Final = (
    click.option(
        "--gateway",
        type=GATEWAY,
        default="bkash",
        show_default=True,
        help="The gateway, where no --app is given.",
    ),
    click.option("--tenant", default=DEFAULT_TENANT, show_default=True, help="Whose it is."),
    APP,
    click.option("--sandbox", metavar="URL", help="In the sandbox that runs there."),
)
_KEPT: Final = (click.option("--store", metavar="URL", help=_STORE_HELP), JSON)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Whose payouts a command works on, and whether it answers in JSON."""

    gateway: str
    tenant: str
    app: str | None
    sandbox: str | None
    store: str | None
    as_json: bool
    live: bool | None = None
    """Whether real money was asked for; None: the command moves none, and does not ask."""

    def verbs(self) -> "AbstractAsyncContextManager[Payments | TenantPayments]":
        """The verbs, to be opened; raises what `payouts_of` raises."""
        return payouts_of(
            self.app,
            gateway=self.gateway,
            sandbox=self.sandbox,
            live=self.live,
            store=self.store,
            tenant=self.tenant,
        )


def at_a_place(*, moves_money: bool = False) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """The options of a `Place`, handed over as `place`; with --live where the command moves money."""
    names = {one.name for one in fields(Place)}

    def decorate(function: Callable[..., int]) -> Callable[..., int]:
        @wraps(function)
        def command(**given: Any) -> int:
            mine = {name: given.pop(name) for name in names & given.keys()}
            return function(**given, place=Place(**mine))

        for option in reversed((*_AT, *((_LIVE,) if moves_money else ()), *_KEPT)):
            command = option(command)
        return command

    return decorate
