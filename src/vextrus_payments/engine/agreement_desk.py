"""What every flow of an agreement does: read it, record what was learned, wait for whoever is at it."""

import asyncio
from collections.abc import Callable
from typing import Final

from vextrus_payments.capabilities import Feature
from vextrus_payments.engine.context import Context
from vextrus_payments.errors import (
    ConfigurationError,
    ConflictError,
    InvalidRequestError,
    OperationConflictError,
    StorageError,
    UnsupportedOperationError,
)
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.plans import AgreementPlan, Committed, OperationTaken
from vextrus_payments.records import Agreement

#: A commit goes stale only when another one got through.
MAX_ROUNDS: Final = 200

Planner = Callable[[Agreement], AgreementPlan | None]


class AgreementDesk:
    """Reads and writes agreements."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def get(self, tenant: str, agreement_key: str) -> Agreement:
        """The agreement.

        Raises:
            InvalidRequestError: there is none of that key.
        """
        found = await self._context.store.get_agreement(tenant, agreement_key)
        if found is None:
            raise InvalidRequestError(
                "There is no agreement of that key here.",
                field="agreement_key",
                rule="a key that create_agreement gave",
            )
        return found

    async def record(self, agreement: Agreement, planner: Planner) -> Agreement:
        """Write what the planner makes of the freshest agreement; again while others get in between."""
        context = self._context
        for _ in range(MAX_ROUNDS):
            now = await self.get(agreement.tenant, agreement.agreement_key)
            plan = planner(now)
            if plan is None:
                return now
            answer = await context.store.commit_agreement(plan)
            if isinstance(answer, Committed):
                if plan.outbox:
                    context.recorder.on_commit()
                return plan.agreement
            if isinstance(answer, OperationTaken):
                raise OperationConflictError("An operation id of the agreement is taken.").about(
                    tenant=agreement.tenant, gateway=agreement.gateway
                )
        raise StorageError("The agreement is changed by others all the time.", tenant=agreement.tenant)

    async def gateway(self, tenant: str, name: str) -> PaymentGateway:
        gateway = await self._context.gateway(tenant, name)
        if not gateway.capabilities.can(Feature.AGREEMENTS):
            raise UnsupportedOperationError(f"{name} has no agreements.").about(gateway=name, tenant=tenant)
        return gateway

    async def gateway_of(self, agreement: Agreement) -> PaymentGateway:
        gateway = await self.gateway(agreement.tenant, agreement.gateway)
        if gateway.mode is not agreement.mode:
            raise other_mode(agreement, gateway)
        return gateway

    async def landed(
        self,
        flight: "asyncio.Task[Agreement]",
        tenant: str,
        agreement_key: str | None = None,
        wait_s: float | None = None,
    ) -> Agreement:
        """The flight's result; what is known so far where it takes longer than the caller waits."""
        limit_s = self._context.limits.wait_s if wait_s is None else wait_s
        if await self._context.flights.join(flight, limit_s):
            return flight.result()
        if agreement_key is not None:
            return await self.get(tenant, agreement_key)
        raise ConflictError(
            "This agreement is being opened and is not done yet.",
            code="in_progress",
            next_step="Call create_agreement again with the same operation id.",
        ).about(tenant=tenant)


def other_mode(agreement: Agreement, gateway: PaymentGateway) -> ConfigurationError:
    return ConfigurationError(
        f"The agreement was made in {agreement.mode} mode, and {agreement.gateway} is configured for {gateway.mode}.",
        code="mode_changed",
        next_step=f"Use {agreement.mode} credentials for it.",
    ).about(gateway=agreement.gateway, tenant=agreement.tenant)
