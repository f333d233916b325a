"""Minutes and half-hours of the history, kept beside the readings, floor 3.

A page that plots a month must not read a million readings. So each commit also folds its readings
into one row a span (`SPANS_MS`) and origin: how many, lowest, highest and sum of each quantity.
Folding is commutative: it does not matter in which order messages arrive, and a message that is
stored once is folded once, in the same transaction. Lowest and highest are kept beside the mean,
so that a spike of one reading is still seen in a month.

Body of a row: `{"voltage_v": [n, lowest, highest, sum], "01": [...], ...}`; "01" to "16" are the
cells in mV, `cell_spread_mv` is highest minus lowest cell of one reading.
"""

import json
import sqlite3
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final

from packtap.store.packed import unpack

__all__ = [
    "CELL_NAMES",
    "QUANTITIES",
    "SPANS_MS",
    "SPREAD",
    "Summary",
    "add",
    "bytes_of",
    "fold",
    "keep",
    "prune",
    "roll_up",
    "roll_up_all",
]

#: Shortest first, each a multiple of the one before.
SPANS_MS: Final = (60_000, 1_800_000)
#: Row names of the single numbers that have a history.
QUANTITIES: Final = (
    "voltage_v",
    "current_a",
    "soc_pct",
    "temperature_1_c",
    "temperature_2_c",
    "remaining_capacity_mah",
)
CELL_NAMES: Final = tuple(f"{number:02d}" for number in range(1, 17))
SPREAD: Final = "cell_spread_mv"
_CELLS: Final = "cell_voltages_mv"

#: No quantity of a scooter is beyond it; what is would only spoil sums.
_BEYOND: Final = 1e9
_ROW_BYTES: Final = 60

#: Quantity -> number of values, lowest, highest, sum.
Summary = dict[str, list[float]]


def fold(
    into: dict[int, Summary],
    times: Sequence[int],
    columns: Mapping[str, Sequence[Any]],
    span_ms: int,
    *,
    offset_ms: int = 0,
    low: int | None = None,
    high: int | None = None,
) -> None:
    """Fold a batch into one summary a span.

    Args:
        into: begin of the span -> summary; grows.
        times: increasing, milliseconds.
        columns: row name -> one value a time, None where it was not reported.
        span_ms: how long a span is; spans begin at its multiples.
        offset_ms: added to each time first.
        low: times from here on only.
        high: times before here only.
    """
    at = 0 if low is None else bisect_left(times, low - offset_ms)
    end = len(times) if high is None else bisect_left(times, high - offset_ms)
    while at < end:
        start = (times[at] + offset_ms) // span_ms * span_ms
        after = bisect_left(times, start + span_ms - offset_ms, at, end)
        _fold_slice(into.setdefault(start, {}), columns, at, after)
        at = after


def add(summary: Summary, more: Mapping[str, Sequence[float]]) -> None:
    """Fold one summary into another."""
    for name, (count, lowest, highest, total) in more.items():
        known = summary.get(name)
        if known is None:
            summary[name] = [count, lowest, highest, total]
            continue
        known[0] += count
        known[1] = min(known[1], lowest)
        known[2] = max(known[2], highest)
        known[3] += total


def roll_up(
    times: Sequence[int], columns: Mapping[str, Sequence[Any]]
) -> list[tuple[int, int, Summary]]:
    """Return what a batch adds to the rows: span, its begin, summary."""
    finest: dict[int, Summary] = {}
    fold(finest, times, columns, SPANS_MS[0])
    rows = []
    for span_ms in SPANS_MS:
        spans: dict[int, Summary] = {}
        for start, summary in finest.items():
            add(spans.setdefault(start // span_ms * span_ms, {}), summary)
        rows += [(span_ms, start, summary) for start, summary in spans.items() if summary]
    return rows


def bytes_of(rows: Sequence[tuple[int, int, Summary]]) -> int:
    """Return how much these rows may add to the file."""
    return sum(_ROW_BYTES + 40 * len(summary) for _, _, summary in rows)


def keep(conn: sqlite3.Connection, origin: int, rows: Sequence[tuple[int, int, Summary]]) -> None:
    """Fold these rows into the file's; inside the transaction that stores their readings."""
    for span_ms, start, summary in rows:
        key = (origin, span_ms, start)
        known = conn.execute(
            "SELECT body FROM rollup WHERE origin = ? AND span_ms = ? AND t = ?", key
        ).fetchone()
        merged: Summary = {} if known is None else json.loads(known[0])
        add(merged, summary)
        body = json.dumps(merged, separators=(",", ":"), allow_nan=False)
        conn.execute("INSERT OR REPLACE INTO rollup VALUES (?, ?, ?, ?)", (*key, body))


def prune(conn: sqlite3.Connection, origins: set[int]) -> None:
    """Remove the rows whose readings are gone; in the transaction that removed them."""
    for origin in origins:
        oldest = conn.execute(
            "SELECT t_first FROM message WHERE kind = 'readings' AND origin = ? "
            "ORDER BY t_last LIMIT 1",
            (origin,),
        ).fetchone()
        for span_ms in SPANS_MS:
            # The span in which the oldest reading lies stays, with what it knows of older ones.
            end = 2**62 if oldest is None else oldest[0] // span_ms * span_ms
            conn.execute(
                "DELETE FROM rollup WHERE origin = ? AND span_ms = ? AND t < ?",
                (origin, span_ms, end),
            )


def roll_up_all(conn: sqlite3.Connection) -> None:
    """Make the rows of a file that has none yet; inside the transaction that converts it."""
    last = 0
    while True:
        row = conn.execute(
            "SELECT id, origin, times, body FROM message WHERE kind = 'readings' AND id > ? "
            "ORDER BY id LIMIT 1",
            (last,),
        ).fetchone()
        if row is None:
            return
        last, origin, times, body = row
        keep(conn, origin, roll_up(unpack(times), unpack(body)["columns"]))


def _fold_slice(
    summary: Summary, columns: Mapping[str, Sequence[Any]], start: int, end: int
) -> None:
    for name in QUANTITIES:
        if name in columns:
            _fold_values(summary, name, columns[name][start:end])
    rows = [row for row in columns.get(_CELLS, ())[start:end] if row]
    for name, values in zip(CELL_NAMES, zip_longest(*rows), strict=False):
        _fold_values(summary, name, values)
    known = [numbers for row in rows if len(numbers := _numbers(row)) > 1]
    _fold_values(summary, SPREAD, [max(row) - min(row) for row in known])


def _fold_values(summary: Summary, name: str, values: Sequence[Any]) -> None:
    if numbers := _numbers(values):
        add(summary, {name: (len(numbers), min(numbers), max(numbers), sum(numbers))})


def _numbers(values: Sequence[Any]) -> list[float]:
    numbers = [value for value in values if type(value) is int or type(value) is float]
    if numbers and not (min(numbers) > -_BEYOND and max(numbers) < _BEYOND):
        return [number for number in numbers if -_BEYOND < number < _BEYOND]
    return numbers
