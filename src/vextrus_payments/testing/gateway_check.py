"""check_gateway(): does an adapter keep the promise? Every verb under every fault, against a gateway that keeps books.

    report = await check_gateway(make_gateway, make_world)

`make_world` opens a fresh, empty gateway to test against (a sandbox, or a small fake); `make_gateway` makes the
adapter for it, over the transport it is handed. The kit puts a breakable line between the two, sends each verb over
it under each fault, and compares what the adapter says with what the books show:

* money moves at most once per call, and nothing that may move it is sent twice;
* no DeclinedError and no effect NONE or REFUSED where money moved; no success where it did not;
* what was never sent, or refused at the front door, is not called unknown;
* once the line works again, a look-up finds what happened;
* resuming never sends what may move money; without a checkpoint taker nothing is sent;
* bad input is refused before anything is sent; no error shows a secret.

What the kit needs to know of a gateway it takes from its `Capabilities`. All findings are told together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vextrus_payments.testing.faulty import Fault, FaultyTransport
from vextrus_payments.testing.gateway_faults import UnderFault
from vextrus_payments.testing.gateway_scenarios import SCENARIOS, Scenario
from vextrus_payments.testing.gateway_world import (
    Finding,
    GatewayCheckError,
    GatewayWorld,
    MakeGateway,
    MakeWorld,
    Stage,
    Verb,
    W,
)

__all__ = [
    "CheckReport",
    "Fault",
    "FaultyTransport",
    "Finding",
    "GatewayCheckError",
    "GatewayWorld",
    "Verb",
    "check_gateway",
]


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was tried, in order; what a gateway has not was left out."""

    scenarios: tuple[str, ...]


async def check_gateway(
    make_gateway: MakeGateway[W],
    make_world: MakeWorld[W],
    *,
    native: bool = False,
    verbs: Sequence[Verb] = tuple(Verb),
) -> CheckReport:
    """Try one adapter; see the module's docstring.

    Args:
        make_gateway: makes the adapter over the transport given, with no token yet. Give it a sleeper that does
            not really wait, or the check takes minutes.
        make_world: opens a fresh gateway for each scenario.
        native: the world itself commits the faults (`GatewayWorld.inject`), over its real connection; what it
            cannot is left out, and so is what is no fault.
        verbs: which to try under faults.

    Raises:
        GatewayCheckError: rules are broken; it lists all of them.
    """
    findings: list[Finding] = []
    scenarios: list[str] = []
    for verb in verbs:
        for fault in Fault:
            for blind in (False, True):
                name = f"{verb.value} under {fault.value}" + (", look-ups fail" if blind else "")
                problems = await _under_fault(make_gateway, make_world, verb, fault, blind, native)
                if problems is not None:
                    scenarios.append(name)
                    findings += [Finding(name, problem) for problem in problems]
    for scenario in () if native else SCENARIOS:
        name = getattr(scenario, "__name__", "scenario").strip("_").replace("_", " ")
        scenarios.append(name)
        problems = await _in_scenario(make_gateway, make_world, scenario)
        findings += [Finding(name, problem) for problem in problems]
    if findings:
        raise GatewayCheckError(findings)
    return CheckReport(tuple(scenarios))


async def _under_fault(
    make_gateway: MakeGateway[W],
    make_world: MakeWorld[W],
    verb: Verb,
    fault: Fault,
    blind: bool,
    native: bool,
) -> list[str] | None:
    """What is wrong; None where it does not apply."""
    async with make_world() as world:
        stage = Stage.over(world, make_gateway)
        run = UnderFault(stage, verb, fault, blind=blind, native=native)
        if not run.applies():
            return None
        try:
            done = await run.run()
        except Exception as error:  # noqa: BLE001 - what breaks the setting up is a finding too
            return [*run.problems, f"it could not be tried: {type(error).__name__}: {error}"]
        finally:
            await stage.gateway.aclose()
        return run.problems if done else None


async def _in_scenario(
    make_gateway: MakeGateway[W], make_world: MakeWorld[W], scenario: Scenario
) -> list[str]:
    async with make_world() as world:
        stage = Stage.over(world, make_gateway)
        problems: list[str] = []
        try:
            async for problem in scenario(stage, make_gateway):
                problems.append(problem)
        except Exception as error:  # noqa: BLE001 - whatever an adapter under test raises is a finding
            problems.append(f"it raised {type(error).__name__}: {error}")
        finally:
            await stage.gateway.aclose()
        return problems
