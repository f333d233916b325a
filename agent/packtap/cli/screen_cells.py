"""Cells on the live screen: a bar each, the deviation from the median, and what is wrong in words.

Nothing is said by colour alone. Up to ten cells stand one below the other; more of them stand in
two columns where the screen is wide enough, so that sixteen leave room for events in 24 lines. A
stroke in the bars stands where the median is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from statistics import median
from typing import Any, Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

__all__ = ["COLOURS", "Cells"]

COLOURS: Final = {"critical": "bold red", "warning": "yellow", "info": "cyan"}
_LOW_MV, _HIGH_MV = 2500, 4300
_BAR: Final = 22
#: With more cells than these there are two columns, each with a shorter bar.
_ONE_COLUMN: Final = 10
_PAIRED_WIDTH, _PAIRED_BAR = 79, 8
_GAP: Final = " "
_FULL, _EMPTY, _MEDIAN = "█", "·", "│"
_PLAIN: Final = str.maketrans({_FULL: "#", _EMPTY: ".", _MEDIAN: "|"})
#: What the board itself says of cells -> the word for it.
_MARKS: Final = {
    "balancing_cells": "balancing",
    "undervoltage_cells": "low flag",
    "overvoltage_cells": "high flag",
}


@dataclass(frozen=True, slots=True)
class _Cell:
    number: int
    mv: int | None
    off_mv: float | None
    mark: str
    style: str


class Cells:
    """The cells of a now-document, drawn for the width that there is.

    Args:
        now: the document; it reports cells.
    """

    def __init__(self, now: Mapping[str, Any]) -> None:
        reported: Sequence[int | None] = now["values"]["cell_voltages_mv"]
        known = [mv for mv in reported if mv is not None]
        self._middle = median(known) if known else None
        self._cells = list(_rows(now, reported, self._middle))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield a line each, or a line for two."""
        cells = self._cells
        if len(cells) <= _ONE_COLUMN or options.max_width < _PAIRED_WIDTH:
            lines = [self._line(cell, _BAR) for cell in cells]
        else:
            half = (len(cells) + 1) // 2
            drawn = [self._line(cell, _PAIRED_BAR) for cell in cells]
            lines = [
                _beside(left, right)
                for left, right in zip_longest(drawn[:half], drawn[half:], fillvalue=Text())
            ]
        for line in lines:
            if options.ascii_only:
                line.plain = line.plain.translate(_PLAIN)
            yield line

    def _line(self, cell: _Cell, width: int) -> Text:
        line = Text(no_wrap=True, overflow="ellipsis")
        if cell.mv is None:
            text = f"cell {cell.number:>2} {'':{width}}    - "
        else:
            # Without a unit: it is that of the voltage, and a minus must not be pushed off.
            off = "" if cell.off_mv is None else _deviation(cell.off_mv)
            text = f"cell {cell.number:>2} {self._bar(cell.mv, width)} {cell.mv:>4} mV {off:>5}"
        line.append(f"{text} {cell.mark}".rstrip(), cell.style)
        return line

    def _bar(self, mv: int, width: int) -> str:
        length = _length(mv, width)
        bar = (_FULL * length).ljust(width, _EMPTY)
        if self._middle is None:
            return bar
        at = min(_length(self._middle, width), width - 1)
        return bar if at < length else f"{bar[:at]}{_MEDIAN}{bar[at + 1 :]}"


def _rows(
    now: Mapping[str, Any], reported: Sequence[int | None], middle: float | None
) -> Iterator[_Cell]:
    severities = list(COLOURS)
    raised: dict[int, str] = {}
    for event in sorted(now["events"], key=lambda event: severities.index(event["severity"])):
        if event["cell"]:
            raised.setdefault(event["cell"], event["severity"])
    for number, mv in enumerate(reported, start=1):
        marks = [raised[number].upper()] if number in raised else []
        marks += [
            word for name, word in _MARKS.items() if number in (now["values"].get(name) or ())
        ]
        off_mv = None if mv is None or middle is None else mv - middle
        yield _Cell(
            number, mv, off_mv, marks[0] if marks else "", COLOURS.get(raised.get(number, ""), "")
        )


def _deviation(off_mv: float) -> str:
    """Return a deviation with its sign; none of a cell that stands at the median."""
    return f"{round(off_mv):+d}" if round(off_mv) else "0"


def _length(mv: float, width: int) -> int:
    return round(max(0.0, min(1.0, (mv - _LOW_MV) / (_HIGH_MV - _LOW_MV))) * width)


def _beside(left: Text, right: Text) -> Text:
    left.pad_right(_PAIRED_WIDTH // 2 - len(left.plain))
    return Text.assemble(left, _GAP, right, no_wrap=True, overflow="ellipsis")
