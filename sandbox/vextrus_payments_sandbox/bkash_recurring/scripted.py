"""A scripted subscription: asked for, consented to and its first payment given back under the platform's own rules."""

from datetime import timedelta

from vextrus_payments.gateways.bkash.recurring import models as m
from vextrus_payments_sandbox.bkash_recurring.asking import asked
from vextrus_payments_sandbox.bkash_recurring.gateway import BkashRecurringSandbox
from vextrus_payments_sandbox.bkash_recurring.records import Refusal, Subscription
from vextrus_payments_sandbox.notation import to_paisa
from vextrus_payments_sandbox.seeding.scenario import ScriptedPayment
from vextrus_payments_sandbox.world import SandboxError


class RecurringScript:
    """Plays at the recurring platform of one sandbox: a month, collected daily, the first payment at once."""

    def __init__(self, gateway: BkashRecurringSandbox) -> None:
        self._gateway = gateway
        self._rules = gateway.rules

    def __call__(self, wanted: ScriptedPayment) -> str:
        """The subscription's request id. Raises :class:`SandboxError` with the platform's words for what it refuses."""
        why = ""
        try:
            return self._play(wanted)
        except Refusal as refusal:
            why = f"refused with code {refusal.code}: {refusal.message}"
        raise SandboxError(why)

    def _play(self, wanted: ScriptedPayment) -> str:
        one = self._opened(wanted)
        if wanted.outcome == "open":
            return one.key
        outcome = {"cancelled": "cancel", "failed": "failure"}.get(wanted.outcome, "success")
        self._gateway.pages.approve(one, outcome, wanted.wallet)
        if wanted.outcome == "paid":
            paid = [due for due in self._rules.of(one) if due.is_paid]
            if not paid:
                raise SandboxError(f"the payer could not pay: {one.status.value}")
            for number, amount in enumerate(wanted.refunds, 1):
                self._rules.refund(paid[0], to_paisa(amount) or 0, f"seed{one.number}n{number}")
        return one.key

    def _opened(self, wanted: ScriptedPayment) -> Subscription:
        merchants = self._gateway.merchants
        merchant = merchants.get(wanted.merchant or next(iter(merchants)))
        if merchant is None:
            raise SandboxError(f"bkash_recurring has no merchant of the name {wanted.merchant}")
        world = self._rules.world
        start = world.now().astimezone(m.DHAKA).date() + timedelta(days=1)
        body = {
            "subscriptionRequestId": wanted.reference or f"SEED-{world.text('0123456789', 8)}",
            "serviceId": str(merchant.service_id),
            "paymentType": "FIXED",
            "subscriptionType": "WITH_PAYMENT",
            "amount": wanted.amount,
            "firstPaymentAmount": wanted.amount,
            "currency": m.CURRENCY,
            "payerType": "CUSTOMER",
            "frequency": m.Frequency.DAILY.value,
            "startDate": start.isoformat(),
            "expiryDate": (start + timedelta(days=30)).isoformat(),
            "redirectURL": wanted.callback_url,
            "subscriptionReference": wanted.reference or "scripted",
        }
        return self._rules.create(merchant, asked(body, merchant, self._rules.rules, world.now()))
