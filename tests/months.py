"""Months of a pack's life for the tests of memory: what its checks would gauge, not its bytes."""

import math
import random
from collections.abc import Callable, Mapping

from packtap.analysis.gauged import PACK, Gauged, PackGauges
from packtap.memory.pack_memory import PackMemory

__all__ = ["BEGIN_H", "live"]

BEGIN_H = 496_000.0  #: 2026-08
_CELLS = range(1, 11)
#: Standard error that the checks give a rest deviation, points.
_NOISE_PCT = 0.06

#: Day -> true value by cell; what is not named is 0.
Course = Callable[[float], Mapping[int, float]]


def nothing(day: float) -> Mapping[int, float]:
    """A pack in which nothing changes."""
    del day
    return {}


def live(
    memory: PackMemory,
    days: float,
    seed: int,
    *,
    deviation: Course = nothing,
    extra: Course = nothing,
    begin_day: float = 0.0,
) -> float:
    """Let a pack be ridden twice a day and rest in between; return the UTC hours at the end.

    What is gauged differs from the truth as it does in the field: the OCV curve is off by up to
    20 % where the pack stands today, the day's temperature moves resistances, readings are noisy.
    """
    rng = random.Random(seed)
    offsets = {cell: rng.gauss(0, 0.3) for cell in _CELLS}
    resistances = {cell: rng.gauss(0, 0.8) for cell in _CELLS}
    day = begin_day
    while day < begin_day + days:
        day += 0.5 + rng.uniform(-0.1, 0.1)
        curve = 1 + rng.uniform(-0.2, 0.2)
        warmth = 1 + 0.01 * rng.gauss(8 * math.sin(day / 58), 4)
        truth, more = deviation(day), extra(day)
        for minute in range(0, 45, 15):
            t = day * 86_400 + minute * 60
            rest = {
                cell: curve * (offsets[cell] + truth.get(cell, 0.0)) + rng.gauss(0, _NOISE_PCT)
                for cell in _CELLS
            }
            load = {
                cell: warmth * (resistances[cell] + more.get(cell, 0.0)) + rng.gauss(0, 0.5)
                for cell in _CELLS
            }
            memory.gauge(
                PackGauges(
                    rest_pct=Gauged(t, rest, _NOISE_PCT),
                    extra_mohm=Gauged(t, load, 0.7),
                    median_mohm=Gauged(t, {PACK: 22.0 * warmth}, 1.0),
                )
            )
    memory.rest()
    now_h = BEGIN_H + day * 24
    memory.date(BEGIN_H * 3600, now_h, ())
    return now_h
