"""The statistics: medians of what was measured side by side, with bootstrap 95 % intervals."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

_DRAWS: Final = 2000
_TAIL: Final = 0.025


@dataclass(frozen=True)
class Estimate:
    """A median and the interval that holds it with 95 %."""

    value: float
    low: float
    high: float


def estimate(values: Sequence[float], *, seed: int = 20260115) -> Estimate:
    """The median of the values, and a percentile bootstrap of it. The seed makes the same values say the same."""
    if not values:
        raise ValueError("nothing was measured")
    kept = list(values)
    dice = random.Random(seed)
    drawn = sorted(median(dice.choices(kept, k=len(kept))) for _ in range(_DRAWS))
    return Estimate(median(kept), drawn[int(_DRAWS * _TAIL)], drawn[int(_DRAWS * (1 - _TAIL)) - 1])


def ratios(ours: Sequence[float], base: Sequence[float]) -> list[float]:
    """Round by round: what was measured in the same moment is divided by each other, so that a slow spell of the
    machine falls on both."""
    if len(ours) != len(base):
        raise ValueError("both were measured in the same rounds")
    return [one / other for one, other in zip(ours, base, strict=True)]
