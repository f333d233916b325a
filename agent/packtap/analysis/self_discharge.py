"""Does a cell lose charge while nothing flows? Floor 2.

A soft internal short of 20-200 ohm draws 20-200 mA: 0.1-2 % of the cell's charge an hour, against
well under 0.01 %/h of difference between healthy cells. It shows in the rest bursts of a parked
pack: each cell's deviation from the median, as state of charge, is averaged over a burst, and
bursts hours apart are compared. The first hour after load is left out (relaxation). Bleeding pulls
the readings of some cells down and pushes those of others up, by tens of millivolts: only bursts in
which the same cells bled are compared. Source: events.md section 7 (3).

A short that no longer shows may only sleep: dendrites grow, burn off and grow again, and leak more
when warm and full. So the end takes two days of one unbroken rest, two swings of day and night, in
which the loss, five standard errors added, is below a fifth of what raises: no more than healthy
cells differ by.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from packtap.analysis.configured import of_pack
from packtap.analysis.finding import Finding
from packtap.analysis.gauged import Gauged
from packtap.analysis.ocv import soc_from_ocv_pct
from packtap.analysis.reading import CellReading, middle

__all__ = ["SelfDischargeCheck", "SelfDischargeLimits"]

_MIN_CELLS: Final = 3
_BURST_S: Final = 600.0
_MIN_READINGS: Final = 2
_TRACKS: Final = 6  # patterns of bleeding that are remembered
#: Sound cells flicker by 1 mV at most, which is no better known than this.
_FLICKER_PCT: Final = 0.05
#: Standard error of the difference of two bursts' means, points: 0.5 mV each.
_BURSTS_PCT: Final = 0.07
#: A scooter that stands switched on draws 0.1 A: 1 point an hour from a small pack. A weak group,
#: of two thirds of the others' capacity, loses half as much again; that is no leak.
_STANDBY_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True)
class SelfDischargeLimits:
    """Loss of charge of one cell against the others, at rest.

    With cells that flicker by 1 mV a burst's mean is good to 0.5 mV, 0.05 points; 0.6 points are
    twelve times that, 0.35 points three bursts in a row are seven times. A noisier board is judged
    by its own noise: a loss must be `errors` standard errors of the two means, since ten cells in
    fifty bursts a day have many chances to err. To end it takes `quiet_s` of rest with a loss, as
    many errors added, below `quiet_share` of the rate that raises.
    """

    settled_s: float = 3600.0
    apart_s: float = 1800.0
    loss_pct: float = 0.6
    steady_loss_pct: float = 0.35
    rate_pct_per_h: float = of_pack("self_discharge_pct_per_h")
    outlier: float = 5.0
    errors: float = 5.0
    quiet_s: float = 2 * 86400.0
    quiet_share: float = 0.2
    knee_mv: float = 3350.0


class _Burst:
    """Mean deviation of every cell over a stretch of readings, and how much readings scatter."""

    __slots__ = ("_squares", "_sums", "_t_sum", "drawn_ah", "readings", "started")

    def __init__(self, t: float, drawn_ah: float) -> None:
        self.started = t
        self.drawn_ah = drawn_ah
        self._sums: dict[int, float] = {}
        self._squares: dict[int, float] = {}
        self._t_sum = 0.0
        self.readings = 0

    def add(self, t: float, deviations: Mapping[int, float]) -> None:
        self.readings += 1
        self._t_sum += t - self.started
        for cell, pct in deviations.items():
            self._sums[cell] = self._sums.get(cell, 0.0) + pct
            self._squares[cell] = self._squares.get(cell, 0.0) + pct * pct

    @property
    def t(self) -> float:
        """Mean time."""
        return self.started + self._t_sum / self.readings

    def means(self) -> dict[int, float]:
        """Mean deviation by cell, points of charge."""
        return {cell: total / self.readings for cell, total in self._sums.items()}

    def scatter(self) -> tuple[float, int]:
        """Sum of the squared distances from the means, and its degrees of freedom, all cells."""
        means = self.means()
        total = sum(
            max(0.0, square - self.readings * means[cell] ** 2)
            for cell, square in self._squares.items()
        )
        return total, (self.readings - 1) * len(means)


class _Track:
    """Bursts in which the balancer bled the same cells."""

    __slots__ = ("anchor", "before", "bleeding", "quiet")

    def __init__(self, bleeding: frozenset[int], anchor: _Burst) -> None:
        self.bleeding = bleeding
        self.anchor = anchor
        self.before: dict[int, float] = {}  #: loss at the last whole burst
        self.quiet: frozenset[int] = frozenset()  #: that lost nothing, by the last whole burst


class SelfDischargeCheck:
    """Judges a parked pack, burst by burst."""

    def __init__(self, limits: SelfDischargeLimits | None = None) -> None:
        self._limits = limits or SelfDischargeLimits()
        self._tracks: list[_Track] = []
        self._burst: _Burst | None = None
        self._bleeding: frozenset[int] = frozenset()
        self._cells: frozenset[int] = frozenset()
        self.judged: set[str] = set()
        #: Points an hour that each cell gains on the others; None while the pack is not parked.
        self.gauged: Gauged | None = None

    def take(self, reading: CellReading) -> Iterator[Finding]:
        """Yield findings once two bursts lie far enough apart."""
        self.gauged = None
        limits, t = self._limits, reading.t
        if t is None or not reading.bleeding_known:
            return
        levels = {
            cell: float(mv) for cell, mv in enumerate(reading.cells_mv, start=1) if mv is not None
        }
        is_settled = limits.settled_s <= reading.rested_s < float("inf")
        if not is_settled or len(levels) < _MIN_CELLS:
            self._restart()
            return
        level = middle(tuple(levels.values()))
        cells = frozenset(levels)
        if cells != self._cells or level < limits.knee_mv:
            self._restart()
            self._cells = cells
        if level < limits.knee_mv:
            return
        level_pct = soc_from_ocv_pct(level)
        if self._burst is not None and t < self._burst.started:  # another clock
            self._restart()
        burst = self._burst
        is_same = reading.bleeding_now == self._bleeding
        if burst is None or t - burst.started > _BURST_S or not is_same:
            self._close_burst()
            burst = self._burst = _Burst(t, reading.drawn_ah)
            self._bleeding = reading.bleeding_now
        burst.add(t, {cell: soc_from_ocv_pct(mv) - level_pct for cell, mv in levels.items()})
        track = self._track()
        if track is not None and burst.readings >= _MIN_READINGS:
            yield from self._judge(reading, track, burst)

    def _restart(self) -> None:
        self._tracks = []
        self._burst = None

    def _track(self) -> _Track | None:
        """Return what the running burst may be compared with."""
        same = (track for track in self._tracks if track.bleeding == self._bleeding)
        return next(same, None)

    def _close_burst(self) -> None:
        if self._burst is None or self._burst.readings < _MIN_READINGS:
            return
        track = self._track()
        if track is not None:
            track.before = _losses(track.anchor, self._burst)
            track.quiet = self._quiet_cells(track.anchor, self._burst)
        elif len(self._tracks) < _TRACKS:
            self._tracks.append(_Track(self._bleeding, self._burst))

    def _quiet_cells(self, anchor: _Burst, burst: _Burst) -> frozenset[int]:
        """Return the cells that have been shown to lose nothing."""
        limits = self._limits
        apart_s = burst.t - anchor.t
        if apart_s < limits.quiet_s:
            return frozenset()
        most = limits.quiet_share * limits.rate_pct_per_h * apart_s / 3600
        margin = limits.errors * _error(anchor, burst)
        losses = _losses(anchor, burst)
        return frozenset(cell for cell, loss in losses.items() if loss + margin <= most)

    def _judge(self, reading: CellReading, track: _Track, burst: _Burst) -> Iterator[Finding]:
        limits, anchor = self._limits, track.anchor
        apart_s = burst.t - anchor.t
        if apart_s < limits.apart_s:
            return
        self.judged.add("self_discharge_cell")
        losses = _losses(anchor, burst)
        rates = {cell: -loss / apart_s * 3600 for cell, loss in losses.items()}
        if reading.t is not None:
            self.gauged = Gauged(reading.t, rates, _BURSTS_PCT / apart_s * 3600)
        usual = middle([abs(loss) for loss in losses.values()])
        least = max(limits.outlier * usual, limits.errors * _error(anchor, burst))
        least += _STANDBY_SHARE * _drawn_pct(anchor, reading)
        for cell, loss in losses.items():
            rate = loss / apart_s * 3600
            before = track.before.get(cell, 0.0)
            is_steady = before >= limits.steady_loss_pct / 2 and loss > before
            needed = limits.steady_loss_pct if is_steady else limits.loss_pct
            if loss >= needed and rate >= limits.rate_pct_per_h and loss > least:
                yield Finding(
                    "self_discharge_cell",
                    True,
                    reading.known_t,
                    cell,
                    round(rate, 2),
                    limits.rate_pct_per_h,
                )
        for cell in sorted(track.quiet & self._quiet_cells(anchor, burst)):
            rate = max(0.0, losses[cell]) / apart_s * 3600
            yield Finding("self_discharge_cell", False, reading.known_t, cell, round(rate, 3))


def _drawn_pct(anchor: _Burst, reading: CellReading) -> float:
    """Return what has been drawn since the anchor, points of the pack's charge."""
    if not reading.capacity_mah:
        return 0.0
    return max(0.0, 100 * 1000 * (reading.drawn_ah - anchor.drawn_ah) / reading.capacity_mah)


def _error(anchor: _Burst, burst: _Burst) -> float:
    """Return the standard error of a difference between the means of two bursts, points."""
    (total, freedom), (more, further) = anchor.scatter(), burst.scatter()
    variance = max(_FLICKER_PCT**2, (total + more) / max(1, freedom + further))
    return math.sqrt(variance * (1 / anchor.readings + 1 / burst.readings))


def _losses(anchor: _Burst, burst: _Burst) -> dict[int, float]:
    """Return how much each cell lost against the others, points of charge."""
    now = burst.means()
    fell = {cell: pct - now[cell] for cell, pct in anchor.means().items() if cell in now}
    usual = middle(tuple(fell.values())) if fell else 0.0
    return {cell: loss - usual for cell, loss in fell.items()}
