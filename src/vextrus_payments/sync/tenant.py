"""The verbs of one tenant, blocking."""

from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vextrus_payments import app
from vextrus_payments.engine import ReturnResult
from vextrus_payments.mode import Mode
from vextrus_payments.outcomes import Outcome, RefundOutcome
from vextrus_payments.payment import PaymentRequest, PaymentSession, RefundRequest
from vextrus_payments.reconcile import Reconciled
from vextrus_payments.records import PaymentFacts

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


class TenantPayments:
    """The verbs, bound to one tenant. Cheap to make and to keep; `Payments.for_tenant` gives one."""

    def __init__(self, run: Callable[[Verb[Any]], Any], tenant: str) -> None:
        self._run_verb = run
        self.tenant = tenant

    def _run(self, verb: Callable[[app.TenantPayments], Coroutine[Any, Any, T]]) -> T:
        answer: T = self._run_verb(lambda payments: verb(payments.for_tenant(self.tenant)))
        return answer

    def initialize(self, request: PaymentRequest) -> PaymentSession:
        """Open a payment at its gateway. See vextrus_payments.TenantPayments.initialize."""
        return self._run(lambda tenant: tenant.initialize(request))

    def execute(self, payment_id: str, *, wait_s: float | None = None) -> Outcome:
        """Make the approved payment happen, once. See vextrus_payments.TenantPayments.execute."""
        return self._run(lambda tenant: tenant.execute(payment_id, wait_s=wait_s))

    def status(self, payment_id: str) -> Outcome:
        """What is known of a payment. See vextrus_payments.TenantPayments.status."""
        return self._run(lambda tenant: tenant.status(payment_id))

    def capture(self, payment_id: str, *, wait_s: float | None = None) -> Outcome:
        """Take the money that is held, once. See vextrus_payments.TenantPayments.capture."""
        return self._run(lambda tenant: tenant.capture(payment_id, wait_s=wait_s))

    def void(self, payment_id: str, *, wait_s: float | None = None) -> Outcome:
        """Give up the money that is held. See vextrus_payments.TenantPayments.void."""
        return self._run(lambda tenant: tenant.void(payment_id, wait_s=wait_s))

    def refund(self, request: RefundRequest) -> RefundOutcome:
        """Give money back, once per operation id. See vextrus_payments.TenantPayments.refund."""
        return self._run(lambda tenant: tenant.refund(request))

    def refund_status(self, operation_id: str) -> RefundOutcome:
        """What is known of a refund. See vextrus_payments.TenantPayments.refund_status."""
        return self._run(lambda tenant: tenant.refund_status(operation_id))

    def handle_return(
        self, gateway: str, params: Mapping[str, str], *, wait_s: float | None = 5.0
    ) -> ReturnResult:
        """The payer's browser came back. See vextrus_payments.TenantPayments.handle_return."""
        return self._run(lambda tenant: tenant.handle_return(gateway, params, wait_s=wait_s))

    def get(self, payment_id: str) -> PaymentFacts | None:
        """Everything recorded of one payment; None when there is none of that id."""
        return self._run(lambda tenant: tenant.get(payment_id))

    def find(self, *, merchant_reference: str) -> tuple[PaymentFacts, ...]:
        """Every payment of a merchant reference, oldest first (at most 100)."""
        return self._run(lambda tenant: tenant.find(merchant_reference=merchant_reference))

    def reconcile(self, payment_id: str) -> Reconciled:
        """Look at one payment now and do what is due. See vextrus_payments.TenantPayments.reconcile."""
        return self._run(lambda tenant: tenant.reconcile(payment_id))

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
        return self._run(
            lambda tenant: tenant.settle_statement(
                gateway,
                statement,
                mode=mode,
                form=form,
                terms=terms,
                on_finding=on_finding,
                on_progress=on_progress,
            )
        )
