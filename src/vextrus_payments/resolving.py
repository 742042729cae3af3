"""What an operator says about something that no gateway has answered: who, what, why, on which evidence."""

import re
from dataclasses import dataclass
from typing import Final

from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.money import Money
from vextrus_payments.payment import check_amount, check_text
from vextrus_payments.records import ResolutionVerdict

_ID: Final = re.compile(r"[!-~]{1,255}", re.ASCII)
_EVIDENCE_MAX: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveRequest:
    """A person's answer, with what it rests on. It is kept for ever, and the gateway's own word outranks it.

    Raises:
        InvalidRequestError, AmountError: a field breaks its rule (it names the field and the rule).
    """

    payment_id: str
    verdict: ResolutionVerdict
    """MADE or NOT_MADE answer one operation, TAKEN_BACK takes such an answer back; CLEARED ends a quarantine."""
    actor: str
    """Who says so: 1-200 characters."""
    reason: str
    """Why: 10-500 characters."""
    evidence: tuple[str, ...]
    """What it rests on (a ticket, a statement's line, a gateway's mail): 1-20 texts of 1-500 characters."""
    reviewed_version: int
    """The payment's version that was looked at: with another one by now, the answer is refused."""
    operation_id: str | None = None
    transaction_id: str | None = None
    """The gateway's, of the money that moved: for MADE, except of a void."""
    amount: Money | None = None

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "verdict", ResolutionVerdict(self.verdict))
        except ValueError:
            known = False
        else:
            known = True
        if not known:
            _refuse("verdict", f"one of {', '.join(ResolutionVerdict)}")
        check_text("payment_id", self.payment_id, _ID, "a payment id")
        _check_words("actor", self.actor, 1, 200)
        _check_words("reason", self.reason, 10, 500)
        given = self.evidence
        if (
            isinstance(given, str)
            or not isinstance(given, tuple | list)
            or not 1 <= len(given) <= _EVIDENCE_MAX
        ):
            _refuse("evidence", f"1-{_EVIDENCE_MAX} texts")
        for line in given:
            _check_words("evidence", line, 1, 500)
        object.__setattr__(self, "evidence", tuple(given))
        version = self.reviewed_version
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            _refuse("reviewed_version", "the version of the payment that was looked at")
        if (self.verdict is ResolutionVerdict.CLEARED) is not (self.operation_id is None):
            _refuse("operation_id", "the operation that it is about; none for cleared")
        if self.operation_id is not None:
            check_text("operation_id", self.operation_id, _ID, "an operation id")
        if self.verdict is not ResolutionVerdict.MADE and (self.transaction_id or self.amount is not None):
            _refuse("transaction_id", "only with made: nothing moved")
        if self.transaction_id is not None:
            check_text("transaction_id", self.transaction_id, _ID, "1-255 visible ASCII characters")
        if self.amount is not None:
            check_amount(self.amount)


def _check_words(name: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, str) or not least <= len(value.strip()) or len(value) > most:
        _refuse(name, f"{least}-{most} characters")
    elif not value.isprintable():
        _refuse(name, "printable characters in one line")


def _refuse(field: str, rule: str) -> None:
    raise InvalidRequestError(f"{field} does not fit: {rule}.", field=field, rule=rule)
