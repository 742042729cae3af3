"""What the recurring platform's protocols stand on: where it is, how one question is asked, how its words are read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeVar
from urllib.parse import quote, urlencode

from vextrus_payments.errors import GatewayError, PaymentsError
from vextrus_payments.events import collected_order_id
from vextrus_payments.gateways.asking import sent, whatever
from vextrus_payments.gateways.bkash.recurring import models as m
from vextrus_payments.gateways.bkash.recurring.envelope import PAYMENT, Call, error_of, read
from vextrus_payments.gateways.bodies import shown_word
from vextrus_payments.gateways.readings import Accepted
from vextrus_payments.gateways.values import money_or_none
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.reasons import ReasonCode
from vextrus_payments.snapshots import AgreementSnapshot, AgreementState, PaymentSnapshot, SnapshotState
from vextrus_payments.wire import Send, WireCall, WireRequest

A = TypeVar("A", bound=m.Answer)

_ID: Final = re.compile(r"[!-~]{1,255}", re.ASCII)
_MSISDN: Final = re.compile(r"(?:\+?88)?(01[0-9]{9})", re.ASCII)
_HEADERS: Final = (("Accept", "application/json"), ("Content-Type", "application/json"))
"""On every call, as the guide wants them; the API key and the time are put in front by the gateway."""


@dataclass(frozen=True, slots=True)
class Api:
    """Where a merchant's recurring platform is and who he is there. `root` ends in /gateway."""

    root: str
    mode: Mode
    service_id: int | None = None
    merchant_short_code: str | None = None

    def url(self, path: str, *parts: str, **query: str) -> str:
        """The address of a route."""
        whole = "".join((self.root, path, *("/" + quote(part, safe="") for part in parts)))
        return f"{whole}?{urlencode(query)}" if query else whole

    def get(self, url: str) -> WireRequest:
        """A question."""
        return WireRequest("GET", url, _HEADERS)

    def delete(self, url: str) -> WireRequest:
        """An end."""
        return WireRequest("DELETE", url, _HEADERS)

    def post(self, url: str, body: bytes, *headers: tuple[str, str]) -> WireRequest:
        """A request with a JSON body."""
        return WireRequest("POST", url, (*headers, *_HEADERS), body)


def ask(
    call: Call[A], request: WireRequest, *, step: str = "", reference: str | None = None
) -> WireCall[A | GatewayError]:
    """Send one request and give its answer, or the error that stands for it, as a value: see asking.py."""
    response = yield from sent(
        Send(
            request=request,
            operation=call.operation.value,
            safety=call.safety,
            step=step,
            reference=reference,
        )
    )
    if isinstance(response, GatewayError):
        return response
    reading = read(call, response)
    if isinstance(reading, Accepted):
        return reading.answer
    return error_of(call, reading, step=step or call.operation.value)


def ask_payment(api: Api, payment_id: str, *, step: str = "") -> WireCall[m.PaymentAnswer | PaymentsError]:
    """Ask how one collected payment stands. Only reads; whatever stops it becomes a value."""
    request = api.get(api.url(m.PATH_PAYMENT, payment_id))
    return (yield from whatever(ask(PAYMENT, request, step=step, reference=payment_id)))


# ---------------------------------------------------------------------------------------- reading the platform's words


def amount_or_none(text: str | None) -> Money | None:
    """The exact amount of a JSON number's text ("51.00", "50", "2.5"), BDT; one that cannot be read exactly counts as
    not told: beside money that is a contradiction."""
    return money_or_none(text, m.CURRENCY)


def is_id(text: str | None) -> bool:
    """True for what can be an id of a transaction: visible ASCII, not too long."""
    return bool(text and _ID.fullmatch(text))


def is_number(text: str | None) -> bool:
    """True for what can be bKash's number of a subscription or a payment."""
    return bool(text and m.NUMBER.fullmatch(text))


