"""The rules of bKash's checkout as a state machine (dossier §4, §11, §12.1). No HTTP, no ``await``.

    create -> INITIATED --page: wallet, OTP, PIN--> verified --execute--> COMPLETED (sale) | AUTHORIZED
              |  page: cancel ------------------> CANCELLED             AUTHORIZED --capture--> COMPLETED
              |  page: OTP or PIN wrong x 3,
              |        or its time is over -----> FAILED                AUTHORIZED --void-----> VOIDED
              |  older than 24 h ---------------> EXPIRED
              +- verified, execute refused -----> DECLINED   (balance, block, duplicate: a new payment is needed)

A payment's money moves at execute, capture, void and refund, and nowhere else. Every refusal is a :class:`Refusal` with
bKash's own code; it never leaves a state half changed. What a create call may ask for is checked in ``creating.py``,
the payer's page in ``page_rules.py``, payouts in
``payout_rules.py``; where it all lies, and how it is found, is ``holdings.py``.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from vextrus_payments.gateways.bkash import models as m
from vextrus_payments_sandbox.bkash.creating import Wish, wish_of
from vextrus_payments_sandbox.bkash.holdings import ALNUM, Holdings, till
from vextrus_payments_sandbox.bkash.page_rules import PageRules
from vextrus_payments_sandbox.bkash.payout_rules import PayoutRules
from vextrus_payments_sandbox.bkash.records import (
    GATEWAY,
    OUTCOME_CODES,
    Agreement,
    Payment,
    Refund,
    Refusal,
    Rules,
    State,
)
from vextrus_payments_sandbox.bkash.tokens import Merchant
from vextrus_payments_sandbox.fault_kinds import Fault
from vextrus_payments_sandbox.magic import outcome_of
from vextrus_payments_sandbox.world import (
    BookRow,
    InsufficientFundsError,
    Wallet,
    World,
    hold_account,
    to_paisa,
    to_text,
)

_HASH: Final = ALNUM + "!.()_-*"


class BkashRules:
    """What may happen to the payments and agreements of one sandbox."""

    def __init__(
        self,
        world: World,
        rules: Rules,
        *,
        on_completed: Callable[[Payment], None] | None = None,
        ordered: Callable[[], Fault | None] | None = None,
    ) -> None:
        self.world = world
        self.rules = rules
        self.holdings = Holdings(world, rules)
        self.page = PageRules(self.holdings, ordered)
        self.payouts = PayoutRules(self.holdings)
        self._on_completed = on_completed

    @property
    def payments(self) -> dict[str, Payment]:
        """Every payment, and every agreement in the making, by its paymentID."""
        return self.holdings.payments

    @property
    def agreements(self) -> dict[str, Agreement]:
        """Every agreement by its agreementID."""
        return self.holdings.agreements

    def reset(self) -> None:
        """Forget everything."""
        self.holdings.reset()
        self.payouts.reset()

    def rows(self) -> Iterator[BookRow]:
        """Every payment for the books."""
        return self.holdings.rows()

    def row(self, handle: str) -> BookRow | None:
        """The payment that a paymentID names, or a trxID, be it a refund's."""
        return self.holdings.row(handle)

    # ------------------------------------------------------------------------------------ create (§4.2)

    def create(self, merchant: Merchant, fields: Mapping[str, str]) -> Payment:
        """A new paymentID from the fields of a tokenized create call, or the :class:`Refusal` bKash would give."""
        return self.made(merchant, wish_of(fields))

    def made(self, merchant: Merchant, wish: Wish) -> Payment:
        """A new paymentID for a wish that makes sense; refused where an earlier payment or agreement forbids it."""
        price = wish.price
        if price is not None and self.rules.unique_invoices and self.invoice_used(merchant, price.invoice):
            raise Refusal("2031")
        agreement = None
        if wish.mode == m.MODE_WITH_AGREEMENT:
            agreement = self.agreement(merchant, wish.agreement_id)
            if agreement.voided_at is not None:
                raise Refusal("2053")
        payment = self._new_payment(merchant, wish)
        if agreement is not None:
            payment.agreement_id, payment.wallet = agreement.agreement_id, agreement.wallet
            payment.page_step = "pin"
        if price is not None:
            payment.amount_minor, payment.amount_text = price.amount_minor, price.amount_text
            payment.intent, payment.invoice = price.intent, price.invoice
            self.holdings.invoices.add((merchant.app_key, price.invoice))
            self.world.bear(GATEWAY, payment.payment_id, price.invoice)
        self.payments[payment.payment_id] = payment
        return payment

    def _new_payment(self, merchant: Merchant, wish: Wish) -> Payment:
        now, holdings = self.world.now(), self.holdings
        by_agreement = wish.api == "v2" and wish.mode == m.MODE_AGREEMENT
        prefix = "CH" if wish.api == "checkout" else "TR"
        return Payment(
            payment_id=holdings.new_agreement_id(merchant)
            if by_agreement
            else holdings.new_payment_id(f"{prefix}{wish.mode}"),
            mode=wish.mode,
            merchant=merchant,
            payer_reference=wish.payer_reference,
            callback_url=wish.callback_url,
            created_at=now,
            page_hash=f"{self.world.text(_HASH, 40)}{int(now.timestamp() * 1000)}",
            signature=self.world.text(ALNUM, 10),
            api=wish.api,
            sub_merchant=wish.sub_merchant,
        )

    def invoice_used(self, merchant: Merchant, invoice: str) -> bool:
        """Whether an earlier payment carries this invoice; bKash asks for a fresh one each time (§11)."""
        return (merchant.app_key, invoice) in self.holdings.invoices

    def page_open(self, payment: Payment) -> bool:
        """Whether the payer still has something to do."""
        self.holdings.expire(payment)
        return payment.state is State.INITIATED and not payment.verified

    # ----------------------------------------------------------------------------------- execute (§4.4)

    def execute(self, merchant: Merchant, payment_id: str) -> Payment:
        """Debit a verified payment once, or make its agreement (table of §12.1)."""
        payment = self.payment(merchant, payment_id)
        if payment.is_agreement:
            return self._execute_agreement(payment)
        if payment.state in (State.COMPLETED, State.AUTHORIZED):
            raise Refusal("2062" if payment.completion_seen else "2117")
        if payment.state is not State.INITIATED:
            raise Refusal("2056")
        if not payment.verified or payment.wallet is None:
            raise Refusal(self.rules.unfinished_code)
        try:
            self._debit(payment, payment.wallet)
        except Refusal:
            payment.state = State.DECLINED
            raise
        return payment

    def _debit(self, payment: Payment, wallet: Wallet) -> None:
        if payment.agreement_id and self.agreements[payment.agreement_id].voided_at is not None:
            raise Refusal("2053")
        own = outcome_of(GATEWAY, payment.amount_minor, wallet.number) if self.world.magic else None
        outcome = payment.outcome or (own.name if own is not None else "")
        if outcome in OUTCOME_CODES:
            raise Refusal(OUTCOME_CODES[outcome])
        if wallet.blocked:
            raise Refusal("2037")
        if self.holdings.is_duplicate(payment, wallet):
            raise Refusal("2029")
        hold = payment.intent == m.INTENT_AUTHORIZATION
        target = hold_account(GATEWAY, payment.payment_id) if hold else till(payment.merchant)
        trx_id = self.holdings.new_trx_id()
        try:
            self._move(
                "hold" if hold else "debit", wallet.account, target, payment.amount_minor, payment, trx_id
            )
        except InsufficientFundsError:
            raise Refusal("2023") from None
        payment.state = State.AUTHORIZED if hold else State.COMPLETED
        payment.trx_id, payment.executed_at = trx_id, self.world.now()
        payment.updated_at = payment.executed_at
        self.holdings.by_trx[trx_id] = payment
        self.holdings.note_debit(payment)
        self._tell(payment)

    def _execute_agreement(self, payment: Payment) -> Payment:
        if payment.agreement_id is not None:
            raise Refusal("2116")
        if payment.state is not State.INITIATED:
            raise Refusal("2056")
        if not payment.verified or payment.wallet is None:
            raise Refusal("2054")
        if self.holdings.has_agreed(payment, payment.wallet):
            payment.state = State.DECLINED
            raise Refusal("2050")
        now = self.world.now()
        agreement_id = payment.payment_id
        if payment.api != "v2":
            agreement_id = self.holdings.new_agreement_id(payment.merchant)
        self.holdings.note_agreement(
            Agreement(
                agreement_id,
                payment.payment_id,
                payment.merchant,
                payment.wallet,
                payment.payer_reference,
                payment.created_at,
                now,
            )
        )
        payment.agreement_id, payment.state = agreement_id, State.COMPLETED
        payment.executed_at = payment.updated_at = now
        return payment

    # ------------------------------------------------------------------------------- look-ups (§4.5-4.8)

    def payment(self, merchant: Merchant, payment_id: str) -> Payment:
        """The payment, its age taken into account; 2002 for an unknown id, 2061 for another merchant's."""
        return self.holdings.payment(merchant, payment_id)

    def query(self, merchant: Merchant, payment_id: str) -> Payment:
        """As :meth:`payment`; a completion that was looked up once changes the answer to a repeated execute."""
        found = self.payment(merchant, payment_id)
        found.completion_seen = found.completion_seen or found.state in (State.COMPLETED, State.AUTHORIZED)
        return found

    def agreement(self, merchant: Merchant, agreement_id: str) -> Agreement:
        """The agreement; 2051 for an unknown id, 2061 for another merchant's."""
        return self.holdings.agreement(merchant, agreement_id)

    def cancel_agreement(self, merchant: Merchant, agreement_id: str) -> Agreement:
        """End an agreement; a second time is 2053 (§4.7)."""
        found = self.agreement(merchant, agreement_id)
        if found.voided_at is not None:
            raise Refusal("2053")
        found.voided_at = self.world.now()
        return found

    def search(self, merchant: Merchant, trx_id: str) -> tuple[Payment, Refund | None]:
        """The payment that a trxID belongs to, and the refund where it is a refund's."""
        found = self.holdings.by_trx.get(trx_id)
        if found is None or found.merchant != merchant:
            raise Refusal("2033")
        return found, next((refund for refund in found.refunds if refund.trx_id == trx_id), None)

    # -------------------------------------------------------------------------- capture and void (§4.9)

    def capture(self, merchant: Merchant, payment_id: str) -> Payment:
        """Give a held amount to the merchant."""
        payment = self._held(merchant, payment_id)
        hold = hold_account(GATEWAY, payment.payment_id)
        self._move("capture", hold, till(payment.merchant), payment.amount_minor, payment, payment.trx_id)
        payment.state, payment.updated_at = State.COMPLETED, self.world.now()
        self._tell(payment)
        return payment

    def void(self, merchant: Merchant, payment_id: str) -> Payment:
        """Give a held amount back to the payer."""
        payment = self._held(merchant, payment_id)
        if payment.wallet is None:
            raise Refusal("2056")
        hold = hold_account(GATEWAY, payment.payment_id)
        self._move("release", hold, payment.wallet.account, payment.amount_minor, payment, payment.trx_id)
        payment.state, payment.updated_at = State.VOIDED, self.world.now()
        return payment

    def _held(self, merchant: Merchant, payment_id: str) -> Payment:
        payment = self.payment(merchant, payment_id)
        was_authorization = payment.intent == m.INTENT_AUTHORIZATION
        if was_authorization and payment.state in (State.COMPLETED, State.VOIDED):
            raise Refusal("2119")
        if payment.state is not State.AUTHORIZED:
            raise Refusal("2056")
        return payment

    # ------------------------------------------------------------------------------ refunds (§4.10-4.11)

    def refundable(self, merchant: Merchant, payment_id: str, trx_id: str) -> Payment:
        """The payment that refunds and refund look-ups are about; 2077 when the trxID is not its own."""
        payment = self.payment(merchant, payment_id)
        if payment.is_agreement:
            raise Refusal("2002")
        if payment.trx_id is None or payment.trx_id != trx_id:
            raise Refusal("2127" if payment.trx_id is None else "2077")
        return payment

    def refund(self, merchant: Merchant, payment_id: str, trx_id: str, fields: Mapping[str, str]) -> Refund:
        """Give back part or all: at most ten times, within 60 days, never more than was taken.

        `fields` holds ``amount``, ``sku`` and ``reason``. There is no idempotency key: the same call twice
        is two refunds, as at the real gateway.
        """
        payment = self.refundable(merchant, payment_id, trx_id)
        amount_minor = self._checked_refund(payment, fields)
        if payment.wallet is None or payment.executed_at is None:
            raise Refusal("2127")
        new_id = self.holdings.new_trx_id()
        try:
            self._move(
                "refund", till(payment.merchant), payment.wallet.account, amount_minor, payment, new_id
            )
        except InsufficientFundsError:  # the merchant moved the money to his other account (§6)
            raise Refusal("2081") from None
        refund = Refund(
            new_id, amount_minor, fields["amount"], fields["sku"], fields["reason"], self.world.now()
        )
        payment.refunds = [*payment.refunds, refund]
        self.holdings.by_trx[new_id] = payment
        return refund

    def _checked_refund(self, payment: Payment, fields: Mapping[str, str]) -> int:
        if not fields.get("sku"):
            raise Refusal("2073")
        if len(fields["sku"]) > m.TEXT_MAX:
            raise Refusal("2075")
        if not fields.get("reason"):
            raise Refusal("2078")
        if len(fields["reason"]) > m.TEXT_MAX:
            raise Refusal("2076")
        if payment.state is not State.COMPLETED or payment.executed_at is None:
            raise Refusal("2127")
        amount_minor = to_paisa(fields.get("amount"))
        if not amount_minor:
            raise Refusal("2072")
        if amount_minor > payment.amount_minor:
            raise Refusal("2026")
        left = payment.amount_minor - payment.refunded_minor
        if left == 0:
            raise Refusal("2034")
        if amount_minor > left:
            raise Refusal("2072")
        if len(payment.refunds) >= m.REFUNDS_MAX:
            raise Refusal("2074")
        if self.world.now() - payment.executed_at > m.REFUND_WINDOW:
            raise Refusal("2071")
        return amount_minor

    # ---------------------------------------------------------------- payments without the API (§8.1)

    def walk_in(
        self, merchant: Merchant, amount_minor: int, wallet: Wallet, channel: str, reference: str
    ) -> Payment:
        """A payer pays by QR code or *247#: no paymentID, no invoice, and the merchant learns it from the webhook."""
        now, trx_id = self.world.now(), self.holdings.new_trx_id()
        payment = Payment(
            payment_id=trx_id,
            mode="",
            merchant=merchant,
            payer_reference=reference,
            callback_url="",
            created_at=now,
            page_hash="",
            signature="",
            amount_minor=amount_minor,
            amount_text=to_text(amount_minor),
            wallet=wallet,
            verified=True,
            channel=channel,
        )
        if wallet.blocked:
            raise Refusal("2037")
        try:
            self._move("debit", wallet.account, till(payment.merchant), amount_minor, payment, trx_id)
        except InsufficientFundsError:
            raise Refusal("2023") from None
        payment.state, payment.trx_id = State.COMPLETED, trx_id
        payment.executed_at = payment.updated_at = now
        self.holdings.walk_ins[trx_id] = self.holdings.by_trx[trx_id] = payment
        self.world.bear(GATEWAY, trx_id)
        self._tell(payment)
        return payment

    # ------------------------------------------------------------------------------------------- helpers

    def _tell(self, payment: Payment) -> None:
        """Announce a payment once it is completed; an amount that is only held is not announced (§8.3)."""
        if self._on_completed is not None and payment.state is State.COMPLETED:
            self._on_completed(payment)

    def _move(
        self, kind: str, source: str, target: str, amount_minor: int, payment: Payment, trx_id: str | None
    ) -> None:
        self.holdings.move(kind, source, target, amount_minor, payment.payment_id, trx_id)
