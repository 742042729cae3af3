"""What a story can do: call the service, act as the payer, let time pass. It lives outside and outlives processes."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from random import Random
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from vextrus_payments.app import Payments, TenantPayments
from vextrus_payments.errors import PaymentsError
from vextrus_payments.outcomes import Outcome, PayoutOutcome, RefundOutcome, TransferOutcome
from vextrus_payments.payment import ConsentRequest, PaymentRequest, PaymentSession, RefundRequest
from vextrus_payments.payouts import PayoutRequest, TransferRequest
from vextrus_payments.records import Agreement
from vextrus_payments.testing.simulation.comparing import compare_payouts, is_unrecorded
from vextrus_payments.testing.simulation.post import partial_request
from vextrus_payments.testing.simulation.process import ProcessDiedError, Stage
from vextrus_payments.testing.simulation.recovery import accept_restored
from vextrus_payments.testing.simulation.world import PostsReturns, World

T = TypeVar("T")

_FORM: Final = {"content-type": "application/x-www-form-urlencoded"}
_RESTARTS_MAX: Final = 50


class Town:
    """Everything around the service, for one run of one seed.

    Attributes:
        rng: chance for the story itself.
        tenants: whose payments there are.
    """

    def __init__(self, stage: Stage, rng: Random) -> None:
        self._stage = stage
        self.rng = rng
        self.tenants: tuple[str, ...] = stage.tenants

    @property
    def worlds(self) -> tuple[World, ...]:
        """The gateways."""
        return self._stage.worlds

    def world(self, gateway: str, mode: str = "sandbox") -> World:
        """The world behind one gateway."""
        return next(world for world in self.worlds if (world.gateway, world.mode) == (gateway, mode))

    @property
    def sets_clocks(self) -> bool:
        """Whether the wall clocks of the service are stepped in this run."""
        return self._stage.weather.clock > 0

    # --- time and tasks -----------------------------------------------------------------------------------------

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        await asyncio.sleep(seconds)

    async def together(self, *actors: Coroutine[Any, Any, object]) -> None:
        """Let all of them act at the same time; returns when the last one is done."""
        await asyncio.gather(*actors)

    # --- the service --------------------------------------------------------------------------------------------

    async def call(self, work: Callable[[Payments], Awaitable[T]], *, slot: int | None = None) -> T:
        """Run `work` in a process of the service: one HTTP request to it, so to speak.

        Raises:
            ProcessDiedError: the process died before it answered.
            Exception: what `work` raised.
        """
        process = await self._stage.process(slot)
        return await process.call(work)

    async def ask(self, work: Callable[[Payments], Awaitable[T]], *, slot: int | None = None) -> T:
        """As `call`, and asked again when the process died, as a client with a retry does."""
        for _ in range(_RESTARTS_MAX):
            try:
                return await self.call(work, slot=slot)
            except ProcessDiedError:
                await asyncio.sleep(0.5 + self.rng.random())
        raise ProcessDiedError("every process that was asked died")

    async def initialize(
        self, request: PaymentRequest, *, tenant: str | None = None, tries: int = 12
    ) -> PaymentSession | None:
        """Open a payment, trying again while that makes sense. None: it is not to be."""
        for number in range(tries):
            try:
                return await self.ask(lambda payments: self._handle(payments, tenant).initialize(request))
            except PaymentsError as error:
                self._stage.note(f"shop: initialize {request.operation_id}: {type(error).__name__}")
                if type(error).__name__ in _IN_VAIN:
                    return None
            await asyncio.sleep(1.0 + 3.0 * number)
        return None

    async def execute(
        self, payment_id: str, *, tenant: str | None = None, wait_s: float | None = None
    ) -> Outcome | None:
        """Execute; None when it raised or the process died."""
        return await self._quietly(
            lambda payments: self._handle(payments, tenant).execute(payment_id, wait_s=wait_s)
        )

    async def capture(self, payment_id: str, *, tenant: str | None = None) -> Outcome | None:
        """Take what is held; None when it raised or the process died."""
        return await self._quietly(lambda payments: self._handle(payments, tenant).capture(payment_id))

    async def void(self, payment_id: str, *, tenant: str | None = None) -> Outcome | None:
        """Let go of what is held; None when it raised or the process died."""
        return await self._quietly(lambda payments: self._handle(payments, tenant).void(payment_id))

    async def status(self, payment_id: str, *, tenant: str | None = None) -> Outcome | None:
        """Ask for the status; None when it raised or the process died."""
        return await self._quietly(lambda payments: self._handle(payments, tenant).status(payment_id))

    async def refund(self, request: RefundRequest, *, tenant: str | None = None) -> RefundOutcome | None:
        """Refund; None when it raised or the process died."""
        return await self._quietly(lambda payments: self._handle(payments, tenant).refund(request))

    async def refund_status(self, operation_id: str, *, tenant: str | None = None) -> RefundOutcome | None:
        """Ask for a refund's status; None when it raised or the process died."""
        return await self._quietly(
            lambda payments: self._handle(payments, tenant).refund_status(operation_id)
        )

    async def withdraw(
        self, operation_id: str, *, tenant: str | None = None
    ) -> Outcome | RefundOutcome | None:
        """Take an operation back that was not let out; None when it raised or the process died."""
        return await self._quietly(lambda payments: self._handle(payments, tenant).withdraw(operation_id))

    async def create_agreement(
        self, request: ConsentRequest, *, tenant: str | None = None, tries: int = 12
    ) -> Agreement | None:
        """Ask a payer for his consent, trying again while that makes sense. None: it is not to be."""
        for number in range(tries):
            try:
                return await self.ask(
                    lambda payments: self._handle(payments, tenant).create_agreement(request)
                )
            except PaymentsError as error:
                self._stage.note(f"shop: create_agreement {request.operation_id}: {type(error).__name__}")
                if type(error).__name__ in _IN_VAIN:
                    return None
            await asyncio.sleep(1.0 + 3.0 * number)
        return None

    async def execute_agreement(self, key: str, *, tenant: str | None = None) -> Agreement | None:
        """Make a consent hold; None when it raised or the process died."""
        return await self._quietly(lambda payments: self._handle(payments, tenant).execute_agreement(key))

    async def agreement_status(self, key: str, *, tenant: str | None = None) -> Agreement | None:
        """Look an agreement up; None when it raised or the process died."""
        return await self._quietly(lambda payments: self._handle(payments, tenant).agreement_status(key))

    async def cancel_agreement(self, key: str, *, tenant: str | None = None) -> Agreement | None:
        """End an agreement; None when it raised or the process died."""
        return await self._quietly(lambda payments: self._handle(payments, tenant).cancel_agreement(key))

    async def pay_out(
        self,
        request: PayoutRequest | TransferRequest,
        *,
        tenant: str | None = None,
        wait_s: float | None = None,
    ) -> PayoutOutcome | TransferOutcome | None:
        """Pay out or transfer; None when it raised or the process died, or when a person has told the caller that it
        had left: he found it on the statement after a restore."""

        async def work(payments: Payments) -> PayoutOutcome | TransferOutcome | None:
            if is_unrecorded(self._stage, request, tenant or "default"):
                return None
            handle = self._handle(payments, tenant)
            if isinstance(request, TransferRequest):
                return await handle.transfer(request, wait_s=wait_s)
            return await handle.payout(request, wait_s=wait_s)

        return await self._quietly(work)

    async def payout_status(
        self, operation_id: str, *, tenant: str | None = None
    ) -> PayoutOutcome | TransferOutcome | None:
        """Ask how a payout or transfer stands; None when it raised or the process died."""
        return await self._quietly(
            lambda payments: self._handle(payments, tenant).payout_status(operation_id)
        )

    async def withdraw_payout(
        self, operation_id: str, *, tenant: str | None = None
    ) -> PayoutOutcome | TransferOutcome | None:
        """Take a payout back that was not let out; None when it raised or the process died."""
        return await self._quietly(
            lambda payments: self._handle(payments, tenant).withdraw_payout(operation_id)
        )

    async def give_back(
        self, world: World, reference: str, amount_minor: int, payment_id: str, *, tenant: str | None = None
    ) -> bool:
        """Refund in the gateway's own portal. A person knows of it, and has the payment looked at in the end."""
        done = world.give_back(reference, amount_minor)
        if done:
            self._stage.note(f"portal: {reference} {amount_minor}")
            self._stage.to_ask.add((tenant or "default", payment_id))
        return done

    # --- backups ------------------------------------------------------------------------------------------------

    def back_up(self) -> bool:
        """Take a backup of the store. False: something is just being sent."""
        return self._stage.back_up()

    def restore(self) -> None:
        """Lose the machine; what the next process opens is the backup."""
        self._stage.restore()

    @property
    def is_restored(self) -> bool:
        """Whether the backup has taken the store's place."""
        return self._stage.restores.restored_at_s is not None

    async def accept_restored(self) -> bool:
        """As a person does after a restore: `reconcile_since`. False: it was not accepted, or the process died."""
        return bool(await self._quietly(lambda payments: accept_restored(self._stage, payments)))

    async def compare_payouts(self) -> bool:
        """As a person does after that: lay the gateways' statements beside the records, enter by hand what is in none,
        and let payouts leave again. False: it was not to be, or the process died."""
        return bool(await self._quietly(lambda payments: compare_payouts(self._stage, payments)))

    async def come_back(
        self, world: World, reference: str, verdict: str, *, tenant: str | None = None
    ) -> None:
        """The payer's browser comes back with this verdict, true or not."""
        params: Mapping[str, str] = world.return_params(reference, verdict)
        if self._stage.has_doors:
            middle = "" if tenant is None else f"/t/{tenant}"
            path = f"/payments{middle}/{world.gateway}/return"
            ask = partial_request("GET", path, query=params, peer="198.51.100.7")
            if isinstance(world, PostsReturns):
                form = urlencode(world.return_form(reference, verdict)).encode("ascii")
                ask = partial_request(
                    "POST", path, query=params, headers=_FORM, body=form, peer="198.51.100.7"
                )
            await self._quietly(ask)
            return
        if isinstance(world, PostsReturns):
            params = {**world.return_form(reference, verdict), **params}
        await self._quietly(
            lambda payments: self._handle(payments, tenant).handle_return(world.gateway, params)
        )

    async def _quietly(self, work: Callable[[Payments], Awaitable[T]]) -> T | None:
        try:
            return await self.call(work)
        except (PaymentsError, ProcessDiedError):
            return None

    def _handle(self, payments: Payments, tenant: str | None) -> TenantPayments | Payments:
        return payments if tenant is None else payments.for_tenant(tenant)


_IN_VAIN: Final = frozenset(
    {"DeclinedError", "AlreadyPaidError", "AmountError", "OperationConflictError", "InvalidRequestError"}
)

#: A story: what happens in one run.
Story = Callable[[Town], Coroutine[Any, Any, None]]
