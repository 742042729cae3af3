"""Payments that are not in our store, by their gateway's own ids: looked up, and refunded once."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from vextrus_payments.cli.declines import Mover, words_of
from vextrus_payments.cli.exit_codes import Exit
from vextrus_payments.cli.home import Home
from vextrus_payments.cli.refund_log import SEND_WINDOW_S, Made, RefundLog
from vextrus_payments.cli.shapes import moment, money
from vextrus_payments.cli.target import Target, advised
from vextrus_payments.clock import Clock, SystemClock
from vextrus_payments.errors import (
    DeclinedError,
    Effect,
    GatewayError,
    InvalidRequestError,
    OutcomeUnknownError,
    PaymentsError,
)
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.gateways.registry import DEFAULT_TENANT, Registry
from vextrus_payments.ids import SystemEntropy
from vextrus_payments.money import Money
from vextrus_payments.payment import RefundCall, StatusCall
from vextrus_payments.snapshots import Mismatch, PaymentSnapshot, RefundSnapshot, RefundState, SnapshotState
from vextrus_payments.tokens import TokenCache
from vextrus_payments.wire import CallContext, SendBy

_SETTLED: Final = (SnapshotState.PAID, SnapshotState.AUTHORIZED)
_OVER: Final = (
    SnapshotState.CANCELLED,
    SnapshotState.VOIDED,
    SnapshotState.EXPIRED,
    SnapshotState.DECLINED,
)


@asynccontextmanager
async def opened(target: Target, home: Home) -> AsyncIterator[PaymentGateway]:
    """The target's gateway by itself, with the user's token files."""
    registry = Registry(configs={target.gateway: target.config}, tokens=TokenCache(home.tokens()))
    try:
        yield await registry.gateway(DEFAULT_TENANT, target.gateway)
    finally:
        await registry.aclose()


async def look_up(
    target: Target, home: Home, *, gateway_reference: str, order_id: str | None, amount: Money | None
) -> PaymentSnapshot:
    """The payment as the target's gateway shows it, judged by what the caller says about it (order id, amount).

    Raises:
        InvalidRequestError, GatewayError: see their messages.
    """
    with advised(target):
        async with opened(target, home) as gateway:
            return await look_up_at(
                gateway, gateway_reference=gateway_reference, order_id=order_id, amount=amount
            )


async def look_up_at(
    gateway: PaymentGateway, *, gateway_reference: str, order_id: str | None, amount: Money | None
) -> PaymentSnapshot:
    """As `look_up`, of a gateway that is open already."""
    asked = StatusCall(
        gateway_reference=gateway_reference,
        gateway_order_id=order_id or "-",
        amount=amount or Money.from_minor(1),
    )
    refusal: DeclinedError | None = None
    snapshot: PaymentSnapshot | None = None
    try:
        snapshot = await gateway.get_payment_status(asked)
    except DeclinedError as error:
        refusal = error
    if refusal is not None:
        # A question was refused, not a payment: the id is one that the gateway does not know.
        raise InvalidRequestError(
            refusal.what,
            field="gateway_reference",
            rule="an id that the gateway knows",
            code=refusal.code,
            gateway=gateway.name,
            next_step=refusal.next_step,
        )
    assert snapshot is not None, "a look-up that does not raise answers"
    not_claimed = set()
    if order_id is None:
        not_claimed.add(Mismatch.GATEWAY_ORDER_ID)
    if amount is None:
        not_claimed |= {Mismatch.AMOUNT, Mismatch.CURRENCY}
    return _without(snapshot, not_claimed)


def _without(snapshot: PaymentSnapshot, not_claimed: set[Mismatch]) -> PaymentSnapshot:
    """The snapshot without the differences from what nobody claimed."""
    left = snapshot.mismatches - not_claimed
    state = snapshot.state if left or snapshot.reported is None else snapshot.reported
    return replace(snapshot, mismatches=left, state=state)


def exit_of(snapshot: PaymentSnapshot) -> Exit:
    """The exit code of a look-up."""
    if snapshot.state in _SETTLED:
        return Exit.DONE
    return Exit.DECLINED if snapshot.state in _OVER else Exit.OPEN


@dataclass(frozen=True, slots=True)
class RefundAnswer:
    """What came of a refund by the gateway's ids: a document, and whether it was made by an earlier command."""

    document: Mapping[str, Any]
    made_before: bool


async def refund(target: Target, home: Home, call: RefundCall) -> RefundAnswer:
    """Refund once; see refund_log.py.

    Raises:
        ConflictError: another refund of the transaction is open, or the operation id has other parameters.
        OutcomeUnknownError: nobody can tell; the same operation id only looks.
        PaymentsError: the others, before anything was refunded.
    """
    clock, entropy = SystemClock(), SystemEntropy()
    log = RefundLog(
        home.folder / "refunds",
        f"{target.gateway}/{target.config.mode}",
        call,
        clock=clock,
        token=entropy.token_bytes(16).hex(),
    )
    with advised(target):
        return await _refunded_once(target, home, call, log, clock)


async def _refunded_once(
    target: Target, home: Home, call: RefundCall, log: RefundLog, clock: Clock
) -> RefundAnswer:
    async with opened(target, home) as gateway:
        begun = log.begin()
        if isinstance(begun, Made):
            return RefundAnswer(begun.result, made_before=True)
        deadline = SendBy(clock.now() + timedelta(seconds=SEND_WINDOW_S), clock.monotonic() + SEND_WINDOW_S)
        context = CallContext(send_by=deadline, operation_id=call.operation_id)
        failure: PaymentsError | None = None
        snapshot: RefundSnapshot | None = None
        try:
            snapshot = await gateway.refund_payment(
                call, context=context, resume=begun.resume, on_checkpoint=log.checkpoint
            )
        except PaymentsError as error:
            failure = error
        if failure is not None:
            # A failed look at an earlier attempt proves nothing about that attempt: its claim stays.
            if failure.effect is not Effect.UNKNOWN and begun.resume is None:
                log.release()
            raise _advised(failure, call)
        assert snapshot is not None, "a call that does not raise answers"
        if snapshot.state is not RefundState.COMPLETED:
            raise _advised(_unsettled(snapshot), call)
        document = _document(target, call, snapshot)
        log.finish(document)
    return RefundAnswer(document, made_before=False)


def _unsettled(snapshot: RefundSnapshot) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        f"The gateway does not show this refund as completed ({snapshot.raw_state}).",
        code="refund_not_settled",
        effect=Effect.UNKNOWN,
    )


def _advised(error: PaymentsError, call: RefundCall) -> PaymentsError:
    if isinstance(error, GatewayError) and error.effect is Effect.UNKNOWN:
        error.next_step = (
            "Run the same command again: it only looks, and never refunds twice "
            f"(--operation-id {call.operation_id})."
        )
    elif isinstance(error, DeclinedError):
        # The adapter's advice is for one who pays. Nothing is kept of a refused one: its id may be used again.
        words = words_of(error.reason, Mover.REFUND)
        error.next_step = f"{words.why} {words.todo}"
    return error.about(operation_id=call.operation_id)


def _document(target: Target, call: RefundCall, snapshot: RefundSnapshot) -> dict[str, Any]:
    return {
        "outcome": "refunded",
        "gateway": target.gateway,
        "gateway_reference": call.gateway_reference,
        "original_transaction_id": call.transaction_id,
        "transaction_id": snapshot.transaction_id,
        **money(call.amount),
        "operation_id": call.operation_id,
        "refunded_at": moment(snapshot.occurred_at),
        "exit_code": int(Exit.DONE),
    }
