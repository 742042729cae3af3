"""A shop that pays out: callers who ask with the same operation id until they know, and a bookkeeper beside them who
takes back what was not let out and answers what nobody can be asked about, by the gateway's statement."""

from functools import partial
from random import Random
from typing import Final

from vextrus_payments.app import Payments
from vextrus_payments.errors import PaymentsError
from vextrus_payments.money import Money
from vextrus_payments.outcomes import Declined, Review, Sent, Transferred
from vextrus_payments.payouts import PayoutKind, PayoutRequest, TransferDirection, TransferRequest
from vextrus_payments.records import OperationState, Payout
from vextrus_payments.testing.simulation.portal import answer_payout_by_books
from vextrus_payments.testing.simulation.process import ProcessDiedError
from vextrus_payments.testing.simulation.story import shop_story
from vextrus_payments.testing.simulation.town import Town
from vextrus_payments.testing.simulation.world import PaysOut, World

_RECEIVERS: Final = ("01770618575",) * 10 + ("01823074818", "01999999999")
"""The published test wallet; one that is blocked; one that nobody has."""
_AMOUNTS_MINOR: Final = (1_000, 25_050, 100_000)
_TOO_MUCH_MINOR: Final = 15_000_000
"""More than there is: declined."""
_READS_AGAIN_AFTER_S: Final = 200.0
"""A bookkeeper who finds something unknown lets the gateway finish before he looks into its statement."""
_PAGE: Final = 50


async def payout_story(town: Town) -> None:
    """One to three payouts or transfers; in one run of four orders are paid beside them."""
    rng = town.rng
    banks = [world for world in town.worlds if isinstance(world, PaysOut)]
    wishes = [Leaving(town, rng.choice(banks), number + 1) for number in range(rng.choice((1, 2, 2, 3)))]
    actors = [wish.play() for wish in wishes]
    if rng.random() < 0.5:
        actors.append(Bookkeeper(town).work())
    if rng.random() < 0.25:
        actors.append(shop_story(town))
    await town.together(*actors)


class Leaving:
    """One payout or transfer: everybody who asks for it, until he knows or is tired of it."""

    def __init__(self, town: Town, world: World, number: int) -> None:
        self._town = town
        self._world = world
        self._rng = rng = Random(town.rng.random())
        self._name = f"out-{number}"
        self._tenant = None if town.tenants == ("default",) else rng.choice(town.tenants)
        amount_minor = _TOO_MUCH_MINOR if rng.random() < 0.06 else rng.choice(_AMOUNTS_MINOR)
        # No two are alike: the amount is all by which a statement tells one transfer from another.
        self._request = self._asked(amount_minor + number)

    def _asked(self, amount_minor: int) -> PayoutRequest | TransferRequest:
        rng, amount = self._rng, Money.from_minor(amount_minor, "BDT")
        kind = rng.choice((PayoutKind.B2C,) * 4 + (PayoutKind.B2B,) * 2 + (PayoutKind.TRANSFER,) * 2)
        if kind is PayoutKind.TRANSFER:
            return TransferRequest(
                operation_id=self._name,
                gateway=self._world.gateway,
                amount=amount,
                direction=rng.choice((TransferDirection.TO_COLLECTION,) * 3 + tuple(TransferDirection)),
            )
        return PayoutRequest(
            operation_id=self._name,
            gateway=self._world.gateway,
            amount=amount,
            receiver=rng.choice(_RECEIVERS),
            reference=f"salary {self._name}",
            kind=kind,
        )

    async def play(self) -> None:
        """Everything."""
        town, rng = self._town, self._rng
        if isinstance(self._request, TransferRequest):
            await self._filled(self._request)
        actors = [self._caller() for _ in range(rng.choice((1, 1, 2, 3)))]
        actors += [self._poll() for _ in range(rng.choice((0, 0, 1, 2)))]
        if rng.random() < 0.15:
            actors.append(self._withdrawn())
        if rng.random() < 0.1:
            actors.append(self._by_mistake())
        await town.together(*actors)

    async def _caller(self) -> None:
        """Asks, and again with the same operation id when his process died or nobody could tell."""
        town, rng = self._town, self._rng
        await town.sleep(rng.choice((0.0, 0.0, 0.5, 4.0)))
        for _ in range(rng.choice((1, 2, 4, 6))):
            outcome = await town.pay_out(
                self._request, tenant=self._tenant, wait_s=rng.choice((None, 0.0, 5.0))
            )
            if isinstance(outcome, Sent | Transferred | Declined | Review):
                return
            await town.sleep(rng.choice((0.5, 5.0, 40.0, 90.0)))

    async def _filled(self, request: TransferRequest) -> None:
        """What is to come out of the account for payments has to be in it first."""
        if request.direction is TransferDirection.TO_DISBURSEMENT:
            first = TransferRequest(
                operation_id=f"{self._name}/first",
                gateway=request.gateway,
                amount=Money.from_minor(request.amount.amount_minor + 20_000, "BDT"),
                direction=TransferDirection.TO_COLLECTION,
            )
            await self._town.pay_out(first, tenant=self._tenant)

    async def _poll(self) -> None:
        await self._town.sleep(self._rng.choice((0.5, 10.0, 60.0, 300.0)))
        await self._town.payout_status(self._request.operation_id, tenant=self._tenant)

    async def _withdrawn(self) -> None:
        """Somebody thinks better of it."""
        await self._town.sleep(self._rng.choice((0.0, 0.5, 8.0, 60.0)))
        await self._town.withdraw_payout(self._request.operation_id, tenant=self._tenant)

    async def _by_mistake(self) -> None:
        """Another amount under the same operation id: refused, whoever comes first."""
        await self._town.sleep(self._rng.choice((0.0, 2.0, 30.0)))
        other = self._asked(self._request.amount.amount_minor + 50)
        await self._town.pay_out(other, tenant=self._tenant)


class Bookkeeper:
    """Looks at what is unknown now and then, and answers by the gateway's statement."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._rng = Random(town.rng.random())

    async def work(self) -> None:
        """Now and then, for an hour at most."""
        town, rng = self._town, self._rng
        for _ in range(rng.choice((1, 2, 3))):
            await town.sleep(rng.choice((30.0, 90.0, 400.0)))
            try:
                unknown = await town.call(self._unknown)
                await town.sleep(_READS_AGAIN_AFTER_S)
                for found in unknown:
                    await town.call(partial(self._answer, found))
            except (PaymentsError, ProcessDiedError):
                continue

    async def _unknown(self, payments: Payments) -> list[Payout]:
        rows = (await payments.store.list_payouts(None, unsettled=True, limit=_PAGE)).rows
        return [row for row in rows if row.state is OperationState.UNKNOWN]

    async def _answer(self, found: Payout, payments: Payments) -> None:
        current = await payments.store.get_payout(found.tenant, found.payout_id)
        world = self._town.world(found.gateway, found.mode.value)
        # Another fence is another send: he looks at that one another time.
        if current is None or current.state is not OperationState.UNKNOWN or not isinstance(world, PaysOut):
            return
        if current.operation.fence == found.operation.fence:
            await answer_payout_by_books(payments, current, world)
