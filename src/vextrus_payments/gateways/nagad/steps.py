"""What both of Nagad's protocols stand on: where the API is, how one question is asked, how its words are read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final, TypeVar
from urllib.parse import quote

from vextrus_payments.errors import GatewayError, PaymentsError
from vextrus_payments.gateways.asking import sent, whatever
from vextrus_payments.gateways.bodies import Body, shown_word
from vextrus_payments.gateways.nagad import models as m
from vextrus_payments.gateways.nagad.crypto import Seal
from vextrus_payments.gateways.nagad.envelope import VERIFY, Call, error_of, read
from vextrus_payments.gateways.readings import Accepted
from vextrus_payments.gateways.values import exact_money, money_or_none, utc_of
from vextrus_payments.judging import judge_snapshot
from vextrus_payments.methods import MethodKind, PaymentMethod
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.snapshots import Mismatch, PaymentSnapshot, SnapshotState
from vextrus_payments.wire import Send, WireCall, WireRequest, WireResponse

A = TypeVar("A", bound=m.Answer)

_ID: Final = re.compile(r"[!-~]{1,255}", re.ASCII)
_MASKED: Final = re.compile(r"[0-9*]{5,20}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Api:
    """Where a merchant's Nagad is and who he is there. `root` ends before /api/dfs."""

    root: str
    mode: Mode
    merchant_id: str
    seal: Seal = field(repr=False)
    client_address: str
    client_type: m.ClientType
    version: str = m.API_VERSION

    def url(self, path: str, *parts: str) -> str:
        """The address of a route. A reference's `=` stays as it is (§5)."""
        return "".join((self.root, m.API_PATH, path, *("/" + quote(part, safe="=") for part in parts)))

    def headers(
        self, client_address: str | None = None, client_type: m.ClientType | None = None
    ) -> tuple[tuple[str, str], ...]:
        """The headers of every call (§3): verify needs none of them, and they do no harm there."""
        return (
            ("Accept", "application/json"),
            (m.HEADER_API_VERSION, self.version),
            (m.HEADER_CLIENT_ADDRESS, client_address or self.client_address),
            (m.HEADER_CLIENT_TYPE, (client_type or self.client_type).value),
            (m.HEADER_MERCHANT, self.merchant_id),
        )

    def post(self, url: str, body: Body, headers: tuple[tuple[str, str], ...]) -> WireRequest:
        """A request with a JSON body."""
        return WireRequest("POST", url, (*headers, ("Content-Type", "application/json")), body.to_json())

    def get(self, url: str) -> WireRequest:
        """A question."""
        return WireRequest("GET", url, self.headers())


# ------------------------------------------------------------------------------------------------- one question


@dataclass(frozen=True, slots=True)
class Failed:
    """A question that brought no success: the error that stands for it, and the answer where there was one."""

    error: PaymentsError
    response: WireResponse | None = None


def ask(call: Call[A], request: WireRequest, *, step: str, reference: str) -> WireCall[A | Failed]:
    """Send one request and give its answer, or what stands for a failure, as a value: see asking.py."""
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
        return Failed(response)
    reading = read(call, response)
    if isinstance(reading, Accepted):
        return reading.answer
    return Failed(error_of(call, reading, step=step), response)


def verify(api: Api, reference: str, *, step: str) -> WireCall[m.VerifyAnswer | Failed]:
    """Ask what became of a payment (§7). Only reads; whatever stops it becomes a value."""
    request = api.get(api.url(m.PATH_VERIFY, reference))
    found = yield from whatever(ask(VERIFY, request, step=step, reference=reference))
    return Failed(found) if isinstance(found, PaymentsError) else found


# ------------------------------------------------------------------------------------------- reading Nagad's words


def money_of(text: str | None) -> Money | None:
    """The exact amount of a wire text; None where it is absent. Nagad takes BDT only.

    Raises:
        UnreadableValueError: the text is there and is no plain decimal of two places at most.
    """
    return exact_money(text, m.CURRENCY)


def time_of(text: str | None) -> datetime | None:
    """A wire time in UTC; None where it is absent or not Nagad's form. Times decide nothing about money."""
    return utc_of(text, m.parse_time)


def is_id(text: str | None) -> bool:
    """True for what can be an id of Nagad: visible ASCII, not too long."""
    return bool(text and _ID.fullmatch(text))


