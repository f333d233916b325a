"""The service on the Pi: one loop from bytes to the store, floor 4.

Threads: one reader a line (`link`), one sender (`uplink`), and this loop. They share the inbox and
the store's file, nothing else. The loop takes what the lines received, lets the tap judge it, keeps
readings for `flush_s` seconds and commits them as one row; an event is committed at once, and only
then announced.
"""

import logging
import queue
import threading
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Final

from ninebot_bms import Session
from packtap import __version__
from packtap.analysis.imbalance import ImbalanceLimits
from packtap.analysis.limits import CellLimits
from packtap.analysis.open_events import OpenEvents
from packtap.batch import Batch, reading_of
from packtap.clock import Clock
from packtap.config import AgentConfig, PackConfig
from packtap.errors import StoreError
from packtap.link import Inbox, LineReader, LinkItem, Received
from packtap.model import Event, EventState
from packtap.now_file import NowFile
from packtap.poller import Listening, Polling
from packtap.present import Present
from packtap.store import Draft, Store
from packtap.tap import Digest, Tap, TapSettings
from packtap.uplink import Uplink

__all__ = ["Agent"]

_log = logging.getLogger("packtap.agent")

_NOW_EVERY_S: Final = 1.0
_STATE_EVERY_S: Final = 60.0
_LINK_EVERY_S: Final = 300.0
_RETRY_STORE_S: Final = 1.0
#: Messages kept in memory while the store cannot be written: batches of two hours by default.
_MAX_UNSAVED: Final = 800
_MAX_BATCH: Final = 5000


