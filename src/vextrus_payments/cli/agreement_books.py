"""`vextrus-pay agreement compare`: what holds by a gateway's own list, held against what the records have."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from vextrus_payments.cli.agreement_options import SANDBOX, where_options
from vextrus_payments.cli.agreements import Where, own_payments
from vextrus_payments.cli.application import is_in_charge, opened, required_app
from vextrus_payments.cli.exit_codes import Exit
from vextrus_payments.cli.helping import Command
from vextrus_payments.cli.look import cell, line, prose, rows, whole
from vextrus_payments.cli.output import console, emit_json, say
from vextrus_payments.cli.params import GATEWAY
from vextrus_payments.cli.waiting import Waiting
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.records import Agreement, AgreementLife
from vextrus_payments.snapshots import AgreementSnapshot, AgreementState
from vextrus_payments.store import PaymentStore

if TYPE_CHECKING:
    from vextrus_payments.app import Payments

_PAGES: Final = 10_000
_PAGE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One agreement of which the gateway and the records tell otherwise."""

    reference: str
    agreement_key: str | None
    there: str
    here: str

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "gateway_reference": self.reference,
            "agreement_key": self.agreement_key,
            "at_the_gateway": self.there,
            "in_our_records": self.here,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What came of it."""

    holding: int
    """How many hold by the gateway's list."""
    differences: tuple[Difference, ...]


@click.command(
    cls=Command,
    name="compare",
    examples=(
        (
            "vextrus-pay agreement compare bkash_recurring --app shop.payments:payments",
            "after a restored backup: subscriptions that the records have forgotten",
        ),
    ),
)
@click.argument("gateway", type=GATEWAY)
@SANDBOX
@where_options
def compare(
    gateway: str, sandbox: str | None, tenant: str, app: str | None, store: str | None, as_json: bool
) -> int:
    """Hold the gateway's own list of subscriptions against the records. Changes nothing; exits 1 where they differ.

    What holds there and is not in the records goes on collecting, and its money is announced as receipt.unmatched. It
    was opened past this library, by another installation for the same merchant, or after the backup that was restored.
    End it in the gateway's portal, or know whose it is.
    """

    async def run() -> Compared:
        where = Where(tenant=tenant, app=app, store=store)
        async with _at(where, gateway, sandbox) as (payments, adapter):
            with Waiting(f"Reading the list of {gateway}", quiet=as_json):
                return await compared(payments.store, tenant, adapter)

    done = asyncio.run(run())
    code = Exit.DECLINED if done.differences else Exit.DONE
    if as_json:
        emit_json(
            {
                "gateway": gateway,
                "holding": done.holding,
                "differences": [one.as_document() for one in done.differences],
                "exit_code": int(code),
            }
        )
        return code
    if not done.differences:
        say(f"The records and {gateway} agree: {done.holding} hold.")
        return code
    out = console()
    cells = [
        [cell(one.reference), cell(one.agreement_key), cell(one.there), cell(one.here)]
        for one in done.differences
    ]
    rows(out, [whole("At the gateway"), whole("Ours"), "There", prose("Here")], cells)
    line(out, "Of ours, ask for each: vextrus-pay agreement status KEY. The others collect without us.")
    return code


@asynccontextmanager
async def _at(
    where: Where, gateway: str, sandbox: str | None
) -> "AsyncIterator[tuple[Payments, PaymentGateway]]":
    async with AsyncExitStack() as stack:
        if is_in_charge(where.app, store=where.store, sandbox=sandbox):
            payments = await stack.enter_async_context(opened(required_app(where.app, "agreement")))
        else:
            payments = await stack.enter_async_context(own_payments(where, gateway, sandbox=sandbox))
        yield payments, await payments.gateway_of(where.tenant, gateway)


async def compared(store: PaymentStore, tenant: str, gateway: PaymentGateway) -> Compared:
    """Read the gateway's whole list, and ours.

    Raises:
        UnsupportedOperationError: the gateway has no such list.
        GatewayError: an answer did not come; nothing can be said then.
    """
    shown = await _listed(gateway)
    holding = [one for one in shown.values() if one.state is AgreementState.ACTIVE]
    found = []
    for one in holding:
        reference = one.gateway_reference or one.agreement_id or ""
        ours = [
            each
            for each in await store.find_agreements(tenant, gateway_reference=reference)
            if each.gateway == gateway.name
        ]
        if not ours:
            found.append(_difference(reference, None, one, "not in our records: it collects without us"))
        elif ours[0].state is not AgreementLife.ACTIVE:
            found.append(_difference(reference, ours[0], one, ours[0].state.value))
    async for ours_active in _active(store, tenant, gateway):
        reference = ours_active.gateway_reference or ""
        there = shown.get(reference)
        if there is None or there.state is not AgreementState.ACTIVE:
            found.append(_difference(reference, ours_active, there, ours_active.state.value))
    return Compared(holding=len(holding), differences=tuple(found))


async def _listed(gateway: PaymentGateway) -> dict[str, AgreementSnapshot]:
    """By what they go by here. A list that repeats itself has ended: nobody knows that it goes on."""
    shown: dict[str, AgreementSnapshot] = {}
    for page in range(_PAGES):
        before = len(shown)
        for one in await gateway.list_agreements(page):
            shown.setdefault(one.gateway_reference or one.agreement_id or "", one)
        if len(shown) == before:
            break
    return shown


async def _active(store: PaymentStore, tenant: str, gateway: PaymentGateway) -> AsyncIterator[Agreement]:
    cursor = None
    while True:
        page = await store.list_agreements(tenant, cursor=cursor, limit=_PAGE)
        for one in page.rows:
            if one.state is AgreementLife.ACTIVE and (one.gateway, one.mode) == (gateway.name, gateway.mode):
                yield one
        if page.cursor is None:
            return
        cursor = page.cursor


def _difference(
    reference: str, ours: Agreement | None, there: AgreementSnapshot | None, here: str
) -> Difference:
    return Difference(
        reference=reference,
        agreement_key=None if ours is None else ours.agreement_key,
        there="not in its list" if there is None else there.raw_state,
        here=here,
    )
