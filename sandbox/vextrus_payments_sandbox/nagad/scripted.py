"""A scripted payment at Nagad: initialized, completed, paid and given back under its own rules, without a seal."""

from vextrus_payments.gateways.nagad import models as m
from vextrus_payments_sandbox.nagad.gateway import NagadSandbox
from vextrus_payments_sandbox.nagad.records import Merchant, Payment, Refusal
from vextrus_payments_sandbox.nagad.rules import TRIES_MAX
from vextrus_payments_sandbox.notation import to_paisa
from vextrus_payments_sandbox.seeding.scenario import STEPS, ScriptedPayment
from vextrus_payments_sandbox.world import SandboxError


class NagadScript:
    """Plays at the Nagad of one sandbox."""

    def __init__(self, gateway: NagadSandbox) -> None:
        self._gateway = gateway
        self._rules = gateway.rules

    def __call__(self, asked: ScriptedPayment) -> str:
        """The payment reference. Raises :class:`SandboxError` with Nagad's own words for what it refuses."""
        wanted = asked.merchant or self._gateway.names[0]
        merchant = next((one for one in self._gateway.merchants.values() if one.name == wanted), None)
        if merchant is None:
            raise SandboxError(f"nagad has no merchant of the name {asked.merchant}")
        if self._rules.world.wallet(asked.wallet) is None:
            raise SandboxError(f"there is no test wallet {asked.wallet}")
        why = ""
        try:
            return self._play(asked, self._ready(asked, merchant))
        except Refusal as refusal:
            why = f"refused with code {refusal.code}: {refusal.detail}"
        raise SandboxError(why)

    def _ready(self, asked: ScriptedPayment, merchant: Merchant) -> Payment:
        rules = self._rules
        moment = f"{rules.world.now().astimezone(m.DHAKA):%Y%m%d%H%M%S}"
        order_id = asked.reference or f"SEED{rules.world.text('0123456789', 8)}"
        named = {"merchantId": merchant.merchant_id, "orderId": order_id}
        inside = {**named, "datetime": moment, "challenge": rules.world.text("0123456789abcdef", 40)}
        payment = rules.initialize(merchant, order_id, moment, inside, "en")
        priced = {**named, "currencyCode": m.CURRENCY_CODE, "amount": asked.amount}
        body = {"merchantCallbackURL": asked.callback_url}
        rules.complete(payment, {**priced, "challenge": payment.challenge}, body, "v-0.2.0")
        return payment

    def _play(self, asked: ScriptedPayment, payment: Payment) -> str:
        rules = self._rules
        ends_here = asked.outcome in ("open", "cancelled", "failed")
        self._walk(asked, payment, STEPS.index(asked.step) if ends_here else len(STEPS))
        if asked.outcome == "cancelled":
            rules.page_abort(payment)
        if asked.outcome == "failed":
            for _ in range(TRIES_MAX):
                (rules.page_otp if asked.step == "otp" else rules.page_pin)(payment, "")
        if asked.outcome == "paid" and not payment.is_paid:
            why = payment.ending.message if payment.ending is not None else payment.status.value
            raise SandboxError(f"the payer could not pay: {why}")
        for number, amount in enumerate(asked.refunds, 1):
            rules.give_back(payment, to_paisa(amount) or 0, f"seed-{number}")
        return payment.reference

    def _walk(self, asked: ScriptedPayment, payment: Payment, steps: int) -> None:
        """The payer's first steps, all right."""
        if steps > 0:
            self._rules.page_wallet(payment, asked.wallet)
        wallet = payment.wallet
        if steps > 1 and wallet is not None:
            self._rules.page_otp(payment, wallet.otp)
        if steps > 2 and wallet is not None:
            self._rules.page_pin(payment, wallet.right_pin)
