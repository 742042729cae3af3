"""What stands around the payments: a finance system that takes entries, a log of what callers asked and were told.

Both belong to the outside: they outlive every process, and no memory of the SDK is in them. The checkers read them.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, TypeVar

from vextrus_payments.app import TenantPayments
from vextrus_payments.errors import PaymentsError
from vextrus_payments.events import PaymentEvent
from vextrus_payments.ledger import LedgerEntry
from vextrus_payments.testing.simulation.faults import Faults
from vextrus_payments.testing.simulation.world import Disbursement

T = TypeVar("T")

#: The verbs whose answers are kept.
VERBS: Final = (
    "initialize",
    "execute",
    "capture",
    "void",
    "status",
    "refund",
    "refund_status",
    "handle_return",
    "resolve",
    "withdraw",
    "create_agreement",
    "execute_agreement",
    "agreement_status",
    "cancel_agreement",
    "payout",
    "transfer",
    "payout_status",
    "withdraw_payout",
    "resolve_payout",
)
#: Those of money that leaves: their answers are about no payment.
PAYING_OUT: Final = frozenset({"payout", "transfer", "payout_status", "withdraw_payout", "resolve_payout"})
_LEAVING: Final = frozenset({"payout.sent", "transfer.made"})
_HANGS_S: Final = 3_600.0


class FinanceDownError(RuntimeError):
    """The finance system does not answer."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One entry or event that was handed over, each time it was."""

    at_s: float
    process: str
    entry: Any


class Finance:
    """Takes entries and events durably, and is sometimes down, slow, or loses its answer after booking."""

    def __init__(self, rng: Random, faults: Faults, note: Callable[[str], None]) -> None:
        self._rng = rng
        self._faults = faults
        self._note = note
        self.entries: list[Taken] = []
        self.events: list[Taken] = []
        self.by_hand: list[Disbursement] = []
        """What a bookkeeper has entered, off a gateway's statement, because no record was left of it."""

    def enter(self, line: Disbursement) -> bool:
        """What a person enters by hand, unless it is in the books. False: it is."""
        taken = {one.entry.transaction_id for one in self.entries if one.entry.kind.value in _LEAVING}
        if line.transaction_id in taken or line in self.by_hand:
            return False
        self.by_hand.append(line)
        self._note(f"entered by hand: {line.kind} {line.transaction_id}")
        return True

    async def take_entry(self, entry: LedgerEntry) -> None:
        """The ledger callback."""
        await self._take(entry, self.entries, "books")

    async def take_event(self, event: PaymentEvent) -> None:
        """The on_event callback."""
        await self._take(event, self.events, "hears")

    async def _take(self, what: Any, into: list[Taken], word: str) -> None:
        loop = asyncio.get_running_loop()
        rate = self._faults.weather.ledger
        fate = self._rng.choice(("before", "after", "hang", "slow")) if self._rng.random() < rate else ""
        await asyncio.sleep(5.0 if fate == "slow" else 0.0)
        if fate == "before":
            raise FinanceDownError
        if fate == "hang" and self._rng.random() < 0.5:
            await asyncio.sleep(_HANGS_S)
        into.append(Taken(loop.time(), getattr(loop, "name", ""), what))
        self._note(f"{word} {what.kind} {what.payment_id} {what.transaction_id}")
        if fate == "hang":
            await asyncio.sleep(_HANGS_S)
        await asyncio.sleep(0)
        if fate == "after":
            raise FinanceDownError


@dataclass(frozen=True, slots=True)
class Told:
    """One call of a verb: what was asked, and what its caller was told. No answer: its process died first."""

    number: int
    asked_at_s: float
    process: str
    tenant: str
    verb: str
    arguments: tuple[Any, ...]
    told_at_s: float | None = None
    answer: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class Desk:
    """Keeps what callers asked and were told."""

    note: Callable[[str], None]
    told: list[Told] = field(default_factory=list)

    def watch(self, payments: Any) -> None:
        """Keep every call of this Payments' verbs, through whichever handle it comes."""
        handle_of = payments.for_tenant

        def for_tenant(tenant: str) -> TenantPayments:
            handle: TenantPayments = handle_of(tenant)
            for verb in VERBS:
                call = getattr(handle, verb, None)
                if call is not None:
                    setattr(handle, verb, self._kept(tenant, verb, call))
            return handle

        payments.for_tenant = for_tenant

    def _kept(self, tenant: str, verb: str, call: Callable[..., Any]) -> Callable[..., Any]:
        async def kept(*arguments: Any, **options: Any) -> Any:
            loop = asyncio.get_running_loop()
            number, process = len(self.told), getattr(loop, "name", "")
            asked = (number, loop.time(), process, tenant, verb, arguments)
            self.told.append(Told(*asked))
            self.note(f"asked {verb} {process} {[str(a) for a in arguments if isinstance(a, str)]}")
            try:
                answer = await call(*arguments, **options)
            except Exception as error:
                self.told[number] = Told(*asked, told_at_s=loop.time(), error=error)
                code = error.code if isinstance(error, PaymentsError) else ""
                self.note(f"raised {verb} {process} {type(error).__name__} {code}")
                raise
            self.told[number] = Told(*asked, told_at_s=loop.time(), answer=answer)
            self.note(f"told {verb} {process} {answer!r}")
            return answer

        return kept
