"""Refunds as a sans-IO generator: the recipe that refunds once (dossier §8).

Nagad's purchase/cancel knows no idempotency key, and its verify shows of all refunds of a payment the last one's id at
most, neither its amount nor anything of ours. So:

1. verify the payment (the baseline): it must be the paid one, and it tells the order id, the amount and the day of the
   original request, all of which a refund has to repeat. Unreadable: refuse, nothing was sent;
2. make the baseline durable (a Checkpoint);
3. send the refund, **once**;
4. believe its answer only when it is sealed by Nagad and repeats our amount and our reference number. On anything
   else verify again: a refund id that was not there before, beside a status that fits ours, is ours. Otherwise nobody
   can tell.

An attempt that resumes from a baseline only ever does step 4. One refund at a time per payment (the store sees to it)
is what makes step 4 exact; somebody who refunds the same payment in Nagad's portal at that very moment is taken for us.
"""

import base64
import hashlib
from dataclasses import dataclass
from typing import Final

from vextrus_payments.errors import (
    AuthenticationRejectedError,
    DeclinedError,
    Effect,
    GatewayError,
    InvalidRequestError,
    NotSentError,
    OutcomeUnknownError,
    PaymentsError,
    ThrottledError,
)
from vextrus_payments.gateways.bodies import UnreadableBodyError, shown_word
from vextrus_payments.gateways.nagad import models as m
from vextrus_payments.gateways.nagad.crypto import BrokenSealError
from vextrus_payments.gateways.nagad.envelope import REFUND, VERIFY, error_of
from vextrus_payments.gateways.nagad.steps import Api, Failed, ask, is_id, money_of, time_of, verify
from vextrus_payments.gateways.readings import Unreadable
from vextrus_payments.gateways.values import UnreadableValueError
from vextrus_payments.listings import GIVEN_BACK
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence, RefundCall
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.snapshots import RefundSnapshot, RefundState
from vextrus_payments.wire import Checkpoint, WireCall

BASELINE: Final = "refund.baseline"
LOOK_UP: Final = "refund.look_up"
REFERENCE_CHARACTERS: Final = 20
_WHOLE: Final = frozenset({m.Status.CANCELLED, m.Status.REFUNDED})
_PART: Final = frozenset({m.Status.PARTIAL_CANCELLED, m.Status.PARTIAL_REFUNDED})
_NOT_SENT: Final = (NotSentError, AuthenticationRejectedError, ThrottledError)


@dataclass(frozen=True, slots=True)
class Baseline:
    """The payment before our refund, and what ours is."""

    transaction_id: str
    amount_minor: int
    order_id: str
    original_minor: int
    requested_on: str
    """The day of the original request in Dhaka, `yyyyMMdd`."""
    in_part: bool
    """Some of it had gone back before."""
    last_refund: str | None
    """The id of the refund shown last, if any."""
    whole: bool = False
    """All of it had gone back before: there is nothing to refund."""

    def evidence(self) -> Evidence:
        """As the checkpoint keeps it."""
        return Evidence(
            BASELINE,
            {
                "transaction_id": self.transaction_id,
                "amount_minor": self.amount_minor,
                "order_id": self.order_id,
                "original_minor": self.original_minor,
                "requested_on": self.requested_on,
                "in_part": self.in_part,
                "last_refund": self.last_refund,
                GIVEN_BACK: self.in_part or self.whole or self.last_refund is not None,
            },
        )

    @classmethod
    def read(cls, evidence: Evidence, call: RefundCall) -> "Baseline":
        """The baseline that a checkpoint kept.

        Raises:
            InvalidRequestError: it is no baseline, or one of another refund. Nothing was sent.
        """
        data = evidence.data
        order_id, original, day = data.get("order_id"), data.get("original_minor"), data.get("requested_on")
        in_part, last = data.get("in_part"), data.get("last_refund")
        if (
            evidence.step != BASELINE
            or data.get("transaction_id") != call.transaction_id
            or data.get("amount_minor") != call.amount.amount_minor
            or not isinstance(order_id, str)
            or not isinstance(original, int)
            or not isinstance(day, str)
            or not isinstance(in_part, bool)
            or not (last is None or isinstance(last, str))
        ):
            rule = "the evidence that this refund's own checkpoint was given"
            raise InvalidRequestError(
                f"The evidence to resume from does not fit: {rule}.", field="resume", rule=rule
            )
        return cls(call.transaction_id, call.amount.amount_minor, order_id, original, day, in_part, last)

    @property
    def original(self) -> Money:
        """The payment's amount."""
        return Money.from_minor(self.original_minor, m.CURRENCY)


