"""A shop that pays out loses its database, and an older backup takes its place. What left since is in no record, and no
gateway can be asked for it: whoever asks again has to be refused until a person has compared with the statement."""

from random import Random
from typing import Final

from vextrus_payments.outcomes import Declined, Review, Sent, Transferred
from vextrus_payments.payouts import TransferRequest
from vextrus_payments.testing.simulation.story_payouts import Leaving
from vextrus_payments.testing.simulation.story_restore import back_up_soon
from vextrus_payments.testing.simulation.town import Town
from vextrus_payments.testing.simulation.world import PaysOut

_KNOWN: Final = Sent | Transferred | Declined | Review


async def payout_restore_story(town: Town) -> None:
    """Some of two to four payouts; a backup; the others, and those that did not leave yet; the restore; a person
    compares; whoever asks, and a queue that begins anew, ask again all the while."""
    rng = town.rng
    banks = [world for world in town.worlds if isinstance(world, PaysOut)]
    wishes = [Wish(town, rng.choice(banks), number + 1) for number in range(rng.choice((2, 3, 3, 4)))]
    early = [wish for wish in wishes if rng.random() < 0.5] or wishes[:1]
    await town.together(*(wish.begins(rng.uniform(0.0, 60.0)) for wish in early))
    if not await back_up_soon(town):
        return
    await town.together(_loses(town, Random(rng.random())), *(wish.goes_on() for wish in wishes))


async def _loses(town: Town, rng: Random) -> None:
    """The machine is lost; a person asks the gateways, and then lays their statements beside the records."""
    await town.sleep(rng.choice((rng.uniform(1.0, 20.0), rng.uniform(20.0, 400.0))))
    town.restore()
    for does in (town.accept_restored, town.compare_payouts):
        for _ in range(8):
            await town.sleep(rng.choice((1.0, 20.0, 120.0)))
            if await does():
                break


class Wish(Leaving):
    """One payout or transfer, before and after the restore."""

    async def begins(self, after_s: float) -> None:
        """Before the backup. It may be that nothing leaves, and nobody asks again so soon."""
        await self._town.sleep(after_s)
        await self.is_asked_for(self._rng.choice((1, 1, 3)))

    async def is_asked_for(self, rounds: int) -> bool:
        """So often, with the same operation id, by somebody who stops when he knows. True: he does."""
        town, rng = self._town, self._rng
        if isinstance(self._request, TransferRequest):
            await self._filled(self._request)
        for _ in range(rounds):
            outcome = await town.pay_out(
                self._request, tenant=self._tenant, wait_s=rng.choice((None, 0.0, 5.0))
            )
            if isinstance(outcome, _KNOWN):
                return True
            await town.sleep(rng.choice((0.5, 5.0, 40.0, 90.0)))
        return False

    async def goes_on(self) -> None:
        """After the backup."""
        town, rng = self._town, self._rng
        actors = [self._caller() for _ in range(rng.choice((1, 1, 2)))]
        actors += [self._poll() for _ in range(rng.choice((0, 1)))]
        if rng.random() < 0.15:
            actors.append(self._withdrawn())
        await town.together(*actors, self._begins_anew())

    async def _begins_anew(self) -> None:
        """A queue whose place was in the database as well: it asks for all of it once more, whoever knows by now."""
        town, rng = self._town, self._rng
        while not town.is_restored:
            await town.sleep(10.0)
        for _ in range(rng.choice((4, 8, 12))):
            await town.sleep(rng.choice((1.0, 30.0, 90.0)))
            if await self.is_asked_for(1):
                return
