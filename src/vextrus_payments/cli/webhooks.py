"""`vextrus-pay webhooks`: the flight recorder of what gateways sent, and what was made of it."""

import asyncio
import json
import os
from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from vextrus_payments.cli.application import APP_HELP
from vextrus_payments.cli.exit_codes import Exit
from vextrus_payments.cli.helping import Group
from vextrus_payments.cli.home import STORE_VARIABLE
from vextrus_payments.cli.inbox_rows import (
    GATEWAY_HELP,
    MODES,
    TENANT_HELP,
    Which,
    document,
    found,
    in_words,
    only,
    the_row,
)
from vextrus_payments.cli.look import age, cell, commands, facts, line, prose, rows
from vextrus_payments.cli.output import console, emit_json, say
from vextrus_payments.cli.params import GATEWAY, WHEN, FilePath, WholeNumber
from vextrus_payments.cli.records import Place, places
from vextrus_payments.cli.waiting import Waiting
from vextrus_payments.cli.webhooks_forward import forward
from vextrus_payments.cli.webhooks_verify import verify
from vextrus_payments.errors import ConfigurationError
from vextrus_payments.inbox import InboxRow, InboxState
from vextrus_payments.paging import Page
from vextrus_payments.printable import one_line

_STORE_HELP: Final = f"A store to look into; else {STORE_VARIABLE}, else the home folder."


def _places(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that looks into a store."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON document."),
        click.option("--store", metavar="URL", help=_STORE_HELP),
        click.option("--app", metavar="MODULE:ATTRIBUTE", help=APP_HELP),
    ):
        command = option(command)
    return command


def _one_row(command: Callable[..., Any]) -> Callable[..., Any]:
    """The parameters that name one row."""
    for parameter in (
        click.option("--mode", type=MODES, help="sandbox or live, where both have a row of this id."),
        click.option("--gateway", type=GATEWAY, help=GATEWAY_HELP),
        click.option("--tenant", help=TENANT_HELP),
        click.argument("event_id"),
    ):
        command = parameter(command)
    return command


@click.group(
    cls=Group,
    examples=(
        ("vextrus-pay webhooks list --app shop.payments:payments", "what came, newest first"),
        ("vextrus-pay webhooks show EVENT_ID --app shop.payments:payments", "one of them, redacted"),
        (
            "vextrus-pay webhooks replay EVENT_ID --now --app shop.payments:payments",
            "have it worked on again, here and now",
        ),
    ),
)
def command() -> None:
    """Look at the notifications that gateways sent, and have them worked on again.

    Every delivery that proved its sender is kept for 30 days. A replay is harmless: news is applied by what it is, so
    that the second time changes nothing.
    """


command.add_command(forward)
command.add_command(verify)


@command.command(
    "list",
    examples=(
        ("vextrus-pay webhooks list --app shop.payments:payments", "what came, newest first"),
        (
            "vextrus-pay webhooks list --state unmatched --since 3d --app shop.payments:payments",
            "money that names nothing of ours",
        ),
    ),
)
@click.option(
    "--state", type=click.Choice([state.value for state in InboxState]), help="Only those in this state."
)
@click.option("--tenant", help="Only this tenant's.")
@click.option("--gateway", type=GATEWAY, help="Only this gateway's.")
@click.option("--since", type=WHEN, help="Only those received since: 90m, 12h, 3d, or an ISO time.")
@click.option(
    "--limit", type=WholeNumber(1, 1000), default=50, show_default=True, help="At most so many rows."
)
@click.option("--cursor", help="Go on where a page ended.")
@_places
def list_rows(
    state: str | None,
    tenant: str | None,
    gateway: str | None,
    since: datetime | None,
    limit: int,
    cursor: str | None,
    app: str | None,
    store: str | None,
    as_json: bool,
) -> int:
    """Show what came, newest first, and what was made of it."""

    async def run() -> int:
        pages: list[tuple[str, datetime, Page[InboxRow]]] = []
        async with aclosing(places(app, store)) as every_place:
            async for place in every_place:
                page = await place.store.list_inbox(
                    tenant,
                    gateway=gateway,
                    state=None if state is None else InboxState(state),
                    since=since,
                    cursor=cursor,
                    limit=limit,
                )
                pages.append((place.name, place.store.now(), page))
        if as_json:
            emit_json({"type": "webhooks", "places": [_page_document(name, page) for name, _, page in pages]})
        else:
            for name, now, page in pages:
                _show_page(name, now, page)
            if not pages:
                say("There is no store here yet.")
        return Exit.DONE

    return asyncio.run(run())


