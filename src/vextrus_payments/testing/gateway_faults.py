"""check_gateway(), first part: each verb under each fault, judged by the books."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Generic

from vextrus_payments.capabilities import Feature
from vextrus_payments.errors import (
    DeclinedError,
    Effect,
    GatewayBlockedError,
    OutcomeUnknownError,
    PaymentsError,
)
from vextrus_payments.payment import Intent
from vextrus_payments.snapshots import PaymentSnapshot, RefundSnapshot, RefundState, SnapshotState
from vextrus_payments.testing.faulty import FOREVER, HARMLESS, Fault
from vextrus_payments.testing.gateway_world import Stage, Verb, W
from vextrus_payments.wire import Safety

MADE: Final = (SnapshotState.PAID, SnapshotState.AUTHORIZED)
OPEN: Final = (SnapshotState.INITIATED, SnapshotState.APPROVED)
_WANTED: Final = {
    Verb.EXECUTE: MADE,
    Verb.CAPTURE: (SnapshotState.PAID,),
    Verb.VOID: (SnapshotState.VOIDED, SnapshotState.CANCELLED),
}
_NEEDS: Final = {Verb.CAPTURE: Feature.CAPTURE, Verb.VOID: Feature.VOID, Verb.REFUND: Feature.REFUND}
_TOKEN_FAULTS: Final = (Fault.TOKEN_ONCE, Fault.TOKEN_ALWAYS)


@dataclass(slots=True)
class Tried:
    """What a call brought."""

    result: Any = None
    error: Exception | None = None


async def tried(act: Callable[[], Awaitable[Any]]) -> Tried:
    """Call it; an error is a result."""
    try:
        return Tried(result=await act())
    except Exception as error:  # noqa: BLE001 - whatever an adapter under test raises is judged
        return Tried(error=error)


class UnderFault(Generic[W]):
    """One verb under one fault, in a world of its own.

    Args:
        blind: look-ups fail too, from the first request on that may move money.
        native: the world commits the fault, not the line.
    """

    def __init__(self, stage: Stage[W], verb: Verb, fault: Fault, *, blind: bool, native: bool) -> None:
        self._stage = stage
        self._verb = verb
        self._fault = fault
        self._blind = blind
        self._native = native
        self._only_looks = verb is Verb.STATUS or (verb is Verb.EXECUTE and stage.payer_completes)
        self._most = 0 if self._only_looks or verb is Verb.INITIALIZE else 1
        self._moved = 0
        self.problems: list[str] = []

    def applies(self) -> bool:
        """Whether the gateway has the verb and can meet the fault."""
        if self._fault in _TOKEN_FAULTS and self._stage.world.token_rejected() is None:
            return False
        if self._blind and (self._most == 0 or self._native):
            return False
        needed = _NEEDS.get(self._verb)
        return needed is None or self._stage.gateway.capabilities.can(needed)

    async def run(self) -> bool:
        """Try it and judge; False when the world cannot commit the fault."""
        stage = self._stage
        act = await self._prepared()
        stage.line.mend()
        before = await stage.world.effects()
        if not await self._order():
            return False
        outcome = await tried(act)
        self._moved = await stage.world.effects() - before
        self._judge(outcome)
        if self._verb is not Verb.INITIALIZE:
            await stage.mend()
            if self._verb is Verb.REFUND:
                await self._refund_recovers()
            else:
                await self._recovers()
            if stage.line.count(Safety.ONCE, reached=False):
                self._found("a look-up sent something that may move money")
        return True

    def _found(self, problem: str) -> None:
        self.problems.append(problem)

    # --- setting up -----------------------------------------------------------------------------------------

    async def _prepared(self) -> Callable[[], Awaitable[Any]]:
        """Everything before the call under test, over a line that works."""
        stage, gateway = self._stage, self._stage.gateway
        match self._verb:
            case Verb.INITIALIZE:
                await stage.open("CHECK-0", approve=False)  # so that the token is there
                return lambda: stage.initialize(stage.world.request("CHECK-1"))
            case Verb.EXECUTE:
                await stage.open("CHECK-1")
                return lambda: gateway.execute_payment(stage.call())
            case Verb.STATUS:
                await stage.open("CHECK-1")
                return lambda: stage.look()
            case Verb.CAPTURE | Verb.VOID:
                await stage.open("CHECK-1", intent=Intent.AUTHORIZATION)
                call = stage.call(Intent.AUTHORIZATION)
                await gateway.execute_payment(call)
                finish = gateway.capture_payment if self._verb is Verb.CAPTURE else gateway.void_payment
                return lambda: finish(call)
            case Verb.REFUND:
                refund = await stage.paid("CHECK-1")
                return lambda: gateway.refund_payment(refund, on_checkpoint=stage.save)

    async def _order(self) -> bool:
        if self._native:
            return await self._stage.world.inject(self._verb, self._fault)
        safety = Safety.ONCE
        if self._only_looks:
            safety = Safety.READ
        elif self._verb is Verb.INITIALIZE:
            safety = Safety.DISPOSABLE
        always = self._fault in (Fault.TOKEN_ALWAYS, Fault.NOT_SENT)
        self._stage.line.break_next(self._fault, safety, times=FOREVER if always else 1)
        if self._blind:
            self._stage.line.blind_after_once()
        return True

    # --- judging --------------------------------------------------------------------------------------------

    @property
    def _left(self) -> int:
        """How many requests that may move money left, as far as anybody can know."""
        if self._native:
            return 0 if self._fault in HARMLESS else self._stage.line.count(Safety.ONCE)
        return sum(
            one.safety is Safety.ONCE and one.fault not in HARMLESS for one in self._stage.line.passages
        )

    def _judge(self, outcome: Tried) -> None:
        if self._moved > self._most:
            self._found(f"money moved {self._moved} times; {self._most} at most were asked for")
        reached = self._stage.line.count(Safety.ONCE)
        if reached > self._most + (self._native and self._fault in _TOKEN_FAULTS):
            self._found(f"{reached} requests that may move money reached the gateway")
        if self._verb is Verb.INITIALIZE:
            self._judge_disposable()
        if outcome.error is None:
            self._judge_result(outcome.result)
        else:
            self._judge_error(outcome.error)

    def _judge_disposable(self) -> None:
        sent = [
            one for one in self._stage.line.passages if one.safety is Safety.DISPOSABLE and not one.is_token
        ]
        lost = [one for one in sent if one.fault is not None and one.fault not in HARMLESS]
        if lost and sent[-1] is not lost[0]:
            self._found("a session whose answer was lost was asked for again under the same order id")

    def _judge_result(self, result: Any) -> None:
        if self._fault is Fault.TOKEN_ALWAYS or (self._fault is Fault.NOT_SENT and not self._native):
            self._found("it succeeded although nothing ever arrived")
        if self._verb is Verb.REFUND:
            self._judge_refund(result)
            return
        wanted = _WANTED.get(self._verb)
        if wanted is None:
            return
        if not isinstance(result, PaymentSnapshot):
            self._found(f"it returned {type(result).__name__}, not a PaymentSnapshot")
            return
        if result.state not in wanted:
            self._found(f"it returned {result.state.value}, mismatches {sorted(result.mismatches)}")
        elif self._moved != 1 and not self._only_looks:
            self._found(f"it returned {result.state.value}, and nothing was done")

    def _judge_refund(self, result: Any) -> None:
        if not isinstance(result, RefundSnapshot):
            self._found(f"it returned {type(result).__name__}, not a RefundSnapshot")
        elif self._moved != 1:
            self._found(f"it returned {result.state.value}, and no money went back")
        elif result.state not in (RefundState.COMPLETED, RefundState.PENDING):
            self._found(f"money went back, and it returned {result.state.value}")

    def _judge_error(self, error: Exception) -> None:
        self.problems += self._stage.leaks(error)
        if not isinstance(error, PaymentsError):
            self._found(f"it raised {type(error).__name__}, which is no PaymentsError: {error}")
            return
        told = f"{type(error).__name__} ({error.code}, effect {error.effect.value})"
        if self._moved and isinstance(error, DeclinedError):
            self._found(f"money moved, and it raised {told}")
        elif self._moved and error.effect is not Effect.UNKNOWN:
            self._found(f"money moved, and {told} says that it did not")
        if error.effect is Effect.UNKNOWN and not self._left:
            self._found(f"nothing that may move money was sent, and {told} says that nobody can tell")
        doubtful = isinstance(error, OutcomeUnknownError | GatewayBlockedError)
        if self._left and doubtful and error.effect is not Effect.UNKNOWN:
            self._found(f"something that may move money was sent, and {told} says that none moved")
        if self._verb is Verb.STATUS and isinstance(error, DeclinedError) and error.final:
            self._found(f"a look-up that failed ended the payment: {told}")

    # --- the line works again ---------------------------------------------------------------------------------

    async def _recovers(self) -> None:
        """A look-up shows what happened."""
        stage = self._stage
        intent = Intent.AUTHORIZATION if self._verb in (Verb.CAPTURE, Verb.VOID) else Intent.SALE
        after = await tried(lambda: stage.look(intent))
        if after.error is not None:
            self.problems += stage.leaks(after.error)
            self._found(f"the look-up afterwards raised {type(after.error).__name__}: {after.error}")
            return
        expected: tuple[SnapshotState, ...]
        if self._moved:
            expected = _WANTED[self._verb]
        elif stage.payer_completes:
            expected = MADE
        else:
            expected = OPEN if self._verb in (Verb.EXECUTE, Verb.STATUS) else (SnapshotState.AUTHORIZED,)
        if after.result.state not in expected:
            self._found(f"the look-up afterwards shows {after.result.state.value}")

    async def _refund_recovers(self) -> None:
        """Where there is a baseline, a look-up finds the refund, or finds none."""
        stage, refund = self._stage, self._stage.refund
        if not stage.evidence or refund is None:
            return
        after = await tried(lambda: stage.gateway.look_up_refund(refund, resume=stage.evidence[0]))
        if after.error is not None:
            self.problems += stage.leaks(after.error)
            self._found(f"the look-up afterwards raised {type(after.error).__name__}: {after.error}")
        elif self._moved and after.result is None:
            self._found("money went back, and the look-up afterwards does not find the refund")
        elif not self._moved and after.result is not None:
            self._found("nothing went back, and the look-up afterwards shows a refund")
