"""Plan functions for what only a subscription has: several pages that hold by the payer's last click, and collections
by the gateway itself."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from pydantic import JsonValue

from vextrus_payments.consent_change import Change, new_operation
from vextrus_payments.consent_pages import (
    PAGES_OVER,
    asking,
    beside_key_of,
    cancel_id,
    execute_id,
    found_id,
    pages_over,
)
from vextrus_payments.events import EventKind
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence, digest_of
from vextrus_payments.plans import AgreementPlan
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.records import AGREEMENT_TERMS, Agreement, AgreementLife, OperationState
from vextrus_payments.snapshots import AgreementSnapshot, AgreementState
from vextrus_payments.states import claim_is_over

_WAITING: Final = frozenset({AgreementLife.CREATED, AgreementLife.AWAITING_PAYER, AgreementLife.CLOSED})


def plan_consent_elsewhere(
    agreement: Agreement, snapshot: AgreementSnapshot, now: datetime
) -> AgreementPlan | None:
    """The payer consented on a page whose address never reached us: it is that one which holds from now on."""
    waiting = agreement.state in _WAITING
    if snapshot.state is not AgreementState.ACTIVE or not waiting or agreement.terms is None:
        return None
    if snapshot.agreement_id is None:
        return None
    change = Change(agreement, now)
    own = (execute_id(agreement.agreement_key), cancel_id(agreement.agreement_key))
    for operation in agreement.operations:
        if operation.operation_id not in own and operation.state is OperationState.RESERVED:
            change.to(operation, OperationState.CANCELLED)  # there is nothing to ask for any more
    change.agreement = replace(change.agreement, gateway_reference=snapshot.gateway_reference)
    change.holds(snapshot, agreement.operation(execute_id(agreement.agreement_key)))
    return change.plan()


def plan_consent_beside(
    agreement: Agreement, snapshot: AgreementSnapshot, now: datetime
) -> AgreementPlan | None:
    """The payer consented a second time, on another page of an agreement that holds, or held: it is written beside it.

    An agreement of its own, so that it is listed, announced, read and ended like any other. Its key is made from the
    page's id: whoever finds it first writes it, and there is one.
    """
    page, had = snapshot.gateway_reference, agreement.state in (AgreementLife.ACTIVE, AgreementLife.ENDED)
    if snapshot.state is not AgreementState.ACTIVE or snapshot.agreement_id is None or not had:
        return None
    key = None if page is None or page == agreement.gateway_reference else beside_key_of(page)
    if key is None or snapshot.agreement_id == agreement.agreement_id or agreement.terms is None:
        return None
    found = replace(
        agreement,
        agreement_key=key,
        state=AgreementLife.ACTIVE,
        created_at=now,
        updated_at=now,
        version=0,
        operations=(),
        gateway_reference=page,
        checkout_url=None,
        expires_at=None,
        agreement_id=snapshot.agreement_id,
        payer_account=snapshot.payer_account,
        outbox_seq=0,
    )
    operation = new_operation(found, found_id(key), digest_of(found_id(key)), now)
    kept: dict[str, JsonValue] = {
        "terms": dict(agreement.terms),
        "merchant_reference": agreement.merchant_reference,
        "beside": agreement.agreement_key,
    }
    evidence = (Evidence(AGREEMENT_TERMS, kept),)
    change = Change(found, now)
    change.put(replace(operation, state=OperationState.SUCCEEDED, evidence=evidence))
    change.announce(EventKind.AGREEMENT_DUPLICATE, None, None)
    return change.plan()


def plan_left_behind(agreement: Agreement, settle_s: int, now: datetime) -> AgreementPlan | None:
    """What a dead process left under its claim, once the subscription no longer waits: nothing is asked for any more.

    Asking for a page and looking whether it was consented on move nothing, so nothing has to be found out about them.
    """
    if agreement.terms is None or agreement.state in (AgreementLife.CREATED, AgreementLife.AWAITING_PAYER):
        return None
    key, holds = agreement.agreement_key, agreement.state is AgreementLife.ACTIVE
    kept = (cancel_id(key), found_id(key), *((execute_id(key),) if holds else ()))
    change = Change(agreement, now)
    for operation in agreement.operations:
        if operation.operation_id in kept:
            continue
        if operation.state is OperationState.SUBMITTING and claim_is_over(operation, settle_s, now):
            change.to(operation, OperationState.RESERVED)
            left = change.agreement.operation(operation.operation_id)
            assert left is not None, "it was put there a moment ago"
            change.to(left, OperationState.CANCELLED)
        elif operation.state is OperationState.RESERVED:
            change.to(operation, OperationState.CANCELLED)
        elif operation.state is OperationState.UNKNOWN:
            change.to(operation, OperationState.DECLINED, reason=Reason(code=ReasonCode.INVALID_AGREEMENT))
    return change.plan() if change.changed else None


def plan_pages_over(agreement: Agreement, fence: int, now: datetime) -> AgreementPlan | None:
    """Every page up to this fence was asked about once all of them were over: they need no further question."""
    asked = asking(agreement)
    if asked is None or fence <= pages_over(asked):
        return None
    older = tuple(one for one in asked.evidence if one.step != PAGES_OVER)
    evidence = (*older, Evidence(PAGES_OVER, {"fence": fence}))
    return Change(agreement, now).put(replace(asked, evidence=evidence)).plan()


def plan_collection_failed(
    agreement: Agreement, event_id: str, amount: Money | None, raw_state: str, now: datetime
) -> AgreementPlan:
    """The gateway tried to collect and got nothing: news, and nothing else. `event_id` makes it one piece of news."""
    change = Change(agreement, now)
    change.announce(
        EventKind.COLLECTION_FAILED, agreement.state, None, amount=amount, after=raw_state, seed=event_id
    )
    return change.plan()
