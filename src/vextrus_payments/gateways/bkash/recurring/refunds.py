"""Refunds of collected payments as a sans-IO generator: the recipe that refunds once (dossier §7).

bKash answers a refund with HTTP 200 and nothing else; what became of it is told by a webhook, and shown by the payment,
which has one place for one refund: its last. So:

1. look the payment up (the baseline): it must be collected, and no refund of it under way. Unreadable: refuse, nothing
   was sent;
2. make the baseline durable (a Checkpoint);
3. send the refund, **once**, under a request id made from the operation id;
4. 200 says that it is under way: PENDING. On anything that leaves it open look the payment up: a refund that was not
   there before is ours.

An attempt that resumes from a baseline only ever looks. One refund at a time per payment (the store sees to it) is what
makes step 4 exact; somebody who refunds the same payment in bKash's portal at that very moment is taken for us.

FAILED_REFUND is not believed at once: bKash looks again itself, and RE_SUCCEEDED_REFUND may follow. Only its second
word (RE_FAILED_REFUND, RE_NOT_FOUND_REFUND), or a day without one, makes a refund a declined one.
"""

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from vextrus_payments.errors import (
    DeclinedError,
    Effect,
    GatewayError,
    InvalidRequestError,
    NotSentError,
    OutcomeUnknownError,
    PaymentsError,
)
from vextrus_payments.gateways.bkash.recurring import models as m
from vextrus_payments.gateways.bkash.recurring.envelope import PAYMENT, REFUND, error_of
from vextrus_payments.gateways.bkash.recurring.steps import Api, amount_or_none, ask, ask_payment, is_id
from vextrus_payments.gateways.bodies import shown_word
from vextrus_payments.gateways.readings import Unreadable
from vextrus_payments.judging import judge_refund
from vextrus_payments.listings import REFUNDS, listing_of
from vextrus_payments.payment import Evidence, RefundCall
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.snapshots import RefundSnapshot, RefundState
from vextrus_payments.wire import Checkpoint, WireCall

BASELINE: Final = "refund.baseline"
LOOK_UP: Final = "refund.look_up"
SETTLES_AFTER: Final = timedelta(hours=24)
"""So long bKash is given to look again at a refund that it called failed. No source says how long it takes."""
_SURELY_FAILED: Final = frozenset({m.PaymentStatus.RE_FAILED_REFUND, m.PaymentStatus.RE_NOT_FOUND_REFUND})
_FAILED: Final = _SURELY_FAILED | {m.PaymentStatus.FAILED_REFUND}


@dataclass(frozen=True, slots=True)
class Baseline:
    """The payment before our refund, and what ours is."""

    transaction_id: str
    amount_minor: int
    status: str
    last_refund: str | None
    """The id of the refund shown then, made or failed."""
    at: datetime
    refunds: tuple[RefundSnapshot, ...] = ()

    def evidence(self) -> Evidence:
        """As the checkpoint keeps it."""
        return Evidence(
            BASELINE,
            {
                "transaction_id": self.transaction_id,
                "amount_minor": self.amount_minor,
                "status": self.status,
                "last_refund": self.last_refund,
                "at": self.at.isoformat(),
                REFUNDS: listing_of(self.refunds),
            },
        )

    @classmethod
    def read(cls, evidence: Evidence, call: RefundCall) -> "Baseline":
        """The baseline that a checkpoint kept.

        Raises:
            InvalidRequestError: it is no baseline, or one of another refund. Nothing was sent.
        """
        data = evidence.data
        status, last, at = data.get("status"), data.get("last_refund"), _time(data.get("at"))
        if (
            evidence.step == BASELINE
            and data.get("transaction_id") == call.transaction_id
            and data.get("amount_minor") == call.amount.amount_minor
            and isinstance(status, str)
            and (last is None or isinstance(last, str))
            and at is not None
        ):
            return cls(call.transaction_id, call.amount.amount_minor, status, last, at)
        rule = "the evidence that this refund's own checkpoint was given"
        raise InvalidRequestError(
            f"The evidence to resume from does not fit: {rule}.", field="resume", rule=rule
        )