_STATES: Final[Mapping[m.Status, SnapshotState]] = MappingProxyType(
    {
        m.Status.ORDER_INITIATED: SnapshotState.INITIATED,
        m.Status.READY: SnapshotState.INITIATED,
        m.Status.OTP_SENT: SnapshotState.INITIATED,
        m.Status.OTP_VERIFIED: SnapshotState.INITIATED,
        # From the PIN on Nagad is at it: the money may be moving at this moment.
        m.Status.PIN_GIVEN: SnapshotState.APPROVED,
        m.Status.IN_PROGRESS: SnapshotState.APPROVED,
        m.Status.TRANSACTION_IN_PROGRESS: SnapshotState.APPROVED,
        m.Status.SUCCESS: SnapshotState.PAID,
        m.Status.FAILED: SnapshotState.DECLINED,
        m.Status.INVALID_REQUEST: SnapshotState.DECLINED,
        m.Status.FRAUD: SnapshotState.DECLINED,
        # "Failed, or not: Nagad does not know" is no failure.
        m.Status.UNKNOWN_FAILED: SnapshotState.UNRECOGNIZED,
    }
)
_GIVEN_BACK: Final = frozenset(
    {m.Status.CANCELLED, m.Status.PARTIAL_CANCELLED, m.Status.REFUNDED, m.Status.PARTIAL_REFUNDED}
)


def state_of(answer: m.VerifyAnswer, *, page_is_over: bool) -> SnapshotState:
    """The normalized state of a payment (§7).

    Money that went back had come before: such a payment is PAID, and `given_back` says the rest. A payer who left
    (Aborted; Cancelled without any receipt) may still come back to the page while it lives: only then it is over.
    A word that no source has proves nothing.
    """
    status = m.read_status(answer.status)
    if status in _GIVEN_BACK and is_id(answer.issuer_payment_ref_no):
        return SnapshotState.PAID
    if status is m.Status.ABORTED or (status is m.Status.CANCELLED and not answer.cancel_issuer_ref_no):
        return SnapshotState.CANCELLED if page_is_over else SnapshotState.INITIATED
    return (
        _STATES.get(status, SnapshotState.UNRECOGNIZED) if status is not None else SnapshotState.UNRECOGNIZED
    )


def snapshot_of(
    api: Api,
    answer: m.VerifyAnswer,
    *,
    gateway_reference: str,
    gateway_order_id: str,
    amount: Money,
    page_is_over: bool,
) -> PaymentSnapshot:
    """The judged picture of a payment: all three ids and the exact amount must be ours, or it is no plain success.

    An amount that cannot be read exactly counts as not told: beside money that is a contradiction, and no reason to go
    on as if nobody had paid.
    """
    # The judge knows no merchants: an answer about another one is about another payment.
    stranger = (
        frozenset() if answer.merchant_id == api.merchant_id else frozenset({Mismatch.GATEWAY_REFERENCE})
    )
    issuer_ref = answer.issuer_payment_ref_no
    account = _account_of(answer.client_mobile_no)
    return judge_snapshot(
        PaymentSnapshot(
            state=state_of(answer, page_is_over=page_is_over),
            gateway_reference=answer.payment_ref_id or "",
            raw_state=shown_word(answer.status),
            gateway_order_id=answer.order_id or None,
            amount=money_or_none(answer.amount, m.CURRENCY),
            transaction_id=issuer_ref if is_id(issuer_ref) else None,
            payer_account=account,
            occurred_at=time_of(answer.issuer_payment_date_time),
            given_back=m.read_status(answer.status) in _GIVEN_BACK or bool(answer.cancel_issuer_ref_no),
            last_refund=answer.cancel_issuer_ref_no if is_id(answer.cancel_issuer_ref_no) else None,
            mismatches=stranger,
            # A payer's number is a wallet's; where none is told, nothing is claimed.
            method=_WALLET if account is not None and is_id(issuer_ref) else None,
        ),
        gateway_reference=gateway_reference,
        gateway_order_id=gateway_order_id,
        amount=amount,
        mode=api.mode,
    )


_WALLET: Final = PaymentMethod(kind=MethodKind.WALLET, name="nagad")


def _account_of(text: str | None) -> str | None:
    """The payer's wallet as Nagad shows it: its middle is hidden already (016****5428)."""
    return text if text and _MASKED.fullmatch(text) else None
