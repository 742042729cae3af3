"""check_gateway(), second part: what is not a fault of the line but must hold as well."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from vextrus_payments.capabilities import Feature
from vextrus_payments.errors import (
    ConfigurationError,
    DeclinedError,
    Effect,
    GatewayBlockedError,
    InvalidRequestError,
    OutcomeUnknownError,
    PaymentsError,
    StorageError,
    WebhookError,
)
from vextrus_payments.events import Delivery, ReturnHint
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence, Intent
from vextrus_payments.snapshots import RefundSnapshot
from vextrus_payments.testing.faulty import Fault
from vextrus_payments.testing.gateway_faults import MADE, tried
from vextrus_payments.testing.gateway_world import MakeGateway, Stage, Verb
from vextrus_payments.wire import Safety

Any_Stage = Stage[Any]
#: A scenario yields what is wrong; it is handed its stage and the way to make another adapter over the same world.
Scenario = Callable[[Any_Stage, MakeGateway[Any]], AsyncIterator[str]]


async def _a_payer_who_is_not_done_declines_nothing(
    stage: Any_Stage, make_gateway: MakeGateway[Any]
) -> AsyncIterator[str]:
    if stage.payer_completes:
        return
    session = await stage.open("CHECK-1", approve=False)
    early = await tried(lambda: stage.gateway.execute_payment(stage.call()))
    if await stage.world.effects():
        yield "money moved before the payer approved"
    if early.error is None:
        yield f"an execute before the approval returned {early.result.state.value}"
    elif isinstance(early.error, DeclinedError) and early.error.final:
        yield f"an execute before the approval ended the payment: code {early.error.code}"
    await stage.world.approve(session.gateway_reference)
    snapshot = await stage.gateway.execute_payment(stage.call())
    if snapshot.state not in MADE:
        yield f"after the approval, execute returned {snapshot.state.value}"


async def _what_moves_money_is_marked_once(
    stage: Any_Stage, make_gateway: MakeGateway[Any]
) -> AsyncIterator[str]:
    can = stage.gateway.capabilities
    if not stage.payer_completes:
        await stage.open("CHECK-1")
        stage.line.mend()
        await stage.gateway.execute_payment(stage.call())
        if stage.line.count(Safety.ONCE) != 1:
            yield "an execute moved money by a request that is not marked ONCE"
    if can.can(Feature.REFUND):
        refund = await stage.paid("CHECK-2")
        stage.line.mend()
        await stage.gateway.refund_payment(refund, on_checkpoint=stage.save)
        if stage.line.count(Safety.ONCE) != 1:
            yield "a refund moved money by a request that is not marked ONCE"
    for feature, verb in ((Feature.CAPTURE, Verb.CAPTURE), (Feature.VOID, Verb.VOID)):
        if not can.can(feature):
            continue
        await stage.open(f"CHECK-{verb.value}", intent=Intent.AUTHORIZATION)
        call = stage.call(Intent.AUTHORIZATION)
        await stage.gateway.execute_payment(call)
        stage.line.mend()
        finish = stage.gateway.capture_payment if verb is Verb.CAPTURE else stage.gateway.void_payment
        await finish(call)
        if stage.line.count(Safety.ONCE) != 1:
            yield f"a {verb.value} moved money by a request that is not marked ONCE"


async def _a_second_execute_moves_nothing(
    stage: Any_Stage, make_gateway: MakeGateway[Any]
) -> AsyncIterator[str]:
    await stage.open("CHECK-1")
    await stage.gateway.execute_payment(stage.call())
    before = await stage.world.effects()
    again = await tried(lambda: stage.gateway.execute_payment(stage.call()))
    if await stage.world.effects() != before:
        yield "money moved twice"
    if isinstance(again.error, DeclinedError) and not again.error.look_up_first:
        yield f"a paid payment was called declined: code {again.error.code}"


async def _resuming_an_execute_only_looks(
    stage: Any_Stage, make_gateway: MakeGateway[Any]
) -> AsyncIterator[str]:
    await stage.open("CHECK-1")
    stage.line.mend()
    evidence = Evidence("execute", {})
    await tried(lambda: stage.gateway.execute_payment(stage.call(), resume=evidence))
    if stage.line.count(Safety.ONCE, reached=False):
        yield "an execute that resumes sent something that may move money"
        return
    await stage.gateway.execute_payment(stage.call())
    stage.line.mend()
    seen = await tried(lambda: stage.gateway.execute_payment(stage.call(), resume=evidence))
    if seen.error is not None or seen.result.state not in MADE:
        yield f"a paid payment is not seen on resuming: {seen.error or seen.result.state}"
    if stage.line.count(Safety.ONCE, reached=False):
        yield "an execute that resumes sent something that may move money"


async def _a_cancelled_execute_is_sent_once_and_found_again(
    stage: Any_Stage, make_gateway: MakeGateway[Any]
) -> AsyncIterator[str]:
    if stage.payer_completes:
        return
    await stage.open("CHECK-1")
    stage.line.mend()
    out = stage.line.hold_next_once()
    task = asyncio.create_task(stage.gateway.execute_payment(stage.call()))
    held = asyncio.create_task(out.wait())
    await asyncio.wait({task, held}, return_when=asyncio.FIRST_COMPLETED)
    task.cancel()
    held.cancel()
    await asyncio.wait({task, held})
    if not task.cancelled():
        task.exception()  # seen, so that asyncio does not complain
        yield "a cancelled execute did not end as cancelled"
    if stage.line.count(Safety.ONCE, reached=False) > 1:
        yield "a cancelled execute was sent again"
    stage.line.mend()
    snapshot = await stage.look()
    if snapshot.state not in MADE:
        yield f"the look-up after a cancelled execute shows {snapshot.state.value}"


async def _without_a_token_nothing_is_sent(
    stage: Any_Stage, make_gateway: MakeGateway[Any]
) -> AsyncIterator[str]:
    if stage.world.token_rejected() is None:
        return
    await stage.open("CHECK-1")
    faults = (
        Fault.NOT_SENT,
        Fault.LOST_BEFORE,
        Fault.LOST_AFTER,
        Fault.ERROR_BEFORE,
        Fault.HTML,
        Fault.MALFORMED,
    )
    for fault in faults:
        cold = Stage.over(stage.world, make_gateway)
        cold.line.break_token(fault)
        shut = await tried(partial(cold.gateway.execute_payment, stage.call()))
        if not any(one.is_token for one in cold.line.passages):
            yield "make_gateway gave an adapter that already had a token"
        if cold.line.count(Safety.ONCE, reached=False):
            yield f"token request under {fault.value}: something that may move money was sent without a token"
        if not isinstance(shut.error, PaymentsError):
            yield f"token request under {fault.value}: it brought {shut.error!r} and {shut.result!r}"
        elif shut.error.effect is not Effect.NONE:
            yield f"token request under {fault.value}: effect {shut.error.effect.value}, though nothing was sent"
        if shut.error is not None:
            for leak in stage.leaks(shut.error):
                yield leak
        await cold.gateway.aclose()


async def _nobody_takes_the_checkpoint(
    stage: Any_Stage, make_gateway: MakeGateway[Any]
) -> AsyncIterator[str]:
    if not stage.gateway.capabilities.can(Feature.REFUND):
        return
    refund = await stage.paid("CHECK-1")
    stage.line.mend()
    shut = await tried(lambda: stage.gateway.refund_payment(refund))
    if isinstance(shut.error, ConfigurationError):
        if stage.line.passages:
            yield "a refund whose checkpoint nobody takes was refused only after something was sent"
    elif shut.error is not None:
        yield f"a refund whose checkpoint nobody takes raised {type(shut.error).__name__}"


async def _a_checkpoint_is_saved_first(
    stage: Any_Stage, make_gateway: MakeGateway[Any]
) -> AsyncIterator[str]:
    if not stage.gateway.capabilities.can(Feature.REFUND):
        return
    refund = await stage.paid("CHECK-1")
    stage.line.mend()
    problem = StorageError("The store is full.")

    async def refuse(evidence: Evidence) -> None:
        stage.evidence.append(evidence)
        raise problem

    shut = await tried(lambda: stage.gateway.refund_payment(refund, on_checkpoint=refuse))
    if not stage.evidence:
        return  # this protocol makes no checkpoints
    if stage.line.count(Safety.ONCE, reached=False):
        yield "a refund was sent although its checkpoint could not be saved"
    if shut.error is None:
        yield "a refund succeeded although its checkpoint could not be saved"
    for leak in stage.leaks(stage.evidence):
        yield f"in the evidence, {leak}"


async def _resuming_a_refund_only_looks(
    stage: Any_Stage, make_gateway: MakeGateway[Any]
) -> AsyncIterator[str]:
    if not stage.gateway.capabilities.can(Feature.REFUND):
        return
    refund = await stage.paid("CHECK-1")
    stage.line.mend()
    stage.line.break_next(Fault.LOST_AFTER, Safety.ONCE)
    stage.line.blind_after_once()
    await tried(lambda: stage.gateway.refund_payment(refund, on_checkpoint=stage.save))
    if not stage.evidence:
        return
    stage.line.mend()
    before = await stage.world.effects()
    found = await tried(lambda: stage.gateway.refund_payment(refund, resume=stage.evidence[0]))
    if not isinstance(found.result, RefundSnapshot):
        yield f"a refund that was made is not seen on resuming: {found.error!r}"
    if stage.line.count(Safety.ONCE, reached=False) or await stage.world.effects() != before:
        yield "a refund that resumes sent something that may move money"


async def _two_equal_refunds_are_told_apart(
    stage: Any_Stage, make_gateway: MakeGateway[Any]
) -> AsyncIterator[str]:
    if not stage.gateway.capabilities.can(Feature.PARTIAL_REFUND):
        return
    whole = await stage.paid("CHECK-1")
    half = Money.from_minor(whole.amount.amount_minor // 4, whole.amount.currency)
    first_call = replace(whole, operation_id="CHECK-1/first", amount=half)
    second_call = replace(whole, operation_id="CHECK-1/second", amount=half)
    first = await stage.gateway.refund_payment(first_call, on_checkpoint=stage.save)
    stage.line.break_next(Fault.LOST_AFTER, Safety.ONCE)
    second = await tried(lambda: stage.gateway.refund_payment(second_call, on_checkpoint=stage.save))
    if second.error is not None and getattr(second.error, "effect", None) is not Effect.UNKNOWN:
        yield f"the second of two equal refunds was made, and it raised {second.error!r}"
    if second.result is not None and second.result.transaction_id == first.transaction_id:
        yield "the first of two equal refunds was taken for the second"


async def _bad_input_is_refused_unsent(
    stage: Any_Stage, make_gateway: MakeGateway[Any]
) -> AsyncIterator[str]:
    can = stage.gateway.capabilities
    good = stage.world.request("CHECK-1")
    bad: list[tuple[str, Callable[[], Awaitable[Any]]]] = []

    def with_amount(name: str, amount: Money) -> None:
        bad.append((name, lambda: stage.initialize(replace(good, amount=amount))))

    if "XTS" not in can.currencies:
        with_amount("a currency it does not take", Money("10", "XTS"))
    if can.min_amount is not None and can.min_amount.amount_minor > 1:
        with_amount("less than its minimum", can.min_amount - Money.from_minor(1, can.min_amount.currency))
    if can.max_amount is not None:
        with_amount("more than its maximum", can.max_amount + Money.from_minor(1, can.max_amount.currency))
    bad.append(
        (
            "another gateway's request",
            lambda: stage.initialize(replace(good, gateway="another")),
        )
    )
    for name, order_id in (
        ("too long an order id", "X" * (can.order_id.max_length + 1)),
        ("an empty order id", ""),
        ("an order id of control characters", "A\nB"),
    ):
        bad.append((name, partial(stage.initialize, good, gateway_order_id=order_id)))
    for name, act in bad:
        outcome = await tried(act)
        if not isinstance(outcome.error, InvalidRequestError):
            yield f"{name} was not refused as InvalidRequestError: {outcome.error!r}"
        elif not outcome.error.field or not outcome.error.rule:
            yield f"{name} was refused without the field and the rule"
    if stage.line.passages:
        yield "bad input was sent"


async def _what_proves_nothing_is_called_nothing_else(
    stage: Any_Stage, make_gateway: MakeGateway[Any]
) -> AsyncIterator[str]:
    for operation in ("execute", "refund", "capture"):
        meaning = stage.gateway.map_error_code(operation, "no-such-code")
        if not issubclass(meaning.error, OutcomeUnknownError | GatewayBlockedError):
            yield f"a code nobody documented, on {operation}, becomes {meaning.error.__name__}"
    for params in ({}, {"x": "y"}, {"status": "success"}, {"\udc80": "\x00" * 5_000}):
        hint = await tried(partial(_parsed, stage, params))
        if not isinstance(hint.error, InvalidRequestError):
            yield f"a return that names no payment brought {hint.error!r}"
        else:
            for leak in stage.leaks(hint.error):
                yield leak
    delivery = Delivery(
        method="POST", query="", headers={}, body=b"{}", received_at=datetime(2026, 1, 1, tzinfo=UTC)
    )
    unproven = await tried(lambda: stage.gateway.handle_webhook(delivery))
    if not isinstance(unproven.error, WebhookError):
        yield f"an unsigned webhook was not refused as WebhookError: {unproven.error!r}"
    if stage.line.passages:
        yield "reading what came from outside sent something"


async def _parsed(stage: Any_Stage, params: dict[str, str]) -> ReturnHint:
    hint: ReturnHint = stage.gateway.parse_return(params)
    return hint


async def _nothing_shows_a_secret(stage: Any_Stage, make_gateway: MakeGateway[Any]) -> AsyncIterator[str]:
    session = await stage.open("CHECK-1")
    snapshot = await stage.gateway.execute_payment(stage.call())
    for thing in (stage.gateway, stage.gateway.capabilities, session, snapshot):
        for leak in stage.leaks(thing):
            yield leak


SCENARIOS: Final[tuple[Scenario, ...]] = (
    _a_payer_who_is_not_done_declines_nothing,
    _what_moves_money_is_marked_once,
    _a_second_execute_moves_nothing,
    _resuming_an_execute_only_looks,
    _a_cancelled_execute_is_sent_once_and_found_again,
    _without_a_token_nothing_is_sent,
    _nobody_takes_the_checkpoint,
    _a_checkpoint_is_saved_first,
    _resuming_a_refund_only_looks,
    _two_equal_refunds_are_told_apart,
    _bad_input_is_refused_unsent,
    _what_proves_nothing_is_called_nothing_else,
    _nothing_shows_a_secret,
)
