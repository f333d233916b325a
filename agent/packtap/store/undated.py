"""Readings of boots whose clock was never known, and between which moments they lie, floor 3.

They are never given a time. What is certain: a boot began after everything that was taken before
it, and its last reading was taken before the next boot began. The numbers of the messages (`seq`)
say which boot came before which; the bounds are as good as the clocks of the boots around it.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from packtap.model import Value
from packtap.store.packed import unpack

__all__ = ["UndatedBoot", "UndatedReading", "undated_boots", "undated_readings"]


@dataclass(frozen=True, slots=True)
class UndatedBoot:
    """What one boot read of one pack without ever knowing the time.

    Attributes:
        origin: number in the store.
        readings: how many.
        first_ms: of the first reading, milliseconds since the boot began.
        last_ms: of the last reading of any pack in this boot, the same.
        not_before_ms: UTC milliseconds; the boot began later. None: no dated boot came before.
        not_after_ms: UTC milliseconds; the boot was over earlier. None: none came after.
        is_contradicted: the clocks of the boots around it leave no room for it: no bounds then.
    """

    origin: int
    pack: str
    boot: str
    readings: int
    first_ms: int
    last_ms: int
    not_before_ms: int | None
    not_after_ms: int | None
    is_contradicted: bool = False


@dataclass(frozen=True, slots=True)
class UndatedReading:
    """One reading, with the bounds that follow from its place in its boot."""

    boot_ms: int
    not_before_ms: int | None
    not_after_ms: int | None
    values: dict[str, Value]


_BOOTS: Final = """
    SELECT o.id, o.pack, o.boot, sum(m.samples), min(m.t_first), o.source,
        (SELECT max(a.t_last) FROM message a JOIN origin p ON p.id = a.origin
            WHERE p.boot = o.boot AND p.source = o.source AND p.utc_offset_ms IS NULL),
        (SELECT min(a.seq) FROM message a JOIN origin p ON p.id = a.origin
            WHERE p.boot = o.boot AND p.source = o.source AND p.utc_offset_ms IS NULL),
        (SELECT max(a.seq) FROM message a JOIN origin p ON p.id = a.origin
            WHERE p.boot = o.boot AND p.source = o.source AND p.utc_offset_ms IS NULL)
    FROM origin o JOIN message m ON m.origin = o.id AND m.kind = 'readings'
    WHERE o.utc_offset_ms IS NULL GROUP BY o.id ORDER BY min(m.seq)"""

_BEFORE: Final = """
    SELECT max(m.t_last + o.utc_offset_ms) FROM message m JOIN origin o ON o.id = m.origin
    WHERE m.source = ? AND m.seq < ? AND o.boot != ? AND o.utc_offset_ms IS NOT NULL"""

#: An offset is the moment at which its boot began.
_AFTER: Final = """
    SELECT min(o.utc_offset_ms) FROM message m JOIN origin o ON o.id = m.origin
    WHERE m.source = ? AND m.seq > ? AND o.boot != ? AND o.utc_offset_ms IS NOT NULL"""


def undated_boots(conn: sqlite3.Connection) -> list[UndatedBoot]:
    """Return every boot that has undated readings, once a pack, in the order of the boots."""
    found = []
    for origin, pack, boot, count, first, source, last, low, high in conn.execute(
        _BOOTS
    ).fetchall():
        (before,) = conn.execute(_BEFORE, (source, low, boot)).fetchone()
        (after,) = conn.execute(_AFTER, (source, high, boot)).fetchone()
        is_contradicted = None not in (before, after) and before + last > after
        if is_contradicted:
            before = after = None
        found.append(
            UndatedBoot(origin, pack, boot, count, first, last, before, after, is_contradicted)
        )
    return found


def undated_readings(conn: sqlite3.Connection, of: UndatedBoot) -> Iterator[UndatedReading]:
    """Yield the readings of that boot, first one first."""
    for times, body in conn.execute(
        "SELECT times, body FROM message WHERE kind = 'readings' AND origin = ? ORDER BY t_first",
        (of.origin,),
    ):
        columns = unpack(body)["columns"]
        for index, t in enumerate(unpack(times)):
            yield UndatedReading(
                boot_ms=t,
                not_before_ms=None if of.not_before_ms is None else of.not_before_ms + t,
                not_after_ms=None if of.not_after_ms is None else of.not_after_ms - of.last_ms + t,
                values={
                    name: column[index]
                    for name, column in columns.items()
                    if column[index] is not None
                },
            )
