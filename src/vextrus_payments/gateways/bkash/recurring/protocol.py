"""Subscriptions and what is collected under them, as sans-IO generators (dossier §7).

The payer consents on bKash's page, and from then on bKash collects by itself: nothing here moves money. A create's page
can be visited only by whoever got its address, so a lost answer is simply not used; the next create has a request id of
its own, because bKash never takes one twice (2004).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from vextrus_payments.errors import (
    DeclinedError,
    Effect,
    GatewayError,
    InvalidRequestError,
    UnreadableAnswerError,
)
from vextrus_payments.gateways.bkash.recurring import models as m
from vextrus_payments.gateways.bkash.recurring.envelope import (
    CANCEL,
    CREATE,
    LIST,
    PAYMENTS,
    QUERY,
    SCHEDULE,
    error_of,
)
from vextrus_payments.gateways.bkash.recurring.params import BkashSubscription
from vextrus_payments.gateways.bkash.recurring.steps import (
    Api,
    agreement_of,
    amount_or_none,
    ask,
    ask_payment,
    ending_of,
    is_number,
    payment_of,
)
from vextrus_payments.gateways.readings import Unreadable
from vextrus_payments.judging import ALWAYS_SENT, judge_snapshot
from vextrus_payments.money import Money
from vextrus_payments.payment import StatusCall, check_url
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.snapshots import (
    AgreementSession,
    AgreementSnapshot,
    AgreementState,
    Mismatch,
    PaymentSnapshot,
)
from vextrus_payments.wire import WireCall

_LONGEST_PAGE: Final = timedelta(days=1)
CANCEL_REASON: Final = "Cancelled by the merchant"
#: An older form of the answer does not repeat our request id; the payment id, which is bKash's own, binds it.
_SENT: Final = ALWAYS_SENT - {Mismatch.GATEWAY_ORDER_ID}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A subscription to be asked for."""

    request_id: str
    terms: BkashSubscription
    redirect_url: str
    reference: str
    payer: str | None
    asked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A subscription as bKash shows it, with what the common picture has no place for."""

    agreement: AgreementSnapshot
    amount: Money | None
    frequency: str | None
    start_date: date | None
    expiry_date: date | None
    next_payment_date: date | None
    cancelled_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionPage:
    """One page of the merchant's subscriptions."""

    rows: tuple[Subscription, ...]
    page: int
    total_pages: int | None
    total: int | None


def create(api: Api, wanted: Wanted) -> WireCall[AgreementSession]:
    """Ask for the page on which the payer consents.

    Raises:
        DeclinedError: bKash refuses these terms.
        OutcomeUnknownError: no page came, or the request id was used before; ask again under another one.
    """
    answer = yield from ask(
        CREATE,
        api.post(api.url(m.PATH_CREATE), m.json_body(_fields(api, wanted))),
        reference=wanted.request_id,
    )
    if isinstance(answer, GatewayError):
        raise answer
    if answer.subscription_request_id != wanted.request_id:
        raise error_of(CREATE, Unreadable("it is about another request", 200), step="subscription_create")
    page = answer.redirect_url or ""
    if not _is_page(page):
        raise error_of(CREATE, Unreadable("its page has no usable address", 200), step="subscription_create")
    expires_at = m.read_time(answer.expiration_time)
    if expires_at is None or not wanted.asked_at < expires_at <= wanted.asked_at + _LONGEST_PAGE:
        expires_at = wanted.asked_at + m.CONSENT_LIFE
    return AgreementSession(
        gateway_reference=wanted.request_id, checkout_url=page, expires_at=expires_at.astimezone(UTC)
    )


