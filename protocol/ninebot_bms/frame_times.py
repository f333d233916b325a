"""When each frame began and ended on the wire, as far as reads tell, floor 0.

A read gives bytes and the moment at which it ended. The last of its bytes ended then or a little
earlier, the others before it, one by one: a reader that is late makes frames look late, never
early. A frame that had to wait behind a false header keeps the time of its own bytes. Time is
passed in, in seconds.
"""

from collections import deque
from dataclasses import dataclass

from ninebot_bms.framer import Framer, Reject
from ninebot_bms.frames import Frame
from ninebot_bms.pairing import BYTE_S

__all__ = ["FrameTimes", "Timed"]


@dataclass(frozen=True, slots=True)
class Timed:
    """A frame or a reject, and when it was on the wire."""

    item: Frame | Reject
    start: float  #: seconds
    end: float  #: seconds


class FrameTimes:
    """Cuts one line into frames with their times."""

    def __init__(self) -> None:
        self._framer = Framer()
        self._received = 0  # bytes so far
        self._told = 0  # of these, in frames and rejects
        self._reads: deque[tuple[int, float]] = deque()  # bytes up to its end, and that end

    @property
    def pending(self) -> int:
        """Bytes that wait for the rest of their frame."""
        return self._framer.pending

    def receive_data(self, data: bytes | bytearray | memoryview, t: float) -> list[Timed]:
        """Take what one read returned, and when it ended."""
        found = self._framer.receive_data(data)
        if data:
            self._received += len(data)
            self._reads.append((self._received, t))
        return self._timed(found)

    def idle(self) -> list[Timed]:
        """Take note that the line has been quiet for longer than a gap inside a frame."""
        return self._timed(self._framer.idle())

    def _timed(self, found: list[Frame | Reject]) -> list[Timed]:
        timed = []
        for item in found:
            size = item.size if isinstance(item, Reject) else len(item.raw)
            self._told += size
            # Every byte belongs to exactly one frame or reject, so the read of this one's last byte
            # is known. Of reads only those of untold bytes are kept: fewer than a frame has bytes.
            while self._reads[0][0] < self._told:
                self._reads.popleft()
            upto, t = self._reads[0]
            end = t - (upto - self._told) * BYTE_S
            timed.append(Timed(item, end - size * BYTE_S, end))
        return timed
