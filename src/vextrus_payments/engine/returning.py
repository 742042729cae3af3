"""What a browser's return makes us do at the gateway: soon, and not as often as anybody cares to say so.

A return is anybody's word, and can be repeated at no cost. While a payment is open each one would make us ask the
gateway, and a flood of returns would become a flood of calls with our credentials. So the returns that name one
payment (or one agreement) share what is asked, for `EngineLimits.return_pause_s`:

- one that only makes us look, as a cancel does, is answered by what our records hold if we have just looked;
- one that says success is never turned away, for the payer may have confirmed a moment ago. It waits until the pause
  since the last try is over, together with all others that came meanwhile, and then they execute: once.

The two are counted apart, so that no look-up holds up an execute. What is over is asked about by nobody; the first
return is never held up; and what the shop itself calls (`execute`, `status`) is not counted and does not wait.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from vextrus_payments.capabilities import Completion
from vextrus_payments.engine.agreeing import Agreeing
from vextrus_payments.engine.context import Context
from vextrus_payments.engine.looking import Looking, is_done
from vextrus_payments.engine.settling import Settling
from vextrus_payments.errors import ConflictError, Effect
from vextrus_payments.outcomes import Outcome
from vextrus_payments.records import Agreement, AgreementLife, Flag, PaymentFacts, PaymentState
from vextrus_payments.states import outcome_of

T = TypeVar("T")
#: (what is done, tenant, payment id or agreement key)
Subject = tuple[str, str, str]

#: The most subjects whose last time is remembered; the longest unasked one is forgotten first.
_REMEMBERED_MAX: Final = 10_000


class Returning:
    """Executes and look-ups that returns ask for. Of one process: others pause for themselves."""

    def __init__(self, context: Context, looking: Looking, settling: Settling, agreeing: Agreeing) -> None:
        self._context = context
        self._looking = looking
        self._settling = settling
        self._agreeing = agreeing
        self._asked_at: OrderedDict[Subject, float] = OrderedDict()

    async def execute(self, facts: PaymentFacts, wait_s: float | None) -> Outcome:
        """A return says success: see Payments.execute."""
        tenant, payment_id = facts.payment.tenant, facts.payment.payment_id
        if is_done(facts):
            return await self._after_all(facts, wait_s)

        async def known() -> Outcome | None:
            now = await self._context.payment(tenant, payment_id)
            return outcome_of(now) if is_done(now) else None

        found = await self._in_turn(
            ("return.execute", tenant, payment_id),
            known,
            lambda: self._settling.execute(tenant, payment_id),
            wait_s,
        )
        if found is None:
            return outcome_of(await self._context.payment(tenant, payment_id))
        return found

    async def _after_all(self, facts: PaymentFacts, wait_s: float | None) -> Outcome:
        """A return says success of what is over in our records. Where the payer's own click moves the money, he may
        have paid a page that was called over: it is looked at, and money is booked as late."""
        payment = facts.payment
        tenant, payment_id = payment.tenant, payment.payment_id
        if (
            payment.state not in (PaymentState.CLOSED, PaymentState.LAPSED)
            or Flag.QUARANTINED in payment.flags
        ):
            return outcome_of(facts)
        gateway = await self._context.gateway_of(facts)
        if gateway.capabilities.completion is not Completion.PAYER_COMPLETES:
            return outcome_of(facts)

        async def known() -> Outcome | None:
            now = await self._context.payment(tenant, payment_id)
            return outcome_of(now) if now.payment.state is PaymentState.PAID else None

        async def act() -> Outcome:
            return outcome_of(await self._looking.look_up(tenant, payment_id, gateway, closed=True))

        found = await self._in_turn(("return.late", tenant, payment_id), known, act, wait_s)
        return outcome_of(await self._context.payment(tenant, payment_id)) if found is None else found

    async def look(self, facts: PaymentFacts, wait_s: float | None) -> Outcome:
        """A return says something else: see Payments.status. Nothing is executed."""
        tenant, payment_id = facts.payment.tenant, facts.payment.payment_id
        if is_done(facts) or self._just_asked(("return.look", tenant, payment_id)):
            return outcome_of(facts)
        return await self._looking.status(tenant, payment_id, wait_s)

    async def execute_agreement(self, agreement: Agreement, wait_s: float | None) -> Agreement:
        """A return says that consent was given: see Payments.execute_agreement."""
        if agreement.state is not AgreementLife.AWAITING_PAYER:
            return agreement
        tenant, key = agreement.tenant, agreement.agreement_key

        async def known() -> Agreement | None:
            now = await self._stored(agreement)
            return None if now.state is AgreementLife.AWAITING_PAYER else now

        found = await self._in_turn(
            ("return.agreement.execute", tenant, key),
            known,
            lambda: self._agreeing.execute(tenant, key),
            wait_s,
        )
        return await self._stored(agreement) if found is None else found

    async def look_agreement(self, agreement: Agreement, wait_s: float | None) -> Agreement:
        """See Payments.agreement_status."""
        tenant, key = agreement.tenant, agreement.agreement_key
        if self._just_asked(("return.agreement.look", tenant, key)):
            return agreement
        return await self._agreeing.status(tenant, key, wait_s)

    async def _stored(self, agreement: Agreement) -> Agreement:
        return await self._context.store.get_agreement(agreement.tenant, agreement.agreement_key) or agreement

    # --- pauses ---------------------------------------------------------------------------------------------------

    def _just_asked(self, subject: Subject) -> bool:
        """Whether a return has made us ask within the pause. If not, this one does."""
        if self._left_s(subject) > 0:
            return True
        self._note(subject)
        return False

    async def _in_turn(
        self,
        subject: Subject,
        known: Callable[[], Awaitable[T | None]],
        act: Callable[[], Awaitable[T]],
        wait_s: float | None,
    ) -> T | None:
        """Act once the pause is over, in a task that all of them share. None: it goes on, and this one waits no
        longer."""
        context = self._context

        async def wait_and_act() -> T:
            # What another way has settled meanwhile needs no waiting for.
            if self._left_s(subject) > 0 and (found := await known()) is not None:
                return found
            if (left_s := self._left_s(subject)) > 0:
                await context.sleeper.sleep(left_s)
            self._note(subject)
            try:
                return await act()
            except ConflictError as error:
                if (
                    error.effect is Effect.NONE
                ):  # our records forbade it: nobody was asked, so nobody needs a pause
                    self._asked_at.pop(subject, None)
                raise

        flight = context.flights.start(subject, wait_and_act)
        if await context.flights.join(flight, context.limits.wait_s if wait_s is None else wait_s):
            return flight.result()
        return None

    def _left_s(self, subject: Subject) -> float:
        """How long the pause since the last time still is."""
        asked_at = self._asked_at.get(subject)
        if asked_at is None:
            return 0.0
        return asked_at + self._context.limits.return_pause_s - self._context.clock.monotonic()

    def _note(self, subject: Subject) -> None:
        self._asked_at[subject] = self._context.clock.monotonic()
        self._asked_at.move_to_end(subject)
        if len(self._asked_at) > _REMEMBERED_MAX:
            self._asked_at.popitem(last=False)
