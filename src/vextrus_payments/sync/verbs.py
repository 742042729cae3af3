"""The verbs, blocking: once for an application of one tenant, once for one tenant of many."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vextrus_payments import app
from vextrus_payments.engine import ReturnResult
from vextrus_payments.events import History
from vextrus_payments.mode import Mode
from vextrus_payments.outcomes import Outcome, PayoutOutcome, RefundOutcome, TransferOutcome
from vextrus_payments.paging import Page
from vextrus_payments.payment import ConsentRequest, PaymentRequest, PaymentSession, RefundRequest
from vextrus_payments.payouts import GatewayBalance, PayoutRequest, TransferRequest
from vextrus_payments.reconcile import Reconciled
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

T = TypeVar("T")

#: One verb of the async facade, ready to be awaited.
Verb = Callable[[app.Payments], Coroutine[Any, Any, T]]


class Verbs(ABC):
    """What is asked of one tenant's payments. Each verb is the one of its name in vextrus_payments.TenantPayments."""

    @abstractmethod
    def _call(self, verb: Callable[[app.TenantPayments], Coroutine[Any, Any, T]]) -> T:
        """Run it on the loop in the background, for this tenant."""

    def initialize(self, request: PaymentRequest) -> PaymentSession:
        """Open a payment at its gateway. See vextrus_payments.TenantPayments.initialize."""
        return self._call(lambda on: on.initialize(request))

    def execute(self, payment_id: str, *, wait_s: float | None = None) -> Outcome:
        """Make the approved payment happen, once. See vextrus_payments.TenantPayments.execute."""
        return self._call(lambda on: on.execute(payment_id, wait_s=wait_s))

    def status(self, payment_id: str) -> Outcome:
        """What is known of a payment. See vextrus_payments.TenantPayments.status."""
        return self._call(lambda on: on.status(payment_id))

    def capture(self, payment_id: str, *, wait_s: float | None = None) -> Outcome:
        """Take the money that is held, once. See vextrus_payments.TenantPayments.capture."""
        return self._call(lambda on: on.capture(payment_id, wait_s=wait_s))

    def void(self, payment_id: str, *, wait_s: float | None = None) -> Outcome:
        """Give up the money that is held. See vextrus_payments.TenantPayments.void."""
        return self._call(lambda on: on.void(payment_id, wait_s=wait_s))

    def refund(self, request: RefundRequest) -> RefundOutcome:
        """Give money back, once per operation id. See vextrus_payments.TenantPayments.refund."""
        return self._call(lambda on: on.refund(request))

    def refund_status(self, operation_id: str) -> RefundOutcome:
        """What is known of a refund. See vextrus_payments.TenantPayments.refund_status."""
        return self._call(lambda on: on.refund_status(operation_id))

    def handle_return(
        self, gateway: str, params: Mapping[str, str], *, wait_s: float | None = 5.0
    ) -> ReturnResult:
        """The payer's browser came back. See vextrus_payments.TenantPayments.handle_return."""
        return self._call(lambda on: on.handle_return(gateway, params, wait_s=wait_s))

    def get(self, payment_id: str) -> PaymentFacts | None:
        """Everything recorded of one payment; None when there is none of that id."""
        return self._call(lambda on: on.get(payment_id))

    def find(self, *, merchant_reference: str) -> tuple[PaymentFacts, ...]:
        """Every payment of a merchant reference, oldest first (at most 100)."""
        return self._call(lambda on: on.find(merchant_reference=merchant_reference))

    def reconcile(self, payment_id: str) -> Reconciled:
        """Look at one payment now and do what is due. See vextrus_payments.TenantPayments.reconcile."""
        return self._call(lambda on: on.reconcile(payment_id))

    def settle_statement(
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
        """Hold a gateway's statement against our receipts. See vextrus_payments.TenantPayments.settle_statement."""
        return self._call(
            lambda on: on.settle_statement(
                gateway,
                statement,
                mode=mode,
                form=form,
                terms=terms,
                on_finding=on_finding,
                on_progress=on_progress,
            )
        )

    def create_agreement(self, request: ConsentRequest) -> Agreement:
        """Ask a payer for his standing consent. See vextrus_payments.TenantPayments.create_agreement."""
        return self._call(lambda on: on.create_agreement(request))

    def execute_agreement(self, agreement_key: str, *, wait_s: float | None = None) -> Agreement:
        """Make the consent hold that the payer gave. See vextrus_payments.TenantPayments.execute_agreement."""
        return self._call(lambda on: on.execute_agreement(agreement_key, wait_s=wait_s))

    def agreement_status(self, agreement_key: str) -> Agreement:
        """What is known of an agreement. See vextrus_payments.TenantPayments.agreement_status."""
        return self._call(lambda on: on.agreement_status(agreement_key))

    def cancel_agreement(self, agreement_key: str) -> Agreement:
        """End an agreement. See vextrus_payments.TenantPayments.cancel_agreement."""
        return self._call(lambda on: on.cancel_agreement(agreement_key))

    def get_agreement(self, agreement_key: str) -> Agreement | None:
        """Everything recorded of one agreement; None when there is none of that key."""
        return self._call(lambda on: on.get_agreement(agreement_key))

    def list_agreements(self, *, cursor: str | None = None, limit: int = 100) -> Page[Agreement]:
        """Agreements, oldest first. See vextrus_payments.TenantPayments.list_agreements."""
        return self._call(lambda on: on.list_agreements(cursor=cursor, limit=limit))

    def resolve(self, request: ResolveRequest) -> PaymentFacts:
        """Write down an operator's answer to what is unknown. See vextrus_payments.TenantPayments.resolve."""
        return self._call(lambda on: on.resolve(request))

    def withdraw(self, operation_id: str) -> Outcome | RefundOutcome:
        """Cancel what was reserved and never let out. See vextrus_payments.TenantPayments.withdraw."""
        return self._call(lambda on: on.withdraw(operation_id))

    def payout(self, request: PayoutRequest, *, wait_s: float | None = None) -> PayoutOutcome:
        """Send money to somebody's wallet, once. See vextrus_payments.TenantPayments.payout."""
        return self._call(lambda on: on.payout(request, wait_s=wait_s))

    def transfer(self, request: TransferRequest, *, wait_s: float | None = None) -> TransferOutcome:
        """Move money between own accounts, once. See vextrus_payments.TenantPayments.transfer."""
        return self._call(lambda on: on.transfer(request, wait_s=wait_s))

    def payout_status(self, operation_id: str) -> PayoutOutcome | TransferOutcome:
        """What is known of a payout or transfer. See vextrus_payments.TenantPayments.payout_status."""
        return self._call(lambda on: on.payout_status(operation_id))

    def withdraw_payout(self, operation_id: str) -> PayoutOutcome | TransferOutcome:
        """Cancel a payout that was never let out. See vextrus_payments.TenantPayments.withdraw_payout."""
        return self._call(lambda on: on.withdraw_payout(operation_id))

    def resolve_payout(self, request: ResolveRequest) -> Payout:
        """Write down an operator's answer to an unknown payout. See vextrus_payments.TenantPayments.resolve_payout."""
        return self._call(lambda on: on.resolve_payout(request))

    def get_payout(self, payout_id: str) -> Payout | None:
        """Everything recorded of one payout or transfer; None when there is none of that id."""
        return self._call(lambda on: on.get_payout(payout_id))

    def find_payout(self, operation_id: str) -> Payout | None:
        """The payout or transfer with that operation id; None when there is none."""
        return self._call(lambda on: on.find_payout(operation_id))

    def list_payouts(
        self, *, unsettled: bool = False, cursor: str | None = None, limit: int = 100
    ) -> Page[Payout]:
        """Payouts and transfers, oldest first; `unsettled`: only those whose end is open."""
        return self._call(lambda on: on.list_payouts(unsettled=unsettled, cursor=cursor, limit=limit))

    def balance(self, gateway: str) -> GatewayBalance:
        """What the gateway says that it holds for the merchant. See vextrus_payments.TenantPayments.balance."""
        return self._call(lambda on: on.balance(gateway))

    def history(self, payment_id: str) -> History:
        """Everything kept of one payment. See vextrus_payments.TenantPayments.history."""
        return self._call(lambda on: on.history(payment_id))


class TenantPayments(Verbs):
    """The verbs, bound to one tenant. Cheap to make and to keep; `Payments.for_tenant` gives one."""

    def __init__(self, run: Callable[[Verb[Any]], Any], tenant: str) -> None:
        self._run = run
        self.tenant = tenant

    def _call(self, verb: Callable[[app.TenantPayments], Coroutine[Any, Any, T]]) -> T:
        answer: T = self._run(lambda payments: verb(payments.for_tenant(self.tenant)))
        return answer
