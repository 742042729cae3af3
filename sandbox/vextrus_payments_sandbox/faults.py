"""The fault dial: which fault strikes which call.

Three hands turn it. The request header ``X-Sandbox-Fault: name[;seconds=1.5][;code=9999][;status=503]`` strikes the
call that carries it. An order ahead (``POST /_sandbox/faults``) strikes calls to come: the next one, the next n, every
one (``"always"``), or each with a chance, whose seed makes the same calls be struck again. And a payment may bring its
fault itself (``magic.py``). In this order they are asked; of orders, those that end go before those that do not, and
then the older before the younger.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from random import Random
from typing import Any, Final, Literal

from vextrus_payments_sandbox.fault_kinds import KINDS, PAGE, WEBHOOK, Fault, Kind, parse_fault
from vextrus_payments_sandbox.gateways import DEFAULT
from vextrus_payments_sandbox.magic import Memory, Subject
from vextrus_payments_sandbox.world import SandboxError

__all__ = [
    "HEADER",
    "KINDS",
    "PAGE",
    "WEBHOOK",
    "Fault",
    "FaultPlans",
    "Kind",
    "Plan",
    "Subject",
    "parse_fault",
]

TIMES_MAX: Final = 1_000_000
SEED_MAX: Final = 2**53 - 1
"""The largest whole number that every JSON reader keeps exact."""
PLANS_MAX: Final = 1_000
HEADER: Final = "x-sandbox-fault"
ALWAYS: Final = "always"
_IN_DISORDER: Final = "webhook_out_of_order"
_FIELDS: Final = frozenset({"gateway", "operation", "fault", "times", "chance", "seed"})


@dataclass(slots=True)
class Plan:
    """A fault ordered ahead, as ``GET /_sandbox/faults`` shows it."""

    id: int
    gateway: str
    operation: str
    """``*``: of any call that the fault can strike; ``webhook``: it strikes announcements; ``page``: what a
    payer's page comes to."""
    fault: str
    times: int | Literal["always"]
    """How many calls it has yet to strike."""
    chance: float = 1.0
    """How likely it strikes a call that it may strike."""
    seed: int | None = None
    """Decides, with the number of calls it has met, which of them it strikes; None where it strikes each."""
    met: int = 0
    """How many calls it might have struck so far."""
    struck: int = 0
    """How many it did strike."""

    def strikes(self) -> bool:
        """Meet one more call: whether this one is struck, counted."""
        self.met += 1
        # Drawn from the seed and the count alone, so that a plan stays plain data and a run can be repeated.
        if self.chance < 1 and Random(f"{self.seed}/{self.met}").random() >= self.chance:
            return False
        self.struck += 1
        if self.times != ALWAYS:
            self.times -= 1
        return True


