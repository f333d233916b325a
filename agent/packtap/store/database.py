"""`Store`: one thread's hold on the SQLite file, floor 3. Promises stand in the package."""

import logging
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Self

from packtap.ledger import Ledger, LostRun
from packtap.model import Event, EventState, Severity, Value
from packtap.store import dating, history, ledger, memories, overview, undated
from packtap.store.entering import Row, enqueue, insert_received
from packtap.store.file import open_for_reading, open_for_writing, store_error
from packtap.store.hold import Hold
from packtap.store.overview import Assumed, History, PackSummary
from packtap.store.records import (
    Draft,
    Gap,
    KeptMemory,
    Message,
    Outbox,
    Queued,
    StoredEvent,
    StoredHealth,
    StoredReading,
    body_of,
    kind_of,
)
from packtap.store.room import hours_left, make_room, record_loss, trim_events
from packtap.store.undated import UndatedBoot, UndatedReading
from packtap.wire import Topic

__all__ = ["Store"]

_log = logging.getLogger(__name__)

#: Pages that a transaction may split or spill beyond the bytes of its rows.
_SPARE_BYTES: Final = 8 * 4096
_SET_BACK: Final = (
    "%s/%s numbers new messages as it numbered others before (seq %d): its store was set back, "
    "by a restored copy or a card that loses what it has confirmed. Both are kept"
)


