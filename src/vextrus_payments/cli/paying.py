"""One payment from the command line: a session, a payer who is sent away and comes back, an outcome.

The payer comes back to a listener of this command; only then is the payment executed, by the engine, once. The
store is the user's file: whatever interrupts this command, `vextrus-pay status` finds the payment there.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from vextrus_payments.app import Payments
from vextrus_payments.capabilities import Completion
from vextrus_payments.cli.extension import sandbox_tools
from vextrus_payments.cli.home import Home
from vextrus_payments.cli.listener import Page, ReturnListener
from vextrus_payments.cli.target import Origin, Target, advised, sandbox_target
from vextrus_payments.cli.waiting import Waiting
from vextrus_payments.errors import ConfigurationError, InvalidRequestError, PaymentsError
from vextrus_payments.events import HintVerdict
from vextrus_payments.gateways.registry import DEFAULT_TENANT
from vextrus_payments.mode import Mode
from vextrus_payments.outcomes import Authorized, Outcome, Paid, Pending, Unknown
from vextrus_payments.payment import PaymentRequest, PaymentSession
from vextrus_payments.records import PaymentFacts
from vextrus_payments.states import outcome_of
from vextrus_payments.token_port import TokenBackend
from vextrus_payments.tokens import FileTokenBackend

#: How long to wait before each look at a payment whose outcome got lost, in seconds.
_LOOK_AFTER_S: Final = (0.5, 1.5, 3.0)

_NOT_OURS: Final = Page("Another payment", "This is not the payment that the terminal waits for.", 404)
_NOT_DONE: Final = Page(
    "Not finished yet",
    "If you have confirmed the payment, load this page again; else go back to the payment page and finish there.",
)


@dataclass(slots=True, kw_only=True)
class PayOrder:
    """What `pay` was asked for, and how far it has got (for the words after an interruption)."""

    request: PaymentRequest
    target: Target | None
    """None: a sandbox of its own, started for this payment."""
    home: Home
    approve: bool
    wait_s: float
    port: int = 0
    public_url: str | None = None
    live: bool = False
    open_browser: bool = True
    on_session: Callable[["PayOrder", PaymentSession, Target], None]
    quiet: bool = False
    """Show nothing while it waits."""
    session: PaymentSession | None = field(default=None, init=False)
    listening_at: str = field(default="", init=False)
    return_url: str = field(default="", init=False)
    """The address that the gateway sends the payer back to."""
    origin: Origin | None = field(default=None, init=False)
    began: bool = field(default=False, init=False)
    """Whether a return of this payment has come: from then on money may have moved."""
    came_back: bool = field(default=False, init=False)
    """Whether the payer came back and the payment was executed, or was tried to be."""
    payer_completes: bool = field(default=False, init=False)
    """Whether the payer's last click moves the money, so that he may have paid without coming back."""


async def take(order: PayOrder) -> Outcome:
    """Take the payment.

    Raises:
        PaymentsError: what initialize raises, a page that could not be walked, or what execute raises.
    """
    async with AsyncExitStack() as stack:
        target = order.target
        if target is None:
            with Waiting("Starting a sandbox for this payment", quiet=order.quiet):
                target = await _own_sandbox(order.request.gateway, stack)
        _check_walkable(order, target)
        order.origin = target.origin
        returning = _Returning(order)
        door = await stack.enter_async_context(ReturnListener(returning.on_return, port=order.port))
        order.listening_at = door.url
        public_url = _public_url(order, target, door.url)
        order.return_url = f"{public_url.rstrip('/')}/{target.gateway}/return"
        payments = Payments(
            store=order.home.store(target.config.mode),
            public_url=public_url,
            gateways={target.gateway: target.config},
            tokens=_tokens(order.home, target, stack),
            workers=False,
        )
        returning.payments = await stack.enter_async_context(payments)
        gateway = await payments.gateway_of(DEFAULT_TENANT, target.gateway)
        order.payer_completes = gateway.capabilities.completion is Completion.PAYER_COMPLETES
        with advised(target), Waiting(f"Opening the payment at {target.gateway}", quiet=order.quiet):
            session = order.session = await payments.initialize(_request_for(order.request, target))
        order.on_session(order, session, target)
        outcome = await _brought_back(order, returning, session)
        return await _looked_up(payments, outcome, quiet=order.quiet)


async def _own_sandbox(gateway: str, stack: AsyncExitStack) -> Target:
    url = await stack.enter_async_context(sandbox_tools("Paying without credentials").started())
    return sandbox_target(gateway, url, Origin.OWN_SANDBOX)


def _request_for(request: PaymentRequest, target: Target) -> PaymentRequest:
    # A sandbox of its own begins without a payment: whatever the store remembers of the reference was paid elsewhere.
    repeats = request.allow_repeat or target.origin is Origin.OWN_SANDBOX
    return replace(request, allow_repeat=repeats, metadata={**request.metadata, **target.metadata})


