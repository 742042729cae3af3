"""Refunds as sans-IO generators: both of bKash's interfaces, and the recipe that refunds once (dossier §4.10, §4.11).

bKash's refund has no idempotency key, and its list of refunds carries nothing of ours: only "it was not there
before" and the amount tell a refund of ours from another. So:

1. read the list of refunds (the baseline); unreadable: refuse, nothing was sent;
2. make the baseline durable (a Checkpoint);
3. send the refund, **once**;
4. on no definite answer read the list again: exactly one entry that is neither in the baseline nor booked already
   (`call.known_refunds`) and has our amount is ours. None, or several: nobody can tell.

An attempt that resumes from a baseline only ever does step 4. One refund at a time per payment (the store sees to
it) is what makes step 4 exact.

On the v1 route refund and refund status are one URL, and the presence of `amount` decides: the body models cannot be
built without one.
"""

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
from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.gateways.bkash.calls import (
    REFUND_STATUS_V1,
    REFUND_STATUS_V2,
    REFUND_V1,
    REFUND_V2,
)
from vextrus_payments.gateways.bkash.envelope import error_of
from vextrus_payments.gateways.bkash.protocol import declined_as, needs_look_up
from vextrus_payments.gateways.bkash.steps import (
    Api,
    RefundApi,
    amount_or_none,
    ask,
    ask_after,
    is_id,
    money_of,
    time_of,
)
from vextrus_payments.gateways.bodies import shown_word
from vextrus_payments.gateways.readings import Unreadable
from vextrus_payments.gateways.values import UnreadableValueError
from vextrus_payments.judging import judge_refund
from vextrus_payments.listings import REFUNDS, listing_of
from vextrus_payments.payment import Evidence, RefundCall
from vextrus_payments.snapshots import RefundSnapshot, RefundState
from vextrus_payments.wire import Checkpoint, WireCall

