"""`vextrus-pay webhooks forward`: post a kept delivery, as it came, to an address that the operator names."""

import asyncio
from typing import Final

import click

from vextrus_payments.cli.application import APP_HELP
from vextrus_payments.cli.exit_codes import Exit
from vextrus_payments.cli.helping import Command
from vextrus_payments.cli.home import STORE_VARIABLE
from vextrus_payments.cli.inbox_rows import GATEWAY_HELP, MODES, TENANT_HELP, Which, the_row
from vextrus_payments.cli.look import whole_line
from vextrus_payments.cli.output import console, emit_json
from vextrus_payments.cli.params import GATEWAY
from vextrus_payments.cli.waiting import Waiting
from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.inbox import InboxRow
from vextrus_payments.payment import check_url
from vextrus_payments.redaction import redact_text, redact_url
from vextrus_payments.wire import Safety, WireRequest, WireResponse

_TIMEOUT_S: Final = 30.0
_SHOWN: Final = 2_000
#: What belongs to the connection on which it came, or to a proxy on the way.
_OF_THE_WAY: Final = frozenset(
    "host connection keep-alive content-length transfer-encoding te trailer upgrade expect accept-encoding"
    " proxy-connection forwarded via x-real-ip".split()
)


@click.command(
    "forward",
    cls=Command,
    examples=(
        (
            (
                "vextrus-pay webhooks forward EVENT_ID --to http://127.0.0.1:8000/payments/bkash/webhook "
                "--app shop.payments:payments"
            ),
            "to the shop that you are developing",
        ),
    ),
)
@click.argument("event_id")
@click.option("--to", "url", required=True, metavar="URL", help="Where to post it. No redirect is followed.")
@click.option("--tenant", help=TENANT_HELP)
@click.option("--gateway", type=GATEWAY, help=GATEWAY_HELP)
@click.option("--mode", type=MODES, help="sandbox or live, where both have a row of this id.")
@click.option("--app", metavar="MODULE:ATTRIBUTE", help=APP_HELP)
@click.option(
    "--store", metavar="URL", help=f"A store to look into; else {STORE_VARIABLE}, else the home folder."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def forward(
    event_id: str,
    url: str,
    tenant: str | None,
    gateway: str | None,
    mode: str | None,
    app: str | None,
    store: str | None,
    as_json: bool,
) -> int:
    """Post one kept delivery, body and headers as they came, and show the answer.

    Its signature is still the sender's, so a receiver that bounds the time of signing may refuse an old one. It holds
    what the sender wrote, the payer's account included: name an address of yours.
    """
    check_url("--to", url)
    if "#" in url:
        raise InvalidRequestError("--to does not fit: no fragment.", field="--to", rule="no fragment")

    async def run() -> WireResponse:
        row = await the_row(app, store, Which(event_id=event_id, tenant=tenant, gateway=gateway, mode=mode))
        with Waiting("Posting it", quiet=as_json):
            return await _post(row, url)

    answer = asyncio.run(run())
    good = 200 <= answer.status < 300
    shown = redact_text(answer.body[: 4 * _SHOWN].decode("utf-8", "replace"), _SHOWN)
    if as_json:
        emit_json(
            {
                "type": "webhook.forwarded",
                "to": redact_url(url),
                "status": answer.status,
                "taken": good,
                "answer": shown,
            }
        )
    else:
        out = console()
        whole_line(out, (f"{redact_url(url)} answered {answer.status}.", "good" if good else "bad"))
        if shown:
            whole_line(out, shown)
    return Exit.DONE if good else Exit.DECLINED


async def _post(row: InboxRow, url: str) -> WireResponse:
    from vextrus_payments.transport import HttpxTransport

    headers = tuple(
        (name, value)
        for name, value in row.headers.items()
        if name not in _OF_THE_WAY and not name.startswith("x-forwarded-")
    )
    transport = HttpxTransport()
    try:
        # Nothing moves by it: a receiver takes each piece of news once, however often it comes.
        return await transport.send(
            WireRequest("POST", url, headers, row.body), safety=Safety.DISPOSABLE, timeout_s=_TIMEOUT_S
        )
    finally:
        await transport.aclose()
