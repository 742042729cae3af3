"""Payers who subscribe, at gateways that collect by themselves: what is collected is told by webhooks that may get
lost, shown when somebody asks, and has to be booked once; payers and the shop end it, and money goes back. Some consent
twice: once more on a page whose address never reached the shop."""

from random import Random
from typing import Any, Final

from vextrus_payments.app import Payments
from vextrus_payments.consent_pages import request_id_of
from vextrus_payments.errors import PaymentsError
from vextrus_payments.money import Money
from vextrus_payments.outcomes import Declined, Refunded
from vextrus_payments.payment import ConsentRequest, RefundRequest
from vextrus_payments.records import Agreement, AgreementLife, PaymentFacts, PaymentState
from vextrus_payments.testing.simulation.process import ProcessDiedError
from vextrus_payments.testing.simulation.town import Town
from vextrus_payments.testing.simulation.world import CollectsByItself

_OVER: Final = (AgreementLife.CLOSED, AgreementLife.ENDED)
_SCHEDULE_S: Final = 30.0
_PAGES: Final = 6
"""So many pages of one subscription a payer comes upon: more are seldom asked for."""
_ROUNDS: Final = 8
"""So often, every half minute, what has fallen due is collected: after that nothing falls due any more."""


async def subscription_story(town: Town) -> None:
    """One or two subscribers, and the days of the gateway's schedule."""
    worlds = [world for world in town.worlds if isinstance(world, CollectsByItself)]
    members = [Member(town, town.rng.choice(worlds), n + 1) for n in range(town.rng.choice((1, 1, 2)))]
    await town.together(_days(town, worlds), *(member.play() for member in members))


async def _days(town: Town, worlds: list[Any]) -> None:
    for _ in range(_ROUNDS):
        await town.sleep(_SCHEDULE_S)
        for world in worlds:
            world.collect()


