"""What is remembered of each pack: one document a pack, the packs seen last, floor 3.

The store does not look into a document: its form and its version belong to `packtap.memory`.
"""

import json
import logging
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from packtap.store.records import KeptMemory

__all__ = ["encoded", "keep", "last_pack", "load", "most_packs"]

_log = logging.getLogger(__name__)

#: Packs of one bus that are remembered; a workshop's bench sees many, a scooter one or two.
_MOST_PACKS: Final = 200
_FEWEST_PACKS: Final = 4
#: What one pack takes at most, and the share of the file's bound that all of them may take.
_PACK_BYTES: Final = 96 * 1024
_SHARE: Final = 8


def encoded(memories: Sequence[KeptMemory]) -> list[tuple[str, int, str]]:
    """Return pack, place and document as text.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    return [
        (
            each.pack,
            each.place,
            json.dumps(each.document, separators=(",", ":"), allow_nan=False),
        )
        for each in memories
    ]


def most_packs(max_bytes: int | None) -> int:
    """Return how many packs a file with this bound remembers."""
    if max_bytes is None:
        return _MOST_PACKS
    return min(_MOST_PACKS, max(_FEWEST_PACKS, max_bytes // _SHARE // _PACK_BYTES))


def keep(conn: sqlite3.Connection, rows: Sequence[tuple[str, int, str]], most: int) -> None:
    """Put these documents in place of what was remembered of their packs.

    Args:
        conn: inside a transaction.
        rows: as `encoded` returns them.
        most: packs that are remembered; those seen longest ago go.
    """
    for pack, place, document in rows:
        conn.execute(
            "INSERT OR REPLACE INTO pack_memory (pack, place, saved, document) VALUES "
            "(?, ?, (SELECT coalesce(max(saved), 0) + 1 FROM pack_memory), ?)",
            (pack, place, document),
        )
    conn.execute(
        "DELETE FROM pack_memory WHERE pack IN "
        "(SELECT pack FROM pack_memory ORDER BY saved DESC LIMIT -1 OFFSET ?)",
        (most,),
    )


def load(conn: sqlite3.Connection, pack: str) -> dict[str, Any] | None:
    """Return what is remembered of a pack; None if nothing is, or nobody can read it."""
    row = conn.execute("SELECT document FROM pack_memory WHERE pack = ?", (pack,)).fetchone()
    if row is None:
        return None
    try:
        document = json.loads(row[0])
    except (ValueError, TypeError, RecursionError):
        document = None
    if not isinstance(document, dict):
        _log.error("what was remembered of pack %s cannot be read; it begins anew", pack)
        return None
    return document


def last_pack(conn: sqlite3.Connection, place: int) -> str | None:
    """Return the pack that was seen last at a place of the bus."""
    row = conn.execute(
        "SELECT pack FROM pack_memory WHERE place = ? ORDER BY saved DESC LIMIT 1", (place,)
    ).fetchone()
    return None if row is None else str(row[0])
