"""`vextrus-pay status`: what became of a payment."""

import asyncio
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from vextrus_payments.cli import foreign, recorded
from vextrus_payments.cli.application import APP_HELP, app_name, is_in_charge, opened, required_app
from vextrus_payments.cli.declines import Mover
from vextrus_payments.cli.exit_codes import Exit, of_outcome
from vextrus_payments.cli.helping import Command
from vextrus_payments.cli.home import STORE_VARIABLE, Home
from vextrus_payments.cli.look import line
from vextrus_payments.cli.output import console, emit_json, say
from vextrus_payments.cli.params import GATEWAY
from vextrus_payments.cli.shapes import outcome_document, payment_document, snapshot_document
from vextrus_payments.cli.target import (
    Origin,
    check_meant,
    named_target,
    origin_of,
    recorded_target,
    required,
)
from vextrus_payments.cli.views import STYLES, View, outcome_view
from vextrus_payments.cli.waiting import Waiting
from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.gateways.registry import DEFAULT_TENANT
from vextrus_payments.money import Money
from vextrus_payments.outcomes import Declined, Outcome, RefundOutcome
from vextrus_payments.snapshots import PaymentSnapshot

if TYPE_CHECKING:
    from vextrus_payments.app import Payments

_GONE = (
    "The sandbox of this payment was started by `pay` and ended with it, so there is nobody left to ask; "
    "this is what our records say."
)
_NOTHING_NEW = "The look-up brought nothing new. Whether the gateway answered at all, this tells: {}"


@click.command(
    cls=Command,
    examples=(
        ("vextrus-pay status pay_01jd...", "a payment that `pay` made; it remembers where"),
        (
            "vextrus-pay status pay_01jd... --sandbox http://127.0.0.1:28600 --json",
            "ask the sandbox that runs there",
        ),
        (
            "vextrus-pay status --gateway bkash --gateway-reference TR0011... --amount 100",
            "a payment that was made elsewhere, by the gateway's own id",
        ),
        (
            "vextrus-pay status pay_01jd... --app shop.payments:payments",
            "one of the shop's, with its store, tenants and gateways",
        ),
    ),
)
@click.argument("payment_id", required=False)
@click.option(
    "--gateway", type=GATEWAY, help="With --gateway-reference, in place of PAYMENT_ID: the gateway (bkash)."
)
@click.option("--gateway-reference", help="The gateway's own id of the payment (bKash: paymentID).")
@click.option("--gateway-order-id", help="What you sent as order id; the answer is held against it.")
@click.option("--amount", help="What you asked for; the answer is held against it.")
@click.option("--currency", default="BDT", show_default=True)
@click.option("--tenant", default=DEFAULT_TENANT, show_default=True, help="Whose payment it is.")
@click.option("--app", metavar="MODULE:ATTRIBUTE", help=APP_HELP)
@click.option("--sandbox", metavar="URL", help="Ask the sandbox that runs there.")
@click.option("--live", is_flag=True, help="Insist on the live gateway.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option(
    "--store", metavar="URL", help=f"Where payments are kept; else {STORE_VARIABLE}, else the home folder."
)
def command(
    payment_id: str | None,
    gateway: str | None,
    gateway_reference: str | None,
    gateway_order_id: str | None,
    amount: str | None,
    currency: str,
    tenant: str,
    app: str | None,
    sandbox: str | None,
    live: bool,
    as_json: bool,
    store: str | None,
) -> int:
    """Look a payment up: by our PAYMENT_ID, or by the gateway's own id of it.

    Asks the gateway while the payment is open, and only then; what it answers is recorded. Nothing is ever executed
    or refunded by this.
    """
    check_one_way(payment_id, gateway, gateway_reference)
    wish = _Wish(
        named=recorded.Named(
            payment_id=payment_id, gateway=gateway, gateway_reference=gateway_reference, tenant=tenant
        ),
        order_id=gateway_order_id,
        amount=Money(amount, currency) if amount is not None else None,
        sandbox=sandbox,
        live=live,
        as_json=as_json,
    )

    async def run() -> int:
        if not is_in_charge(app, store=store, sandbox=sandbox):
            return await _here(wish, Home.find(store))
        async with opened(required_app(app, "status")) as payments:
            code = await _of_app(wish, payments, str(app_name(app)), or_here=app is None)
        # What `pay` made is in the home folder, whatever application the environment names.
        return await _here(wish, Home.find(None), of_app=app_name(app)) if code is None else code

    return asyncio.run(run())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What is asked about, and how the answer is wanted."""

    named: recorded.Named
    order_id: str | None
    amount: Money | None
    sandbox: str | None
    live: bool
    as_json: bool


async def _here(wish: _Wish, home: Home, *, of_app: str | None = None) -> int:
    """By the stores of the home folder, or the one that was named. `of_app`: it is not in that application's."""
    named = wish.named
    located = await recorded.locate(home, named)
    if located is not None:
        with Waiting(f"Looking the payment up at {located.facts.payment.gateway}", quiet=wish.as_json):
            answer, note = await _recorded(located, home, sandbox=wish.sandbox, live=wish.live)
        return _show_recorded(answer, note, _origin_words(answer), as_json=wish.as_json)
    if named.gateway is None or named.gateway_reference is None:
        raise recorded.not_here(*([_store_of(of_app)] if of_app else []), home.place)
    if named.tenant != DEFAULT_TENANT:
        raise InvalidRequestError(
            "The payment is not in the records here, and the credentials here are one merchant's, of no tenant.",
            field="--tenant",
            rule="with --app",
            next_step="Name the application that has the tenant's credentials: --app.",
        )
    where = named_target(named.gateway, sandbox=wish.sandbox, live=wish.live or None)
    target = required(where, named.gateway, or_app=True)
    with Waiting(f"Looking the payment up at {named.gateway}", quiet=wish.as_json):
        snapshot = await foreign.look_up(
            target,
            home,
            gateway_reference=named.gateway_reference,
            order_id=wish.order_id,
            amount=wish.amount,
        )
    return _show_foreign(named.gateway, snapshot, as_json=wish.as_json)


