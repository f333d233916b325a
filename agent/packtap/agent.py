"""The service on the Pi: one loop from bytes to the store, floor 4.

Threads: one reader a line (`link`), one sender (`uplink`), and this loop. They share the inbox and
the store's file, nothing else. The loop takes what the lines received, lets the tap judge it, keeps
readings for `flush_s` seconds and commits them as one row. An event is committed at once and only
then announced (logged as raised or cleared, retained); while the store takes none, the now-file
shows it, marked as not saved.
"""

import logging
import queue
import threading
from typing import Final

from ninebot_bms import Session
from ninebot_bms import Sharing as Guest
from packtap import __version__
from packtap.analysis.open_events import OpenEvents
from packtap.clock import Clock
from packtap.clock_watch import ClockWatch
from packtap.config import AgentConfig
from packtap.errors import StoreError
from packtap.flight import FlightRecorder
from packtap.host import host_figures
from packtap.keeping import Keeper
from packtap.knowing import Knowing
from packtap.link import COALESCE_S, PROMPT_S, Inbox, LineReader, LinkItem, Received
from packtap.model import Event, EventState, Severity
from packtap.notify import Service
from packtap.now_file import NowFile
from packtap.poller import Bus, Listening, Polling, Sharing, sharing_now
from packtap.present import Present, Surroundings, in_one_line, ranked, substance
from packtap.resuming import Resumption, state_path
from packtap.store import Outbox
from packtap.tap import Digest, TapSettings
from packtap.uplink import Uplink, removal_pause_s

__all__ = ["Agent"]

_log = logging.getLogger("packtap.agent")

_NOW_EVERY_S: Final = 1.0
_STATE_EVERY_S: Final = 60.0
_LINK_EVERY_S: Final = 300.0
#: A diagnosis that says the same with other numbers.
_DIAGNOSIS_EVERY_S: Final = 600.0


