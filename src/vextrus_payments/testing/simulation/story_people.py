"""People at work beside the service: operators who answer what no gateway has, withdraw, clear, and refund in the
gateway's own portal. What they say is true: they read the gateway's books, as at its portal."""

from abc import ABC, abstractmethod
from random import Random
from typing import Final

from vextrus_payments.app import Payments
from vextrus_payments.errors import PaymentsError
from vextrus_payments.records import (
    Flag,
    Operation,
    OperationKind,
    OperationState,
    Payment,
    PaymentState,
    ResolutionVerdict,
)
from vextrus_payments.resolving import ResolveRequest
from vextrus_payments.testing.simulation.portal import answer_by_books, is_shown_in_books
from vextrus_payments.testing.simulation.process import ProcessDiedError
from vextrus_payments.testing.simulation.story import hard_story
from vextrus_payments.testing.simulation.town import Town
from vextrus_payments.testing.simulation.world import World

_SEEN_BY: Final = (PaymentState.PAID, PaymentState.AWAITING_PAYER, PaymentState.AUTHORIZED)
_PAGE: Final = 50


async def people_story(town: Town) -> None:
    """Orders as in `hard_story`, and people beside them until some time after the last one."""
    people = [Operator(town), Operator(town), Portal(town), Withdrawer(town)]
    await town.together(hard_story(town), *(person.work() for person in people))


class _Person(ABC):
    """Somebody who looks at the records now and then, and acts."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._rng = Random(town.rng.random())

    async def work(self) -> None:
        """Now and then, for a few hours at most."""
        town, rng = self._town, self._rng
        for _ in range(rng.choice((1, 2, 3))):
            await town.sleep(rng.choice((3.0, 20.0, 90.0, 200.0, 600.0)))
            try:
                await town.call(self._look)
            except (PaymentsError, ProcessDiedError):
                continue

    @abstractmethod
    async def _look(self, payments: Payments) -> None:
        """What he does at one visit."""

    async def _payments(self, payments: Payments) -> list[Payment]:
        found: list[Payment] = []
        for state in _SEEN_BY:
            found += (await payments.store.list(None, state=state, limit=_PAGE)).rows
        return found

    def _world(self, payment: Payment) -> World:
        return self._town.world(payment.gateway, payment.mode.value)


class Operator(_Person):
    """Answers unknowns and clears quarantines, by what the gateway's books say."""

    async def _look(self, payments: Payments) -> None:
        states = (OperationState.UNKNOWN, OperationState.SUBMITTING)
        unknown = [
            one
            for one in (await payments.store.list_operations(None, states=states, limit=_PAGE)).rows
            if one.kind is not OperationKind.INITIALIZE
        ]
        strange = [one for one in await self._payments(payments) if Flag.QUARANTINED in one.flags]
        if unknown and (not strange or self._rng.random() < 0.8):
            operation = self._rng.choice(unknown)
            await self._answer(payments, operation)
        elif strange:
            await self._clear(payments, self._rng.choice(strange))

    async def _answer(self, payments: Payments, operation: Operation) -> None:
        facts = await payments.store.get(operation.tenant, operation.payment_id)
        current = facts.operation(operation.operation_id) if facts is not None else None
        if facts is None or current is None or not is_shown_in_books(facts, current):
            return
        await self._town.sleep(self._rng.choice((0.0, 1.0, 30.0)))  # while he reads, things go on
        await answer_by_books(payments, facts, current, self._world(facts.payment))

    async def _clear(self, payments: Payments, payment: Payment) -> None:
        request = ResolveRequest(
            payment_id=payment.payment_id,
            verdict=ResolutionVerdict.CLEARED,
            actor="operator@shop.test",
            reason="The customer was asked: it is as it is.",
            evidence=("a call",),
            reviewed_version=payment.version,
        )
        await payments.for_tenant(payment.tenant).resolve(request)


class Portal(_Person):
    """Refunds in the gateway's own portal."""

    async def _look(self, payments: Payments) -> None:
        paid = [one for one in await self._payments(payments) if one.state is PaymentState.PAID]
        if not paid:
            return
        payment = self._rng.choice(paid)
        facts = await payments.store.get(payment.tenant, payment.payment_id)
        if facts is None or facts.submission.gateway_reference is None:
            return
        share = self._rng.choice((2, 2, 3, 1))
        await self._town.give_back(
            self._world(payment),
            facts.submission.gateway_reference,
            payment.amount.amount_minor // share,
            payment.payment_id,
            tenant=payment.tenant,
        )


class Withdrawer(_Person):
    """Takes refunds back that were not let out yet."""

    async def _look(self, payments: Payments) -> None:
        states = (OperationState.RESERVED, OperationState.SUBMITTING, OperationState.UNKNOWN)
        rows = (await payments.store.list_operations(None, states=states, limit=_PAGE)).rows
        refunds = [one for one in rows if one.kind is OperationKind.REFUND]
        if refunds:
            chosen = self._rng.choice(refunds)
            await payments.for_tenant(chosen.tenant).withdraw(chosen.operation_id)
