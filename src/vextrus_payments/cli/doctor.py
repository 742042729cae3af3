"""`vextrus-pay doctor`: is everything as it should be, and what to do where it is not."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import click

from vextrus_payments.cli.application import APP_HELP
from vextrus_payments.cli.doctor_agreements import agreement_findings
from vextrus_payments.cli.doctor_gateways import Source, gateway_findings, grant_findings
from vextrus_payments.cli.doctor_store import (
    epoch_findings,
    inbox_findings,
    open_findings,
    outbox_findings,
    review_findings,
    store_findings,
    watch_findings,
    worker_findings,
)
from vextrus_payments.cli.exit_codes import Exit
from vextrus_payments.cli.findings import Finding, Level, found, skipped
from vextrus_payments.cli.go_live import go_live_findings
from vextrus_payments.cli.helping import Command
from vextrus_payments.cli.home import STORE_VARIABLE
from vextrus_payments.cli.look import cell, line, table, whole
from vextrus_payments.cli.output import console, emit_json
from vextrus_payments.cli.params import GATEWAY
from vextrus_payments.cli.records import Place, places
from vextrus_payments.cli.waiting import Waiting
from vextrus_payments.clock import SystemClock
from vextrus_payments.gateways.registry import DEFAULT_TENANT, Registry, installed_gateways
from vextrus_payments.printable import one_line

if TYPE_CHECKING:
    from vextrus_payments.app import Payments
    from vextrus_payments.gateways.base import PaymentGateway

Check = tuple[str, Callable[[], Awaitable[list[Finding]]]]
_MARKS = {Level.OK: ("ok", "good"), Level.WARN: ("WARN", "open"), Level.FAIL: ("FAIL", "bad")}


@click.command(
    cls=Command,
    examples=(
        ("vextrus-pay doctor --app shop.payments:payments", "everything the shop's application has"),
        (
            "vextrus-pay doctor --app shop.payments:payments --go-live bkash",
            "and what has to be so before real money",
        ),
        ("vextrus-pay doctor nagad", "are Nagad's settings and keys right?"),
        (
            "vextrus-pay doctor --gateway bkash --grant",
            "are bKash's credentials right? (may use up one grant of two an hour)",
        ),
    ),
)
@click.argument("named", metavar="[GATEWAY]", required=False, type=GATEWAY)
@click.option("--app", metavar="MODULE:ATTRIBUTE", help=APP_HELP)
@click.option(
    "--store", metavar="URL", help=f"A store to look at; else {STORE_VARIABLE}, else the home folder."
)
@click.option("--tenant", default=DEFAULT_TENANT, show_default=True, help="Whose gateways to look at.")
@click.option("--gateway", type=GATEWAY, help="As GATEWAY.")
@click.option(
    "--go-live",
    "go_live",
    metavar="GATEWAY",
    type=GATEWAY,
    help="Also go through what has to be so before real money.",
)
@click.option(
    "--grant", is_flag=True, help="Also get a token: this may cost one of the grants that are counted."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    named: str | None,
    app: str | None,
    store: str | None,
    tenant: str,
    gateway: str | None,
    go_live: str | None,
    grant: bool,
    as_json: bool,
) -> int:
    """Look at settings, gateways, store, outbox and workers, and say what to do.

    With GATEWAY (bkash, nagad, sslcommerz, bkash_recurring) only that one is looked at, else every one that is
    configured. Its settings are explained where they are wrong, a bad key among them.

    Nothing is moved and nothing is changed. Gateways are knocked at without credentials, which costs none of the
    token grants that are counted. Exits 1 when something failed.
    """
    if named and gateway and named != gateway:
        raise click.UsageError(f"{named} and --gateway {gateway}: name one gateway.")
    gateway = named or gateway
    names = (gateway or go_live,) if gateway or go_live else installed_gateways()

    async def run() -> int:
        with Waiting("Looking", quiet=as_json) as busy:
            findings = await _findings(busy, app, store, _Asked(tenant, names, grant, go_live))
        return _show(findings, as_json=as_json)

    return asyncio.run(run())


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be looked at."""

    tenant: str
    names: tuple[str | None, ...]
    grant: bool
    go_live: str | None


