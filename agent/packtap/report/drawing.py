"""Drawings of a diagnosis as shapes, floor 4: the template writes them as SVG and escapes them.

Coordinates are those of a drawing 720 wide, which fills a page. Nothing is said by colour alone: a
cell that an event names has a mark, a limit its number.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Final

from packtap.analysis.limits import CellLimits
from packtap.report.gather import CellRange
from packtap.report.track import Point, Track

__all__ = ["Drawing", "Shape", "draw_cells", "draw_deviations", "draw_power"]

_WIDTH: Final = 720.0
_LEFT, _RIGHT = 52.0, 12.0
_CELL_STEP: Final = 24.0
_BAR: Final = 14.0
_PLOT: Final = 160.0
_STRIP: Final = 84.0
#: Voltages that a bar shows; a cell beyond widens it.
_LOW_MV, _HIGH_MV = 2300.0, 4500.0
_NUMBERS: Final = 250.0  # room for what stands right of the bars
_OFF: Final = 58.0  # half the width of the deviations
_LEAST_OFF_MV: Final = 60.0
_LIMIT_WORDS: Final = 115.0  # width of "upper limit 4250 mV"
#: A plot that shows less than this would make noise look like a fault.
_LEAST_MV: Final = 30.0


@dataclass(frozen=True, slots=True)
class Shape:
    """One SVG element."""

    tag: str
    attributes: Mapping[str, str]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture.

    Attributes:
        title: what it shows, for those who cannot see it.
        height: of 720 width.
        shapes: back to front.
    """

    title: str
    height: float
    shapes: tuple[Shape, ...]
    width: float = _WIDTH


def draw_cells(
    cells: Sequence[CellRange], named: frozenset[int], limits: CellLimits, title: str
) -> Drawing:
    """Draw every cell as a bar with its limits.

    Args:
        cells: cell 1 first.
        named: cells that an event names.
        limits: drawn as lines across all bars.
        title: of the drawing.
    """
    top, height = 24.0, _CELL_STEP * len(cells)
    right = _WIDTH - _NUMBERS
    read = [mv for cell in cells for mv in (cell.mv, cell.low_mv, cell.high_mv) if mv is not None]
    low_mv = _LOW_MV if min(read, default=_LOW_MV) >= _LOW_MV else 0.0
    high_mv = max(_HIGH_MV, *read)

    def place(mv: float) -> float:
        share = (max(mv, low_mv) - low_mv) / (high_mv - low_mv)
        return _LEFT + 20 + share * (right - _LEFT - 20)

    shapes: list[Shape] = []
    for row, cell in enumerate(cells):
        y = top + row * _CELL_STEP + (_CELL_STEP - _BAR) / 2
        shapes += _bar(cell, y, place, is_named=cell.number in named, right=right)
    # Both end at their line where there is room: right of the upper one stands another heading.
    low_x, high_x = place(limits.undervoltage_mv), place(limits.overvoltage_mv)
    for limit, word, style in (
        (limits.undervoltage_mv, "lower", "small end" if low_x > _LIMIT_WORDS else "small"),
        (
            limits.overvoltage_mv,
            "upper",
            "small end" if high_x - low_x > _LIMIT_WORDS and low_x > _LIMIT_WORDS else "small",
        ),
    ):
        x = place(limit)
        shapes.append(_line(x, top - 4, x, top + height, "limit"))
        shapes.append(_text(x, top - 9, f"{word} limit {limit} mV", style))
    shapes += _offsets(cells, named, top)
    return Drawing(title, top + height + 6, tuple(shapes))


def _bar(
    cell: CellRange, y: float, place: Callable[[float], float], *, is_named: bool, right: float
) -> Iterator[Shape]:
    base = place(0.0)
    middle = y + _BAR - 3
    yield _text(_LEFT + 8, middle, str(cell.number), "number end" + (" named" if is_named else ""))
    if is_named:
        yield Shape("path", {"d": f"M4 {y + 2:.1f} l9 5.5 l-9 5.5 z", "class": "mark"})
    yield _rect(base, y, right - base, _BAR, "groove")
    if cell.mv is None or cell.off_mv is None:
        yield _text(right + 12, middle, "not read", "value")
        return
    yield _rect(base, y, place(cell.mv) - base, _BAR, "bar" + (" named" if is_named else ""))
    if cell.low_mv is not None and cell.high_mv is not None and cell.low_mv < cell.high_mv:
        low, high = place(cell.low_mv), place(cell.high_mv)
        yield _line(low, y + _BAR / 2, high, y + _BAR / 2, "extent")
        for x in (low, high):
            yield _line(x, y + 3, x, y + _BAR - 3, "extent")
    yield _text(right + 62, middle, f"{cell.mv} mV", "value end" + (" named" if is_named else ""))


