"""Capture and void of an authorization, as sans-IO generators (dossier §4.9); on v1.2.0-beta alone.

Both are sent once. bKash documents "call it again" as the recovery after no answer; here a repeat is answered by a
look-up instead, which moves nothing and tells the same. The look-up also tells a capture that lost against a void
(2119) from one that went through.
"""

from typing import Final

from vextrus_payments.errors import DeclinedError, Effect, GatewayError
from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.gateways.bkash.calls import CAPTURE, VOID
from vextrus_payments.gateways.bkash.envelope import Call, error_of
from vextrus_payments.gateways.bkash.errors import Operation, meaning_of
from vextrus_payments.gateways.bkash.protocol import (
    declined_as,
    judged,
    look_up,
    needs_look_up,
    still_open,
)
from vextrus_payments.gateways.bkash.steps import Api, ask, is_id, money_of, time_of
from vextrus_payments.gateways.bodies import shown_word
from vextrus_payments.gateways.endings import OVER
from vextrus_payments.gateways.front_door import FrontDoor
from vextrus_payments.gateways.readings import Unreadable
from vextrus_payments.gateways.values import UnreadableValueError
from vextrus_payments.meanings import ErrorClass
from vextrus_payments.payment import ExecuteCall
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.snapshots import PaymentSnapshot, SnapshotState
from vextrus_payments.wire import WireCall

VOID_PATHS: Final = (m.PATH_VOID, m.PATH_VOID_ALTERNATIVE)
"""Both spellings that sources give (§16.2), the likelier one first."""
CAPTURED: Final = frozenset({SnapshotState.PAID, SnapshotState.REVIEW})
RELEASED: Final = frozenset({SnapshotState.VOIDED, SnapshotState.CANCELLED})


def capture_payment(api: Api, call: ExecuteCall) -> WireCall[PaymentSnapshot]:
    """Take the held money, all of it: bKash knows no partial capture.

    Returns:
        PAID, or REVIEW.

    Raises:
        DeclinedError: refused, or the hold was voided.
        OutcomeUnknownError: nobody can tell. Look it up; never capture again.
    """
    body = m.PaymentIdBody(paymentID=call.gateway_reference)
    answer = yield from ask(CAPTURE, api.url(m.PATH_CAPTURE), body, reference=call.gateway_reference)
    if not isinstance(answer, GatewayError) and answer.transaction_status == "Completed" and answer.trx_id:
        snapshot = _ended(api, call, answer, SnapshotState.PAID)
        if snapshot is not None:
            return snapshot
    error = _error_of(CAPTURE, answer)
    if not needs_look_up(error):
        raise error
    seen = yield from look_up(api, call, step="capture.look_up")
    if seen is not None and seen.state in CAPTURED:
        return seen
    raise _not_done(CAPTURE, error, seen)


def void_payment(
    api: Api, call: ExecuteCall, paths: tuple[str, ...] = VOID_PATHS
) -> WireCall[tuple[PaymentSnapshot, str]]:
    """Let the held money go. Tries the next path only where the front door knows no such route: nothing was done.

    Returns:
        The snapshot (VOIDED), and the path that exists, to be tried first next time.

    Raises:
        DeclinedError: refused, or the hold was captured.
        OutcomeUnknownError: nobody can tell. Look it up; never void again.
        GatewayError: no path exists (code "wrong_route"); nothing was done.
    """
    body = m.PaymentIdBody(paymentID=call.gateway_reference)
    answer: m.CaptureVoidAnswer | GatewayError | None = None
    path = paths[0]
    for path in paths:
        answer = yield from ask(VOID, api.url(path), body, reference=call.gateway_reference)
        if not (isinstance(answer, GatewayError) and answer.code == FrontDoor.ROUTE.value):
            break
    assert answer is not None
    # One documentation page ends a void in "Completed" (§4.9), which is a capture's word too: the look-up decides.
    if not isinstance(answer, GatewayError) and answer.transaction_status in ("Cancelled", "Voided"):
        snapshot = _ended(api, call, answer, SnapshotState.VOIDED)
        if snapshot is not None:
            return snapshot, path
    error = _error_of(VOID, answer)
    if not needs_look_up(error):
        raise error
    seen = yield from look_up(api, call, step="void.look_up")
    if seen is not None and seen.state in RELEASED:
        return seen, path
    raise _not_done(VOID, error, seen)


def _ended(
    api: Api, call: ExecuteCall, answer: m.CaptureVoidAnswer, state: SnapshotState
) -> PaymentSnapshot | None:
    """The judged picture after a capture or void; None where it is not about this payment.

    The answer need not repeat the amount. There is no partial capture (§4.9), so it is then the whole hold: the
    amount that was judged when the hold was made.
    """
    try:
        amount = money_of(answer.amount, answer.currency)
    except UnreadableValueError:
        return None
    if answer.payment_id != call.gateway_reference:
        return None
    return judged(
        api,
        call,
        PaymentSnapshot(
            state=state,
            gateway_reference=call.gateway_reference,
            raw_state=shown_word(answer.transaction_status),
            gateway_order_id=call.gateway_order_id,  # the answer never names it: the paymentID binds it
            amount=amount or call.amount,
            transaction_id=answer.trx_id if is_id(answer.trx_id) else None,
            occurred_at=time_of(answer.update_time),
        ),
    )


def _error_of(call: Call[m.CaptureVoidAnswer], answer: m.CaptureVoidAnswer | GatewayError) -> GatewayError:
    if isinstance(answer, GatewayError):
        return answer
    why = "it shows neither a success nor a refusal"
    return error_of(call, Unreadable(why, 200), step=call.operation.value)


def _not_done(
    call: Call[m.CaptureVoidAnswer], error: GatewayError, seen: PaymentSnapshot | None
) -> GatewayError:
    """What to raise after the look-up did not show what was asked for."""
    if seen is not None and seen.state in _OTHER_WAY[call.operation]:
        return _went_the_other_way(call, error, seen)
    if not isinstance(error, DeclinedError):
        return error
    meaning = meaning_of(call.operation, error.code)
    if seen is None or meaning is None or meaning.kind is ErrorClass.DONE:
        return still_open(error, call.operation.value)
    if seen.state in OVER:
        return declined_as(error, OVER[seen.state], final=True)
    if seen.state in (SnapshotState.AUTHORIZED, SnapshotState.INITIATED, SnapshotState.APPROVED):
        return declined_as(error, error.reason.code, final=False)
    return still_open(error, call.operation.value)


_OTHER_WAY: Final = {
    Operation.CAPTURE: RELEASED,
    Operation.VOID: frozenset({SnapshotState.PAID}),
}


def _went_the_other_way(
    call: Call[m.CaptureVoidAnswer], error: GatewayError, seen: PaymentSnapshot
) -> DeclinedError:
    """The hold ended, but not by this call: proof that this one did nothing."""
    is_capture = call.operation is Operation.CAPTURE
    reason = ReasonCode.PAYMENT_CANCELLED if is_capture else ReasonCode.INVALID_PAYMENT
    ended = "voided, so nothing was captured" if is_capture else "captured, so it was not voided"
    return DeclinedError(
        f"The hold was {ended}: bKash shows the payment as {seen.raw_state}.",
        reason=Reason(code=reason, gateway_code=error.code),
        final=True,
        code=error.code,
        effect=Effect.REFUSED,
        http_status=error.http_status,
        step=error.step,
        next_step="Look the payment up and go by its state.",
    )
