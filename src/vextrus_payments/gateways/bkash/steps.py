"""What all of bKash's protocols stand on: where the API is, how one question is asked, how its words are read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeVar

from vextrus_payments.errors import GatewayError, PaymentsError
from vextrus_payments.gateways.asking import sent, whatever
from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.gateways.bkash.dialect import Dialect, Question
from vextrus_payments.gateways.bkash.envelope import Call, error_of, read
from vextrus_payments.gateways.bkash.v1_dialect import V1
from vextrus_payments.gateways.bodies import shown_word
from vextrus_payments.gateways.front_door import FrontDoor
from vextrus_payments.gateways.readings import Accepted
from vextrus_payments.gateways.values import exact_money, money_or_none, utc_of
from vextrus_payments.methods import MethodKind, PaymentMethod
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.snapshots import PaymentSnapshot, SnapshotState
from vextrus_payments.wire import Send, WireCall, WireRequest

A = TypeVar("A", bound=m.Answer)

JSON_HEADERS: Final = (("Accept", "application/json"), ("Content-Type", "application/json"))
"""On every call (§3.3)."""

_MSISDN: Final = re.compile(r"(?:\+?88)?(01[0-9]{9})", re.ASCII)
_ID: Final = re.compile(r"[!-~]{1,255}", re.ASCII)


class RefundApi(StrEnum):
    """Which of the two refund interfaces a merchant uses (§4.10, §4.11)."""

    V1 = "v1"
    V2 = "v2"


@dataclass(frozen=True, slots=True)
class Api:
    """Where a merchant's bKash is, and which of its variants he uses.

    `root` ends in the dialect's own segment, /v1.2.0-beta or /v2; the v2 refund pair replaces that segment, it does
    not follow it (§4.11).
    """

    root: str
    mode: Mode
    refund_api: RefundApi = RefundApi.V2
    dialect: Dialect = V1

    def url(self, path: str) -> str:
        """The address of a route of the dialect."""
        return self.root + path

    def host_url(self, path: str) -> str:
        """The address of a route that hangs off the host."""
        return self.root.removesuffix(self.dialect.root_path) + path


# ----------------------------------------------------------------------------------------------- one question


def ask(
    call: Call[A],
    url: str,
    body: m.Body,
    *,
    step: str = "",
    reference: str | None = None,
    headers: tuple[tuple[str, str], ...] = (),
    authorized: bool = True,
) -> WireCall[A | GatewayError]:
    """Send one request and give its answer, or the error that stands for it, as a value: see asking.py."""
    response = yield from sent(
        Send(
            request=WireRequest("POST", url, headers, body.to_json()),
            operation=call.operation.value,
            safety=call.safety,
            step=step,
            authorized=authorized,
            reference=reference,
        )
    )
    if isinstance(response, GatewayError):
        return response
    reading = read(call, response)
    if isinstance(reading, Accepted):
        return reading.answer
    return error_of(call, reading, step=step or call.operation.value)


def ask_after(
    call: Call[A], url: str, body: m.Body, *, step: str, reference: str | None = None
) -> WireCall[A | PaymentsError]:
    """As `ask`, for a look-up after a call that may have moved money: whatever stops it becomes a value."""
    return (yield from whatever(ask(call, url, body, step=step, reference=reference)))


def put(api: Api, question: Question[A], *, step: str = "") -> WireCall[A | GatewayError]:
    """As `ask`, for a question of the dialect: its next route where the front door knows no such route."""
    answer: A | GatewayError | None = None
    for path in question.paths:
        answer = yield from ask(
            question.call, api.url(path), question.body, step=step, reference=question.reference
        )
        if not (isinstance(answer, GatewayError) and answer.code == FrontDoor.ROUTE.value):
            break
    assert answer is not None, "a question has a route"
    return answer


def put_after(api: Api, question: Question[A], *, step: str) -> WireCall[A | PaymentsError]:
    """As `ask_after`, for a question of the dialect."""
    return (yield from whatever(put(api, question, step=step)))


# ---------------------------------------------------------------------------------------- reading bKash's words


def money_of(text: str | None, currency: str | None = None) -> Money | None:
    """The exact amount of a wire text ("15", "15.00"); None where it is absent.

    bKash takes BDT only, so an absent currency is BDT.

    Raises:
        UnreadableValueError: the text is there and is no plain decimal ("1,500"), or the currency is no code.
    """
    return exact_money(text, currency or m.CURRENCY)


def amount_or_none(text: str | None, currency: str | None = None) -> Money | None:
    """As `money_of`, for amounts that decide nothing: unreadable counts as absent."""
    return money_or_none(text, currency or m.CURRENCY)


def time_of(text: str | None) -> datetime | None:
    """A wire time in UTC; None where it is absent or not bKash's form. Times decide nothing about money."""
    return utc_of(text, m.parse_time)