async def _of_app(wish: _Wish, payments: "Payments", name: str, *, or_here: bool) -> int | None:
    """By the application's own store, tenants and gateways.

    Args:
        or_here: whether the home folder's stores may have it where the application's has not: then None.
    """
    named = wish.named
    verbs = payments.for_tenant(named.tenant)
    facts = await recorded.find(payments.store, named)
    if facts is not None:
        answer, note = recorded.known(facts), ""
        if recorded.is_open(facts):
            gateway = await payments.gateway_of(named.tenant, facts.payment.gateway)
            check_meant(gateway.mode, gateway.name, live=wish.live or None)
            with Waiting(f"Looking the payment up at {gateway.name}", quiet=wish.as_json):
                answer = await recorded.asked(verbs, facts)
            note = _NOTHING_NEW.format(_shell(named, name)) if answer.facts == facts else ""
        return _show_recorded(answer, note, f"of {name}", as_json=wish.as_json)
    if or_here:
        located = await recorded.locate(Home.find(None), named)
        if located is not None or named.gateway_reference is None:
            return None
    if named.gateway is None or named.gateway_reference is None:
        raise recorded.not_here(_store_of(name))
    gateway = await payments.gateway_of(named.tenant, named.gateway)
    check_meant(gateway.mode, gateway.name, live=wish.live or None)
    with Waiting(f"Looking the payment up at {gateway.name}", quiet=wish.as_json):
        snapshot = await foreign.look_up_at(
            gateway, gateway_reference=named.gateway_reference, order_id=wish.order_id, amount=wish.amount
        )
    return _show_foreign(gateway.name, snapshot, as_json=wish.as_json)


def _store_of(app: str) -> str:
    return f"the store of {app}"


def _shell(named: recorded.Named, app: str) -> str:
    words = ["vextrus-pay", "reconcile", named.payment_id or "PAYMENT_ID", "--app", app]
    return shlex.join([*words, *(["--tenant", named.tenant] if named.tenant != DEFAULT_TENANT else [])])


def check_one_way(payment_id: str | None, gateway: str | None, gateway_reference: str | None) -> None:
    """Refuse a command line that names a payment in no way, or in two.

    Raises:
        click.UsageError: it says which part is missing.
    """
    by_gateway = gateway is not None or gateway_reference is not None
    if payment_id is not None and by_gateway:
        raise click.UsageError(
            "Name the payment once: by PAYMENT_ID, or by --gateway and --gateway-reference."
        )
    if payment_id is not None:
        return
    if not by_gateway:
        raise click.BadParameter(
            "is missing; give it, or --gateway and --gateway-reference.", param_hint="PAYMENT_ID"
        )
    if gateway is None:
        raise click.BadParameter("is missing; name the gateway, such as bkash.", param_hint="--gateway")
    if gateway_reference is None:
        raise click.BadParameter(
            "is missing; give the gateway's id of the payment.", param_hint="--gateway-reference"
        )


