"""A process that dies at any step of a payout: before or after every call of its store and of its gateway.

Whatever is left, the next process sends it at most once, calls nothing failed that was made, and loses nothing from the
ledger that anybody could know.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.flows.payouts import CHECKOUT, TOKENIZED, PayingShop, paying_config, paying_shop
from tests.flows.shop import LONG_S
from vextrus_payments import AccountMap, EntryKind, PayoutKind, Pending, Sent, Unknown
from vextrus_payments.records import OperationState
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import SqliteStore
from vextrus_payments.transport import HttpxTransport, Transport
from vextrus_payments.wire import Safety, SendBy, WireRequest, WireResponse


class Dead(BaseException):
    """The process is gone: nothing in it runs on, and nothing catches this."""


class Life:
    """Counts the steps of a process, and ends it at one of them."""

    def __init__(self, dies_at: int) -> None:
        self.dies_at = dies_at
        self.steps = 0
        self.counting = False

    @property
    def is_over(self) -> bool:
        return self.steps >= self.dies_at

    def step(self) -> None:
        if not self.counting:
            return
        self.steps += 1
        if self.is_over:
            raise Dead


class MortalStore:
    """A store whose process may die before and after each of its calls."""

    def __init__(self, real: PaymentStore, life: Life) -> None:
        self._real, self._life = real, life

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name in ("now", "durable", "close", "open") or not callable(found):
            return found
        return self._mortal(found)

    def _mortal(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def mortal(*arguments: Any, **named: Any) -> Any:
            self._life.step()
            answer = await call(*arguments, **named)
            self._life.step()
            return answer

        return mortal


class MortalTransport(Transport):
    """The same for what goes over the wire: after the gateway did its work the answer may find nobody."""

    def __init__(self, real: Transport, life: Life) -> None:
        self._real, self._life = real, life

    async def send(
        self, request: WireRequest, *, safety: Safety, timeout_s: float, send_by: SendBy | None = None
    ) -> WireResponse:
        self._life.step()
        answer = await self._real.send(request, safety=safety, timeout_s=timeout_s, send_by=send_by)
        self._life.step()
        return answer

    async def aclose(self) -> None:
        await self._real.aclose()


async def dies(shop: PayingShop, path: Path, root: str, kind: PayoutKind, at: int) -> bool:
    """Ask for a payout in a process that dies at that step. False: it came to its end before."""
    life = Life(at)
    real = SqliteStore(path, clock=shop.clock)
    transport = MortalTransport(HttpxTransport(clock=shop.clock), life)
    first = PayingShop(
        shop.server,
        MortalStore(real, life),  # type: ignore[arg-type]
        shop.clock,
        gateways={"bkash": paying_config(shop.server, root)},
        transport=transport,
        seed=at,
    )
    await first.payments.open()
    life.counting = True
    try:
        await first.pay(f"op-{at}", "10", kind=kind)
    except Dead:
        pass
    life.counting = False
    await first.payments.aclose()
    await transport.aclose()
    return life.is_over


@pytest.mark.parametrize(
    ("root", "kind"), [(CHECKOUT, PayoutKind.B2C), (CHECKOUT, PayoutKind.B2B), (TOKENIZED, PayoutKind.B2C)]
)
async def test_whenever_it_dies_it_is_paid_once_at_most(tmp_path: Path, root: str, kind: PayoutKind) -> None:
    ends: set[str] = set()
    async with paying_shop(tmp_path) as shop:
        await shop.funded("5000")
        at = 1
        while True:
            before, path = shop.sent, tmp_path / f"{at}.db"
            if not await dies(shop, path, root, kind, at):
                break
            made = shop.sent - before
            assert made in (0, 1)
            later = PayingShop(
                shop.server,
                f"sqlite:///{path}",
                shop.clock,
                gateways={"bkash": paying_config(shop.server, root)},
                seed=1000 + at,
            )
            async with later.payments:
                shop.clock.advance(LONG_S)
                await later.payments.reconcile_due()
                assert shop.sent - before == made, "no worker lets a payout out"
                left = await later.payments.find_payout(f"op-{at}")
                outcome = await later.pay(f"op-{at}", "10", kind=kind)
                now = shop.sent - before
                ends.add(f"{made}{type(outcome).__name__}")
                if made:
                    assert now == 1 and isinstance(outcome, Sent | Unknown)
                elif left is None or left.state is OperationState.RESERVED:
                    assert isinstance(outcome, Sent) and now == 1, "proven unsent: it goes out now, once"
                else:
                    assert isinstance(outcome, Unknown) and now == 0
                again = await later.pay(f"op-{at}", "10", kind=kind)
                assert type(again) is type(outcome) and shop.sent - before == now
                await later.payments.deliver()
                booked = [e for e in later.entries if e.kind is EntryKind.PAYOUT_SENT]
                assert len({e.id for e in booked}) == isinstance(outcome, Sent)
                assert not isinstance(outcome, Pending)
            at += 1
        assert at > 20
        # Where the gateway can be asked, what was made is always found; where not, it stays unknown.
        by_id = root == TOKENIZED or kind is PayoutKind.B2B
        assert ("1Unknown" in ends) is not by_id
        assert {"1Sent", "0Sent"} <= ends
        assert AccountMap().clearing_of("bkash", shop.payments_mode)
        assert shop.server.world.audit() == []
