"""The verbs, on behalf of one tenant."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vextrus_payments.clock import Clock, Sleeper
from vextrus_payments.engine import (
    Engine,
    ReturnResult,
)
from vextrus_payments.events import History
from vextrus_payments.ledger import AccountMap
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
    Reconciler,
)
from vextrus_payments.records import Agreement, PaymentFacts, Payout
from vextrus_payments.resolving import ResolveRequest
from vextrus_payments.store import PaymentStore

if TYPE_CHECKING:
    from vextrus_payments.settlement import (
        OnFinding,
        OnProgress,
        SettlementReport,
        SettlementTerms,
        StatementFormat,
    )


class TenantPayments:
    """The verbs, bound to one tenant. Cheap to make and to keep; `Payments.for_tenant` gives one."""

    def __init__(
        self,
        engine: Callable[[], Engine],
        store: PaymentStore,
        tenant: str,
        reconciler: Callable[[], Reconciler],
        books: tuple[AccountMap, Clock, Sleeper],
    ) -> None:
        self._open_engine = engine
        self._open_reconciler = reconciler
        self._books = books
        self._store = store
        self.tenant = tenant

    @property
    def _engine(self) -> Engine:
        """The engine of the present opening: closing and opening again makes a new one."""
        return self._open_engine()

    async def initialize(self, request: PaymentRequest) -> PaymentSession:
        """Open a payment at its gateway and bring back where to send the payer.

        The same operation id with the same parameters gives the same session again, however often and from
        whichever process it is called.

        Raises:
            InvalidRequestError, AmountError, CurrencyNotSupportedError: refused before anything was sent.
            OperationConflictError: the operation id belongs to another intent.
            AlreadyPaidError: another payment of the merchant reference is paid, or may turn out paid.
            DeclinedError: the gateway refused to open it.
            GatewayError: no session; effect NONE. Call again with the same operation id.
            ConfigurationError, StorageError: see their messages.
        """
        return await self._engine.initialize(self.tenant, request)

    async def execute(self, payment_id: str, *, wait_s: float | None = None) -> Outcome:
        """Make the approved payment happen. From any caller, any number of times, from any process: one execute
        goes out, and all callers get answers that may differ in knowledge but never contradict.

        Args:
            wait_s: how long to wait, in seconds; then Pending. Giving up waiting, or being cancelled, stops nothing.

        Raises:
            InvalidRequestError: no such payment.
            AlreadyPaidError: another payment of the reference is paid; this one was not executed.
            ConfigurationError, StorageError: see their messages.
        """
        return await self._engine.execute(self.tenant, payment_id, wait_s=wait_s)

    async def status(self, payment_id: str) -> Outcome:
        """What is known of a payment; asks the gateway while that can still change anything.

        Raises:
            InvalidRequestError: no such payment.
            ConfigurationError, StorageError: see their messages.
        """
        return await self._engine.status(self.tenant, payment_id)

    async def capture(self, payment_id: str, *, wait_s: float | None = None) -> Outcome:
        """Take the money that an authorization holds: all of it, sent once, from any caller, any number of times.

        A repeat is answered by a look-up. One live capture or void per payment.

        Args:
            wait_s: as for `execute`.

        Raises:
            InvalidRequestError: no such payment; UnsupportedOperationError: the gateway has no capture.
            ConflictError: no money is held, or a void is under way.
            AlreadyPaidError: another payment of the reference has money; this one was not captured.
            ConfigurationError, StorageError: see their messages.
        """
        return await self._engine.capture(self.tenant, payment_id, wait_s=wait_s)

    async def void(self, payment_id: str, *, wait_s: float | None = None) -> Outcome:
        """Let the money go that an authorization holds, as `capture` takes it.

        Once it is done, the payment is Declined (payment_cancelled).

        Raises:
            InvalidRequestError: no such payment; UnsupportedOperationError: the gateway has no void.
            ConflictError: no money is held, it was captured already, or a capture is under way.
            ConfigurationError, StorageError: see their messages.
        """
        return await self._engine.void(self.tenant, payment_id, wait_s=wait_s)

    async def refund(self, request: RefundRequest) -> RefundOutcome:
        """Give money back, once per operation id. `amount=None` gives back all that is still refundable.

        Raises:
            AmountError: more than what is still refundable.
            OperationConflictError: the operation id belongs to another intent.
            ConflictError: nothing is paid, or the payment is quarantined.
            InvalidRequestError, ConfigurationError, StorageError: see their messages.
        """
        return await self._engine.refund(self.tenant, request)

    async def refund_status(self, operation_id: str) -> RefundOutcome:
        """What is known of a refund; asks the gateway while its outcome is open.

        Raises:
            InvalidRequestError: no such refund.
            ConfigurationError, StorageError: see their messages.
        """
        return await self._engine.refund_status(self.tenant, operation_id)

    async def create_agreement(self, request: ConsentRequest) -> Agreement:
        """Ask a payer for his standing consent; send him to the agreement's `checkout_url`.

        The same operation id with the same parameters gives the same agreement again. Charge it, once it is active, by
        `PaymentRequest(agreement_key=...)`; the gateway's own id of it stays inside.

        Raises:
            UnsupportedOperationError: the gateway has no agreements.
            OperationConflictError: the operation id belongs to another intent.
            GatewayError: no session; nothing holds. Call again with the same operation id.
            ReconciliationRequiredError: a subscription, over a restored store: its payer may have consented since.
            InvalidRequestError, ConfigurationError, StorageError: see their messages.
        """
        return await self._engine.create_agreement(self.tenant, request)

    async def execute_agreement(self, agreement_key: str, *, wait_s: float | None = None) -> Agreement:
        """Make the consent hold that the payer gave. One execute goes out, whoever calls and however often.

        The agreement's state tells what came of it: `active`; `closed` after a final no; `awaiting_payer` while the
        payer is not done, or while nobody knows (its execute operation is then unknown, and is only looked up).

        Raises:
            InvalidRequestError: no such agreement.
            ReconciliationRequiredError, ConfigurationError, StorageError: see their messages.
        """
        return await self._engine.execute_agreement(self.tenant, agreement_key, wait_s=wait_s)

    async def agreement_status(self, agreement_key: str) -> Agreement:
        """What is known of an agreement; asks the gateway whether it (still) holds.

        Raises:
            InvalidRequestError: no such agreement.
            ConfigurationError, StorageError: see their messages.
        """
        return await self._engine.agreement_status(self.tenant, agreement_key)

    async def cancel_agreement(self, agreement_key: str) -> Agreement:
        """End an agreement; ending it twice is the same as once. One that was never given is closed.

        What its payer consented to beside it, on another page of the same subscription, is ended with it.

        Raises:
            InvalidRequestError: no such agreement.
            ConflictError: its execute is under way, or its page is still open, so that nobody knows whether it holds;
                or it is over, and what stands beside it is not known to be.
            ConfigurationError, StorageError: see their messages.
        """
        return await self._engine.cancel_agreement(self.tenant, agreement_key)

    async def get_agreement(self, agreement_key: str) -> Agreement | None:
        """Everything recorded of one agreement; None when there is none of that key. Asks nobody."""
        return await self._store.get_agreement(self.tenant, agreement_key)

    async def list_agreements(self, *, cursor: str | None = None, limit: int = 100) -> Page[Agreement]:
        """Agreements, oldest first: also those that were found beside another (`Agreement.beside`)."""
        return await self._store.list_agreements(self.tenant, cursor=cursor, limit=limit)

    async def payout(self, request: PayoutRequest, *, wait_s: float | None = None) -> PayoutOutcome:
        """Send money to somebody's wallet, once per operation id, from however many callers and processes.

        Where the answer is lost it is `Unknown`, and stays so until the gateway or a person tells: it is never sent
        again, neither here nor by a worker. `Pending(sent=False)`: it is proven that nothing left; call again with the
        same operation id, or withdraw it. Another operation id is another payout, and pays again.

        Args:
            wait_s: how long to wait, in seconds; then what is known. Giving up waiting stops nothing.

        Raises:
            UnsupportedOperationError: the gateway pays nothing out, or no credentials for it are configured.
            OperationConflictError: the operation id belongs to another intent.
            ReconciliationRequiredError: the store was restored from a backup; see `Payments.clear_payouts`.
            InvalidRequestError, AmountError, ConfigurationError, StorageError: see their messages.
        """
        return await self._engine.payout(self.tenant, request, wait_s=wait_s)

    async def transfer(self, request: TransferRequest, *, wait_s: float | None = None) -> TransferOutcome:
        """Move money between the merchant's own accounts at the gateway, as `payout` sends it away.

        Raises: as `payout`.
        """
        return await self._engine.transfer(self.tenant, request, wait_s=wait_s)

    async def payout_status(self, operation_id: str) -> PayoutOutcome | TransferOutcome:
        """What is known of a payout or transfer; asks the gateway where it can be asked.

        Raises:
            InvalidRequestError: no such payout or transfer.
            ConfigurationError, StorageError: see their messages.
        """
        return await self._engine.payout_status(self.tenant, operation_id)

    async def withdraw_payout(self, operation_id: str) -> PayoutOutcome | TransferOutcome:
        """Cancel a payout or transfer that was never let out; withdrawing it twice is once.

        Raises:
            ConflictError: it has been let out.
            ReconciliationRequiredError: the store was restored: what it calls not sent may have been sent since.
            InvalidRequestError: there is none with that operation.
            StorageError: see its message.
        """
        return await self._engine.withdraw_payout(self.tenant, operation_id)

    async def resolve_payout(self, request: ResolveRequest) -> Payout:
        """As `resolve`, of a payout or transfer whose end nobody knows: `payment_id` is its payout id.

        MADE books it (flagged BY_OPERATOR), NOT_MADE declines it. Look at the gateway's portal or statement first: a
        balance alone proves nothing. The gateway's own word, whenever it comes, outranks the answer.

        CLEARED and MADE end a review. TAKEN_BACK says that the last answer was a mistake: what was booked on it alone
        is taken back, and the payout is unknown, or under review, again.

        Raises: as `resolve`.
        """
        return await self._engine.resolve_payout(self.tenant, request)

    async def get_payout(self, payout_id: str) -> Payout | None:
        """Everything recorded of one payout or transfer; None when there is none of that id."""
        return await self._store.get_payout(self.tenant, payout_id)

    async def find_payout(self, operation_id: str) -> Payout | None:
        """The payout or transfer with that operation id; None when there is none."""
        return await self._store.find_payout(self.tenant, operation_id)

    async def list_payouts(
        self, *, unsettled: bool = False, cursor: str | None = None, limit: int = 100
    ) -> Page[Payout]:
        """Payouts and transfers, oldest first; `unsettled`: only those whose end is open."""
        return await self._store.list_payouts(self.tenant, unsettled=unsettled, cursor=cursor, limit=limit)

    async def balance(self, gateway: str) -> GatewayBalance:
        """What the gateway says that it holds for the merchant, account by account. Only asks.

        Raises:
            UnsupportedOperationError: the gateway does not tell, or no credentials for it are configured.
            GatewayError: no answer.
            ConfigurationError: see its message.
        """
        return await self._engine.balance(self.tenant, gateway)

    async def resolve(self, request: ResolveRequest) -> PaymentFacts:
        """Write down an operator's answer to what no gateway has answered, with what follows from it.

        MADE books the receipt (flagged BY_OPERATOR) and settles the operation; NOT_MADE declines it: a refund's amount
        is free again, an execute's payment is closed. CLEARED ends a quarantine. Kept in `Payment.resolutions` and
        announced (operation.resolved). The gateway's own word, whenever it comes, outranks the answer.

        Raises:
            StaleStateError: the payment is not at `reviewed_version` any more; nothing was written.
            ConflictError: nothing is open there, the gateway may still be at work on it, or the transaction is booked
                elsewhere.
            InvalidRequestError, ConfigurationError, StorageError: see their messages.
        """
        return await self._engine.resolve(self.tenant, request)

    async def withdraw(self, operation_id: str) -> Outcome | RefundOutcome:
        """Cancel a refund, capture or void that was reserved and never let out; withdrawing it twice is once.

        Raises:
            ConflictError: it has been let out.
            ReconciliationRequiredError: the store was restored: what it calls not sent may have been sent since.
            InvalidRequestError: there is no such operation.
            StorageError: see its message.
        """
        return await self._engine.withdraw(self.tenant, operation_id)

    async def history(self, payment_id: str) -> History:
        """Everything kept of one payment: facts, events, and every attempt with its redacted requests and answers.

        Raises:
            InvalidRequestError: no such payment.
            StorageError: see its message.
        """
        return await self._engine.history(self.tenant, payment_id)

    async def handle_return(
        self, gateway: str, params: Mapping[str, str], *, wait_s: float | None = 5.0
    ) -> ReturnResult:
        """The payer's browser came back with these query parameters.

        They are an unauthenticated hint. A success hint executes; a cancel or failure hint only looks the payment
        up. So it is where the payer was asked for an agreement: then `agreement` is there, and `outcome` is None.
        Returns of one unfinished payment share what they make us ask (`EngineLimits.return_pause_s`). Redirect the
        browser to the result's `redirect_to` and nowhere else.

        Args:
            wait_s: how long to wait for the gateway, in seconds; what is known by then is answered.

        Raises:
            InvalidRequestError: the parameters name no payment and no agreement of ours.
            AlreadyPaidError, ConfigurationError, StorageError: as `execute`.
        """
        return await self._engine.handle_return(self.tenant, gateway, params, wait_s=wait_s)

    async def reconcile(self, payment_id: str) -> Reconciled:
        """Look at one payment now, with its refunds, and do what is due about it, whether or not its time has come.

        Asks the gateway about what is open, ends a session whose life is over, submits what was reserved and left
        behind, and books refunds that were made elsewhere. What got no answer is in the result's `problems`.

        Raises:
            InvalidRequestError: no such payment.
            StorageError: see its message.
        """
        return await self._open_reconciler().payment(self.tenant, payment_id)

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
        """Hold a gateway's settlement statement (CSV, XLSX) against our receipts; docs/settlement.md shows it whole.

        What agrees is booked (`payment.settled`, `payment.fee`) once per receipt, if `terms.apply` says so; every
        difference is a typed Break. A second run, or a statement that overlaps another, changes nothing.

        Args:
            statement: the file. It is read while others have their turns, but holds up the event loop for moments.
            mode: of the account that the statement is of.
            form: how the statement is laid out; None: `StatementFormat.generic()`.
            terms: whether to book, what to do with bad rows, which days it covers ...; None: nothing is booked.
            on_finding: told every break and every bad row.
            on_progress: told every few hundred rows.

        Raises:
            StatementError: the file or a row of it cannot be read; it names row and column. Nothing was booked.
            MissingExtraError: it is an XLSX file, and openpyxl is not installed.
            StorageError: what was booked before stays booked; run it again.
        """
        from vextrus_payments.settlement import SettlementRun, SettlementTerms, StatementFormat

        self._open_engine()  # refused where nothing is open
        accounts, clock, sleeper = self._books
        run = SettlementRun(
            self._store,
            tenant=self.tenant,
            gateway=gateway,
            mode=mode,
            form=form or StatementFormat.generic(),
            terms=terms or SettlementTerms(),
            accounts=accounts,
            clock=clock,
            sleeper=sleeper,
            on_finding=on_finding,
            on_progress=on_progress,
        )
        return await run.run(statement)

    async def get(self, payment_id: str) -> PaymentFacts | None:
        """Everything recorded of one payment; None when there is none of that id."""
        return await self._store.get(self.tenant, payment_id)

    async def find(self, *, merchant_reference: str) -> tuple[PaymentFacts, ...]:
        """Every payment of a merchant reference, oldest first (at most 100)."""
        return await self._store.find(self.tenant, merchant_reference=merchant_reference)
