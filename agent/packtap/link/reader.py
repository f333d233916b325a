"""The thread that keeps one line open and reads it, floor 3.

One straight loop: open, read, and after a loss try again with growing patience. A device named by
its by-id path is found again under whatever ttyUSB number it returns. Every change of state is one
item in the inbox and one line in the log, however long it lasts.
"""

import logging
import queue
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from types import MappingProxyType
from typing import Final

from packtap.errors import LinkError
from packtap.link.line import COALESCE_S, SerialLine

__all__ = ["Inbox", "LineReader", "LinkDown", "LinkItem", "LinkUp", "MomentPassedError", "Received"]

_log = logging.getLogger("packtap.link")

_FIRST_RETRY_S: Final = 0.5
_LAST_RETRY_S: Final = 5.0
_STOP_S: Final = 0.5
#: A sign of life follows within: a read takes 20 ms, a port of a hub that resets some seconds, a
#: name that no server knows up to two minutes.
_READ_BEAT_S: Final = 20.0
_OPEN_BEAT_S: Final = 180.0


class MomentPassedError(LinkError):
    """A request was not sent, since it would have come too late: this machine was busy."""


@dataclass(frozen=True, slots=True)
class Received:
    """What one read returned.

    Attributes:
        line: name of the line.
        t: boot time at the end of the read, seconds.
        data: never empty.
    """

    line: str
    t: float
    data: bytes


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The line is open."""

    line: str
    t: float
    port: str


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The line is not open, or no longer; the reason is for people."""

    line: str
    t: float
    reason: str


LinkItem = Received | LinkUp | LinkDown


class Inbox(queue.Queue[LinkItem]):
    """What the lines of a bus received, bounded: putting never waits.

    When nobody takes anything the oldest bytes go, and are counted. Changes of state stay: whoever
    wakes up must not take a dead line for a quiet one.

    Args:
        limit: most items; 10 000 are more than a minute and a half of two busy lines.
    """

    def __init__(self, limit: int = 10_000) -> None:
        super().__init__()
        self._limit = limit
        self._dropped: Counter[str] = Counter()

    @property
    def dropped(self) -> Mapping[str, int]:
        """Bytes dropped by line; without a line that lost none."""
        return MappingProxyType(self._dropped)

    def _put(self, item: LinkItem) -> None:
        # Called by Queue.put with its lock held: the documented place for another organisation.
        waiting: deque[LinkItem] = self.queue
        if len(waiting) >= self._limit:
            # Nearly always the first; changes of state come at most twice a second.
            index = next(
                (index for index, old in enumerate(waiting) if isinstance(old, Received)), 0
            )
            oldest = waiting[index]
            if isinstance(oldest, Received):
                self._dropped[oldest.line] += len(oldest.data)
            del waiting[index]
        waiting.append(item)


class LineReader(threading.Thread):
    """Keeps one line open and puts what it says into the inbox.

    Args:
        name: of the line.
        port: a device or a URL, see `SerialLine`.
        baud: bits per second.
        inbox: shared by the lines of a bus.
        clock: gives boot time in seconds.
        transmit: allow read requests to be sent.
        beat: told, with every sign of life of the thread, within how many seconds the next follows.
        gather_s: how long bytes are left to gather, see `SerialLine`.
    """

    def __init__(
        self,
        name: str,
        port: str,
        baud: int,
        inbox: Inbox,
        *,
        clock: Callable[[], float],
        transmit: bool = False,
        beat: Callable[[float], None] = lambda _within_s: None,
        gather_s: float = COALESCE_S,
    ) -> None:
        super().__init__(name=f"link-{name}", daemon=True)
        self._inbox = inbox
        self._clock = clock
        self._beat = beat
        self._stopping = threading.Event()
        self._line = SerialLine(
            name, port, baud, transmit=transmit, gather_s=gather_s, wait=self._stopping.wait
        )
        #: Held while a request goes out and while the port is closed: never both.
        self._sending = threading.Lock()
        self._reason: str | None = None

    def run(self) -> None:
        """Read until stopped. Not called directly: `start` it."""
        patience_s = _FIRST_RETRY_S
        while not self._stopping.is_set():
            try:
                self._beat(_OPEN_BEAT_S)
                self._open()
                while not self._stopping.is_set():
                    self._beat(_READ_BEAT_S)
                    if data := self._line.read():
                        self._inbox.put(Received(self._line.name, self._clock(), data))
                        patience_s = _FIRST_RETRY_S
            except LinkError as error:
                self._beat(_OPEN_BEAT_S)
                self._close()
                self._note_down(str(error))
                self._stopping.wait(patience_s)
                # Reset by bytes only: a port that opens and fails at once is not tried for ever
                # at the first pace.
                patience_s = min(2 * patience_s, _LAST_RETRY_S)
        self._close()

    def send(self, data: bytes, not_after: float = inf) -> bool:
        """Send one read request; return whether it has certainly left in time.

        Between the look at the clock and the port this machine may do something else: that cannot
        be helped, but it is seen afterwards, and said.

        Args:
            data: the request.
            not_after: boot time after which it must not be sent any more.

        Raises:
            MomentPassedError: it is too late, nothing was sent.
            LinkError: the line is down or only listens, or these bytes are no read request.
        """
        with self._sending:
            if self._clock() > not_after:
                raise MomentPassedError(f"{self._line.name}: the moment to send has passed")
            self._line.send(data)
            sent = self._clock()
        if sent <= not_after:
            return True
        _log.warning(
            "%s: a read may have left %.1f ms too late, at %.4f s since boot: this machine was "
            "busy with something else",
            self._line.name,
            1000 * (sent - not_after),
            sent,
        )
        return False

    def stop(self) -> None:
        """End the thread and give the port back, within a second.

        A connection to a network tap that is just being made is given up by its own time-out; the
        thread then ends by itself and holds nobody up.
        """
        self._stopping.set()
        if self.is_alive():
            self.join(_STOP_S)

    def _open(self) -> None:
        others = self._line.open()
        self._reason = None
        self._inbox.put(LinkUp(self._line.name, self._clock(), self._line.device))
        _log.info("%s: open: %s at %d baud", self._line.name, self._line.device, self._line.baud)
        if others:
            _log.warning(
                "%s: %s is also open in %s, which takes bytes away from packtap",
                self._line.name,
                self._line.port,
                ", ".join(others),
            )

    def _close(self) -> None:
        with self._sending:
            self._line.close()

    def _note_down(self, reason: str) -> None:
        if reason == self._reason or self._stopping.is_set():
            return
        self._reason = reason
        self._inbox.put(LinkDown(self._line.name, self._clock(), reason))
        _log.warning("%s", reason)
