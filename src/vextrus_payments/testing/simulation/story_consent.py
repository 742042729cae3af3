"""Payers who give a standing consent, are charged by it, and take it back: at gateways that have agreements."""

from random import Random
from typing import Final

from vextrus_payments.money import Money
from vextrus_payments.outcomes import Declined, Paid
from vextrus_payments.payment import ConsentRequest, PaymentRequest
from vextrus_payments.records import Agreement, AgreementLife
from vextrus_payments.testing.simulation.town import Town
from vextrus_payments.testing.simulation.world import World

_OVER: Final = (AgreementLife.CLOSED, AgreementLife.ENDED)


async def consent_story(town: Town) -> None:
    """One or two payers, each with an agreement, its charges and its end."""
    worlds = [world for world in town.worlds if world.consents() is not None]
    payers = [Payer(town, town.rng.choice(worlds), n + 1) for n in range(town.rng.choice((1, 1, 2)))]
    await town.together(*(payer.play() for payer in payers))


class Payer:
    """One payer's agreement, from asking for it to its end."""

    def __init__(self, town: Town, world: World, number: int) -> None:
        self._town = town
        self._world = world
        self._rng = Random(town.rng.random())
        self._name = f"payer-{number}"
        self._tenant = None if town.tenants == ("default",) else self._rng.choice(town.tenants)

    async def play(self) -> None:
        """Everything."""
        town, rng = self._town, self._rng
        agreement = await town.create_agreement(
            ConsentRequest(
                operation_id=f"{self._name}/consent",
                gateway=self._world.gateway,
                payer_reference=self._name,
                return_url=f"https://shop.test/wallets/{self._name}",
            ),
            tenant=self._tenant,
        )
        if agreement is None or agreement.gateway_reference is None:
            return
        key = agreement.agreement_key
        if rng.random() < 0.08:
            # The shop gives it up before the payer has answered, or while he does.
            await town.together(self._consents(agreement), self._ends(key))
        else:
            await self._consents(agreement)
        last = await self._settled(key)
        if last is None or last.state is not AgreementLife.ACTIVE:
            return
        charges = [self._charge(key, number) for number in range(rng.choice((1, 1, 2)))]
        if rng.random() < 0.3:
            await town.together(*charges, self._ends(key))
            return
        await town.together(*charges)
        if rng.random() < 0.7:
            await town.together(*(self._ends(key) for _ in range(rng.choice((1, 1, 2)))))

    async def _consents(self, agreement: Agreement) -> None:
        """The payer answers on the page; his browser and the shop's own pages ask at the same time."""
        town, rng = self._town, self._rng
        reference, key = agreement.gateway_reference, agreement.agreement_key
        assert reference is not None, "play() checked it"
        if rng.random() < 0.1:
            verdict = rng.choice(("success", "cancel"))
            await town.come_back(self._world, reference, verdict, tenant=self._tenant)
        await town.sleep(rng.uniform(0.1, 10.0))
        how = rng.choice(("success",) * 8 + ("cancel", "failure", "never"))
        if how == "never":
            return
        self._world.approve(reference, how)
        callers = rng.choice((0, 1, 2)) if how == "success" else 0
        await town.together(
            town.come_back(self._world, reference, how, tenant=self._tenant),
            town.agreement_status(key, tenant=self._tenant),
            *(town.execute_agreement(key, tenant=self._tenant) for _ in range(callers)),
        )

    async def _settled(self, key: str) -> Agreement | None:
        """The shop's page asks on until it knows."""
        town, rng, last = self._town, self._rng, None
        for _ in range(rng.choice((1, 3, 6))):
            ask = town.execute_agreement if rng.random() < 0.5 else town.agreement_status
            last = await ask(key, tenant=self._tenant)
            if last is not None and last.state in (AgreementLife.ACTIVE, *_OVER):
                return last
            await town.sleep(rng.choice((0.5, 20.0, 90.0)))
        return last

    async def _ends(self, key: str) -> None:
        """Ended by the shop, again until it knows."""
        town, rng = self._town, self._rng
        await town.sleep(rng.choice((0.0, 0.5, 5.0)))
        for _ in range(rng.choice((1, 2, 4))):
            last = await town.cancel_agreement(key, tenant=self._tenant)
            if last is not None and last.state in _OVER:
                return
            await town.sleep(rng.choice((1.0, 30.0, 100.0)))

    async def _charge(self, key: str, number: int) -> None:
        """A payment by the agreement: the payer types his PIN and nothing else."""
        town, rng, reference = self._town, self._rng, f"{self._name}-{number}x"
        await town.sleep(rng.uniform(0.0, 3.0))
        session = await town.initialize(
            PaymentRequest(
                operation_id=f"{reference}/pay",
                gateway=self._world.gateway,
                amount=Money(rng.choice(("100", "49.50")), "BDT"),
                merchant_reference=reference,
                return_url=f"https://shop.test/orders/{reference}",
                agreement_key=key,
            ),
            tenant=self._tenant,
            tries=4,
        )
        if session is None:
            return
        await town.sleep(rng.uniform(0.1, 4.0))
        self._world.approve(session.gateway_reference, "success")
        if rng.random() < 0.5:
            await town.come_back(self._world, session.gateway_reference, "success", tenant=self._tenant)
        for _ in range(rng.choice((1, 2, 4))):
            outcome = await town.execute(session.payment_id, tenant=self._tenant)
            if isinstance(outcome, Paid | Declined):
                return
            await town.sleep(rng.choice((0.5, 5.0, 90.0)))