def refund_payment(api: Api, call: RefundCall, resume: Evidence | None = None) -> WireCall[RefundSnapshot]:
    """Give money back, once: the recipe of the module's docstring.

    Args:
        resume: the baseline of an earlier attempt whose end is unknown: then the payment is only verified.

    Returns:
        The refund (COMPLETED).

    Raises:
        InvalidRequestError: with this payment's own amounts the reason does not fit; the refund was not sent.
        NotSentError, AuthenticationRejectedError, ThrottledError: the refund was not sent.
        DeclinedError: Nagad refused it, or does not show the payment as refundable.
        OutcomeUnknownError: nobody can tell. Resume with the baseline; never refund again.
    """
    if resume is not None:
        return (yield from _resumed(api, call, Baseline.read(resume, call)))
    shown = yield from verify(api, call.gateway_reference, step=BASELINE)
    if isinstance(shown, Failed):
        raise _not_begun(shown.error)
    baseline = _baseline_of(api, call, shown)
    text = text_of(api, call, baseline.original, baseline.requested_on).to_json()
    check_room(text, api.seal.room_bytes, call.reason)
    yield Checkpoint(baseline.evidence())
    if baseline.whole:
        raise _not_refundable(shown)
    error = yield from _sent(api, call, baseline, text)
    if isinstance(error, RefundSnapshot):
        return error
    open_end = error.effect is Effect.UNKNOWN or (isinstance(error, DeclinedError) and error.look_up_first)
    if not open_end:
        raise error
    found = yield from _found(api, call, baseline)
    if isinstance(found, RefundSnapshot):
        return found
    if isinstance(found, PaymentsError) and error.effect is not Effect.UNKNOWN:
        raise OutcomeUnknownError(
            f"Nagad answered the refund with code {error.code}, which may speak of what this very refund has done, and "
            f"the look-up after it gave no answer ({found.code}).",
            code=error.code,
            effect=Effect.UNKNOWN,
            http_status=error.http_status,
            step=LOOK_UP,
        )
    raise error


def look_up_refund(api: Api, call: RefundCall, resume: Evidence) -> WireCall[RefundSnapshot | None]:
    """The refund of this call, if what is shown can be it; None proves nothing. Only reads.

    Raises:
        InvalidRequestError: `resume` is not this refund's baseline.
        GatewayError: the payment could not be verified.
    """
    found = yield from _found(api, call, Baseline.read(resume, call))
    if isinstance(found, PaymentsError):
        raise found
    return found


# ---------------------------------------------------------------------------------------------------- what is sent


def reference_no(operation_id: str) -> str:
    """Our number of a refund: 20 letters and digits, the same for the same operation."""
    digest = hashlib.sha256(operation_id.encode("utf-8")).digest()
    return base64.b32encode(digest).decode("ascii")[:REFERENCE_CHARACTERS]


def text_of(api: Api, call: RefundCall, original: Money, requested_on: str) -> m.CancelText:
    """The sealed text of a refund."""
    return m.CancelText(
        merchantId=api.merchant_id,
        originalRequestDate=requested_on,
        originalAmount=original.amount,
        cancelAmount=call.amount.amount,
        referenceNo=reference_no(call.operation_id),
        referenceMessage=call.reason,
    )


