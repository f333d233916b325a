"""Points over months and the line through them, floor 2: bounded, pure Python.

A point's own error covers its noise; what changes from day to day (temperature, where on the OCV
curve the pack stands) is the same for all readings of a day, so each quantity adds an error below
which no point is believed, however many readings it is the mean of.

The line is fitted by weighted least squares with Huber's weights. Theil-Sen, the usual robust
choice, knows no weights: here a minute beside a charger and a night of rest stand side by side,
and their errors, known to differ tenfold, must count. Huber's weights keep a day that lies
off by more than 1.5 errors from pulling the line. Residuals that are larger throughout than the
errors say make all standard errors larger by the same factor; smaller ones make none smaller.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["WEEK_H", "Fit", "Point", "Trend", "student"]

WEEK_H: Final = 168.0
MOST_POINTS: Final = 64
#: Points nearer to each other than this become one.
GAP_H: Final = 6.0
#: Old points are thinned first: two neighbours may be one if they are apart by less than their age
#: allows. Within a month all are alike.
_RECENT_H: Final = 720.0
#: What is older says little about how the pack changes now.
_WINDOW_H: Final = 2880.0
_HUBER: Final = 1.5
_ROUNDS: Final = 8
_MEDIAN_SIGMAS: Final = 0.6745  #: half of all residuals are smaller than this, in errors


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """One value of a trend.

    Attributes:
        t_h: UTC hours since 1970.
        value: weighted mean of what it stands for.
        error: standard error of its noise, above 0.
    """

    t_h: float
    value: float
    error: float

    def merged(self, other: "Point") -> "Point":
        """Return both as one: weighted means of time and value."""
        mine, its = self.error**-2, other.error**-2
        total = mine + its
        return Point(
            (mine * self.t_h + its * other.t_h) / total,
            (mine * self.value + its * other.value) / total,
            total**-0.5,
        )


@dataclass(frozen=True, slots=True)
class Fit:
    """A line through points.

    Attributes:
        t_h: mean time of the points, weighted; there level and slope are independent.
        level: of the line at `t_h`.
        slope: per hour.
        level_error: standard error.
        slope_error: standard error.
        points: how many.
        span_h: from the first to the last.
        error: typical standard error of one point.
    """

    t_h: float
    level: float
    slope: float
    level_error: float
    slope_error: float
    points: int
    span_h: float
    error: float

    def at(self, t_h: float) -> float:
        """Return the line's value at a time."""
        return self.level + self.slope * (t_h - self.t_h)

    def is_significant(self, sigmas: float) -> bool:
        """Return whether the slope is further from 0 than chance explains.

        Args:
            sigmas: of a normal distribution; few points ask for more (Student).
        """
        return abs(self.slope) > student(sigmas, self.points - 2) * self.slope_error

    def crossing(self, limit: float, sigmas: float) -> tuple[float, float, float] | None:
        """Return when the line reaches a limit: UTC hours, and the ends of the interval.

        The interval is Fieller's: all times at which the limit lies within the band of the line.
        It is bounded only where the slope is significant; None if it is not.

        Args:
            limit: value to be reached.
            sigmas: half width of the band.
        """
        q = student(sigmas, self.points - 2)
        gap = self.level - limit
        a = self.slope**2 - (q * self.slope_error) ** 2
        if a <= 0:
            return None
        b = self.slope * gap
        c = gap**2 - (q * self.level_error) ** 2
        root = math.sqrt(max(0.0, b * b - a * c))
        low, high = (-b - root) / a, (-b + root) / a
        return self.t_h - gap / self.slope, self.t_h + low, self.t_h + high


