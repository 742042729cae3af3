"""`vextrus-pay refund`: give money of a payment back, once."""

import asyncio
from typing import Any

import click

from vextrus_payments.cli import foreign, recorded
from vextrus_payments.cli.declines import Mover
from vextrus_payments.cli.exit_codes import of_outcome
from vextrus_payments.cli.helping import Command
from vextrus_payments.cli.home import STORE_VARIABLE, Home
from vextrus_payments.cli.look import line
from vextrus_payments.cli.output import console, emit_json
from vextrus_payments.cli.params import GATEWAY
from vextrus_payments.cli.shapes import outcome_document, payment_document
from vextrus_payments.cli.status import check_one_way
from vextrus_payments.cli.target import named_target, recorded_target, required
from vextrus_payments.cli.views import View, outcome_view
from vextrus_payments.cli.waiting import Waiting
from vextrus_payments.errors import ConflictError, InvalidRequestError
from vextrus_payments.money import Money
from vextrus_payments.outcomes import Declined, Pending, Refunded, RefundOutcome, Unknown
from vextrus_payments.payment import RefundCall, RefundRequest, check_amount, check_operation_id

_MADE_BEFORE = (
    "This refund was made before, under the same operation id: nothing was sent now. A second refund of the same "
    "amount needs an --operation-id of its own."
)
_ASKED_BEFORE = "It was asked for before, under the same operation id: nothing was sent now."


@click.command(
    cls=Command,
    moves_money=True,
    examples=(
        ("vextrus-pay refund pay_01jd... --amount 40", "a part; the same command again refunds once"),
        ("vextrus-pay refund pay_01jd...", "all that is left"),
        (
            'vextrus-pay refund pay_01jd... --amount 40 --operation-id return-2 --reason "second item returned"',
            "the same amount once more, on purpose",
        ),
        (
            (
                "vextrus-pay refund --gateway bkash --gateway-reference TR0011... --transaction-id DKN5ABCDEF "
                '--amount 40 --sku "one item"'
            ),
            "of a payment that was made elsewhere",
        ),
    ),
)
@click.argument("payment_id", required=False)
@click.option("--amount", help="How much, in major units; without it all that can still be refunded.")
@click.option("--currency", help="Of the amount; without it the payment's own, else BDT.")
@click.option("--reason", default="refund", show_default=True, help="Why, for the gateway's records.")
@click.option("--sku", help="What is given back; without it the reference.")
@click.option(
    "--operation-id",
    help="Your idempotency key. Without it the payment and the amount are the key, so that the same command, run "
    "again, refunds once.",
)
@click.option(
    "--gateway", type=GATEWAY, help="In place of PAYMENT_ID, with the two below: the gateway (bkash)."
)
@click.option("--gateway-reference", help="The gateway's own id of the payment (bKash: paymentID).")
@click.option("--transaction-id", help="The gateway's receipt of the payment (bKash: trxID).")
@click.option("--sandbox", metavar="URL", help="Refund in the sandbox that runs there.")
@click.option("--live", is_flag=True, help="Move real money: needed for a live payment.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option(
    "--store", metavar="URL", help=f"Where payments are kept; else {STORE_VARIABLE}, else the home folder."
)
def command(
    payment_id: str | None,
    amount: str | None,
    currency: str | None,
    reason: str,
    sku: str | None,
    operation_id: str | None,
    gateway: str | None,
    gateway_reference: str | None,
    transaction_id: str | None,
    sandbox: str | None,
    live: bool,
    as_json: bool,
    store: str | None,
) -> int:
    """Give money back: of the payment with our PAYMENT_ID, or with the gateway's own ids.

    A refund whose answer is lost stays unknown and is looked up; it is never sent twice.
    """
    check_one_way(payment_id, gateway, gateway_reference)
    asked = None
    if amount is not None:
        asked = Money(amount, currency or "BDT")
        check_amount(asked)
    if operation_id is not None:
        check_operation_id(operation_id)
    home = Home.find(store)

    async def run() -> int:
        located = await recorded.locate(
            home,
            recorded.Named(payment_id=payment_id, gateway=gateway, gateway_reference=gateway_reference),
        )
        if located is not None:
            _check_transaction(located, transaction_id)
            target = recorded_target(located.facts, sandbox=sandbox, live=live)
            if target is None:
                raise _sandbox_gone(located)
            payment = located.facts.payment
            part = asked if amount is None or currency else Money(amount, payment.amount.currency)
            request = RefundRequest(
                operation_id=operation_id or _own_key(payment.payment_id, part),
                payment_id=payment.payment_id,
                amount=part,
                reason=reason,
                sku=sku,
            )
            with Waiting(f"Refunding at {target.gateway}", quiet=as_json):
                answer = await recorded.refund(located, target, home, request)
            return _show_recorded(answer, as_json=as_json)
        if gateway is None or gateway_reference is None:
            raise recorded.not_here(home.place)
        call = _foreign_call(gateway_reference, transaction_id, asked, reason, sku, operation_id)
        target = required(named_target(gateway, sandbox=sandbox, live=live), gateway)
        with Waiting(f"Refunding at {gateway}", quiet=as_json):
            made = await foreign.refund(target, home, call)
        return _show_foreign(made, as_json=as_json)

    return asyncio.run(run())


