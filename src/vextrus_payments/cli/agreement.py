"""`vextrus-pay agreement`: payers' standing consents and subscriptions: what there is, what it collected, its end."""

import asyncio
import sys
from contextlib import aclosing
from typing import Final

import click

from vextrus_payments.cli.agreement_books import compare
from vextrus_payments.cli.agreement_options import SANDBOX, where_options
from vextrus_payments.cli.agreements import (
    Where,
    agreement_document,
    asking,
    collected,
    recorded,
    taken_document,
    told,
)
from vextrus_payments.cli.exit_codes import Exit
from vextrus_payments.cli.helping import Group
from vextrus_payments.cli.look import cell, commands, line, nothing, right, rows, whole
from vextrus_payments.cli.output import console, emit_json, say
from vextrus_payments.cli.params import GATEWAY, WholeNumber
from vextrus_payments.cli.records import places
from vextrus_payments.cli.views import View, clock_time
from vextrus_payments.cli.waiting import Waiting
from vextrus_payments.records import Agreement, AgreementLife

_KEY: Final = click.argument("agreement_key")


@click.group(
    cls=Group,
    examples=(
        ("vextrus-pay agreement list --state active --app shop.payments:payments", "what holds"),
        (
            "vextrus-pay agreement payments agr_01jd... --app shop.payments:payments",
            "what was collected under a subscription, and what our records have of it",
        ),
    ),
)
def command() -> None:
    """Look at payers' agreements and subscriptions, and end them.

    Nothing here charges anybody: a payment by an agreement is opened by the shop, and a subscription is collected by
    its gateway.
    """


@command.command(
    "list",
    examples=(("vextrus-pay agreement list --state active --app shop.payments:payments", "what holds"),),
)
@click.option(
    "--state", type=click.Choice([one.value for one in AgreementLife]), help="Only those in this state."
)
@click.option("--gateway", type=GATEWAY, help="Only this gateway's.")
@click.option("--limit", type=WholeNumber(1, 1000), default=100, show_default=True, help="At most so many.")
@click.option("--cursor", help="Go on where a page ended.")
@where_options
def list_agreements(
    state: str | None,
    gateway: str | None,
    limit: int,
    cursor: str | None,
    tenant: str,
    app: str | None,
    store: str | None,
    as_json: bool,
) -> int:
    """Show agreements, oldest first, as the records have them. Nobody is asked."""

    async def run() -> int:
        found: list[Agreement] = []
        more: str | None = None
        async with aclosing(places(app, store)) as every_place:
            async for place in every_place:
                after = cursor
                while len(found) < limit:
                    page = await place.store.list_agreements(tenant, cursor=after, limit=limit - len(found))
                    found += [
                        one
                        for one in page.rows
                        if state in (None, one.state.value) and gateway in (None, one.gateway)
                    ]
                    after = page.cursor
                    if after is None:
                        break
                more = more or after
        if as_json:
            emit_json(
                {"agreements": [agreement_document(one) for one in found], "cursor": more, "exit_code": 0}
            )
        else:
            _show_list(found, more)
        return Exit.DONE

    return asyncio.run(run())


@command.command(
    "show",
    examples=(("vextrus-pay agreement show agr_01jd... --app shop.payments:payments", "all we have of it"),),
)
@_KEY
@where_options
def show(agreement_key: str, tenant: str, app: str | None, store: str | None, as_json: bool) -> int:
    """Show what the records have of an agreement. Nobody is asked."""
    agreement = asyncio.run(recorded(Where(tenant=tenant, app=app, store=store), agreement_key))
    return _show(agreement, as_json=as_json)


@command.command(
    "status",
    examples=(
        ("vextrus-pay agreement status agr_01jd... --app shop.payments:payments", "does it (still) hold?"),
    ),
)
@_KEY
@SANDBOX
@where_options
def status(
    agreement_key: str, sandbox: str | None, tenant: str, app: str | None, store: str | None, as_json: bool
) -> int:
    """Ask the gateway how an agreement stands, and record it.

    Of a subscription, what was collected under it and is not in the records is written, too.
    """

    async def run() -> Agreement:
        where = Where(tenant=tenant, app=app, store=store)
        async with asking(where, agreement_key, sandbox=sandbox) as one:
            with Waiting(f"Asking {one.agreement.gateway}", quiet=as_json):
                return await one.verbs.agreement_status(agreement_key)

    return _show(asyncio.run(run()), as_json=as_json)


