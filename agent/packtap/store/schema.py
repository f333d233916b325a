"""The tables, as numbered migrations, floor 3.

`PRAGMA user_version` is the number of migrations that a file has had. A migration is never changed
once released; a change of the tables is the next row of `MIGRATIONS`. A file with a higher number
than this code knows comes from a newer packtap and is refused, not guessed at.

Where time lives: a message has times relative to boot; the UTC offset stands once in its `origin`.
So dating the readings of days is an update of one small row, not a rewrite of every body.

::

    meta     store_id, last_seq, events (events ever raised)
    source   who sent: site, agent, bus, store id, branch (0; more if its numbers began again)
    origin   source + pack + boot + UTC offset (NULL = undated)
    message  history: one batch of readings, one event or one set of counters
    outbox   what still has to be delivered
    event    one row an event with both its ends
    rollup   minutes and half-hours of the readings, for plots (module `rollup`)
    pack_memory   what is remembered of each pack, the packs seen last
    arrived  at ingest: runs of seq that have come, whether their messages are still kept or not
    told_gap at ingest: runs of seq that the agent says it has dropped undelivered
    gap      runs of seq that the size bound removed undelivered
    thinned  runs of seq of which the size bound left samples out undelivered
    told_thinned  at ingest: those that the agent has told
"""

import sqlite3
from collections.abc import Callable, Mapping
from typing import Final
from uuid import uuid4

from packtap.errors import StoreError
from packtap.store.ledger import arrived_before
from packtap.store.rollup import roll_up_all

__all__ = ["APPLICATION_ID", "MIGRATIONS", "migrate", "require_current", "stored_version"]

#: "pack" in ASCII: tells a packtap store from any other SQLite file.
APPLICATION_ID: Final = 0x7061636B

#: `origin.waiting` counts the outbox: the agent asks for its depth each second, and a backlog may
#: have 100 000 rows. Small columns come before `times` and `body`, which spill over to pages of
#: their own: reading the former does not touch the latter. `event.agent` with `id` is unique, not
#: `id` alone: a device can only speak for itself.
_FIRST: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE source (
    id INTEGER PRIMARY KEY,
    site TEXT NOT NULL, agent TEXT NOT NULL, bus TEXT NOT NULL, store TEXT NOT NULL,
    UNIQUE (site, agent, bus, store)
);
CREATE TABLE origin (
    id INTEGER PRIMARY KEY,
    source INTEGER NOT NULL REFERENCES source,
    pack TEXT NOT NULL, boot TEXT NOT NULL, utc_offset_ms INTEGER,
    waiting INTEGER NOT NULL DEFAULT 0, waiting_bytes INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX origin_by_boot ON origin (boot, source, pack);
CREATE INDEX origin_by_pack ON origin (pack);
CREATE TABLE message (
    id INTEGER PRIMARY KEY,
    source INTEGER NOT NULL REFERENCES source,
    seq INTEGER NOT NULL,
    origin INTEGER NOT NULL REFERENCES origin,
    kind TEXT NOT NULL,
    t_first INTEGER NOT NULL, t_last INTEGER NOT NULL, samples INTEGER NOT NULL,
    times TEXT NOT NULL, body TEXT NOT NULL,
    UNIQUE (source, seq)
);
CREATE INDEX message_by_time ON message (kind, origin, t_last, t_first, samples);
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY,
    message INTEGER NOT NULL UNIQUE REFERENCES message,
    origin INTEGER NOT NULL REFERENCES origin,
    kind TEXT NOT NULL, bytes INTEGER NOT NULL
);
CREATE TRIGGER outbox_in AFTER INSERT ON outbox BEGIN
    UPDATE origin SET waiting = waiting + 1, waiting_bytes = waiting_bytes + NEW.bytes
    WHERE id = NEW.origin;
END;
CREATE TRIGGER outbox_out AFTER DELETE ON outbox BEGIN
    UPDATE origin SET waiting = waiting - 1, waiting_bytes = waiting_bytes - OLD.bytes
    WHERE id = OLD.origin;
