"""Reading the store: what waits, readings, events, gaps, floor 3.

Nothing here holds a read transaction open between rows: a page that plots a month must not keep
the log from being checkpointed.
"""

import logging
import sqlite3
from collections.abc import Collection, Iterator
from typing import Any, Final

from packtap.model import Value
from packtap.store.packed import unpack
from packtap.store.records import (
    Gap,
    Outbox,
    Queued,
    StoredEvent,
    StoredHealth,
    StoredReading,
    compose,
)
from packtap.wire import Topic, encode

__all__ = [
    "depth",
    "events",
    "gaps",
    "health",
    "latest_health",
    "lost",
    "newest_ms",
    "pending",
    "readings",
    "rows",
    "thinned",
]

_log = logging.getLogger(__name__)

_EVENTS: Final = """
    SELECT e.id, s.agent, s.bus, o.pack, e.kind, e.severity, e.cell, e.value, e."limit", e.unit,
           e.text, e.raised_t + r.utc_offset_ms, e.cleared_t + c.utc_offset_ms,
           e.cleared_t IS NULL
    FROM event e
    JOIN origin o ON o.id = e.origin
    JOIN source s ON s.id = o.source
    LEFT JOIN origin r ON r.id = e.raised_origin
    LEFT JOIN origin c ON c.id = e.cleared_origin
    WHERE (:pack IS NULL OR o.pack = :pack) AND (e.cleared_t IS NULL OR NOT :open)
    ORDER BY e.n"""

_PENDING: Final = """
    SELECT b.seq, b.kind, s.site, s.agent, s.bus, s.store, o.pack, o.boot, o.utc_offset_ms,
           m.times, m.body
    FROM outbox b
    JOIN origin o ON o.id = b.origin
    JOIN source s ON s.id = o.source
    JOIN message m ON m.id = b.message
    WHERE b.seq > ? AND o.utc_offset_ms IS NOT NULL {only} {without}
    ORDER BY b.seq LIMIT ?"""
#: In these words: the partial index `outbox_events` is of them.
_ONLY_EVENTS: Final = "AND b.kind = 'event'"
_WITHOUT: Final = " AND NOT (b.kind = ? AND s.site = ? AND s.agent = ? AND s.bus = ?)"


def pending(
    conn: sqlite3.Connection,
    after_seq: int,
    limit: int,
    without: Collection[Topic],
    *,
    only_events: bool = False,
) -> tuple[list[Queued], list[int]]:
    """Return dated messages that wait for delivery, and the seqs of rows that cannot be read."""
    names = [name for t in without for name in (t.kind, t.site, t.agent, t.bus)]
    query = _PENDING.format(
        without=_WITHOUT * len(without), only=_ONLY_EVENTS if only_events else ""
    )
    queued, unreadable = [], []
    for row in conn.execute(query, (after_seq, *names, limit)).fetchall():
        try:
            queued.append(_queued(row))
        except (ValueError, TypeError, KeyError):
            _log.exception("message %d of the store cannot be read, dropped", row[0])
            unreadable.append(row[0])
    return queued, unreadable


def readings(
    conn: sqlite3.Connection, pack: str | None, t_from: int | None, t_to: int | None
) -> Iterator[StoredReading]:
    """Yield dated readings, `t_from <= t_ms < t_to`, batch after batch in order of time."""
    low = -(2**62) if t_from is None else t_from
    high = 2**62 if t_to is None else t_to
    batches = conn.execute(
        """
        SELECT m.id FROM origin o
        CROSS JOIN message m ON m.kind = 'readings' AND m.origin = o.id
            AND m.t_last >= :low - o.utc_offset_ms AND m.t_first < :high - o.utc_offset_ms
        WHERE o.utc_offset_ms IS NOT NULL AND (:pack IS NULL OR o.pack = :pack)
        ORDER BY m.t_first + o.utc_offset_ms, m.id""",
        {"low": low, "high": high, "pack": pack},
    ).fetchall()
    for (batch,) in batches:
        row = conn.execute(
            "SELECT s.agent, s.bus, o.pack, o.utc_offset_ms, m.times, m.body FROM message m "
            "JOIN origin o ON o.id = m.origin JOIN source s ON s.id = o.source WHERE m.id = ?",
            (batch,),
        ).fetchone()
        if row is None:
            continue  # the size bound was faster
        agent, bus, name, offset, times, body = row
        columns: dict[str, list[Any]] = unpack(body)["columns"]
        for index, t in enumerate(unpack(times)):
            if low <= t + offset < high:
                yield StoredReading(t + offset, agent, bus, name, _row(columns, index))


_HEALTH: Final = """
    SELECT m.t_first + o.utc_offset_ms, s.agent, s.bus, o.pack, m.body FROM origin o
    JOIN source s ON s.id = o.source
    JOIN message m ON m.kind = 'health' AND m.origin = o.id
    WHERE o.utc_offset_ms IS NOT NULL AND o.pack = :pack
        AND m.t_last >= :low - o.utc_offset_ms AND m.t_first < :high - o.utc_offset_ms
    ORDER BY m.t_first + o.utc_offset_ms {order}, m.id {order} LIMIT :limit"""


