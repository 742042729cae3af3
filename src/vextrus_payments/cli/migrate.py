"""`vextrus-pay migrate`: make the store's tables, or bring them up to date."""

import asyncio
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import click

from vextrus_payments.cli.application import APP_HELP, app_name, load_app
from vextrus_payments.cli.exit_codes import Exit
from vextrus_payments.cli.helping import Command
from vextrus_payments.cli.home import STORE_VARIABLE, Home
from vextrus_payments.cli.look import whole_line
from vextrus_payments.cli.output import console, emit_json, say
from vextrus_payments.cli.waiting import Waiting
from vextrus_payments.errors import ConfigurationError
from vextrus_payments.mode import Mode
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores.migrations import Migration


@runtime_checkable
class _HasSchema(Protocol):
    """A store whose tables are made by numbered files."""

    @property
    def name(self) -> str: ...

    async def pending(self) -> tuple[Migration, ...]: ...

    async def migrate(self) -> tuple[Migration, ...]: ...

    async def migration_sql(self) -> str: ...


@click.command(
    cls=Command,
    examples=(
        ("vextrus-pay migrate --app shop.payments:payments", "the store of the shop's application"),
        (
            "vextrus-pay migrate --app shop.payments:payments --check",
            "in a deployment: exit 3 while something is missing",
        ),
        (
            "VEXTRUS_PAY_STORE=postgresql://owner:...@db.example/shop vextrus-pay migrate",
            "as the tables' owner, who is not the application's user",
        ),
        (
            "vextrus-pay migrate --store postgresql://owner@db.example/shop --sql > payments.sql",
            "for somebody else to run",
        ),
    ),
)
@click.option(
    "--sql", "only_sql", is_flag=True, help="Print what would run, as one transaction; run nothing."
)
@click.option("--check", "only_check", is_flag=True, help="Say what is missing and exit 3; run nothing.")
@click.option("--schema", help="PostgreSQL: the schema with the tables, where it is not vextrus_payments.")
@click.option("--app", metavar="MODULE:ATTRIBUTE", help=APP_HELP)
@click.option(
    "--store",
    metavar="URL",
    help=f"The store; else the application's, else {STORE_VARIABLE}, else the home folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    only_sql: bool, only_check: bool, schema: str | None, app: str | None, store: str | None, as_json: bool
) -> int:
    """Make the tables of a payment store, or bring them up to date.

    A PostgreSQL store is changed by this command alone, in one transaction; a release before this one goes on working
    on it meanwhile. An SQLite file brings itself up to date whenever it is opened.

    A password belongs into VEXTRUS_PAY_STORE, PGPASSWORD or ~/.pgpass, not on the command line.
    """
    if only_sql and only_check:
        raise click.UsageError("Give --sql or --check, not both.")
    found = list(_stores(app, store, schema))

    async def run() -> int:
        reports: list[dict[str, Any]] = []
        for each in found:
            if only_sql:
                text = await each.migration_sql()
                reports.append({"store": each.name, "sql": text})
                if not as_json:
                    click.echo(f"-- {each.name}\n{text}", nl=False)
                continue
            what = "Looking at" if only_check else "Bringing up to date"
            with Waiting(f"{what} {each.name}", quiet=as_json):
                done = await (each.pending() if only_check else each.migrate())
            names = [migration.name for migration in done]
            reports.append({"store": each.name, "pending" if only_check else "applied": names})
            if not as_json:
                missing = only_check and names
                whole_line(
                    console(),
                    (_sentence(each.name, names, only_check=only_check), "open" if missing else "good"),
                )
        code = Exit.OPEN if any(report.get("pending") for report in reports) else Exit.DONE
        if as_json:
            emit_json({"type": "migration", "stores": reports, "exit_code": int(code)})
        elif not found:
            say("There is no store yet: the first payment makes one.")
        return code

    return asyncio.run(run())


def _stores(app: str | None, store: str | None, schema: str | None) -> Iterator[_HasSchema]:
    """The stores to look at; none of them opened.

    Raises:
        ConfigurationError: what was named has no tables.
    """
    name = app_name(app)
    found: list[PaymentStore]
    if name is not None and store is None:
        found = [load_app(name).store]
    else:
        home = Home.find(store)
        found = list(home.stores()) if home.store_url is None else [home.store(Mode.SANDBOX)]
        if schema is not None and home.store_url is not None and home.store_url.startswith("postgres"):
            from vextrus_payments.stores.postgres import PostgresStore

            found, schema = [PostgresStore(home.store_url, schema=schema)], None
    if schema is not None:
        raise ConfigurationError(
            "--schema goes with a PostgreSQL URL.",
            code="store_schema",
            next_step=f"Give --store postgresql://... or set {STORE_VARIABLE}; an application names its own schema.",
        )
    for each in found:
        if not isinstance(each, _HasSchema):
            raise ConfigurationError(
                f"A {type(each).__name__} has no tables to bring up to date.",
                code="store_without_schema",
                next_step="Name an SQLite or PostgreSQL store.",
            )
        yield each


def _sentence(name: str, names: list[str], *, only_check: bool) -> str:
    if not names:
        return f"{name}: up to date."
    return f"{name}: {'missing' if only_check else 'applied'} {', '.join(names)}."
