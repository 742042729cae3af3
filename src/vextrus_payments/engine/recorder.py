"""Writing evidence down: reload, plan, commit, until it fits. Nothing is ever resent because a plan went stale."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from vextrus_payments.clock import Sleeper
from vextrus_payments.errors import OutcomeNotRecordedError, StorageError
from vextrus_payments.plans import Committed, OrderIdTaken, Plan, ReceiptElsewhere, Stale
from vextrus_payments.recording import plan_quarantine
from vextrus_payments.records import PaymentFacts
from vextrus_payments.store import PaymentStore

#: Facts of a payment and of its reference's other payments -> what to write, None for nothing.
Planner = Callable[[PaymentFacts, tuple[PaymentFacts, ...]], Plan | None]

#: A commit goes stale only when another one got through, so this bounds waiting behind others, not progress.
_MAX_ROUNDS: Final = 200
_STORAGE_WAITS_S: Final = (0.05, 0.2, 0.5, 1.0, 2.0)


class OrderIdTakenError(Exception):
    """The plan's gateway order id exists: the caller makes the next one. Never leaves the engine."""


@dataclass(frozen=True, slots=True)
class Recorder:
    """Commits what was learned about a payment."""

    store: PaymentStore
    sleeper: Sleeper
    on_commit: Callable[[], None]
    """Told after each commit that may have filled the outbox."""

    async def record(self, tenant: str, payment_id: str, planner: Planner) -> PaymentFacts:
        """Write what the planner makes of the freshest facts, and return the facts after it.

        Raises:
            OutcomeNotRecordedError: the store would not take it, after several tries. The operation is still
                submitting there, so that status() finds the outcome again.
            OrderIdTakenError: see there.
        """
        failure = "the store kept refusing"
        for wait_s in (*_STORAGE_WAITS_S, None):
            try:
                return await self._record(tenant, payment_id, planner)
            except StorageError as error:
                failure = error.what
            if wait_s is not None:
                await self.sleeper.sleep(wait_s)
        raise OutcomeNotRecordedError(
            f"The gateway's answer could not be recorded ({failure})", tenant=tenant, payment_id=payment_id
        )

    async def _record(self, tenant: str, payment_id: str, planner: Planner) -> PaymentFacts:
        for _ in range(_MAX_ROUNDS):
            facts = await self.store.get(tenant, payment_id)
            if facts is None:
                raise StorageError(
                    "The payment is no longer in the store.", tenant=tenant, payment_id=payment_id
                )
            siblings = await self.store.siblings(tenant, facts.payment.merchant_reference, without=payment_id)
            plan = planner(facts, siblings)
            if plan is None:
                return facts
            answer = await self.store.commit(plan)
            if isinstance(answer, ReceiptElsewhere):
                quarantine = plan_quarantine(facts, self.store.now(), answer.key.transaction_id)
                answer = Stale() if quarantine is None else await self.store.commit(quarantine)
                if quarantine is None:
                    return facts
            if isinstance(answer, OrderIdTaken):
                raise OrderIdTakenError
            if isinstance(answer, Committed):
                if plan.outbox:
                    self.on_commit()
                after = await self.store.get(tenant, payment_id)
                return after if after is not None else facts
        raise StorageError(
            "The payment is changed by others all the time.", tenant=tenant, payment_id=payment_id
        )
