"""The thread that empties the outbox, floor 3. Promises stand in the package."""

import contextlib
import json
import logging
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from packtap import __version__
from packtap.config import MqttConfig
from packtap.errors import DeliveryError
from packtap.store import Queued
from packtap.uplink.connection import Ack, Connection
from packtap.uplink.outbox import OutboxAccess
from packtap.uplink.window import Window
from packtap.wire import DEFLATED_MOST, Topic, bundle

__all__ = ["Uplink", "UplinkStats", "deflated", "removal_pause_s"]

_log = logging.getLogger("packtap.uplink")

_POLL_S: Final = 0.5
#: Removals are one transaction for three batches, or a hundred messages: each is a write on the
#: SD card. What a crash leaves in the outbox until then is sent once more, which changes nothing.
_BATCHES_A_REMOVAL: Final = 3
_LONGEST_REMOVAL_S: Final = 180.0
_REMOVE_AT_ONCE: Final = 100
#: The outbox is looked through from its beginning so often when its end is reached: old messages
#: become ready when their boot is dated. Being woken does the same.
_REWIND_EVERY_S: Final = 5.0
_NO_ANSWER_S: Final = 20.0
_ASK_EVERY_S: Final = 1.0
#: Keep-alives without any answer after which a connection is dead: after one it was asked.
_SILENT_KEEPALIVES: Final = 1.5
_BACKOFF_S: Final = (1.0, 30.0)
#: Longest pause while nobody listens: such an attempt is one small packet, where one that ends in
#: TLS or in the broker's refusal is a whole handshake. What waits goes out seconds after it can.
_NOBODY_LISTENS_S: Final = 5.0
#: A connection that lived so long was a good one: the next back-off starts small again.
_GOOD_S: Final = 10.0
_FAREWELL_S: Final = 1.0
#: A sign of life follows within: a turn of the loop waits for the store at most (half a minute, if
#: somebody holds it), a connection for names, addresses and the broker's first word.
_TURN_BEAT_S: Final = 90.0
_CONNECT_BEAT_S: Final = 240.0

#: So many messages wait: a backlog, which goes in bundles.
_BACKLOG: Final = 60
_BUNDLE_BYTES: Final = 48 * 1024
#: Kinds that may go deflated, and from which size on that is worth it; an event stays readable.
_BUNDLED: Final = frozenset({"readings", "link", "health"})
_WORTH_BYTES: Final = 600

_NOBODY: Final = 0x10
_FAILURE: Final = 0x80
#: Refusals that mean this message, not its topic: packet too large, payload format invalid.
_OF_ONE_MESSAGE: Final = frozenset({0x95, 0x99})


@dataclass(frozen=True, slots=True)
class UplinkStats:
    """State of the delivery and counters since the start.

    Attributes:
        acked: messages that the broker took.
        in_flight: sent, not answered yet.
        refused: refusals by the broker (the messages are kept).
        unclaimed: messages that nobody subscribed to (kept).
        connects: connections that the broker accepted.
        last_error: what went wrong last; None while all is well.
        acknowledged_age_s: since the broker last answered anything, seconds; None: never yet.
    """

    connected: bool = False
    acked: int = 0
    in_flight: int = 0
    refused: int = 0
    unclaimed: int = 0
    connects: int = 0
    last_error: str | None = None
    acknowledged_age_s: float | None = None


def removal_pause_s(flush_s: float) -> float:
    """Return the longest pause between two removals from an outbox filled every `flush_s`.

    With half of it behind the last message sent there is no next batch to wait for: what a drained
    outbox still holds then leaves at once.
    """
    return min(_BATCHES_A_REMOVAL * flush_s, _LONGEST_REMOVAL_S)


def deflated(message: Queued) -> bytes:
    """Return the payload as it goes alone: deflated where that saves something."""
    is_worth = _WORTH_BYTES <= len(message.payload) <= DEFLATED_MOST
    if message.topic.kind in _BUNDLED and is_worth:
        return bundle([message.payload])
    return message.payload