class Trend:
    """A bounded list of points, in the order of time.

    Args:
        points: as another trend had them.
    """

    __slots__ = ("_points",)

    def __init__(self, points: Iterable[Point] = ()) -> None:
        self._points = sorted(points)[-MOST_POINTS:]

    @property
    def points(self) -> Sequence[Point]:
        """All points, oldest first."""
        return tuple(self._points)

    def add(self, point: Point) -> None:
        """Take a point; near another one it becomes part of it."""
        at = bisect_left(self._points, point)
        beside = [index for index in (at - 1, at) if 0 <= index < len(self._points)]
        near = min(beside, key=lambda index: abs(self._points[index].t_h - point.t_h), default=None)
        if near is not None and abs(self._points[near].t_h - point.t_h) < GAP_H:
            # Between its neighbours the mean stays where the point was.
            self._points[near] = self._points[near].merged(point)
            return
        self._points.insert(at, point)
        if len(self._points) > MOST_POINTS:
            self._thin()

    def fit(self, floor: float, share: float, least: int = 3) -> Fit | None:
        """Return the line through the recent points; None if they are too few or of one time.

        Args:
            floor: error below which no point is believed.
            share: the same as a share of its value.
            least: points that there must be.
        """
        if not self._points:
            return None
        begin = self._points[-1].t_h - _WINDOW_H
        points = [point for point in self._points if point.t_h >= begin]
        if len(points) < least or points[-1].t_h <= points[0].t_h:
            return None
        return _line(points, floor, share)

    def _thin(self) -> None:
        """Make one point of the two neighbours that stand closest for their age."""
        newest = self._points[-1].t_h

        def nearness(index: int) -> float:
            left, right = self._points[index], self._points[index + 1]
            return (right.t_h - left.t_h) / (newest - (left.t_h + right.t_h) / 2 + _RECENT_H)

        index = min(range(len(self._points) - 1), key=nearness)
        self._points[index : index + 2] = [self._points[index].merged(self._points[index + 1])]


def _line(points: Sequence[Point], floor: float, share: float) -> Fit:
    trust = [1.0] * len(points)
    errors = [math.hypot(point.error, floor) for point in points]
    fit = _weighted(points, errors, trust)
    for _ in range(_ROUNDS):
        # The share is one of the line's value: of two points, the one that happens to read lower
        # would otherwise count for more, and pull the line down.
        errors = [math.hypot(point.error, floor, share * fit.at(point.t_h)) for point in points]
        off = [
            abs(point.value - fit.at(point.t_h)) / error
            for point, error in zip(points, errors, strict=True)
        ]
        # A day is far off beside the others, not beside errors that claim too much.
        far = _HUBER * max(1.0, sorted(off)[len(off) // 2] / _MEDIAN_SIGMAS)
        trust = [1.0 if each <= far else far / each for each in off]
        fit = _weighted(points, errors, trust)
    return fit


def _weighted(points: Sequence[Point], errors: Sequence[float], trust: Sequence[float]) -> Fit:
    weights = [each / error**2 for each, error in zip(trust, errors, strict=True)]
    total = sum(weights)
    mean_t = sum(w * p.t_h for w, p in zip(weights, points, strict=True)) / total
    mean = sum(w * p.value for w, p in zip(weights, points, strict=True)) / total
    spread = sum(w * (p.t_h - mean_t) ** 2 for w, p in zip(weights, points, strict=True))
    slope = (
        sum(w * (p.t_h - mean_t) * (p.value - mean) for w, p in zip(weights, points, strict=True))
        / spread
    )
    off = sum(
        w * (p.value - mean - slope * (p.t_h - mean_t)) ** 2
        for w, p in zip(weights, points, strict=True)
    )
    factor = math.sqrt(max(1.0, off / max(1, len(points) - 2)))
    return Fit(
        t_h=mean_t,
        level=mean,
        slope=slope,
        level_error=factor / math.sqrt(total),
        slope_error=factor / math.sqrt(spread),
        points=len(points),
        span_h=points[-1].t_h - points[0].t_h,
        error=factor * sorted(errors)[len(errors) // 2],
    )


def student(sigmas: float, freedom: int) -> float:
    """Return the quantile of Student's distribution where a normal one has `sigmas`.

    Cornish and Fisher's expansion: within 3 % of the tables from 4 degrees of freedom on.

    Args:
        sigmas: normal quantile.
        freedom: degrees of freedom; below 1 counts as 1.
    """
    n, z = max(1, freedom), sigmas
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )
