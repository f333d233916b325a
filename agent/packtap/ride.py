"""An emulated ride: what a pack's cells do under a rider, floor 2, pure and seeded.

A pack of cell groups in series, each with its own charge, resistance and one relaxation term; a
rider who accelerates, cruises, brakes (regeneration) and stops; the BMS's view of it: integer
millivolts with a flicker of 1 mV, current in steps of 10 mA, whole degrees, protection bits.
It feeds emulated scooters in `demo`, `simulate` and tests. Simulated, and always called so.

One fault so far: a cell that fails (soft short and rising resistance) from a given moment on.
"""

import math
import random
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["Ride", "RidePlan"]

#: Open-circuit voltage of the emulated cells, volts at percent. Deliberately not the curve of
#: `packtap.analysis.ocv`: the detector must not be judged by its own table.
_CURVE: Final = (
    (0.0, 2.70), (3.0, 3.10), (8.0, 3.35), (15.0, 3.46), (25.0, 3.55), (40.0, 3.63),
    (55.0, 3.74), (70.0, 3.89), (85.0, 4.04), (95.0, 4.13), (100.0, 4.20),
)  # fmt: skip
_RELAXATION_S: Final = 40.0
_RELAXATION_MOHM: Final = 12.0
_WIRING_MOHM: Final = 4.0  # between the cell stack and the pack voltage tap
_CUT_OFF_V: Final = 2.50  # the emulated board raises bit 8 below this


@dataclass(frozen=True, slots=True)
class RidePlan:
    """How to set up a ride.

    Attributes:
        cells: groups in series, 1-16.
        design_capacity_mah: of each group.
        soc_pct: charge at the start.
        seed: of the rider and of the spread between cells.
        failing_cell: 1-16; None for a sound pack.
        fails_after_s: when the failing cell begins to fail.
    """

    cells: int = 10
    design_capacity_mah: int = 12800
    soc_pct: float = 72.0
    seed: int = 1
    failing_cell: int | None = None
    fails_after_s: float = 60.0

    def __post_init__(self) -> None:
        if not 1 <= self.cells <= 16:
            raise ValueError(f"a pack has 1-16 cells, not {self.cells}")
        if self.failing_cell is not None and not 1 <= self.failing_cell <= self.cells:
            raise ValueError(f"there is no cell {self.failing_cell} in a pack of {self.cells}")
        if not 0 <= self.soc_pct <= 100:
            raise ValueError(f"a charge is 0-100 %, not {self.soc_pct:g}")
        if not self.fails_after_s >= 0:
            raise ValueError(f"a ride cannot fail before its start ({self.fails_after_s:g} s)")


class Ride:
    """Steps the pack through time and tells what its registers hold.

    Args:
        plan: the set-up.
    """

    def __init__(self, plan: RidePlan) -> None:
        self._plan = plan
        self._random = random.Random(plan.seed)  # noqa: S311 - a rider, not a secret
        spread = self._random.gauss
        self._soc = [plan.soc_pct + spread(0, 0.3) for _ in range(plan.cells)]
        self._mohm = [18.0 * (1 + spread(0, 0.03)) for _ in range(plan.cells)]
        self._relaxing_v = [0.0] * plan.cells
        self._now = 0.0
        self._current_a = 0.0
        self._target_a = 0.0
        self._phase_ends_s = 3.0
        self._degc = 24.0
        self._low_since: float | None = None

    def advance(self, now: float) -> None:
        """Let the ride go on to `now` (seconds since its start)."""
        while self._now < now:
            step = min(0.1, now - self._now)
            self._now += step
            self._ride(step)
            self._move_charge(step)

    def registers(self) -> Mapping[str, int | float | tuple[int, ...]]:
        """Return what the BMS reports now, by register row name."""
        volts = [self._volts(cell) for cell in range(self._plan.cells)]
        flicker = self._random.choice
        millivolts = tuple(max(0, round(1000 * v) + flicker((0, 0, 0, 1))) for v in volts)
        low = tuple(n for n, mv in enumerate(millivolts, 1) if mv < 1000 * _CUT_OFF_V)
        soc = max(0.0, min(100.0, sum(self._soc) / len(self._soc)))
        if low and self._low_since is None:
            self._low_since = self._now
        status = 0x0001
        # The board latches it: only a charger would take it back, and nobody plugs one in here.
        if self._low_since is not None and self._now - self._low_since > 5:
            status |= 0x0100
        pack_v = sum(volts) - self._current_a * _WIRING_MOHM / 1000
        degc = round(self._degc)
        return {
            "status": status,
            "remaining_capacity_mah": round(self._plan.design_capacity_mah * soc / 100),
            "soc_pct": round(soc),
            "current_a": round(self._current_a, 2),
            "voltage_v": round(max(0.0, pack_v), 2),
            "temperature_1_c": degc,
            "temperature_2_c": degc + 1,
            "undervoltage_cells": low,
            "cell_voltages_mv": millivolts,
        }

    def _ride(self, step: float) -> None:
        if self._now >= self._phase_ends_s:
            low_a, high_a, seconds = self._random.choice(
                (
                    (12.0, 22.0, 4.0),  # accelerate
                    (5.0, 9.0, 12.0),  # cruise
                    (4.0, 7.0, 8.0),
                    (-6.0, -2.0, 2.5),  # brake
                    (0.04, 0.08, 5.0),  # stop
                )
            )
            self._target_a = self._random.uniform(low_a, high_a)
            self._phase_ends_s = self._now + seconds * self._random.uniform(0.7, 1.3)
        self._current_a += (self._target_a - self._current_a) * (1 - math.exp(-step / 0.4))

    def _move_charge(self, step: float) -> None:
        capacity_mas = self._plan.design_capacity_mah * 3600
        decay = math.exp(-step / _RELAXATION_S)
        for cell in range(self._plan.cells):
            drawn_pct = 100 * 1000 * self._current_a * step / capacity_mas
            self._soc[cell] -= drawn_pct
            settled_v = self._current_a * _RELAXATION_MOHM / 1000
            self._relaxing_v[cell] = settled_v + (self._relaxing_v[cell] - settled_v) * decay
        self._degc += (24 + abs(self._current_a) - self._degc) * step / 600
        self._fail(step)

    def _fail(self, step: float) -> None:
        cell = self._plan.failing_cell
        if cell is None or self._now < self._plan.fails_after_s:
            return
        self._soc[cell - 1] = max(0.0, self._soc[cell - 1] - 2.5 * step)
        self._mohm[cell - 1] = min(180.0, self._mohm[cell - 1] + 1.5 * step)

    def _volts(self, cell: int) -> float:
        drop = self._current_a * self._mohm[cell] / 1000 + self._relaxing_v[cell]
        return max(0.0, _open_circuit_v(self._soc[cell]) - drop)


def _open_circuit_v(soc_pct: float) -> float:
    right = min(max(bisect_right(_CURVE, (soc_pct, 0.0)), 1), len(_CURVE) - 1)
    (low, low_v), (high, high_v) = _CURVE[right - 1], _CURVE[right]
    return low_v + (soc_pct - low) * (high_v - low_v) / (high - low)
