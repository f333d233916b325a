"""Rows that make up a message: its origin, itself, and the event it tells of, floor 3."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packtap.wire import Topic

__all__ = ["Origin", "insert_message", "origin_of", "record_event"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Row ids of an origin and its source."""

    id: int
    source: int


def origin_of(
    conn: sqlite3.Connection,
    topic: Topic,
    *,
    store: str,
    pack: str,
    boot: str,
    utc_offset_ms: int | None,
) -> Origin:
    """Return the origin with these names, made if it is new."""
    names = (topic.site, topic.agent, topic.bus, store)
    conn.execute(
        "INSERT OR IGNORE INTO source (site, agent, bus, store) VALUES (?, ?, ?, ?)", names
    )
    source = conn.execute(
        "SELECT id FROM source WHERE site = ? AND agent = ? AND bus = ? AND store = ?", names
    ).fetchone()[0]
    key = (source, pack, boot, utc_offset_ms)
    row = conn.execute(
        "SELECT id FROM origin WHERE source = ? AND pack = ? AND boot = ? AND utc_offset_ms IS ?",
        key,
    ).fetchone()
    if row is not None:
        return Origin(row[0], source)
    cursor = conn.execute(
        "INSERT INTO origin (source, pack, boot, utc_offset_ms) VALUES (?, ?, ?, ?)", key
    )
    return Origin(int(cursor.lastrowid or 0), source)


def insert_message(
    conn: sqlite3.Connection,
    origin: Origin,
    *,
    seq: int,
    kind: str,
    t: Sequence[int],
    times: str,
    body: str,
) -> int:
    """Add a message to the history and return its row id; `times` and `body` are JSON."""
    cursor = conn.execute(
        "INSERT INTO message (source, seq, origin, kind, t_first, t_last, samples, times, body) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (origin.source, seq, origin.id, kind, t[0], t[-1], len(t), times, body),
    )
    return int(cursor.lastrowid or 0)


def record_event(
    conn: sqlite3.Connection, agent: str, origin: Origin, t: int, body: Mapping[str, Any]
) -> bool:
    """Note one end of an event, whichever of the two comes first; True if the event is new.

    The words are those of the raised end; those of the cleared end only until that has come.
    """
    is_raised = body["state"] == "raised"
    known = conn.execute(
        "SELECT n FROM event WHERE agent = ? AND id = ?", (agent, body["id"])
    ).fetchone()
    words = [body.get(name) for name in ("kind", "severity", "cell", "value", "limit")]
    words += [body.get(name, "") for name in ("unit", "text")]
    if known is None:
        cursor = conn.execute(
            'INSERT INTO event (kind, severity, cell, value, "limit", unit, text, agent, id, '
            "origin) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*words, agent, body["id"], origin.id),
        )
        number = cursor.lastrowid
    else:
        number = known[0]
        if is_raised:
            conn.execute(
                'UPDATE event SET kind = ?, severity = ?, cell = ?, value = ?, "limit" = ?, '
                "unit = ?, text = ? WHERE n = ?",
                (*words, number),
            )
    conn.execute(
        "UPDATE event SET raised_origin = ?, raised_t = ? WHERE n = ? AND raised_t IS NULL"
        if is_raised
        else "UPDATE event SET cleared_origin = ?, cleared_t = ? WHERE n = ? AND cleared_t IS NULL",
        (origin.id, t, number),
    )
    return known is None