def health(
    conn: sqlite3.Connection, pack: str, t_from: int | None, t_to: int | None
) -> Iterator[StoredHealth]:
    """Yield what was said of a pack's health, `t_from <= t_ms < t_to`, oldest first."""
    span = {
        "low": -(2**62) if t_from is None else t_from,
        "high": 2**62 if t_to is None else t_to,
    }
    found = conn.execute(_HEALTH.format(order="ASC"), {"pack": pack, **span, "limit": -1})
    return _healths(found.fetchall())


def latest_health(conn: sqlite3.Connection, pack: str) -> StoredHealth | None:
    """Return what was said last of a pack's health."""
    span = {"pack": pack, "low": -(2**62), "high": 2**62, "limit": 1}
    found = conn.execute(_HEALTH.format(order="DESC"), span)
    return next(_healths(found.fetchall()), None)


def _healths(found: list[tuple[Any, ...]]) -> Iterator[StoredHealth]:
    for t_ms, agent, bus, pack, body in found:
        said = unpack(body)
        yield StoredHealth(t_ms, agent, bus, pack, said["rows"], said["causes"])


def rows(conn: sqlite3.Connection, pack: str | None) -> int:
    """Return the number of readings in the history, undated ones included."""
    count = conn.execute(
        "SELECT sum(m.samples) FROM message m WHERE m.kind = 'readings' "
        "AND (:pack IS NULL OR m.origin IN (SELECT id FROM origin WHERE pack = :pack))",
        {"pack": pack},
    ).fetchone()[0]
    return int(count or 0)


def newest_ms(conn: sqlite3.Connection, other_than_boot: str) -> int | None:
    """Return the UTC milliseconds of the newest dated reading of other boots."""
    newest = conn.execute(
        "SELECT max(utc_offset_ms + (SELECT max(m.t_last) FROM message m "
        "WHERE m.kind = 'readings' AND m.origin = o.id)) FROM origin o "
        "WHERE utc_offset_ms IS NOT NULL AND boot != ?",
        (other_than_boot,),
    ).fetchone()[0]
    return None if newest is None else int(newest)


def events(conn: sqlite3.Connection, pack: str | None, *, only_open: bool) -> Iterator[StoredEvent]:
    """Yield events in the order in which they became known."""
    for *known, is_open in conn.execute(_EVENTS, {"pack": pack, "open": only_open}).fetchall():
        yield StoredEvent(*known, is_open=bool(is_open))


def gaps(conn: sqlite3.Connection) -> Iterator[Gap]:
    """Yield what was dropped undelivered, in order of seq."""
    for row in conn.execute(
        "SELECT g.kind, o.pack, o.boot, g.first_seq, g.last_seq, g.samples, g.t_first, g.t_last, "
        "o.utc_offset_ms FROM gap g JOIN origin o ON o.id = g.origin ORDER BY g.first_seq"
    ).fetchall():
        yield Gap(*row)


def lost(conn: sqlite3.Connection) -> tuple[int, int]:
    """Return messages and samples of all gaps together."""
    messages, samples = conn.execute(
        "SELECT coalesce(sum(last_seq - first_seq + 1), 0), coalesce(sum(samples), 0) FROM gap"
    ).fetchone()
    return int(messages), int(samples)


def thinned(conn: sqlite3.Connection) -> int:
    """Return samples that were left out of readings before their delivery."""
    return int(conn.execute("SELECT coalesce(sum(samples), 0) FROM thinned").fetchone()[0])


def depth(conn: sqlite3.Connection, boot: str | None) -> Outbox:
    """Return how much waits for delivery; `boot`: the one that goes on."""
    count, size, undated, stranded = conn.execute(
        "SELECT coalesce(sum(waiting), 0), coalesce(sum(waiting_bytes), 0), "
        "coalesce(sum(waiting) FILTER (WHERE utc_offset_ms IS NULL), 0), "
        "coalesce(sum(waiting) FILTER (WHERE utc_offset_ms IS NULL AND boot != ?), 0) FROM origin",
        (boot,),
    ).fetchone()
    oldest = conn.execute(
        "SELECT m.t_first + o.utc_offset_ms FROM outbox b JOIN origin o ON o.id = b.origin "
        "JOIN message m ON m.id = b.message "
        "WHERE o.utc_offset_ms IS NOT NULL ORDER BY b.seq LIMIT 1"
    ).fetchone()
    first = conn.execute(
        "SELECT coalesce(min(seq), (SELECT value + 1 FROM meta WHERE key = 'last_seq')) FROM outbox"
    ).fetchone()[0]
    return Outbox(
        count=count,
        bytes=size,
        oldest_ms=oldest[0] if oldest else None,
        undated=undated,
        first_seq=first,
        stranded=stranded,
    )


def _row(columns: dict[str, list[Any]], index: int) -> dict[str, Value]:
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, column in columns.items()
        if (value := column[index]) is not None
    }


def _queued(row: tuple[Any, ...]) -> Queued:
    seq, kind, site, agent, bus, store, pack, boot, offset, times, body = row
    topic = Topic(site, agent, bus, kind)
    message = compose(
        kind=kind,
        topic=topic,
        pack=pack,
        store=store,
        seq=seq,
        boot=boot,
        t=[t + offset for t in unpack(times)],
        body=unpack(body),
    )
    return Queued(seq, topic, encode(message))
