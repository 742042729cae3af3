"""Agreements (a payer's standing consent) as sans-IO generators: create, execute, status, cancel.

Dossier §4.2-4.7 and §5.

No money moves here, but an agreement lets money move later, so its execute is sent once like a payment's: on no
definite answer one look-up. Until it holds, v1.2.0-beta knows it by a paymentID of mode 0000, v2 by its own id: that
is its **reference** here.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from vextrus_payments.errors import DeclinedError, GatewayError, PaymentsError
from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.gateways.bkash.calls import (
    AGREEMENT_CANCEL,
    AGREEMENT_CREATE,
    AGREEMENT_EXECUTE,
    AGREEMENT_STATUS,
)
from vextrus_payments.gateways.bkash.envelope import Call, error_of
from vextrus_payments.gateways.bkash.errors import meaning_of
from vextrus_payments.gateways.bkash.protocol import (
    Created,
    declined_as,
    needs_look_up,
    opened,
    still_open,
)
from vextrus_payments.gateways.bkash.steps import Api, account_of, is_id, put, put_after, time_of
from vextrus_payments.gateways.bodies import shown_word
from vextrus_payments.gateways.readings import Unreadable
from vextrus_payments.meanings import ErrorClass
from vextrus_payments.reasons import ReasonCode
from vextrus_payments.snapshots import AgreementSnapshot, AgreementState
from vextrus_payments.wire import WireCall

ALREADY_CANCELLED: Final = "2053"

_STATES: Final[Mapping[str, AgreementState]] = MappingProxyType(
    {
        "Initiated": AgreementState.INITIATED,
        "Completed": AgreementState.ACTIVE,
        "Cancelled": AgreementState.CANCELLED,
    }
)
#: Of the session in which the payer was to consent, which ends as a payment's does (§4.5): with any end but his
#: consent, nothing holds by it.
_SESSION_STATES: Final[Mapping[str, AgreementState]] = MappingProxyType(
    {**_STATES, **dict.fromkeys(("Failed", "Expired", "Declined"), AgreementState.CANCELLED)}
)


def create_agreement(api: Api, payer_reference: str, callback_url: str) -> WireCall[Created]:
    """Open an agreement for the payer to confirm. Nothing holds before it is executed.

    Raises:
        DeclinedError: bKash refuses the request.
        GatewayError: no usable page came; nothing holds.
    """
    answer = yield from put(api, api.dialect.agreement_create(payer_reference, callback_url))
    if isinstance(answer, GatewayError):
        raise answer
    if answer.agreement_status and answer.agreement_status != "Initiated":
        raise error_of(
            AGREEMENT_CREATE, Unreadable("its agreement is not a new one", 200), step="agreement_create"
        )
    reference = api.dialect.agreement_reference(answer)
    return opened(AGREEMENT_CREATE, reference, answer.bkash_url, api.mode, url_optional=False)


def execute_agreement(api: Api, reference: str) -> WireCall[AgreementSnapshot]:
    """Make the confirmed agreement hold: sent once; on no definite answer one look-up.

    Returns:
        The agreement (ACTIVE), with the id to charge it by.

    Raises:
        DeclinedError: bKash said no; `final` tells whether the payer may still finish.
        OutcomeUnknownError: nobody can tell; query it, never execute again.
    """
    answer = yield from put(api, api.dialect.agreement_execute(reference))
    if isinstance(answer, GatewayError):
        error = answer
    else:
        snapshot = _of_session(api, answer, reference)
        if snapshot is not None and snapshot.state is AgreementState.ACTIVE:
            return snapshot
        why = "it shows neither a success nor a refusal"
        error = error_of(AGREEMENT_EXECUTE, Unreadable(why, 200), step="agreement_execute")
    if not needs_look_up(error):
        raise error
    seen = yield from _look_up(api, reference)
    if seen is not None and seen.state is AgreementState.ACTIVE:
        return seen
    raise _not_executed(error, seen)


def agreement_status(api: Api, agreement_id: str) -> WireCall[AgreementSnapshot]:
    """Look an agreement up by its id. Only reads.

    Raises:
        DeclinedError: bKash refuses the look-up (2051: no such agreement); never final.
        GatewayError: no usable answer.
    """
    answer = yield from put(api, api.dialect.agreement_status(agreement_id))
    return _shown(AGREEMENT_STATUS, answer, agreement_id)


def cancel_agreement(api: Api, agreement_id: str) -> WireCall[AgreementSnapshot]:
    """End an agreement. Ending it twice is the same as once: "already cancelled" is success (§4.7).

    Raises:
        DeclinedError: bKash refuses.
        GatewayError: no usable answer; cancel again or look it up.
    """
    answer = yield from put(api, api.dialect.agreement_cancel(agreement_id))
    if isinstance(answer, DeclinedError) and answer.code == ALREADY_CANCELLED:
        return AgreementSnapshot(
            state=AgreementState.CANCELLED, raw_state=ALREADY_CANCELLED, agreement_id=agreement_id
        )
    snapshot = _shown(AGREEMENT_CANCEL, answer, agreement_id)
    if snapshot.state is not AgreementState.CANCELLED:
        why = "it does not show the agreement as cancelled"
        raise error_of(AGREEMENT_CANCEL, Unreadable(why, 200), step="agreement_cancel")
    return snapshot


def query_agreement(api: Api, reference: str) -> WireCall[AgreementSnapshot]:
    """Look an agreement up by what its create named it (§4.5, §5). Only reads.

    Raises:
        DeclinedError: bKash refuses the look-up; never final, it says nothing about the agreement.
        GatewayError: no usable answer.
    """
    question = api.dialect.agreement_look_up(reference)
    answer = yield from put(api, question)
    if isinstance(answer, GatewayError):
        raise answer
    snapshot = _of_session(api, answer, reference)
    if snapshot is None:
        why = "it does not show the agreement that was asked about"
        raise error_of(question.call, Unreadable(why, 200), step=question.call.operation.value)
    return snapshot


def _look_up(api: Api, reference: str) -> WireCall[AgreementSnapshot | None]:
    question = api.dialect.agreement_look_up(reference)
    answer = yield from put_after(api, question, step="agreement_execute.look_up")
    return None if isinstance(answer, PaymentsError) else _of_session(api, answer, reference)


def _not_executed(error: GatewayError, seen: AgreementSnapshot | None) -> GatewayError:
    """What to raise after the query did not show the agreement as holding."""
    if not isinstance(error, DeclinedError):
        return error
    meaning = meaning_of(AGREEMENT_EXECUTE.operation, error.code)
    settled = seen is not None and seen.state is not AgreementState.UNRECOGNIZED
    if not settled or seen is None or meaning is None or meaning.kind is ErrorClass.DONE:
        return still_open(error, "agreement execute")
    if seen.state is AgreementState.CANCELLED:
        return declined_as(error, ReasonCode.INVALID_AGREEMENT, final=True)
    return declined_as(error, ReasonCode.PAYER_NOT_FINISHED, final=False)


def _of_session(api: Api, answer: m.PaymentAnswer, reference: str) -> AgreementSnapshot | None:
    """The agreement that was asked for under this reference; None where the answer is about something else."""
    if api.dialect.agreement_reference(answer) != reference or not answer.agreement_status:
        return None
    state = _SESSION_STATES.get(answer.agreement_status, AgreementState.UNRECOGNIZED)
    if state is AgreementState.ACTIVE and not is_id(answer.agreement_id):
        return None
    return AgreementSnapshot(
        state=state,
        raw_state=shown_word(answer.agreement_status),
        agreement_id=answer.agreement_id or None,
        gateway_reference=reference,
        payer_account=account_of(answer.payer_account, answer.customer_msisdn),
        payer_reference=answer.payer_reference,
        occurred_at=time_of(answer.agreement_execute_time or answer.agreement_create_time),
    )


def _shown(
    call: Call[m.AgreementAnswer], answer: m.AgreementAnswer | GatewayError, agreement_id: str
) -> AgreementSnapshot:
    if isinstance(answer, GatewayError):
        raise answer
    if answer.agreement_id != agreement_id:
        raise error_of(call, Unreadable("it is about another agreement", 200), step=call.operation.value)
    raw = answer.agreement_status or ""
    times = (answer.agreement_void_time, answer.agreement_execute_time, answer.agreement_create_time)
    return AgreementSnapshot(
        state=_STATES.get(raw, AgreementState.UNRECOGNIZED),
        raw_state=shown_word(raw),
        agreement_id=agreement_id,
        # Its own id binds it. Under which reference it was asked for differs by version, and merchants change theirs.
        gateway_reference=None,
        payer_account=account_of(answer.payer_account, answer.customer_msisdn),
        payer_reference=answer.payer_reference,
        occurred_at=next((moment for moment in map(time_of, times) if moment is not None), None),
    )
