"""Refunds at SSLCommerz: accepted by one call, made later, and perhaps not at all (dossier §1.8).

The money moves when the processing ends; until then its amount is reserved. ``refund_trans_id`` is the merchant's own
name of a refund: the same one again begins nothing.
"""

from datetime import timedelta
from typing import Final

from vextrus_payments.gateways.sslcommerz.models import RefundAnswerStatus, RefundStatus
from vextrus_payments_sandbox.fault_kinds import Fault
from vextrus_payments_sandbox.sslcommerz.amounts import write_amount
from vextrus_payments_sandbox.sslcommerz.records import GATEWAY, Attempt, Merchant, Refund, Refusal, Session
from vextrus_payments_sandbox.sslcommerz.rules import SslcommerzRules
from vextrus_payments_sandbox.sslcommerz.writing import moment_id
from vextrus_payments_sandbox.world import merchant_account

_DIGITS: Final = "0123456789ABCDEF"
_TAIL_LENGTH: Final = 8


class Refunds:
    """Every refund of the sandbox's SSLCommerz."""

    def __init__(self, rules: SslcommerzRules) -> None:
        self._rules = rules
        self.refunds: dict[str, Refund] = {}
        """By ``refund_ref_id``."""
        self._named: dict[tuple[str, str], Refund] = {}
        self._of: dict[str, list[Refund]] = {}
        self._busy: list[Refund] = []
        rules.refunded = self._refunded

    def reset(self) -> None:
        """Forget everything."""
        for kept in (self.refunds, self._named, self._of, self._busy):
            kept.clear()

    def reindex(self) -> None:
        """Make every index anew from refunds that came back."""
        for kept in (self._named, self._of, self._busy):
            kept.clear()
        for refund in self.refunds.values():
            self._index(self._rules.sessions[refund.session], refund)

    def session_of(self, refund: Refund) -> Session:
        """The session that it gives back of."""
        return self._rules.sessions[refund.session]

    def begin(
        self,
        session: Session,
        attempt: Attempt,
        amount_minor: int,
        *,
        trans_id: str,
        remarks: str,
        fault: Fault | None = None,
    ) -> tuple[Refund, RefundAnswerStatus]:
        """Accept a refund of part or all of a paid transaction; never more than is left. Raises :class:`Refusal`."""
        self.settle_due()
        known = self._named.get((session.merchant.store_id, trans_id)) if trans_id else None
        if known is not None:
            return known, RefundAnswerStatus.PROCESSING
        left = self.left(session, attempt)
        if not 0 < amount_minor <= left:
            raise Refusal(f"Refund Amount must be more than 0 and at most {write_amount(left)}")
        world, name = self._rules.world, fault.name if fault is not None else ""
        now = world.now()
        takes_s = fault.seconds if fault is not None else self._rules.rules.refund_takes_s
        if name not in ("refund_processing", "refund_cancelled"):
            takes_s = self._rules.rules.refund_takes_s
        refund = Refund(
            moment_id(now, world.text(_DIGITS, _TAIL_LENGTH)),
            trans_id,
            session.key,
            attempt.bank_tran_id,
            amount_minor,
            remarks,
            now,
            ends_at=now + timedelta(seconds=takes_s),
            ends_as=RefundStatus.CANCELLED if name == "refund_cancelled" else RefundStatus.REFUNDED,
        )
        self.refunds[refund.ref_id] = refund
        self._index(session, refund)
        self.settle_due()
        return (
            refund,
            RefundAnswerStatus.PROCESSING if name == "refund_processing" else RefundAnswerStatus.SUCCESS,
        )

    def left(self, session: Session, attempt: Attempt) -> int:
        """How much of a paid transaction can still be given back, in paisa."""
        given = sum(one.amount_minor for one in self._of.get(attempt.bank_tran_id, ()) if one.reserves)
        return session.amount_minor - given

    def find(self, merchant: Merchant, ref_id: str) -> Refund | None:
        """A store's own refund."""
        self.settle_due()
        refund = self.refunds.get(ref_id)
        return refund if refund is not None and self.session_of(refund).merchant == merchant else None

    def settle_due(self) -> None:
        """Let the processing of those end whose time has come."""
        now = self._rules.world.now()
        due = [one for one in self._busy if one.ends_at is not None and one.ends_at <= now]
        for refund in due:
            self._settle(refund)
        if due:
            self._busy = [one for one in self._busy if one.status is RefundStatus.PROCESSING]

    def _settle(self, refund: Refund) -> None:
        session, world = self.session_of(refund), self._rules.world
        payer = next(one.wallet for one in session.paid if one.bank_tran_id == refund.bank_tran_id)
        if refund.ends_as is RefundStatus.REFUNDED and payer is not None:
            world.books.move(
                world.now(),
                gateway=GATEWAY,
                kind="refund",
                source=merchant_account(GATEWAY, session.merchant.till),
                target=payer.account,
                amount_minor=refund.amount_minor,
                reference=session.key,
                transaction_id=refund.ref_id,
            )
        refund.status, refund.ended_at = refund.ends_as, world.now()

    def _refunded(self, session: Session) -> int:
        return sum(
            one.amount_minor
            for attempt in session.paid
            for one in self._of.get(attempt.bank_tran_id, ())
            if one.status is RefundStatus.REFUNDED
        )

    def _index(self, session: Session, refund: Refund) -> None:
        if refund.trans_id:
            self._named[session.merchant.store_id, refund.trans_id] = refund
        self._of.setdefault(refund.bank_tran_id, []).append(refund)
        if refund.status is RefundStatus.PROCESSING:
            self._busy.append(refund)