class FaultPlans:
    """The orders that wait, and the memory of payments that brought their own fault.

    `chance` is where the seed of an order comes from that names none.
    """

    def __init__(self, chance: Random | None = None) -> None:
        self._chance = chance or Random(0)
        self._plans: list[Plan] = []
        self._last_id = 0
        self.magic = Memory()
        self.when_back_in_order: list[Callable[[], None]] = []
        """Called when an order is called off under which announcements waited for the next one: let them go."""

    def order(self, wish: Any, operations: Mapping[str, Sequence[str]]) -> Plan:
        """Take an order from JSON; raises :class:`SandboxError` for anything that could never strike."""
        if not isinstance(wish, dict) or not set(wish) <= _FIELDS:
            raise SandboxError(
                'a fault is ordered by {"gateway", "operation", "fault", "times", "chance", "seed"}'
            )
        gateway, operation = wish.get("gateway", DEFAULT), wish.get("operation", "*")
        fault = wish.get("fault")
        if not isinstance(gateway, str) or gateway not in operations:
            raise SandboxError(f"unknown gateway; the gateways are {', '.join(operations)}")
        if operation not in ("*", WEBHOOK, PAGE, *operations[gateway]):
            raise SandboxError(
                f"unknown operation; {gateway} has {', '.join(operations[gateway])}, {WEBHOOK} and {PAGE}"
            )
        if not isinstance(fault, str):
            raise SandboxError(f"fault is one of {', '.join(KINDS)}")
        kind = parse_fault(fault, gateway, "*" if operation == WEBHOOK else operation).kind
        if kind.phase in (WEBHOOK, PAGE) and operation == "*":
            operation = kind.phase
        if not kind.can_strike(gateway, operation):
            raise SandboxError(
                f"faults named webhook_... are ordered for the operation {WEBHOOK}, others never"
            )
        times, chance, seed = _checked_times(wish), _checked_chance(wish), _checked_seed(wish)
        if len(self._plans) >= PLANS_MAX:
            full = f"{PLANS_MAX} faults are waiting already; DELETE /_sandbox/faults clears them"
            raise SandboxError(full, 409)
        if chance < 1 and seed is None:
            seed = self._chance.getrandbits(32)  # shown, so that what came by chance can be had again
        self._last_id += 1
        plan = Plan(self._last_id, gateway, operation, fault, times, chance, seed)
        self._plans.append(plan)
        return plan

    def take(self, gateway: str, operation: str, subject: Subject | None = None) -> Fault | None:
        """The fault that strikes this call, counted off; ``None`` for a call that is left alone."""
        for plan in sorted(self._plans, key=lambda plan: plan.times == ALWAYS):
            if not _is_meant(plan, gateway, operation) or not plan.strikes():
                continue
            if plan.times == 0:
                self._plans.remove(plan)
            return parse_fault(plan.fault, gateway)
        own = None if subject is None else self.magic.take(gateway, operation, subject)
        if own is None or subject is None:
            return None
        return replace(
            own, is_magic=not subject.outcome
        )  # an outcome that was ordered ahead is somebody's wish

    def cancel(self, plan_id: int) -> None:
        """Forget one order; raises :class:`SandboxError` where there is none of this id."""
        called_off = [plan for plan in self._plans if plan.id == plan_id]
        if not called_off:
            raise SandboxError("no fault of this id is waiting: it has struck, or it was cleared", 404)
        self._call_off(called_off)

    def clear(self) -> None:
        """Forget every order."""
        self._call_off(list(self._plans))

    def _call_off(self, plans: Sequence[Plan]) -> None:
        self._plans = [plan for plan in self._plans if plan not in plans]
        if any(plan.fault.partition(";")[0].strip() == _IN_DISORDER for plan in plans):
            for let_go in self.when_back_in_order:
                let_go()

    def restore(self, plans: Sequence[Plan]) -> None:
        """Take up orders that were written down; their ids go on."""
        self._plans = list(plans)
        self._last_id = max((plan.id for plan in plans), default=0)

    def reset(self) -> None:
        """Forget every order, and which payments have brought their own fault already."""
        self._plans.clear()
        self.magic.forget()

    def as_json(self) -> list[dict[str, Any]]:
        """The orders still waiting."""
        return [asdict(plan) for plan in self._plans]


def _is_meant(plan: Plan, gateway: str, operation: str) -> bool:
    if plan.gateway != gateway or plan.operation not in ("*", operation):
        return False
    return parse_fault(plan.fault, gateway).kind.can_strike(gateway, operation)


def _checked_times(wish: Mapping[str, Any]) -> int | Literal["always"]:
    given = wish.get("times", 1)
    if given == ALWAYS:
        return "always"
    times = _whole(given)
    if times is None or not 1 <= times <= TIMES_MAX:
        raise SandboxError(f'times is a whole number from 1 to {TIMES_MAX}, or "{ALWAYS}"')
    return times


def _checked_chance(wish: Mapping[str, Any]) -> float:
    chance = wish.get("chance", 1.0)
    if isinstance(chance, bool) or not isinstance(chance, int | float) or not 0 < chance <= 1:
        raise SandboxError("chance is a number above 0, up to 1")
    return float(chance)


def _checked_seed(wish: Mapping[str, Any]) -> int | None:
    if wish.get("seed") is None:
        return None
    seed = _whole(wish["seed"])
    if seed is None or not 0 <= seed <= SEED_MAX:
        raise SandboxError(f"seed is a whole number from 0 to {SEED_MAX}")
    return seed


def _whole(given: Any) -> int | None:
    """A whole number as JSON may write it (``3``, ``3.0``); None for anything else."""
    if isinstance(given, float) and given.is_integer():
        return int(given)
    return given if isinstance(given, int) and not isinstance(given, bool) else None
