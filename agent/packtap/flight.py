"""The flight recorder: what the wires said before and after something critical, floor 4.

The last minutes of raw bytes are kept in memory. When an event of severity critical is raised they
are written to a capture beside the store, and what comes in the minute after as well; a further
event prolongs it. So a card is written only when there is a reason, and `packtap replay` can look
at what the agent saw. Readings never wait for this: what cannot be written is said once.
"""

import logging
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ninebot_bms import Chunk
from packtap import __version__
from packtap.config import FlightConfig
from packtap.link import Received
from packtap.model import Event, EventState, Severity
from packtap.recorder import CaptureWriter

__all__ = ["FlightRecorder"]

_log = logging.getLogger("packtap.agent.flight")

#: Memory for raw bytes. Two busy lines bring 23 kB/s; a scooter's usual traffic is 0.2 kB/s.
_MOST_BYTES: Final = 4_000_000
#: What a chunk costs beside its bytes, roughly.
_CHUNK_BYTES: Final = 150
_FLUSH_S: Final = 5.0
_ONE_PART: Final = 1 << 40  # the bound is watched here: the beginning must not go
_PATTERN: Final = "flight-*.log.gz"


class FlightRecorder:
    """Keeps the last minutes, and writes them when it matters.

    Args:
        config: how long, how much.
        folder: where captures go; made when the first is written.

    Attributes:
        latest: the newest capture of this run; None if there is none.
    """

    def __init__(self, config: FlightConfig, folder: Path) -> None:
        self._config = config
        self._folder = folder
        self._ring: deque[Received] = deque()
        self._bytes = 0
        self._writer: CaptureWriter | None = None
        self._ends_at = 0.0
        self._flushed = 0.0
        self._shift_s = 0.0
        self._trouble: str | None = None
        self.latest: Path | None = None

    def take(self, received: Received) -> None:
        """Keep what a line said."""
        if not self._config.enabled:
            return
        self._ring.append(received)
        self._bytes += len(received.data) + _CHUNK_BYTES
        oldest = received.t - 60 * self._config.minutes
        while self._bytes > _MOST_BYTES or self._ring[0].t < oldest:
            self._bytes -= len(self._ring.popleft().data) + _CHUNK_BYTES
        if self._writer is not None:
            self._write([received])

    def events(self, events: Iterable[Event], now: float, utc_offset_ms: int | None) -> None:
        """Begin to write, or go on for longer, if one of these matters.

        Args:
            events: what was raised or cleared.
            now: seconds since boot.
            utc_offset_ms: UTC minus boot time; None while the clock is not known.
        """
        critical = [
            event
            for event in events
            if event.severity is Severity.CRITICAL and event.state is EventState.RAISED
        ]
        if not critical or not self._config.enabled:
            return
        self._ends_at = now + self._config.after_s
        if self._writer is None:
            self._begin(critical[0], now, utc_offset_ms)

    def tick(self, now: float) -> None:
        """Let time pass: flush, and end what has lasted long enough."""
        if self._writer is None:
            return
        if now >= self._ends_at:
            self.close()
        elif now - self._flushed >= _FLUSH_S:
            self._flushed = now
            try:
                self._writer.flush()
            except OSError as error:
                self._give_up(error)

    def close(self) -> None:
        """End what is being written."""
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        try:
            writer.close()
        except OSError as error:
            self._give_up(error)
            return
        _log.info("flight recording %s is complete: %d bytes", self.latest, writer.written)

    def _begin(self, event: Event, now: float, utc_offset_ms: int | None) -> None:
        known = utc_offset_ms is not None
        self._shift_s = 0.0 if utc_offset_ms is None else utc_offset_ms / 1000
        stamp = f"{now + self._shift_s:.3f}" if known else f"boot-{now:.3f}"
        path = self._folder / f"flight-{stamp}-{event.kind}.log.gz"
        times = "UTC" if known else "seconds since boot (the clock was not known)"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o750)
            self._make_room()
            self._writer = CaptureWriter(
                path,
                part_bytes=_ONE_PART,
                parts=1,
                remark=f"flight recording by packtap {__version__}: {event.id}; times: {times}",
            )
        except OSError as error:
            self._give_up(error)
            return
        self.latest = path
        self._flushed = now
        _log.info("%s: the bytes around it go to %s", event.kind, path)
        self._write(self._ring)

    def _make_room(self) -> None:
        kept = sorted(self._folder.glob(_PATTERN), key=lambda path: path.stat().st_mtime)
        for path in kept[: max(0, len(kept) - self._config.files + 1)]:
            path.unlink(missing_ok=True)

    def _write(self, chunks: Iterable[Received]) -> None:
        try:
            for each in chunks:
                if self._writer is not None:
                    t = each.t + self._shift_s
                    self._writer.write(Chunk(t, each.line, each.data))
        except OSError as error:
            self._give_up(error)
            return
        if self._writer is not None and self._writer.written >= self._config.file_bytes:
            _log.warning("flight recording %s has reached its bound", self.latest)
            self.close()

    def _give_up(self, error: OSError) -> None:
        self._writer = None
        words = f"{self._folder}: {error.strerror or error}"
        if words != self._trouble:
            self._trouble = words
            _log.warning("no flight recording can be written, %s", words)
