"""`vextrus-pay pay`: one payment."""

import asyncio
import os
import shlex
import sys
import webbrowser
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from vextrus_payments.cli.exit_codes import of_outcome
from vextrus_payments.cli.extension import sandbox_tools
from vextrus_payments.cli.frame import interrupted
from vextrus_payments.cli.helping import Command
from vextrus_payments.cli.home import STORE_VARIABLE, Home
from vextrus_payments.cli.look import commands, hint, line, whole_line
from vextrus_payments.cli.output import console, emit_json, is_terminal, say
from vextrus_payments.cli.params import GATEWAY, PORT, WholeNumber
from vextrus_payments.cli.paying import PayOrder, take
from vextrus_payments.cli.shapes import outcome_document, session_document
from vextrus_payments.cli.target import Origin, Target, named_target
from vextrus_payments.cli.views import outcome_view
from vextrus_payments.clock import SystemClock
from vextrus_payments.config import is_loopback
from vextrus_payments.gateways.registry import load_adapter
from vextrus_payments.ids import Ids, SystemEntropy
from vextrus_payments.money import Money
from vextrus_payments.outcomes import Outcome, Paid, Pending
from vextrus_payments.payment import Intent, PaymentRequest, PaymentSession
from vextrus_payments.printable import one_line

if TYPE_CHECKING:
    from rich.console import Console


@click.command(
    cls=Command,
    moves_money=True,
    examples=(
        (
            "vextrus-pay pay bkash --amount 100 --reference INV-1",
            "in a sandbox of its own, unless BKASH_... is set: open the page it prints, pay as the test customer",
        ),
        (
            "vextrus-pay pay bkash --amount 100.50 --reference INV-2 --sandbox http://127.0.0.1:28600 --approve",
            "in the sandbox that runs there; the page is walked for you",
        ),
        (
            "vextrus-pay pay nagad --amount 250 --reference INV-3 --approve --json",
            "for a script: one line with the session, one with the outcome",
        ),
        (
            (
                "vextrus-pay pay bkash --amount 10 --reference INV-4 --live --port 8080 "
                "--public-url https://tunnel.example"
            ),
            "real money, with the credentials of the environment; a tunnel leads to the port",
        ),
    ),
)
@click.argument("gateway", type=GATEWAY)
@click.option("--amount", required=True, help="How much, in major units: 100 or 1250.50.")
@click.option("--reference", required=True, help="Your invoice number: one reference is charged once.")
@click.option("--currency", default="BDT", show_default=True)
@click.option(
    "--approve", is_flag=True, help="Walk the payment page as the test customer would (sandbox only)."
)
@click.option("--sandbox", metavar="URL", help="Pay in the sandbox that runs there.")
@click.option("--live", is_flag=True, help="Move real money: needed where the environment says live.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines: the session, then the outcome.")
@click.option(
    "--intent",
    type=click.Choice([intent.value for intent in Intent]),
    default=Intent.SALE.value,
    show_default=True,
    help="Take the money, or only hold it.",
)
@click.option("--operation-id", help="Your idempotency key: the same id again is the same payment.")
@click.option("--allow-repeat", is_flag=True, help="Charge a reference again although it is paid.")
@click.option("--no-browser", is_flag=True, help="Only print the payment page's address.")
@click.option(
    "--qr/--no-qr",
    "qr",
    default=None,
    help="Draw the page's address as a QR code; without either, on a terminal that has room for it.",
)
@click.option(
    "--wait-s",
    type=WholeNumber(1, 86_400),
    default=600,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the payer.",
)
@click.option(
    "--port",
    type=PORT,
    default=0,
    metavar="PORT",
    help="Where to listen for the payer's return; 0: any free port.",
)
@click.option("--public-url", metavar="URL", help="The https address of a tunnel that leads to --port.")
@click.option(
    "--store", metavar="URL", help=f"Where payments are kept; else {STORE_VARIABLE}, else the home folder."
)
def command(
    gateway: str,
    amount: str,
    reference: str,
    currency: str,
    approve: bool,
    sandbox: str | None,
    live: bool,
    as_json: bool,
    intent: str,
    operation_id: str | None,
    allow_repeat: bool,
    no_browser: bool,
    qr: bool | None,
    wait_s: int,
    port: int,
    public_url: str | None,
    store: str | None,
) -> int:
    """Take one payment through GATEWAY (bkash, nagad, sslcommerz).

    It is paid in the sandbox named by --sandbox, else with the credentials of the environment (BKASH_..., NAGAD_...,
    SSLCOMMERZ_...), else in a sandbox that is started for this payment and ends with it.
    """
    load_adapter(gateway)
    request = PaymentRequest(
        operation_id=operation_id or f"cli/pay/{Ids(SystemClock(), SystemEntropy()).new('op')}",
        gateway=gateway,
        amount=Money(amount, currency),
        merchant_reference=reference,
        intent=Intent(intent),
        allow_repeat=allow_repeat,
    )
    target = named_target(gateway, sandbox=sandbox, live=live)
    order = PayOrder(
        request=request,
        target=target,
        home=Home.find(store),
        approve=approve,
        wait_s=wait_s,
        port=port,
        public_url=public_url,
        on_session=_json_session if as_json else partial(_shown_session, qr),
        quiet=as_json,
        open_browser=not no_browser,
        live=live,
    )
    try:
        outcome = asyncio.run(take(order))
    except KeyboardInterrupt:
        return _interrupted(order, as_json=as_json)
    looked = not order.came_back
    if as_json:
        emit_json({"type": "outcome", **outcome_document(outcome, looked=looked)})
    else:
        _show_outcome(order, outcome)
    return of_outcome(outcome, looked=looked)


