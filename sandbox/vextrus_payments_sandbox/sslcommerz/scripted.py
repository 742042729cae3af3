"""A scripted payment at SSLCommerz: opened, paid and given back under its own rules, past its API."""

from typing import Final

from vextrus_payments.gateways.sslcommerz.models import Status
from vextrus_payments_sandbox.fault_kinds import parse_fault
from vextrus_payments_sandbox.seeding.scenario import QUIET, ScriptedPayment
from vextrus_payments_sandbox.sslcommerz.amounts import read_amount
from vextrus_payments_sandbox.sslcommerz.asking import asked
from vextrus_payments_sandbox.sslcommerz.gateway import SslcommerzSandbox
from vextrus_payments_sandbox.sslcommerz.records import GATEWAY, Merchant, Refusal, Session
from vextrus_payments_sandbox.sslcommerz.rules import TRIES_MAX
from vextrus_payments_sandbox.world import SandboxError

_TRAN_ID_DIGITS: Final = 8


class SslcommerzScript:
    """Plays at the SSLCommerz of one sandbox."""

    def __init__(self, gateway: SslcommerzSandbox) -> None:
        self._gateway = gateway
        self._rules = gateway.rules

    def __call__(self, wanted: ScriptedPayment) -> str:
        """The session key. Raises :class:`SandboxError` with SSLCommerz's own words for what it refuses."""
        merchants = list(self._gateway.merchants.values())
        name = wanted.merchant or merchants[0].name
        merchant = next((one for one in merchants if one.name == name), None)
        if merchant is None:
            raise SandboxError(f"sslcommerz has no merchant of the name {wanted.merchant}")
        why, ipn = "", self._gateway.ipn
        if wanted.webhook not in ("", QUIET):
            ipn.demanded = parse_fault(wanted.webhook, GATEWAY)
        ipn.keep_quiet(quiet=wanted.webhook == QUIET)
        try:
            return self._play(wanted, self._opened(wanted, merchant))
        except Refusal as refusal:
            why = str(refusal)
        finally:
            ipn.keep_quiet(quiet=False)
            ipn.demanded = None
        raise SandboxError(why)

    def _opened(self, wanted: ScriptedPayment, merchant: Merchant) -> Session:
        tran_id = wanted.reference or f"SEED{self._rules.world.text('0123456789', _TRAN_ID_DIGITS)}"
        back = dict.fromkeys(("success_url", "fail_url", "cancel_url"), wanted.callback_url)
        fields = {"total_amount": wanted.amount, "currency": "BDT", "tran_id": tran_id, **back}
        return self._rules.open_session(merchant, asked(fields, self._rules.rules))

    def _play(self, wanted: ScriptedPayment, session: Session) -> str:
        rules = self._rules
        ends_here = wanted.outcome in ("open", "cancelled", "failed")
        chosen = not ends_here or wanted.step != "wallet"
        if chosen and not rules.choose(session, session.channels[0], wanted.wallet):
            raise SandboxError(f"there is no test wallet {wanted.wallet}")
        if wanted.outcome == "cancelled":
            rules.end(session, Status.CANCELLED)
        if wanted.outcome == "failed":
            for _ in range(TRIES_MAX):
                rules.give_code(session, "")
        if wanted.outcome == "paid":
            self._pay(session)
            for number, amount in enumerate(wanted.refunds, 1):
                self._gateway.refunds.begin(
                    session, session.paid[0], read_amount(amount) or 0, trans_id="", remarks=f"seed-{number}"
                )
        return session.key

    def _pay(self, session: Session) -> None:
        attempt = session.under_way
        right = attempt.wallet.otp if attempt is not None and attempt.wallet is not None else ""
        while session.under_way is not None and not session.closed:
            self._rules.give_code(session, right)
        if not session.paid:
            last = session.attempts[-1] if session.attempts else None
            why = last.error if last is not None and last.error else "it stays under way"
            raise SandboxError(f"the payer could not pay: {why}")