END;
CREATE TABLE event (
    n INTEGER PRIMARY KEY,
    agent TEXT NOT NULL, id TEXT NOT NULL,
    kind TEXT NOT NULL, severity TEXT NOT NULL, cell INTEGER,
    value REAL, "limit" REAL, unit TEXT NOT NULL, text TEXT NOT NULL,
    origin INTEGER NOT NULL REFERENCES origin,
    raised_origin INTEGER REFERENCES origin, raised_t INTEGER,
    cleared_origin INTEGER REFERENCES origin, cleared_t INTEGER,
    UNIQUE (agent, id)
);
CREATE INDEX event_open ON event (n) WHERE cleared_t IS NULL;
CREATE TABLE gap (
    id INTEGER PRIMARY KEY,
    origin INTEGER NOT NULL REFERENCES origin,
    kind TEXT NOT NULL,
    first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, samples INTEGER NOT NULL,
    t_first INTEGER NOT NULL, t_last INTEGER NOT NULL
);
"""

#: `source.branch`: a store that was set back (a card restored from a copy, a card that lies about
#: what it has written) numbers other messages as it numbered those before. They are filed under a
#: further branch of the same source. `source` is small; `message`, which is not, stays as it is.
_SECOND: Final = """
CREATE TABLE source_2 (
    id INTEGER PRIMARY KEY,
    site TEXT NOT NULL, agent TEXT NOT NULL, bus TEXT NOT NULL, store TEXT NOT NULL,
    branch INTEGER NOT NULL,
    UNIQUE (site, agent, bus, store, branch)
);
INSERT INTO source_2 SELECT id, site, agent, bus, store, 0 FROM source;
DROP TABLE source;
ALTER TABLE source_2 RENAME TO source;
"""

#: Times as in `message`: relative to the boot of the origin. So dating moves these rows too.
_THIRD: Final = """
CREATE TABLE rollup (
    origin INTEGER NOT NULL REFERENCES origin,
    span_ms INTEGER NOT NULL, t INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (origin, span_ms, t)
) WITHOUT ROWID;
"""

#: `saved` counts up with every saving: the order in which packs were seen, whatever the clock says.
#: `place` is the address on the bus, so that a swapped pack is noticed.
_FOURTH: Final = """
CREATE TABLE pack_memory (
    pack TEXT PRIMARY KEY,
    place INTEGER NOT NULL, saved INTEGER NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX pack_memory_by_saved ON pack_memory (saved);
"""

#: `source.settled_seq`: below it nothing waited any more, as the agent told last.
_FIFTH: Final = """
CREATE TABLE arrived (
    source INTEGER NOT NULL REFERENCES source,
    first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
    PRIMARY KEY (source, first_seq)
) WITHOUT ROWID;
CREATE TABLE told_gap (
    source INTEGER NOT NULL REFERENCES source,
    first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
    samples INTEGER NOT NULL, from_ms INTEGER,
    PRIMARY KEY (source, first_seq)
) WITHOUT ROWID;
ALTER TABLE source ADD COLUMN settled_seq INTEGER;
"""

#: Events overtake a backlog of 100 000 messages: they must be found without a look at all of it.
_SIXTH: Final = """
CREATE INDEX outbox_events ON outbox (seq) WHERE kind = 'event';
"""

#: `thinned`: samples left out so far of the readings between two numbers. `meta` says how far each
#: pass of module `thinning` has come.
_SEVENTH: Final = """
CREATE TABLE thinned (
    origin INTEGER NOT NULL REFERENCES origin,
    first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, samples INTEGER NOT NULL,
    t_first INTEGER NOT NULL, t_last INTEGER NOT NULL,
    PRIMARY KEY (origin, first_seq)
) WITHOUT ROWID;
CREATE TABLE told_thinned (
    source INTEGER NOT NULL REFERENCES source,
    first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
    samples INTEGER NOT NULL, from_ms INTEGER,
    PRIMARY KEY (source, first_seq)
) WITHOUT ROWID;
INSERT INTO meta VALUES ('halved_seq', 0), ('minute_seq', 0);
"""

#: Script 1 makes version 1 of an empty file, script 2 makes 2 of 1, ...
MIGRATIONS: Final[tuple[str, ...]] = (_FIRST, _SECOND, _THIRD, _FOURTH, _FIFTH, _SIXTH, _SEVENTH)

#: What SQL alone cannot do, after the script that leads to this version.
_FILLED: Final[Mapping[int, Callable[[sqlite3.Connection], None]]] = {
    3: roll_up_all,
    5: arrived_before,
}


def migrate(conn: sqlite3.Connection, path: str) -> None:
    """Bring the file up to this code's version, in one transaction: readers see no step between.

    Raises:
        StoreError: the file is newer than this code, or is no packtap store.
    """
    if stored_version(conn, path) == len(MIGRATIONS):
        return
    conn.execute("BEGIN IMMEDIATE")
    try:
        # Another thread may have been faster: look again under the write lock.
        while (version := stored_version(conn, path)) < len(MIGRATIONS):
            _apply(conn, version)
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise


def require_current(conn: sqlite3.Connection, path: str) -> None:
    """Check the version for a reader, who must not migrate.

    Raises:
        StoreError: another version, or no packtap store.
    """
    if stored_version(conn, path) < len(MIGRATIONS):
        raise StoreError(f"{path}: written by an older packtap: start its agent once to convert it")


def stored_version(conn: sqlite3.Connection, path: str) -> int:
    """Return the number of migrations that the file has had; 0 = it is empty.

    Raises:
        StoreError: the file is newer than this code, or is no packtap store.
    """
    # In this order: another thread may be making the tables between these readings, and what is
    # not empty any more has its application id.
    is_empty = conn.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    application = int(conn.execute("PRAGMA application_id").fetchone()[0])
    if application != APPLICATION_ID and not is_empty:
        raise StoreError(f"{path}: an SQLite file, but no packtap store: choose another path")
    version = int(conn.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{path}: written by a newer packtap (store version {version}, this one knows up to "
            f"{len(MIGRATIONS)}): install that version again, or move the file away"
        )
    return version


def _apply(conn: sqlite3.Connection, version: int) -> None:
    # Not executescript: it would commit the open transaction first.
    statement = ""
    for line in MIGRATIONS[version].splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            conn.execute(statement)
            statement = ""
    if version == 0:
        conn.execute("INSERT INTO meta VALUES ('store_id', ?)", (uuid4().hex,))
        conn.execute("INSERT INTO meta VALUES ('last_seq', 0), ('events', 0)")
        conn.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    if fill := _FILLED.get(version + 1):
        fill(conn)
    conn.execute(f"PRAGMA user_version = {version + 1}")
