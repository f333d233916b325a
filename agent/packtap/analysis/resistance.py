"""Is a cell's deviation proportional to the current? Floor 2.

Each cell's difference from the pack's median is fitted with a line in the current, over the last
minute or two of readings: v_i - median = offset_i - extra_i x I. The slope is the extra resistance
of the cell or of what its sense span contains; the offset is how the cell would differ without
current, and that, as charge, feeds the checks of capacity (`charge_drift`).

Cells and current are not measured together, so a reading is weighted by what the current's swing
around it can have done (swing times resistance): it is neither trusted in a step nor thrown away.
Source: events.md section 7 (2).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from packtap.analysis.configured import of_pack
from packtap.analysis.finding import Finding, Held
from packtap.analysis.gauged import PACK, Gauged
from packtap.analysis.ocv import soc_from_ocv_pct
from packtap.analysis.reading import CellReading, middle

__all__ = ["CellLines", "Deviation", "ResistanceCheck", "ResistanceLimits"]

_MIN_CELLS: Final = 3
#: With less change of current a slope is the prior's, not the pack's.
_TELLING_A: Final = 1.0
_TELLING_MOHM: Final = 1.5
_MEMORY_S: Final = 75.0
_LONGEST_STEP_S: Final = 3.0  # a pause is no reason to forget
_NOISE_MV: Final = 1.5  # 1 mV steps, flicker of 1 mV, both cells of a difference
_SKEW: Final = 0.4  # share of a swing that can fall between cell and current
_UNKNOWN_SWING_A: Final = 10.0
_START_MOHM: Final = 20.0
#: Without much change of current the slope is taken to be small: 3 mohm, 1 sigma.
_PRIOR: Final = 1 / 3.0**2
#: Slow polarisation follows the current with this time constant, and its resistance is about this
#: share of the one that is seen at once (equivalent circuits of 18650 cells: 0.4-1).
_RELAXATION_S: Final = 400.0
_POLARISES: Final = 0.6
#: Resistance of the pack's median cell: its own prior is loose.
_MEDIAN_PRIOR: Final = 1 / 30.0**2


@dataclass(frozen=True, slots=True)
class ResistanceLimits:
    """Extra resistance of one cell against the median.

    New cells differ by 2-5 % (1 sigma), aged ones by twice that: 40 % is four sigma. A cell that
    has lost a quarter of its capacity has a third more; a bad weld or a corroded tab adds 10 mohm
    and more.
    """

    raise_mohm: float = of_pack("high_resistance_cell_mohm")
    raise_pct: float = of_pack("high_resistance_cell_pct")
    raise_base_mohm: float = 2.0
    clear_share: float = 0.6  # of what raises
    error_mohm: float = 1.5  # a cell that is known to this is judged
    errors: float = 2.0  # the extra resistance less so many standard errors must be too high
    spread_a: float = 1.0
    raise_s: float = 10.0
    clear_s: float = 60.0

    def limit_mohm(self, median_mohm: float) -> float:
        """Return the extra resistance that is too much, beside a median cell of this."""
        return max(self.raise_mohm, self.raise_pct / 100 * median_mohm + self.raise_base_mohm)


@dataclass(frozen=True, slots=True)
class Deviation:
    """How one cell differs from the median.

    Attributes:
        offset_mv: without current.
        extra_mohm: additional resistance.
        error_mv: standard error of the offset.
        error_mohm: standard error of the resistance.
        charge_pct: the offset as state of charge.
        charge_error_pct: its standard error.
    """

    offset_mv: float
    extra_mohm: float
    error_mv: float
    error_mohm: float
    charge_pct: float
    charge_error_pct: float


class _Line:
    """Weighted sums of one cell's line, forgetting."""

    __slots__ = ("w", "wx", "wxx", "wxy", "wy", "wyy")

    def __init__(self) -> None:
        self.w = self.wx = self.wxx = self.wy = self.wxy = self.wyy = 0.0

    def add(self, x: float, y: float, weight: float) -> None:
        self.w += weight
        self.wx += weight * x
        self.wxx += weight * x * x
        self.wy += weight * y
        self.wxy += weight * x * y
        self.wyy += weight * y * y

    def fade(self, keep: float) -> None:
        self.w *= keep
        self.wx *= keep
        self.wxx *= keep
        self.wy *= keep
        self.wxy *= keep
        self.wyy *= keep

    @property
    def spread(self) -> float:
        """Standard deviation of x."""
        return math.sqrt(max(0.0, self.wxx / self.w - (self.wx / self.w) ** 2)) if self.w else 0.0

    def solve(self, prior: float) -> tuple[float, float, float, float]:
        """Return intercept, slope and their standard errors."""
        mean_x, mean_y = self.wx / self.w, self.wy / self.w
        sxx = max(0.0, self.wxx - self.w * mean_x * mean_x) + prior
        sxy = self.wxy - self.w * mean_x * mean_y
        slope = sxy / sxx
        intercept = mean_y - slope * mean_x
        rest = max(0.0, self.wyy - self.w * mean_y * mean_y - slope * sxy)
        # Noise beyond the expected makes the errors larger by the same factor.
        readings = max(1.0, self.w * _NOISE_MV**2)
        factor = max(1.0, rest / readings)
        error = math.sqrt(factor / sxx)
        error_0 = math.sqrt(factor * (1 / self.w + mean_x * mean_x / sxx))
        return intercept, slope, error_0, error


