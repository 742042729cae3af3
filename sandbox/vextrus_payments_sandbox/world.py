"""The world that every sandbox gateway shares: one clock, the wallets, the books and the log of calls.

Theory of operation. A gateway keeps its own payments and enforces its own rules (``bkash/rules.py``); what
must be common lies here:

* **Money** is an integer count of paisa and moves only through :meth:`Books.move`, from one account to
  another, so that it can be neither made nor lost. The books know nothing of payments and their states: what
  was captured and what was refunded is summed from the movements alone. A gateway that believes otherwise is
  caught by :meth:`World.audit`.
* **Time** is an injected clock plus an offset that only grows (``POST /_sandbox/clock``).
* **Chance** is one injected source; a reset does not rewind it, because a repeated transaction id would look
  like an old receipt to the caller's ledger.
* **Every API call** is logged from its arrival on, also one whose answer is dropped.

All rules run without ``await``: between reading a state and changing it nothing else happens, which is what
makes a hundred simultaneous executes one debit. The sandbox shares the SDK's wire words but not its money and
state code, so that a mistake there cannot hide a mistake here.
"""

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final, Protocol

from starlette.routing import BaseRoute

from vextrus_payments.clock import Clock

CUSTOMER: Final[Mapping[str, str]] = {"wallet": "01770618575", "otp": "123456", "pin": "12121"}
"""The one test customer who works everywhere."""
CURRENCY: Final = "BDT"
WIRE_LOG_MAX: Final = 50_000
_OPENING_MINOR: Final = 10_000_000_000  # 100,000,000.00 taka: no test runs a wallet dry by accident
_ADVANCE_MAX_S: Final = 10 * 366 * 86_400

_AMOUNT: Final = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,2}))?", re.ASCII)


def to_paisa(text: str | None) -> int | None:
    """Read ``"15"``, ``"15.5"`` or ``"15.50"`` as paisa; ``None`` for whatever is not plainly an amount."""
    match = _AMOUNT.fullmatch(text or "")
    if match is None:
        return None
    return int(match[1]) * 100 + int((match[2] or "0").ljust(2, "0"))


def to_text(amount_minor: int) -> str:
    """Write paisa as taka with two places: ``150050`` -> ``"1500.50"``."""
    return f"{amount_minor // 100}.{amount_minor % 100:02d}"


class SandboxError(Exception):
    """A request to the sandbox itself (not to a gateway) that cannot be carried out."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class InsufficientFundsError(Exception):
    """The account that should give does not hold that much."""


class SandboxClock:
    """The injected clock, moved forward on demand."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = timedelta()

    def now(self) -> datetime:
        """The sandbox's time: an aware datetime in UTC."""
        return self._clock.now() + self._offset

    @property
    def offset_s(self) -> float:
        """How far ahead of the injected clock the sandbox is, in seconds."""
        return self._offset.total_seconds()

    def advance(self, seconds: float) -> None:
        """Move time forward. Raises :class:`SandboxError` for a step back or beyond ten years."""
        if not 0 <= seconds <= _ADVANCE_MAX_S or self.offset_s + seconds > _ADVANCE_MAX_S:
            raise SandboxError("advance_s must be between 0 and ten years, in seconds; time never runs back")
        self._offset += timedelta(seconds=seconds)

    def reset(self) -> None:
        """Back to the injected clock."""
        self._offset = timedelta()


@dataclass(frozen=True, slots=True)
class Wallet:
    """A test wallet. ``blocked``: the account may not be debited. The balance is in the books, not here."""

    number: str
    pins: frozenset[str]
    opening_minor: int = _OPENING_MINOR
    otp: str = CUSTOMER["otp"]
    blocked: bool = False
    note: str = ""

    @property
    def account(self) -> str:
        """The name of this wallet's account in the books."""
        return f"wallet:{self.number}"


def _wallet(number: str, pin: str, note: str = "", **more: Any) -> Wallet:
    # Sources disagree whether 12121 opens every sandbox wallet (dossier §16.8): here both PINs do.
    return Wallet(number, frozenset({pin, CUSTOMER["pin"]}), note=note, **more)


WALLETS: Final[tuple[Wallet, ...]] = (
    _wallet("01770618575", "12121", "always works"),
    _wallet("01929918378", "12121"),
    _wallet("01770618576", "21212"),
    _wallet("01877722345", "13131"),
    _wallet("01619777282", "21212"),
    _wallet("01619777283", "13131"),
    _wallet("01823074817", "12121", "insufficient balance", opening_minor=0),
    _wallet("01823074818", "12121", "debit blocked", blocked=True),
)
"""The published test wallets (dossier §11)."""


