"""`vextrus-pay explain`: the whole story of one payment."""

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from vextrus_payments.cli.application import APP_HELP
from vextrus_payments.cli.exit_codes import of_outcome
from vextrus_payments.cli.explaining import Line, Told, payout_row_ids, payout_timeline, row_ids, timeline
from vextrus_payments.cli.helping import Command
from vextrus_payments.cli.home import STORE_VARIABLE
from vextrus_payments.cli.in_short import Short, in_short
from vextrus_payments.cli.look import hint, line, whole_line
from vextrus_payments.cli.output import console, emit_json, say
from vextrus_payments.cli.payout_in_short import PayoutShort, payout_in_short
from vextrus_payments.cli.payouts import hints, payout_document, told_otherwise
from vextrus_payments.cli.records import Place, places
from vextrus_payments.cli.shapes import moment as iso
from vextrus_payments.cli.shapes import outcome_document, payment_document
from vextrus_payments.cli.views import STYLES
from vextrus_payments.cli.waiting import Waiting
from vextrus_payments.errors import InvalidRequestError, PaymentsError
from vextrus_payments.gateways.registry import DEFAULT_TENANT
from vextrus_payments.printable import one_line
from vextrus_payments.reconcile import next_step
from vextrus_payments.records import PaymentFacts, Payout, SubjectKind
from vextrus_payments.store import PaymentStore

if TYPE_CHECKING:
    from rich.console import Console

_IDS_AT_ONCE = 1000
#: At most so many payments of one reference are told.
_MANY = 10


