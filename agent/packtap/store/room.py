"""The size bound: what goes when the file is full, and the record of it, floor 3.

Order of removal, oldest first in each: delivered messages; samples of undelivered readings (module
`thinning`); undelivered readings and counters; undelivered events. Undelivered messages leave a
`gap` row (one for each unbroken run of seq), samples a `thinned` row. The space of removed rows is
used again by the rows that follow, in the same transaction already.

Each clearing goes a hundredth of the bound below it, so that a full file is cleared once in many
commits and not on each. No transaction removes more than `_AT_ONCE` messages: a file that stands
far above a bound that was lowered comes down over the next commits, and the agent never waits.
"""

import logging
import sqlite3
from collections.abc import Sequence
from typing import Final

from packtap.errors import StoreError
from packtap.store.rollup import prune
from packtap.store.thinning import thin_waiting

__all__ = ["hours_left", "make_room", "record_loss", "trim_events", "used_bytes"]

_log = logging.getLogger(__name__)

_SLACK: Final = 100  #: a hundredth of the bound is cleared at once
_CHUNK: Final = 16  #: messages removed between two looks at the size
_AT_ONCE: Final = 2000  #: messages removed in one transaction
_GIVE_BACK_BYTES: Final = 2 * 2**20  #: the file shrinks by so many in one transaction
_BYTES_PER_EVENT: Final = 16 * 1024  #: one event is remembered per so many of the bound

_DELIVERED: Final = """
    SELECT m.id, m.seq FROM message m
    WHERE m.id > ? AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.message = m.id)
    ORDER BY m.id LIMIT ?"""
_WAITING_READINGS: Final = """
    SELECT message, seq FROM outbox WHERE seq > ? AND kind != 'event' ORDER BY seq LIMIT ?"""
_WAITING_EVENTS: Final = """
    SELECT message, seq FROM outbox WHERE seq > ? AND kind = 'event' ORDER BY seq LIMIT ?"""


#: Messages by which the pace is judged: with the default flush more than an hour of them.
_PACE_MESSAGES: Final = 500
#: A shorter run says nothing about the pace, milliseconds.
_PACE_MS: Final = 60_000
_MS_PER_HOUR: Final = 3_600_000


def hours_left(conn: sqlite3.Connection, max_bytes: int) -> float | None:
    """Return for how long new messages fit if none is delivered; None while that cannot be told.

    Judged by the messages of the newest boot and by the bytes that messages have taken so far.
    """
    total, waiting = conn.execute(
        "SELECT (SELECT count(*) FROM message), (SELECT count(*) FROM outbox)"
    ).fetchone()
    count, first, last = conn.execute(
        "SELECT count(*), min(t_first), max(t_last) FROM (SELECT t_first, t_last FROM message "
        "WHERE origin = (SELECT origin FROM message ORDER BY id DESC LIMIT 1) "
        "ORDER BY id DESC LIMIT ?)",
        (_PACE_MESSAGES,),
    ).fetchone()
    if not count or last - first < _PACE_MS:
        return None
    fits = max_bytes / (used_bytes(conn) / total) - waiting
    return float(max(0.0, fits) * (last - first) / count / _MS_PER_HOUR)


def used_bytes(conn: sqlite3.Connection) -> int:
    """Return the bytes of the file that hold something."""
    pages, free, size = _pages(conn)
    return (pages - free) * size


def make_room(conn: sqlite3.Connection, max_bytes: int, need: int) -> None:
    """Remove the oldest until `need` more bytes fit; inside the caller's transaction.

    Raises:
        StoreError: not even the empty file would hold them.
    """
    _give_back(conn, max_bytes)
    if used_bytes(conn) + need <= max_bytes:
        return
    target = max_bytes - need - max_bytes // _SLACK
    budget = _AT_ONCE
    budget -= _clear(conn, _DELIVERED, target, budget, is_loss=False)
    if budget <= 0 or used_bytes(conn) <= target:
        return
    if thin_waiting(conn, used_bytes, target):
        # The rest is thinned in the next transactions: nothing is dropped but what must be now.
        target = max_bytes - need
    for query in (_WAITING_READINGS, _WAITING_EVENTS):
        if budget <= 0 or used_bytes(conn) <= target:
            return
        budget -= _clear(conn, query, target, budget, is_loss=True)
    if used_bytes(conn) + need > max_bytes:
        raise StoreError(f"{need} bytes do not fit into a store of {max_bytes}: raise store.max_mb")