def refund_payment(
    api: Api, call: RefundCall, now: datetime, resume: Evidence | None = None
) -> WireCall[RefundSnapshot]:
    """Give money back, once: the recipe of the module's docstring.

    Args:
        resume: the baseline of an earlier attempt whose end is unknown: then the payment is only looked up.

    Returns:
        The refund: PENDING, or what the look-up shows of it.

    Raises:
        NotSentError: the payment could not be looked up first, or another refund of it is under way.
        DeclinedError: bKash refused it, or does not show the payment as collected.
        OutcomeUnknownError: nobody can tell. Resume with the baseline; never refund again.
    """
    if resume is not None:
        found = yield from look_up_refund(api, call, resume, now)
        if found is None:
            raise OutcomeUnknownError(
                "bKash does not show the refund, which proves nothing: it may still come.", step=LOOK_UP
            )
        return found
    shown = yield from ask_payment(api, call.gateway_reference, step=BASELINE)
    baseline = _baseline_of(call, shown, now)
    yield Checkpoint(baseline.evidence())
    answer = yield from ask(
        REFUND,
        api.post(
            api.url(m.PATH_REFUND),
            m.json_body({"paymentId": int(call.gateway_reference), "amount": call.amount}),
            (m.HEADER_REQUEST_ID, request_id(call.operation_id)),
        ),
        step="refund",
        reference=call.gateway_reference,
    )
    if not isinstance(answer, GatewayError):
        return _pending(call, "accepted")
    if answer.effect is not Effect.UNKNOWN:
        raise answer
    after = yield from ask_payment(api, call.gateway_reference, step=LOOK_UP)
    found = _found(after, call, baseline, now) if isinstance(after, m.PaymentAnswer) else None
    if found is not None:
        return found
    raise answer


def look_up_refund(
    api: Api, call: RefundCall, resume: Evidence, now: datetime
) -> WireCall[RefundSnapshot | None]:
    """The refund of this call, if what is shown can be it; None proves nothing. Only reads.

    Raises:
        InvalidRequestError: `resume` is not this refund's baseline.
        GatewayError: the payment could not be looked up.
    """
    baseline = Baseline.read(resume, call)
    shown = yield from ask_payment(api, call.gateway_reference, step=LOOK_UP)
    if not isinstance(shown, m.PaymentAnswer):
        raise shown
    if not _is_of(shown, call):
        raise _of_another()
    return _found(shown, call, baseline, now)


def refunds_of(api: Api, call: RefundCall) -> WireCall[tuple[RefundSnapshot, ...]]:
    """The refund that the payment shows, if it shows a made one. Raises as `look_up_refund`."""
    shown = yield from ask_payment(api, call.gateway_reference, step="refund_status")
    if not isinstance(shown, m.PaymentAnswer):
        raise shown
    if not _is_of(shown, call):
        raise _of_another()
    return _listed(shown)


def request_id(operation_id: str) -> str:
    """Our number of a refund: 32 letters and digits, the same for the same operation, another's for no other."""
    digest = hashlib.sha256(operation_id.encode("utf-8")).digest()
    return base64.b32encode(digest).decode("ascii")[:32]


# ------------------------------------------------------------------------------------------------------ reading


