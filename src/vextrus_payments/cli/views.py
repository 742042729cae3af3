"""What commands show to a person: an outcome in words, its facts beside it, and what to do next."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

from vextrus_payments.cli.declines import Mover, in_bangla, next_of, title_of, words_of
from vextrus_payments.cli.exit_codes import Exit
from vextrus_payments.cli.look import cell, facts, panel
from vextrus_payments.outcomes import (
    Authorized,
    Declined,
    Outcome,
    Paid,
    PayoutOutcome,
    Pending,
    Refunded,
    RefundOutcome,
    Review,
    Sent,
    TransferOutcome,
    Transferred,
    Unknown,
)
from vextrus_payments.reasons import Reason

if TYPE_CHECKING:
    from rich.console import Console

_GOOD: Final = "good"
_OPEN: Final = "open"
_BAD: Final = "bad"
STYLES: Final[Mapping[Exit, str]] = {Exit.DONE: _GOOD, Exit.DECLINED: _BAD}
"""Exit code -> the style of what is shown with it; any other: "open"."""


@dataclass(slots=True)
class View:
    """A titled box of facts with a sentence below."""

    title: str
    style: str
    """good, open or bad."""
    facts: list[tuple[str, str]] = field(default_factory=list)
    text: str = ""

    def show(self, out: "Console") -> None:
        """Print it."""
        from rich.console import Group

        parts = [facts(self.facts)] if self.facts else []
        said = [cell(self.text, limit=1000)] if self.text else []
        out.print(panel(Group(*parts, *said), self.title, self.style))


def outcome_view(
    outcome: Outcome | RefundOutcome | PayoutOutcome | TransferOutcome, *, of: Mover | None = None
) -> View:
    """The outcome in words.

    Args:
        of: what it is the outcome of, where that is no payment.
    """
    view: View
    match outcome:
        case Paid():
            view = View(f"Paid: {outcome.amount}", _GOOD)
            view.facts = _present(
                ("Transaction", outcome.transaction_id),
                ("Paid by", None if outcome.method is None else str(outcome.method)),
                ("From wallet", outcome.payer_account_masked),
                ("At", clock_time(outcome.paid_at)),
                ("Came late", "yes: the payment had been closed; see its events" if outcome.late else None),
                (
                    "On hold",
                    "yes: the gateway calls it risky; keep the goods back" if outcome.on_hold else None,
                ),
            )
        case Authorized():
            view = View(f"Authorized: {outcome.amount} is held", _GOOD)
            view.facts = _present(("Transaction", outcome.transaction_id))
            view.text = "Nothing has moved yet: capture the hold, or void it."
        case Refunded():
            view = View(f"Refunded: {outcome.amount}", _GOOD)
            view.facts = _present(("Refund", outcome.transaction_id), ("At", clock_time(outcome.refunded_at)))
        case Sent():
            view = View(f"Sent: {outcome.amount}", _GOOD)
            view.facts = _present(
                ("Transaction", outcome.transaction_id),
                ("Fee", None if outcome.fee is None else str(outcome.fee)),
                ("At", clock_time(outcome.sent_at)),
            )
        case Transferred():
            view = View(f"Transferred: {outcome.amount}", _GOOD)
            view.facts = _present(
                ("Transaction", outcome.transaction_id), ("At", clock_time(outcome.made_at))
            )
        case Declined() if of is not None:
            view = _mover_declined(outcome.reason, of)
        case Declined():
            view = View("Declined", _BAD, text="Nothing moved.")
            view.facts = _declined(outcome.reason)
        case Pending(sent=False) if of is Mover.REFUND:
            view = View("Pending: the refund has not been made", _OPEN, text="No money moved.")
            view.text += " The same command asks for it again; it is made once." + _retry(outcome)
        case Pending():
            view = _pending(outcome)
        case Unknown():
            view = View("Unknown: nobody can tell yet whether money moved", _OPEN)
            view.text = "Nothing is sent again. Look again until the gateway answers."
        case Review():
            view = View("Under review", _OPEN, text=outcome.what)
            view.facts = _present(
                ("Reported amount", None if outcome.amount is None else str(outcome.amount)),
                ("Transaction", outcome.transaction_id),
            )
    return view


def _pending(outcome: Pending) -> View:
    if outcome.sent:
        return View("Pending", _OPEN, text="It is under way; the gateway has not settled it yet.")
    view = View("Pending: we have sent nothing that moves money", _OPEN)
    view.text = "Where payers pay on the gateway's own page, only a look-up tells whether this one has."
    view.text += _retry(outcome)
    return view


def _retry(outcome: Pending) -> str:
    return "" if outcome.retry_after_s is None else f" Try again in {outcome.retry_after_s} s."


def _mover_declined(reason: Reason, of: Mover) -> View:
    """A declined refund, payout or transfer, for the merchant: why, that no money moved, what next."""
    view = View(title_of(reason, of), _BAD, text=f"No money moved. {next_of(reason, of)}")
    view.facts = _present(
        ("Reason", words_of(reason, of).why),
        ("The gateway says", reason.own_words.get("en")),
        ("In Bangla", in_bangla(reason, of)),
        ("Code", _code(reason)),
    )
    return view


def _declined(reason: Reason) -> list[tuple[str, str]]:
    return _present(
        ("Reason", reason.text("en")),
        ("In Bangla", reason.text("bn")),
        ("Code", _code(reason)),
    )


def _code(reason: Reason) -> str:
    return " / ".join(part for part in (reason.code.value, reason.gateway_code) if part)


def clock_time(at: datetime | None) -> str | None:
    """A time for a person, with its zone."""
    return None if at is None else f"{at:%Y-%m-%d %H:%M:%S} {at:%Z}".strip()


def _present(*facts: tuple[str, str | None]) -> list[tuple[str, str]]:
    return [(label, value) for label, value in facts if value]