class Agent:
    """Wires the parts and runs the loop.

    Args:
        config: checked configuration.
        clock: boot time, boot id, and UTC once it is known.
        service: told when the work has begun, how it goes, and that it goes on.

    Raises:
        StoreError: the store cannot be used, or another agent uses it.
    """

    def __init__(self, config: AgentConfig, clock: Clock, service: Service | None = None) -> None:
        self._service = service or Service()
        self._config = config
        self._clock = clock
        self._inbox = Inbox()
        self._keeper = Keeper(config, clock)
        store = self._keeper.store
        clock.not_before_ms = store.newest_ms(clock.boot_id)
        self._clock_watch = ClockWatch(clock)
        # Where a read must fit between two frames of others, a millisecond is much.
        self._bus_s = clock.exact_s if config.mode == "share" else clock.boot_s
        self._unknown = f"unknown-{config.agent}-{config.bus}"
        settings = TapSettings(
            unknown_pack=self._unknown,
            rested=config.mode == "bench",
            pack=config.pack,
            models=config.pack_model,
        )
        path = state_path(config.now_file)
        self._resumption = Resumption(path, clock.boot_id, store.store_id, settings)
        self._tap = self._resumption.tap(
            OpenEvents(store.store_id, store.open_events(), store.event_counter()), clock.boot_s()
        )
        self._readers = [
            LineReader(
                line.name,
                line.port,
                line.baud,
                self._inbox,
                clock=self._bus_s,
                transmit=config.mode in ("bench", "share"),
                gather_s=PROMPT_S if config.mode == "share" else COALESCE_S,
                beat=self._service.beat_of(f"line {line.name}"),
            )
            for line in config.lines
        ]
        self._bus: Bus
        if config.mode == "bench":
            self._bus = Polling(Session(), self._readers[0])
        elif config.mode == "share":
            self._bus = Sharing(Guest(), self._readers[0])
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
            remove_every_s=removal_pause_s(config.store.flush_s),
            beat=self._service.beat_of("uplink"),
        )
        self._knowing = Knowing(clock, self._keeper, self._tap)
        self._present = Present(config, clock.boot_id)
        self._present.events_changed(self._tap.open_events)
        self._flight = FlightRecorder(config.flight, config.store.path.parent / "flight")
        self._now_file = NowFile(config.now_file)
        self._unannounced: list[Event] = []
        self._said_waiting = False
        self._retained: dict[str, object] = {}
        self._diagnosed: object = None
        self._due = dict.fromkeys(("now", "state", "link", "diagnosis"), 0.0)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; then save what there is and say good-bye."""
        _log.info(
            "packtap %s: %s on %s, store %s, events open: %d",
            __version__,
            self._config.mode,
            ", ".join(f"{line.name}={line.port}" for line in self._config.lines),
            self._config.store.path,
            len(self._tap.open_events.all()),
        )
        # The last agent has saved the readings among this, if it was not killed before it could.
        left = self._tap.idle(None)
        self._keep(Digest(events=left.events, renamed=left.renamed))
        for reader in self._readers:
            reader.start()
        self._uplink.start()
        try:
            while not stop.is_set():
                self._step()
                self._service.feed()
        finally:
            self._service.stopping()
            self._stop()

    def _step(self) -> None:
        now = self._bus_s()
        try:
            item = self._inbox.get(timeout=self._bus.patience_s(now))
        except queue.Empty:
            now = self._bus_s()
            # Before anything that may hold the loop up: the inbox is empty now.
            self._bus.ask(now)
            self._pass_time(now)
        else:
            self._take(item)
        self._tick(self._bus_s())

    def _take(self, item: LinkItem) -> None:
        if isinstance(item, Received):
            # In the same order as a replay, so that both give the same events.
            self._pass_time(item.t)
            self._flight.take(item)
            self._keep(self._tap.digest(self._bus.receive(item)))
        else:
            self._present.line_changed(item)
            self._bus.line_changed(item)

    def _pass_time(self, now: float) -> None:
        self._keep(self._tap.digest(self._bus.idle(now)))
        self._keep(self._tap.idle(now))

    def _keep(self, digest: Digest) -> None:
        for pack, snapshot in digest.snapshots:
            self._present.snapshot_taken(pack, snapshot)
            if self._keeper.add_reading(pack, snapshot):
                self._flush()
        self._knowing.take(digest)
        if digest.events or digest.renamed:
            self._take_events(digest)

    def _take_events(self, digest: Digest) -> None:
        """Commit events at once; they are announced when that has succeeded, now or later."""
        for event in (*digest.events, *digest.renamed):
            self._keeper.add_event(event)
        for event in digest.renamed:
            _log.info("%s %s goes on under this name", event.pack, event.kind)
        self._unannounced += digest.events
        self._save()
        self._flight.events(digest.events, self._clock.boot_s(), self._clock.utc_offset_ms())
        # Shown at once, marked as long as it is not on disk.
        self._present.events_changed(self._tap.open_events, self._unannounced)

    def _announce(self) -> None:
        """Tell what has been committed."""
        for event in self._unannounced:
            is_bad = event.state is EventState.RAISED and event.severity is not Severity.INFO
            level = logging.WARNING if is_bad else logging.INFO
            _log.log(level, "%s %s %s: %s", event.pack, event.kind, event.state, event.text)
        self._unannounced.clear()
        self._present.events_changed(self._tap.open_events)
        self._due["state"] = 0.0

    def _tick(self, now: float) -> None:
        if self._keeper.is_due(now):
            self._flush()
        if self._keeper.wants_retry(now):
            self._save()
        self._flight.tick(now)
        if now >= self._due["now"]:
            self._due["now"] = now + _NOW_EVERY_S
            self._watch_clock(now)
            self._date_readings()
            self._knowing.pass_time(now)
            self._show(now)
            # By now the store is open, and each line is listened to or tried again and again.
            self._service.ready()
            if not self._unannounced:
                self._resumption.keep(self._tap, now)
                if self._knowing.has_news:
                    self._publish_diagnosis(now)
        if now >= self._due["state"]:
            self._due["state"] = now + _STATE_EVERY_S
            self._publish_state(now)
        if now >= self._due["link"]:
            if self._due["link"]:
                counters = self._present.counters(now, self._clock.utc_offset_ms(), self._around())
                moment = (round(now * 1000),)
                body = {"counters": counters, **self._told_runs()}
                self._keeper.add("link", self._tap.pack, moment, body)
            self._due["link"] = now + _LINK_EVERY_S

    def _flush(self) -> None:
        self._keeper.close_batches()
        self._save()

    def _save(self) -> None:
        """Commit what is waiting; what is on disk can be sent and announced."""
        is_saved = self._keeper.save()
        self._present.dropped = self._keeper.dropped
        if not is_saved:
            if self._unannounced and not self._said_waiting:
                self._said_waiting = True
                _log.warning("events wait too: none is announced before it is on disk")
            return
        self._said_waiting = False
        self._uplink.wake()
        if self._unannounced:
            self._announce()

    def _watch_clock(self, now: float) -> None:
        findings = self._clock_watch.look(now)
        if findings:
            self._keep(Digest(events=self._tap.report(*findings)))

    def _date_readings(self) -> None:
        if dated := self._keeper.date():
            _log.info("the clock is known: %d waiting messages are dated", dated)
            self._uplink.wake()

    def _show(self, now: float) -> None:
        document = self._present.document(
            now,
            self._clock.utc_offset_ms(),
            self._around(),
            store_trouble=self._keeper.trouble,
            known=self._knowing.document(),
        )
        self._service.say(in_one_line(document))
        try:
            self._now_file.replace(document)
        except OSError as error:
            if self._present.complain_once("now-file"):
                _log.warning("%s cannot be written: %s", self._config.now_file, error.strerror)

    def _around(self) -> Surroundings:
        return Surroundings(
            bus=self._bus,
            uplink=self._uplink.stats,
            unread=self._inbox.dropped,
            outbox=self._outbox(),
            host=host_figures(self._config.store.path),
        )

    def _outbox(self) -> Outbox | None:
        try:
            self._present.lost = self._keeper.store.lost()
            self._present.thinned = self._keeper.store.thinned()
            self._present.hours_left = self._keeper.hours_left(self._clock.boot_s())
            return self._keeper.store.depth(self._clock.boot_id)
        except StoreError:
            return None

    def _told_runs(self) -> dict[str, object]:
        store = self._keeper.store
        try:
            told = {"gaps": store.lost_runs(), "thinned": store.thinned_runs()}
        except StoreError:
            return {}
        return {
            name: [(run.first, run.last, run.samples, run.from_ms) for run in runs]
            for name, runs in told.items()
        }

    def _publish_state(self, now: float) -> None:
        offset_ms = self._clock.utc_offset_ms()
        for kind, payload in self._present.retained(
            now, offset_ms, self._knowing.before, sharing=sharing_now(self._bus)
        ):
            self._retain(kind, payload)
        if not self._unannounced:
            self._publish_diagnosis(now)

    def _publish_diagnosis(self, now: float) -> None:
        head = self._present.head(self._tap.pack, now, self._clock.utc_offset_ms())
        for kind, payload in self._knowing.retained(head):
            causes = [(each["cause"], round(each["probability"], 1)) for each in ranked(payload)]
            is_new = (causes, self._tap.open_events.all()) != self._diagnosed
            # The numbers in its sentences move all the time; it is four kilobytes.
            if is_new or now >= self._due["diagnosis"]:
                self._diagnosed = (causes, self._tap.open_events.all())
                self._due["diagnosis"] = now + _DIAGNOSIS_EVERY_S
                self._retain(kind, payload)

    def _retain(self, kind: str, payload: bytes) -> None:
        """Publish what says something new: a parked scooter must not cost a message a minute."""
        said = substance(payload)
        if self._retained.get(kind) != said:
            self._retained[kind] = said
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
        self._flight.close()
        self._knowing.stop()
        self._flush()
        if not self._unannounced:
            self._resumption.save(self._tap, self._clock.boot_s())
        self._uplink.stop(timeout=2.0)
        try:
            self._now_file.remove()
        except OSError as error:
            _log.warning("%s cannot be removed: %s", self._config.now_file, error.strerror)
        self._keeper.close()
        _log.info("stopped")
