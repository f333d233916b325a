"""Readings that wait lose samples before any of them is dropped, floor 3.

When the file is full and nothing delivered is left in it, undelivered batches are thinned, oldest
first: all of them to every second value, then all of them to a value a minute. Only when neither
gains anything more are they dropped (module `room`). A batch keeps its number, its first and its
last sample; what it keeps is unchanged. What is left out is counted in `thinned`, one row a run.

Values count by quantity, not by sample: what was read every second time only (cells beside pack
values) would vanish if every second sample went. Minutes and half-hours (`rollup`) were folded when
the batch was committed: they still tell of all samples.

How far each pass has come stands in `meta`, so that no batch is looked at twice. A transaction
thins at most `_AT_ONCE` batches: a batch must be unpacked and packed again, which takes a small Pi
some milliseconds.
"""

import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from packtap.store.packed import pack, unpack

__all__ = ["kept_samples", "thin_waiting"]

_log = logging.getLogger(__name__)

_CHUNK: Final = 16  #: batches between two looks at the size
_AT_ONCE: Final = 200  #: batches packed anew in one transaction
_LOOK_AT: Final = 2000  #: batches looked at in one transaction
#: First and last stay; less than this has nothing between them.
_FEWEST: Final = 3
#: Batches of one pack so near to each other are one run; other messages may lie between them.
_SAME_RUN: Final = 64

#: Row of `meta` that says how far a pass has come -> the pause that is left between two values of
#: a quantity, milliseconds; None: every second value.
_PASSES: Final[Mapping[str, int | None]] = {"halved_seq": None, "minute_seq": 60_000}

#: seq, row id, origin, t_first, t_last, samples
_Batch = tuple[int, int, int, int, int, int]


def thin_waiting(
    conn: sqlite3.Connection, used: Callable[[sqlite3.Connection], int], target: int
) -> bool:
    """Thin batches until the file is down to `target`, or for as long as one transaction may.

    Args:
        conn: inside a transaction.
        used: tells the bytes of the file that hold something.
        target: bytes.

    Returns:
        Whether there is more to thin.
    """
    work, looks, left_out = _AT_ONCE, _LOOK_AT, 0
    for place, pause_ms in _PASSES.items():
        after = _place(conn, place)
        while used(conn) > target:
            rows = _waiting(conn, after)
            if not rows:
                break
            after = rows[-1][0]
            thick = [row for row in rows if row[5] >= _FEWEST]
            left_out += _thin(conn, thick, pause_ms)
            work -= len(thick)
            looks -= len(rows)
            if work <= 0 or looks <= 0:
                break
        conn.execute("UPDATE meta SET value = ? WHERE key = ?", (after, place))
        if work <= 0 or looks <= 0 or used(conn) <= target:
            _say(left_out)
            return True
    _say(left_out)
    return False


def kept_samples(
    times: Sequence[int], columns: Mapping[str, Sequence[Any]], pause_ms: int | None
) -> list[int]:
    """Return the places of the samples that stay: first, last, and what is due for a quantity.

    Args:
        times: of the samples, milliseconds.
        columns: row name -> value of each sample; None: not reported.
        pause_ms: a value is due so long after the one that was kept; None: every second value is.
    """
    last = len(times) - 1
    kept_at: dict[str, int] = {}
    skipped: set[str] = set()
    kept = []
    for index, t in enumerate(times):
        reported = [name for name, column in columns.items() if column[index] is not None]
        is_due = index in (0, last) or any(
            name not in kept_at
            or (name in skipped if pause_ms is None else t - kept_at[name] >= pause_ms)
            for name in reported
        )
        if is_due:
            kept.append(index)
            kept_at |= dict.fromkeys(reported, t)
            skipped.difference_update(reported)
        else:
            skipped.update(reported)
    return kept


def _waiting(conn: sqlite3.Connection, after: int) -> list[_Batch]:
    return conn.execute(
        "SELECT o.seq, m.id, m.origin, m.t_first, m.t_last, m.samples FROM outbox o "
        "JOIN message m ON m.id = o.message WHERE o.seq > ? AND o.kind = 'readings' "
        "ORDER BY o.seq LIMIT ?",
        (after, _CHUNK),
    ).fetchall()


def _thin(conn: sqlite3.Connection, rows: Sequence[_Batch], pause_ms: int | None) -> int:
    """Thin these batches; return how many samples were left out."""
    fresh = []
    for row in rows:
        found = conn.execute("SELECT times, body FROM message WHERE id = ?", (row[1],)).fetchone()
        try:
            times, body = unpack(found[0]), unpack(found[1])
            kept = kept_samples(times, body["columns"], pause_ms)
        except (ValueError, LookupError, TypeError):
            continue  # damaged: the uplink drops it, recorded
        if len(kept) < len(times):
            columns = {name: [col[i] for i in kept] for name, col in body["columns"].items()}
            fresh.append(
                (row, len(kept), pack([times[i] for i in kept]), pack({"columns": columns}))
            )
    # Emptied first: rows that only shrink leave their pages half full, and nothing is gained.
    conn.executemany(
        "UPDATE message SET times = '', body = '' WHERE id = ?", [(row[1],) for row, *_ in fresh]
    )
    left_out = 0
    for (seq, message, origin, first, last, samples), count, times, body in fresh:
        conn.execute(
            "UPDATE message SET times = ?, body = ?, samples = ? WHERE id = ?",
            (times, body, count, message),
        )
        # Removed and put back, so that the sums of waiting bytes follow.
        conn.execute("DELETE FROM outbox WHERE seq = ?", (seq,))
        conn.execute(
            "INSERT INTO outbox (seq, message, origin, kind, bytes) "
            "VALUES (?, ?, ?, 'readings', ?)",
            (seq, message, origin, len(body)),
        )
        _record(conn, seq, origin, samples - count, (first, last))
        left_out += samples - count
    return left_out


def _record(
    conn: sqlite3.Connection, seq: int, origin: int, samples: int, span: tuple[int, int]
) -> None:
    run = conn.execute(
        "SELECT first_seq, last_seq FROM thinned WHERE origin = ? AND first_seq <= ? "
        "ORDER BY first_seq DESC LIMIT 1",
        (origin, seq),
    ).fetchone()
    if run is None or seq > run[1] + _SAME_RUN:
        conn.execute(
            "INSERT INTO thinned VALUES (?, ?, ?, ?, ?, ?)", (origin, seq, seq, samples, *span)
        )
        return
    conn.execute(
        "UPDATE thinned SET last_seq = max(last_seq, ?), samples = samples + ?, "
        "t_last = max(t_last, ?) WHERE origin = ? AND first_seq = ?",
        (seq, samples, span[1], origin, run[0]),
    )


def _place(conn: sqlite3.Connection, key: str) -> int:
    return int(conn.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0])


def _say(left_out: int) -> None:
    if left_out:
        _log.error(
            "store is full: %d samples left out of undelivered readings, recorded as thinned",
            left_out,
        )
