"""Which numbers have arrived, as runs, floor 3: the proof that nothing is missing.

At ingest a message leaves the file when the file is full; that it has arrived stays known, as a run
of numbers that costs one row however long it is. The agent's own file has its outbox instead.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any, Final

from packtap.ledger import Ledger, LostRun, Run, holes, joined
from packtap.wire import LinkMessage

__all__ = [
    "SETTLED",
    "arrived_before",
    "ledgers",
    "lost_runs",
    "note_arrival",
    "note_told",
    "thinned_runs",
]

#: The counter of a `link` message that says below which number nothing waits.
SETTLED: Final = "outbox_first_seq"
#: Runs that one `link` message tells of, the newest: a full outbox drops in long runs.
_MOST_TOLD: Final = 64

_TOLD_GAPS: Final = """
    SELECT first_seq, last_seq, samples, from_ms FROM told_gap
    WHERE source = ? ORDER BY first_seq"""
_TOLD_THINNED: Final = """
    SELECT first_seq, last_seq, samples, from_ms FROM told_thinned
    WHERE source = ? ORDER BY first_seq"""


def note_arrival(conn: sqlite3.Connection, source: int, seq: int) -> None:
    """Add a number to the runs of its source; in the transaction that stores the message."""
    before = conn.execute(
        "SELECT first_seq, last_seq FROM arrived WHERE source = ? AND first_seq <= ? "
        "ORDER BY first_seq DESC LIMIT 1",
        (source, seq),
    ).fetchone()
    if before is not None and before[1] >= seq:
        return
    after = conn.execute(
        "SELECT last_seq FROM arrived WHERE source = ? AND first_seq = ?", (source, seq + 1)
    ).fetchone()
    first = before[0] if before is not None and before[1] == seq - 1 else seq
    if after is not None:
        conn.execute("DELETE FROM arrived WHERE source = ? AND first_seq = ?", (source, seq + 1))
    last = seq if after is None else after[0]
    conn.execute("INSERT OR REPLACE INTO arrived VALUES (?, ?, ?)", (source, first, last))


def note_told(conn: sqlite3.Connection, source: int, message: LinkMessage) -> None:
    """Note what an agent says of its outbox; in the transaction that stores the message."""
    settled = message.counters.get(SETTLED)
    if settled is not None:
        conn.execute(
            "UPDATE source SET settled_seq = max(coalesce(settled_seq, 0), ?) WHERE id = ?",
            (int(settled), source),
        )
    conn.executemany(
        "INSERT OR REPLACE INTO told_gap VALUES (?, ?, ?, ?, ?)",
        [(source, *run) for run in message.gaps],
    )
    conn.executemany(
        "INSERT OR REPLACE INTO told_thinned VALUES (?, ?, ?, ?, ?)",
        [(source, *run) for run in message.thinned],
    )


def lost_runs(conn: sqlite3.Connection, most: int | None = _MOST_TOLD) -> list[LostRun]:
    """Return what this file's size bound has dropped, in order; the newest `most` runs."""
    runs: list[LostRun] = []
    for first, last, samples, from_ms in conn.execute(
        "SELECT g.first_seq, g.last_seq, g.samples, g.t_first + o.utc_offset_ms FROM gap g "
        "JOIN origin o ON o.id = g.origin ORDER BY g.first_seq"
    ):
        if runs and runs[-1].last + 1 == first:
            one = runs[-1]
            runs[-1] = LostRun(one.first, last, one.samples + samples, one.from_ms or from_ms)
        else:
            runs.append(LostRun(first, last, samples, from_ms))
    return runs if most is None else runs[-most:]


def thinned_runs(conn: sqlite3.Connection, most: int | None = _MOST_TOLD) -> list[LostRun]:
    """Return where samples were left out, in order; the newest `most` runs.

    Runs of two packs may overlap; their numbers are among the numbers of the run.
    """
    rows = conn.execute(
        "SELECT g.first_seq, g.last_seq, g.samples, g.t_first + o.utc_offset_ms FROM thinned g "
        "JOIN origin o ON o.id = g.origin ORDER BY g.first_seq"
    ).fetchall()
    runs = [LostRun(*row) for row in rows]
    return runs if most is None else runs[-most:]


def ledgers(conn: sqlite3.Connection, own: str) -> Iterator[Ledger]:
    """Yield what this file knows of each store's numbers; of its own: what the broker has taken.

    Args:
        conn: of the file.
        own: id of this store.
    """
    for source, site, agent, bus, store, branch, told in conn.execute(
        "SELECT id, site, agent, bus, store, branch, settled_seq FROM source "
        "ORDER BY site, agent, bus, id"
    ).fetchall():
        if store == own:
            yield _of_outbox(conn, Ledger(site, agent, bus, store, branch, ()))
            continue
        arrived = conn.execute(
            "SELECT first_seq, last_seq FROM arrived WHERE source = ? ORDER BY first_seq", (source,)
        )
        yield Ledger(
            *(site, agent, bus, store, branch),
            arrived=tuple(Run(*row) for row in arrived.fetchall()),
            lost=_told(conn, _TOLD_GAPS, source),
            settled_seq=told,
            thinned=_told(conn, _TOLD_THINNED, source),
        )


def arrived_before(conn: sqlite3.Connection) -> None:
    """Make the runs of a file that has none yet; inside the transaction that converts it."""
    own = conn.execute("SELECT value FROM meta WHERE key = 'store_id'").fetchone()[0]
    rows: Any = conn.execute(
        "SELECT m.source, m.seq FROM message m JOIN source s ON s.id = m.source "
        "WHERE s.store != ? ORDER BY m.source, m.seq",
        (own,),
    )
    found = [
        (source, run.first, run.last)
        for source, group in groupby(rows, key=lambda row: row[0])
        for run in joined(seq for _, seq in group)
    ]
    conn.executemany("INSERT INTO arrived VALUES (?, ?, ?)", found)


def _told(conn: sqlite3.Connection, query: str, source: int) -> tuple[LostRun, ...]:
    return tuple(LostRun(*row) for row in conn.execute(query, (source,)).fetchall())


def _of_outbox(conn: sqlite3.Connection, ledger: Ledger) -> Ledger:
    """Return the ledger of this file's own numbers."""
    last = int(conn.execute("SELECT value FROM meta WHERE key = 'last_seq'").fetchone()[0])
    waiting = joined(seq for (seq,) in conn.execute("SELECT seq FROM outbox ORDER BY seq"))
    lost = lost_runs(conn, most=None)
    gone = sorted(
        [*waiting, *(Run(each.first, each.last) for each in lost)], key=lambda run: run.first
    )
    return replace(
        ledger,
        arrived=tuple(holes(gone, Run(1, last)) if last else ()),
        lost=tuple(lost),
        settled_seq=waiting[0].first if waiting else last + 1,
        last_seq=last,
        thinned=tuple(thinned_runs(conn, most=None)),
    )