def check_room(text: bytes, room_bytes: int, reason: str) -> None:
    """Refuse a text that does not fit into one block: nothing longer can be sealed (§8, §11).

    Raises:
        InvalidRequestError: by how many bytes the reason is too long. A letter of Bangla is three bytes.
    """
    over = len(text) - room_bytes
    if over <= 0:
        return
    size = len(reason.encode("utf-8"))
    rule = f"at most {max(size - over, 0)} bytes of UTF-8 for this refund"
    raise InvalidRequestError(
        f"The refund's reason has {size} bytes, and Nagad's message has room for {max(size - over, 0)}; "
        "the refund was not sent.",
        field="reason",
        rule=rule,
    )


def _sent(
    api: Api, call: RefundCall, baseline: Baseline, text: bytes
) -> WireCall[RefundSnapshot | GatewayError]:
    """The refund itself: its picture where the answer proves it, else the error that stands for the answer."""
    sealed = api.seal.seal(text)
    body = m.CancelBody(sensitiveDataCancelRequest=sealed.sensitive_data, signature=sealed.signature)
    reference = call.gateway_reference.replace("=", "%3D")
    url = api.url(m.PATH_CANCEL) + f"?paymentRefId={reference}&orderId={baseline.order_id}"
    answer = yield from ask(
        REFUND, api.post(url, body, api.headers()), step="refund", reference=call.gateway_reference
    )
    if isinstance(answer, Failed):
        if isinstance(answer.error, GatewayError):
            return answer.error
        raise answer.error
    said = _opened(api, answer)
    if isinstance(said, str):
        return error_of(REFUND, Unreadable(said, 200), step="refund")
    wrong = _wrong_in(said, call, baseline)
    if wrong:
        return error_of(REFUND, Unreadable(wrong, 200), step="refund")
    return _completed(call, said.cancel_trx_id or "", said.status)


def _opened(api: Api, answer: m.SealedAnswer) -> m.CancelAnswerText | str:
    try:
        return m.CancelAnswerText.from_json(api.seal.open(answer.sensitive_data, answer.signature))
    except BrokenSealError:
        return "its seal is not Nagad's"
    except (UnreadableBodyError, ValueError):
        return "its sealed text is no answer"


def _wrong_in(said: m.CancelAnswerText, call: RefundCall, baseline: Baseline) -> str:
    """Why the answer does not prove our refund. A sealed answer to another refund is a true answer, too."""
    if m.read_status(said.status) not in _WHOLE | _PART:
        return "it does not show the refund as done"
    if said.reference_no != reference_no(call.operation_id):
        return "it does not repeat our reference number"
    try:
        amounts = money_of(said.cancel_amount), money_of(said.original_amount)
    except UnreadableValueError:
        return "its amounts are no amounts"
    if amounts[0] not in (None, call.amount) or amounts[1] not in (None, baseline.original):
        return "it names another amount"
    refund = said.cancel_trx_id
    if not is_id(refund) or refund == baseline.last_refund or refund in call.known_refunds:
        return "it has no new id of the refund"
    return ""


def _completed(
    call: RefundCall, transaction_id: str, status: str | None, at: str | None = None
) -> RefundSnapshot:
    return RefundSnapshot(
        state=RefundState.COMPLETED,
        transaction_id=transaction_id,
        original_transaction_id=call.transaction_id,
        amount=call.amount,
        raw_state=shown_word(status),
        occurred_at=time_of(at),
    )


# ------------------------------------------------------------------------------------------------------- looking


