"""A scripted payment at bKash: made, approved, executed and refunded under its own rules."""

from vextrus_payments.gateways.bkash import models as m
from vextrus_payments_sandbox.bkash.gateway import BkashSandbox
from vextrus_payments_sandbox.bkash.page_rules import TRIES_MAX
from vextrus_payments_sandbox.bkash.records import Payment, Refusal
from vextrus_payments_sandbox.seeding.scenario import STEPS, ScriptedPayment
from vextrus_payments_sandbox.world import SandboxError

_HELD = ("authorized", "voided")


class BkashScript:
    """Plays at the bKash of one sandbox."""

    def __init__(self, gateway: BkashSandbox) -> None:
        self._gateway = gateway
        self._rules = gateway.rules

    def __call__(self, asked: ScriptedPayment) -> str:
        """The paymentID. Raises :class:`SandboxError` with bKash's own words for what it refuses."""
        merchants = self._gateway.merchants
        merchant = merchants.get(asked.merchant or self._gateway.merchant.name)
        if merchant is None:
            raise SandboxError(f"bkash has no merchant of the name {asked.merchant}")
        if self._rules.world.wallet(asked.wallet) is None:
            raise SandboxError(f"there is no test wallet {asked.wallet}")
        why = ""
        try:
            return self._play(asked, self._rules.create(merchant, self._fields(asked)))
        except Refusal as refusal:
            why = f"refused with code {refusal.code}: {refusal.message}"
        raise SandboxError(why)

    def _fields(self, asked: ScriptedPayment) -> dict[str, str]:
        return {
            "mode": m.MODE_CHECKOUT,
            "payerReference": asked.wallet,
            "callbackURL": asked.callback_url,
            "amount": asked.amount,
            "currency": m.CURRENCY,
            "intent": m.INTENT_AUTHORIZATION if asked.outcome in _HELD else m.INTENT_SALE,
            "merchantInvoiceNumber": asked.reference or f"SEED{self._rules.world.text('0123456789', 8)}",
        }

    def _play(self, asked: ScriptedPayment, payment: Payment) -> str:
        rules = self._rules
        ends_here = asked.outcome in ("open", "cancelled", "failed")
        self._walk(asked, payment, STEPS.index(asked.step) if ends_here else len(STEPS))
        if asked.outcome == "cancelled":
            rules.page.cancel(payment)
        if asked.outcome == "failed":
            for _ in range(TRIES_MAX):
                (rules.page.otp if asked.step == "otp" else rules.page.pin)(payment, "")
        if ends_here or asked.outcome == "approved":
            return payment.payment_id
        rules.execute(payment.merchant, payment.payment_id)
        payment.execute_answered = True
        if asked.outcome == "voided":
            rules.void(payment.merchant, payment.payment_id)
        for amount in asked.refunds:
            fields = {"amount": amount, "sku": "seed", "reason": "seed"}
            rules.refund(payment.merchant, payment.payment_id, payment.trx_id or "", fields)
        return payment.payment_id

    def _walk(self, asked: ScriptedPayment, payment: Payment, steps: int) -> None:
        """The payer's first steps, all right."""
        if steps > 0:
            self._rules.page.wallet(payment, asked.wallet)
        wallet = payment.wallet
        if steps > 1 and wallet is not None:
            self._rules.page.otp(payment, wallet.otp)
        if steps > 2 and wallet is not None:
            self._rules.page.pin(payment, wallet.right_pin)
