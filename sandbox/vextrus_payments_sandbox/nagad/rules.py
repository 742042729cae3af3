"""The rules of Nagad's check-out as a state machine (dossier §4-8, §14). No HTTP, no ``await``.

    initialize -> OrderInitiated --complete--> Ready --page: number--> OtpSent --code--> OtpVerified --PIN--> Success
                                               |                        |                  |         +-> Failed
                                               +------ abort link, Cancel: Aborted --------+         +-> InProgress,
                                               +------ code or PIN wrong x 3: Failed ------+             UnKnownFailed
    Success --refund--> PartialCancelled --refund--> Cancelled

Money moves when the payer's PIN is right, when a payment that was under way settles, and at a refund; nowhere else.
Every refusal is a :class:`Refusal` with the gateway's own code; it never leaves a state half changed.
"""

import hmac
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from vextrus_payments.gateways.nagad import models as m
from vextrus_payments_sandbox.fault_kinds import Fault
from vextrus_payments_sandbox.magic import ordered_outcome, outcome_of
from vextrus_payments_sandbox.nagad import wallets
from vextrus_payments_sandbox.nagad.asking import check_ours, info_of, is_callback_url, moment_of, needed
from vextrus_payments_sandbox.nagad.records import GATEWAY, Ending, Merchant, Payment, Refund, Refusal, Rules
from vextrus_payments_sandbox.nagad.writing import amount_of, reference_of
from vextrus_payments_sandbox.page_steps import noted
from vextrus_payments_sandbox.world import BookRow, InsufficientFundsError, Wallet, World, merchant_account

TRIES_MAX: Final = 3
API_VERSION_WITH_FEE: Final = "v-3.0.1"
_CHALLENGE_DIGITS: Final = 20
_ISSUER_REF_LENGTH: Final = 8
_HEX: Final = "0123456789abcdef"
_BASE36: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ORDER_ID: Final = re.compile(f"[{m.ORDER_ID_CHARACTERS}]{{{m.ORDER_ID_MIN},{m.ORDER_ID_MAX}}}", re.ASCII)
_DAY: Final = re.compile(r"[0-9]{8}", re.ASCII)
OPEN_STEPS: Final = frozenset({m.Status.READY, m.Status.OTP_SENT, m.Status.OTP_VERIFIED})
"""The states in which the payer still has something to do."""


def _reference_of(payment: Payment) -> str:
    return payment.reference


