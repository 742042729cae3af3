"""The scenarios that bKash wants to see before a merchant goes live (dossier §11), and what is kept of them.

Each is one payment through the engine, as a shop makes it, so that whatever breaks off is recorded in the store and
nothing is sent twice. A scenario passes when the client did the right thing, which is a refusal as often as a payment.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from vextrus_payments.cli.uat_wire import WireEntry

Result = Literal["skipped", "running", "passed", "failed"]


class NotAsExpectedError(Exception):
    """A scenario came to another end than the gateway's people want to see. Its text is for people, without secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What the payer does on the gateway's page."""

    ask: str
    """In words, for a person."""
    wallet: str = ""
    """A wallet other than the good test customer's."""
    otp: str = ""
    """A code other than his."""
    cancels: bool = False


@dataclass(slots=True, kw_only=True)
class Scenario:
    """One scenario and what came of it."""

    code: str
    title: str
    expects: str
    act: Act | None = None
    """None: no payer is needed."""
    needs: str = ""
    """The scenario that has to have passed before."""
    screenshots: tuple[str, ...] = ()
    result: Result = "skipped"
    what: str = ""
    invoice: str = ""
    payment_id: str = ""
    trx_id: str = ""
    amount: str = ""
    our_payment_id: str = ""
    """Our own id of the payment, by which `vextrus-pay status` knows it."""
    began_at: datetime | None = None
    ended_at: datetime | None = None
    steps: list[str] = field(default_factory=list)
    calls: list[WireEntry] = field(default_factory=list)

    def called(self, title: str) -> list[WireEntry]:
        """The calls of one API."""
        return [entry for entry in self.calls if entry.title == title]

    def check(self, holds: bool, otherwise: str) -> None:
        """Go on if it holds.

        Raises:
            NotAsExpectedError: it does not.
        """
        if not holds:
            raise NotAsExpectedError(otherwise)


@dataclass(slots=True, kw_only=True)
class Report:
    """Everything that the document tells."""

    environment: str
    api_url: str
    money: str
    payer: str
    client: str
    began_at: datetime
    scenarios: list[Scenario]
    secrets: Callable[[], Iterable[str]]
    """What must not stand in the document in any case."""
    ended_at: datetime | None = None
    broken_off: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether every scenario passed."""
        return not self.broken_off and all(one.result == "passed" for one in self.scenarios)

    def count(self, *results: Result) -> int:
        """How many scenarios ended so."""
        return sum(one.result in results for one in self.scenarios)


_PAGE_AND_RETURN: Final = ("the payment page", "the page that the payer comes back to")
_RIGHT: Final = "Pay with the right wallet, code and PIN."


def scenarios() -> list[Scenario]:
    """The mandated ones, in the order in which they are run: the duplicate has to come soon after the success."""
    return [
        Scenario(
            code="success",
            title="Successful payment",
            expects="Grant, create, pay, execute, query and search, with the same paymentID throughout.",
            act=Act(ask=_RIGHT),
            screenshots=_PAGE_AND_RETURN,
        ),
        Scenario(
            code="duplicate",
            title="The same amount again within 5 minutes",
            expects="The same wallet pays the same amount once more: the second payment must fail with 2029.",
            act=Act(ask="Pay again with the very same wallet, at once."),
            needs="success",
            screenshots=("the message that the payer sees for 2029",),
        ),
        Scenario(
            code="cancel",
            title="The payer closes the page",
            expects="Close leads to the cancel URL; nothing is executed.",
            act=Act(ask="Press Close (or Cancel) on the payment page.", cancels=True),
            screenshots=('the message "Payment Cancelled"',),
        ),
        Scenario(
            code="wrong_otp",
            title="A wrong OTP three times",
            expects="The third wrong code leads to the failure URL; nothing is executed.",
            act=Act(ask="Name the right wallet, then type a wrong code three times.", otp="000000"),
            screenshots=('the message "Payment Failed"',),
        ),
        Scenario(
            code="insufficient_balance",
            title="Insufficient balance",
            expects="The payer confirms, and execute is refused with 2023.",
            act=Act(
                ask="Pay with a wallet that has too little money (in bKash's sandbox 01823074817).",
                wallet="01823074817",
            ),
            screenshots=("the message that the payer sees for 2023",),
        ),
        Scenario(
            code="refund",
            title="Refund and refund status",
            expects="The first payment is given back; Refund Status shows the refund.",
            needs="success",
            screenshots=("the refund in the shop's own back office",),
        ),
    ]
