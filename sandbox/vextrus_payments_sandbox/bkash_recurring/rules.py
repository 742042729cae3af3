"""The platform's rules: a payer's consent, the schedule that collects under it, refunds, ends. No HTTP, no ``await``.

Nothing runs by itself here: what is due is done when somebody asks, or moves the sandbox's clock
(``POST /_sandbox/clock``), in the order in which it fell due.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal

from vextrus_payments.gateways.bkash.recurring import models as m
from vextrus_payments.gateways.bkash.recurring.models import PaymentStatus, SubscriptionStatus
from vextrus_payments_sandbox.bkash_recurring.asking import Asked
from vextrus_payments_sandbox.bkash_recurring.records import (
    GATEWAY,
    Collection,
    Merchant,
    Refusal,
    Rules,
    Subscription,
)
from vextrus_payments_sandbox.bkash_recurring.schedule import next_day, retries
from vextrus_payments_sandbox.bkash_recurring.takings import Takings, till
from vextrus_payments_sandbox.fault_kinds import Fault
from vextrus_payments_sandbox.magic import ordered_outcome, outcome_of
from vextrus_payments_sandbox.page_steps import noted
from vextrus_payments_sandbox.world import World

TRIES_MAX: Final = 3
_CODE: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_FIRST_SUBSCRIPTION: Final = 85_600
_FIRST_PAYMENT: Final = 434_796
_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_S, _P = SubscriptionStatus, PaymentStatus
News = Literal["SUBSCRIPTION", "PAYMENT", "REFUND"]


class RecurringRules:
    """Every subscription of one sandbox, and what was collected."""

    def __init__(self, world: World, rules: Rules, *, ordered: Callable[[], Fault | None]) -> None:
        self.world = world
        self.rules = rules
        self._ordered = ordered
        self.subscriptions: dict[str, Subscription] = {}
        """By our request id."""
        self.collections: dict[str, Collection] = {}
        """By bKash's payment id."""
        self.refund_ids: dict[str, str] = {}
        """requestId of a refund -> the payment: never used twice."""
        self.by_number: dict[str, Subscription] = {}
        self.by_code: dict[str, Subscription] = {}
        self.takings = Takings(world)
        self._under: dict[str, list[Collection]] = {}
        self._last_payment = _FIRST_PAYMENT
        self._settling = False
        self._idle_until: datetime | None = None
        """Until then nothing falls due; None: nobody has looked since something changed."""
        self.tell: Callable[[News, Subscription, Collection | None, str | None], None] = lambda *_: None
        world.clock.when_moved.append(self.settle_due)

    def reset(self) -> None:
        """Forget everything."""
        for shelf in (self.subscriptions, self.collections, self.refund_ids, self.by_number, self.by_code):
            shelf.clear()
        self.reindex()

    def reindex(self) -> None:
        """Make every index anew from what came back."""
        self.by_number = {str(one.number): one for one in self.subscriptions.values()}
        self.by_code = {one.code: one for one in self.subscriptions.values()}
        self._under, self._idle_until = {}, None
        self.takings.by_trx.clear()
        for due in self.collections.values():
            self._under.setdefault(due.request_id, []).append(due)
            self.takings.by_trx |= {trx: due for trx in (due.trx_id, due.reverse_trx_id) if trx}
        self._last_payment = max([_FIRST_PAYMENT, *(due.number for due in self.collections.values())])

    # ------------------------------------------------------------------------------------- subscriptions

    def create(self, merchant: Merchant, wanted: Asked) -> Subscription:
        """A page on which the payer can consent. Nothing moves."""
        if wanted.request_id in self.subscriptions:
            raise Refusal("2004", request_id=wanted.request_id)
        number = max([_FIRST_SUBSCRIPTION, *(one.number for one in self.subscriptions.values())]) + 1
        code = self.world.text(_CODE, 8)
        while code in self.by_code:
            code = self.world.text(_CODE, 8)
        one = Subscription(
            number=number,
            request_id=wanted.request_id,
            merchant=merchant,
            created_at=self.world.now(),
            amount_minor=wanted.amount_minor,
            frequency=wanted.frequency,
            start=wanted.start.isoformat(),
            expiry=wanted.expiry.isoformat(),
            redirect_url=wanted.redirect_url,
            code=code,
            page_until=self.world.now() + m.CONSENT_LIFE,
            first_minor=wanted.first_minor,
            first_in_cycle=wanted.first_in_cycle,
            cap_minor=wanted.cap_minor,
            reference=wanted.reference,
            payer=wanted.payer,
            outcome=ordered_outcome(self._ordered()),
        )
        self.subscriptions[one.request_id] = self.by_number[str(number)] = self.by_code[code] = one
        self.world.bear(GATEWAY, one.key, one.reference)
        return one

    def subscription(self, merchant: Merchant, number: str) -> Subscription:
        """By bKash's id."""
        one = self.by_number.get(number)
        if one is None or one.merchant != merchant:
            raise Refusal("2009", number[:40])
        return one

    def by_request(self, merchant: Merchant, request_id: str) -> Subscription:
        """By the merchant's own id."""
        one = self.subscriptions.get(request_id)
        if one is None or one.merchant != merchant:
            raise Refusal("2009", request_id[:40])
        return one

    def cancel(self, one: Subscription, by: str = "REQUESTER", why: str | None = None) -> None:
        """Nothing more is collected. 2010 for one that does not hold."""
        if not one.holds:
            raise Refusal("2010", str(one.number))
        one.status, one.cancelled_by, one.cancelled_at = _S.CANCELLED, by, self.world.now()
        self._ended(one, why)

    def _ended(self, one: Subscription, why: str | None = None) -> None:
        one.next_due, one.modified_at, self._idle_until = "", self.world.now(), None
        for due in self.of(one):
            due.next_try_at = None
        self.tell("SUBSCRIPTION", one, None, why)

    def of(self, one: Subscription) -> list[Collection]:
        """What was collected under it, or is to be, oldest first."""
        return list(self._under.get(one.request_id, ()))

    # ------------------------------------------------------------------------------------- the page

    def page_open(self, one: Subscription) -> bool:
        """Whether the payer can still consent."""
        return one.status in (_S.INITIALIZED, _S.VERIFIED) and self.world.now() < one.page_until

    @noted(GATEWAY, "opened", lambda one: one.key)
    def page_shown(self, one: Subscription) -> None:
        """The payer looks at it."""

    @noted(GATEWAY, "wallet", lambda one: one.key)
    def page_wallet(self, one: Subscription, number: str) -> bool:
        """Which wallet is to pay."""
        wallet = self.world.wallet(number)
        if wallet is None:
            return False
        one.wallet, one.page_step = wallet, "otp"
        return True

    @noted(GATEWAY, "otp", lambda one: one.key)
    def page_otp(self, one: Subscription, code: str) -> bool:
        """The code that was sent to it."""
        if one.wallet is None or code != one.wallet.otp:
            self._wrong(one)
            return False
        one.page_step, one.wrong = "pin", 0
        one.status = _S.VERIFIED
        return True

    @noted(GATEWAY, "pin", lambda one: one.key)
    def page_pin(self, one: Subscription, pin: str) -> bool:
        """With the right one the payer consents."""
        if one.wallet is None or pin not in one.wallet.pins:
            self._wrong(one)
            return False
        self._consented(one)
        return True

    @noted(GATEWAY, "cancel", lambda one: one.key)
    def page_cancel(self, one: Subscription) -> None:
        """The payer leaves."""
        one.status, one.cancelled_by, one.cancelled_at = _S.CANCELLED, "PAYER", self.world.now()
        self._ended(one)

    def _wrong(self, one: Subscription) -> None:
        one.wrong += 1
        if one.wrong >= TRIES_MAX:
            one.status = _S.FAILED
            self._ended(one)

    def _consented(self, one: Subscription) -> None:
        now = self.world.now()
        today = now.astimezone(m.DHAKA).date()
        if one.wallet is not None and not one.outcome and self.world.magic:
            own = outcome_of(GATEWAY, one.amount_minor, one.wallet.number)
            one.outcome = own.name if own is not None else ""
        blocked = one.wallet is None or one.wallet.blocked or one.outcome == "account_blocked"
        if one.first_minor is not None:
            first = self._new(one, today, one.first_minor, first=True)
            if blocked or not self._take(one, first):
                one.status, first.status = _S.FAILED, _P.FAILED_PAYMENT
                self._ended(one)
                return
        elif blocked:
            one.status = _S.FAILED
            self._ended(one)
            return
        one.status, one.modified_at, self._idle_until = _S.SUCCEEDED, now, None
        start, expiry = date.fromisoformat(one.start), date.fromisoformat(one.expiry)
        stands_for_today = one.first_minor is not None and one.first_in_cycle and start == today
        day = next_day(one.frequency, start, expiry, today if stands_for_today else today - timedelta(days=1))
        one.next_due = day.isoformat() if day else ""
        self.tell("SUBSCRIPTION", one, None, None)
        if one.first_minor is not None:
            self.tell("PAYMENT", one, self.of(one)[0], None)
        elif start == today:
            self._collect(one, now)

    # ------------------------------------------------------------------------------------- the schedule

    def settle_due(self) -> None:
        """Do what has fallen due by now, in its order."""
        if self._settling or (self._idle_until is not None and self.world.now() < self._idle_until):
            return
        self._settling, self._idle_until = True, None
        try:
            while True:
                due = min(self._dues(), key=lambda one: one[0], default=None)
                if due is None or due[0] > self.world.now():
                    self._idle_until = _NEVER if due is None else due[0]
                    return
                due[1](due[0])
        finally:
            self._settling = False

    def _dues(self) -> Iterator[tuple[datetime, Callable[[datetime], None]]]:
        for one in self.subscriptions.values():
            if not one.holds:
                continue
            if one.next_due:
                at = self.moment(date.fromisoformat(one.next_due))
                yield at, lambda at, one=one: self._collect(one, at)  # type: ignore[misc]
            else:
                over = self.moment(date.fromisoformat(one.expiry)) + timedelta(days=1)
                yield over, lambda at, one=one: self._expire(one)  # type: ignore[misc]
        for due in self.collections.values():
            if due.next_try_at is not None:
                yield due.next_try_at, lambda at, due=due: self._again(due, at)  # type: ignore[misc]
            if due.settles_at is not None:
                yield due.settles_at, lambda at, due=due: self._refund_ends(due)  # type: ignore[misc]

    def moment(self, day: date) -> datetime:
        """When of a day it is collected."""
        return datetime.combine(day, time(self.rules.collects_at_hour), m.DHAKA).astimezone(
            self.world.now().tzinfo
        )

    def _expire(self, one: Subscription) -> None:
        if any(due.next_try_at is not None for due in self.of(one)):
            one.expiry = (date.fromisoformat(one.expiry) + timedelta(days=1)).isoformat()
            return
        one.status = _S.EXPIRED
        self._ended(one)

    def _collect(self, one: Subscription, at: datetime) -> None:
        start, expiry = date.fromisoformat(one.start), date.fromisoformat(one.expiry)
        today = date.fromisoformat(one.next_due)
        day = next_day(one.frequency, start, expiry, today)
        one.next_due = day.isoformat() if day else ""
        self._try(one, self._new(one, today, one.amount_minor), at)

    def _again(self, due: Collection, at: datetime) -> None:
        self._try(self.subscriptions[due.request_id], due, at)

    def _try(self, one: Subscription, due: Collection, at: datetime) -> None:
        """One try. A failed one is told, and tried again by bKash's own policy."""
        due.tries, due.next_try_at = due.tries + 1, None
        if self._take(one, due, at):
            if due.tries > 1:
                due.status = _P.RE_SUCCEEDED_PAYMENT
            self.tell("PAYMENT", one, due, None)
            return
        waits = retries(one.frequency)
        last = due.tries > len(waits)
        due.status = _P.RE_FAILED_PAYMENT if last and due.tries > 1 else _P.FAILED_PAYMENT
        if not last and one.holds:
            due.next_try_at = at + waits[due.tries - 1]
        self.tell("PAYMENT", one, due, None)

    def _new(self, one: Subscription, day: date, amount_minor: int, *, first: bool = False) -> Collection:
        self._last_payment += 1
        due = Collection(
            self._last_payment,
            one.request_id,
            day.isoformat(),
            amount_minor,
            first,
            created_at=self.world.now(),
        )
        self.collections[due.key] = due
        self._under.setdefault(one.request_id, []).append(due)
        self.world.bear(GATEWAY, due.key, one.request_id)
        return due

    def _take(self, one: Subscription, due: Collection, at: datetime | None = None) -> bool:
        wallet = one.wallet
        first = not any(each.is_paid or each.tries > 1 for each in self.of(one))
        if wallet is None or wallet.blocked or (first and one.outcome == "insufficient_balance"):
            return False
        trx_id = self.takings.new_trx_id(at or self.world.now())
        if not self.takings.move(
            "collect", wallet.account, till(one.merchant), due.amount_minor, due.key, trx_id
        ):
            return False
        due.status, due.trx_id, due.paid_at = _P.SUCCEEDED_PAYMENT, trx_id, at or self.world.now()
        self.takings.by_trx[trx_id] = due
        one.last_paid_at = due.paid_at
        return True

    # ------------------------------------------------------------------------------------- refunds

    def payment(self, merchant: Merchant, number: str) -> tuple[Collection, Subscription]:
        """By bKash's payment id."""
        due = self.collections.get(number)
        one = self.subscriptions[due.request_id] if due is not None else None
        if due is None or one is None or one.merchant != merchant:
            raise Refusal("3003", number[:40])
        return due, one

    def refund(
        self,
        due: Collection,
        amount_minor: int,
        request_id: str,
        *,
        takes_s: float = 0.0,
        fails: bool = False,
    ) -> None:
        """Give it back, or begin to: what became of it is told."""
        if request_id in self.refund_ids:
            raise Refusal("1004")
        if not due.is_paid or due.status is _P.PROCESSING_REFUND:
            raise Refusal("3001", "paymentStatus")
        if not 0 < amount_minor <= due.amount_minor - due.refunded_minor:
            raise Refusal("3001", "amount")
        self.refund_ids[request_id], self._idle_until = due.key, None
        due.status, due.fails = _P.PROCESSING_REFUND, fails
        due.reverse_minor, due.reverse_trx_id, due.reverse_at = amount_minor, "", None
        if takes_s > 0:
            due.settles_at = self.world.now() + timedelta(seconds=takes_s)
        else:
            self._refund_ends(due)

    def _refund_ends(self, due: Collection) -> None:
        one = self.subscriptions[due.request_id]
        due.settles_at, due.reverse_at = None, self.world.now()
        due.reverse_trx_id = self.takings.new_trx_id(due.reverse_at)
        self.takings.by_trx[due.reverse_trx_id] = due
        wallet = one.wallet
        made = not due.fails and wallet is not None
        if made and wallet is not None:
            made = self.takings.move(
                "refund", till(one.merchant), wallet.account, due.reverse_minor, due.key, due.reverse_trx_id
            )
        if made:
            due.refunded_minor += due.reverse_minor
        due.status = _P.SUCCEEDED_REFUND if made else _P.FAILED_REFUND
        self.tell("REFUND", one, due, None)
