"""The parts of a memory's document, read back one by one, floor 2.

What is missing, damaged or of a newer packtap is left out: each function gives what it understands.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import isfinite
from typing import Any, Final

from packtap.analysis.evidence import Evidence
from packtap.memory.quantities import QUANTITIES, Quantity, by_name
from packtap.memory.stretch import Ended
from packtap.memory.trend import MOST_POINTS, Point

__all__ = [
    "MOST_CELLS",
    "MOST_WAITING",
    "Waiting",
    "by_cell",
    "digits",
    "evidence_of",
    "numbers_of",
    "points_of",
    "time_of",
    "waiting_of",
]

MOST_CELLS: Final = 16
#: Points that wait for a date: a week without a clock. The oldest go first, counted.
MOST_WAITING: Final = 2000
EARLIEST_H: Final = 438_000.0  # 2019-12-20: before it no packtap existed
LATEST_H: Final = 1_140_000.0  # 2100


@dataclass(frozen=True, slots=True)
class Waiting:
    """A point with its boot time."""

    quantity: str
    ended: Ended

    def dated(self, utc_offset_s: float) -> Point | None:
        """Return it as a point of a trend; None for a time at which no packtap existed."""
        t_h = (self.ended.t + utc_offset_s) / 3600
        if not EARLIEST_H < t_h < LATEST_H:
            return None
        return Point(t_h, self.ended.value, self.ended.error)


def digits(error: float) -> float:
    """Return a standard error with the digits that are kept."""
    return float(f"{error:.3g}")


def time_of(kept: object) -> float | None:
    """Return UTC hours, None for what is no time of a packtap."""
    if isinstance(kept, bool) or not isinstance(kept, int | float):
        return None
    return float(kept) if EARLIEST_H < kept < LATEST_H else None


def evidence_of(kept: object) -> Evidence:
    """Return evidence; none for what is no evidence."""
    return Evidence.from_state(kept).undated() if isinstance(kept, Mapping) else Evidence()


def by_cell(kept: object) -> Iterator[tuple[Quantity, int, Any]]:
    """Yield row, cell and what is kept of it."""
    if not isinstance(kept, Mapping):
        return
    for row in QUANTITIES:
        of_row = kept.get(row.name)
        for text, value in of_row.items() if isinstance(of_row, Mapping) else ():
            if isinstance(text, str) and text.isdecimal() and int(text[:4]) <= MOST_CELLS:
                yield row, int(text[:4]), value


def numbers_of(kept: object, count: int) -> Sequence[float] | None:
    """Return so many numbers; None for what they are not."""
    if not isinstance(kept, list) or len(kept) != count:
        return None
    if not all(type(each) in (int, float) and isfinite(each) for each in kept):
        return None
    return [float(each) for each in kept]


def points_of(kept: object) -> Iterator[Point]:
    """Yield the points of a trend."""
    for each in islice(kept, MOST_POINTS) if isinstance(kept, list) else ():
        numbers = numbers_of(each, 3)
        if numbers is not None and time_of(numbers[0]) is not None and numbers[2] > 0:
            yield Point(*numbers)


def waiting_of(kept: object) -> Iterator[Waiting]:
    """Yield the points that wait for a date."""
    for each in kept[-MOST_WAITING:] if isinstance(kept, list) else ():
        if not isinstance(each, list) or not each or not isinstance(each[0], str):
            continue  # a list, say, cannot even be looked up
        if each[0] not in by_name:
            continue
        numbers = numbers_of(each[1:], 4)
        if numbers is not None and numbers[0] in range(MOST_CELLS + 1) and numbers[3] > 0:
            yield Waiting(each[0], Ended(int(numbers[0]), *numbers[1:]))
