"""Runs the scenarios of a report: a payment, a payer, the payer's return, and what the gateway says to all of it."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Protocol

from vextrus_payments.app import Payments
from vextrus_payments.cli.home import Home
from vextrus_payments.cli.listener import Page, ReturnListener
from vextrus_payments.cli.target import Target, advised
from vextrus_payments.cli.uat_judging import check_not_executed, check_refused, in_words, page_of, told
from vextrus_payments.cli.uat_page import render
from vextrus_payments.cli.uat_scenarios import Act, NotAsExpectedError, Report, Scenario
from vextrus_payments.cli.uat_wire import RecordingTransport, shown_address
from vextrus_payments.clock import Clock
from vextrus_payments.errors import (
    AuthenticationRejectedError,
    ConfigurationError,
    InvalidRequestError,
    NotSentError,
    PaymentsError,
    ThrottledError,
)
from vextrus_payments.events import HintVerdict
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.gateways.registry import DEFAULT_TENANT
from vextrus_payments.money import Money
from vextrus_payments.outcomes import Outcome, Paid, Refunded, Unknown
from vextrus_payments.payment import PaymentRequest, PaymentSession, RefundCall, RefundRequest, StatusCall
from vextrus_payments.printable import one_line
from vextrus_payments.snapshots import SnapshotState
from vextrus_payments.token_budget import GrantAsk, GrantDecision, GrantEnd
from vextrus_payments.token_port import Token, TokenBackend, TokenKey
from vextrus_payments.tokens import FileTokenBackend

GATEWAY: Final = "bkash"
#: How long to wait before each look at a payment whose outcome got lost, in seconds.
_LOOK_AFTER_S: Final = (0.5, 1.5, 3.0)
#: After these nothing else would work either.
_HOPELESS: Final = (AuthenticationRejectedError, ConfigurationError, NotSentError, ThrottledError)
_NOT_OURS: Final = Page("Another payment", "This is not the payment that the terminal waits for.", 404)


class Payer(Protocol):
    """Does on the gateway's page what a scenario wants, and comes back."""

    def __call__(self, scenario: Scenario, act: Act, checkout_url: str, /) -> Awaitable[None]: ...


@dataclass(slots=True, kw_only=True)
class UatOrder:
    """What was asked for."""

    target: Target
    home: Home
    out: Path
    amount: Money
    payer: Payer
    """Walks the page; or tells a person where it is, and returns at once."""
    wait_s: float
    port: int
    public_url: str | None
    walked: bool
    """Whether the payer is played."""
    own_tokens: bool
    """Whether tokens are kept with the run alone, as for a sandbox, which may be gone tomorrow."""
    on_scenario: Callable[[Scenario], None] = field(default=lambda scenario: None)
    """Told when a scenario begins, and when it is over."""


class FirstAnew:
    """Tokens as they are kept, but for the first: the document needs a grant, so none of an earlier run is taken.

    The count of grants is the one that all commands share: bKash's two an hour hold here as well.
    """

    def __init__(self, kept: TokenBackend) -> None:
        self._kept = kept
        self._granted = False

    @property
    def durable(self) -> bool:
        """As what is behind it."""
        return self._kept.durable

    async def get(self, key: TokenKey) -> Token | None:
        """The token, once one was granted in this run."""
        return await self._kept.get(key) if self._granted else None

    async def put(self, key: TokenKey, token: Token) -> None:
        """As what is behind it."""
        await self._kept.put(key, token)

    async def drop(self, key: TokenKey, version: str) -> bool:
        """As what is behind it."""
        return await self._kept.drop(key, version)

    async def reserve_grant(self, key: TokenKey, ask: GrantAsk) -> GrantDecision:
        """As what is behind it."""
        return await self._kept.reserve_grant(key, ask)

    async def finish_grant(self, key: TokenKey, end: GrantEnd, token: Token | None) -> None:
        """As what is behind it; from now on tokens are shown."""
        await self._kept.finish_grant(key, end, token)
        self._granted = True