@click.command(
    cls=Command,
    examples=(
        ("vextrus-pay explain pay_01jd...", "a payment of our id, in the store of this user"),
        (
            "vextrus-pay explain INV-8812 --app shop.payments:payments",
            "every payment of your invoice, in the shop's store",
        ),
        (
            "vextrus-pay explain DKN5ABCDEF --app shop.payments:payments --json",
            "by the gateway's transaction id",
        ),
    ),
)
@click.argument("name")
@click.option("--tenant", default=DEFAULT_TENANT, show_default=True, help="Whose payment it is.")
@click.option("--app", metavar="MODULE:ATTRIBUTE", help=APP_HELP)
@click.option("--store", metavar="URL", help=f"A store to read; else {STORE_VARIABLE}, else the home folder.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(name: str, tenant: str, app: str | None, store: str | None, as_json: bool) -> int:
    """Tell what happened to a payment, whether money moved, and what comes next.

    NAME is our payment id, your merchant reference, or the gateway's transaction id. Everything that is recorded is
    told in the order in which it happened: what was asked and answered (redacted), receipts, ledger entries and
    whether the ledger took them, news, and what people said. Asks no gateway and changes nothing.
    """

    async def run() -> int:
        looked_in: list[str] = []
        async with aclosing(places(app, store)) as found_places:
            async for place in found_places:
                looked_in.append(place.name)
                found = await _find(place.store, tenant, name)
                if found:
                    with Waiting("Reading its story", quiet=as_json):
                        stories = [await _told(place, facts) for facts in found[:_MANY]]
                    return _show(stories, len(found), as_json=as_json)
                payout = await place.store.get_payout(tenant, name)
                payout = payout or await place.store.find_payout(tenant, name)
                if payout is not None:
                    return await _show_payout(place.store, payout, as_json=as_json)
        raise InvalidRequestError(
            f"There is no payment of that name in {' or '.join(dict.fromkeys(looked_in)) or 'any store here'}.",
            field="NAME",
            rule="a payment id, a merchant reference or a transaction id",
            next_step="Check the name, --tenant, and --app or --store. Subscriptions: vextrus-pay agreement list",
        )

    return asyncio.run(run())


async def _show_payout(store: PaymentStore, payout: Payout, *, as_json: bool) -> int:
    attempts = await store.attempts(payout.tenant, payout.payout_id)
    rows = await store.outbox_rows(payout.tenant, payout_row_ids(payout))
    story = payout_timeline(payout, attempts, tuple(sorted(rows, key=lambda row: (row.created_at, row.seq))))
    short = payout_in_short(payout)
    exit_code = of_outcome(short.outcome, looked=True)
    if as_json:
        emit_json(
            {
                "payout": payout_document(payout),
                "what": short.what,
                "money": short.money,
                "next": list(short.todo),
                "timeline": _story_document(story),
                "exit_code": int(exit_code),
            }
        )
        return exit_code
    out = console()
    _show_head(out, short)
    for sentence in (*told_otherwise(payout), *hints(payout)):
        line(out, sentence)
    out.print()
    _show_story(out, story)
    return exit_code


async def _find(store: PaymentStore, tenant: str, name: str) -> tuple[PaymentFacts, ...]:
    facts = await store.get(tenant, name)
    if facts is not None:
        return (facts,)
    by_reference = await store.find(tenant, merchant_reference=name)
    if by_reference:
        return by_reference
    by_transaction = await store.find(tenant, transaction_id=name)
    if by_transaction:
        return by_transaction
    return await store.find(tenant, gateway_reference=name)


async def _told(place: Place, facts: PaymentFacts) -> tuple[PaymentFacts, Told, Short]:
    store, payment = place.store, facts.payment
    events = await store.events(payment.tenant, payment.payment_id)
    ids = row_ids(facts, events)
    rows = [
        row
        for start in range(0, len(ids), _IDS_AT_ONCE)
        for row in await store.outbox_rows(payment.tenant, ids[start : start + _IDS_AT_ONCE])
    ]
    told = Told(
        events=events,
        attempts=await store.attempts(payment.tenant, payment.payment_id),
        rows=tuple(sorted(rows, key=lambda row: (row.created_at, row.seq))),
        next_look=await store.next_watch(payment.tenant, SubjectKind.PAYMENT, payment.payment_id),
        why=await _why(place, facts),
    )
    return facts, told, in_short(facts, told, store.now())


async def _why(place: Place, facts: PaymentFacts) -> tuple[str, ...]:
    """What the reconciler sees open, where the gateway's manners are known."""
    payment = facts.payment
    if place.payments is None:
        return ()
    try:
        gateway = await place.payments.gateway_of(payment.tenant, payment.gateway)
    except PaymentsError:
        return ()
    return next_step(facts, gateway.capabilities, place.store.now(), 1).why


def _show(stories: list[tuple[PaymentFacts, Told, Short]], count: int, *, as_json: bool) -> int:
    exit_code = max(of_outcome(short.outcome, looked=True) for _, _, short in stories)
    if as_json:
        documents = [_document(facts, told, short) for facts, told, short in stories]
        emit_json({"payments": documents, "count": count, "exit_code": int(exit_code)})
        return exit_code
    out = console()
    for number, (facts, told, short) in enumerate(stories):
        if number:
            out.print()
        _show_one(out, facts, told, short)
    if count > len(stories):
        say(f"{count - len(stories)} more payments have this reference; name one by its id.")
    return exit_code


def _show_one(out: "Console", facts: PaymentFacts, told: Told, short: Short) -> None:
    _show_head(out, short)
    hint(out, f"Payment {facts.payment.payment_id}, version {facts.payment.version}.")
    out.print()
    _show_story(out, timeline(facts, told))


def _show_head(out: "Console", short: Short | PayoutShort) -> None:
    from rich.text import Text

    style = STYLES.get(of_outcome(short.outcome, looked=True), "open")
    line(out, Text(short.what, style=style))
    line(out, short.money)
    for sentence in short.todo:
        whole_line(out, f"Next: {sentence}")  # commands in it are to be copied


def _show_story(out: "Console", story: tuple[Line, ...]) -> None:
    day = None
    for each in story:
        if day != each.at.date():
            day = each.at.date()
            line(out, (f"{each.at:%A, %d %B %Y} ({each.at:%Z})", "title"))
        _show_line(out, each)


def _show_line(out: "Console", each: Line) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    indent = 4 if each.kind == "exchange" else 0
    style = {"receipt": "good", "entry": "command", "exchange": "hint", "resolution": "open"}.get(
        each.kind, ""
    )
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="label")
    grid.add_column(overflow="fold")
    grid.add_row(f"{each.at:%H:%M:%S}", Text(one_line(each.text, 1000), style=style))
    for more in each.more:
        grid.add_row("", Text(one_line(more, 1000), style="hint"))
    out.print(Padding(grid, (0, 0, 0, indent)))


def _document(facts: PaymentFacts, told: Told, short: Short) -> dict[str, Any]:
    return {
        **outcome_document(short.outcome, looked=True),
        "payment": payment_document(facts)
        | {"version": facts.payment.version, "tenant": facts.payment.tenant},
        "what": short.what,
        "money": short.money,
        "next": list(short.todo),
        "next_look_at": iso(told.next_look),
        "timeline": _story_document(timeline(facts, told)),
    }


def _story_document(story: tuple[Line, ...]) -> list[dict[str, Any]]:
    return [
        {
            "at": iso(line.at),
            "kind": line.kind,
            "text": one_line(line.text, 1000),
            "more": [one_line(more, 1000) for more in line.more],
            **line.facts,
        }
        for line in story
    ]