def _offsets(cells: Sequence[CellRange], named: frozenset[int], top: float) -> Iterator[Shape]:
    """Yield how far each cell is from the median, beside its bar."""
    known = [abs(cell.off_mv) for cell in cells if cell.off_mv is not None]
    scale = (_OFF - 4) / max(_LEAST_OFF_MV, *known)
    zero = _WIDTH - _OFF - 36
    yield _text(zero, top - 9, "from the median, mV", "small middle")
    yield _line(zero, top - 4, zero, top + _CELL_STEP * len(cells), "zero")
    for row, cell in enumerate(cells):
        if cell.off_mv is None:
            continue
        y = top + row * _CELL_STEP + (_CELL_STEP - _BAR) / 2
        size = abs(cell.off_mv) * scale
        start = zero if cell.off_mv > 0 else zero - size
        style = "named" if cell.number in named else ""
        yield _rect(start, y + 3, size, _BAR - 6, f"off {style}")
        yield _text(_WIDTH, y + _BAR - 3, cell.off_words, f"value end {style}")


def draw_deviations(
    track: Track, cells: int, named: frozenset[int], marks: Sequence[float], title: str
) -> Drawing | None:
    """Draw how far each cell was from the median over time; None if there is no course.

    Args:
        track: one channel a cell.
        cells: how many there are.
        named: cells that an event names: drawn strongly, with their number.
        marks: seconds at which something was raised.
        title: of the drawing.
    """
    courses = {cell: track.runs(cell - 1) for cell in range(1, cells + 1)}
    points = [point for runs in courses.values() for run in runs for point in run]
    if len(points) < 2:
        return None
    low = min(-_LEAST_MV, *(point.low for point in points))
    high = max(_LEAST_MV, *(point.high for point in points))
    frame = _Frame(16, _PLOT, track.seconds, low, high)
    shapes = [*frame.axes("mV"), *frame.marks(marks)]
    for is_named in (False, True):
        for cell, runs in courses.items():
            if (cell in named) is is_named:
                shapes += frame.course(runs, "course named" if is_named else "course")
    shapes += _numbers(frame, {cell: courses[cell] for cell in sorted(named & courses.keys())})
    return Drawing(title, 16 + _PLOT + 34, tuple(shapes))


def _numbers(frame: "_Frame", courses: Mapping[int, list[list[Point]]]) -> Iterator[Shape]:
    """Write the number of a cell at the end of its course."""
    taken: list[float] = []
    for cell, runs in courses.items():
        if not runs:
            continue
        y = frame.y(runs[-1][-1].mean) - 5
        while any(abs(y - other) < 11 for other in taken):
            y += 11
        taken.append(y)
        yield _text(_WIDTH - _RIGHT - 2, y, f"cell {cell}", "small end named")


def draw_power(track: Track, marks: Sequence[float], title: str) -> Drawing | None:
    """Draw pack voltage and current over time, one above the other; None if neither is known.

    Args:
        track: volts, amperes.
        marks: seconds at which something was raised.
        title: of the drawing.
    """
    volts, amperes = track.runs(0), track.runs(1)
    if sum(len(run) for run in (*volts, *amperes)) < 2:
        return None
    shapes: list[Shape] = []
    top = 16.0
    for runs, unit, least in ((volts, "V", 1.0), (amperes, "A", 2.0)):
        if not runs:
            continue
        points = [point for run in runs for point in run]
        low, high = min(p.low for p in points), max(p.high for p in points)
        if unit == "A":
            low, high = min(low, 0.0), max(high, 0.0)
        spare = max(0.0, least - (high - low)) / 2
        frame = _Frame(top, _STRIP, track.seconds, low - spare, high + spare)
        shapes += [*frame.axes(unit), *frame.marks(marks)]
        shapes += frame.band(runs)
        shapes += frame.course(runs, "course strong")
        top += _STRIP + 40
    return Drawing(title, top - 6, tuple(shapes))


