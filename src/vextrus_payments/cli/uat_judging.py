"""What a scenario of a report has to come to, and the words for it: for the document, and for the payer's browser."""

from vextrus_payments.cli.listener import Page
from vextrus_payments.cli.uat_scenarios import Act, NotAsExpectedError, Scenario
from vextrus_payments.events import HintVerdict
from vextrus_payments.outcomes import Declined, Outcome, Paid, Unknown
from vextrus_payments.redaction import redact_text
from vextrus_payments.secret import mask_account


def check_refused(scenario: Scenario, outcome: Outcome, code: str) -> None:
    """The payment was refused by its one execute, with this code.

    Raises:
        NotAsExpectedError: it was not.
    """
    if isinstance(outcome, Paid):
        give_back = f"Give it back: vextrus-pay refund {outcome.payment_id}"
        raise NotAsExpectedError(f"It was paid, and should have been refused with {code}. {give_back}")
    scenario.check(isinstance(outcome, Declined), f"It is not refused: {in_words(outcome)}.")
    codes = [entry.code for entry in scenario.called("Execute Payment")]
    scenario.check(codes == [code], f"Execute was answered with {', '.join(codes) or 'nothing'}, not {code}.")


def check_not_executed(scenario: Scenario, verdict: HintVerdict, wanted: HintVerdict) -> None:
    """The payer came back as wanted, and nothing was executed.

    Raises:
        NotAsExpectedError: otherwise.
    """
    scenario.check(verdict is wanted, f"The payer came back with {verdict.value}, not {wanted.value}.")
    scenario.check(not scenario.called("Execute Payment"), "It was executed, which bKash forbids.")


def told(act: Act, *, walked: bool) -> str:
    """What the payer was to do, and whether he was played."""
    ask = redact_text(act.ask)
    if not walked:
        return f"The payer was asked: {ask}"
    wallet = f" with wallet {mask_account(act.wallet)}" if act.wallet else ""
    return f"The client played a payer{wallet}, who was asked: {ask}"


def in_words(outcome: Outcome) -> str:
    """The outcome for people."""
    if isinstance(outcome, Declined):
        return f"declined ({outcome.reason.code.value})"
    if isinstance(outcome, Paid):
        return f"paid, trxID {outcome.transaction_id}"
    if isinstance(outcome, Unknown):
        return f"unknown; look again: vextrus-pay status {outcome.payment_id}"
    return type(outcome).__name__.lower()


def page_of(verdict: HintVerdict, outcome: Outcome) -> Page:
    """What the payer reads: bKash wants to see a text for each end."""
    if isinstance(outcome, Paid):
        return Page("Payment successful", f"{outcome.amount} received. You can close this window.")
    if verdict is HintVerdict.CANCEL:
        return Page("Payment Cancelled", "Nothing was paid. You can close this window.")
    if isinstance(outcome, Declined):
        return Page("Payment Failed", f"{outcome.reason.text('en')} You can close this window.")
    return Page("Payment Failed", "The terminal shows what became of it. You can close this window.")