class Store:
    """The store as one thread sees it; use `open` or `open_read_only`.

    Attributes:
        renumbered: messages received through this object whose number an earlier one had.
    """

    def __init__(self, conn: sqlite3.Connection, path: Path, max_bytes: int | None) -> None:
        hold = Hold(conn, path)
        self._conn = conn
        self._reading = hold.reading
        self._writing = hold.writing
        self._max_bytes = max_bytes
        self._set_back: set[str] = set()
        self.renumbered = 0
        self.store_id: Final = str(self._meta("store_id"))

    @classmethod
    def open(cls, path: Path, max_bytes: int | None = None) -> Self:
        """Open or create the store for reading and writing.

        Args:
            path: the file; its directory is made if it is missing.
            max_bytes: the bound of the file, given by its owner (agent, ingest); the owner also
                sets a damaged file aside. None: somebody else looks after both.

        Raises:
            StoreError: it cannot be opened; the message says what to do.
        """
        return cls._of(open_for_writing(path, is_owner=max_bytes is not None), path, max_bytes)

    @classmethod
    def open_read_only(cls, path: Path) -> Self:
        """Open an existing store for reading, whether its agent runs or not.

        Raises:
            StoreError: absent, unreadable or of another version.
        """
        return cls._of(open_for_reading(path), path, None)

    @classmethod
    def _of(cls, conn: sqlite3.Connection, path: Path, max_bytes: int | None) -> Self:
        try:
            return cls(conn, path, max_bytes)
        except sqlite3.Error as exc:
            conn.close()
            raise store_error(exc, path) from exc

    def close(self) -> None:
        """Close the file; waiting messages stay in it."""
        self._conn.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # Writing: the agent.

    def commit(self, drafts: Sequence[Draft], remembered: Sequence[KeptMemory] = ()) -> list[int]:
        """Queue messages: all of them, in history and outbox, or none.

        Args:
            drafts: in the order in which they are to be numbered.
            remembered: what is to be remembered of packs from now on, in the same transaction.

        Returns:
            Their seqs. When this returns they survive a power cut.

        Raises:
            StoreError: nothing was written; try again with the same drafts.
            ValueError: a number is NaN or infinite.
        """
        if not drafts and not remembered:
            return []
        rows = [Row.of(draft.kind, draft.times_ms, draft.body) for draft in drafts]
        kept = memories.encoded(remembered)
        with self._writing() as conn:
            self._make_room([*rows, *(Row("", document, []) for _, _, document in kept)])
            if kept:
                memories.keep(conn, kept, memories.most_packs(self._max_bytes))
            seq = int(self._meta("last_seq"))
            for draft, row in zip(drafts, rows, strict=True):
                seq += 1
                enqueue(conn, self.store_id, seq, draft, row)
            conn.execute("UPDATE meta SET value = ? WHERE key = 'last_seq'", (seq,))
            self._trim_events(conn, (draft.kind for draft in drafts))
        return list(range(seq - len(drafts) + 1, seq + 1))

    def date_boot(self, boot: str, utc_offset_ms: int) -> int:
        """Date what that boot queued while its clock was unknown; return how many messages.

        Cheap when nothing is undated: call it whenever the clock is known.
        """
        with self._reading() as conn:
            undated = conn.execute(
                "SELECT 1 FROM origin WHERE boot = ? AND utc_offset_ms IS NULL LIMIT 1", (boot,)
            ).fetchone()
        if undated is None:
            return 0
        with self._writing() as conn:
            return dating.date_boot(conn, boot, utc_offset_ms)

    # Delivery: the uplink.

    def pending(self, after_seq: int, limit: int, without: Collection[Topic] = ()) -> list[Queued]:
        """Return dated messages that wait for delivery, in order of seq.

        Args:
            after_seq: only those with a higher seq; 0 = from the oldest.
            limit: at most so many.
            without: topics that are to be passed over.
        """
        with self._reading() as conn:
            queued, unreadable = history.pending(conn, after_seq, limit, without)
        if unreadable:
            with self._writing() as conn:
                record_loss(conn, unreadable)
        return queued

    def pending_events(self, limit: int, without: Collection[Topic] = ()) -> list[Queued]:
        """Return dated events that wait for delivery, in order of seq; as `pending`."""
        with self._reading() as conn:
            # One that cannot be read is dropped by `pending`.
            return history.pending(conn, 0, limit, without, only_events=True)[0]

    def settle(self, seqs: Sequence[int]) -> None:
        """Take delivered messages out of the outbox; they stay in history while there is room."""
        with self._writing() as conn:
            conn.executemany("DELETE FROM outbox WHERE seq = ?", [(seq,) for seq in seqs])

    def depth(self, boot: str | None = None) -> Outbox:
        """Return how much waits for delivery.

        Args:
            boot: id of the boot that goes on; without it nothing counts as stranded.
        """
        with self._reading() as conn:
            return history.depth(conn, boot)

    # Receiving: the embedded ingest.

    def receive(self, message: Message, topic: Topic) -> bool:
        """Store a delivered message; False if it was there already."""
        return self.receive_many([(message, topic)])[0]

    def receive_many(self, items: Sequence[tuple[Message, Topic]]) -> list[bool]:
        """Store delivered messages in one transaction.

        Returns:
            For each, in order: True if new, False if it was there already (a redelivery). Another
            message under a number that is there already is new, and counted in `renumbered`.

        Raises:
            StoreError: nothing was written; try again with the same messages.
        """
        rows = [Row.of(kind_of(message), message.t, body_of(message)) for message, _ in items]
        with self._writing() as conn:
            self._make_room(rows)
            branches = [
                insert_received(conn, message, topic, row)
                for (message, topic), row in zip(items, rows, strict=True)
            ]
            self._trim_events(conn, (kind_of(message) for message, _ in items))
        self._count_renumbered(items, branches)
        return [branch is not None for branch in branches]

    # Reading.

    def readings(
        self, pack: str | None = None, t_from: int | None = None, t_to: int | None = None
    ) -> Iterator[StoredReading]:
        """Yield dated readings with `t_from <= t_ms < t_to` (UTC milliseconds), oldest first."""
        with self._reading() as conn:
            yield from history.readings(conn, pack, t_from, t_to)

    def rows(self, pack: str | None = None) -> int:
        """Return the number of readings in the history, undated ones included."""
        with self._reading() as conn:
            return history.rows(conn, pack)

    def events(self, pack: str | None = None) -> list[StoredEvent]:
        """Return the events that are remembered, open and cleared."""
        with self._reading() as conn:
            return list(history.events(conn, pack, only_open=False))

    def open_events(self, pack: str | None = None) -> list[Event]:
        """Return what is raised now, for a restarted agent; their `t` is of another run: None."""
        with self._reading() as conn:
            return [
                Event(
                    id=event.id,
                    t=None,
                    pack=event.pack,
                    kind=event.kind,
                    severity=Severity(event.severity),
                    state=EventState.RAISED,
                    cell=event.cell,
                    value=event.value,
                    limit=event.limit,
                    unit=event.unit,
                    text=event.text,
                )
                for event in history.events(conn, pack, only_open=True)
            ]

    # Reading: the page.

    def packs(self) -> list[PackSummary]:
        """Return each pack on each bus, with what is raised on it."""
        with self._reading() as conn:
            return list(overview.packs(conn))

    def latest(self, pack: str, agent: str, bus: str) -> dict[str, tuple[Value, int]]:
        """Return the latest value of each quantity and its time, UTC milliseconds."""
        with self._reading() as conn:
            return overview.latest(conn, pack, agent, bus)

    def history(
        self, pack: str, t_from: int, t_to: int, points: int, assumed: Assumed | None = None
    ) -> History:
        """Return a plot of `t_from <= t < t_to` (UTC milliseconds) with at most `points` points.

        Args:
            pack: its name.
            t_from: begin of the range.
            t_to: its end.
            points: at most so many, at least 2.
            assumed: where undated readings of a boot are to be shown.
        """
        with self._reading() as conn:
            return overview.history(conn, pack, (t_from, t_to), points, assumed)

    def recent_events(
        self, pack: str, limit: int, before: int | None = None
    ) -> list[tuple[int, StoredEvent]]:
        """Return the latest events of a pack, latest first, each with its number.

        Args:
            pack: its name.
            limit: at most so many.
            before: only those with a lower number: the next page.
        """
        with self._reading() as conn:
            return overview.recent_events(conn, pack, before, limit)

    def health(
        self, pack: str, t_from: int | None = None, t_to: int | None = None
    ) -> list[StoredHealth]:
        """Return what was said of a pack's health, `t_from <= t_ms < t_to`, oldest first."""
        with self._reading() as conn:
            return list(history.health(conn, pack, t_from, t_to))

    def latest_health(self, pack: str) -> StoredHealth | None:
        """Return what was said last of a pack's health; None if nothing (dated) was."""
        with self._reading() as conn:
            return history.latest_health(conn, pack)

    def memory(self, pack: str) -> dict[str, Any] | None:
        """Return the document that is remembered of a pack; None if there is none."""
        with self._reading() as conn:
            return memories.load(conn, pack)

    def last_pack(self, place: int) -> str | None:
        """Return the pack that was remembered last at an address of the bus."""
        with self._reading() as conn:
            return memories.last_pack(conn, place)

    def raised(self, pack: str) -> list[StoredEvent]:
        """Return what is raised now on a pack, oldest first."""
        with self._reading() as conn:
            return list(history.events(conn, pack, only_open=True))

    def next_reading(self, pack: str, t_from: int, t_to: int) -> int | None:
        """Return a time, UTC milliseconds, before which a range has no reading; None: none at all.

        No later than the first reading of `t_from <= t < t_to`.
        """
        with self._reading() as conn:
            return overview.next_reading(conn, pack, t_from, t_to)

    def newest_ms(self, other_than_boot: str) -> int | None:
        """Return the UTC milliseconds of the newest dated reading of other boots."""
        with self._reading() as conn:
            return history.newest_ms(conn, other_than_boot)

    def undated_boots(self) -> list[UndatedBoot]:
        """Return the boots that have undated readings, with the moments between which they lie."""
        with self._reading() as conn:
            return undated.undated_boots(conn)

    def undated_readings(self, of: UndatedBoot) -> Iterator[UndatedReading]:
        """Yield the readings of such a boot."""
        with self._reading() as conn:
            yield from undated.undated_readings(conn, of)

    def ledgers(self) -> list[Ledger]:
        """Return what this file knows of the numbers of each agent's store."""
        with self._reading() as conn:
            return list(ledger.ledgers(conn, self.store_id))

    def lost_runs(self) -> list[LostRun]:
        """Return the newest runs of numbers that the size bound dropped, whatever they were."""
        with self._reading() as conn:
            return ledger.lost_runs(conn)

    def thinned_runs(self) -> list[LostRun]:
        """Return the newest runs of numbers of which the size bound left samples out."""
        with self._reading() as conn:
            return ledger.thinned_runs(conn)

    def thinned(self) -> int:
        """Return how many samples were left out before they were delivered, since it began."""
        with self._reading() as conn:
            return history.thinned(conn)

    def gaps(self) -> list[Gap]:
        """Return what the size bound dropped before it was delivered."""
        with self._reading() as conn:
            return list(history.gaps(conn))

    def lost(self) -> tuple[int, int]:
        """Return all gaps together, since this store began: messages, and samples in them."""
        with self._reading() as conn:
            return history.lost(conn)

    def hours_left(self, max_bytes: int) -> float | None:
        """Return for how long messages fit into this bound if none is delivered; None: unknown."""
        with self._reading() as conn:
            return hours_left(conn, max_bytes)

    def event_counter(self) -> int:
        """Return the number of the last event ever raised here; 0 = none yet."""
        with self._reading():
            return int(self._meta("events"))

    # Inside a transaction.

    def _count_renumbered(
        self, items: Sequence[tuple[Message, Topic]], branches: Sequence[int | None]
    ) -> None:
        for (message, topic), branch in zip(items, branches, strict=True):
            if not branch:
                continue
            self.renumbered += 1
            if message.store not in self._set_back:
                self._set_back.add(message.store)
                _log.warning(_SET_BACK, topic.agent, topic.bus, message.seq)

    def _make_room(self, rows: Sequence[Row]) -> None:
        if self._max_bytes is not None:
            need = sum(row.size for row in rows) + _SPARE_BYTES
            make_room(self._conn, self._max_bytes, need)

    def _trim_events(self, conn: sqlite3.Connection, kinds: Iterable[str]) -> None:
        if self._max_bytes is not None and "event" in kinds:
            trim_events(conn, self._max_bytes)

    def _meta(self, key: str) -> Any:
        return self._conn.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0]