class _Frame:
    """Axes of one plot.

    Args:
        top: of the plot.
        height: of the plot.
        seconds: that it shows.
        low: value at the bottom.
        high: value at the top.
    """

    def __init__(self, top: float, height: float, seconds: float, low: float, high: float) -> None:
        self._top, self._height = top, height
        self._seconds = max(seconds, 1e-3)
        spare = 0.06 * (high - low)
        self._low, self._high = low - spare, high + spare

    def x(self, t: float) -> float:
        """Return where a moment stands."""
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(1.0, max(0.0, t / self._seconds))

    def y(self, value: float) -> float:
        """Return where a value stands."""
        share = (value - self._low) / (self._high - self._low)
        return self._top + self._height * (1 - share)

    def axes(self, unit: str) -> Iterator[Shape]:
        """Yield grid and numbers."""
        bottom = self._top + self._height
        ticks = _ticks(self._low, self._high, 5)
        for value in ticks:
            y = self.y(value)
            yield _line(_LEFT, y, _WIDTH - _RIGHT, y, "zero" if value == 0 else "grid")
            digits = 0 if abs(ticks[1] - ticks[0]) >= 1 else 2
            yield _text(_LEFT - 6, y + 3.5, f"{value:.{digits}f}", "small end")
        yield _text(_LEFT - 6, self._top - 6, unit, "small end")
        scale, word = _time_unit(self._seconds)
        for value in _ticks(0.0, self._seconds / scale, 7):
            x = self.x(value * scale)
            yield _line(x, bottom, x, bottom + 4, "grid")
            yield _text(x, bottom + 15, f"{value:g}", "small middle")
        yield _text(_WIDTH - _RIGHT, bottom + 27, word, "small end")

    def marks(self, seconds: Iterable[float]) -> Iterator[Shape]:
        """Yield a line where something was raised."""
        for t in seconds:
            x = self.x(t)
            yield _line(x, self._top, x, self._top + self._height, "event")

    def course(self, runs: Sequence[Sequence[Point]], style: str) -> Iterator[Shape]:
        """Yield the line of the averages."""
        for run in runs:
            places = [f"{self.x(point.t):.1f},{self.y(point.mean):.1f}" for point in run]
            if len(places) == 1:
                x, y = places[0].split(",")
                yield Shape("circle", {"cx": x, "cy": y, "r": "1.6", "class": f"dot {style}"})
            else:
                yield Shape("polyline", {"points": " ".join(places), "class": style})

    def band(self, runs: Sequence[Sequence[Point]]) -> Iterator[Shape]:
        """Yield the area between lowest and highest."""
        for run in runs:
            if len(run) > 1:
                upper = [f"{self.x(point.t):.1f},{self.y(point.high):.1f}" for point in run]
                lower = [f"{self.x(point.t):.1f},{self.y(point.low):.1f}" for point in run]
                places = " ".join([*upper, *reversed(lower)])
                yield Shape("polygon", {"points": places, "class": "band"})


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Return round numbers between two values, at least two of them."""
    step = 10.0 ** floor(log10((high - low) / most))
    while (high - low) / step > most:
        step *= 2.5 if _leading(step) == 2 else 2
    first = ceil(low / step)
    ticks = [round(place * step, 9) for place in range(first, floor(high / step) + 1)]
    return ticks if len(ticks) > 1 else [low, high]


def _leading(step: float) -> int:
    return round(step / 10.0 ** floor(log10(step) + 1e-9))


def _time_unit(seconds: float) -> tuple[float, str]:
    if seconds < 300:
        return 1.0, "seconds since the first reading"
    if seconds < 5 * 3600:
        return 60.0, "minutes since the first reading"
    if seconds < 5 * 86400:
        return 3600.0, "hours since the first reading"
    return 86400.0, "days since the first reading"


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> Shape:
    places = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    return Shape("line", {name: f"{at:.1f}" for name, at in places.items()} | {"class": style})


def _rect(x: float, y: float, width: float, height: float, style: str) -> Shape:
    sizes = {"x": x, "y": y, "width": max(0.0, width), "height": height}
    return Shape("rect", {name: f"{size:.1f}" for name, size in sizes.items()} | {"class": style})


def _text(x: float, y: float, text: str, style: str) -> Shape:
    return Shape("text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "class": style}, text)
