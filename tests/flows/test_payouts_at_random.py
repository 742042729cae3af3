"""Many payouts at once through several processes, with faults and restarts at random: each is paid once at most."""

import asyncio
from pathlib import Path
from random import Random
from typing import Final

import pytest

from tests.flows.payouts import CHECKOUT, TOKENIZED, PayingShop, paying_config, paying_shop
from tests.flows.shop import LONG_S
from vextrus_payments import Declined, EntryKind, PayoutKind, PayoutOutcome, Pending, Sent, Unknown
from vextrus_payments.errors import PaymentsError

FAULTS: Final = (
    *("drop_before", "drop_after", "reset_before", "reset_after", "error_5xx_before", "error_5xx_after"),
    *("malformed_before", "malformed", "message_only_before", "message_only", "forbidden", "throttled"),
    *("expired_token", "code_before", "code_after"),
)
NAMES: Final = tuple(f"p-{number}" for number in range(5))


def process(shop: PayingShop, path: Path, root: str, seed: int) -> PayingShop:
    config = paying_config(shop.server, root)
    return PayingShop(shop.server, f"sqlite:///{path}", shop.clock, gateways={"bkash": config}, seed=seed)


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_goes_wrong_each_is_paid_once_at_most(tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    root, kind = rng.choice(
        [(CHECKOUT, PayoutKind.B2C), (CHECKOUT, PayoutKind.B2B), (TOKENIZED, PayoutKind.B2C)]
    )
    async with paying_shop(tmp_path) as shop:
        path, entries, told = tmp_path / "many.db", {}, list[tuple[str, PayoutOutcome]]()
        for round_ in range(3):
            shops = [process(shop, path, root, seed * 100 + round_ * 10 + number) for number in range(2)]
            for each in shops:
                await each.payments.open()
            for _ in range(rng.randrange(4)):
                shop.fault(
                    rng.choice(("payout", "payout_query", "payout_initiate", "balance")), rng.choice(FAULTS)
                )

            async def ask(each: PayingShop, name: str) -> None:
                try:
                    told.append((name, await each.pay(name, f"{10 + NAMES.index(name)}", kind=kind)))
                except PaymentsError as error:
                    assert error.effect.value != "refused"

            await asyncio.gather(
                *(ask(rng.choice(shops), rng.choice(NAMES)) for _ in range(rng.randrange(3, 9)))
            )
            if rng.random() < 0.6:
                shop.clock.advance(LONG_S)
                await rng.choice(shops).payments.reconcile_due()
            for each in shops:
                await each.payments.deliver()
                entries.update({entry.id: entry for entry in each.entries})
                await each.payments.aclose()
        shop.server.app.state.faults.reset()
        shop.clock.advance(LONG_S)
        last = process(shop, path, root, seed)
        async with last.payments:
            await last.payments.reconcile_due()
            await last.payments.deliver()
            entries.update({entry.id: entry for entry in last.entries})
            await judge(shop, last, entries, told)


async def judge(
    shop: PayingShop, last: PayingShop, entries: dict[str, object], told: list[tuple[str, PayoutOutcome]]
) -> None:
    """The gateway's own list against the records, the ledger, and everything that anybody was told."""
    made = shop.server.world.gateways["bkash"].rules.payouts.by_trx.values()
    booked = [entry for entry in entries.values() if entry.kind is EntryKind.PAYOUT_SENT]  # type: ignore[attr-defined]
    for name in NAMES:
        payout = await last.payments.find_payout(name)
        if payout is None:
            continue
        there = [one for one in made if one.invoice == payout.payout_id]
        mine = [entry for entry in booked if entry.operation_id == name]  # type: ignore[attr-defined]
        outcomes = [outcome for other, outcome in told if other == name]
        assert len(there) <= 1, "paid twice"
        final = await last.payments.payout_status(name)
        assert len(mine) == isinstance(final, Sent)
        if isinstance(final, Sent):
            assert [one.trx_id for one in there] == [final.transaction_id]
            assert there[0].amount_minor == final.amount.amount_minor
        if isinstance(final, Declined | Pending):
            assert not there, "called failed, and it was made"
        for outcome in outcomes:
            if isinstance(outcome, Sent | Declined):
                assert type(final) is type(outcome), "a final word was taken back"
            assert isinstance(outcome, Sent | Declined | Pending | Unknown)
    assert shop.server.world.audit() == []
