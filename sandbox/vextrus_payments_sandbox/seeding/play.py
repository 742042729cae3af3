"""A scenario carried out: under the gateways' own rules, past their APIs, in the order of the file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vextrus_payments_sandbox.delivery import Courier
from vextrus_payments_sandbox.fault_kinds import Fault, parse_fault
from vextrus_payments_sandbox.faults import FaultPlans
from vextrus_payments_sandbox.seeding.scenario import (
    QUIET,
    Mistake,
    Scenario,
    ScenarioError,
    ScriptedPayment,
    ScriptedWallet,
)
from vextrus_payments_sandbox.wallets import Wallet
from vextrus_payments_sandbox.world import SandboxError, World

Script = Callable[[ScriptedPayment], str]
"""Plays one payment at its gateway; returns its reference there. Raises :class:`SandboxError`."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a scenario is played."""

    world: World
    faults: FaultPlans
    courier: Courier
    scripts: Mapping[str, Script]


@dataclass(frozen=True, slots=True)
class Played:
    """What was made."""

    merchants: int
    wallets: int
    faults: int
    payments: list[dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """Counts, and of each payment what it became."""
        return {
            "merchants": self.merchants,
            "wallets": self.wallets,
            "faults": self.faults,
            "payments": self.payments,
        }


async def play(stage: Stage, scenario: Scenario, url: str) -> Played:
    """Do all that a scenario asks for; `url` is the sandbox's own address.

    Raises:
        ScenarioError: a gateway, or the state of the sandbox, does not allow a part; what stood before it was done.
    """
    for merchant in scenario.merchants:
        gateways = [merchant.gateway] if merchant.gateway else list(stage.world.gateways)
        for name in gateways:
            _done(merchant.at, lambda name=name, new=merchant.name: stage.world.gateways[name].admit(new))  # type: ignore[misc]
    for wallet in scenario.wallets:
        _done(wallet.at, lambda wallet=wallet: _add_wallet(stage.world, wallet))  # type: ignore[misc]
    payments = []
    for payment in scenario.payments:
        reference = _done(payment.at, lambda payment=payment: stage.scripts[payment.gateway](payment))  # type: ignore[misc]
        if payment.webhook == QUIET:
            stage.courier.keep_quiet()
        await stage.courier.leave(_fault_of(payment))
        payments.append(_shown(stage.world, payment.gateway, reference, url))
    operations = {name: gateway.operations for name, gateway in stage.world.gateways.items()}
    for wish, at in scenario.faults:
        _done(at, lambda wish=wish: stage.faults.order(wish, operations))  # type: ignore[misc]
    return Played(len(scenario.merchants), len(scenario.wallets), len(scenario.faults), payments)


def _done(at: Mistake, act: Callable[[], Any]) -> Any:
    problem = ""
    try:
        return act()
    except SandboxError as error:
        problem = str(error)
    raise ScenarioError([Mistake(at.field, f"{problem} (what stands before it was done)", at.line)], 409)


def _add_wallet(world: World, asked: ScriptedWallet) -> None:
    known = world.wallet(asked.number)
    more = {} if known is None else {"opening_minor": known.opening_minor}
    wallet = Wallet(
        asked.number,
        frozenset({asked.pin}),
        otp=asked.otp,
        blocked=asked.blocked,
        note=asked.note or "seeded",
        **more,
    )
    world.wallets[asked.number] = wallet
    world.books.open(wallet.account, wallet.opening_minor)
    if asked.balance_minor is not None:
        world.set_balance(asked.number, asked.balance_minor)


def _fault_of(payment: ScriptedPayment) -> Fault | None:
    return parse_fault(payment.webhook, payment.gateway) if payment.webhook not in ("", QUIET) else None


def _shown(world: World, gateway: str, reference: str, url: str) -> dict[str, Any]:
    row = world.gateways[gateway].row(reference)
    if row is None:
        raise LookupError(reference)
    return {
        "gateway": gateway,
        "reference": reference,
        "transaction_id": row.transaction_id,
        "invoice": row.invoice,
        "state": row.state,
        "page": world.gateways[gateway].page_url(reference, url),
    }