class Member:
    """One payer's subscription, from asking for it to its end."""

    def __init__(self, town: Town, world: Any, number: int) -> None:
        self._town = town
        self._world = world
        self._rng = Random(town.rng.random())
        self._name = f"member-{number}"
        self._plan = f"PLAN-{number}"
        self._tenant = None if town.tenants == ("default",) else self._rng.choice(town.tenants)

    async def play(self) -> None:
        """Everything."""
        town, rng = self._town, self._rng
        agreement = await town.create_agreement(
            ConsentRequest(
                operation_id=f"{self._name}/consent",
                gateway=self._world.gateway,
                payer_reference=self._name,
                merchant_reference=self._plan,
                return_url=f"https://shop.test/plans/{self._name}",
                params=self._world.terms(rng),
            ),
            tenant=self._tenant,
        )
        if agreement is None or agreement.gateway_reference is None:
            return
        consents = [self._consents(agreement, agreement.gateway_reference)]
        # When the last page is over, the wall clock tells: one that is set by an hour may say so too early.
        if rng.random() < 0.7 and not town.sets_clocks:
            consents.append(self._consents_elsewhere(agreement, agreement.gateway_reference))
        await town.together(*consents)
        later = [self._looks(agreement.agreement_key), self._gives_back(), self._gives_back()]
        if rng.random() < 0.35:
            later.append(self._leaves(agreement.gateway_reference))
        if rng.random() < 0.5:
            later.append(self._ends(agreement.agreement_key))
        if rng.random() < 0.3:
            later.append(self._ends_the_second(agreement.agreement_key))
        await town.together(*later)

    async def _consents(self, agreement: Agreement, reference: str) -> None:
        """The payer answers on the page; his browser and the shop's own pages ask at the same time."""
        town, rng, key = self._town, self._rng, agreement.agreement_key
        if rng.random() < 0.1:
            await town.come_back(self._world, reference, "success", tenant=self._tenant)
        await town.sleep(rng.uniform(0.1, 10.0))
        if rng.random() < 0.2:
            self._world.change_amount(reference, 6_000)
        how = rng.choice(("success",) * 14 + ("poor", "poor", "cancel", "failure", "never"))
        if how == "never" or not self._world.approve(reference, how):
            return
        if rng.random() < 0.1:
            self._world.leave(reference)  # at once, and nobody has asked yet
        if rng.random() < 0.2:
            return  # his browser never comes back
        verdict = "success" if how == "poor" else how
        await town.together(
            town.come_back(self._world, reference, verdict, tenant=self._tenant),
            *(town.execute_agreement(key, tenant=self._tenant) for _ in range(rng.choice((0, 0, 1, 2)))),
        )

    async def _consents_elsewhere(self, agreement: Agreement, reference: str) -> None:
        """An answer that named another page of it got lost. The payer came upon that page, and consents there, too."""
        town, rng = self._town, self._rng
        await town.sleep(rng.choice((0.0, rng.uniform(0.0, 10.0), rng.uniform(10.0, 200.0))))
        for number in range(1, _PAGES + 1):
            page = request_id_of(agreement.agreement_key, number)
            if page == reference or not self._world.approve(page, "success"):
                continue
            if rng.random() < 0.1:
                self._world.leave(page)
            if rng.random() < 0.4:
                await town.come_back(self._world, page, "success", tenant=self._tenant)
            return

    async def _looks(self, key: str) -> None:
        """The shop's page asks now and then, or nobody does."""
        town, rng = self._town, self._rng
        for _ in range(rng.choice((0, 1, 1, 3))):
            await town.sleep(rng.choice((5.0, 30.0, 70.0)))
            ask = town.execute_agreement if rng.random() < 0.3 else town.agreement_status
            await ask(key, tenant=self._tenant)

    async def _leaves(self, reference: str) -> None:
        """The payer ends it at the gateway, behind the shop's back."""
        await self._town.sleep(self._rng.uniform(1.0, 200.0))
        self._world.leave(reference)

    async def _ends(self, key: str) -> None:
        """Ended by the shop, again until it knows."""
        town, rng = self._town, self._rng
        await town.sleep(rng.uniform(1.0, 200.0))
        for _ in range(rng.choice((1, 2, 4))):
            last = await town.cancel_agreement(key, tenant=self._tenant)
            if last is not None and last.state in _OVER:
                return
            await town.sleep(rng.choice((1.0, 30.0, 100.0)))

    async def _ends_the_second(self, key: str) -> None:
        """The shop has heard that its payer consented twice, and ends what stands beside the first."""
        town = self._town
        await town.sleep(self._rng.uniform(60.0, 300.0))
        for second in await self._beside(key):
            await town.cancel_agreement(second, tenant=self._tenant)

    async def _beside(self, key: str) -> list[str]:
        async def listed(payments: Payments) -> list[str]:
            rows = (await payments.store.list_agreements(None)).rows
            return [one.agreement_key for one in rows if one.beside == key]

        try:
            return await self._town.call(listed)
        except (PaymentsError, ProcessDiedError):
            return []

    async def _gives_back(self) -> None:
        """Part of something that was collected goes back."""
        town, rng = self._town, self._rng
        await town.sleep(rng.uniform(40.0, 300.0))
        paid = await self._paid()
        if not paid or rng.random() < 0.2:
            return
        payment_id = rng.choice(paid)
        request = RefundRequest(
            operation_id=f"{self._name}/back-{payment_id[-6:]}-{rng.randrange(9)}",
            payment_id=payment_id,
            amount=rng.choice((None, Money("5", "BDT"))),
        )
        for _ in range(rng.choice((1, 2, 3))):
            outcome = await town.refund(request, tenant=self._tenant)
            if isinstance(outcome, Refunded | Declined):
                return
            await town.sleep(rng.choice((1.0, 30.0, 100.0)))
        await town.refund_status(request.operation_id, tenant=self._tenant)

    async def _paid(self) -> list[str]:
        try:
            found = await self._town.call(self._found)
        except (PaymentsError, ProcessDiedError):
            return []
        return [one.payment.payment_id for one in found if one.payment.state is PaymentState.PAID]

    async def _found(self, payments: Payments) -> tuple[PaymentFacts, ...]:
        handle = payments if self._tenant is None else payments.for_tenant(self._tenant)
        return await handle.find(merchant_reference=self._plan)
