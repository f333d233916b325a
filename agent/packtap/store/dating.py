"""Which offset dates a batch, floor 3.

No two readings of a pack may share a UTC millisecond: stores at the end take series and time as
the identity of a point and would keep one of the two. Within a boot times increase strictly; but a
clock that was stepped back, or a boot that was dated differently, can lay new times over old ones.
Then the newer batch moves by the fewest milliseconds that keep all apart.
"""

import sqlite3
from collections.abc import Sequence
from itertools import count
from typing import Final

from packtap.store.packed import unpack

__all__ = ["date_boot", "free_offset"]

_NEAR_MS: Final = 1000

#: CROSS JOIN: origins first. The other way round SQLite looks at every batch of the history.
_OVERLAPPING: Final = """
    SELECT m.times, o.utc_offset_ms FROM origin o
    CROSS JOIN message m ON m.kind = 'readings' AND m.origin = o.id
        AND m.t_last >= :low - o.utc_offset_ms AND m.t_first <= :high - o.utc_offset_ms
    WHERE o.pack = :pack AND o.utc_offset_ms IS NOT NULL"""


def free_offset(
    conn: sqlite3.Connection, pack: str, times_ms: Sequence[int], utc_offset_ms: int
) -> int:
    """Return the offset, or the next higher one at which no reading meets a stored one.

    Args:
        conn: inside the transaction that is going to use the offset.
        pack: whose readings must stay apart.
        times_ms: milliseconds since boot, increasing, at least one.
        utc_offset_ms: UTC minus boot time, as the clock says.
    """
    taken = _taken(conn, pack, times_ms[0] + utc_offset_ms, times_ms[-1] + utc_offset_ms + _NEAR_MS)
    if not taken:
        return utc_offset_ms
    for offset in count(utc_offset_ms):
        if offset > utc_offset_ms + _NEAR_MS:
            break
        if taken.isdisjoint(t + offset for t in times_ms):
            return offset
    # No room between them: behind the last one, which may have others behind it in turn.
    return free_offset(conn, pack, times_ms, max(taken) + 1 - times_ms[0])


def date_boot(conn: sqlite3.Connection, boot: str, utc_offset_ms: int) -> int:
    """Date what that boot left undated; return the number of messages."""
    dated = 0
    for origin, pack in conn.execute(
        "SELECT id, pack FROM origin WHERE boot = ? AND utc_offset_ms IS NULL", (boot,)
    ).fetchall():
        offset = _origin_offset(conn, origin, pack, utc_offset_ms)
        conn.execute("UPDATE origin SET utc_offset_ms = ? WHERE id = ?", (offset, origin))
        dated += conn.execute(
            "SELECT count(*) FROM message WHERE origin = ?", (origin,)
        ).fetchone()[0]
    return dated


def _origin_offset(conn: sqlite3.Connection, origin: int, pack: str, utc_offset_ms: int) -> int:
    """Find one offset for all undated batches of an origin."""
    first, last = conn.execute(
        "SELECT min(t_first), max(t_last) FROM message WHERE kind = 'readings' AND origin = ?",
        (origin,),
    ).fetchone()
    if first is None:
        return utc_offset_ms
    if not _taken(conn, pack, first + utc_offset_ms, last + utc_offset_ms + _NEAR_MS):
        return utc_offset_ms
    times = sorted(
        t
        for (batch,) in conn.execute(
            "SELECT times FROM message WHERE kind = 'readings' AND origin = ?", (origin,)
        )
        for t in unpack(batch)
    )
    return free_offset(conn, pack, times, utc_offset_ms)


def _taken(conn: sqlite3.Connection, pack: str, low: int, high: int) -> set[int]:
    """Return the UTC milliseconds of the pack's stored readings whose batch touches the span."""
    taken: set[int] = set()
    for times, offset in conn.execute(_OVERLAPPING, {"low": low, "high": high, "pack": pack}):
        taken.update(t + offset for t in unpack(times))
    return taken
