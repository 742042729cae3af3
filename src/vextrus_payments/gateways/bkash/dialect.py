"""What differs between the versions of bKash's Tokenized Checkout: which route is asked, and in which words.

Everything else is written once, in `protocol.py`, `agreements.py` and `refunds.py`: what an answer proves, when it is
followed by a look-up, what is refused. A dialect only says how a question is put, so neither version can be less
careful with money than the other.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Generic, TypeVar

from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.gateways.bkash.envelope import Call
from vextrus_payments.gateways.bkash.orders import Order
from vextrus_payments.payment import ExecuteCall

A = TypeVar("A", bound=m.Answer)


class ApiVersion(StrEnum):
    """Which Tokenized Checkout a merchant was given (§2): the path of his API's root says it."""

    V1 = "v1"
    """v1.2.0-beta (§4)."""
    V2 = "v2"
    """v2, non-beta (§5)."""


@dataclass(frozen=True, slots=True)
class Question(Generic[A]):
    """One request, and how its answer is read.

    `paths` are the routes that sources name for it: the next one is tried only where the front door says that there
    is no such route as the one before, which means that nothing was done.
    """

    call: Call[A]
    body: m.Body
    paths: tuple[str, ...]
    reference: str | None = None
    """What the log may call it by. Never an agreement's own id: with that one charges."""


class Dialect(ABC):
    """One version's way to put every question that both versions know."""

    version: ClassVar[ApiVersion]
    root_path: ClassVar[str]
    """What the root of a merchant's API ends in."""
    grant_path: ClassVar[str]
    refresh_path: ClassVar[str]
    holds_money: ClassVar[bool]
    """Whether it is known how held money is captured and let go."""

    @abstractmethod
    def create(self, order: Order) -> Question[m.CreateAnswer]:
        """Create a payment, with or without an agreement."""

    @abstractmethod
    def execute(self, call: ExecuteCall) -> Question[m.ExecuteAnswer]:
        """Execute a payment."""

    @abstractmethod
    def query(self, payment_id: str) -> Question[m.QueryAnswer]:
        """Look a payment up."""

    @abstractmethod
    def search(self, transaction_id: str) -> Question[m.SearchAnswer]:
        """Look a transaction up."""

    @abstractmethod
    def agreement_create(self, payer_reference: str, callback_url: str) -> Question[m.CreateAnswer]:
        """Create an agreement."""

    @abstractmethod
    def agreement_execute(self, reference: str) -> Question[m.ExecuteAnswer]:
        """Execute the agreement that its create named so."""

    @abstractmethod
    def agreement_look_up(self, reference: str) -> Question[m.QueryAnswer]:
        """Look up the agreement that its create named so."""

    @abstractmethod
    def agreement_status(self, agreement_id: str) -> Question[m.AgreementAnswer]:
        """Look an agreement up by its own id."""

    @abstractmethod
    def agreement_cancel(self, agreement_id: str) -> Question[m.AgreementAnswer]:
        """End an agreement."""

    @abstractmethod
    def agreement_reference(self, answer: m.CreateAnswer | m.PaymentAnswer) -> str | None:
        """What an agreement is known by until it holds, in the answer to its create, execute or look-up."""
