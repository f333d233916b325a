"""Does a cell's charge fall behind while charge is drawn? Floor 2.

A cell of lower capacity loses more percent for every ampere-hour: its deviation from the others, as
state of charge, grows with the charge drawn and shrinks again while charging. An imbalance is
constant, a resistance follows the current. So each cell's deviation without current (from
`resistance`, or at rest) is fitted with a line in the charge drawn, in percent of the pack's
capacity. A slope of -s means a capacity of 1 / (1 + s) of the others'.

The OCV curve is known to some 30 % in slope, so a constant imbalance seems to drift by up to a
third of itself along the curve; that much is allowed. Source: events.md section 7 (4).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from packtap.analysis.configured import of_pack
from packtap.analysis.finding import Finding
from packtap.analysis.reading import CellReading, middle
from packtap.analysis.resistance import CellLines, Deviation
from packtap.model import Event

__all__ = ["ChargeDriftCheck", "ChargeDriftLimits"]

_STEP_PCT: Final = 1.0
_KEEP: Final = 0.985  # a step; the last 65 % of charge count
_ERROR_PCT: Final = 0.3  # of one point, beside its own: polarisation differs a little
_BENT: Final = 0.35  # error of the curve's slope, share
_LONG_REST_S: Final = 1800.0


@dataclass(frozen=True, slots=True)
class ChargeDriftLimits:
    """Slope of a weak cell.

    Capacities of new cells differ by 0.5-1.5 % (1 sigma), of aged ones by twice that: 9 % is three
    sigma. A slope of 0.13 is a capacity of 88.5 %.
    """

    weak_pct: float = of_pack("weak_cell_pct")
    clear_pct: float = of_pack("weak_cell_clear_pct")
    change_pct: float = 4.0
    span_pct: float = 12.0
    curve_share: float = 0.35  # of a constant deviation that the curve's error can turn into drift
    significance: float = 5.0
    knee_mv: float = 3350.0  # below, the curve is too steep and too uncertain
    error_pct: float = 1.5

    @property
    def slope(self) -> float:
        """So much faster than the others a weak cell empties."""
        return 100 / self.weak_pct - 1

    @property
    def clear_slope(self) -> float:
        """The same of a cell that is fine again."""
        return 100 / self.clear_pct - 1


class _Drift:
    """Weighted sums of one cell's deviation against charge drawn."""

    __slots__ = ("high", "low", "w", "wx", "wxx", "wxy", "wy", "wyy")

    def __init__(self) -> None:
        self.w = self.wx = self.wxx = self.wy = self.wxy = self.wyy = 0.0
        self.low = self.high = 0.0

    def add(self, x: float, y: float, weight: float) -> None:
        if not self.w:
            self.low = self.high = x
        self.low, self.high = min(self.low, x), max(self.high, x)
        for name, term in (
            ("w", 1.0), ("wx", x), ("wxx", x * x), ("wy", y), ("wxy", x * y), ("wyy", y * y),
        ):  # fmt: skip
            setattr(self, name, getattr(self, name) * _KEEP + weight * term)

    def solve(self) -> tuple[float, float, float]:
        """Return slope, its standard error, and the mean deviation.

        The curve's error in slope bends a drift that is straight in truth, by a share of what it
        changes: that much is no noise.
        """
        mean_x, mean_y = self.wx / self.w, self.wy / self.w
        sxx = self.wxx - self.w * mean_x * mean_x
        if sxx <= 0:
            return 0.0, math.inf, mean_y
        sxy = self.wxy - self.w * mean_x * mean_y
        slope = sxy / sxx
        rest = max(0.0, self.wyy - self.w * mean_y * mean_y - slope * sxy)
        rest = max(0.0, rest - (_BENT * slope) ** 2 * sxx)
        points = self.w * _ERROR_PCT**2
        factor = max(1.0, rest / max(1.0, points - 2))
        return slope, math.sqrt(factor / sxx), mean_y


class ChargeDriftCheck:
    """Judges the deviations as charge is drawn."""

    def __init__(self, limits: ChargeDriftLimits | None = None) -> None:
        self._limits = limits or ChargeDriftLimits()
        self._drifts: dict[int, _Drift] = {}
        self._last_pct: float | None = None
        self._segment: int | None = None
        self._weak: set[int] = set()
        self.judged: set[str] = set()

    def reopen(self, event: Event) -> None:
        """Take an event that is open although this check does not know it: it has to end it."""
        if event.kind == "weak_cell" and event.cell is not None:
            self._weak.add(event.cell)

    def take(
        self, reading: CellReading, lines: CellLines, deviations: Mapping[int, Deviation]
    ) -> Iterator[Finding]:
        """Yield findings when enough charge has moved since the last point."""
        if reading.segment != self._segment or reading.rested_s > _LONG_REST_S:
            # What happened to the cells meanwhile has nothing to do with the charge drawn.
            self._segment = reading.segment
            self._last_pct = None
            self._drifts.clear()
        if not reading.capacity_mah or lines.median_mv < self._limits.knee_mv:
            return
        drawn_pct = 100 * 1000 * reading.drawn_ah / reading.capacity_mah
        if self._last_pct is not None and abs(drawn_pct - self._last_pct) < _STEP_PCT:
            return
        usable = {
            cell: deviation
            for cell, deviation in deviations.items()
            if deviation.charge_error_pct < self._limits.error_pct
        }
        if len(usable) < max(3, len(reading.cells_mv) // 2):
            return
        self._last_pct = drawn_pct
        usual = middle([deviation.charge_pct for deviation in usable.values()])
        for cell, deviation in usable.items():
            weight = 1 / (_ERROR_PCT**2 + deviation.charge_error_pct**2)
            drift = self._drifts.setdefault(cell, _Drift())
            drift.add(drawn_pct, deviation.charge_pct - usual, weight)
        yield from self._judge(reading)

    def _judge(self, reading: CellReading) -> Iterator[Finding]:
        limits = self._limits
        solved = {cell: drift.solve() for cell, drift in self._drifts.items()}
        usual = middle([slope for slope, _, _ in solved.values()])
        off = middle([abs(slope - usual) for slope, _, _ in solved.values()])
        for cell, (slope, error, mean_pct) in solved.items():
            drift = self._drifts[cell]
            span_pct = drift.high - drift.low
            if span_pct < limits.span_pct:
                continue
            self.judged.add("weak_cell")
            extra = slope - usual
            change_pct = -extra * span_pct
            is_weak = (
                extra <= -limits.slope
                and change_pct
                >= limits.change_pct + limits.curve_share * _constant(mean_pct, change_pct)
                and -extra >= limits.significance * error
                and -extra >= 4 * off
            )
            if is_weak:
                self._weak.add(cell)
            elif cell in self._weak and extra >= -limits.clear_slope and span_pct > 30:
                self._weak.discard(cell)
            else:
                continue
            share_pct = round(100 / (1 + max(0.0, -extra)), 0)
            yield Finding("weak_cell", is_weak, reading.known_t, cell, share_pct, limits.weak_pct)


def _constant(mean_pct: float, change_pct: float) -> float:
    """Return the part of the mean deviation that the drift itself does not explain."""
    return max(0.0, abs(mean_pct) - change_pct / 2)