@command.command(
    "show",
    examples=(
        (
            "vextrus-pay webhooks show EVENT_ID --app shop.payments:payments",
            "what it told, and what came of it",
        ),
        (
            (
                "vextrus-pay webhooks show EVENT_ID --body-to body.json --headers-to headers.json "
                "--app shop.payments:payments"
            ),
            "as it came, into two new files, for `webhooks verify`",
        ),
    ),
)
@_one_row
@click.option(
    "--headers-to",
    type=FilePath(dir_okay=False, path_type=Path),
    help="Write its headers there as JSON, raw, for `webhooks verify`. It must not exist yet.",
)
@click.option(
    "--body-to",
    type=FilePath(dir_okay=False, path_type=Path),
    help="Write its body there, byte for byte: it holds the payer's account. It must not exist yet.",
)
@_places
def show(
    event_id: str,
    tenant: str | None,
    gateway: str | None,
    mode: str | None,
    headers_to: Path | None,
    body_to: Path | None,
    app: str | None,
    store: str | None,
    as_json: bool,
) -> int:
    """Show one delivery, redacted: what it told, and what came of it."""
    row = asyncio.run(
        the_row(app, store, Which(event_id=event_id, tenant=tenant, gateway=gateway, mode=mode))
    )
    if headers_to is not None:
        _write(headers_to, json.dumps(dict(row.headers), indent=1).encode("ascii"))
    if body_to is not None:
        _write(body_to, row.body)
    if as_json:
        emit_json({"type": "webhook", "webhook": document(row, whole=True)})
    else:
        _show_row(row)
    return Exit.DONE


@command.command(
    "replay",
    moves_money=True,  # --now works on whatever else is due, too
    examples=(
        ("vextrus-pay webhooks replay EVENT_ID --app shop.payments:payments", "a running worker takes it up"),
        ("vextrus-pay webhooks replay EVENT_ID --now --app shop.payments:payments", "here and now"),
    ),
)
@_one_row
@click.option(
    "--now", "at_once", is_flag=True, help="Work on it here and now, rather than leave it to a worker."
)
@_places
def replay(
    event_id: str,
    tenant: str | None,
    gateway: str | None,
    mode: str | None,
    at_once: bool,
    app: str | None,
    store: str | None,
    as_json: bool,
) -> int:
    """Have one delivery worked on again. What is recorded already stays as it is."""
    which = Which(event_id=event_id, tenant=tenant, gateway=gateway, mode=mode)

    async def run() -> int:
        row = await the_row(app, store, which)
        after: InboxRow | None = None
        async with aclosing(places(app, store)) as every_place:
            async for place in every_place:
                mine = await found(place, which)
                if not mine:
                    continue
                await place.store.replay_event(row.tenant, row.gateway, row.mode, row.event_id)
                if at_once:
                    with Waiting("Working on it", quiet=as_json):
                        await _now(place)
                after = only(list(await found(place, which)), which)
        assert after is not None, "the row was found there a moment ago"
        if as_json:
            emit_json({"type": "webhook.replayed", "webhook": document(after)})
        elif at_once:
            _show_row(after)
        else:
            line(console(), ("It is due again; a running worker takes it up.", "good"))
        return Exit.DONE

    return asyncio.run(run())


async def _now(place: Place) -> None:
    if place.payments is None:
        raise ConfigurationError(
            "Only the shop's own application can work on it here: its gateways and policies are needed.",
            code="app_missing",
            next_step="Give --app shop.payments:payments; or leave --now out, and let the worker do it.",
        )
    await place.payments.process_inbox()


def _write(path: Path, data: bytes) -> None:
    """Into a new file that only its owner may read."""
    problem = ""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
    except OSError as error:
        problem = error.strerror or type(error).__name__
    if problem:
        raise ConfigurationError(
            f"{path} could not be written: {problem}.", code="file", next_step="Name a file that is new."
        )


# --- showing --------------------------------------------------------------------------------------------------------


def _page_document(place: str, page: Page[InboxRow]) -> dict[str, Any]:
    return {"place": place, "rows": [document(row) for row in page.rows], "cursor": page.cursor}


_STYLES: Final = {InboxState.UNMATCHED: "open", InboxState.PARKED: "bad"}


def _show_page(place: str, now: datetime, page: Page[InboxRow]) -> None:
    out = console()
    if not page.rows:
        line(out, f"Nothing of that kind in {one_line(place)}.")
        return
    cells = [
        (
            cell(row.event_id, limit=200),
            cell(row.tenant),
            cell(f"{row.gateway} {row.mode.value}"),
            cell(in_words(row), limit=200),
            cell(age(now, row.received_at)),
            cell(row.state.value, _STYLES.get(row.state, "")),
            cell(row.payment_id),
            cell(row.note, limit=200),
        )
        for row in page.rows
    ]
    names = ("Event", "Tenant", "Gateway", "Told", "Age", "State", "Payment", prose("What came of it"))
    rows(out, names, cells)
    if page.cursor is not None:
        commands(out, [("More", f"vextrus-pay webhooks list --cursor {page.cursor}")])


def _show_row(row: InboxRow) -> None:
    shown = document(row, whole=True)
    names = ("event_id", "tenant", "gateway", "mode", "state", "note", "payment_id", "received_at")
    pairs = [(name.replace("_", " ").capitalize(), shown[name]) for name in names if shown[name]]
    for group in ("told", "headers", "body"):
        pairs += [(f"{group}.{name}", value) for name, value in shown[group].items() if value is not None]
    console().print(facts(pairs))
