"""`vextrus-pay resolve`: a person says how something ended that no gateway tells."""

import asyncio
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from vextrus_payments.cli.application import APP_HELP, opened, required_app
from vextrus_payments.cli.exit_codes import Exit, of_outcome
from vextrus_payments.cli.explaining import Told, moment
from vextrus_payments.cli.helping import Command
from vextrus_payments.cli.in_short import in_short
from vextrus_payments.cli.look import commands, line
from vextrus_payments.cli.output import console, emit_json, say
from vextrus_payments.cli.payouts import answer_of, show_known, show_resolved, verdict_of
from vextrus_payments.cli.shapes import outcome_document, payment_document
from vextrus_payments.cli.views import STYLES, outcome_view
from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.gateways.registry import DEFAULT_TENANT
from vextrus_payments.money import Money
from vextrus_payments.printable import one_line
from vextrus_payments.records import Operation, OperationKind, PaymentFacts, ResolutionVerdict
from vextrus_payments.resolving import ResolveRequest
from vextrus_payments.states import OPEN_STATES, outcome_of

if TYPE_CHECKING:
    from vextrus_payments.app import Payments, TenantPayments


@click.command(
    cls=Command,
    examples=(
        (
            "vextrus-pay resolve pay_01jd... --app shop.payments:payments",
            "shows what is known, and the version to pass; records nothing",
        ),
        (
            (
                "vextrus-pay resolve pay_01jd... --app shop.payments:payments --operation execute/pay_01jd.../1 "
                '--made DKN5ABCDEF --amount 1250.50 --actor rahim --reason "The portal lists it as completed" '
                '--evidence "ticket 4711" --reviewed 7'
            ),
            "the gateway's portal shows it as made",
        ),
        (
            (
                "vextrus-pay resolve pay_01jd... --app shop.payments:payments --operation execute/pay_01jd.../1 "
                '--not-made --actor rahim --reason "bKash confirmed that it was never made" '
                '--evidence "ticket 4712" --reviewed 7'
            ),
            "the gateway says that it was not, and cannot be made any more",
        ),
    ),
)
@click.argument("payment_id", metavar="PAYMENT_ID")
@click.option(
    "--operation", "operation_id", metavar="ID", help="What is answered: the id that explain shows."
)
@click.option("--made", metavar="TRX", help="It was made: the gateway's transaction id. For a void: -")
@click.option("--amount", help="With --made: how much moved, as the gateway has it.")
@click.option("--currency", default="BDT", show_default=True)
@click.option("--not-made", is_flag=True, help="It was not made, and cannot be made any more.")
@click.option("--cleared", is_flag=True, help="A payment under review has been looked into: go on with it.")
@click.option("--actor", help="Who says so: your name.")
@click.option("--reason", help="Why: a sentence.")
@click.option(
    "--evidence", multiple=True, help="What it rests on: a ticket, a statement's line. May be given often."
)
@click.option("--reviewed", type=int, metavar="VERSION", help="The version you have looked at.")
@click.option("--tenant", default=DEFAULT_TENANT, show_default=True, help="Whose payment it is.")
@click.option("--yes", is_flag=True, help="Do not ask whether you mean it.")
@click.option("--app", metavar="MODULE:ATTRIBUTE", help=APP_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    payment_id: str,
    operation_id: str | None,
    made: str | None,
    amount: str | None,
    currency: str,
    not_made: bool,
    cleared: bool,
    actor: str | None,
    reason: str | None,
    evidence: tuple[str, ...],
    reviewed: int | None,
    tenant: str,
    yes: bool,
    app: str | None,
    as_json: bool,
) -> int:
    """Say how an operation ended that is unknown, or that a payment under review is cleared.

    Without --made, --not-made or --cleared it only shows what is known, and the version to pass. Your answer is kept
    for ever with your name, and announced; the gateway's own word, should it come later, outranks it.
    """
    verdict = verdict_of(made=made, not_made=not_made, cleared=cleared)
    _check_together(verdict, operation_id, amount, made)
    payments = required_app(app, "resolve")

    async def run() -> int:
        async with opened(payments):
            mine = _of(payments, tenant)
            facts = await mine.get(payment_id)
            payout = await mine.get_payout(payment_id) if facts is None else None
            if payout is not None:
                if verdict is None:
                    return show_known(payout, as_json=as_json)
                if verdict is not ResolutionVerdict.CLEARED and operation_id != payout.operation_id:
                    _missing("--operation", f"of this one there is {payout.operation_id}.")
                moved = None if amount is None else Money(amount, currency)
                said = (actor, reason, evidence, reviewed)
                answer = answer_of(payout, verdict, made=made, amount=moved, said=said)
                return show_resolved(await mine.resolve_payout(answer), as_json=as_json)
            if facts is None:
                raise InvalidRequestError(
                    "There is no payment of that id in the application's store.",
                    field="payment_id",
                    rule="a payment id",
                    next_step="Find it: vextrus-pay explain INVOICE",
                )
            if verdict is None:
                return _known(facts, as_json=as_json)
            version = _reviewed(facts, reviewed, yes=yes, as_json=as_json)
            request = ResolveRequest(
                payment_id=payment_id,
                verdict=verdict,
                actor=_given("--actor", actor),
                reason=_given("--reason", reason),
                evidence=evidence
                or _missing("--evidence", "give what it rests on: a ticket, a statement's line."),
                reviewed_version=version,
                operation_id=operation_id,
                transaction_id=None if made in (None, "-") else made,
                amount=None if amount is None else Money(amount, currency),
            )
            if not (yes or _confirmed(facts, request, as_json=as_json)):
                say("Nothing was recorded.")
                return Exit.NOT_SENT
            return _resolved(await mine.resolve(request), as_json=as_json)

    return asyncio.run(run())


