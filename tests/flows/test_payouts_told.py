"""Gateways and people that say anything of payouts, in any order: books, records and outcomes stay one story."""

from pathlib import Path
from random import Random

import pytest

from tests.flows.payouts import PayingShop, paying_shop
from tests.flows.shop import LONG_S
from tests.flows.test_payouts import answer, kept, news, told
from vextrus_payments import (
    ConflictError,
    Declined,
    EntryKind,
    Money,
    ResolutionVerdict,
    Review,
    Sent,
    Unknown,
)
from vextrus_payments.errors import InvalidRequestError, StaleStateError
from vextrus_payments.records import OperationState, Payout
from vextrus_payments.states import OPEN_STATES

AMOUNTS = ("250.50", "200", "25.50")
_SENT, _BACK = EntryKind.PAYOUT_SENT, EntryKind.PAYOUT_REVERSED

#: (payout, transaction, amount): what the gateway has said, and at which version it was heard.
Told = dict[tuple[str, str, str], int]


async def one_says(shop: PayingShop, rng: Random, names: list[str], ids: list[str], heard: Told) -> None:
    """Something that a gateway may tell, or a person may answer."""
    name, transaction_id, amount = rng.choice(names), rng.choice(ids), rng.choice(AMOUNTS)
    payout = await kept(shop, name)
    if rng.random() < 0.5:
        await told(shop, news(payout, transaction_id, amount))
        after = await kept(shop, name)
        heard.setdefault((name, transaction_id, amount), after.version)
        await told(shop, news(after, transaction_id, amount))
        assert (await kept(shop, name)) == after, "the same word again changes nothing"
        return
    verdict = rng.choice(list(ResolutionVerdict))
    changes: dict[str, object] = {"reviewed_version": payout.version}
    if verdict is ResolutionVerdict.MADE:
        changes |= {"transaction_id": transaction_id, "amount": Money(amount)}
    elif verdict is ResolutionVerdict.CLEARED:
        changes["operation_id"] = None
    wanted = answer(payout, verdict, **changes)
    try:
        done = await shop.payments.resolve_payout(wanted)
    except (ConflictError, StaleStateError, InvalidRequestError):
        assert await kept(shop, name) == payout, "what was refused wrote nothing"
        return
    assert await shop.payments.resolve_payout(wanted) == done == await kept(shop, name)


async def judge(shop: PayingShop, names: list[str], heard: Told) -> None:
    """Everything that has to hold after every word."""
    await shop.payments.deliver()
    payouts = {name: await kept(shop, name) for name in names}
    waiting = {
        one.operation_id for one in (await shop.payments.list_payouts(unsettled=True, limit=1000)).rows
    }
    for name, payout in payouts.items():
        entries = {e.id: e for e in shop.entries if e.operation_id == name}.values()
        booked = sum(e.postings[0].amount.amount_minor * {_SENT: 1, _BACK: -1}[e.kind] for e in entries)
        assert booked == sum(r.amount.amount_minor for r in payout.standing), "the books are the receipts"
        outcome = await shop.payments.payout_status(name)
        assert isinstance(outcome, Review) == payout.in_review
        assert (name in waiting) == (payout.in_review or payout.state in OPEN_STATES)
        if isinstance(outcome, Sent):
            assert outcome.transaction_id in {r.transaction_id for r in payout.standing}
        if isinstance(outcome, Declined | Unknown):
            assert not payout.standing
        heard_of = {key: version for key, version in heard.items() if key[0] == name}
        if payout.state is OperationState.DECLINED and not payout.in_review:
            assert all(_was_answered(payout, version) for version in heard_of.values()), (
                "it was made, they say"
            )
        for (_, transaction_id, amount), version in heard_of.items():
            stands = any(
                r.transaction_id == transaction_id and r.amount == Money(amount) for r in payout.standing
            )
            assert stands or payout.in_review or _was_answered(payout, version), "a word was lost"
    standing = [r.transaction_id for payout in payouts.values() for r in payout.standing]
    assert len(standing) == len(set(standing)), "one transaction stands for two payouts"


def _was_answered(payout: Payout, version: int) -> bool:
    """Whether a person looked at it after the gateway's word was heard."""
    return any(said.reviewed_version >= version for said in payout.resolutions)


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_is_said_the_books_follow(tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    async with paying_shop(tmp_path, store="memory://") as shop:
        for turn in range(10):
            names = [f"a-{turn}", f"b-{turn}"]
            ids = [f"T{turn}X{number}" for number in range(3)]
            heard: Told = {}
            for name in names:
                shop.fault("payout", "drop_before")
                assert isinstance(await shop.pay(name), Unknown)
            shop.clock.advance(LONG_S)
            for _ in range(14):
                await one_says(shop, rng, names, ids, heard)
                shop.clock.advance(LONG_S)
                await judge(shop, names, heard)
        assert shop.calls("payout") == 20 and shop.sent == 0, "words send nothing"