def _check_walkable(order: PayOrder, target: Target) -> None:
    if order.approve and not target.is_walkable:
        raise ConfigurationError(
            "--approve walks the page of a sandbox on this machine only, and the gateway configured here is none.",
            code="not_a_sandbox",
            next_step="Leave --approve out, or pay in a sandbox with --sandbox URL.",
        )


def _public_url(order: PayOrder, target: Target, listening_at: str) -> str:
    if order.public_url is not None:
        return order.public_url
    if target.config.mode is Mode.LIVE:
        raise ConfigurationError(
            "In live mode a gateway sends payers back to an https address only, and this command listens on http.",
            code="public_url_missing",
            next_step="Lead an https address here (a tunnel to --port) and name it with --public-url.",
        )
    return listening_at


def _tokens(home: Home, target: Target, stack: AsyncExitStack) -> TokenBackend:
    """The user's own token files; for a sandbox that ends with this command, files that end with it too."""
    if target.origin is not Origin.OWN_SANDBOX:
        return home.tokens()
    folder = stack.enter_context(TemporaryDirectory(prefix="vextrus-pay-", ignore_cleanup_errors=True))
    return FileTokenBackend(Path(folder))


class _Returning:
    """The command's side of the return door."""

    def __init__(self, order: PayOrder) -> None:
        self._order = order
        self.payments: Payments | None = None
        self.settled: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        # Looked at, so that asyncio does not complain of an error that a later one overtook.
        self.settled.add_done_callback(lambda done: None if done.cancelled() else done.exception())

    async def on_return(self, gateway_name: str, params: Mapping[str, str]) -> Page:
        """The browser is back. A forged or early return settles nothing: the command waits on."""
        payments, session = self.payments, self._order.session
        if payments is None or session is None or gateway_name != session.gateway:
            return _NOT_OURS
        gateway = await payments.gateway_of(DEFAULT_TENANT, gateway_name)
        try:
            hint = gateway.parse_return(params)
        except InvalidRequestError:
            return _NOT_OURS
        if hint.gateway_reference != session.gateway_reference:
            return _NOT_OURS
        self._order.began = True
        try:
            outcome = (await payments.handle_return(gateway_name, params, wait_s=None)).outcome
        except PaymentsError as error:
            if not self.settled.done():
                self.settled.set_exception(error)
            raise
        assert outcome is not None, "the reference is the session's of a payment"
        is_success = hint.verdict is HintVerdict.SUCCESS
        if is_success and isinstance(outcome, Pending) and not self._order.approve:
            return (
                _NOT_DONE  # forged or early, or nothing could be sent: whoever reloads the page tries again
            )
        self._order.came_back = is_success
        if not self.settled.done():
            self.settled.set_result(outcome)
        return _page_of(outcome)


def _page_of(outcome: Outcome) -> Page:
    if isinstance(outcome, Paid | Authorized):
        return Page("Thank you", f"{outcome.amount} received. You can close this window.")
    return Page("Thank you", "The terminal shows what became of the payment. You can close this window.")


async def _brought_back(order: PayOrder, returning: _Returning, session: PaymentSession) -> Outcome:
    """The outcome once the payer is back; what our records say when nobody comes back in time."""
    payments = returning.payments
    assert payments is not None, "take() opened it"
    known = outcome_of(await _facts(payments, session.payment_id))
    if not isinstance(known, Pending):
        return known  # the operation id of an earlier run, which got to its end
    if session.checkout_url is None:
        with Waiting("Taking the payment", quiet=order.quiet):
            return await payments.execute(session.payment_id)
    if order.approve:
        with Waiting("Walking the payment page as the test customer would", quiet=order.quiet):
            walked = await _approved(session, session.checkout_url, order)
    else:
        walked = False
    if not walked:
        with Waiting("Waiting for the payer (Ctrl+C stops waiting)", quiet=order.quiet, limit_s=order.wait_s):
            await asyncio.wait({returning.settled}, timeout=order.wait_s)
    if returning.settled.done():
        return returning.settled.result()
    return outcome_of(await _facts(payments, session.payment_id))


async def _approved(session: PaymentSession, checkout_url: str, order: PayOrder) -> bool:
    """Walk the page. False: the walker lost patience with the return, which goes on without it."""
    try:
        await sandbox_tools("--approve").approve(session.gateway, checkout_url)
    except PaymentsError:
        if not order.began:
            raise  # the page itself could not be walked: nothing was executed
        return False
    return True


async def _looked_up(payments: Payments, outcome: Outcome, *, quiet: bool) -> Outcome:
    """An unknown outcome is looked up a few times, with pauses; nothing is sent again."""
    if not isinstance(outcome, Unknown):
        return outcome
    with Waiting("The answer got lost; looking what became of it", quiet=quiet):
        for pause_s in _LOOK_AFTER_S:
            if not isinstance(outcome, Unknown):
                break
            await asyncio.sleep(pause_s)
            outcome = await payments.status(outcome.payment_id)
    return outcome


async def _facts(payments: Payments, payment_id: str) -> PaymentFacts:
    facts = await payments.get(payment_id)
    assert facts is not None, "initialize recorded it"
    return facts
