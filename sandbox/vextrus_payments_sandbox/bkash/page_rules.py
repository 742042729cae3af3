"""What a payer may do on bKash's page, step by step, and what comes of it (dossier §12.1). No HTTP, no ``await``."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from vextrus_payments.gateways.bkash import models as m
from vextrus_payments_sandbox.bkash.holdings import Holdings
from vextrus_payments_sandbox.bkash.records import GATEWAY, Payment, State
from vextrus_payments_sandbox.fault_kinds import Fault
from vextrus_payments_sandbox.magic import ordered_outcome
from vextrus_payments_sandbox.page_steps import noted

TRIES_MAX: Final = 3
RESENDS_MAX: Final = 3


def _reference_of(payment: Payment) -> str:
    return payment.payment_id


class PageRules:
    """The page of every payment. `ordered` gives what somebody ordered the next page to come to."""

    def __init__(self, holdings: Holdings, ordered: Callable[[], Fault | None] | None = None) -> None:
        self.world = holdings.world
        self._holdings = holdings
        self._ordered = ordered

    @noted(GATEWAY, "opened", _reference_of)
    def shown(self, payment: Payment) -> None:
        """The payer sees the page: where it begins with the PIN, the PIN's time begins."""
        if payment.page_step == "pin" and payment.step_until is None:
            payment.step_until = self._in(self._holdings.rules.pin_life_s)

    def until(self, payment: Payment) -> datetime:
        """When the step that the payer is at ends by itself."""
        ends = payment.created_at + m.PAYMENT_LIFE
        return ends if payment.step_until is None else min(ends, payment.step_until)

    @noted(GATEWAY, "wallet", _reference_of)
    def wallet(self, payment: Payment, number: str) -> bool:
        """The payer names a wallet; false when there is no such wallet."""
        wallet = self.world.wallet(number)
        if wallet is None:
            return False
        payment.wallet, payment.page_step = wallet, "otp"
        payment.step_until = self._in(self._holdings.rules.code_life_s)
        return True

    @noted(GATEWAY, "otp", _reference_of)
    def otp(self, payment: Payment, otp: str) -> bool:
        """The payer types the code; the third wrong one fails the payment."""
        if payment.wallet is not None and otp == payment.wallet.otp:
            payment.page_step = "pin"
            payment.step_until = self._in(self._holdings.rules.pin_life_s)
            return True
        payment.wrong_otps += 1
        if payment.wrong_otps >= TRIES_MAX:
            payment.state = State.FAILED
        return False

    @noted(GATEWAY, "resend", _reference_of)
    def resend(self, payment: Payment) -> bool:
        """The payer has the code sent again and has its whole time once more; false beyond the limit (2013, §9)."""
        if payment.resends >= RESENDS_MAX:
            return False
        payment.resends += 1
        payment.step_until = self._in(self._holdings.rules.code_life_s)
        return True

    @noted(GATEWAY, "pin", _reference_of)
    def pin(self, payment: Payment, pin: str) -> bool:
        """The payer types the PIN; right: verified. The third wrong one fails the payment."""
        if payment.wallet is not None and pin in payment.wallet.pins:
            payment.verified = True
            payment.outcome = ordered_outcome(self._ordered() if self._ordered is not None else None)
            return True
        payment.wrong_pins += 1
        if payment.wrong_pins >= TRIES_MAX:
            payment.state = State.FAILED
        return False

    @noted(GATEWAY, "cancel", _reference_of)
    def cancel(self, payment: Payment) -> None:
        """The payer closes the page."""
        payment.state = State.CANCELLED

    def confirm(self, payment: Payment, number: str) -> bool:
        """The payer does everything right in one go; false where there is no such wallet.

        Under an agreement the wallet is known, and the page asks for the PIN alone.
        """
        if payment.agreement_id is None and not self.wallet(payment, number):
            return False
        if payment.wallet is None:
            return False
        self.otp(payment, payment.wallet.otp)
        self.pin(payment, payment.wallet.right_pin)
        return True

    def _in(self, seconds: float) -> datetime:
        return self.world.now() + timedelta(seconds=seconds)