class Agent:
    """Wires the parts and runs the loop.

    Args:
        config: checked configuration.
        clock: boot time, boot id, and UTC once it is known.
    """

    def __init__(self, config: AgentConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._inbox = Inbox()
        self._store = Store.open(config.store.path, config.store.max_bytes)
        self._unknown = f"unknown-{config.agent}-{config.bus}"
        self._tap = Tap(
            TapSettings(
                unknown_pack=self._unknown,
                rested=config.mode == "bench",
                cell_limits=_cell_limits(config.pack),
                imbalance=_imbalance_limits(config.pack),
            ),
            OpenEvents(
                self._store.store_id, self._store.open_events(), self._store.event_counter()
            ),
        )
        self._readers = [
            LineReader(
                line.name,
                line.port,
                line.baud,
                self._inbox,
                clock=clock.boot_s,
                transmit=config.mode == "bench",
            )
            for line in config.lines
        ]
        self._bus: Listening | Polling
        if config.mode == "bench":
            self._bus = Polling(Session(), self._readers[0])
        else:
            self._bus = Listening(line.name for line in config.lines)
        self._uplink = Uplink(
            config.mqtt,
            site=config.site,
            agent=config.agent,
            bus=config.bus,
            store_path=config.store.path,
            boot=clock.boot_id,
            utc_ms=clock.utc_ms,
        )
        self._present = Present(config, clock.boot_id)
        self._now_file = NowFile(config.now_file)
        self._batches: dict[str, Batch] = {}
        self._last_ms: dict[str, int] = {}
        self._batch_since: float | None = None
        self._unsaved: list[Draft] = []
        self._store_trouble: str | None = None
        self._due = dict.fromkeys(("now", "state", "link", "retry"), 0.0)
        self._dated: int | None = None

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; then save what there is and say good-bye."""
        _log.info(
            "packtap %s: %s on %s, store %s, events open: %d",
            __version__,
            self._config.mode,
            ", ".join(f"{line.name}={line.port}" for line in self._config.lines),
            self._config.store.path,
            len(self._store.open_events()),
        )
        for reader in self._readers:
            reader.start()
        self._uplink.start()
        try:
            while not stop.is_set():
                self._step()
        finally:
            self._stop()

    def _step(self) -> None:
        now = self._clock.boot_s()
        try:
            item = self._inbox.get(timeout=self._bus.patience_s(now))
        except queue.Empty:
            self._pass_time(self._clock.boot_s())
        else:
            self._take(item)
        self._tick(self._clock.boot_s())

    def _take(self, item: LinkItem) -> None:
        if isinstance(item, Received):
            # In the same order as a replay, so that both give the same events.
            self._pass_time(item.t)
            self._keep(self._tap.digest(self._bus.receive(item)))
        else:
            self._present.line_changed(item)

    def _pass_time(self, now: float) -> None:
        self._keep(self._tap.digest(self._bus.idle(now)))
        self._keep(self._tap.idle(now))

    def _keep(self, digest: Digest) -> None:
        for pack, snapshot in digest.snapshots:
            self._present.snapshot_taken(pack, snapshot)
            reading = reading_of(pack, snapshot, self._last_ms.get(pack, -1))
            if reading is None:
                continue
            self._last_ms[pack] = reading.boot_ms
            batch = self._batches.setdefault(pack, Batch(pack))
            batch.add(reading)
            if self._batch_since is None:
                self._batch_since = self._clock.boot_s()
            if len(batch) >= _MAX_BATCH:
                self._flush()
        if digest.events:
            self._announce(digest.events)

    def _announce(self, events: Sequence[Event]) -> None:
        for event in events:
            level = logging.INFO if event.state is EventState.CLEARED else logging.WARNING
            _log.log(level, "%s %s %s: %s", event.pack, event.kind, event.state, event.text)
            self._unsaved.append(self._event_draft(event))
        self._save()
        self._present.events_changed(self._tap.open_events, self._tap.pack)
        self._due["state"] = 0.0

    def _tick(self, now: float) -> None:
        if self._batch_since is not None and now - self._batch_since >= self._config.store.flush_s:
            self._flush()
        if self._unsaved and now >= self._due["retry"]:
            self._save()
        if now >= self._due["now"]:
            self._due["now"] = now + _NOW_EVERY_S
            self._date_readings()
            self._show(now)
        if now >= self._due["state"]:
            self._due["state"] = now + _STATE_EVERY_S
            self._publish_state(now)
        if now >= self._due["link"]:
            if self._due["link"]:
                self._unsaved.append(self._link_draft(now))
            self._due["link"] = now + _LINK_EVERY_S

    def _flush(self) -> None:
        for pack, batch in self._batches.items():
            self._unsaved.append(
                self._draft("readings", pack, batch.times_ms, {"columns": batch.columns()})
            )
        self._batches.clear()
        self._batch_since = None
        self._save()

    def _save(self) -> None:
        """Commit what is waiting; on failure keep it, say so once, and try again."""
        if not self._unsaved:
            return
        try:
            self._store.commit(self._unsaved)
        except StoreError as error:
            self._due["retry"] = self._clock.boot_s() + _RETRY_STORE_S
            if str(error) != self._store_trouble:
                _log.error("readings wait in memory, the store takes none: %s", error)
            self._store_trouble = str(error)
            self._forget_oldest()
            return
        if self._store_trouble is not None:
            _log.info("the store takes readings again")
        self._store_trouble = None
        self._unsaved.clear()
        self._uplink.wake()

    def _forget_oldest(self) -> None:
        """Bound the memory: the oldest batches go first, events stay."""
        excess = len(self._unsaved) - _MAX_UNSAVED
        for draft in [draft for draft in self._unsaved if draft.kind == "readings"][
            : max(0, excess)
        ]:
            self._unsaved.remove(draft)
            self._present.dropped += len(draft.times_ms)

    def _draft(
        self, kind: str, pack: str, times_ms: tuple[int, ...], body: dict[str, object]
    ) -> Draft:
        return Draft(
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

    def _event_draft(self, event: Event) -> Draft:
        t = event.t if event.t is not None else self._clock.boot_s()
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
        return self._draft("event", event.pack, (round(t * 1000),), body)

    def _link_draft(self, now: float) -> Draft:
        counters = self._present.counters(self._bus, self._uplink.stats)
        return self._draft("link", self._tap.pack, (round(now * 1000),), {"counters": counters})

    def _date_readings(self) -> None:
        """Date what was taken before the clock was known, as soon as it is."""
        offset_ms = self._clock.utc_offset_ms()
        if offset_ms is None or offset_ms == self._dated:
            return
        try:
            dated = self._store.date_boot(self._clock.boot_id, offset_ms)
        except StoreError as error:
            _log.warning("readings taken before the clock was known wait: %s", error)
            return
        self._unsaved[:] = [
            draft if draft.utc_offset_ms is not None else replace(draft, utc_offset_ms=offset_ms)
            for draft in self._unsaved
        ]
        self._dated = offset_ms
        if dated:
            _log.info("the clock is known: %d waiting messages are dated", dated)
            self._uplink.wake()

    def _show(self, now: float) -> None:
        document = self._present.document(
            now,
            self._clock.utc_offset_ms(),
            bus=self._bus,
            uplink=self._uplink.stats,
            outbox=self._outbox(),
            store_trouble=self._store_trouble,
        )
        try:
            self._now_file.replace(document)
        except OSError as error:
            if self._present.complain_once("now-file"):
                _log.warning("%s cannot be written: %s", self._config.now_file, error.strerror)

    def _outbox(self) -> dict[str, object]:
        try:
            return asdict(self._store.depth())
        except StoreError:
            return {}

    def _publish_state(self, now: float) -> None:
        for kind, payload in self._present.retained(now, self._clock.utc_offset_ms()):
            self._uplink.retain(kind, payload)

    def _stop(self) -> None:
        for reader in self._readers:
            reader.stop()
        while True:
            try:
                self._take(self._inbox.get_nowait())
            except queue.Empty:
                break
        self._keep(self._tap.idle(None))
        self._flush()
        self._uplink.stop(timeout=3.0)
        self._now_file.remove()
        self._store.close()
        if self._unsaved:
            _log.error(
                "%d messages could not be saved: %s", len(self._unsaved), self._store_trouble
            )
        _log.info("stopped")


def _cell_limits(pack: PackConfig) -> CellLimits:
    return CellLimits(
        overvoltage_mv=pack.cell_overvoltage_mv,
        overvoltage_clear_mv=pack.cell_overvoltage_clear_mv,
        undervoltage_mv=pack.cell_undervoltage_mv,
        undervoltage_clear_mv=pack.cell_undervoltage_clear_mv,
    )


def _imbalance_limits(pack: PackConfig) -> ImbalanceLimits:
    return ImbalanceLimits(
        raise_pct=pack.cell_imbalance_pct,
        clear_pct=pack.cell_imbalance_clear_pct,
        rest_current_a=pack.rest_current_a,
        rest_s=pack.rest_s,
    )