def _baseline_of(api: Api, call: RefundCall, shown: m.VerifyAnswer) -> Baseline:
    """The payment as it is before our refund.

    Raises:
        DeclinedError: there is nothing of it to give back.
        NotSentError: it is not the payment that was asked for, or lacks what a refund has to repeat.
    """
    status = m.read_status(shown.status)
    why = ""
    original: Money | None = None
    try:
        original = money_of(shown.amount)
    except UnreadableValueError:
        why = "its amount is no amount"
    requested_at = time_of(shown.order_date_time) or time_of(shown.issuer_payment_date_time)
    order_id = shown.order_id or ""
    if (shown.merchant_id, shown.payment_ref_id) != (api.merchant_id, call.gateway_reference):
        why = "it is another payment"
    elif status is m.Status.SUCCESS or status in _PART | _WHOLE:
        if shown.issuer_payment_ref_no != call.transaction_id:
            why = "it has another transaction id than the receipt"
        elif not order_id.isascii() or not order_id.isalnum():
            why = "it has no order id"
    if why or original is None or requested_at is None:
        raise NotSentError(
            f"The refund was not sent, because Nagad's picture of the payment does not fit: "
            f"{why or 'it has no amount or no date'}.",
            code="baseline_unfit",
            step=BASELINE,
            next_step="Look at the payment in Nagad's portal.",
        )
    if status is not m.Status.SUCCESS and status not in _PART | _WHOLE:
        raise _not_refundable(shown)
    return Baseline(
        transaction_id=call.transaction_id,
        amount_minor=call.amount.amount_minor,
        order_id=order_id,
        original_minor=original.amount_minor,
        requested_on=f"{m.day_in_dhaka(requested_at):%Y%m%d}",
        in_part=status in _PART,
        last_refund=shown.cancel_issuer_ref_no,
        whole=status in _WHOLE,
    )


def _not_refundable(shown: m.VerifyAnswer) -> DeclinedError:
    return DeclinedError(
        f"Nagad shows the payment as {shown_word(shown.status)}: there is nothing to give back. Nothing was sent.",
        reason=Reason(code=ReasonCode.REFUND_NOT_ALLOWED, gateway_code=shown_word(shown.status)),
        final=m.read_status(shown.status) in _WHOLE,
        effect=Effect.NONE,
        code="not_refundable",
        step=BASELINE,
    )


def _found(api: Api, call: RefundCall, baseline: Baseline) -> WireCall[RefundSnapshot | PaymentsError | None]:
    """What verify shows of our refund; None where it shows none that can be ours."""
    shown = yield from verify(api, call.gateway_reference, step=LOOK_UP)
    if isinstance(shown, Failed):
        return shown.error
    if (shown.merchant_id, shown.payment_ref_id) != (api.merchant_id, call.gateway_reference):
        return error_of(VERIFY, Unreadable("it is about another payment", 200), step=LOOK_UP)
    refund, status = shown.cancel_issuer_ref_no, m.read_status(shown.status)
    if refund is None or not is_id(refund) or refund == baseline.last_refund or refund in call.known_refunds:
        return None
    whole = call.amount == baseline.original
    # All of it in one refund shows as all of it; a part of a payment that was whole shows as a part.
    fits = status in _WHOLE if whole else status in _PART or (baseline.in_part and status in _WHOLE)
    return _completed(call, refund, shown.status, shown.cancel_issuer_date_time) if fits else None


def _resumed(api: Api, call: RefundCall, baseline: Baseline) -> WireCall[RefundSnapshot]:
    found = yield from _found(api, call, baseline)
    if isinstance(found, RefundSnapshot):
        return found
    raise OutcomeUnknownError(
        "An earlier attempt may have sent this refund, and Nagad does not show one that can be it.",
        code="refund_not_seen",
        effect=Effect.UNKNOWN,
        step=LOOK_UP,
    )


def _not_begun(error: PaymentsError) -> PaymentsError:
    """Why the refund was not sent, after its baseline could not be read."""
    if not isinstance(error, GatewayError) or isinstance(error, _NOT_SENT):
        return error
    return NotSentError(
        "The refund was not sent, because the payment could not be verified before it.",
        code=error.code,
        http_status=error.http_status,
        step=BASELINE,
        next_step="Nothing was refunded; look at the code, then try again.",
        context={**error.context, "cause_type": type(error).__name__},
    )
