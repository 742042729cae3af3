"""The rules of SSLCommerz as a state machine (dossier §1.2 to §1.8, §1.10). No HTTP, no ``await``.

    session --way to pay and number--> PROCESSING --code--> VALID                  (money moves; the session is closed)
                                            |      +------> FAILED: the session stays open, and can be tried again
                                            +-- code wrong x 3, or the button: FAILED
    open session --Cancel--> CANCELLED (closed)    --its time is over--> UNATTEMPTED, or EXPIRED where somebody tried
    VALID --validation--> VALIDATED                --refund--> processing --> refunded (money moves) | cancelled

Money moves when a payer's code is right, when a try that was under way settles, and when a refund has been processed;
nowhere else. The fee is no movement: SSLCommerz keeps it when it pays the store out. Every end of a try is announced
(``on_ended``); nothing is announced twice unless somebody asked for it.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from vextrus_payments.gateways.sslcommerz.models import Status
from vextrus_payments_sandbox.fault_kinds import Fault
from vextrus_payments_sandbox.magic import ordered_outcome, outcome_of
from vextrus_payments_sandbox.sslcommerz import wallets
from vextrus_payments_sandbox.sslcommerz.amounts import after_fee
from vextrus_payments_sandbox.sslcommerz.asking import Asked
from vextrus_payments_sandbox.sslcommerz.channels import CHANNELS, masked
from vextrus_payments_sandbox.sslcommerz.directory import Directory
from vextrus_payments_sandbox.sslcommerz.records import GATEWAY, Attempt, Merchant, Refusal, Rules, Session
from vextrus_payments_sandbox.sslcommerz.telling import ENDS, STEPS, state_of, told
from vextrus_payments_sandbox.sslcommerz.writing import moment_id
from vextrus_payments_sandbox.world import (
    CUSTOMER,
    BookRow,
    InsufficientFundsError,
    SandboxError,
    Wallet,
    World,
    merchant_account,
)

TRIES_MAX: Final = 3
_HEX: Final = "0123456789ABCDEF"
_MIXED: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY_LENGTH: Final = 32
_TAIL_LENGTH: Final = 15


class SslcommerzRules(Directory):
    """Every session of the sandbox's SSLCommerz, and what may happen to it."""

    def __init__(
        self, world: World, rules: Rules, *, ordered: Callable[[], Fault | None] | None = None
    ) -> None:
        super().__init__(world)
        self._ordered = ordered
        self.rules = rules
        self.refunded: Callable[[Session], int] = lambda session: 0
        """How much of a session was given back, in paisa (``refunds.py``)."""
        self.on_ended: Callable[[Session, Attempt], None] = lambda session, attempt: None
        """Told of each try that has ended."""
        self._open: deque[Session] = deque()
        self._under_way: list[Session] = []

    def reset(self) -> None:
        """Forget everything."""
        self.sessions.clear()
        self._clear()

    def reindex(self) -> None:
        """Make every index anew from sessions that came back."""
        self._clear()
        for session in self.sessions.values():
            self._opened(session)
            for one in session.attempts:
                self._know(session, one)
            if session.settles_at is not None:
                self._under_way.append(session)

    def rows(self) -> Iterator[BookRow]:
        """Every session for the books."""
        self.settle_due()
        yield from map(self._row, self.sessions.values())

    def row(self, handle: str) -> BookRow | None:
        """The session that a key, a tran_id, a val_id or a bank_tran_id names, for the books; or None."""
        self.settle_due()
        session = self.named(handle)
        return None if session is None else self._row(session)

    # ------------------------------------------------------------------------------------------ sessions (§1.2)

    def open_session(self, merchant: Merchant, wanted: Asked) -> Session:
        """A new session key. Raises :class:`Refusal` where a tran_id must be new and is not."""
        if self.rules.unique_tran_ids and self.is_used(merchant, wanted.tran_id):
            raise Refusal("Invalid Information: tran_id was used before")
        session = Session(
            self.world.text(_HEX, _KEY_LENGTH),
            merchant,
            wanted.tran_id,
            wanted.amount_minor,
            wanted.currency,
            wanted.currency_minor,
            wanted.rate,
            self.world.now(),
            wanted.success_url,
            wanted.fail_url,
            wanted.cancel_url,
            wanted.ipn_url,
            wanted.channels,
            wanted.values,
            wanted.details,
        )
        self.sessions[session.key] = session
        self._opened(session)
        self.world.bear(GATEWAY, session.key, session.tran_id)
        return session

    # ------------------------------------------------------------------------------- the payer's page (§1.10)

    def page_open(self, session: Session) -> bool:
        """Whether the payer still has something to do."""
        self.settle_due()
        return not session.closed and session.settles_at is None

    def page_until(self, session: Session) -> datetime:
        """When the page ends by itself."""
        return session.created_at + timedelta(seconds=self.rules.page_life_s)

    def page_shown(self, session: Session) -> None:
        """The payer sees the page; told once, however often it is loaded again."""
        if not session.seen:
            session.seen = True
            with told(self.world, session, "opened", "The payer opened the page"):
                pass

    def choose(self, session: Session, channel: str, number: str) -> bool:
        """The payer names a way to pay and a card or wallet; false where there is no such one, or not for this way."""
        with told(
            self.world, session, "wallet", "Way to pay: none of this page's, or no test card or wallet"
        ) as said:
            said.right = self._choose(session, channel, number)
            if said.right:
                said.title = f"Way to pay: {CHANNELS[channel].name}, {masked(number)}"
        return said.right

    def _choose(self, session: Session, channel: str, number: str) -> bool:
        wallet = self.world.wallet(number)
        known = CHANNELS.get(channel)
        if wallet is None or known is None or channel not in session.channels:
            return False
        is_card = number in wallets.CARDS
        if is_card and not known.takes_cards:
            return False
        card_no = masked(number) if is_card else known.card
        session.attempts = (
            *self._ended_tries(session),
            Attempt(Status.PROCESSING, channel, card_no, self.world.now(), wallet),
        )
        session.page_step, session.wrong_otps, session.back = "otp", 0, None
        session.outcome = ordered_outcome(self._ordered() if self._ordered is not None else None)
        return True

    def give_code(self, session: Session, otp: str) -> bool:
        """The payer types the code; right: he pays. The third wrong one fails the try."""
        with told(self.world, session, "otp", "Code: wrong") as said:
            said.right = self._give_code(session, otp)
            if said.right:
                said.title = "Code: right"
        return said.right

    def _give_code(self, session: Session, otp: str) -> bool:
        attempt = session.under_way
        if attempt is None or attempt.wallet is None:
            return False
        right = attempt.wallet.otp
        if right and (otp == right or otp in wallets.OTPS):
            self._play(session, self._course(session, attempt.wallet))
            return True
        session.wrong_otps += 1
        if session.wrong_otps >= TRIES_MAX:
            self._fail(session, wallets.WRONG_CODE)
        return False

    def choose_again(self, session: Session) -> None:
        """Back to the ways to pay: the try that was begun is none."""
        session.attempts, session.page_step = self._ended_tries(session), "wallet"

    def fail(self, session: Session, reason: str) -> None:
        """The try fails; the session stays open."""
        self._begun(session)
        with told(self.world, session, "failed", f"The payer's try fails: {reason}"):
            self._fail(session, reason)

    def pay(self, session: Session, *, risky: bool = False) -> None:
        """The payer pays, whatever his amount or wallet would have brought."""
        self._begun(session)
        with told(
            self.world, session, "paid", "The payer pays" + (", and is taken for risky" if risky else "")
        ):
            self._play(session, wallets.Course(risky=risky))

    def end(self, session: Session, status: Status) -> None:
        """The session ends without a try that paid it: CANCELLED, UNATTEMPTED or EXPIRED."""
        with told(self.world, session, STEPS.get(status, "expired"), ENDS[status]):
            self._end(session, status)

    def _end(self, session: Session, status: Status) -> None:
        attempt = session.under_way or Attempt(Status.PROCESSING, "", "", self.world.now())
        if status is not Status.EXPIRED:
            attempt = replace(attempt, channel="", card_no="", wallet=None)
        ended = replace(
            attempt, status=status, error=wallets.ERRORS[status], ended_at=self.world.now(), bank_tran_id=""
        )
        self._close(session)
        self._put(session, ended)
        session.back = status
        self.on_ended(session, ended)

    def _begun(self, session: Session) -> None:
        """A try to end: the one that is under way, else one of the test customer by the first way to pay."""
        if session.under_way is None and not self.choose(session, session.channels[0], CUSTOMER["wallet"]):
            raise SandboxError("the test customer has no wallet in here")

    def _course(self, session: Session, wallet: Wallet) -> wallets.Course:
        """How it goes: as was ordered, else as its amount or a magic wallet says (``magic.py``)."""
        own = outcome_of(GATEWAY, session.amount_minor, wallet.number) if self.world.magic else None
        outcome = session.outcome or (own.name if own is not None else "")
        return wallets.BY_OUTCOME[outcome] if outcome else wallets.PLAIN

    def _play(self, session: Session, course: wallets.Course) -> None:
        if course.ends is not None:
            self._end(session, course.ends)
            return
        if course.error:
            self._fail(session, course.error)
            return
        session.stays = course.stays
        if course.open_for_good or course.settles_after_s is not None:
            self._close(session)
            session.back = Status.FAILED
            self._named_by_bank(session)
            if course.settles_after_s is not None:
                session.settles_at = self.world.now() + timedelta(seconds=course.settles_after_s)
                session.settles_paid = course.settles_paid
                self._under_way.append(session)
            return
        self._charge(session, risky=course.risky)
        paid = session.attempts[-1]
        if course.twice and paid.is_paid and paid.wallet is not None:
            again = replace(paid, status=Status.PROCESSING, bank_tran_id="", val_id="", ended_at=None)
            session.attempts = (*session.attempts, again)
            self._charge(session)

    # ---------------------------------------------------------------------------------------------- money

    def _charge(self, session: Session, *, risky: bool = False) -> None:
        """Debit the payer of the try that is under way; it fails where that cannot be."""
        attempt = session.under_way
        if attempt is None or attempt.wallet is None:
            raise SandboxError("there is no try to charge")
        if attempt.wallet.blocked:
            self._fail(session, wallets.BLOCKED)
            return
        now = self.world.now()
        bank_tran_id = attempt.bank_tran_id or moment_id(now, self._tail())
        try:
            self.world.books.move(
                now,
                gateway=GATEWAY,
                kind="debit",
                source=attempt.wallet.account,
                target=merchant_account(GATEWAY, session.merchant.till),
                amount_minor=session.amount_minor,
                reference=session.key,
                transaction_id=bank_tran_id,
            )
        except InsufficientFundsError:
            self._fail(session, wallets.NO_BALANCE)
            return
        paid = replace(
            attempt,
            status=Status.VALID,
            ended_at=now,
            bank_tran_id=bank_tran_id,
            val_id=moment_id(now, self._tail()),
            risky=risky,
        )
        self._close(session)
        self._put(session, paid)
        session.back = Status.VALID
        self.on_ended(session, paid)

    def _fail(self, session: Session, error: str) -> None:
        attempt = session.under_way
        if attempt is None:
            return
        now = self.world.now()
        failed = replace(
            attempt,
            status=Status.FAILED,
            error=error,
            ended_at=now,
            bank_tran_id=attempt.bank_tran_id or moment_id(now, self._tail()),
        )
        self._put(session, failed)
        session.page_step, session.back = "wallet", Status.FAILED
        self.on_ended(session, failed)

    def settle_due(self) -> None:
        """Let what was under way find its end, and what was open too long end; told when somebody asks."""
        now = self.world.now()
        for session in [
            one for one in self._under_way if one.settles_at is not None and one.settles_at <= now
        ]:
            self.settle(session, paid=session.settles_paid)
        while self._open and self.page_until(self._open[0]) <= now:
            session = self._open.popleft()
            if not session.closed:
                tried = bool(session.attempts)
                self.end(session, Status.EXPIRED if tried else Status.UNATTEMPTED)

    def settle(self, session: Session, *, paid: bool) -> None:
        """End the try that is under way, whatever the browser has said by now."""
        said = session.back
        session.settles_at = None
        self._under_way = [one for one in self._under_way if one is not session]
        if paid:
            self._charge(session)
        else:
            self._fail(session, wallets.NOT_IN_TIME)
        session.back = said  # the browser was sent back before

    # --------------------------------------------------------------------------------------------- helpers

    def _clear(self) -> None:
        super()._clear()
        self._open.clear()
        self._under_way.clear()

    def _opened(self, session: Session) -> None:
        self._index(session)
        if not session.closed:
            self._open.append(session)

    def _named_by_bank(self, session: Session) -> None:
        """The bank knows the try that is under way, and says no more of it."""
        attempt = session.under_way
        if attempt is not None:
            bank_tran_id = moment_id(self.world.now(), self._tail())
            self._put(session, replace(attempt, bank_tran_id=bank_tran_id))

    def _put(self, session: Session, now: Attempt) -> None:
        """The try that was under way has become this."""
        session.attempts = (*self._ended_tries(session), now)
        self._know(session, now)

    @staticmethod
    def _ended_tries(session: Session) -> tuple[Attempt, ...]:
        return tuple(one for one in session.attempts if one.status is not Status.PROCESSING)

    @staticmethod
    def _close(session: Session) -> None:
        session.closed = True

    def _tail(self) -> str:
        return self.world.text(_MIXED, _TAIL_LENGTH)  # of 62**15: two alike are not to be feared

    def _row(self, session: Session) -> BookRow:
        open_until = None if session.closed else self.page_until(session)
        return BookRow(
            GATEWAY,
            session.key,
            next((one.bank_tran_id for one in session.paid), None),
            session.tran_id,
            state_of(session).value,
            session.amount_minor,
            session.captured_minor,
            self.refunded(session),
            session.created_at,
            until=session.settles_at or open_until,
            thing=session,
            fee_minor=(session.amount_minor - after_fee(session.amount_minor)) * len(session.paid),
            alias=session.values.get("value_d", ""),
        )
