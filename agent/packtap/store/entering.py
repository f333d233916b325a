"""How a message enters the file: queued by the agent, or received by ingest, floor 3.

Everything here happens inside the caller's transaction.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from packtap.store import dating
from packtap.store.ledger import note_arrival, note_told
from packtap.store.packed import Packed, pack
from packtap.store.recording import branch_for, insert_message, origin_of, record_event
from packtap.store.records import Draft, Message, body_of, kind_of
from packtap.store.rollup import Summary, bytes_of, keep, roll_up
from packtap.wire import LinkMessage, Topic

__all__ = ["Row", "enqueue", "insert_received"]

#: What a message costs beside times and body: row headers, indexes, its outbox row.
_ROW_BYTES: Final = 600


@dataclass(frozen=True, slots=True)
class Row:
    """What a message adds to the file."""

    times: Packed
    body: Packed
    rollups: list[tuple[int, int, Summary]]

    @classmethod
    def of(cls, kind: str, times: Sequence[int], body: Mapping[str, Any]) -> Self:
        """Return it; raises ValueError for a number that is NaN or infinite."""
        rollups = roll_up(times, body["columns"]) if kind == "readings" else []
        return cls(pack(times), pack(body), rollups)

    @property
    def size(self) -> int:
        """Bytes that it may take."""
        return len(self.times) + len(self.body) + _ROW_BYTES + bytes_of(self.rollups)


def enqueue(conn: sqlite3.Connection, store_id: str, seq: int, draft: Draft, row: Row) -> None:
    """Put a message into history and outbox.

    Args:
        conn: inside the transaction.
        store_id: of this file.
        seq: its number.
        draft: the message.
        row: the same, as it is kept.
    """
    offset = draft.utc_offset_ms
    if offset is not None and draft.kind == "readings":
        offset = dating.free_offset(conn, draft.pack, draft.times_ms, offset)
    topic = Topic(draft.site, draft.agent, draft.bus, draft.kind)
    origin = origin_of(
        conn, topic, store=store_id, pack=draft.pack, boot=draft.boot, utc_offset_ms=offset
    )
    message = insert_message(
        conn,
        origin,
        seq=seq,
        kind=draft.kind,
        t=draft.times_ms,
        times=row.times,
        body=row.body,
    )
    keep(conn, origin.id, row.rollups)
    conn.execute(
        "INSERT INTO outbox (seq, message, origin, kind, bytes) VALUES (?, ?, ?, ?, ?)",
        (seq, message, origin.id, draft.kind, len(row.body)),
    )
    if draft.kind == "event":
        is_new = record_event(conn, draft.agent, origin, draft.times_ms[0], draft.body)
        if is_new:
            conn.execute("UPDATE meta SET value = value + 1 WHERE key = 'events'")


def insert_received(
    conn: sqlite3.Connection, message: Message, topic: Topic, row: Row
) -> int | None:
    """Return the branch under which it was stored, None if it was there already."""
    branch = branch_for(conn, topic, message, row.times, row.body)
    if branch is None:
        return None
    origin = origin_of(
        conn,
        topic,
        store=message.store,
        pack=message.pack,
        boot=message.boot,
        utc_offset_ms=0,
        branch=branch,
    )
    kind = kind_of(message)
    insert_message(
        conn, origin, seq=message.seq, kind=kind, t=message.t, times=row.times, body=row.body
    )
    keep(conn, origin.id, row.rollups)
    note_arrival(conn, origin.source, message.seq)
    if isinstance(message, LinkMessage):
        note_told(conn, origin.source, message)
    if kind == "event":
        record_event(conn, topic.agent, origin, message.t[0], body_of(message))
    return branch
