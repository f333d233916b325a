"""What a page asks of the store: which packs, their latest values, plots, recent events, floor 3.

A plot is downsampled here: however long the range, the answer has at most as many points as were
asked for, each with lowest, mean and highest value, so that spikes stay visible.

An undated reading has no place on an axis of dates. Those of the boot that is running can be given
one for showing: the caller says what it assumes UTC minus boot time to be.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from packtap.model import Value
from packtap.store.packed import unpack
from packtap.store.records import StoredEvent
from packtap.store.rollup import SPANS_MS, Summary, add, fold

__all__ = [
    "Assumed",
    "History",
    "PackSummary",
    "history",
    "latest",
    "next_reading",
    "packs",
    "recent_events",
]

#: Bucket widths that a plot may have, milliseconds: those that people read on a clock.
_WIDTHS_MS: Final = tuple(
    1000 * seconds
    for seconds in (
        *(0.2, 0.5, 1, 2, 5, 10, 15, 30),
        *(60 * minutes for minutes in (1, 2, 5, 10, 15, 30)),
        *(3600 * hours for hours in (1, 2, 3, 6, 12)),
        *(86400 * days for days in (1, 2, 5, 10, 30, 100)),
    )
)
#: Batches that are looked through for the latest value of each quantity.
_LOOK_BACK: Final = 30
_RAW: Final = "readings"


@dataclass(frozen=True, slots=True)
class Assumed:
    """How undated readings of the boot that is running are laid on the axis.

    Attributes:
        boot: its id.
        utc_offset_ms: UTC minus boot time, as far as anybody knows.
    """

    boot: str
    utc_offset_ms: int


@dataclass(frozen=True, slots=True)
class History:
    """A plot.

    Attributes:
        t_from: begin of the range, UTC milliseconds.
        t_to: its end.
        bucket_ms: width of a point.
        source: "readings", or "60 s" and the like: the rollup that it was made of.
        t: begins of the points that hold anything, UTC milliseconds, increasing.
        channels: quantity -> lowest, mean and highest of each point; None where there is none.
    """

    t_from: int
    t_to: int
    bucket_ms: int
    source: str
    t: Sequence[int]
    channels: Mapping[str, tuple[Sequence[float | None], ...]]


@dataclass(frozen=True, slots=True)
class PackSummary:
    """One pack of one bus.

    Attributes:
        first_ms: first reading, UTC milliseconds; None if all are undated.
        last_ms: last reading.
        readings: dated and undated ones.
        undated: readings that wait for a known clock.
        critical: open events of that severity; so `warning` and `info`.
        worst: text of the worst open event, of several the oldest; "" if none is open.
    """

    pack: str
    site: str
    agent: str
    bus: str
    first_ms: int | None
    last_ms: int | None
    readings: int
    undated: int
    critical: int = 0
    warning: int = 0
    info: int = 0
    worst: str = ""


_PACKS: Final = """
    SELECT o.pack, max(s.site), s.agent, s.bus,
        min((SELECT m.t_first FROM message m WHERE m.kind = 'readings' AND m.origin = o.id
            ORDER BY m.t_last LIMIT 1) + o.utc_offset_ms),
        max((SELECT max(m.t_last) FROM message m WHERE m.kind = 'readings' AND m.origin = o.id)
            + o.utc_offset_ms),
        sum((SELECT sum(m.samples) FROM message m WHERE m.kind = 'readings' AND m.origin = o.id)),
        sum((SELECT sum(m.samples) FROM message m WHERE m.kind = 'readings' AND m.origin = o.id)
            * (o.utc_offset_ms IS NULL))
    FROM origin o JOIN source s ON s.id = o.source
    GROUP BY o.pack, s.agent, s.bus"""

_OPEN: Final = """
    SELECT o.pack, s.agent, s.bus, e.severity, e.text
    FROM event e JOIN origin o ON o.id = e.origin JOIN source s ON s.id = o.source
    WHERE e.cleared_t IS NULL ORDER BY e.n"""

_SEVERITIES: Final = ("critical", "warning", "info")


def packs(conn: sqlite3.Connection) -> Iterator[PackSummary]:
    """Yield each pack on each bus that has readings or open events."""
    raised: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    for pack, agent, bus, severity, text in conn.execute(_OPEN):
        raised.setdefault((pack, agent, bus), {}).setdefault(severity, []).append(text)
    for pack, site, agent, bus, first, last, count, undated in conn.execute(_PACKS).fetchall():
        found = raised.get((pack, agent, bus), {})
        texts = [text for severity in _SEVERITIES for text in found.get(severity, ())]
        if count is None and not texts:
            continue
        yield PackSummary(
            *(pack, site, agent, bus, first, last, count or 0, undated or 0),
            critical=len(found.get("critical", ())),
            warning=len(found.get("warning", ())),
            info=len(found.get("info", ())),
            worst=texts[0] if texts else "",
        )


def latest(
    conn: sqlite3.Connection, pack: str, agent: str, bus: str
) -> dict[str, tuple[Value, int]]:
    """Return the latest dated value of each quantity with its time, UTC milliseconds."""
    found: dict[str, tuple[Value, int]] = {}
    for offset, times, body in _latest_batches(conn, pack, agent, bus):
        taken = unpack(times)
        for name, column in unpack(body)["columns"].items():
            if name in found:
                continue
            index = next((i for i in reversed(range(len(column))) if column[i] is not None), None)
            if index is not None:
                value = column[index]
                known = tuple(value) if isinstance(value, list) else value
                found[name] = (known, taken[index] + offset)
    return found


def _latest_batches(
    conn: sqlite3.Connection, pack: str, agent: str, bus: str
) -> Iterator[tuple[int, str, str]]:
    """Yield offset, times and body of the last batches, latest first."""
    left = _LOOK_BACK
    for origin, offset in conn.execute(
        "SELECT o.id, o.utc_offset_ms FROM origin o JOIN source s ON s.id = o.source "
        "WHERE o.pack = ? AND s.agent = ? AND s.bus = ? AND o.utc_offset_ms IS NOT NULL "
        "ORDER BY (SELECT max(t_last) FROM message WHERE kind = 'readings' AND origin = o.id) "
        "+ o.utc_offset_ms DESC",
        (pack, agent, bus),
    ).fetchall():
        rows = conn.execute(
            "SELECT times, body FROM message WHERE kind = 'readings' AND origin = ? "
            "ORDER BY t_last DESC LIMIT ?",
            (origin, left),
        ).fetchall()
        yield from ((offset, times, body) for times, body in rows)
        left -= len(rows)
        if left <= 0:
            return


def history(
    conn: sqlite3.Connection,
    pack: str,
    range_ms: tuple[int, int],
    points: int,
    assumed: Assumed | None,
) -> History:
    """Return a plot of a pack with at most so many points; the range without its end."""
    t_from, t_to = range_ms
    bucket = _width(t_to - t_from, points)
    span = max((span for span in SPANS_MS if span <= bucket), default=None)
    buckets: dict[int, Summary] = {}
    read = _fold_readings if span is None else _fold_rollups
    for origin, offset in _origins(conn, pack, assumed):
        read(conn, buckets, (origin, offset), range_ms, bucket)
    times = sorted(t for t in buckets if t + bucket > t_from and t < t_to)
    names = dict.fromkeys(name for t in times for name in sorted(buckets[t]))
    channels = {name: _channel([buckets[t].get(name) for t in times]) for name in sorted(names)}
    source = _RAW if span is None else f"{span // 1000} s"
    return History(t_from, t_to, bucket, source, times, channels)


def next_reading(conn: sqlite3.Connection, pack: str, t_from: int, t_to: int) -> int | None:
    """Return a time no later than the first reading of `t_from <= t < t_to`; None: none there."""
    found = []
    for origin, offset in _origins(conn, pack, None):
        row = conn.execute(
            "SELECT t_first FROM message WHERE kind = 'readings' AND origin = ? AND t_last >= ? "
            "ORDER BY t_last LIMIT 1",
            (origin, t_from - offset),
        ).fetchone()
        if row is not None:
            found.append(max(row[0] + offset, t_from))
    begin = min(found, default=t_to)
    return begin if begin < t_to else None


def recent_events(
    conn: sqlite3.Connection, pack: str, before: int | None, limit: int
) -> list[tuple[int, StoredEvent]]:
    """Return the latest events of a pack, latest first, each with its number in the store."""
    rows = conn.execute(
        """
        SELECT e.n, e.id, s.agent, s.bus, o.pack, e.kind, e.severity, e.cell, e.value, e."limit",
               e.unit, e.text, e.raised_t + r.utc_offset_ms, e.cleared_t + c.utc_offset_ms,
               e.cleared_t IS NULL
        FROM event e
        JOIN origin o ON o.id = e.origin
        JOIN source s ON s.id = o.source
        LEFT JOIN origin r ON r.id = e.raised_origin
        LEFT JOIN origin c ON c.id = e.cleared_origin
        WHERE o.pack = ? AND (? IS NULL OR e.n < ?) ORDER BY e.n DESC LIMIT ?""",
        (pack, before, before, limit),
    ).fetchall()
    return [(n, StoredEvent(*known, is_open=bool(is_open))) for n, *known, is_open in rows]


def _origins(conn: sqlite3.Connection, pack: str, assumed: Assumed | None) -> list[tuple[int, int]]:
    boot, offset = (assumed.boot, assumed.utc_offset_ms) if assumed else (None, None)
    return [
        (origin, known)
        for origin, known in conn.execute(
            "SELECT id, CASE WHEN utc_offset_ms IS NULL AND boot = ? THEN ? "
            "ELSE utc_offset_ms END FROM origin WHERE pack = ?",
            (boot, offset, pack),
        ).fetchall()
        if known is not None
    ]


def _fold_readings(
    conn: sqlite3.Connection,
    buckets: dict[int, Summary],
    origin: tuple[int, int],
    range_ms: tuple[int, int],
    bucket: int,
) -> None:
    offset, (low, high) = origin[1], range_ms
    batches = conn.execute(
        "SELECT id FROM message WHERE kind = 'readings' AND origin = ? "
        "AND t_last >= ? AND t_first < ?",
        (origin[0], low - offset, high - offset),
    ).fetchall()
    for (batch,) in batches:
        # One row a statement: no read transaction stays open over the whole range.
        row = conn.execute("SELECT times, body FROM message WHERE id = ?", (batch,)).fetchone()
        if row is not None:
            columns = unpack(row[1])["columns"]
            fold(buckets, unpack(row[0]), columns, bucket, offset_ms=offset, low=low, high=high)


def _fold_rollups(
    conn: sqlite3.Connection,
    buckets: dict[int, Summary],
    origin: tuple[int, int],
    range_ms: tuple[int, int],
    bucket: int,
) -> None:
    offset, (low, high) = origin[1], range_ms
    span = max(span for span in SPANS_MS if span <= bucket)
    rows = conn.execute(
        "SELECT t, body FROM rollup WHERE origin = ? AND span_ms = ? AND t > ? AND t < ?",
        (origin[0], span, low - offset - span, high - offset),
    ).fetchall()
    # The newest span may reach beyond the end: its readings stand in the last point, not nowhere.
    last = (high - 1) // bucket * bucket
    for t, body in rows:
        # Spans begin with the boot, points with the clock: the middle decides.
        start = min((t + offset + span // 2) // bucket * bucket, last)
        add(buckets.setdefault(start, {}), json.loads(body))


def _width(range_ms: int, points: int) -> int:
    for width in _WIDTHS_MS:
        # One more point than range / width, where the range begins within a bucket.
        if range_ms / width + 1 <= points:
            return int(width)
    return int(range_ms / max(points - 1, 1)) + 1


def _channel(found: Sequence[list[float] | None]) -> tuple[Sequence[float | None], ...]:
    return (
        [None if item is None else item[1] for item in found],
        [None if item is None else round(item[3] / item[0], 3) for item in found],
        [None if item is None else item[2] for item in found],
    )