def _asked_before(outcome: RefundOutcome) -> str:
    # A declined one says by itself what another one takes.
    another = "" if isinstance(outcome, Declined) else " Another refund needs an --operation-id of its own."
    return f"{_ASKED_BEFORE}{another}"


def _own_key(subject: str, amount: Money | None) -> str:
    return f"cli/refund/{subject}/{amount.amount + amount.currency if amount else 'all'}"


def _check_transaction(located: recorded.Located, transaction_id: str | None) -> None:
    known = payment_document(located.facts)["transaction_id"]
    if transaction_id is not None and transaction_id != known:
        raise InvalidRequestError(
            "This payment is in our records, with another transaction id.",
            field="transaction_id",
            rule="the receipt of this payment",
        )


def _sandbox_gone(located: recorded.Located) -> ConflictError:
    payment_id = located.facts.payment.payment_id
    return ConflictError(
        "The sandbox of this payment was started by `pay` and ended with it, so nobody is left to refund it.",
        code="sandbox_gone",
        next_step="To try refunds, run `vextrus-pay sandbox serve` and pay with --sandbox URL.",
        payment_id=payment_id,
    )


def _foreign_call(
    gateway_reference: str,
    transaction_id: str | None,
    amount: Money | None,
    reason: str,
    sku: str | None,
    operation_id: str | None,
) -> RefundCall:
    """The refund of a payment that is not in our store: nothing can be filled in, so all has to be said.

    Raises:
        click.BadParameter: it names the option that is missing.
    """
    why = "is missing: the payment is not in our records, so it has to be said."
    if transaction_id is None:
        raise click.BadParameter(why, param_hint="--transaction-id")
    if amount is None:
        raise click.BadParameter(why, param_hint="--amount")
    if sku is None:
        raise click.BadParameter(why, param_hint="--sku")
    return RefundCall(
        operation_id=operation_id or _own_key(transaction_id, amount),
        gateway_reference=gateway_reference,
        transaction_id=transaction_id,
        amount=amount,
        reason=reason,
        sku=sku,
    )


def _show_recorded(answer: recorded.RefundAnswer, *, as_json: bool) -> int:
    outcome, payment = answer.outcome, payment_document(answer.facts)
    if as_json:
        document: dict[str, Any] = {
            **outcome_document(outcome, of=Mover.REFUND),
            "payment": payment,
            "made_before": answer.made_before,
        }
        emit_json(document)
        return of_outcome(outcome)
    out = console()
    view = outcome_view(outcome, of=Mover.REFUND)
    if isinstance(outcome, Unknown):
        view.title = "Unknown: nobody can tell yet whether the refund was made"
        view.text = f"It is not sent again. Look again: vextrus-pay status {outcome.payment_id}"
    if isinstance(outcome, Pending) and outcome.sent:
        view.text = f"{view.text} Look again: vextrus-pay status {outcome.payment_id}"
    if answer.made_before:
        view.text = _MADE_BEFORE if isinstance(outcome, Refunded) else f"{view.text} {_asked_before(outcome)}"
    view.facts = [*view.facts, ("Of payment", payment["payment_id"])]
    view.show(out)
    given = f"{payment['refunded']} of {payment['captured']} {payment['currency']}"
    line(out, f"Given back: {given}; {payment['refundable']} can still be refunded.")
    return of_outcome(outcome)


def _show_foreign(answer: foreign.RefundAnswer, *, as_json: bool) -> int:
    document = dict(answer.document)
    if as_json:
        emit_json({**document, "made_before": answer.made_before})
    else:
        view = View(f"Refunded: {document['amount']} {document['currency']}", "good")
        view.facts = [
            ("Refund", str(document["transaction_id"])),
            ("Of transaction", str(document["original_transaction_id"])),
            ("Operation id", str(document["operation_id"])),
        ]
        view.text = _MADE_BEFORE if answer.made_before else ""
        view.show(console())
    return int(document["exit_code"])
