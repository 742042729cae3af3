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
* **Every API call** is logged from its arrival on, also one whose answer is dropped. What people look at lies in
  the record (``record.py``), which forgets; the payments and the books never do before a reset.

All rules run without ``await``: between reading a state and changing it nothing else happens, which is what
makes a hundred simultaneous executes one debit. The sandbox shares the SDK's wire words but not its money and
state code, so that a mistake there cannot hide a mistake here.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

from vextrus_payments_sandbox.books import (
    BANK,
    BANK_MINOR,
    Books,
    InsufficientFundsError,
    Movement,
    hold_account,
    merchant_account,
)
from vextrus_payments_sandbox.gateway_port import (
    MERCHANTS_MAX,
    MerchantFacts,
    SandboxGateway,
    checked_merchant,
)
from vextrus_payments_sandbox.listing import CURRENCY, SCAN_MAX, BookRow, Listed, Page, PaysOut, Register
from vextrus_payments_sandbox.notation import iso, to_paisa, to_text
from vextrus_payments_sandbox.problems import KeysError, SandboxError
from vextrus_payments_sandbox.record import Record
from vextrus_payments_sandbox.sandbox_clock import ADVANCE_MAX_S, SandboxClock
from vextrus_payments_sandbox.wallets import CUSTOMER, MAGIC_WALLET, WALLETS, Wallet
from vextrus_payments_sandbox.wire_log import WIRE_LOG_MAX, Call, WireLog

__all__ = [
    "ADVANCE_MAX_S",
    "CURRENCY",
    "CUSTOMER",
    "MAGIC_WALLET",
    "MERCHANTS_MAX",
    "SCAN_MAX",
    "WALLETS",
    "WIRE_LOG_MAX",
    "BookRow",
    "Books",
    "Call",
    "InsufficientFundsError",
    "KeysError",
    "Listed",
    "MerchantFacts",
    "Movement",
    "Page",
    "SandboxClock",
    "SandboxError",
    "SandboxGateway",
    "Wallet",
    "WireLog",
    "World",
    "checked_merchant",
    "hold_account",
    "iso",
    "merchant_account",
    "to_paisa",
    "to_text",
]