def _of(payments: "Payments", tenant: str) -> "Payments | TenantPayments":
    if tenant == DEFAULT_TENANT and not payments.setup.has_tenants:
        return payments
    return payments.for_tenant(tenant)


def _check_together(
    verdict: ResolutionVerdict | None, operation_id: str | None, amount: str | None, made: str | None
) -> None:
    if verdict in (ResolutionVerdict.MADE, ResolutionVerdict.NOT_MADE) and operation_id is None:
        _missing("--operation", "name the operation you answer; vextrus-pay explain shows it.")
    if verdict is ResolutionVerdict.CLEARED and operation_id is not None:
        raise click.BadOptionUsage(
            "operation", "--cleared is about the whole payment: leave --operation out."
        )
    if amount is not None and made is None:
        raise click.BadOptionUsage("amount", "--amount goes with --made.")


def _given(option: str, value: str | None) -> str:
    return value if value is not None else _missing(option, "the answer is kept with it.")


def _missing(option: str, why: str) -> NoReturn:
    raise click.BadParameter(f"is missing: {why}", param_hint=option)


def _reviewed(facts: PaymentFacts, reviewed: int | None, *, yes: bool, as_json: bool) -> int:
    """The version that was looked at: the one that was passed, or the one shown to a person just now."""
    if reviewed is not None:
        return reviewed
    version = facts.payment.version
    if yes or as_json or not sys.stdin.isatty():
        raise click.BadParameter(
            f"is missing: look at the payment first, then pass its version (it is {version} now).",
            param_hint="--reviewed",
        )
    return version


def _confirmed(facts: PaymentFacts, request: ResolveRequest, *, as_json: bool) -> bool:
    if as_json or not sys.stdin.isatty():
        _missing("--yes", "nobody is here to be asked whether this is meant, so nothing was recorded.")
    _show_known(facts)
    what = f"{request.operation_id}: " if request.operation_id else ""
    moved = f", {request.amount} under {request.transaction_id}" if request.amount is not None else ""
    return click.confirm(
        f"Record {what}{request.verdict.value}{moved}, for version {request.reviewed_version}?", err=True
    )


def _known(facts: PaymentFacts, *, as_json: bool) -> int:
    """What is known, for somebody who is about to answer."""
    exit_code = of_outcome(outcome_of(facts), looked=True)
    if as_json:
        emit_json(
            {
                **outcome_document(outcome_of(facts), looked=True),
                "payment": payment_document(facts),
                "version": facts.payment.version,
                "open_operations": [o.operation_id for o in _open(facts)],
                "exit_code": int(exit_code),
            }
        )
        return exit_code
    _show_known(facts, out=True)
    return exit_code


def _open(facts: PaymentFacts) -> tuple[Operation, ...]:
    return tuple(
        o for o in facts.operations if o.state in OPEN_STATES and o.kind is not OperationKind.INITIALIZE
    )


def _show_known(facts: PaymentFacts, *, out: bool = False) -> None:
    write = console(None if out else sys.stderr)
    short = in_short(facts, Told(events=(), attempts=(), rows=(), next_look=None), facts.payment.updated_at)
    line(write, (short.what, STYLES.get(of_outcome(outcome_of(facts), looked=True), "open")))
    line(write, short.money)
    for operation in _open(facts):
        since = moment(operation.updated_at)
        line(write, f"Open: {operation.operation_id}: {operation.state.value} since {since}")
    for resolution in facts.payment.resolutions:
        said = f"{resolution.verdict.value}, {one_line(resolution.reason)}"
        line(write, f"Said before: {one_line(resolution.actor)}: {said}")
    line(write, f"This is version {facts.payment.version}: pass --reviewed {facts.payment.version}")
    commands(write, [("The whole story", f"vextrus-pay explain {facts.payment.payment_id}")])


def _resolved(facts: PaymentFacts, *, as_json: bool) -> int:
    outcome = outcome_of(facts)
    if as_json:
        document = {"payment": payment_document(facts), "version": facts.payment.version}
        emit_json({**outcome_document(outcome, looked=True), **document, "recorded": True, "exit_code": 0})
        return Exit.DONE
    view = outcome_view(outcome)
    view.title = f"Recorded. {view.title}"
    view.show(console())
    return Exit.DONE
