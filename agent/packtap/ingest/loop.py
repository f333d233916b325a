"""The loop between broker and store: three fates for a message, and an acknowledgement after.

A batch is taken, decoded and written. A message that can never be stored goes to the dead letters
(on disk) with its reason. Then, and only then, everything is acknowledged in the order of arrival.
While the store (or the disk of the dead letters) takes nothing the batch is kept and tried again
with growing pauses; the broker goes on holding the rest, and its connection stays up.

When the store refuses a batch of several, each message is written alone once: only the guilty one
is refused. A refusal of one message has stored its good points and is not tried again.

A message from more than a day ahead is kept while this machine's own clock is not known to be
right. After some minutes of that its sender is believed: one device with a wrong clock must not
hold up all the others for ever.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, Protocol

from packtap.clock import kernel_synchronised
from packtap.config import PerAgentConfig
from packtap.config.keys import NAME
from packtap.errors import StoreError
from packtap.ingest.dead_letter import KEPT_PAYLOAD, DeadLetters, Letter
from packtap.ingest.decode import decode
from packtap.ingest.gate import Gate
from packtap.ingest.opening import opened
from packtap.ingest.refusals import UNKNOWN, Refusals
from packtap.ingest.sinks import Decoded, KeptForLater, Refused, Sink, Tally, TooLarge
from packtap.ingest.stats import Stats, log_difference
from packtap.ingest.subscription import Delivery, Limits
from packtap.wire import ReadingsMessage, parse_topic

__all__ = ["Deliveries", "Ingest"]

_log = logging.getLogger(__name__)

_REPORT_S: Final = 60.0
_NOTE_S: Final = 10.0
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 5.0
_LONGEST_RETRY_AFTER_S: Final = 300.0
#: How long a machine that has just started may take to find its time server.
_CLOCK_PATIENCE_S: Final = 600.0
_REFUSALS_TOLD: Final = 10  #: log lines a minute; a hostile device must not fill the log


class Deliveries(Protocol):
    """What the loop needs of a subscription."""

    overrun: int  #: messages that nobody could take up, since the start

    @property
    def connected(self) -> bool:
        """Whether messages can arrive."""

    def start(self) -> None:
        """Begin to receive."""

    def stop(self) -> None:
        """Leave; what was not acknowledged stays with the broker."""

    def take(self, limits: Limits) -> list[Delivery]:
        """Return what has arrived."""

    def is_current(self, delivery: Delivery) -> bool:
        """Return whether it can still be acknowledged."""

    def acknowledge(self, delivery: Delivery) -> bool:
        """Tell the broker to forget it."""


class _Door(StrEnum):
    """What can be shut for a while."""

    STORE = "the store"
    LETTERS = "the dead letters"
    CLOCK = "the clock of this machine"


@dataclass(slots=True)
class _Item:
    delivery: Delivery
    decoded: Decoded | None = None
    refusal: Refused | None = None
    kept: KeptForLater | None = None
    is_last: bool = True  #: of its delivery, which is acknowledged with it
    settled: bool = False
    acknowledged: bool = field(default=False)
    has_letter: bool | None = None


class Ingest:
    """Moves messages from a subscription into a sink.

    Args:
        subscription: where they come from.
        sink: where they go; used from this object's own thread only.
        letters: where the refused ones go.
        limits: how much at once.
        now_ms: this machine's UTC milliseconds.
        synchronised: whether they are known to be right.
        gate: how much one agent may send.
        name: of this process at the broker.
        clock_patience_s: how long to wait for that before a device is believed instead.
        beat: told of every sign of life of the loop.
        note_s: between two notes of what was refused in the store.
    """

    def __init__(
        self,
        subscription: Deliveries,
        sink: Sink,
        letters: DeadLetters,
        limits: Limits | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        *,
        gate: Gate | None = None,
        name: str = "packtap-ingest",
        synchronised: Callable[[], bool] = kernel_synchronised,
        clock_patience_s: float = _CLOCK_PATIENCE_S,
        beat: Callable[[], None] = lambda: None,
        note_s: float = _NOTE_S,
    ) -> None:
        self._subscription = subscription
        self._sink = sink
        self._letters = letters
        self._limits = limits or Limits()
        self._now_ms = now_ms
        self._gate = gate or Gate(PerAgentConfig())
        self._name = name
        self._refusals = Refusals()
        self._noted: Tally = {}
        self._note_s = note_s
        self._note_at = 0.0
        self._synchronised = synchronised
        self._clock_patience_s = clock_patience_s
        self._beat = beat
        self._doubted_until: float | None = None
        self._stats = Stats()
        self._reported = Stats()
        self._report_at = time.monotonic() + _REPORT_S
        self._failures = 0
        self._failing_since = 0.0
        self._failing: _Door | None = None
        self._door = _Door.STORE
        self._refusals_told = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)

    def stats(self) -> Stats:
        """Return a copy of the counters."""
        return replace(
            self._stats,
            connected=self._subscription.connected,
            overrun=self._subscription.overrun,
            refused_by=self._refusals.tally(),
        )

    @property
    def running(self) -> bool:
        """Whether the loop is at work; False after `start` means that it has failed."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._subscription.start()
        self._thread.start()

    def stop(self, timeout_s: float = 2.5) -> bool:
        """Stop; False if a write was still going on after `timeout_s` (it is harmless).

        What is not acknowledged stays with the broker and comes again.
        """
        self._stopping.set()
        self._thread.join(timeout_s)
        self._subscription.stop()
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._beat()
                batch = self._subscription.take(self._limits)
                if batch:
                    self._settle(batch)
                self._note_if_due()
                self._report_if_due()
            self._note(time.monotonic())
        finally:
            self._sink.close()

    def _settle(self, batch: Sequence[Delivery]) -> None:
        """Bring each delivery to its fate and acknowledge it; give up if they all went stale."""
        items = [
            _Item(part, is_last=is_last) for delivery in batch for part, is_last in opened(delivery)
        ]
        self._stats.received += len(items)
        for item in items:
            if self._admit(item):
                self._judge(item)
        while True:
            self._stats.waiting = sum(1 for item in items if not item.settled)
            try:
                self._store([item for item in items if not item.settled])
            except KeptForLater as kept:
                self._acknowledge(items)
                self._pause(kept, sum(1 for item in items if not item.settled))
            else:
                self._acknowledge(items)
                break
            if self._stopping.is_set():
                break
            if not any(self._subscription.is_current(item.delivery) for item in items):
                break  # the broker will deliver them again
        self._stats.waiting = 0

    def _admit(self, item: _Item) -> bool:
        """Return whether the sender may send so much; once for each delivery."""
        delivery = item.delivery
        try:
            self._gate.admit(_sender(delivery.topic), len(delivery.payload), time.monotonic())
        except Refused as refused:
            item.refusal = refused
            return False
        return True

    def _judge(self, item: _Item) -> None:
        delivery = item.delivery
        item.kept = None
        try:
            item.decoded = decode(
                delivery.topic, delivery.payload, self._believed_ms(), self._synchronised
            )
            if item.decoded is not None:
                self._gate.admit_series(item.decoded, self._now_ms(), time.monotonic())
        except Refused as refused:
            item.refusal = refused
        except KeptForLater as kept:
            item.kept = kept
        else:
            if item.decoded is None:
                item.settled = True
                self._stats.ignored += 1

    def _believed_ms(self) -> int:
        """Return this machine's time, 0 if it has been doubted too long."""
        until = self._doubted_until
        if until is None or time.monotonic() < until:
            return self._now_ms()
        return self._now_ms() if self._synchronised() else 0

    def _store(self, items: Sequence[_Item]) -> None:
        """Write what is valid, bury what is not; raises KeptForLater with some items settled."""
        doubtful = [item for item in items if item.kept is not None]
        for item in doubtful:
            self._judge(item)  # the clock may be right by now
        self._bury([item for item in items if item.refusal is not None])
        self._write([item for item in items if item.refusal is None and item.kept is None])
        self._door = _Door.CLOCK
        for item in doubtful:
            if item.kept is not None:
                if self._doubted_until is None:
                    self._doubted_until = time.monotonic() + self._clock_patience_s
                raise item.kept
        self._recovered()

    def _write(self, items: Sequence[_Item]) -> None:
        batch = [item.decoded for item in items if item.decoded is not None]
        if not batch:
            return
        self._door = _Door.STORE
        self._beat()
        try:
            self._sink.write(batch)
        except Refused as refused:
            self._recovered()
            if len(items) == 1:
                items[0].refusal = refused
                self._bury(items)
                return
            middle = len(items) // 2
            if isinstance(refused, TooLarge):
                parts = [items[:middle], items[middle:]]
            else:
                parts = [[item] for item in items]
            for part in parts:
                self._write(part)
        else:
            self._recovered()
            for item in items:
                item.settled = True
            self._stats.stored += len(batch)
            self._stats.readings += sum(
                len(one.message.t) for one in batch if isinstance(one.message, ReadingsMessage)
            )

    def _bury(self, items: Sequence[_Item]) -> None:
        """Keep letters of what is refused, on disk, and count it."""
        buried = [(item, item.refusal) for item in items if item.refusal is not None]
        if not buried:
            return
        for item, _ in buried:
            if item.has_letter is None:  # decided once: a disk that is full must not use it up
                sender = _sender(item.delivery.topic)
                size = min(KEPT_PAYLOAD, len(item.delivery.payload))
                item.has_letter = self._refusals.may_keep(sender, size, time.monotonic())
        letters = [
            Letter(item.delivery.topic, item.delivery.payload, refusal.reason)
            for item, refusal in buried
            if item.has_letter
        ]
        self._door = _Door.LETTERS
        try:
            self._letters.append(letters, self._now_ms())
        except StoreError as exc:
            raise KeptForLater(str(exc), "make room or repair the disk") from exc
        self._recovered()
        self._stats.given_up = self._letters.given_up
        self._stats.unkept += len(buried) - len(letters)
        for item, refusal in buried:
            item.settled = True
            self._stats.refused += 1
            self._refusals.count(_sender(item.delivery.topic), refusal.why)
            self._refusals_told += 1
            if self._refusals_told <= _REFUSALS_TOLD:
                topic = item.delivery.topic[:200]
                _log.warning("refused a message on %s: %s", topic, refusal.reason)

    def _acknowledge(self, items: Sequence[_Item]) -> None:
        """Acknowledge in the order of arrival, up to the first that has no fate yet."""
        for item in items:
            if not item.settled:
                return
            if item.acknowledged or not item.is_last:
                continue
            if self._subscription.acknowledge(item.delivery):
                self._stats.acknowledged += 1
            item.acknowledged = True

    def _pause(self, kept: KeptForLater, waiting: int) -> None:
        self._stats.retries += 1
        if self._failing is None:
            self._failing_since = time.monotonic()
        self._failing = self._door
        if kept.reason != self._stats.store:
            self._stats.store = kept.reason
            _log.warning(
                "%s: %s; %s. %d messages wait here, the others at the broker; trying again, "
                "nothing is lost",
                self._door,
                kept.reason,
                kept.advice,
                waiting,
            )
        pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(self._failures, 16))
        # Many ingests must not come back to a store in the same moment.
        pause_s *= random.uniform(0.5, 1.0)  # noqa: S311
        if kept.retry_after_s is not None:
            pause_s = max(pause_s, min(kept.retry_after_s, _LONGEST_RETRY_AFTER_S))
        self._failures += 1
        deadline = time.monotonic() + pause_s
        while not self._stopping.wait(max(0.0, min(1.0, deadline - time.monotonic()))):
            self._beat()
            self._report_if_due()
            if time.monotonic() >= deadline:
                return

    def _recovered(self) -> None:
        """Note that the door just used is open (again)."""
        if self._failing is not self._door:
            return
        _log.info(
            "%s: works again, after %.0f s", self._door, time.monotonic() - self._failing_since
        )
        self._failing = None
        self._failures = 0
        self._stats.store = "ok"

    def _note_if_due(self) -> None:
        """Write what was refused into the store, when it has changed."""
        now = time.monotonic()
        if now >= self._note_at:
            self._note(now)

    def _note(self, now: float) -> None:
        self._note_at = now + self._note_s
        tally = self._refusals.tally()
        if tally == self._noted:
            return
        try:
            self._sink.note(self._name, tally, self._now_ms())
        except (Refused, KeptForLater) as exc:
            _log.debug("what was refused is not noted yet: %s", exc)
        else:
            self._noted = tally

    def _report_if_due(self) -> None:
        """Log one line a minute: what happened in it."""
        now = time.monotonic()
        if now < self._report_at:
            return
        self._report_at = now + _REPORT_S
        self._refusals_told = 0
        stats, before = self.stats(), self._reported
        self._reported = stats
        log_difference(before, stats, _REPORT_S)


def _sender(topic: str) -> str:
    """Return the agent in a topic, as the broker lets nobody else use it."""
    names = parse_topic(topic)
    if names is None or NAME.problem(names.agent):
        return UNKNOWN
    return names.agent
