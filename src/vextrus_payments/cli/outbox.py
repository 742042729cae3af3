"""`vextrus-pay outbox`: entries and events that wait to be handed over, and those that were set aside."""

import asyncio
from contextlib import aclosing
from datetime import datetime
from typing import Any, Final

import click

from vextrus_payments.cli.application import APP_HELP
from vextrus_payments.cli.exit_codes import Exit
from vextrus_payments.cli.helping import Group
from vextrus_payments.cli.home import STORE_VARIABLE
from vextrus_payments.cli.look import age, cell, commands, line, prose, right, rows
from vextrus_payments.cli.output import console, emit_json, say
from vextrus_payments.cli.params import WholeNumber
from vextrus_payments.cli.records import Place, places
from vextrus_payments.cli.waiting import Waiting
from vextrus_payments.errors import ConflictError, InvalidRequestError
from vextrus_payments.paging import Page
from vextrus_payments.printable import one_line
from vextrus_payments.records import OutboxKind, OutboxRow
from vextrus_payments.store import OutboxBacklog

_PAGE: Final = 500
_NAMES: Final = {OutboxKind.LEDGER: "entries", OutboxKind.EVENT: "events"}
_KINDS: Final = click.Choice([kind.value for kind in OutboxKind])
_STORE_HELP: Final = f"A store to look into; else {STORE_VARIABLE}, else the home folder."


@click.group(
    cls=Group,
    examples=(
        (
            "vextrus-pay outbox list --app shop.payments:payments",
            "what waits, and what was set aside and why",
        ),
        ("vextrus-pay outbox retry ent_5f0c... --app shop.payments:payments", "offer one row again"),
    ),
)
def command() -> None:
    """Look at what waits to be handed over, and let what was set aside be offered again.

    An entry or event is set aside when its taker says that it never will be taken, or has refused it for a day. What
    comes after it of the same payment waits. Mend what stands in the way, then retry.
    """


