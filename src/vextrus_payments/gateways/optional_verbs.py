"""The verbs that not every gateway has. Here each is refused; an adapter writes those that its `Capabilities` name.

What must be there for every gateway is in base.py, and so is what the arguments mean that all verbs share (`context`,
`resume`, `on_checkpoint`).
"""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import JsonValue

from vextrus_payments.errors import UnsupportedOperationError
from vextrus_payments.money import Money
from vextrus_payments.payment import (
    AgreementRequest,
    ConsentRequest,
    Evidence,
    ExecuteCall,
    PaymentRequest,
    RefundCall,
)
from vextrus_payments.payouts import GatewayBalance, PayoutCall, PayoutSnapshot
from vextrus_payments.snapshots import (
    AgreementSession,
    AgreementSnapshot,
    PaymentSnapshot,
    RefundSnapshot,
    TransactionSnapshot,
)
from vextrus_payments.wire import CallContext, OnCheckpoint


class OptionalVerbs:
    """Raises UnsupportedOperationError in every one of them; each says what it is where there is one."""

    name: ClassVar[str]
    _tenant: str

    def unsupported(self, verb: str) -> UnsupportedOperationError:
        """The error of a verb that this gateway, as configured, does not have."""
        return UnsupportedOperationError(
            f"{self.name} cannot do {verb}.", field=None, rule=None, gateway=self.name, tenant=self._tenant
        )

    # --- looking for refunds and transactions --------------------------------------------------------------------

    async def look_up_refund(
        self, call: RefundCall, *, resume: Evidence | None, context: CallContext | None = None
    ) -> RefundSnapshot | None:
        """Look for the refund of this call: the one that was not there when `resume` was saved.

        `resume` is None only where the gateway knows refunds by an id of ours (RefundCorrelation.OWN_ID).

        None: not seen (yet), which proves nothing.
        """
        raise self.unsupported("look_up_refund")

    async def get_refund_status(
        self, call: RefundCall, *, context: CallContext | None = None
    ) -> tuple[RefundSnapshot, ...]:
        """Every refund of the payment that the gateway shows."""
        raise self.unsupported("get_refund_status")

    async def search_transaction(
        self, transaction_id: str, *, context: CallContext | None = None
    ) -> TransactionSnapshot | None:
        """Find a transaction by the gateway's id. None: the gateway knows none, or not yet."""
        raise self.unsupported("search_transaction")

    # --- authorized payments --------------------------------------------------------------------------------

    async def capture_payment(
        self, call: ExecuteCall, *, context: CallContext | None = None, resume: Evidence | None = None
    ) -> PaymentSnapshot:
        """Take the money that an authorization holds: sent once, as `execute_payment`."""
        raise self.unsupported("capture_payment")

    async def void_payment(
        self, call: ExecuteCall, *, context: CallContext | None = None, resume: Evidence | None = None
    ) -> PaymentSnapshot:
        """Let the money go that an authorization holds: sent once, as `execute_payment`; VOIDED on success."""
        raise self.unsupported("void_payment")

    # --- agreements -----------------------------------------------------------------------------------------

    async def create_agreement(
        self, request: AgreementRequest, *, context: CallContext | None = None
    ) -> AgreementSession:
        """Ask for a payer's standing consent. Nothing holds before `execute_agreement`."""
        raise self.unsupported("create_agreement")

    async def execute_agreement(
        self, gateway_reference: str, *, context: CallContext | None = None
    ) -> AgreementSnapshot:
        """Make the consent hold that the payer gave: sent once, as `execute_payment`."""
        raise self.unsupported("execute_agreement")

    async def get_agreement_status(
        self, agreement_id: str, *, context: CallContext | None = None
    ) -> AgreementSnapshot:
        """Look an agreement up."""
        raise self.unsupported("get_agreement_status")

    async def look_up_agreement(
        self, gateway_reference: str, *, context: CallContext | None = None
    ) -> AgreementSnapshot:
        """Look an agreement up by the session it was asked for in: the answer to an execute that nobody heard."""
        raise self.unsupported("look_up_agreement")

    def terms_of(self, request: ConsentRequest) -> Mapping[str, JsonValue] | None:
        """The terms of the agreement that is asked for, as small typed JSON to be kept. Does no I/O.

        None: this gateway's agreements have none.

        Raises:
            InvalidRequestError: the parameters are not this gateway's, or break a rule.
            ConfigurationError: something is not configured without which it cannot be asked for.
        """
        for field in ("params", "merchant_reference"):
            if getattr(request, field) is not None:
                raise UnsupportedOperationError(
                    f"{self.name} collects nothing by itself under an agreement, so it takes no {field} with one.",
                    field=field,
                    rule=f"no {field} in an agreement with {self.name}",
                    gateway=self.name,
                    tenant=self._tenant,
                    next_step=f"Leave {field} out; name it with each payment that is charged under the agreement.",
                )
        return None

    def agreed_amounts(self, terms: Mapping[str, JsonValue]) -> tuple[Money, ...]:
        """What a payment may come to that this gateway collects by itself under these terms; the regular one first."""
        raise self.unsupported("subscriptions")

    async def list_collections(
        self, agreement_id: str, *, context: CallContext | None = None
    ) -> tuple[PaymentSnapshot, ...]:
        """Every payment that this gateway shows under a subscription, whatever became of it."""
        raise self.unsupported("list_collections")

    async def list_agreements(
        self, page: int = 0, *, context: CallContext | None = None
    ) -> tuple[AgreementSnapshot, ...]:
        """One page, counted from 0, of everything that payers ever consented to, or were asked to, whoever asked; empty
        behind the last one."""
        raise self.unsupported("list_agreements")

    def charging(self, request: PaymentRequest, agreement_id: str) -> PaymentRequest:
        """The request that charges this agreement. Does no I/O.

        Raises:
            InvalidRequestError: the request's own parameters contradict it.
        """
        raise self.unsupported("charging an agreement")

    async def cancel_agreement(
        self, agreement_id: str, *, context: CallContext | None = None
    ) -> AgreementSnapshot:
        """End an agreement; ending it twice is the same as once."""
        raise self.unsupported("cancel_agreement")

    # --- payouts --------------------------------------------------------------------------------------------

    def check_payout(self, call: PayoutCall) -> None:
        """Refuse a payout or transfer that the gateway would never take. Does no I/O.

        Raises:
            InvalidRequestError, AmountError, CurrencyNotSupportedError: a field breaks the gateway's rule.
            UnsupportedOperationError: this gateway, as configured, has none of that kind.
        """
        raise self.unsupported("payouts")

    async def payout(
        self,
        call: PayoutCall,
        *,
        context: CallContext | None = None,
        on_checkpoint: OnCheckpoint | None = None,
    ) -> PayoutSnapshot:
        """Send money away, or transfer it between own accounts: once.

        The protocol makes a Checkpoint before its money call, and no money call without one: that none was kept is then
        proof that nothing left. Its evidence has `LOOK_UP` where the gateway can be asked about the payout later.

        Raises:
            DeclinedError: the gateway refused.
            OutcomeUnknownError: nobody can tell; never pay again.
        """
        raise self.unsupported("payouts")

    async def look_up_payout(
        self, call: PayoutCall, *, resume: Evidence, context: CallContext | None = None
    ) -> PayoutSnapshot | None:
        """Ask about a payout by what its checkpoint kept. None: not seen, which proves nothing."""
        raise self.unsupported("look_up_payout")

    async def get_balance(self, *, context: CallContext | None = None) -> GatewayBalance:
        """What the gateway holds for the merchant, account by account."""
        raise self.unsupported("get_balance")