@dataclass(frozen=True, slots=True)
class Movement:
    """One line of the books: so much went from one account to another, and why."""

    seq: int
    at: datetime
    gateway: str
    kind: str  # debit | hold | capture | release | refund
    source: str
    target: str
    amount_minor: int
    reference: str
    transaction_id: str


class Books:
    """Double entry in its plainest form. The balance of an account is what flowed in minus what flowed out."""

    def __init__(self, openings: Mapping[str, int]) -> None:
        self._openings = dict(openings)
        self._balances = dict(openings)
        self.movements: list[Movement] = []

    def balance(self, account: str) -> int:
        """The balance in paisa; zero for an account nobody used yet."""
        return self._balances.get(account, 0)

    def move(
        self,
        at: datetime,
        *,
        gateway: str,
        kind: str,
        source: str,
        target: str,
        amount_minor: int,
        reference: str,
        transaction_id: str,
    ) -> Movement:
        """Move money, or raise :class:`InsufficientFundsError` and move nothing."""
        if amount_minor <= 0:
            raise ValueError("money moves in positive amounts")
        if self.balance(source) < amount_minor:
            raise InsufficientFundsError(source)
        self._balances[source] = self.balance(source) - amount_minor
        self._balances[target] = self.balance(target) + amount_minor
        entry = Movement(
            len(self.movements) + 1,
            at,
            gateway,
            kind,
            source,
            target,
            amount_minor,
            reference,
            transaction_id,
        )
        self.movements.append(entry)
        return entry

    def summed(self) -> tuple[dict[tuple[str, str], tuple[int, int]], dict[str, int]]:
        """Sum every movement afresh: (gateway, reference) -> (captured, refunded), and account -> balance."""
        money: dict[tuple[str, str], tuple[int, int]] = {}
        balances = dict(self._openings)
        for entry in self.movements:
            balances[entry.source] = balances.get(entry.source, 0) - entry.amount_minor
            balances[entry.target] = balances.get(entry.target, 0) + entry.amount_minor
            captured, refunded = money.get((entry.gateway, entry.reference), (0, 0))
            merchant = merchant_account(entry.gateway)
            captured += entry.amount_minor if entry.target == merchant else 0
            refunded += entry.amount_minor if entry.source == merchant else 0
            money[entry.gateway, entry.reference] = (captured, refunded)
        return money, balances


def merchant_account(gateway: str) -> str:
    """The account in which a gateway collects for its merchants."""
    return f"merchant:{gateway}"


def hold_account(gateway: str, reference: str) -> str:
    """The account that holds an authorized amount until it is captured or released."""
    return f"hold:{gateway}:{reference}"


@dataclass(slots=True)
class Call:
    """One API call, as `GET /_sandbox/wire` shows it. ``status`` is ``None`` while open or when nothing was sent."""

    seq: int
    at: str
    gateway: str
    operation: str
    method: str
    path: str
    status: int | None = None
    reference: str | None = None
    moved_money: bool = False
    fault: str | None = None


class WireLog:
    """The last :data:`WIRE_LOG_MAX` calls, in order of arrival."""

    def __init__(self) -> None:
        self.calls: deque[Call] = deque(maxlen=WIRE_LOG_MAX)
        self._seq = 0

    def open(self, at: datetime, gateway: str, operation: str, method: str, path: str) -> Call:
        """Log a call that just arrived; the caller fills in the rest as it becomes known."""
        self._seq += 1
        call = Call(self._seq, iso(at), gateway, operation, method, path)
        self.calls.append(call)
        return call

    def as_json(self) -> list[dict[str, Any]]:
        """Every call as a plain mapping."""
        return [asdict(call) for call in self.calls]


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds: ``2026-01-31T08:15:00.123Z``."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


@dataclass(frozen=True, slots=True)
class BookRow:
    """What a gateway believes about one payment; the amounts that moved come from the books instead."""

    gateway: str
    reference: str
    transaction_id: str | None
    invoice: str
    state: str
    amount_minor: int
    captured_minor: int
    refunded_minor: int
    created_at: datetime