BASELINE: Final = "refund.baseline"
LOOK_UP: Final = "refund.look_up"
_LISTED_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Baseline:
    """The refunds that were there before ours, and what ours is."""

    transaction_id: str
    amount_minor: int
    api: RefundApi
    listed: frozenset[str]
    refunds: tuple[RefundSnapshot, ...] = ()
    """What was listed, whole, so that what nobody of ours sent can be booked; not read back."""

    def evidence(self) -> Evidence:
        """As the checkpoint keeps it."""
        return Evidence(
            BASELINE,
            {
                "transaction_id": self.transaction_id,
                "amount_minor": self.amount_minor,
                "api": self.api.value,
                "listed": [*sorted(self.listed)],
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
        listed, api = data.get("listed"), data.get("api")
        if (
            evidence.step != BASELINE
            or data.get("transaction_id") != call.transaction_id
            or data.get("amount_minor") != call.amount.amount_minor
            or api not in (RefundApi.V1, RefundApi.V2)
            or not isinstance(listed, list)
            or not all(isinstance(entry, str) for entry in listed)
        ):
            raise InvalidRequestError(
                "The evidence to resume from is not the baseline of this refund.",
                field="resume",
                rule="the evidence that this refund's own checkpoint was given",
            )
        ids = frozenset(str(entry) for entry in listed)
        return cls(call.transaction_id, call.amount.amount_minor, RefundApi(str(api)), ids)


def refund_payment(api: Api, call: RefundCall, resume: Evidence | None = None) -> WireCall[RefundSnapshot]:
    """Give money back, once: the recipe of the module's docstring.

    Args:
        resume: the baseline of an earlier attempt whose end is unknown: then only the list is read.

    Returns:
        The refund (COMPLETED).

    Raises:
        NotSentError, AuthenticationRejectedError, ThrottledError: the refund was not sent.
        DeclinedError: bKash refused it.
        OutcomeUnknownError: nobody can tell. Resume with the baseline; never refund again.
    """
    if resume is not None:
        return (yield from _resumed(api, call, Baseline.read(resume, call)))
    listed = yield from _listed(api.refund_api, api, call, step=BASELINE)
    if isinstance(listed, PaymentsError):
        raise _not_begun(listed)
    baseline = Baseline(
        call.transaction_id,
        call.amount.amount_minor,
        api.refund_api,
        frozenset(entry.transaction_id for entry in listed),
        listed,
    )
    yield Checkpoint(baseline.evidence())
    answer = yield from _sent(api, call)
    if isinstance(answer, RefundSnapshot):
        if (
            answer.state is RefundState.COMPLETED
            and answer.transaction_id not in baseline.listed | call.known_refunds
        ):
            return answer
        spec = REFUND_V1 if api.refund_api is RefundApi.V1 else REFUND_V2
        error = error_of(spec, Unreadable("it does not show this refund as completed", 200), step="refund")
    else:
        error = answer
    if not needs_look_up(error):
        raise error
    found = yield from _found(api, call, baseline)
    if found is not None and found.state is RefundState.COMPLETED:
        return found
    if isinstance(error, DeclinedError):
        # Sent once and refused: whatever was done before, this refund was not.
        raise declined_as(error, error.reason.code, final=error.final)
    raise error


def look_up_refund(api: Api, call: RefundCall, resume: Evidence) -> WireCall[RefundSnapshot | None]:
    """The refund of this call, if exactly one can be it; None proves nothing. Only reads.

    Raises:
        InvalidRequestError: `resume` is not this refund's baseline.
        GatewayError: the list could not be read.
    """
    baseline = Baseline.read(resume, call)
    listed = yield from _listed(baseline.api, api, call, step=LOOK_UP)
    if isinstance(listed, PaymentsError):
        raise listed
    return _ours(listed, call, baseline)


def refund_status(api: Api, call: RefundCall) -> WireCall[tuple[RefundSnapshot, ...]]:
    """Every refund of the payment that bKash shows (on the v1 route: the one it shows). Only reads.

    Raises:
        GatewayError: the list could not be read.
    """
    listed = yield from _listed(api.refund_api, api, call, step="refund_status")
    if isinstance(listed, PaymentsError):
        raise listed
    return listed


def _resumed(api: Api, call: RefundCall, baseline: Baseline) -> WireCall[RefundSnapshot]:
    found = yield from _found(api, call, baseline)
    if found is not None and found.state is RefundState.COMPLETED:
        return found
    raise OutcomeUnknownError(
        "An earlier attempt may have sent this refund, and bKash's list does not show exactly one that can be it.",
        code="refund_not_seen",
        effect=Effect.UNKNOWN,
        step=LOOK_UP,
    )


def _found(api: Api, call: RefundCall, baseline: Baseline) -> WireCall[RefundSnapshot | None]:
    """What the list shows of our refund, through the interface that showed the baseline."""
    listed = yield from _listed(baseline.api, api, call, step=LOOK_UP)
    return None if isinstance(listed, PaymentsError) else _ours(listed, call, baseline)


def _ours(listed: tuple[RefundSnapshot, ...], call: RefundCall, baseline: Baseline) -> RefundSnapshot | None:
    # A list may lag: a refund that is booked already can be missing from the baseline, and is not ours all the same.
    others = baseline.listed | call.known_refunds
    fits = [r for r in listed if r.transaction_id not in others and r.amount == call.amount]
    return fits[0] if len(fits) == 1 else None


def _not_begun(error: PaymentsError) -> PaymentsError:
    """Why the refund was not sent, after its baseline could not be read."""
    if not isinstance(error, GatewayError) or isinstance(
        error, NotSentError | AuthenticationRejectedError | ThrottledError
    ):
        return error
    return NotSentError(
        "The refund was not sent, because bKash's list of the refunds before it could not be read.",
        code=error.code,
        http_status=error.http_status,
        step=BASELINE,
        next_step="Nothing was refunded; look at the code, then try again.",
        context={**error.context, "cause_type": type(error).__name__},
    )


# ------------------------------------------------------------------------------------------------ the requests


def _sent(api: Api, call: RefundCall) -> WireCall[RefundSnapshot | GatewayError]:
    """The refund itself: its judged picture, or the error that stands for its answer."""
    if api.refund_api is RefundApi.V1:
        return (yield from _sent_v1(api, call))
    body = m.RefundV2Body(
        paymentId=call.gateway_reference,
        trxId=call.transaction_id,
        refundAmount=call.amount.amount,
        sku=call.sku,
        reason=call.reason,
    )
    answer = yield from ask(
        REFUND_V2, api.host_url(m.HOST_PATH_REFUND_V2), body, reference=call.gateway_reference
    )
    if isinstance(answer, GatewayError):
        return answer
    return _judged(
        RefundSnapshot(
            state=_state(answer.refund_transaction_status),
            transaction_id=_id_of(answer.refund_trx_id),
            original_transaction_id=answer.original_trx_id or "",
            amount=amount_or_none(answer.refund_amount, answer.currency),
            raw_state=shown_word(answer.refund_transaction_status),
            occurred_at=time_of(answer.completed_time),
        ),
        call,
    )


def _sent_v1(api: Api, call: RefundCall) -> WireCall[RefundSnapshot | GatewayError]:
    body = m.RefundV1Body(
        paymentID=call.gateway_reference,
        trxID=call.transaction_id,
        amount=call.amount.amount,
        sku=call.sku,
        reason=call.reason,
    )
    answer = yield from ask(REFUND_V1, api.url(m.PATH_REFUND_V1), body, reference=call.gateway_reference)
    if isinstance(answer, GatewayError):
        return answer
    return _judged(
        RefundSnapshot(
            state=_state(answer.transaction_status),
            transaction_id=_id_of(answer.refund_trx_id),
            original_transaction_id=answer.original_trx_id or "",
            amount=amount_or_none(answer.amount, answer.currency),
            raw_state=shown_word(answer.transaction_status),
            charge=amount_or_none(answer.charge, answer.currency),
            occurred_at=time_of(answer.completed_time),
        ),
        call,
    )


def _id_of(text: str | None) -> str:
    """The refund's id; empty where it is none that an id can be, which proves no refund."""
    return text if text is not None and is_id(text) else ""


def _judged(snapshot: RefundSnapshot, call: RefundCall) -> RefundSnapshot:
    return judge_refund(snapshot, original_transaction_id=call.transaction_id, amount=call.amount)


def _state(raw: str | None) -> RefundState:
    """Only "Completed" is documented; anything else proves nothing."""
    return RefundState.COMPLETED if raw == "Completed" else RefundState.UNRECOGNIZED


# ---------------------------------------------------------------------------------------------------- the list


def _listed(
    which: RefundApi, api: Api, call: RefundCall, *, step: str
) -> WireCall[tuple[RefundSnapshot, ...] | PaymentsError]:
    """The refunds that bKash shows; an error, as a value, where they cannot be read to the last one."""
    answer: m.RefundStatusV2Answer | PaymentsError
    spec = REFUND_STATUS_V1 if which is RefundApi.V1 else REFUND_STATUS_V2
    if which is RefundApi.V1:
        v1_body = m.RefundStatusV1Body(paymentID=call.gateway_reference, trxID=call.transaction_id)
        answer = yield from ask_after(
            REFUND_STATUS_V1,
            api.url(m.PATH_REFUND_V1),
            v1_body,
            step=step,
            reference=call.gateway_reference,
        )
    else:
        v2_body = m.RefundStatusV2Body(paymentId=call.gateway_reference, trxId=call.transaction_id)
        answer = yield from ask_after(
            REFUND_STATUS_V2,
            api.host_url(m.HOST_PATH_REFUND_STATUS_V2),
            v2_body,
            step=step,
            reference=call.gateway_reference,
        )
    if isinstance(answer, PaymentsError):
        return answer
    try:
        return _entries(answer, call)
    except UnreadableValueError as error:
        why = str(error)
    return error_of(spec, Unreadable(why, 200), step=step)


def _entries(answer: m.RefundStatusV2Answer, call: RefundCall) -> tuple[RefundSnapshot, ...]:
    """Every entry, or UnreadableValueError: a list with a hole in it must not license a second refund."""
    if answer.original_trx_id and answer.original_trx_id != call.transaction_id:
        raise UnreadableValueError("it lists another transaction's refunds")
    found = list(answer.refund_transactions or ())
    if answer.refund_list_unreadable or len(found) > _LISTED_MAX:
        raise UnreadableValueError("its list of refunds cannot be read")
    currency = None
    charge = None
    if isinstance(answer, m.RefundStatusV1Answer):
        currency, charge = answer.currency, amount_or_none(answer.charge, answer.currency)
        if answer.refund_trx_id:
            found.append(
                m.RefundTransaction(
                    refund_trx_id=answer.refund_trx_id,
                    refund_transaction_status=answer.transaction_status,
                    refund_amount=answer.amount,
                    completed_time=answer.completed_time,
                )
            )
    entries: dict[str, RefundSnapshot] = {}
    for one in found:
        amount = money_of(one.refund_amount, currency)
        if not is_id(one.refund_trx_id) or one.refund_trx_id is None or amount is None:
            raise UnreadableValueError("an entry of its list has no id or no amount")
        if one.refund_trx_id in entries and entries[one.refund_trx_id].amount != amount:
            raise UnreadableValueError("its list shows one refund with two amounts")
        entries[one.refund_trx_id] = RefundSnapshot(
            state=_state(one.refund_transaction_status),
            transaction_id=one.refund_trx_id,
            original_transaction_id=call.transaction_id,
            amount=amount,
            raw_state=shown_word(one.refund_transaction_status),
            charge=charge,
            occurred_at=time_of(one.completed_time),
        )
    return tuple(entries.values())
