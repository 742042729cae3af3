"""Rows of the inbox for commands: which one is meant, and how it is shown. Accounts are masked, headers too."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import click

from vextrus_payments.cli.output import one_line
from vextrus_payments.cli.records import Place, places
from vextrus_payments.cli.shapes import method_document, moment, money
from vextrus_payments.documents import from_json
from vextrus_payments.errors import InvalidRequestError, StorageError
from vextrus_payments.events import GatewayEvent
from vextrus_payments.gateways.registry import DEFAULT_TENANT, installed_gateways
from vextrus_payments.inbox import InboxRow
from vextrus_payments.mode import Mode
from vextrus_payments.redaction import redact_headers, redact_json_body
from vextrus_payments.secret import mask_account

TENANT_HELP: Final = "The tenant whose row it is."
GATEWAY_HELP: Final = "The gateway that sent it; needed where several have a row of this id."
MODES: Final = click.Choice([mode.value for mode in Mode])


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Which row is meant: the sender's event id, and as much of the rest as was given."""

    event_id: str
    tenant: str | None
    gateway: str | None
    mode: str | None


async def found(place: Place, which: Which) -> tuple[InboxRow, ...]:
    """The rows of a place that may be meant."""
    gateways = (which.gateway,) if which.gateway else installed_gateways()
    modes = (Mode(which.mode),) if which.mode else tuple(Mode)
    keys = [(gateway, mode) for gateway in gateways for mode in modes]
    tenant = which.tenant or DEFAULT_TENANT
    rows = [await place.store.get_inbox(tenant, gateway, mode, which.event_id) for gateway, mode in keys]
    return tuple(row for row in rows if row is not None)


async def the_row(app: str | None, store: str | None, which: Which) -> InboxRow:
    """The one row that is meant, of all places.

    Raises:
        InvalidRequestError: there is none, or there are several.
        ConfigurationError, StorageError: see cli.records.
    """
    rows = [row async for place in places(app, store) for row in await found(place, which)]
    return only(rows, which)


def only(rows: "list[InboxRow]", which: Which) -> InboxRow:
    """The one row.

    Raises:
        InvalidRequestError: there is none, or there are several.
    """
    if len(rows) == 1:
        return rows[0]
    if not rows:
        raise InvalidRequestError(
            f"No webhook of the id {one_line(which.event_id)[:80]} is kept here for tenant"
            f" {one_line(which.tenant or DEFAULT_TENANT)[:80]}.",
            field="EVENT_ID",
            rule="an id that `vextrus-pay webhooks list` shows, with its --tenant",
        )
    several = ", ".join(sorted({f"{row.gateway} ({row.mode.value})" for row in rows}))
    raise InvalidRequestError(
        f"Several rows have that id: {several}.", field="--gateway", rule="name the gateway and the --mode"
    )


def told(row: InboxRow) -> Mapping[str, Any]:
    """What the event says, as plain values; empty where its document cannot be read."""
    try:
        event = from_json(GatewayEvent, row.document)
    except StorageError:
        return {}
    if event.refund is not None:
        refund = event.refund
        return {
            "of": "refund",
            "state": refund.state.value,
            "transaction_id": refund.transaction_id,
            "original_transaction_id": refund.original_transaction_id,
            **money(refund.amount),
        }
    if event.snapshot is None:
        return {}
    shown = event.snapshot
    return {
        "of": "payment",
        "state": shown.state.value,
        "gateway_order_id": shown.gateway_order_id,
        "gateway_reference": shown.gateway_reference or None,
        "transaction_id": shown.transaction_id,
        "payer_account": mask_account(shown.payer_account),
        "method": method_document(shown.method),
        "occurred_at": moment(shown.occurred_at),
        **money(shown.amount),
    }


def document(row: InboxRow, *, whole: bool = False) -> dict[str, Any]:
    """A row as JSON values. `whole`: with its headers and its body, redacted."""
    shown: dict[str, Any] = {
        "tenant": row.tenant,
        "gateway": row.gateway,
        "mode": row.mode.value,
        "event_id": row.event_id,
        "state": row.state.value,
        "received_at": moment(row.received_at),
        "tries": row.tries,
        "due_at": moment(row.due_at),
        "finished_at": moment(row.finished_at),
        "payment_id": row.payment_id,
        "note": row.note,
        "told": dict(told(row)),
    }
    if whole:
        shown |= {
            "news_key": row.news_key,
            "headers": redact_headers(row.headers),
            "body": redact_json_body(row.body),
            "body_bytes": len(row.body),
        }
    return shown


def in_words(row: InboxRow) -> str:
    """What it tells, for a column."""
    says = told(row)
    if not says:
        return "nothing of a payment"
    amount = f" {says['amount']} {says['currency']}" if "amount" in says else ""
    return f"{says['of']} {says['state']}{amount}"
