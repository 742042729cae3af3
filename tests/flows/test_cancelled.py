"""Rule 15: whoever calls may be cancelled at any await; what he began is recorded, and done at most once."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.flows.shop import LONG_S, Shop, shop_open
from vextrus_payments import (
    Agreement,
    AgreementLife,
    ConsentRequest,
    Declined,
    Money,
    Paid,
    PaymentFacts,
    PaymentSession,
    Refunded,
    RefundRequest,
    ResolveRequest,
    StaleStateError,
)
from vextrus_payments.payment import Intent
from vextrus_payments.records import PaymentState, ResolutionVerdict

#: More turns of the loop than any verb takes against a server that answers at once.
TURNS = 40
CONSENT = ConsentRequest(operation_id="consent", gateway="bkash", payer_reference="c")
Act = Callable[[], Awaitable[Any]]


async def approved(shop: Shop, name: str, intent: Intent = Intent.SALE) -> PaymentSession:
    # Each of another amount: bKash takes a second equal one within minutes for a double.
    return await shop.approved(f"INV-{name}", amount=str(100 + int(name)), intent=intent)


async def prepared(shop: Shop, verb: str, name: str) -> tuple[Act, Callable[[Any], bool]]:
    pay = shop.payments
    if verb == "initialize":
        return (lambda: shop.open(f"INV-{name}")), lambda found: isinstance(found, PaymentSession)
    if verb == "create_agreement":
        request = ConsentRequest(operation_id=f"c-{name}", gateway="bkash", payer_reference=f"c-{name}")
        return (lambda: pay.create_agreement(request)), lambda found: isinstance(found, Agreement)
    if verb == "cancel_agreement":
        request = ConsentRequest(operation_id=f"c-{name}", gateway="bkash", payer_reference=f"c-{name}")
        asked = await pay.create_agreement(request)
        shop.server.world.gateways["bkash"].approve(asked.gateway_reference or "", "success", None)
        await pay.execute_agreement(asked.agreement_key)
        return (
            lambda: pay.cancel_agreement(asked.agreement_key),
            lambda found: found.state is AgreementLife.ENDED,
        )
    held = verb in ("capture", "void")
    session = await approved(shop, name, Intent.AUTHORIZATION if held else Intent.SALE)
    if verb == "execute":
        return (lambda: pay.execute(session.payment_id)), lambda found: isinstance(found, Paid)
    if verb == "resolve":
        return await _unknown(shop, session)
    await pay.execute(session.payment_id)
    if verb == "refund":
        request_r = RefundRequest(operation_id=f"r-{name}", payment_id=session.payment_id, amount=Money("30"))
        return (lambda: pay.refund(request_r)), lambda found: isinstance(found, Refunded)
    call = getattr(pay, verb)
    wanted = Paid if verb == "capture" else Declined
    return (lambda: call(session.payment_id)), lambda found: isinstance(found, wanted)


async def _unknown(shop: Shop, session: PaymentSession) -> tuple[Act, Callable[[Any], bool]]:
    shop.fault("execute", "drop_before")
    shop.fault("query", "drop_before", times=90)
    await shop.payments.execute(session.payment_id)
    shop.server.app.state.faults.clear()
    shop.clock.advance(LONG_S)
    facts = await shop.payments.get(session.payment_id)
    assert facts is not None
    request = ResolveRequest(
        payment_id=session.payment_id,
        verdict=ResolutionVerdict.NOT_MADE,
        actor="rahim",
        reason="The portal does not show it.",
        evidence=("ticket",),
        reviewed_version=facts.payment.version,
        operation_id=f"execute/{session.payment_id}/1",
    )

    async def resolve() -> PaymentFacts:
        try:
            return await shop.payments.resolve(request)
        except StaleStateError:  # the cancelled call wrote it
            after = await shop.payments.get(session.payment_id)
            assert after is not None
            return after

    return (
        resolve,
        lambda found: found.payment.state is PaymentState.CLOSED and len(found.payment.resolutions) == 1,
    )


@pytest.mark.parametrize(
    "verb",
    [
        "initialize",
        "execute",
        "capture",
        "void",
        "refund",
        "resolve",
        "create_agreement",
        "cancel_agreement",
    ],
)
async def test_cancelled_at_every_await(tmp_path: Path, verb: str) -> None:
    async with shop_open(tmp_path, store="memory://") as shop:
        for turns in range(0, TURNS, 3):
            act, is_done = await prepared(shop, verb, str(turns))
            before = shop.moved()
            task = asyncio.ensure_future(act())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            found = await act()
            assert is_done(found), found
            moved = shop.moved() - before
            assert all(times == 1 for times in moved.values()), f"cancelled after {turns} turns: {moved}"
            shop.clock.advance(LONG_S)
        await shop.check_books()
