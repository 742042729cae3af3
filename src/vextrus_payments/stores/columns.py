"""What the columns beside a record's document hold, the same in every store: times, cursors, and what may be asked."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Self

from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.records import Agreement, AgreementLife, OperationState, PaymentState, Payout
from vextrus_payments.states import SETTLED_STATES

FIND_LIMIT: Final = 100
"""How many payments find() answers at most."""
PAGE_LIMIT: Final = 1_000
"""How many rows one page or one lease has at most, and how many keys one question or one write."""

#: What sweep_watches() calls open.
OPEN_PAYMENTS: Final = (PaymentState.CREATED, PaymentState.AWAITING_PAYER, PaymentState.AUTHORIZED)
OPEN_OPERATIONS: Final = (
    OperationState.RESERVED,
    OperationState.SUBMITTING,
    OperationState.PENDING,
    OperationState.UNKNOWN,
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_CURSOR: Final = re.compile(r"(-?[0-9]{1,18})\.([0-9]{1,18})", re.ASCII)


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970 of an aware datetime, exactly (no float on the way).

    Raises:
        InvalidRequestError: the time has no zone, so nobody can tell which moment it is.
    """
    if moment.tzinfo is None:
        raise InvalidRequestError(
            "A time without a zone cannot be stored or compared.", field="datetime", rule="an aware datetime"
        )
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The aware UTC datetime of `to_micros`."""
    return _EPOCH + micros * _MICROSECOND


def optional_micros(moment: datetime | None) -> int | None:
    """`to_micros`, where there may be no time."""
    return None if moment is None else to_micros(moment)


def optional_moment(micros: int | None) -> datetime | None:
    """`from_micros`, where there may be no time."""
    return None if micros is None else from_micros(micros)


class Position(NamedTuple):
    """A place in a listing: the time it is ordered by, then the order of insertion."""

    at_us: int
    number: int

    def cursor(self) -> str:
        """The place as the text that callers hand back."""
        return f"{self.at_us}.{self.number}"

    @classmethod
    def of(cls, cursor: str | None) -> Self | None:
        """The place that `cursor()` wrote; None for the beginning.

        Raises:
            InvalidRequestError: the text is no cursor.
        """
        if cursor is None:
            return None
        match = _CURSOR.fullmatch(cursor)
        if match is None:
            raise InvalidRequestError(
                "The cursor is not one that a listing gave.",
                field="cursor",
                rule="a page's cursor, unchanged",
            )
        return cls(int(match[1]), int(match[2]))


def is_open(agreement: Agreement) -> bool:
    """Whether the payer or the gateway still has to say something about it."""
    return agreement.state in (AgreementLife.CREATED, AgreementLife.AWAITING_PAYER) or any(
        operation.state in OPEN_OPERATIONS for operation in agreement.operations
    )


def is_out(payout: Payout) -> bool:
    """Whether it was let out and has not come back: what sweep_watches() calls open of a payout."""
    return payout.state in OPEN_OPERATIONS and payout.state is not OperationState.RESERVED


def is_settled(payout: Payout) -> bool:
    """Whether nobody has to say anything more about it: what list_payouts(unsettled=True) leaves out."""
    return payout.state in SETTLED_STATES and not payout.in_review


@dataclass(frozen=True, slots=True)
class FindKey:
    """The one key that find() and find_agreements() look for."""

    name: str
    value: str

    @classmethod
    def of(cls, **keys: str | None) -> Self:
        """The key that was given.

        Raises:
            InvalidRequestError (a ValueError): none or more than one was given.
        """
        given = [(name, value) for name, value in keys.items() if value is not None]
        if len(given) != 1:
            names = ", ".join(keys)
            raise InvalidRequestError(
                f"They are found by exactly one of {names}; {len(given)} were given.",
                rule=f"exactly one of {names}",
            )
        return cls(*given[0])


def check_limit(limit: int) -> int:
    """Refuse a limit that is no sensible count of rows."""
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= PAGE_LIMIT:
        raise InvalidRequestError(
            f"limit does not fit: 1 to {PAGE_LIMIT} rows.", field="limit", rule=f"1 to {PAGE_LIMIT}"
        )
    return limit


def check_lease(lease_s: int) -> int:
    """Refuse a lease that is over before it begins."""
    if isinstance(lease_s, bool) or not isinstance(lease_s, int) or not 1 <= lease_s <= 86_400:
        raise InvalidRequestError(
            "lease_s does not fit: 1 to 86400 seconds.", field="lease_s", rule="1 to 86400 seconds"
        )
    return lease_s


def check_many(rows: Sequence[object]) -> None:
    """Refuse more rows or keys than one piece of work may have: it would hold everybody else up."""
    if len(rows) > PAGE_LIMIT:
        raise InvalidRequestError(
            f"{len(rows)} at once are too many: at most {PAGE_LIMIT}.", rule=f"at most {PAGE_LIMIT}"
        )