class SandboxGateway(Protocol):
    """What a gateway brings to the sandbox; everything else about it is its own business."""

    name: str
    operations: Sequence[str]
    is_one_of_its_kind: bool
    """Whether `describe` says something that only this sandbox knows, such as where its keys are."""

    def routes(self) -> Sequence[BaseRoute]:
        """Its API and its pages."""
        ...

    def rows(self) -> Iterable[BookRow]:
        """Its payments, oldest first."""
        ...

    def approve(self, reference: str, outcome: str, wallet: str | None) -> Mapping[str, Any]:
        """Do what a payer would do on the hosted page; raises :class:`SandboxError`."""
        ...

    def portal(self, reference: str, action: str, amount: str | None) -> Mapping[str, Any]:
        """Do what a merchant would do in the gateway's portal, without its API; raises :class:`SandboxError`."""
        ...

    def walk_in(self, amount: str, channel: str, wallet: str, reference: str) -> Mapping[str, Any]:
        """Let a payer pay without the merchant's API: a QR code, a short number; raises :class:`SandboxError`."""
        ...

    def describe(self, url: str) -> Mapping[str, str]:
        """Base URL and credentials for a client of the sandbox at `url`."""
        ...

    def notes(self) -> Mapping[str, Any]:
        """Its grant log and the manners it missed."""
        ...

    def reset(self) -> None:
        """Forget every payment; tokens stay valid."""
        ...


@dataclass(slots=True)
class World:
    """Everything that is true in the sandbox."""

    clock: SandboxClock
    random: Random
    books: Books = field(init=False)
    wire: WireLog = field(init=False)
    wallets: dict[str, Wallet] = field(init=False)
    gateways: dict[str, SandboxGateway] = field(default_factory=dict)
    more_wallets: Sequence[Wallet] = ()
    """Wallets beside the published ones: those that a gateway lets go wrong in ways of its own."""

    def __post_init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.wallets = {wallet.number: wallet for wallet in (*WALLETS, *self.more_wallets)}
        self.books = Books({wallet.account: wallet.opening_minor for wallet in self.wallets.values()})
        self.wire = WireLog()

    def reset(self) -> None:
        """Empty the books, the log and every gateway; restore the wallets and the clock."""
        self._begin()
        self.clock.reset()
        for gateway in self.gateways.values():
            gateway.reset()

    def now(self) -> datetime:
        """The sandbox's time, aware and in UTC."""
        return self.clock.now()

    def text(self, alphabet: str, length: int) -> str:
        """That many characters of `alphabet`, from the injected source of chance."""
        return "".join(self.random.choices(alphabet, k=length))

    def rows(self) -> list[BookRow]:
        """Every payment of every gateway, oldest first."""
        found = [row for gateway in self.gateways.values() for row in gateway.rows()]
        return sorted(found, key=lambda row: row.created_at)

    def as_books(self) -> dict[str, Any]:
        """`GET /_sandbox/books`: states from the gateways, money summed from the movements; money as text."""
        money, balances = self.books.summed()
        payments = []
        for row in self.rows():
            captured, refunded = money.get((row.gateway, row.reference), (0, 0))
            payments.append(
                {
                    "gateway": row.gateway,
                    "reference": row.reference,
                    "transaction_id": row.transaction_id,
                    "invoice": row.invoice,
                    "state": row.state,
                    "amount": to_text(row.amount_minor),
                    "captured": to_text(captured),
                    "refunded": to_text(refunded),
                    "currency": CURRENCY,
                }
            )
        wallets = [
            {"wallet": wallet.number, "balance": to_text(balances[wallet.account]), "currency": CURRENCY}
            for wallet in self.wallets.values()
        ]
        return {"payments": payments, "wallets": wallets, "problems": self.audit()}

    def audit(self) -> list[str]:
        """Where the books and the gateways' own beliefs part; an empty list means that they agree."""
        money, balances = self.books.summed()
        problems = [
            f"{row.gateway} {row.reference}: the books say {money.get((row.gateway, row.reference), (0, 0))}, "
            f"the gateway says {(row.captured_minor, row.refunded_minor)} (captured, refunded, in paisa)"
            for row in self.rows()
            if money.get((row.gateway, row.reference), (0, 0)) != (row.captured_minor, row.refunded_minor)
        ]
        problems += [
            f"{account}: summed {balance}, kept {self.books.balance(account)} paisa"
            for account, balance in balances.items()
            if balance != self.books.balance(account) or balance < 0
        ]
        return problems