class NagadRules:
    """Every payment of the sandbox's Nagad, and what may happen to it."""

    def __init__(
        self, world: World, rules: Rules, *, ordered: Callable[[], Fault | None] | None = None
    ) -> None:
        self._ordered = ordered
        self.world = world
        self.rules = rules
        self.payments: dict[str, Payment] = {}
        self._order_days: set[tuple[str, str, str]] = set()
        self._latest: dict[tuple[str, str], Payment] = {}
        self._under_way: list[Payment] = []
        self._issued: set[str] = set()
        self.on_paid: Callable[[Payment], None] = lambda payment: None
        """Told of each payment when its money has moved."""

    def reset(self) -> None:
        """Forget everything."""
        for kept in (self.payments, self._order_days, self._latest, self._under_way, self._issued):
            kept.clear()

    def reindex(self) -> None:
        """Make every index anew from payments that came back."""
        self._order_days.clear()
        for one in self.payments.values():
            merchant_id, order_id = one.merchant.merchant_id, one.order_id
            self._order_days.add((merchant_id, order_id, f"{one.created_at.astimezone(m.DHAKA):%Y%m%d}"))
            self._latest["", order_id] = self._latest[merchant_id, order_id] = one
        self._under_way = [one for one in self.payments.values() if one.settles_at is not None]
        self._issued = {one.issuer_ref for one in self.payments.values() if one.issuer_ref is not None}
        self._issued |= {refund.trx_id for one in self.payments.values() for refund in one.refunds}

    def rows(self) -> Iterator[BookRow]:
        """Every payment for the books."""
        self.settle_due()
        yield from map(_row, self.payments.values())

    def row(self, reference: str) -> BookRow | None:
        """One payment for the books, or None."""
        self.settle_due()
        payment = self.payments.get(reference)
        return None if payment is None else _row(payment)

    def payment(self, reference: str) -> Payment:
        """The payment of a reference, or 055."""
        found = self.payments.get(reference)
        if found is None:
            raise Refusal("055", "there is no payment with this reference")
        return found

    # ------------------------------------------------------------------------------- initialize (§4, §14.1)

    @staticmethod
    def check_order_id(order_id: str) -> None:
        """5 to 20 letters and digits, or 068."""
        if not _ORDER_ID.fullmatch(order_id):
            raise Refusal("068", "an order id has 5 to 20 letters and digits")

    def initialize(
        self, merchant: Merchant, order_id: str, outer_time: Any, inside: Mapping[str, Any], locale: str
    ) -> Payment:
        """A new payment reference from what a merchant sealed, and from the time in the body around it."""
        moment, challenge = needed(inside, "datetime"), needed(inside, "challenge")
        if outer_time is None or not challenge:
            raise Refusal("059", "dateTime, datetime and challenge are needed")
        check_ours(inside, merchant, order_id)
        ordered_at = moment_of(moment)
        moment_of(outer_time)
        now = self.world.now()
        if abs((now - ordered_at).total_seconds()) > self.rules.window_s:
            raise Refusal("076", "datetime is not the time in Dhaka, or a clock is wrong")
        order_day = (merchant.merchant_id, order_id, f"{now.astimezone(m.DHAKA):%Y%m%d}")
        if order_day in self._order_days:
            raise Refusal("083", "this order id was used today")
        nonce = self.world.text(_HEX, _CHALLENGE_DIGITS)
        reference = reference_of(now, merchant.merchant_id, order_id, nonce)
        payment = Payment(reference, merchant, order_id, nonce, ordered_at, now, locale)
        self._order_days.add(order_day)
        self.payments[reference] = payment
        self._latest["", order_id] = self._latest[merchant.merchant_id, order_id] = payment
        self.world.bear(GATEWAY, reference, order_id)
        return payment

    # --------------------------------------------------------------------------------- complete (§5, §14.2)

    def completable(self, reference: str) -> Payment:
        """The payment that a complete is about: 055 for an unknown reference, 017 for one that had its complete."""
        payment = self.payment(reference)
        if payment.status is not m.Status.ORDER_INITIATED or self._is_old(payment):
            raise Refusal("017", f"the payment is {payment.status.value}, or too old")
        return payment

    def complete(
        self, payment: Payment, inside: Mapping[str, Any], body: Mapping[str, Any], api_version: str
    ) -> None:
        """Price the payment; its page can be opened from now on."""
        check_ours(inside, payment.merchant, payment.order_id)
        given = needed(inside, "challenge")
        if not hmac.compare_digest(given.encode("utf-8", "replace"), payment.challenge.encode("ascii")):
            raise Refusal("059", "challenge is not the one that this reference was given")
        currency = inside.get("currencyCode")
        if currency is not None and str(currency) != m.CURRENCY_CODE:
            raise Refusal("080", "the currency is 050")
        priced = amount_of(inside.get("amount"))
        if priced is None:
            raise Refusal("059", "amount is taka with up to two decimals, more than zero")
        if "otherAmount" in inside and api_version != API_VERSION_WITH_FEE:
            raise Refusal("059", "otherAmount belongs to v-3.0.1")
        callback = body.get("merchantCallbackURL", self.rules.default_callback_url or None)
        if not isinstance(callback, str) or not is_callback_url(callback):
            raise Refusal("999", "merchantCallbackURL is an http address of 10 to 255 characters")
        payment.info = info_of(body.get("additionalMerchantInfo"))
        payment.amount_minor, payment.amount_text = priced
        payment.callback_url, payment.status = callback, m.Status.READY
        payment.completed_at = self.world.now()

    # ------------------------------------------------------------------------------ the payer's page (§14.3)

    def page_open(self, payment: Payment) -> bool:
        """Whether the payer still has something to do."""
        self.settle_due()
        return payment.status in OPEN_STEPS and not self._is_old(payment)

    @noted(GATEWAY, "opened", _reference_of)
    def page_shown(self, payment: Payment) -> None:
        """The payer sees the page."""

    def page_until(self, payment: Payment) -> datetime:
        """When the page ends by itself."""
        return payment.created_at + timedelta(seconds=self.rules.page_life_s)

    @noted(GATEWAY, "wallet", _reference_of)
    def page_wallet(self, payment: Payment, number: str) -> bool:
        """The payer names a wallet; false when there is no such wallet."""
        wallet = self.world.wallet(number)
        if wallet is None:
            return False
        payment.wallet, payment.page_step, payment.status = wallet, "otp", m.Status.OTP_SENT
        payment.outcome = ordered_outcome(self._ordered() if self._ordered is not None else None)
        course = self._course(payment, wallet)
        if course.aborts and course.ending is not None:
            self._end(payment, course.ending)
        return True

    @noted(GATEWAY, "otp", _reference_of)
    def page_otp(self, payment: Payment, otp: str) -> bool:
        """The payer types the code; the third wrong one fails the payment."""
        if payment.wallet is not None and otp and otp == payment.wallet.otp:
            payment.page_step, payment.status = "pin", m.Status.OTP_VERIFIED
            return True
        payment.wrong_otps += 1
        if payment.wrong_otps >= TRIES_MAX:
            self._end(payment, wallets.WRONG_CODE)
        return False

    @noted(GATEWAY, "pin", _reference_of)
    def page_pin(self, payment: Payment, pin: str) -> bool:
        """The payer types the PIN; right: he pays. The third wrong one fails the payment."""
        if payment.wallet is not None and pin in payment.wallet.pins:
            self._pin_given(payment, payment.wallet)
            return True
        payment.wrong_pins += 1
        if payment.wrong_pins >= TRIES_MAX:
            self._end(payment, wallets.WRONG_PIN)
        return False

    @noted(GATEWAY, "cancel", _reference_of)
    def page_abort(self, payment: Payment) -> None:
        """The payer leaves by the abort link or by Cancel."""
        self._end(payment, wallets.LEFT)

    def stays(self, payment: Payment) -> bool:
        """Whether the browser never leads back to the shop."""
        return payment.wallet is not None and self._course(payment, payment.wallet).stays

    def comes_twice(self, payment: Payment) -> bool:
        """Whether the browser asks for the return address twice."""
        return payment.wallet is not None and self._course(payment, payment.wallet).twice

    def _course(self, payment: Payment, wallet: Wallet) -> wallets.Course:
        """How it goes: as was ordered, else as its amount or a magic wallet says (``magic.py``), else as wallets do."""
        own = outcome_of(GATEWAY, payment.amount_minor, wallet.number) if self.world.magic else None
        outcome = payment.outcome or (own.name if own is not None else "")
        if outcome:
            return wallets.BY_OUTCOME[outcome]
        return wallets.COURSES.get(wallet.number, wallets.PLAIN)

    def _pin_given(self, payment: Payment, wallet: Wallet) -> None:
        course = self._course(payment, wallet)
        if course.verify is not None:
            payment.status, payment.ending = course.verify, course.ending
            if course.settles_after_s is not None:
                payment.settles_at = self.world.now() + timedelta(seconds=course.settles_after_s)
                payment.settles_paid = course.settles_paid
                self._under_way.append(payment)
            return
        ending = course.ending or self._pay(payment, wallet)
        if ending is not None:
            self._end(payment, ending)

    @staticmethod
    def _end(payment: Payment, ending: Ending) -> None:
        payment.status, payment.ending = ending.status, ending

    # ---------------------------------------------------------------------------------------------- money

    def _pay(self, payment: Payment, wallet: Wallet) -> Ending | None:
        """Debit the wallet; why not, where that cannot be."""
        if wallet.blocked:
            return wallets.BLOCKED
        issuer_ref = self._new_issuer_ref()
        try:
            self._move(
                "debit",
                wallet.account,
                merchant_account(GATEWAY, payment.merchant.till),
                payment.amount_minor,
                payment,
                issuer_ref,
            )
        except InsufficientFundsError:
            return wallets.NO_BALANCE
        payment.status, payment.issuer_ref = m.Status.SUCCESS, issuer_ref
        payment.paid_at = self.world.now()
        self.on_paid(payment)
        return None

    def settle_due(self) -> None:
        """Let what was under way, and whose time has come, find its end."""
        now = self.world.now()
        due = [one for one in self._under_way if one.settles_at is not None and one.settles_at <= now]
        for payment in due:
            self.settle(payment, paid=payment.settles_paid)

    def settle(self, payment: Payment, *, paid: bool) -> None:
        """End a payment that is under way, whatever its return has said by now."""
        payment.settles_at = None
        self._under_way = [one for one in self._under_way if one is not payment]
        if not paid or payment.wallet is None or self._pay(payment, payment.wallet) is not None:
            payment.status = m.Status.FAILED

    @staticmethod
    def is_under_way(payment: Payment) -> bool:
        """Whether the PIN was right and the end is not known."""
        return payment.status in (m.Status.IN_PROGRESS, m.Status.UNKNOWN_FAILED)

    # -------------------------------------------------------------------------------- refunds (§8, §14.6)

    def refundable(self, reference: str, order_id: str, merchant_id: str = "") -> Payment:
        """The payment that a refund's query names, by either key or both; 999 for none, 055 for an unknown one.

        `merchant_id` tells whose order is meant, where two merchants gave theirs the same id; else it is the latest.
        """
        if not reference and not order_id:
            raise Refusal("999", "paymentRefId or orderId is needed")
        named = [self.payments[reference]] if reference in self.payments else []
        if not reference:
            latest = self._latest.get((merchant_id, order_id))
            named = [] if latest is None else [latest]
        if not named or (order_id and named[0].order_id != order_id):
            raise Refusal("055", "there is no payment with this reference and order id")
        return named[0]

    def refund(self, payment: Payment, inside: Mapping[str, Any]) -> Refund:
        """Give back part or all, never more than is left. The same call twice is two refunds (§8)."""
        if needed(inside, "merchantId") != payment.merchant.merchant_id:
            raise Refusal("059", "merchantId is not the one of this payment")
        if inside.get("orderId") not in (None, payment.order_id):
            raise Refusal("059", "orderId is not the one of this payment")
        self._check_refund_day(payment, needed(inside, "originalRequestDate"))
        original, wanted = amount_of(inside.get("originalAmount")), amount_of(inside.get("cancelAmount"))
        reference_no = needed(inside, "referenceNo")
        if original is None or wanted is None:
            raise Refusal("059", "originalAmount and cancelAmount are taka with up to two decimals")
        if original[0] != payment.amount_minor and payment.is_paid:
            raise Refusal("059", "originalAmount is not the amount of this payment")
        return self.give_back(payment, wanted[0], reference_no)

    def give_back(self, payment: Payment, amount_minor: int, reference_no: str) -> Refund:
        """Move the money of a refund, or 017 where that much is not left."""
        self.settle_due()
        left = payment.captured_minor - payment.refunded_minor
        if payment.wallet is None or not 0 < amount_minor <= left:
            raise Refusal("017", f"of this payment {left} paisa can be given back")
        trx_id = self._new_issuer_ref()
        self._move(
            "refund",
            merchant_account(GATEWAY, payment.merchant.till),
            payment.wallet.account,
            amount_minor,
            payment,
            trx_id,
        )
        refund = Refund(trx_id, amount_minor, reference_no, self.world.now())
        payment.refunds = [*payment.refunds, refund]
        return refund

    def _check_refund_day(self, payment: Payment, text: str) -> None:
        if not _DAY.fullmatch(text):
            raise Refusal("081", "originalRequestDate is yyyyMMdd")
        # Sources part: the payment's day, or the day of the refund. Both pass here.
        known = {f"{day.astimezone(m.DHAKA):%Y%m%d}" for day in (payment.created_at, self.world.now())}
        if payment.paid_at is not None:
            known.add(f"{payment.paid_at.astimezone(m.DHAKA):%Y%m%d}")
        if text not in known:
            raise Refusal("059", "originalRequestDate is not the day of this payment")

    # --------------------------------------------------------------------------------------------- helpers

    def _is_old(self, payment: Payment) -> bool:
        return (self.world.now() - payment.created_at).total_seconds() > self.rules.page_life_s

    def _new_issuer_ref(self) -> str:
        found = self.world.text(_BASE36, _ISSUER_REF_LENGTH)
        while found in self._issued:
            found = self.world.text(_BASE36, _ISSUER_REF_LENGTH)
        self._issued.add(found)
        return found

    def _move(
        self, kind: str, source: str, target: str, amount_minor: int, payment: Payment, trx_id: str
    ) -> None:
        self.world.books.move(
            self.world.now(),
            gateway=GATEWAY,
            kind=kind,
            source=source,
            target=target,
            amount_minor=amount_minor,
            reference=payment.reference,
            transaction_id=trx_id,
        )


def state_of(payment: Payment) -> m.Status:
    """The payment's state with its refunds counted in."""
    if not payment.refunds:
        return payment.status
    whole = payment.refunded_minor == payment.amount_minor
    return m.Status.CANCELLED if whole else m.Status.PARTIAL_CANCELLED


def _row(payment: Payment) -> BookRow:
    return BookRow(
        GATEWAY,
        payment.reference,
        payment.issuer_ref,
        payment.order_id,
        state_of(payment).value,
        payment.amount_minor,
        payment.captured_minor,
        payment.refunded_minor,
        payment.created_at,
        payment.settles_at,
        payment,
    )
