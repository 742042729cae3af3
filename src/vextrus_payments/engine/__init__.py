"""The flow: initialize, execute, status, refund, return.

Theory of operation. Each verb reserves its operation durably, claims the right to submit it, drives the adapter
under the claim's deadline, and records what was learned. From claim to record the work runs in a task that the
engine owns (flights.py); callers only wait for it. Adapters raise; here their errors become evidence (recording.py),
and evidence becomes outcomes (states.py). The store decides every race.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from vextrus_payments.engine.context import Context, EngineLimits, GatewaySource, ReturnDoor
from vextrus_payments.engine.flights import Flights
from vextrus_payments.engine.opening import Opening, check_request
from vextrus_payments.engine.recorder import Recorder
from vextrus_payments.engine.refunding import Refunding
from vextrus_payments.engine.settling import Settling, is_done
from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.events import HintVerdict
from vextrus_payments.outcomes import Outcome, RefundOutcome
from vextrus_payments.payment import PaymentRequest, PaymentSession, RefundRequest

__all__ = [
    "Context",
    "Engine",
    "EngineLimits",
    "Flights",
    "GatewaySource",
    "Recorder",
    "ReturnDoor",
    "ReturnResult",
    "check_request",
    "is_done",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnResult:
    """What came of a browser's return."""

    payment_id: str
    outcome: Outcome
    redirect_to: str | None
    """The shop's own return address of this payment: the only place to send the browser to."""


class Engine:
    """The verbs, each for one tenant's payment. `Payments` is its public face."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._opening = Opening(context)
        self._settling = Settling(context)
        self._refunding = Refunding(context)

    async def initialize(self, tenant: str, request: PaymentRequest) -> PaymentSession:
        """See Payments.initialize."""
        return await self._opening.initialize(tenant, request)

    async def execute(self, tenant: str, payment_id: str, *, wait_s: float | None = None) -> Outcome:
        """See Payments.execute."""
        return await self._settling.execute(tenant, payment_id, wait_s)

    async def status(self, tenant: str, payment_id: str) -> Outcome:
        """See Payments.status."""
        return await self._settling.status(tenant, payment_id)

    async def refund(self, tenant: str, request: RefundRequest) -> RefundOutcome:
        """See Payments.refund."""
        return await self._refunding.refund(tenant, request)

    async def refund_status(self, tenant: str, operation_id: str) -> RefundOutcome:
        """See Payments.refund_status."""
        return await self._refunding.refund_status(tenant, operation_id)

    async def handle_return(
        self, tenant: str, gateway_name: str, params: Mapping[str, str], *, wait_s: float | None = None
    ) -> ReturnResult:
        """See Payments.handle_return."""
        gateway = await self.context.gateway(tenant, gateway_name)
        hint = gateway.parse_return(params)
        found = await self.context.store.find(
            tenant, gateway=gateway_name, mode=gateway.mode, gateway_reference=hint.gateway_reference
        )
        if not found:
            raise InvalidRequestError(
                "The return names a payment that is not ours.",
                field="params",
                rule="a gateway reference that initialize gave",
            ).about(gateway=gateway_name, tenant=tenant)
        facts = found[0]
        payment_id = facts.payment.payment_id
        is_current = facts.submission.gateway_reference == hint.gateway_reference
        if hint.verdict is HintVerdict.SUCCESS and is_current:
            outcome = await self.execute(tenant, payment_id, wait_s=wait_s)
        else:
            # A cancel or failure is a hint of a browser: it never executes, and it closes nothing by itself.
            outcome = await self.status(tenant, payment_id)
        return ReturnResult(payment_id=payment_id, outcome=outcome, redirect_to=facts.payment.return_url)

    async def drain(self) -> None:
        """Wait until everything that was claimed has been recorded."""
        await self.context.flights.drain()