@command.command(
    "payments",
    examples=(
        ("vextrus-pay agreement payments agr_01jd... --app shop.payments:payments", "what was collected"),
    ),
)
@_KEY
@SANDBOX
@where_options
def payments(
    agreement_key: str, sandbox: str | None, tenant: str, app: str | None, store: str | None, as_json: bool
) -> int:
    """Show what a subscription's gateway has collected under it, or will, beside what the records have of it.

    Exits 1 where the gateway has money of which the records have nothing; `agreement status` writes it.
    """

    async def run() -> int:
        where = Where(tenant=tenant, app=app, store=store)
        async with asking(where, agreement_key, sandbox=sandbox) as one:
            with Waiting(f"Asking {one.agreement.gateway}", quiet=as_json):
                found = await collected(one)
        missing = any(each.missing for each in found)
        code = Exit.DECLINED if missing else Exit.DONE
        if as_json:
            listed = [taken_document(each) for each in found]
            emit_json({"agreement_key": agreement_key, "payments": listed, "exit_code": int(code)})
            return code
        out = console()
        if not found:
            nothing(out, "Nothing was collected under it.")
            return code
        cells = [
            [
                cell(each.shown.gateway_reference),
                cell(each.shown.amount),
                cell(each.shown.raw_state),
                cell(clock_time(each.shown.occurred_at)),
                cell(each.facts.payment.payment_id)
                if each.facts is not None
                else cell("not in our records" if each.missing else ""),
            ]
            for each in found
        ]
        rows(out, [whole("At the gateway"), right("Amount"), "State", "When", whole("Ours")], cells)
        if missing:
            line(out, "Money was collected that our records do not have yet.")
            commands(out, [("Write it", f"vextrus-pay agreement status {agreement_key}")])
        return code

    return asyncio.run(run())


@command.command(
    "cancel",
    examples=(
        (
            "vextrus-pay agreement cancel agr_01jd... --yes --app shop.payments:payments",
            "nothing more is collected or charged by it",
        ),
    ),
)
@_KEY
@click.option("--yes", is_flag=True, help="Do not ask whether you mean it.")
@click.option("--live", is_flag=True, help="End a real one: needed with live credentials.")
@SANDBOX
@where_options
def cancel(
    agreement_key: str,
    yes: bool,
    live: bool,
    sandbox: str | None,
    tenant: str,
    app: str | None,
    store: str | None,
    as_json: bool,
) -> int:
    """End an agreement or a subscription at its gateway; ending it twice is the same as once.

    Its payer would have to consent anew. What he consented to beside it, on another page of the same subscription, ends
    with it. What was charged or collected stays where it is: `refund` gives it back.
    """

    async def run() -> int:
        where = Where(tenant=tenant, app=app, store=store)
        async with asking(where, agreement_key, sandbox=sandbox, live=live) as one:
            if not yes and not as_json and sys.stdin.isatty():
                _view(one.agreement).show(console())
                if not click.confirm("End it? Its payer would have to consent anew.", err=True):
                    say("Nothing was ended.")
                    return Exit.NOT_SENT
            with Waiting(f"Ending it at {one.agreement.gateway}", quiet=as_json):
                ended = await one.verbs.cancel_agreement(agreement_key)
        _show(ended, as_json=as_json, code=_over(ended))
        if ended.state is AgreementLife.ACTIVE and not as_json:
            say("Nobody can tell yet whether it has ended. Run the same command again: twice is once.")
        return _over(ended)

    return asyncio.run(run())


command.add_command(compare)


def _over(agreement: Agreement) -> Exit:
    return Exit.DONE if agreement.state in (AgreementLife.ENDED, AgreementLife.CLOSED) else Exit.OPEN


_TITLES: Final = {
    AgreementLife.CREATED: "Its page is being asked for",
    AgreementLife.AWAITING_PAYER: "It waits for its payer",
    AgreementLife.ACTIVE: "It holds",
    AgreementLife.CLOSED: "It was never given",
    AgreementLife.ENDED: "It has ended",
}


def _view(agreement: Agreement) -> View:
    style = "good" if agreement.state is AgreementLife.ACTIVE else "open"
    return View(title=_TITLES[agreement.state], style=style, facts=[(a, str(b)) for a, b in told(agreement)])


def _show(agreement: Agreement, *, as_json: bool, code: Exit = Exit.DONE) -> int:
    if as_json:
        emit_json({"agreement": agreement_document(agreement), "exit_code": int(code)})
    else:
        _view(agreement).show(console())
    return code


def _show_list(found: list[Agreement], more: str | None) -> None:
    out = console()
    if not found:
        nothing(out, "There is none.")
    else:
        cells = [
            [
                cell(one.agreement_key),
                cell("subscription" if one.terms is not None else "agreement"),
                cell(one.gateway),
                cell(one.state.value),
                cell(one.merchant_reference if one.terms is not None else ""),
                cell(one.beside),
            ]
            for one in found
        ]
        rows(out, [whole("Key"), "What", "Gateway", "State", "Reference", "Beside"], cells)
    if more is not None:
        line(out, f"There are more: --cursor {more}")