def _fields(api: Api, wanted: Wanted) -> Mapping[str, object]:
    terms = wanted.terms
    return {
        "subscriptionRequestId": wanted.request_id,
        "serviceId": api.service_id,
        "paymentType": "FIXED",
        "subscriptionType": terms.type.value,
        "amount": terms.amount,
        "firstPaymentAmount": terms.first_payment_amount,
        "firstPaymentIncludedInCycle": terms.first_payment_in_cycle,
        "maxCapRequired": terms.max_cap_amount is not None,
        "maxCapAmount": terms.max_cap_amount,
        "currency": m.CURRENCY,
        "frequency": terms.frequency.value,
        "startDate": terms.start_date.isoformat(),
        "expiryDate": terms.expiry_date.isoformat(),
        "merchantShortCode": api.merchant_short_code,
        "payerType": "CUSTOMER",
        "payer": wanted.payer,
        # The guide spells it one way, the API's own description and the traces the other.
        "redirectURL": wanted.redirect_url,
        "redirectUrl": wanted.redirect_url,
        "subscriptionReference": terms.reference or wanted.reference,
        "extraParams": None,
    }


def _is_page(url: str) -> bool:
    try:
        check_url("redirectURL", url)
    except InvalidRequestError:
        return False
    return True


def query_by_request(api: Api, request_id: str) -> WireCall[AgreementSnapshot]:
    """Look a subscription up by our request id.

    Raises:
        GatewayError: no picture came; it says nothing about the subscription.
    """
    url = api.url(m.PATH_BY_REQUEST, request_id)
    shown = yield from _queried(api, url, request_id)
    if shown.agreement.gateway_reference != request_id:
        raise _of_another()
    return shown.agreement


def query(api: Api, subscription_id: str) -> WireCall[Subscription]:
    """Look a subscription up by bKash's id. Raises as `query_by_request`."""
    shown = yield from _queried(api, api.url(m.PATH_SUBSCRIPTIONS, subscription_id), subscription_id)
    if shown.agreement.agreement_id != subscription_id:
        raise _of_another()
    return shown


def _queried(api: Api, url: str, reference: str) -> WireCall[Subscription]:
    answer = yield from ask(QUERY, api.get(url), reference=reference)
    if isinstance(answer, GatewayError):
        raise answer
    return _subscription(answer)


def _of_another() -> GatewayError:
    return error_of(QUERY, Unreadable("it is about another subscription", 200), step="subscription_query")


def consented(api: Api, request_id: str) -> WireCall[AgreementSnapshot]:
    """Whether the payer has consented: a look, which returns only a subscription that holds.

    Raises:
        DeclinedError: he is not done (not final), or it ended without consent (final).
        GatewayError: no picture came.
    """
    shown = yield from query_by_request(api, request_id)
    if shown.state is AgreementState.ACTIVE:
        return shown
    if shown.state is AgreementState.INITIATED:
        raise DeclinedError(
            "bKash shows the payer as not done with the subscription: nothing holds yet, and nothing moved.",
            reason=Reason(code=ReasonCode.PAYER_NOT_FINISHED, gateway_code=shown.raw_state),
            final=False,
            effect=Effect.REFUSED,
        )
    if shown.state is AgreementState.CANCELLED:
        raise DeclinedError(
            "bKash shows the subscription as over: it was not given, and nothing will be collected.",
            reason=Reason(code=ending_of(shown.raw_state), gateway_code=shown.raw_state),
            final=True,
            effect=Effect.REFUSED,
        )
    raise UnreadableAnswerError(
        "bKash shows the subscription in a state that nobody documented; it proves nothing.",
        effect=Effect.NONE,
        step="subscription_query",
    )