class Uplink:
    """Delivers what the store queues; start it once.

    Args:
        mqtt: the broker.
        site: name in the topics.
        agent: name in the topics; with `bus` the client id.
        bus: name in the topics.
        store_path: the agent's store; opened by the thread itself.
        boot: id of this boot, for status and will.
        utc_ms: UTC milliseconds for the status, None while unknown; called in the thread.
        settle_s: how long a connection must outlive an acknowledgement.
        remove_every_s: longest pause between two removals from the outbox (`removal_pause_s`).
        backoff_s: shortest and longest pause between two attempts to connect.
        no_answer_s: a connection that leaves a message unanswered so long is given up.
        beat: told, with every sign of life of the thread, within how many seconds the next follows.
    """

    def __init__(
        self,
        mqtt: MqttConfig,
        *,
        site: str,
        agent: str,
        bus: str,
        store_path: Path,
        boot: str,
        utc_ms: Callable[[], int | None] = lambda: None,
        settle_s: float = 3.0,
        remove_every_s: float,
        backoff_s: tuple[float, float] = _BACKOFF_S,
        no_answer_s: float = _NO_ANSWER_S,
        beat: Callable[[float], None] = lambda _within_s: None,
    ) -> None:
        self._mqtt = mqtt
        self._names = (site, agent, bus)
        self._boot = boot
        self._utc_ms = utc_ms
        self._backoff_s = backoff_s
        self._remove_every_s = remove_every_s
        self._no_answer_s = no_answer_s
        self._beat = beat
        self._window = Window(mqtt.window, settle_s)
        self._stats = UplinkStats()
        self._silence_s = _SILENT_KEEPALIVES * mqtt.keepalive_s
        self._heard_at: float | None = None  # monotonic seconds; read by other threads
        self._outbox = OutboxAccess(store_path)
        self._store_id: str | None = None
        self._said: str | None = None
        self._complained: set[Topic | None] = set()
        self._sent_at = 0.0
        # When something is due next, monotonic seconds.
        self._due = dict.fromkeys(("remove", "rewind", "ask"), 0.0)
        # Shared with other threads: the retained messages under the lock, the rest atomic.
        self._lock = threading.Lock()
        self._retained: dict[str, bytes] = {}
        self._unsent: set[str] = set()
        self._stop_by: float | None = None
        self._waker, self._waked = socket.socketpair()
        self._waker.setblocking(False)
        self._waked.setblocking(False)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="uplink", daemon=True)

    # For other threads.

    @property
    def stats(self) -> UplinkStats:
        """What has happened so far; connected is only what has answered within the bound."""
        stats, heard_at, trouble = self._stats, self._heard_at, self._outbox.trouble
        age_s = None if heard_at is None else max(0.0, time.monotonic() - heard_at)
        is_heard = stats.connected and age_s is not None and age_s <= self._silence_s
        if stats.connected and age_s is not None and not is_heard:
            trouble = trouble or f"no answer from the broker for {age_s:.0f} s"
        return replace(
            stats,
            connected=is_heard,
            acknowledged_age_s=age_s,
            last_error=stats.last_error if trouble is None else trouble,
        )

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Deliver what is ready and say "offline", both within `timeout` seconds, and end.

        Without a connection it ends at once; everything waits in the outbox.
        """
        self._stop_by = time.monotonic() + timeout
        self._stopped.set()
        self.wake()
        if self._thread.ident is not None:
            self._thread.join(timeout + _FAREWELL_S)
        if not self._thread.is_alive():
            self._waker.close()
            self._waked.close()

    def retain(self, kind: str, payload: bytes) -> None:
        """Publish the latest `kind` ("pack", "state", ...), now and after each connect."""
        with self._lock:
            self._retained[kind] = payload
            self._unsent.add(kind)
        self.wake()

    def wake(self) -> None:
        """Say that there are new messages."""
        # Full: it will wake up anyway. Closed: it has ended.
        with contextlib.suppress(OSError):
            self._waker.send(b"\0")

    # The thread.

    def _run(self) -> None:
        pause_s = self._backoff_s[0]
        while not self._stopped.is_set():
            started, acked = time.monotonic(), self._stats.acked
            self._beat(_CONNECT_BEAT_S)
            status = self._topic("status")
            connection = Connection(
                self._mqtt, "-".join(self._names[1:]), (status, self._status("offline"))
            )
            try:
                self._serve(connection)
                self._leave(connection)
                connection.close()
            except DeliveryError as exc:
                connection.drop()
                self._lost(str(exc))
                if _is_unheard(exc):
                    pause_s = min(pause_s, _NOBODY_LISTENS_S)
            except Exception as exc:  # noqa: BLE001 - a mistake here must not end delivery for good
                connection.drop()
                _log.exception("uplink stumbled, a new connection follows")
                self._lost(f"internal error: {exc}")
            # Short as it was, it has delivered, and nobody has sent us away.
            was_good = self._stats.acked > acked and not connection.was_sent_away
            if was_good or time.monotonic() - started > _GOOD_S:
                pause_s = self._backoff_s[0]
            # Jitter, or a fleet comes back in one moment after an outage of its broker.
            self._stopped.wait(pause_s * random.uniform(0.5, 1.0))  # noqa: S311
            pause_s = min(2 * pause_s, self._backoff_s[1])
        self._outbox.close()
        self._count(connected=False)

    def _serve(self, connection: Connection) -> None:
        """Deliver until asked to stop.

        Raises:
            DeliveryError: the connection cannot be made or has ended.
        """
        connection.open()
        self._heard_at = connection.heard_at
        self._say(f"connected to broker {self._mqtt.host}:{self._mqtt.port}", logging.INFO)
        self._count(connected=True, connects=self._stats.connects + 1)
        if not self._window.is_holding:
            self._count(last_error=None)
        with self._lock:
            self._unsent = set(self._retained)
        connection.publish(self._topic("status"), self._status("online"), retain=True)
        while True:
            now = time.monotonic()
            self._beat(_TURN_BEAT_S)
            self._publish_retained(connection)
            is_empty = self._fill(connection, now)
            self._remove(connection, now, is_empty=is_empty)
            if self._is_done(now, is_empty=is_empty):
                return
            try:
                if connection.poll(_POLL_S, self._waked):
                    self._due["rewind"] = 0.0
            finally:
                # Some brokers answer "not authorized" and hang up: the answer came first.
                self._take_acks(connection)
            self._heard_at = connection.heard_at
            self._count(in_flight=self._window.in_flight)
            if time.monotonic() - connection.heard_at > self._silence_s:
                raise DeliveryError(f"broker has said nothing for {self._silence_s:g} s")
            since = self._window.waiting_since()
            if since is not None and now - since > self._no_answer_s:
                raise DeliveryError(f"broker has not answered for {self._no_answer_s:g} s")

    def _is_done(self, now: float, *, is_empty: bool) -> bool:
        if self._stop_by is None:
            return False
        return (is_empty and not self._window.in_flight) or now > self._stop_by

    def _leave(self, connection: Connection) -> None:
        """Replace "online" by "offline" ourselves and wait until the broker has it."""
        mid = connection.publish(self._topic("status"), self._status("offline"), retain=True)
        deadline = time.monotonic() + _FAREWELL_S
        while time.monotonic() < deadline:
            connection.poll(0.1)
            if any(ack.mid == mid for ack in connection.acks):
                break
        self._take_acks(connection)
        self._due["remove"] = 0.0
        self._remove(connection, time.monotonic(), is_empty=False)

    def _fill(self, connection: Connection, now: float) -> bool:
        """Send what fits into the window; True if the outbox has nothing more to send now."""
        window, outbox = self._window, self._outbox
        if not outbox.is_ready(now):
            return True
        if outbox.store_id != self._store_id:
            self._store_id = outbox.store_id
            window.forget()
        window.wake_holds(now)
        for message in outbox.events(min(window.room, connection.room), window.held(now), now):
            if window.may_send(message.seq, message.topic, now):
                self._send(connection, [message], now)
        while room := min(window.room, connection.room):
            limit = max(room, _BACKLOG)
            queued = outbox.pending(window.after_seq, limit, window.held(now), now)
            if not queued:
                if now >= self._due["rewind"] and window.after_seq:
                    self._due["rewind"] = now + _REWIND_EVERY_S
                    window.rewind()
                return True
            for together in self._together(queued, now, is_backlog=len(queued) >= _BACKLOG):
                if not min(window.room, connection.room):
                    return False
                # What was sent in between may have made its topic wait for an answer.
                sendable = [m for m in together if window.may_send(m.seq, m.topic, now)]
                if sendable:
                    self._send(connection, sendable, now)
            window.after_seq = max(window.after_seq, queued[-1].seq)
        return False

    def _together(
        self, queued: Sequence[Queued], now: float, *, is_backlog: bool
    ) -> Iterator[list[Queued]]:
        """Yield what goes as one: of a backlog the messages of one topic, else each alone."""
        window = self._window
        bundles: dict[Topic, list[Queued]] = {}
        for message in queued:
            alone = not is_backlog or message.topic.kind not in _BUNDLED
            alone = alone or len(message.payload) > _BUNDLE_BYTES
            if not window.may_send(message.seq, message.topic, now):
                continue
            if alone or not window.may_bundle(message.seq, message.topic):
                yield [message]
                continue
            one = bundles.setdefault(message.topic, [])
            one.append(message)
            if sum(len(each.payload) for each in one) > _BUNDLE_BYTES:
                yield bundles.pop(message.topic)
        yield from bundles.values()

    def _send(self, connection: Connection, messages: Sequence[Queued], now: float) -> None:
        """Publish messages of one topic as one; one that is larger than possible is set aside."""
        first, *others = messages
        topic = str(first.topic)
        payload = bundle([each.payload for each in messages]) if others else deflated(first)
        if connection.fits(topic, payload):
            self._sent_at = now
            mid = connection.publish(topic, payload)
            self._window.sent(first.seq, first.topic, mid, now, [each.seq for each in others])
        elif others:
            for each in messages:
                self._send(connection, [each], now)
        else:
            self._set_aside(first.seq, "is larger than the broker takes")
            self._window.pass_over(first.seq, now)

    def _publish_retained(self, connection: Connection) -> None:
        while connection.room:
            with self._lock:
                if not self._unsent:
                    return
                kind = self._unsent.pop()
                payload = self._retained[kind]
            connection.publish(self._topic(kind), payload, retain=True)

    def _take_acks(self, connection: Connection) -> None:
        now = connection.heard_at
        while connection.acks:
            ack = connection.acks.popleft()
            count = self._window.messages_of(ack.mid)
            if ack.reason == 0:
                self._taken(self._window.acknowledged(ack.mid, now), count)
            elif ack.reason < _FAILURE:
                self._unclaimed(self._window.hold(ack.mid, now), count)
            elif ack.reason in _OF_ONE_MESSAGE:
                self._count(refused=self._stats.refused + 1)
                seq = self._window.set_aside(ack.mid, now)
                self._set_aside(seq, f"is refused by the broker ({ack.text})")
            else:
                self._refused(self._window.hold(ack.mid, now), ack)

    def _taken(self, topic: Topic | None, count: int) -> None:
        if topic is None:
            return  # a retained message
        self._complained.discard(topic)
        self._count(acked=self._stats.acked + count)
        if self._stats.last_error is not None and not self._window.is_holding:
            self._count(last_error=None)

    def _unclaimed(self, topic: Topic | None, count: int) -> None:
        if topic is None:
            return  # a retained message: it waits at the broker for whoever comes
        error = f"nobody subscribes to {topic}"
        self._count(unclaimed=self._stats.unclaimed + count, last_error=error)
        if self._is_new(topic):
            _log.warning("nobody subscribes to %s: kept until somebody does; is ingest up?", topic)

    def _refused(self, topic: Topic | None, ack: Ack) -> None:
        what = str(topic or "a retained message")
        error = f"broker refuses {what}: {ack.text}; check its ACL for user {self._names[1]}"
        self._count(refused=self._stats.refused + 1, last_error=error)
        if self._is_new(topic):
            _log.error("%s; messages are kept and tried again", error)

    def _remove(self, connection: Connection, now: float, *, is_empty: bool) -> None:
        """Take settled messages out of the outbox, now and then."""
        is_drained = is_empty and not self._window.in_flight
        if is_drained and now - self._sent_at >= self._remove_every_s / 2:
            self._due["remove"] = 0.0
        if now >= self._due["ask"] and self._window.wants_word(connection.heard_at, now):
            self._due["ask"] = now + _ASK_EVERY_S
            connection.ask()
        seqs = self._window.settled(connection.heard_at)
        if not seqs or (now < self._due["remove"] and len(seqs) < _REMOVE_AT_ONCE):
            return
        self._due["remove"] = now + self._remove_every_s
        if self._outbox.settle(seqs, now):
            self._window.removed(seqs)

    def _lost(self, reason: str) -> None:
        self._count(connected=False, in_flight=0)
        if self._window.was_refused:
            # Some brokers hang up after a refusal, which has been said already.
            _log.debug("%s after a refusal", reason)
        else:
            self._say(f"{reason}; readings wait in the store", logging.WARNING)
            self._count(last_error=reason)
        culprit = self._window.lost(time.monotonic())
        if culprit is not None:
            self._set_aside(culprit, "was never answered, three connections ended with it")

    def _set_aside(self, seq: int | None, why: str) -> None:
        _log.error("message %s %s: kept, tried again later", seq or "(retained)", why)
        self._count(last_error=f"a message {why}")

    def _is_new(self, topic: Topic | None) -> bool:
        is_new = topic not in self._complained
        self._complained.add(topic)
        return is_new

    def _say(self, text: str, level: int) -> None:
        """Log a change of state once, however often it is seen again."""
        if text != self._said:
            _log.log(level, "%s", text)
        self._said = text

    def _count(self, **changes: bool | int | str | None) -> None:
        self._stats = replace(self._stats, **changes)  # type: ignore[arg-type]

    def _topic(self, kind: str) -> str:
        return str(Topic(*self._names, kind))

    def _status(self, status: str) -> bytes:
        document: dict[str, object] = {"status": status, "boot": self._boot}
        if status == "online":
            document |= {"version": __version__, "t": self._utc_ms()}
        return json.dumps(document, separators=(",", ":")).encode()


def _is_unheard(exc: DeliveryError) -> bool:
    """Tell whether nobody was there, not even to refuse."""
    cause = exc.__cause__
    return isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError)
