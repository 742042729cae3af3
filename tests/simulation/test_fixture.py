"""The fixture, as a user of the SDK has it: his own service, his own story, a kill at any await."""

import pytest

from vextrus_payments import Money, Paid, PaymentRequest, Payments, RefundRequest
from vextrus_payments.testing.simulation import CrashSimulator, ServicePorts, SimulationFailedError, Town
from vextrus_payments.testing.simulation.planted import PLANTED
from vextrus_payments_sandbox.simulated import bkash

pytest_plugins = ["pytester"]


def service(ports: ServicePorts) -> Payments:
    """Built as in production, over the ports of the simulation."""
    return ports.payments(late_payment="refund")


async def story(town: Town) -> None:
    """A customer pays, and gets half of it back."""
    world = town.world("bkash")
    session = await town.initialize(
        PaymentRequest(
            operation_id="order-1/pay",
            gateway="bkash",
            amount=Money("100", "BDT"),
            merchant_reference="order-1",
            return_url="https://shop.test/orders/1",
        )
    )
    if session is None:
        return
    await town.sleep(2)
    world.approve(session.gateway_reference, "success")
    await town.come_back(world, session.gateway_reference, "success")
    outcome = await town.execute(session.payment_id)
    if isinstance(outcome, Paid):
        half = Money("50", "BDT")
        await town.refund(
            RefundRequest(operation_id="order-1/back", payment_id=session.payment_id, amount=half)
        )


def test_a_service_of_ones_own_is_judged() -> None:
    simulator = CrashSimulator()
    tally = simulator.check(story, service=service, seeds=range(3), kills=5)
    assert tally.runs == 18
    assert tally.kills >= 15


def test_a_service_is_judged_behind_its_doors_too() -> None:
    simulator = CrashSimulator()
    tally = simulator.check(story, service=service, doors=True, epoch=True, seeds=range(3), kills=3)
    assert tally.runs == 12
    with PLANTED["any_signature"].plant(), pytest.raises(SimulationFailedError, match="forgery_taken"):
        simulator.check(story, service=service, doors=True, seeds=range(60), kills=0)


def test_a_broken_promise_says_how_to_play_it_again() -> None:
    with PLANTED["expiry_is_decline"].plant(), pytest.raises(SimulationFailedError) as caught:
        CrashSimulator().check(story, worlds=[bkash], seeds=range(120, 400), kills=2)
    words = str(caught.value).partition("play it again: pytest ")[2].split()
    seed = int(words[words.index("--crash-seed") + 1])
    points = [int(point) for point in words[3].split(",")] if words[2] == "--crash-kill" else []
    again = CrashSimulator(seed=seed, kill_at=points)
    with PLANTED["expiry_is_decline"].plant(), pytest.raises(SimulationFailedError, match="broke a promise"):
        again.check(story, worlds=[bkash])
    CrashSimulator(seed=seed, kill_at=points).check(story, worlds=[bkash])


def test_the_plugin_gives_the_fixture_and_its_options(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    pytester.makeconftest('pytest_plugins = ["vextrus_payments.testing.pytest_plugin"]')
    pytester.makepyfile(
        """
        from vextrus_payments.testing.simulation import shop_story

        def test_mine(crash_simulator):
            tally = crash_simulator.check(shop_story, seeds=range(2), kills=2)
            assert tally.seeds == 0 and tally.runs == 1
        """
    )
    pytester.runpytest("--crash-seed", "7", "--crash-kill", "40", "-p", "no:cacheprovider").assert_outcomes(
        passed=1
    )
