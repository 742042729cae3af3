"""`vextrus-pay urls`: the addresses of the doors, and what to do with each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import click

from vextrus_payments.cli.application import APP_HELP, APP_VARIABLE, app_name, load_app
from vextrus_payments.cli.exit_codes import Exit
from vextrus_payments.cli.helping import Command
from vextrus_payments.cli.look import line, whole_line
from vextrus_payments.cli.output import console, emit_json
from vextrus_payments.cli.params import GATEWAY as GATEWAY_NAME
from vextrus_payments.config import is_loopback
from vextrus_payments.errors import ConfigurationError, PaymentsError
from vextrus_payments.gateways.base import Registering
from vextrus_payments.gateways.registry import installed_gateways, load_adapter
from vextrus_payments.payment import check_text, checked_public_url
from vextrus_payments.webhooks.routes import (
    GATEWAY,
    TENANT,
    health_address,
    return_address,
    webhook_address,
)

if TYPE_CHECKING:
    from rich.console import Console

#: Stands for a tenant that was not named.
_ANY_TENANT: Final = "{tenant}"
_UNWRITTEN: Final = Registering(
    webhook="Register it wherever this gateway wants the address for its notifications.",
    returns="Register it wherever this gateway wants the address that payers come back to.",
)
_LABEL: Final = 11
_HEALTH: Final = (
    "For your load balancer's probe: 200 while payments can be taken, 503 while not. Names nobody."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shop:
    public_url: str
    gateways: tuple[str, ...]
    has_tenants: bool


@click.command(
    cls=Command,
    examples=(
        ("vextrus-pay urls --app shop.payments:payments", "every gateway of the application"),
        (
            "vextrus-pay urls --public-url https://shop.example/payments --gateway bkash",
            "before there is an application",
        ),
        (
            "vextrus-pay urls --public-url https://shop.example/payments --tenant acme --json",
            "the addresses of one tenant, for a script",
        ),
    ),
)
@click.option("--app", metavar="MODULE:ATTRIBUTE", help=APP_HELP)
@click.option(
    "--public-url",
    metavar="URL",
    help="Where the doors are mounted, as seen from outside; else the application's.",
)
@click.option(
    "--gateway",
    "gateways",
    type=GATEWAY_NAME,
    multiple=True,
    help="Only this one; may be given several times.",
)
@click.option(
    "--tenant", "tenants", multiple=True, help="The addresses of this tenant; may be given several times."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    app: str | None,
    public_url: str | None,
    gateways: tuple[str, ...],
    tenants: tuple[str, ...],
    as_json: bool,
) -> int:
    """Print the addresses of the doors, and where to register which.

    They are where `payments.asgi()`, `wsgi()` or the Django view is mounted. Nothing is opened or sent for this.
    """
    shop = _shop(app, public_url, has_tenants=bool(tenants))
    for tenant in tenants:
        check_text("tenant", tenant, TENANT, "1-64 letters, digits, dots, dashes or underscores")
    if tenants and not shop.has_tenants:
        raise ConfigurationError(
            "This application has one tenant: its addresses name none.",
            code="no_tenants",
            next_step="Leave --tenant out.",
        )
    named: Sequence[str | None] = tenants or ([_ANY_TENANT] if shop.has_tenants else [None])
    rows = [_row(shop.public_url, gateway, tenant) for gateway in _chosen(shop, gateways) for tenant in named]
    warnings = _warnings(shop.public_url)
    if as_json:
        emit_json(
            {
                "type": "urls",
                "public_url": shop.public_url,
                "health": health_address(shop.public_url),
                "gateways": rows,
                "warnings": warnings,
                "exit_code": int(Exit.DONE),
            }
        )
    else:
        _show(shop, rows, warnings)
    return Exit.DONE


def _shop(app: str | None, public_url: str | None, *, has_tenants: bool) -> _Shop:
    name = app_name(app)
    setup = None if name is None else load_app(name).setup
    url = None if setup is None else setup.public_url
    if public_url is not None:
        url = checked_public_url(public_url)
    if url is None:
        raise ConfigurationError(
            "Nobody said where the doors are mounted, as seen from outside.",
            code="public_url_missing",
            next_step='Give Payments(public_url="https://shop.example/payments") and --app shop.payments:payments '
            f"(or {APP_VARIABLE}); or --public-url.",
        )
    return _Shop(
        public_url=url,
        gateways=installed_gateways() if setup is None else setup.gateways,
        has_tenants=has_tenants if setup is None else setup.has_tenants,
    )


def _chosen(shop: _Shop, wanted: tuple[str, ...]) -> tuple[str, ...]:
    for name in wanted:
        check_text("gateway", name, GATEWAY, "a gateway's name such as bkash")
        if name not in shop.gateways:
            raise ConfigurationError(
                f"There is no gateway {name!r} here; there is {', '.join(shop.gateways) or 'none'}.",
                code="unknown_gateway",
                next_step="Check the name.",
            )
    return wanted or shop.gateways


def _row(public_url: str, gateway: str, tenant: str | None) -> dict[str, Any]:
    written = _UNWRITTEN
    try:
        written = load_adapter(gateway).registering or _UNWRITTEN
    except PaymentsError:
        pass  # an adapter that the application brings along itself
    return {
        "gateway": gateway,
        "tenant": tenant,
        "webhook": webhook_address(public_url, gateway, tenant),
        "return": return_address(public_url, gateway, tenant),
        "register": {"webhook": written.webhook, "return": written.returns},
    }


def _warnings(public_url: str) -> list[str]:
    parts = urlsplit(public_url)
    if is_loopback(parts.hostname or ""):
        return [
            f"{public_url} is this machine's own: no gateway outside can reach it, except a sandbox here."
        ]
    if parts.scheme != "https":
        return [f"{public_url} is no https address: gateways refuse it in live mode."]
    return []


def _show(shop: _Shop, rows: list[dict[str, Any]], warnings: list[str]) -> None:
    out = console()
    for row in rows:
        tenant = f" ({row['tenant']})" if row["tenant"] not in (None, _ANY_TENANT) else ""
        line(out, (f"{row['gateway']}{tenant}", "title"))
        for door in ("webhook", "return"):
            _show_door(out, f"  {door}", row[door], row["register"][door])
        out.print()
    _show_door(out, "health", health_address(shop.public_url), _HEALTH)
    if shop.has_tenants and any(row["tenant"] == _ANY_TENANT for row in rows):
        out.print()
        line(out, f"{_ANY_TENANT} stands for each tenant's name; --tenant NAME writes it out.")
    for warning in warnings:
        out.print()
        line(out, ("Note:", "open"), f" {warning}")


def _show_door(out: "Console", label: str, address: str, what_to_do: str) -> None:
    """The address on a line of its own, to be copied whole, and below it where it goes."""
    from rich.padding import Padding
    from rich.text import Text

    whole_line(out, (label.ljust(_LABEL), "label"), address)
    out.print(Padding(Text(what_to_do), (0, 0, 0, _LABEL)))
