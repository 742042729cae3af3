"""What every flow of payouts does at the store: find one, and write down what is known of it, again if need be."""

from collections.abc import Callable
from typing import Final

from vextrus_payments.capabilities import Feature
from vextrus_payments.engine.context import Context
from vextrus_payments.engine.epochs import names_in
from vextrus_payments.errors import (
    ConfigurationError,
    InvalidRequestError,
    OutcomeNotRecordedError,
    StorageError,
    UnsupportedOperationError,
)
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.outcomes import PayoutOutcome, TransferOutcome
from vextrus_payments.paying_out import payout_outcome_of, transfer_outcome_of
from vextrus_payments.payouts import PayoutCall, PayoutKind
from vextrus_payments.plans import Committed, PayoutPlan, ReceiptElsewhere
from vextrus_payments.records import Payout, ReceiptKey

Planner = Callable[[Payout], PayoutPlan | None]
#: The freshest payout, and the other one that a receipt of its plan is booked to -> what to write instead.
DisputePlanner = Callable[[Payout, Payout], PayoutPlan | None]

#: A commit goes stale only when another one got through.
MAX_ROUNDS: Final = 200
#: The mark under which a person has said that the payouts of a restored store were compared with the gateway's.
CLEARED_MARK: Final = "payouts.cleared"
CLEARED_WITHOUT_MARK: Final = "payouts.cleared.without"
"""The tenants that were left out of the store's reconciliation when it was cleared: nobody has compared theirs."""
_STORAGE_WAITS_S: Final = (0.05, 0.2, 0.5, 1.0, 2.0)
#: For what is told once and can perhaps never be asked for again.
_LAST_WAITS_S: Final = (5.0, 10.0)


class PayoutDesk:
    """Reading and writing payouts."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def gateway(self, tenant: str, name: str) -> PaymentGateway:
        """A gateway that pays out.

        Raises:
            UnsupportedOperationError: it does not, as configured.
        """
        gateway = await self._context.gateway(tenant, name)
        if not gateway.capabilities.can(Feature.PAYOUTS):
            raise UnsupportedOperationError(
                f"{name} pays nothing out: it cannot, or no credentials for it are configured."
            ).about(gateway=name, tenant=tenant)
        return gateway

    async def get(self, tenant: str, payout_id: str) -> Payout:
        """The payout as it is now. Raises InvalidRequestError: there is none of that id."""
        found = await self._context.store.get_payout(tenant, payout_id)
        if found is None:
            raise InvalidRequestError(
                "There is no payout of that id here.", field="payout_id", rule="an id that payout gave"
            )
        return found

    async def of_operation(self, tenant: str, operation_id: str) -> Payout:
        """The payout or transfer of an operation id. Raises InvalidRequestError: there is none."""
        found = await self._context.store.find_payout(tenant, operation_id)
        if found is None:
            raise InvalidRequestError(
                "There is no payout or transfer with that operation here.",
                field="operation_id",
                rule="of a payout or transfer",
            )
        return found

    async def record(
        self,
        tenant: str,
        payout_id: str,
        planner: Planner,
        *,
        elsewhere: DisputePlanner | None = None,
        told_once: bool = False,
    ) -> Payout:
        """Write what the planner makes of the freshest payout, and give it back as it is after that.

        Args:
            elsewhere: what to write where a receipt of the plan is booked to another payout.
            told_once: the gateway may not tell it again, so a store that is down is waited for longer.

        Raises:
            OutcomeNotRecordedError: the store would not take it, after several tries. The payout is still submitting
                there, with what was known before it was sent.
        """
        failure = "the store kept refusing"
        for wait_s in (*_STORAGE_WAITS_S, *(_LAST_WAITS_S if told_once else ()), None):
            try:
                return await self._record_once(tenant, payout_id, planner, elsewhere)
            except StorageError as error:
                failure = error.what
            if wait_s is not None:
                await self._context.sleeper.sleep(wait_s)
        raise OutcomeNotRecordedError(
            f"What became of the payout could not be recorded ({failure})", tenant=tenant
        )

    async def _record_once(
        self, tenant: str, payout_id: str, planner: Planner, elsewhere: DisputePlanner | None
    ) -> Payout:
        context = self._context
        for _ in range(MAX_ROUNDS):
            now = await self.get(tenant, payout_id)
            plan = planner(now)
            if plan is None:
                return now
            answer = await context.store.commit_payout(plan)
            if isinstance(answer, ReceiptElsewhere):
                context.observer.event("payout.receipt_elsewhere", gateway=now.gateway)
                other = await self.booked_to(answer.key)
                plan = None if elsewhere is None or other is None else elsewhere(now, other)
                if plan is None:
                    return now
                answer = await context.store.commit_payout(plan)
            if isinstance(answer, Committed):
                if plan.outbox:
                    context.recorder.on_commit()
                return plan.payout
        raise StorageError("The payout is changed by others all the time.", tenant=tenant)

    async def booked_to(self, key: ReceiptKey) -> Payout | None:
        """The payout that a receipt is booked to; None where it is none's, or there is no such receipt."""
        store = self._context.store
        found = await store.receipts(key.tenant, key.gateway, key.mode, [key.transaction_id])
        named = next((r.operation_id for r in found if r.key == key), None)
        return None if named is None else await store.find_payout(key.tenant, named)


async def restored_lineage(context: Context) -> str | None:
    """Which backup the store was restored from; None where it was not, or nobody can tell."""
    return None if context.epochs is None else await context.epochs.restored_lineage()


async def waits_for_comparison(context: Context, tenant: str) -> bool:
    """Whether the store was restored, and nobody has said since that what left of this tenant's money meanwhile, where
    no gateway tells of it, is accounted for."""
    lineage = await restored_lineage(context)
    if lineage is None:
        return False
    if await context.store.get_mark(CLEARED_MARK) != lineage:
        return True
    return tenant in names_in(await context.store.get_mark(CLEARED_WITHOUT_MARK))


def outcome_of_either(payout: Payout) -> PayoutOutcome | TransferOutcome:
    """The public outcome of a payout or of a transfer."""
    return transfer_outcome_of(payout) if payout.kind is PayoutKind.TRANSFER else payout_outcome_of(payout)


def call_of(payout: Payout) -> PayoutCall:
    """What the adapter is asked; our id is what the gateway sees."""
    return PayoutCall(
        kind=payout.kind,
        gateway_order_id=payout.payout_id,
        amount=payout.amount,
        receiver=payout.receiver,
        direction=payout.direction,
    )


def check_mode(payout: Payout, gateway: PaymentGateway) -> None:
    """Refuse a gateway that moves the other mode's money. Raises ConfigurationError."""
    if gateway.mode is payout.mode:
        return
    raise ConfigurationError(
        f"The payout was made in {payout.mode} mode, and {payout.gateway} is configured for {gateway.mode}.",
        code="mode_changed",
        next_step=f"Use {payout.mode} credentials for it.",
    ).about(gateway=payout.gateway, tenant=payout.tenant)