@dataclass(slots=True)
class _Waiting:
    """The payment that a payer is out for."""

    session: PaymentSession
    back: "asyncio.Future[tuple[HintVerdict, Outcome, str]]"


class UatRun:
    """One run. `await run.all()` runs every scenario; whatever interrupts it, `run.save()` writes what there is."""

    def __init__(self, order: UatOrder, report: Report, wire: RecordingTransport, clock: Clock) -> None:
        self._order = order
        self._report = report
        self._wire = wire
        self._clock = clock
        self._waiting: _Waiting | None = None
        self._payments: Payments | None = None
        self._paid: tuple[Scenario, PaymentSession, Paid] | None = None
        self._number = f"{clock.now():%Y%m%d%H%M%S}"
        self._return_url = ""

    @property
    def began_to_pay(self) -> bool:
        """Whether anything was sent that can move money."""
        return any(entry.title in ("Execute Payment", "Refund") for entry in self._wire.entries)

    def save(self) -> None:
        """Write the document as it stands, whole or not at all.

        Raises:
            ConfigurationError: it cannot be written there.
        """
        self._report.ended_at = self._clock.now()
        out, problem = self._order.out, ""
        half = out.with_name(f".{out.name}.{os.getpid()}.part")
        try:
            half.write_text(render(self._report), encoding="utf-8")
            half.replace(out)
        except OSError as error:
            problem = error.strerror or type(error).__name__
        if problem:
            with suppress(OSError):
                half.unlink(missing_ok=True)
            raise ConfigurationError(
                f"The report cannot be written to {out}: {problem}.",
                code="out",
                next_step="Name a file in a folder that can be written to with --out.",
            )

    async def all(self) -> PaymentsError | None:
        """Run every scenario; gives the error after which nothing else would have worked, if there was one."""
        order, hopeless = self._order, None
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._wire.aclose)
            door = await stack.enter_async_context(ReturnListener(self._on_return, port=order.port))
            public_url = order.public_url or door.url
            self._return_url = f"{public_url.rstrip('/')}/{GATEWAY}/return"
            self._payments = await stack.enter_async_context(
                Payments(
                    store=order.home.store(order.target.config.mode),
                    public_url=public_url,
                    gateways={GATEWAY: order.target.config},
                    tokens=self._tokens(stack),
                    transport=self._wire,
                    workers=False,
                )
            )
            gateway = await self._payments.gateway_of(DEFAULT_TENANT, GATEWAY)
            for scenario in self._report.scenarios:
                hopeless = await self._one(scenario, gateway)
                self.save()
                if hopeless is not None:
                    self._report.broken_off = f"Broken off: {one_line(str(hopeless), 600)}"
                    break
        self.save()
        return hopeless

    def _tokens(self, stack: AsyncExitStack) -> TokenBackend:
        if not self._order.own_tokens:
            return FirstAnew(self._order.home.tokens())
        folder = stack.enter_context(TemporaryDirectory(prefix="vextrus-pay-", ignore_cleanup_errors=True))
        return FileTokenBackend(Path(folder))

    # ---------------------------------------------------------------------------------------- one scenario

    async def _one(self, scenario: Scenario, gateway: PaymentGateway) -> PaymentsError | None:
        """Run it; gives the error that makes all further ones pointless."""
        if scenario.needs and not any(
            one.code == scenario.needs and one.result == "passed" for one in self._report.scenarios
        ):
            scenario.what = "It needs the successful payment."
            return None
        first = len(self._wire.entries)
        scenario.calls, scenario.result, scenario.began_at = [], "running", self._clock.now()
        self._order.on_scenario(scenario)
        error: PaymentsError | None = None
        try:
            with advised(self._order.target):
                await self._play(scenario, gateway)
            scenario.result = "passed"
        except NotAsExpectedError as wrong:
            scenario.result, scenario.what = "failed", str(wrong)
        except PaymentsError as raised:
            scenario.result, scenario.what, error = "failed", one_line(str(raised), 600), raised
        finally:  # also when somebody interrupts it: what was sent belongs to the report
            scenario.calls = self._wire.entries[first:]
            scenario.ended_at = self._clock.now()
            self._waiting = None
        self._order.on_scenario(scenario)
        return error if isinstance(error, _HOPELESS) else None

    async def _play(self, scenario: Scenario, gateway: PaymentGateway) -> None:
        if scenario.act is None:
            await self._refund(scenario, gateway)
            return
        first = len(self._wire.entries)
        session, verdict, outcome = await self._payment(scenario, scenario.act)
        scenario.calls = self._wire.entries[first:]
        if isinstance(outcome, Paid):
            scenario.trx_id = outcome.transaction_id
        await self._judge(scenario, session, verdict, outcome, gateway)

    async def _payment(self, scenario: Scenario, act: Act) -> tuple[PaymentSession, HintVerdict, Outcome]:
        """One payment, from its creation to the payer's return and what came of it."""
        payments, number = self._open(), self._report.scenarios.index(scenario)
        amount = self._amount_of(scenario)
        scenario.invoice, scenario.amount = f"UAT-{self._number}-{number + 1}", str(amount)
        request = PaymentRequest(
            operation_id=f"cli/uat/{self._number}/{scenario.code}",
            gateway=GATEWAY,
            amount=amount,
            merchant_reference=scenario.invoice,
            metadata=self._order.target.metadata,
        )
        session = await payments.initialize(request)
        scenario.payment_id, scenario.our_payment_id = session.gateway_reference or "", session.payment_id
        scenario.invoice = session.gateway_order_id
        scenario.steps.append(f"Created: invoice {scenario.invoice}, paymentID {scenario.payment_id}.")
        scenario.check(session.checkout_url is not None, "bKash gave no address of a payment page.")
        self._waiting = _Waiting(session, asyncio.get_running_loop().create_future())
        back = self._waiting.back
        back.add_done_callback(lambda done: None if done.cancelled() else done.exception())
        scenario.steps.append(told(act, walked=self._order.walked))
        await self._order.payer(scenario, act, session.checkout_url or "")
        await asyncio.wait({back}, timeout=self._order.wait_s)
        scenario.check(back.done(), f"The payer did not come back within {self._order.wait_s:g} s.")
        verdict, outcome, address = back.result()
        scenario.steps.append(f"The payer came back: {address}")
        outcome = await self._looked_up(outcome)
        scenario.steps.append(f"The client's outcome: {in_words(outcome)}.")
        return session, verdict, outcome

    def _amount_of(self, scenario: Scenario) -> Money:
        """The duplicate's is the success's; the others' differ, or they would be duplicates too."""
        base = self._order.amount
        if scenario.code in ("success", "duplicate"):
            return base
        taka = self._report.scenarios.index(scenario)
        return base + Money(str(taka), base.currency)

    async def _looked_up(self, outcome: Outcome) -> Outcome:
        """An unknown outcome is looked up a few times, with pauses; nothing is sent again."""
        for pause_s in _LOOK_AFTER_S:
            if not isinstance(outcome, Unknown):
                break
            await asyncio.sleep(pause_s)
            outcome = await self._open().status(outcome.payment_id)
        return outcome

    # ---------------------------------------------------------------------------------------- its judgment

    async def _judge(
        self,
        scenario: Scenario,
        session: PaymentSession,
        verdict: HintVerdict,
        outcome: Outcome,
        gateway: PaymentGateway,
    ) -> None:
        match scenario.code:
            case "success":
                scenario.check(isinstance(outcome, Paid), f"It was not paid: {in_words(outcome)}.")
                assert isinstance(outcome, Paid)
                await self._samples(scenario, session, outcome, gateway)
                self._paid = (scenario, session, outcome)
            case "duplicate":
                check_refused(scenario, outcome, "2029")
            case "insufficient_balance":
                check_refused(scenario, outcome, "2023")
            case "cancel":
                check_not_executed(scenario, verdict, HintVerdict.CANCEL)
            case _:
                check_not_executed(scenario, verdict, HintVerdict.FAILURE)

    async def _samples(
        self, scenario: Scenario, session: PaymentSession, paid: Paid, gateway: PaymentGateway
    ) -> None:
        """Query and search, because the document asks for a sample of each."""
        first = len(self._wire.entries)
        call = StatusCall(
            gateway_reference=session.gateway_reference or "",
            gateway_order_id=session.gateway_order_id,
            amount=session.amount,
        )
        picture = await gateway.get_payment_status(call)
        scenario.check(picture.state is SnapshotState.PAID, f"Query says {one_line(picture.raw_state)}.")
        scenario.steps.append(f"Query Payment: {one_line(picture.raw_state)}.")
        found = await gateway.search_transaction(paid.transaction_id)
        scenario.check(found is not None, "Search Transaction does not find the trxID.")
        scenario.steps.append(f"Search Transaction found {paid.transaction_id}.")
        scenario.calls = [*scenario.calls, *self._wire.entries[first:]]
        named = {entry.payment_id for entry in scenario.calls if entry.payment_id}
        scenario.check(named == {scenario.payment_id}, "The calls do not carry one and the same paymentID.")
        wanted = ("Grant Token", "Create Payment", "Execute Payment", "Query Payment", "Search Transaction")
        missing = [title for title in wanted if not scenario.called(title)]
        scenario.check(not missing, f"There is no sample of {', '.join(missing)}.")

    async def _refund(self, scenario: Scenario, gateway: PaymentGateway) -> None:
        """Give the first payment back, whole, and look at it."""
        assert self._paid is not None, "the scenario that it needs has passed"
        before, session, paid = self._paid
        scenario.invoice, scenario.payment_id = before.invoice, before.payment_id
        scenario.our_payment_id, scenario.amount = session.payment_id, str(session.amount)
        operation_id = f"cli/uat/{self._number}/refund"
        request = RefundRequest(operation_id=operation_id, payment_id=session.payment_id, reason="UAT")
        outcome = await self._open().refund(request)
        scenario.check(isinstance(outcome, Refunded), f"It was not refunded: {type(outcome).__name__}.")
        assert isinstance(outcome, Refunded)
        scenario.trx_id = outcome.transaction_id
        scenario.steps.append(f"Refunded {outcome.amount}: trxID {outcome.transaction_id}.")
        call = RefundCall(
            operation_id=operation_id,
            gateway_reference=session.gateway_reference or "",
            transaction_id=paid.transaction_id,
            amount=session.amount,
            reason="UAT",
            sku=session.merchant_reference,
        )
        shown = await gateway.get_refund_status(call)
        scenario.check(
            any(one.transaction_id == outcome.transaction_id for one in shown),
            "Refund Status does not show the refund.",
        )
        scenario.steps.append(f"Refund Status shows {outcome.transaction_id}.")

    # ------------------------------------------------------------------------------------- the payer's return

    async def _on_return(self, gateway_name: str, params: Mapping[str, str]) -> Page:
        """The browser is back. A return of another payment settles nothing: the command waits on."""
        waiting, payments = self._waiting, self._payments
        if waiting is None or payments is None or gateway_name != GATEWAY:
            return _NOT_OURS
        gateway = await payments.gateway_of(DEFAULT_TENANT, GATEWAY)
        try:
            hint = gateway.parse_return(params)
        except InvalidRequestError:
            return _NOT_OURS
        if hint.gateway_reference != waiting.session.gateway_reference:
            return _NOT_OURS
        query = "&".join(f"{name}={value}" for name, value in params.items())
        try:
            outcome = (await payments.handle_return(GATEWAY, params, wait_s=None)).outcome
        except PaymentsError as error:
            if not waiting.back.done():
                waiting.back.set_exception(error)
            raise
        assert outcome is not None, "the reference is the session's of a payment"
        if not waiting.back.done():
            address = shown_address(f"{self._return_url}?{query}")
            waiting.back.set_result((hint.verdict, outcome, address))
        return page_of(hint.verdict, outcome)

    def _open(self) -> Payments:
        assert self._payments is not None, "all() opened it"
        return self._payments
