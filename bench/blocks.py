"""Interleaved blocks: in each round every contender gets one block of calls, in shuffled order."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

Call = Callable[[], Awaitable[object]]


@dataclass
class Samples:
    """Microseconds per call, one number a round."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)


async def block(call: Call, calls: int, concurrency: int) -> tuple[float, float]:
    """Make `calls` calls, `concurrency` at a time; CPU and wall microseconds per call of this process."""
    if concurrency == 1:
        wall, cpu = time.perf_counter_ns(), time.process_time_ns()
        for _ in range(calls):
            await call()
    else:
        each, rest = divmod(calls, concurrency)
        if rest:
            raise ValueError("every task makes the same number of calls")

        async def task() -> None:
            for _ in range(each):
                await call()

        wall, cpu = time.perf_counter_ns(), time.process_time_ns()
        await asyncio.gather(*(task() for _ in range(concurrency)))
    cpu, wall = time.process_time_ns() - cpu, time.perf_counter_ns() - wall
    return cpu / calls / 1000, wall / calls / 1000


async def interleaved(
    contenders: Mapping[str, Call],
    *,
    rounds: int,
    calls: int = 20,
    concurrency: int = 1,
    warm_up: int = 3,
    seed: int = 1,
    sparse: Mapping[str, int] | None = None,
) -> dict[str, Samples]:
    """Measure them side by side.

    Args:
        warm_up: rounds that are not counted.
        sparse: contenders so slow that they take part in every n-th round only.
    """
    dice = random.Random(seed)
    found = {name: Samples() for name in contenders}
    names = list(contenders)
    for number in range(-warm_up, rounds):
        dice.shuffle(names)
        for name in names:
            if sparse and name in sparse and number % sparse[name]:
                continue
            cpu, wall = await block(contenders[name], calls, concurrency)
            if number >= 0:
                found[name].cpu.append(cpu)
                found[name].wall.append(wall)
    return found
