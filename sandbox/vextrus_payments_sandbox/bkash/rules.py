"""The rules of bKash's checkout as a state machine (dossier §4, §11, §12.1). No HTTP, no ``await``.

    create -> INITIATED --page: wallet, OTP, PIN--> verified --execute--> COMPLETED (sale) | AUTHORIZED
              |  page: cancel ------------------> CANCELLED             AUTHORIZED --capture--> COMPLETED
              |  page: OTP or PIN wrong x 3,
              |        or its time is over -----> FAILED                AUTHORIZED --void-----> VOIDED
              |  older than 24 h ---------------> EXPIRED
              +- verified, execute refused -----> DECLINED   (balance, block, duplicate: a new payment is needed)

Money moves at execute, capture, void and refund, and nowhere else. Every refusal is a :class:`Refusal` with
bKash's own code; it never leaves a state half changed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from vextrus_payments.gateways.bkash import models as m
from vextrus_payments_sandbox.bkash.records import (
    GATEWAY,
    OUTCOME_CODES,
    Agreement,
    Payment,
    Refund,
    Refusal,
    Rules,
    State,
    wire_state,
)
from vextrus_payments_sandbox.bkash.tokens import Merchant
from vextrus_payments_sandbox.fault_kinds import Fault
from vextrus_payments_sandbox.magic import ordered_outcome, outcome_of
from vextrus_payments_sandbox.page_steps import noted, ran_out
from vextrus_payments_sandbox.world import (
    BookRow,
    InsufficientFundsError,
    Wallet,
    World,
    hold_account,
    merchant_account,
    to_paisa,
    to_text,
)

TRIES_MAX: Final = 3
RESENDS_MAX: Final = 3
_DIGITS: Final = "0123456789"
_UPPER: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ALNUM: Final = _DIGITS + _UPPER + _UPPER.lower()
_HASH: Final = _ALNUM + "!.()_-*"


def _reference_of(payment: Payment) -> str:
    return payment.payment_id


class BkashRules:
    """Every payment and agreement of the sandbox, and what may happen to them."""

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
        self._on_completed = on_completed
        self._ordered = ordered
        self.payments: dict[str, Payment] = {}
        self.agreements: dict[str, Agreement] = {}
        self.walk_ins: dict[str, Payment] = {}
        self._by_trx: dict[str, Payment] = {}
        self._debits: list[Payment] = []
        self._invoices: set[tuple[str, str]] = set()

    def reset(self) -> None:
        """Forget everything."""
        for kept in (self.payments, self.agreements, self.walk_ins, self._by_trx):
            kept.clear()
        self._debits.clear()
        self._invoices.clear()

    def reindex(self, debited: Iterable[str]) -> None:
        """Make every index anew from payments that came back; `debited` names those that paid, in that order."""
        every = (*self.payments.values(), *self.walk_ins.values())
        self._by_trx = {one.trx_id: one for one in every if one.trx_id is not None}
        self._by_trx |= {refund.trx_id: one for one in every for refund in one.refunds}
        self._invoices = {(one.merchant.app_key, one.invoice) for one in every if one.invoice}
        self._debits = [self.payments[reference] for reference in debited if reference in self.payments]

    def rows(self) -> Iterator[BookRow]:
        """Every payment for the books; agreements move no money and are left out."""
        for payment in (*self.payments.values(), *self.walk_ins.values()):
            if not payment.is_agreement:
                yield self._row(payment)

    def row(self, handle: str) -> BookRow | None:
        """The payment that a paymentID names, or a trxID, be it a refund's."""
        payment = self.payments.get(handle) or self._by_trx.get(handle)
        return None if payment is None or payment.is_agreement else self._row(payment)

    def _row(self, payment: Payment) -> BookRow:
        self._expire(payment)
        return BookRow(
            GATEWAY,
            payment.payment_id,
            payment.trx_id,
            payment.invoice,
            wire_state(payment.state),
            payment.amount_minor,
            payment.captured_minor,
            payment.refunded_minor,
            payment.created_at,
        )

    # ------------------------------------------------------------------------------------ create (§4.2)

    def create(self, merchant: Merchant, fields: Mapping[str, str]) -> Payment:
        """A new paymentID from the fields of a create call, or the :class:`Refusal` bKash would give."""
        mode = fields.get("mode", "")
        if not mode or not fields.get("callbackURL") or not fields.get("payerReference"):
            raise Refusal("2065")
        if mode not in (m.MODE_AGREEMENT, m.MODE_WITH_AGREEMENT, m.MODE_CHECKOUT):
            raise Refusal("2063")
        _check_reference(fields["payerReference"], "2048")
        if not _is_callback_url(fields["callbackURL"]):
            raise Refusal("2049")
        payment = self._new_payment(mode, merchant, fields)
        if payment.is_agreement:
            if fields.get("agreementID"):
                raise Refusal("2063")
        else:
            self._price(payment, fields)
            self._bind(payment, fields.get("agreementID", ""))
            self._invoices.add((merchant.app_key, payment.invoice))
            self.world.bear(GATEWAY, payment.payment_id, payment.invoice)
        self.payments[payment.payment_id] = payment
        return payment

    def _new_payment(self, mode: str, merchant: Merchant, fields: Mapping[str, str]) -> Payment:
        now = self.world.now()
        epoch_ms = int(now.timestamp() * 1000)
        payment_id = f"TR{mode}{self.world.text(_ALNUM, 7)}{epoch_ms}"
        while payment_id in self.payments:
            payment_id = f"TR{mode}{self.world.text(_ALNUM, 7)}{epoch_ms}"
        return Payment(
            payment_id=payment_id,
            mode=mode,
            merchant=merchant,
            payer_reference=fields["payerReference"],
            callback_url=fields["callbackURL"],
            created_at=now,
            page_hash=f"{self.world.text(_HASH, 40)}{epoch_ms}",
            signature=self.world.text(_ALNUM, 10),
        )

    def _price(self, payment: Payment, fields: Mapping[str, str]) -> None:
        for name in ("amount", "currency", "intent", "merchantInvoiceNumber"):
            if not fields.get(name):
                raise Refusal("2065")
        amount_minor = to_paisa(fields["amount"])
        if amount_minor is None or amount_minor < 100:
            raise Refusal("2006")
        if fields["currency"] != m.CURRENCY:
            raise Refusal("2007")
        if fields["intent"] not in (m.INTENT_SALE, m.INTENT_AUTHORIZATION):
            raise Refusal("2008")
        _check_reference(fields["merchantInvoiceNumber"], "2031")
        if self.rules.unique_invoices and self.invoice_used(
            payment.merchant, fields["merchantInvoiceNumber"]
        ):
            raise Refusal("2031")
        try:
            m.parse_tlv(fields.get("merchantAssociationInfo", ""))
        except ValueError:
            raise Refusal("2047") from None
        payment.amount_minor, payment.amount_text = amount_minor, fields["amount"]
        payment.intent, payment.invoice = fields["intent"], fields["merchantInvoiceNumber"]

    def invoice_used(self, merchant: Merchant, invoice: str) -> bool:
        """Whether an earlier payment carries this invoice; bKash asks for a fresh one each time (§11)."""
        return (merchant.app_key, invoice) in self._invoices

    def _bind(self, payment: Payment, agreement_id: str) -> None:
        """Mode 0001 pays under an agreement; mode 0011 must name none, though ``""`` is tolerated (§4.2)."""
        if payment.mode == m.MODE_CHECKOUT:
            if agreement_id:
                raise Refusal("2063")
            return
        agreement = self.agreement(payment.merchant, agreement_id)
        if agreement.voided_at is not None:
            raise Refusal("2053")
        payment.agreement_id, payment.wallet = agreement.agreement_id, agreement.wallet
        payment.page_step = "pin"

    # -------------------------------------------------------------------------- the payer's page (§12.1)

    @noted(GATEWAY, "opened", _reference_of)
    def page_shown(self, payment: Payment) -> None:
        """The payer sees the page: where it begins with the PIN, the PIN's time begins."""
        if payment.page_step == "pin" and payment.step_until is None:
            payment.step_until = self._in(self.rules.pin_life_s)

    def page_until(self, payment: Payment) -> datetime:
        """When the step that the payer is at ends by itself."""
        ends = payment.created_at + m.PAYMENT_LIFE
        return ends if payment.step_until is None else min(ends, payment.step_until)

    @noted(GATEWAY, "wallet", _reference_of)
    def page_wallet(self, payment: Payment, number: str) -> bool:
        """The payer names a wallet; false when there is no such wallet."""
        wallet = self.world.wallet(number)
        if wallet is None:
            return False
        payment.wallet, payment.page_step = wallet, "otp"
        payment.step_until = self._in(self.rules.code_life_s)
        return True

    @noted(GATEWAY, "otp", _reference_of)
    def page_otp(self, payment: Payment, otp: str) -> bool:
        """The payer types the code; the third wrong one fails the payment."""
        if payment.wallet is not None and otp == payment.wallet.otp:
            payment.page_step = "pin"
            payment.step_until = self._in(self.rules.pin_life_s)
            return True
        payment.wrong_otps += 1
        if payment.wrong_otps >= TRIES_MAX:
            payment.state = State.FAILED
        return False

    @noted(GATEWAY, "resend", _reference_of)
    def page_resend(self, payment: Payment) -> bool:
        """The payer has the code sent again and has its whole time once more; false beyond the limit (2013, §9)."""
        if payment.resends >= RESENDS_MAX:
            return False
        payment.resends += 1
        payment.step_until = self._in(self.rules.code_life_s)
        return True

    @noted(GATEWAY, "pin", _reference_of)
    def page_pin(self, payment: Payment, pin: str) -> bool:
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
    def page_cancel(self, payment: Payment) -> None:
        """The payer closes the page."""
        payment.state = State.CANCELLED

    def page_open(self, payment: Payment) -> bool:
        """Whether the payer still has something to do."""
        self._expire(payment)
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
        if self._is_duplicate(payment, wallet):
            raise Refusal("2029")
        hold = payment.intent == m.INTENT_AUTHORIZATION
        target = hold_account(GATEWAY, payment.payment_id) if hold else _till(payment)
        trx_id = self._new_trx_id()
        try:
            self._move(
                "hold" if hold else "debit", wallet.account, target, payment.amount_minor, payment, trx_id
            )
        except InsufficientFundsError:
            raise Refusal("2023") from None
        payment.state = State.AUTHORIZED if hold else State.COMPLETED
        payment.trx_id, payment.executed_at = trx_id, self.world.now()
        payment.updated_at = payment.executed_at
        self._by_trx[trx_id] = payment
        self._debits.append(payment)
        self._tell(payment)

    def _is_duplicate(self, payment: Payment, wallet: Wallet) -> bool:
        """Same wallet, amount and merchant within the window (§1.8); the invoice does not matter (§16.17)."""
        since = self.world.now() - timedelta(seconds=self.rules.duplicate_window_s)
        for other in reversed(self._debits):
            if other.executed_at is None or other.executed_at <= since:
                return False
            same_payer = other.wallet is not None and other.wallet.number == wallet.number
            if (
                same_payer
                and other.amount_minor == payment.amount_minor
                and other.merchant == payment.merchant
            ):
                return True
        return False

    def _execute_agreement(self, payment: Payment) -> Payment:
        if payment.agreement_id is not None:
            raise Refusal("2116")
        if payment.state is not State.INITIATED:
            raise Refusal("2056")
        if not payment.verified or payment.wallet is None:
            raise Refusal("2054")
        for other in self.agreements.values():
            same_payer = (other.wallet.number, other.payer_reference, other.merchant) == (
                payment.wallet.number,
                payment.payer_reference,
                payment.merchant,
            )
            if same_payer and other.voided_at is None:
                payment.state = State.DECLINED
                raise Refusal("2050")
        now = self.world.now()
        agreement_id = (
            f"{payment.merchant.name}{self.world.text(_DIGITS + _UPPER, 7)}{int(now.timestamp() * 1000)}"
        )
        self.agreements[agreement_id] = Agreement(
            agreement_id,
            payment.payment_id,
            payment.merchant,
            payment.wallet,
            payment.payer_reference,
            payment.created_at,
            now,
        )
        payment.agreement_id, payment.state = agreement_id, State.COMPLETED
        payment.executed_at = payment.updated_at = now
        return payment

    # ------------------------------------------------------------------------------- look-ups (§4.5-4.8)

    def payment(self, merchant: Merchant, payment_id: str) -> Payment:
        """The payment, its age taken into account; 2002 for an unknown id, 2061 for another merchant's."""
        found = self.payments.get(payment_id)
        if found is None:
            raise Refusal("2002")
        if found.merchant != merchant:
            raise Refusal("2061")
        self._expire(found)
        return found

    def query(self, merchant: Merchant, payment_id: str) -> Payment:
        """As :meth:`payment`; a completion that was looked up once changes the answer to a repeated execute."""
        found = self.payment(merchant, payment_id)
        found.completion_seen = found.completion_seen or found.state in (State.COMPLETED, State.AUTHORIZED)
        return found

    def agreement(self, merchant: Merchant, agreement_id: str) -> Agreement:
        """The agreement; 2051 for an unknown id, 2061 for another merchant's."""
        found = self.agreements.get(agreement_id)
        if found is None:
            raise Refusal("2051")
        if found.merchant != merchant:
            raise Refusal("2061")
        return found

    def cancel_agreement(self, merchant: Merchant, agreement_id: str) -> Agreement:
        """End an agreement; a second time is 2053 (§4.7)."""
        found = self.agreement(merchant, agreement_id)
        if found.voided_at is not None:
            raise Refusal("2053")
        found.voided_at = self.world.now()
        return found

    def search(self, merchant: Merchant, trx_id: str) -> tuple[Payment, Refund | None]:
        """The payment that a trxID belongs to, and the refund where it is a refund's."""
        found = self._by_trx.get(trx_id)
        if found is None or found.merchant != merchant:
            raise Refusal("2033")
        return found, next((refund for refund in found.refunds if refund.trx_id == trx_id), None)

    # -------------------------------------------------------------------------- capture and void (§4.9)

    def capture(self, merchant: Merchant, payment_id: str) -> Payment:
        """Give a held amount to the merchant."""
        payment = self._held(merchant, payment_id)
        hold = hold_account(GATEWAY, payment.payment_id)
        self._move("capture", hold, _till(payment), payment.amount_minor, payment, payment.trx_id)
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
        new_id = self._new_trx_id()
        self._move("refund", _till(payment), payment.wallet.account, amount_minor, payment, new_id)
        refund = Refund(
            new_id, amount_minor, fields["amount"], fields["sku"], fields["reason"], self.world.now()
        )
        payment.refunds = [*payment.refunds, refund]
        self._by_trx[new_id] = payment
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
        now, trx_id = self.world.now(), self._new_trx_id()
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
            self._move("debit", wallet.account, _till(payment), amount_minor, payment, trx_id)
        except InsufficientFundsError:
            raise Refusal("2023") from None
        payment.state, payment.trx_id = State.COMPLETED, trx_id
        payment.executed_at = payment.updated_at = now
        self.walk_ins[trx_id] = self._by_trx[trx_id] = payment
        self.world.bear(GATEWAY, trx_id)
        self._tell(payment)
        return payment

    # ------------------------------------------------------------------------------------------- helpers

    def _tell(self, payment: Payment) -> None:
        """Announce a payment once it is completed; an amount that is only held is not announced (§8.3)."""
        if self._on_completed is not None and payment.state is State.COMPLETED:
            self._on_completed(payment)

    def _in(self, seconds: float) -> datetime:
        return self.world.now() + timedelta(seconds=seconds)

    def _expire(self, payment: Payment) -> None:
        if payment.state is not State.INITIATED:
            return
        now = self.world.now()
        if not payment.verified and payment.step_until is not None and now > payment.step_until:
            payment.state, payment.timed_out = State.FAILED, True
            self._ran_out(payment, payment.page_step, payment.step_until)
        elif now - payment.created_at > m.PAYMENT_LIFE:
            payment.state = State.EXPIRED
            self._ran_out(payment, "page", payment.created_at + m.PAYMENT_LIFE)

    def _ran_out(self, payment: Payment, step: str, until: datetime) -> None:
        ran_out(self.world, GATEWAY, payment.payment_id, step, until, payment.state.value)

    def _new_trx_id(self) -> str:
        prefix = m.trx_date_prefix(self.world.now().astimezone(m.DHAKA).date())
        trx_id = prefix + self.world.text(_DIGITS + _UPPER, 7)
        while trx_id in self._by_trx:
            trx_id = prefix + self.world.text(_DIGITS + _UPPER, 7)
        return trx_id

    def _move(
        self, kind: str, source: str, target: str, amount_minor: int, payment: Payment, trx_id: str | None
    ) -> None:
        self.world.books.move(
            self.world.now(),
            gateway=GATEWAY,
            kind=kind,
            source=source,
            target=target,
            amount_minor=amount_minor,
            reference=payment.payment_id,
            transaction_id=trx_id or "",
        )


def _till(payment: Payment) -> str:
    """The account in which the payment's merchant collects."""
    return merchant_account(GATEWAY, payment.merchant.till)


def _check_reference(text: str, code: str) -> None:
    if len(text) > m.TEXT_MAX or any(mark in text for mark in m.FORBIDDEN_IN_REFERENCES):
        raise Refusal(code)
    if any(ord(mark) < 32 or ord(mark) == 127 for mark in text):
        raise Refusal(code)


def _is_callback_url(text: str) -> bool:
    """An absolute http(s) URL without blanks or control characters: it becomes a Location header and a link."""
    if len(text) > 2048 or not text.isascii() or any(mark <= " " or mark in "\\\x7f" for mark in text):
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
