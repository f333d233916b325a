"""Readings as CSV, piece by piece: a year of readings needs no more memory than an hour.

One line a reading, oldest first; a quantity that a reading did not report is an empty field. The
columns are always the same: the time twice, the names, every register row, sixteen cells.
"""

import csv
import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

from ninebot_bms import REGISTERS
from packtap.model import Value
from packtap.store import StoredReading

__all__ = ["COLUMNS", "HOUR_MS", "csv_head", "csv_lines", "hours"]

HOUR_MS: Final = 3_600_000
_CELLS: Final = "cell_voltages_mv"
_CELL_NAMES: Final = tuple(f"cell_{number}_mv" for number in range(1, 17))
#: What begins a formula in a spreadsheet; a pack must not be able to write one.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")

_NAMES: Final = tuple(dict.fromkeys(row.name for row in REGISTERS if row.name != _CELLS))
COLUMNS: Final = ("time_utc", "t_ms", "agent", "bus", "pack", *_CELL_NAMES, *_NAMES)


def csv_head() -> str:
    """Return the first line."""
    return _text([COLUMNS])


def csv_lines(readings: list[StoredReading]) -> str:
    """Return one line a reading."""
    return _text([_line(reading) for reading in readings])


def hours(
    t_from: int, t_to: int, first: Callable[[int, int], int | None]
) -> Iterator[tuple[int, int]]:
    """Yield the hours of a range in which there is something.

    Args:
        t_from: begin, UTC milliseconds.
        t_to: end.
        first: returns a time no later than the first reading of a range, None if it has none.
    """
    at: int | None = t_from
    while at is not None and at < t_to:
        at = first(at, t_to)
        if at is not None:
            yield at, min(at + HOUR_MS, t_to)
            at += HOUR_MS


def _line(reading: StoredReading) -> list[str]:
    moment = datetime.fromtimestamp(reading.t_ms / 1000, UTC)
    cells = reading.values.get(_CELLS)
    known = list(cells) if isinstance(cells, tuple) else []
    known += [None] * (len(_CELL_NAMES) - len(known))
    return [
        moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        str(reading.t_ms),
        *map(_field, (reading.agent, reading.bus, reading.pack)),
        *map(_field, known[: len(_CELL_NAMES)]),
        *(_field(reading.values.get(name)) for name in _NAMES),
    ]


def _field(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return " ".join("" if item is None else str(item) for item in value)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return str(value)


def _text(lines: list[list[str]] | list[tuple[str, ...]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(lines)
    return out.getvalue()