async def _recorded(
    located: recorded.Located, home: Home, *, sandbox: str | None, live: bool
) -> tuple[recorded.StatusAnswer, str]:
    """The answer, and what has to be said about how it was found."""
    facts = located.facts
    if not recorded.is_open(facts):
        return recorded.known(facts), ""
    target = recorded_target(facts, sandbox=sandbox, live=live or None)
    if target is None:
        return recorded.known(facts), _GONE
    answer = await recorded.look_up(located, target, home)
    if not answer.failed_look_ups:
        return answer, ""
    where = f"the sandbox at {target.sandbox_url}" if target.sandbox_url else facts.payment.gateway
    codes = ", ".join(sorted(set(answer.failed_look_ups)))
    return (
        answer,
        f"The look-up got no usable answer from {where} ({codes}), so this is what our records say.",
    )


def _show_recorded(answer: recorded.StatusAnswer, note: str, origin: str, *, as_json: bool) -> int:
    exit_code = _exit_of(answer)
    if as_json:
        document: dict[str, Any] = {
            **outcome_document(answer.outcome, looked=True),
            "payment": payment_document(answer.facts),
            "refunds": [outcome_document(refund, looked=True, of=Mover.REFUND) for refund in answer.refunds],
            "note": note or None,
            "exit_code": int(exit_code),
        }
        emit_json(document)
        return exit_code
    payment = payment_document(answer.facts)
    view = outcome_view(answer.outcome)
    view.facts = [
        ("Payment", payment["payment_id"]),
        ("Reference", payment["merchant_reference"]),
        ("Gateway", f"{payment['gateway']} ({payment['mode']}), {origin}"),
        ("Gateway's id", payment["gateway_reference"] or "none yet"),
        *view.facts,
    ]
    out = console()
    view.show(out)
    for refund in answer.refunds:
        shown = outcome_view(refund, of=Mover.REFUND)
        if not isinstance(refund, Declined):
            shown.title = f"Refund: {shown.title}"
        shown.show(out)
    if answer.refunds:
        amount = f"{payment['refunded']} of {payment['captured']} {payment['currency']}"
        line(out, f"Given back: {amount}; {payment['refundable']} can still be refunded.")
    if note:
        say(note)
    return exit_code


def _origin_words(answer: recorded.StatusAnswer) -> str:
    origin, url = origin_of(answer.facts)
    if origin is Origin.SANDBOX:
        return f"the sandbox at {url}"
    return "a sandbox of its own" if origin is Origin.OWN_SANDBOX else "from the environment"


def _exit_of(answer: recorded.StatusAnswer) -> Exit:
    """The payment's own code; an open refund of a paid payment keeps it open."""
    own = of_outcome(answer.outcome, looked=True)
    worst: list[Outcome | RefundOutcome] = [*answer.refunds]
    still_open = any(of_outcome(refund, looked=True) is Exit.OPEN for refund in worst)
    return Exit.OPEN if own is Exit.DONE and still_open else own


def _show_foreign(gateway: str, snapshot: PaymentSnapshot, *, as_json: bool) -> int:
    exit_code = foreign.exit_of(snapshot)
    document = snapshot_document(gateway, snapshot)
    if as_json:
        emit_json({**document, "exit_code": int(exit_code)})
        return exit_code
    amount = f": {snapshot.amount}" if snapshot.amount else ""
    view = View(f"{snapshot.state.value.capitalize()}{amount}", STYLES.get(exit_code, "open"))
    view.facts = [
        (label, str(document[name]))
        for label, name in (
            ("Gateway", "gateway"),
            ("Gateway's id", "gateway_reference"),
            ("Its own word", "raw_state"),
            ("Order id", "gateway_order_id"),
            ("Transaction", "transaction_id"),
            ("From wallet", "payer_account"),
            ("At", "occurred_at"),
        )
        if document[name]
    ]
    if snapshot.mismatches:
        view.text = f"It differs from what you said in: {', '.join(document['mismatches'])}."
    else:
        view.text = "This payment is not in our records: only the gateway's word stands here."
    view.show(console())
    return exit_code
