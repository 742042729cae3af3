"""A database is lost and its backup put in its place, in the middle of a shop's day. The epoch's mark outside has to
tell, and nothing that moves money may leave until somebody has asked the gateways what happened since."""

from random import Random

from vextrus_payments.money import Money
from vextrus_payments.outcomes import Authorized, Paid
from vextrus_payments.payment import Intent, PaymentRequest, PaymentSession, RefundRequest
from vextrus_payments.testing.simulation.town import Town
from vextrus_payments.testing.simulation.world import World, can_hold

_SOON_S = 100.0


async def restore_story(town: Town) -> None:
    """Orders, some of them paid; a backup; more is paid and given back; the restore; people ask; it goes on."""
    rng = town.rng
    orders = [Order(town, number + 1, rng.choice(town.worlds)) for number in range(rng.choice((2, 3, 4)))]
    await town.together(*(order.opens() for order in orders))
    early = [order for order in orders if rng.random() < 0.4]
    await town.together(*(order.is_paid(rounds=3) for order in early))
    if not await back_up_soon(town):
        return
    await town.together(_loses(town, Random(rng.random())), *(order.goes_on() for order in orders))


async def back_up_soon(town: Town) -> bool:
    """A backup, at a moment at which nothing is on its way. False: there was none."""
    for _ in range(21):
        await town.sleep(_SOON_S)
        if town.back_up():
            return True
    return False


async def _loses(town: Town, rng: Random) -> None:
    await town.sleep(rng.uniform(2.0, 120.0))
    town.restore()
    for _ in range(8):
        await town.sleep(rng.choice((1.0, 20.0, 120.0)))
        if await town.accept_restored():
            return


class Order:
    """One order, before and after the restore."""

    def __init__(self, town: Town, number: int, world: World) -> None:
        self._town = town
        self._world = world
        self._rng = Random(town.rng.random())
        self._reference = f"INV{number}x"
        self._tenant = None if town.tenants == ("default",) else self._rng.choice(town.tenants)
        self._hold = can_hold(world) and self._rng.random() < 0.3
        self._session: PaymentSession | None = None
        self._paid = False

    async def opens(self) -> None:
        """Its session."""
        self._session = await self._town.initialize(
            PaymentRequest(
                operation_id=f"{self._reference}/pay",
                gateway=self._world.gateway,
                amount=Money(self._rng.choice(("100", "49.50")), "BDT"),
                merchant_reference=self._reference,
                return_url=f"https://shop.test/orders/{self._reference}",
                intent=Intent.AUTHORIZATION if self._hold else Intent.SALE,
            ),
            tenant=self._tenant,
        )

    async def is_paid(self, *, rounds: int) -> None:
        """The payer pays; the shop asks on until it knows, or is tired of it."""
        town, rng, session = self._town, self._rng, self._session
        if session is None:
            return
        await town.sleep(rng.uniform(0.1, 30.0))
        self._world.approve(session.gateway_reference, "success")
        for _ in range(rounds):
            outcome = await town.execute(session.payment_id, tenant=self._tenant)
            if isinstance(outcome, Authorized):
                outcome = await town.capture(session.payment_id, tenant=self._tenant)
            if isinstance(outcome, Paid):
                self._paid = True
                return
            await town.sleep(rng.choice((0.5, 5.0, 40.0)))

    async def goes_on(self) -> None:
        """What happens after the backup: paying, asking, giving back."""
        town, rng = self._town, self._rng
        await self.is_paid(rounds=8)
        if self._session is not None and rng.random() < 0.5:
            await town.status(self._session.payment_id, tenant=self._tenant)
        if self._paid:
            await self._gives_back("before")
        await town.sleep(rng.choice((60.0, 300.0, 900.0)))
        await self.is_paid(rounds=4)
        if self._paid and town.is_restored:
            await self._gives_back("after")

    async def _gives_back(self, when: str) -> None:
        """Half of it, under an id that is not used again after the restore: the backup may not know of it, and then
        the same id again would be another refund, as for everybody who asks a service that has forgotten."""
        town, rng, session = self._town, self._rng, self._session
        if session is None or rng.random() < 0.4:
            return
        half = Money.from_minor(session.amount.amount_minor // 2, "BDT")
        request = RefundRequest(
            operation_id=f"{self._reference}/refund-{when}", payment_id=session.payment_id, amount=half
        )
        was_restored = town.is_restored
        for _ in range(3):
            if town.is_restored is not was_restored:
                return
            await town.refund(request, tenant=self._tenant)
            await town.sleep(rng.choice((1.0, 30.0)))
