"""Payments that are in our store: found by our payment id or by the gateway's ids, looked up, refunded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from vextrus_payments.app import Payments
from vextrus_payments.cli.home import Home
from vextrus_payments.cli.target import Target
from vextrus_payments.engine import is_done
from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.gateways.registry import DEFAULT_TENANT
from vextrus_payments.observe import NullObserver
from vextrus_payments.outcomes import Outcome, RefundOutcome, Unknown
from vextrus_payments.payment import RefundRequest
from vextrus_payments.records import Operation, OperationKind, OperationState, PaymentFacts
from vextrus_payments.states import OPEN_STATES, outcome_of, refund_outcome_of
from vextrus_payments.store import PaymentStore

#: How long to wait before each look at a refund whose answer got lost, in seconds.
_LOOK_AFTER_S: Final = (0.5, 1.5, 3.0)


@dataclass(frozen=True, slots=True)
class Located:
    """A recorded payment and the store it is in."""

    store: PaymentStore
    facts: PaymentFacts


async def locate(
    home: Home,
    *,
    payment_id: str | None = None,
    gateway: str | None = None,
    gateway_reference: str | None = None,
) -> Located | None:
    """The recorded payment of our id, or of the gateway's reference; None where there is none.

    Raises:
        StorageError: a store cannot be read.
    """
    for store in home.stores():
        await store.open()
        try:
            if payment_id is not None:
                facts = await store.get(DEFAULT_TENANT, payment_id)
            else:
                found = await store.find(DEFAULT_TENANT, gateway=gateway, gateway_reference=gateway_reference)
                facts = found[0] if found else None
        finally:
            await store.close()
        if facts is not None:
            return Located(store, facts)
    return None


def not_here(home: Home) -> InvalidRequestError:
    """The error of a payment id that no store knows."""
    return InvalidRequestError(
        f"There is no payment of that id in {home.place}.",
        field="payment_id",
        rule="an id that `vextrus-pay pay` showed",
        next_step="Check the id, VEXTRUS_PAY_HOME and --store; `vextrus-pay explain` finds it by your invoice or the "
        "transaction id, too. A payment made elsewhere is found by --gateway and --gateway-reference.",
    )


_ASKED_BEFORE: Final = frozenset({OperationState.PENDING, OperationState.SUCCEEDED, OperationState.DECLINED})


class Noted(NullObserver):
    """Remembers the look-ups that got no answer, which the engine rightly does not let decide anything."""

    __slots__ = ("failed",)

    def __init__(self) -> None:
        self.failed: list[str] = []

    def event(self, name: str, **fields: object) -> None:
        """Keep the code of a look-up that failed."""
        if name == "look_up.failed":
            self.failed.append(str(fields.get("code", "")))


@dataclass(frozen=True, slots=True)
class StatusAnswer:
    """A payment after a look."""

    facts: PaymentFacts
    outcome: Outcome
    refunds: tuple[RefundOutcome, ...]
    failed_look_ups: tuple[str, ...] = ()


def known(facts: PaymentFacts) -> StatusAnswer:
    """What our records say, without asking anybody."""
    refunds = tuple(refund_outcome_of(facts, operation) for operation in _refunds(facts))
    return StatusAnswer(facts, outcome_of(facts), refunds)


def is_open(facts: PaymentFacts) -> bool:
    """Whether asking the gateway can still tell something new."""
    return not is_done(facts) or any(o.state in OPEN_STATES for o in _refunds(facts))


async def look_up(located: Located, target: Target, home: Home) -> StatusAnswer:
    """Ask the gateway about everything of the payment that is open, and record what it shows.

    Raises:
        ConfigurationError, StorageError: see their messages.
    """
    noted = Noted()
    payment_id = located.facts.payment.payment_id
    async with _opened(located, target, home, observer=noted) as payments:
        await payments.status(payment_id)
        for operation in _refunds(located.facts):
            if operation.state in OPEN_STATES:
                await payments.refund_status(operation.operation_id)
        facts = await payments.get(payment_id)
    assert facts is not None, "it was there a moment ago"
    answer = known(facts)
    return StatusAnswer(answer.facts, answer.outcome, answer.refunds, tuple(noted.failed))


@dataclass(frozen=True, slots=True)
class RefundAnswer:
    """A refund and the payment after it."""

    facts: PaymentFacts
    outcome: RefundOutcome
    made_before: bool
    """The operation id had been refunded, refused or accepted already: nothing was sent by this command."""


async def refund(located: Located, target: Target, home: Home, request: RefundRequest) -> RefundAnswer:
    """Refund; an unknown end is looked up a few times, and nothing is sent again.

    Raises: as Payments.refund.
    """
    before = located.facts.operation(request.operation_id)
    # What is unknown or reserved may be sent by this call yet; of the others only an end is awaited.
    made_before = before is not None and before.state in _ASKED_BEFORE
    async with _opened(located, target, home) as payments:
        outcome = await payments.refund(request)
        for pause_s in _LOOK_AFTER_S:
            if not isinstance(outcome, Unknown):
                break
            await asyncio.sleep(pause_s)
            outcome = await payments.refund_status(request.operation_id)
        facts = await payments.get(request.payment_id)
    assert facts is not None, "it was there a moment ago"
    return RefundAnswer(facts, outcome, made_before)


@asynccontextmanager
async def _opened(
    located: Located, target: Target, home: Home, observer: Any = None
) -> AsyncIterator[Payments]:
    payments = Payments(
        store=located.store,
        gateways={target.gateway: target.config},
        tokens=home.tokens(),
        workers=False,
        observer=observer,
    )
    async with payments:
        yield payments


def _refunds(facts: PaymentFacts) -> tuple[Operation, ...]:
    return tuple(o for o in facts.operations if o.kind is OperationKind.REFUND)
