"""Money that leaves: what callers ask for (payouts, transfers between own accounts), what adapters get and show."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import (
    Evidence,
    check_amount,
    check_metadata,
    check_operation_id,
    check_text,
    digest_of,
)

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
_REFERENCE: Final = re.compile(r"[ -~]{1,200}", re.ASCII)
_RECEIVER: Final = re.compile(r"[!-~]{1,64}", re.ASCII)


class PayoutKind(StrEnum):
    """Whose money leaves for whom."""

    B2C = "b2c"
    """To a customer's wallet."""
    B2B = "b2b"
    """To another merchant's wallet."""
    TRANSFER = "transfer"
    """Between the merchant's own accounts at the gateway: nothing leaves it."""


class TransferDirection(StrEnum):
    """Between which of the merchant's own accounts."""

    TO_DISBURSEMENT = "to_disbursement"
    """From the account that payments come into, to the one that payouts are made from."""
    TO_COLLECTION = "to_collection"


class PayoutState(StrEnum):
    """What a gateway shows of a payout or transfer, normalized."""

    COMPLETED = "completed"
    PENDING = "pending"
    UNRECOGNIZED = "unrecognized"
    """Anything that nobody documented: proves nothing."""


class AccountRole(StrEnum):
    """What an account at a gateway is for."""

    COLLECTION = "collection"
    DISBURSEMENT = "disbursement"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutRequest:
    """Send money to somebody, once per operation id.

    Raises:
        InvalidRequestError: a field breaks its rule (it names the field and the rule).
        AmountError: the amount is not Money above zero.
    """

    operation_id: str
    """The caller's idempotency key: the same id again is the same payout, and is never sent twice."""
    gateway: str
    amount: Money
    receiver: str = field(repr=False)
    """The wallet's number: 01XXXXXXXXX."""
    reference: str
    """What it is for in the shop's own words (a salary, a seller's payment): 1-200 printable ASCII characters."""
    kind: PayoutKind = PayoutKind.B2C
    correlation_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_operation_id(self.operation_id)
        check_text("gateway", self.gateway, _NAME, "a gateway's name such as bkash")
        check_amount(self.amount)
        check_text("receiver", self.receiver, _RECEIVER, "an account's number: 1-64 visible ASCII characters")
        check_text("reference", self.reference, _REFERENCE, "1-200 printable ASCII characters")
        if self.kind not in (PayoutKind.B2C, PayoutKind.B2B):
            raise InvalidRequestError("kind does not fit: b2c or b2b.", field="kind", rule="b2c or b2b")
        object.__setattr__(self, "kind", PayoutKind(self.kind))
        check_metadata(self.metadata)
        object.__setattr__(self, "metadata", dict(self.metadata))

    def digest(self) -> str:
        """As PaymentRequest.digest: another receiver or amount is another payout."""
        amount = self.amount
        return digest_of(
            "payout",
            self.gateway,
            amount.amount_minor,
            amount.currency,
            self.receiver,
            self.reference,
            self.kind,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRequest:
    """Move money between the merchant's own accounts at the gateway, once per operation id.

    Raises:
        InvalidRequestError, AmountError: as for PayoutRequest.
    """

    operation_id: str
    gateway: str
    amount: Money
    direction: TransferDirection
    reference: str = "transfer"
    correlation_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_operation_id(self.operation_id)
        check_text("gateway", self.gateway, _NAME, "a gateway's name such as bkash")
        check_amount(self.amount)
        check_text("reference", self.reference, _REFERENCE, "1-200 printable ASCII characters")
        if self.direction not in tuple(TransferDirection):
            rule = f"one of {', '.join(TransferDirection)}"
            raise InvalidRequestError(f"direction does not fit: {rule}.", field="direction", rule=rule)
        object.__setattr__(self, "direction", TransferDirection(self.direction))
        check_metadata(self.metadata)
        object.__setattr__(self, "metadata", dict(self.metadata))

    def digest(self) -> str:
        """As PaymentRequest.digest."""
        amount = self.amount
        return digest_of(
            "transfer", self.gateway, amount.amount_minor, amount.currency, self.direction, self.reference
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutCall:
    """What an adapter needs to pay out or to transfer; its answer is judged against the order id and the amount."""

    kind: PayoutKind
    gateway_order_id: str
    """Ours, what the gateway sees: unique per payout."""
    amount: Money
    receiver: str | None = field(default=None, repr=False)
    """None only for a transfer."""
    direction: TransferDirection | None = None
    """Only of a transfer."""


#: In the evidence of a payout's checkpoint: what the gateway can be asked by later, where it can be asked.
LOOK_UP: Final = "look_up"


def look_up_of(evidence: tuple[Evidence, ...]) -> Evidence | None:
    """The evidence by which the gateway can be asked about a payout; None where it cannot be."""
    return next((one for one in reversed(evidence) if isinstance(one.data.get(LOOK_UP), str)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutSnapshot:
    """A payout or transfer as the gateway shows it now: COMPLETED with a transaction id, or nothing that can be booked.

    `amount` may differ from what was asked: money that moved is booked at the gateway's amount.
    """

    state: PayoutState
    raw_state: str
    """The gateway's own word."""
    transaction_id: str | None
    amount: Money | None
    gateway_reference: str | None = None
    """What the gateway can be asked by, where it can be asked."""
    fee: Money | None = None
    occurred_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountBalance:
    """One of the merchant's accounts at the gateway. Only reads: it proves nothing about any one payout."""

    role: AccountRole
    name: str
    """The gateway's own name of it."""
    available: Money | None
    current: Money | None
    status: str | None = None
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayBalance:
    """What a gateway says that it holds for the merchant, and when it was asked."""

    gateway: str
    mode: Mode
    accounts: tuple[AccountBalance, ...]
    asked_at: datetime

    def of(self, role: AccountRole) -> AccountBalance | None:
        """The one account of that role; None where there is none, or several."""
        found = [account for account in self.accounts if account.role is role]
        return found[0] if len(found) == 1 else None