def account_of(text: str | None) -> str | None:
    """The payer's wallet, always as 01XXXXXXXXX."""
    found = _MSISDN.fullmatch(text) if text else None
    return found[1] if found else None


_STATES: Final[Mapping[m.PaymentStatus, SnapshotState]] = MappingProxyType(
    {
        m.PaymentStatus.INITIALIZED: SnapshotState.INITIATED,
        m.PaymentStatus.PROCESSING_PAYMENT: SnapshotState.APPROVED,
        **dict.fromkeys(m.COLLECTED, SnapshotState.PAID),
        # What goes back had come before.
        **dict.fromkeys(m.OF_A_REFUND, SnapshotState.PAID),
        **dict.fromkeys(m.NOT_COLLECTED, SnapshotState.DECLINED),
    }
)
_SUBSCRIPTIONS: Final[Mapping[m.SubscriptionStatus, AgreementState]] = MappingProxyType(
    {
        m.SubscriptionStatus.INITIALIZED: AgreementState.INITIATED,
        m.SubscriptionStatus.VERIFIED: AgreementState.INITIATED,
        m.SubscriptionStatus.SUCCEEDED: AgreementState.ACTIVE,
        m.SubscriptionStatus.FAILED: AgreementState.CANCELLED,
        m.SubscriptionStatus.CANCELLED: AgreementState.CANCELLED,
        m.SubscriptionStatus.EXPIRED: AgreementState.CANCELLED,
    }
)


def state_of(word: str | None) -> SnapshotState:
    """The normalized state of a collected payment. A word that no source has proves nothing."""
    status = m.read_status(word)
    return SnapshotState.UNRECOGNIZED if status is None else _STATES[status]


def payment_of(answer: m.PaymentAnswer) -> PaymentSnapshot:
    """The picture of a collected payment, not judged yet."""
    named = answer.subscription_request_id
    return PaymentSnapshot(
        state=state_of(answer.status),
        gateway_reference=answer.id or "",
        raw_state=shown_word(answer.status),
        gateway_order_id=collected_order_id(named, answer.id) if named and answer.id else None,
        amount=amount_or_none(answer.amount),
        transaction_id=answer.trx_id if is_id(answer.trx_id) else None,
        occurred_at=m.read_time(answer.trx_time),
        last_refund=_made_refund(answer),
    )


def _made_refund(answer: m.PaymentAnswer) -> str | None:
    refund = answer.reverse_trx_id
    return refund if m.read_status(answer.status) in m.REFUNDED and is_id(refund) else None


def agreement_state_of(status: m.SubscriptionStatus | None) -> AgreementState:
    """The normalized state of a subscription."""
    return AgreementState.UNRECOGNIZED if status is None else _SUBSCRIPTIONS[status]


def ending_of(raw_state: str) -> ReasonCode:
    """Why a subscription is over."""
    status = m.read_subscription_status(raw_state)
    if status is m.SubscriptionStatus.EXPIRED:
        return ReasonCode.PAYMENT_EXPIRED
    if status is m.SubscriptionStatus.FAILED:
        return ReasonCode.INVALID_AGREEMENT
    return ReasonCode.PAYMENT_CANCELLED


def agreement_of(answer: m.SubscriptionAnswer) -> AgreementSnapshot:
    """The picture of a subscription."""
    state = agreement_state_of(m.read_subscription_status(answer.status))
    word = shown_word(answer.status)
    if state is AgreementState.ACTIVE and answer.expired:
        state, word = AgreementState.CANCELLED, m.SubscriptionStatus.EXPIRED.value
    return AgreementSnapshot(
        state=state,
        raw_state=word,
        agreement_id=answer.id if is_number(answer.id) else None,
        gateway_reference=answer.subscription_request_id,
        payer_account=account_of(answer.payer),
        payer_reference=answer.subscription_reference,
        ended_by=ending_of(word) if state is AgreementState.CANCELLED else None,
    )