def record_loss(conn: sqlite3.Connection, seqs: Sequence[int]) -> None:
    """Take waiting messages out of the outbox for good and note their numbers and times."""
    for seq in seqs:
        origin, kind, samples, first, last = conn.execute(
            "SELECT m.origin, m.kind, m.samples, m.t_first, m.t_last FROM outbox o "
            "JOIN message m ON m.id = o.message WHERE o.seq = ?",
            (seq,),
        ).fetchone()
        extended = conn.execute(
            "UPDATE gap SET last_seq = ?, samples = samples + ?, t_last = ? "
            "WHERE last_seq = ? AND origin = ? AND kind = ?",
            (seq, samples, last, seq - 1, origin, kind),
        ).rowcount
        if not extended:
            conn.execute(
                "INSERT INTO gap (origin, kind, first_seq, last_seq, samples, t_first, t_last) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (origin, kind, seq, seq, samples, first, last),
            )
        conn.execute("DELETE FROM outbox WHERE seq = ?", (seq,))


def trim_events(conn: sqlite3.Connection, max_bytes: int) -> None:
    """Forget the oldest events beyond the number that the bound allows, cleared ones first."""
    keep = max(max_bytes // _BYTES_PER_EVENT, 16)
    conn.execute(
        "DELETE FROM event WHERE cleared_t IS NOT NULL AND n <= (SELECT max(n) FROM event) - ?",
        (keep,),
    )
    conn.execute(
        "DELETE FROM event WHERE n IN (SELECT n FROM event WHERE cleared_t IS NULL "
        "ORDER BY n DESC LIMIT -1 OFFSET ?)",
        (keep,),
    )


def _give_back(conn: sqlite3.Connection, max_bytes: int) -> None:
    """Shrink a file that stands above its bound, as after the bound was lowered."""
    pages, free, size = _pages(conn)
    excess = min(free, pages - max_bytes // size, _GIVE_BACK_BYTES // size)
    for _ in range(excess):
        # One page a statement: the sqlite3 module takes a single step of a pragma without rows.
        conn.execute("PRAGMA incremental_vacuum(1)")


def _clear(conn: sqlite3.Connection, query: str, target: int, budget: int, *, is_loss: bool) -> int:
    """Remove what `query` finds until the file is down to `target`; return how many messages."""
    after = 0
    removed = 0
    while removed < budget and used_bytes(conn) > target:
        # The query must not run on while rows go: each look takes one chunk.
        rows = conn.execute(query, (after, _CHUNK)).fetchall()
        if not rows:
            break
        after = rows[-1][1] if is_loss else rows[-1][0]
        if is_loss:
            record_loss(conn, [seq for _, seq in rows])
        prune(conn, {_remove(conn, message) for message, _ in rows})
        removed += len(rows)
    if removed and is_loss:
        _log.error("store is full: %d undelivered messages dropped, recorded as a gap", removed)
    return removed


def _remove(conn: sqlite3.Connection, message: int) -> int:
    """Remove a message from the history and return its origin."""
    origin = conn.execute("SELECT origin FROM message WHERE id = ?", (message,)).fetchone()[0]
    conn.execute("DELETE FROM message WHERE id = ?", (message,))
    return int(origin)


def _pages(conn: sqlite3.Connection) -> tuple[int, int, int]:
    """Return pages of the file, free ones among them, and bytes a page."""
    pages, free, size = (
        int(conn.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return pages, free, size
