"""What has to reach the disk: batches, events and counters on their way to the store, floor 4.

Readings are kept for `flush_s` and committed as one row a pack. While the store takes none,
everything waits in memory, bounded: the oldest batches go first and are counted, events stay.
"""

import logging
from collections.abc import Mapping
from typing import Final

from ninebot_bms import Snapshot
from packtap.batch import Batch, reading_of
from packtap.clock import Clock
from packtap.config import AgentConfig
from packtap.errors import StoreError
from packtap.model import Event
from packtap.store import Draft, KeptMemory, OwnerLock, Store

__all__ = ["Keeper"]

_log = logging.getLogger("packtap.agent.keeping")

_RETRY_STORE_S: Final = 1.0
#: Messages kept in memory while the store cannot be written: batches of two hours by default.
_MAX_UNSAVED: Final = 800
_MAX_BATCH: Final = 5000
_ROOM_EVERY_S: Final = 60.0
#: Kinds that nobody waits for: they go with the next batch, and are no commit of their own before
#: `flush_s` has passed.
_PATIENT: Final = frozenset({"link", "health"})


class Keeper:
    """Holds the store for the agent's loop.

    Args:
        config: checked configuration.
        clock: boot time, boot id, and UTC once it is known.

    Attributes:
        dropped: readings that left the memory unsaved, while the store took none.
        trouble: why the store takes nothing; None if it does.

    Raises:
        StoreError: the store cannot be used, or another agent uses it.
    """

    def __init__(self, config: AgentConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._lock = OwnerLock(config.store.path)
        try:
            self._store = Store.open(config.store.path, config.store.max_bytes)
        except BaseException:
            self._lock.release()
            raise
        self._batches: dict[str, Batch] = {}
        self._is_urgent = False
        self._last_ms: dict[str, int] = {}
        self._last_event_ms: dict[tuple[str, str, int | None], int] = {}
        self._batch_since: float | None = None
        self._unsaved: list[Draft] = []
        self._remembered: dict[str, KeptMemory] = {}
        self._retry_at = 0.0
        self._dated: int | None = None
        self._room_due = 0.0
        self._hours_left: float | None = None
        self.dropped = 0
        self.trouble: str | None = None

    @property
    def store(self) -> Store:
        """The store that is in use now; another one after it had to be opened anew."""
        return self._store

    @property
    def waits(self) -> int:
        """Messages that are not on disk."""
        return len(self._unsaved)

    def add_reading(self, pack: str, snapshot: Snapshot) -> bool:
        """Put what a snapshot newly read into the batch; return whether it is time to flush."""
        reading = reading_of(pack, snapshot, self._last_ms.get(pack, -1))
        if reading is None:
            return False
        self._last_ms[pack] = reading.boot_ms
        batch = self._batches.setdefault(pack, Batch(pack))
        batch.add(reading)
        if self._batch_since is None:
            self._batch_since = self._clock.boot_s()
        return len(batch) >= _MAX_BATCH

    def add_event(self, event: Event) -> None:
        """Let one end of an event wait for the next commit.

        At least a millisecond after the end before of the same pack, kind and cell: one event that
        ends in the moment in which the next begins would be overwritten by it in a store that
        keeps one point for one time.
        """
        t = event.t if event.t is not None else self._clock.boot_s()
        key = (event.pack, event.kind, event.cell)
        t_ms = max(round(t * 1000), self._last_event_ms.get(key, -1) + 1)
        self._last_event_ms[key] = t_ms
        body: dict[str, object] = {
            "id": event.id,
            "kind": event.kind,
            "severity": event.severity.value,
            "state": event.state.value,
            "cell": event.cell,
            "value": event.value,
            "limit": event.limit,
            "unit": event.unit,
            "text": event.text,
        }
        self.add("event", event.pack, (t_ms,), body)

    def add(
        self, kind: str, pack: str, times_ms: tuple[int, ...], body: Mapping[str, object]
    ) -> None:
        """Let a message wait for the next commit, which is due at once or within `flush_s`.

        Args:
            kind: of the message, as in `packtap.store.Draft`.
            pack: its name.
            times_ms: sample times, milliseconds since boot.
            body: the message's own fields.
        """
        self._unsaved.append(
            Draft(
                kind=kind,
                site=self._config.site,
                agent=self._config.agent,
                bus=self._config.bus,
                pack=pack,
                boot=self._clock.boot_id,
                utc_offset_ms=self._clock.utc_offset_ms(),
                times_ms=times_ms,
                body=body,
            )
        )
        if kind not in _PATIENT:
            self._is_urgent = True
        elif self._batch_since is None:
            self._batch_since = self._clock.boot_s()

    def remember(self, memory: KeptMemory) -> None:
        """Let what is remembered of a pack wait for the next commit; alone it causes none."""
        self._remembered[memory.pack] = memory

    def remembered(self, pack: str) -> Mapping[str, object] | None:
        """Return what waits to be remembered of a pack; None if nothing does."""
        memory = self._remembered.get(pack)
        return None if memory is None else memory.document

    def is_due(self, now: float) -> bool:
        """Return whether the batches have waited for `flush_s`."""
        since = self._batch_since
        return since is not None and now - since >= self._config.store.flush_s

    def wants_retry(self, now: float) -> bool:
        """Return whether something waits that is urgent, or that could not be committed."""
        is_wanted = self._is_urgent or self.trouble is not None
        return is_wanted and bool(self._unsaved) and now >= self._retry_at

    def close_batches(self) -> None:
        """Let the readings so far wait for the next commit."""
        for pack, batch in self._batches.items():
            self.add("readings", pack, batch.times_ms, {"columns": batch.columns()})
        self._batches.clear()
        self._batch_since = None

    def save(self) -> bool:
        """Commit what is waiting; on failure keep it and say so once.

        Returns:
            Whether everything is on disk.
        """
        if not self._unsaved and not self._remembered:
            return True
        try:
            self._store.commit(self._unsaved, tuple(self._remembered.values()))
        except StoreError as error:
            self._retry_at = self._clock.boot_s() + _RETRY_STORE_S
            if str(error) != self.trouble:
                _log.error("readings wait in memory, the store takes none: %s", error)
            self.trouble = str(error)
            self._forget_oldest()
            self._reopen()
            return False
        if self.trouble is not None:
            _log.info("the store takes readings again; what waited is saved")
        self.trouble = None
        self._unsaved.clear()
        self._remembered.clear()
        self._is_urgent = False
        if not self._batches:
            self._batch_since = None
        return True

    def date(self) -> int:
        """Date what was taken before the clock was known, as soon as it is; return how many."""
        offset_ms = self._clock.utc_offset_ms()
        if offset_ms is None or offset_ms == self._dated:
            return 0
        try:
            dated = self._store.date_boot(self._clock.boot_id, offset_ms)
        except StoreError as error:
            _log.warning("readings taken before the clock was known wait: %s", error)
            return 0
        self._unsaved[:] = [draft.dated(offset_ms) for draft in self._unsaved]
        self._dated = offset_ms
        return dated

    def hours_left(self, now: float) -> float | None:
        """Return for how long messages fit if none is delivered; None: unknown.

        Looked up once a minute: it counts what is there.

        Raises:
            StoreError: the store does not say.
        """
        if now >= self._room_due:
            self._room_due = now + _ROOM_EVERY_S
            self._hours_left = self._store.hours_left(self._config.store.max_bytes)
        return self._hours_left

    def close(self) -> None:
        """Let go of the store; say what could not be saved."""
        self._store.close()
        self._lock.release()
        if self._unsaved:
            _log.error("%d messages could not be saved: %s", len(self._unsaved), self.trouble)

    def _reopen(self) -> None:
        """Open the file anew: somebody may have taken it away, or put another in its place."""
        try:
            fresh = Store.open(self._config.store.path, self._config.store.max_bytes)
        except StoreError:
            return  # the next attempt says why, through the handle that there is
        self._store.close()
        self._store = fresh

    def _forget_oldest(self) -> None:
        """Bound the memory: the oldest go first, events stay."""
        excess = max(0, len(self._unsaved) - _MAX_UNSAVED)
        for draft in [draft for draft in self._unsaved if draft.kind != "event"][:excess]:
            self._unsaved.remove(draft)
            if draft.kind == "readings":
                self.dropped += len(draft.times_ms)
