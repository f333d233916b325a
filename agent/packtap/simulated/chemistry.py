"""Open-circuit voltage of the cells that scooter packs are made of, floor 2.

Four families of 18650 cells as rows: percent of charge and volts at 25 degC. The shapes follow
published pseudo-OCV measurements (C/20 to C/32) and data-sheet discharge curves at 0.2C corrected
for their resistance; cells of one family differ between makers by about two points of charge, which
`Curve` can be shifted by. Deliberately not the curve of `packtap.analysis.ocv`: a detector must not
be judged by its own table. Below 0 % the curve falls on, 65 mV a point (a cell that is drained
further than its maker allows); above 100 % it rises by 9 mV a point.
"""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Final

__all__ = ["CHEMISTRIES", "Chemistry", "Curve"]

_LOWEST_PCT: Final = -45.0
_HIGHEST_PCT: Final = 125.0
_PER_PCT: Final = 2  # points of the grid
_BELOW_V_PER_PCT: Final = 0.065
_ABOVE_V_PER_PCT: Final = 0.009


@dataclass(frozen=True, slots=True)
class Chemistry:
    """One family of cells.

    Attributes:
        name: short.
        cells: examples of what it describes.
        points: percent and volts, rising.
    """

    name: str
    cells: str
    points: tuple[tuple[float, float], ...]


CHEMISTRIES: Final = (
    Chemistry(
        "nmc532", "2.6 Ah energy cells of budget packs (EVE, Lishen)",
        ((0, 2.78), (2, 3.03), (5, 3.26), (10, 3.42), (15, 3.49), (20, 3.54), (30, 3.605),
         (40, 3.65), (50, 3.71), (60, 3.81), (70, 3.905), (80, 4.00), (90, 4.085), (95, 4.125),
         (100, 4.19)),
    ),
    Chemistry(
        "nmc622", "3.0 Ah power cells (HG2 class)",
        ((0, 2.72), (2, 3.00), (5, 3.20), (10, 3.36), (15, 3.44), (20, 3.50), (30, 3.59),
         (40, 3.65), (50, 3.72), (60, 3.83), (70, 3.93), (80, 4.02), (90, 4.09), (95, 4.13),
         (100, 4.19)),
    ),
    Chemistry(
        "nca", "3.2-3.4 Ah energy cells (GA and 35E class)",
        ((0, 2.62), (2, 2.94), (5, 3.15), (10, 3.315), (15, 3.40), (20, 3.46), (30, 3.555),
         (40, 3.63), (50, 3.70), (60, 3.80), (70, 3.90), (80, 3.995), (90, 4.075), (95, 4.115),
         (100, 4.18)),
    ),
    Chemistry(
        "nmc811", "3.5 Ah cells with silicon in the anode (MJ1 class)",
        ((0, 2.58), (2, 2.88), (5, 3.09), (10, 3.27), (15, 3.39), (20, 3.46), (30, 3.555),
         (40, 3.625), (50, 3.71), (60, 3.82), (70, 3.92), (80, 4.025), (90, 4.08), (95, 4.115),
         (100, 4.18)),
    ),
)  # fmt: skip


class Curve:
    """Volts of a rested cell at a percentage, from a grid that is quick to read.

    Args:
        chemistry: the family.
        shift_pct: how far this maker's curve lies to the right of it.
    """

    __slots__ = ("_volts",)

    def __init__(self, chemistry: Chemistry, shift_pct: float = 0.0) -> None:
        steps = round((_HIGHEST_PCT - _LOWEST_PCT) * _PER_PCT)
        self._volts = tuple(
            _on(chemistry.points, _LOWEST_PCT + step / _PER_PCT - shift_pct)
            for step in range(steps + 1)
        )

    def volts(self, soc_pct: float) -> float:
        """Return the open-circuit voltage; percentages outside the grid give its ends."""
        place = (min(max(soc_pct, _LOWEST_PCT), _HIGHEST_PCT) - _LOWEST_PCT) * _PER_PCT
        left = min(int(place), len(self._volts) - 2)
        low = self._volts[left]
        return max(0.0, low + (place - left) * (self._volts[left + 1] - low))

    def soc_pct(self, volts: float) -> float:
        """Return the percentage at which a rested cell has this voltage."""
        right = min(max(bisect_right(self._volts, volts), 1), len(self._volts) - 1)
        low, high = self._volts[right - 1], self._volts[right]
        share = 0.0 if high <= low else (volts - low) / (high - low)
        return _LOWEST_PCT + (right - 1 + share) / _PER_PCT


def _on(points: tuple[tuple[float, float], ...], soc_pct: float) -> float:
    if soc_pct <= points[0][0]:
        return points[0][1] + (soc_pct - points[0][0]) * _BELOW_V_PER_PCT
    if soc_pct >= points[-1][0]:
        return points[-1][1] + (soc_pct - points[-1][0]) * _ABOVE_V_PER_PCT
    right = bisect_right(points, (soc_pct, 99.0))
    (low, low_v), (high, high_v) = points[right - 1], points[right]
    return low_v + (soc_pct - low) * (high_v - low_v) / (high - low)
