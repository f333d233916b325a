"""Rows that make up a message: its origin, itself, and the event it tells of, floor 3."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from packtap.store.packed import Packed, unpack
from packtap.store.records import Message, kind_of
from packtap.wire import Topic

__all__ = ["Origin", "branch_for", "insert_message", "origin_of", "record_event"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Row ids of an origin and its source, and the pack it names."""

    id: int
    source: int
    pack: str


def origin_of(
    conn: sqlite3.Connection,
    topic: Topic,
    *,
    store: str,
    pack: str,
    boot: str,
    utc_offset_ms: int | None,
    branch: int = 0,
) -> Origin:
    """Return the origin with these names, made if it is new."""
    names = (topic.site, topic.agent, topic.bus, store, branch)
    conn.execute(
        "INSERT OR IGNORE INTO source (site, agent, bus, store, branch) VALUES (?, ?, ?, ?, ?)",
        names,
    )
    source = conn.execute(
        "SELECT id FROM source "
        "WHERE site = ? AND agent = ? AND bus = ? AND store = ? AND branch = ?",
        names,
    ).fetchone()[0]
    key = (source, pack, boot, utc_offset_ms)
    row = conn.execute(
        "SELECT id FROM origin WHERE source = ? AND pack = ? AND boot = ? AND utc_offset_ms IS ?",
        key,
    ).fetchone()
    if row is not None:
        return Origin(row[0], source, pack)
    cursor = conn.execute(
        "INSERT INTO origin (source, pack, boot, utc_offset_ms) VALUES (?, ?, ?, ?)", key
    )
    return Origin(int(cursor.lastrowid or 0), source, pack)


def branch_for(
    conn: sqlite3.Connection, topic: Topic, message: Message, times: Packed, body: Packed
) -> int | None:
    """Return the branch of its source that a received message belongs to.

    A message of this number that was received before is the same one only if everything in it is
    the same: dating ends before the first delivery, so a redelivery has the same times too.
    Readings may have been thinned in between.

    Args:
        conn: inside the transaction that is going to store it.
        topic: names the sender.
        message: as received.
        times: its times as they are kept.
        body: its body as it is kept.

    Returns:
        0 as long as the sender's numbers do not begin again, None if it is there already.
    """
    taken = conn.execute(
        "SELECT s.branch, m.kind, o.pack, o.boot, m.times, m.body FROM source s "
        "JOIN message m ON m.source = s.id AND m.seq = ? JOIN origin o ON o.id = m.origin "
        "WHERE s.site = ? AND s.agent = ? AND s.bus = ? AND s.store = ?",
        (message.seq, topic.site, topic.agent, topic.bus, message.store),
    ).fetchall()
    head = (kind_of(message), message.pack, message.boot)
    if any(
        head == tuple(known)
        and ((_same(was, times) and _same(said, body)) or _is_thinned((was, said), (times, body)))
        for _, *known, was, said in taken
    ):
        return None
    branches = {row[0] for row in taken}
    return next(branch for branch in count() if branch not in branches)


def _same(one: Packed, other: Packed) -> bool:
    # The order of keys is nobody's promise, nor is how something was packed.
    return one == other or unpack(one) == unpack(other)


def _is_thinned(one: tuple[Packed, Packed], other: tuple[Packed, Packed]) -> bool:
    """Tell whether one is the other with samples left out.

    A full store thins what was sent and not acknowledged yet; then it is sent once more.
    """
    thin, thick = sorted(((unpack(times), unpack(body)) for times, body in (one, other)), key=_size)
    if not ("columns" in thin[1] and thin[1]["columns"].keys() == thick[1]["columns"].keys()):
        return False
    places = {t: index for index, t in enumerate(thick[0])}
    kept = [places.get(t) for t in thin[0]]
    return all(
        index is not None and column[at] == thick[1]["columns"][name][index]
        for name, column in thin[1]["columns"].items()
        for at, index in enumerate(kept)
    )


def _size(readings: tuple[Sequence[int], object]) -> int:
    return len(readings[0])


def insert_message(
    conn: sqlite3.Connection,
    origin: Origin,
    *,
    seq: int,
    kind: str,
    t: Sequence[int],
    times: Packed,
    body: Packed,
) -> int:
    """Add a message to the history and return its row id; `times` and `body` are packed."""
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

    The words are those of the raised end; those of the cleared end only until that has come. An
    event that is told again under the name that its pack has got since moves to that name; its
    raised end stays the first one.
    """
    is_raised = body["state"] == "raised"
    # The id begins with the name under which the event was raised.
    is_renamed = body["id"].partition("/")[0] != origin.pack
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
        if is_renamed:
            conn.execute("UPDATE event SET origin = ? WHERE n = ?", (origin.id, number))
        elif is_raised:
            # Raised a second time under the name in its id: a store that was set back has counted
            # anew, and this is another event. The ends of the first stay in the history.
            conn.execute(
                "UPDATE event SET cleared_origin = NULL, cleared_t = NULL WHERE n = ? AND "
                "EXISTS (SELECT 1 FROM origin WHERE id = raised_origin AND pack = ?)",
                (number, origin.pack),
            )
    if is_raised:
        conn.execute(
            "UPDATE event SET raised_origin = ?, raised_t = ? "
            "WHERE n = ? AND (raised_t IS NULL OR NOT ?)",
            (origin.id, t, number, is_renamed),
        )
    else:
        conn.execute(
            "UPDATE event SET cleared_origin = ?, cleared_t = ? WHERE n = ? AND cleared_t IS NULL",
            (origin.id, t, number),
        )
    return known is None
