"""Where a command of `vextrus-pay payout` works and how it answers: the options that all of them take, in one place."""

import shlex
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import click

from vextrus_payments.cli.application import APP_HELP, app_name
from vextrus_payments.cli.home import STORE_VARIABLE
from vextrus_payments.cli.params import GATEWAY
from vextrus_payments.cli.payout_places import Wish
from vextrus_payments.cli.payouts import payouts_of
from vextrus_payments.cli.target import Target
from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.gateways.registry import DEFAULT_TENANT
from vextrus_payments.payment import check_operation_id

if TYPE_CHECKING:
    from vextrus_payments.app import Payments, TenantPayments

_STORE_HELP: Final = f"Where payouts are kept; else {STORE_VARIABLE}, else the home folder."


def _checked(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    problem = None
    try:
        check_operation_id(value)
    except InvalidRequestError as error:
        problem = error.rule
    if problem is not None:
        raise click.BadParameter(f"is no name of a payout or transfer: {problem}.", ctx=ctx, param=parameter)
    return value


OPERATION: Final = click.argument("operation_id", callback=_checked)
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
    click.option(
        "--sandbox", metavar="URL", help="In the sandbox that runs there; a payout remembers which it was."
    ),
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

    @property
    def wish(self) -> Wish:
        """What was typed about where to work."""
        return Wish(
            gateway=self.gateway,
            tenant=self.tenant,
            app=self.app,
            sandbox=self.sandbox,
            store=self.store,
            live=self.live,
        )

    @property
    def again(self) -> str:
        """What the next command about the same payout has to be given, to work in the same place."""
        typed = [("--app", self.app), ("--store", self.store)]
        if self.tenant != DEFAULT_TENANT:
            typed.append(("--tenant", self.tenant))
        if app_name(None) is not None:
            typed.append(("--sandbox", self.sandbox))  # else the application would be asked
        return "".join(f" {name} {shlex.quote(value)}" for name, value in typed if value is not None)

    def verbs(self, target: Target | None) -> "AbstractAsyncContextManager[Payments | TenantPayments]":
        """The verbs, to be opened; raises what `payouts_of` raises."""
        return payouts_of(self.wish, target)


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