class CellLines:
    """The lines of all cells of a pack."""

    def __init__(self) -> None:
        self._cells: dict[int, _Line] = {}
        self._median = _Line()
        self._t: float | None = None
        self._slow_a = 0.0
        self.median_mohm = _START_MOHM
        self.median_mv = 0.0  #: median cell without current
        self._latest: Mapping[int, Deviation] = {}

    @property
    def spread_a(self) -> float:
        """How much the current varied, standard deviation."""
        return self._median.spread

    @property
    def gauged(self) -> Gauged | None:
        """Extra resistance of the cells that the last reading settled, milliohm."""
        known = {
            cell: deviation
            for cell, deviation in self._latest.items()
            if deviation.error_mohm <= _TELLING_MOHM
        }
        if self._t is None or self.spread_a < _TELLING_A or len(known) < _MIN_CELLS:
            return None
        error = middle([deviation.error_mohm for deviation in known.values()])
        extra = {cell: deviation.extra_mohm for cell, deviation in known.items()}
        return Gauged(self._t, extra, error)

    @property
    def gauged_median(self) -> Gauged | None:
        """Resistance of the median cell, milliohm."""
        if self.gauged is None or self._t is None:
            return None
        _, _, _, error = self._median.solve(_MEDIAN_PRIOR)
        return Gauged(self._t, {PACK: self.median_mohm}, error)

    @property
    def unrelaxed_mv(self) -> float:
        """By how much a cell is still below its resting voltage; negative after a charge."""
        return _POLARISES * self.median_mohm * self._slow_a

    def take(self, reading: CellReading) -> Mapping[int, Deviation]:
        """Take a reading; return how each cell in it differs, empty if that cannot be said."""
        levels = {
            cell: float(mv)
            for cell, mv in enumerate(reading.cells_mv, start=1)
            if mv is not None and not {cell - 1, cell, cell + 1} & reading.bleeding
        }
        self._latest = {}
        if reading.t is None or reading.current_a is None or len(levels) < _MIN_CELLS:
            return {}
        self._fade(reading.t, reading.current_a)
        swing_a = _UNKNOWN_SWING_A if reading.swing_a is None else reading.swing_a
        skew_mv = _SKEW * swing_a * self.median_mohm
        weight = 1 / (_NOISE_MV**2 + skew_mv**2)
        x = -reading.current_a
        level = middle(tuple(levels.values()))
        # The pack's own voltage moves with its charge: a centivolt of noise on this line.
        self._median.add(x, level, 1 / (10.0**2 + skew_mv**2))
        self.median_mv, slope, _, _ = self._median.solve(_MEDIAN_PRIOR)
        if self._median.spread > 1.0:
            self.median_mohm = min(max(slope, 5.0), 150.0)
        for cell, mv in levels.items():
            self._cells.setdefault(cell, _Line()).add(x, mv - level, weight)
        self._latest = self._deviations(levels)
        return self._latest

    def _fade(self, t: float, current_a: float) -> None:
        step_s = 0.0 if self._t is None else abs(t - self._t)
        self._t = t
        self._slow_a += (current_a - self._slow_a) * (1 - math.exp(-step_s / _RELAXATION_S))
        keep = math.exp(-min(step_s, _LONGEST_STEP_S) / _MEMORY_S)
        for line in (self._median, *self._cells.values()):
            line.fade(keep)

    def _deviations(self, cells: Mapping[int, float]) -> Mapping[int, Deviation]:
        solved = {cell: self._cells[cell].solve(_PRIOR) for cell in cells}
        usual_mohm = middle([slope for _, slope, _, _ in solved.values()])
        usual_mv = middle([offset for offset, _, _, _ in solved.values()])
        # All cells are below their resting voltage by about as much: only there the curve holds.
        rested_mv = self.median_mv + self.unrelaxed_mv
        median_pct = soc_from_ocv_pct(rested_mv)
        pct_per_mv = (soc_from_ocv_pct(rested_mv + 20) - soc_from_ocv_pct(rested_mv - 20)) / 40
        result = {}
        for cell, (offset, slope, error_mv, error_mohm) in solved.items():
            extra_mohm = slope - usual_mohm
            # What this cell's slow polarisation adds to the others' is no lack of charge.
            offset += _POLARISES * extra_mohm * self._slow_a - usual_mv  # noqa: PLW2901
            result[cell] = Deviation(
                offset_mv=offset,
                extra_mohm=extra_mohm,
                error_mv=error_mv,
                error_mohm=error_mohm,
                charge_pct=soc_from_ocv_pct(rested_mv + offset) - median_pct,
                charge_error_pct=error_mv * pct_per_mv,
            )
        return result


class ResistanceCheck:
    """Judges the slopes."""

    def __init__(self, limits: ResistanceLimits | None = None) -> None:
        self._limits = limits or ResistanceLimits()
        self._high: dict[int, Held] = {}
        self._fine: dict[int, Held] = {}
        self.judged: set[str] = set()

    def take(
        self, reading: CellReading, lines: CellLines, deviations: Mapping[int, Deviation]
    ) -> Iterator[Finding]:
        """Yield findings for the cells of this reading."""
        limits = self._limits
        if lines.spread_a < limits.spread_a:
            return
        raise_mohm = limits.limit_mohm(lines.median_mohm)
        for cell, deviation in deviations.items():
            if deviation.error_mohm <= limits.error_mohm:
                self.judged.add("high_resistance_cell")
            high = self._high.setdefault(cell, Held(limits.raise_s, readings=5))
            fine = self._fine.setdefault(cell, Held(limits.clear_s, readings=20))
            extra = deviation.extra_mohm
            least, most = (
                extra - limits.errors * deviation.error_mohm,
                extra + limits.errors * deviation.error_mohm,
            )
            present = high.update(least >= raise_mohm, reading.t)
            absent = fine.update(most <= raise_mohm * limits.clear_share, reading.t)
            if present or absent:
                yield Finding(
                    "high_resistance_cell",
                    present,
                    reading.known_t,
                    cell,
                    round(extra, 1),
                    round(raise_mohm, 1),
                )
