"""The story that is played unless a test brings its own: a few orders, impatient payers, refunds, forged returns."""

from dataclasses import dataclass, replace
from random import Random
from typing import Final

from vextrus_payments.money import Money
from vextrus_payments.outcomes import Authorized, Declined, Paid, Pending, Refunded, Review, Unknown
from vextrus_payments.payment import Intent, PaymentRequest, PaymentSession, RefundRequest
from vextrus_payments.testing.simulation.town import Town
from vextrus_payments.testing.simulation.world import World, can_hold, opens_payments

_AMOUNTS: Final = ("100", "49.50", "1", "1250.75")


@dataclass(frozen=True, slots=True)
class Plot:
    """What one order goes through."""

    reference: str
    tenant: str | None
    gateways: tuple[World, ...]
    """One per tab: several tabs are several payments of one merchant reference."""
    amount: Money
    payer: str
    other_amount: bool
    tabs_return: int
    polls: int
    refunds: tuple[str | None, ...]
    hold: str
    """Empty, or what becomes of the hold: capture, void, both at once, or neither."""
    at_once: bool


def draw(rng: Random, town: Town, number: int) -> Plot:
    """A plot for the order of that number."""
    gateways = [world for world in town.worlds if opens_payments(world)]
    tabs = rng.choice((1, 1, 1, 2, 2, 3))
    payer = rng.choice(("success",) * 8 + ("cancel", "failure", "poor", "never"))
    amount = Money(rng.choice(_AMOUNTS), "BDT")
    half = str(Money.from_minor(max(1, amount.amount_minor // 2), "BDT").amount)
    refunds: tuple[str | None, ...] = rng.choice(
        ((), (), (None,), (half,), (half, half), (half, half, half), (None, None), (half, None))
    )
    tenant = None if town.tenants == ("default",) else rng.choice(town.tenants)
    # The same reference in every shop: tenants never meet, whatever their invoices are called.
    return Plot(
        reference=f"INV{number}x",
        tenant=tenant,
        gateways=tuple(rng.choice(gateways) for _ in range(tabs)),
        amount=amount,
        payer=payer,
        other_amount=rng.random() < 0.06,
        tabs_return=rng.choice((1, 1, 2, 3)),
        polls=rng.choice((0, 0, 1, 2)),
        refunds=refunds,
        hold=rng.choice(("",) * 7 + ("capture", "capture", "void", "both", "neither")),
        at_once=rng.random() < 0.5,
    )


async def shop_story(town: Town) -> None:
    """One to three orders at the same time."""
    orders = town.rng.choice((1, 1, 2, 3))
    await _play(town, [draw(town.rng, town, number + 1) for number in range(orders)])


async def hard_story(town: Town) -> None:
    """Three orders whose payers pay in several tabs and then want their money back, in parts: what breaks a promise
    about money breaks it here sooner."""
    plots = [draw(town.rng, town, number + 1) for number in range(3)]
    for place, plot in enumerate(plots):
        half = str(Money.from_minor(max(1, plot.amount.amount_minor // 2), "BDT").amount)
        other = town.rng.choice([world for world in town.worlds if opens_payments(world)])
        tabs = (*plot.gateways, other)[: town.rng.choice((1, 2, 2))]
        refunds = town.rng.choice(((half, half), (half, half, half), (None, half)))
        payer = plot.payer if plot.payer == "success" or town.rng.random() < 0.2 else "success"
        plots[place] = replace(plot, payer=payer, gateways=tabs, refunds=refunds)
    await _play(town, plots)


async def _play(town: Town, plots: list[Plot]) -> None:
    if plots[0].tenant is not None and len(town.tenants) > 1 and len(plots) > 1:
        twin = town.tenants[(town.tenants.index(plots[0].tenant) + 1) % len(town.tenants)]
        plots[1] = replace(plots[0], tenant=twin)
    await town.together(*(Order(town, plot, Random(town.rng.random())).play() for plot in plots))


class Order:
    """One order, from its first tab to its last refund."""

    def __init__(self, town: Town, plot: Plot, rng: Random) -> None:
        self._town = town
        self._plot = plot
        self._rng = rng
        self._paid: list[str] = []

    async def play(self) -> None:
        """Everything."""
        plot = self._plot
        await self._town.together(*(self._tab(number, world) for number, world in enumerate(plot.gateways)))
        if not self._paid:
            return
        await self._refunds(self._paid[0])

    # --- paying ---------------------------------------------------------------------------------------------------

    async def _tab(self, number: int, world: World) -> None:
        town, plot, rng = self._town, self._plot, self._rng
        await town.sleep(number * rng.uniform(0.0, 8.0))
        session = await town.initialize(
            PaymentRequest(
                operation_id=f"{plot.reference}/pay-{number}",
                gateway=world.gateway,
                amount=plot.amount,
                merchant_reference=plot.reference,
                return_url=f"https://shop.test/orders/{plot.reference}",
                intent=Intent.AUTHORIZATION if plot.hold and can_hold(world) else Intent.SALE,
            ),
            tenant=plot.tenant,
        )
        if session is None:
            return
        await town.together(
            self._payer(session, world),
            *(self._poll(session) for _ in range(plot.polls)),
        )

    async def _payer(self, session: PaymentSession, world: World) -> None:
        town, plot, rng = self._town, self._plot, self._rng
        reference = session.gateway_reference
        if rng.random() < 0.1:
            # Anybody can send a return, long before the payer has done anything.
            await town.come_back(
                world, reference, rng.choice(("success", "cancel", "failure")), tenant=plot.tenant
            )
        await town.sleep(rng.uniform(0.1, 10.0))
        if plot.other_amount:
            world.change_amount(reference, plot.amount.amount_minor + rng.choice((-50, 700)))
        if plot.payer == "never":
            return
        world.approve(reference, plot.payer)
        if plot.payer in ("cancel", "failure"):
            await town.come_back(world, reference, plot.payer, tenant=plot.tenant)
            return
        if rng.random() < 0.08:
            # He approved, and then his browser says that he did not: a lie, a bug, or a second thought.
            await town.come_back(world, reference, "cancel", tenant=plot.tenant)
            return
        await town.together(*(self._returns(session, world, number) for number in range(plot.tabs_return)))

    async def _returns(self, session: PaymentSession, world: World, number: int) -> None:
        """One browser comes back; the shop's page asks on until it knows."""
        town, plot, rng = self._town, self._plot, self._rng
        await town.sleep(number * rng.choice((0.0, 0.0, 0.4, 5.0)))
        if rng.random() < 0.6:
            await town.come_back(world, session.gateway_reference, "success", tenant=plot.tenant)
        for _ in range(rng.choice((1, 2, 4))):
            outcome = await town.execute(
                session.payment_id, tenant=plot.tenant, wait_s=rng.choice((None, 0.0, 5.0))
            )
            match outcome:
                case Paid():
                    if session.payment_id not in self._paid:
                        self._paid.append(session.payment_id)
                    return
                case Authorized():
                    await self._held(session)
                    return
                case Declined() | Review():
                    return
                case Unknown() | Pending() | None:
                    await town.sleep(rng.choice((0.5, 5.0, 40.0, 90.0)))
                case _:
                    return

    async def _held(self, session: PaymentSession) -> None:
        """The money is held; it is taken, let go, or left where it is."""
        town, plot, rng = self._town, self._plot, self._rng
        await town.sleep(rng.uniform(0.0, 5.0))
        wishes = {"capture": (town.capture,), "void": (town.void,), "both": (town.capture, town.void)}
        for _ in range(rng.choice((1, 2, 3))):
            verbs = wishes.get(plot.hold, ())
            await town.together(*(verb(session.payment_id, tenant=plot.tenant) for verb in verbs))
            await town.sleep(rng.choice((1.0, 30.0, 100.0)))
        outcome = await town.status(session.payment_id, tenant=plot.tenant)
        if isinstance(outcome, Paid) and session.payment_id not in self._paid:
            self._paid.append(session.payment_id)

    async def _poll(self, session: PaymentSession) -> None:
        await self._town.sleep(self._rng.uniform(0.0, 20.0))
        await self._town.status(session.payment_id, tenant=self._plot.tenant)

    # --- giving back ----------------------------------------------------------------------------------------------

    async def _refunds(self, payment_id: str) -> None:
        plot = self._plot
        wishes = [self._refund(payment_id, number, amount) for number, amount in enumerate(plot.refunds)]
        if plot.at_once:
            await self._town.together(*wishes)
            return
        for wish in wishes:
            await wish

    async def _refund(self, payment_id: str, number: int, amount: str | None) -> None:
        town, plot, rng = self._town, self._plot, self._rng
        operation_id = f"{plot.reference}/refund-{number}"
        request = RefundRequest(
            operation_id=operation_id,
            payment_id=payment_id,
            amount=None if amount is None else Money(amount, "BDT"),
        )
        for _ in range(rng.choice((1, 2, 3))):
            outcome = await town.refund(request, tenant=plot.tenant)
            if isinstance(outcome, Refunded | Declined):
                break
            await town.sleep(rng.choice((1.0, 30.0, 100.0)))
        if rng.random() < 0.3:
            await town.refund_status(operation_id, tenant=plot.tenant)