def cancel(api: Api, subscription_id: str, reason: str = CANCEL_REASON) -> WireCall[AgreementSnapshot]:
    """End a subscription; one that has ended already counts as ended.

    Raises:
        GatewayError: what the cancellation came to where a look after it does not show the end.
    """
    answer = yield from ask(
        CANCEL,
        api.delete(api.url(m.PATH_SUBSCRIPTIONS, subscription_id, reason=reason)),
        reference=subscription_id,
    )
    if not isinstance(answer, GatewayError):
        ended = m.read_subscription_status(answer.subscription_status) is m.SubscriptionStatus.CANCELLED
        if ended and answer.subscription_id == subscription_id:
            return AgreementSnapshot(
                state=AgreementState.CANCELLED,
                raw_state=m.SubscriptionStatus.CANCELLED.value,
                agreement_id=subscription_id,
                gateway_reference=answer.subscription_request_id,
                ended_by=ReasonCode.PAYMENT_CANCELLED,
            )
        answer = error_of(CANCEL, Unreadable("it does not show the end", 200), step="subscription_cancel")
    if answer.effect is Effect.NONE:
        raise answer
    shown: Subscription | None = None
    try:
        shown = yield from query(api, subscription_id)
    except GatewayError:
        pass  # the cancellation's own error says more; raised below, outside
    if shown is not None and shown.agreement.state is AgreementState.CANCELLED:
        return shown.agreement
    raise answer


def listed(api: Api, page: int, size: int) -> WireCall[SubscriptionPage]:
    """One page of the merchant's subscriptions, counted from 0. Raises as `query`."""
    answer = yield from ask(LIST, api.get(api.url(m.PATH_SUBSCRIPTIONS, str(page), str(size))))
    if isinstance(answer, GatewayError):
        raise answer
    return SubscriptionPage(
        rows=tuple(_subscription(row) for row in answer.content or ()),
        page=page,
        total_pages=_count(answer.total_pages),
        total=_count(answer.total_elements),
    )


def schedule(api: Api, frequency: m.Frequency, start: date, expiry: date) -> WireCall[tuple[date, ...]]:
    """The days on which bKash would collect. Raises as `query`."""
    asked = {"frequency": frequency.value, "startDate": start.isoformat(), "expiryDate": expiry.isoformat()}
    answer = yield from ask(SCHEDULE, api.get(api.url(m.PATH_SCHEDULE, **asked)))
    if isinstance(answer, GatewayError):
        raise answer
    days = tuple(m.read_date(text) for text in answer.dates or ())
    if any(day is None for day in days):
        raise error_of(SCHEDULE, Unreadable("a day in it is no day", 200), step="subscription_schedule")
    return tuple(day for day in days if day is not None)


def payments(api: Api, subscription_id: str) -> WireCall[tuple[PaymentSnapshot, ...]]:
    """Everything that was, or is to be, collected under a subscription. Raises as `query`.

    What is shown of another subscription is left out.
    """
    answer = yield from ask(
        PAYMENTS, api.get(api.url(m.PATH_PAYMENTS, subscription_id)), reference=subscription_id
    )
    if isinstance(answer, GatewayError):
        raise answer
    return tuple(
        payment_of(row)
        for row in answer.rows or ()
        if is_number(row.id) and row.subscription_id in (None, subscription_id)
    )


def payment(api: Api, call: StatusCall) -> WireCall[PaymentSnapshot]:
    """How one collected payment stands, judged: its id, its subscription and its amount must be ours.

    Raises:
        GatewayError: no picture came; it says nothing about the payment.
    """
    answer = yield from ask_payment(api, call.gateway_reference)
    if not isinstance(answer, m.PaymentAnswer):
        raise answer
    return judge_snapshot(
        payment_of(answer),
        gateway_reference=call.gateway_reference,
        gateway_order_id=call.gateway_order_id,
        amount=call.amount,
        mode=api.mode,
        always_sent=_SENT,
    )


def _subscription(answer: m.SubscriptionAnswer) -> Subscription:
    return Subscription(
        agreement=agreement_of(answer),
        amount=amount_or_none(answer.amount),
        frequency=answer.frequency,
        start_date=m.read_date(answer.start_date),
        expiry_date=m.read_date(answer.expiry_date),
        next_payment_date=m.read_date(answer.next_payment_date),
        cancelled_by=answer.cancelled_by,
    )


def _count(text: str | None) -> int | None:
    return int(text) if is_number(text) and text is not None else None
