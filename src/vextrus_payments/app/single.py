"""The same verbs without naming a tenant, for a service that has only its own merchant accounts."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vextrus_payments.app.tenant import TenantPayments
from vextrus_payments.engine import (
    ReturnResult,
)
from vextrus_payments.events import History
from vextrus_payments.mode import Mode
from vextrus_payments.outcomes import Outcome, PayoutOutcome, RefundOutcome, TransferOutcome
from vextrus_payments.paging import Page
from vextrus_payments.payment import (
    ConsentRequest,
    PaymentRequest,
    PaymentSession,
    RefundRequest,
)
from vextrus_payments.payouts import GatewayBalance, PayoutRequest, TransferRequest
from vextrus_payments.reconcile import (
    Reconciled,
)
from vextrus_payments.records import Agreement, PaymentFacts, Payout
from vextrus_payments.resolving import ResolveRequest

if TYPE_CHECKING:
    from vextrus_payments.settlement import (
        OnFinding,
        OnProgress,
        SettlementReport,
        SettlementTerms,
        StatementFormat,
    )


class SingleTenantVerbs(ABC):
    """Hands every verb to the one tenant's own."""

    @abstractmethod
    def _single(self) -> TenantPayments:
        """The verbs of the one tenant.

        Raises:
            ConfigurationError: there are many, or nothing is open.
        """

    async def initialize(self, request: PaymentRequest) -> PaymentSession:
        """See TenantPayments.initialize."""
        return await self._single().initialize(request)

    async def execute(self, payment_id: str, *, wait_s: float | None = None) -> Outcome:
        """See TenantPayments.execute."""
        return await self._single().execute(payment_id, wait_s=wait_s)

    async def status(self, payment_id: str) -> Outcome:
        """See TenantPayments.status."""
        return await self._single().status(payment_id)

    async def capture(self, payment_id: str, *, wait_s: float | None = None) -> Outcome:
        """See TenantPayments.capture."""
        return await self._single().capture(payment_id, wait_s=wait_s)

    async def void(self, payment_id: str, *, wait_s: float | None = None) -> Outcome:
        """See TenantPayments.void."""
        return await self._single().void(payment_id, wait_s=wait_s)

    async def refund(self, request: RefundRequest) -> RefundOutcome:
        """See TenantPayments.refund."""
        return await self._single().refund(request)

    async def refund_status(self, operation_id: str) -> RefundOutcome:
        """See TenantPayments.refund_status."""
        return await self._single().refund_status(operation_id)

    async def create_agreement(self, request: ConsentRequest) -> Agreement:
        """See TenantPayments.create_agreement."""
        return await self._single().create_agreement(request)

    async def execute_agreement(self, agreement_key: str, *, wait_s: float | None = None) -> Agreement:
        """See TenantPayments.execute_agreement."""
        return await self._single().execute_agreement(agreement_key, wait_s=wait_s)

    async def agreement_status(self, agreement_key: str) -> Agreement:
        """See TenantPayments.agreement_status."""
        return await self._single().agreement_status(agreement_key)

    async def cancel_agreement(self, agreement_key: str) -> Agreement:
        """See TenantPayments.cancel_agreement."""
        return await self._single().cancel_agreement(agreement_key)

    async def get_agreement(self, agreement_key: str) -> Agreement | None:
        """See TenantPayments.get_agreement."""
        return await self._single().get_agreement(agreement_key)

    async def list_agreements(self, *, cursor: str | None = None, limit: int = 100) -> Page[Agreement]:
        """See TenantPayments.list_agreements."""
        return await self._single().list_agreements(cursor=cursor, limit=limit)

    async def resolve(self, request: ResolveRequest) -> PaymentFacts:
        """See TenantPayments.resolve."""
        return await self._single().resolve(request)

    async def withdraw(self, operation_id: str) -> Outcome | RefundOutcome:
        """See TenantPayments.withdraw."""
        return await self._single().withdraw(operation_id)

    async def payout(self, request: PayoutRequest, *, wait_s: float | None = None) -> PayoutOutcome:
        """See TenantPayments.payout."""
        return await self._single().payout(request, wait_s=wait_s)

    async def transfer(self, request: TransferRequest, *, wait_s: float | None = None) -> TransferOutcome:
        """See TenantPayments.transfer."""
        return await self._single().transfer(request, wait_s=wait_s)

    async def payout_status(self, operation_id: str) -> PayoutOutcome | TransferOutcome:
        """See TenantPayments.payout_status."""
        return await self._single().payout_status(operation_id)

    async def withdraw_payout(self, operation_id: str) -> PayoutOutcome | TransferOutcome:
        """See TenantPayments.withdraw_payout."""
        return await self._single().withdraw_payout(operation_id)

    async def resolve_payout(self, request: ResolveRequest) -> Payout:
        """See TenantPayments.resolve_payout."""
        return await self._single().resolve_payout(request)

    async def get_payout(self, payout_id: str) -> Payout | None:
        """See TenantPayments.get_payout."""
        return await self._single().get_payout(payout_id)

    async def find_payout(self, operation_id: str) -> Payout | None:
        """See TenantPayments.find_payout."""
        return await self._single().find_payout(operation_id)

    async def list_payouts(
        self, *, unsettled: bool = False, cursor: str | None = None, limit: int = 100
    ) -> Page[Payout]:
        """See TenantPayments.list_payouts."""
        return await self._single().list_payouts(unsettled=unsettled, cursor=cursor, limit=limit)

    async def balance(self, gateway: str) -> GatewayBalance:
        """See TenantPayments.balance."""
        return await self._single().balance(gateway)

    async def history(self, payment_id: str) -> History:
        """See TenantPayments.history."""
        return await self._single().history(payment_id)

    async def handle_return(
        self, gateway: str, params: Mapping[str, str], *, wait_s: float | None = 5.0
    ) -> ReturnResult:
        """See TenantPayments.handle_return."""
        return await self._single().handle_return(gateway, params, wait_s=wait_s)

    async def get(self, payment_id: str) -> PaymentFacts | None:
        """See TenantPayments.get."""
        return await self._single().get(payment_id)

    async def find(self, *, merchant_reference: str) -> tuple[PaymentFacts, ...]:
        """See TenantPayments.find."""
        return await self._single().find(merchant_reference=merchant_reference)

    async def reconcile(self, payment_id: str) -> Reconciled:
        """See TenantPayments.reconcile."""
        return await self._single().reconcile(payment_id)

    async def settle_statement(
        self,
        gateway: str,
        statement: str | Path,
        *,
        mode: Mode,
        form: "StatementFormat | None" = None,
        terms: "SettlementTerms | None" = None,
        on_finding: "OnFinding | None" = None,
        on_progress: "OnProgress | None" = None,
    ) -> "SettlementReport":
        """See TenantPayments.settle_statement."""
        return await self._single().settle_statement(
            gateway,
            statement,
            mode=mode,
            form=form,
            terms=terms,
            on_finding=on_finding,
            on_progress=on_progress,
        )
