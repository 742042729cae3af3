"""The simulator itself: it replays exactly, it finds what is planted, and a killed process has no effect any more."""

import asyncio
import os
import subprocess
import sys
from random import Random

import pytest

from tests.simulation.settings import CASES, HUNTS, SETTINGS
from vextrus_payments.testing.simulation import Simulation, Weather
from vextrus_payments.testing.simulation.judge import play
from vextrus_payments.testing.simulation.loop import DeadlockError, Scheduler, new_loop
from vextrus_payments.testing.simulation.planted import PLANTED

# --- it replays ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["bkash", "two-foul", "tenants"])
def test_the_same_seed_is_the_same_run(case: str) -> None:
    setting, weather = CASES[case]
    first = play(setting, 5, kill_at=[120], weather=weather)
    assert first.fingerprint == play(setting, 5, kill_at=[120], weather=weather).fingerprint
    assert first.fingerprint != play(setting, 6, kill_at=[120], weather=weather).fingerprint


@pytest.mark.slow
def test_the_same_seed_is_the_same_run_in_another_process() -> None:
    setting, weather = CASES["two-foul"]
    here = play(setting, 5, kill_at=[120], weather=weather)
    for hash_seed in ("0", "4711"):
        there = subprocess.run(
            [sys.executable, "-m", "tests.simulation.replay", "two-foul", "5", "--kill", "120"],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        )
        assert here.fingerprint in there.stdout


def test_a_replay_of_what_is_wrong_says_so() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.simulation.replay",
            "bkash-lossy",
            "2",
            "--planted",
            "executed_after_cancel",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "WRONG unasked_execute" in done.stdout


# --- it bites -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_a_planted_bug_is_found(name: str) -> None:
    case, seeds = HUNTS[name]
    setting, weather = CASES[case]
    with PLANTED[name].plant():
        found = next((s for s in range(seeds) if not play(setting, s, weather=weather).clean), None)
    assert found is not None, f"{name} stayed hidden for {seeds} seeds of {case}"
    # The same seed is clean without it: what was found is the bug, and it is gone again.
    assert play(setting, found, weather=weather).clean


# --- a killed process ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", [20, 60, 100, 150])
def test_a_killed_process_has_no_effect_any_more(point: int) -> None:
    run = Simulation(SETTINGS["bkash"], 3, kill_at=[point], weather=Weather.fair()).play()
    assert run.kills == 1
    assert run.dead_writes == 0
    killed = next(
        number for number, line in enumerate(run.journal) if line.endswith(("(await)", "(database)"))
    )
    name = run.journal[killed].split()[1]
    # What it had sent before arrives all the same; but it asks, tells, books and hears nothing any more.
    after = [line.split() for line in run.journal[killed + 1 :]]
    assert not [words for words in after if words[1] in ("asked", "told", "raised") and words[3] == name]
    assert not [
        taken
        for taken in run.entries + run.events
        if taken.process == name and taken.at_s > float(after[0][0])
    ]


def test_a_kill_in_finally_blocks_reaches_nobody() -> None:
    scheduler = Scheduler(Random(1))
    outside, process = new_loop(scheduler, "outside"), new_loop(scheduler, "process")
    done: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            done.append("cleaned up")
            await asyncio.sleep(0)
            done.append("went on")

    async def watch() -> None:
        _ = process.create_task(work())
        await asyncio.sleep(1)
        process.drop()
        await asyncio.sleep(20)
        assert done == []

    scheduler.run(outside.create_task(watch()))
    process.bury()
    assert "went on" not in done


# --- the loop -----------------------------------------------------------------------------------------------------


def test_time_costs_nothing_and_time_outs_work() -> None:
    scheduler = Scheduler(Random(1))
    loop = new_loop(scheduler, "one")

    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.Event().wait()
        return loop.time()

    assert scheduler.run(loop.create_task(main())) == 3600.0


def test_everybody_waiting_for_ever_is_told() -> None:
    scheduler = Scheduler(Random(1))
    loop = new_loop(scheduler, "one")
    task = loop.create_task(asyncio.Event().wait())
    with pytest.raises(DeadlockError):
        scheduler.run(task)
    loop.bury()


def test_tasks_are_woken_in_other_orders_and_callbacks_are_not() -> None:
    orders = set()
    for seed in range(20):
        scheduler = Scheduler(Random(seed), disorder=0.8)
        loop = new_loop(scheduler, "one")
        woken: list[int] = []

        async def one(number: int, woken: list[int] = woken) -> None:
            await asyncio.sleep(1)
            woken.append(number)

        async def main() -> None:
            await asyncio.gather(*(one(number) for number in range(4)))

        scheduler.run(loop.create_task(main()))
        orders.add(tuple(woken))
        plain: list[int] = []
        done = loop.create_future()
        for number in range(4):
            loop.call_soon(plain.append, number)
        loop.call_soon(done.set_result, None)
        scheduler.run(done)
        assert plain == [0, 1, 2, 3]
    assert len(orders) > 3


def test_a_thread_is_refused() -> None:
    scheduler = Scheduler(Random(1))
    loop = new_loop(scheduler, "one")

    async def main() -> None:
        await asyncio.to_thread(print)

    with pytest.raises(NotImplementedError, match="no threads"):
        scheduler.run(loop.create_task(main()))
