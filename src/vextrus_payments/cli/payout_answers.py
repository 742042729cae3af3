"""`vextrus-pay payout resolve`, `clear-restored`: what a person says of payouts that no gateway can be asked about."""

import asyncio
import sys

import click

from vextrus_payments.cli.application import opened, required_app
from vextrus_payments.cli.exit_codes import Exit
from vextrus_payments.cli.helping import Command
from vextrus_payments.cli.output import emit_json, say
from vextrus_payments.cli.payout_options import APP, JSON, OPERATION, Place, at_a_place
from vextrus_payments.cli.payout_places import place_of
from vextrus_payments.cli.payouts import answer_of, show_known, show_resolved, verdict_of
from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.money import Money


@click.command(
    cls=Command,
    name="resolve",
    examples=(
        (
            "vextrus-pay payout resolve salary-march-7 --app shop.payments:payments",
            "shows what is known, and the version to pass; records nothing",
        ),
        (
            (
                "vextrus-pay payout resolve salary-march-7 --app shop.payments:payments --made DKN5ABCDEF "
                '--amount 250.50 --actor rahim --reason "The portal lists it as completed" '
                '--evidence "ticket 4711" --reviewed 4'
            ),
            "the gateway's portal shows it as made",
        ),
        (
            (
                "vextrus-pay payout resolve salary-march-7 --app shop.payments:payments --cleared "
                '--actor rahim --reason "The statement has what is booked" --evidence "statement of March, line 12" '
                "--reviewed 6"
            ),
            "it is under review, and the books have it right",
        ),
    ),
)
@OPERATION
@click.option("--made", metavar="TRX", help="It was made: the gateway's transaction id.")
@click.option("--amount", help="With --made: how much left, as the gateway has it.")
@click.option("--currency", default="BDT", show_default=True)
@click.option("--not-made", is_flag=True, help="It was not made, and cannot be made any more.")
@click.option("--cleared", is_flag=True, help="One under review was looked into: the books have it right.")
@click.option("--taken-back", is_flag=True, help="The answer that was given was a mistake: it is open again.")
@click.option("--actor", help="Who says so: your name.")
@click.option("--reason", help="Why: a sentence.")
@click.option("--evidence", multiple=True, help="What it rests on: a ticket, a statement's line.")
@click.option("--reviewed", type=int, metavar="VERSION", help="The version you have looked at.")
@click.option("--yes", is_flag=True, help="Do not ask whether you mean it.")
@at_a_place()
def resolve(
    operation_id: str,
    made: str | None,
    amount: str | None,
    currency: str,
    not_made: bool,
    cleared: bool,
    taken_back: bool,
    actor: str | None,
    reason: str | None,
    evidence: tuple[str, ...],
    reviewed: int | None,
    yes: bool,
    place: Place,
) -> int:
    """Say how a payout or transfer ended that no gateway tells, or what you found out about one under review.

    Without --made, --not-made, --cleared or --taken-back it only shows what is known, and the version to pass. Look at
    the gateway's portal or statement first; what the balances say is a hint, for others pay out too. Your answer is
    kept for ever with your name, and announced; the gateway's own word, should it come later, outranks it.

    Under review is one of which the gateway tells otherwise than it is booked. --cleared: the books have it right.
    --made: that is what left under the transaction; the books are corrected by it.

    --taken-back: the last answer was a mistake. What was booked on it alone is taken back, and nobody knows again how
    the payout ended; a review that it ended is open again. Then answer anew. The gateway's own word stays as it is.
    """
    verdict = verdict_of(made=made, not_made=not_made, cleared=cleared, taken_back=taken_back)
    if (amount is None) is not (made is None):
        raise click.BadParameter("--made and --amount go together.", param_hint="--amount")

    async def run() -> int:
        target = await place_of(place.wish, operation_id, writes=verdict is not None)
        async with place.verbs(target) as payments:
            payout = await payments.find_payout(operation_id)
            if payout is None:
                raise InvalidRequestError(
                    "There is no payout or transfer with that operation.",
                    field="operation_id",
                    rule="of a payout or transfer",
                )
            if verdict is None:
                return show_known(payout, as_json=place.as_json)
            request = answer_of(
                payout,
                verdict,
                made=made,
                amount=None if amount is None else Money(amount, currency),
                said=(actor, reason, evidence, reviewed),
            )
            if not yes and not place.as_json and sys.stdin.isatty():
                show_known(payout, as_json=False)
                if not click.confirm(f"Record {request.verdict.value}, for version {reviewed}?", err=True):
                    say("Nothing was recorded.")
                    return Exit.NOT_SENT
            done = await payments.resolve_payout(request)
        return show_resolved(done, as_json=place.as_json)

    return asyncio.run(run())


@click.command(
    cls=Command,
    name="clear-restored",
    examples=(
        (
            "vextrus-pay payout clear-restored --app shop.payments:payments",
            "after the statement was compared",
        ),
    ),
)
@APP
@JSON
def clear_restored(app: str | None, as_json: bool) -> int:
    """After a restored backup: say that what was paid out or refunded meanwhile is accounted for.

    No gateway can be asked which payouts it made since the backup, and some (SSLCommerz) not which refunds: a repeated
    call would pay twice. Compare with the gateway's statement first: whatever is in it and not in our records must not
    be asked for again.
    """
    payments = required_app(app, "payout clear-restored")

    async def run() -> int:
        async with opened(payments):
            await payments.clear_payouts()
        if as_json:
            emit_json({"cleared": True, "exit_code": 0})
        else:
            say("Payouts and refunds may leave again.")
        return Exit.DONE

    return asyncio.run(run())