def _baseline_of(call: RefundCall, shown: m.PaymentAnswer | PaymentsError, now: datetime) -> Baseline:
    if not isinstance(shown, m.PaymentAnswer):
        raise NotSentError(
            f"The refund was not sent: the look-up that has to come before it gave no answer ({shown.code}).",
            code=shown.code,
            step=BASELINE,
        )
    status = m.read_status(shown.status)
    if not _is_of(shown, call):
        raise NotSentError(
            "The refund was not sent: the look-up before it was answered about another payment.",
            step=BASELINE,
        )
    if status is m.PaymentStatus.PROCESSING_REFUND:
        raise NotSentError(
            "The refund was not sent: bKash is at another refund of this payment.",
            code="refund_under_way",
            step=BASELINE,
            next_step="Wait until that one is over; then call again with the same operation id.",
        )
    if status not in m.COLLECTED | m.OF_A_REFUND:
        raise DeclinedError(
            "The refund was not sent: bKash does not show the payment as collected.",
            reason=Reason(code=ReasonCode.REFUND_NOT_ALLOWED, gateway_code=shown_word(shown.status)),
            final=False,
            step=BASELINE,
        )
    return Baseline(
        transaction_id=call.transaction_id,
        amount_minor=call.amount.amount_minor,
        status=shown_word(shown.status),
        last_refund=shown.reverse_trx_id or None,
        at=now,
        refunds=_listed(shown),
    )


def _is_of(shown: m.PaymentAnswer, call: RefundCall) -> bool:
    return shown.id == call.gateway_reference and shown.trx_id == call.transaction_id


def _of_another() -> GatewayError:
    return error_of(PAYMENT, Unreadable("it is about another payment", 200), step=LOOK_UP)


def _found(
    shown: m.PaymentAnswer, call: RefundCall, baseline: Baseline, now: datetime
) -> RefundSnapshot | None:
    """What a picture of the payment says of our refund; None where it says nothing."""
    status = m.read_status(shown.status)
    if not _is_of(shown, call) or status not in m.OF_A_REFUND:
        return None
    is_new = bool(shown.reverse_trx_id) and shown.reverse_trx_id != baseline.last_refund
    if status is m.PaymentStatus.PROCESSING_REFUND:
        return _pending(call, shown_word(shown.status))
    if status in _FAILED:
        if not is_new and baseline.status in (shown_word(shown.status), m.PaymentStatus.FAILED_REFUND):
            return None  # of an earlier refund, or bKash's second word about one
        if status in _SURELY_FAILED or now - baseline.at >= SETTLES_AFTER:
            return _snapshot(call, RefundState.DECLINED, shown)
        return _pending(call, shown_word(shown.status))
    if not is_new or shown.reverse_trx_id in call.known_refunds or not is_id(shown.reverse_trx_id):
        return None
    return judge_refund(
        _snapshot(call, RefundState.COMPLETED, shown),
        original_transaction_id=call.transaction_id,
        amount=call.amount,
        amount_always_sent=False,
    )


def _snapshot(call: RefundCall, state: RefundState, shown: m.PaymentAnswer) -> RefundSnapshot:
    return RefundSnapshot(
        state=state,
        transaction_id=shown.reverse_trx_id or "",
        original_transaction_id=call.transaction_id,
        amount=amount_or_none(shown.reverse_trx_amount),
        raw_state=shown_word(shown.status),
        occurred_at=m.read_time(shown.reverse_trx_time),
    )


def _pending(call: RefundCall, word: str) -> RefundSnapshot:
    return RefundSnapshot(
        state=RefundState.PENDING,
        transaction_id="",
        original_transaction_id=call.transaction_id,
        amount=call.amount,
        raw_state=word,
    )


def _listed(shown: m.PaymentAnswer) -> tuple[RefundSnapshot, ...]:
    """The one made refund that a payment shows. Of an earlier one it shows nothing any more."""
    refund, trx_id = shown.reverse_trx_id, shown.trx_id
    if m.read_status(shown.status) not in m.REFUNDED or not is_id(refund) or refund is None or trx_id is None:
        return ()
    return (
        RefundSnapshot(
            state=RefundState.COMPLETED,
            transaction_id=refund,
            original_transaction_id=trx_id,
            amount=amount_or_none(shown.reverse_trx_amount),
            raw_state=shown_word(shown.status),
            occurred_at=m.read_time(shown.reverse_trx_time),
        ),
    )


def _time(value: object) -> datetime | None:
    try:
        told = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return told if told is not None and told.tzinfo is not None else None