def account_of(*texts: str | None) -> str | None:
    """The payer's account: a wallet number always as 01XXXXXXXXX (the IPN writes 8801..., §8.3)."""
    for text in texts:
        if text:
            found = _MSISDN.fullmatch(text)
            return found[1] if found else text[:64]
    return None


def is_id(text: str | None) -> bool:
    """True for what can be an id of bKash: visible ASCII, not too long."""
    return bool(text and _ID.fullmatch(text))


_STATES: Final[Mapping[str, SnapshotState]] = MappingProxyType(
    {
        "Initiated": SnapshotState.INITIATED,
        "Completed": SnapshotState.PAID,
        "Authorized": SnapshotState.AUTHORIZED,
        "Cancelled": SnapshotState.CANCELLED,
        "Voided": SnapshotState.VOIDED,
        "Expired": SnapshotState.EXPIRED,
        "Declined": SnapshotState.DECLINED,
        "Failed": SnapshotState.DECLINED,
    }
)
"""The vocabulary of §4.5. "Pending Authorized" and whatever else comes proves nothing: UNRECOGNIZED."""


def payment_state(answer: m.PaymentAnswer) -> SnapshotState:
    """The normalized state of an execute's or a query's answer."""
    state = _STATES.get(answer.transaction_status or "", SnapshotState.UNRECOGNIZED)
    if state is SnapshotState.INITIATED and answer.verification == "Complete":
        return SnapshotState.APPROVED
    if state is SnapshotState.CANCELLED and answer.trx_id:
        return SnapshotState.VOIDED  # it was held once: a void answers "Cancelled" too (§4.9)
    return state


_TAKEN: Final = frozenset({SnapshotState.PAID, SnapshotState.AUTHORIZED})


def _by_wallet(answer: m.PaymentAnswer) -> PaymentMethod:
    """bKash takes from its own wallets alone; `payerType` tells whose ("Customer", §4.4)."""
    return PaymentMethod(kind=MethodKind.WALLET, name="bkash", raw=shown_word(answer.payer_type))


def payment_snapshot(answer: m.PaymentAnswer) -> PaymentSnapshot:
    """The picture of a payment in an execute's or a query's answer, not judged yet.

    A transaction id that no id can be counts as absent: money without one is never called a plain success.

    Raises:
        UnreadableValueError: the amount is there but cannot be read exactly.
    """
    state, account = payment_state(answer), account_of(answer.payer_account, answer.customer_msisdn)
    return PaymentSnapshot(
        state=state,
        gateway_reference=answer.payment_id or "",
        raw_state=shown_word(answer.transaction_status),
        gateway_order_id=answer.invoice or None,
        amount=money_of(answer.amount, answer.currency),
        transaction_id=answer.trx_id if is_id(answer.trx_id) else None,
        payer_account=account,
        occurred_at=time_of(answer.payment_execute_time),
        refundable=amount_or_none(answer.max_refundable_amount, answer.currency),
        method=_by_wallet(answer) if account and state in _TAKEN else None,
    )