@command.command(
    "list",
    examples=(
        ("vextrus-pay outbox list --app shop.payments:payments", "what was set aside, and how much waits"),
        (
            "vextrus-pay outbox list --all --kind ledger --limit 20 --app shop.payments:payments",
            "every ledger entry, delivered ones too",
        ),
    ),
)
@click.option(
    "--all", "everything", is_flag=True, help="Every row, delivered ones too, in place of those set aside."
)
@click.option("--kind", type=_KINDS, help="Only entries (ledger) or only events (event).")
@click.option("--tenant", help="Only this tenant's.")
@click.option(
    "--limit", type=WholeNumber(1, 1000), default=100, show_default=True, help="At most so many rows."
)
@click.option("--cursor", help="Go on where a page ended; with --kind and --all.")
@click.option("--app", metavar="MODULE:ATTRIBUTE", help=APP_HELP)
@click.option("--store", metavar="URL", help=_STORE_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_rows(
    everything: bool,
    kind: str | None,
    tenant: str | None,
    limit: int,
    cursor: str | None,
    app: str | None,
    store: str | None,
    as_json: bool,
) -> int:
    """Show what waits, and the rows that were set aside."""
    if cursor is not None and (kind is None or not everything):
        raise click.UsageError("A cursor belongs to one listing: give it with --all and --kind.")
    kinds = tuple(OutboxKind) if kind is None else (OutboxKind(kind),)

    async def run() -> int:
        found: list[tuple[str, datetime, OutboxKind, OutboxBacklog, Page[OutboxRow]]] = []
        async with aclosing(places(app, store)) as every_place:
            async for place in every_place:
                for each in kinds:
                    page = await place.store.list_outbox(
                        each, tenant=tenant, parked=not everything, cursor=cursor, limit=limit
                    )
                    backlog = await place.store.backlog(each)
                    found.append((place.name, place.store.now(), each, backlog, page))
        if as_json:
            emit_json({"type": "outbox", "queues": [_document(*one) for one in found]})
        else:
            for one in found:
                _show(*one)
            if not found:
                say("There is no store here yet.")
        return Exit.DONE

    return asyncio.run(run())


@command.command(
    "retry",
    examples=(
        (
            "vextrus-pay outbox retry ent_5f0c... --app shop.payments:payments",
            "one row; `outbox list` shows its id",
        ),
        (
            "vextrus-pay outbox retry --all --kind ledger --app shop.payments:payments",
            "every entry set aside",
        ),
    ),
)
@click.argument("row_ids", metavar="[ROW_ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Everything that was set aside.")
@click.option("--kind", type=_KINDS, help="With --all: only entries (ledger) or only events (event).")
@click.option("--tenant", help="Only this tenant's.")
@click.option("--app", metavar="MODULE:ATTRIBUTE", help=APP_HELP)
@click.option("--store", metavar="URL", help=_STORE_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def retry(
    row_ids: tuple[str, ...],
    everything: bool,
    kind: str | None,
    tenant: str | None,
    app: str | None,
    store: str | None,
    as_json: bool,
) -> int:
    """Let rows that were set aside be offered again, from now on and as if they had never failed.

    ROW_ID is the entry's or event's id, as `outbox list` shows it. A running worker takes them up at once.
    """
    if bool(row_ids) == everything:
        raise click.UsageError("Name the rows, or give --all.")
    kinds = tuple(OutboxKind) if kind is None else (OutboxKind(kind),)

    async def run() -> int:
        released: list[OutboxRow] = []
        wanted = set(row_ids)
        async with aclosing(places(app, store)) as every_place:
            async for place in every_place:
                parked = [
                    row for row in await _parked(place, kinds, tenant) if everything or row.row_id in wanted
                ]
                if not everything:
                    _refuse_doubles(parked)
                with Waiting("Offering again", quiet=as_json, bar=True) as busy:
                    for number, row in enumerate(parked, 1):
                        if await place.store.unpark(row.tenant, row.row_id):
                            released.append(row)
                        busy.count(number, len(parked))
        missing = wanted - {row.row_id for row in released}
        if missing and not released:
            raise _none_of(missing)
        if as_json:
            emit_json(
                {
                    "type": "outbox.retried",
                    "rows": [{"tenant": row.tenant, "row_id": row.row_id} for row in released],
                    "not_set_aside": sorted(missing),
                }
            )
        else:
            count = f"{len(released)} row{'' if len(released) == 1 else 's'}"
            line(console(), (f"{count} will be offered again.", "good"))
            for row_id in sorted(missing):
                say(f"{one_line(row_id)} is not set aside here; nothing was done about it.")
        return Exit.NOT_SENT if missing else Exit.DONE

    return asyncio.run(run())


async def _parked(place: Place, kinds: tuple[OutboxKind, ...], tenant: str | None) -> list[OutboxRow]:
    """Every row that was set aside."""
    found: list[OutboxRow] = []
    for kind in kinds:
        cursor: str | None = None
        while True:
            page = await place.store.list_outbox(kind, tenant=tenant, parked=True, cursor=cursor, limit=_PAGE)
            found += page.rows
            cursor = page.cursor
            if cursor is None:
                break
    return found


def _refuse_doubles(rows: list[OutboxRow]) -> None:
    seen: dict[str, str] = {}
    for row in rows:
        other = seen.setdefault(row.row_id, row.tenant)
        if other != row.tenant:
            raise InvalidRequestError(
                f"Two tenants have a row of this id set aside: {one_line(other)} and {one_line(row.tenant)}.",
                field="--tenant",
                rule="the tenant whose row is meant",
            )


def _none_of(missing: set[str]) -> ConflictError:
    return ConflictError(
        f"Not set aside here: {', '.join(one_line(row_id) for row_id in sorted(missing))}.",
        code="not_set_aside",
        next_step="See what is: vextrus-pay outbox list. What only waits is offered by a worker on its own.",
    )


def _document(
    place: str, now: datetime, kind: OutboxKind, backlog: OutboxBacklog, page: Page[OutboxRow]
) -> dict[str, Any]:
    oldest = backlog.oldest_created_at
    return {
        "place": place,
        "kind": kind.value,
        "waiting": backlog.waiting,
        "parked": backlog.parked,
        "oldest_s": None if oldest is None else round((now - oldest).total_seconds(), 3),
        "rows": [
            {
                "tenant": row.tenant,
                "row_id": row.row_id,
                "subject": row.subject,
                "seq": row.seq,
                "created_at": row.created_at.isoformat(),
                "tries": row.attempts,
                "next_at": None if row.next_at is None else row.next_at.isoformat(),
                "parked": row.parked,
                "delivered_at": None if row.delivered_at is None else row.delivered_at.isoformat(),
            }
            for row in page.rows
        ],
        "cursor": page.cursor,
    }


def _show(place: str, now: datetime, kind: OutboxKind, backlog: OutboxBacklog, page: Page[OutboxRow]) -> None:
    out, name = console(), _NAMES[kind]
    oldest = backlog.oldest_created_at
    waits = "none waits" if oldest is None else f"{backlog.waiting} wait, the oldest for {age(now, oldest)}"
    aside = f"{backlog.parked} set aside" if backlog.parked else "none set aside"
    style = "open" if backlog.parked else ""
    line(out, (name.capitalize(), "title"), f" in {one_line(place)}: {waits}; ", (f"{aside}.", style))
    if not page.rows:
        return
    cells = [
        (
            cell(row.row_id),
            cell(row.tenant),
            cell(row.subject),
            cell(row.attempts),
            cell(age(now, row.created_at)),
            cell(_state(row, now), "open" if row.parked is not None else ""),
        )
        for row in page.rows
    ]
    rows(out, ("Row", "Tenant", "Subject", right("Tries"), right("Age"), prose("State")), cells)
    if page.cursor is not None:
        more = f"vextrus-pay outbox list --all --kind {kind.value} --cursor {page.cursor}"
        commands(out, [("More", more)])


def _state(row: OutboxRow, now: datetime) -> str:
    if row.delivered_at is not None:
        return "delivered"
    if row.parked is not None:
        return f"set aside: {row.parked}"
    if row.leased_until is not None and row.leased_until > now:
        return "in hand"
    return "waits" if row.next_at is None else f"failed, offered again at {row.next_at:%H:%M:%S}"