@dataclass(slots=True)
class World:
    """Everything that is true in the sandbox."""

    clock: SandboxClock
    random: Random
    books: Books = field(init=False)
    wire: WireLog = field(init=False)
    record: Record = field(init=False)
    wallets: dict[str, Wallet] = field(init=False)
    gateways: dict[str, SandboxGateway] = field(default_factory=dict)
    more_wallets: Sequence[Wallet] = ()
    """Wallets beside the published ones: those that a gateway lets go wrong in ways of its own."""
    magic: bool = False
    """Whether some amounts and wallet numbers bring their own fault or outcome (``magic.py``)."""
    register: Register = field(default_factory=Register)
    epoch: int = 0
    """Counted up when it begins anew: with the first start, and with every reset."""
    keeping: Callable[[], bool] | None = None
    """Writes down what changed, where there is a state file; says whether it could."""

    def __post_init__(self) -> None:
        self.record = Record(self.clock.unskewed)
        self._begin()

    def keep(self) -> bool:
        """Something changed: write it down now, if there is a state file. False: it could not be written."""
        return self.keeping is None or self.keeping()

    def _begin(self) -> None:
        self.epoch += 1
        self.wallets = {wallet.number: wallet for wallet in (*WALLETS, *self.more_wallets)}
        openings = {wallet.account: wallet.opening_minor for wallet in self.wallets.values()}
        self.books = Books({BANK: BANK_MINOR, **openings}, self._moved)
        self.wire = WireLog()
        self.register.clear()
        self.record.clear()

    def _moved(self, movement: Movement) -> None:
        self.register.learn(movement.gateway, movement.reference, movement.transaction_id)
        amount = to_text(movement.amount_minor)
        self.record.add(
            "money",
            movement.gateway,
            movement.reference,
            f"{movement.kind}: {amount} from {movement.source} to {movement.target}",
            movement=movement.kind,
            source=movement.source,
            target=movement.target,
            amount=amount,
            transaction_id=movement.transaction_id,
        )

    def reset(self) -> None:
        """Empty the books, the log and every gateway; restore the wallets and the clock."""
        self._begin()
        self.clock.reset()
        for gateway in self.gateways.values():
            gateway.reset()

    def restore(
        self,
        wallets: Mapping[str, Wallet],
        movements: Iterable[Movement],
        payments: Iterable[tuple[str, str]],
    ) -> None:
        """Take up what was written down; the gateways have their payments back already.

        `payments`: (gateway, reference), the first made first. Raises KeyError for one that its gateway does not know,
        and what :meth:`Books.restore` raises.
        """
        self.wallets = dict(wallets)
        openings = {wallet.account: wallet.opening_minor for wallet in self.wallets.values()}
        self.books = Books({BANK: BANK_MINOR, **openings}, self._moved)
        self.register.clear()
        for movement in movements:
            self.books.restore(movement)
        for name, reference in payments:
            row = self.gateways[name].row(reference)  # which may settle what is due by now
            if row is None:
                raise KeyError(reference)
            self.register.add(name, reference, row.invoice)
            self.register.told(len(self.register.names), row)
        for movement in self.books.movements:
            self.register.learn(movement.gateway, movement.reference, movement.transaction_id)

    def now(self) -> datetime:
        """The sandbox's time, aware and in UTC."""
        return self.clock.now()

    def wallet(self, number: str) -> Wallet | None:
        """The wallet of this number, or None; a magic one comes into being when it is first named."""
        found = self.wallets.get(number)
        if found is None and self.magic and MAGIC_WALLET.fullmatch(number):
            found = self.wallets[number] = Wallet(number, frozenset({CUSTOMER["pin"]}), note="magic wallet")
            self.books.open(found.account, found.opening_minor)
        return found

    def set_balance(self, number: str, amount_minor: int) -> Wallet:
        """Let a wallet hold that much from now on: the difference comes from the account `bank`, or goes there.

        Raises :class:`SandboxError` for a number that is no test wallet's, and where the bank has no more.
        """
        wallet = self.wallet(number)
        if wallet is None:
            raise SandboxError("there is no test wallet with this number", 404)
        more = amount_minor - self.books.balance(wallet.account)
        source, target = (BANK, wallet.account) if more > 0 else (wallet.account, BANK)
        empty = False
        try:
            if more:
                self.books.move(
                    self.now(),
                    gateway="",
                    kind="balance",
                    source=source,
                    target=target,
                    amount_minor=abs(more),
                    reference="",
                    transaction_id="",
                )
        except InsufficientFundsError:
            empty = True
        if empty:
            raise SandboxError("the bank has given all it had; reset the sandbox", 409)
        return wallet

    def text(self, alphabet: str, length: int) -> str:
        """That many characters of `alphabet`, from the injected source of chance."""
        return "".join(self.random.choices(alphabet, k=length))

    def bear(self, gateway: str, reference: str, invoice: str = "") -> None:
        """A gateway has made a payment; each is told once, when its reference is new."""
        self.register.add(gateway, reference, invoice)

    def payments(
        self,
        limit: int = 50,
        *,
        gateway: str = "",
        state: str = "",
        text: str = "",
        before: int | None = None,
    ) -> Page:
        """The newest payments first, at most `limit`, of those with a number under `before`.

        Args:
            state: the gateway's own word, in any case.
            text: part of the reference, the invoice or a transaction id, in any case.

        At most :data:`SCAN_MAX` payments are asked for their state; ``Page.before`` goes on from there.
        """
        rows: list[Listed] = []
        older, state = None, state.lower()
        found = self.register.newest(before, gateway, text, state, now=self.now())
        for asked, (number, name, reference) in enumerate(found):
            if len(rows) == limit or asked == SCAN_MAX:
                older = number + 1
                break
            row = self._asked(number, name, reference)
            if row is not None and state in ("", row.state.lower()):
                rows.append(Listed(number, row, *self.books.money(name, reference)))
        totals = [self.books.totals(name) for name in self.gateways if gateway in ("", name)]
        return Page(
            rows,
            older,
            len(self.register.names),
            sum(captured for captured, _ in totals),
            sum(refunded for _, refunded in totals),
        )

    def catch_up(self, at_most: int) -> None:
        """Ask for the state of so many payments that nobody has looked at since they changed: done a little with every
        call, the first look for a state need not ask for all of them."""
        for number in self.register.unasked(self.now(), at_most):
            self._asked(number, *self.register.names[number - 1])

    def _asked(self, number: int, gateway: str, reference: str) -> BookRow | None:
        row = self.gateways[gateway].row(reference)
        if row is not None:
            self.register.told(number, row)
        return row

    def rows(self) -> list[BookRow]:
        """Every payment of every gateway, oldest first."""
        found = [row for gateway in self.gateways.values() for row in gateway.rows()]
        return sorted(found, key=lambda row: row.created_at)

    def as_books(self) -> dict[str, Any]:
        """`GET /_sandbox/books`: states from the gateways, money summed from the movements; money as text."""
        rows = self.rows()  # first: to ask is what lets a payment settle that is due
        money, balances = self.books.summed()
        payments = []
        for row in rows:
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
                    "fee": to_text(row.fee_minor),
                    "alias": row.alias or None,
                    "currency": CURRENCY,
                }
            )
        wallets = [
            {"wallet": wallet.number, "balance": to_text(balances[wallet.account]), "currency": CURRENCY}
            for wallet in self.wallets.values()
        ]
        payouts = [
            payout.as_json()
            for gateway in self.gateways.values()
            if isinstance(gateway, PaysOut)
            for payout in gateway.paid_out()
        ]
        return {"payments": payments, "payouts": payouts, "wallets": wallets, "problems": self.audit()}

    def audit(self) -> list[str]:
        """Where the books and the gateways' own beliefs part; an empty list means that they agree."""
        rows = self.rows()  # first: to ask is what lets a payment settle that is due
        money, balances = self.books.summed()
        problems = [
            f"{row.gateway} {row.reference}: the books say {money.get((row.gateway, row.reference), (0, 0))}, "
            f"the gateway says {(row.captured_minor, row.refunded_minor)} (captured, refunded, in paisa)"
            for row in rows
            if money.get((row.gateway, row.reference), (0, 0)) != (row.captured_minor, row.refunded_minor)
        ]
        problems += [
            f"{account}: summed {balance}, kept {self.books.balance(account)} paisa"
            for account, balance in balances.items()
            if balance != self.books.balance(account) or balance < 0
        ]
        for name in self.gateways:
            whole = summed_of(money, name)
            if whole != self.books.totals(name):
                kept = self.books.totals(name)
                problems.append(
                    f"{name}: all payments summed {whole}, kept {kept} (captured, refunded, in paisa)"
                )
        return problems


def summed_of(money: Mapping[tuple[str, str], tuple[int, int]], gateway: str) -> tuple[int, int]:
    """(captured, refunded) of all payments of a gateway, from what :meth:`Books.summed` gave."""
    found = [summed for (name, _), summed in money.items() if name == gateway]
    return sum(captured for captured, _ in found), sum(refunded for _, refunded in found)