def _json_session(order: PayOrder, session: PaymentSession, target: Target) -> None:
    document = session_document(
        session,
        operation_id=order.request.operation_id,
        return_url=order.return_url,
        sandbox_url=target.sandbox_url,
    )
    emit_json({"type": "session", **document})


def _shown_session(wants_qr: bool | None, order: PayOrder, session: PaymentSession, target: Target) -> None:
    out = console()
    amount = f"{session.amount} for {session.merchant_reference}"
    line(out, (one_line(f"{session.gateway} ({session.mode.value}): {amount}"), "title"))
    line(out, f"Payment {session.payment_id}, gateway order id {session.gateway_order_id}")
    url = session.checkout_url
    if url is None or order.approve:
        out.file.flush()
        return
    line(out, "Open this page and pay:")
    whole_line(out, "  ", (url, "underline"))
    _show_qr(out, url, wants_qr)
    if target.is_walkable:
        known = sandbox_tools("A sandbox").customer()
        line(out, f"The test customer: {'   '.join(f'{name} {value}' for name, value in known.items())}")
    hint(out, f"Waiting up to {order.wait_s} s for the payer to come back; Ctrl+C stops waiting.")
    out.file.flush()
    if order.open_browser and _has_browser():
        webbrowser.open(url)


def _show_qr(out: "Console", url: str, wanted: bool | None) -> None:
    from vextrus_payments.cli import qr

    problem = qr.show(out, url, wanted=wanted)
    if problem is not None:
        say(f"The QR code is not shown. {problem}")
    elif (wanted or (wanted is None and is_terminal(sys.stdout))) and is_loopback(
        urlsplit(url).hostname or ""
    ):
        hint(out, "The address is this machine's own: another device, such as a phone, cannot open it.")


def _has_browser() -> bool:
    """Whether opening a page shows it to a person: not in a script, and not in a terminal without a desktop."""
    if not sys.stdout.isatty():
        return False
    return sys.platform in ("win32", "darwin") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def _show_outcome(order: PayOrder, outcome: Outcome) -> None:
    out = console()
    view = outcome_view(outcome)
    if isinstance(outcome, Pending) and not order.came_back:
        view.title, view.text = "Pending: the payer has not finished", "No money moved: nothing was executed."
        if order.payer_completes:
            view.title = "Pending: the payer has not come back"
            view.text = (
                "He pays on the gateway's own page, so he may have paid all the same: look with `status`."
            )
    view.show(out)
    if order.origin is Origin.OWN_SANDBOX:
        hint(out, "The sandbox of this payment ended with this command.")
        commands(out, [("One that stays, to pay, refund and look around", "vextrus-pay sandbox serve")])
        return
    rows = [("Look at it later", f"vextrus-pay status {outcome.payment_id}")]
    if isinstance(outcome, Paid):
        rows.append(("Give money back", f"vextrus-pay refund {outcome.payment_id} --amount AMOUNT"))
    if isinstance(outcome, Pending):
        rows.append(("Wait again", _same_again(order)))
    commands(out, rows)


def _same_again(order: PayOrder) -> str:
    """The command line that waits for the payer of the same payment once more, at the same address."""
    request, port = order.request, order.listening_at.rpartition(":")[2]
    words = ["vextrus-pay", "pay", request.gateway, "--amount", request.amount.amount]
    words += [
        "--reference",
        request.merchant_reference,
        "--operation-id",
        request.operation_id,
        "--port",
        port,
    ]
    if order.target is not None and order.target.sandbox_url:
        words += ["--sandbox", order.target.sandbox_url]
    if request.amount.currency != "BDT":
        words += ["--currency", request.amount.currency]
    if request.intent is not Intent.SALE:
        words += ["--intent", request.intent.value]
    if order.public_url is not None:
        words += ["--public-url", order.public_url]
    return (
        shlex.join(words)
        + (" --live" if order.live else "")
        + (" --allow-repeat" if request.allow_repeat else "")
    )


def _interrupted(order: PayOrder, *, as_json: bool) -> int:
    session = order.session
    if session is None:
        what = "Interrupted before a payment session was there."
        return interrupted(what, moves_money=False, as_json=as_json)
    what = "Interrupted. Whatever had been sent has been recorded."
    if order.origin is Origin.OWN_SANDBOX:
        what += " The sandbox of this payment ended with this command, so no real money is in question."
        return interrupted(what, moves_money=False, as_json=as_json, payment_id=session.payment_id)
    return interrupted(
        what,
        # Who pays on the gateway's own page may have done so; else money moves when he is back, and not before.
        moves_money=order.began or order.payer_completes,
        next_step=f"Look at it: vextrus-pay status {session.payment_id}",
        as_json=as_json,
        payment_id=session.payment_id,
    )
