"""Payments that are in our store: found by our payment id or by the gateway's ids, looked up, refunded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from vextrus_payments.app import Payments, TenantPayments
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A payment as a command line names it: by our id, or by the gateway's own reference of it."""

    payment_id: str | None = None
    gateway: str | None = None
    gateway_reference: str | None = None
    tenant: str = DEFAULT_TENANT


async def find(store: PaymentStore, named: Named) -> PaymentFacts | None:
    """The payment in a store that is open; None where it is not in it.

    Raises:
        StorageError: the store cannot be read.
    """
    if named.payment_id is not None:
        return await store.get(named.tenant, named.payment_id)
    found = await store.find(named.tenant, gateway=named.gateway, gateway_reference=named.gateway_reference)
    return found[0] if found else None


async def locate(home: Home, named: Named) -> Located | None:
    """The recorded payment in the home's stores; None where it is in none.

    Raises:
        StorageError: a store cannot be read.
    """
    for store in home.stores():
        await store.open()
        try:
            facts = await find(store, named)
        finally:
            await store.close()
        if facts is not None:
            return Located(store, facts)
    return None


def not_here(*places: str) -> InvalidRequestError:
    """The error of a payment id that no store knows; `places` is where it was looked for."""
    return InvalidRequestError(
        f"There is no payment of that id in {' or '.join(places)}.",
        field="payment_id",
        rule="an id that `vextrus-pay pay` showed",
        next_step="Check the id, VEXTRUS_PAY_HOME and --store, or --app and --tenant; `vextrus-pay explain` finds it "
        "by your invoice or the transaction id, too. A payment made elsewhere is found by --gateway and "
        "--gateway-reference.",
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
    async with _opened(located, target, home, observer=noted) as payments:
        verbs = payments.for_tenant(located.facts.payment.tenant)
        answer = await asked(verbs, located.facts)
    return replace(answer, failed_look_ups=tuple(noted.failed))


async def asked(verbs: TenantPayments, facts: PaymentFacts) -> StatusAnswer:
    """Ask about everything of the payment that is open, by verbs that are open.

    Raises:
        ConfigurationError, StorageError: see their messages.
    """
    payment_id = facts.payment.payment_id
    await verbs.status(payment_id)
    for operation in _refunds(facts):
        if operation.state in OPEN_STATES:
            await verbs.refund_status(operation.operation_id)
    after = await verbs.get(payment_id)
    assert after is not None, "it was there a moment ago"
    return known(after)


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
