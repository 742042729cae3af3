"""Test wallets whose number decides how a Nagad payment goes (dossier §14.3). At other gateways they are plain ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vextrus_payments.gateways.nagad.models import Status
from vextrus_payments_sandbox.nagad.records import Ending
from vextrus_payments_sandbox.world import CUSTOMER, Wallet

OVER_LIMIT: Final = Ending(Status.FAILED, "50_0026_851", "E Com Trx Failed. Transaction over limit.")
"""The one failure whose code and words are public (§6). The others' codes begin with 99_9999 because they are not."""
NO_BALANCE: Final = Ending(Status.FAILED, "99_9999_001", "Insufficient balance.")
BLOCKED: Final = Ending(Status.FAILED, "99_9999_002", "The account is blocked.")
WRONG_CODE: Final = Ending(Status.FAILED, "99_9999_003", "The code was wrong three times.")
WRONG_PIN: Final = Ending(Status.FAILED, "99_9999_004", "The PIN was wrong three times.")
LEFT: Final = Ending(Status.ABORTED, "99_9999_005", "Aborted by the customer.")
ABORTED: Final = Ending(Status.ABORTED, "99_9999_006", "Aborted by the issuer.")
NOBODY_KNOWS: Final = Ending(Status.UNKNOWN_FAILED, "99_9999_007", "The end of the transaction is not known.")
FAILED_TOO_EARLY: Final = Ending(Status.FAILED, "99_9999_008", "The issuer did not answer in time.")

SETTLES_AFTER_S: Final = 60.0
KNOWN_AFTER_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Course:
    """What happens when this wallet's PIN was right.

    Without an ending the money moves, and the payer goes back to the shop.
    """

    ending: Ending | None = None
    """What the return says, instead of success."""
    verify: Status | None = None
    """What verify says until the end is known."""
    settles_after_s: float | None = None
    """When the end is known; None: what `verify` says stays."""
    settles_paid: bool = True
    stays: bool = False
    """The browser never leaves the page."""
    twice: bool = False
    """The browser asks for the return address twice."""
    aborts: bool = False
    """It ends already when the number is typed."""


_NOTES: Final[Mapping[str, tuple[str, Course, Mapping[str, object]]]] = {
    "01900000001": ("over the limit", Course(ending=OVER_LIMIT), {}),
    "01900000002": ("no code is right", Course(), {"otp": ""}),
    "01900000003": ("no PIN is right", Course(), {"pins": frozenset[str]()}),
    "01900000004": ("aborted by the issuer", Course(ending=ABORTED, aborts=True), {}),
    "01900000005": (
        "stays in progress, nobody comes back",
        Course(verify=Status.IN_PROGRESS, stays=True),
        {},
    ),
    "01900000006": (
        "UnKnownFailed, an hour later paid",
        Course(ending=NOBODY_KNOWS, verify=Status.UNKNOWN_FAILED, settles_after_s=KNOWN_AFTER_S),
        {},
    ),
    "01900000007": (
        "UnKnownFailed, an hour later failed",
        Course(
            ending=NOBODY_KNOWS,
            verify=Status.UNKNOWN_FAILED,
            settles_after_s=KNOWN_AFTER_S,
            settles_paid=False,
        ),
        {},
    ),
    "01900000008": ("paid, but nobody comes back", Course(stays=True), {}),
    "01900000009": (
        "the return says Failed, a minute later paid",
        Course(ending=FAILED_TOO_EARLY, verify=Status.IN_PROGRESS, settles_after_s=SETTLES_AFTER_S),
        {},
    ),
    "01900000010": ("paid, and the browser comes back twice", Course(twice=True), {}),
}

COURSES: Final[Mapping[str, Course]] = {number: course for number, (_, course, _) in _NOTES.items()}
PLAIN: Final = Course()
BY_OUTCOME: Final[Mapping[str, Course]] = {
    "over_limit": COURSES["01900000001"],
    "aborted_by_issuer": COURSES["01900000004"],
    "in_progress": COURSES["01900000005"],
    "unknown_then_paid": COURSES["01900000006"],
    "unknown_then_failed": COURSES["01900000007"],
    "never_returns": COURSES["01900000008"],
    "late_success": COURSES["01900000009"],
    "returns_twice": COURSES["01900000010"],
    "insufficient_balance": Course(ending=NO_BALANCE),
    "account_blocked": Course(ending=BLOCKED),
}
"""How a payment goes whose amount or wallet asks for that outcome (``magic.py``)."""


def _wallet(number: str, note: str, more: Mapping[str, object]) -> Wallet:
    known: dict[str, object] = {"pins": frozenset({CUSTOMER["pin"]}), "note": f"Nagad: {note}", **more}
    return Wallet(number, **known)  # type: ignore[arg-type] # the table above holds a wallet's own fields


WALLETS: Final[tuple[Wallet, ...]] = tuple(
    _wallet(number, note, more) for number, (note, _, more) in _NOTES.items()
)