async def _findings(busy: Waiting, app: str | None, store: str | None, asked: _Asked) -> list[Finding]:
    findings: list[Finding] = []
    seen = 0
    async with aclosing(places(app, store)) as every:
        async for place in every:
            seen += 1
            findings += await _of_place(busy, place, asked)
    if not seen:
        findings.append(
            skipped("store", "No store was named, and this user has none: only gateways were looked at.")
        )
        findings += await _of_gateways(busy, None, asked)
        findings += await _of_go_live(busy, None, asked)
    return findings


async def _of_place(busy: Waiting, place: Place, asked: _Asked) -> list[Finding]:
    store, payments, clock = place.store, place.payments, SystemClock()
    checks: list[Check] = [
        ("store", partial(store_findings, store, payments, clock)),
        ("outbox", partial(outbox_findings, store, payments)),
        ("inbox", partial(inbox_findings, store, payments)),
        ("unknown", partial(open_findings, store, payments)),
        ("payout_review", partial(review_findings, store, payments)),
        ("agreements", partial(agreement_findings, store, payments)),
        ("watches", partial(watch_findings, store, payments)),
        ("epoch", partial(epoch_findings, store, payments)),
        ("worker", partial(worker_findings, store, payments)),
    ]
    findings = []
    for name, look in checks:
        busy.tell(f"Looking at {name}")
        findings += await found(name, look)
    findings += await _of_gateways(busy, place, asked)
    return findings + await _of_go_live(busy, payments, asked)


async def _of_go_live(busy: Waiting, payments: "Payments | None", asked: _Asked) -> list[Finding]:
    if not asked.go_live:
        return []
    busy.tell(f"Looking at what going live with {asked.go_live} needs")
    return await found("go_live", partial(go_live_findings, payments, asked.go_live, asked.tenant))


async def _of_gateways(busy: Waiting, place: Place | None, asked: _Asked) -> list[Finding]:
    clock, findings = SystemClock(), []
    wanted = asked.names != installed_gateways()  # whoever names one wants to hear of it
    async with AsyncExitStack() as stack:
        source = await _source(place, asked.tenant, stack)
        for name in filter(None, asked.names):
            busy.tell(f"Knocking at {name}")
            look = partial(gateway_findings, name, source, clock, wanted=wanted)
            findings += await found(name, look)
            if asked.grant and findings[-1].level is not Level.SKIPPED:
                findings += await found(f"{name}.credentials", partial(_granted, source, name))
    return findings


async def _granted(source: Source, name: str) -> list[Finding]:
    return await grant_findings(await source(name))


async def _source(place: Place | None, tenant: str, stack: AsyncExitStack) -> Source:
    """The application's gateways; without one, those that the environment configures, with this user's tokens."""
    if place is not None and place.payments is not None:
        return partial(place.payments.gateway_of, tenant)
    from vextrus_payments.cli.home import Home
    from vextrus_payments.tokens import TokenCache

    registry = Registry(tokens=TokenCache(Home.find(None).tokens()))
    stack.push_async_callback(registry.aclose)

    async def gateway(name: str) -> "PaymentGateway":
        return await registry.gateway(tenant, name)

    return gateway


def _show(findings: list[Finding], *, as_json: bool) -> int:
    bad = [finding for finding in findings if finding.level is Level.FAIL]
    exit_code = Exit.DECLINED if bad else Exit.DONE
    if as_json:
        counts = {level.value: sum(f.level is level for f in findings) for level in Level}
        emit_json(
            {"findings": [f.as_document() for f in findings], "counts": counts, "exit_code": int(exit_code)}
        )
        return exit_code
    out = console()
    shown = table(whole(""), whole("Looked at"), "What was found, and what to do")
    for finding in findings:
        word, style = _MARKS.get(finding.level, ("-", "label"))
        text = cell(finding.what, limit=600)
        if finding.do:
            text.append(f" {one_line(finding.do, 600)}", style="title" if finding.level is Level.FAIL else "")
        shown.add_row(cell(word, style), cell(finding.check, "label"), text)
    out.print(shown)
    warned = sum(finding.level is Level.WARN for finding in findings)
    if bad:
        line(out, (f"{len(bad)} of {len(findings)} failed.", "bad"))
    elif warned:
        line(out, (f"It works; {warned} {'warning' if warned == 1 else 'warnings'}.", "open"))
    else:
        line(out, ("Everything is in order.", "good"))
    return exit_code
