"""Refunds as sans-IO generators: sent once under a number of ours, asked for by SSLCommerz's own (dossier §1.8).

A refund is a GET with parameters, and it moves money. So it is ONCE: nothing repeats it. Its answer means "accepted"
and names a `refund_ref_id`; whether the money went back, the refund query says, and what was accepted may still end
`cancelled`. So an acceptance is PENDING, and the query settles it.

When the answer is lost, the `refund_ref_id` is lost with it, and there is no look-up by our own `refund_trans_id`.
Two third parties say that sending the very same number again is answered by "processing" and refunds nothing more;
that is no proof, and it is not done here. The refund stays unknown until a person reads SSLCommerz's panel.
"""

import base64
import hashlib
from typing import Final

from vextrus_payments.errors import Effect, OutcomeUnknownError
from vextrus_payments.gateways.readings import Unreadable
from vextrus_payments.gateways.sslcommerz import models as m
from vextrus_payments.gateways.sslcommerz.envelope import REFUND, REFUND_QUERY, error_of
from vextrus_payments.gateways.sslcommerz.steps import Api, Failed, ask, is_id, time_of
from vextrus_payments.payment import RefundCall
from vextrus_payments.snapshots import RefundSnapshot, RefundState
from vextrus_payments.wire import WireCall

_STATES: Final = {
    m.RefundStatus.REFUNDED: RefundState.COMPLETED,
    m.RefundStatus.PROCESSING: RefundState.PENDING,
    m.RefundStatus.CANCELLED: RefundState.DECLINED,
    m.RefundStatus.FAILED: RefundState.DECLINED,
}


def refund_number(call: RefundCall) -> str:
    """Our `refund_trans_id`: 26 letters and digits, the same for the same operation on the same payment.

    The payment belongs to it: two shops on one store may name their operations alike, and SSLCommerz would take the
    second one's refund for the first one's.
    """
    named = "\0".join((call.operation_id, call.gateway_reference, call.transaction_id))
    digest = hashlib.sha256(named.encode("utf-8")).digest()[:16]
    return base64.b32encode(digest).decode("ascii").rstrip("=")


def refund_payment(api: Api, call: RefundCall) -> WireCall[RefundSnapshot]:
    """Ask for a refund, once.

    Returns:
        The refund, accepted (PENDING); its `transaction_id` is SSLCommerz's `refund_ref_id`.

    Raises:
        NotSentError: the refund was not sent.
        DeclinedError, AuthenticationRejectedError: SSLCommerz refused it; its sentence is in the error's context.
        OutcomeUnknownError: nobody can tell; never send it again.
    """
    request = api.get(
        m.PATH_QUERY,
        {
            m.BANK_TRAN_ID: call.transaction_id,
            m.REFUND_TRANS_ID: refund_number(call),
            m.REFUND_AMOUNT: call.amount.amount,
            m.REFUND_REMARKS: call.reason,
        },
    )
    answer = yield from ask(api, REFUND, request, step="refund", reference=call.gateway_reference)
    if isinstance(answer, Failed):
        raise answer.error
    refund = answer.refund_ref_id or ""
    why = ""
    if answer.bank_tran_id not in (None, "", call.transaction_id):
        why = "it is about another payment"
    elif not is_id(refund) or refund in call.known_refunds:
        why = "it has no new id of the refund"
    if why:
        raise error_of(REFUND, Unreadable(why, 200), step="refund")
    return RefundSnapshot(
        state=RefundState.PENDING,
        transaction_id=refund,
        original_transaction_id=call.transaction_id,
        amount=call.amount,
        raw_state=api.word(answer.status),
    )


def look_up_refund(api: Api, call: RefundCall, refund_ref_id: str) -> WireCall[RefundSnapshot]:
    """Ask how a refund that was accepted has ended. Only reads.

    The answer names no amount: the refund is of what was asked for, or of nothing (a refund_ref_id is one refund's).

    Raises:
        GatewayError: no usable answer; nothing is known more than before.
    """
    request = api.get(m.PATH_QUERY, {m.REFUND_REF_ID: refund_ref_id})
    answer = yield from ask(api, REFUND_QUERY, request, step="refund_query", reference=call.gateway_reference)
    if isinstance(answer, Failed):
        raise answer.error
    if answer.refund_ref_id not in (None, "", refund_ref_id):
        raise error_of(REFUND_QUERY, Unreadable("it is about another refund", 200), step="refund_query")
    return RefundSnapshot(
        state=_state_of(answer, call),
        transaction_id=refund_ref_id,
        original_transaction_id=call.transaction_id,
        amount=call.amount,
        raw_state=api.word(answer.status),
        occurred_at=time_of(answer.refunded_on),
    )


def _state_of(answer: m.RefundQueryAnswer, call: RefundCall) -> RefundState:
    """A no counts only where the answer is about this payment's refund: an id that SSLCommerz does not know, too, is
    "failed" (§1.8). And money that went back from another payment is none of this one's."""
    try:
        state = _STATES[m.RefundStatus(answer.status or "")]
    except (ValueError, KeyError):
        return RefundState.UNRECOGNIZED
    if answer.bank_tran_id == call.transaction_id:
        return state
    if answer.bank_tran_id or state is RefundState.DECLINED:
        return RefundState.UNRECOGNIZED
    return state


def resumed(api: Api, call: RefundCall) -> WireCall[RefundSnapshot]:
    """An earlier attempt may have sent this refund: ask how it ended, and send nothing.

    Raises:
        OutcomeUnknownError: its acceptance is not known, so there is nothing to ask by.
    """
    if call.accepted_as is not None:
        return (yield from look_up_refund(api, call, call.accepted_as))
    raise OutcomeUnknownError(
        "An earlier attempt may have sent this refund, and SSLCommerz looks refunds up by its own id alone.",
        code="refund_not_seen",
        effect=Effect.UNKNOWN,
        step="refund_query",
        next_step="Read SSLCommerz's panel, then resolve the refund; never send it again.",
    )
