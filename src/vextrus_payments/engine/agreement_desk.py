"""What every flow of an agreement does: read it, record what was learned, wait for whoever is at it."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from vextrus_payments.capabilities import Absence, Feature
from vextrus_payments.consenting import plan_agreed_seen
from vextrus_payments.engine.context import Context
from vextrus_payments.errors import (
    ConfigurationError,
    ConflictError,
    GatewayError,
    InvalidRequestError,
    OperationConflictError,
    StorageError,
    UnsupportedOperationError,
)
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.plans import AgreementPlan, Committed, OperationTaken
from vextrus_payments.records import Agreement, AgreementLife
from vextrus_payments.snapshots import AgreementSnapshot, AgreementState

#: A commit goes stale only when another one got through.
MAX_ROUNDS: Final = 200

Planner = Callable[[Agreement], AgreementPlan | None]


def payer_completes(agreement: Agreement) -> bool:
    """Whether the payer's own last click makes it hold: a subscription. Its execute is a look."""
    return agreement.terms is not None


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

    # --- what the gateway shows -----------------------------------------------------------------------------------

    async def record_seen(
        self,
        agreement: Agreement,
        snapshot: AgreementSnapshot,
        gateway: PaymentGateway,
        *,
        asked_at: datetime,
    ) -> Agreement:
        """Write down what a picture of the agreement shows."""
        context, capabilities = self._context, gateway.capabilities
        return await self.record(
            agreement,
            lambda now: plan_agreed_seen(
                now,
                snapshot,
                asked_at,
                context.terms(capabilities).settle_s,
                context.store.now(),
                absence_is_proof=capabilities.absence is Absence.AUTHORITATIVE_AFTER_LIMIT,
            ),
        )

    async def ask(self, agreement: Agreement, gateway: PaymentGateway) -> tuple[Agreement, bool]:
        """Ask about a subscription now, by its id or by the session it was asked for in, and record what is shown;
        whether an answer came that says anything."""
        context, asked_at = self._context, self._context.store.now()
        try:
            if agreement.agreement_id is not None:
                snapshot = await gateway.get_agreement_status(agreement.agreement_id)
            elif agreement.gateway_reference is not None:
                snapshot = await gateway.look_up_agreement(agreement.gateway_reference)
            else:
                return agreement, False
        except GatewayError as error:
            context.unanswered(error, gateway=agreement.gateway)
            return agreement, False
        after = await self.record_seen(agreement, snapshot, gateway, asked_at=asked_at)
        return after, snapshot.state is not AgreementState.UNRECOGNIZED

    async def settles(self, agreement: Agreement, gateway: PaymentGateway) -> bool:
        """Look a last time at a subscription whose page is over. False: no answer, or it holds after all."""
        if agreement.gateway_reference is None:
            return True
        after, answered = await self.ask(agreement, gateway)
        return answered and after.state in (AgreementLife.CREATED, AgreementLife.AWAITING_PAYER)

    async def without_a_page(self, agreement: Agreement, gateway: PaymentGateway) -> Agreement:
        """A subscription holds by its payer's last click: as long as he can have the page, none of ours withdraws it.

        Raises:
            ConflictError: he still can, or nobody answers how it stands. Nothing was sent, and nothing is given up.
        """
        if not payer_completes(agreement) or agreement.expires_at is None:
            return agreement
        over_at = agreement.expires_at + timedelta(seconds=gateway.capabilities.polling.end_margin_s)
        agreement, answered = await self.ask(agreement, gateway)
        is_open = not answered or self._context.store.now() < over_at
        if agreement.state is AgreementLife.AWAITING_PAYER and is_open:
            raise ConflictError(
                "The payer may still consent on the gateway's page, or has: nothing was cancelled.",
                code="page_open",
                next_step=f"Cancel it once it holds, or after {over_at.isoformat(timespec='seconds')}.",
            ).about(tenant=agreement.tenant, gateway=agreement.gateway)
        return agreement

    # --- waiting --------------------------------------------------------------------------------------------------

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
